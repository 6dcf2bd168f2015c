/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What ties the interrupt controllers of an SMP machine together: interrupt messages from I/O APIC
 * pins, MSIs and inter-processor interrupts find their local APICs here, and EOIs of level
 * interrupts find the I/O APIC.
 *
 * The bus is a Device with one window, the 1 MiB at 0xfee00000: an access by CPU n reaches CPU n's
 * local APIC page (its first 4 KiB); an access by nobody's CPU (a device's DMA) is an MSI.  The
 * bus borrows the local APICs and the I/O APIC; it must be freed after none of them is used.
 */
#ifndef HW_APIC_BUS_H
#define HW_APIC_BUS_H

#include "hw/device.h"
#include "hw/irq.h"

#define APIC_WINDOW_BASE UINT64_C(0xfee00000)
#define APIC_WINDOW_LEN UINT64_C(0x100000)

/* SDM 3A 11.6.1, the ICR's encoding. */
typedef enum {
    APIC_FIXED = 0, APIC_LOWEST = 1, APIC_SMI = 2, APIC_NMI = 4, APIC_INIT = 5, APIC_SIPI = 6,
    APIC_EXTINT = 7,
} ApicDelivery;

#define APIC_DEST_BROADCAST UINT32_MAX

typedef struct {
    uint32_t dest;            /* APIC id or logical id; APIC_DEST_BROADCAST is everybody  */
    uint8_t vector;
    uint8_t delivery;         /* ApicDelivery; reserved encodings are dropped             */
    bool logical;
    bool level;               /* level triggered: EOI is broadcast                        */
} ApicMessage;

/* `current_cpu` tells the index of the CPU whose access is being made, or -1. */
Device *apic_bus_new(int (*current_cpu)(void *arg), void *arg);

/* Join: the n-th local APIC added belongs to CPU index n. */
void apic_bus_add_lapic(Device *bus, Device *lapic);
void apic_bus_set_ioapic(Device *bus, Device *ioapic);

/* `bus` is the Device (so that it serves as the I/O APIC's deliver callback). */
void apic_bus_deliver(void *bus, const ApicMessage *m);
/* As above, to every local APIC (but `except`, which may be NULL), whatever m->dest. */
void apic_bus_deliver_all(Device *bus, const ApicMessage *m, const Device *except);

/* A device's write of `data` to `addr` in 0xfee00000..0xfeefffff; others are dropped. */
void apic_bus_msi(void *bus, uint64_t addr, uint32_t data);

/* EOI of a level-triggered vector: to the I/O APIC. */
void apic_bus_eoi(Device *bus, uint8_t vector);

/* -- While somebody else emulates the local APICs (cpu-x86/apic-home.h) ---------------------------- */

typedef struct {
    void *arg;
    void (*message)(void *arg, uint64_t addr, uint32_t data); /* as apic_bus_msi()      */
    void (*routes_changed)(void *arg);                        /* ... of the I/O APIC's pins */
    uint32_t (*reg)(void *arg, unsigned apic_id, unsigned off);
    bool (*set_reg)(void *arg, unsigned apic_id, unsigned off, uint32_t val); /* false: there is none */
} LapicHolder;

/* All messages go to `h` (borrowed) and nothing is asked of the local APICs; NULL: as ever. */
void apic_bus_hold(Device *bus, const LapicHolder *h);
/* An I/O APIC tells the bus that one of its pins sends something else. */
void apic_bus_routes_changed(void *bus);
/* What pin n of the I/O APIC sends; false: it is masked, or an edge, whose end nobody waits for. */
bool apic_bus_route(const Device *bus, unsigned pin, uint64_t *addr, uint32_t *data);
/* A message's MSI. */
void apic_message_to_msi(const ApicMessage *m, uint64_t *addr, uint32_t *data);

/* An IrqLine's `set`: the PIC's INTR to LINT0 of every local APIC (line 1: LINT1). */
void apic_bus_set_lint(void *bus, unsigned line, int level);

#endif /* HW_APIC_BUS_H */
