/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/pci-assign.h"

static unsigned bar_register(unsigned bar)
{
    return bar == PCI_BAR_ROM ? PCI_ROM_BAR : PCI_BAR0 + 4 * bar;
}

/* The next free place of a kind; false when `len` bytes do not fit below `last`. */
static bool take(uint64_t *next, uint64_t last, uint64_t len, uint64_t *addr)
{
    *addr = (*next + len - 1) & ~(len - 1);
    if (*addr < *next || *addr + len - 1 > last) {
        return false;
    }
    *next = *addr + len;
    return true;
}

/* Every BAR of this length: the largest come first, so that nothing is lost to alignment. */
static void assign_length(PciBus *b, uint64_t len, const PciAssignment *a, uint64_t *mem,
                          uint64_t *io)
{
    for (unsigned devfn = 0; devfn < ARRAY_LEN(b->dev); devfn++) {
        PciDevice *d = b->dev[devfn];
        for (unsigned i = 0; d != NULL && i < PCI_N_BARS; i++) {
            uint64_t addr;
            if (d->bar[i].len == len && (d->bar[i].io ? take(io, a->io_last, len, &addr)
                                                      : take(mem, a->mem_last, len, &addr))) {
                pci_config_write(d, bar_register(i), 4, (uint32_t)addr);
            }
        }
    }
}

static void enable(PciBus *b, PciDevice *d, const PciAssignment *a)
{
    uint32_t command = pci_get(d, PCI_COMMAND, 2);
    unsigned pin = d->config[PCI_INTERRUPT_PIN];

    for (unsigned i = 0; i < PCI_BAR_ROM; i++) {
        if (d->bar[i].len != 0 && pci_bar_addr(d, i) != 0) {
            command |= d->bar[i].io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
        }
    }
    pci_config_write(d, PCI_COMMAND, 2, command);
    if (pin != 0 && b->route != NULL) {
        pci_config_write(d, PCI_INTERRUPT_LINE, 1, a->irq[b->route(d->devfn >> 3, pin - 1) & 3]);
    }
}

void pci_bus_assign(PciBus *b, const PciAssignment *a)
{
    uint64_t mem = a->mem_first, io = a->io_first;

    for (unsigned shift = 31; shift >= 2; shift--) {
        assign_length(b, BIT64(shift), a, &mem, &io);
    }
    for (unsigned devfn = 0; devfn < ARRAY_LEN(b->dev); devfn++) {
        if (b->dev[devfn] != NULL) {
            enable(b, b->dev[devfn], a);
        }
    }
}
