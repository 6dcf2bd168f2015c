/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu-x86/insn-operand.h"

uint64_t insn_load_slow(CpuState *cpu, const X86Insn *in, unsigned size)
{
    GuestLin lin = data_linear(cpu, in->mem.seg, insn_ea(cpu, in), size, false);

    return mmu_load(&cpu->mmu, data_class(cpu), lin, size);
}

void insn_store_slow(CpuState *cpu, const X86Insn *in, unsigned size, uint64_t val)
{
    GuestLin lin = data_linear(cpu, in->mem.seg, insn_ea(cpu, in), size, true);

    mmu_store(&cpu->mmu, data_class(cpu), lin, size, val);
}

void insn_rmw_begin_slow(CpuState *cpu, const X86Insn *in, unsigned size, bool locked, MmuRmw *rmw)
{
    GuestLin lin = data_linear(cpu, in->mem.seg, insn_ea(cpu, in), size, true);

    mmu_rmw_begin(&cpu->mmu, data_class(cpu), lin, size, locked, rmw);
}

uint64_t ss_load_slow(CpuState *cpu, uint64_t sp, unsigned size)
{
    return mmu_load(&cpu->mmu, data_class(cpu), data_linear(cpu, SEG_SS, sp, size, false), size);
}

void ss_store_slow(CpuState *cpu, uint64_t sp, unsigned size, uint64_t val)
{
    mmu_store(&cpu->mmu, data_class(cpu), data_linear(cpu, SEG_SS, sp, size, true), size, val);
}
