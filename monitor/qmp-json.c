/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/qmp-json.h"

static void print(struct json_object *v, bool pretty, int depth, GString *out);

/* What stands between two members, or before the first and after the last. */
static void separate(bool comma, bool pretty, int depth, GString *out)
{
    if (comma) {
        g_string_append(out, pretty ? "," : ", ");
    }
    if (pretty) {
        g_string_append_printf(out, "\n%*s", depth * 4, "");
    }
}

static void print_string(const char *s, int len, GString *out)
{
    struct json_object *v = json_object_new_string_len(s, len);

    g_string_append(out, json_object_to_json_string_ext(v, JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(v);
}

static void print_object(struct json_object *v, bool pretty, int depth, GString *out)
{
    bool first = true;

    g_string_append_c(out, '{');
    json_object_object_foreach(v, key, val) {
        separate(!first, pretty, depth + 1, out);
        print_string(key, (int)strlen(key), out);
        g_string_append(out, ": ");
        print(val, pretty, depth + 1, out);
        first = false;
    }
    if (!first) {
        separate(false, pretty, depth, out);
    }
    g_string_append_c(out, '}');
}

static void print_array(struct json_object *v, bool pretty, int depth, GString *out)
{
    size_t n = json_object_array_length(v);

    g_string_append_c(out, '[');
    for (size_t i = 0; i < n; i++) {
        separate(i > 0, pretty, depth + 1, out);
        print(json_object_array_get_idx(v, i), pretty, depth + 1, out);
    }
    if (n > 0) {
        separate(false, pretty, depth, out);
    }
    g_string_append_c(out, ']');
}

static void print(struct json_object *v, bool pretty, int depth, GString *out)
{
    switch (json_object_get_type(v)) {
    case json_type_object:
        print_object(v, pretty, depth, out);
        break;
    case json_type_array:
        print_array(v, pretty, depth, out);
        break;
    case json_type_null:
        g_string_append(out, "null");
        break;
    default:
        g_string_append(out, json_object_to_json_string_ext(v, JSON_C_TO_STRING_NOSLASHESCAPE));
        break;
    }
}

void qmp_json_print(struct json_object *v, bool pretty, GString *out)
{
    print(v, pretty, 0, out);
}
