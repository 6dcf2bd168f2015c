/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options about character back ends and the lines that end in them.
 *
 * A line (-serial, -monitor, -debugcon) names a chardev ("chardev:ID") or describes one in the short
 * form ("unix:PATH,server,nowait"), which is made under a name of its own.  Chardevs that several
 * lines may share have mux set ("mon:", -nographic).
 */
#include "monitor/config-internal.h"

#include "monitor/report.h"
#include "softmmu/base/bits.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *help;
    ChardevKind kind;
} kind_rows[] = {
    {"null",    "nothing comes, everything vanishes",                CHAR_NULL},
    {"stdio",   "this terminal: [,signal=on|off]",                   CHAR_STDIO},
    {"file",    "write to a file: ,path=FILE[,append=on|off]",       CHAR_FILE},
    {"pipe",    "named pipe PATH, or PATH.in and PATH.out: ,path=PATH", CHAR_PIPE},
    {"pty",     "a new pseudo terminal",                             CHAR_PTY},
    {"ringbuf", "the last SIZE bytes: [,size=SIZE]",                 CHAR_RINGBUF},
    {"socket",  ",path=PATH or ,host=HOST,port=PORT [,server=on|off][,wait=on|off][,nodelay=on|off]\n"
     "           [,telnet=on|off]; ,fd=N: a socket of the parent",
     CHAR_SOCKET},
};

void chardev_config_free(ChardevConfig *d)
{
    g_free(d->option);
    g_free(d->id);
    g_free(d->path);
    g_free(d->host);
    g_free(d->port);
    g_free(d);
}

void line_config_free(LineConfig *l)
{
    g_free(l->option);
    g_free(l->chardev);
    g_free(l);
}

/* -- Chardevs --------------------------------------------------------------------------------------- */

static bool take_socket(ChardevConfig *d, OptList *l, GError **error)
{
    opt_take_string(l, "path", &d->path);
    opt_take_string(l, "host", &d->host);
    opt_take_string(l, "port", &d->port);
    uint64_t fd = UINT64_MAX;

    d->wait = true;
    if (!opt_take_flag(l, "server", &d->server, error) ||
        !opt_take_flag(l, "wait", &d->wait, error) ||
        !opt_take_flag(l, "nodelay", &d->nodelay, error) ||
        !opt_take_flag(l, "telnet", &d->telnet, error) ||
        !opt_take_number(l, "fd", 3, INT_MAX, &fd, error) ||
        !opt_take_only(l, "ipv6", "off", error) || !opt_take_only(l, "websocket", "off", error) ||
        !opt_take_only(l, "tn3270", "off", error) || !opt_take_only(l, "reconnect", "0", error)) {
        return false;
    }
    d->fd = fd != UINT64_MAX ? (int)fd : -1;
    return true;
}

static bool check_socket(const ChardevConfig *d, GError **error)
{
    if ((d->path != NULL) + (d->port != NULL) + (d->fd >= 0) != 1) {
        return fail(error, "a socket needs path=, or host= and port=, or fd=");
    }
    return true;
}

static bool check_chardev(const ChardevConfig *d, GError **error)
{
    switch (d->kind) {
    case CHAR_SOCKET:
        return check_socket(d, error);
    case CHAR_FILE:
    case CHAR_PIPE:
        return (d->path != NULL && *d->path != '\0') || fail(error, "path= is needed");
    case CHAR_RINGBUF:
        return (d->size > 0 && d->size <= (64 << 20) && (d->size & (d->size - 1)) == 0) ||
               fail(error, "size is a power of two of at most 64M");
    default:
        return true;
    }
}

/* The end of a line of that name. */
static bool find_kind(const char *name, ChardevKind *kind, GError **error)
{
    const char *names[ARRAY_LEN(kind_rows)], *near;

    for (size_t i = 0; i < ARRAY_LEN(kind_rows); i++) {
        if (strcmp(kind_rows[i].name, name) == 0) {
            *kind = kind_rows[i].kind;
            return true;
        }
        names[i] = kind_rows[i].name;
    }
    near = nearest_name(name, names, ARRAY_LEN(names));
    return near != NULL
               ? fail(error, "no character back end is called '%s'; did you mean '%s'?", name, near)
               : fail(error, "no character back end is called '%s'; '-chardev help' lists them", name);
}

const char *config_chardev_kind(size_t i)
{
    return i < ARRAY_LEN(kind_rows) ? kind_rows[i].name : NULL;
}

/* Everything but the id, into `d`. */
static bool take_chardev(ChardevConfig *d, const char *kind, OptList *l, GError **error)
{
    if (kind == NULL) {
        return fail(error, "no character back end is named; '-chardev help' lists them");
    }
    if (!find_kind(kind, &d->kind, error)) {
        return false;
    }
    d->fd = -1;
    d->signals = true;
    d->size = 65536;
    switch (d->kind) {
    case CHAR_SOCKET:
        if (!take_socket(d, l, error)) {
            return false;
        }
        break;
    case CHAR_FILE:
    case CHAR_PIPE:
        opt_take_string(l, "path", &d->path);
        if (d->kind == CHAR_FILE && !opt_take_flag(l, "append", &d->append, error)) {
            return false;
        }
        break;
    case CHAR_STDIO:
        if (!opt_take_flag(l, "signal", &d->signals, error)) {
            return false;
        }
        break;
    case CHAR_RINGBUF:
        if (!opt_take_size(l, "size", 1, &d->size, error)) {
            return false;
        }
        break;
    default:
        break;
    }
    return opt_take_flag(l, "mux", &d->mux, error) && opt_list_finish(l, error) &&
           check_chardev(d, error);
}

static bool keep_chardev(MachineConfig *c, ChardevConfig *d, GError **error)
{
    if (config_chardev(c, d->id) != NULL) {
        fail(error, "there is already a chardev called '%s'", d->id);
        chardev_config_free(d);
        return false;
    }
    for (guint i = 0; d->kind == CHAR_STDIO && i < c->chardevs->len; i++) {
        const ChardevConfig *other = g_ptr_array_index(c->chardevs, i);
        if (other->kind == CHAR_STDIO) {
            fail(error, "stdio is in use already (%s); share it with mon:stdio or mux=on",
                 other->option);
            chardev_config_free(d);
            return false;
        }
    }
    g_ptr_array_add(c->chardevs, d);
    return true;
}

static bool list_kinds(GError **error)
{
    g_autoptr(GString) text = g_string_new("Character back ends:");

    for (size_t i = 0; i < ARRAY_LEN(kind_rows); i++) {
        g_string_append_printf(text, "\n%-10s %s", kind_rows[i].name, kind_rows[i].help);
    }
    return answer_help(error, "%s", text->str);
}

ConfigResult option_chardev(MachineConfig *c, const OptUse *use, GError **error)
{
    g_autoptr(OptList) l = opt_list_parse(use->arg, "backend");
    const char *kind = opt_take(l, "backend");
    ChardevConfig *d;

    if (kind != NULL && wants_help(kind)) {
        return config_result(list_kinds(error));
    }
    d = g_new0(ChardevConfig, 1);
    d->option = g_strdup(use->typed);
    opt_take_string(l, "id", &d->id);
    if (!opt_list_wants_help(l) && (d->id == NULL || *d->id == '\0' || kind == NULL)) {
        chardev_config_free(d);
        return config_result(fail(error, "KIND,id=ID is needed"));
    }
    if (!take_chardev(d, kind, l, error)) {
        chardev_config_free(d);
        return CONFIG_FAILED;
    }
    return config_result(keep_chardev(c, d, error));
}

/* -- Lines ------------------------------------------------------------------------------------------ */

/* "unix:PATH,server" and so on, as an option list that take_chardev() understands. */
static OptList *short_form(const char *text, const char **kind)
{
    static const struct {
        const char *prefix, *kind, *key;
    } forms[] = {
        {"file:", "file", "path"}, {"pipe:", "pipe", "path"}, {"unix:", "socket", "path"},
    };

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (g_str_has_prefix(text, forms[i].prefix)) {
            *kind = forms[i].kind;
            return opt_list_parse(text + strlen(forms[i].prefix), forms[i].key);
        }
    }
    if (g_str_has_prefix(text, "tcp:") || g_str_has_prefix(text, "telnet:")) {
        bool telnet = g_str_has_prefix(text, "telnet:");
        const char *rest = strchr(text, ':') + 1, *comma = strchr(rest, ',');
        const char *end = comma != NULL ? comma : rest + strlen(rest);
        const char *colon = g_strrstr_len(rest, end - rest, ":");
        g_autofree char *host = g_strndup(rest, colon != NULL ? (size_t)(colon - rest) : 0);
        g_autofree char *port = colon != NULL ? g_strndup(colon + 1, (size_t)(end - colon - 1))
                                              : g_strndup(rest, (size_t)(end - rest));
        g_autofree char *all = g_strdup_printf("host=%s,port=%s%s%s", host, port,
                                                telnet ? ",telnet=on" : "", end);
        *kind = "socket";
        return opt_list_parse(all, NULL);
    }
    if (strcmp(text, "vc") == 0 || g_str_has_prefix(text, "vc:")) {
        text = "null";         /* a virtual console on no display */
    }
    OptList *l = opt_list_parse(text, "backend");
    *kind = opt_take(l, "backend");
    return l;
}

ChardevConfig *config_describe_chardev(const char *typed, const char *label, const char *text,
                                       GError **error)
{
    const char *kind;
    g_autoptr(OptList) l = short_form(text, &kind);
    ChardevConfig *d = g_new0(ChardevConfig, 1);

    d->option = g_strdup(typed);
    d->id = g_strdup(label);
    if (!take_chardev(d, kind, l, error)) {
        chardev_config_free(d);
        return NULL;
    }
    return d;
}

bool config_add_line(MachineConfig *c, GPtrArray *lines, const char *typed, const char *label,
                     const char *text, GError **error)
{
    LineConfig *line = g_new0(LineConfig, 1);
    ChardevConfig *d;
    bool with_monitor = g_str_has_prefix(text, "mon:");

    line->option = g_strdup(typed);
    g_ptr_array_add(lines, line);
    if (wants_help(text)) {
        return list_kinds(error);
    }
    text += with_monitor ? strlen("mon:") : 0;
    if (strcmp(text, "none") == 0) {
        return true;
    }
    if (g_str_has_prefix(text, "chardev:")) {
        line->chardev = g_strdup(text + strlen("chardev:"));
        return true;           /* it may be defined by a later option */
    }
    d = config_describe_chardev(typed, label, text, error);
    if (d == NULL) {
        return false;
    }
    if (with_monitor) {
        d->mux = true;
        d->signals = false;
    }
    line->chardev = g_strdup(label);
    if (!keep_chardev(c, d, error)) {
        return false;
    }
    if (with_monitor) {
        LineConfig *mon = g_new0(LineConfig, 1);
        mon->option = g_strdup(typed);
        mon->chardev = g_strdup(label);
        g_ptr_array_add(c->monitors, mon);
    }
    return true;
}

static ConfigResult add_labelled(MachineConfig *c, GPtrArray *lines, const OptUse *use,
                                 const char *what, GError **error)
{
    g_autofree char *label = g_strdup_printf("%s%u", what, lines->len);

    return config_result(config_add_line(c, lines, use->typed, label, use->arg, error));
}

ConfigResult option_serial(MachineConfig *c, const OptUse *use, GError **error)
{
    if (c->serials->len >= 4) {
        return config_result(fail(error, "there are at most 4 serial ports"));
    }
    return add_labelled(c, c->serials, use, "serial", error);
}

ConfigResult option_monitor(MachineConfig *c, const OptUse *use, GError **error)
{
    return add_labelled(c, c->monitors, use, "compat_monitor", error);
}

ConfigResult option_debugcon(MachineConfig *c, const OptUse *use, GError **error)
{
    if (c->debugcons->len > 0) {
        return config_result(fail(error, "there is only one debug console"));
    }
    return add_labelled(c, c->debugcons, use, "debugcon", error);
}

ConfigResult option_escape(MachineConfig *c, const OptUse *use, GError **error)
{
    uint64_t code;

    if (!parse_number(use->arg, &code) || code < 1 || code > 255) {
        return config_result(fail(error, "the code of a character, 1 (Ctrl-A) to 255"));
    }
    c->escape = (uint8_t)code;
    return CONFIG_OK;
}

ConfigResult option_parallel(MachineConfig *c, const OptUse *use, GError **error)
{
    if (strcmp(use->arg, "none") != 0) {
        return config_result(fail(error, "no parallel port is built; use none"));
    }
    return CONFIG_OK;
}

ConfigResult option_nographic(MachineConfig *c, const OptUse *use, GError **error)
{
    c->nographic = true;
    c->display_given = true;
    return CONFIG_OK;
}

/* -- Defaults ----------------------------------------------------------------------------------------- */

static bool has_serial_device(const MachineConfig *c)
{
    for (guint i = 0; i < c->devices->len; i++) {
        const DeviceConfig *d = g_ptr_array_index(c->devices, i);
        if (strcmp(d->driver, "isa-serial") == 0) {
            return true;
        }
    }
    return false;
}

static bool check_lines(const MachineConfig *c, GPtrArray *lines, GError **error)
{
    for (guint i = 0; i < lines->len; i++) {
        const LineConfig *l = g_ptr_array_index(lines, i);
        if (l->chardev != NULL && config_chardev(c, l->chardev) == NULL) {
            return fail(error, "%s: there is no chardev '%s'", l->option, l->chardev);
        }
    }
    return true;
}

/*
 * As QEMU: with -nographic the first serial line and the monitor share the terminal unless either was
 * placed; without it they would be in the display's window.  There is no window yet, so a start
 * that asks for nothing gets what -nographic gives (main() says so), and one with -display none gets
 * neither.
 */
bool config_default_lines(MachineConfig *c, GError **error)
{
    bool serial = !c->nodefaults && c->serials->len == 0 && !has_serial_device(c);
    bool monitor = !c->nodefaults && c->monitors->len == 0 && c->qmps->len == 0;
    bool terminal = c->nographic || (!c->display_given && serial && monitor);
    bool ok = true;

    if (c->machine == MACHINE_NONE || (c->machine == MACHINE_MICROVM && !c->isa_serial)) {
        serial = false;
    }
    if (terminal && serial && monitor) {
        ok = config_add_line(c, c->serials, "-nographic", "serial0", "mon:stdio", error);
    } else if (terminal && serial) {
        ok = config_add_line(c, c->serials, "-nographic", "serial0", "stdio", error);
    } else if (terminal && monitor) {
        ok = config_add_line(c, c->monitors, "-nographic", "compat_monitor0", "stdio", error);
    } else if (serial) {
        ok = config_add_line(c, c->serials, "default serial line", "serial0", "null", error);
    }
    return ok && check_lines(c, c->serials, error) && check_lines(c, c->monitors, error) &&
           check_lines(c, c->qmps, error) && check_lines(c, c->debugcons, error) &&
           check_lines(c, c->gdbs, error);
}
