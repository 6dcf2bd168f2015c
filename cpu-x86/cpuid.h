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

#include <Zydis/Zydis.h>
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

/* Take away every feature that is not allowed, and what depends on it; names go to `dropped`. */
void cpu_model_restrict(CpuModel *m, bool (*allowed)(void *arg, CpuFeature f), void *arg,
                        GString *dropped);

bool cpu_model_has(const CpuModel *m, CpuFeature f);
const char *cpu_model_name(const CpuModel *m);

/* Is the model an AMD processor (SYSENTER in long mode, SYSCALL in compatibility mode...)? */
bool cpu_model_is_amd(const CpuModel *m);
/* Does it show KVM's leaves, so that guests may make hypercalls (`kvm=on`, the default)? */
bool cpu_model_is_kvm(const CpuModel *m);
/* Family, model, stepping as CPUID.1:EAX. */
uint32_t cpu_model_signature(const CpuModel *m);

/* Bits of XCR0 the guest may set. */
uint64_t cpu_model_xcr0(const CpuModel *m);

/* XSAVE components as CPUID 0DH reports them. */
enum { XSAVE_COMPONENTS = 10 };
typedef struct {
    uint32_t size, offset;     /* offset: in the standard format */
    bool align64;              /* in the compacted format        */
} XsaveArea;
/* NULL for components we never have; size 0 for those this model does not know. */
const XsaveArea *cpu_model_xsave_area(const CpuModel *m, unsigned component);
/* Bytes an area with these components takes. */
uint32_t cpu_model_xsave_size(const CpuModel *m, uint64_t components, bool compact);

/* May the guest execute instructions of this ISA set (its model has the feature)? Decoders ask; false
 * means #UD.  Says nothing of CR0, CR4 and XCR0. */
bool cpu_isa_allowed(const CpuState *cpu, ZydisISASet set);

/* The core crystal of CPUID 15H: equal to the local APIC timer's input. */
#define CPU_CRYSTAL_HZ 1000000000u

/* Physical address bits (MAXPHYADDR). */
unsigned cpu_model_phys_bits(const CpuModel *m);

/* CPUID as the guest sees it now (some bits follow CR4, XCR0, the APIC). regs: eax ebx ecx edx. */
void cpu_cpuid(const CpuState *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

/* The models, one after another: name and description; NULL after the last. */
const char *cpu_model_row(unsigned i, const char **description);
/* Would the model of that row have the feature, if this host could run it? */
bool cpu_model_row_wants(unsigned i, CpuFeature f);
/* Where CPUID shows it (reg: 0 EAX ... 3 EDX), and whether the host's processor alone performs it. */
typedef struct {
    uint32_t leaf, subleaf;
    unsigned reg, bit;
    bool host_executes;
} CpuFeaturePlace;
CpuFeaturePlace cpu_feature_place(CpuFeature f);
/* As QEMU spells it. */
const char *cpu_feature_name(CpuFeature f);
/* Can it be offered here? */
bool cpu_feature_available(CpuFeature f);

/* `-cpu help`: one "name  description" line each, then the features; caller frees. */
char *cpu_model_help(void);

#endif /* CPU_X86_CPUID_H */
