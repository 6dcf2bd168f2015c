/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every device of tests/hw/contract-devices.c: register traffic at all widths, moving time and
 * hostile contents of the memory it reads by DMA.
 */
#include "softmmu/base/bits.h"
#include "tests/fuzz/fuzz.h"
#include "tests/hw/contract.h"
#include "tests/hw/window.h"

enum { OPS_MAX = 600 };

/* Mostly near the start of the window, where registers are. */
static uint64_t take_offset(FuzzInput *in, uint64_t len, unsigned size)
{
    uint64_t off = (fuzz_u8(in) & 7) != 0 ? fuzz_u8(in) : fuzz_u32(in);

    return off % (len - size + 1);
}

static void poke_memory(ContractEnv *env, FuzzInput *in)
{
    uint64_t at = fuzz_value(in) % (CONTRACT_RAM_LEN - 64);

    for (unsigned i = 0; i < 64; i += 8) {
        store_le(env->mem->base + at + i, 8, fuzz_value(in));
    }
}

static void step(ContractEnv *env, Device *d, FuzzInput *in)
{
    uint8_t op = fuzz_u8(in);
    unsigned w = op / 16 % d->cls->n_windows;
    uint64_t len = d->cls->windows[w].len;
    unsigned size = 1u << (fuzz_u8(in) & 3);

    if (size > len) {
        size = 1;
    }
    switch (op & 15) {
    case 0: poke_memory(env, in); break;
    case 1: fake_clock_go(&env->clock, env->clock.ns + fuzz_u32(in) / 64); break;
    case 2:
        if (fuzz_u8(in) == 0) {
            fake_clock_go(&env->clock, env->clock.ns + 3 * NS_PER_SEC);
        }
        break;
    case 3:
        if ((fuzz_u8(in) & 15) == 0) {
            device_reset(d);
        }
        break;
    case 4: case 5: case 6: case 7:
        window_in(d, w, take_offset(in, len, size), size);
        break;
    default: {
        uint64_t off = take_offset(in, len, size);
        window_out(d, w, off, size, fuzz_value(in));
        break;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    ContractEnv env;

    Device *d = contract_set_up(&env, &contract_rows[fuzz_u8(&in) % contract_n_rows], 0);
    device_reset(d);
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        step(&env, d, &in);
    }
    contract_tear_down(&env, d);
    return 0;
}

/* One a device: long and plain, the mutator does the rest. */
size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    if (i >= contract_n_rows) {
        return 0;
    }
    buf[0] = (uint8_t)i;
    for (unsigned k = 1; k < 2048; k++) {
        buf[k] = (uint8_t)(k * 167 + k / 7 * 13 + i);
    }
    return 2048;
}
