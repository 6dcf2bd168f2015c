/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sequences for what a kernel does all the time.  They work on the vCPU block alone, whose system
 * state the border takes home; privilege and the rest of what they depend on is in the block's
 * environment.
 */
#include "translator/compile-internal.h"

/* RFLAGS bits that popf must find clear to be a sequence (all are, in an environment that is not odd). */
enum { POPF_ODD = FLAG_TF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_ID };

/* Is something pending that setting IF would let in?  Then out, before anything has changed. */
static void out_if_pending(Gen *g, unsigned t)
{
    emit_fs_load(g->e, t, gen_field(g, VCB_REQUESTS));
    emit_cmp32_mem_0(g->e, t);
    gen_slow_jcc(g, CC_NE, HELPER_INTERP);
}

static void gen_sti(Gen *g)
{
    unsigned t = gen_scratch(g, 0);

    gen_free_flags(g);
    out_if_pending(g, t);
    emit_fs_store_imm8(g->e, gen_field(g, VCB_VIF), FLAG_IF >> 8);
}

/* AC, and with SMAP the software TLB's class. */
static void gen_ac(Gen *g, bool on)
{
    static const int to[3] = {VCB_TLB_MASK, VCB_TLB_ENTRY, VCB_TLB_SPACE};

    if (g->p->env & ENV_SMAP) {
        unsigned t = gen_scratch(g, 0);
        for (unsigned i = 0; i < 3; i++) {
            emit_fs_load(g->e, t, gen_field(g, VCB_KERNEL_TLB + 24 * on + 8 * (int)i));
            emit_fs_store(g->e, gen_field(g, to[i]), t);
        }
    }
    emit_fs_store_imm8(g->e, gen_field(g, VCB_VAC), on ? FLAG_AC >> 16 : 0);
}

static void gen_swapgs(Gen *g)
{
    unsigned t = gen_scratch(g, 0), u = gen_scratch(g, 1);

    emit_fs_load(g->e, t, gen_field(g, VCB_GS_BASE));
    emit_fs_load(g->e, u, gen_field(g, VCB_KERNEL_GS_BASE));
    emit_fs_store(g->e, gen_field(g, VCB_SWAP_TMP), u);
    emit_fs_store(g->e, gen_field(g, VCB_KERNEL_GS_BASE), t);
    g->bits |= MARK_SWAPGS;
    gen_mark(g);
    emit_fs_store(g->e, gen_field(g, VCB_GS_BASE), u);
    g->bits &= (uint8_t)~MARK_SWAPGS;
}

/*
 * a = host address of the slot
 * t = byte [flags_slot + 1] (SF ZF AF PF 1 CF as lahf has them) | OF << 11 | IF | AC | the others
 */
static void gen_pushf(Gen *g)
{
    int32_t word = (int32_t)gen_word(g);
    unsigned a, t, u;

    gen_free_flags(g);
    a = gen_stack(g, GPR_RSP, -word, true);
    t = gen_scratch(g, 1);
    u = gen_scratch(g, 2);
    emit_fs_load8(g->e, t, gen_field(g, VCB_FLAGS_SLOT + 1));
    emit_and32_ri(g->e, t, FLAGS_ARITH & 0xff);
    emit_fs_load8(g->e, u, gen_field(g, VCB_FLAGS_SLOT));
    emit_shift_ri(g->e, SHIFT_SHL, u, 11);
    emit_or_rr(g->e, t, u);
    emit_fs_load8(g->e, u, gen_field(g, VCB_VIF));
    emit_shift_ri(g->e, SHIFT_SHL, u, 8);
    emit_or_rr(g->e, t, u);
    emit_fs_load8(g->e, u, gen_field(g, VCB_VAC));
    emit_shift_ri(g->e, SHIFT_SHL, u, 16);
    emit_or_rr(g->e, t, u);
    emit_fs_op(g->e, 0x0b, t, gen_field(g, VCB_SYS_FLAGS));
    gen_word_store(g, a, t);
    gen_word_lea(g, GPR_RSP, GPR_RSP, -word);
}

/*
 * Leaves for the interpreter when the popped value sets something unusual, AC is set, or IF becomes set
 * with something pending.  May be done twice up to its last instruction, which moves rsp.
 */
static void gen_popf(Gen *g)
{
    unsigned a, t, u;
    uint8_t *no_if;

    gen_free_flags(g);
    a = gen_stack(g, GPR_RSP, 0, false);
    t = gen_scratch(g, 1);
    u = gen_scratch(g, 2);

    gen_word_load(g, t, a);
    emit_test_ri(g->e, t, POPF_ODD);
    gen_slow_jcc(g, CC_NE, HELPER_INTERP);
    emit_fs_cmp8_0(g->e, gen_field(g, VCB_VAC));
    gen_slow_jcc(g, CC_NE, HELPER_INTERP);
    emit_test_ri(g->e, t, FLAG_IF);
    no_if = emit_jcc(g->e, CC_E, emit_here(g->e));
    out_if_pending(g, u);
    emit_patch32(g->e, no_if);
    emit_mov_rr(g->e, u, t);
    emit_shr_ri(g->e, u, 11);
    emit_and32_ri(g->e, u, 1);
    emit_mov_rr(g->e, a, t);
    emit_shift_ri(g->e, SHIFT_SHL, a, 8);
    emit_and32_ri(g->e, a, (FLAGS_ARITH & 0xff) << 8);
    emit_or_rr(g->e, u, a);
    emit_fs_store32(g->e, gen_field(g, VCB_FLAGS_SLOT), u);
    emit_shr_ri(g->e, t, 8);
    emit_and32_ri(g->e, t, FLAG_IF >> 8);
    emit_fs_store8(g->e, gen_field(g, VCB_VIF), t);
    gen_word_lea(g, GPR_RSP, GPR_RSP, (int32_t)gen_word(g));
    g->flags = FLAGS_IN_SLOT;
}

/* rdtsc; rax = rdx:rax + offset; rdx = rax >> 32; eax */
static void gen_rdtsc(Gen *g)
{
    gen_free_flags(g);
    emit_bytes(g->e, "\x0f\x31", 2);
    emit_shift_ri(g->e, SHIFT_SHL, GPR_RDX, 32);
    emit_or_rr(g->e, GPR_RAX, GPR_RDX);
    emit_fs_op(g->e, 0x03, GPR_RAX, gen_field(g, VCB_TSC_OFFSET));
    emit_mov_rr(g->e, GPR_RDX, GPR_RAX);
    emit_shr_ri(g->e, GPR_RDX, 32);
    emit_bytes(g->e, "\x89\xc0", 2); /* mov eax, eax */
}

/*
 * announced[n & 63] = address; n++.  Flags stay.
 *
 *   movzx t, byte [n]; mov [announced + t], a; mov t, [n]; lea t, [t + 4]; mov [n], t
 */
static void gen_announce(Gen *g)
{
    unsigned a = gen_operand_linear(g), t = gen_scratch(g, 1);

    emit_fs_load8(g->e, t, gen_field(g, VCB_N_ANNOUNCED));
    emit_fs_store32_at(g->e, gen_field(g, VCB_ANNOUNCED), t, a);
    emit_fs_load32(g->e, t, gen_field(g, VCB_N_ANNOUNCED));
    emit_lea32(g->e, t, t, 4);
    emit_fs_store32(g->e, gen_field(g, VCB_N_ANNOUNCED), t);
}

static void gen_write_base(Gen *g, int field)
{
    unsigned r = gen_reg_of(g->in->op[0].reg.value), t = gen_scratch(g, 0);

    gen_free_flags(g);
    emit_mov_rr(g->e, t, r);
    emit_shift_ri(g->e, SHIFT_SHL, t, 16);
    emit_shift_ri(g->e, SHIFT_SAR, t, 16);
    emit_cmp_rr(g->e, t, r);
    gen_slow_jcc(g, CC_NE, HELPER_INTERP); /* not canonical */
    emit_fs_store(g->e, gen_field(g, field), r);
}

/* Atomic, or a bit in memory by a number in a register: the window serves them as they are. */
static bool is_for_window(const PlanInsn *in)
{
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BTC: case ZYDIS_MNEMONIC_BTR: case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_CMPXCHG8B: case ZYDIS_MNEMONIC_CMPXCHG16B:
        return in->helper == HELPER_EXEC;
    default:
        return false;
    }
}

void gen_helper(Gen *g)
{
    Site *s;

    if (is_for_window(g->in) && gen_mem_in_window(g)) {
        g->b->n_exec++; /* decoded all the same */
        return;
    }
    s = gen_slow_jmp(g, (TransHelper)g->in->helper);
    if (g->in->helper == HELPER_EXEC) {
        s->exec = g->b->n_exec++;
        g->flags = FLAGS_IN_HOST; /* the border puts them there */
    } else if (g->in->helper == HELPER_STRING) {
        s->size = (uint8_t)(g->in->zi.operand_width / 8);
        s->reg = (g->in->zi.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE |
                                          ZYDIS_ATTRIB_HAS_REPNE)) != 0;
        s->write = g->in->zi.mnemonic == ZYDIS_MNEMONIC_STOSB ||
                   g->in->zi.mnemonic == ZYDIS_MNEMONIC_STOSW ||
                   g->in->zi.mnemonic == ZYDIS_MNEMONIC_STOSD ||
                   g->in->zi.mnemonic == ZYDIS_MNEMONIC_STOSQ;
    }
}

void gen_system(Gen *g)
{
    unsigned reg = g->in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER
                       ? gen_reg_of(g->in->op[0].reg.value) : 0;

    switch (g->in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_CLI:
        emit_fs_store_imm8(g->e, gen_field(g, VCB_VIF), 0);
        break;
    case ZYDIS_MNEMONIC_STI: gen_sti(g); break;
    case ZYDIS_MNEMONIC_STAC: gen_ac(g, true); break;
    case ZYDIS_MNEMONIC_CLAC: gen_ac(g, false); break;
    case ZYDIS_MNEMONIC_PUSHFQ: case ZYDIS_MNEMONIC_PUSHFD: gen_pushf(g); break;
    case ZYDIS_MNEMONIC_POPFQ: case ZYDIS_MNEMONIC_POPFD: gen_popf(g); break;
    case ZYDIS_MNEMONIC_CLD: break;
    case ZYDIS_MNEMONIC_PREFETCHWT1: gen_announce(g); break;
    case ZYDIS_MNEMONIC_SWAPGS: gen_swapgs(g); break;
    case ZYDIS_MNEMONIC_RDTSC: gen_rdtsc(g); break;
    case ZYDIS_MNEMONIC_RDFSBASE: emit_fs_load(g->e, reg, gen_field(g, VCB_FS_BASE)); break;
    case ZYDIS_MNEMONIC_RDGSBASE: emit_fs_load(g->e, reg, gen_field(g, VCB_GS_BASE)); break;
    case ZYDIS_MNEMONIC_WRFSBASE: gen_write_base(g, VCB_FS_BASE); break;
    case ZYDIS_MNEMONIC_WRGSBASE: gen_write_base(g, VCB_GS_BASE); break;
    default: g_assert_not_reached();
    }
}
