/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Model-specific registers; rows in msrs.def. */
#ifndef CPU_X86_MSR_H
#define CPU_X86_MSR_H

#include "cpu-x86/state.h"

/* RDMSR/WRMSR semantics without the CPL check.  False: the instruction raises #GP(0) (unknown MSRs
 * are logged with -d unimp). */
bool cpu_msr_read(CpuState *cpu, uint32_t msr, uint64_t *val);
bool cpu_msr_write(CpuState *cpu, uint32_t msr, uint64_t val);

/* Bits of IA32_SPEC_CTRL that the guest may set; 0: it has none. */
uint64_t cpu_spec_ctrl_bits(const CpuState *cpu);

#endif /* CPU_X86_MSR_H */
