/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VGA's state, shared by its files and by nobody else. */
#ifndef HW_VGA_INTERNAL_H
#define HW_VGA_INTERNAL_H

#include "hw/vga.h"

enum { VGA_SEQ_COUNT = 5, VGA_GC_COUNT = 9, VGA_ATTR_COUNT = 21, VGA_CRTC_COUNT = 25 };

typedef struct {
    PciDevice pci;

    /* wiring, set once */
    PhysMem *mem;
    Clock *clock;
    uint64_t vram_offset;
    uint8_t *vram;
    bool start_in_text;

    /* guest-visible */
    uint8_t misc, feature;
    uint8_t seq_index, seq[VGA_SEQ_COUNT];
    uint8_t gc_index, gc[VGA_GC_COUNT];
    uint8_t crtc_index, crtc[VGA_CRTC_COUNT];
    uint8_t attr_index, attr[VGA_ATTR_COUNT];
    bool attr_data_next;             /* the flip-flop of port 0x3c0 */
    uint8_t dac_mask, dac_read_index, dac_write_index, dac_phase;
    bool dac_reading;
    uint8_t dac[256][3];
    uint8_t latch[4];
    uint16_t dispi_index, dispi[DISPI_COUNT];
    uint8_t dispi_low;               /* low byte of a 16-bit write to the odd data port */
} Vga;

static inline bool vga_dispi_on(const Vga *v)
{
    return (v->dispi[DISPI_ENABLE] & DISPI_ENABLED) != 0;
}

/* Dispi: bytes from a line to the next. */
static inline unsigned vga_dispi_stride(const Vga *v, unsigned width)
{
    unsigned bpp = v->dispi[DISPI_BPP];

    return bpp == 4 ? width / 2 : width * ((bpp + 7) / 8);
}

/* Registers and memory of mode 3 (vga-mode.c). */
void vga_set_mode_3(Vga *v);

uint64_t vga_legacy_read(void *arg, uint64_t off, unsigned size);
void vga_legacy_write(void *arg, uint64_t off, unsigned size, uint64_t val);

uint16_t vga_dispi_read(Vga *v, unsigned index);
void vga_dispi_write(Vga *v, unsigned index, uint16_t val);
uint64_t vga_dispi_port_read(void *arg, uint64_t off, unsigned size);
void vga_dispi_port_write(void *arg, uint64_t off, unsigned size, uint64_t val);

#endif /* HW_VGA_INTERNAL_H */
