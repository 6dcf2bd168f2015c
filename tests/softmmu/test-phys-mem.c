/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/phys-mem.c, phys-view.c: regions, the flat view, access by everybody, page flags. */
#include "softmmu/phys-mem.h"

#include "softmmu/base/bits.h"
#include "tests/suite.h"

enum { MIB = 1 << 20 };

typedef struct {
    uint64_t off, val;
    unsigned size, reads, writes;
} Window;

static uint64_t window_read(void *arg, uint64_t off, unsigned size)
{
    Window *w = arg;

    w->off = off;
    w->size = size;
    w->reads++;
    return 0x1122334455667788 >> (off & 7) * 8;
}

static void window_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Window *w = arg;

    *w = (Window){off, val, size, w->reads, w->writes + 1};
}

static const BusOps window_ops = {window_read, window_write, 4};

static Lock lock;
static PhysMem *pm;
static Window win;

static void set_up(void)
{
    lock_init(&lock, LOCK_RANK_MACHINE);
    pm = phys_mem_new(4 * MIB, &lock, NULL);
    ck_assert_ptr_nonnull(pm);
    win = (Window){0};
    phys_region_ram(pm, 0, 2 * MIB, phys_mem_alloc(pm, 2 * MIB), 0, "ram");
}

static void tear_down(void)
{
    phys_mem_free(pm);
    lock_clear(&lock);
}

START_TEST(what_no_region_covers_reads_as_ones_and_swallows_writes)
{
    uint32_t v = 0;

    ck_assert_uint_eq(phys_read(pm, guest_phys(0x80000000), 4), 0xffffffff);
    phys_write(pm, guest_phys(0x80000000), 8, 5);
    ck_assert(!phys_copy_from(pm, &v, guest_phys(UINT64_MAX - 8), 4));
    ck_assert_uint_eq(v, 0xffffffff);
    ck_assert_ptr_null(phys_mem_host(pm, guest_phys(0x80000000), 4, false));
}
END_TEST

START_TEST(ram_holds_what_is_written_at_every_size)
{
    for (unsigned size = 1; size <= 8; size *= 2) {
        phys_write(pm, guest_phys(0x1001), size, 0x8877665544332211);
        ck_assert_uint_eq(phys_read(pm, guest_phys(0x1001), size),
                          0x8877665544332211 & mask_bytes(size));
    }
    ck_assert_ptr_eq(phys_mem_host(pm, guest_phys(0x1001), 8, true), pm->base + 0x1001);
    ck_assert_ptr_null(phys_mem_host(pm, guest_phys(2 * MIB - 4), 8, false));
}
END_TEST

START_TEST(the_higher_priority_answers_and_the_later_of_equals)
{
    PhysRegion *a = phys_region_mmio(pm, 0x10000, 0x1000, &window_ops, &win, 1, "a");
    Window other = {0};
    PhysRegion *b = phys_region_mmio(pm, 0x10800, 0x1000, &window_ops, &other, 1, "b");

    phys_read(pm, guest_phys(0x107fc), 4);
    ck_assert_uint_eq(win.off, 0x7fc);
    phys_read(pm, guest_phys(0x10800), 4);
    ck_assert_uint_eq(other.reads, 1);
    ck_assert_uint_eq(other.off, 0);
    phys_region_remove(pm, b);
    phys_read(pm, guest_phys(0x10804), 4);
    ck_assert_uint_eq(win.off, 0x804);
    phys_region_enable(pm, a, false);
    phys_write(pm, guest_phys(0x10804), 4, 0xabcd);
    ck_assert_uint_eq(phys_read(pm, guest_phys(0x10804), 4), 0xabcd);
    phys_region_enable(pm, a, true);
    phys_region_move(pm, a, 0x20000);
    ck_assert_uint_eq(phys_read(pm, guest_phys(0x10804), 4), 0xabcd);
    ck_assert_uint_eq(phys_read(pm, guest_phys(0x20000), 4), 0x55667788);
}
END_TEST

START_TEST(wide_and_unaligned_device_accesses_are_split_low_first)
{
    phys_region_mmio(pm, 0x10000, 0x1000, &window_ops, &win, 1, "a");
    ck_assert_uint_eq(phys_read(pm, guest_phys(0x10000), 8), 0x1122334455667788);
    ck_assert_uint_eq(win.reads, 2);
    ck_assert_uint_eq(win.off, 4);
    win.reads = 0;
    ck_assert_uint_eq(phys_read(pm, guest_phys(0x10001), 4), 0x44556677);
    ck_assert_uint_eq(win.reads, 3); /* 1 at 1, 2 at 2, 1 at 4 */
    phys_write(pm, guest_phys(0x10ffe), 4, 0xaabbccdd); /* half in the window, half in RAM */
    ck_assert_uint_eq(win.val, 0xcc);
    ck_assert_uint_eq(phys_read(pm, guest_phys(0x11000), 2), 0xaabb);
}
END_TEST

START_TEST(rom_is_written_by_loaders_only)
{
    uint64_t off = phys_mem_alloc(pm, 0x1000);
    PhysRegion *rom = phys_region_rom(pm, 0xff000, 0x1000, off, 5, NULL, NULL, "rom");
    uint32_t v = 0x12345678;

    phys_load(pm, guest_phys(0xff000), &v, 4);
    phys_write(pm, guest_phys(0xff000), 4, 0);
    phys_copy_to(pm, guest_phys(0xff000), "abcd", 4);
    ck_assert_uint_eq(phys_read(pm, guest_phys(0xff000), 4), 0x12345678);
    ck_assert_ptr_null(phys_mem_host(pm, guest_phys(0xff000), 4, true));
    ck_assert_ptr_nonnull(phys_mem_host(pm, guest_phys(0xff000), 4, false));
    phys_region_set_rom(pm, rom, false);
    phys_write(pm, guest_phys(0xff000), 4, 7);
    ck_assert_uint_eq(phys_read(pm, guest_phys(0xff000), 4), 7);
}
END_TEST

START_TEST(with_a20_off_the_second_megabyte_is_the_first)
{
    uint8_t buf[16];

    phys_write(pm, guest_phys(0x100), 4, 0x11111111);
    phys_write(pm, guest_phys(0x100100), 4, 0x22222222);
    phys_mem_set_a20(pm, false);
    ck_assert_uint_eq(phys_read(pm, guest_phys(0x100100), 4), 0x11111111);
    phys_copy_from(pm, buf, guest_phys(0xffff8), 16); /* wraps to 0 */
    ck_assert_uint_eq(load_le(buf + 8, 8), phys_read(pm, guest_phys(0), 8));
    phys_mem_set_a20(pm, true);
    ck_assert_uint_eq(phys_read(pm, guest_phys(0x100100), 4), 0x22222222);
}
END_TEST

static void count(void *arg)
{
    ++*(int *)arg;
}

START_TEST(listeners_hear_of_each_batch_once)
{
    int n = 0;

    phys_mem_listen(pm, count, &n);
    phys_mem_begin(pm);
    phys_region_mmio(pm, 0x10000, 0x1000, &window_ops, &win, 1, "a");
    phys_region_mmio(pm, 0x20000, 0x1000, &window_ops, &win, 1, "b");
    ck_assert_int_eq(n, 0);
    phys_mem_end(pm);
    ck_assert_int_eq(n, 1);
}
END_TEST

START_TEST(remapping_for_ever_does_not_grow_memory)
{
    PhysRegion *a = phys_region_mmio(pm, 0x10000, 0x1000, &window_ops, &win, 1, "a");

    for (int i = 0; i < 1000; i++) {
        phys_region_move(pm, a, 0x10000 + (unsigned)i * 0x1000);
    }
    ck_assert_uint_eq(phys_mem_find(pm, guest_phys(0x10000 + 999 * 0x1000)).kind, PHYS_MMIO);
    ck_assert_uint_lt(pm->old_views->len, 16);
}
END_TEST

static void add_len(const PhysRange *r, const char *name, void *arg)
{
    uint64_t *next = arg;

    ck_assert_uint_eq(r->base, *next);
    ck_assert_uint_gt(r->len, 0);
    *next = r->base + r->len;
}

START_TEST(the_flat_view_is_sorted_disjoint_and_total)
{
    uint64_t next = 0;

    phys_region_mmio(pm, 0xfffff000, 0x1000, &window_ops, &win, 1, "top");
    phys_region_mmio(pm, UINT64_MAX - 0xfff, 0x1000, &window_ops, &win, 1, "last");
    phys_mem_foreach(pm, add_len, &next);
    ck_assert_uint_ge(next, UINT64_MAX - 1);
}
END_TEST

START_TEST(writes_change_the_version_of_code_pages_only)
{
    uint64_t v0;

    phys_write(pm, guest_phys(0x3000), 4, 1);
    v0 = page_code_version(pm, 0x3000);
    phys_write(pm, guest_phys(0x3000), 4, 2);
    ck_assert_uint_eq(page_code_version(pm, 0x3000), v0);
    phys_mem_set_code(pm, 0x3000);
    phys_copy_to(pm, guest_phys(0x2ffe), "abcd", 4);
    ck_assert_uint_ne(page_code_version(pm, 0x3000), v0);
    ck_assert_uint_eq(page_flags_get(pm, 0x3000) & PAGE_CODE, 0);
}
END_TEST

START_TEST(dirty_bits_say_written_since_last_asked)
{
    phys_write(pm, guest_phys(0x5000), 1, 1);
    ck_assert(phys_mem_test_clear_dirty(pm, 0x5000, PAGE_DIRTY_MIGRATION));
    ck_assert(!phys_mem_test_clear_dirty(pm, 0x5000, PAGE_DIRTY_MIGRATION));
    phys_write(pm, guest_phys(0x5fff), 1, 1);
    ck_assert(phys_mem_test_clear_dirty(pm, 0x5000, PAGE_DIRTY_MIGRATION));
    ck_assert(!phys_mem_test_clear_dirty(pm, 0x5000, PAGE_DIRTY_DISPLAY));
    page_flags_set(pm, 0x5000, PAGE_LOG_DISPLAY);
    phys_write(pm, guest_phys(0x5fff), 1, 1);
    ck_assert(phys_mem_test_clear_dirty(pm, 0x5000, PAGE_DIRTY_DISPLAY));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("softmmu/phys-mem");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, what_no_region_covers_reads_as_ones_and_swallows_writes);
    tcase_add_test(t, ram_holds_what_is_written_at_every_size);
    tcase_add_test(t, the_higher_priority_answers_and_the_later_of_equals);
    tcase_add_test(t, wide_and_unaligned_device_accesses_are_split_low_first);
    tcase_add_test(t, rom_is_written_by_loaders_only);
    tcase_add_test(t, with_a20_off_the_second_megabyte_is_the_first);
    tcase_add_test(t, listeners_hear_of_each_batch_once);
    tcase_add_test(t, remapping_for_ever_does_not_grow_memory);
    tcase_add_test(t, the_flat_view_is_sorted_disjoint_and_total);
    tcase_add_test(t, writes_change_the_version_of_code_pages_only);
    tcase_add_test(t, dirty_bits_say_written_since_last_asked);
    suite_add_tcase(s, t);
    return s;
}
