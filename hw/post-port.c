/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/post-port.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

typedef struct {
    Device dev;
    uint8_t val[16];
    uint8_t ed;
} PostPort;

static uint64_t page_read(void *arg, uint64_t off, unsigned size)
{
    return ((PostPort *)arg)->val[off];
}

static void page_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    PostPort *p = arg;

    if (off == 0) {
        trace(post_code, "%#x", (unsigned)val);
    }
    p->val[off] = val;
}

static uint64_t ed_read(void *arg, uint64_t off, unsigned size)
{
    return ((PostPort *)arg)->ed;
}

static void ed_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    ((PostPort *)arg)->ed = val;
}

uint8_t post_port_code(const Device *d)
{
    return ((const PostPort *)d)->val[0];
}

static void reset(Device *d)
{
    PostPort *p = (PostPort *)d;

    memset(p->val, 0, sizeof p->val);
    p->ed = 0;
}

static void destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {
    [POST_WINDOW_80] = {"post", WINDOW_PORT, 16, {page_read, page_write, 1, .lazy_writes = 1}},
    [POST_WINDOW_ED] = {"delay", WINDOW_PORT, 1, {ed_read, ed_write, 1, .lazy_writes = 1}},
};

static const Field post_fields[] = {
    FIELD(PostPort, val), FIELD(PostPort, ed),
};
static const FieldTable post_state = {.version = 1, FIELDS(post_fields)};

static const DeviceClass post_port_class = {
    .name = "post-port",
    .help = "POST code, DMA page and delay ports",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .reset = reset,
    .destroy = destroy,
    .state = &post_state,
};

Device *post_port_new(void)
{
    PostPort *p = g_new0(PostPort, 1);

    p->dev.cls = &post_port_class;
    return &p->dev;
}
