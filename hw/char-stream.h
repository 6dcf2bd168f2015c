/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file descriptors under a character back end: reads when the front end has room, writes what the
 * host takes at once and queues the rest (the oldest is dropped beyond CHAR_STREAM_QUEUE).  Works for
 * descriptors in blocking mode, whose mode it leaves alone: they may be shared with a shell.
 */
#ifndef HW_CHAR_STREAM_H
#define HW_CHAR_STREAM_H

#include "hw/chardev.h"

enum { CHAR_STREAM_QUEUE = 1 << 20 };

typedef struct CharStream CharStream;
struct CharStream {
    Chardev *owner;                        /* borrowed: whose front end is served */
    GMainContext *context;                 /* borrowed */
    int in_fd, out_fd;                     /* -1: none */
    GSource *in, *out;
    GByteArray *queue;
    uint64_t dropped;                      /* bytes */
    bool takes_fds;                        /* in_fd is a unix socket, whose peer may pass descriptors */
    int passed_fd;                         /* the last such, owned; -1: none */
    size_t (*filter)(CharStream *s, uint8_t *buf, size_t len); /* takes out what is no data, in place;
                                              returns how much is left; may be NULL */
    void (*hangup)(CharStream *s);         /* end of file or an error on in_fd; may be NULL */
};

void char_stream_init(CharStream *s, Chardev *owner, GMainContext *context,
                      void (*hangup)(CharStream *s));
/* Take the descriptors (-1: none); in_fd and out_fd may be the same. */
void char_stream_open(CharStream *s, int in_fd, int out_fd);
/* Write what is queued, for at most wait_ms, and close. */
void char_stream_close(CharStream *s, int wait_ms);
void char_stream_clear(CharStream *s);

/* The descriptor passed last, or -1; the caller's. */
int char_stream_take_fd(CharStream *s);

void char_stream_write(CharStream *s, const uint8_t *buf, size_t len);
/* The front end has changed or has room: look whether to read. */
void char_stream_update(CharStream *s);

#endif /* HW_CHAR_STREAM_H */
