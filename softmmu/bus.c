/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/bus.h"

#include "softmmu/base/bits.h"

#include <glib.h>

/* The widest natural-aligned piece at `off` that is at most `left` and `max`. */
static unsigned piece_size(uint64_t off, unsigned left, unsigned max)
{
    unsigned n = max;

    while (n > left || (off & (n - 1)) != 0) {
        n >>= 1;
    }
    return n;
}

uint64_t bus_read(const BusOps *ops, void *arg, uint64_t off, unsigned size)
{
    uint64_t val = 0;

    g_assert(size >= 1 && size <= 8);
    for (unsigned done = 0; done < size;) {
        unsigned n = piece_size(off + done, size - done, ops->max_size);
        val |= (ops->read(arg, off + done, n) & mask_bytes(n)) << (done * 8);
        done += n;
    }
    return val;
}

void bus_write(const BusOps *ops, void *arg, uint64_t off, unsigned size, uint64_t val)
{
    g_assert(size >= 1 && size <= 8);
    for (unsigned done = 0; done < size;) {
        unsigned n = piece_size(off + done, size - done, ops->max_size);
        ops->write(arg, off + done, n, (val >> (done * 8)) & mask_bytes(n));
        done += n;
    }
}
