/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's KVM as this folder sees it: five functions, so that tests can stand in for it or make
 * any request fail.
 */
#ifndef HWACCEL_KVM_OPS_H
#define HWACCEL_KVM_OPS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct KvmOps KvmOps;

struct KvmOps {
    /* /dev/kvm: a descriptor, or -errno. */
    int (*open)(const KvmOps *ops);
    void (*close)(const KvmOps *ops, int fd);
    /* `arg` is a pointer or a number, as the request wants it.  The result (>= 0), or -errno. */
    int (*request)(const KvmOps *ops, int fd, unsigned long request, uintptr_t arg);
    /* Map what a CPU shares, from `offset`; NULL with errno set. */
    void *(*map)(const KvmOps *ops, int fd, size_t len, uint64_t offset);
    void (*unmap)(const KvmOps *ops, void *p, size_t len);
    /* Read a descriptor from `offset`: bytes read, or -errno. */
    int (*read)(const KvmOps *ops, int fd, void *buf, size_t len, uint64_t offset);
    void *arg;                 /* of a test's own...                                */
    const char *hardware;      /* ...as is what it runs on; NULL: CPUID says        */
};

extern const KvmOps kvm_host_ops;

/* "cannot make a virtual CPU: Out of memory (KVM_CREATE_VCPU)" into `error`; false. */
bool kvm_fail(GError **error, unsigned long request, int negative_errno);

/* Perform a request that must succeed; false with `error` set. */
bool kvm_do(const KvmOps *ops, int fd, unsigned long request, uintptr_t arg, GError **error);

/* Its name and what it does, for messages. */
const char *kvm_request_name(unsigned long request);

#endif /* HWACCEL_KVM_OPS_H */
