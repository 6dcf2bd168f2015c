/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 64 KiB I/O port space.
 *
 * Windows may overlap; the one mapped last answers.  Ports nobody answers read as all ones and
 * swallow writes (traced).  Every function wants the machine lock except port_read/port_write,
 * which take it.
 */
#ifndef SOFTMMU_PORT_SPACE_H
#define SOFTMMU_PORT_SPACE_H

#include "softmmu/base/lock.h"
#include "softmmu/bus.h"

#include <stdbool.h>

typedef struct PortSpace PortSpace;
typedef struct PortWindow PortWindow;

/* `lock` is the machine lock, borrowed. */
PortSpace *port_space_new(Lock *lock);
void port_space_free(PortSpace *ps);

/* Map `len` ports from `base`; the name is borrowed and shows in `info mtree`.  The handle stays
 * valid until unmapped. */
PortWindow *port_map(PortSpace *ps, uint16_t base, unsigned len, const BusOps *ops, void *arg,
                     const char *name);
void port_unmap(PortSpace *ps, PortWindow *w);

/* size is 1, 2 or 4.  An access that spans windows is split by bytes. */
uint32_t port_read(PortSpace *ps, uint16_t port, unsigned size);
void port_write(PortSpace *ps, uint16_t port, unsigned size, uint32_t val);

/* Call f for each window, in mapping order. */
void port_space_foreach(PortSpace *ps, void (*f)(uint16_t base, unsigned len, const BusOps *ops, const char *name,
                        void *arg), void *arg);

#endif /* SOFTMMU_PORT_SPACE_H */
