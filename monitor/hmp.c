/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's terminal side: prompt, line editor, and finding the command.  */
#include "monitor/hmp.h"

#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/hmp-internal.h"
#include "monitor/report.h"
#include "softmmu/base/bits.h"

#include <string.h>

enum { LINE_MAX_LEN = 1023 };

struct HmpMonitor {
    Machine *machine;
    Chardev *chardev;          /* borrowed */
    char line[LINE_MAX_LEN + 1];
    size_t len;
    unsigned current_cpu;
    bool greeted, skip_newline;
};

/* -- Commands ----------------------------------------------------------------------------------------- */

typedef struct {
    const char *names, *args;
    HmpHandler *handler;
    const char *help;
} Command;

static const Command commands[] = {
#define COMMAND(names, args, handler, help) {names, args, hmp_##handler, help},
#define INFO(name, handler, help)
#include "monitor/commands.def"
#undef COMMAND
#undef INFO
};

static const Command infos[] = {
#define COMMAND(names, args, handler, help)
#define INFO(name, handler, help) {name, "", hmp_info_##handler, help},
#include "monitor/commands.def"
#undef COMMAND
#undef INFO
};

static const Command *find_command(const Command *list, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++) {
        g_auto(GStrv) names = g_strsplit(list[i].names, "|", -1);
        if (g_strv_contains((const char *const *)names, word)) {
            return &list[i];
        }
    }
    return NULL;
}

static void list_commands(const Command *list, size_t n, const char *prefix, GString *out)
{
    for (size_t i = 0; i < n; i++) {
        g_string_append_printf(out, "%s%s %s -- %s\n", prefix, list[i].names, list[i].args,
                               list[i].help);
    }
}

void hmp_help(HmpCall *c)
{
    const Command *cmd = c->argc > 0 ? find_command(commands, ARRAY_LEN(commands), c->argv[0])
                                     : NULL;

    if (c->argc > 0 && strcmp(c->argv[0], "info") == 0) {
        list_commands(infos, ARRAY_LEN(infos), "info ", c->out);
    } else if (cmd != NULL) {
        list_commands(cmd, 1, "", c->out);
    } else if (c->argc > 0) {
        g_string_append_printf(c->out, "unknown command: '%s'\n", c->argv[0]);
    } else {
        list_commands(commands, ARRAY_LEN(commands), "", c->out);
    }
}

void hmp_info(HmpCall *c)
{
    const Command *info;

    if (c->argc == 0) {
        list_commands(infos, ARRAY_LEN(infos), "info ", c->out);
        return;
    }
    info = find_command(infos, ARRAY_LEN(infos), c->argv[0]);
    if (info == NULL) {
        g_string_append_printf(c->out, "unknown command: 'info %s'\n", c->argv[0]);
        return;
    }
    info->handler(c);
}

char *hmp_execute(Machine *m, unsigned *current_cpu, const char *line)
{
    GString *out = g_string_new(NULL);
    g_auto(GStrv) words = g_strsplit_set(line, " \t", -1);
    g_autoptr(GPtrArray) args = g_ptr_array_new_with_free_func(g_free);
    const Command *cmd;

    for (char **w = words; *w != NULL; w++) {
        char *slash = args->len == 0 ? strchr(*w, '/') : NULL;
        if (**w == '\0') {
            continue;
        }
        if (slash != NULL) {   /* "x/4xg" is "x /4xg" */
            g_ptr_array_add(args, g_strndup(*w, (size_t)(slash - *w)));
            g_ptr_array_add(args, g_strdup(slash));
        } else {
            g_ptr_array_add(args, g_strdup(*w));
        }
    }
    if (args->len > 0) {
        HmpCall c = {.machine = m, .current_cpu = current_cpu, .out = out,
                     .argc = (int)args->len - 1, .argv = (char **)args->pdata + 1};
        cmd = find_command(commands, ARRAY_LEN(commands), g_ptr_array_index(args, 0));
        if (cmd != NULL) {
            cmd->handler(&c);
        } else {
            g_string_append_printf(out, "unknown command: '%s'\n",
                                   (char *)g_ptr_array_index(args, 0));
        }
    }
    return g_string_free(out, FALSE);
}

/* -- Terminal ----------------------------------------------------------------------------------------- */

/* Lines end in \r\n: the other end may be raw. */
static void say(HmpMonitor *h, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *all = g_strjoinv("\r\n", lines);

    chardev_write(h->chardev, all, strlen(all));
}

static void prompt(HmpMonitor *h)
{
    say(h, "(qemu) ");         /* what clients wait for */
}

static void run_line(HmpMonitor *h)
{
    g_autofree char *out = NULL;

    say(h, "\n");
    h->line[h->len] = '\0';
    h->len = 0;
    out = hmp_execute(h->machine, &h->current_cpu, h->line);
    say(h, out);
    prompt(h);
}

static void type(HmpMonitor *h, uint8_t c)
{
    bool after_cr = h->skip_newline;

    h->skip_newline = c == '\r';
    switch (c) {
    case '\n':
        if (after_cr) {
            break;
        }
        run_line(h);
        break;
    case '\r':
        run_line(h);
        break;
    case 0x08:
    case 0x7f:
        if (h->len > 0) {
            h->len--;
            say(h, "\b \b");
        }
        break;
    case 0x15:                 /* Ctrl-U */
        while (h->len > 0) {
            h->len--;
            say(h, "\b \b");
        }
        break;
    default:
        if (c >= 0x20 && h->len < LINE_MAX_LEN) {
            h->line[h->len++] = (char)c;
            chardev_write(h->chardev, &c, 1);
        }
        break;
    }
}

static size_t can_read(void *arg)
{
    return 256;
}

static void read_bytes(void *arg, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        type(arg, buf[i]);
    }
}

static void on_event(void *arg, CharEvent e)
{
    HmpMonitor *h = arg;

    if (e == CHAR_OPENED) {
        if (!h->greeted) {
            say(h, "Metaphrase " METAPHRASE_VERSION
                   " monitor - type 'help' for more information\n");
            h->greeted = true;
        } else {
            say(h, "\n");
        }
        prompt(h);
    } else if (e == CHAR_CLOSED) {
        h->greeted = false;
        h->len = 0;
    }
}

/* -- Life --------------------------------------------------------------------------------------------- */

bool hmp_open_all(Machine *m, GError **error)
{
    for (guint i = 0; i < m->config->monitors->len; i++) {
        const LineConfig *line = g_ptr_array_index(m->config->monitors, i);
        Chardev *chardev;
        HmpMonitor *h;

        if (!machine_line(m, line, &chardev, error)) {
            return false;
        }
        if (chardev == NULL) {
            continue;
        }
        h = g_new0(HmpMonitor, 1);
        h->machine = m;
        h->chardev = chardev;
        g_ptr_array_add(m->monitors, h);
        /* On a shared terminal the console speaks first: greet when switched to. */
        bool shared = strcmp(chardev->cls->name, "mux") == 0;
        bool open = chardev->open;
        chardev->open = open && !shared;
        chardev_attach(chardev, &(CharHandlers){h, can_read, read_bytes, on_event});
        chardev->open = open;
    }
    return true;
}

void hmp_free(HmpMonitor *h)
{
    chardev_attach(h->chardev, NULL);
    g_free(h);
}
