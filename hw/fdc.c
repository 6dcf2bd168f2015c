/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reference: Intel 82078 datasheet, chapters 2 (registers), 5 and 6 (commands). */
#include "hw/fdc.h"

#include "hw/dma8237.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <string.h>

enum { SECTOR = 512, DMA_CHANNEL = 2, N_DRIVES = 2 };

/* Status registers of results. */
enum { ST0_ABNORMAL = 0x40, ST0_INVALID = 0x80, ST0_SEEK_END = 0x20 };
enum { ST1_NO_ADDRESS = 0x01, ST1_NOT_WRITABLE = 0x02, ST1_NO_DATA = 0x04, ST1_DATA_ERROR = 0x20,
       ST1_END_OF_CYLINDER = 0x80 };
enum { DOR_NO_RESET = 0x04, DOR_DMA_IRQ = 0x08 };
enum { MSR_BUSY = 0x10, MSR_NON_DMA = 0x20, MSR_TO_HOST = 0x40, MSR_READY = 0x80 };

typedef struct {
    uint32_t sectors;
    uint8_t cylinders, heads, track_sectors, rate, type;
} DiskFormat;

/* Data rate as in CCR: 0 500, 1 300, 2 250, 3 1000 kbit/s. */
static const DiskFormat formats[] = {
    {320, 40, 1, 8, 2, 4},   {360, 40, 1, 9, 2, 4},   {640, 40, 2, 8, 2, 4},
    {720, 40, 2, 9, 2, 4},   {1440, 80, 2, 9, 2, 4},  {2400, 80, 2, 15, 0, 2},
    {2880, 80, 2, 18, 0, 4}, {3360, 80, 2, 21, 0, 4}, {5760, 80, 2, 36, 3, 5},
};

typedef struct {
    bool present;
    BlockBackend *medium;
    const DiskFormat *format;     /* of the medium */
    uint8_t type;
    uint8_t cylinder;
    bool changed;
} Drive;

typedef enum { PHASE_COMMAND, PHASE_TO_HOST, PHASE_FROM_HOST, PHASE_RESULT } Phase;

typedef struct {
    Device dev;

    /* wiring */
    Device *dma;
    IrqLine irq;
    Drive drive[N_DRIVES];

    /* registers */
    uint8_t dor, tdr, rate;
    uint8_t specify[2], config[3], perpendicular;
    bool locked, irq_level;
    uint8_t reset_sense;          /* SENSE INTERRUPTs still owed after a reset */
    uint8_t st0;                  /* of the next SENSE INTERRUPT */
    bool sense_pending;

    /* the command */
    Phase phase;
    uint8_t cmd[9];
    unsigned n_cmd, want;
    uint8_t result[10];
    unsigned n_result, result_at;

    /* its transfer, sector by sector */
    uint8_t c, h, r;
    uint8_t buf[SECTOR];
    unsigned buf_at;
} Fdc;

/* -- Interrupt --------------------------------------------------------------------------------------- */

static void set_irq(Fdc *f, bool level)
{
    f->irq_level = level;
    irq_set(&f->irq, level && (f->dor & DOR_DMA_IRQ) != 0);
}

/* -- Phases ------------------------------------------------------------------------------------------ */

static void to_command(Fdc *f)
{
    f->phase = PHASE_COMMAND;
    f->n_cmd = 0;
    f->want = 1;
}

static void to_result(Fdc *f, unsigned n)
{
    f->phase = n > 0 ? PHASE_RESULT : PHASE_COMMAND;
    f->n_result = n;
    f->result_at = 0;
    f->n_cmd = 0;
    f->want = 1;
}

static unsigned unit(const Fdc *f)
{
    return f->cmd[1] & 3;
}

/* The drive a command names; NULL when there is none. */
static Drive *selected(Fdc *f)
{
    return unit(f) < N_DRIVES && f->drive[unit(f)].present ? &f->drive[unit(f)] : NULL;
}

static void transfer_result(Fdc *f, uint8_t st0, uint8_t st1, uint8_t st2)
{
    f->result[0] = (uint8_t)(st0 | (f->h << 2) | unit(f));
    f->result[1] = st1;
    f->result[2] = st2;
    f->result[3] = f->c;
    f->result[4] = f->h;
    f->result[5] = f->r;
    f->result[6] = 2;
    to_result(f, 7);
    set_irq(f, true);
}

/* -- Sectors ----------------------------------------------------------------------------------------- */

/* The place of sector c/h/r in the image, or -1 when the disk has none such. */
static int64_t sector_offset(const Drive *d, unsigned c, unsigned h, unsigned r)
{
    const DiskFormat *m = d->format;

    if (c >= m->cylinders || h >= m->heads || r < 1 || r > m->track_sectors) {
        return -1;
    }
    return (int64_t)((c * m->heads + h) * m->track_sectors + r - 1) * SECTOR;
}

/* Go to the next sector of the command; false past its end (EOT, and head 1 when MT). */
static bool next_sector(Fdc *f)
{
    bool multi_track = (f->cmd[0] & 0x80) != 0;

    if (f->r != f->cmd[6]) {
        f->r++;
        return true;
    }
    f->r = 1;
    if (multi_track && f->h == 0) {
        f->h = 1;
        return true;
    }
    if (multi_track) {
        f->h = 0;
    }
    f->c++;
    return false;
}

/* Why the disk cannot be reached at all, as ST1 (0: it can). */
static uint8_t medium_problem(Fdc *f, const Drive *d)
{
    if (d == NULL || d->medium == NULL) {
        return ST1_NO_ADDRESS | ST1_NO_DATA;
    }
    return d->format->rate != f->rate ? ST1_NO_ADDRESS : 0;
}

/* -- Read, write, verify ----------------------------------------------------------------------------- */

static bool by_dma(const Fdc *f)
{
    return (f->specify[1] & 1) == 0 && f->dma != NULL;
}

/* Read or write the current sector in the image; 0 or ST1. */
static uint8_t image_io(Fdc *f, const Drive *d, bool write)
{
    int64_t at = f->c == d->cylinder ? sector_offset(d, f->c, f->h, f->r) : -1;
    int err;

    if (at < 0) {
        return ST1_NO_DATA;
    }
    err = write ? block_pwrite(d->medium, (uint64_t)at, f->buf, SECTOR)
                : block_pread(d->medium, (uint64_t)at, f->buf, SECTOR);
    return err != 0 ? ST1_DATA_ERROR : 0;
}

/* The whole command by DMA. */
static void dma_transfer(Fdc *f, const Drive *d, bool write)
{
    for (;;) {
        bool tc = false;
        unsigned n;
        uint8_t st1;

        if (write) {
            memset(f->buf, 0, sizeof f->buf);
            n = dma8237_copy(f->dma, DMA_CHANNEL, f->buf, SECTOR, false, &tc);
            st1 = n > 0 ? image_io(f, d, true) : 0;
        } else {
            st1 = image_io(f, d, false);
            n = st1 == 0 ? dma8237_copy(f->dma, DMA_CHANNEL, f->buf, SECTOR, true, &tc) : 0;
        }
        if (st1 != 0) {
            transfer_result(f, ST0_ABNORMAL, st1, 0);
            return;
        }
        if (n < SECTOR && !tc) { /* the channel does not play: overrun */
            transfer_result(f, ST0_ABNORMAL, 0x10, 0);
            return;
        }
        if (!next_sector(f) && !tc) {
            transfer_result(f, ST0_ABNORMAL, ST1_END_OF_CYLINDER, 0);
            return;
        }
        if (tc) {
            transfer_result(f, 0, 0, 0);
            return;
        }
    }
}

/* By the data port: one sector at a time through buf. */
static void pio_next(Fdc *f, const Drive *d, bool write)
{
    uint8_t st1 = write ? 0 : image_io(f, d, false);

    if (st1 != 0) {
        transfer_result(f, ST0_ABNORMAL, st1, 0);
        return;
    }
    f->buf_at = 0;
    f->phase = write ? PHASE_FROM_HOST : PHASE_TO_HOST;
    set_irq(f, true);
}

/* A sector has gone through the data port.  No terminal count there: the end is end of cylinder. */
static void pio_sector_done(Fdc *f)
{
    Drive *d = selected(f);
    bool write = f->phase == PHASE_FROM_HOST;
    uint8_t st1 = d == NULL || d->medium == NULL ? ST1_NO_ADDRESS
                  : write                        ? image_io(f, d, true)
                                                 : 0;

    if (st1 != 0) {
        transfer_result(f, ST0_ABNORMAL, st1, 0);
    } else if (next_sector(f)) {
        pio_next(f, d, write);
    } else {
        transfer_result(f, ST0_ABNORMAL, ST1_END_OF_CYLINDER, 0);
    }
}

static void transfer(Fdc *f, bool write)
{
    Drive *d = selected(f);
    uint8_t st1 = medium_problem(f, d);

    f->c = f->cmd[2];
    f->h = f->cmd[3];
    f->r = f->cmd[4];
    if (st1 != 0) {
        transfer_result(f, ST0_ABNORMAL, st1, 0);
    } else if (write && block_read_only(d->medium)) {
        transfer_result(f, ST0_ABNORMAL, ST1_NOT_WRITABLE, 0);
    } else if (f->cmd[5] != 2) { /* only sectors of 512 bytes are on it */
        transfer_result(f, ST0_ABNORMAL, ST1_NO_DATA, 0);
    } else if (by_dma(f)) {
        dma_transfer(f, d, write);
    } else {
        pio_next(f, d, write);
    }
}

static void cmd_read(Fdc *f) { transfer(f, false); }
static void cmd_write(Fdc *f) { transfer(f, true); }

static void cmd_verify(Fdc *f)
{
    Drive *d = selected(f);
    uint8_t st1 = medium_problem(f, d);
    unsigned n = (f->cmd[1] & 0x80) != 0 ? f->cmd[8] : 256;

    f->c = f->cmd[2];
    f->h = f->cmd[3];
    f->r = f->cmd[4];
    while (st1 == 0 && n-- > 0) {
        st1 = image_io(f, d, false);
        if (st1 == 0 && !next_sector(f)) {
            break;
        }
    }
    transfer_result(f, st1 != 0 ? ST0_ABNORMAL : 0, st1, 0);
}

/* FORMAT TRACK: four bytes C, H, R, N for each sector come by DMA; all are filled with one byte. */
static void cmd_format(Fdc *f)
{
    Drive *d = selected(f);
    uint8_t st1 = medium_problem(f, d), id[4];
    bool tc = false;

    f->c = d != NULL ? d->cylinder : 0;
    f->h = f->cmd[1] >> 2 & 1;
    f->r = 1;
    if (st1 == 0 && block_read_only(d->medium)) {
        st1 = ST1_NOT_WRITABLE;
    }
    for (unsigned n = f->cmd[3]; st1 == 0 && n > 0 && !tc; n--) {
        if (!by_dma(f) || dma8237_copy(f->dma, DMA_CHANNEL, id, 4, false, &tc) < 4) {
            st1 = 0x10;
            break;
        }
        f->h = id[1];
        f->r = id[2];
        memset(f->buf, f->cmd[5], SECTOR);
        st1 = id[0] == f->c && id[3] == 2 ? image_io(f, d, true) : ST1_NO_DATA;
    }
    transfer_result(f, st1 != 0 ? ST0_ABNORMAL : 0, st1, 0);
}

static void cmd_read_id(Fdc *f)
{
    Drive *d = selected(f);
    uint8_t st1 = medium_problem(f, d);

    f->c = d != NULL ? d->cylinder : 0;
    f->h = f->cmd[1] >> 2 & 1;
    f->r = 1;
    if (st1 == 0 && sector_offset(d, f->c, f->h, 1) < 0) {
        st1 = ST1_NO_ADDRESS;
    }
    transfer_result(f, st1 != 0 ? ST0_ABNORMAL : 0, st1, 0);
}

/* -- Other commands ---------------------------------------------------------------------------------- */

static void seek(Fdc *f, uint8_t cylinder)
{
    Drive *d = selected(f);

    f->st0 = (uint8_t)(ST0_SEEK_END | (f->cmd[1] & 7));
    if (d == NULL) {
        f->st0 |= ST0_ABNORMAL | 0x10; /* track 0 was never seen */
    } else {
        d->cylinder = cylinder;
        d->changed = d->changed && d->medium == NULL; /* a step with a disk in clears it */
    }
    f->sense_pending = true;
    to_command(f);
    set_irq(f, true);
}

static void cmd_recalibrate(Fdc *f) { seek(f, 0); }
static void cmd_seek(Fdc *f) { seek(f, f->cmd[2]); }

static void cmd_sense_interrupt(Fdc *f)
{
    if (f->reset_sense > 0) { /* one for each of the four drives there could be */
        f->result[0] = (uint8_t)(0xc0 | (4 - f->reset_sense));
        f->reset_sense--;
    } else if (f->sense_pending) {
        f->result[0] = f->st0;
    } else {
        f->result[0] = ST0_INVALID;
        to_result(f, 1);
        return;
    }
    f->result[1] = (f->result[0] & 3) < N_DRIVES ? f->drive[f->result[0] & 3].cylinder : 0;
    if (f->reset_sense == 0) {
        f->sense_pending = false;
    }
    set_irq(f, false);
    to_result(f, 2);
}

static void cmd_sense_drive(Fdc *f)
{
    Drive *d = selected(f);

    f->result[0] = (uint8_t)(0x28 | (f->cmd[1] & 7));
    if (d != NULL && d->cylinder == 0) {
        f->result[0] |= 0x10;
    }
    if (d != NULL && d->medium != NULL && block_read_only(d->medium)) {
        f->result[0] |= 0x40;
    }
    to_result(f, 1);
}

static void cmd_specify(Fdc *f)
{
    memcpy(f->specify, f->cmd + 1, 2);
    to_command(f);
}

static void cmd_configure(Fdc *f)
{
    memcpy(f->config, f->cmd + 1, 3);
    to_command(f);
}

static void cmd_perpendicular(Fdc *f)
{
    f->perpendicular = f->cmd[1];
    to_command(f);
}

static void cmd_lock(Fdc *f)
{
    f->locked = (f->cmd[0] & 0x80) != 0;
    f->result[0] = f->locked ? 0x10 : 0;
    to_result(f, 1);
}

static void cmd_version(Fdc *f)
{
    f->result[0] = 0x90;
    to_result(f, 1);
}

static void cmd_part_id(Fdc *f)
{
    f->result[0] = 0x41;
    to_result(f, 1);
}

static void cmd_dump_registers(Fdc *f)
{
    f->result[0] = f->drive[0].cylinder;
    f->result[1] = f->drive[1].cylinder;
    f->result[2] = f->result[3] = 0;
    f->result[4] = f->specify[0];
    f->result[5] = f->specify[1];
    f->result[6] = f->cmd[6];
    f->result[7] = (uint8_t)(f->locked << 7 | (f->perpendicular & 0x7f));
    f->result[8] = f->config[1];
    f->result[9] = f->config[2];
    to_result(f, 10);
}

static void cmd_invalid(Fdc *f)
{
    log_unimp("fdc: command 0x%02x\n", f->cmd[0]);
    f->result[0] = ST0_INVALID;
    to_result(f, 1);
}

/* -- Command table ----------------------------------------------------------------------------------- */

typedef struct {
    uint8_t mask, value, len;     /* len: bytes with the command's own */
    void (*run)(Fdc *f);
} Command;

static const Command commands[] = {
    {0x1f, 0x06, 9, cmd_read},           {0x1f, 0x0c, 9, cmd_read}, /* deleted data: none is */
    {0x3f, 0x05, 9, cmd_write},          {0x3f, 0x09, 9, cmd_write},
    {0x1f, 0x16, 9, cmd_verify},         {0xbf, 0x0d, 6, cmd_format},
    {0xbf, 0x0a, 2, cmd_read_id},        {0xff, 0x07, 2, cmd_recalibrate},
    {0xff, 0x0f, 3, cmd_seek},           {0xff, 0x08, 1, cmd_sense_interrupt},
    {0xff, 0x04, 2, cmd_sense_drive},    {0xff, 0x03, 3, cmd_specify},
    {0xff, 0x13, 4, cmd_configure},      {0xff, 0x12, 2, cmd_perpendicular},
    {0x7f, 0x14, 1, cmd_lock},           {0xff, 0x10, 1, cmd_version},
    {0xff, 0x18, 1, cmd_part_id},        {0xff, 0x0e, 1, cmd_dump_registers},
};

static const Command invalid_command = {0, 0, 1, cmd_invalid};

static const Command *command_of(uint8_t b)
{
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        if ((b & commands[i].mask) == commands[i].value) {
            return &commands[i];
        }
    }
    return &invalid_command;
}

/* -- Registers --------------------------------------------------------------------------------------- */

static void controller_reset(Fdc *f)
{
    to_command(f);
    set_irq(f, false);
    f->sense_pending = false;
    f->reset_sense = 0;
    if (!f->locked) {
        f->config[0] = f->config[1] = f->config[2] = 0;
    }
    f->drive[0].cylinder = f->drive[1].cylinder = 0;
}

static void reset_over(Fdc *f)
{
    f->reset_sense = 4;
    f->sense_pending = true;
    set_irq(f, true);
}

static void write_dor(Fdc *f, uint8_t val)
{
    bool was = (f->dor & DOR_NO_RESET) != 0, is = (val & DOR_NO_RESET) != 0;

    f->dor = val;
    if (!is) {
        controller_reset(f);
    } else if (!was) {
        reset_over(f);
    }
    set_irq(f, f->irq_level);
}

static void write_data(Fdc *f, uint8_t val)
{
    if ((f->dor & DOR_NO_RESET) == 0) {
        return;
    }
    if (f->phase == PHASE_FROM_HOST) {
        f->buf[f->buf_at++] = val;
        set_irq(f, f->buf_at < SECTOR);
        if (f->buf_at == SECTOR) {
            pio_sector_done(f);
        }
        return;
    }
    if (f->phase != PHASE_COMMAND) {
        return;
    }
    f->cmd[f->n_cmd++] = val;
    if (f->n_cmd == 1) {
        f->want = command_of(val)->len;
    }
    if (f->n_cmd == f->want) {
        trace(fdc_command, "command=0x%02x", f->cmd[0]);
        command_of(f->cmd[0])->run(f);
    }
}

static uint8_t read_data(Fdc *f)
{
    uint8_t val = 0;

    if (f->phase == PHASE_TO_HOST) {
        val = f->buf[f->buf_at++];
        if (f->buf_at == SECTOR) {
            set_irq(f, false);
            pio_sector_done(f);
        }
    } else if (f->phase == PHASE_RESULT) {
        val = f->result[f->result_at++];
        if (f->n_result >= 7 && f->n_result != 10) {
            set_irq(f, false);
        }
        if (f->result_at == f->n_result) {
            to_command(f);
        }
    }
    return val;
}

static uint8_t main_status(const Fdc *f)
{
    if ((f->dor & DOR_NO_RESET) == 0) {
        return 0;
    }
    switch (f->phase) {
    case PHASE_RESULT: return MSR_READY | MSR_TO_HOST | MSR_BUSY;
    case PHASE_TO_HOST: return MSR_READY | MSR_TO_HOST | MSR_BUSY | MSR_NON_DMA;
    case PHASE_FROM_HOST: return MSR_READY | MSR_BUSY | MSR_NON_DMA;
    default: return f->n_cmd > 0 ? MSR_READY | MSR_BUSY : MSR_READY;
    }
}

static uint64_t main_read(void *arg, uint64_t off, unsigned size)
{
    Fdc *f = arg;

    (void)size;
    switch (off) {
    case 0: return f->irq_level ? 0x80 : 0;
    case 1: return 0xc0 | (f->dor >> 4 & 3);
    case 2: return f->dor;
    case 3: return f->tdr;
    case 4: return main_status(f);
    default: return read_data(f);
    }
}

static void main_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Fdc *f = arg;
    uint8_t b = (uint8_t)val;

    (void)size;
    switch (off) {
    case 2:
        write_dor(f, b);
        break;
    case 3:
        f->tdr = b & 3;
        break;
    case 4: /* DSR: data rate, and a reset that ends by itself */
        f->rate = b & 3;
        if ((b & 0x80) != 0 && (f->dor & DOR_NO_RESET) != 0) {
            controller_reset(f);
            reset_over(f);
        }
        break;
    case 5:
        write_data(f, b);
        break;
    default:
        break;
    }
}

static uint64_t dir_read(void *arg, uint64_t off, unsigned size)
{
    Fdc *f = arg;
    unsigned n = f->dor & 3;

    return n < N_DRIVES && f->drive[n].present && (f->dor >> (4 + n) & 1) != 0 &&
                   f->drive[n].changed
               ? 0x80
               : 0;
}

static void dir_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    ((Fdc *)arg)->rate = val & 3;
}

/* -- Device ------------------------------------------------------------------------------------------ */

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    (void)d;
    return window == FDC_WINDOW_MAIN && off == 5;
}

static void fdc_reset(Device *dev)
{
    Fdc *f = (Fdc *)dev;

    f->dor = 0x0c;
    f->tdr = 0;
    f->rate = 2;
    f->st0 = 0;
    f->locked = false;
    f->perpendicular = 0;
    memset(f->specify, 0, sizeof f->specify);
    memset(f->cmd, 0, sizeof f->cmd);
    memset(f->result, 0, sizeof f->result);
    memset(f->buf, 0, sizeof f->buf);
    f->n_result = f->result_at = f->buf_at = 0;
    f->c = f->h = f->r = 0;
    controller_reset(f);
    for (unsigned i = 0; i < N_DRIVES; i++) {
        f->drive[i].changed = true;
    }
}

static void fdc_destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow fdc_windows[FDC_WINDOW_COUNT] = {
    [FDC_WINDOW_MAIN] = {"fdc", WINDOW_PORT, 6, {main_read, main_write, 1}},
    [FDC_WINDOW_DIR] = {"fdc-dir", WINDOW_PORT, 1, {dir_read, dir_write, 1}},
};

static bool fdc_loaded(void *state, GError **error)
{
    Fdc *f = state;
    const Drive *d = selected(f);
    bool moves = f->phase == PHASE_TO_HOST || f->phase == PHASE_FROM_HOST;

    if (f->n_cmd >= f->want || (f->phase == PHASE_RESULT && f->result_at >= f->n_result) ||
        (moves && f->buf_at >= SECTOR) ||
        (f->phase == PHASE_FROM_HOST && d != NULL && d->medium != NULL && block_read_only(d->medium))) {
        g_set_error_literal(error, g_quark_from_static_string("fdc"), 0, "no command is in such a state");
        return false;
    }
    return true;
}

static const Field drive_fields[] = {
    FIELD_SAME(Drive, present), FIELD(Drive, cylinder), FIELD(Drive, changed),
};
static const FieldTable drive_state = {.version = 1, FIELDS(drive_fields)};

static const Field fdc_fields[] = {
    FIELD_ARRAY(Fdc, drive, drive_state), FIELD(Fdc, dor), FIELD(Fdc, tdr), FIELD_MAX(Fdc, rate, 3),
    FIELD(Fdc, specify), FIELD(Fdc, config), FIELD(Fdc, perpendicular), FIELD(Fdc, locked), FIELD(Fdc, irq_level),
    FIELD_MAX(Fdc, reset_sense, 4), FIELD(Fdc, st0), FIELD(Fdc, sense_pending), FIELD_MAX(Fdc, phase, PHASE_RESULT),
    FIELD(Fdc, cmd), FIELD_MAX(Fdc, n_cmd, 8), FIELD_MAX(Fdc, want, 9), FIELD(Fdc, result),
    FIELD_MAX(Fdc, n_result, 10), FIELD_MAX(Fdc, result_at, 10), FIELD(Fdc, c), FIELD(Fdc, h), FIELD(Fdc, r),
    FIELD(Fdc, buf), FIELD_MAX(Fdc, buf_at, SECTOR),
};
static const FieldTable fdc_state = {.version = 1, FIELDS(fdc_fields), .loaded = fdc_loaded};

static const DeviceClass fdc_class = {
    .name = "isa-fdc",
    .help = "floppy disk controller",
    .windows = fdc_windows,
    .n_windows = FDC_WINDOW_COUNT,
    .read_has_effect = read_has_effect,
    .reset = fdc_reset,
    .destroy = fdc_destroy,
    .state = &fdc_state,
};

Device *fdc_new(Device *dma, IrqLine irq)
{
    Fdc *f = g_new0(Fdc, 1);

    f->dev.cls = &fdc_class;
    f->dma = dma;
    f->irq = irq;
    fdc_reset(&f->dev);
    return &f->dev;
}

/* The smallest format that holds the image. */
static const DiskFormat *format_of(const BlockBackend *b)
{
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++) {
        if (block_size(b) == (uint64_t)formats[i].sectors * SECTOR) {
            return &formats[i];
        }
    }
    return NULL;
}

bool fdc_change_medium(Device *d, unsigned drive, BlockBackend *medium, GError **error)
{
    Drive *v = &((Fdc *)d)->drive[drive];
    const DiskFormat *format = medium != NULL ? format_of(medium) : NULL;

    g_assert(drive < N_DRIVES);
    if (medium != NULL && format == NULL) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: no floppy disk has %" G_GUINT64_FORMAT " bytes (1474560 is 1.44M)",
                    block_filename(medium), block_size(medium));
        return false;
    }
    v->medium = medium;
    v->format = format;
    v->changed = true;
    return true;
}

bool fdc_attach(Device *d, unsigned drive, BlockBackend *medium, GError **error)
{
    Drive *v = &((Fdc *)d)->drive[drive];

    if (!fdc_change_medium(d, drive, medium, error)) {
        return false;
    }
    v->present = true;
    v->type = v->format != NULL ? v->format->type : 4;
    return true;
}

unsigned fdc_drive_type(const Device *d, unsigned drive)
{
    const Drive *v = &((const Fdc *)d)->drive[drive];

    return v->present ? v->type : 0;
}
