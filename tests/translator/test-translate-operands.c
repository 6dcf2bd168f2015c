/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory operands through the translator, with the host as oracle: each kind of instruction with every
 * register as base and as index, the flags of an instruction before it live across it, where the page
 * is there, where the operand crosses pages, where it faults.  In 64-bit and in 32-bit code.
 */
#include "tests/cpu-x86/oracle-engine.h"
#include "tests/suite.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

/* One instruction with a ModRM memory operand; `digit` is the opcode extension or -1: a register. */
typedef struct {
    const char *name;
    uint8_t prefix;            /* 0: none, else 66, f0, f3             */
    uint8_t opcode[3], n;      /* with 0f and 0f 38                    */
    int8_t digit;
    uint8_t imm;               /* bytes                                */
    bool wide;                 /* also with REX.W                      */
    bool locked;               /* not across pages: slow on hosts      */
    bool only64;
    bool elsewhere;            /* uses no memory, or never in the window */
} Template;

static const Template templates[] = {
    {"mov r,m", 0, {0x8b}, 1, -1, 0, true},
    {"mov m,r", 0, {0x89}, 1, -1, 0, true},
    {"mov16 m,r", 0x66, {0x89}, 1, -1, 0},
    {"mov8 r,m", 0, {0x8a}, 1, -1, 0},
    {"mov8 m,r", 0, {0x88}, 1, -1, 0},
    {"mov m,i", 0, {0xc7}, 1, 0, 4, true},
    {"mov8 m,i", 0, {0xc6}, 1, 0, 1},
    {"movzx", 0, {0x0f, 0xb6}, 2, -1, 0, true},
    {"movsx", 0, {0x0f, 0xbf}, 2, -1, 0, true},
    {"movsxd", 0, {0x63}, 1, -1, 0, true, .only64 = true},
    {"mov8 r,m (ah)", 0, {0x8a}, 1, 4, 0},
    {"add8 m,r (ch)", 0, {0x00}, 1, 5, 0},
    {"lea", 0, {0x8d}, 1, -1, 0, true, .elsewhere = true},
    {"add r,m", 0, {0x03}, 1, -1, 0, true},
    {"add m,r", 0, {0x01}, 1, -1, 0, true},
    {"adc m,r", 0, {0x11}, 1, -1, 0, true},
    {"sbb r,m", 0, {0x1b}, 1, -1, 0, true},
    {"cmp m,r", 0, {0x39}, 1, -1, 0, true},
    {"and8 m,i", 0, {0x80}, 1, 4, 1},
    {"sub m,i8", 0, {0x83}, 1, 5, 1, true},
    {"inc m", 0, {0xff}, 1, 0, 0, true},
    {"dec8 m", 0, {0xfe}, 1, 1, 0},
    {"not m", 0, {0xf7}, 1, 2, 0, true},
    {"neg m", 0, {0xf7}, 1, 3, 0, true},
    {"mul m", 0, {0xf7}, 1, 4, 0, true},
    {"test m,i", 0, {0xf7}, 1, 0, 4, true},
    {"imul r,m", 0, {0x0f, 0xaf}, 2, -1, 0, true},
    {"imul r,m,i8", 0, {0x6b}, 1, -1, 1, true},
    {"shl m,i", 0, {0xc1}, 1, 4, 1, true},
    {"sar m,cl", 0, {0xd3}, 1, 7, 0, true},
    {"rcr m,1", 0, {0xd1}, 1, 3, 0, true},
    {"rol m,cl", 0, {0xd3}, 1, 0, 0, true},
    {"shld m,r,i", 0, {0x0f, 0xa4}, 2, -1, 1, true},
    {"cmova", 0, {0x0f, 0x47}, 2, -1, 0, true},
    {"setl", 0, {0x0f, 0x9c}, 2, 0, 0},
    {"bt m,i", 0, {0x0f, 0xba}, 2, 4, 1, true},
    {"btc m,r", 0, {0x0f, 0xbb}, 2, -1, 0, true, .elsewhere = true},
    {"bsf", 0, {0x0f, 0xbc}, 2, -1, 0, true},
    {"popcnt", 0xf3, {0x0f, 0xb8}, 2, -1, 0, true},
    {"movbe m,r", 0, {0x0f, 0x38, 0xf1}, 3, -1, 0, true},
    {"push m", 0, {0xff}, 1, 6, 0},
    {"pop m", 0, {0x8f}, 1, 0, 0, .elsewhere = true},
    {"xchg", 0, {0x87}, 1, -1, 0, true, true},
    {"lock xadd", 0xf0, {0x0f, 0xc1}, 2, -1, 0, true, true},
    {"lock cmpxchg", 0xf0, {0x0f, 0xb1}, 2, -1, 0, true, true},
    {"lock add m,r", 0xf0, {0x01}, 1, -1, 0, true, true},
    {"movdqu", 0xf3, {0x0f, 0x6f}, 2, -1, 0},
    {"movups m,x", 0, {0x0f, 0x11}, 2, -1, 0},
    {"cvtsi2sd", 0xf3, {0x0f, 0x2a}, 2, -1, 0, true},
    {"fld", 0, {0xdd}, 1, 0, 0},
};

/* From the start of the data pages: there, across their middle, before them, across their end, for kernels
 * the host's own memory. */
static const int64_t places[] = {0x440, 0xffd, -0x400, ORACLE_DATA_LEN - 1,
#ifdef ORACLE_WINDOW
                                 (int64_t)(ORACLE_BAIT + 0x100 - ORACLE_BASE - ORACLE_DATA),
#endif
};

enum { NO_INDEX = 4 };

static unsigned put(OracleCase *c, const Template *t, bool wide, unsigned reg, unsigned base,
                    unsigned index, unsigned scale, uint8_t segment, OracleRandom *r)
{
    uint8_t *p = c->code + c->len, *start = p;

    if (segment != 0) {
        *p++ = segment;
    }
    if (t->prefix != 0) {
        *p++ = t->prefix;
    }
    if (c->mode == ORACLE_64 && (wide || ((reg | index | base) & 8) != 0 || oracle_below(r, 2) != 0)) {
        *p++ = (uint8_t)(0x40 | (wide ? 8 : 0) | (reg & 8) >> 1 | (index & 8) >> 2 | (base & 8) >> 3);
    }
    memcpy(p, t->opcode, t->n);
    p += t->n;
    *p++ = (uint8_t)(0x44 | (t->digit >= 0 ? (unsigned)t->digit : reg & 7) << 3); /* SIB, disp8 */
    *p++ = (uint8_t)(scale << 6 | (index & 7) << 3 | (base & 7));
    *p++ = 0x11;               /* displacement */
    for (unsigned i = 0; i < t->imm; i++) {
        *p++ = (uint8_t)oracle_random(r);
    }
    return (unsigned)(p - start);
}

static bool check(OracleGuest *g, OracleRandom *r, OracleMode mode, const Template *t, unsigned base,
                  unsigned index, int64_t place)
{
    unsigned reg = oracle_below(r, mode == ORACLE_64 ? 16 : 8), scale = oracle_below(r, 4);
    unsigned twice = mode == ORACLE_64 ? 15 : GPR_RDI; /* doubled first, for its flags */
    bool wide = mode == ORACLE_64 && t->wide && oracle_below(r, 2) != 0, same = base == index && index != NO_INDEX;
    uint8_t segment = !ORACLE_KERNEL ? 0 : (uint8_t[]){0, 0, 0x64, 0x65}[oracle_below(r, 4)];
    bool more = oracle_below(r, 2) != 0; /* loads that may share its look-up */
    uint64_t seed = r->s, want;
    OracleCase c = {.mode = mode};

    if (t->digit >= 0) {
        reg &= 8;              /* REX.R means nothing */
    }
    oracle_random_state(r, mode, &c.in);
    c.in.rflags &= ~UINT64_C(0x40400); /* DF, AC */
    c.len = mode == ORACLE_64 ? 3 : 2; /* add r15, r15 or edi, edi: flags that stay live */
    memcpy(c.code, "\x4d\x01\xff" + 3 - c.len, c.len);
    c.len += put(&c, t, wide, reg, base, index, scale, segment, r);
    for (unsigned i = 1; i <= (more ? 2 : 0); i++) { /* mov edx, [the same + 8]; cmp [... - 8], dl */
        c.code[c.len++] = (uint8_t)(0x40 | (index & 8) >> 2 | (base & 8) >> 3);
        c.len -= mode == ORACLE_64 ? 0 : 1;
        c.code[c.len++] = i == 1 ? 0x8b : 0x38;
        c.code[c.len++] = 0x54;
        c.code[c.len++] = (uint8_t)(scale << 6 | (index & 7) << 3 | (base & 7));
        c.code[c.len++] = i == 1 ? 0x19 : 0x09;
    }
    oracle_place_code(&c, oracle_engine_place(r));
    want = oracle_data_addr(mode, 0) + (uint64_t)place - 0x11;
    want -= segment == 0x64 ? ORACLE_FS_BASE : segment == 0x65 ? ORACLE_GS_BASE : 0;
    want &= mode == ORACLE_64 ? UINT64_MAX : UINT32_MAX;
    if (same) {
        c.in.gpr[base] = want / ((1u << scale) + 1);
    } else {
        c.in.gpr[index] = index == NO_INDEX ? c.in.gpr[index] : oracle_below(r, 64);
        c.in.gpr[base] = want - (index == NO_INDEX ? 0 : c.in.gpr[index] << scale);
        c.in.gpr[base] &= mode == ORACLE_64 ? UINT64_MAX : UINT32_MAX;
    }
    if (base == twice || index == twice) {
        c.in.gpr[twice] /= 2;
    }
    return oracle_check(g, &c, (OracleLeave){.x87_on_fault = true}, seed);
}

static void try_template(OracleMode mode, int i)
{
    const Template *t = &templates[i];
    OracleRandom r = {.s = (uint64_t)i};
    OracleGuest *g = oracle_engine_guest();
    const char *why = oracle_engine_host(mode);
    unsigned failures = 0, cases = 0, n_regs = mode == ORACLE_64 ? 16 : 8;

    for (unsigned base = 0; base < n_regs && why == NULL; base++) {
        for (unsigned index = 0; index < n_regs; index++) {
            for (unsigned k = 0; k < G_N_ELEMENTS(places); k++) {
                if (!(t->locked && (k & 1) != 0) && failures < 5) {
                    cases++;
                    failures += !check(g, &r, mode, t, base, index, places[k]);
                }
            }
        }
    }
    fflush(stdout);
    if (why == NULL) {
        oracle_engine_was_used(g, mode, t->elsewhere ? 0 : cases);
    }
    oracle_guest_free(g);
    ck_assert_msg(failures == 0, "%s", t->name);
}

START_TEST(every_register_addresses_every_kind_of_operand)
{
    try_template(ORACLE_64, _i);
}
END_TEST

START_TEST(every_register_addresses_every_kind_of_operand_32)
{
    if (!templates[_i].only64) {
        try_template(ORACLE_32, _i);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("translate-operands");
    TCase *t = tcase_create("operands");

    tcase_set_timeout(t, 0);
    if (!ORACLE_KERNEL32) {
        tcase_add_loop_test(t, every_register_addresses_every_kind_of_operand, 0,
                            (int)G_N_ELEMENTS(templates));
    }
    if (!ORACLE_KERNEL || ORACLE_KERNEL32) {
        tcase_add_loop_test(t, every_register_addresses_every_kind_of_operand_32, 0,
                            (int)G_N_ELEMENTS(templates));
    }
    suite_add_tcase(s, t);
    return s;
}
