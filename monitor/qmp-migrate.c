/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands about migration. */
#include "monitor/qmp-migrate.h"

#include "monitor/migrate-state.h"
#include "monitor/migrate.h"
#include "monitor/qmp-fds.h"
#include "monitor/qmp-internal.h"

#include <string.h>

char *qmp_migrate_uri(Machine *m, const char *uri, GError **error)
{
    const char *name = g_str_has_prefix(uri, "fd:") ? uri + strlen("fd:") : NULL;
    int fd;

    if (name == NULL || g_ascii_isdigit(name[0]) || m->qmp == NULL) {
        return g_strdup(uri);
    }
    fd = qmp_fds_take(m->qmp, name, error);
    return fd >= 0 ? g_strdup_printf("fd:%d", fd) : NULL;
}

struct json_object *qmp_migrate(QmpCall *c, GError **error)
{
    g_autofree char *uri = qmp_migrate_uri(c->machine, json_get_string(c->args, "uri"), error);
    g_autoptr(GError) why = NULL;

    if (uri != NULL && !migrate_send(c->machine, uri, &why)) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "%s", why->message);
    }
    return NULL;
}

struct json_object *qmp_migrate_cancel(QmpCall *c, GError **error)
{
    migrate_cancel(c->machine);
    return NULL;
}

struct json_object *qmp_migrate_incoming(QmpCall *c, GError **error)
{
    g_autofree char *uri = qmp_migrate_uri(c->machine, json_get_string(c->args, "uri"), error);
    g_autoptr(GError) why = NULL;

    if (uri != NULL && !migrate_receive(c->machine, uri, &why)) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "%s", why->message);
    }
    return NULL;
}

static struct json_object *memory_stats(const MigrateProgress *p)
{
    struct json_object *o = json_object_new_object();

    json_add_uint(o, "transferred", p->sent);
    json_add_uint(o, "remaining", p->left);
    json_add_uint(o, "total", p->total);
    json_add_uint(o, "duplicate", p->zero_pages);
    json_add_uint(o, "normal", p->pages);
    json_add_uint(o, "normal-bytes", p->pages * GUEST_PAGE_SIZE);
    json_add_uint(o, "dirty-sync-count", p->rounds);
    json_add_uint(o, "page-size", GUEST_PAGE_SIZE);
    return o;
}

struct json_object *qmp_query_migrate(QmpCall *c, GError **error)
{
    MigrateInfo i = migrate_info(c->machine);
    struct json_object *o = json_object_new_object();
    g_autoptr(GError) blocked = NULL;

    if (i.status != MIGRATE_NONE) {
        json_add_string(o, "status", migrate_status_name(i.status));
    }
    if (i.status != MIGRATE_NONE && !i.incoming) {
        json_add_int(o, "total-time", i.total_ms);
        json_add_int(o, "downtime", i.downtime_ms);
        json_add_int(o, "setup-time", i.setup_ms);
        json_add(o, "ram", memory_stats(&i.progress));
    }
    if (i.error != NULL) {
        json_add_string(o, "error-desc", i.error);
    }
    if (!migrate_check_blockers(c->machine, &blocked)) {
        struct json_object *list = json_object_new_array();
        json_object_array_add(list, json_object_new_string(blocked->message));
        json_add(o, "blocked-reasons", list);
    }
    return o;
}

/* -- Abilities ---------------------------------------------------------------------------------------- */

struct json_object *qmp_query_migrate_capabilities(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array(), *o = json_object_new_object();

    json_add_string(o, "capability", "events");
    json_add_bool(o, "state", c->machine->migrate_events);
    json_object_array_add(list, o);
    return list;
}

struct json_object *qmp_migrate_set_capabilities(QmpCall *c, GError **error)
{
    struct json_object *list = json_get(c->args, "capabilities");

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        c->machine->migrate_events = json_get_bool(json_object_array_get_idx(list, i), "state", false);
    }
    return NULL;
}
