/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/compile.h"

#include "translator/vcb.h"

enum { MARKS_MAX = 1024, SLOW_MAX = 256 };

/* Where the guest's flags are. */
typedef enum { FLAGS_IN_HOST, FLAGS_IN_SLOT, FLAGS_DEAD } FlagsAt;

typedef struct {
    uint8_t *rel32;            /* of the jump to the slow stub */
    uint8_t insn;
} SlowJump;

typedef struct {
    Emit *e;
    Block *b;
    const Plan *p;
    const PlanInsn *in;        /* being compiled           */
    unsigned insn;             /* its number               */
    int32_t fs;                /* vcb's offset from fs     */

    uint16_t borrowed;
    FlagsAt flags;
    uint8_t bits;              /* MARK_* besides the flags */
    uint8_t scratch[16], n_scratch; /* free registers, best first */

    Mark marks[MARKS_MAX];
    unsigned n_marks;
    Site sites[FRONT_INSNS_MAX];
    SlowJump slow[SLOW_MAX];
    unsigned n_slow;
} Gen;

/* -- Marks ------------------------------------------------------------------------------------ */

static void mark_as(Gen *g, unsigned index, unsigned bits)
{
    Mark m = {.host_off = (uint16_t)emit_offset(g->e), .borrowed = g->borrowed,
              .insn = (uint8_t)index, .bits = (uint8_t)bits};

    if (g->n_marks > 0 && g->marks[g->n_marks - 1].host_off == m.host_off) {
        g->n_marks--; /* nothing was emitted since */
    }
    if (g->n_marks == MARKS_MAX) {
        g->e->full = true;
        return;
    }
    g->marks[g->n_marks++] = m;
}

static unsigned flag_bits(const Gen *g)
{
    return g->bits | (g->flags == FLAGS_IN_SLOT ? MARK_FLAGS_SLOT : 0);
}

static void mark(Gen *g)
{
    mark_as(g, g->insn, flag_bits(g));
}

/* -- The vCPU block --------------------------------------------------------------------------- */

static int32_t field(const Gen *g, int off)
{
    return g->fs + off;
}

static int32_t saved_slot(const Gen *g, unsigned reg)
{
    return field(g, VCB_SAVED + 8 * (int)reg);
}

/* -- Borrowing -------------------------------------------------------------------------------- */

static void borrow(Gen *g, unsigned reg)
{
    if ((g->borrowed & 1u << reg) == 0) {
        emit_fs_store(g->e, saved_slot(g, reg), reg);
        g->borrowed |= (uint16_t)(1u << reg);
        mark(g);
    }
}

/* The n-th scratch register, borrowed. */
static unsigned scratch(Gen *g, unsigned n)
{
    g_assert(n < 3 && n < g->n_scratch && g->scratch[n] != GPR_RCX && g->scratch[n] != GPR_RAX);
    borrow(g, g->scratch[n]);
    return g->scratch[n];
}

/* Give every guest value back.  The slots stay valid, so marks inside need not follow. */
static void give_back(Gen *g)
{
    for (unsigned r = 0; r < 16; r++) {
        if ((g->borrowed & 1u << r) != 0) {
            emit_fs_load(g->e, r, saved_slot(g, r));
        }
    }
}

static void find_scratch(Gen *g)
{
    /* Registers without a REX or SIB special case first; rcx and rax last, because the first
     * three are for addresses while rcx compares (jrcxz) and rax moves flags (lahf). */
    static const uint8_t order[] = {GPR_RDX, GPR_RSI, GPR_RDI, GPR_RBX, GPR_R8, GPR_R9, GPR_R10,
                                    GPR_R11, GPR_R14, GPR_R15, GPR_R13, GPR_R12, GPR_RBP, GPR_RCX,
                                    GPR_RAX};

    for (unsigned i = 0; i < ARRAY_LEN(order); i++) {
        if ((g->p->regs & 1u << order[i]) == 0) {
            g->scratch[g->n_scratch++] = order[i];
        }
    }
}

/* -- Flags ------------------------------------------------------------------------------------ */

/* Around the use of rax by lahf and sahf. */
static void take_rax(Gen *g)
{
    if ((g->p->regs & 1u << GPR_RAX) == 0) {
        borrow(g, GPR_RAX);
    } else {
        emit_fs_store(g->e, field(g, VCB_RAX_TMP), GPR_RAX);
        g->bits |= MARK_RAX_TMP;
        mark(g);
    }
}

static void return_rax(Gen *g)
{
    if ((g->bits & MARK_RAX_TMP) != 0) {
        emit_fs_load(g->e, GPR_RAX, field(g, VCB_RAX_TMP));
        g->bits &= (uint8_t)~MARK_RAX_TMP;
    }
}

/* lahf; seto al; mov slot, eax */
static void flags_to_slot(Gen *g)
{
    take_rax(g);
    emit_bytes(g->e, "\x9f\x0f\x90\xc0", 4);
    emit_fs_store32(g->e, field(g, VCB_FLAGS_SLOT), GPR_RAX);
    return_rax(g);
    g->flags = FLAGS_IN_SLOT;
    mark(g);
}

/* mov eax, slot; add al, 0x7f; sahf */
static void flags_to_host(Gen *g)
{
    if (g->flags != FLAGS_IN_SLOT) {
        return;
    }
    take_rax(g);
    emit_fs_load32(g->e, GPR_RAX, field(g, VCB_FLAGS_SLOT));
    emit_bytes(g->e, "\x04\x7f\x9e", 3);
    return_rax(g);
    g->flags = FLAGS_IN_HOST;
    mark(g);
}

/* The host's flags are about to be clobbered before the current instruction executes. */
static void free_flags(Gen *g)
{
    if (g->flags == FLAGS_IN_HOST) {
        if (g->in->flags_live == 0) {
            g->flags = FLAGS_DEAD;
        } else {
            flags_to_slot(g);
        }
    }
}

/* The current instruction is about to execute on the host: give it the flags it needs, and say where
 * they are behind it. */
static void flags_for_insn(Gen *g)
{
    const PlanInsn *in = g->in;
    uint16_t after = g->insn + 1 < g->p->n ? g->p->insn[g->insn + 1].flags_live : FLAGS_ARITH;

    if (in->flags_read != 0 || (in->flags_maybe != 0 && (after & ~in->flags_kill) != 0)) {
        flags_to_host(g);
    }
}

static void flags_after_insn(Gen *g)
{
    if (g->in->flags_maybe != 0) {
        g->flags = FLAGS_IN_HOST;
    }
}

/* -- Slow stubs ------------------------------------------------------------------------------- */

static void note_slow(Gen *g, uint8_t *rel32)
{
    if (g->n_slow == SLOW_MAX) {
        g->e->full = true;
        return;
    }
    g->slow[g->n_slow++] = (SlowJump){rel32, (uint8_t)g->insn};
    g->sites[g->insn].borrowed = g->borrowed;
    g->sites[g->insn].bits = (uint8_t)flag_bits(g);
}

static void slow_jcc(Gen *g, unsigned cc)
{
    note_slow(g, emit_jcc(g->e, cc, emit_here(g->e)));
}

static void slow_jmp(Gen *g)
{
    note_slow(g, emit_jmp(g->e, emit_here(g->e)));
}

/* mov dword site, imm; jmp [thunk] */
static void emit_leave(Gen *g, unsigned index, unsigned kind)
{
    emit_fs_store_imm32(g->e, field(g, VCB_SITE), site_make(g->b->id, index, kind));
    emit_fs_jmp(g->e, field(g, VCB_THUNK));
}

/* One stub an instruction; every jump noted for it lands there. */
static void emit_slow_stubs(Gen *g)
{
    for (unsigned i = 0; i < g->n_slow; i++) {
        if (i == 0 || g->slow[i].insn != g->slow[i - 1].insn) {
            g->borrowed = g->sites[g->slow[i].insn].borrowed;
            mark_as(g, g->slow[i].insn, g->sites[g->slow[i].insn].bits);
            emit_patch32(g->e, g->slow[i].rel32);
            for (unsigned k = i + 1; k < g->n_slow && g->slow[k].insn == g->slow[i].insn; k++) {
                emit_patch32(g->e, g->slow[k].rel32);
            }
            emit_leave(g, g->slow[i].insn, SITE_SLOW);
        }
    }
}

/* -- Addresses -------------------------------------------------------------------------------- */

static unsigned reg_of(ZydisRegister r)
{
    if (r == ZYDIS_REGISTER_NONE) {
        return EMIT_NO_REG;
    }
    return (unsigned)(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r) -
                      ZYDIS_REGISTER_RAX);
}

/* dst = linear address of the operand (plus `bump`, for pop [rsp+..] and the like). */
static void emit_linear(Gen *g, unsigned dst, unsigned tmp, const ZydisDecodedOperand *m)
{
    int64_t disp = m->mem.disp.has_displacement ? m->mem.disp.value : 0;
    unsigned scale = m->mem.scale <= 1 ? 0 : (unsigned)__builtin_ctz(m->mem.scale);

    if (m->mem.base == ZYDIS_REGISTER_RIP) {
        emit_mov_ri(g->e, dst, g->p->lin + g->in->off + g->in->len + (uint64_t)disp);
    } else {
        emit_lea_full(g->e, dst, reg_of(m->mem.base), reg_of(m->mem.index), scale, (int32_t)disp);
    }
    if (m->mem.segment == ZYDIS_REGISTER_FS || m->mem.segment == ZYDIS_REGISTER_GS) {
        emit_fs_load(g->e, tmp, field(g, m->mem.segment == ZYDIS_REGISTER_FS ? VCB_FS_BASE
                                                                             : VCB_GS_BASE));
        emit_lea_sum(g->e, dst, dst, tmp);
    }
}

/*
 * a = host address of the guest-linear address in a, for an access of `size` bytes; t and u are
 * clobbered, and so are the host's flags.  Leaves by the slow stub on anything but a hit:
 *
 *   mov t, a; shr t, 7; and t, [mask*32]; add t, [entries]
 *   lea u, [a + size - 1]; and u, -4096; or u, [space]
 *   cmp u, [t + load or store]; jne slow
 *   add a, [t + addend]
 */
static void emit_tlb(Gen *g, unsigned a, unsigned t, unsigned u, unsigned size, bool write)
{
    emit_mov_rr(g->e, t, a);
    emit_shr_ri(g->e, t, GUEST_PAGE_SHIFT - 5);
    emit_fs_op(g->e, 0x23, t, field(g, VCB_TLB_MASK));
    emit_fs_op(g->e, 0x03, t, field(g, VCB_TLB_ENTRY));
    emit_lea(g->e, u, a, (int32_t)size - 1);
    emit_and_ri(g->e, u, -GUEST_PAGE_SIZE);
    emit_fs_op(g->e, 0x0b, u, field(g, VCB_TLB_SPACE));
    emit_op_load(g->e, 0x3b, u, t,
                 write ? (int)offsetof(TlbEntry, store) : (int)offsetof(TlbEntry, load));
    slow_jcc(g, CC_NE);
    emit_op_load(g->e, 0x03, a, t, (int)offsetof(TlbEntry, addend));
}

/* Scratch 0 = host address of [base + disp] for an 8-byte stack access. */
static unsigned emit_stack(Gen *g, unsigned base, int32_t disp, bool write)
{
    unsigned a = scratch(g, 0), t = scratch(g, 1), u = scratch(g, 2);

    free_flags(g);
    emit_lea(g->e, a, base, disp);
    emit_tlb(g, a, t, u, 8, write);
    return a;
}

/* Scratch 0 = host address of the current instruction's memory operand. */
static unsigned emit_operand_address(Gen *g)
{
    const ZydisDecodedOperand *m = &g->in->op[g->in->mem];
    unsigned a = scratch(g, 0), t = scratch(g, 1), u = scratch(g, 2);

    free_flags(g);
    emit_linear(g, a, t, m);
    emit_tlb(g, a, t, u, g->in->mem_size, g->in->mem_write);
    return a;
}

/* -- The instruction with its memory operand replaced by [reg] --------------------------------- */

static bool is_dropped_prefix(uint8_t p)
{
    switch (p) {
    case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65: case 0x67:
        return true;
    default:
        return (p & 0xf0) == 0x40; /* REX is made anew */
    }
}

static void emit_rebased(Gen *g, unsigned base)
{
    const ZydisDecodedInstruction *zi = &g->in->zi;
    const uint8_t *bytes = g->p->bytes + g->in->off;
    unsigned rex = 0, at = 0, imm_at, disp8;

    for (unsigned i = 0; i < zi->raw.prefix_count; i++) {
        uint8_t p = zi->raw.prefixes[i].value;
        if (!is_dropped_prefix(p)) {
            emit8(g->e, p);
        }
    }
    at = zi->raw.prefix_count;
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY) {
        if ((zi->attributes & ZYDIS_ATTRIB_HAS_REX) != 0) {
            rex = 0x40u | (zi->raw.rex.W ? 8u : 0) | (zi->raw.rex.R ? 4u : 0);
        }
        if (base >= 8) {
            rex |= 0x41;
        }
        if (rex != 0) {
            emit8(g->e, (uint8_t)rex);
        }
    } else { /* VEX: three-byte form, X clear, B as needed (both inverted) */
        emit8(g->e, 0xc4);
        emit8(g->e, (uint8_t)((zi->raw.vex.R ? 0x80 : 0) | 0x40 | (base < 8 ? 0x20 : 0) |
                              zi->raw.vex.m_mmmm));
        emit8(g->e, (uint8_t)((zi->raw.vex.W ? 0x80 : 0) | (zi->raw.vex.vvvv & 15) << 3 |
                              (zi->raw.vex.L ? 4 : 0) | (zi->raw.vex.pp & 3)));
        at = zi->raw.vex.offset + zi->raw.vex.size;
    }
    emit_bytes(g->e, bytes + at, zi->raw.modrm.offset - at);
    disp8 = (base & 7) == GPR_RBP;
    emit8(g->e, (uint8_t)((disp8 ? 0x40 : 0) | zi->raw.modrm.reg << 3 | (base & 7)));
    if ((base & 7) == GPR_RSP) {
        emit8(g->e, 0x24);
    }
    if (disp8) {
        emit8(g->e, 0);
    }
    imm_at = zi->raw.imm[0].size != 0 ? zi->raw.imm[0].offset : zi->length;
    emit_bytes(g->e, bytes + imm_at, zi->length - imm_at);
}

/* -- Exits ------------------------------------------------------------------------------------ */

static bool same_page(const Gen *g, uint64_t target)
{
    return ((g->p->lin ^ target) & GUEST_PAGE_MASK) == 0;
}

/*
 * Leave for a constant rip; flags are in the host, nothing is borrowed.
 *
 * On the same page the jump is linkable: while this block runs, its page is mapped where it was, so
 * the target is where it was.  On another page the mapping may have changed; the jump cache, which
 * a TLB flush clears, knows.
 */
static void emit_exit(Gen *g, unsigned k, uint64_t target)
{
    BlockExit *x = &g->b->exit[k];
    Emit *e = g->e;

    x->target = target;
    g->b->n_exits = (uint8_t)MAX(g->b->n_exits, k + 1);
    mark_as(g, k, MARK_EXIT);
    if (same_page(g, target)) {
        emit_align(e, 4, 3);
        x->rel32 = emit_jmp(e, emit_here(e) + 5);
    } else {
        unsigned slot = (unsigned)(target >> 1) & (g->p->config->jump_cache - 1);
        unsigned t = g->scratch[0];
        uint16_t was = g->borrowed;
        /* rcx = ntag + target + key, 0 on a hit */
        emit_fs_store(e, saved_slot(g, GPR_RCX), GPR_RCX);
        emit_fs_store(e, saved_slot(g, t), t);
        g->borrowed |= (uint16_t)(1u << GPR_RCX | 1u << t);
        mark_as(g, k, MARK_EXIT);
        emit_fs_load(e, GPR_RCX, field(g, VCB_JC_NTAG + 8 * (int)slot));
        emit_fs_load(e, t, field(g, VCB_JC_KEY));
        emit_lea_sum(e, GPR_RCX, GPR_RCX, t);
        emit_mov_ri(e, t, target);
        emit_lea_sum(e, GPR_RCX, GPR_RCX, t);
        uint8_t *hit = emit_jrcxz(e);
        uint8_t *miss = emit_jmp(e, emit_here(e));
        emit_patch8(e, hit);
        emit_fs_load(e, GPR_RCX, saved_slot(g, GPR_RCX));
        emit_fs_load(e, t, saved_slot(g, t));
        emit_fs_jmp(e, field(g, VCB_JC_CODE + 8 * (int)slot));
        emit_patch32(e, miss);
        emit_fs_load(e, GPR_RCX, saved_slot(g, GPR_RCX));
        emit_fs_load(e, t, saved_slot(g, t));
        g->borrowed = was;
    }
    x->stub_off = emit_offset(e);
    mark_as(g, k, MARK_EXIT);
    emit_leave(g, k, SITE_EXIT);
}

/* Before an exit: flags home, registers home.  Afterwards nothing is borrowed. */
static void come_home(Gen *g)
{
    flags_to_host(g);
    give_back(g);
    g->borrowed = 0;
    g->flags = FLAGS_IN_HOST;
}

/*
 * Leave for the guest rip in register `target` (scratch 0), popping `pop` bytes off the stack.  A
 * miss in the jump cache takes the slow path before anything has changed.
 */
static void emit_exit_indirect(Gen *g, unsigned target, int32_t pop)
{
    Emit *e = g->e;
    unsigned t = scratch(g, 1), u = scratch(g, 2);

    borrow(g, GPR_RCX);
    emit_fs_pext(e, GPR_RCX, target, field(g, VCB_JC_MASK));
    emit_fs_load_indexed(e, t, field(g, VCB_JC_CODE), GPR_RCX);
    emit_fs_load_indexed(e, GPR_RCX, field(g, VCB_JC_NTAG), GPR_RCX);
    emit_fs_load(e, u, field(g, VCB_JC_KEY));
    emit_lea_sum(e, GPR_RCX, GPR_RCX, u);
    emit_lea_sum(e, GPR_RCX, GPR_RCX, target);
    uint8_t *hit = emit_jrcxz(e);
    slow_jmp(g);
    emit_patch8(e, hit);
    emit_fs_store(e, field(g, VCB_RESUME), t);
    emit_fs_store(e, field(g, VCB_RIP), target);
    if (pop != 0) {
        emit_lea(e, GPR_RSP, GPR_RSP, pop);
    }
    g->bits |= MARK_POST;
    mark(g);
    come_home(g);
    mark(g);
    emit_fs_jmp(e, field(g, VCB_RESUME));
    g->bits &= (uint8_t)~MARK_POST;
}

/* -- Instructions ----------------------------------------------------------------------------- */

static void gen_copy(Gen *g)
{
    flags_for_insn(g);
    emit_bytes(g->e, g->p->bytes + g->in->off, g->in->len);
    flags_after_insn(g);
}

static void gen_interp(Gen *g)
{
    slow_jmp(g);
    g->flags = FLAGS_IN_HOST; /* the border puts them there */
}

static void gen_mem(Gen *g)
{
    unsigned a;

    if (g->in->high_byte && g->scratch[0] >= 8) {
        gen_interp(g);
        return;
    }
    a = emit_operand_address(g);
    flags_for_insn(g);
    emit_rebased(g, a);
    flags_after_insn(g);
}

static void gen_push(Gen *g)
{
    const ZydisDecodedOperand *o = &g->in->op[0];
    unsigned a = emit_stack(g, GPR_RSP, -8, true);

    if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        emit_store(g->e, a, 0, reg_of(o->reg.value));
    } else {
        emit_store_imm32(g->e, a, (int32_t)o->imm.value.s);
    }
    emit_lea(g->e, GPR_RSP, GPR_RSP, -8);
}

static void gen_pop(Gen *g)
{
    unsigned dst = reg_of(g->in->op[0].reg.value), a = emit_stack(g, GPR_RSP, 0, false);

    emit_load(g->e, dst, a, 0);
    if (dst != GPR_RSP) {
        emit_lea(g->e, GPR_RSP, GPR_RSP, 8);
    }
}

static void gen_leave(Gen *g)
{
    unsigned a = emit_stack(g, GPR_RBP, 0, false);

    /* rsp first: rbp is the only register that says where the frame was. */
    emit_load(g->e, a, a, 0);
    emit_lea(g->e, GPR_RSP, GPR_RBP, 8);
    emit_mov_rr(g->e, GPR_RBP, a);
}

/* Store the return address below the stack pointer. */
static void emit_push_return(Gen *g)
{
    uint64_t ret = g->p->lin + g->in->off + g->in->len;
    unsigned a = emit_stack(g, GPR_RSP, -8, true);

    if ((int64_t)ret == (int32_t)ret) {
        emit_store_imm32(g->e, a, (int32_t)ret);
    } else {
        unsigned t = scratch(g, 1);
        emit_mov_ri(g->e, t, ret);
        emit_store(g->e, a, 0, t);
    }
}

static void gen_call(Gen *g)
{
    emit_push_return(g);
    flags_to_host(g);
    emit_lea(g->e, GPR_RSP, GPR_RSP, -8);
    mark_as(g, 0, MARK_EXIT);
    g->b->exit[0].target = g->in->target;
    give_back(g);
    g->borrowed = 0;
    g->flags = FLAGS_IN_HOST;
    emit_exit(g, 0, g->in->target);
}

static void gen_jcc(Gen *g)
{
    uint64_t next = g->p->lin + g->in->off + g->in->len;
    uint8_t *taken;

    come_home(g);
    mark(g);
    taken = emit_jcc(g->e, g->in->cc, emit_here(g->e));
    emit_exit(g, 0, next);
    emit_patch32(g->e, taken);
    emit_exit(g, 1, g->in->target);
}

/* Scratch 0 = where an indirect jump or call goes. */
static unsigned emit_indirect_target(Gen *g)
{
    unsigned a;

    if (g->in->mem == 0xff) {
        a = scratch(g, 0);
        emit_mov_rr(g->e, a, reg_of(g->in->op[0].reg.value));
    } else {
        a = emit_operand_address(g);
        emit_load(g->e, a, a, 0);
    }
    return a;
}

static void gen_call_ind(Gen *g)
{
    unsigned a;

    borrow(g, GPR_RCX); /* all slow jumps of an instruction leave in one state */
    a = emit_indirect_target(g);
    emit_fs_store(g->e, field(g, VCB_RIP), a);
    emit_push_return(g);
    emit_fs_load(g->e, a, field(g, VCB_RIP));
    emit_exit_indirect(g, a, -8);
}

static void gen_ret(Gen *g)
{
    unsigned a;
    int32_t pop = g->in->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE
                      ? (int32_t)(g->in->op[0].imm.value.u & 0xffff) : 0;

    borrow(g, GPR_RCX);
    a = emit_stack(g, GPR_RSP, 0, false);
    emit_load(g->e, a, a, 0);
    emit_exit_indirect(g, a, 8 + pop);
}

static void gen_insn(Gen *g)
{
    switch (g->in->plan) {
    case PLAN_COPY: gen_copy(g); break;
    case PLAN_NOTHING: break;
    case PLAN_MEM: gen_mem(g); break;
    case PLAN_LEA_RIP:
        emit_mov_ri(g->e, reg_of(g->in->op[0].reg.value), g->in->target);
        break;
    case PLAN_PUSH: gen_push(g); break;
    case PLAN_POP: gen_pop(g); break;
    case PLAN_LEAVE: gen_leave(g); break;
    case PLAN_INTERP:
    case PLAN_INTERP_END: gen_interp(g); break;
    case PLAN_JMP:
        come_home(g);
        emit_exit(g, 0, g->in->target);
        break;
    case PLAN_JCC: gen_jcc(g); break;
    case PLAN_CALL: gen_call(g); break;
    case PLAN_JMP_IND:
        borrow(g, GPR_RCX);
        emit_exit_indirect(g, emit_indirect_target(g), 0);
        break;
    case PLAN_CALL_IND: gen_call_ind(g); break;
    case PLAN_RET: gen_ret(g); break;
    }
}

/* -- The block -------------------------------------------------------------------------------- */

static void gen_body(Gen *g)
{
    static const uint8_t entry_nop[BLOCK_ENTRY_NOP] = {0x0f, 0x1f, 0x44, 0x00, 0x00};

    mark(g);
    emit_bytes(g->e, entry_nop, sizeof entry_nop);
    for (g->insn = 0; g->insn < g->p->n; g->insn++) {
        g->in = &g->p->insn[g->insn];
        mark(g);
        gen_insn(g);
        g->sites[g->insn].resume_off =
            g->in->plan >= PLAN_INTERP_END ? 0 : (uint16_t)emit_offset(g->e);
        g->sites[g->insn].guest_off = g->in->off;
        g->sites[g->insn].guest_len = g->in->len;
    }
    if (g->p->insn[g->p->n - 1].plan < PLAN_INTERP_END) {
        g->insn = g->p->n - 1;
        mark_as(g, 0, flag_bits(g) | MARK_EXIT);
        g->b->exit[0].target = g->p->lin + g->p->len;
        if (g->flags == FLAGS_IN_SLOT) {
            g->bits |= MARK_EXIT; /* marks made while the flags come home name the exit */
            g->insn = 0;
        }
        come_home(g);
        g->bits = 0;
        emit_exit(g, 0, g->p->lin + g->p->len);
    }
}

bool compile_block(Block *b, const Plan *p, Emit *e)
{
    Gen *g = g_new0(Gen, 1);

    *g = (Gen){.e = e, .b = b, .p = p, .fs = vcb_fs_offset()};
    b->writable = e->start;
    b->code = e->start + e->exec_delta;
    find_scratch(g);
    gen_body(g);
    emit_slow_stubs(g);
    g->borrowed = 0;
    mark_as(g, BLOCK_EXITS, MARK_EXIT);
    b->dead_off = emit_offset(e);
    emit_leave(g, BLOCK_EXITS, SITE_EXIT);
    if (!e->full) {
        b->host_len = (uint16_t)emit_offset(e);
        b->guest_len = (uint16_t)p->len;
        b->n_insns = (uint8_t)p->n;
        b->n_marks = (uint16_t)g->n_marks;
        b->marks = g_memdup2(g->marks, g->n_marks * sizeof *g->marks);
        b->sites = g_memdup2(g->sites, p->n * sizeof *g->sites);
    }
    g_free(g);
    return !e->full;
}
