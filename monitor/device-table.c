/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/device-table.h"

#include "hw/debug-exit.h"
#include "hw/debugcon.h"
#include "hw/ib700.h"
#include "hw/pc-testdev.h"
#include "hw/pvpanic.h"
#include "hw/uart.h"
#include "hw/virtio-blk.h"
#include "hw/virtio-console.h"
#include "hw/virtio-pci.h"
#include "hw/virtio-rng.h"
#include "monitor/back-ends.h"
#include "monitor/machine-microvm.h"
#include "monitor/machine-pc.h"
#include "monitor/qom.h"
#include "monitor/report.h"
#include "softmmu/base/bits.h"

#include <stdio.h>
#include <string.h>

/* -- ISA ------------------------------------------------------------------------------------------------ */

static bool add_debug_exit(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    uint64_t base = DEBUG_EXIT_PORT, len = DEBUG_EXIT_LEN;
    Device *dev;

    if (!opt_take_number(props, "iobase", 0, 0xffff, &base, error) ||
        !opt_take_number(props, "iosize", 1, DEBUG_EXIT_MAX_LEN, &len, error)) {
        return false;
    }
    dev = debug_exit_new((unsigned)len, machine_guest_debug_exit, m);
    dev->id = g_strdup(d->id);
    machine_add_device(m, dev);
    machine_map_port(m, dev, 0, (uint16_t)base);
    return true;
}

static bool add_debugcon(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    const char *chardev = opt_take(props, "chardev");
    uint64_t base = DEBUGCON_PORT, readback = DEBUGCON_READBACK;
    Chardev *c = NULL;
    Device *dev;

    if (chardev == NULL) {
        return fail(error, "chardev= is needed");
    }
    c = back_end_take_chardev(m, chardev, error);
    if (c == NULL || !opt_take_number(props, "iobase", 0, 0xffff, &base, error) ||
        !opt_take_number(props, "readback", 0, 0xff, &readback, error)) {
        return false;
    }
    dev = debugcon_new(c, (uint8_t)readback);
    dev->id = g_strdup(d->id);
    machine_add_device(m, dev);
    machine_map_port(m, dev, 0, (uint16_t)base);
    return true;
}

static bool add_pvpanic(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    uint64_t port = PVPANIC_PORT, events = PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
    Device *dev;

    if (!opt_take_number(props, "ioport", 0, 0xffff, &port, error) ||
        !opt_take_number(props, "events", 0, 3, &events, error)) {
        return false;
    }
    dev = pvpanic_new((unsigned)events, machine_guest_panic, m);
    dev->id = g_strdup(d->id);
    machine_add_device(m, dev);
    machine_map_port(m, dev, 0, (uint16_t)port);
    return true;
}

uint16_t device_table_pvpanic_port(const MachineConfig *c)
{
    for (guint i = 0; i < c->devices->len; i++) {
        const DeviceConfig *d = g_ptr_array_index(c->devices, i);
        const char *text = opt_peek(d->props, "ioport");
        uint64_t port = PVPANIC_PORT;

        if (strcmp(d->driver, "pvpanic") == 0 && (text == NULL || parse_number(text, &port)) && port <= 0xffff) {
            return (uint16_t)port;
        }
    }
    return 0;
}

static bool add_ib700(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    Device *dev = ib700_new(&m->timers, machine_watchdog, m);

    dev->id = g_strdup(d->id);
    machine_add_device(m, dev);
    machine_map_port(m, dev, 0, IB700_PORT);
    return true;
}

static bool add_testdev(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    static const uint16_t ports[] = {
        [TESTDEV_WINDOW_DATA] = TESTDEV_DATA, [TESTDEV_WINDOW_FLUSH] = TESTDEV_FLUSH,
        [TESTDEV_WINDOW_BYTES] = TESTDEV_BYTES, [TESTDEV_WINDOW_IRQS] = TESTDEV_IRQS,
    };
    IrqLine irq[TESTDEV_LINES];
    Device *dev;

    if (machine_pc_bus(m) == NULL) {
        return fail(error, "machine %s has no ISA bus", m->cls->name);
    }
    for (unsigned i = 0; i < TESTDEV_LINES; i++) {
        irq[i] = machine_pc_gsi(m, i);
    }
    dev = pc_testdev_new(irq);
    dev->id = g_strdup(d->id);
    machine_add_device(m, dev);
    for (unsigned i = 0; i < ARRAY_LEN(ports); i++) {
        machine_map_port(m, dev, i, ports[i]);
    }
    machine_map_mmio(m, dev, TESTDEV_WINDOW_MEMORY, TESTDEV_MEMORY);
    return true;
}

static bool add_isa_serial(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    static const uint16_t ports[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
    static const uint8_t irqs[] = {4, 3, 4, 3};
    const char *chardev = opt_take(props, "chardev");
    uint64_t index = 0, base, irq_n;
    Chardev *c;
    IrqLine irq;
    Device *dev;

    if (machine_pc_bus(m) == NULL) {
        return fail(error, "machine %s has no ISA bus", m->cls->name);
    }
    if (chardev == NULL) {
        return fail(error, "chardev= is needed");
    }
    if (!opt_take_number(props, "index", 0, 3, &index, error)) {
        return false;
    }
    base = ports[index];
    irq_n = irqs[index];
    if (!opt_take_number(props, "iobase", 0, 0xfff8, &base, error) ||
        !opt_take_number(props, "irq", 0, 15, &irq_n, error)) {
        return false;
    }
    c = back_end_take_chardev(m, chardev, error);
    if (c == NULL) {
        return false;
    }
    irq = machine_pc_isa_irq(m, (unsigned)irq_n);
    dev = uart_new(&m->timers, &irq, c);
    dev->id = g_strdup(d->id);
    machine_add_device(m, dev);
    machine_map_port(m, dev, 0, (uint16_t)base);
    return true;
}

/* -- PCI, virtio ------------------------------------------------------------------------------------- */

/* addr=SLOT[.FUNCTION], in hexadecimal. */
static bool take_address(OptList *props, int *slot, unsigned *function, GError **error)
{
    const char *addr = opt_take(props, "addr");
    char *end;

    *slot = -1;
    *function = 0;
    if (!opt_take_only(props, "bus", "pci.0", error)) {
        return false;
    }
    if (addr == NULL) {
        return true;
    }
    *slot = (int)g_ascii_strtoull(addr, &end, 16);
    if (*end == '.') {
        *function = (unsigned)g_ascii_strtoull(end + 1, &end, 16);
    }
    if (end == addr || *end != '\0' || *slot > 31 || *function > 7) {
        return fail(error, "addr= is SLOT or SLOT.FUNCTION, not '%s'", addr);
    }
    return true;
}

/* Takes `vd`, whatever happens; NULL with `error`. */
static PciDevice *put_virtio_pci(Machine *m, const DeviceConfig *d, VirtioDevice *vd, OptList *props,
                                 GError **error)
{
    PciBus *bus = machine_pc_bus(m);
    VirtioPciOptions o = {0};
    unsigned function;
    PciDevice *dev;
    int slot;

    if (bus == NULL) {
        virtio_free(vd);
        fail(error, "machine %s has no PCI bus", m->cls->name);
        return NULL;
    }
    if (!take_address(props, &slot, &function, error) ||
        !opt_take_flag(props, "disable-legacy", &o.disable_legacy, error) ||
        !opt_take_flag(props, "disable-modern", &o.disable_modern, error)) {
        virtio_free(vd);
        return NULL;
    }
    if (o.disable_legacy && o.disable_modern) {
        virtio_free(vd);
        fail(error, "disable-legacy and disable-modern exclude each other");
        return NULL;
    }
    dev = virtio_pci_new(vd, &o);
    dev->dev.id = g_strdup(d->id);
    machine_add_device(m, &dev->dev);
    return pci_bus_add(bus, dev, slot, function, error) ? dev : NULL;
}

static bool add_virtio_pci(Machine *m, const DeviceConfig *d, VirtioDevice *vd, OptList *props,
                           GError **error)
{
    return put_virtio_pci(m, d, vd, props, error) != NULL;
}

static bool add_virtio_mmio(Machine *m, const DeviceConfig *d, VirtioDevice *vd, GError **error)
{
    return machine_microvm_add_virtio(m, vd, d->id, error);
}

static VirtioDevice *make_blk(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    const char *drive = opt_take(props, "drive");
    uint64_t queues = 1, size = 256, logical = 512, physical = 0;
    static const char *const auto_on_off[] = {"auto", "on", "off", NULL};
    const char *serial = opt_take(props, "serial"), *iothread = opt_take(props, "iothread");
    const DeviceConfig *object = iothread != NULL ? config_object(m->config, iothread) : NULL;
    BackEndBlock *b;
    int write_cache = 0;

    if (drive == NULL) {
        fail(error, "drive= is needed");
        return NULL;
    }
    if (!opt_take_number(props, "num-queues", 1, 64, &queues, error) ||
        !opt_take_number(props, "queue-size", 2, 1024, &size, error) ||
        !opt_take_number(props, "logical_block_size", 512, 4096, &logical, error) ||
        !opt_take_number(props, "physical_block_size", 512, 65536, &physical, error) ||
        !opt_take_choice(props, "write-cache", auto_on_off, &write_cache, error) ||
        !opt_take_only(props, "scsi", "off", error)) {
        return NULL;
    }
    if (iothread != NULL && (object == NULL || strcmp(object->driver, "iothread") != 0)) {
        fail(error, "there is no iothread '%s'", iothread);
        return NULL;
    }
    b = back_end_take_block(m, drive, error);
    if (b == NULL) {
        return NULL;
    }
    if (b->block == NULL) {
        fail(error, "drive '%s' is empty", drive);
        return NULL;
    }
    b->device = d->id;
    if (write_cache != 0) {
        block_set_write_cache(b->block, write_cache == 1);
    }
    VirtioBlkConfig c = {
        .block = b->block, .serial = serial != NULL ? serial : b->config->serial,
        .num_queues = (unsigned)queues, .queue_size = (unsigned)size,
        .logical_block_size = (uint32_t)logical, .physical_block_size = (uint32_t)physical,
    };
    return virtio_blk_new(m->mem, &c, error);
}

static VirtioDevice *make_rng(Machine *m, OptList *props, GError **error)
{
    const char *rng = opt_take(props, "rng"), *file = NULL;
    bool found = rng == NULL;

    for (guint i = 0; rng != NULL && i < m->config->objects->len; i++) {
        const DeviceConfig *o = g_ptr_array_index(m->config->objects, i);
        if (strcmp(o->id, rng) == 0) {
            file = opt_take(o->props, "filename");
            found = true;
        }
    }
    if (!found) {
        fail(error, "there is no object '%s'", rng);
        return NULL;
    }
    return virtio_rng_new(m->mem, file, error);
}

static bool add_blk_pci(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    uint64_t bootindex = UINT64_MAX;
    VirtioDevice *vd = opt_take_number(props, "bootindex", 0, INT32_MAX, &bootindex, error)
                           ? make_blk(m, d, props, error) : NULL;
    PciDevice *dev = vd != NULL ? put_virtio_pci(m, d, vd, props, error) : NULL;

    if (dev != NULL && bootindex != UINT64_MAX) {
        if (!machine_pc_boot_from(m, (unsigned)bootindex,
                                  g_strdup_printf("/pci@i0cf8/scsi@%x/disk@0,0", dev->devfn >> 3), error)) {
            return false;
        }
    }
    return dev != NULL;
}

static bool add_blk_mmio(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    VirtioDevice *vd = make_blk(m, d, props, error);

    return vd != NULL && add_virtio_mmio(m, d, vd, error);
}

static bool add_rng_pci(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    VirtioDevice *vd = make_rng(m, props, error);

    return vd != NULL && add_virtio_pci(m, d, vd, props, error);
}

static bool add_rng_mmio(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    VirtioDevice *vd = make_rng(m, props, error);

    return vd != NULL && add_virtio_mmio(m, d, vd, error);
}

/* -- virtio-serial: the controller takes the ports that follow it --------------------------------- */

static bool is_port(const DeviceConfig *d)
{
    return strcmp(d->driver, "virtconsole") == 0 || strcmp(d->driver, "virtserialport") == 0;
}

static bool is_controller(const DeviceConfig *d)
{
    return g_str_has_prefix(d->driver, "virtio-serial");
}

/* A device that its controller has made; only its place is checked here. */
static bool add_port(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    for (guint i = 0; i < m->config->devices->len; i++) {
        const DeviceConfig *o = g_ptr_array_index(m->config->devices, i);
        if (o == d) {
            break;
        }
        if (is_controller(o)) {
            return true;
        }
    }
    return fail(error, "needs a virtio-serial controller before it");
}

/* Where the port goes: nr=, or the first free number; 0 is for consoles, as QEMU has it. */
static bool find_place(const VirtioConsolePort *ports, unsigned max, bool console, uint64_t nr, unsigned *place,
                       GError **error)
{
    if (nr != UINT64_MAX) {
        *place = (unsigned)nr;
        return (nr == 0 && !console) ? fail(error, "port 0 is for a virtconsole")
               : !ports[nr].absent   ? fail(error, "port %u is there already", *place)
                                     : true;
    }
    for (*place = console ? 0 : 1; *place < max; ++*place) {
        if (ports[*place].absent) {
            return true;
        }
    }
    return fail(error, "the controller has no more than %u ports (0 is for a virtconsole)", max);
}

static bool take_port(Machine *m, const DeviceConfig *controller, DeviceConfig *d, VirtioConsolePort *ports,
                      unsigned max, GError **error)
{
    const char *chardev = opt_take(d->props, "chardev");
    g_autofree char *bus = g_strconcat(controller->id != NULL ? controller->id : "virtio-serial",
                                       ".0", NULL);
    bool console = strcmp(d->driver, "virtconsole") == 0;
    uint64_t nr = UINT64_MAX;
    unsigned place;

    if (!opt_take_only(d->props, "bus", bus, error) ||
        !opt_take_number(d->props, "nr", 0, max - 1, &nr, error) ||
        !find_place(ports, max, console, nr, &place, error)) {
        return false;
    }
    ports[place] = (VirtioConsolePort){.console = console, .name = opt_take(d->props, "name")};
    if (chardev != NULL) {
        ports[place].chr = back_end_take_chardev(m, chardev, error);
    }
    return chardev == NULL || ports[place].chr != NULL;
}

/* The ports between this controller and the next. */
static VirtioDevice *make_serial(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    VirtioConsolePort ports[VIRTIO_CONSOLE_MAX_PORTS];
    uint64_t max = VIRTIO_CONSOLE_MAX_PORTS;
    unsigned n = 0;
    bool mine = false;

    if (!opt_take_number(props, "max_ports", 1, VIRTIO_CONSOLE_MAX_PORTS, &max, error)) {
        return NULL;
    }
    for (unsigned i = 0; i < VIRTIO_CONSOLE_MAX_PORTS; i++) {
        ports[i] = (VirtioConsolePort){.absent = true};
    }
    for (guint i = 0; i < m->config->devices->len; i++) {
        DeviceConfig *o = g_ptr_array_index(m->config->devices, i);
        if (is_controller(o)) {
            mine = o == d;
        }
        if (mine && is_port(o) && !take_port(m, d, o, ports, (unsigned)max, error)) {
            g_prefix_error(error, "%s: ", o->option);
            return NULL;
        }
    }
    for (unsigned i = 0; i < max; i++) {
        n = ports[i].absent ? n : i + 1;
    }
    return virtio_console_new(m->mem, ports, n);
}

static bool add_serial_pci(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    VirtioDevice *vd = make_serial(m, d, props, error);

    return vd != NULL && add_virtio_pci(m, d, vd, props, error);
}

static bool add_serial_mmio(Machine *m, const DeviceConfig *d, OptList *props, GError **error)
{
    VirtioDevice *vd = make_serial(m, d, props, error);

    return vd != NULL && add_virtio_mmio(m, d, vd, error);
}

/* -- Table ---------------------------------------------------------------------------------------------- */

static const DeviceRow rows[] = {
    {"isa-debug-exit", "ISA", "a write of v ends the program with status (v << 1) | 1: "
     "iobase=0x501, iosize=2", add_debug_exit},
    {"isa-debugcon", "ISA", "a port that prints: chardev=ID, iobase=0xe9, readback=0xe9",
     add_debugcon},
    {"pvpanic", "ISA", "tells the host that the guest has crashed: ioport=0x505, events=3", add_pvpanic},
    {"ib700", "ISA", "a watchdog (-watchdog-action says what it does)", add_ib700},
    {"pc-testdev", "ISA", "what tests of CPUs expect of a machine", add_testdev},
    {"isa-serial", "ISA", "a 16550A serial port: chardev=ID, index=0..3, iobase=, irq=",
     add_isa_serial},
    {"virtio-blk-pci", "PCI", "a virtio disk: drive=ID, serial=, num-queues=, addr=SLOT",
     add_blk_pci},
    {"virtio-rng-pci", "PCI", "random numbers: rng=ID of an rng-random object", add_rng_pci},
    {"virtio-serial-pci", "PCI", "controller of the virtconsole and virtserialport that follow",
     add_serial_pci},
    {"virtio-serial", "PCI", "the same", add_serial_pci},
    {"virtio-blk-device", "virtio-mmio", "a virtio disk of machine microvm: drive=ID",
     add_blk_mmio},
    {"virtio-rng-device", "virtio-mmio", "random numbers of machine microvm: rng=ID",
     add_rng_mmio},
    {"virtio-serial-device", "virtio-mmio", "the controller on machine microvm", add_serial_mmio},
    {"virtconsole", "virtio-serial", "a console port (hvc0...): chardev=ID", add_port},
    {"virtserialport", "virtio-serial", "a named port (/dev/virtio-ports/NAME): chardev=ID, name=",
     add_port},
};

const DeviceRow *device_table_find(const char *driver, GError **error)
{
    const char *names[ARRAY_LEN(rows)], *near;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].name, driver) == 0) {
            return &rows[i];
        }
        names[i] = rows[i].name;
    }
    near = nearest_name(driver, names, ARRAY_LEN(names));
    if (near != NULL) {
        fail(error, "no device is called '%s'; did you mean '%s'?", driver, near);
    } else {
        fail(error, "no device is called '%s'; '-device help' lists them", driver);
    }
    return NULL;
}

void device_table_print(void)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        printf("name \"%s\", bus %s, desc \"%s\"\n", rows[i].name, rows[i].bus, rows[i].help);
    }
}

const DeviceRow *device_table_row(size_t i)
{
    return i < ARRAY_LEN(rows) ? &rows[i] : NULL;
}

bool device_table_has_property(const char *driver, const char *property, GError **error)
{
    g_autoptr(GPtrArray) types = qom_types();
    const QomType *t = qom_find_type(types, driver);
    g_auto(GStrv) props = g_strsplit(t->props, " ", -1);
    const char *near;

    for (char **p = props; *p != NULL; p++) {
        (*p)[strcspn(*p, ":")] = '\0';
        if (strcmp(*p, property) == 0) {
            return true;
        }
    }
    near = nearest_name(property, (const char *const *)props, g_strv_length(props));
    return near != NULL ? fail(error, "%s has no property '%s'; did you mean '%s'?", driver, property, near)
                        : fail(error, "%s has no property '%s'", driver, property);
}

void device_table_print_properties(const char *driver)
{
    g_autoptr(GPtrArray) types = qom_types();
    const QomType *t = qom_find_type(types, driver);
    g_auto(GStrv) props = g_strsplit(t != NULL ? t->props : "", " ", -1);

    printf("%s options:\n", driver);
    for (char **p = props; *p != NULL; p++) {
        g_auto(GStrv) parts = g_strsplit_set(*p, ":=", 3);
        if (g_strv_length(parts) >= 2) {
            printf("  %s=<%s>%s%s%s\n", parts[0], parts[1], parts[2] != NULL ? " - (default: " : "",
                   parts[2] != NULL ? parts[2] : "", parts[2] != NULL ? ")" : "");
        }
    }
}

/* -global values that nothing typed overrides. */
static void add_globals(Machine *m, const char *driver, OptList *props)
{
    for (guint i = 0; i < m->config->globals->len; i++) {
        const char *g = g_ptr_array_index(m->config->globals, i);
        size_t n = strlen(driver);
        const char *eq = strchr(g, '=');

        if (strncmp(g, driver, n) == 0 && g[n] == '.') {
            g_autofree char *key = g_strndup(g + n + 1, (size_t)(eq - g) - n - 1);
            opt_list_default(props, key, eq + 1);
        }
    }
}

bool device_table_add_all(Machine *m, GError **error)
{
    for (guint i = 0; i < m->config->devices->len; i++) {
        const DeviceConfig *d = g_ptr_array_index(m->config->devices, i);
        const DeviceRow *row = device_table_find(d->driver, error);

        if (row != NULL) {
            add_globals(m, d->driver, d->props);
        }
        if (row == NULL || !row->add(m, d, d->props, error) ||
            !opt_list_finish(d->props, error)) {
            g_prefix_error(error, "%s: ", d->option);
            return false;
        }
    }
    return true;
}
