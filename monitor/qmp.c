/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/qmp.h"

#include "monitor/config.h"
#include "monitor/qmp-fds.h"
#include "monitor/qmp-input.h"
#include "monitor/qmp-internal.h"
#include "monitor/qmp-keys.h"
#include "monitor/qmp-objects.h"
#include "softmmu/base/log.h"

#include <stdarg.h>
#include <string.h>

struct QmpMonitor {
    Qmp *qmp;
    Chardev *chardev;          /* borrowed */
    QmpInput *input;
    bool pretty;
    bool connected, negotiated;
};

struct Qmp {
    Machine *machine;
    QmpSchema *schema;
    GPtrArray *monitors;       /* QmpMonitor*, owned */
    GPtrArray *objects;        /* QmpObject*, owned  */
    GPtrArray *fds;            /* QmpFd*, owned      */
    QmpKeys *keys;
};

GPtrArray *qmp_fds(Qmp *q)
{
    return q->fds;
}

QmpKeys *qmp_keys(Qmp *q)
{
    return q->keys;
}

int qmp_monitor_take_fd(QmpMonitor *mon)
{
    return chardev_take_fd(mon->chardev);
}

GPtrArray *qmp_added_objects(Qmp *q)
{
    return q->objects;
}

/* -- Errors ----------------------------------------------------------------------------------------- */

GQuark qmp_error(void)
{
    return g_quark_from_static_string("metaphrase-qmp");
}

struct json_object *qmp_fail(GError **error, QmpErrorClass cls, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_clear_error(error);
    *error = g_error_new_valist(qmp_error(), (int)cls, fmt, ap);
    va_end(ap);
    return NULL;
}

static const char *error_class(const GError *e)
{
    static const char *const names[] = {
        [QMP_GENERIC_ERROR] = "GenericError",
        [QMP_COMMAND_NOT_FOUND] = "CommandNotFound",
        [QMP_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
        [QMP_DEVICE_NOT_FOUND] = "DeviceNotFound",
    };

    return names[e->domain == qmp_error() ? e->code : QMP_GENERIC_ERROR];
}

/* -- Output ----------------------------------------------------------------------------------------- */

/* One message, consumed. */
static void send(QmpMonitor *mon, struct json_object *message)
{
    GString *text = g_string_new(NULL);

    qmp_json_print(message, mon->pretty, text);
    trace(qmp_send, "%s", text->str);
    g_string_append(text, "\r\n");
    chardev_write(mon->chardev, text->str, text->len);
    g_string_free(text, TRUE);
    json_object_put(message);
}

static struct json_object *version(void)
{
    struct json_object *v = json_object_new_object(), *qemu = json_object_new_object();

    /* The version of QEMU whose command line and QMP this is; clients choose features by it. */
    json_add_int(qemu, "micro", 22);
    json_add_int(qemu, "minor", 2);
    json_add_int(qemu, "major", 7);
    json_add(v, "qemu", qemu);
    json_add_string(v, "package", "Metaphrase " METAPHRASE_VERSION);
    return v;
}

static void greet(QmpMonitor *mon)
{
    struct json_object *all = json_object_new_object(), *q = json_object_new_object();

    json_add(q, "version", version());
    json_add(q, "capabilities", json_object_new_array());
    json_add(all, "QMP", q);
    send(mon, all);
}

static void send_error(QmpMonitor *mon, const GError *e, struct json_object *id)
{
    struct json_object *all = json_object_new_object(), *o = json_object_new_object();

    if (id != NULL) {
        json_add(all, "id", json_object_get(id));
    }
    json_add_string(o, "class", error_class(e));
    json_add_string(o, "desc", e->message);
    json_add(all, "error", o);
    send(mon, all);
}

static void send_return(QmpMonitor *mon, struct json_object *value, struct json_object *id)
{
    struct json_object *all = json_object_new_object();

    json_add(all, "return", value != NULL ? value : json_object_new_object());
    if (id != NULL) {
        json_add(all, "id", json_object_get(id));
    }
    send(mon, all);
}

enum { EVENT_BACKLOG_MAX = 512 << 10 };

void qmp_send_event(Qmp *q, const char *name, struct json_object *data)
{
    int64_t us = g_get_real_time();

    for (guint i = 0; q != NULL && i < q->monitors->len; i++) {
        QmpMonitor *mon = g_ptr_array_index(q->monitors, i);
        struct json_object *all, *stamp;

        if (!mon->negotiated || chardev_backlog(mon->chardev) > EVENT_BACKLOG_MAX) {
            continue;          /* who does not listen loses events, whole ones */
        }
        all = json_object_new_object();
        stamp = json_object_new_object();
        json_add_int(stamp, "seconds", us / G_USEC_PER_SEC);
        json_add_int(stamp, "microseconds", us % G_USEC_PER_SEC);
        json_add(all, "timestamp", stamp);
        json_add_string(all, "event", name);
        if (data != NULL) {
            json_add(all, "data", json_object_get(data));
        }
        send(mon, all);
    }
    json_object_put(data);
}

/* -- Commands --------------------------------------------------------------------------------------- */

/* The form of a request; its "execute". */
static const char *check_request(struct json_object *request, GError **error)
{
    struct json_object *execute = NULL;

    if (!json_object_is_type(request, json_type_object)) {
        qmp_fail(error, QMP_GENERIC_ERROR, "QMP input must be a JSON object");
        return NULL;
    }
    json_object_object_foreach(request, key, val) {
        if (strcmp(key, "execute") == 0) {
            if (!json_object_is_type(val, json_type_string)) {
                qmp_fail(error, QMP_GENERIC_ERROR, "QMP input member 'execute' must be a string");
                return NULL;
            }
            execute = val;
        } else if (strcmp(key, "arguments") == 0) {
            if (!json_object_is_type(val, json_type_object)) {
                qmp_fail(error, QMP_GENERIC_ERROR,
                         "QMP input member 'arguments' must be an object");
                return NULL;
            }
        } else if (strcmp(key, "id") != 0) {
            qmp_fail(error, QMP_GENERIC_ERROR, "QMP input member '%s' is unexpected", key);
            return NULL;
        }
    }
    if (execute == NULL) {
        qmp_fail(error, QMP_GENERIC_ERROR, "QMP input lacks member 'execute'");
        return NULL;
    }
    if (strlen(json_object_get_string(execute)) != (size_t)json_object_get_string_len(execute)) {
        qmp_fail(error, QMP_COMMAND_NOT_FOUND, "The command has a NUL character in its name");
        return NULL;
    }
    return json_object_get_string(execute);
}

static struct json_object *command_missing(const char *name, GError **error)
{
    static const struct {
        const char *qmp, *hmp, *what;
    } refused[] = {
#define REFUSED(qmp, hmp, what) {qmp, hmp, what},
#include "monitor/refused.def"
#undef REFUSED
    };

    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        if (refused[i].qmp != NULL && strcmp(refused[i].qmp, name) == 0) {
            return qmp_fail(error, QMP_COMMAND_NOT_FOUND,
                            "The command %s has not been found: not supported: %s", name, refused[i].what);
        }
    }
    return qmp_fail(error, QMP_COMMAND_NOT_FOUND, "The command %s has not been found", name);
}

static struct json_object *execute(QmpMonitor *mon, struct json_object *request, GError **error)
{
    const char *name = check_request(request, error);
    const QmpCommand *cmd;
    bool negotiates;
    QmpCall call = {.machine = mon->qmp->machine, .monitor = mon, .schema = mon->qmp->schema};

    if (name == NULL) {
        return NULL;
    }
    negotiates = strcmp(name, "qmp_capabilities") == 0;
    if (!mon->negotiated && !negotiates) {
        return qmp_fail(error, QMP_COMMAND_NOT_FOUND,
                        "Expecting capabilities negotiation with 'qmp_capabilities'");
    }
    if (mon->negotiated && negotiates) {
        return qmp_fail(error, QMP_COMMAND_NOT_FOUND,
                        "Capabilities negotiation is already complete, command ignored");
    }
    cmd = qmp_schema_command(mon->qmp->schema, name);
    if (cmd == NULL) {
        return command_missing(name, error);
    }
    call.args = json_get(request, "arguments");
    if (!qmp_type_check(cmd->args, call.args, error)) {
        return NULL;
    }
    return cmd->handler(&call, error);
}

static void on_value(void *arg, struct json_object *request)
{
    QmpMonitor *mon = arg;
    struct json_object *id = json_object_is_type(request, json_type_object)
                           ? json_get(request, "id") : NULL;
    g_autoptr(GError) error = NULL;

    trace(qmp_receive, "%s", json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN));
    struct json_object *value = execute(mon, request, &error);

    if (!mon->connected) {
        json_object_put(value);
    } else if (error != NULL) {
        send_error(mon, error, id);
    } else {
        send_return(mon, value, id);
    }
    json_object_put(request);
}

static void on_error(void *arg, const char *text)
{
    g_autoptr(GError) error = g_error_new_literal(qmp_error(), QMP_GENERIC_ERROR, text);

    send_error(arg, error, NULL);
}

struct json_object *qmp_capabilities(QmpCall *c, GError **error)
{
    c->monitor->negotiated = true;     /* the schema knows no capability: none was asked for */
    return NULL;
}

struct json_object *qmp_query_version(QmpCall *c, GError **error)
{
    return version();
}

/* -- The connection --------------------------------------------------------------------------------- */

/* A client that does not read its answers is not heard any further.  Few bytes a time: no more commands
 * than fit into the device's queue with their answers. */
static size_t can_read(void *arg)
{
    enum { BACKLOG_MAX = 64 << 10, A_TIME = 64 };

    return chardev_backlog(((QmpMonitor *)arg)->chardev) < BACKLOG_MAX ? A_TIME : 0;
}

static void read_bytes(void *arg, const uint8_t *buf, size_t len)
{
    qmp_input_feed(((QmpMonitor *)arg)->input, buf, len);
}

static void on_event(void *arg, CharEvent e)
{
    QmpMonitor *mon = arg;

    if (e == CHAR_OPENED && !mon->connected) {
        mon->connected = true;
        greet(mon);
    } else if (e == CHAR_CLOSED) {
        mon->connected = mon->negotiated = false;
        qmp_input_reset(mon->input);
    }
}

static void monitor_free(QmpMonitor *mon)
{
    chardev_attach(mon->chardev, NULL);
    qmp_input_free(mon->input);
    g_free(mon);
}

static QmpMonitor *add_monitor(Qmp *q, Chardev *chardev, bool pretty)
{
    QmpMonitor *mon = g_new0(QmpMonitor, 1);
    QmpInputSink sink = {.arg = mon, .value = on_value, .error = on_error};

    mon->qmp = q;
    mon->chardev = chardev;
    mon->pretty = pretty;
    mon->input = qmp_input_new(&sink);
    g_ptr_array_add(q->monitors, mon);
    return mon;
}

bool qmp_open_all(Machine *m, GError **error)
{
    Qmp *q;

    if (m->config->qmps->len == 0) {
        return true;
    }
    q = m->qmp = g_new0(Qmp, 1);
    q->machine = m;
    q->schema = qmp_schema_new();
    q->monitors = g_ptr_array_new_with_free_func((GDestroyNotify)monitor_free);
    q->objects = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_object_free);
    q->fds = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_fd_free);
    q->keys = m->cls->key != NULL ? qmp_keys_new(m) : NULL;
    for (guint i = 0; i < m->config->qmps->len; i++) {
        const LineConfig *line = g_ptr_array_index(m->config->qmps, i);
        Chardev *chardev;

        if (!machine_line(m, line, &chardev, error)) {
            return false;
        }
        if (chardev != NULL) {
            QmpMonitor *mon = add_monitor(q, chardev, line->pretty);
            chardev_attach(chardev, &(CharHandlers){mon, can_read, read_bytes, on_event});
        }
    }
    return true;
}

void qmp_free(Qmp *q)
{
    if (q != NULL) {
        g_ptr_array_free(q->monitors, TRUE);
        g_ptr_array_free(q->objects, TRUE);
        g_ptr_array_free(q->fds, TRUE);
        qmp_keys_free(q->keys);
        qmp_schema_free(q->schema);
        g_free(q);
    }
}
