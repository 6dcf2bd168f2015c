/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What -device needs of machine `pc`. */
#ifndef MONITOR_MACHINE_PC_H
#define MONITOR_MACHINE_PC_H

#include "hw/pci.h"
#include "monitor/machine.h"

/* Its PCI bus; NULL on other machines. */
PciBus *machine_pc_bus(Machine *m);
/* ISA interrupt line `irq` (0..15) for an ISA device. */
IrqLine machine_pc_isa_irq(Machine *m, unsigned irq);
/* The same, or input 16 to 23 of the I/O APIC. */
IrqLine machine_pc_gsi(Machine *m, unsigned gsi);
/* A device with bootindex=: its path as firmware knows it (taken).  False: the index is taken already. */
bool machine_pc_boot_from(Machine *m, unsigned bootindex, char *path, GError **error);

#endif /* MONITOR_MACHINE_PC_H */
