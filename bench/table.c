/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/table.h"

#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -- Cells ----------------------------------------------------------------------------------------- */

static void cell_free(void *p)
{
    BenchCell *c = p;

    g_array_free(c->runs, TRUE);
    g_free(c->why);
    g_free(c);
}

void bench_cell_add(BenchCell *c, const BenchSample *s)
{
    g_array_append_val(c->runs, *s);
    g_clear_pointer(&c->why, g_free);
}

void bench_cell_explain(BenchCell *c, const char *why)
{
    if (c->runs->len == 0 && c->why == NULL) {
        c->why = g_strdup(why);
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_median(double *v, guint n)
{
    qsort(v, n, sizeof *v, compare);
    return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

bool bench_cell_value(const BenchCell *c, BenchSample *out)
{
    guint n = c->runs->len;
    g_autofree double *medians = g_new(double, n + 1), *p95s = g_new(double, n + 1);

    for (guint i = 0; i < n; i++) {
        const BenchSample *s = &g_array_index(c->runs, BenchSample, i);
        out->min = i == 0 || s->min < out->min ? s->min : out->min;
        medians[i] = s->median;
        p95s[i] = s->p95;
    }
    if (n > 0) {
        out->median = bench_median(medians, n);
        out->p95 = bench_median(p95s, n);
    }
    return n > 0;
}

/* -- Tables ---------------------------------------------------------------------------------------- */

BenchTable *bench_table_new(GPtrArray *columns, const char *const *published)
{
    BenchTable *t = g_new0(BenchTable, 1);

    t->columns = columns;
    t->published = published;
    t->rows = g_array_new(FALSE, FALSE, sizeof(BenchRow));
    t->cells = g_ptr_array_new_with_free_func(cell_free);
    return t;
}

void bench_table_free(BenchTable *t)
{
    g_array_free(t->rows, TRUE);
    g_ptr_array_free(t->cells, TRUE);
    g_free(t);
}

void bench_table_add_row(BenchTable *t, const BenchRow *row)
{
    g_array_append_val(t->rows, *row);
    for (guint i = 0; i < t->columns->len; i++) {
        BenchCell *c = g_new0(BenchCell, 1);
        c->runs = g_array_new(FALSE, FALSE, sizeof(BenchSample));
        g_ptr_array_add(t->cells, c);
    }
}

BenchCell *bench_table_cell(const BenchTable *t, guint row, guint column)
{
    return g_ptr_array_index(t->cells, row * t->columns->len + column);
}

int bench_table_find(const BenchTable *t, const char *name)
{
    for (guint i = 0; i < t->rows->len; i++) {
        if (strcmp(g_array_index(t->rows, BenchRow, i).name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static const BenchColumn *column_at(const BenchTable *t, guint i)
{
    return g_ptr_array_index(t->columns, i);
}

/* -- Text ------------------------------------------------------------------------------------------ */

static char *format_value(double v)
{
    return v < 9.95 ? g_strdup_printf("%.2f", v)
                    : v < 999.5 ? g_strdup_printf("%.1f", v) : g_strdup_printf("%.0f", v);
}

/* The short word for an empty cell: what is before the reason's colon. */
static char *format_reason(const char *why)
{
    return why == NULL ? g_strdup("-") : g_strndup(why, strcspn(why, ":"));
}

/* What the text shows of a cell; false: it is empty. */
static bool shown_value(const BenchTable *t, guint row, guint column, double *v)
{
    BenchSample s;
    bool have = bench_cell_value(bench_table_cell(t, row, column), &s);

    *v = have ? (t->show_min ? s.min : s.median) : 0;
    return have;
}

typedef struct {
    GPtrArray *text;           /* char*, row by row; the first row is the head */
    guint width;               /* cells a row */
} Grid;

static void grid_print(const Grid *g, GString *out)
{
    for (guint i = 0; i < g->text->len; i++) {
        guint column = i % g->width, widest = 0;
        const char *text = g_ptr_array_index(g->text, i);

        for (guint k = column; k < g->text->len; k += g->width) {
            widest = MAX(widest, (guint)g_utf8_strlen(g_ptr_array_index(g->text, k), -1));
        }
        int pad = (int)(widest - (guint)g_utf8_strlen(text, -1));
        if (column == 0) {
            g_string_append_printf(out, "%s%*s", text, pad, "");
        } else {
            g_string_append_printf(out, "  %*s%s", pad, "", text);
        }
        if (column == g->width - 1) {
            g_string_append_c(out, '\n');
        }
    }
}

/* Is column b what a's speed is compared with, as "a/b"? */
static bool ratio_wanted(const BenchColumn *a, const BenchColumn *b)
{
    return a->kind == COLUMN_ENGINE && b->kind != COLUMN_ENGINE;
}

static void add_ratios(const BenchTable *t, guint row, Grid *g)
{
    for (guint a = 0; a < t->columns->len; a++) {
        for (guint b = 0; b < t->columns->len; b++) {
            double x, y;
            if (!ratio_wanted(column_at(t, a), column_at(t, b))) {
                continue;
            }
            bool both = shown_value(t, row, a, &x) && shown_value(t, row, b, &y) && y > 0;
            g_ptr_array_add(g->text, both ? g_strdup_printf("%.2f", x / y) : g_strdup("-"));
        }
    }
}

static void add_head(const BenchTable *t, bool ratios, Grid *g)
{
    g_ptr_array_add(g->text, g_strdup(""));
    for (guint i = 0; i < t->columns->len; i++) {
        g_ptr_array_add(g->text, g_strdup(column_at(t, i)->name));
    }
    for (guint i = 0; t->published != NULL && t->published[i] != NULL; i++) {
        g_ptr_array_add(g->text, g_strdup(t->published[i]));
    }
    for (guint a = 0; ratios && a < t->columns->len; a++) {
        for (guint b = 0; b < t->columns->len; b++) {
            if (ratio_wanted(column_at(t, a), column_at(t, b))) {
                g_ptr_array_add(g->text, g_strdup_printf("%s / %s", column_at(t, a)->name,
                                                         column_at(t, b)->name));
            }
        }
    }
    g->width = g->text->len;
}

static void add_row(const BenchTable *t, guint row, bool ratios, Grid *g)
{
    const BenchRow *r = &g_array_index(t->rows, BenchRow, row);

    g_ptr_array_add(g->text, r->unit != NULL ? g_strdup_printf("%s (%s)", r->name, r->unit)
                                             : g_strdup(r->name));
    for (guint i = 0; i < t->columns->len; i++) {
        double v;
        g_ptr_array_add(g->text, shown_value(t, row, i, &v)
                                     ? format_value(v)
                                     : format_reason(bench_table_cell(t, row, i)->why));
    }
    for (guint i = 0; t->published != NULL && t->published[i] != NULL; i++) {
        g_ptr_array_add(g->text, r->published[i] < 0 ? g_strdup("")
                                                     : g_strdup_printf("%.0f", r->published[i]));
    }
    if (ratios) {
        add_ratios(t, row, g);
    }
}

/* "column: reason (rows)", each reason once. */
static void print_reasons(const BenchTable *t, GString *out)
{
    for (guint column = 0; column < t->columns->len; column++) {
        g_autoptr(GHashTable) said = g_hash_table_new(g_str_hash, g_str_equal);
        for (guint row = 0; row < t->rows->len; row++) {
            const char *why = bench_table_cell(t, row, column)->why;
            if (why == NULL || *why == 0 || !g_hash_table_add(said, (char *)why)) {
                continue;
            }
            g_string_append_printf(out, "%s: %s (", column_at(t, column)->name, why);
            for (guint k = row, n = 0; k < t->rows->len; k++) {
                if (g_strcmp0(bench_table_cell(t, k, column)->why, why) == 0) {
                    g_string_append_printf(out, "%s%s", n++ == 0 ? "" : " ",
                                           g_array_index(t->rows, BenchRow, k).name);
                }
            }
            g_string_append(out, ")\n");
        }
    }
}

void bench_table_print(const BenchTable *t, bool ratios, GString *out)
{
    g_autoptr(GPtrArray) text = g_ptr_array_new_with_free_func(g_free);
    Grid g = {.text = text};

    add_head(t, ratios, &g);
    for (guint row = 0; row < t->rows->len; row++) {
        add_row(t, row, ratios, &g);
    }
    grid_print(&g, out);
    for (guint i = 0; i < t->columns->len; i++) {
        if (column_at(t, i)->failed != NULL) {
            g_string_append_printf(out, "%s: failed: %s\n", column_at(t, i)->name,
                                   column_at(t, i)->failed);
        }
        if (column_at(t, i)->note != NULL) {
            g_string_append_printf(out, "%s: note: %s\n", column_at(t, i)->name, column_at(t, i)->note);
        }
    }
    print_reasons(t, out);
}

/* -- CSV, JSON ------------------------------------------------------------------------------------- */

/* The shortest text that is the number to 6 digits, whatever the locale. */
static const char *number(char buf[G_ASCII_DTOSTR_BUF_SIZE], double v)
{
    return g_ascii_formatd(buf, G_ASCII_DTOSTR_BUF_SIZE, "%.6g", v);
}

static char *csv_quote(const char *s)
{
    g_auto(GStrv) parts = g_strsplit(s, "\"", -1);
    g_autofree char *doubled = g_strjoinv("\"\"", parts);

    return strpbrk(s, ",\"\n") != NULL ? g_strdup_printf("\"%s\"", doubled) : g_strdup(s);
}

char *bench_table_csv(const BenchTable *t)
{
    GString *out = g_string_new("name,unit,column,min,median,p95,runs,reason\n");

    for (guint row = 0; row < t->rows->len; row++) {
        const BenchRow *r = &g_array_index(t->rows, BenchRow, row);
        for (guint i = 0; i < t->columns->len; i++) {
            const BenchCell *c = bench_table_cell(t, row, i);
            g_autofree char *column = csv_quote(column_at(t, i)->name);
            g_autofree char *why = csv_quote(c->why != NULL ? c->why : "");
            char a[G_ASCII_DTOSTR_BUF_SIZE], b[G_ASCII_DTOSTR_BUF_SIZE], d[G_ASCII_DTOSTR_BUF_SIZE];
            BenchSample v;

            g_string_append_printf(out, "%s,%s,%s,", r->name, r->unit != NULL ? r->unit : "", column);
            if (bench_cell_value(c, &v)) {
                g_string_append_printf(out, "%s,%s,%s,%u,\n", number(a, v.min), number(b, v.median),
                                       number(d, v.p95), c->runs->len);
            } else {
                g_string_append_printf(out, ",,,0,%s\n", why);
            }
        }
    }
    return g_string_free(out, FALSE);
}

static void add_double(struct json_object *o, const char *key, double v)
{
    char buf[G_ASCII_DTOSTR_BUF_SIZE];

    json_object_object_add(o, key, json_object_new_double_s(v, number(buf, v)));
}

static struct json_object *cell_json(const BenchCell *c)
{
    struct json_object *o = json_object_new_object();
    BenchSample v;

    if (!bench_cell_value(c, &v)) {
        json_object_object_add(o, "reason", json_object_new_string(c->why != NULL ? c->why : "not run"));
        return o;
    }
    add_double(o, "min", v.min);
    add_double(o, "median", v.median);
    add_double(o, "p95", v.p95);
    struct json_object *runs = json_object_new_array();
    for (guint i = 0; i < c->runs->len; i++) {
        char buf[G_ASCII_DTOSTR_BUF_SIZE];
        double m = g_array_index(c->runs, BenchSample, i).median;
        json_object_array_add(runs, json_object_new_double_s(m, number(buf, m)));
    }
    json_object_object_add(o, "runs", runs);
    return o;
}

static struct json_object *columns_json(const BenchTable *t)
{
    static const char *const kinds[] = {"native", "engine", "peer"};
    struct json_object *columns = json_object_new_array();

    for (guint i = 0; i < t->columns->len; i++) {
        const BenchColumn *c = column_at(t, i);
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "name", json_object_new_string(c->name));
        json_object_object_add(o, "kind", json_object_new_string(kinds[c->kind]));
        if (c->failed != NULL) {
            json_object_object_add(o, "failed", json_object_new_string(c->failed));
        }
        if (c->note != NULL) {
            json_object_object_add(o, "note", json_object_new_string(c->note));
        }
        json_object_array_add(columns, o);
    }
    return columns;
}

static struct json_object *row_json(const BenchTable *t, guint row)
{
    const BenchRow *r = &g_array_index(t->rows, BenchRow, row);
    struct json_object *o = json_object_new_object(), *values = json_object_new_object();

    json_object_object_add(o, "name", json_object_new_string(r->name));
    if (r->unit != NULL) {
        json_object_object_add(o, "unit", json_object_new_string(r->unit));
    }
    json_object_object_add(o, "what", json_object_new_string(r->text));
    for (guint i = 0; i < t->columns->len; i++) {
        json_object_object_add(values, column_at(t, i)->name, cell_json(bench_table_cell(t, row, i)));
    }
    json_object_object_add(o, "values", values);
    if (t->published != NULL) {
        struct json_object *published = json_object_new_object();
        for (guint i = 0; t->published[i] != NULL; i++) {
            if (r->published[i] >= 0) {
                add_double(published, t->published[i], r->published[i]);
            }
        }
        json_object_object_add(o, "published", published);
    }
    return o;
}

char *bench_table_json(const BenchTable *t, const char *const *about)
{
    struct json_object *top = json_object_new_object(), *rows = json_object_new_array();

    for (; *about != NULL; about += 2) {
        json_object_object_add(top, about[0], json_object_new_string(about[1]));
    }
    json_object_object_add(top, "columns", columns_json(t));
    for (guint row = 0; row < t->rows->len; row++) {
        json_object_array_add(rows, row_json(t, row));
    }
    json_object_object_add(top, "rows", rows);
    char *text = g_strdup_printf("%s\n", json_object_to_json_string_ext(
        top, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(top);
    return text;
}
