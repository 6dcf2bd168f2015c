/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intel 82441FX datasheet (290549): 3.1 configuration mechanism, 3.2.18 PAM, 3.2.19 SMRAM. */
#include "hw/pci-host.h"

#include "softmmu/base/log.h"

enum { REG_PAM0 = 0x59, REG_PAM6 = 0x5f, REG_SMRAM = 0x72, N_SEGMENTS = 13 };

/* A segment's two attribute bits. */
enum { PAM_READ = 1, PAM_WRITE = 2 };

enum { SMRAM_LOCK = 0x10, SMRAM_CLOSED = 0x20, SMRAM_OPEN = 0x40, SMRAM_ENABLE = 0x08 };

typedef struct I440fx I440fx;

typedef struct {
    I440fx *host;
    uint32_t base, len;
    unsigned mode;
    PhysRegion *region;       /* NULL in mode 0 */
} Segment;

struct I440fx {
    PciDevice pci;
    I440fxConfig config;
    Segment seg[N_SEGMENTS];
    PhysRegion *smram;        /* 0xa0000-0xbffff as RAM while open */

    uint32_t address;         /* port 0xcf8 */
};

/* -- Configuration mechanism #1 ------------------------------------------------------------------ */

static uint64_t address_read(void *arg, uint64_t off, unsigned size)
{
    const I440fx *s = arg;

    return size == 4 ? s->address : mask_bytes(size); /* only whole words are decoded */
}

static void address_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    I440fx *s = arg;

    if (size == 4) {
        s->address = (uint32_t)val & 0x80fffffc;
    }
}

/* The function that the address register selects; NULL when nothing answers. */
static PciDevice *selected(const I440fx *s)
{
    bool enabled = (s->address & 0x80000000) != 0 && (s->address & 0xff0000) == 0;

    return enabled && s->config.bus != NULL ? pci_bus_find(s->config.bus, (s->address >> 8) & 0xff)
                                            : NULL;
}

static uint64_t data_read(void *arg, uint64_t off, unsigned size)
{
    I440fx *s = arg;
    PciDevice *d = selected(s);
    uint64_t val = mask_bytes(size);

    if (d != NULL) {
        val = pci_config_read(d, (s->address & 0xfc) + (unsigned)off, size);
    }
    trace(pci_config_read, "address=0x%x off=%u size=%u val=0x%x", s->address, (unsigned)off, size,
          (unsigned)val);
    return val;
}

static void data_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    I440fx *s = arg;
    PciDevice *d = selected(s);

    trace(pci_config_write, "address=0x%x off=%u size=%u val=0x%x", s->address, (unsigned)off,
          size, (unsigned)val);
    if (d != NULL) {
        pci_config_write(d, (s->address & 0xfc) + (unsigned)off, size, (uint32_t)val);
    }
}

/* -- PAM ----------------------------------------------------------------------------------------- */

static PhysMem *memory(const I440fx *s)
{
    return s->config.bus != NULL ? s->config.bus->mem : NULL;
}

/* Mode "read ROM, write RAM", by which a BIOS copies itself onto itself. */
static uint64_t shadow_read(void *arg, uint64_t off, unsigned size)
{
    return UINT64_MAX;
}

static void shadow_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    const Segment *g = arg;
    PhysMem *pm = memory(g->host);
    uint64_t at = g->host->config.ram_offset + g->base + off;

    store_le(pm->base + at, size, val);
    phys_mem_written(pm, at, size);
}

static const BusOps shadow_ops = {shadow_read, shadow_write, 8};

static void segment_set(I440fx *s, Segment *g, unsigned mode)
{
    PhysMem *pm = memory(s);

    if (g->mode == mode || pm == NULL) {
        return;
    }
    if (g->region != NULL) {
        phys_region_remove(pm, g->region);
        g->region = NULL;
    }
    g->mode = mode;
    if ((mode & PAM_READ) != 0) {
        g->region = phys_region_ram(pm, g->base, g->len, s->config.ram_offset + g->base,
                                    I440FX_PAM_PRIORITY, "pam-ram");
        phys_region_set_rom(pm, g->region, (mode & PAM_WRITE) == 0);
    } else if (mode == PAM_WRITE && g->base >= 0xe0000 && s->config.rom_offset != I440FX_NO_ROM) {
        g->region = phys_region_rom(pm, g->base, g->len, s->config.rom_offset + g->base - 0xe0000,
                                    I440FX_PAM_PRIORITY, &shadow_ops, g, "pam-shadow");
    } else if (mode == PAM_WRITE) {
        g->region = phys_region_mmio(pm, g->base, g->len, &shadow_ops, g, I440FX_PAM_PRIORITY,
                                     "pam-shadow");
    }
}

/* Segment 0 is PAM0's high nibble (64 KiB at 0xf0000); then 16 KiB each from 0xc0000, low nibble
 * first. */
static void update_pam(I440fx *s)
{
    const uint8_t *pam = s->pci.config + REG_PAM0;

    if (memory(s) == NULL) {
        return;
    }
    phys_mem_begin(memory(s));
    segment_set(s, &s->seg[0], (pam[0] >> 4) & 3);
    for (unsigned i = 1; i < N_SEGMENTS; i++) {
        segment_set(s, &s->seg[i], (pam[1 + (i - 1) / 2] >> ((i - 1) % 2 * 4)) & 3);
    }
    phys_mem_end(memory(s));
}

/* -- SMRAM --------------------------------------------------------------------------------------- */

static void update_smram(I440fx *s)
{
    uint8_t *reg = &s->pci.config[REG_SMRAM];
    PhysMem *pm = memory(s);

    if ((*reg & SMRAM_LOCK) != 0) { /* locked until reset, and not open */
        *reg &= (uint8_t)~SMRAM_OPEN;
        s->pci.writable[REG_SMRAM] = SMRAM_CLOSED;
    }
    bool open = (*reg & (SMRAM_ENABLE | SMRAM_OPEN | SMRAM_CLOSED)) == (SMRAM_ENABLE | SMRAM_OPEN);
    if (pm != NULL && open && s->smram == NULL) {
        s->smram = phys_region_ram(pm, 0xa0000, 0x20000, s->config.ram_offset + 0xa0000,
                                   I440FX_PAM_PRIORITY, "smram");
    } else if (!open && s->smram != NULL) {
        phys_region_remove(pm, s->smram);
        s->smram = NULL;
    }
}

/* -- Device -------------------------------------------------------------------------------------- */

static void config_written(PciDevice *d, unsigned off, unsigned size)
{
    I440fx *s = (I440fx *)d;

    if (off <= REG_PAM6 && off + size > REG_PAM0) {
        update_pam(s);
    }
    if (off <= REG_SMRAM && off + size > REG_SMRAM) {
        update_smram(s);
    }
}

static void i440fx_reset(Device *d)
{
    I440fx *s = (I440fx *)d;

    s->address = 0;
    s->pci.writable[REG_SMRAM] = SMRAM_ENABLE | SMRAM_LOCK | SMRAM_CLOSED | SMRAM_OPEN;
    pci_device_reset(&s->pci);
    update_pam(s);
    update_smram(s);
}

static void i440fx_destroy(Device *d)
{
    I440fx *s = (I440fx *)d;

    i440fx_reset(d); /* takes the regions away */
    pci_device_clear(&s->pci);
    g_free(s);
}

static const DeviceWindow i440fx_windows[] = {
    {"pci-config-address", WINDOW_PORT, 4, {address_read, address_write, 4}},
    {"pci-config-data", WINDOW_PORT, 4, {data_read, data_write, 4}},
};

static bool i440fx_loaded(void *state, GError **error)
{
    I440fx *s = state;

    s->address &= 0x80fffffc;
    update_pam(s);
    update_smram(s);
    return true;
}

static const Field i440fx_fields[] = {
    FIELD_STRUCT(I440fx, pci, pci_device_state), FIELD(I440fx, address),
};
static const FieldTable i440fx_state = {.version = 1, FIELDS(i440fx_fields), .loaded = i440fx_loaded};

static const DeviceClass i440fx_class = {
    .name = "i440FX",
    .help = "Intel 82441FX host bridge",
    .windows = i440fx_windows,
    .n_windows = ARRAY_LEN(i440fx_windows),
    .reset = i440fx_reset,
    .destroy = i440fx_destroy,
    .state = &i440fx_state,
};

PciDevice *i440fx_new(const I440fxConfig *c)
{
    I440fx *s = g_new0(I440fx, 1);

    pci_device_init(&s->pci, &i440fx_class,
                    &(PciIds){.vendor = 0x8086, .device = 0x1237, .subsystem_vendor = 0x1af4,
                              .subsystem = 0x1100, .class_code = 0x060000, .revision = 2});
    s->config = *c;
    for (unsigned i = 0; i < N_SEGMENTS; i++) {
        s->seg[i] = i == 0 ? (Segment){s, 0xf0000, 0x10000, 0, NULL}
                           : (Segment){s, 0xc0000 + (i - 1) * 0x4000, 0x4000, 0, NULL};
    }
    pci_config_init(&s->pci, REG_PAM0, 1, 0, 0x30);
    for (unsigned r = REG_PAM0 + 1; r <= REG_PAM6; r++) {
        pci_config_init(&s->pci, r, 1, 0, 0x33);
    }
    pci_config_init(&s->pci, REG_SMRAM, 1, 0x02, 0);
    s->pci.config_written = config_written;
    i440fx_reset(&s->pci.dev);
    return &s->pci;
}

void i440fx_open_shadow(PciDevice *d)
{
    pci_config_write(d, REG_PAM0, 1, 0x30);
    for (unsigned r = REG_PAM0 + 1; r <= REG_PAM6; r++) {
        pci_config_write(d, r, 1, 0x33);
    }
}
