/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/hmp-edit.h"

#include <string.h>

enum { LINE_LEN_MAX = 4095, HISTORY_MAX = 64 };

typedef enum { PLAIN, AFTER_ESC, IN_CSI, IN_SS3 } EscapeState;

struct HmpEdit {
    char *prompt;
    HmpEditHooks hooks;
    GString *line;
    size_t at;                 /* the cursor: 0 .. line->len                         */
    char *done;                /* the last complete line                             */
    EscapeState escape;
    unsigned csi;              /* the number in an escape sequence                   */
    bool after_cr;
    GPtrArray *history;
    size_t recalled;           /* index into history; its length: the line being typed */
    char *typed;               /* that line, while another is recalled               */
};

/* -- Output ------------------------------------------------------------------------------------------- */

static void put(HmpEdit *e, const char *text)
{
    e->hooks.write(e->hooks.arg, text, strlen(text));
}

static void put_times(HmpEdit *e, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put(e, text);
    }
}

/* The line from the cursor on has changed; `gone` columns behind its end were used before. */
static void redraw_tail(HmpEdit *e, size_t gone)
{
    put(e, e->line->str + e->at);
    put_times(e, " ", gone);
    put_times(e, "\b", e->line->len - e->at + gone);
}

void hmp_edit_prompt(HmpEdit *e)
{
    put(e, e->prompt);
    put(e, e->line->str);
    put_times(e, "\b", e->line->len - e->at);
}

/* -- Editing ------------------------------------------------------------------------------------------ */

static void move_to(HmpEdit *e, size_t at)
{
    if (at < e->at) {
        put_times(e, "\b", e->at - at);
    } else {
        e->hooks.write(e->hooks.arg, e->line->str + e->at, at - e->at);
    }
    e->at = at;
}

static void insert(HmpEdit *e, const char *text, size_t len)
{
    if (e->line->len + len > LINE_LEN_MAX) {
        put(e, "\a");
        return;
    }
    g_string_insert_len(e->line, (gssize)e->at, text, (gssize)len);
    e->hooks.write(e->hooks.arg, text, len);
    e->at += len;
    if (e->at < e->line->len) {
        redraw_tail(e, 0);
    }
}

static void erase(HmpEdit *e, size_t from, size_t to)
{
    if (from < to) {
        move_to(e, from);
        g_string_erase(e->line, (gssize)from, (gssize)(to - from));
        redraw_tail(e, to - from);
    }
}

static void replace(HmpEdit *e, const char *text)
{
    erase(e, 0, e->line->len);
    insert(e, text, strlen(text));
}

static size_t word_start(const HmpEdit *e)
{
    size_t i = e->at;

    while (i > 0 && e->line->str[i - 1] == ' ') {
        i--;
    }
    while (i > 0 && e->line->str[i - 1] != ' ') {
        i--;
    }
    return i;
}

void hmp_edit_clear(HmpEdit *e)
{
    g_string_truncate(e->line, 0);
    e->at = 0;
    e->escape = PLAIN;
    e->recalled = e->history->len;
}

/* -- History ------------------------------------------------------------------------------------------ */

static void remember(HmpEdit *e, const char *line)
{
    for (guint i = 0; i < e->history->len; i++) {
        if (strcmp(g_ptr_array_index(e->history, i), line) == 0) {
            g_ptr_array_remove_index(e->history, i);
            break;
        }
    }
    if (e->history->len == HISTORY_MAX) {
        g_ptr_array_remove_index(e->history, 0);
    }
    g_ptr_array_add(e->history, g_strdup(line));
}

static void recall(HmpEdit *e, size_t i)
{
    if (e->recalled == e->history->len) {
        g_free(e->typed);
        e->typed = g_strdup(e->line->str);
    }
    e->recalled = i;
    replace(e, i < e->history->len ? g_ptr_array_index(e->history, i) : e->typed);
}

static void older(HmpEdit *e)
{
    if (e->recalled > 0) {
        recall(e, e->recalled - 1);
    }
}

static void newer(HmpEdit *e)
{
    if (e->recalled < e->history->len) {
        recall(e, e->recalled + 1);
    }
}

/* -- Completion --------------------------------------------------------------------------------------- */

static size_t common_len(const GPtrArray *words)
{
    const char *first = g_ptr_array_index(words, 0);
    size_t len = strlen(first);

    for (guint i = 1; i < words->len; i++) {
        const char *w = g_ptr_array_index(words, i);
        size_t n = 0;
        while (n < len && w[n] == first[n]) {
            n++;
        }
        len = n;
    }
    return len;
}

static void list_words(HmpEdit *e, const GPtrArray *words)
{
    put(e, "\r\n");
    for (guint i = 0; i < words->len; i++) {
        put(e, g_ptr_array_index(words, i));
        put(e, (i + 1) % 4 == 0 || i + 1 == words->len ? "\r\n" : "  ");
    }
    hmp_edit_prompt(e);
}

static void complete(HmpEdit *e)
{
    g_autofree char *before = g_strndup(e->line->str, e->at);
    const char *space = strrchr(before, ' ');
    size_t have = strlen(space != NULL ? space + 1 : before), common;
    g_autoptr(GPtrArray) words = e->hooks.complete(e->hooks.arg, before);

    if (words->len == 0) {
        put(e, "\a");
        return;
    }
    common = common_len(words);
    if (common > have) {
        const char *first = g_ptr_array_index(words, 0);
        insert(e, first + have, common - have);
    } else if (words->len > 1) {
        list_words(e, words);
    }
    if (words->len == 1) {
        insert(e, " ", 1);
    }
}

/* -- Keys --------------------------------------------------------------------------------------------- */

#define CTRL(c) ((c) & 0x1f)

static const char *end_line(HmpEdit *e)
{
    put(e, "\r\n");
    g_free(e->done);
    e->done = g_strdup(e->line->str);
    if (*e->done != '\0') {
        remember(e, e->done);
    }
    hmp_edit_clear(e);
    return e->done;
}

static void sequence(HmpEdit *e, uint8_t c)
{
    size_t len = e->line->len;

    switch (c) {
    case 'A': older(e); break;
    case 'B': newer(e); break;
    case 'C': move_to(e, MIN(e->at + 1, len)); break;
    case 'D': move_to(e, e->at - (e->at > 0)); break;
    case 'H': move_to(e, 0); break;
    case 'F': move_to(e, len); break;
    case '~':
        if (e->csi == 3) {
            erase(e, e->at, MIN(e->at + 1, len));
        } else if (e->csi == 1 || e->csi == 7) {
            move_to(e, 0);
        } else if (e->csi == 4 || e->csi == 8) {
            move_to(e, len);
        }
        break;
    default: break;
    }
}

static void in_escape(HmpEdit *e, uint8_t c)
{
    if (e->escape == AFTER_ESC) {
        e->escape = c == '[' ? IN_CSI : c == 'O' ? IN_SS3 : PLAIN;
        e->csi = 0;
    } else if (e->escape == IN_CSI && (g_ascii_isdigit((char)c) || c == ';')) {
        e->csi = c == ';' ? 0 : (e->csi * 10 + c - '0') % 1000;
    } else {
        e->escape = PLAIN;
        sequence(e, c);
    }
}

static void control(HmpEdit *e, uint8_t c)
{
    size_t len = e->line->len;

    switch (c) {
    case '\t': complete(e); break;
    case 0x1b: e->escape = AFTER_ESC; break;
    case 0x7f:
    case CTRL('H'): erase(e, e->at - (e->at > 0), e->at); break;
    case CTRL('A'): move_to(e, 0); break;
    case CTRL('B'): move_to(e, e->at - (e->at > 0)); break;
    case CTRL('C'):
        put(e, "^C\r\n");
        hmp_edit_clear(e);
        hmp_edit_prompt(e);
        break;
    case CTRL('D'): erase(e, e->at, MIN(e->at + 1, len)); break;
    case CTRL('E'): move_to(e, len); break;
    case CTRL('F'): move_to(e, MIN(e->at + 1, len)); break;
    case CTRL('K'): erase(e, e->at, len); break;
    case CTRL('L'):
        put(e, "\r\033[K");
        hmp_edit_prompt(e);
        break;
    case CTRL('N'): newer(e); break;
    case CTRL('P'): older(e); break;
    case CTRL('U'): erase(e, 0, e->at); break;
    case CTRL('W'): erase(e, word_start(e), e->at); break;
    default: break;
    }
}

const char *hmp_edit_byte(HmpEdit *e, uint8_t c)
{
    bool after_cr = e->after_cr;

    e->after_cr = c == '\r';
    if (c == '\r' || (c == '\n' && !after_cr)) {
        return end_line(e);
    }
    if (c == '\n') {
        return NULL;           /* of \r\n */
    }
    if (e->escape != PLAIN) {
        in_escape(e, c);
    } else if (c < 0x20 || c == 0x7f) {
        control(e, c);
    } else {
        insert(e, (const char *)&c, 1);
    }
    return NULL;
}

const GPtrArray *hmp_edit_history(const HmpEdit *e)
{
    return e->history;
}

/* -- Life --------------------------------------------------------------------------------------------- */

HmpEdit *hmp_edit_new(const char *prompt, const HmpEditHooks *hooks)
{
    HmpEdit *e = g_new0(HmpEdit, 1);

    e->prompt = g_strdup(prompt);
    e->hooks = *hooks;
    e->line = g_string_new(NULL);
    e->history = g_ptr_array_new_with_free_func(g_free);
    return e;
}

void hmp_edit_free(HmpEdit *e)
{
    if (e != NULL) {
        g_free(e->prompt);
        g_string_free(e->line, TRUE);
        g_free(e->done);
        g_free(e->typed);
        g_ptr_array_free(e->history, TRUE);
        g_free(e);
    }
}
