/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes that may wait (BusOps.lazy_writes): KVM keeps them in a ring ("coalesced MMIO" and PIO) while the guest goes on, and
 * they are carried out at the next exit of any CPU, before it is looked at.
 */
#ifndef HWACCEL_LAZY_H
#define HWACCEL_LAZY_H

#include "hwaccel/kvm-cpu.h"

/* With the first CPU made; machine lock held. */
void kvm_lazy_init(KvmVm *vm);
/* Follow the memory map; machine lock held. */
void kvm_lazy_follow(KvmVm *vm);
/* Carry out what waits.  Any thread. */
void kvm_lazy_drain(KvmVm *vm);

/* Does anything?  Cheap. */
static inline bool kvm_lazy_waits(const KvmCpu *k)
{
    const struct kvm_coalesced_mmio_ring *r = k->lazy_ring;

    return r != NULL && __atomic_load_n(&r->first, __ATOMIC_RELAXED) != __atomic_load_n(&r->last, __ATOMIC_ACQUIRE);
}

#endif /* HWACCEL_LAZY_H */
