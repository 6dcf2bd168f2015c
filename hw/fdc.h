/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Floppy disk controller (82078 with its PC/AT registers) and two drives.  An image's size says
 * what disk it is; its data moves by ISA DMA channel 2 or, when the guest chose so in SPECIFY, by the
 * data port.  Images are read and written at once, by the vCPU's thread: a floppy is small.
 */
#ifndef HW_FDC_H
#define HW_FDC_H

#include "hw/block.h"
#include "hw/device.h"
#include "hw/irq.h"

enum {
    FDC_WINDOW_MAIN,         /* 0x3f0..0x3f5 */
    FDC_WINDOW_DIR,          /* 0x3f7        */
    FDC_WINDOW_COUNT,
};

/* `dma` is a dma8237 (borrowed; NULL: none, the guest must use the data port). */
Device *fdc_new(Device *dma, IrqLine irq);

/* Connect drive 0 or 1; `medium` NULL (borrowed) leaves it empty.  False with one line in `error`
 * when no floppy has the image's size. */
bool fdc_attach(Device *d, unsigned drive, BlockBackend *medium, GError **error);
/* While the guest runs; the guest sees the disk-change line. */
bool fdc_change_medium(Device *d, unsigned drive, BlockBackend *medium, GError **error);

/* The drive's type as CMOS 10h holds it: 0 none, 2 1.2M, 4 1.44M, 5 2.88M. */
unsigned fdc_drive_type(const Device *d, unsigned drive);

#endif /* HW_FDC_H */
