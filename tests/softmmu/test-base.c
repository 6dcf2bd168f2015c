/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/base: timers, clock, locks, log registries, stress knobs, bit helpers. */
#include "softmmu/base/bits.h"
#include "softmmu/base/lock.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"
#include "tests/fake.h"
#include "tests/suite.h"

#include <glib.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* -- Timers ----------------------------------------------------------------------------------- */

typedef struct {
    Timer timer;
    char *log;
    char name;
    uint64_t again_ns;
} Tick;

static void tick_fire(void *arg)
{
    Tick *t = arg;
    size_t n = strlen(t->log);

    t->log[n] = t->name;
    if (t->again_ns != 0) {
        timer_set(&t->timer, timer_now(&t->timer) + t->again_ns);
    }
}

START_TEST(timers_fire_in_order_of_their_deadlines)
{
    char log[16] = "";
    FakeClock f;
    Tick a = {.log = log, .name = 'a'}, b = {.log = log, .name = 'b'}, c = {.log = log, .name = 'c'};

    fake_clock_init(&f);
    timer_init(&a.timer, &f.timers, tick_fire, &a);
    timer_init(&b.timer, &f.timers, tick_fire, &b);
    timer_init(&c.timer, &f.timers, tick_fire, &c);
    timer_set(&a.timer, 30);
    timer_set(&b.timer, 10);
    timer_set(&c.timer, 20);
    timer_set(&c.timer, 40); /* moved */
    fake_clock_go(&f, 29);
    ck_assert_str_eq(log, "b");
    ck_assert_uint_eq(timer_queue_next(&f.timers), 30);
    fake_clock_go(&f, 100);
    ck_assert_str_eq(log, "bac");
    ck_assert(!timer_armed(&a.timer));
    ck_assert_uint_eq(timer_queue_next(&f.timers), TIMER_NEVER);
}
END_TEST

START_TEST(a_timer_may_rearm_or_cancel_from_its_own_callback)
{
    char log[16] = "";
    FakeClock f;
    Tick a = {.log = log, .name = 'x', .again_ns = 10};

    fake_clock_init(&f);
    timer_init(&a.timer, &f.timers, tick_fire, &a);
    timer_set(&a.timer, 5);
    fake_clock_go(&f, 36);
    ck_assert_str_eq(log, "xxxx");
    timer_cancel(&a.timer);
    timer_cancel(&a.timer);
    fake_clock_go(&f, 100);
    ck_assert_str_eq(log, "xxxx");
}
END_TEST

static void count_wake(void *arg)
{
    ++*(int *)arg;
}

START_TEST(the_queue_wakes_its_thread_only_when_the_earliest_deadline_moves_forward)
{
    char log[16] = "";
    int wakes = 0;
    FakeClock f;
    Tick a = {.log = log}, b = {.log = log};

    fake_clock_init(&f);
    timer_queue_init(&f.timers, &f.clock, count_wake, &wakes);
    timer_init(&a.timer, &f.timers, tick_fire, &a);
    timer_init(&b.timer, &f.timers, tick_fire, &b);
    timer_set(&a.timer, 100);
    ck_assert_int_eq(wakes, 1);
    timer_set(&b.timer, 200);
    ck_assert_int_eq(wakes, 1);
    timer_set(&b.timer, 50);
    ck_assert_int_eq(wakes, 2);
    timer_set(&b.timer, 70);           /* on its way anyway */
    timer_set(&b.timer, 60);
    ck_assert_int_eq(wakes, 2);
    ck_assert_uint_eq(timer_queue_sleep(&f.timers, 100), 60);
    timer_set(&b.timer, 80);           /* it looks at 60 and finds nothing */
    ck_assert_int_eq(wakes, 2);
    timer_set(&a.timer, 59);
    ck_assert_int_eq(wakes, 3);
    timer_cancel(&a.timer);
    timer_cancel(&b.timer);
    ck_assert_uint_eq(timer_queue_sleep(&f.timers, TIMER_NEVER), TIMER_NEVER);
    timer_set(&a.timer, 1000);
    ck_assert_int_eq(wakes, 4);
}
END_TEST

/* `t` fires at each of these milliseconds and is set to the next soon after, the sixth early by 3 us; the thread looks each 2 ms, or when it expects
 * something.  How often does it find nothing to do? */
static int looks_in_vain(FakeClock *f, Tick *t, const uint64_t *ms, unsigned n)
{
    int looks = 0;

    timer_set(&t->timer, ms[0] * 1000000);
    for (unsigned i = 1; i < n; i++) {
        uint64_t at = ms[i] * 1000000 - (i == 5 ? 3000 : 0), until;

        fake_clock_go(f, ms[i - 1] * 1000000);
        until = timer_queue_sleep(&f->timers, ms[i - 1] * 1000000 + 2000000);
        fake_clock_go(f, ms[i - 1] * 1000000 + 10000);
        timer_set(&t->timer, at);
        for (; until < at; looks++) {
            fake_clock_go(f, until);
            until = timer_queue_sleep(&f->timers, until + 2000000);
        }
    }
    return looks;
}

START_TEST(the_thread_sleeps_until_a_regular_timer_is_expected)
{
    static const uint64_t regular[] = {1000, 1004, 1008, 1012, 1016, 1020}, irregular[] = {2000, 2003, 2007, 2010, 2014, 2017},
                          seldom[] = {3000, 3020, 3040, 3060};
    char log[32] = "";
    int wakes = 0;
    FakeClock f;
    Tick a = {.log = log};

    fake_clock_init(&f);
    timer_queue_init(&f.timers, &f.clock, count_wake, &wakes);
    timer_init(&a.timer, &f.timers, tick_fire, &a);
    ck_assert_int_eq(looks_in_vain(&f, &a, regular, 6), 2);      /* in each of the first two intervals */
    ck_assert_int_eq(wakes, 1);                                  /* to set it for the first time */
    ck_assert_int_eq(looks_in_vain(&f, &a, irregular, 6), 5);
    ck_assert_int_eq(looks_in_vain(&f, &a, seldom, 4), 9 + 9 + 6); /* the last 8 ms of the third interval at once */
    ck_assert_uint_eq(timer_queue_sleep(&f.timers, TIMER_NEVER), 3060 * UINT64_C(1000000));
}
END_TEST

START_TEST(the_host_clock_stands_still_while_stopped)
{
    Clock *c = clock_host_new();
    uint64_t a, b;

    clock_host_set_running(c, false);
    a = clock_now(c);
    b = clock_now(c);
    ck_assert_uint_eq(a, b);
    clock_host_set_running(c, true);
    while (clock_now(c) == b) {
    }
    ck_assert_uint_gt(clock_now(c), b);
    ck_assert_uint_gt(clock_host_tsc_hz(), 100 * 1000 * 1000);
    clock_host_free(c);
}
END_TEST

/* -- Locks ------------------------------------------------------------------------------------ */

START_TEST(the_machine_lock_is_recursive_and_known_to_be_held)
{
    Lock l;

    lock_init(&l, LOCK_RANK_MACHINE);
    ck_assert(!lock_held(LOCK_RANK_MACHINE));
    lock_take(&l);
    lock_take(&l);
    lock_release(&l);
    ck_assert(lock_held(LOCK_RANK_MACHINE));
    lock_release(&l);
    ck_assert(!lock_held(LOCK_RANK_MACHINE));
    lock_clear(&l);
}
END_TEST

START_TEST(taking_locks_against_their_ranks_aborts)
{
    Lock machine, halt;

    lock_init(&machine, LOCK_RANK_MACHINE);
    lock_init(&halt, LOCK_RANK_TRANSLATE);
    lock_take(&halt);
    lock_take(&machine);
}
END_TEST

/* -- Log, trace, stress ----------------------------------------------------------------------- */

START_TEST(log_items_are_switched_by_name_and_unknown_ones_named)
{
    const char *bad = NULL;

    ck_assert(!log_enable("int,nonsense,exec", &bad));
    ck_assert_str_eq(bad, "nonsense");
    ck_assert(!log_on[LOG_INT]);
    ck_assert(log_enable("int,exec", &bad));
    ck_assert(log_on[LOG_INT] && log_on[LOG_EXEC] && !log_on[LOG_MMU]);
}
END_TEST

START_TEST(trace_events_are_switched_by_glob)
{
    ck_assert_uint_eq(trace_enable("port_unassigned_*", true), 2);
    ck_assert(trace_on[TRACE_port_unassigned_read]);
    ck_assert_uint_eq(trace_enable("no_such_event", true), 0);
    trace_enable("*", false);
    ck_assert(!trace_on[TRACE_port_unassigned_read]);
}
END_TEST

START_TEST(the_log_goes_to_the_named_file)
{
    char dir[] = "/tmp/metaphrase-log-XXXXXX", line[64] = "";
    g_autofree char *path = NULL, *pattern = NULL;
    FILE *f;

    ck_assert_ptr_nonnull(mkdtemp(dir));
    pattern = g_strdup_printf("%s/log-%%d", dir);
    path = g_strdup_printf("%s/log-%d", dir, (int)getpid());
    ck_assert(log_open(pattern));
    log_write("hello %d", 5);
    ck_assert(log_open(NULL));
    f = fopen(path, "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, f));
    ck_assert_str_eq(line, "hello 5\n");
    fclose(f);
    unlink(path);
    rmdir(dir);
    ck_assert(!log_open("/nonexistent/dir/log"));
}
END_TEST

START_TEST(stress_knobs_count_and_reject_nonsense)
{
    unsigned hits = 0;

    ck_assert(!stress_set("no_such_knob=3"));
    ck_assert(!stress_set("tlb_miss"));
    ck_assert(!stress_set("tlb_miss=3x"));
    ck_assert(!stress_hit(STRESS_tlb_miss));
    ck_assert(stress_set("tlb_miss=3"));
    for (int i = 0; i < 9; i++) {
        hits += stress_hit(STRESS_tlb_miss);
    }
    ck_assert_uint_eq(hits, 3);
}
END_TEST

START_TEST(bit_helpers_handle_their_edges)
{
    ck_assert_uint_eq(mask_bytes(1), 0xff);
    ck_assert_uint_eq(mask_bytes(8), UINT64_MAX);
    ck_assert_uint_eq(bits_get(0xabcd, 4, 8), 0xbc);
    ck_assert_uint_eq(bits_put(0xabcd, 4, 8, 0xfff), 0xaffd);
    ck_assert_int_eq(sign_extend(0x80, 1), -128);
    ck_assert_int_eq(sign_extend(0x7fff, 2), 0x7fff);
    ck_assert_int_eq(sign_extend(UINT64_MAX, 8), -1);
    ck_assert_uint_eq(muldiv64(UINT64_MAX / 2, 10, 5), UINT64_MAX / 2 * 2);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("softmmu/base");
    TCase *t = tcase_create("all");

    tcase_add_test(t, timers_fire_in_order_of_their_deadlines);
    tcase_add_test(t, a_timer_may_rearm_or_cancel_from_its_own_callback);
    tcase_add_test(t, the_queue_wakes_its_thread_only_when_the_earliest_deadline_moves_forward);
    tcase_add_test(t, the_thread_sleeps_until_a_regular_timer_is_expected);
    tcase_add_test(t, the_host_clock_stands_still_while_stopped);
    tcase_add_test(t, the_machine_lock_is_recursive_and_known_to_be_held);
    tcase_add_test_raise_signal(t, taking_locks_against_their_ranks_aborts, SIGTRAP);
    tcase_add_test(t, log_items_are_switched_by_name_and_unknown_ones_named);
    tcase_add_test(t, trace_events_are_switched_by_glob);
    tcase_add_test(t, the_log_goes_to_the_named_file);
    tcase_add_test(t, stress_knobs_count_and_reject_nonsense);
    tcase_add_test(t, bit_helpers_handle_their_edges);
    suite_add_tcase(s, t);
    return s;
}
