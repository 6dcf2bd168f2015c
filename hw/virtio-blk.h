/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio disk (virtio 1.2, 5.2) on a block back end.  Requests are asynchronous and copy nothing:
 * the host reads into and writes from guest memory.  Reset waits for what the host has begun.
 */
#ifndef HW_VIRTIO_BLK_H
#define HW_VIRTIO_BLK_H

#include "hw/block.h"
#include "hw/virtio.h"

typedef struct {
    BlockBackend *block;           /* borrowed: outlives the device       */
    const char *serial;            /* up to 20 characters, or NULL; copied */
    unsigned num_queues;           /* 0 means 1; up to 64                 */
    unsigned queue_size;           /* 0 means 128 (some firmware takes no more); a power of two up
                                      to 1024 */
    uint32_t logical_block_size;   /* 0 means 512; power of two, 512..4096 */
    uint32_t physical_block_size;  /* 0: as logical; power of two, up to 64 KiB */
} VirtioBlkConfig;

/* NULL with one line in `error` when a property is out of range. */
VirtioDevice *virtio_blk_new(PhysMem *mem, const VirtioBlkConfig *c, GError **error);

#endif /* HW_VIRTIO_BLK_H */
