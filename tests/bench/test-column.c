/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/column.h"
#include "tests/suite.h"

#include <string.h>

static const BenchEngine engines[] = {
    {.name = "interpret"}, {.name = "translate"}, {.name = "tcg", .alias = true},
    {.name = "kvm", .missing = "no /dev/kvm"}, {.name = "slow", .drawback = "it is slow here"},
};

/* The columns' names, blank-separated, or "error: MESSAGE". */
static char *choose(const char *accel, const char *peer, bool native)
{
    char *peers[] = {(char *)peer, NULL};
    BenchColumnChoice choice = {(char *)accel, peers, !native};
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) columns = bench_columns(&choice, engines, G_N_ELEMENTS(engines), &error);
    GString *s = g_string_new(NULL);

    if (columns == NULL) {
        g_string_append_printf(s, "error: %s", error->message);
    }
    for (guint i = 0; columns != NULL && i < columns->len; i++) {
        const BenchColumn *c = g_ptr_array_index(columns, i);
        g_string_append_printf(s, "%s%s", i == 0 ? "" : " ", c->name);
    }
    return g_string_free(s, FALSE);
}

static const struct {
    const char *accel, *peer;
    bool native;
    const char *want;
} choices[] = {
    {NULL, "none", true, "native interpret translate"},       /* no alias, nothing that cannot run */
    {NULL, "none", false, "interpret translate"},
    {"tcg", "none", false, "tcg"},
    {"slow", "none", false, "slow"},
    {"translate:interpret", "none", false, "translate interpret"},
    {"translate,interpret", "none", false, "translate interpret"},
    {"translate,chain=off,tiers=2:translate", "none", false, "translate,chain=off,tiers=2 translate"},
    {"translate:translate", "none", false, "translate translate#2"},
    {"none", "sh", false, "sh:auto"},
    {"none", "sh:x,sh:x", true, "native sh:x sh:x#2"},
    {"none", "/bin/sh:interpret", false, "sh:interpret"},
    {"none", "none", false, "error: nothing to measure: no engine, no peer, not natively"},
    {"warp", "none", false, "error: --accel: no engine of this build is called 'warp'; -accel help lists them"},
    {"", "none", false, "error: --accel: no engine of this build is called ''; -accel help lists them"},
    {"translate:", "none", false, "error: --accel: no engine of this build is called ''; -accel help lists them"},
    {"kvm", "none", false, "error: --accel: engine 'kvm' cannot be used: no /dev/kvm"},
    {"none", "no-such-thing", false, "error: --peer: no-such-thing is not installed"},
};

START_TEST(lists_become_columns_or_one_error)
{
    g_autofree char *got = choose(choices[_i].accel, choices[_i].peer, choices[_i].native);

    ck_assert_str_eq(got, choices[_i].want);
}
END_TEST

START_TEST(commands_choose_engine_and_cpu)
{
    char *peers[] = {(char *)"sh:abc", NULL};
    BenchColumnChoice choice = {(char *)"translate,chain=off", peers, true};
    g_autoptr(GPtrArray) columns = bench_columns(&choice, engines, G_N_ELEMENTS(engines), NULL);
    g_autofree char *self = bench_self();
    const BenchColumn *a = g_ptr_array_index(columns, 0), *b = g_ptr_array_index(columns, 1);

    ck_assert(a->kind == COLUMN_ENGINE && b->kind == COLUMN_PEER);
    ck_assert_str_eq(a->command[0], self);
    ck_assert_str_eq(a->command[1], "-accel");
    ck_assert_str_eq(a->command[2], "translate,chain=off");
    ck_assert(g_path_is_absolute(b->command[0]));
    ck_assert_str_eq(b->command[2], "abc");
}
END_TEST

START_TEST(files_that_are_nowhere_are_named)
{
    g_autoptr(GError) error = NULL;

    ck_assert_ptr_null(bench_find_file("no/such.elf", &error));
    ck_assert_ptr_nonnull(strstr(error->message, "such.elf is neither in the build tree nor installed"));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("bench-column");
    TCase *t = tcase_create("column");

    tcase_add_loop_test(t, lists_become_columns_or_one_error, 0, G_N_ELEMENTS(choices));
    tcase_add_test(t, commands_choose_engine_and_cpu);
    tcase_add_test(t, files_that_are_nowhere_are_named);
    suite_add_tcase(s, t);
    return s;
}
