/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registry of instructions: which function executes a mnemonic.  Rows are insns-int.def and
 * insns-sys.def; vector instructions are asked of vector.h instead.
 */
#ifndef CPU_X86_INSNS_H
#define CPU_X86_INSNS_H

#include "cpu-x86/insn.h"

#include <Zydis/Mnemonic.h>

typedef X86Exec (*X86Select)(const X86Insn *in);

typedef struct {
    X86Exec exec;              /* either this ... */
    X86Select select;          /* ... or this; both NULL: no such row */
    uint8_t flags;             /* INSN_* */
} X86Row;

extern const X86Row x86_rows[ZYDIS_MNEMONIC_MAX_VALUE + 1];

#define EXEC(mnemonic, function, flags) void function(CpuState *cpu, const X86Insn *in);
#define SELECT(mnemonic, function, flags) X86Exec function(const X86Insn *in);
#include "cpu-x86/insns-int.def"
#include "cpu-x86/insns-sys.def"
#undef EXEC
#undef SELECT

/* Raises #UD: unknown, undefined and feature-gated instructions. */
void exec_ud(CpuState *cpu, const X86Insn *in);
/* MOV to and from control and debug registers (op kinds OPERAND_CR, OPERAND_DR): exec-system.c. */
void exec_mov_crdr(CpuState *cpu, const X86Insn *in);
/* CS, SS and what follows from them as SYSCALL in 64-bit code leaves them, or (user) SYSRET to 64-bit code:
 * for an engine that has done the rest by itself. */
void cpu_load_syscall_segments(CpuState *cpu, bool user);
/* Raises #GP(0): longer than 15 bytes. */
void exec_too_long(CpuState *cpu, const X86Insn *in);

#endif /* CPU_X86_INSNS_H */
