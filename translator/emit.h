/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host machine code, byte by byte.  Emitters return nothing: an Emit that runs out of room sets its
 * sticky `full` and swallows the rest; the block asks once, at its end.
 */
#ifndef TRANSLATOR_EMIT_H
#define TRANSLATOR_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint8_t *start;             /* first byte of the window                        */
    uint8_t *cur;               /* next byte to write                              */
    uint8_t *end;               /* one past the window                             */
    intptr_t exec_delta;        /* executable address = writable address + this    */
    bool full;                  /* sticky: something did not fit                   */
    bool in_cold;               /* the window is that of cold code                 */
    uint8_t *other, *other_end; /* the other window, from where it is to go on     */
} Emit;

/* Code is emitted in two parts: first what runs as a rule, then, elsewhere, what rarely does.  A host offset with this bit is one
 * in the second. */
enum { EMIT_COLD = 1 << 15 };

/* Host registers in encoding order (the same numbers as GPR_*). */
enum { HR_RAX, HR_RCX, HR_RDX, HR_RBX, HR_RSP, HR_RBP, HR_RSI, HR_RDI };

/* Two windows of `len` bytes, at most EMIT_COLD.  `cold` NULL: cold code comes behind the other, in the same. */
void emit_init(Emit *e, void *window, void *cold, size_t len, intptr_t exec_delta);
/* From here on cold code. */
void emit_begin_cold(Emit *e);

static inline uint32_t emit_offset(const Emit *e)
{
    return (uint32_t)(e->cur - e->start) | (e->in_cold ? EMIT_COLD : 0);
}

/* Executable address of the next byte. */
static inline const uint8_t *emit_here(const Emit *e)
{
    return e->cur + e->exec_delta;
}

static inline void emit_bytes(Emit *e, const void *bytes, size_t n)
{
    if (e->full || (size_t)(e->end - e->cur) < n) {
        e->full = true;
        return;
    }
    memcpy(e->cur, bytes, n);
    e->cur += n;
}

static inline void emit8(Emit *e, uint8_t v)
{
    emit_bytes(e, &v, sizeof v);
}

static inline void emit32(Emit *e, uint32_t v)
{
    emit_bytes(e, &v, sizeof v);
}

static inline void emit64(Emit *e, uint64_t v)
{
    emit_bytes(e, &v, sizeof v);
}

/* Pad with nops until the next byte's address is `residue` modulo `align` (a power of two). */
void emit_align(Emit *e, unsigned align, unsigned residue);

/* -- Moves; none of these touches flags ---------------------------------------------------------- */

void emit_mov_rr(Emit *e, unsigned dst, unsigned src);              /* mov dst, src            */
void emit_xchg_rr(Emit *e, unsigned a, unsigned b);                 /* xchg a, b               */
void emit_mov_ri(Emit *e, unsigned dst, uint64_t val);              /* mov dst, imm            */
void emit_load(Emit *e, unsigned dst, unsigned base, int32_t disp); /* mov dst, [base+disp]    */
void emit_store(Emit *e, unsigned base, int32_t disp, unsigned src);/* mov [base+disp], src    */
void emit_store_imm32_at(Emit *e, unsigned base, int32_t disp, int32_t imm); /* mov qword [base+disp], imm32 */
void emit_lea(Emit *e, unsigned dst, unsigned base, int32_t disp);  /* lea dst, [base+disp]    */
void emit_lea_sum(Emit *e, unsigned dst, unsigned base, unsigned index); /* lea dst, [base+index] */
/* mov dst, [base+index+disp]; mov [base+index+disp], src; mov qword [base+index+disp], imm32 */
void emit_load_sum(Emit *e, unsigned dst, unsigned base, unsigned index, int32_t disp);
void emit_store_sum(Emit *e, unsigned base, unsigned index, int32_t disp, unsigned src);
void emit_store_imm32_sum(Emit *e, unsigned base, unsigned index, int32_t disp, int32_t imm);
#define EMIT_NO_REG 0xffu
/* lea dst, [base + (index << scale) + disp]; base and index may be EMIT_NO_REG. */
void emit_lea_full(Emit *e, unsigned dst, unsigned base, unsigned index, unsigned scale, int32_t disp);

/* The same with 32-bit operands: what is written to a register is zero-extended. */
void emit_mov32_rr(Emit *e, unsigned dst, unsigned src);
void emit_load32(Emit *e, unsigned dst, unsigned base, int32_t disp);
void emit_store32(Emit *e, unsigned base, int32_t disp, unsigned src);
void emit_store32_imm_at(Emit *e, unsigned base, int32_t disp, int32_t imm); /* mov dword [base+disp], imm32 */
void emit_lea32(Emit *e, unsigned dst, unsigned base, int32_t disp);
void emit_lea32_full(Emit *e, unsigned dst, unsigned base, unsigned index, unsigned scale, int32_t disp);

/* -- The vCPU block: fs:[off] --------------------------------------------------------------------- */

enum { EMIT_FS_MOVE_LEN = 9 };                                      /* bytes of the two 64-bit ones */
void emit_fs_load(Emit *e, unsigned dst, int32_t off);              /* mov dst, fs:[off]       */
void emit_fs_load32(Emit *e, unsigned dst, int32_t off);            /* mov dst32, fs:[off]     */
void emit_fs_load_indexed(Emit *e, unsigned dst, int32_t off, unsigned index); /* fs:[off+8*index] */
void emit_fs_store(Emit *e, int32_t off, unsigned src);             /* mov fs:[off], src       */
void emit_fs_store_indexed(Emit *e, int32_t off, unsigned index, unsigned src); /* fs:[off+8*index] */
void emit_fs_store32(Emit *e, int32_t off, unsigned src);           /* mov fs:[off], src32     */
void emit_fs_store32_at(Emit *e, int32_t off, unsigned at, unsigned src); /* mov fs:[off+at], src32 */
void emit_fs_load32_at(Emit *e, unsigned dst, int32_t off, unsigned at);  /* mov dst32, fs:[off+at] */
void emit_fs_store_imm32(Emit *e, int32_t off, uint32_t imm);       /* mov dword fs:[off], imm */
void emit_fs_op(Emit *e, uint8_t opcode, unsigned reg, int32_t off);/* op reg, fs:[off]; flags */
void emit_fs_op_at(Emit *e, uint8_t opcode, unsigned reg, int32_t off, unsigned at); /* op reg, fs:[off+at]; flags */
void emit_fs_load8(Emit *e, unsigned dst, int32_t off);             /* movzx dst32, byte fs:[off] */
void emit_fs_store8(Emit *e, int32_t off, unsigned src);            /* mov byte fs:[off], src8 */
void emit_fs_store_imm8(Emit *e, int32_t off, uint8_t imm);         /* mov byte fs:[off], imm  */
void emit_fs_jmp(Emit *e, int32_t off);                             /* jmp fs:[off]            */
void emit_fs_pext(Emit *e, unsigned dst, unsigned src, int32_t off);/* pext dst, src, fs:[off] */
void emit_fs_pdep(Emit *e, unsigned dst, unsigned src, int32_t off);/* pdep dst, src, fs:[off] */
void emit_rorx(Emit *e, unsigned dst, unsigned src, unsigned count);/* rorx dst, src, count    */
void emit_not(Emit *e, unsigned reg);                               /* not reg                 */
void emit_movzx8(Emit *e, unsigned dst, unsigned src);              /* movzx dst32, src8       */
void emit_jmp_reg(Emit *e, unsigned reg);                           /* jmp reg                 */

/* -- Arithmetic; these write flags --------------------------------------------------------------- */

void emit_shr_ri(Emit *e, unsigned reg, unsigned count);            /* shr reg, count          */
void emit_and_ri(Emit *e, unsigned reg, int32_t imm);               /* and reg, imm32          */
void emit_btr_ri(Emit *e, unsigned reg, unsigned bit);              /* btr reg, bit            */
void emit_op_load(Emit *e, uint8_t opcode, unsigned reg, unsigned base, int32_t disp);
                                                                    /* op reg, [base+disp]     */

void emit_shift_ri(Emit *e, unsigned op, unsigned reg, unsigned count); /* op: SHIFT_*      */
void emit_or_rr(Emit *e, unsigned dst, unsigned src);               /* or dst, src             */
void emit_cmp_rr(Emit *e, unsigned a, unsigned b);                  /* cmp a, b                */
void emit_cmp_ri(Emit *e, unsigned reg, int8_t imm);                /* cmp reg, imm8           */
void emit_test_ri(Emit *e, unsigned reg, uint32_t imm);             /* test reg32, imm32       */
void emit_cmp64_ri(Emit *e, unsigned reg, int32_t imm);              /* cmp reg, imm32          */
void emit_and32_ri(Emit *e, unsigned reg, uint32_t imm);            /* and reg32, imm32        */
void emit_cmp32_mem_0(Emit *e, unsigned base);                      /* cmp dword [base], 0     */
void emit_fs_cmp8_0(Emit *e, int32_t off);                          /* cmp byte fs:[off], 0    */
void emit_fs_add1(Emit *e, int32_t off);                            /* add qword fs:[off], 1   */
void emit_fs_sub32_1(Emit *e, int32_t off);                         /* sub dword fs:[off], 1   */
void emit_fs_or8_imm(Emit *e, int32_t off, uint8_t imm);            /* or byte fs:[off], imm   */
void emit_cmp32_ri(Emit *e, unsigned reg, uint32_t imm);            /* cmp reg32, imm32        */
void emit_load16(Emit *e, unsigned dst, unsigned base, int32_t disp); /* movzx dst32, word [base+disp] */
void emit_load8(Emit *e, unsigned dst, unsigned base, int32_t disp); /* movzx dst32, byte [base+disp] */
void emit_store8_imm(Emit *e, unsigned base, int32_t disp, uint8_t imm); /* mov byte [base+disp], imm */
void emit_cmp8_mem(Emit *e, unsigned base, int32_t disp, uint8_t imm); /* cmp byte [base+disp], imm */
void emit_xchg8(Emit *e, unsigned base, int32_t disp, unsigned reg); /* xchg byte [base+disp], reg8 */
void emit_neg(Emit *e, unsigned reg);                               /* neg reg                 */
void emit_add_rr(Emit *e, unsigned dst, unsigned src);              /* add dst, src            */
void emit_flags_from_rax(Emit *e);                                  /* add al, 0x7f; sahf      */
enum { SHIFT_SHL = 4, SHIFT_SHR = 5, SHIFT_SAR = 7 };

void emit_test64_ri(Emit *e, unsigned reg, int32_t imm);            /* test reg, imm32         */
void emit_load8s(Emit *e, unsigned dst, unsigned base);             /* movsx dst, byte [base]  */
void emit_load32s(Emit *e, unsigned dst, unsigned base);            /* movsxd dst, dword [base] */
/* add or adc sbb and sub xor cmp, by their number 0..7, of 64 (wide) or 32 bits; flags */
void emit_alu_rr(Emit *e, unsigned op, unsigned dst, unsigned src, bool wide);

/* -- Jumps ---------------------------------------------------------------------------------------- */

/* jmp rel32 / jcc rel32 to an executable address; returns where the rel32 lies (writable view). */
uint8_t *emit_jmp(Emit *e, const void *target);
uint8_t *emit_jcc(Emit *e, unsigned cc, const void *target);
/* jrcxz with a displacement to be patched; returns its place. */
uint8_t *emit_jrcxz(Emit *e);
/* Point a rel8 / rel32 emitted here at the current position. */
void emit_patch8(Emit *e, uint8_t *place);
void emit_patch32(Emit *e, uint8_t *place);

enum { CC_B = 2, CC_E = 4, CC_NE = 5, CC_A = 7, CC_S = 8, CC_G = 15 };

#endif /* TRANSLATOR_EMIT_H */
