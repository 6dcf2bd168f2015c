/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/tlb.c: tags, spaces, flushes, revocation. */
#include "tests/softmmu/fake-walk.h"
#include "tests/suite.h"

#include <pthread.h>

static FakeMmu *f;
static Tlb *t;

enum { RWX = TLB_R_READ | TLB_R_WRITE | TLB_R_EXEC };

static void set_up(void)
{
    f = fake_mmu_new();
    t = &f->mmu.tlb;
}

static void tear_down(void)
{
    fake_mmu_free(f);
}

static bool hits(uint64_t lin, TlbAccess a)
{
    return tlb_hit(t, TLB_KERNEL, lin, a) != NULL;
}

static void insert(uint64_t lin, uint64_t phys, unsigned rights, bool global, unsigned shift)
{
    phys_mem_written(f->pm, phys, 1); /* dirty already, so that stores need no marking */
    tlb_insert(t, TLB_KERNEL, guest_lin(lin), guest_phys(phys), rights, global, shift);
}

START_TEST(a_fast_tag_is_given_exactly_for_the_rights_granted)
{
    for (unsigned rights = 0; rights < 8; rights++) {
        insert(0x7000, 0x3000, rights, false, 12);
        ck_assert_int_eq(hits(0x7123, TLB_LOAD), (rights & TLB_R_READ) != 0);
        ck_assert_int_eq(hits(0x7123, TLB_STORE), (rights & TLB_R_WRITE) != 0);
        ck_assert_int_eq(hits(0x7123, TLB_FETCH), (rights & TLB_R_EXEC) != 0);
        ck_assert_ptr_nonnull(tlb_probe(t, TLB_KERNEL, guest_lin(0x7000)));
        ck_assert_ptr_null(tlb_probe(t, TLB_USER, guest_lin(0x7000)));
    }
    ck_assert_ptr_eq(tlb_hit(t, TLB_KERNEL, 0x7123, TLB_LOAD), f->pm->base + 0x3123);
}
END_TEST

START_TEST(the_last_page_of_the_address_space_misses_when_empty)
{
    ck_assert(!hits(UINT64_MAX, TLB_LOAD));
    for (unsigned i = 0; i < 2 * TLB_SPACES; i++) {
        tlb_switch(t, 0, true);
        ck_assert(!hits(UINT64_MAX, TLB_LOAD));
    }
    insert(UINT64_MAX & GUEST_PAGE_MASK, 0x1000, RWX, false, 12);
    ck_assert(hits(UINT64_MAX, TLB_LOAD));
}
END_TEST

/* As many non-global kernel pages as page-table isolation has. */
static void isolate_kernel(void)
{
    for (uint64_t i = 0; i <= TLB_LOCALS; i++) {
        insert(0x100000 + i * GUEST_PAGE_SIZE, 0x1000, RWX, false, 12);
    }
    tlb_switch(t, 9, true);
}

START_TEST(kernel_pages_outlive_switches_but_for_the_few_that_are_not_global)
{
    uint64_t retags = t->n_retags;

    insert(0x1000, 0x1000, RWX, false, 12);
    insert(0x2000, 0x2000, RWX, true, 12);
    tlb_switch(t, 1, true);
    ck_assert(!hits(0x1000, TLB_LOAD));
    ck_assert(hits(0x2000, TLB_LOAD));
    tlb_switch(t, 0, false);
    ck_assert(!hits(0x1000, TLB_LOAD));
    ck_assert(hits(0x2000, TLB_LOAD));
    ck_assert_uint_eq(t->n_retags, retags);
    isolate_kernel();
    ck_assert(!hits(0x100000, TLB_LOAD));
    ck_assert(!hits(0x2000, TLB_LOAD));
    ck_assert_ptr_nonnull(tlb_probe(t, TLB_KERNEL, guest_lin(0x2000)));
}
END_TEST

/* Whoever remembers code by address and space must not find it in another space, even when the table grew
 * meanwhile. */
START_TEST(kernel_code_that_is_not_global_ends_the_kernels_own_space)
{
    uint32_t space;

    tlb_flush_all(t);
    insert(0x1000, 0x1000, RWX, false, 12);
    tlb_note_code(t, TLB_KERNEL, guest_lin(0x1000));
    for (uint64_t i = 0; !tlb_is_thrashing(t, TLB_KERNEL); i++) {
        insert(0x10000000 + (i << TLB_BITS_START << GUEST_PAGE_SHIFT), 0x1000, RWX, true, 12);
    }
    insert(0x2000, 0x1000, RWX, true, 12);
    ck_assert_uint_gt(t->table[TLB_KERNEL].index_mask + 1, 1u << TLB_BITS_START);
    space = tlb_space(t, TLB_KERNEL);
    tlb_switch(t, 0, true);
    ck_assert_uint_ne(tlb_space(t, TLB_KERNEL), space);
}
END_TEST

static void insert_as(TlbClass c, uint64_t lin, uint64_t phys, bool global)
{
    phys_mem_written(f->pm, phys, 1);
    tlb_insert(t, c, guest_lin(lin), guest_phys(phys), RWX, global, 12);
}

/* The host address that `lin` has for a load of this class, as an offset in RAM; -1: a miss. */
static int64_t loads_from(TlbClass c, uint64_t lin)
{
    const uint8_t *p = tlb_hit(t, c, lin, TLB_LOAD);

    return p != NULL ? p - f->pm->base : -1;
}

/* Of processes at the same addresses, with tables of their first size and bigger ones. */
START_TEST(pcids_keep_user_entries_of_the_same_addresses)
{
    static const TlbClass classes[] = {TLB_USER, TLB_KERNEL_AC};

    for (unsigned i = 0; i < 2 * ARRAY_LEN(classes); i++) {
        TlbClass c = classes[i % 2];
        for (unsigned pcid = 0; pcid < TLB_PLACES; pcid++) {
            tlb_switch(t, pcid, true);
            for (uint64_t page = 0; page < 16; page++) {
                insert_as(c, 0x7fff000 + page * GUEST_PAGE_SIZE, (pcid + page) << GUEST_PAGE_SHIFT, false);
            }
        }
        for (unsigned pcid = 0; pcid < TLB_PLACES; pcid++) {
            tlb_switch(t, pcid, false);
            for (uint64_t page = 0; page < 16; page++) {
                ck_assert_int_eq(loads_from(c, 0x7fff123 + page * GUEST_PAGE_SIZE), ((pcid + page) << GUEST_PAGE_SHIFT) + 0x123);
            }
        }
        for (uint64_t n = 0; i < 2 && !tlb_is_thrashing(t, c); n++) {
            insert_as(c, 0x10000000 + (n << TLB_BITS_START << GUEST_PAGE_SHIFT), 0x1000, false);
        }
        ck_assert_int_eq(loads_from(c, 0x7fff000), (TLB_PLACES - 1) << GUEST_PAGE_SHIFT);
        insert_as(c, 0x20000000, 0x1000, false); /* grows */
        ck_assert_uint_gt(t->table[c].index_mask + 1, 1u << TLB_BITS_START);
        ck_assert_int_eq(loads_from(c, 0x7fff000), (TLB_PLACES - 1) << GUEST_PAGE_SHIFT);
    }
}
END_TEST

START_TEST(invlpg_removes_a_global_page_that_several_pcids_have_used)
{
    for (unsigned pcid = 0; pcid < 2 * TLB_PLACES; pcid++) {
        tlb_switch(t, pcid, true);
        insert_as(TLB_USER, 0x5000, 0x1000, true);
        insert_as(TLB_USER, 0x6000, 0x2000, false);
    }
    tlb_flush_page(t, guest_lin(0x5000));
    for (unsigned pcid = 0; pcid < 2 * TLB_PLACES; pcid++) {
        tlb_switch(t, pcid, false);
        ck_assert_int_eq(loads_from(TLB_USER, 0x5000), -1);
        ck_assert_ptr_null(tlb_probe(t, TLB_USER, guest_lin(0x5000)));
    }
    ck_assert_int_eq(loads_from(TLB_USER, 0x6000), 0x2000);
    tlb_flush_all(t);
    ck_assert_int_eq(loads_from(TLB_USER, 0x6000), -1);
}
END_TEST

START_TEST(flushes_of_pages_with_noted_code_are_told)
{
    uint64_t epoch, n;

    insert(0x1000, 0x1000, RWX, true, 12);
    insert(0x2000, 0x2000, RWX, true, 12);
    insert(0x40003000, 0x3000, RWX, true, 21);
    tlb_note_code(t, TLB_KERNEL, guest_lin(0x1000));
    epoch = t->code_epoch;
    n = t->n_code_flushes;
    tlb_flush_page(t, guest_lin(0x2000));
    ck_assert_uint_eq(t->n_code_flushes, n);
    tlb_flush_page(t, guest_lin(0x1800));
    ck_assert_uint_eq(t->n_code_flushes, n + 1);
    ck_assert_uint_eq(t->code_flushed[n % TLB_CODE_FLUSHED].v, 0x1800);
    ck_assert_uint_eq(t->code_epoch, epoch);
    tlb_flush_page(t, guest_lin(0x40000000)); /* which other pages go with a large one? */
    ck_assert_uint_ne(t->code_epoch, epoch);
}
END_TEST

START_TEST(returning_to_a_pcid_finds_its_entries_and_no_others)
{
    isolate_kernel();
    tlb_switch(t, 1, true);
    insert(0x1000, 0x1000, RWX, false, 12);
    insert(0x2000, 0x2000, RWX, true, 12);
    tlb_switch(t, 2, true);
    ck_assert(!hits(0x1000, TLB_LOAD));
    ck_assert_ptr_null(tlb_probe(t, TLB_KERNEL, guest_lin(0x1000)));
    ck_assert_ptr_nonnull(tlb_probe(t, TLB_KERNEL, guest_lin(0x2000))); /* global: re-tagged */
    ck_assert(hits(0x2000, TLB_LOAD));
    tlb_switch(t, 1, false);
    ck_assert(hits(0x1000, TLB_LOAD));
    tlb_switch(t, 1, true);
    ck_assert(!hits(0x1000, TLB_LOAD));
}
END_TEST

START_TEST(flushes_remove_what_the_manual_says_and_keep_the_rest)
{
    isolate_kernel();
    tlb_switch(t, 3, true);
    insert(0x1000, 0x1000, RWX, false, 12);
    tlb_switch(t, 4, true);
    insert(0x5000, 0x5000, RWX, false, 12);
    insert(0x2000, 0x2000, RWX, true, 12);
    tlb_flush_pcid(t, 3);
    ck_assert(hits(0x5000, TLB_LOAD));
    tlb_switch(t, 3, false);
    ck_assert(!hits(0x1000, TLB_LOAD));
    tlb_switch(t, 4, false);
    ck_assert(hits(0x5000, TLB_LOAD));
    tlb_flush_nonglobal(t);
    ck_assert(!hits(0x5000, TLB_LOAD));
    ck_assert_ptr_nonnull(tlb_probe(t, TLB_KERNEL, guest_lin(0x2000)));
    tlb_flush_all(t);
    ck_assert_ptr_null(tlb_probe(t, TLB_KERNEL, guest_lin(0x2000)));
}
END_TEST

START_TEST(invlpg_removes_globals_and_every_piece_of_a_large_page)
{
    insert(0x1000, 0x1000, RWX, true, 12);
    insert(0x200000, 0x2000, RWX, false, 21);
    insert(0x3ff000, 0x3000, RWX, false, 21);
    insert(0x40000000, 0x4000, RWX, true, 30);
    insert(0x7fe00000, 0x5000, RWX, true, 30);
    insert(0x80001000, 0x6000, RWX, false, 12);
    tlb_flush_page(t, guest_lin(0x1fff));
    ck_assert_ptr_null(tlb_probe(t, TLB_KERNEL, guest_lin(0x1000)));
    tlb_flush_page(t, guest_lin(0x210000));
    ck_assert(!hits(0x200000, TLB_LOAD) && !hits(0x3ff000, TLB_LOAD));
    ck_assert(hits(0x40000000, TLB_LOAD));
    tlb_flush_page(t, guest_lin(0x50000000));
    ck_assert(!hits(0x40000000, TLB_LOAD) && !hits(0x7fe00000, TLB_LOAD));
    ck_assert(hits(0x80001000, TLB_LOAD));
}
END_TEST

START_TEST(numbers_running_out_clear_everything)
{
    insert(0x2000, 0x2000, RWX, true, 12);
    tlb_switch(t, 7, true);
    insert(0x1000, 0x1000, RWX, false, 12);
    for (unsigned i = 0; i < TLB_SPACES; i++) {
        tlb_switch(t, 8, true);
    }
    tlb_switch(t, 7, false);
    ck_assert(!hits(0x1000, TLB_LOAD));
}
END_TEST

START_TEST(a_code_page_loses_its_store_tags_in_every_tlb)
{
    Tlb other;

    tlb_init(&other, f->pm);
    insert(0x1000, 0x1000, RWX, false, 12);
    tlb_insert(&other, TLB_USER, guest_lin(0x9000), guest_phys(0x1000), RWX, false, 12);
    ck_assert(hits(0x1000, TLB_STORE));
    phys_mem_set_code(f->pm, 0x1000);
    ck_assert(!hits(0x1000, TLB_STORE));
    ck_assert(hits(0x1000, TLB_LOAD));
    ck_assert_ptr_null(tlb_hit(&other, TLB_USER, 0x9000, TLB_STORE));
    insert(0x3000, 0x1000, RWX, false, 12); /* set_code, then marked written: writable again */
    ck_assert(hits(0x3000, TLB_STORE));
    tlb_clear(&other);
}
END_TEST

static bool hits_as(TlbClass c, uint64_t lin)
{
    return tlb_hit(t, c, lin, TLB_STORE) != NULL;
}

static void writable(TlbClass c, uint64_t lin, uint64_t phys)
{
    phys_mem_written(f->pm, phys, 1);
    insert_as(c, lin, phys, false);
}

/* Many addresses in one table and in all, before and after it has grown, and an entry that another page has taken. */
START_TEST(all_store_tags_of_a_page_are_found)
{
    const uint64_t apart = (t->table[TLB_USER].index_mask + 1) << GUEST_PAGE_SHIFT;

    for (unsigned turn = 0; turn < 2; turn++) {
        writable(TLB_KERNEL, 0x1000, 0x7000);
        writable(TLB_USER, 0x2000, 0x7000);
        writable(TLB_KERNEL_AC, 0x3000, 0x7000);
        for (uint64_t i = 0; i < 3; i++) {
            writable(TLB_USER, 0x10000 + (i << GUEST_PAGE_SHIFT), 0x4000);
        }
        writable(TLB_USER, 0x20000, 0x5000);
        writable(TLB_USER, 0x20000 + apart, 0x6000); /* instead of it */
        writable(TLB_USER, 0x21000, 0x5000);
        tlb_revoke_write(t, 0x7000);
        ck_assert(!hits_as(TLB_KERNEL, 0x1000) && !hits_as(TLB_USER, 0x2000) && !hits_as(TLB_KERNEL_AC, 0x3000));
        ck_assert(hits_as(TLB_USER, 0x10000) && hits_as(TLB_USER, 0x12000));
        tlb_revoke_write(t, 0x4000);
        ck_assert(!hits_as(TLB_USER, 0x10000) && !hits_as(TLB_USER, 0x11000) && !hits_as(TLB_USER, 0x12000));
        tlb_revoke_write(t, 0x5000);
        ck_assert(!hits_as(TLB_USER, 0x21000));
        ck_assert(turn > 0 || hits_as(TLB_USER, 0x20000 + apart));
        for (uint64_t i = 0; turn == 0 && t->n_resizes == 0; i++) { /* it grows, with those in it */
            writable(TLB_USER, 0x20000 + i % 8 * apart, 0x3000);
        }
    }
}
END_TEST

/* A page that is writable when its table grows. */
START_TEST(store_tags_are_found_after_a_table_has_grown)
{
    const uint64_t apart = (t->table[TLB_USER].index_mask + 1) << GUEST_PAGE_SHIFT;

    writable(TLB_USER, apart + 0x5000, 0x7000);
    for (uint64_t i = 0; t->n_resizes == 0; i++) {
        writable(TLB_USER, 0x20000 + i % 8 * apart, 0x3000);
    }
    ck_assert(hits_as(TLB_USER, apart + 0x5000));
    tlb_revoke_write(t, 0x7000);
    ck_assert(!hits_as(TLB_USER, apart + 0x5000));
}
END_TEST

START_TEST(watched_device_and_rom_pages_take_the_slow_path)
{
    insert(0x1000, 0x1000, RWX | TLB_R_WATCH, false, 12);
    ck_assert(!hits(0x1000, TLB_LOAD) && !hits(0x1000, TLB_STORE));
    tlb_insert(t, TLB_KERNEL, guest_lin(0x2000), guest_phys(0x80000000), RWX, false, 12);
    ck_assert(!hits(0x2000, TLB_LOAD));
    phys_region_rom(f->pm, 0x100000, 0x1000, 0x4000, 1, NULL, NULL, "rom");
    tlb_insert(t, TLB_KERNEL, guest_lin(0x3000), guest_phys(0x100000), RWX, false, 12);
    ck_assert(hits(0x3000, TLB_LOAD) && !hits(0x3000, TLB_STORE));
}
END_TEST

START_TEST(a_thrashing_table_grows_and_keeps_its_entries)
{
    uint64_t mask = t->table[TLB_KERNEL].index_mask;

    for (uint64_t i = 0; i < 8 * (mask + 1); i++) {
        insert(i << 12, (i % FAKE_PAGES) << 12, RWX, false, 12);
    }
    ck_assert_uint_gt(t->table[TLB_KERNEL].index_mask, mask);
    ck_assert(hits((8 * (mask + 1) - 1) << 12, TLB_LOAD));
    ck_assert_ptr_eq(tlb_hit(t, TLB_KERNEL, (8 * (mask + 1) - 1) << 12, TLB_LOAD),
                     f->pm->base + ((8 * (mask + 1) - 1) % FAKE_PAGES << 12));
}
END_TEST

/* One thread marks a page as code and checks that no store tag survives; the owner keeps inserting
 * writable entries for it. */
static void *revoker(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        phys_mem_set_code(f->pm, 0x1000);
        phys_mem_written(f->pm, 0x1000, 1);
    }
    phys_mem_set_code(f->pm, 0x1000);
    *(bool *)arg = true;
    return NULL;
}

static TlbLent lent;

static bool is_near(unsigned class, unsigned n, uint64_t page)
{
    return lent.near[class][n].minus_page == 0 - page;
}

START_TEST(the_two_pages_used_last_are_near_until_something_changes)
{
    TlbNear *n = lent.near[TLB_NEAR_KERNEL];

    tlb_lend(t, &lent);
    insert(0x5000, 0x1000, RWX, false, 12);
    insert(0x6000, 0x2000, RWX, false, 12);
    insert(0x7000, 0x3000, TLB_R_READ, false, 12);
    tlb_come_near(t, TLB_KERNEL, 0x5ff8);
    ck_assert(is_near(TLB_NEAR_KERNEL, 0, 0x5000));
    ck_assert_uint_eq(0x5008 + n[0].addend, (uintptr_t)f->pm->base + 0x1008);
    tlb_come_near(t, TLB_KERNEL, 0x6000);
    ck_assert(is_near(TLB_NEAR_KERNEL, 0, 0x6000) && is_near(TLB_NEAR_KERNEL, 1, 0x5000));
    tlb_come_near(t, TLB_KERNEL, 0x6008);  /* is already */
    tlb_come_near(t, TLB_KERNEL, 0x7000);  /* not writable */
    tlb_come_near(t, TLB_KERNEL, 0x9000);  /* not there */
    tlb_come_near(t, TLB_USER, 0x5000);    /* not in that class */
    tlb_come_near(t, TLB_KERNEL_AC, 0x5000);
    ck_assert(is_near(TLB_NEAR_KERNEL, 0, 0x6000) && is_near(TLB_NEAR_KERNEL, 1, 0x5000));
    ck_assert_uint_eq(lent.near[TLB_NEAR_USER][0].minus_page, TLB_NEAR_NONE);
    phys_mem_set_code(f->pm, 0x1000);      /* any thread: the other page stays */
    ck_assert(is_near(TLB_NEAR_KERNEL, 0, 0x6000) && n[1].minus_page == TLB_NEAR_NONE);
    tlb_flush_page(t, guest_lin(0x123000));
    ck_assert_uint_eq(n[0].minus_page, TLB_NEAR_NONE);
    tlb_come_near(t, TLB_KERNEL, 0x6000);
    ck_assert(is_near(TLB_NEAR_KERNEL, 0, 0x6000));
    tlb_switch(t, 0, true);
    ck_assert_uint_eq(n[0].minus_page, TLB_NEAR_NONE);
    tlb_lend(t, NULL);
}
END_TEST

/* As generated code does. */
static TlbSpot *fill_spot(unsigned class, unsigned n, uint64_t page)
{
    TlbSpot *s = &lent.spot[class][n];

    s->addend = (uintptr_t)tlb_hit(t, TLB_KERNEL, page, TLB_STORE) - page;
    s->minus_page = 0 - page;
    lent.spots_used = 1;
    return s;
}

START_TEST(spots_are_forgotten_by_flushes_and_switches_and_with_the_right_to_store)
{
    TlbSpot *first, *last;

    tlb_lend(t, &lent);
    insert(0x5000, 0x1000, RWX, false, 12);
    insert(0x6000, 0x2000, RWX, false, 12);
    ck_assert_uint_eq(lent.spot[0][0].minus_page, TLB_NEAR_NONE);
    first = fill_spot(TLB_NEAR_USER, 0, 0x5000);
    last = fill_spot(TLB_NEAR_KERNEL, TLB_SPOTS - 1, 0x6000);
    phys_mem_set_code(f->pm, 0x2000); /* any thread: the other page stays */
    ck_assert(first->minus_page == (uint64_t)-0x5000 && last->minus_page == TLB_NEAR_NONE);
    tlb_flush_page(t, guest_lin(0x123000));
    ck_assert_uint_eq(first->minus_page, TLB_NEAR_NONE);
    first = fill_spot(TLB_NEAR_USER, 0, 0x5000);
    tlb_switch(t, 0, true);
    ck_assert_uint_eq(first->minus_page, TLB_NEAR_NONE);
    insert(0x5000, 0x1000, RWX, false, 12);
    first = fill_spot(TLB_NEAR_USER, 0, 0x5000);
    tlb_lend(t, NULL);
    tlb_flush_page(t, guest_lin(0x5000));
    tlb_lend(t, &lent); /* what happened meanwhile counts */
    ck_assert_uint_eq(first->minus_page, TLB_NEAR_NONE);
    tlb_lend(t, NULL);
}
END_TEST

START_TEST(racing_inserts_never_leave_a_writable_entry_on_a_code_page)
{
    bool done = false;
    pthread_t thread;

    tlb_lend(t, &lent);
    pthread_create(&thread, NULL, revoker, &done);
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        tlb_insert(t, TLB_KERNEL, guest_lin(0x1000), guest_phys(0x1000), RWX, false, 12);
        tlb_come_near(t, TLB_KERNEL, 0x1000);
        tlb_insert(t, TLB_KERNEL, guest_lin(0x401000), guest_phys(0x2000), RWX, false, 12);
        tlb_come_near(t, TLB_KERNEL, 0x401000);
    }
    pthread_join(thread, NULL);
    ck_assert((page_flags_get(f->pm, 0x1000) & PAGE_CODE) != 0);
    ck_assert(!hits(0x1000, TLB_STORE));
    ck_assert(!is_near(TLB_NEAR_KERNEL, 0, 0x1000) && !is_near(TLB_NEAR_KERNEL, 1, 0x1000));
    tlb_insert(t, TLB_KERNEL, guest_lin(0x1000), guest_phys(0x1000), RWX, false, 12);
    ck_assert(!hits(0x1000, TLB_STORE));
    tlb_lend(t, NULL);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("softmmu/tlb");
    TCase *c = tcase_create("all");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_fast_tag_is_given_exactly_for_the_rights_granted);
    tcase_add_test(c, the_last_page_of_the_address_space_misses_when_empty);
    tcase_add_test(c, returning_to_a_pcid_finds_its_entries_and_no_others);
    tcase_add_test(c, kernel_pages_outlive_switches_but_for_the_few_that_are_not_global);
    tcase_add_test(c, kernel_code_that_is_not_global_ends_the_kernels_own_space);
    tcase_add_test(c, pcids_keep_user_entries_of_the_same_addresses);
    tcase_add_test(c, invlpg_removes_a_global_page_that_several_pcids_have_used);
    tcase_add_test(c, flushes_of_pages_with_noted_code_are_told);
    tcase_add_test(c, flushes_remove_what_the_manual_says_and_keep_the_rest);
    tcase_add_test(c, invlpg_removes_globals_and_every_piece_of_a_large_page);
    tcase_add_test(c, numbers_running_out_clear_everything);
    tcase_add_test(c, a_code_page_loses_its_store_tags_in_every_tlb);
    tcase_add_test(c, all_store_tags_of_a_page_are_found);
    tcase_add_test(c, store_tags_are_found_after_a_table_has_grown);
    tcase_add_test(c, watched_device_and_rom_pages_take_the_slow_path);
    tcase_add_test(c, a_thrashing_table_grows_and_keeps_its_entries);
    tcase_add_test(c, the_two_pages_used_last_are_near_until_something_changes);
    tcase_add_test(c, spots_are_forgotten_by_flushes_and_switches_and_with_the_right_to_store);
    tcase_add_test(c, racing_inserts_never_leave_a_writable_entry_on_a_code_page);
    suite_add_tcase(s, c);
    return s;
}
