/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 82C54 data sheet (Intel 231244). */
#include "hw/pit.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

enum { N_CHANNELS = 3, ACCESS_LATCH = 0, ACCESS_LOW = 1, ACCESS_HIGH = 2, ACCESS_BOTH = 3 };

/* Port 0x61. */
enum { P61_GATE2 = 0x01, P61_SPEAKER = 0x02, P61_WRITABLE = 0x0f, P61_REFRESH = 0x10, P61_OUT2 = 0x20 };
enum { REFRESH_TICKS = 18 };

/* Channel 0 interrupts the host no more often than this. */
#define PERIOD_FLOOR_NS (20 * NS_PER_US)

typedef struct {
    uint8_t mode, access;
    bool bcd;
    bool programmed;          /* a control word was written since the reset    */
    bool loaded;              /* a count was written since the mode was        */
    bool triggered;           /* modes 1, 5: the gate rose since               */
    bool gate;
    uint32_t reload;          /* 1..65536                                      */
    uint64_t start;           /* tick at which `reload` was in the counter     */
    uint64_t held;            /* ticks done when the gate fell                 */
    uint8_t write_low;
    bool write_high_next, read_high_next;
    uint8_t latched;          /* bytes of `latch` not read yet                 */
    uint16_t latch;
    bool status_latched;
    uint8_t status;
} Channel;

typedef struct {
    Device dev;
    IrqLine irq0;

    Channel ch[N_CHANNELS];
    uint8_t port61;
    bool irq_enabled;

    Timer timer;
    const IrqChipHolder *holder; /* who emulates it meanwhile; NULL: nobody */
} Pit;

/* -- Time --------------------------------------------------------------------------------------- */

static uint64_t tick_now(const Pit *p)
{
    return muldiv64(timer_now(&p->timer), PIT_HZ, NS_PER_SEC);
}

static uint64_t tick_to_ns(uint64_t tick)
{
    return muldiv64(tick, NS_PER_SEC, PIT_HZ) + 1;
}

static bool is_periodic(const Channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

static bool is_triggered(const Channel *c)
{
    return c->mode == 1 || c->mode == 5;
}

static bool is_counting(const Channel *c)
{
    return c->loaded && (is_triggered(c) ? c->triggered : c->gate);
}

/* Ticks since the counter held `reload`. */
static uint64_t elapsed(const Channel *c, uint64_t now)
{
    return is_counting(c) ? now - c->start : c->held;
}

static bool output(const Channel *c, uint64_t now)
{
    uint64_t e = elapsed(c, now);

    if (!c->loaded || (is_triggered(c) && !c->triggered)) {
        return c->mode != 0;
    }
    switch (c->mode) {
    case 0: case 1:
        return e >= c->reload;
    case 2:
        return !c->gate || e % c->reload != c->reload - 1;
    case 3:
        return !c->gate || e % c->reload < (c->reload + 1) / 2;
    default:
        return e != c->reload;
    }
}

static uint16_t counter(const Channel *c, uint64_t now)
{
    uint64_t e = elapsed(c, now);
    uint32_t modulus = c->bcd ? 10000 : 65536;
    uint32_t v;

    if (!c->loaded) {
        return 0;
    }
    if (c->mode == 2) {
        v = c->reload - e % c->reload;
    } else if (c->mode == 3) {
        /* Counts by two, twice a period; odd counts show their even value. */
        v = (c->reload & ~1u) - (2 * (e % c->reload)) % MAX(c->reload & ~1u, 2);
    } else {
        v = (c->reload + modulus - e % modulus) % modulus;
    }
    v %= modulus;
    if (c->bcd) {
        v = v / 1000 << 12 | v / 100 % 10 << 8 | v / 10 % 10 << 4 | v % 10;
    }
    return v;
}

/* -- Channel 0's interrupt ---------------------------------------------------------------------- */

static void set_irq(Pit *p, int level)
{
    irq_set(&p->irq0, level && p->irq_enabled && p->holder == NULL);
}

/* Arm for channel 0's next rising output after `now`, if anybody sees it: all else is computed when it is read. */
static void arm(Pit *p, uint64_t now)
{
    const Channel *c = &p->ch[0];

    if (!is_counting(c) || !p->irq_enabled || p->holder != NULL) {
        timer_cancel(&p->timer);
    } else if (is_periodic(c)) {
        uint64_t after = now;
        if (c->reload < PERIOD_FLOOR_NS * PIT_HZ / NS_PER_SEC) {
            after += PERIOD_FLOOR_NS * PIT_HZ / NS_PER_SEC;
        }
        timer_set(&p->timer, tick_to_ns(c->start + ((after - c->start) / c->reload + 1) *
                                                       c->reload));
    } else {
        /* One tick later in mode 4: the strobe's end. */
        uint64_t at = c->start + c->reload + (c->mode == 4);
        timer_set(&p->timer, at > now ? tick_to_ns(at) : TIMER_NEVER);
    }
}

static void timer_fired(void *arg)
{
    Pit *p = arg;

    set_irq(p, 0);
    set_irq(p, 1);
    arm(p, tick_now(p));
}

/* One `now` with what went before: a short count that ran out between two looks at the clock would be lost. */
static void channel_restarted(Pit *p, Channel *c, uint64_t now)
{
    if (c == &p->ch[0]) {
        set_irq(p, output(c, now));
        arm(p, now);
    }
}

/* Around an access to registers while another emulates them. */
static void fetch(Pit *p)
{
    IrqChips chips;

    if (p->holder != NULL) {
        p->holder->fetch(p->holder->arg, IRQ_CHIP_PIT, &chips);
        pit_import(&p->dev, &chips.pit);
    }
}

static void store(Pit *p)
{
    IrqChips chips;

    if (p->holder != NULL) {
        pit_export(&p->dev, &chips.pit);
        p->holder->store(p->holder->arg, IRQ_CHIP_PIT, &chips);
    }
}

void pit_set_irq_enabled(Device *d, bool enabled)
{
    Pit *p = (Pit *)d;
    uint64_t now;

    fetch(p);
    p->irq_enabled = enabled;
    store(p);
    now = tick_now(p);
    set_irq(p, p->ch[0].loaded && output(&p->ch[0], now));
    arm(p, now);
}

/* -- Registers ---------------------------------------------------------------------------------- */

static void load(Pit *p, Channel *c, uint16_t val)
{
    uint64_t now = tick_now(p);
    uint32_t n = val;

    if (c->bcd) {
        n = (val >> 12) * 1000 + (val >> 8 & 15) * 100 + (val >> 4 & 15) * 10 + (val & 15);
        c->reload = n != 0 ? n : 10000;
    } else {
        c->reload = n != 0 ? n : 65536;
    }
    c->loaded = true;
    c->held = 0;
    if (!is_triggered(c) || !c->triggered) {
        c->start = now;
    }
    channel_restarted(p, c, now);
}

static void latch_count(Pit *p, Channel *c)
{
    if (c->latched == 0) {
        c->latch = counter(c, tick_now(p));
        c->latched = c->access == ACCESS_BOTH ? 2 : 1;
        if (c->access == ACCESS_HIGH) {
            c->latch >>= 8;
        }
    }
}

static void latch_status(Pit *p, Channel *c)
{
    if (!c->status_latched) {
        c->status = output(c, tick_now(p)) << 7 | !c->loaded << 6 | c->access << 4 | c->mode << 1 |
                    c->bcd;
        c->status_latched = true;
    }
}

static void write_control(Pit *p, uint8_t val)
{
    unsigned n = val >> 6;

    if (n == 3) {             /* read-back command */
        for (unsigned i = 0; i < N_CHANNELS; i++) {
            if (val & (2 << i)) {
                if (!(val & 0x20)) {
                    latch_count(p, &p->ch[i]);
                }
                if (!(val & 0x10)) {
                    latch_status(p, &p->ch[i]);
                }
            }
        }
        return;
    }
    Channel *c = &p->ch[n];
    if ((val >> 4 & 3) == ACCESS_LATCH) {
        latch_count(p, c);
        return;
    }
    unsigned mode = val >> 1 & 7;
    *c = (Channel){.mode = mode > 5 ? mode - 4 : mode, .access = val >> 4 & 3, .bcd = val & 1, .programmed = true,
                   .gate = c->gate, .reload = 65536};
    channel_restarted(p, c, tick_now(p));
}

static void write_counter(Pit *p, unsigned off, uint8_t val)
{
    if (off == 3) {
        write_control(p, val);
        return;
    }
    Channel *c = &p->ch[off];
    switch (c->access) {
    case ACCESS_LOW:
        load(p, c, val);
        break;
    case ACCESS_HIGH:
        load(p, c, val << 8);
        break;
    case ACCESS_BOTH:
        if (c->write_high_next) {
            load(p, c, val << 8 | c->write_low);
        } else {
            c->write_low = val;
        }
        c->write_high_next = !c->write_high_next;
        break;
    }
}

static void counters_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Pit *p = arg;

    trace(pit_write, "reg=%u val=0x%02x", (unsigned)off, (unsigned)val);
    fetch(p);
    write_counter(p, (unsigned)off, (uint8_t)val);
    store(p);
}

static uint8_t read_counter(Pit *p, Channel *c)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    if (c->latched != 0) {
        uint8_t byte = c->latch;
        c->latch >>= 8;
        c->latched--;
        return byte;
    }
    uint16_t v = counter(c, tick_now(p));
    bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high_next);
    if (c->access == ACCESS_BOTH) {
        c->read_high_next = !c->read_high_next;
    }
    return high ? v >> 8 : v & 0xff;
}

static uint64_t counters_read(void *arg, uint64_t off, unsigned size)
{
    Pit *p = arg;
    uint64_t val;

    if (off == 3) {
        return 0xff;
    }
    fetch(p);
    val = read_counter(p, &p->ch[off]);
    store(p);
    return val;
}

static void set_gate(Pit *p, Channel *c, bool gate)
{
    uint64_t now = tick_now(p);

    if (gate == c->gate) {
        return;
    }
    c->held = gate ? c->held : elapsed(c, now);
    if (gate && is_triggered(c)) {
        c->triggered = true;
        c->start = now;
    } else if (gate) {
        c->start = is_periodic(c) ? now : now - c->held;
    }
    c->gate = gate;
}

static uint64_t port61_read(void *arg, uint64_t off, unsigned size)
{
    Pit *p = arg;
    uint64_t now;

    fetch(p);
    now = tick_now(p);
    return p->port61 | (now / REFRESH_TICKS & 1 ? P61_REFRESH : 0) |
           (output(&p->ch[2], now) ? P61_OUT2 : 0);
}

static void port61_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Pit *p = arg;

    fetch(p);
    p->port61 = val & P61_WRITABLE;
    set_gate(p, &p->ch[2], val & P61_GATE2);
    store(p);
}

/* -- Emulated elsewhere for a while -------------------------------------------------------------- */

void pit_export(Device *d, PitImage *out)
{
    Pit *p = (Pit *)d;
    uint64_t now;

    if (timer_armed(&p->timer) && p->timer.at_ns <= timer_now(&p->timer)) {
        timer_fired(p);
    }
    now = tick_now(p);
    *out = (PitImage){.speaker = (p->port61 & P61_SPEAKER) != 0, .silent = !p->irq_enabled};
    for (unsigned n = 0; n < N_CHANNELS; n++) {
        const Channel *c = &p->ch[n];

        out->channel[n] = (PitChannelImage){
            .mode = c->mode, .access = c->access, .bcd = c->bcd, .gate = c->gate, .programmed = c->programmed,
            .loaded = c->loaded, .count = c->reload, .elapsed = elapsed(c, now), .write_low = c->write_low,
            .write_high_next = c->write_high_next, .read_high_next = c->read_high_next, .latched = c->latched,
            .latch = c->latch, .status_latched = c->status_latched, .status = c->status,
        };
    }
}

static void import_channel(Channel *c, const PitChannelImage *i, uint64_t now)
{
    Channel before = *c;
    uint64_t done = MIN(i->elapsed, now);

    *c = (Channel){
        .mode = i->mode & 7, .access = i->access & 3, .bcd = i->bcd, .programmed = true, .loaded = true,
        .triggered = is_triggered(&before) && before.triggered, .gate = i->gate, .reload = CLAMP(i->count, 1, 65536),
        .start = now - done, .held = done, .write_low = i->write_low, .write_high_next = i->write_high_next,
        .read_high_next = i->read_high_next, .latched = MIN(i->latched, 2), .latch = i->latch,
        .status_latched = i->status_latched, .status = i->status,
    };
    if (i->unchanged) {
        c->mode = before.mode;
        c->programmed = before.programmed;
        c->loaded = before.loaded;
        c->triggered = before.triggered;
        c->reload = before.reload;
        c->start = before.start;
        c->held = before.held;
    }
}

void pit_import(Device *d, const PitImage *in)
{
    Pit *p = (Pit *)d;
    uint64_t now = tick_now(p);

    for (unsigned n = 0; n < N_CHANNELS; n++) {
        import_channel(&p->ch[n], &in->channel[n], now);
    }
    p->port61 = (uint8_t)((p->port61 & ~(P61_GATE2 | P61_SPEAKER)) | (in->speaker ? P61_SPEAKER : 0) |
                          (p->ch[2].gate ? P61_GATE2 : 0));
    p->irq_enabled = !in->silent;
}

/* Did a one-shot count end just now?  Nobody knows who noticed: one tick too many does no harm, one too few may. */
static bool just_ended(const Channel *c, uint64_t now)
{
    uint64_t e = elapsed(c, now);

    return is_counting(c) && !is_periodic(c) && e >= c->reload && e - c->reload < PIT_HZ / 1000;
}

void pit_set_holder(Device *d, const IrqChipHolder *h)
{
    Pit *p = (Pit *)d;
    uint64_t now = tick_now(p);

    p->holder = h;
    set_irq(p, output(&p->ch[0], now));
    arm(p, now);
    if (h == NULL && just_ended(&p->ch[0], now)) {
        timer_set(&p->timer, timer_now(&p->timer));
    }
}

/* -- Device ------------------------------------------------------------------------------------- */

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    const Channel *c = &((const Pit *)d)->ch[off & 3];
    return window == PIT_WINDOW_COUNTERS && off < 3 &&
           (c->status_latched || c->latched != 0 || c->access == ACCESS_BOTH);
}

static void reset(Device *d)
{
    Pit *p = (Pit *)d;

    timer_cancel(&p->timer);
    for (unsigned n = 0; n < N_CHANNELS; n++) {
        p->ch[n] = (Channel){.access = ACCESS_BOTH, .reload = 65536, .gate = n != 2};
    }
    p->port61 = 0;
    p->irq_enabled = true;
    set_irq(p, 0);
}

static void destroy(Device *d)
{
    timer_cancel(&((Pit *)d)->timer);
    g_free(d);
}

static const DeviceWindow windows[] = {
    [PIT_WINDOW_COUNTERS] = {"pit", WINDOW_PORT, 4, {counters_read, counters_write, 1}},
    [PIT_WINDOW_PORT61] = {"port61", WINDOW_PORT, 1, {port61_read, port61_write, 1}},
};

static bool pit_loaded(void *state, GError **error)
{
    Pit *p = state;

    for (unsigned n = 0; n < N_CHANNELS; n++) {
        Channel *c = &p->ch[n];

        c->reload = MAX(c->reload, 1);
        c->start = MIN(c->start, tick_now(p));
    }
    return true;
}

static const Field channel_fields[] = {
    FIELD_MAX(Channel, mode, 5), FIELD_MAX(Channel, access, ACCESS_BOTH), FIELD(Channel, bcd),
    FIELD(Channel, programmed), FIELD(Channel, loaded), FIELD(Channel, triggered), FIELD(Channel, gate),
    FIELD_MAX(Channel, reload, 65536), FIELD(Channel, start), FIELD(Channel, held), FIELD(Channel, write_low),
    FIELD(Channel, write_high_next), FIELD(Channel, read_high_next), FIELD_MAX(Channel, latched, 2),
    FIELD(Channel, latch), FIELD(Channel, status_latched), FIELD(Channel, status),
};
static const FieldTable channel_state = {.version = 1, FIELDS(channel_fields)};

static const Field pit_fields[] = {
    FIELD_ARRAY(Pit, ch, channel_state), FIELD(Pit, port61), FIELD(Pit, irq_enabled), FIELD_TIMER(Pit, timer),
};
static const FieldTable pit_state = {.version = 1, FIELDS(pit_fields), .loaded = pit_loaded};

static const DeviceClass pit_class = {
    .name = "isa-pit",
    .help = "8254 programmable interval timer",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .read_has_effect = read_has_effect,
    .reset = reset,
    .destroy = destroy,
    .state = &pit_state,
};

Device *pit_new(TimerQueue *timers, const IrqLine *irq0)
{
    Pit *p = g_new0(Pit, 1);

    p->dev.cls = &pit_class;
    p->irq0 = *irq0;
    timer_init(&p->timer, timers, timer_fired, p);
    reset(&p->dev);
    return &p->dev;
}
