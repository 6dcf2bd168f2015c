/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/windows-regions.h"

enum {
    STACK = 16 << 10,          /* bytes of Linux's stacks                                           */
    DOUBLINGS = 6,
    CALM = 4,                  /* terms                                                             */
};

/* -- Where ---------------------------------------------------------------------------------------- */

static WindowRegion *place_of(WindowRegions *r, uint64_t number)
{
    return &r->region[number % REGIONS];
}

/* The region of `lin`, if it is known. */
static const WindowRegion *find(const WindowRegions *r, uint64_t lin)
{
    uint64_t number = lin >> REGION_SHIFT;
    const WindowRegion *g = &r->region[number % REGIONS];

    return g->number == number ? g : NULL;
}

/* ... which becomes known; NULL: a banned one has its place. */
static WindowRegion *take(WindowRegions *r, uint64_t lin)
{
    uint64_t number = lin >> REGION_SHIFT;
    WindowRegion *g = place_of(r, number);

    if (g->number != number) {
        if (g->state == REGION_BANNED) {
            return NULL;
        }
        *g = (WindowRegion){.number = number};
    }
    return g;
}

bool regions_is_banned(const WindowRegions *r, uint64_t lin)
{
    const WindowRegion *g = r->n_banned != 0 ? find(r, lin) : NULL;

    return g != NULL && g->state == REGION_BANNED;
}

static WindowPart *part_of(WindowRegions *r, const WindowRegion *g)
{
    return &r->part[(g->number >> (REGION_PART_SHIFT - REGION_SHIFT)) % REGION_PARTS];
}

/* -- Terms ---------------------------------------------------------------------------------------- */

static uint64_t next_term(WindowRegions *r, const TransConfig *c, const WindowRegion *g, uint64_t now)
{
    WindowPart *p = part_of(r, g);
    uint64_t term;

    if (now >= p->calm_at) {
        p->doublings = 0;
    }
    term = (uint64_t)c->window_region_ms * 1000 << p->doublings;
    p->doublings += p->doublings < DOUBLINGS;
    p->calm_at = now + CALM * term;
    return term;
}

static void begin_ban(WindowRegions *r, const TransConfig *c, WindowRegion *g, uint64_t now)
{
    g->state = REGION_BANNED;
    g->sites = 0;
    g->until = now + next_term(r, c, g, now);
    r->n_banned++;
    r->n_bans++;
}

static void end_ban(WindowRegions *r, WindowRegion *g, RegionState state)
{
    g->state = (uint8_t)state;
    g->gone = 0;
    r->n_banned--;
    r->ended = true;
}

bool regions_take_ended(WindowRegions *r, uint64_t now)
{
    bool ended;

    for (unsigned i = 0; r->n_banned != 0 && i < REGIONS; i++) {
        WindowRegion *g = &r->region[i];
        if (g->state == REGION_BANNED && now >= g->until) {
            end_ban(r, g, REGION_JUDGED);
            r->n_served++;
        }
    }
    ended = r->ended;
    r->ended = false;
    return ended;
}

void regions_ban(WindowRegions *r, const TransConfig *c, uint64_t lin, uint64_t now)
{
    WindowRegion *g = take(r, lin);

    if (g != NULL && g->state != REGION_BANNED) {
        begin_ban(r, c, g, now);
    }
}

void regions_end_all(WindowRegions *r)
{
    regions_take_ended(r, UINT64_MAX);
    memset(r->region, 0, sizeof r->region);
    memset(r->part, 0, sizeof r->part);
    r->ended = true;
}

/* -- Accounts ------------------------------------------------------------------------------------- */

/* True: that was too much. */
static bool book(WindowRegions *r, const TransConfig *c, WindowRegion *g, uint64_t now)
{
    WindowPart *p = part_of(r, g);
    uint64_t burst = (uint64_t)c->window_region_us * c->window_region_burst;

    r->n_again++;
    if (g->state == REGION_TRUSTED && now < g->until) {
        return false;
    }
    g->state = REGION_JUDGED;
    p->booked = MIN(MAX(p->booked, now) + c->window_region_us, now + burst);
    if (p->booked != now + burst) {
        return false;
    }
    begin_ban(r, c, g, now);
    return true;
}

void regions_gone(WindowRegions *r, uint64_t lin, uint64_t pages)
{
    WindowRegion *g = take(r, lin);

    if (g != NULL && g->state != REGION_BANNED) {
        g->gone = (uint32_t)MIN(g->gone + pages, UINT32_MAX);
    }
}

bool regions_came(WindowRegions *r, const TransConfig *c, uint64_t lin, uint64_t pages, uint64_t now)
{
    WindowRegion *g = take(r, lin);

    if (g == NULL || g->state == REGION_BANNED || g->gone == 0) {
        return false;
    }
    g->gone -= (uint32_t)MIN(g->gone, pages);
    return book(r, c, g, now);
}

bool regions_opened(WindowRegions *r, const TransConfig *c, uint64_t lin, uint64_t now)
{
    WindowRegion *g = take(r, lin);

    return g != NULL && g->state != REGION_BANNED && book(r, c, g, now);
}

/* -- Bans ----------------------------------------------------------------------------------------- */

bool regions_refuse(WindowRegions *r, const TransConfig *c, uint64_t lin, uint64_t stack, uint64_t now)
{
    WindowRegion *g;

    if (!regions_is_banned(r, lin)) {
        return false;
    }
    g = place_of(r, lin >> REGION_SHIFT);
    if (now >= g->until) {
        end_ban(r, g, REGION_JUDGED);
        r->n_served++;
        return false;
    }
    if (lin - stack + STACK < 2 * STACK || ++g->sites > c->window_region_sites) {
        end_ban(r, g, REGION_TRUSTED);
        g->until = now + next_term(r, c, g, now);
        r->n_wrong++;
        return false;
    }
    return true;
}

void regions_clip(const WindowRegions *r, uint64_t lin, WindowRun *run)
{
    const uint64_t size = UINT64_C(1) << REGION_SHIFT;
    uint64_t first = lin & ~(size - 1), last = lin | (size - 1), from = run->lin, to = run->lin + (run->len - 1);

    if (r->n_banned == 0) {
        return;
    }
    while (first > from && !regions_is_banned(r, first - 1)) {
        first -= size;
    }
    while (last < to && !regions_is_banned(r, last + 1)) {
        last += size;
    }
    first = MAX(first, from);
    run->offset += first - from;
    run->lin = first;
    run->len = MIN(last, to) - first + 1;
}
