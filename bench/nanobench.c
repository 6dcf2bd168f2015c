/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `metaphrase nanobench`: the bare-metal guest of tests/guest/nanobench under engines and peers. */
#include "bench/command-internal.h"

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
    gboolean list, ratios;
    char *image, *native;      /* the programs */
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
           bench_check_number("--timeout", n->timeout_s, 1, 3600, error);
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
        {"ratios", 0, 0, G_OPTION_ARG_NONE, &n->ratios, "also each engine relative to native and peers", NULL},
        BENCH_OUTPUT_OPTIONS(&n->output),
        {NULL},
    };

    return bench_parse_options("- cycles that single operations cost, by engine", entries, argc, argv,
                               error) && check_options(n, error);
}

/* -- Runs ------------------------------------------------------------------------------------------ */

/* Operations that a run is not to repeat: a hang or crash there was enough. */
static char *skip_list(const Nanobench *n, guint column)
{
    GString *s = g_string_new(NULL);

    for (guint row = 0; row < n->table->rows->len; row++) {
        const BenchCell *c = bench_table_cell(n->table, row, column);
        if (c->why != NULL && !g_str_has_prefix(c->why, "n/a")) {
            g_string_append_printf(s, "%s%s", s->len == 0 ? "" : ",",
                                   g_array_index(n->table->rows, BenchRow, row).name);
        }
    }
    return g_string_free(s, FALSE);
}

static char *guest_options(const Nanobench *n, guint column)
{
    g_autofree char *skip = skip_list(n, column);

    return g_strdup_printf("samples=%d cycles=%d%s%s%s%s", n->samples, n->cycles,
                           n->only != NULL ? " only=" : "", n->only != NULL ? n->only : "",
                           *skip != 0 ? " skip=" : "", skip);
}

static GPtrArray *command_line(const Nanobench *n, guint column)
{
    const BenchColumn *c = g_ptr_array_index(n->columns, column);
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);
    char *options = guest_options(n, column);

    for (char **a = c->command; a != NULL && *a != NULL; a++) {
        g_ptr_array_add(argv, g_strdup(*a));
    }
    if (c->kind == COLUMN_NATIVE) {
        g_ptr_array_add(argv, g_strdup(n->native));
    } else {
        const char *const more[] = {"-m", "64", "-kernel", n->image, "-display", "none", "-serial", "stdio",
                                    "-monitor", "none", "-no-reboot", "-device",
                                    "isa-debug-exit,iobase=0xf4,iosize=4"};
        for (size_t i = 0; i < G_N_ELEMENTS(more); i++) {
            g_ptr_array_add(argv, g_strdup(more[i]));
        }
        g_ptr_array_add(argv, g_strdup("-smp"));
        g_ptr_array_add(argv, g_strdup_printf("%d", n->smp));
        g_ptr_array_add(argv, g_strdup("-append"));
    }
    g_ptr_array_add(argv, options);
    g_ptr_array_add(argv, NULL);
    return argv;
}

enum { GUEST_GOOD = 0x10 << 1 | 1 }; /* debug-exit's status for a good end */

/* Why the run did not come to its end; NULL: it did. */
static char *judge(const BenchRun *run, const BenchProcess *p, const BenchColumn *c)
{
    bool good = p->end == BENCH_EXITED && p->status == (c->kind == COLUMN_NATIVE ? 0 : GUEST_GOOD);
    g_autofree char *complaint = good ? g_strdup("it ended early") : bench_process_complaint(p);
    const char *last = run->last[0] != 0 ? run->last : NULL;

    if (run->ended && good) {
        return NULL;
    }
    return g_strdup_printf("%s%s%s%s", complaint != NULL ? complaint : "it ended early",
                           last != NULL ? " (last said: " : "", last != NULL ? last : "",
                           last != NULL ? ")" : "");
}

/* One run; after a hang or a crash inside an operation another one without it.  False: the column
 * is given up. */
static void run_column(Nanobench *n, guint column, BenchProgress *progress)
{
    BenchColumn *c = g_ptr_array_index(n->columns, column);

    for (int restarts = 0; restarts < 4; restarts++) {
        g_autoptr(GPtrArray) argv = command_line(n, column);
        g_autoptr(GError) error = NULL;
        BenchRun run = {.table = n->table, .column = column, .program = "nanobench", .scale = 1,
                        .progress = bench_progress_item, .arg = progress};
        BenchWatch watch = {.silence_s = n->timeout_s, .line = bench_run_line, .arg = &run};
        BenchProcess p;

        if (!bench_process_run((const char *const *)argv->pdata, &watch, &p, &error)) {
            c->failed = g_strdup(error->message);
            return;
        }
        g_autofree char *why = judge(&run, &p, c);
        bench_process_clear(&p);
        if (why == NULL) {
            return;
        }
        int row = bench_table_find(n->table, run.running);
        if (row < 0) {         /* between operations, or before the first */
            c->failed = run.begun ? g_steal_pointer(&why) : g_strdup_printf("nothing ran: %s", why);
            return;
        }
        BenchCell *cell = bench_table_cell(n->table, (guint)row, column);
        g_autofree char *text = g_strdup_printf("failed: %s", why);
        g_array_set_size(cell->runs, 0); /* what fails once has no number */
        bench_cell_explain(cell, text);
    }
    c->failed = g_strdup("it failed in too many operations");
}

static void run_all(Nanobench *n)
{
    BenchProgress progress = {.total = n->repeat * (int)n->columns->len};

    for (int r = 0; r < n->repeat; r++) {
        for (guint i = 0; i < n->columns->len; i++) {
            BenchColumn *c = g_ptr_array_index(n->columns, i);
            bench_progress_step(&progress, c->name);
            if (c->failed == NULL) {
                run_column(n, i, &progress);
            }
        }
    }
    bench_progress_end(&progress);
}

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
    run_all(n);
    explain_holes(n);
    g_autofree char *options = g_strdup_printf("bits=%d smp=%d samples=%d cycles=%d repeat=%d", n->bits,
                                               n->smp, n->samples, n->cycles, n->repeat);
    about = (const char *const[]){"tool", "metaphrase nanobench", "version", METAPHRASE_VERSION, "unit",
                                  "TSC cycles", "options", options, NULL};
    status = bench_output(&n->output, n->table, about, "nanobench", n->ratios, error);
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
    g_free(n.image);
    g_free(n.native);
    g_free(n.only);
    bench_choice_clear(&n.choice);
    bench_output_clear(&n.output);
    return status;
}
