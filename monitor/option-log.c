/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -d, -D, -trace, --stress: what to show of the inside.  Checked here, switched on by main(). */
#include "monitor/config-internal.h"

#include "monitor/report.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool unknown_item(const char *name, GError **error)
{
    const char *names[LOG_COUNT], *near;

    for (int i = 0; i < LOG_COUNT; i++) {
        names[i] = log_item_info[i].name;
    }
    near = nearest_name(name, names, LOG_COUNT);
    return near != NULL ? fail(error, "no log item is called '%s'; did you mean '%s'?", name, near)
                        : fail(error, "no log item is called '%s'; '-d help' lists them", name);
}

ConfigResult option_log_items(MachineConfig *c, const OptUse *use, GError **error)
{
    if (wants_help(use->arg)) {
        printf("Log items (comma separated; all is every one):\n");
        for (int i = 0; i < LOG_COUNT; i++) {
            printf("%-14s %s\n", log_item_info[i].name, log_item_info[i].help);
        }
        printf("%-14s %s\n", "trace:PATTERN", "trace events, as -trace does");
        return CONFIG_DONE;
    }
    g_auto(GStrv) items = g_strsplit(use->arg, ",", -1);
    for (char **i = items; *i != NULL; i++) {
        if (g_str_has_prefix(*i, "trace:")) {
            g_ptr_array_add(c->traces, g_strdup(*i + strlen("trace:")));
        } else if (c->log_items == NULL) {
            c->log_items = g_strdup(*i);
        } else {
            char *both = g_strconcat(c->log_items, ",", *i, NULL);
            g_free(c->log_items);
            c->log_items = both;
        }
    }
    for (char **i = items; *i != NULL; i++) {
        bool known = strcmp(*i, "all") == 0 || g_str_has_prefix(*i, "trace:");
        for (int k = 0; k < LOG_COUNT; k++) {
            known = known || strcmp(*i, log_item_info[k].name) == 0;
        }
        if (!known) {
            return config_result(unknown_item(*i, error));
        }
    }
    return CONFIG_OK;
}

ConfigResult option_log_file(MachineConfig *c, const OptUse *use, GError **error)
{
    g_free(c->log_file);
    c->log_file = g_strdup(use->arg);
    return CONFIG_OK;
}

static bool take_pattern(MachineConfig *c, const char *pattern, GError **error)
{
    const char *near;

    for (int i = 0; i < TRACE_COUNT; i++) {
        if (g_pattern_match_simple(pattern, trace_names[i])) {
            g_ptr_array_add(c->traces, g_strdup(pattern));
            return true;
        }
    }
    near = nearest_name(pattern, trace_names, TRACE_COUNT);
    return near != NULL
               ? fail(error, "no trace event is called '%s'; did you mean '%s'?", pattern, near)
               : fail(error, "no trace event matches '%s'; '-trace help' lists them", pattern);
}

/* events=FILE: a pattern a line; # begins a comment. */
static bool take_events_file(MachineConfig *c, const char *path, GError **error)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    bool ok = true;

    if (path == NULL) {
        return true;
    }
    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return fail(error, "cannot read %s: %s", path, g_strerror(errno));
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **l = lines; ok && *l != NULL; l++) {
        const char *line = g_strstrip(*l);
        ok = *line == '\0' || *line == '#' || take_pattern(c, line, error);
    }
    return ok;
}

ConfigResult option_trace(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "enable");
    const char *pattern = opt_take(l, "enable");

    if (pattern != NULL && wants_help(pattern)) {
        for (int i = 0; i < TRACE_COUNT; i++) {
            printf("%s\n", trace_names[i]);
        }
        return CONFIG_DONE;
    }
    opt_take_string(l, "file", &c->log_file);
    if (!take_events_file(c, opt_take(l, "events"), error)) {
        return CONFIG_FAILED;
    }
    if (!opt_list_finish(l, error)) {
        return CONFIG_FAILED;
    }
    return config_result(pattern == NULL || take_pattern(c, pattern, error));
}

ConfigResult option_stress(MachineConfig *c, const OptUse *use, GError **error)
{
    const char *eq = strchr(use->arg, '=');
    uint64_t n;

    if (wants_help(use->arg)) {
        for (int i = 0; i < STRESS_COUNT; i++) {
            printf("%-16s %s\n", stress_info[i].name, stress_info[i].help);
        }
        return CONFIG_DONE;
    }
    if (eq == NULL || !parse_number(eq + 1, &n) || n > UINT32_MAX) {
        return config_result(fail(error, "NAME=N is needed; '--stress help' lists the names"));
    }
    for (int i = 0; i < STRESS_COUNT; i++) {
        if (strlen(stress_info[i].name) == (size_t)(eq - use->arg) &&
            strncmp(stress_info[i].name, use->arg, (size_t)(eq - use->arg)) == 0) {
            g_ptr_array_add(c->stress, g_strdup(use->arg));
            return CONFIG_OK;
        }
    }
    return config_result(fail(error, "no such knob; '--stress help' lists them"));
}
