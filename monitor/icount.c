/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/icount.h"

#include "cpu-x86/interp.h"
#include "monitor/run-loop.h"

struct Icount {
    Clock clock;
    CpuState *cpu;             /* NULL: not made yet, time stands at 0 */
    unsigned shift;
    uint64_t jumped_ns;        /* over halts (atomic) */
};

static uint64_t now_ns(Clock *c)
{
    const Icount *i = (const Icount *)c;
    uint64_t insns;

    if (i->cpu == NULL) {
        return 0;
    }
    insns = run_loop_current_cpu() == i->cpu ? interp_insns(i->cpu) : __atomic_load_n(&i->cpu->insns, __ATOMIC_RELAXED);
    return __atomic_load_n(&i->jumped_ns, __ATOMIC_RELAXED) + (insns << i->shift);
}

Icount *icount_new(unsigned shift)
{
    Icount *i = g_new0(Icount, 1);

    i->clock.now_ns = now_ns;
    i->shift = shift;
    return i;
}

void icount_free(Icount *i)
{
    g_free(i);
}

Clock *icount_clock(Icount *i)
{
    return &i->clock;
}

static uint64_t tsc_now(void *arg)
{
    return clock_now(arg);
}

void icount_attach(Icount *i, CpuState *cpu)
{
    i->cpu = cpu;
    cpu->exact = true;
    cpu->tsc_now = tsc_now;
    cpu->tsc_arg = &i->clock;
    cpu->tsc_hz = NS_PER_SEC;
}

uint64_t icount_budget(Icount *i, TimerQueue *q, uint64_t most)
{
    uint64_t next = timer_queue_run(q), now = clock_now(&i->clock);

    timer_queue_sleep(q, TIMER_NEVER);
    return next == TIMER_NEVER ? most
           : next <= now       ? 1
                               : MIN(most, (next - now + (UINT64_C(1) << i->shift) - 1) >> i->shift);
}

bool icount_jump(Icount *i, TimerQueue *q)
{
    uint64_t next = timer_queue_next(q), now = clock_now(&i->clock);

    if (next == TIMER_NEVER) {
        return false;
    }
    __atomic_fetch_add(&i->jumped_ns, next > now ? next - now : 0, __ATOMIC_RELAXED);
    timer_queue_run(q);
    return true;
}

void icount_wake(Icount *i)
{
    if (i->cpu != NULL) {
        cpu_request(i->cpu, CPU_REQ_KICK);
    }
}
