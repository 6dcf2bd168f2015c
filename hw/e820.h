/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map of a PC as firmware reports it (INT 15h AX=E820h; ACPI 6.4 section 15), and how
 * much of the RAM lies below 4 GiB.
 */
#ifndef HW_E820_H
#define HW_E820_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4 } E820Type;

typedef struct {
    uint64_t base, len;
    E820Type type;
} E820Entry;

enum { E820_MAX = 64 };

/* Sorted by base, disjoint. */
typedef struct {
    E820Entry e[E820_MAX];
    unsigned n;
} E820Map;

/* RAM below and above 4 GiB: up to 3.5 GiB stay below; beyond that 3 GiB do, which leaves a
 * round PCI hole.  *high starts at 4 GiB. */
void e820_split_ram(uint64_t ram_size, uint64_t *low, uint64_t *high);

/* Say that [base, base+len) is of this type, whatever was said before. */
void e820_set(E820Map *m, uint64_t base, uint64_t len, E820Type type);

/* The map a PC without firmware hands to a kernel: RAM with the holes a PC has. */
void e820_init_pc(E820Map *m, uint64_t ram_size);

/* RAM only, as fw_cfg's etc/e820 has it: the firmware knows the holes. */
void e820_init_ram(E820Map *m, uint64_t ram_size);

/* Is [base, base+len) wholly inside one entry of type RAM? */
bool e820_is_ram(const E820Map *m, uint64_t base, uint64_t len);

enum { E820_PACKED_LEN = 20 };
/* Base, length, type in 20 bytes, as boot_params and etc/e820 have them. */
void e820_pack(const E820Entry *e, uint8_t out[E820_PACKED_LEN]);

#endif /* HW_E820_H */
