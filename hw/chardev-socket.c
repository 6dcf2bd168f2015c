/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The socket back end: unix or TCP, server (one client after another) or client (one connection).
 */
#include "hw/chardev-backends.h"

#include "hw/char-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct {
    Chardev chardev;
    CharStream stream;
    GMainContext *context;
    int listen_fd;             /* -1: a client */
    GSource *accepting;        /* while no client is connected */
    char *unlink_path;         /* of a unix server's socket */
    bool nodelay, telnet;
    enum { TELNET_DATA, TELNET_IAC, TELNET_OPTION, TELNET_SUB, TELNET_SUB_IAC } state;
} CharSocket;

static void start_accepting(CharSocket *s);

/* -- Telnet (RFC 854; echo RFC 857, suppressed go-ahead RFC 858, binary RFC 856) ------------------------ */

enum { /* commands, options */
    SE = 240, BRK = 243, SB = 250, WILL = 251, WONT = 252, DO = 253, DONT = 254, IAC = 255,
    OPT_BINARY = 0, OPT_ECHO = 1, OPT_NO_GO_AHEAD = 3,
};

/* What makes a terminal send each key at once and show only what comes back.  The answers are the client's
 * agreement; they are not looked at. */
static void telnet_greet(CharSocket *s)
{
    static const uint8_t offer[] = {
        IAC, WILL, OPT_ECHO, IAC, WILL, OPT_NO_GO_AHEAD, IAC, WILL, OPT_BINARY, IAC, DO, OPT_BINARY,
    };

    s->state = TELNET_DATA;
    char_stream_write(&s->stream, offer, sizeof offer);
}

/* Take the protocol out of buf[0..len); returns how much data is left at its beginning. */
static size_t telnet_filter(CharStream *stream, uint8_t *buf, size_t len)
{
    CharSocket *s = (CharSocket *)((char *)stream - offsetof(CharSocket, stream));
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t b = buf[i];

        switch (s->state) {
        case TELNET_DATA:
            if (b == IAC) {
                s->state = TELNET_IAC;
            } else {
                buf[n++] = b;
            }
            break;
        case TELNET_IAC:
            s->state = b == SB ? TELNET_SUB : b >= WILL && b <= DONT ? TELNET_OPTION : TELNET_DATA;
            if (b == IAC) {
                buf[n++] = b;
            } else if (b == BRK) {
                chardev_event(&s->chardev, CHAR_BREAK);
            }
            break;
        case TELNET_OPTION:
            s->state = TELNET_DATA;
            break;
        case TELNET_SUB:
            s->state = b == IAC ? TELNET_SUB_IAC : TELNET_SUB;
            break;
        case TELNET_SUB_IAC:
            s->state = b == SE ? TELNET_DATA : TELNET_SUB;
            break;
        }
    }
    return n;
}

static void telnet_write(CharSocket *s, const uint8_t *buf, size_t len)
{
    while (len > 0) {          /* an IAC byte goes twice */
        const uint8_t *iac = memchr(buf, IAC, len);
        size_t n = iac != NULL ? (size_t)(iac - buf) + 1 : len;

        char_stream_write(&s->stream, buf, n);
        if (iac != NULL) {
            char_stream_write(&s->stream, iac, 1);
        }
        buf += n;
        len -= n;
    }
}

/* -- Connections ------------------------------------------------------------------------------------ */

static void connected(CharSocket *s, int fd)
{
    int one = 1;

    if (s->nodelay) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    s->chardev.open = true;
    char_stream_open(&s->stream, fd, fd);
    if (s->telnet) {
        telnet_greet(s);
    }
    chardev_event(&s->chardev, CHAR_OPENED);
}

static void disconnected(CharStream *stream)
{
    CharSocket *s = (CharSocket *)((char *)stream - offsetof(CharSocket, stream));

    char_stream_close(stream, 0);
    s->chardev.open = false;
    chardev_event(&s->chardev, CHAR_CLOSED);
    if (s->listen_fd >= 0) {
        start_accepting(s);
    }
}

static gboolean client_waits(gint fd, GIOCondition cond, gpointer arg)
{
    CharSocket *s = arg;
    int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (conn >= 0) {
        g_source_destroy(s->accepting);
        g_clear_pointer(&s->accepting, g_source_unref);
        connected(s, conn);
    }
    return G_SOURCE_CONTINUE;
}

static void start_accepting(CharSocket *s)
{
    s->accepting = g_unix_fd_source_new(s->listen_fd, G_IO_IN);
    g_source_set_callback(s->accepting, G_SOURCE_FUNC(client_waits), s, NULL);
    g_source_attach(s->accepting, s->context);
}

/* -- Making a socket ---------------------------------------------------------------------------------- */

static int failed(const char *what, const char *where, int err, GError **error)
{
    g_set_error(error, G_IO_ERROR, g_io_error_from_errno(err), "cannot %s socket %s: %s", what,
                where, strerror(err));
    return -1;
}

static int unix_socket(const ChardevSocketOptions *o, GError **error)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    int fd, r;

    if (strlen(o->path) >= sizeof a.sun_path) {
        return failed("use", o->path, ENAMETOOLONG, error);
    }
    memcpy(a.sun_path, o->path, strlen(o->path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return failed("make", o->path, errno, error);
    }
    if (o->server) {
        if (lstat(o->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
            unlink(o->path);   /* left by an earlier run */
        }
        r = bind(fd, (struct sockaddr *)&a, sizeof a);
        r = r == 0 ? listen(fd, 1) : r;
    } else {
        r = connect(fd, (struct sockaddr *)&a, sizeof a);
    }
    if (r != 0) {
        int err = errno;
        close(fd);
        return failed(o->server ? "listen on" : "connect to", o->path, err, error);
    }
    return fd;
}

static int try_address(const struct addrinfo *ai, bool server)
{
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, ai->ai_protocol), one = 1, r;

    if (fd < 0) {
        return -1;
    }
    if (server) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        r = bind(fd, ai->ai_addr, ai->ai_addrlen);
        r = r == 0 ? listen(fd, 1) : r;
    } else {
        r = connect(fd, ai->ai_addr, ai->ai_addrlen);
    }
    if (r != 0) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static int tcp_socket(const ChardevSocketOptions *o, const char *where, GError **error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = o->server ? AI_PASSIVE : 0}, *list;
    const char *host = o->host != NULL && *o->host != '\0' ? o->host : NULL;
    int r, fd = -1;

    r = getaddrinfo(host, o->port, &hints, &list);
    if (r != 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "cannot use socket %s: %s", where,
                    gai_strerror(r));
        return -1;
    }
    for (struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next) {
        fd = try_address(ai, o->server);
    }
    r = errno;
    freeaddrinfo(list);
    return fd >= 0 ? fd : failed(o->server ? "listen on" : "connect to", where, r, error);
}

/* A socket that the parent process has made: it must be one, and listen or be connected as told. */
static int given_socket(const ChardevSocketOptions *o, const char *where, GError **error)
{
    int listens = 0;
    socklen_t len = sizeof listens;

    if (getsockopt(o->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) != 0) {
        return failed("use", where, errno, error);
    }
    if ((listens != 0) != o->server) {
        return failed(o->server ? "listen on" : "talk over", where, EINVAL, error);
    }
    if (fcntl(o->fd, F_SETFD, FD_CLOEXEC) != 0) {
        return failed("use", where, errno, error);
    }
    return o->fd;
}

static bool is_unix(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;

    return getsockname(fd, (struct sockaddr *)&a, &len) == 0 && a.ss_family == AF_UNIX;
}

/* -- The back end --------------------------------------------------------------------------------------- */

static void socket_write(Chardev *c, const uint8_t *buf, size_t len)
{
    CharSocket *s = (CharSocket *)c;

    if (s->telnet) {
        telnet_write(s, buf, len);
    } else {
        char_stream_write(&s->stream, buf, len);
    }
}

static void socket_update(Chardev *c)
{
    char_stream_update(&((CharSocket *)c)->stream);
}

static void socket_destroy(Chardev *c)
{
    CharSocket *s = (CharSocket *)c;

    char_stream_close(&s->stream, 1000);
    char_stream_clear(&s->stream);
    if (s->accepting != NULL) {
        g_source_destroy(s->accepting);
        g_source_unref(s->accepting);
    }
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
    }
    if (s->unlink_path != NULL) {
        unlink(s->unlink_path);
        g_free(s->unlink_path);
    }
    g_free(s);
}

static int socket_take_fd(Chardev *c)
{
    return char_stream_take_fd(&((CharSocket *)c)->stream);
}

static size_t socket_backlog(const Chardev *c)
{
    return ((const CharSocket *)c)->stream.queue->len;
}

static const ChardevClass socket_class = {
    .take_fd = socket_take_fd, .backlog = socket_backlog,
    .name = "socket", .write = socket_write, .accept_input = socket_update,
    .set_handlers = socket_update, .destroy = socket_destroy,
};

Chardev *chardev_socket_new(const char *id, const ChardevSocketOptions *o, GMainContext *context,
                            GError **error)
{
    g_autofree char *where = o->path != NULL ? g_strconcat("unix:", o->path, NULL)
        : o->fd > 0 ? g_strdup_printf("fd:%d", o->fd)
        : g_strdup_printf("%s:%s:%s", o->telnet ? "telnet" : "tcp", o->host != NULL ? o->host : "",
                          o->port);
    int fd = o->path != NULL ? unix_socket(o, error)
           : o->fd > 0       ? given_socket(o, where, error)
                             : tcp_socket(o, where, error);
    CharSocket *s;

    if (fd < 0) {
        return NULL;
    }
    s = g_new0(CharSocket, 1);
    s->chardev = (Chardev){
        .cls = &socket_class, .id = g_strdup(id),
        .label = g_strconcat(where, o->server ? ",server=on" : "", NULL),
    };
    s->context = context;
    s->nodelay = o->nodelay;
    s->listen_fd = o->server ? fd : -1;
    char_stream_init(&s->stream, &s->chardev, context, disconnected);
    s->telnet = o->telnet;
    s->stream.filter = o->telnet ? telnet_filter : NULL;
    s->stream.takes_fds = is_unix(fd);
    if (!o->server) {
        connected(s, fd);
        return &s->chardev;
    }
    s->unlink_path = o->path != NULL ? g_canonicalize_filename(o->path, NULL) : NULL;
    if (o->wait) {
        int conn;
        do {
            conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        } while (conn < 0 && errno == EINTR);
        if (conn >= 0) {
            connected(s, conn);
            return &s->chardev;
        }
    }
    start_accepting(s);
    return &s->chardev;
}
