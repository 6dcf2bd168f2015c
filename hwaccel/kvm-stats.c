/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/kvm-stats.h"

#include <string.h>

enum { NAME_MAX_LEN = 256, DESCRIPTORS_MAX = 512 };

static bool find(const KvmOps *ops, int fd, const char *name, uint64_t *val)
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
            return ops->read(ops, fd, val, sizeof *val, h.data_offset + u.d.offset) == sizeof *val;
        }
    }
    return false;
}

bool kvm_stat_read(const KvmHost *h, int fd, const char *name, uint64_t *val)
{
    int stats = h->stats_fd ? h->ops->request(h->ops, fd, KVM_GET_STATS_FD, 0) : -1;
    bool ok;

    if (stats < 0) {
        return false;
    }
    ok = find(h->ops, stats, name, val);
    h->ops->close(h->ops, stats);
    return ok;
}
