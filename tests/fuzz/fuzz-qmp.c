/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP: any bytes make whole answers, one a line, each of them JSON, and what comes after them works.
 * The machine is `none`; what names files or hosts is kept from doing so.
 */
#include "monitor/config.h"
#include "monitor/machine.h"
#include "monitor/qmp-json.h"
#include "softmmu/base/bits.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* What a byte from 0x80 on stands for. */
static const char *const words[] = {
    "{\"execute\": \"", "\"}", "\", \"arguments\": {", "}}", "\": ", "\", \"", ", ", "{", "}", "[",
    "]", "\"", "'", "\\", "\\u0000", "\\ud800", "\n", "id", "arguments", "execute", "true", "null",
    "1", "-1", "18446744073709551615", "18446744073709551616", "1e999", "0.5", "qmp_capabilities",
    "query-qmp-schema", "query-commands", "query-status", "query-machines", "query-cpu-definitions",
    "query-cpu-model-expansion", "query-command-line-options", "qom-list-types", "qom-list",
    "qom-get", "device-list-properties", "qom-list-properties", "object-add", "object-del",
    "chardev-add", "chardev-remove", "ringbuf-write", "ringbuf-read", "query-chardev", "send-key",
    "human-monitor-command", "stop", "cont", "system_reset", "system_powerdown", "quit",
    "inject-nmi", "pmemsave", "memsave", "dump-guest-memory", "getfd", "closefd", "add-fd",
    "remove-fd", "query-fdsets", "path", "property", "typename", "implements", "abstract",
    "qom-type", "rng-random", "filename", "backend", "type", "data", "null", "ringbuf", "size",
    "device", "format", "base64", "keys", "qcode", "number", "hold-time", "command-line",
    "cpu-index", "info status", "print 1", "help", "full", "static", "model", "name", "props",
    "max", "qemu64", "lm", "/machine", "/machine/unattached", "/objects", "/chardevs", "val",
    "paging", "protocol", "fd:", "fdname", "fdset-id", "opaque", "enable", "oob", "x", "\xff",
};

static GString *make_text(const uint8_t *data, size_t size)
{
    GString *s = g_string_new(NULL);

    for (size_t i = 0; i < size; i++) {
        if (data[i] >= 0x80) {
            g_string_append(s, words[(data[i] - 0x80u) % ARRAY_LEN(words)]);
        } else {
            g_string_append_c(s, (char)data[i]);
        }
    }
    return s;
}

/* No file is made and no host asked. */
static bool harmless(const GString *s)
{
    static const char *const no[] = {"file", "pipe", "socket", "pty", "log", "\\u", "gdbserver"};

    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        if (memmem(s->str, s->len, no[i], strlen(no[i])) != NULL &&
            strcmp(no[i], "\\u") != 0) {
            return false;
        }
    }
    /* A name may hide in escapes. */
    return memmem(s->str, s->len, "\\u", 2) == NULL ||
           memmem(s->str, s->len, "chardev-add", 11) == NULL;
}

/* -- A character device that listens -------------------------------------------------------------------- */

typedef struct {
    ChardevClass cls;          /* that of the device, with another write */
    GString *out;
} Listener;

static void listen_write(Chardev *c, const uint8_t *buf, size_t len)
{
    const Listener *l = (const Listener *)c->cls;

    g_string_append_len(l->out, (const char *)buf, (gssize)len);
}

static void check_output(const GString *out)
{
    g_auto(GStrv) lines = g_strsplit(out->str, "\r\n", -1);
    guint n = g_strv_length(lines);

    g_assert(strlen(out->str) == out->len);
    g_assert(n == 0 || *lines[n - 1] == '\0');
    for (guint i = 0; i + 1 < n; i++) {
        struct json_tokener *t = json_tokener_new_ex(2000);
        struct json_object *v = json_tokener_parse_ex(t, lines[i], -1);
        g_assert(json_object_is_type(v, json_type_object));
        json_object_put(v);
        json_tokener_free(t);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char last[] = "\n{'execute': 'query-name', 'id': 'the end'}";
    char *argv[] = {"metaphrase", "-machine", "none", "-accel", "interpret", "-display", "none",
                    "-nodefaults", "-chardev", "null,id=q", "-qmp", "chardev:q", NULL};
    g_autoptr(GError) error = NULL;
    GString *text = make_text(data, size);
    Listener listener;
    MachineConfig config;
    Machine *m;
    Chardev *c;

    if (!harmless(text)) {
        g_string_free(text, TRUE);
        return 0;
    }
    g_assert(config_parse(&config, (int)ARRAY_LEN(argv) - 1, argv, &error) == CONFIG_OK);
    m = machine_new(&config, &error);
    g_assert(m != NULL);
    c = machine_chardev(m, "q");
    listener = (Listener){.cls = *c->cls, .out = g_string_new(NULL)};
    listener.cls.write = listen_write;
    c->cls = &listener.cls;
    lock_take(&m->lock);
    chardev_deliver(c, (const uint8_t *)text->str, text->len);
    chardev_deliver(c, (const uint8_t *)last, strlen(last));
    lock_release(&m->lock);
    check_output(listener.out);
    /* Unless the input ended inside a value, in a string say, that swallowed it. */
    if (strpbrk(text->str, "{[\"'") == NULL) {
        g_assert(strstr(listener.out->str, "the end") != NULL);
    }
    machine_free(m);
    config_clear(&config);
    g_string_free(listener.out, TRUE);
    g_string_free(text, TRUE);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    static const char *const seeds[] = {
        "{'execute':'qmp_capabilities'}{'execute':'query-qmp-schema'}{'execute':'query-status','id':1}",
        "{'execute':'qmp_capabilities'}{'execute':'qom-list','arguments':{'path':'/machine'}}"
        "{'execute':'qom-get','arguments':{'path':'/machine','property':'type'}}",
        "{'execute':'qmp_capabilities'}{'execute':'chardev-add','arguments':{'id':'r','backend':"
        "{'type':'ringbuf','data':{'size':1024}}}}{'execute':'ringbuf-write','arguments':{'device':"
        "'r','data':'abc'}}{'execute':'ringbuf-read','arguments':{'device':'r','size':3}}"
        "{'execute':'chardev-remove','arguments':{'id':'r'}}",
        "{'execute':'qmp_capabilities'}{'execute':'query-cpu-model-expansion','arguments':{'type':"
        "'full','model':{'name':'max','props':{'lm':false}}}}",
        "{'execute':'qmp_capabilities'}{'execute':'cont'}{'execute':'stop'}{'execute':'system_reset'}"
        "{'execute':'human-monitor-command','arguments':{'command-line':'info status'}}",
        "{'execute':'qmp_capabilities'}{'execute':'object-add','arguments':{'qom-type':'rng-random',"
        "'id':'a'}}{'execute':'object-del','arguments':{'id':'a'}}{'execute':'quit'}",
        "{'execute':'qmp_capabilities','arguments':{'enable':['oob']}}\n[[[[1]]]] 'x' zz {'a' 1} }",
    };
    size_t len;

    if (i >= ARRAY_LEN(seeds)) {
        return 0;
    }
    len = strlen(seeds[i]);
    memcpy(buf, seeds[i], len);
    return len;
}
