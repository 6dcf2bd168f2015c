/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's terminal side: prompt, line editor, and finding the command.  */
#include "monitor/hmp.h"

#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/hmp-edit.h"
#include "monitor/hmp-internal.h"
#include "monitor/report.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <string.h>

struct HmpMonitor {
    Machine *machine;
    Chardev *chardev;          /* borrowed */
    HmpEdit *edit;
    unsigned current_cpu;
    bool greeted;
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

/* Append what is to be said about a command that does not exist. */
static void append_unknown(const char *name, GString *out)
{
    static const struct {
        const char *qmp, *hmp, *what;
    } refused[] = {
#define REFUSED(qmp, hmp, what) {qmp, hmp, what},
#include "monitor/refused.def"
#undef REFUSED
    };

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (refused[i].hmp != NULL && strcmp(refused[i].hmp, name) == 0) {
            g_string_append_printf(out, "Error: %s: not supported: %s\n", name, refused[i].what);
            return;
        }
    }
    g_string_append_printf(out, "unknown command: '%s'\n", name);
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

/* Words by spaces; "..." holds some together.  "x/4xg" is "x /4xg". */
static GPtrArray *split_words(const char *line)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    for (;;) {
        g_autoptr(GString) word = g_string_new(NULL);
        bool quoted = false, any = false;

        line += strspn(line, " \t");
        for (; *line != '\0' && (quoted || (*line != ' ' && *line != '\t')); line++, any = true) {
            if (words->len == 0 && *line == '/' && word->len > 0) {
                break;
            }
            if (*line == '"') {
                quoted = !quoted;
            } else {
                g_string_append_c(word, *line);
            }
        }
        if (!any) {
            return words;
        }
        g_ptr_array_add(words, g_strdup(word->str));
    }
}

static char *execute(Machine *m, unsigned *current_cpu, const GPtrArray *history, const char *line)
{
    GString *out = g_string_new(NULL);
    g_autoptr(GPtrArray) words = split_words(line);

    trace(hmp_command, "%s", line);
    if (words->len > 0) {
        const char *name = g_ptr_array_index(words, 0);
        const Command *cmd = find_command(commands, ARRAY_LEN(commands), name);
        g_ptr_array_add(words, NULL);
        HmpCall c = {.machine = m, .current_cpu = current_cpu, .out = out, .history = history,
                     .argc = (int)words->len - 2, .argv = (char **)words->pdata + 1};

        if (cmd != NULL) {
            cmd->handler(&c);
        } else {
            append_unknown(name, out);
        }
    }
    return g_string_free(out, FALSE);
}

char *hmp_execute(Machine *m, unsigned *current_cpu, const char *line)
{
    return execute(m, current_cpu, NULL, line);
}

/* -- Completion --------------------------------------------------------------------------------------- */

static void add_names(GPtrArray *words, const Command *list, size_t n, const char *start)
{
    for (size_t i = 0; i < n; i++) {
        g_auto(GStrv) names = g_strsplit(list[i].names, "|", -1);
        for (char **name = names; *name != NULL; name++) {
            if (g_str_has_prefix(*name, start)) {
                g_ptr_array_add(words, g_strdup(*name));
            }
        }
    }
}

static GPtrArray *complete(void *arg, const char *line)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    const char *space = strrchr(line, ' '), *last = space != NULL ? space + 1 : line;
    g_autoptr(GPtrArray) before = split_words(line);
    const char *command = before->len > 0 ? g_ptr_array_index(before, 0) : "";
    bool second = space != NULL && before->len == 1 + (*last != '\0');

    if (space == NULL) {
        add_names(words, commands, ARRAY_LEN(commands), last);
    } else if (second && strcmp(command, "info") == 0) {
        add_names(words, infos, ARRAY_LEN(infos), last);
    } else if (second && (strcmp(command, "help") == 0 || strcmp(command, "?") == 0)) {
        add_names(words, commands, ARRAY_LEN(commands), last);
    } else if (second) {
        hmp_complete_argument(command, last, words);
    }
    return words;
}

/* -- Terminal ----------------------------------------------------------------------------------------- */

/* Lines end in \r\n: the other end may be raw. */
static void say(HmpMonitor *h, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autofree char *all = g_strjoinv("\r\n", lines);

    chardev_write(h->chardev, all, strlen(all));
}

static void write_text(void *arg, const char *text, size_t len)
{
    chardev_write(((HmpMonitor *)arg)->chardev, text, len);
}

static size_t can_read(void *arg)
{
    return 256;
}

static void read_bytes(void *arg, const uint8_t *buf, size_t len)
{
    HmpMonitor *h = arg;

    for (size_t i = 0; i < len; i++) {
        const char *line = hmp_edit_byte(h->edit, buf[i]);
        if (line != NULL) {
            g_autofree char *out = execute(h->machine, &h->current_cpu,
                                           hmp_edit_history(h->edit), line);
            say(h, out);
            hmp_edit_prompt(h->edit);
        }
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
        hmp_edit_prompt(h->edit);
    } else if (e == CHAR_CLOSED) {
        h->greeted = false;
        hmp_edit_clear(h->edit);
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
        h->edit = hmp_edit_new("(qemu) ",      /* what clients wait for */
                               &(HmpEditHooks){h, write_text, complete});
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
    hmp_edit_free(h->edit);
    g_free(h);
}
