/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The KVM interfaces between their files: registers and dispatch (pv.c), clock (kvm-clock.c), steal time,
 * TLB flushes and EOI (kvm-shared.c), hypercalls (kvm-calls.c). */
#ifndef PV_PV_INTERNAL_H
#define PV_PV_INTERNAL_H

#include "pv/pv.h"

typedef struct {
    /* The MSRs as the guest wrote them. */
    uint64_t system_time, wall_clock, steal_time, pv_eoi, poll_control;
    uint32_t clock_version;
    bool sleeping;             /* KVM_VCPU_PREEMPTED is shown                          */
    uint64_t stolen_ns;        /* since steal time was enabled                         */
    uint64_t wall_ns, busy_ns; /* of the machine's clock and of the thread, when last looked */
} PvCpu;

/* What the VMI calls want of the rest.  Machine lock held. */
typedef struct {
    void (*tsc_moved)(void *arg);
    void (*way_changed)(void *arg);
    /* VMCALL with this number in EAX: was it a call of the ROM's?  Then it is done. */
    bool (*hypercall)(void *arg, CpuState *cpu);
} PvVmi;

struct Pv {
    PvConfig cfg;
    const PvVmi *vmi;          /* the VMI calls, once they are there; or NULL           */
    void *vmi_arg;
    PvCallWay call_way;        /* as the engine said last                               */
    PvCpu *cpu;                /* n_cpus of them                                        */
    bool clock_set;            /* the following two are known                           */
    uint64_t clock_tsc;        /* guest TSC (without the guest's own adjustments) at... */
    uint64_t clock_ns;         /* ...this time of the machine                           */
    uint64_t saved_tsc, saved_ns; /* another such pair, on its way to or from a saved machine */
};

/* Write len bytes (inside one page) to guest-physical memory; false: no RAM is there. */
bool pv_store(Pv *pv, uint64_t addr, const void *src, unsigned len);
/* RAM at addr (size bytes inside a page), for atomic access, followed by pv_stored(); else NULL. */
void *pv_ram(Pv *pv, uint64_t addr, unsigned size);
void pv_stored(Pv *pv, const void *p, unsigned size);

/* kvm-clock.c; machine lock held. */
void pv_clock_enable(Pv *pv, CpuState *cpu, uint64_t msr_value);
void pv_clock_write_wall(Pv *pv, CpuState *cpu, uint64_t addr);
void pv_clock_tsc_moved(Pv *pv);
/* FieldTable.saving and loaded: kvmclock goes on from what it shows, at another TSC frequency maybe. */
void pv_clock_saving(Pv *pv);
void pv_clock_loaded(Pv *pv);
/* The TSC without the guest's own adjustments and jumps: one for all CPUs, as long as the host's serves. */
uint64_t pv_machine_tsc(const CpuState *cpu);
/* When, on the machine's clock, it had or will have a value (at the latest in a few hundred years). */
uint64_t pv_clock_ns_at(Pv *pv, const CpuState *cpu, uint64_t machine_tsc);
/* Nanoseconds of kvmclock now. */
uint64_t pv_clock_now(Pv *pv, CpuState *cpu, uint64_t *tsc);

/* kvm-shared.c */
bool pv_steal_enable(Pv *pv, CpuState *cpu, uint64_t msr_value);
/* KVM has written the area so far. */
void pv_steal_back(Pv *pv, CpuState *cpu, uint64_t msr_value);
bool pv_eoi_enable(Pv *pv, CpuState *cpu, uint64_t msr_value);

/* kvm-calls.c */
void pv_kvm_call(void *arg, CpuState *cpu);

#endif /* PV_PV_INTERNAL_H */
