/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/direct-policy.h"

#include "softmmu/base/clock.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"
#include "translator/direct/direct-internal.h"

#include <inttypes.h>
#include <x86intrin.h>

const DirectPolicy direct_policy = {
    .around = 16,
    /* vm.max_map_count is 65530 by default; holes count as well. */
    .pages_max = 24000,
    .churn_max = 16,
    .holdoff_min = 16,
    .holdoff_max = 1 << 16,
    /* A world takes some 300 pages in before it runs freely: a few milliseconds. */
    .promote_us = 20000,
    /* An event costs 6 to 10 us; the translator's user code is 1.5 to 3 times slower than itself. */
    .burst_us = 40,
    .penalty_max = 7,
    .window_events = 128,
    .window_us = 50000,
    /* Two switches between threads on one CPU, a signal and its return; mapping is measured. */
    .event_us10 = 70,
    .gain_percent = 60,
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

/* -- In the translator ------------------------------------------------------------------------------ */

void policy_user_begins(DirectCpu *dc, Space *s)
{
    if (dc->burst_began == 0) {
        dc->burst_began = __rdtsc();
        dc->burst_space = s;
    }
}

void policy_user_ends(DirectCpu *dc)
{
    Space *s = dc->burst_space;

    s->user_cycles += __rdtsc() - dc->burst_began;
    s->n_bursts++;
    dc->burst_began = 0;
    if (s->n_bursts >= 4096) { /* the present counts, not the past */
        s->n_bursts /= 2;
        s->user_cycles /= 2;
    }
}

static bool is_worth_it(const Space *s)
{
    return s->user_cycles > cycles_of_us(direct_policy.promote_us) << s->penalty &&
           s->user_cycles > s->n_bursts * cycles_of_us(direct_policy.burst_us);
}

bool policy_wants(DirectCpu *dc, Space *s)
{
    if (dc->mode == DIRECT_ON || stress_info[STRESS_direct].one_in != 0) {
        return true;
    }
    if (!s->chosen && is_worth_it(s)) {
        s->chosen = true;
        s->window = (PolicyWindow){0};
        dc->stats.promoted++;
        trace_decision(dc, s, "promoted", s->user_cycles / cycles_of_us(1), s->n_bursts);
    }
    return s->chosen;
}

/* -- In the world ------------------------------------------------------------------------------------ */

void policy_world_event(DirectCpu *dc, Space *s, uint64_t handling_cycles)
{
    PolicyWindow *w = &s->window;
    uint64_t now, useful, lost, events_us10;

    w->events++;
    w->handling += handling_cycles;
    if (dc->mode == DIRECT_ON || stress_info[STRESS_direct].one_in != 0 || s->world == NULL) {
        return;
    }
    now = __rdtsc();
    if (w->began == 0) {
        w->began = now;
        w->cpu_ns = world_cpu_ns(s->world);
        return;
    }
    if (w->events < direct_policy.window_events &&
        now - w->began < cycles_of_us(direct_policy.window_us)) {
        return;
    }
    /* The guest thread's time is user code, and the signals of its events. */
    events_us10 = w->events * direct_policy.event_us10;
    useful = (world_cpu_ns(s->world) - w->cpu_ns) / 1000;
    useful -= MIN(useful, events_us10 / 10 / 2);
    lost = events_us10 / 10 + w->handling / cycles_of_us(1);
    if (lost * 100 > useful * direct_policy.gain_percent) {
        s->losses++;
    } else {
        s->losses = 0;
        s->penalty -= s->penalty > 0 && ++s->wins % 64 == 0;
    }
    if (s->losses >= 3) { /* the first windows of a world are all page faults */
        s->chosen = false;
        s->losses = 0;
        s->user_cycles = s->n_bursts = 0;
        s->penalty += s->penalty < direct_policy.penalty_max;
        dc->stats.demoted++;
        trace_decision(dc, s, "demoted", useful, w->events);
    }
    *w = (PolicyWindow){.began = now, .cpu_ns = world_cpu_ns(s->world)};
}
