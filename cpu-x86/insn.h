/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A decoded instruction, ready to execute.
 *
 * decode.c makes it from Zydis's output once; the decode cache keeps it.  `exec` is the function
 * that performs it, chosen at decode time from the rows of insns-*.def (and by operand forms, so
 * that hot forms have their own function).  An exec function runs with cpu->rip at the instruction
 * and cpu->next_rip behind it; a branch changes next_rip; a fault unwinds (exception.h), and before
 * any unwind nothing the guest can see may have changed.
 */
#ifndef CPU_X86_INSN_H
#define CPU_X86_INSN_H

#include "cpu-x86/state.h"

typedef struct X86Insn X86Insn;
typedef void (*X86Exec)(CpuState *cpu, const X86Insn *in);

typedef enum {
    OPERAND_NONE,
    OPERAND_GPR,               /* reg: GPR_*                                          */
    OPERAND_GPR_HIGH,          /* AH CH DH BH: reg is GPR_RAX..GPR_RBX                */
    OPERAND_MEM,               /* the instruction's memory operand                    */
    OPERAND_IMM,               /* imm (first) or imm2 (enter, far pointers)           */
    OPERAND_SEG, OPERAND_CR, OPERAND_DR,
    OPERAND_VEC,               /* x87, MMX, XMM/YMM/ZMM, K: exec looks at bytes/Zydis */
} OperandKind;

typedef struct {
    uint8_t kind;              /* OperandKind                                         */
    uint8_t reg;
    uint8_t size;              /* bytes                                               */
    uint8_t off;               /* OPERAND_GPR(_HIGH): byte offset of the register in CpuState */
} X86Operand;

enum { /* prefix bits */
    PFX_LOCK = 1, PFX_REP = 2 /* F3 */, PFX_REPNE = 4 /* F2 */, PFX_OPSIZE = 8, PFX_ADDRSIZE = 16,
    PFX_REX = 32,
};

/* mem.base and mem.index count 8-byte slots of CpuState: gpr[], rip, next_rip, zero.  So an
 * effective address is base + (index << scale) + disp without a branch. */
enum { GPR_RIP_BASE = GPR_COUNT + 1, GPR_NONE = GPR_COUNT + 2 };

enum { /* flags */
    INSN_FAR = 4,              /* branch: far                                                      */
    INSN_ENDS_RUN = 1,         /* may change rip, mode or interrupt state: last of its run          */
    INSN_FAST_EA = 2,          /* memory operand needs no segment or alignment checks beyond those
                                  that a hit in the software TLB implies                            */
};

struct X86Insn {
    X86Exec exec;
    uint8_t len;               /* bytes */
    uint8_t op_size;           /* effective operand size in bytes: 1 (byte forms), 2, 4, 8 */
    uint8_t addr_size;         /* effective address size in bytes: 2, 4, 8             */
    uint8_t stack_size;        /* size of a push/pop of this instruction: 2, 4, 8      */
    uint8_t prefixes;          /* PFX_*                                                */
    uint8_t flags;             /* INSN_*                                               */
    uint8_t n_operands;
    uint8_t addr_shift;        /* 64 - 8 * addr_size                                   */
    X86Operand op[4];          /* visible operands in manual order                     */
    struct {
        uint8_t seg;           /* SEG_*: after override and defaults                   */
        uint8_t base, index;   /* GPR_*, GPR_NONE, or GPR_RIP_BASE (disp is relative to next_rip) */
        uint8_t scale;         /* 0..3: shift                                          */
        uint16_t seg_base;     /* INSN_FAST_EA: offset in CpuState of the base to add  */
        int64_t disp;          /* sign extended; absolute for moffs                    */
    } mem;
    uint64_t imm;              /* sign extended to op_size where the manual says so; branch
                                  displacements are sign extended; far pointers: the offset */
    void *host;                /* exec's own (vector stub), owned by its cache         */
    uint64_t imm2;             /* second immediate (enter); far pointers: the selector */
    uint16_t mnemonic;         /* ZydisMnemonic                                        */
    uint8_t bytes[15];
};

/* -- Operands (inline: insn-operand.h; these are the meanings) --------------------------------------
 *
 *   insn_ea(cpu, in)             effective address (offset), truncated to addr_size
 *   insn_lin(cpu, in, size, w)   linear address of the memory operand after segment checks
 *                                (#GP/#SS on limit, type, null, non-canonical); w: for writing
 *   op_read(cpu, in, i)          operand i, zero extended
 *   op_write(cpu, in, i, val)    write operand i (32-bit GPR writes clear the upper half)
 */

#endif /* CPU_X86_INSN_H */
