/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When hand-overs to worlds spin: the controller by itself, with windows and trials made up. */
#include "softmmu/base/clock.h"
#include "tests/suite.h"
#include "translator/direct/direct-policy.h"
#include "translator/direct/spin.h"

enum { SLEEP_NS = 20000 };

static SpinControl c;
static uint64_t now;

static uint64_t cycles_of_ns(uint64_t ns)
{
    return ns * (clock_host_tsc_hz() / 1000000) / 1000;
}

static void wait_ms(uint64_t ms)
{
    now += ms * (clock_host_tsc_hz() / 1000);
}

static void begin(SpinMode mode)
{
    spin_init(&c, mode);
    c.mode = mode; /* as if there were several CPUs */
    now = 1;
}

static void window(uint64_t event_ns, uint64_t met, uint64_t missed, unsigned waited_percent)
{
    spin_judge(&c, now, cycles_of_ns(event_ns), met, missed, waited_percent);
}

/* Awake, and asleep on two CPUs. */
static void trial(uint64_t spin_ns, uint64_t wake_ns)
{
    spin_judge_trial(&c, now, (SpinTimes){SLEEP_NS, spin_ns, wake_ns}, 500);
}

static void go_awake(void)
{
    window(SLEEP_NS, 0, 0, 0);
    ck_assert(c.trial_is_due);
    trial(SLEEP_NS / 4, SLEEP_NS * 2);
    ck_assert_uint_eq(c.looks, 500);
    ck_assert(!c.trial_is_due);
}

START_TEST(who_may_not_spin_never_tries)
{
    begin(SPIN_OFF);
    window(100, 0, 0, 0);
    ck_assert(!c.trial_is_due);
    spin_init(&c, SPIN_ON);
    ck_assert_int_eq(c.mode, spin_host_cpus() > 1 ? SPIN_ON : SPIN_OFF);
}
END_TEST

START_TEST(close_events_are_tried_and_what_is_faster_stays)
{
    begin(SPIN_AUTO);
    go_awake();
    for (unsigned i = 0; i < 100; i++) {
        window(SLEEP_NS, 128, 3, 0);
        ck_assert_uint_eq(c.looks, 500);
    }
}
END_TEST

START_TEST(what_is_not_faster_is_tried_less_and_less_often)
{
    uint64_t wait = direct_policy.spin_wait_ms;

    begin(SPIN_AUTO);
    window(SLEEP_NS, 0, 0, 0);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert(c.trial_is_due);
        trial(SLEEP_NS * 9 / 10, SLEEP_NS);
        ck_assert_uint_eq(c.looks, 0);
        wait_ms(wait - 1);
        window(SLEEP_NS, 0, 0, 0);
        ck_assert(!c.trial_is_due);
        wait_ms(2);
        window(SLEEP_NS, 0, 0, 0);
        wait *= 2;
    }
    for (unsigned i = 0; i < 40; i++) {
        trial(SLEEP_NS, SLEEP_NS);
    }
    wait_ms(direct_policy.spin_wait_max_ms + 1);
    window(SLEEP_NS, 0, 0, 0);
    ck_assert(c.trial_is_due);
}
END_TEST

START_TEST(far_events_are_not_tried)
{
    begin(SPIN_AUTO);
    window(SLEEP_NS, 0, 0, 0);
    trial(SLEEP_NS, SLEEP_NS);
    wait_ms(direct_policy.spin_wait_max_ms + 1);
    window(SLEEP_NS * direct_policy.spin_event_trips * 2, 0, 0, 0);
    ck_assert(!c.trial_is_due);
    window(SLEEP_NS, 0, 0, 0);
    ck_assert(c.trial_is_due);
}
END_TEST

START_TEST(it_ends_where_others_want_the_cpu)
{
    begin(SPIN_AUTO);
    go_awake();
    window(SLEEP_NS, 128, 0, direct_policy.spin_others_percent - 1);
    ck_assert_uint_eq(c.looks, 500);
    for (unsigned i = 1; i < direct_policy.spin_crowded; i++) {
        window(SLEEP_NS, 128, 0, direct_policy.spin_others_percent);
        ck_assert_uint_eq(c.looks, 500);
    }
    window(SLEEP_NS, 128, 0, direct_policy.spin_others_percent);
    ck_assert_uint_eq(c.looks, 0);
    window(SLEEP_NS, 0, 0, 0);
    ck_assert(!c.trial_is_due);
}
END_TEST

/* Every host has threads that run now and then. */
START_TEST(it_goes_on_where_others_have_the_cpu_once)
{
    begin(SPIN_AUTO);
    go_awake();
    for (unsigned i = 0; i < 100; i++) {
        window(SLEEP_NS, 128, 0, i % direct_policy.spin_crowded == 0 ? 0 : 100);
        ck_assert_uint_eq(c.looks, 500);
    }
}
END_TEST

START_TEST(it_ends_where_waits_outlast_it)
{
    begin(SPIN_AUTO);
    go_awake();
    window(SLEEP_NS, 64, 64, 0);
    ck_assert_uint_eq(c.looks, 0);
}
END_TEST

/* Or two CPUs would be busy with looking. */
START_TEST(it_ends_where_events_are_far_apart)
{
    begin(SPIN_AUTO);
    go_awake();
    window(SLEEP_NS * direct_policy.spin_wait_trips * 9 / 10, 64, 0, 0);
    ck_assert_uint_eq(c.looks, 500);
    window(SLEEP_NS * direct_policy.spin_wait_trips * 11 / 10, 64, 0, 0);
    ck_assert_uint_eq(c.looks, 0);
}
END_TEST

START_TEST(it_goes_on_where_a_wait_that_outlasts_it_costs_little)
{
    begin(SPIN_AUTO);
    window(SLEEP_NS, 0, 0, 0);
    trial(SLEEP_NS / 4, SLEEP_NS);
    window(SLEEP_NS, 32, 32, 0);
    ck_assert_uint_eq(c.looks, 500);
    window(SLEEP_NS, 1, 63, 0);
    ck_assert_uint_eq(c.looks, 0);
}
END_TEST

START_TEST(who_must_spin_does_so_whatever_it_costs)
{
    begin(SPIN_ON);
    window(SLEEP_NS * 1000, 0, 0, 0);
    ck_assert(c.trial_is_due);
    trial(SLEEP_NS * 10, SLEEP_NS * 20);
    window(SLEEP_NS * 1000, 0, 128, 90);
    ck_assert_uint_eq(c.looks, 500);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("spin");
    TCase *t = tcase_create("controller");

    tcase_add_test(t, who_may_not_spin_never_tries);
    tcase_add_test(t, close_events_are_tried_and_what_is_faster_stays);
    tcase_add_test(t, what_is_not_faster_is_tried_less_and_less_often);
    tcase_add_test(t, far_events_are_not_tried);
    tcase_add_test(t, it_ends_where_others_want_the_cpu);
    tcase_add_test(t, it_goes_on_where_others_have_the_cpu_once);
    tcase_add_test(t, it_ends_where_waits_outlast_it);
    tcase_add_test(t, it_ends_where_events_are_far_apart);
    tcase_add_test(t, it_goes_on_where_a_wait_that_outlasts_it_costs_little);
    tcase_add_test(t, who_must_spin_does_so_whatever_it_costs);
    suite_add_tcase(s, t);
    return s;
}
