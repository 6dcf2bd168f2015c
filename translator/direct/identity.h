/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which process it is that runs in an address space, and which program, as far as page tables show it.
 *
 * The highest user page there is is a stack's as a rule, at a random place: a new place is a new process, though it has
 * got its predecessor's page tables.  The lowest belongs to the program's file, whose memory all its processes share.
 */
#ifndef TRANSLATOR_DIRECT_IDENTITY_H
#define TRANSLATOR_DIRECT_IDENTITY_H

#include "translator/direct/space.h"

/* Linear address of the highest user page; 0: there is none. */
uint64_t identity_of_process(const DirectCpu *dc);
/* Guest-physical address of the lowest; 0: there is none. */
uint64_t identity_of_program(const DirectCpu *dc);

#endif /* TRANSLATOR_DIRECT_IDENTITY_H */
