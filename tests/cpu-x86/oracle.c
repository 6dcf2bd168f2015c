/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/cpu-x86/oracle.h"

#include <Zydis/Zydis.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>

/* -- Random states ------------------------------------------------------------------------------------ */

uint64_t oracle_random(OracleRandom *r)
{
    uint64_t z = (r->s += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t oracle_data_addr(OracleMode mode, unsigned off)
{
    return (mode == ORACLE_16 ? 0 : ORACLE_BASE) + ORACLE_DATA + off;
}

static uint64_t random_integer(OracleRandom *r)
{
    static const uint64_t edge[] = {
        0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
        UINT64_C(0x7fffffffffffffff), UINT64_C(0x8000000000000000), UINT64_C(0xffffffffffffffff),
    };

    switch (oracle_below(r, 4)) {
    case 0: return edge[oracle_below(r, G_N_ELEMENTS(edge))];
    case 1: return oracle_below(r, 100);
    default: return oracle_random(r);
    }
}

/* A vector register: floats and doubles of all classes, small integers, noise. */
static void random_vector(OracleRandom *r, uint8_t *v)
{
    static const uint32_t f32[] = {0, 0x80000000, 0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
                                   0x7fc00000, 0x7fa00000, 1, 0x007fffff, 0x7f7fffff, 0x4b000001,
                                   0x40490fdb, 0x00800000};
    static const uint64_t f64[] = {0, UINT64_C(0x8000000000000000), UINT64_C(0x3ff0000000000000),
                                   UINT64_C(0xbff8000000000000), UINT64_C(0x7ff0000000000000),
                                   UINT64_C(0xfff0000000000000), UINT64_C(0x7ff8000000000000),
                                   UINT64_C(0x7ff4000000000000), 1, UINT64_C(0x7fefffffffffffff),
                                   UINT64_C(0x4330000000000001), UINT64_C(0x400921fb54442d18)};
    unsigned kind = oracle_below(r, 4);

    for (unsigned i = 0; i < 64; i += 8) {
        uint64_t q = oracle_random(r);
        switch (kind) {
        case 0:
            q = f32[oracle_below(r, G_N_ELEMENTS(f32))] |
                (uint64_t)f32[oracle_below(r, G_N_ELEMENTS(f32))] << 32;
            break;
        case 1:
            q = f64[oracle_below(r, G_N_ELEMENTS(f64))];
            break;
        case 2:
            q &= UINT64_C(0x0f000f0f000000ff);
            break;
        default:
            break;
        }
        memcpy(v + i, &q, 8);
    }
}

static void random_x87(OracleRandom *r, uint8_t *fx)
{
    static const uint16_t exps[] = {0, 0x7fff, 0x3fff, 0xbfff, 0x4000, 0x8000, 0xffff, 0x401e, 0x3ffe};
    /* AMD's look for page faults before x87 exceptions. */
    unsigned masked = oracle_below(r, 8) == 0 && !oracle_host_is_amd() ? oracle_below(r, 64) : 0x3f;
    uint16_t fcw = (uint16_t)(0x40 | masked |
                              oracle_below(r, 4) << 10 | (oracle_below(r, 2) ? 0x300 : 0x200));
    uint16_t fsw = (uint16_t)(oracle_below(r, 8) << 11 | oracle_below(r, 8) << 8);

    memset(fx, 0, 160);
    memcpy(fx, &fcw, 2);
    memcpy(fx + 2, &fsw, 2);
    fx[4] = oracle_below(r, 3) == 0 ? (uint8_t)oracle_random(r) : 0xff;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t frac = oracle_random(r) | UINT64_C(1) << 63;
        uint16_t exp = oracle_below(r, 2) ? exps[oracle_below(r, G_N_ELEMENTS(exps))]
                                          : (uint16_t)(0x3fe0 + oracle_below(r, 64));
        switch (oracle_below(r, 8)) {
        case 0: frac = 0; break;
        case 1: frac = UINT64_C(1) << 63; break;
        case 2: frac &= ~(UINT64_C(1) << 63); break;
        case 3: frac &= UINT64_C(0xffff000000000000); break;
        default: break;
        }
        memcpy(fx + 32 + 16 * i, &frac, 8);
        memcpy(fx + 32 + 16 * i + 8, &exp, 2);
    }
}

void oracle_random_state(OracleRandom *r, OracleMode mode, OracleState *st)
{
    memset(st, 0, sizeof(*st));
    for (unsigned i = 0; i < 16; i++) {
        st->gpr[i] = random_integer(r);
        if (mode != ORACLE_64) {
            st->gpr[i] = i < 8 ? (uint32_t)st->gpr[i] : 0;
        }
    }
    /* Registers with implicit addresses: stack, strings, xlat, frames. */
    st->gpr[4] = oracle_data_addr(mode, 0x1000 + 16 * oracle_below(r, 16));
    st->gpr[5] = oracle_data_addr(mode, 0x0c00 + 16 * oracle_below(r, 16));
    st->gpr[6] = oracle_data_addr(mode, 0x0400 + 16 * oracle_below(r, 16));
    st->gpr[7] = oracle_data_addr(mode, 0x0800 + 16 * oracle_below(r, 16));
    st->gpr[3] = oracle_data_addr(mode, 0x1800 + 16 * oracle_below(r, 16));
    st->rip = (mode == ORACLE_16 ? 0 : ORACLE_BASE) + ORACLE_START;
    st->rflags = 0x202 | (oracle_random(r) & 0x8d5) | (oracle_below(r, 4) == 0 ? 0x400 : 0) |
                 (oracle_below(r, 8) == 0 ? 0x40000 : 0);  /* DF, AC */
    if (oracle_host_is_amd()) {
        st->rflags &= ~UINT64_C(0x40000);    /* AMD's check vector operands too, and before pages */
    }
    st->mxcsr = 0x1f80 | (oracle_below(r, 4) << 13) | (oracle_below(r, 4) == 0 ? 0x8040 : 0) |
                (oracle_below(r, 2) ? oracle_below(r, 64) : 0);
    if (oracle_below(r, 8) == 0) {
        st->mxcsr &= ~(oracle_below(r, 64) << 7);
    }
    for (unsigned i = 0; i < 32; i++) {
        random_vector(r, st->zmm[i]);
    }
    for (unsigned i = 0; i < 8; i++) {
        st->k[i] = oracle_random(r);
    }
    random_x87(r, st->fx);
    for (unsigned i = 0; i < ORACLE_DATA_LEN; i += 64) {
        random_vector(r, st->data + i);
    }
}

void oracle_place_code(OracleCase *c, OraclePlace where)
{
    unsigned end = ORACLE_CODE + 0x1000;
    unsigned at = where == ORACLE_AT_START      ? ORACLE_START
                  : where == ORACLE_AT_PAGE_END ? end - c->len - 1
                                                : end - (c->len + 1) / 2;

    c->in.rip = (c->mode == ORACLE_16 ? 0 : ORACLE_BASE) + at;
}

unsigned oracle_code_offset(const OracleCase *c)
{
    return (unsigned)(c->in.rip - (c->mode == ORACLE_16 ? 0 : ORACLE_BASE));
}

/* -- Disassembly -------------------------------------------------------------------------------------- */

char *oracle_disassemble(const OracleCase *c)
{
    GString *s = g_string_new(NULL);
    ZydisDecoder d;
    ZydisFormatter f;
    unsigned at = 0;

    ZydisDecoderInit(&d, c->mode == ORACLE_64 ? ZYDIS_MACHINE_MODE_LONG_64
                         : c->mode == ORACLE_32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                                                : ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
                     c->mode == ORACLE_64 ? ZYDIS_STACK_WIDTH_64
                     : c->mode == ORACLE_32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
    ZydisDecoderEnableMode(&d, ZYDIS_DECODER_MODE_AMD_BRANCHES, oracle_host_is_amd());
    ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
    while (at < c->len) {
        ZydisDecodedInstruction zi;
        ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
        char text[160];

        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, c->code + at, c->len - at, &zi, ops))) {
            g_string_append(s, "(undecodable)");
            break;
        }
        ZydisFormatterFormatInstruction(&f, &zi, ops, zi.operand_count_visible, text, sizeof(text),
                                        c->in.rip + at, NULL);
        g_string_append_printf(s, "%s%s", at == 0 ? "" : "; ", text);
        at += zi.length;
    }
    return g_string_free(s, FALSE);
}

/* -- Comparison --------------------------------------------------------------------------------------- */

static const char *const gpr_name[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"};

static void diff_bytes(GString *out, const char *name, unsigned index, const uint8_t *in,
                       const uint8_t *host, const uint8_t *ours, unsigned n)
{
    if (memcmp(host, ours, n) == 0) {
        return;
    }
    for (unsigned i = 0; i < n; i += 8) {
        uint64_t a, h, o;
        unsigned len = MIN(8, n - i);

        a = h = o = 0;
        memcpy(&a, in + i, len);
        memcpy(&h, host + i, len);
        memcpy(&o, ours + i, len);
        if (h != o && out->len < 3000) {
            g_string_append_printf(out, "    %s%u+%02x: before %016" G_GINT64_MODIFIER "x host %016"
                                   G_GINT64_MODIFIER "x ours %016" G_GINT64_MODIFIER "x\n",
                                   name, index, i, a, h, o);
        }
    }
}

static void diff_u64(GString *out, const char *name, uint64_t in, uint64_t host, uint64_t ours)
{
    if (host != ours) {
        g_string_append_printf(out, "    %s: before %" G_GINT64_MODIFIER "x host %"
                               G_GINT64_MODIFIER "x ours %" G_GINT64_MODIFIER "x\n",
                               name, in, host, ours);
    }
}

static void diff_states(GString *out, const OracleState *in, const OracleState *h,
                        const OracleState *o, uint64_t flags_mask)
{
    for (unsigned i = 0; i < 16; i++) {
        diff_u64(out, gpr_name[i], in->gpr[i], h->gpr[i], o->gpr[i]);
    }
    diff_u64(out, "rip", in->rip, h->rip, o->rip);
    diff_u64(out, "rflags", in->rflags, h->rflags & flags_mask, o->rflags & flags_mask);
    diff_u64(out, "mxcsr", in->mxcsr, h->mxcsr, o->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        diff_bytes(out, "k", i, (const uint8_t *)&in->k[i], (const uint8_t *)&h->k[i],
                   (const uint8_t *)&o->k[i], 8);
    }
    for (unsigned i = 0; i < 32; i++) {
        diff_bytes(out, "zmm", i, in->zmm[i], h->zmm[i], o->zmm[i], 64);
    }
    /* AMD's keep the last instruction and operand only after an unmasked exception. */
    diff_bytes(out, "fx", 0, in->fx, h->fx, o->fx, oracle_host_is_amd() ? 6 : 24);
    for (unsigned i = 0; i < 8; i++) {
        diff_bytes(out, "st", i, in->fx + 32 + 16 * i, h->fx + 32 + 16 * i, o->fx + 32 + 16 * i, 10);
    }
    diff_bytes(out, "data", 0, in->data, h->data, o->data, ORACLE_DATA_LEN);
}

static void diff_events(GString *out, const OracleEvent *h, const OracleEvent *o)
{
    bool same = h->vector == o->vector;

    if (same && (h->vector == 8 || (h->vector >= 10 && h->vector <= 14) || h->vector == 17)) {
        /* What the host has in its kernel's half is its own business. */
        uint32_t ignore = !ORACLE_KERNEL && h->vector == 14 && h->addr >> 63 != 0 ? 1 : 0;
        same = ((h->code ^ o->code) & ~ignore) == 0;
    }
    if (same && h->vector == 14) {
        same = h->addr == o->addr;
    }
    if (!same) {
        g_string_append_printf(out, "    exception: host %d code %x addr %" G_GINT64_MODIFIER
                               "x, ours %d code %x addr %" G_GINT64_MODIFIER "x\n",
                               h->vector, h->code, h->addr, o->vector, o->code, o->addr);
    }
}

/* AddressSanitizer has its shadow memory in the low half, where the guest has nothing: what a random
 * address finds there says nothing about the interpreter. */
static bool in_sanitizer_shadow(const OracleEvent *e)
{
#ifdef __SANITIZE_ADDRESS__
    return e->vector == 14 && e->addr >= 0x7fff7000 - ORACLE_DATA_LEN && e->addr < 0x10007fff8000;
#else
    return false;
#endif
}

/* The differences of one run; leaves `out` empty when there are none that count. */
static void compare(GString *out, const OracleCase *c, const OracleResult *host, OracleResult *ours,
                    OracleLeave leave)
{
    if (in_sanitizer_shadow(&host->ev) || in_sanitizer_shadow(&ours->ev)) {
        return;
    }
    if (oracle_host_is_amd() && c->mode == ORACLE_32 &&
        (host->ev.vector == 12 || host->ev.vector == 13) &&
        ours->ev.vector == 14 && ours->ev.addr >= 0xfffff000) {
        return;                /* an operand across 4 GiB: the limit on AMD's, wraps on Intel's */
    }
    if (oracle_host_is_amd() && ((host->st.mxcsr | ours->st.mxcsr) & 0x20000) != 0) {
        return;                /* MXCSR.MM, which no model has, was loaded */
    }
    if (oracle_host_is_amd() &&
        (host->ev.vector == 17 || (host->ev.vector != 3 && ours->ev.vector == 3 && (ours->st.fx[2] & 0x80) != 0))) {
        return;                /* checks of vector operands; a fault before a pending x87 error */
    }
    if (leave.x87_on_fault && host->ev.vector != 3) {
        memcpy(ours->st.fx, host->st.fx, sizeof(ours->st.fx));
    }
    if (leave.data_on_fault && host->ev.vector != 3) {
        memcpy(ours->st.data, host->st.data, sizeof(ours->st.data));
    }
    if (leave.addr_in_page && (host->ev.addr ^ ours->ev.addr) >> 12 == 0) {
        ours->ev.addr = host->ev.addr;
    }
    if (leave.flags_on_fault && host->ev.vector != 3) {
        leave.flags |= 0x8d5;
    }
    if (oracle_host_is_amd() && host->ev.vector == 1) {
        leave.flags |= 0x10000; /* Intel's set RF where a repeated string instruction is single-stepped */
    }
    diff_events(out, &host->ev, &ours->ev);
    diff_states(out, &c->in, &host->st, &ours->st, ~leave.flags);
}

bool oracle_check(OracleGuest *g, OracleCase *c, OracleLeave leave, uint64_t seed)
{
    static _Thread_local OracleResult host, ours;
    g_autoptr(GString) out = g_string_new(NULL);
    g_autofree char *text = NULL;
    unsigned pass = 0;

    leave.flags_on_fault = oracle_guest_passes(g) > 1;
    oracle_native_run(c, &host);
    for (unsigned i = 0; i < oracle_guest_passes(g); i++) {
        oracle_guest_run(g, c, i, &ours);
        if (out->len == 0) {
            pass = i;
            compare(out, c, &host, &ours, leave);
        }
    }
    if (out->len == 0) {
        return true;
    }
    if (leave.quiet) {
        return false;
    }
    text = oracle_disassemble(c);
    printf("%s: (%s, seed %#" G_GINT64_MODIFIER "x, pass %u, host ends with %d)\n   ", text,
           c->mode == ORACLE_64 ? "64-bit" : c->mode == ORACLE_32 ? "32-bit" : "16-bit", seed,
           pass, host.ev.vector);
    for (unsigned i = 0; i < c->len; i++) {
        printf(" %02x", c->code[i]);
    }
    printf("\n%s", out->str);
    return false;
}
