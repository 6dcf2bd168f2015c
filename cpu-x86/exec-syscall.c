/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fast system calls, and what goes with them: SWAPGS, FS and GS bases, STAC and CLAC.  Where Intel
 * and AMD differ (which modes have SYSCALL and SYSENTER) the model's vendor decides.
 */
#include "cpu-x86/cpuid.h"
#include "cpu-x86/debug.h"
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"
#include "cpu-x86/segment-internal.h"

/* A flat code or stack segment that these instructions load without a descriptor. */
static Segment flat(uint16_t selector, unsigned dpl, uint32_t attr)
{
    return (Segment){
        .selector = (uint16_t)((selector & 0xfffc) | dpl),
        .limit = UINT32_MAX,
        .attr = SEG_P | SEG_S | SEG_G | SEG_A | SEG_RW | dpl << SEG_DPL_SHIFT | attr,
    };
}

static void enter(CpuState *cpu, uint16_t cs, uint16_t ss, unsigned cpl, bool code64)
{
    cpu->seg[SEG_CS] = flat(cs, cpl, SEG_CODE | (code64 ? SEG_L : SEG_DB));
    cpu->seg[SEG_SS] = flat(ss, cpl, SEG_DB);
    cpu_update_mode(cpu);
}

/* -- SYSCALL, SYSRET ------------------------------------------------------------------------------------- */

/* Single steps go by TF as these instructions leave it: no trap in a handler whose mask clears TF, and one right
 * behind a SYSRET that sets it, as if SYSCALL were complete only now. */
static void trap_by_new_tf(CpuState *cpu)
{
    cpu->exc.is_soft = true; /* not by TF as it was */
    if ((cpu->rflags & FLAG_TF) != 0) {
        cpu->pending_dbg |= DR6_BS;
    }
}

static void require_syscall(CpuState *cpu)
{
    if ((cpu->efer & EFER_SCE) == 0 || !cpu_protected(cpu) ||
        (!cpu_is_long64(cpu) && !cpu_model_is_amd(cpu->model))) {
        cpu_raise_ud(cpu);
    }
}

void exec_syscall(CpuState *cpu, const X86Insn *in)
{
    bool lma = (cpu->efer & EFER_LMA) != 0;
    uint16_t cs = (uint16_t)(cpu->msr_star >> 32) & 0xfffc;
    uint64_t next = cpu->next_rip;

    require_syscall(cpu);
    cpu->stats[STAT_SYSCALLS]++;
    cpu->gpr[GPR_RCX] = next;
    if (lma) {
        cpu->next_rip = cpu_is_long64(cpu) ? cpu->msr_lstar : cpu->msr_cstar;
        cpu->gpr[GPR_R11] = cpu->rflags & ~(uint64_t)FLAG_RF;
        cpu->rflags = (cpu->rflags & ~(cpu->msr_fmask | FLAG_RF)) | FLAG_FIXED;
    } else {
        cpu->gpr[GPR_RCX] = (uint32_t)next;
        cpu->next_rip = (uint32_t)cpu->msr_star;
        cpu->rflags &= ~(uint64_t)(FLAG_VM | FLAG_IF | FLAG_RF);
    }
    enter(cpu, cs, (uint16_t)(cs + 8), 0, lma);
    trap_by_new_tf(cpu);
}

void exec_sysret(CpuState *cpu, const X86Insn *in)
{
    bool lma = (cpu->efer & EFER_LMA) != 0, to64 = in->op_size == 8;
    uint16_t base = (uint16_t)(cpu->msr_star >> 48);
    uint64_t rip = cpu->gpr[GPR_RCX];

    require_syscall(cpu);
    if (cpu->cpl != 0 || (to64 && !canonical(rip) && !cpu_model_is_amd(cpu->model))) {
        cpu_raise_gp(cpu, 0);
    }
    if (lma) {
        /* all but RF, VM and reserved bits: SDM vol. 2 SYSRET */
        cpu->rflags = (cpu->gpr[GPR_R11] & 0x3c7fd7) | FLAG_FIXED;
    } else {
        cpu->rflags |= FLAG_IF;
    }
    cpu->next_rip = to64 ? rip : (uint32_t)rip;
    enter(cpu, (uint16_t)(base + (to64 ? 16 : 0)), (uint16_t)(base + 8), 3, to64);
    trap_by_new_tf(cpu);
}

void cpu_load_syscall_segments(CpuState *cpu, bool user)
{
    uint16_t base = (uint16_t)(cpu->msr_star >> 48), cs = (uint16_t)(cpu->msr_star >> 32) & 0xfffc;

    if (user) {
        enter(cpu, (uint16_t)(base + 16), (uint16_t)(base + 8), 3, true);
    } else {
        enter(cpu, cs, (uint16_t)(cs + 8), 0, true);
    }
}

/* -- SYSENTER, SYSEXIT ------------------------------------------------------------------------------------- */

/* AMD processors have them outside long mode only. */
static void require_sysenter(CpuState *cpu)
{
    if ((cpu->efer & EFER_LMA) != 0 && cpu_model_is_amd(cpu->model)) {
        cpu_raise_ud(cpu);
    }
    if ((cpu->cr0 & CR0_PE) == 0 || selector_is_null((uint16_t)cpu->msr_sysenter_cs)) {
        cpu_raise_gp(cpu, 0);
    }
}

void exec_sysenter(CpuState *cpu, const X86Insn *in)
{
    bool lma = (cpu->efer & EFER_LMA) != 0;
    uint16_t cs = (uint16_t)cpu->msr_sysenter_cs & 0xfffc;

    require_sysenter(cpu);
    cpu->stats[STAT_SYSCALLS]++;
    cpu->rflags &= ~(uint64_t)(FLAG_VM | FLAG_IF | FLAG_RF);
    cpu->gpr[GPR_RSP] = lma ? cpu->msr_sysenter_esp : (uint32_t)cpu->msr_sysenter_esp;
    cpu->next_rip = lma ? cpu->msr_sysenter_eip : (uint32_t)cpu->msr_sysenter_eip;
    enter(cpu, cs, (uint16_t)(cs + 8), 0, lma);
}

void exec_sysexit(CpuState *cpu, const X86Insn *in)
{
    bool to64 = in->op_size == 8;
    uint16_t cs = (uint16_t)((cpu->msr_sysenter_cs & 0xfffc) + (to64 ? 32 : 16));
    uint64_t rip = cpu->gpr[GPR_RDX], rsp = cpu->gpr[GPR_RCX];

    require_sysenter(cpu);
    if (cpu->cpl != 0 || (to64 && (!canonical(rip) || !canonical(rsp)))) {
        cpu_raise_gp(cpu, 0);
    }
    cpu->next_rip = to64 ? rip : (uint32_t)rip;
    cpu->gpr[GPR_RSP] = to64 ? rsp : (uint32_t)rsp;
    enter(cpu, cs, (uint16_t)(cs + 8), 3, to64);
}

/* -- FS and GS bases ----------------------------------------------------------------------------------------- */

void exec_swapgs(CpuState *cpu, const X86Insn *in)
{
    uint64_t base = cpu->seg[SEG_GS].base;

    if (!cpu_is_long64(cpu)) {
        cpu_raise_ud(cpu);
    }
    if (cpu->cpl != 0) {
        cpu_raise_gp(cpu, 0);
    }
    cpu->seg[SEG_GS].base = cpu->msr_kernel_gs_base;
    cpu->msr_kernel_gs_base = base;
}

static void require_fsgsbase(CpuState *cpu)
{
    if (!cpu_is_long64(cpu) || (cpu->cr4 & CR4_FSGSBASE) == 0) {
        cpu_raise_ud(cpu);
    }
}

static void write_base(CpuState *cpu, const X86Insn *in, unsigned seg)
{
    uint64_t val;

    require_fsgsbase(cpu);
    val = op_read(cpu, in, 0);
    if (!canonical(val)) {
        cpu_raise_gp(cpu, 0);
    }
    cpu->seg[seg].base = val;
}

void exec_rdfsbase(CpuState *cpu, const X86Insn *in)
{
    require_fsgsbase(cpu);
    op_write(cpu, in, 0, cpu->seg[SEG_FS].base);
}

void exec_rdgsbase(CpuState *cpu, const X86Insn *in)
{
    require_fsgsbase(cpu);
    op_write(cpu, in, 0, cpu->seg[SEG_GS].base);
}

void exec_wrfsbase(CpuState *cpu, const X86Insn *in)
{
    write_base(cpu, in, SEG_FS);
}

void exec_wrgsbase(CpuState *cpu, const X86Insn *in)
{
    write_base(cpu, in, SEG_GS);
}

/* -- SMAP ------------------------------------------------------------------------------------------------------ */

static void write_ac(CpuState *cpu, bool on)
{
    if (cpu->cpl != 0) {
        cpu_raise_ud(cpu);
    }
    flags_put(cpu, FLAG_AC, on ? FLAG_AC : 0);
    cpu_update_mode(cpu);
}

void exec_stac(CpuState *cpu, const X86Insn *in)
{
    write_ac(cpu, true);
}

void exec_clac(CpuState *cpu, const X86Insn *in)
{
    write_ac(cpu, false);
}
