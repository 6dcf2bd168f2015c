/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Groups: loads of one block by the same registers, near each other, share one look-up (property `group`).
 *
 * The first member looks up the whole span, from the lowest byte that a member reads to the highest: where it lies in one page that the TLB
 * has for loads, a register holds the host's address of its first byte up to the last member, which has no more to do than to add its
 * displacement.  Else nothing has happened, and code beside the block goes on from there, in which each operand has a look-up of its own,
 * to where the last member is done:
 *
 *      look up [base + 8, base + 32)  ----- not there ---->  mov rax, [base + 24], looked up
 *      mov rax, [G + 16]                                     add rcx, rdx
 *      add rcx, rdx                                          cmp [base + 8], rsi, looked up
 *      cmp [G], rsi                                                 |
 *      ...  <-------------------------------------------------------+
 *
 * So faults, accessed bits, devices and watched pages are the members' own, in their order.  The TLB's entry may be replaced meanwhile, by
 * look-ups of other operands, but nothing between the members flushes: what may does not come back there.  Instructions that the interpreter
 * does leave the host's registers to the guest; so those between the members come back beside the block (BlockInsn.resume_off).
 *
 * Stores are no members: another CPU may revoke the right to store at any time, which a look-up sees (softmmu/tlb.h), and a register would not.
 */
#include "translator/compile-internal.h"

/* Bytes of a span: the longer, the more often a page ends in it. */
enum { SPAN_MAX = 128 };

/* -- Finding them ------------------------------------------------------------------------------ */

typedef struct {
    unsigned base, index;      /* of an address; EMIT_NO_REG: none                              */
    bool absolute;             /* it has no base and no index: `at` is all                      */
    unsigned scale;
    int64_t at;
} Operand;

static Operand operand_of(const Plan *p, const PlanInsn *in)
{
    const ZydisDecodedOperand *m = &in->op[in->mem];
    int64_t disp = m->mem.disp.has_displacement ? m->mem.disp.value : 0;

    if (m->mem.base == ZYDIS_REGISTER_RIP) {
        return (Operand){EMIT_NO_REG, EMIT_NO_REG, true, 0, (int64_t)(p->lin + in->off + in->len + (uint64_t)disp)};
    }
    return (Operand){gen_reg_of(m->mem.base), gen_reg_of(m->mem.index),
                     m->mem.base == ZYDIS_REGISTER_NONE && m->mem.index == ZYDIS_REGISTER_NONE, m->mem.scale, disp};
}

/* A load that is looked up in the TLB or in a spot. */
static bool may_be_member(const Plan *p, const PlanInsn *in)
{
    const ZydisDecodedOperand *m = &in->op[in->mem];

    return in->plan == PLAN_MEM && !in->mem_write && !plan_in_window(p, in) && m->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
           in->zi.raw.modrm.offset != 0 && !gen_is_based(m) && in->mem_size > 0 && in->mem_size <= 64 &&
           !(m->mem.index == ZYDIS_REGISTER_NONE && plan_is_near(p, in, gen_reg_of(m->mem.base), in->mem_size));
}

/* It lets the block go on behind it with all registers as they are, but those that it writes. */
static bool may_be_between(const PlanInsn *in)
{
    switch (in->plan) {
    case PLAN_COPY: case PLAN_NOTHING: case PLAN_MEM: case PLAN_LEA_RIP: case PLAN_PUSH: case PLAN_PUSH_MEM: case PLAN_POP:
    case PLAN_LEAVE:
        return true;
    default:
        return false;
    }
}

static uint16_t written_registers(const PlanInsn *in)
{
    uint16_t regs = in->plan == PLAN_LEAVE ? 1u << GPR_RSP | 1u << GPR_RBP : 0;

    for (unsigned i = 0; i < in->zi.operand_count; i++) {
        const ZydisDecodedOperand *o = &in->op[i];
        if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0) {
            unsigned r = gen_reg_of(o->reg.value);
            regs |= r < 16 ? (uint16_t)(1u << r) : 0;
        }
    }
    return regs;
}

static bool same_page(int64_t a, int64_t b)
{
    return ((a ^ b) & GUEST_PAGE_MASK) == 0;
}

/* Take an operand of `size` bytes into x, if that is its group. */
static bool join(Group *x, const Operand *o, unsigned size)
{
    int64_t from = MIN(x->from, o->at), to = MAX(x->to, o->at + (int64_t)size);

    if (!x->open || x->base != o->base || x->index != o->index || x->scale != o->scale || x->absolute != o->absolute ||
        to - from > SPAN_MAX || (x->absolute && !same_page(from, to - 1))) {
        return false;
    }
    x->from = from;
    x->to = to;
    return true;
}

static void close_written(Gen *g, uint16_t written)
{
    for (unsigned k = 0; k < g->n_groups; k++) {
        Group *x = &g->group[k];
        if ((x->base < 16 && (written >> x->base & 1) != 0) || (x->index < 16 && (written >> x->index & 1) != 0)) {
            x->open = false;
        }
    }
}

static void add_member(Gen *g, unsigned i)
{
    const PlanInsn *in = &g->p->insn[i];
    Operand o = operand_of(g->p, in);
    unsigned k = 0;

    while (k < g->n_groups && !join(&g->group[k], &o, in->mem_size)) {
        k++;
    }
    if (k == g->n_groups) {
        if (k == GROUPS_MAX || (o.absolute && !same_page(o.at, o.at + in->mem_size - 1))) {
            return;
        }
        g->group[g->n_groups++] = (Group){.open = true, .absolute = o.absolute, .base = (uint8_t)o.base, .index = (uint8_t)o.index,
                                          .scale = (uint8_t)o.scale, .from = o.at, .to = o.at + in->mem_size, .first = (uint8_t)i};
    }
    g->group[k].last = (uint8_t)i;
    g->group[k].n++;
    g->group_of[i] = (uint8_t)(k + 1);
}

/* -- Registers ------------------------------------------------------------------------------------ */

/* Does an instruction between its members use scratch 0? */
static bool shares_scratch(const Gen *g, unsigned k)
{
    for (unsigned i = g->group[k].first; i <= g->group[k].last; i++) {
        const PlanInsn *in = &g->p->insn[i];
        bool simple = (in->plan == PLAN_COPY && !in->soft) || in->plan == PLAN_NOTHING || in->plan == PLAN_LEA_RIP;
        if (!simple && g->group_of[i] != k + 1) {
            return true;
        }
    }
    return false;
}

static bool overlap(const Group *x, const Group *y)
{
    return x->first <= y->last && y->first <= x->last;
}

/* A register for group k, which the groups of smaller numbers have not at the same time. */
static bool find_register(Gen *g, unsigned k)
{
    uint16_t taken = 1u << GPR_RAX | 1u << GPR_RCX;

    if (!shares_scratch(g, k)) {
        g->group[k].reg = g->scratch[0];
        return true;
    }
    for (unsigned j = 0; j < k; j++) {
        taken |= overlap(&g->group[j], &g->group[k]) && g->group[j].n > 1 ? (uint16_t)(1u << g->group[j].reg) : 0;
    }
    for (unsigned i = 3; i < g->n_scratch; i++) {
        if ((taken >> g->scratch[i] & 1) == 0) {
            g->group[k].reg = g->scratch[i];
            return true;
        }
    }
    return false;
}

void gen_find_groups(Gen *g)
{
    g->n_groups = 0;
    memset(g->group_of, 0, sizeof g->group_of);
    for (unsigned i = 0; i < g->p->n && g->p->config->group; i++) {
        const PlanInsn *in = &g->p->insn[i];
        if (!may_be_between(in)) {
            close_written(g, UINT16_MAX);
            for (unsigned k = 0; k < g->n_groups; k++) {
                g->group[k].open = false;
            }
            continue;
        }
        if (may_be_member(g->p, in)) {
            add_member(g, i);
        }
        close_written(g, written_registers(in));
    }
    for (unsigned k = 0; k < g->n_groups; k++) {
        if (g->group[k].n == 1 || !find_register(g, k)) {
            g->group[k].n = 1; /* no group */
        }
    }
    for (unsigned i = 0; i < g->p->n; i++) {
        if (g->group_of[i] != 0 && g->group[g->group_of[i] - 1].n == 1) {
            g->group_of[i] = 0;
        }
    }
}

bool gen_in_group(const Gen *g, unsigned insn)
{
    bool in = false;

    for (unsigned k = 0; k < g->n_groups; k++) {
        in |= g->group[k].n > 1 && insn >= g->group[k].first && insn <= g->group[k].last;
    }
    return in;
}

/* -- In the block ---------------------------------------------------------------------------------- */

/* Its members' registers are as they will be; scratch registers and flags are free. */
static void look_up(Gen *g, Group *x)
{
    unsigned scale = x->scale <= 1 ? 0 : (unsigned)__builtin_ctz(x->scale);
    void (*lea)(Emit *e, unsigned dst, unsigned base, unsigned index, unsigned scale, int32_t disp) =
        g->p->code32 ? emit_lea32_full : emit_lea_full;

    gen_scratch(g, 1);
    gen_scratch(g, 2);
    gen_borrow(g, x->reg);
    gen_free_flags(g);
    if (x->absolute && !g->p->code32) {
        gen_address(g, x->reg, (uint64_t)x->from, false);
    } else {
        lea(g->e, x->reg, x->base < 16 ? x->base : EMIT_NO_REG, x->index < 16 ? x->index : EMIT_NO_REG, scale, (int32_t)x->from);
    }
    x->fail = gen_span(g, x->reg, (unsigned)(x->to - x->from), (unsigned)(x - g->group) + 1);
    x->borrowed = g->borrowed;
    x->flags = g->flags;
}

bool gen_group_place(Gen *g, unsigned *reg, int32_t *disp)
{
    Group *x = g->beside || g->group_of[g->insn] == 0 ? NULL : &g->group[g->group_of[g->insn] - 1];

    if (x == NULL) {
        return false;
    }
    if (x->first == g->insn) {
        look_up(g, x);
    }
    *reg = x->reg;
    *disp = (int32_t)(operand_of(g->p, g->in).at - x->from);
    return true;
}

/* -- Beside it -------------------------------------------------------------------------------------- */

/* From g's borrowed registers to those.  The mark that holds before holds to the end: what is not borrowed yet has the guest's
 * value, what was borrowed has it in its slot. */
static void borrow_as(Gen *g, uint16_t borrowed)
{
    for (unsigned r = 0; r < 16; r++) {
        if ((borrowed & ~g->borrowed & 1u << r) != 0) {
            emit_fs_store(g->e, gen_saved_slot(g, r), r);
        } else if ((g->borrowed & ~borrowed & 1u << r) != 0) {
            emit_fs_load(g->e, r, gen_saved_slot(g, r));
        }
    }
}

static void enter_beside(Gen *g, Group *x)
{
    x->entry_off = (uint16_t)emit_offset(g->e);
    if (x->fail != NULL) {
        emit_patch32(g->e, x->fail);
    }
}

/* Who comes from x's look-up, within the code beside the block: goes on at `to`, where things are as g says. */
static void enter_within(Gen *g, Group *x, const uint8_t *to)
{
    uint16_t borrowed = g->borrowed;
    FlagsAt flags = g->flags;

    g->borrowed = x->borrowed;
    g->flags = x->flags;
    g->insn = x->first;
    gen_mark(g);
    enter_beside(g, x);
    borrow_as(g, borrowed);
    emit_jmp(g->e, to);
    g->borrowed = borrowed;
    g->flags = flags;
}

/* What the code beside the block is like where a look-up within it would have gone on. */
typedef struct {
    Group *x;
    const uint8_t *at;
    uint16_t borrowed;
    FlagsAt flags;
} Within;

/* Behind instruction `last`, on in the block, with flags and registers as they are there. */
static void rejoin(Gen *g, unsigned last)
{
    const Rejoin *j = &g->rejoin[last];

    g->insn = last + 1;
    if (g->insn == g->p->n) {
        g->insn = 0; /* marks name exit 0 */
        g->bits = MARK_EXIT;
        g->b->exit[0].target = gen_rip_at(g, g->p->len);
    }
    gen_mark(g);
    if (j->flags == FLAGS_IN_HOST) {
        gen_flags_to_host(g);
    } else if (j->flags == FLAGS_IN_SLOT && g->flags == FLAGS_IN_HOST) {
        gen_flags_to_slot(g);
    }
    borrow_as(g, j->borrowed);
    emit_jmp(g->e, block_at(g->b, j->off));
    g->bits = 0;
}

/* The instructions from `from` to `to`, each with its own look-up. */
static void gen_beside(Gen *g, unsigned from, unsigned to)
{
    Within within[GROUPS_MAX];
    unsigned n = 0;

    g->exec = 0;
    for (g->insn = from; g->insn <= to; g->insn++) {
        Group *x = g->group_of[g->insn] != 0 ? &g->group[g->group_of[g->insn] - 1] : NULL;

        g->in = &g->p->insn[g->insn];
        if (x != NULL && x->first == g->insn) {
            if (g->insn == from) {
                g->borrowed = x->borrowed;
                g->flags = x->flags;
                gen_mark(g);
                enter_beside(g, x);
            } else {
                gen_mark(g);
                gen_free_flags(g);
                within[n++] = (Within){x, emit_here(g->e), g->borrowed, g->flags};
            }
        }
        gen_mark(g);
        gen_insn(g);
        if (g->insn < to) {
            g->insns[g->insn].resume_off = (uint16_t)emit_offset(g->e);
        }
    }
    rejoin(g, to);
    for (unsigned i = 0; i < n; i++) {
        g->borrowed = within[i].borrowed;
        g->flags = within[i].flags;
        enter_within(g, within[i].x, within[i].at);
    }
}

void gen_groups_beside(Gen *g)
{
    g->beside = true;
    for (unsigned from = 0, to; from < g->p->n; from = to + 1) {
        to = from;
        if (g->group_of[from] != 0) { /* groups that overlap are one piece */
            to = g->group[g->group_of[from] - 1].last;
            for (unsigned i = from; i <= to; i++) {
                to = g->group_of[i] != 0 ? MAX(to, g->group[g->group_of[i] - 1].last) : to;
            }
            gen_beside(g, from, to);
        }
    }
    g->beside = false;
}
