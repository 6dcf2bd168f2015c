/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The translation engine's state of one CPU, between engine.c, state.c and signals.c. */
#ifndef TRANSLATOR_ENGINE_INTERNAL_H
#define TRANSLATOR_ENGINE_INTERNAL_H

#include "cpu-x86/engine.h"
#include "translator/block.h"
#include "translator/direct/direct.h"
#include "translator/front.h"
#include "translator/vcb.h"

enum { COLD_SLOTS = 1 << 14 };

/* Shared by all CPUs of a machine; hangs off PhysMem.code_changed_arg. */
typedef struct {
    BlockCache *cache;
    unsigned refs;
    GPtrArray *cpus;           /* TransCpu*                                              */
    bool evicting;             /* nobody may enter translated code (cache->lock)         */
    pthread_cond_t evicted;
} TransShared;

struct TransCpu {
    CpuState *cpu;
    TransShared *shared;
    BlockCache *cache;
    const TransConfig *config;
    Vcb *vcb;                  /* of the thread that is in run(), else NULL              */
    pthread_t thread;
    bool inside;               /* may be in translated code or about to resume (atomic)  */

    uint64_t seen_epoch;       /* Tlb.code_epoch the jump cache is valid for             */
    uint64_t seen_evictions;
    uint64_t enter_rip;        /* guest rip at vcb.resume, for a kick on the way in      */
    Block *link_block;         /* exit that led to the dispatcher, to be linked          */
    unsigned link_exit;
    uint64_t link_evictions;

    /* From the signal handler */
    Block *kick_block;
    const Mark *kick_mark;
    bool kick_fault;           /* the host faulted: execute that instruction by the interpreter */

    DirectCpu *direct;         /* NULL: user code never runs directly                    */
    CpuExit exit;              /* why run() returns                                      */
    uint8_t cold[COLD_SLOTS];  /* visits of addresses not translated yet                 */
    Plan plan;
};

/* -- state.c ---- */

/* CpuState <- host registers as the border left them. */
void state_from_host(TransCpu *tc, uint16_t borrowed, unsigned bits);
/* Host registers <- CpuState, with nothing borrowed; and all that generated code reads. */
void state_to_host(TransCpu *tc);

/* -- signals.c ---- */

/* Process-wide handlers (idempotent); and this thread's alternate stack and signal mask. */
void signals_init(void);
void signals_thread_init(void);
/* Make `tc` leave translated code; any thread. */
void signals_kick(TransCpu *tc);

#endif /* TRANSLATOR_ENGINE_INTERNAL_H */
