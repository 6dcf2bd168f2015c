/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/back-ends.h"

#include "monitor/events.h"
#include "monitor/iothread.h"
#include "monitor/report.h"

#include <string.h>

/* -- Chardevs --------------------------------------------------------------------------------------- */

static Chardev *make_chardev(Machine *m, const ChardevConfig *c, GError **error)
{
    switch (c->kind) {
    case CHAR_STDIO:
        return chardev_stdio_new(c->id, c->signals, m->context, error);
    case CHAR_FILE:
        return chardev_file_new(c->id, c->path, c->append, m->context, error);
    case CHAR_PIPE:
        return chardev_pipe_new(c->id, c->path, m->context, error);
    case CHAR_PTY: {
        Chardev *pty = chardev_pty_new(c->id, m->context, error);
        if (pty != NULL) {
            report_info("char device redirected to %s (label %s)", pty->label + strlen("pty:"),
                        c->id);
        }
        return pty;
    }
    case CHAR_SOCKET: {
        ChardevSocketOptions o = {.path = c->path, .host = c->host, .port = c->port,
                                  .server = c->server, .wait = c->server && c->wait,
                                  .nodelay = c->nodelay, .telnet = c->telnet,
                                  .fd = c->fd > 0 ? c->fd : 0};
        if (o.wait) {
            report_info("waiting for a connection on %s", c->path != NULL ? c->path : c->port);
        }
        return chardev_socket_new(c->id, &o, m->context, error);
    }
    case CHAR_RINGBUF:
        return chardev_ringbuf_new(c->id, (size_t)c->size);
    case CHAR_NULL:
        break;
    }
    return chardev_null_new(c->id);
}

static bool open_chardev(Machine *m, const ChardevConfig *c, BackEndChardev **made, GError **error)
{
    Chardev *chardev = make_chardev(m, c, error);
    BackEndChardev *b;

    if (chardev == NULL) {
        g_prefix_error(error, "%s: ", c->option);
        return false;
    }
    b = *made = g_new0(BackEndChardev, 1);
    b->config = c;
    b->chardev = chardev;
    b->fronts = g_ptr_array_new_with_free_func((GDestroyNotify)chardev_free);
    if (c->mux) {
        b->mux = char_mux_new(chardev, &(CharMuxHooks){.arg = m, .quit = machine_quit,
                                                         .escape = m->config->escape});
    }
    g_ptr_array_add(m->chardevs, b);
    return true;
}

bool back_ends_open_chardevs(Machine *m, GError **error)
{
    BackEndChardev *b;

    for (guint i = 0; i < m->config->chardevs->len; i++) {
        if (!open_chardev(m, g_ptr_array_index(m->config->chardevs, i), &b, error)) {
            return false;
        }
    }
    return true;
}

void back_end_chardev_free(BackEndChardev *b)
{
    bool mux_has_fronts = b->fronts->len > 0;

    g_ptr_array_free(b->fronts, TRUE);
    if (b->mux == NULL) {
        chardev_free(b->chardev);
    } else if (!mux_has_fronts) {
        char_mux_free(b->mux);
    }
    if (b->own_config != NULL) {
        chardev_config_free(b->own_config);
    }
    g_free(b);
}

BackEndChardev *back_end_find_chardev(Machine *m, const char *id)
{
    for (guint i = 0; i < m->chardevs->len; i++) {
        BackEndChardev *b = g_ptr_array_index(m->chardevs, i);
        if (strcmp(b->config->id, id) == 0) {
            return b;
        }
    }
    return NULL;
}

Chardev *machine_chardev(Machine *m, const char *id)
{
    BackEndChardev *b = back_end_find_chardev(m, id);

    return b != NULL ? b->chardev : NULL;
}

Chardev *back_end_take_chardev(Machine *m, const char *id, GError **error)
{
    BackEndChardev *b = back_end_find_chardev(m, id);
    Chardev *front;

    if (b == NULL) {
        fail(error, "there is no chardev '%s'", id);
        return NULL;
    }
    if (b->mux == NULL) {
        if (b->used) {
            fail(error, "chardev '%s' is in use already; share it with mux=on", id);
            return NULL;
        }
        b->used = true;
        return b->chardev;
    }
    front = char_mux_front(b->mux);
    if (front == NULL) {
        fail(error, "chardev '%s' has %d users already", id, CHAR_MUX_FRONTS);
        return NULL;
    }
    g_ptr_array_add(b->fronts, front);
    return front;
}

bool back_end_add_chardev(Machine *m, ChardevConfig *c, GError **error)
{
    BackEndChardev *b;

    if (back_end_find_chardev(m, c->id) != NULL) {
        fail(error, "there is already a chardev called '%s'", c->id);
        chardev_config_free(c);
        return false;
    }
    if (!open_chardev(m, c, &b, error)) {
        chardev_config_free(c);
        return false;
    }
    b->own_config = c;
    return true;
}

void back_end_give_back_chardev(Machine *m, Chardev *chardev, bool drop)
{
    for (guint i = 0; i < m->chardevs->len; i++) {
        BackEndChardev *b = g_ptr_array_index(m->chardevs, i);
        if (b->mux == NULL && b->chardev == chardev) {
            b->used = false;
            if (drop) {
                g_ptr_array_remove_index(m->chardevs, i);
            }
            return;
        }
    }
}

bool machine_line(Machine *m, const LineConfig *line, Chardev **chardev, GError **error)
{
    *chardev = NULL;
    if (line->chardev != NULL) {
        *chardev = back_end_take_chardev(m, line->chardev, error);
        if (*chardev == NULL) {
            g_prefix_error(error, "%s: ", line->option);
            return false;
        }
    }
    return true;
}

/* -- Blocks ------------------------------------------------------------------------------------------- */

/* A completion's way into the machine.  The I/O thread dispatches with the lock held already. */
static void run_locked(void *machine, void (*fn)(void *), void *arg)
{
    Machine *m = machine;

    lock_take(&m->lock);
    fn(arg);
    lock_release(&m->lock);
}

static void report_io_error(void *arg, BlockOp op, int err)
{
    const BackEndBlock *b = arg;

    event_block_io_error(b->machine, b->config->id, op == BLOCK_READ, err);
}

bool back_ends_start_iothreads(Machine *m, GError **error)
{
    for (guint i = 0; i < m->config->objects->len; i++) {
        const DeviceConfig *o = g_ptr_array_index(m->config->objects, i);
        IoThread *t;

        if (strcmp(o->driver, "iothread") != 0) {
            continue;
        }
        t = iothread_new(o->id, error);
        if (t == NULL) {
            g_prefix_error(error, "%s: ", o->option);
            return false;
        }
        g_ptr_array_add(m->iothreads, t);
    }
    return true;
}

/* Where a drive's requests complete: in the iothread= of the device that has it, or the I/O thread. */
static GMainContext *context_of(Machine *m, const DriveConfig *d)
{
    for (guint i = 0; i < m->config->devices->len; i++) {
        const DeviceConfig *dev = g_ptr_array_index(m->config->devices, i);
        const char *drive = opt_peek(dev->props, "drive"), *id = opt_peek(dev->props, "iothread");

        for (guint t = 0; drive != NULL && id != NULL && strcmp(drive, d->id) == 0 &&
                          t < m->iothreads->len; t++) {
            IoThread *thread = g_ptr_array_index(m->iothreads, t);
            if (strcmp(iothread_id(thread), id) == 0) {
                return iothread_context(thread);
            }
        }
    }
    return m->context;
}

bool back_ends_open_blocks(Machine *m, GError **error)
{
    for (guint i = 0; i < m->config->drives->len; i++) {
        const DriveConfig *d = g_ptr_array_index(m->config->drives, i);
        BackEndBlock *b = g_new0(BackEndBlock, 1);

        b->config = d;
        g_ptr_array_add(m->blocks, b);
        if (d->file != NULL) {
            BlockOptions o = {.filename = d->file, .format = d->format, .read_only = d->read_only,
                              .snapshot = d->snapshot, .no_lock = d->no_lock, .lock_later = m->config->incoming != NULL,
                              .no_discard = d->no_discard};
            o.cache = d->cache;
            b->machine = m;
            b->block = block_open(&o, context_of(m, d), run_locked, m, error);
            if (b->block == NULL) {
                g_prefix_error(error, "%s: ", d->option);
                return false;
            }
            block_on_error(b->block, report_io_error, b);
        }
    }
    return true;
}

void back_end_block_free(BackEndBlock *b)
{
    if (b->block != NULL) {
        block_close(b->block);
    }
    g_free(b);
}

BlockBackend *machine_block(Machine *m, const char *drive_id)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        BackEndBlock *b = g_ptr_array_index(m->blocks, i);
        if (strcmp(b->config->id, drive_id) == 0) {
            return b->block;
        }
    }
    return NULL;
}

BackEndBlock *back_end_take_block(Machine *m, const char *id, GError **error)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        BackEndBlock *b = g_ptr_array_index(m->blocks, i);
        if (strcmp(b->config->id, id) != 0) {
            continue;
        }
        if (b->used || b->config->interface != IF_NONE) {
            fail(error, "drive '%s' is in use already%s", id,
                 b->used ? "" : " (give it if=none)");
            return NULL;
        }
        b->used = true;
        return b;
    }
    fail(error, "there is no drive '%s'", id);
    return NULL;
}

BackEndBlock *back_end_take_drive(Machine *m, DriveInterface interface, unsigned index)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        BackEndBlock *b = g_ptr_array_index(m->blocks, i);
        if (b->config->interface == interface && b->config->index == index) {
            b->used = true;
            return b;
        }
    }
    return NULL;
}

bool back_ends_check_use(Machine *m, GError **error)
{
    for (guint i = 0; i < m->blocks->len; i++) {
        const BackEndBlock *b = g_ptr_array_index(m->blocks, i);
        if (!b->used && b->config->interface != IF_NONE) {
            return fail(error, "%s: machine %s has no place for this drive", b->config->option,
                        m->cls->name);
        }
    }
    return true;
}
