/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine as QMP's qom-* commands see it: a table of types with their properties, and a tree of
 * objects.  Nothing is stored here: types come from qom-types.def and the tables of models, engines
 * and machines; objects are looked up in the Machine each time.
 *
 *   /machine                           /machine/peripheral/ID          devices that have an id
 *   /machine/unattached/device[N]      the CPUs, then the devices that have none
 *   /machine/peripheral-anon           (always empty)
 *   /objects/ID, /chardevs/ID
 */
#ifndef MONITOR_QOM_H
#define MONITOR_QOM_H

#include "monitor/machine.h"

struct json_object;

typedef struct {
    char *name, *parent;       /* parent NULL: the root type                    */
    bool abstract;
    char *props;               /* "name:type name:type=default"                 */
} QomType;

/* All types, QomType*; free with g_ptr_array_unref(). */
GPtrArray *qom_types(void);
/* NULL when there is none of that name. */
const QomType *qom_find_type(GPtrArray *types, const char *name);
bool qom_is_a(GPtrArray *types, const QomType *t, const char *ancestor);

/* ObjectPropertyInfo list: of a type; all=false: only what a user may set. */
struct json_object *qom_type_properties(GPtrArray *types, const QomType *t);

/* The type of a CPU of this model: "max-x86_64-cpu"; caller frees. */
char *qom_cpu_type(const char *model);
/* "/machine/unattached/device[N]" of a CPU or a device; caller frees. */
char *qom_cpu_path(unsigned index);
char *qom_device_path(const Machine *m, const Device *d);

/* qom-list and qom-get: NULL with `error` (of class DeviceNotFound when the path leads nowhere). */
struct json_object *qom_list(Machine *m, const char *path, GError **error);
/* True with *value set (which may be NULL: null). */
bool qom_get(Machine *m, const char *path, const char *property, struct json_object **value,
             GError **error);

#endif /* MONITOR_QOM_H */
