/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/rtc.h"

#include "tests/fake.h"
#include "tests/hw/window.h"

#include <glib.h>

typedef struct {
    FakeClock clock;
    FakeIrq irq;
    Device *rtc;
} Rig;

/* 2024-02-29 23:59:58, a Thursday */
#define LEAP_DAY 1709251198

static void init_at(Rig *r, int64_t base)
{
    *r = (Rig){0};
    fake_clock_init(&r->clock);
    r->rtc = rtc_new(&r->clock.timers, &FAKE_IRQ_LINE(&r->irq), base);
}

static unsigned get(Rig *r, unsigned index)
{
    window_out(r->rtc, 0, 0, 1, index);
    return window_in(r->rtc, 0, 1, 1);
}

static void set(Rig *r, unsigned index, unsigned val)
{
    window_out(r->rtc, 0, 0, 1, index);
    window_out(r->rtc, 0, 1, 1, val);
}

static void assert_date(Rig *r, const char *want)
{
    char *have = g_strdup_printf("%02x%02x-%02x-%02x %02x:%02x:%02x %x", get(r, 0x32), get(r, 9),
                                 get(r, 8), get(r, 7), get(r, 4), get(r, 2), get(r, 0), get(r, 6));
    ck_assert_str_eq(have, want);
    g_free(have);
}

START_TEST(calendar_runs_over_leap_day_and_century)
{
    Rig r;

    init_at(&r, LEAP_DAY);
    assert_date(&r, "2024-02-29 23:59:58 5");
    fake_clock_go(&r.clock, 2 * NS_PER_SEC);
    assert_date(&r, "2024-03-01 00:00:00 6");
    device_free(r.rtc);
    init_at(&r, -1);
    assert_date(&r, "1969-12-31 23:59:59 4");
    device_free(r.rtc);
    init_at(&r, INT64_C(4102444800) - 1);
    assert_date(&r, "2099-12-31 23:59:59 5");
    fake_clock_go(&r.clock, NS_PER_SEC);
    assert_date(&r, "2100-01-01 00:00:00 6");
    device_free(r.rtc);
}
END_TEST

START_TEST(formats_follow_register_b)
{
    Rig r;

    init_at(&r, LEAP_DAY);
    set(&r, 11, 0x06);                      /* binary, 24 h */
    ck_assert_uint_eq(get(&r, 4), 23);
    ck_assert_uint_eq(get(&r, 2), 59);
    set(&r, 11, 0x04);                      /* binary, 12 h */
    ck_assert_uint_eq(get(&r, 4), 0x80 | 11);
    set(&r, 11, 0x00);                      /* BCD, 12 h */
    ck_assert_uint_eq(get(&r, 4), 0x91);
    fake_clock_go(&r.clock, 2 * NS_PER_SEC);
    ck_assert_uint_eq(get(&r, 4), 0x12);    /* midnight */
    device_free(r.rtc);
}
END_TEST

START_TEST(guest_sets_the_date)
{
    Rig r;
    static const uint8_t regs[][2] = {{0x32, 0x19}, {9, 0x99}, {8, 0x12}, {7, 0x31}, {4, 0x23},
                                      {2, 0x59}, {0, 0x59}};

    init_at(&r, LEAP_DAY);
    fake_clock_go(&r.clock, 700 * NS_PER_MS);
    set(&r, 11, 0x82);
    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
        set(&r, regs[i][0], regs[i][1]);
    }
    fake_clock_go(&r.clock, 5 * NS_PER_SEC);
    ck_assert_uint_eq(get(&r, 0), 0x59);    /* stands */
    set(&r, 11, 0x02);
    assert_date(&r, "1999-12-31 23:59:59 6");
    fake_clock_go(&r.clock, 6 * NS_PER_SEC);
    assert_date(&r, "2000-01-01 00:00:00 7");
    set(&r, 4, 0x12);                       /* while it runs */
    assert_date(&r, "2000-01-01 12:00:00 7");
    device_reset(r.rtc);
    assert_date(&r, "2000-01-01 12:00:00 7");
    device_free(r.rtc);
}
END_TEST

START_TEST(nonsense_dates_do_no_harm)
{
    Rig r;

    init_at(&r, LEAP_DAY);
    for (unsigned v = 0; v < 256; v++) {
        for (unsigned i = 0; i < 10; i++) {
            set(&r, i, v);
        }
        set(&r, 0x32, v);
        set(&r, 11, v & 0x86);
        fake_clock_go(&r.clock, r.clock.ns + NS_PER_SEC / 3);
        get(&r, 12);
    }
    device_free(r.rtc);
}
END_TEST

START_TEST(update_in_progress_shows_before_the_second)
{
    Rig r;

    init_at(&r, LEAP_DAY);
    fake_clock_go(&r.clock, 500 * NS_PER_MS);
    ck_assert_uint_eq(get(&r, 10), 0x26);
    fake_clock_go(&r.clock, NS_PER_SEC - 100 * NS_PER_US);
    ck_assert_uint_eq(get(&r, 10), 0xa6);
    fake_clock_go(&r.clock, NS_PER_SEC);
    ck_assert_uint_eq(get(&r, 10), 0x26);
    device_free(r.rtc);
}
END_TEST

START_TEST(update_and_periodic_interrupts)
{
    Rig r;

    init_at(&r, LEAP_DAY);
    set(&r, 11, 0x12);
    get(&r, 12);
    fake_clock_go(&r.clock, NS_PER_SEC - 1);
    ck_assert_int_eq(r.irq.level, 0);
    fake_clock_go(&r.clock, NS_PER_SEC);
    ck_assert_int_eq(r.irq.level, 1);
    ck_assert_uint_eq(get(&r, 12) & 0x90, 0x90);
    ck_assert_int_eq(r.irq.level, 0);

    set(&r, 11, 0x42);                      /* 1024 Hz */
    get(&r, 12);
    unsigned before = r.irq.rises;
    uint64_t end = r.clock.ns + NS_PER_SEC;
    while (timer_queue_next(&r.clock.timers) <= end) {
        fake_clock_go(&r.clock, timer_queue_next(&r.clock.timers));
        ck_assert_uint_eq(get(&r, 12) & 0xc0, 0xc0);
    }
    ck_assert_uint_ge(r.irq.rises - before, 1023);
    ck_assert_uint_le(r.irq.rises - before, 1025);
    set(&r, 11, 0x02);
    ck_assert(timer_queue_next(&r.clock.timers) == TIMER_NEVER);
    device_free(r.rtc);
}
END_TEST

START_TEST(alarm_fires_at_its_time_and_with_wildcards)
{
    Rig r;

    init_at(&r, LEAP_DAY);
    set(&r, 1, 0x05);
    set(&r, 3, 0xff);
    set(&r, 5, 0xc0);
    set(&r, 11, 0x22);
    fake_clock_go(&r.clock, 6 * NS_PER_SEC + 999 * NS_PER_MS);
    ck_assert_int_eq(r.irq.level, 0);
    fake_clock_go(&r.clock, 7 * NS_PER_SEC);
    ck_assert_int_eq(r.irq.level, 1);
    ck_assert_uint_eq(get(&r, 12) & 0xa0, 0xa0);
    fake_clock_go(&r.clock, 67 * NS_PER_SEC);
    ck_assert_int_eq(r.irq.level, 1);
    device_free(r.rtc);
}
END_TEST

START_TEST(nvram_survives_reset_and_extended_bank_is_separate)
{
    Rig r;

    init_at(&r, 0);
    rtc_set_nvram(r.rtc, 0x15, 0x80);
    rtc_set_nvram(r.rtc, 0x5b, 0x12);
    rtc_set_nvram(r.rtc, 0x00, 0x99);       /* the clock's: ignored */
    set(&r, 0x40, 0x77);
    window_out(r.rtc, 0, 2, 1, 0x40);
    window_out(r.rtc, 0, 3, 1, 0x55);
    set(&r, 11, 0x72);
    device_reset(r.rtc);
    ck_assert_uint_eq(get(&r, 11), 0x02);
    ck_assert_int_eq(r.irq.level, 0);
    ck_assert_uint_eq(get(&r, 0x80 | 0x15), 0x80);
    ck_assert_uint_eq(get(&r, 0x5b), 0x12);
    ck_assert_uint_eq(get(&r, 0x40), 0x77);
    ck_assert_uint_eq(get(&r, 0), 0x00);
    ck_assert_uint_eq(get(&r, 13), 0x80);
    ck_assert_uint_eq(rtc_get_nvram(r.rtc, 0xc0), 0x55);
    device_free(r.rtc);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rtc");
    TCase *t = tcase_create("rtc");

    suite_add_tcase(s, t);
    tcase_add_test(t, calendar_runs_over_leap_day_and_century);
    tcase_add_test(t, formats_follow_register_b);
    tcase_add_test(t, guest_sets_the_date);
    tcase_add_test(t, nonsense_dates_do_no_harm);
    tcase_add_test(t, update_in_progress_shows_before_the_second);
    tcase_add_test(t, update_and_periodic_interrupts);
    tcase_add_test(t, alarm_fires_at_its_time_and_with_wildcards);
    tcase_add_test(t, nvram_survives_reset_and_extended_bank_is_separate);
    return run_suite(s);
}
