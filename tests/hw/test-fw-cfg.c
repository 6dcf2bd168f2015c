/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fw_cfg: ports, directory, DMA, and guests that lie. */
#include "hw/dma.h"
#include "hw/fw-cfg.h"

#include <check.h>
#include <glib.h>

enum { RAM_LEN = 1 << 20 };

static Lock lock;
static PhysMem *mem;
static Device *dev;

static void setup(void)
{
    lock_init(&lock, LOCK_RANK_MACHINE);
    mem = phys_mem_new(RAM_LEN, &lock, NULL);
    lock_take(&lock);
    phys_region_ram(mem, 0, RAM_LEN, phys_mem_alloc(mem, RAM_LEN), 0, "ram");
    dev = fw_cfg_new(mem);
}

static void teardown(void)
{
    device_free(dev);
    lock_release(&lock);
    phys_mem_free(mem);
    lock_clear(&lock);
}

static uint8_t data(void)
{
    const DeviceWindow *w = &dev->cls->windows[FW_CFG_WINDOW_REGS];
    return (uint8_t)bus_read(&w->ops, dev, 1, 1);
}

static void select_key(uint16_t key)
{
    const DeviceWindow *w = &dev->cls->windows[FW_CFG_WINDOW_REGS];
    bus_write(&w->ops, dev, 0, 2, key);
}

static uint64_t big(unsigned n)
{
    uint64_t v = 0;

    while (n-- > 0) {
        v = v << 8 | data();
    }
    return v;
}

static void add(const char *name, const char *text)
{
    g_autoptr(GBytes) b = g_bytes_new(text, strlen(text));

    ck_assert(fw_cfg_add_file(dev, name, b, NULL));
}

/* Run a DMA request at 0x1000; returns the control word it leaves. */
static uint32_t dma(uint32_t control, uint32_t len, uint64_t addr)
{
    const DeviceWindow *w = &dev->cls->windows[FW_CFG_WINDOW_DMA];

    dma_store(mem, 0x1000, 4, GUINT32_TO_BE(control));
    dma_store(mem, 0x1004, 4, GUINT32_TO_BE(len));
    dma_store(mem, 0x1008, 8, GUINT64_TO_BE(addr));
    bus_write(&w->ops, dev, 0, 4, 0);
    bus_write(&w->ops, dev, 4, 4, GUINT32_TO_BE(0x1000));
    return GUINT32_FROM_BE((uint32_t)dma_load(mem, 0x1000, 4));
}

START_TEST(signature_id_and_zeros_after_the_end)
{
    select_key(FW_CFG_SIGNATURE);
    ck_assert_uint_eq(big(4), 0x51454d55);
    ck_assert_uint_eq(big(4), 0);
    select_key(FW_CFG_ID);
    ck_assert_uint_eq(data(), 3);
    static const uint16_t absent[] = {FW_CFG_KERNEL_DATA, 0x8003, 0x800f, 0x8010, 0x3fff, 0xffff};
    for (unsigned i = 0; i < ARRAY_LEN(absent); i++) {
        select_key(absent[i]);
        ck_assert_uint_eq(data(), 0);
    }
    fw_cfg_set_int(dev, FW_CFG_NB_CPUS, 2, 0x0102);
    select_key(FW_CFG_NB_CPUS);
    ck_assert_uint_eq(big(2), 0x0201);
}
END_TEST

START_TEST(directory_is_sorted_and_its_keys_lead_to_the_files)
{
    static const char *const names[] = {"bootorder", "etc/e820", "opt/b", "opt/bb"};
    char name[57] = "";

    add("opt/b", "bb");
    add("etc/e820", "0123456789");
    add("opt/bb", "c");
    add("bootorder", "");
    select_key(FW_CFG_FILE_DIR);
    ck_assert_uint_eq(big(4), ARRAY_LEN(names));
    uint16_t keys[4];
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        uint32_t len = (uint32_t)big(4);
        keys[i] = (uint16_t)big(2);
        big(2);
        for (unsigned j = 0; j < 56; j++) {
            name[j] = (char)data();
        }
        ck_assert_str_eq(name, names[i]);
        ck_assert_uint_eq(len, g_bytes_get_size(fw_cfg_file(dev, name)));
    }
    select_key(keys[1]);
    ck_assert_uint_eq(big(2), 0x3031);
    select_key(keys[2]);
    ck_assert_uint_eq(big(3), 0x626200);
}
END_TEST

START_TEST(bad_files_are_refused_by_name)
{
    g_autoptr(GBytes) b = g_bytes_new("x", 1);
    g_autofree char *longest = g_strnfill(55, 'a'), *too_long = g_strnfill(56, 'b');
    const char *const bad[] = {"", too_long, longest};

    ck_assert(fw_cfg_add_file(dev, longest, b, NULL));
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert(!fw_cfg_add_file(dev, bad[i], b, &error));
        ck_assert_ptr_nonnull(strstr(error->message, bad[i]));
    }
}
END_TEST

START_TEST(dma_reads_skips_and_selects)
{
    char out[8] = "zzzzzzz";
    const DeviceWindow *w = &dev->cls->windows[FW_CFG_WINDOW_DMA];

    ck_assert_uint_eq(bus_read(&w->ops, dev, 0, 4), load_le("QEMU", 4));
    ck_assert_uint_eq(bus_read(&w->ops, dev, 4, 4), load_le(" CFG", 4));
    add("opt/x", "hello");
    ck_assert_uint_eq(dma(FW_CFG_FILE_FIRST << 16 | 8 | 2, 2, 0x2000), 0);
    ck_assert_uint_eq(dma(4, 1, 0), 0);
    ck_assert_uint_eq(dma(2, 6, 0x2002), 0);
    dma_read(mem, 0x2000, out, 8);
    ck_assert_mem_eq(out, "helo\0\0\0\0", 8);
    ck_assert_uint_eq(dma(FW_CFG_FILE_FIRST << 16 | 8, 0, 0), 0);
    ck_assert_uint_eq(data(), 'h');
}
END_TEST

START_TEST(wild_dma_requests_end_with_the_error_bit)
{
    static const struct {
        uint32_t control, len;
        uint64_t addr, want;
    } rows[] = {
        {2, 0x1000, RAM_LEN - 16, 1}, {2, UINT32_MAX, 0x2000, 1}, {2, 16, UINT64_MAX - 8, 1},
        {2, 16, UINT64_C(1) << 40, 1}, {16, 4, 0x2000, 1}, {18, 0, 0, 0}, {4, UINT32_MAX, 0, 0},
        {0, UINT32_MAX, UINT64_MAX, 0}, {0xffff0008, 0, 0, 0}, {0xffff000a, 64, 0x3000, 0},
    };
    const DeviceWindow *w = &dev->cls->windows[FW_CFG_WINDOW_DMA];

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_msg(dma(rows[i].control, rows[i].len, rows[i].addr) == rows[i].want, "row %u", i);
    }
    /* a request that is nowhere, and odd widths */
    bus_write(&w->ops, dev, 0, 4, UINT32_MAX);
    bus_write(&w->ops, dev, 4, 4, UINT32_MAX);
    bus_write(&w->ops, dev, 4, 1, 0xff);
    bus_write(&w->ops, dev, 6, 2, 0xffff);
    device_reset(dev);
    ck_assert_uint_eq(data(), 'Q');
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fw-cfg");
    TCase *tc = tcase_create("fw-cfg");

    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, signature_id_and_zeros_after_the_end);
    tcase_add_test(tc, directory_is_sorted_and_its_keys_lead_to_the_files);
    tcase_add_test(tc, bad_files_are_refused_by_name);
    tcase_add_test(tc, dma_reads_skips_and_selects);
    tcase_add_test(tc, wild_dma_requests_end_with_the_error_bit);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
