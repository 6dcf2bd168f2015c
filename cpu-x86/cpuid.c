/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What CPUID answers.  How a model is made is model.c's. */
#include "cpu-x86/model-internal.h"

#include <string.h>

enum { EAX, EBX, ECX, EDX };

/* -- Asking a model -------------------------------------------------------------------------------- */

bool cpu_model_has(const CpuModel *m, CpuFeature f)
{
    return m->has[f];
}

const char *cpu_model_name(const CpuModel *m)
{
    return m->name;
}

bool cpu_model_is_kvm(const CpuModel *m)
{
    return m->kvm;
}

uint64_t cpu_model_xcr0(const CpuModel *m)
{
    return m->xcr0;
}

unsigned cpu_model_phys_bits(const CpuModel *m)
{
    return m->phys_bits;
}

bool cpu_model_is_amd(const CpuModel *m)
{
    return m->amd;
}

uint32_t cpu_model_signature(const CpuModel *m)
{
    return m->signature;
}

const XsaveArea *cpu_model_xsave_area(const CpuModel *m, unsigned component)
{
    return component < XSAVE_COMPONENTS ? &m->area[component] : NULL;
}

uint32_t cpu_model_xsave_size(const CpuModel *m, uint64_t components, bool compact)
{
    uint32_t end = 576; /* legacy region and header */

    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
        if ((components >> i & 1) != 0) {
            uint32_t at = compact ? (m->area[i].align64 ? (end + 63) & ~63u : end)
                                  : m->area[i].offset;

            end = MAX(end, at + m->area[i].size);
        }
    }
    return end;
}

/* Instruction sets -> feature + 1; 0: always allowed; ISA_NEVER: never. */
enum { ISA_NEVER = 0xffff };
static const uint16_t isa_feature[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
#define ISA(set, feature) [ZYDIS_ISA_SET_##set] = FEAT_##feature + 1,
#define NEVER(set) [ZYDIS_ISA_SET_##set] = ISA_NEVER,
#include "cpu-x86/isa-sets.def"
#undef ISA
#undef NEVER
};

bool cpu_isa_allowed(const CpuState *cpu, ZydisISASet set)
{
    unsigned f = (unsigned)set <= ZYDIS_ISA_SET_MAX_VALUE ? isa_feature[set] : ISA_NEVER;

    return f == 0 || (f != ISA_NEVER && cpu->model->has[f - 1]);
}

/* -- Leaves --------------------------------------------------------------------------------------- */

static uint32_t word(const CpuModel *m, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
    for (unsigned i = 0; i < m->n_words; i++) {
        const FeatureWord *w = &m->words[i];

        if (w->leaf == leaf && w->subleaf == subleaf && w->reg == reg) {
            return w->bits;
        }
    }
    return 0;
}

/* Smallest n with 1 << n >= v. */
static unsigned log2_up(unsigned v)
{
    unsigned n = 0;

    while ((1u << n) < v) {
        n++;
    }
    return n;
}

/* 12 or 48 characters of text, in the order leaves give them. */
static void text(uint32_t regs[4], const char *s)
{
    memcpy(regs, s, 16);
}

static bool apic_enabled(const CpuState *cpu)
{
    uint64_t base;

    return cpu->bus.apic_msr_read == NULL || !cpu->bus.apic_msr_read(cpu->bus.arg, 0x1b, &base) ||
           (base & BIT(11)) != 0;
}

static void leaf_1(const CpuState *cpu, uint32_t r[4])
{
    const CpuModel *m = cpu->model;

    r[EAX] = m->signature;
    r[EBX] = 8 << 8 | MIN(1u << log2_up(m->n_cpus), 255u) << 16 | cpu->index << 24;
    r[ECX] = word(m, 1, 0, ECX) | ((cpu->cr4 & CR4_OSXSAVE) != 0 ? BIT(27) : 0);
    r[EDX] = word(m, 1, 0, EDX) | (m->n_cpus > 1 ? BIT(28) : 0);
    if ((r[EDX] & BIT(9)) != 0 && !apic_enabled(cpu)) {
        r[EDX] &= ~BIT(9);
    }
    if ((cpu->msr_misc_enable & BIT(18)) == 0) {
        r[ECX] &= ~BIT(3); /* MONITOR, SDM vol. 4 IA32_MISC_ENABLE */
    }
}

/* Deterministic cache parameters: 32 KiB L1s, 1 MiB L2 of each core, 16 MiB L3 shared by all. */
static const struct {
    uint8_t type, level;       /* type: 1 data, 2 instructions, 3 unified */
    uint16_t ways;
    uint32_t sets;
} caches[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 16, 1024}, {3, 3, 16, 16384}};

static void leaf_cache(const CpuModel *m, uint32_t i, bool amd, uint32_t r[4])
{
    unsigned cores = (1u << log2_up(m->n_cpus)) - 1;

    if (i >= ARRAY_LEN(caches)) {
        return;
    }
    r[EAX] = caches[i].type | (uint32_t)caches[i].level << 5 | BIT(8) |
             (caches[i].level == 3 ? cores << 14 : 0) | (amd ? 0 : MIN(cores, 63u) << 26);
    r[EBX] = 63 | (uint32_t)(caches[i].ways - 1) << 22;
    r[ECX] = caches[i].sets - 1;
}

/* Extended topology: one thread a core, all cores in one package. */
static void leaf_topology(const CpuState *cpu, uint32_t i, uint32_t r[4])
{
    r[ECX] = i & 0xff;
    r[EDX] = cpu->index;
    if (i == 0) {
        r[EBX] = 1;
        r[ECX] |= 1 << 8;
    } else if (i == 1) {
        r[EAX] = log2_up(cpu->model->n_cpus);
        r[EBX] = cpu->model->n_cpus;
        r[ECX] |= 2 << 8;
    }
}

static void leaf_xsave(const CpuState *cpu, uint32_t i, uint32_t r[4])
{
    const CpuModel *m = cpu->model;

    if (!m->has[FEAT_XSAVE]) {
        return;
    }
    if (i == 0) {
        r[EAX] = (uint32_t)m->xcr0;
        r[EDX] = (uint32_t)(m->xcr0 >> 32);
        r[EBX] = cpu_model_xsave_size(m, cpu->vec.xcr0, false);
        r[ECX] = cpu_model_xsave_size(m, m->xcr0, false);
    } else if (i == 1) {
        r[EAX] = word(m, 0xd, 1, EAX);
        if (m->has[FEAT_XSAVEC] || m->has[FEAT_XSAVES]) {
            r[EBX] = cpu_model_xsave_size(m, cpu->vec.xcr0 | cpu->vec.xss, true);
        }
    } else if (i < XSAVE_COMPONENTS && (m->xcr0 >> i & 1) != 0) {
        r[EAX] = m->area[i].size;
        r[EBX] = m->area[i].offset;
        r[ECX] = m->area[i].align64 ? 2 : 0;
    }
}

static void leaf_7(const CpuState *cpu, uint32_t i, uint32_t r[4])
{
    const CpuModel *m = cpu->model;

    if (i == 0) {
        r[EAX] = 2;
        r[EBX] = word(m, 7, 0, EBX);
        r[ECX] = word(m, 7, 0, ECX) | ((cpu->cr4 & CR4_PKE) != 0 ? BIT(4) : 0);
        r[EDX] = word(m, 7, 0, EDX);
    } else if (i == 1) {
        r[EAX] = word(m, 7, 1, EAX);
    } else if (i == 2) {
        r[EDX] = word(m, 7, 2, EDX);
    }
}

/*
 * The TSC as a ratio of the crystal, which is the frequency of the local APIC's timer: kernels
 * (Linux among them) take one for the other, SDM vol. 2 CPUID 15H.  They also multiply the crystal's
 * kHz by the numerator in 32 bits: so the best fraction whose numerator is small enough
 * (by continued fractions, good to less than 1 ppm).
 */
static void leaf_tsc(const CpuState *cpu, uint32_t r[4])
{
    uint64_t n = cpu->tsc_hz, d = CPU_CRYSTAL_HZ, max = UINT32_MAX / (CPU_CRYSTAL_HZ / 1000);
    uint64_t num = 1, den = 0, num0 = 0, den0 = 1;

    while (d != 0) {
        uint64_t q = n / d, rest = n % d, num1 = q * num + num0, den1 = q * den + den0;
        if (num1 > max) {
            break;
        }
        num0 = num;
        den0 = den;
        num = num1;
        den = den1;
        n = d;
        d = rest;
    }
    r[EAX] = (uint32_t)den;
    r[EBX] = (uint32_t)num;
    r[ECX] = CPU_CRYSTAL_HZ;
}

static void basic_leaf(const CpuState *cpu, uint32_t leaf, uint32_t i, uint32_t r[4])
{
    const CpuModel *m = cpu->model;

    switch (leaf) {
    case 0:
        r[EAX] = (cpu->msr_misc_enable & BIT(22)) != 0 ? 2 : m->level;
        memcpy(&r[EBX], m->vendor, 4);
        memcpy(&r[EDX], m->vendor + 4, 4);
        memcpy(&r[ECX], m->vendor + 8, 4);
        break;
    case 1:
        leaf_1(cpu, r);
        break;
    case 2:
        r[EAX] = m->amd ? 0 : 0x00feff01; /* "see leaf 4", 64-entry TLBs and prefetch */
        r[EBX] = m->amd ? 0 : 0xf0;
        break;
    case 4:
        if (!m->amd) {
            leaf_cache(m, i, false, r);
        }
        break;
    case 5:
        if (m->has[FEAT_MONITOR]) {
            r[EAX] = r[EBX] = 64;
            r[ECX] = 3; /* extensions; interrupts end MWAIT even when masked */
        }
        break;
    case 6:
        r[EAX] = word(m, 6, 0, EAX);
        break;
    case 7:
        leaf_7(cpu, i, r);
        break;
    case 0xb:
        if (m->has[FEAT_X2APIC]) {
            leaf_topology(cpu, i, r);
        }
        break;
    case 0xd:
        leaf_xsave(cpu, i, r);
        break;
    case 0x15:
        if (cpu->tsc_hz != 0) {
            leaf_tsc(cpu, r);
        }
        break;
    case 0x16:
        r[EAX] = r[EBX] = (uint32_t)(cpu->tsc_hz / 1000000);
        r[ECX] = cpu->tsc_hz != 0 ? 100 : 0;
        break;
    default:
        break;
    }
}

static void leaf_80000001(const CpuState *cpu, uint32_t r[4])
{
    const CpuModel *m = cpu->model;

    r[EAX] = m->amd ? m->signature : 0;
    r[ECX] = word(m, 0x80000001, 0, ECX);
    r[EDX] = word(m, 0x80000001, 0, EDX);
    if (m->amd) {
        r[EDX] |= word(m, 1, 0, EDX) & 0x0183f3ff; /* AMD repeats these bits of leaf 1 */
        r[ECX] |= m->n_cpus > 1 ? BIT(1) : 0;      /* CmpLegacy */
    } else if (!cpu_is_long64(cpu)) {
        r[EDX] &= ~BIT(11); /* Intel: SYSCALL is there in 64-bit mode only */
    }
}

static void extended_leaf(const CpuState *cpu, uint32_t leaf, uint32_t i, uint32_t r[4])
{
    const CpuModel *m = cpu->model;

    switch (leaf) {
    case 0x80000000:
        r[EAX] = m->xlevel;
        if (m->amd) {
            basic_leaf(cpu, 0, 0, r);
            r[EAX] = m->xlevel;
        }
        break;
    case 0x80000001:
        leaf_80000001(cpu, r);
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004:
        text(r, m->brand + (leaf - 0x80000002) * 16);
        break;
    case 0x80000005:
        if (m->amd) {
            r[EAX] = r[EBX] = 0xff40ff40; /* TLBs: 64 entries, full */
            r[ECX] = r[EDX] = 32u << 24 | 8 << 16 | 1 << 8 | 64;
        }
        break;
    case 0x80000006:
        r[ECX] = 1024u << 16 | 8u << 12 | (m->amd ? 1 << 8 : 0) | 64;
        r[EDX] = m->amd ? 32u << 18 | 8u << 12 | 1 << 8 | 64 : 0;
        break;
    case 0x80000007:
        r[EDX] = word(m, leaf, 0, EDX);
        break;
    case 0x80000008:
        r[EAX] = m->phys_bits | (m->has[FEAT_LM] ? 48 : 32) << 8;
        r[EBX] = word(m, leaf, 0, EBX);
        r[ECX] = m->amd ? (m->n_cpus - 1) | log2_up(m->n_cpus) << 12 : 0;
        break;
    case 0x8000001d:
        if (m->amd) {
            leaf_cache(m, i, true, r);
        }
        break;
    case 0x8000001e:
        if (m->amd && m->has[FEAT_TOPOEXT]) {
            r[EAX] = cpu->index;
            r[EBX] = cpu->index & 0xff;
        }
        break;
    case 0x80000021:
        r[EAX] = word(m, leaf, 0, EAX);
        r[ECX] = word(m, leaf, 0, ECX);
        break;
    default:
        break;
    }
}

/*
 * Who runs the machine.  Guests that find KVM's name use its interfaces (pv/); with kvm=off they see
 * QEMU's emulation.  0x40000010: VMware's timing leaf, in kHz.
 */
static void hypervisor_leaf(const CpuState *cpu, uint32_t leaf, uint32_t r[4])
{
    const CpuModel *m = cpu->model;
    bool freq = m->kvm && m->vmware_freq && cpu->tsc_hz != 0;

    if (leaf == 0x40000000) {
        r[EAX] = freq ? 0x40000010 : 0x40000001;
        memcpy(&r[EBX], m->kvm ? "KVMKVMKVM\0\0\0" : "TCGTCGTCGTCG", 12);
    } else if (leaf == 0x40000001) {
        r[EAX] = word(m, leaf, 0, EAX) | (m->has[FEAT_KVM_CLOCK] ? BIT(0) : 0);
        r[EDX] = word(m, leaf, 0, EDX);
    } else if (leaf == 0x40000010 && freq) {
        r[EAX] = (uint32_t)(cpu->tsc_hz / 1000);
        r[EBX] = CPU_CRYSTAL_HZ / 1000;
    }
}

void cpu_cpuid(const CpuState *cpu, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    const CpuModel *m = cpu->model;

    memset(regs, 0, 4 * sizeof *regs);
    if (leaf >= 0x40000000 && leaf < 0x40000100 && m->has[FEAT_HYPERVISOR]) {
        hypervisor_leaf(cpu, leaf, regs);
    } else if (leaf >= 0x80000000 && leaf <= m->xlevel) {
        extended_leaf(cpu, leaf, subleaf, regs);
    } else if (leaf <= m->level || m->amd) {
        basic_leaf(cpu, leaf, subleaf, regs);
    } else {
        basic_leaf(cpu, m->level, subleaf, regs); /* Intel: out of range means the last basic leaf */
    }
}
