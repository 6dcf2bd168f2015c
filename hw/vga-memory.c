/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VGA's memory as the CPU sees it at 0xa0000: planes, latches, read and write modes. */
#include "hw/vga-internal.h"

#include "softmmu/base/bits.h"

/* Graphics controller registers by number. */
enum { GC_SET_RESET, GC_ENABLE_SR, GC_COMPARE, GC_ROTATE, GC_READ_MAP, GC_MODE, GC_MISC,
       GC_DONT_CARE, GC_BIT_MASK };

/* Where `off` (from 0xa0000) lies in the window that GC_MISC selects, or -1. */
static int window_offset(const Vga *v, uint64_t off)
{
    static const struct { uint32_t base, len; } maps[4] = {
        {0x00000, 0x20000}, {0x00000, 0x10000}, {0x10000, 0x08000}, {0x18000, 0x08000},
    };
    unsigned m = (v->gc[GC_MISC] >> 2) & 3;

    if (vga_dispi_on(v)) {
        m = 1;
    }
    return off >= maps[m].base && off - maps[m].base < maps[m].len ? (int)(off - maps[m].base)
                                                                  : -1;
}

/* The bank that VBE's banked modes show, in CPU addresses. */
static uint32_t bank_offset(const Vga *v)
{
    return vga_dispi_on(v) ? (uint32_t)v->dispi[DISPI_BANK] << 16 : 0;
}

static bool linear_window(const Vga *v)
{
    return vga_dispi_on(v) ? v->dispi[DISPI_BPP] != 4 : (v->seq[4] & 8) != 0;
}

/* Byte of video memory where the four planes of plane address `o` begin. */
static uint32_t plane_byte(const Vga *v, uint32_t o)
{
    return ((o + bank_offset(v)) * 4) & (VGA_MEMORY_LEN - 1);
}

uint64_t vga_legacy_read(void *arg, uint64_t off, unsigned size)
{
    Vga *v = arg;
    int w = window_offset(v, off);
    unsigned plane = v->gc[GC_READ_MAP] & 3;
    uint32_t o = (uint32_t)w;
    uint8_t diff = 0;

    (void)size;
    if (w < 0) {
        return 0xff;
    }
    if (linear_window(v)) {
        return v->vram[(bank_offset(v) + o) & (VGA_MEMORY_LEN - 1)];
    }
    if ((v->gc[GC_MODE] & 0x10) != 0 && !vga_dispi_on(v)) { /* odd/even */
        plane = (plane & 2) | (o & 1);
        o &= ~1u;
    }
    memcpy(v->latch, v->vram + plane_byte(v, o), 4);
    if ((v->gc[GC_MODE] & 8) == 0) {
        return v->latch[plane];
    }
    for (unsigned p = 0; p < 4; p++) { /* read mode 1: a bit is set where the colours agree */
        uint8_t want = (v->gc[GC_COMPARE] >> p) & 1 ? 0xff : 0;
        diff |= (v->gc[GC_DONT_CARE] >> p) & 1 ? v->latch[p] ^ want : 0;
    }
    return (uint8_t)~diff;
}

static uint8_t rotate_right(uint8_t b, unsigned n)
{
    return (uint8_t)(b >> n | b << (8 - n));
}

static uint8_t alu(const Vga *v, uint8_t b, uint8_t latch)
{
    switch ((v->gc[GC_ROTATE] >> 3) & 3) {
    case 1: return b & latch;
    case 2: return b | latch;
    case 3: return b ^ latch;
    default: return b;
    }
}

/* What plane p gets when the CPU writes `val` (write modes 0 to 3). */
static uint8_t plane_value(const Vga *v, unsigned p, uint8_t val)
{
    uint8_t rotated = rotate_right(val, v->gc[GC_ROTATE] & 7);
    uint8_t mask = v->gc[GC_BIT_MASK], latch = v->latch[p], b;
    uint8_t set = (v->gc[GC_SET_RESET] >> p) & 1 ? 0xff : 0;

    switch (v->gc[GC_MODE] & 3) {
    case 0:
        b = alu(v, (v->gc[GC_ENABLE_SR] >> p) & 1 ? set : rotated, latch);
        break;
    case 1:
        return latch;
    case 2:
        b = alu(v, (val >> p) & 1 ? 0xff : 0, latch);
        break;
    default:
        mask &= rotated;
        b = alu(v, set, latch);
        break;
    }
    return (uint8_t)((b & mask) | (latch & ~mask));
}

void vga_legacy_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Vga *v = arg;
    int w = window_offset(v, off);
    unsigned planes = v->seq[2] & 15;
    uint32_t o = (uint32_t)w, at;

    (void)size;
    if (w < 0) {
        return;
    }
    if (linear_window(v)) {
        at = (bank_offset(v) + o) & (VGA_MEMORY_LEN - 1);
        if (vga_dispi_on(v) || (planes >> (o & 3) & 1) != 0) {
            v->vram[at] = (uint8_t)val;
            phys_mem_written(v->mem, v->vram_offset + at, 1);
        }
        return;
    }
    if ((v->seq[4] & 4) == 0 && !vga_dispi_on(v)) { /* odd/even: even bytes to planes 0 and 2 */
        planes &= 5u << (o & 1);
        o &= ~1u;
    }
    at = plane_byte(v, o);
    for (unsigned p = 0; p < 4; p++) {
        if ((planes >> p & 1) != 0) {
            v->vram[at + p] = plane_value(v, p, (uint8_t)val);
        }
    }
    phys_mem_written(v->mem, v->vram_offset + at, 4);
}
