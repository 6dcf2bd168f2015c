/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/migrate-channel.h"

#include "monitor/report.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct MigrateChannel {
    char *uri;
    int fd, listen_fd;         /* -1: none yet                            */
    int cancel_fd;             /* an eventfd, readable once it is to end  */
    GPid child;                /* of exec:, 0: none                       */
    GBytes *bytes;             /* instead of a descriptor                 */
    size_t at;
    bool write;
};

/* -- URIs ------------------------------------------------------------------------------------------- */

/* What follows the scheme, or NULL. */
static const char *after(const char *uri, const char *scheme)
{
    return g_str_has_prefix(uri, scheme) ? uri + strlen(scheme) : NULL;
}

static bool split_tcp(const char *where, char **host, char **port)
{
    const char *colon = strrchr(where, ':');

    if (colon == NULL || colon[1] == '\0') {
        return false;
    }
    *host = where[0] == '[' && colon > where && colon[-1] == ']' ? g_strndup(where + 1, (size_t)(colon - where) - 2)
                                                                : g_strndup(where, (size_t)(colon - where));
    *port = g_strdup(colon + 1);
    return true;
}

bool migrate_uri_check(const char *uri, GError **error)
{
    static const char *const plain[] = {"file:", "exec:", "unix:"};
    g_autofree char *host = NULL, *port = NULL;
    const char *rest;
    uint64_t n;

    for (size_t i = 0; i < G_N_ELEMENTS(plain); i++) {
        rest = after(uri, plain[i]);
        if (rest != NULL) {
            return rest[0] != '\0' || fail(error, "'%s': something is to follow the colon", uri);
        }
    }
    if ((rest = after(uri, "tcp:")) != NULL) {
        return split_tcp(rest, &host, &port) || fail(error, "'%s': not tcp:HOST:PORT", uri);
    }
    if ((rest = after(uri, "fd:")) != NULL) {
        return g_ascii_string_to_unsigned(rest, 10, 0, INT_MAX, &n, NULL) ||
               fail(error, "'%s': not the number of a descriptor", uri);
    }
    return fail(error, "'%s': not file:PATH, exec:COMMAND, unix:PATH, tcp:HOST:PORT or fd:NUMBER", uri);
}

/* -- Opening ---------------------------------------------------------------------------------------- */

static bool open_file(MigrateChannel *c, const char *path, GError **error)
{
    int flags = c->write ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY;

    c->fd = open(path, flags | O_CLOEXEC, 0600);
    return c->fd >= 0 || fail(error, "could not open '%s': %s", path, g_strerror(errno));
}

/* The mask of this program's threads is not for others.  A group of its own: what the shell starts ends with it. */
static void in_child(gpointer unused)
{
    sigset_t none;

    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
}

static bool open_command(MigrateChannel *c, const char *command, GError **error)
{
    char *argv[] = {"/bin/sh", "-c", (char *)command, NULL};
    g_autoptr(GError) why = NULL;

    if (!g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, in_child, NULL, &c->child,
                                  c->write ? &c->fd : NULL, c->write ? NULL : &c->fd, NULL, &why)) {
        return fail(error, "could not start '%s': %s", command, why->message);
    }
    return fcntl(c->fd, F_SETFD, FD_CLOEXEC) == 0 || fail(error, "%s", g_strerror(errno));
}

/* A socket for the address: connected (write) or listening. */
static int try_address(const MigrateChannel *c, int family, const struct sockaddr *addr, socklen_t len)
{
    const struct timeval soon = {.tv_sec = 5};     /* the machine waits meanwhile */
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0) {
        return -1;
    }
    if (c->write) {
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
    } else if (family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    if (c->write ? connect(fd, addr, len) != 0 : bind(fd, addr, len) != 0 || listen(fd, 1) != 0) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static bool keep_socket(MigrateChannel *c, int fd, GError **error)
{
    if (fd < 0) {
        return fail(error, "could not %s '%s': %s", c->write ? "connect to" : "listen on", c->uri, g_strerror(errno));
    }
    *(c->write ? &c->fd : &c->listen_fd) = fd;
    return true;
}

static bool open_unix(MigrateChannel *c, const char *path, GError **error)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof a.sun_path) {
        return fail(error, "'%s': the path is too long", c->uri);
    }
    strcpy(a.sun_path, path);
    if (!c->write) {
        unlink(path);          /* what a process of before has left, as other listeners do */
    }
    return keep_socket(c, try_address(c, AF_UNIX, (const struct sockaddr *)&a, sizeof a), error);
}

static bool open_tcp(MigrateChannel *c, const char *where, GError **error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = c->write ? 0 : AI_PASSIVE}, *list;
    g_autofree char *host = NULL, *port = NULL;
    int fd = -1, err;

    split_tcp(where, &host, &port);
    err = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, &list);
    if (err != 0) {
        return fail(error, "'%s': %s", c->uri, gai_strerror(err));
    }
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = try_address(c, a->ai_family, a->ai_addr, a->ai_addrlen);
    }
    freeaddrinfo(list);
    return keep_socket(c, fd, error);
}

static bool open_fd(MigrateChannel *c, const char *number, GError **error)
{
    int fd = (int)g_ascii_strtoull(number, NULL, 10);

    if (fcntl(fd, F_GETFD) < 0) {
        return fail(error, "'%s': there is no such descriptor", c->uri);
    }
    c->fd = fd;
    return true;
}

static bool open_uri(MigrateChannel *c, GError **error)
{
    const char *rest;

    return (rest = after(c->uri, "file:")) != NULL   ? open_file(c, rest, error)
           : (rest = after(c->uri, "exec:")) != NULL ? open_command(c, rest, error)
           : (rest = after(c->uri, "unix:")) != NULL ? open_unix(c, rest, error)
           : (rest = after(c->uri, "tcp:")) != NULL  ? open_tcp(c, rest, error)
                                                     : open_fd(c, after(c->uri, "fd:"), error);
}

static MigrateChannel *new_channel(const char *uri, bool write)
{
    MigrateChannel *c = g_new0(MigrateChannel, 1);

    c->uri = g_strdup(uri);
    c->write = write;
    c->fd = c->listen_fd = -1;
    c->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return c;
}

MigrateChannel *migrate_channel_open(const char *uri, bool write, GError **error)
{
    MigrateChannel *c;

    if (!migrate_uri_check(uri, error)) {
        return NULL;
    }
    c = new_channel(uri, write);
    if (c->cancel_fd < 0 ? !fail(error, "%s", g_strerror(errno)) : !open_uri(c, error)) {
        migrate_channel_free(c);
        return NULL;
    }
    if (c->fd >= 0) {
        fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
    }
    return c;
}

MigrateChannel *migrate_channel_of_bytes(GBytes *bytes)
{
    MigrateChannel *c = new_channel("bytes", false);

    c->bytes = g_bytes_ref(bytes);
    return c;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

void migrate_channel_free(MigrateChannel *c)
{
    if (c == NULL) {
        return;
    }
    close_fd(&c->fd);
    if (c->listen_fd >= 0 && after(c->uri, "unix:") != NULL) {
        unlink(after(c->uri, "unix:"));
    }
    close_fd(&c->listen_fd);
    close_fd(&c->cancel_fd);
    /* It was not waited for: the other end is of no use any more.  The sandbox may not let it be killed. */
    if (c->child != 0 && kill(-c->child, SIGKILL) == 0) {
        waitpid(c->child, NULL, 0);
    }
    g_clear_pointer(&c->bytes, g_bytes_unref);
    g_free(c->uri);
    g_free(c);
}

/* -- Reading and writing ------------------------------------------------------------------------------ */

/* Until the descriptor is ready; false when the channel is to end. */
static bool wait_for(MigrateChannel *c, int fd, short events, GError **error)
{
    struct pollfd p[] = {{.fd = fd, .events = events}, {.fd = c->cancel_fd, .events = POLLIN}};

    while (poll(p, G_N_ELEMENTS(p), -1) < 0 && errno == EINTR) {
    }
    return (p[1].revents & POLLIN) == 0 || fail(error, "it was cancelled");
}

bool migrate_channel_await(MigrateChannel *c, GError **error)
{
    if (c->listen_fd < 0) {
        return true;
    }
    if (!wait_for(c, c->listen_fd, POLLIN, error)) {
        return false;
    }
    c->fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (c->fd < 0) {
        return fail(error, "'%s': %s", c->uri, g_strerror(errno));
    }
    if (after(c->uri, "unix:") != NULL) {
        unlink(after(c->uri, "unix:"));
    }
    close_fd(&c->listen_fd);
    return true;
}

static bool read_bytes(MigrateChannel *c, void *buf, size_t len, GError **error)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(c->bytes, &size);

    if (len > size - c->at) {
        return fail(error, "it ends early");
    }
    memcpy(buf, data + c->at, len);
    c->at += len;
    return true;
}

bool migrate_channel_read(MigrateChannel *c, void *buf, size_t len, GError **error)
{
    if (c->bytes != NULL) {
        return read_bytes(c, buf, len, error);
    }
    for (size_t done = 0; done < len;) {
        ssize_t n;

        if (!wait_for(c, c->fd, POLLIN, error)) {
            return false;
        }
        n = read(c->fd, (uint8_t *)buf + done, len - done);
        if (n == 0) {
            return fail(error, "it ends early");
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return fail(error, "'%s': %s", c->uri, g_strerror(errno));
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

bool migrate_channel_write(MigrateChannel *c, const void *buf, size_t len, GError **error)
{
    for (size_t done = 0; done < len;) {
        ssize_t n;

        if (!wait_for(c, c->fd, POLLOUT, error)) {
            return false;
        }
        n = write(c->fd, (const uint8_t *)buf + done, len - done);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return fail(error, "'%s': %s", c->uri, g_strerror(errno));
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool wait_for_child(MigrateChannel *c, GError **error)
{
    enum { LOOK_MS = 10 };
    struct pollfd p = {.fd = c->cancel_fd, .events = POLLIN};
    int status = 0;            /* somebody else has waited for it: nothing is known against it */

    while (waitpid(c->child, &status, WNOHANG) == 0) {
        if (poll(&p, 1, LOOK_MS) > 0) {
            return fail(error, "it was cancelled");
        }
    }
    c->child = 0;
    return status == 0 || fail(error, "'%s' failed", c->uri);
}

bool migrate_channel_finish(MigrateChannel *c, GError **error)
{
    struct stat st;

    if (c->write && fstat(c->fd, &st) == 0 && S_ISREG(st.st_mode) && fdatasync(c->fd) != 0) {
        return fail(error, "'%s': %s", c->uri, g_strerror(errno));
    }
    close_fd(&c->fd);
    return c->child == 0 || wait_for_child(c, error);
}

void migrate_channel_cancel(MigrateChannel *c)
{
    uint64_t one = 1;

    while (write(c->cancel_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}
