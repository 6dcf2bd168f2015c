/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/char-stream.h"

#include <errno.h>
#include <glib-unix.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void char_stream_init(CharStream *s, Chardev *owner, GMainContext *context,
                      void (*hangup)(CharStream *s))
{
    *s = (CharStream){.owner = owner, .context = context, .in_fd = -1, .out_fd = -1,
                      .passed_fd = -1, .queue = g_byte_array_new(), .hangup = hangup};
}

void char_stream_clear(CharStream *s)
{
    g_byte_array_free(s->queue, TRUE);
}

static void stop_source(GSource **source)
{
    if (*source != NULL) {
        g_source_destroy(*source);
        g_source_unref(*source);
        *source = NULL;
    }
}

static GSource *start_source(CharStream *s, int fd, GIOCondition cond, GUnixFDSourceFunc f)
{
    GSource *source = g_unix_fd_source_new(fd, cond);

    g_source_set_callback(source, G_SOURCE_FUNC(f), s, NULL);
    g_source_attach(source, s->context);
    return source;
}

/* -- Output ----------------------------------------------------------------------------------------- */

/* Write without blocking, also where the descriptor would: a pipe that polls writable takes
 * PIPE_BUF bytes (pipe(7)).  Returns how many bytes went; < 0: the peer is gone. */
static ssize_t write_some(int fd, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        if (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLOUT | POLLERR))) {
            break;
        }
        ssize_t n = write(fd, buf + done, MIN(len - done, PIPE_BUF));
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return -1;
        }
        if (n <= 0) {
            break;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Try to empty the queue; true when it is (or nobody will ever read it). */
static bool flush(CharStream *s)
{
    ssize_t n = write_some(s->out_fd, s->queue->data, s->queue->len);

    if (n < 0) {
        g_byte_array_set_size(s->queue, 0);
    } else if (n > 0) {
        g_byte_array_remove_range(s->queue, 0, (guint)n);
    }
    return s->queue->len == 0;
}

static gboolean output_ready(gint fd, GIOCondition cond, gpointer arg)
{
    CharStream *s = arg;

    if (flush(s)) {
        stop_source(&s->out);
        char_stream_update(s); /* the front end may have waited for this */
    }
    return G_SOURCE_CONTINUE;
}

static void enqueue(CharStream *s, const uint8_t *buf, size_t len)
{
    if (len > CHAR_STREAM_QUEUE) {
        s->dropped += len - CHAR_STREAM_QUEUE;
        buf += len - CHAR_STREAM_QUEUE;
        len = CHAR_STREAM_QUEUE;
    }
    if (s->queue->len + len > CHAR_STREAM_QUEUE) {
        guint over = (guint)(s->queue->len + len - CHAR_STREAM_QUEUE);
        g_byte_array_remove_range(s->queue, 0, over);
        s->dropped += over;
    }
    g_byte_array_append(s->queue, buf, (guint)len);
    if (s->out == NULL) {
        s->out = start_source(s, s->out_fd, G_IO_OUT, output_ready);
    }
}

void char_stream_write(CharStream *s, const uint8_t *buf, size_t len)
{
    ssize_t n = 0;

    if (s->out_fd < 0) {
        return;
    }
    if (s->queue->len == 0) {
        n = write_some(s->out_fd, buf, len);
    }
    if (n >= 0 && (size_t)n < len) {
        enqueue(s, buf + n, len - (size_t)n);
    }
}

/* -- Input ------------------------------------------------------------------------------------------ */

static size_t room(const CharStream *s)
{
    const CharHandlers *h = &s->owner->front;

    return h->can_read != NULL && h->read != NULL ? h->can_read(h->arg) : 0;
}

int char_stream_take_fd(CharStream *s)
{
    int fd = s->passed_fd;

    s->passed_fd = -1;
    return fd;
}

/* Of the descriptors in a message the first is kept, in place of an older one. */
static void keep_fd(CharStream *s, struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        size_t n = c->cmsg_len >= CMSG_LEN(0) ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        for (size_t i = 0; c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && i < n;
             i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (i == 0) {
                int old = char_stream_take_fd(s);
                s->passed_fd = fd;
                fd = old;
            }
            if (fd >= 0) {
                close(fd);
            }
        }
    }
}

static ssize_t receive(CharStream *s, int fd, uint8_t *buf, size_t len)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(16 * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
                         .msg_controllen = sizeof control};
    ssize_t n;

    if (!s->takes_fds) {
        return read(fd, buf, len);
    }
    n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    if (n >= 0) {
        keep_fd(s, &msg);
    }
    return n;
}

static gboolean input_ready(gint fd, GIOCondition cond, gpointer arg)
{
    CharStream *s = arg;
    uint8_t buf[4096];
    size_t want = MIN(room(s), sizeof buf);
    ssize_t n;

    if (want == 0) {
        stop_source(&s->in);
        return G_SOURCE_CONTINUE;
    }
    n = receive(s, fd, buf, want);
    if (n > 0) {
        n = s->filter != NULL ? (ssize_t)s->filter(s, buf, (size_t)n) : n;
        chardev_deliver(s->owner, buf, (size_t)n);
        char_stream_update(s);
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        stop_source(&s->in);
        if (s->hangup != NULL) {
            s->hangup(s);
        }
    }
    return G_SOURCE_CONTINUE;
}

void char_stream_update(CharStream *s)
{
    if (s->in_fd < 0 || room(s) == 0) {
        stop_source(&s->in);
    } else if (s->in == NULL) {
        s->in = start_source(s, s->in_fd, G_IO_IN | G_IO_HUP | G_IO_ERR, input_ready);
    }
}

/* -- Open, close -------------------------------------------------------------------------------------- */

void char_stream_open(CharStream *s, int in_fd, int out_fd)
{
    s->in_fd = in_fd;
    s->out_fd = out_fd;
    char_stream_update(s);
}

void char_stream_close(CharStream *s, int wait_ms)
{
    stop_source(&s->in);
    stop_source(&s->out);
    while (s->out_fd >= 0 && !flush(s) && wait_ms > 0) {
        struct pollfd p = {.fd = s->out_fd, .events = POLLOUT};
        poll(&p, 1, 20);
        wait_ms -= 20;
    }
    g_byte_array_set_size(s->queue, 0);
    if (s->passed_fd >= 0) {
        close(char_stream_take_fd(s));
    }
    if (s->in_fd > STDERR_FILENO) {
        close(s->in_fd);
    }
    if (s->out_fd > STDERR_FILENO && s->out_fd != s->in_fd) {
        close(s->out_fd);
    }
    s->in_fd = s->out_fd = -1;
}
