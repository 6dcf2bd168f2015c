/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/plot.h"

#include <math.h>
#include <string.h>

enum { BAR = 7, GAP = 10, LEFT = 60, TOP = 40, HEIGHT = 320, LABELS = 120, LEGEND_W = 150, WIDTH_MIN = 480 };

static const char *const colours[] = {"#4c4c4c", "#4e79a7", "#e15759", "#59a14f", "#f28e2b", "#b07aa1",
                                      "#76b7b2", "#edc948", "#9c755f", "#bab0ac"};

typedef struct {
    const BenchTable *t;
    GString *out;
    guint n_series;
    double low, high;          /* powers of ten that bound the scale */
    int width;
} Plot;

static guint n_published(const BenchTable *t)
{
    guint n = 0;

    while (t->published != NULL && t->published[n] != NULL) {
        n++;
    }
    return n;
}

/* Columns first, then the published ones.  False: nothing there. */
static bool value(const Plot *p, guint row, guint series, double *v)
{
    BenchSample s;

    if (series < p->t->columns->len) {
        bool have = bench_cell_value(bench_table_cell(p->t, row, series), &s);
        *v = have ? MAX(s.median, 0.01) : 0;
        return have;
    }
    *v = g_array_index(p->t->rows, BenchRow, row).published[series - p->t->columns->len];
    return *v > 0;
}

static const char *series_name(const Plot *p, guint series)
{
    return series < p->t->columns->len
               ? ((BenchColumn *)g_ptr_array_index(p->t->columns, series))->name
               : p->t->published[series - p->t->columns->len];
}

static bool row_shown(const Plot *p, guint row)
{
    double v;

    for (guint s = 0; s < p->t->columns->len; s++) {
        if (value(p, row, s, &v)) {
            return true;
        }
    }
    return false;
}

static void choose_scale(Plot *p)
{
    double low = INFINITY, high = 0, v;
    int bars = 0;

    for (guint row = 0; row < p->t->rows->len; row++) {
        if (!row_shown(p, row)) {
            continue;
        }
        bars += (int)p->n_series * BAR + GAP;
        for (guint s = 0; s < p->n_series; s++) {
            if (value(p, row, s, &v)) {
                low = MIN(low, v);
                high = MAX(high, v);
            }
        }
    }
    p->low = high > 0 ? floor(log10(low)) : 0;
    p->high = high > 0 ? MAX(ceil(log10(high)), p->low + 1) : 1;
    p->width = MAX(WIDTH_MIN, LEFT + bars + GAP + LEGEND_W);
}

static double y_of(const Plot *p, double v)
{
    return TOP + HEIGHT - (log10(v) - p->low) / (p->high - p->low) * HEIGHT;
}

/* Numbers without a locale's comma. */
static void put(Plot *p, const char *fmt, double a, double b, double c, double d)
{
    const double v[4] = {a, b, c, d};
    int i = 0;

    for (; *fmt != 0; fmt++) {
        char buf[G_ASCII_DTOSTR_BUF_SIZE];
        if (*fmt == '#') {
            g_string_append(p->out, g_ascii_formatd(buf, sizeof buf, "%.1f", v[i++]));
        } else {
            g_string_append_c(p->out, *fmt);
        }
    }
}

static void draw_text(Plot *p, const char *attributes, double x, double y, const char *text)
{
    g_autofree char *safe = g_markup_escape_text(text, -1);

    put(p, "<text x=\"#\" y=\"#\"", x, y, 0, 0);
    g_string_append_printf(p->out, "%s%s>%s</text>\n", *attributes != 0 ? " " : "", attributes, safe);
}

static void draw_axis(Plot *p, const char *title, const char *unit)
{
    double right = p->width - LEGEND_W;

    draw_text(p, "font-size=\"14\"", LEFT, 20, title);
    draw_text(p, "", 4, TOP - 8, unit);
    for (int e = (int)p->low; e <= (int)p->high; e++) {
        g_autofree char *label = e >= 0 ? g_strdup_printf("%.0f", pow(10, e)) : g_strdup_printf("10^%d", e);
        double y = y_of(p, pow(10, e));
        put(p, "<path d=\"M # # H #\" stroke=\"silver\"/>\n", LEFT, y, right, 0);
        draw_text(p, "text-anchor=\"end\"", LEFT - 4, y + 4, label);
    }
}

static void draw_row(Plot *p, guint row, double x)
{
    const BenchRow *r = &g_array_index(p->t->rows, BenchRow, row);
    g_autoptr(GString) turned = g_string_new("text-anchor=\"end\" transform=\"rotate(-60 ");
    char a[G_ASCII_DTOSTR_BUF_SIZE], b[G_ASCII_DTOSTR_BUF_SIZE];
    double v, middle = x + p->n_series * BAR / 2.0, base = TOP + HEIGHT;

    for (guint s = 0; s < p->n_series; s++) {
        if (value(p, row, s, &v)) {
            double y = y_of(p, v);
            put(p, "<rect x=\"#\" y=\"#\" width=\"#\" height=\"#\"", x + s * BAR, y, BAR - 1, base - y);
            g_string_append_printf(p->out, " fill=\"%s\"><title>%s, %s: %s</title></rect>\n",
                                   colours[s % G_N_ELEMENTS(colours)], r->name, series_name(p, s),
                                   g_ascii_formatd(a, sizeof a, "%.4g", v));
        }
    }
    g_string_append_printf(turned, "%s %s)\"", g_ascii_formatd(a, sizeof a, "%.1f", middle),
                           g_ascii_formatd(b, sizeof b, "%.1f", base + 14));
    draw_text(p, turned->str, middle, base + 14, r->name);
}

static void draw_legend(Plot *p)
{
    for (guint s = 0; s < p->n_series; s++) {
        double x = p->width - LEGEND_W + GAP, y = TOP + s * 18;
        put(p, "<rect x=\"#\" y=\"#\" width=\"10\" height=\"10\"", x, y, 0, 0);
        g_string_append_printf(p->out, " fill=\"%s\"/>\n", colours[s % G_N_ELEMENTS(colours)]);
        draw_text(p, "", x + 16, y + 9, series_name(p, s));
    }
}

char *bench_plot_svg(const BenchTable *t, const char *title, const char *unit)
{
    Plot p = {.t = t, .out = g_string_new(NULL), .n_series = t->columns->len + n_published(t)};
    double x = LEFT + GAP;

    choose_scale(&p);
    g_string_append_printf(p.out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                           "font-family=\"sans-serif\" font-size=\"11\">\n"
                           "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
                           p.width, TOP + HEIGHT + LABELS);
    draw_axis(&p, title, unit);
    for (guint row = 0; row < t->rows->len; row++) {
        if (row_shown(&p, row)) {
            draw_row(&p, row, x);
            x += p.n_series * BAR + GAP;
        }
    }
    draw_legend(&p);
    g_string_append(p.out, "</svg>\n");
    return g_string_free(p.out, FALSE);
}
