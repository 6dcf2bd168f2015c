/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS structures (DMTF DSP0134): what `dmidecode` shows.
 *
 * Types 0, 1, 3, 4 (one a socket), 16, 17, 19, 32 and 127 with defaults that `-smbios` may change.
 * The entry point is version 2.8 (anchor _SM_) or 3.0 (_SM3_).
 */
#ifndef HW_SMBIOS_H
#define HW_SMBIOS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { /* the strings -smbios can set */
    SMBIOS_BIOS_VENDOR, SMBIOS_BIOS_VERSION, SMBIOS_BIOS_DATE,
    SMBIOS_SYSTEM_MANUFACTURER, SMBIOS_SYSTEM_PRODUCT, SMBIOS_SYSTEM_VERSION,
    SMBIOS_SYSTEM_SERIAL, SMBIOS_SYSTEM_SKU, SMBIOS_SYSTEM_FAMILY,
    SMBIOS_CHASSIS_MANUFACTURER, SMBIOS_CHASSIS_VERSION, SMBIOS_CHASSIS_SERIAL,
    SMBIOS_CHASSIS_ASSET, SMBIOS_CHASSIS_SKU,
    SMBIOS_CPU_SOCKET, SMBIOS_CPU_MANUFACTURER, SMBIOS_CPU_VERSION, SMBIOS_CPU_SERIAL,
    SMBIOS_CPU_ASSET, SMBIOS_CPU_PART,
    SMBIOS_MEMORY_LOCATOR, SMBIOS_MEMORY_BANK, SMBIOS_MEMORY_MANUFACTURER, SMBIOS_MEMORY_SERIAL,
    SMBIOS_MEMORY_ASSET, SMBIOS_MEMORY_PART,
    SMBIOS_N_STRINGS,
} SmbiosString;

typedef struct {
    char *strings[SMBIOS_N_STRINGS]; /* owned; NULL: none */
    GPtrArray *oem_values;           /* type 32 boot status needs none; type 11 values, char*, owned */
    uint8_t uuid[16];                /* as printed, first byte first */
    bool has_uuid;
    bool v3;
    uint64_t ram_size;
    unsigned n_cpus;
} SmbiosConfig;

/* Defaults for a machine ("Standard PC (i440FX + PIIX, 1996)"). */
void smbios_config_init(SmbiosConfig *c, const char *product, uint64_t ram_size, unsigned n_cpus);
void smbios_config_clear(SmbiosConfig *c);

/* The argument of one -smbios option: "type=1,manufacturer=X,product=Y"; ",," is a comma. */
bool smbios_config_option(SmbiosConfig *c, const char *arg, GError **error);

/* "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" */
bool smbios_parse_uuid(const char *text, uint8_t uuid[16]);

/* Make the structures and the entry point; with table_addr 0 firmware will place them (fw_cfg's
 * etc/smbios/smbios-tables and -anchor), else the anchor is complete. */
void smbios_build(const SmbiosConfig *c, uint64_t table_addr, GByteArray **tables,
                  GByteArray **anchor);

#endif /* HW_SMBIOS_H */
