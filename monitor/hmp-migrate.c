/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands about migration. */
#include "monitor/hmp-internal.h"
#include "monitor/migrate.h"
#include "monitor/qmp-migrate.h"

#include <string.h>

void hmp_migrate(HmpCall *c)
{
    g_autoptr(GError) error = NULL;
    bool detach = c->argc > 0 && strcmp(c->argv[0], "-d") == 0;
    g_autofree char *uri = NULL;

    if (c->argc != 1 + detach) {
        hmp_error(c, "migrate takes a URI: file:PATH, exec:COMMAND, unix:PATH, tcp:HOST:PORT, fd:NAME");
        return;
    }
    uri = qmp_migrate_uri(c->machine, c->argv[detach], &error);
    if (uri == NULL || !migrate_send(c->machine, uri, &error) || (!detach && !migrate_wait(c->machine, &error))) {
        hmp_error(c, "%s", error->message);
    }
}

void hmp_migrate_cancel(HmpCall *c)
{
    migrate_cancel(c->machine);
}

void hmp_migrate_incoming(HmpCall *c)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *uri = NULL;

    if (c->argc != 1) {
        hmp_error(c, "migrate_incoming takes a URI");
        return;
    }
    uri = qmp_migrate_uri(c->machine, c->argv[0], &error);
    if (uri == NULL || !migrate_receive(c->machine, uri, &error)) {
        hmp_error(c, "%s", error->message);
    }
}

void hmp_info_migrate(HmpCall *c)
{
    MigrateInfo i = migrate_info(c->machine);
    GString *out = c->out;

    if (i.status == MIGRATE_NONE) {
        return;
    }
    g_string_append_printf(out, "Migration status: %s", migrate_status_name(i.status));
    g_string_append_printf(out, i.error != NULL ? " (%s)\n" : "\n", i.error);
    g_string_append_printf(out, "total time: %" G_GINT64_FORMAT " ms\n", i.total_ms);
    if (i.incoming) {
        return;
    }
    g_string_append_printf(out, "downtime: %" G_GINT64_FORMAT " ms\nsetup: %" G_GINT64_FORMAT " ms\n"
                           "transferred ram: %" G_GUINT64_FORMAT " kbytes\nremaining ram: %" G_GUINT64_FORMAT " kbytes\n"
                           "total ram: %" G_GUINT64_FORMAT " kbytes\nduplicate: %" G_GUINT64_FORMAT " pages\n"
                           "normal: %" G_GUINT64_FORMAT " pages\ndirty sync count: %" G_GUINT64_FORMAT "\n",
                           i.downtime_ms, i.setup_ms, i.progress.sent >> 10, i.progress.left >> 10, i.progress.total >> 10,
                           i.progress.zero_pages, i.progress.pages, i.progress.rounds);
}
