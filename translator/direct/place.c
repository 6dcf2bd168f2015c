/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/place.h"

#include "cpu-x86/walk.h"
#include "translator/direct/direct-state.h"

enum { LINUX_MMAP = 9, LINUX_MREMAP = 25 };

void place_note_call(Space *s, const CpuState *cpu)
{
    uint64_t nr = cpu->gpr[GPR_RAX];

    if (nr == LINUX_MMAP || nr == LINUX_MREMAP) {
        s->asks_len = cpu->gpr[nr == LINUX_MMAP ? GPR_RSI : GPR_RDX];
        s->asks_rip = cpu->next_rip;
    }
}

/* The call has come back, with an address: remember large pieces, and this one at least. */
static void take_answer(Space *s, const CpuState *cpu)
{
    enum { LARGE = 1 << 30 };
    uint64_t at = cpu->gpr[GPR_RAX];
    unsigned i = s->n_asked % SPACE_ASKED;

    if (s->asks_len == 0 || cpu->rip != s->asks_rip) {
        return;
    }
    if (at < W_TOP && s->asks_len <= W_TOP - at) {
        s->asked[i] = (PlaceAsked){at, s->asks_len};
        s->n_asked += s->asks_len >= LARGE;
    }
    s->asks_len = 0;
}

/* As it happens the guest's tables have nothing in all of the stub's 512 GiB. */
static bool top_entry_is_empty(const DirectCpu *dc, uint64_t base)
{
    enum { TOP_SHIFT = 39, PTE_P = 1 };
    const uint8_t *top = direct_memory(dc, guest_phys(dc->cpu->cr3 & 0x000ffffffffff000));

    return (base + W_LEN - 1) >> TOP_SHIFT == base >> TOP_SHIFT && top != NULL &&
           (__atomic_load_n((const uint64_t *)top + (base >> TOP_SHIFT), __ATOMIC_RELAXED) & PTE_P) == 0;
}

static bool has_pages(const DirectCpu *dc, uint64_t base)
{
    unsigned shift;
    GuestPhys phys;

    if ((dc->cpu->mode & MODE_LMA) == 0 || top_entry_is_empty(dc, base)) {
        return false; /* 32-bit addresses end below it */
    }
    for (uint64_t at = base; at < base + W_LEN; at += GUEST_PAGE_SIZE) {
        if (cpu_walk_peek(dc->cpu, guest_lin(at), TLB_USER, &phys, &shift) != 0) {
            return true;
        }
    }
    return false;
}

bool place_is_wanted(const DirectCpu *dc, Space *s)
{
    uint64_t base = s->world->base;

    take_answer(s, dc->cpu);
    for (unsigned i = 0; i < SPACE_ASKED; i++) {
        if (base < s->asked[i].at + s->asked[i].len && base + W_LEN > s->asked[i].at) {
            return true;
        }
    }
    return has_pages(dc, base);
}
