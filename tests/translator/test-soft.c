/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Soft immediates: each form of instruction whose constant is read from the guest's code once that has been rewritten often, with
 * flags live into it and out of it, against the interpreter, while the constant goes on changing.
 */
#include "tests/cpu-x86/guest-cpu.h"
#include "tests/suite.h"
#include "translator/engine.h"
#include "translator/policy.h"

#include <stdio.h>

enum { TURNS = 12, REGS = 16 };

/* `opcode` with the register in ModRM of digit `digit`; -1: in the opcode; -2: rAX without ModRM. */
typedef struct {
    const char *name;
    uint8_t opcode, imm;
    int digit;
    bool wide;
} Form;

#define ARITHMETIC(name, n)                                                                                    \
    {name " i8", 0x83, 1, n, false}, {name " i8 wide", 0x83, 1, n, true}, {name " i32", 0x81, 4, n, false},    \
    {name " i32 wide", 0x81, 4, n, true}, {name " eax", 8 * (n) + 5, 4, -2, false}, {name " rax", 8 * (n) + 5, 4, -2, true}

static const Form forms[] = {
    {"mov r32", 0xb8, 4, -1, false}, {"mov r64", 0xb8, 8, -1, true}, {"mov r32 c7", 0xc7, 4, 0, false}, {"mov r64 c7", 0xc7, 4, 0, true},
    ARITHMETIC("add", 0), ARITHMETIC("or", 1), ARITHMETIC("adc", 2), ARITHMETIC("sbb", 3),
    ARITHMETIC("and", 4), ARITHMETIC("sub", 5), ARITHMETIC("xor", 6), ARITHMETIC("cmp", 7),
};

/* add r, r; the instruction; hlt.  Returns where its constant is. */
static unsigned put(uint8_t code[32], unsigned *len, const Form *f, unsigned reg)
{
    unsigned other = reg == GPR_RBX ? GPR_RDX : GPR_RBX, n = 0, at;

    code[n++] = 0x48;
    code[n++] = 0x01;          /* its flags are live */
    code[n++] = (uint8_t)(0xc0 | other << 3 | other);
    if (f->wide || (reg & 8) != 0) {
        code[n++] = (uint8_t)(0x40 | (f->wide ? 8 : 0) | reg >> 3);
    }
    code[n++] = (uint8_t)(f->opcode | (f->digit == -1 ? reg & 7 : 0));
    if (f->digit >= 0) {
        code[n++] = (uint8_t)(0xc0 | (unsigned)f->digit << 3 | (reg & 7));
    }
    at = n;
    n += f->imm;
    code[n++] = 0xf4;
    *len = n;
    return at;
}

static void run(GuestCpu *g, const EngineClass *engine, uint64_t at, uint64_t seed)
{
    for (unsigned r = 0; r < GPR_COUNT; r++) {
        g->cpu->gpr[r] = r == GPR_RSP ? GUEST_STACK : (seed + r) * UINT64_C(0x9e3779b97f4a7c15);
    }
    g->cpu->rip = at;
    g->cpu->rflags = 2;
    g->cpu->activity = CPU_RUNNING;
    while (engine->run(g->cpu, 1000) == CPU_EXIT_BUDGET) {
    }
    ck_assert_uint_eq(g->cpu->activity, CPU_HALTED);
}

/* a interprets, b translates: on a page for each register. */
static void try_register(GuestCpu *a, GuestCpu *b, const Form *f, unsigned reg)
{
    uint8_t code[32] = {0};
    unsigned len, at = put(code, &len, f, reg);
    uint64_t page = GUEST_BIG_DATA + reg * 0x1000;

    for (unsigned turn = 0; turn < TURNS; turn++) {
        for (unsigned i = 0; i < f->imm; i++) {
            code[at + i] = (uint8_t)((turn + 1) * 0x47 + i * 0x5d);
        }
        guest_write(a, page, code, len);
        if (turn == 0) {
            guest_write(b, page, code, len);
        } else {
            guest_write(b, page + at, code + at, f->imm); /* nothing else */
        }
        for (unsigned again = 0; again < 2; again++) {
            run(a, &interp_engine, page, turn);
            run(b, &translate_engine, page, turn);
            for (unsigned r = 0; r < GPR_COUNT; r++) {
                ck_assert_msg(a->cpu->gpr[r] == b->cpu->gpr[r], "%s, register %u, turn %u: gpr %u is %llx, not %llx", f->name, reg, turn, r,
                              (unsigned long long)b->cpu->gpr[r], (unsigned long long)a->cpu->gpr[r]);
            }
            ck_assert_msg(a->cpu->rflags == b->cpu->rflags, "%s, register %u, turn %u: flags %llx, not %llx", f->name, reg, turn,
                          (unsigned long long)b->cpu->rflags, (unsigned long long)a->cpu->rflags);
        }
    }
}

/* Every register that the form may have; how many instructions with soft immediates were translated, at least one each or none. */
static void try_form(const Form *f, const TransConfig *config)
{
    GuestCpu a, b;
    char *text;
    unsigned n = 0, tried = 0;

    guest_cpu_init(&a, GUEST_LONG64);
    guest_cpu_init(&b, GUEST_LONG64);
    b.cpu->engine = &translate_engine;
    b.cpu->engine_config = config;
    ck_assert(translate_engine.attach(b.cpu, NULL));
    for (unsigned reg = 0; reg < REGS; reg++) {
        if (reg != GPR_RSP && (f->digit != -2 || reg == GPR_RAX)) {
            try_register(&a, &b, f, reg);
            tried++;
        }
    }
    text = translate_report(b.cpu);
    sscanf(strstr(text, " came back, "), " came back, %u instructions with soft", &n);
    ck_assert_msg(config->soft ? n >= tried : n == 0, "%s: %u registers, %s", f->name, tried, text);
    g_free(text);
    translate_engine.detach(b.cpu);
    guest_cpu_clear(&a);
    guest_cpu_clear(&b);
}

START_TEST(constants_that_change_are_read)
{
    try_form(&forms[_i], &trans_policy);
}
END_TEST

START_TEST(not_where_it_is_switched_off)
{
    TransConfig config = trans_policy;

    config.soft = false;
    try_form(&forms[0], &config);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("soft");
    TCase *t = tcase_create("soft");

    tcase_set_timeout(t, 0);
    tcase_add_loop_test(t, constants_that_change_are_read, 0, (int)ARRAY_LEN(forms));
    tcase_add_test(t, not_where_it_is_switched_off);
    suite_add_tcase(s, t);
    return s;
}
