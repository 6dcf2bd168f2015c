/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IDE's own state, and what channel, disk and ATAPI code want of each other.
 *
 * One command at a time runs on a channel.  Its phase says who is to move next:
 *
 *   IDLE      nobody: the drive waits for a command
 *   PIO_IN    the guest reads buf[pos, end) from the data port, then xxx_pio_end()
 *   PIO_OUT   the guest writes buf[pos, end), then xxx_pio_end()
 *   PACKET    the guest writes 12 bytes of ATAPI command, then atapi_packet()
 *   DMA_WAIT  the guest is to start the bus master, then xxx_dma()
 *   IO        a block request is in flight, then xxx_io_done()
 */
#ifndef HW_IDE_INTERNAL_H
#define HW_IDE_INTERNAL_H

#include "hw/ide.h"

enum {
    IDE_ERR = 0x01,
    IDE_DRQ = 0x08,
    IDE_DSC = 0x10,
    IDE_DF = 0x20,
    IDE_DRDY = 0x40,
    IDE_BSY = 0x80,
};
enum { IDE_ABRT = 0x04, IDE_IDNF = 0x10, IDE_UNC = 0x40 };
enum { IDE_CONTROL_NIEN = 0x02, IDE_CONTROL_SRST = 0x04, IDE_CONTROL_HOB = 0x80 };
enum { BM_START = 0x01, BM_TO_MEMORY = 0x08 };
enum { BM_ACTIVE = 0x01, BM_ERROR = 0x02, BM_INTERRUPT = 0x04 };

enum { IDE_BUF_LEN = 128 << 10, IDE_MAX_MULTIPLE = 16 };

typedef struct IdeController IdeController;
typedef struct IdeChannel IdeChannel;
typedef struct IdeDrive IdeDrive;

typedef enum { IDE_NONE, IDE_DISK, IDE_CDROM } IdeKind;
typedef enum {
    IDE_IDLE,
    IDE_PIO_IN,
    IDE_PIO_OUT,
    IDE_PACKET,
    IDE_DMA_WAIT,
    IDE_IO,
} IdePhase;

/* A block request with its buffer. */
typedef struct {
    BlockRequest block;
    struct iovec iov;
    IdeChannel *ch;
    BlockBackend *blk;         /* it is in flight there */
    uint8_t buf[IDE_BUF_LEN];
} IdeRequest;

struct IdeDrive {
    /* wiring */
    IdeChannel *ch;
    IdeKind kind;
    BlockBackend *blk;           /* NULL: a CD-ROM drive without a disc */
    uint64_t sectors;            /* of 512 bytes (disk) or 2048 (disc)  */
    char serial[21];

    /* task file: [0] as written last, [1] before that (48-bit commands) */
    uint8_t feature[2], count[2], lba[3][2];
    uint8_t error, status;

    /* modes */
    unsigned heads, track_sectors;
    unsigned multiple;           /* sectors a DRQ block of READ/WRITE MULTIPLE */
    uint8_t mwdma, udma;         /* selected mode, 0xff: none */
    bool write_cache;

    /* ATAPI */
    uint8_t sense_key, sense_asc;
    bool unit_attention, medium_changed, locked;
};

struct IdeChannel {
    IdeController *ide;
    unsigned index;
    IrqLine irq;
    IdeDrive drive[2];

    /* registers */
    uint8_t device, control;
    bool irq_level;
    uint8_t bm_command, bm_status;
    uint32_t bm_prdt;

    /* the running command */
    IdePhase phase;
    uint8_t command;
    bool write, dma, flushing;
    uint64_t at;                 /* next sector */
    uint32_t left;               /* sectors     */
    uint32_t block;              /* bytes a DRQ block */
    uint32_t pos, end, valid;    /* in req->buf */

    uint32_t prd_next, prd_addr, prd_left;
    bool prd_last;

    IdeRequest *req;
    bool in_flight;
    unsigned reset_drives;       /* bit mask: to be reset as soon as nothing is in flight */
};

struct IdeController {
    PciDevice pci;
    PhysMem *mem;
    IdeChannel channel[2];
};

static inline IdeDrive *ide_selected(IdeChannel *ch)
{
    return &ch->drive[(ch->device >> 4) & 1];
}

/* -- ide.c: what a drive uses --------------------------------------------------------------------- */

void ide_raise_irq(IdeChannel *ch);
/* Command over: status DRDY, DSC; interrupt. */
void ide_command_ok(IdeDrive *d);
/* Command over with ERR and these error bits; interrupt. */
void ide_command_fail(IdeDrive *d, uint8_t error);
/* Let the guest read or write buf[pos, end); status DRQ. */
void ide_start_pio(IdeDrive *d, IdePhase phase, uint32_t pos, uint32_t end);
/* Wait for the bus master (or go on at once). */
void ide_start_dma(IdeDrive *d);
/* Copy between buf and the memory the PRD table names; false when the table ends early. */
bool ide_bm_copy(IdeChannel *ch, void *buf, uint32_t len, bool to_memory);
/* The transfer is over: what the bus master's status shows. */
void ide_bm_finish(IdeChannel *ch, bool error);
/* Submit req->buf[0, len) for the byte `offset` of the image; phase IO. */
void ide_submit(IdeDrive *d, BlockOp op, uint64_t offset, uint32_t len);
/* Text into identify words: padded, bytes swapped. */
void ide_put_text(uint8_t *identify, unsigned word, unsigned words, const char *text);
static inline void ide_put_word(uint8_t *identify, unsigned word, unsigned val)
{
    store_le(identify + 2 * word, 2, val);
}

/* -- ide-disk.c --------------------------------------------------------------------------------- */

void ide_disk_command(IdeDrive *d, uint8_t command);
void ide_disk_pio_end(IdeDrive *d);
void ide_disk_dma(IdeDrive *d);
void ide_disk_io_done(IdeDrive *d, int err);
/* SET FEATURES, for both kinds. */
void ide_set_features(IdeDrive *d);

/* -- ide-atapi.c -------------------------------------------------------------------------------- */

void ide_atapi_command(IdeDrive *d, uint8_t command);
void ide_atapi_packet(IdeDrive *d);
void ide_atapi_pio_end(IdeDrive *d);
void ide_atapi_dma(IdeDrive *d);
void ide_atapi_io_done(IdeDrive *d, int err);

#endif /* HW_IDE_INTERNAL_H */
