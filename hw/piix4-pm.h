/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIIX4's power management function (8086:7113): its I/O base register (0x40, enabled at 0x80)
 * places the ACPI registers, which are another device's windows; an SMBus host controller (base
 * 0x90, enabled at 0xd2) with nothing on the bus: every transfer ends with "device error".
 *
 * Wiring: pci_bus_add(bus, pm, 1, 3).  The firmware chooses the bases; a machine that starts
 * without firmware calls piix4_pm_program() after reset.
 */
#ifndef HW_PIIX4_PM_H
#define HW_PIIX4_PM_H

#include "hw/pci.h"

/* A port window of another device, `offset` above the power-management base. */
typedef struct {
    Device *dev;                /* borrowed */
    unsigned window;
    uint16_t offset;            /* offset + the window's length <= 64 */
} Piix4Window;

enum { PIIX4_MAX_WINDOWS = 4 };

PciDevice *piix4_pm_new(const Piix4Window *windows, unsigned n);

/* What firmware does: ACPI registers at `base` (64 aligned, e.g. 0x600), decoding on. */
void piix4_pm_program(PciDevice *d, uint16_t base);

#endif /* HW_PIIX4_PM_H */
