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
#include "translator/border-internal.h"
#include "translator/border-watch.h"
#include "translator/quick.h"
#include "translator/verify.h"
#include "translator/windows.h"

#include <x86intrin.h>

/* -- Going back ------------------------------------------------------------------------------- */

/* The way back into a block is not taken, behind an instruction that a helper has completed: flags that are dead there may be anything, also where
 * that was the block's last. */
static void doubt_flags_within(TransCpu *tc)
{
    if (unlikely(tc->whole != 0)) {
        trans_doubt_flags(tc, FLAGS_ARITH);
    }
}

/*
 * Go on at `resume` with the host's registers as they left and `borrowed` and `bits` as in a Mark; the
 * guest is at the rip that the CpuState says.  False: something wants attention, and the CpuState is
 * up to date.
 */
bool border_go_on(TransCpu *tc, const uint8_t *resume, uint16_t borrowed, unsigned bits, uint8_t vec)
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
    doubt_flags_within(tc);
    tc->attention = true;
    return false;
}

/* To a place within the block where it left, with the state it left with. */
bool border_go_back(TransCpu *tc, const Site *s, unsigned host_off)
{
    set_rip(tc, s);
    return border_go_on(tc, site_at(s, host_off), s->borrowed, s->bits, s->vec);
}

/* -- Look-ups --------------------------------------------------------------------------------- */

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

/* trans_fill() for who may do without: a fault that is not delivered leaves CR2 as it was. */
bool border_fill_if_there(TransCpu *tc, uint64_t lin, TlbAccess a)
{
    uint64_t cr2 = tc->cpu->cr2;

    if (is_canonical(lin) && trans_fill(tc, lin, a)) {
        return true;
    }
    tc->cpu->cr2 = cr2;
    return false;
}

/* -- The way to a block ----------------------------------------------------------------------- */

const uint8_t *trans_code_at(TransCpu *tc, uint64_t rip)
{
    CpuState *cpu = tc->cpu;
    const uint8_t *p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, rip, TLB_FETCH);

    if (p == NULL && border_fill_if_there(tc, rip, TLB_FETCH)) {
        p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, rip, TLB_FETCH);
    }
    return p;
}

const uint8_t *trans_code_beyond(TransCpu *tc, uint64_t rip, bool code32)
{
    uint64_t next = (rip | GUEST_PAGE_OFFSET_MASK) + 1;

    return next - rip < INSN_BYTES_MAX ? trans_code_at(tc, code32 ? (uint32_t)next : next) : NULL;
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
    return tc->cache->exec + f->code;
}

/* To the block at rip, in environment env. */
bool border_quick_way(TransCpu *tc, uint32_t env)
{
    const uint8_t *code = find_far(tc, tc->cpu->rip, env);

    if (code == NULL) {
        return false;
    }
    tc->vcb->here = tc->cpu->rip;
    trans_count_on(tc);
    return border_go_on(tc, code, env_own_regs(env), 0, 0);
}

/* C has changed the CpuState, rip, mode and all; its registers are up to date.  Can translated code go on there,
 * for which the host's are ready then? */
bool border_state_is_translated(TransCpu *tc)
{
    const CpuState *cpu = tc->cpu;

    tc->attention = true;
    if (trans_wants_attention(cpu) || trans_needs_single_steps(cpu) || !trans_mode_is_translated(cpu)) {
        return false;
    }
    state_to_host(tc);
    return true;
}

/* ... True: to the block there. */
bool border_go_anywhere(TransCpu *tc)
{
    return border_state_is_translated(tc) && !watched(tc) && border_quick_way(tc, tc->env);
}

/* The block at rip in the jump cache, or NULL. */
static const uint8_t *find_near(const TransCpu *tc, uint64_t rip)
{
    const Vcb *v = tc->vcb;
    const JumpEntry *j = &v->jc[vcb_jump_slot(rip, tc->config->jump_cache)];

    return j->ntag + rip + v->jc_key == 0 ? (const uint8_t *)(uintptr_t)j->code : NULL;
}

/*
 * ... where only RSP, rip, RFLAGS and segments have changed, between state_return_borrowed() and this: the other
 * registers are in the vCPU block.
 */
bool border_go_across(TransCpu *tc)
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
    trans_count_on(tc);
    return border_go_on(tc, code, env_own_regs(tc->env), 0, 0);
}

/*
 * Do f(cpu, in), which is what an interpreter's function may do at rip: it may raise, and then the
 * guest's exception is delivered (false).  The CpuState is up to date.
 */
bool border_perform(TransCpu *tc, X86Exec f, const X86Insn *in)
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
void border_begin_insn(TransCpu *tc, const Site *s)
{
    state_from_host(tc, s->borrowed, s->bits);
    set_rip(tc, s);
    tc->cpu->next_rip = tc->cpu->rip + s->len;
}

/* Deliver the page fault that trans_fill() found, when it is what the instruction raises first. */
bool border_deliver_fault(TransCpu *tc, Block *b, const Site *s)
{
    CpuState *cpu = tc->cpu;

    if (!s->may_raise) {
        return false;
    }
    set_rip(tc, s);
    cpu->shadow = false;
    trans_count(tc, s->insn + 1u);
    trans_doubt_flags(tc, FLAGS_ARITH);
    if (crosses_quickly(tc, s)) {
        state_return_borrowed(tc, s->borrowed, s->bits);
        cpu_deliver(cpu, cpu->exc.vector, DELIVER_FAULT, cpu->exc.has_code, cpu->exc.code);
        return border_go_across(tc);
    }
    state_from_host(tc, s->borrowed, s->bits);
    cpu_deliver(cpu, cpu->exc.vector, DELIVER_FAULT, cpu->exc.has_code, cpu->exc.code);
    return border_go_anywhere(tc);
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

bool border_find_target(TransCpu *tc, Block *b, const Site *s)
{
    if (cpu_requests(tc->cpu) != 0) {
        sample(tc, b);
    }
    trans_unmask(tc);
    return find_far(tc, tc->vcb->host[s->reg], s->env) != NULL && border_go_back(tc, s, s->retry_off);
}

static bool slow(TransCpu *tc, Block *b, const Site *s)
{
    if (unlikely(tc->plain_libc)) {
        trans_vec_spill(); /* logging or tracing is on: what is called may use vector registers */
    }
    if (unlikely(tc->watch != NULL) ? helper_watch_help(tc, b, s) : border_help(tc, b, s)) {
        return true;
    }
    if (tc->attention) {
        return false;
    }
    state_from_host(tc, s->borrowed, s->bits);
    set_rip(tc, s);
    return border_interpret(tc, b, s);
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
    bool begin = !end && (m->bits & MARK_EXIT) != 0;
    bool side = end && (m->bits & MARK_EXIT) != 0 && m->insn >= BLOCK_EXIT_SIDE;

    trans_count_of(tc, begin || side ? NULL : b, end ? b->n_insns : (m->bits & MARK_SWAPGS) != 0 ? m->insn + 1u : m->insn);
    if (begin || end) {
        trans_keeps_flags(tc, begin ? b->flags_in : side ? b->exit[m->insn].flags_out : b->flags_out);
    }
    if ((m->bits & (MARK_RDI_HOST | MARK_RSI_HOST)) != 0) {
        trans_count_halfway(tc);
    }
}

/* The host faulted in a block that uses the window. */
static bool arrive_from_window(TransCpu *tc)
{
    Block *b = tc->kick_block;
    const Mark *m = tc->kick_mark;
    WindowVerdict verdict = WINDOW_INTERPRET;

    tc->kick_fault = false;
    trans_vec_spill();
    count_to_mark(tc, b, m);
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
        tc->cpu->rip = trans_lin(tc, b, b->lin) + block_insns(b)[m->insn].guest_off;
        tc->cpu->shadow |= block_insns(b)[m->insn].after_sti;
        return border_go_on(tc, tc->kick_pc, m->borrowed, m->bits, b->vec);
    }
    state_at_mark(tc, b, m);
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
    if (border_quick_way(tc, env)) {
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
        trans_count_of(tc, b, b->n_insns);
        trans_keeps_flags(tc, b->flags_out);
        return arrive_far(tc);
    case SITE_VEC:
        trans_count_of(tc, NULL, 0);
        trans_keeps_flags(tc, b->flags_in);
        cpu->rip = trans_lin(tc, b, b->lin);
        return border_go_on(tc, block_at(b, b->vec_off), env_own_regs(b->env) | 1u << GPR_RCX, 0, b->vec);
    case SITE_ARRIVED:
        trans_count_of(tc, NULL, 0);
        state_from_host(tc, 0, 0);
        cpu->rip = tc->vcb->rip;
        cpu->stats[STAT_TRANS_KICKS]++;
        return false;
    default: /* SITE_ENTRY */
        state_from_host(tc, tc->enter_borrowed, tc->enter_bits);
        cpu->rip = tc->enter_rip;
        cpu->shadow = tc->enter_shadow;
        cpu->stats[STAT_TRANS_KICKS]++;
        doubt_flags_within(tc);
        if (stress_info[STRESS_kick_entry].one_in != 0) {
            trans_vec_spill();
            trans_doubt_dead_flags(tc);
            tc->exit = interp_engine.run(cpu, 1); /* get on, even if every entry is kicked */
        }
        return false;
    }
}

/* Bring the CpuState up to date with where translated code left; true: resume. */
static bool arrive(TransCpu *tc, uint32_t site)
{
    CpuState *cpu = tc->cpu;
    void *place = cache_at_place(tc->cache, site_place(site)); /* of nothing, for SITE_KICK and some of SITE_OTHER */
    unsigned number = site_index(site);
    Block *b = place;

    switch (site & 3) {
    case SITE_SLOW:
        trans_count_of(tc, ((Site *)place)->block, ((Site *)place)->insn);
        return slow(tc, ((Site *)place)->block, place);
    case SITE_EXIT:
        trans_count_of(tc, number < BLOCK_EXIT_SIDE ? b : NULL, b->n_insns); /* in the middle: as gen_uncount() left it */
        trans_keeps_flags(tc, number == BLOCK_EXITS ? b->flags_in : number < BLOCK_EXIT_SIDE ? b->flags_out : b->exit[number].flags_out);
        cpu->rip = trans_lin(tc, b, number < BLOCK_EXITS ? b->exit[number].target : b->lin);
        if (number == BLOCK_EXITS) { /* dead */
            far_slot(tc, cpu->mem->base + b->offset)->epoch = 0;
            tc->dead_block = b;
            tc->link_evictions = tc->cache->evictions;
        } else if ((b->exit[number].rel32 == 0 || b->exit[number].refused) && border_quick_way(tc, b->env)) {
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
