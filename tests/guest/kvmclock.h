/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The paravirtual clock of KVM, as a guest reads it (Linux Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW). */
#ifndef TESTS_GUEST_KVMCLOCK_H
#define TESTS_GUEST_KVMCLOCK_H

#include "tests/guest/lib.h"

enum { MSR_TIME = 0x4b564d01 };

typedef struct {
    volatile u32 version;
    u32 pad;
    volatile u64 tsc, ns;
    volatile u32 mul;
    volatile signed char shift;
    volatile u8 flags, pad2[2];
} ClockPage;

/* Nanoseconds. */
static inline u64 clock_read(const ClockPage *p)
{
    for (;;) {
        u32 v = p->version;
        u64 d, base;

        barrier();
        base = p->ns;
        __asm__ volatile("lfence"); /* the TSC may be read before earlier loads: SDM 2B RDTSC */
        d = rdtsc() - p->tsc;
        d = p->shift < 0 ? d >> -p->shift : d << p->shift;
        base += (u64)((unsigned __int128)d * p->mul >> 32);
        barrier();
        if (v == p->version && !(v & 1)) {
            return base;
        }
    }
}

#endif /* TESTS_GUEST_KVMCLOCK_H */
