/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/opt-list.h"
#include "monitor/report.h"
#include "softmmu/base/bits.h"

#include <check.h>
#include <stdlib.h>

/* -- Pieces ------------------------------------------------------------------------------------ */

static const struct {
    const char *text;
    uint64_t unit;
    bool ok;
    uint64_t value;
} sizes[] = {
    {"1", 1 << 20, true, 1 << 20},     {"128", 1, true, 128},
    {"2G", 1 << 20, true, 2ull << 30}, {"1.5G", 1, true, 3ull << 29},
    {"64k", 1, true, 65536},           {"64K", 1, true, 65536},
    {"0x1000", 7, true, 0x1000},       {"1T", 1, true, 1ull << 40},
    {"512b", 1 << 20, true, 512},      {"", 1, false, 0},
    {"-1", 1, false, 0},               {"1Q", 1, false, 0},
    {"1GB", 1, false, 0},              {"99999999999999T", 1, false, 0},
    {"nan", 1, false, 0},              {"G", 1, false, 0},
};

START_TEST(sizes_are_read_with_their_suffix)
{
    uint64_t v = 0;
    bool ok = parse_size(sizes[_i].text, sizes[_i].unit, &v);

    ck_assert_msg(ok == sizes[_i].ok, "'%s'", sizes[_i].text);
    if (ok) {
        ck_assert_msg(v == sizes[_i].value, "'%s' is %llu", sizes[_i].text, (unsigned long long)v);
    }
}
END_TEST

START_TEST(numbers_are_read_whole_or_refused)
{
    uint64_t v;

    ck_assert(parse_number("42", &v) && v == 42);
    ck_assert(parse_number("0x2a", &v) && v == 42);
    ck_assert(!parse_number("42x", &v));
    ck_assert(!parse_number("", &v));
    ck_assert(!parse_number("-1", &v));
    ck_assert(!parse_number("99999999999999999999999", &v));
}
END_TEST

/* -- Lists ------------------------------------------------------------------------------------- */

START_TEST(a_doubled_comma_is_a_comma)
{
    g_autoptr(OptList) l = opt_list_parse("file=a,,b.img,id=x", NULL);

    ck_assert_str_eq(opt_take(l, "file"), "a,b.img");
    ck_assert_str_eq(opt_take(l, "id"), "x");
    ck_assert(opt_list_finish(l, NULL));
}
END_TEST

START_TEST(the_first_item_may_leave_out_its_key)
{
    g_autoptr(OptList) l = opt_list_parse("pc,hpet=off", "type");
    bool hpet = true;

    ck_assert_str_eq(opt_take(l, "type"), "pc");
    ck_assert(opt_take_flag(l, "hpet", &hpet, NULL) && !hpet);
    ck_assert(opt_list_finish(l, NULL));
}
END_TEST

START_TEST(bare_words_are_flags_and_no_turns_them_off)
{
    g_autoptr(OptList) l = opt_list_parse("/tmp/sock,server,nowait", "path");
    bool server = false, wait = true;

    ck_assert(opt_take_flag(l, "server", &server, NULL) && server);
    ck_assert(opt_take_flag(l, "wait", &wait, NULL) && !wait);
    ck_assert_str_eq(opt_take(l, "path"), "/tmp/sock");
    ck_assert(opt_list_finish(l, NULL));
}
END_TEST

START_TEST(what_nobody_takes_is_refused_with_the_nearest_key)
{
    g_autoptr(OptList) l = opt_list_parse("file=x,fromat=raw", NULL);
    g_autoptr(GError) error = NULL;

    opt_take(l, "file");
    opt_take(l, "format");
    ck_assert(!opt_list_finish(l, &error));
    ck_assert_str_eq(error->message, "unknown parameter 'fromat'; did you mean 'format'?");
}
END_TEST

START_TEST(the_last_of_equal_keys_wins)
{
    g_autoptr(OptList) l = opt_list_parse("id=a,id=b", NULL);

    ck_assert_str_eq(opt_take(l, "id"), "b");
    ck_assert(opt_list_finish(l, NULL));
}
END_TEST

START_TEST(bad_values_name_key_and_value)
{
    static const char *const names[] = {"one", "two", NULL};
    g_autoptr(OptList) l = opt_list_parse("n=9,f=maybe,c=three,s=huge,o=on", NULL);
    uint64_t n = 5, s = 6;
    bool f = true;
    int c = 7;
    g_autoptr(GError) error = NULL;

    ck_assert(!opt_take_number(l, "n", 1, 8, &n, &error));
    ck_assert_str_eq(error->message, "n is a number from 1 to 8, not '9'");
    ck_assert(!opt_take_flag(l, "f", &f, NULL));
    ck_assert(!opt_take_choice(l, "c", names, &c, NULL));
    ck_assert(!opt_take_size(l, "s", 1, &s, NULL));
    ck_assert(!opt_take_only(l, "o", "off", NULL));
    ck_assert(n == 5 && s == 6 && f && c == 7);
}
END_TEST

START_TEST(defaults_yield_to_what_was_typed)
{
    g_autoptr(OptList) l = opt_list_parse("a=1", NULL);

    opt_list_default(l, "a", "2");
    opt_list_default(l, "b", "3");
    ck_assert_str_eq(opt_take(l, "a"), "1");
    ck_assert_str_eq(opt_take(l, "b"), "3");
}
END_TEST

START_TEST(only_near_names_are_suggested)
{
    static const char *const names[] = {"drive", "device", "serial", NULL};

    ck_assert_str_eq(nearest_name("drvie", names, 4), "drive");
    ck_assert_str_eq(nearest_name("devices", names, 4), "device");
    ck_assert_ptr_null(nearest_name("zzzzzz", names, 4));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("opt-list");
    TCase *t = tcase_create("lists");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_loop_test(t, sizes_are_read_with_their_suffix, 0, (int)ARRAY_LEN(sizes));
    tcase_add_test(t, numbers_are_read_whole_or_refused);
    tcase_add_test(t, a_doubled_comma_is_a_comma);
    tcase_add_test(t, the_first_item_may_leave_out_its_key);
    tcase_add_test(t, bare_words_are_flags_and_no_turns_them_off);
    tcase_add_test(t, what_nobody_takes_is_refused_with_the_nearest_key);
    tcase_add_test(t, the_last_of_equal_keys_wins);
    tcase_add_test(t, bad_values_name_key_and_value);
    tcase_add_test(t, defaults_yield_to_what_was_typed);
    tcase_add_test(t, only_near_names_are_suggested);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
