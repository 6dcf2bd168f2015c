/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/opt-list.h"

#include "monitor/report.h"

#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *key, *value;
    bool bare;                 /* no "=": value is "on" */
    bool taken;
} Pair;

struct OptList {
    GArray *pairs;             /* Pair  */
    GPtrArray *asked;          /* char* */
    bool help;                 /* an item asks for the keys */
};

/* -- Parsing -------------------------------------------------------------------------------------- */

/* The next item, with ",," undone; *text moves behind its comma, NULL at the end. */
static char *next_item(const char **text)
{
    GString *s = g_string_new(NULL);
    const char *p = *text;

    for (; *p != '\0'; p++) {
        if (*p == ',') {
            if (p[1] != ',') {
                break;
            }
            p++;
        }
        g_string_append_c(s, *p);
    }
    *text = *p == ',' ? p + 1 : NULL;
    return g_string_free(s, FALSE);
}

static OptList *new_list(void)
{
    OptList *l = g_new0(OptList, 1);

    l->pairs = g_array_new(FALSE, TRUE, sizeof(Pair));
    l->asked = g_ptr_array_new_with_free_func(g_free);
    return l;
}

OptList *opt_list_parse(const char *text, const char *implied)
{
    OptList *l = new_list();

    for (bool first = true; text != NULL; first = false) {
        g_autofree char *item = next_item(&text);
        char *eq = strchr(item, '=');
        Pair p = {0};

        if (wants_help(item)) {
            l->help = true;
            if (!first || implied == NULL) {
                continue;
            }
        }
        if (eq != NULL) {
            p.key = g_strndup(item, (size_t)(eq - item));
            p.value = g_strdup(eq + 1);
        } else if (first && implied != NULL) {
            p.key = g_strdup(implied);
            p.value = g_strdup(item);
        } else if (*item != '\0') {
            p.key = g_strdup(item);
            p.value = g_strdup("on");
            p.bare = true;
        } else {
            continue;
        }
        g_array_append_val(l->pairs, p);
    }
    return l;
}

/* A value of a JSON object, under its name. */
static bool add_json(OptList *l, const char *key, struct json_object *v, GError **error)
{
    bool ok = true;

    if (json_object_is_type(v, json_type_object)) {
        json_object_object_foreach(v, name, member) {
            g_autofree char *full = *key != '\0' ? g_strconcat(key, ".", name, NULL) : g_strdup(name);
            ok = ok && add_json(l, full, member, error);
        }
    } else if (json_object_is_type(v, json_type_array)) {
        for (size_t i = 0; ok && i < json_object_array_length(v); i++) {
            g_autofree char *full = g_strdup_printf("%s.%zu", key, i);
            ok = add_json(l, full, json_object_array_get_idx(v, i), error);
        }
    } else if (v == NULL) {
        return fail(error, "'%s' is null", key);
    } else {
        Pair p = {.key = g_strdup(key)};
        p.value = g_strdup(!json_object_is_type(v, json_type_boolean) ? json_object_get_string(v)
                           : json_object_get_boolean(v) ? "on" : "off");
        g_array_append_val(l->pairs, p);
    }
    return ok;
}

OptList *opt_list_parse_either(const char *text, const char *implied, GError **error)
{
    struct json_tokener *tok;
    struct json_object *o;
    enum json_tokener_error bad;
    size_t end;
    OptList *l;

    if (*text != '{') {
        return opt_list_parse(text, implied);
    }
    tok = json_tokener_new();
    o = json_tokener_parse_ex(tok, text, (int)MIN(strlen(text) + 1, (size_t)INT_MAX));
    bad = json_tokener_get_error(tok);
    end = json_tokener_get_parse_end(tok);
    json_tokener_free(tok);
    if (bad != json_tokener_success || text[end + strspn(text + end, " \t\n")] != '\0') {
        json_object_put(o);
        fail(error, "bad JSON at byte %zu: %s", end,
             bad != json_tokener_success ? json_tokener_error_desc(bad) : "it goes on behind the object");
        return NULL;
    }
    l = new_list();
    if (!add_json(l, "", o, error)) {
        g_clear_pointer(&l, opt_list_free);
    }
    json_object_put(o);
    return l;
}

bool opt_list_wants_help(const OptList *l)
{
    return l->help;
}

void opt_list_free(OptList *l)
{
    if (l == NULL) {
        return;
    }
    for (guint i = 0; i < l->pairs->len; i++) {
        Pair *p = &g_array_index(l->pairs, Pair, i);
        g_free(p->key);
        g_free(p->value);
    }
    g_array_free(l->pairs, TRUE);
    g_ptr_array_free(l->asked, TRUE);
    g_free(l);
}

/* -- Pieces ----------------------------------------------------------------------------------------- */

bool wants_help(const char *text)
{
    return strcmp(text, "help") == 0 || strcmp(text, "?") == 0;
}

bool parse_flag(const char *text, bool *out)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true", "n", "y"};

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i & 1;
            return true;
        }
    }
    return false;
}

bool parse_number(const char *text, uint64_t *out)
{
    char *end;

    if (!g_ascii_isdigit(*text)) {
        return false;
    }
    errno = 0;
    *out = g_ascii_strtoull(text, &end, 0);
    return *end == '\0' && errno == 0;
}

static uint64_t suffix_unit(char c)
{
    switch (g_ascii_toupper(c)) {
    case 'B': return 1;
    case 'K': return UINT64_C(1) << 10;
    case 'M': return UINT64_C(1) << 20;
    case 'G': return UINT64_C(1) << 30;
    case 'T': return UINT64_C(1) << 40;
    default: return 0;
    }
}

bool parse_size(const char *text, uint64_t unit, uint64_t *out)
{
    char *end;
    double v;

    if (!g_ascii_isdigit(*text)) {
        return false;
    }
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        return parse_number(text, out);
    }
    v = g_ascii_strtod(text, &end);
    if (*end != '\0') {
        unit = suffix_unit(*end);
        if (unit == 0 || end[1] != '\0') {
            return false;
        }
    }
    v *= (double)unit;
    if (!(v < 0x1p63)) {
        return false;
    }
    *out = (uint64_t)v;
    return true;
}

/* -- Taking ----------------------------------------------------------------------------------------- */

static Pair *take_pair(OptList *l, const char *key)
{
    Pair *found = NULL;

    if (!g_ptr_array_find_with_equal_func(l->asked, key, g_str_equal, NULL)) {
        g_ptr_array_add(l->asked, g_strdup(key));
    }
    for (guint i = 0; i < l->pairs->len; i++) {
        Pair *p = &g_array_index(l->pairs, Pair, i);
        if (strcmp(p->key, key) == 0) {
            p->taken = true;
            found = p;
        }
    }
    return found;
}

const char *opt_take(OptList *l, const char *key)
{
    Pair *p = take_pair(l, key);

    return p != NULL ? p->value : NULL;
}

const char *opt_peek(const OptList *l, const char *key)
{
    for (guint i = l->pairs->len; i > 0; i--) {
        const Pair *p = &g_array_index(l->pairs, Pair, i - 1);
        if (strcmp(p->key, key) == 0) {
            return p->value;
        }
    }
    return NULL;
}

void opt_take_string(OptList *l, const char *key, char **out)
{
    const char *v = opt_take(l, key);

    if (v != NULL) {
        g_free(*out);
        *out = g_strdup(v);
    }
}

bool opt_take_flag(OptList *l, const char *key, bool *out, GError **error)
{
    g_autofree char *negative = g_strconcat("no", key, NULL);
    const char *v = opt_take(l, key);

    for (guint i = 0; i < l->pairs->len; i++) {
        Pair *p = &g_array_index(l->pairs, Pair, i);
        if (p->bare && strcmp(p->key, negative) == 0) {
            p->taken = true;
            *out = false;
        }
    }
    if (v != NULL && wants_help(v)) {
        return l->help || answer_help(error, "%s is on or off", key);
    }
    if (v != NULL && !parse_flag(v, out)) {
        return fail(error, "%s is 'on' or 'off', not '%s'", key, v);
    }
    return true;
}

bool opt_take_number(OptList *l, const char *key, uint64_t min, uint64_t max, uint64_t *out,
                     GError **error)
{
    const char *v = opt_take(l, key);
    uint64_t n;

    if (v == NULL || (l->help && wants_help(v))) {
        return true;
    }
    if (!parse_number(v, &n) || n < min || n > max) {
        return fail(error, "%s is a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                    ", not '%s'", key, min, max, v);
    }
    *out = n;
    return true;
}

bool opt_take_size(OptList *l, const char *key, uint64_t unit, uint64_t *out, GError **error)
{
    const char *v = opt_take(l, key);

    if (v != NULL && !(l->help && wants_help(v)) && !parse_size(v, unit, out)) {
        return fail(error, "%s is a size such as 512M or 2G, not '%s'", key, v);
    }
    return true;
}

bool opt_take_choice(OptList *l, const char *key, const char *const *names, int *out,
                     GError **error)
{
    const char *v = opt_take(l, key);

    if (v == NULL) {
        return true;
    }
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(v, names[i]) == 0) {
            *out = i;
            return true;
        }
    }
    g_autofree char *all = g_strjoinv(", ", (char **)names);
    if (wants_help(v)) {
        return answer_help(error, "%s is one of %s", key, all);
    }
    return fail(error, "%s is one of %s, not '%s'", key, all, v);
}

bool opt_take_only(OptList *l, const char *key, const char *value, GError **error)
{
    const char *v = opt_take(l, key);
    bool is, wanted;

    if (v != NULL && strcmp(v, value) != 0 &&
        !(parse_flag(v, &is) && parse_flag(value, &wanted) && is == wanted)) {
        return fail(error, "%s=%s is not supported (only %s=%s)", key, v, key, value);
    }
    return true;
}

static bool list_keys(OptList *l, GError **error)
{
    g_autofree char *all = NULL;

    g_ptr_array_add(l->asked, NULL);
    all = g_strjoinv(", ", (char **)l->asked->pdata);
    return answer_help(error, "parameters: %s", all);
}

bool opt_list_finish(OptList *l, GError **error)
{
    if (l->help) {
        return list_keys(l, error);
    }
    for (guint i = 0; i < l->pairs->len; i++) {
        Pair *p = &g_array_index(l->pairs, Pair, i);
        if (p->taken) {
            continue;
        }
        const char *near = nearest_name(p->key, (const char *const *)l->asked->pdata,
                                        l->asked->len);
        return near != NULL
                   ? fail(error, "unknown parameter '%s'; did you mean '%s'?", p->key, near)
                   : fail(error, "unknown parameter '%s'", p->key);
    }
    return true;
}

OptList *opt_take_group(OptList *l, const char *prefix)
{
    OptList *group = NULL;

    for (guint i = 0; i < l->pairs->len; i++) {
        Pair *p = &g_array_index(l->pairs, Pair, i);
        if (!p->taken && g_str_has_prefix(p->key, prefix)) {
            Pair copy = {.key = g_strdup(p->key + strlen(prefix)), .value = g_strdup(p->value),
                         .bare = p->bare};
            group = group != NULL ? group : new_list();
            g_array_append_val(group->pairs, copy);
            p->taken = true;
        }
    }
    return group;
}

void opt_list_default(OptList *l, const char *key, const char *value)
{
    Pair p = {.key = g_strdup(key), .value = g_strdup(value)};

    for (guint i = 0; i < l->pairs->len; i++) {
        if (strcmp(g_array_index(l->pairs, Pair, i).key, key) == 0) {
            g_free(p.key);
            g_free(p.value);
            return;
        }
    }
    g_array_append_val(l->pairs, p);
}
