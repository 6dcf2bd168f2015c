/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/virtio-blk.h"

#include "softmmu/base/log.h"

#include <errno.h>
#include <gio/gio.h>

/* Features (5.2.3). */
enum {
    F_SEG_MAX = 2,
    F_RO = 5,
    F_BLK_SIZE = 6,
    F_FLUSH = 9,
    F_TOPOLOGY = 10,
    F_CONFIG_WCE = 11,
    F_MQ = 12,
    F_DISCARD = 13,
    F_WRITE_ZEROES = 14,
};

/* Fields of the configuration (5.2.4). */
enum {
    CFG_CAPACITY = 0,
    CFG_SEG_MAX = 12,
    CFG_BLK_SIZE = 20,
    CFG_PHYSICAL_EXP = 24,
    CFG_MIN_IO = 26,
    CFG_OPT_IO = 28,
    CFG_WCE = 32,
    CFG_NUM_QUEUES = 34,
    CFG_MAX_DISCARD = 36,
    CFG_MAX_DISCARD_SEG = 40,
    CFG_DISCARD_ALIGN = 44,
    CFG_MAX_ZEROES = 48,
    CFG_MAX_ZEROES_SEG = 52,
    CFG_ZEROES_MAY_UNMAP = 56,
    CFG_LEN = 60,
};

/* Request types and results (5.2.6). */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum { HEADER_LEN = 16, RANGE_LEN = 16, ID_LEN = 20, SECTOR = 512 };
enum { MAX_RANGE_SECTORS = 1 << 22 };

typedef struct VirtioBlk VirtioBlk;
typedef struct Request Request;

struct Request {
    BlockRequest block;            /* arg: the VirtioBlk */
    VirtqElement *e;
    Request *next, **link;         /* in VirtioBlk.in_flight */
    struct iovec iov[];            /* the data part          */
};

struct VirtioBlk {
    VirtioDevice vd;
    BlockBackend *block;
    char serial[ID_LEN];
    bool initial_cache;            /* the back end's, restored at reset */
    Request *in_flight;
    bool saved_cache;              /* of the back end, as they are saved         */
    uint64_t saved_size;
};

/* -- Completion ---------------------------------------------------------------------------------- */

/* The status byte is the last of the writable part. */
static void finish(VirtqElement *e, uint8_t status)
{
    Virtqueue *q = e->queue;

    iov_write(virtq_in(e), e->n_in, e->in_len - 1, &status, 1);
    virtq_push(e, e->in_len);
    virtq_notify(q);
}

static void unlink_request(Request *r)
{
    *r->link = r->next;
    if (r->next != NULL) {
        r->next->link = r->link;
    }
}

static void request_done(BlockRequest *b, int err)
{
    Request *r = (Request *)b;
    VirtqElement *e = r->e;

    unlink_request(r);
    g_free(r);
    finish(e, err == 0 ? S_OK : S_IOERR);
}

/* -- Requests ------------------------------------------------------------------------------------ */

static void submit(VirtioBlk *s, VirtqElement *e, BlockOp op, uint64_t offset, uint64_t len)
{
    unsigned n = e->n_out + e->n_in;
    Request *r = g_malloc(sizeof *r + n * sizeof r->iov[0]);

    r->e = e;
    r->block = (BlockRequest){.op = op, .offset = offset, .len = len, .iov = r->iov,
                              .done = request_done, .arg = s};
    if (op == BLOCK_READ) {
        r->block.n_iov = (int)iov_part(r->iov, virtq_in(e), e->n_in, 0, len);
    } else if (op == BLOCK_WRITE) {
        r->block.n_iov = (int)iov_part(r->iov, e->iov, e->n_out, HEADER_LEN, len);
    }
    r->next = s->in_flight;
    r->link = &s->in_flight;
    if (r->next != NULL) {
        r->next->link = &r->next;
    }
    s->in_flight = r;
    block_submit(s->block, &r->block);
}

static bool in_range(const VirtioBlk *s, uint64_t sector, uint64_t len)
{
    uint64_t size = block_size(s->block);

    return len % SECTOR == 0 && sector <= size / SECTOR && len <= size - sector * SECTOR;
}

static void transfer(VirtioBlk *s, VirtqElement *e, BlockOp op, uint64_t sector, uint64_t len)
{
    if (!in_range(s, sector, len) || (op == BLOCK_WRITE && block_read_only(s->block))) {
        finish(e, S_IOERR);
    } else {
        submit(s, e, op, sector * SECTOR, len);
    }
}

/* One range of {u64 sector; u32 sectors; u32 flags} (max_*_seg is 1). */
static void range_request(VirtioBlk *s, VirtqElement *e, BlockOp op)
{
    uint8_t range[RANGE_LEN];

    if (e->out_len != HEADER_LEN + RANGE_LEN) {
        finish(e, S_IOERR);
        return;
    }
    iov_read(e->iov, e->n_out, HEADER_LEN, range, RANGE_LEN);
    uint64_t sector = load_le(range, 8), n = load_le(range + 8, 4), flags = load_le(range + 12, 4);
    if ((flags & ~(op == BLOCK_WRITE_ZEROES ? 1u : 0u)) != 0) {
        finish(e, S_UNSUPP);
    } else if (n > MAX_RANGE_SECTORS || !in_range(s, sector, n * SECTOR) ||
               block_read_only(s->block)) {
        finish(e, S_IOERR);
    } else {
        submit(s, e, op, sector * SECTOR, n * SECTOR);
    }
}

static void get_id(VirtioBlk *s, VirtqElement *e)
{
    iov_write(virtq_in(e), e->n_in, 0, s->serial, MIN((uint64_t)ID_LEN, e->in_len - 1));
    finish(e, S_OK);
}

static void handle(VirtioBlk *s, VirtqElement *e)
{
    uint8_t header[HEADER_LEN];

    if (e->in_len < 1 || iov_read(e->iov, e->n_out, 0, header, HEADER_LEN) != HEADER_LEN) {
        virtio_break(&s->vd, "a request without header or status");
        virtq_drop(e);
        return;
    }
    uint32_t type = (uint32_t)load_le(header, 4);
    uint64_t sector = load_le(header + 8, 8);
    trace(virtio_blk_request, "type=%u sector=%" G_GUINT64_FORMAT " out=%" G_GUINT64_FORMAT
          " in=%" G_GUINT64_FORMAT, type, sector, e->out_len, e->in_len);
    switch (type) {
    case T_IN: transfer(s, e, BLOCK_READ, sector, e->in_len - 1); break;
    case T_OUT: transfer(s, e, BLOCK_WRITE, sector, e->out_len - HEADER_LEN); break;
    case T_FLUSH: submit(s, e, BLOCK_FLUSH, 0, 0); break;
    case T_GET_ID: get_id(s, e); break;
    case T_DISCARD: range_request(s, e, BLOCK_DISCARD); break;
    case T_WRITE_ZEROES: range_request(s, e, BLOCK_WRITE_ZEROES); break;
    default: finish(e, S_UNSUPP); break;
    }
}

static void queue_notify(VirtioDevice *d, Virtqueue *q)
{
    VirtqElement *e;

    while ((e = virtq_pop(q)) != NULL) {
        handle((VirtioBlk *)d, e);
    }
}

/* -- Configuration ------------------------------------------------------------------------------- */

static void config_reading(VirtioDevice *d)
{
    VirtioBlk *s = (VirtioBlk *)d;

    store_le(d->config + CFG_CAPACITY, 8, block_size(s->block) / SECTOR);
    d->config[CFG_WCE] = block_write_cache(s->block);
}

static void config_written(VirtioDevice *d, unsigned off, unsigned size)
{
    VirtioBlk *s = (VirtioBlk *)d;

    if (off <= CFG_WCE && off + size > CFG_WCE) {
        block_set_write_cache(s->block, d->config[CFG_WCE] != 0);
    }
}

/* 5.2.5.2: a driver that cannot flush gets a disk without a write cache. */
static void driver_ok(VirtioDevice *d)
{
    VirtioBlk *s = (VirtioBlk *)d;

    if (!virtio_has(d, F_FLUSH) && !virtio_has(d, F_CONFIG_WCE)) {
        block_set_write_cache(s->block, false);
    }
}

static void fill_config(VirtioBlk *s, const VirtioBlkConfig *c)
{
    uint8_t *cfg = s->vd.config;
    uint32_t logical = c->logical_block_size != 0 ? c->logical_block_size : SECTOR;
    uint32_t physical = MAX(c->physical_block_size, logical);

    store_le(cfg + CFG_SEG_MAX, 4, s->vd.queue[0].size_max - 2);
    store_le(cfg + CFG_BLK_SIZE, 4, logical);
    cfg[CFG_PHYSICAL_EXP] = (uint8_t)__builtin_ctz(physical / logical);
    store_le(cfg + CFG_MIN_IO, 2, physical / logical);
    store_le(cfg + CFG_OPT_IO, 4, 0);
    store_le(cfg + CFG_NUM_QUEUES, 2, s->vd.n_queues);
    store_le(cfg + CFG_MAX_DISCARD, 4, MAX_RANGE_SECTORS);
    store_le(cfg + CFG_MAX_DISCARD_SEG, 4, 1);
    store_le(cfg + CFG_DISCARD_ALIGN, 4, logical / SECTOR);
    store_le(cfg + CFG_MAX_ZEROES, 4, MAX_RANGE_SECTORS);
    store_le(cfg + CFG_MAX_ZEROES_SEG, 4, 1);
    cfg[CFG_ZEROES_MAY_UNMAP] = 1;
    s->vd.config_writable[CFG_WCE] = 0x01;
}

/* -- Device -------------------------------------------------------------------------------------- */

static void blk_reset(VirtioDevice *d)
{
    VirtioBlk *s = (VirtioBlk *)d;

    if (s->in_flight != NULL) {
        block_cancel(s->block, s);
    }
    while (s->in_flight != NULL) {
        Request *r = s->in_flight;
        unlink_request(r);
        virtq_drop(r->e);
        g_free(r);
    }
    block_set_write_cache(s->block, s->initial_cache);
}

static void blk_destroy(VirtioDevice *d)
{
    virtio_clear(d);
    g_free(d);
}

/* The write cache is as the guest has set it. */
static bool blk_saving(void *state, GError **error)
{
    VirtioBlk *s = state;

    s->saved_cache = block_write_cache(s->block);
    s->saved_size = block_size(s->block);
    return true;
}

static bool blk_loaded(void *state, GError **error)
{
    VirtioBlk *s = state;

    if (s->saved_size != block_size(s->block)) {
        g_set_error(error, g_quark_from_static_string("virtio-blk"), 0, "the disk had %" G_GUINT64_FORMAT
                    " bytes, this one has %" G_GUINT64_FORMAT, s->saved_size, block_size(s->block));
        return false;
    }
    block_set_write_cache(s->block, s->saved_cache);
    return true;
}

static const Field blk_fields[] = {
    FIELD(VirtioBlk, saved_cache), FIELD(VirtioBlk, saved_size),
};
static const FieldTable blk_state = {.version = 1, FIELDS(blk_fields), .saving = blk_saving, .loaded = blk_loaded};

static const VirtioClass blk_class = {
    .name = "virtio-blk",
    .id = 2,
    .pci_class = 0x010000,
    .config_reading = config_reading,
    .config_written = config_written,
    .queue_notify = queue_notify,
    .driver_ok = driver_ok,
    .reset = blk_reset,
    .destroy = blk_destroy,
    .state = &blk_state,
};

static bool is_power_of_2(uint32_t v, uint32_t lo, uint32_t hi)
{
    return v >= lo && v <= hi && (v & (v - 1)) == 0;
}

static bool bad(GError **error, const char *name, uint32_t val, const char *range)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "virtio-blk: %s=%u: must be %s",
                name, val, range);
    return false;
}

static bool check_config(const VirtioBlkConfig *c, GError **error)
{
    uint32_t logical = c->logical_block_size != 0 ? c->logical_block_size : SECTOR;

    if (c->num_queues > 64) {
        return bad(error, "num-queues", c->num_queues, "1 to 64");
    }
    if (c->queue_size != 0 && !is_power_of_2(c->queue_size, 4, VIRTIO_MAX_CHAIN)) {
        return bad(error, "queue-size", c->queue_size, "a power of two from 4 to 1024");
    }
    if (!is_power_of_2(logical, SECTOR, 4096)) {
        return bad(error, "logical_block_size", logical, "a power of two from 512 to 4096");
    }
    if (c->physical_block_size != 0 && !is_power_of_2(c->physical_block_size, logical, 65536)) {
        return bad(error, "physical_block_size", c->physical_block_size,
                   "a power of two from the logical block size to 65536");
    }
    return true;
}

VirtioDevice *virtio_blk_new(PhysMem *mem, const VirtioBlkConfig *c, GError **error)
{
    unsigned n_queues = c->num_queues != 0 ? c->num_queues : 1;
    uint64_t features = BIT(F_SEG_MAX) | BIT(F_BLK_SIZE) | BIT(F_FLUSH) | BIT(F_TOPOLOGY) |
                        BIT(F_CONFIG_WCE);
    VirtioBlk *s;

    if (!check_config(c, error)) {
        return NULL;
    }
    s = g_new0(VirtioBlk, 1);
    features |= block_read_only(c->block) ? BIT(F_RO) : BIT(F_DISCARD) | BIT(F_WRITE_ZEROES);
    features |= n_queues > 1 ? BIT(F_MQ) : 0;
    virtio_init(&s->vd, &blk_class, mem, n_queues,
                (uint16_t)(c->queue_size != 0 ? c->queue_size : 128), CFG_LEN, features);
    s->block = c->block;
    s->initial_cache = block_write_cache(c->block);
    if (c->serial != NULL) {
        memcpy(s->serial, c->serial, MIN(strlen(c->serial), (size_t)ID_LEN));
    }
    fill_config(s, c);
    return &s->vd;
}
