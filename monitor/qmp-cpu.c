/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands about CPUs, CPU models and machine types. */
#include "cpu-x86/cpuid.h"
#include "monitor/config.h"
#include "monitor/qmp-internal.h"
#include "monitor/qom.h"
#include "monitor/run-loop.h"

#include <string.h>

/* -- The CPUs of this machine -------------------------------------------------------------------------- */

static struct json_object *topology(unsigned index)
{
    struct json_object *o = json_object_new_object();

    json_add_int(o, "core-id", index);
    json_add_int(o, "thread-id", 0);
    json_add_int(o, "socket-id", 0);
    return o;
}

struct json_object *qmp_query_cpus_fast(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array();

    for (unsigned i = 0; i < c->machine->n_cpus; i++) {
        struct json_object *o = json_object_new_object();
        g_autofree char *path = qom_cpu_path(i);
        json_add_int(o, "thread-id", run_loop_thread_id(c->machine, i));
        json_add(o, "props", topology(i));
        json_add_string(o, "qom-path", path);
        json_add_int(o, "cpu-index", i);
        json_add_string(o, "target", "x86_64");
        json_object_array_add(list, o);
    }
    return list;
}

struct json_object *qmp_query_hotpluggable_cpus(QmpCall *c, GError **error)
{
    struct json_object *list;

    if (c->machine->n_cpus == 0) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "machine does not support hot-plugging CPUs");
    }
    list = json_object_new_array();
    for (unsigned i = 0; i < c->machine->n_cpus; i++) {
        struct json_object *o = json_object_new_object();
        g_autofree char *path = qom_cpu_path(i);
        g_autofree char *type = qom_cpu_type(cpu_model_name(c->machine->cpu_model));
        json_add(o, "props", topology(i));
        json_add_int(o, "vcpus-count", 1);
        json_add_string(o, "qom-path", path);
        json_add_string(o, "type", type);
        json_object_array_add(list, o);
    }
    return list;
}

/* -- Models -------------------------------------------------------------------------------------------- */

struct json_object *qmp_query_cpu_definitions(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array();
    const char *help;

    for (unsigned i = 0; cpu_model_row(i, &help) != NULL; i++) {
        const char *name = cpu_model_row(i, &help);
        struct json_object *o = json_object_new_object(), *missing = json_object_new_array();
        g_autofree char *type = qom_cpu_type(name);
        bool is_host = strcmp(name, "max") == 0 || strcmp(name, "host") == 0;

        for (unsigned f = 0; f < FEAT_COUNT; f++) {
            if (!is_host && cpu_model_row_wants(i, (CpuFeature)f) &&
                !cpu_feature_available((CpuFeature)f)) {
                json_object_array_add(missing,
                                      json_object_new_string(cpu_feature_name((CpuFeature)f)));
            }
        }
        json_add_string(o, "name", name);
        json_add_string(o, "typename", type);
        json_add(o, "unavailable-features", missing);
        json_add_bool(o, "static", false);
        json_add_bool(o, "migration-safe", !is_host);
        json_add_bool(o, "deprecated", false);
        json_object_array_add(list, o);
    }
    return list;
}

/* {"name": "Haswell", "props": {"avx2": false}} as -cpu takes it. */
static char *model_spec(struct json_object *model, GError **error)
{
    GString *spec = g_string_new(json_get_string(model, "name"));
    struct json_object *props = json_get(model, "props");

    if (props != NULL && !json_object_is_type(props, json_type_object)) {
        g_string_free(spec, TRUE);
        qmp_fail(error, QMP_GENERIC_ERROR,
                 "Invalid parameter type for 'model.props', expected: object");
        return NULL;
    }
    if (props != NULL) {
        json_object_object_foreach(props, key, val) {
            const char *text = json_object_is_type(val, json_type_boolean)
                             ? (json_object_get_boolean(val) ? "on" : "off")
                             : json_object_get_string(val);
            g_string_append_printf(spec, ",%s=%s", key, text != NULL ? text : "");
        }
    }
    return g_string_free(spec, FALSE);
}

static bool known_model(const char *name)
{
    const char *help;

    for (unsigned i = 0; cpu_model_row(i, &help) != NULL; i++) {
        if (strcmp(cpu_model_row(i, &help), name) == 0) {
            return true;
        }
    }
    return false;
}

struct json_object *qmp_query_cpu_model_expansion(QmpCall *c, GError **error)
{
    struct json_object *in = json_get(c->args, "model"), *model, *props, *all;
    bool full = strcmp(json_get_string(c->args, "type"), "full") == 0;
    const char *name = json_get_string(in, "name");
    g_autofree char *spec = NULL;
    CpuModel *m;

    if (!known_model(name)) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "CPU model '%s' not found", name);
    }
    spec = model_spec(in, error);
    m = spec != NULL ? cpu_model_new(spec, 1, error) : NULL;
    if (m == NULL) {
        return NULL;
    }
    props = json_object_new_object();
    for (unsigned f = 0; f < FEAT_COUNT; f++) {
        bool has = cpu_model_has(m, (CpuFeature)f);
        if (has || full) {
            json_add_bool(props, cpu_feature_name((CpuFeature)f), has);
        }
    }
    cpu_model_free(m);
    model = json_object_new_object();
    json_add_string(model, "name", full ? name : "base");
    json_add(model, "props", props);
    all = json_object_new_object();
    json_add(all, "model", model);
    return all;
}

/* -- Machines ------------------------------------------------------------------------------------------ */

struct json_object *qmp_query_machines(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array();

    for (size_t i = 0; config_machine(i) != NULL; i++) {
        const ConfigMachine *row = config_machine(i);
        struct json_object *o = json_object_new_object();
        json_add_string(o, "name", row->name);
        if (row->alias != NULL) {
            json_add_string(o, "alias", row->alias);
        }
        if (row->kind == MACHINE_PC) {
            json_add_bool(o, "is-default", true);
        }
        json_add_int(o, "cpu-max", row->kind == MACHINE_NONE ? 1 : CONFIG_MAX_CPUS);
        json_add_bool(o, "hotpluggable-cpus", false);
        json_add_bool(o, "numa-mem-supported", false);
        json_add_bool(o, "deprecated", false);
        if (row->kind != MACHINE_NONE) {
            json_add_string(o, "default-cpu-type", "max-x86_64-cpu");
            json_add_string(o, "default-ram-id", row->ram_id);
        }
        json_object_array_add(list, o);
    }
    return list;
}

struct json_object *qmp_query_memory_size_summary(QmpCall *c, GError **error)
{
    struct json_object *o = json_object_new_object();

    json_add_uint(o, "base-memory", c->machine->config->ram_size);
    json_add_uint(o, "plugged-memory", 0);
    return o;
}
