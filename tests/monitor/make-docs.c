/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doc/metaphrase.1 and doc/metaphrase.bash, made of the tables that the program itself is made of.
 *
 *     make-docs man TEMPLATE     the manual: the template's lines, its @WORDS@ replaced
 *     make-docs bash             completion for bash
 *
 * tests/monitor/test-docs.py compares the files in doc/ with this (GOLDEN_BLESS=1 rewrites them).
 */
#include "cpu-x86/cpuid.h"
#include "monitor/config.h"
#include "monitor/device-table.h"
#include "monitor/qom.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"

#include <stdio.h>
#include <string.h>

/* -- The manual ------------------------------------------------------------------------------------------ */

enum { WIDTH = 78 };

/* mdoc's special characters undone; a line may not begin with a control character. */
static char *mdoc_escape(const char *text)
{
    GString *s = g_string_new(NULL);

    for (const char *p = text; *p != '\0'; p++) {
        if ((*p == '.' || *p == '\'') && s->len == 0) {
            g_string_append(s, "\\&");
        }
        if (*p == '\\') {
            g_string_append(s, "\\e");
        } else {
            g_string_append_c(s, *p);
        }
    }
    return g_string_free(s, FALSE);
}

/* Text lines of at most WIDTH characters; a sentence begins a line. */
static void put_text(const char *text)
{
    g_autofree char *sentence = g_strdup(text);
    g_auto(GStrv) words = NULL;
    g_autoptr(GString) line = g_string_new(NULL);

    *sentence = g_ascii_toupper(*sentence);
    words = g_strsplit_set(sentence, " \n", -1);
    for (char **w = words; *w != NULL; w++) {
        g_autofree char *word = mdoc_escape(*w);
        if (*word == '\0') {
            continue;
        }
        if (line->len > 0 && (line->len + 1 + strlen(word) > WIDTH ||
                              line->str[line->len - 1] == '.')) {
            printf("%s\n", line->str);
            g_string_truncate(line, 0);
        }
        g_string_append_printf(line, "%s%s", line->len > 0 ? " " : "", word);
    }
    if (line->len > 0) {
        printf("%s%s\n", line->str, strchr(".:;", line->str[line->len - 1]) != NULL ? "" : ".");
    }
}

/* A macro argument: quoted, so that its brackets and commas stay text. */
static void put_argument(const char *form)
{
    g_auto(GStrv) lines = g_strsplit(form, "\n", -1);
    g_autofree char *joined = g_strjoinv("", lines);
    g_auto(GStrv) parts = g_strsplit(joined, "\"", -1);
    g_autofree char *quoted = g_strjoinv("\"\"", parts);
    g_auto(GStrv) pieces = g_strsplit(quoted, "][", -1);
    g_autofree char *breakable = g_strjoinv("]\\:[", pieces);

    printf(" Ar \"%s\"", breakable);
}

/* "standard options" -> "Standard options" is as the table has it. */
static void put_options(void)
{
    ConfigOption o;
    bool open = false;

    for (size_t i = 0; config_option_row(i, &o); i++) {
        if (o.name == NULL) {
            printf("%s.Ss %s\n.Bl -tag -width Ds\n", open ? ".El\n" : "", o.help);
            open = true;
        } else if (!o.refused) {
            printf(".It Fl %s", o.name);
            if (o.form != NULL) {
                put_argument(o.form);
            }
            printf("\n");
            put_text(o.help);
        }
    }
    printf(".El\n");
}

static void put_refused(void)
{
    ConfigOption o;
    bool first = true;

    for (size_t i = 0; config_option_row(i, &o); i++) {
        if (o.refused) {
            printf("%s.Fl %s\n.Pq %s", first ? "" : " ,\n", o.name, o.help);
            first = false;
        }
    }
    printf(" .\n");
}

static void put_devices(void)
{
    printf(".Bl -tag -width Ds\n");
    for (size_t i = 0; device_table_row(i) != NULL; i++) {
        const DeviceRow *r = device_table_row(i);
        printf(".It Cm %s Pq %s\n", r->name, r->bus);
        put_text(r->help);
    }
    printf(".El\n");
}

static void put_commands(bool infos)
{
    static const struct {
        const char *names, *args, *help;
        bool info;
    } rows[] = {
#define COMMAND(names, args, handler, help) {names, args, help, false},
#define INFO(name, handler, help) {name, "", help, true},
#include "monitor/commands.def"
#undef COMMAND
#undef INFO
    };

    printf(".Bl -tag -width Ds\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].info == infos) {
            g_auto(GStrv) names = g_strsplit(rows[i].names, "|", -1);
            printf(".It");
            for (char **n = names; *n != NULL; n++) {
                printf("%s Cm %s%s%s", n == names ? "" : " ,", infos ? "info " : "",
                       g_ascii_isalpha(**n) ? "" : "\\&", *n);
            }
            if (*rows[i].args != '\0') {
                put_argument(rows[i].args);
            }
            printf("\n");
            put_text(rows[i].help);
        }
    }
    printf(".El\n");
}

static int make_manual(const char *template)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(template, &text, NULL, NULL)) {
        fprintf(stderr, "make-docs: cannot read %s\n", template);
        return 1;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **l = lines; *l != NULL && (l[1] != NULL || **l != '\0'); l++) {
        if (strcmp(*l, "@OPTIONS@") == 0) {
            put_options();
        } else if (strcmp(*l, "@REFUSED@") == 0) {
            put_refused();
        } else if (strcmp(*l, "@DEVICES@") == 0) {
            put_devices();
        } else if (strcmp(*l, "@COMMANDS@") == 0) {
            put_commands(false);
        } else if (strcmp(*l, "@SUBJECTS@") == 0) {
            put_commands(true);
        } else {
            printf("%s\n", *l);
        }
    }
    return 0;
}

/* -- Completion ------------------------------------------------------------------------------------------ */

typedef struct {
    GString *keys;             /* "file= if= "                                  */
    GString *values;           /* shell cases of "option,key" with their values */
    GString *words;            /* what may stand without a key                  */
} Form;

/* Lower-case words with | between: alternatives to type. */
static bool is_choice(const char *value)
{
    return *value != '\0' && strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_-|") == strlen(value);
}

static void take_value(Form *f, const char *option, const char *key, const char *value)
{
    g_autofree char *choices = g_strdelimit(g_strdup(value), "|", ' ');

    if (is_choice(value)) {
        g_string_append_printf(f->values, "    %s,%s) words=\"%s\" ;;\n", option, key, choices);
    } else if (strncmp(value, "FILE", 4) == 0 || strcmp(value, "PATH") == 0) {
        g_string_append_printf(f->values, "    %s,%s) files=1 ;;\n", option, key);
    }
}

/* "[type=]TYPE[,hpet=on|off]": its keys and what they take. */
static void read_form(Form *f, const char *option, const char *form)
{
    g_auto(GStrv) items = g_strsplit_set(form, ",\n", -1);

    for (char **i = items; *i != NULL; i++) {
        g_autofree char *item = g_strstrip(g_strdelimit(g_strdup(*i), "[]", ' '));
        char *eq = strchr(item, '=');
        if (eq == NULL) {
            if (i == items && is_choice(item)) {
                g_string_append_printf(f->words, "%s ", g_strdelimit(item, "|", ' '));
            } else if (i == items && (strcmp(item, "FILE") == 0 || strcmp(item, "DIR") == 0)) {
                g_string_append_printf(f->values, "    %s,) files=1 ;;\n", option);
            }
            continue;
        }
        *eq = '\0';
        g_strstrip(item);
        if (*item != '\0' && g_ascii_islower(*item)) {
            char *value = g_strstrip(eq + 1);
            g_string_append_printf(f->keys, "%s= ", item);
            take_value(f, option, item, value);
            if (i == items && is_choice(value)) {      /* "[enable=]on|off": the key may be left out */
                g_string_append_printf(f->words, "%s ", g_strdelimit(value, "|", ' '));
            }
        }
    }
}

/* What the first word of an option may be, from the tables. */
static void put_names(const char *option, GString *out)
{
    const char *help;

    if (strcmp(option, "machine") == 0 || strcmp(option, "M") == 0) {
        for (size_t i = 0; config_machine(i) != NULL; i++) {
            g_string_append_printf(out, "%s %s%s", config_machine(i)->name,
                                   config_machine(i)->alias != NULL ? config_machine(i)->alias : "",
                                   config_machine(i)->alias != NULL ? " " : "");
        }
    } else if (strcmp(option, "accel") == 0) {
        for (size_t i = 0; config_engine(i) != NULL; i++) {
            g_string_append_printf(out, "%s ", config_engine(i)->name);
        }
    } else if (strcmp(option, "cpu") == 0) {
        for (unsigned i = 0; cpu_model_row(i, &help) != NULL; i++) {
            g_string_append_printf(out, "%s ", cpu_model_row(i, &help));
        }
    } else if (strcmp(option, "device") == 0) {
        for (size_t i = 0; device_table_row(i) != NULL; i++) {
            g_string_append_printf(out, "%s ", device_table_row(i)->name);
        }
    } else if (strcmp(option, "object") == 0) {
        for (size_t i = 0; config_object_type(i, &help) != NULL; i++) {
            g_string_append_printf(out, "%s ", config_object_type(i, &help));
        }
    } else if (strcmp(option, "chardev") == 0) {
        for (size_t i = 0; config_chardev_kind(i) != NULL; i++) {
            g_string_append_printf(out, "%s ", config_chardev_kind(i));
        }
    } else if (strcmp(option, "d") == 0) {
        for (int i = 0; i < LOG_COUNT; i++) {
            g_string_append_printf(out, "%s ", log_item_info[i].name);
        }
    } else if (strcmp(option, "trace") == 0) {
        for (int i = 0; i < TRACE_COUNT; i++) {
            g_string_append_printf(out, "%s ", trace_names[i]);
        }
    } else if (strcmp(option, "stress") == 0) {
        for (int i = 0; i < STRESS_COUNT; i++) {
            g_string_append_printf(out, "%s= ", stress_info[i].name);
        }
    } else if (strcmp(option, "serial") == 0 || strcmp(option, "monitor") == 0 || strcmp(option, "qmp") == 0 ||
               strcmp(option, "qmp-pretty") == 0 || strcmp(option, "debugcon") == 0) {
        g_string_append(out, "stdio null pty file: pipe: unix: tcp: telnet: chardev: none ");
    } else if (strcmp(option, "gdb") == 0) {
        g_string_append(out, "tcp: unix: chardev: none ");
    }
}

/* The properties of each device: what follows -device DRIVER. */
static void put_device_keys(void)
{
    g_autoptr(GPtrArray) types = qom_types();

    for (size_t i = 0; device_table_row(i) != NULL; i++) {
        const QomType *t = qom_find_type(types, device_table_row(i)->name);
        g_auto(GStrv) props = g_strsplit(t->props, " ", -1);

        printf("    %s) keys=\"id= ", t->name);
        for (char **p = props; *p != NULL; p++) {
            if (**p != '\0') {
                printf("%.*s= ", (int)strcspn(*p, ":"), *p);
            }
        }
        printf("\" ;;\n");
    }
}

static const char head[] =
    "# SPDX-License-Identifier: GPL-2.0-or-later\n"
    "# Completion of metaphrase's command line for bash: made by tests/monitor/make-docs.c from the\n"
    "# program's own tables.  Put it where bash-completion looks, or source it.\n"
    "\n"
    "_metaphrase() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} cur option item before cut keys= words= files= w\n"
    "    cur=${line##*[[:space:]]}                # the word as typed: COMP_WORDS is split at = and :\n"
    "    line=${line%\"$cur\"}\n"
    "    set -- $line\n"
    "    option=${!#}\n"
    "    COMPREPLY=()\n"
    "    item=${cur##*,}                          # of a list, what is being typed\n"
    "    before=${cur%\"$item\"}\n"
    "    case ${option#-} in\n";

static const char middle[] =
    "    *) option= ;;\n"
    "    esac\n"
    "    option=${option#-}; option=${option#-}\n"
    "    if [ -z \"$option\" ]; then                # not the argument of an option\n"
    "        case $cur in\n"
    "        --*) words=${_metaphrase_options// -/ --} ;;\n"
    "        -*) words=$_metaphrase_options ;;\n"
    "        *) files=1 ;;\n"
    "        esac\n"
    "        before= item=$cur keys=\n"
    "    elif [ \"${item%%=*}\" != \"$item\" ]; then   # KEY=VALUE\n"
    "        before=$before${item%%=*}= keys= words=\n"
    "        _metaphrase_values \"$option,${item%%=*}\"\n"
    "        item=${item#*=}\n"
    "    else\n"
    "        if [ \"$option\" = device ] && [ -n \"$before\" ]; then\n"
    "            _metaphrase_device \"${before%%,*}\"\n"
    "        elif [ -n \"$before\" ] && [ \"$option\" != d ]; then\n"
    "            words=                           # the first item alone goes without a key\n"
    "        fi\n"
    "        [ -n \"$before\" ] || _metaphrase_values \"$option,\"\n"
    "        words=\"$words $keys\"\n"
    "    fi\n"
    "    cut=${cur%\"${cur##*[=:]}\"}               # readline has this part already\n"
    "    for w in $words; do\n"
    "        case $w in \"$item\"*) COMPREPLY+=(\"${before}$w\") ;; esac\n"
    "    done\n"
    "    if [ -n \"$files\" ]; then\n"
    "        while IFS= read -r w; do COMPREPLY+=(\"$before$w\"); done < <(compgen -f -- \"$item\")\n"
    "    fi\n"
    "    COMPREPLY=(\"${COMPREPLY[@]#\"$cut\"}\")\n"
    "    case ${COMPREPLY[0]} in *[=:]) compopt -o nospace 2>/dev/null ;; esac\n"
    "}\n";

static int make_completion(void)
{
    Form f = {g_string_new(NULL), g_string_new(NULL), g_string_new(NULL)};
    g_autoptr(GString) options = g_string_new(NULL);
    const char *machine = "";
    ConfigOption o;

    printf("%s", head);
    for (size_t i = 0; config_option_row(i, &o); i++) {
        if (o.name == NULL || o.refused) {
            continue;
        }
        g_string_append_printf(options, " -%s", o.name);
        if (o.form == NULL) {
            continue;
        }
        g_string_truncate(f.keys, 0);
        g_string_truncate(f.words, 0);
        machine = strcmp(o.name, "machine") == 0 ? o.form : machine;
        read_form(&f, o.name, strcmp(o.name, "M") == 0 ? machine : o.form);
        put_names(o.name, f.words);
        printf("    %s|-%s) words=\"%s\" keys=\"%s\" ;;\n", o.name, o.name, f.words->str, f.keys->str);
    }
    printf("%s", middle);
    printf("\n_metaphrase_values() {\n    case $1 in\n%s    esac\n}\n", f.values->str);
    printf("\n_metaphrase_device() {\n    case $1 in\n");
    put_device_keys();
    printf("    esac\n}\n\n_metaphrase_options=\"%s\"\n\ncomplete -F _metaphrase metaphrase\n", options->str);
    g_string_free(f.keys, TRUE);
    g_string_free(f.values, TRUE);
    g_string_free(f.words, TRUE);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "man") == 0) {
        return make_manual(argv[2]);
    }
    if (argc == 2 && strcmp(argv[1], "bash") == 0) {
        return make_completion();
    }
    fprintf(stderr, "usage: make-docs man TEMPLATE | bash\n");
    return 1;
}
