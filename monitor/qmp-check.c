/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Values against the types of qmp-schema.h.  The texts are QEMU's: scripts and people know them. */
#include "monitor/qmp-schema.h"

#include "monitor/qmp-internal.h"
#include "monitor/report.h"

#include <string.h>

static bool check(const QmpType *t, struct json_object *v, const char *path, GError **error);

static bool wrong_type(const char *path, const char *expected, GError **error)
{
    return fail(error, "Invalid parameter type for '%s', expected: %s", path, expected);
}

static char *member_path(const char *path, const char *name)
{
    return *path != '\0' ? g_strconcat(path, ".", name, NULL) : g_strdup(name);
}

/* -- Scalars ------------------------------------------------------------------------------------------ */

static bool check_string(struct json_object *v, const char *path, GError **error)
{
    if (!json_object_is_type(v, json_type_string)) {
        return wrong_type(path, "string", error);
    }
    if (strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v)) {
        return fail(error, "Parameter '%s' contains a NUL character", path);
    }
    return true;
}

static bool check_builtin(const QmpType *t, struct json_object *v, const char *path,
                          GError **error)
{
    enum json_type is = json_object_get_type(v);

    switch (t->name[0]) {
    case 's':
        return check_string(v, path, error);
    case 'i':
        return is == json_type_int || wrong_type(path, "integer", error);
    case 'b':
        return is == json_type_boolean || wrong_type(path, "boolean", error);
    case 'a':
        return true;
    default:
        if (strcmp(t->name, "null") == 0) {
            return is == json_type_null || wrong_type(path, "null", error);
        }
        return is == json_type_int || is == json_type_double || wrong_type(path, "number", error);
    }
}

static bool check_enum(const QmpType *t, struct json_object *v, const char *path, GError **error)
{
    if (!check_string(v, path, error)) {
        return false;
    }
    return g_strv_contains((const char *const *)t->values, json_object_get_string(v)) ||
           fail(error, "Parameter '%s' does not accept value '%s'", path,
                json_object_get_string(v));
}

/* -- Objects ------------------------------------------------------------------------------------------ */

static const QmpMember *find_member(const GArray *members, const char *name)
{
    for (guint i = 0; members != NULL && i < members->len; i++) {
        const QmpMember *m = &g_array_index(members, QmpMember, i);
        if (strcmp(m->name, name) == 0) {
            return m;
        }
    }
    return NULL;
}

static bool check_members(const GArray *members, struct json_object *v, const char *path,
                          GError **error)
{
    for (guint i = 0; i < members->len; i++) {
        const QmpMember *m = &g_array_index(members, QmpMember, i);
        g_autofree char *p = member_path(path, m->name);
        struct json_object *val;

        if (!json_object_object_get_ex(v, m->name, &val)) {
            if (!m->optional) {
                return fail(error, "Parameter '%s' is missing", p);
            }
        } else if (!check(m->type, val, p, error)) {
            return false;
        }
    }
    return true;
}

static bool check_object(const QmpType *t, struct json_object *v, const char *path, GError **error)
{
    const QmpMember *chosen = NULL;

    if (v != NULL && !json_object_is_type(v, json_type_object)) {
        return wrong_type(path, "object", error);
    }
    if (!check_members(t->members, v, path, error)) {
        return false;
    }
    if (t->tag != NULL && json_get(v, t->tag) != NULL) {
        chosen = find_member(t->variants, json_get_string(v, t->tag));
    }
    if (chosen != NULL && !check_members(chosen->type->members, v, path, error)) {
        return false;
    }
    if (v == NULL) {
        return true;
    }
    json_object_object_foreach(v, key, val) {
        if (find_member(t->members, key) == NULL &&
            (chosen == NULL || find_member(chosen->type->members, key) == NULL)) {
            g_autofree char *p = member_path(path, key);
            (void)val;
            return fail(error, "Parameter '%s' is unexpected", p);
        }
    }
    return true;
}

static bool check_array(const QmpType *t, struct json_object *v, const char *path, GError **error)
{
    if (!json_object_is_type(v, json_type_array)) {
        return wrong_type(path, "array", error);
    }
    for (size_t i = 0; i < json_object_array_length(v); i++) {
        g_autofree char *p = g_strdup_printf("%s[%zu]", path, i);
        if (!check(t->element, json_object_array_get_idx(v, i), p, error)) {
            return false;
        }
    }
    return true;
}

static bool check_alternate(const QmpType *t, struct json_object *v, const char *path,
                            GError **error)
{
    g_autoptr(GError) first = NULL;

    for (guint i = 0; i < t->members->len; i++) {
        if (check(g_array_index(t->members, QmpMember, i).type, v, path,
                  first == NULL ? &first : NULL)) {
            return true;
        }
    }
    g_propagate_error(error, g_steal_pointer(&first));
    return false;
}

static bool check(const QmpType *t, struct json_object *v, const char *path, GError **error)
{
    switch (t->kind) {
    case QMP_TYPE_BUILTIN:
        return check_builtin(t, v, path, error);
    case QMP_TYPE_ENUM:
        return check_enum(t, v, path, error);
    case QMP_TYPE_ARRAY:
        return check_array(t, v, path, error);
    case QMP_TYPE_OBJECT:
        return check_object(t, v, path, error);
    case QMP_TYPE_ALTERNATE:
        return check_alternate(t, v, path, error);
    }
    g_assert_not_reached();
}

bool qmp_type_check(const QmpType *t, struct json_object *v, GError **error)
{
    return check(t, v, "", error);
}
