/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One back end, several front ends: -nographic's serial line and monitor on one terminal.
 *
 * Input of a front end that has no room waits in a buffer of its own, so that the escape character
 * is still seen.  When the buffer is full as well, input waits in the host.
 */
#include "hw/chardev-backends.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CTRL_A = 1, FRONT_BUFFER = 4096 };

typedef struct {
    Chardev chardev;
    CharMux *mux;
    uint8_t buf[FRONT_BUFFER]; /* input it had no room for */
    size_t len;
} MuxFront;

struct CharMux {
    Chardev *inner;            /* owned */
    CharMuxHooks hooks;
    MuxFront *front[CHAR_MUX_FRONTS];
    unsigned n, live, focus;
    bool escaped;              /* the last byte was the escape character */
    bool timestamps, line_start;
};

/* -- Output ------------------------------------------------------------------------------------------- */

static void say(CharMux *m, const char *text)
{
    chardev_write(m->inner, text, strlen(text));
}

static void write_stamped(CharMux *m, const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (m->line_start) {
            char stamp[32];
            struct timespec t;
            clock_gettime(CLOCK_MONOTONIC, &t);
            snprintf(stamp, sizeof stamp, "[%lld.%03ld] ", (long long)t.tv_sec,
                     t.tv_nsec / 1000000);
            say(m, stamp);
        }
        chardev_write(m->inner, &buf[i], 1);
        m->line_start = buf[i] == '\n';
    }
}

static void front_write(Chardev *c, const uint8_t *buf, size_t len)
{
    CharMux *m = ((MuxFront *)c)->mux;

    if (m->timestamps) {
        write_stamped(m, buf, len);
    } else {
        chardev_write(m->inner, buf, len);
    }
}

/* -- Escapes ------------------------------------------------------------------------------------------ */

static void help(CharMux *m)
{
    static const char *const lines[] = {
        "h    this help", "x    end the machine", "c    switch between console and monitor",
        "b    send a break", "t    time stamps on or off",
        "s    save disks (nothing to do: -snapshot keeps none)",
    };
    char key[16], line[80];

    if (m->hooks.escape < ' ') {
        snprintf(key, sizeof key, "Ctrl-%c", m->hooks.escape + '@');
    } else {
        snprintf(key, sizeof key, "%c", m->hooks.escape);
    }
    say(m, "\r\n");
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        snprintf(line, sizeof line, "%s %s\r\n", key, lines[i]);
        say(m, line);
    }
    snprintf(line, sizeof line, "%s %s  send %s\r\n", key, key, key);
    say(m, line);
}

static void focus_next(CharMux *m)
{
    for (unsigned k = 1; k <= m->n; k++) {
        unsigned i = (m->focus + k) % m->n;
        if (m->front[i] != NULL) {
            m->focus = i;
            break;
        }
    }
    if (m->front[m->focus] != NULL) {
        chardev_event(&m->front[m->focus]->chardev, CHAR_OPENED);
    }
}

static void escape(CharMux *m, uint8_t byte)
{
    switch (byte) {
    case 'h':
    case '?':
        help(m);
        break;
    case 'x':
        say(m, g_get_prgname() != NULL ? g_get_prgname() : "metaphrase");
        say(m, ": terminated\r\n");
        m->hooks.quit(m->hooks.arg);
        break;
    case 'c':
        focus_next(m);
        break;
    case 'b':
        if (m->front[m->focus] != NULL) {
            chardev_event(&m->front[m->focus]->chardev, CHAR_BREAK);
        }
        break;
    case 't':
        m->timestamps = !m->timestamps;
        m->line_start = m->timestamps;
        break;
    case 's':
        say(m, "\r\nnothing to save\r\n");
        break;
    default:
        break;
    }
}

/* -- Input -------------------------------------------------------------------------------------------- */

static void drain(MuxFront *f)
{
    while (f->len > 0) {
        size_t n = chardev_deliver(&f->chardev, f->buf, f->len);
        if (n == 0) {
            break;
        }
        f->len -= n;
        memmove(f->buf, f->buf + n, f->len);
    }
}

static size_t mux_can_read(void *arg)
{
    CharMux *m = arg;
    MuxFront *f = m->front[m->focus];

    return f != NULL ? FRONT_BUFFER - f->len : 1;
}

static void mux_read(void *arg, const uint8_t *buf, size_t len)
{
    CharMux *m = arg;

    for (size_t i = 0; i < len; i++) {
        bool was_escaped = m->escaped;

        m->escaped = !was_escaped && buf[i] == m->hooks.escape;
        if (m->escaped) {
            continue;
        }
        if (was_escaped && buf[i] != m->hooks.escape) {
            escape(m, buf[i]);
            continue;
        }
        MuxFront *f = m->front[m->focus];
        if (f != NULL && f->len < FRONT_BUFFER) {
            f->buf[f->len++] = buf[i];
        }
    }
    for (unsigned i = 0; i < m->n; i++) {
        if (m->front[i] != NULL) {
            drain(m->front[i]);
        }
    }
}

static void mux_event(void *arg, CharEvent e)
{
    CharMux *m = arg;

    for (unsigned i = 0; i < m->n; i++) {
        if (m->front[i] != NULL) {
            m->front[i]->chardev.open = m->inner->open;
            chardev_event(&m->front[i]->chardev, e);
        }
    }
}

static void front_has_room(Chardev *c)
{
    MuxFront *f = (MuxFront *)c;

    drain(f);
    chardev_accept_input(f->mux->inner);
}

/* -- Life --------------------------------------------------------------------------------------------- */

void char_mux_free(CharMux *m)
{
    chardev_free(m->inner);
    g_free(m);
}

static void front_destroy(Chardev *c)
{
    MuxFront *f = (MuxFront *)c;
    CharMux *m = f->mux;

    for (unsigned i = 0; i < m->n; i++) {
        if (m->front[i] == f) {
            m->front[i] = NULL;
        }
    }
    g_free(f);
    if (--m->live == 0) {
        char_mux_free(m);
    }
}

static const ChardevClass front_class = {
    .name = "mux", .write = front_write, .accept_input = front_has_room,
    .set_handlers = front_has_room, .destroy = front_destroy,
};

Chardev *char_mux_front(CharMux *m)
{
    MuxFront *f;

    if (m->n == CHAR_MUX_FRONTS) {
        return NULL;
    }
    f = g_new0(MuxFront, 1);
    f->mux = m;
    f->chardev = (Chardev){
        .cls = &front_class,
        .id = m->n == 0 ? g_strdup(m->inner->id) : g_strdup_printf("%s-%u", m->inner->id, m->n),
        .label = g_strconcat("mux:", m->inner->label, NULL),
        .open = m->inner->open,
    };
    m->front[m->n++] = f;
    m->live++;
    return &f->chardev;
}

CharMux *char_mux_new(Chardev *inner, const CharMuxHooks *hooks)
{
    CharMux *m = g_new0(CharMux, 1);

    m->inner = inner;
    m->hooks = *hooks;
    m->hooks.escape = m->hooks.escape != 0 ? m->hooks.escape : CTRL_A;
    chardev_attach(inner, &(CharHandlers){.arg = m, .can_read = mux_can_read, .read = mux_read,
                                          .event = mux_event});
    return m;
}
