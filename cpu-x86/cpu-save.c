/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of a CPU is saved.  A loaded state is checked as MOV CRn, WRMSR and LDMXCSR check what guests write. */
#include "cpu-x86/cpu-save.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/segment-internal.h"
#include "cpu-x86/state.h"
#include "cpu-x86/vector.h"
#include "cpu-x86/walk.h"

#include <string.h>

enum { REQUESTS = CPU_REQ_NMI | CPU_REQ_INIT | CPU_REQ_SIPI };
#define RFLAGS_VALID                                                                                                   \
    (FLAGS_ARITH | FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC | FLAG_VIF |        \
     FLAG_VIP | FLAG_ID)
enum { FX_MXCSR_AT = 24, FX_MXCSR_MASK_AT = 28, MXCSR_VALID = 0xffff, MXCSR_RESET = 0x1f80 };

static bool refuse(GError **error, const char *what)
{
    g_set_error_literal(error, g_quark_from_static_string("cpu"), 0, what);
    return false;
}

static bool saving(void *state, GError **error)
{
    CpuState *cpu = state;

    cpu->saved.tsc = cpu_tsc(cpu);
    cpu->saved.requests = cpu_requests(cpu) & REQUESTS;
    return true;
}

static bool bases_are_canonical(const CpuState *cpu)
{
    const uint64_t must[] = {
        cpu->seg[SEG_FS].base, cpu->seg[SEG_GS].base, cpu->seg[SEG_LDTR].base, cpu->seg[SEG_TR].base, cpu->gdtr.base,
        cpu->idtr.base, cpu->msr_lstar, cpu->msr_cstar, cpu->msr_kernel_gs_base, cpu->msr_sysenter_esp,
        cpu->msr_sysenter_eip, cpu->rip,
    };

    for (size_t i = 0; i < ARRAY_LEN(must); i++) {
        if (!canonical(must[i])) {
            return false;
        }
    }
    return true;
}

static bool segments_are_valid(const CpuState *cpu)
{
    for (unsigned i = 0; i < SEG_ALL_COUNT; i++) {
        if ((cpu->seg[i].attr & ~(uint32_t)(SEG_ATTR_MASK | SEG_NULL)) != 0) {
            return false;
        }
    }
    return true;
}

static bool is_valid(const CpuState *cpu, GError **error)
{
    bool pe = (cpu->cr0 & CR0_PE) != 0, lma = (cpu->efer & EFER_LMA) != 0;

    if ((cpu->rflags & ~(uint64_t)RFLAGS_VALID) != FLAG_FIXED || ((cpu->rflags & FLAG_VM) != 0 && (!pe || lma))) {
        return refuse(error, "rflags: no such value");
    }
    if (!cpu_control_is_valid(cpu)) {
        return refuse(error, "cr0, cr4, efer: this model has no such mode");
    }
    if (!segments_are_valid(cpu) || !bases_are_canonical(cpu)) {
        return refuse(error, "segments: no such value");
    }
    if ((cpu->vec.xcr0 & ~cpu_model_xcr0(cpu->model)) != 0 || (cpu->vec.xcr0 & XCR0_X87) == 0 || cpu->vec.xss != 0) {
        return refuse(error, "xcr0: this model has not all of it");
    }
    return (cpu->vec.mxcsr & ~(uint32_t)MXCSR_VALID) == 0 || refuse(error, "mxcsr: no such value");
}

static bool loaded(void *state, GError **error)
{
    CpuState *cpu = state;

    if (!is_valid(cpu, error)) {
        return false;
    }
    store_le(cpu->vec.fx + FX_MXCSR_AT, 4, MXCSR_RESET); /* the real one is vec.mxcsr */
    store_le(cpu->vec.fx + FX_MXCSR_MASK_AT, 4, MXCSR_VALID);
    cpu->next_rip = cpu->rip;
    cpu->tsc_offset = (int64_t)(cpu->saved.tsc - (cpu_tsc(cpu) - (uint64_t)cpu->tsc_offset));
    cpu_unrequest(cpu, REQUESTS);
    cpu_request(cpu, cpu->saved.requests & REQUESTS);
    tlb_switch(&cpu->mmu.tlb, (cpu->cr4 & CR4_PCIDE) != 0 ? cpu->cr3 & 0xfff : 0, true);
    tlb_flush_all(&cpu->mmu.tlb);
    cpu->cpuid_changes++;
    cpu_update_mode(cpu);
    return true;
}

/* clang-format off */
static const Field segment_fields[] = {
    FIELD(Segment, selector), FIELD(Segment, limit), FIELD(Segment, attr), FIELD(Segment, base),
};
static const FieldTable segment_state = {.version = 1, FIELDS(segment_fields)};

static const Field table_fields[] = {FIELD(DescTable, base), FIELD(DescTable, limit)};
static const FieldTable table_state = {.version = 1, FIELDS(table_fields)};

static const Field vector_fields[] = {
    FIELD(VectorState, zmm), FIELD(VectorState, k), FIELD(VectorState, fx), FIELD(VectorState, mxcsr),
    FIELD(VectorState, pkru), FIELD(VectorState, xcr0), FIELD(VectorState, xss),
};
static const FieldTable vector_state = {.version = 1, FIELDS(vector_fields)};

static const Field cpu_fields[] = {
    FIELD(CpuState, gpr), FIELD(CpuState, rip), FIELD(CpuState, rflags), FIELD_ARRAY(CpuState, seg, segment_state),
    FIELD_STRUCT(CpuState, gdtr, table_state), FIELD_STRUCT(CpuState, idtr, table_state),
    FIELD(CpuState, cr0), FIELD(CpuState, cr2), FIELD(CpuState, cr3), FIELD(CpuState, cr4), FIELD(CpuState, efer),
    FIELD(CpuState, dr), FIELD_STRUCT(CpuState, vec, vector_state), FIELD(CpuState, pdpte),
    FIELD(CpuState, msr_star), FIELD(CpuState, msr_lstar), FIELD(CpuState, msr_cstar), FIELD(CpuState, msr_fmask),
    FIELD(CpuState, msr_kernel_gs_base), FIELD(CpuState, msr_sysenter_cs), FIELD(CpuState, msr_sysenter_esp),
    FIELD(CpuState, msr_sysenter_eip), FIELD(CpuState, msr_pat), FIELD(CpuState, msr_tsc_aux),
    FIELD(CpuState, msr_misc_enable), FIELD(CpuState, msr_spec_ctrl), FIELD(CpuState, msr_mtrr_def_type),
    FIELD(CpuState, msr_mtrr_fixed), FIELD(CpuState, msr_mtrr_base), FIELD(CpuState, msr_mtrr_mask),
    FIELD(CpuState, msr_bios_sign_id), FIELD(CpuState, msr_feature_control), FIELD(CpuState, msr_tsc_adjust),
    FIELD(CpuState, msr_debugctl), FIELD(CpuState, msr_mcg_status), FIELD(CpuState, msr_mcg_ctl),
    FIELD(CpuState, msr_mce_bank), FIELD(CpuState, saved.tsc), FIELD(CpuState, tsc_jump),
    FIELD_MAX(CpuState, activity, CPU_SHUTDOWN), FIELD(CpuState, nmi_masked), FIELD(CpuState, shadow),
    FIELD(CpuState, shadow_ss), FIELD(CpuState, mwait_armed), FIELD(CpuState, sipi_vector),
    FIELD(CpuState, monitor_addr), FIELD(CpuState, pending_dbg), FIELD(CpuState, unhalted),
    FIELD(CpuState, saved.requests),
};
/* clang-format on */
const FieldTable cpu_state_fields = {.version = 1, FIELDS(cpu_fields), .saving = saving, .loaded = loaded};
