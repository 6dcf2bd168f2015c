/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plan -> host code of one block.
 *
 * Contract at entry and at every exit: guest registers in their host registers, guest flags in the
 * host's, nothing borrowed.  In between, the marks say for every host offset what differs.  An
 * instruction that cannot go on (TLB miss, device, fault, jump-cache miss) jumps, before it has
 * changed anything, to its slow stub; the interpreter executes it, and the block is resumed behind
 * it.  The code of an instruction is idempotent up to its last host instruction or changes nothing
 * before it, so that it may be abandoned and executed anew anywhere (kick, host fault).
 */
#ifndef TRANSLATOR_COMPILE_H
#define TRANSLATOR_COMPILE_H

#include "translator/block.h"
#include "translator/front.h"

/* Emit the plan at e (from cache_room()) into b, whose id, lin and offset are set; fills everything
 * else but list links.  False: it did not fit (e->full). */
bool compile_block(Block *b, BlockCache *c, const Plan *p, Emit *e);

#endif /* TRANSLATOR_COMPILE_H */
