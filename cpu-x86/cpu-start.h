/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting a waiting CPU in a 32-bit paged state, instead of by SIPI in real mode. */
#ifndef CPU_X86_CPU_START_H
#define CPU_X86_CPU_START_H

#include "cpu-x86/state.h"

typedef struct {
    uint32_t cr0, cr2, cr3, cr4;
    uint64_t efer;
    uint32_t eip, eflags;
    uint32_t gpr[8];           /* in the order of GPR_RAX... */
    uint16_t seg[SEG_COUNT], ldtr;
    DescTable gdtr, idtr;
} CpuStart;

/*
 * The hidden parts of the segments are loaded from the descriptor tables, through the page tables of
 * the new state.  False: some of it is not allowed, and the CPU waits for SIPI as before.  The CPU's own
 * thread, out of run(), with activity CPU_WAIT_SIPI.
 */
bool cpu_start(CpuState *cpu, const CpuStart *s);

#endif /* CPU_X86_CPU_START_H */
