/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flattened device tree of a microvm: what ACPI would say, for kernels without it
 * (Devicetree Specification 0.4; Linux's x86 binding).
 */
#ifndef HW_FDT_BUILD_H
#define HW_FDT_BUILD_H

#include "hw/acpi-tables.h"

#include <glib.h>

typedef struct {
    const char *model;
    unsigned n_cpus;
    uint64_t ram_low, ram_high;          /* bytes from 0, and from 4 GiB        */
    const char *bootargs;                /* NULL: none                          */
    uint64_t initrd_start, initrd_end;   /* 0, 0: none                          */
    uint32_t ioapic_base;
    uint16_t serial_base;                /* 16550 ports; 0: none                */
    uint32_t serial_gsi;
    const AcpiVirtioMmio *virtio_mmio;   /* borrowed during the call            */
    unsigned n_virtio_mmio;
} FdtConfig;

/* Never NULL. */
GBytes *fdt_build(const FdtConfig *c);

#endif /* HW_FDT_BUILD_H */
