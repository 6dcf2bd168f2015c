/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions that belong to no family: nop and hints, cpuid, random numbers, #UD. */
#include "cpu-x86/exception.h"
#include "cpu-x86/insns.h"

void exec_ud(CpuState *cpu, const X86Insn *in)
{
    cpu_raise_ud(cpu);
}

void exec_nop(CpuState *cpu, const X86Insn *in)
{
}
