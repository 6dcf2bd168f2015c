/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intel 82371AB datasheet (290562): chapter 7, power management function 3. */
#include "hw/piix4-pm.h"

enum {
    REG_PMBA = 0x40,
    REG_DEVACTB = 0x58,        /* bit 25 of it: APMC writes raise SMI# */
    REG_PMREGMISC = 0x80,
    REG_SMBBA = 0x90,
    REG_SMBHSTCFG = 0xd2,
};

enum { SMB_STATUS, SMB_CONTROL = 2, SMB_LEN = 16 };
enum { SMB_DEVICE_ERROR = 0x04, SMB_START = 0x40 };

typedef struct {
    PciDevice pci;
    Piix4Window window[PIIX4_MAX_WINDOWS];
    unsigned n_windows;

    uint8_t smb[SMB_LEN];

    PortWindow *mapped[PIIX4_MAX_WINDOWS];
    PortWindow *smb_mapped;
    uint16_t base, smb_base;   /* while mapped */
} Piix4;

/* -- SMBus host controller ----------------------------------------------------------------------- */

static uint64_t smb_read(void *arg, uint64_t off, unsigned size)
{
    return ((Piix4 *)arg)->smb[off];
}

static void smb_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Piix4 *s = arg;

    switch (off) {
    case SMB_STATUS:
        s->smb[SMB_STATUS] &= (uint8_t)~(val & 0x1e);
        break;
    case 1: /* slave status */
        break;
    case SMB_CONTROL:
        s->smb[SMB_CONTROL] = (uint8_t)val & 0x1f;
        if ((val & SMB_START) != 0) {
            s->smb[SMB_STATUS] |= SMB_DEVICE_ERROR; /* nobody acknowledged the address */
        }
        break;
    default:
        s->smb[off] = (uint8_t)val;
        break;
    }
}

static const DeviceWindow piix4_windows[] = {
    {"smbus", WINDOW_PORT, SMB_LEN, {smb_read, smb_write, 1}},
};

/* -- Placement ----------------------------------------------------------------------------------- */

static void unmap_pm(Piix4 *s)
{
    for (unsigned i = 0; i < s->n_windows; i++) {
        if (s->mapped[i] != NULL) {
            port_unmap(s->pci.bus->ports, s->mapped[i]);
            s->mapped[i] = NULL;
        }
    }
    s->base = 0;
}

static void update_pm(Piix4 *s)
{
    bool on = (s->pci.config[REG_PMREGMISC] & 1) != 0;
    uint16_t base = on ? (uint16_t)(pci_get(&s->pci, REG_PMBA, 2) & 0xffc0) : 0;

    if (s->pci.bus == NULL || base == s->base) {
        return;
    }
    unmap_pm(s);
    for (unsigned i = 0; i < s->n_windows && base != 0; i++) {
        const Piix4Window *w = &s->window[i];
        const DeviceWindow *dw = &w->dev->cls->windows[w->window];
        s->mapped[i] = port_map(s->pci.bus->ports, base + w->offset, (unsigned)dw->len, &dw->ops,
                                w->dev, dw->name);
    }
    s->base = base;
}

static void unmap_smb(Piix4 *s)
{
    if (s->smb_mapped != NULL) {
        port_unmap(s->pci.bus->ports, s->smb_mapped);
        s->smb_mapped = NULL;
    }
    s->smb_base = 0;
}

static void update_smb(Piix4 *s)
{
    bool on = (s->pci.config[REG_SMBHSTCFG] & 1) != 0;
    uint16_t base = on ? (uint16_t)(pci_get(&s->pci, REG_SMBBA, 2) & 0xfff0) : 0;

    if (s->pci.bus == NULL || base == s->smb_base) {
        return;
    }
    unmap_smb(s);
    if (base != 0) {
        s->smb_mapped = port_map(s->pci.bus->ports, base, SMB_LEN, &piix4_windows[0].ops, s,
                                 piix4_windows[0].name);
    }
    s->smb_base = base;
}

static void config_written(PciDevice *d, unsigned off, unsigned size)
{
    update_pm((Piix4 *)d);
    update_smb((Piix4 *)d);
}

/* -- Device -------------------------------------------------------------------------------------- */

static void piix4_reset(Device *d)
{
    Piix4 *s = (Piix4 *)d;

    pci_device_reset(&s->pci);
    memset(s->smb, 0, sizeof s->smb);
    update_pm(s);
    update_smb(s);
}

static void piix4_destroy(Device *d)
{
    Piix4 *s = (Piix4 *)d;

    unmap_pm(s);
    unmap_smb(s);
    pci_device_clear(&s->pci);
    g_free(s);
}

static bool piix4_loaded(void *state, GError **error)
{
    update_pm(state);
    update_smb(state);
    return true;
}

static const Field piix4_fields[] = {
    FIELD_STRUCT(Piix4, pci, pci_device_state), FIELD(Piix4, smb),
};
static const FieldTable piix4_state = {.version = 1, FIELDS(piix4_fields), .loaded = piix4_loaded};

static const DeviceClass piix4_class = {
    .name = "PIIX4_PM",
    .help = "Intel 82371AB power management",
    .windows = piix4_windows,
    .n_windows = ARRAY_LEN(piix4_windows),
    .reset = piix4_reset,
    .destroy = piix4_destroy,
    .state = &piix4_state,
};

PciDevice *piix4_pm_new(const Piix4Window *windows, unsigned n)
{
    Piix4 *s = g_new0(Piix4, 1);

    g_assert(n <= PIIX4_MAX_WINDOWS);
    pci_device_init(&s->pci, &piix4_class,
                    &(PciIds){.vendor = 0x8086, .device = 0x7113, .subsystem_vendor = 0x1af4,
                              .subsystem = 0x1100, .class_code = 0x068000, .revision = 3,
                              .pin = 1});
    for (unsigned i = 0; i < n; i++) {
        const DeviceWindow *dw = &windows[i].dev->cls->windows[windows[i].window];
        g_assert(dw->kind == WINDOW_PORT && windows[i].offset + dw->len <= 64);
        s->window[i] = windows[i];
    }
    s->n_windows = n;
    pci_config_init(&s->pci, PCI_INTERRUPT_LINE, 1, 9, 0); /* the SCI, fixed */
    pci_config_init(&s->pci, REG_PMBA, 4, 1, 0xffc0);
    /* There is no SMM: say that somebody has set APMC's SMI# up already, which keeps firmware from
     * waiting for one. */
    pci_config_init(&s->pci, REG_DEVACTB, 4, BIT(25), 0);
    pci_config_init(&s->pci, REG_PMREGMISC, 1, 0, 1);
    pci_config_init(&s->pci, REG_SMBBA, 4, 1, 0xfff0);
    pci_config_init(&s->pci, REG_SMBHSTCFG, 1, 0, 0x0f);
    s->pci.config_written = config_written;
    return &s->pci;
}

void piix4_pm_program(PciDevice *d, uint16_t base)
{
    pci_config_write(d, REG_PMBA, 4, base);
    pci_config_write(d, REG_PMREGMISC, 1, 1);
}
