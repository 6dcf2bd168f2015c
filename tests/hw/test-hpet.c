/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/hpet.h"

#include "tests/fake.h"
#include "tests/hw/window.h"

typedef struct {
    FakeClock clock;
    FakeIrq pin[32], irq0, irq8, legacy;
    Device *hpet;
} Rig;

static void set_pin(void *arg, unsigned pin, int level)
{
    fake_irq_set(&((Rig *)arg)->pin[pin], pin, level);
}

static void init(Rig *r)
{
    *r = (Rig){0};
    fake_clock_init(&r->clock);
    r->hpet = hpet_new(&(HpetConfig){.timers = &r->clock.timers, .routes = 0x00ff0000,
                                     .set_pin = set_pin, .arg = r,
                                     .legacy_irq0 = FAKE_IRQ_LINE(&r->irq0),
                                     .legacy_irq8 = FAKE_IRQ_LINE(&r->irq8),
                                     .legacy_mode = FAKE_IRQ_LINE(&r->legacy)});
}

static void out(Rig *r, unsigned off, unsigned size, uint64_t val)
{
    window_out(r->hpet, 0, off, size, val);
}

static uint64_t in(Rig *r, unsigned off, unsigned size)
{
    return window_in(r->hpet, 0, off, size);
}

START_TEST(counter_runs_only_while_enabled)
{
    Rig r;

    init(&r);
    ck_assert_uint_eq(in(&r, 4, 4), 10000000);
    fake_clock_go(&r.clock, 1000);
    ck_assert_uint_eq(in(&r, 0xf0, 8), 0);
    out(&r, 0x10, 4, 1);
    fake_clock_go(&r.clock, 2000);
    ck_assert_uint_eq(in(&r, 0xf0, 8), 100);
    out(&r, 0x10, 4, 0);
    fake_clock_go(&r.clock, 3000);
    ck_assert_uint_eq(in(&r, 0xf0, 4), 100);
    out(&r, 0xf0, 8, UINT64_C(0x1ffffffff));
    out(&r, 0x10, 4, 1);
    fake_clock_go(&r.clock, 3010);
    ck_assert_uint_eq(in(&r, 0xf4, 4), 2);
    device_free(r.hpet);
}
END_TEST

START_TEST(one_shot_edge_and_level)
{
    Rig r;

    init(&r);
    out(&r, 0x10, 4, 1);
    out(&r, 0x100, 8, 16 << 9 | 4);
    out(&r, 0x108, 8, 1000);
    out(&r, 0x120, 8, 17 << 9 | 6);
    out(&r, 0x128, 8, 2000);
    fake_clock_go(&r.clock, 9990);
    ck_assert_uint_eq(r.pin[16].rises, 0);
    fake_clock_go(&r.clock, 10000);
    ck_assert_uint_eq(r.pin[16].rises, 1);
    ck_assert_int_eq(r.pin[16].level, 0);
    ck_assert_uint_eq(in(&r, 0x20, 4), 0);
    fake_clock_go(&r.clock, NS_PER_SEC);
    ck_assert_uint_eq(r.pin[16].rises, 1);
    ck_assert_int_eq(r.pin[17].level, 1);
    ck_assert_uint_eq(in(&r, 0x20, 4), 2);
    out(&r, 0x20, 4, 2);
    ck_assert_int_eq(r.pin[17].level, 0);
    device_free(r.hpet);
}
END_TEST

START_TEST(periodic_does_not_drift_and_coalesces)
{
    Rig r;

    init(&r);
    out(&r, 0x10, 4, 3);
    ck_assert_int_eq(r.legacy.level, 1);
    out(&r, 0x100, 4, 0x14c);               /* 32 bit, set, periodic, enabled */
    out(&r, 0x108, 4, 100000);
    out(&r, 0x108, 4, 100000);
    fake_clock_go(&r.clock, NS_PER_SEC);
    ck_assert_uint_eq(r.irq0.rises, 1000);
    r.clock.ns += 10500 * NS_PER_US;
    timer_queue_run(&r.clock.timers);
    ck_assert_uint_eq(r.irq0.rises, 1001);
    ck_assert_uint_eq(timer_queue_next(&r.clock.timers), NS_PER_SEC + 11 * NS_PER_MS);
    out(&r, 0x10, 4, 0);
    ck_assert_int_eq(r.legacy.level, 0);
    ck_assert(timer_queue_next(&r.clock.timers) == TIMER_NEVER);
    device_free(r.hpet);
}
END_TEST

START_TEST(a_tiny_period_does_not_flood_the_host)
{
    Rig r;
    unsigned wakes = 0;

    init(&r);
    out(&r, 0x10, 4, 1);
    out(&r, 0x100, 4, 0x4c | 16 << 9);
    out(&r, 0x108, 8, 1);
    while (timer_queue_next(&r.clock.timers) <= NS_PER_MS) {
        fake_clock_go(&r.clock, timer_queue_next(&r.clock.timers));
        wakes++;
    }
    ck_assert_uint_ge(wakes, 40);
    ck_assert_uint_le(wakes, 60);
    device_free(r.hpet);
}
END_TEST

START_TEST(unroutable_pins_stay_silent)
{
    Rig r;

    init(&r);
    out(&r, 0x10, 4, 1);
    out(&r, 0x100, 4, 4 | 3 << 9);
    out(&r, 0x108, 8, 100);
    fake_clock_go(&r.clock, NS_PER_SEC);
    ck_assert_uint_eq(r.pin[3].rises, 0);
    device_free(r.hpet);
}
END_TEST

START_TEST(what_nobody_sees_does_not_wake_the_host)
{
    Rig r;

    init(&r);
    out(&r, 0x10, 4, 1);
    out(&r, 0x100, 4, 0x48 | 16 << 9);      /* set, periodic, its interrupt off */
    out(&r, 0x108, 8, 10000);
    ck_assert(timer_queue_next(&r.clock.timers) == TIMER_NEVER);
    fake_clock_go(&r.clock, 255000 * 10);
    ck_assert_uint_eq(in(&r, 0x108, 8), 260000);
    out(&r, 0x100, 4, 0xc | 16 << 9);       /* on: in phase, and nothing is made up for */
    ck_assert_uint_eq(r.pin[16].rises, 0);
    ck_assert_uint_eq(timer_queue_next(&r.clock.timers), 260000 * 10);
    fake_clock_go(&r.clock, 280000 * 10);
    ck_assert_uint_eq(r.pin[16].rises, 3);
    device_free(r.hpet);
}
END_TEST

START_TEST(a_32_bit_comparator_comes_round_unseen)
{
    Rig r;
    const uint64_t round = UINT64_C(1) << 32;

    init(&r);
    out(&r, 0x10, 4, 1);
    out(&r, 0x100, 4, 0x100 | 16 << 9);
    out(&r, 0x108, 4, 1000);
    fake_clock_go(&r.clock, (3 * round + 5000) * 10);
    out(&r, 0x100, 4, 0x104 | 16 << 9);
    ck_assert_uint_eq(timer_queue_next(&r.clock.timers), (4 * round + 1000) * 10);
    fake_clock_go(&r.clock, (5 * round + 1000) * 10);
    ck_assert_uint_eq(r.pin[16].rises, 2);
    device_free(r.hpet);
}
END_TEST

START_TEST(a_level_that_is_up_is_followed_again_once_it_was_cleared)
{
    Rig r;

    init(&r);
    out(&r, 0x10, 4, 1);
    out(&r, 0x120, 8, 17 << 9 | 0x4e);      /* set, periodic, enabled, level */
    out(&r, 0x128, 8, 10000);
    fake_clock_go(&r.clock, 10000 * 10);
    ck_assert_int_eq(r.pin[17].level, 1);
    ck_assert(timer_queue_next(&r.clock.timers) == TIMER_NEVER);
    fake_clock_go(&r.clock, 55000 * 10);
    out(&r, 0x20, 4, 2);
    ck_assert_int_eq(r.pin[17].level, 0);
    ck_assert_uint_eq(timer_queue_next(&r.clock.timers), 60000 * 10);
    fake_clock_go(&r.clock, 60000 * 10);
    ck_assert_uint_eq(r.pin[17].rises, 2);
    out(&r, 0x120, 8, 17 << 9 | 0xa);       /* disabled: the status still says that it matched */
    out(&r, 0x20, 4, 2);
    ck_assert(timer_queue_next(&r.clock.timers) == TIMER_NEVER);
    fake_clock_go(&r.clock, 70000 * 10);
    ck_assert_uint_eq(in(&r, 0x20, 4), 2);
    device_free(r.hpet);
}
END_TEST

START_TEST(a_match_the_host_is_late_for_is_not_lost)
{
    Rig r;

    init(&r);
    out(&r, 0x10, 4, 1);
    out(&r, 0x100, 8, 16 << 9 | 4);
    out(&r, 0x108, 8, 1000);
    r.clock.ns = 1500 * 10;                 /* and the timers were not run */
    in(&r, 0xf0, 8);
    ck_assert_uint_eq(r.pin[16].rises, 1);
    timer_queue_run(&r.clock.timers);
    ck_assert_uint_eq(r.pin[16].rises, 1);
    device_free(r.hpet);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hpet");
    TCase *t = tcase_create("hpet");

    suite_add_tcase(s, t);
    tcase_add_test(t, counter_runs_only_while_enabled);
    tcase_add_test(t, one_shot_edge_and_level);
    tcase_add_test(t, periodic_does_not_drift_and_coalesces);
    tcase_add_test(t, a_tiny_period_does_not_flood_the_host);
    tcase_add_test(t, unroutable_pins_stay_silent);
    tcase_add_test(t, what_nobody_sees_does_not_wake_the_host);
    tcase_add_test(t, a_32_bit_comparator_comes_round_unseen);
    tcase_add_test(t, a_level_that_is_up_is_followed_again_once_it_was_cleared);
    tcase_add_test(t, a_match_the_host_is_late_for_is_not_lost);
    return run_suite(s);
}
