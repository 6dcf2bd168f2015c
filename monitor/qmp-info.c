/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands that tell what was asked for on the command line. */
#include "monitor/config.h"
#include "monitor/qmp-internal.h"

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

struct json_object *qmp_query_kvm(QmpCall *c, GError **error)
{
    struct json_object *o = json_object_new_object();
    bool present = false;

    for (size_t i = 0; config_engine(i) != NULL; i++) {
        const ConfigEngine *e = config_engine(i);
        present |= strcmp(e->name, "kvm") == 0 && e->engine != NULL;
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
        json_add_bool(o, "available", e->engine != NULL);
        json_add_bool(o, "enabled", e->engine == c->machine->engine);
        json_object_array_add(list, o);
    }
    return list;
}
