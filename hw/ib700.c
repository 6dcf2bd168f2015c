/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/ib700.h"

#include "softmmu/base/bits.h"

#include <glib.h>

typedef struct {
    Device dev;
    Timer timer;
    void (*expired)(void *arg);
    void *arg;
} Ib700;

static uint64_t port_read(void *arg, uint64_t off, unsigned size)
{
    return 0xff;
}

static void port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Ib700 *w = arg;

    if (off == IB700_START) {
        timer_set(&w->timer, timer_now(&w->timer) + (30 - 2 * (val & 15)) * NS_PER_SEC);
    } else if (off == IB700_STOP) {
        timer_cancel(&w->timer);
    }
}

static void fired(void *arg)
{
    Ib700 *w = arg;

    w->expired(w->arg);
}

static void reset(Device *d)
{
    timer_cancel(&((Ib700 *)d)->timer);
}

static void destroy(Device *d)
{
    reset(d);
    g_free(d);
}

static const DeviceWindow windows[] = {{"ib700", WINDOW_PORT, 4, {port_read, port_write, 1}}};
static const Field ib700_fields[] = {
    FIELD_TIMER(Ib700, timer),
};
static const FieldTable ib700_state = {.version = 1, FIELDS(ib700_fields)};

static const DeviceClass ib700_class = {
    .name = "ib700", .help = "a watchdog",
    .windows = windows, .n_windows = ARRAY_LEN(windows), .reset = reset, .destroy = destroy,
    .state = &ib700_state,
};

Device *ib700_new(TimerQueue *timers, void (*expired)(void *arg), void *arg)
{
    Ib700 *w = g_new0(Ib700, 1);

    w->dev.cls = &ib700_class;
    w->expired = expired;
    w->arg = arg;
    timer_init(&w->timer, timers, fired, w);
    return &w->dev;
}
