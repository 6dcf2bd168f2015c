/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/emit.h"

#include <glib.h>
#include <string.h>

/* -- Bytes ------------------------------------------------------------------------------------ */

void emit_init(Emit *e, void *window, void *cold, size_t len, intptr_t exec_delta)
{
    g_assert(len <= EMIT_COLD);
    *e = (Emit){.start = window, .cur = window, .end = (uint8_t *)window + len,
                .exec_delta = exec_delta, .other = cold, .other_end = cold != NULL ? (uint8_t *)cold + len : NULL};
}

void emit_begin_cold(Emit *e)
{
    uint8_t *hot = e->cur;

    g_assert(!e->in_cold);
    e->start = e->cur = e->other != NULL ? e->other : hot;
    e->end = e->other_end != NULL ? e->other_end : e->end;
    e->in_cold = true;
    e->other = hot;
}

void emit_align(Emit *e, unsigned align, unsigned residue)
{
    static const uint8_t nops[8][8] = {
        {0}, {0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}, {0x0f, 0x1f, 0x40, 0x00},
        {0x0f, 0x1f, 0x44, 0x00, 0x00}, {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
        {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
    };
    unsigned n = (unsigned)(residue - (uintptr_t)e->cur) & (align - 1);

    while (n > 0) {
        unsigned step = MIN(n, 7);
        emit_bytes(e, nops[step], step);
        n -= step;
    }
}

/* -- Encoding pieces -------------------------------------------------------------------------- */

enum { REX = 0x40, REX_W = 8, REX_R = 4, REX_X = 2, REX_B = 1 };

static void put_rex(Emit *e, unsigned w, unsigned reg, unsigned index, unsigned base)
{
    unsigned rex = REX | w | (reg & 8 ? REX_R : 0) | (index & 8 ? REX_X : 0) |
                   (base & 8 ? REX_B : 0);

    if (rex != REX) {
        emit8(e, (uint8_t)rex);
    }
}

/* ModRM [+ SIB] [+ disp] for [base + disp]. */
static void put_mem(Emit *e, unsigned reg, unsigned base, int32_t disp)
{
    bool need_disp = disp != 0 || (base & 7) == HR_RBP; /* mod 0 would be RIP */
    bool short_disp = disp == (int8_t)disp;
    unsigned mod = !need_disp ? 0 : short_disp ? 0x40 : 0x80;

    emit8(e, (uint8_t)(mod | (reg & 7) << 3 | (base & 7)));
    if ((base & 7) == HR_RSP) {
        emit8(e, 0x24); /* SIB without index */
    }
    if (mod == 0x40) {
        emit8(e, (uint8_t)disp);
    } else if (mod == 0x80) {
        emit32(e, (uint32_t)disp);
    }
}

/* w: REX_W, or 0 for 32-bit operands */
static void put_op_mem(Emit *e, unsigned w, uint8_t opcode, unsigned reg, unsigned base, int32_t disp)
{
    put_rex(e, w, reg, 0, base);
    emit8(e, opcode);
    put_mem(e, reg, base, disp);
}

/* ModRM and SIB of fs:[disp32]: no base, no index. */
static void put_fs_abs(Emit *e, unsigned reg, int32_t off)
{
    emit8(e, (uint8_t)((reg & 7) << 3 | 4));
    emit8(e, 0x25);
    emit32(e, (uint32_t)off);
}

/* -- Moves ------------------------------------------------------------------------------------ */

void emit_mov_rr(Emit *e, unsigned dst, unsigned src)
{
    put_rex(e, REX_W, src, 0, dst);
    emit8(e, 0x89);
    emit8(e, (uint8_t)(0xc0 | (src & 7) << 3 | (dst & 7)));
}

void emit_xchg_rr(Emit *e, unsigned a, unsigned b)
{
    put_rex(e, REX_W, a, 0, b);
    emit8(e, 0x87);
    emit8(e, (uint8_t)(0xc0 | (a & 7) << 3 | (b & 7)));
}

void emit_mov_ri(Emit *e, unsigned dst, uint64_t val)
{
    if (val <= UINT32_MAX) { /* never xor: it would write flags */
        put_rex(e, 0, 0, 0, dst);
        emit8(e, (uint8_t)(0xb8 | (dst & 7)));
        emit32(e, (uint32_t)val);
    } else if ((int64_t)val == (int32_t)val) {
        put_rex(e, REX_W, 0, 0, dst);
        emit8(e, 0xc7);
        emit8(e, (uint8_t)(0xc0 | (dst & 7)));
        emit32(e, (uint32_t)val);
    } else {
        put_rex(e, REX_W, 0, 0, dst);
        emit8(e, (uint8_t)(0xb8 | (dst & 7)));
        emit64(e, val);
    }
}

void emit_load(Emit *e, unsigned dst, unsigned base, int32_t disp)
{
    put_op_mem(e, REX_W, 0x8b, dst, base, disp);
}

void emit_store(Emit *e, unsigned base, int32_t disp, unsigned src)
{
    put_op_mem(e, REX_W, 0x89, src, base, disp);
}

void emit_store_imm32_at(Emit *e, unsigned base, int32_t disp, int32_t imm)
{
    put_op_mem(e, REX_W, 0xc7, 0, base, disp);
    emit32(e, (uint32_t)imm);
}

void emit_lea(Emit *e, unsigned dst, unsigned base, int32_t disp)
{
    put_op_mem(e, REX_W, 0x8d, dst, base, disp);
}

void emit_lea_sum(Emit *e, unsigned dst, unsigned base, unsigned index)
{
    emit_lea_full(e, dst, base, index, 0, 0);
}

/* opcode reg, [base + index + disp]; index is not rsp */
static void put_op_sum(Emit *e, uint8_t opcode, unsigned reg, unsigned base, unsigned index, int32_t disp)
{
    bool short_disp = disp == (int8_t)disp;

    put_rex(e, REX_W, reg, index, base);
    emit8(e, opcode);
    emit8(e, (uint8_t)((short_disp ? 0x40 : 0x80) | (reg & 7) << 3 | 4));
    emit8(e, (uint8_t)((index & 7) << 3 | (base & 7)));
    if (short_disp) {
        emit8(e, (uint8_t)disp);
    } else {
        emit32(e, (uint32_t)disp);
    }
}

void emit_load_sum(Emit *e, unsigned dst, unsigned base, unsigned index, int32_t disp)
{
    put_op_sum(e, 0x8b, dst, base, index, disp);
}

void emit_store_sum(Emit *e, unsigned base, unsigned index, int32_t disp, unsigned src)
{
    put_op_sum(e, 0x89, src, base, index, disp);
}

void emit_store_imm32_sum(Emit *e, unsigned base, unsigned index, int32_t disp, int32_t imm)
{
    put_op_sum(e, 0xc7, 0, base, index, disp);
    emit32(e, (uint32_t)imm);
}

static void put_lea(Emit *e, unsigned w, unsigned dst, unsigned base, unsigned index, unsigned scale,
                    int32_t disp)
{
    unsigned b = base == EMIT_NO_REG ? 0 : base, i = index == EMIT_NO_REG ? 0 : index;
    unsigned mod = base == EMIT_NO_REG ? 0 : disp == (int8_t)disp ? 0x40 : 0x80;

    if (index == EMIT_NO_REG && base != EMIT_NO_REG) {
        put_op_mem(e, w, 0x8d, dst, base, disp);
        return;
    }
    put_rex(e, w, dst, i, b);
    emit8(e, 0x8d);
    emit8(e, (uint8_t)(mod | (dst & 7) << 3 | 4));
    emit8(e, (uint8_t)(scale << 6 | (index == EMIT_NO_REG ? 4 : (i & 7)) << 3 |
                       (base == EMIT_NO_REG ? 5 : (b & 7))));
    if (mod == 0x40) {
        emit8(e, (uint8_t)disp);
    } else {
        emit32(e, (uint32_t)disp);
    }
}

void emit_lea_full(Emit *e, unsigned dst, unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    put_lea(e, REX_W, dst, base, index, scale, disp);
}

/* -- 32-bit moves ----------------------------------------------------------------------------- */

void emit_mov32_rr(Emit *e, unsigned dst, unsigned src)
{
    put_rex(e, 0, src, 0, dst);
    emit8(e, 0x89);
    emit8(e, (uint8_t)(0xc0 | (src & 7) << 3 | (dst & 7)));
}

void emit_load32(Emit *e, unsigned dst, unsigned base, int32_t disp)
{
    put_op_mem(e, 0, 0x8b, dst, base, disp);
}

void emit_store32(Emit *e, unsigned base, int32_t disp, unsigned src)
{
    put_op_mem(e, 0, 0x89, src, base, disp);
}

void emit_store32_imm_at(Emit *e, unsigned base, int32_t disp, int32_t imm)
{
    put_op_mem(e, 0, 0xc7, 0, base, disp);
    emit32(e, (uint32_t)imm);
}

void emit_lea32(Emit *e, unsigned dst, unsigned base, int32_t disp)
{
    put_op_mem(e, 0, 0x8d, dst, base, disp);
}

void emit_lea32_full(Emit *e, unsigned dst, unsigned base, unsigned index, unsigned scale, int32_t disp)
{
    put_lea(e, 0, dst, base, index, scale, disp);
}

/* -- The vCPU block --------------------------------------------------------------------------- */

void emit_fs_op(Emit *e, uint8_t opcode, unsigned reg, int32_t off)
{
    emit8(e, 0x64);
    put_rex(e, REX_W, reg, 0, 0);
    emit8(e, opcode);
    put_fs_abs(e, reg, off);
}

void emit_fs_load(Emit *e, unsigned dst, int32_t off)
{
    emit_fs_op(e, 0x8b, dst, off);
}

void emit_fs_store(Emit *e, int32_t off, unsigned src)
{
    emit_fs_op(e, 0x89, src, off);
}

static void fs_op32(Emit *e, uint8_t opcode, unsigned reg, int32_t off)
{
    emit8(e, 0x64);
    put_rex(e, 0, reg, 0, 0);
    emit8(e, opcode);
    put_fs_abs(e, reg, off);
}

void emit_fs_load32(Emit *e, unsigned dst, int32_t off)
{
    fs_op32(e, 0x8b, dst, off);
}

void emit_fs_store32(Emit *e, int32_t off, unsigned src)
{
    fs_op32(e, 0x89, src, off);
}

/* w: REX_W, or 0 for 32-bit operands */
static void put_fs_at(Emit *e, unsigned w, uint8_t opcode, unsigned reg, int32_t off, unsigned at)
{
    emit8(e, 0x64);
    put_rex(e, w, reg, 0, at);
    emit8(e, opcode);
    emit8(e, (uint8_t)(0x80 | (reg & 7) << 3 | (at & 7)));
    if ((at & 7) == HR_RSP) {
        emit8(e, 0x24);
    }
    emit32(e, (uint32_t)off);
}

void emit_fs_store32_at(Emit *e, int32_t off, unsigned at, unsigned src)
{
    put_fs_at(e, 0, 0x89, src, off, at);
}

void emit_fs_load32_at(Emit *e, unsigned dst, int32_t off, unsigned at)
{
    put_fs_at(e, 0, 0x8b, dst, off, at);
}

void emit_fs_op_at(Emit *e, uint8_t opcode, unsigned reg, int32_t off, unsigned at)
{
    put_fs_at(e, REX_W, opcode, reg, off, at);
}

void emit_fs_store_imm32(Emit *e, int32_t off, uint32_t imm)
{
    fs_op32(e, 0xc7, 0, off);
    emit32(e, imm);
}

void emit_fs_load8(Emit *e, unsigned dst, int32_t off)
{
    emit8(e, 0x64);
    put_rex(e, 0, dst, 0, 0);
    emit8(e, 0x0f);
    emit8(e, 0xb6);
    put_fs_abs(e, dst, off);
}

void emit_fs_store8(Emit *e, int32_t off, unsigned src)
{
    emit8(e, 0x64);
    emit8(e, (uint8_t)(REX | (src & 8 ? REX_R : 0))); /* always: sil, not dh */
    emit8(e, 0x88);
    put_fs_abs(e, src, off);
}

void emit_fs_store_imm8(Emit *e, int32_t off, uint8_t imm)
{
    emit8(e, 0x64);
    emit8(e, 0xc6);
    put_fs_abs(e, 0, off);
    emit8(e, imm);
}

static void fs_indexed(Emit *e, uint8_t opcode, unsigned reg, int32_t off, unsigned index)
{
    emit8(e, 0x64);
    put_rex(e, REX_W, reg, index, 0);
    emit8(e, opcode);
    emit8(e, (uint8_t)((reg & 7) << 3 | 4));
    emit8(e, (uint8_t)(0xc0 | (index & 7) << 3 | 5)); /* [index*8 + disp32] */
    emit32(e, (uint32_t)off);
}

void emit_fs_load_indexed(Emit *e, unsigned dst, int32_t off, unsigned index)
{
    fs_indexed(e, 0x8b, dst, off, index);
}

void emit_fs_store_indexed(Emit *e, int32_t off, unsigned index, unsigned src)
{
    fs_indexed(e, 0x89, src, off, index);
}

void emit_fs_jmp(Emit *e, int32_t off)
{
    emit8(e, 0x64);
    emit8(e, 0xff);
    put_fs_abs(e, 4, off);
}

/* VEX.LZ.pp.0F38.W1 F5 /r: dst, vvvv = src, r/m = mask */
static void put_fs_bits(Emit *e, unsigned pp, unsigned dst, unsigned src, int32_t off)
{
    emit8(e, 0x64);
    emit8(e, 0xc4);
    emit8(e, (uint8_t)((dst & 8 ? 0 : 0x80) | 0x60 | 2));
    emit8(e, (uint8_t)(0x80 | (~src & 15) << 3 | pp));
    emit8(e, 0xf5);
    put_fs_abs(e, dst, off);
}

void emit_fs_pext(Emit *e, unsigned dst, unsigned src, int32_t off)
{
    put_fs_bits(e, 2, dst, src, off);
}

void emit_fs_pdep(Emit *e, unsigned dst, unsigned src, int32_t off)
{
    put_fs_bits(e, 3, dst, src, off);
}

void emit_rorx(Emit *e, unsigned dst, unsigned src, unsigned count)
{
    /* VEX.LZ.F2.0F3A.W1 F0 /r ib */
    emit8(e, 0xc4);
    emit8(e, (uint8_t)((dst & 8 ? 0 : 0x80) | 0x40 | (src & 8 ? 0 : 0x20) | 3));
    emit8(e, 0xfb);
    emit8(e, 0xf0);
    emit8(e, (uint8_t)(0xc0 | (dst & 7) << 3 | (src & 7)));
    emit8(e, (uint8_t)count);
}

void emit_movzx8(Emit *e, unsigned dst, unsigned src)
{
    emit8(e, (uint8_t)(0x40 | (dst & 8) >> 1 | (src & 8) >> 3)); /* else 4 to 7 are ah to bh */
    emit8(e, 0x0f);
    emit8(e, 0xb6);
    emit8(e, (uint8_t)(0xc0 | (dst & 7) << 3 | (src & 7)));
}

void emit_not(Emit *e, unsigned reg)
{
    put_rex(e, REX_W, 0, 0, reg);
    emit8(e, 0xf7);
    emit8(e, (uint8_t)(0xd0 | (reg & 7)));
}

void emit_jmp_reg(Emit *e, unsigned reg)
{
    put_rex(e, 0, 0, 0, reg);
    emit8(e, 0xff);
    emit8(e, (uint8_t)(0xe0 | (reg & 7)));
}

/* -- Arithmetic ------------------------------------------------------------------------------- */

void emit_shr_ri(Emit *e, unsigned reg, unsigned count)
{
    emit_shift_ri(e, SHIFT_SHR, reg, count);
}

void emit_and_ri(Emit *e, unsigned reg, int32_t imm)
{
    put_rex(e, REX_W, 0, 0, reg);
    emit8(e, 0x81);
    emit8(e, (uint8_t)(0xe0 | (reg & 7)));
    emit32(e, (uint32_t)imm);
}

void emit_btr_ri(Emit *e, unsigned reg, unsigned bit)
{
    put_rex(e, REX_W, 0, 0, reg);
    emit8(e, 0x0f);
    emit8(e, 0xba);
    emit8(e, (uint8_t)(0xf0 | (reg & 7)));
    emit8(e, (uint8_t)bit);
}

void emit_op_load(Emit *e, uint8_t opcode, unsigned reg, unsigned base, int32_t disp)
{
    put_op_mem(e, REX_W, opcode, reg, base, disp);
}

void emit_shift_ri(Emit *e, unsigned op, unsigned reg, unsigned count)
{
    put_rex(e, REX_W, 0, 0, reg);
    emit8(e, 0xc1);
    emit8(e, (uint8_t)(0xc0 | op << 3 | (reg & 7)));
    emit8(e, (uint8_t)count);
}

static void op_rr(Emit *e, uint8_t opcode, unsigned dst, unsigned src)
{
    put_rex(e, REX_W, src, 0, dst);
    emit8(e, opcode);
    emit8(e, (uint8_t)(0xc0 | (src & 7) << 3 | (dst & 7)));
}

void emit_alu_rr(Emit *e, unsigned op, unsigned dst, unsigned src, bool wide)
{
    put_rex(e, wide ? REX_W : 0, src, 0, dst);
    emit8(e, (uint8_t)(op << 3 | 1));
    emit8(e, (uint8_t)(0xc0 | (src & 7) << 3 | (dst & 7)));
}

void emit_load8s(Emit *e, unsigned dst, unsigned base)
{
    put_rex(e, REX_W, dst, 0, base);
    emit8(e, 0x0f);
    emit8(e, 0xbe);
    put_mem(e, dst, base, 0);
}

void emit_load32s(Emit *e, unsigned dst, unsigned base)
{
    put_op_mem(e, REX_W, 0x63, dst, base, 0);
}

void emit_or_rr(Emit *e, unsigned dst, unsigned src)
{
    op_rr(e, 0x09, dst, src);
}

void emit_cmp_rr(Emit *e, unsigned a, unsigned b)
{
    op_rr(e, 0x39, a, b);
}

void emit_test_ri(Emit *e, unsigned reg, uint32_t imm)
{
    put_rex(e, 0, 0, 0, reg);
    emit8(e, 0xf7);
    emit8(e, (uint8_t)(0xc0 | (reg & 7)));
    emit32(e, imm);
}

void emit_test64_ri(Emit *e, unsigned reg, int32_t imm)
{
    put_rex(e, REX_W, 0, 0, reg);
    emit8(e, 0xf7);
    emit8(e, (uint8_t)(0xc0 | (reg & 7)));
    emit32(e, (uint32_t)imm);
}

void emit_and32_ri(Emit *e, unsigned reg, uint32_t imm)
{
    put_rex(e, 0, 0, 0, reg);
    emit8(e, 0x81);
    emit8(e, (uint8_t)(0xe0 | (reg & 7)));
    emit32(e, imm);
}

void emit_cmp32_mem_0(Emit *e, unsigned base)
{
    put_rex(e, 0, 0, 0, base);
    emit8(e, 0x83);
    put_mem(e, 7, base, 0);
    emit8(e, 0);
}

void emit_fs_cmp8_0(Emit *e, int32_t off)
{
    emit8(e, 0x64);
    emit8(e, 0x80);
    put_fs_abs(e, 7, off);
    emit8(e, 0);
}

void emit_fs_sub32_1(Emit *e, int32_t off)
{
    emit_bytes(e, "\x64\x83", 2);
    put_fs_abs(e, 5, off);
    emit8(e, 1);
}

void emit_fs_add1(Emit *e, int32_t off)
{
    emit8(e, 0x64);
    put_rex(e, REX_W, 0, 0, 0);
    emit8(e, 0x83);
    put_fs_abs(e, 0, off);
    emit8(e, 1);
}

void emit_fs_or8_imm(Emit *e, int32_t off, uint8_t imm)
{
    emit8(e, 0x64);
    emit8(e, 0x80);
    put_fs_abs(e, 1, off);
    emit8(e, imm);
}

void emit_cmp32_ri(Emit *e, unsigned reg, uint32_t imm)
{
    put_rex(e, 0, 0, 0, reg);
    emit8(e, 0x81);
    emit8(e, (uint8_t)(0xf8 | (reg & 7)));
    emit32(e, imm);
}

void emit_cmp64_ri(Emit *e, unsigned reg, int32_t imm)
{
    put_rex(e, REX_W, 0, 0, reg);
    emit8(e, 0x81);
    emit8(e, (uint8_t)(0xf8 | (reg & 7)));
    emit32(e, (uint32_t)imm);
}

void emit_load16(Emit *e, unsigned dst, unsigned base, int32_t disp)
{
    put_rex(e, 0, dst, 0, base);
    emit8(e, 0x0f);
    emit8(e, 0xb7);
    put_mem(e, dst, base, disp);
}

void emit_cmp_ri(Emit *e, unsigned reg, int8_t imm)
{
    put_rex(e, REX_W, 0, 0, reg);
    emit8(e, 0x83);
    emit8(e, (uint8_t)(0xf8 | (reg & 7)));
    emit8(e, (uint8_t)imm);
}

void emit_load8(Emit *e, unsigned dst, unsigned base, int32_t disp)
{
    put_rex(e, 0, dst, 0, base);
    emit8(e, 0x0f);
    emit8(e, 0xb6);
    put_mem(e, dst, base, disp);
}

void emit_store8_imm(Emit *e, unsigned base, int32_t disp, uint8_t imm)
{
    put_op_mem(e, 0, 0xc6, 0, base, disp);
    emit8(e, imm);
}

void emit_cmp8_mem(Emit *e, unsigned base, int32_t disp, uint8_t imm)
{
    put_op_mem(e, 0, 0x80, 7, base, disp);
    emit8(e, imm);
}

void emit_xchg8(Emit *e, unsigned base, int32_t disp, unsigned reg)
{
    emit8(e, (uint8_t)(REX | (reg & 8 ? REX_R : 0) | (base & 8 ? REX_B : 0))); /* always: sil, not dh */
    emit8(e, 0x86);
    put_mem(e, reg, base, disp);
}

void emit_neg(Emit *e, unsigned reg)
{
    put_rex(e, REX_W, 0, 0, reg);
    emit8(e, 0xf7);
    emit8(e, (uint8_t)(0xd8 | (reg & 7)));
}

void emit_add_rr(Emit *e, unsigned dst, unsigned src)
{
    op_rr(e, 0x01, dst, src);
}

void emit_flags_from_rax(Emit *e)
{
    emit_bytes(e, "\x04\x7f\x9e", 3);
}

/* -- Jumps ------------------------------------------------------------------------------------ */

static uint8_t *put_rel32(Emit *e, const void *target)
{
    uint8_t *place = e->cur;

    emit32(e, (uint32_t)((const uint8_t *)target - (emit_here(e) + 4)));
    return place;
}

uint8_t *emit_jmp(Emit *e, const void *target)
{
    emit8(e, 0xe9);
    return put_rel32(e, target);
}

uint8_t *emit_jcc(Emit *e, unsigned cc, const void *target)
{
    emit8(e, 0x0f);
    emit8(e, (uint8_t)(0x80 | cc));
    return put_rel32(e, target);
}

uint8_t *emit_jrcxz(Emit *e)
{
    emit8(e, 0xe3);
    emit8(e, 0);
    return e->cur - 1;
}

void emit_patch8(Emit *e, uint8_t *place)
{
    ptrdiff_t d = e->cur - (place + 1);

    if (!e->full) {
        g_assert(d == (int8_t)d);
        *place = (uint8_t)d;
    }
}

void emit_patch32(Emit *e, uint8_t *place)
{
    int32_t d = (int32_t)(e->cur - (place + 4));

    if (!e->full) {
        memcpy(place, &d, sizeof d);
    }
}
