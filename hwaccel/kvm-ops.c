/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/kvm-ops.h"

#include "softmmu/base/bits.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* -- The host ------------------------------------------------------------------------------------- */

static int host_open(const KvmOps *ops)
{
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    return fd >= 0 ? fd : -errno;
}

static void host_close(const KvmOps *ops, int fd)
{
    close(fd);
}

static int host_request(const KvmOps *ops, int fd, unsigned long request, uintptr_t arg)
{
    int r = ioctl(fd, request, arg);

    return r >= 0 ? r : -errno;
}

static void *host_map(const KvmOps *ops, int fd, size_t len, uint64_t offset)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

    return p != MAP_FAILED ? p : NULL;
}

static void host_unmap(const KvmOps *ops, void *p, size_t len)
{
    munmap(p, len);
}

static int host_read(const KvmOps *ops, int fd, void *buf, size_t len, uint64_t offset)
{
    ssize_t n = pread(fd, buf, len, (off_t)offset);

    return n >= 0 ? (int)n : -errno;
}

const KvmOps kvm_host_ops = {
    .open = host_open, .close = host_close, .request = host_request, .map = host_map,
    .unmap = host_unmap, .read = host_read,
};

/* -- Failures ------------------------------------------------------------------------------------- */

static const struct {
    unsigned long request;
    const char *name, *what;
} requests[] = {
#define KVM_REQUEST(request, what) {request, #request, what},
#include "hwaccel/kvm-requests.def"
#undef KVM_REQUEST
};

const char *kvm_request_name(unsigned long request)
{
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        if (requests[i].request == request) {
            return requests[i].name;
        }
    }
    return "unknown request";
}

bool kvm_fail(GError **error, unsigned long request, int negative_errno)
{
    const char *what = "do something";

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        what = requests[i].request == request ? requests[i].what : what;
    }
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(-negative_errno),
                "KVM cannot %s: %s (%s)", what, g_strerror(-negative_errno), kvm_request_name(request));
    return false;
}

bool kvm_do(const KvmOps *ops, int fd, unsigned long request, uintptr_t arg, GError **error)
{
    int r = ops->request(ops, fd, request, arg);

    return r >= 0 || kvm_fail(error, request, r);
}
