/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's `info` about what the machine is made of. */
#include "monitor/hmp-internal.h"

#include "hw/pci.h"
#include "monitor/config.h"
#include "monitor/iothread.h"
#include "monitor/machine-pc.h"
#include "monitor/run-loop.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"
#include "translator/engine.h"

#include <string.h>

/* -- Devices ------------------------------------------------------------------------------------------- */

static void put_device(GString *out, const Device *d, const PciDevice *pci)
{
    int indent = pci != NULL ? 6 : 2;

    g_string_append_printf(out, "%*sdev: %s, id \"%s\"\n", indent, "", d->cls->name, d->id != NULL ? d->id : "");
    indent += 2;
    if (pci != NULL) {
        g_string_append_printf(out, "%*saddr = %02x.%x\n", indent, "", pci->devfn >> 3, pci->devfn & 7u);
        for (unsigned i = 0; i < PCI_N_BARS; i++) {
            if (pci->bar[i].len != 0) {
                g_string_append_printf(out, "%*sbar %u: %s at 0x%" G_GINT64_MODIFIER "x [0x%"
                                       G_GINT64_MODIFIER "x]\n", indent, "", i, pci->bar[i].io ? "i/o" : "mem",
                                       pci_bar_addr(pci, i), pci->bar[i].len);
            }
        }
    }
    for (unsigned i = 0; i < d->cls->n_windows; i++) {
        const DeviceWindow *w = &d->cls->windows[i];
        g_string_append_printf(out, "%*s%s %s [0x%" G_GINT64_MODIFIER "x]\n", indent, "",
                               w->kind == WINDOW_PORT ? "ports" : "mmio", w->name, w->len);
    }
}

typedef struct {
    GString *out;
    GHashTable *seen;          /* Device* */
} PciListing;

static void list_pci(const PciDevice *d, void *arg)
{
    PciListing *l = arg;

    g_hash_table_add(l->seen, (void *)&d->dev);
    put_device(l->out, &d->dev, d);
}

void hmp_info_qtree(HmpCall *c)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    PciBus *bus = machine_pc_bus(c->machine);
    g_autoptr(GString) pci = g_string_new(NULL);

    if (bus != NULL) {
        pci_bus_foreach(bus, list_pci, &(PciListing){pci, seen});
    }
    g_string_append(c->out, "bus: main-system-bus\n  type System\n");
    for (guint i = 0; i < c->machine->devices->len; i++) {
        const Device *d = g_ptr_array_index(c->machine->devices, i);
        if (!g_hash_table_contains(seen, d)) {
            put_device(c->out, d, NULL);
        }
    }
    if (bus != NULL) {
        g_string_append_printf(c->out, "  bus: pci.0\n    type PCI\n%s", pci->str);
    }
}

/* -- Engine ------------------------------------------------------------------------------------------- */

void hmp_info_jit(HmpCall *c)
{
    static const struct {
        CpuStat stat;
        const char *text;
    } rows[] = {
#define STAT(id, help) {STAT_##id, help},
#include "cpu-x86/stats.def"
#undef STAT
    };
    const Machine *m = c->machine;

    if (m->n_cpus == 0) {
        g_string_append(c->out, "nothing is translated: this machine has no CPU\n");
        return;
    }
    run_loop_pause(c->machine);
    g_string_append_printf(c->out, "Engine %s, all CPUs:\n", m->engine->name);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t sum = 0;
        for (unsigned k = 0; k < m->n_cpus; k++) {
            sum += m->cpus[k]->stats[rows[i].stat];
        }
        if (rows[i].stat >= STAT_DECODES) {        /* what comes before is about the guest */
            g_string_append_printf(c->out, "%-44s %12" G_GUINT64_FORMAT "\n", rows[i].text, sum);
        }
    }
    g_autofree char *cache = translate_report(m->cpus[0]);
    g_string_append(c->out, cache != NULL ? cache : "");
    run_loop_resume(c->machine);
}

/* -- Images ------------------------------------------------------------------------------------------- */

typedef struct {
    GString *out;
    const char *name;          /* pieces of one ROM in a row are one line */
    uint64_t base, end;
} RomListing;

static void put_rom(RomListing *l)
{
    if (l->name != NULL) {
        g_string_append_printf(l->out, "addr=%016" G_GINT64_MODIFIER "x size=0x%06" G_GINT64_MODIFIER
                               "x mem=rom name=\"%s\"\n", l->base, l->end - l->base, l->name);
    }
}

static void list_rom(const PhysRange *r, const char *name, void *arg)
{
    RomListing *l = arg;

    if (r->kind != PHYS_ROM) {
        return;
    }
    if (l->name == NULL || strcmp(l->name, name) != 0 || l->end != r->base) {
        put_rom(l);
        l->name = name;
        l->base = r->base;
    }
    l->end = r->base + r->len;
}

void hmp_info_roms(HmpCall *c)
{
    const MachineConfig *config = c->machine->config;
    const struct {
        const char *what, *file;
    } files[] = {
        {"kernel", config->kernel}, {"initrd", config->initrd}, {"dtb", config->dtb},
    };
    RomListing l = {.out = c->out};

    if (c->machine->mem != NULL) {
        phys_mem_foreach(c->machine->mem, list_rom, &l);
        put_rom(&l);
    }
    for (guint i = 0; i < config->option_roms->len; i++) {
        const char *file = g_ptr_array_index(config->option_roms, i);
        g_autofree char *base = g_path_get_basename(file);
        g_string_append_printf(c->out, "fw=genroms/%s name=\"%s\"\n", base, file);
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        if (files[i].file != NULL) {
            g_string_append_printf(c->out, "%s name=\"%s\"\n", files[i].what, files[i].file);
        }
    }
}

void hmp_info_snapshots(HmpCall *c)
{
    g_string_append(c->out, "no block device can store vmstate for snapshot\n");
}

/* -- Threads, trace events ------------------------------------------------------------------------------ */

void hmp_info_iothreads(HmpCall *c)
{
    for (guint i = 0; i < c->machine->iothreads->len; i++) {
        const IoThread *t = g_ptr_array_index(c->machine->iothreads, i);
        g_string_append_printf(c->out, "%s:\n  thread_id=%d\n", iothread_id(t), iothread_thread_id(t));
    }
}

void hmp_info_trace_events(HmpCall *c)
{
    for (int i = 0; i < TRACE_COUNT; i++) {
        g_string_append_printf(c->out, "%s : state %d\n", trace_names[i], trace_on[i]);
    }
}
