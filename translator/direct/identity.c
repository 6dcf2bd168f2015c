/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/identity.h"

#include "translator/direct/direct-state.h"

enum { PTE_P = 1 << 0, PTE_US = 1 << 2, PTE_PS = 1 << 7 };

/* How the tables of a paging mode look. */
typedef struct {
    unsigned levels, index_bits, top_entries; /* of the topmost table those that can be of user pages */
    bool wide;                 /* entries of 8 bytes, else 4 */
    bool top_has_rights;       /* not PAE's */
} Tables;

typedef struct {
    const DirectCpu *dc;
    Tables t;
    bool highest;              /* of the user pages, else the lowest */
    uint64_t lin, phys;        /* what was found */
} Search;

static Tables tables_of(const CpuState *cpu)
{
    if ((cpu->mode & MODE_LMA) != 0) {
        return (Tables){.levels = 4, .index_bits = 9, .top_entries = 256, .wide = true, .top_has_rights = true};
    }
    return (cpu->cr4 & CR4_PAE) != 0
               ? (Tables){.levels = 3, .index_bits = 9, .top_entries = 4, .wide = true}
               : (Tables){.levels = 2, .index_bits = 10, .top_entries = 1024, .top_has_rights = true};
}

/* Entry `i` of a table; 0: no user pages are behind it. */
static uint64_t user_entry(const Search *s, const uint8_t *table, unsigned i, unsigned level)
{
    uint64_t e = s->t.wide ? __atomic_load_n((const uint64_t *)table + i, __ATOMIC_RELAXED)
                           : __atomic_load_n((const uint32_t *)table + i, __ATOMIC_RELAXED);
    uint64_t must = level < s->t.levels || s->t.top_has_rights ? PTE_P | PTE_US : PTE_P;

    return (e & must) == must ? e : 0;
}

static bool search(Search *s, uint64_t table, unsigned level)
{
    const uint64_t address = s->t.wide ? 0x000ffffffffff000 : 0xfffff000;
    unsigned n = level == s->t.levels ? s->t.top_entries : 1U << s->t.index_bits;
    const uint8_t *at = direct_memory(s->dc, guest_phys(table & address));

    if (at != NULL && level == s->t.levels && !s->t.top_has_rights) {
        at += table & 0xfe0; /* PAE's is no page */
    }
    for (unsigned k = 0; at != NULL && k < n; k++) {
        unsigned i = s->highest ? n - 1 - k : k;
        uint64_t e = user_entry(s, at, i, level);

        if (e != 0 && (level == 1 || (e & PTE_PS) != 0)) {
            s->phys = e & address;
        } else if (e == 0 || !search(s, e, level - 1)) {
            continue;
        }
        s->lin |= (uint64_t)i << (GUEST_PAGE_SHIFT + s->t.index_bits * (level - 1));
        return true;
    }
    return false;
}

static Search find(const DirectCpu *dc, bool highest)
{
    const CpuState *cpu = dc->cpu;
    Search s = {.dc = dc, .t = tables_of(cpu), .highest = highest};

    if ((cpu->cr0 & CR0_PG) != 0) {
        search(&s, cpu->cr3, s.t.levels);
    }
    return s;
}

uint64_t identity_of_process(const DirectCpu *dc)
{
    return find(dc, true).lin;
}

uint64_t identity_of_program(const DirectCpu *dc)
{
    return find(dc, false).phys;
}
