/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu-x86/exec-xsave.c, exec-syscall.c, exec-system.c: what boots do not show by themselves. */
#include "cpu-x86/insns.h"

#include "cpu-x86/xsave.h"
#include "tests/cpu-x86/system-cpu.h"
#include "tests/suite.h"

static SystemCpu *s;
static CpuState *cpu;

enum { AREA = 0x300000 };

static void set_up(void)
{
    s = system_cpu_new("max", 1, 0);
    cpu = s->cpu;
    system_long(s);
    cpu->cr4 |= CR4_OSXSAVE | CR4_OSFXSR;
    cpu->vec.xcr0 = cpu_model_xcr0(s->model);
    cpu->gpr[GPR_RAX] = UINT32_MAX;
    cpu->gpr[GPR_RDX] = UINT32_MAX;
}

static void tear_down(void)
{
    system_cpu_free(s);
}

/* An instruction with memory operand [at]. */
static X86Insn insn_at(ZydisMnemonic mnemonic, uint64_t at)
{
    return (X86Insn){.mnemonic = (uint16_t)mnemonic, .op_size = 8, .addr_size = 8,
                     .mem = {.seg = SEG_DS, .base = GPR_NONE, .index = GPR_NONE,
                             .disp = (int64_t)at}};
}

static int run(X86Exec exec, ZydisMnemonic mnemonic, uint64_t at)
{
    X86Insn in = insn_at(mnemonic, at);

    return RAISED(cpu, exec(cpu, &in));
}

static void fill_vectors(void)
{
    uint8_t v = 1;

    for (unsigned i = 0; i < 32; i++) {
        for (unsigned j = 0; j < 64; j++) {
            cpu->vec.zmm[i][j] = v;
            v = (uint8_t)(v * 5 + 1);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        cpu->vec.k[i] = i * UINT64_C(0x0101010101010101);
        memset(cpu->vec.fx + 32 + i * 16, (int)i + 1, 10);
    }
    store_le(cpu->vec.fx, 2, 0x27f);
    cpu->vec.mxcsr = 0x1fa0;
    cpu->vec.pkru = 0x55;
}

static void check_round_trip(X86Exec save, ZydisMnemonic save_id)
{
    VectorState before;

    fill_vectors();
    if (!cpu_model_has(s->model, FEAT_AVX512F)) {
        memset(cpu->vec.k, 0, sizeof cpu->vec.k);
        memset(cpu->vec.zmm[16], 0, 16 * 64);
    }
    before = cpu->vec;
    ck_assert_int_eq(run(save, save_id, AREA), -1);
    memset(cpu->vec.zmm, 0xee, sizeof cpu->vec.zmm);
    memset(cpu->vec.k, 0xee, sizeof cpu->vec.k);
    memset(cpu->vec.fx + 32, 0xee, 128);
    cpu->vec.mxcsr = 0x1f80;
    cpu->vec.pkru = 0;
    ck_assert_int_eq(run(exec_xrstor, ZYDIS_MNEMONIC_XRSTOR64, AREA), -1);
    ck_assert_mem_eq(cpu->vec.fx, before.fx, 24);
    ck_assert_mem_eq(cpu->vec.fx + 32, before.fx + 32, 128);
    ck_assert_uint_eq(cpu->vec.mxcsr, before.mxcsr);
    if (cpu_model_has(s->model, FEAT_AVX512F)) {
        ck_assert_mem_eq(cpu->vec.zmm, before.zmm, sizeof before.zmm);
        ck_assert_mem_eq(cpu->vec.k, before.k, sizeof before.k);
    }
    ck_assert_uint_eq(cpu->vec.pkru, before.pkru);
}

START_TEST(xsave_and_xrstor_round_trip_in_both_formats)
{
    check_round_trip(exec_xsave, ZYDIS_MNEMONIC_XSAVE64);
    ck_assert_uint_eq(peek(s, AREA + 512, 8), cpu->vec.xcr0);
    ck_assert_uint_eq(peek(s, AREA + 520, 8), 0);
    check_round_trip(exec_xsavec, ZYDIS_MNEMONIC_XSAVEC64);
    ck_assert_uint_eq(peek(s, AREA + 520, 8), cpu->vec.xcr0 | BIT64(63));
}
END_TEST

START_TEST(components_lie_where_cpuid_says)
{
    const XsaveArea *avx = cpu_model_xsave_area(s->model, 2);

    fill_vectors();
    poke(s, AREA + 464, 8, 0x1234); /* the program's own */
    ck_assert_int_eq(run(exec_xsave, ZYDIS_MNEMONIC_XSAVE64, AREA), -1);
    ck_assert_uint_eq(peek(s, AREA + 160 + 3 * 16, 8), load_le(cpu->vec.zmm[3], 8));
    ck_assert_uint_eq(peek(s, AREA + avx->offset + 3 * 16, 8), load_le(cpu->vec.zmm[3] + 16, 8));
    ck_assert_uint_eq(peek(s, AREA + 24, 4), 0x1fa0);
    ck_assert_uint_eq(peek(s, AREA + 464, 8), 0x1234);
}
END_TEST

START_TEST(initial_components_are_left_out_and_restored_as_initial)
{
    cpu->gpr[GPR_RAX] = XCR0_SSE | XCR0_AVX;
    cpu->gpr[GPR_RDX] = 0;
    memset(cpu->vec.zmm, 0, sizeof cpu->vec.zmm);
    poke(s, AREA + 576, 8, 0x7777);
    ck_assert_int_eq(run(exec_xsaveopt, ZYDIS_MNEMONIC_XSAVEOPT64, AREA), -1);
    ck_assert_uint_eq(peek(s, AREA + 512, 8), 0);
    ck_assert_uint_eq(peek(s, AREA + 576, 8), 0x7777);
    fill_vectors();
    ck_assert_int_eq(run(exec_xrstor, ZYDIS_MNEMONIC_XRSTOR64, AREA), -1);
    ck_assert_uint_eq(cpu_xinuse(cpu) & (XCR0_SSE | XCR0_AVX), 0);
    ck_assert_uint_eq(cpu->vec.k[1], 0x0101010101010101); /* not asked for */
}
END_TEST

START_TEST(xrstor_refuses_bad_headers)
{
    static const struct {
        unsigned at;
        uint64_t val;
        int vector;
    } rows[] = {
        {512, BIT64(8), EXC_GP},  {520, 1, EXC_GP}, {528, 1, EXC_GP}, {536, 1, -1},
        {520, BIT64(63) | BIT64(8), EXC_GP}, {24, BIT(16), EXC_GP},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        fill_vectors();
        for (unsigned j = 0; j < 576; j += 8) {
            poke(s, AREA + j, 8, j == 512 ? 2 : 0);
        }
        poke(s, AREA + rows[i].at, rows[i].at == 24 ? 4 : 8, rows[i].val);
        ck_assert_msg(run(exec_xrstor, ZYDIS_MNEMONIC_XRSTOR64, AREA) == rows[i].vector, "row %u", i);
        ck_assert(rows[i].vector < 0 || cpu->vec.mxcsr == 0x1fa0);
    }
}
END_TEST

START_TEST(xsave_needs_its_bits_and_alignment)
{
    ck_assert_int_eq(run(exec_xsave, ZYDIS_MNEMONIC_XSAVE, AREA + 32), EXC_GP);
    ck_assert_int_eq(run(exec_fxsave, ZYDIS_MNEMONIC_FXSAVE, AREA + 8), EXC_GP);
    cpu->cr0 |= CR0_TS;
    ck_assert_int_eq(run(exec_xsave, ZYDIS_MNEMONIC_XSAVE, AREA), EXC_NM);
    ck_assert_int_eq(run(exec_fxrstor, ZYDIS_MNEMONIC_FXRSTOR, AREA), EXC_NM);
    cpu->cr4 &= ~(uint64_t)CR4_OSXSAVE;
    ck_assert_int_eq(run(exec_xsave, ZYDIS_MNEMONIC_XSAVE, AREA), EXC_UD);
}
END_TEST

START_TEST(xsetbv_takes_only_sensible_sets)
{
    static const struct {
        uint64_t val;
        int vector;
    } rows[] = {{1, -1}, {3, -1}, {7, -1}, {2, EXC_GP}, {5, EXC_GP}, {0x27, EXC_GP}, {0xe3, EXC_GP},
                {0x103, EXC_GP}};

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        cpu->gpr[GPR_RCX] = cpu->gpr[GPR_RDX] = 0;
        cpu->gpr[GPR_RAX] = rows[i].val;
        ck_assert_msg(run(exec_xsetbv, ZYDIS_MNEMONIC_XSETBV, 0) == rows[i].vector, "row %u", i);
    }
}
END_TEST

/* -- System calls ----------------------------------------------------------------------------------------- */

START_TEST(syscall_and_sysret_go_there_and_back)
{
    long_cpl3(s);
    cpu->msr_star = (uint64_t)(0x20 - 8) << 48 | (uint64_t)K_CODE64 << 32;
    cpu->msr_lstar = 0xffffffff81000000;
    cpu->msr_fmask = FLAG_IF | FLAG_DF;
    cpu->rflags = FLAG_FIXED | FLAG_IF | FLAG_CF | FLAG_RF;
    ck_assert_int_eq(run(exec_syscall, ZYDIS_MNEMONIC_SYSCALL, 0), -1);
    ck_assert_uint_eq(cpu->next_rip, 0xffffffff81000000);
    ck_assert_uint_eq(cpu->gpr[GPR_RCX], 0x5002);
    ck_assert_uint_eq(cpu->gpr[GPR_R11], FLAG_FIXED | FLAG_IF | FLAG_CF);
    ck_assert_uint_eq(cpu->rflags, FLAG_FIXED | FLAG_CF);
    ck_assert_uint_eq(cpu->cpl, 0);
    ck_assert_uint_eq(cpu->seg[SEG_CS].selector, K_CODE64);
    ck_assert_uint_eq(cpu->seg[SEG_SS].selector, K_CODE64 + 8);
    cpu->gpr[GPR_RCX] = BIT64(47);
    if (!cpu_model_is_amd(cpu->model)) {       /* AMD's fault at the target instead */
        ck_assert_int_eq(run(exec_sysret, ZYDIS_MNEMONIC_SYSRET, 0), EXC_GP);
    }
    cpu->gpr[GPR_RCX] = 0x5002;
    ck_assert_int_eq(run(exec_sysret, ZYDIS_MNEMONIC_SYSRET, 0), -1);
    ck_assert_uint_eq(cpu->cpl, 3);
    ck_assert_uint_eq(cpu->seg[SEG_CS].selector, 0x18 + 16 + 3);
    ck_assert_uint_eq(cpu->seg[SEG_SS].selector, 0x20 + 3);
    ck_assert_uint_eq(cpu->rflags, FLAG_FIXED | FLAG_IF | FLAG_CF);
    ck_assert_int_eq(run(exec_sysret, ZYDIS_MNEMONIC_SYSRET, 0), EXC_GP);
    cpu->efer &= ~(uint64_t)EFER_SCE;
    ck_assert_int_eq(run(exec_syscall, ZYDIS_MNEMONIC_SYSCALL, 0), EXC_UD);
}
END_TEST

START_TEST(user_code_may_not)
{
    const struct {
        X86Exec exec;
        int vector;
    } rows[] = {
        {exec_hlt, EXC_GP},    {exec_clts, EXC_GP},   {exec_lgdt, EXC_GP},   {exec_invlpg, EXC_GP},
        {exec_wbinvd, EXC_GP}, {exec_rdmsr, EXC_GP},  {exec_wrmsr, EXC_GP},  {exec_swapgs, EXC_GP},
        {exec_stac, EXC_UD},   {exec_monitor, EXC_UD}, {exec_xsetbv, EXC_GP}, {exec_sgdt, EXC_GP},
        {exec_rdpmc, EXC_GP},  {exec_rdtsc, EXC_GP},  {exec_xsaves, EXC_GP},
        {exec_sysexit, cpu_model_is_amd(cpu->model) ? EXC_UD : EXC_GP},
    };

    cpu->cr4 |= CR4_UMIP | CR4_TSD;
    cpu->msr_sysenter_cs = K_CODE64;
    long_cpl3(s);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(run(rows[i].exec, ZYDIS_MNEMONIC_INVALID, AREA) == rows[i].vector, "row %u", i);
    }
}
END_TEST

START_TEST(invpcid_checks_its_descriptor)
{
    static const struct {
        uint64_t type, lo, hi;
        bool pcide;
        int vector;
    } rows[] = {
        {0, 0, 0, false, -1},      {0, 1, 0, false, EXC_GP}, {0, 1, 0, true, -1},
        {0, 0, BIT64(47), true, EXC_GP}, {1, BIT64(12), 0, true, EXC_GP}, {1, 5, 0, true, -1},
        {2, BIT64(12), 0, false, -1}, {3, 0, 0, true, -1},   {4, 0, 0, true, EXC_GP},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        X86Insn in = insn_at(ZYDIS_MNEMONIC_INVPCID, AREA);

        in.op[0] = (X86Operand){.kind = OPERAND_GPR, .reg = GPR_RBX, .size = 8};
        cpu->gpr[GPR_RBX] = rows[i].type;
        cpu->cr4 = CR4_PAE | (rows[i].pcide ? CR4_PCIDE : 0);
        poke(s, AREA, 8, rows[i].lo);
        poke(s, AREA + 8, 8, rows[i].hi);
        ck_assert_msg(RAISED(cpu, exec_invpcid(cpu, &in)) == rows[i].vector, "row %u", i);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("system");
    TCase *t = tcase_create("system");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, xsave_and_xrstor_round_trip_in_both_formats);
    tcase_add_test(t, components_lie_where_cpuid_says);
    tcase_add_test(t, initial_components_are_left_out_and_restored_as_initial);
    tcase_add_test(t, xrstor_refuses_bad_headers);
    tcase_add_test(t, xsave_needs_its_bits_and_alignment);
    tcase_add_test(t, xsetbv_takes_only_sensible_sets);
    tcase_add_test(t, syscall_and_sysret_go_there_and_back);
    tcase_add_test(t, user_code_may_not);
    tcase_add_test(t, invpcid_checks_its_descriptor);
    suite_add_tcase(suite, t);
    return suite;
}
