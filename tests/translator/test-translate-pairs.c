/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions with two operands in memory, or with one that no ModRM names, through the translator, with the host as oracle: each
 * operand where it is there, over a page's end, not there, over the end of what is there, read-only, in all combinations, the flags of
 * an instruction before live across it.  In 64-bit and in 32-bit code.
 */
#include "tests/cpu-x86/oracle-engine.h"
#include "tests/suite.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

enum { NONE = 0xff, ELEMENTS = 3 };

/* An operand: the register that addresses it, bytes (0: a word of the stack). */
typedef struct {
    uint8_t reg, size;
    bool pushed;               /* below the register */
} Operand;

typedef struct {
    const char *name;
    uint8_t code[5], n;
    Operand a, b;
    bool only64, only32;
    bool branches;             /* to what `a` says: behind itself */
    uint8_t rep;               /* elements that it makes at most, 0: one */
    bool elsewhere;            /* never in the window */
} Pair;

#define AT(reg, ...) {GPR_##reg, __VA_ARGS__}
#define NOTHING {NONE, 0}

static const Pair pairs[] = {
    {"push m", {0xff, 0x33}, 2, AT(RBX, 0), AT(RSP, 0, true)},
    {"push16 m", {0x66, 0xff, 0x33}, 3, AT(RBX, 2), AT(RSP, 2, true), .elsewhere = true},
    {"pop m", {0x8f, 0x03}, 2, AT(RBX, 0), AT(RSP, 0), .elsewhere = true},
    {"push rsp-relative", {0xff, 0x74, 0x24, 0x10}, 4, NOTHING, AT(RSP, 0, true)},
    {"call m", {0xff, 0x13}, 2, AT(RBX, 0), AT(RSP, 0, true), .branches = true},
    {"jmp m", {0xff, 0x23}, 2, AT(RBX, 0), NOTHING, .branches = true},
    {"ret", {0xc3}, 1, AT(RSP, 0), NOTHING, .branches = true},
    {"ret n", {0xc2, 0x18, 0x00}, 3, AT(RSP, 0), NOTHING, .branches = true},
    {"call rel", {0xe8, 0, 0, 0, 0}, 5, NOTHING, AT(RSP, 0, true)},
    {"call r", {0xff, 0xd6}, 2, NOTHING, AT(RSP, 0, true), .branches = true},
    {"push r", {0x50}, 1, NOTHING, AT(RSP, 0, true)},
    {"push rsp", {0x54}, 1, NOTHING, AT(RSP, 0, true)},
    {"push i", {0x6a, 0x85}, 2, NOTHING, AT(RSP, 0, true)},
    {"pop r", {0x58}, 1, AT(RSP, 0), NOTHING},
    {"pop rsp", {0x5c}, 1, AT(RSP, 0), NOTHING},
    {"leave", {0xc9}, 1, AT(RBP, 0), NOTHING},
    {"xlat", {0xd7}, 1, AT(RBX, 1), NOTHING, .elsewhere = true},
    {"movsb", {0xa4}, 1, AT(RSI, 1), AT(RDI, 1), .elsewhere = true},
    {"movsw", {0x66, 0xa5}, 2, AT(RSI, 2), AT(RDI, 2), .elsewhere = true},
    {"movsd", {0xa5}, 1, AT(RSI, 4), AT(RDI, 4), .elsewhere = true},
    {"movsq", {0x48, 0xa5}, 2, AT(RSI, 8), AT(RDI, 8), .only64 = true, .elsewhere = true},
    {"rep movsb", {0xf3, 0xa4}, 2, AT(RSI, 1), AT(RDI, 1), .rep = ELEMENTS, .elsewhere = true},
    {"rep movsd", {0xf3, 0xa5}, 2, AT(RSI, 4), AT(RDI, 4), .rep = ELEMENTS, .elsewhere = true},
    {"rep movsq", {0xf3, 0x48, 0xa5}, 3, AT(RSI, 8), AT(RDI, 8), .only64 = true, .rep = ELEMENTS, .elsewhere = true},
    {"stosb", {0xaa}, 1, NOTHING, AT(RDI, 1), .elsewhere = true},
    {"stosd", {0xab}, 1, NOTHING, AT(RDI, 4), .elsewhere = true},
    {"rep stosb", {0xf3, 0xaa}, 2, NOTHING, AT(RDI, 1), .rep = ELEMENTS, .elsewhere = true},
    {"rep stosq", {0xf3, 0x48, 0xab}, 3, NOTHING, AT(RDI, 8), .only64 = true, .rep = ELEMENTS, .elsewhere = true},
    {"lodsd", {0xad}, 1, AT(RSI, 4), NOTHING, .elsewhere = true},
    {"scasd", {0xaf}, 1, AT(RDI, 4), NOTHING, .elsewhere = true},
    {"cmpsb", {0xa6}, 1, AT(RSI, 1), AT(RDI, 1), .elsewhere = true},
    {"cmpsd", {0xa7}, 1, AT(RSI, 4), AT(RDI, 4), .elsewhere = true},
    {"cmpsq", {0x48, 0xa7}, 2, AT(RSI, 8), AT(RDI, 8), .only64 = true, .elsewhere = true},
    {"pushad", {0x60}, 1, NOTHING, AT(RSP, 32, true), .only32 = true, .elsewhere = true},
};

/* From the start of the data pages: there, across their middle, before them, across their end, read-only, for kernels the host's
 * own memory. */
static const int64_t places[] = {0x440, 0x1000, -0x400, ORACLE_DATA_LEN, ORACLE_RO - ORACLE_DATA + 0x40,
#ifdef ORACLE_WINDOW
                                 (int64_t)(ORACLE_BAIT + 0x100 - ORACLE_BASE - ORACLE_DATA),
#endif
};
enum { PLACES = G_N_ELEMENTS(places), READ_ONLY = 4 };

static unsigned size_of(const Operand *o, OracleMode mode)
{
    return o->size != 0 ? o->size : mode == ORACLE_64 ? 8 : 4;
}

/* Make o lie at place number k; those over an edge begin before it, for one byte at it.  Offset from the data pages. */
static int64_t put(OracleCase *c, const Operand *o, unsigned k, unsigned back)
{
    unsigned size = size_of(o, c->mode);
    int64_t at = places[k] - (k == 1 || k == 3 ? (int64_t)(size == 1 ? back : size - 1) : 0);
    uint64_t reg = oracle_data_addr(c->mode, 0) + (uint64_t)at + (o->pushed ? size : 0);

    if (o->reg != NONE) {
        c->in.gpr[o->reg] = c->mode == ORACLE_64 ? reg : (uint32_t)reg;
    }
    return at;
}

static bool check(OracleGuest *g, OracleRandom *r, OracleMode mode, const Pair *p, unsigned ka, unsigned kb)
{
    uint64_t seed = r->s, behind;
    OracleCase c = {.mode = mode};
    int64_t at;

    oracle_random_state(r, mode, &c.in);
    c.in.rflags &= ~UINT64_C(0x40400); /* DF, AC */
    c.len = mode == ORACLE_64 ? 3 : 2; /* add r15, r15 or edx, edx: flags that stay live */
    memcpy(c.code, mode == ORACLE_64 ? "\x4d\x01\xff" : "\x01\xd2", c.len);
    memcpy(c.code + c.len, p->code, p->n);
    c.len += p->n;
    oracle_place_code(&c, oracle_engine_place(r));
    if (p->rep != 0) {
        c.in.gpr[GPR_RCX] = 1 + oracle_below(r, p->rep);
    }
    behind = c.in.rip + c.len;
    c.in.gpr[GPR_RAX] = c.in.gpr[GPR_RAX] & ~UINT64_C(0xff); /* xlat's index */
    put(&c, &p->b, kb, p->rep);
    at = put(&c, &p->a, ka, p->rep);
    if (p->branches && p->a.reg == NONE) {
        c.in.gpr[GPR_RSI] = behind;
    } else if (p->branches && at >= 0 && at + 8 <= ORACLE_DATA_LEN) {
        memcpy(c.in.data + at, &behind, size_of(&p->a, mode));
    }
    return oracle_check(g, &c, (OracleLeave){.data_on_fault = p->branches}, seed);
}

static void try_pair(OracleMode mode, int i)
{
    const Pair *p = &pairs[i];
    OracleRandom r = {.s = (uint64_t)i};
    OracleGuest *g = oracle_engine_guest();
    const char *why = oracle_engine_host(mode);
    unsigned failures = 0, cases = 0;

    for (unsigned ka = 0; ka < (p->a.reg == NONE ? 1 : PLACES) && why == NULL; ka++) {
        if (ORACLE_KERNEL && p->branches && ka == READ_ONLY) {
            continue;          /* to nowhere: hosts and the translator push first, the interpreter, as the SDM, looks at the target first */
        }
        for (unsigned kb = 0; kb < (p->b.reg == NONE ? 1 : PLACES); kb++) {
            for (unsigned turn = 0; turn < 6 && failures < 5; turn++) { /* code in other places */
                cases++;
                failures += !check(g, &r, mode, p, ka, kb);
            }
        }
    }
    fflush(stdout);
    if (why == NULL) {
        oracle_engine_was_used(g, mode, p->elsewhere ? 0 : cases / 4);
    }
    oracle_guest_free(g);
    ck_assert_msg(failures == 0, "%s", p->name);
}

START_TEST(each_of_two_operands_is_there_or_faults)
{
    if (!pairs[_i].only32) {
        try_pair(ORACLE_64, _i);
    }
}
END_TEST

START_TEST(each_of_two_operands_is_there_or_faults_32)
{
    if (!pairs[_i].only64) {
        try_pair(ORACLE_32, _i);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("translate-pairs");
    TCase *t = tcase_create("pairs");

    tcase_set_timeout(t, 0);
    if (!ORACLE_KERNEL32) {
        tcase_add_loop_test(t, each_of_two_operands_is_there_or_faults, 0, (int)G_N_ELEMENTS(pairs));
    }
    if (!ORACLE_KERNEL || ORACLE_KERNEL32) {
        tcase_add_loop_test(t, each_of_two_operands_is_there_or_faults_32, 0, (int)G_N_ELEMENTS(pairs));
    }
    suite_add_tcase(s, t);
    return s;
}
