/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM's own counters (KVM_GET_STATS_FD). */
#ifndef HWACCEL_KVM_STATS_H
#define HWACCEL_KVM_STATS_H

#include "hwaccel/host.h"

/* A counter of a CPU or VM by its name; false when KVM has none of that name. */
bool kvm_stat_read(const KvmHost *h, int fd, const char *name, uint64_t *val);

#endif /* HWACCEL_KVM_STATS_H */
