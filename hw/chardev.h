/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices: the host's end of a serial line, console or monitor.
 *
 * A back end (stdio, file, pty, socket, null, ring buffer, mux) is a Chardev; the front end (UART,
 * virtio-console, monitor, debug port) attaches to it with CharHandlers.  Input is delivered only
 * as far as can_read() allows and waits in the host otherwise (never dropped).  Output that the
 * host does not take at once is queued by the back end; chardev_write() never blocks the caller
 * (a queue beyond 1 MiB drops the oldest and is counted, as a real line would).
 * Everything runs with the machine lock held.  Back ends live in hw/chardev-*.c and use the
 * machine's GMainContext.
 */
#ifndef HW_CHARDEV_H
#define HW_CHARDEV_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Chardev Chardev;

typedef enum { CHAR_OPENED, CHAR_CLOSED, CHAR_BREAK } CharEvent;

typedef struct {
    void *arg;
    size_t (*can_read)(void *arg);             /* bytes the front end takes now */
    void (*read)(void *arg, const uint8_t *buf, size_t len);
    void (*event)(void *arg, CharEvent e);     /* may be NULL */
} CharHandlers;

typedef struct {
    const char *name;                          /* "stdio", "file"... */
    void (*write)(Chardev *c, const uint8_t *buf, size_t len);
    void (*accept_input)(Chardev *c);          /* front end can read again; may be NULL */
    void (*set_handlers)(Chardev *c);          /* c->front has changed; may be NULL     */
    int (*take_fd)(Chardev *c);                /* see chardev_take_fd(); may be NULL    */
    size_t (*backlog)(const Chardev *c);       /* see chardev_backlog(); may be NULL    */
    void (*destroy)(Chardev *c);
} ChardevClass;

struct Chardev {
    const ChardevClass *cls;
    char *id;                                  /* owned */
    char *label;                               /* what `info chardev` shows: "pty:/dev/pts/3"; owned */
    CharHandlers front;                        /* zero when nobody is attached */
    bool open;                                 /* a peer is there              */
};

static inline void chardev_write(Chardev *c, const void *buf, size_t len)
{
    c->cls->write(c, buf, len);
}

/* Attach a front end (NULL detaches).  An open back end sends CHAR_OPENED at once. */
void chardev_attach(Chardev *c, const CharHandlers *h);
/* The front end has room again. */
void chardev_accept_input(Chardev *c);
void chardev_free(Chardev *c);

/* A file descriptor that the peer passed with what was read last (unix sockets), now the caller's;
 * -1: none. */
int chardev_take_fd(Chardev *c);
/* Bytes of output that the host has not taken yet.  When they are gone, can_read() is asked again, so
 * that a front end may stop reading until its answers have left. */
size_t chardev_backlog(const Chardev *c);

/* For back ends: hand over input, at most what the front end takes; returns how much it took. */
size_t chardev_deliver(Chardev *c, const uint8_t *buf, size_t len);
/* For back ends: send an event to the front end. */
void chardev_event(Chardev *c, CharEvent e);

#endif /* HW_CHARDEV_H */
