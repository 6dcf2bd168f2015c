/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Short random sequences of instructions against the host CPU: state carried from one to the next,
 * decoded runs, faults in the middle, single step.
 *
 * Environment: ORACLE_COUNT=N sequences in each mode, ORACLE_SEED=X another stream, ORACLE_CODE=HEX these bytes each time.
 */
#include "tests/cpu-x86/oracle-engine.h"
#include "tests/cpu-x86/oracle-forms.h"
#include "tests/suite.h"

#include "cpu-x86/state.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_REPORTS = 8, MAX_INSNS = 8 };

typedef struct {
    uint8_t code[15];
    uint8_t len;
} Form;

typedef struct {
    OracleRandom r;
    GArray *forms;
} Pool;

/* Does a Zen 4 read a register of its own behind a push or a pop: RSP as it was before?  It does, natively, with an EVEX prefix that would
 * make the operand number 16 and up if it were a vector (push rsi; vpbroadcastb ymm24, esp, of 62 22 7d 28 7a c4, which no assembler makes). */
static bool reads_old_rsp(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops)
{
    bool rsp = false;

    for (unsigned i = 0; i < zi->operand_count; i++) {
        rsp |= ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER && ops[i].encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM &&
               ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, ops[i].reg.value) == ZYDIS_REGISTER_RSP;
    }
    return rsp && zi->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
}

/* Left out: branches, and what test-oracle-forms.c compares less than fully. */
static bool is_plain(const ZydisDecodedInstruction *zi, const ZydisDecodedOperand *ops)
{
    const ZydisDecodedOperand *m = oracle_form_memory(zi, ops);
    const char *name = ZydisMnemonicGetString(zi->mnemonic);

    if (zi->meta.branch_type != ZYDIS_BRANCH_TYPE_NONE || zi->mnemonic == ZYDIS_MNEMONIC_ROL ||
        zi->mnemonic == ZYDIS_MNEMONIC_ROR || strstr(name, "maskmov") != NULL ||
        zi->mnemonic == ZYDIS_MNEMONIC_POPA || zi->mnemonic == ZYDIS_MNEMONIC_POPAD ||
        zi->mnemonic == ZYDIS_MNEMONIC_LGDT || zi->mnemonic == ZYDIS_MNEMONIC_LIDT ||
        (zi->attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0 || reads_old_rsp(zi, ops)) {
        /* POPA: hosts keep what was loaded before a fault.  Behind LGDT and LIDT no exception can be delivered, with which a sequence ends. */
        return false;
    }
    if (strncmp(name, "cvt", 3) == 0 && strstr(name, "pi") != NULL) {
        return false;          /* MMX and faults */
    }
    if (m == NULL) {
        return true;
    }
    for (unsigned i = 0; i < zi->operand_count; i++) {
        if (ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
            ZydisRegisterGetClass(ops[i].reg.value) == ZYDIS_REGCLASS_MMX) {
            return false;
        }
    }
    return zi->raw.disp.size == 8 && zi->avx.mask.mode <= ZYDIS_MASK_MODE_DISABLED &&
           zi->mnemonic != ZYDIS_MNEMONIC_XCHG && m->mem.type == ZYDIS_MEMOP_TYPE_MEM;
}

static void take_form(void *arg, OracleCase *c, const ZydisDecodedInstruction *zi,
                      const ZydisDecodedOperand *ops)
{
    Pool *p = arg;
    Form f = {.len = (uint8_t)c->len};

    if (oracle_below(&p->r, 4) == 0 && oracle_form_is_comparable(zi, ops) && is_plain(zi, ops)) {
        memcpy(f.code, c->code, sizeof(f.code));
        g_array_append_val(p->forms, f);
    }
}

/* The bytes that `hex` names; true: they are not too many. */
static bool take_code(OracleCase *c, const char *hex)
{
    c->len = 0;
    for (; g_ascii_isxdigit(hex[0]) && g_ascii_isxdigit(hex[1]) && c->len < MAX_INSNS * sizeof ((Form *)0)->code; hex += 2) {
        c->code[c->len++] = (uint8_t)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));
    }
    return *hex == '\0';
}

static void make_sequence(Pool *p, OracleCase *c)
{
    unsigned n = 2 + oracle_below(&p->r, MAX_INSNS - 1);

    oracle_random_state(&p->r, c->mode, &c->in);
    if (c->mode == ORACLE_64) {
        c->in.gpr[14] = oracle_data_addr(c->mode, 0x200 + 64 * oracle_below(&p->r, 16));
    }
    if (oracle_below(&p->r, 16) == 0) {
        c->in.rflags |= FLAG_TF;
    }
    c->len = 0;
    while (n-- != 0) {
        const Form *f = &g_array_index(p->forms, Form, oracle_below(&p->r, p->forms->len));
        memcpy(c->code + c->len, f->code, f->len);
        c->len += f->len;
    }
    if (g_getenv("ORACLE_CODE") != NULL) {
        ck_assert_msg(take_code(c, g_getenv("ORACLE_CODE")), "ORACLE_CODE is not the bytes of a few instructions");
    }
    oracle_place_code(c, oracle_engine_place(&p->r));
}

/* Instructions that the difference does not need are dropped, one at a time. */
static void shrink(OracleGuest *g, OracleCase *c)
{
    OracleLeave quiet = {.quiet = true};
    ZydisDecoder d;

    ZydisDecoderInit(&d, c->mode == ORACLE_64 ? ZYDIS_MACHINE_MODE_LONG_64
                         : c->mode == ORACLE_32 ? ZYDIS_MACHINE_MODE_LONG_COMPAT_32
                                                : ZYDIS_MACHINE_MODE_LONG_COMPAT_16,
                     c->mode == ORACLE_64 ? ZYDIS_STACK_WIDTH_64
                     : c->mode == ORACLE_32 ? ZYDIS_STACK_WIDTH_32 : ZYDIS_STACK_WIDTH_16);
    for (unsigned at = 0; at < c->len;) {
        OracleCase less = *c;
        ZydisDecodedInstruction zi;

        if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d, NULL, c->code + at, c->len - at, &zi))) {
            return;
        }
        memmove(less.code + at, less.code + at + zi.length, c->len - at - zi.length);
        less.len -= zi.length;
        if (!oracle_check(g, &less, quiet, 0)) {
            *c = less;
        } else {
            at += zi.length;
        }
    }
}

static uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);

    return s != NULL ? g_ascii_strtoull(s, NULL, 0) : otherwise;
}

START_TEST(random_sequences_do_what_the_host_does)
{
    Pool p = {.r.s = env_number("ORACLE_SEED", 2), .forms = g_array_new(FALSE, FALSE, sizeof(Form))};
    OracleGuest *g = oracle_engine_guest();
    const char *why = oracle_engine_host((OracleMode)_i);
    unsigned n = (unsigned)env_number("ORACLE_COUNT", 10000), failures = 0;
    static OracleCase c;

    if (why != NULL) {
        printf("skipped: %s\n", why);
        n = 0;
    } else {
        OracleRandom r = p.r;
        oracle_each_form((OracleMode)_i, ORACLE_LEGACY | ORACLE_VEX | ORACLE_EVEX, &r, take_form, &p);
    }
    for (unsigned i = 0; i < n; i++) {
        uint64_t seed = p.r.s;
        OracleLeave leave = {.quiet = failures >= MAX_REPORTS};

        c.mode = (OracleMode)_i;
        make_sequence(&p, &c);
        if (!oracle_check(g, &c, (OracleLeave){.quiet = true}, seed)) {
            failures++;
            if (!leave.quiet) {
                shrink(g, &c);
                oracle_check(g, &c, leave, seed);
            }
        }
    }
    printf("%u sequences of %u forms, %u differ\n", n, p.forms->len, failures);
    fflush(stdout);
    g_array_free(p.forms, TRUE);
    if (why == NULL) {
        oracle_engine_was_used(g, (OracleMode)_i, n);
    }
    oracle_guest_free(g);
    ck_assert_msg(failures == 0, "%u of %u sequences differ from the host", failures, n);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("oracle-sequences");
    TCase *tc = tcase_create("sequences");

    tcase_set_timeout(tc, 0);
    tcase_add_loop_test(tc, random_sequences_do_what_the_host_does, ORACLE_FIRST_MODE, ORACLE_MODES);
    suite_add_tcase(s, tc);
    return s;
}
