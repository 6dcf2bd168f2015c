/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What user code on the host cannot show of vector and x87 instructions: control registers, modes,
 * FERR#, the stub cache. (Results and faults: test-oracle-forms.c.) */
#include "tests/cpu-x86/guest-cpu.h"
#include "tests/suite.h"

#include "cpu-x86/vector.h"

enum { FX_FCW = 0, FX_FSW = 2, FX_FTW = 4, FX_FOP = 6, FX_FIP = 8, FX_FDP = 16, FSW_ES = 0x80 };

static GuestCpu g;
static int ferr;

static void on_ferr(void *arg, bool level)
{
    ferr = level;
}

static void start(GuestMode mode)
{
    vector_global_init();
    guest_cpu_init(&g, mode);
    g.cpu->bus.fpu_error = on_ferr;
    ferr = -1;
    store_le(g.cpu->vec.fx + FX_FCW, 2, 0x37f);
    g.cpu->vec.fx[FX_FTW] = 0;
}

static void finish(void)
{
    guest_cpu_clear(&g);
}

static void run_code(const char *bytes, size_t len, unsigned n)
{
    guest_code(&g, (const uint8_t *)bytes, len);
    guest_run(&g, n);
}
#define RUN(code, n) run_code(code, sizeof(code) - 1, n)

/* -- Control bits ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    const char *code;
    unsigned len;
    uint32_t cr0_on, cr4_off, xcr0_off;
    int vector;
} gates[] = {
#define CODE(s) s, sizeof(s) - 1
    {"addps", CODE("\x0f\x58\xc1"), 0, 0, 0, -1},
    {"addps", CODE("\x0f\x58\xc1"), CR0_TS, 0, 0, 7},
    {"addps", CODE("\x0f\x58\xc1"), CR0_EM, 0, 0, 6},
    {"addps", CODE("\x0f\x58\xc1"), CR0_EM | CR0_TS, 0, 0, 6},
    {"addps", CODE("\x0f\x58\xc1"), 0, CR4_OSFXSR, 0, 6},
    {"addps", CODE("\x0f\x58\xc1"), 0, CR4_OSXSAVE, 0, -1},
    {"cvtsd2si eax, [rsp]", CODE("\xf2\x0f\x2d\x04\x24"), 0, CR4_OSFXSR, 0, 6},
    {"crc32", CODE("\xf2\x0f\x38\xf1\xc1"), CR0_TS | CR0_EM, CR4_OSFXSR, 0, -1},
    {"paddb mm", CODE("\x0f\xfc\xc1"), 0, CR4_OSFXSR, 0, -1},
    {"paddb mm", CODE("\x0f\xfc\xc1"), CR0_EM, 0, 0, 6},
    {"paddb mm", CODE("\x0f\xfc\xc1"), CR0_TS, 0, 0, 7},
    {"fld1", CODE("\xd9\xe8"), 0, 0, 0, -1},
    {"fld1", CODE("\xd9\xe8"), CR0_TS, 0, 0, 7},
    {"fld1", CODE("\xd9\xe8"), CR0_EM, 0, 0, 7},
    {"fnstenv", CODE("\xd9\x34\x24"), CR0_TS, 0, 0, 7},
    {"fwait", CODE("\x9b"), CR0_TS, 0, 0, 7},
    {"fwait", CODE("\x9b"), CR0_EM, 0, 0, -1},
    {"vaddps", CODE("\xc5\xf0\x58\xc2"), CR0_EM, 0, 0, -1},
    {"vaddps", CODE("\xc5\xf0\x58\xc2"), CR0_TS, 0, 0, 7},
    {"vaddps", CODE("\xc5\xf0\x58\xc2"), 0, CR4_OSXSAVE, 0, 6},
    {"vaddps", CODE("\xc5\xf0\x58\xc2"), 0, 0, XCR0_AVX, 6},
    {"vaddps", CODE("\xc5\xf0\x58\xc2"), CR0_TS, 0, XCR0_AVX, 6},
    {"vaddps", CODE("\xc5\xf0\x58\xc2"), 0, CR4_OSFXSR, 0, -1},
    {"vzeroupper", CODE("\xc5\xf8\x77"), 0, 0, XCR0_AVX, 6},
};

static const struct {
    const char *name;
    const char *code;
    unsigned len;
    uint32_t xcr0_off;
    int vector;
} gates512[] = {
    {"vaddps zmm", CODE("\x62\xf1\x6c\x48\x58\xc1"), 0, -1},
    {"vaddps zmm", CODE("\x62\xf1\x6c\x48\x58\xc1"), XCR0_OPMASK, 6},
    {"vaddps zmm", CODE("\x62\xf1\x6c\x48\x58\xc1"), XCR0_HI16_ZMM, 6},
    {"vaddps ymm", CODE("\xc5\xf4\x58\xc2"), XCR0_AVX512, -1},
    {"kmovw", CODE("\xc5\xf8\x92\xc8"), XCR0_OPMASK, 6},
};

START_TEST(control_registers_gate_each_class_of_instruction)
{
    if (!__builtin_cpu_supports("avx")) {
        return;
    }
    start(GUEST_LONG64);
    g.cpu->cr0 |= gates[_i].cr0_on;
    g.cpu->cr4 &= ~(uint64_t)gates[_i].cr4_off;
    g.cpu->vec.xcr0 &= ~(uint64_t)gates[_i].xcr0_off;
    run_code(gates[_i].code, gates[_i].len, 1);
    ck_assert_msg(guest_vector(&g) == gates[_i].vector, "%s (row %d): vector %d", gates[_i].name, _i,
                  guest_vector(&g));
    finish();
}
END_TEST

START_TEST(avx512_needs_all_its_state_components)
{
    if (!__builtin_cpu_supports("avx512bw")) {
        return;                /* the host has no AVX-512 */
    }
    start(GUEST_LONG64);
    g.cpu->vec.xcr0 &= ~(uint64_t)gates512[_i].xcr0_off;
    run_code(gates512[_i].code, gates512[_i].len, 1);
    ck_assert_msg(guest_vector(&g) == gates512[_i].vector, "%s (row %d): vector %d",
                  gates512[_i].name, _i, guest_vector(&g));
    finish();
}
END_TEST

START_TEST(vex_is_undefined_in_real_mode)
{
    start(GUEST_REAL16);
    RUN("\xc5\xf0\x58\xc2", 1);
    ck_assert_int_eq(guest_vector(&g), 6);
    finish();
}
END_TEST

/* -- Exceptions --------------------------------------------------------------------------------------- */

START_TEST(unmasked_simd_exception_is_xm_or_ud_and_leaves_its_flag)
{
    for (int os = 0; os < 2; os++) {
        start(GUEST_LONG64);
        g.cpu->cr4 &= os ? UINT64_MAX : ~(uint64_t)CR4_OSXMMEXCPT;
        g.cpu->vec.mxcsr = 0x1d80;           /* divide by zero unmasked */
        store_le(g.cpu->vec.zmm[0], 4, 0x3f800000);
        RUN("\xf3\x0f\x5e\xc1", 1);          /* divss xmm0, xmm1 */
        ck_assert_int_eq(guest_vector(&g), os ? 19 : 6);
        ck_assert_uint_eq(g.cpu->vec.mxcsr, 0x1d84);
        ck_assert_uint_eq(load_le(g.cpu->vec.zmm[0], 4), 0x3f800000);
        finish();
    }
}
END_TEST

START_TEST(ldmxcsr_with_reserved_bits_is_gp)
{
    start(GUEST_LONG64);
    g.cpu->gpr[GPR_RAX] = GUEST_DATA;
    store_le(guest_ram(&g, GUEST_DATA), 4, 0x11f80);
    RUN("\x0f\xae\x10", 1);
    ck_assert_int_eq(guest_vector(&g), 13);
    ck_assert_uint_eq(g.cpu->vec.mxcsr, 0x1f80);
    finish();
}
END_TEST

START_TEST(x87_error_waits_for_the_next_instruction)
{
    start(GUEST_LONG64);
    store_le(g.cpu->vec.fx + FX_FCW, 2, 0x37b); /* divide by zero unmasked */
    RUN("\xd9\xe8\xd9\xee\xde\xf9\xdd\xd8", 3); /* fld1; fldz; fdivp; fstp st0 */
    ck_assert_int_eq(guest_vector(&g), -1);
    guest_run(&g, 1);
    ck_assert_int_eq(guest_vector(&g), 16);
    finish();
}
END_TEST

START_TEST(x87_error_without_ne_raises_ferr_and_goes_on)
{
    start(GUEST_LONG64);
    g.cpu->cr0 &= ~(uint64_t)CR0_NE;
    store_le(g.cpu->vec.fx + FX_FCW, 2, 0x37b);
    RUN("\xd9\xe8\xd9\xee\xde\xf9\xd9\xe8\xdb\xe2", 4); /* fld1; fldz; fdivp; fld1; fnclex */
    ck_assert_int_eq(guest_vector(&g), -1);
    ck_assert_int_eq(ferr, 1);
    ck_assert_uint_eq(load_le(g.cpu->vec.fx + FX_FSW, 2) & (FSW_ES | 4), FSW_ES | 4);
    ck_assert_uint_eq(load_le(g.cpu->vec.fx + FX_FCW, 2), 0x37b);
    guest_run(&g, 1);
    ck_assert_int_eq(ferr, 0);
    finish();
}
END_TEST

/* -- The x87 environment in each mode ------------------------------------------------------------- */

START_TEST(environment_formats_follow_mode_and_operand_size)
{
    static const struct {
        GuestMode mode;
        const char *code;
        unsigned code_len, len;
        uint32_t dword[7];     /* or words, in the low half */
    } rows[] = {
        {GUEST_PROT32, CODE("\xd9\x30"), 28,
         {0xffff037f, 0xffff0000, 0xffffffff, 0x12345, 0x1d90000, 0x23456, 0xffff0000}},
        {GUEST_PROT32, CODE("\x66\xd9\x30"), 14, {0x37f, 0, 0xffff, 0x2345, 0, 0x3456, 0}},
        {GUEST_REAL16, CODE("\xd9\x37"), 14, {0x37f, 0, 0xffff, 0x2345, 0x11d9, 0x3456, 0x2000}},
        {GUEST_REAL16, CODE("\x66\xd9\x37"), 28,
         {0xffff037f, 0xffff0000, 0xffffffff, 0xffff2345, 0x11d9, 0xffff3456, 0x2000}},
        {GUEST_LONG64, CODE("\xd9\x30"), 28,
         {0xffff037f, 0xffff0000, 0xffffffff, 0x12345, 0x1d90000, 0x23456, 0xffff0000}},
    };

    start(rows[_i].mode);
    g.cpu->gpr[GPR_RAX] = g.cpu->gpr[GPR_RBX] = GUEST_DATA;
    store_le(g.cpu->vec.fx + FX_FOP, 2, 0x1d9);
    store_le(g.cpu->vec.fx + FX_FIP, 8, 0x12345);
    store_le(g.cpu->vec.fx + FX_FDP, 8, 0x23456);
    run_code(rows[_i].code, rows[_i].code_len, 1);
    ck_assert_int_eq(guest_vector(&g), -1);
    for (unsigned i = 0; i < 7; i++) {
        unsigned step = rows[_i].len / 7;
        ck_assert_uint_eq(load_le(guest_ram(&g, GUEST_DATA + i * step), step), rows[_i].dword[i]);
    }
    finish();
}
END_TEST

/* -- Registers and stubs ----------------------------------------------------------------------------- */

START_TEST(vzeroupper_outside_64_bit_mode_clears_eight_registers)
{
    if (!__builtin_cpu_supports("avx")) {
        return;
    }
    start(GUEST_PROT32);
    memset(g.cpu->vec.zmm, 0xaa, sizeof(g.cpu->vec.zmm));
    RUN("\xc5\xf8\x77", 1);
    ck_assert_uint_eq(g.cpu->vec.zmm[7][15], 0xaa);
    ck_assert_uint_eq(g.cpu->vec.zmm[7][16], 0);
    ck_assert_uint_eq(g.cpu->vec.zmm[8][16], 0xaa);
    finish();
}
END_TEST

START_TEST(equal_instructions_share_a_stub)
{
    uint64_t stubs;

    start(GUEST_LONG64);
    g.cpu->gpr[GPR_RAX] = g.cpu->gpr[GPR_RBX] = GUEST_DATA;
    RUN("\x0f\x58\x00\x0f\x58\x43\x10\x0f\x58\x83\x40\x00\x00\x00", 3); /* addps xmm0, [...] */
    stubs = g.cpu->stats[STAT_VECTOR_STUBS];
    ck_assert_uint_eq(stubs, 1);
    ck_assert_uint_eq(g.cpu->stats[STAT_VECTOR_EXECS], 3);
    finish();
}
END_TEST

/* More different instructions than the table holds: it is flushed, and what was decoded before
 * still does the right thing. */
START_TEST(stub_table_survives_being_full)
{
    uint8_t code[5 * 256 + 5];

    start(GUEST_LONG64);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned regs = 0; regs < 40; regs++) {
            for (unsigned imm = 0; imm < 256; imm++) { /* pshufd xmm, xmm, imm8 */
                uint8_t one[5] = {0x66, 0x0f, 0x70, (uint8_t)(0xc0 | regs), (uint8_t)imm};
                memcpy(code + 5 * imm, one, 5);
            }
            store_le(g.cpu->vec.zmm[regs & 7], 8, UINT64_C(0x1111111122222222));
            store_le(g.cpu->vec.zmm[regs & 7] + 8, 8, UINT64_C(0x3333333344444444));
            run_code((const char *)code, 5 * 256, 255);
            if ((regs & 7) != regs >> 3) {   /* the last one run: imm 0xfe */
                ck_assert_uint_eq(load_le(g.cpu->vec.zmm[regs >> 3], 8), UINT64_C(0x3333333344444444));
                ck_assert_uint_eq(load_le(g.cpu->vec.zmm[regs >> 3] + 8, 8),
                                  UINT64_C(0x3333333333333333));
            }
        }
    }
    /* 40 * 256 kinds, all made anew in the second round. */
    ck_assert_uint_gt(g.cpu->stats[STAT_VECTOR_STUBS], 40 * 256);
    finish();
}
END_TEST

START_TEST(a_decoded_instruction_outlives_a_flush_of_the_table)
{
    start(GUEST_LONG64);
    store_le(g.cpu->vec.zmm[1], 8, 1);
    RUN("\x66\x0f\xd4\xc1\xeb\xfa", 10);      /* paddq xmm0, xmm1; jmp back: decoded once */
    ck_assert_uint_eq(load_le(g.cpu->vec.zmm[0], 8), 5);
    vector_flush(g.cpu);
    guest_run(&g, 10);
    ck_assert_uint_eq(load_le(g.cpu->vec.zmm[0], 8), 10);
    finish();
}
END_TEST

/* Undefined bytes are replaced by defined ones with the same first byte: decoded anew. */
START_TEST(undefined_instructions_are_decoded_again_when_written)
{
    start(GUEST_LONG64);
    RUN("\x0f\x04\x66\x01", 1);
    ck_assert_int_eq(guest_vector(&g), 6);
    RUN("\x0f\x1f\x66\x01", 1);
    ck_assert_int_eq(guest_vector(&g), -1);
    finish();
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("vector");
    TCase *tc = tcase_create("vector");

    tcase_add_loop_test(tc, control_registers_gate_each_class_of_instruction, 0,
                        (int)(sizeof(gates) / sizeof(*gates)));
    tcase_add_loop_test(tc, avx512_needs_all_its_state_components, 0,
                        (int)(sizeof(gates512) / sizeof(*gates512)));
    tcase_add_test(tc, vex_is_undefined_in_real_mode);
    tcase_add_test(tc, unmasked_simd_exception_is_xm_or_ud_and_leaves_its_flag);
    tcase_add_test(tc, ldmxcsr_with_reserved_bits_is_gp);
    tcase_add_test(tc, x87_error_waits_for_the_next_instruction);
    tcase_add_test(tc, x87_error_without_ne_raises_ferr_and_goes_on);
    tcase_add_loop_test(tc, environment_formats_follow_mode_and_operand_size, 0, 5);
    tcase_add_test(tc, vzeroupper_outside_64_bit_mode_clears_eight_registers);
    tcase_add_test(tc, equal_instructions_share_a_stub);
    tcase_add_test(tc, stub_table_survives_being_full);
    tcase_add_test(tc, a_decoded_instruction_outlives_a_flush_of_the_table);
    tcase_add_test(tc, undefined_instructions_are_decoded_again_when_written);
    suite_add_tcase(s, tc);
    return s;
}
