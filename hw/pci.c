/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/pci.h"

#include "softmmu/base/log.h"

#include <gio/gio.h>
#include <inttypes.h>

/* -- Configuration space ------------------------------------------------------------------------- */

void pci_config_init(PciDevice *d, unsigned off, unsigned size, uint32_t value, uint32_t writable)
{
    g_assert(off + size <= PCI_CONFIG_LEN);
    store_le(d->initial + off, size, value);
    store_le(d->config + off, size, value);
    store_le(d->writable + off, size, writable);
}

void pci_device_init(PciDevice *d, const DeviceClass *cls, const PciIds *ids)
{
    *d = (PciDevice){.dev = {.cls = cls}, .cap_end = 0x40};
    pci_config_init(d, PCI_VENDOR_ID, 2, ids->vendor, 0);
    pci_config_init(d, PCI_DEVICE_ID, 2, ids->device, 0);
    pci_config_init(d, PCI_COMMAND, 2, 0,
                    PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF |
                        0x140); /* parity response, SERR#: kept, no effect */
    pci_config_init(d, PCI_REVISION, 1, ids->revision, 0);
    pci_config_init(d, PCI_CLASS, 1, ids->class_code & 0xff, 0);
    pci_config_init(d, PCI_CLASS + 1, 2, ids->class_code >> 8, 0);
    pci_config_init(d, 0x0c, 2, 0, 0xffff); /* cache line size, latency timer */
    pci_config_init(d, PCI_SUBSYSTEM_VENDOR, 2, ids->subsystem_vendor, 0);
    pci_config_init(d, PCI_SUBSYSTEM, 2, ids->subsystem, 0);
    pci_config_init(d, PCI_INTERRUPT_LINE, 1, 0, 0xff);
    pci_config_init(d, PCI_INTERRUPT_PIN, 1, ids->pin, 0);
}

unsigned pci_add_capability(PciDevice *d, uint8_t id, unsigned len)
{
    unsigned at = d->cap_end;

    g_assert(len >= 2 && at + len <= PCI_CONFIG_LEN);
    d->cap_end = (at + len + 3) & ~3u;
    pci_config_init(d, at, 1, id, 0);
    pci_config_init(d, d->cap_last != 0 ? d->cap_last + 1 : PCI_CAPABILITIES, 1, at, 0);
    d->cap_last = at;
    d->initial[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    d->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    return at;
}

/* -- BARs ---------------------------------------------------------------------------------------- */

static unsigned bar_reg(unsigned bar)
{
    return bar == PCI_BAR_ROM ? PCI_ROM_BAR : PCI_BAR0 + bar * 4;
}

static void add_bar(PciDevice *d, unsigned bar, const PciBar *b, uint32_t flag_bits)
{
    unsigned reg = bar_reg(bar);

    g_assert(bar < PCI_N_BARS && d->bar[bar].len == 0);
    g_assert(b->len >= (b->io ? 4 : 16) && (b->len & (b->len - 1)) == 0);
    g_assert(!b->is_64 || (bar < 5 && d->bar[bar + 1].len == 0));
    g_assert(b->is_64 || b->len <= BIT64(31));
    d->bar[bar] = *b;
    pci_config_init(d, reg, 4, flag_bits,
                    (uint32_t)~(b->len - 1) | (bar == PCI_BAR_ROM ? 1 : 0));
    if (b->is_64) {
        pci_config_init(d, reg + 4, 4, 0, (uint32_t)(~(b->len - 1) >> 32));
    }
}

static uint32_t memory_flags(unsigned flags)
{
    return (flags & PCI_BAR_64 ? 4u : 0) | (flags & PCI_BAR_PREFETCH ? 8u : 0);
}

void pci_add_bar(PciDevice *d, unsigned bar, const DeviceWindow *window, unsigned flags)
{
    bool io = window->kind == WINDOW_PORT;

    g_assert(!io || (flags == 0 && window->len <= 256));
    add_bar(d, bar,
            &(PciBar){.len = window->len, .io = io, .is_64 = (flags & PCI_BAR_64) != 0,
                      .prefetch = (flags & PCI_BAR_PREFETCH) != 0, .window = window,
                      .name = window->name},
            io ? 1u : memory_flags(flags));
}

void pci_add_bar_ram(PciDevice *d, unsigned bar, uint64_t offset, uint64_t len, unsigned flags,
                     const char *name)
{
    g_assert(len >= GUEST_PAGE_SIZE);
    add_bar(d, bar,
            &(PciBar){.len = len, .is_64 = (flags & PCI_BAR_64) != 0,
                      .prefetch = (flags & PCI_BAR_PREFETCH) != 0, .is_memory = true,
                      .offset = offset, .name = name},
            memory_flags(flags));
}

void pci_add_rom(PciDevice *d, uint64_t offset, uint64_t len, const char *name)
{
    g_assert(len >= GUEST_PAGE_SIZE);
    add_bar(d, PCI_BAR_ROM,
            &(PciBar){.len = len, .is_memory = true, .offset = offset, .name = name}, 0);
}

uint64_t pci_bar_addr(const PciDevice *d, unsigned bar)
{
    const PciBar *b = &d->bar[bar];
    uint64_t addr = pci_get(d, bar_reg(bar), 4);

    if (b->is_64) {
        addr |= (uint64_t)pci_get(d, bar_reg(bar) + 4, 4) << 32;
    }
    return addr & ~(b->len - 1);
}

/* True when the BAR is to answer at `addr`.  A BAR that reaches the very top of its space holds a
 * sizing pattern rather than an address; 0 is what reset leaves. */
static bool bar_decodes(const PciDevice *d, unsigned bar, uint64_t addr)
{
    const PciBar *b = &d->bar[bar];
    uint16_t command = (uint16_t)pci_get(d, PCI_COMMAND, 2);
    uint64_t last = addr + b->len - 1;

    if (d->bus == NULL || (command & (b->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) == 0 ||
        (bar == PCI_BAR_ROM && (d->config[PCI_ROM_BAR] & 1) == 0) || addr == 0 || last < addr) {
        return false;
    }
    return b->io ? last <= 0xffff : b->is_64 ? last < BIT64(52) : last < UINT32_MAX;
}

static void unmap_bar(PciDevice *d, PciBar *b)
{
    if (b->region != NULL) {
        phys_region_remove(d->bus->mem, b->region);
        b->region = NULL;
    }
    if (b->ports != NULL) {
        port_unmap(d->bus->ports, b->ports);
        b->ports = NULL;
    }
}

static void map_bar(PciDevice *d, unsigned bar, uint64_t addr)
{
    PciBar *b = &d->bar[bar];
    PhysMem *mem = d->bus->mem;

    b->addr = addr;
    if (b->io) {
        b->ports = port_map(d->bus->ports, (uint16_t)addr, (unsigned)b->len, &b->window->ops, d,
                            b->name);
    } else if (bar == PCI_BAR_ROM) {
        b->region = phys_region_rom(mem, addr, b->len, b->offset, PCI_BAR_PRIORITY, NULL, NULL,
                                    b->name);
    } else if (b->is_memory) {
        b->region = phys_region_ram(mem, addr, b->len, b->offset, PCI_BAR_PRIORITY, b->name);
    } else {
        b->region = phys_region_mmio(mem, addr, b->len, &b->window->ops, d, PCI_BAR_PRIORITY,
                                     b->name);
    }
}

static void update_bars(PciDevice *d)
{
    if (d->bus == NULL) {
        return;
    }
    phys_mem_begin(d->bus->mem);
    for (unsigned i = 0; i < PCI_N_BARS; i++) {
        PciBar *b = &d->bar[i];
        if (b->len == 0) {
            continue;
        }
        uint64_t addr = pci_bar_addr(d, i);
        bool on = bar_decodes(d, i, addr);
        if (pci_bar_mapped(d, i) && (!on || b->addr != addr)) {
            unmap_bar(d, b);
        }
        if (on && !pci_bar_mapped(d, i)) {
            trace(pci_map, "%02x.%x bar=%u addr=0x%" PRIx64 " len=0x%" PRIx64, d->devfn >> 3,
                  d->devfn & 7, i, addr, b->len);
            map_bar(d, i, addr);
        }
    }
    phys_mem_end(d->bus->mem);
}

/* -- INTx ---------------------------------------------------------------------------------------- */

/* Bring the bus's count up to date; the PIRQ that changes by it, or -1. */
static int count_intx(PciDevice *d)
{
    bool out = d->intx && (pci_get(d, PCI_COMMAND, 2) & PCI_COMMAND_INTX_OFF) == 0;
    unsigned pin = d->initial[PCI_INTERRUPT_PIN];

    d->config[PCI_STATUS] =
        (uint8_t)((d->config[PCI_STATUS] & ~PCI_STATUS_INTX) | (d->intx ? PCI_STATUS_INTX : 0));
    if (out == d->intx_out || d->bus == NULL || pin == 0) {
        return -1;
    }
    d->intx_out = out;
    unsigned pirq = d->bus->route(d->devfn >> 3, pin - 1) & 3;
    unsigned *n = &d->bus->asserted[pirq];
    *n += out ? 1 : -1;
    return *n == (out ? 1 : 0) ? (int)pirq : -1;
}

static void update_intx(PciDevice *d)
{
    int pirq = count_intx(d);

    if (pirq >= 0) {
        irq_set(&d->bus->pirq[pirq], d->intx_out);
    }
}

void pci_set_intx(PciDevice *d, bool level)
{
    if (d->intx != level) {
        d->intx = level;
        update_intx(d);
    }
}

static void intx_line_set(void *arg, unsigned line, int level)
{
    pci_set_intx(arg, level != 0);
}

IrqLine pci_intx_line(PciDevice *d)
{
    return (IrqLine){.set = intx_line_set, .arg = d};
}

/* -- Messages ------------------------------------------------------------------------------------ */

static void send_message(PciDevice *d, uint64_t addr, uint32_t data)
{
    trace(pci_msi, "%02x.%x addr=0x%" PRIx64 " data=0x%x", d->devfn >> 3, d->devfn & 7, addr, data);
    if (d->bus != NULL && d->bus->msi != NULL && pci_is_master(d)) {
        d->bus->msi(d->bus->msi_arg, addr, data);
    }
}

/* MSI (PCI 3.0, 6.8.1): control +2, address +4, upper +8, data +0xc, mask +0x10, pending +0x14. */
void pci_add_msi(PciDevice *d, unsigned n_vectors)
{
    unsigned log2 = (unsigned)__builtin_ctz(n_vectors);
    unsigned at = pci_add_capability(d, PCI_CAP_MSI, 0x18);

    g_assert(n_vectors >= 1 && n_vectors <= 32 && (n_vectors & (n_vectors - 1)) == 0);
    d->msi_cap = at;
    pci_config_init(d, at + 2, 2, 0x180 | log2 << 1, 0x71);
    pci_config_init(d, at + 4, 4, 0, 0xfffffffc);
    pci_config_init(d, at + 8, 4, 0, 0xffffffff);
    pci_config_init(d, at + 0xc, 2, 0, 0xffff);
    pci_config_init(d, at + 0x10, 4, 0, n_vectors == 32 ? UINT32_MAX : BIT(n_vectors) - 1);
}

bool pci_msi_enabled(const PciDevice *d)
{
    return d->msi_cap != 0 && (d->config[d->msi_cap + 2] & 1) != 0;
}

static void msi_send(PciDevice *d, unsigned vector)
{
    unsigned at = d->msi_cap;
    unsigned enabled = 1u << MIN((d->config[at + 2] >> 4) & 7, 5);
    uint64_t addr = pci_get(d, at + 4, 4) | (uint64_t)pci_get(d, at + 8, 4) << 32;

    send_message(d, addr, (pci_get(d, at + 0xc, 2) & ~(enabled - 1)) | (vector & (enabled - 1)));
}

void pci_msi_notify(PciDevice *d, unsigned vector)
{
    if (!pci_msi_enabled(d) || vector >= 32) {
        return;
    }
    if ((pci_get(d, d->msi_cap + 0x10, 4) & BIT(vector)) != 0) {
        pci_set(d, d->msi_cap + 0x14, 4, pci_get(d, d->msi_cap + 0x14, 4) | BIT(vector));
        return;
    }
    msi_send(d, vector);
}

static void msi_update(PciDevice *d)
{
    unsigned at = d->msi_cap;
    uint32_t ready = pci_get(d, at + 0x14, 4) & ~pci_get(d, at + 0x10, 4);

    if (!pci_msi_enabled(d)) {
        return;
    }
    pci_set(d, at + 0x14, 4, pci_get(d, at + 0x14, 4) & ~ready);
    for (unsigned v = 0; v < 32; v++) {
        if ((ready & BIT(v)) != 0) {
            msi_send(d, v);
        }
    }
}

/* MSI-X (6.8.2): control bit 15 enables, bit 14 masks all; bit 0 of an entry's last word masks. */
bool pci_msix_enabled(const PciDevice *d)
{
    return d->msix.n != 0 && (d->config[d->msix.cap + 3] & 0x80) != 0;
}

static bool msix_masked(const PciDevice *d, unsigned v)
{
    return (d->config[d->msix.cap + 3] & 0x40) != 0 || (d->msix.table[v * 16 + 12] & 1) != 0;
}

static void msix_send(PciDevice *d, unsigned v)
{
    const uint8_t *e = d->msix.table + v * 16;

    send_message(d, load_le(e, 8) & ~UINT64_C(3), (uint32_t)load_le(e + 8, 4));
}

void pci_msix_notify(PciDevice *d, unsigned v)
{
    if (!pci_msix_enabled(d) || v >= d->msix.n) {
        return;
    }
    if (msix_masked(d, v)) {
        d->msix.pending[v / 64] |= BIT64(v % 64);
    } else {
        msix_send(d, v);
    }
}

static void msix_update(PciDevice *d)
{
    for (unsigned v = 0; pci_msix_enabled(d) && v < d->msix.n; v++) {
        if ((d->msix.pending[v / 64] & BIT64(v % 64)) != 0 && !msix_masked(d, v)) {
            d->msix.pending[v / 64] &= ~BIT64(v % 64);
            msix_send(d, v);
        }
    }
}

static uint64_t msix_read(void *arg, uint64_t off, unsigned size)
{
    const PciMsix *m = &((PciDevice *)arg)->msix;

    if (off + size <= m->n * 16u) {
        return load_le(m->table + off, size);
    }
    if (off >= m->pba_off && off + size <= m->pba_off + (m->n + 63) / 64 * 8) {
        return load_le((const uint8_t *)m->pending + (off - m->pba_off), size);
    }
    return 0;
}

static void msix_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    PciDevice *d = arg;

    if (off + size > d->msix.n * 16u || size < 4) {
        return; /* the pending bits are read-only; only whole words are defined */
    }
    store_le(d->msix.table + off, size, val);
    msix_update(d);
}

static void msix_reset(PciDevice *d)
{
    memset(d->msix.table, 0, d->msix.n * 16u);
    memset(d->msix.pending, 0, (d->msix.n + 63) / 64 * 8);
    for (unsigned v = 0; v < d->msix.n; v++) {
        d->msix.table[v * 16 + 12] = 1;
    }
}

void pci_add_msix(PciDevice *d, unsigned bar, unsigned n)
{
    unsigned at = pci_add_capability(d, PCI_CAP_MSIX, 12);
    uint64_t len = 4096;

    g_assert(n >= 1 && n <= 2048);
    d->msix.pba_off = MAX(2048u, n * 16);
    while (len < d->msix.pba_off + (n + 63) / 64 * 8) {
        len *= 2;
    }
    d->msix.n = n;
    d->msix.cap = at;
    d->msix.table = g_malloc0(n * 16u);
    d->msix.pending = g_new0(uint64_t, (n + 63) / 64);
    d->msix.window = (DeviceWindow){"msix", WINDOW_MMIO, len, {msix_read, msix_write, 8}};
    msix_reset(d);
    pci_add_bar(d, bar, &d->msix.window, 0);
    pci_config_init(d, at + 2, 2, n - 1, 0xc000);
    pci_config_init(d, at + 4, 4, bar, 0);
    pci_config_init(d, at + 8, 4, d->msix.pba_off | bar, 0);
}

/* -- Configuration cycles ------------------------------------------------------------------------ */

static bool overlaps(unsigned off, unsigned size, unsigned reg, unsigned len)
{
    return off < reg + len && reg < off + size;
}

uint32_t pci_config_read(PciDevice *d, unsigned off, unsigned size)
{
    g_assert(off + size <= PCI_CONFIG_LEN);
    if (d->config_reading != NULL) {
        d->config_reading(d, off, size);
    }
    return pci_get(d, off, size);
}

void pci_config_write(PciDevice *d, unsigned off, unsigned size, uint32_t val)
{
    g_assert(off + size <= PCI_CONFIG_LEN);
    for (unsigned i = off; i < off + size; i++, val >>= 8) {
        uint8_t b = (uint8_t)val;
        d->config[i] = (uint8_t)((d->config[i] & ~d->writable[i]) | (b & d->writable[i]));
        d->config[i] &= (uint8_t)~(b & d->write1clear[i]);
    }
    if (overlaps(off, size, PCI_COMMAND, 2) || overlaps(off, size, PCI_BAR0, 24) ||
        overlaps(off, size, PCI_ROM_BAR, 4)) {
        update_bars(d);
        update_intx(d);
    }
    if (d->msi_cap != 0 && overlaps(off, size, d->msi_cap, 0x18)) {
        msi_update(d);
    }
    if (d->msix.n != 0 && overlaps(off, size, d->msix.cap, 4)) {
        msix_update(d);
    }
    if (d->config_written != NULL) {
        d->config_written(d, off, size);
    }
}

void pci_device_reset(PciDevice *d)
{
    pci_set_intx(d, false);
    memcpy(d->config, d->initial, PCI_CONFIG_LEN);
    if (d->msix.n != 0) {
        msix_reset(d);
    }
    update_bars(d);
}

void pci_device_clear(PciDevice *d)
{
    pci_set_intx(d, false);
    if (d->bus != NULL) {
        for (unsigned i = 0; i < PCI_N_BARS; i++) {
            unmap_bar(d, &d->bar[i]);
        }
        d->bus->dev[d->devfn] = NULL;
        d->bus = NULL;
    }
    g_clear_pointer(&d->msix.table, g_free);
    g_clear_pointer(&d->msix.pending, g_free);
}

/* -- Saving -------------------------------------------------------------------------------------- */

static bool pci_saving(void *state, GError **error)
{
    PciDevice *d = state;

    memcpy(d->saved, d->config, PCI_CONFIG_LEN);
    return true;
}

static bool refuse(GError **error, const char *what)
{
    g_set_error_literal(error, g_quark_from_static_string("pci"), 0, what);
    return false;
}

/* What the device sets by itself: the pending bits of MSI. */
static bool is_own(const PciDevice *d, unsigned off)
{
    return d->msi_cap != 0 && off >= d->msi_cap + 0x14u && off < d->msi_cap + 0x18u;
}

static bool pci_loaded(void *state, GError **error)
{
    PciDevice *d = state;

    if (memcmp(d->saved + PCI_VENDOR_ID, d->initial + PCI_VENDOR_ID, 4) != 0 ||
        memcmp(d->saved + PCI_REVISION, d->initial + PCI_REVISION, 4) != 0) {
        return refuse(error, "it is another PCI function");
    }
    for (unsigned i = 0; i < PCI_CONFIG_LEN; i++) {
        uint8_t mask = is_own(d, i) ? 0xff : d->writable[i] | d->write1clear[i];
        d->config[i] = (uint8_t)((d->initial[i] & ~mask) | (d->saved[i] & mask));
    }
    d->config[PCI_HEADER_TYPE] |= d->saved[PCI_HEADER_TYPE] & 0x80; /* other functions on its slot */
    if (d->intx_out && d->bus != NULL) {
        d->bus->asserted[d->bus->route(d->devfn >> 3, d->initial[PCI_INTERRUPT_PIN] - 1u) & 3]--;
    }
    d->intx_out = false;
    update_bars(d);
    count_intx(d);
    return true;
}

static const Field vector_fields[] = {{.name = "entry", .size = 16}};
static const FieldTable vector_state = {.version = 1, FIELDS(vector_fields)};
static const Field pending_fields[] = {{.name = "bits", .size = 8}};
static const FieldTable pending_state = {.version = 1, FIELDS(pending_fields)};

static void *find_vector(void *state, unsigned i, const FieldTable **table)
{
    PciMsix *m = &((PciDevice *)state)->msix;

    *table = &vector_state;
    return i < m->n ? m->table + i * 16 : NULL;
}

static void *find_pending(void *state, unsigned i, const FieldTable **table)
{
    PciMsix *m = &((PciDevice *)state)->msix;

    *table = &pending_state;
    return i < (m->n + 63) / 64 ? m->pending + i : NULL;
}

static const Field pci_fields[] = {
    FIELD(PciDevice, saved), FIELD(PciDevice, intx), FIELD_FIND("msix", find_vector), FIELD_FIND("msix-pending", find_pending),
};
const FieldTable pci_device_state = {.version = 1, FIELDS(pci_fields), .saving = pci_saving, .loaded = pci_loaded};

/* -- Bus ----------------------------------------------------------------------------------------- */

unsigned pci_route_i440fx(unsigned slot, unsigned pin)
{
    return (slot + pin + 3) & 3;
}

PciBus *pci_bus_new(PhysMem *mem, PortSpace *ports)
{
    PciBus *b = g_new0(PciBus, 1);

    b->mem = mem;
    b->ports = ports;
    b->route = pci_route_i440fx;
    return b;
}

void pci_bus_free(PciBus *b)
{
    if (b != NULL) {
        for (unsigned i = 0; i < 256; i++) {
            g_assert(b->dev[i] == NULL);
        }
        g_free(b);
    }
}

/* Function 0 of a slot with more functions has bit 7 of its header type set. */
static void mark_multifunction(PciBus *b, unsigned slot)
{
    PciDevice *first = b->dev[slot << 3];

    for (unsigned f = 1; f < 8 && first != NULL; f++) {
        if (b->dev[slot << 3 | f] != NULL) {
            pci_config_init(first, PCI_HEADER_TYPE, 1, 0x80, 0);
        }
    }
}

bool pci_bus_add(PciBus *b, PciDevice *d, int slot, unsigned function, GError **error)
{
    g_assert(d->bus == NULL && function < 8 && slot < 32);
    if (slot < 0) {
        for (slot = 0; slot < 32 && b->dev[slot << 3] != NULL; slot++) {
        }
        if (slot == 32) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "%s: no PCI slot is free",
                        d->dev.cls->name);
            return false;
        }
    }
    d->devfn = (uint8_t)(slot << 3 | (int)function);
    if (b->dev[d->devfn] != NULL) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_EXISTS, "%s: PCI slot %02x.%x is taken by %s",
                    d->dev.cls->name, slot, function, b->dev[d->devfn]->dev.cls->name);
        return false;
    }
    d->bus = b;
    b->dev[d->devfn] = d;
    mark_multifunction(b, (unsigned)slot);
    return true;
}

void pci_bus_foreach(const PciBus *b, void (*f)(const PciDevice *d, void *arg), void *arg)
{
    for (unsigned i = 0; i < 256; i++) {
        if (b->dev[i] != NULL) {
            f(b->dev[i], arg);
        }
    }
}
