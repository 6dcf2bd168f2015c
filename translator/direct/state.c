/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CpuState and the signal frame of a world.
 *
 * The frame's vector state is an XSAVE image in the standard format, as the host's kernel lays it
 * out.  What comes from a world is untrusted: whatever bits it holds, the result is a CpuState that
 * the guest's own instructions could have made.
 */
#include "cpu-x86/exception.h"
#include "cpu-x86/segment.h"
#include "translator/direct/direct-state.h"

#include <string.h>

/* <cpuid.h> would be ours */
static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(leaf), "2"(subleaf));
}

enum { /* the host's selectors, fixed by Linux's ABI */
    HOST_CS32 = 0x23, HOST_CS64 = 0x33, HOST_DATA = 0x2b,
};

static bool is_code64(const CpuState *cpu)
{
    return (cpu->mode & MODE_CS64) != 0;
}

/* -- Selectors ---------------------------------------------------------------------------------------
 *
 * In 64-bit code they are what they are.  In 32-bit code every flat segment is the host's flat segment, whatever its
 * selector; the scan denies code that reads selectors.  FS and GS have bases all the same: the host's
 * WRFSBASE changes what the selector has loaded.
 */
static uint16_t selector_for_world(const CpuState *cpu, unsigned seg)
{
    uint16_t selector = cpu->seg[seg].selector;

    return is_code64(cpu) || selector <= 3 ? selector : HOST_DATA;
}

static bool is_flat_data(const Segment *s, bool any_base)
{
    const uint32_t mask = SEG_S | SEG_CODE | SEG_DC | SEG_RW | SEG_DB | SEG_P | 3 << SEG_DPL_SHIFT;
    const uint32_t want = SEG_S | SEG_RW | SEG_DB | SEG_P | 3 << SEG_DPL_SHIFT;

    return s->limit == UINT32_MAX && (s->attr & mask) == want && (any_base || s->base == 0);
}

/* A base that the host's kernel has set, and will preserve. */
static bool is_set_by_call(const Segment *s)
{
    return s->selector == 0 && s->base < W_TOP;
}

bool state_segments_fit(const DirectCpu *dc)
{
    const WorldImage *image = &dc->shared->image;
    const CpuState *cpu = dc->cpu;

    if ((!is_code64(cpu) && !image->runs_code32) ||
        (image->bases_by_calls && !(is_set_by_call(&cpu->seg[SEG_FS]) && is_set_by_call(&cpu->seg[SEG_GS])))) {
        return false;
    }
    for (unsigned seg = 0; seg < SEG_COUNT; seg++) {
        const Segment *s = &cpu->seg[seg];
        bool null_or_data = s->selector <= 3 || (is_code64(cpu) ? s->selector == HOST_DATA : is_flat_data(s, seg >= SEG_FS));

        if (seg == SEG_CS ? is_code64(cpu) && s->selector != HOST_CS64
            : seg == SEG_SS ? is_code64(cpu) ? s->selector != HOST_DATA : !is_flat_data(s, false)
            : !null_or_data) {
            return false;
        }
    }
    return is_code64(cpu) ||
           (cpu->mode & (MODE_CS32 | MODE_SS32 | MODE_FLAT | MODE_PE)) == (MODE_CS32 | MODE_SS32 | MODE_FLAT | MODE_PE);
}

#define RFLAGS_USER                                                                                \
    ((uint64_t)(FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID))

static const int greg_of[GPR_COUNT] = {
    [GPR_RAX] = REG_RAX, [GPR_RCX] = REG_RCX, [GPR_RDX] = REG_RDX, [GPR_RBX] = REG_RBX,
    [GPR_RSP] = REG_RSP, [GPR_RBP] = REG_RBP, [GPR_RSI] = REG_RSI, [GPR_RDI] = REG_RDI,
    [GPR_R8] = REG_R8,   [GPR_R9] = REG_R9,   [GPR_R10] = REG_R10, [GPR_R11] = REG_R11,
    [GPR_R12] = REG_R12, [GPR_R13] = REG_R13, [GPR_R14] = REG_R14, [GPR_R15] = REG_R15,
};

/* -- From the world -------------------------------------------------------------------------------- */

static bool canonical48(uint64_t addr)
{
    return ((int64_t)(addr << 16) >> 16) == (int64_t)addr;
}

/* The selector a data segment register has now, when it is not what it was given. */
static void take_selector(CpuState *cpu, unsigned seg, uint16_t selector, uint64_t base)
{
    bool has_base = seg == SEG_FS || seg == SEG_GS;
    bool reloaded = !is_code64(cpu) && has_base && selector > 3 && (uint32_t)base != (uint32_t)cpu->seg[seg].base;

    if (has_base && is_code64(cpu) && canonical48(base)) {
        cpu->seg[seg].base = base;
    }
    if (selector_for_world(cpu, seg) == selector && !reloaded) {
        return;
    }
    /* By the guest's own tables; what it could not load, the host's could not stand for. */
    cpu_load_segment(cpu, seg, selector);
    if (has_base && is_code64(cpu) && canonical48(base)) {
        cpu->seg[seg].base = base;
    }
}

void state_from_event(CpuState *cpu, const WorldEvent *ev)
{
    const greg_t *g = ev->regs.gregs;
    uint16_t cs = (uint16_t)g[REG_CSGSFS], ss = (uint16_t)((uint64_t)g[REG_CSGSFS] >> 48);

    for (unsigned r = 0; r < GPR_COUNT; r++) {
        cpu->gpr[r] = (uint64_t)g[greg_of[r]];
    }
    cpu->rip = (uint64_t)g[REG_RIP];
    cpu->rflags = (cpu->rflags & ~RFLAGS_USER) | ((uint64_t)g[REG_EFL] & RFLAGS_USER & ~(uint64_t)FLAG_RF);
    cpu_update_mode(cpu);
    if (!canonical48(cpu->rip)) {
        cpu_raise_gp(cpu, 0);
    }
    take_selector(cpu, SEG_DS, ev->ds, 0);
    take_selector(cpu, SEG_ES, ev->es, 0);
    take_selector(cpu, SEG_FS, ev->fs, ev->fs_base);
    take_selector(cpu, SEG_GS, ev->gs, ev->gs_base);
    if (ss != selector_for_world(cpu, SEG_SS)) {
        cpu_load_segment(cpu, SEG_SS, ss);
    }
    if (cs != (is_code64(cpu) ? HOST_CS64 : HOST_CS32)) {
        /* A far transfer between the host's two code segments: the guest's are the same, or it faults. */
        cpu->next_rip = cpu->rip;
        cpu_far_jump(cpu, cs, cpu->rip, 8);
        cpu->rip = cpu->next_rip;
    }
}

/* -- Vectors --------------------------------------------------------------------------------------- */

enum { /* of the legacy region and the header */
    FX_X87_LEN = 24, FX_MXCSR = 24, FX_MXCSR_MASK = 28, FX_ST = 32, FX_XMM = 160, XSTATE_BV = 512,
    HEADER_LEN = 64,
};
enum { COMP_X87, COMP_SSE, COMP_AVX, COMP_OPMASK = 5, COMP_ZMM_HI256, COMP_HI16_ZMM };

void vector_layout_init(VectorLayout *l)
{
    static const uint8_t comp[] = {COMP_AVX, COMP_OPMASK, COMP_ZMM_HI256, COMP_HI16_ZMM};
    uint32_t *const at[] = {&l->ymm, &l->opmask, &l->zmm_hi, &l->hi16};

    for (unsigned i = 0; i < G_N_ELEMENTS(comp); i++) {
        uint32_t r[4];

        cpuid(0xd, comp[i], r);
        *at[i] = r[1];
    }
}

static void take_x87(VectorState *v, const uint8_t *image, bool in_use)
{
    memset(v->fx, 0, FX_XMM);
    if (!in_use) {
        store_le(v->fx, 2, 0x37f);
        return;
    }
    memcpy(v->fx, image, FX_X87_LEN);
    v->fx[5] = 0;
    for (unsigned i = 0; i < 8; i++) {
        memcpy(v->fx + FX_ST + 16 * i, image + FX_ST + 16 * i, 10);
    }
}

/* Registers first .. first + n - 1, `len` bytes at `at` of each; zero if `from` is NULL. */
static void take_slices(VectorState *v, const uint8_t *from, unsigned first, unsigned at, unsigned len)
{
    for (unsigned i = 0; i < 16; i++) {
        if (from != NULL) {
            memcpy(v->zmm[first + i] + at, from + (size_t)i * len, len);
        } else {
            memset(v->zmm[first + i] + at, 0, len);
        }
    }
}

void state_vectors_from_world(DirectCpu *dc, const World *w, const WorldEvent *ev)
{
    const uint8_t *image = w->shared + ev->fp_at;
    const VectorLayout *l = &dc->layout;
    VectorState *v = &dc->cpu->vec;
    uint64_t bv = load_le(image + XSTATE_BV, 8);

#define COMP(n, at) ((bv >> (n) & 1) != 0 ? image + (at) : NULL)
    take_x87(v, image, (bv & XCR0_X87) != 0);
    v->mxcsr = (uint32_t)load_le(image + FX_MXCSR, 4) & 0xffff;
    take_slices(v, COMP(COMP_SSE, FX_XMM), 0, 0, 16);
    if ((v->xcr0 & XCR0_AVX) != 0) {
        take_slices(v, COMP(COMP_AVX, l->ymm), 0, 16, 16);
    }
    if ((v->xcr0 & XCR0_AVX512) != 0) {
        const uint8_t *k = COMP(COMP_OPMASK, l->opmask);

        take_slices(v, COMP(COMP_ZMM_HI256, l->zmm_hi), 0, 32, 32);
        take_slices(v, COMP(COMP_HI16_ZMM, l->hi16), 16, 0, 64);
        if (k != NULL) {
            memcpy(v->k, k, sizeof v->k);
        } else {
            memset(v->k, 0, sizeof v->k);
        }
    }
#undef COMP
}

static void give_slices(const VectorState *v, uint8_t *to, unsigned first, unsigned at, unsigned len)
{
    for (unsigned i = 0; i < 16; i++) {
        memcpy(to + (size_t)i * len, v->zmm[first + i] + at, len);
    }
}

/* The host's kernel reads an image only if its software bytes and end mark are as it wrote them. */
static void give_vectors(DirectCpu *dc, World *w, uint8_t *image)
{
    const VectorLayout *l = &dc->layout;
    const VectorState *v = &dc->cpu->vec;
    uint64_t bv = v->xcr0 & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512);

    memcpy(image, v->fx, FX_X87_LEN);
    store_le(image + FX_MXCSR, 4, v->mxcsr);
    store_le(image + FX_MXCSR_MASK, 4, 0xffff);
    memcpy(image + FX_ST, v->fx + FX_ST, FX_XMM - FX_ST);
    give_slices(v, image + FX_XMM, 0, 0, 16);
    world_seal_vectors(w, image);
    memset(image + XSTATE_BV, 0, HEADER_LEN);
    store_le(image + XSTATE_BV, 8, bv);
    if ((bv & XCR0_AVX) != 0) {
        give_slices(v, image + l->ymm, 0, 16, 16);
    }
    if ((bv & XCR0_AVX512) != 0) {
        memcpy(image + l->opmask, v->k, sizeof v->k);
        give_slices(v, image + l->zmm_hi, 0, 32, 32);
        give_slices(v, image + l->hi16, 16, 0, 64);
    }
}

/* -- To the world ------------------------------------------------------------------------------------ */

bool state_to_world(DirectCpu *dc, World *w)
{
    const CpuState *cpu = dc->cpu;
    WorldEvent ev = {
        .fs_base = cpu->seg[SEG_FS].base, .gs_base = cpu->seg[SEG_GS].base,
        .ds = selector_for_world(cpu, SEG_DS), .es = selector_for_world(cpu, SEG_ES),
        .fs = selector_for_world(cpu, SEG_FS), .gs = selector_for_world(cpu, SEG_GS),
    };
    uint8_t *image;
    ucontext_t *uc = world_frame(w, &image);
    greg_t *g;

    if (uc == NULL) {
        return false;
    }
    g = uc->uc_mcontext.gregs;
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        g[greg_of[r]] = (greg_t)cpu->gpr[r];
    }
    g[REG_RIP] = (greg_t)cpu->rip;
    g[REG_CSGSFS] = (greg_t)((is_code64(cpu) ? HOST_CS64 : HOST_CS32) | (uint64_t)HOST_DATA << 48);
    g[REG_EFL] = (greg_t)(cpu->rflags & RFLAGS_USER & ~(uint64_t)FLAG_RF) | FLAG_FIXED | FLAG_IF; /* RF: world_clear_rf() */
    give_vectors(dc, w, image);
    world_set_segments(w, &ev);
    world_set_id_flag(w, (cpu->rflags & FLAG_ID) != 0);
    return true;
}

bool state_rdtsc_is_true(const DirectCpu *dc)
{
    const CpuState *cpu = dc->cpu;

    return cpu->tsc_now == NULL && cpu->tsc_offset == 0 && (cpu->cr4 & CR4_TSD) == 0;
}

bool state_fits_world(const DirectCpu *dc)
{
    const CpuState *cpu = dc->cpu;
    const uint64_t vectors = XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;

    return state_segments_fit(dc) &&
           (cpu->rflags & (FLAG_IF | FLAG_IOPL | FLAG_NT | FLAG_VM | FLAG_AC | FLAG_TF | FLAG_VIF |
                           FLAG_VIP)) == FLAG_IF &&
           (cpu->cr0 & (CR0_TS | CR0_EM | CR0_NE | CR0_PG)) == (CR0_NE | CR0_PG) &&
           (cpu->cr4 & (CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE)) ==
               (CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE) &&
           (cpu->vec.xcr0 & vectors) == (dc->host_xcr0 & vectors) && cpu->rip < W_TOP;
}
