/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/port92.h"

#include "softmmu/base/bits.h"

#include <glib.h>

enum { FAST_RESET = 0x01, A20 = 0x02 };

typedef struct {
    Device dev;
    Port92Config cfg;
    uint8_t val;
} Port92;

static uint64_t port_read(void *arg, uint64_t off, unsigned size)
{
    return ((Port92 *)arg)->val;
}

static void port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Port92 *p = arg;
    bool pulse = (val & FAST_RESET) && !(p->val & FAST_RESET);

    p->val = val;
    p->cfg.set_a20(p->cfg.arg, val & A20);
    if (pulse) {
        p->cfg.reset(p->cfg.arg);
    }
}

void port92_a20_changed(Device *d, bool on)
{
    Port92 *p = (Port92 *)d;
    p->val = (p->val & ~A20) | (on ? A20 : 0);
}

static void reset(Device *d)
{
    Port92 *p = (Port92 *)d;

    p->val = A20;             /* the gate is open when the CPU starts at the top of memory */
    p->cfg.set_a20(p->cfg.arg, true);
}

static void destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {
    {"port92", WINDOW_PORT, 1, {port_read, port_write, 1}},
};

static const Field port92_fields[] = {
    FIELD(Port92, val),
};
static const FieldTable port92_state = {.version = 1, FIELDS(port92_fields)};

static const DeviceClass port92_class = {
    .name = "port92",
    .help = "A20 gate and fast reset",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .reset = reset,
    .destroy = destroy,
    .state = &port92_state,
};

Device *port92_new(const Port92Config *cfg)
{
    Port92 *p = g_new0(Port92, 1);

    p->dev.cls = &port92_class;
    p->cfg = *cfg;
    reset(&p->dev);
    return &p->dev;
}
