/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the interpreter does instead of KVM (hwaccel/phases.h), on a KVM made of memory. */
#include "tests/hwaccel/kvm-bed.h"
#include "tests/suite.h"

#include <errno.h>

static const KvmConfig phased = {.phases = true}, not_phased = {.phases = false};

static const KvmTurnStat *turns(const Bed *b, KvmTurn why)
{
    return &((KvmCpu *)b->g.cpu->engine_data)->phases.turns[why];
}

static void ck_says(const Bed *b, const char *what)
{
    g_autoptr(GString) said = g_string_new(NULL);

    kvm_engine.print_stats(b->g.cpu, said);
    ck_assert_msg(strstr(said->str, what) != NULL, "'%s' is not in\n%s", what, said->str);
}

/* -- Failures ------------------------------------------------------------------------------------------- */

enum { FAILURES = 10 };

static int give_up_often(FakeKvm *f)
{
    f->run->exit_reason = f->entries <= FAILURES ? KVM_EXIT_INTERNAL_ERROR : KVM_EXIT_HLT;
    f->run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    return 0;
}

/* 0: without the policy; 1: with it; 2: with the local APICs in the kernel. */
START_TEST(failures_that_come_soon_make_longer_turns)
{
    static const KvmConfig with_apics = {.phases = true, .irqchip = KVM_IRQCHIP_SPLIT};
    static const uint64_t insns[] = {FAILURES, (1 << FAILURES) - 1, 1 + 2 + 4 + 8 + 16 + 32 + 4 * 64};
    Bed b;

    bed_init_board(&b, _i == 0 ? &not_phased : _i == 1 ? &phased : &with_apics);
    memset(guest_ram(&b.g, GUEST_CODE), 0x90, 4096);
    b.g.cpu->rip = GUEST_CODE;
    b.f.guest = give_up_often;
    bed_attach(&b);
    kvm_engine.scatter(b.g.cpu);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(turns(&b, KVM_TURN_FAILED)->n, FAILURES);
    ck_assert_uint_eq(turns(&b, KVM_TURN_FAILED)->insns, insns[_i]);
    ck_assert_uint_eq(b.f.regs.rip, GUEST_CODE + insns[_i]);
    ck_assert_uint_gt(turns(&b, KVM_TURN_FAILED)->ticks, 0);
    ck_says(&b, "interpreted where KVM gave up");
    ck_says(&b, "exit: KVM cannot go on: interpreted");
    ck_says(&b, _i == 0 ? "left to KVM, as asked" : _i == 1 ? "bad at: interpreted" : "which has the local APICs");
    kvm_engine.gather(b.g.cpu);
    bed_clear(&b);
}
END_TEST

static int give_up_rarely(FakeKvm *f)
{
    f->run->exit_reason = f->entries > 600 ? KVM_EXIT_HLT : f->entries % 100 == 0 ? KVM_EXIT_INTERNAL_ERROR : KVM_EXIT_INTR;
    return f->run->exit_reason == KVM_EXIT_INTR ? -EINTR : 0;
}

START_TEST(failures_that_come_late_make_short_ones)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    b.g.cpu->engine_config = &phased;
    memset(guest_ram(&b.g, GUEST_CODE), 0x90, 4096);
    b.g.cpu->rip = GUEST_CODE;
    b.f.guest = give_up_rarely;
    bed_attach(&b);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(turns(&b, KVM_TURN_FAILED)->n, 6);
    ck_assert_uint_eq(turns(&b, KVM_TURN_FAILED)->insns, 6);
    bed_clear(&b);
}
END_TEST

/* With the local APICs in the kernel CPUs that wait come too: what was left of a phase is not for them. */
START_TEST(who_waits_is_not_interpreted)
{
    static const KvmConfig with_apics = {.phases = true, .irqchip = KVM_IRQCHIP_SPLIT};
    KvmCpu *k;
    Bed b;

    bed_init_board(&b, &with_apics);
    memset(guest_ram(&b.g, GUEST_CODE), 0x90, 4096);
    b.g.cpu->rip = GUEST_CODE;
    k = bed_attach(&b);
    kvm_engine.scatter(b.g.cpu);
    k->phases.left = 7;
    b.g.cpu->activity = CPU_WAIT_SIPI;
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.entries, 1);
    ck_assert_uint_eq(b.f.regs.rip, GUEST_CODE);
    ck_assert_uint_eq(turns(&b, KVM_TURN_FAILED)->insns, 0);
    kvm_engine.gather(b.g.cpu);
    bed_clear(&b);
}
END_TEST

static int triple_fault_once(FakeKvm *f)
{
    f->run->exit_reason = f->entries == 1 ? KVM_EXIT_SHUTDOWN : KVM_EXIT_HLT;
    return 0;
}

/* -- Real mode ------------------------------------------------------------------------------------------- */

/* mov $100,%cx; 1: loop 1b; mov %cr0,%eax; or $1,%al; mov %eax,%cr0; 2: inc %edx (%dx); jmp 2b */
static const uint8_t leaves_real_mode[] = {0xb9, 100, 0, 0xe2, 0xfe, 0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0,
                                           0x42, 0xeb, 0xfd};

static uint64_t first_rip, first_cr0, first_rdx;

static int note_first(FakeKvm *f)
{
    if (f->entries == 1) {
        first_rip = f->regs.rip;
        first_cr0 = f->sregs.cr0;
        first_rdx = f->regs.rdx;
    }
    f->run->exit_reason = KVM_EXIT_HLT;
    return 0;
}

/* 0: KVM emulates it, the policy is off; 1: on; 2: on, but the processor runs real mode. */
START_TEST(real_mode_that_kvm_emulates_is_interpreted)
{
    KvmCpu *k;
    Bed b;

    bed_init(&b, GUEST_REAL16);
    guest_code(&b.g, leaves_real_mode, sizeof leaves_real_mode);
    b.g.cpu->engine_config = _i == 0 ? &not_phased : &phased;
    b.f.guest = note_first;
    k = bed_attach(&b);
    k->vm->host->emulates_real_mode = _i != 2;
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.entries, 1);
    ck_assert_uint_eq(turns(&b, KVM_TURN_REAL_MODE)->n, _i == 1);
    if (_i == 1) {                     /* and some way beyond */
        ck_assert_uint_eq(first_cr0 & 1, 1);
        ck_assert_uint_ge(turns(&b, KVM_TURN_REAL_MODE)->insns, 4096);
        ck_assert_uint_le(turns(&b, KVM_TURN_REAL_MODE)->insns, 2 * 4096);
        ck_assert_uint_gt(first_rdx, 1000);
        ck_says(&b, "interpreted in real mode, which KVM emulates");
        ck_says(&b, "real mode is one");
    } else {
        ck_assert_uint_eq(first_cr0 & 1, 0);
        ck_assert_uint_eq(first_rip, GUEST_CODE);
    }
    bed_clear(&b);
}
END_TEST

/* 0: on hardware; 1: without, the policy is off; 2: on. */
START_TEST(paging_that_kvm_does_not_do_is_interpreted)
{
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_PROT32);
    b.g.cpu->engine_config = _i == 1 ? &not_phased : &phased;
    guest_code(&b.g, (const uint8_t *)"\x40\xe2\xfd\xf4", 4);  /* 1: inc %eax; loop 1b; hlt */
    b.g.cpu->gpr[GPR_RCX] = 5000;
    for (unsigned i = 0; i < 4; i++) {                         /* all of it in pages of 4 MiB */
        store_le(guest_ram(&b.g, GUEST_TABLES + i * 4), 4, i << 22 | 0x83);
    }
    b.g.cpu->cr4 |= CR4_PSE;
    b.g.cpu->cr0 |= CR0_PG;
    cpu_update_mode(b.g.cpu);
    k = bed_attach(&b);
    k->vm->host->hardware = _i == 0 ? "VT-x" : NULL;
    k->vm->host->emulates_real_mode = true;
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.entries, _i != 2);
    ck_assert_uint_eq(b.g.cpu->gpr[GPR_RAX], _i == 2 ? 5000 : 0);
    ck_assert_uint_eq(turns(&b, KVM_TURN_PAGING32)->insns, _i == 2 ? 10001 : 0);
    bed_clear(&b);
}
END_TEST

/* A KVM without hardware says triple fault: the interpreter looks, and goes on.  0: on hardware. */
START_TEST(triple_faults_of_a_kvm_without_hardware_are_looked_at)
{
    Bed b;
    KvmCpu *k;

    bed_init(&b, GUEST_LONG64);
    guest_code(&b.g, (const uint8_t *)"\x48\xff\xc0\xf4", 4);  /* inc %rax; hlt */
    b.f.guest = triple_fault_once;
    k = bed_attach(&b);
    k->vm->host->hardware = _i == 0 ? "SVM" : NULL;
    ck_assert_int_eq(bed_run(&b), _i == 0 ? CPU_EXIT_SHUTDOWN : CPU_EXIT_HALT);
    ck_assert_uint_eq(_i == 0 ? b.g.cpu->gpr[GPR_RAX] : b.f.regs.rax, _i);
    bed_clear(&b);
}
END_TEST

static int back_to_real_mode(FakeKvm *f)
{
    if (f->entries <= 5) {             /* it goes back at once, and there KVM fails */
        f->sregs.cr0 &= ~UINT64_C(1);
        f->regs.rip = GUEST_CODE;
        f->run->exit_reason = KVM_EXIT_FAIL_ENTRY;
        return 0;
    }
    f->run->exit_reason = KVM_EXIT_HLT;
    return 0;
}

START_TEST(firmware_that_goes_to_and_fro_stays_longer)
{
    KvmCpu *k;
    Bed b;

    bed_init(&b, GUEST_REAL16);
    guest_code(&b.g, leaves_real_mode, sizeof leaves_real_mode);
    b.g.cpu->engine_config = &phased;
    b.f.guest = back_to_real_mode;
    k = bed_attach(&b);
    k->vm->host->emulates_real_mode = true;
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(b.f.entries, 6);
    ck_assert_uint_gt(k->phases.len, 32 * 4096 - 1);   /* doubled each time */
    bed_clear(&b);
}
END_TEST

START_TEST(a_request_ends_a_turn_in_real_mode)
{
    KvmCpu *k;
    Bed b;

    bed_init(&b, GUEST_REAL16);
    guest_code(&b.g, (const uint8_t *)"\xeb\xfe", 2);
    b.g.cpu->engine_config = &phased;
    k = bed_attach(&b);
    k->vm->host->emulates_real_mode = true;
    cpu_request(b.g.cpu, CPU_REQ_STOP);
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_REQUEST);
    ck_assert_uint_eq(b.f.entries, 0);
    bed_clear(&b);
}
END_TEST

/* -- Emulation ------------------------------------------------------------------------------------------- */

static unsigned emulates;      /* this many entries of... */

static int emulate(FakeKvm *f)
{
    f->emulated += f->entries <= emulates ? UINT64_C(1) << 40 : 1;
    f->run->exit_reason = f->entries >= 8 ? KVM_EXIT_HLT : KVM_EXIT_INTR;
    return f->run->exit_reason == KVM_EXIT_INTR ? -EINTR : 0;
}

/* 0: KVM emulates what it does in four entries; 1: next to nothing; 2: all, but the policy is off; 3: no such counter;
 * 4: the counter cannot be read any more. */
START_TEST(what_kvm_emulates_is_interpreted)
{
    Bed b;

    bed_init(&b, GUEST_LONG64);
    guest_code(&b.g, (const uint8_t *)"\xff\xc2\xeb\xfc", 4);  /* 1: inc %edx; jmp 1b */
    b.g.cpu->engine_config = _i == 2 ? &not_phased : &phased;
    b.g.cpu->tsc_hz = 1000;            /* so that each entry takes long enough to be looked at */
    emulates = _i == 1 ? 0 : _i == 2 ? 9 : 4;
    b.f.no_counter = _i == 3;
    b.f.guest = emulate;
    bed_attach(&b);
    if (_i == 4) {
        ((KvmCpu *)b.g.cpu->engine_data)->phases.stats_off = 1 << 20;
    }
    ck_assert_int_eq(bed_run(&b), CPU_EXIT_HALT);
    ck_assert_uint_eq(turns(&b, KVM_TURN_EMULATION)->n, _i == 0 ? 4 : 0);
    if (_i == 0) {                     /* each twice as long */
        ck_assert_uint_eq(turns(&b, KVM_TURN_EMULATION)->insns, 65536 * (1 + 2 + 4 + 8));
        ck_says(&b, "interpreted in what KVM was emulating");
    }
    ck_says(&b, _i == 2 ? "as asked" : _i >= 3 ? "not counted by this KVM" : "emulated instructions are counted");
    bed_clear(&b);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("kvm-phases");
    TCase *c = tcase_create("kvm-phases");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, failures_that_come_soon_make_longer_turns, 0, 3);
    tcase_add_test(c, failures_that_come_late_make_short_ones);
    tcase_add_test(c, who_waits_is_not_interpreted);
    tcase_add_loop_test(c, real_mode_that_kvm_emulates_is_interpreted, 0, 3);
    tcase_add_test(c, firmware_that_goes_to_and_fro_stays_longer);
    tcase_add_test(c, a_request_ends_a_turn_in_real_mode);
    tcase_add_loop_test(c, paging_that_kvm_does_not_do_is_interpreted, 0, 3);
    tcase_add_loop_test(c, triple_faults_of_a_kvm_without_hardware_are_looked_at, 0, 2);
    tcase_add_loop_test(c, what_kvm_emulates_is_interpreted, 0, 5);
    suite_add_tcase(s, c);
    return s;
}
