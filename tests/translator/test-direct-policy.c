/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When user code goes to worlds: the policy with times made up, and how it tells processes and programs. */
#include "tests/cpu-x86/system-cpu.h"
#include "tests/suite.h"
#include "translator/direct/direct-policy.h"
#include "translator/direct/direct-state.h"
#include "translator/direct/identity.h"

static SystemCpu *machine;
static DirectShared shared;
static DirectCpu *dc;
static Space *s;
static int64_t lost_ns;        /* where worlds were slower than the translator */

static void set_up(void)
{
    machine = system_cpu_new("max", 1, 0);
    shared = (DirectShared){.mem = machine->cpu->mem};
    dc = g_new0(DirectCpu, 1);
    dc->cpu = machine->cpu;
    dc->shared = &shared;
    dc->mode = DIRECT_AUTO;
    policy_init(dc);
    s = &dc->space[0];
    lost_ns = 0;
}

static void tear_down(void)
{
    g_free(dc);
    system_cpu_free(machine);
}

/* -- Programs, made up --------------------------------------------------------------------------- */

/* Between two entries into the kernel: translated, directly, and what its world takes beside. */
typedef struct {
    uint64_t key;
    int64_t translated_ns, useful_ns, lost_ns;
} Program;

static void begin_process(const Program *p)
{
    policy_forget(dc, s);
    *s = (Space){.program = p->key};
    dc->clock++;
}

/* One look, or one window. */
static void some_time(const Program *p)
{
    if (policy_wants(dc, s)) {
        enum { N = 128 };
        PolicyResult r = {.useful = N * p->useful_ns, .lost = N * p->lost_ns,
                          .total = (uint64_t)(N * (p->useful_ns + p->lost_ns)), .entries = N, .alone = true};

        lost_ns += MAX((int64_t)r.total - N * p->translated_ns, 0);
        policy_judge_world(dc, s, &r);
    } else {
        uint64_t n = (uint64_t)(1000000 / p->translated_ns) + 1;

        policy_judge_translated(dc, s, n * (uint64_t)p->translated_ns, n);
    }
}

/* Processes of so many entries; returns how many were in their world at the end. */
static unsigned processes(const Program *p, unsigned n, uint64_t entries)
{
    unsigned direct = 0;

    for (unsigned i = 0; i < n; i++) {
        begin_process(p);
        while (s->entries < entries) {
            some_time(p);
        }
        direct += policy_wants(dc, s);
    }
    return direct;
}

static const Program computes = {0x1000, 3000000, 500000, 10000}, gains = {0x2000, 200000, 30000, 25000},
                     loses = {0x3000, 40000, 15000, 60000};

START_TEST(who_computes_is_in_a_world_soon)
{
    ck_assert_uint_eq(processes(&computes, 1, 50), 1);
}
END_TEST

START_TEST(a_program_that_gains_is_known_the_next_time)
{
    processes(&gains, 3, 4000);
    begin_process(&gains);
    for (unsigned i = 0; i < 3; i++) {
        some_time(&gains);
    }
    ck_assert(policy_wants(dc, s));
}
END_TEST

/* What one process has cost is known of the next. */
START_TEST(a_program_that_loses_does_so_a_few_times)
{
    uint64_t demoted;

    ck_assert_uint_eq(processes(&loses, 40, 2000), 0);
    demoted = dc->stats.demoted;
    ck_assert_uint_ge(demoted, 1);
    ck_assert_uint_le(demoted, 8);
    ck_assert_int_lt(lost_ns * 100, INT64_C(40) * 2000 * loses.translated_ns * 3);
}
END_TEST

START_TEST(winnings_are_not_spent_by_others)
{
    processes(&gains, 10, 4000); /* the account is full */
    for (unsigned i = 0; i < 10; i++) {
        processes(&loses, 10, 500);
        processes(&gains, 1, 4000);
    }
    ck_assert_int_lt(lost_ns * 100, INT64_C(100) * 500 * loses.translated_ns * 3);
}
END_TEST

START_TEST(a_program_that_has_changed_is_tried_again)
{
    Program changed = loses;

    processes(&loses, 20, 2000);
    changed.translated_ns = 400000;
    ck_assert_uint_eq(processes(&changed, 1, 20000), 1);
}
END_TEST

START_TEST(little_known_programs_make_room)
{
    Program p = computes;

    for (unsigned i = 0; i < 3 * POLICY_PROGRAMS; i++) {
        p.key += 0x1000;
        ck_assert_uint_eq(processes(&p, 1, 50), 1);
    }
}
END_TEST

/* Translated, until `p` is in its world: how long that took, in ns; or `limit`. */
static uint64_t until_direct(const Program *p, uint64_t limit)
{
    uint64_t ns = 0;

    while (!policy_wants(dc, s) && ns < limit) {
        uint64_t n = (uint64_t)(1000000 / p->translated_ns);

        policy_judge_translated(dc, s, 1000000, n);
        ns += 1000000;
    }
    return ns;
}

static const Program calls = {0x4000, 70, 60, 9000}, calm = {0x4000, 4000000, 1000000, 10000};
enum { SOON = 100000000 };

/* Paces of what it did before do not keep it. */
START_TEST(who_leaves_the_kernel_alone_is_in_a_world_soon)
{
    begin_process(&calls);
    ck_assert_uint_eq(until_direct(&calls, 2000000000), 2000000000);
    ck_assert_uint_lt(until_direct(&calm, SOON), SOON);
    for (unsigned i = 0; i < 200; i++) {
        some_time(&calm);
    }
    ck_assert(policy_wants(dc, s));
}
END_TEST

/* Nor does what it lost while it was busy; but what it lost calm does. */
START_TEST(who_lost_busy_is_taken_when_calm)
{
    Program computing = computes, faulting = {loses.key, 3000000, 500000, 9000000};
    uint64_t first, last;

    computing.key = loses.key;
    processes(&loses, 40, 2000);
    begin_process(&computing);
    first = until_direct(&computing, SOON);
    ck_assert_uint_lt(first, SOON);
    for (unsigned i = 0; i < 6; i++) {
        begin_process(&faulting);
        until_direct(&faulting, UINT64_C(10000000000));
        while (policy_wants(dc, s)) {
            PolicyResult r = {.useful = 100000, .lost = 900000, .total = 1000000, .alone = true};

            policy_judge_world(dc, s, &r);
        }
    }
    last = until_direct(&faulting, UINT64_C(10000000000));
    ck_assert_uint_gt(last, 4 * first);
}
END_TEST

/* A compiler: it has read its source, calling its kernel all the time, where the world was no better.  Then it computes, with entries
 * that are far apart but not so far that it were calm: probes see few of them, and what was before is no reason to leave it to the translator. */
START_TEST(who_computes_later_is_in_a_world_then)
{
    const Program works = {0x5000, 700000, 150000, 40000};
    uint64_t demoted;

    begin_process(&works);
    s->entries = 8192;
    until_direct(&works, SOON);
    dc->program[0].stage[5] = (PolicyPaces){{100000000, 1000}, {105000000, 1000}};
    ck_assert_uint_eq(dc->program[0].key, works.key);
    demoted = dc->stats.demoted;
    while (s->entries < 15000) {
        some_time(&works);
    }
    ck_assert_uint_ge(dc->stats.probes, 5);
    ck_assert_uint_eq(dc->stats.demoted, demoted);
    /* the probes of its own stage are compared by now */
    ck_assert_uint_ge(dc->program[0].stage[8].translated.entries, direct_policy.pace_entries);
}
END_TEST

/* Does it stay in its world after a probe, where so many entries each say that it is a fifth slower there? */
static bool survives_probe(uint64_t entries)
{
    enum { TRANSLATED_NS = 100000, DIRECT_NS = 120000 };
    uint64_t probe = (uint64_t)direct_policy.probe_us * 1000 / TRANSLATED_NS;

    begin_process(&gains);
    s->chosen = s->probing = true;
    dc->n_chosen++;
    *dc->program = (PolicyProgram){.key = gains.key, .stage[0] = {{entries * TRANSLATED_NS, entries}, {entries * DIRECT_NS, entries}}};
    policy_judge_translated(dc, s, probe * TRANSLATED_NS, probe);
    ck_assert(!s->probing);
    return policy_wants(dc, s);
}

START_TEST(what_may_be_chance_ends_no_world)
{
    ck_assert(survives_probe(direct_policy.pace_entries));
    ck_assert(!survives_probe(100 * direct_policy.pace_entries));
}
END_TEST

/* Probes in ten seconds of its world. */
static uint64_t probes_of(const Program *p)
{
    uint64_t before = dc->stats.probes;

    ck_assert_uint_eq(processes(p, 1, UINT64_C(10000000000) / (uint64_t)(p->useful_ns + p->lost_ns)), 1);
    return dc->stats.probes - before;
}

START_TEST(who_gains_clearly_is_probed_less_often)
{
    const Program little = {gains.key + 0x1000, 85000, gains.useful_ns, gains.lost_ns};
    uint64_t clear = probes_of(&gains), unclear = probes_of(&little);

    ck_assert_uint_ge(clear, 10);
    ck_assert_uint_ge(unclear, 2 * clear);
}
END_TEST

static uint64_t direct_entries(void)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < POLICY_STAGES; i++) {
        n += dc->program[0].stage[i].direct.entries;
    }
    return n;
}

/* With others in turns: by forks, pipes.  Such times are nobody's pace, and what is known of it alone proves nothing. */
START_TEST(paces_are_of_who_runs_alone)
{
    PolicyResult r = {.useful = 1000000, .lost = 900000, .total = 1900000, .entries = 128};

    processes(&gains, 3, 4000);
    begin_process(&gains);
    while (!policy_wants(dc, s)) {
        some_time(&gains);
    }
    for (unsigned i = 0; i < 2; i++) {
        uint64_t before = direct_entries(), own = s->entries;

        r.alone = i == 1;
        dc->account_ns = 0;
        policy_judge_world(dc, s, &r);
        ck_assert_uint_eq(direct_entries() - before, r.alone ? r.entries : 0);
        ck_assert_uint_eq(s->entries - own, r.alone ? r.entries : 0);
        /* alone it is known to save two thirds of the time; with others it is taken to save less than it loses */
        ck_assert_int_eq(dc->account_ns > 0, r.alone);
    }
}
END_TEST

/* The clocks of some hosts stand still for so long: it was nothing once, and a division ended the process. */
START_TEST(a_round_trip_is_never_nothing)
{
    policy_reckon_trip(dc, 0, 0);
    ck_assert_uint_gt(dc->trip_ns, 0);
    for (unsigned i = 0; i < 100; i++) {
        policy_reckon_trip(dc, i % 3, 5);
        ck_assert_uint_ge(dc->trip_ns, direct_policy.trip_least_ns);
    }
    ck_assert_uint_eq(processes(&computes, 1, 50), 1);
    processes(&gains, 3, 4000);
    processes(&loses, 3, 4000);
}
END_TEST

/* -- Who it is ----------------------------------------------------------------------------------- */

enum { TOP = 0x100000, UPPER = 0x101000, MIDDLE = 0x102000, BOTTOM = 0x103000, EMPTY = 0x104000, P = 1, US = 4, PS = 0x80 };

static void none_is_known(void)
{
    ck_assert_uint_eq(identity_of_process(dc), 0);
    ck_assert_uint_eq(identity_of_program(dc), 0);
}

START_TEST(the_ends_of_a_64_bit_space)
{
    CpuState *cpu = machine->cpu;

    none_is_known(); /* no paging */
    cpu->cr0 = CR0_PE | CR0_PG;
    cpu->cr4 = CR4_PAE;
    cpu->efer = EFER_LME | EFER_LMA;
    cpu->mode |= MODE_LMA;
    cpu->cr3 = TOP;
    none_is_known();
    poke(machine, TOP + 511 * 8, 8, UPPER | P | US); /* the kernel's half */
    none_is_known();
    poke(machine, TOP + 0 * 8, 8, UPPER | P | US);
    poke(machine, UPPER + 3 * 8, 8, MIDDLE | P | US);
    poke(machine, MIDDLE + 4 * 8, 8, EMPTY | P | US);
    poke(machine, MIDDLE + 5 * 8, 8, BOTTOM | P | US);
    poke(machine, MIDDLE + 9 * 8, 8, EMPTY | P | US);
    poke(machine, BOTTOM + 1 * 8, 8, 0x500000 | P); /* the kernel's */
    poke(machine, BOTTOM + 2 * 8, 8, 0x600000 | P | US);
    poke(machine, BOTTOM + 7 * 8, 8, 0x700000 | P | US);
    ck_assert_uint_eq(identity_of_process(dc), (UINT64_C(3) << 30) + (5 << 21) + (7 << 12));
    ck_assert_uint_eq(identity_of_program(dc), 0x600000);
    poke(machine, MIDDLE + 2 * 8, 8, 0x800000 | P | US | PS);
    ck_assert_uint_eq(identity_of_program(dc), 0x800000);
    poke(machine, UPPER + 3 * 8, 8, UINT64_C(0x7f0000000000) | P | US); /* tables where no memory is */
    none_is_known();
}
END_TEST

START_TEST(the_ends_of_32_bit_spaces)
{
    CpuState *cpu = machine->cpu;

    cpu->cr0 = CR0_PE | CR0_PG;
    cpu->mode &= ~MODE_LMA;
    cpu->cr4 = CR4_PAE;
    cpu->cr3 = TOP + 0x40;
    poke(machine, TOP + 0x40 + 2 * 8, 8, MIDDLE | P);
    poke(machine, MIDDLE + 5 * 8, 8, BOTTOM | P | US);
    poke(machine, BOTTOM + 2 * 8, 8, 0x600000 | P | US);
    poke(machine, BOTTOM + 7 * 8, 8, 0x700000 | P | US);
    ck_assert_uint_eq(identity_of_process(dc), (UINT64_C(2) << 30) + (5 << 21) + (7 << 12));
    ck_assert_uint_eq(identity_of_program(dc), 0x600000);
    cpu->cr4 = CR4_PSE;
    cpu->cr3 = UPPER;
    poke(machine, UPPER + 700 * 4, 4, EMPTY | P | US);
    poke(machine, EMPTY + 3 * 4, 4, 0x900000 | P | US);
    poke(machine, EMPTY + 1000 * 4, 4, 0xa00000 | P | US);
    ck_assert_uint_eq(identity_of_process(dc), (UINT64_C(700) << 22) + (1000 << 12));
    ck_assert_uint_eq(identity_of_program(dc), 0x900000);
}
END_TEST

Suite *test_suite(void)
{
    Suite *suite = suite_create("direct-policy");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, who_computes_is_in_a_world_soon);
    tcase_add_test(t, a_program_that_gains_is_known_the_next_time);
    tcase_add_test(t, a_program_that_loses_does_so_a_few_times);
    tcase_add_test(t, winnings_are_not_spent_by_others);
    tcase_add_test(t, a_program_that_has_changed_is_tried_again);
    tcase_add_test(t, little_known_programs_make_room);
    tcase_add_test(t, who_leaves_the_kernel_alone_is_in_a_world_soon);
    tcase_add_test(t, who_lost_busy_is_taken_when_calm);
    tcase_add_test(t, who_computes_later_is_in_a_world_then);
    tcase_add_test(t, what_may_be_chance_ends_no_world);
    tcase_add_test(t, who_gains_clearly_is_probed_less_often);
    tcase_add_test(t, paces_are_of_who_runs_alone);
    tcase_add_test(t, a_round_trip_is_never_nothing);
    tcase_add_test(t, the_ends_of_a_64_bit_space);
    tcase_add_test(t, the_ends_of_32_bit_spaces);
    suite_add_tcase(suite, t);
    return suite;
}
