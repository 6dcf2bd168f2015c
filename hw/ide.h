/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX3 IDE (8086:7010): two channels at the legacy ports with two drives each, PIO and bus-master
 * DMA.  Drives are ATA disks (ide-disk.c) or ATAPI CD-ROMs (ide-atapi.c) on block back ends, which
 * are borrowed: the machine closes them after it has freed the device.
 *
 * A unit is channel * 2 + drive: 0 primary master ... 3 secondary slave.
 */
#ifndef HW_IDE_H
#define HW_IDE_H

#include "hw/block.h"
#include "hw/device.h"
#include "hw/irq.h"
#include "hw/pci.h"

enum {
    IDE_WINDOW_PRIMARY,           /* 0x1f0..0x1f7 */
    IDE_WINDOW_PRIMARY_CONTROL,   /* 0x3f6        */
    IDE_WINDOW_SECONDARY,         /* 0x170..0x177 */
    IDE_WINDOW_SECONDARY_CONTROL, /* 0x376        */
    IDE_WINDOW_BUS_MASTER,        /* BAR 4        */
    IDE_WINDOW_COUNT,
};

enum { IDE_UNIT_COUNT = 4 };

/* A PCI function (ide_pci()) for pci_bus_add().  The machine maps the four legacy windows. */
Device *ide_new(PhysMem *mem);
PciDevice *ide_pci(Device *d);

/* Where channel 0 and 1 interrupt: ISA IRQ 14 and 15. */
void ide_set_irq(Device *d, unsigned channel, IrqLine irq);

/* Before the guest runs.  `serial` (copied, at most 20 characters) may be NULL. */
void ide_attach_disk(Device *d, unsigned unit, BlockBackend *b, const char *serial);
/* `medium` NULL: an empty drive. */
void ide_attach_cdrom(Device *d, unsigned unit, BlockBackend *medium);

/* While the guest runs: another medium, or none.  Nothing happens unless the unit is a CD-ROM.  The
 * old medium is not used once this returns: what the drive was reading ends in an error. */
void ide_change_medium(Device *d, unsigned unit, BlockBackend *medium);

#endif /* HW_IDE_H */
