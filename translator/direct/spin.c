/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/spin.h"

#include "softmmu/base/clock.h"
#include "softmmu/base/log.h"
#include "translator/direct/direct-state.h"
#include "translator/direct/direct-policy.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <x86intrin.h>

unsigned spin_host_cpus(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

void spin_init(SpinControl *c, SpinMode mode)
{
    *c = (SpinControl){.mode = spin_host_cpus() > 1 ? mode : SPIN_OFF, .wait_ms = direct_policy.spin_wait_ms, .schedstat = -1};
}

void spin_clear(SpinControl *c)
{
    if (c->schedstat >= 0) {
        close(c->schedstat);
    }
}

static uint64_t ns_of(uint64_t cycles)
{
    return cycles * 1000 / (clock_host_tsc_hz() / 1000000);
}

/* Asleep from now on; the next trial is not soon. */
static void give_up(SpinControl *c, uint64_t now, const char *why)
{
    trace(direct_spin, "asleep: %s; next trial in %" PRIu64 " ms", why, c->wait_ms);
    c->looks = 0;
    c->next_trial = now + c->wait_ms * (clock_host_tsc_hz() / 1000);
    c->wait_ms = MIN(c->wait_ms * 2, direct_policy.spin_wait_max_ms);
}

void spin_judge_trial(SpinControl *c, uint64_t now, SpinTimes took, unsigned looks)
{
    c->trial_is_due = false;
    c->crowded = 0;
    c->took = took;
    c->looks = MAX(looks, 1);
    trace(direct_spin, "trial: %" PRIu64 " ns a round trip asleep, %" PRIu64 " awake, %" PRIu64 " asleep on two CPUs, %u looks", took.sleep,
          took.spin, took.wake, c->looks);
    if (c->mode == SPIN_AUTO && took.spin * 100 > took.sleep * direct_policy.spin_percent) {
        give_up(c, now, "no faster");
    }
}

/* Did these waits cost so much that they had better been asleep? */
static bool is_too_dear(const SpinTimes *t, uint64_t met, uint64_t missed)
{
    return (met * t->spin + missed * MAX(t->wake, t->spin)) * 100 > (met + missed) * t->sleep * direct_policy.spin_stay_percent;
}

void spin_judge(SpinControl *c, uint64_t now, uint64_t event_cycles, uint64_t met, uint64_t missed, unsigned waited_percent)
{
    if (c->looks == 0) {
        bool close = c->took.sleep == 0 || ns_of(event_cycles) < c->took.sleep * direct_policy.spin_event_trips;

        c->trial_is_due = c->mode == SPIN_ON || (c->mode == SPIN_AUTO && close && now >= c->next_trial);
    } else if (c->mode == SPIN_AUTO) {
        c->crowded = waited_percent >= direct_policy.spin_others_percent ? c->crowded + 1 : 0;
        if (c->crowded >= direct_policy.spin_crowded) {
            give_up(c, now, "somebody else wants the CPU");
        } else if (ns_of(event_cycles) > c->took.sleep * direct_policy.spin_wait_trips) {
            give_up(c, now, "events are far apart");
        } else if (is_too_dear(&c->took, met, missed)) {
            give_up(c, now, "waits outlast it");
        } else {
            c->wait_ms = MAX(c->wait_ms / 2, direct_policy.spin_wait_ms);
        }
    }
}

/*
 * How long this thread was ready to run while others had the CPU, in ns so far; false: the host does not tell.  How often says little: every host
 * has threads that run for some microseconds.
 */
static bool waited_ns(SpinControl *c, uint64_t *ns)
{
    char text[96] = "";
    uint64_t ran;

    if (c->schedstat < 0) {
        c->schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    }
    return c->schedstat >= 0 && pread(c->schedstat, text, sizeof text - 1, 0) > 0 &&
           sscanf(text, "%" SCNu64 " %" SCNu64, &ran, ns) == 2;
}

/* Of the time since the window began. */
static unsigned waited_percent(SpinControl *c, uint64_t now)
{
    uint64_t ns = 0;

    return waited_ns(c, &ns) ? (unsigned)((ns - c->waited_ns) * 100 / MAX(ns_of(now - c->began), 1)) : 100;
}

static void begin_window(DirectCpu *dc, uint64_t now)
{
    SpinControl *c = &dc->spin;

    c->began = now;
    c->events = 0;
    c->met = c->missed = 0;
    c->waited_ns = 0;
    if (c->looks != 0) {
        waited_ns(c, &c->waited_ns);
    }
}

/* Nobody need see the end of a window whose waits all end asleep: who computes has few of them. */
static bool is_in_vain(const SpinControl *c)
{
    return c->met == 0 && c->missed >= direct_policy.spin_vain;
}

void spin_event(DirectCpu *dc)
{
    SpinControl *c = &dc->spin;
    uint64_t now;

    if (c->mode == SPIN_OFF || (++c->events < direct_policy.spin_events && !is_in_vain(c))) {
        return;
    }
    now = __rdtsc();
    if (c->began != 0) {
        spin_judge(c, now, (now - c->began) / c->events, c->met, c->missed, c->looks != 0 ? waited_percent(c, now) : 0);
    }
    begin_window(dc, now);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* The median of some round trips' wall time, in ns; 0: the world broke. */
static uint64_t time_trips(DirectCpu *dc, World *w, unsigned looks)
{
    enum { TRIPS = 7 };
    uint64_t ns[TRIPS + 1];

    for (unsigned i = 0; i <= TRIPS; i++) { /* the first moves it to its CPU */
        ns[i] = __rdtsc();
        if (!state_to_world(dc, w) || !world_idle_trip(w, looks)) {
            return 0;
        }
        ns[i] = ns_of(__rdtsc() - ns[i]);
    }
    qsort(ns + 1, TRIPS, sizeof *ns, by_size);
    return MAX(ns[1 + TRIPS / 2], 1);
}

/* How often one can look within so many ns. */
static unsigned looks_within(uint64_t ns)
{
    enum { SOME = 64 };
    uint64_t cycles = __rdtsc();

    for (unsigned i = 0; i < SOME; i++) {
        __builtin_ia32_pause();
    }
    return (unsigned)MIN(ns * SOME / (ns_of(__rdtsc() - cycles) + 1) + 1, 1 << 20);
}

bool spin_trial(DirectCpu *dc, World *w)
{
    SpinControl *c = &dc->spin;
    SpinTimes t = {0};
    unsigned looks;

    if (!c->trial_is_due) {
        return true;
    }
    dc->stats.spin_trials++;
    t.sleep = time_trips(dc, w, 0);
    looks = looks_within(t.sleep * direct_policy.spin_wait_trips);
    t.wake = t.sleep != 0 ? time_trips(dc, w, 1) : 0;
    t.spin = t.wake != 0 ? time_trips(dc, w, looks) : 0;
    spin_judge_trial(c, __rdtsc(), t, looks);
    dc->stats.spin_won += c->looks != 0;
    begin_window(dc, __rdtsc());
    return t.spin != 0;
}
