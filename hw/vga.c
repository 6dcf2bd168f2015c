/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/vga.h"

#include "hw/vga-internal.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

/* Which bits of a register exist. */
static const uint8_t seq_mask[VGA_SEQ_COUNT] = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
static const uint8_t gc_mask[VGA_GC_COUNT] = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};

/* -- Retrace ----------------------------------------------------------------------------------- */

/* 60 frames a second; programs only wait for the bits to change, so the mode's timing is ignored. */
enum { FRAME_NS = 16666667, VERTICAL_NS = 700000, LINE_NS = 31778, HORIZONTAL_NS = 6000 };

static uint8_t status1(const Vga *v)
{
    uint64_t t = clock_now(v->clock) % FRAME_NS;
    bool vertical = t >= FRAME_NS - VERTICAL_NS;
    bool horizontal = t % LINE_NS >= LINE_NS - HORIZONTAL_NS;

    return (uint8_t)((vertical ? 8 : 0) | (vertical || horizontal ? 1 : 0));
}

/* -- Attribute controller and DAC -------------------------------------------------------------- */

static void attr_write(Vga *v, uint8_t val)
{
    unsigned i = v->attr_index & 0x1f;

    if (!v->attr_data_next) {
        v->attr_index = val & 0x3f;
    } else if (i < 16) {
        v->attr[i] = (v->attr_index & 0x20) != 0 ? v->attr[i] : val & 0x3f;
    } else if (i < VGA_ATTR_COUNT) {
        v->attr[i] = val;
    }
    v->attr_data_next = !v->attr_data_next;
}

static uint8_t dac_read(Vga *v)
{
    uint8_t val = v->dac[v->dac_read_index][v->dac_phase];

    if (++v->dac_phase == 3) {
        v->dac_phase = 0;
        v->dac_read_index++;
    }
    return val;
}

static void dac_write(Vga *v, uint8_t val)
{
    bool wide = (v->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC) != 0;

    v->dac[v->dac_write_index][v->dac_phase] = wide ? val : val & 0x3f;
    if (++v->dac_phase == 3) {
        v->dac_phase = 0;
        v->dac_write_index++;
    }
}

/* -- CRTC ---------------------------------------------------------------------------------------- */

static void crtc_write(Vga *v, uint8_t val)
{
    unsigned i = v->crtc_index;

    if (i >= VGA_CRTC_COUNT) {
        return;
    }
    if ((v->crtc[0x11] & 0x80) != 0 && i <= 7) { /* 0..7 are write protected, but for line compare */
        if (i == 7) {
            v->crtc[7] = (uint8_t)((v->crtc[7] & ~0x10) | (val & 0x10));
        }
        return;
    }
    v->crtc[i] = val;
}

/* -- Ports 0x3b0..0x3df -------------------------------------------------------------------------- */

enum {
    PORT_ATTR = 0x3c0,
    PORT_ATTR_READ = 0x3c1,
    PORT_MISC_WRITE = 0x3c2,
    PORT_SEQ_INDEX = 0x3c4,
    PORT_SEQ_DATA = 0x3c5,
    PORT_DAC_MASK = 0x3c6,
    PORT_DAC_READ_INDEX = 0x3c7,
    PORT_DAC_WRITE_INDEX = 0x3c8,
    PORT_DAC_DATA = 0x3c9,
    PORT_FEATURE_READ = 0x3ca,
    PORT_MISC_READ = 0x3cc,
    PORT_GC_INDEX = 0x3ce,
    PORT_GC_DATA = 0x3cf,
    PORT_CRTC_INDEX = 0x3d4,
    PORT_CRTC_DATA = 0x3d5,
    PORT_STATUS1 = 0x3da,
};

/* The CRTC's block answers at 0x3d0 in colour and at 0x3b0 in monochrome; -1 for the other one. */
static int port_of(const Vga *v, uint64_t off)
{
    int port = VGA_PORT_BASE + (int)off;
    bool color = (v->misc & 1) != 0;

    if (port >= 0x3c0 && port < 0x3d0) {
        return port;
    }
    return (port >= 0x3d0) == color ? (port & 0xf) | 0x3d0 : -1;
}

static uint64_t ports_read(void *arg, uint64_t off, unsigned size)
{
    Vga *v = arg;

    (void)size;
    switch (port_of(v, off)) {
    case PORT_ATTR:
        return v->attr_data_next ? 0 : v->attr_index;
    case PORT_ATTR_READ:
        return (v->attr_index & 0x1f) < VGA_ATTR_COUNT ? v->attr[v->attr_index & 0x1f] : 0;
    case PORT_MISC_WRITE:
        return 0x10; /* input status 0: a monitor is there */
    case PORT_SEQ_INDEX:
        return v->seq_index;
    case PORT_SEQ_DATA:
        return v->seq_index < VGA_SEQ_COUNT ? v->seq[v->seq_index] : 0;
    case PORT_DAC_MASK:
        return v->dac_mask;
    case PORT_DAC_READ_INDEX:
        return v->dac_reading ? 3 : 0;
    case PORT_DAC_WRITE_INDEX:
        return v->dac_write_index;
    case PORT_DAC_DATA:
        return dac_read(v);
    case PORT_FEATURE_READ:
        return v->feature;
    case PORT_MISC_READ:
        return v->misc;
    case PORT_GC_INDEX:
        return v->gc_index;
    case PORT_GC_DATA:
        return v->gc_index < VGA_GC_COUNT ? v->gc[v->gc_index] : 0;
    case PORT_CRTC_INDEX:
        return v->crtc_index;
    case PORT_CRTC_DATA:
        return v->crtc_index < VGA_CRTC_COUNT ? v->crtc[v->crtc_index] : 0;
    case PORT_STATUS1:
        v->attr_data_next = false;
        return status1(v);
    case -1:
        return 0xff;
    default:
        return 0;
    }
}

static void ports_write(void *arg, uint64_t off, unsigned size, uint64_t val64)
{
    Vga *v = arg;
    uint8_t val = (uint8_t)val64;

    (void)size;
    switch (port_of(v, off)) {
    case PORT_ATTR:
        attr_write(v, val);
        break;
    case PORT_MISC_WRITE:
        v->misc = val & 0xef;
        break;
    case PORT_SEQ_INDEX:
        v->seq_index = val & 7;
        break;
    case PORT_SEQ_DATA:
        if (v->seq_index < VGA_SEQ_COUNT) {
            v->seq[v->seq_index] = val & seq_mask[v->seq_index];
        }
        break;
    case PORT_DAC_MASK:
        v->dac_mask = val;
        break;
    case PORT_DAC_READ_INDEX:
        v->dac_read_index = val;
        v->dac_phase = 0;
        v->dac_reading = true;
        break;
    case PORT_DAC_WRITE_INDEX:
        v->dac_write_index = val;
        v->dac_phase = 0;
        v->dac_reading = false;
        break;
    case PORT_DAC_DATA:
        dac_write(v, val);
        break;
    case PORT_GC_INDEX:
        v->gc_index = val & 15;
        break;
    case PORT_GC_DATA:
        if (v->gc_index < VGA_GC_COUNT) {
            v->gc[v->gc_index] = val & gc_mask[v->gc_index];
        }
        break;
    case PORT_CRTC_INDEX:
        v->crtc_index = val;
        break;
    case PORT_CRTC_DATA:
        crtc_write(v, val);
        break;
    case PORT_STATUS1:
        v->feature = val & 0x10;
        break;
    default:
        break;
    }
}

/* -- BAR 2 --------------------------------------------------------------------------------------- */

/* 0x000 EDID (none), 0x400 ports 0x3c0..0x3df, 0x500 dispi, 0x600 size and byte order. */
enum { MMIO_PORTS = 0x400, MMIO_DISPI = 0x500, MMIO_QEXT = 0x600 };
enum { QEXT_LEN = 8, QEXT_LITTLE_ENDIAN = 0x1e1e1e1e };

/* The window takes accesses of 16 bits at most, so both halves of 0x600's registers come alone. */
static uint64_t mmio_read(void *arg, uint64_t off, unsigned size)
{
    Vga *v = arg;
    uint64_t val = 0;

    if (off >= MMIO_PORTS && off < MMIO_PORTS + 0x20) {
        for (unsigned i = 0; i < size; i++) {
            val |= ports_read(v, off - MMIO_PORTS + 0x10 + i, 1) << (8 * i);
        }
    } else if (off >= MMIO_DISPI && off < MMIO_DISPI + 2 * DISPI_COUNT) {
        val = vga_dispi_read(v, (unsigned)(off - MMIO_DISPI) / 2) >> (off & 1) * 8;
    } else if (off >= MMIO_QEXT && off < MMIO_QEXT + 4) {
        val = (uint32_t)QEXT_LEN >> (off & 3) * 8;
    } else if (off >= MMIO_QEXT + 4 && off < MMIO_QEXT + 8) {
        val = (uint32_t)QEXT_LITTLE_ENDIAN >> (off & 3) * 8;
    }
    return val & mask_bytes(size);
}

static void mmio_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Vga *v = arg;

    if (off >= MMIO_PORTS && off < MMIO_PORTS + 0x20) {
        for (unsigned i = 0; i < size; i++) {
            ports_write(v, off - MMIO_PORTS + 0x10 + i, 1, val >> (8 * i) & 0xff);
        }
    } else if (off >= MMIO_DISPI && off < MMIO_DISPI + 2 * DISPI_COUNT && size == 2) {
        vga_dispi_write(v, (unsigned)(off - MMIO_DISPI) / 2, (uint16_t)val);
    }
}

/* -- Device -------------------------------------------------------------------------------------- */

static void vga_reset(Device *d)
{
    Vga *v = (Vga *)d;

    pci_device_reset(&v->pci);
    v->misc = 0;
    v->feature = 0;
    v->seq_index = v->gc_index = v->crtc_index = v->attr_index = 0;
    memset(v->seq, 0, sizeof v->seq);
    memset(v->gc, 0, sizeof v->gc);
    memset(v->crtc, 0, sizeof v->crtc);
    memset(v->attr, 0, sizeof v->attr);
    v->attr_data_next = false;
    v->dac_mask = 0xff;
    v->dac_read_index = v->dac_write_index = v->dac_phase = 0;
    v->dac_reading = false;
    memset(v->dac, 0, sizeof v->dac);
    memset(v->latch, 0, sizeof v->latch);
    v->dispi_index = 0;
    v->dispi_low = 0;
    memset(v->dispi, 0, sizeof v->dispi);
    v->dispi[DISPI_ID] = 0xb0c5;
    if (v->start_in_text) {
        vga_set_mode_3(v);
    }
}

void vga_start_in_text_mode(Device *d)
{
    ((Vga *)d)->start_in_text = true;
    vga_reset(d);
}

static void vga_destroy(Device *d)
{
    pci_device_clear((PciDevice *)d);
    g_free(d);
}

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    uint64_t port = window == VGA_WINDOW_PORTS  ? VGA_PORT_BASE + off
                    : window == VGA_WINDOW_MMIO ? off - MMIO_PORTS + 0x3c0
                                                : 0;

    (void)d;
    return window == VGA_WINDOW_LEGACY /* loads the latches */ || port == 0x3ba || port == 0x3da ||
           port == PORT_DAC_DATA || port == 0x3b8 || port == 0x3d8;
}

static const DeviceWindow vga_windows[VGA_WINDOW_COUNT] = {
    [VGA_WINDOW_PORTS] = {"vga", WINDOW_PORT, 0x30, {ports_read, ports_write, 1}},
    [VGA_WINDOW_DISPI] = {"vbe", WINDOW_PORT, 3, {vga_dispi_port_read, vga_dispi_port_write, 2}},
    [VGA_WINDOW_LEGACY] = {"vga-legacy", WINDOW_MMIO, 0x20000,
                           {vga_legacy_read, vga_legacy_write, 1, .lazy_writes = 0x20000}},
    [VGA_WINDOW_MMIO] = {"vga-mmio", WINDOW_MMIO, VGA_MMIO_LEN, {mmio_read, mmio_write, 2}},
};

static const Field vga_fields[] = {
    FIELD_STRUCT(Vga, pci, pci_device_state), FIELD(Vga, misc), FIELD(Vga, feature), FIELD_MAX(Vga, seq_index, 7),
    FIELD(Vga, seq), FIELD_MAX(Vga, gc_index, 15), FIELD(Vga, gc), FIELD(Vga, crtc_index), FIELD(Vga, crtc),
    FIELD_MAX(Vga, attr_index, 0x3f), FIELD(Vga, attr), FIELD(Vga, attr_data_next), FIELD(Vga, dac_mask),
    FIELD(Vga, dac_read_index), FIELD(Vga, dac_write_index), FIELD_MAX(Vga, dac_phase, 2), FIELD(Vga, dac_reading),
    FIELD(Vga, dac), FIELD(Vga, latch), FIELD(Vga, dispi_index), FIELD(Vga, dispi), FIELD(Vga, dispi_low),
};
static const FieldTable vga_state = {.version = 1, FIELDS(vga_fields)};

static const DeviceClass vga_class = {
    .name = "VGA",
    .help = "standard VGA with the Bochs display interface",
    .windows = vga_windows,
    .n_windows = VGA_WINDOW_COUNT,
    .read_has_effect = read_has_effect,
    .reset = vga_reset,
    .destroy = vga_destroy,
    .state = &vga_state,
};

static void add_rom(Vga *v, const void *rom, size_t rom_len)
{
    uint64_t len = GUEST_PAGE_SIZE, offset;

    g_assert(rom_len <= VGA_ROM_MAX);
    while (len < rom_len) {
        len *= 2;
    }
    offset = phys_mem_alloc(v->mem, len);
    memcpy(v->mem->base + offset, rom, rom_len);
    phys_mem_written(v->mem, offset, rom_len);
    pci_add_rom(&v->pci, offset, len, "vga.rom");
}

Device *vga_new(PhysMem *mem, Clock *clock, const void *rom, size_t rom_len)
{
    static const PciIds ids = {.vendor = 0x1234, .device = 0x1111, .subsystem_vendor = 0x1af4,
                               .subsystem = 0x1100, .class_code = 0x030000, .revision = 2};
    Vga *v = g_new0(Vga, 1);

    v->mem = mem;
    v->clock = clock;
    v->vram_offset = phys_mem_alloc(mem, VGA_MEMORY_LEN);
    v->vram = mem->base + v->vram_offset;
    pci_device_init(&v->pci, &vga_class, &ids);
    pci_add_bar_ram(&v->pci, 0, v->vram_offset, VGA_MEMORY_LEN, PCI_BAR_PREFETCH, "vga.vram");
    pci_add_bar(&v->pci, 2, &vga_windows[VGA_WINDOW_MMIO], 0);
    if (rom != NULL && rom_len > 0) {
        add_rom(v, rom, rom_len);
    }
    vga_reset(&v->pci.dev);
    return &v->pci.dev;
}

PciDevice *vga_pci(Device *d)
{
    return (PciDevice *)d;
}

uint64_t vga_memory_offset(const Device *d)
{
    return ((const Vga *)d)->vram_offset;
}

const uint8_t *vga_memory(const Device *d)
{
    return ((const Vga *)d)->vram;
}
