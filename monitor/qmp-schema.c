/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/qmp-schema.h"

#include "monitor/qmp-internal.h"
#include "softmmu/base/bits.h"

#include <string.h>

struct QmpSchema {
    GHashTable *by_name;       /* char* (of the type) -> QmpType*, owned */
    GPtrArray *types;          /* QmpType*, in order, borrowed           */
    GArray *commands, *events; /* QmpCommand                             */
    GHashTable *command_index; /* name -> QmpCommand*                    */
};

/* -- The rows ----------------------------------------------------------------------------------------- */

typedef struct {
    QmpKind kind;
    const char *name, *text, *tag, *variants, *help;
} TypeRow;

/* The keyboard's table is the enumeration. */
static const char qmp_key_names[] = ""
#define KEY(name, number) " " name
#include "hw/ps2-keys.def"
#undef KEY
;

static const TypeRow type_rows[] = {
#define QMP_ENUM(n, values, help) {QMP_TYPE_ENUM, n, values, NULL, NULL, help},
#define QMP_OBJECT(n, members, help) {QMP_TYPE_OBJECT, n, members, NULL, NULL, help},
#define QMP_UNION(n, members, tag, variants, help) {QMP_TYPE_OBJECT, n, members, tag, variants, help},
#define QMP_ALTERNATE(n, members, help) {QMP_TYPE_ALTERNATE, n, members, NULL, NULL, help},
#include "monitor/qmp-types.def"
#undef QMP_ENUM
#undef QMP_OBJECT
#undef QMP_UNION
#undef QMP_ALTERNATE
};

typedef struct {
    const char *name, *args, *ret, *help;
    QmpHandler *handler;
} CommandRow;

static const CommandRow command_rows[] = {
#define QMP_COMMAND(n, args, ret, h, help) {n, args, ret, help, qmp_##h},
#define QMP_EVENT(n, data, help)
#include "monitor/qmp-commands.def"
#undef QMP_COMMAND
#undef QMP_EVENT
};

static const CommandRow event_rows[] = {
#define QMP_COMMAND(n, args, ret, h, help)
#define QMP_EVENT(n, data, help) {n, data, "", help, NULL},
#include "monitor/qmp-commands.def"
#undef QMP_COMMAND
#undef QMP_EVENT
};

static const char *const builtins[] = {"str", "int", "number", "bool", "null", "any"};

/* -- Making types ------------------------------------------------------------------------------------- */

static void member_clear(void *p)
{
    g_free(((QmpMember *)p)->name);
}

static void type_free(void *p)
{
    QmpType *t = p;

    g_free(t->name);
    g_free(t->tag);
    g_strfreev(t->values);
    g_clear_pointer(&t->members, g_array_unref);
    g_clear_pointer(&t->variants, g_array_unref);
    g_free(t);
}

static QmpType *add_type(QmpSchema *s, QmpKind kind, const char *name)
{
    QmpType *t = g_new0(QmpType, 1);

    t->kind = kind;
    t->name = g_strdup(name);
    g_assert(g_hash_table_lookup(s->by_name, name) == NULL);
    g_hash_table_insert(s->by_name, t->name, t);
    g_ptr_array_add(s->types, t);
    return t;
}

/* By the way it is written; lists are made when first named. */
static const QmpType *find_type(QmpSchema *s, const char *name)
{
    QmpType *t = g_hash_table_lookup(s->by_name, name);

    if (t == NULL && *name == '[') {
        g_autofree char *inner = g_strndup(name + 1, strlen(name) - 2);
        t = add_type(s, QMP_TYPE_ARRAY, name);
        t->element = find_type(s, inner);
    }
    if (t == NULL) {
        g_error("QMP schema: no type is called '%s'", name);
    }
    return t;
}

static GArray *parse_members(QmpSchema *s, const char *text)
{
    GArray *list = g_array_new(FALSE, TRUE, sizeof(QmpMember));
    g_auto(GStrv) items = g_strsplit_set(text, " \n", -1);

    g_array_set_clear_func(list, member_clear);
    for (char **i = items; *i != NULL; i++) {
        char *colon = strrchr(*i, ':');
        QmpMember m = {0};
        if (**i == '\0') {
            continue;
        }
        if (colon == NULL) {
            g_error("QMP schema: '%s' has no type", *i);
        }
        m.optional = colon > *i && colon[-1] == '?';
        m.name = g_strndup(*i, (size_t)(colon - *i) - m.optional);
        m.type = find_type(s, colon + 1);
        g_array_append_val(list, m);
    }
    return list;
}

static void fill_type(QmpSchema *s, const TypeRow *r)
{
    QmpType *t = g_hash_table_lookup(s->by_name, r->name);

    t->help = r->help;
    if (r->kind == QMP_TYPE_ENUM) {
        t->values = g_strsplit(*r->text == ' ' ? r->text + 1 : r->text, " ", -1);
        return;
    }
    t->members = parse_members(s, r->text);
    if (r->tag != NULL) {
        t->tag = g_strdup(r->tag);
        t->variants = parse_members(s, r->variants);
    }
}

/* The type of a command's arguments or an event's data. */
static const QmpType *arguments_type(QmpSchema *s, const CommandRow *r, const char *suffix)
{
    g_autofree char *name = g_strdup_printf("q_obj_%s-%s", r->name, suffix);
    QmpType *t;

    if (*r->args == '=') {
        return find_type(s, r->args + 1);
    }
    if (*r->args == '\0') {
        return find_type(s, "q_empty");
    }
    t = add_type(s, QMP_TYPE_OBJECT, name);
    t->members = parse_members(s, r->args);
    return t;
}

static void add_commands(QmpSchema *s, GArray *list, const CommandRow *rows, size_t n,
                         const char *suffix)
{
    for (size_t i = 0; i < n; i++) {
        QmpCommand c = {
            .name = rows[i].name, .help = rows[i].help, .handler = rows[i].handler,
            .args = arguments_type(s, &rows[i], suffix),
            .ret = find_type(s, *rows[i].ret != '\0' ? rows[i].ret : "q_empty"),
        };
        g_array_append_val(list, c);
    }
}

QmpSchema *qmp_schema_new(void)
{
    QmpSchema *s = g_new0(QmpSchema, 1);

    s->by_name = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, type_free);
    s->types = g_ptr_array_new();
    s->commands = g_array_new(FALSE, TRUE, sizeof(QmpCommand));
    s->events = g_array_new(FALSE, TRUE, sizeof(QmpCommand));
    s->command_index = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < ARRAY_LEN(builtins); i++) {
        add_type(s, QMP_TYPE_BUILTIN, builtins[i]);
    }
    add_type(s, QMP_TYPE_OBJECT, "q_empty")->members = parse_members(s, "");
    for (size_t i = 0; i < ARRAY_LEN(type_rows); i++) {
        add_type(s, type_rows[i].kind, type_rows[i].name);
    }
    for (size_t i = 0; i < ARRAY_LEN(type_rows); i++) {
        fill_type(s, &type_rows[i]);
    }
    add_commands(s, s->commands, command_rows, ARRAY_LEN(command_rows), "arg");
    add_commands(s, s->events, event_rows, ARRAY_LEN(event_rows), "data");
    for (guint i = 0; i < s->commands->len; i++) {
        QmpCommand *c = &g_array_index(s->commands, QmpCommand, i);
        g_hash_table_insert(s->command_index, (char *)c->name, c);
    }
    return s;
}

void qmp_schema_free(QmpSchema *s)
{
    if (s != NULL) {
        g_hash_table_destroy(s->command_index);
        g_hash_table_destroy(s->by_name);
        g_ptr_array_free(s->types, TRUE);
        g_array_free(s->commands, TRUE);
        g_array_free(s->events, TRUE);
        g_free(s);
    }
}

const QmpCommand *qmp_schema_command(const QmpSchema *s, const char *name)
{
    return g_hash_table_lookup(s->command_index, name);
}

const QmpType *qmp_schema_type(const QmpSchema *s, const char *name)
{
    return g_hash_table_lookup(s->by_name, name);
}

const QmpCommand *qmp_schema_commands(const QmpSchema *s, unsigned *n)
{
    *n = s->commands->len;
    return (const QmpCommand *)s->commands->data;
}

const QmpCommand *qmp_schema_events(const QmpSchema *s, unsigned *n)
{
    *n = s->events->len;
    return (const QmpCommand *)s->events->data;
}

const char *qmp_type_name(const QmpType *t)
{
    return t->name;
}

/* -- Introspection ------------------------------------------------------------------------------------ */

static struct json_object *named(const char *name, const char *meta)
{
    struct json_object *o = json_object_new_object();

    json_add_string(o, "name", name);
    json_add_string(o, "meta-type", meta);
    return o;
}

static const char *json_type_of_builtin(const char *name)
{
    static const char *const map[][2] = {
        {"str", "string"}, {"int", "int"}, {"number", "number"}, {"bool", "boolean"},
        {"null", "null"}, {"any", "value"},
    };

    for (size_t i = 0; i < ARRAY_LEN(map); i++) {
        if (strcmp(map[i][0], name) == 0) {
            return map[i][1];
        }
    }
    g_assert_not_reached();
}

static struct json_object *member_list(const GArray *members, const char *key)
{
    struct json_object *list = json_object_new_array();

    for (guint i = 0; i < members->len; i++) {
        const QmpMember *m = &g_array_index(members, QmpMember, i);
        struct json_object *o = json_object_new_object();
        if (key != NULL) {
            json_add_string(o, key, m->name);
        }
        if (m->optional) {
            json_add(o, "default", NULL);
        }
        json_add_string(o, "type", m->type->name);
        json_object_array_add(list, o);
    }
    return list;
}

static struct json_object *enum_info(const QmpType *t)
{
    struct json_object *o = named(t->name, "enum"), *values = json_object_new_array();
    struct json_object *members = json_object_new_array();

    for (char **v = t->values; *v != NULL; v++) {
        struct json_object *m = json_object_new_object();
        json_add_string(m, "name", *v);
        json_object_array_add(members, m);
        json_object_array_add(values, json_object_new_string(*v));
    }
    json_add(o, "members", members);
    json_add(o, "values", values);
    return o;
}

static struct json_object *type_info(const QmpType *t)
{
    struct json_object *o;

    switch (t->kind) {
    case QMP_TYPE_BUILTIN:
        o = named(t->name, "builtin");
        json_add_string(o, "json-type", json_type_of_builtin(t->name));
        return o;
    case QMP_TYPE_ENUM:
        return enum_info(t);
    case QMP_TYPE_ARRAY:
        o = named(t->name, "array");
        json_add_string(o, "element-type", t->element->name);
        return o;
    case QMP_TYPE_ALTERNATE:
        o = named(t->name, "alternate");
        json_add(o, "members", member_list(t->members, NULL));
        return o;
    case QMP_TYPE_OBJECT:
        break;
    }
    o = named(t->name, "object");
    json_add(o, "members", member_list(t->members, "name"));
    if (t->tag != NULL) {
        json_add_string(o, "tag", t->tag);
        json_add(o, "variants", member_list(t->variants, "case"));
    }
    return o;
}

/* Types that commands and events lead to, each once, in the order of meeting. */
static void visit(const QmpType *t, GHashTable *seen, struct json_object *list)
{
    if (!g_hash_table_add(seen, (void *)t)) {
        return;
    }
    json_object_array_add(list, type_info(t));
    if (t->element != NULL) {
        visit(t->element, seen, list);
    }
    for (guint i = 0; t->members != NULL && i < t->members->len; i++) {
        visit(g_array_index(t->members, QmpMember, i).type, seen, list);
    }
    for (guint i = 0; t->variants != NULL && i < t->variants->len; i++) {
        visit(g_array_index(t->variants, QmpMember, i).type, seen, list);
    }
}

struct json_object *qmp_schema_introspect(const QmpSchema *s)
{
    struct json_object *list = json_object_new_array();
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

    for (guint i = 0; i < s->commands->len; i++) {
        const QmpCommand *c = &g_array_index(s->commands, QmpCommand, i);
        struct json_object *o = named(c->name, "command");
        json_add_string(o, "arg-type", c->args->name);
        json_add_string(o, "ret-type", c->ret->name);
        json_add_bool(o, "allow-oob", false);
        json_object_array_add(list, o);
    }
    for (guint i = 0; i < s->events->len; i++) {
        const QmpCommand *e = &g_array_index(s->events, QmpCommand, i);
        struct json_object *o = named(e->name, "event");
        json_add_string(o, "arg-type", e->args->name);
        json_object_array_add(list, o);
    }
    for (guint i = 0; i < s->commands->len; i++) {
        visit(g_array_index(s->commands, QmpCommand, i).args, seen, list);
        visit(g_array_index(s->commands, QmpCommand, i).ret, seen, list);
    }
    for (guint i = 0; i < s->events->len; i++) {
        visit(g_array_index(s->events, QmpCommand, i).args, seen, list);
    }
    return list;
}

static struct json_object *name_list(const GArray *rows)
{
    struct json_object *list = json_object_new_array();

    for (guint i = 0; i < rows->len; i++) {
        struct json_object *o = json_object_new_object();
        json_add_string(o, "name", g_array_index(rows, QmpCommand, i).name);
        json_object_array_add(list, o);
    }
    return list;
}

struct json_object *qmp_schema_command_list(const QmpSchema *s)
{
    return name_list(s->commands);
}

struct json_object *qmp_schema_event_list(const QmpSchema *s)
{
    return name_list(s->events);
}
