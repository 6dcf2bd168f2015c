/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a guest runs in the interpreter although its engine is KVM.
 *
 * An instruction that KVM fails at must; the rest is policy (`-accel kvm,phases=on`).  A phase is a stretch
 * of instructions that KVM is so bad at that the interpreter is faster:
 *
 *   gave up      KVM failed again within a few entries: twice as many instructions each time;
 *   real mode    on hosts whose KVM emulates real mode (VT-x without unrestricted guests, no hardware at all):
 *                as long as the CPU is in it, and some way beyond, since firmware goes to and fro;
 *   paging       of 32 bits, where there is no hardware: such a KVM does not do it;
 *   emulation    KVM's own counter says that nearly all it did was emulating instructions.
 *
 * Phases that come back soon get longer, up to a bound; one that does not come back makes the next one short.
 * With the local APICs in the kernel no interrupt gets through meanwhile, so there only the first kind is left,
 * and that is short.
 */
#ifndef HWACCEL_PHASES_H
#define HWACCEL_PHASES_H

#include "cpu-x86/engine.h"

typedef struct KvmCpu KvmCpu;

typedef enum { KVM_TURN_FAILED, KVM_TURN_REAL_MODE, KVM_TURN_PAGING32, KVM_TURN_EMULATION, KVM_TURN_DEBUG, KVM_TURN_COUNT } KvmTurn;

typedef struct {
    uint64_t n, insns, ticks;  /* ticks of the host's TSC */
} KvmTurnStat;

typedef struct {
    bool wanted;
    unsigned emulation_ns;     /* an emulated instruction each so many ns of KVM is a phase */
    KvmTurn why;               /* of the present phase, which has...                        */
    uint64_t left;             /* ...so many instructions left                              */
    uint64_t len;              /* of the last phase                                         */
    uint64_t entries;          /* of KVM since then                                         */
    uint64_t looks;            /* at the counter since then                                 */
    int stats_fd;              /* KVM's counters of this CPU; -1: none                      */
    uint64_t stats_off;        /* of the emulated instructions                              */
    uint64_t seen_emulated, seen_ticks; /* at the last look                                 */
    KvmTurnStat turns[KVM_TURN_COUNT];
} KvmPhases;

void kvm_phases_init(KvmCpu *k, bool wanted, unsigned emulation_ns);
void kvm_phases_clear(KvmCpu *k);

/* Let the interpreter execute `budget` instructions; the state is pulled. */
CpuExit kvm_interpret(KvmCpu *k, uint64_t budget, KvmTurn why);

/* KVM gave up at the present instruction: the interpreter's turn. */
void kvm_phases_failed(KvmCpu *k);
/* KVM came back: true when what it did was emulation; then a phase has begun. */
bool kvm_phases_look(KvmCpu *k);
/* The state is in the CpuState: carry out what is left of a phase, or one that begins with it.  CPU_EXIT_BUDGET: KVM goes on. */
CpuExit kvm_phases_run(KvmCpu *k);

/* Lines for engine_stats(). */
void kvm_phases_print(const KvmCpu *k, GString *out);

#endif /* HWACCEL_PHASES_H */
