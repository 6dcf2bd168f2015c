/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/fdc.h"

#include "hw/dma8237.h"
#include "softmmu/base/bits.h"
#include "tests/fake.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -- A floppy image in memory --------------------------------------------------------------------- */

struct BlockBackend {
    uint8_t *data;
    uint64_t size;
    bool read_only;
    int err;
};

int block_pread(BlockBackend *b, uint64_t offset, void *buf, uint64_t len)
{
    ck_assert_uint_le(offset + len, b->size);
    memcpy(buf, b->data + offset, len);
    return b->err;
}

int block_pwrite(BlockBackend *b, uint64_t offset, const void *buf, uint64_t len)
{
    ck_assert_uint_le(offset + len, b->size);
    memcpy(b->data + offset, buf, len);
    return b->err;
}

uint64_t block_size(const BlockBackend *b) { return b->size; }
bool block_read_only(const BlockBackend *b) { return b->read_only; }
const char *block_filename(const BlockBackend *b) { return "floppy.img"; }

/* -- The rig ---------------------------------------------------------------------------------------- */

enum { RAM_LEN = 1 << 20, BUF = 0x20000 };

typedef struct {
    Lock lock;
    PhysMem *mem;
    uint8_t *ram;
    Device *dma, *fdc;
    FakeIrq irq;
    BlockBackend image;
} Rig;

static void out(Rig *r, unsigned off, unsigned val)
{
    bus_write(&r->fdc->cls->windows[FDC_WINDOW_MAIN].ops, r->fdc, off, 1, val);
}

static unsigned in(Rig *r, unsigned off)
{
    return (unsigned)bus_read(&r->fdc->cls->windows[FDC_WINDOW_MAIN].ops, r->fdc, off, 1);
}

static unsigned dir(Rig *r)
{
    return (unsigned)bus_read(&r->fdc->cls->windows[FDC_WINDOW_DIR].ops, r->fdc, 0, 1);
}

static void set_rate(Rig *r, unsigned rate)
{
    bus_write(&r->fdc->cls->windows[FDC_WINDOW_DIR].ops, r->fdc, 0, 1, rate);
}

static void command(Rig *r, unsigned n, const uint8_t *bytes)
{
    for (unsigned i = 0; i < n; i++) {
        ck_assert_uint_eq(in(r, 4) & 0xc0, 0x80);
        out(r, 5, bytes[i]);
    }
}
#define COMMAND(r, ...) command(r, sizeof((uint8_t[]){__VA_ARGS__}), (uint8_t[]){__VA_ARGS__})

static unsigned result(Rig *r, uint8_t *buf)
{
    unsigned n = 0;

    while ((in(r, 4) & 0xc0) == 0xc0) {
        buf[n++] = (uint8_t)in(r, 5);
    }
    return n;
}

/* Out of reset, as a BIOS does it: four SENSE INTERRUPTs. */
static void start_controller(Rig *r)
{
    uint8_t res[16];

    out(r, 2, 0);
    out(r, 2, 0x1c);
    ck_assert_int_eq(r->irq.level, 1);
    for (unsigned i = 0; i < 4; i++) {
        COMMAND(r, 0x08);
        ck_assert_uint_eq(result(r, res), 2);
        ck_assert_uint_eq(res[0], 0xc0 | i);
    }
    ck_assert_int_eq(r->irq.level, 0);
    COMMAND(r, 0x03, 0xdf, 0x02);
    set_rate(r, 0);
}

static void rig_init(Rig *r, uint64_t size)
{
    uint64_t offset;

    memset(r, 0, sizeof *r);
    lock_init(&r->lock, LOCK_RANK_MACHINE);
    lock_take(&r->lock);
    r->mem = phys_mem_new(RAM_LEN, &r->lock, NULL);
    offset = phys_mem_alloc(r->mem, RAM_LEN);
    r->ram = r->mem->base + offset;
    phys_region_ram(r->mem, 0, RAM_LEN, offset, 0, "ram");
    r->dma = dma8237_new(r->mem);
    r->fdc = fdc_new(r->dma, FAKE_IRQ_LINE(&r->irq));
    r->image = (BlockBackend){.data = g_malloc(size), .size = size};
    for (uint64_t i = 0; i < size; i++) {
        r->image.data[i] = (uint8_t)(i >> 9 ^ i * 3);
    }
    ck_assert(fdc_attach(r->fdc, 0, &r->image, NULL));
    start_controller(r);
}

static void rig_clear(Rig *r)
{
    device_free(r->fdc);
    device_free(r->dma);
    phys_mem_free(r->mem);
    g_free(r->image.data);
    lock_release(&r->lock);
    lock_clear(&r->lock);
}

static void program_dma(Rig *r, unsigned n, unsigned mode)
{
    static const uint8_t regs[] = {10, 12, 4, 4, 5, 5, 11, 10};
    uint8_t vals[] = {6, 0, 0, 0, (uint8_t)(n - 1), (uint8_t)((n - 1) >> 8), (uint8_t)(mode | 2), 2};
    const DeviceWindow *w = r->dma->cls->windows;

    bus_write(&w[DMA8237_WINDOW_PAGES].ops, r->dma, 0, 1, BUF >> 16);
    for (unsigned i = 0; i < sizeof regs; i++) {
        bus_write(&w[DMA8237_WINDOW_LOW].ops, r->dma, regs[i], 1, vals[i]);
    }
}

static void seek(Rig *r, unsigned cylinder)
{
    uint8_t res[16];

    COMMAND(r, 0x0f, 0, (uint8_t)cylinder);
    ck_assert_int_eq(r->irq.level, 1);
    COMMAND(r, 0x08);
    ck_assert_uint_eq(result(r, res), 2);
    ck_assert_uint_eq(res[0], 0x20);
    ck_assert_uint_eq(res[1], cylinder);
}

/* -- Tests ------------------------------------------------------------------------------------------- */

START_TEST(read_fills_memory_by_dma_and_tells_the_next_sector)
{
    Rig r;
    uint8_t res[16];
    unsigned lba = (5 * 2 + 1) * 18 + 2;

    rig_init(&r, 1474560);
    seek(&r, 5);
    program_dma(&r, 3 * 512, 0x44);
    COMMAND(&r, 0xe6, 4, 5, 1, 3, 2, 18, 0x1b, 0xff);
    ck_assert_int_eq(r.irq.level, 1);
    ck_assert_uint_eq(result(&r, res), 7);
    ck_assert_int_eq(r.irq.level, 0);
    ck_assert_mem_eq(res, ((uint8_t[7]){4, 0, 0, 5, 1, 6, 2}), 7);
    ck_assert_mem_eq(r.ram + BUF, r.image.data + lba * 512, 3 * 512);
    rig_clear(&r);
}
END_TEST

START_TEST(multi_track_goes_on_with_the_second_head)
{
    Rig r;
    uint8_t res[16];

    rig_init(&r, 1474560);
    program_dma(&r, 36 * 512, 0x44);
    COMMAND(&r, 0xe6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    result(&r, res);
    ck_assert_uint_eq(res[0] & 0xc0, 0);
    ck_assert_uint_eq(res[3], 1); /* cylinder 1, head 0, sector 1 would be next */
    ck_assert_uint_eq(res[5], 1);
    ck_assert_mem_eq(r.ram + BUF, r.image.data, 36 * 512);
    rig_clear(&r);
}
END_TEST

START_TEST(write_and_format_reach_the_image)
{
    Rig r;
    uint8_t res[16];

    rig_init(&r, 737280);
    set_rate(&r, 2);
    memset(r.ram + BUF, 0x3c, 512);
    program_dma(&r, 512, 0x48);
    COMMAND(&r, 0xc5, 0, 0, 0, 9, 2, 9, 0x1b, 0xff);
    result(&r, res);
    ck_assert_uint_eq(res[0] & 0xc0, 0);
    ck_assert_mem_eq(r.image.data + 8 * 512, r.ram + BUF, 512);
    for (unsigned i = 0; i < 9; i++) {
        memcpy(r.ram + BUF + 4 * i, ((uint8_t[4]){0, 1, (uint8_t)(i + 1), 2}), 4);
    }
    program_dma(&r, 36, 0x48);
    COMMAND(&r, 0x4d, 4, 2, 9, 0x54, 0xf6);
    result(&r, res);
    ck_assert_uint_eq(res[0] & 0xc0, 0);
    ck_assert_uint_eq(r.image.data[9 * 512], 0xf6);
    ck_assert_uint_eq(r.image.data[18 * 512 - 1], 0xf6);
    r.image.read_only = true;
    program_dma(&r, 512, 0x48);
    COMMAND(&r, 0xc5, 0, 0, 0, 9, 2, 9, 0x1b, 0xff);
    result(&r, res);
    ck_assert_uint_eq(res[1], 2);
    rig_clear(&r);
}
END_TEST

START_TEST(impossible_transfers_say_why)
{
    static const struct { uint8_t c, h, s, rate, drive; uint8_t st1; } rows[] = {
        {0, 0, 19, 0, 0, 4},  /* no such sector         */
        {3, 0, 1, 0, 0, 4},   /* the head is elsewhere  */
        {0, 0, 1, 2, 0, 1},   /* wrong data rate        */
        {0, 0, 1, 0, 1, 5},   /* no such drive          */
        {0, 0, 1, 0, 3, 5},
    };
    Rig r;
    uint8_t res[16];

    rig_init(&r, 1474560);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        set_rate(&r, rows[i].rate);
        program_dma(&r, 512, 0x44);
        COMMAND(&r, 0x46, rows[i].drive, rows[i].c, rows[i].h, rows[i].s, 2, 255, 0x1b, 0xff);
        ck_assert_uint_eq(result(&r, res), 7);
        ck_assert_uint_eq(res[0] & 0xc0, 0x40);
        ck_assert_uint_eq(res[1], rows[i].st1);
    }
    set_rate(&r, 0);
    program_dma(&r, 3 * 512, 0x44);   /* more than EOT lets through */
    COMMAND(&r, 0x46, 0, 0, 0, 17, 2, 18, 0x1b, 0xff);
    result(&r, res);
    ck_assert_uint_eq(res[1], 0x80);
    r.image.err = EIO;
    program_dma(&r, 512, 0x44);
    COMMAND(&r, 0x46, 0, 0, 0, 1, 2, 18, 0x1b, 0xff);
    result(&r, res);
    ck_assert_uint_eq(res[1], 0x20);
    rig_clear(&r);
}
END_TEST

START_TEST(data_port_transfers_work_without_dma)
{
    Rig r;
    uint8_t res[16], buf[1024];

    rig_init(&r, 1474560);
    COMMAND(&r, 0x03, 0xdf, 0x03);
    COMMAND(&r, 0x46, 0, 0, 0, 17, 2, 18, 0x1b, 0xff);
    for (unsigned i = 0; i < sizeof buf; i++) {
        ck_assert_uint_eq(in(&r, 4), 0xf0);
        buf[i] = (uint8_t)in(&r, 5);
    }
    ck_assert_mem_eq(buf, r.image.data + 16 * 512, sizeof buf);
    ck_assert_uint_eq(result(&r, res), 7);
    COMMAND(&r, 0x45, 0, 0, 0, 18, 2, 18, 0x1b, 0xff);
    for (unsigned i = 0; i < 512; i++) {
        ck_assert_uint_eq(in(&r, 4), 0xb0);
        out(&r, 5, 0x99);
    }
    result(&r, res);
    ck_assert_uint_eq(r.image.data[18 * 512 - 1], 0x99);
    rig_clear(&r);
}
END_TEST

START_TEST(identification_and_state_commands)
{
    Rig r;
    uint8_t res[16];

    rig_init(&r, 1474560);
    COMMAND(&r, 0x10);
    ck_assert_uint_eq(result(&r, res), 1);
    ck_assert_uint_eq(res[0], 0x90);
    COMMAND(&r, 0x13, 0, 0x57, 0x10);
    seek(&r, 7);
    COMMAND(&r, 0x0e);
    ck_assert_uint_eq(result(&r, res), 10);
    ck_assert_uint_eq(res[0], 7);
    ck_assert_uint_eq(res[8], 0x57);
    COMMAND(&r, 0x94);
    ck_assert_uint_eq(result(&r, res), 1);
    ck_assert_uint_eq(res[0], 0x10);
    COMMAND(&r, 0x4a, 4);
    ck_assert_uint_eq(result(&r, res), 7);
    ck_assert_uint_eq(res[3], 7);
    COMMAND(&r, 0x04, 0);
    ck_assert_uint_eq(result(&r, res), 1);
    COMMAND(&r, 0x08);           /* nothing pending */
    ck_assert_uint_eq(result(&r, res), 1);
    ck_assert_uint_eq(res[0], 0x80);
    COMMAND(&r, 0x1f);
    ck_assert_uint_eq(result(&r, res), 1);
    ck_assert_uint_eq(res[0], 0x80);
    rig_clear(&r);
}
END_TEST

START_TEST(disk_change_shows_until_the_head_steps)
{
    Rig r;

    rig_init(&r, 1474560);
    ck_assert_uint_eq(dir(&r), 0x80);
    seek(&r, 1);
    ck_assert_uint_eq(dir(&r), 0);
    ck_assert(fdc_change_medium(r.fdc, 0, NULL, NULL));
    ck_assert_uint_eq(dir(&r), 0x80);
    seek(&r, 0);
    ck_assert_uint_eq(dir(&r), 0x80);
    rig_clear(&r);
}
END_TEST

START_TEST(image_sizes_choose_the_drive)
{
    static const struct { uint64_t size; unsigned type; } rows[] = {
        {1474560, 4}, {737280, 4}, {2949120, 5}, {1228800, 2}, {368640, 4}, {1474561, 0},
        {512, 0},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        BlockBackend b = {.size = rows[i].size};
        Device *d = fdc_new(NULL, (IrqLine){0});
        GError *error = NULL;
        ck_assert_int_eq(fdc_attach(d, 0, &b, &error), rows[i].type != 0);
        ck_assert_uint_eq(fdc_drive_type(d, 0), rows[i].type);
        if (rows[i].type == 0) {
            ck_assert_ptr_nonnull(strstr(error->message, "floppy.img"));
        }
        g_clear_error(&error);
        device_free(d);
    }
}
END_TEST

START_TEST(random_accesses_do_no_harm)
{
    Rig r;
    uint32_t x = (uint32_t)_i + 5;

    rig_init(&r, 1474560);
    for (unsigned i = 0; i < 100000; i++) {
        x = x * 1664525 + 1013904223;
        if ((x >> 30) == 0) {
            in(&r, (x >> 8) % 6);
        } else if ((x >> 28) % 4 == 1) {
            out(&r, 2 + (x >> 8) % 4, x >> 16);
        } else {
            out(&r, 5, (x >> 12 & 1) != 0 ? x >> 16 & 0x1f : x >> 16);
        }
        if (x % 3000 == 0) {
            program_dma(&r, 4096, (x >> 9 & 1) != 0 ? 0x54 : 0x58);
            out(&r, 2, 0x1c);
        }
    }
    device_reset(r.fdc);
    ck_assert_uint_eq(in(&r, 4), 0x80);
    ck_assert_int_eq(r.irq.level, 0);
    rig_clear(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fdc");
    TCase *t = tcase_create("fdc");
    SRunner *sr;
    int failed;

    suite_add_tcase(s, t);
    tcase_add_test(t, read_fills_memory_by_dma_and_tells_the_next_sector);
    tcase_add_test(t, multi_track_goes_on_with_the_second_head);
    tcase_add_test(t, write_and_format_reach_the_image);
    tcase_add_test(t, impossible_transfers_say_why);
    tcase_add_test(t, data_port_transfers_work_without_dma);
    tcase_add_test(t, identification_and_state_commands);
    tcase_add_test(t, disk_change_shows_until_the_head_steps);
    tcase_add_test(t, image_sizes_choose_the_drive);
    tcase_add_loop_test(t, random_accesses_do_no_harm, 0, 3);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
