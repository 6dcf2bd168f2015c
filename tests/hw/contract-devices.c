/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One row a device; see contract.h. */
#include "tests/hw/contract.h"

#include "hw/acpi-pm.h"
#include "hw/apic-bus.h"
#include "hw/debug-exit.h"
#include "hw/debugcon.h"
#include "hw/dma8237.h"
#include "hw/fdc.h"
#include "hw/fpu-error.h"
#include "hw/fw-cfg.h"
#include "hw/hpet.h"
#include "hw/i8042.h"
#include "hw/ide.h"
#include "hw/ib700.h"
#include "hw/ioapic.h"
#include "hw/lapic.h"
#include "hw/pc-testdev.h"
#include "hw/pci-host.h"
#include "hw/pic.h"
#include "hw/piix3-isa.h"
#include "hw/piix4-pm.h"
#include "hw/pit.h"
#include "hw/port92.h"
#include "hw/post-port.h"
#include "hw/pvpanic.h"
#include "hw/rtc.h"
#include "hw/uart.h"
#include "hw/vga.h"
#include "hw/virtio-console.h"
#include "hw/virtio-mmio.h"
#include "hw/virtio-pci.h"
#include "hw/virtio-rng.h"

static void note_bool(void *arg, bool on)
{
    contract_callback(arg);
}

static void note_int(void *arg, int val)
{
    contract_callback(arg);
}

/* -- Classic chips ------------------------------------------------------------------------------ */

static Device *make_pic(ContractEnv *env)
{
    return pic_new(&(IrqLine){fake_irq_set, &env->irq[0]});
}

static void drop_message(void *arg, const ApicMessage *m)
{
    contract_callback(arg);
}

static Device *make_ioapic(ContractEnv *env)
{
    return ioapic_new(1, drop_message, env);
}

static int first_cpu(void *arg)
{
    return 0;
}

static void sink_intr(void *arg, bool level)
{
    fake_irq_set(arg, 0, level);
}

static void sink_event(void *arg)
{
}

static void sink_sipi(void *arg, uint8_t vector)
{
}

static const uint64_t tsc_hz = 2000000000;

static uint64_t fake_tsc(void *arg)
{
    return ((ContractEnv *)arg)->clock.ns * 2;
}

/* The local APIC shows through the bus's window; it is the device under test. */
static Device *make_lapic(ContractEnv *env)
{
    Device *bus = apic_bus_new(first_cpu, env);

    for (unsigned i = 0; i < 2; i++) {
        g_ptr_array_add(env->others, lapic_new(&(LapicConfig){
            .bus = bus, .timers = &env->clock.timers, .id = i, .bsp = i == 0, .x2apic = true,
            .tsc_deadline = true, .tsc_arg = env, .tsc_now = fake_tsc, .tsc_hz = &tsc_hz,
            .sink = {&env->irq[i], sink_intr, sink_event, sink_event, sink_sipi, NULL}}));
    }
    return bus;
}

static Device *make_pit(ContractEnv *env)
{
    return pit_new(&env->clock.timers, &(IrqLine){fake_irq_set, &env->irq[0]});
}

static Device *make_rtc(ContractEnv *env)
{
    return rtc_new(&env->clock.timers, &(IrqLine){fake_irq_set, &env->irq[0]}, 1700000000);
}

static void hpet_pin(void *arg, unsigned pin, int level)
{
    fake_irq_set(&((ContractEnv *)arg)->irq[pin], pin, level);
}

static Device *make_hpet(ContractEnv *env)
{
    return hpet_new(&(HpetConfig){.timers = &env->clock.timers, .routes = 0x00ff0000,
                                  .set_pin = hpet_pin, .arg = env,
                                  .legacy_irq0 = contract_irq(env, 0),
                                  .legacy_irq8 = contract_irq(env, 8),
                                  .legacy_mode = contract_irq(env, 31)});
}

static Device *make_acpi_pm(ContractEnv *env)
{
    return acpi_pm_new(&(AcpiPmConfig){.timers = &env->clock.timers, .sci = contract_irq(env, 9),
                                       .s5_type = 0, .arg = env, .shutdown = contract_callback});
}

static Device *make_uart(ContractEnv *env)
{
    return uart_new(&env->clock.timers, &(IrqLine){fake_irq_set, &env->irq[4]}, &env->chr);
}

static Device *make_i8042(ContractEnv *env)
{
    return i8042_new(&(I8042Config){.irq1 = contract_irq(env, 1), .irq12 = contract_irq(env, 12),
                                    .mouse = true, .arg = env, .reset = contract_callback,
                                    .set_a20 = note_bool});
}

static Device *make_port92(ContractEnv *env)
{
    return port92_new(&(Port92Config){env, contract_callback, note_bool});
}

static Device *make_debug_exit(ContractEnv *env)
{
    return debug_exit_new(DEBUG_EXIT_LEN, note_int, env);
}

static Device *make_debugcon(ContractEnv *env)
{
    return debugcon_new(&env->chr, DEBUGCON_READBACK);
}

static void note_unsigned(void *arg, unsigned val)
{
    contract_callback(arg);
}

static Device *make_pvpanic(ContractEnv *env)
{
    return pvpanic_new(PVPANIC_PANICKED | PVPANIC_CRASH_LOADED, note_unsigned, env);
}

static Device *make_ib700(ContractEnv *env)
{
    return ib700_new(&env->clock.timers, contract_callback, env);
}

static Device *make_testdev(ContractEnv *env)
{
    IrqLine irq[TESTDEV_LINES];

    for (unsigned i = 0; i < TESTDEV_LINES; i++) {
        irq[i] = i < 16 ? contract_irq(env, i) : (IrqLine){0};
    }
    return pc_testdev_new(irq);
}

static Device *make_post_port(ContractEnv *env)
{
    return post_port_new();
}

static Device *make_fpu_error(ContractEnv *env)
{
    return fpu_error_new(&(IrqLine){fake_irq_set, &env->irq[13]});
}

/* -- PCI, virtio -------------------------------------------------------------------------------- */

static void free_bus(void *arg)
{
    pci_bus_free(arg);
}

static PciBus *make_bus(ContractEnv *env)
{
    PciBus *bus = pci_bus_new(env->mem, env->ports);

    env->finish = free_bus;
    env->finish_arg = bus;
    return bus;
}

/* The whole configuration space of a host bridge and an ISA bridge behind two ports. */
static Device *make_i440fx(ContractEnv *env)
{
    PciBus *bus = make_bus(env);
    PciDevice *isa = piix3_isa_new(&(Piix3Config){.reset = contract_callback, .arg = env});
    PciDevice *host = i440fx_new(&(I440fxConfig){.bus = bus, .rom_offset = I440FX_NO_ROM});

    pci_bus_add(bus, host, 0, 0, NULL);
    pci_bus_add(bus, isa, 1, 0, NULL);
    g_ptr_array_add(env->others, isa);
    return &host->dev;
}

static Device *make_piix3(ContractEnv *env)
{
    return &piix3_isa_new(&(Piix3Config){.reset = contract_callback, .arg = env})->dev;
}

static Device *make_piix4(ContractEnv *env)
{
    return &piix4_pm_new(NULL, 0)->dev;
}

/* -- Virtio ------------------------------------------------------------------------------------- */

static VirtioDevice *console(ContractEnv *env)
{
    return virtio_console_new(env->mem, &(VirtioConsolePort){.chr = &env->chr, .console = true}, 1);
}

static Device *make_console_pci(ContractEnv *env)
{
    return &virtio_pci_new(console(env), NULL)->dev;
}

static Device *make_console_mmio(ContractEnv *env)
{
    IrqLine irq = contract_irq(env, 0);
    return virtio_mmio_new(console(env), &irq, false);
}

static Device *make_rng_mmio_legacy(ContractEnv *env)
{
    IrqLine irq = contract_irq(env, 0);
    return virtio_mmio_new(virtio_rng_new(env->mem, NULL, NULL), &irq, true);
}

static Device *make_mmio_empty(ContractEnv *env)
{
    IrqLine irq = contract_irq(env, 0);
    return virtio_mmio_new(NULL, &irq, false);
}

/* -- Firmware configuration --------------------------------------------------------------------- */

static Device *make_fw_cfg(ContractEnv *env)
{
    Device *d = fw_cfg_new(env->mem);

    fw_cfg_set_int(d, FW_CFG_NB_CPUS, 2, 3);
    fw_cfg_set_string(d, FW_CFG_KERNEL_CMDLINE, "console=ttyS0");
    return d;
}

/* -- VGA, IDE, floppy --------------------------------------------------------------------------- */

static Device *make_vga(ContractEnv *env)
{
    return vga_new(env->mem, &env->clock.clock, NULL, 0);
}

static Device *make_ide_empty(ContractEnv *env)
{
    return ide_new(env->mem);
}

static Device *make_dma8237(ContractEnv *env)
{
    return dma8237_new(env->mem);
}

static Device *make_fdc_empty(ContractEnv *env)
{
    Device *dma = dma8237_new(env->mem);

    g_ptr_array_add(env->others, dma);
    return fdc_new(dma, contract_irq(env, 6));
}

/* clang-format off */
const ContractRow contract_rows[] = {
    {"pic",        make_pic},
    {"ioapic",     make_ioapic},
    {"lapic",      make_lapic},
    {"pit",        make_pit},
    {"rtc",        make_rtc,        .keeps_state = true},
    {"hpet",       make_hpet},
    {"acpi-pm",    make_acpi_pm},
    {"uart",       make_uart},
    {"i8042",      make_i8042},
    {"port92",     make_port92},
    {"debug-exit", make_debug_exit},
    {"debugcon",   make_debugcon},
    {"pvpanic",    make_pvpanic},
    {"ib700",      make_ib700},
    {"pc-testdev", make_testdev},
    {"post-port",  make_post_port},
    {"fpu-error",  make_fpu_error},
    {"i440fx",     make_i440fx},
    {"piix3-isa",  make_piix3},
    {"piix4-pm",   make_piix4},
    {"virtio-serial-pci", make_console_pci},
    {"virtio-serial-mmio", make_console_mmio},
    {"virtio-rng-mmio-1", make_rng_mmio_legacy},
    {"virtio-mmio-empty", make_mmio_empty},
    {"vga",        make_vga,        .keeps_state = true},
    {"ide-empty",  make_ide_empty},
    {"fw-cfg",     make_fw_cfg},
    {"dma8237",    make_dma8237},
    {"fdc-empty",  make_fdc_empty},
};
/* clang-format on */
const unsigned contract_n_rows = sizeof contract_rows / sizeof *contract_rows;
