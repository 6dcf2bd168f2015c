/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/direct-policy.h"

#include "softmmu/base/clock.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"
#include "translator/direct/direct-internal.h"

#include <inttypes.h>
#include <time.h>
#include <x86intrin.h>

const DirectPolicy direct_policy = {
    .around = 16,
    /* vm.max_map_count is 65530 by default; holes count as well. */
    .pages_max = 24000,
    .churn_max = 16,
    .holdoff_min = 16,
    /* With direct=auto a visit is a burst; and another process may get the page tables' page. */
    .holdoff_max = 512,
    /* A world takes some 300 pages in before it runs freely: a few milliseconds. */
    .promote_trips = 2500,
    /* The translator's user code is 1.2 to 6 times slower than itself. */
    .burst_trips = 4,
    .long_us = 150,
    .penalty_max = 7,
    /* Its first pages come one by one; later there are phases. */
    .credit_trips = 800,
    .credit_max_trips = 4000,
    .window_events = 128,
    .window_us = 50000,
    /* Two switches between threads on one CPU, a signal and its return. */
    .trip_us = 8,
    .trips = 5,
    .gain_percent = 60,
    .calls_min = 100,
    /* An order is two switches and the calls of it, 3 us each, of a trip of 6. */
    .batch_cost = 18,
    .page_cost = 4,
    .check_cost = 1,
};

static uint64_t cycles_of_us(uint64_t us)
{
    return us * (clock_host_tsc_hz() / 1000000);
}

static void trace_decision(const DirectCpu *dc, const Space *s, const char *what, uint64_t user_us,
                           uint64_t events)
{
    trace(direct_policy, "cpu %u cr3 %012" PRIx64 ": %s after %" PRIu64 " us of user code in %" PRIu64
          " pieces, penalty %u", dc->cpu->index, s->cr3, what, user_us, events, s->penalty);
}

/* -- Clocks ------------------------------------------------------------------------------------------ */

static uint64_t thread_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* -- In the translator ------------------------------------------------------------------------------ */

/* The CPU time of every 16th burst is taken, and of each that follows a long one. */
void policy_user_begins(DirectCpu *dc, Space *s)
{
    if (dc->burst_began == 0) {
        dc->burst_began = __rdtsc();
        dc->burst_space = s;
        dc->burst_interrupts = dc->cpu->stats[STAT_INTERRUPTS];
        dc->burst_weight = s->was_long ? 1 : (++dc->n_bursts & 15) == 0 ? 16 : 0;
        dc->burst_cpu_ns = dc->burst_weight != 0 ? thread_cpu_ns() : 0;
    }
}

void policy_user_ends(DirectCpu *dc)
{
    Space *s = dc->burst_space;
    unsigned weight = dc->burst_weight;

    s->was_long = __rdtsc() - dc->burst_began > cycles_of_us(direct_policy.long_us);
    dc->burst_began = 0;
    if (weight == 0) {
        return;
    }
    s->user_ns += weight * (thread_cpu_ns() - dc->burst_cpu_ns);
    s->n_bursts += weight;
    if (dc->burst_interrupts == dc->cpu->stats[STAT_INTERRUPTS]) {
        s->n_calls += weight;
    }
    if (s->n_bursts >= 8192) { /* the present counts, not the past */
        s->n_bursts /= 2;
        s->n_calls /= 2;
        s->user_ns /= 2;
    }
}

static bool is_worth_it(const DirectCpu *dc, const Space *s)
{
    return s->user_ns > direct_policy.promote_trips * dc->trip_ns << s->penalty &&
           s->user_ns > s->n_bursts * dc->trip_ns * direct_policy.burst_trips;
}

/* Whatever the account says? */
static bool is_forced(const DirectCpu *dc)
{
    return dc->mode == DIRECT_ON || stress_info[STRESS_direct].one_in != 0;
}

bool policy_wants(DirectCpu *dc, Space *s)
{
    if (is_forced(dc)) {
        return true;
    }
    if (!s->chosen && is_worth_it(dc, s)) {
        s->chosen = true;
        s->window = (PolicyWindow){0};
        s->credit_ns = direct_policy.credit_trips * (int64_t)dc->trip_ns;
        s->call_ns = s->n_calls != 0 ? s->user_ns / s->n_calls : 0;
        s->world_ns = s->world_calls = 0;
        dc->stats.promoted++;
        trace_decision(dc, s, "promoted", s->user_ns / 1000, s->n_bursts);
    }
    return s->chosen;
}

/* -- In the world ------------------------------------------------------------------------------------ */

/* What mapping has cost so far, in sixteenths of a round trip. */
static uint64_t mapping_cost(const DirectCpu *dc)
{
    return dc->stats.batches * direct_policy.batch_cost +
           (dc->stats.mapped + dc->stats.unmapped) * direct_policy.page_cost +
           dc->stats.checked * direct_policy.check_cost;
}

bool policy_measure_trips(DirectCpu *dc, World *w)
{
    unsigned n = direct_policy.trips;
    uint64_t ns = thread_cpu_ns() + world_cpu_ns(w);

    for (unsigned i = 0; i < n; i++) {
        if (!state_to_world(dc, w) || !world_idle_trip(w, dc->spin)) {
            return false;
        }
    }
    ns = (thread_cpu_ns() + world_cpu_ns(w) - ns) / n;
    dc->trip_ns = (3 * dc->trip_ns + ns) / 4;
    return true;
}

void policy_init(DirectCpu *dc)
{
    dc->trip_ns = direct_policy.trip_us * 1000;
}

/* By how many percent the translator is slower, as user time between calls (system calls, page faults)
 * shows: before the promotion there, since then here. */
static uint64_t gain_percent(const Space *s)
{
    uint64_t here = s->world_calls != 0 ? s->world_ns / s->world_calls : 0;

    if (s->world_calls < direct_policy.calls_min || s->call_ns == 0 || here == 0) {
        return direct_policy.gain_percent;
    }
    return CLAMP(s->call_ns * 100 / here, 110, 600) - 100;
}

static void demote(DirectCpu *dc, Space *s, uint64_t useful_ns, uint64_t events)
{
    s->chosen = false;
    s->user_ns = s->n_bursts = s->n_calls = 0;
    s->penalty += s->penalty < direct_policy.penalty_max;
    dc->stats.demoted++;
    trace_decision(dc, s, "demoted", useful_ns / 1000, events);
}

static uint64_t calls_so_far(const DirectCpu *dc)
{
    return dc->stats.syscalls + dc->stats.guest_faults;
}

/* Judge the window that ends now. */
static void judge(DirectCpu *dc, Space *s, uint64_t cpu_ns)
{
    PolicyWindow *w = &s->window;
    uint64_t trips = w->events * dc->trip_ns;
    uint64_t lost = trips + (mapping_cost(dc) - w->mapping) * dc->trip_ns / 16;
    uint64_t useful = cpu_ns - w->cpu_ns;
    int64_t gain;

    useful -= MIN(useful, trips / 2); /* the guest thread's time is signals, too */
    s->world_ns += useful;
    s->world_calls += calls_so_far(dc) - w->calls;
    gain = (int64_t)(useful * gain_percent(s) / 100) - (int64_t)lost;
    s->credit_ns = MIN(s->credit_ns + gain, direct_policy.credit_max_trips * (int64_t)dc->trip_ns);
    if (gain > 0) {
        s->holdoff_next = direct_policy.holdoff_min;
        s->penalty -= s->penalty > 0 && ++s->wins % 64 == 0;
    }
    if (s->credit_ns < 0) {
        demote(dc, s, useful, w->events);
    }
}

void policy_world_event(DirectCpu *dc, Space *s)
{
    PolicyWindow *w = &s->window;
    uint64_t now, cpu_ns;
    bool crowded;

    w->events++;
    if (is_forced(dc) || s->world == NULL) {
        return;
    }
    now = __rdtsc();
    crowded = w->events >= direct_policy.window_events;
    if (w->began != 0 && !crowded && now - w->began < cycles_of_us(direct_policy.window_us)) {
        return;
    }
    cpu_ns = world_cpu_ns(s->world);
    if (w->began != 0) {
        judge(dc, s, cpu_ns);
    }
    *w = (PolicyWindow){.began = now, .cpu_ns = cpu_ns, .mapping = mapping_cost(dc),
                        .calls = calls_so_far(dc)};
    dc->measure_trips |= crowded;
}
