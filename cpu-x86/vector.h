/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87, MMX, SSE ... AVX-512, AES, SHA, GFNI, and the integer instructions best left to the host
 * (crc32, pdep, ...): executed on the host CPU itself by a stub that holds the one instruction, its
 * memory operand replaced by a bounce buffer, its registers loaded from and stored to VectorState
 * and gpr[].  Exact by construction, including MXCSR, x87 status and unmasked exceptions, which
 * arrive as SIGFPE and become #XM or #MF.
 */
#ifndef CPU_X86_VECTOR_H
#define CPU_X86_VECTOR_H

#include "cpu-x86/insn.h"

#include <Zydis/Zydis.h>

/* Process-wide: the SIGFPE handler.  Idempotent, before any CPU runs. */
void vector_global_init(void);

/* True when this instruction is ours to execute (by ISA set and category). */
bool vector_handles(const ZydisDecodedInstruction *zi);

/* Finish decoding `in` (kind OPERAND_VEC operands and all): sets in->exec, in->host.  `ops` are all
 * of Zydis's operands.  False: no stub can be made (#UD: the host lacks it). */
bool vector_prepare(CpuState *cpu, X86Insn *in, const ZydisDecodedInstruction *zi,
                    const ZydisDecodedOperand *ops);

/* Per CPU: stub cache.  Freed with the CPU. */
void vector_cpu_init(CpuState *cpu);
void vector_cpu_clear(CpuState *cpu);

/* Drop all stubs; decoded instructions that had one get another when they are next executed. */
void vector_flush(CpuState *cpu);

/* Reset values of x87, MXCSR, vector registers (SDM vol. 3A table 9-1; FNINIT state). */
void vector_reset(CpuState *cpu);

/* XSAVE family and FXSAVE/FXRSTOR between VectorState and guest memory are in exec-xsave.c. */

#endif /* CPU_X86_VECTOR_H */
