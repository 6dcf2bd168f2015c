/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A KVM made of memory: what is set can be got, the guest is a function of the test's, any request can
 * fail.  Counts what is open, so that leaks show.
 */
#ifndef TESTS_HWACCEL_FAKE_KVM_H
#define TESTS_HWACCEL_FAKE_KVM_H

#include "hwaccel/kvm-ops.h"

#include <linux/kvm.h>

typedef struct FakeKvm FakeKvm;

struct FakeKvm {
    KvmOps ops;                /* .arg is the FakeKvm */

    /* What goes wrong */
    int open_error;            /* -errno of open()                                       */
    unsigned fail_at;          /* the n-th request (from 1) fails...                     */
    int fail_with;             /* ...with this -errno                                    */
    unsigned long failed;      /* which that was; 0: none was                            */
    unsigned fail_map_at;      /* the n-th mapping (from 1) fails                        */
    unsigned n_mapped;
    long absent;               /* this extension is not there (-1: all are)              */
    uint32_t refused_msr;      /* 0: none                                                */
    unsigned n_requests;

    /* What is open */
    unsigned n_open, n_maps;
    int next_fd, vm_fd;        /* the first VM, whose the slots are; 0: none */

    /* The guest's CPU: as last set */
    struct kvm_regs regs;
    struct kvm_sregs2 sregs;
    struct kvm_debugregs debug;
    struct kvm_vcpu_events events;
    struct kvm_xcrs xcrs;
    uint8_t xsave[8192];
    bool big_xsave;            /* ...of which all are used, not 4096 */
    GHashTable *msrs;          /* number -> value */
    int64_t tsc_offset;
    struct kvm_userspace_memory_region slot[64];
    struct kvm_guest_debug guest_debug;
    struct kvm_lapic_state lapic;
    struct kvm_mp_state mp_state;
    struct kvm_msi last_msi;
    unsigned msis, routes;     /* messages sent; pins routed, as last set */
    struct kvm_ioeventfd bell[16]; /* n_bells of them are assigned */
    unsigned n_bells;
    bool split;                /* the local APICs are the kernel's        */
    bool chips, pit_made;      /* ...and all others; the PIT              */
    struct kvm_pic_state pic[2];
    struct kvm_ioapic_state ioapic;
    struct kvm_pit_state2 pit;
    struct kvm_reinject_control reinject;
    uint16_t pv_allowed;       /* bit n: MSR 4B564D00H + n is not filtered */
    uint32_t lines;            /* GSIs that are up                        */
    struct kvm_irqfd irqfd[64];
    unsigned n_irqfds;
    unsigned interrupts, nmis;
    uint32_t last_interrupt;
    struct kvm_run *run;       /* of the CPU made last */
    struct kvm_dirty_gfn *dirty; /* its ring */
    bool no_dirty_ring;        /* it is refused */
    bool loses_xcr0;           /* a guest's XSETBV sets what nobody learns of */
    uint64_t hypercalls;       /* that exit     */
    bool hides_pv;             /* what CPUID does not show */
    unsigned dirty_resets;
    struct kvm_coalesced_mmio_zone zone[16]; /* n_zones of them */
    unsigned n_zones;
    size_t run_size;
    uint64_t emulated;         /* its counter `insn_emulation` */
    bool no_counter;           /* it has none of that name     */

    /* KVM_RUN (a guest that begins with XSETBV has executed that): fill in run->exit_reason and the rest; the result of the request.  NULL: HLT. */
    int (*guest)(FakeKvm *f);
    unsigned entries;
    void *arg;
};

void fake_kvm_init(FakeKvm *f);
void fake_kvm_clear(FakeKvm *f);

#endif /* TESTS_HWACCEL_FAKE_KVM_H */
