/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/base/timer.h"

#include <glib.h>

void timer_queue_init(TimerQueue *q, Clock *clock, void (*wake)(void *arg), void *wake_arg)
{
    *q = (TimerQueue){.clock = clock, .wake = wake, .wake_arg = wake_arg,
                      .asleep_until = TIMER_NEVER};
}

uint64_t timer_queue_next(const TimerQueue *q)
{
    return q->first != NULL ? q->first->at_ns : TIMER_NEVER;
}

/* A timer set by the guest's clock, converted twice, is as much too early, which is not worth waking a thread for. */
enum { EARLY_NS = 4000 };
/* Nothing is expected further away: other timers come meanwhile. */
enum { EXPECTED_MAX_NS = 10 * 1000 * 1000 };

uint64_t timer_queue_sleep(TimerQueue *q, uint64_t at_latest)
{
    uint64_t now = clock_now(q->clock), next = timer_queue_next(q);

    if (at_latest != TIMER_NEVER && q->expected > now && q->expected < now + EXPECTED_MAX_NS) {
        q->asleep_until = MIN(next, q->expected - MIN(q->expected, EARLY_NS));
        return MIN(next, q->expected);
    }
    q->asleep_until = MIN(next, at_latest);
    return q->asleep_until;
}

/* It fires.  As long after the last time as that was after the one before? */
static void note_interval(Timer *t)
{
    uint64_t interval = t->at_ns - t->fired_at;
    uint64_t off = interval > t->interval ? interval - t->interval : t->interval - interval;

    if (off <= interval / 128) {
        t->queue->expected = MIN(t->queue->expected, t->at_ns + interval);
    }
    t->fired_at = t->at_ns;
    t->interval = interval;
}

static void unlink_timer(Timer *t)
{
    for (Timer **p = &t->queue->first; *p != NULL; p = &(*p)->next) {
        if (*p == t) {
            *p = t->next;
            break;
        }
    }
    t->next = NULL;
    t->at_ns = TIMER_NEVER;
}

uint64_t timer_queue_run(TimerQueue *q)
{
    uint64_t now = clock_now(q->clock);

    q->expected = q->expected > now ? q->expected : TIMER_NEVER;
    while (q->first != NULL && q->first->at_ns <= now) {
        Timer *t = q->first;
        note_interval(t);
        unlink_timer(t);
        t->fire(t->arg);
    }
    return timer_queue_next(q);
}

void timer_init(Timer *t, TimerQueue *q, void (*fire)(void *arg), void *arg)
{
    g_assert(q != NULL && fire != NULL);
    *t = (Timer){.queue = q, .fire = fire, .arg = arg, .at_ns = TIMER_NEVER};
}

void timer_cancel(Timer *t)
{
    if (timer_armed(t)) {
        unlink_timer(t);
    }
}

void timer_set(Timer *t, uint64_t at_ns)
{
    TimerQueue *q = t->queue;
    Timer **p = &q->first;

    timer_cancel(t);
    if (at_ns == TIMER_NEVER) {
        return;
    }
    while (*p != NULL && (*p)->at_ns <= at_ns) {
        p = &(*p)->next;
    }
    t->at_ns = at_ns;
    t->next = *p;
    *p = t;
    if (at_ns < q->asleep_until && q->wake != NULL) {
        q->asleep_until = at_ns;
        q->wake(q->wake_arg);
    }
}
