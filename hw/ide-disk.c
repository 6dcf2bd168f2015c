/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ATA disks (ATA/ATAPI-7 volume 1, chapter 6). */
#include "hw/ide-internal.h"

#include "softmmu/base/log.h"

#include <string.h>

enum {
    CMD_RECALIBRATE = 0x10,
    CMD_READ = 0x20,
    CMD_READ_NORETRY = 0x21,
    CMD_READ_EXT = 0x24,
    CMD_READ_DMA_EXT = 0x25,
    CMD_NATIVE_MAX_EXT = 0x27,
    CMD_READ_MULTIPLE_EXT = 0x29,
    CMD_WRITE = 0x30,
    CMD_WRITE_NORETRY = 0x31,
    CMD_WRITE_EXT = 0x34,
    CMD_WRITE_DMA_EXT = 0x35,
    CMD_WRITE_MULTIPLE_EXT = 0x39,
    CMD_VERIFY = 0x40,
    CMD_VERIFY_NORETRY = 0x41,
    CMD_VERIFY_EXT = 0x42,
    CMD_SEEK = 0x70,
    CMD_INIT_PARAMETERS = 0x91,
    CMD_READ_MULTIPLE = 0xc4,
    CMD_WRITE_MULTIPLE = 0xc5,
    CMD_SET_MULTIPLE = 0xc6,
    CMD_READ_DMA = 0xc8,
    CMD_READ_DMA_NORETRY = 0xc9,
    CMD_WRITE_DMA = 0xca,
    CMD_WRITE_DMA_NORETRY = 0xcb,
    CMD_STANDBY_NOW = 0xe0,
    CMD_IDLE_NOW = 0xe1,
    CMD_STANDBY = 0xe2,
    CMD_IDLE = 0xe3,
    CMD_CHECK_POWER = 0xe5,
    CMD_SLEEP = 0xe6,
    CMD_FLUSH = 0xe7,
    CMD_FLUSH_EXT = 0xea,
    CMD_IDENTIFY = 0xec,
    CMD_SET_FEATURES = 0xef,
    CMD_NATIVE_MAX = 0xf8,
};

enum { DEVICE_LBA = 0x40 };

/* -- Addresses ------------------------------------------------------------------------------------- */

static uint64_t sector_of(const IdeDrive *d, bool ext)
{
    uint8_t head = d->ch->device & 15;
    uint64_t low = d->lba[0][0] | (uint64_t)d->lba[1][0] << 8 | (uint64_t)d->lba[2][0] << 16;

    if (ext) {
        return low | (uint64_t)d->lba[0][1] << 24 | (uint64_t)d->lba[1][1] << 32 |
               (uint64_t)d->lba[2][1] << 40;
    }
    if ((d->ch->device & DEVICE_LBA) != 0) {
        return low | (uint64_t)head << 24;
    }
    if (d->lba[0][0] == 0) { /* sectors count from 1 */
        return UINT64_MAX;
    }
    return ((low >> 8) * d->heads + head) * d->track_sectors + d->lba[0][0] - 1;
}

/* Show `sector` in the task file: where an error was, or the last sector there is. */
static void show_sector(IdeDrive *d, uint64_t sector, bool ext)
{
    if (!ext && (d->ch->device & DEVICE_LBA) == 0) {
        uint64_t track = sector / d->track_sectors;
        d->lba[0][0] = (uint8_t)(sector % d->track_sectors + 1);
        d->lba[1][0] = (uint8_t)(track / d->heads);
        d->lba[2][0] = (uint8_t)(track / d->heads >> 8);
        d->ch->device = (uint8_t)((d->ch->device & 0xf0) | track % d->heads);
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        d->lba[i][0] = (uint8_t)(sector >> (8 * i));
        d->lba[i][1] = (uint8_t)(sector >> (8 * i + 24));
    }
    if (!ext) {
        d->ch->device = (uint8_t)((d->ch->device & 0xf0) | (sector >> 24 & 15));
    }
}

static uint32_t count_of(const IdeDrive *d, bool ext)
{
    uint32_t n = ext ? (uint32_t)d->count[1] << 8 | d->count[0] : d->count[0];

    return n != 0 ? n : ext ? 65536 : 256;
}

static bool is_ext(uint8_t command)
{
    return command == CMD_READ_EXT || command == CMD_READ_DMA_EXT ||
           command == CMD_READ_MULTIPLE_EXT || command == CMD_WRITE_EXT ||
           command == CMD_WRITE_DMA_EXT || command == CMD_WRITE_MULTIPLE_EXT ||
           command == CMD_VERIFY_EXT || command == CMD_NATIVE_MAX_EXT;
}

/* Set at and left from the task file; false (and the command is over) when outside the disk. */
static bool locate(IdeDrive *d)
{
    IdeChannel *ch = d->ch;
    bool ext = is_ext(ch->command);

    ch->at = sector_of(d, ext);
    ch->left = count_of(d, ext);
    if (ch->at >= d->sectors || ch->left > d->sectors - ch->at) {
        ide_command_fail(d, IDE_IDNF);
        return false;
    }
    return true;
}

/* -- Transfers ------------------------------------------------------------------------------------- */

static uint32_t block_bytes(const IdeDrive *d)
{
    return MIN(d->ch->block, d->ch->left * 512);
}

static void read_more(IdeDrive *d)
{
    ide_submit(d, BLOCK_READ, d->ch->at * 512, MIN(d->ch->left * 512u, (uint32_t)IDE_BUF_LEN));
}

static void transfer(IdeDrive *d, bool write, bool dma, unsigned block_sectors)
{
    IdeChannel *ch = d->ch;

    if (block_sectors == 0 || (write && block_read_only(d->blk))) {
        ide_command_fail(d, IDE_ABRT);
        return;
    }
    if (!locate(d)) {
        return;
    }
    ch->write = write;
    ch->dma = dma;
    ch->block = block_sectors * 512;
    if (dma) {
        ide_start_dma(d);
    } else if (write) {
        ide_start_pio(d, IDE_PIO_OUT, 0, block_bytes(d));
    } else {
        read_more(d);
    }
}

static void transfer_error(IdeDrive *d, uint8_t error)
{
    show_sector(d, d->ch->at, is_ext(d->ch->command));
    if (d->ch->dma) {
        ide_bm_finish(d->ch, true);
    }
    ide_command_fail(d, error);
}

static void transfer_done(IdeDrive *d)
{
    if (d->ch->dma) {
        ide_bm_finish(d->ch, false);
    }
    ide_command_ok(d);
}

void ide_disk_dma(IdeDrive *d)
{
    IdeChannel *ch = d->ch;
    uint32_t len = MIN(ch->left * 512u, (uint32_t)IDE_BUF_LEN);

    if (!ch->write) {
        ide_submit(d, BLOCK_READ, ch->at * 512, len);
    } else if (ide_bm_copy(ch, ch->req->buf, len, false)) {
        ide_submit(d, BLOCK_WRITE, ch->at * 512, len);
    } else {
        transfer_error(d, IDE_ABRT);
    }
}

void ide_disk_pio_end(IdeDrive *d)
{
    IdeChannel *ch = d->ch;

    if (ch->phase == IDE_PIO_OUT) {
        ide_submit(d, BLOCK_WRITE, ch->at * 512, ch->end);
        return;
    }
    if (ch->command == CMD_IDENTIFY) { /* the last word read ends a command without interrupt */
        ch->phase = IDE_IDLE;
        d->status = IDE_DRDY | IDE_DSC;
    } else if (ch->end < ch->valid) {
        ide_start_pio(d, IDE_PIO_IN, ch->end, MIN(ch->end + ch->block, ch->valid));
        ide_raise_irq(ch);
    } else if (ch->left > 0) {
        read_more(d);
    } else {
        ch->phase = IDE_IDLE;
        d->status = IDE_DRDY | IDE_DSC;
    }
}

static void read_done(IdeDrive *d, uint32_t len)
{
    IdeChannel *ch = d->ch;

    if (!ch->dma) {
        ch->at += len / 512;
        ch->left -= len / 512;
        ch->valid = len;
        ide_start_pio(d, IDE_PIO_IN, 0, MIN(ch->block, len));
        ide_raise_irq(ch);
        return;
    }
    if (!ide_bm_copy(ch, ch->req->buf, len, true)) {
        transfer_error(d, IDE_ABRT);
        return;
    }
    ch->at += len / 512;
    ch->left -= len / 512;
    if (ch->left == 0) {
        transfer_done(d);
    } else {
        ide_start_dma(d);
    }
}

static void write_done(IdeDrive *d, uint32_t len)
{
    IdeChannel *ch = d->ch;

    ch->at += len / 512;
    ch->left -= len / 512;
    if (ch->left == 0 && !d->write_cache) {
        ch->flushing = true;
        ide_submit(d, BLOCK_FLUSH, 0, 0);
    } else if (ch->left == 0) {
        transfer_done(d);
    } else if (ch->dma) {
        ide_start_dma(d);
    } else {
        ide_start_pio(d, IDE_PIO_OUT, 0, block_bytes(d));
        ide_raise_irq(ch);
    }
}

void ide_disk_io_done(IdeDrive *d, int err)
{
    IdeChannel *ch = d->ch;
    BlockOp op = ch->req->block.op;

    if (op == BLOCK_FLUSH) {
        bool of_write = ch->flushing;
        ch->flushing = false;
        if (err != 0) {
            ide_command_fail(d, IDE_ABRT);
        } else if (of_write) {
            transfer_done(d);
        } else {
            ide_command_ok(d);
        }
    } else if (err != 0) {
        transfer_error(d, op == BLOCK_READ ? IDE_UNC : IDE_ABRT);
    } else if (op == BLOCK_READ) {
        read_done(d, (uint32_t)ch->req->block.len);
    } else {
        write_done(d, (uint32_t)ch->req->block.len);
    }
}

/* -- IDENTIFY and features -------------------------------------------------------------------------- */

static void identify_modes(const IdeDrive *d, uint8_t *id)
{
    ide_put_word(id, 63, 0x07 | (d->mwdma != 0xff ? 0x100u << d->mwdma : 0));
    ide_put_word(id, 64, 0x03);
    for (unsigned w = 65; w <= 68; w++) {
        ide_put_word(id, w, 120);
    }
    ide_put_word(id, 88, 0x3f | (d->udma != 0xff ? 0x100u << d->udma : 0));
}

static void identify_geometry(const IdeDrive *d, uint8_t *id)
{
    uint64_t cylinders = MIN(d->sectors / (16 * 63), UINT64_C(16383));
    uint64_t now = MIN(d->sectors / (d->heads * d->track_sectors), UINT64_C(16383));
    uint64_t chs = now * d->heads * d->track_sectors;

    ide_put_word(id, 1, (unsigned)cylinders);
    ide_put_word(id, 3, 16);
    ide_put_word(id, 6, 63);
    ide_put_word(id, 54, (unsigned)now);
    ide_put_word(id, 55, d->heads);
    ide_put_word(id, 56, d->track_sectors);
    store_le(id + 2 * 57, 4, chs);
    store_le(id + 2 * 60, 4, MIN(d->sectors, UINT64_C(0x0fffffff)));
    store_le(id + 2 * 100, 8, d->sectors);
}

static void identify(IdeDrive *d)
{
    uint8_t *id = d->ch->req->buf;

    memset(id, 0, 512);
    ide_put_word(id, 0, 0x0040);
    ide_put_text(id, 10, 10, d->serial);
    ide_put_word(id, 20, 3);
    ide_put_word(id, 21, 512);
    ide_put_text(id, 23, 4, "1.0");
    ide_put_text(id, 27, 20, "METAPHRASE HARDDISK");
    ide_put_word(id, 47, 0x8000 | IDE_MAX_MULTIPLE);
    ide_put_word(id, 48, 1);
    ide_put_word(id, 49, 0x0f00);      /* LBA, DMA, IORDY */
    ide_put_word(id, 50, 0x4000);
    ide_put_word(id, 51, 0x200);
    ide_put_word(id, 53, 7);
    ide_put_word(id, 59, d->multiple != 0 ? 0x100 | d->multiple : 0);
    identify_geometry(d, id);
    identify_modes(d, id);
    ide_put_word(id, 80, 0x00f0);      /* ATA-4 to ATA-7 */
    ide_put_word(id, 82, 0x4020);      /* NOP, write cache */
    ide_put_word(id, 83, 0x7400);      /* FLUSH EXT, FLUSH, 48 bits */
    ide_put_word(id, 84, 0x4000);
    ide_put_word(id, 85, 0x4000 | (d->write_cache ? 0x20 : 0));
    ide_put_word(id, 86, 0x3400);
    ide_put_word(id, 87, 0x4000);
    ide_put_word(id, 93, 0x6001 | (d == &d->ch->drive[1] ? 0x0800 : 0));
    ide_start_pio(d, IDE_PIO_IN, 0, 512);
    ide_raise_irq(d->ch);
}

/* Transfer mode (features 03h): the count register holds kind and number. */
static bool set_transfer_mode(IdeDrive *d, uint8_t mode)
{
    unsigned n = mode & 7;

    switch (mode >> 3) {
    case 0: /* PIO default */
    case 1: /* PIO with IORDY */
        return mode >> 3 == 0 ? n <= 1 : n <= 4;
    case 4:
        d->mwdma = n <= 2 ? (uint8_t)n : d->mwdma;
        d->udma = n <= 2 ? 0xff : d->udma;
        return n <= 2;
    case 8:
        d->udma = n <= 5 ? (uint8_t)n : d->udma;
        d->mwdma = n <= 5 ? 0xff : d->mwdma;
        return n <= 5;
    default:
        return false;
    }
}

void ide_set_features(IdeDrive *d)
{
    bool ok = true;

    switch (d->feature[0]) {
    case 0x02:
        d->write_cache = true;
        break;
    case 0x82: /* write cache off: what was cached goes to stable storage now */
        d->write_cache = false;
        if (d->kind == IDE_DISK) {
            ide_submit(d, BLOCK_FLUSH, 0, 0);
            return;
        }
        break;
    case 0x03:
        ok = set_transfer_mode(d, d->count[0]);
        break;
    case 0xaa: case 0x55: /* read look-ahead */
    case 0xcc: case 0x66: /* defaults at reset */
        break;
    default:
        ok = false;
        break;
    }
    if (ok) {
        ide_command_ok(d);
    } else {
        ide_command_fail(d, IDE_ABRT);
    }
}

/* -- Commands ---------------------------------------------------------------------------------------- */

static void init_parameters(IdeDrive *d)
{
    if (d->count[0] == 0) {
        ide_command_fail(d, IDE_ABRT);
        return;
    }
    d->heads = (d->ch->device & 15) + 1;
    d->track_sectors = d->count[0];
    ide_command_ok(d);
}

static void set_multiple(IdeDrive *d)
{
    unsigned n = d->count[0];

    if (n > IDE_MAX_MULTIPLE || (n & (n - 1)) != 0) {
        ide_command_fail(d, IDE_ABRT);
        return;
    }
    d->multiple = n;
    ide_command_ok(d);
}

static void native_max(IdeDrive *d, bool ext)
{
    uint64_t last = d->sectors - 1;

    d->ch->device |= DEVICE_LBA;
    show_sector(d, ext ? last : MIN(last, UINT64_C(0x0fffffff)), ext);
    ide_command_ok(d);
}

/* Commands without data.  False when `command` is none of these. */
static bool plain_command(IdeDrive *d, uint8_t command)
{
    switch (command) {
    case CMD_VERIFY: case CMD_VERIFY_NORETRY: case CMD_VERIFY_EXT:
        if (locate(d)) {
            ide_command_ok(d);
        }
        return true;
    case CMD_CHECK_POWER:
        d->count[0] = 0xff; /* active */
        ide_command_ok(d);
        return true;
    case CMD_STANDBY_NOW: case CMD_IDLE_NOW: case CMD_STANDBY: case CMD_IDLE: case CMD_SLEEP:
    case CMD_SEEK:
        ide_command_ok(d);
        return true;
    case CMD_INIT_PARAMETERS: init_parameters(d); return true;
    case CMD_SET_MULTIPLE: set_multiple(d); return true;
    case CMD_SET_FEATURES: ide_set_features(d); return true;
    case CMD_NATIVE_MAX: native_max(d, false); return true;
    case CMD_NATIVE_MAX_EXT: native_max(d, true); return true;
    default:
        if ((command & 0xf0) == CMD_RECALIBRATE) {
            ide_command_ok(d);
            return true;
        }
        return false;
    }
}

void ide_disk_command(IdeDrive *d, uint8_t command)
{
    switch (command) {
    case CMD_READ: case CMD_READ_NORETRY: case CMD_READ_EXT:
        transfer(d, false, false, 1);
        break;
    case CMD_READ_MULTIPLE: case CMD_READ_MULTIPLE_EXT:
        transfer(d, false, false, d->multiple);
        break;
    case CMD_READ_DMA: case CMD_READ_DMA_NORETRY: case CMD_READ_DMA_EXT:
        transfer(d, false, true, 1);
        break;
    case CMD_WRITE: case CMD_WRITE_NORETRY: case CMD_WRITE_EXT:
        transfer(d, true, false, 1);
        break;
    case CMD_WRITE_MULTIPLE: case CMD_WRITE_MULTIPLE_EXT:
        transfer(d, true, false, d->multiple);
        break;
    case CMD_WRITE_DMA: case CMD_WRITE_DMA_NORETRY: case CMD_WRITE_DMA_EXT:
        transfer(d, true, true, 1);
        break;
    case CMD_FLUSH: case CMD_FLUSH_EXT:
        ide_submit(d, BLOCK_FLUSH, 0, 0);
        break;
    case CMD_IDENTIFY:
        identify(d);
        break;
    default:
        if (!plain_command(d, command)) {
            log_unimp("ide: command 0x%02x\n", command);
            ide_command_fail(d, IDE_ABRT);
        }
        break;
    }
}
