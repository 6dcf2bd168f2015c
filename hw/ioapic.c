/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 82093AA data sheet (Intel 290566); the EOI register is in the ICH data sheets. */
#include "hw/ioapic.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>
#include <string.h>

/* A redirection entry's fields. */
#define RTE_VECTOR 0xff
#define RTE_DELIVERY_SHIFT 8
#define RTE_LOGICAL BIT(11)
#define RTE_REMOTE_IRR BIT(14)
#define RTE_LEVEL BIT(15)
#define RTE_MASKED BIT(16)
#define RTE_WRITABLE_LOW 0x0001afffu
#define RTE_DEST_SHIFT 56

enum { OFF_INDEX = 0x00, OFF_DATA = 0x10, OFF_EOI = 0x40, WINDOW_LEN = 0x1000 };
enum { REG_ID = 0, REG_VERSION = 1, REG_ARBITRATION = 2, REG_RTE = 0x10 };

typedef struct {
    Device dev;
    void (*deliver)(void *arg, const ApicMessage *m);
    void *arg;
    void (*changed)(void *arg); /* an entry was written; may be NULL         */
    void *changed_arg;
    uint8_t first_id;

    uint8_t index;
    uint8_t id;
    uint32_t lines;           /* levels of the pins                        */
    uint64_t rte[IOAPIC_N_PINS];

    const IrqChipHolder *holder; /* who emulates it meanwhile; NULL: nobody  */
} Ioapic;

bool ioapic_message(const Device *d, unsigned pin, ApicMessage *m)
{
    uint64_t rte = ((const Ioapic *)d)->rte[pin];
    uint32_t dest = rte >> RTE_DEST_SHIFT;

    *m = (ApicMessage){
        .dest = dest == 0xff && !(rte & RTE_LOGICAL) ? APIC_DEST_BROADCAST : dest,
        .vector = rte & RTE_VECTOR,
        .delivery = bits_get(rte, RTE_DELIVERY_SHIFT, 3),
        .logical = rte & RTE_LOGICAL,
        .level = rte & RTE_LEVEL,
    };
    return (rte & RTE_MASKED) == 0;
}

void ioapic_set_listener(Device *d, void (*changed)(void *arg), void *arg)
{
    Ioapic *a = (Ioapic *)d;

    a->changed = changed;
    a->changed_arg = arg;
}

static void send(Ioapic *a, unsigned pin)
{
    ApicMessage m;

    ioapic_message(&a->dev, pin, &m);
    trace(ioapic_send, "pin=%u rte=%#llx", pin, (unsigned long long)a->rte[pin]);
    a->deliver(a->arg, &m);
}

/* Send a level-triggered pin's message when its line is up and none is in service. */
static void service(Ioapic *a, unsigned pin)
{
    uint64_t *rte = &a->rte[pin];

    if ((*rte & (RTE_MASKED | RTE_LEVEL | RTE_REMOTE_IRR)) == RTE_LEVEL && (a->lines & BIT(pin))) {
        *rte |= RTE_REMOTE_IRR;
        send(a, pin);
    }
}

void ioapic_set_irq(void *ioapic, unsigned pin, int level)
{
    Ioapic *a = ioapic;

    if (pin >= IOAPIC_N_PINS) {
        return;
    }
    if (a->holder != NULL) {
        bool was = (a->lines & BIT(pin)) != 0;

        a->lines = level ? a->lines | BIT(pin) : a->lines & ~BIT(pin);
        if (was != (level != 0)) {
            a->holder->line(a->holder->arg, pin, level);
        }
        return;
    }
    if (level) {
        bool rises = !(a->lines & BIT(pin));
        a->lines |= BIT(pin);
        /* An edge that meets a masked entry is lost (82093AA, 3.2.4). */
        if (rises && !(a->rte[pin] & (RTE_MASKED | RTE_LEVEL))) {
            send(a, pin);
        }
        service(a, pin);
    } else {
        a->lines &= ~BIT(pin);
    }
}

void ioapic_eoi(Device *d, uint8_t vector)
{
    Ioapic *a = (Ioapic *)d;

    for (unsigned pin = 0; pin < IOAPIC_N_PINS; pin++) {
        uint64_t *rte = &a->rte[pin];
        if ((*rte & RTE_VECTOR) == vector && (*rte & RTE_REMOTE_IRR)) {
            *rte &= ~(uint64_t)RTE_REMOTE_IRR;
            service(a, pin);  /* still asserted: again */
        }
    }
}

/* -- Registers ---------------------------------------------------------------------------------- */

static uint32_t read_register(const Ioapic *a)
{
    switch (a->index) {
    case REG_ID: case REG_ARBITRATION:
        return (uint32_t)a->id << 24;
    case REG_VERSION:
        return 0x20 | (IOAPIC_N_PINS - 1) << 16;
    }
    unsigned n = a->index - REG_RTE;
    if (a->index < REG_RTE || n >= 2 * IOAPIC_N_PINS) {
        return 0;
    }
    return a->rte[n / 2] >> (n & 1 ? 32 : 0);
}

static void write_register(Ioapic *a, uint32_t val)
{
    unsigned n = a->index - REG_RTE;

    if (a->index == REG_ID) {
        a->id = bits_get(val, 24, 4);
        return;
    }
    if (a->index < REG_RTE || n >= 2 * IOAPIC_N_PINS) {
        return;
    }
    uint64_t *rte = &a->rte[n / 2];
    if (n & 1) {
        *rte = (uint32_t)*rte | (uint64_t)(val & 0xff000000) << 32;
    } else {
        uint32_t keep = *rte & RTE_REMOTE_IRR;
        /* Turned to edge, an entry waits for no EOI (drivers clear a stuck remote IRR so). */
        if (!(val & RTE_LEVEL)) {
            keep = 0;
        }
        *rte = (*rte & ~UINT64_C(0xffffffff)) | (val & RTE_WRITABLE_LOW) | keep;
    }
    if (a->changed != NULL) {
        a->changed(a->changed_arg);
    }
    service(a, n / 2);
}

/* Around an access to registers while another emulates them. */
static void fetch(Ioapic *a)
{
    IrqChips chips;

    if (a->holder != NULL) {
        a->holder->fetch(a->holder->arg, IRQ_CHIP_IOAPIC, &chips);
        ioapic_import(&a->dev, &chips.ioapic);
    }
}

static void store(Ioapic *a)
{
    IrqChips chips;

    if (a->holder != NULL) {
        ioapic_export(&a->dev, &chips.ioapic);
        a->holder->store(a->holder->arg, IRQ_CHIP_IOAPIC, &chips);
    }
}

static uint64_t mmio_read(void *arg, uint64_t off, unsigned size)
{
    Ioapic *a = arg;
    fetch(a);
    uint32_t val = (off & ~3) == OFF_INDEX ? a->index : (off & ~3) == OFF_DATA ? read_register(a)
                                                                               : 0;
    return val >> ((off & 3) * 8);
}

static void mmio_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Ioapic *a = arg;

    fetch(a);
    switch (off) {
    case OFF_INDEX:
        a->index = val;
        break;
    case OFF_DATA:
        if (size == 4) {
            write_register(a, val);
        } else {
            log_guest_error("ioapic: write of %u bytes to the data register", size);
        }
        break;
    case OFF_EOI:
        ioapic_eoi(&a->dev, val);
        break;
    }
    store(a);
}

/* -- Emulated elsewhere for a while -------------------------------------------------------------- */

void ioapic_export(const Device *d, IoapicImage *out)
{
    const Ioapic *a = (const Ioapic *)d;

    *out = (IoapicImage){.index = a->index, .id = a->id, .lines = a->lines};
    memcpy(out->rte, a->rte, sizeof out->rte);
}

void ioapic_import(Device *d, const IoapicImage *in)
{
    Ioapic *a = (Ioapic *)d;

    a->index = in->index;
    a->id = in->id & 15;
    for (unsigned pin = 0; pin < IOAPIC_N_PINS; pin++) {
        uint64_t rte = in->rte[pin];

        a->rte[pin] = (rte & (RTE_WRITABLE_LOW | (UINT64_C(0xff) << RTE_DEST_SHIFT))) |
                      ((rte & RTE_LEVEL) != 0 ? rte & RTE_REMOTE_IRR : 0);
    }
    for (unsigned pin = 0; a->holder == NULL && pin < IOAPIC_N_PINS; pin++) {
        service(a, pin);
    }
}

void ioapic_set_holder(Device *d, const IrqChipHolder *h)
{
    ((Ioapic *)d)->holder = h;
}

/* -- Device ------------------------------------------------------------------------------------- */

static void reset(Device *d)
{
    Ioapic *a = (Ioapic *)d;

    a->index = 0;
    a->id = a->first_id;
    for (unsigned pin = 0; pin < IOAPIC_N_PINS; pin++) {
        a->rte[pin] = RTE_MASKED;
    }
}

static void destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {
    {"ioapic", WINDOW_MMIO, WINDOW_LEN, {mmio_read, mmio_write, 4}},
};

static const Field ioapic_fields[] = {
    FIELD(Ioapic, index), FIELD_MAX(Ioapic, id, 15), FIELD(Ioapic, lines), FIELD(Ioapic, rte),
};
static const FieldTable ioapic_state = {.version = 1, FIELDS(ioapic_fields)};

static const DeviceClass ioapic_class = {
    .name = "ioapic",
    .help = "I/O APIC, 24 pins",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .reset = reset,
    .destroy = destroy,
    .state = &ioapic_state,
};

Device *ioapic_new(uint8_t id, void (*deliver)(void *arg, const ApicMessage *m), void *arg)
{
    Ioapic *a = g_new0(Ioapic, 1);

    a->dev.cls = &ioapic_class;
    a->deliver = deliver;
    a->arg = arg;
    a->first_id = id & 15;
    reset(&a->dev);
    return &a->dev;
}
