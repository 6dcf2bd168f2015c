/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `metaphrase nanobench`: the bare-metal guest of tests/guest/nanobench under engines and peers. */
#include "bench/command-internal.h"
#include "bench/measure.h"

#include <string.h>

static const BenchRow rows[] = {
#define OP(name, native, software, hardware, text) {name, NULL, text, {native, software, hardware}},
#include "bench/ops.def"
#undef OP
};

static const char *const published[] = {"native'06", "BT'06", "VT'06", NULL};

typedef struct {
    BenchColumnChoice choice;
    BenchOutput output;
    int repeat, smp, bits, samples, cycles, timeout_s;
    char *only;
    gboolean list;
    char *image, *native;      /* the programs */
    double *guest_khz;         /* rate of the TSC, by column; 0: unknown */
    GString **exits;           /* what exits a KVM column had, by column */
    GPtrArray *columns;
    BenchTable *table;
} Nanobench;

/* -- Options --------------------------------------------------------------------------------------- */

static bool is_row(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_options(const Nanobench *n, GError **error)
{
    g_auto(GStrv) names = g_strsplit(n->only != NULL ? n->only : "", ",", -1);

    if (n->only != NULL && names[0] == NULL) {
        return bench_fail(error, "--only: no operation is called ''; --list lists them");
    }
    for (char **i = names; *i != NULL; i++) {
        if (!is_row(*i)) {
            return bench_fail(error, "--only: no operation is called '%s'; --list lists them", *i);
        }
    }
    if (n->bits != 32 && n->bits != 64) {
        return bench_fail(error, "--bits is 32 or 64, not %d", n->bits);
    }
    return bench_check_number("--repeat", n->repeat, 1, 1000, error) &&
           bench_check_number("--smp", n->smp, 1, 8, error) &&
           bench_check_number("--samples", n->samples, 1, 101, error) &&
           bench_check_number("--cycles", n->cycles, 1, 100000000, error) &&
           bench_check_number("--timeout", n->timeout_s, 1, 3600, error) && bench_check_output(&n->output, error);
}

static bool parse(Nanobench *n, int argc, char **argv, GError **error)
{
    const GOptionEntry entries[] = {
        BENCH_CHOICE_OPTIONS(&n->choice),
        {"repeat", 0, 0, G_OPTION_ARG_INT, &n->repeat, "interleaved runs of each column [3]", "N"},
        {"only", 0, 0, G_OPTION_ARG_STRING, &n->only, "these operations alone", "OP,OP..."},
        {"list", 0, 0, G_OPTION_ARG_NONE, &n->list, "list the operations and exit", NULL},
        {"bits", 0, 0, G_OPTION_ARG_INT, &n->bits, "the guest: 64 or 32 bits [64]", "N"},
        {"smp", 0, 0, G_OPTION_ARG_INT, &n->smp, "CPUs of the guest; IPIs need 2 [2]", "N"},
        {"samples", 0, 0, G_OPTION_ARG_INT, &n->samples, "samples a run and operation [31]", "N"},
        {"cycles", 0, 0, G_OPTION_ARG_INT, &n->cycles, "least length of a sample, in cycles [1000000]", "N"},
        {"timeout", 0, 0, G_OPTION_ARG_INT, &n->timeout_s,
         "a run that prints nothing for so long hangs [30]", "SECONDS"},
        {"ratios", 0, 0, G_OPTION_ARG_NONE, &n->output.ratios, "also each engine relative to native and peers", NULL},
        BENCH_OUTPUT_OPTIONS(&n->output),
        {NULL},
    };

    return bench_parse_options("- cycles that single operations cost, by engine", entries, argc, argv,
                               error) && check_options(n, error);
}

/* -- Runs ------------------------------------------------------------------------------------------ */

static bool is_kvm(const BenchColumn *c)
{
    return c->kind == COLUMN_ENGINE && g_str_has_prefix(c->name, "kvm");
}

static GPtrArray *command_line(void *arg, guint column, const char *skip)
{
    const Nanobench *n = arg;
    const BenchColumn *c = g_ptr_array_index(n->columns, column);
    GPtrArray *argv = bench_command_of(c);

    if (c->kind == COLUMN_NATIVE) {
        bench_append(argv, n->native, NULL);
    } else {
        bench_append(argv, "-m", "64", "-kernel", n->image, "-display", "none", "-serial", "stdio", "-monitor",
                     "none", "-no-reboot", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-smp", NULL);
        bench_append_take(argv, g_strdup_printf("%d", n->smp));
        if (is_kvm(c)) {           /* what it cost in exits, behind the guest's own lines */
            bench_append(argv, "-d", "stats", "-D", "/proc/self/fd/1", NULL);
        }
        bench_append(argv, "-append", NULL);
    }
    bench_append_take(argv, g_strdup_printf("samples=%d cycles=%d%s%s%s%s", n->samples, n->cycles,
                                            n->only != NULL ? " only=" : "", n->only != NULL ? n->only : "",
                                            *skip != 0 ? " skip=" : "", skip));
    bench_append_take(argv, NULL);
    return argv;
}

/* -- Clocks ---------------------------------------------------------------------------------------- */

static double host_tsc_khz(void)
{
    int64_t begin_us = g_get_monotonic_time(), took_us;
    uint64_t begin = __builtin_ia32_rdtsc();

    g_usleep(50000);
    took_us = g_get_monotonic_time() - begin_us;
    return (double)(__builtin_ia32_rdtsc() - begin) * 1000 / (double)MAX(took_us, 1);
}

/* "  exit: port access      12      0.40 us each", of the first CPU; the last run counts. */
static void take_exit(GString *exits, const char *line)
{
    g_autofree char *name = g_strndup(line, MIN(strlen(line), 34));
    const char *count = line + strlen(name);

    while (*count == ' ') {
        count++;
    }
    g_string_append_printf(exits, "%s%s %.*s", exits->len > 0 ? ", " : "", g_strchomp(name),
                           (int)strcspn(count, " "), count);
}

static void take_statistics(GString *exits, const char *line)
{
    if (g_str_has_prefix(line, "CPU 0:")) {
        g_string_truncate(exits, 0);
    } else if (g_str_has_prefix(line, "CPU ")) {
        g_string_append(exits, "\n");
    } else if (g_str_has_prefix(line, "  exit: ") && strchr(exits->str, '\n') == NULL) {
        take_exit(exits, line + strlen("  exit: "));
    }
}

static void tell_exits(const Nanobench *n)
{
    for (guint i = 0; i < n->columns->len; i++) {
        BenchColumn *c = g_ptr_array_index(n->columns, i);
        g_autofree char *note = g_steal_pointer(&c->note);

        if (n->exits[i]->len > 0) {
            c->note = g_strdup_printf("%s%sexits of CPU 0 in the last run: %.*s", note != NULL ? note : "",
                                      note != NULL ? "; " : "", (int)strcspn(n->exits[i]->str, "\n"),
                                      n->exits[i]->str);
        } else {
            c->note = g_steal_pointer(&note);
        }
        g_string_free(n->exits[i], TRUE);
    }
}

static void take_line(void *arg, BenchRun *run, pid_t pid, const char *line)
{
    const Nanobench *n = arg;
    double *least = &n->guest_khz[run->column];

    take_statistics(n->exits[run->column], line);

    if (strcmp(line, "end") == 0 && run->tsc_khz > 0 && (*least == 0 || run->tsc_khz < *least)) {
        *least = run->tsc_khz;
    }
}

/* Cycles compare only where the TSC runs as it does here.  A guest whose host is busy finds the rate
 * too high; the least of its runs is off by less than half. */
static void compare_clocks(const Nanobench *n)
{
    double host = host_tsc_khz();

    for (guint i = 0; i < n->columns->len; i++) {
        double khz = n->guest_khz[i];
        if (khz > 0 && (khz > host * 1.5 || khz * 1.5 < host)) {
            ((BenchColumn *)g_ptr_array_index(n->columns, i))->note = g_strdup_printf(
                "its TSC counts %.0f MHz, the host's %.0f: its cycles are not comparable", khz / 1000, host / 1000);
        }
    }
}

enum { GUEST_GOOD = 0x10 << 1 | 1 }; /* debug-exit's status for a good end */

static void make_table(Nanobench *n)
{
    n->table = bench_table_new(n->columns, published);
    g_auto(GStrv) only = n->only != NULL ? g_strsplit(n->only, ",", -1) : NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (only == NULL || g_strv_contains((const char *const *)only, rows[i].name)) {
            bench_table_add_row(n->table, &rows[i]);
        }
    }
}

/* A native process has only some of the operations: its other cells stay blank. */
static void explain_holes(Nanobench *n)
{
    for (guint row = 0; row < n->table->rows->len; row++) {
        for (guint i = 0; i < n->columns->len; i++) {
            const BenchColumn *c = g_ptr_array_index(n->columns, i);
            if (c->kind == COLUMN_NATIVE && c->failed == NULL) {
                bench_cell_explain(bench_table_cell(n->table, row, i), "");
            }
        }
    }
}

static void list_operations(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_print("%-20s %s\n", rows[i].name, rows[i].text);
    }
}

static int measure(Nanobench *n, const BenchEngine *engines, size_t n_engines, GError **error)
{
    g_autofree char *image = g_strdup_printf("tests/guest/nanobench/nanobench%d.elf", n->bits);
    const char *const *about;
    int status;

    n->image = bench_find_file(image, error);
    n->native = n->image != NULL ? bench_find_file("tests/guest/nanobench/nanobench-native", error) : NULL;
    n->columns = n->native != NULL ? bench_columns(&n->choice, engines, n_engines, error) : NULL;
    if (n->columns == NULL) {
        return 1;
    }
    make_table(n);
    BenchMeasure m = {.table = n->table, .program = "nanobench", .repeat = n->repeat, .timeout_s = n->timeout_s,
                      .guest_status = GUEST_GOOD, .arg = n, .command = command_line, .line = take_line};
    n->guest_khz = g_new0(double, n->columns->len);
    n->exits = g_new0(GString *, n->columns->len);
    for (guint i = 0; i < n->columns->len; i++) {
        n->exits[i] = g_string_new(NULL);
    }
    bench_measure(&m);
    compare_clocks(n);
    tell_exits(n);
    explain_holes(n);
    g_autofree char *options = g_strdup_printf("bits=%d smp=%d samples=%d cycles=%d repeat=%d", n->bits,
                                               n->smp, n->samples, n->cycles, n->repeat);
    about = (const char *const[]){"tool", "metaphrase nanobench", "version", METAPHRASE_VERSION, "unit",
                                  "TSC cycles", "options", options, NULL};
    status = bench_output(&n->output, n->table, about, "nanobench", error);
    return status;
}

int bench_nanobench(int argc, char **argv, const BenchEngine *engines, size_t n_engines, GError **error)
{
    Nanobench n = {.repeat = 3, .smp = 2, .bits = 64, .samples = 31, .cycles = 1000000, .timeout_s = 30};
    int status = 1;

    if (parse(&n, argc, argv, error)) {
        if (n.list) {
            list_operations();
            status = 0;
        } else {
            status = measure(&n, engines, n_engines, error);
        }
    }
    g_clear_pointer(&n.table, bench_table_free);
    g_clear_pointer(&n.columns, g_ptr_array_unref);
    g_free(n.guest_khz);
    g_free(n.exits);
    g_free(n.image);
    g_free(n.native);
    g_free(n.only);
    bench_choice_clear(&n.choice);
    bench_output_clear(&n.output);
    return status;
}
