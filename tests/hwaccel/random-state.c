/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/hwaccel/random-state.h"

#include "cpu-x86/debug.h"

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
    note(s, "x87 words", 0, memcmp(a->fx, b->fx, 5) == 0);
    FIELD(mxcsr);
    FIELD(xcr0);
    note(s, "pkru", 0, (xfeatures & XCR0_PKRU) == 0 || a->pkru == b->pkru);
}

char *compare_states(const CpuState *a, const CpuState *b, uint64_t xfeatures)
{
    GString *s = g_string_new(NULL);

    FIELDS(gpr, GPR_COUNT);
    FIELD(rip); FIELD(rflags); FIELD(cr0); FIELD(cr2); FIELD(cr3); FIELD(cr4); FIELD(efer);
    for (unsigned i = 0; i < SEG_ALL_COUNT; i++) {
        note(s, "seg", i, same_segment(&a->seg[i], &b->seg[i]));
    }
    FIELD(gdtr.base); FIELD(gdtr.limit); FIELD(idtr.base); FIELD(idtr.limit);
    FIELDS(dr, 4);
    FIELD(dr[6]); FIELD(dr[7]);
    FIELD(msr_star); FIELD(msr_lstar); FIELD(msr_cstar); FIELD(msr_fmask); FIELD(msr_kernel_gs_base);
    FIELD(msr_sysenter_cs); FIELD(msr_sysenter_esp); FIELD(msr_sysenter_eip);
    FIELD(msr_pat); FIELD(msr_tsc_aux); FIELD(msr_misc_enable); FIELD(msr_mtrr_def_type); FIELD(tsc_offset);
    FIELDS(msr_mtrr_fixed, 11);
    FIELDS(msr_mtrr_base, 8);
    FIELDS(msr_mtrr_mask, 8);
    FIELD(nmi_masked); FIELD(shadow); FIELD(shadow_ss); FIELD(activity); FIELD(mode); FIELD(cpl);
    compare_vectors(s, &a->vec, &b->vec, xfeatures);
    return g_string_free(s, FALSE);
}
