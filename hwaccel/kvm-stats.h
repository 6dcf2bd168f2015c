/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM's own counters (KVM_GET_STATS_FD). */
#ifndef HWACCEL_KVM_STATS_H
#define HWACCEL_KVM_STATS_H

#include "hwaccel/host.h"

/* Open the counters of a CPU or VM, to read one of them as often as one likes, 8 bytes at *off; -1: KVM has none of that
 * name. */
int kvm_stat_open(const KvmHost *h, int fd, const char *name, uint64_t *off);
/* A counter by its name; false when KVM has none of that name. */
bool kvm_stat_read(const KvmHost *h, int fd, const char *name, uint64_t *val);

#endif /* HWACCEL_KVM_STATS_H */
