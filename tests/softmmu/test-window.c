/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/window.c: runs, rights of pages, what is in the way, two threads.  /proc/self/maps is the judge. */
#include "softmmu/window.h"

#include "softmmu/base/bits.h"
#include "tests/suite.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = GUEST_PAGE_SIZE, RAM = 32 * MIB, SHIFT_4K = 12, SHIFT_2M = 21 };

#define LIN UINT64_C(0xffff888000000000)
#define LAST_PAGE (UINT64_MAX - PAGE + 1)

static Lock lock;
static PhysMem *pm;
static Window *w;

static void set_up(void)
{
    const char *why = NULL;

    lock_init(&lock, LOCK_RANK_MACHINE);
    pm = phys_mem_new(RAM, &lock, NULL);
    ck_assert_ptr_nonnull(pm);
    phys_region_ram(pm, 0, RAM, phys_mem_alloc(pm, RAM), 0, "ram");
    w = window_new(pm, &why);
    ck_assert_msg(w != NULL, "%s", why);
    pm->window = w;
}

static void tear_down(void)
{
    pm->window = NULL;
    window_free(w);
    phys_mem_free(pm);
    lock_clear(&lock);
}

/* -- What the host says ------------------------------------------------------------------------ */

typedef struct {
    uint64_t from, to, offset;
    char rights[5];
} HostMap;

/* What is mapped between the program and `top`. */
static GArray *host_maps(uint64_t top)
{
    GArray *maps = g_array_new(FALSE, FALSE, sizeof(HostMap));
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512];

    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned long long from, to, offset;
        HostMap m;
        ck_assert_int_eq(sscanf(line, "%llx-%llx %4s %llx", &from, &to, m.rights, &offset), 4);
        if (from >= WINDOW_PROGRAM && from < top) {
            m.from = from;
            m.to = to;
            m.offset = offset;
            g_array_append_val(maps, m);
        }
    }
    fclose(f);
    return maps;
}

/* "r", "w" (and readable), or "-": not there; and that it is there from `offset`. */
static char right_at(uint64_t lin, uint64_t offset)
{
    GArray *maps = host_maps(w->base);
    uint64_t at = lin + w->base;
    char right = '-';

    for (unsigned i = 0; i < maps->len; i++) {
        const HostMap *m = &g_array_index(maps, HostMap, i);
        if (at >= m->from && at < m->to) {
            ck_assert_uint_eq(m->offset + (at - m->from), offset);
            ck_assert_int_eq(m->rights[3], 's');
            ck_assert_int_eq(m->rights[2], '-');
            right = m->rights[1] == 'w' ? 'w' : m->rights[0];
        }
    }
    g_array_free(maps, TRUE);
    return right;
}

static uint64_t mapped_bytes(void)
{
    GArray *maps = host_maps(w->base);
    uint64_t n = 0;

    for (unsigned i = 0; i < maps->len; i++) {
        n += g_array_index(maps, HostMap, i).to - g_array_index(maps, HostMap, i).from;
    }
    g_array_free(maps, TRUE);
    return n;
}

static bool is_writable_somewhere(uint64_t offset)
{
    GArray *maps = host_maps(w->base);
    bool found = false;

    for (unsigned i = 0; i < maps->len; i++) {
        const HostMap *m = &g_array_index(maps, HostMap, i);
        found |= m->rights[1] == 'w' && offset - m->offset < m->to - m->from;
    }
    g_array_free(maps, TRUE);
    return found;
}

static volatile uint64_t *window_at(uint64_t lin)
{
    return (volatile uint64_t *)(uintptr_t)(lin + w->base);
}

static uint64_t *ram_at(uint64_t phys)
{
    return phys_mem_host(pm, guest_phys(phys), 8, true);
}

/* -- Short forms ----------------------------------------------------------------------------------- */

static WindowRun run_of(uint64_t lin, unsigned pages, uint64_t offset)
{
    return (WindowRun){lin, (uint64_t)pages * PAGE, offset, SHIFT_4K, true};
}

static void map_run(WindowRun r)
{
    ck_assert_int_eq(window_map(w, &r, r.lin), WINDOW_OK);
}

static void map_pages(uint64_t lin, unsigned pages, uint64_t offset)
{
    map_run(run_of(lin, pages, offset));
}

/* The runs are ascending and disjoint, and the host has just them. */
static void check_runs(void)
{
    uint64_t bytes = 0;
    unsigned local = 0;

    for (unsigned i = 0; i < w->n_runs; i++) {
        const WindowRun *r = &w->run[i];
        ck_assert_uint_gt(r->len, 0);
        ck_assert_uint_eq((r->lin | r->len | r->offset) % PAGE, 0);
        ck_assert(i == 0 || r[-1].lin + (r[-1].len - 1) < r->lin);
        ck_assert_int_ne(right_at(r->lin, r->offset), '-');
        ck_assert_int_ne(right_at(r->lin + r->len - PAGE, r->offset + r->len - PAGE), '-');
        bytes += r->len;
        local += !r->global;
    }
    ck_assert_uint_eq(w->n_local, local);
    ck_assert_uint_eq(mapped_bytes(), bytes);
}

static void expect_run(unsigned i, uint64_t lin, unsigned pages, uint64_t offset)
{
    ck_assert_uint_lt(i, w->n_runs);
    ck_assert_uint_eq(w->run[i].lin, lin);
    ck_assert_uint_eq(w->run[i].len, (uint64_t)pages * PAGE);
    ck_assert_uint_eq(w->run[i].offset, offset);
}

/* -- Where ----------------------------------------------------------------------------------------- */

START_TEST(the_upper_half_is_reached_but_for_the_programs_place)
{
    ck_assert(window_reaches(w, LIN));
    ck_assert(window_reaches(w, UINT64_C(0xffffffff80000000)));
    ck_assert(window_reaches(w, UINT64_MAX));
    ck_assert(!window_reaches(w, 0));
    ck_assert(!window_reaches(w, UINT64_C(0x7fffffffffff)));
    ck_assert(!window_reaches(w, UINT64_C(0x0000800000000000)));
    ck_assert(!window_reaches(w, UINT64_C(1) << 63));
    ck_assert(!window_reaches(w, UINT64_C(0xffff800000000000)));
    ck_assert(!window_reaches(w, w->program_lin));
    ck_assert(!window_reaches(w, w->program_lin + WINDOW_PROGRAM - 1));
    ck_assert(window_reaches(w, w->program_lin + WINDOW_PROGRAM));
    ck_assert(!window_reaches(w, w->program_lin - 1));
}
END_TEST

START_TEST(the_program_lies_in_its_place_and_nothing_of_ours_where_the_window_is)
{
    GArray *maps = host_maps(w->base);

    ck_assert_uint_lt((uint64_t)(uintptr_t)&run_of, WINDOW_PROGRAM);
    ck_assert_uint_lt((uint64_t)(uintptr_t)&pm, WINDOW_PROGRAM);
    ck_assert_uint_eq(maps->len, 0);
    g_array_free(maps, TRUE);
}
END_TEST

START_TEST(each_process_draws_another_base)
{
    uint64_t first = w->base;
    const char *why;
    unsigned same = 0;

    for (unsigned i = 0; i < 8; i++) {
        window_free(w);
        w = window_new(pm, &why);
        ck_assert_ptr_nonnull(w);
        same += first == w->base;
        ck_assert_uint_eq(w->base % PAGE, 0);
    }
    ck_assert_uint_lt(same, 8);
}
END_TEST

START_TEST(a_process_has_one_at_a_time)
{
    const char *why = NULL;

    ck_assert_ptr_null(window_new(pm, &why));
    ck_assert_ptr_nonnull(why);
    ck_assert_ptr_nonnull(strstr(why, "another"));
}
END_TEST

START_TEST(own_memory_in_the_way_refuses_the_window)
{
    void *at = (void *)(uintptr_t)(UINT64_C(1) << 40);
    const char *why = NULL;

    ck_assert_ptr_eq(mmap(at, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), at);
    ck_assert_ptr_null(window_new(pm, &why));
    ck_assert_ptr_nonnull(why);
    munmap(at, PAGE);
}
END_TEST

/* -- Runs ------------------------------------------------------------------------------------------ */

START_TEST(what_is_mapped_is_guest_memory)
{
    *ram_at(5 * PAGE) = 0x1234;
    map_pages(LIN, 4, 4 * PAGE);
    ck_assert_uint_eq(*window_at(LIN + PAGE), 0x1234);
    *window_at(LIN + 2 * PAGE) = 77;
    ck_assert_uint_eq(*ram_at(6 * PAGE), 77);
    ck_assert_int_eq(right_at(LIN + 4 * PAGE, 0), '-');
    ck_assert_int_eq(right_at(LIN - PAGE, 0), '-');
    check_runs();
}
END_TEST

START_TEST(find_and_next_tell_runs)
{
    WindowRun r;

    ck_assert(!window_find(w, LIN, &r) && !window_next(w, UINT64_C(1) << 63, &r));
    map_pages(LIN + 8 * PAGE, 2, 0);
    map_pages(LIN, 2, 6 * PAGE);
    ck_assert(window_find(w, LIN + PAGE + 5, &r));
    ck_assert(r.lin == LIN && r.len == 2 * PAGE && r.offset == 6 * PAGE && r.leaf_shift == SHIFT_4K && r.write);
    ck_assert(window_find(w, LIN + 2 * PAGE - 1, &r) && !window_find(w, LIN + 2 * PAGE, &r));
    ck_assert(!window_find(w, LIN - 1, &r));
    ck_assert(window_next(w, UINT64_C(1) << 63, &r) && r.lin == LIN);
    ck_assert(window_next(w, LIN + 2 * PAGE - 1, &r) && r.lin == LIN);
    ck_assert(window_next(w, LIN + 2 * PAGE, &r) && r.lin == LIN + 8 * PAGE);
    ck_assert(!window_next(w, LIN + 10 * PAGE, &r));
}
END_TEST

START_TEST(those_that_are_not_global_are_found_among_the_others)
{
    WindowRun r, global = run_of(LIN, 2, 0);

    global.global = true;
    map_run(global);
    ck_assert(!window_next_local(w, 0, &r));
    map_pages(LIN + 2 * PAGE, 2, 2 * PAGE);     /* not merged */
    map_pages(LIN + 8 * PAGE, 4, 8 * PAGE);
    global.lin = LIN + 20 * PAGE;
    map_run(global);
    ck_assert(window_next_local(w, LIN, &r) && r.lin == LIN + 2 * PAGE);
    ck_assert(window_next_local(w, LIN + 4 * PAGE, &r) && r.lin == LIN + 8 * PAGE);
    ck_assert(!window_next_local(w, LIN + 12 * PAGE, &r));
    window_unmap(w, LIN + 9 * PAGE, PAGE);      /* two of one */
    ck_assert(window_next_local(w, LIN + 9 * PAGE, &r) && r.lin == LIN + 10 * PAGE);
    window_unmap(w, LIN + 2 * PAGE, 10 * PAGE);
    ck_assert(!window_next_local(w, 0, &r));
    check_runs();
}
END_TEST

START_TEST(runs_that_continue_each_other_merge)
{
    WindowRun r;

    map_pages(LIN, 1, 0);
    map_pages(LIN + 2 * PAGE, 1, 2 * PAGE);
    ck_assert_uint_eq(w->n_runs, 2);
    map_pages(LIN + PAGE, 1, PAGE);             /* between them */
    ck_assert_uint_eq(w->n_runs, 1);
    expect_run(0, LIN, 3, 0);
    map_pages(LIN + 3 * PAGE, 1, 9 * PAGE);     /* other memory */
    r = run_of(LIN + 4 * PAGE, 1, 10 * PAGE);
    r.write = false;                            /* other rights */
    map_run(r);
    r = run_of(LIN + 5 * PAGE, 1, 11 * PAGE);
    r.write = false;
    r.leaf_shift = SHIFT_2M;                    /* other pages */
    map_run(r);
    ck_assert_uint_eq(w->n_runs, 4);
    check_runs();
}
END_TEST

START_TEST(only_what_is_not_there_is_mapped)
{
    WindowRun all = run_of(LIN, 10, 0);
    uint64_t maps;

    map_pages(LIN + 2 * PAGE, 1, 12 * PAGE);    /* something else, on both sides of the hole */
    map_pages(LIN + 6 * PAGE, 1, 16 * PAGE);
    ck_assert_int_eq(window_map(w, &all, LIN + 4 * PAGE), WINDOW_OK);
    ck_assert_uint_eq(w->n_runs, 3);
    expect_run(1, LIN + 3 * PAGE, 3, 3 * PAGE);
    ck_assert_int_eq(window_map(w, &all, LIN + 9 * PAGE), WINDOW_OK);
    expect_run(3, LIN + 7 * PAGE, 3, 7 * PAGE);
    ck_assert_int_eq(window_map(w, &all, LIN), WINDOW_OK);
    expect_run(0, LIN, 2, 0);
    maps = w->n_maps;
    ck_assert_int_eq(window_map(w, &all, LIN + 6 * PAGE), WINDOW_OK); /* there: left alone */
    ck_assert_uint_eq(w->n_maps, maps);
    ck_assert_int_eq(right_at(LIN + 6 * PAGE, 16 * PAGE), 'w');
    check_runs();
}
END_TEST

START_TEST(unmapping_splits)
{
    map_pages(LIN, 10, 20 * PAGE);
    window_unmap(w, LIN + 4 * PAGE, 2 * PAGE);
    ck_assert_uint_eq(w->n_runs, 2);
    expect_run(0, LIN, 4, 20 * PAGE);
    expect_run(1, LIN + 6 * PAGE, 4, 26 * PAGE);
    check_runs();
    window_unmap(w, LIN + 3 * PAGE, 4 * PAGE);  /* ends of two */
    expect_run(0, LIN, 3, 20 * PAGE);
    expect_run(1, LIN + 7 * PAGE, 3, 27 * PAGE);
    check_runs();
    window_unmap(w, LIN + 3 * PAGE, 4 * PAGE);  /* nothing */
    window_unmap(w, LIN - 4 * PAGE, 4 * PAGE);
    window_unmap(w, LIN + 10 * PAGE, PAGE);
    ck_assert_uint_eq(w->n_runs, 2);
    window_unmap(w, LIN, PAGE);
    expect_run(0, LIN + PAGE, 2, 21 * PAGE);
    map_pages(LIN + 100 * PAGE, 1, 0);
    window_unmap(w, LIN + 2 * PAGE, 98 * PAGE); /* one whole, one's end */
    ck_assert_uint_eq(w->n_runs, 2);
    expect_run(0, LIN + PAGE, 1, 21 * PAGE);
    expect_run(1, LIN + 100 * PAGE, 1, 0);
    check_runs();
}
END_TEST

START_TEST(a_hole_can_be_filled_with_something_else)
{
    *ram_at(100 * PAGE) = 100;
    *ram_at(5 * PAGE) = 5;
    map_pages(LIN, 10, 0);
    window_unmap(w, LIN + 5 * PAGE, PAGE);
    map_pages(LIN + 5 * PAGE, 1, 100 * PAGE);
    ck_assert_uint_eq(*window_at(LIN + 5 * PAGE), 100);
    window_unmap(w, LIN + 5 * PAGE, PAGE);
    map_pages(LIN + 5 * PAGE, 1, 5 * PAGE);
    ck_assert_uint_eq(*window_at(LIN + 5 * PAGE), 5);
    ck_assert_uint_eq(w->n_runs, 1);
    check_runs();
}
END_TEST

START_TEST(the_last_page_of_all_comes_and_goes)
{
    *ram_at(3 * PAGE) = 33;
    map_pages(LAST_PAGE - PAGE, 2, 2 * PAGE);
    ck_assert_uint_eq(*window_at(LAST_PAGE), 33);
    check_runs();
    window_unmap(w, LAST_PAGE, PAGE);
    expect_run(0, LAST_PAGE - PAGE, 1, 2 * PAGE);
    check_runs();
    map_pages(LAST_PAGE, 1, 7 * PAGE);
    ck_assert_uint_eq(w->n_runs, 2);
    map_run((WindowRun){LIN, PAGE, 0, SHIFT_4K, false});
    window_unmap(w, UINT64_C(1) << 63, UINT64_C(1) << 63);
    ck_assert_uint_eq(w->n_runs, 0);
    ck_assert_uint_eq(mapped_bytes(), 0);
}
END_TEST

START_TEST(a_run_up_to_the_end_fills_the_hole_before_what_is_there)
{
    WindowRun all = {LAST_PAGE - 3 * PAGE, 4 * PAGE, 0, SHIFT_4K, true};

    map_pages(LAST_PAGE - PAGE, 1, 50 * PAGE);
    ck_assert_int_eq(window_map(w, &all, all.lin), WINDOW_OK);
    ck_assert_int_eq(window_map(w, &all, LAST_PAGE), WINDOW_OK);
    ck_assert_uint_eq(w->n_runs, 3);
    expect_run(0, all.lin, 2, 0);
    expect_run(2, LAST_PAGE, 1, 3 * PAGE);
    check_runs();
}
END_TEST

/* -- Too much, in the way --------------------------------------------------------------------------------- */

static void fill(unsigned n)
{
    for (unsigned i = w->n_runs; i < n; i++) {
        map_pages(LIN + (uint64_t)i * 2 * PAGE, 1, (uint64_t)(i % 64) * PAGE);
    }
}

START_TEST(too_many_runs_begin_anew)
{
    const uint64_t far = LIN + 8 * WINDOW_RUNS * (uint64_t)PAGE;

    fill(WINDOW_RUNS - 2);
    ck_assert_uint_eq(w->n_overflows, 0);
    ck_assert_uint_eq(w->n_runs, WINDOW_RUNS - 2);
    map_pages(far, 3, 0);
    ck_assert_uint_eq(w->n_overflows, 1);
    ck_assert_uint_eq(w->n_runs, 1);
    expect_run(0, far, 3, 0);
    check_runs();
}
END_TEST

START_TEST(long_runs_stay_when_short_ones_go)
{
    const uint64_t low = LIN - (uint64_t)MIB, far = LIN + 8 * WINDOW_RUNS * (uint64_t)PAGE;

    map_pages(low, 64, 0);
    fill(WINDOW_RUNS - 3);
    map_pages(far, 64, 64 * PAGE);
    map_pages(far + MIB, 1, 5 * PAGE);
    ck_assert_uint_eq(w->n_overflows, 1);
    ck_assert_uint_eq(w->n_runs, 3);
    expect_run(0, low, 64, 0);
    expect_run(1, far, 64, 64 * PAGE);
    expect_run(2, far + MIB, 1, 5 * PAGE);
    check_runs();
}
END_TEST

START_TEST(scattered_pages_go_by_one_call)
{
    const uint64_t unmaps = w->n_unmaps;

    map_pages(LIN, 2, 0);
    map_pages(LIN + 4 * PAGE, 2, 8 * PAGE);
    map_pages(LIN + 6 * PAGE, 1, 0);                       /* side by side, but elsewhere in memory */
    map_pages(LIN + 6 * PAGE + WINDOW_GAP, 1, 0);
    map_pages(LIN + 9 * PAGE + 2 * WINDOW_GAP, 4, 20 * PAGE); /* too far away */
    window_unmap(w, LIN + PAGE, 10 * PAGE + 2 * WINDOW_GAP);
    ck_assert_uint_eq(w->n_unmaps - unmaps, 2);
    ck_assert_uint_eq(w->n_runs, 2);
    expect_run(0, LIN, 1, 0);
    expect_run(1, LIN + 11 * PAGE + 2 * WINDOW_GAP, 2, 22 * PAGE);
    check_runs();
}
END_TEST

START_TEST(pieces_go_together_where_nothing_stays_between)
{
    const uint64_t unmaps = w->n_unmaps;
    WindowGoing g = {0};

    map_pages(LIN, 8, 0);
    map_pages(LIN + 10 * PAGE, 1, 20 * PAGE);
    map_pages(LIN + 12 * PAGE, 1, 0);
    map_pages(LIN + 14 * PAGE, 1, 40 * PAGE);
    window_unmap_with(w, &g, LIN + PAGE, PAGE);
    window_unmap_with(w, &g, LIN + 2 * PAGE, PAGE);        /* beside it */
    window_unmap_with(w, &g, LIN + 4 * PAGE, PAGE);        /* something of the same run stays */
    ck_assert_uint_eq(w->n_unmaps - unmaps, 1);
    window_unmap_with(w, &g, LIN + 5 * PAGE, 3 * PAGE);
    window_unmap_with(w, &g, LIN + 10 * PAGE, PAGE);       /* nothing is between */
    ck_assert_uint_eq(w->n_unmaps - unmaps, 1);
    window_unmap_with(w, &g, LIN + 14 * PAGE, PAGE);       /* another run stays */
    ck_assert_uint_eq(w->n_unmaps - unmaps, 2);
    window_unmap_rest(w, &g);
    window_unmap_rest(w, &g);
    ck_assert_uint_eq(w->n_unmaps - unmaps, 3);
    ck_assert_uint_eq(w->n_runs, 3);
    expect_run(0, LIN, 1, 0);
    expect_run(1, LIN + 3 * PAGE, 1, 3 * PAGE);
    expect_run(2, LIN + 12 * PAGE, 1, 0);
    check_runs();
}
END_TEST

START_TEST(too_many_protected_pages_begin_anew)
{
    w->pieces_max = 16;
    map_pages(LIN, 64, 0);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_eq(w->n_overflows, 0);
        phys_mem_set_code(pm, 2 * i * PAGE);
    }
    ck_assert_uint_eq(w->n_overflows, 1);
    ck_assert_uint_eq(w->n_runs, 0);
    ck_assert_uint_eq(mapped_bytes(), 0);
    map_pages(LIN, 4, 0);
    check_runs();
}
END_TEST

START_TEST(a_split_that_finds_no_place_unmaps_all)
{
    map_pages(LIN - 8 * PAGE, 3, 0);
    map_pages(LAST_PAGE, 1, 0);
    fill(WINDOW_RUNS - 2);
    window_unmap(w, LIN - 7 * PAGE, PAGE);
    ck_assert_uint_eq(w->n_runs, 0);
    ck_assert_uint_eq(mapped_bytes(), 0);
}
END_TEST

START_TEST(what_lies_in_the_way_is_not_replaced)
{
    uint64_t place = LIN + 6 * PAGE;
    void *at = (void *)(uintptr_t)(place + w->base);
    WindowRun r = run_of(LIN, 8, 0);

    *ram_at(6 * PAGE) = 6;
    phys_mem_set_code(pm, 2 * PAGE); /* so that it is mapped in pieces */
    ck_assert_ptr_eq(mmap(at, PAGE, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), at);
    *(volatile uint64_t *)at = 42;
    ck_assert_int_eq(window_map(w, &r, LIN), WINDOW_REFUSED);
    ck_assert_uint_eq(w->n_runs, 0);
    ck_assert_uint_eq(mapped_bytes(), PAGE);
    ck_assert_uint_eq(*(volatile uint64_t *)at, 42);
    munmap(at, PAGE);
    ck_assert_int_eq(window_map(w, &r, LIN), WINDOW_OK);
    ck_assert_uint_eq(*window_at(place), 6);
    check_runs();
}
END_TEST

/* No more address space for this process than it has. */
static struct rlimit limit_memory(void)
{
    struct rlimit old, now;
    unsigned long pages;
    FILE *f = fopen("/proc/self/statm", "re");

    ck_assert(f != NULL && fscanf(f, "%lu", &pages) == 1);
    fclose(f);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &old), 0);
    now = old;
    now.rlim_cur = (rlim_t)pages * PAGE;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &now), 0);
    return old;
}

START_TEST(a_host_without_room_gets_all_back)
{
    WindowRun r = run_of(LIN + 64 * PAGE, 512, 0);
    struct rlimit old;
    WindowResult got;

    map_pages(LIN, 4, 4 * PAGE);
    old = limit_memory();
    got = window_map(w, &r, r.lin);
    setrlimit(RLIMIT_AS, &old);
    ck_assert_int_eq(got, WINDOW_REFUSED);
    ck_assert_uint_eq(w->n_overflows, 1);
    ck_assert_uint_eq(w->n_runs, 0);
    ck_assert_uint_eq(mapped_bytes(), 0);
    map_run(r);
    check_runs();
}
END_TEST

START_TEST(nothing_is_left_behind)
{
    uint64_t base = w->base;
    GArray *maps;

    map_pages(LIN, 10, 0);
    phys_mem_set_code(pm, 3 * PAGE);
    map_pages(LAST_PAGE, 1, 0);
    map_pages(w->program_lin + WINDOW_PROGRAM, 1, PAGE);
    fill(100);
    window_free(w);
    w = NULL;
    pm->window = NULL;
    maps = host_maps(base);
    ck_assert_uint_eq(maps->len, 0);
    g_array_free(maps, TRUE);
}
END_TEST

/* -- Rights -------------------------------------------------------------------------------------------- */

START_TEST(a_run_without_stores_is_read_only)
{
    WindowRun r = run_of(LIN, 4, 0);

    r.write = false;
    map_run(r);
    ck_assert_int_eq(right_at(LIN, 0), 'r');
    ck_assert(!window_refresh_store(w, LIN));
    ck_assert_int_eq(right_at(LIN, 0), 'r');
    ck_assert_uint_eq(page_flags_get(pm, 0) & PAGE_TLB_WRITABLE, 0);
    window_revoke_write(w, 0);
    ck_assert_uint_eq(w->n_revokes, 0);
}
END_TEST

/* Flags under which a page may not be written unseen; the last needs PAGE_DIRTY_DISPLAY clear. */
static const uint8_t marked[] = {PAGE_CODE, PAGE_TRACED, PAGE_CHURN, PAGE_LOG_DISPLAY};

START_TEST(pages_that_need_marking_are_read_only_in_a_writable_run)
{
    page_flags_set(pm, 2 * PAGE, marked[_i]);
    map_pages(LIN, 5, 0);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_int_eq(right_at(LIN + i * PAGE, i * PAGE), i == 2 ? 'r' : 'w');
        ck_assert(i == 2 || (page_flags_get(pm, i * PAGE) & PAGE_DIRTY_MIGRATION) != 0);
    }
    ck_assert_uint_eq(w->n_runs, 1);
    ck_assert(!window_refresh_store(w, LIN + 2 * PAGE + 0x123));
    ck_assert_int_eq(right_at(LIN + 2 * PAGE, 2 * PAGE), 'r');
    page_flags_clear(pm, 2 * PAGE, marked[_i]);
    ck_assert(window_refresh_store(w, LIN + 2 * PAGE + 0x123));
    ck_assert_int_eq(right_at(LIN + 2 * PAGE, 2 * PAGE), 'w');
    ck_assert_uint_eq(w->n_refreshes, 1);
    ck_assert(!window_refresh_store(w, LIN + 5 * PAGE)); /* not there */
}
END_TEST

START_TEST(revoking_takes_one_page_wherever_it_is_seen)
{
    map_pages(LIN, 5, 0);
    map_pages(LIN + 32 * PAGE, 3, 2 * PAGE);
    map_run((WindowRun){LIN + 64 * PAGE, PAGE, 2 * PAGE, SHIFT_4K, false});
    phys_mem_set_code(pm, 2 * PAGE);
    ck_assert_uint_eq(w->n_revokes, 2);
    ck_assert_int_eq(right_at(LIN + 2 * PAGE, 2 * PAGE), 'r');
    ck_assert_int_eq(right_at(LIN + 32 * PAGE, 2 * PAGE), 'r');
    ck_assert_int_eq(right_at(LIN + 64 * PAGE, 2 * PAGE), 'r');
    ck_assert_int_eq(right_at(LIN + PAGE, PAGE), 'w');
    ck_assert_int_eq(right_at(LIN + 3 * PAGE, 3 * PAGE), 'w');
    ck_assert_int_eq(right_at(LIN + 33 * PAGE, 3 * PAGE), 'w');
    phys_mem_set_code(pm, 2 * PAGE); /* is already */
    ck_assert_uint_eq(w->n_revokes, 2);
    phys_mem_written(pm, 2 * PAGE, 1);
    ck_assert(window_refresh_store(w, LIN + 2 * PAGE));
    ck_assert_int_eq(right_at(LIN + 2 * PAGE, 2 * PAGE), 'w');
    ck_assert_int_eq(right_at(LIN + 32 * PAGE, 2 * PAGE), 'r');
    map_pages(LIN + 5 * PAGE, 1, 20 * PAGE);
    window_revoke_write(w, 5 * PAGE); /* seen nowhere, though a run ends there */
    ck_assert_int_eq(right_at(LIN + 5 * PAGE, 20 * PAGE), 'w');
    phys_mem_set_code(pm, 2 * PAGE); /* again */
    ck_assert_int_eq(right_at(LIN + 2 * PAGE, 2 * PAGE), 'r');
    check_runs();
}
END_TEST

START_TEST(a_cleared_dirty_bit_comes_back_with_the_next_store)
{
    map_pages(LIN, 2, 0);
    ck_assert(phys_mem_test_clear_dirty(pm, PAGE, PAGE_DIRTY_MIGRATION));
    ck_assert_int_eq(right_at(LIN + PAGE, PAGE), 'r');
    ck_assert_int_eq(right_at(LIN, 0), 'w');
    ck_assert(!phys_mem_test_clear_dirty(pm, PAGE, PAGE_DIRTY_MIGRATION));
    ck_assert(window_refresh_store(w, LIN + PAGE));
    ck_assert_int_eq(right_at(LIN + PAGE, PAGE), 'w');
    ck_assert(phys_mem_test_clear_dirty(pm, PAGE, PAGE_DIRTY_MIGRATION));
}
END_TEST

/* -- Two threads --------------------------------------------------------------------------------------- */

enum { TURNS = 3000, SHARED_PAGES = 4 };
static int stop;

/* Maps, unmaps and refreshes views of the same few pages. */
static void *mapper(void *arg)
{
    for (unsigned i = 0; !__atomic_load_n(&stop, __ATOMIC_SEQ_CST); i++) {
        uint64_t lin = LIN + (uint64_t)(i % 7) * 16 * PAGE;
        WindowRun r = run_of(lin, SHARED_PAGES, 0);
        window_map(w, &r, lin);
        window_refresh_store(w, lin + (i / 7 % SHARED_PAGES) * PAGE);
        if (i % 3 == 0) {
            window_unmap(w, lin + PAGE, PAGE);
        }
    }
    return NULL;
}

START_TEST(no_view_stays_writable_behind_a_revocation)
{
    pthread_t thread;
    unsigned writable = 0;

    ck_assert_int_eq(pthread_create(&thread, NULL, mapper, NULL), 0);
    for (unsigned i = 0; i < TURNS; i++) {
        uint64_t offset = (uint64_t)(i % SHARED_PAGES) * PAGE;
        phys_mem_set_code(pm, offset);
        writable += is_writable_somewhere(offset);
        page_flags_clear(pm, offset, PAGE_CODE);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(writable, 0);
    ck_assert_uint_gt(w->n_revokes, 0);
    ck_assert_uint_gt(w->n_refreshes, 0);
    check_runs();
}
END_TEST

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* Its shadow memory lies in the way. */
START_TEST(beside_a_sanitizer_there_is_no_window)
{
    const char *why = NULL;

    ck_assert_ptr_null(window_new(pm, &why));
    ck_assert_ptr_nonnull(why);
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, the_upper_half_is_reached_but_for_the_programs_place);
    tcase_add_test(t, the_program_lies_in_its_place_and_nothing_of_ours_where_the_window_is);
    tcase_add_test(t, each_process_draws_another_base);
    tcase_add_test(t, a_process_has_one_at_a_time);
    tcase_add_test(t, own_memory_in_the_way_refuses_the_window);
    tcase_add_test(t, what_is_mapped_is_guest_memory);
    tcase_add_test(t, find_and_next_tell_runs);
    tcase_add_test(t, those_that_are_not_global_are_found_among_the_others);
    tcase_add_test(t, runs_that_continue_each_other_merge);
    tcase_add_test(t, only_what_is_not_there_is_mapped);
    tcase_add_test(t, unmapping_splits);
    tcase_add_test(t, a_hole_can_be_filled_with_something_else);
    tcase_add_test(t, the_last_page_of_all_comes_and_goes);
    tcase_add_test(t, a_run_up_to_the_end_fills_the_hole_before_what_is_there);
    tcase_add_test(t, too_many_runs_begin_anew);
    tcase_add_test(t, long_runs_stay_when_short_ones_go);
    tcase_add_test(t, scattered_pages_go_by_one_call);
    tcase_add_test(t, pieces_go_together_where_nothing_stays_between);
    tcase_add_test(t, too_many_protected_pages_begin_anew);
    tcase_add_test(t, a_split_that_finds_no_place_unmaps_all);
    tcase_add_test(t, what_lies_in_the_way_is_not_replaced);
    tcase_add_test(t, a_host_without_room_gets_all_back);
    tcase_add_test(t, nothing_is_left_behind);
    tcase_add_test(t, a_run_without_stores_is_read_only);
    tcase_add_loop_test(t, pages_that_need_marking_are_read_only_in_a_writable_run, 0, (int)ARRAY_LEN(marked));
    tcase_add_test(t, revoking_takes_one_page_wherever_it_is_seen);
    tcase_add_test(t, a_cleared_dirty_bit_comes_back_with_the_next_store);
    tcase_add_test(t, no_view_stays_writable_behind_a_revocation);
}

Suite *test_suite(void)
{
    Suite *s = suite_create("window");
    TCase *t = tcase_create("window");

    tcase_set_timeout(t, 60);
    if (SANITIZED) {
        tcase_add_test(t, beside_a_sanitizer_there_is_no_window);
    } else {
        add_tests(t);
    }
    suite_add_tcase(s, t);
    return s;
}
