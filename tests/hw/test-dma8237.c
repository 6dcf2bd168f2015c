/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/dma8237.h"

#include "softmmu/base/bits.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { RAM_LEN = 1 << 20 };

typedef struct {
    Lock lock;
    PhysMem *mem;
    uint8_t *ram;
    Device *dma;
} Rig;

static void rig_init(Rig *r)
{
    uint64_t offset;

    lock_init(&r->lock, LOCK_RANK_MACHINE);
    lock_take(&r->lock);
    r->mem = phys_mem_new(RAM_LEN, &r->lock, NULL);
    offset = phys_mem_alloc(r->mem, RAM_LEN);
    r->ram = r->mem->base + offset;
    phys_region_ram(r->mem, 0, RAM_LEN, offset, 0, "ram");
    r->dma = dma8237_new(r->mem);
}

static void rig_clear(Rig *r)
{
    device_free(r->dma);
    phys_mem_free(r->mem);
    lock_release(&r->lock);
    lock_clear(&r->lock);
}

static void out(Rig *r, unsigned window, unsigned off, unsigned val)
{
    bus_write(&r->dma->cls->windows[window].ops, r->dma, off, 1, val);
}

static unsigned in(Rig *r, unsigned window, unsigned off)
{
    return (unsigned)bus_read(&r->dma->cls->windows[window].ops, r->dma, off, 1);
}

/* Channel 2 at `addr`, `n` bytes, with the mode's type and flags. */
static void program2(Rig *r, uint32_t addr, unsigned n, unsigned mode)
{
    out(r, DMA8237_WINDOW_LOW, 10, 4 | 2);
    out(r, DMA8237_WINDOW_LOW, 12, 0);
    out(r, DMA8237_WINDOW_LOW, 4, addr & 0xff);
    out(r, DMA8237_WINDOW_LOW, 4, addr >> 8 & 0xff);
    out(r, DMA8237_WINDOW_LOW, 5, (n - 1) & 0xff);
    out(r, DMA8237_WINDOW_LOW, 5, (n - 1) >> 8);
    out(r, DMA8237_WINDOW_PAGES, 0, addr >> 16);
    out(r, DMA8237_WINDOW_LOW, 11, mode | 2);
    out(r, DMA8237_WINDOW_LOW, 10, 2);
}

START_TEST(bytes_go_to_memory_until_terminal_count)
{
    Rig r;
    uint8_t data[64];
    bool tc;

    rig_init(&r);
    memset(data, 0xa7, sizeof data);
    program2(&r, 0x21234, 48, 0x44);
    ck_assert_uint_eq(dma8237_copy(r.dma, 2, data, 32, true, &tc), 32);
    ck_assert(!tc);
    ck_assert_uint_eq(dma8237_copy(r.dma, 2, data, 32, true, &tc), 16);
    ck_assert(tc);
    ck_assert_uint_eq(r.ram[0x21233], 0);
    ck_assert_mem_eq(r.ram + 0x21234, data, 48);
    ck_assert_uint_eq(r.ram[0x21234 + 48], 0);
    ck_assert_uint_eq(in(&r, DMA8237_WINDOW_LOW, 8), 4);
    ck_assert_uint_eq(in(&r, DMA8237_WINDOW_LOW, 8), 0); /* reading clears it */
    ck_assert_uint_eq(dma8237_copy(r.dma, 2, data, 1, true, &tc), 0); /* masked now */
    rig_clear(&r);
}
END_TEST

START_TEST(address_wraps_inside_its_page)
{
    Rig r;
    uint8_t data[4] = {1, 2, 3, 4};
    bool tc;

    rig_init(&r);
    program2(&r, 0x3fffe, 4, 0x44);
    ck_assert_uint_eq(dma8237_copy(r.dma, 2, data, 4, true, &tc), 4);
    ck_assert_uint_eq(r.ram[0x3ffff], 2);
    ck_assert_uint_eq(r.ram[0x30000], 3);
    rig_clear(&r);
}
END_TEST

START_TEST(autoinit_starts_again_and_down_counts_down)
{
    Rig r;
    uint8_t data[4] = {1, 2, 3, 4};
    bool tc;

    rig_init(&r);
    program2(&r, 0x5002, 3, 0x74); /* to memory, autoinit, down */
    ck_assert_uint_eq(dma8237_copy(r.dma, 2, data, 4, true, &tc), 3);
    ck_assert(tc);
    ck_assert_mem_eq(r.ram + 0x5000, ((uint8_t[3]){3, 2, 1}), 3);
    ck_assert_uint_eq(dma8237_copy(r.dma, 2, data + 3, 1, true, &tc), 1);
    ck_assert_uint_eq(r.ram[0x5002], 4);
    rig_clear(&r);
}
END_TEST

START_TEST(wrong_direction_and_disabled_controller_move_nothing)
{
    Rig r;
    uint8_t data[4] = {0};
    bool tc;

    rig_init(&r);
    program2(&r, 0x5000, 4, 0x48);
    ck_assert_uint_eq(dma8237_copy(r.dma, 2, data, 4, true, &tc), 0);
    out(&r, DMA8237_WINDOW_LOW, 8, 4);
    ck_assert_uint_eq(dma8237_copy(r.dma, 2, data, 4, false, &tc), 0);
    out(&r, DMA8237_WINDOW_LOW, 8, 0);
    r.ram[0x5001] = 9;
    ck_assert_uint_eq(dma8237_copy(r.dma, 2, data, 4, false, &tc), 4);
    ck_assert_uint_eq(data[1], 9);
    rig_clear(&r);
}
END_TEST

START_TEST(channel_5_moves_words)
{
    Rig r;
    uint8_t data[6] = {1, 2, 3, 4, 5, 6};
    bool tc;

    rig_init(&r);
    out(&r, DMA8237_WINDOW_HIGH, 12 * 2, 0);
    out(&r, DMA8237_WINDOW_HIGH, 2 * 2, 0x00);
    out(&r, DMA8237_WINDOW_HIGH, 2 * 2, 0x40);   /* words: address 0x8000 of page 6 */
    out(&r, DMA8237_WINDOW_HIGH, 3 * 2, 1);
    out(&r, DMA8237_WINDOW_HIGH, 3 * 2, 0);
    out(&r, DMA8237_WINDOW_PAGES, 0x8b - 0x81, 0x06);
    out(&r, DMA8237_WINDOW_HIGH, 11 * 2, 0x45);
    out(&r, DMA8237_WINDOW_HIGH, 10 * 2, 1);
    ck_assert_uint_eq(dma8237_copy(r.dma, 5, data, 6, true, &tc), 4);
    ck_assert(tc);
    ck_assert_mem_eq(r.ram + 0x68000, data, 4);
    rig_clear(&r);
}
END_TEST

START_TEST(count_and_address_read_back_as_they_move)
{
    Rig r;
    uint8_t data[3] = {0};
    bool tc;

    rig_init(&r);
    program2(&r, 0x1ff0, 0x200, 0x44);
    dma8237_copy(r.dma, 2, data, 3, true, &tc);
    out(&r, DMA8237_WINDOW_LOW, 12, 0);
    ck_assert_uint_eq(in(&r, DMA8237_WINDOW_LOW, 4), 0xf3);
    ck_assert_uint_eq(in(&r, DMA8237_WINDOW_LOW, 4), 0x1f);
    ck_assert_uint_eq(in(&r, DMA8237_WINDOW_LOW, 5), 0xfc);
    ck_assert_uint_eq(in(&r, DMA8237_WINDOW_LOW, 5), 0x01);
    device_reset(r.dma);
    ck_assert_uint_eq(in(&r, DMA8237_WINDOW_LOW, 15), 0x0f);
    rig_clear(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dma8237");
    TCase *t = tcase_create("dma8237");
    SRunner *sr;
    int failed;

    suite_add_tcase(s, t);
    tcase_add_test(t, bytes_go_to_memory_until_terminal_count);
    tcase_add_test(t, address_wraps_inside_its_page);
    tcase_add_test(t, autoinit_starts_again_and_down_counts_down);
    tcase_add_test(t, wrong_direction_and_disabled_controller_move_nothing);
    tcase_add_test(t, channel_5_moves_words);
    tcase_add_test(t, count_and_address_read_back_as_they_move);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
