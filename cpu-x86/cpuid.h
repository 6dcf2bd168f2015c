/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models: what CPUID says and therefore which instructions, registers and bits exist.
 *
 * A model is made once from `-cpu` and shared by all CPUs of a machine.  Features are rows of
 * features.def (name as QEMU spells it, leaf, register, bit, what we need to offer it).
 */
#ifndef CPU_X86_CPUID_H
#define CPU_X86_CPUID_H

#include "cpu-x86/state.h"

#include <glib.h>

typedef enum {
#define FEATURE(id, name, leaf, subleaf, reg, bit, need) FEAT_##id,
#include "cpu-x86/features.def"
#undef FEATURE
    FEAT_COUNT
} CpuFeature;

/* Make a model from "NAME[,+feat][,-feat][,feat=on|off][,prop=value]" (`-cpu`); NULL with one line in
 * `error` naming the unknown model or the unknown or unavailable feature. n_cpus shapes the
 * topology leaves. Free with cpu_model_free(). */
CpuModel *cpu_model_new(const char *spec, unsigned n_cpus, GError **error);
void cpu_model_free(CpuModel *m);

bool cpu_model_has(const CpuModel *m, CpuFeature f);
const char *cpu_model_name(const CpuModel *m);

/* Bits of XCR0 the guest may set; sizes and offsets of XSAVE components as CPUID 0DH reports. */
uint64_t cpu_model_xcr0(const CpuModel *m);

/* Physical address bits (MAXPHYADDR). */
unsigned cpu_model_phys_bits(const CpuModel *m);

/* CPUID as the guest sees it now (some bits follow CR4, XCR0, the APIC). regs: eax ebx ecx edx. */
void cpu_cpuid(const CpuState *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

/* `-cpu help`: one "name  description" line each, then the features; caller frees. */
char *cpu_model_help(void);

#endif /* CPU_X86_CPUID_H */
