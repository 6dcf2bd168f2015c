/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the VGA's registers put on the screen. */
#include "hw/vga-internal.h"

#include "softmmu/base/bits.h"

#include <glib.h>
#include <string.h>

enum { MAX_ROWS = 128 };

/* Code page 437: control codes are the ROM font's pictures. */
static const gunichar2 cp437_low[32] = {
    ' ',    0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9,
    0x2642, 0x2640, 0x266a, 0x266b, 0x263c, 0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7,
    0x25ac, 0x21a8, 0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
};
static const gunichar2 cp437_high[129] = {
    0x2302, 0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb,
    0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6,
    0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192,
    0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac,
    0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561,
    0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510, 0x2514,
    0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566,
    0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553,
    0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df,
    0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e,
    0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, ' ',
};

static gunichar cp437(uint8_t c)
{
    return c < 32 ? cp437_low[c] : c >= 127 ? cp437_high[c - 127] : c;
}

static unsigned crtc_display_lines(const Vga *v)
{
    const uint8_t *cr = v->crtc;

    return (cr[0x12] | (cr[0x07] & 2u) << 7 | (cr[0x07] & 0x40u) << 3) + 1;
}

/* A CRTC counter value as a plane address: byte, word or doubleword mode. */
static unsigned counter_shift(const Vga *v)
{
    return (v->crtc[0x14] & 0x40) != 0 ? 2 : (v->crtc[0x17] & 0x40) != 0 ? 0 : 1;
}

static void mode_dispi(const Vga *v, VgaMode *m)
{
    unsigned bpp = v->dispi[DISPI_BPP], width = v->dispi[DISPI_VIRT_WIDTH];

    m->kind = bpp == 4 ? VGA_KIND_PLANAR4 : bpp == 8 ? VGA_KIND_PACKED8 : VGA_KIND_LINEAR;
    m->width = v->dispi[DISPI_XRES];
    m->height = v->dispi[DISPI_YRES];
    m->bpp = bpp;
    m->stride = vga_dispi_stride(v, width);
    m->start = v->dispi[DISPI_Y_OFFSET] * m->stride + vga_dispi_stride(v, v->dispi[DISPI_X_OFFSET]);
}

static void mode_text(const Vga *v, VgaMode *m)
{
    const uint8_t *cr = v->crtc;
    unsigned shift = counter_shift(v), start = (unsigned)cr[0x0c] << 8 | cr[0x0d];
    unsigned cursor = ((unsigned)cr[0x0e] << 8 | cr[0x0f]) - start;

    m->kind = VGA_KIND_TEXT;
    m->cell_width = (v->seq[1] & 1) != 0 ? 8 : 9;
    m->cell_height = (cr[0x09] & 0x1f) + 1;
    m->cols = cr[0x01] + 1;
    m->rows = MIN((m->height + m->cell_height - 1) / m->cell_height, (unsigned)MAX_ROWS);
    m->width = m->cols * m->cell_width;
    m->cell_stride = 4u << shift;
    m->start = start * m->cell_stride;
    m->stride = cr[0x13] * 2 * m->cell_stride;
    m->cursor_on = (cr[0x0a] & 0x20) == 0;
    if (cr[0x13] != 0) {
        m->cursor_col = cursor % (cr[0x13] * 2u);
        m->cursor_row = cursor / (cr[0x13] * 2u);
    }
}

static void mode_graphics(const Vga *v, VgaMode *m)
{
    const uint8_t *cr = v->crtc;
    unsigned shift = counter_shift(v);
    unsigned start = (unsigned)cr[0x0c] << 8 | cr[0x0d];

    m->width = (cr[0x01] + 1) * 8;
    m->stride = cr[0x13] * 2 * (4u << shift);
    m->start = start * (4u << shift);
    if ((v->gc[5] & 0x40) != 0) {
        /* Memory is compact in chain-4, whatever the counter's doubleword mode skips. */
        m->kind = VGA_KIND_PACKED8;
        m->bpp = 8;
        m->width /= 2;
        m->stride = cr[0x13] * 8;
        m->start = start * 4;
    } else {
        m->kind = (v->gc[5] & 0x20) != 0 ? VGA_KIND_CGA2 : VGA_KIND_PLANAR4;
        m->bpp = m->kind == VGA_KIND_CGA2 ? 2 : 4;
        m->width = (v->seq[1] & 8) != 0 && m->kind == VGA_KIND_CGA2 ? m->width / 2 : m->width;
    }
    m->double_scan = (cr[0x09] & 0x80) != 0 || (cr[0x09] & 0x1f) != 0;
    if (m->double_scan) {
        m->height /= ((cr[0x09] & 0x80) != 0 ? 2u : 1u) * ((cr[0x09] & 0x1f) + 1);
    }
}

VgaMode vga_mode(const Device *d)
{
    const Vga *v = (const Vga *)d;
    VgaMode m = {0};

    if (vga_dispi_on(v)) {
        mode_dispi(v, &m);
        return m;
    }
    m.height = crtc_display_lines(v);
    if ((v->seq[0] & 3) != 3 || (v->seq[1] & 0x20) != 0) {
        m.kind = VGA_KIND_BLANK;
    } else if ((v->gc[6] & 1) == 0) {
        mode_text(v, &m);
    } else {
        mode_graphics(v, &m);
    }
    return m;
}

char *vga_text_screen(const Device *d)
{
    const Vga *v = (const Vga *)d;
    VgaMode m = vga_mode(d);
    GString *s;

    if (m.kind != VGA_KIND_TEXT) {
        return NULL;
    }
    s = g_string_new(NULL);
    for (unsigned row = 0; row < m.rows; row++) {
        gsize keep = s->len;
        for (unsigned col = 0; col < m.cols; col++) {
            unsigned at = m.start + row * m.stride + col * m.cell_stride;
            gunichar c = cp437(v->vram[at & (4 * 0x10000 - 1)]);
            g_string_append_unichar(s, c);
            keep = c != ' ' ? s->len : keep;
        }
        g_string_truncate(s, keep);
        g_string_append_c(s, '\n');
    }
    return g_string_free(s, FALSE);
}

/* 80 by 25 cells of 9 by 16 pixels, odd/even memory at 0xb8000, the 16 EGA colours. */
void vga_set_mode_3(Vga *v)
{
    static const uint8_t seq[VGA_SEQ_COUNT] = {3, 0, 3, 0, 2};
    static const uint8_t gc[VGA_GC_COUNT] = {0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff};
    static const uint8_t crtc[VGA_CRTC_COUNT] = {
        0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
        0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
    };
    static const uint8_t attr[VGA_ATTR_COUNT] = {0,    1,    2,    3,    4,    5,    0x14,
                                                 7,    0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d,
                                                 0x3e, 0x3f, 0x0c, 0,    0x0f, 8,    0};

    v->misc = 0x67;
    memcpy(v->seq, seq, sizeof seq);
    memcpy(v->gc, gc, sizeof gc);
    memcpy(v->crtc, crtc, sizeof crtc);
    memcpy(v->attr, attr, sizeof attr);
    v->attr_index = 0x20;
    for (unsigned i = 0; i < 64; i++) { /* EGA: bits 0-2 two thirds, bits 3-5 one third of BGR */
        for (unsigned c = 0; c < 3; c++) {
            v->dac[i][2 - c] = (uint8_t)((i >> c & 1) * 0x2a + (i >> (c + 3) & 1) * 0x15);
        }
    }
    for (unsigned i = 0; i < 0x8000; i += 2) {
        v->vram[4 * i] = ' ';
        v->vram[4 * i + 1] = 0x07;
    }
    phys_mem_written(v->mem, v->vram_offset, 4 * 0x8000);
}

uint32_t vga_dac_color(const Device *d, unsigned index)
{
    const Vga *v = (const Vga *)d;
    const uint8_t *c = v->dac[index & v->dac_mask & 0xff];
    uint32_t rgb = 0;

    for (unsigned i = 0; i < 3; i++) {
        uint8_t part = c[i];
        if ((v->dispi[DISPI_ENABLE] & DISPI_8BIT_DAC) == 0) {
            part = (uint8_t)(part << 2 | part >> 4);
        }
        rgb = rgb << 8 | part;
    }
    return rgb;
}
