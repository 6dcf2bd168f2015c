/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes -> X86Insn, by Zydis, in the CPU's current mode and within its CPUID model.
 *
 * Decoding cannot fail as seen from outside: what is undefined, too long or not in the model becomes
 * an instruction whose exec function raises.  Only too few bytes are the caller's business.
 */
#ifndef CPU_X86_DECODE_H
#define CPU_X86_DECODE_H

#include "cpu-x86/insn.h"

#include <Zydis/Zydis.h>

/* One decoder for each Zydis machine mode that occurs, set up for the CPU's model. */
typedef struct {
    ZydisDecoder mode[ZYDIS_MACHINE_MODE_MAX_VALUE + 1][3]; /* [machine mode][stack width] */
} InsnDecoder;

/* The bits of CpuState.mode that a decoded instruction depends on. */
#define MODE_DECODE_MASK                                                                           \
    (MODE_CS32 | MODE_CS64 | MODE_SS32 | MODE_PE | MODE_VM | MODE_LMA | MODE_FLAT | MODE_AC)

void insn_decoder_init(InsnDecoder *d, const CpuState *cpu);

/* Decode at most `avail` (1..15) bytes.  False: the instruction goes on behind them. */
bool insn_decode(const InsnDecoder *d, CpuState *cpu, const uint8_t *bytes, unsigned avail,
                 X86Insn *in);

/* The instruction decoded from rip, as text. */
enum { INSN_TEXT_MAX = 160 };
void insn_text(const InsnDecoder *d, const CpuState *cpu, uint64_t rip, const X86Insn *in, char text[INSN_TEXT_MAX]);

/* -d in_asm */
void insn_log(const InsnDecoder *d, const CpuState *cpu, uint64_t rip, const X86Insn *in);

#endif /* CPU_X86_DECODE_H */
