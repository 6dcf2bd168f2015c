/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions with a memory operand, on a host address or in the window; push, pop and leave. */
#include "translator/compile-internal.h"

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

/* The opcode with ModRM for mov between eax and an address, a0 to a3. */
static void put_moffs_opcode(Gen *g)
{
    static const uint8_t opcodes[] = {0x8a, 0x8b, 0x88, 0x89};

    emit8(g->e, opcodes[g->in->zi.opcode & 3]);
}

/* That by [base]. */
static void put_moffs(Gen *g, unsigned base)
{
    if (base >= 8) {
        emit8(g->e, 0x41);
    }
    put_moffs_opcode(g);
    emit8(g->e, (uint8_t)((base & 7) == GPR_RBP ? 0x45 : base & 7));
    if ((base & 7) == GPR_RSP) {
        emit8(g->e, 0x24);
    } else if ((base & 7) == GPR_RBP) {
        emit8(g->e, 0);
    }
}

/* ... or by [base + disp]. */
static void gen_rebased_disp(Gen *g, unsigned base, int32_t disp)
{
    const ZydisDecodedInstruction *zi = &g->in->zi;
    const uint8_t *bytes = g->p->bytes + g->in->off;
    unsigned rex = 0, at = 0, imm_at, mod;
    bool short_disp;

    gen_window_prefix(g);
    for (unsigned i = 0; i < zi->raw.prefix_count; i++) {
        uint8_t p = zi->raw.prefixes[i].value;
        if (!is_dropped_prefix(p)) {
            emit8(g->e, p);
        }
    }
    at = zi->raw.prefix_count;
    if (zi->raw.modrm.offset == 0) {
        put_moffs(g, base);
        return;
    }
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
    } else if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX) {
        at = zi->raw.evex.offset;
        emit8(g->e, bytes[at]);
        emit8(g->e, (uint8_t)((bytes[at + 1] & 0x9f) | 0x40 | (base < 8 ? 0x20 : 0)));
        emit_bytes(g->e, bytes + at + 2, 2);
        at += 4;
    } else { /* VEX: three-byte form, X clear, B as needed (both inverted) */
        emit8(g->e, 0xc4);
        emit8(g->e, (uint8_t)((zi->raw.vex.R ? 0x80 : 0) | 0x40 | (base < 8 ? 0x20 : 0) |
                              zi->raw.vex.m_mmmm));
        emit8(g->e, (uint8_t)((zi->raw.vex.W ? 0x80 : 0) | (zi->raw.vex.vvvv & 15) << 3 |
                              (zi->raw.vex.L ? 4 : 0) | (zi->raw.vex.pp & 3)));
        at = zi->raw.vex.offset + zi->raw.vex.size;
    }
    emit_bytes(g->e, bytes + at, zi->raw.modrm.offset - at);
    short_disp = disp == (int8_t)disp && zi->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX; /* there it is multiplied */
    mod = disp == 0 && (base & 7) != GPR_RBP ? 0 : disp == 0 || short_disp ? 0x40 : 0x80;
    emit8(g->e, (uint8_t)(mod | zi->raw.modrm.reg << 3 | (base & 7)));
    if ((base & 7) == GPR_RSP) {
        emit8(g->e, 0x24);
    }
    if (mod == 0x80) {
        emit32(g->e, (uint32_t)disp);
    } else if (mod == 0x40) {
        emit8(g->e, (uint8_t)disp);
    }
    imm_at = zi->raw.imm[0].size != 0 ? zi->raw.imm[0].offset : zi->length;
    emit_bytes(g->e, bytes + imm_at, zi->length - imm_at);
}

/* -- The instruction in the window -------------------------------------------------------------- */

/* Its prefixes, GS for those of segments it may have, the last REX without the bits `clear`; addresses of 32-bit code
 * wrap at 4 GiB. */
static void put_prefixes_gs(Gen *g, unsigned clear)
{
    const ZydisDecodedInstruction *zi = &g->in->zi;
    unsigned n = zi->raw.prefix_count;

    emit8(g->e, 0x65);
    if (g->p->code32) {
        emit8(g->e, 0x67);
    }
    for (unsigned i = 0; i < n; i++) {
        uint8_t p = zi->raw.prefixes[i].value;
        bool rex_in_force = (p & 0xf0) == 0x40 && i + 1 == n;
        if (!is_dropped_prefix(p) || rex_in_force) {
            emit8(g->e, (uint8_t)(rex_in_force ? p & ~clear : p));
        }
    }
}

/* Its bytes behind that. */
static void gen_prefixed(Gen *g)
{
    unsigned at = g->in->zi.raw.prefix_count;

    put_prefixes_gs(g, 0);
    emit_bytes(g->e, g->p->bytes + g->in->off + at, g->in->len - at);
}

static void put_absolute(Gen *g, unsigned reg, uint32_t address)
{
    emit8(g->e, (uint8_t)(reg << 3 | 4)); /* SIB */
    emit8(g->e, 0x25);                     /* no base, no index */
    emit32(g->e, address);
}

/* The same with [rip + disp] replaced by its address, which sign extension reaches.  X, meaningless before, must
 * not make a register of "no index": clear in REX, set in VEX and EVEX (SDM vol. 2, 2.3.5.3, 2.7.1). */
static void gen_prefixed_absolute(Gen *g, uint64_t address)
{
    const ZydisDecodedInstruction *zi = &g->in->zi;
    unsigned modrm = zi->raw.modrm.offset, len = g->in->len, at = zi->raw.prefix_count;
    const uint8_t *bytes = g->p->bytes + g->in->off;
    uint8_t head[15];

    put_prefixes_gs(g, 2);
    memcpy(head, bytes, modrm);
    if (zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX || zi->raw.vex.size == 3) {
        head[at + 1] |= 0x40;
    }
    emit_bytes(g->e, head + at, modrm - at);
    put_absolute(g, zi->raw.modrm.reg, (uint32_t)address);
    emit_bytes(g->e, bytes + modrm + 5, len - (modrm + 5));
}

/* FS or GS of the guest: its base goes to a scratch register. */
static void gen_based(Gen *g, const ZydisDecodedOperand *m)
{
    unsigned a = gen_scratch(g, 0), base = gen_reg_of(m->mem.base), index = gen_reg_of(m->mem.index);
    int64_t disp = m->mem.disp.has_displacement ? m->mem.disp.value : 0;
    unsigned scale = m->mem.scale <= 1 ? 0 : (unsigned)__builtin_ctz(m->mem.scale);

    emit_fs_load(g->e, a, gen_field(g, m->mem.segment == ZYDIS_REGISTER_FS ? VCB_FS_BASE : VCB_GS_BASE));
    if (m->mem.base == ZYDIS_REGISTER_RIP) {
        unsigned t = gen_scratch(g, 1);
        emit_mov_ri(g->e, t, g->p->lin + g->in->off + g->in->len + (uint64_t)disp);
        emit_lea_sum(g->e, a, a, t);
        disp = 0;
    } else if (base != EMIT_NO_REG) {
        emit_lea_sum(g->e, a, base, a); /* rsp is no index */
    }
    if (index != EMIT_NO_REG) {
        emit_lea_full(g->e, a, a, index, scale, 0);
    }
    gen_flags_for_insn(g);
    gen_rebased_disp(g, a, (int32_t)disp);
}

/* mov between eax and an address, by the forms with ModRM. */
static void gen_moffs_absolute(Gen *g)
{
    put_prefixes_gs(g, 0);
    put_moffs_opcode(g);
    put_absolute(g, 0, (uint32_t)g->in->op[g->in->mem].mem.disp.value);
}

/* An operand that is in no segment with a base: see first that it is there. */
static void gen_touch(Gen *g, const ZydisDecodedOperand *m)
{
    unsigned a = gen_scratch(g, 0);
    Site *s;

    gen_linear(g, a, a, m);
    s = gen_slow_jmp(g, HELPER_TOUCH);
    s->reg = (uint8_t)a;
    s->write = g->in->mem_write;
    s->hit_off = (uint16_t)emit_offset(g->e);
}

/* 32-bit code: an operand that is not in FS or GS. */
static bool gen_mem_in_window32(Gen *g, const ZydisDecodedOperand *m)
{
    const ZydisDecodedInstruction *zi = &g->in->zi;

    if (zi->address_width != 32 || gen_is_based(m) || m->mem.segment == ZYDIS_REGISTER_CS) {
        return false; /* an address is made of FS and GS; stores by CS fault */
    }
    gen_flags_for_insn(g);
    if (zi->raw.modrm.offset == 0) {
        gen_moffs_absolute(g);
    } else if (zi->raw.modrm.mod == 0 && zi->raw.modrm.rm == 5) {
        gen_prefixed_absolute(g, (uint32_t)m->mem.disp.value); /* relative to RIP on the host */
    } else {
        if (g->in->touch) {
            gen_touch(g, m);
        }
        gen_prefixed(g);
    }
    gen_flags_after_insn(g);
    return true;
}

bool gen_mem_in_window(Gen *g)
{
    const ZydisDecodedOperand *m = g->in->mem != 0xff ? &g->in->op[g->in->mem] : NULL;
    uint64_t address;

    if (m == NULL || !gen_in_window(g) || m->mem.type != ZYDIS_MEMOP_TYPE_MEM) {
        return false;
    }
    if (g->p->code32) {
        return gen_mem_in_window32(g, m);
    }
    if (g->in->zi.address_width != 64 || g->in->zi.raw.modrm.offset == 0) {
        return false;
    }
    if (gen_is_based(m)) {
        if (g->in->high_byte) {
            return false; /* the scratch register might need a REX prefix */
        }
        gen_based(g, m);
    } else if (m->mem.base == ZYDIS_REGISTER_RIP) {
        address = g->p->lin + g->in->off + g->in->len + (uint64_t)m->mem.disp.value;
        if ((int64_t)address != (int32_t)address) {
            return false;
        }
        gen_flags_for_insn(g);
        gen_prefixed_absolute(g, address);
    } else {
        if (g->in->touch) {
            gen_touch(g, m);
        }
        gen_flags_for_insn(g);
        gen_prefixed(g);
    }
    gen_flags_after_insn(g);
    return true;
}

/* -- Instructions ----------------------------------------------------------------------------- */

/* A register that goes with AH, BH, CH, DH, that the instruction does not use and that is borrowed, or is not. */
static unsigned low_register(const Gen *g, bool borrowed)
{
    static const uint8_t low[] = {GPR_RDX, GPR_RSI, GPR_RDI, GPR_RBX, GPR_RBP, GPR_RCX};
    unsigned i = 0;

    while (i < ARRAY_LEN(low) && ((g->in->regs >> low[i] & 1) != 0 || (g->borrowed >> low[i] & 1) != borrowed)) {
        i++;
    }
    return i < ARRAY_LEN(low) ? low[i] : GPR_COUNT;
}

/*
 * The same, by such a register.  One that is borrowed may hold what is needed behind the instruction (the address of a group, the addend of a
 * run) and changes places with the address meanwhile.
 */
static void gen_rebased_low(Gen *g, unsigned a, int32_t disp)
{
    unsigned r = low_register(g, false);

    if (r == GPR_COUNT) {
        r = low_register(g, true);
        g_assert(r != GPR_COUNT);
        emit_xchg_rr(g->e, r, a);
        gen_rebased_disp(g, r, disp);
        gen_flags_after_insn(g);
        gen_mark_done(g);
        emit_xchg_rr(g->e, r, a);
        return;
    }
    gen_borrow(g, r);
    emit_lea(g->e, r, a, disp);
    gen_rebased_disp(g, r, 0);
    gen_flags_after_insn(g);
    gen_mark_done(g);
    emit_fs_load(g->e, r, gen_saved_slot(g, r));
    g->borrowed &= (uint16_t)~(1u << r);
}

void gen_mem(Gen *g)
{
    int32_t disp = 0;
    unsigned a;

    if (gen_mem_in_window(g)) {
        return;
    }
    if (!gen_group_place(g, &a, &disp)) {
        a = gen_operand_address(g);
    }
    gen_flags_for_insn(g);
    if (g->in->high_byte && a >= 8) {
        gen_rebased_low(g, a, disp);
    } else {
        gen_rebased_disp(g, a, disp);
    }
    gen_flags_after_insn(g);
}

/* Window: no address needs to be made, and no scratch register. */
static void gen_push_in_window(Gen *g, const ZydisDecodedOperand *o)
{
    int32_t word = (int32_t)gen_word(g);

    if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        gen_stack_prefix(g, GPR_RSP);
        (g->p->code32 ? emit_store32 : emit_store)(g->e, GPR_RSP, -word, gen_reg_of(o->reg.value));
    } else {
        gen_word_store_imm(g, GPR_RSP, -word, (int32_t)o->imm.value.s);
    }
    gen_word_lea(g, GPR_RSP, GPR_RSP, -word);
}

void gen_push(Gen *g)
{
    const ZydisDecodedOperand *o = &g->in->op[0];
    int32_t word = (int32_t)gen_word(g);
    Place at;

    if (gen_in_window(g)) {
        gen_push_in_window(g, o);
        return;
    }
    at = gen_stack_place(g, GPR_RSP, -word, true);
    if (o->type == ZYDIS_OPERAND_TYPE_REGISTER) {
        gen_place_store(g, at, gen_reg_of(o->reg.value));
    } else {
        gen_place_store_imm(g, at, (int32_t)o->imm.value.s);
    }
    gen_word_lea(g, GPR_RSP, GPR_RSP, -word);
}

/* The value waits in vcb.rip, which matters only behind an indirect branch. */
void gen_push_mem(Gen *g)
{
    int32_t word = (int32_t)gen_word(g);
    unsigned a = gen_operand_address(g), t = gen_scratch(g, 1);

    gen_word_load(g, a, a);
    emit_fs_store(g->e, gen_field(g, VCB_RIP), a);
    gen_stack(g, GPR_RSP, -word, true);
    emit_fs_load(g->e, t, gen_field(g, VCB_RIP));
    gen_word_store(g, a, t);
    gen_word_lea(g, GPR_RSP, GPR_RSP, -word);
}

void gen_pop(Gen *g)
{
    unsigned dst = gen_reg_of(g->in->op[0].reg.value);

    if (gen_in_window(g)) {
        gen_word_load(g, dst, GPR_RSP);
    } else {
        gen_place_load(g, dst, gen_stack_place(g, GPR_RSP, 0, false));
    }
    if (dst != GPR_RSP) {
        gen_word_lea(g, GPR_RSP, GPR_RSP, (int32_t)gen_word(g));
    }
}

/*
 * What was popped must stay below the stack pointer until rbp has it: an interrupt between the two would push over it.  So
 * with rsp the instruction is complete, rbp's value being where borrowed registers have theirs.
 */
void gen_leave_insn(Gen *g)
{
    unsigned a = gen_stack(g, GPR_RBP, 0, false);

    gen_word_load(g, a, a);
    emit_fs_store(g->e, gen_saved_slot(g, GPR_RBP), a);
    gen_word_lea(g, GPR_RSP, GPR_RBP, (int32_t)gen_word(g));
    g->borrowed |= 1u << GPR_RBP;
    gen_mark_done(g);
    emit_mov_rr(g->e, GPR_RBP, a);
    g->borrowed &= (uint16_t)~(1u << GPR_RBP);
    gen_mark_done(g);
}

