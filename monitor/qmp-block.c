/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP commands about disks and PCI functions. */
#include "hw/pci.h"
#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/machine-pc.h"
#include "monitor/qmp-internal.h"

#include <string.h>
#include <sys/stat.h>

/* -- Disks ---------------------------------------------------------------------------------------------- */

static char *node_name(const BackEndBlock *b, unsigned index)
{
    return b->config->is_node ? g_strdup(b->config->id) : g_strdup_printf("#block%03u", index);
}

/* What QEMU calls a drive: that of -blockdev has only its node's name. */
static const char *drive_name(const BackEndBlock *b)
{
    return b->config->is_node ? "" : b->config->id;
}

/* The device in the tree of objects, when it has a name there: the virtio part of a PCI function, as QEMU. */
static void add_qdev(struct json_object *o, const BackEndBlock *b)
{
    if (b->device != NULL) {
        const Device *d = machine_find_device(b->machine, b->device);
        g_autofree char *path = g_strconcat("/machine/peripheral/", b->device,
                                            d != NULL && g_str_has_suffix(d->cls->name, "-pci")
                                                ? "/virtio-backend" : "", NULL);
        json_add_string(o, "qdev", path);
    }
}

static struct json_object *image_info(const BackEndBlock *b)
{
    struct json_object *o = json_object_new_object();
    struct stat st;

    json_add_string(o, "filename", block_filename(b->block));
    json_add_string(o, "format", "raw");
    json_add_uint(o, "virtual-size", block_size(b->block));
    if (stat(block_filename(b->block), &st) == 0 && S_ISREG(st.st_mode)) {
        json_add_uint(o, "actual-size", (uint64_t)st.st_blocks * 512);
    }
    json_add_bool(o, "dirty-flag", false);
    return o;
}

static struct json_object *device_info(const BackEndBlock *b, unsigned index)
{
    static const char *const limits[] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"};
    struct json_object *o = json_object_new_object(), *cache = json_object_new_object();
    g_autofree char *node = node_name(b, index);
    int mode = b->config->cache;

    json_add_string(o, "file", block_filename(b->block));
    json_add_string(o, "node-name", node);
    json_add_bool(o, "ro", block_read_only(b->block));
    json_add_string(o, "drv", "raw");
    json_add_int(o, "backing_file_depth", 0);
    json_add_bool(o, "encrypted", false);
    json_add_string(o, "detect_zeroes", "off");
    for (size_t i = 0; i < G_N_ELEMENTS(limits); i++) {
        json_add_int(o, limits[i], 0);
    }
    json_add(o, "image", image_info(b));
    json_add_bool(cache, "writeback", block_write_cache(b->block));
    json_add_bool(cache, "direct", mode == CACHE_NONE || mode == CACHE_DIRECTSYNC);
    json_add_bool(cache, "no-flush", mode == CACHE_UNSAFE);
    json_add(o, "cache", cache);
    json_add_int(o, "write_threshold", 0);
    return o;
}

struct json_object *qmp_query_block(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array();

    for (guint i = 0; i < c->machine->blocks->len; i++) {
        const BackEndBlock *b = g_ptr_array_index(c->machine->blocks, i);
        struct json_object *o = json_object_new_object();
        json_add_string(o, "device", drive_name(b));
        add_qdev(o, b);
        json_add_string(o, "type", "unknown");
        json_add_bool(o, "removable", b->config->cdrom || b->config->interface == IF_FLOPPY);
        json_add_bool(o, "locked", false);
        if (b->block != NULL) {
            json_add_string(o, "io-status", "ok");
            json_add(o, "inserted", device_info(b, i));
        }
        json_object_array_add(list, o);
    }
    return list;
}

struct json_object *qmp_query_blockstats(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array();
    bool nodes = json_get_bool(c->args, "query-nodes", false);

    for (guint i = 0; i < c->machine->blocks->len; i++) {
        const BackEndBlock *b = g_ptr_array_index(c->machine->blocks, i);
        if (nodes && b->block == NULL) {
            continue;
        }
        struct json_object *o = json_object_new_object(), *s = json_object_new_object();
        BlockStats st = b->block != NULL ? block_stats(b->block) : (BlockStats){0};
        g_autofree char *node = node_name(b, i);
        if (!nodes) {
            json_add_string(o, "device", drive_name(b));
            add_qdev(o, b);
        }
        if (b->block != NULL) {
            json_add_string(o, "node-name", node);
        }
        json_add_uint(s, "rd_bytes", st.rd_bytes);
        json_add_uint(s, "wr_bytes", st.wr_bytes);
        json_add_uint(s, "rd_operations", st.rd_ops);
        json_add_uint(s, "wr_operations", st.wr_ops);
        json_add_uint(s, "flush_operations", st.flush_ops);
        json_add_uint(s, "rd_total_time_ns", st.rd_ns);
        json_add_uint(s, "wr_total_time_ns", st.wr_ns);
        json_add_uint(s, "flush_total_time_ns", st.flush_ns);
        json_add_uint(s, "x_failed_operations", st.errors);
        json_add(o, "stats", s);
        json_object_array_add(list, o);
    }
    return list;
}

struct json_object *qmp_query_named_block_nodes(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array();

    for (guint i = 0; i < c->machine->blocks->len; i++) {
        const BackEndBlock *b = g_ptr_array_index(c->machine->blocks, i);
        if (b->block != NULL) {
            json_object_array_add(list, device_info(b, i));
        }
    }
    return list;
}

/* -- PCI ------------------------------------------------------------------------------------------------ */

static const char *class_name(unsigned cls)
{
    static const struct {
        uint16_t cls;
        const char *name;
    } names[] = {
        {0x0100, "SCSI controller"},     {0x0101, "IDE controller"},
        {0x0200, "Ethernet controller"}, {0x0300, "VGA controller"},
        {0x0600, "Host bridge"},         {0x0601, "ISA bridge"},
        {0x0680, "Bridge"},              {0x0780, "Communication controller"},
        {0x00ff, "Unclassified device"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        if (names[i].cls == cls) {
            return names[i].name;
        }
    }
    return NULL;
}

static struct json_object *bar_info(const PciDevice *d, unsigned bar)
{
    const PciBar *b = &d->bar[bar];
    struct json_object *o = json_object_new_object();

    json_add_int(o, "bar", bar == PCI_BAR_ROM ? 6 : bar);
    json_add_string(o, "type", b->io ? "io" : "memory");
    if (pci_bar_mapped(d, bar)) {
        json_add_uint(o, "address", pci_bar_addr(d, bar));
    } else {
        json_add_int(o, "address", -1);
    }
    json_add_uint(o, "size", b->len);
    if (!b->io) {
        json_add_bool(o, "prefetch", b->prefetch);
        json_add_bool(o, "mem_type_64", b->is_64);
    }
    return o;
}

static void add_function(const PciDevice *d, void *arg)
{
    struct json_object *o = json_object_new_object(), *ids = json_object_new_object();
    struct json_object *cls = json_object_new_object(), *regions = json_object_new_array();
    unsigned code = pci_get(d, PCI_CLASS + 1, 2);
    uint8_t pin = (uint8_t)pci_get(d, PCI_INTERRUPT_PIN, 1);

    json_add_int(o, "bus", 0);
    json_add_int(o, "slot", d->devfn >> 3);
    json_add_int(o, "function", d->devfn & 7);
    if (class_name(code) != NULL) {
        json_add_string(cls, "desc", class_name(code));
    }
    json_add_int(cls, "class", code);
    json_add(o, "class_info", cls);
    json_add_int(ids, "device", pci_get(d, PCI_DEVICE_ID, 2));
    json_add_int(ids, "vendor", pci_get(d, PCI_VENDOR_ID, 2));
    json_add_int(ids, "subsystem", pci_get(d, PCI_SUBSYSTEM, 2));
    json_add_int(ids, "subsystem-vendor", pci_get(d, PCI_SUBSYSTEM_VENDOR, 2));
    json_add(o, "id", ids);
    if (pin != 0) {
        json_add_int(o, "irq", pci_get(d, PCI_INTERRUPT_LINE, 1));
    }
    json_add_int(o, "irq_pin", pin);
    json_add_string(o, "qdev_id", d->dev.id != NULL ? d->dev.id : "");
    for (unsigned i = 0; i < PCI_N_BARS; i++) {
        if (d->bar[i].len != 0) {
            json_object_array_add(regions, bar_info(d, i));
        }
    }
    json_add(o, "regions", regions);
    json_object_array_add(arg, o);
}

struct json_object *qmp_query_pci(QmpCall *c, GError **error)
{
    struct json_object *list = json_object_new_array();
    PciBus *pci = machine_pc_bus(c->machine);

    if (pci != NULL) {
        struct json_object *bus = json_object_new_object(), *devices = json_object_new_array();
        pci_bus_foreach(pci, add_function, devices);
        json_add_int(bus, "bus", 0);
        json_add(bus, "devices", devices);
        json_object_array_add(list, bus);
    }
    return list;
}
