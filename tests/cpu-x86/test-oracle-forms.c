/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every instruction form, in 64-, 32- and 16-bit code, against the host CPU: results and faults.
 *
 * Environment: ORACLE_EVERY=N takes one form in N (1: all, the slow suite), ORACLE_SEED=X another
 * stream of random numbers, ORACLE_ONLY=MNEMONIC one mnemonic.
 */
#include "tests/cpu-x86/oracle-engine.h"
#include "tests/cpu-x86/oracle-forms.h"
#include "tests/suite.h"

#include "cpu-x86/state.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPORTS_PER_MNEMONIC = 2, MAX_REPORTS = 30 };

typedef struct {
    OracleGuest *g;
    OracleRandom r;
    unsigned every, cases, with_memory, failures, reports;
    const char *only;
    GHashTable *failed;        /* mnemonic -> failures */
} Run;

/* Where the memory operand is put, from the start of the data pages: aligned, unaligned, behind
 * them, before them, read-only, for kernels the host's own memory. One more: across their end. */
static const int64_t places[] = {0x400, 0x443, ORACLE_DATA_LEN, -0x800, ORACLE_RO - ORACLE_DATA + 0x40,
#ifdef ORACLE_WINDOW
                                 (int64_t)(ORACLE_BAIT + 0x100 - ORACLE_BASE - ORACLE_DATA),
#endif
};

/* -- What hosts do that the manual leaves open and we do not ---------------------------------------- */

/* The transition to MMX state is made even when the instruction then faults. */
static bool touches_mmx(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops)
{
    for (unsigned i = 0; i < zi->operand_count; i++) {
        if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(ops[i].reg.value) == ZYDIS_REGCLASS_MMX) {
            return true;
        }
    }
    return zi->mnemonic == ZYDIS_MNEMONIC_CVTPI2PS;
}

static OracleLeave leave_out(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops)
{
    const char *name = ZydisMnemonicGetString(zi->mnemonic);
    OracleLeave leave = {.flags = 0};

    /* Rotations by an immediate other than 1 leave OF alone, those by CL do not. */
    if (zi->mnemonic == ZYDIS_MNEMONIC_ROL || zi->mnemonic == ZYDIS_MNEMONIC_ROR) {
        leave.flags |= FLAG_OF;
    }
    leave.x87_on_fault = touches_mmx(zi, ops);
    leave.addr_in_page = zi->avx.mask.reg != ZYDIS_REGISTER_NONE || strstr(name, "maskmov") != NULL;
    /* Pushes first, then finds the target not canonical. */
    leave.data_on_fault = zi->mnemonic == ZYDIS_MNEMONIC_CALL;
    return leave;
}

/* -- Running ------------------------------------------------------------------------------------------ */

static void check_case(Run *run, OracleCase *c, const ZydisDecodedInstruction *zi,
                       const ZydisDecodedOperand *ops, uint64_t seed)
{
    const char *name = ZydisMnemonicGetString(zi->mnemonic);
    unsigned n = GPOINTER_TO_UINT(g_hash_table_lookup(run->failed, name));
    OracleLeave leave = leave_out(zi, ops);

    leave.quiet = n >= REPORTS_PER_MNEMONIC || run->reports >= MAX_REPORTS;
    run->cases++;
    run->with_memory += oracle_form_memory(zi, ops) != NULL;
    if (!oracle_check(run->g, c, leave, seed)) {
        run->failures++;
        run->reports += !leave.quiet;
        g_hash_table_insert(run->failed, (gpointer)name, GUINT_TO_POINTER(n + 1));
    }
}

static void on_form(void *arg, OracleCase *c, const ZydisDecodedInstruction *zi,
                    const ZydisDecodedOperand *ops)
{
    Run *run = arg;
    const ZydisDecodedOperand *m = oracle_form_memory(zi, ops);
    bool locked = (zi->attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0 ||
                  zi->mnemonic == ZYDIS_MNEMONIC_XCHG;
    unsigned n = m == NULL ? 1 : G_N_ELEMENTS(places) + 1;
    uint8_t code[15];

    if (oracle_below(&run->r, run->every) != 0 || !oracle_form_is_comparable(zi, ops) ||
        (run->only != NULL && strcmp(run->only, ZydisMnemonicGetString(zi->mnemonic)) != 0)) {
        return;
    }
    memcpy(code, c->code, sizeof(code));
    for (unsigned v = 0; v < n; v++) {
        uint64_t seed = run->r.s;

        /* A locked access across cache lines costs milliseconds on Linux. */
        if (locked && (v == 1 || v == G_N_ELEMENTS(places))) {
            continue;
        }
        memcpy(c->code, code, sizeof(code));
        oracle_random_state(&run->r, c->mode, &c->in);
        oracle_place_code(c, oracle_engine_place(&run->r));
        oracle_place_memory(&run->r, c, zi, ops,
                            v < G_N_ELEMENTS(places) ? places[v]
                                                     : ORACLE_DATA_LEN - (int)(m->size / 16));
        check_case(run, c, zi, ops, seed);
    }
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);

    return s != NULL ? g_ascii_strtoull(s, NULL, 0) : otherwise;
}

static void print_failed(gpointer key, gpointer value, gpointer arg)
{
    printf("%s: %u  ", (const char *)key, GPOINTER_TO_UINT(value));
}

static void compare_forms(OracleMode mode, unsigned encodings)
{
    Run run = {.r.s = env_number("ORACLE_SEED", 1), .every = (unsigned)env_number("ORACLE_EVERY", 25),
               .only = getenv("ORACLE_ONLY"), .failed = g_hash_table_new(g_str_hash, g_str_equal)};
    const char *why;

    run.g = oracle_engine_guest();
    why = oracle_engine_host(mode);
    if (why != NULL) {
        printf("skipped: %s\n", why);
    } else {
        oracle_each_form(mode, encodings, &run.r, on_form, &run);
        printf("%u cases, %u differ\n", run.cases, run.failures);
        g_hash_table_foreach(run.failed, print_failed, NULL);
    }
    fflush(stdout);            /* a failed assertion leaves the child without */
    if (why == NULL) {
        oracle_engine_was_used(run.g, mode, run.with_memory);
    }
    oracle_guest_free(run.g);
    g_hash_table_destroy(run.failed);
    ck_assert_msg(run.failures == 0, "%u of %u cases differ from the host", run.failures, run.cases);
    ck_assert(why != NULL || run.only != NULL || run.cases > 500);
}

START_TEST(legacy_forms_do_what_the_host_does)
{
    compare_forms((OracleMode)_i, ORACLE_LEGACY);
}
END_TEST

START_TEST(vex_forms_do_what_the_host_does)
{
    compare_forms((OracleMode)_i, ORACLE_VEX);
}
END_TEST

START_TEST(evex_forms_do_what_the_host_does)
{
    compare_forms((OracleMode)_i, ORACLE_EVEX);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("oracle-forms");
    TCase *tc = tcase_create("forms");

    tcase_set_timeout(tc, 0);
    tcase_add_loop_test(tc, legacy_forms_do_what_the_host_does, ORACLE_FIRST_MODE, ORACLE_MODES);
    tcase_add_loop_test(tc, vex_forms_do_what_the_host_does, ORACLE_FIRST_MODE, ORACLE_MODES);
    tcase_add_loop_test(tc, evex_forms_do_what_the_host_does, ORACLE_FIRST_MODE, ORACLE_MODES);
    suite_add_tcase(s, tc);
    return s;
}
