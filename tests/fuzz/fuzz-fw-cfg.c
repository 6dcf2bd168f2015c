/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fw_cfg: DMA requests with any control word, length and address, among selector and data accesses. */
#include "hw/fw-cfg.h"
#include "softmmu/base/bits.h"
#include "tests/fuzz/fuzz.h"
#include "tests/hw/contract.h"
#include "tests/hw/window.h"

enum { OPS_MAX = 400, REQUEST = 0x10000 };

static Device *make(ContractEnv *env)
{
    Device *d = fw_cfg_new(env->mem);
    g_autoptr(GBytes) big = g_bytes_new_take(g_malloc0(100000), 100000);
    g_autoptr(GBytes) empty = g_bytes_new(NULL, 0);

    fw_cfg_set_int(d, FW_CFG_NB_CPUS, 2, 3);
    fw_cfg_set_string(d, FW_CFG_KERNEL_CMDLINE, "console=ttyS0");
    fw_cfg_set(d, FW_CFG_KERNEL_DATA, big);
    g_assert(fw_cfg_add_file(d, "etc/big", big, NULL));
    g_assert(fw_cfg_add_file(d, "etc/empty", empty, NULL));
    return d;
}

static const ContractRow row = {"fw-cfg", make};

static uint16_t take_key(FuzzInput *in)
{
    uint8_t k = fuzz_u8(in);

    return k >= 0xf0 ? fuzz_u16(in) : k & 0x3f;
}

static void dma(ContractEnv *env, Device *d, FuzzInput *in)
{
    uint8_t *request = env->mem->base + REQUEST;
    uint32_t control = (uint32_t)take_key(in) << 16 | (fuzz_u8(in) & 0x1f);
    uint64_t at = (fuzz_u8(in) & 15) != 0 ? REQUEST : fuzz_value(in);

    store_le(request, 4, GUINT32_TO_BE(control));
    store_le(request + 4, 4, GUINT32_TO_BE((uint32_t)fuzz_value(in)));
    store_le(request + 8, 8, GUINT64_TO_BE(fuzz_value(in)));
    window_out(d, FW_CFG_WINDOW_DMA, 0, 4, GUINT32_TO_BE((uint32_t)(at >> 32)));
    window_out(d, FW_CFG_WINDOW_DMA, 4, 4, GUINT32_TO_BE((uint32_t)at));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    ContractEnv env;

    Device *d = contract_set_up(&env, &row, 0);
    device_reset(d);
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        uint8_t op = fuzz_u8(&in);
        if ((op & 7) < 4) {
            dma(&env, d, &in);
        } else if ((op & 7) == 4) {
            window_out(d, FW_CFG_WINDOW_REGS, 0, 2, take_key(&in));
        } else if ((op & 7) == 5) {
            window_out(d, FW_CFG_WINDOW_REGS, 1, 1, op);
        } else {
            window_in(d, FW_CFG_WINDOW_REGS, 1, 1);
        }
    }
    contract_tear_down(&env, d);
    return 0;
}

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    if (i >= 4) {
        return 0;
    }
    for (unsigned k = 0; k < 1024; k++) {
        buf[k] = (uint8_t)(k * 91 + k / 13 * 7 + i * 3);
    }
    return 1024;
}
