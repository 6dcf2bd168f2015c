/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct boot: a kernel placed in memory and a CPU put at its entry, without firmware.
 *
 * boot_image_new() reads the files and makes everything the guest will find in memory: kernel,
 * initrd, command line, the protocol's structures, page tables, ACPI and SMBIOS tables.  The result
 * is immutable pieces with addresses plus the boot CPU's state, and is kept: at each machine reset
 * the machine calls boot_image_place() and, after cpu_reset(), boot_image_apply() again.
 *
 *   Linux bzImage   64-bit entry (protocol 2.12, XLF_KERNEL_64) or 32-bit entry
 *   ELF             by its PVH note (XEN_ELFNOTE_PHYS32_ENTRY), or as a Multiboot kernel
 *   Multiboot 1     ELF or flat (address fields in the header), with modules
 *
 * Memory below 1 MiB that this uses is laid out in loader-internal.h; RAM needs to answer there
 * and at 0xE0000-0xFFFFF (ACPI's RSDP, SMBIOS).
 *
 * Errors are one line that names the file.
 */
#ifndef MONITOR_LOADER_H
#define MONITOR_LOADER_H

#include "cpu-x86/state.h"
#include "hw/acpi-tables.h"
#include "hw/e820.h"
#include "hw/smbios.h"
#include "softmmu/phys-mem.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    const char *kernel;            /* paths; NULL: not given                                */
    const char *initrd;            /* Multiboot: "file args,file args"                      */
    const char *append;            /* kernel command line                                   */
    const char *dtb;
    uint64_t ram_size;
    bool long_mode;                /* the CPU has it; else a 64-bit kernel is entered in 32-bit mode */
    bool vga_text;                 /* a VGA in text mode is there                            */
    const AcpiConfig *acpi;        /* NULL: no tables                                        */
    const SmbiosConfig *smbios;
    GBytes *fdt;                   /* a device tree made by us, when `dtb` is not given      */
} BootConfig;

typedef enum { BOOT_PROT32, BOOT_LONG64 } BootMode;

/* The boot CPU at the entry: flat segments, no interrupts. */
typedef struct {
    BootMode mode;
    uint64_t rip;
    uint64_t gpr[GPR_COUNT];
    uint64_t cr3;                  /* BOOT_LONG64: identity map                              */
    uint64_t gdt_base;
    uint16_t gdt_limit;
    uint16_t cs, ds, tr;           /* selectors in that GDT                                  */
    uint64_t uncached_from;        /* first address of the hole below 4 GiB, for the MTRRs   */
} BootState;

/* A piece of guest memory; zeros when `data` is NULL. */
typedef struct {
    uint64_t addr, len;
    GBytes *data;
    const char *what;              /* "initrd"; static                                       */
} BootPiece;

typedef struct {
    const char *protocol;          /* "Linux 64-bit", for messages; static                   */
    BootState state;
    E820Map e820;
    GArray *pieces;                /* BootPiece, disjoint                                    */
} BootImage;

BootImage *boot_image_new(const BootConfig *c, GError **error);
void boot_image_free(BootImage *b);

/* Copy what lies in [addr, addr+len) of the image; bytes of no piece are left alone.  For tests
 * and dumps. */
void boot_image_read(const BootImage *b, uint64_t addr, void *dst, uint64_t len);

/* Write all pieces into guest memory (machine lock held). */
void boot_image_place(const BootImage *b, PhysMem *mem);

/* Put a CPU that has just been reset at the entry. */
void loader_apply(const BootState *s, CpuState *cpu);

/* Read a host file of at most `max` bytes; `what` ("kernel") begins the message. */
GBytes *loader_read_file(const char *what, const char *path, uint64_t max, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BootImage, boot_image_free)

#endif /* MONITOR_LOADER_H */
