/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compiled without vector instructions, as all of the border.  The C library is called only while the vector state is put down; where it
 * was live it is loaded again, so that the helper finds it as it was.
 */
#include "translator/border-watch.h"

#include "translator/border-internal.h"

#include <stdio.h>
#include <string.h>

enum { IMAGE = 0xd501 };                    /* all flags of the lahf/seto image */
#define OTHER UINT64_C(0x00a5c3960f1e2d78) /* what registers that are not read are changed by */

/* What may be compared. */
typedef struct {
    uint64_t gpr[GPR_COUNT], flags;
    uint64_t seg[SEG_ALL_COUNT][4], cpl;
    uint64_t control[13], msr[128], other[10];
    VectorState vec;
    uint64_t memory, tlb, code, devices;
} Parts;

/* -- Looking ---------------------------------------------------------------------------------- */

/* Accessed and dirty bits, of entries of 8 and of 4 bytes, are nobody's. */
static uint64_t sum_of_memory(const PhysMem *pm)
{
    const uint64_t *p = (const uint64_t *)(const void *)pm->base;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < pm->used / 8; i++) {
        sum = (sum ^ (p[i] & ~UINT64_C(0x6000000060))) * UINT64_C(0x9e3779b97f4a7c15);
    }
    return sum;
}

/* Memory is much: a helper's first calls, and then some. */
static bool looks_at_memory(const PhysMem *pm, uint64_t n)
{
    enum { FIRST = 2, SOME = 256 };

    return pm->used <= WATCH_MEMORY && (n < FIRST || n % SOME == 0);
}

/* The vector state is put down. */
static void look(const TransCpu *tc, bool memory, Parts *p)
{
    const CpuState *cpu = tc->cpu;
    size_t n_control = (offsetof(CpuState, dr) + sizeof cpu->dr - offsetof(CpuState, cr0)) / 8;
    size_t n_msr = (offsetof(CpuState, tsc_jump) + 8 - offsetof(CpuState, pdpte)) / 8;
    uint64_t other[] = {cpu->gdtr.base, cpu->gdtr.limit, cpu->idtr.base, cpu->idtr.limit, cpu->rflags & ~(uint64_t)FLAGS_ARITH,
                        cpu->vec.xcr0, cpu->vec.xss, cpu->vec.pkru, cpu->nmi_masked, cpu->activity};

    g_assert(n_control == ARRAY_LEN(p->control) && n_msr <= ARRAY_LEN(p->msr));
    for (unsigned i = 0; i < SEG_ALL_COUNT; i++) {
        const Segment *s = &cpu->seg[i];
        uint64_t seg[] = {s->selector, s->limit, s->attr, s->base};
        memcpy(p->seg[i], seg, sizeof seg);
    }
    p->cpl = cpu->cpl;
    memcpy(p->control, &cpu->cr0, sizeof p->control);
    memset(p->msr, 0, sizeof p->msr);
    memcpy(p->msr, cpu->pdpte, n_msr * 8);
    memcpy(p->other, other, sizeof other);
    memcpy(&p->vec, &cpu->vec, offsetof(VectorState, pkru));
    p->memory = memory ? sum_of_memory(cpu->mem) : 0;
    p->tlb = cpu->mmu.tlb.n_changes;
    p->code = cpu->n_cpus == 1 ? tc->cache->n_dead : 0;
    p->devices = tc->watch->devices != NULL ? tc->watch->devices() : 0;
}

/* The vector state may be live: this is no memcmp(). */
static bool same(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a, *y = b;
    size_t i = 0;

    while (i < len && x[i] == y[i]) {
        i++;
    }
    return i == len;
}

static unsigned difference(const Parts *a, const Parts *b)
{
    bool control = !same(a->control, b->control, sizeof a->control), msr = !same(a->msr, b->msr, sizeof a->msr);

    return (!same(a->gpr, b->gpr, sizeof a->gpr) ? PART_GPR : 0) | (a->flags != b->flags ? PART_FLAGS : 0) |
           (!same(a->seg, b->seg, sizeof a->seg) || a->cpl != b->cpl ? PART_SEGMENTS : 0) |
           (control || msr || !same(a->other, b->other, sizeof a->other) ? PART_SYSTEM : 0) |
           (a->memory != b->memory ? PART_MEMORY : 0) |
           (!same(&a->vec, &b->vec, offsetof(VectorState, pkru)) ? PART_VECTORS : 0) |
           (a->devices != b->devices ? PART_DEVICES : 0) | (a->tlb != b->tlb ? PART_TLB : 0) | (a->code != b->code ? PART_CODE : 0);
}

/* With the vector state put down meanwhile. */
static void look_all(TransCpu *tc, bool memory, Parts *p)
{
    unsigned halves = (tc->vcb->vec_dead == 0 ? VEC_HALF_SSE : 0) | (tc->vcb->x87_dead == 0 ? VEC_HALF_X87 : 0);

    trans_vec_spill();
    look(tc, memory, p);
    trans_vec_load(halves);
}

/* -- Others' registers ---------------------------------------------------------------------------- */

/* What the helper does not read gets other values, where the Site says that the guest has it. */
static void disturb(TransCpu *tc, const Site *s, bool registers, bool flags)
{
    Vcb *v = tc->vcb;

    for (unsigned r = 0; registers && r < GPR_COUNT; r++) {
        *((s->borrowed >> r & 1) != 0 ? &v->saved[r] : &v->host[r]) ^= OTHER;
    }
    if (flags) {
        *((s->bits & MARK_FLAGS_SLOT) != 0 ? &v->flags_slot : &v->flags) ^= IMAGE;
    }
}

static void set_right(uint64_t *val, uint64_t is, uint64_t was)
{
    *val = *val == is ? was : *val;
}

/* Of an image as LAHF leaves it, with other bits. */
static void set_flags_right(uint64_t *val, uint64_t image)
{
    *val ^= (*val & IMAGE) == image ? IMAGE : 0;
}

/* All copies of what disturb() has made get their own values again. */
static void calm(TransCpu *tc, const Parts *disturbed, bool registers, bool flags)
{
    Vcb *v = tc->vcb;
    CpuState *cpu = tc->cpu;
    uint64_t image = state_flags_image(disturbed->flags);

    for (unsigned r = 0; registers && r < GPR_COUNT; r++) {
        uint64_t is = disturbed->gpr[r];
        set_right(&v->host[r], is, is ^ OTHER);
        set_right(&v->saved[r], is, is ^ OTHER);
        set_right(&cpu->gpr[r], is, is ^ OTHER);
    }
    if (flags) {
        set_flags_right(&v->flags, image);
        set_flags_right(&v->flags_slot, image);
        if ((cpu->rflags & FLAGS_ARITH) == disturbed->flags) {
            cpu->rflags ^= FLAGS_ARITH;
        }
    }
}

/* -- Judging --------------------------------------------------------------------------------------- */

static unsigned way_gone(const TransCpu *tc, const Site *s, bool done, bool raised)
{
    uint64_t rip = done ? tc->enter_rip : tc->cpu->rip;

    if (raised) {
        return WAY_RAISES;
    }
    return !done && !tc->attention ? WAY_REFUSES : rip != rip_of(tc, s) && rip != rip_behind(tc, s) ? WAY_JUMPS : 0;
}

/* Back in the block where it left: are the host's registers and flags as the row says? */
static bool is_host_as_said(const TransCpu *tc, const Site *s, const HelperInfo *row, const uint64_t *host)
{
    const Vcb *v = tc->vcb;

    if (!block_holds(s->block, (const uint8_t *)(uintptr_t)v->resume) || v->resume == (uint64_t)(uintptr_t)block_entry(s->block)) {
        return true;
    }
    if ((row->clobbers & CLOBBER_HOST) != 0) {
        return (tc->enter_bits & MARK_FLAGS_SLOT) == 0 || v->flags == v->flags_slot;
    }
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        if ((s->borrowed >> r & 1) != 0 && r != s->reg && v->host[r] != host[r]) {
            return false;
        }
    }
    return tc->enter_borrowed == s->borrowed && tc->enter_bits == s->bits;
}

static void complain(TransCpu *tc, const HelperInfo *row, unsigned changed, unsigned ways, bool host)
{
    HelperWatch *w = tc->watch;

    trans_vec_spill(); /* loaded again by who enters translated code, where it is wanted */
    if (w->wrong++ == 0) {
        snprintf(w->first, sizeof w->first, "helper %s changed %#x, of which it writes %#x; went %u of %u%s", row->name, changed,
                 row->writes, ways, row->ways, host ? "" : "; left the host's registers otherwise than it says");
    }
    if (!w->quiet && w->wrong <= 10) {
        fprintf(stderr, "%s: %s\n", "metaphrase", w->first);
    }
}

/* -- All ------------------------------------------------------------------------------------------ */

typedef struct {
    HelperWatch w;
    Parts before, after;
} Watch;

HelperWatch *helper_watch_new(void)
{
    Watch *w;

    if (stress_info[STRESS_helpers].one_in == 0) {
        return NULL;
    }
    w = g_new0(Watch, 1);
    w->w.rows = helper_info;
    return &w->w;
}

void helper_watch_free(HelperWatch *w)
{
    g_free(w);
}

bool helper_watch_help(TransCpu *tc, Block *b, const Site *s)
{
    Watch *w = (Watch *)tc->watch;
    Parts *before = &w->before, *after = &w->after;
    const HelperInfo *row = &w->w.rows[s->helper];
    CpuState *cpu = tc->cpu;
    HelperSeen *seen = &w->w.seen[s->helper];
    bool apart = (row->ways & WAY_RAISES) == 0 && (s->bits & ~MARK_FLAGS_SLOT) == 0;
    bool registers = apart && ((row->reads | row->writes) & PART_GPR) == 0;
    bool flags = apart && ((row->reads | row->writes) & PART_FLAGS) == 0, done, raised, host;
    uint64_t events = cpu->stats[STAT_EXCEPTIONS], was[GPR_COUNT];
    bool memory = looks_at_memory(cpu->mem, seen->n);
    unsigned changed, ways;

    if (!stress_hit(STRESS_helpers)) {
        return border_help(tc, b, s);
    }
    disturb(tc, s, registers, flags);
    state_registers(tc, s->borrowed, s->bits, before->gpr, &before->flags);
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        was[r] = tc->vcb->host[r];
    }
    look_all(tc, memory, before);
    done = border_help(tc, b, s);
    raised = events != cpu->stats[STAT_EXCEPTIONS];
    look_all(tc, memory, after);
    if (done) {
        state_registers(tc, tc->enter_borrowed, tc->enter_bits, after->gpr, &after->flags);
    } else if (tc->attention) {
        for (unsigned r = 0; r < GPR_COUNT; r++) {
            after->gpr[r] = cpu->gpr[r];
        }
        after->flags = cpu->rflags & FLAGS_ARITH;
    } else {
        state_registers(tc, s->borrowed, s->bits, after->gpr, &after->flags);
    }
    changed = difference(before, after);
    ways = way_gone(tc, s, done, raised);
    host = !done || raised || is_host_as_said(tc, s, row, was);
    seen->n++;
    seen->ways |= (uint8_t)ways;
    if (raised) { /* that is the delivery's */
        changed &= ~(unsigned)(PART_GPR | PART_FLAGS | PART_SEGMENTS | PART_SYSTEM | PART_MEMORY | PART_CODE);
    }
    seen->changed |= (uint16_t)changed;
    if ((changed & ~(unsigned)row->writes) != 0 || (ways & ~(unsigned)row->ways) != 0 || !host) {
        complain(tc, row, changed, ways, host);
    }
    calm(tc, before, registers, flags);
    return done;
}
