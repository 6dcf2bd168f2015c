/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IA-PC HPET specification 1.0a. */
#include "hw/hpet.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

enum {
    REG_CAPS = 0x000, REG_CONFIG = 0x010, REG_STATUS = 0x020, REG_COUNTER = 0x0f0,
    REG_TIMERS = 0x100, TIMER_STRIDE = 0x20, REG_TIMER_CONFIG = 0x00, REG_TIMER_COMPARATOR = 0x08,
};

/* 10 ns in femtoseconds, Intel, legacy capable, 64 bit, three timers, revision 1. */
#define CAPS (UINT64_C(10000000) << 32 | 0x80860000u | BIT(15) | BIT(13) |                         \
              (HPET_N_TIMERS - 1) << 8 | 1)

enum { CONFIG_ENABLE = 1, CONFIG_LEGACY = 2 };

#define T_LEVEL BIT64(1)
#define T_ENABLE BIT64(2)
#define T_PERIODIC BIT64(3)
#define T_PERIODIC_CAP BIT64(4)
#define T_SIZE_CAP BIT64(5)
#define T_VALUE_SET BIT64(6)
#define T_32BIT BIT64(8)
#define T_ROUTE_SHIFT 9
#define T_WRITABLE UINT64_C(0x3f4e)       /* 0x3f4e: level, enable, periodic, set, 32 bit, route */

/* A comparator wakes the host no more often than this. */
#define PERIOD_FLOOR_TICKS (20 * NS_PER_US / HPET_NS_PER_TICK)

typedef struct Hpet Hpet;

typedef struct {
    Hpet *hpet;
    unsigned n;

    uint64_t config;          /* without the read-only bits            */
    uint64_t comparator, period;
    bool line;                /* our last level on the routed line     */
    unsigned line_pin;

    uint64_t due_ns;          /* of the next match, TIMER_NEVER: none is to come */
    Timer timer;              /* runs only while somebody would see the match    */
} Comparator;

struct Hpet {
    Device dev;
    HpetConfig cfg;

    uint64_t config, status;
    uint64_t counter;         /* at count_start_ns (running), or where it stands */
    uint64_t count_start_ns;
    Comparator t[HPET_N_TIMERS];
};

/* -- Counting ----------------------------------------------------------------------------------- */

static bool is_running(const Hpet *h)
{
    return h->config & CONFIG_ENABLE;
}

static uint64_t counter_now(const Hpet *h)
{
    if (!is_running(h)) {
        return h->counter;
    }
    return h->counter + (timer_now(&h->t[0].timer) - h->count_start_ns) / HPET_NS_PER_TICK;
}

static uint64_t width_mask(const Comparator *t)
{
    return t->config & T_32BIT ? UINT32_MAX : UINT64_MAX;
}

/* A match makes an interrupt or, with level-triggered ones, a status bit that is not set yet.  Linux leaves a comparator
 * periodic with its interrupt off: what happened there is found out when a register is accessed (settle()). */
static bool is_watched(const Comparator *t)
{
    return (t->config & T_ENABLE) && (!(t->config & T_LEVEL) || !(t->hpet->status & BIT(t->n)));
}

static void follow(Comparator *t)
{
    timer_set(&t->timer, is_watched(t) ? t->due_ns : TIMER_NEVER);
}

/* The next match is in `distance` ticks. */
static void arm_in(Comparator *t, uint64_t distance)
{
    Hpet *h = t->hpet;
    uint64_t now = timer_now(&t->timer);
    uint64_t into_tick = (now - h->count_start_ns) % HPET_NS_PER_TICK;

    if (distance > (UINT64_MAX - now) / HPET_NS_PER_TICK - 1) {
        t->due_ns = TIMER_NEVER;   /* centuries */
    } else {
        t->due_ns = now - into_tick + distance * HPET_NS_PER_TICK;
    }
    follow(t);
}

/* The comparator, its mode or the counter was set. */
static void rearm(Comparator *t)
{
    if (!is_running(t->hpet)) {
        t->due_ns = TIMER_NEVER;
        follow(t);
        return;
    }
    arm_in(t, (t->comparator - counter_now(t->hpet)) & width_mask(t));
}

static void rearm_all(Hpet *h)
{
    for (unsigned n = 0; n < HPET_N_TIMERS; n++) {
        rearm(&h->t[n]);
    }
}

/* -- Interrupts --------------------------------------------------------------------------------- */

static void drive(Comparator *t, unsigned pin, int level)
{
    Hpet *h = t->hpet;

    if ((h->config & CONFIG_LEGACY) && t->n < 2) {
        irq_set(t->n == 0 ? &h->cfg.legacy_irq0 : &h->cfg.legacy_irq8, level);
    } else if (h->cfg.set_pin != NULL && (h->cfg.routes & BIT(pin))) {
        h->cfg.set_pin(h->cfg.arg, pin, level);
    }
}

static void set_line(Comparator *t, bool level)
{
    if (level != t->line) {
        t->line = level;
        t->line_pin = level ? bits_get(t->config, T_ROUTE_SHIFT, 5) : t->line_pin;
        drive(t, t->line_pin, level);
    }
}

static void update_line(Comparator *t)
{
    bool pending = t->hpet->status & BIT(t->n);
    set_line(t, pending && (t->config & T_ENABLE) && (t->config & T_LEVEL));
}

/* The match that was due, and all others until now. */
static void match(void *arg)
{
    Comparator *t = arg;
    Hpet *h = t->hpet;
    uint64_t now = counter_now(h), mask = width_mask(t), period = t->period & mask;

    t->due_ns = TIMER_NEVER;
    follow(t);
    if ((t->config & T_PERIODIC) && period != 0) {
        uint64_t late = (now - t->comparator) & mask;
        uint64_t skip = period < PERIOD_FLOOR_TICKS ? PERIOD_FLOOR_TICKS : 0;
        t->comparator = (t->comparator + ((late + skip) / period + 1) * period) & mask;
        arm_in(t, (t->comparator - now) & mask);
    } else if (mask == UINT32_MAX) {
        arm_in(t, ((t->comparator - now - 1) & mask) + 1);   /* again when the counter comes round */
    }
    if (t->config & T_LEVEL) {
        h->status |= BIT(t->n);
        update_line(t);
        follow(t);
    } else if (t->config & T_ENABLE) {
        unsigned pin = bits_get(t->config, T_ROUTE_SHIFT, 5);
        drive(t, pin, 1);
        drive(t, pin, 0);
    }
}

/* Matches up to now have happened, those too that were not followed. */
static void settle(Hpet *h)
{
    for (unsigned n = 0; n < HPET_N_TIMERS; n++) {
        if (h->t[n].due_ns <= timer_now(&h->t[n].timer)) {
            match(&h->t[n]);
        }
    }
}

/* -- Registers ---------------------------------------------------------------------------------- */

static void write_config(Hpet *h, uint64_t val)
{
    uint64_t old = h->config, now = counter_now(h);

    if ((val ^ old) & CONFIG_LEGACY) {
        for (unsigned n = 0; n < HPET_N_TIMERS; n++) {
            set_line(&h->t[n], false);
        }
    }
    h->config = val & (CONFIG_ENABLE | CONFIG_LEGACY);
    h->counter = now;
    h->count_start_ns = timer_now(&h->t[0].timer);
    if ((val ^ old) & CONFIG_LEGACY) {
        irq_set(&h->cfg.legacy_mode, (h->config & CONFIG_LEGACY) != 0);
        for (unsigned n = 0; n < HPET_N_TIMERS; n++) {
            update_line(&h->t[n]);
        }
    }
    rearm_all(h);
}

static void write_comparator(Comparator *t, uint64_t val)
{
    /* In periodic mode a write sets the period; the next match only after VAL_SET (2.3.9.2.2). */
    if (!(t->config & T_PERIODIC) || (t->config & T_VALUE_SET)) {
        t->comparator = val & width_mask(t);
    }
    if (t->config & T_PERIODIC) {
        t->period = val;
    }
    t->config &= ~T_VALUE_SET;
    rearm(t);
}

static void write_timer_config(Comparator *t, uint64_t val)
{
    set_line(t, false);
    t->config = val & T_WRITABLE;
    if (t->config & T_32BIT) {
        t->comparator = (uint32_t)t->comparator;
    }
    if (!(t->config & T_LEVEL)) {
        t->hpet->status &= ~(uint64_t)BIT(t->n);
    }
    update_line(t);
    rearm(t);
}

/* The comparator that `off` belongs to, or NULL. */
static Comparator *comparator_at(Hpet *h, uint64_t off)
{
    uint64_t n = (off - REG_TIMERS) / TIMER_STRIDE;
    return off >= REG_TIMERS && n < HPET_N_TIMERS ? &h->t[n] : NULL;
}

static uint64_t read_register(Hpet *h, uint64_t off)
{
    const Comparator *t = comparator_at(h, off);

    if (t != NULL) {
        switch (off % TIMER_STRIDE) {
        case REG_TIMER_CONFIG:
            return t->config | T_PERIODIC_CAP | T_SIZE_CAP | (uint64_t)h->cfg.routes << 32;
        case REG_TIMER_COMPARATOR:
            return t->comparator;
        }
        return 0;
    }
    switch (off) {
    case REG_CAPS:
        return CAPS;
    case REG_CONFIG:
        return h->config;
    case REG_STATUS:
        return h->status;
    case REG_COUNTER:
        return counter_now(h);
    }
    return 0;
}

static void write_register(Hpet *h, uint64_t off, uint64_t val)
{
    Comparator *t = comparator_at(h, off);

    if (t != NULL) {
        if (off % TIMER_STRIDE == REG_TIMER_CONFIG) {
            write_timer_config(t, val);
        } else if (off % TIMER_STRIDE == REG_TIMER_COMPARATOR) {
            write_comparator(t, val);
        }
        return;
    }
    switch (off) {
    case REG_CONFIG:
        write_config(h, val);
        break;
    case REG_STATUS:
        h->status &= ~val;
        for (unsigned n = 0; n < HPET_N_TIMERS; n++) {
            update_line(&h->t[n]);
            follow(&h->t[n]);
        }
        break;
    case REG_COUNTER:
        h->counter = val;
        h->count_start_ns = timer_now(&h->t[0].timer);
        rearm_all(h);
        break;
    }
}

static uint64_t mmio_read(void *arg, uint64_t off, unsigned size)
{
    settle(arg);
    return read_register(arg, off & ~7ull) >> ((off & 7) * 8);
}

static void mmio_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Hpet *h = arg;
    uint64_t reg = off & ~7ull;

    trace(hpet_write, "reg=0x%x size=%u val=0x%llx", (unsigned)off, size, (unsigned long long)val);
    if (size < 4) {
        log_guest_error("hpet: write of %u bytes to offset %#x", size, (unsigned)off);
        return;
    }
    settle(h);
    if (size == 4) {
        /* The other half stays; for bits cleared by ones that is zero. */
        uint64_t other = reg == REG_STATUS ? 0 : read_register(h, reg);
        Comparator *t = comparator_at(h, reg);
        if (t != NULL && reg % TIMER_STRIDE == REG_TIMER_COMPARATOR &&
            (t->config & T_PERIODIC) && !(t->config & T_VALUE_SET)) {
            other = t->period;
        }
        val = bits_put(other, (off & 4) * 8, 32, val);
    }
    write_register(h, reg, val);
}

/* -- Device ------------------------------------------------------------------------------------- */

static void reset(Device *d)
{
    Hpet *h = (Hpet *)d;

    for (unsigned n = 0; n < HPET_N_TIMERS; n++) {
        Comparator *t = &h->t[n];
        timer_cancel(&t->timer);
        t->due_ns = TIMER_NEVER;
        set_line(t, false);
        t->config = t->period = 0;
        t->comparator = UINT64_MAX;
    }
    h->config = h->status = h->counter = h->count_start_ns = 0;
    irq_set(&h->cfg.legacy_mode, 0);
}

static void destroy(Device *d)
{
    Hpet *h = (Hpet *)d;

    for (unsigned n = 0; n < HPET_N_TIMERS; n++) {
        timer_cancel(&h->t[n].timer);
    }
    g_free(h);
}

static const DeviceWindow windows[] = {
    {"hpet", WINDOW_MMIO, HPET_LEN, {mmio_read, mmio_write, 8}},
};

static bool hpet_loaded(void *state, GError **error)
{
    Hpet *h = state;

    h->count_start_ns = MIN(h->count_start_ns, timer_now(&h->t[0].timer));
    return true;
}

static const Field comparator_fields[] = {
    FIELD(Comparator, config), FIELD(Comparator, comparator), FIELD(Comparator, period), FIELD(Comparator, line),
    FIELD_MAX(Comparator, line_pin, 31), FIELD(Comparator, due_ns), FIELD_TIMER(Comparator, timer),
};
static const FieldTable comparator_state = {.version = 1, FIELDS(comparator_fields)};

static const Field hpet_fields[] = {
    FIELD(Hpet, config), FIELD(Hpet, status), FIELD(Hpet, counter), FIELD(Hpet, count_start_ns),
    FIELD_ARRAY(Hpet, t, comparator_state),
};
static const FieldTable hpet_state = {.version = 1, FIELDS(hpet_fields), .loaded = hpet_loaded};

static const DeviceClass hpet_class = {
    .name = "hpet",
    .help = "high precision event timer",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .reset = reset,
    .destroy = destroy,
    .state = &hpet_state,
};

Device *hpet_new(const HpetConfig *cfg)
{
    Hpet *h = g_new0(Hpet, 1);

    h->dev.cls = &hpet_class;
    h->cfg = *cfg;
    for (unsigned n = 0; n < HPET_N_TIMERS; n++) {
        h->t[n].hpet = h;
        h->t[n].n = n;
        timer_init(&h->t[n].timer, cfg->timers, match, &h->t[n]);
    }
    reset(&h->dev);
    return &h->dev;
}
