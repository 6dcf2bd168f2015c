/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON as QMP speaks it: json-c holds the values; the text form here is QEMU's, to the blank, so that
 * scripts that compare text go on working.
 *
 * The json_add_*() functions add a member to an object and take what they are given (values) or copy
 * it (strings); keys are copied.  The json_get_*() functions look at arguments that qmp-schema.c has
 * checked: a missing optional member gives the default.
 */
#ifndef MONITOR_QMP_JSON_H
#define MONITOR_QMP_JSON_H

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* Append `v` to `out`; pretty: one member a line, indented by four blanks a level. */
void qmp_json_print(struct json_object *v, bool pretty, GString *out);

static inline void json_add(struct json_object *o, const char *key, struct json_object *v)
{
    json_object_object_add(o, key, v);
}

static inline void json_add_string(struct json_object *o, const char *key, const char *s)
{
    json_object_object_add(o, key, json_object_new_string(s));
}

static inline void json_add_bool(struct json_object *o, const char *key, bool v)
{
    json_object_object_add(o, key, json_object_new_boolean(v));
}

static inline void json_add_int(struct json_object *o, const char *key, int64_t v)
{
    json_object_object_add(o, key, json_object_new_int64(v));
}

static inline void json_add_uint(struct json_object *o, const char *key, uint64_t v)
{
    json_object_object_add(o, key, json_object_new_uint64(v));
}

static inline struct json_object *json_get(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;

    json_object_object_get_ex(o, key, &v);
    return v;
}

/* Borrowed; NULL when absent. */
static inline const char *json_get_string(struct json_object *o, const char *key)
{
    struct json_object *v = json_get(o, key);

    return v != NULL ? json_object_get_string(v) : NULL;
}

static inline bool json_get_bool(struct json_object *o, const char *key, bool absent)
{
    struct json_object *v = json_get(o, key);

    return v != NULL ? json_object_get_boolean(v) : absent;
}

static inline int64_t json_get_int(struct json_object *o, const char *key, int64_t absent)
{
    struct json_object *v = json_get(o, key);

    return v != NULL ? json_object_get_int64(v) : absent;
}

/* An address: 64 bits, also when written as a negative number. */
static inline uint64_t json_get_address(struct json_object *o, const char *key)
{
    struct json_object *v = json_get(o, key);
    int64_t n = json_object_get_int64(v);

    return n < 0 ? (uint64_t)n : json_object_get_uint64(v);
}

#endif /* MONITOR_QMP_JSON_H */
