/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/debug-exit.h"

#include "softmmu/base/bits.h"

#include <glib.h>

typedef struct {
    Device dev;
    DeviceClass cls;          /* its own: the window's length is a property */
    DeviceWindow window;
    void (*exit)(void *arg, int code);
    void *arg;
} DebugExit;

static uint64_t port_read(void *arg, uint64_t off, unsigned size)
{
    return 0;
}

static void port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    DebugExit *e = arg;
    e->exit(e->arg, (int)((uint32_t)val << 1 | 1));
}

static void destroy(Device *d)
{
    g_free(d);
}

Device *debug_exit_new(unsigned len, void (*exit)(void *arg, int code), void *arg)
{
    DebugExit *e = g_new0(DebugExit, 1);

    g_assert(len >= 1 && len <= DEBUG_EXIT_MAX_LEN);
    e->window = (DeviceWindow){"debug-exit", WINDOW_PORT, len, {port_read, port_write, 4}};
    e->cls = (DeviceClass){.name = "isa-debug-exit", .help = "ends the process with a status",
                           .windows = &e->window, .n_windows = 1, .destroy = destroy, .state = &fields_none};
    e->dev.cls = &e->cls;
    e->exit = exit;
    e->arg = arg;
    return &e->dev;
}
