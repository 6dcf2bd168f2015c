/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the monitor shows of machine `pc`. */
#include "monitor/machine-pc-internal.h"

#include "hw/lapic.h"
#include "hw/vga.h"

#include <string.h>

static void info_pci(const PciDevice *d, void *arg)
{
    GString *out = arg;

    g_string_append_printf(out, "  Bus 0, device %u, function %u: class %04x, %04x:%04x %s\n",
                           d->devfn >> 3, d->devfn & 7u, pci_get(d, PCI_CLASS + 1, 2),
                           pci_get(d, PCI_VENDOR_ID, 2), pci_get(d, PCI_DEVICE_ID, 2),
                           d->dev.cls->name);
    for (unsigned i = 0; i < PCI_N_BARS; i++) {
        if (d->bar[i].len != 0) {
            g_string_append_printf(out, "      BAR%u: %s at 0x%08" G_GINT64_MODIFIER "x, %"
                                   G_GUINT64_FORMAT " bytes%s\n", i,
                                   d->bar[i].io ? "I/O" : "memory", pci_bar_addr(d, i),
                                   d->bar[i].len, pci_bar_mapped(d, i) ? "" : " (off)");
        }
    }
}

static void info_lapics(const Machine *m, GString *out)
{
    for (unsigned i = 0; i < m->n_cpus; i++) {
        const Device *d = processors_lapic(pc_of(m)->cpus, i);
        g_string_append_printf(out, "local APIC of CPU %u: id %u, base 0x%" G_GINT64_MODIFIER
                               "x, TPR %02x, SVR %03x, ISR/IRR", i, lapic_id(d), lapic_base(d),
                               lapic_peek(d, 0x80), lapic_peek(d, 0xf0));
        for (unsigned v = 0; v < 256; v++) {
            bool isr = lapic_peek(d, 0x100 + v / 32 * 16) >> v % 32 & 1;
            bool irr = lapic_peek(d, 0x200 + v / 32 * 16) >> v % 32 & 1;
            if (isr || irr) {
                g_string_append_printf(out, " %02x%s%s", v, isr ? "s" : "", irr ? "r" : "");
            }
        }
        g_string_append_c(out, '\n');
    }
}

bool pc_info(Machine *m, const char *what, GString *out)
{
    Pc *pc = pc_of(m);
    g_autofree char *text = NULL;

    phys_mem_collect_dirty(m->mem);    /* an engine may keep writes to devices for a while */
    if (strcmp(what, "pci") == 0) {
        pci_bus_foreach(pc->bus, info_pci, out);
    } else if (strcmp(what, "irq") == 0) {
        for (unsigned i = 0; i < 16; i++) {
            g_string_append_printf(out, "%2u: %" G_GUINT64_FORMAT "\n", i, pc->irq_rises[i]);
        }
    } else if (strcmp(what, "lapic") == 0) {
        info_lapics(m, out);
    } else if (strcmp(what, "pic") == 0) {
        for (unsigned i = 0; i < 16; i++) {
            g_string_append_printf(out, "line %2u: %s\n", i, pc->irq_sources[i] ? "high" : "low");
        }
    } else if (strcmp(what, "screen") == 0 && pc->vga != NULL &&
               (text = vga_text_screen(pc->vga)) != NULL) {
        g_string_append(out, text);
    } else {
        return false;
    }
    return true;
}
