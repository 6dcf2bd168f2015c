/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/protocol.h"
#include "tests/suite.h"

#include <string.h>

/* -- Lines ----------------------------------------------------------------------------------------- */

static const struct {
    const char *line;
    BenchItemKind kind;
    const char *name, *text;
    double median;
} lines[] = {
    {"nanobench 1 bits=64 cpus=2 tsc_khz=2900000", ITEM_BEGIN, "nanobench", "1 bits=64 cpus=2 tsc_khz=2900000", 0},
    {"workloads 1 cpus=1", ITEM_BEGIN, "workloads", "1 cpus=1", 0},
    {"nanobench 2 bits=64", ITEM_OTHER, NULL, NULL, 0},      /* another version's */
    {"nanobench", ITEM_OTHER, NULL, NULL, 0},
    {"run syscall", ITEM_RUN, "syscall", "", 0},
    {"run", ITEM_OTHER, NULL, NULL, 0},
    {"op in n=16 samples=3 min=1.5 median=2.25 p95=1e3", ITEM_RESULT, "in", "n=16 samples=3 min=1.5 median=2.25 p95=1e3", 2.25},
    {"op in p95=3 median=0 min=0", ITEM_RESULT, "in", "p95=3 median=0 min=0", 0},
    {"op in min=1 median=2", ITEM_OTHER, NULL, NULL, 0},     /* p95 is missing */
    {"op in min=1 median=2x p95=3", ITEM_OTHER, NULL, NULL, 0},
    {"op in min=1 median=nan p95=3", ITEM_OTHER, NULL, NULL, 0},
    {"op in min=1 median=inf p95=3", ITEM_OTHER, NULL, NULL, 0},
    {"op in min=-1 median=2 p95=3", ITEM_OTHER, NULL, NULL, 0},
    {"op in xmin=1 median=2 p95=3", ITEM_OTHER, NULL, NULL, 0},
    {"op 0123456789012345678901234567890123456789012345678 min=1 median=2 p95=3", ITEM_OTHER, NULL, NULL, 0},
    {"op", ITEM_OTHER, NULL, NULL, 0},
    {"na cr3_pcid no PCID", ITEM_MISSING, "cr3_pcid", "no PCID", 0},
    {"bad smc wrong result", ITEM_BAD, "smc", "wrong result", 0},
    {"end", ITEM_END, NULL, NULL, 0},
    {"ending", ITEM_OTHER, NULL, NULL, 0},
    {"", ITEM_OTHER, NULL, NULL, 0},
    {"[    0.000000] Linux version", ITEM_OTHER, NULL, NULL, 0},
    {"operation", ITEM_OTHER, NULL, NULL, 0},
};

START_TEST(lines_are_items_or_nothing)
{
    BenchItem item = bench_parse_line(lines[_i].line);

    ck_assert_msg(item.kind == lines[_i].kind, "'%s' is %d", lines[_i].line, item.kind);
    if (lines[_i].name != NULL) {
        ck_assert_str_eq(item.name, lines[_i].name);
        ck_assert_str_eq(item.text, lines[_i].text);
    }
    if (item.kind == ITEM_RESULT) {
        ck_assert_double_eq(item.sample.median, lines[_i].median);
    }
}
END_TEST

START_TEST(keys_are_whole_words)
{
    double v = 7;

    ck_assert(bench_parse_key("a=1 ab=2  b=3", "b", &v));
    ck_assert_double_eq(v, 3);
    ck_assert(!bench_parse_key("a=1 ab=2", "b", &v));
    ck_assert(!bench_parse_key("b=", "b", &v));
    ck_assert(!bench_parse_key("", "b", &v));
}
END_TEST

/* -- Runs ------------------------------------------------------------------------------------------ */

static BenchColumn column = {.name = (char *)"x", .kind = COLUMN_ENGINE};
static GPtrArray *columns;
static BenchTable *table;

static void setup(void)
{
    columns = g_ptr_array_new();
    g_ptr_array_add(columns, &column);
    table = bench_table_new(columns, NULL);
    bench_table_add_row(table, &(BenchRow){"one", NULL, "", {-1, -1, -1}});
    bench_table_add_row(table, &(BenchRow){"two", NULL, "", {-1, -1, -1}});
}

static void teardown(void)
{
    bench_table_free(table);
    g_ptr_array_unref(columns);
}

static BenchRun feed(const char *const *said)
{
    BenchRun run = {.table = table, .program = "nanobench", .scale = 1};

    for (; *said != NULL; said++) {
        ck_assert(bench_run_line(&run, *said));
    }
    return run;
}

#define FEED(...) feed((const char *const[]){__VA_ARGS__, NULL})

START_TEST(nothing_counts_before_the_beginning)
{
    BenchSample s;
    BenchRun run = FEED("op one min=1 median=1 p95=1", "workloads 1 x=1", "op one min=1 median=1 p95=1");

    ck_assert(!run.begun && !run.ended);
    ck_assert(!bench_cell_value(bench_table_cell(table, 0, 0), &s));
    run = FEED("nanobench 1 tsc_khz=5", "op one min=1 median=1 p95=1", "end");
    ck_assert(run.begun && run.ended);
    ck_assert_double_eq(run.tsc_khz, 5);
    ck_assert(bench_cell_value(bench_table_cell(table, 0, 0), &s));
}
END_TEST

START_TEST(the_operation_under_way_and_the_last_words_are_known)
{
    BenchRun run = FEED("nanobench 1 a=1", "run one", "op one min=1 median=1 p95=1", "run two", "Oops: 0002", "");

    ck_assert_str_eq(run.running, "two");
    ck_assert_str_eq(run.last, "Oops: 0002");
    run = FEED("nanobench 1 a=1", "run one", "op one min=1 median=1 p95=1");
    ck_assert_str_eq(run.running, "");
    run = FEED("nanobench 1 a=1", "run one", "na one no such thing");
    ck_assert_str_eq(run.running, "");
}
END_TEST

START_TEST(reasons_are_kept_and_strange_names_ignored)
{
    FEED("nanobench 1 a=1", "na one no such thing", "bad two wrong result", "na three x",
         "op three min=1 median=1 p95=1");
    ck_assert_str_eq(bench_table_cell(table, 0, 0)->why, "n/a: no such thing");
    ck_assert_str_eq(bench_table_cell(table, 1, 0)->why, "wrong: wrong result");
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("bench-protocol");
    TCase *t = tcase_create("protocol");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, lines_are_items_or_nothing, 0, G_N_ELEMENTS(lines));
    tcase_add_test(t, keys_are_whole_words);
    tcase_add_test(t, nothing_counts_before_the_beginning);
    tcase_add_test(t, the_operation_under_way_and_the_last_words_are_known);
    tcase_add_test(t, reasons_are_kept_and_strange_names_ignored);
    suite_add_tcase(s, t);
    return s;
}
