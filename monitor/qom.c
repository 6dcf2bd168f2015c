/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The types.  The tree is in qom-tree.c. */
#include "monitor/qom.h"

#include "monitor/config.h"
#include "monitor/opt-list.h"
#include "monitor/qmp-json.h"
#include "softmmu/base/bits.h"

#include <string.h>

static const struct {
    const char *name, *parent;
    bool abstract;
    const char *props;
} rows[] = {
#define QOM_TYPE(n, parent, abstract, props) {n, parent, abstract, props},
#include "monitor/qom-types.def"
#undef QOM_TYPE
};

static void type_free(gpointer p)
{
    QomType *t = p;

    g_free(t->name);
    g_free(t->parent);
    g_free(t->props);
    g_free(t);
}

/* Takes the name and properties. */
static void add(GPtrArray *types, char *name, const char *parent, bool abstract, char *props)
{
    QomType *t = g_new0(QomType, 1);

    *t = (QomType){name, g_strdup(parent), abstract, props};
    g_ptr_array_add(types, t);
}

/* Every feature that this program knows is a switch of every model. */
static char *cpu_properties(void)
{
    GString *s = g_string_new("type:string realized:bool hotplugged:bool hotpluggable:bool "
                              "apic-id:uint32 thread-id:int family:int model:int stepping:int "
                              "vendor:string unavailable-features:strList");

    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        g_string_append_printf(s, " %s:bool", cpu_feature_name((CpuFeature)i));
    }
    return g_string_free(s, FALSE);
}

char *qom_cpu_type(const char *model)
{
    g_autofree char *name = g_strndup(model, strcspn(model, ","));

    return g_strconcat(name, "-x86_64-cpu", NULL);
}

GPtrArray *qom_types(void)
{
    GPtrArray *types = g_ptr_array_new_with_free_func(type_free);
    const char *help;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        add(types, g_strdup(rows[i].name), rows[i].parent, rows[i].abstract,
            g_strdup(rows[i].props));
    }
    for (size_t i = 0; config_machine(i) != NULL; i++) {
        add(types, g_strconcat(config_machine(i)->name, "-machine", NULL), "machine", false,
            g_strdup(config_machine(i)->props));
    }
    for (size_t i = 0; config_engine(i) != NULL; i++) {
        if (config_engine(i)->engine != NULL) {
            add(types, g_strconcat(config_engine(i)->name, "-accel", NULL), "accel", false,
                g_strdup(""));
        }
    }
    for (unsigned i = 0; cpu_model_row(i, &help) != NULL; i++) {
        add(types, qom_cpu_type(cpu_model_row(i, &help)), "x86_64-cpu", false, cpu_properties());
    }
    return types;
}

const QomType *qom_find_type(GPtrArray *types, const char *name)
{
    for (guint i = 0; i < types->len; i++) {
        const QomType *t = g_ptr_array_index(types, i);
        if (strcmp(t->name, name) == 0) {
            return t;
        }
    }
    return NULL;
}

bool qom_is_a(GPtrArray *types, const QomType *t, const char *ancestor)
{
    while (t != NULL && strcmp(t->name, ancestor) != 0) {
        t = t->parent != NULL ? qom_find_type(types, t->parent) : NULL;
    }
    return t != NULL;
}

/* A default as the value of its type. */
static struct json_object *default_value(const char *type, const char *text)
{
    uint64_t n;
    bool flag;

    if (strcmp(type, "bool") == 0 && parse_flag(text, &flag)) {
        return json_object_new_boolean(flag);
    }
    if (strcmp(type, "str") != 0 && parse_number(text, &n)) {
        return json_object_new_uint64(n);
    }
    return json_object_new_string(text);
}

struct json_object *qom_type_properties(GPtrArray *types, const QomType *t)
{
    struct json_object *list = json_object_new_array();
    g_auto(GStrv) items = g_strsplit(t->props, " ", -1);

    for (char **i = items; *i != NULL; i++) {
        g_auto(GStrv) parts = g_strsplit_set(*i, ":=", 3);
        struct json_object *o;
        if (parts[0] == NULL || parts[1] == NULL) {
            continue;
        }
        o = json_object_new_object();
        if (parts[2] != NULL) {
            json_add(o, "default-value", default_value(parts[1], parts[2]));
        }
        json_add_string(o, "name", parts[0]);
        json_add_string(o, "type", parts[1]);
        json_object_array_add(list, o);
    }
    return list;
}
