/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands about the machine's life, and about QMP itself. */
#include "monitor/config.h"
#include "monitor/events.h"
#include "monitor/hmp.h"
#include "monitor/migrate.h"
#include "monitor/qmp-internal.h"

#include <string.h>

/* -- QMP itself ------------------------------------------------------------------------------------- */

struct json_object *qmp_query_commands(QmpCall *c, GError **error)
{
    return qmp_schema_command_list(c->schema);
}

struct json_object *qmp_query_events(QmpCall *c, GError **error)
{
    return qmp_schema_event_list(c->schema);
}

struct json_object *qmp_query_qmp_schema(QmpCall *c, GError **error)
{
    return qmp_schema_introspect(c->schema);
}

struct json_object *qmp_human_monitor_command(QmpCall *c, GError **error)
{
    int64_t cpu = json_get_int(c->args, "cpu-index", 0);
    unsigned current = (unsigned)cpu;
    g_autofree char *out = NULL;
    g_auto(GStrv) lines = NULL;
    g_autofree char *all = NULL;

    if (json_get(c->args, "cpu-index") != NULL && (cpu < 0 || cpu >= c->machine->n_cpus)) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "Parameter 'cpu-index' expects a CPU number");
    }
    out = hmp_execute(c->machine, &current, json_get_string(c->args, "command-line"));
    lines = g_strsplit(out, "\n", -1);
    all = g_strjoinv("\r\n", lines);
    return json_object_new_string(all);
}

/* -- Life and death --------------------------------------------------------------------------------- */

struct json_object *qmp_query_status(QmpCall *c, GError **error)
{
    struct json_object *o = json_object_new_object();

    json_add_string(o, "status", machine_state_name(c->machine->state));
    json_add_bool(o, "singlestep", false);
    json_add_bool(o, "running", c->machine->running);
    return o;
}

struct json_object *qmp_stop(QmpCall *c, GError **error)
{
    machine_set_running(c->machine, false);
    return NULL;
}

struct json_object *qmp_cont(QmpCall *c, GError **error)
{
    Machine *m = c->machine;
    g_autoptr(GError) why = NULL;

    if (machine_needs_reset(m)) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "Resetting the Virtual Machine is required");
    }
    if (!migrate_may_run(m, &why)) {
        return why != NULL ? qmp_fail(error, QMP_GENERIC_ERROR, "%s", why->message) : NULL;
    }
    if (m->running) {          /* whoever waits for RESUME shall have one, as with QEMU */
        event_stop(m);
        event_resume(m);
    }
    machine_set_running(m, true);
    return NULL;
}

struct json_object *qmp_system_reset(QmpCall *c, GError **error)
{
    machine_request_reset(c->machine, CAUSE_HOST_RESET);
    machine_settle(c->machine);        /* the event comes before the answer */
    return NULL;
}

struct json_object *qmp_system_powerdown(QmpCall *c, GError **error)
{
    machine_powerdown(c->machine);
    return NULL;
}

struct json_object *qmp_quit(QmpCall *c, GError **error)
{
    machine_quit(c->machine);
    return NULL;
}

struct json_object *qmp_inject_nmi(QmpCall *c, GError **error)
{
    if (c->machine->cls->nmi == NULL) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "machine does not provide NMIs");
    }
    c->machine->cls->nmi(c->machine);
    return NULL;
}

/* -- What to do when... -------------------------------------------------------------------------------- */

static void take_action(struct json_object *args, const char *key, const char *const *names, int *action)
{
    const char *name = json_get_string(args, key);

    for (int i = 0; name != NULL && names[i] != NULL; i++) {
        if (strcmp(names[i], name) == 0) {
            *action = i;
        }
    }
}

struct json_object *qmp_set_action(QmpCall *c, GError **error)
{
    Machine *m = c->machine;

    take_action(c->args, "reboot", config_reboot_actions, &m->on.reboot);
    take_action(c->args, "shutdown", config_shutdown_actions, &m->on.shutdown);
    take_action(c->args, "panic", config_panic_actions, &m->on.panic);
    take_action(c->args, "watchdog", config_watchdog_actions, &m->on.watchdog);
    return NULL;
}

struct json_object *qmp_watchdog_set_action(QmpCall *c, GError **error)
{
    take_action(c->args, "action", config_watchdog_actions, &c->machine->on.watchdog);
    return NULL;
}
