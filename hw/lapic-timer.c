/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC's timer (SDM 3A 11.5.4). */
#include "hw/lapic-internal.h"

#include <glib.h>

/* A guest's periodic timer wakes the host no more often than this; ticks between are coalesced. */
#define PERIOD_FLOOR_NS (20 * NS_PER_US)

bool lapic_timer_in_deadline_mode(const Lapic *l)
{
    return l->lvt[LAPIC_LVT_TIMER] & LVT_TIMER_DEADLINE;
}

static bool periodic_mode(const Lapic *l)
{
    return (l->lvt[LAPIC_LVT_TIMER] & (LVT_TIMER_PERIODIC | LVT_TIMER_DEADLINE)) ==
           LVT_TIMER_PERIODIC;
}

/* Nanoseconds a count: the divider is bits 3, 1, 0; 111 divides by 1. */
static uint64_t count_ns(const Lapic *l)
{
    unsigned code = (l->divide & 3) | (l->divide & 8) >> 1;
    return UINT64_C(1) << ((code + 1) & 7);
}

uint32_t lapic_timer_count(const Lapic *l)
{
    uint64_t period = l->initial_count;

    if (lapic_timer_in_deadline_mode(l) || period == 0) {
        return 0;
    }
    uint64_t done = (timer_now(&l->timer) - l->count_start_ns) / count_ns(l);
    if (periodic_mode(l)) {
        return period - done % period;
    }
    return done < period ? period - done : 0;
}

/* `now` is what the caller took count_start_ns from, if it did: a short count that runs out between two looks at
 * the clock is to be seen. */
static void arm_count(Lapic *l, uint64_t now)
{
    uint64_t period_ns = l->initial_count * count_ns(l);
    uint64_t at = l->count_start_ns + period_ns;

    if (period_ns == 0 || (!periodic_mode(l) && at <= now)) {
        timer_cancel(&l->timer);
        return;
    }
    if (at <= now) {
        uint64_t earliest = MAX(period_ns, PERIOD_FLOOR_NS) - period_ns + now;
        at = l->count_start_ns + ((earliest - l->count_start_ns) / period_ns + 1) * period_ns;
    }
    timer_set(&l->timer, at);
}

static void arm_deadline(Lapic *l)
{
    uint64_t tsc = l->cfg.tsc_now(l->cfg.tsc_arg);

    if (l->deadline == 0) {
        timer_cancel(&l->timer);
    } else if (l->deadline <= tsc) {
        timer_cancel(&l->timer);
        l->deadline = 0;
        lapic_raise_lvt(&l->dev, LAPIC_LVT_TIMER);
    } else {
        /* Rounded up; a century ahead is as good as never. */
        uint64_t ns = muldiv64(MIN(l->deadline - tsc, UINT64_C(1) << 62), NS_PER_SEC,
                               *l->cfg.tsc_hz);
        timer_set(&l->timer, timer_now(&l->timer) + MIN(ns, UINT64_C(1) << 62) + 1);
    }
}

static void timer_fired(void *arg)
{
    Lapic *l = arg;

    if (lapic_timer_in_deadline_mode(l)) {
        arm_deadline(l);
        return;
    }
    if (periodic_mode(l)) {
        arm_count(l, timer_now(&l->timer));
    }
    lapic_raise_lvt(&l->dev, LAPIC_LVT_TIMER);
}

void lapic_tsc_changed(Device *d)
{
    Lapic *l = (Lapic *)d;

    if (l->deadline != 0 && l->holder == NULL) {
        arm_deadline(l);
    }
}

void lapic_timer_write_lvt(Lapic *l, uint32_t val)
{
    uint32_t *lvt = &l->lvt[LAPIC_LVT_TIMER];
    bool was_deadline = lapic_timer_in_deadline_mode(l);
    bool mode_changes = (*lvt ^ val) & (LVT_TIMER_PERIODIC | LVT_TIMER_DEADLINE);

    *lvt = val;
    if (was_deadline != lapic_timer_in_deadline_mode(l)) {
        /* A change to or from TSC-deadline mode disarms the timer. */
        l->deadline = 0;
        l->initial_count = 0;
        timer_cancel(&l->timer);
    } else if (mode_changes) {
        arm_count(l, timer_now(&l->timer));
    }
}

void lapic_timer_write_initial(Lapic *l, uint32_t val)
{
    if (lapic_timer_in_deadline_mode(l)) {
        return;
    }
    l->initial_count = val;
    l->count_start_ns = timer_now(&l->timer);
    arm_count(l, l->count_start_ns);
}

void lapic_timer_write_divide(Lapic *l, uint32_t val)
{
    uint32_t left = lapic_timer_count(l);
    bool running = timer_armed(&l->timer) && !lapic_timer_in_deadline_mode(l);

    l->divide = val & 0xb;
    if (running) {
        /* The count goes on from where it is, at the new pace; it has not come to its end. */
        uint64_t now = timer_now(&l->timer);

        l->count_start_ns = now - MIN((l->initial_count - MAX(left, 1)) * count_ns(l), now);
        arm_count(l, now);
    }
}

void lapic_timer_write_deadline(Lapic *l, uint64_t val)
{
    l->deadline = val;
    arm_deadline(l);
}

void lapic_timer_resume(Lapic *l, uint32_t current, uint64_t deadline)
{
    uint64_t now = timer_now(&l->timer), done = MIN(l->initial_count - MIN(current, l->initial_count), UINT32_MAX);

    timer_cancel(&l->timer);
    l->count_start_ns = now - MIN(done * count_ns(l), now);
    l->deadline = lapic_timer_in_deadline_mode(l) ? deadline : 0;
    if (l->deadline != 0) {
        arm_deadline(l);
    } else if (current != 0) {
        arm_count(l, now);
    }
}

void lapic_timer_init(Lapic *l)
{
    timer_init(&l->timer, l->cfg.timers, timer_fired, l);
}
