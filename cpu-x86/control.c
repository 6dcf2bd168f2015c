/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control registers, EFER and PKRU: which values are allowed (SDM vol. 2 MOV CRn, 3A 2.5, 4.1) and
 * what a change flushes (3A 4.10.4.1).  Rights are baked into TLB entries, so whatever changes the
 * meaning of a page's bits flushes all of them.
 */
#include "cpu-x86/walk.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/exception.h"
#include "cpu-x86/segment-internal.h"

#define CR0_WRITABLE                                                                               \
    (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define CR3_NOFLUSH BIT64(63)

/* Load the PAE page-directory-pointer registers (SDM 3A 4.4.1). #GP(0) on a reserved bit. */
static void load_pdptes(CpuState *cpu, uint64_t cr3)
{
    uint64_t reserved = 0x1e6 | ~(BIT64(cpu_model_phys_bits(cpu->model)) - 1);
    uint64_t pdpte[4];

    for (unsigned i = 0; i < 4; i++) {
        pdpte[i] = phys_read(cpu->mem, guest_phys((cr3 & 0xffffffe0) + i * 8), 8);
        if ((pdpte[i] & 1) != 0 && (pdpte[i] & reserved) != 0) {
            cpu_raise_gp(cpu, 0);
        }
    }
    memcpy(cpu->pdpte, pdpte, sizeof pdpte);
}

static bool uses_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & CR0_PG) != 0 && (cr4 & CR4_PAE) != 0 && (efer & EFER_LME) == 0;
}

/* -- CR0 ------------------------------------------------------------------------------------------- */

static bool cr0_allowed(const CpuState *cpu, uint64_t val)
{
    bool activates = (val & CR0_PG) != 0 && (cpu->cr0 & CR0_PG) == 0;
    bool deactivates = (val & CR0_PG) == 0 && (cpu->cr0 & CR0_PG) != 0;

    if (val >> 32 != 0 || (val & (CR0_PG | CR0_PE)) == CR0_PG ||
        (val & (CR0_NW | CR0_CD)) == CR0_NW) {
        return false;
    }
    if (deactivates && (cpu_is_long64(cpu) || (cpu->cr4 & CR4_PCIDE) != 0)) {
        return false;
    }
    if (activates && (cpu->efer & EFER_LME) != 0) {
        const Segment *cs = &cpu->seg[SEG_CS], *tr = &cpu->seg[SEG_TR];

        /* no long mode without PAE, from a segment with L, or with a 16-bit TSS (3A 9.8.5) */
        return (cpu->cr4 & CR4_PAE) != 0 && !((val & CR0_PE) != 0 && (cs->attr & SEG_L) != 0) &&
               ((tr->attr & SEG_NULL) != 0 || (tr->attr >> SEG_TYPE_SHIFT & 8) != 0);
    }
    return true;
}

void cpu_write_cr0(CpuState *cpu, uint64_t val)
{
    uint64_t changed;

    if (!cr0_allowed(cpu, val)) {
        cpu_raise_gp(cpu, 0);
    }
    val = (val & CR0_WRITABLE) | CR0_ET;
    changed = val ^ cpu->cr0;
    if (uses_pdptes(val, cpu->cr4, cpu->efer) && (changed & (CR0_PG | CR0_CD | CR0_NW)) != 0) {
        load_pdptes(cpu, cpu->cr3);
    }
    cpu->cr0 = val;
    if ((changed & CR0_PG) != 0) {
        cpu->efer &= ~(uint64_t)EFER_LMA;
        if ((val & CR0_PG) != 0 && (cpu->efer & EFER_LME) != 0) {
            cpu->efer |= EFER_LMA;
        }
    }
    if ((changed & (CR0_PG | CR0_WP)) != 0) {
        tlb_flush_all(&cpu->mmu.tlb);
    }
    cpu_update_mode(cpu);
}

/* -- CR3 ------------------------------------------------------------------------------------------- */

void cpu_write_cr3(CpuState *cpu, uint64_t val)
{
    bool pcide = (cpu->cr4 & CR4_PCIDE) != 0;
    bool noflush = pcide && (val & CR3_NOFLUSH) != 0;

    if (pcide) {
        val &= ~CR3_NOFLUSH;
    }
    if ((cpu->efer & EFER_LMA) == 0) {
        val = (uint32_t)val;
    } else if (val >> cpu_model_phys_bits(cpu->model) != 0) {
        cpu_raise_gp(cpu, 0);
    }
    if (uses_pdptes(cpu->cr0, cpu->cr4, cpu->efer)) {
        load_pdptes(cpu, val);
    }
    cpu->cr3 = val;
    tlb_switch(&cpu->mmu.tlb, pcide ? val & 0xfff : 0, !noflush);
}

/* -- CR4 ------------------------------------------------------------------------------------------- */

static const struct {
    uint32_t bit;
    CpuFeature feature;
} cr4_features[] = {
    {CR4_TSD, FEAT_TSC},         {CR4_DE, FEAT_DE},           {CR4_PSE, FEAT_PSE},
    {CR4_PAE, FEAT_PAE},         {CR4_MCE, FEAT_MCE},         {CR4_PGE, FEAT_PGE},
    {CR4_OSFXSR, FEAT_FXSR},     {CR4_OSXMMEXCPT, FEAT_SSE},  {CR4_UMIP, FEAT_UMIP},
    {CR4_FSGSBASE, FEAT_FSGSBASE}, {CR4_PCIDE, FEAT_PCID},    {CR4_OSXSAVE, FEAT_XSAVE},
    {CR4_SMEP, FEAT_SMEP},       {CR4_SMAP, FEAT_SMAP},       {CR4_PKE, FEAT_PKU},
};

/* Bits of CR4 this model has; the others are reserved. */
static uint64_t cr4_valid(const CpuState *cpu)
{
    uint64_t mask = CR4_PCE;

    for (unsigned i = 0; i < ARRAY_LEN(cr4_features); i++) {
        if (cpu_model_has(cpu->model, cr4_features[i].feature)) {
            mask |= cr4_features[i].bit;
        }
    }
    return mask;
}

static uint64_t efer_valid(const CpuState *cpu)
{
    uint64_t valid = EFER_LMA;

    valid |= cpu_model_has(cpu->model, FEAT_SYSCALL) ? EFER_SCE : 0;
    valid |= cpu_model_has(cpu->model, FEAT_LM) ? EFER_LME : 0;
    valid |= cpu_model_has(cpu->model, FEAT_NX) ? EFER_NXE : 0;
    valid |= cpu_model_has(cpu->model, FEAT_AUTO_IBRS) ? EFER_AIBRSE : 0;
    return valid;
}

bool cpu_control_is_valid(const CpuState *cpu)
{
    bool paging = (cpu->cr0 & CR0_PG) != 0, lme = (cpu->efer & EFER_LME) != 0, lma = (cpu->efer & EFER_LMA) != 0;

    return (cpu->cr0 & ~(uint64_t)(CR0_WRITABLE | CR0_ET)) == 0 && (cpu->cr0 & CR0_ET) != 0 &&
           (cpu->cr0 & (CR0_PG | CR0_PE)) != CR0_PG && (cpu->cr0 & (CR0_NW | CR0_CD)) != CR0_NW &&
           (cpu->cr4 & ~cr4_valid(cpu)) == 0 && (cpu->efer & ~efer_valid(cpu)) == 0 && lma == (lme && paging) &&
           (!lma || (cpu->cr4 & CR4_PAE) != 0) && (lma || (cpu->cr4 & CR4_PCIDE) == 0) &&
           cpu->cr3 >> cpu_model_phys_bits(cpu->model) == 0;
}

void cpu_write_cr4(CpuState *cpu, uint64_t val)
{
    uint64_t changed = val ^ cpu->cr4;
    bool lma = (cpu->efer & EFER_LMA) != 0;

    if ((val & ~cr4_valid(cpu)) != 0 || (lma && (val & CR4_PAE) == 0) ||
        ((changed & val & CR4_PCIDE) != 0 && (!lma || (cpu->cr3 & 0xfff) != 0))) {
        cpu_raise_gp(cpu, 0);
    }
    if (uses_pdptes(cpu->cr0, val, cpu->efer) &&
        (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)) != 0) {
        load_pdptes(cpu, cpu->cr3);
    }
    cpu->cr4 = val;
    cpu->cpuid_changes++;
    if ((changed & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_SMEP | CR4_SMAP | CR4_PKE)) != 0 ||
        (changed & ~val & CR4_PCIDE) != 0) {
        tlb_flush_all(&cpu->mmu.tlb);
    }
    if ((changed & CR4_PCIDE) != 0) {
        tlb_switch(&cpu->mmu.tlb, 0, (val & CR4_PCIDE) == 0);
    }
    cpu_update_mode(cpu);
}

/* -- EFER, PKRU ------------------------------------------------------------------------------------- */

void cpu_write_efer(CpuState *cpu, uint64_t val)
{
    uint64_t valid = efer_valid(cpu), changed;

    val = (val & ~(uint64_t)EFER_LMA) | (cpu->efer & EFER_LMA); /* read-only: writes are ignored */
    changed = val ^ cpu->efer;
    if ((val & ~valid) != 0 || ((changed & EFER_LME) != 0 && (cpu->cr0 & CR0_PG) != 0)) {
        cpu_raise_gp(cpu, 0);
    }
    cpu->efer = val;
    if ((changed & EFER_NXE) != 0) {
        tlb_flush_all(&cpu->mmu.tlb);
    }
    cpu_update_mode(cpu);
}

void cpu_write_pkru(CpuState *cpu, uint32_t val)
{
    if (val != cpu->vec.pkru) {
        cpu->vec.pkru = val;
        if ((cpu->cr4 & CR4_PKE) != 0) {
            tlb_flush_all(&cpu->mmu.tlb);
        }
    }
}
