/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sequences for what a kernel does all the time.  They work on the vCPU block alone, whose system
 * state the border takes home; privilege and the rest of what they depend on is in the block's
 * environment.
 */
#include "translator/compile-internal.h"

/* RFLAGS bits that popf must find clear to be a sequence (all are, in an environment that is not odd). */
enum { POPF_ODD = FLAG_TF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_ID };

/* Is something pending that setting IF would let in?  Then out, before anything has changed. */
static void out_if_pending(Gen *g, unsigned t, TransHelper helper)
{
    emit_fs_load(g->e, t, gen_field(g, VCB_REQUESTS));
    emit_cmp32_mem_0(g->e, t);
    gen_slow_jcc(g, CC_NE, helper);
}

/* Likewise, without touching flags: rcx serves. */
static void out_if_pending_quietly(Gen *g, unsigned t, TransHelper helper)
{
    bool lent = (g->borrowed & 1u << GPR_RCX) == 0 && (g->p->regs & 1u << GPR_RCX) != 0;
    unsigned keeper = lent ? gen_scratch(g, 1) : GPR_RCX; /* of the guest's rcx */
    uint8_t *none;

    gen_borrow(g, GPR_RCX);
    if (lent) {
        emit_mov_rr(g->e, keeper, GPR_RCX);
    }
    emit_fs_load(g->e, t, gen_field(g, VCB_REQUESTS));
    emit_load32(g->e, GPR_RCX, t, 0);
    none = emit_jrcxz(g->e);
    gen_slow_jmp(g, helper);
    emit_patch8(g->e, none);
    if (lent) {
        emit_mov_rr(g->e, GPR_RCX, keeper);
        g->borrowed &= (uint16_t)~(1u << GPR_RCX);
        gen_mark(g);
    }
}

static void gen_sti(Gen *g)
{
    unsigned t = gen_scratch(g, 0);

    if (gen_flags_matter(g)) {
        out_if_pending_quietly(g, t, HELPER_INTERP);
    } else {
        gen_free_flags(g);
        out_if_pending(g, t, HELPER_INTERP);
    }
    emit_fs_store_imm8(g->e, gen_field(g, VCB_VIF), FLAG_IF >> 8);
}

/* The software TLB's class becomes that of the three fields at `from`. */
static void gen_tlb_class(Gen *g, unsigned t, int from)
{
    static const int to[3] = {VCB_TLB_MASK, VCB_TLB_ENTRY, VCB_TLB_SPACE};

    for (int i = 0; i < 3; i++) {
        emit_fs_load(g->e, t, gen_field(g, from + 8 * i));
        emit_fs_store(g->e, gen_field(g, to[i]), t);
    }
}

/* AC, and with SMAP the software TLB's class. */
static void gen_ac(Gen *g, bool on)
{
    if (g->p->env & ENV_SMAP) {
        gen_tlb_class(g, gen_scratch(g, 0), VCB_KERNEL_TLB + 24 * on);
    }
    emit_fs_store_imm8(g->e, gen_field(g, VCB_VAC), on ? FLAG_AC >> 16 : 0);
}

static void gen_swapgs(Gen *g)
{
    unsigned t = gen_scratch(g, 0), u = gen_scratch(g, 1);

    emit_fs_load(g->e, t, gen_field(g, VCB_GS_BASE));
    emit_fs_load(g->e, u, gen_field(g, VCB_KERNEL_GS_BASE));
    emit_fs_store(g->e, gen_field(g, VCB_SWAP_TMP), u);
    emit_fs_store(g->e, gen_field(g, VCB_KERNEL_GS_BASE), t);
    g->bits |= MARK_SWAPGS;
    gen_mark(g);
    emit_fs_store(g->e, gen_field(g, VCB_GS_BASE), u);
    g->bits &= (uint8_t)~MARK_SWAPGS;
}

/*
 * t = RFLAGS, whose arithmetic flags are in the slot; u is clobbered:
 * t = byte [flags_slot + 1] (SF ZF AF PF 1 CF as lahf has them) | OF << 11 | IF | AC | the others
 */
static void gen_rflags(Gen *g, unsigned t, unsigned u)
{
    emit_fs_load8(g->e, t, gen_field(g, VCB_FLAGS_SLOT + 1));
    emit_and32_ri(g->e, t, FLAGS_ARITH & 0xff);
    emit_fs_load8(g->e, u, gen_field(g, VCB_FLAGS_SLOT));
    emit_shift_ri(g->e, SHIFT_SHL, u, 11);
    emit_or_rr(g->e, t, u);
    emit_fs_load8(g->e, u, gen_field(g, VCB_VIF));
    emit_shift_ri(g->e, SHIFT_SHL, u, 8);
    emit_or_rr(g->e, t, u);
    emit_fs_load8(g->e, u, gen_field(g, VCB_VAC));
    emit_shift_ri(g->e, SHIFT_SHL, u, 16);
    emit_or_rr(g->e, t, u);
    emit_fs_op(g->e, 0x0b, t, gen_field(g, VCB_SYS_FLAGS));
}

/* t += the byte at `field`, shifted. */
static void add_flag(Gen *g, unsigned t, unsigned u, int field, unsigned shift)
{
    emit_fs_load8(g->e, u, gen_field(g, field));
    emit_rorx(g->e, u, u, 64 - shift);
    emit_lea_sum(g->e, t, t, u);
}

/* In the window, where nothing is looked up, the flags stay in the host. */
static void gen_pushf_quietly(Gen *g)
{
    unsigned a = gen_scratch(g, 0), t = gen_scratch(g, 1), u = gen_scratch(g, 2);
    int32_t word = (int32_t)gen_word(g);
    Emit *e = g->e;

    gen_take_rax(g);
    emit_bytes(e, "\x9f\x0f\x90\xc0", 4); /* lahf; seto al */
    emit_movzx8(e, a, GPR_RAX);
    emit_rorx(e, a, a, 64 - 11);
    emit_rorx(e, t, GPR_RAX, 8);
    gen_return_rax(g);
    emit_movzx8(e, t, t);
    emit_lea_sum(e, t, t, a);
    add_flag(g, t, u, VCB_VIF, 8);
    add_flag(g, t, u, VCB_VAC, 16);
    emit_fs_load(e, u, gen_field(g, VCB_SYS_FLAGS));
    emit_lea_full(e, t, t, u, 0, -FLAG_FIXED); /* which is in both */
    gen_word_lea(g, a, GPR_RSP, -word);
    gen_word_store(g, a, t);
    gen_word_lea(g, GPR_RSP, GPR_RSP, -word);
}

/* a = host address of the slot, t = RFLAGS */
static void gen_pushf(Gen *g)
{
    int32_t word = (int32_t)gen_word(g);
    unsigned a, t, u;

    if (gen_in_window(g) && g->flags == FLAGS_IN_HOST) {
        gen_pushf_quietly(g);
        return;
    }
    gen_free_flags(g);
    a = gen_stack(g, GPR_RSP, -word, true);
    t = gen_scratch(g, 1);
    u = gen_scratch(g, 2);
    gen_rflags(g, t, u);
    gen_word_store(g, a, t);
    gen_word_lea(g, GPR_RSP, GPR_RSP, -word);
}

/*
 * Leaves for the interpreter when the popped value sets something unusual, AC is set, or IF becomes set
 * with something pending.  May be done twice up to its last instruction, which moves rsp.
 */
static void gen_popf(Gen *g)
{
    unsigned a, t, u;
    uint8_t *no_if;

    gen_free_flags(g);
    a = gen_stack(g, GPR_RSP, 0, false);
    t = gen_scratch(g, 1);
    u = gen_scratch(g, 2);

    gen_word_load(g, t, a);
    emit_test_ri(g->e, t, POPF_ODD);
    gen_slow_jcc(g, CC_NE, HELPER_INTERP);
    emit_fs_cmp8_0(g->e, gen_field(g, VCB_VAC));
    gen_slow_jcc(g, CC_NE, HELPER_INTERP);
    emit_test_ri(g->e, t, FLAG_IF);
    no_if = emit_jcc(g->e, CC_E, emit_here(g->e));
    out_if_pending(g, u, HELPER_INTERP);
    emit_patch32(g->e, no_if);
    emit_mov_rr(g->e, u, t);
    emit_shr_ri(g->e, u, 11);
    emit_and32_ri(g->e, u, 1);
    emit_mov_rr(g->e, a, t);
    emit_shift_ri(g->e, SHIFT_SHL, a, 8);
    emit_and32_ri(g->e, a, (FLAGS_ARITH & 0xff) << 8);
    emit_or_rr(g->e, u, a);
    emit_fs_store32(g->e, gen_field(g, VCB_FLAGS_SLOT), u);
    emit_shr_ri(g->e, t, 8);
    emit_and32_ri(g->e, t, FLAG_IF >> 8);
    emit_fs_store8(g->e, gen_field(g, VCB_VIF), t);
    gen_word_lea(g, GPR_RSP, GPR_RSP, (int32_t)gen_word(g));
    g->flags = FLAGS_IN_SLOT;
}

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

static void gen_cpu_load32(Gen *g, unsigned reg, size_t field)
{
    emit_load32(g->e, reg, gen_cpu(g), (int32_t)field);
}

static void gen_read_cr8(Gen *g, unsigned reg);

static void gen_read_cr(Gen *g, unsigned reg)
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

static void gen_msr(Gen *g, bool write)
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

/* -- CR8, CPUID -------------------------------------------------------------------------------- */

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
static void gen_write_cr8(Gen *g)
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

/*
 * By the table that the helper fills.  t = subleaf << 32 | leaf; u = 32 * index.  eax and ecx are what a second try
 * would look at: eax waits in rax_tmp while ecx, by its last write, makes the instruction complete.
 */
static void gen_cpuid(Gen *g)
{
    unsigned t = gen_scratch(g, 0), u = gen_scratch(g, 1), v = gen_scratch(g, 2);
    const int regs = VCB_CPUID + (int)offsetof(CpuidEntry, regs);
    Emit *e = g->e;

    gen_free_flags(g);
    emit_mov32_rr(e, u, GPR_RAX);
    emit_mov_rr(e, t, u);
    emit_shr_ri(e, t, 28);
    emit_lea_sum(e, t, t, u);
    emit_lea_sum(e, t, t, GPR_RCX);
    emit_and32_ri(e, t, CPUID_ENTRIES - 1);
    emit_shift_ri(e, SHIFT_SHL, t, 5);
    emit_mov_rr(e, v, GPR_RCX);
    emit_shift_ri(e, SHIFT_SHL, v, 32);
    emit_or_rr(e, u, v);
    emit_fs_op_at(e, 0x3b, u, gen_field(g, VCB_CPUID), t); /* cmp */
    gen_slow_jcc(g, CC_NE, HELPER_CPUID);
    emit_fs_load32_at(e, u, gen_field(g, regs), t);
    emit_fs_store(e, gen_field(g, VCB_RAX_TMP), u);
    emit_fs_load32_at(e, GPR_RBX, gen_field(g, regs + 4), t);
    emit_fs_load32_at(e, GPR_RDX, gen_field(g, regs + 12), t);
    emit_fs_load32_at(e, GPR_RCX, gen_field(g, regs + 8), t);
    g->bits |= MARK_RAX_TMP;
    gen_mark_done(g);
    emit_mov_rr(e, GPR_RAX, u);
    g->bits &= (uint8_t)~MARK_RAX_TMP;
}

/* Nothing to do where CR0.TS is clear already, as mostly.  Else the environment changes. */
static void gen_clts(Gen *g)
{
    unsigned t = gen_scratch(g, 0);

    gen_free_flags(g);
    gen_cpu_load32(g, t, offsetof(CpuState, cr0));
    emit_test_ri(g->e, t, CR0_TS);
    gen_slow_jcc(g, CC_NE, HELPER_SYSTEM);
}

static void gen_xgetbv(Gen *g)
{
    gen_free_flags(g);
    emit_test_ri(g->e, GPR_RCX, UINT32_MAX);
    gen_slow_jcc(g, CC_NE, HELPER_EXEC);
    gen_cpu_load32(g, GPR_RAX, offsetof(CpuState, vec.xcr0));
    gen_cpu_load32(g, GPR_RDX, offsetof(CpuState, vec.xcr0) + 4);
}

/*
 * VERW of a writable data segment in the GDT with RPL 0, at CPL 0 (Linux's way to clear buffers): sets ZF.
 * The descriptor is read as the system does: with AC set that is not the present TLB class.
 */
static void gen_verw(Gen *g)
{
    const uint32_t kind = SEG_S | SEG_CODE | SEG_RW;
    unsigned a, t, u;
    Emit *e = g->e;

    gen_free_flags(g);
    a = gen_operand_address(g);
    t = gen_scratch(g, 1);
    u = gen_scratch(g, 2);
    emit_fs_cmp8_0(e, gen_field(g, VCB_VAC));
    gen_slow_jcc(g, CC_NE, HELPER_EXEC);
    gen_window_prefix(g);
    emit_load16(e, a, a, 0);
    emit_test_ri(e, a, 7);
    gen_slow_jcc(g, CC_NE, HELPER_EXEC);
    emit_fs_load(e, t, gen_field(g, VCB_CPU));
    emit_load16(e, u, t, (int32_t)offsetof(CpuState, gdtr.limit));
    emit_lea(e, u, u, -7);
    emit_cmp_rr(e, a, u);
    gen_slow_jcc(g, CC_G, HELPER_EXEC);
    emit_test_ri(e, a, UINT32_MAX);
    gen_slow_jcc(g, CC_E, HELPER_EXEC);
    emit_op_load(e, 0x03, a, t, (int32_t)offsetof(CpuState, gdtr.base));
    gen_tlb(g, a, t, u, 8, false);
    emit_load32(e, t, a, 4);
    emit_and32_ri(e, t, kind);
    emit_cmp32_ri(e, t, SEG_S | SEG_RW);
    gen_slow_jcc(g, CC_NE, HELPER_EXEC);
    emit_fs_or8_imm(e, gen_field(g, VCB_FLAGS_SLOT + 1), FLAG_ZF);
    g->flags = FLAGS_IN_SLOT;
}

/* rdtsc; rax = rdx:rax + offset; rdx = rax >> 32; eax.  The host's rdtscp waits as the guest's is to. */
static void gen_rdtsc(Gen *g, bool with_aux)
{
    gen_free_flags(g);
    if (with_aux) {
        emit_bytes(g->e, "\x0f\x01\xf9", 3);
        gen_cpu_load32(g, GPR_RCX, offsetof(CpuState, msr_tsc_aux));
    } else {
        emit_bytes(g->e, "\x0f\x31", 2);
    }
    emit_shift_ri(g->e, SHIFT_SHL, GPR_RDX, 32);
    emit_or_rr(g->e, GPR_RAX, GPR_RDX);
    emit_fs_op(g->e, 0x03, GPR_RAX, gen_field(g, VCB_TSC_OFFSET));
    emit_mov_rr(g->e, GPR_RDX, GPR_RAX);
    emit_shr_ri(g->e, GPR_RDX, 32);
    emit_bytes(g->e, "\x89\xc0", 2); /* mov eax, eax */
}

/*
 * announced[n & 63] = address; n++.  Flags stay.
 *
 *   movzx t, byte [n]; mov [announced + t], a; mov t, [n]; lea t, [t + 4]; mov [n], t
 */
static void gen_announce(Gen *g)
{
    unsigned a = gen_operand_linear(g), t = gen_scratch(g, 1);

    emit_fs_load8(g->e, t, gen_field(g, VCB_N_ANNOUNCED));
    emit_fs_store32_at(g->e, gen_field(g, VCB_ANNOUNCED), t, a);
    emit_fs_load32(g->e, t, gen_field(g, VCB_N_ANNOUNCED));
    emit_lea32(g->e, t, t, 4);
    emit_fs_store32(g->e, gen_field(g, VCB_N_ANNOUNCED), t);
}

/*
 * A call of a paravirtual ROM (CpuPv.call_apic_write): writing the local APIC's EOI register, when nobody else waits for it.
 * All others are the helper's, and where port accesses are watched.
 */
static void gen_pv_call(Gen *g)
{
    enum { EOI = 0xb0, REGISTERS = 0xff0, XAPIC = 1 };
    unsigned v = gen_scratch(g, 0), t = gen_scratch(g, 1);
    Emit *e = g->e;

    gen_free_flags(g);
    emit_fs_load(e, v, gen_field(g, VCB_CPU));
    emit_load32(e, t, v, (int32_t)offsetof(CpuState, pv.call_apic_write));
    emit_cmp32_ri(e, t, 0);
    gen_slow_jcc(g, CC_E, HELPER_PORT);
    emit_cmp_rr(e, t, GPR_RBX);
    gen_slow_jcc(g, CC_NE, HELPER_PORT);
    emit_mov32_rr(e, t, GPR_RAX);
    emit_and32_ri(e, t, REGISTERS);
    emit_cmp32_ri(e, t, EOI);
    gen_slow_jcc(g, CC_NE, HELPER_PORT);
    emit_cmp8_mem(e, v, (int32_t)offsetof(CpuState, dr[7]), 0);
    gen_slow_jcc(g, CC_NE, HELPER_PORT);
    emit_cmp8_mem(e, v, (int32_t)offsetof(CpuState, apic_mode), XAPIC);
    gen_slow_jcc(g, CC_NE, HELPER_PORT);
    emit_cmp8_mem(e, v, (int32_t)offsetof(CpuState, apic_eoi), 0);
    gen_slow_jcc(g, CC_E, HELPER_PORT);
    emit_store8_imm(e, v, (int32_t)offsetof(CpuState, apic_eoi), 0);
}

static void gen_write_base(Gen *g, int field)
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

/* -- Transitions ------------------------------------------------------------------------------- */

/* RFLAGS bits that sysret must find clear in R11 to be a sequence. */
enum { SYSRET_ODD = FLAG_TF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_AC | FLAG_VIF | FLAG_VIP | FLAG_ID };

/*
 * The transition is certain: t = block of guest address `rip`.  From here on nothing can fault or has to be
 * undone, and who wants us out (a kick) finds us where we arrive.
 */
static void gen_transit(Gen *g, unsigned t, unsigned rip)
{
    emit_fs_store(g->e, gen_field(g, VCB_RESUME), t);
    emit_fs_store(g->e, gen_field(g, VCB_RIP), rip);
    g->bits |= MARK_TRANSIT;
    gen_mark(g);
}

/* To the other side: privilege, TLB class, jump cache's key; AC is clear there.  t is clobbered. */
static void gen_cross(Gen *g, unsigned t, uint8_t crossed, int tlb, int key)
{
    emit_fs_store_imm8(g->e, gen_field(g, VCB_VAC), 0);
    emit_fs_store_imm8(g->e, gen_field(g, VCB_CROSSED), crossed);
    gen_tlb_class(g, t, tlb);
    emit_fs_load(g->e, t, gen_field(g, key));
    emit_fs_store(g->e, gen_field(g, VCB_JC_KEY), t);
}

static void gen_arrive(Gen *g)
{
    gen_give_back(g);
    g->borrowed = g->own;
    g->flags = FLAGS_IN_HOST;
    emit_fs_jmp(g->e, gen_field(g, VCB_RESUME));
    g->bits &= (uint8_t)~MARK_TRANSIT;
}

static void put_rax_aside(Gen *g)
{
    if ((g->borrowed & 1u << GPR_RAX) == 0) {
        emit_fs_store(g->e, gen_field(g, VCB_RAX_TMP), GPR_RAX);
    }
}

static void take_rax_back(Gen *g)
{
    if ((g->borrowed & 1u << GPR_RAX) == 0) {
        emit_fs_load(g->e, GPR_RAX, gen_field(g, VCB_RAX_TMP));
    }
}

/*
 * SYSCALL in 64-bit code at CPL 3.  The block of LSTAR is in the jump cache under the kernel's key, or
 * out to the helper, and so with AC set.  syscall_tag says whether SCE is set.  rcx and r11 serve until they
 * get what the guest is to find there.
 */
static void gen_syscall(Gen *g)
{
    Emit *e = g->e;

    gen_free_flags(g);
    gen_borrow(g, GPR_RCX);
    gen_borrow(g, GPR_R11);
    emit_fs_load(e, GPR_RCX, gen_field(g, VCB_SYSCALL_SLOT));
    emit_fs_load_indexed(e, GPR_R11, gen_field(g, VCB_JC_NTAG), GPR_RCX);
    emit_fs_op(e, 0x03, GPR_R11, gen_field(g, VCB_SYSCALL_TAG));
    gen_slow_jcc(g, CC_NE, HELPER_SYSCALL);
    emit_fs_cmp8_0(e, gen_field(g, VCB_VAC));
    gen_slow_jcc(g, CC_NE, HELPER_SYSCALL);
    emit_fs_load_indexed(e, GPR_RCX, gen_field(g, VCB_JC_CODE), GPR_RCX);
    emit_fs_load(e, GPR_R11, gen_field(g, VCB_SYSCALL_RIP));
    gen_transit(g, GPR_RCX, GPR_R11);
    gen_rflags(g, GPR_R11, GPR_RCX);
    emit_fs_load8(e, GPR_RCX, gen_field(g, VCB_VIF));
    emit_fs_op(e, 0x23, GPR_RCX, gen_field(g, VCB_SYSCALL_KEEP_IF));
    emit_fs_store8(e, gen_field(g, VCB_VIF), GPR_RCX);
    emit_fs_add1(e, gen_field(g, VCB_N_SYSCALLS));
    gen_cross(g, GPR_RCX, CROSSED_SYSCALL, VCB_KERNEL_TLB, VCB_KEY_KERNEL);
    put_rax_aside(g);
    emit_fs_load(e, GPR_RAX, gen_field(g, VCB_FLAGS_SLOT));
    emit_fs_op(e, 0x23, GPR_RAX, gen_field(g, VCB_SYSCALL_KEEP));
    emit_flags_from_rax(e);
    take_rax_back(g);
    g->borrowed &= (uint16_t)~(1u << GPR_RCX | 1u << GPR_R11);
    gen_address(g, GPR_RCX, gen_rip_at(g, g->in->off + g->in->len), true);
    gen_arrive(g);
}

/* SYSRET to 64-bit code: to rcx with the RFLAGS in r11. */
static void gen_sysret(Gen *g)
{
    unsigned t = gen_scratch(g, 0), u = gen_scratch(g, 1);
    Emit *e = g->e;
    uint8_t *no_if;

    gen_free_flags(g);
    emit_mov_rr(e, t, GPR_RCX);
    emit_shift_ri(e, SHIFT_SHL, t, 16);
    emit_shift_ri(e, SHIFT_SAR, t, 16);
    emit_cmp_rr(e, t, GPR_RCX);
    gen_slow_jcc(g, CC_NE, HELPER_SYSRET); /* not canonical */
    emit_test_ri(e, GPR_R11, SYSRET_ODD);
    gen_slow_jcc(g, CC_NE, HELPER_SYSRET);
    emit_fs_cmp8_0(e, gen_field(g, VCB_WATCH_USER));
    gen_slow_jcc(g, CC_NE, HELPER_SYSRET);
    emit_test_ri(e, GPR_R11, FLAG_IF);
    no_if = emit_jcc(e, CC_E, emit_here(e));
    out_if_pending(g, t, HELPER_SYSRET);
    emit_patch32(e, no_if);
    emit_fs_pext(e, t, GPR_RCX, gen_field(g, VCB_JC_MASK));
    emit_fs_load_indexed(e, u, gen_field(g, VCB_JC_NTAG), t);
    emit_fs_op(e, 0x03, u, gen_field(g, VCB_KEY_USER));
    emit_add_rr(e, u, GPR_RCX);
    gen_slow_jcc(g, CC_NE, HELPER_SYSRET);
    emit_fs_load_indexed(e, t, gen_field(g, VCB_JC_CODE), t);
    gen_transit(g, t, GPR_RCX);
    emit_fs_store(e, gen_field(g, VCB_HERE), GPR_RCX);
    emit_mov_rr(e, t, GPR_R11);
    emit_shr_ri(e, t, 8);
    emit_and32_ri(e, t, FLAG_IF >> 8);
    emit_fs_store8(e, gen_field(g, VCB_VIF), t);
    gen_cross(g, t, CROSSED_SYSRET, VCB_USER_TLB, VCB_KEY_USER);
    put_rax_aside(g);
    emit_mov_rr(e, t, GPR_R11);
    emit_shr_ri(e, t, 11);
    emit_and32_ri(e, t, 1);
    emit_mov_rr(e, GPR_RAX, GPR_R11);
    emit_and32_ri(e, GPR_RAX, FLAGS_ARITH & 0xff);
    emit_shift_ri(e, SHIFT_SHL, GPR_RAX, 8);
    emit_or_rr(e, GPR_RAX, t);
    emit_flags_from_rax(e);
    take_rax_back(g);
    gen_arrive(g);
}

/* -- Helpers ----------------------------------------------------------------------------------- */

void gen_helper_end(Gen *g)
{
    bool sequence = g->p->config->transitions && !g->p->code32 && (g->p->env & ENV_ODD) == 0;

    if (sequence && g->in->helper == HELPER_SYSCALL && (g->p->env & ENV_CPL3) != 0) {
        gen_syscall(g);
    } else if (sequence && g->in->helper == HELPER_SYSRET) {
        gen_sysret(g);
    } else {
        gen_slow_jmp(g, (TransHelper)g->in->helper);
    }
}

/* Atomic, or a bit in memory by a number in a register: the window serves them as they are. */
static bool is_for_window(const PlanInsn *in)
{
    switch (in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_BT: case ZYDIS_MNEMONIC_BTC: case ZYDIS_MNEMONIC_BTR: case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_CMPXCHG8B: case ZYDIS_MNEMONIC_CMPXCHG16B:
        return in->helper == HELPER_EXEC;
    default:
        return false;
    }
}

void gen_helper(Gen *g)
{
    Site *s;

    if (is_for_window(g->in) && gen_mem_in_window(g)) {
        return;
    }
    if (g->in->helper == HELPER_DEVICE) {
        gen_device(g);
        return;
    }
    if (g->in->helper == HELPER_INVLPG) {
        unsigned a = gen_operand_linear(g);
        s = gen_slow_jmp(g, HELPER_INVLPG);
        s->reg = (uint8_t)a;
        gen_helped(g, HELPER_INVLPG);
        return;
    }
    if (g->in->helper == HELPER_STRING) {
        gen_string(g);
        return;
    }
    gen_slow_jmp(g, (TransHelper)g->in->helper);
    gen_helped(g, (TransHelper)g->in->helper);
}

/*
 * PAUSE: who waits in a loop, perhaps without indirect branches, looks whether somebody asks for this CPU
 * (signals_request()), which saves both a signal, and now and then lets the host run somebody else (cpu_spins()).  Flags are
 * left alone:
 *
 *      pause; mov [saved rcx], rcx
 *      mov rcx, [pauses]; lea rcx, [rcx-1]; mov [pauses], rcx; jrcxz 1f
 *      mov rcx, [jc_mask]; jrcxz 1f
 *      jmp 2f
 *   1: jmp slow
 *   2: mov rcx, [saved rcx]
 */
static void gen_pause(Gen *g)
{
    const TransConfig *config = g->p->config;
    const uint16_t was = g->borrowed;
    uint8_t *tired = NULL, *asked = NULL, *over;
    Site *s;

    emit_bytes(g->e, "\xf3\x90", 2);
    if (config->ask_ns == 0 && config->pause_yield == 0) {
        return;
    }
    gen_borrow(g, GPR_RCX);
    if (config->pause_yield != 0) {
        emit_fs_load(g->e, GPR_RCX, gen_field(g, VCB_PAUSES));
        emit_lea(g->e, GPR_RCX, GPR_RCX, -1);
        emit_fs_store(g->e, gen_field(g, VCB_PAUSES), GPR_RCX);
        tired = emit_jrcxz(g->e);
    }
    if (config->ask_ns != 0) {
        emit_fs_load(g->e, GPR_RCX, gen_field(g, VCB_JC_MASK));
        asked = emit_jrcxz(g->e);
    }
    over = emit_jmp(g->e, emit_here(g->e));
    if (tired != NULL) {
        emit_patch8(g->e, tired);
    }
    if (asked != NULL) {
        emit_patch8(g->e, asked);
    }
    s = gen_slow_jmp(g, HELPER_PAUSE);
    emit_patch32(g->e, over);
    s->hit_off = (uint16_t)emit_offset(g->e);
    if (was != g->borrowed) {
        emit_fs_load(g->e, GPR_RCX, gen_saved_slot(g, GPR_RCX));
    }
    g->borrowed = was;
    gen_mark(g);
}

void gen_system(Gen *g)
{
    bool general = g->in->op[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                   g->in->op[0].reg.value != ZYDIS_REGISTER_CR8;
    unsigned reg = general ? gen_reg_of(g->in->op[0].reg.value) : 0;

    switch (g->in->zi.mnemonic) {
    case ZYDIS_MNEMONIC_CLI:
        emit_fs_store_imm8(g->e, gen_field(g, VCB_VIF), 0);
        break;
    case ZYDIS_MNEMONIC_STI: gen_sti(g); break;
    case ZYDIS_MNEMONIC_STAC: gen_ac(g, true); break;
    case ZYDIS_MNEMONIC_CLAC: gen_ac(g, false); break;
    case ZYDIS_MNEMONIC_PUSHFQ: case ZYDIS_MNEMONIC_PUSHFD: gen_pushf(g); break;
    case ZYDIS_MNEMONIC_POPFQ: case ZYDIS_MNEMONIC_POPFD: gen_popf(g); break;
    case ZYDIS_MNEMONIC_CLD: break;
    case ZYDIS_MNEMONIC_PAUSE: gen_pause(g); break;
    case ZYDIS_MNEMONIC_PREFETCHWT1: gen_announce(g); break;
    case ZYDIS_MNEMONIC_OUT: gen_pv_call(g); break;
    case ZYDIS_MNEMONIC_SWAPGS: gen_swapgs(g); break;
    case ZYDIS_MNEMONIC_RDTSC: gen_rdtsc(g, false); break;
    case ZYDIS_MNEMONIC_RDTSCP: gen_rdtsc(g, true); break;
    case ZYDIS_MNEMONIC_RDPID:
        gen_cpu_load32(g, reg, offsetof(CpuState, msr_tsc_aux));
        break;
    case ZYDIS_MNEMONIC_RDMSR: gen_msr(g, false); break;
    case ZYDIS_MNEMONIC_WRMSR: gen_msr(g, true); break;
    case ZYDIS_MNEMONIC_CPUID: gen_cpuid(g); break;
    case ZYDIS_MNEMONIC_XGETBV: gen_xgetbv(g); break;
    case ZYDIS_MNEMONIC_CLTS: gen_clts(g); break;
    case ZYDIS_MNEMONIC_VERW: gen_verw(g); break;
    case ZYDIS_MNEMONIC_MOV:
        if (g->in->op[0].reg.value == ZYDIS_REGISTER_CR8) {
            gen_write_cr8(g);
        } else {
            gen_read_cr(g, reg);
        }
        break;
    case ZYDIS_MNEMONIC_RDFSBASE: emit_fs_load(g->e, reg, gen_field(g, VCB_FS_BASE)); break;
    case ZYDIS_MNEMONIC_RDGSBASE: emit_fs_load(g->e, reg, gen_field(g, VCB_GS_BASE)); break;
    case ZYDIS_MNEMONIC_WRFSBASE: gen_write_base(g, VCB_FS_BASE); break;
    case ZYDIS_MNEMONIC_WRGSBASE: gen_write_base(g, VCB_GS_BASE); break;
    default: g_assert_not_reached();
    }
}
