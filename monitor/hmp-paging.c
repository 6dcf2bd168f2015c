/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `info tlb` and `info mem`: what the page tables of the current CPU map (SDM 3A, chapter 4), read from memory
 * without setting accessed bits.  Entries that point nowhere read as all ones and are shown as they are.
 */
#include "monitor/hmp-internal.h"

#include "monitor/run-loop.h"
#include "softmmu/base/bits.h"

#include <string.h>

enum { P = 1, W = 2, U = 4, PWT = 8, PCD = 16, A = 32, D = 64, LARGE = 128, G = 256 };
#define NX BIT64(63)
#define ADDRESS UINT64_C(0x000ffffffffff000)

/* An answer to a guest that maps all of its address space by 4 KiB pages must end. */
enum { MAX_LINES = 200000 };

typedef struct {
    HmpCall *call;
    unsigned entry_len;        /* 4 or 8 bytes                                      */
    unsigned bits;             /* of the address that a level translates: 9 or 10   */
    bool wide;                 /* 64-bit addresses                                  */
    bool ranges;               /* info mem                                          */
    unsigned lines;
    uint64_t begin, end;       /* the range so far; end 0: none                     */
    unsigned rights;
} Walk;

static void put_range(Walk *w)
{
    int digits = w->wide ? 16 : 8;

    if (w->end != w->begin) {
        g_string_append_printf(w->call->out, "%0*" G_GINT64_MODIFIER "x-%0*" G_GINT64_MODIFIER "x %0*"
                               G_GINT64_MODIFIER "x %c%c%c\n", digits, w->begin, digits, w->end, digits,
                               w->end - w->begin, w->rights & U ? 'u' : '-', 'r',
                               w->rights & W ? 'w' : '-');
        w->lines++;
    }
    w->begin = w->end = 0;
}

static void add_range(Walk *w, uint64_t lin, uint64_t len, unsigned rights)
{
    if (w->end != lin || w->rights != rights || w->begin == w->end) {
        put_range(w);
        w->begin = lin;
        w->rights = rights;
    }
    w->end = lin + len;
}

static void put_page(Walk *w, uint64_t lin, uint64_t entry, uint64_t len, bool large)
{
    static const struct {
        uint64_t bit;
        char letter;
    } flags[] = {{G, 'G'}, {LARGE, 'P'}, {D, 'D'}, {A, 'A'}, {PCD, 'C'}, {PWT, 'T'}, {U, 'U'}, {W, 'W'}};
    int digits = w->wide ? 16 : 8;

    g_string_append_printf(w->call->out, "%0*" G_GINT64_MODIFIER "x: %016" G_GINT64_MODIFIER "x %c",
                           digits, lin, entry & ADDRESS & ~(len - 1), entry & NX ? 'X' : '-');
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        bool on = (entry & flags[i].bit) != 0 && (flags[i].bit != LARGE || large);
        g_string_append_c(w->call->out, on ? flags[i].letter : '-');
    }
    g_string_append_c(w->call->out, '\n');
    w->lines++;
}

/* `table` translates addresses from `lin`, `shift` bits of them an entry; `rights` (U, W) is what the levels
 * above allow. */
static void walk_table(Walk *w, uint64_t table, uint64_t lin, unsigned shift, unsigned rights)
{
    unsigned n = 1u << w->bits;
    uint8_t buf[4096];

    if (w->entry_len == 8 && shift == 30 && w->bits == 9 && !w->wide) {
        n = 4;                 /* PAE: four pointers, without rights */
    }
    if (!phys_copy_from(w->call->machine->mem, buf, guest_phys(table), (uint64_t)n * w->entry_len)) {
        return;
    }
    for (unsigned i = 0; i < n && w->lines < MAX_LINES; i++) {
        uint64_t e = load_le(buf + i * w->entry_len, w->entry_len), at = lin + ((uint64_t)i << shift);
        bool pointer = n == 4, large = shift > 12 && (e & LARGE) != 0 && shift <= 30 && !pointer;
        unsigned here = pointer ? rights : rights & (unsigned)e;

        if (w->entry_len == 4 && large && !(w->call->machine->cpus[*w->call->current_cpu]->cr4 & CR4_PSE)) {
            large = false;
        }
        at = w->wide && shift >= 39 ? (uint64_t)((int64_t)(at << 16) >> 16) : at;
        if (!(e & P)) {
            continue;
        }
        if (shift > 12 && !large) {
            walk_table(w, e & (w->entry_len == 4 ? 0xfffff000u : ADDRESS), at, shift - w->bits, here);
        } else if (w->ranges) {
            add_range(w, at, UINT64_C(1) << shift, here);
        } else {
            put_page(w, at, e, UINT64_C(1) << shift, large);
        }
    }
}

static void walk(HmpCall *c, bool ranges)
{
    CpuState *cpu = hmp_cpu_of(c);
    Walk w = {.call = c, .ranges = ranges, .entry_len = 8, .bits = 9};

    if (cpu == NULL) {
        hmp_error(c, "this machine has no CPU");
        return;
    }
    run_loop_pause(c->machine);
    if (!(cpu->cr0 & CR0_PG)) {
        g_string_append(c->out, "PG disabled\n");
    } else if (!(cpu->cr4 & CR4_PAE)) {
        w.entry_len = 4;
        w.bits = 10;
        walk_table(&w, cpu->cr3 & 0xfffff000, 0, 22, U | W);
    } else if (!(cpu->efer & EFER_LMA)) {
        walk_table(&w, cpu->cr3 & 0xffffffe0, 0, 30, U | W);
    } else {
        w.wide = true;
        walk_table(&w, cpu->cr3 & ADDRESS, 0, cpu->cr4 & CR4_LA57 ? 48 : 39, U | W);
    }
    put_range(&w);
    run_loop_resume(c->machine);
    if (w.lines >= MAX_LINES) {
        g_string_append(c->out, "... and so on\n");
    }
}

void hmp_info_tlb(HmpCall *c)
{
    walk(c, false);
}

void hmp_info_mem(HmpCall *c)
{
    walk(c, true);
}
