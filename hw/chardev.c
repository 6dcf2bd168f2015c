/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/chardev.h"

void chardev_attach(Chardev *c, const CharHandlers *h)
{
    c->front = h != NULL ? *h : (CharHandlers){0};
    if (c->cls->set_handlers != NULL) {
        c->cls->set_handlers(c);
    }
    if (h != NULL && c->open) {
        chardev_event(c, CHAR_OPENED);
    }
}

void chardev_accept_input(Chardev *c)
{
    if (c->cls->accept_input != NULL) {
        c->cls->accept_input(c);
    }
}

int chardev_take_fd(Chardev *c)
{
    return c->cls->take_fd != NULL ? c->cls->take_fd(c) : -1;
}

size_t chardev_backlog(const Chardev *c)
{
    return c->cls->backlog != NULL ? c->cls->backlog(c) : 0;
}

void chardev_free(Chardev *c)
{
    if (c != NULL) {
        g_free(c->id);
        g_free(c->label);
        c->id = c->label = NULL;
        c->cls->destroy(c);
    }
}

size_t chardev_deliver(Chardev *c, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    /* A front end may take less a time than it has room for in all. */
    while (done < len && c->front.read != NULL) {
        size_t room = c->front.can_read != NULL ? c->front.can_read(c->front.arg) : 0;
        size_t n = MIN(room, len - done);
        if (n == 0) {
            break;
        }
        c->front.read(c->front.arg, buf + done, n);
        done += n;
    }
    return done;
}

void chardev_event(Chardev *c, CharEvent e)
{
    if (e != CHAR_BREAK) {
        c->open = e == CHAR_OPENED;
    }
    if (c->front.event != NULL) {
        c->front.event(c->front.arg, e);
    }
}
