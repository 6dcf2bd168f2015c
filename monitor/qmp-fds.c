/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/qmp-fds.h"

#include "monitor/qmp-internal.h"

#include <string.h>
#include <unistd.h>

enum { MAX_FDS = 256 };        /* a client cannot use up the process's descriptors */

void qmp_fd_free(QmpFd *f)
{
    close(f->fd);
    g_free(f->name);
    g_free(f->opaque);
    g_free(f);
}

static QmpFd *find_named(Qmp *q, const char *name)
{
    GPtrArray *fds = qmp_fds(q);

    for (guint i = 0; i < fds->len; i++) {
        QmpFd *f = g_ptr_array_index(fds, i);
        if (f->name != NULL && strcmp(f->name, name) == 0) {
            return f;
        }
    }
    return NULL;
}

/* The next of a set, after `from`. */
static QmpFd *find_in_set(Qmp *q, int64_t set, guint from)
{
    GPtrArray *fds = qmp_fds(q);

    for (guint i = from; i < fds->len; i++) {
        QmpFd *f = g_ptr_array_index(fds, i);
        if (f->name == NULL && f->set == set) {
            return f;
        }
    }
    return NULL;
}

static struct json_object *no_such(const char *name, GError **error)
{
    return qmp_fail(error, QMP_GENERIC_ERROR, "File descriptor named '%s' not found", name);
}

int qmp_fds_take(Qmp *q, const char *name, GError **error)
{
    QmpFd *f = find_named(q, name);
    int fd;

    if (f == NULL) {
        no_such(name, error);
        return -1;
    }
    fd = dup(f->fd);
    g_ptr_array_remove(qmp_fds(q), f);
    if (fd < 0) {
        qmp_fail(error, QMP_GENERIC_ERROR, "File descriptor named '%s' cannot be used", name);
    }
    return fd;
}

char *qmp_fds_path(Qmp *q, const char *path, GError **error)
{
    uint64_t set;
    const QmpFd *f;

    if (!g_str_has_prefix(path, "/dev/fdset/")) {
        return g_strdup(path);
    }
    f = g_ascii_string_to_unsigned(path + strlen("/dev/fdset/"), 10, 0, INT64_MAX, &set, NULL)
      ? find_in_set(q, (int64_t)set, 0) : NULL;
    if (f == NULL) {
        qmp_fail(error, QMP_GENERIC_ERROR, "Could not open '%s': there is no such set", path);
        return NULL;
    }
    return g_strdup_printf("/proc/self/fd/%d", f->fd);
}

/* What came with the command. */
static int passed_fd(QmpCall *c, GError **error)
{
    int fd = qmp_monitor_take_fd(c->monitor);

    if (fd < 0) {
        qmp_fail(error, QMP_GENERIC_ERROR, "No file descriptor supplied via SCM_RIGHTS");
    } else if (qmp_fds(c->machine->qmp)->len >= MAX_FDS) {
        close(fd);
        fd = -1;
        qmp_fail(error, QMP_GENERIC_ERROR, "There are %d file descriptors already", MAX_FDS);
    }
    return fd;
}

static QmpFd *keep(QmpCall *c, int fd)
{
    QmpFd *f = g_new0(QmpFd, 1);

    f->fd = fd;
    g_ptr_array_add(qmp_fds(c->machine->qmp), f);
    return f;
}

struct json_object *qmp_getfd(QmpCall *c, GError **error)
{
    const char *name = json_get_string(c->args, "fdname");
    int fd = passed_fd(c, error);
    QmpFd *old;

    if (fd < 0) {
        return NULL;
    }
    if (name[0] == '\0' || g_ascii_isdigit(name[0])) {
        close(fd);
        return qmp_fail(error, QMP_GENERIC_ERROR,
                        "Parameter 'fdname' expects a name not starting with a digit");
    }
    old = find_named(c->machine->qmp, name);
    if (old != NULL) {
        g_ptr_array_remove(qmp_fds(c->machine->qmp), old);
    }
    keep(c, fd)->name = g_strdup(name);
    return NULL;
}

struct json_object *qmp_closefd(QmpCall *c, GError **error)
{
    const char *name = json_get_string(c->args, "fdname");
    QmpFd *f = find_named(c->machine->qmp, name);

    if (f == NULL) {
        return no_such(name, error);
    }
    g_ptr_array_remove(qmp_fds(c->machine->qmp), f);
    return NULL;
}

/* -- Sets ----------------------------------------------------------------------------------------------- */

static int64_t free_set(Qmp *q)
{
    int64_t n = 0;

    while (find_in_set(q, n, 0) != NULL) {
        n++;
    }
    return n;
}

struct json_object *qmp_add_fd(QmpCall *c, GError **error)
{
    int64_t set = json_get_int(c->args, "fdset-id", -1);
    int fd;
    QmpFd *f;
    struct json_object *o;

    if (json_get(c->args, "fdset-id") != NULL && set < 0) {
        return qmp_fail(error, QMP_GENERIC_ERROR,
                        "Parameter 'fdset-id' expects a non-negative value");
    }
    fd = passed_fd(c, error);
    if (fd < 0) {
        return NULL;
    }
    set = set < 0 ? free_set(c->machine->qmp) : set;
    f = keep(c, fd);
    f->set = set;
    f->opaque = g_strdup(json_get_string(c->args, "opaque"));
    o = json_object_new_object();
    json_add_int(o, "fdset-id", set);
    json_add_int(o, "fd", fd);
    return o;
}

struct json_object *qmp_remove_fd(QmpCall *c, GError **error)
{
    GPtrArray *fds = qmp_fds(c->machine->qmp);
    int64_t set = json_get_int(c->args, "fdset-id", 0), fd = json_get_int(c->args, "fd", -1);
    bool found = false;

    for (guint i = fds->len; i-- > 0;) {
        const QmpFd *f = g_ptr_array_index(fds, i);
        if (f->name == NULL && f->set == set && (fd < 0 || f->fd == fd)) {
            g_ptr_array_remove_index(fds, i);
            found = true;
        }
    }
    if (!found) {
        return qmp_fail(error, QMP_GENERIC_ERROR, "File descriptor named 'fdset-id:%"
                        G_GINT64_FORMAT "' not found", set);
    }
    return NULL;
}

static struct json_object *fd_info(const QmpFd *f)
{
    struct json_object *o = json_object_new_object();

    json_add_int(o, "fd", f->fd);
    if (f->opaque != NULL) {
        json_add_string(o, "opaque", f->opaque);
    }
    return o;
}

struct json_object *qmp_query_fdsets(QmpCall *c, GError **error)
{
    GPtrArray *fds = qmp_fds(c->machine->qmp);
    struct json_object *list = json_object_new_array();

    for (guint i = 0; i < fds->len; i++) {
        const QmpFd *first = g_ptr_array_index(fds, i);
        struct json_object *o, *members;
        if (first->name != NULL || find_in_set(c->machine->qmp, first->set, 0) != first) {
            continue;          /* listed with the first of its set */
        }
        o = json_object_new_object();
        members = json_object_new_array();
        for (guint j = i; j < fds->len; j++) {
            const QmpFd *f = g_ptr_array_index(fds, j);
            if (f->name == NULL && f->set == first->set) {
                json_object_array_add(members, fd_info(f));
            }
        }
        json_add_int(o, "fdset-id", first->set);
        json_add(o, "fds", members);
        json_object_array_add(list, o);
    }
    return list;
}
