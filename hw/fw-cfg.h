/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware configuration device: how SeaBIOS, OVMF and Linux learn about the machine (QEMU
 * documentation, "QEMU Firmware Configuration (fw_cfg) Device").
 *
 * Items are byte strings under 16-bit keys; named files have keys from 20h on and are listed,
 * sorted by name, in item 19h.  Window 0, ports 510h-511h: a 16-bit selector and the data, byte by
 * byte.  Window 1, ports 514h-51bh: the big-endian address of a DMA request.  Guests can read all
 * and change nothing.
 *
 * Add all items before the guest runs: a file added later moves the keys of those after it.
 */
#ifndef HW_FW_CFG_H
#define HW_FW_CFG_H

#include "hw/device.h"
#include "softmmu/phys-mem.h"

#include <glib.h>

enum { FW_CFG_PORT = 0x510, FW_CFG_DMA_PORT = 0x514 };
enum { FW_CFG_WINDOW_REGS, FW_CFG_WINDOW_DMA };

enum { /* keys */
    FW_CFG_SIGNATURE = 0x00, FW_CFG_ID = 0x01, FW_CFG_UUID = 0x02, FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04, FW_CFG_NB_CPUS = 0x05, FW_CFG_KERNEL_ADDR = 0x07,
    FW_CFG_KERNEL_SIZE = 0x08, FW_CFG_KERNEL_CMDLINE = 0x09, FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b, FW_CFG_BOOT_DEVICE = 0x0c, FW_CFG_NUMA = 0x0d,
    FW_CFG_BOOT_MENU = 0x0e, FW_CFG_MAX_CPUS = 0x0f, FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11, FW_CFG_INITRD_DATA = 0x12, FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14, FW_CFG_CMDLINE_DATA = 0x15, FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17, FW_CFG_SETUP_DATA = 0x18, FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_X86_IRQ0_OVERRIDE = 0x8002,
};

enum { FW_CFG_NAME_MAX = 55, FW_CFG_FILES_MAX = 0x100 };

/* `mem` is where DMA goes, borrowed; NULL: no DMA (the ID says so). */
Device *fw_cfg_new(PhysMem *mem);

/* Set an item, replacing what it was.  Data is referenced, scalars are little-endian. */
void fw_cfg_set(Device *d, uint16_t key, GBytes *data);
void fw_cfg_set_int(Device *d, uint16_t key, unsigned size, uint64_t value);
void fw_cfg_set_string(Device *d, uint16_t key, const char *s);   /* with its NUL */

/* Add a file (data referenced).  Fails when the name is empty, too long or taken, or the directory
 * is full. */
bool fw_cfg_add_file(Device *d, const char *name, GBytes *data, GError **error);

/* Replace the data of a file that is there; false when there is none. */
bool fw_cfg_replace_file(Device *d, const char *name, GBytes *data);

/* The bytes of a file, borrowed, or NULL (tests, `info fw_cfg`). */
GBytes *fw_cfg_file(Device *d, const char *name);

#endif /* HW_FW_CFG_H */
