/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The schematic of machine `pc`: i440FX host bridge, PIIX3/PIIX4, and what a PC has on its ISA bus.
 *
 *   memory                                    interrupts (ISA line = PIC input = I/O APIC pin, 0 -> 2)
 *   0          RAM                            0 PIT or HPET   4 COM1, COM3   8 RTC or HPET  14 IDE
 *   0xa0000    VGA window                     1 keyboard      5,10,11 PCI    9 ACPI SCI     15 IDE
 *   0xc0000    option ROMs, firmware (PAM)    3 COM2, COM4    6 floppy       12 mouse, 13 FERR#
 *   0x100000   RAM up to 3 or 3.5 GiB
 *   ...        PCI
 *   0xfec00000 I/O APIC, 0xfed00000 HPET, 0xfee00000 local APICs
 *   0xfffc0000 firmware (its last 128 KiB at 0xe0000 too)
 *   4 GiB      the rest of RAM
 */
#include "monitor/machine-pc-internal.h"

#include "hw/acpi-pm.h"
#include "hw/apic-bus.h"
#include "hw/debugcon.h"
#include "hw/dma8237.h"
#include "hw/e820.h"
#include "hw/fdc.h"
#include "hw/fpu-error.h"
#include "hw/fw-cfg.h"
#include "hw/hpet.h"
#include "hw/i8042.h"
#include "hw/ide.h"
#include "hw/ioapic.h"
#include "hw/pci-host.h"
#include "hw/pci.h"
#include "hw/pic.h"
#include "hw/piix3-isa.h"
#include "hw/piix4-pm.h"
#include "hw/pit.h"
#include "hw/port92.h"
#include "hw/post-port.h"
#include "hw/rtc.h"
#include "hw/uart.h"
#include "hw/vga.h"
#include "hw/virtio-blk.h"
#include "hw/virtio-pci.h"
#include "monitor/back-ends.h"
#include "monitor/config.h"
#include "monitor/events.h"
#include "monitor/firmware.h"
#include "monitor/loader-firmware.h"
#include "monitor/report.h"
#include "monitor/run-loop.h"
#include "pv/vmi.h"
#include "pv/vmport.h"

#include <string.h>
#include <time.h>

#define FIRMWARE_TOP (UINT64_C(1) << 32)
enum {
    FIRMWARE_MAX = 8 << 20,
    FIRMWARE_LOW_LEN = 128 << 10,     /* of it, at 0xe0000 */
};

/* Who drives an ISA interrupt line; the line is the OR of all. */
enum { SRC_ISA, SRC_PCI, SRC_SCI, SRC_SERIAL, SRC_SERIAL_LAST = SRC_SERIAL + 3 };

const uint16_t pc_serial_ports[4] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
const uint8_t pc_serial_irqs[4] = {4, 3, 4, 3};

PciBus *machine_pc_bus(Machine *m)
{
    return m->cls == &machine_pc ? pc_of(m)->bus : NULL;
}

/* -- Interrupts --------------------------------------------------------------------------------------- */

/* An IrqLine's set; line is irq | source << 8. */
static void isa_set(void *arg, unsigned line, int level)
{
    Pc *pc = arg;
    unsigned irq = line & 15, bit = 1u << (line >> 8), old = pc->irq_sources[irq];

    pc->irq_sources[irq] = (uint8_t)(level ? old | bit : old & ~bit);
    pc->irq_rises[irq] += old == 0 && level;
    pic_set_irq(pc->pic, irq, pc->irq_sources[irq] != 0);
    ioapic_set_irq(pc->ioapic, irq == 0 ? 2 : irq, pc->irq_sources[irq] != 0);
}

static IrqLine isa_line(Pc *pc, unsigned irq, unsigned source)
{
    return (IrqLine){.set = isa_set, .arg = pc, .line = irq | source << 8};
}

IrqLine machine_pc_isa_irq(Machine *m, unsigned irq)
{
    return isa_line(pc_of(m), irq, SRC_ISA);
}

IrqLine machine_pc_gsi(Machine *m, unsigned gsi)
{
    return gsi < 16 ? isa_line(pc_of(m), gsi, SRC_ISA)
                    : (IrqLine){.set = ioapic_set_irq, .arg = pc_of(m)->ioapic, .line = gsi};
}

static bool add_interrupts(Machine *m, Pc *pc, GError **error)
{
    IrqLine intr, irq13;
    Device *bus, *fpu;

    pc->cpus = processors_new(m, error);
    if (pc->cpus == NULL) {
        return false;
    }
    bus = processors_apic_bus(pc->cpus);
    intr = (IrqLine){.set = apic_bus_set_lint, .arg = bus, .line = 0};
    pc->pic = pic_new(&intr);
    machine_add_device(m, pc->pic);
    machine_map_port(m, pc->pic, PIC_WINDOW_MASTER, PIC_PORT_MASTER);
    machine_map_port(m, pc->pic, PIC_WINDOW_SLAVE, PIC_PORT_SLAVE);
    machine_map_port(m, pc->pic, PIC_WINDOW_ELCR, PIC_PORT_ELCR);

    pc->ioapic = ioapic_new(0, apic_bus_deliver, bus);
    machine_add_device(m, pc->ioapic);
    machine_map_mmio(m, pc->ioapic, 0, IOAPIC_BASE);
    apic_bus_set_ioapic(bus, pc->ioapic);

    irq13 = isa_line(pc, 13, SRC_ISA);
    fpu = fpu_error_new(&irq13);
    machine_add_device(m, fpu);
    machine_map_port(m, fpu, 0, FPU_ERROR_PORT);
    processors_add_cpus(pc->cpus, pc->pic, fpu);
    return true;
}

/* -- Memory ------------------------------------------------------------------------------------------- */

/* Video memory, ROM BARs and firmware beside the RAM. */
enum { OTHER_MEMORY = 64 << 20 };

static bool add_memory(Machine *m, Pc *pc, GError **error)
{
    uint64_t ram = m->config->ram_size;

    m->mem = phys_mem_new(ram + OTHER_MEMORY, &m->lock, error);
    if (m->mem == NULL) {
        return false;
    }
    m->mem->huge.trust = m->config->huge_pages ? HUGE_TRUST : 0;
    e820_split_ram(ram, &pc->low_ram, &pc->high_ram);
    pc->ram_offset = phys_mem_alloc(m->mem, ram);
    phys_region_ram(m->mem, 0, 0xa0000, pc->ram_offset, 0, "ram-below-640k");
    phys_region_ram(m->mem, 0x100000, pc->low_ram - 0x100000, pc->ram_offset + 0x100000, 0,
                    "ram-below-4g");
    if (pc->high_ram != 0) {
        phys_region_ram(m->mem, UINT64_C(1) << 32, pc->high_ram, pc->ram_offset + pc->low_ram, 0,
                        "ram-above-4g");
    }
    pc->rom_offset = I440FX_NO_ROM;
    return true;
}

static bool add_firmware(Machine *m, Pc *pc, GError **error)
{
    const char *name = m->config->bios != NULL ? m->config->bios : "bios-256k.bin";
    g_autoptr(GBytes) rom = NULL;
    uint64_t len, size, low, offset;
    const void *data;

    if (m->config->kernel != NULL && m->config->bios == NULL) {
        return true;           /* direct boot needs none */
    }
    rom = firmware_read(m->config, name, FIRMWARE_MAX, error);
    if (rom == NULL) {
        g_prefix_error(error, "-bios %s: ", name);
        return false;
    }
    data = g_bytes_get_data(rom, &len);
    size = (len + 0xffff) & ~UINT64_C(0xffff);
    offset = phys_mem_alloc(m->mem, size);
    memset(m->mem->base + offset, 0xff, size);
    memcpy(m->mem->base + offset + size - len, data, len);
    phys_region_rom(m->mem, FIRMWARE_TOP - size, size, offset, 1, NULL, NULL, "firmware");
    low = MIN(size, FIRMWARE_LOW_LEN);
    phys_region_rom(m->mem, 0x100000 - low, low, offset + size - low, 0, NULL, NULL,
                    "firmware-low");
    if (low == FIRMWARE_LOW_LEN) {
        pc->rom_offset = offset + size - low;
    }
    return true;
}

/* -- PCI ---------------------------------------------------------------------------------------------- */

static bool add_pci_device(Machine *m, PciBus *bus, PciDevice *d, int slot, unsigned function,
                           GError **error)
{
    machine_add_device(m, &d->dev);
    return pci_bus_add(bus, d, slot, function, error);
}

static bool add_pci(Machine *m, Pc *pc, GError **error)
{
    I440fxConfig host = {.ram_offset = pc->ram_offset, .rom_offset = pc->rom_offset};
    Piix3Config isa = {.reset = machine_guest_reset, .arg = m};
    Piix4Window pm = {.dev = pc->acpi_pm, .window = ACPI_PM_WINDOW_BLOCK, .offset = 0};

    host.bus = pc->bus = pci_bus_new(m->mem, m->ports);
    pc->bus->route = pci_route_i440fx;
    pc->bus->msi = apic_bus_msi;
    pc->bus->msi_arg = processors_apic_bus(pc->cpus);
    for (unsigned i = 0; i < 16; i++) {
        isa.irq[i] = isa_line(pc, i, SRC_PCI);
    }
    pc->host = i440fx_new(&host);
    pc->piix3 = piix3_isa_new(&isa);
    pc->pm = piix4_pm_new(&pm, 1);
    if (!add_pci_device(m, pc->bus, pc->host, 0, 0, error) ||
        !add_pci_device(m, pc->bus, pc->piix3, 1, 0, error) ||
        !add_pci_device(m, pc->bus, pc->pm, 1, 3, error)) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        pc->bus->pirq[i] = piix3_pirq_line(pc->piix3, i);
    }
    machine_map_port(m, &pc->host->dev, I440FX_WINDOW_ADDRESS, 0xcf8);
    machine_map_port(m, &pc->host->dev, I440FX_WINDOW_DATA, 0xcfc);
    machine_map_port(m, &pc->piix3->dev, 0, 0xcf9);
    return true;
}

static bool add_vga(Machine *m, Pc *pc, GError **error)
{
    g_autoptr(GBytes) rom = NULL;

    if (!m->config->vga) {
        return true;
    }
    rom = firmware_read(m->config, "vgabios-stdvga.bin", VGA_ROM_MAX, NULL);
    if (rom != NULL) {
        gsize len;
        const void *data = g_bytes_get_data(rom, &len);
        pc->vga = vga_new(m->mem, m->clock, data, len);
    } else {
        pc->vga = vga_new(m->mem, m->clock, NULL, 0);
    }
    if (!add_pci_device(m, pc->bus, vga_pci(pc->vga), 2, 0, error)) {
        return false;
    }
    machine_map_port(m, pc->vga, VGA_WINDOW_PORTS, VGA_PORT_BASE);
    machine_map_port(m, pc->vga, VGA_WINDOW_DISPI, VGA_DISPI_BASE);
    machine_map_mmio(m, pc->vga, VGA_WINDOW_LEGACY, VGA_LEGACY_BASE);
    if (m->config->kernel != NULL && m->config->bios == NULL) {
        vga_start_in_text_mode(pc->vga); /* no video BIOS runs */
    }
    return true;
}

/* -- Disks -------------------------------------------------------------------------------------------- */

static bool add_ide(Machine *m, Pc *pc, GError **error)
{
    pc->ide = ide_new(m->mem);
    if (!add_pci_device(m, pc->bus, ide_pci(pc->ide), 1, 1, error)) {
        return false;
    }
    machine_map_port(m, pc->ide, IDE_WINDOW_PRIMARY, 0x1f0);
    machine_map_port(m, pc->ide, IDE_WINDOW_PRIMARY_CONTROL, 0x3f6);
    machine_map_port(m, pc->ide, IDE_WINDOW_SECONDARY, 0x170);
    machine_map_port(m, pc->ide, IDE_WINDOW_SECONDARY_CONTROL, 0x376);
    ide_set_irq(pc->ide, 0, isa_line(pc, 14, SRC_ISA));
    ide_set_irq(pc->ide, 1, isa_line(pc, 15, SRC_ISA));
    for (unsigned unit = 0; unit < IDE_UNIT_COUNT; unit++) {
        const BackEndBlock *b = back_end_take_drive(m, IF_IDE, unit);
        if (b == NULL) {
            continue;
        }
        if (b->config->cdrom) {
            ide_attach_cdrom(pc->ide, unit, b->block);
        } else {
            ide_attach_disk(pc->ide, unit, b->block, b->config->serial);
        }
    }
    return true;
}

/* The controller is there always, as on a PC; its drives when there is -fda or -fdb. */
static bool add_floppies(Machine *m, Pc *pc, GError **error)
{
    Device *dma = dma8237_new(m->mem);

    machine_add_device(m, dma);
    machine_map_port(m, dma, DMA8237_WINDOW_LOW, 0x00);
    machine_map_port(m, dma, DMA8237_WINDOW_PAGES, 0x81);
    machine_map_port(m, dma, DMA8237_WINDOW_HIGH, 0xc0);
    pc->fdc = fdc_new(dma, isa_line(pc, 6, SRC_ISA));
    machine_add_device(m, pc->fdc);
    machine_map_port(m, pc->fdc, FDC_WINDOW_MAIN, 0x3f0);
    machine_map_port(m, pc->fdc, FDC_WINDOW_DIR, 0x3f7);
    for (unsigned i = 0; i < 2; i++) {
        const BackEndBlock *b = back_end_take_drive(m, IF_FLOPPY, i);
        if (b != NULL && !fdc_attach(pc->fdc, i, b->block, error)) {
            g_prefix_error(error, "%s: ", b->config->option);
            return false;
        }
    }
    return true;
}

static bool add_virtio_drives(Machine *m, Pc *pc, GError **error)
{
    for (unsigned i = 0; i < 32; i++) {
        const BackEndBlock *b = back_end_take_drive(m, IF_VIRTIO, i);
        if (b == NULL) {
            continue;
        }
        VirtioBlkConfig c = {.block = b->block, .serial = b->config->serial};
        VirtioDevice *vd = virtio_blk_new(m->mem, &c, error);
        if (vd == NULL ||
            !add_pci_device(m, pc->bus, virtio_pci_new(vd, NULL), -1, 0, error)) {
            g_prefix_error(error, "%s: ", b->config->option);
            return false;
        }
    }
    return true;
}

/* -- ISA ---------------------------------------------------------------------------------------------- */

/* HPET legacy replacement takes IRQ 0 and 8 from PIT and RTC. */
static void hpet_legacy(void *arg, unsigned line, int level)
{
    Pc *pc = arg;

    pit_set_irq_enabled(pc->pit, !level);
    rtc_set_irq_enabled(pc->rtc, !level);
}

static void hpet_pin(void *arg, unsigned pin, int level)
{
    ioapic_set_irq(((Pc *)arg)->ioapic, pin, level);
}

static int64_t rtc_base(const MachineConfig *c)
{
    time_t now = time(NULL);
    struct tm tm;

    if (c->rtc_base >= 0) {
        return c->rtc_base;
    }
    return c->rtc_localtime && localtime_r(&now, &tm) != NULL ? now + tm.tm_gmtoff : now;
}

static void add_timers(Machine *m, Pc *pc)
{
    IrqLine irq0 = isa_line(pc, 0, SRC_ISA), irq8 = isa_line(pc, 8, SRC_ISA);

    pc->pit = pit_new(&m->timers, &irq0);
    machine_add_device(m, pc->pit);
    machine_map_port(m, pc->pit, PIT_WINDOW_COUNTERS, PIT_PORT_COUNTERS);
    machine_map_port(m, pc->pit, PIT_WINDOW_PORT61, PIT_PORT_61);
    processors_lend_chips(pc->cpus, pc->ioapic, pc->pit);
    pc->rtc = rtc_new(&m->timers, &irq8, rtc_base(m->config));
    rtc_on_change(pc->rtc, event_rtc_change, m);
    machine_add_device(m, pc->rtc);
    machine_map_port(m, pc->rtc, 0, RTC_PORT);
    if (m->config->hpet) {
        HpetConfig c = {
            .timers = &m->timers, .routes = 0xff0104, .set_pin = hpet_pin, .arg = pc,
            .legacy_irq0 = isa_line(pc, 0, SRC_PCI), .legacy_irq8 = isa_line(pc, 8, SRC_PCI),
            .legacy_mode = {.set = hpet_legacy, .arg = pc},
        };
        pc->hpet = hpet_new(&c);
        machine_add_device(m, pc->hpet);
        machine_map_mmio(m, pc->hpet, 0, HPET_BASE);
    }
}

static void set_a20(void *arg, bool on)
{
    Machine *m = arg;
    Pc *pc = pc_of(m);

    phys_mem_set_a20(m->mem, on);
    if (pc->port92 != NULL) {
        port92_a20_changed(pc->port92, on);
    }
    if (pc->i8042 != NULL) {
        i8042_a20_changed(pc->i8042, on);
    }
}

static void add_small(Machine *m, Pc *pc)
{
    I8042Config kbc = {.irq1 = isa_line(pc, 1, SRC_ISA), .irq12 = isa_line(pc, 12, SRC_ISA),
                       .mouse = true, .arg = m, .reset = machine_guest_reset, .set_a20 = set_a20};
    Port92Config p92 = {.arg = m, .reset = machine_guest_reset, .set_a20 = set_a20};
    AcpiPmConfig pm = {.timers = &m->timers, .sci = isa_line(pc, PC_SCI, SRC_SCI),
                       .always_acpi = true, .s5_type = S5_TYPE, .arg = m,
                       .shutdown = machine_guest_shutdown};
    Device *post = post_port_new();

    pc->fw_cfg = fw_cfg_new(m->mem);
    machine_add_device(m, pc->fw_cfg);
    machine_map_port(m, pc->fw_cfg, FW_CFG_WINDOW_REGS, FW_CFG_PORT);
    machine_map_port(m, pc->fw_cfg, FW_CFG_WINDOW_DMA, FW_CFG_DMA_PORT);
    pc->i8042 = i8042_new(&kbc);
    machine_add_device(m, pc->i8042);
    machine_map_port(m, pc->i8042, I8042_WINDOW_DATA, I8042_PORT_DATA);
    machine_map_port(m, pc->i8042, I8042_WINDOW_COMMAND, I8042_PORT_COMMAND);
    pc->port92 = port92_new(&p92);
    machine_add_device(m, pc->port92);
    machine_map_port(m, pc->port92, 0, PORT92_PORT);
    machine_add_device(m, post);
    machine_map_port(m, post, POST_WINDOW_80, POST_PORT_80);
    machine_map_port(m, post, POST_WINDOW_ED, POST_PORT_ED);
    pc->acpi_pm = acpi_pm_new(&pm);
    machine_add_device(m, pc->acpi_pm);
    machine_map_port(m, pc->acpi_pm, ACPI_PM_WINDOW_SMI, ACPI_PM_PORT_SMI);
}

/* -- Paravirtual interfaces ------------------------------------------------------------------------------ */

static CpuState *current_cpu(void *arg)
{
    return run_loop_current_cpu();
}

static void set_irq0(Pc *pc, int level)
{
    pic_set_irq(pc->pic, 0, level);
    ioapic_set_irq(pc->ioapic, 2, level);
}

/* An edge on IRQ 0 whatever the PIT's output is: silenced the usual way, it stays high. */
static void vmi_alarm(void *arg, unsigned line, int level)
{
    Pc *pc = arg;

    if (level) {
        set_irq0(pc, 0);
        set_irq0(pc, 1);
        set_irq0(pc, pc->irq_sources[0] != 0);
        pc->irq_rises[0]++;
    }
}

static void add_paravirtual(Machine *m, Pc *pc)
{
    VmiConfig vmi = {.pv = m->pv, .timers = &m->timers, .irq0 = {.set = vmi_alarm, .arg = pc},
                     .arg = m, .current_cpu = current_cpu,
                     .reboot = machine_guest_reset, .shutdown = machine_guest_shutdown};
    VmportConfig port = {.ram_size = m->config->ram_size, .pv = m->pv, .arg = m, .current_cpu = current_cpu};

    if (m->config->vmi) {
        pc->vmi = vmi_new(&vmi);
        machine_add_device(m, pc->vmi);
        machine_map_port(m, pc->vmi, 0, VMI_PORT);
    }
    if (m->config->vmport) {
        Device *d = vmport_new(&port);
        machine_add_device(m, d);
        machine_map_port(m, d, 0, VMPORT_PORT);
    }
}

static bool add_lines(Machine *m, Pc *pc, GError **error)
{
    const MachineConfig *c = m->config;
    Chardev *chr;

    for (guint i = 0; i < c->serials->len; i++) {
        const LineConfig *line = g_ptr_array_index(c->serials, i);
        IrqLine irq = isa_line(pc, pc_serial_irqs[i], SRC_SERIAL + i);

        if (!machine_line(m, line, &chr, error)) {
            return false;
        }
        if (chr != NULL) {
            Device *uart = uart_new(&m->timers, &irq, chr);
            machine_add_device(m, uart);
            machine_map_port(m, uart, 0, pc_serial_ports[i]);
            pc->serial_there[i] = true;
        }
    }
    if (c->debugcons->len > 0) {
        if (!machine_line(m, g_ptr_array_index(c->debugcons, 0), &chr, error)) {
            return false;
        }
        Device *d = debugcon_new(chr, DEBUGCON_READBACK);
        machine_add_device(m, d);
        machine_map_port(m, d, 0, DEBUGCON_PORT);
    }
    return true;
}

/* -- The machine -------------------------------------------------------------------------------------- */

static bool pc_build(Machine *m, GError **error)
{
    Pc *pc = m->platform = g_new0(Pc, 1);
    bool ok;

    if (!add_memory(m, pc, error)) {
        return false;
    }
    phys_mem_begin(m->mem);
    ok = add_interrupts(m, pc, error) && add_firmware(m, pc, error);
    if (ok) {
        add_timers(m, pc);
        add_small(m, pc);
        add_paravirtual(m, pc);
        ok = add_pci(m, pc, error) && add_vga(m, pc, error) && add_ide(m, pc, error) &&
             add_floppies(m, pc, error) && add_virtio_drives(m, pc, error) &&
             add_lines(m, pc, error);
    }
    phys_mem_end(m->mem);
    return ok && pc_prepare_boot(m, error);
}

static void pc_free(Machine *m)
{
    Pc *pc = pc_of(m);

    if (pc != NULL) {
        if (pc->bus != NULL) {
            pci_bus_free(pc->bus);
        }
        boot_image_free(pc->image);
        g_clear_pointer(&pc->boot_order, g_tree_destroy);
        processors_free(pc->cpus);
        g_free(pc);
    }
}

static void pc_cpu_init(Machine *m, CpuState *cpu)
{
    processors_cpu_init(pc_of(m)->cpus, cpu);
}

static bool pc_start_cpu(Machine *m, CpuState *cpu)
{
    return vmi_start_cpu(pc_of(m)->vmi, cpu);
}

static void pc_powerdown(Machine *m)
{
    acpi_pm_power_button(pc_of(m)->acpi_pm);
}

static void pc_nmi(Machine *m)
{
    processors_nmi(pc_of(m)->cpus);
}

static void pc_key(Machine *m, unsigned key, bool down)
{
    ps2_kbd_put_key(i8042_keyboard(pc_of(m)->i8042), key, down);
}

static const Field pc_fields[] = {FIELD(Pc, irq_sources), FIELD(Pc, booted)};
static const FieldTable pc_state = {.version = 1, FIELDS(pc_fields)};

const MachineClass machine_pc = {
    .name = "pc", .build = pc_build, .boot = pc_boot, .cpu_init = pc_cpu_init,
    .start_cpu = pc_start_cpu,
    .powerdown = pc_powerdown, .nmi = pc_nmi, .key = pc_key, .info = pc_info, .free = pc_free,
    .state = &pc_state,
};

/* -- Machine none --------------------------------------------------------------------------------------- */

static bool none_build(Machine *m, GError **error)
{
    return true;
}

static bool none_boot(Machine *m, GError **error)
{
    return true;
}

const MachineClass machine_none = {.name = "none", .build = none_build, .boot = none_boot, .state = &fields_none};
