/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making a CPU model from `-cpu`: named rows, the host, and single features. */
#include "cpu-x86/model-internal.h"

#include <gio/gio.h>
#include <string.h>

typedef enum { NEED_HOST, NEED_HOST_AVX, NEED_HOST_AVX512, NEED_HOST_AMD, NEED_OURS, NEED_OURS_ASKED,
               NEED_OURS_AMD, NEED_NEVER } Need;
enum { EAX, EBX, ECX, EDX };

typedef struct {
    const char *name;
    uint32_t leaf, subleaf;
    uint8_t reg, bit;
    Need need;
} FeatureInfo;

static const FeatureInfo features[FEAT_COUNT] = {
#define FEATURE(id, name, leaf, subleaf, reg, bit, need)                                            \
    [FEAT_##id] = {name, leaf, subleaf, reg, bit, NEED_##need},
#include "cpu-x86/features.def"
#undef FEATURE
};

typedef struct {
    const char *name, *desc, *vendor;
    uint16_t family, model, stepping;
    const char *brand, *features;
} ModelInfo;

static const ModelInfo models[] = {
#define MODEL(...) {__VA_ARGS__},
#include "cpu-x86/models.def"
#undef MODEL
};

/* What is meaningless without something else (SDM vol. 1 13.2, 14.3, 15.2); in order. */
static const struct {
    CpuFeature feature, needs;
} dependencies[] = {
    {FEAT_AVX, FEAT_XSAVE},           {FEAT_PKU, FEAT_XSAVE},
    {FEAT_XSAVEOPT, FEAT_XSAVE},      {FEAT_XSAVEC, FEAT_XSAVE},
    {FEAT_XGETBV1, FEAT_XSAVE},       {FEAT_XSAVES, FEAT_XSAVE},
    {FEAT_SSE2, FEAT_SSE},            {FEAT_SSE3, FEAT_SSE2},
    {FEAT_F16C, FEAT_AVX},            {FEAT_FMA, FEAT_AVX},
    {FEAT_AVX2, FEAT_AVX},            {FEAT_VAES, FEAT_AVX},
    {FEAT_VPCLMULQDQ, FEAT_AVX},      {FEAT_AVX_VNNI, FEAT_AVX2},
    {FEAT_AVX512F, FEAT_AVX2},        {FEAT_AVX512DQ, FEAT_AVX512F},
    {FEAT_AVX512CD, FEAT_AVX512F},    {FEAT_AVX512BW, FEAT_AVX512F},
    {FEAT_AVX512VL, FEAT_AVX512F},    {FEAT_AVX512IFMA, FEAT_AVX512F},
    {FEAT_AVX512VBMI, FEAT_AVX512F},  {FEAT_AVX512VBMI2, FEAT_AVX512BW},
    {FEAT_AVX512VNNI, FEAT_AVX512F},  {FEAT_AVX512BITALG, FEAT_AVX512BW},
    {FEAT_AVX512VPOPCNTDQ, FEAT_AVX512F}, {FEAT_AVX512FP16, FEAT_AVX512BW},
    {FEAT_AVX512_BF16, FEAT_AVX512BW}, {FEAT_X2APIC, FEAT_APIC},
    {FEAT_TSC_DEADLINE, FEAT_APIC},   {FEAT_PCID, FEAT_LM},
    {FEAT_PDPE1GB, FEAT_LM},          {FEAT_SYSCALL, FEAT_LM},
    {FEAT_FSGSBASE, FEAT_LM},         {FEAT_PKU, FEAT_LM},
    {FEAT_KVM_CLOCK, FEAT_TSC},       {FEAT_KVM_CLOCK_STABLE, FEAT_KVM_CLOCK},
    {FEAT_KVM_PV_EOI, FEAT_APIC},     {FEAT_KVM_PV_IPI, FEAT_APIC},
    {FEAT_KVM_PV_TLB_FLUSH, FEAT_KVM_STEAL_TIME},
};

/* -- The host ----------------------------------------------------------------------------------------- */

/* (The compiler's <cpuid.h> is hidden by ours.) */
static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(r[EAX]), "=b"(r[EBX]), "=c"(r[ECX]), "=d"(r[EDX])
                     : "0"(leaf), "2"(subleaf));
}

/* All zero beyond the host's last leaf. */
static void host_leaf(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    host_cpuid(leaf & 0x80000000, 0, r);
    if (r[EAX] < leaf) {
        memset(r, 0, 4 * sizeof *r);
        return;
    }
    host_cpuid(leaf, subleaf, r);
}

/* State components the host's operating system saves. */
static uint64_t host_xcr0(void)
{
    uint32_t r[4], lo, hi;

    host_leaf(1, 0, r);
    if ((r[ECX] & BIT(27)) == 0) {
        return 0;
    }
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo | (uint64_t)hi << 32;
}

static bool host_has_bit(const FeatureInfo *f)
{
    uint32_t r[4];

    host_leaf(f->leaf, f->subleaf, r);
    return (r[f->reg] >> f->bit & 1) != 0;
}

static bool is_paravirtual(const FeatureInfo *f)
{
    return f->leaf == 0x40000001;
}

/* Can this feature be offered on this host at all? */
static bool available(const FeatureInfo *f)
{
    const uint64_t avx = XCR0_SSE | XCR0_AVX;

    switch (f->need) {
    case NEED_NEVER:
        return false;
    case NEED_HOST:
    case NEED_HOST_AMD:
        return host_has_bit(f);
    case NEED_HOST_AVX:
        return host_has_bit(f) && (host_xcr0() & avx) == avx;
    case NEED_HOST_AVX512:
        return host_has_bit(f) && (host_xcr0() & (avx | XCR0_AVX512)) == (avx | XCR0_AVX512);
    default:
        return true;
    }
}

static void take_host(CpuModel *m)
{
    uint32_t r[4];

    host_leaf(0, 0, r);
    memcpy(m->vendor, &r[EBX], 4);
    memcpy(m->vendor + 4, &r[EDX], 4);
    memcpy(m->vendor + 8, &r[ECX], 4);
    m->amd = strcmp(m->vendor, "AuthenticAMD") == 0 || strcmp(m->vendor, "HygonGenuine") == 0;
    host_leaf(1, 0, r);
    m->signature = r[EAX];
    for (unsigned i = 0; i < 3; i++) {
        host_leaf(0x80000002 + i, 0, r);
        memcpy(m->brand + i * 16, r, 16);
    }
    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        bool amd_only = features[i].need == NEED_OURS_AMD || features[i].need == NEED_HOST_AMD;

        m->has[i] = available(&features[i]) && (m->amd || !amd_only) &&
                    features[i].need != NEED_OURS_ASKED;
    }
}

/* Paravirtual interfaces belong to the machine, whatever processor it shows. */
static void take_paravirtual(CpuModel *m)
{
    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        m->has[i] |= is_paravirtual(&features[i]) && features[i].need == NEED_OURS;
    }
}

/* -- Names -------------------------------------------------------------------------------------------- */

/* QEMU spells features with '-', '_' or '.' in different places; they are the same to us. */
static char fold(char c)
{
    return c == '_' || c == '.' ? '-' : g_ascii_tolower(c);
}

static bool same_name(const char *a, const char *b)
{
    while (*a != '\0' && fold(*a) == fold(*b)) {
        a++;
        b++;
    }
    return *a == '\0' && *b == '\0';
}

/* Other names of rows. */
static const struct {
    const char *alias, *name;
} aliases[] = {
    {"sse3", "pni"},        {"lzcnt", "abm"},  {"pclmuldq", "pclmulqdq"}, {"i64", "lm"},
    {"xd", "nx"},           {"cmpxchg16b", "cx16"}, {"sha", "sha-ni"},    {"la57", "la57"},
    {"avx512-vnni", "avx512vnni"}, {"avx512-vbmi2", "avx512vbmi2"},
    {"avx512-bitalg", "avx512bitalg"}, {"prefetchw", "3dnowprefetch"},
};

static int find_feature(const char *name)
{
    for (unsigned i = 0; i < ARRAY_LEN(aliases); i++) {
        if (same_name(name, aliases[i].alias)) {
            name = aliases[i].name;
            break;
        }
    }
    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        if (same_name(name, features[i].name)) {
            return (int)i;
        }
    }
    return -1;
}

/* Levenshtein distance of two short names, for suggestions. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[64];
    size_t na = MIN(strlen(a), 62), nb = MIN(strlen(b), 62);

    for (unsigned j = 0; j <= nb; j++) {
        row[j] = j;
    }
    for (unsigned i = 1; i <= na; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= nb; j++) {
            unsigned change = diagonal + (fold(a[i - 1]) != fold(b[j - 1]));

            diagonal = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[nb];
}

static const char *nearest_feature(const char *name)
{
    const char *best = NULL;
    unsigned best_distance = UINT_MAX;

    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        unsigned d = distance(name, features[i].name);

        if (features[i].need != NEED_NEVER && d < best_distance) {
            best = features[i].name;
            best_distance = d;
        }
    }
    return best;
}

static const char *nearest_model(const char *name)
{
    const char *best = "max";
    unsigned best_distance = MIN(distance(name, "max"), distance(name, "host"));

    best = distance(name, "host") < distance(name, "max") ? "host" : "max";
    for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
        unsigned d = distance(name, models[i].name);

        if (d < best_distance) {
            best = models[i].name;
            best_distance = d;
        }
    }
    return best;
}

/* -- Building ------------------------------------------------------------------------------------------ */

static bool unavailable(const char *name, const char *who, const FeatureInfo *f, GError **error)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                "CPU feature '%s'%s%s is not available: %s", name, who != NULL ? " of model " : "",
                who != NULL ? who : "",
                f->need == NEED_NEVER ? "it is not emulated" : "the host processor lacks it");
    return false;
}

/* Turn on the features of a row, and of the row it builds upon. */
static bool add_features(CpuModel *m, const char *list, const char *who, GError **error)
{
    g_auto(GStrv) names = g_strsplit(list, " ", -1);

    for (char **n = names; *n != NULL; n++) {
        if ((*n)[0] == '@') {
            for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
                if (strcmp(*n + 1, models[i].name) == 0 &&
                    !add_features(m, models[i].features, who, error)) {
                    return false;
                }
            }
        } else if ((*n)[0] != '\0') {
            int f = find_feature(*n);

            g_assert(f >= 0);
            if (!available(&features[f])) {
                return unavailable(*n, who, &features[f], error);
            }
            m->has[f] = true;
        }
    }
    return true;
}

static uint32_t make_signature(unsigned family, unsigned model, unsigned stepping)
{
    unsigned base = MIN(family, 15u);

    return stepping | (model & 15) << 4 | base << 8 | (model >> 4) << 16 | (family - base) << 20;
}

static bool take_named(CpuModel *m, const char *name, GError **error)
{
    for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
        const ModelInfo *info = &models[i];

        if (same_name(name, info->name)) {
            g_strlcpy(m->vendor, info->vendor, sizeof m->vendor);
            g_strlcpy(m->brand, info->brand, sizeof m->brand);
            m->amd = strcmp(info->vendor, "AuthenticAMD") == 0;
            m->signature = make_signature(info->family, info->model, info->stepping);
            return add_features(m, info->features, info->name, error);
        }
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                "unknown CPU model '%s' (nearest: '%s'; -cpu help lists all)", name,
                nearest_model(name));
    return false;
}

static bool set_feature(CpuModel *m, const char *name, bool on, GError **error)
{
    int f = find_feature(name);

    if (f < 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "unknown CPU feature '%s' (nearest: '%s'; -cpu help lists all)", name,
                    nearest_feature(name));
        return false;
    }
    if (on && !available(&features[f])) {
        return unavailable(name, NULL, &features[f], error);
    }
    m->has[f] = on;
    return true;
}

/* Properties that are no CPUID bit; NULL: `key` is none of them. */
static bool *property(CpuModel *m, const char *key)
{
    return same_name(key, "kvm") ? &m->kvm
           : same_name(key, "vmware-cpuid-freq") ? &m->vmware_freq : NULL;
}

static bool set_feature_or_property(CpuModel *m, const char *name, bool on, GError **error)
{
    bool *p = property(m, name);

    if (p != NULL) {
        *p = on;
    }
    return p != NULL || set_feature(m, name, on, error);
}

/* Does `key` name what holds in any case?  `off`: why it cannot be switched off; NULL: it makes no difference. */
static bool holds_anyway(const char *key, const char **off)
{
    *off = NULL;
    if (same_name(key, "kvm-pv-enforce-cpuid")) {
        *off = "KVM's interfaces that CPUID does not show are refused in any case";
        return true;
    }
    return same_name(key, "migratable") || same_name(key, "enforce") || same_name(key, "check"); /* what is not available is refused */
}

/* One item behind the model's name: +feat, -feat, feat, feat=on|off, phys-bits=N. */
static bool apply_item(CpuModel *m, const char *item, GError **error)
{
    const char *eq = strchr(item, '=');
    g_autofree char *key = eq != NULL ? g_strndup(item, (gsize)(eq - item)) : g_strdup(item);
    const char *val = eq != NULL ? eq + 1 : "on", *why;
    bool anyway, on;

    if (item[0] == '+' || item[0] == '-') {
        return set_feature_or_property(m, item + 1, item[0] == '+', error);
    }
    if (strcmp(key, "phys-bits") == 0) {
        guint64 bits;

        if (!g_ascii_string_to_unsigned(val, 10, 32, 52, &bits, NULL)) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "CPU property phys-bits=%s: not a number from 32 to 52", val);
            return false;
        }
        m->phys_bits = (unsigned)bits;
        return true;
    }
    anyway = holds_anyway(key, &why);
    on = strcmp(val, "on") == 0;
    if (!on && strcmp(val, "off") != 0 && (anyway || property(m, key) != NULL || find_feature(key) >= 0)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "CPU feature %s=%s: write on or off", key, val);
        return false;
    }
    if (!on && why != NULL) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED, "CPU property %s=off: %s", key, why);
        return false;
    }
    return anyway || set_feature_or_property(m, key, on, error);
}

/* Where XSAVE components lie: as on the host, or where Intel has them. */
static void layout_xsave(CpuModel *m)
{
    static const XsaveArea usual[XSAVE_COMPONENTS] = {
        [2] = {256, 576, false}, [5] = {64, 1088, false}, [6] = {512, 1152, false},
        [7] = {1024, 1664, false}, [9] = {8, 2688, false},
    };
    static const struct {
        CpuFeature feature;
        uint64_t bits;
    } owners[] = {{FEAT_AVX, XCR0_AVX}, {FEAT_AVX512F, XCR0_AVX512}, {FEAT_PKU, XCR0_PKRU}};

    memcpy(m->area, usual, sizeof usual);
    for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
        uint32_t r[4];

        host_leaf(0xd, i, r);
        if (usual[i].size != 0 && r[EAX] == usual[i].size && (r[ECX] & 1) == 0) {
            m->area[i] = (XsaveArea){r[EAX], r[EBX], (r[ECX] & 2) != 0};
        }
    }
    m->xcr0 = XCR0_X87;
    if (m->has[FEAT_XSAVE]) {
        m->xcr0 |= XCR0_SSE;
        for (unsigned i = 0; i < ARRAY_LEN(owners); i++) {
            m->xcr0 |= m->has[owners[i].feature] ? owners[i].bits : 0;
        }
    }
}

static void add_word_bit(CpuModel *m, const FeatureInfo *f)
{
    FeatureWord *w = m->words;

    while (w < m->words + m->n_words &&
           !(w->leaf == f->leaf && w->subleaf == f->subleaf && w->reg == f->reg)) {
        w++;
    }
    if (w == m->words + m->n_words) {
        g_assert(m->n_words < ARRAY_LEN(m->words));
        *w = (FeatureWord){f->leaf, f->subleaf, f->reg, 0};
        m->n_words++;
    }
    w->bits |= BIT(f->bit);
}

/* Everything that follows from the features. */
static void finish(CpuModel *m)
{
    m->kvm = m->kvm && m->has[FEAT_HYPERVISOR];
    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        m->has[i] = m->has[i] && (m->kvm || !is_paravirtual(&features[i]));
    }
    for (unsigned i = 0; i < ARRAY_LEN(dependencies); i++) {
        if (!m->has[dependencies[i].needs]) {
            m->has[dependencies[i].feature] = false;
        }
    }
    layout_xsave(m);
    m->n_words = 0;
    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        if (m->has[i]) {
            add_word_bit(m, &features[i]);
        }
    }
    m->level = m->amd ? 0xd : 0x16;
    m->xlevel = m->amd && m->has[FEAT_TOPOEXT] ? 0x8000001e : 0x80000008;
    for (unsigned i = 0; i < m->n_words; i++) {
        m->xlevel = MAX(m->xlevel, m->words[i].leaf >= 0x80000000 ? m->words[i].leaf : 0);
    }
    if (m->phys_bits == 0) {
        uint32_t r[4];

        host_leaf(0x80000008, 0, r);
        m->phys_bits = !m->has[FEAT_LM] ? 36 : CLAMP(r[EAX] & 0xff, 36, 52);
    }
}

CpuModel *cpu_model_new(const char *spec, unsigned n_cpus, GError **error)
{
    g_auto(GStrv) items = g_strsplit(spec, ",", -1);
    CpuModel *m = g_new0(CpuModel, 1);
    const char *name = items[0] != NULL && items[0][0] != '\0' ? items[0] : "max";
    bool ok = true;

    m->name = g_strdup(name);
    m->n_cpus = MAX(n_cpus, 1u);
    if (same_name(name, "max") || same_name(name, "host")) {
        take_host(m);
    } else {
        ok = take_named(m, name, error);
    }
    take_paravirtual(m);
    m->kvm = m->vmware_freq = true;
    for (char **i = items[0] != NULL ? items + 1 : items; ok && *i != NULL; i++) {
        ok = apply_item(m, *i, error);
    }
    if (!ok) {
        cpu_model_free(m);
        return NULL;
    }
    finish(m);
    return m;
}

void cpu_model_restrict(CpuModel *m, bool (*allowed)(void *arg, CpuFeature f), void *arg,
                        GString *dropped)
{
    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        if (m->has[i] && !allowed(arg, (CpuFeature)i)) {
            m->has[i] = false;
            g_string_append_printf(dropped, "%s%s", dropped->len > 0 ? ", " : "", features[i].name);
        }
    }
    finish(m);
}

void cpu_model_free(CpuModel *m)
{
    if (m != NULL) {
        g_free(m->name);
        g_free(m);
    }
}

/* -- The table, for the monitor ----------------------------------------------------------------------- */

const char *cpu_model_row(unsigned i, const char **description)
{
    if (i < 2) {
        *description = "everything this host and we can do";
        return i == 0 ? "max" : "host";
    }
    if (i - 2 >= ARRAY_LEN(models)) {
        return NULL;
    }
    *description = models[i - 2].desc;
    return models[i - 2].name;
}

static bool model_names_feature(const ModelInfo *info, const char *name)
{
    g_auto(GStrv) words = g_strsplit(info->features, " ", -1);

    for (char **w = words; *w != NULL; w++) {
        if (strcmp(*w, name) == 0) {
            return true;
        }
        for (unsigned i = 0; **w == '@' && i < ARRAY_LEN(models); i++) {
            if (strcmp(models[i].name, *w + 1) == 0 && model_names_feature(&models[i], name)) {
                return true;
            }
        }
    }
    return false;
}

bool cpu_model_row_wants(unsigned i, CpuFeature f)
{
    return i < 2 ? cpu_feature_available(f) : model_names_feature(&models[i - 2], features[f].name);
}

CpuFeaturePlace cpu_feature_place(CpuFeature f)
{
    const FeatureInfo *i = &features[f];

    return (CpuFeaturePlace){i->leaf, i->subleaf, i->reg, i->bit,
                             (i->need == NEED_HOST || i->need == NEED_HOST_AVX ||
                              i->need == NEED_HOST_AVX512 || i->need == NEED_HOST_AMD) && available(i)};
}

const char *cpu_feature_name(CpuFeature f)
{
    return features[f].name;
}

bool cpu_feature_available(CpuFeature f)
{
    return available(&features[f]);
}

char *cpu_model_help(void)
{
    GString *s = g_string_new("Available CPUs:\n");

    g_string_append_printf(s, "  %-16s %s\n", "max", "everything this host and we can do (default)");
    g_string_append_printf(s, "  %-16s %s\n", "host", "the same");
    for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
        g_string_append_printf(s, "  %-16s %s\n", models[i].name, models[i].desc);
    }
    g_string_append(s, "\nCPU features (those this host can run):\n");
    for (unsigned i = 0, column = 0; i < FEAT_COUNT; i++) {
        if (available(&features[i])) {
            if (column + strlen(features[i].name) > 76) {
                g_string_append_c(s, '\n');
                column = 0;
            }
            g_string_append_printf(s, " %s", features[i].name);
            column += (unsigned)strlen(features[i].name) + 1;
        }
    }
    g_string_append(s, "\nother properties: kvm=on|off, kvm-pv-enforce-cpuid=on, vmware-cpuid-freq=on|off, phys-bits=32..52\n");
    return g_string_free(s, FALSE);
}
