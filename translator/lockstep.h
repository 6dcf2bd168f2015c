/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lock-step with the interpreter (`-accel translate,verify=N`, one CPU only).
 *
 * The dispatcher is about to enter a block: the interpreter executes the block's instructions first, with
 * what they write to memory undone and the CPU put back; then the block runs, alone, and where it ends
 * registers, flags, vector state and the memory written must be what the interpreter made.  So both see
 * the same machine, interrupts and time, at every block.  The first differences are logged with the
 * block's disassembly; the run goes on with what the translated code made.
 *
 * Not compared: instructions that the interpreter executes anyway (blocks end before them: those with helpers, and
 * RDTSC, which sees another time), MSRs but the bases and IA32_SPEC_CTRL, accesses that fault or are not to RAM,
 * divisions, blocks that are left in their middle.
 */
#ifndef TRANSLATOR_LOCKSTEP_H
#define TRANSLATOR_LOCKSTEP_H

#include "translator/engine-internal.h"

typedef struct Lockstep Lockstep;

/* NULL when the configuration does not ask for it. */
Lockstep *lockstep_new(const TransConfig *config);
void lockstep_free(Lockstep *l);

/* b is about to be entered from its beginning; the CpuState is up to date and stays as it is. */
void lockstep_begin(TransCpu *tc, Block *b);
/* Back in the dispatcher with the CpuState up to date; `whole`: the block came to its end. */
void lockstep_end(TransCpu *tc);

#endif /* TRANSLATOR_LOCKSTEP_H */
