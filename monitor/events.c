/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/events.h"

#include "monitor/qmp-json.h"
#include "monitor/qmp.h"

#include <errno.h>

static const struct {
    const char *name;
    bool guest;
} causes[] = {
    [CAUSE_NONE] = {"none", false},
    [CAUSE_GUEST_SHUTDOWN] = {"guest-shutdown", true},
    [CAUSE_GUEST_RESET] = {"guest-reset", true},
    [CAUSE_GUEST_PANIC] = {"guest-panic", true},
    [CAUSE_TRIPLE_FAULT] = {"guest-reset", true},
    [CAUSE_DEBUG_EXIT] = {"guest-shutdown", true},
    [CAUSE_HOST_SIGNAL] = {"host-signal", false},
    [CAUSE_HOST_QUIT] = {"host-qmp-quit", false},
    [CAUSE_HOST_RESET] = {"host-qmp-system-reset", false},
    [CAUSE_WATCHDOG] = {"watchdog", true},
    [CAUSE_FAILED] = {"host-error", false},
};

const char *machine_cause_name(MachineCause cause)
{
    return causes[cause].name;
}

static void send_cause(Machine *m, const char *event, MachineCause cause)
{
    struct json_object *data = json_object_new_object();

    json_add_bool(data, "guest", causes[cause].guest);
    json_add_string(data, "reason", causes[cause].name);
    qmp_send_event(m->qmp, event, data);
}

void event_shutdown(Machine *m, MachineCause cause)
{
    send_cause(m, "SHUTDOWN", cause);
}

void event_reset(Machine *m, MachineCause cause)
{
    send_cause(m, "RESET", cause);
}

void event_stop(Machine *m)
{
    qmp_send_event(m->qmp, "STOP", NULL);
}

void event_resume(Machine *m)
{
    qmp_send_event(m->qmp, "RESUME", NULL);
}

void event_block_io_error(Machine *m, const char *device, bool is_read, int err)
{
    struct json_object *data;

    if (m->qmp == NULL) {
        return;
    }
    data = json_object_new_object();
    json_add_string(data, "device", device);
    json_add_string(data, "operation", is_read ? "read" : "write");
    json_add_string(data, "action", "report");
    json_add_bool(data, "nospace", err == ENOSPC);
    json_add_string(data, "reason", g_strerror(err));
    qmp_send_event(m->qmp, "BLOCK_IO_ERROR", data);
}

void event_rtc_change(void *machine, int64_t offset_s)
{
    Machine *m = machine;
    struct json_object *data;

    if (m->qmp == NULL) {
        return;
    }
    data = json_object_new_object();
    json_add_int(data, "offset", offset_s);
    qmp_send_event(m->qmp, "RTC_CHANGE", data);
}

static void send_action(Machine *m, const char *event, const char *action)
{
    struct json_object *data = json_object_new_object();

    json_add_string(data, "action", action);
    qmp_send_event(m->qmp, event, data);
}

void event_guest_panicked(Machine *m, const char *event, const char *action)
{
    send_action(m, event, action);
}

void event_watchdog(Machine *m, const char *action)
{
    send_action(m, "WATCHDOG", action);
}

void event_powerdown(Machine *m)
{
    qmp_send_event(m->qmp, "POWERDOWN", NULL);
}

void event_migration(Machine *m, const char *status)
{
    struct json_object *data = json_object_new_object();

    json_add_string(data, "status", status);
    qmp_send_event(m->qmp, "MIGRATION", data);
}
