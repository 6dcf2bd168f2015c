/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watching for the end of a halt, and sleeping behind it: no wake-up is lost, whichever way it comes. */
#include "monitor/halt-poll.h"

#include "cpu-x86/engine.h"
#include "softmmu/base/clock.h"

#include <check.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>

/* -- How long ------------------------------------------------------------------------------------ */

START_TEST(a_halt_that_was_short_makes_the_next_be_watched)
{
    HaltPoll p = {0};

    halt_poll_learn(&p, HALT_NOT_WATCHED, 100 * NS_PER_US, NS_PER_SEC);
    ck_assert_uint_eq(p.ns, 150 * NS_PER_US);
    halt_poll_learn(&p, HALT_ENDED, 10 * NS_PER_US, NS_PER_SEC);
    ck_assert_uint_eq(p.ns, 150 * NS_PER_US);
    halt_poll_learn(&p, HALT_GOES_ON, 200 * NS_PER_US, NS_PER_SEC);
    ck_assert_uint_eq(p.ns, 300 * NS_PER_US);
    halt_poll_learn(&p, HALT_GOES_ON, 499 * NS_PER_US, NS_PER_SEC);
    ck_assert_uint_eq(p.ns, 500 * NS_PER_US);
}
END_TEST

START_TEST(long_halts_end_watching)
{
    HaltPoll p = {.ns = 500 * NS_PER_US};

    for (unsigned i = 0; i < 8; i++) {
        halt_poll_learn(&p, HALT_GOES_ON, 4 * NS_PER_MS, NS_PER_SEC);
    }
    ck_assert_uint_eq(p.ns, 0);
}
END_TEST

START_TEST(a_busy_host_is_left_alone_for_a_while)
{
    HaltPoll p = {.ns = 500 * NS_PER_US};

    halt_poll_learn(&p, HALT_HOST_BUSY, 100 * NS_PER_US, NS_PER_SEC);
    ck_assert_uint_eq(p.ns, 0);
    halt_poll_learn(&p, HALT_NOT_WATCHED, 100 * NS_PER_US, NS_PER_SEC + NS_PER_MS);
    ck_assert_uint_eq(p.ns, 0);
    halt_poll_learn(&p, HALT_NOT_WATCHED, 100 * NS_PER_US, NS_PER_SEC + 3 * NS_PER_MS);
    ck_assert_uint_eq(p.ns, 150 * NS_PER_US);
}
END_TEST

/* -- Whether ------------------------------------------------------------------------------------- */

static CpuState *halted_cpu(void)
{
    CpuState *cpu = aligned_alloc(64, (sizeof *cpu + 63) & ~(size_t)63);

    *cpu = (CpuState){.activity = CPU_HALTED, .rflags = FLAG_IF, .tsc_hz = clock_host_tsc_hz()};
    return cpu;
}

START_TEST(an_idle_guest_is_not_watched_for)
{
    HaltPollers s = {.enabled = true, .host_cpus = 8};
    HaltPoll p = {.ns = NS_PER_SEC * 3600};
    CpuState *cpu = halted_cpu(), *other = halted_cpu();
    uint64_t begin = 0;
    HaltWatch how = HALT_HOST_BUSY;

    ck_assert_int_eq(halt_poll(&p, &s, cpu), HALT_GOES_ON); /* and at once */
    s.cpus = &other;
    s.n_cpus = 1;
    ck_assert_int_eq(halt_poll(&p, &s, cpu), HALT_GOES_ON);
    p.ns = NS_PER_MS;
    other->requests = CPU_REQ_INTR; /* it has been woken, but does not run yet: watched to the end */
    for (unsigned i = 0; i < 10000 && how == HALT_HOST_BUSY; i++) {
        begin = halt_poll_now(cpu);
        how = halt_poll(&p, &s, cpu);
    }
    ck_assert_int_eq(how, HALT_GOES_ON);
    ck_assert_uint_ge(halt_poll_now(cpu) - begin, NS_PER_MS);
    s.n_cpus = 0;
    p.ns = NS_PER_SEC * 3600;
    s.n_running = 8;
    ck_assert_int_eq(halt_poll(&p, &s, cpu), HALT_GOES_ON); /* no host CPU for it */
    s.n_running = 1;
    s.enabled = false;
    ck_assert_int_eq(halt_poll(&p, &s, cpu), HALT_NOT_WATCHED);
    s.enabled = true;
    cpu->activity = CPU_WAIT_SIPI;
    ck_assert_int_eq(halt_poll(&p, &s, cpu), HALT_NOT_WATCHED);
    cpu->activity = CPU_HALTED;
    cpu->requests = CPU_REQ_INTR;
    ck_assert_int_eq(halt_poll(&p, &s, cpu), HALT_ENDED);
    cpu->rflags = 0;
    cpu->requests = CPU_REQ_INTR | CPU_REQ_NMI;
    ck_assert_int_eq(halt_poll(&p, &s, cpu), HALT_ENDED);
    ck_assert_uint_eq(s.n_watching, 0);
    free(other);
    free(cpu);
}
END_TEST

/* -- Missing time -------------------------------------------------------------------------------- */

static uint64_t tsc_hz;
static volatile sig_atomic_t absences;

static void be_away(int sig)
{
    CpuState cpu = {.tsc_hz = tsc_hz};
    uint64_t begin = halt_poll_now(&cpu);

    while (halt_poll_now(&cpu) - begin < 100 * NS_PER_US) {
    }
    absences++;
}

/* Watch for so long, in which nothing happens, with another CPU running. */
static HaltWatch watch_in_vain(const CpuState *cpu, uint64_t ns)
{
    HaltPollers s = {.enabled = true, .host_cpus = 8, .n_running = 1};
    HaltPoll p = {.ns = ns};

    return halt_poll(&p, &s, cpu);
}

/* The host's interrupts, and its own host.  (On a crowded machine there may be no such time: then this says nothing.) */
START_TEST(time_that_nobody_else_here_had_says_nothing)
{
    CpuState *cpu = halted_cpu();
    uint64_t begin = halt_poll_now(cpu);
    unsigned times = 0;            /* some of them while it was watched */

    tsc_hz = cpu->tsc_hz;
    signal(SIGALRM, be_away);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 1000}, {0, 1000}}, NULL);
    while (times < 200 && halt_poll_now(cpu) - begin < 10 * NS_PER_SEC) {
        long before = clock_thread_preemptions();
        HaltWatch how;

        absences = 0;
        how = watch_in_vain(cpu, 50 * NS_PER_US);
        if (clock_thread_preemptions() == before && absences != 0) {
            ck_assert_int_eq(how, HALT_GOES_ON);
            times++;
        }
    }
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    signal(SIGALRM, SIG_DFL);
    free(cpu);
}
END_TEST

static void *run_until_told(void *told)
{
    while (!__atomic_load_n((bool *)told, __ATOMIC_RELAXED)) {
    }
    return NULL;
}

START_TEST(somebody_else_on_this_cpu_is_seen)
{
    CpuState *cpu = halted_cpu();
    HaltWatch how = HALT_GOES_ON;
    cpu_set_t one;
    pthread_t thread;
    bool told = false;

    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    sched_setaffinity(0, sizeof one, &one); /* the thread's too */
    pthread_create(&thread, NULL, run_until_told, &told);
    for (unsigned i = 0; i < 100 && how == HALT_GOES_ON; i++) {
        how = watch_in_vain(cpu, 20 * NS_PER_MS);
    }
    __atomic_store_n(&told, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    ck_assert_int_eq(how, HALT_HOST_BUSY);
    free(cpu);
}
END_TEST

/* -- Nothing is lost ------------------------------------------------------------------------------ */

/* Two CPUs that halt and wake each other in turn, each by its own kind of request.  A wake-up lost is a hang. */
typedef struct {
    CpuState *cpu, *other;
    uint32_t wait_for, send;
    HaltPollers *pollers;
    HaltPoll poll;
    unsigned rounds, ended;
    bool first;
} Player;

static void *play(void *arg)
{
    Player *p = arg;

    for (unsigned i = 0; i < p->rounds; i++) {
        HaltWatch how;

        if (i > 0 || !p->first) {
            __atomic_sub_fetch(&p->pollers->n_running, 1, __ATOMIC_RELAXED);
            how = halt_poll(&p->poll, p->pollers, p->cpu);
            if (how != HALT_ENDED) {
                cpu_sleep(p->cpu);
            }
            __atomic_add_fetch(&p->pollers->n_running, 1, __ATOMIC_RELAXED);
            ck_assert(cpu_requests(p->cpu) & p->wait_for);
            cpu_unrequest(p->cpu, p->wait_for);
            p->ended += how == HALT_ENDED;
        }
        cpu_request(p->other, p->send);
    }
    return NULL;
}

START_TEST(two_cpus_wake_each_other_again_and_again)
{
    HaltPollers s = {.enabled = _i != 0, .host_cpus = 2, .n_running = 2};
    CpuState *a = halted_cpu(), *b = halted_cpu();
    Player one = {.cpu = a, .other = b, .wait_for = CPU_REQ_INTR, .send = CPU_REQ_NMI, .pollers = &s, .rounds = 20000,
                  .first = true, .poll = {.ns = _i * 20 * NS_PER_US}};
    Player two = {.cpu = b, .other = a, .wait_for = CPU_REQ_NMI, .send = CPU_REQ_INTR, .pollers = &s, .rounds = 20000,
                  .poll = {.ns = _i * 20 * NS_PER_US}};
    pthread_t thread;

    b->rflags = 0;             /* an NMI wakes it all the same */
    pthread_create(&thread, NULL, play, &two);
    play(&one);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(s.n_running, 2);
    ck_assert_uint_eq(s.n_watching, 0);
    ck_assert(_i != 0 || (one.ended == 0 && two.ended == 0));
    ck_assert_uint_eq(a->sleeping | b->sleeping, 0);
    free(a);
    free(b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("halt-poll");
    TCase *t = tcase_create("halt-poll");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_halt_that_was_short_makes_the_next_be_watched);
    tcase_add_test(t, long_halts_end_watching);
    tcase_add_test(t, a_busy_host_is_left_alone_for_a_while);
    tcase_add_test(t, an_idle_guest_is_not_watched_for);
    tcase_add_test(t, time_that_nobody_else_here_had_says_nothing);
    tcase_add_test(t, somebody_else_on_this_cpu_is_seen);
    tcase_add_loop_test(t, two_cpus_wake_each_other_again_and_again, 0, 3);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
