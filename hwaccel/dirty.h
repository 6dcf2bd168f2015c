/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages the guest wrote in KVM, where somebody wants to know (PAGE_LOG_DISPLAY): by a bitmap of each memory slot, or by a
 * ring of each CPU, which costs what was written instead of what could be.
 */
#ifndef HWACCEL_DIRTY_H
#define HWACCEL_DIRTY_H

#include "hwaccel/kvm-cpu.h"

/* Before CPUs are made: rings of so many entries; where they cannot be had, vm->no_dirty_ring says why. */
void kvm_dirty_init(KvmVm *vm, unsigned entries);
/* Once the CPU is made. */
bool kvm_dirty_init_cpu(KvmCpu *k, GError **error);
void kvm_dirty_clear_cpu(KvmCpu *k);

/* Mark what the guest wrote since the last call in the pages' flags (phys-mem.h).  Machine lock held. */
void kvm_dirty_collect(KvmVm *vm);
/* The same for a CPU whose ring is full.  Its thread, without the machine lock. */
void kvm_dirty_ring_full(KvmCpu *k);

#endif /* HWACCEL_DIRTY_H */
