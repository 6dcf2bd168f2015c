/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes to code: which blocks live on, and which come back. */
#include "translator/block-internal.h"

/* -- Written bytes ---------------------------------------------------------------------------- */

/* Rewritten so often, an immediate becomes soft. */
enum { REWRITTEN_OFTEN = 2 };

bool cache_is_rewritten(const BlockCache *c, uint64_t at)
{
    return block_count_at(c->rewritten, at) >= REWRITTEN_OFTEN;
}

/* The instruction of which byte number `at` of b's guest code is one of the immediate, or NULL. */
static const BlockInsn *insn_with_immediate(const Block *b, int at)
{
    for (unsigned i = 0; i < b->n_insns; i++) {
        const BlockInsn *in = &block_insns(b)[i];
        int imm = in->guest_off + in->imm_off;

        if (at >= imm && at < imm + in->imm_len) {
            return in;
        }
    }
    return NULL;
}

/* Byte number `at` of b's guest code has changed: when it is one of an immediate, that is counted. */
static void count_change(BlockCache *c, const Block *b, int at)
{
    const BlockInsn *in = insn_with_immediate(b, at);

    if (in != NULL) {
        block_note_rewritten(c, b->offset + in->guest_off);
    }
}

/* Bytes [from, to) of a page of b's were written, some of which it rests on.  Is it what they say?  (If they are of two pages: no.) */
static bool is_still_true(BlockCache *c, const Block *b, unsigned from, unsigned to, CodeEffect *effect)
{
    const uint8_t *now = c->mem->base + (b->offset & GUEST_PAGE_MASK);
    unsigned first = MAX(from, b->source_off), end = MIN(to, (unsigned)b->source_off + b->source_len);
    int code = (int)(b->offset & GUEST_PAGE_OFFSET_MASK);

    if (b->beyond_len != 0) {
        *effect = CODE_CHANGED;
        return false;
    }
    *effect = MAX(*effect, CODE_SAME);
    for (unsigned i = first; i < end; i++) {
        unsigned at = i - b->source_off;
        bool soft = block_soft(b) != NULL && block_soft(b)[at] != 0;

        *effect = soft ? CODE_CHANGED : *effect;
        if (b->source == NULL || (!soft && now[i] != b->source[at])) {
            *effect = CODE_CHANGED;
            count_change(c, b, (int)i - code);
            return false;
        }
    }
    return true;
}

CodeEffect cache_bytes_written(BlockCache *c, uint64_t offset, uint64_t len)
{
    PageBlocks *p = c->page[offset >> GUEST_PAGE_SHIFT];
    unsigned from = (unsigned)(offset & GUEST_PAGE_OFFSET_MASK), to = from + (unsigned)len;
    CodeEffect effect = CODE_NOT_TOUCHED;

    for (unsigned i = p != NULL ? p->n : 0; i-- > 0;) {
        if (p->entry[i].from < to && p->entry[i].to > from) {
            Block *b = block_of_entry(c, p, i);
            if (is_still_true(c, b, from, to, &effect)) {
                c->n_kept++;
            } else {
                block_kill_entry(c, p, i, true);
            }
        }
    }
    return effect;
}

/* Byte i of b's source is not what it was, and its code does not read it by itself. */
static bool differs_at(const Block *b, const uint8_t *now, int i)
{
    return (now[i] ^ b->source[i]) & ~(block_soft(b) != NULL ? block_soft(b)[i] : 0);
}

/* Some byte is such. */
static bool differs(const Block *b, const uint8_t *now)
{
    int i = 0;

    if (block_soft(b) == NULL) {
        return memcmp(now, b->source, b->source_len) != 0;
    }
    for (; i + 8 <= b->source_len; i += 8) {
        if (((load_le(now + i, 8) ^ load_le(b->source + i, 8)) & ~load_le(block_soft(b) + i, 8)) != 0) {
            return true;
        }
    }
    while (i < b->source_len && !differs_at(b, now, i)) {
        i++;
    }
    return i < b->source_len;
}

/* Are the bytes that b rests on what they were?  Where only immediates are not, that is counted. */
static bool is_as_it_was(BlockCache *c, const Block *b)
{
    const uint8_t *now = c->mem->base + (b->offset & GUEST_PAGE_MASK) + b->source_off;
    int code = (int)(b->offset & GUEST_PAGE_OFFSET_MASK) - b->source_off;

    if (!differs(b, now)) {
        return true;
    }
    for (int i = 0; i < b->source_len; i++) {
        if (differs_at(b, now, i) && insn_with_immediate(b, i - code) == NULL) {
            return false;
        }
    }
    for (int i = 0; i < b->source_len; i++) {
        if (differs_at(b, now, i)) {
            count_change(c, b, i - code);
        }
    }
    return false;
}

static void revive(BlockCache *c, Block *b)
{
    if (b->forward != NULL) {
        block_stop_forwarding(c, b);
    }
    block_make_findable(c, b);
    block_close_entries(c, b, false);
    c->n_dead--;
    c->n_revived++;
}

enum { STRIKES_MAX = 4 };

bool cache_revive_page(BlockCache *c, uint64_t offset, uint32_t version)
{
    PageBlocks *dead = c->dead[offset >> GUEST_PAGE_SHIFT];
    uint64_t before = c->n_revived;

    if (dead == NULL || dead->n == 0 || dead->version == version) {
        return false;
    }
    dead->version = version;
    for (unsigned i = dead->n; i-- > 0;) { /* the last first */
        Block *b = block_of_entry(c, dead, i);
        bool other = !b->hashed && cache_find(c, b->offset, b->lin, b->env) != NULL, same = !other && is_as_it_was(c, b);

        if (same || other || ++b->strikes >= STRIKES_MAX) {
            block_give_up(c, dead, i, same);
        }
        if (same) {
            revive(c, b);
        }
    }
    return c->n_revived != before;
}
