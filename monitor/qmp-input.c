/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/qmp-input.h"

#include <errno.h>
#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct QmpInput {
    QmpInputSink sink;
    GString *text;             /* the value so far                            */
    unsigned depth, values;
    size_t word;               /* where the number or word in `text` began     */
    bool in_word, escaped;
    bool skipping;             /* until the end of the line                   */
    char quote;                /* of the string we are in, or 0               */
};

QmpInput *qmp_input_new(const QmpInputSink *sink)
{
    QmpInput *in = g_new0(QmpInput, 1);

    in->sink = *sink;
    in->text = g_string_new(NULL);
    return in;
}

void qmp_input_free(QmpInput *in)
{
    if (in != NULL) {
        g_string_free(in->text, TRUE);
        g_free(in);
    }
}

static void forget(QmpInput *in)
{
    if (in->text->allocated_len > 64 << 10) {
        g_string_free(in->text, TRUE);
        in->text = g_string_new(NULL);
    }
    g_string_truncate(in->text, 0);
    in->depth = in->values = 0;
    in->in_word = in->escaped = false;
    in->quote = 0;
}

void qmp_input_reset(QmpInput *in)
{
    forget(in);
    in->skipping = false;
}

/* -- Errors ----------------------------------------------------------------------------------------- */

static void complain(QmpInput *in, const char *text)
{
    g_autofree char *all = g_strconcat("JSON parse error, ", text, NULL);

    in->sink.error(in->sink.arg, all);
}

/* The end of the value cannot be known: drop the line. */
static void give_up(QmpInput *in, const char *text)
{
    forget(in);
    in->skipping = true;
    complain(in, text);
}

static void give_up_byte(QmpInput *in, const char *what, uint8_t c)
{
    g_autofree char *text = g_ascii_isprint((char)c) ? g_strdup_printf("%s '%c'", what, c)
                                                     : g_strdup_printf("%s \\x%02x", what, c);
    give_up(in, text);
}

/* -- Values ----------------------------------------------------------------------------------------- */

static void finish(QmpInput *in)
{
    struct json_tokener *tok = json_tokener_new_ex(QMP_INPUT_MAX_DEPTH + 2);
    enum json_tokener_error err = json_tokener_error_size;
    struct json_object *v = NULL;

    if (tok != NULL) {
        json_tokener_set_flags(tok, JSON_TOKENER_VALIDATE_UTF8);
        v = json_tokener_parse_ex(tok, in->text->str, (int)in->text->len + 1);
        err = json_tokener_get_error(tok);
        json_tokener_free(tok);
    }
    forget(in);
    if (err == json_tokener_success) {
        in->sink.value(in->sink.arg, v);
    } else {
        json_object_put(v);
        complain(in, err == json_tokener_continue ? "expecting value"
                                                  : json_tokener_error_desc(err));
    }
}

/* Whole numbers that 64 bits cannot hold would be bent to the nearest one that they can. */
static bool number_fits(const char *s)
{
    if (strpbrk(s, ".eE") != NULL) {
        return true;
    }
    errno = 0;
    if (*s == '-') {
        strtoll(s, NULL, 10);
    } else {
        strtoull(s, NULL, 10);
    }
    return errno == 0;
}

/* A number or word has ended; false: it was none, and the line is dropped. */
static bool end_word(QmpInput *in)
{
    const char *word = in->text->str + in->word;

    if (!in->in_word) {
        return true;
    }
    in->in_word = false;
    if (g_ascii_isdigit(*word) || *word == '-') {
        if (!number_fits(word)) {
            give_up(in, "number out of range");
            return false;
        }
    } else if (strcmp(word, "true") != 0 && strcmp(word, "false") != 0 &&
               strcmp(word, "null") != 0) {
        g_autofree char *text = g_strdup_printf("invalid keyword '%.40s'", word);
        give_up(in, text);
        return false;
    }
    if (in->depth == 0) {
        finish(in);
    }
    return true;
}

static bool count_value(QmpInput *in)
{
    if (++in->values > QMP_INPUT_MAX_VALUES) {
        give_up(in, "too many values");
        return false;
    }
    return true;
}

/* -- Bytes ------------------------------------------------------------------------------------------ */

static void string_byte(QmpInput *in, uint8_t c)
{
    if (c < 0x20) {
        give_up_byte(in, "control character in a string:", c);
        return;
    }
    if (in->escaped && c == '\'') {       /* json-c knows no such escape */
        g_string_append(in->text, "u0027");
    } else {
        g_string_append_c(in->text, (char)c);
    }
    if (in->escaped) {
        in->escaped = false;
    } else if (c == '\\') {
        in->escaped = true;
    } else if (c == (uint8_t)in->quote) {
        in->quote = 0;
        if (in->depth == 0) {
            finish(in);
        }
    }
}

static void bracket(QmpInput *in, uint8_t c)
{
    if (c == '{' || c == '[') {
        if (in->depth == QMP_INPUT_MAX_DEPTH) {
            give_up(in, "nesting too deep");
        } else if (count_value(in)) {
            in->depth++;
            g_string_append_c(in->text, (char)c);
        }
    } else if (in->depth == 0) {
        complain(in, "expecting value");
    } else {
        g_string_append_c(in->text, (char)c);
        if (--in->depth == 0) {
            finish(in);
        }
    }
}

static bool is_word_byte(uint8_t c)
{
    return g_ascii_isalnum((char)c) || c == '-' || c == '+' || c == '.' || c == '_';
}

static void structure_byte(QmpInput *in, uint8_t c)
{
    switch (c) {
    case ' ':
    case '\t':
    case '\r':
    case '\n':
        if (in->depth > 0) {
            g_string_append_c(in->text, ' ');
        }
        break;
    case '{':
    case '}':
    case '[':
    case ']':
        bracket(in, c);
        break;
    case '"':
    case '\'':
        if (count_value(in)) {
            in->quote = (char)c;
            g_string_append_c(in->text, (char)c);
        }
        break;
    case ',':
    case ':':
        if (in->depth > 0) {
            g_string_append_c(in->text, (char)c);
            break;
        }
        /* fall through */
    default:
        give_up_byte(in, "stray", c);
        break;
    }
}

static void feed_byte(QmpInput *in, uint8_t c)
{
    if (in->skipping) {
        /* dropped */
    } else if (in->text->len >= QMP_INPUT_MAX) {
        give_up(in, "value too long");
    } else if (in->quote != 0) {
        string_byte(in, c);
    } else if (is_word_byte(c)) {
        if (!in->in_word && count_value(in)) {
            in->in_word = true;
            in->word = in->text->len;
        }
        if (in->in_word) {
            g_string_append_c(in->text, (char)c);
        }
    } else if (end_word(in)) {
        structure_byte(in, c);
    }
    if (c == '\n') {
        in->skipping = false;
    }
}

void qmp_input_feed(QmpInput *in, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        feed_byte(in, buf[i]);
    }
}
