/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/access.c: what a CPU's loads, stores, RMWs, runs and fetches do. */
#include "tests/softmmu/fake-walk.h"
#include "tests/suite.h"

static FakeMmu *f;
static SoftMmu *m;

static void set_up(void)
{
    f = fake_mmu_new();
    m = &f->mmu;
}

static void tear_down(void)
{
    fake_mmu_free(f);
}

static uint64_t load(uint64_t lin, unsigned size)
{
    return mmu_load(m, TLB_KERNEL, guest_lin(lin), size);
}

static void store(uint64_t lin, unsigned size, uint64_t val)
{
    mmu_store(m, TLB_KERNEL, guest_lin(lin), size, val);
}

/* True when `statement` raised. */
#define RAISES(statement) (setjmp(f->fault) != 0 ? true : ((statement), false))

START_TEST(loads_see_stores_at_every_size_and_offset_also_across_pages)
{
    f->phys[2] = 0x9000; /* not contiguous in physical memory */
    for (unsigned size = 1; size <= 8; size *= 2) {
        for (uint64_t lin = 0x1ff0; lin < 0x2010; lin++) {
            store(lin, size, 0x8877665544332211 + lin);
            ck_assert_uint_eq(load(lin, size), (0x8877665544332211 + lin) & mask_bytes(size));
        }
    }
    store(0x1ffe, 4, 0xaabbccdd);
    ck_assert_uint_eq(load_le(f->pm->base + 0x9000, 2), 0xaabb);
}
END_TEST

START_TEST(the_second_access_to_a_page_does_not_walk)
{
    load(0x3000, 4);
    ck_assert_uint_eq(f->walks, 1);
    load(0x3ff8, 8);
    store(0x3010, 8, 1);
    ck_assert_uint_eq(f->walks, 1);
}
END_TEST

START_TEST(a_fault_on_the_second_page_leaves_the_first_untouched)
{
    f->rights[5] = TLB_R_READ;
    ck_assert(RAISES(store(0x4ffc, 8, UINT64_MAX)));
    ck_assert_uint_eq(f->fault_lin.v, 0x5000);
    ck_assert_int_eq(f->fault_access, TLB_STORE);
    ck_assert_uint_eq(load(0x4ffc, 8), 0);
    f->rights[4] = TLB_R_READ;
    tlb_flush_all(&m->tlb);
    ck_assert(RAISES(store(0x4ffc, 8, UINT64_MAX)));
    ck_assert_uint_eq(f->fault_lin.v, 0x4ffc); /* the first page's fault comes first */
}
END_TEST

START_TEST(rmw_works_in_place_in_ram_and_on_a_copy_across_pages)
{
    MmuRmw r;

    store(0x1008, 4, 41);
    mmu_rmw_begin(m, TLB_KERNEL, guest_lin(0x1008), 4, true, &r);
    ck_assert_ptr_eq(r.p, f->pm->base + 0x1008);
    ++*(uint32_t *)r.p;
    mmu_rmw_end(m, &r, true);
    ck_assert_uint_eq(load(0x1008, 4), 42);

    f->phys[2] = 0x9000;
    store(0x1ffe, 4, 0x01020304);
    mmu_rmw_begin(m, TLB_KERNEL, guest_lin(0x1ffe), 4, true, &r);
    ck_assert(lock_held(LOCK_RANK_MACHINE));
    store_le(r.p, 4, load_le(r.p, 4) + 0x10000000);
    mmu_rmw_end(m, &r, true);
    ck_assert(!lock_held(LOCK_RANK_MACHINE));
    ck_assert_uint_eq(load(0x1ffe, 4), 0x11020304);

    mmu_rmw_begin(m, TLB_KERNEL, guest_lin(0x1ffe), 4, true, &r);
    store_le(r.p, 4, 0);
    mmu_rmw_end(m, &r, false); /* a compare that failed */
    ck_assert_uint_eq(load(0x1ffe, 4), 0x11020304);
}
END_TEST

START_TEST(writes_to_code_are_noticed_whatever_makes_them)
{
    uint64_t offset;
    uint32_t version;
    MmuRmw r;

    store(0x6000, 1, 0x90);
    for (int kind = 0; kind < 5; kind++) {
        uint32_t before;
        ck_assert_ptr_nonnull(mmu_code(m, TLB_KERNEL, guest_lin(0x6000), &offset, &version));
        ck_assert_uint_eq(version, page_code_version(f->pm, 0x6000));
        before = f->code_writes;
        switch (kind) {
        case 0: store(0x6010, 8, 1); break;
        case 1: store(0x5ffe, 4, 1); break; /* crosses into the page */
        case 2: mmu_store_bytes(m, TLB_KERNEL, guest_lin(0x6100), "0123456789abcdef", 16); break;
        case 3:
            mmu_rmw_begin(m, TLB_KERNEL, guest_lin(0x6200), 4, false, &r);
            mmu_rmw_end(m, &r, true);
            break;
        case 4: phys_copy_to(f->pm, guest_phys(0x6000), "x", 1); break; /* DMA */
        }
        ck_assert_uint_ne(page_code_version(f->pm, 0x6000), version);
        ck_assert_uint_eq(f->code_writes, before + (kind != 4));
    }
}
END_TEST

START_TEST(runs_reach_to_the_end_of_the_page_and_avoid_what_needs_care)
{
    unsigned avail;
    uint64_t offset;
    uint32_t version;

    store(0x1000, 1, 1);
    ck_assert_ptr_eq(mmu_run(m, TLB_KERNEL, guest_lin(0x1ff0), TLB_STORE, &avail),
                     f->pm->base + 0x1ff0);
    ck_assert_uint_eq(avail, 16);
    mmu_code(m, TLB_KERNEL, guest_lin(0x1000), &offset, &version);
    ck_assert_ptr_null(mmu_run(m, TLB_KERNEL, guest_lin(0x1ff0), TLB_STORE, &avail));
    ck_assert_ptr_nonnull(mmu_run(m, TLB_KERNEL, guest_lin(0x1ff0), TLB_LOAD, &avail));
    f->phys[8] = 0x80000000;
    ck_assert_ptr_null(mmu_run(m, TLB_KERNEL, guest_lin(0x8000), TLB_LOAD, &avail));
}
END_TEST

START_TEST(a_run_for_storing_can_be_had_after_the_first_marking)
{
    unsigned avail;

    phys_mem_test_clear_dirty(f->pm, 0x2000, PAGE_DIRTY_MIGRATION);
    ck_assert_ptr_null(mmu_run(m, TLB_KERNEL, guest_lin(0x2000), TLB_STORE, &avail));
    store(0x2000, 1, 1);
    ck_assert_ptr_nonnull(mmu_run(m, TLB_KERNEL, guest_lin(0x2000), TLB_STORE, &avail));
}
END_TEST

START_TEST(fetches_stop_at_the_page_end_and_obey_the_right_to_execute)
{
    uint8_t buf[16];

    store(0x1ffe, 2, 0x9090);
    ck_assert_uint_eq(mmu_fetch_bytes(m, TLB_KERNEL, guest_lin(0x1ffe), buf, 15), 2);
    f->rights[2] = TLB_R_READ | TLB_R_WRITE;
    ck_assert(RAISES(mmu_fetch_bytes(m, TLB_KERNEL, guest_lin(0x2000), buf, 15)));
    ck_assert_int_eq(f->fault_access, TLB_FETCH);
}
END_TEST

START_TEST(watched_pages_report_every_access)
{
    f->rights[7] |= TLB_R_WATCH;
    load(0x7004, 4);
    store(0x7008, 4, 1);
    store(0x6ffe, 4, 1);
    ck_assert_uint_eq(f->watches, 3);
    ck_assert_uint_eq(f->watch_lin.v, 0x7000);
}
END_TEST

START_TEST(probing_raises_and_does_nothing_else)
{
    f->rights[3] = TLB_R_READ;
    ck_assert(!RAISES(mmu_probe(m, TLB_KERNEL, guest_lin(0x2ffc), 8, TLB_LOAD)));
    ck_assert(RAISES(mmu_probe(m, TLB_KERNEL, guest_lin(0x2ffc), 8, TLB_STORE)));
    ck_assert_uint_eq(f->fault_lin.v, 0x3000);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("softmmu/access");
    TCase *c = tcase_create("all");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, loads_see_stores_at_every_size_and_offset_also_across_pages);
    tcase_add_test(c, the_second_access_to_a_page_does_not_walk);
    tcase_add_test(c, a_fault_on_the_second_page_leaves_the_first_untouched);
    tcase_add_test(c, rmw_works_in_place_in_ram_and_on_a_copy_across_pages);
    tcase_add_test(c, writes_to_code_are_noticed_whatever_makes_them);
    tcase_add_test(c, runs_reach_to_the_end_of_the_page_and_avoid_what_needs_care);
    tcase_add_test(c, a_run_for_storing_can_be_had_after_the_first_marking);
    tcase_add_test(c, fetches_stop_at_the_page_end_and_obey_the_right_to_execute);
    tcase_add_test(c, watched_pages_report_every_access);
    tcase_add_test(c, probing_raises_and_does_nothing_else);
    suite_add_tcase(s, c);
    return s;
}
