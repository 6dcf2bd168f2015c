/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Controllers with disks in them: ATA commands with any task file, ATAPI packets, bus-master DMA by any
 * PRD table, floppy commands, and raw register traffic between.
 */
#include "hw/dma8237.h"
#include "hw/fdc.h"
#include "hw/ide.h"
#include "softmmu/base/bits.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/scratch-disk.h"
#include "tests/hw/contract.h"
#include "tests/hw/window.h"

enum { OPS_MAX = 150, DISK_LEN = 1 << 20, FLOPPY_LEN = 1440 * 1024, PRD = 0x8000 };

typedef struct {
    ContractEnv env;
    GMainContext *context;
    BlockBackend *disk, *cd, *floppy;
} Disks;

static Disks *of_env(ContractEnv *env)
{
    return (Disks *)env;
}

static void close_disks(void *arg)
{
    Disks *s = arg;

    block_close(s->disk);
    block_close(s->cd);
    block_close(s->floppy);
    g_main_context_unref(s->context);
}

static void open_disks(ContractEnv *env)
{
    Disks *s = of_env(env);

    s->context = g_main_context_new();
    s->disk = scratch_disk(DISK_LEN, s->context, (BlockOptions){.no_lock = true});
    s->cd = scratch_disk(DISK_LEN, s->context, (BlockOptions){.no_lock = true, .read_only = true});
    s->floppy = scratch_disk(FLOPPY_LEN, s->context, (BlockOptions){.no_lock = true});
    env->finish = close_disks;
    env->finish_arg = s;
}

static Device *make_ide(ContractEnv *env)
{
    open_disks(env);
    Device *d = ide_new(env->mem);
    ide_attach_disk(d, 0, of_env(env)->disk, "fuzz");
    ide_attach_cdrom(d, 1, of_env(env)->cd);
    ide_attach_cdrom(d, 2, NULL);
    ide_set_irq(d, 0, contract_irq(env, 14));
    ide_set_irq(d, 1, contract_irq(env, 15));
    pci_config_write(ide_pci(d), PCI_COMMAND, 2, 7);
    return d;
}

static Device *make_fdc(ContractEnv *env)
{
    open_disks(env);
    Device *dma = dma8237_new(env->mem), *d = fdc_new(dma, contract_irq(env, 6));
    g_ptr_array_add(env->others, dma);
    g_assert(fdc_attach(d, 0, of_env(env)->floppy, NULL));
    return d;
}

static const ContractRow rows[] = {{"ide", make_ide}, {"fdc", make_fdc}};

/* -- Steps -------------------------------------------------------------------------------------- */

static void wait_io(ContractEnv *env)
{
    Disks *s = of_env(env);

    block_drain(s->disk);
    block_drain(s->cd);
    while (g_main_context_iteration(s->context, FALSE)) {
    }
}

static void ata_command(Device *d, FuzzInput *in, uint8_t command)
{
    unsigned w = (fuzz_u8(in) & 7) == 0 ? IDE_WINDOW_SECONDARY : IDE_WINDOW_PRIMARY;

    window_out(d, w, 6, 1, fuzz_u8(in));
    for (unsigned r = 1; r < 6; r++) {
        if ((fuzz_u8(in) & 1) != 0) {          /* LBA48's high bytes */
            window_out(d, w, r, 1, fuzz_u8(in) & 3);
        }
        window_out(d, w, r, 1, fuzz_u8(in));
    }
    window_out(d, w, 7, 1, command);
}

static void packet(Device *d, FuzzInput *in)
{
    window_out(d, IDE_WINDOW_PRIMARY, 6, 1, 0xb0);
    window_out(d, IDE_WINDOW_PRIMARY, 1, 1, fuzz_u8(in) & 1);
    window_out(d, IDE_WINDOW_PRIMARY, 4, 1, fuzz_u8(in));
    window_out(d, IDE_WINDOW_PRIMARY, 5, 1, fuzz_u8(in));
    window_out(d, IDE_WINDOW_PRIMARY, 7, 1, 0xa0);
    for (unsigned i = 0; i < 6; i++) {
        window_out(d, IDE_WINDOW_PRIMARY, 0, 2, fuzz_u16(in));
    }
}

static void move_data(Device *d, FuzzInput *in)
{
    unsigned n = fuzz_u16(in) & 0x3ff;
    bool out = (fuzz_u8(in) & 1) != 0;

    for (unsigned i = 0; i < n; i++) {
        if (out) {
            window_out(d, IDE_WINDOW_PRIMARY, 0, 2, i);
        } else {
            window_in(d, IDE_WINDOW_PRIMARY, 0, (i & 1) + 1 == 1 ? 2 : 4);
        }
    }
}

static void start_dma(ContractEnv *env, Device *d, FuzzInput *in)
{
    unsigned n = fuzz_u8(in) & 15;

    for (unsigned i = 0; i < n; i++) {
        store_le(env->mem->base + PRD + i * 8, 4, fuzz_value(in));
        store_le(env->mem->base + PRD + i * 8 + 4, 4, fuzz_u16(in) | (i + 1 == n ? 0x80000000u : 0));
    }
    window_out(d, IDE_WINDOW_BUS_MASTER, 4, 4, (fuzz_u8(in) & 7) != 0 ? PRD : fuzz_value(in));
    window_out(d, IDE_WINDOW_BUS_MASTER, 0, 1, fuzz_u8(in) & 9);
}

static void fdc_command(Device *d, FuzzInput *in)
{
    unsigned n = 1 + (fuzz_u8(in) & 15);

    window_out(d, FDC_WINDOW_MAIN, 2, 1, 0x1c);
    for (unsigned i = 0; i < n; i++) {
        window_out(d, FDC_WINDOW_MAIN, 5, 1, fuzz_u8(in));
    }
    for (unsigned i = fuzz_u8(in); i > 0; i--) {
        window_in(d, FDC_WINDOW_MAIN, 5, 1);
    }
}

static const uint8_t ata_commands[] = {0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39, 0x40, 0x90, 0xa1,
                                       0xc4, 0xc5, 0xc6, 0xc8, 0xca, 0xe7, 0xea, 0xec, 0xef, 0x06, 0xf8};

static void step(ContractEnv *env, Device *d, FuzzInput *in)
{
    uint8_t op = fuzz_u8(in);
    bool ide = d->cls->n_windows == IDE_WINDOW_COUNT;
    unsigned w = fuzz_u8(in) % d->cls->n_windows;
    uint64_t off = fuzz_u8(in) % d->cls->windows[w].len;

    switch (op & 15) {
    case 0: case 1: case 2:
        if (ide) {
            ata_command(d, in, ata_commands[fuzz_u8(in) % ARRAY_LEN(ata_commands)]);
        } else {
            fdc_command(d, in);
        }
        break;
    case 3: case 4: case 5:
        if (ide) {
            packet(d, in);
        } else {
            fdc_command(d, in);
        }
        break;
    case 6: case 7:
        if (ide) {
            move_data(d, in);
        }
        break;
    case 8: case 9:
        if (ide) {
            start_dma(env, d, in);
        }
        break;
    case 10:
        if (ide && (op & 16) != 0) {
            ata_command(d, in, fuzz_u8(in));
        } else if (ide) {
            ide_change_medium(d, 1, (op & 32) != 0 ? of_env(env)->cd : NULL);
        }
        break;
    case 11: wait_io(env); break;
    case 12:
        if ((fuzz_u8(in) & 7) == 0) {
            device_reset(d);
        }
        break;
    case 13: window_in(d, w, off, 1); break;
    default: window_out(d, w, off, 1, fuzz_u8(in)); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    Disks s;

    Device *d = contract_set_up(&s.env, &rows[fuzz_u8(&in) & 1], 0);
    device_reset(d);
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        step(&s.env, d, &in);
    }
    contract_tear_down(&s.env, d);
    return 0;
}

/* -- Seeds -------------------------------------------------------------------------------------- */

enum { N_SEEDS = 24 };

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    static const uint8_t packets[][12] = {
        {0x28, 0, 0, 0, 0, 4, 0, 0, 2}, {0xa8, 0, 0, 0, 0, 1, 0, 0, 0, 3}, {0x12, 0, 0, 0, 36},
        {0x43, 2, 0, 0, 0, 0, 0, 0, 20}, {0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 32}, {0x46, 0, 0, 0, 0, 0, 0, 0, 32},
        {0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8}, {0xbe, 0, 0, 0, 0, 1, 0, 0, 1, 0xf8}, {0x25}, {0x03, 0, 0, 0, 18},
    };
    size_t n = 0;

    if (i >= N_SEEDS) {
        return 0;
    }
    buf[n++] = i % 4 == 3;                         /* row */
    for (unsigned round = 0; round < 6; round++) {
        const uint8_t *p = packets[(i + round) % ARRAY_LEN(packets)];
        uint8_t dma[] = {8, 0, 0, 2, 2, 3, 0, 1, 0, 2, 2, 2, 3, 1, 16, 0, 0, 0, 0, 2, 2, 1, 9};
        uint8_t ata[] = {0, 0, 0, (uint8_t)(i + round), 1, 0xe0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0};
        uint8_t move[] = {6, 0, 0, 0, 1, (uint8_t)(round & 1), 11, 0, 0};

        memcpy(buf + n, ata, sizeof ata), n += sizeof ata;
        memcpy(buf + n, dma, sizeof dma), n += sizeof dma;
        memcpy(buf + n, move, sizeof move), n += sizeof move;
        memcpy(buf + n, (uint8_t[]){3, 0, 0, (uint8_t)(round & 1), 0, 8}, 6), n += 6;
        memcpy(buf + n, p, 12), n += 12;
        memcpy(buf + n, move, sizeof move), n += sizeof move;
    }
    return n;
}
