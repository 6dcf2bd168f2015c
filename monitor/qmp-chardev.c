/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands about character devices, and send-key. */
#include "hw/ps2-kbd.h"
#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/qmp-fds.h"
#include "monitor/qmp-internal.h"
#include "monitor/qmp-keys.h"

#include <string.h>

struct json_object *qmp_query_chardev(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array();

    for (guint i = 0; i < c->machine->chardevs->len; i++) {
        const BackEndChardev *b = g_ptr_array_index(c->machine->chardevs, i);
        struct json_object *o = json_object_new_object();
        bool waits = strcmp(b->chardev->cls->name, "socket") == 0 && !b->chardev->open;
        g_autofree char *filename = g_strconcat(waits ? "disconnected:" : "", b->chardev->label,
                                                NULL);
        json_add_string(o, "label", b->config->id);
        json_add_string(o, "filename", filename);
        json_add_bool(o, "frontend-open", b->chardev->front.read != NULL);
        json_object_array_add(list, o);
    }
    return list;
}

/* -- chardev-add ---------------------------------------------------------------------------------------- */

static bool fill_socket(ChardevConfig *d, struct json_object *data, GError **error)
{
    struct json_object *addr = json_get(data, "addr"), *where = json_get(addr, "data");

    if (strcmp(json_get_string(addr, "type"), "unix") == 0) {
        d->path = g_strdup(json_get_string(where, "path"));
    } else {
        d->host = g_strdup(json_get_string(where, "host"));
        d->port = g_strdup(json_get_string(where, "port"));
    }
    d->server = json_get_bool(data, "server", true);
    d->nodelay = json_get_bool(data, "nodelay", false);
    d->telnet = json_get_bool(data, "telnet", false);
    if (json_get_bool(data, "wait", false)) {
        qmp_fail(error, QMP_GENERIC_ERROR, "'wait' would keep the monitor from answering: the "
                 "socket listens at once");
        return false;
    }
    return true;
}

static bool fill_config(QmpCall *c, ChardevConfig *d, struct json_object *backend, GError **error)
{
    static const struct {
        const char *name;
        ChardevKind kind;
    } kinds[] = {
        {"null", CHAR_NULL}, {"file", CHAR_FILE}, {"pipe", CHAR_PIPE}, {"pty", CHAR_PTY},
        {"socket", CHAR_SOCKET}, {"ringbuf", CHAR_RINGBUF},
    };
    const char *type = json_get_string(backend, "type");
    struct json_object *data = json_get(backend, "data");

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kinds[i].name, type) == 0) {
            d->kind = kinds[i].kind;
        }
    }
    switch (d->kind) {
    case CHAR_SOCKET:
        return fill_socket(d, data, error);
    case CHAR_FILE:
        d->path = qmp_fds_path(c->machine->qmp, json_get_string(data, "out"), error);
        d->append = json_get_bool(data, "append", false);
        return d->path != NULL;
    case CHAR_PIPE:
        d->path = g_strdup(json_get_string(data, "device"));
        return true;
    case CHAR_RINGBUF:
        d->size = (uint64_t)json_get_int(data, "size", 65536);
        if (d->size == 0 || d->size > (64 << 20) || (d->size & (d->size - 1)) != 0) {
            qmp_fail(error, QMP_GENERIC_ERROR,
                     "size of ringbuf chardev must be power of two, of at most 64M");
            return false;
        }
        return true;
    default:
        return true;
    }
}

struct json_object *qmp_chardev_add(QmpCall *c, GError **error)
{
    const char *id = json_get_string(c->args, "id");
    struct json_object *backend = json_get(c->args, "backend"), *o;
    const BackEndChardev *b;
    bool is_pty;
    ChardevConfig *d;

    if (back_end_find_chardev(c->machine, id) != NULL) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "Chardev with id '%s' already exists", id);
    }
    d = g_new0(ChardevConfig, 1);
    d->option = g_strdup_printf("chardev-add %s", id);
    d->id = g_strdup(id);
    if (!fill_config(c, d, backend, error)) {
        chardev_config_free(d);
        return NULL;
    }
    is_pty = d->kind == CHAR_PTY;
    if (!back_end_add_chardev(c->machine, d, error)) {
        return NULL;
    }
    b = back_end_find_chardev(c->machine, id);
    o = json_object_new_object();
    if (is_pty) {
        json_add_string(o, "pty", b->chardev->label + strlen("pty:"));
    }
    return o;
}

struct json_object *qmp_chardev_remove(QmpCall *c, GError **error)
{
    const char *id = json_get_string(c->args, "id");
    BackEndChardev *b = back_end_find_chardev(c->machine, id);

    if (b == NULL) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "Chardev '%s' not found", id);
    }
    if (b->used || b->fronts->len > 0) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "Chardev '%s' is busy", id);
    }
    g_ptr_array_remove(c->machine->chardevs, b);
    return NULL;
}

/* -- Ring buffers --------------------------------------------------------------------------------------- */

static Chardev *find_ringbuf(QmpCall *c, GError **error)
{
    const char *id = json_get_string(c->args, "device");
    Chardev *chr = machine_chardev(c->machine, id);

    if (chr == NULL) {
        qmp_fail(error, QMP_GENERIC_ERROR, "Device '%s' not found", id);
    } else if (strcmp(chr->cls->name, "ringbuf") != 0) {
        qmp_fail(error, QMP_GENERIC_ERROR, "%s is not a ringbuf device", id);
        chr = NULL;
    }
    return chr;
}

static bool is_base64(QmpCall *c)
{
    const char *format = json_get_string(c->args, "format");

    return format != NULL && strcmp(format, "base64") == 0;
}

struct json_object *qmp_ringbuf_write(QmpCall *c, GError **error)
{
    const char *data = json_get_string(c->args, "data");
    Chardev *chr = find_ringbuf(c, error);

    if (chr != NULL && is_base64(c)) {
        gsize len;
        g_autofree guchar *raw = g_base64_decode(data, &len);
        chardev_write(chr, raw, len);
    } else if (chr != NULL) {
        chardev_write(chr, data, strlen(data));
    }
    return NULL;
}

struct json_object *qmp_ringbuf_read(QmpCall *c, GError **error)
{
    int64_t size = json_get_int(c->args, "size", 0);
    Chardev *chr = find_ringbuf(c, error);
    g_autofree uint8_t *buf = NULL;
    g_autofree char *text = NULL;
    size_t n;

    if (chr == NULL) {
        return NULL;
    }
    if (size <= 0) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "size must be greater than zero");
    }
    size = MIN(size, 256 << 10);      /* what an answer may hold; the rest waits */
    buf = g_malloc((size_t)size);
    n = chardev_ringbuf_read(chr, buf, (size_t)size);
    text = is_base64(c) ? g_base64_encode(buf, n) : g_utf8_make_valid((char *)buf, (gssize)n);
    return json_object_new_string(text);
}

/* -- Keys ----------------------------------------------------------------------------------------------- */

static int key_number(struct json_object *key)
{
    struct json_object *data = json_get(key, "data");
    int64_t n;

    if (strcmp(json_get_string(key, "type"), "qcode") == 0) {
        return ps2_key_find(json_object_get_string(data));
    }
    n = json_object_get_int64(data);
    return n > 0 && n <= 0xff ? (int)n : -1;
}

struct json_object *qmp_send_key(QmpCall *c, GError **error)
{
    struct json_object *keys = json_get(c->args, "keys");
    int64_t hold_ms = json_get_int(c->args, "hold-time", QMP_KEYS_HOLD_MS);
    size_t n = json_object_array_length(keys);
    uint8_t numbers[QMP_KEYS_AT_ONCE];

    if (c->machine->cls->key == NULL) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "this machine has no keyboard");
    }
    if (n > QMP_KEYS_AT_ONCE || hold_ms < 0 || hold_ms > 60 * 1000) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "at most %d keys, for at most a minute",
                        QMP_KEYS_AT_ONCE);
    }
    for (size_t i = 0; i < n; i++) {
        int key = key_number(json_object_array_get_idx(keys, i));
        if (key < 0) {
            return qmp_fail(error, QMP_GENERIC_ERROR, "Parameter 'keys[%zu].data' is no key", i);
        }
        numbers[i] = (uint8_t)key;
    }
    if (!qmp_keys_send(qmp_keys(c->machine->qmp), numbers, n, (unsigned)hold_ms)) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "too many keys are waiting to be pressed");
    }
    return NULL;
}
