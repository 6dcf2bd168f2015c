/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench/column.h"

#include <stdarg.h>
#include <string.h>

bool bench_fail(GError **error, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error_literal(error, g_quark_from_static_string("bench"), 0, text);
    return false;
}

/* -- Places ---------------------------------------------------------------------------------------- */

char *bench_self(void)
{
    char *path = g_file_read_link("/proc/self/exe", NULL);

    return path != NULL ? path : g_strdup("metaphrase");
}

char *bench_find_file(const char *built, GError **error)
{
    g_autofree char *self = bench_self(), *dir = g_path_get_dirname(self);
    g_autofree char *base = g_path_get_basename(built);
    char *path = g_build_filename(dir, built, NULL);

    if (g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        return path;
    }
    g_free(path);
    path = g_build_filename(dir, "..", "share", "metaphrase", base, NULL);
    if (g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        return path;
    }
    bench_fail(error, "%s is neither in the build tree nor installed (looked for %s/%s and %s)", base,
               dir, built, path);
    g_free(path);
    return NULL;
}

/* -- Columns --------------------------------------------------------------------------------------- */

static void column_free(void *p)
{
    BenchColumn *c = p;

    g_free(c->name);
    g_strfreev(c->command);
    g_free(c->failed);
    g_free(c->note);
    g_free(c);
}

static BenchColumn *add(GPtrArray *columns, const char *name, BenchColumnKind kind)
{
    BenchColumn *c = g_new0(BenchColumn, 1);
    unsigned same = 1;

    c->name = g_strdup(name);
    c->kind = kind;
    for (guint i = 0; i < columns->len; i++) {
        if (strcmp(((BenchColumn *)g_ptr_array_index(columns, i))->name, c->name) == 0) {
            g_free(c->name);
            c->name = g_strdup_printf("%s#%u", name, ++same);
            i = (guint)-1;     /* the new name may be taken too */
        }
    }
    g_ptr_array_add(columns, c);
    return c;
}

static const BenchEngine *find(const BenchEngine *engines, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(engines[i].name, name) == 0) {
            return &engines[i];
        }
    }
    return NULL;
}

/* `alone`: no other engine is asked for; else one that this host lacks is left out with a line. */
static bool add_engine(GPtrArray *columns, const char *spec, bool alone, const BenchEngine *engines, size_t n,
                       GError **error)
{
    g_autofree char *name = g_strndup(spec, strcspn(spec, ","));
    const BenchEngine *e = find(engines, n, name);

    if (e == NULL) {
        return bench_fail(error, "--accel: no engine of this build is called '%s'; -accel help lists them",
                          name);
    }
    if (e->missing != NULL && !alone) {
        g_printerr("%s: --accel: left out: engine '%s' cannot be used: %s\n", g_get_prgname(), name, e->missing);
        return true;
    }
    if (e->missing != NULL) {
        return bench_fail(error, "--accel: engine '%s' cannot be used: %s", name, e->missing);
    }
    g_autofree char *self = bench_self();
    add(columns, spec, COLUMN_ENGINE)->command =
        g_strdupv((char *[]){self, "-accel", (char *)spec, NULL});
    return true;
}

/* Engines are separated by ':' or ','; after a ',' an item with '=' is a property of the engine
 * before it, as in -accel. */
static bool add_engines(GPtrArray *columns, const char *list, const BenchEngine *engines, size_t n,
                        GError **error)
{
    g_auto(GStrv) items = g_strsplit_set(list, ":,", -1);
    g_autoptr(GString) spec = g_string_new(NULL);
    unsigned named = 0;

    for (char **i = items; *i != NULL; i++) {
        named += strchr(*i, '=') == NULL;
    }
    for (char **i = items; *i != NULL; i++) {
        if (strchr(*i, '=') != NULL && spec->len > 0) {
            g_string_append_printf(spec, ",%s", *i);
            continue;
        }
        if (spec->len > 0 && !add_engine(columns, spec->str, named == 1, engines, n, error)) {
            return false;
        }
        g_string_assign(spec, *i);
    }
    return add_engine(columns, spec->str, named == 1, engines, n, error);
}

static bool add_peer(GPtrArray *columns, const char *spec, GError **error)
{
    const char *colon = strrchr(spec, ':');
    g_autofree char *program = colon != NULL ? g_strndup(spec, (gsize)(colon - spec)) : g_strdup(spec);
    g_autofree char *base = g_path_get_basename(program);
    g_autofree char *path = g_find_program_in_path(program);
    bool qemu = g_str_has_prefix(base, "qemu");
    const char *accel = colon != NULL ? colon + 1 : qemu ? "tcg" : "auto";
    const char *cpu = strcmp(accel, "kvm") == 0 ? "host" : "max";

    if (path == NULL) {
        return bench_fail(error, "--peer: %s is not installed", program);
    }
    g_autofree char *name = g_strdup_printf("%s:%s", qemu ? "qemu" : base, accel);
    BenchColumn *c = add(columns, name, COLUMN_PEER);
    c->command = qemu ? g_strdupv((char *[]){path, "-accel", (char *)accel, "-cpu", (char *)cpu, NULL})
                      : g_strdupv((char *[]){path, "-accel", (char *)accel, NULL});
    return true;
}

static bool add_peers(GPtrArray *columns, char **peers, GError **error)
{
    for (char **p = peers; *p != NULL; p++) {
        g_auto(GStrv) items = g_strsplit(*p, ",", -1);
        for (char **i = items; *i != NULL; i++) {
            if (strcmp(*i, "none") != 0 && !add_peer(columns, *i, error)) {
                return false;
            }
        }
    }
    return true;
}

GPtrArray *bench_columns(const BenchColumnChoice *choice, const BenchEngine *engines,
                         size_t n_engines, GError **error)
{
    g_autoptr(GPtrArray) columns = g_ptr_array_new_with_free_func(column_free);
    g_autofree char *qemu = g_find_program_in_path("qemu-system-x86_64");
    bool good = true;

    if (!choice->no_native) {
        add(columns, "native", COLUMN_NATIVE);
    }
    for (size_t i = 0; i < n_engines && choice->accel == NULL; i++) {
        if (engines[i].missing == NULL && engines[i].drawback == NULL && !engines[i].alias) {
            good = good && add_engine(columns, engines[i].name, false, engines, n_engines, error);
        }
    }
    if (choice->accel != NULL && strcmp(choice->accel, "none") != 0) {
        good = add_engines(columns, choice->accel, engines, n_engines, error);
    }
    if (good && choice->peers != NULL) {
        good = add_peers(columns, choice->peers, error);
    } else if (good && qemu != NULL) {
        good = add_peer(columns, "qemu-system-x86_64:tcg", error);
    }
    if (good && columns->len == 0) {
        good = bench_fail(error, "nothing to measure: no engine, no peer, not natively");
    }
    return good ? g_steal_pointer(&columns) : NULL;
}
