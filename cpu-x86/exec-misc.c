/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flag bits, nops and hints, cpuid, random numbers, cache lines, #UD. */
#include "cpu-x86/cpuid.h"
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"

#include <Zydis/Mnemonic.h>

/* -- Flag bits --------------------------------------------------------------------------------- */

void exec_clc(CpuState *cpu, const X86Insn *in)
{
    cpu->rflags &= ~(uint64_t)FLAG_CF;
}

void exec_stc(CpuState *cpu, const X86Insn *in)
{
    cpu->rflags |= FLAG_CF;
}

void exec_cmc(CpuState *cpu, const X86Insn *in)
{
    cpu->rflags ^= FLAG_CF;
}

void exec_cld(CpuState *cpu, const X86Insn *in)
{
    cpu->rflags &= ~(uint64_t)FLAG_DF;
}

void exec_std(CpuState *cpu, const X86Insn *in)
{
    cpu->rflags |= FLAG_DF;
}

/* In real mode CPL is 0, in virtual-8086 mode 3: one rule for all modes without VME and PVI. */
static void require_iopl(CpuState *cpu)
{
    if (cpu->cpl > cpu_iopl(cpu)) {
        cpu_raise_gp(cpu, 0);
    }
}

void exec_cli(CpuState *cpu, const X86Insn *in)
{
    require_iopl(cpu);
    cpu->rflags &= ~(uint64_t)FLAG_IF;
}

void exec_sti(CpuState *cpu, const X86Insn *in)
{
    require_iopl(cpu);
    if ((cpu->rflags & FLAG_IF) == 0) {
        cpu->rflags |= FLAG_IF;
        cpu->shadow = true;
    }
}

/* -- Nothing to do ----------------------------------------------------------------------------- */

void exec_nop(CpuState *cpu, const X86Insn *in)
{
}

void exec_serialize(CpuState *cpu, const X86Insn *in)
{
    phys_mem_serialize(cpu->mem);
}

void exec_pause(CpuState *cpu, const X86Insn *in)
{
    __builtin_ia32_pause();
    if (++cpu->pauses % CPU_PAUSES == 0) {
        cpu_spins(cpu, CPU_PAUSES);
    }
}

void exec_fence(CpuState *cpu, const X86Insn *in)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* CLFLUSH and friends obey the rights of a load and do nothing else here. */
void exec_cache_line(CpuState *cpu, const X86Insn *in)
{
    mmu_probe(&cpu->mmu, data_class(cpu), insn_lin(cpu, in, 1, false), 1, TLB_LOAD);
}

/* -- Raising ----------------------------------------------------------------------------------- */

void exec_ud(CpuState *cpu, const X86Insn *in)
{
    cpu_raise_ud(cpu);
}

void exec_too_long(CpuState *cpu, const X86Insn *in)
{
    cpu_raise_gp(cpu, 0);
}

/* -- cpuid, random numbers --------------------------------------------------------------------- */

void exec_cpuid(CpuState *cpu, const X86Insn *in)
{
    uint32_t regs[4];

    phys_mem_serialize(cpu->mem);
    cpu_cpuid(cpu, (uint32_t)cpu->gpr[GPR_RAX], (uint32_t)cpu->gpr[GPR_RCX], regs);
    cpu->gpr[GPR_RAX] = regs[0];
    cpu->gpr[GPR_RBX] = regs[1];
    cpu->gpr[GPR_RCX] = regs[2];
    cpu->gpr[GPR_RDX] = regs[3];
}

/* The host's own (the model offers them only where it has them); CF says whether there was a
 * number, without one the destination is 0. */
void exec_random(CpuState *cpu, const X86Insn *in)
{
    uint64_t v;
    bool ok;

    if (in->mnemonic == ZYDIS_MNEMONIC_RDSEED) {
        asm volatile("rdseed %[v]" : [v] "=r"(v), "=@ccc"(ok));
    } else {
        asm volatile("rdrand %[v]" : [v] "=r"(v), "=@ccc"(ok));
    }
    op_write(cpu, in, 0, ok ? v : 0);
    flags_put(cpu, FLAGS_ARITH, ok ? FLAG_CF : 0);
}
