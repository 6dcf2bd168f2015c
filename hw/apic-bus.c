/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/apic-bus.h"

#include "hw/ioapic.h"
#include "hw/lapic.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

enum { PAGE_LEN = 4096 };

typedef struct {
    Device dev;
    int (*current_cpu)(void *arg);
    void *arg;
    GPtrArray *lapics;        /* Device*, borrowed */
    Device *ioapic;           /* borrowed          */
    const LapicHolder *holder; /* borrowed; NULL: the local APICs are ours */
    unsigned turn;            /* where the search for a lowest-priority taker begins */
} ApicBus;

void apic_bus_add_lapic(Device *bus, Device *lapic)
{
    g_ptr_array_add(((ApicBus *)bus)->lapics, lapic);
}

void apic_bus_set_ioapic(Device *bus, Device *ioapic)
{
    ((ApicBus *)bus)->ioapic = ioapic;
    ioapic_set_listener(ioapic, apic_bus_routes_changed, bus);
}

/* -- Messages ----------------------------------------------------------------------------------- */

/* Among those addressed the one with the lowest processor priority; equals take turns. */
static Device *find_lowest(ApicBus *b, const ApicMessage *m)
{
    Device *best = NULL;
    unsigned best_priority = UINT32_MAX, best_n = 0;

    for (unsigned i = 0; i < b->lapics->len; i++) {
        unsigned n = (b->turn + i) % b->lapics->len;
        Device *d = g_ptr_array_index(b->lapics, n);
        unsigned priority;
        if (lapic_matches(d, m) && lapic_can_take(d, &priority) && priority < best_priority) {
            best = d;
            best_priority = priority;
            best_n = n;
        }
    }
    if (best != NULL) {
        b->turn = best_n + 1;
    }
    return best;
}

void apic_bus_deliver(void *bus, const ApicMessage *m)
{
    ApicBus *b = bus;

    trace(apic_deliver, "dest=%#x vector=%#x delivery=%u logical=%d level=%d", m->dest, m->vector,
          m->delivery, m->logical, m->level);
    if (b->holder != NULL) {
        uint64_t addr;
        uint32_t data;

        apic_message_to_msi(m, &addr, &data);
        b->holder->message(b->holder->arg, addr, data);
        return;
    }
    if (m->delivery == APIC_LOWEST) {
        Device *d = find_lowest(b, m);
        if (d != NULL) {
            lapic_accept(d, m);
        }
        return;
    }
    for (unsigned n = 0; n < b->lapics->len; n++) {
        Device *d = g_ptr_array_index(b->lapics, n);
        if (lapic_matches(d, m)) {
            lapic_accept(d, m);
        }
    }
}

void apic_bus_deliver_all(Device *bus, const ApicMessage *m, const Device *except)
{
    ApicBus *b = (ApicBus *)bus;

    for (unsigned n = 0; n < b->lapics->len; n++) {
        Device *d = g_ptr_array_index(b->lapics, n);
        if (d != except) {
            lapic_accept(d, m);
        }
    }
}

/* SDM 3A 11.11: the destination in the address, vector and trigger in the data.  The manual says that
 * the destination mode (bit 2) is ignored without the redirection hint (bit 3); processors obey it
 * all the same, and Linux relies on that (logical destinations without the hint). */
void apic_bus_msi(void *bus, uint64_t addr, uint32_t data)
{
    uint32_t dest = bits_get(addr, 12, 8);
    bool logical = (addr & 0x04) != 0;

    if (addr - APIC_WINDOW_BASE >= APIC_WINDOW_LEN) {
        log_guest_error("apic: MSI to %#llx is outside 0xfee00000-0xfeefffff",
                        (unsigned long long)addr);
        return;
    }
    ApicMessage m = {
        .dest = dest == 0xff && !logical ? APIC_DEST_BROADCAST : dest,
        .vector = data & 0xff,
        .delivery = bits_get(data, 8, 3),
        .logical = logical,
        .level = data & BIT(15),
    };
    /* A level-triggered de-assert carries nothing. */
    if (!m.level || (data & BIT(14))) {
        apic_bus_deliver(bus, &m);
    }
}

void apic_message_to_msi(const ApicMessage *m, uint64_t *addr, uint32_t *data)
{
    *addr = APIC_WINDOW_BASE | (uint64_t)(m->dest & 0xff) << 12 | (m->logical ? 4 : 0);
    *data = m->vector | (uint32_t)m->delivery << 8 | (m->level ? BIT(15) | BIT(14) : 0);
}

void apic_bus_hold(Device *bus, const LapicHolder *h)
{
    ApicBus *b = (ApicBus *)bus;

    b->holder = h;
    for (unsigned n = 0; n < b->lapics->len; n++) {
        lapic_set_holder(g_ptr_array_index(b->lapics, n), h);
    }
}

bool apic_bus_route(const Device *bus, unsigned pin, uint64_t *addr, uint32_t *data)
{
    const ApicBus *b = (const ApicBus *)bus;
    ApicMessage m;

    if (b->ioapic == NULL || !ioapic_message(b->ioapic, pin, &m) || !m.level) {
        return false;
    }
    apic_message_to_msi(&m, addr, data);
    return true;
}

void apic_bus_routes_changed(void *bus)
{
    ApicBus *b = bus;

    if (b->holder != NULL) {
        b->holder->routes_changed(b->holder->arg);
    }
}

void apic_bus_eoi(Device *bus, uint8_t vector)
{
    ApicBus *b = (ApicBus *)bus;

    if (b->ioapic != NULL) {
        ioapic_eoi(b->ioapic, vector);
    }
}

void apic_bus_set_lint(void *bus, unsigned line, int level)
{
    ApicBus *b = bus;

    for (unsigned n = 0; n < b->lapics->len; n++) {
        lapic_set_lint(g_ptr_array_index(b->lapics, n), line, level);
    }
}

/* -- The window --------------------------------------------------------------------------------- */

/* The accessing CPU's local APIC when it shows its page at this place; else NULL. */
static Device *current_lapic(const ApicBus *b)
{
    int n = b->current_cpu(b->arg);
    Device *d = n >= 0 && n < (int)b->lapics->len ? g_ptr_array_index(b->lapics, n) : NULL;

    return d != NULL && (lapic_base(d) & ~UINT64_C(0xfff)) == APIC_WINDOW_BASE ? d : NULL;
}

static uint64_t window_read(void *arg, uint64_t off, unsigned size)
{
    Device *d = off < PAGE_LEN ? current_lapic(arg) : NULL;
    return d != NULL ? lapic_mmio_read(d, off, size) : mask_bytes(size);
}

static void window_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    ApicBus *b = arg;
    Device *d = off < PAGE_LEN ? current_lapic(b) : NULL;

    if (d != NULL) {
        lapic_mmio_write(d, off, size, val);
    } else if (b->current_cpu(b->arg) < 0 && size == 4) {
        apic_bus_msi(b, APIC_WINDOW_BASE + off, val);
    }
}

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    const Device *lapic = current_lapic((const ApicBus *)d);
    return off < PAGE_LEN && lapic != NULL && lapic_mmio_read_has_effect(lapic, off);
}

/* -- Device ------------------------------------------------------------------------------------- */

static void reset(Device *d)
{
    ((ApicBus *)d)->turn = 0;
}

static void destroy(Device *d)
{
    g_ptr_array_free(((ApicBus *)d)->lapics, TRUE);
    g_free(d);
}

static const DeviceWindow windows[] = {
    {"apic", WINDOW_MMIO, APIC_WINDOW_LEN, {window_read, window_write, 4}},
};

static const Field bus_fields[] = {
    FIELD(ApicBus, turn),
};
static const FieldTable bus_state = {.version = 1, FIELDS(bus_fields)};

static const DeviceClass apic_bus_class = {
    .name = "apic-bus",
    .help = "local APIC pages and interrupt messages",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .read_has_effect = read_has_effect,
    .reset = reset,
    .destroy = destroy,
    .state = &bus_state,
};

Device *apic_bus_new(int (*current_cpu)(void *arg), void *arg)
{
    ApicBus *b = g_new0(ApicBus, 1);

    b->dev.cls = &apic_bus_class;
    b->current_cpu = current_cpu;
    b->arg = arg;
    b->lapics = g_ptr_array_new();
    return &b->dev;
}
