/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Test doubles every device test shares: time that moves when told to, and an interrupt line that
 * remembers. */
#ifndef TESTS_FAKE_H
#define TESTS_FAKE_H

#include "hw/irq.h"
#include "softmmu/base/clock.h"
#include "softmmu/base/timer.h"

typedef struct {
    Clock clock;
    uint64_t ns;
    uint64_t step;             /* ns that pass at each look, as on a crowded host */
    TimerQueue timers;
} FakeClock;

typedef struct {
    int level;
    unsigned rises;
    unsigned line;
} FakeIrq;

static inline uint64_t fake_now(Clock *c)
{
    FakeClock *f = (FakeClock *)c;

    f->ns += f->step;
    return f->ns;
}

static inline void fake_irq_set(void *arg, unsigned line, int level)
{
    FakeIrq *f = arg;

    f->rises += level && !f->level;
    f->level = level;
    f->line = line;
}

static inline void fake_clock_init(FakeClock *f)
{
    *f = (FakeClock){.clock = {fake_now}};
    timer_queue_init(&f->timers, &f->clock, NULL, NULL);
}

/* Move time to `ns`, stopping at each deadline on the way to run what is due. */
static inline void fake_clock_go(FakeClock *f, uint64_t ns)
{
    while (timer_queue_next(&f->timers) <= ns) {
        uint64_t at = timer_queue_next(&f->timers);
        f->ns = at > f->ns ? at : f->ns;
        timer_queue_run(&f->timers);
    }
    f->ns = ns;
}

#define FAKE_IRQ_LINE(f) ((IrqLine){.set = fake_irq_set, .arg = (f)})

#endif /* TESTS_FAKE_H */
