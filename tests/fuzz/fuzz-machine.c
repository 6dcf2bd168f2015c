/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole machines, made, used through their port and memory spaces (configuration cycles, BARs, PAM, A20,
 * every device where it really is), reset and freed.  No CPU runs.
 */
#include "softmmu/base/bits.h"
#include "tests/fuzz/whole-machine.h"

enum { OPS_MAX = 1500 };

static const char *const lines[][24] = {
    {"metaphrase", "-M", "pc", "-nodefaults", "-vga", "std", "-m", "16", "-serial", "null", "-device",
     "virtio-rng-pci", "-device", "virtio-serial-pci", "-device", "isa-debug-exit", "-S", NULL},
    {"metaphrase", "-M", "pc,hpet=off", "-nodefaults", "-m", "16", "-serial", "null", "-chardev", "null,id=c", "-device",
     "virtio-serial-pci", "-device", "virtconsole,chardev=c", "-smp", "2", "-S", NULL},
};

static const uint16_t ports[] = {0x00, 0x08, 0x0f, 0x20, 0x21, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80,
                                 0x92, 0xa0, 0xa1, 0xb2, 0xc0, 0xd0, 0xe9, 0xf0, 0x170, 0x1ce, 0x1cf,
                                 0x1f0, 0x1f7, 0x376, 0x3b0, 0x3c0, 0x3d4, 0x3da, 0x3f0, 0x3f5, 0x3f6,
                                 0x3f8, 0x402, 0x4d0, 0x510, 0x511, 0x514, 0x518, 0x600, 0xb000, 0xb004,
                                 0xcf8, 0xcf9, 0xcfc, 0xc000, 0xc040};

static const uint64_t places[] = {0xa0000, 0xb8000, 0xc0000, 0xe0000, 0xf0000, 0xfffff, 0x100000, 0x1000,
                                  0xfec00000, 0xfec00010, 0xfed00000, 0xfed000f0, 0xfee00000,
                                  0xfee000b0, 0xfee00300, 0xfffffff0, 0xe0000000, 0xfebf0000};

static uint32_t config_address(FuzzInput *in)
{
    return 0x80000000u | (uint32_t)(fuzz_u8(in) & 0x3f) << 8 | (fuzz_u8(in) & 0xfc);
}

static void step(Machine *m, FuzzInput *in)
{
    uint8_t op = fuzz_u8(in);
    unsigned size = 1u << (fuzz_u8(in) % 3);
    uint16_t port = (uint16_t)(ports[fuzz_u8(in) % ARRAY_LEN(ports)] + (fuzz_u8(in) & 7));
    uint64_t addr = places[fuzz_u8(in) % ARRAY_LEN(places)] + (fuzz_u8(in) & 0x3f);

    switch (op & 7) {
    case 0: port_read(m->ports, port, size); break;
    case 1: case 2: port_write(m->ports, port, size, (uint32_t)fuzz_value(in)); break;
    case 3:
        port_write(m->ports, 0xcf8, 4, config_address(in));
        port_write(m->ports, (uint16_t)(0xcfc + (fuzz_u8(in) & (4 - size))), size, (uint32_t)fuzz_value(in));
        break;
    case 4:
        port_write(m->ports, 0xcf8, 4, config_address(in));
        port_read(m->ports, 0xcfc, 4);
        break;
    case 5: phys_read(m->mem, guest_phys(addr), size); break;
    case 6: phys_write(m->mem, guest_phys(addr), size, fuzz_value(in)); break;
    default:
        if ((fuzz_u8(in) & 15) == 0) {
            timer_queue_run(&m->timers);
        } else {
            uint64_t at = fuzz_value(in);
            phys_write(m->mem, guest_phys(at & ~UINT64_C(7)), 8, fuzz_value(in));
        }
        break;
    }
}

static void steps(Machine *m, FuzzInput *in)
{
    for (unsigned i = 0; i < OPS_MAX && in->left > 0; i++) {
        step(m, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};

    with_machine(lines[fuzz_u8(&in) % ARRAY_LEN(lines)], steps, &in);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    return i < 8 ? mixed_seed(i, buf, 113, 41) : 0;
}
