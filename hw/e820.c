/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/e820.h"

#include "softmmu/base/bits.h"

#include <glib.h>

#define GIB (UINT64_C(1) << 30)

void e820_split_ram(uint64_t ram_size, uint64_t *low, uint64_t *high)
{
    *low = ram_size <= 7 * GIB / 2 ? ram_size : 3 * GIB;
    *high = ram_size - *low;
}

static void append(E820Map *m, uint64_t base, uint64_t end, E820Type type)
{
    if (end <= base) {
        return;
    }
    if (m->n > 0) {
        E820Entry *last = &m->e[m->n - 1];
        if (last->type == type && last->base + last->len == base) {
            last->len += end - base;
            return;
        }
    }
    g_assert(m->n < E820_MAX);
    m->e[m->n++] = (E820Entry){base, end - base, type};
}

void e820_set(E820Map *m, uint64_t base, uint64_t len, E820Type type)
{
    E820Map old = *m;
    uint64_t end = base + len;
    bool done = false;

    if (len == 0) {
        return;
    }
    m->n = 0;
    for (unsigned i = 0; i < old.n; i++) {
        uint64_t b = old.e[i].base, e = b + old.e[i].len;
        append(m, b, MIN(e, base), old.e[i].type);
        if (!done && e > base) {
            append(m, base, end, type);
            done = true;
        }
        append(m, MAX(b, end), e, old.e[i].type);
    }
    if (!done) {
        append(m, base, end, type);
    }
}

void e820_init_ram(E820Map *m, uint64_t ram_size)
{
    uint64_t low, high;

    m->n = 0;
    e820_split_ram(ram_size, &low, &high);
    e820_set(m, 0, low, E820_RAM);
    e820_set(m, 4 * GIB, high, E820_RAM);
}

void e820_init_pc(E820Map *m, uint64_t ram_size)
{
    e820_init_ram(m, ram_size);
    e820_set(m, 0x9fc00, 0x400, E820_RESERVED);            /* extended BIOS data area */
    if (ram_size > 0xa0000) {
        /* the display's window is nothing at all, and no entry says so */
        E820Map all = *m;
        m->n = 0;
        for (unsigned i = 0; i < all.n; i++) {
            uint64_t b = all.e[i].base, e = b + all.e[i].len;
            append(m, b, MIN(e, 0xa0000), all.e[i].type);
            append(m, MAX(b, 0xe0000), e, all.e[i].type);
        }
        e820_set(m, 0xe0000, 0x20000, E820_RESERVED);      /* firmware tables */
    }
    e820_set(m, 4 * GIB - 0x40000, 0x40000, E820_RESERVED); /* firmware ROM */
}

bool e820_is_ram(const E820Map *m, uint64_t base, uint64_t len)
{
    for (unsigned i = 0; i < m->n; i++) {
        const E820Entry *e = &m->e[i];
        if (e->type == E820_RAM && base >= e->base && base - e->base <= e->len &&
            len <= e->len - (base - e->base)) {
            return true;
        }
    }
    return false;
}

void e820_pack(const E820Entry *e, uint8_t out[E820_PACKED_LEN])
{
    store_le(out, 8, e->base);
    store_le(out + 8, 8, e->len);
    store_le(out + 16, 4, e->type);
}
