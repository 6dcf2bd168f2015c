/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the place of a world's stub one that the guest wants?
 *
 * What user code reads there is the stub and not its own memory, and no fault tells of it.  So before a world runs it is looked
 * whether the guest's tables have user pages there; and since those come only with use, system calls by which Linux's programs
 * ask for addresses are watched, as far as they come from worlds.  The latter is a guess about the guest: what it misses remains to
 * chance, in a space of 2^35 pages.
 */
#ifndef TRANSLATOR_DIRECT_PLACE_H
#define TRANSLATOR_DIRECT_PLACE_H

#include "translator/direct/space.h"

/* The registers are a system call's, next_rip behind it. */
void place_note_call(Space *s, const CpuState *cpu);
/* At an entry: its world must not run where it is. */
bool place_is_wanted(const DirectCpu *dc, Space *s);

#endif /* TRANSLATOR_DIRECT_PLACE_H */
