/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IBM PS/2 Hardware Interface Technical Reference, "Keyboard and auxiliary device controller". */
#include "hw/i8042.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

enum {
    STATUS_FULL = 0x01, STATUS_SYSTEM = 0x04, STATUS_COMMAND = 0x08, STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20, STATUS_TIMEOUT = 0x40,
};
enum {
    CTR_KBD_IRQ = 0x01, CTR_AUX_IRQ = 0x02, CTR_SYSTEM = 0x04, CTR_KBD_OFF = 0x10,
    CTR_AUX_OFF = 0x20, CTR_TRANSLATE = 0x40,
};
enum { OUT_NO_RESET = 0x01, OUT_A20 = 0x02, OUT_KBD_IRQ = 0x10, OUT_AUX_IRQ = 0x20 };

typedef enum { FROM_NOBODY, FROM_CONTROLLER, FROM_KBD, FROM_AUX } Source;

typedef struct {
    Device dev;
    I8042Config cfg;

    uint8_t ctr, output_port;
    bool system_flag, last_was_command, timeout;
    uint8_t waits_for;        /* command whose argument comes by port 0x60, or 0 */
    uint8_t ram[32];          /* the controller's memory; byte 0 is ctr          */
    Source obf;               /* whose byte is in the output buffer              */
    uint8_t data;             /* ... and it; port 0x60 repeats it when empty     */
    bool obf_irq;             /* controller's byte that interrupts (0xd2)        */
    bool break_prefix;        /* translation saw 0xf0                            */

    Ps2Kbd kbd;
    Ps2Mouse mouse;
} I8042;

/* -- Output buffer ------------------------------------------------------------------------------ */

static void update_irqs(I8042 *c)
{
    bool kbd = c->obf == FROM_KBD || (c->obf == FROM_CONTROLLER && c->obf_irq);

    irq_set(&c->cfg.irq1, kbd && (c->ctr & CTR_KBD_IRQ));
    irq_set(&c->cfg.irq12, c->obf == FROM_AUX && (c->ctr & CTR_AUX_IRQ));
}

static void put(I8042 *c, Source from, uint8_t byte)
{
    c->obf = from;
    c->data = byte;
    c->obf_irq = false;
    update_irqs(c);
}

/* The controller turns set 2 into set 1: a break prefix vanishes into the next byte's bit 7. */
static bool translate(I8042 *c, uint8_t *byte)
{
    if (!(c->ctr & CTR_TRANSLATE)) {
        return true;
    }
    if (*byte == 0xf0) {
        c->break_prefix = true;
        return false;
    }
    uint8_t t = ps2_translate(*byte);
    *byte = t < 0x80 && c->break_prefix ? t | 0x80 : t;
    c->break_prefix = false;
    return true;
}

/* Let the next byte into an empty buffer. */
static void refill(void *arg)
{
    I8042 *c = arg;

    while (c->obf == FROM_NOBODY && !(c->ctr & CTR_KBD_OFF) && !ps2_queue_empty(&c->kbd.queue)) {
        uint8_t byte = ps2_queue_take(&c->kbd.queue);
        if (translate(c, &byte)) {
            put(c, FROM_KBD, byte);
        }
    }
    if (c->obf == FROM_NOBODY && !(c->ctr & CTR_AUX_OFF) && !ps2_queue_empty(&c->mouse.queue)) {
        put(c, FROM_AUX, ps2_queue_take(&c->mouse.queue));
    }
}

static void set_a20(I8042 *c, bool on)
{
    c->output_port = on ? c->output_port | OUT_A20 : c->output_port & ~OUT_A20;
    c->cfg.set_a20(c->cfg.arg, on);
}

void i8042_a20_changed(Device *d, bool on)
{
    I8042 *c = (I8042 *)d;
    c->output_port = on ? c->output_port | OUT_A20 : c->output_port & ~OUT_A20;
}

static void write_output_port(I8042 *c, uint8_t val)
{
    c->output_port = val & ~(OUT_KBD_IRQ | OUT_AUX_IRQ);
    c->cfg.set_a20(c->cfg.arg, val & OUT_A20);
    if (!(val & OUT_NO_RESET)) {
        c->output_port |= OUT_NO_RESET;
        c->cfg.reset(c->cfg.arg);
    }
}

static uint8_t read_output_port(const I8042 *c)
{
    return c->output_port | (c->obf == FROM_KBD || c->obf == FROM_CONTROLLER ? OUT_KBD_IRQ : 0) |
           (c->obf == FROM_AUX ? OUT_AUX_IRQ : 0);
}

static void write_ctr(I8042 *c, uint8_t val)
{
    c->ctr = val;
    c->system_flag = val & CTR_SYSTEM;
    update_irqs(c);
    refill(c);
}

/* -- Port 0x64 ---------------------------------------------------------------------------------- */

static void write_command(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    I8042 *c = arg;

    trace(i8042_command, "command=0x%02x", (unsigned)val);
    c->last_was_command = true;
    c->waits_for = 0;
    if (val >= 0x20 && val <= 0x3f) {
        put(c, FROM_CONTROLLER, val == 0x20 ? c->ctr : c->ram[val & 31]);
        return;
    }
    if (val >= 0xf0) {        /* pulse output port bits low: bit 0 resets the CPU */
        if (!(val & OUT_NO_RESET)) {
            c->cfg.reset(c->cfg.arg);
        }
        return;
    }
    switch (val) {
    case 0x60 ... 0x7f:
    case 0xd1: case 0xd2: case 0xd3: case 0xd4:
        c->waits_for = val;
        break;
    case 0xa4:                /* password: none */
        put(c, FROM_CONTROLLER, 0xf1);
        break;
    case 0xa7:
        c->ctr |= CTR_AUX_OFF;
        break;
    case 0xa8:
        c->ctr &= ~CTR_AUX_OFF;
        refill(c);
        break;
    case 0xa9:                /* mouse interface test: a stuck clock when there is no socket */
        put(c, FROM_CONTROLLER, c->cfg.mouse ? 0x00 : 0x02);
        break;
    case 0xaa:
        c->system_flag = true;
        c->ctr |= CTR_SYSTEM;
        put(c, FROM_CONTROLLER, 0x55);
        break;
    case 0xab:
        put(c, FROM_CONTROLLER, 0x00);
        break;
    case 0xad:
        c->ctr |= CTR_KBD_OFF;
        break;
    case 0xae:
        c->ctr &= ~CTR_KBD_OFF;
        refill(c);
        break;
    case 0xc0:                /* input port: not locked, colour */
        put(c, FROM_CONTROLLER, 0x80);
        break;
    case 0xd0:
        put(c, FROM_CONTROLLER, read_output_port(c));
        break;
    case 0xdd: case 0xdf:     /* what some chip sets have for A20 */
        set_a20(c, val == 0xdf);
        break;
    case 0xe0:                /* test inputs: both clocks running */
        put(c, FROM_CONTROLLER, 0x00);
        break;
    default:
        log_guest_error("i8042: command %#x", (unsigned)val);
    }
}

static uint64_t read_status(void *arg, uint64_t off, unsigned size)
{
    const I8042 *c = arg;

    return STATUS_UNLOCKED | (c->obf != FROM_NOBODY ? STATUS_FULL : 0) |
           (c->obf == FROM_AUX ? STATUS_AUX : 0) | (c->system_flag ? STATUS_SYSTEM : 0) |
           (c->last_was_command ? STATUS_COMMAND : 0) | (c->timeout ? STATUS_TIMEOUT : 0);
}

/* -- Port 0x60 ---------------------------------------------------------------------------------- */

static void write_aux(I8042 *c, uint8_t byte)
{
    if (c->cfg.mouse) {
        c->ctr &= ~CTR_AUX_OFF;
        ps2_mouse_write(&c->mouse, byte);
    } else {
        put(c, FROM_AUX, 0xfe);
        c->timeout = true;
    }
}

static void write_data(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    I8042 *c = arg;
    uint8_t command = c->waits_for;

    c->last_was_command = false;
    c->waits_for = 0;
    switch (command) {
    case 0:                   /* to the keyboard, whose clock this starts */
        c->ctr &= ~CTR_KBD_OFF;
        ps2_kbd_write(&c->kbd, val);
        break;
    case 0x60:
        write_ctr(c, val);
        break;
    case 0x61 ... 0x7f:
        c->ram[command & 31] = val;
        break;
    case 0xd1:
        write_output_port(c, val);
        break;
    case 0xd2:                /* as if the keyboard had sent it */
        put(c, FROM_CONTROLLER, val);
        c->obf_irq = true;
        update_irqs(c);
        break;
    case 0xd3:
        put(c, FROM_AUX, val);
        break;
    case 0xd4:
        write_aux(c, val);
        break;
    }
}

static uint64_t read_data(void *arg, uint64_t off, unsigned size)
{
    I8042 *c = arg;
    uint8_t byte = c->data;

    if (c->obf != FROM_NOBODY) {
        c->obf = FROM_NOBODY;
        c->timeout = false;
        update_irqs(c);       /* the line falls, so that the next byte is a new edge */
        refill(c);
    }
    return byte;
}

/* -- Device ------------------------------------------------------------------------------------- */

Ps2Kbd *i8042_keyboard(Device *d)
{
    return &((I8042 *)d)->kbd;
}

Ps2Mouse *i8042_mouse(Device *d)
{
    I8042 *c = (I8042 *)d;
    return c->cfg.mouse ? &c->mouse : NULL;
}

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    return window == I8042_WINDOW_DATA && ((const I8042 *)d)->obf != FROM_NOBODY;
}

static void reset(Device *d)
{
    I8042 *c = (I8042 *)d;

    /* As firmware leaves it, for guests that start without one. */
    c->ctr = CTR_KBD_IRQ | CTR_TRANSLATE | CTR_AUX_OFF;
    c->output_port = OUT_NO_RESET;
    c->system_flag = c->last_was_command = c->timeout = false;
    c->waits_for = 0;
    memset(c->ram, 0, sizeof c->ram);
    c->obf = FROM_NOBODY;
    c->data = 0;
    c->obf_irq = c->break_prefix = false;
    ps2_kbd_reset(&c->kbd);
    ps2_mouse_reset(&c->mouse);
    set_a20(c, true);
    update_irqs(c);
}

static void destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {
    [I8042_WINDOW_DATA] = {"i8042-data", WINDOW_PORT, 1, {read_data, write_data, 1}},
    [I8042_WINDOW_COMMAND] = {"i8042-cmd", WINDOW_PORT, 1, {read_status, write_command, 1}},
};

static const Field queue_fields[] = {
    FIELD(Ps2Queue, answer), FIELD_MAX(Ps2Queue, n_answers, PS2_N_ANSWERS), FIELD(Ps2Queue, event),
    FIELD_MAX(Ps2Queue, first, PS2_N_EVENTS - 1), FIELD_MAX(Ps2Queue, n_events, PS2_N_EVENTS), FIELD(Ps2Queue, last),
};
static const FieldTable queue_state = {.version = 1, FIELDS(queue_fields)};

static bool kbd_loaded(void *state, GError **error)
{
    Ps2Kbd *k = state;

    k->set = k->set == 1 ? 1 : 2;
    return true;
}

static bool mouse_loaded(void *state, GError **error)
{
    Ps2Mouse *m = state;

    m->dx = CLAMP(m->dx, -0x10000, 0x10000);
    m->dy = CLAMP(m->dy, -0x10000, 0x10000);
    m->dz = CLAMP(m->dz, -0x10000, 0x10000);
    return true;
}

static const Field kbd_fields[] = {
    FIELD_STRUCT(Ps2Kbd, queue, queue_state), FIELD(Ps2Kbd, scanning), FIELD(Ps2Kbd, set), FIELD(Ps2Kbd, leds),
    FIELD(Ps2Kbd, waits_for), FIELD(Ps2Kbd, typematic),
};
static const FieldTable kbd_state = {.version = 1, FIELDS(kbd_fields), .loaded = kbd_loaded};

static const Field mouse_fields[] = {
    FIELD_STRUCT(Ps2Mouse, queue, queue_state), FIELD(Ps2Mouse, enabled), FIELD(Ps2Mouse, remote),
    FIELD(Ps2Mouse, wrap), FIELD(Ps2Mouse, scaling_2_1), FIELD(Ps2Mouse, id), FIELD(Ps2Mouse, rate),
    FIELD(Ps2Mouse, resolution), FIELD(Ps2Mouse, waits_for), FIELD(Ps2Mouse, knock), FIELD(Ps2Mouse, dx),
    FIELD(Ps2Mouse, dy), FIELD(Ps2Mouse, dz), FIELD(Ps2Mouse, buttons),
};
static const FieldTable mouse_state = {.version = 1, FIELDS(mouse_fields), .loaded = mouse_loaded};

static const Field i8042_fields[] = {
    FIELD(I8042, ctr), FIELD(I8042, output_port), FIELD(I8042, system_flag), FIELD(I8042, last_was_command),
    FIELD(I8042, timeout), FIELD(I8042, waits_for), FIELD(I8042, ram), FIELD_MAX(I8042, obf, FROM_AUX),
    FIELD(I8042, data), FIELD(I8042, obf_irq), FIELD(I8042, break_prefix), FIELD_STRUCT(I8042, kbd, kbd_state),
    FIELD_STRUCT(I8042, mouse, mouse_state),
};
static const FieldTable i8042_state = {.version = 1, FIELDS(i8042_fields)};

static const DeviceClass i8042_class = {
    .name = "i8042",
    .help = "keyboard controller with PS/2 keyboard and mouse",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .read_has_effect = read_has_effect,
    .reset = reset,
    .destroy = destroy,
    .state = &i8042_state,
};

Device *i8042_new(const I8042Config *cfg)
{
    I8042 *c = g_new0(I8042, 1);

    c->dev.cls = &i8042_class;
    c->cfg = *cfg;
    c->kbd.queue.changed = refill;
    c->kbd.queue.arg = c;
    c->mouse.queue.changed = refill;
    c->mouse.queue.arg = c;
    reset(&c->dev);
    return &c->dev;
}
