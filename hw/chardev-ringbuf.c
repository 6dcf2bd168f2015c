/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring buffer back end: the last bytes written, for tests and the monitor to look at. */
#include "hw/chardev-backends.h"

typedef struct {
    Chardev chardev;
    uint8_t *data;
    size_t mask, head, tail;   /* head, tail: bytes ever written and taken */
} RingBuf;

static void ringbuf_write(Chardev *c, const uint8_t *buf, size_t len)
{
    RingBuf *r = (RingBuf *)c;

    for (size_t i = 0; i < len; i++) {
        r->data[r->head++ & r->mask] = buf[i];
    }
    if (r->head - r->tail > r->mask + 1) {
        r->tail = r->head - (r->mask + 1);
    }
}

static void ringbuf_destroy(Chardev *c)
{
    RingBuf *r = (RingBuf *)c;

    g_free(r->data);
    g_free(r);
}

static const ChardevClass ringbuf_class = {
    .name = "ringbuf", .write = ringbuf_write, .destroy = ringbuf_destroy,
};

Chardev *chardev_ringbuf_new(const char *id, size_t size)
{
    RingBuf *r = g_new0(RingBuf, 1);

    g_assert(size > 0 && (size & (size - 1)) == 0);
    r->chardev = (Chardev){.cls = &ringbuf_class, .id = g_strdup(id),
                           .label = g_strdup("ringbuf"), .open = true};
    r->data = g_malloc(size);
    r->mask = size - 1;
    return &r->chardev;
}

size_t chardev_ringbuf_read(Chardev *c, uint8_t *buf, size_t n)
{
    RingBuf *r = (RingBuf *)c;
    size_t i;

    g_assert(c->cls == &ringbuf_class);
    for (i = 0; i < n && r->tail != r->head; i++) {
        buf[i] = r->data[r->tail++ & r->mask];
    }
    return i;
}
