/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makers of character back ends (hw/chardev.h).  `id` is copied; each returns a Chardev to be freed
 * with chardev_free(), or NULL with one line in `error`.  Callbacks run from `context`, which the
 * machine's I/O thread dispatches with the machine lock held.
 */
#ifndef HW_CHARDEV_BACKENDS_H
#define HW_CHARDEV_BACKENDS_H

#include "hw/chardev.h"

/* Nothing comes, everything vanishes. */
Chardev *chardev_null_new(const char *id);

/* This process's terminal, in raw mode when it is one.  signals: Ctrl-C still ends the program. */
Chardev *chardev_stdio_new(const char *id, bool signals, GMainContext *context, GError **error);

/* Output into a file, truncated unless append. */
Chardev *chardev_file_new(const char *id, const char *path, bool append, GMainContext *context,
                          GError **error);

/* Named pipes PATH.in and PATH.out, or PATH both ways. */
Chardev *chardev_pipe_new(const char *id, const char *path, GMainContext *context, GError **error);

/* A new pseudo terminal; the label is "pty:/dev/pts/N". */
Chardev *chardev_pty_new(const char *id, GMainContext *context, GError **error);

typedef struct {
    const char *path;          /* unix socket, or NULL                       */
    const char *host, *port;   /* TCP otherwise; host may be NULL or ""      */
    int fd;                    /* > 0: a socket that exists, taken: connected or (server) listening */
    bool server, wait, nodelay;
    bool telnet;               /* speak the Telnet protocol (RFC 854): characters at once, a break */
} ChardevSocketOptions;

/* A server serves one client at a time and goes on listening; with wait, the maker returns when the
 * first has come. */
Chardev *chardev_socket_new(const char *id, const ChardevSocketOptions *o, GMainContext *context,
                            GError **error);

/* Keeps the last `size` bytes (a power of two). */
Chardev *chardev_ringbuf_new(const char *id, size_t size);
/* Take up to n of the kept bytes, oldest first; returns how many. */
size_t chardev_ringbuf_read(Chardev *c, uint8_t *buf, size_t n);

/* -- Sharing ------------------------------------------------------------------------------------ */

typedef struct CharMux CharMux;

/* What Ctrl-A x and the like do. */
typedef struct {
    void *arg;
    void (*quit)(void *arg);
    uint8_t escape;            /* the character that begins them; 0: Ctrl-A */
} CharMuxHooks;

/*
 * Up to CHAR_MUX_FRONTS front ends share one back end, which the mux owns.  Each gets a Chardev of
 * its own; output is mixed, input goes to the one with the focus (the first at start), which
 * Ctrl-A c moves on.  The mux ends when the last of its Chardevs is freed (or by char_mux_free() when
 * none was made).
 */
enum { CHAR_MUX_FRONTS = 4 };
CharMux *char_mux_new(Chardev *inner, const CharMuxHooks *hooks);
void char_mux_free(CharMux *m);
/* NULL when there are CHAR_MUX_FRONTS already. */
Chardev *char_mux_front(CharMux *m);

#endif /* HW_CHARDEV_BACKENDS_H */
