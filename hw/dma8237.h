/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ISA DMA: two 8237A controllers (channels 0-3 by bytes, 5-7 by words; 4 joins them) and the page
 * registers.  A device on the ISA bus moves data by dma8237_copy(); the controller counts.
 */
#ifndef HW_DMA8237_H
#define HW_DMA8237_H

#include "hw/device.h"
#include "softmmu/phys-mem.h"

enum {
    DMA8237_WINDOW_LOW,      /* 0x00..0x0f: channels 0-3                              */
    DMA8237_WINDOW_PAGES,    /* 0x81..0x8f: page registers (0x80 is the POST port)    */
    DMA8237_WINDOW_HIGH,     /* 0xc0..0xdf: channels 4-7, one register every two ports */
    DMA8237_WINDOW_COUNT,
};

Device *dma8237_new(PhysMem *mem);

/*
 * Move up to `len` bytes (even, for channels 5-7) between `buf` and the memory that `channel` points at;
 * returns how many.  Fewer come when the count ends (terminal count, *tc true), when the channel is
 * masked, or when it is programmed for the other direction.
 */
unsigned dma8237_copy(Device *d, unsigned channel, void *buf, unsigned len, bool to_memory,
                      bool *tc);

#endif /* HW_DMA8237_H */
