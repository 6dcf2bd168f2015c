/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/hwaccel/random-state.h"

#include "cpu-x86/debug.h"
#include "softmmu/base/bits.h"

#include <stdio.h>

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static void fill(void *p, size_t len, uint64_t *x)
{
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)p)[i] = (uint8_t)(next(x) >> 32);
    }
}

static uint64_t canonical_value(uint64_t *x)
{
    return (uint64_t)((int64_t)(next(x) << 17) >> 17);
}

static void fill_vectors(GuestCpu *g, uint64_t *x)
{
    VectorState *v = &g->cpu->vec;
    bool avx512 = (v->xcr0 & XCR0_AVX512) == XCR0_AVX512, avx = (v->xcr0 & XCR0_AVX) != 0;

    for (unsigned i = 0; i < (avx512 ? 32u : 16u); i++) {
        fill(v->zmm[i], avx512 ? 64 : avx ? 32 : 16, x);
    }
    fill(v->k, avx512 ? sizeof v->k : 0, x);
    for (unsigned i = 0; i < 8; i++) {
        fill(v->fx + 32 + i * 16, 10, x);
    }
    v->fx[0] = 0x7f;           /* control word 0x037f, status word 0, all registers in use */
    v->fx[1] = 0x03;
    v->fx[4] = 0xff;
    v->mxcsr = 0x1f80 | (uint32_t)(next(x) & 0x3f);
    v->pkru = (v->xcr0 & XCR0_PKRU) != 0 ? (uint32_t)next(x) : 0;
}

static void fill_msrs(CpuState *cpu, uint64_t *x)
{
    cpu->msr_star = next(x);
    cpu->msr_lstar = canonical_value(x);
    cpu->msr_cstar = canonical_value(x);
    cpu->msr_fmask = next(x) & 0x3f7fd5;
    cpu->msr_kernel_gs_base = canonical_value(x);
    cpu->msr_sysenter_cs = next(x) & 0xfff8;
    cpu->msr_sysenter_esp = next(x) & 0x7fffffff;
    cpu->msr_sysenter_eip = next(x) & 0x7fffffff;
    cpu->msr_pat = UINT64_C(0x0007040600070406);
    cpu->msr_tsc_aux = next(x) & 0xff;
    cpu->msr_mtrr_def_type = 0xc06;
    for (unsigned i = 0; i < 11; i++) {
        cpu->msr_mtrr_fixed[i] = UINT64_C(0x0606060606060606);
    }
    for (unsigned i = 0; i < 8; i++) {
        cpu->msr_mtrr_base[i] = (uint64_t)(i + 1) << 24 | 6;
        cpu->msr_mtrr_mask[i] = UINT64_C(0xfff000000) | 0x800;
    }
    cpu->tsc_offset = (int64_t)(next(x) >> 24);
}

void random_state(GuestCpu *g, unsigned seed)
{
    CpuState *cpu = g->cpu;
    uint64_t x = UINT64_C(0x9e3779b97f4a7c15) * (seed + 1);

    for (unsigned i = 0; i < GPR_COUNT; i++) {
        cpu->gpr[i] = next(&x);
    }
    cpu->rip = cpu->next_rip = next(&x) & 0xffff;
    cpu->rflags = FLAG_FIXED | (next(&x) & (FLAGS_ARITH | FLAG_IF | FLAG_DF));
    cpu->cr2 = next(&x) & 0x7fffffffffff;
    cpu->seg[SEG_FS].base = g->mode == GUEST_LONG64 ? canonical_value(&x) : cpu->seg[SEG_FS].base;
    cpu->seg[SEG_GS].base = g->mode == GUEST_LONG64 ? canonical_value(&x) : cpu->seg[SEG_GS].base;
    for (unsigned i = 0; i < 4; i++) {
        cpu->dr[i] = next(&x) & 0x7fffffff;
    }
    cpu->dr[7] = DR7_FIXED | 0x300;
    cpu->nmi_masked = (seed & 1) != 0;
    cpu->shadow = (seed & 6) != 0;
    cpu->shadow_ss = (seed & 4) != 0;
    fill_msrs(cpu, &x);
    fill_vectors(g, &x);
    cpu_update_mode(cpu);
}

void spoil_state(GuestCpu *g)
{
    random_state(g, 12345);
    g->cpu->cr0 ^= CR0_AM;
    g->cpu->cr3 ^= 0x1000;
    g->cpu->gdtr.base ^= 0x1000;
    g->cpu->idtr.limit ^= 7;
    g->cpu->seg[SEG_DS].selector ^= 8;
    g->cpu->seg[SEG_TR].base ^= 0x1000;
}

/* -- One by one ---------------------------------------------------------------------------------------- */

enum { IN_LONG64 = 1 << GUEST_LONG64, IN_PROT32 = 1 << GUEST_PROT32, IN_REAL16 = 1 << GUEST_REAL16,
       IN_ANY = IN_LONG64 | IN_PROT32 | IN_REAL16 };

typedef struct {
    const char *name;
    size_t off, size;
    unsigned n;                /* of them, `stride` bytes apart                 */
    size_t stride;
    uint64_t flip;             /* exclusive-or with this is another legal value */
    unsigned modes;
    CpuFeature need;           /* FEAT_COUNT: nothing                           */
    uint64_t component;        /* of XSAVE; 0: none                             */
} FieldRow;

#define MEMBER(m) #m, offsetof(CpuState, m), sizeof ((CpuState *)NULL)->m
#define ONE(m, flip, modes) {MEMBER(m), 1, 0, flip, modes, FEAT_COUNT, 0}
#define SOME(m, n, flip, modes) {MEMBER(m), n, sizeof ((CpuState *)NULL)->m, flip, modes, FEAT_COUNT, 0}
#define GIVEN(m, flip, feature) {MEMBER(m), 1, 0, flip, IN_ANY, FEAT_##feature, 0}
#define SEGMENT(id, modes) ONE(seg[SEG_##id].selector, 8, modes), ONE(seg[SEG_##id].base, 0x120, modes)
#define VECTORS(first, byte, n, component) \
    {"zmm[" #first "..] from byte " #byte, offsetof(CpuState, vec.zmm[first][byte]), 8, n, sizeof ((CpuState *)NULL)->vec.zmm[0], \
     UINT64_MAX, IN_ANY, FEAT_COUNT, component}
#define FX(name, at, size, n, flip) {name, offsetof(CpuState, vec.fx) + (at), size, n, 16, flip, IN_ANY, FEAT_COUNT, 0}

#define HIGH_BITS UINT64_C(0xffff900000000000)   /* changes a canonical address into another */

static const FieldRow field_rows[] = {
    SOME(gpr[0], GPR_COUNT, UINT64_MAX, IN_LONG64), SOME(gpr[0], 8, UINT32_MAX, IN_REAL16 | IN_PROT32),
    ONE(rip, 0x1230, IN_ANY),
    ONE(rflags, FLAG_CF, IN_ANY), ONE(rflags, FLAG_PF, IN_ANY), ONE(rflags, FLAG_AF, IN_ANY), ONE(rflags, FLAG_ZF, IN_ANY),
    ONE(rflags, FLAG_SF, IN_ANY), ONE(rflags, FLAG_TF, IN_ANY), ONE(rflags, FLAG_IF, IN_ANY), ONE(rflags, FLAG_DF, IN_ANY),
    ONE(rflags, FLAG_OF, IN_ANY), ONE(rflags, FLAG_IOPL, IN_ANY), ONE(rflags, FLAG_NT, IN_ANY), ONE(rflags, FLAG_RF, IN_ANY),
    ONE(rflags, FLAG_AC, IN_ANY), ONE(rflags, FLAG_VIF, IN_ANY), ONE(rflags, FLAG_VIP, IN_ANY), ONE(rflags, FLAG_ID, IN_ANY),
    SEGMENT(ES, IN_ANY), SEGMENT(CS, IN_REAL16 | IN_PROT32), SEGMENT(SS, IN_ANY),
    SEGMENT(DS, IN_ANY), SEGMENT(FS, IN_ANY), SEGMENT(GS, IN_ANY),
    SEGMENT(LDTR, IN_ANY), SEGMENT(TR, IN_ANY),
    ONE(seg[SEG_FS].base, HIGH_BITS, IN_LONG64), ONE(seg[SEG_GS].base, HIGH_BITS, IN_LONG64),
    ONE(seg[SEG_TR].base, HIGH_BITS, IN_LONG64), ONE(seg[SEG_DS].limit, 0x1000, IN_PROT32),
    ONE(seg[SEG_DS].attr, SEG_AVL, IN_PROT32), ONE(seg[SEG_DS].attr, SEG_DB, IN_PROT32), ONE(seg[SEG_ES].attr, SEG_RW, IN_PROT32),
    ONE(seg[SEG_GS].attr, SEG_DC, IN_PROT32), ONE(seg[SEG_FS].attr, 1 << SEG_DPL_SHIFT, IN_PROT32),
    ONE(gdtr.base, 0x3000, IN_ANY), ONE(gdtr.base, HIGH_BITS, IN_LONG64), ONE(gdtr.limit, 0x100, IN_ANY),
    ONE(idtr.base, 0x3000, IN_ANY), ONE(idtr.base, HIGH_BITS, IN_LONG64), ONE(idtr.limit, 0x100, IN_ANY),
    ONE(cr0, CR0_MP, IN_ANY), ONE(cr0, CR0_EM, IN_ANY), ONE(cr0, CR0_TS, IN_ANY), ONE(cr0, CR0_NE, IN_ANY),
    ONE(cr0, CR0_WP, IN_ANY), ONE(cr0, CR0_AM, IN_ANY), ONE(cr0, CR0_CD, IN_ANY), ONE(cr0, CR0_CD | CR0_NW, IN_ANY),
    ONE(cr2, HIGH_BITS | 0xfff, IN_LONG64), ONE(cr2, UINT32_MAX, IN_ANY), ONE(cr3, 0x5000, IN_ANY), ONE(cr3, 0x18, IN_ANY),
    GIVEN(cr4, CR4_VME, VME), GIVEN(cr4, CR4_PVI, VME), GIVEN(cr4, CR4_TSD, TSC), GIVEN(cr4, CR4_DE, DE), GIVEN(cr4, CR4_PSE, PSE),
    GIVEN(cr4, CR4_MCE, MCE), GIVEN(cr4, CR4_PGE, PGE), GIVEN(cr4, CR4_OSFXSR, FXSR), GIVEN(cr4, CR4_OSXMMEXCPT, SSE),
    GIVEN(cr4, CR4_UMIP, UMIP), GIVEN(cr4, CR4_FSGSBASE, FSGSBASE), GIVEN(cr4, CR4_OSXSAVE, XSAVE), GIVEN(cr4, CR4_SMEP, SMEP),
    GIVEN(cr4, CR4_SMAP, SMAP), GIVEN(cr4, CR4_PKE, PKU),
    GIVEN(efer, EFER_SCE, SYSCALL), GIVEN(efer, EFER_NXE, NX),
    SOME(dr[0], 4, 0x12345678, IN_ANY), SOME(dr[0], 4, HIGH_BITS, IN_LONG64), ONE(dr[6], 0xe00f, IN_ANY), ONE(dr[7], 0x3ff, IN_ANY),
    ONE(dr[7], 0xffff0000, IN_ANY),
    VECTORS(0, 0, 16, 0), VECTORS(0, 8, 16, 0), VECTORS(0, 16, 16, XCR0_AVX), VECTORS(0, 24, 16, XCR0_AVX),
    VECTORS(0, 32, 16, XCR0_ZMM_HI256), VECTORS(0, 56, 16, XCR0_ZMM_HI256), VECTORS(16, 0, 16, XCR0_HI16_ZMM),
    VECTORS(16, 56, 16, XCR0_HI16_ZMM),
    {MEMBER(vec.k[0]), 8, 8, UINT64_MAX, IN_ANY, FEAT_COUNT, XCR0_OPMASK},
    {MEMBER(vec.pkru), 1, 0, 0xfffffffc, IN_ANY, FEAT_COUNT, XCR0_PKRU},
    FX("x87 control word", 0, 2, 1, 0x0c00), FX("x87 status word", 2, 2, 1, 0x7f00), FX("x87 tags", 4, 1, 1, 0x5a),
    FX("x87 opcode", 6, 2, 1, 0x07ff), FX("x87 instruction", 8, 8, 1, 0x123456789abc), FX("x87 operand", 16, 8, 1, 0x123456789abc),
    FX("x87 mantissas", 32, 8, 8, UINT64_MAX), FX("x87 exponents", 40, 2, 8, 0xffff),
    ONE(vec.mxcsr, 0x3f, IN_ANY), ONE(vec.mxcsr, 0xff80, IN_ANY),
    ONE(nmi_masked, 1, IN_ANY), ONE(shadow, 1, IN_ANY),
};

/* What may be written to an MSR instead of what reset leaves there. */
static uint64_t msr_flip(uint32_t msr)
{
    if (msr >= 0x200 && msr < 0x210) {
        return (msr & 1) != 0 ? UINT64_C(0xffff00800) : 0x12300006;
    }
    if (msr >= 0x250 && msr < 0x270) {
        return UINT64_C(0x0606060606060606);
    }
    switch (msr) {
    case 0x3a: return 1;
    case 0x3b: return 0x123456789;
    case 0x48: return 1;
    case 0x174: return 0xfff8;
    case 0x175: case 0x176: return 0x7fffff0;  /* AMD has 32 bits */
    case 0x17a: return 4;
    case 0x1a0: return 1;
    case 0x1d9: return 1;
    case 0x277: return 1;              /* type 6 becomes 7 */
    case 0x2ff: return 0xc06;
    case 0xda0: return 0;              /* nothing else is legal */
    case 0xc0000081: return UINT64_MAX;
    case 0xc0000084: return 0x47700;
    case 0xc0000103: return UINT32_MAX;
    default: return HIGH_BITS | 0xff0;
    }
}

static const struct {
    uint32_t msr;
    const char *name;
    size_t off;
} msr_rows[] = {
#define KVM_MSR(msr, member, when) {msr, #member, offsetof(CpuState, member)},
#include "hwaccel/kvm-msrs.def"
#undef KVM_MSR
};

static bool has_row(const GuestCpu *g, uint64_t xfeatures, const FieldRow *r)
{
    return (r->modes >> g->mode & 1) != 0 && (r->need == FEAT_COUNT || cpu_model_has(g->model, r->need)) &&
           (r->component & ~xfeatures) == 0;
}

bool state_field(const GuestCpu *g, uint64_t xfeatures, unsigned i, StateField *out)
{
    *out = (StateField){.size = 8};
    for (size_t n = 0; n < G_N_ELEMENTS(field_rows); n++) {
        const FieldRow *r = &field_rows[n];

        if (!has_row(g, xfeatures, r)) {
            continue;
        }
        if (i < r->n) {
            snprintf(out->name, sizeof out->name, "%s + %u, %#llx", r->name, i, (unsigned long long)r->flip);
            out->off = r->off + i * r->stride;
            out->size = r->size;
            out->other = state_field_get(g->cpu, out) ^ r->flip;
            return true;
        }
        i -= r->n;
    }
    if (i == G_N_ELEMENTS(msr_rows)) {             /* all that may be off */
        snprintf(out->name, sizeof out->name, "xcr0");
        out->off = offsetof(CpuState, vec.xcr0);
        out->other = (xfeatures & ~UINT64_C(3)) == 0 ? g->cpu->vec.xcr0 : g->cpu->vec.xcr0 == 3 ? xfeatures : 3;
        return true;
    }
    if (i < G_N_ELEMENTS(msr_rows)) {
        snprintf(out->name, sizeof out->name, "%s", msr_rows[i].name);
        out->msr = msr_rows[i].msr;
        out->off = msr_rows[i].off;
        out->other = state_field_get(g->cpu, out) ^ msr_flip(out->msr);
        return true;
    }
    return false;
}

uint64_t state_field_get(const CpuState *cpu, const StateField *f)
{
    return load_le((const uint8_t *)cpu + f->off, (unsigned)f->size);
}

void state_field_set(CpuState *cpu, const StateField *f, uint64_t val)
{
    store_le((uint8_t *)cpu + f->off, (unsigned)f->size, val);
}

/* -- Comparing ---------------------------------------------------------------------------------------- */

static void note(GString *s, const char *name, unsigned i, bool same)
{
    if (!same) {
        g_string_append_printf(s, "%s%s[%u]", s->len > 0 ? " " : "", name, i);
    }
}

static bool same_segment(const Segment *a, const Segment *b)
{
    if ((a->attr & b->attr & SEG_NULL) != 0) {
        return a->selector == b->selector && a->base == b->base;
    }
    return a->selector == b->selector && a->base == b->base && a->limit == b->limit && a->attr == b->attr;
}

#define FIELD(member) note(s, #member, 0, a->member == b->member)
#define FIELDS(member, n)                                                                          \
    for (unsigned i = 0; i < (n); i++) {                                                           \
        note(s, #member, i, a->member[i] == b->member[i]);                                         \
    }

static void compare_vectors(GString *s, const VectorState *a, const VectorState *b, uint64_t xfeatures)
{
    unsigned n = (xfeatures & XCR0_HI16_ZMM) != 0 ? 32 : 16;
    unsigned len = (xfeatures & XCR0_ZMM_HI256) != 0 ? 64 : (xfeatures & XCR0_AVX) != 0 ? 32 : 16;

    for (unsigned i = 0; i < n; i++) {
        note(s, "zmm", i, memcmp(a->zmm[i], b->zmm[i], len) == 0);
    }
    for (unsigned i = 0; i < 8 && (xfeatures & XCR0_OPMASK) != 0; i++) {
        note(s, "k", i, a->k[i] == b->k[i]);
    }
    for (unsigned i = 0; i < 8; i++) {
        note(s, "st", i, memcmp(a->fx + 32 + i * 16, b->fx + 32 + i * 16, 10) == 0);
    }
    note(s, "x87 words", 0, memcmp(a->fx, b->fx, 5) == 0 && memcmp(a->fx + 6, b->fx + 6, 18) == 0);
    FIELD(mxcsr);
    FIELD(xcr0);
    note(s, "pkru", 0, (xfeatures & XCR0_PKRU) == 0 || a->pkru == b->pkru);
}

char *compare_states(const CpuState *a, const CpuState *b, uint64_t xfeatures)
{
    GString *s = g_string_new(NULL);
    bool has_pdptes = (a->cr0 & CR0_PG) != 0 && (a->cr4 & CR4_PAE) != 0 && (a->efer & EFER_LMA) == 0;

    FIELDS(gpr, GPR_COUNT);
    FIELD(rip); FIELD(rflags); FIELD(cr0); FIELD(cr2); FIELD(cr3); FIELD(cr4); FIELD(efer);
    for (unsigned i = 0; i < SEG_ALL_COUNT; i++) {
        note(s, "seg", i, same_segment(&a->seg[i], &b->seg[i]));
    }
    FIELD(gdtr.base); FIELD(gdtr.limit); FIELD(idtr.base); FIELD(idtr.limit);
    FIELDS(dr, 4);
    FIELD(dr[6]); FIELD(dr[7]);
    for (size_t i = 0; i < G_N_ELEMENTS(msr_rows); i++) {
        note(s, msr_rows[i].name, 0, *(const uint64_t *)((const uint8_t *)a + msr_rows[i].off) ==
                                         *(const uint64_t *)((const uint8_t *)b + msr_rows[i].off));
    }
    FIELD(tsc_offset);
    FIELDS(pdpte, has_pdptes ? 4 : 0);
    FIELD(nmi_masked); FIELD(shadow); FIELD(shadow_ss); FIELD(activity); FIELD(mode); FIELD(cpl);
    compare_vectors(s, &a->vec, &b->vec, xfeatures);
    return g_string_free(s, FALSE);
}
