/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FXSAVE and the XSAVE family (SDM vol. 1 chapter 13) between VectorState and guest memory.
 *
 * Each component is gathered into a small image and moved whole.  Every page an instruction may
 * write is probed first; a restore reads and checks all before it changes anything.
 */
#include "cpu-x86/xsave.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/insn-operand.h"
#include "cpu-x86/insns.h"
#include "cpu-x86/walk.h"

#include <string.h>

enum { /* legacy region and header */
    FX_X87_LEN = 24, FX_MXCSR_AT = 24, FX_ST_AT = 32, FX_ST_LEN = 128, FX_XMM_AT = 160,
    FX_LEN = 512, HEADER_AT = 512, HEADER_LEN = 64,
};
enum { COMP_X87, COMP_SSE, COMP_AVX, COMP_OPMASK = 5, COMP_ZMM_HI256, COMP_HI16_ZMM, COMP_PKRU = 9 };

#define MXCSR_INIT 0x1f80u
#define MXCSR_MASK 0xffffu
#define XCOMP_COMPACT BIT64(63)

/* Vector registers that exist in this mode: 8 or 16. */
static unsigned n_regs(const CpuState *cpu)
{
    return cpu_is_long64(cpu) ? 16 : 8;
}

/* REX.W forms keep 64-bit instruction and data pointers. */
static bool wide_pointers(const X86Insn *in)
{
    switch (in->mnemonic) {
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEOPT64:
    case ZYDIS_MNEMONIC_XSAVEC64:
    case ZYDIS_MNEMONIC_XSAVES64:
    case ZYDIS_MNEMONIC_XRSTOR64:
    case ZYDIS_MNEMONIC_XRSTORS64: return true;
    default: return false;
    }
}

/* -- Images of components ------------------------------------------------------------------------------- */

/* x87: 24 bytes of control and pointers.  Without REX.W the upper half of each pointer is where the
 * selectors were, which processors with ZERO_FCS_FDS store as 0. */
static void get_x87(const CpuState *cpu, const X86Insn *in, uint8_t image[FX_X87_LEN])
{
    memcpy(image, cpu->vec.fx, FX_X87_LEN);
    image[5] = 0;
    if (!wide_pointers(in)) {
        memset(image + 12, 0, 4);
        memset(image + 20, 0, 4);
    }
}

static void put_x87(CpuState *cpu, const X86Insn *in, const uint8_t *legacy)
{
    memcpy(cpu->vec.fx, legacy, FX_X87_LEN);
    cpu->vec.fx[5] = 0;
    if (!wide_pointers(in)) {
        memset(cpu->vec.fx + 12, 0, 4);
        memset(cpu->vec.fx + 20, 0, 4);
    }
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *st = cpu->vec.fx + FX_ST_AT + i * 16;

        memcpy(st, legacy + FX_ST_AT + i * 16, 10);
        memset(st + 10, 0, 6);
    }
}

/* Where component `c` of a register lies in VectorState: `at` bytes into it, `len` long, registers
 * first .. first + n - 1. */
typedef struct {
    uint8_t at, len, first, n;
} Slice;

static Slice slice_of(const CpuState *cpu, unsigned c)
{
    switch (c) {
    case COMP_SSE: return (Slice){0, 16, 0, (uint8_t)n_regs(cpu)};
    case COMP_AVX: return (Slice){16, 16, 0, (uint8_t)n_regs(cpu)};
    case COMP_ZMM_HI256: return (Slice){32, 32, 0, (uint8_t)n_regs(cpu)};
    case COMP_HI16_ZMM: return (Slice){0, 64, 16, cpu_is_long64(cpu) ? 16 : 0};
    default: return (Slice){0};
    }
}

/* memcpy() of 16, 32 or 64 bytes; without vector registers that would be a string instruction, dear for so few. */
static void copy_register(uint8_t *to, const uint8_t *from, unsigned len)
{
    for (unsigned i = 0; i < len; i += 16) {
        uint64_t lo, hi;
        memcpy(&lo, from + i, 8);
        memcpy(&hi, from + i + 8, 8);
        memcpy(to + i, &lo, 8);
        memcpy(to + i + 8, &hi, 8);
    }
}

/* Gather component `c` into `image`; returns its length. */
static unsigned get_component(const CpuState *cpu, unsigned c, uint8_t *image)
{
    Slice s = slice_of(cpu, c);

    if (c == COMP_OPMASK) {
        memcpy(image, cpu->vec.k, sizeof cpu->vec.k);
        return sizeof cpu->vec.k;
    }
    if (c == COMP_PKRU) {
        store_le(image, 8, cpu->vec.pkru);
        return 8;
    }
    for (unsigned i = 0; i < s.n; i++) {
        copy_register(image + i * s.len, cpu->vec.zmm[s.first + i] + s.at, s.len);
    }
    return (unsigned)s.n * s.len;
}

/* Scatter it; NULL: its initial value (zero). */
static void put_component(CpuState *cpu, unsigned c, const uint8_t *image)
{
    static const uint8_t zero[1024];
    Slice s = slice_of(cpu, c);

    image = image != NULL ? image : zero;
    if (c == COMP_OPMASK) {
        memcpy(cpu->vec.k, image, sizeof cpu->vec.k);
    } else if (c == COMP_PKRU) {
        cpu_write_pkru(cpu, (uint32_t)load_le(image, 4));
    } else {
        for (unsigned i = 0; i < s.n; i++) {
            copy_register(cpu->vec.zmm[s.first + i] + s.at, image + i * s.len, s.len);
        }
    }
}

static void init_x87(CpuState *cpu)
{
    memset(cpu->vec.fx, 0, FX_ST_AT + FX_ST_LEN);
    store_le(cpu->vec.fx, 2, 0x37f);
}

static bool x87_in_use(const CpuState *cpu)
{
    static const uint8_t init[FX_X87_LEN] = {0x7f, 0x03};
    static const uint8_t zero[FX_ST_LEN];

    return memcmp(cpu->vec.fx, init, sizeof init) != 0 ||
           memcmp(cpu->vec.fx + FX_ST_AT, zero, sizeof zero) != 0;
}

uint64_t cpu_xinuse(const CpuState *cpu)
{
    static const uint8_t zero[1024];
    uint64_t bits = x87_in_use(cpu) ? XCR0_X87 : 0;

    for (unsigned c = COMP_SSE; c < XSAVE_COMPONENTS; c++) {
        uint8_t image[1024];
        unsigned n;

        if ((cpu->vec.xcr0 >> c & 1) != 0) {
            n = get_component(cpu, c, image);
            bits |= memcmp(image, zero, n) != 0 ? BIT64(c) : 0;
        }
    }
    return bits;
}

/* -- Memory ------------------------------------------------------------------------------------------------ */

static void put_bytes(CpuState *cpu, GuestLin area, unsigned off, const void *src, unsigned n)
{
    mmu_store_bytes(&cpu->mmu, data_class(cpu), guest_lin(area.v + off), src, n);
}

static void get_bytes(CpuState *cpu, GuestLin area, unsigned off, void *dst, unsigned n)
{
    mmu_load_bytes(&cpu->mmu, data_class(cpu), guest_lin(area.v + off), dst, n);
}

/* Linear address of the operand, `align`ed or #GP(0). */
static GuestLin area_of(CpuState *cpu, const X86Insn *in, unsigned size, unsigned align, bool write)
{
    GuestLin lin = insn_lin(cpu, in, size, write);

    if ((lin.v & (align - 1)) != 0) {
        cpu_raise_gp(cpu, 0);
    }
    if (write) {
        mmu_probe(&cpu->mmu, data_class(cpu), lin, size, TLB_STORE);
    }
    return lin;
}

static void save_x87(CpuState *cpu, const X86Insn *in, GuestLin area)
{
    uint8_t image[FX_X87_LEN];

    get_x87(cpu, in, image);
    put_bytes(cpu, area, 0, image, sizeof image);
    put_bytes(cpu, area, FX_ST_AT, cpu->vec.fx + FX_ST_AT, FX_ST_LEN);
}

static void save_mxcsr(CpuState *cpu, GuestLin area)
{
    uint8_t image[8];

    store_le(image, 4, cpu->vec.mxcsr);
    store_le(image + 4, 4, MXCSR_MASK);
    put_bytes(cpu, area, FX_MXCSR_AT, image, sizeof image);
}

static void save_component(CpuState *cpu, GuestLin area, unsigned off, unsigned c)
{
    uint8_t image[1024];
    unsigned n = get_component(cpu, c, image);

    if (n != 0) {
        put_bytes(cpu, area, off, image, n);
    }
}

/* -- FXSAVE, FXRSTOR --------------------------------------------------------------------------------------- */

static void require_fx(CpuState *cpu)
{
    if ((cpu->cr0 & (CR0_EM | CR0_TS)) != 0) {
        cpu_raise(cpu, EXC_NM);
    }
}

void exec_fxsave(CpuState *cpu, const X86Insn *in)
{
    GuestLin area;

    require_fx(cpu);
    area = area_of(cpu, in, FX_LEN, 16, true);
    save_x87(cpu, in, area);
    save_mxcsr(cpu, area);
    save_component(cpu, area, FX_XMM_AT, COMP_SSE);
}

void exec_fxrstor(CpuState *cpu, const X86Insn *in)
{
    uint8_t image[FX_LEN];
    uint32_t mxcsr;

    require_fx(cpu);
    get_bytes(cpu, area_of(cpu, in, FX_LEN, 16, false), 0, image, sizeof image);
    mxcsr = (uint32_t)load_le(image + FX_MXCSR_AT, 4);
    if ((mxcsr & ~MXCSR_MASK) != 0) {
        cpu_raise_gp(cpu, 0);
    }
    put_x87(cpu, in, image);
    cpu->vec.mxcsr = mxcsr;
    put_component(cpu, COMP_SSE, image + FX_XMM_AT);
}

/* -- XSAVE ... XSAVES ---------------------------------------------------------------------------------------- */

static void require_xsave(CpuState *cpu, bool supervisor)
{
    if ((cpu->cr4 & CR4_OSXSAVE) == 0) {
        cpu_raise_ud(cpu);
    }
    if (supervisor && cpu->cpl != 0) {
        cpu_raise_gp(cpu, 0);
    }
    if ((cpu->cr0 & CR0_TS) != 0) {
        cpu_raise(cpu, EXC_NM);
    }
}

/* Components asked for in EDX:EAX and enabled. */
static uint64_t requested(const CpuState *cpu)
{
    return ((uint32_t)cpu->gpr[GPR_RAX] | cpu->gpr[GPR_RDX] << 32) & cpu->vec.xcr0;
}

/* Offset of component c (2..) in an area whose compacted format holds `compact` (0: standard). */
static unsigned offset_of(const CpuState *cpu, unsigned c, uint64_t compact)
{
    unsigned at = HEADER_AT + HEADER_LEN;

    if (compact == 0) {
        return cpu_model_xsave_area(cpu->model, c)->offset;
    }
    for (unsigned i = 2;; i++) {
        const XsaveArea *a = cpu_model_xsave_area(cpu->model, i);

        if ((compact >> i & 1) != 0) {
            at = a->align64 ? (at + 63) & ~63u : at;
            if (i == c) {
                return at;
            }
            at += a->size;
        }
        g_assert(i < c);
    }
}

/* Write the data of `comps`. */
static void save_components(CpuState *cpu, const X86Insn *in, GuestLin area, uint64_t comps,
                            uint64_t compact)
{
    if ((comps & XCR0_X87) != 0) {
        save_x87(cpu, in, area);
    }
    if ((comps & XCR0_SSE) != 0) {
        save_component(cpu, area, FX_XMM_AT, COMP_SSE);
    }
    for (unsigned c = COMP_AVX; c < XSAVE_COMPONENTS; c++) {
        if ((comps >> c & 1) != 0) {
            save_component(cpu, area, offset_of(cpu, c, compact), c);
        }
    }
}

/* SDM vol. 1, 13.7 and 13.9.  `optimize`: leave out components in their initial state. */
static void xsave_standard(CpuState *cpu, const X86Insn *in, bool optimize)
{
    uint64_t rfbm = requested(cpu), in_use = cpu_xinuse(cpu), bv;
    unsigned size = cpu_model_xsave_size(cpu->model, rfbm, false);
    GuestLin area;

    require_xsave(cpu, false);
    area = area_of(cpu, in, size, 64, true);
    save_components(cpu, in, area, optimize ? rfbm & in_use : rfbm, 0);
    if ((rfbm & (XCR0_SSE | XCR0_AVX)) != 0) {
        save_mxcsr(cpu, area);
    }
    get_bytes(cpu, area, HEADER_AT, &bv, 8);
    bv = (bv & ~rfbm) | (rfbm & in_use);
    put_bytes(cpu, area, HEADER_AT, &bv, 8);
}

/* SDM vol. 1, 13.10 and 13.11: MXCSR belongs to the SSE component. */
static void xsave_compact(CpuState *cpu, const X86Insn *in, bool supervisor)
{
    uint64_t rfbm = requested(cpu), in_use = cpu_xinuse(cpu), header[2];
    unsigned size = cpu_model_xsave_size(cpu->model, rfbm, true);
    GuestLin area;

    require_xsave(cpu, supervisor);
    area = area_of(cpu, in, size, 64, true);
    if (cpu->vec.mxcsr != MXCSR_INIT) {
        in_use |= XCR0_SSE;
    }
    save_components(cpu, in, area, rfbm & in_use, rfbm | XCOMP_COMPACT);
    if ((rfbm & in_use & XCR0_SSE) != 0) {
        save_mxcsr(cpu, area);
    }
    header[0] = rfbm & in_use;
    header[1] = rfbm | XCOMP_COMPACT;
    put_bytes(cpu, area, HEADER_AT, header, sizeof header);
}

void exec_xsave(CpuState *cpu, const X86Insn *in)
{
    xsave_standard(cpu, in, false);
}

void exec_xsaveopt(CpuState *cpu, const X86Insn *in)
{
    xsave_standard(cpu, in, true);
}

void exec_xsavec(CpuState *cpu, const X86Insn *in)
{
    xsave_compact(cpu, in, false);
}

void exec_xsaves(CpuState *cpu, const X86Insn *in)
{
    xsave_compact(cpu, in, true);
}

/* -- XRSTOR, XRSTORS ------------------------------------------------------------------------------------------- */

/* Is the header one that XRSTOR (XRSTORS) accepts? SDM vol. 1, 13.8, 13.12. */
static bool header_ok(const CpuState *cpu, const uint64_t h[8], bool supervisor)
{
    bool compact = (h[1] & XCOMP_COMPACT) != 0;
    uint64_t rest = 0;

    for (unsigned i = 2; i < (compact ? 8 : 3); i++) {
        rest |= h[i];
    }
    if (rest != 0) {
        return false;
    }
    if (!compact) {
        return !supervisor && h[1] == 0 && (h[0] & ~cpu->vec.xcr0) == 0;
    }
    return (supervisor || cpu_model_has(cpu->model, FEAT_XSAVEC)) &&
           (h[1] & ~XCOMP_COMPACT & ~cpu->vec.xcr0) == 0 && (h[0] & ~h[1]) == 0;
}

/* Bytes of the area that hold `comps`. */
static unsigned area_end(const CpuState *cpu, uint64_t comps, uint64_t compact)
{
    unsigned end = HEADER_AT + HEADER_LEN;

    for (unsigned c = COMP_AVX; c < XSAVE_COMPONENTS; c++) {
        if ((comps >> c & 1) != 0) {
            end = MAX(end, offset_of(cpu, c, compact) + cpu_model_xsave_area(cpu->model, c)->size);
        }
    }
    return end;
}

/* Bring `rfbm` to what `image` holds; components that are not in `bv` become initial. */
static void restore(CpuState *cpu, const X86Insn *in, const uint8_t *image, uint64_t rfbm, uint64_t bv,
                    uint64_t compact)
{
    if ((rfbm & XCR0_X87) != 0) {
        if ((bv & XCR0_X87) != 0) {
            put_x87(cpu, in, image);
        } else {
            init_x87(cpu);
        }
    }
    if ((rfbm & XCR0_SSE) != 0) {
        put_component(cpu, COMP_SSE, (bv & XCR0_SSE) != 0 ? image + FX_XMM_AT : NULL);
    }
    for (unsigned c = COMP_AVX; c < XSAVE_COMPONENTS; c++) {
        if ((rfbm >> c & 1) != 0) {
            put_component(cpu, c, (bv >> c & 1) != 0 ? image + offset_of(cpu, c, compact) : NULL);
        }
    }
}

static void xrstor(CpuState *cpu, const X86Insn *in, bool supervisor)
{
    uint64_t rfbm = requested(cpu), h[8], compact, comps;
    uint8_t image[4096];
    uint32_t mxcsr;
    bool loads_mxcsr;
    GuestLin area;

    require_xsave(cpu, supervisor);
    area = area_of(cpu, in, HEADER_AT + HEADER_LEN, 64, false);
    get_bytes(cpu, area, HEADER_AT, h, sizeof h);
    if (!header_ok(cpu, h, supervisor)) {
        cpu_raise_gp(cpu, 0);
    }
    compact = (h[1] & XCOMP_COMPACT) != 0 ? h[1] : 0;
    comps = rfbm & h[0];
    unsigned end = area_end(cpu, comps, compact);

    g_assert(end <= sizeof image);
    area = area_of(cpu, in, end, 64, false);
    get_bytes(cpu, area, 0, image, end);
    mxcsr = (uint32_t)load_le(image + FX_MXCSR_AT, 4);
    loads_mxcsr = compact != 0 ? (comps & XCR0_SSE) != 0 : (rfbm & (XCR0_SSE | XCR0_AVX)) != 0;
    if (loads_mxcsr && (mxcsr & ~MXCSR_MASK) != 0) {
        cpu_raise_gp(cpu, 0);
    }
    restore(cpu, in, image, rfbm, h[0], compact);
    if (loads_mxcsr) {
        cpu->vec.mxcsr = mxcsr;
    } else if (compact != 0 && (rfbm & XCR0_SSE) != 0) {
        cpu->vec.mxcsr = MXCSR_INIT;
    }
}

void exec_xrstor(CpuState *cpu, const X86Insn *in)
{
    xrstor(cpu, in, false);
}

void exec_xrstors(CpuState *cpu, const X86Insn *in)
{
    xrstor(cpu, in, true);
}
