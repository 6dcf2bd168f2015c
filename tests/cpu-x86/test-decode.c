/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decoding: what X86Insn says of operands, sizes, addresses and run ends. */
#include "tests/cpu-x86/guest-cpu.h"

#include "cpu-x86/decode.h"
#include "cpu-x86/insns.h"

#include <check.h>
#include <stdlib.h>

static GuestCpu g;
static InsnDecoder decoder;

static void setup(GuestMode mode)
{
    guest_cpu_init(&g, mode);
    insn_decoder_init(&decoder, g.cpu);
}

/* clang-format off */
static const struct {
    GuestMode mode;
    const char *code;
    uint8_t len;
    uint8_t op_size, addr_size, stack_size;
    uint8_t kind0, reg0, size0, kind1;
    uint64_t imm;
    bool ends;
} rows[] = {
    {GUEST_LONG64, "\x48\x83\xc0\xff", 4, 8, 8, 8, OPERAND_GPR, GPR_RAX, 8, OPERAND_IMM, UINT64_MAX, false},
    {GUEST_LONG64, "\x88\xe3", 2, 1, 8, 8, OPERAND_GPR, GPR_RBX, 1, OPERAND_GPR_HIGH, 0, false},
    {GUEST_LONG64, "\x40\x88\xe3", 3, 1, 8, 8, OPERAND_GPR, GPR_RBX, 1, OPERAND_GPR, 0, false},
    {GUEST_LONG64, "\x41\x57", 2, 8, 8, 8, OPERAND_GPR, GPR_R15, 8, OPERAND_NONE, 0, false},
    {GUEST_LONG64, "\x66\x50", 2, 2, 8, 2, OPERAND_GPR, GPR_RAX, 2, OPERAND_NONE, 0, false},
    {GUEST_LONG64, "\xeb\xfe", 2, 8, 8, 8, OPERAND_IMM, 0, 1, OPERAND_NONE, UINT64_MAX - 1, true},
    {GUEST_LONG64, "\x8e\xd8", 2, 4, 8, 8, OPERAND_SEG, SEG_DS, 2, OPERAND_GPR, 0, true},
    {GUEST_LONG64, "\x0f\x20\xd8", 3, 8, 8, 8, OPERAND_GPR, GPR_RAX, 8, OPERAND_CR, 0, false},
    {GUEST_LONG64, "\x0f\x22\xd8", 3, 8, 8, 8, OPERAND_CR, 3, 8, OPERAND_GPR, 0, true},
    {GUEST_LONG64, "\xf3\xa4", 2, 1, 8, 8, OPERAND_NONE, 0, 0, OPERAND_NONE, 0, true},
    {GUEST_LONG64, "\xa4", 1, 1, 8, 8, OPERAND_NONE, 0, 0, OPERAND_NONE, 0, false},
    {GUEST_PROT32, "\x66\xb8\x34\x12", 4, 2, 4, 2, OPERAND_GPR, GPR_RAX, 2, OPERAND_IMM, 0x1234, false},
    {GUEST_PROT32, "\x67\x8b\x07", 3, 4, 2, 4, OPERAND_GPR, GPR_RAX, 4, OPERAND_MEM, 0, false},
    {GUEST_REAL16, "\x66\x67\x8b\x00", 4, 4, 4, 4, OPERAND_GPR, GPR_RAX, 4, OPERAND_MEM, 0, false},
    {GUEST_REAL16, "\xea\x78\x56\x34\x12", 5, 2, 2, 2, OPERAND_IMM, 0, 4, OPERAND_NONE, 0x5678, true},
    {GUEST_PROT32, "\xcf", 1, 4, 4, 4, OPERAND_NONE, 0, 0, OPERAND_NONE, 0, true},
};
/* clang-format on */

START_TEST(fields_say_what_the_bytes_say)
{
    X86Insn in;

    setup(rows[_i].mode);
    ck_assert(insn_decode(&decoder, g.cpu, (const uint8_t *)rows[_i].code, rows[_i].len, &in));
    ck_assert_uint_eq(in.len, rows[_i].len);
    ck_assert_uint_eq(in.op_size, rows[_i].op_size);
    ck_assert_uint_eq(in.addr_size, rows[_i].addr_size);
    ck_assert_uint_eq(in.stack_size, rows[_i].stack_size);
    ck_assert_uint_eq(in.op[0].kind, rows[_i].kind0);
    ck_assert_uint_eq(in.op[0].reg, rows[_i].reg0);
    ck_assert_uint_eq(in.op[1].kind, rows[_i].kind1);
    ck_assert_uint_eq(in.imm, rows[_i].imm);
    ck_assert_int_eq((in.flags & INSN_ENDS_RUN) != 0, rows[_i].ends);
    ck_assert(in.exec != exec_ud);
    guest_cpu_clear(&g);
}
END_TEST

/* clang-format off */
static const struct {
    GuestMode mode;
    const char *code;
    uint8_t len, seg, base, index, scale;
    int64_t disp;
    bool fast;
} addresses[] = {
    {GUEST_LONG64, "\x8b\x44\x8b\xfc", 4, SEG_DS, GPR_RBX, GPR_RCX, 2, -4, true},
    {GUEST_LONG64, "\x8b\x45\x08", 3, SEG_SS, GPR_RBP, GPR_NONE, 0, 8, true},
    {GUEST_LONG64, "\x8b\x05\x10\x00\x00\x00", 6, SEG_DS, GPR_RIP_BASE, GPR_NONE, 0, 16, true},
    {GUEST_LONG64, "\x65\x8b\x04\x25\x28\x00\x00\x00", 8, SEG_GS, GPR_NONE, GPR_NONE, 0, 0x28, true},
    {GUEST_LONG64, "\x43\x8b\x04\x6c", 4, SEG_DS, GPR_R12, GPR_R13, 1, 0, true},
    {GUEST_PROT32, "\x8b\x44\x24\x04", 4, SEG_SS, GPR_RSP, GPR_NONE, 0, 4, true},
    {GUEST_PROT32, "\x2e\x8b\x00", 3, SEG_CS, GPR_RAX, GPR_NONE, 0, 0, false},
    {GUEST_PROT32, "\x64\xa1\x04\x00\x00\x00", 6, SEG_FS, GPR_NONE, GPR_NONE, 0, 4, false},
    {GUEST_REAL16, "\x8b\x42\xff", 3, SEG_SS, GPR_RBP, GPR_RSI, 0, -1, false},
    {GUEST_REAL16, "\x26\xac", 2, SEG_ES, GPR_RSI, GPR_NONE, 0, 0, false},
    {GUEST_PROT32, "\x36\xd7", 2, SEG_SS, GPR_RBX, GPR_NONE, 0, 0, true},
};
/* clang-format on */

START_TEST(addresses_say_what_the_bytes_say)
{
    X86Insn in;

    setup(addresses[_i].mode);
    ck_assert(insn_decode(&decoder, g.cpu, (const uint8_t *)addresses[_i].code, addresses[_i].len, &in));
    ck_assert_uint_eq(in.len, addresses[_i].len);
    ck_assert_uint_eq(in.mem.seg, addresses[_i].seg);
    ck_assert_uint_eq(in.mem.base, addresses[_i].base);
    ck_assert_uint_eq(in.mem.index, addresses[_i].index);
    ck_assert_uint_eq(in.mem.scale, addresses[_i].scale);
    ck_assert_int_eq(in.mem.disp, addresses[_i].disp);
    ck_assert_int_eq((in.flags & INSN_FAST_EA) != 0, addresses[_i].fast);
    guest_cpu_clear(&g);
}
END_TEST

START_TEST(too_few_bytes_are_asked_for_again)
{
    static const uint8_t code[] = {0x48, 0x81, 0x84, 0xcb, 1, 2, 3, 4, 5, 6, 7, 8};
    X86Insn in;

    setup(GUEST_LONG64);
    for (unsigned n = 1; n < sizeof code; n++) {
        ck_assert(!insn_decode(&decoder, g.cpu, code, n, &in));
    }
    ck_assert(insn_decode(&decoder, g.cpu, code, sizeof code, &in));
    guest_cpu_clear(&g);
}
END_TEST

/* Whatever the bytes are, decoding gives something that can be executed, of 1 to 15 bytes. */
START_TEST(random_bytes_decode_to_something)
{
    uint64_t s = 0x1234567 + (uint64_t)_i;

    setup((GuestMode)_i);
    for (unsigned n = 0; n < 20000; n++) {
        uint8_t bytes[16];
        X86Insn in;

        for (unsigned i = 0; i < 16; i += 8) {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            memcpy(bytes + i, &s, 8);
        }
        ck_assert(insn_decode(&decoder, g.cpu, bytes, 15, &in));
        ck_assert(in.exec != NULL && in.len >= 1 && in.len <= 15);
    }
    guest_cpu_clear(&g);
}
END_TEST

START_TEST(every_row_is_in_the_table)
{
    unsigned n = 0;

    for (unsigned m = 0; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++) {
        ck_assert(x86_rows[m].exec == NULL || x86_rows[m].select == NULL);
        n += x86_rows[m].exec != NULL || x86_rows[m].select != NULL;
    }
    ck_assert_uint_gt(n, 200);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("decode");
    TCase *t = tcase_create("all");
    SRunner *sr = srunner_create(s);
    int failed;

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, fields_say_what_the_bytes_say, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(t, addresses_say_what_the_bytes_say, 0, (int)ARRAY_LEN(addresses));
    tcase_add_test(t, too_few_bytes_are_asked_for_again);
    tcase_add_loop_test(t, random_bytes_decode_to_something, 0, 5);
    tcase_add_test(t, every_row_is_in_the_table);
    suite_add_tcase(s, t);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? 0 : 1;
}
