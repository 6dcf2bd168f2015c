/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the loaders share.  Low memory, all below the extended BIOS data area:
 *
 *     0x00400  BIOS data area (only the EBDA's segment, at 0x40e)
 *     0x06000  GDT
 *     0x07000  Linux boot_params, PVH start info, or Multiboot information
 *     0x09000  page tables: PML4, PDPT, four page directories of 2 MiB pages
 *     0x10000  lists of the protocol (modules, memory map)
 *     0x20000  command line, up to 64 KiB
 *     0x9fc00  EBDA: a copy of the RSDP
 *     0xe0000  RSDP
 *     0xf0000  SMBIOS anchor and structures
 *     0xffff0  code that resets the machine
 *
 * High: ACPI tables at the top of low RAM, then the device tree and the initrd, downwards.
 */
#ifndef MONITOR_LOADER_INTERNAL_H
#define MONITOR_LOADER_INTERNAL_H

#include "monitor/loader.h"

enum {
    LOW_EBDA_POINTER = 0x40e, LOW_GDT = 0x6000, LOW_INFO = 0x7000, LOW_PAGE_TABLES = 0x9000,
    LOW_LISTS = 0x10000, LOW_CMDLINE = 0x20000, LOW_CMDLINE_MAX = 0x10000, LOW_EBDA = 0x9fc00,
    LOW_RSDP = 0xe0000, LOW_SMBIOS = 0xf0000, LOW_RESET = 0xffff0,
};

/* A loader at work. */
typedef struct {
    const BootConfig *config;
    BootImage *image;
    GBytes *kernel;
    const uint8_t *k;            /* the kernel's bytes                                       */
    uint64_t k_len;
    uint64_t low_end;            /* end of low RAM that is not taken by ACPI tables          */
    uint64_t rsdp;               /* 0: none                                                  */
} Loader;

/* Errors of the kernel file: "kernel 'PATH': ...". */
bool loader_fail(const Loader *l, GError **error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Put bytes (referenced) or zeros at `addr`; they must be RAM (or the two tables' places) and free. */
bool loader_put(Loader *l, uint64_t addr, GBytes *data, const char *what, GError **error);
bool loader_put_zeros(Loader *l, uint64_t addr, uint64_t len, const char *what, GError **error);
/* The same for a buffer, copied. */
bool loader_put_copy(Loader *l, uint64_t addr, const void *data, uint64_t len, const char *what,
                     GError **error);

/* The command line, with `prefix` (may be NULL) before it, at LOW_CMDLINE. */
bool loader_put_cmdline(Loader *l, const char *prefix, uint64_t max_len, GError **error);

/* Choose a page-aligned place for `len` bytes that ends at or below `limit` (exclusive) and below
 * low_end, but not below `floor`; lowers low_end to it.  0: no room. */
uint64_t loader_place_high(Loader *l, uint64_t len, uint64_t limit, uint64_t floor);

/* Read -initrd and place it so; *addr and *len are 0 when there is none. */
bool loader_put_initrd(Loader *l, uint64_t limit, uint64_t floor, uint64_t *addr, uint64_t *len,
                       GError **error);

/* The end of what the kernel occupies so far (pieces named "kernel"). */
uint64_t loader_kernel_end(const Loader *l);

/* Flat 32-bit entry at `entry`; GDT included. */
bool loader_enter_prot32(Loader *l, uint32_t entry, GError **error);
bool loader_enter_long64(Loader *l, uint64_t entry, GError **error);

/* -- Formats: does the file look like one?  Then load it. ----------------------------------------- */

bool loader_is_linux(const Loader *l);
bool loader_load_linux(Loader *l, GError **error);

bool loader_is_multiboot(const Loader *l);
bool loader_load_multiboot(Loader *l, GError **error);

bool loader_is_elf(const Loader *l);
bool loader_load_pvh(Loader *l, GError **error);

/* -- ELF ------------------------------------------------------------------------------------------ */

typedef struct {
    bool is64;
    uint16_t type, machine;
    uint64_t entry, phoff;
    unsigned phnum;
    unsigned phentsize;
} ElfFile;

/* Check the header and that the program headers lie in the file. */
bool loader_elf_open(const Loader *l, ElfFile *e, GError **error);
/* Load every PT_LOAD segment at its physical address. */
bool loader_elf_load(Loader *l, const ElfFile *e, GError **error);
/* The descriptor of the note (name, type): its length in *len, or NULL. */
const uint8_t *loader_elf_note(const Loader *l, const ElfFile *e, const char *name, uint32_t type,
                               uint64_t *len);
/* Where the physical address of virtual address `v` is (e_entry may be either). */
uint64_t loader_elf_physical(const Loader *l, const ElfFile *e, uint64_t v);

#endif /* MONITOR_LOADER_INTERNAL_H */
