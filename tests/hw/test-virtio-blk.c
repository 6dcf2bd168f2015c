/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-blk over every transport, on a temporary image. */
#include "hw/virtio-blk.h"
#include "tests/hw/virtio-driver.h"

#include <unistd.h>

enum { IMAGE = 64 * 1024, HEADER = DRIVER_BUFFERS, DATA = DRIVER_BUFFERS + 0x1000,
       STATUS = DRIVER_BUFFERS + 0x20000 };
enum { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, ZEROES = 13 };
enum { F_FLUSH = 9, F_CONFIG_WCE = 11 };
#define ALL_FEATURES (UINT64_MAX & ~BIT64(VIRTIO_F_EVENT_IDX))

static Driver d;
static char *path;
static GMainContext *context;
static BlockBackend *block;

static void run_locked(void *machine, void (*fn)(void *), void *arg) { fn(arg); }

static void begin(DriverKind kind, BlockOptions o, VirtioBlkConfig c)
{
    uint8_t *image = g_malloc(IMAGE);
    int fd = g_file_open_tmp("metaphrase-blk-XXXXXX", &path, NULL);

    close(fd);
    for (unsigned i = 0; i < IMAGE; i++) {
        image[i] = (uint8_t)(i / 512);
    }
    ck_assert(g_file_set_contents(path, (char *)image, IMAGE, NULL));
    g_free(image);
    context = g_main_context_new();
    o.filename = path;
    block = block_open(&o, context, run_locked, NULL, NULL);
    ck_assert_ptr_nonnull(block);
    driver_machine(&d, kind);
    c.block = block;
    driver_plug(&d, virtio_blk_new(d.mem, &c, NULL));
}

static void finish(void)
{
    driver_end(&d);
    block_close(block);
    unlink(path);
    g_free(path);
    g_main_context_unref(context);
}

static void put_header(uint32_t type, uint64_t sector)
{
    store_le(d.mem->base + HEADER, 4, type);
    store_le(d.mem->base + HEADER + 4, 4, 0);
    store_le(d.mem->base + HEADER + 8, 8, sector);
    d.mem->base[STATUS] = 0xee;
}

static void wait_used(unsigned q, uint32_t *len)
{
    uint32_t id;

    while (!driver_used(&d, q, &id, len)) {
        g_main_context_iteration(context, TRUE);
    }
}

/* One request; returns its status byte. */
static unsigned request_on(unsigned q, uint32_t type, uint64_t sector, uint32_t len)
{
    bool in = type == IN || type == GET_ID;
    uint32_t used;

    put_header(type, sector);
    if (len != 0) {
        driver_add(&d, q, (DriverBuffer[]){{HEADER, 16}, {DATA, len, in}, {STATUS, 1, true}}, 3, 0);
    } else {
        driver_add(&d, q, (DriverBuffer[]){{HEADER, 16}, {STATUS, 1, true}}, 2, 0);
    }
    driver_kick(&d, q);
    wait_used(q, &used);
    ck_assert_uint_eq(used, in ? len + 1 : 1);
    return d.mem->base[STATUS];
}

static unsigned request(uint32_t type, uint64_t sector, uint32_t len)
{
    return request_on(0, type, sector, len);
}

static uint8_t image_byte(uint64_t off)
{
    uint8_t sector[512];

    ck_assert_int_eq(block_pread(block, off & ~511ull, sector, 512), 0);
    return sector[off & 511];
}

START_TEST(sectors_are_read_and_written)
{
    begin(_i, (BlockOptions){0}, (VirtioBlkConfig){.serial = "serial-0123456789-too-long"});
    driver_start(&d, ALL_FEATURES);
    ck_assert_uint_eq(driver_config(&d, 0, 4), IMAGE / 512);
    ck_assert_uint_eq(driver_config(&d, 20, 4), 512);
    ck_assert_uint_eq(request(IN, 3, 4096), 0);
    ck_assert_uint_eq(d.mem->base[DATA], 3);
    ck_assert_uint_eq(d.mem->base[DATA + 4095], 10);
    memset(d.mem->base + DATA, 0xcc, 1024);
    ck_assert_uint_eq(request(OUT, 126, 1024), 0);
    ck_assert_uint_eq(image_byte(126 * 512), 0xcc);
    ck_assert_uint_eq(image_byte(IMAGE - 1), 0xcc);
    ck_assert_uint_eq(request(FLUSH, 0, 0), 0);
    ck_assert_uint_eq(request(GET_ID, 0, 20), 0);
    ck_assert_mem_eq(d.mem->base + DATA, "serial-0123456789-too-long", 20);
    finish();
}
END_TEST

START_TEST(requests_that_make_no_sense_get_an_error_status)
{
    static const struct { uint32_t type; uint64_t sector; uint32_t len; unsigned status; } c[] = {
        {IN, 128, 512, 1},  {IN, 127, 1024, 1},          {OUT, 128, 512, 1},
        {IN, 0, 100, 1},    {OUT, UINT64_MAX / 512, 512, 1}, {IN, UINT64_MAX, 512, 1},
        {99, 0, 0, 2},      {DISCARD, 0, 0, 1},          {ZEROES, 0, 15, 1},
        {IN, 128, 0, 0},
    };

    begin(_i, (BlockOptions){0}, (VirtioBlkConfig){0});
    driver_start(&d, ALL_FEATURES);
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        ck_assert_uint_eq(request(c[i].type, c[i].sector, c[i].len), c[i].status);
    }
    ck_assert(!d.vd->broken);
    finish();
}
END_TEST

START_TEST(requests_without_header_or_status_break_the_device)
{
    static const DriverBuffer short_header[] = {{HEADER, 8}, {STATUS, 1, true}};
    static const DriverBuffer no_status[] = {{HEADER, 16}};
    static const DriverBuffer no_header[] = {{STATUS, 1, true}};
    static const struct { const DriverBuffer *b; unsigned n; } c[] = {
        {short_header, 2}, {no_status, 1}, {no_header, 1},
    };

    begin(DRIVE_MODERN, (BlockOptions){0}, (VirtioBlkConfig){0});
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        driver_start(&d, ALL_FEATURES);
        put_header(IN, 0);
        driver_add(&d, 0, c[i].b, c[i].n, 0);
        driver_kick(&d, 0);
        ck_assert(d.vd->broken);
    }
    driver_start(&d, ALL_FEATURES);
    ck_assert_uint_eq(request(IN, 0, 512), 0);
    finish();
}
END_TEST

START_TEST(any_layout_of_header_data_and_status_works)
{
    uint32_t used;

    begin(DRIVE_MMIO, (BlockOptions){0}, (VirtioBlkConfig){0});
    driver_start(&d, ALL_FEATURES);
    put_header(OUT, 5);
    memset(d.mem->base + HEADER + 16, 0xab, 512);
    driver_add(&d, 0, (DriverBuffer[]){{HEADER, 7}, {HEADER + 7, 300}, {HEADER + 307, 221},
               {STATUS, 1, true}}, 4, 0);
    driver_kick(&d, 0);
    wait_used(0, &used);
    ck_assert_uint_eq(d.mem->base[STATUS], 0);
    ck_assert_uint_eq(image_byte(5 * 512), 0xab);
    ck_assert_uint_eq(image_byte(6 * 512 - 1), 0xab);
    put_header(IN, 5);
    driver_add(&d, 0, (DriverBuffer[]){{HEADER, 16}, {DATA, 500, true}, {DATA + 500, 13, true}}, 3,
               0);
    driver_kick(&d, 0);
    wait_used(0, &used);
    ck_assert_uint_eq(used, 513);
    ck_assert_uint_eq(d.mem->base[DATA + 511], 0xab);
    ck_assert_uint_eq(d.mem->base[DATA + 512], 0);
    finish();
}
END_TEST

static unsigned range(uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
    store_le(d.mem->base + DATA, 8, sector);
    store_le(d.mem->base + DATA + 8, 4, n);
    store_le(d.mem->base + DATA + 12, 4, flags);
    return request(type, 0, 16);
}

START_TEST(ranges_are_zeroed_and_discarded)
{
    begin(DRIVE_MODERN, (BlockOptions){0}, (VirtioBlkConfig){0});
    driver_start(&d, ALL_FEATURES);
    ck_assert_uint_eq(range(ZEROES, 8, 8, 0), 0);
    ck_assert_uint_eq(image_byte(8 * 512), 0);
    ck_assert_uint_eq(image_byte(16 * 512), 16);
    ck_assert_uint_eq(range(ZEROES, 24, 8, 1), 0);
    ck_assert_uint_eq(range(DISCARD, 40, 8, 0), 0);
    ck_assert_uint_eq(range(DISCARD, 40, 8, 1), 2);
    ck_assert_uint_eq(range(ZEROES, 40, 8, 2), 2);
    ck_assert_uint_eq(range(ZEROES, 127, 2, 0), 1);
    ck_assert_uint_eq(range(DISCARD, 0, 0xffffffff, 0), 1);
    ck_assert_uint_eq(image_byte(39 * 512), 39);
    finish();
}
END_TEST

START_TEST(a_read_only_disk_says_so_and_refuses_writes)
{
    begin(DRIVE_LEGACY, (BlockOptions){.read_only = true}, (VirtioBlkConfig){0});
    driver_start(&d, ALL_FEATURES);
    ck_assert(virtio_has(d.vd, 5));
    ck_assert(!virtio_has(d.vd, 13));
    ck_assert_uint_eq(request(IN, 3, 512), 0);
    ck_assert_uint_eq(request(OUT, 3, 512), 1);
    ck_assert_uint_eq(range(ZEROES, 0, 1, 0), 1);
    finish();
}
END_TEST

START_TEST(the_write_cache_is_the_drivers_choice)
{
    begin(DRIVE_MODERN, (BlockOptions){0}, (VirtioBlkConfig){0});
    driver_start(&d, ALL_FEATURES);
    ck_assert_uint_eq(driver_config(&d, 32, 1), 1);
    driver_set_config(&d, 32, 1, 0);
    ck_assert(!block_write_cache(block));
    ck_assert_uint_eq(driver_config(&d, 32, 1), 0);
    ck_assert_uint_eq(request(OUT, 3, 512), 0);
    driver_start(&d, ALL_FEATURES);                /* reset restores it */
    ck_assert(block_write_cache(block));
    driver_start(&d, ALL_FEATURES & ~(BIT64(F_FLUSH) | BIT64(F_CONFIG_WCE)));
    ck_assert(!block_write_cache(block));          /* a driver that cannot flush */
    finish();
}
END_TEST

START_TEST(reset_with_requests_in_flight_waits_and_forgets_them)
{
    uint32_t id, len;

    for (DriverKind k = 0; k < DRIVE_KINDS; k++) {
        begin(k, (BlockOptions){0}, (VirtioBlkConfig){0});
        driver_start(&d, ALL_FEATURES);
        for (unsigned i = 0; i < 5; i++) {
            put_header(i % 2 ? OUT : IN, i);
            driver_add(&d, 0, (DriverBuffer[]){{HEADER, 16}, {DATA, 4096, i % 2 == 0},
                       {STATUS, 1, true}}, 3, 0);
            driver_kick(&d, 0);
        }
        ck_assert_uint_eq(d.vd->queue[0].in_use, 5);
        driver_set_status(&d, 0);
        ck_assert_uint_eq(d.vd->queue[0].in_use, 0);
        while (g_main_context_iteration(context, FALSE)) {
        }
        driver_start(&d, ALL_FEATURES);
        ck_assert(!driver_used(&d, 0, &id, &len));
        ck_assert_uint_eq(request(IN, 9, 512), 0);
        put_header(IN, 1);
        driver_add(&d, 0, (DriverBuffer[]){{HEADER, 16}, {DATA, 512, true}, {STATUS, 1, true}}, 3, 0);
        driver_kick(&d, 0);
        finish();                                  /* and destroying it is safe too */
    }
}
END_TEST

START_TEST(many_queues_share_the_disk)
{
    begin(DRIVE_MODERN, (BlockOptions){0}, (VirtioBlkConfig){.num_queues = 4});
    driver_start(&d, ALL_FEATURES);
    ck_assert_uint_eq(driver_config(&d, 34, 2), 4);
    for (unsigned q = 0; q < 4; q++) {
        ck_assert_uint_eq(request_on(q, IN, 20 + q, 512), 0);
        ck_assert_uint_eq(d.mem->base[DATA], 20 + q);
    }
    finish();
}
END_TEST

START_TEST(bad_properties_are_refused_by_name)
{
    static const struct { VirtioBlkConfig c; const char *name; } c[] = {
        {{.num_queues = 65}, "num-queues=65"},
        {{.queue_size = 100}, "queue-size=100"},
        {{.queue_size = 2048}, "queue-size=2048"},
        {{.logical_block_size = 1000}, "logical_block_size=1000"},
        {{.physical_block_size = 256}, "physical_block_size=256"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        GError *error = NULL;
        ck_assert_ptr_null(virtio_blk_new(NULL, &c[i].c, &error));
        ck_assert_ptr_nonnull(strstr(error->message, c[i].name));
        g_error_free(error);
    }
}
END_TEST

/* Descriptors, rings and headers of random but likely values. */
static void scribble(uint32_t *seed)
{
    DriverQueue *q = &d.q[0];

    for (unsigned i = 0; i < q->size; i++) {
        uint32_t r = *seed = *seed * 1664525 + 1013904223;
        uint64_t addr = r % 61 == 0 ? (uint64_t)r << 20 : r % 16 == 1 ? q->desc : HEADER;
        uint32_t len = r % 53 == 0 ? r >> 8 : i % 3 == 0 ? 16 : i % 3 == 1 ? 512 : 1;
        driver_desc(&d, q->desc + 16 * i, addr + (r >> 28) * 512, len, r % 11 ? i % 3 == 0 ? 1 : i % 3 == 1 ? 3 : 2 : r >> 29,
                    (i + (r % 19 ? 1 : r >> 16)) % (r % 33 ? q->size : 0xffff));
        store_le(d.mem->base + q->avail + 4 + 2 * i, 2, r % 29 ? (r >> 12) % 5 * 3 : r);
    }
    for (unsigned i = 0; i < 16; i++) {
        static const uint8_t types[] = {IN, OUT, IN, FLUSH, IN, GET_ID, DISCARD, ZEROES};
        store_le(d.mem->base + HEADER + i * 512, 8, types[(*seed >> i) % 8]);
        store_le(d.mem->base + HEADER + i * 512 + 8, 8, (*seed >> 9) % 160);
    }
    q->avail_idx += 1 + (*seed >> 30);
    store_le(d.mem->base + q->avail + 2, 2, *seed % 51 ? q->avail_idx : *seed);
}

START_TEST(random_rings_do_no_harm)
{
    uint32_t seed = 4711 + _i;
    unsigned n_broken = 0;

    begin(_i, (BlockOptions){.snapshot = true}, (VirtioBlkConfig){0});
    for (unsigned i = 0; i < 300; i++) {
        driver_start(&d, UINT64_MAX);
        for (unsigned k = 0; k < 10 && !d.vd->broken; k++) {
            scribble(&seed);
            driver_kick(&d, 0);
            g_main_context_iteration(context, FALSE);
        }
        n_broken += d.vd->broken;
    }
    ck_assert_uint_gt(n_broken, 10);
    ck_assert_uint_gt(block_stats(block).rd_ops, 10);
    driver_start(&d, ALL_FEATURES);
    ck_assert_uint_eq(request(IN, 9, 512), 0);
    finish();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtio-blk");
    TCase *tc = tcase_create("virtio-blk");

    tcase_add_loop_test(tc, sectors_are_read_and_written, 0, DRIVE_KINDS);
    tcase_add_loop_test(tc, requests_that_make_no_sense_get_an_error_status, 0, DRIVE_KINDS);
    tcase_add_test(tc, requests_without_header_or_status_break_the_device);
    tcase_add_test(tc, any_layout_of_header_data_and_status_works);
    tcase_add_test(tc, ranges_are_zeroed_and_discarded);
    tcase_add_test(tc, a_read_only_disk_says_so_and_refuses_writes);
    tcase_add_test(tc, the_write_cache_is_the_drivers_choice);
    tcase_add_test(tc, reset_with_requests_in_flight_waits_and_forgets_them);
    tcase_add_test(tc, many_queues_share_the_disk);
    tcase_add_loop_test(tc, random_rings_do_no_harm, 0, DRIVE_KINDS);
    tcase_add_test(tc, bad_properties_are_refused_by_name);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
