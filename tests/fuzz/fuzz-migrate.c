/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * States of machines, damaged, loaded, and used: whatever comes through must be safe to go on with.  The checksums of the
 * stream would catch damage by chance, but not a stream that somebody has made.
 */
#include "monitor/migrate-state.h"
#include "monitor/migrate.h"
#include "softmmu/base/bits.h"
#include "tests/fuzz/whole-machine.h"

enum { OPS_MAX = 200 };

static const char *const lines[][24] = {
    {"metaphrase", "-M", "pc", "-nodefaults", "-vga", "std", "-m", "16", "-serial", "null", "-device",
     "virtio-rng-pci", "-device", "virtio-serial-pci", "-device", "ib700", "-incoming", "defer", NULL},
    {"metaphrase", "-M", "pc", "-nodefaults", "-m", "16", "-serial", "null", "-chardev", "null,id=c", "-device",
     "virtio-serial-pci", "-device", "virtconsole,chardev=c", "-smp", "2", "-incoming", "defer", NULL},
};

static const uint16_t ports[] = {0x00, 0x08, 0x20, 0x21, 0x40, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0xa0, 0xa1, 0xc0, 0x170,
                                 0x1ce, 0x1cf, 0x1f0, 0x1f7, 0x376, 0x3b0, 0x3c0, 0x3d4, 0x3da, 0x3f0, 0x3f4, 0x3f5, 0x3f6, 0x3f8, 0x441,
                                 0x4d0, 0x510, 0x511, 0x514, 0x600, 0xb000, 0xb004, 0xcf8, 0xcfc, 0xc000, 0xc040};
static const uint64_t places[] = {0xa0000, 0xb8000, 0xc0000, 0xf0000, 0x1000, 0xfec00000, 0xfec00010, 0xfed00000, 0xfed000f0, 0xfee00000,
                                  0xfee000b0, 0xfee00300, 0xfee00390, 0xfebf0000};

/* Some bytes of one part become others. */
static void damage(GPtrArray *state, FuzzInput *in)
{
    GByteArray *a = g_ptr_array_index(state, fuzz_u8(in) % state->len);

    for (unsigned n = fuzz_u8(in) % 8; n > 0; n--) {
        unsigned at = fuzz_u8(in) | (unsigned)fuzz_u8(in) << 8 | (unsigned)fuzz_u8(in) << 16;
        a->data[at % a->len] = fuzz_u8(in);
    }
    if ((fuzz_u8(in) & 15) == 0) {
        g_byte_array_set_size(a, fuzz_u8(in) % a->len);
    }
}

static void use(Machine *m, FuzzInput *in)
{
    unsigned size = 1u << (fuzz_u8(in) % 3);
    uint16_t port = (uint16_t)(ports[fuzz_u8(in) % ARRAY_LEN(ports)] + (fuzz_u8(in) & 7));
    uint64_t addr = places[fuzz_u8(in) % ARRAY_LEN(places)] + (fuzz_u8(in) & 0x3f);

    switch (fuzz_u8(in) % 6) {
    case 0: port_read(m->ports, port, size); break;
    case 1: port_write(m->ports, port, size, (uint32_t)fuzz_value(in)); break;
    case 2: phys_read(m->mem, guest_phys(addr), size); break;
    case 3: phys_write(m->mem, guest_phys(addr), size, fuzz_value(in)); break;
    default: timer_queue_run(&m->timers); break;
    }
}

static void load(Machine *m, FuzzInput *in)
{
    g_autoptr(GPtrArray) state = NULL;
    g_autoptr(GError) error = NULL;
    bool ok = true;

    state = migrate_save_state(m, true, &error);
    g_assert_no_error(error);
    damage(state, in);
    migrate_hold_tsc(m, true);
    for (unsigned i = 0; ok && i < state->len; i++) {
        const GByteArray *a = g_ptr_array_index(state, i);
        /* a copy of its own length: sanitizers see what is read behind it */
        g_autofree uint8_t *bytes = g_memdup2(a->data, a->len);
        ok = migrate_load_state(m, i, bytes, a->len, &error);
        g_assert(ok == (error == NULL));
    }
    if (ok) {
        migrate_loaded(m);
    }
    migrate_hold_tsc(m, false);
    for (unsigned i = 0; ok && i < OPS_MAX && in->left > 0; i++) {
        use(m, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};

    with_machine(lines[fuzz_u8(&in) % ARRAY_LEN(lines)], load, &in);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    return i < 16 ? mixed_seed(i, buf, 97, 31) : 0;
}
