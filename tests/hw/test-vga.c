/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/vga.h"

#include "tests/fake.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Lock lock;
    PhysMem *mem;
    FakeClock clock;
    Device *vga;
} Rig;

static const uint8_t rom_image[3000] = {0x55, 0xaa, 6};

static void rig_init(Rig *r)
{
    lock_init(&r->lock, LOCK_RANK_MACHINE);
    lock_take(&r->lock);
    fake_clock_init(&r->clock);
    r->mem = phys_mem_new(VGA_MEMORY_LEN + VGA_ROM_MAX, &r->lock, NULL);
    r->vga = vga_new(r->mem, &r->clock.clock, rom_image, sizeof rom_image);
}

static void rig_clear(Rig *r)
{
    device_free(r->vga);
    phys_mem_free(r->mem);
    lock_release(&r->lock);
    lock_clear(&r->lock);
}

static unsigned in(Rig *r, unsigned port)
{
    const DeviceWindow *w = &r->vga->cls->windows[VGA_WINDOW_PORTS];
    return (unsigned)bus_read(&w->ops, r->vga, port - VGA_PORT_BASE, 1);
}

static void out(Rig *r, unsigned port, unsigned val)
{
    const DeviceWindow *w = &r->vga->cls->windows[VGA_WINDOW_PORTS];
    bus_write(&w->ops, r->vga, port - VGA_PORT_BASE, 1, val);
}

static void out_indexed(Rig *r, unsigned port, unsigned index, unsigned val)
{
    out(r, port, index);
    out(r, port + 1, val);
}

static void dispi(Rig *r, unsigned index, unsigned val)
{
    const DeviceWindow *w = &r->vga->cls->windows[VGA_WINDOW_DISPI];
    bus_write(&w->ops, r->vga, 0, 2, index);
    bus_write(&w->ops, r->vga, 1, 2, val);
}

static unsigned dispi_get(Rig *r, unsigned index)
{
    const DeviceWindow *w = &r->vga->cls->windows[VGA_WINDOW_DISPI];
    bus_write(&w->ops, r->vga, 0, 2, index);
    return (unsigned)bus_read(&w->ops, r->vga, 1, 2);
}

static void poke(Rig *r, uint32_t addr, unsigned size, uint64_t val)
{
    const DeviceWindow *w = &r->vga->cls->windows[VGA_WINDOW_LEGACY];
    bus_write(&w->ops, r->vga, addr - VGA_LEGACY_BASE, size, val);
}

static uint64_t peek(Rig *r, uint32_t addr, unsigned size)
{
    const DeviceWindow *w = &r->vga->cls->windows[VGA_WINDOW_LEGACY];
    return bus_read(&w->ops, r->vga, addr - VGA_LEGACY_BASE, size);
}

/* What a BIOS programs for mode 3: 80x25, 400 lines, odd/even at 0xb8000, word addressing. */
static void set_text_mode(Rig *r)
{
    static const uint8_t seq[5] = {3, 0, 3, 0, 2};
    static const uint8_t gc[9] = {0, 0, 0, 0, 0, 0x10, 0x0e, 0x0f, 0xff};
    static const uint8_t crtc[25] = {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00,
                                     0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x0e,
                                     0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff};

    out(r, 0x3c2, 0x67);
    for (unsigned i = 0; i < sizeof seq; i++) {
        out_indexed(r, 0x3c4, i, seq[i]);
    }
    for (unsigned i = 0; i < sizeof gc; i++) {
        out_indexed(r, 0x3ce, i, gc[i]);
    }
    for (unsigned i = 0; i < sizeof crtc; i++) {
        out_indexed(r, 0x3d4, i, crtc[i]);
    }
}

START_TEST(text_screen_shows_what_was_written_to_b8000)
{
    Rig r;
    char *s;
    const char *text = "Hello";

    rig_init(&r);
    ck_assert_ptr_null(vga_text_screen(r.vga));
    set_text_mode(&r);
    for (unsigned i = 0; i < 80 * 25; i++) {
        poke(&r, 0xb8000 + 2 * i, 2, 0x0720);
    }
    for (unsigned i = 0; text[i] != 0; i++) {
        poke(&r, 0xb8000 + 2 * (80 * 3 + 10 + i), 2, 0x1f00u | (uint8_t)text[i]);
    }
    poke(&r, 0xb8000 + 2 * 80 * 24, 1, 0xc9);
    s = vga_text_screen(r.vga);
    ck_assert_str_eq(s, "\n\n\n          Hello\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n╔\n");
    g_free(s);
    ck_assert_uint_eq(peek(&r, 0xb8000 + 2 * (80 * 3 + 10), 2), 0x1f48);
    rig_clear(&r);
}
END_TEST

START_TEST(text_mode_geometry_follows_the_crtc)
{
    Rig r;
    VgaMode m;
    char *s;

    rig_init(&r);
    set_text_mode(&r);
    out_indexed(&r, 0x3d4, 0x0e, 1);
    out_indexed(&r, 0x3d4, 0x0f, 0x45);
    m = vga_mode(r.vga);
    ck_assert_int_eq(m.kind, VGA_KIND_TEXT);
    ck_assert_uint_eq(m.cols, 80);
    ck_assert_uint_eq(m.rows, 25);
    ck_assert_uint_eq(m.cell_width, 9);
    ck_assert_uint_eq(m.cell_height, 16);
    ck_assert_uint_eq(m.height, 400);
    ck_assert_uint_eq(m.cursor_row, 4);
    ck_assert_uint_eq(m.cursor_col, 5);
    ck_assert(m.cursor_on);
    poke(&r, 0xb8000 + 160, 1, 'x'); /* scroll by one row: the second becomes the first */
    out_indexed(&r, 0x3d4, 0x0d, 80);
    s = vga_text_screen(r.vga);
    ck_assert_int_eq(s[0], 'x');
    g_free(s);
    out_indexed(&r, 0x3c4, 1, 0x20);
    ck_assert_int_eq(vga_mode(r.vga).kind, VGA_KIND_BLANK);
    rig_clear(&r);
}
END_TEST

START_TEST(crtc_timing_registers_are_protected_by_bit_7_of_11h)
{
    Rig r;

    rig_init(&r);
    set_text_mode(&r);
    out_indexed(&r, 0x3d4, 0x01, 0x27); /* 0x11 is 0x0e: open */
    ck_assert_uint_eq(in(&r, 0x3d5), 0x27);
    out_indexed(&r, 0x3d4, 0x11, 0x8e);
    out_indexed(&r, 0x3d4, 0x01, 0x4f);
    ck_assert_uint_eq(in(&r, 0x3d5), 0x27);
    out_indexed(&r, 0x3d4, 0x07, 0x00); /* only line compare's bit 8 */
    ck_assert_uint_eq(in(&r, 0x3d5), 0x0f);
    rig_clear(&r);
}
END_TEST

START_TEST(attribute_port_alternates_between_index_and_data)
{
    Rig r;

    rig_init(&r);
    out(&r, 0x3c2, 1);
    in(&r, 0x3da);
    out(&r, 0x3c0, 0x10);
    out(&r, 0x3c0, 0x0c);
    out(&r, 0x3c0, 0x05);
    out(&r, 0x3c0, 0x14);
    out(&r, 0x3c0, 0x07);
    in(&r, 0x3da);          /* back to index whatever came before */
    out(&r, 0x3c0, 0x10);
    ck_assert_uint_eq(in(&r, 0x3c1), 0x0c);
    in(&r, 0x3da);
    out(&r, 0x3c0, 0x05);
    ck_assert_uint_eq(in(&r, 0x3c1), 0x14);
    rig_clear(&r);
}
END_TEST

START_TEST(dac_takes_three_bytes_a_colour_and_counts_up)
{
    Rig r;

    rig_init(&r);
    out(&r, 0x3c8, 0xfe);
    for (unsigned i = 0; i < 6; i++) {
        out(&r, 0x3c9, 0x10 + i);
    }
    out(&r, 0x3c7, 0xff);
    ck_assert_uint_eq(in(&r, 0x3c7), 3);
    ck_assert_uint_eq(in(&r, 0x3c9), 0x13);
    ck_assert_uint_eq(in(&r, 0x3c9), 0x14);
    ck_assert_uint_eq(in(&r, 0x3c9), 0x15);
    ck_assert_uint_eq(in(&r, 0x3c9), 0); /* wrapped to colour 0 */
    ck_assert_uint_eq(vga_dac_color(r.vga, 0xfe), 0x414549);
    rig_clear(&r);
}
END_TEST

START_TEST(retrace_bits_change_with_time)
{
    Rig r;
    unsigned seen = 0;

    rig_init(&r);
    out(&r, 0x3c2, 1);
    for (unsigned i = 0; i < 2000; i++) {
        r.clock.ns += 10 * 1000;
        seen |= 1u << (in(&r, 0x3da) & 9);
    }
    ck_assert_uint_eq(seen, 1u << 0 | 1u << 1 | 1u << 9);
    rig_clear(&r);
}
END_TEST

/* Write modes on planes, from the VGA's data flow: each row sets registers and writes one byte. */
static const struct {
    const char *name;
    uint8_t set_reset, enable_sr, rotate, mode, mask, planes, val;
    uint8_t expect[4];
} write_rows[] = {
    {"mode 0 plain",       0, 0, 0x00, 0, 0xff, 0xf, 0xa5, {0xa5, 0xa5, 0xa5, 0xa5}},
    {"mode 0 plane mask",  0, 0, 0x00, 0, 0xff, 0x5, 0xa5, {0xa5, 0x22, 0xa5, 0x88}},
    {"mode 0 bit mask",    0, 0, 0x00, 0, 0x0f, 0xf, 0xff, {0x1f, 0x2f, 0x4f, 0x8f}},
    {"mode 0 rotate",      0, 0, 0x04, 0, 0xff, 0xf, 0xa5, {0x5a, 0x5a, 0x5a, 0x5a}},
    {"mode 0 and",         0, 0, 0x08, 0, 0xff, 0xf, 0x0f, {0x01, 0x02, 0x04, 0x08}},
    {"mode 0 or",          0, 0, 0x10, 0, 0xff, 0xf, 0x0f, {0x1f, 0x2f, 0x4f, 0x8f}},
    {"mode 0 xor",         0, 0, 0x18, 0, 0xff, 0xf, 0xff, {0xee, 0xdd, 0xbb, 0x77}},
    {"mode 0 set/reset",   5, 7, 0x00, 0, 0xff, 0xf, 0xa5, {0xff, 0x00, 0xff, 0xa5}},
    {"mode 1 latches",     0, 0, 0x00, 1, 0xff, 0xf, 0xa5, {0x11, 0x22, 0x44, 0x88}},
    {"mode 2 colour",      0, 0, 0x00, 2, 0xff, 0xf, 0x06, {0x00, 0xff, 0xff, 0x00}},
    {"mode 2 bit mask",    0, 0, 0x00, 2, 0xf0, 0xf, 0x06, {0x01, 0xf2, 0xf4, 0x08}},
    {"mode 3 masked set",  3, 0, 0x00, 3, 0x3c, 0xf, 0x0f, {0x1d, 0x2e, 0x40, 0x80}},
};

START_TEST(write_modes_compute_each_plane)
{
    Rig r;
    const uint8_t *m;

    rig_init(&r);
    m = vga_memory(r.vga);
    out_indexed(&r, 0x3c4, 4, 6);
    out_indexed(&r, 0x3ce, 6, 5);
    for (unsigned p = 0; p < 4; p++) { /* planes 11 22 44 88 at 0x100 */
        out_indexed(&r, 0x3c4, 2, 1u << p);
        out_indexed(&r, 0x3ce, 8, 0xff);
        poke(&r, 0xa0100, 1, 0x11u << p);
    }
    peek(&r, 0xa0100, 1); /* load the latches */
    out_indexed(&r, 0x3c4, 2, 0xf);
    out_indexed(&r, 0x3ce, 0, write_rows[_i].set_reset);
    out_indexed(&r, 0x3ce, 1, write_rows[_i].enable_sr);
    out_indexed(&r, 0x3ce, 3, write_rows[_i].rotate);
    out_indexed(&r, 0x3ce, 5, write_rows[_i].mode);
    out_indexed(&r, 0x3ce, 8, write_rows[_i].mask);
    out_indexed(&r, 0x3c4, 2, write_rows[_i].planes);
    poke(&r, 0xa0100, 1, write_rows[_i].val);
    for (unsigned p = 0; p < 4; p++) {
        ck_assert_msg(m[0x400 + p] == write_rows[_i].expect[p], "%s: plane %u is %02x not %02x",
                      write_rows[_i].name, p, m[0x400 + p], write_rows[_i].expect[p]);
    }
    rig_clear(&r);
}
END_TEST

START_TEST(read_modes_select_a_plane_or_compare_colours)
{
    Rig r;

    rig_init(&r);
    out_indexed(&r, 0x3c4, 4, 6);
    out_indexed(&r, 0x3ce, 6, 5);
    out_indexed(&r, 0x3ce, 8, 0xff);
    for (unsigned p = 0; p < 4; p++) {
        out_indexed(&r, 0x3c4, 2, 1u << p);
        poke(&r, 0xa0000, 1, 0x0fu << p);
    }
    for (unsigned p = 0; p < 4; p++) {
        out_indexed(&r, 0x3ce, 4, p);
        ck_assert_uint_eq(peek(&r, 0xa0000, 1), (0x0fu << p) & 0xff);
    }
    out_indexed(&r, 0x3ce, 5, 8);
    out_indexed(&r, 0x3ce, 2, 0xf);
    out_indexed(&r, 0x3ce, 7, 0xf);
    ck_assert_uint_eq(peek(&r, 0xa0000, 1), 0x08);  /* bit 3 alone is set in all four */
    out_indexed(&r, 0x3ce, 7, 0x0);
    ck_assert_uint_eq(peek(&r, 0xa0000, 1), 0xff);  /* don't care about any */
    rig_clear(&r);
}
END_TEST

START_TEST(memory_map_select_moves_the_window)
{
    static const struct { uint8_t map; uint32_t inside, outside; } rows[] = {
        {0, 0xbffff, 0xbffff + 0}, {1, 0xa0000, 0xb0000}, {2, 0xb0000, 0xb8000},
        {3, 0xb8000, 0xb0000},
    };
    Rig r;

    rig_init(&r);
    out_indexed(&r, 0x3c4, 4, 0x0e); /* chain 4 */
    out_indexed(&r, 0x3c4, 2, 0xf);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        out_indexed(&r, 0x3ce, 6, (unsigned)rows[i].map << 2 | 1);
        poke(&r, rows[i].inside, 1, 0x5a);
        ck_assert_uint_eq(peek(&r, rows[i].inside, 1), 0x5a);
        if (rows[i].outside != rows[i].inside) {
            ck_assert_uint_eq(peek(&r, rows[i].outside, 1), 0xff);
        }
    }
    rig_clear(&r);
}
END_TEST

START_TEST(dispi_sets_a_linear_mode_and_clears_the_screen)
{
    Rig r;
    VgaMode m;

    rig_init(&r);
    ck_assert_uint_eq(dispi_get(&r, DISPI_ID) & 0xfff0, 0xb0c0);
    ck_assert_uint_eq(dispi_get(&r, DISPI_MEMORY_64K), 256);
    r.mem->base[vga_memory_offset(r.vga)] = 0x77;
    dispi(&r, DISPI_XRES, 1024);
    dispi(&r, DISPI_YRES, 768);
    dispi(&r, DISPI_BPP, 32);
    dispi(&r, DISPI_ENABLE, 0x41);
    m = vga_mode(r.vga);
    ck_assert_int_eq(m.kind, VGA_KIND_LINEAR);
    ck_assert_uint_eq(m.width, 1024);
    ck_assert_uint_eq(m.height, 768);
    ck_assert_uint_eq(m.stride, 4096);
    ck_assert_uint_eq(vga_memory(r.vga)[0], 0);
    ck_assert_uint_eq(dispi_get(&r, DISPI_VIRT_HEIGHT), VGA_MEMORY_LEN / 4096);
    dispi(&r, DISPI_Y_OFFSET, 768);
    ck_assert_uint_eq(vga_mode(r.vga).start, 768 * 4096);
    dispi(&r, DISPI_BANK, 3);
    poke(&r, 0xa0010, 4, 0x12345678);
    ck_assert_uint_eq(load_le(vga_memory(r.vga) + 0x30010, 4), 0x12345678);
    rig_clear(&r);
}
END_TEST

START_TEST(dispi_refuses_modes_that_do_not_fit)
{
    static const uint16_t modes[][3] = {
        {0, 0, 32}, {1024, 768, 7}, {16000, 12000, 32}, {65535, 65535, 8}, {4, 1, 8},
        {4096, 1025, 32},
    };
    Rig r;

    rig_init(&r);
    for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
        dispi(&r, DISPI_XRES, modes[i][0]);
        dispi(&r, DISPI_YRES, modes[i][1]);
        dispi(&r, DISPI_BPP, modes[i][2]);
        dispi(&r, DISPI_ENABLE, 1);
        ck_assert_uint_eq(dispi_get(&r, DISPI_ENABLE) & 1, 0);
    }
    rig_clear(&r);
}
END_TEST

START_TEST(random_register_writes_never_reach_outside_video_memory)
{
    Rig r;
    uint32_t x = 1;

    rig_init(&r);
    for (unsigned i = 0; i < 200000; i++) {
        VgaMode m;
        x = x * 1664525 + 1013904223;
        if ((x >> 28) < 5) {
            poke(&r, VGA_LEGACY_BASE + (x >> 5) % 0x20000, 1, x >> 3);
            peek(&r, VGA_LEGACY_BASE + (x >> 7) % 0x20000, 1);
        } else if ((x >> 28) < 8) {
            dispi(&r, (x >> 8) % 12, (x >> 12) & 0xffff & ((x & 1) != 0 ? 0x1ff : 0xffff));
        } else {
            out(&r, VGA_PORT_BASE + (x >> 8) % 0x30, x >> 16);
        }
        m = vga_mode(r.vga);
        if ((dispi_get(&r, DISPI_ENABLE) & DISPI_ENABLED) != 0) {
            ck_assert_uint_le(m.start + (uint64_t)m.stride * (m.height - 1), VGA_MEMORY_LEN);
        }
        if (i % 1024 == 0) {
            g_free(vga_text_screen(r.vga));
        }
    }
    rig_clear(&r);
}
END_TEST

START_TEST(pci_identity_bars_and_rom_are_the_standard_vga_s)
{
    Rig r;
    PciDevice *p;

    rig_init(&r);
    p = vga_pci(r.vga);
    ck_assert_uint_eq(pci_config_read(p, 0, 4), 0x11111234);
    ck_assert_uint_eq(pci_config_read(p, 8, 4) >> 8, 0x030000);
    pci_config_write(p, PCI_BAR0, 4, 0xffffffff);
    ck_assert_uint_eq(pci_config_read(p, PCI_BAR0, 4), 0xff000008);
    pci_config_write(p, PCI_BAR0 + 8, 4, 0xffffffff);
    ck_assert_uint_eq(pci_config_read(p, PCI_BAR0 + 8, 4), 0xfffff000);
    pci_config_write(p, PCI_ROM_BAR, 4, 0xfffff800);
    ck_assert_uint_eq(pci_config_read(p, PCI_ROM_BAR, 4), 0xfffff000);
    rig_clear(&r);
}
END_TEST

/* All that the ports show, with the indices restored to 0. */
static GByteArray *snapshot(Rig *r)
{
    static const struct { unsigned port, n; } sets[] = {
        {0x3c4, 5}, {0x3ce, 9}, {0x3d4, 25}, {0x3b4, 25},
    };
    GByteArray *a = g_byte_array_new();
    uint8_t b;

    for (unsigned off = 0; off < 0x30; off++) {
        b = (uint8_t)in(r, VGA_PORT_BASE + off);
        g_byte_array_append(a, &b, 1);
    }
    for (unsigned i = 0; i < DISPI_COUNT; i++) {
        b = (uint8_t)dispi_get(r, i);
        g_byte_array_append(a, &b, 1);
    }
    out(r, 0x3c2, 1);
    for (unsigned s = 0; s < ARRAY_LEN(sets); s++) {
        for (unsigned i = sets[s].n; i-- > 0;) {
            out(r, sets[s].port, i);
            b = (uint8_t)in(r, sets[s].port + 1);
            g_byte_array_append(a, &b, 1);
        }
    }
    out(r, 0x3c7, 0);
    for (unsigned i = 0; i < 768; i++) {
        b = (uint8_t)in(r, 0x3c9);
        g_byte_array_append(a, &b, 1);
    }
    return a;
}

START_TEST(reset_is_idempotent_and_total)
{
    Rig r;
    GByteArray *fresh, *again;

    rig_init(&r);
    fresh = snapshot(&r);
    for (unsigned i = 0; i < 2; i++) {
        set_text_mode(&r);
        out(&r, 0x3c8, 3);
        out(&r, 0x3c9, 3);
        dispi(&r, DISPI_XRES, 640);
        out(&r, 0x3c0, 3);
        device_reset(r.vga);
        if (i == 1) {
            device_reset(r.vga);
        }
        again = snapshot(&r);
        ck_assert_uint_eq(again->len, fresh->len);
        ck_assert_mem_eq(again->data, fresh->data, fresh->len);
        g_byte_array_unref(again);
    }
    g_byte_array_unref(fresh);
    rig_clear(&r);
}
END_TEST

START_TEST(a_machine_without_firmware_starts_in_text_mode)
{
    Rig r;
    char *screen;

    rig_init(&r);
    vga_start_in_text_mode(r.vga);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(vga_mode(r.vga).cols, 80);
        ck_assert_uint_eq(vga_mode(r.vga).rows, 25);
        poke(&r, 0xb8000, 2, 0x0741);
        screen = vga_text_screen(r.vga);
        ck_assert_int_eq(screen[0], 'A');
        ck_assert_int_eq(screen[1], '\n');
        g_free(screen);
        ck_assert_uint_eq(vga_dac_color(r.vga, 0x14), 0xaa5500); /* brown */
        device_reset(r.vga);
    }
    rig_clear(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("vga");
    TCase *t = tcase_create("vga");
    SRunner *sr;
    int failed;

    suite_add_tcase(s, t);
    tcase_add_test(t, text_screen_shows_what_was_written_to_b8000);
    tcase_add_test(t, text_mode_geometry_follows_the_crtc);
    tcase_add_test(t, crtc_timing_registers_are_protected_by_bit_7_of_11h);
    tcase_add_test(t, attribute_port_alternates_between_index_and_data);
    tcase_add_test(t, dac_takes_three_bytes_a_colour_and_counts_up);
    tcase_add_test(t, retrace_bits_change_with_time);
    tcase_add_loop_test(t, write_modes_compute_each_plane, 0, (int)ARRAY_LEN(write_rows));
    tcase_add_test(t, read_modes_select_a_plane_or_compare_colours);
    tcase_add_test(t, memory_map_select_moves_the_window);
    tcase_add_test(t, dispi_sets_a_linear_mode_and_clears_the_screen);
    tcase_add_test(t, dispi_refuses_modes_that_do_not_fit);
    tcase_add_test(t, random_register_writes_never_reach_outside_video_memory);
    tcase_add_test(t, pci_identity_bars_and_rom_are_the_standard_vga_s);
    tcase_add_test(t, reset_is_idempotent_and_total);
    tcase_add_test(t, a_machine_without_firmware_starts_in_text_mode);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
