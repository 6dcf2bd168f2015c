/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/plot.h"
#include "bench/table.h"
#include "tests/suite.h"

#include <json-c/json.h>
#include <string.h>

static BenchColumn native = {.name = (char *)"native", .kind = COLUMN_NATIVE};
static BenchColumn engine = {.name = (char *)"translate,chain=off", .kind = COLUMN_ENGINE};
static BenchColumn peer = {.name = (char *)"qemu:tcg", .kind = COLUMN_PEER};
static const char *const published[] = {"old", NULL};
static GPtrArray *columns;
static BenchTable *table;

static void put(guint row, guint column, double min, double median, double p95)
{
    bench_cell_add(bench_table_cell(table, row, column), &(BenchSample){min, median, p95});
}

static void setup(void)
{
    columns = g_ptr_array_new();
    g_ptr_array_add(columns, &native);
    g_ptr_array_add(columns, &engine);
    g_ptr_array_add(columns, &peer);
    table = bench_table_new(columns, published);
    bench_table_add_row(table, &(BenchRow){"a", "ns", "an a", {4, -1, -1}});
    bench_table_add_row(table, &(BenchRow){"b", NULL, "a <b>", {-1, -1, -1}});
    put(0, 0, 1, 2, 3);
    put(0, 1, 9, 10, 90);
    put(0, 1, 7, 30, 70);
    put(0, 1, 8, 20, 80);
    bench_cell_explain(bench_table_cell(table, 0, 2), "n/a: a \"reason\", quoted");
    put(1, 2, 1e7, 1e7, 1e7);
}

static void teardown(void)
{
    bench_table_free(table);
    g_ptr_array_unref(columns);
}

START_TEST(a_median_is_in_the_middle)
{
    ck_assert_double_eq(bench_median((double[]){3}, 1), 3);
    ck_assert_double_eq(bench_median((double[]){5, 1}, 2), 3);
    ck_assert_double_eq(bench_median((double[]){9, 1, 4}, 3), 4);
}
END_TEST

START_TEST(a_cell_is_the_least_minimum_and_medians_of_its_runs)
{
    BenchSample s;

    ck_assert(bench_cell_value(bench_table_cell(table, 0, 1), &s));
    ck_assert_double_eq(s.min, 7);
    ck_assert_double_eq(s.median, 20);
    ck_assert_double_eq(s.p95, 80);
    ck_assert(!bench_cell_value(bench_table_cell(table, 0, 2), &s));
}
END_TEST

START_TEST(a_value_displaces_a_reason_and_not_the_reverse)
{
    BenchCell *c = bench_table_cell(table, 0, 2);

    bench_cell_explain(c, "another");
    ck_assert_str_eq(c->why, "n/a: a \"reason\", quoted");
    put(0, 2, 1, 1, 1);
    ck_assert_ptr_null(c->why);
    bench_cell_explain(c, "late");
    ck_assert_ptr_null(c->why);
}
END_TEST

/* Runs of blanks made one. */
static char *squeeze(const char *text)
{
    GString *s = g_string_new(NULL);

    for (; *text != 0; text++) {
        if (*text != ' ' || s->len == 0 || s->str[s->len - 1] != ' ') {
            g_string_append_c(s, *text);
        }
    }
    return g_string_free(s, FALSE);
}

START_TEST(text_has_values_reasons_and_ratios)
{
    g_autoptr(GString) out = g_string_new(NULL);
    static const char want[] =
        "          native  translate,chain=off    qemu:tcg  old"
        "  translate,chain=off / native  translate,chain=off / qemu:tcg\n"
        "a (ns)      2.00                 20.0         n/a    4"
        "                         10.00                               -\n"
        "b              -                    -    10000000     "
        "                             -                               -\n"
        "qemu:tcg: n/a: a \"reason\", quoted (a)\n";

    bench_table_print(table, true, out);
    g_autofree char *squeezed = squeeze(out->str), *expected = squeeze(want);
    ck_assert_str_eq(squeezed, expected);
    /* all lines of the grid are equally long */
    g_auto(GStrv) grid = g_strsplit(out->str, "\n", -1);
    ck_assert_uint_eq(strlen(grid[0]), strlen(grid[1]));
    ck_assert_uint_eq(strlen(grid[0]), strlen(grid[2]));
}
END_TEST

START_TEST(minima_are_shown_when_asked_for)
{
    g_autoptr(GString) out = g_string_new(NULL);

    table->show_min = true;
    bench_table_print(table, true, out);
    ck_assert_ptr_nonnull(strstr(out->str, " 7.00 "));
    ck_assert_ptr_nonnull(strstr(out->str, " 1.00 "));
    ck_assert_ptr_null(strstr(out->str, " 20.0 "));
}
END_TEST

START_TEST(csv_quotes_what_needs_it)
{
    g_autofree char *csv = bench_table_csv(table);

    ck_assert_str_eq(csv, "name,unit,column,min,median,p95,runs,reason\n"
                          "a,ns,native,1,2,3,1,\n"
                          "a,ns,\"translate,chain=off\",7,20,80,3,\n"
                          "a,ns,qemu:tcg,,,,0,\"n/a: a \"\"reason\"\", quoted\"\n"
                          "b,,native,,,,0,\n"
                          "b,,\"translate,chain=off\",,,,0,\n"
                          "b,,qemu:tcg,1e+07,1e+07,1e+07,1,\n");
}
END_TEST

static struct json_object *member(struct json_object *o, const char *key)
{
    struct json_object *v;

    ck_assert_msg(json_object_object_get_ex(o, key, &v), "no %s", key);
    return v;
}

START_TEST(json_has_everything)
{
    g_autofree char *text = bench_table_json(table, (const char *const[]){"tool", "x", NULL});
    struct json_object *top = json_tokener_parse(text);
    struct json_object *row = json_object_array_get_idx(member(top, "rows"), 0);
    struct json_object *cell = member(member(row, "values"), "translate,chain=off");

    ck_assert_str_eq(json_object_get_string(member(top, "tool")), "x");
    ck_assert_uint_eq(json_object_array_length(member(top, "columns")), 3);
    ck_assert_double_eq(json_object_get_double(member(cell, "median")), 20);
    ck_assert_uint_eq(json_object_array_length(member(cell, "runs")), 3);
    ck_assert_double_eq(json_object_get_double(member(member(row, "published"), "old")), 4);
    json_object_put(top);
}
END_TEST

START_TEST(a_chart_is_drawn_of_whatever_there_is)
{
    g_autofree char *svg = bench_plot_svg(table, "a & b", "ns");
    BenchTable *empty = bench_table_new(columns, NULL);
    g_autofree char *nothing = bench_plot_svg(empty, "", "");

    ck_assert_ptr_nonnull(strstr(svg, "<title>a, native: 2</title>"));
    ck_assert_ptr_nonnull(strstr(svg, "a &amp; b"));
    ck_assert_ptr_null(strstr(svg, "nan"));
    ck_assert_ptr_null(strstr(svg, "inf"));
    ck_assert_ptr_null(strstr(nothing, "nan"));
    put(0, 0, 0, 0, 0);
    put(0, 0, 0, 0, 0);       /* a median of 0 */
    g_autofree char *zero = bench_plot_svg(table, "", "");
    ck_assert_ptr_null(strstr(zero, "inf"));
    bench_table_free(empty);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("bench-table");
    TCase *t = tcase_create("table");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_median_is_in_the_middle);
    tcase_add_test(t, a_cell_is_the_least_minimum_and_medians_of_its_runs);
    tcase_add_test(t, a_value_displaces_a_reason_and_not_the_reverse);
    tcase_add_test(t, text_has_values_reasons_and_ratios);
    tcase_add_test(t, minima_are_shown_when_asked_for);
    tcase_add_test(t, csv_quotes_what_needs_it);
    tcase_add_test(t, json_has_everything);
    tcase_add_test(t, a_chart_is_drawn_of_whatever_there_is);
    suite_add_tcase(s, t);
    return s;
}
