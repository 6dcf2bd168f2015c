/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside of the cache of blocks (block.h): what block*.c share.  The translate lock is held. */
#ifndef TRANSLATOR_BLOCK_INTERNAL_H
#define TRANSLATOR_BLOCK_INTERNAL_H

#include "translator/block.h"

/* -- block.c ----------------------------------------------------------------------------------- */

/* b, which is new or comes back, is found by its key from here on. */
void block_make_findable(BlockCache *c, Block *b);
/* Aim a jump: its displacement is 4-aligned, so other CPUs may be running through it. */
void block_aim(BlockCache *c, const Block *b, uint16_t rel32, const uint8_t *target);
/* Take the short way of an exit, with registers borrowed, to `target`; NULL: not any more. */
void block_aim_early(BlockCache *c, const Block *b, BlockExit *x, const uint8_t *target);
/* An exit leads to its stub again. */
void block_unlink_exit(BlockCache *c, const Block *b, BlockExit *x);
/* Close the door of b, or open it again. */
void block_close_entries(BlockCache *c, const Block *b, bool closed);
/* The block of a page's i-th entry. */
Block *block_of_entry(const BlockCache *c, const PageBlocks *p, unsigned i);
/* ... dies, and the entry is another's; when it was `written`, it may come back. */
void block_kill_entry(BlockCache *c, PageBlocks *p, unsigned i, bool written);
/* The block of the i-th entry of those that may come back does (`same`), or stays dead; the entry is another's. */
void block_give_up(BlockCache *c, PageBlocks *dead, unsigned i, bool same);
/* b's entry led to another block: not any more. */
void block_stop_forwarding(BlockCache *c, Block *b);

/* -- block-habit.c ------------------------------------------------------------------------------ */

/* Of an instruction or a page `at`. */
unsigned block_count_at(GHashTable *counts, uint64_t at);
/* The immediate of the instruction at memfd offset `at` has changed. */
void block_note_rewritten(BlockCache *c, uint64_t at);

#endif /* TRANSLATOR_BLOCK_INTERNAL_H */
