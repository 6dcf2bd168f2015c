/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/pit.h"

#include "tests/fake.h"
#include "tests/hw/window.h"

typedef struct {
    FakeClock clock;
    FakeIrq irq;
    Device *pit;
} Rig;

static void init(Rig *r)
{
    *r = (Rig){0};
    fake_clock_init(&r->clock);
    r->pit = pit_new(&r->clock.timers, &FAKE_IRQ_LINE(&r->irq));
}

static void out(Rig *r, unsigned off, unsigned val)
{
    window_out(r->pit, PIT_WINDOW_COUNTERS, off, 1, val);
}

static unsigned in(Rig *r, unsigned off)
{
    return window_in(r->pit, PIT_WINDOW_COUNTERS, off, 1);
}

static unsigned in16(Rig *r, unsigned off)
{
    unsigned low = in(r, off);
    return low | in(r, off) << 8;
}

static unsigned port61(Rig *r)
{
    return window_in(r->pit, PIT_WINDOW_PORT61, 0, 1);
}

static void start(Rig *r, unsigned control, unsigned count)
{
    out(r, 3, control);
    out(r, control >> 6, count & 0xff);
    out(r, control >> 6, count >> 8);
}

static uint64_t ticks(uint64_t n)
{
    return n * NS_PER_SEC / PIT_HZ + 1;
}

START_TEST(periodic_modes_tick_without_drift)
{
    for (unsigned mode = 2; mode <= 3; mode++) {
        Rig r;

        init(&r);
        start(&r, 0x30 | mode << 1, 11932);  /* 100 Hz */
        unsigned before = r.irq.rises;
        fake_clock_go(&r.clock, 100 * NS_PER_SEC);
        /* 100 s at 1193182 / 11932 Hz */
        ck_assert_uint_eq(r.irq.rises - before, 100 * PIT_HZ / 11932);
        device_free(r.pit);
    }
}
END_TEST

START_TEST(a_late_host_coalesces_ticks_and_keeps_the_phase)
{
    Rig r;

    init(&r);
    start(&r, 0x34, 11932);
    unsigned before = r.irq.rises;
    r.clock.ns = ticks(11932 * 50 + 6000);  /* fifty ticks late */
    timer_queue_run(&r.clock.timers);
    ck_assert_uint_eq(r.irq.rises - before, 1);
    ck_assert_uint_eq(timer_queue_next(&r.clock.timers), ticks(11932 * 51));
    device_free(r.pit);
}
END_TEST

START_TEST(a_tiny_count_does_not_flood_the_host)
{
    Rig r;
    unsigned wakes = 0;

    init(&r);
    start(&r, 0x34, 1);
    while (timer_queue_next(&r.clock.timers) <= NS_PER_MS) {
        fake_clock_go(&r.clock, timer_queue_next(&r.clock.timers));
        wakes++;
    }
    ck_assert_uint_le(wakes, 60);
    device_free(r.pit);
}
END_TEST

START_TEST(mode_0_counts_down_once_and_raises)
{
    Rig r;

    init(&r);
    start(&r, 0x30, 1000);
    ck_assert_int_eq(r.irq.level, 0);
    fake_clock_go(&r.clock, ticks(400));
    ck_assert_uint_eq(in16(&r, 0), 600);
    fake_clock_go(&r.clock, ticks(999));
    ck_assert_int_eq(r.irq.level, 0);
    fake_clock_go(&r.clock, ticks(1000));
    ck_assert_int_eq(r.irq.level, 1);
    fake_clock_go(&r.clock, ticks(1010));
    ck_assert_uint_eq(in16(&r, 0), 65536 - 10);
    ck_assert_uint_eq(r.irq.rises, 1);
    device_free(r.pit);
}
END_TEST

/* _i: the mode */
START_TEST(a_short_count_is_not_lost_on_a_slow_host)
{
    Rig r;

    init(&r);
    r.clock.step = ticks(50);
    start(&r, 0x30 | (unsigned)_i << 1, 20);
    unsigned before = r.irq.rises - (unsigned)r.irq.level;
    r.clock.step = 0;
    fake_clock_go(&r.clock, r.clock.ns + ticks(100));
    ck_assert_uint_eq(r.irq.rises - before, 1 + (_i == 4));    /* mode 4 begins with its output high */
    device_free(r.pit);
}
END_TEST

START_TEST(latch_holds_the_count_and_read_back_the_status)
{
    Rig r;

    init(&r);
    start(&r, 0x74, 1000);
    fake_clock_go(&r.clock, ticks(100));
    out(&r, 3, 0x40);
    fake_clock_go(&r.clock, ticks(300));
    out(&r, 3, 0x40);                       /* the first latch stands */
    ck_assert_uint_eq(in16(&r, 1), 900);
    ck_assert_uint_eq(in16(&r, 1), 700);
    out(&r, 3, 0xc4);                       /* status and count of channel 1 */
    ck_assert_uint_eq(in(&r, 1), 0x80 | 0x34);
    ck_assert_uint_eq(in16(&r, 1), 700);
    device_free(r.pit);
}
END_TEST

START_TEST(bcd_counts_in_decimal)
{
    Rig r;

    init(&r);
    start(&r, 0x75, 0x1000);
    fake_clock_go(&r.clock, ticks(1));
    ck_assert_uint_eq(in16(&r, 1), 0x0999);
    fake_clock_go(&r.clock, ticks(300));
    ck_assert_uint_eq(in16(&r, 1), 0x0700);
    device_free(r.pit);
}
END_TEST

START_TEST(channel_2_shows_in_port_61_and_obeys_its_gate)
{
    Rig r;

    init(&r);
    window_out(r.pit, PIT_WINDOW_PORT61, 0, 1, 0x01);
    start(&r, 0xb0, 1000);
    ck_assert_uint_eq(port61(&r) & 0x21, 0x01);
    fake_clock_go(&r.clock, ticks(500));
    window_out(r.pit, PIT_WINDOW_PORT61, 0, 1, 0x00);
    fake_clock_go(&r.clock, ticks(5000));
    ck_assert_uint_eq(in16(&r, 2), 500);
    window_out(r.pit, PIT_WINDOW_PORT61, 0, 1, 0x01);
    fake_clock_go(&r.clock, ticks(5000 + 498));
    ck_assert_uint_eq(port61(&r) & 0x20, 0);
    fake_clock_go(&r.clock, ticks(5000 + 502));
    ck_assert_uint_eq(port61(&r) & 0x20, 0x20);
    device_free(r.pit);
}
END_TEST

START_TEST(refresh_bit_toggles)
{
    Rig r;
    unsigned changes = 0, last;

    init(&r);
    last = port61(&r) & 0x10;
    for (unsigned us = 1; us <= 1000; us++) {
        fake_clock_go(&r.clock, us * NS_PER_US);
        unsigned now = port61(&r) & 0x10;
        changes += now != last;
        last = now;
    }
    ck_assert_uint_ge(changes, 65);
    ck_assert_uint_le(changes, 67);
    device_free(r.pit);
}
END_TEST

START_TEST(hpet_can_cut_the_interrupt_off)
{
    Rig r;

    init(&r);
    start(&r, 0x34, 1000);
    pit_set_irq_enabled(r.pit, false);
    unsigned before = r.irq.rises;
    ck_assert_int_eq(r.irq.level, 0);
    fake_clock_go(&r.clock, NS_PER_SEC);
    ck_assert_uint_eq(r.irq.rises, before);
    ck_assert(timer_queue_next(&r.clock.timers) == TIMER_NEVER);
    pit_set_irq_enabled(r.pit, true);
    before = r.irq.rises;
    ck_assert(timer_queue_next(&r.clock.timers) != TIMER_NEVER);
    fake_clock_go(&r.clock, NS_PER_SEC + ticks(10 * 1000));
    ck_assert_uint_eq(r.irq.rises, before + 10);
    device_free(r.pit);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pit");
    TCase *t = tcase_create("pit");

    suite_add_tcase(s, t);
    tcase_add_test(t, periodic_modes_tick_without_drift);
    tcase_add_test(t, a_late_host_coalesces_ticks_and_keeps_the_phase);
    tcase_add_test(t, a_tiny_count_does_not_flood_the_host);
    tcase_add_test(t, mode_0_counts_down_once_and_raises);
    tcase_add_loop_test(t, a_short_count_is_not_lost_on_a_slow_host, 0, 1);
    tcase_add_loop_test(t, a_short_count_is_not_lost_on_a_slow_host, 4, 5);
    tcase_add_test(t, latch_holds_the_count_and_read_back_the_status);
    tcase_add_test(t, bcd_counts_in_decimal);
    tcase_add_test(t, channel_2_shows_in_port_61_and_obeys_its_gate);
    tcase_add_test(t, refresh_bit_toggles);
    tcase_add_test(t, hpet_can_cut_the_interrupt_off);
    return run_suite(s);
}
