/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options that place monitors: -qmp, -qmp-pretty, -mon. */
#include "monitor/config-internal.h"
#include "monitor/report.h"

#include <string.h>

static ConfigResult add_qmp(MachineConfig *c, const OptUse *use, bool pretty, GError **error)
{
    g_autofree char *label = g_strdup_printf("compat_monitor%u",
                                             c->qmps->len + c->monitors->len);
    guint before = c->qmps->len;
    bool ok;

    if (g_str_has_prefix(use->arg, "mon:")) {
        return config_result(fail(error, "QMP has a line to itself: leave out 'mon:'"));
    }
    ok = config_add_line(c, c->qmps, use->typed, label, use->arg, error);
    if (c->qmps->len > before) {
        ((LineConfig *)g_ptr_array_index(c->qmps, before))->pretty = pretty;
    }
    return config_result(ok);
}

ConfigResult option_qmp(MachineConfig *c, const OptUse *use, GError **error)
{
    return add_qmp(c, use, false, error);
}

ConfigResult option_qmp_pretty(MachineConfig *c, const OptUse *use, GError **error)
{
    return add_qmp(c, use, true, error);
}

ConfigResult option_mon(MachineConfig *c, const OptUse *use, GError **error)
{
    static const char *const modes[] = {"readline", "control", NULL};
    g_autoptr(OptList) l = opt_list_parse(use->arg, "chardev");
    const char *chardev = opt_take(l, "chardev");
    bool pretty = false;
    int mode = 0;
    LineConfig *line;

    opt_take(l, "id");         /* nothing refers to a monitor */
    if (!opt_take_choice(l, "mode", modes, &mode, error) ||
        !opt_take_flag(l, "pretty", &pretty, error) || !opt_list_finish(l, error)) {
        return CONFIG_FAILED;
    }
    if (chardev == NULL || *chardev == '\0') {
        return config_result(fail(error, "chardev=ID is needed"));
    }
    if (pretty && mode == 0) {
        return config_result(fail(error, "pretty=on needs mode=control"));
    }
    line = g_new0(LineConfig, 1);
    line->option = g_strdup(use->typed);
    line->chardev = g_strdup(chardev);
    line->pretty = pretty;
    g_ptr_array_add(mode == 1 ? c->qmps : c->monitors, line);
    return CONFIG_OK;
}
