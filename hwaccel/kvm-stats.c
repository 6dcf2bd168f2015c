/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/kvm-stats.h"

#include <string.h>

enum { NAME_MAX_LEN = 256, DESCRIPTORS_MAX = 512 };

static bool find(const KvmOps *ops, int fd, const char *name, uint64_t *off)
{
    struct kvm_stats_header h;
    union {
        struct kvm_stats_desc d;
        char bytes[sizeof(struct kvm_stats_desc) + NAME_MAX_LEN];
    } u;

    if (ops->read(ops, fd, &h, sizeof h, 0) != sizeof h || h.name_size >= NAME_MAX_LEN) {
        return false;
    }
    for (unsigned i = 0; i < MIN(h.num_desc, DESCRIPTORS_MAX); i++) {
        size_t len = sizeof u.d + h.name_size;

        memset(&u, 0, sizeof u);
        if (ops->read(ops, fd, &u, len, h.desc_offset + i * len) != (int)len) {
            return false;
        }
        if (strcmp(u.d.name, name) == 0) {
            *off = h.data_offset + u.d.offset;
            return true;
        }
    }
    return false;
}

int kvm_stat_open(const KvmHost *h, int fd, const char *name, uint64_t *off)
{
    int stats = h->stats_fd ? h->ops->request(h->ops, fd, KVM_GET_STATS_FD, 0) : -1;

    if (stats >= 0 && !find(h->ops, stats, name, off)) {
        h->ops->close(h->ops, stats);
        return -1;
    }
    return stats < 0 ? -1 : stats;
}

bool kvm_stat_read(const KvmHost *h, int fd, const char *name, uint64_t *val)
{
    uint64_t off;
    int stats = kvm_stat_open(h, fd, name, &off);
    bool ok;

    if (stats < 0) {
        return false;
    }
    ok = h->ops->read(h->ops, stats, val, sizeof *val, off) == sizeof *val;
    h->ops->close(h->ops, stats);
    return ok;
}
