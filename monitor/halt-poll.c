/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/halt-poll.h"

#include "softmmu/base/clock.h"

#include <sched.h>
#include <x86intrin.h>

/* A sleep and its end take some 25 to 60 us of each side, 100 where host CPUs are virtual.  Watching for longer than
 * some times that makes little faster. */
#define LONGEST_NS (500 * NS_PER_US)
#define SHORTEST_NS (10 * NS_PER_US)
/* The host's scheduler is asked so often whether somebody waits. */
#define YIELD_NS (10 * NS_PER_US)
/* Time of ours that is missing: somebody else had the CPU, of our host or, unseen, of the host's host.  A yield with nobody waiting
 * takes one or two us. */
#define GONE_NS (40 * NS_PER_US)
#define HOLD_OFF_NS (2 * NS_PER_MS)
/* Between looks at the clock; and so often nobody may be running before we believe it: who was woken counts itself
 * when its thread has noticed. */
enum { LOOKS = 16, DESERTED = 4 };

void halt_pollers_init(HaltPollers *s, CpuState *const *cpus, unsigned n_cpus, bool enabled)
{
    cpu_set_t set;

    *s = (HaltPollers){.enabled = enabled, .cpus = cpus, .n_cpus = n_cpus, .n_running = n_cpus, .host_cpus = 1};
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        s->host_cpus = (unsigned)CPU_COUNT(&set);
    }
}

uint64_t halt_poll_now(const CpuState *cpu)
{
    return muldiv64(__rdtsc(), NS_PER_SEC, cpu->tsc_hz);
}

/* CPUs that run, or will when the host has woken their threads, which may take as long as a halt that is watched: who went
 * to sleep meanwhile would have to be woken too, and so each other by turns for ever. */
static unsigned count_running(const HaltPollers *s)
{
    unsigned n = __atomic_load_n(&s->n_running, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < s->n_cpus && n == 0; i++) {
        n += cpu_requests(s->cpus[i]) != 0;
    }
    return n;
}

static bool has_room(HaltPollers *s)
{
    unsigned running = count_running(s);

    return running > 0 && running + __atomic_load_n(&s->n_watching, __ATOMIC_RELAXED) <= s->host_cpus;
}

static bool ended(const CpuState *cpu)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        if (cpu_must_wake(cpu)) {
            return true;
        }
        _mm_pause();
    }
    return false;
}

static HaltWatch watch(const HaltPoll *p, HaltPollers *s, const CpuState *cpu)
{
    uint64_t begin = halt_poll_now(cpu), last = begin, yielded = begin;
    long preempted = -1;           /* not known: most halts are over before it matters, and asking takes as long as an interrupt */
    unsigned deserted = 0;

    for (;;) {
        uint64_t now;

        if (ended(cpu)) {
            return HALT_ENDED;
        }
        deserted = has_room(s) ? 0 : deserted + 1;
        if (deserted >= DESERTED) {
            return HALT_GOES_ON;
        }
        now = halt_poll_now(cpu);
        if (now - last > GONE_NS && preempted >= 0 && clock_thread_preemptions() != preempted) {
            return HALT_HOST_BUSY;
        }
        if (now - begin > p->ns) {
            return HALT_GOES_ON;
        }
        last = now;
        if (now - yielded > YIELD_NS) {
            preempted = preempted < 0 ? clock_thread_preemptions() : preempted;
            yielded = now;
            sched_yield();
        }
    }
}

HaltWatch halt_poll(const HaltPoll *p, HaltPollers *s, const CpuState *cpu)
{
    HaltWatch how;

    if (!s->enabled || p->ns == 0 || cpu->activity != CPU_HALTED) {
        return HALT_NOT_WATCHED;
    }
    __atomic_add_fetch(&s->n_watching, 1, __ATOMIC_RELAXED);
    how = watch(p, s, cpu);
    __atomic_sub_fetch(&s->n_watching, 1, __ATOMIC_RELAXED);
    return how;
}

void halt_poll_learn(HaltPoll *p, HaltWatch how, uint64_t halt_ns, uint64_t now_ns)
{
    if (how == HALT_HOST_BUSY) {
        p->ns = 0;
        p->not_before_ns = now_ns + HOLD_OFF_NS;
    } else if (how != HALT_ENDED && halt_ns > LONGEST_NS) {
        p->ns = p->ns < 2 * SHORTEST_NS ? 0 : p->ns / 2;
    } else if (how != HALT_ENDED && now_ns >= p->not_before_ns) {
        p->ns = MAX(p->ns, MIN(halt_ns + halt_ns / 2, LONGEST_NS)); /* the next is as long */
    }
}
