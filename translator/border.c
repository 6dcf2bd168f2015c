/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The border: translated code has left; bring about what it left for and go back, or to the
 * dispatcher.
 *
 * The guest's vector state is still in the host's registers here.  This file, and what it calls
 * before trans_vec_spill(), is compiled without vector instructions (meson.build) and calls nothing
 * of the C library that could use them.
 */
#include "cpu-x86/debug.h"
#include "cpu-x86/exception.h"
#include "cpu-x86/insns.h"
#include "cpu-x86/segment.h"
#include "cpu-x86/walk.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"
#include "translator/engine-internal.h"
#include "translator/glue.h"
#include "translator/quick.h"
#include "translator/verify.h"
#include "translator/windows.h"

#include <x86intrin.h>

/* -- Going back ------------------------------------------------------------------------------- */

/* The guest's address of Site s, which has left. */
static uint64_t rip_of(const TransCpu *tc, const Site *s)
{
    return s->shared ? (tc->vcb->here & GUEST_PAGE_MASK) | (s->rip & GUEST_PAGE_OFFSET_MASK) : s->rip;
}

/* The CpuState is at its instruction, which has not been executed. */
static void set_rip(TransCpu *tc, const Site *s)
{
    tc->cpu->rip = rip_of(tc, s);
    tc->cpu->shadow |= s->after_sti;
}

/* Where the guest is behind it, if that does not lead elsewhere. */
static uint64_t rip_behind(const TransCpu *tc, const Site *s)
{
    uint64_t next = rip_of(tc, s) + s->len;

    return (s->env & ENV_CODE32) != 0 ? (uint32_t)next : next;
}

/*
 * Go on at `resume` with the host's registers as they left and `borrowed` and `bits` as in a Mark; the
 * guest is at the rip that the CpuState says.  False: something wants attention, and the CpuState is
 * up to date.
 */
static bool go_on(TransCpu *tc, const uint8_t *resume, uint16_t borrowed, unsigned bits, uint8_t vec)
{
    CpuState *cpu = tc->cpu;

    if (unlikely(across_is_old(tc))) {
        across_update(tc);
    }
    if (unlikely(tc->seen_resizes != cpu->mmu.tlb.n_resizes)) {
        tlb_to_host(tc); /* to find the code's page, say, has made a table grow */
    }
    tc->enter_rip = cpu->rip;
    tc->enter_shadow = cpu->shadow;
    tc->enter_borrowed = borrowed;
    tc->enter_bits = (uint8_t)bits;
    tc->vcb->vec_wanted = vec;
    /* before the requests are looked at: a kick either finds `resume` set, or its request is seen; we have been
     * `inside` all the time, so that a kick is a signal to this thread */
    __atomic_store_n(&tc->vcb->resume, (uint64_t)(uintptr_t)resume, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    trans_answer(tc);
    if (likely(cpu_requests(cpu) == 0 || !trans_wants_attention(cpu))) {
        verify_before_entry(tc);
        cpu->shadow = false; /* generated code sees to it */
        return true;
    }
    state_from_host(tc, borrowed, bits);
    tc->attention = true;
    return false;
}

/* To a place within the block where it left, with the state it left with. */
static bool go_back(TransCpu *tc, const Site *s, unsigned host_off)
{
    set_rip(tc, s);
    return go_on(tc, s->code + host_off, s->borrowed, s->bits, s->vec);
}

/* -- Look-ups --------------------------------------------------------------------------------- */

static bool hits(const TransCpu *tc, uint64_t lin, unsigned size, TlbAccess a)
{
    CpuState *cpu = tc->cpu;

    return tlb_within_page(lin, size) && tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin, a) != NULL;
}

bool trans_fill(TransCpu *tc, uint64_t lin, TlbAccess a)
{
    CpuState *cpu = tc->cpu;
    const TlbSide *s = tlb_probe(&cpu->mmu.tlb, cpu->tlb_class, guest_lin(lin));
    uint8_t right = a == TLB_LOAD ? TLB_R_READ : a == TLB_STORE ? TLB_R_WRITE : TLB_R_EXEC;

    if (s == NULL || (s->rights & right) == 0) {
        if (unlikely(tlb_is_thrashing(&cpu->mmu.tlb, cpu->tlb_class))) {
            trans_vec_spill();
        }
        return cpu_walk_try(cpu, guest_lin(lin), a, cpu->tlb_class);
    }
    if (a == TLB_STORE) {
        tlb_refresh_store(&cpu->mmu.tlb, cpu->tlb_class, guest_lin(lin));
    }
    return true;
}

/* Of 48 bits: the page walk looks at no others. */
static bool is_canonical(uint64_t lin)
{
    return (uint64_t)((int64_t)(lin << 16) >> 16) == lin;
}

/* trans_fill() for who may do without: a fault that is not delivered leaves CR2 as it was. */
static bool fill_if_there(TransCpu *tc, uint64_t lin, TlbAccess a)
{
    uint64_t cr2 = tc->cpu->cr2;

    if (is_canonical(lin) && trans_fill(tc, lin, a)) {
        return true;
    }
    tc->cpu->cr2 = cr2;
    return false;
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

/* -- The way to a block ----------------------------------------------------------------------- */

const uint8_t *trans_code_at(TransCpu *tc, uint64_t rip)
{
    CpuState *cpu = tc->cpu;
    const uint8_t *p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, rip, TLB_FETCH);

    if (p == NULL && fill_if_there(tc, rip, TLB_FETCH)) {
        p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, rip, TLB_FETCH);
    }
    return p;
}

/* The block at rip in environment env, when this CPU has met it lately, be it in another address space: no
 * locks.  Now it is in the jump cache. */
static const uint8_t *find_far(TransCpu *tc, uint64_t rip, uint32_t env)
{
    const uint8_t *p = trans_code_at(tc, rip);
    const FarEntry *f = far_slot(tc, p);

    if (p == NULL || f->guest != p || f->rip != far_rip(tc, rip, env) || f->env != env || f->epoch != tc->far_epoch ||
        __atomic_load_n(&tc->shared->evicting, __ATOMIC_ACQUIRE)) {
        return NULL;
    }
    tlb_note_code(&tc->cpu->mmu.tlb, tc->cpu->tlb_class, guest_lin(rip));
    trans_jump_cache_add(tc, rip, f);
    return f->code;
}

/* To the block at rip, in environment env. */
static bool quick_way(TransCpu *tc, uint32_t env)
{
    const uint8_t *code = find_far(tc, tc->cpu->rip, env);

    if (code == NULL) {
        return false;
    }
    tc->vcb->here = tc->cpu->rip;
    return go_on(tc, code, env_own_regs(env), 0, 0);
}

/* C has changed the CpuState, rip, mode and all; its registers are up to date.  Can translated code go on there,
 * for which the host's are ready then? */
static bool state_is_translated(TransCpu *tc)
{
    const CpuState *cpu = tc->cpu;

    tc->attention = true;
    if (trans_wants_attention(cpu) || trans_needs_single_steps(cpu) || !trans_mode_is_translated(cpu)) {
        return false;
    }
    state_to_host(tc);
    return true;
}

/* The dispatcher wants to see entries of user code. */
static bool watched(const TransCpu *tc)
{
    return tc->cpu->cpl == 3 && tc->vcb->watch_user != 0;
}

/* ... True: to the block there. */
static bool go_anywhere(TransCpu *tc)
{
    return state_is_translated(tc) && !watched(tc) && quick_way(tc, tc->env);
}

/* The block at rip in the jump cache, or NULL. */
static const uint8_t *find_near(const TransCpu *tc, uint64_t rip)
{
    const Vcb *v = tc->vcb;
    unsigned slot = vcb_jump_slot(rip, tc->config->jump_cache);

    return v->jc_ntag[slot] + rip + v->jc_key == 0 ? (const uint8_t *)(uintptr_t)v->jc_code[slot] : NULL;
}

/*
 * ... where only RSP, rip, RFLAGS and segments have changed, between state_return_borrowed() and this: the other
 * registers are in the vCPU block.
 */
static bool go_across(TransCpu *tc)
{
    const CpuState *cpu = tc->cpu;
    const uint8_t *code = NULL;

    crossed_to_host(tc);
    if (likely(!trans_wants_attention(cpu) && !trans_needs_single_steps(cpu) && trans_mode_is_translated(cpu) &&
               !watched(tc))) {
        code = find_near(tc, cpu->rip);
        code = code != NULL ? code : find_far(tc, cpu->rip, tc->env);
    }
    if (code == NULL) {
        state_from_host(tc, 0, 0);
        registers_to_host(tc);
        tc->attention = true;
        return false;
    }
    for (unsigned left = env_own_regs(tc->env); left != 0; left &= left - 1) {
        unsigned r = (unsigned)__builtin_ctz(left);
        tc->vcb->saved[r] = tc->vcb->host[r]; /* 32-bit code begins with them borrowed */
    }
    tc->vcb->here = cpu->rip;
    return go_on(tc, code, env_own_regs(tc->env), 0, 0);
}

/* May events be delivered, and returned from, so? */
static bool crosses_quickly(const TransCpu *tc, const Site *s)
{
    return tc->config->quick && (s->env & ENV_CODE32) == 0 && tc->lockstep == NULL;
}

/*
 * Do f(cpu, in), which is what an interpreter's function may do at rip: it may raise, and then the
 * guest's exception is delivered (false).  The CpuState is up to date.
 */
static bool perform(TransCpu *tc, X86Exec f, const X86Insn *in)
{
    CpuState *cpu = tc->cpu;
    jmp_buf env, *outer = cpu->unwind;
    bool done = false;
    int how;

    cpu->unwind = &env;
    cpu->exc.is_soft = false;
    cpu->shadow = false;
    how = _setjmp(env);
    if (how == 0) {
        f(cpu, in);
        cpu->rip = cpu->next_rip;
        done = true;
    } else if (how == UNWIND_EXCEPTION) {
        cpu_deliver(cpu, cpu->exc.vector, DELIVER_FAULT, cpu->exc.has_code, cpu->exc.code);
    }
    cpu->code_stale = false;
    cpu->unwind = outer;
    return done;
}

/* The CpuState is at `in`, which is about to be done by C. */
static void begin_insn(TransCpu *tc, const Site *s)
{
    state_from_host(tc, s->borrowed, s->bits);
    set_rip(tc, s);
    tc->cpu->next_rip = tc->cpu->rip + s->len;
}

/* Deliver the page fault that trans_fill() found, when it is what the instruction raises first. */
static bool deliver_fault(TransCpu *tc, Block *b, const Site *s)
{
    CpuState *cpu = tc->cpu;

    if (!s->may_raise) {
        return false;
    }
    set_rip(tc, s);
    cpu->shadow = false;
    trans_count(tc, s->insn + 1u);
    if (crosses_quickly(tc, s)) {
        state_return_borrowed(tc, s->borrowed, s->bits);
        cpu_deliver(cpu, cpu->exc.vector, DELIVER_FAULT, cpu->exc.has_code, cpu->exc.code);
        return go_across(tc);
    }
    state_from_host(tc, s->borrowed, s->bits);
    cpu_deliver(cpu, cpu->exc.vector, DELIVER_FAULT, cpu->exc.has_code, cpu->exc.code);
    return go_anywhere(tc);
}

/* There is no memory to be had by the software TLB. */
static bool missed(TransCpu *tc, Block *b, const Site *s)
{
    trans_vec_spill();
    trans_note_habit(tc, HABIT_CALL, b, s->insn);
    return false;
}

/* Of so many accesses beside near pages, one is held against its instruction. */
enum { NEAR_MISSES = 256 };

/* An access at `lin`, which hits, was not to a near page. */
static bool go_near(TransCpu *tc, Block *b, const Site *s, uint64_t lin, TlbAccess a)
{
    Tlb *tlb = &tc->cpu->mmu.tlb;

    tc->vcb->host[s->reg] = (uint64_t)(uintptr_t)tlb_hit(tlb, tc->cpu->tlb_class, lin, a) - (s->addend ? lin : 0);
    tlb_come_near(tlb, tc->cpu->tlb_class, lin);
    if (unlikely(++tc->near_misses % NEAR_MISSES == 0)) {
        trans_vec_spill();
        lock_take(&tc->cache->lock);
        cache_note_far(tc->cache, b, s->insn);
        lock_release(&tc->cache->lock);
    }
    return go_back(tc, s, s->hit_off);
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

static bool look_up(TransCpu *tc, Block *b, const Site *s)
{
    uint64_t lin = s->near ? tc->vcb->host[s->base] + (uint64_t)(int64_t)s->disp : tc->vcb->host[s->reg];
    uint64_t last = lin + s->size - 1;
    TlbAccess a = s->write ? TLB_STORE : TLB_LOAD;

    if (s->spot && spot_of(tc, s)->left < 0) {
        judge_spot(tc, b, s);
    }
    if (!is_canonical(lin) || !is_canonical(last) || ((s->env & ENV_CODE32) != 0 && last > UINT32_MAX)) {
        return false;
    }
    if (!hits(tc, lin, s->size, a)) {
        if (!trans_fill(tc, lin, a)) {
            return deliver_fault(tc, b, s);
        }
        if (unlikely(tc->vcb->n_announced != tc->vcb->n_taken)) {
            walk_ahead(tc);
        }
        if (((lin ^ last) & GUEST_PAGE_MASK) != 0) {
            uint64_t host;
            if (!trans_fill(tc, last & GUEST_PAGE_MASK, a)) {
                return deliver_fault(tc, b, s);
            }
            if (!crossing_is_contiguous(tc, lin, s->size, a, &host)) {
                return missed(tc, b, s);
            }
            tc->vcb->host[s->reg] = host - (s->addend ? lin : 0);
            tlb_to_host(tc);
            return go_back(tc, s, s->hit_off);
        }
        if (!hits(tc, lin, s->size, a)) {
            return missed(tc, b, s);
        }
        tlb_to_host(tc);
    }
    return s->near ? go_near(tc, b, s, lin, a) : go_back(tc, s, s->retry_off);
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
    if (p == NULL && fill_if_there(tc, lin, a)) {
        p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin, a);
    }
    return (uint64_t)(uintptr_t)p;
}

/* Page by page; what cannot be done so (faults, devices, code) is left to the interpreter, which finds
 * the registers as far as we have come. */
static bool string_insn(TransCpu *tc, Block *b, const Site *s)
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
        tc->attention = true;
        return false;
    }
    tlb_to_host(tc);
    trans_count(tc, s->insn + 1u);
    tc->cpu->rip = rip_behind(tc, s);
    return go_on(tc, s->code + s->resume_off, s->borrowed, s->bits, s->vec);
}

/* -- System calls and returns ------------------------------------------------------------------- */

static void do_iret(CpuState *cpu, const X86Insn *in)
{
    cpu_iret(cpu, in->op_size);
    if (cpu->breakpoint_at == NULL && !cpu_debug_exec_armed(cpu)) {
        cpu->rflags &= ~(uint64_t)FLAG_RF; /* there is no breakpoint for it to hold off */
    }
}

/* On the way to user code, which is about to use what was announced. */
static void walk_ahead_of_user(TransCpu *tc)
{
    if (unlikely(tc->vcb->n_announced != tc->vcb->n_taken) && tc->cpu->cpl == 3) {
        walk_ahead(tc);
    }
}

/* IRETQ at CPL 0 to 64-bit code where nothing is unusual. */
static bool quick_iret(TransCpu *tc, Block *b, const Site *s)
{
    CpuState *cpu = tc->cpu;

    if (!crosses_quickly(tc, s) || cpu->breakpoint_at != NULL || cpu_debug_exec_armed(cpu)) {
        return false;
    }
    state_return_borrowed(tc, s->borrowed, s->bits);
    if (!cpu_iret_plain(cpu)) {
        return false;
    }
    trans_count(tc, s->insn + 1u);
    cpu->nmi_masked = false;
    cpu->rflags &= ~(uint64_t)FLAG_RF;
    cpu->rip = cpu->next_rip;
    cpu->shadow = false;
    walk_ahead_of_user(tc);
    return true;
}

/* INT n and INT3 of 64-bit code: whatever comes of them is delivered. */
static bool soft_interrupt(TransCpu *tc, Block *b, const Site *s)
{
    const X86Insn *in = &b->exec[s->exec];
    CpuState *cpu = tc->cpu;

    state_return_borrowed(tc, s->borrowed, s->bits);
    set_rip(tc, s);
    cpu->next_rip = rip_behind(tc, s);
    cpu->shadow = false;
    cpu_deliver(cpu, in->mnemonic == ZYDIS_MNEMONIC_INT3 ? EXC_BP : in->imm & 0xff, DELIVER_SOFT, false, 0);
    trans_count(tc, s->insn + 1u);
    return go_across(tc);
}

/* SYSENTER and SYSEXIT of 32-bit code outside long mode, where they raise nothing. */
static bool quick_sysenter(TransCpu *tc, Block *b, const Site *s, X86Exec f)
{
    CpuState *cpu = tc->cpu;

    if (!tc->config->quick || tc->lockstep != NULL || (cpu->efer & EFER_LMA) != 0 || (cpu->cr0 & CR0_PE) == 0 ||
        (cpu->msr_sysenter_cs & 0xfffc) == 0 || (f == exec_sysexit && (s->env & ENV_CPL0) == 0)) {
        return false;
    }
    state_return_borrowed(tc, s->borrowed, s->bits);
    cpu->gpr[GPR_RCX] = tc->vcb->host[GPR_RCX];
    cpu->gpr[GPR_RDX] = tc->vcb->host[GPR_RDX];
    f(cpu, &(const X86Insn){.op_size = 4});
    trans_count(tc, s->insn + 1u);
    cpu->rip = cpu->next_rip;
    cpu->shadow = false;
    walk_ahead_of_user(tc);
    return true;
}

static bool transfer(TransCpu *tc, Block *b, const Site *s, X86Exec f)
{
    begin_insn(tc, s);
    perform(tc, f, &(const X86Insn){.op_size = (b->env & ENV_CODE32) != 0 ? 4 : 8});
    trans_count(tc, s->insn + 1u);
    walk_ahead_of_user(tc);
    return go_anywhere(tc);
}

/* -- Indirect branches ------------------------------------------------------------------------ */

/* The CPU is interrupted in b: a sample of where it spends its time. */
static void sample(TransCpu *tc, const Block *b)
{
    uint64_t page = b->offset & GUEST_PAGE_MASK;
    unsigned n = 0;

    tc->sample[tc->n_samples++ % TRANS_SAMPLES] = page;
    for (unsigned i = 0; b->looks_up && i < TRANS_SAMPLES; i++) {
        n += tc->sample[i] == page;
    }
    if (n > 0 && n >= tc->config->hot_samples) {
        trans_vec_spill();
        lock_take(&tc->cache->lock);
        cache_heat_page(tc->cache, page);
        lock_release(&tc->cache->lock);
    }
}

static bool find_target(TransCpu *tc, Block *b, const Site *s)
{
    if (cpu_requests(tc->cpu) != 0) {
        sample(tc, b);
    }
    trans_unmask(tc);
    return find_far(tc, tc->vcb->host[s->reg], s->env) != NULL && go_back(tc, s, s->retry_off);
}

/* -- The interpreter -------------------------------------------------------------------------- */

/* Interpret the instruction that could not go on; true: vcb.resume is behind it. */
static bool interpret_insn(TransCpu *tc, Block *b, const Site *s)
{
    CpuState *cpu = tc->cpu;
    uint64_t next = rip_behind(tc, s), events, insns = cpu->insns;
    uint32_t env = b->env;

    trans_vec_spill();
    cpu->stats[STAT_TRANS_SLOW]++;
    events = cpu->stats[STAT_INTERRUPTS] + cpu->stats[STAT_EXCEPTIONS];
    tc->exit = interp_engine.run(cpu, 1);
    tc->counted += (unsigned)(cpu->insns - insns);
    if (tc->exit != CPU_EXIT_BUDGET) {
        return false;
    }
    tc->left_whole = s->resume_off == 0 &&
                     events == cpu->stats[STAT_INTERRUPTS] + cpu->stats[STAT_EXCEPTIONS];
    if (cpu->rip != next || s->resume_off == 0 || trans_needs_single_steps(cpu) ||
        !trans_mode_is_translated(cpu) || trans_env(cpu) != env ||
        __atomic_load_n(&tc->shared->evicting, __ATOMIC_ACQUIRE) ||
        __atomic_load_n(&b->state, __ATOMIC_ACQUIRE) != BLOCK_LIVE) {
        return tc->lockstep == NULL && go_anywhere(tc);
    }
    across_update(tc);
    trans_aim(tc, b->code + s->resume_off, b->vec);
    verify_before_entry(tc);
    return !trans_wants_attention(cpu);
}

/* Behind the instruction of s, with the CpuState up to date and changed: on in the block, or to the
 * block where the guest is now. */
static bool go_behind(TransCpu *tc, Block *b, const Site *s)
{
    CpuState *cpu = tc->cpu;
    uint64_t next = rip_behind(tc, s);

    if (!state_is_translated(tc)) {
        return false;
    }
    if (cpu->rip != next || tc->env != b->env ||
        __atomic_load_n(&b->state, __ATOMIC_ACQUIRE) != BLOCK_LIVE) {
        return !watched(tc) && quick_way(tc, tc->env);
    }
    return go_on(tc, b->code + s->resume_off, env_own_regs(b->env), 0, b->vec);
}

static bool perform_exec(TransCpu *tc, const Block *b, const Site *s)
{
    begin_insn(tc, s);
    return perform(tc, b->exec[s->exec].exec, &b->exec[s->exec]);
}

/* ... whose function has `done` it, or has raised what is delivered by now. */
static bool go_on_after_exec(TransCpu *tc, Block *b, const Site *s, bool done)
{
    trans_count(tc, s->insn + 1u);
    if (!done || (b->env & ENV_CODE32) != 0 || tc->cpu->pending_dbg != 0) {
        return go_behind(tc, b, s);
    }
    registers_to_host(tc); /* it has changed nothing else */
    tlb_to_host(tc);
    if (__atomic_load_n(&b->state, __ATOMIC_ACQUIRE) != BLOCK_LIVE) {
        return go_behind(tc, b, s);
    }
    return go_on(tc, s->code + s->resume_off, 0, 0, s->vec);
}

static bool exec_insn(TransCpu *tc, Block *b, const Site *s)
{
    return go_on_after_exec(tc, b, s, perform_exec(tc, b, s));
}

/* One that has faulted often, as long as it does so now and then. */
static bool divide(TransCpu *tc, Block *b, const Site *s)
{
    BlockInsn *in = &b->insns[s->insn];
    bool done = perform_exec(tc, b, s);

    if (!done) {
        __atomic_store_n(&in->in_vain, 0, __ATOMIC_RELAXED);
    } else if (__atomic_add_fetch(&in->in_vain, 1, __ATOMIC_RELAXED) >= tc->config->habit_in_vain) {
        trans_vec_spill();
        trans_drop_habit(tc, HABIT_DIVIDE, b, s->insn);
    }
    return go_on_after_exec(tc, b, s, done);
}

static bool system_insn(TransCpu *tc, Block *b, const Site *s)
{
    trans_vec_spill();
    begin_insn(tc, s);
    perform(tc, b->exec[s->exec].exec, &b->exec[s->exec]);
    trans_count(tc, s->insn + 1u);
    return go_behind(tc, b, s);
}

/*
 * Behind the instruction of s, which a quick helper has done: registers and flags are where they were, but that flags
 * are in the host too.  same: the environment is the block's.
 */
static bool go_on_past(TransCpu *tc, Block *b, const Site *s, bool same)
{
    Vcb *v = tc->vcb;

    if ((s->bits & MARK_FLAGS_SLOT) != 0) {
        v->flags = v->flags_slot;
    }
    trans_count(tc, s->insn + 1u);
    tc->cpu->rip = rip_behind(tc, s);
    tc->cpu->shadow = false;
    tc->cpu->stats[STAT_TRANS_QUICK]++;
    if (unlikely(!same || __atomic_load_n(&b->state, __ATOMIC_ACQUIRE) != BLOCK_LIVE)) {
        state_from_host(tc, s->borrowed, s->bits);
        return go_anywhere(tc);
    }
    return go_on(tc, s->code + s->resume_off, s->borrowed, s->bits, s->vec);
}

/* ... and flushes or switches the TLB. */
static bool go_on_in_space(TransCpu *tc, Block *b, const Site *s)
{
    space_to_host(tc);
    return go_on_past(tc, b, s, tc->env == s->env);
}

/* INVLPG of a page of data changes nothing that the vCPU block or the jump cache has of the TLB. */
static bool go_on_without_page(TransCpu *tc, Block *b, const Site *s)
{
    const Tlb *tlb = &tc->cpu->mmu.tlb;

    if (tc->seen_epoch != tlb->code_epoch || tc->seen_code_flushes != tlb->n_code_flushes || !windows_are_as_seen(tc)) {
        return go_on_in_space(tc, b, s);
    }
    if (tc->vcb->n_announced != tc->vcb->n_taken) {
        walk_ahead(tc); /* VMI's InvalPage has announced it */
    }
    tc->seen_changes = tlb->n_changes;
    return go_on_past(tc, b, s, true);
}

/* Class CALL. */
static bool device(TransCpu *tc, Block *b, const Site *s)
{
    BlockInsn *in = &b->insns[s->insn];
    uint64_t lin = tc->vcb->host[s->reg];
    bool memory = false;

    if (is_canonical(lin) && quick_device(tc, &b->exec[s->exec], lin, s->size, s->write, &memory)) {
        if (in->in_vain != 0) {
            __atomic_store_n(&in->in_vain, 0, __ATOMIC_RELAXED);
        }
        return go_on_past(tc, b, s, true);
    }
    if (memory && __atomic_add_fetch(&in->in_vain, 1, __ATOMIC_RELAXED) >= tc->config->habit_in_vain) {
        trans_vec_spill();
        trans_drop_habit(tc, HABIT_CALL, b, s->insn);
    }
    return exec_insn(tc, b, s);
}

/* Somebody asks for this CPU, or it has been waiting for a while: where nothing wants attention it goes on. */
static bool pause_insn(TransCpu *tc, const Site *s)
{
    if (tc->vcb->pauses == 0) {
        tc->vcb->pauses = tc->config->pause_yield;
        cpu_spins(tc->cpu, tc->config->pause_yield);
    }
    return go_back(tc, s, s->hit_off);
}

/* An instruction of class IDENT is about to access what is often not in the window yet. */
static bool touch(TransCpu *tc, Block *b, const Site *s)
{
    BlockInsn *in = &b->insns[s->insn];

    if (windows_touch(tc, tc->vcb->host[s->reg], s->write)) {
        __atomic_store_n(&in->in_vain, 0, __ATOMIC_RELAXED);
    } else if (__atomic_add_fetch(&in->in_vain, 1, __ATOMIC_RELAXED) >= tc->config->habit_in_vain) {
        trans_vec_spill();
        trans_drop_habit(tc, HABIT_TOUCH, b, s->insn);
        return false;
    }
    return go_back(tc, s, s->hit_off);
}

/* The first `len` bytes are as they were, of which n lie at p and the rest at q. */
static bool same_bytes(const X86Insn *in, const uint8_t *p, unsigned n, const uint8_t *q)
{
    for (unsigned i = 0; i < in->len; i++) {
        if (in->bytes[i] != (i < n ? p[i] : q[i - n])) {
            return false;
        }
    }
    return true;
}

/*
 * The instruction at the end of b's page, of which n bytes lie there.  Both pages are mapped and may be executed, or
 * the interpreter finds out.
 */
static bool crossing(TransCpu *tc, Block *b, const Site *s)
{
    CpuState *cpu = tc->cpu;
    uint64_t lin = trans_lin(tc, b, b->lin), next = lin + b->guest_len;
    Crossing *c = &tc->crossing[(lin ^ lin >> 12) % CROSSINGS];
    const X86Row *row;
    const uint8_t *p = trans_code_at(tc, lin);
    const uint8_t *q = trans_code_at(tc, (b->env & ENV_CODE32) != 0 ? (uint32_t)next : next);

    if (p == NULL || q == NULL) {
        return false;
    }
    trans_vec_spill();
    if (c->lin != lin || c->mode != cpu->mode || c->insn.len == 0 || !same_bytes(&c->insn, p, b->guest_len, q)) {
        uint8_t bytes[15];

        for (unsigned i = 0; i < sizeof bytes; i++) {
            bytes[i] = i < b->guest_len ? p[i] : q[i - b->guest_len];
        }
        *c = (Crossing){.lin = lin, .mode = cpu->mode};
        if (!insn_decode(&tc->decoder, cpu, bytes, sizeof bytes, &c->insn)) {
            c->insn.len = 0;
            return false;
        }
    }
    row = &x86_rows[c->insn.mnemonic];
    if (row->exec == NULL && row->select == NULL) {
        return false; /* a vector instruction, whose stub the interpreter's cache owns */
    }
    state_from_host(tc, s->borrowed, s->bits);
    set_rip(tc, s);
    next = cpu->rip + c->insn.len;
    cpu->next_rip = (b->env & ENV_CODE32) != 0 ? (uint32_t)next : next;
    perform(tc, c->insn.exec, &c->insn);
    trans_count(tc, s->insn + 1u);
    return go_anywhere(tc);
}

static bool help(TransCpu *tc, Block *b, const Site *s)
{
    switch ((TransHelper)s->helper) {
    case HELPER_LOOKUP: return look_up(tc, b, s);
    case HELPER_INDIRECT: return find_target(tc, b, s);
    case HELPER_EXEC: return exec_insn(tc, b, s);
    case HELPER_SYSTEM: return system_insn(tc, b, s);
    case HELPER_INT: return crosses_quickly(tc, s) ? soft_interrupt(tc, b, s) : system_insn(tc, b, s);
    case HELPER_PORT:
        return quick_port(tc, &b->exec[s->exec]) ? go_on_past(tc, b, s, true) : system_insn(tc, b, s);
    case HELPER_MSR:
        return quick_msr(tc, &b->exec[s->exec]) ? go_on_past(tc, b, s, true) : system_insn(tc, b, s);
    case HELPER_CR:
        return quick_cr(tc, &b->exec[s->exec]) ? go_on_in_space(tc, b, s) : system_insn(tc, b, s);
    case HELPER_CPUID: return quick_cpuid(tc) ? go_on_past(tc, b, s, true) : system_insn(tc, b, s);
    case HELPER_INVLPG:
        return quick_invlpg(tc, tc->vcb->host[s->reg]) ? go_on_without_page(tc, b, s) : system_insn(tc, b, s);
    case HELPER_DEVICE: return device(tc, b, s);
    case HELPER_STRING: return string_insn(tc, b, s);
    case HELPER_DIVIDE: return divide(tc, b, s);
    case HELPER_TOUCH: return touch(tc, b, s);
    case HELPER_PAUSE: return pause_insn(tc, s);
    case HELPER_CROSSING: return crossing(tc, b, s);
    case HELPER_SYSCALL: return transfer(tc, b, s, exec_syscall);
    case HELPER_SYSRET: return transfer(tc, b, s, exec_sysret);
    case HELPER_SYSENTER:
        return quick_sysenter(tc, b, s, exec_sysenter) ? go_across(tc) : transfer(tc, b, s, exec_sysenter);
    case HELPER_SYSEXIT:
        return quick_sysenter(tc, b, s, exec_sysexit) ? go_across(tc) : transfer(tc, b, s, exec_sysexit);
    case HELPER_IRET:
        trans_doubt_flags(tc);
        return quick_iret(tc, b, s) ? go_across(tc) : transfer(tc, b, s, do_iret);
    default: return false;
    }
}

static bool slow(TransCpu *tc, Block *b, const Site *s)
{
    if (unlikely(tc->plain_libc)) {
        trans_vec_spill(); /* logging or tracing is on: what is called may use vector registers */
    }
    if (help(tc, b, s)) {
        return true;
    }
    if (tc->attention) {
        return false;
    }
    state_from_host(tc, s->borrowed, s->bits);
    set_rip(tc, s);
    return interpret_insn(tc, b, s);
}

/* -- Arrivals --------------------------------------------------------------------------------- */

/* The host faulted: if by a division, it is held against it. */
static void note_division(TransCpu *tc)
{
    if (tc->fault_is_division && (tc->kick_mark->bits & (MARK_EXIT | MARK_POST)) == 0) {
        trans_note_habit(tc, HABIT_DIVIDE, tc->kick_block, tc->kick_mark->insn);
    }
}

/* What is executed of b where m holds. */
static void count_to_mark(TransCpu *tc, const Block *b, const Mark *m)
{
    bool end = (m->bits & MARK_POST) != 0 || ((m->bits & MARK_EXIT) != 0 && m->insn < BLOCK_EXITS);

    trans_count(tc, end                              ? b->n_insns
                    : (m->bits & MARK_EXIT) != 0     ? 0
                    : (m->bits & MARK_SWAPGS) != 0   ? m->insn + 1u
                                                     : m->insn);
}

/* The host faulted in a block that uses the window. */
static bool arrive_from_window(TransCpu *tc)
{
    Block *b = tc->kick_block;
    const Mark *m = tc->kick_mark;
    WindowVerdict verdict = WINDOW_INTERPRET;

    tc->kick_fault = false;
    trans_vec_spill();
    note_division(tc);
    if (tc->fault_is_memory) {
        verdict = windows_fault(tc);
    }
    if (verdict == WINDOW_MAPPED) {
        if ((m->bits & MARK_EXIT) == 0) {
            trans_note_habit(tc, HABIT_TOUCH, b, m->insn);
        }
        verdict = WINDOW_RETRY;
    }
    if (verdict == WINDOW_RETRY && (m->bits & ~(MARK_FLAGS_SLOT | MARK_RAX_TMP)) == 0 &&
        !__atomic_load_n(&tc->shared->evicting, __ATOMIC_ACQUIRE)) {
        tc->cpu->rip = trans_lin(tc, b, b->lin) + b->insns[m->insn].guest_off;
        tc->cpu->shadow |= b->insns[m->insn].after_sti;
        return go_on(tc, tc->kick_pc, m->borrowed, m->bits, b->vec);
    }
    state_at_mark(tc, b, m);
    count_to_mark(tc, b, m);
    if (verdict >= WINDOW_STORE) {
        trans_accuse(tc, b, m->insn, verdict == WINDOW_STORE ? 1 : tc->config->window_faults,
                     verdict == WINDOW_RESTLESS ? tc->fault_region : 0);
    }
    if (verdict != WINDOW_RETRY) {
        uint64_t cluster = verdict >= WINDOW_RESTLESS ? tc->config->window_cluster : 1;
        tc->exit = interp_engine.run(tc->cpu, tc->exact ? MIN(cluster, tc->stop_at - tc->cpu->insns) : cluster);
    }
    return false;
}

static bool arrive_kicked(TransCpu *tc)
{
    CpuState *cpu = tc->cpu;

    if (tc->kick_fault && (tc->kick_block->env & ENV_WINDOW) != 0) {
        return arrive_from_window(tc);
    }
    state_at_mark(tc, tc->kick_block, tc->kick_mark);
    count_to_mark(tc, tc->kick_block, tc->kick_mark);
    cpu->stats[STAT_TRANS_KICKS]++;
    if (!tc->kick_fault) {
        sample(tc, tc->kick_block);
    }
    if (tc->kick_fault) {
        tc->kick_fault = false;
        trans_vec_spill();
        note_division(tc);
        tc->exit = interp_engine.run(cpu, 1);
    }
    return false;
}

/* From user code to another page.  All that is known of the block stays in memory that nobody needs. */
static bool arrive_far(TransCpu *tc)
{
    uint32_t env = trans_env(tc->cpu);

    tc->cpu->rip = tc->vcb->rip;
    if (quick_way(tc, env)) {
        return true;
    }
    state_from_host(tc, env_own_regs(env), 0);
    tc->left_whole = true;
    return false;
}

static bool arrive_other(TransCpu *tc, unsigned number, Block *b)
{
    CpuState *cpu = tc->cpu;

    switch (number) {
    case SITE_FAR:
        trans_count(tc, b->n_insns);
        return arrive_far(tc);
    case SITE_VEC:
        cpu->rip = trans_lin(tc, b, b->lin);
        return go_on(tc, b->code + b->vec_off, env_own_regs(b->env) | 1u << GPR_RCX, 0, b->vec);
    case SITE_ARRIVED:
        state_from_host(tc, 0, 0);
        cpu->rip = tc->vcb->rip;
        cpu->stats[STAT_TRANS_KICKS]++;
        return false;
    default: /* SITE_ENTRY */
        state_from_host(tc, tc->enter_borrowed, tc->enter_bits);
        cpu->rip = tc->enter_rip;
        cpu->shadow = tc->enter_shadow;
        cpu->stats[STAT_TRANS_KICKS]++;
        if (stress_info[STRESS_kick_entry].one_in != 0) {
            trans_vec_spill();
            tc->exit = interp_engine.run(cpu, 1); /* get on, even if every entry is kicked */
        }
        return false;
    }
}

/* Bring the CpuState up to date with where translated code left; true: resume. */
static bool arrive(TransCpu *tc, uint32_t site)
{
    CpuState *cpu = tc->cpu;
    void *place = cache_at_place(tc->cache, site >> 4); /* of nothing, for SITE_KICK and some of SITE_OTHER */
    unsigned number = site >> 2 & 3;
    Block *b = place;

    switch (site & 3) {
    case SITE_SLOW:
        trans_count(tc, ((Site *)place)->insn);
        return slow(tc, ((Site *)place)->block, place);
    case SITE_EXIT:
        trans_count(tc, number < BLOCK_EXITS ? b->n_insns : 0);
        cpu->rip = trans_lin(tc, b, number < BLOCK_EXITS ? b->exit[number].target : b->lin);
        if (number == BLOCK_EXITS) { /* dead */
            far_slot(tc, cpu->mem->base + b->offset)->epoch = 0;
            tc->dead_block = b;
            tc->link_evictions = tc->cache->evictions;
        } else if ((b->exit[number].rel32 == NULL || b->exit[number].refused) && quick_way(tc, b->env)) {
            return true;
        }
        state_from_host(tc, env_own_regs(b->env), 0);
        if (number < BLOCK_EXITS) {
            tc->left_whole = true;
            tc->link_block = b;
            tc->link_exit = number;
            tc->link_rip = cpu->rip;
            tc->link_across = b->exit[number].cache_off != 0;
            tc->link_evictions = tc->cache->evictions;
        }
        return false;
    case SITE_KICK:
        return arrive_kicked(tc);
    default:
        return arrive_other(tc, number, b);
    }
}

_Bool trans_left(void)
{
    TransCpu *tc = vcb.tc;

    tc->exit = CPU_EXIT_BUDGET;
    tc->attention = false;
    trans_answer(tc);
    system_from_host(tc);
    if (arrive(tc, (uint32_t)tc->vcb->site)) {
        return true;
    }
    trans_set_inside(tc, false);
    if (tc->exit != CPU_EXIT_BUDGET) {
        trans_vec_spill();
        return false;
    }
    return trans_dispatch(tc);
}
