/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Accesses by the stack pointer: near pages (TlbNear), for one access or a run of them. */
#include "translator/compile-internal.h"

#include "softmmu/base/stress.h"

bool gen_is_near(const Gen *g, unsigned base, unsigned size)
{
    return plan_is_near(g->p, g->in, base, size);
}

/* -- Runs ------------------------------------------------------------------------------------------- */

/*
 * Accesses that follow each other, at known distances from what RSP is before the first of them, with nothing between them that
 * leaves the block, changes RSP by what is not known, or borrows registers; outside of groups (compile-group.c), whose instructions
 * may be executed beside the block.  If all are in a near page, which is looked up once, each has the same addend.
 */
typedef struct {
    int32_t from, to;          /* bytes from RSP as it is before the run                */
    int32_t first;             /* ... of the first member                               */
    unsigned size;             /* its bytes                                             */
    bool write;                /* it writes                                             */
    unsigned begin, end;       /* instructions: first and last member                   */
    unsigned n;                /* members                                               */
} Run;

enum { RUN_BYTES_MAX = 240, RUN_RSP_MAX = GUEST_PAGE_SIZE };

static bool writes_rsp(const PlanInsn *in)
{
    bool writes = false;

    for (unsigned i = 0; i < in->zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &in->op[i];
        writes |= o->type == ZYDIS_OPERAND_TYPE_REGISTER && (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0 &&
                  gen_reg_of(o->reg.value) == GPR_RSP;
    }
    return writes;
}

/* add or sub rsp, constant; lea rsp, [rsp + constant] */
static bool moves_rsp(const PlanInsn *in, int32_t *by)
{
    const ZydisDecodedOperand *dst = &in->op[0], *src = &in->op[1];
    bool rsp = dst->type == ZYDIS_OPERAND_TYPE_REGISTER && dst->reg.value == ZYDIS_REGISTER_RSP;
    int64_t v;

    if (rsp && src->type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
        (in->zi.mnemonic == ZYDIS_MNEMONIC_ADD || in->zi.mnemonic == ZYDIS_MNEMONIC_SUB)) {
        v = in->zi.mnemonic == ZYDIS_MNEMONIC_ADD ? src->imm.value.s : -src->imm.value.s;
    } else if (rsp && in->zi.mnemonic == ZYDIS_MNEMONIC_LEA && src->mem.base == ZYDIS_REGISTER_RSP &&
               src->mem.index == ZYDIS_REGISTER_NONE && in->zi.address_width == 64) {
        v = src->mem.disp.has_displacement ? src->mem.disp.value : 0;
    } else {
        return false;
    }
    *by = (int32_t)v;
    return v >= -RUN_RSP_MAX && v <= RUN_RSP_MAX;
}

/* An operand in memory at [rsp + disp], of an instruction that leaves RSP as it is. */
static bool is_local(const PlanInsn *in)
{
    const ZydisDecodedOperand *m = &in->op[in->mem];

    return m->mem.base == ZYDIS_REGISTER_RSP && m->mem.index == ZYDIS_REGISTER_NONE && !gen_is_based(m) && !writes_rsp(in);
}

/* A member's bytes from RSP, and what becomes of RSP; false: no member. */
static bool find_member(const PlanInsn *in, int32_t *at, unsigned *size, bool *write, int32_t *by, bool *last)
{
    *size = 8;
    *by = 0;
    *last = false;
    *write = true;
    switch (in->plan) {
    case PLAN_CALL:
        *last = true;
        /* fallthrough */
    case PLAN_PUSH:
        *at = *by = -8;
        return true;
    case PLAN_RET:
    case PLAN_POP:
        *at = 0;
        *by = 8;
        *write = false;
        *last = in->plan == PLAN_RET || in->op[0].reg.value == ZYDIS_REGISTER_RSP;
        return true;
    case PLAN_MEM: {
        const ZydisDecodedOperand *m = &in->op[in->mem];
        int64_t disp = m->mem.disp.has_displacement ? m->mem.disp.value : 0;
        *at = (int32_t)disp;
        *size = in->mem_size;
        *write = in->mem_write;
        return is_local(in) && disp >= -RUN_BYTES_MAX && disp <= RUN_BYTES_MAX && (*size & (*size - 1)) == 0 && *size <= 64;
    }
    default:
        return false;
    }
}

/* The run that begins at instruction number `begin`, or behind it. */
static Run find_run(const Gen *g, unsigned begin)
{
    Run r = {.begin = begin};
    int32_t rsp = 0;
    bool last = false;

    for (unsigned i = begin; i < g->p->n && !last; i++) {
        const PlanInsn *in = &g->p->insn[i];
        int32_t at, by = 0;
        unsigned size;
        bool write;

        if (in->far || plan_in_window(g->p, in) || gen_in_group(g, i)) {
            break;
        }
        if (in->plan == PLAN_COPY || in->plan == PLAN_NOTHING || in->plan == PLAN_LEA_RIP) {
            if (in->soft || (writes_rsp(in) && !moves_rsp(in, &by))) {
                break;
            }
            rsp += by;
            continue;
        }
        if (!find_member(in, &at, &size, &write, &by, &last)) {
            break;
        }
        at += rsp;
        if (r.n == 0) {
            r.from = r.first = at;
            r.to = at + (int32_t)size;
            r.size = size;
            r.write = write;
            r.begin = i;
        }
        if (MAX(r.to, at + (int32_t)size) - MIN(r.from, at) > RUN_BYTES_MAX) {
            break;
        }
        r.from = MIN(r.from, at);
        r.to = MAX(r.to, at + (int32_t)size);
        r.end = i;
        r.n++;
        rsp += by;
    }
    return r;
}

/* -- One look-up ------------------------------------------------------------------------------------ */

/* Offset from fs of the n-th near page. */
static int32_t near_field(const Gen *g, unsigned n)
{
    return gen_field(g, VCB_NEAR + ((g->p->env & ENV_CPL3) != 0 ? 0 : 32) + 16 * (int)n);
}

/*
 * Is [base + disp] in the n-th near page?  The jump is the caller's: on "not equal", "above" of a run, or rcx.
 *
 *   mov t, [minus_page]; lea t, [t + base + disp]; and rcx = pext t, [mask] or test t, mask
 *
 * A run has its first byte's distance, and its last one's in s->reg where flags are to be left alone; else cmp t, 4096 - bytes.
 */
static void near_test(Gen *g, unsigned n, unsigned t, const Site *s)
{
    int32_t disp = s->disp + s->run_from;
    int32_t mask = gen_field(g, VCB_NEAR_MASK + (s->run_len != 0 ? 0 : 8 * __builtin_ctz(s->size)));

    emit_fs_load(g->e, t, near_field(g, n));
    if (s->quiet && s->run_len != 0) {
        emit_lea_full(g->e, s->reg, s->base, t, 0, disp + s->run_len - 1);
    }
    emit_lea_full(g->e, t, s->base, t, 0, disp);
    if (!s->quiet && s->run_len != 0) {
        emit_cmp64_ri(g->e, t, GUEST_PAGE_SIZE - s->run_len);
    } else if (!s->quiet) {
        emit_test64_ri(g->e, t, (int32_t)(-GUEST_PAGE_SIZE | (s->size - 1)));
    } else {
        emit_fs_pext(g->e, t, t, mask);
        if (s->run_len != 0) {
            emit_fs_pext(g->e, s->reg, s->reg, mask);
            emit_lea_sum(g->e, t, t, s->reg); /* of two numbers below 2^52 */
        }
    }
}

static unsigned near_cc(const Site *s)
{
    return s->run_len != 0 ? CC_A : CC_NE;
}

static void near_address(Gen *g, unsigned n, const Site *s)
{
    emit_fs_load(g->e, s->reg, near_field(g, n) + 8);
    if (!s->addend) {
        emit_lea_full(g->e, s->reg, s->base, s->reg, 0, s->disp);
    }
}

/* Scratch 0 as `here` says. */
static void near_look_up(Gen *g, Site here)
{
    bool lent = (g->borrowed & 1u << GPR_RCX) == 0 && (g->p->regs & 1u << GPR_RCX) != 0;
    unsigned keeper = lent ? gen_scratch(g, 1) : GPR_RCX; /* of the guest's rcx */
    Site *s;

    if (here.run_len != 0 && stress_hit(STRESS_slow_path)) {
        gen_slow_jmp(g, HELPER_INTERP);
    }
    here.quiet = gen_flags_matter(g);
    if (here.quiet) {
        uint8_t *hit;
        gen_borrow(g, GPR_RCX);
        if (lent) {
            emit_mov_rr(g->e, keeper, GPR_RCX);
        }
        near_test(g, 0, GPR_RCX, &here);
        hit = emit_jrcxz(g->e);
        s = gen_slow_jmp(g, HELPER_LOOKUP);
        emit_patch8(g->e, hit);
    } else {
        gen_free_flags(g);
        near_test(g, 0, here.reg, &here);
        s = gen_slow_jcc(g, near_cc(&here), HELPER_LOOKUP);
    }
    near_address(g, 0, &here);
    s->reg = here.reg;
    s->size = here.size;
    s->base = here.base;
    s->disp = here.disp;
    s->quiet = here.quiet;
    s->addend = here.addend;
    s->near = true;
    s->write = here.write;
    s->may_raise = here.may_raise;
    s->run_len = here.run_len;
    s->run_from = here.run_from;
    s->hit_off = (uint16_t)emit_offset(g->e);
    if (here.quiet && lent) {
        emit_mov_rr(g->e, GPR_RCX, keeper);
        g->borrowed &= (uint16_t)~(1u << GPR_RCX);
        gen_mark(g);
    }
}

static void begin_run(Gen *g, const Run *r, bool may_raise)
{
    g->run_end = r->end;
    near_look_up(g, (Site){.reg = (uint8_t)gen_scratch(g, 0), .size = (uint8_t)r->size, .base = GPR_RSP, .disp = r->first,
                           .write = r->write, .may_raise = may_raise, .addend = true,
                           .run_len = (uint8_t)(r->to - r->from), .run_from = (int16_t)(r->from - r->first)});
}

void gen_near_ahead(Gen *g)
{
    const PlanInsn *in = g->in;
    Run r;

    if (!g->p->config->near_runs || in->plan != PLAN_COPY || in->soft || gen_in_run(g) || (in->flags_live != 0 && g->flags == FLAGS_IN_HOST) ||
        !gen_is_near(g, GPR_RSP, 8)) {
        return;
    }
    r = find_run(g, g->insn);
    if (r.n > 1 && g->p->insn[r.begin].flags_live != 0) {
        begin_run(g, &r, false);
    }
}

unsigned gen_near(Gen *g, unsigned base, int32_t disp, unsigned size, bool write, bool addend)
{
    unsigned a = gen_scratch(g, 0);
    bool in_run = !g->beside && g->run_end != 0 && g->insn <= g->run_end;

    if (!in_run && !g->beside && g->p->config->near_runs && base == GPR_RSP) {
        Run r = find_run(g, g->insn);
        if (r.n > 1 && r.begin == g->insn && r.first == disp) {
            begin_run(g, &r, g->in->vec == 0);
            in_run = true;
        }
    }
    if (in_run && addend) {
        return a;
    }
    if (in_run) {
        unsigned t = gen_scratch(g, 1);
        emit_lea_full(g->e, t, base, a, 0, disp);
        return t;
    }
    near_look_up(g, (Site){.reg = (uint8_t)a, .size = (uint8_t)size, .base = (uint8_t)base, .disp = disp, .write = write,
                           .may_raise = g->in->vec == 0, .addend = addend});
    return a;
}

void gen_near_stub(Gen *g, const Site *s)
{
    Emit *e = g->e;
    uint8_t *hit, *miss;

    near_test(g, 1, s->quiet ? GPR_RCX : s->reg, s);
    if (s->quiet) {
        hit = emit_jrcxz(e);
        miss = emit_jmp(e, emit_here(e));
        emit_patch8(e, hit);
    } else {
        miss = emit_jcc(e, near_cc(s), emit_here(e));
    }
    near_address(g, 1, s);
    emit_jmp(e, block_at(g->b, s->hit_off));
    emit_patch32(e, miss);
}
