/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/debugcon.h"

#include "softmmu/base/bits.h"

#include <glib.h>

typedef struct {
    Device dev;
    Chardev *chr;
    uint8_t readback;
} Debugcon;

static uint64_t port_read(void *arg, uint64_t off, unsigned size)
{
    return ((Debugcon *)arg)->readback;
}

static void port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Debugcon *c = arg;
    uint8_t byte = val;

    if (c->chr != NULL) {
        chardev_write(c->chr, &byte, 1);
    }
}

static void destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {
    {"debugcon", WINDOW_PORT, 1, {port_read, port_write, 1}},
};

/* Its port reads what the command line says. */

static const DeviceClass debugcon_class = {
    .name = "isa-debugcon",
    .help = "debug console port",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .destroy = destroy,
    .state = &fields_none,
};

Device *debugcon_new(Chardev *chr, uint8_t readback)
{
    Debugcon *c = g_new0(Debugcon, 1);

    c->dev.cls = &debugcon_class;
    c->chr = chr;
    c->readback = readback;
    return &c->dev;
}
