/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/loader-firmware.h"

#include "hw/acpi-pm.h"
#include "hw/e820.h"
#include "hw/fw-cfg.h"
#include "monitor/loader.h"
#include "softmmu/base/bits.h"

#include <gio/gio.h>

#define GIB (UINT64_C(1) << 30)
enum { USER_FILE_MAX = 256 << 20 };

/* -- The pc machine -------------------------------------------------------------------------------- */

void pc_acpi_config_init(AcpiConfig *c, unsigned n_cpus, uint64_t ram_size, unsigned phys_bits)
{
    uint64_t low, high;

    e820_split_ram(ram_size, &low, &high);
    *c = (AcpiConfig){
        .n_cpus = n_cpus, .pic = true, .ioapic_base = 0xfec00000,
        .level_irqs = BIT(5) | BIT(PC_SCI) | BIT(10) | BIT(11),
        .pm_base = PC_PM_BASE, .gpe0_base = PC_PM_BASE + ACPI_PM_GPE0, .gpe0_len = ACPI_PM_GPE0_LEN,
        .sci = PC_SCI, .reset_port = 0xcf9, .reset_value = 0x0f,
        .pci = true, .piix3_slot = 1,
        .i8042 = true, .rtc = true, .vga = true,
        .serial_base = {0x3f8, 0x2f8}, .serial_irq = {4, 3},
        .hpet_base = 0xfed00000, .fw_cfg_port = FW_CFG_PORT,
    };
    /* Firmware places PCI memory at 2 GiB or above RAM; without firmware Linux takes any of it. */
    c->pci_mem32 = (AcpiWindow){MAX(low, 2 * GIB), 0xfebfffff};
    uint64_t first = (4 * GIB + high + GIB - 1) & ~(GIB - 1);
    uint64_t last = MIN(BIT64(phys_bits), first + 64 * GIB) - 1;
    if (phys_bits > 32 && last > first) {
        c->pci_mem64 = (AcpiWindow){first, last};
    }
}

/* -- fw_cfg ------------------------------------------------------------------------------------------ */

static bool add_bytes(Device *d, const char *name, const void *data, size_t len, GError **error)
{
    g_autoptr(GBytes) b = g_bytes_new(data, len);

    return fw_cfg_add_file(d, name, b, error);
}

static bool add_array(Device *d, const char *name, GByteArray *a, GError **error)
{
    bool ok = add_bytes(d, name, a->data, a->len, error);

    g_byte_array_unref(a);
    return ok;
}

static bool add_acpi(Device *d, const AcpiConfig *c, GError **error)
{
    AcpiTables *t = acpi_tables_new(c);
    bool ok = add_bytes(d, "etc/acpi/tables", t->tables->data, t->tables->len, error) &&
              add_bytes(d, "etc/acpi/rsdp", t->rsdp->data, t->rsdp->len, error) &&
              add_array(d, "etc/table-loader", acpi_tables_loader_script(t), error);

    acpi_tables_free(t);
    return ok;
}

static bool add_smbios(Device *d, const SmbiosConfig *c, GError **error)
{
    GByteArray *tables, *anchor;

    smbios_build(c, 0, &tables, &anchor);
    bool ok = add_array(d, "etc/smbios/smbios-tables", tables, error);
    return add_array(d, "etc/smbios/smbios-anchor", anchor, ok ? error : NULL) && ok;
}

static bool add_e820(Device *d, uint64_t ram_size, GError **error)
{
    E820Map m;
    uint8_t out[E820_MAX * E820_PACKED_LEN];

    e820_init_ram(&m, ram_size);
    for (unsigned i = 0; i < m.n; i++) {
        e820_pack(&m.e[i], out + i * E820_PACKED_LEN);
    }
    return add_bytes(d, "etc/e820", out, m.n * E820_PACKED_LEN, error);
}

/* A file's bytes under the keys of data and size. */
static bool set_file(Device *d, const char *what, const char *path, uint64_t ram_size, uint16_t data_key,
                     uint16_t size_key, GError **error)
{
    if (path == NULL) {
        fw_cfg_set_int(d, size_key, 4, 0);
        return true;
    }
    g_autoptr(GBytes) b = loader_read_file(what, path, ram_size, error);
    if (b == NULL) {
        return false;
    }
    fw_cfg_set(d, data_key, b);
    fw_cfg_set_int(d, size_key, 4, g_bytes_get_size(b));
    return true;
}

/* A kernel in two parts, as the real-mode boot protocol places them. */
static bool set_kernel(Device *d, const FirmwareConfig *c, GError **error)
{
    enum { SETUP_ADDR = 0x10000, CMDLINE_ADDR = 0x20000, KERNEL_ADDR = 0x100000 };
    g_autoptr(GBytes) k = loader_read_file("kernel", c->kernel, c->ram_size, error);

    if (k == NULL) {
        return false;
    }
    gsize len;
    const uint8_t *p = g_bytes_get_data(k, &len);
    uint64_t setup = len > 0x210 ? ((p[0x1f1] != 0 ? p[0x1f1] : 4) + 1) * 512u : 0;
    if (len <= setup || setup == 0 || memcmp(p + 0x202, "HdrS", 4) != 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "kernel '%s': is not a bzImage", c->kernel);
        return false;
    }
    g_autoptr(GBytes) head = g_bytes_new_from_bytes(k, 0, setup);
    g_autoptr(GBytes) body = g_bytes_new_from_bytes(k, setup, len - setup);
    fw_cfg_set(d, FW_CFG_SETUP_DATA, head);
    fw_cfg_set_int(d, FW_CFG_SETUP_ADDR, 4, SETUP_ADDR);
    fw_cfg_set_int(d, FW_CFG_SETUP_SIZE, 4, setup);
    fw_cfg_set(d, FW_CFG_KERNEL_DATA, body);
    fw_cfg_set_int(d, FW_CFG_KERNEL_ADDR, 4, KERNEL_ADDR);
    fw_cfg_set_int(d, FW_CFG_KERNEL_SIZE, 4, len - setup);
    const char *append = c->append != NULL ? c->append : "";
    fw_cfg_set_string(d, FW_CFG_CMDLINE_DATA, append);
    fw_cfg_set_int(d, FW_CFG_CMDLINE_ADDR, 4, CMDLINE_ADDR);
    fw_cfg_set_int(d, FW_CFG_CMDLINE_SIZE, 4, strlen(append) + 1);
    return set_file(d, "initrd", c->initrd, c->ram_size, FW_CFG_INITRD_DATA, FW_CFG_INITRD_SIZE, error);
}

bool firmware_fill_fw_cfg(Device *d, const FirmwareConfig *c, GError **error)
{
    /* S-states: bit 7 says "there is", the rest is SLP_TYP. */
    const uint8_t states[6] = {0x80, 0, 0, 1, 2, (uint8_t)(0x80 | c->s5_type)};

    fw_cfg_set_int(d, FW_CFG_NB_CPUS, 2, c->n_cpus);
    fw_cfg_set_int(d, FW_CFG_MAX_CPUS, 2, c->n_cpus);
    fw_cfg_set_int(d, FW_CFG_RAM_SIZE, 8, c->ram_size);
    fw_cfg_set_int(d, FW_CFG_NOGRAPHIC, 2, c->nographic);
    fw_cfg_set_int(d, FW_CFG_BOOT_MENU, 2, c->boot_menu);
    fw_cfg_set_int(d, FW_CFG_NUMA, 8, 0);
    fw_cfg_set_int(d, FW_CFG_X86_IRQ0_OVERRIDE, 4, 1);
    if (c->smbios != NULL && c->smbios->has_uuid) {
        g_autoptr(GBytes) uuid = g_bytes_new(c->smbios->uuid, 16);
        fw_cfg_set(d, FW_CFG_UUID, uuid);
    }
    if (!add_e820(d, c->ram_size, error) ||
        !add_bytes(d, "etc/system-states", states, sizeof states, error)) {
        return false;
    }
    if (c->boot_menu_wait_ms != 0) {
        uint8_t ms[2];
        store_le(ms, 2, MIN(c->boot_menu_wait_ms, UINT16_MAX));
        if (!add_bytes(d, "etc/boot-menu-wait", ms, 2, error)) {
            return false;
        }
    }
    if (c->bootorder != NULL &&
        !add_bytes(d, "bootorder", c->bootorder, strlen(c->bootorder) + 1, error)) {
        return false;
    }
    return (c->acpi == NULL || add_acpi(d, c->acpi, error)) &&
           (c->smbios == NULL || add_smbios(d, c->smbios, error)) &&
           (c->kernel == NULL || set_kernel(d, c, error));
}

bool firmware_add_user_file(Device *d, const char *name, const char *file, const char *string,
                            GError **error)
{
    if (string != NULL) {
        return add_bytes(d, name, string, strlen(string), error);
    }
    g_autoptr(GBytes) b = loader_read_file("fw_cfg file", file, USER_FILE_MAX, error);
    return b != NULL && fw_cfg_add_file(d, name, b, error);
}
