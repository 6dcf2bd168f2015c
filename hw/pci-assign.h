/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware does to a PCI bus, for machines that start a kernel without one: addresses for every
 * BAR below 4 GiB, decoding on, interrupt lines.  Kernels that see addresses keep them; some cannot
 * use what they would choose themselves (32-bit Linux 6.1 maps BARs above 4 GiB wrongly).
 */
#ifndef HW_PCI_ASSIGN_H
#define HW_PCI_ASSIGN_H

#include "hw/pci.h"

typedef struct {
    uint64_t mem_first, mem_last;     /* below 4 GiB */
    uint32_t io_first, io_last;
    uint8_t irq[4];                   /* of each PIRQ */
} PciAssignment;

/* To be called after reset.  A BAR that finds no room keeps address 0.  Machine lock held. */
void pci_bus_assign(PciBus *b, const PciAssignment *a);

#endif /* HW_PCI_ASSIGN_H */
