/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reset, INIT and start-up IPI (SDM 3A 9.1, table 9-1). */
#include "cpu-x86/cpuid.h"
#include "cpu-x86/debug.h"
#include "cpu-x86/state.h"
#include "cpu-x86/vector.h"
#include "softmmu/base/log.h"

#include <string.h>

static Segment reset_segment(uint16_t selector, uint64_t base, uint32_t type)
{
    return (Segment){.selector = selector, .base = base, .limit = 0xffff, .attr = SEG_P | type};
}

/* What reset and INIT both set. */
static void init_common(CpuState *cpu)
{
    const uint32_t data = SEG_S | SEG_RW | SEG_A;

    memset(cpu->gpr, 0, sizeof cpu->gpr);
    cpu->gpr[GPR_RDX] = cpu_model_signature(cpu->model);
    cpu->rip = cpu->next_rip = 0xfff0;
    cpu->rflags = FLAG_FIXED;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu->seg[i] = reset_segment(0, 0, data);
    }
    cpu->seg[SEG_CS] = reset_segment(0xf000, 0xffff0000, data | SEG_CODE);
    cpu->seg[SEG_LDTR] = reset_segment(0, 0, 2 << SEG_TYPE_SHIFT);
    cpu->seg[SEG_TR] = reset_segment(0, 0, 11 << SEG_TYPE_SHIFT);
    cpu->gdtr = cpu->idtr = (DescTable){.base = 0, .limit = 0xffff};
    cpu->cr2 = cpu->cr3 = cpu->cr4 = 0;
    cpu->efer = 0;
    memset(cpu->pdpte, 0, sizeof cpu->pdpte);
    memset(cpu->dr, 0, sizeof cpu->dr);
    cpu->dr[6] = DR6_FIXED;
    cpu->dr[7] = DR7_FIXED;
    cpu->nmi_masked = cpu->shadow = cpu->shadow_ss = cpu->mwait_armed = false;
    cpu->pending_dbg = 0;
    cpu->monitor_addr = 0;
    cpu->activity = cpu->index == 0 ? CPU_RUNNING : CPU_WAIT_SIPI;
    tlb_switch(&cpu->mmu.tlb, 0, true);
    tlb_flush_all(&cpu->mmu.tlb);
    cpu->unhalted = false;
    if (cpu->pv.reset != NULL) {
        cpu->pv.reset(cpu->pv.arg, cpu);
    }
}

/* MSRs that INIT leaves alone. */
static void reset_msrs(CpuState *cpu)
{
    cpu->msr_star = cpu->msr_lstar = cpu->msr_cstar = cpu->msr_fmask = 0;
    cpu->msr_kernel_gs_base = 0;
    cpu->msr_sysenter_cs = cpu->msr_sysenter_esp = cpu->msr_sysenter_eip = 0;
    cpu->msr_pat = UINT64_C(0x0007040600070406);
    cpu->msr_tsc_aux = 0;
    /* fast strings; no BTS, no PEBS; MWAIT as the model has it */
    cpu->msr_misc_enable = BIT(0) | BIT(11) | BIT(12) |
                           (cpu_model_has(cpu->model, FEAT_MONITOR) ? BIT(18) : 0);
    cpu->msr_spec_ctrl = 0;
    cpu->msr_mtrr_def_type = 0;
    memset(cpu->msr_mtrr_fixed, 0, sizeof cpu->msr_mtrr_fixed);
    memset(cpu->msr_mtrr_base, 0, sizeof cpu->msr_mtrr_base);
    memset(cpu->msr_mtrr_mask, 0, sizeof cpu->msr_mtrr_mask);
    cpu->msr_bios_sign_id = 0;
    cpu->msr_feature_control = 1; /* locked: nothing to enable */
    cpu->msr_debugctl = 0;
    cpu->msr_mcg_status = cpu->msr_mcg_ctl = 0;
    memset(cpu->msr_mce_bank, 0, sizeof cpu->msr_mce_bank);
    /* Take back what the guest wrote to its TSC, and no more: the CPUs of a machine stay in step. */
    cpu->tsc_offset = (int64_t)((uint64_t)cpu->tsc_offset - cpu->msr_tsc_adjust);
    cpu->msr_tsc_adjust = 0;
}

void cpu_reset(CpuState *cpu)
{
    init_common(cpu);
    cpu->cr0 = CR0_CD | CR0_NW | CR0_ET;
    reset_msrs(cpu);
    vector_reset(cpu);
    cpu->sipi_vector = 0;
    cpu_unrequest(cpu, CPU_REQ_INTR | CPU_REQ_NMI | CPU_REQ_INIT | CPU_REQ_SIPI);
    cpu_update_mode(cpu);
    log_item(CPU_RESET, "cpu %u: reset", cpu->index);
}

void cpu_init_signal(CpuState *cpu)
{
    uint64_t cache = cpu->cr0 & (CR0_CD | CR0_NW);

    init_common(cpu);
    cpu->cr0 = cache | CR0_ET; /* the cache bits survive INIT */
    cpu_unrequest(cpu, CPU_REQ_NMI | CPU_REQ_INIT);
    cpu_update_mode(cpu);
    log_item(CPU_RESET, "cpu %u: INIT", cpu->index);
}

void cpu_sipi(CpuState *cpu, uint8_t vector)
{
    if (cpu->activity != CPU_WAIT_SIPI) {
        return;
    }
    cpu->seg[SEG_CS].selector = (uint16_t)(vector << 8);
    cpu->seg[SEG_CS].base = (uint32_t)vector << 12;
    cpu->rip = cpu->next_rip = 0;
    cpu->activity = CPU_RUNNING;
    cpu_update_mode(cpu);
    log_item(CPU_RESET, "cpu %u: SIPI %02x", cpu->index, vector);
}
