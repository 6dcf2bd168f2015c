/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/qmp-objects.h"

#include "monitor/config.h"
#include "monitor/qmp-internal.h"
#include "monitor/qom.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_FILENAME "/dev/urandom"

void qmp_object_free(QmpObject *o)
{
    g_free(o->id);
    g_free(o->filename);
    g_free(o);
}

static const DeviceConfig *find_configured(const Machine *m, const char *id)
{
    for (guint i = 0; i < m->config->objects->len; i++) {
        const DeviceConfig *o = g_ptr_array_index(m->config->objects, i);
        if (strcmp(o->id, id) == 0) {
            return o;
        }
    }
    return NULL;
}

static QmpObject *find_added(const Machine *m, const char *id)
{
    GPtrArray *added = qmp_added_objects(m->qmp);

    for (guint i = 0; i < added->len; i++) {
        QmpObject *o = g_ptr_array_index(added, i);
        if (strcmp(o->id, id) == 0) {
            return o;
        }
    }
    return NULL;
}

const char *qmp_object_filename(Machine *m, const char *id)
{
    const DeviceConfig *c = find_configured(m, id);
    const QmpObject *o = find_added(m, id);

    if (c != NULL) {
        const char *file = opt_take(c->props, "filename");
        return file != NULL ? file : DEFAULT_FILENAME;
    }
    return o != NULL ? o->filename : NULL;
}

static void add_child(struct json_object *list, const char *id)
{
    struct json_object *p = json_object_new_object();

    json_add_string(p, "name", id);
    json_add_string(p, "type", "child<rng-random>");
    json_object_array_add(list, p);
}

void qmp_objects_list(Machine *m, struct json_object *list)
{
    GPtrArray *added = qmp_added_objects(m->qmp);

    for (guint i = 0; i < m->config->objects->len; i++) {
        add_child(list, ((DeviceConfig *)g_ptr_array_index(m->config->objects, i))->id);
    }
    for (guint i = 0; i < added->len; i++) {
        add_child(list, ((QmpObject *)g_ptr_array_index(added, i))->id);
    }
}

struct json_object *qmp_object_add(QmpCall *c, GError **error)
{
    const char *id = json_get_string(c->args, "id");
    const char *file = json_get_string(c->args, "filename");
    QmpObject *o;
    int fd;

    if (!g_ascii_isalpha(id[0]) || strspn(id, "abcdefghijklmnopqrstuvwxyz"
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") != strlen(id)) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "Parameter 'id' expects an identifier");
    }
    if (qmp_object_filename(c->machine, id) != NULL) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "attempt to add duplicate property '%s' to "
                        "object (type 'container')", id);
    }
    file = file != NULL ? file : DEFAULT_FILENAME;
    fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "Could not open '%s': %s", file,
                        g_strerror(errno));
    }
    close(fd);
    o = g_new0(QmpObject, 1);
    o->id = g_strdup(id);
    o->filename = g_strdup(file);
    g_ptr_array_add(qmp_added_objects(c->machine->qmp), o);
    return NULL;
}

struct json_object *qmp_object_del(QmpCall *c, GError **error)
{
    const char *id = json_get_string(c->args, "id");
    QmpObject *o = find_added(c->machine, id);

    if (o != NULL) {
        g_ptr_array_remove(qmp_added_objects(c->machine->qmp), o);
        return NULL;
    }
    if (find_configured(c->machine, id) != NULL) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "object '%s' is in use, can not be deleted", id);
    }
    return qmp_fail(error, QMP_GENERIC_ERROR, "object '%s' not found", id);
}

/* -- Types and the tree -------------------------------------------------------------------------------- */

static struct json_object *type_info(const QomType *t)
{
    struct json_object *o = json_object_new_object();

    json_add_string(o, "name", t->name);
    if (t->abstract) {
        json_add_bool(o, "abstract", true);
    }
    if (t->parent != NULL) {
        json_add_string(o, "parent", t->parent);
    }
    return o;
}

struct json_object *qmp_qom_list_types(QmpCall *c, GError **error)
{
    const char *implements = json_get_string(c->args, "implements");
    bool abstract = json_get_bool(c->args, "abstract", false);
    g_autoptr(GPtrArray) types = qom_types();
    struct json_object *list = json_object_new_array();

    for (guint i = 0; i < types->len; i++) {
        const QomType *t = g_ptr_array_index(types, i);
        if ((abstract || !t->abstract) &&
            (implements == NULL || qom_is_a(types, t, implements))) {
            json_object_array_add(list, type_info(t));
        }
    }
    return list;
}

struct json_object *qmp_device_list_properties(QmpCall *c, GError **error)
{
    const char *name = json_get_string(c->args, "typename");
    g_autoptr(GPtrArray) types = qom_types();
    const QomType *t = qom_find_type(types, name);

    if (t == NULL) {
        return qmp_fail(error, QMP_DEVICE_NOT_FOUND, "Device '%s' not found", name);
    }
    if (t->abstract || !qom_is_a(types, t, "device")) {
        return qmp_fail(error, QMP_GENERIC_ERROR,
                        "Parameter 'typename' expects a non-abstract device type");
    }
    return qom_type_properties(types, t);
}

struct json_object *qmp_qom_list_properties(QmpCall *c, GError **error)
{
    const char *name = json_get_string(c->args, "typename");
    g_autoptr(GPtrArray) types = qom_types();
    const QomType *t = qom_find_type(types, name);

    if (t == NULL) {
        return qmp_fail(error, QMP_DEVICE_NOT_FOUND, "Class '%s' not found", name);
    }
    return qom_type_properties(types, t);
}

struct json_object *qmp_qom_list(QmpCall *c, GError **error)
{
    return qom_list(c->machine, json_get_string(c->args, "path"), error);
}

struct json_object *qmp_qom_get(QmpCall *c, GError **error)
{
    struct json_object *value = NULL;

    qom_get(c->machine, json_get_string(c->args, "path"), json_get_string(c->args, "property"),
            &value, error);
    return value;
}
