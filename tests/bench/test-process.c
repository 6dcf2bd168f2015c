/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/process.h"
#include "tests/suite.h"

#include <string.h>
#include <sys/wait.h>

typedef struct {
    GString *text;             /* lines, each ended by '|' */
    const char *enough;        /* the line after which it is enough */
} Heard;

static bool hear(void *arg, const char *line)
{
    Heard *h = arg;

    g_string_append_printf(h->text, "%s|", line);
    return h->enough == NULL || strcmp(line, h->enough) != 0;
}

static BenchProcess run(const char *script, int silence_s, int total_s, Heard *h)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    BenchWatch watch = {.silence_s = silence_s, .total_s = total_s, .line = hear, .arg = h};
    BenchProcess p;

    ck_assert(bench_process_run(argv, &watch, &p, NULL));
    return p;
}

static const struct {
    const char *script;
    int silence_s, total_s;
    const char *enough, *text;
    BenchEnd end;
    int status;
    const char *complaint;
} cases[] = {
    {"echo a; echo; printf 'b\\r\\nc'", 0, 0, NULL, "a||b|c|", BENCH_EXITED, 0, NULL},
    {"echo a; echo no >&2; echo more >&2; exit 3", 0, 0, NULL, "a|", BENCH_EXITED, 3, "exit status 3: more"},
    {"kill -9 $$", 0, 0, NULL, "", BENCH_KILLED, 9, "killed by signal 9"},
    {"echo a; exec sleep 60", 2, 0, NULL, "a|", BENCH_SILENT, 9, "hung"},
    {"while :; do echo x; sleep 0.3; done | head -c 7; exec sleep 60", 0, 1, NULL, NULL, BENCH_TOO_LONG, 9,
     "took too long"},
    {"echo a; echo b; echo c; exec sleep 60", 0, 0, "b", "a|b|", BENCH_ENOUGH, 9, NULL},
    {"read x; echo \"<$x>\"", 0, 0, NULL, "<>|", BENCH_EXITED, 0, NULL}, /* nothing on standard input */
};

START_TEST(ends_are_told_apart)
{
    Heard h = {.text = g_string_new(NULL), .enough = cases[_i].enough};
    BenchProcess p = run(cases[_i].script, cases[_i].silence_s, cases[_i].total_s, &h);
    g_autofree char *complaint = bench_process_complaint(&p, NULL);

    ck_assert_int_eq(p.end, cases[_i].end);
    ck_assert_int_eq(p.status, cases[_i].status);
    ck_assert(cases[_i].text == NULL || strcmp(h.text->str, cases[_i].text) == 0);
    ck_assert_msg(g_strcmp0(complaint, cases[_i].complaint) == 0, "%s", complaint);
    bench_process_clear(&p);
    g_string_free(h.text, TRUE);
}
END_TEST

START_TEST(complaints_hold_what_guest_and_program_said_last)
{
    Heard h = {.text = g_string_new(NULL)};
    BenchProcess p = run("echo no kvm >&2; exit 35", 0, 0, &h);
    g_autofree char *complaint = bench_process_complaint(&p, "panic");

    ck_assert_str_eq(complaint, "exit status 35 (last said: panic): no kvm");
    bench_process_clear(&p);
    g_string_free(h.text, TRUE);
}
END_TEST

START_TEST(cpu_time_and_memory_are_counted)
{
    Heard h = {.text = g_string_new(NULL)};
    BenchProcess p = run("i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done", 0, 0, &h);

    ck_assert(p.cpu_s > 0 && p.wall_s > 0);
    ck_assert(p.peak_mib > 0.1);
    bench_process_clear(&p);
    g_string_free(h.text, TRUE);
}
END_TEST

START_TEST(endless_lines_are_cut_up)
{
    Heard h = {.text = g_string_new(NULL)};
    BenchProcess p = run("head -c 10000 /dev/zero | tr '\\0' x", 0, 0, &h);

    ck_assert_uint_eq(strcspn(h.text->str, "|"), 4096);
    ck_assert_uint_eq(h.text->len, 10000 + 3);
    bench_process_clear(&p);
    g_string_free(h.text, TRUE);
}
END_TEST

START_TEST(a_program_that_is_not_there_is_an_error)
{
    const char *const argv[] = {"/no/such/program", NULL};
    BenchWatch watch = {.line = hear};
    g_autoptr(GError) error = NULL;
    BenchProcess p;

    ck_assert(!bench_process_run(argv, &watch, &p, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "/no/such/program"));
    bench_process_clear(&p);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("bench-process");
    TCase *t = tcase_create("process");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, ends_are_told_apart, 0, G_N_ELEMENTS(cases));
    tcase_add_test(t, complaints_hold_what_guest_and_program_said_last);
    tcase_add_test(t, cpu_time_and_memory_are_counted);
    tcase_add_test(t, endless_lines_are_cut_up);
    tcase_add_test(t, a_program_that_is_not_there_is_an_error);
    suite_add_tcase(s, t);
    return s;
}
