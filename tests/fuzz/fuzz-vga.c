/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VGA: any registers and planar memory accesses; after each burst a display asks for the mode and a
 * monitor for the text screen.
 */
#include "hw/vga.h"
#include "softmmu/base/bits.h"
#include "tests/fuzz/fuzz.h"
#include "tests/hw/contract.h"
#include "tests/hw/window.h"

#include <string.h>

enum { OPS_MAX = 800 };

static Device *make(ContractEnv *env)
{
    return vga_new(env->mem, &env->clock.clock, NULL, 0);
}

static const ContractRow row = {"vga", make};

/* An indexed register: the ports of its index, relative to 3b0h. */
static void indexed(Device *d, FuzzInput *in)
{
    static const struct {
        uint8_t port, n;
    } sets[] = {{0x14, 8}, {0x1e, 16}, {0x24, 32}, {0x04, 32}};
    unsigned s = fuzz_u8(in) & 3;

    window_out(d, VGA_WINDOW_PORTS, sets[s].port, 1, fuzz_u8(in) % sets[s].n);
    window_out(d, VGA_WINDOW_PORTS, sets[s].port + 1, 1, fuzz_u8(in));
}

static void step(ContractEnv *env, Device *d, FuzzInput *in)
{
    uint8_t op = fuzz_u8(in);

    switch (op & 15) {
    case 0: case 1: case 2: case 3: indexed(d, in); break;
    case 4: /* attribute controller */
        window_in(d, VGA_WINDOW_PORTS, 0x2a, 1);
        window_out(d, VGA_WINDOW_PORTS, 0x10, 1, fuzz_u8(in) & 0x3f);
        window_out(d, VGA_WINDOW_PORTS, 0x10, 1, fuzz_u8(in));
        break;
    case 5: case 6: /* dispi */
        window_out(d, VGA_WINDOW_DISPI, 0, 2, fuzz_u8(in) % (DISPI_COUNT + 1));
        window_out(d, VGA_WINDOW_DISPI, 1, 2, fuzz_value(in));
        break;
    case 7: window_out(d, VGA_WINDOW_PORTS, fuzz_u8(in) & 31, 1, fuzz_u8(in)); break;
    case 8: window_in(d, VGA_WINDOW_PORTS, fuzz_u8(in) & 31, 1); break;
    case 9: case 10:
        window_out(d, VGA_WINDOW_LEGACY, fuzz_u32(in) & 0x1fffc, 4, fuzz_value(in));
        break;
    case 11: window_in(d, VGA_WINDOW_LEGACY, fuzz_u16(in) * 2 & 0x1fffe, 2); break;
    case 12: window_out(d, VGA_WINDOW_MMIO, fuzz_u16(in) & 0xffe, 2, fuzz_value(in)); break;
    case 13: env->clock.ns += fuzz_u16(in); break;
    default: {
        VgaMode m = vga_mode(d);
        g_autofree char *text = vga_text_screen(d);
        g_assert(text == NULL || g_utf8_validate(text, -1, NULL));
        g_assert(m.kind != VGA_KIND_TEXT || (m.cols > 0 && m.rows > 0));
        g_assert(m.start < VGA_MEMORY_LEN);
        break;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    ContractEnv env;

    Device *d = contract_set_up(&env, &row, 0);
    device_reset(d);
    if ((fuzz_u8(&in) & 1) != 0) {
        vga_start_in_text_mode(d);
    }
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        step(&env, d, &in);
    }
    g_free(vga_text_screen(d));
    contract_tear_down(&env, d);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    if (i >= 8) {
        return 0;
    }
    buf[0] = 1;
    for (unsigned k = 1; k < 2048; k++) {
        buf[k] = (uint8_t)(k * 37 + k / 5 * 11 + i * 5);
    }
    return 2048;
}
