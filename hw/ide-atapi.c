/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ATAPI CD-ROM drives (SFF-8020i, MMC-5): one data track of 2048-byte sectors, read only.
 *
 * A reply that fits is made in the buffer at once (reply()).  READ fills the buffer from the image,
 * as many sectors as fit, and goes round until none are left.  By PIO a reply goes out in pieces of
 * at most the byte-count limit the guest gave (cylinder registers), by DMA as it comes.
 */
#include "hw/ide-internal.h"

#include "softmmu/base/log.h"

#include <string.h>

enum { CD_SECTOR = 2048 };
enum { CMD_PACKET = 0xa0, CMD_IDENTIFY_PACKET = 0xa1, CMD_SET_FEATURES = 0xef,
       CMD_IDENTIFY = 0xec, CMD_CHECK_POWER = 0xe5, CMD_STANDBY_NOW = 0xe0, CMD_IDLE_NOW = 0xe1 };
/* Interrupt reason, in the count register. */
enum { REASON_COMMAND = 1, REASON_TO_HOST = 2 };

enum { SENSE_NOT_READY = 2, SENSE_MEDIUM_ERROR = 3, SENSE_ILLEGAL = 5, SENSE_ATTENTION = 6 };
enum { ASC_INVALID_COMMAND = 0x20, ASC_LBA_RANGE = 0x21, ASC_INVALID_FIELD = 0x24,
       ASC_MEDIUM_CHANGED = 0x28, ASC_RESET = 0x29, ASC_NO_MEDIUM = 0x3a, ASC_READ_ERROR = 0x11,
       ASC_REMOVAL_PREVENTED = 0x53 };

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

static void put_be(uint8_t *p, unsigned size, uint32_t v)
{
    while (size-- > 0) {
        p[size] = (uint8_t)v;
        v >>= 8;
    }
}

/* -- Ends -------------------------------------------------------------------------------------------- */

static void good(IdeDrive *d)
{
    d->sense_key = d->sense_asc = 0;
    d->count[0] = REASON_TO_HOST | REASON_COMMAND;
    if (d->ch->dma) {
        ide_bm_finish(d->ch, false);
    }
    ide_command_ok(d);
}

static void check_condition(IdeDrive *d, uint8_t key, uint8_t asc)
{
    d->sense_key = key;
    d->sense_asc = asc;
    d->count[0] = REASON_TO_HOST | REASON_COMMAND;
    if (d->ch->dma) {
        ide_bm_finish(d->ch, true);
    }
    ide_command_fail(d, (uint8_t)(key << 4 | IDE_ABRT));
}

/* -- Data to the guest ------------------------------------------------------------------------------- */

static void read_more(IdeDrive *d)
{
    uint32_t n = MIN(d->ch->left, (uint32_t)(IDE_BUF_LEN / CD_SECTOR));

    ide_submit(d, BLOCK_READ, d->ch->at * CD_SECTOR, n * CD_SECTOR);
}

/* The next piece of buf[end, valid) by PIO. */
static void next_piece(IdeDrive *d, uint32_t from)
{
    IdeChannel *ch = d->ch;
    uint32_t n = MIN(ch->block, ch->valid - from);

    d->count[0] = REASON_TO_HOST;
    d->lba[1][0] = (uint8_t)n;
    d->lba[2][0] = (uint8_t)(n >> 8);
    ide_start_pio(d, IDE_PIO_IN, from, from + n);
    ide_raise_irq(ch);
}

static void send(IdeDrive *d, uint32_t len)
{
    d->ch->valid = len;
    if (d->ch->dma) {
        ide_start_dma(d);
    } else {
        next_piece(d, 0);
    }
}

static void all_sent(IdeDrive *d)
{
    if (d->ch->left > 0) {
        read_more(d);
    } else {
        good(d);
    }
}

void ide_atapi_pio_end(IdeDrive *d)
{
    IdeChannel *ch = d->ch;

    if (ch->command == CMD_IDENTIFY_PACKET) {
        ch->phase = IDE_IDLE;
        d->status = IDE_DRDY | IDE_DSC;
    } else if (ch->end < ch->valid) {
        next_piece(d, ch->end);
    } else {
        all_sent(d);
    }
}

/* Only with data waiting in the buffer. */
void ide_atapi_dma(IdeDrive *d)
{
    IdeChannel *ch = d->ch;

    if (ide_bm_copy(ch, ch->req->buf, ch->valid, true)) {
        all_sent(d);
    } else {
        check_condition(d, SENSE_ILLEGAL, ASC_INVALID_FIELD);
    }
}

void ide_atapi_io_done(IdeDrive *d, int err)
{
    IdeChannel *ch = d->ch;
    uint32_t len = (uint32_t)ch->req->block.len;

    if (err != 0) {
        check_condition(d, SENSE_MEDIUM_ERROR, ASC_READ_ERROR);
        return;
    }
    ch->at += len / CD_SECTOR;
    ch->left -= len / CD_SECTOR;
    send(d, len);
}

/* The first `len` bytes of the buffer, cut to the packet's allocation length. */
static void reply(IdeDrive *d, uint32_t len, uint32_t allocation)
{
    len = MIN(len, allocation);
    d->ch->left = 0;
    if (len == 0) {
        good(d);
    } else {
        send(d, len);
    }
}

static void read_sectors(IdeDrive *d, uint64_t at, uint32_t n)
{
    if (at > d->sectors || n > d->sectors - at) {
        check_condition(d, SENSE_ILLEGAL, ASC_LBA_RANGE);
        return;
    }
    d->ch->at = at;
    d->ch->left = n;
    all_sent(d);
}

/* -- Replies ----------------------------------------------------------------------------------------- */

static void request_sense(IdeDrive *d, const uint8_t *p)
{
    uint8_t *b = d->ch->req->buf;

    memset(b, 0, 18);
    b[0] = 0x70;
    b[2] = d->sense_key;
    b[7] = 10;
    b[12] = d->sense_asc;
    if (d->unit_attention && d->sense_key == 0) {
        b[2] = SENSE_ATTENTION;
        b[12] = d->medium_changed ? ASC_MEDIUM_CHANGED : ASC_RESET;
    }
    d->unit_attention = false;
    reply(d, 18, p[4]);
}

static void inquiry(IdeDrive *d, const uint8_t *p)
{
    uint8_t *b = d->ch->req->buf;

    if ((p[1] & 1) != 0) { /* no vital product data pages */
        check_condition(d, SENSE_ILLEGAL, ASC_INVALID_FIELD);
        return;
    }
    memset(b, ' ', 36);
    b[0] = 5;           /* CD-ROM */
    b[1] = 0x80;        /* removable */
    b[2] = 0;
    b[3] = 0x21;        /* ATAPI, response format 1 */
    b[4] = 31;
    b[5] = b[6] = b[7] = 0;
    memcpy(b + 8, "METAPHRA", 8);
    memcpy(b + 16, "CD-ROM", 6);
    memcpy(b + 32, "1.0", 3);
    reply(d, 36, be16(p + 3));
}

static void put_msf_or_lba(uint8_t *p, uint32_t lba, bool msf)
{
    if (!msf) {
        put_be(p, 4, lba);
        return;
    }
    lba += 150;
    p[0] = 0;
    p[1] = (uint8_t)(lba / 75 / 60);
    p[2] = (uint8_t)(lba / 75 % 60);
    p[3] = (uint8_t)(lba % 75);
}

static void read_toc(IdeDrive *d, const uint8_t *p)
{
    uint8_t *b = d->ch->req->buf;
    bool msf = (p[1] & 2) != 0;
    unsigned format = (p[2] & 15) != 0 ? p[2] & 15 : p[9] >> 6, n = 4;

    memset(b, 0, 64);
    b[2] = b[3] = 1;
    if (format == 0) { /* the track, and the lead-out as track AAh */
        if (p[6] > 1 && p[6] != 0xaa) {
            check_condition(d, SENSE_ILLEGAL, ASC_INVALID_FIELD);
            return;
        }
        if (p[6] <= 1) {
            b[n + 1] = 0x14;
            b[n + 2] = 1;
            put_msf_or_lba(b + n + 4, 0, msf);
            n += 8;
        }
        b[n + 1] = 0x14;
        b[n + 2] = 0xaa;
        put_msf_or_lba(b + n + 4, (uint32_t)d->sectors, msf);
        n += 8;
    } else if (format == 1) { /* one session */
        b[5] = 0x14;
        b[6] = 1;
        put_msf_or_lba(b + 8, 0, msf);
        n = 12;
    } else {
        check_condition(d, SENSE_ILLEGAL, ASC_INVALID_FIELD);
        return;
    }
    put_be(b, 2, n - 2);
    reply(d, n, be16(p + 7));
}

/* Features (MMC-5 5.3): profile list, core, removable medium, CD read. */
static void get_configuration(IdeDrive *d, const uint8_t *p)
{
    static const uint8_t features[] = {
        0x00, 0x00, 0x03, 0x04, 0x00, 0x08, 0x01, 0x00,
        0x00, 0x01, 0x07, 0x04, 0x00, 0x00, 0x00, 0x02,
        0x00, 0x03, 0x03, 0x04, 0x29, 0x00, 0x00, 0x00,
        0x00, 0x1e, 0x09, 0x04, 0x00, 0x00, 0x00, 0x00,
    };
    uint8_t *b = d->ch->req->buf;

    memset(b, 0, 8);
    put_be(b, 4, sizeof features + 4);
    put_be(b + 6, 2, d->blk != NULL ? 8 : 0); /* current profile: CD-ROM */
    memcpy(b + 8, features, sizeof features);
    b[8 + 6] = d->blk != NULL;
    reply(d, 8 + sizeof features, be16(p + 7));
}

static void get_event_status(IdeDrive *d, const uint8_t *p)
{
    uint8_t *b = d->ch->req->buf;

    if ((p[1] & 1) == 0) { /* asynchronous reports: none */
        check_condition(d, SENSE_ILLEGAL, ASC_INVALID_FIELD);
        return;
    }
    memset(b, 0, 8);
    b[3] = 0x10; /* the class we know: media */
    if ((p[4] & 0x10) == 0) {
        b[2] = 0x80;
        b[1] = 2;
        reply(d, 4, be16(p + 7));
        return;
    }
    b[1] = 6;
    b[2] = 4;
    b[4] = !d->medium_changed ? 0 : d->blk != NULL ? 2 : 3;
    b[5] = d->blk != NULL ? 2 : 0;
    d->medium_changed = false;
    reply(d, 8, be16(p + 7));
}

static void mode_sense(IdeDrive *d, const uint8_t *p)
{
    uint8_t *b = d->ch->req->buf;
    unsigned n = 8, page = p[2] & 0x3f;
    bool all = page == 0x3f, found = all;

    memset(b, 0, 128);
    b[2] = d->blk != NULL ? 0x01 : 0x70;
    if (page == 0x01 || all) { /* error recovery */
        b[n] = 0x01;
        b[n + 1] = 6;
        b[n + 3] = 5;
        n += 8;
        found = true;
    }
    if (page == 0x2a || all) { /* capabilities */
        b[n] = 0x2a;
        b[n + 1] = 20;
        b[n + 2] = 0x3b;
        b[n + 6] = (uint8_t)(0x29 | (d->locked ? 2 : 0));
        put_be(b + n + 8, 2, 706);
        put_be(b + n + 12, 2, 128);
        put_be(b + n + 14, 2, 706);
        n += 22;
        found = true;
    }
    if (!found) {
        check_condition(d, SENSE_ILLEGAL, ASC_INVALID_FIELD);
        return;
    }
    put_be(b, 2, n - 2);
    reply(d, n, be16(p + 7));
}

static void read_disc_information(IdeDrive *d, const uint8_t *p)
{
    uint8_t *b = d->ch->req->buf;

    memset(b, 0, 34);
    put_be(b, 2, 32);
    b[2] = 0x0e; /* complete session, finalised disc */
    b[3] = b[4] = b[5] = b[6] = 1;
    b[7] = 0x20;
    reply(d, 34, be16(p + 7));
}

static void read_capacity(IdeDrive *d)
{
    uint8_t *b = d->ch->req->buf;

    put_be(b, 4, (uint32_t)(d->sectors - 1));
    put_be(b + 4, 4, CD_SECTOR);
    reply(d, 8, 8);
}

/* READ CD: user data only. */
static void read_cd(IdeDrive *d, const uint8_t *p)
{
    uint32_t n = (uint32_t)p[6] << 16 | be16(p + 7);

    if (n == 0 || (p[9] & 0xf8) == 0) {
        good(d);
    } else if ((p[9] & 0xf8) != 0x10 || (p[10] & 7) != 0) {
        check_condition(d, SENSE_ILLEGAL, ASC_INVALID_FIELD);
    } else {
        read_sectors(d, be32(p + 2), n);
    }
}

static void start_stop(IdeDrive *d, const uint8_t *p)
{
    if ((p[4] & 2) != 0 && (p[4] & 1) == 0) { /* eject: the host changes media, not the guest */
        if (d->locked) {
            check_condition(d, SENSE_NOT_READY, ASC_REMOVAL_PREVENTED);
            return;
        }
    }
    good(d);
}

/* -- Packets ------------------------------------------------------------------------------------------ */

enum {
    PKT_TEST_READY = 0x00,
    PKT_REQUEST_SENSE = 0x03,
    PKT_INQUIRY = 0x12,
    PKT_START_STOP = 0x1b,
    PKT_PREVENT_REMOVAL = 0x1e,
    PKT_READ_CAPACITY = 0x25,
    PKT_READ_10 = 0x28,
    PKT_SEEK_10 = 0x2b,
    PKT_READ_TOC = 0x43,
    PKT_GET_CONFIGURATION = 0x46,
    PKT_GET_EVENT_STATUS = 0x4a,
    PKT_READ_DISC_INFORMATION = 0x51,
    PKT_MODE_SENSE_10 = 0x5a,
    PKT_READ_12 = 0xa8,
    PKT_SET_SPEED = 0xbb,
    PKT_READ_CD = 0xbe,
};

/* Those that work without a disc; the others fail with NOT READY. */
static bool medium_commands(IdeDrive *d, const uint8_t *p)
{
    switch (p[0]) {
    case PKT_TEST_READY: case PKT_SEEK_10: good(d); return true;
    case PKT_READ_CAPACITY: read_capacity(d); return true;
    case PKT_READ_10: read_sectors(d, be32(p + 2), be16(p + 7)); return true;
    case PKT_READ_12: read_sectors(d, be32(p + 2), be32(p + 6)); return true;
    case PKT_READ_TOC: read_toc(d, p); return true;
    case PKT_READ_DISC_INFORMATION: read_disc_information(d, p); return true;
    case PKT_READ_CD: read_cd(d, p); return true;
    default: return false;
    }
}

static bool needs_medium(uint8_t op)
{
    return op == PKT_TEST_READY || op == PKT_SEEK_10 || op == PKT_READ_CAPACITY ||
           op == PKT_READ_10 || op == PKT_READ_12 || op == PKT_READ_TOC ||
           op == PKT_READ_DISC_INFORMATION || op == PKT_READ_CD;
}

static bool drive_commands(IdeDrive *d, const uint8_t *p)
{
    switch (p[0]) {
    case PKT_REQUEST_SENSE: request_sense(d, p); return true;
    case PKT_INQUIRY: inquiry(d, p); return true;
    case PKT_START_STOP: start_stop(d, p); return true;
    case PKT_PREVENT_REMOVAL: d->locked = p[4] & 1; good(d); return true;
    case PKT_GET_CONFIGURATION: get_configuration(d, p); return true;
    case PKT_GET_EVENT_STATUS: get_event_status(d, p); return true;
    case PKT_MODE_SENSE_10: mode_sense(d, p); return true;
    case PKT_SET_SPEED: good(d); return true;
    default: return false;
    }
}

/* An attention is reported once, by the first command that is not exempt (SPC-3 5.8.5). */
static bool report_attention(IdeDrive *d, uint8_t op)
{
    if (!d->unit_attention || op == PKT_INQUIRY || op == PKT_REQUEST_SENSE ||
        op == PKT_GET_CONFIGURATION || op == PKT_GET_EVENT_STATUS) {
        return false;
    }
    d->unit_attention = false;
    check_condition(d, SENSE_ATTENTION, d->medium_changed ? ASC_MEDIUM_CHANGED : ASC_RESET);
    return true;
}

void ide_atapi_packet(IdeDrive *d)
{
    uint8_t p[12];

    memcpy(p, d->ch->req->buf, sizeof p);
    if (report_attention(d, p[0])) {
        return;
    }
    if (needs_medium(p[0]) && (d->blk == NULL || d->sectors == 0)) {
        check_condition(d, SENSE_NOT_READY, ASC_NO_MEDIUM);
    } else if (!medium_commands(d, p) && !drive_commands(d, p)) {
        log_unimp("ide: ATAPI command 0x%02x\n", p[0]);
        check_condition(d, SENSE_ILLEGAL, ASC_INVALID_COMMAND);
    }
}

/* -- Task-file commands ------------------------------------------------------------------------------- */

static void packet(IdeDrive *d)
{
    IdeChannel *ch = d->ch;
    uint32_t limit = d->lba[1][0] | (uint32_t)d->lba[2][0] << 8;

    ch->dma = (d->feature[0] & 1) != 0;
    /* 0 and odd limits are nonsense: the largest even ones instead. */
    ch->block = limit == 0 || limit == 0xffff ? 0xfffe : limit == 1 ? 2 : limit & ~1u;
    ch->left = 0;
    d->count[0] = REASON_COMMAND;
    ide_start_pio(d, IDE_PACKET, 0, 12);
}

static void identify_packet(IdeDrive *d)
{
    uint8_t *id = d->ch->req->buf;

    memset(id, 0, 512);
    ide_put_word(id, 0, 0x85c0);       /* ATAPI, CD-ROM, removable, 12-byte packets, DRQ in 50 us */
    ide_put_text(id, 10, 10, d->serial);
    ide_put_text(id, 23, 4, "1.0");
    ide_put_text(id, 27, 20, "METAPHRASE CD-ROM");
    ide_put_word(id, 49, 0x0f00);
    ide_put_word(id, 53, 7);
    ide_put_word(id, 63, 0x07 | (d->mwdma != 0xff ? 0x100u << d->mwdma : 0));
    ide_put_word(id, 64, 0x03);
    for (unsigned w = 65; w <= 68; w++) {
        ide_put_word(id, w, 120);
    }
    ide_put_word(id, 80, 0x00f0);
    ide_put_word(id, 82, 0x4210);      /* NOP, DEVICE RESET, PACKET */
    ide_put_word(id, 83, 0x4000);
    ide_put_word(id, 84, 0x4000);
    ide_put_word(id, 85, 0x4210);
    ide_put_word(id, 87, 0x4000);
    ide_put_word(id, 88, 0x3f | (d->udma != 0xff ? 0x100u << d->udma : 0));
    ide_put_word(id, 93, 0x6001);
    ide_start_pio(d, IDE_PIO_IN, 0, 512);
    ide_raise_irq(d->ch);
}

void ide_atapi_command(IdeDrive *d, uint8_t command)
{
    switch (command) {
    case CMD_PACKET:
        packet(d);
        break;
    case CMD_IDENTIFY_PACKET:
        identify_packet(d);
        break;
    case CMD_SET_FEATURES:
        ide_set_features(d);
        break;
    case CMD_CHECK_POWER:
        d->count[0] = 0xff;
        ide_command_ok(d);
        break;
    case CMD_STANDBY_NOW: case CMD_IDLE_NOW:
        ide_command_ok(d);
        break;
    default: /* IDENTIFY and READ show the signature, so that the host tells us from a disk */
        if (command == CMD_IDENTIFY || command == 0x20) {
            d->count[0] = d->lba[0][0] = 1;
            d->lba[1][0] = 0x14;
            d->lba[2][0] = 0xeb;
        }
        ide_command_fail(d, IDE_ABRT);
        break;
    }
}
