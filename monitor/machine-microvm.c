/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The schematic of machine `microvm`: no firmware, no PCI.
 *
 *   0xfea00000  ACPI sleep registers         GSI 4      serial port
 *   0xfeb00000  8 virtio-mmio slots          GSI 16-23  virtio-mmio
 *   0xfec00000  I/O APIC                     GSI 2      PIT, 8 RTC
 *   0xfee00000  local APICs
 *
 * PIC, PIT, RTC and serial port can be left out (-machine microvm,pic=off...).  The kernel learns of
 * the machine by ACPI, or with acpi=off by a device tree and its command line.
 */
#include "monitor/machine-microvm.h"

#include "hw/acpi-sleep.h"
#include "hw/acpi-tables.h"
#include "hw/apic-bus.h"
#include "hw/e820.h"
#include "hw/fdt-build.h"
#include "hw/ioapic.h"
#include "hw/pic.h"
#include "hw/pit.h"
#include "hw/port92.h"
#include "hw/rtc.h"
#include "hw/uart.h"
#include "hw/virtio-blk.h"
#include "hw/virtio-mmio.h"
#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/events.h"
#include "monitor/loader.h"
#include "monitor/processors.h"
#include "monitor/report.h"

#include <string.h>
#include <time.h>

#define SLEEP_BASE UINT64_C(0xfea00000)
#define VIRTIO_BASE UINT64_C(0xfeb00000)
enum { VIRTIO_SLOTS = 8, VIRTIO_GSI = 16, SERIAL_PORT = 0x3f8, SERIAL_IRQ = 4, S5_TYPE = 5 };

typedef struct {
    Processors *cpus;
    Device *pic, *ioapic, *pit, *rtc;
    BootImage *image;
    uint64_t ram_offset, low_ram, high_ram;
    unsigned n_virtio;         /* slots taken, from the first */
    bool serial_there;
} Microvm;

static void isa_set(void *arg, unsigned irq, int level)
{
    Microvm *v = arg;

    if (v->pic != NULL) {
        pic_set_irq(v->pic, irq, level);
    }
    ioapic_set_irq(v->ioapic, irq == 0 ? 2 : irq, level);
}

static IrqLine isa_line(Microvm *v, unsigned irq)
{
    return (IrqLine){.set = isa_set, .arg = v, .line = irq};
}

/* -- Parts -------------------------------------------------------------------------------------------- */

static bool add_memory(Machine *m, Microvm *v, GError **error)
{
    uint64_t ram = m->config->ram_size;

    m->mem = phys_mem_new(ram, &m->lock, error);
    if (m->mem == NULL) {
        return false;
    }
    m->mem->huge.trust = m->config->huge_pages ? HUGE_TRUST : 0;
    e820_split_ram(ram, &v->low_ram, &v->high_ram);
    v->ram_offset = phys_mem_alloc(m->mem, ram);
    phys_region_ram(m->mem, 0, v->low_ram, v->ram_offset, 0, "ram-below-4g");
    if (v->high_ram != 0) {
        phys_region_ram(m->mem, UINT64_C(1) << 32, v->high_ram, v->ram_offset + v->low_ram, 0,
                        "ram-above-4g");
    }
    return true;
}

static bool add_interrupts(Machine *m, Microvm *v, GError **error)
{
    Device *bus;

    v->cpus = processors_new(m, error);
    if (v->cpus == NULL) {
        return false;
    }
    bus = processors_apic_bus(v->cpus);
    if (m->config->pic) {
        IrqLine intr = {.set = apic_bus_set_lint, .arg = bus, .line = 0};
        v->pic = pic_new(&intr);
        machine_add_device(m, v->pic);
        machine_map_port(m, v->pic, PIC_WINDOW_MASTER, PIC_PORT_MASTER);
        machine_map_port(m, v->pic, PIC_WINDOW_SLAVE, PIC_PORT_SLAVE);
        machine_map_port(m, v->pic, PIC_WINDOW_ELCR, PIC_PORT_ELCR);
    }
    v->ioapic = ioapic_new(0, apic_bus_deliver, bus);
    machine_add_device(m, v->ioapic);
    machine_map_mmio(m, v->ioapic, 0, IOAPIC_BASE);
    apic_bus_set_ioapic(bus, v->ioapic);
    processors_add_cpus(v->cpus, v->pic, NULL);
    return true;
}

static void set_a20(void *arg, bool on)
{
    phys_mem_set_a20(((Machine *)arg)->mem, on);
}

static bool add_devices(Machine *m, Microvm *v, GError **error)
{
    const MachineConfig *c = m->config;
    Port92Config p92 = {.arg = m, .reset = machine_guest_reset, .set_a20 = set_a20};
    IrqLine irq0 = isa_line(v, 0), irq8 = isa_line(v, 8), irq4 = isa_line(v, SERIAL_IRQ);
    Device *d;

    if (c->pit) {
        v->pit = pit_new(&m->timers, &irq0);
        machine_add_device(m, v->pit);
        machine_map_port(m, v->pit, PIT_WINDOW_COUNTERS, PIT_PORT_COUNTERS);
        machine_map_port(m, v->pit, PIT_WINDOW_PORT61, PIT_PORT_61);
    }
    if (v->pic != NULL) {
        processors_lend_chips(v->cpus, v->ioapic, v->pit);
    }
    if (c->rtc) {
        v->rtc = rtc_new(&m->timers, &irq8, c->rtc_base >= 0 ? c->rtc_base : time(NULL));
        rtc_on_change(v->rtc, event_rtc_change, m);
        machine_add_device(m, v->rtc);
        machine_map_port(m, v->rtc, 0, RTC_PORT);
    }
    d = port92_new(&p92);      /* the way to a reset */
    machine_add_device(m, d);
    machine_map_port(m, d, 0, PORT92_PORT);
    d = acpi_sleep_new(S5_TYPE, machine_guest_shutdown, m);
    machine_add_device(m, d);
    machine_map_mmio(m, d, 0, SLEEP_BASE);
    if (c->serials->len > 1 || (c->serials->len == 1 && !c->isa_serial)) {
        return fail(error, "machine microvm has %s serial port", c->isa_serial ? "one" : "no");
    }
    if (c->serials->len == 1) {
        Chardev *chr;
        if (!machine_line(m, g_ptr_array_index(c->serials, 0), &chr, error)) {
            return false;
        }
        if (chr != NULL) {
            d = uart_new(&m->timers, &irq4, chr);
            machine_add_device(m, d);
            machine_map_port(m, d, 0, SERIAL_PORT);
            v->serial_there = true;
        }
    }
    if (c->debugcons->len > 0) {
        return fail(error, "-debugcon: machine microvm has none; use -device isa-debugcon");
    }
    return true;
}

bool machine_microvm_add_virtio(Machine *m, VirtioDevice *vd, const char *id, GError **error)
{
    Microvm *v = m->platform;
    Device *d;

    if (m->cls != &machine_microvm || v->n_virtio == VIRTIO_SLOTS) {
        virtio_free(vd);
        return m->cls != &machine_microvm
                   ? fail(error, "machine %s has no virtio-mmio bus", m->cls->name)
                   : fail(error, "all %d virtio-mmio slots are taken", VIRTIO_SLOTS);
    }
    IrqLine irq = {.set = ioapic_set_irq, .arg = v->ioapic, .line = VIRTIO_GSI + v->n_virtio};
    d = virtio_mmio_new(vd, &irq, false);
    d->id = g_strdup(id);
    machine_add_device(m, d);
    machine_map_mmio(m, d, 0, VIRTIO_BASE + v->n_virtio * VIRTIO_MMIO_LEN);
    v->n_virtio++;
    return true;
}

static bool add_virtio_drives(Machine *m, GError **error)
{
    for (unsigned i = 0; i < 32; i++) {
        const BackEndBlock *b = back_end_take_drive(m, IF_VIRTIO, i);
        if (b == NULL) {
            continue;
        }
        VirtioBlkConfig c = {.block = b->block, .serial = b->config->serial};
        VirtioDevice *vd = virtio_blk_new(m->mem, &c, error);
        if (vd == NULL || !machine_microvm_add_virtio(m, vd, NULL, error)) {
            g_prefix_error(error, "%s: ", b->config->option);
            return false;
        }
    }
    return true;
}

/* -- Boot --------------------------------------------------------------------------------------------- */

static GBytes *make_fdt(Machine *m, const AcpiVirtioMmio *slots, const char *bootargs)
{
    const Microvm *v = m->platform;
    FdtConfig f = {
        .model = "metaphrase,microvm", .n_cpus = m->n_cpus, .ram_low = v->low_ram,
        .ram_high = v->high_ram, .bootargs = bootargs, .ioapic_base = IOAPIC_BASE,
        .serial_base = v->serial_there ? SERIAL_PORT : 0, .serial_gsi = SERIAL_IRQ,
        .virtio_mmio = slots, .n_virtio_mmio = v->n_virtio,
    };

    return fdt_build(&f);
}

/* Without ACPI the kernel's virtio_mmio driver takes its devices from the command line. */
static char *kernel_command_line(Machine *m)
{
    const MachineConfig *c = m->config;
    const Microvm *v = m->platform;
    GString *s = g_string_new(c->append != NULL ? c->append : "");

    for (unsigned i = 0; !c->acpi && c->cmdline_devices && i < v->n_virtio; i++) {
        g_string_append_printf(s, " virtio_mmio.device=%d@0x%" G_GINT64_MODIFIER "x:%u",
                               VIRTIO_MMIO_LEN, VIRTIO_BASE + i * VIRTIO_MMIO_LEN, VIRTIO_GSI + i);
    }
    return g_string_free(s, FALSE);
}

static AcpiConfig acpi_config(const Machine *m, const AcpiVirtioMmio *slots)
{
    const Microvm *v = m->platform;

    return (AcpiConfig){
        .n_cpus = m->n_cpus, .pic = v->pic != NULL, .ioapic_base = IOAPIC_BASE,
        .s5_type = S5_TYPE, .sleep_control = SLEEP_BASE + ACPI_SLEEP_CONTROL,
        .sleep_status = SLEEP_BASE + ACPI_SLEEP_STATUS,
        .reset_port = PORT92_PORT, .reset_value = 1, .rtc = v->rtc != NULL,
        .serial_base = {v->serial_there ? SERIAL_PORT : 0}, .serial_irq = {SERIAL_IRQ},
        .virtio_mmio = slots, .n_virtio_mmio = v->n_virtio,
    };
}

/* Once everything is there (-device too): at the first boot. */
static bool load_kernel(Machine *m, GError **error)
{
    const MachineConfig *c = m->config;
    Microvm *v = m->platform;
    AcpiVirtioMmio slots[VIRTIO_SLOTS];
    g_autofree char *append = NULL;
    g_autoptr(GBytes) fdt = NULL;
    AcpiConfig acpi;

    for (unsigned i = 0; i < v->n_virtio; i++) {
        slots[i] = (AcpiVirtioMmio){VIRTIO_BASE + i * VIRTIO_MMIO_LEN, VIRTIO_MMIO_LEN,
                                    VIRTIO_GSI + i};
    }
    append = kernel_command_line(m);
    acpi = acpi_config(m, slots);
    fdt = make_fdt(m, slots, append);
    if (c->dumpdtb != NULL) {
        gsize len;
        const char *data = g_bytes_get_data(fdt, &len);
        if (!g_file_set_contents(c->dumpdtb, data, (gssize)len, error)) {
            g_prefix_error(error, "-machine dumpdtb=%s: ", c->dumpdtb);
            return false;
        }
        machine_quit(m);       /* as asked: dump and end */
        return true;
    }
    BootConfig b = {
        .kernel = c->kernel, .initrd = c->initrd, .append = append, .dtb = c->dtb,
        .ram_size = c->ram_size, .long_mode = cpu_model_has(m->cpu_model, FEAT_LM),
        .acpi = c->acpi ? &acpi : NULL, .fdt = c->acpi ? NULL : fdt,
    };
    v->image = boot_image_new(&b, error);
    return v->image != NULL;
}

static bool microvm_boot(Machine *m, GError **error)
{
    Microvm *v = m->platform;

    if (v->image == NULL && (!load_kernel(m, error) || v->image == NULL)) {
        return m->quit_wanted;
    }
    phys_mem_set_a20(m->mem, true);
    boot_image_place(v->image, m->mem);
    loader_apply(&v->image->state, m->cpus[0]);
    return true;
}

/* -- The machine -------------------------------------------------------------------------------------- */

static bool microvm_build(Machine *m, GError **error)
{
    Microvm *v = m->platform = g_new0(Microvm, 1);
    bool ok;

    if (!add_memory(m, v, error)) {
        return false;
    }
    phys_mem_begin(m->mem);
    ok = add_interrupts(m, v, error) && add_devices(m, v, error) && add_virtio_drives(m, error);
    phys_mem_end(m->mem);
    return ok;
}

static void microvm_free(Machine *m)
{
    Microvm *v = m->platform;

    if (v != NULL) {
        boot_image_free(v->image);
        processors_free(v->cpus);
        g_free(v);
    }
}

static void microvm_cpu_init(Machine *m, CpuState *cpu)
{
    processors_cpu_init(((Microvm *)m->platform)->cpus, cpu);
}

static void microvm_nmi(Machine *m)
{
    processors_nmi(((Microvm *)m->platform)->cpus);
}

const MachineClass machine_microvm = {
    .name = "microvm", .build = microvm_build, .boot = microvm_boot, .cpu_init = microvm_cpu_init,
    .nmi = microvm_nmi, .free = microvm_free, .state = &fields_none,
};
