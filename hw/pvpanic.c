/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/pvpanic.h"

#include "softmmu/base/bits.h"

#include <glib.h>

typedef struct {
    Device dev;
    unsigned events;
    void (*event)(void *arg, unsigned event);
    void *arg;
} Pvpanic;

static uint64_t port_read(void *arg, uint64_t off, unsigned size)
{
    return ((const Pvpanic *)arg)->events;
}

static void port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Pvpanic *p = arg;
    unsigned event = (unsigned)val & p->events;

    if (event != 0) {
        p->event(p->arg, event);
    }
}

static void destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {{"pvpanic", WINDOW_PORT, 1, {port_read, port_write, 1}}};
/* Its port reads what the command line says. */

static const DeviceClass pvpanic_class = {
    .name = "pvpanic", .help = "tells the host that the guest has crashed",
    .windows = windows, .n_windows = ARRAY_LEN(windows), .destroy = destroy,
    .state = &fields_none,
};

Device *pvpanic_new(unsigned events, void (*event)(void *arg, unsigned event), void *arg)
{
    Pvpanic *p = g_new0(Pvpanic, 1);

    *p = (Pvpanic){.dev = {.cls = &pvpanic_class}, .events = events, .event = event, .arg = arg};
    return &p->dev;
}
