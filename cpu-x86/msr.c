/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu-x86/msr.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/segment-internal.h"
#include "cpu-x86/walk.h"
#include "softmmu/base/log.h"

#include <inttypes.h>
#include <stddef.h>

/*
 * Immune by construction to what speculates on real processors: RDCL, IBRS all the time, L1D need
 * not be flushed, SSB, MDS, page-size MC, TAA, SBDR/SSDP, FBSDP, PSDP, BHI, PBRSB, GDS, RFDS, ITS.
 * A guest that believes it skips page-table isolation and return thunks.  (IA32_ARCH_CAPABILITIES,
 * SDM vol. 4 table 2-2.)
 */
#define ARCH_CAPABILITIES_VALUE                                                                    \
    (BIT64(0) | BIT64(1) | BIT64(3) | BIT64(4) | BIT64(5) | BIT64(6) | BIT64(8) | BIT64(13) |      \
     BIT64(14) | BIT64(15) | BIT64(20) | BIT64(24) | BIT64(26) | BIT64(27) | BIT64(62))

enum { SPEC_IBRS = 1, SPEC_STIBP = 2, SPEC_SSBD = 4, SPEC_BHI_DIS_S = 1 << 10 };
enum { MISC_ENABLE_MWAIT = 1 << 18 };

static bool has(const CpuState *cpu, CpuFeature f)
{
    return cpu_model_has(cpu->model, f);
}

/* -- Checks of written values: false is #GP(0) -------------------------------------------------------- */

static bool check_any(const CpuState *cpu, uint64_t val)
{
    return true;
}

static bool check_zero(const CpuState *cpu, uint64_t val)
{
    return val == 0;
}

static bool check_low3(const CpuState *cpu, uint64_t val)
{
    return val <= 7;
}

static bool check_low32(const CpuState *cpu, uint64_t val)
{
    return val >> 32 == 0;
}

static bool check_all_or_none(const CpuState *cpu, uint64_t val)
{
    return val == 0 || val == UINT64_MAX;
}

static bool check_canonical(const CpuState *cpu, uint64_t val)
{
    return canonical(val);
}

static bool check_locked(const CpuState *cpu, uint64_t val)
{
    return (cpu->msr_feature_control & 1) == 0;
}

uint64_t cpu_spec_ctrl_bits(const CpuState *cpu)
{
    uint64_t valid = 0;

    valid |= has(cpu, FEAT_SPEC_CTRL) || has(cpu, FEAT_IBRS) ? SPEC_IBRS : 0;
    valid |= has(cpu, FEAT_STIBP) || has(cpu, FEAT_AMD_STIBP) ? SPEC_STIBP : 0;
    valid |= has(cpu, FEAT_SSBD) || has(cpu, FEAT_AMD_SSBD) ? SPEC_SSBD : 0;
    valid |= has(cpu, FEAT_BHI_CTRL) ? SPEC_BHI_DIS_S : 0;
    return valid;
}

static bool check_spec_ctrl(const CpuState *cpu, uint64_t val)
{
    uint64_t valid = cpu_spec_ctrl_bits(cpu);

    return valid != 0 && (val & ~valid) == 0;
}

static bool check_debugctl(const CpuState *cpu, uint64_t val)
{
    if ((val & 2) != 0) {
        log_unimp("DEBUGCTL.BTF (single step on branches): stepping on instructions");
    }
    return (val & ~UINT64_C(3)) == 0;
}

static bool memory_type(uint8_t t)
{
    return t <= 6 && t != 2 && t != 3;
}

static bool check_mtrr_types(const CpuState *cpu, uint64_t val)
{
    for (unsigned i = 0; i < 8; i++) {
        if (!memory_type((uint8_t)(val >> (i * 8)))) {
            return false;
        }
    }
    return true;
}

static bool check_pat(const CpuState *cpu, uint64_t val)
{
    for (unsigned i = 0; i < 8; i++) {
        uint8_t t = (uint8_t)(val >> (i * 8));

        if (!memory_type(t) && t != 7) {
            return false;
        }
    }
    return true;
}

static bool check_mtrr_def_type(const CpuState *cpu, uint64_t val)
{
    return (val & ~UINT64_C(0xcff)) == 0 && memory_type((uint8_t)val);
}

/* -- Registers that do something -------------------------------------------------------------------- */

static bool read_none(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    return false;
}

static bool write_none(CpuState *cpu, uint32_t msr, uint64_t val)
{
    return false;
}

static bool write_ignore(CpuState *cpu, uint32_t msr, uint64_t val)
{
    return true;
}

/* Nothing in it can be enabled. */
static bool read_zero(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = 0;
    return true;
}

static bool write_zero(CpuState *cpu, uint32_t msr, uint64_t val)
{
    return val == 0;
}

static bool read_tsc(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = cpu_tsc(cpu);
    return true;
}

/* Move the TSC by `delta`; TSC_ADJUST follows (SDM 3B 17.17.3). */
static void move_tsc(CpuState *cpu, uint64_t delta)
{
    cpu->tsc_offset = (int64_t)((uint64_t)cpu->tsc_offset + delta);
    cpu->msr_tsc_adjust += delta;
    if (cpu->pv.tsc_moved != NULL) {
        cpu->pv.tsc_moved(cpu->pv.arg, cpu, delta);
    }
}

static bool write_tsc(CpuState *cpu, uint32_t msr, uint64_t val)
{
    move_tsc(cpu, val - cpu_tsc(cpu));
    return true;
}

static bool read_tsc_adjust(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = cpu->msr_tsc_adjust;
    return true;
}

static bool write_tsc_adjust(CpuState *cpu, uint32_t msr, uint64_t val)
{
    move_tsc(cpu, val - cpu->msr_tsc_adjust);
    return true;
}

static bool read_bus(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    return cpu->bus.apic_msr_read != NULL && cpu->bus.apic_msr_read(cpu->bus.arg, msr, val);
}

static bool write_bus(CpuState *cpu, uint32_t msr, uint64_t val)
{
    return cpu->bus.apic_msr_write != NULL && cpu->bus.apic_msr_write(cpu->bus.arg, msr, val);
}

static bool read_pv(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    return cpu->pv.msr_read != NULL && cpu->pv.msr_read(cpu->pv.arg, cpu, msr, val);
}

static bool write_pv(CpuState *cpu, uint32_t msr, uint64_t val)
{
    return cpu->pv.msr_write != NULL && cpu->pv.msr_write(cpu->pv.arg, cpu, msr, val);
}

static bool write_pred_cmd(CpuState *cpu, uint32_t msr, uint64_t val)
{
    return (has(cpu, FEAT_SPEC_CTRL) || has(cpu, FEAT_IBPB)) && (val & ~UINT64_C(1)) == 0;
}

/* Intel: revision in the upper half, as after CPUID; AMD: the patch level. */
static bool read_microcode(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = cpu_model_is_amd(cpu->model) ? 0x01000065 : BIT64(32);
    return true;
}

/* Bits 15:8: the ratio of the TSC to 100 MHz. */
static bool read_platform_info(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = (cpu->tsc_hz / 100000000 & 0xff) << 8;
    return true;
}

static bool read_misc_enable(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = cpu->msr_misc_enable;
    return true;
}

/* Fast strings, thermal control, EIST, MWAIT, CPUID limit and xTPR can be switched. */
static bool write_misc_enable(CpuState *cpu, uint32_t msr, uint64_t val)
{
    uint64_t mask = BIT(0) | BIT(3) | BIT(16) | BIT(22) | BIT(23);

    mask |= has(cpu, FEAT_MONITOR) ? MISC_ENABLE_MWAIT : 0;
    cpu->msr_misc_enable = (cpu->msr_misc_enable & ~mask) | (val & mask);
    return true;
}

static uint64_t *mtrr_field(CpuState *cpu, uint32_t msr)
{
    unsigned i = (msr - 0x200) >> 1;

    return (msr & 1) != 0 ? &cpu->msr_mtrr_mask[i] : &cpu->msr_mtrr_base[i];
}

static bool read_mtrr_variable(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = *mtrr_field(cpu, msr);
    return true;
}

static bool write_mtrr_variable(CpuState *cpu, uint32_t msr, uint64_t val)
{
    bool mask = (msr & 1) != 0;
    uint64_t valid = (BIT64(cpu_model_phys_bits(cpu->model)) - BIT64(12)) | (mask ? BIT(11) : 0xff);

    if ((val & ~valid) != 0 || (!mask && !memory_type((uint8_t)val))) {
        return false;
    }
    *mtrr_field(cpu, msr) = val;
    return true;
}

static bool read_efer(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = cpu->efer;
    return true;
}

/* Raises #GP(0) by itself. */
static bool write_efer(CpuState *cpu, uint32_t msr, uint64_t val)
{
    cpu_write_efer(cpu, val);
    return true;
}

static bool read_base(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = cpu->seg[(msr & 1) != 0 ? SEG_GS : SEG_FS].base;
    return true;
}

static bool write_base(CpuState *cpu, uint32_t msr, uint64_t val)
{
    if (!canonical(val)) {
        return false;
    }
    cpu->seg[(msr & 1) != 0 ? SEG_GS : SEG_FS].base = val;
    return true;
}

/* TscFreqSel: the TSC runs at P0's frequency. */
static bool read_hwcr(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = BIT(24);
    return true;
}

/* LFENCE waits for all before it. */
static bool read_de_cfg(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    *val = BIT(1);
    return true;
}

/* -- The table --------------------------------------------------------------------------------------- */

enum { NEED_ANY = FEAT_COUNT, NEED_INTEL, NEED_AMD };

typedef struct {
    uint32_t msr;
    const char *name;
    unsigned need;
    bool (*read)(CpuState *cpu, uint32_t msr, uint64_t *val);
    bool (*write)(CpuState *cpu, uint32_t msr, uint64_t val);
    bool (*check)(const CpuState *cpu, uint64_t val); /* a field */
    size_t field;
    uint64_t value;                                   /* a constant */
    bool constant;
} MsrRow;

#define FEAT_ANY NEED_ANY
#define FEAT_INTEL NEED_INTEL
#define FEAT_AMD NEED_AMD
static const MsrRow rows[] = {
#define FIELD(n, id, f, member, c)                                                                 \
    {.msr = n, .name = #id, .need = FEAT_##f, .check = check_##c,                                  \
     .field = offsetof(CpuState, member)},
#define CONST(n, id, f, v) {.msr = n, .name = #id, .need = FEAT_##f, .constant = true, .value = v},
#define ZERO(n, id, f)                                                                             \
    {.msr = n, .name = #id, .need = FEAT_##f, .constant = true, .write = write_ignore},
#define FUNC(n, id, f, r, w)                                                                       \
    {.msr = n, .name = #id, .need = FEAT_##f, .read = read_##r, .write = write_##w},
#include "cpu-x86/msrs.def"
#undef FIELD
#undef CONST
#undef ZERO
#undef FUNC
};

static bool present(const CpuState *cpu, const MsrRow *r)
{
    switch (r->need) {
    case NEED_ANY: return true;
    case NEED_INTEL: return !cpu_model_is_amd(cpu->model);
    case NEED_AMD: return cpu_model_is_amd(cpu->model);
    default: return has(cpu, (CpuFeature)r->need);
    }
}

/* The row of an MSR this model has, else NULL. */
static const MsrRow *find(const CpuState *cpu, uint32_t msr)
{
    size_t lo = 0, hi = ARRAY_LEN(rows);

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (rows[mid].msr == msr) {
            return present(cpu, &rows[mid]) ? &rows[mid] : NULL;
        }
        if (rows[mid].msr < msr) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return NULL;
}

static bool is_x2apic(uint32_t msr)
{
    return msr >= 0x800 && msr <= 0x8ff;
}

bool cpu_msr_read(CpuState *cpu, uint32_t msr, uint64_t *val)
{
    const MsrRow *r;

    trace(cpu_rdmsr, "cpu=%u msr=0x%x rip=0x%" PRIx64, cpu->index, msr, cpu->rip);
    if (is_x2apic(msr) && has(cpu, FEAT_X2APIC)) {
        return read_bus(cpu, msr, val);
    }
    r = find(cpu, msr);
    if (r == NULL) {
        log_unimp("rdmsr %#x at %" PRIx64 ": no such MSR", msr, cpu->rip);
        return false;
    }
    if (r->constant) {
        *val = r->value;
        return true;
    }
    if (r->check != NULL) {
        if (r->check == check_spec_ctrl && !check_spec_ctrl(cpu, 0)) {
            return false;
        }
        memcpy(val, (const uint8_t *)cpu + r->field, sizeof *val);
        return true;
    }
    return r->read(cpu, msr, val);
}

bool cpu_msr_write(CpuState *cpu, uint32_t msr, uint64_t val)
{
    const MsrRow *r;
    bool ok;

    trace(cpu_wrmsr, "cpu=%u msr=0x%x val=0x%" PRIx64 " rip=0x%" PRIx64, cpu->index, msr, val, cpu->rip);
    if (is_x2apic(msr) && has(cpu, FEAT_X2APIC)) {
        return write_bus(cpu, msr, val);
    }
    r = find(cpu, msr);
    if (r == NULL) {
        log_unimp("wrmsr %#x = %" PRIx64 " at %" PRIx64 ": no such MSR", msr, val, cpu->rip);
        return false;
    }
    if (r->check != NULL) {
        ok = r->check(cpu, val);
        if (ok) {
            memcpy((uint8_t *)cpu + r->field, &val, sizeof val);
        }
    } else {
        ok = r->write != NULL && r->write(cpu, msr, val);
        cpu->cpuid_changes += r->write == write_misc_enable || msr == 0x1b; /* IA32_APIC_BASE */
    }
    if (!ok) {
        log_guest_error("wrmsr %s (%#x) = %" PRIx64 " at %" PRIx64 ": refused", r->name, msr, val,
                        cpu->rip);
    }
    return ok;
}
