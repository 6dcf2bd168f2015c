/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -gdb, -s: where gdb connects. */
#include "monitor/config-internal.h"

#include "monitor/report.h"

#include <string.h>

char *config_gdb_line(const char *text)
{
    bool tcp = g_str_has_prefix(text, "tcp:"), is_unix = g_str_has_prefix(text, "unix:");

    return g_strconcat(text, (tcp || is_unix) && strstr(text, ",server") == NULL ? ",server=on" : "",
                       (tcp || is_unix) && strstr(text, ",wait") == NULL && strstr(text, ",nowait") == NULL ? ",wait=off" : "",
                       tcp && strstr(text, ",nodelay") == NULL ? ",nodelay=on" : "", NULL);
}

ConfigResult option_gdb(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autofree char *line = config_gdb_line(use->arg != NULL ? use->arg : "tcp::1234");

    if (c->gdbs->len > 0) {
        return config_result(fail(error, "gdb has a place already (%s)",
                                  ((LineConfig *)g_ptr_array_index(c->gdbs, 0))->option));
    }
    if (g_str_has_prefix(line, "mon:")) {
        return config_result(fail(error, "gdb does not share its line with the monitor"));
    }
    return config_result(config_add_line(c, c->gdbs, use->typed, GDB_CHARDEV, line, error));
}
