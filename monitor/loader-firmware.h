/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware is told: the standard items and files of fw_cfg, and the description of the `pc`
 * machine that its ACPI tables are made from (firmware or not).
 */
#ifndef MONITOR_LOADER_FIRMWARE_H
#define MONITOR_LOADER_FIRMWARE_H

#include "hw/acpi-tables.h"
#include "hw/device.h"
#include "hw/smbios.h"

#include <glib.h>

enum { PC_PM_BASE = 0x600, PC_SCI = 9 };

/* The `pc` machine: PIC, I/O APIC, PIIX3 in slot 1, PIIX4 power management at PC_PM_BASE, fw_cfg,
 * COM1 and COM2, keyboard controller, RTC, VGA, S5 type 0, reset by 0xcf9.  The caller changes what
 * is different. */
void pc_acpi_config_init(AcpiConfig *c, unsigned n_cpus, uint64_t ram_size, unsigned phys_bits);

typedef struct {
    unsigned n_cpus;
    uint64_t ram_size;
    bool nographic, boot_menu;
    uint64_t boot_menu_wait_ms;      /* 0: the firmware's default           */
    const char *bootorder;           /* device paths, a line each, or NULL  */
    uint8_t s5_type;
    const AcpiConfig *acpi;          /* NULL: none                          */
    const SmbiosConfig *smbios;      /* NULL: none                          */
    const char *kernel, *initrd, *append; /* kernel items, for option ROMs that load them */
} FirmwareConfig;

bool firmware_fill_fw_cfg(Device *fw_cfg, const FirmwareConfig *c, GError **error);

/* One -fw_cfg option: `file` (a path) or `string`, the other NULL. */
bool firmware_add_user_file(Device *fw_cfg, const char *name, const char *file, const char *string,
                            GError **error);

#endif /* MONITOR_LOADER_FIRMWARE_H */
