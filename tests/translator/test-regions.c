/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Regions in which the window does not pay (windows-regions.c): when they are given up, and when they are tried again. */
#include "translator/windows-regions.h"

#include "tests/suite.h"

static const uint64_t here = UINT64_C(0xffffc90000000000);
enum { REGION = 1 << REGION_SHIFT, PART_PAGES = 1 << 18, STACK_SIZE = 16 << 10, MS = 1000 };

static WindowRegions regions;
static TransConfig config;
static uint64_t now;

static void set_up(void)
{
    memset(&regions, 0, sizeof regions);
    config = trans_policy;
    now = 5000 * MS;
}

/* A page at `lin` goes and comes back.  True: its region is banned by that. */
static bool remap(uint64_t lin)
{
    regions_gone(&regions, lin, 1);
    return regions_came(&regions, &config, lin, 1, now);
}

/* Remaps at one time until a ban begins; how many. */
static unsigned remap_until_banned(uint64_t lin)
{
    for (unsigned i = 1; i <= 10 * config.window_region_burst; i++) {
        if (remap(lin)) {
            return i;
        }
    }
    return 0;
}

static bool refuse(uint64_t lin)
{
    return regions_refuse(&regions, &config, lin, 0, now);
}

START_TEST(what_is_mapped_first_is_no_reason)
{
    for (uint64_t page = 0; page < PART_PAGES; page++) {
        ck_assert(!regions_came(&regions, &config, here + page * GUEST_PAGE_SIZE, 1, now));
    }
    ck_assert_uint_eq(regions.n_again, 0);
    ck_assert(!refuse(here));
}
END_TEST

START_TEST(a_burst_of_mappings_that_come_back_bans)
{
    ck_assert_uint_eq(remap_until_banned(here), config.window_region_burst);
    ck_assert(regions_is_banned(&regions, here));
    ck_assert(regions_is_banned(&regions, here + REGION - 1));
    ck_assert(!regions_is_banned(&regions, here + REGION));
    ck_assert(!regions_is_banned(&regions, here - 1));
    ck_assert(refuse(here + 8));
    ck_assert(!refuse(here + REGION));
    ck_assert_uint_eq(regions.n_bans, 1);
    ck_assert_uint_eq(regions.n_banned, 1);
}
END_TEST

START_TEST(mappings_that_come_back_slowly_do_not)
{
    for (unsigned i = 0; i < 100 * config.window_region_burst; i++) {
        ck_assert(!remap(here));
        now += config.window_region_us;
    }
    ck_assert_uint_eq(regions.n_again, 100 * config.window_region_burst);
    ck_assert_uint_eq(regions.n_bans, 0);
}
END_TEST

START_TEST(half_as_slowly_they_do)
{
    unsigned n = 1;

    for (; !remap(here); n++) {
        ck_assert_uint_lt(n, 10 * config.window_region_burst);
        now += config.window_region_us / 2;
    }
    ck_assert_uint_ge(n, 2 * config.window_region_burst - 2);
    ck_assert_uint_le(n, 2 * config.window_region_burst);
}
END_TEST

START_TEST(regions_of_a_part_have_one_account)
{
    unsigned n = 0;

    while (!remap(here + (uint64_t)(n % 16) * REGION)) {
        n++;
    }
    ck_assert_uint_eq(n + 1, config.window_region_burst);
    ck_assert(regions_is_banned(&regions, here + (uint64_t)(n % 16) * REGION));
    ck_assert_uint_eq(regions.n_banned, 1);
    ck_assert(remap(here + (uint64_t)((n + 1) % 16) * REGION)); /* and so is the next that goes on */
    ck_assert_uint_eq(regions.n_banned, 2);
}
END_TEST

START_TEST(one_run_that_comes_back_counts_once)
{
    regions_gone(&regions, here, 64);
    ck_assert(!regions_came(&regions, &config, here, 64, now));
    for (unsigned i = 0; i < 63; i++) {
        ck_assert(!regions_came(&regions, &config, here + i * GUEST_PAGE_SIZE, 1, now));
    }
    ck_assert_uint_eq(regions.n_again, 1);
}
END_TEST

START_TEST(pages_made_writable_again_count)
{
    unsigned n = 1;

    while (!regions_opened(&regions, &config, here, now)) {
        n++;
    }
    ck_assert_uint_eq(n, config.window_region_burst);
}
END_TEST

START_TEST(bans_end_and_are_pardoned)
{
    remap_until_banned(here);
    now += config.window_region_ms * MS - 1;
    ck_assert(!regions_take_ended(&regions, now));
    ck_assert(refuse(here));
    now++;
    ck_assert(regions_take_ended(&regions, now));
    ck_assert(!regions_take_ended(&regions, now));
    ck_assert(!refuse(here));
    ck_assert_uint_eq(regions.n_served, 1);
    ck_assert_uint_eq(regions.n_banned, 0);
}
END_TEST

START_TEST(who_comes_when_the_term_is_over_is_not_refused)
{
    remap_until_banned(here);
    now += config.window_region_ms * MS;
    ck_assert(!refuse(here));
    ck_assert(regions_take_ended(&regions, now));
    ck_assert_uint_eq(regions.n_served, 1);
}
END_TEST

START_TEST(terms_double_and_are_short_again_when_it_was_calm)
{
    uint64_t term = config.window_region_ms * MS;

    for (unsigned i = 0; i < 10; i++) {
        remap_until_banned(here);
        now += term - 1;
        ck_assert(!regions_take_ended(&regions, now));
        now++;
        ck_assert(regions_take_ended(&regions, now));
        term = MIN(2 * term, 64 * config.window_region_ms * MS);
    }
    now += 5 * term;
    remap_until_banned(here);
    now += config.window_region_ms * MS;
    ck_assert(regions_take_ended(&regions, now));
}
END_TEST

START_TEST(a_stack_ends_a_ban_and_is_trusted_for_a_term)
{
    remap_until_banned(here);
    ck_assert(regions_refuse(&regions, &config, here + 0x8008, here + 0x8008 - STACK_SIZE, now));
    ck_assert(!regions_refuse(&regions, &config, here + 0x8008, here + 0x8010, now)); /* a push */
    ck_assert(!refuse(here));
    ck_assert_uint_eq(regions.n_wrong, 1);
    ck_assert(regions_take_ended(&regions, now));
    ck_assert_uint_eq(remap_until_banned(here), 0);
    now += 2 * config.window_region_ms * MS; /* the second term */
    ck_assert_uint_ne(remap_until_banned(here), 0);
}
END_TEST

START_TEST(too_many_guilty_instructions_end_a_ban)
{
    remap_until_banned(here);
    for (unsigned i = 0; i < config.window_region_sites; i++) {
        ck_assert(refuse(here + i));
    }
    ck_assert(!refuse(here));
    ck_assert(!regions_is_banned(&regions, here));
    ck_assert_uint_eq(regions.n_wrong, 1);
    ck_assert_uint_eq(remap_until_banned(here), 0);
}
END_TEST

START_TEST(runs_end_at_banned_regions)
{
    const uint64_t first = here + 4 * (uint64_t)REGION;
    const WindowRun all = {.lin = here, .len = 16 * (uint64_t)REGION, .offset = 0x1000, .leaf_shift = 12};
    WindowRun run = all;

    regions_clip(&regions, first, &run);
    ck_assert(run.lin == all.lin && run.len == all.len && run.offset == all.offset);
    regions_ban(&regions, &config, first - REGION, now);
    regions_ban(&regions, &config, first + 3 * REGION, now);
    regions_clip(&regions, first + 5, &run);
    ck_assert_uint_eq(run.lin, first);
    ck_assert_uint_eq(run.len, 3 * (uint64_t)REGION);
    ck_assert_uint_eq(run.offset, 0x1000 + 4 * (uint64_t)REGION);
    run = (WindowRun){.lin = first + 0x3000, .len = 0x5000, .offset = 0x7000, .leaf_shift = 12};
    regions_clip(&regions, first + 0x4000, &run);
    ck_assert(run.lin == first + 0x3000 && run.len == 0x5000 && run.offset == 0x7000);
}
END_TEST

START_TEST(runs_at_the_ends_of_the_space_are_clipped)
{
    WindowRun run = {.lin = 0 - 4 * (uint64_t)REGION, .len = 4 * (uint64_t)REGION, .leaf_shift = 21};

    regions_ban(&regions, &config, 0 - 4 * (uint64_t)REGION, now);
    regions_clip(&regions, UINT64_MAX, &run);
    ck_assert_uint_eq(run.lin, 0 - 3 * (uint64_t)REGION);
    ck_assert_uint_eq(run.len, 3 * (uint64_t)REGION);
    ck_assert_uint_eq(run.offset, REGION);
}
END_TEST

/* Two regions with one place in the table: the banned one keeps it. */
START_TEST(another_region_does_not_take_a_banned_ones_place)
{
    const uint64_t there = here + (uint64_t)REGIONS * REGION;

    remap_until_banned(here);
    ck_assert_uint_eq(remap_until_banned(there), 0);
    ck_assert(!refuse(there));
    ck_assert(refuse(here));
    now += config.window_region_ms * MS;
    regions_take_ended(&regions, now);
    ck_assert_uint_ne(remap_until_banned(there), 0);
    ck_assert(!refuse(here));
}
END_TEST

START_TEST(all_may_be_ended)
{
    remap_until_banned(here);
    regions_end_all(&regions);
    ck_assert_uint_eq(regions.n_banned, 0);
    ck_assert(!refuse(here));
    ck_assert(regions_take_ended(&regions, now));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("regions");
    TCase *t = tcase_create("regions");

    tcase_add_checked_fixture(t, set_up, NULL);
    tcase_add_test(t, what_is_mapped_first_is_no_reason);
    tcase_add_test(t, a_burst_of_mappings_that_come_back_bans);
    tcase_add_test(t, mappings_that_come_back_slowly_do_not);
    tcase_add_test(t, half_as_slowly_they_do);
    tcase_add_test(t, regions_of_a_part_have_one_account);
    tcase_add_test(t, one_run_that_comes_back_counts_once);
    tcase_add_test(t, pages_made_writable_again_count);
    tcase_add_test(t, bans_end_and_are_pardoned);
    tcase_add_test(t, who_comes_when_the_term_is_over_is_not_refused);
    tcase_add_test(t, terms_double_and_are_short_again_when_it_was_calm);
    tcase_add_test(t, a_stack_ends_a_ban_and_is_trusted_for_a_term);
    tcase_add_test(t, too_many_guilty_instructions_end_a_ban);
    tcase_add_test(t, runs_end_at_banned_regions);
    tcase_add_test(t, runs_at_the_ends_of_the_space_are_clipped);
    tcase_add_test(t, another_region_does_not_take_a_banned_ones_place);
    tcase_add_test(t, all_may_be_ended);
    suite_add_tcase(s, t);
    return s;
}
