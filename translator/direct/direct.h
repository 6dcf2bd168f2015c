/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct execution: user code of the guest runs as itself in a world (world.h), a host process with
 * exactly the pages that the guest's page tables give to it.
 *
 * The translator's dispatcher asks direct_wants() when the CPU is in 64-bit user mode and calls
 * direct_run(), which returns after an event with the CpuState canonical and the event delivered: a
 * page fault by the normal walk, everything else by the interpreter, which executes the one
 * instruction that the world could not.  So nothing here decides what an instruction means.
 */
#ifndef TRANSLATOR_DIRECT_DIRECT_H
#define TRANSLATOR_DIRECT_DIRECT_H

#include "cpu-x86/engine.h"
#include "translator/direct/spin.h"

#include <glib.h>

typedef enum { DIRECT_OFF, DIRECT_ON, DIRECT_AUTO } DirectMode;

/* Counters of one CPU (`info direct`). */
typedef struct {
#define DIRECT_STAT(id, text) uint64_t id;
#include "translator/direct/direct-stats.def"
#undef DIRECT_STAT
} DirectStats;

/* Can this host do it?  NULL, or one line that says why not. */
const char *direct_missing(void);

/* At the engine's attach.  `breaks`: breakpoints of the host may be used (breaks.h).  NULL with `error`. */
DirectCpu *direct_attach(CpuState *cpu, DirectMode mode, SpinMode spin, bool breaks, GError **error);
void direct_detach(DirectCpu *dc);

/* Own thread, with the dispatcher in user mode, before an interrupt is taken: a look at the clock. */
void direct_look(DirectCpu *dc);
/* Own thread, with the dispatcher: shall direct_run() take over?  Says in vcb.watch_user whether the next
 * returns to user mode are of interest. */
bool direct_wants(DirectCpu *dc);
/* Run user code until an event, which is then delivered.  Exit as EngineClass.run. */
CpuExit direct_run(DirectCpu *dc);
/* Any thread: make a running world come out. */
void direct_kick(DirectCpu *dc);

/* One line each: what it did and holds.  Only while the CPU is stopped.  Caller frees. */
char *direct_report(const DirectCpu *dc);

#endif /* TRANSLATOR_DIRECT_DIRECT_H */
