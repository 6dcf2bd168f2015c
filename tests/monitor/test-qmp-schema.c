/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The schema's own consistency, and doc/QMP.md, which is printed from it (GOLDEN_BLESS=1 rewrites). */
#include "monitor/qmp-json.h"
#include "monitor/qmp-schema.h"
#include "tests/suite.h"

#include <stdlib.h>
#include <string.h>

/* -- Types as text -------------------------------------------------------------------------------- */

static bool is_named(const QmpType *t)
{
    return t->kind != QMP_TYPE_BUILTIN && t->kind != QMP_TYPE_ARRAY &&
           !g_str_has_prefix(t->name, "q_");
}

/* A type, linked where it has a section of its own. */
static void put_type(const QmpType *t, GString *out)
{
    if (t->kind == QMP_TYPE_ARRAY) {
        g_string_append(out, "list of ");
        put_type(t->element, out);
    } else if (is_named(t)) {
        g_autofree char *anchor = g_ascii_strdown(t->name, -1);
        g_string_append_printf(out, "[%s](#%s)", t->name, anchor);
    } else {
        g_string_append(out, t->name);
    }
}

static void put_members(const GArray *members, GString *out)
{
    for (guint i = 0; members != NULL && i < members->len; i++) {
        const QmpMember *m = &g_array_index(members, QmpMember, i);
        g_string_append_printf(out, "- `%s`: ", m->name);
        put_type(m->type, out);
        g_string_append(out, m->optional ? " (optional)\n" : "\n");
    }
}

static void put_object(const QmpType *t, GString *out)
{
    put_members(t->members, out);
    for (guint i = 0; t->variants != NULL && i < t->variants->len; i++) {
        const QmpMember *v = &g_array_index(t->variants, QmpMember, i);
        g_string_append_printf(out, "- with `%s` = `%s`, the members of ", t->tag, v->name);
        put_type(v->type, out);
        g_string_append_c(out, '\n');
    }
}

static void put_described(const QmpType *t, GString *out)
{
    g_string_append_printf(out, "\n### %s\n\n", t->name);
    if (t->help != NULL && *t->help != '\0') {
        g_string_append_printf(out, "%s\n\n", t->help);
    }
    if (t->kind == QMP_TYPE_ENUM) {
        g_autofree char *values = g_strjoinv("`, `", t->values);
        g_string_append_printf(out, "%s%s%s\n", *values != '\0' ? "one of `" : "no values",
                               values, *values != '\0' ? "`" : "");
    } else {
        put_object(t, out);
    }
}

static void collect(const QmpType *t, GHashTable *seen, GPtrArray *list)
{
    if (!g_hash_table_add(seen, (void *)t)) {
        return;
    }
    if (is_named(t)) {
        g_ptr_array_add(list, (void *)t);
    }
    if (t->element != NULL) {
        collect(t->element, seen, list);
    }
    for (guint i = 0; t->members != NULL && i < t->members->len; i++) {
        collect(g_array_index(t->members, QmpMember, i).type, seen, list);
    }
    for (guint i = 0; t->variants != NULL && i < t->variants->len; i++) {
        collect(g_array_index(t->variants, QmpMember, i).type, seen, list);
    }
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const QmpCommand *const *)a)->name, (*(const QmpCommand *const *)b)->name);
}

static gint types_by_name(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const QmpType *const *)a)->name, (*(const QmpType *const *)b)->name);
}

static void put_rows(const QmpCommand *rows, unsigned n, GString *out)
{
    g_autoptr(GPtrArray) sorted = g_ptr_array_new();

    for (unsigned i = 0; i < n; i++) {
        g_ptr_array_add(sorted, (void *)&rows[i]);
    }
    g_ptr_array_sort(sorted, by_name);
    for (unsigned i = 0; i < n; i++) {
        const QmpCommand *c = g_ptr_array_index(sorted, i);
        g_string_append_printf(out, "\n### %s\n\n%s\n\n", c->name, c->help);
        if (is_named(c->args)) {
            g_string_append(out, "- the members of ");
            put_type(c->args, out);
            g_string_append_c(out, '\n');
        } else {
            put_object(c->args, out);
        }
        if (strcmp(c->ret->name, "q_empty") != 0) {
            g_string_append(out, "- returns ");
            put_type(c->ret, out);
            g_string_append_c(out, '\n');
        }
    }
}

static char *manual(const QmpSchema *s)
{
    GString *out = g_string_new(
        "<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n"
        "<!-- Made from monitor/qmp-commands.def and monitor/qmp-types.def by\n"
        "     tests/monitor/test-qmp-schema.c: GOLDEN_BLESS=1 rewrites it. -->\n"
        "# QMP: commands and events\n\n"
        "Commands go in as JSON, `{\"execute\": NAME, \"arguments\": {...}, \"id\": ANY}`; answers\n"
        "come out in order, one a line. Place a monitor with `-qmp unix:PATH,server=on,wait=off`,\n"
        "`-qmp tcp:HOST:PORT,server=on`, `-qmp stdio`, or `-chardev ...,id=ID -mon\n"
        "chardev=ID,mode=control`; begin with `qmp_capabilities`. Names and meanings are QEMU's\n"
        "(version 7.2); what stands here is what works.\n");
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) types = g_ptr_array_new();
    const QmpCommand *commands, *events;
    unsigned n_commands, n_events;

    commands = qmp_schema_commands(s, &n_commands);
    events = qmp_schema_events(s, &n_events);
    g_string_append(out, "\n## Commands\n");
    put_rows(commands, n_commands, out);
    g_string_append(out, "\n## Events\n");
    put_rows(events, n_events, out);
    for (unsigned i = 0; i < n_commands; i++) {
        collect(commands[i].args, seen, types);
        collect(commands[i].ret, seen, types);
    }
    for (unsigned i = 0; i < n_events; i++) {
        collect(events[i].args, seen, types);
    }
    g_ptr_array_sort(types, types_by_name);
    g_string_append(out, "\n## Types\n\n"
                    "`str`, `bool`, `int` (64 bits), `number`, `null`, `any`, and these:\n");
    for (guint i = 0; i < types->len; i++) {
        put_described(g_ptr_array_index(types, i), out);
    }
    return g_string_free(out, FALSE);
}

START_TEST(the_manual_is_what_the_tables_say)
{
    const char *source = getenv("SOURCE") != NULL ? getenv("SOURCE") : ".";
    g_autofree char *path = g_build_filename(source, "doc", "QMP.md", NULL);
    g_autofree char *text = NULL;
    QmpSchema *s = qmp_schema_new();
    g_autofree char *expected = manual(s);

    if (getenv("GOLDEN_BLESS") != NULL) {
        ck_assert(g_file_set_contents(path, expected, -1, NULL));
    }
    ck_assert_msg(g_file_get_contents(path, &text, NULL, NULL), "%s is missing", path);
    ck_assert_msg(strcmp(text, expected) == 0, "doc/QMP.md is not what the tables say; "
                  "GOLDEN_BLESS=1 rewrites it");
    qmp_schema_free(s);
}
END_TEST

/* -- Consistency ---------------------------------------------------------------------------------- */

START_TEST(names_are_unique_and_commands_have_help)
{
    QmpSchema *s = qmp_schema_new();
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (int events = 0; events < 2; events++) {
        unsigned n;
        const QmpCommand *rows = events ? qmp_schema_events(s, &n) : qmp_schema_commands(s, &n);
        for (unsigned i = 0; i < n; i++) {
            ck_assert_msg(g_hash_table_add(seen, (void *)rows[i].name), "%s twice", rows[i].name);
            ck_assert_msg(*rows[i].help != '\0', "%s has no help", rows[i].name);
            ck_assert(events || qmp_schema_command(s, rows[i].name) == &rows[i]);
        }
    }
    qmp_schema_free(s);
}
END_TEST

/* A union's tag is a member, an enumeration, and each variant one of its values. */
START_TEST(variants_are_values_of_their_tag)
{
    static const char *const unions[] = {"SchemaInfo", "ObjectOptions", "ChardevBackend",
                                         "SocketAddressLegacy", "KeyValue"};
    QmpSchema *s = qmp_schema_new();

    for (size_t u = 0; u < G_N_ELEMENTS(unions); u++) {
        const QmpType *t = qmp_schema_type(s, unions[u]), *tag = NULL;
        for (guint i = 0; i < t->members->len; i++) {
            const QmpMember *m = &g_array_index(t->members, QmpMember, i);
            tag = strcmp(m->name, t->tag) == 0 ? m->type : tag;
        }
        ck_assert_msg(tag != NULL && tag->kind == QMP_TYPE_ENUM, "%s: no tag", unions[u]);
        for (guint i = 0; i < t->variants->len; i++) {
            const QmpMember *v = &g_array_index(t->variants, QmpMember, i);
            ck_assert_msg(g_strv_contains((const char *const *)tag->values, v->name), "%s: %s",
                          unions[u], v->name);
            ck_assert(v->type->kind == QMP_TYPE_OBJECT);
        }
    }
    qmp_schema_free(s);
}
END_TEST

START_TEST(the_schema_describes_itself)
{
    QmpSchema *s = qmp_schema_new();
    struct json_object *all = qmp_schema_introspect(s);
    g_autoptr(GError) error = NULL;

    ck_assert_msg(qmp_type_check(qmp_schema_type(s, "[SchemaInfo]"), all, &error), "%s",
                  error != NULL ? error->message : "");
    json_object_put(all);
    qmp_schema_free(s);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("qmp-schema");
    TCase *t = tcase_create("qmp-schema");

    tcase_add_test(t, the_manual_is_what_the_tables_say);
    tcase_add_test(t, names_are_unique_and_commands_have_help);
    tcase_add_test(t, variants_are_values_of_their_tag);
    tcase_add_test(t, the_schema_describes_itself);
    suite_add_tcase(s, t);
    return s;
}
