/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The border (border.c): instructions that C does, by helpers, by functions of the interpreter, or by it.  As border.c, compiled without vector instructions. */
#include "translator/border-internal.h"

#include "cpu-x86/debug.h"
#include "cpu-x86/exception.h"
#include "cpu-x86/insns.h"
#include "cpu-x86/segment.h"
#include "cpu-x86/walk.h"
#include "translator/quick.h"
#include "translator/verify.h"
#include "translator/windows.h"

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

    g_assert(crosses_quickly(tc, s)); /* front_class_of_exec() */
    state_return_borrowed(tc, s->borrowed, s->bits);
    set_rip(tc, s);
    cpu->next_rip = rip_behind(tc, s);
    cpu->shadow = false;
    cpu_deliver(cpu, in->mnemonic == ZYDIS_MNEMONIC_INT3 ? EXC_BP : in->imm & 0xff, DELIVER_SOFT, false, 0);
    trans_count(tc, s->insn + 1u);
    return border_go_across(tc);
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
    border_begin_insn(tc, s);
    border_perform(tc, f, &(const X86Insn){.op_size = (b->env & ENV_CODE32) != 0 ? 4 : 8});
    trans_count(tc, s->insn + 1u);
    walk_ahead_of_user(tc);
    return border_go_anywhere(tc);
}

/* -- The interpreter -------------------------------------------------------------------------- */

/* Interpret the instruction that could not go on; true: vcb.resume is behind it. */
bool border_interpret(TransCpu *tc, Block *b, const Site *s)
{
    CpuState *cpu = tc->cpu;
    uint64_t next = rip_behind(tc, s), events, insns = cpu->insns;
    uint32_t env = b->env;

    trans_vec_spill();
    cpu->stats[STAT_TRANS_SLOW]++;
    events = cpu->stats[STAT_INTERRUPTS] + cpu->stats[STAT_EXCEPTIONS];
    tc->exit = interp_engine.run(cpu, 1);
    tc->counted += (unsigned)(cpu->insns - insns);
    if (unlikely(events != cpu->stats[STAT_INTERRUPTS] + cpu->stats[STAT_EXCEPTIONS])) {
        trans_doubt_flags(tc, FLAGS_ARITH);
    }
    if (tc->exit != CPU_EXIT_BUDGET) {
        return false;
    }
    tc->left_whole = s->insn + 1u == b->n_insns &&
                     events == cpu->stats[STAT_INTERRUPTS] + cpu->stats[STAT_EXCEPTIONS];
    if (cpu->rip != next || s->resume_off == 0 || trans_needs_single_steps(cpu) ||
        !trans_mode_is_translated(cpu) || trans_env(cpu) != env ||
        __atomic_load_n(&tc->shared->evicting, __ATOMIC_ACQUIRE) ||
        __atomic_load_n(&b->state, __ATOMIC_ACQUIRE) != BLOCK_LIVE) {
        return tc->lockstep == NULL && border_go_anywhere(tc);
    }
    across_update(tc);
    trans_aim(tc, site_at(s, s->resume_off), b->vec);
    verify_before_entry(tc);
    return !trans_wants_attention(cpu);
}

/* Behind the instruction of s, with the CpuState up to date and changed: on in the block, or to the
 * block where the guest is now. */
static bool go_behind(TransCpu *tc, Block *b, const Site *s)
{
    CpuState *cpu = tc->cpu;
    uint64_t next = rip_behind(tc, s);

    if (!border_state_is_translated(tc)) {
        return false;
    }
    if (cpu->rip != next || tc->env != b->env ||
        __atomic_load_n(&b->state, __ATOMIC_ACQUIRE) != BLOCK_LIVE) {
        return !watched(tc) && border_quick_way(tc, tc->env);
    }
    return border_go_on(tc, site_at(s, s->resume_off), env_own_regs(b->env), 0, b->vec);
}

static bool perform_exec(TransCpu *tc, const Block *b, const Site *s)
{
    border_begin_insn(tc, s);
    return border_perform(tc, b->exec[s->exec].exec, &b->exec[s->exec]);
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
    return border_go_on(tc, site_at(s, s->resume_off), 0, 0, s->vec);
}

static bool exec_insn(TransCpu *tc, Block *b, const Site *s)
{
    return go_on_after_exec(tc, b, s, perform_exec(tc, b, s));
}

/* One that has faulted often, as long as it does so now and then. */
static bool divide(TransCpu *tc, Block *b, const Site *s)
{
    BlockInsn *in = &block_insns(b)[s->insn];
    bool done = perform_exec(tc, b, s);

    if (!done) {
        __atomic_store_n(&in->in_vain, 0, __ATOMIC_RELAXED);
    } else if (__atomic_add_fetch(&in->in_vain, 1, __ATOMIC_RELAXED) >= tc->config->habit_in_vain) {
        trans_vec_spill();
        trans_drop_habit(tc, HABIT_DIVIDE, b, s->insn);
    }
    return go_on_after_exec(tc, b, s, done);
}

/* The vector state was put down, as the rows of those say who come here. */
static bool system_insn(TransCpu *tc, Block *b, const Site *s)
{
    g_assert((tc->vcb->vec_dead & tc->vcb->x87_dead) != 0);
    border_begin_insn(tc, s);
    border_perform(tc, b->exec[s->exec].exec, &b->exec[s->exec]);
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
        return border_go_anywhere(tc);
    }
    return border_go_on(tc, site_at(s, s->resume_off), s->borrowed, s->bits, s->vec);
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
    BlockInsn *in = &block_insns(b)[s->insn];
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
    return border_go_back(tc, s, s->hit_off);
}

/* Before the first instruction of b, which was counted with the others: to the dispatcher. */
static bool reach_limit(TransCpu *tc, const Block *b, const Site *s)
{
    state_from_host(tc, s->borrowed, s->bits);
    set_rip(tc, s);
    tc->whole = 0;
    trans_keeps_flags(tc, b->flags_in);
    tc->attention = true;
    return false;
}

/* An instruction of class IDENT is about to access what is often not in the window yet. */
static bool touch(TransCpu *tc, Block *b, const Site *s)
{
    BlockInsn *in = &block_insns(b)[s->insn];

    if (windows_touch(tc, tc->vcb->host[s->reg], s->write)) {
        trans_note_touch(tc, b, s->insn, __atomic_exchange_n(&in->in_vain, 0, __ATOMIC_RELAXED) < tc->config->aside_in_vain);
    } else if (__atomic_add_fetch(&in->in_vain, 1, __ATOMIC_RELAXED) >= tc->config->habit_in_vain) {
        __atomic_store_n(&in->in_vain, 0, __ATOMIC_RELAXED);
        trans_vec_spill();
        trans_drop_habit(tc, HABIT_TOUCH, b, s->insn);
        return false;
    }
    return border_go_back(tc, s, s->hit_off);
}

/* b's instruction reaches over the end of its page.  If the page behind is another than that of which b was made, b dies. */
static bool crossing(TransCpu *tc, Block *b, const Site *s)
{
    uint64_t lin = trans_lin(tc, b, b->lin);
    const uint8_t *p = trans_code_beyond(tc, lin, (b->env & ENV_CODE32) != 0);

    if (p == NULL) {
        return false;
    }
    if ((uint64_t)(p - tc->cpu->mem->base) == b->beyond) {
        state_note_crossing(tc, b, lin);
        return border_go_back(tc, s, s->hit_off);
    }
    trans_vec_spill();
    lock_take(&tc->cache->lock);
    if (b->state == BLOCK_LIVE) {
        cache_kill_block(tc->cache, b);
    }
    lock_release(&tc->cache->lock);
    return false;
}

bool border_help(TransCpu *tc, Block *b, const Site *s)
{
    if (((unsigned)HELPERS_WITHOUT_VECTORS >> s->helper & 1) != 0) {
        trans_vec_spill();
    }
    switch ((TransHelper)s->helper) {
    case HELPER_LOOKUP: return border_look_up(tc, b, s);
    case HELPER_INDIRECT: return border_find_target(tc, b, s);
    case HELPER_EXEC: return exec_insn(tc, b, s);
    case HELPER_SYSTEM: return system_insn(tc, b, s);
    case HELPER_INT: return soft_interrupt(tc, b, s);
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
    case HELPER_STRING: return border_string(tc, b, s);
    case HELPER_DIVIDE: return divide(tc, b, s);
    case HELPER_TOUCH: return touch(tc, b, s);
    case HELPER_LIMIT: return reach_limit(tc, b, s);
    case HELPER_PAUSE: return pause_insn(tc, s);
    case HELPER_CROSSING: return crossing(tc, b, s);
    case HELPER_SYSCALL: return transfer(tc, b, s, exec_syscall);
    case HELPER_SYSRET: return transfer(tc, b, s, exec_sysret);
    case HELPER_SYSENTER:
        return quick_sysenter(tc, b, s, exec_sysenter) ? border_go_across(tc) : transfer(tc, b, s, exec_sysenter);
    case HELPER_SYSEXIT:
        return quick_sysenter(tc, b, s, exec_sysexit) ? border_go_across(tc) : transfer(tc, b, s, exec_sysexit);
    case HELPER_IRET:
        trans_doubt_flags(tc, FLAGS_ARITH);
        return quick_iret(tc, b, s) ? border_go_across(tc) : transfer(tc, b, s, do_iret);
    default: return false;
    }
}
