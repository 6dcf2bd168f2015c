/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Standard VGA on PCI (1234:1111): the IBM VGA's registers and planar memory at 0xa0000, and the
 * Bochs display interface (VBE dispi) for linear modes.
 *
 * Video memory is RAM of the machine's memfd, mapped as BAR 0; the device keeps its four planes
 * interleaved there (byte 4 * o + p is plane p at o), so that planar, chain-4 and linear modes are
 * views of one memory.  A display asks vga_mode() what is on the screen and reads vga_memory().
 */
#ifndef HW_VGA_H
#define HW_VGA_H

#include "hw/device.h"
#include "hw/pci.h"
#include "softmmu/base/clock.h"
#include "softmmu/phys-mem.h"

enum { VGA_MEMORY_LEN = 16 << 20, VGA_MMIO_LEN = 4096, VGA_ROM_MAX = 256 << 10 };

/* The device's windows, in DeviceClass order. */
enum { VGA_WINDOW_PORTS, VGA_WINDOW_DISPI, VGA_WINDOW_LEGACY, VGA_WINDOW_MMIO, VGA_WINDOW_COUNT };

/* Where the machine maps the windows that no BAR moves. */
enum { VGA_PORT_BASE = 0x3b0, VGA_DISPI_BASE = 0x1ce, VGA_LEGACY_BASE = 0xa0000 };

/* Dispi register numbers and the ENABLE register's bits. */
enum {
    DISPI_ID,
    DISPI_XRES,
    DISPI_YRES,
    DISPI_BPP,
    DISPI_ENABLE,
    DISPI_BANK,
    DISPI_VIRT_WIDTH,
    DISPI_VIRT_HEIGHT,
    DISPI_X_OFFSET,
    DISPI_Y_OFFSET,
    DISPI_MEMORY_64K,
    DISPI_COUNT,
};

enum { DISPI_ENABLED = 0x01, DISPI_GETCAPS = 0x02, DISPI_8BIT_DAC = 0x20, DISPI_NOCLEAR = 0x80 };

typedef enum {
    VGA_KIND_BLANK,      /* screen off, sequencer in reset */
    VGA_KIND_TEXT,
    VGA_KIND_PLANAR4,    /* 16 colours, four planes        */
    VGA_KIND_CGA2,       /* 4 colours, interleaved shift   */
    VGA_KIND_PACKED8,    /* 256 colours through the DAC    */
    VGA_KIND_LINEAR,     /* VBE 15, 16, 24 or 32 bits      */
} VgaKind;

typedef struct {
    VgaKind kind;
    unsigned width, height;          /* pixels                                        */
    unsigned bpp;                    /* of LINEAR and PACKED8; 4, 2 for the others     */
    unsigned cols, rows;             /* TEXT: cells                                   */
    unsigned cell_width, cell_height;
    unsigned start;                  /* first byte in video memory                    */
    unsigned stride;                 /* bytes from a row (of cells) to the next       */
    unsigned cell_stride;            /* TEXT: bytes from a cell to the next           */
    bool double_scan;
    bool cursor_on;
    unsigned cursor_col, cursor_row; /* TEXT                                          */
} VgaMode;

/*
 * A PCI function (vga_pci()) for pci_bus_add().  `mem` gives VGA_MEMORY_LEN bytes, and the option
 * ROM's length rounded up to a power of two, through phys_mem_alloc(); `clock` drives the retrace
 * bits.  `rom` (copied; NULL: none) is the video BIOS for the ROM BAR, at most VGA_ROM_MAX bytes.
 * The machine maps VGA_WINDOW_PORTS, _DISPI and _LEGACY at the places above; BAR 0 is video memory
 * and BAR 2 VGA_WINDOW_MMIO.
 */
Device *vga_new(PhysMem *mem, Clock *clock, const void *rom, size_t rom_len);
PciDevice *vga_pci(Device *d);

/* Come out of reset in text mode 3 with a blank screen, as a video BIOS leaves it: for machines that
 * start a kernel without firmware.  Takes effect at once. */
void vga_start_in_text_mode(Device *d);

/* Video memory's place in the memfd, and its host address. */
uint64_t vga_memory_offset(const Device *d);
const uint8_t *vga_memory(const Device *d);

VgaMode vga_mode(const Device *d);

/* The text screen as UTF-8 lines (trailing blanks cut, each ended by \n), or NULL when the screen
 * is not in a text mode.  g_free() it. */
char *vga_text_screen(const Device *d);

/* Colour `index` of the DAC as 0xRRGGBB, 8 bits each. */
uint32_t vga_dac_color(const Device *d, unsigned index);

#endif /* HW_VGA_H */
