/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/qmp-input.h"
#include "monitor/qmp-json.h"
#include "monitor/qmp-schema.h"
#include "softmmu/base/bits.h"
#include "tests/suite.h"

#include <check.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

/* What came out: values in QMP's text form, errors as "!", each followed by a blank. */
static void put_value(void *arg, struct json_object *v)
{
    qmp_json_print(v, false, arg);
    g_string_append_c(arg, ' ');
    json_object_put(v);
}

static void put_error(void *arg, const char *text)
{
    g_string_append(arg, "! ");
}

static char *feed_in_steps(const char *text, size_t len, size_t step)
{
    GString *out = g_string_new(NULL);
    QmpInputSink sink = {.arg = out, .value = put_value, .error = put_error};
    QmpInput *in = qmp_input_new(&sink);

    for (size_t i = 0; i < len; i += step) {
        qmp_input_feed(in, (const uint8_t *)text + i, MIN(step, len - i));
    }
    qmp_input_free(in);
    return g_string_free(out, FALSE);
}

static const struct {
    const char *in, *out;
} cases[] = {
    {"{}", "{} "},
    {"{} {}{}\n{}", "{} {} {} {} "},
    {"{\"a\":\n 1,\r\n'b' : \"}\"}", "{\"a\": 1, \"b\": \"}\"} "},
    {"{'a': 18446744073709551615, 'b': -9223372036854775808}",
     "{\"a\": 18446744073709551615, \"b\": -9223372036854775808} "},
    {"{'a': 18446744073709551616} {}\n{}", "! {} "},
    {"{'a': -9223372036854775809}\n{}", "! {} "},
    {"{'a': 1.5, 'b': [true, false, null]}", "{\"a\": 1.5, \"b\": [true, false, null]} "},
    {"{'a': '\\u00e9\\n\\'\\\\'}", "{\"a\": \"\xc3\xa9\\n'\\\\\"} "},
    {"[1,2]", "[1, 2] "},
    {"'text'", "\"text\" "},
    {"12 ", "12 "},
    {"null\n", "null "},
    {"{\"a\" 3} {}", "! {} "},                /* json-c says no: the value is forgotten */
    {"{\"a\": } {}", "! {} "},
    {"{\"a\": 1]} {}", "! ! {} "},
    {"} ] {}", "! ! {} "},
    {"quit now\n{}", "! {} "},                /* the rest of the line goes too */
    {"{'a': NaN}\n{}", "! {} "},
    {"{'a': 1 /* note */}\n{}", "! {} "},
    {"{'a': \"x\ny\"}\n{}", "! {} "},         /* the line that broke off ends here; "y..." is one more */
    {"\x01\xff\xfe binary \n{}", "! {} "},
    {"{\"a\": \"\xff\"} {}", "! {} "},
    {"{\"a\": 1", ""},                        /* the end never comes */
    {"", ""},
    {" \r\n\t\n", ""},
};

START_TEST(values_are_cut_wherever_reads_break_them)
{
    const char *text = cases[_i].in;
    size_t len = strlen(text);

    for (size_t step = 1; step <= 7; step++) {
        g_autofree char *out = feed_in_steps(text, len, step);
        if (strstr(text, "x\ny") != NULL) {
            ck_assert_msg(g_str_has_prefix(out, "! ") && g_str_has_suffix(out, "{} "),
                          "'%s' gave '%s'", text, out);
        } else {
            ck_assert_msg(strcmp(out, cases[_i].out) == 0, "'%s' by %zu gave '%s'", text, step,
                          out);
        }
    }
}
END_TEST

static const struct {
    const char *begin, *unit;
    size_t count;
} floods[] = {
    {"", "[", QMP_INPUT_MAX_DEPTH + 1},
    {"", "[", 4 << 20},
    {"[", "[],", QMP_INPUT_MAX_VALUES + 1},
    {"[", "1,", QMP_INPUT_MAX_VALUES + 1},
    {"['", "x", QMP_INPUT_MAX + 1},
    {"['", "x", 16 << 20},
    {"[", " ", QMP_INPUT_MAX + 1},
    {"", "9", QMP_INPUT_MAX + 1},
};

START_TEST(a_flood_is_one_error_and_the_next_line_counts)
{
    GString *text = g_string_new(floods[_i].begin);

    for (size_t i = 0; i < floods[_i].count; i++) {
        g_string_append(text, floods[_i].unit);
    }
    g_string_append(text, "\n{'a': 1}");
    g_autofree char *out = feed_in_steps(text->str, text->len, 4096);
    ck_assert_str_eq(out, "! {\"a\": 1} ");
    g_string_free(text, TRUE);
}
END_TEST

START_TEST(values_within_the_bounds_pass)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < QMP_INPUT_MAX_DEPTH; i++) {
        g_string_append_c(text, '[');
    }
    for (unsigned i = 0; i < QMP_INPUT_MAX_DEPTH; i++) {
        g_string_append_c(text, ']');
    }
    g_autofree char *out = feed_in_steps(text->str, text->len, 4096);
    g_string_append_c(text, ' ');
    ck_assert_str_eq(out, text->str);
    g_string_free(text, TRUE);
}
END_TEST

START_TEST(a_reset_forgets_what_has_begun)
{
    GString *out = g_string_new(NULL);
    QmpInputSink sink = {.arg = out, .value = put_value, .error = put_error};
    QmpInput *in = qmp_input_new(&sink);

    qmp_input_feed(in, (const uint8_t *)"{\"a\": \"", 7);
    qmp_input_reset(in);
    qmp_input_feed(in, (const uint8_t *)"\x02 dropped", 9);
    qmp_input_reset(in);
    qmp_input_feed(in, (const uint8_t *)"{}", 2);
    ck_assert_str_eq(out->str, "! {} ");
    qmp_input_free(in);
    g_string_free(out, TRUE);
}
END_TEST

START_TEST(pretty_output_is_indented_by_four)
{
    struct json_object *v = json_tokener_parse("{\"a\": [1, {\"b\": {}}], \"c\": []}");
    GString *out = g_string_new(NULL);

    qmp_json_print(v, true, out);
    ck_assert_str_eq(out->str, "{\n    \"a\": [\n        1,\n        {\n            \"b\": {}\n"
                     "        }\n    ],\n    \"c\": []\n}");
    g_string_free(out, TRUE);
    json_object_put(v);
}
END_TEST



Suite *test_suite(void)
{
    Suite *s = suite_create("qmp-input");
    TCase *t = tcase_create("qmp-input");

    tcase_add_loop_test(t, values_are_cut_wherever_reads_break_them, 0, ARRAY_LEN(cases));
    tcase_add_loop_test(t, a_flood_is_one_error_and_the_next_line_counts, 0, ARRAY_LEN(floods));
    tcase_add_test(t, values_within_the_bounds_pass);
    tcase_add_test(t, a_reset_forgets_what_has_begun);
    tcase_add_test(t, pretty_output_is_indented_by_four);
    suite_add_tcase(s, t);
    return s;
}
