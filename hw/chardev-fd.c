/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Back ends that are file descriptors for their whole life: stdio, file, pipe, pty; and null. */
#include "hw/chardev-backends.h"

#include "hw/char-stream.h"
#include "hw/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

typedef struct {
    Chardev chardev;
    CharStream stream;
    int kept_fd;               /* pty: our own hold on the other side, or -1 */
} CharFd;

enum { CLOSE_WAIT_MS = 2000 }; /* a slow reader gets this long for the last output */

static void fd_write(Chardev *c, const uint8_t *buf, size_t len)
{
    char_stream_write(&((CharFd *)c)->stream, buf, len);
}

static void fd_update(Chardev *c)
{
    char_stream_update(&((CharFd *)c)->stream);
}

static size_t fd_backlog(const Chardev *c)
{
    return ((const CharFd *)c)->stream.queue->len;
}

static void fd_destroy(Chardev *c)
{
    CharFd *f = (CharFd *)c;

    char_stream_close(&f->stream, CLOSE_WAIT_MS);
    char_stream_clear(&f->stream);
    if (f->kept_fd >= 0) {
        close(f->kept_fd);
    }
    g_free(f);
}

static void stdio_destroy(Chardev *c)
{
    fd_destroy(c);
    terminal_restore();
}

#define FD_CLASS(n, d)                                                                             \
    {.name = n, .write = fd_write, .accept_input = fd_update, .set_handlers = fd_update,           \
     .backlog = fd_backlog, .destroy = d}

static const ChardevClass stdio_class = FD_CLASS("stdio", stdio_destroy);
static const ChardevClass file_class = FD_CLASS("file", fd_destroy);
static const ChardevClass pipe_class = FD_CLASS("pipe", fd_destroy);
static const ChardevClass pty_class = FD_CLASS("pty", fd_destroy);

/* End of input: the line stays, silent (a guest fed from a pipe runs on). */
static void input_ended(CharStream *s)
{
    if (s->in_fd > STDERR_FILENO && s->in_fd != s->out_fd) {
        close(s->in_fd);
    }
    s->in_fd = -1;
}

/* Takes the label and the descriptors. */
static CharFd *fd_new(const ChardevClass *cls, const char *id, char *label, int in_fd, int out_fd,
                      GMainContext *context)
{
    CharFd *f = g_new0(CharFd, 1);

    f->chardev = (Chardev){.cls = cls, .id = g_strdup(id), .label = label, .open = true};
    f->kept_fd = -1;
    char_stream_init(&f->stream, &f->chardev, context, input_ended);
    char_stream_open(&f->stream, in_fd, out_fd);
    return f;
}

static Chardev *open_failed(const char *what, const char *path, GError **error)
{
    int err = errno;

    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err), "cannot open %s %s: %s", what, path,
                strerror(err));
    return NULL;
}

/* -- Makers ------------------------------------------------------------------------------------------- */

Chardev *chardev_stdio_new(const char *id, bool signals, GMainContext *context, GError **error)
{
    /* A closed descriptor would be reused by the next file opened: refuse to talk into that. */
    if (fcntl(STDOUT_FILENO, F_GETFD) < 0) {
        return open_failed("the", "standard output", error);
    }
    int in_fd = fcntl(STDIN_FILENO, F_GETFD) < 0 ? -1 : STDIN_FILENO;

    terminal_make_raw(signals);
    return &fd_new(&stdio_class, id, g_strdup("stdio"), in_fd, STDOUT_FILENO, context)->chardev;
}

Chardev *chardev_file_new(const char *id, const char *path, bool append, GMainContext *context,
                          GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);

    if (fd < 0) {
        return open_failed("file", path, error);
    }
    return &fd_new(&file_class, id, g_strconcat("file:", path, NULL), -1, fd, context)->chardev;
}

Chardev *chardev_pipe_new(const char *id, const char *path, GMainContext *context, GError **error)
{
    g_autofree char *in = g_strconcat(path, ".in", NULL), *out = g_strconcat(path, ".out", NULL);
    int in_fd = open(in, O_RDWR | O_CLOEXEC), out_fd = open(out, O_RDWR | O_CLOEXEC);

    if (in_fd < 0 || out_fd < 0) {
        if (in_fd >= 0) {
            close(in_fd);
        }
        if (out_fd >= 0) {
            close(out_fd);
        }
        in_fd = out_fd = open(path, O_RDWR | O_CLOEXEC);
        if (in_fd < 0) {
            return open_failed("pipe", path, error);
        }
    }
    return &fd_new(&pipe_class, id, g_strconcat("pipe:", path, NULL), in_fd, out_fd,
                   context)->chardev;
}

/* We hold the other side open too: with nobody there the descriptor would poll as hung up, for ever. */
Chardev *chardev_pty_new(const char *id, GMainContext *context, GError **error)
{
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), side = -1;
    char name[64];
    struct termios t;
    CharFd *f;

    if (fd < 0 || grantpt(fd) != 0 || unlockpt(fd) != 0 || ptsname_r(fd, name, sizeof name) != 0 ||
        (side = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
        open_failed("a new", "pseudo terminal", error);
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    if (tcgetattr(side, &t) == 0) {
        cfmakeraw(&t);
        tcsetattr(side, TCSANOW, &t);
    }
    f = fd_new(&pty_class, id, g_strconcat("pty:", name, NULL), fd, fd, context);
    f->kept_fd = side;
    return &f->chardev;
}

/* -- Null --------------------------------------------------------------------------------------------- */

static void null_write(Chardev *c, const uint8_t *buf, size_t len)
{
}

static void null_destroy(Chardev *c)
{
    g_free(c);
}

static const ChardevClass null_class = {
    .name = "null", .write = null_write, .destroy = null_destroy,
};

Chardev *chardev_null_new(const char *id)
{
    Chardev *c = g_new0(Chardev, 1);

    *c = (Chardev){.cls = &null_class, .id = g_strdup(id), .label = g_strdup("null"),
                   .open = true};
    return c;
}
