/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The controller and its channels: registers, interrupts, resets, the bus master. */
#include "hw/ide.h"

#include "hw/dma.h"
#include "hw/ide-internal.h"
#include "softmmu/base/log.h"

#include <string.h>

/* -- Interrupts ---------------------------------------------------------------------------------- */

static void update_irq(IdeChannel *ch)
{
    irq_set(&ch->irq, ch->irq_level && (ch->control & IDE_CONTROL_NIEN) == 0);
}

void ide_raise_irq(IdeChannel *ch)
{
    ch->irq_level = true;
    ch->bm_status |= BM_INTERRUPT;
    update_irq(ch);
}

static void lower_irq(IdeChannel *ch)
{
    ch->irq_level = false;
    update_irq(ch);
}

/* -- Ends of commands ----------------------------------------------------------------------------- */

static void finish(IdeDrive *d, uint8_t status, uint8_t error)
{
    d->status = status;
    d->error = error;
    d->ch->phase = IDE_IDLE;
    ide_raise_irq(d->ch);
}

void ide_command_ok(IdeDrive *d)
{
    finish(d, IDE_DRDY | IDE_DSC, 0);
}

void ide_command_fail(IdeDrive *d, uint8_t error)
{
    finish(d, IDE_DRDY | IDE_DSC | IDE_ERR, error);
}

/* -- PIO ------------------------------------------------------------------------------------------- */

void ide_start_pio(IdeDrive *d, IdePhase phase, uint32_t pos, uint32_t end)
{
    IdeChannel *ch = d->ch;

    g_assert(pos < end && end <= IDE_BUF_LEN);
    ch->phase = phase;
    ch->pos = pos;
    ch->end = end;
    d->status = IDE_DRDY | IDE_DSC | IDE_DRQ;
}

static void pio_end(IdeDrive *d)
{
    if (d->ch->phase == IDE_PACKET) {
        ide_atapi_packet(d);
    } else if (d->kind == IDE_DISK) {
        ide_disk_pio_end(d);
    } else {
        ide_atapi_pio_end(d);
    }
}

static uint64_t data_read(IdeChannel *ch, unsigned size)
{
    uint64_t val = 0;
    uint32_t n;

    if (ch->phase != IDE_PIO_IN || ide_selected(ch)->kind == IDE_NONE) {
        return 0;
    }
    n = MIN(size, ch->end - ch->pos);
    memcpy(&val, ch->req->buf + ch->pos, n);
    ch->pos += n;
    if (ch->pos == ch->end) {
        pio_end(ide_selected(ch));
    }
    return val;
}

static void data_write(IdeChannel *ch, unsigned size, uint64_t val)
{
    uint32_t n;

    if ((ch->phase != IDE_PIO_OUT && ch->phase != IDE_PACKET) ||
        ide_selected(ch)->kind == IDE_NONE) {
        return;
    }
    n = MIN(size, ch->end - ch->pos);
    memcpy(ch->req->buf + ch->pos, &val, n);
    ch->pos += n;
    if (ch->pos == ch->end) {
        pio_end(ide_selected(ch));
    }
}

/* -- Bus master (PIIX3 datasheet 2.5, "Bus Master IDE") ------------------------------------------- */

static void dma_go(IdeDrive *d)
{
    if (d->kind == IDE_DISK) {
        ide_disk_dma(d);
    } else {
        ide_atapi_dma(d);
    }
}

void ide_start_dma(IdeDrive *d)
{
    IdeChannel *ch = d->ch;

    ch->phase = IDE_DMA_WAIT;
    d->status = IDE_DRDY | IDE_DSC | IDE_DRQ;
    if ((ch->bm_command & BM_START) != 0) {
        dma_go(d);
    }
}

bool ide_bm_copy(IdeChannel *ch, void *buf, uint32_t len, bool to_memory)
{
    uint8_t *p = buf;

    if (!pci_is_master(&ch->ide->pci)) {
        return false;
    }
    while (len > 0) {
        uint32_t n;

        if (ch->prd_left == 0) {
            uint32_t flags;
            if (ch->prd_last) {
                return false;
            }
            ch->prd_addr = (uint32_t)dma_load(ch->ide->mem, ch->prd_next, 4) & ~1u;
            flags = (uint32_t)dma_load(ch->ide->mem, ch->prd_next + 4, 4);
            ch->prd_left = (flags & 0xfffe) != 0 ? flags & 0xfffe : 0x10000;
            ch->prd_last = (flags >> 31) != 0;
            ch->prd_next = (ch->prd_next & ~0xffffu) | ((ch->prd_next + 8) & 0xffff);
        }
        n = MIN(len, ch->prd_left);
        if (to_memory) {
            dma_write(ch->ide->mem, ch->prd_addr, p, n);
        } else {
            dma_read(ch->ide->mem, ch->prd_addr, p, n);
        }
        ch->prd_addr += n;
        ch->prd_left -= n;
        p += n;
        len -= n;
    }
    return true;
}

void ide_bm_finish(IdeChannel *ch, bool error)
{
    if (error) {
        ch->bm_status |= BM_ERROR;
    }
    if (error || (ch->prd_last && ch->prd_left == 0)) {
        ch->bm_status &= (uint8_t)~BM_ACTIVE;
    }
}

static void bm_write_command(IdeChannel *ch, uint8_t val)
{
    bool was = (ch->bm_command & BM_START) != 0;

    ch->bm_command = val & (BM_START | BM_TO_MEMORY);
    if ((val & BM_START) == 0) {
        ch->bm_status &= (uint8_t)~BM_ACTIVE;
    } else if (!was) {
        ch->bm_status |= BM_ACTIVE;
        ch->prd_next = ch->bm_prdt;
        ch->prd_left = 0;
        ch->prd_last = false;
        if (ch->phase == IDE_DMA_WAIT) {
            dma_go(ide_selected(ch));
        }
    }
}

static uint64_t bm_read(void *arg, uint64_t off, unsigned size)
{
    IdeChannel *ch = &((IdeController *)arg)->channel[off >> 3];

    (void)size;
    switch (off & 7) {
    case 0: return ch->bm_command;
    case 2: return ch->bm_status;
    case 4: case 5: case 6: case 7: return ch->bm_prdt >> ((off & 3) * 8) & 0xff;
    default: return 0;
    }
}

static void bm_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    IdeChannel *ch = &((IdeController *)arg)->channel[off >> 3];
    uint8_t b = (uint8_t)val;

    (void)size;
    switch (off & 7) {
    case 0:
        bm_write_command(ch, b);
        break;
    case 2: /* error and interrupt: write 1 to clear; drive-capable bits are the guest's notes */
        ch->bm_status = (uint8_t)((ch->bm_status & 0x07 & ~(b & 6)) | (b & 0x60));
        break;
    case 4: case 5: case 6: case 7:
        ch->bm_prdt = (uint32_t)bits_put(ch->bm_prdt, (off & 3) * 8, 8, b) & ~3u;
        break;
    default:
        break;
    }
}

/* -- Host I/O -------------------------------------------------------------------------------------- */

static void finish_reset(IdeChannel *ch);

static void io_done(BlockRequest *r, int err)
{
    IdeRequest *q = r->arg;
    IdeChannel *ch = q->ch;
    IdeDrive *d;

    ch->in_flight = false;
    if (ch->reset_drives != 0) {
        if ((ch->control & IDE_CONTROL_SRST) == 0) {
            finish_reset(ch);
        }
        return;
    }
    d = ide_selected(ch);
    if (d->kind == IDE_DISK) {
        ide_disk_io_done(d, err);
    } else {
        ide_atapi_io_done(d, err);
    }
}

void ide_submit(IdeDrive *d, BlockOp op, uint64_t offset, uint32_t len)
{
    IdeChannel *ch = d->ch;
    IdeRequest *q = ch->req;

    g_assert(!ch->in_flight && len <= IDE_BUF_LEN);
    q->iov = (struct iovec){q->buf, len};
    q->block = (BlockRequest){.op = op, .offset = offset, .len = len, .iov = &q->iov, .n_iov = 1,
                              .done = io_done, .arg = q};
    q->blk = d->blk;
    ch->in_flight = true;
    ch->phase = IDE_IO;
    d->status = IDE_BSY;
    block_submit(d->blk, &q->block);
}

/* Forget the request in flight, if any; waits for the host. */
static void abandon_request(IdeChannel *ch)
{
    if (ch->in_flight) {
        block_cancel(ch->req->blk, ch->req);
        ch->in_flight = false;
    }
}

/* -- Resets ---------------------------------------------------------------------------------------- */

/* The signature tells the kinds apart (ATA/ATAPI-7 volume 1, 5.15). */
static void set_signature(IdeDrive *d)
{
    d->count[0] = d->lba[0][0] = 1;
    d->lba[1][0] = d->kind == IDE_CDROM ? 0x14 : 0;
    d->lba[2][0] = d->kind == IDE_CDROM ? 0xeb : 0;
    d->error = 1; /* diagnostics: no fault */
    d->status = d->kind == IDE_CDROM ? 0 : IDE_DRDY | IDE_DSC;
}

static void finish_reset(IdeChannel *ch)
{
    for (unsigned i = 0; i < 2; i++) {
        if ((ch->reset_drives >> i & 1) != 0) {
            set_signature(&ch->drive[i]);
        }
    }
    ch->reset_drives = 0;
    ch->phase = IDE_IDLE;
}

/* Start the reset of the drives in `mask`; over now, or when the request in flight is. */
static void begin_reset(IdeChannel *ch, unsigned mask)
{
    for (unsigned i = 0; i < 2; i++) {
        if ((mask >> i & 1) != 0) {
            ch->drive[i].status = IDE_BSY;
        }
    }
    ch->reset_drives |= mask;
    ch->phase = IDE_IDLE;
    ch->flushing = false;
    lower_irq(ch);
}

static void write_control(IdeChannel *ch, uint8_t val)
{
    bool was = (ch->control & IDE_CONTROL_SRST) != 0;

    ch->control = val & (IDE_CONTROL_HOB | IDE_CONTROL_SRST | IDE_CONTROL_NIEN);
    if ((val & IDE_CONTROL_SRST) != 0 && !was) {
        begin_reset(ch, 3);
        ch->device = 0;
    } else if ((val & IDE_CONTROL_SRST) == 0 && was && !ch->in_flight) {
        finish_reset(ch);
    }
    update_irq(ch);
}

/* -- Command block --------------------------------------------------------------------------------- */

enum { REG_DATA, REG_ERROR, REG_COUNT, REG_LBA0, REG_LBA1, REG_LBA2, REG_DEVICE, REG_STATUS };
enum { CMD_DEVICE_RESET = 0x08, CMD_DIAGNOSE = 0x90 };

static void write_command(IdeChannel *ch, uint8_t command)
{
    IdeDrive *d = ide_selected(ch);

    trace(ide_exec_cmd, "command=0x%02x", command);
    if (d->kind == IDE_NONE) {
        return;
    }
    lower_irq(ch);
    if (command == CMD_DEVICE_RESET && d->kind == IDE_CDROM) {
        begin_reset(ch, 1u << (d == &ch->drive[1]));
        if (!ch->in_flight) {
            finish_reset(ch);
        }
        return;
    }
    if (ch->in_flight || ((d->status & (IDE_BSY | IDE_DRQ)) != 0 && ch->phase == IDE_IO)) {
        log_guest_error("ide: command 0x%02x while the drive is busy\n", command);
        return;
    }
    ch->command = command;
    ch->phase = IDE_IDLE;
    ch->flushing = false;
    ch->dma = false;
    d->error = 0;
    if (command == CMD_DIAGNOSE) {
        ch->reset_drives = 3;
        ch->device = 0;
        finish_reset(ch);
        ide_raise_irq(ch);
    } else if (d->kind == IDE_DISK) {
        ide_disk_command(d, command);
    } else {
        ide_atapi_command(d, command);
    }
}

static void push(uint8_t reg[2], uint8_t val)
{
    reg[1] = reg[0];
    reg[0] = val;
}

static void command_write(IdeChannel *ch, uint64_t off, unsigned size, uint64_t val)
{
    if (off == REG_DATA) {
        data_write(ch, size, val);
        return;
    }
    for (unsigned i = 0; i < size; i++, off++, val >>= 8) {
        uint8_t b = (uint8_t)val;
        if (off == REG_STATUS) {
            write_command(ch, b);
        } else if (off == REG_DEVICE) {
            /* A drive that works keeps the channel: only an idle one lets go. */
            if (!ch->in_flight) {
                ch->phase = ((ch->device ^ b) & 0x10) != 0 ? IDE_IDLE : ch->phase;
                ch->device = b;
            }
        } else if (!ch->in_flight) {
            for (unsigned n = 0; n < 2; n++) { /* both drives hear the bus */
                IdeDrive *d = &ch->drive[n];
                push(off == REG_ERROR   ? d->feature
                     : off == REG_COUNT ? d->count
                                        : d->lba[off - REG_LBA0], b);
            }
        }
    }
}

static uint8_t register_read(IdeChannel *ch, unsigned reg)
{
    IdeDrive *d = ide_selected(ch);
    unsigned hob = (ch->control & IDE_CONTROL_HOB) != 0;

    if (ch->drive[0].kind == IDE_NONE && ch->drive[1].kind == IDE_NONE) {
        return reg == REG_DEVICE ? ch->device : 0;
    }
    switch (reg) {
    case REG_ERROR: return d->kind == IDE_NONE ? 0 : d->error;
    case REG_COUNT: return d->kind == IDE_NONE ? 0 : d->count[hob];
    case REG_DEVICE: return ch->device | 0xa0;
    case REG_STATUS: return d->kind == IDE_NONE ? 0 : d->status;
    default: return d->kind == IDE_NONE ? 0 : d->lba[reg - REG_LBA0][hob];
    }
}

static uint64_t command_read(IdeChannel *ch, uint64_t off, unsigned size)
{
    uint64_t val = 0;

    if (off == REG_DATA) {
        return data_read(ch, size);
    }
    for (unsigned i = 0; i < size; i++) {
        val |= (uint64_t)register_read(ch, (unsigned)off + i) << (8 * i);
        if (off + i == REG_STATUS) {
            lower_irq(ch);
        }
    }
    return val;
}

/* -- Windows --------------------------------------------------------------------------------------- */

#define CHANNEL_WINDOWS(n)                                                                         \
    static uint64_t command_read##n(void *arg, uint64_t off, unsigned size)                        \
    {                                                                                              \
        return command_read(&((IdeController *)arg)->channel[n], off, size);                       \
    }                                                                                              \
    static void command_write##n(void *arg, uint64_t off, unsigned size, uint64_t val)             \
    {                                                                                              \
        command_write(&((IdeController *)arg)->channel[n], off, size, val);                        \
    }                                                                                              \
    static uint64_t control_read##n(void *arg, uint64_t off, unsigned size)                        \
    {                                                                                              \
        return register_read(&((IdeController *)arg)->channel[n], REG_STATUS);                     \
    }                                                                                              \
    static void control_write##n(void *arg, uint64_t off, unsigned size, uint64_t val)             \
    {                                                                                              \
        write_control(&((IdeController *)arg)->channel[n], (uint8_t)val);                          \
    }
CHANNEL_WINDOWS(0)
CHANNEL_WINDOWS(1)

static const DeviceWindow ide_windows[IDE_WINDOW_COUNT] = {
    [IDE_WINDOW_PRIMARY] = {"ide0", WINDOW_PORT, 8, {command_read0, command_write0, 4}},
    [IDE_WINDOW_PRIMARY_CONTROL] = {"ide0-control", WINDOW_PORT, 1,
                                    {control_read0, control_write0, 1}},
    [IDE_WINDOW_SECONDARY] = {"ide1", WINDOW_PORT, 8, {command_read1, command_write1, 4}},
    [IDE_WINDOW_SECONDARY_CONTROL] = {"ide1-control", WINDOW_PORT, 1,
                                      {control_read1, control_write1, 1}},
    [IDE_WINDOW_BUS_MASTER] = {"ide-bus-master", WINDOW_PORT, 16, {bm_read, bm_write, 1}},
};

/* The data port moves on, the status port lowers the interrupt. */
static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    (void)d;
    return (window == IDE_WINDOW_PRIMARY || window == IDE_WINDOW_SECONDARY) &&
           (off == REG_DATA || off == REG_STATUS);
}

/* -- Device ---------------------------------------------------------------------------------------- */

static void reset_drive(IdeDrive *d)
{
    memset(d->feature, 0, sizeof d->feature);
    memset(d->count, 0, sizeof d->count);
    memset(d->lba, 0, sizeof d->lba);
    d->heads = 16;
    d->track_sectors = 63;
    d->multiple = 0;
    d->mwdma = 0xff;
    d->udma = d->kind == IDE_NONE ? 0xff : 2;
    d->write_cache = true;
    d->sense_key = d->sense_asc = 0;
    d->unit_attention = d->kind == IDE_CDROM;
    d->medium_changed = d->locked = false;
    set_signature(d);
    if (d->kind == IDE_NONE) {
        d->status = d->error = 0;
    }
}

static void ide_reset(Device *dev)
{
    IdeController *ide = (IdeController *)dev;

    pci_device_reset(&ide->pci);
    for (unsigned i = 0; i < 2; i++) {
        IdeChannel *ch = &ide->channel[i];
        abandon_request(ch);
        memset(ch->req->buf, 0, sizeof ch->req->buf);
        memset(&ch->device, 0, offsetof(IdeChannel, req) - offsetof(IdeChannel, device));
        ch->reset_drives = 0;
        reset_drive(&ch->drive[0]);
        reset_drive(&ch->drive[1]);
        update_irq(ch);
    }
}

static void ide_destroy(Device *dev)
{
    IdeController *ide = (IdeController *)dev;

    for (unsigned i = 0; i < 2; i++) {
        abandon_request(&ide->channel[i]);
        g_free(ide->channel[i].req);
    }
    pci_device_clear(&ide->pci);
    g_free(ide);
}

/* What the running command may do next stays inside the buffer and the medium. */
static bool command_is_sane(const IdeChannel *ch)
{
    const IdeDrive *d = &ch->drive[(ch->device >> 4) & 1];
    bool pio = ch->phase == IDE_PIO_IN || ch->phase == IDE_PIO_OUT || ch->phase == IDE_PACKET;
    bool writes = ch->phase == IDE_PIO_OUT || (ch->phase == IDE_DMA_WAIT && ch->write && d->kind == IDE_DISK);

    if (ch->phase == IDE_IDLE) {
        return true;
    }
    return ch->phase != IDE_IO && d->kind != IDE_NONE && (!pio || ch->pos < ch->end) && ch->block >= 2 &&
           ch->at <= d->sectors && ch->left <= d->sectors - ch->at && (d->kind == IDE_CDROM || ch->left <= 65536) &&
           (ch->phase != IDE_PACKET || (d->kind == IDE_CDROM && ch->end == 12)) &&
           (!writes || (d->kind == IDE_DISK && ch->left > 0 && !block_read_only(d->blk))) &&
           (ch->phase != IDE_PIO_OUT || (ch->end % 512 == 0 && ch->end / 512 <= ch->left)) &&
           (ch->phase != IDE_DMA_WAIT || d->kind == IDE_CDROM || ch->left > 0);
}

static bool ide_refuse(GError **error, const char *what)
{
    g_set_error_literal(error, g_quark_from_static_string("ide"), 0, what);
    return false;
}

static bool channel_saving(void *state, GError **error)
{
    return !((IdeChannel *)state)->in_flight || ide_refuse(error, "a request is in flight");
}

static bool drive_loaded(void *state, GError **error)
{
    const IdeDrive *d = state;

    return (d->heads != 0 && d->track_sectors != 0 && (d->mwdma <= 2 || d->mwdma == 0xff) &&
            (d->udma <= 5 || d->udma == 0xff)) || ide_refuse(error, "no drive is in such a mode");
}

static bool channel_loaded(void *state, GError **error)
{
    return command_is_sane(state) || ide_refuse(error, "no command is in such a state");
}

/* As much of the buffer as is in use, in pieces. */
enum { PIECE_LEN = 4096 };
static const Field piece_fields[] = {{.name = "bytes", .size = PIECE_LEN}};
static const FieldTable piece_state = {.version = 1, FIELDS(piece_fields)};

static void *find_piece(void *state, unsigned i, const FieldTable **table)
{
    IdeChannel *ch = state;

    *table = &piece_state;
    return i < (MAX(ch->end, ch->valid) + PIECE_LEN - 1) / PIECE_LEN ? ch->req->buf + i * PIECE_LEN : NULL;
}

static const Field drive_fields[] = {
    FIELD_SAME(IdeDrive, kind), FIELD_SAME(IdeDrive, sectors), FIELD(IdeDrive, feature), FIELD(IdeDrive, count), FIELD(IdeDrive, lba),
    FIELD(IdeDrive, error), FIELD(IdeDrive, status), FIELD_MAX(IdeDrive, heads, 16),
    FIELD_MAX(IdeDrive, track_sectors, 255), FIELD_MAX(IdeDrive, multiple, IDE_MAX_MULTIPLE), FIELD(IdeDrive, mwdma),
    FIELD(IdeDrive, udma), FIELD(IdeDrive, write_cache), FIELD(IdeDrive, sense_key), FIELD(IdeDrive, sense_asc),
    FIELD(IdeDrive, unit_attention), FIELD(IdeDrive, medium_changed), FIELD(IdeDrive, locked),
};
static const FieldTable drive_state = {.version = 1, FIELDS(drive_fields), .loaded = drive_loaded};

static const Field channel_fields[] = {
    FIELD_ARRAY(IdeChannel, drive, drive_state), FIELD(IdeChannel, device), FIELD(IdeChannel, control),
    FIELD(IdeChannel, irq_level), FIELD(IdeChannel, bm_command), FIELD(IdeChannel, bm_status),
    FIELD(IdeChannel, bm_prdt), FIELD_MAX(IdeChannel, phase, IDE_IO), FIELD(IdeChannel, command),
    FIELD(IdeChannel, write), FIELD(IdeChannel, dma), FIELD(IdeChannel, flushing), FIELD(IdeChannel, at),
    FIELD(IdeChannel, left), FIELD_MAX(IdeChannel, block, IDE_BUF_LEN), FIELD_MAX(IdeChannel, pos, IDE_BUF_LEN),
    FIELD_MAX(IdeChannel, end, IDE_BUF_LEN), FIELD_MAX(IdeChannel, valid, IDE_BUF_LEN), FIELD(IdeChannel, prd_next),
    FIELD(IdeChannel, prd_addr), FIELD(IdeChannel, prd_left), FIELD(IdeChannel, prd_last),
    FIELD_MAX(IdeChannel, reset_drives, 3), FIELD_FIND("buf", find_piece),
};
static const FieldTable channel_state = {.version = 1, FIELDS(channel_fields), .saving = channel_saving, .loaded = channel_loaded};

static const Field ide_fields[] = {
    FIELD_STRUCT(IdeController, pci, pci_device_state), FIELD_ARRAY(IdeController, channel, channel_state),
};
static const FieldTable ide_state = {.version = 1, FIELDS(ide_fields)};

static const DeviceClass ide_class = {
    .name = "piix3-ide",
    .help = "PIIX3 IDE controller",
    .windows = ide_windows,
    .n_windows = IDE_WINDOW_COUNT,
    .read_has_effect = read_has_effect,
    .reset = ide_reset,
    .destroy = ide_destroy,
    .state = &ide_state,
};

Device *ide_new(PhysMem *mem)
{
    static const PciIds ids = {.vendor = 0x8086, .device = 0x7010, .class_code = 0x010180,
                               .subsystem_vendor = 0x1af4, .subsystem = 0x1100};
    IdeController *ide = g_new0(IdeController, 1);

    ide->mem = mem;
    pci_device_init(&ide->pci, &ide_class, &ids);
    /* IDETIM of both channels: decoding enabled (bit 15), so that a guest booted without firmware
     * finds its drives. */
    pci_config_init(&ide->pci, 0x40, 4, 0x80008000, 0xffffffff);
    pci_add_bar(&ide->pci, 4, &ide_windows[IDE_WINDOW_BUS_MASTER], 0);
    for (unsigned i = 0; i < 2; i++) {
        IdeChannel *ch = &ide->channel[i];
        ch->ide = ide;
        ch->index = i;
        ch->req = g_new0(IdeRequest, 1);
        ch->req->ch = ch;
        ch->drive[0].ch = ch->drive[1].ch = ch;
    }
    ide_reset(&ide->pci.dev);
    return &ide->pci.dev;
}

PciDevice *ide_pci(Device *d)
{
    return (PciDevice *)d;
}

void ide_set_irq(Device *d, unsigned channel, IrqLine irq)
{
    ((IdeController *)d)->channel[channel].irq = irq;
}

static IdeDrive *unit_drive(Device *d, unsigned unit)
{
    g_assert(unit < IDE_UNIT_COUNT);
    return &((IdeController *)d)->channel[unit >> 1].drive[unit & 1];
}

void ide_attach_disk(Device *d, unsigned unit, BlockBackend *b, const char *serial)
{
    IdeDrive *drive = unit_drive(d, unit);

    drive->kind = IDE_DISK;
    drive->blk = b;
    drive->sectors = block_size(b) / 512;
    if (serial != NULL) {
        g_strlcpy(drive->serial, serial, sizeof drive->serial);
    } else {
        g_snprintf(drive->serial, sizeof drive->serial, "MP%05u", unit + 1);
    }
    reset_drive(drive);
}

static void set_medium(IdeDrive *drive, BlockBackend *medium)
{
    drive->blk = medium;
    drive->sectors = medium != NULL ? block_size(medium) / 2048 : 0;
}

void ide_attach_cdrom(Device *d, unsigned unit, BlockBackend *medium)
{
    IdeDrive *drive = unit_drive(d, unit);

    drive->kind = IDE_CDROM;
    g_snprintf(drive->serial, sizeof drive->serial, "MP%05u", unit + 1);
    set_medium(drive, medium);
    reset_drive(drive);
}

void ide_change_medium(Device *d, unsigned unit, BlockBackend *medium)
{
    IdeDrive *drive = unit_drive(d, unit);
    IdeChannel *ch = drive->ch;

    if (drive->kind != IDE_CDROM) {
        return;
    }
    if (ch->in_flight && ide_selected(ch) == drive) {
        abandon_request(ch);
        ch->reset_drives = 0;
        ide_command_fail(drive, IDE_ABRT);
    }
    set_medium(drive, medium);
    drive->unit_attention = drive->medium_changed = true;
}

void ide_put_text(uint8_t *identify, unsigned word, unsigned words, const char *text)
{
    size_t len = strlen(text);

    for (unsigned i = 0; i < words * 2; i++) {
        identify[word * 2 + (i ^ 1)] = i < len ? (uint8_t)text[i] : ' ';
    }
}
