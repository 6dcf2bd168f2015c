/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a CPU model is made of; only model.c and cpuid.c look inside. */
#ifndef CPU_X86_MODEL_INTERNAL_H
#define CPU_X86_MODEL_INTERNAL_H

#include "cpu-x86/cpuid.h"

typedef struct {
    uint32_t leaf, subleaf;
    unsigned reg;
    uint32_t bits;
} FeatureWord;

struct CpuModel {
    char *name;
    char vendor[13];
    char brand[49];
    bool amd;
    bool kvm, vmware_freq;     /* the leaves 0x40000000 as KVM's; 0x40000010     */
    uint32_t signature;        /* CPUID.1:EAX                                    */
    uint32_t level, xlevel;    /* highest basic and extended leaf                */
    unsigned phys_bits;
    unsigned n_cpus;
    uint64_t xcr0;
    bool has[FEAT_COUNT];
    XsaveArea area[XSAVE_COMPONENTS];
    FeatureWord words[16];     /* `has`, as CPUID gives it                       */
    unsigned n_words;
};

#endif /* CPU_X86_MODEL_INTERNAL_H */
