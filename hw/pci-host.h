/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The i440FX host bridge (8086:1237): configuration mechanism #1, the PAM registers that switch
 * 0xc0000-0xfffff between ROM and RAM, and SMRAM.
 *
 * Wiring: window I440FX_WINDOW_ADDRESS at port 0xcf8, I440FX_WINDOW_DATA at 0xcfc (map the PIIX3's
 * reset port 0xcf9 after the former); pci_bus_add(bus, i440fx, 0, 0).  The machine maps RAM below
 * 0xa0000 and from 0x100000 itself, and the last 128 KiB of the firmware at 0xe0000 as ROM with
 * priority 0.  This bridge owns what PAM shows over it (priority I440FX_PAM_PRIORITY).
 */
#ifndef HW_PCI_HOST_H
#define HW_PCI_HOST_H

#include "hw/pci.h"

enum { I440FX_WINDOW_ADDRESS, I440FX_WINDOW_DATA };
enum { I440FX_PAM_PRIORITY = 2 };

#define I440FX_NO_ROM UINT64_MAX

typedef struct {
    PciBus *bus;              /* borrowed; configuration cycles go to its functions           */
    uint64_t ram_offset;      /* place in the memfd of guest address 0: shadow RAM is part of it */
    uint64_t rom_offset;      /* place of the 128 KiB at 0xe0000, or I440FX_NO_ROM: what a
                                 segment in mode "read ROM, write RAM" reads                  */
} I440fxConfig;

PciDevice *i440fx_new(const I440fxConfig *c);

/* Make 0xc0000-0xfffff plain RAM (boot protocols without firmware); reset undoes it. */
void i440fx_open_shadow(PciDevice *d);

#endif /* HW_PCI_HOST_H */
