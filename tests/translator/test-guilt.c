/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guilt and habits of instructions (block-habit.c), and the names that people get to see (symbols.c). */
#include "translator/block.h"
#include "translator/symbols.h"

#include "tests/suite.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* -- Guilt ---------------------------------------------------------------------------------------- */

enum { RAM = 1 << 20, AT = 0x3123 };

static Lock lock;
static PhysMem *pm;
static TransConfig config;
static BlockCache *cache;

static void set_up(void)
{
    lock_init(&lock, LOCK_RANK_MACHINE);
    pm = phys_mem_new(RAM, &lock, NULL);
    phys_region_ram(pm, 0, RAM, phys_mem_alloc(pm, RAM), 0, "ram");
    config = trans_policy;
    config.code_mib = 1;
    cache = cache_new(pm, &config, NULL);
    ck_assert_ptr_nonnull(cache);
    memcpy(pm->base + AT, "\x8b\x01\x8b\x02", 4); /* mov eax, [ecx]; mov eax, [edx] */
}

static void tear_down(void)
{
    cache_free(cache);
    phys_mem_free(pm);
    lock_clear(&lock);
}

/* The first instruction at AT is accused, because of a region. */
static void accuse_for(unsigned weight, uint64_t region)
{
    BlockInsn insns[2] = {{.guest_off = 0, .guest_len = 2}, {.guest_off = 2, .guest_len = 2}};
    Block b = {.offset = AT, .lin = 0xc0000123, .sites = (SiteLine *)(void *)insns, .n_insns = 2, .state = BLOCK_DEAD};

    lock_take(&cache->lock);
    cache_accuse(cache, &b, 0, weight, region);
    lock_release(&cache->lock);
}

static void accuse(unsigned weight)
{
    accuse_for(weight, 0);
}

START_TEST(stores_to_code_count_up_to_guilt)
{
    for (unsigned i = 1; i < config.window_faults; i++) {
        accuse(1);
        ck_assert(!cache_is_guilty(cache, AT));
    }
    accuse(1);
    ck_assert(cache_is_guilty(cache, AT));
    ck_assert(!cache_is_guilty(cache, AT + 2));
}
END_TEST

START_TEST(guilt_ends_with_the_instruction)
{
    accuse(config.window_faults);
    ck_assert(cache_is_guilty(cache, AT));
    pm->base[AT + 1] = 0x03;
    ck_assert(!cache_is_guilty(cache, AT));
    ck_assert_uint_eq(cache->n_replaced, 1);
    pm->base[AT + 1] = 0x01;      /* the old one again: all is forgotten */
    ck_assert(!cache_is_guilty(cache, AT));
}
END_TEST

START_TEST(a_new_instruction_begins_with_no_faults)
{
    accuse(config.window_faults - 1);
    pm->base[AT] = 0x89;
    accuse(config.window_faults - 1);
    ck_assert(!cache_is_guilty(cache, AT));
    accuse(1);
    ck_assert(cache_is_guilty(cache, AT));
}
END_TEST

START_TEST(writes_beside_it_change_nothing)
{
    accuse(config.window_faults);
    pm->base[AT - 1] ^= 0xff;
    pm->base[AT + 2] ^= 0xff;
    ck_assert(cache_is_guilty(cache, AT));
    ck_assert_uint_eq(cache->n_replaced, 0);
}
END_TEST

START_TEST(pardons_are_few)
{
    lock_take(&cache->lock);
    for (unsigned i = 0; i < 2; i++) {
        lock_release(&cache->lock);
        accuse(config.window_faults);
        lock_take(&cache->lock);
        cache_forgive(cache);
        ck_assert(!cache_is_guilty(cache, AT));
    }
    lock_release(&cache->lock);
    ck_assert_uint_eq(cache->n_pardons, 2);
}
END_TEST

static uint64_t banned_region;

static bool is_banned(void *arg, uint64_t region)
{
    return region == banned_region;
}

static void forgive_regions(void)
{
    lock_take(&cache->lock);
    cache_forgive_regions(cache, is_banned, NULL);
    lock_release(&cache->lock);
}

START_TEST(guilt_because_of_a_region_ends_with_its_ban)
{
    banned_region = 7;
    for (unsigned i = 1; i <= 2 * config.window_pardons; i++) {
        accuse_for(config.window_faults, 7);
        ck_assert(cache_is_guilty(cache, AT));
        forgive_regions();
        lock_take(&cache->lock);
        cache_forgive(cache);
        lock_release(&cache->lock);
        ck_assert(cache_is_guilty(cache, AT));
        banned_region = 8;
        forgive_regions();
        ck_assert(!cache_is_guilty(cache, AT));
        ck_assert_uint_eq(cache->n_settled, i);
        banned_region = 7;
    }
    ck_assert_uint_eq(cache->n_convictions, 0);
}
END_TEST

START_TEST(guilt_for_good_does_not_end_with_a_ban)
{
    accuse_for(config.window_faults, 7);
    accuse_for(config.window_faults, 0);
    banned_region = 0;
    forgive_regions();
    ck_assert(cache_is_guilty(cache, AT));
}
END_TEST

/* -- Habits ------------------------------------------------------------------------------------------ */

/* The first instruction at AT does f() so many times. */
static void do_times(void (*f)(BlockCache *c, Block *b, unsigned insn), unsigned times)
{
    BlockInsn insns[1] = {{.guest_off = 0, .guest_len = 2}};
    Block b = {.offset = AT, .lin = 0xc0000123, .sites = (SiteLine *)(void *)insns, .n_insns = 1, .state = BLOCK_DEAD};

    lock_take(&cache->lock);
    for (unsigned i = 0; i < times; i++) {
        f(cache, &b, 0);
    }
    lock_release(&cache->lock);
}

static void note_fault(BlockCache *c, Block *b, unsigned insn)
{
    cache_note_habit(c, HABIT_TOUCH, b, insn);
}

static void note_map(BlockCache *c, Block *b, unsigned insn)
{
    cache_note_touch(c, b, insn, true);
}

static void note_rare_map(BlockCache *c, Block *b, unsigned insn)
{
    cache_note_touch(c, b, insn, false);
}

static void note_vain(BlockCache *c, Block *b, unsigned insn)
{
    cache_drop_habit(c, HABIT_TOUCH, b, insn);
}

static void note_missed(BlockCache *c, Block *b, unsigned insn)
{
    cache_note_missed(c, b->offset);
}

static void forgive(BlockCache *c, Block *b, unsigned insn)
{
    cache_forgive(c);
}

START_TEST(asking_in_vain_ends_later_each_time_but_comes_back)
{
    for (unsigned turn = 1; turn <= 300; turn++) {
        unsigned lasts = 1u << MIN(turn, config.touch_doublings);

        do_times(note_fault, config.window_touch - 1);
        ck_assert(!cache_has_habit(cache, HABIT_TOUCH, AT));
        do_times(note_fault, 1);
        do_times(note_vain, lasts - 1);
        ck_assert(cache_has_habit(cache, HABIT_TOUCH, AT));
        do_times(note_map, 1);
        do_times(note_vain, lasts - 1);
        ck_assert(cache_has_habit(cache, HABIT_TOUCH, AT));
        do_times(note_vain, 1);
        ck_assert(!cache_has_habit(cache, HABIT_TOUCH, AT));
    }
    ck_assert(!cache_has_habit(cache, HABIT_ASIDE, AT)); /* what came in between does not count */
}
END_TEST

static void come_to_do_without(void)
{
    do_times(note_fault, config.window_touch);
    do_times(note_map, config.window_aside - 1);
    do_times(note_rare_map, 1);
    do_times(note_map, config.window_aside - 1);
    ck_assert(!cache_has_habit(cache, HABIT_ASIDE, AT));
    do_times(note_map, 1);
    ck_assert(cache_has_habit(cache, HABIT_ASIDE, AT));
}

START_TEST(who_maps_for_others_does_so_for_good)
{
    come_to_do_without();
    do_times(note_missed, config.window_missed - 1);
    ck_assert(cache_has_habit(cache, HABIT_ASIDE, AT));
    do_times(note_missed, 1);
    ck_assert(!cache_has_habit(cache, HABIT_ASIDE, AT));
    ck_assert(cache_has_habit(cache, HABIT_TOUCH, AT));
    do_times(note_map, 10 * config.window_aside);
    do_times(note_missed, 1);
    do_times(forgive, 1);
    do_times(note_map, 10 * config.window_aside);
    ck_assert(!cache_has_habit(cache, HABIT_ASIDE, AT));
}
END_TEST

START_TEST(who_does_without_tries_again_now_and_then)
{
    for (unsigned i = 1; i < config.habit_turns; i++) {
        come_to_do_without();
        do_times(note_missed, config.window_missed - 1);
        do_times(forgive, 1);
        ck_assert(!cache_has_habit(cache, HABIT_ASIDE, AT));
    }
    come_to_do_without();
    do_times(forgive, 1);
    ck_assert(cache_has_habit(cache, HABIT_ASIDE, AT));
}
END_TEST

START_TEST(looking_up_instead_can_be_off)
{
    config.window_aside = 0;
    do_times(note_fault, config.window_touch);
    do_times(note_map, 1000);
    ck_assert(!cache_has_habit(cache, HABIT_ASIDE, AT));
}
END_TEST

/* -- Symbols ---------------------------------------------------------------------------------------- */

static char *path;

static Symbols *load(const char *text, gssize len, GError **error)
{
    ck_assert(g_file_set_contents(path, text, len, NULL));
    return symbols_load(path, error);
}

static void make_path(void)
{
    int fd = g_file_open_tmp("metaphrase-symbols-XXXXXX", &path, NULL);

    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void remove_path(void)
{
    g_unlink(path);
    g_free(path);
}

static void expect_name(const Symbols *s, uint64_t at, const char *want)
{
    g_autofree char *name = symbols_name(s, at);

    ck_assert_msg(g_strcmp0(name, want) == 0, "%s at %llx, not %s", name, (unsigned long long)at, want);
}

START_TEST(names_are_found_by_address)
{
    static const char text[] = "c1001000 T third\nc1000000 T first\nc1000010 t second\nffffffff81000000 T high\tmodule\n";
    Symbols *s = load(text, -1, NULL);

    ck_assert_ptr_nonnull(s);
    expect_name(s, 0xc0ffffff, NULL);
    expect_name(s, 0xc1000000, "first+0x0");
    expect_name(s, 0xc100000f, "first+0xf");
    expect_name(s, 0xc1000010, "second+0x0");
    expect_name(s, 0xc1001fff, "third+0xfff");
    expect_name(s, 0xc1101000, NULL); /* a MiB behind */
    expect_name(s, UINT64_C(0xffffffff81000001), "high\tmodule+0x1");
    symbols_free(s);
}
END_TEST

START_TEST(the_place_of_the_kernel_is_told_by_its_entry)
{
    const char *const names[] = {"entry", "older_entry", NULL};
    Symbols *s = load("ffffffff81000000 T _text\nffffffff81a00040 T entry", -1, NULL);

    ck_assert_ptr_nonnull(s);
    ck_assert_uint_eq(symbols_shift(s, UINT64_C(0xffffffff9ba00040), names), 0x1a000000);
    ck_assert_uint_eq(symbols_shift(s, UINT64_C(0xffffffff81a00040), names), 0);
    ck_assert_uint_eq(symbols_shift(s, UINT64_C(0xffffffff9ba00048), names), 0); /* somebody else's */
    ck_assert_uint_eq(symbols_shift(s, 0, names), 0);
    symbols_free(s);
}
END_TEST

static const struct {
    const char *text;
    gssize len;
} broken[] = {
    {"", 0}, {"\n", 1}, {"c1000000 T\n", -1}, {"c1000000 T \n", -1}, {"T c1000000 x\n", -1}, {" c1000000 T x\n", -1},
    {"-1 T x\n", -1}, {"0x10 T x\n", -1}, {"c1000000 T x\0y\n", 15}, {"c1000000 T x\nELF\x7f\n", -1},
    {"11111111111111111 T x\n", -1}, {"c1000000 TT x\n", -1}, {"c1000000 T \x1b[2J\n", -1}, {"\0\0\0\0", 4},
};

START_TEST(broken_files_give_one_line)
{
    GError *error = NULL;

    ck_assert_ptr_null(load(broken[_i].text, broken[_i].len, &error));
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(g_str_has_prefix(error->message, "symbols: ") && strchr(error->message, '\n') == NULL, "%s", error->message);
    ck_assert_ptr_nonnull(strstr(error->message, path));
    g_error_free(error);
}
END_TEST

START_TEST(what_is_no_file_gives_one_line)
{
    static const char *const paths[] = {"/nowhere/System.map", "/dev/zero", "/"};

    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        GError *error = NULL;
        ck_assert_ptr_null(symbols_load(paths[i], &error));
        ck_assert_ptr_nonnull(error);
        ck_assert(g_str_has_prefix(error->message, "symbols: "));
        g_error_free(error);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("guilt");
    TCase *t = tcase_create("guilt"), *n = tcase_create("symbols");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, stores_to_code_count_up_to_guilt);
    tcase_add_test(t, guilt_ends_with_the_instruction);
    tcase_add_test(t, a_new_instruction_begins_with_no_faults);
    tcase_add_test(t, writes_beside_it_change_nothing);
    tcase_add_test(t, pardons_are_few);
    tcase_add_test(t, guilt_because_of_a_region_ends_with_its_ban);
    tcase_add_test(t, guilt_for_good_does_not_end_with_a_ban);
    tcase_add_test(t, asking_in_vain_ends_later_each_time_but_comes_back);
    tcase_add_test(t, who_maps_for_others_does_so_for_good);
    tcase_add_test(t, who_does_without_tries_again_now_and_then);
    tcase_add_test(t, looking_up_instead_can_be_off);
    tcase_add_checked_fixture(n, make_path, remove_path);
    tcase_add_test(n, names_are_found_by_address);
    tcase_add_test(n, the_place_of_the_kernel_is_told_by_its_entry);
    tcase_add_loop_test(n, broken_files_give_one_line, 0, (int)G_N_ELEMENTS(broken));
    tcase_add_test(n, what_is_no_file_gives_one_line);
    suite_add_tcase(s, t);
    suite_add_tcase(s, n);
    return s;
}
