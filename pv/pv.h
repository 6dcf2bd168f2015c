/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The paravirtual interfaces of a machine: KVM's clock, steal time, EOI, IPIs, TLB flushes and
 * yields, whatever the engine (with local APICs of its own KVM serves most of them itself; else it offers those that need no
 * hypercall).  Which of them a guest may use
 * its CPU model says (cpu-x86/features.def).
 *
 * A Pv plugs itself into the CPUs (CpuPv) and is fed by the run loop and by the local APICs.  It writes
 * guest memory where the guest told it to, and nowhere else.
 */
#ifndef PV_PV_H
#define PV_PV_H

#include "cpu-x86/state.h"
#include "hw/device.h"
#include "softmmu/base/clock.h"

typedef struct Pv Pv;

/* All borrowed; they must outlive the Pv. */
typedef struct {
    CpuState **cpus;
    unsigned n_cpus;
    PhysMem *mem;
    Clock *clock;              /* of the machine: kvmclock shows its time          */
    int64_t wall_base;         /* seconds since 1970 when `clock` was 0; -1: the host's wall clock counts */
    Lock *machine_lock;
    Device *apic_bus;          /* takes the IPIs                                   */
    void *arg;
    /* A CPU's local APIC. */
    Device *(*lapic)(void *arg, unsigned cpu);
} PvConfig;

/* Machine lock held, no CPU running. */
Pv *pv_new(const PvConfig *config);
void pv_free(Pv *pv);

/* The machine's wall clock: nanoseconds since 1970, UTC.  Any thread. */
uint64_t pv_wall_ns(const Pv *pv);

/* -- The CPU's own thread, without the machine lock ---------------------------------------------- */

/* It is about to wait in cpu_sleep(); it is back. */
void pv_cpu_sleeps(Pv *pv, CpuState *cpu);
void pv_cpu_wakes(Pv *pv, CpuState *cpu);
/* Does its guest let the host watch for the end of its halts (MSR KVM_POLL_CONTROL)? */
bool pv_host_may_poll(const Pv *pv, const CpuState *cpu);
/* It was parked or has just started: the time that passed was nobody's loss. */
void pv_cpu_resumes(Pv *pv, CpuState *cpu);

/* -- Saving: machine lock, all CPUs parked, their TSCs stand still --------------------------------- */

extern const FieldTable pv_state;
/* The CPUs and memory have been loaded: show the guest the clock as it is here. */
void pv_moved(Pv *pv);

/* -- The CPU's own thread, with the machine lock -------------------------------------------------- */

/* LapicConfig.eoi_offer and eoi_take_back for a CPU. */
bool pv_eoi_offer(Pv *pv, CpuState *cpu);
bool pv_eoi_take_back(Pv *pv, CpuState *cpu);
/* It takes an interrupt: a good time for what is due now and then. */
void pv_interrupt(Pv *pv, CpuState *cpu);

#endif /* PV_PV_H */
