/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -readconfig: options out of a file.
 *
 *     [drive "disk"]          -drive id=disk,
 *       file = "disk.img"            file=disk.img,
 *       if = "none"                  if=none
 *
 * A section is one use of the option of that name; a few options' sections are named otherwise.
 */
#include "monitor/config-internal.h"

#include "monitor/report.h"

#include <errno.h>
#include <string.h>

ConfigResult option_readconfig(MachineConfig *c, const OptUse *use, GError **error)
{
    return CONFIG_OK;          /* its sections were used when it was met */
}

static const char *option_of(const char *section)
{
    static const char *const other[][2] = {
        {"boot-opts", "boot"}, {"smp-opts", "smp"}, {"memory", "m"}, {"action", "action"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(other); i++) {
        if (strcmp(other[i][0], section) == 0) {
            return other[i][1];
        }
    }
    return section;
}

/* What has been read of a section. */
typedef struct {
    char *name;                /* NULL: before the first */
    GString *text;
} Section;

static bool end_section(Section *s, const char *path, ConfigSection *fn, void *arg, GError **error)
{
    g_autofree char *where = NULL, *name = g_steal_pointer(&s->name);

    if (name == NULL) {
        return true;
    }
    where = g_strdup_printf("-readconfig %s: [%s]", path, name);
    return fn(arg, option_of(name), s->text->str, where, error);
}

static void add_setting(Section *s, const char *key, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *escaped = g_strjoinv(",,", parts);

    g_string_append_printf(s->text, "%s%s=%s", s->text->len > 0 ? "," : "", key, escaped);
}

/* `[NAME]` or `[NAME "ID"]`. */
static bool begin_section(Section *s, const char *line)
{
    g_autoptr(GRegex) re = g_regex_new("^\\[\\s*([\\w-]+)(?:\\s+\"([^\"]*)\")?\\s*\\]$", 0, 0, NULL);
    g_autoptr(GMatchInfo) m = NULL;
    g_autofree char *id = NULL;

    if (!g_regex_match(re, line, 0, &m)) {
        return false;
    }
    s->name = g_match_info_fetch(m, 1);
    g_string_truncate(s->text, 0);
    id = g_match_info_fetch(m, 2);
    if (id != NULL && *id != '\0') {
        add_setting(s, "id", id);
    }
    return true;
}

/* `KEY = "VALUE"`. */
static bool take_setting(Section *s, const char *line)
{
    g_autoptr(GRegex) re = g_regex_new("^([\\w.-]+)\\s*=\\s*\"([^\"]*)\"$", 0, 0, NULL);
    g_autoptr(GMatchInfo) m = NULL;
    g_autofree char *key = NULL, *value = NULL;

    if (s->name == NULL || !g_regex_match(re, line, 0, &m)) {
        return false;
    }
    key = g_match_info_fetch(m, 1);
    value = g_match_info_fetch(m, 2);
    add_setting(s, key, value);
    return true;
}

bool config_read_file(const char *path, ConfigSection *fn, void *arg, GError **error)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    Section s = {.text = g_string_new(NULL)};
    bool ok = true;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        ok = fail(error, "-readconfig %s: cannot read it: %s", path, g_strerror(errno));
    } else if (!g_utf8_validate(text, -1, NULL)) {
        ok = fail(error, "-readconfig %s: it is not a text file", path);
    }
    lines = ok ? g_strsplit(text, "\n", -1) : NULL;
    for (size_t i = 0; ok && lines[i] != NULL; i++) {
        const char *line = g_strstrip(lines[i]);
        if (*line == '\0' || *line == '#') {
            continue;
        }
        if (*line == '[') {
            ok = end_section(&s, path, fn, arg, error) &&
                 (begin_section(&s, line) ||
                  fail(error, "-readconfig %s: line %zu is no section: %s", path, i + 1, line));
        } else {
            ok = take_setting(&s, line) ||
                 fail(error, "-readconfig %s: line %zu is no KEY = \"VALUE\" of a section: %s", path,
                      i + 1, line);
        }
    }
    ok = ok && end_section(&s, path, fn, arg, error);
    g_free(s.name);
    g_string_free(s.text, TRUE);
    return ok;
}
