/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How machine `pc` starts: by firmware, which is told about the machine through fw_cfg and the CMOS
 * memory, or directly at a kernel's entry.
 */
#include "monitor/machine-pc-internal.h"

#include "hw/fdc.h"
#include "hw/fw-cfg.h"
#include "hw/pci-assign.h"
#include "hw/pci-host.h"
#include "hw/pic.h"
#include "hw/piix3-isa.h"
#include "hw/piix4-pm.h"
#include "hw/rtc.h"
#include "hw/smbios.h"
#include "monitor/config.h"
#include "monitor/device-table.h"
#include "monitor/firmware.h"
#include "monitor/loader-firmware.h"
#include "monitor/report.h"

#include <string.h>

/* -- CMOS --------------------------------------------------------------------------------------------- */

enum { /* where SeaBIOS and older guests look */
    CMOS_FLOPPY = 0x10, CMOS_DISKS = 0x12, CMOS_EQUIPMENT = 0x14, CMOS_BASE_KB = 0x15,
    CMOS_EXTENDED_KB = 0x17, CMOS_EXTENDED_KB_COPY = 0x30, CMOS_ABOVE_16M = 0x34,
    CMOS_BOOT_2 = 0x38, CMOS_BOOT_1 = 0x3d, CMOS_ABOVE_4G = 0x5b, CMOS_CPUS = 0x5f,
};

static void set16(Pc *pc, unsigned index, uint64_t v)
{
    rtc_set_nvram(pc->rtc, index, (uint8_t)v);
    rtc_set_nvram(pc->rtc, index + 1, (uint8_t)(v >> 8));
}

static void describe_memory(Pc *pc)
{
    uint64_t above_1m = (pc->low_ram - (1 << 20)) >> 10;
    uint64_t above_16m = pc->low_ram > (16 << 20) ? (pc->low_ram - (16 << 20)) >> 16 : 0;

    set16(pc, CMOS_BASE_KB, 640);
    set16(pc, CMOS_EXTENDED_KB, MIN(above_1m, 0xffff));
    set16(pc, CMOS_EXTENDED_KB_COPY, MIN(above_1m, 0xffff));
    set16(pc, CMOS_ABOVE_16M, MIN(above_16m, 0xffff));
    set16(pc, CMOS_ABOVE_4G, pc->high_ram >> 16);
    rtc_set_nvram(pc->rtc, CMOS_ABOVE_4G + 2, (uint8_t)(pc->high_ram >> 32));
}

static void describe_floppies(Pc *pc)
{
    unsigned a = fdc_drive_type(pc->fdc, 0), b = fdc_drive_type(pc->fdc, 1);
    unsigned n = (a != 0) + (b != 0);

    rtc_set_nvram(pc->rtc, CMOS_FLOPPY, (uint8_t)(a << 4 | b));
    /* FPU, PS/2 mouse, and bits 0, 6, 7: floppies */
    rtc_set_nvram(pc->rtc, CMOS_EQUIPMENT, (uint8_t)(0x06 | (n != 0) | (n > 1 ? 1 << 6 : 0)));
}

/* "cad" -> one digit a device: 1 floppy, 2 disk, 3 CD-ROM, 4 network. */
static void set_boot_order(Pc *pc, const char *order)
{
    unsigned code[3] = {0};

    for (unsigned i = 0; i < 3 && i < strlen(order); i++) {
        code[i] = order[i] == 'c' ? 2 : order[i] == 'd' ? 3 : order[i] == 'n' ? 4 : 1;
    }
    rtc_set_nvram(pc->rtc, CMOS_BOOT_1, (uint8_t)(code[1] << 4 | code[0]));
    rtc_set_nvram(pc->rtc, CMOS_BOOT_2, (uint8_t)(code[2] << 4));
}

/* -- Tables --------------------------------------------------------------------------------------------- */

static void acpi_config(const Machine *m, AcpiConfig *c)
{
    const Pc *pc = pc_of(m);

    pc_acpi_config_init(c, m->n_cpus, m->config->ram_size, cpu_model_phys_bits(m->cpu_model));
    c->s5_type = S5_TYPE;
    c->vga = pc->vga != NULL;
    c->pvpanic_port = device_table_pvpanic_port(m->config);
    c->hpet_base = pc->hpet != NULL ? c->hpet_base : 0;
    for (unsigned i = 0; i < 4; i++) {
        c->serial_base[i] = pc->serial_there[i] ? pc_serial_ports[i] : 0;
        c->serial_irq[i] = pc_serial_irqs[i];
    }
}

static bool smbios_config(const MachineConfig *c, SmbiosConfig *s, GError **error)
{
    smbios_config_init(s, "Standard PC (i440FX + PIIX, 1996)", c->ram_size, c->n_cpus);
    if (c->uuid != NULL) {
        s->has_uuid = smbios_parse_uuid(c->uuid, s->uuid);
    }
    for (guint i = 0; i < c->smbios->len; i++) {
        if (!smbios_config_option(s, g_ptr_array_index(c->smbios, i), error)) {
            g_prefix_error(error, "-smbios %s: ", (char *)g_ptr_array_index(c->smbios, i));
            return false;
        }
    }
    return true;
}

/* -- Kernel or firmware --------------------------------------------------------------------------------- */

static gint compare_index(gconstpointer a, gconstpointer b, gpointer arg)
{
    return GPOINTER_TO_UINT(a) < GPOINTER_TO_UINT(b) ? -1 : GPOINTER_TO_UINT(a) > GPOINTER_TO_UINT(b);
}

bool machine_pc_boot_from(Machine *m, unsigned bootindex, char *path, GError **error)
{
    Pc *pc = pc_of(m);

    if (pc->boot_order == NULL) {
        pc->boot_order = g_tree_new_full(compare_index, NULL, NULL, g_free);
    }
    if (g_tree_lookup(pc->boot_order, GUINT_TO_POINTER(bootindex)) != NULL) {
        g_free(path);
        return fail(error, "bootindex=%u is given twice", bootindex);
    }
    g_tree_insert(pc->boot_order, GUINT_TO_POINTER(bootindex), path);
    return true;
}

static gboolean add_path(gpointer index, gpointer path, gpointer text)
{
    g_string_append_printf(text, "%s%s", ((GString *)text)->len > 0 ? "\n" : "", (char *)path);
    return FALSE;
}

/* The firmware's file of device paths, once all devices are there; HALT: no others. */
static bool tell_boot_order(Machine *m, GError **error)
{
    Pc *pc = pc_of(m);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GBytes) bytes = NULL;

    if (pc->boot_order != NULL) {
        g_tree_foreach(pc->boot_order, add_path, text);
    }
    if (m->config->boot_strict) {
        add_path(NULL, (char[]){"HALT"}, text);
    }
    if (text->len == 0) {
        return true;
    }
    bytes = g_bytes_new(text->str, text->len + 1);
    return fw_cfg_add_file(pc->fw_cfg, "bootorder", bytes, error);
}

static bool direct(const MachineConfig *c)
{
    return c->kernel != NULL && c->bios == NULL;
}

static bool load_kernel(Machine *m, const AcpiConfig *acpi, const SmbiosConfig *smbios,
                        GError **error)
{
    const MachineConfig *c = m->config;
    BootConfig b = {
        .kernel = c->kernel, .initrd = c->initrd, .append = c->append, .dtb = c->dtb,
        .ram_size = c->ram_size,
        .long_mode = cpu_model_has(m->cpu_model, FEAT_LM),
        .acpi = acpi, .smbios = smbios,
    };

    pc_of(m)->image = boot_image_new(&b, error);
    return pc_of(m)->image != NULL;
}

static bool fill_fw_cfg(Machine *m, const AcpiConfig *acpi, const SmbiosConfig *smbios,
                        GError **error)
{
    const MachineConfig *c = m->config;
    Device *d = pc_of(m)->fw_cfg;
    bool has_kernel = c->kernel != NULL && !direct(c);
    FirmwareConfig f = {
        .n_cpus = m->n_cpus, .ram_size = c->ram_size,
        .nographic = c->nographic || !c->graphics,
        .boot_menu = c->boot_menu, .boot_menu_wait_ms = c->boot_splash_ms,
        .s5_type = S5_TYPE, .acpi = acpi, .smbios = smbios,
        .kernel = has_kernel ? c->kernel : NULL, .initrd = has_kernel ? c->initrd : NULL,
        .append = has_kernel ? c->append : NULL,
    };

    if (!firmware_fill_fw_cfg(d, &f, error)) {
        return false;
    }
    for (guint i = 0; i < c->fw_cfg->len; i++) {
        const FwCfgConfig *u = g_ptr_array_index(c->fw_cfg, i);
        if (!firmware_add_user_file(d, u->name, u->file, u->string, error)) {
            g_prefix_error(error, "%s: ", u->option);
            return false;
        }
    }
    return true;
}

/* genroms/NAME is where SeaBIOS looks for ROMs to run. */
static bool add_option_roms(Machine *m, GError **error)
{
    enum { OPTION_ROM_MAX = 128 << 10 };
    const MachineConfig *c = m->config;

    for (guint i = 0; i < c->option_roms->len; i++) {
        const char *file = g_ptr_array_index(c->option_roms, i);
        g_autofree char *base = g_path_get_basename(file), *name = g_strconcat("genroms/", base, NULL);
        g_autoptr(GBytes) rom = firmware_read(c, file, OPTION_ROM_MAX, error);
        gsize len = 0;
        const uint8_t *data = rom != NULL ? g_bytes_get_data(rom, &len) : NULL;

        if (rom != NULL && (len < 3 || data[0] != 0x55 || data[1] != 0xaa)) {
            fail(error, "it does not begin with 55 aa: no option ROM");
            g_clear_pointer(&rom, g_bytes_unref);
        }
        if (rom == NULL || !fw_cfg_add_file(pc_of(m)->fw_cfg, name, rom, error)) {
            g_prefix_error(error, "-option-rom %s: ", file);
            return false;
        }
    }
    return true;
}

bool pc_prepare_boot(Machine *m, GError **error)
{
    Pc *pc = pc_of(m);
    AcpiConfig acpi;
    SmbiosConfig smbios;
    bool ok;

    acpi_config(m, &acpi);
    pc->pci_first = acpi.pci_mem32.first;
    pc->pci_last = acpi.pci_mem32.last;
    describe_memory(pc);
    describe_floppies(pc);
    rtc_set_nvram(pc->rtc, CMOS_CPUS, (uint8_t)(m->n_cpus - 1));
    ok = smbios_config(m->config, &smbios, error) &&
         fill_fw_cfg(m, m->config->acpi ? &acpi : NULL, &smbios, error) && add_option_roms(m, error) &&
         (!direct(m->config) ||
          load_kernel(m, m->config->acpi ? &acpi : NULL, &smbios, error));
    smbios_config_clear(&smbios);
    return ok;
}

/* Direct boot: what the firmware would have left of the PCI bus and its interrupt lines. */
static void assign_pci(Pc *pc)
{
    static const uint8_t irq[4] = {10, 10, 11, 11};
    PciAssignment a = {.mem_first = pc->pci_first, .mem_last = pc->pci_last,
                       .io_first = 0xc000, .io_last = 0xffff};

    memcpy(a.irq, irq, sizeof irq);
    for (unsigned i = 0; i < 4; i++) {
        piix3_pirq_program(pc->piix3, i, irq[i]);
    }
    pic_set_levels(pc->pic, 1 << 10 | 1 << 11);
    pci_bus_assign(pc->bus, &a);
}

bool pc_boot(Machine *m, GError **error)
{
    const MachineConfig *c = m->config;
    Pc *pc = pc_of(m);
    const char *order = c->boot_order != NULL ? c->boot_order : "cad";

    if (!pc->booted && !tell_boot_order(m, error)) {
        return false;
    }
    set_boot_order(pc, !pc->booted && c->boot_once != NULL ? c->boot_once : order);
    pc->booted = true;
    phys_mem_set_a20(m->mem, true);
    if (pc->image != NULL) {
        i440fx_open_shadow(pc->host);
        piix4_pm_program(pc->pm, PC_PM_BASE);
        assign_pci(pc);
        boot_image_place(pc->image, m->mem);
        loader_apply(&pc->image->state, m->cpus[0]);
    }
    return true;
}
