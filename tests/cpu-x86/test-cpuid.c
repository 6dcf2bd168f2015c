/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cpu-x86/model.c and cpuid.c: every feature row, models, refusals, topology, dynamic bits. */
#include "cpu-x86/cpuid.h"

#include "tests/cpu-x86/system-cpu.h"
#include "tests/suite.h"

enum { EAX, EBX, ECX, EDX };
enum { HOST, HOST_AVX, HOST_AVX512, HOST_AMD, OURS, OURS_ASKED, OURS_AMD, NEVER };

static const struct {
    CpuFeature id;
    const char *name;
    uint32_t leaf, subleaf;
    unsigned reg, bit;
    int need;
} rows[] = {
#define FEATURE(id, name, leaf, subleaf, reg, bit, need)                                            \
    {FEAT_##id, name, leaf, subleaf, reg, bit, need},
#include "cpu-x86/features.def"
#undef FEATURE
};

static void host_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "0"(leaf), "2"(subleaf));
}

static uint32_t reg_of(const SystemCpu *s, uint32_t leaf, uint32_t subleaf, unsigned reg)
{
    uint32_t r[4];

    cpu_cpuid(s->cpu, leaf, subleaf, r);
    return r[reg];
}

static char *refusal(const char *spec)
{
    GError *error = NULL;
    CpuModel *m = cpu_model_new(spec, 1, &error);
    char *text;

    ck_assert_msg(m == NULL, "%s was accepted", spec);
    ck_assert_ptr_nonnull(error);
    text = g_strdup(error->message);
    g_error_free(error);
    ck_assert_ptr_null(strchr(text, '\n'));
    return text;
}

/* What the CPUID bit of each row says follows the model, and `-name` takes it away. */
START_TEST(every_feature_row_shows_in_its_leaf_and_can_be_turned_off)
{
    SystemCpu *s = system_cpu_new("max", 1, 0);

    s->cpu->efer = EFER_LME | EFER_LMA; /* SYSCALL is shown in 64-bit mode */
    s->cpu->cr0 |= CR0_PE | CR0_PG;
    s->cpu->seg[SEG_CS].attr = CODE64_ATTR;
    cpu_update_mode(s->cpu);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        bool on = cpu_model_has(s->model, rows[i].id);
        uint32_t bits = reg_of(s, rows[i].leaf, rows[i].subleaf, rows[i].reg);

        ck_assert_msg((bits >> rows[i].bit & 1) == on, "%s: leaf %#x", rows[i].name, rows[i].leaf);
        if (rows[i].need == OURS) {
            ck_assert_msg(on, "%s is ours and not offered", rows[i].name);
        }
        if (rows[i].need == NEVER) {
            g_autofree char *spec = g_strdup_printf("max,+%s", rows[i].name);
            g_autofree char *text = refusal(spec);

            ck_assert_msg(strstr(text, rows[i].name) != NULL, "%s", text);
        } else {
            g_autofree char *spec = g_strdup_printf("max,-%s", rows[i].name);
            CpuModel *m = cpu_model_new(spec, 1, NULL);

            ck_assert_ptr_nonnull(m);
            ck_assert(!cpu_model_has(m, rows[i].id));
            cpu_model_free(m);
        }
    }
    system_cpu_free(s);
}
END_TEST

START_TEST(host_features_are_those_of_the_host)
{
    SystemCpu *s = system_cpu_new("host", 1, 0);

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t r[4], top[4];

        host_cpuid(rows[i].leaf & 0x80000000, 0, top);
        host_cpuid(rows[i].leaf, rows[i].subleaf, r);
        if ((rows[i].need == HOST || rows[i].need == HOST_AVX || rows[i].need == HOST_AVX512) &&
            (top[0] < rows[i].leaf || (r[rows[i].reg] >> rows[i].bit & 1) == 0)) {
            ck_assert_msg(!cpu_model_has(s->model, rows[i].id), "%s", rows[i].name);
        }
    }
    system_cpu_free(s);
}
END_TEST

START_TEST(unknown_names_are_refused_with_the_nearest)
{
    static const struct {
        const char *spec, *has[2];
    } bad[] = {
        {"quemu64", {"'quemu64'", "'qemu64'"}},
        {"max,+avx513f", {"'avx513f'", "'avx512f'"}},
        {"max,smepp=on", {"'smepp'", "'smep'"}},
        {"max,avx=perhaps", {"avx=perhaps", "on or off"}},
        {"max,phys-bits=99", {"phys-bits=99", "52"}},
        {"qemu64,+vmx", {"'vmx'", "not emulated"}},
    };

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        g_autofree char *text = refusal(bad[i].spec);

        ck_assert_msg(strstr(text, bad[i].has[0]) != NULL && strstr(text, bad[i].has[1]) != NULL,
                      "%s: %s", bad[i].spec, text);
    }
}
END_TEST

START_TEST(items_and_spellings_are_understood)
{
    CpuModel *m = cpu_model_new("max,-sse4_2,smep=off,-lahf_lm,+pcid,phys-bits=40", 1, NULL);

    ck_assert_ptr_nonnull(m);
    ck_assert(!cpu_model_has(m, FEAT_SSE42) && !cpu_model_has(m, FEAT_SMEP));
    ck_assert(!cpu_model_has(m, FEAT_LAHF_LM) && cpu_model_has(m, FEAT_PCID));
    ck_assert_uint_eq(cpu_model_phys_bits(m), 40);
    cpu_model_free(m);
}
END_TEST

START_TEST(without_xsave_there_is_no_avx)
{
    CpuModel *m = cpu_model_new("max,-xsave", 1, NULL);

    ck_assert(!cpu_model_has(m, FEAT_AVX) && !cpu_model_has(m, FEAT_AVX2));
    ck_assert(!cpu_model_has(m, FEAT_AVX512VL) && !cpu_model_has(m, FEAT_PKU));
    ck_assert_uint_eq(cpu_model_xcr0(m), XCR0_X87);
    cpu_model_free(m);
}
END_TEST

START_TEST(named_models_say_who_they_are)
{
    static const struct {
        const char *name, *vendor, *brand;
        uint32_t signature;
    } named[] = {
        {"qemu64", "AuthenticAMD", "QEMU Virtual CPU", 0x00060fb1},
        {"qemu32", "GenuineIntel", "QEMU Virtual CPU", 0x00000663},
        {"Nehalem", "GenuineIntel", "Intel Core i7 9xx", 0x000106a3},
    };

    for (unsigned i = 0; i < ARRAY_LEN(named); i++) {
        SystemCpu *s = system_cpu_new(named[i].name, 1, 0);
        uint32_t r[4];
        char vendor[13] = "", brand[49] = "";

        cpu_cpuid(s->cpu, 0, 0, r);
        memcpy(vendor, &r[EBX], 4);
        memcpy(vendor + 4, &r[EDX], 4);
        memcpy(vendor + 8, &r[ECX], 4);
        ck_assert_str_eq(vendor, named[i].vendor);
        for (unsigned j = 0; j < 3; j++) {
            cpu_cpuid(s->cpu, 0x80000002 + j, 0, r);
            memcpy(brand + j * 16, r, 16);
        }
        ck_assert_msg(g_str_has_prefix(brand, named[i].brand), "%s", brand);
        ck_assert_uint_eq(reg_of(s, 1, 0, EAX), named[i].signature);
        ck_assert_uint_eq(s->cpu->gpr[GPR_RDX], named[i].signature);
        system_cpu_free(s);
    }
}
END_TEST

static uint32_t hypervisor(const char *spec, const char *name)
{
    SystemCpu *s = system_cpu_new(spec, 1, 0);
    uint32_t r[4], top;

    cpu_cpuid(s->cpu, 0x40000000, 0, r);
    ck_assert_mem_eq(&r[EBX], name, 12);
    top = r[EAX];
    if (top >= 0x40000010) {
        cpu_cpuid(s->cpu, 0x40000010, 0, r);
        ck_assert_uint_eq(r[EAX], s->cpu->tsc_hz / 1000);
        ck_assert_uint_eq(r[EBX], 1000000);
    }
    cpu_cpuid(s->cpu, 0x40000001, 0, r);
    system_cpu_free(s);
    return r[EAX] | (top != 0 ? 1u << 31 : 0) | (top == 0x40000010 ? 1u << 30 : 0);
}

/* As QEMU spells them: each switched off takes its own bits away, and what cannot be without it; what there is not may be off. */
START_TEST(each_paravirtual_interface_has_its_switch)
{
    static const struct {
        const char *name;
        uint32_t bits;
    } switches[] = {{"kvmclock", 0x1000009}, {"kvm-nopiodelay", 2}, {"kvm-steal-time", 0x220}, {"kvm-pv-eoi", 0x40},
                {"kvm-pv-unhalt", 0x80}, {"kvm-pv-tlb-flush", 0x200}, {"kvm-pv-ipi", 0x800}, {"kvm-poll-control", 0x1000},
                {"kvm-pv-sched-yield", 0x2000}, {"kvmclock-stable-bit", 0x1000000}, {"vmware-cpuid-freq", 1u << 30},
                {"kvm-mmu", 0}, {"kvm-asyncpf", 0}, {"kvm-asyncpf-vmexit", 0}, {"kvm-asyncpf-int", 0},
                {"kvm-msi-ext-dest-id", 0}, {"kvm-hint-dedicated", 0}};

    for (unsigned i = 0; i < G_N_ELEMENTS(switches); i++) {
        g_autofree char *off = g_strdup_printf("max,%s=off", switches[i].name), *minus = g_strdup_printf("max,-%s", switches[i].name);
        g_autofree char *on = g_strdup_printf("max,%s=off,%s=on", switches[i].name, switches[i].name);

        ck_assert_uint_eq(hypervisor(off, "KVMKVMKVM\0\0\0"), 0xc1003aeb & ~switches[i].bits);
        ck_assert_uint_eq(hypervisor(minus, "KVMKVMKVM\0\0\0"), 0xc1003aeb & ~switches[i].bits);
        if (switches[i].bits != 0) {
            ck_assert_uint_eq(hypervisor(on, "KVMKVMKVM\0\0\0"), 0xc1003aeb);
        }
    }
    ck_assert_uint_eq(hypervisor("max,kvm-pv-enforce-cpuid=on", "KVMKVMKVM\0\0\0"), 0xc1003aeb);
}
END_TEST

START_TEST(guests_see_the_hypervisor_that_the_model_names)
{
    const char *kvm = "KVMKVMKVM\0\0\0";

    ck_assert_uint_eq(hypervisor("max", kvm), 0xc1003aeb);
    ck_assert_uint_eq(hypervisor("qemu64", kvm), 0xc1003aeb);
    ck_assert_uint_eq(hypervisor("max,vmware-cpuid-freq=off", kvm), 0x81003aeb);
    ck_assert_uint_eq(hypervisor("max,kvmclock=off", kvm), 0xc0003ae2);
    ck_assert_uint_eq(hypervisor("max,-kvm_steal_time", kvm), 0xc10038cb); /* and no TLB flushes */
    ck_assert_uint_eq(hypervisor("max,kvm=off", "TCGTCGTCGTCG"), 0x80000000);
    ck_assert_uint_eq(hypervisor("max,kvm=off,kvm=on", kvm), 0xc1003aeb);
    ck_assert_uint_eq(hypervisor("max,-hypervisor", "\0\0\0\0\0\0\0\0\0\0\0\0"), 0);
}
END_TEST

START_TEST(topology_leaves_agree)
{
    static const unsigned counts[] = {1, 2, 3, 8, 200};

    for (unsigned i = 0; i < ARRAY_LEN(counts); i++) {
        SystemCpu *s = system_cpu_new("Nehalem", counts[i], counts[i] - 1);
        unsigned shift = reg_of(s, 0xb, 1, EAX);

        ck_assert_uint_eq(reg_of(s, 1, 0, EBX) >> 24, counts[i] - 1);
        ck_assert_int_eq((reg_of(s, 1, 0, EDX) >> 28 & 1) != 0, counts[i] > 1);
        ck_assert_uint_eq(reg_of(s, 0xb, 0, EDX), counts[i] - 1);
        ck_assert_uint_eq(reg_of(s, 0xb, 0, ECX), 0x100);
        ck_assert_uint_eq(reg_of(s, 0xb, 1, ECX), 0x201);
        ck_assert_uint_eq(reg_of(s, 0xb, 1, EBX), counts[i]);
        ck_assert_uint_eq(reg_of(s, 0xb, 2, ECX), 2);
        ck_assert_uint_eq(reg_of(s, 0xb, 2, EBX), 0);
        ck_assert(1u << shift >= counts[i] && (shift == 0 || 1u << (shift - 1) < counts[i]));
        ck_assert_uint_eq(reg_of(s, 4, 4, EAX), 0);
        ck_assert_uint_eq((reg_of(s, 4, 3, EAX) >> 14 & 0xfff) + 1, 1u << shift);
        system_cpu_free(s);
    }
}
END_TEST

START_TEST(dynamic_bits_follow_the_control_registers)
{
    SystemCpu *s = system_cpu_new("max", 1, 0);

    ck_assert_uint_eq(reg_of(s, 1, 0, ECX) & BIT(27), 0);
    ck_assert_uint_eq(reg_of(s, 7, 0, ECX) & BIT(4), 0);
    s->cpu->cr4 |= CR4_OSXSAVE | CR4_PKE;
    ck_assert_uint_ne(reg_of(s, 1, 0, ECX) & BIT(27), 0);
    ck_assert_uint_ne(reg_of(s, 7, 0, ECX) & BIT(4), 0);
    s->cpu->msr_misc_enable &= ~(uint64_t)BIT(18);
    ck_assert_uint_eq(reg_of(s, 1, 0, ECX) & BIT(3), 0);
    system_cpu_free(s);
}
END_TEST

START_TEST(xsave_leaf_covers_its_components)
{
    SystemCpu *s = system_cpu_new("max", 1, 0);
    uint64_t xcr0 = cpu_model_xcr0(s->model);
    uint32_t end = 576;

    ck_assert_uint_eq(reg_of(s, 0xd, 0, EAX), (uint32_t)xcr0);
    ck_assert_uint_eq(reg_of(s, 0xd, 0, EBX), 576); /* XCR0 is 1 after reset */
    for (unsigned i = 2; i < 63; i++) {
        uint32_t size = reg_of(s, 0xd, i, EAX);

        ck_assert_int_eq(size != 0, (xcr0 >> i & 1) != 0);
        end = MAX(end, size != 0 ? size + reg_of(s, 0xd, i, EBX) : 0);
    }
    ck_assert_uint_eq(reg_of(s, 0xd, 0, ECX), end);
    s->cpu->vec.xcr0 = xcr0;
    ck_assert_uint_eq(reg_of(s, 0xd, 0, EBX), end);
    system_cpu_free(s);
}
END_TEST

START_TEST(the_tsc_leaf_gives_its_frequency)
{
    SystemCpu *s = system_cpu_new("Nehalem", 1, 0);
    uint32_t r[4];

    s->cpu->tsc_hz = 2900000000u;
    cpu_cpuid(s->cpu, 0x15, 0, r);
    ck_assert_uint_eq((uint64_t)r[ECX] * r[EBX] / r[EAX], 2900000000u);
    ck_assert_uint_eq(r[ECX], CPU_CRYSTAL_HZ);
    cpu_cpuid(s->cpu, 0x12345, 0, r); /* beyond the last leaf: the last one */
    ck_assert_uint_eq(r[EAX], 2900);
    system_cpu_free(s);
}
END_TEST

START_TEST(isa_sets_follow_features)
{
    SystemCpu *s = system_cpu_new("max,-bmi1,-avx512f,-rdpid", 1, 0);

    ck_assert(cpu_isa_allowed(s->cpu, ZYDIS_ISA_SET_I86));
    ck_assert(cpu_isa_allowed(s->cpu, ZYDIS_ISA_SET_SSE2));
    ck_assert(!cpu_isa_allowed(s->cpu, ZYDIS_ISA_SET_BMI1));
    ck_assert(!cpu_isa_allowed(s->cpu, ZYDIS_ISA_SET_AVX512F_512));
    ck_assert(!cpu_isa_allowed(s->cpu, ZYDIS_ISA_SET_AVX512BW_512));
    ck_assert(!cpu_isa_allowed(s->cpu, ZYDIS_ISA_SET_RDPID));
    ck_assert(!cpu_isa_allowed(s->cpu, ZYDIS_ISA_SET_XOP));
    ck_assert(!cpu_isa_allowed(s->cpu, (ZydisISASet)100000));
    system_cpu_free(s);
}
END_TEST

START_TEST(help_lists_models_and_features)
{
    g_autofree char *text = cpu_model_help();

    ck_assert_ptr_nonnull(strstr(text, "qemu64"));
    ck_assert_ptr_nonnull(strstr(text, " smep"));
    ck_assert_ptr_null(strstr(text, " vmx"));
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("cpuid");
    TCase *t = tcase_create("cpuid");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, every_feature_row_shows_in_its_leaf_and_can_be_turned_off);
    tcase_add_test(t, host_features_are_those_of_the_host);
    tcase_add_test(t, unknown_names_are_refused_with_the_nearest);
    tcase_add_test(t, items_and_spellings_are_understood);
    tcase_add_test(t, without_xsave_there_is_no_avx);
    tcase_add_test(t, named_models_say_who_they_are);
    tcase_add_test(t, each_paravirtual_interface_has_its_switch);
    tcase_add_test(t, guests_see_the_hypervisor_that_the_model_names);
    tcase_add_test(t, topology_leaves_agree);
    tcase_add_test(t, dynamic_bits_follow_the_control_registers);
    tcase_add_test(t, xsave_leaf_covers_its_components);
    tcase_add_test(t, the_tsc_leaf_gives_its_frequency);
    tcase_add_test(t, isa_sets_follow_features);
    tcase_add_test(t, help_lists_models_and_features);
    suite_add_tcase(suite, t);
    return suite;
}
