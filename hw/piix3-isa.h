/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIIX3's ISA bridge (8086:7000): routes the four PIRQ lines to the interrupt inputs 3..15 and
 * holds the reset control register, port 0xcf9.
 *
 * Wiring: pci_bus_add(bus, piix3, 1, 0); bus->pirq[i] = piix3_pirq_line(piix3, i); window 0 at port
 * 0xcf9, mapped after the host bridge's 0xcf8.  `irq[n]` is interrupt input n of PIC and IO-APIC: a
 * level that PCI alone drives; the machine ORs it with what ISA devices (the ACPI SCI on 9) drive.
 */
#ifndef HW_PIIX3_ISA_H
#define HW_PIIX3_ISA_H

#include "hw/pci.h"

typedef struct {
    IrqLine irq[16];
    void (*reset)(void *arg);   /* the guest asked for a reset through 0xcf9; may be NULL */
    void *arg;
} Piix3Config;

PciDevice *piix3_isa_new(const Piix3Config *c);
IrqLine piix3_pirq_line(PciDevice *d, unsigned pirq);

/* The interrupt input that a PIRQ is routed to, or -1 (info irq, MP tables). */
int piix3_pirq_route(const PciDevice *d, unsigned pirq);

/* Route a PIRQ, as a guest does by its register: for machines without firmware. */
void piix3_pirq_program(PciDevice *d, unsigned pirq, uint8_t irq);

#endif /* HW_PIIX3_ISA_H */
