/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu-x86/msr.c: every row of msrs.def, and what is refused. */
#include "cpu-x86/msr.h"

#include "tests/cpu-x86/system-cpu.h"
#include "tests/suite.h"

typedef enum { IS_FIELD, IS_CONST, IS_ZERO, IS_FUNC } RowKind;

static const struct {
    uint32_t msr;
    const char *name, *need;
    RowKind kind;
} rows[] = {
#define FIELD(n, id, need, member, check) {n, #id, #need, IS_FIELD},
#define CONST(n, id, need, value) {n, #id, #need, IS_CONST},
#define ZERO(n, id, need) {n, #id, #need, IS_ZERO},
#define FUNC(n, id, need, read, write) {n, #id, #need, IS_FUNC},
#include "cpu-x86/msrs.def"
#undef FIELD
#undef CONST
#undef ZERO
#undef FUNC
};

static uint64_t bus_value;

static bool apic_read(void *arg, uint32_t msr, uint64_t *val)
{
    *val = bus_value + msr;
    return msr != 0x8ff;
}

static bool apic_write(void *arg, uint32_t msr, uint64_t val)
{
    bus_value = val;
    return msr != 0x8ff;
}

static SystemCpu *intel(void)
{
    SystemCpu *s = system_cpu_new("Nehalem,+tsc-adjust,+xsave,+xsaves,+rdtscp,+spec-ctrl,"
                                  "+arch-capabilities", 1, 0);

    s->cpu->bus.apic_msr_read = apic_read;
    s->cpu->bus.apic_msr_write = apic_write;
    return s;
}

START_TEST(rows_ascend)
{
    for (unsigned i = 1; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(rows[i - 1].msr < rows[i].msr, "%s", rows[i].name);
    }
}
END_TEST

START_TEST(every_row_does_what_its_kind_says)
{
    SystemCpu *s = intel(), *amd = system_cpu_new("qemu64,+rdtscp", 1, 0);

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        bool is_amd = strcmp(rows[i].need, "AMD") == 0;
        CpuState *cpu = is_amd ? amd->cpu : s->cpu;
        uint64_t before = 0x5a5a, after = 0xa5a5;
        bool reads = cpu_msr_read(cpu, rows[i].msr, &before);

        switch (rows[i].kind) {
        case IS_FIELD: /* what it holds, it takes */
            ck_assert_msg(reads, "%s", rows[i].name);
            if (strcmp(rows[i].name, "FEATURE_CONTROL") != 0) {
                ck_assert_msg(cpu_msr_write(cpu, rows[i].msr, before), "%s", rows[i].name);
            }
            break;
        case IS_CONST:
            ck_assert_msg(reads && !cpu_msr_write(cpu, rows[i].msr, before), "%s", rows[i].name);
            break;
        case IS_ZERO:
            ck_assert_msg(reads && before == 0 && cpu_msr_write(cpu, rows[i].msr, UINT64_MAX) &&
                              cpu_msr_read(cpu, rows[i].msr, &after) && after == 0,
                          "%s", rows[i].name);
            break;
        default:
            break;
        }
        if (is_amd) {
            ck_assert_msg(!cpu_msr_read(s->cpu, rows[i].msr, &after), "%s on Intel", rows[i].name);
        } else if (strcmp(rows[i].need, "INTEL") == 0) {
            ck_assert_msg(!cpu_msr_read(amd->cpu, rows[i].msr, &after), "%s on AMD", rows[i].name);
        }
    }
    system_cpu_free(s);
    system_cpu_free(amd);
}
END_TEST

typedef struct {
    uint32_t msr;
    uint64_t val;
    bool ok;
} Write;

START_TEST(values_are_checked)
{
    static const Write writes[] = {
        {0x277, 0x0007040600070406, true}, {0x277, 0x0207040600070406, false},
        {0x277, 0x8, false},               {0x2ff, 0xc06, true},
        {0x2ff, 0x1000, false},            {0x2ff, 2, false},
        {0x200, 0x80000006, true},         {0x200, 0x80000106, false},
        {0x201, BIT64(63), false},         {0x201, 0xfff000800, true},
        {0x250, 0x0606060606060606, true}, {0x250, 7, false},
        {0xc0000082, 0xffffffff81000000, true}, {0xc0000082, BIT64(47), false},
        {0xc0000100, BIT64(47), false},    {0xc0000101, 0x7fffffffffff, true},
        {0xc0000102, BIT64(63), false},    {0x175, BIT64(47), false},
        {0xc0000103, 5, true},             {0xc0000103, BIT64(32), false},
        {0x48, 1, true},                   {0x48, 4, false},
        {0x49, 1, true},                   {0x49, 2, false},
        {0x1d9, 2, true},                  {0x1d9, 0x40, false},
        {0x3a, 5, false},                  {0x179, 0, false},
        {0x401, 1, false},                 {0x400, 1, false},
        {0x400, UINT64_MAX, true},         {0xda0, 0x100, false},
        {0x122, 0, false},                 {0x8ff, 0, false},
        {0x140, 0, true},                  {0x140, 1, false},
        {0x808, 0x20, true},               {0x12345678, 0, false},
    };
    SystemCpu *s = intel();

    for (unsigned i = 0; i < ARRAY_LEN(writes); i++) {
        bool ok = cpu_msr_write(s->cpu, writes[i].msr, writes[i].val);

        ck_assert_msg(ok == writes[i].ok, "wrmsr %#x = %#" G_GINT64_MODIFIER "x", writes[i].msr,
                      writes[i].val);
    }
    system_cpu_free(s);
}
END_TEST

START_TEST(bases_are_the_segments_bases)
{
    SystemCpu *s = intel();
    uint64_t val;

    ck_assert(cpu_msr_write(s->cpu, 0xc0000100, 0x1234) && cpu_msr_write(s->cpu, 0xc0000101, 0x5678));
    ck_assert_uint_eq(s->cpu->seg[SEG_FS].base, 0x1234);
    ck_assert_uint_eq(s->cpu->seg[SEG_GS].base, 0x5678);
    ck_assert(cpu_msr_read(s->cpu, 0xc0000101, &val) && val == 0x5678);
    system_cpu_free(s);
}
END_TEST

static uint64_t fixed_tsc(void *arg)
{
    return 1000000;
}

START_TEST(tsc_and_tsc_adjust_move_together)
{
    SystemCpu *s = intel();
    uint64_t val;

    s->cpu->tsc_now = fixed_tsc;
    ck_assert(cpu_msr_write(s->cpu, 0x10, 500));
    ck_assert(cpu_msr_read(s->cpu, 0x10, &val) && val == 500);
    ck_assert(cpu_msr_read(s->cpu, 0x3b, &val) && val == (uint64_t)(500 - 1000000));
    ck_assert(cpu_msr_write(s->cpu, 0x3b, 7));
    ck_assert(cpu_msr_read(s->cpu, 0x10, &val) && val == 1000007);
    cpu_reset(s->cpu);
    ck_assert(cpu_msr_read(s->cpu, 0x10, &val) && val == 1000000);
    system_cpu_free(s);
}
END_TEST

START_TEST(the_apic_answers_its_own)
{
    SystemCpu *s = intel();
    uint64_t val;

    bus_value = 0x100;
    ck_assert(cpu_msr_read(s->cpu, 0x1b, &val) && val == 0x11b);
    ck_assert(cpu_msr_read(s->cpu, 0x802, &val) && val == 0x902);
    ck_assert(!cpu_msr_read(s->cpu, 0x8ff, &val));
    ck_assert(cpu_msr_write(s->cpu, 0x6e0, 77));
    ck_assert_uint_eq(bus_value, 77);
    system_cpu_free(s);
}
END_TEST

START_TEST(init_keeps_msrs_and_reset_does_not)
{
    SystemCpu *s = intel();

    ck_assert(cpu_msr_write(s->cpu, 0xc0000082, 0x1234));
    s->cpu->cr0 = CR0_PE;
    cpu_init_signal(s->cpu);
    ck_assert_uint_eq(s->cpu->msr_lstar, 0x1234);
    ck_assert_uint_eq(s->cpu->cr0, CR0_ET);
    cpu_reset(s->cpu);
    ck_assert_uint_eq(s->cpu->msr_lstar, 0);
    ck_assert_uint_eq(s->cpu->cr0, 0x60000010);
    ck_assert_uint_eq(s->cpu->rip + s->cpu->seg[SEG_CS].base, 0xfffffff0);
    ck_assert_uint_eq(s->cpu->rflags, 2);
    system_cpu_free(s);
}
END_TEST

START_TEST(sipi_starts_a_waiting_processor_only)
{
    SystemCpu *s = system_cpu_new("max", 2, 1);

    ck_assert_int_eq(s->cpu->activity, CPU_WAIT_SIPI);
    cpu_sipi(s->cpu, 0x9a);
    ck_assert_int_eq(s->cpu->activity, CPU_RUNNING);
    ck_assert_uint_eq(s->cpu->seg[SEG_CS].base, 0x9a000);
    ck_assert_uint_eq(s->cpu->seg[SEG_CS].selector, 0x9a00);
    ck_assert_uint_eq(s->cpu->rip, 0);
    cpu_sipi(s->cpu, 0x10);
    ck_assert_uint_eq(s->cpu->seg[SEG_CS].base, 0x9a000);
    system_cpu_free(s);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("msr");
    TCase *t = tcase_create("msr");

    tcase_add_test(t, rows_ascend);
    tcase_add_test(t, every_row_does_what_its_kind_says);
    tcase_add_test(t, values_are_checked);
    tcase_add_test(t, bases_are_the_segments_bases);
    tcase_add_test(t, tsc_and_tsc_adjust_move_together);
    tcase_add_test(t, the_apic_answers_its_own);
    tcase_add_test(t, init_keeps_msrs_and_reset_does_not);
    tcase_add_test(t, sipi_starts_a_waiting_processor_only);
    suite_add_tcase(suite, t);
    return suite;
}
