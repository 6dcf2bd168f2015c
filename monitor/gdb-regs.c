/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/gdb-regs.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/exception.h"
#include "cpu-x86/walk.h"
#include "softmmu/base/bits.h"

#include <string.h>

typedef enum {
    KIND_FEATURE, KIND_GPR, KIND_RIP, KIND_FLAGS, KIND_SEG, KIND_ST, KIND_X87, KIND_XMM,
    KIND_MXCSR, KIND_BASE, KIND_YMMH, KIND_KGS, KIND_CR, KIND_EFER,
} RegKind;

enum { X87_CTRL, X87_STAT, X87_TAG, X87_ISEG, X87_IOFF, X87_OSEG, X87_OOFF, X87_OP };

typedef enum { ALWAYS, AVX } Condition;

typedef struct {
    const char *name, *type, *group;
    uint8_t bits64, bits32;
    uint8_t kind, index;       /* index of a feature: its Condition */
} Reg;

static const Reg rows[] = {
#define FEATURE(n, condition) {.name = n, .kind = KIND_FEATURE, .index = condition},
#define REG(n, b64, b32, t, g, k, i) \
    {.name = n, .type = t, .group = g, .bits64 = b64, .bits32 = b32, .kind = KIND_##k, .index = i},
#include "monitor/gdb-regs.def"
#undef FEATURE
#undef REG
};

struct GdbRegs {
    bool is64;
    const Reg *reg[ARRAY_LEN(rows)];
    unsigned n;
    char *xml;
};

/* -- Description -------------------------------------------------------------------------------------- */

typedef struct {
    const char *id;
    struct {
        const char *name;
        uint8_t bit;
    } bits[24];
} FlagsType;

static const FlagsType flags_types[] = {
    {"eflags_bits", {{"CF", 0}, {"PF", 2}, {"AF", 4}, {"ZF", 6}, {"SF", 7}, {"TF", 8}, {"IF", 9},
                     {"DF", 10}, {"OF", 11}, {"NT", 14}, {"RF", 16}, {"VM", 17}, {"AC", 18},
                     {"VIF", 19}, {"VIP", 20}, {"ID", 21}}},
    {"cr0_bits", {{"PE", 0}, {"MP", 1}, {"EM", 2}, {"TS", 3}, {"ET", 4}, {"NE", 5}, {"WP", 16},
                  {"AM", 18}, {"NW", 29}, {"CD", 30}, {"PG", 31}}},
    {"cr4_bits", {{"VME", 0}, {"PVI", 1}, {"TSD", 2}, {"DE", 3}, {"PSE", 4}, {"PAE", 5}, {"MCE", 6},
                  {"PGE", 7}, {"PCE", 8}, {"OSFXSR", 9}, {"OSXMMEXCPT", 10}, {"UMIP", 11},
                  {"LA57", 12}, {"FSGSBASE", 16}, {"PCIDE", 17}, {"OSXSAVE", 18}, {"SMEP", 20},
                  {"SMAP", 21}, {"PKE", 22}}},
    {"efer_bits", {{"SCE", 0}, {"LME", 8}, {"LMA", 10}, {"NXE", 11}}},
};

static unsigned bits_of(const GdbRegs *r, const Reg *reg)
{
    return r->is64 ? reg->bits64 : reg->bits32;
}

static void append_flags(GString *xml, const FlagsType *t, unsigned bytes)
{
    g_string_append_printf(xml, "<flags id=\"%s\" size=\"%u\">", t->id, bytes);
    for (size_t i = 0; i < ARRAY_LEN(t->bits) && t->bits[i].name != NULL; i++) {
        g_string_append_printf(xml, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>",
                               t->bits[i].name, t->bits[i].bit, t->bits[i].bit);
    }
    g_string_append(xml, "</flags>\n");
}

static void append_vector_types(GString *xml)
{
    static const struct {
        const char *id, *type, *field;
        unsigned count;
    } v[] = {
        {"v4f", "ieee_single", "v4_float", 4}, {"v2d", "ieee_double", "v2_double", 2},
        {"v16i8", "int8", "v16_int8", 16}, {"v8i16", "int16", "v8_int16", 8},
        {"v4i32", "int32", "v4_int32", 4}, {"v2i64", "int64", "v2_int64", 2},
    };

    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        g_string_append_printf(xml, "<vector id=\"%s\" type=\"%s\" count=\"%u\"/>\n", v[i].id,
                               v[i].type, v[i].count);
    }
    g_string_append(xml, "<union id=\"vec128\">");
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        g_string_append_printf(xml, "<field name=\"%s\" type=\"%s\"/>", v[i].field, v[i].id);
    }
    g_string_append(xml, "<field name=\"uint128\" type=\"uint128\"/></union>\n");
}

static void append_reg(const GdbRegs *r, GString *xml, const Reg *reg)
{
    unsigned bits = bits_of(r, reg);

    g_string_append_printf(xml, "<reg name=\"%s\" bitsize=\"%u\" type=\"", reg->name, bits);
    if (reg->type != NULL) {
        g_string_append(xml, reg->type);
    } else {
        g_string_append_printf(xml, "int%u", bits);
    }
    g_string_append_printf(xml, "\" regnum=\"%u\"", r->n);
    if (reg->group != NULL) {
        g_string_append_printf(xml, " group=\"%s\"", reg->group);
    }
    g_string_append(xml, "/>\n");
}

/* Types live in the feature that uses them. */
static void append_types(const GdbRegs *r, GString *xml, const Reg *feature)
{
    for (const Reg *reg = feature + 1; reg < rows + ARRAY_LEN(rows) && reg->kind != KIND_FEATURE;
         reg++) {
        for (size_t i = 0; reg->type != NULL && i < ARRAY_LEN(flags_types); i++) {
            if (strcmp(reg->type, flags_types[i].id) == 0) {
                append_flags(xml, &flags_types[i], bits_of(r, reg) / 8);
            }
        }
        if (reg->kind == KIND_XMM && reg->index == 0) {
            append_vector_types(xml);
        }
    }
}

GdbRegs *gdb_regs_new(const CpuState *cpu, bool is64)
{
    GdbRegs *r = g_new0(GdbRegs, 1);
    GString *xml = g_string_new("<?xml version=\"1.0\"?>\n"
                                "<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
                                "<target version=\"1.0\">\n<architecture>i386");
    bool present = false, open = false;

    r->is64 = is64;
    g_string_append_printf(xml, "%s</architecture>\n", is64 ? ":x86-64" : "");
    for (const Reg *reg = rows; reg < rows + ARRAY_LEN(rows); reg++) {
        if (reg->kind == KIND_FEATURE) {
            g_string_append(xml, open ? "</feature>\n" : "");
            open = present = reg->index == ALWAYS || cpu_model_has(cpu->model, FEAT_AVX);
            if (present) {
                g_string_append_printf(xml, "<feature name=\"%s\">\n", reg->name);
                append_types(r, xml, reg);
            }
        } else if (present && bits_of(r, reg) != 0) {
            append_reg(r, xml, reg);
            r->reg[r->n++] = reg;
        }
    }
    g_string_append_printf(xml, "%s</target>\n", open ? "</feature>\n" : "");
    r->xml = g_string_free(xml, FALSE);
    return r;
}

void gdb_regs_free(GdbRegs *r)
{
    if (r != NULL) {
        g_free(r->xml);
        g_free(r);
    }
}

const char *gdb_regs_xml(const GdbRegs *r)
{
    return r->xml;
}

unsigned gdb_regs_count(const GdbRegs *r)
{
    return r->n;
}

unsigned gdb_regs_len(const GdbRegs *r, unsigned n)
{
    return n < r->n ? bits_of(r, r->reg[n]) / 8 : 0;
}

/* -- x87 ---------------------------------------------------------------------------------------------- */

enum { FX_CTRL = 0, FX_STAT = 2, FX_TAG = 4, FX_OP = 6, FX_IP = 8, FX_DP = 16, FX_ST = 32 };

/* The full tag word from the abridged one and the values (SDM 1 8.1.7, table 10-... of FXSAVE). */
static uint16_t full_tags(const uint8_t *fx)
{
    enum { VALID, ZERO, SPECIAL, EMPTY };
    unsigned top = fx[FX_STAT + 1] >> 3 & 7;
    uint16_t tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        const uint8_t *st = fx + FX_ST + ((i - top) & 7) * 16;
        uint64_t mantissa = load_le(st, 8);
        unsigned exponent = (unsigned)load_le(st + 8, 2) & 0x7fff, tag = VALID;

        if ((fx[FX_TAG] >> i & 1) == 0) {
            tag = EMPTY;
        } else if (exponent == 0 && mantissa == 0) {
            tag = ZERO;
        } else if (exponent == 0x7fff || mantissa >> 63 == 0) {
            tag = SPECIAL;
        }
        tags |= (uint16_t)(tag << (i * 2));
    }
    return tags;
}

static uint8_t abridged_tags(uint16_t full)
{
    uint8_t tags = 0;

    for (unsigned i = 0; i < 8; i++) {
        tags |= (uint8_t)(((full >> (i * 2) & 3) != 3) << i);
    }
    return tags;
}

/* Place and length in the FXSAVE64 image; segments are the upper half of the pointers there. */
static const struct {
    uint8_t at, len;
} x87_place[] = {
    [X87_CTRL] = {FX_CTRL, 2}, [X87_STAT] = {FX_STAT, 2}, [X87_TAG] = {FX_TAG, 1},
    [X87_ISEG] = {FX_IP + 4, 2}, [X87_IOFF] = {FX_IP, 4}, [X87_OSEG] = {FX_DP + 4, 2},
    [X87_OOFF] = {FX_DP, 4}, [X87_OP] = {FX_OP, 2},
};

static uint64_t x87_get(const CpuState *cpu, unsigned n)
{
    return n == X87_TAG ? full_tags(cpu->vec.fx)
                        : load_le(cpu->vec.fx + x87_place[n].at, x87_place[n].len);
}

static void x87_set(CpuState *cpu, unsigned n, uint64_t v)
{
    store_le(cpu->vec.fx + x87_place[n].at, x87_place[n].len,
             n == X87_TAG ? abridged_tags((uint16_t)v) : v);
}

/* -- Reading ------------------------------------------------------------------------------------------ */

static uint64_t cr_get(CpuState *cpu, unsigned n)
{
    switch (n) {
    case 0: return cpu->cr0;
    case 2: return cpu->cr2;
    case 3: return cpu->cr3;
    case 4: return cpu->cr4;
    default: return cpu->bus.cr8_read(cpu->bus.arg);
    }
}

static uint64_t get(CpuState *cpu, const Reg *reg)
{
    switch (reg->kind) {
    case KIND_GPR: return cpu->gpr[reg->index];
    case KIND_RIP: return cpu->rip;
    case KIND_FLAGS: return cpu->rflags;
    case KIND_SEG: return cpu->seg[reg->index].selector;
    case KIND_X87: return x87_get(cpu, reg->index);
    case KIND_MXCSR: return cpu->vec.mxcsr;
    case KIND_BASE: return cpu->seg[reg->index].base;
    case KIND_KGS: return cpu->msr_kernel_gs_base;
    case KIND_CR: return cr_get(cpu, reg->index);
    case KIND_EFER: return cpu->efer;
    default: g_assert_not_reached();
    }
}

/* Where a wide register lies in the state, or NULL. */
static uint8_t *wide(CpuState *cpu, const Reg *reg)
{
    switch (reg->kind) {
    case KIND_ST: return cpu->vec.fx + FX_ST + reg->index * 16;
    case KIND_XMM: return cpu->vec.zmm[reg->index];
    case KIND_YMMH: return cpu->vec.zmm[reg->index] + 16;
    default: return NULL;
    }
}

unsigned gdb_regs_read(const GdbRegs *r, CpuState *cpu, unsigned n, uint8_t *buf)
{
    const Reg *reg = r->reg[n];
    unsigned len = bits_of(r, reg) / 8;
    const uint8_t *p = wide(cpu, reg);

    if (p != NULL) {
        memcpy(buf, p, len);
    } else {
        uint64_t v = get(cpu, reg);
        /* Outside 64-bit mode the upper halves mean nothing. */
        bool narrow = (reg->kind == KIND_GPR || reg->kind == KIND_RIP) && !cpu_is_long64(cpu);
        store_le(buf, len, narrow ? (uint32_t)v : v);
    }
    return len;
}

/* -- Writing ------------------------------------------------------------------------------------------ */

/* cpu_write_*() and the APIC refuse by raising: catch it. */
static bool cr_set(CpuState *cpu, unsigned n, uint64_t v)
{
    jmp_buf env, *outer = cpu->unwind;
    bool ok = false;

    cpu->unwind = &env;
    if (_setjmp(env) == 0) {
        switch (n) {
        case 0: cpu_write_cr0(cpu, v); break;
        case 2: cpu->cr2 = v; break;
        case 3: cpu_write_cr3(cpu, v); break;
        case 4: cpu_write_cr4(cpu, v); break;
        case 8: cpu->bus.cr8_write(cpu->bus.arg, v & 15); break;
        default: cpu_write_efer(cpu, v); break;
        }
        ok = true;
    }
    cpu->unwind = outer;
    return ok;
}

static uint64_t cr_or_efer(CpuState *cpu, const Reg *reg)
{
    return reg->kind == KIND_EFER ? cpu->efer : cr_get(cpu, reg->index);
}

/* Real and virtual-8086 mode only: elsewhere a load would need its descriptor. */
static bool segment_set(CpuState *cpu, unsigned n, uint64_t v)
{
    if (v == cpu->seg[n].selector) {
        return true;
    }
    if (cpu_protected(cpu) || v > 0xffff) {
        return false;
    }
    cpu->seg[n].selector = (uint16_t)v;
    cpu->seg[n].base = v << 4;
    cpu_update_mode(cpu);
    return true;
}

static bool set(CpuState *cpu, const Reg *reg, uint64_t v)
{
    bool canonical = (int64_t)(v << 16) >> 16 == (int64_t)v;

    switch (reg->kind) {
    case KIND_GPR: cpu->gpr[reg->index] = v; break;
    case KIND_RIP: cpu->rip = v; break;
    case KIND_FLAGS:
        cpu->rflags = (v & 0x3f7fd5) | FLAG_FIXED;
        cpu_update_mode(cpu);
        break;
    case KIND_SEG: return segment_set(cpu, reg->index, v);
    case KIND_X87: x87_set(cpu, reg->index, v); break;
    case KIND_MXCSR: cpu->vec.mxcsr = (uint32_t)v & 0xffff; break;
    case KIND_BASE:
        if (canonical) {
            cpu->seg[reg->index].base = v;
            cpu_update_mode(cpu);
        }
        return canonical;
    case KIND_KGS:
        cpu->msr_kernel_gs_base = canonical ? v : cpu->msr_kernel_gs_base;
        return canonical;
    case KIND_CR:
    case KIND_EFER:
        return v == cr_or_efer(cpu, reg) || cr_set(cpu, reg->kind == KIND_EFER ? 9 : reg->index, v);
    default: g_assert_not_reached();
    }
    return true;
}

bool gdb_regs_write(const GdbRegs *r, CpuState *cpu, unsigned n, const uint8_t *buf)
{
    const Reg *reg = r->reg[n];
    unsigned len = bits_of(r, reg) / 8;
    uint8_t *p = wide(cpu, reg);

    if (p != NULL) {
        memcpy(p, buf, len);
        return true;
    }
    return set(cpu, reg, load_le(buf, len));
}
