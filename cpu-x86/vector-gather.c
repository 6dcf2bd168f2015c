/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vector memory accesses by element: masked loads and stores (faults only for elements whose mask
 * is set), maskmov, gather and scatter.
 */
#include "cpu-x86/vector-internal.h"

#include "softmmu/base/bits.h"

/* -- Masked loads and stores ---------------------------------------------------------------------------- */

/* One bit for each element in memory that the instruction touches. */
static uint64_t touched(const CpuState *cpu, const VecInsn *v)
{
    uint64_t k, m = 0;

    if (v->mask_kind == VEC_MASK_SIGNS) {
        const uint8_t *s = cpu->vec.zmm[v->mask_reg];
        for (unsigned i = 0; i < v->n_mem; i++) {
            m |= (uint64_t)(s[i * v->elem + v->elem - 1] >> 7) << i;
        }
        return m;
    }
    k = cpu->vec.k[v->mask_reg];
    if (v->n_mask < 64) {
        k &= (UINT64_C(1) << v->n_mask) - 1;
    }
    if (v->mask_kind == VEC_MASK_PACKED) {
        unsigned n = (unsigned)__builtin_popcountll(k);
        return n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1;
    }
    if (v->n_mem == v->n_mask) {
        return k;
    }
    for (unsigned i = 0; i < v->n_mask; i++) {
        m |= (k >> i & 1) << (i % v->n_mem);
    }
    return m;
}

/* Next run of touched elements from *at: its first byte and length in bytes; 0 at the end. */
static unsigned next_run(uint64_t m, const VecInsn *v, unsigned *at, unsigned *off)
{
    unsigned i = *at, first;

    while (i < v->n_mem && (m >> i & 1) == 0) {
        i++;
    }
    first = i;
    while (i < v->n_mem && (m >> i & 1) != 0) {
        i++;
    }
    *at = i;
    *off = first * v->elem;
    return (i - first) * v->elem;
}

static GuestLin run_lin(CpuState *cpu, const X86Insn *in, unsigned off, unsigned n, bool write)
{
    return seg_linear(cpu, in->mem.seg, vec_trunc_addr(in, vec_ea(cpu, in) + off), n, write);
}

/* Nothing is checked when nothing is touched. */
static void check_aligned(CpuState *cpu, const X86Insn *in, const VecInsn *v, uint64_t m)
{
    uint64_t lin = vec_ea(cpu, in) +
                   (cpu_is_long64(cpu) && in->mem.seg < SEG_FS ? 0 : cpu->seg[in->mem.seg].base);

    if (m == 0) {
        return;
    }
    if (v->align != 0 && (lin & (v->align - 1)) != 0) {
        cpu_raise_gp(cpu, 0);
    }
    if (v->ac_align != 0 && (lin & (v->ac_align - 1)) != 0 && vec_ac_enabled(cpu)) {
        seg_linear(cpu, in->mem.seg, vec_ea(cpu, in), v->mem_size, v->mem_write); /* #GP first */
        cpu_raise_code(cpu, VEC_AC, 0);
    }
}

void vec_exec_masked_load(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    uint8_t *buf = vec_cpu(cpu)->buf;
    unsigned at = 0, off, n;
    uint64_t m;

    vec_check(cpu, v);
    m = touched(cpu, v);
    check_aligned(cpu, in, v, m);
    memset(buf, 0, v->mem_size);
    while ((n = next_run(m, v, &at, &off)) != 0) {
        vec_load(cpu, run_lin(cpu, in, off, n, false), buf + off, n);
    }
    vec_run(cpu, v);
}

void vec_exec_masked_store(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    unsigned at = 0, off, n;
    uint64_t m;

    vec_check(cpu, v);
    m = touched(cpu, v);
    check_aligned(cpu, in, v, m);
    if (v->computes_first) {
        vec_run(cpu, v);
    }
    if (v->probes_all) {
        vec_probe_store(cpu, run_lin(cpu, in, 0, v->mem_size, true), v->mem_size);
    }
    while ((n = next_run(m, v, &at, &off)) != 0) {
        vec_probe_store(cpu, run_lin(cpu, in, off, n, true), n);
    }
    if (!v->computes_first) {
        vec_run(cpu, v);
    }
    at = 0;
    while ((n = next_run(m, v, &at, &off)) != 0) {
        vec_store(cpu, run_lin(cpu, in, off, n, true), vec_cpu(cpu)->buf + off, n);
    }
}

/* MMn is physical register n; the image begins with the top of the stack. */
static const uint8_t *mmx_reg(const CpuState *cpu, unsigned n)
{
    unsigned top = (unsigned)load_le(cpu->vec.fx + FX_FSW, 2) >> 11;

    return cpu->vec.fx + FX_ST + 16 * ((n - top) & 7);
}

static GuestLin maskmov_lin(CpuState *cpu, const X86Insn *in, const VecInsn *v, unsigned i)
{
    return seg_linear(cpu, v->seg, vec_trunc_addr(in, cpu->gpr[GPR_RDI] + i), 1, true);
}

/* MASKMOVQ, MASKMOVDQU, VMASKMOVDQU: bytes of reg[0] whose mask byte in reg[1] has its sign set go
 * to seg:rDI. */
void vec_exec_maskmov(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    bool mmx = v->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
    unsigned n = mmx ? 8 : 16;
    uint8_t data[16], mask[16];

    vec_check(cpu, v);
    if (mmx && (load_le(cpu->vec.fx + FX_FSW, 2) & FSW_ES) != 0) {
        vec_x87_pending(cpu);
    }
    maskmov_lin(cpu, in, v, 0);              /* the segment counts even when no byte is stored */
    memcpy(data, mmx ? mmx_reg(cpu, v->reg[0]) : cpu->vec.zmm[v->reg[0]], n);
    memcpy(mask, mmx ? mmx_reg(cpu, v->reg[1]) : cpu->vec.zmm[v->reg[1]], n);
    if (mmx && (load_le(mask, 8) & UINT64_C(0x8080808080808080)) == 0) {
        vec_probe_store(cpu, maskmov_lin(cpu, in, v, 0), 1); /* faults even so, on hosts */
    }
    for (unsigned i = 0; i < n; i++) {
        if ((mask[i] & 0x80) != 0) {
            vec_probe_store(cpu, maskmov_lin(cpu, in, v, i), 1);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if ((mask[i] & 0x80) != 0) {
            vec_store(cpu, maskmov_lin(cpu, in, v, i), &data[i], 1);
        }
    }
    if (mmx) {                 /* a transition to MMX state: top 0, all tags valid */
        vec_x87_set_top(cpu, 0);
        cpu->vec.fx[FX_FTW] = 0xff;
    }
}

/* -- Gather and scatter ---------------------------------------------------------------------------- */

/*
 * Elements in order; each one's result is committed and its mask cleared before the next is
 * touched, so that a fault leaves what the SDM describes: everything below the faulting element
 * done, and the instruction can be restarted.
 */

static bool element_on(const CpuState *cpu, const VecInsn *v, unsigned i)
{
    if (v->vsib.k_mask) {
        return (cpu->vec.k[v->vsib.mask_reg] >> i & 1) != 0;
    }
    return (cpu->vec.zmm[v->vsib.mask_reg][(i + 1) * v->vsib.data_size - 1] & 0x80) != 0;
}

static void element_done(CpuState *cpu, const VecInsn *v, unsigned i)
{
    if (v->vsib.k_mask) {
        cpu->vec.k[v->vsib.mask_reg] &= ~(UINT64_C(1) << i);
    } else {
        memset(cpu->vec.zmm[v->vsib.mask_reg] + i * v->vsib.data_size, 0, v->vsib.data_size);
    }
}

static GuestLin element_lin(CpuState *cpu, const X86Insn *in, const VecInsn *v, unsigned i, bool write)
{
    uint64_t a = (uint64_t)in->mem.disp;
    int64_t index = sign_extend(load_le(cpu->vec.zmm[v->vsib.index_reg] + i * v->vsib.index_size,
                                        v->vsib.index_size), v->vsib.index_size);

    if (in->mem.base != GPR_NONE) {
        a += cpu->gpr[in->mem.base];
    }
    a += (uint64_t)index << in->mem.scale;
    return seg_linear(cpu, in->mem.seg, vec_trunc_addr(in, a), v->vsib.data_size, write);
}

/* The AVX2 forms make each mask element all ones or zero and clear the rest, even on a fault. */
static void normalise_mask(CpuState *cpu, const VecInsn *v)
{
    unsigned size = v->vsib.data_size, used = v->vsib.reg_bytes;
    uint8_t *mask = cpu->vec.zmm[v->vsib.mask_reg];

    for (unsigned i = 0; i < used; i += size) {
        memset(mask + i, (mask[i + size - 1] & 0x80) != 0 ? 0xff : 0, size);
    }
    memset(mask + used, 0, 64 - used);
}

void vec_exec_gather(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    unsigned size = v->vsib.data_size, used = v->vsib.n * size;
    uint8_t *dst = cpu->vec.zmm[v->vsib.data_reg];

    vec_check(cpu, v);
    if (!v->vsib.k_mask) {
        normalise_mask(cpu, v);
    }
    for (unsigned i = 0; i < v->vsib.n; i++) {
        if (element_on(cpu, v, i)) {
            uint64_t val = mmu_load(&cpu->mmu, cpu->tlb_class,
                                    element_lin(cpu, in, v, i, false), size);
            store_le(dst + i * size, size, val);
            element_done(cpu, v, i);
        }
    }
    memset(dst + used, 0, 64 - used);
    if (v->vsib.k_mask) {
        cpu->vec.k[v->vsib.mask_reg] = 0;
    } else {
        memset(cpu->vec.zmm[v->vsib.mask_reg], 0, 64);
    }
}

void vec_exec_scatter(CpuState *cpu, const X86Insn *in)
{
    const VecInsn *v = vec_insn(cpu, in);
    unsigned size = v->vsib.data_size;

    vec_check(cpu, v);
    for (unsigned i = 0; i < v->vsib.n; i++) {
        if (element_on(cpu, v, i)) {
            mmu_store(&cpu->mmu, cpu->tlb_class, element_lin(cpu, in, v, i, true), size,
                      load_le(cpu->vec.zmm[v->vsib.data_reg] + i * size, size));
            element_done(cpu, v, i);
        }
    }
    cpu->vec.k[v->vsib.mask_reg] = 0;
}
