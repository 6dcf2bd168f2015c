/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The border (border.c): memory operands that the software TLB did not know, and string instructions.  As border.c, compiled without vector instructions. */
#include "translator/border-internal.h"

#include "cpu-x86/walk.h"
#include "translator/glue.h"
#include "translator/windows.h"

#include <x86intrin.h>

/* -- Look-ups --------------------------------------------------------------------------------- */

static bool hits(const TransCpu *tc, uint64_t lin, unsigned size, TlbAccess a)
{
    CpuState *cpu = tc->cpu;

    return tlb_within_page(lin, size) && tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin, a) != NULL;
}

/* An access over a page end whose two pages lie side by side in the host: *host is its place. */
static bool crossing_is_contiguous(TransCpu *tc, uint64_t lin, unsigned size, TlbAccess a, uint64_t *host)
{
    Tlb *tlb = &tc->cpu->mmu.tlb;
    TlbClass c = tc->cpu->tlb_class;
    uint64_t last = lin + size - 1;
    uint8_t *p = tlb_hit(tlb, c, lin, a), *q = tlb_hit(tlb, c, last, a);

    *host = (uint64_t)(uintptr_t)p;
    return p != NULL && q != NULL && q - p == size - 1;
}

/* There is no memory to be had by the software TLB. */
static bool missed(TransCpu *tc, Block *b, const Site *s)
{
    trans_vec_spill();
    trans_note_habit(tc, HABIT_CALL, b, s->insn);
    return false;
}

/* Of so many accesses beside near pages, and of so many runs that are not in one page, the last is held against its instruction, where they came
 * within so many cycles each.  Where they come less often they are what flushes and switches cost, or stacks that go over a page's end now and
 * then: some 200 cycles for an access, 1,000 for a run, against five that the look-up takes longer each time. */
enum { NEAR_MISSES = 256, NEAR_APART = 8000, RUN_MISSES = 16, RUN_APART = 30000 };

static void hold_against(TransCpu *tc, Block *b, unsigned insn, TransMisses *m, unsigned every, uint64_t apart)
{
    uint64_t now;

    if (likely(++m->n % every != 0)) {
        return;
    }
    now = __rdtsc();
    if (now - m->since < every * apart) {
        trans_vec_spill();
        lock_take(&tc->cache->lock);
        cache_note_far(tc->cache, b, insn);
        lock_release(&tc->cache->lock);
    }
    m->since = now;
}

/* An access at `lin`, which hits, was not to a near page. */
static bool go_near(TransCpu *tc, Block *b, const Site *s, uint64_t lin, TlbAccess a)
{
    Tlb *tlb = &tc->cpu->mmu.tlb;

    tc->vcb->host[s->reg] = (uint64_t)(uintptr_t)tlb_hit(tlb, tc->cpu->tlb_class, lin, a) - (s->addend ? lin : 0);
    tlb_come_near(tlb, tc->cpu->tlb_class, lin);
    hold_against(tc, b, s->insn, &tc->near_misses, NEAR_MISSES, NEAR_APART);
    return border_go_back(tc, s, s->hit_off);
}

/* The accesses of a run, of which the first at `lin` hits: are they in one page that may be near?  Else its first instruction is done by
 * itself. */
static bool run_is_near(TransCpu *tc, Block *b, const Site *s, uint64_t lin)
{
    tlb_refresh_store(&tc->cpu->mmu.tlb, tc->cpu->tlb_class, guest_lin(lin));
    if (hits(tc, lin + (uint64_t)(int64_t)s->run_from, s->run_len, TLB_STORE)) {
        return true;
    }
    hold_against(tc, b, s->insn, &tc->run_misses, RUN_MISSES, RUN_APART);
    return false;
}

/* An instruction that met other pages than its own so often within so many cycles is better off with the TLB. */
enum { SPOT_MISSES = 64, SPOT_CYCLES = SPOT_MISSES * 2000 };

static TlbSpot *spot_of(const TransCpu *tc, const Site *s)
{
    return &tc->vcb->lent.spot[s->base / TLB_SPOTS][s->base % TLB_SPOTS];
}

/* Its spot asks whether it is. */
static void judge_spot(TransCpu *tc, Block *b, const Site *s)
{
    TlbSpot *spot = spot_of(tc, s);
    uint64_t now = __rdtsc();

    if (now - spot->since < SPOT_CYCLES) {
        trans_vec_spill();
        lock_take(&tc->cache->lock);
        cache_note_far(tc->cache, b, s->insn);
        lock_release(&tc->cache->lock);
    }
    spot->since = now;
    spot->left = SPOT_MISSES;
}

/* trans_fill() has found a page fault, where CR2 was `cr2`: perhaps the instruction raises another exception first. */
static bool raise_fault(TransCpu *tc, Block *b, const Site *s, uint64_t cr2)
{
    if (!s->may_raise) {
        tc->cpu->cr2 = cr2;
    }
    return border_deliver_fault(tc, b, s);
}

bool border_look_up(TransCpu *tc, Block *b, const Site *s)
{
    uint64_t lin = s->near ? tc->vcb->host[s->base] + (uint64_t)(int64_t)s->disp : tc->vcb->host[s->reg];
    uint64_t last = lin + s->size - 1;
    TlbAccess a = s->write ? TLB_STORE : TLB_LOAD;
    uint64_t cr2 = tc->cpu->cr2;

    if (s->spot && spot_of(tc, s)->left < 0) {
        judge_spot(tc, b, s);
    }
    if (s->group != 0) { /* its members are looked up one by one where the TLB does not have them all */
        return border_go_back(tc, s, s->retry_off);
    }
    if (!is_canonical(lin) || !is_canonical(last) || ((s->env & ENV_CODE32) != 0 && last > UINT32_MAX)) {
        return false;
    }
    if (!hits(tc, lin, s->size, a)) {
        if (!trans_fill(tc, lin, a)) {
            return raise_fault(tc, b, s, cr2);
        }
        if (unlikely(s->aside)) {
            windows_note_aside(tc, lin, b->offset + block_insns(b)[s->insn].guest_off);
        }
        if (unlikely(tc->vcb->n_announced != tc->vcb->n_taken)) {
            walk_ahead(tc);
        }
        if (((lin ^ last) & GUEST_PAGE_MASK) != 0 && s->run_len == 0) {
            uint64_t host;
            if (!trans_fill(tc, last & GUEST_PAGE_MASK, a)) {
                return raise_fault(tc, b, s, cr2);
            }
            if (!crossing_is_contiguous(tc, lin, s->size, a, &host)) {
                return missed(tc, b, s);
            }
            tc->vcb->host[s->reg] = host - (s->addend ? lin : 0);
            tlb_to_host(tc);
            return border_go_back(tc, s, s->hit_off);
        }
        if (!hits(tc, lin, s->size, a)) {
            return missed(tc, b, s);
        }
        tlb_to_host(tc);
    }
    if (s->run_len != 0 && !run_is_near(tc, b, s, lin)) {
        return false;
    }
    return s->near ? go_near(tc, b, s, lin, a) : border_go_back(tc, s, s->retry_off);
}

/* -- String instructions ---------------------------------------------------------------------- */

/* Bytes up to which a loop is cheaper than starting a string instruction. */
enum { FEW = 96 };

/* The same bytes as a string instruction leaves, eight at a time: elements as wide, or far enough apart. */
static void move_few(uint64_t to, uint64_t from, uint64_t len)
{
    uint8_t *d = (uint8_t *)(uintptr_t)to;
    const uint8_t *p = (const uint8_t *)(uintptr_t)from;

    for (; len >= 8; len -= 8, d += 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        memcpy(d, &word, 8);
        __asm__ volatile("" : : : "memory"); /* this is no memmove() */
    }
    for (; len > 0; len--) {
        *d++ = *p++;
        __asm__ volatile("" : : : "memory");
    }
}

static void store_few(uint64_t to, uint64_t pattern, uint64_t len)
{
    uint8_t *d = (uint8_t *)(uintptr_t)to;

    for (; len >= 8; len -= 8, d += 8) {
        memcpy(d, &pattern, 8);
        __asm__ volatile("" : : : "memory"); /* this is no memset() */
    }
    for (; len > 0; len--, pattern >>= 8) {
        *d++ = (uint8_t)pattern;
        __asm__ volatile("" : : : "memory");
    }
}

/* The low `size` bytes of val, again and again. */
static uint64_t repeated(uint64_t val, unsigned size)
{
    return size == 1   ? (uint8_t)val * UINT64_C(0x0101010101010101)
           : size == 2 ? (uint16_t)val * UINT64_C(0x0001000100010001)
           : size == 4 ? (uint32_t)val * UINT64_C(0x0000000100000001)
                       : val;
}

static void move(uint64_t to, uint64_t from, uint64_t n, unsigned size)
{
    if (n * size <= FEW && (size == 8 || to - from >= 8)) {
        move_few(to, from, n * size);
        return;
    }
    switch (size) {
    case 1: __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 2: __asm__ volatile("rep movsw" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    case 4: __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(n) : : "memory"); break;
    default: __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    }
}

static void store(uint64_t to, uint64_t val, uint64_t n, unsigned size)
{
    if (n * size <= FEW) {
        store_few(to, repeated(val, size), n * size);
        return;
    }
    switch (size) {
    case 1: __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(val) : "memory"); break;
    case 2: __asm__ volatile("rep stosw" : "+D"(to), "+c"(n) : "a"(val) : "memory"); break;
    case 4: __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(val) : "memory"); break;
    default: __asm__ volatile("rep stosq" : "+D"(to), "+c"(n) : "a"(val) : "memory");
    }
}

/* Host address of plain memory at lin and the bytes to its page's end, or 0. */
static uint64_t plain_memory(TransCpu *tc, uint64_t lin, TlbAccess a, uint64_t *room)
{
    CpuState *cpu = tc->cpu;
    void *p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin, a);

    *room = GUEST_PAGE_SIZE - (lin & GUEST_PAGE_OFFSET_MASK);
    if (p == NULL && border_fill_if_there(tc, lin, a)) {
        p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin, a);
    }
    return (uint64_t)(uintptr_t)p;
}

/* Page by page; what cannot be done so (faults, devices, code) is left to the interpreter, which finds
 * the registers as far as we have come. */
bool border_string(TransCpu *tc, Block *b, const Site *s)
{
    const uint64_t mask = (s->env & ENV_CODE32) != 0 ? UINT32_MAX : UINT64_MAX;
    uint64_t *r = tc->vcb->host, left = s->reg ? r[GPR_RCX] & mask : 1;

    if (((r[GPR_RDI] | r[GPR_RSI]) & ~mask) != 0) {
        return false; /* left over from 64-bit code */
    }
    while (left > 0 && !trans_wants_attention(tc->cpu)) {
        uint64_t room, room_from = GUEST_PAGE_SIZE, from = 0, n;
        uint64_t to = plain_memory(tc, r[GPR_RDI], TLB_STORE, &room);

        if (!s->write) {
            from = plain_memory(tc, r[GPR_RSI], TLB_LOAD, &room_from);
            /* the second fill may have taken the first one's entry */
            to = to != 0 ? plain_memory(tc, r[GPR_RDI], TLB_STORE, &room) : 0;
        }
        n = MIN(left, MIN(room, room_from) / s->size);
        if (to == 0 || n == 0 || (!s->write && from == 0)) {
            return false;
        }
        if (s->write) {
            store(to, r[GPR_RAX], n, s->size);
        } else {
            move(to, from, n, s->size);
            r[GPR_RSI] = (r[GPR_RSI] + n * s->size) & mask;
        }
        r[GPR_RDI] = (r[GPR_RDI] + n * s->size) & mask;
        left -= n;
        r[GPR_RCX] = s->reg ? left : r[GPR_RCX];
    }
    if (left > 0) {
        set_rip(tc, s);
        state_from_host(tc, s->borrowed, s->bits);
        trans_count_halfway(tc);
        tc->attention = true;
        return false;
    }
    tlb_to_host(tc);
    trans_count(tc, s->insn + 1u);
    tc->cpu->rip = rip_behind(tc, s);
    return border_go_on(tc, site_at(s, s->resume_off), s->borrowed, s->bits, s->vec);
}
