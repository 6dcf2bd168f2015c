/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 and MMX: the state of VectorState.fx, last-instruction pointers, pending exceptions, and the
 * environment instructions, whose memory forms follow mode and operand size (SDM vol. 1 8.1.10).
 *
 * Selectors of the last instruction and operand are not kept: as on processors that say so in
 * CPUID.(EAX=7,ECX=0):EBX[13], they are stored as 0.
 */
#include "cpu-x86/vector-internal.h"

#include "softmmu/base/bits.h"

#include <signal.h>

static uint16_t fx16(const CpuState *cpu, unsigned at)
{
    return (uint16_t)load_le(cpu->vec.fx + at, 2);
}

static void fx_put(CpuState *cpu, unsigned at, unsigned size, uint64_t v)
{
    store_le(cpu->vec.fx + at, size, v);
}

/* -- Exceptions ---------------------------------------------------------------------------------------- */

static bool pending(const CpuState *cpu)
{
    return (fx16(cpu, FX_FSW) & FSW_ES) != 0;
}

void vec_x87_pending(CpuState *cpu)
{
    if ((cpu->cr0 & CR0_NE) != 0) {
        cpu_raise(cpu, VEC_MF);
    }
    if (cpu->bus.fpu_error != NULL) {
        cpu->bus.fpu_error(cpu->bus.arg, true);
    }
}

/* ES and B follow the unmasked exception bits. */
static void update_summary(CpuState *cpu)
{
    unsigned fsw = fx16(cpu, FX_FSW) & ~(unsigned)(FSW_ES | FSW_B);

    if ((fsw & ~(unsigned)fx16(cpu, FX_FCW) & FSW_EXCEPTIONS) != 0) {
        fsw |= FSW_ES | FSW_B;
    }
    fx_put(cpu, FX_FSW, 2, fsw);
}

/* The FERR# line drops when the cause is gone. */
static void drop_ferr(CpuState *cpu, bool was_pending)
{
    if (was_pending && !pending(cpu) && (cpu->cr0 & CR0_NE) == 0 && cpu->bus.fpu_error != NULL) {
        cpu->bus.fpu_error(cpu->bus.arg, false);
    }
}

/* -- Instructions run on the host ------------------------------------------------------------------ */

/* The 11-bit opcode field: low bits of the first byte, ModRM. */
static unsigned fop_of(const uint8_t *b)
{
    while ((b[0] & 0xf8) != 0xd8) {
        b++;                   /* prefixes */
    }
    return (b[0] & 7u) << 8 | b[1];
}

/* Where the host recorded its own addresses, put the guest's. */
static void fix_pointers(CpuState *cpu, const X86Insn *in, const VecInsn *v, uint64_t ea)
{
    uint8_t *fx = cpu->vec.fx;

    if (load_le(fx + FX_FIP, 8) == (uint64_t)(uintptr_t)v->host_pc) {
        unsigned host_fop = fop_of(v->host_pc);

        store_le(fx + FX_FIP, 8, cpu->rip);
        if (fx16(cpu, FX_FOP) == host_fop) {
            store_le(fx + FX_FOP, 2, fop_of(in->bytes));
        }
    }
    if (load_le(fx + FX_FDP, 8) == (uint64_t)(uintptr_t)vec_cpu(cpu)->buf) {
        store_le(fx + FX_FDP, 8, ea);
    }
}

/* A store whose own unmasked exception suppresses it (SDM vol. 1 8.5): found out by executing, with
 * the state put back until the store, if there is one, is done. */
static void store_or_not(CpuState *cpu, const X86Insn *in, const VecInsn *v)
{
    enum { USED = FX_ST + 128 };
    uint8_t old[USED], result[USED];

    memcpy(old, cpu->vec.fx, USED);
    vec_run(cpu, v);
    if ((fx16(cpu, FX_FSW) & ~(unsigned)fx16(cpu, FX_FCW) & 0x1f) == 0) {
        memcpy(result, cpu->vec.fx, USED);
        memcpy(cpu->vec.fx, old, USED);
        vec_store(cpu, vec_operand(cpu, in, v, true), vec_cpu(cpu)->buf, v->mem_size);
        memcpy(cpu->vec.fx, result, USED);
    }
}

static void run_with_memory(CpuState *cpu, const X86Insn *in, const VecInsn *v)
{
    VecCpu *vc = vec_cpu(cpu);
    GuestLin lin;

    if (v->mem_write && v->waits && (~fx16(cpu, FX_FCW) & FSW_EXCEPTIONS) != 0) {
        store_or_not(cpu, in, v);
        return;
    }
    lin = vec_operand(cpu, in, v, v->mem_write);
    if (v->mem_write) {
        vec_probe_store(cpu, lin, v->mem_size);
    } else {
        vec_load(cpu, lin, vc->buf, v->mem_size);
    }
    vec_run(cpu, v);
    if (v->mem_write) {
        vec_store(cpu, lin, vc->buf, v->mem_size);
    }
}

/* A pending exception that the instruction would wait for, CR0.NE clear: FERR# goes up and the
 * instruction is executed as if IGNNE# were asserted; there is no masking to be seen. */
static void run_ignoring(CpuState *cpu, const X86Insn *in, const VecInsn *v)
{
    unsigned fsw = fx16(cpu, FX_FSW), sticky = fsw & FSW_EXCEPTIONS, fcw = fx16(cpu, FX_FCW);
    GuestLin lin = guest_lin(0);

    if (v->mem_size != 0) {
        lin = vec_operand(cpu, in, v, v->mem_write);
        if (v->mem_write) {
            vec_probe_store(cpu, lin, v->mem_size);
        } else {
            vec_load(cpu, lin, vec_cpu(cpu)->buf, v->mem_size);
        }
    }
    fx_put(cpu, FX_FSW, 2, fsw & ~(unsigned)(FSW_EXCEPTIONS | FSW_ES | FSW_B));
    fx_put(cpu, FX_FCW, 2, fcw | FSW_EXCEPTIONS);
    vec_run(cpu, v);
    if (fx16(cpu, FX_FCW) == (fcw | FSW_EXCEPTIONS)) {
        fx_put(cpu, FX_FCW, 2, fcw);         /* not an FLDCW */
    }
    fx_put(cpu, FX_FSW, 2, fx16(cpu, FX_FSW) | sticky);
    update_summary(cpu);
    if (v->mem_write) {
        vec_store(cpu, lin, vec_cpu(cpu)->buf, v->mem_size);
    }
}

void vec_exec_x87(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    bool was_pending;

    vec_check(cpu, v);
    was_pending = pending(cpu);
    fx_put(cpu, FX_MXCSR, 4, MXCSR_DEFAULT);
    if (unlikely(was_pending && v->waits)) {
        vec_x87_pending(cpu);
        run_ignoring(cpu, in, v);
    } else if (v->mem_size != 0) {
        run_with_memory(cpu, in, v);
    } else {
        vec_run(cpu, v);
    }
    fix_pointers(cpu, in, v, v->mem_size != 0 ? vec_ea(cpu, in) : 0);
    if (unlikely(was_pending)) {
        drop_ferr(cpu, true);
    }
}

/* -- Environment ------------------------------------------------------------------------------------- */

/* Two bits a physical register: 0 valid, 1 zero, 2 special, 3 empty (SDM vol. 1 8.1.7). */
static uint16_t full_tags(const CpuState *cpu)
{
    unsigned top = fx16(cpu, FX_FSW) >> 11 & 7, tags = 0;

    for (unsigned phys = 0; phys < 8; phys++) {
        const uint8_t *st = cpu->vec.fx + FX_ST + 16 * ((phys - top) & 7);
        uint64_t frac = load_le(st, 8);
        unsigned exp = (unsigned)load_le(st + 8, 2) & 0x7fff, tag;

        if ((cpu->vec.fx[FX_FTW] >> phys & 1) == 0) {
            tag = 3;
        } else if (exp == 0 && frac == 0) {
            tag = 1;
        } else if (exp == 0x7fff || exp == 0 || frac >> 63 == 0) {
            tag = 2;
        } else {
            tag = 0;
        }
        tags |= tag << (2 * phys);
    }
    return (uint16_t)tags;
}

/* Protected mode forms have pointers as offsets, real and virtual-8086 ones as linear addresses. */
static unsigned make_env(const CpuState *cpu, bool is_wide, uint8_t *env)
{
    bool prot = cpu_protected(cpu);
    unsigned step = is_wide ? 4 : 2, fop = fx16(cpu, FX_FOP) & 0x7ff;
    uint32_t fip = (uint32_t)load_le(cpu->vec.fx + FX_FIP, 8);
    uint32_t fdp = (uint32_t)load_le(cpu->vec.fx + FX_FDP, 8);
    uint32_t f[7] = {fx16(cpu, FX_FCW), fx16(cpu, FX_FSW), full_tags(cpu), fip, 0, fdp, 0};

    if (prot) {
        f[4] = is_wide ? fop << 16 : 0;
        if (is_wide) {
            f[6] = 0xffff0000;
        }
    } else if (is_wide) {
        f[3] = 0xffff0000 | (fip & 0xffff);
        f[4] = (fip >> 16) << 12 | fop;
        f[5] = 0xffff0000 | (fdp & 0xffff);
        f[6] = (fdp >> 16) << 12;
    } else {
        f[4] = (fip >> 16 & 15) << 12 | fop;
        f[6] = (fdp >> 16 & 15) << 12;
    }
    for (unsigned i = 0; i < 7; i++) {
        store_le(env + i * step, step, i < 3 && is_wide ? 0xffff0000 | f[i] : f[i]);
    }
    return 7 * step;
}

/* The image holds ST(0)..ST(7); the registers stay where they are when TOP changes. */
void vec_x87_set_top(CpuState *cpu, unsigned top)
{
    unsigned fsw = fx16(cpu, FX_FSW), by = (top - (fsw >> 11)) & 7;
    uint8_t old[128];

    if (by != 0) {
        memcpy(old, cpu->vec.fx + FX_ST, sizeof(old));
        for (unsigned i = 0; i < 8; i++) {
            memcpy(cpu->vec.fx + FX_ST + 16 * i, old + 16 * ((i + by) & 7), 16);
        }
        fx_put(cpu, FX_FSW, 2, (fsw & ~0x3800u) | top << 11);
    }
}

static void take_env(CpuState *cpu, bool is_wide, const uint8_t *env)
{
    bool prot = cpu_protected(cpu);
    unsigned step = is_wide ? 4 : 2, tags, abridged = 0, fop = 0;
    uint32_t f[7], fip, fdp;

    for (unsigned i = 0; i < 7; i++) {
        f[i] = (uint32_t)load_le(env + i * step, step);
    }
    tags = f[2] & 0xffff;
    for (unsigned i = 0; i < 8; i++) {
        abridged |= (unsigned)((tags >> 2 * i & 3) != 3) << i;
    }
    if (prot) {
        fip = f[3];
        fdp = f[5];
        fop = is_wide ? f[4] >> 16 & 0x7ff : 0;
    } else {
        fip = (f[3] & 0xffff) | (f[4] >> 12) << 16;
        fdp = (f[5] & 0xffff) | (f[6] >> 12) << 16;
        fop = f[4] & 0x7ff;
    }
    vec_x87_set_top(cpu, f[1] >> 11 & 7);
    fx_put(cpu, FX_FCW, 2, (f[0] & 0x1f3f) | 0x40);
    fx_put(cpu, FX_FSW, 2, f[1] & 0xffff);
    fx_put(cpu, FX_FTW, 1, abridged);
    fx_put(cpu, FX_FOP, 2, fop);
    fx_put(cpu, FX_FIP, 8, fip);
    fx_put(cpu, FX_FDP, 8, fdp);
    update_summary(cpu);
}

static void init_x87(CpuState *cpu)
{
    vec_x87_set_top(cpu, 0);
    fx_put(cpu, FX_FCW, 2, FCW_DEFAULT);
    fx_put(cpu, FX_FSW, 2, 0);
    fx_put(cpu, FX_FTW, 2, 0);
    fx_put(cpu, FX_FOP, 2, 0);
    fx_put(cpu, FX_FIP, 8, 0);
    fx_put(cpu, FX_FDP, 8, 0);
}

static GuestLin env_operand(CpuState *cpu, const X86Insn *in, unsigned len, bool write)
{
    GuestLin lin = seg_linear(cpu, in->mem.seg, vec_ea(cpu, in), len, write);
    unsigned align = len == 28 || len == 108 ? 4 : 2;

    if ((lin.v & (align - 1)) != 0 && vec_ac_enabled(cpu)) {
        cpu_raise_code(cpu, VEC_AC, 0);
    }
    /* Processors touch the two ends first, which shows in CR2. */
    mmu_probe(&cpu->mmu, cpu->tlb_class, lin, 1, write ? TLB_STORE : TLB_LOAD);
    mmu_probe(&cpu->mmu, cpu->tlb_class, guest_lin(lin.v + len - 1), 1, write ? TLB_STORE : TLB_LOAD);
    return lin;
}

static void check_wait(CpuState *cpu, const VecInsn *v)
{
    vec_check(cpu, v);
    if (v->waits && pending(cpu)) {
        vec_x87_pending(cpu);
    }
}

static void exec_fnstenv(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    uint8_t env[28];
    unsigned n;

    check_wait(cpu, v);
    n = make_env(cpu, v->wide, env);
    mmu_store_bytes(&cpu->mmu, cpu->tlb_class, env_operand(cpu, in, n, true), env, n);
    fx_put(cpu, FX_FCW, 2, fx16(cpu, FX_FCW) | FSW_EXCEPTIONS);
    update_summary(cpu);
}

static void exec_fldenv(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    bool was_pending = pending(cpu);
    unsigned n = v->wide ? 28 : 14;
    uint8_t env[28];

    check_wait(cpu, v);
    mmu_load_bytes(&cpu->mmu, cpu->tlb_class, env_operand(cpu, in, n, false), env, n);
    take_env(cpu, v->wide, env);
    drop_ferr(cpu, was_pending);
}

static void exec_fnsave(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    bool was_pending = pending(cpu);
    uint8_t image[28 + 80];
    unsigned n;

    check_wait(cpu, v);
    n = make_env(cpu, v->wide, image);
    for (unsigned i = 0; i < 8; i++) {
        memcpy(image + n + 10 * i, cpu->vec.fx + FX_ST + 16 * i, 10);
    }
    n += 80;
    mmu_store_bytes(&cpu->mmu, cpu->tlb_class, env_operand(cpu, in, n, true), image, n);
    init_x87(cpu);
    drop_ferr(cpu, was_pending);
}

static void exec_frstor(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    bool was_pending = pending(cpu);
    unsigned n = v->wide ? 28 : 14;
    uint8_t image[28 + 80];

    check_wait(cpu, v);
    mmu_load_bytes(&cpu->mmu, cpu->tlb_class, env_operand(cpu, in, n + 80, false), image, n + 80);
    take_env(cpu, v->wide, image);
    for (unsigned i = 0; i < 8; i++) {
        memset(cpu->vec.fx + FX_ST + 16 * i, 0, 16);
        memcpy(cpu->vec.fx + FX_ST + 16 * i, image + n + 10 * i, 10);
    }
    drop_ferr(cpu, was_pending);
}

static void exec_fwait(CpuState *cpu, const X86Insn *in)
{
    if ((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)) {
        cpu_raise(cpu, VEC_NM);
    }
    if (pending(cpu)) {
        vec_x87_pending(cpu);
    }
}

X86Exec vec_x87_exec(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_FNSTENV: return exec_fnstenv;
    case ZYDIS_MNEMONIC_FLDENV: return exec_fldenv;
    case ZYDIS_MNEMONIC_FNSAVE: return exec_fnsave;
    case ZYDIS_MNEMONIC_FRSTOR: return exec_frstor;
    case ZYDIS_MNEMONIC_FWAIT: return exec_fwait;
    default: return NULL;
    }
}
