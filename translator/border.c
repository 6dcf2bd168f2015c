/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The border: translated code has left; bring about what it left for and go back, or to the
 * dispatcher.
 *
 * The guest's vector state is still in the host's registers here.  This file, and what it calls
 * before trans_vec_spill(), is compiled without vector instructions (meson.build) and calls nothing
 * of the C library that could use them.
 */
#include "cpu-x86/exception.h"
#include "cpu-x86/walk.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"
#include "translator/engine-internal.h"
#include "translator/glue.h"
#include "translator/verify.h"

/* -- Going back ------------------------------------------------------------------------------- */

/*
 * Go on at `resume` with the host's registers as they left, guest address rip, `borrowed` and `bits`
 * as in a Mark.  False: something wants attention, and the CpuState says where the guest is.
 */
static bool go_on(TransCpu *tc, const uint8_t *resume, uint64_t rip, uint16_t borrowed, unsigned bits,
                  uint8_t vec)
{
    tc->enter_rip = rip;
    tc->enter_borrowed = borrowed;
    tc->enter_bits = (uint8_t)bits;
    tc->vcb->vec_wanted = vec;
    tlb_to_host(tc);
    __atomic_store_n(&tc->vcb->resume, (uint64_t)(uintptr_t)resume, __ATOMIC_SEQ_CST);
    if (likely(!trans_wants_attention(tc->cpu))) {
        return true;
    }
    state_from_host(tc, borrowed, bits);
    tc->cpu->rip = rip;
    tc->attention = true;
    return false;
}

/* The block at rip, when this CPU has met it lately, now in the jump cache: no locks. */
static const uint8_t *find_far(TransCpu *tc, uint64_t rip)
{
    const FarEntry *f = &tc->far[(rip >> 1) & (FAR_SIZE - 1)];

    if (f->tag != rip + tc->vcb->jc_key || f->epoch != tc->far_epoch ||
        __atomic_load_n(&tc->shared->evicting, __ATOMIC_ACQUIRE)) {
        return NULL;
    }
    trans_jump_cache_add(tc, rip, f->code);
    return f->code;
}

/* To the block at rip, in environment env. */
static bool quick_way(TransCpu *tc, uint32_t env)
{
    uint64_t rip = tc->cpu->rip;
    const uint8_t *code = find_far(tc, rip);

    return code != NULL && go_on(tc, code, rip, env_own_regs(env), 0, 0);
}

/* -- Look-ups --------------------------------------------------------------------------------- */

static bool hits(const TransCpu *tc, uint64_t lin, unsigned size, TlbAccess a)
{
    CpuState *cpu = tc->cpu;

    return tlb_within_page(lin, size) && tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, lin, a) != NULL;
}

/* Fill the TLB for `lin`; the guest's fault, if there is one, is left to the interpreter. */
static bool fill(TransCpu *tc, uint64_t lin, TlbAccess a)
{
    CpuState *cpu = tc->cpu;
    jmp_buf env, *outer = cpu->unwind;
    bool ok = false;

    cpu->unwind = &env;
    if (_setjmp(env) == 0) {
        TlbSide *s = tlb_probe(&cpu->mmu.tlb, cpu->tlb_class, guest_lin(lin));
        uint8_t right = a == TLB_LOAD ? TLB_R_READ : TLB_R_WRITE;
        if (s == NULL || (s->rights & right) == 0) {
            if (unlikely(tlb_is_thrashing(&cpu->mmu.tlb, cpu->tlb_class))) {
                trans_vec_spill();
            }
            cpu->mmu.fill(cpu->mmu.arg, guest_lin(lin), a, cpu->tlb_class);
        } else if (a == TLB_STORE) {
            tlb_refresh_store(&cpu->mmu.tlb, cpu->tlb_class, guest_lin(lin));
        }
        ok = true;
    }
    cpu->unwind = outer;
    return ok;
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

/* Of 48 bits: the page walk looks at no others. */
static bool is_canonical(uint64_t lin)
{
    return (uint64_t)((int64_t)(lin << 16) >> 16) == lin;
}

static bool look_up(TransCpu *tc, Block *b, const Site *s)
{
    Vcb *v = tc->vcb;
    uint64_t lin = v->host[s->reg], last = lin + s->size - 1;
    TlbAccess a = s->write ? TLB_STORE : TLB_LOAD;
    uint64_t rip = b->lin + b->insns[s->insn].guest_off;

    if (!is_canonical(lin) || !is_canonical(last) || ((b->env & ENV_CODE32) != 0 && last > UINT32_MAX)) {
        return false;
    }
    if (unlikely(tc->plain_libc)) {
        trans_vec_spill(); /* logging or stress: what is called may use vector registers */
    }
    if (!hits(tc, lin, s->size, a)) {
        if (!fill(tc, lin, a)) {
            return false;
        }
        if (((lin ^ last) & GUEST_PAGE_MASK) != 0) {
            uint64_t host;
            if (!fill(tc, last, a) || !crossing_is_contiguous(tc, lin, s->size, a, &host)) {
                return false;
            }
            v->host[s->reg] = host;
            return go_on(tc, b->code + s->hit_off, rip, s->borrowed, s->bits, b->vec);
        }
        if (!hits(tc, lin, s->size, a)) {
            return false;
        }
    }
    return go_on(tc, b->code + s->retry_off, rip, s->borrowed, s->bits, b->vec);
}

/* -- Indirect branches ------------------------------------------------------------------------ */

static bool find_target(TransCpu *tc, Block *b, const Site *s)
{
    uint64_t rip = b->lin + b->insns[s->insn].guest_off;

    return find_far(tc, tc->vcb->host[s->reg]) != NULL &&
           go_on(tc, b->code + s->retry_off, rip, s->borrowed, s->bits, b->vec);
}

/* -- The interpreter -------------------------------------------------------------------------- */

/* Interpret the instruction that could not go on; true: vcb.resume is behind it. */
static bool interpret_insn(TransCpu *tc, Block *b, const BlockInsn *in)
{
    CpuState *cpu = tc->cpu;
    uint64_t next = b->lin + in->guest_off + in->guest_len;
    uint32_t env = b->env;
    uint64_t events;

    next = (env & ENV_CODE32) != 0 ? (uint32_t)next : next;

    trans_vec_spill();
    cpu->stats[STAT_TRANS_SLOW]++;
    events = cpu->stats[STAT_INTERRUPTS] + cpu->stats[STAT_EXCEPTIONS];
    tc->exit = interp_engine.run(cpu, 1);
    if (tc->exit != CPU_EXIT_BUDGET) {
        return false;
    }
    tc->left_whole = in->resume_off == 0 &&
                     events == cpu->stats[STAT_INTERRUPTS] + cpu->stats[STAT_EXCEPTIONS];
    if (cpu->rip != next || in->resume_off == 0 || trans_needs_single_steps(cpu) ||
        !trans_mode_is_translated(cpu) || trans_env(cpu) != env ||
        __atomic_load_n(&tc->shared->evicting, __ATOMIC_ACQUIRE) ||
        __atomic_load_n(&b->state, __ATOMIC_ACQUIRE) != BLOCK_LIVE) {
        return false;
    }
    trans_aim(tc, b->code + in->resume_off, b->vec);
    verify_before_entry(tc);
    return !trans_wants_attention(cpu);
}

static bool slow(TransCpu *tc, Block *b, const Site *s)
{
    if ((s->helper == HELPER_LOOKUP && look_up(tc, b, s)) ||
        (s->helper == HELPER_INDIRECT && find_target(tc, b, s))) {
        return true;
    }
    if (tc->attention) {
        return false;
    }
    state_from_host(tc, s->borrowed, s->bits);
    tc->cpu->rip = b->lin + b->insns[s->insn].guest_off;
    return interpret_insn(tc, b, &b->insns[s->insn]);
}

/* -- Arrivals --------------------------------------------------------------------------------- */

static bool arrive_kicked(TransCpu *tc)
{
    CpuState *cpu = tc->cpu;

    state_at_mark(tc, tc->kick_block, tc->kick_mark);
    cpu->stats[STAT_TRANS_KICKS]++;
    if (tc->kick_fault) {
        tc->kick_fault = false;
        trans_vec_spill();
        tc->exit = interp_engine.run(cpu, 1);
    }
    return false;
}

static bool arrive_other(TransCpu *tc, Block *b, unsigned number)
{
    CpuState *cpu = tc->cpu;

    switch (number) {
    case SITE_VEC:
        return go_on(tc, b->code + b->vec_off, b->lin, env_own_regs(b->env) | 1u << GPR_RCX, 0, b->vec);
    default: /* SITE_ENTRY */
        state_from_host(tc, tc->enter_borrowed, tc->enter_bits);
        cpu->rip = tc->enter_rip;
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
    Block *b = g_ptr_array_index(tc->cache->blocks, site >> 10);
    unsigned number = (site >> 2) & 0xff;

    switch (site & 3) {
    case SITE_SLOW:
        return slow(tc, b, &b->sites[number]);
    case SITE_EXIT:
        cpu->rip = number < BLOCK_EXITS ? b->exit[number].target : b->lin;
        if (number == BLOCK_EXITS) { /* dead */
            tc->far[(cpu->rip >> 1) & (FAR_SIZE - 1)].epoch = 0;
        } else if (b->exit[number].rel32 == NULL && quick_way(tc, b->env)) {
            return true;
        }
        state_from_host(tc, env_own_regs(b->env), 0);
        if (number < BLOCK_EXITS) {
            tc->left_whole = true;
            tc->link_block = b;
            tc->link_exit = number;
            tc->link_evictions = tc->cache->evictions;
        }
        return false;
    case SITE_KICK:
        return arrive_kicked(tc);
    default:
        return arrive_other(tc, b, number);
    }
}

_Bool trans_left(void)
{
    TransCpu *tc = vcb.tc;

    tc->exit = CPU_EXIT_BUDGET;
    tc->attention = false;
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
