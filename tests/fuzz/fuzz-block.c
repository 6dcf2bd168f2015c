/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The raw block back end against a plain array: any order of reads, writes, zeroings, discards and
 * flushes, synchronous and queued, with and without snapshot, on images that end within a sector.
 */
#include "softmmu/base/bits.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scratch-disk.h"

#include <string.h>

enum { OPS_MAX = 100, SECTORS = 96, SECTOR = 512, MAX_LEN = 16 * SECTOR };

typedef struct {
    BlockBackend *b;
    GMainContext *context;
    uint8_t model[SECTORS * SECTOR], buf[MAX_LEN];
    bool unknown[SECTORS];     /* discarded: reads as anything until written */
    bool done;
    int err;
} Rig;

static void on_done(BlockRequest *r, int err)
{
    Rig *rig = r->arg;

    rig->done = true;
    rig->err = err;
}

static int submit(Rig *r, BlockOp op, uint64_t offset, uint64_t len, unsigned cut)
{
    struct iovec iov[2] = {{r->buf, cut}, {r->buf + cut, len - cut}};
    BlockRequest request = {.op = op, .offset = offset, .len = len, .iov = iov, .n_iov = 2,
                            .done = on_done, .arg = r};

    r->done = false;
    block_submit(r->b, &request);
    while (!r->done) {
        g_main_context_iteration(r->context, TRUE);
    }
    return r->err;
}

static void compare(const Rig *r, uint64_t offset, uint64_t len)
{
    for (uint64_t at = offset; at < offset + len; at += SECTOR) {
        g_assert(r->unknown[at / SECTOR] ||
                 memcmp(r->buf + (at - offset), r->model + at, SECTOR) == 0);
    }
}

static void learn(Rig *r, uint64_t offset, uint64_t len, bool unknown)
{
    memcpy(r->model + offset, r->buf, len);
    memset(r->unknown + offset / SECTOR, unknown, len / SECTOR);
}

static void step(Rig *r, FuzzInput *in)
{
    uint8_t op = fuzz_u8(in), fill = fuzz_u8(in);
    uint64_t offset = (uint64_t)(fuzz_u8(in) % SECTORS) * SECTOR;
    uint64_t len = (1 + (uint64_t)(fuzz_u8(in) & 15)) * SECTOR;
    len = MIN(len, sizeof r->model - offset);
    unsigned cut = fuzz_u16(in) % ((unsigned)len + 1);

    memset(r->buf, fill, sizeof r->buf);
    r->buf[cut % sizeof r->buf] ^= 0x55;
    switch (op & 7) {
    case 0:
        g_assert(block_pread(r->b, offset, r->buf, len) == 0);
        compare(r, offset, len);
        break;
    case 1:
        g_assert(block_pwrite(r->b, offset, r->buf, len) == 0);
        learn(r, offset, len, false);
        break;
    case 2:
        g_assert(submit(r, BLOCK_READ, offset, len, cut) == 0);
        compare(r, offset, len);
        break;
    case 3: case 4:
        g_assert(submit(r, BLOCK_WRITE, offset, len, cut) == 0);
        learn(r, offset, len, false);
        break;
    case 5:
        g_assert(submit(r, BLOCK_WRITE_ZEROES, offset, len, 0) == 0);
        memset(r->buf, 0, sizeof r->buf);
        learn(r, offset, len, false);
        break;
    case 6:
        submit(r, BLOCK_DISCARD, offset, len, 0);
        learn(r, offset, len, true);
        break;
    default:
        g_assert(submit(r, BLOCK_FLUSH, 0, 0, 0) == 0);
        block_set_write_cache(r->b, (fill & 1) != 0);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    Rig *r = g_new0(Rig, 1);
    uint8_t flags = fuzz_u8(&in);
    unsigned tail = (flags & 2) != 0 ? 100 : 0;

    r->context = g_main_context_new();
    r->b = scratch_disk(sizeof r->model - tail, r->context,
                        (BlockOptions){.no_lock = true, .snapshot = (flags & 1) != 0,
                                       .cache = (flags >> 2) % 5});
    g_assert(block_size(r->b) == sizeof r->model);
    for (unsigned s = 0; s < 64; s++) {
        memset(r->model + s * SECTOR, (int)s, SECTOR);
    }
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        step(r, &in);
    }
    block_close(r->b);
    g_main_context_unref(r->context);
    g_free(r);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    if (i >= 20) {
        return 0;
    }
    buf[0] = (uint8_t)i;
    for (unsigned k = 1; k < 700; k++) {
        buf[k] = (uint8_t)(k * 71 + k / 6 * 23 + i * 9);
    }
    return 700;
}
