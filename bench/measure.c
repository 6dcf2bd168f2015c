/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/measure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* -- Command lines --------------------------------------------------------------------------------- */

void bench_append_take(GPtrArray *argv, char *word)
{
    g_ptr_array_add(argv, word);
}

void bench_append(GPtrArray *argv, const char *word, ...)
{
    va_list ap;

    va_start(ap, word);
    for (; word != NULL; word = va_arg(ap, const char *)) {
        g_ptr_array_add(argv, g_strdup(word));
    }
    va_end(ap);
}

GPtrArray *bench_command_of(const BenchColumn *c)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

    for (char **a = c->command; a != NULL && *a != NULL; a++) {
        bench_append(argv, *a, NULL);
    }
    return argv;
}

/* -- Progress: one line on a terminal -------------------------------------------------------------- */

typedef struct {
    int total, done;
    const char *column;
    bool shown;
} Progress;

static void show(void *arg, const char *name)
{
    Progress *p = arg;

    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r\033[K[%d/%d] %s %s", p->done, p->total, p->column, name);
        p->shown = true;
    }
}

/* -- Runs ------------------------------------------------------------------------------------------ */

typedef struct {
    const BenchMeasure *m;
    BenchRun run;
    pid_t pid;
} Running;

static void note_pid(void *arg, pid_t pid)
{
    ((Running *)arg)->pid = pid;
}

static bool take_line(void *arg, const char *line)
{
    Running *r = arg;

    if (r->m->line != NULL) {
        r->m->line(r->m->arg, &r->run, r->pid, line);
    }
    return bench_run_line(&r->run, line);
}

/* Operations that a run is not to repeat: a hang or a crash there was enough. */
static char *skip_list(const BenchTable *t, guint column)
{
    GString *s = g_string_new(NULL);

    for (guint row = 0; row < t->rows->len; row++) {
        const BenchCell *c = bench_table_cell(t, row, column);
        if (c->why != NULL && g_str_has_prefix(c->why, "failed")) {
            g_string_append_printf(s, "%s%s", s->len == 0 ? "" : ",",
                                   g_array_index(t->rows, BenchRow, row).name);
        }
    }
    return g_string_free(s, FALSE);
}

/* Why the run did not come to its end; NULL: it did. */
static char *judge(const BenchMeasure *m, const BenchRun *run, const BenchProcess *p, const BenchColumn *c)
{
    bool good = p->end == BENCH_EXITED &&
                p->status == (c->kind == COLUMN_NATIVE ? 0 : m->guest_status);
    char *complaint = good ? NULL : bench_process_complaint(p, run->last);

    if (complaint == NULL && !(run->ended && good)) {
        complaint = run->last[0] != 0 ? g_strdup_printf("it ended early (last said: %s)", run->last)
                                      : g_strdup("it ended early");
    }
    return complaint;
}

/* The run failed: its operation's cell says why, or the column does.  True: try without it. */
static bool take_failure(const BenchMeasure *m, guint column, const BenchRun *run, const char *why)
{
    BenchColumn *c = g_ptr_array_index(m->table->columns, column);
    int row = bench_table_find(m->table, run->running);

    if (row < 0) {             /* between operations, or before the first */
        c->failed = run->begun ? g_strdup(why) : g_strdup_printf("nothing ran: %s", why);
        return false;
    }
    BenchCell *cell = bench_table_cell(m->table, (guint)row, column);
    g_autofree char *text = g_strdup_printf("failed: %s", why);
    g_array_set_size(cell->runs, 0); /* what fails once has no number */
    bench_cell_explain(cell, text);
    return true;
}

/* One run.  True: it is to be tried again. */
static bool run_once(const BenchMeasure *m, guint column, Progress *progress)
{
    BenchColumn *c = g_ptr_array_index(m->table->columns, column);
    g_autofree char *skip = skip_list(m->table, column), *why = NULL;
    g_autoptr(GPtrArray) argv = m->command(m->arg, column, skip);
    g_autoptr(GError) error = NULL;
    Running r = {.m = m, .run = {.table = m->table, .column = column, .program = m->program, .scale = 1,
                                 .progress = show, .arg = progress}};
    BenchWatch watch = {.silence_s = m->timeout_s, .line = take_line, .started = note_pid, .arg = &r};
    BenchProcess p;

    if (!bench_process_run((const char *const *)argv->pdata, &watch, &p, &error)) {
        c->failed = g_strdup(error->message);
        return false;
    }
    why = judge(m, &r.run, &p, c);
    if (why == NULL && m->finished != NULL) {
        m->finished(m->arg, column, &p);
    }
    bench_process_clear(&p);
    return why != NULL && take_failure(m, column, &r.run, why);
}

static void run_column(const BenchMeasure *m, guint column, Progress *progress)
{
    BenchColumn *c = g_ptr_array_index(m->table->columns, column);

    for (int tries = 0; tries < 4; tries++) {
        if (!run_once(m, column, progress)) {
            return;
        }
    }
    c->failed = g_strdup("partial: it failed in several operations, the rest was not run");
}

void bench_measure(const BenchMeasure *m)
{
    Progress p = {.total = m->repeat * (int)m->table->columns->len};

    for (int r = 0; r < m->repeat; r++) {
        for (guint i = 0; i < m->table->columns->len; i++) {
            BenchColumn *c = g_ptr_array_index(m->table->columns, i);
            p.done++;
            p.column = c->name;
            show(&p, "");
            if (c->failed == NULL) {
                run_column(m, i, &p);
            }
        }
    }
    if (p.shown) {
        fputs("\r\033[K", stderr);
    }
}
