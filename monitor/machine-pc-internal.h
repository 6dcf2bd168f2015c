/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machine `pc` between its files: the schematic (machine-pc.c), boot (machine-pc-boot.c) and what the
 * monitor shows (machine-pc-info.c). */
#ifndef MONITOR_MACHINE_PC_INTERNAL_H
#define MONITOR_MACHINE_PC_INTERNAL_H

#include "hw/pci.h"
#include "monitor/loader.h"
#include "monitor/machine-pc.h"
#include "monitor/processors.h"

enum { S5_TYPE = 0 };                 /* SLP_TYP that powers off, as \_S5 says */

typedef struct {
    Processors *cpus;
    Device *pic, *ioapic, *pit, *rtc, *hpet, *acpi_pm, *i8042, *port92, *ide, *vga, *fdc, *fw_cfg;
    Device *vmi;                      /* NULL: -machine vmi=off                              */
    PciBus *bus;
    PciDevice *host, *piix3, *pm;
    BootImage *image;                 /* direct boot; NULL: by firmware                      */
    uint64_t ram_offset, rom_offset;  /* in the memfd; rom_offset: of the 128 KiB at 0xe0000 */
    uint64_t low_ram, high_ram;       /* bytes below and above 4 GiB                         */
    uint64_t pci_first, pci_last;     /* addresses for BARs below 4 GiB                      */
    bool serial_there[4];
    GTree *boot_order;                /* bootindex -> path, owned; NULL: no device has one    */
    bool booted;                      /* -boot once is over                                  */

    uint8_t irq_sources[16];          /* bit n: source n is high                             */
    uint64_t irq_rises[16];
} Pc;

static inline Pc *pc_of(const Machine *m)
{
    return m->platform;
}

extern const uint16_t pc_serial_ports[4];
extern const uint8_t pc_serial_irqs[4];

/* machine-pc-boot.c: fill fw_cfg and the CMOS, read kernel or firmware's data; then at each reset. */
bool pc_prepare_boot(Machine *m, GError **error);
bool pc_boot(Machine *m, GError **error);

/* machine-pc-info.c: MachineClass.info. */
bool pc_info(Machine *m, const char *what, GString *out);

#endif /* MONITOR_MACHINE_PC_INTERNAL_H */
