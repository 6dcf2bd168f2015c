/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What softmmu knows of a device: a window of registers with a read and a write function.
 *
 * The bus layer promises the functions: size is 1, 2, 4 or 8 and at most max_size; off + size lies
 * inside the window; off is a multiple of size (wider and unaligned accesses are split, low
 * address first).  Values are zero extended.  They are called with the machine lock held.
 */
#ifndef SOFTMMU_BUS_H
#define SOFTMMU_BUS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Doorbells: writes that tell no more than that they happened.  They may be carried out later, by another thread,
 * several as one.  Bell i < count is a write of whatever to off + i * step, or, by_value, a write of i, 4 bytes, to off.
 */
typedef struct {
    uint32_t off, step, count;
    bool by_value;
} BusBells;

typedef struct {
    uint64_t (*read)(void *arg, uint64_t off, unsigned size);
    void (*write)(void *arg, uint64_t off, unsigned size, uint64_t val);
    uint8_t max_size;        /* widest access the device takes whole: 1, 2, 4 or 8 */
    BusBells bells;          /* of a memory window; count 0: none */
    /* Writes to the first so many bytes may be carried out later, in their order, but before the guest's next access to any
     * other register and before anybody looks at the device.  0: none may. */
    uint32_t lazy_writes;
} BusOps;

/* Split as promised above and call `ops`.  size 1..8, off + size inside the window. */
uint64_t bus_read(const BusOps *ops, void *arg, uint64_t off, unsigned size);
void bus_write(const BusOps *ops, void *arg, uint64_t off, unsigned size, uint64_t val);

#endif /* SOFTMMU_BUS_H */
