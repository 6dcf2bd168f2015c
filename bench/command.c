/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/command-internal.h"

#include "bench/plot.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const BenchCommand commands[] = {
    {"nanobench", "cycles that single operations cost, by engine", bench_nanobench},
    {"bench", "workloads in a Linux guest, natively, by engine", bench_linux},
};

const BenchCommand *bench_command_at(size_t i)
{
    return i < G_N_ELEMENTS(commands) ? &commands[i] : NULL;
}

const BenchCommand *bench_command(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* -- Options --------------------------------------------------------------------------------------- */

bool bench_parse_options(const char *summary, const GOptionEntry *entries, int argc, char **argv,
                         GError **error)
{
    GOptionContext *context = g_option_context_new(summary);
    g_autofree char **copy = g_memdup2(argv, sizeof *argv * (size_t)(argc + 1));
    bool good;

    g_option_context_add_main_entries(context, entries, NULL);
    good = g_option_context_parse(context, &argc, &copy, error);
    if (good && argc > 1) {
        good = bench_fail(error, "%s: '%s' is no option; --help lists them", copy[0], copy[1]);
    }
    g_option_context_free(context);
    return good;
}

bool bench_check_number(const char *option, int v, int min, int max, GError **error)
{
    return (v >= min && v <= max) || bench_fail(error, "%s is from %d to %d, not %d", option, min, max, v);
}

void bench_choice_clear(BenchColumnChoice *c)
{
    g_clear_pointer(&c->accel, g_free);
    g_clear_pointer(&c->peers, g_strfreev);
}

void bench_output_clear(BenchOutput *o)
{
    g_clear_pointer(&o->json, g_free);
    g_clear_pointer(&o->csv, g_free);
    g_clear_pointer(&o->plot, g_free);
    g_clear_pointer(&o->stat, g_free);
}

bool bench_check_output(const BenchOutput *o, GError **error)
{
    return o->stat == NULL || strcmp(o->stat, "median") == 0 || strcmp(o->stat, "min") == 0 ||
           bench_fail(error, "--stat is median or min, not '%s'", o->stat);
}

/* -- Host ------------------------------------------------------------------------------------------ */

/* "model, N CPUs, Linux release". */
static char *describe_host(void)
{
    g_autofree char *info = NULL;
    struct utsname u;
    const char *model = "unknown CPU";

    uname(&u);
    if (g_file_get_contents("/proc/cpuinfo", &info, NULL, NULL)) {
        char *at = strstr(info, "model name");
        at = at != NULL ? strchr(at, ':') : NULL;
        if (at != NULL) {
            model = g_strchug(at + 1);
            at = strchr(at + 1, '\n');
            *(at != NULL ? at : info + strlen(info)) = 0;
        }
    }
    return g_strdup_printf("%s, %ld CPUs, %s %s", model, sysconf(_SC_NPROCESSORS_ONLN), u.sysname, u.release);
}

/* -- Output ---------------------------------------------------------------------------------------- */

static bool any_failed(const BenchTable *t)
{
    bool failed = false;

    for (guint i = 0; i < t->columns->len; i++) {
        failed |= ((BenchColumn *)g_ptr_array_index(t->columns, i))->failed != NULL;
    }
    for (guint i = 0; i < t->cells->len; i++) {
        const char *why = ((BenchCell *)g_ptr_array_index(t->cells, i))->why;
        failed |= why != NULL && (g_str_has_prefix(why, "failed") || g_str_has_prefix(why, "wrong"));
    }
    return failed;
}

static bool write_file(const char *path, const char *text, GError **error)
{
    return path == NULL || g_file_set_contents(path, text, -1, error);
}

/* --save: bench/results/NAME-TIME.*, for each kind that has no file of its own. */
static bool choose_files(BenchOutput *o, const char *name, GDateTime *now, GError **error)
{
    g_autofree char *time = g_date_time_format(now, "%Y%m%d-%H%M%S");
    char **files[] = {&o->json, &o->csv, &o->plot};
    const char *const ends[] = {"json", "csv", "svg"};

    if (g_mkdir_with_parents("bench/results", 0777) != 0) {
        return bench_fail(error, "--save: bench/results cannot be made");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        if (*files[i] == NULL) {
            *files[i] = g_strdup_printf("bench/results/%s-%s.%s", name, time, ends[i]);
        }
    }
    return true;
}

int bench_output(const BenchOutput *out, BenchTable *t, const char *const *about, const char *name,
                 GError **error)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *date = g_date_time_format(now, "%Y-%m-%d %H:%M UTC"), *host = describe_host();
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    g_autoptr(GString) text = g_string_new(NULL);
    BenchOutput o = {g_strdup(out->json), g_strdup(out->csv), g_strdup(out->plot), out->save, NULL, false};
    bool good;

    t->show_min = g_strcmp0(out->stat, "min") == 0;
    g_string_append_printf(text, "%s, %s\n\n", date, host);
    bench_table_print(t, out->ratios, text);
    fputs(text->str, stdout);
    fflush(stdout);
    for (const char *const *a = about; *a != NULL; a++) {
        g_ptr_array_add(all, (char *)*a);
    }
    const char *const added[] = {"date", date, "host", host, NULL};
    for (size_t i = 0; i < G_N_ELEMENTS(added); i++) {
        g_ptr_array_add(all, (char *)added[i]);
    }
    g_autofree char *json = bench_table_json(t, (const char *const *)all->pdata);
    g_autofree char *csv = bench_table_csv(t);
    g_autofree char *title = g_strdup_printf("metaphrase %s: %s, %s", name, date, host);
    g_autofree char *svg = bench_plot_svg(t, title, strcmp(name, "nanobench") == 0 ? "cycles" : "value");
    good = (!o.save || choose_files(&o, name, now, error)) && write_file(o.json, json, error) &&
           write_file(o.csv, csv, error) && write_file(o.plot, svg, error);
    bench_output_clear(&o);
    return good && !any_failed(t) ? 0 : 1;
}
