/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/port-space.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

struct PortWindow {
    uint16_t base;
    unsigned len;
    const BusOps *ops;
    void *arg;
    const char *name;
};

struct PortSpace {
    Lock *lock;
    GPtrArray *windows;          /* in mapping order; later ones win */
    PortWindow *owner[65536];    /* who answers, NULL is nobody      */
};

PortSpace *port_space_new(Lock *lock)
{
    PortSpace *ps = g_new0(PortSpace, 1);

    ps->lock = lock;
    ps->windows = g_ptr_array_new_with_free_func(g_free);
    return ps;
}

void port_space_free(PortSpace *ps)
{
    if (ps != NULL) {
        g_ptr_array_free(ps->windows, TRUE);
        g_free(ps);
    }
}

static void claim(PortSpace *ps, PortWindow *w)
{
    for (unsigned i = 0; i < w->len; i++) {
        ps->owner[w->base + i] = w;
    }
}

PortWindow *port_map(PortSpace *ps, uint16_t base, unsigned len, const BusOps *ops, void *arg,
                     const char *name)
{
    PortWindow *w = g_new(PortWindow, 1);

    g_assert(len >= 1 && base + len <= 65536);
    *w = (PortWindow){base, len, ops, arg, name};
    lock_take(ps->lock);
    g_ptr_array_add(ps->windows, w);
    claim(ps, w);
    lock_release(ps->lock);
    return w;
}

void port_unmap(PortSpace *ps, PortWindow *w)
{
    lock_take(ps->lock);
    memset(&ps->owner[w->base], 0, w->len * sizeof ps->owner[0]);
    g_ptr_array_remove(ps->windows, w);
    for (unsigned i = 0; i < ps->windows->len; i++) {
        claim(ps, g_ptr_array_index(ps->windows, i));
    }
    lock_release(ps->lock);
}

/* The window that holds all of [port, port+size), or NULL. */
static PortWindow *window_of(PortSpace *ps, uint16_t port, unsigned size)
{
    PortWindow *w = ps->owner[port];

    return w != NULL && port + size <= w->base + w->len && ps->owner[port + size - 1] == w ? w
                                                                                          : NULL;
}

static uint32_t read_locked(PortSpace *ps, uint16_t port, unsigned size)
{
    PortWindow *w = window_of(ps, port, size);
    uint32_t val = 0;

    if (w != NULL) {
        return (uint32_t)bus_read(w->ops, w->arg, (uint64_t)port - w->base, size);
    }
    if (size == 1) {
        trace(port_unassigned_read, "port=0x%x", port);
        return 0xff;
    }
    for (unsigned i = 0; i < size; i++) {
        val |= read_locked(ps, (uint16_t)(port + i), 1) << (i * 8);
    }
    return val;
}

static void write_locked(PortSpace *ps, uint16_t port, unsigned size, uint32_t val)
{
    PortWindow *w = window_of(ps, port, size);

    if (w != NULL) {
        bus_write(w->ops, w->arg, (uint64_t)port - w->base, size, val);
        return;
    }
    if (size == 1) {
        trace(port_unassigned_write, "port=0x%x val=0x%x", port, val);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        write_locked(ps, (uint16_t)(port + i), 1, (val >> (i * 8)) & 0xff);
    }
}

uint32_t port_read(PortSpace *ps, uint16_t port, unsigned size)
{
    uint32_t val;

    lock_take(ps->lock);
    val = read_locked(ps, port, size);
    lock_release(ps->lock);
    return val;
}

void port_write(PortSpace *ps, uint16_t port, unsigned size, uint32_t val)
{
    lock_take(ps->lock);
    write_locked(ps, port, size, val & (uint32_t)mask_bytes(size));
    lock_release(ps->lock);
}

void port_space_foreach(PortSpace *ps, void (*f)(uint16_t base, unsigned len, const BusOps *ops, const char *name,
                        void *arg), void *arg)
{
    for (unsigned i = 0; i < ps->windows->len; i++) {
        PortWindow *w = g_ptr_array_index(ps->windows, i);
        f(w->base, w->len, w->ops, w->name, arg);
    }
}
