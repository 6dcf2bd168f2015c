/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands that tell what was asked for on the command line. */
#include "monitor/config.h"
#include "monitor/iothread.h"
#include "monitor/qmp-internal.h"
#include "softmmu/base/log.h"

#include <string.h>

struct json_object *qmp_query_name(QmpCall *c, GError **error)
{
    struct json_object *o = json_object_new_object();

    if (c->machine->config->name != NULL) {
        json_add_string(o, "name", c->machine->config->name);
    }
    return o;
}

struct json_object *qmp_query_uuid(QmpCall *c, GError **error)
{
    const char *uuid = c->machine->config->uuid;
    struct json_object *o = json_object_new_object();

    json_add_string(o, "UUID", uuid != NULL ? uuid : "00000000-0000-0000-0000-000000000000");
    return o;
}

struct json_object *qmp_query_target(QmpCall *c, GError **error)
{
    struct json_object *o = json_object_new_object();

    json_add_string(o, "arch", "x86_64");
    return o;
}

/* -- Engines ---------------------------------------------------------------------------------------- */

/* Can this host run it? */
static bool runs(const EngineClass *engine)
{
    return engine != NULL && (engine->missing == NULL || engine->missing() == NULL);
}

static bool runs_well(const EngineClass *engine)
{
    return runs(engine) && (engine->drawback == NULL || engine->drawback() == NULL);
}

struct json_object *qmp_query_kvm(QmpCall *c, GError **error)
{
    struct json_object *o = json_object_new_object();
    bool present = false;

    for (size_t i = 0; config_engine(i) != NULL; i++) {
        const ConfigEngine *e = config_engine(i);
        present |= strcmp(e->name, "kvm") == 0 && runs_well(e->engine);
    }
    json_add_bool(o, "enabled", strcmp(c->machine->engine->name, "kvm") == 0);
    json_add_bool(o, "present", present);
    return o;
}

struct json_object *qmp_query_accel(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; config_engine(i) != NULL; i++) {
        const ConfigEngine *e = config_engine(i);
        struct json_object *o = json_object_new_object();
        json_add_string(o, "name", e->name);
        json_add_string(o, "help", e->help);
        json_add_bool(o, "available", runs(e->engine));
        json_add_bool(o, "enabled", e->engine == c->machine->engine);
        json_object_array_add(list, o);
    }
    return list;
}

/* -- Options ---------------------------------------------------------------------------------------- */

/* Names of QEMU's lists of parameters, where they are not the option's. */
static const char *list_name(const char *option)
{
    static const char *const other[][2] = {
        {"m", "memory"}, {"smp", "smp-opts"}, {"boot", "boot-opts"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(other); i++) {
        if (strcmp(other[i][0], option) == 0) {
            return other[i][1];
        }
    }
    return option;
}

static const char *parameter_type(const char *value)
{
    value += *value == ']';
    return g_str_has_prefix(value, "on|off") ? "boolean"
         : g_str_has_prefix(value, "SIZE")   ? "size"
         : g_ascii_isupper(*value) && !g_ascii_isalpha(value[1]) ? "number"
         : g_str_has_prefix(value, "MS")     ? "number"
                                             : "string";
}

/* Each "key=" in "[file=FILE][,if=virtio|ide]". */
static struct json_object *parameters(const char *form)
{
    struct json_object *list = json_object_new_array();

    for (const char *eq = form; (eq = strchr(eq, '=')) != NULL; eq++) {
        const char *begin = eq;
        g_autofree char *name = NULL;
        while (begin > form && (g_ascii_islower(begin[-1]) || g_ascii_isdigit(begin[-1]) ||
                                begin[-1] == '-' || begin[-1] == '_' || begin[-1] == '.')) {
            begin--;
        }
        if (begin < eq) {
            struct json_object *o = json_object_new_object();
            name = g_strndup(begin, (size_t)(eq - begin));
            json_add_string(o, "name", name);
            json_add_string(o, "type", parameter_type(eq + 1));
            json_object_array_add(list, o);
        }
    }
    return list;
}

struct json_object *qmp_query_command_line_options(QmpCall *c, GError **error)
{
    const char *wanted = json_get_string(c->args, "option"), *name, *form;
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; config_option(i, &name, &form); i++) {
        struct json_object *o;
        if (form == NULL || strchr(form, '=') == NULL || strcmp(name, "M") == 0 ||
            (wanted != NULL && strcmp(list_name(name), wanted) != 0)) {
            continue;
        }
        o = json_object_new_object();
        json_add_string(o, "option", list_name(name));
        json_add(o, "parameters", parameters(form));
        json_object_array_add(list, o);
    }
    if (wanted != NULL && json_object_array_length(list) == 0) {
        json_object_put(list);
        return qmp_fail(error, QMP_GENERIC_ERROR, "invalid option name: %s", wanted);
    }
    return list;
}

/* -- Trace events ------------------------------------------------------------------------------------- */

static bool is_pattern(const char *name)
{
    return strchr(name, '*') != NULL || strchr(name, '?') != NULL;
}

struct json_object *qmp_trace_event_get_state(QmpCall *c, GError **error)
{
    const char *name = json_get_string(c->args, "name");
    struct json_object *list = json_object_new_array();

    for (int i = 0; i < TRACE_COUNT; i++) {
        if (g_pattern_match_simple(name, trace_names[i])) {
            struct json_object *o = json_object_new_object();
            json_add_string(o, "name", trace_names[i]);
            json_add_string(o, "state", trace_on[i] ? "enabled" : "disabled");
            json_object_array_add(list, o);
        }
    }
    if (json_object_array_length(list) == 0 && !is_pattern(name)) {
        json_object_put(list);
        return qmp_fail(error, QMP_GENERIC_ERROR, "unknown event \"%s\"", name);
    }
    return list;
}

struct json_object *qmp_trace_event_set_state(QmpCall *c, GError **error)
{
    const char *name = json_get_string(c->args, "name");

    if (trace_enable(name, json_get_bool(c->args, "enable", false)) == 0 && !is_pattern(name) &&
        !json_get_bool(c->args, "ignore-unavailable", false)) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "unknown event \"%s\"", name);
    }
    return NULL;
}

/* -- Threads ------------------------------------------------------------------------------------------- */

struct json_object *qmp_query_iothreads(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array();

    for (guint i = 0; i < c->machine->iothreads->len; i++) {
        const IoThread *t = g_ptr_array_index(c->machine->iothreads, i);
        struct json_object *o = json_object_new_object();
        json_add_string(o, "id", iothread_id(t));
        json_add_int(o, "thread-id", iothread_thread_id(t));
        json_object_array_add(list, o);
    }
    return list;
}

struct json_object *qmp_query_current_machine(QmpCall *c, GError **error)
{
    struct json_object *o = json_object_new_object();

    json_add_bool(o, "wakeup-suspend-support", false);
    return o;
}

/* -- What is not built yet: lists without members ------------------------------------------------------ */

#define EMPTY_LIST(name)                                                                           \
    struct json_object *qmp_##name(QmpCall *c, GError **error)                                     \
    {                                                                                              \
        return json_object_new_array();                                                            \
    }

EMPTY_LIST(query_block_jobs)
EMPTY_LIST(query_jobs)
EMPTY_LIST(query_memory_devices)
EMPTY_LIST(query_tpm_models)
EMPTY_LIST(query_tpm_types)
