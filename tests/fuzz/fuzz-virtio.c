/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio over every transport: a driver brings the device up, then its rings, descriptors (direct
 * and indirect) and requests are whatever the input says, with register traffic between.
 */
#include "hw/virtio-blk.h"
#include "hw/virtio-console.h"
#include "hw/virtio-rng.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scratch-disk.h"

/* The driver's checks belong to unit tests: libcheck's do not work outside of them, and here the device
 * may well have been made to refuse. */
#include <check.h>
#undef ck_assert
#undef ck_assert_uint_eq
#undef ck_assert_ptr_nonnull
#define ck_assert(x) ((void)(x))
#define ck_assert_uint_eq(a, b) ((void)(a))
#define ck_assert_ptr_nonnull(p) ((void)(p))
#include "tests/hw/virtio-driver.h"

enum { OPS_MAX = 200, DISK_LEN = 256 * 1024 };

typedef struct {
    Driver d;
    GMainContext *context;
    BlockBackend *disk;
    Chardev chr;
} Rig;

static void chr_write(Chardev *c, const uint8_t *buf, size_t len)
{
}

static const ChardevClass chr_class = {.name = "sink", .write = chr_write};

static void set_up(Rig *r, uint8_t pick)
{
    VirtioDevice *vd;

    *r = (Rig){.context = g_main_context_new(), .chr = {.cls = &chr_class, .open = true}};
    driver_machine(&r->d, pick % DRIVE_KINDS);
    switch (pick / DRIVE_KINDS % 3) {
    case 0:
        r->disk = scratch_disk(DISK_LEN, r->context, (BlockOptions){.no_lock = true});
        vd = virtio_blk_new(r->d.mem, &(VirtioBlkConfig){.block = r->disk, .num_queues = 2}, NULL);
        break;
    case 1:
        vd = virtio_console_new(r->d.mem, &(VirtioConsolePort){.chr = &r->chr, .console = true}, 1);
        break;
    default:
        vd = virtio_rng_new(r->d.mem, NULL, NULL);
        break;
    }
    driver_plug(&r->d, vd);
    driver_start(&r->d, (pick & 64) != 0 ? UINT64_MAX : 0);
}

static void tear_down(Rig *r)
{
    driver_end(&r->d);
    if (r->disk != NULL) {
        block_close(r->disk);
    }
    g_main_context_unref(r->context);
}

/* -- Steps -------------------------------------------------------------------------------------- */

/* An address of RAM, of a ring, or of nothing. */
static uint64_t take_address(FuzzInput *in)
{
    uint8_t kind = fuzz_u8(in);

    switch (kind & 7) {
    case 0: return fuzz_value(in);
    case 1: return DRIVER_QUEUES + (fuzz_u16(in) & 0x1ffff);
    case 2: return 0x600000 - (fuzz_u16(in) & 0xfff);          /* two pieces */
    case 3: return 0x700000 - (fuzz_u16(in) & 0xfff);          /* runs out of RAM */
    case 4: return DRIVER_MMIO + (fuzz_u8(in));                /* itself */
    default: return DRIVER_BUFFERS + (uint64_t)fuzz_u8(in) * 512;
    }
}

static void add_chain(Rig *r, FuzzInput *in, unsigned q)
{
    DriverQueue *dq = &r->d.q[q];
    uint8_t n = 1 + (fuzz_u8(in) & 7);
    uint64_t table = (fuzz_u8(in) & 3) == 0 ? DRIVER_BUFFERS + 0x80000 : dq->desc;
    unsigned head = fuzz_u8(in);

    for (unsigned i = 0; i < n; i++) {
        unsigned at = (head + i) % dq->size, flags = fuzz_u8(in);
        uint32_t len = (fuzz_u8(in) & 3) != 0 ? fuzz_u16(in) & 0x1fff : (uint32_t)fuzz_value(in);
        flags = (flags & 0x80) != 0 ? flags & 7 : (i + 1 < n ? 1 : 0) | (flags & 2);
        driver_desc(&r->d, table + 16 * at, take_address(in), len, flags,
                    (flags & 0x40) != 0 ? fuzz_u16(in) : (at + 1) % dq->size);
    }
    if (table != dq->desc) {
        driver_desc(&r->d, dq->desc + 16 * (head % dq->size), table + 16 * (head % dq->size), 16u * n,
                    4 | (fuzz_u8(in) == 0 ? 1 : 0), 0);
    }
    driver_offer(&r->d, q, head % dq->size);
    driver_kick(&r->d, q);
}

/* A request of the block device with a sound chain around a random header. */
static void add_request(Rig *r, FuzzInput *in, unsigned q)
{
    uint64_t header = DRIVER_BUFFERS + (fuzz_u8(in) & 31) * 64;
    uint32_t type = fuzz_u8(in) & 15;

    store_le(r->d.mem->base + header, 4, type);
    store_le(r->d.mem->base + header + 8, 8, (fuzz_u8(in) & 3) != 0 ? fuzz_u16(in) & 0x3ff : fuzz_value(in));
    driver_add(&r->d, q, (DriverBuffer[]){{header, 16}, {take_address(in), fuzz_u16(in) * 16u, (type & 1) == 0},
                                          {DRIVER_BUFFERS + 0x4000 + fuzz_u8(in), 1, true}}, 3,
               (fuzz_u8(in) & 7) == 0 ? DRIVER_BUFFERS + 0x90000 : 0);
    driver_kick(&r->d, q);
}

static void touch_register(Rig *r, FuzzInput *in)
{
    static const uint64_t bases[] = {DRIVER_MODERN, DRIVER_MODERN + 0x1000, DRIVER_MODERN + 0x2000,
                                     DRIVER_MODERN + 0x3000, DRIVER_MSIX, DRIVER_MMIO, DRIVER_MMIO + 0x100};
    uint64_t addr = bases[fuzz_u8(in) % ARRAY_LEN(bases)] + (fuzz_u8(in) & 0x7f);
    unsigned size = 1u << (fuzz_u8(in) & 3);

    if ((fuzz_u8(in) & 3) == 0) {
        if (r->d.pci != NULL) {
            pci_config_write(r->d.pci, fuzz_u8(in) & 0xfc, 4, (uint32_t)fuzz_value(in));
        }
        port_write(r->d.ports, (uint16_t)(DRIVER_IO + (fuzz_u8(in) & 63)), 4, (uint32_t)fuzz_value(in));
    } else if ((fuzz_u8(in) & 1) != 0) {
        mem_write(&r->d, addr, size, fuzz_value(in));
    } else {
        mem_read(&r->d, addr, size);
    }
}

static void step(Rig *r, FuzzInput *in)
{
    uint8_t op = fuzz_u8(in);
    unsigned q = (op >> 4) % MIN(r->d.vd->n_queues, ARRAY_LEN(r->d.q));

    switch (op & 15) {
    case 0: case 1: case 2: case 3: add_chain(r, in, q); break;
    case 4: case 5: case 6: case 7: add_request(r, in, q); break;
    case 8: store_le(r->d.mem->base + r->d.q[q].avail + 2, 2, fuzz_u16(in)); break;
    case 9: driver_kick(&r->d, fuzz_u8(in)); break;
    case 10: case 11: touch_register(r, in); break;
    case 12:
        if ((fuzz_u8(in) & 7) == 0) {
            driver_start(&r->d, fuzz_value(in));
        }
        break;
    case 13: {
        uint8_t text[8] = "abcdefg";
        chardev_deliver(&r->chr, text, sizeof text);
        break;
    }
    case 14:
        if (r->disk != NULL) {
            block_drain(r->disk);
        }
        break;
    default:
        while (g_main_context_iteration(r->context, FALSE)) {
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    Rig r;

    set_up(&r, fuzz_u8(&in));
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        step(&r, &in);
    }
    tear_down(&r);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    if (i >= 24) {
        return 0;
    }
    buf[0] = (uint8_t)(i % 12 | (i & 1) << 6);
    for (unsigned k = 1; k < 1500; k++) {
        buf[k] = (uint8_t)(k * 59 + k / 11 * 31 + i * 7);
    }
    return 1500;
}
