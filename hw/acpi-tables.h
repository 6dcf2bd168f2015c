/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables of a machine, from a description of it.
 *
 * acpi_tables_new() makes three things: `tables` (FACS, DSDT, FADT, MADT, HPET, ..., RSDT, XSDT in
 * one relocatable blob), `rsdp`, and the list of fix-ups (pointers, then checksums) that ties them
 * together once their addresses are known.  They reach the guest in one of two ways:
 *
 *   - through fw_cfg: firmware places both blobs and carries out acpi_tables_loader_script();
 *   - without firmware: acpi_tables_link() carries out the same fix-ups for given addresses.
 *
 * What each table says: ACPI 6.4 chapter 5; the DSDT is built by hw/acpi-dsdt.c.
 */
#ifndef HW_ACPI_TABLES_H
#define HW_ACPI_TABLES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t base;
    uint32_t len;
    uint32_t gsi;
} AcpiVirtioMmio;

typedef struct {
    uint64_t first, last;        /* inclusive; last 0: no such window */
} AcpiWindow;

/* What the machine is made of.  Everything that is 0 or NULL is absent. */
typedef struct {
    unsigned n_cpus;             /* APIC ids 0..n_cpus-1, 1..4096                            */

    /* interrupt controllers */
    bool pic;                    /* two 8259As and a PIT: IRQ 0 arrives at GSI 2             */
    uint32_t ioapic_base;        /* 24 inputs from GSI 0                                     */
    uint8_t ioapic_id;
    uint16_t level_irqs;         /* ISA interrupts that are level, active high (PCI, SCI)    */

    /* fixed hardware; pm_base 0: hardware-reduced ACPI */
    uint16_t pm_base;            /* PM1 event +0, PM1 control +4, timer +8                   */
    uint16_t gpe0_base;
    uint8_t gpe0_len;
    bool pm_timer_32;            /* the timer counts 32 bits, not 24                         */
    uint8_t sci;                 /* interrupt, 9                                             */
    uint8_t s5_type;             /* SLP_TYP that powers off                                  */
    uint64_t sleep_control;      /* hardware-reduced: sleep control and status registers     */
    uint64_t sleep_status;       /* (system memory, one byte each)                           */
    uint16_t reset_port;         /* 0xcf9                                                    */
    uint8_t reset_value;         /* 0x0f or 0x06                                             */

    /* PCI: a PIIX3 with its routing registers at 00:piix3_slot.0 */
    bool pci;
    uint8_t piix3_slot;
    AcpiWindow pci_mem32, pci_mem64;
    uint64_t mmconfig_base;      /* 256 buses; 0: none                                       */

    /* ISA and platform devices */
    bool i8042, rtc, vga;
    uint16_t serial_base[4];
    uint8_t serial_irq[4];
    uint64_t hpet_base;
    uint16_t fw_cfg_port;        /* 0x510 */
    uint16_t pvpanic_port;       /* 0x505 */
    const AcpiVirtioMmio *virtio_mmio; /* borrowed during acpi_tables_new() */
    unsigned n_virtio_mmio;
} AcpiConfig;

typedef enum { ACPI_BLOB_TABLES, ACPI_BLOB_RSDP } AcpiBlob;

typedef enum { ACPI_FIX_POINTER, ACPI_FIX_CHECKSUM } AcpiFixKind;

/* A pointer holds an offset into `target` and grows by its address; a checksum byte makes
 * [start, start+len) sum to 0. */
typedef struct {
    AcpiFixKind kind;
    AcpiBlob blob, target;
    uint32_t offset;
    uint32_t size;               /* pointer: 4 or 8                 */
    uint32_t start, len;         /* checksum                        */
} AcpiFix;

typedef struct {
    GByteArray *tables, *rsdp;
    GArray *fixes;               /* AcpiFix, in the order to do them */
} AcpiTables;

enum { ACPI_TABLES_ALIGN = 64, ACPI_RSDP_ALIGN = 16 };

AcpiTables *acpi_tables_new(const AcpiConfig *c);
void acpi_tables_free(AcpiTables *t);

/* The commands of etc/table-loader, which name the blobs etc/acpi/tables and etc/acpi/rsdp. */
GByteArray *acpi_tables_loader_script(const AcpiTables *t);

/* Relocate `t` for tables at this address (nothing points at the RSDP) and complete all checksums.
 * Once only. */
void acpi_tables_link(AcpiTables *t, uint64_t tables_addr);

/* Offset of the table with this signature ("FACP") inside `tables`, or -1; for tests and dumps. */
int64_t acpi_tables_find(const AcpiTables *t, const char *signature, unsigned *len);

/* The DSDT's body (hw/acpi-dsdt.c). */
GByteArray *acpi_dsdt_body(const AcpiConfig *c);

#endif /* HW_ACPI_TABLES_H */
