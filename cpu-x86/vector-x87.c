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

void vec_exec_x87(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    VecCpu *vc = vec_cpu(cpu);
    GuestLin lin = guest_lin(0);
    uint8_t before[16];
    unsigned ignored = 0;
    bool was_pending, careful;

    vec_check(cpu, v);
    was_pending = pending(cpu);
    if (unlikely(was_pending && v->waits)) {
        vec_x87_pending(cpu);
    }
    careful = v->mem_write && (~fx16(cpu, FX_FCW) & FSW_EXCEPTIONS) != 0;
    if (v->mem_size != 0) {
        lin = vec_operand(cpu, in, v, v->mem_write);
        if (v->mem_write) {
            vec_probe_store(cpu, lin, v->mem_size);
        }
        if (v->mem_read || careful) {
            vec_load(cpu, lin, vc->buf, v->mem_size);
        }
        memcpy(before, vc->buf, sizeof(before));
    }
    if (unlikely(was_pending && v->waits)) { /* CR0.NE clear: as if IGNNE# were asserted */
        ignored = fx16(cpu, FX_FSW) & FSW_EXCEPTIONS;
        fx_put(cpu, FX_FSW, 2, fx16(cpu, FX_FSW) & ~(unsigned)(FSW_EXCEPTIONS | FSW_ES | FSW_B));
    }
    fx_put(cpu, FX_MXCSR, 4, MXCSR_DEFAULT);
    vec_run(cpu, v);
    fix_pointers(cpu, in, v, v->mem_size != 0 ? vec_ea(cpu, in) : 0);
    if (unlikely(ignored != 0)) {
        fx_put(cpu, FX_FSW, 2, fx16(cpu, FX_FSW) | ignored);
        update_summary(cpu);
    }
    if (unlikely(was_pending)) {
        drop_ferr(cpu, true);
    }
    /* An unmasked exception leaves the destination alone: the buffer still holds what was there. */
    if (v->mem_write && !(careful && pending(cpu) && memcmp(before, vc->buf, sizeof(before)) == 0)) {
        vec_store(cpu, lin, vc->buf, v->mem_size);
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

static bool wide(const X86Insn *in, const CpuState *cpu)
{
    bool o32 = (cpu->mode & (MODE_CS32 | MODE_CS64)) != 0;

    return o32 != ((in->prefixes & PFX_OPSIZE) != 0);
}

/* Protected mode forms have pointers as offsets, real and virtual-8086 ones as linear addresses. */
static unsigned make_env(const CpuState *cpu, const X86Insn *in, uint8_t *env)
{
    bool prot = cpu_protected(cpu), is_wide = wide(in, cpu);
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

static unsigned env_len(const CpuState *cpu, const X86Insn *in)
{
    return wide(in, cpu) ? 28 : 14;
}

static void take_env(CpuState *cpu, const X86Insn *in, const uint8_t *env)
{
    bool prot = cpu_protected(cpu), is_wide = wide(in, cpu);
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
    unsigned align = wide(in, cpu) ? 4 : 2;

    if ((lin.v & (align - 1)) != 0 && vec_ac_enabled(cpu)) {
        cpu_raise_code(cpu, VEC_AC, 0);
    }
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
    uint8_t env[28];
    unsigned n;

    check_wait(cpu, vec_insn(cpu, in));
    n = make_env(cpu, in, env);
    mmu_store_bytes(&cpu->mmu, cpu->tlb_class, env_operand(cpu, in, n, true), env, n);
    fx_put(cpu, FX_FCW, 2, fx16(cpu, FX_FCW) | FSW_EXCEPTIONS);
    update_summary(cpu);
}

static void exec_fldenv(CpuState *cpu, const X86Insn *in)
{
    unsigned n = env_len(cpu, in);
    bool was_pending = pending(cpu);
    uint8_t env[28];

    check_wait(cpu, vec_insn(cpu, in));
    mmu_load_bytes(&cpu->mmu, cpu->tlb_class, env_operand(cpu, in, n, false), env, n);
    take_env(cpu, in, env);
    drop_ferr(cpu, was_pending);
}

static void exec_fnsave(CpuState *cpu, const X86Insn *in)
{
    bool was_pending = pending(cpu);
    uint8_t image[28 + 80];
    unsigned n;

    check_wait(cpu, vec_insn(cpu, in));
    n = make_env(cpu, in, image);
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
    unsigned n = env_len(cpu, in);
    bool was_pending = pending(cpu);
    uint8_t image[28 + 80];

    check_wait(cpu, vec_insn(cpu, in));
    mmu_load_bytes(&cpu->mmu, cpu->tlb_class, env_operand(cpu, in, n + 80, false), image, n + 80);
    take_env(cpu, in, image);
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

static void exec_emms(CpuState *cpu, const X86Insn *in)
{
    check_wait(cpu, vec_insn(cpu, in));
    fx_put(cpu, FX_FTW, 1, 0);
}

X86Exec vec_x87_exec(ZydisMnemonic m)
{
    switch (m) {
    case ZYDIS_MNEMONIC_FNSTENV: return exec_fnstenv;
    case ZYDIS_MNEMONIC_FLDENV: return exec_fldenv;
    case ZYDIS_MNEMONIC_FNSAVE: return exec_fnsave;
    case ZYDIS_MNEMONIC_FRSTOR: return exec_frstor;
    case ZYDIS_MNEMONIC_FWAIT: return exec_fwait;
    case ZYDIS_MNEMONIC_EMMS: return exec_emms;
    default: return NULL;
    }
}
