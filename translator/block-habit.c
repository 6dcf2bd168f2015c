/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the cache of blocks remembers of guest instructions and pages: counts, hot pages, guilt, habits. */
#include "translator/block-internal.h"

/* -- Counts of instructions ------------------------------------------------------------------- */

enum { COUNTED_MAX = 1 << 16 };

unsigned block_count_at(GHashTable *counts, uint64_t at)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(counts, GSIZE_TO_POINTER(at)));
}

/* All are forgotten when they are too many. */
static unsigned count_up(GHashTable *counts, uint64_t at)
{
    unsigned n = block_count_at(counts, at) + 1;

    if (g_hash_table_size(counts) >= COUNTED_MAX) {
        g_hash_table_remove_all(counts);
    }
    g_hash_table_insert(counts, GSIZE_TO_POINTER(at), GUINT_TO_POINTER(n));
    return n;
}

/* Something is known of an instruction on the page of memfd offset `at` from now on. */
static void note_page(BlockCache *c, uint64_t at)
{
    uint64_t page = at >> GUEST_PAGE_SHIFT;

    c->noted[page / 64] |= BIT64(page % 64);
}

bool cache_has_notes(const BlockCache *c, uint64_t at)
{
    uint64_t page = at >> GUEST_PAGE_SHIFT;

    return (c->noted[page / 64] >> page % 64 & 1) != 0;
}

void block_note_rewritten(BlockCache *c, uint64_t at)
{
    note_page(c, at);
    count_up(c->rewritten, at);
}

enum { FAR_OFTEN = 4 };

void cache_note_far(BlockCache *c, Block *b, unsigned insn)
{
    note_page(c, b->offset + block_insns(b)[insn].guest_off);
    if (count_up(c->far, b->offset + block_insns(b)[insn].guest_off) >= FAR_OFTEN && b->state == BLOCK_LIVE) {
        cache_kill_block(c, b);
    }
}

bool cache_is_far(const BlockCache *c, uint64_t at)
{
    return block_count_at(c->far, at) >= FAR_OFTEN;
}

/* -- Hot pages -------------------------------------------------------------------------------- */

bool cache_is_hot(const BlockCache *c, uint64_t at)
{
    return c->config->hot_samples == 0 || block_count_at(c->hot, at >> GUEST_PAGE_SHIFT) != 0;
}

void cache_heat_page(BlockCache *c, uint64_t at)
{
    PageBlocks *p = c->page[at >> GUEST_PAGE_SHIFT];

    if (!cache_is_hot(c, at)) {
        count_up(c->hot, at >> GUEST_PAGE_SHIFT);
        while (p != NULL && p->n > 0) {
            block_kill_entry(c, p, p->n - 1, false);
        }
    }
}

/* -- Guilt ------------------------------------------------------------------------------------ */

/* The guilt of the instruction at memfd offset `at`, or NULL.  It is the instruction's: when other bytes are there now, that
 * is another one, and it is innocent. */
static Guilt *find_guilt(BlockCache *c, uint64_t at)
{
    Guilt *g = g_hash_table_lookup(c->guilty, GSIZE_TO_POINTER(at));

    if (g != NULL && memcmp(g->bytes, c->mem->base + at, g->len) != 0) {
        g_hash_table_remove(c->guilty, GSIZE_TO_POINTER(at));
        c->n_replaced++;
        return NULL;
    }
    return g;
}

static Guilt *guilt_of(BlockCache *c, const Block *b, unsigned insn)
{
    uint64_t at = b->offset + block_insns(b)[insn].guest_off;
    Guilt *g = find_guilt(c, at);

    if (g == NULL) {
        note_page(c, at);
        g = g_new0(Guilt, 1);
        g->lin = b->lin + block_insns(b)[insn].guest_off;
        g->len = MIN(block_insns(b)[insn].guest_len, sizeof g->bytes);
        g->len = MIN(g->len, GUEST_PAGE_SIZE - (at & GUEST_PAGE_OFFSET_MASK));
        memcpy(g->bytes, c->mem->base + at, g->len);
        g_hash_table_insert(c->guilty, GSIZE_TO_POINTER(at), g);
    }
    return g;
}

void cache_accuse(BlockCache *c, Block *b, unsigned insn, unsigned weight, uint64_t region)
{
    Guilt *g = guilt_of(c, b, insn);

    g->faults++;
    g->weight += weight;
    g->region = region;
    if (g->weight >= c->config->window_faults && b->state == BLOCK_LIVE) {
        g->convictions += region == 0;
        c->n_convictions += region == 0;
        c->n_restless += region != 0;
        cache_kill_block(c, b);
    }
}

bool cache_is_guilty(BlockCache *c, uint64_t at)
{
    const Guilt *g = find_guilt(c, at);

    return g != NULL && g->weight >= c->config->window_faults;
}

/* -- Habits ------------------------------------------------------------------------------------ */

static HabitSite *habit_site(const BlockCache *c, Habit h, uint64_t at)
{
    return &c->habit[h][(at ^ at >> 12 ^ at >> 24) % HABIT_SITES];
}

/* Whoever faults for good costs more than asking in vain. */
static bool has_had_its_turns(const BlockCache *c, Habit h, const HabitSite *s)
{
    return s->turns >= c->config->habit_turns && h != HABIT_TOUCH;
}

void cache_note_habit(BlockCache *c, Habit h, Block *b, unsigned insn)
{
    const unsigned often[HABITS] = {[HABIT_CALL] = c->config->call_misses, [HABIT_TOUCH] = c->config->window_touch,
                                    [HABIT_ASIDE] = c->config->window_aside, [HABIT_DIVIDE] = c->config->divide_faults};
    uint64_t at = b->offset + block_insns(b)[insn].guest_off;
    HabitSite *s = habit_site(c, h, at);

    if (s->at != at) {
        *s = (HabitSite){.at = at};
    }
    if (s->is || has_had_its_turns(c, h, s) || ++s->times < often[h]) {
        return;
    }
    s->is = true;
    note_page(c, at);
    s->turns += s->turns < UINT8_MAX;
    c->n_habits[h]++;
    if (b->state == BLOCK_LIVE) {
        cache_kill_block(c, b);
    }
}

/* What it has mapped so far does not count. */
static void forget_asides(BlockCache *c, uint64_t at)
{
    HabitSite *s = habit_site(c, HABIT_ASIDE, at);

    if (s->at == at) {
        s->times = 0;
    }
}

void cache_drop_habit(BlockCache *c, Habit h, Block *b, unsigned insn)
{
    uint64_t at = b->offset + block_insns(b)[insn].guest_off;
    HabitSite *s = habit_site(c, h, at);

    if (h == HABIT_TOUCH && s->at == at && ++s->vain < 1u << MIN(s->turns, c->config->touch_doublings)) {
        return;
    }
    if (s->at == at) {
        s->is = false;
        s->times = s->vain = 0;
    }
    if (h == HABIT_TOUCH) {
        forget_asides(c, at);
    }
    if (b->state == BLOCK_LIVE) {
        c->n_dropped[h]++;
        cache_kill_block(c, b);
    }
}

void cache_note_touch(BlockCache *c, Block *b, unsigned insn, bool often)
{
    uint64_t at = b->offset + block_insns(b)[insn].guest_off;
    HabitSite *s = habit_site(c, HABIT_TOUCH, at);

    if (s->at == at) {
        s->vain = 0;
    }
    if (!often) {
        forget_asides(c, at);
    } else if (c->config->window_aside != 0) {
        cache_note_habit(c, HABIT_ASIDE, b, insn);
    }
}

bool cache_has_habit(const BlockCache *c, Habit h, uint64_t at)
{
    const HabitSite *s = habit_site(c, h, at);

    return s->at == at && s->is;
}

/* Blocks with the instruction at memfd offset `at` die. */
static void kill_blocks_with(BlockCache *c, uint64_t at)
{
    PageBlocks *p = c->page[at >> GUEST_PAGE_SHIFT];

    for (unsigned i = p != NULL ? p->n : 0; i-- > 0;) {
        const Block *b = block_of_entry(c, p, i);
        if (at - b->offset < b->guest_len) {
            block_kill_entry(c, p, i, false);
        }
    }
}

void cache_note_missed(BlockCache *c, uint64_t at)
{
    HabitSite *s = habit_site(c, HABIT_ASIDE, at);

    if (s->at != at || !s->is) {
        kill_blocks_with(c, at);   /* forgotten, or come back from the dead */
    } else if (++s->missed >= c->config->window_missed) {
        s->is = false;
        s->turns = UINT8_MAX;  /* for good */
        c->n_dropped[HABIT_ASIDE]++;
        kill_blocks_with(c, at);
    }
}

/* What kernels do changes: they map what they reach again, and go on from there. */
static void forgive_aside(BlockCache *c)
{
    for (unsigned i = 0; i < HABIT_SITES; i++) {
        HabitSite *s = &c->habit[HABIT_ASIDE][i];

        s->missed = 0;
        if (s->is && s->turns < c->config->habit_turns) {
            s->is = false;
            s->times = 0;
            kill_blocks_with(c, s->at);
        }
    }
}

void cache_forgive(BlockCache *c)
{
    GHashTableIter it;
    gpointer at, value;

    forgive_aside(c);
    g_hash_table_iter_init(&it, c->guilty);
    while (g_hash_table_iter_next(&it, &at, &value)) {
        Guilt *g = value;
        bool may = g->region == 0 && g->convictions <= c->config->window_pardons;
        if (may && g->weight >= c->config->window_faults) {
            c->n_pardons++;
            kill_blocks_with(c, GPOINTER_TO_SIZE(at));
        }
        if (may) {
            g->weight = 0;
        }
    }
}

void cache_forgive_regions(BlockCache *c, bool (*is_banned)(void *arg, uint64_t region), void *arg)
{
    GHashTableIter it;
    gpointer at, value;

    g_hash_table_iter_init(&it, c->guilty);
    while (g_hash_table_iter_next(&it, &at, &value)) {
        Guilt *g = value;
        if (g->region != 0 && !is_banned(arg, g->region)) {
            g->region = g->weight = 0;
            c->n_settled++;
            kill_blocks_with(c, GPOINTER_TO_SIZE(at));
        }
    }
}
