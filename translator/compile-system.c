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
void gen_out_if_pending(Gen *g, unsigned t, TransHelper helper)
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
        gen_out_if_pending(g, t, HELPER_INTERP);
    }
    emit_fs_store_imm8(g->e, gen_field(g, VCB_VIF), FLAG_IF >> 8);
}

/* The software TLB's class becomes that of the three fields at `from`. */
void gen_tlb_class(Gen *g, unsigned t, int from)
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
void gen_rflags(Gen *g, unsigned t, unsigned u)
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
    gen_out_if_pending(g, u, HELPER_INTERP);
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

/* -- CPUID and others ---------------------------------------------------------------------------- */

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
