/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O APIC (82093AA with the EOI register of version 0x20): 24 pins.
 *
 * ioapic_set_irq() is by level, active high: what is active low on a board is inverted by its
 * driver, so the polarity bit is only remembered.
 */
#ifndef HW_IOAPIC_H
#define HW_IOAPIC_H

#include "hw/apic-bus.h"
#include "hw/device.h"
#include "softmmu/irq-chips.h"

enum { IOAPIC_N_PINS = 24 };
#define IOAPIC_BASE UINT64_C(0xfec00000)

Device *ioapic_new(uint8_t id, void (*deliver)(void *arg, const ApicMessage *m), void *arg);

/* An IrqLine's `set`; `ioapic` is the Device. */
void ioapic_set_irq(void *ioapic, unsigned pin, int level);

/* A CPU finished a level-triggered interrupt of this vector. */
void ioapic_eoi(Device *d, uint8_t vector);

/* What a pin sends when its line is up; false: nothing, it is masked. */
bool ioapic_message(const Device *d, unsigned pin, ApicMessage *m);
/* Call `changed` when a pin's entry was written; NULL: nobody. */
void ioapic_set_listener(Device *d, void (*changed)(void *arg), void *arg);

/* -- Emulated elsewhere for a while -------------------------------------------------------------- */

void ioapic_export(const Device *d, IoapicImage *out);
/* The levels of the pins stay as they are here; what is due is sent. */
void ioapic_import(Device *d, const IoapicImage *in);
/* `h` (borrowed) emulates it and is told of the pins' levels: nothing is sent; NULL: as ever. */
void ioapic_set_holder(Device *d, const IrqChipHolder *h);

#endif /* HW_IOAPIC_H */
