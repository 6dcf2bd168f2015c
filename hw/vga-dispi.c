/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Bochs display interface: a handful of 16-bit registers that set linear modes. */
#include "hw/vga-internal.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

enum { DISPI_ID_FIRST = 0xb0c0, DISPI_ID_LAST = 0xb0c5 };
enum { MAX_XRES = 16000, MAX_YRES = 12000, MAX_BPP = 32 };

static bool bpp_known(unsigned bpp)
{
    return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

/* Lines of `width` pixels that video memory holds. */
static unsigned lines_of(const Vga *v, unsigned width)
{
    unsigned stride = vga_dispi_stride(v, width);
    /* A plane of a 4-bit mode is a quarter of the memory, 8 pixels a byte: stride is 4 planes'. */
    unsigned lines = stride != 0 ? VGA_MEMORY_LEN / stride : 0;

    return lines < 0xffff ? lines : 0xffff;
}

static bool mode_fits(const Vga *v)
{
    unsigned x = v->dispi[DISPI_XRES], y = v->dispi[DISPI_YRES];

    return x >= 8 && x <= MAX_XRES && y >= 1 && y <= MAX_YRES && bpp_known(v->dispi[DISPI_BPP]) &&
           y <= lines_of(v, x);
}

static void write_enable(Vga *v, uint16_t val)
{
    bool was_on = vga_dispi_on(v);

    if ((val & DISPI_ENABLED) != 0 && !was_on) {
        if (!mode_fits(v)) {
            log_guest_error("vga: impossible VBE mode %ux%ux%u\n", v->dispi[DISPI_XRES],
                            v->dispi[DISPI_YRES], v->dispi[DISPI_BPP]);
            val &= (uint16_t)~DISPI_ENABLED;
        } else {
            v->dispi[DISPI_VIRT_WIDTH] = v->dispi[DISPI_XRES];
            v->dispi[DISPI_VIRT_HEIGHT] = (uint16_t)lines_of(v, v->dispi[DISPI_XRES]);
            v->dispi[DISPI_X_OFFSET] = v->dispi[DISPI_Y_OFFSET] = 0;
            if ((val & DISPI_NOCLEAR) == 0) {
                uint64_t len =
                    (uint64_t)vga_dispi_stride(v, v->dispi[DISPI_XRES]) * v->dispi[DISPI_YRES];
                memset(v->vram, 0, len);
                phys_mem_written(v->mem, v->vram_offset, len);
            }
        }
    }
    if ((val & DISPI_ENABLED) == 0) {
        v->dispi[DISPI_BANK] = 0;
    }
    v->dispi[DISPI_ENABLE] = val;
}

static void write_virt_width(Vga *v, uint16_t val)
{
    if (val >= v->dispi[DISPI_XRES] && lines_of(v, val) >= v->dispi[DISPI_YRES]) {
        v->dispi[DISPI_VIRT_WIDTH] = val;
        v->dispi[DISPI_VIRT_HEIGHT] = (uint16_t)lines_of(v, val);
    }
}

/* An offset takes effect only while the whole screen stays inside video memory. */
static void write_offset(Vga *v, unsigned index, uint16_t val)
{
    uint16_t old = v->dispi[index];

    v->dispi[index] = val;
    if (v->dispi[DISPI_X_OFFSET] + v->dispi[DISPI_XRES] > v->dispi[DISPI_VIRT_WIDTH] ||
        v->dispi[DISPI_Y_OFFSET] + v->dispi[DISPI_YRES] > v->dispi[DISPI_VIRT_HEIGHT]) {
        v->dispi[index] = old;
    }
}

uint16_t vga_dispi_read(Vga *v, unsigned index)
{
    bool caps = (v->dispi[DISPI_ENABLE] & DISPI_GETCAPS) != 0;

    switch (index) {
    case DISPI_XRES: return caps ? MAX_XRES : v->dispi[index];
    case DISPI_YRES: return caps ? MAX_YRES : v->dispi[index];
    case DISPI_BPP: return caps ? MAX_BPP : v->dispi[index];
    case DISPI_MEMORY_64K: return VGA_MEMORY_LEN >> 16;
    default: return index < DISPI_COUNT ? v->dispi[index] : 0;
    }
}

void vga_dispi_write(Vga *v, unsigned index, uint16_t val)
{
    switch (index) {
    case DISPI_ID:
        if (val >= DISPI_ID_FIRST && val <= DISPI_ID_LAST) {
            v->dispi[DISPI_ID] = val;
        }
        break;
    case DISPI_XRES:
    case DISPI_YRES:
    case DISPI_BPP:
        if (!vga_dispi_on(v)) {
            v->dispi[index] = val;
        }
        break;
    case DISPI_ENABLE:
        write_enable(v, val);
        break;
    case DISPI_BANK:
        v->dispi[DISPI_BANK] = val & ((VGA_MEMORY_LEN >> 16) - 1);
        break;
    case DISPI_VIRT_WIDTH:
        if (vga_dispi_on(v)) {
            write_virt_width(v, val);
        }
        break;
    case DISPI_X_OFFSET:
    case DISPI_Y_OFFSET:
        if (vga_dispi_on(v)) {
            write_offset(v, index, val);
        }
        break;
    default:
        break;
    }
}

/* Ports 0x1ce (index) and 0x1cf (data).  The data port is 16 bits wide at an odd address, so the
 * bus hands it over as two bytes: offset 1 is its low half, offset 2 its high half. */
uint64_t vga_dispi_port_read(void *arg, uint64_t off, unsigned size)
{
    Vga *v = arg;

    if (off == 0) {
        return v->dispi_index;
    }
    return vga_dispi_read(v, v->dispi_index) >> (off == 2 ? 8 : 0) & 0xff;
}

void vga_dispi_port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Vga *v = arg;

    if (off == 0) {
        v->dispi_index = (uint16_t)val;
    } else if (off == 1) {
        v->dispi_low = (uint8_t)val;
    } else {
        vga_dispi_write(v, v->dispi_index, (uint16_t)(val << 8 | v->dispi_low));
    }
}
