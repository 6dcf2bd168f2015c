/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System instructions: control and debug registers, descriptor tables, TLB and caches, halting,
 * counters, MSRs.  Fast system calls and segment bases are exec-syscall.c's.
 */
#include "cpu-x86/cpuid.h"
#include "cpu-x86/debug.h"
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"
#include "cpu-x86/msr.h"
#include "cpu-x86/segment-internal.h"
#include "cpu-x86/walk.h"
#include "cpu-x86/xsave.h"

#include <sched.h>

/* -- Who may ----------------------------------------------------------------------------------------- */

static void require_cpl0(CpuState *cpu)
{
    if (cpu->cpl != 0) {
        cpu_raise_gp(cpu, 0);
    }
}

/* #UD in real and virtual-8086 mode. */
static void require_protected(CpuState *cpu)
{
    if (!cpu_protected(cpu)) {
        cpu_raise_ud(cpu);
    }
}

/* CR4.UMIP hides the system registers from user code. */
static void require_umip(CpuState *cpu)
{
    if (cpu->cpl != 0 && (cpu->cr4 & CR4_UMIP) != 0) {
        cpu_raise_gp(cpu, 0);
    }
}

static unsigned native_size(const CpuState *cpu)
{
    return cpu_is_long64(cpu) ? 8 : 4;
}

/* EDX:EAX */
static uint64_t get_pair(const CpuState *cpu)
{
    return (uint32_t)cpu->gpr[GPR_RAX] | cpu->gpr[GPR_RDX] << 32;
}

static void put_pair(CpuState *cpu, uint64_t val)
{
    cpu->gpr[GPR_RAX] = (uint32_t)val;
    cpu->gpr[GPR_RDX] = val >> 32;
}

/* -- MOV CRn, DRn --------------------------------------------------------------------------------------- */

static uint64_t read_cr(CpuState *cpu, unsigned n)
{
    switch (n) {
    case 0: return cpu->cr0;
    case 2: return cpu->cr2;
    case 3: return cpu->cr3;
    case 4: return cpu->cr4;
    case 8: return cpu->bus.cr8_read != NULL ? cpu->bus.cr8_read(cpu->bus.arg) : 0;
    default: cpu_raise_ud(cpu);
    }
}

static void write_cr(CpuState *cpu, unsigned n, uint64_t val)
{
    switch (n) {
    case 0: cpu_write_cr0(cpu, val); break;
    case 2: cpu->cr2 = val; break;
    case 3: cpu_write_cr3(cpu, val); break;
    case 4: cpu_write_cr4(cpu, val); break;
    case 8:
        if (val > 15) {
            cpu_raise_gp(cpu, 0);
        }
        if (cpu->bus.cr8_write != NULL) {
            cpu->bus.cr8_write(cpu->bus.arg, val);
        }
        break;
    default: cpu_raise_ud(cpu);
    }
}

void exec_mov_crdr(CpuState *cpu, const X86Insn *in)
{
    unsigned size = native_size(cpu);
    bool to = in->op[0].kind == OPERAND_CR || in->op[0].kind == OPERAND_DR;
    const X86Operand *special = &in->op[to ? 0 : 1], *gpr = &in->op[to ? 1 : 0];
    bool is_cr = special->kind == OPERAND_CR;

    if (is_cr && special->reg != 0 && (special->reg < 2 || special->reg > 4) && special->reg != 8) {
        cpu_raise_ud(cpu);
    }
    require_cpl0(cpu);
    if (to) {
        uint64_t val = gpr_get(cpu, gpr->reg, size);

        phys_mem_serialize(cpu->mem);
        if (is_cr) {
            write_cr(cpu, special->reg, val);
        } else {
            cpu_write_dr(cpu, special->reg, val);
        }
    } else {
        gpr_put(cpu, gpr->reg, size, is_cr ? read_cr(cpu, special->reg)
                                           : cpu_read_dr(cpu, special->reg));
    }
}

void exec_clts(CpuState *cpu, const X86Insn *in)
{
    require_cpl0(cpu);
    cpu->cr0 &= ~(uint64_t)CR0_TS;
    cpu_update_mode(cpu);
}

/* The low four bits only, and PE cannot be cleared. */
void exec_lmsw(CpuState *cpu, const X86Insn *in)
{
    uint64_t val;

    require_cpl0(cpu);
    val = op_read_sized(cpu, in, 0, 2) & 0xf;
    cpu_write_cr0(cpu, (cpu->cr0 & ~UINT64_C(0xe)) | val);
}

void exec_smsw(CpuState *cpu, const X86Insn *in)
{
    require_umip(cpu);
    op_write_sized(cpu, in, 0, op_is_mem(in, 0) ? 2 : in->op_size, cpu->cr0);
}

/* -- Descriptor tables ------------------------------------------------------------------------------------ */

static void store_table(CpuState *cpu, const X86Insn *in, const DescTable *t)
{
    uint8_t image[10];
    unsigned size = 2 + native_size(cpu);

    require_umip(cpu);
    store_le(image, 2, t->limit);
    store_le(image + 2, 8, t->base);
    mmu_store_bytes(&cpu->mmu, data_class(cpu), insn_lin(cpu, in, size, true), image, size);
}

static void load_table(CpuState *cpu, const X86Insn *in, DescTable *t)
{
    uint8_t image[10] = {0};
    unsigned size = 2 + native_size(cpu);
    uint64_t base;

    require_cpl0(cpu);
    mmu_load_bytes(&cpu->mmu, data_class(cpu), insn_lin(cpu, in, size, false), image, size);
    base = load_le(image + 2, 8);
    if (!cpu_is_long64(cpu) && in->op_size == 2) {
        base &= 0xffffff;
    }
    if (!canonical(base)) {
        cpu_raise_gp(cpu, 0);
    }
    *t = (DescTable){.base = base, .limit = (uint16_t)load_le(image, 2)};
}

void exec_sgdt(CpuState *cpu, const X86Insn *in)
{
    store_table(cpu, in, &cpu->gdtr);
}

void exec_sidt(CpuState *cpu, const X86Insn *in)
{
    store_table(cpu, in, &cpu->idtr);
}

void exec_lgdt(CpuState *cpu, const X86Insn *in)
{
    phys_mem_serialize(cpu->mem);
    load_table(cpu, in, &cpu->gdtr);
}

void exec_lidt(CpuState *cpu, const X86Insn *in)
{
    phys_mem_serialize(cpu->mem);
    load_table(cpu, in, &cpu->idtr);
}

static void store_selector(CpuState *cpu, const X86Insn *in, unsigned seg)
{
    require_protected(cpu);
    require_umip(cpu);
    op_write_sized(cpu, in, 0, op_is_mem(in, 0) ? 2 : in->op_size, cpu->seg[seg].selector);
}

void exec_sldt(CpuState *cpu, const X86Insn *in)
{
    store_selector(cpu, in, SEG_LDTR);
}

void exec_str(CpuState *cpu, const X86Insn *in)
{
    store_selector(cpu, in, SEG_TR);
}

/* The descriptor LLDT and LTR load, in the GDT, of one of the types in the bit set. */
static void read_system_desc(CpuState *cpu, uint16_t selector, unsigned types, Desc *d)
{
    if ((selector & 4) != 0 || !desc_read(cpu, selector, d) || !desc_is_system(d) ||
        (types >> desc_type(d) & 1) == 0 || !desc_read_upper(cpu, d)) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
    if (!desc_present(d)) {
        cpu_raise_code(cpu, EXC_NP, selector_code(selector, 0));
    }
    if (!canonical(desc_base(cpu, d))) {
        cpu_raise_gp(cpu, selector_code(selector, 0));
    }
}

void exec_lldt(CpuState *cpu, const X86Insn *in)
{
    uint16_t selector;
    Desc d;

    require_protected(cpu);
    require_cpl0(cpu);
    phys_mem_serialize(cpu->mem);
    selector = (uint16_t)op_read_sized(cpu, in, 0, 2);
    if (selector_is_null(selector)) {
        cpu->seg[SEG_LDTR] = (Segment){.selector = selector, .attr = SEG_NULL};
        return;
    }
    read_system_desc(cpu, selector, 1u << SYS_LDT, &d);
    cpu->seg[SEG_LDTR] = desc_segment(&d);
    cpu->seg[SEG_LDTR].base = desc_base(cpu, &d);
}

void exec_ltr(CpuState *cpu, const X86Insn *in)
{
    bool lma = (cpu->efer & EFER_LMA) != 0;
    uint16_t selector;
    Desc d;

    require_protected(cpu);
    require_cpl0(cpu);
    phys_mem_serialize(cpu->mem);
    selector = (uint16_t)op_read_sized(cpu, in, 0, 2);
    if (selector_is_null(selector)) {
        cpu_raise_gp(cpu, 0);
    }
    read_system_desc(cpu, selector, 1u << SYS_TSS32 | (lma ? 0 : 1u << SYS_TSS16), &d);
    desc_set_busy(cpu, &d, true);
    cpu->seg[SEG_TR] = desc_segment(&d);
    cpu->seg[SEG_TR].base = desc_base(cpu, &d);
}

/* -- Looking at descriptors --------------------------------------------------------------------------------- */

/* Visible at this CPL and RPL: what LAR, LSL, VERR and VERW ask (SDM 3A 5.10). `system`: bit set of
 * system types that count, 0: none. */
static bool visible(CpuState *cpu, uint16_t selector, unsigned system, Desc *d)
{
    unsigned rpl = selector & 3;

    if (selector_is_null(selector) || !desc_read(cpu, selector, d)) {
        return false;
    }
    if (desc_is_system(d)) {
        if ((system >> desc_type(d) & 1) == 0 || !desc_read_upper(cpu, d)) {
            return false;
        }
    } else if (desc_is_code(d) && (d->hi & SEG_DC) != 0) {
        return true;
    }
    return desc_dpl(d) >= cpu->cpl && desc_dpl(d) >= rpl;
}

static void set_zf(CpuState *cpu, bool on)
{
    flags_put(cpu, FLAG_ZF, on ? FLAG_ZF : 0);
}

void exec_lar(CpuState *cpu, const X86Insn *in)
{
    bool lma = (cpu->efer & EFER_LMA) != 0, ok;
    unsigned types = lma ? 0x1a04 : 0x1a3e; /* long: 2 9 b c; else 1 2 3 4 5 9 b c */
    Desc d;

    require_protected(cpu);
    ok = visible(cpu, (uint16_t)op_read_sized(cpu, in, 1, 2), types, &d);
    if (ok) {
        op_write(cpu, in, 0, d.hi & (in->op[0].size == 2 ? 0xff00 : 0x00f0ff00));
    }
    set_zf(cpu, ok);
}

void exec_lsl(CpuState *cpu, const X86Insn *in)
{
    bool lma = (cpu->efer & EFER_LMA) != 0, ok;
    unsigned types = lma ? 0x0a04 : 0x0a0e; /* long: 2 9 b; else 1 2 3 9 b */
    Desc d;

    require_protected(cpu);
    ok = visible(cpu, (uint16_t)op_read_sized(cpu, in, 1, 2), types, &d);
    if (ok) {
        op_write(cpu, in, 0, desc_segment(&d).limit);
    }
    set_zf(cpu, ok);
}

void exec_verr(CpuState *cpu, const X86Insn *in)
{
    Desc d;

    require_protected(cpu);
    set_zf(cpu, visible(cpu, (uint16_t)op_read_sized(cpu, in, 0, 2), 0, &d) &&
                    (!desc_is_code(&d) || (d.hi & SEG_RW) != 0));
}

void exec_verw(CpuState *cpu, const X86Insn *in)
{
    Desc d;

    require_protected(cpu);
    set_zf(cpu, visible(cpu, (uint16_t)op_read_sized(cpu, in, 0, 2), 0, &d) &&
                    desc_is_writable_data(&d));
}

void exec_arpl(CpuState *cpu, const X86Insn *in)
{
    uint16_t dst, src;

    require_protected(cpu);
    src = (uint16_t)op_read_sized(cpu, in, 1, 2);
    dst = (uint16_t)op_read_sized(cpu, in, 0, 2);
    if ((dst & 3) < (src & 3)) {
        op_write_sized(cpu, in, 0, 2, (dst & 0xfffcu) | (src & 3));
        set_zf(cpu, true);
    } else {
        set_zf(cpu, false);
    }
}

/* -- TLB and caches -------------------------------------------------------------------------------------- */

void exec_invlpg(CpuState *cpu, const X86Insn *in)
{
    bool base = !cpu_is_long64(cpu) || in->mem.seg >= SEG_FS;
    uint64_t lin = insn_ea(cpu, in) + (base ? cpu->seg[in->mem.seg].base : 0);

    require_cpl0(cpu);
    phys_mem_serialize(cpu->mem);
    if (!cpu_is_long64(cpu)) {
        lin = (uint32_t)lin;
    }
    if (canonical(lin)) {
        tlb_flush_page(&cpu->mmu.tlb, guest_lin(lin));
    }
}

void exec_invpcid(CpuState *cpu, const X86Insn *in)
{
    unsigned size = native_size(cpu);
    uint64_t type, desc[2];
    Tlb *tlb = &cpu->mmu.tlb;

    require_cpl0(cpu);
    type = gpr_get(cpu, in->op[0].reg, size);
    mmu_load_bytes(&cpu->mmu, data_class(cpu), insn_lin(cpu, in, 16, false), desc, 16);
    if (type > 3 || (type < 2 && (desc[0] >> 12 != 0 ||
                                  (desc[0] != 0 && (cpu->cr4 & CR4_PCIDE) == 0))) ||
        (type == 0 && !canonical(desc[1]))) {
        cpu_raise_gp(cpu, 0);
    }
    switch (type) {
    case 0: tlb_flush_page(tlb, guest_lin(desc[1])); break;
    case 1: tlb_flush_pcid(tlb, (unsigned)desc[0]); break;
    case 2: tlb_flush_all(tlb); break;
    default: tlb_flush_nonglobal(tlb); break;
    }
}

/* Our caches are the host's, and coherent. */
void exec_wbinvd(CpuState *cpu, const X86Insn *in)
{
    require_cpl0(cpu);
}

/* -- Halting ----------------------------------------------------------------------------------------------- */

_Noreturn static void halt(CpuState *cpu)
{
    cpu->stats[STAT_HALTS]++;
    cpu->activity = CPU_HALTED;
    cpu->rip = cpu->next_rip;
    cpu_unwind(cpu);
}

void exec_hlt(CpuState *cpu, const X86Insn *in)
{
    require_cpl0(cpu);
    halt(cpu);
}

static void require_monitor(CpuState *cpu)
{
    if (cpu->cpl != 0 || (cpu->msr_misc_enable & BIT(18)) == 0) {
        cpu_raise_ud(cpu);
    }
}

void exec_monitor(CpuState *cpu, const X86Insn *in)
{
    uint64_t addr = gpr_get(cpu, GPR_RAX, in->addr_size);
    unsigned seg = in->mem.seg < SEG_COUNT && in->mem.seg != SEG_ES ? in->mem.seg : SEG_DS;
    GuestLin lin;

    require_monitor(cpu);
    if ((uint32_t)cpu->gpr[GPR_RCX] != 0) {
        cpu_raise_gp(cpu, 0);
    }
    lin = seg_linear(cpu, seg, addr, 1, false);
    mmu_probe(&cpu->mmu, data_class(cpu), lin, 1, TLB_LOAD);
    cpu->monitor_addr = lin.v;
    cpu->mwait_armed = true;
}

/*
 * With one CPU nobody but interrupts can end the wait, so it is a halt.  With several, a write by
 * another CPU must end it too, and writes are not watched: the wait ends at once, which the
 * architecture allows at any time (SDM vol. 2 MWAIT).
 */
void exec_mwait(CpuState *cpu, const X86Insn *in)
{
    bool armed = cpu->mwait_armed, even_masked = (cpu->gpr[GPR_RCX] & 1) != 0;

    require_monitor(cpu);
    if ((uint32_t)cpu->gpr[GPR_RCX] > 1) {
        cpu_raise_gp(cpu, 0);
    }
    cpu->mwait_armed = false;
    if (!armed) {
        return;
    }
    if (cpu->n_cpus == 1 && (!even_masked || (cpu->rflags & FLAG_IF) != 0)) {
        halt(cpu);
    }
    sched_yield();
}

/* -- Counters and MSRs ---------------------------------------------------------------------------------------- */

void exec_rdtsc(CpuState *cpu, const X86Insn *in)
{
    if ((cpu->cr4 & CR4_TSD) != 0 && cpu->cpl != 0) {
        cpu_raise_gp(cpu, 0);
    }
    put_pair(cpu, cpu_tsc(cpu));
}

void exec_rdtscp(CpuState *cpu, const X86Insn *in)
{
    exec_rdtsc(cpu, in);
    cpu->gpr[GPR_RCX] = (uint32_t)cpu->msr_tsc_aux;
}

void exec_rdpid(CpuState *cpu, const X86Insn *in)
{
    gpr_put(cpu, in->op[0].reg, native_size(cpu), (uint32_t)cpu->msr_tsc_aux);
}

/* CPUID 0AH offers no counters: every index is invalid. */
void exec_rdpmc(CpuState *cpu, const X86Insn *in)
{
    cpu_raise_gp(cpu, 0);
}

void exec_rdmsr(CpuState *cpu, const X86Insn *in)
{
    uint64_t val;

    require_cpl0(cpu);
    if (!cpu_msr_read(cpu, (uint32_t)cpu->gpr[GPR_RCX], &val)) {
        cpu_raise_gp(cpu, 0);
    }
    put_pair(cpu, val);
}

void exec_wrmsr(CpuState *cpu, const X86Insn *in)
{
    require_cpl0(cpu);
    phys_mem_serialize(cpu->mem);
    if (!cpu_msr_write(cpu, (uint32_t)cpu->gpr[GPR_RCX], get_pair(cpu))) {
        cpu_raise_gp(cpu, 0);
    }
}

/* -- Hypercalls ------------------------------------------------------------------------------------------------ */

/* KVM takes the instructions of both vendors, from any ring (and refuses the call from rings above 0). */
void exec_hypercall(CpuState *cpu, const X86Insn *in)
{
    if (cpu->pv.hypercall == NULL || !cpu_model_is_kvm(cpu->model)) {
        cpu_raise_ud(cpu);
    }
    cpu->pv.hypercall(cpu->pv.arg, cpu);
}

/* -- XCR0, PKRU ------------------------------------------------------------------------------------------------ */

void exec_xgetbv(CpuState *cpu, const X86Insn *in)
{
    uint32_t index = (uint32_t)cpu->gpr[GPR_RCX];

    if ((cpu->cr4 & CR4_OSXSAVE) == 0) {
        cpu_raise_ud(cpu);
    }
    if (index > 1 || (index == 1 && !cpu_model_has(cpu->model, FEAT_XGETBV1))) {
        cpu_raise_gp(cpu, 0);
    }
    put_pair(cpu, index == 0 ? cpu->vec.xcr0 : cpu->vec.xcr0 & cpu_xinuse(cpu));
}

/* SDM vol. 1, 13.3. */
static bool xcr0_allowed(const CpuState *cpu, uint64_t val)
{
    uint64_t avx512 = val & XCR0_AVX512;

    return (val & XCR0_X87) != 0 && (val & ~cpu_model_xcr0(cpu->model)) == 0 &&
           ((val & XCR0_AVX) == 0 || (val & XCR0_SSE) != 0) &&
           (avx512 == 0 || (avx512 == XCR0_AVX512 && (val & XCR0_AVX) != 0));
}

void exec_xsetbv(CpuState *cpu, const X86Insn *in)
{
    uint64_t val = get_pair(cpu);

    if ((cpu->cr4 & CR4_OSXSAVE) == 0) {
        cpu_raise_ud(cpu);
    }
    require_cpl0(cpu);
    if ((uint32_t)cpu->gpr[GPR_RCX] != 0 || !xcr0_allowed(cpu, val)) {
        cpu_raise_gp(cpu, 0);
    }
    cpu->vec.xcr0 = val;
    cpu->cpuid_changes++;
    cpu_update_mode(cpu);
}

static void require_pke(CpuState *cpu)
{
    if ((cpu->cr4 & CR4_PKE) == 0) {
        cpu_raise_ud(cpu);
    }
    if ((uint32_t)cpu->gpr[GPR_RCX] != 0) {
        cpu_raise_gp(cpu, 0);
    }
}

void exec_rdpkru(CpuState *cpu, const X86Insn *in)
{
    require_pke(cpu);
    put_pair(cpu, cpu->vec.pkru);
}

void exec_wrpkru(CpuState *cpu, const X86Insn *in)
{
    require_pke(cpu);
    if ((uint32_t)cpu->gpr[GPR_RDX] != 0) {
        cpu_raise_gp(cpu, 0);
    }
    cpu_write_pkru(cpu, (uint32_t)cpu->gpr[GPR_RAX]);
}
