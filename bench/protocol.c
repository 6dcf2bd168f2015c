/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/protocol.h"

#include <math.h>
#include <string.h>

bool bench_parse_key(const char *words, const char *key, double *out)
{
    size_t len = strlen(key);

    for (const char *w = words; *w != 0; w += strcspn(w, " "), w += strspn(w, " ")) {
        if (strncmp(w, key, len) == 0 && w[len] == '=') {
            char *end;
            *out = g_ascii_strtod(w + len + 1, &end);
            return end != w + len + 1 && (*end == 0 || *end == ' ') && isfinite(*out);
        }
    }
    return false;
}

/* Cut a word off `*s` into `word`; false: none, or too long. */
static bool take_word(const char **s, char word[BENCH_NAME_LEN])
{
    size_t len = strcspn(*s, " ");

    if (len == 0 || len >= BENCH_NAME_LEN) {
        return false;
    }
    memcpy(word, *s, len);
    word[len] = 0;
    *s += len;
    *s += strspn(*s, " ");
    return true;
}

static bool is_result(BenchItem *item)
{
    return bench_parse_key(item->text, "min", &item->sample.min) && item->sample.min >= 0 &&
           bench_parse_key(item->text, "median", &item->sample.median) && item->sample.median >= 0 &&
           bench_parse_key(item->text, "p95", &item->sample.p95) && item->sample.p95 >= 0;
}

BenchItem bench_parse_line(const char *line)
{
    BenchItem item = {.kind = ITEM_OTHER, .text = line}, none = item;
    char word[BENCH_NAME_LEN];
    const char *at = line;

    if (strcmp(line, "end") == 0) {
        item.kind = ITEM_END;
        return item;
    }
    if (!take_word(&at, word)) {
        return none;
    }
    if (strcmp(word, "nanobench") == 0 || strcmp(word, "workloads") == 0) {
        item.kind = strncmp(at, "1 ", 2) == 0 ? ITEM_BEGIN : ITEM_OTHER;
        strcpy(item.name, word);
        item.text = at;
        return item;
    }
    item.kind = strcmp(word, "run") == 0 ? ITEM_RUN : strcmp(word, "op") == 0 ? ITEM_RESULT
                : strcmp(word, "na") == 0 ? ITEM_MISSING : strcmp(word, "bad") == 0 ? ITEM_BAD : ITEM_OTHER;
    if (item.kind == ITEM_OTHER || !take_word(&at, item.name)) {
        return none;
    }
    item.text = at;
    return item.kind == ITEM_RESULT && !is_result(&item) ? none : item;
}

/* -- A run ----------------------------------------------------------------------------------------- */

static BenchCell *cell_of(const BenchRun *r, const char *name)
{
    int row = bench_table_find(r->table, name);

    return row < 0 ? NULL : bench_table_cell(r->table, (guint)row, r->column);
}

static void explain(const BenchRun *r, const BenchItem *item, const char *prefix)
{
    BenchCell *c = cell_of(r, item->name);
    g_autofree char *why = g_strdup_printf("%s: %s", prefix, item->text);

    if (c != NULL) {
        bench_cell_explain(c, why);
    }
}

static void take_result(BenchRun *r, BenchItem *item)
{
    BenchCell *c = cell_of(r, item->name);
    BenchSample *s = &item->sample;

    if (c != NULL) {
        *s = (BenchSample){s->min * r->scale, s->median * r->scale, s->p95 * r->scale};
        bench_cell_add(c, s);
    }
    r->running[0] = 0;
}

bool bench_run_line(void *arg, const char *line)
{
    BenchRun *r = arg;
    BenchItem item = bench_parse_line(line);

    if (item.kind == ITEM_BEGIN && strcmp(item.name, r->program) == 0) {
        r->begun = true;
        bench_parse_key(item.text, "tsc_khz", &r->tsc_khz);
        return true;
    }
    if (!r->begun || item.kind == ITEM_OTHER) {
        if (*line != 0) {
            g_strlcpy(r->last, line, sizeof r->last);
        }
        return true;
    }
    switch (item.kind) {
    case ITEM_RUN:
        g_strlcpy(r->running, item.name, sizeof r->running);
        if (r->progress != NULL) {
            r->progress(r->arg, item.name);
        }
        break;
    case ITEM_RESULT: take_result(r, &item); break;
    case ITEM_MISSING:
    case ITEM_BAD:
        explain(r, &item, item.kind == ITEM_BAD ? "wrong" : "n/a");
        r->running[0] = 0;
        break;
    case ITEM_END: r->ended = true; break;
    default: break;
    }
    return true;
}
