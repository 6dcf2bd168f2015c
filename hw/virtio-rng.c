/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/virtio-rng.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <sys/random.h>
#include <unistd.h>

/* One request gets at most this much at a time: the driver asks again. */
enum { MAX_BYTES = 4096 };

typedef struct {
    VirtioDevice vd;
    int fd;                        /* -1: getrandom() */
} VirtioRng;

/* Fill up to MAX_BYTES; returns how many.  Neither source blocks for long. */
static size_t random_bytes(const VirtioRng *s, uint8_t *buf, size_t len)
{
    ssize_t n = s->fd >= 0 ? read(s->fd, buf, len) : -1;

    if (n <= 0) {
        n = getrandom(buf, len, GRND_NONBLOCK);
    }
    return n > 0 ? (size_t)n : 0;
}

static void queue_notify(VirtioDevice *d, Virtqueue *q)
{
    uint8_t buf[MAX_BYTES];
    VirtqElement *e;

    for (unsigned n = 0; n < virtq_budget(q) && (e = virtq_pop(q)) != NULL; n++) {
        size_t len = random_bytes((VirtioRng *)d, buf, MIN(e->in_len, (uint64_t)MAX_BYTES));
        iov_write(virtq_in(e), e->n_in, 0, buf, len);
        virtq_push(e, len);
    }
    virtq_notify(q);
}

static void rng_destroy(VirtioDevice *d)
{
    VirtioRng *s = (VirtioRng *)d;

    if (s->fd >= 0) {
        close(s->fd);
    }
    virtio_clear(d);
    g_free(s);
}

/* It remembers nothing of its own. */

static const VirtioClass rng_class = {
    .name = "virtio-rng",
    .id = 4,
    .pci_class = 0x00ff00,
    .queue_notify = queue_notify,
    .destroy = rng_destroy,
    .state = &fields_none,
};

VirtioDevice *virtio_rng_new(PhysMem *mem, const char *filename, GError **error)
{
    VirtioRng *s;
    int fd = -1;

    if (filename != NULL) {
        fd = open(filename, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) {
            g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                        "virtio-rng: could not open '%s': %s", filename, g_strerror(errno));
            return NULL;
        }
    }
    s = g_new0(VirtioRng, 1);
    s->fd = fd;
    virtio_init(&s->vd, &rng_class, mem, 1, 8, 0, 0);
    return &s->vd;
}
