/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sequences (compile-system.c) for control registers, model-specific registers and segment bases. */
#include "translator/compile-internal.h"

/* t = the CpuState, for sequences: it holds what they do not keep in the vCPU block. */
static unsigned gen_cpu(Gen *g)
{
    unsigned t = gen_scratch(g, 0);

    emit_fs_load(g->e, t, gen_field(g, VCB_CPU));
    return t;
}

/* reg = a 64-bit or 32-bit field of the CpuState.  (The guest never sees a host address in it: a kick might
 * come in between.) */
static void gen_cpu_load(Gen *g, unsigned reg, size_t field)
{
    emit_load(g->e, reg, gen_cpu(g), (int32_t)field);
}

void gen_cpu_load32(Gen *g, unsigned reg, size_t field)
{
    emit_load32(g->e, reg, gen_cpu(g), (int32_t)field);
}

static void gen_read_cr8(Gen *g, unsigned reg);

void gen_read_cr(Gen *g, unsigned reg)
{
    void (*load)(Gen *g, unsigned reg, size_t field) = g->p->code32 ? gen_cpu_load32 : gen_cpu_load;

    switch (g->in->op[1].reg.value) {
    case ZYDIS_REGISTER_CR0: load(g, reg, offsetof(CpuState, cr0)); break;
    case ZYDIS_REGISTER_CR2: load(g, reg, offsetof(CpuState, cr2)); break;
    case ZYDIS_REGISTER_CR3: load(g, reg, offsetof(CpuState, cr3)); break;
    case ZYDIS_REGISTER_CR4: load(g, reg, offsetof(CpuState, cr4)); break;
    case ZYDIS_REGISTER_CR8: gen_read_cr8(g, reg); break;
    default: /* #UD */
        gen_slow_jmp(g, HELPER_SYSTEM);
        gen_helped(g, HELPER_SYSTEM);
    }
}

/* -- Model-specific registers ------------------------------------------------------------------ */

enum { MSR_SPEC_CTRL = 0x48, MSR_SYSENTER_CS = 0x174, MSR_X2APIC_EOI = 0x80b, MSR_FS_BASE = 0xc0000100, MSR_BASES = 3 };

static TransHelper msr_helper(const Gen *g)
{
    return (TransHelper)g->in->helper;
}

/* t = ecx - IA32_FS_BASE, which is 0, 1, 2 for the three bases; else to what comes at *others. */
static uint8_t *gen_base_index(Gen *g, unsigned t)
{
    emit_lea32(g->e, t, GPR_RCX, (int32_t)(0u - MSR_FS_BASE));
    emit_cmp32_ri(g->e, t, MSR_BASES - 1);
    return emit_jcc(g->e, CC_A, emit_here(g->e));
}

/* t = edx:eax; v is clobbered. */
static void gen_pair(Gen *g, unsigned t, unsigned v)
{
    emit_mov_rr(g->e, t, GPR_RDX);
    emit_shift_ri(g->e, SHIFT_SHL, t, 32);
    emit_mov32_rr(g->e, v, GPR_RAX);
    emit_or_rr(g->e, t, v);
}

static void gen_read_base(Gen *g, unsigned t)
{
    emit_fs_load_indexed(g->e, GPR_RDX, gen_field(g, VCB_FS_BASE), t);
    emit_mov32_rr(g->e, GPR_RAX, GPR_RDX);
    emit_shr_ri(g->e, GPR_RDX, 32);
}

/* edx:eax must be canonical. */
static void gen_write_base_msr(Gen *g, unsigned t)
{
    unsigned u = gen_scratch(g, 1), v = gen_scratch(g, 2);

    gen_pair(g, u, v);
    emit_mov_rr(g->e, v, u);
    emit_shift_ri(g->e, SHIFT_SHL, v, 16);
    emit_shift_ri(g->e, SHIFT_SAR, v, 16);
    emit_cmp_rr(g->e, v, u);
    gen_slow_jcc(g, CC_NE, msr_helper(g));
    emit_fs_store_indexed(g->e, gen_field(g, VCB_FS_BASE), t, u);
}

static void gen_read_spec_ctrl(Gen *g)
{
    unsigned t = gen_scratch(g, 0);

    emit_cmp32_ri(g->e, GPR_RCX, MSR_SPEC_CTRL);
    gen_slow_jcc(g, CC_NE, msr_helper(g));
    emit_fs_load(g->e, t, gen_field(g, VCB_SPEC_CTRL_BAD));
    emit_not(g->e, t);
    emit_cmp_ri(g->e, t, 0);
    gen_slow_jcc(g, CC_E, msr_helper(g));
    emit_fs_load(g->e, t, gen_field(g, VCB_CPU));
    emit_load32(g->e, GPR_RAX, t, (int32_t)offsetof(CpuState, msr_spec_ctrl));
    emit_load32(g->e, GPR_RDX, t, (int32_t)offsetof(CpuState, msr_spec_ctrl) + 4);
}

/* ecx is IA32_SYSENTER_CS, or on to what comes at the result.  (VMI's SYSEXIT reads it each time.)  What is 0 may not exist. */
static uint8_t *gen_read_sysenter_cs(Gen *g)
{
    unsigned t = gen_scratch(g, 0), v = gen_scratch(g, 1);
    uint8_t *other;

    emit_cmp32_ri(g->e, GPR_RCX, MSR_SYSENTER_CS);
    other = emit_jcc(g->e, CC_NE, emit_here(g->e));
    emit_fs_load(g->e, t, gen_field(g, VCB_CPU));
    emit_load32(g->e, v, t, (int32_t)offsetof(CpuState, msr_sysenter_cs));
    emit_cmp32_ri(g->e, v, 0);
    gen_slow_jcc(g, CC_E, msr_helper(g));
    emit_mov32_rr(g->e, GPR_RAX, v);
    emit_load32(g->e, GPR_RDX, t, (int32_t)offsetof(CpuState, msr_sysenter_cs) + 4);
    return other;
}

/* IA32_SPEC_CTRL, or the x2APIC's end of an interrupt that nobody else waits for. */
static void gen_write_spec_ctrl_eoi(Gen *g)
{
    unsigned t = gen_scratch(g, 0), v = gen_scratch(g, 1);
    uint8_t *other, *done;

    emit_cmp32_ri(g->e, GPR_RCX, MSR_SPEC_CTRL);
    other = emit_jcc(g->e, CC_NE, emit_here(g->e));
    gen_pair(g, t, v);
    emit_fs_op(g->e, 0x85, t, gen_field(g, VCB_SPEC_CTRL_BAD)); /* test */
    gen_slow_jcc(g, CC_NE, msr_helper(g));
    emit_fs_load(g->e, v, gen_field(g, VCB_CPU));
    emit_store(g->e, v, (int32_t)offsetof(CpuState, msr_spec_ctrl), t);
    done = emit_jmp(g->e, emit_here(g->e));
    emit_patch32(g->e, other);
    emit_cmp32_ri(g->e, GPR_RCX, MSR_X2APIC_EOI);
    gen_slow_jcc(g, CC_NE, msr_helper(g));
    gen_pair(g, t, v);
    emit_cmp_ri(g->e, t, 0);
    gen_slow_jcc(g, CC_NE, msr_helper(g));
    emit_fs_load(g->e, v, gen_field(g, VCB_CPU));
    emit_cmp8_mem(g->e, v, (int32_t)offsetof(CpuState, apic_mode), 2);
    gen_slow_jcc(g, CC_NE, msr_helper(g));
    emit_cmp8_mem(g->e, v, (int32_t)offsetof(CpuState, apic_eoi), 0);
    gen_slow_jcc(g, CC_E, msr_helper(g));
    emit_store8_imm(g->e, v, (int32_t)offsetof(CpuState, apic_eoi), 0);
    emit_patch32(g->e, done);
}

void gen_msr(Gen *g, bool write)
{
    bool bases = !g->p->code32, others = (g->p->env & ENV_NO_QUICK) == 0;
    unsigned t = gen_scratch(g, 0);
    uint8_t *other = NULL, *done = NULL;

    gen_free_flags(g);
    gen_scratch(g, 1); /* borrowed here, whichever way is gone */
    gen_scratch(g, 2);
    if (bases) {
        other = gen_base_index(g, t);
        (write ? gen_write_base_msr : gen_read_base)(g, t);
    } else if (!write && others) {
        other = gen_read_sysenter_cs(g);
    }
    if (other != NULL) {
        done = emit_jmp(g->e, emit_here(g->e));
        emit_patch32(g->e, other);
    }
    if (!others) {
        gen_slow_jmp(g, msr_helper(g));
    } else if (write) {
        gen_write_spec_ctrl_eoi(g);
    } else {
        gen_read_spec_ctrl(g);
    }
    if (done != NULL) {
        emit_patch32(g->e, done);
    }
}

/* -- CR8, bases ---------------------------------------------------------------------------------- */

static void gen_read_cr8(Gen *g, unsigned reg)
{
    unsigned t;

    gen_free_flags(g);
    t = gen_cpu(g);
    emit_load8(g->e, t, t, (int32_t)offsetof(CpuState, apic_tpr));
    emit_shr_ri(g->e, t, 4);
    emit_mov_rr(g->e, reg, t);
}

/*
 * The APIC is asked where something is requested: before, because there may be none, and after, because either
 * whoever requests now sees the new priority or we see the request (hw/lapic.c).  May be done twice.
 */
void gen_write_cr8(Gen *g)
{
    unsigned reg = gen_reg_of(g->in->op[1].reg.value), t = gen_scratch(g, 0), u = gen_scratch(g, 1);

    gen_free_flags(g);
    emit_fs_load(g->e, u, gen_field(g, VCB_CPU));
    emit_cmp8_mem(g->e, u, (int32_t)offsetof(CpuState, apic_busy), 0);
    gen_slow_jcc(g, CC_NE, HELPER_CR);
    emit_cmp_ri(g->e, reg, 15);
    gen_slow_jcc(g, CC_A, HELPER_CR);
    emit_mov_rr(g->e, t, reg);
    emit_shift_ri(g->e, SHIFT_SHL, t, 4);
    emit_xchg8(g->e, u, (int32_t)offsetof(CpuState, apic_tpr), t);
    emit_cmp8_mem(g->e, u, (int32_t)offsetof(CpuState, apic_busy), 0);
    gen_slow_jcc(g, CC_NE, HELPER_CR);
}
void gen_write_base(Gen *g, int field)
{
    unsigned r = gen_reg_of(g->in->op[0].reg.value), t = gen_scratch(g, 0);

    gen_free_flags(g);
    emit_mov_rr(g->e, t, r);
    emit_shift_ri(g->e, SHIFT_SHL, t, 16);
    emit_shift_ri(g->e, SHIFT_SAR, t, 16);
    emit_cmp_rr(g->e, t, r);
    gen_slow_jcc(g, CC_NE, HELPER_INTERP); /* not canonical */
    emit_fs_store(g->e, gen_field(g, field), r);
}
