/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Regions of a 64-bit guest's linear space in which the window does not pay.
 *
 * A mapping costs what some thousand look-ups do.  Where a kernel maps and unmaps all the time and uses each page a few times
 * (Linux's vmalloc: tables of BPF, buffers), instructions are better off with the software TLB.  So a part, 1 GiB, has an account:
 * each mapping in it that is made where a flush has unmapped something before, and each page that is made writable again, books
 * `window_region_us`, which pass like time does.  When more than `window_region_burst` of them are ahead, the region, 2 MiB, of
 * whatever comes back becomes *restless*: for a term nothing more is mapped there, and each instruction that would need it is guilty
 * at once (class TLB, see block.h).  What is mapped stays, so what lives long is served as before.
 *
 *              too much comes back                          the term is over
 *    judged  --------------------->  restless (banned)  ----------------------->  judged, all pardoned
 *       ^                                 | a stack lies there, or too many instructions are found guilty:
 *       |         the term is over        v the ban costs more than it saves
 *       +------------------------------ trusted, all pardoned
 *
 * Every function would be guilty of a stack.  Terms double while a part goes on like that, and are short again after a calm time.
 *
 * This is bookkeeping alone: no locks, no clock, nothing is mapped here.  Times are microseconds that never decrease.
 */
#ifndef TRANSLATOR_WINDOWS_REGIONS_H
#define TRANSLATOR_WINDOWS_REGIONS_H

#include "softmmu/window.h"
#include "translator/policy.h"

enum { REGION_SHIFT = 21, REGIONS = 1024, REGION_PART_SHIFT = 30, REGION_PARTS = 256 };

typedef enum { REGION_JUDGED, REGION_BANNED, REGION_TRUSTED } RegionState;

typedef struct {
    uint64_t number;           /* address >> REGION_SHIFT; 0: nobody's                              */
    uint64_t until;            /* the end of the term, unless judged                                */
    uint32_t gone;             /* small pages that were unmapped, and not mapped since              */
    uint16_t sites;            /* instructions that a ban has made guilty                           */
    uint8_t state;             /* RegionState                                                      */
} WindowRegion;

typedef struct {
    uint64_t booked;           /* the account: what is booked lies before this time                 */
    uint64_t calm_at;          /* terms are short again                                             */
    uint8_t doublings;         /* of the next term                                                  */
} WindowPart;

typedef struct {
    WindowRegion region[REGIONS]; /* by number; a new one takes the place of another that is not banned */
    WindowPart part[REGION_PARTS]; /* by number, likewise: some may share one                         */
    unsigned n_banned;         /* now                                                               */
    bool ended;                /* a ban has ended: regions_take_ended()                              */
    uint64_t n_again;          /* statistics: bookings, bans, bans that ran out, and that were given up */
    uint64_t n_bans, n_served, n_wrong;
} WindowRegions;

/* Flushes have unmapped `pages` small pages at `lin`. */
void regions_gone(WindowRegions *r, uint64_t lin, uint64_t pages);

/* Up to `pages` small pages at `lin` have been mapped by a fault, or by who asked first.  True: a ban begins. */
bool regions_came(WindowRegions *r, const TransConfig *c, uint64_t lin, uint64_t pages, uint64_t now);

/* A page was made writable again by a fault.  True: a ban begins. */
bool regions_opened(WindowRegions *r, const TransConfig *c, uint64_t lin, uint64_t now);

bool regions_is_banned(const WindowRegions *r, uint64_t lin);

/* An instruction wants something mapped, or writable, at `lin`, `stack` being the stack pointer.  True: it will not be. */
bool regions_refuse(WindowRegions *r, const TransConfig *c, uint64_t lin, uint64_t stack, uint64_t now);

/* `run`, which holds `lin`, ends where banned regions begin. */
void regions_clip(const WindowRegions *r, uint64_t lin, WindowRun *run);

/* Terms end.  True: a ban has, since this was asked last. */
bool regions_take_ended(WindowRegions *r, uint64_t now);

/* For tests of everything else: `lin` is restless, or no region is any more. */
void regions_ban(WindowRegions *r, const TransConfig *c, uint64_t lin, uint64_t now);
void regions_end_all(WindowRegions *r);

#endif /* TRANSLATOR_WINDOWS_REGIONS_H */
