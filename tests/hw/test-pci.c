/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI bus, i440FX, PIIX3 and PIIX4 as a guest sees them: through ports and memory. */
#include "hw/pci-assign.h"
#include "hw/pci-host.h"
#include "hw/pci.h"
#include "hw/piix3-isa.h"
#include "hw/piix4-pm.h"
#include "tests/fake.h"

#include <check.h>

enum { MEM_LEN = 32 << 20, BAR_RAM_OFFSET = 16 << 20, ROM_OFFSET = 24 << 20 };

/* -- A machine ----------------------------------------------------------------------------------- */

static Lock lock;
static PhysMem *mem;
static PortSpace *ports;
static PciBus *bus;
static PciDevice *host;
static FakeIrq pirq[4];
static struct {
    unsigned n;
    uint64_t addr;
    uint32_t data;
} msi;

static void take_msi(void *arg, uint64_t addr, uint32_t data)
{
    msi.n++;
    msi.addr = addr;
    msi.data = data;
}

static void map_device_port(Device *d, unsigned w, uint16_t base)
{
    const DeviceWindow *dw = &d->cls->windows[w];

    port_map(ports, base, (unsigned)dw->len, &dw->ops, d, dw->name);
}

static void setup(void)
{
    memset(&msi, 0, sizeof msi);
    memset(pirq, 0, sizeof pirq);
    lock_init(&lock, LOCK_RANK_MACHINE);
    mem = phys_mem_new(MEM_LEN, &lock, NULL);
    ck_assert_ptr_nonnull(mem);
    phys_mem_alloc(mem, MEM_LEN);
    ports = port_space_new(&lock);
    lock_take(&lock);
    phys_region_ram(mem, 0, 0xa0000, 0, 0, "low");
    phys_region_ram(mem, 0x100000, 0x700000, 0x100000, 0, "ram");
    phys_region_rom(mem, 0xe0000, 0x20000, ROM_OFFSET, 0, NULL, NULL, "bios");
    bus = pci_bus_new(mem, ports);
    for (unsigned i = 0; i < 4; i++) {
        bus->pirq[i] = FAKE_IRQ_LINE(&pirq[i]);
    }
    bus->msi = take_msi;
    host = i440fx_new(&(I440fxConfig){bus, 0, ROM_OFFSET});
    ck_assert(pci_bus_add(bus, host, 0, 0, NULL));
    map_device_port(&host->dev, I440FX_WINDOW_ADDRESS, 0xcf8);
    map_device_port(&host->dev, I440FX_WINDOW_DATA, 0xcfc);
}

static void teardown(void)
{
    device_free(&host->dev);
    pci_bus_free(bus);
    lock_release(&lock);
    port_space_free(ports);
    phys_mem_free(mem);
    lock_clear(&lock);
}

static uint32_t cfg_read(unsigned devfn, unsigned off, unsigned size)
{
    port_write(ports, 0xcf8, 4, 0x80000000 | devfn << 8 | (off & 0xfc));
    return port_read(ports, (uint16_t)(0xcfc + (off & 3)), size);
}

static void cfg_write(unsigned devfn, unsigned off, unsigned size, uint32_t val)
{
    port_write(ports, 0xcf8, 4, 0x80000000 | devfn << 8 | (off & 0xfc));
    port_write(ports, (uint16_t)(0xcfc + (off & 3)), size, val);
}

/* -- A device with every kind of BAR ------------------------------------------------------------- */

typedef struct {
    PciDevice pci;
    uint64_t last;
} Toy;

static uint64_t toy_read(void *arg, uint64_t off, unsigned size)
{
    return 0x40 + off;
}

static void toy_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    ((Toy *)arg)->last = off << 32 | val;
}

static void toy_reset(Device *d) { pci_device_reset((PciDevice *)d); }

static void toy_destroy(Device *d)
{
    pci_device_clear((PciDevice *)d);
    g_free(d);
}

static const DeviceWindow toy_windows[] = {
    {"toy-io", WINDOW_PORT, 32, {toy_read, toy_write, 4}},
    {"toy-mmio", WINDOW_MMIO, 0x2000, {toy_read, toy_write, 4}},
    {"toy-mmio64", WINDOW_MMIO, 0x4000, {toy_read, toy_write, 4}},
};
static const DeviceClass toy_class = {.name = "toy", .windows = toy_windows, .n_windows = 3,
                                      .reset = toy_reset, .destroy = toy_destroy};

static Toy *toy_new(unsigned pin)
{
    Toy *t = g_new0(Toy, 1);

    pci_device_init(&t->pci, &toy_class,
                    &(PciIds){.vendor = 0x1234, .device = 0x5678, .class_code = 0x020304,
                              .revision = 9, .pin = (uint8_t)pin});
    pci_add_bar(&t->pci, 0, &toy_windows[0], 0);
    pci_add_bar(&t->pci, 1, &toy_windows[1], 0);
    pci_add_bar(&t->pci, 2, &toy_windows[2], PCI_BAR_64 | PCI_BAR_PREFETCH);
    pci_add_bar_ram(&t->pci, 4, BAR_RAM_OFFSET, 0x100000, 0, "toy-ram");
    pci_add_rom(&t->pci, BAR_RAM_OFFSET + 0x100000, 0x10000, "toy-rom");
    return t;
}

enum { TOY = 3 << 3 };

static Toy *toy_on_bus(unsigned pin)
{
    Toy *t = toy_new(pin);

    ck_assert(pci_bus_add(bus, &t->pci, 3, 0, NULL));
    return t;
}

/* -- Configuration space ------------------------------------------------------------------------- */

START_TEST(configuration_is_read_by_bytes_words_and_absent_functions_are_ones)
{
    Toy *t = toy_on_bus(1);

    ck_assert_uint_eq(cfg_read(0, 0, 4), 0x12378086);
    ck_assert_uint_eq(cfg_read(TOY, 0, 4), 0x56781234);
    ck_assert_uint_eq(cfg_read(TOY, 2, 2), 0x5678);
    ck_assert_uint_eq(cfg_read(TOY, 3, 1), 0x56);
    ck_assert_uint_eq(cfg_read(TOY, 8, 4), 0x02030409);
    ck_assert_uint_eq(cfg_read(TOY + 1, 0, 4), 0xffffffff);
    ck_assert_uint_eq(cfg_read(0xf8, 0, 2), 0xffff);
    port_write(ports, 0xcf8, 4, 0x80010000);      /* bus 1 */
    ck_assert_uint_eq(port_read(ports, 0xcfc, 4), 0xffffffff);
    port_write(ports, 0xcf8, 4, 0);               /* not enabled */
    ck_assert_uint_eq(port_read(ports, 0xcfc, 4), 0xffffffff);
    port_write(ports, 0xcf8, 4, 0x80001804);
    port_write(ports, 0xcf8, 1, 0x00);            /* a byte write is not for the register */
    ck_assert_uint_eq(port_read(ports, 0xcf8, 4), 0x80001804);
    device_free(&t->pci.dev);
    ck_assert_uint_eq(cfg_read(TOY, 0, 4), 0xffffffff);
}
END_TEST

START_TEST(read_only_registers_stay)
{
    Toy *t = toy_on_bus(1);

    for (unsigned off = 0; off < 256; off += 4) {
        cfg_write(TOY, off, 4, 0xffffffff);
    }
    ck_assert_uint_eq(cfg_read(TOY, 0, 4), 0x56781234);
    ck_assert_uint_eq(cfg_read(TOY, 8, 4), 0x02030409);
    ck_assert_uint_eq(cfg_read(TOY, 0x3d, 1), 1);
    ck_assert_uint_eq(cfg_read(TOY, 0x3c, 1), 0xff);
    device_reset(&t->pci.dev);
    ck_assert_uint_eq(cfg_read(TOY, 0x3c, 1), 0);
    ck_assert_uint_eq(cfg_read(TOY, 4, 2), 0);
    device_free(&t->pci.dev);
}
END_TEST

START_TEST(bars_tell_their_size)
{
    static const struct { unsigned reg; uint32_t want; } c[] = {
        {0x10, 0xffffffe1}, {0x14, 0xffffe000}, {0x18, 0xffffc00c}, {0x1c, 0xffffffff},
        {0x20, 0xfff00000}, {0x24, 0},          {0x30, 0xffff0001},
    };
    Toy *t = toy_on_bus(1);

    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        cfg_write(TOY, c[i].reg, 4, 0xffffffff);
        ck_assert_uint_eq(cfg_read(TOY, c[i].reg, 4), c[i].want);
    }
    cfg_write(TOY, 4, 2, 3); /* sizing patterns are not addresses */
    for (unsigned i = 0; i < PCI_N_BARS; i++) {
        ck_assert(!pci_bar_mapped(&t->pci, i) || i == 2);
    }
    device_free(&t->pci.dev);
}
END_TEST

START_TEST(bars_follow_command_and_address)
{
    Toy *t = toy_on_bus(1);

    cfg_write(TOY, 0x10, 4, 0xc000);
    cfg_write(TOY, 0x14, 4, 0xfe000000);
    cfg_write(TOY, 0x18, 4, 0);
    cfg_write(TOY, 0x1c, 4, 0x40);               /* 256 GiB */
    cfg_write(TOY, 0x20, 4, 0xfd000000);
    cfg_write(TOY, 0x30, 4, 0xfc000001);
    ck_assert_uint_eq(port_read(ports, 0xc004, 1), 0xff);
    cfg_write(TOY, 4, 2, PCI_COMMAND_IO);
    ck_assert_uint_eq(port_read(ports, 0xc004, 1), 0x44);
    ck_assert_uint_eq(phys_read(mem, guest_phys(0xfe000010), 4), 0xffffffff);
    cfg_write(TOY, 4, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    ck_assert_uint_eq(phys_read(mem, guest_phys(0xfe000010), 4), 0x50);
    ck_assert_uint_eq(phys_read(mem, guest_phys(0x4000000020), 4), 0x60);
    phys_write(mem, guest_phys(0xfe000018), 4, 0x1111);
    ck_assert_uint_eq(t->last, UINT64_C(0x18) << 32 | 0x1111);
    phys_write(mem, guest_phys(0xfd000100), 4, 0xabcd);
    ck_assert_uint_eq(load_le(mem->base + BAR_RAM_OFFSET + 0x100, 4), 0xabcd);
    store_le(mem->base + BAR_RAM_OFFSET + 0x100000, 2, 0xaa55);
    ck_assert_uint_eq(phys_read(mem, guest_phys(0xfc000000), 2), 0xaa55);
    phys_write(mem, guest_phys(0xfc000000), 2, 0);
    ck_assert_uint_eq(phys_read(mem, guest_phys(0xfc000000), 2), 0xaa55);
    cfg_write(TOY, 0x14, 4, 0xfe800000);         /* move */
    ck_assert_uint_eq(phys_read(mem, guest_phys(0xfe000010), 4), 0xffffffff);
    ck_assert_uint_eq(phys_read(mem, guest_phys(0xfe800010), 4), 0x50);
    cfg_write(TOY, 0x14, 4, 0x200000);           /* over RAM: RAM stays */
    phys_write(mem, guest_phys(0x200000), 4, 0x77);
    ck_assert_uint_eq(phys_read(mem, guest_phys(0x200000), 4), 0x77);
    device_reset(&t->pci.dev);
    ck_assert_uint_eq(phys_read(mem, guest_phys(0xfd000100), 4), 0xffffffff);
    ck_assert_uint_eq(port_read(ports, 0xc004, 1), 0xff);
    device_free(&t->pci.dev);
}
END_TEST

/* -- Interrupts ---------------------------------------------------------------------------------- */

START_TEST(intx_lines_are_shared_by_level)
{
    Toy *a = toy_on_bus(1), *b = toy_new(1);

    ck_assert(pci_bus_add(bus, &b->pci, 7, 0, NULL)); /* slots 3 and 7 share PIRQ C */
    pci_set_intx(&a->pci, true);
    ck_assert_int_eq(pirq[2].level, 1);
    ck_assert_uint_eq(cfg_read(TOY, 6, 2) & 8, 8);
    pci_set_intx(&b->pci, true);
    pci_set_intx(&a->pci, false);
    ck_assert_int_eq(pirq[2].level, 1);
    cfg_write(7 << 3, 4, 2, PCI_COMMAND_INTX_OFF);
    ck_assert_int_eq(pirq[2].level, 0);
    ck_assert_uint_eq(cfg_read(7 << 3, 6, 2) & 8, 8);
    cfg_write(7 << 3, 4, 2, 0);
    ck_assert_int_eq(pirq[2].level, 1);
    device_free(&b->pci.dev);
    ck_assert_int_eq(pirq[2].level, 0);
    device_free(&a->pci.dev);
}
END_TEST

START_TEST(msi_is_sent_and_kept_while_masked)
{
    Toy *t = toy_new(0);

    pci_add_msi(&t->pci, 4);
    ck_assert(pci_bus_add(bus, &t->pci, 3, 0, NULL));
    unsigned at = cfg_read(TOY, 0x34, 1);
    ck_assert_uint_eq(cfg_read(TOY, at, 1), PCI_CAP_MSI);
    cfg_write(TOY, 4, 2, PCI_COMMAND_MASTER);
    cfg_write(TOY, at + 4, 4, 0xfee01000);
    cfg_write(TOY, at + 0xc, 2, 0x4040);
    pci_msi_notify(&t->pci, 0);
    ck_assert_uint_eq(msi.n, 0);
    cfg_write(TOY, at + 2, 2, 0x21);              /* enable, 4 vectors */
    pci_msi_notify(&t->pci, 3);
    ck_assert_uint_eq(msi.n, 1);
    ck_assert_uint_eq(msi.addr, 0xfee01000);
    ck_assert_uint_eq(msi.data, 0x4043);
    cfg_write(TOY, at + 0x10, 4, 2);
    pci_msi_notify(&t->pci, 1);
    ck_assert_uint_eq(msi.n, 1);
    ck_assert_uint_eq(cfg_read(TOY, at + 0x14, 4), 2);
    cfg_write(TOY, at + 0x10, 4, 0);
    ck_assert_uint_eq(msi.n, 2);
    ck_assert_uint_eq(msi.data, 0x4041);
    device_free(&t->pci.dev);
}
END_TEST

START_TEST(msix_is_sent_and_kept_while_masked)
{
    Toy *t = toy_new(0);

    pci_add_msix(&t->pci, 5, 3);
    ck_assert(pci_bus_add(bus, &t->pci, 3, 0, NULL));
    unsigned at = cfg_read(TOY, 0x34, 1);
    ck_assert_uint_eq(cfg_read(TOY, at, 1), PCI_CAP_MSIX);
    ck_assert_uint_eq(cfg_read(TOY, at + 2, 2), 2);
    ck_assert_uint_eq(cfg_read(TOY, at + 4, 4) & 7, 5);
    uint32_t pba = cfg_read(TOY, at + 8, 4) & ~7u;
    cfg_write(TOY, 0x24, 4, 0xfe900000);
    cfg_write(TOY, 4, 2, PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
    phys_write(mem, guest_phys(0xfe900020), 8, 0xfee02000);
    phys_write(mem, guest_phys(0xfe900028), 4, 0x51);
    cfg_write(TOY, at + 2, 2, 0x8000);
    pci_msix_notify(&t->pci, 2);                  /* masked since reset */
    pci_msix_notify(&t->pci, 9);                  /* no such vector */
    ck_assert_uint_eq(msi.n, 0);
    ck_assert_uint_eq(phys_read(mem, guest_phys(0xfe900000 + pba), 8), 4);
    phys_write(mem, guest_phys(0xfe90002c), 4, 0);
    ck_assert_uint_eq(msi.n, 1);
    ck_assert_uint_eq(msi.addr, 0xfee02000);
    ck_assert_uint_eq(msi.data, 0x51);
    ck_assert_uint_eq(phys_read(mem, guest_phys(0xfe900000 + pba), 8), 0);
    cfg_write(TOY, at + 2, 2, 0xc000);            /* function mask */
    pci_msix_notify(&t->pci, 2);
    ck_assert_uint_eq(msi.n, 1);
    cfg_write(TOY, at + 2, 2, 0x8000);
    ck_assert_uint_eq(msi.n, 2);
    device_free(&t->pci.dev);
}
END_TEST

START_TEST(slots_are_found_refused_and_become_multifunction)
{
    Toy *a = toy_new(1), *b = toy_new(1), *c = toy_new(1);
    GError *error = NULL;

    ck_assert(pci_bus_add(bus, &a->pci, -1, 0, NULL));
    ck_assert_uint_eq(a->pci.devfn, 1 << 3);
    ck_assert(!pci_bus_add(bus, &b->pci, 1, 0, &error));
    ck_assert_str_eq(error->message, "toy: PCI slot 01.0 is taken by toy");
    g_error_free(error);
    ck_assert_uint_eq(cfg_read(1 << 3, 0xe, 1), 0);
    ck_assert(pci_bus_add(bus, &c->pci, 1, 2, NULL));
    ck_assert_uint_eq(cfg_read(1 << 3, 0xe, 1), 0x80);
    ck_assert_uint_eq(cfg_read(1 << 3 | 2, 0xe, 1), 0);
    device_free(&a->pci.dev);
    device_free(&b->pci.dev);
    device_free(&c->pci.dev);
}
END_TEST

/* -- i440FX -------------------------------------------------------------------------------------- */

/* Guest address, PAM register, shift of its two bits. */
static const struct { uint32_t addr; unsigned reg, shift; } segments[] = {
    {0xf0000, 0x59, 4}, {0xc0000, 0x5a, 0}, {0xc4000, 0x5a, 4}, {0xc8000, 0x5b, 0},
    {0xcc000, 0x5b, 4}, {0xd0000, 0x5c, 0}, {0xd4000, 0x5c, 4}, {0xd8000, 0x5d, 0},
    {0xdc000, 0x5d, 4}, {0xe0000, 0x5e, 0}, {0xe4000, 0x5e, 4}, {0xe8000, 0x5f, 0},
    {0xec000, 0x5f, 4},
};

START_TEST(pam_switches_each_segment_between_rom_and_ram)
{
    uint32_t a = segments[_i].addr;
    bool bios = a >= 0xe0000;
    uint32_t rom = bios ? 0x11 : 0xff;
    GuestPhys p = guest_phys(a + 8);

    if (bios) {
        mem->base[ROM_OFFSET + a - 0xe0000 + 8] = 0x11;
    }
    mem->base[a + 8] = 0x22;
    phys_write(mem, p, 1, 0x33);
    ck_assert_uint_eq(phys_read(mem, p, 1), rom);
    cfg_write(0, segments[_i].reg, 1, 2u << segments[_i].shift);   /* write only */
    phys_write(mem, p, 1, 0x44);
    ck_assert_uint_eq(phys_read(mem, p, 1), rom);
    ck_assert_uint_eq(mem->base[a + 8], 0x44);
    cfg_write(0, segments[_i].reg, 1, 1u << segments[_i].shift);   /* read only */
    phys_write(mem, p, 1, 0x55);
    ck_assert_uint_eq(phys_read(mem, p, 1), 0x44);
    cfg_write(0, segments[_i].reg, 1, 3u << segments[_i].shift);   /* both */
    phys_write(mem, p, 1, 0x66);
    ck_assert_uint_eq(phys_read(mem, p, 1), 0x66);
    device_reset(&host->dev);
    ck_assert_uint_eq(phys_read(mem, p, 1), rom);
    ck_assert_uint_eq(mem->base[a + 8], 0x66);
}
END_TEST

START_TEST(smram_opens_closes_and_locks)
{
    GuestPhys p = guest_phys(0xa8000);

    ck_assert_uint_eq(cfg_read(0, 0x72, 1), 0x02);
    cfg_write(0, 0x72, 1, 0x4a);
    phys_write(mem, p, 4, 0x1234);
    ck_assert_uint_eq(phys_read(mem, p, 4), 0x1234);
    cfg_write(0, 0x72, 1, 0x0a);
    ck_assert_uint_eq(phys_read(mem, p, 4), 0xffffffff);
    cfg_write(0, 0x72, 1, 0x5a);                  /* lock wins over open */
    cfg_write(0, 0x72, 1, 0x4a);
    ck_assert_uint_eq(cfg_read(0, 0x72, 1), 0x1a);
    ck_assert_uint_eq(phys_read(mem, p, 4), 0xffffffff);
    device_reset(&host->dev);
    ck_assert_uint_eq(cfg_read(0, 0x72, 1), 0x02);
}
END_TEST

START_TEST(shadow_can_be_opened_for_boots_without_firmware)
{
    i440fx_open_shadow(host);
    for (uint32_t a = 0xc0000; a < 0x100000; a += 0x1000) {
        phys_write(mem, guest_phys(a), 4, a);
        ck_assert_uint_eq(phys_read(mem, guest_phys(a), 4), a);
    }
}
END_TEST

/* -- PIIX ---------------------------------------------------------------------------------------- */

static unsigned n_resets;

static void count_reset(void *arg)
{
    n_resets++;
}

START_TEST(piix3_routes_pirqs_and_resets)
{
    FakeIrq irq[16] = {0};
    Piix3Config c = {.reset = count_reset};

    for (unsigned i = 0; i < 16; i++) {
        c.irq[i] = FAKE_IRQ_LINE(&irq[i]);
    }
    PciDevice *isa = piix3_isa_new(&c);
    ck_assert(pci_bus_add(bus, isa, 1, 0, NULL));
    for (unsigned i = 0; i < 4; i++) {
        bus->pirq[i] = piix3_pirq_line(isa, i);
    }
    map_device_port(&isa->dev, 0, 0xcf9);
    Toy *t = toy_on_bus(1);                       /* PIRQ C */
    pci_set_intx(&t->pci, true);
    for (unsigned i = 0; i < 16; i++) {
        ck_assert_int_eq(irq[i].level, 0);
    }
    cfg_write(8, 0x62, 1, 11);
    ck_assert_int_eq(irq[11].level, 1);
    ck_assert_int_eq(piix3_pirq_route(isa, 2), 11);
    cfg_write(8, 0x62, 1, 10);
    ck_assert_int_eq(irq[11].level, 0);
    ck_assert_int_eq(irq[10].level, 1);
    cfg_write(8, 0x60, 1, 10);                    /* shared with an idle PIRQ */
    ck_assert_int_eq(irq[10].level, 1);
    cfg_write(8, 0x62, 1, 0x80);
    ck_assert_int_eq(irq[10].level, 0);
    n_resets = 0;
    port_write(ports, 0xcf9, 1, 2);
    ck_assert_uint_eq(n_resets, 0);
    port_write(ports, 0xcf9, 1, 6);
    ck_assert_uint_eq(n_resets, 1);
    ck_assert_uint_eq(port_read(ports, 0xcf9, 1), 6);
    ck_assert_uint_eq(cfg_read(8, 0, 4), 0x70008086); /* 0xcf8 still works below it */
    device_free(&t->pci.dev);
    device_free(&isa->dev);
    memset(bus->pirq, 0, sizeof bus->pirq);
}
END_TEST

START_TEST(piix4_places_the_acpi_registers)
{
    static const DeviceWindow w[] = {{"acpi", WINDOW_PORT, 16, {toy_read, toy_write, 4}}};
    static const DeviceClass cls = {.name = "acpi", .windows = w, .n_windows = 1};
    Device acpi = {.cls = &cls};
    PciDevice *pm = piix4_pm_new(&(Piix4Window){&acpi, 0, 0}, 1);

    ck_assert(pci_bus_add(bus, pm, 1, 3, NULL));
    ck_assert_uint_eq(cfg_read(0xb, 0, 4), 0x71138086);
    cfg_write(0xb, 0x40, 4, 0x601);
    ck_assert_uint_eq(cfg_read(0xb, 0x40, 4), 0x601);
    ck_assert_uint_eq(port_read(ports, 0x608, 4), 0xffffffff);
    cfg_write(0xb, 0x80, 1, 1);
    ck_assert_uint_eq(port_read(ports, 0x608, 4), 0x48);
    cfg_write(0xb, 0x90, 4, 0x700);
    cfg_write(0xb, 0xd2, 1, 0x09);
    ck_assert_uint_eq(port_read(ports, 0x700, 1), 0);
    port_write(ports, 0x702, 1, 0x48);            /* byte data, start */
    ck_assert_uint_eq(port_read(ports, 0x700, 1), 0x04);
    port_write(ports, 0x700, 1, 0xff);
    ck_assert_uint_eq(port_read(ports, 0x700, 1), 0);
    device_reset(&pm->dev);
    ck_assert_uint_eq(port_read(ports, 0x608, 4), 0xffffffff);
    ck_assert_uint_eq(port_read(ports, 0x700, 1), 0xff);
    piix4_pm_program(pm, 0x600);
    ck_assert_uint_eq(port_read(ports, 0x608, 4), 0x48);
    device_free(&pm->dev);
    ck_assert_uint_eq(port_read(ports, 0x608, 4), 0xffffffff);
}
END_TEST

START_TEST(a_bus_without_firmware_gets_addresses_that_do_not_overlap)
{
    const PciAssignment a = {.mem_first = 0x80001000, .mem_last = 0x9fffffff, .io_first = 0xc000,
                             .io_last = 0xffff, .irq = {10, 10, 11, 5}};
    Toy *t[2] = {toy_on_bus(1), toy_new(2)};

    bus->route = pci_route_i440fx;
    ck_assert(pci_bus_add(bus, &t[1]->pci, 5, 0, NULL));
    for (unsigned round = 0; round < 2; round++) {
        pci_bus_assign(bus, &a);
        for (unsigned i = 0; i < 2 * PCI_N_BARS; i++) {
            const PciDevice *d = &t[i / PCI_N_BARS]->pci;
            const PciBar *b = &d->bar[i % PCI_N_BARS];
            uint64_t addr = pci_bar_addr(d, i % PCI_N_BARS);
            if (b->len == 0) {
                continue;
            }
            ck_assert(addr % b->len == 0 && addr >= (b->io ? a.io_first : a.mem_first) &&
                      addr + b->len - 1 <= (b->io ? a.io_last : a.mem_last));
            ck_assert(pci_bar_mapped(d, i % PCI_N_BARS) == (i % PCI_N_BARS != PCI_BAR_ROM));
            for (unsigned j = 0; j < i; j++) {
                const PciDevice *e = &t[j / PCI_N_BARS]->pci;
                const PciBar *c = &e->bar[j % PCI_N_BARS];
                uint64_t other = pci_bar_addr(e, j % PCI_N_BARS);
                ck_assert(c->len == 0 || c->io != b->io || other + c->len <= addr ||
                          addr + b->len <= other);
            }
        }
        ck_assert_uint_eq(cfg_read(TOY, PCI_INTERRUPT_LINE, 1), 11);   /* slot 3, INTA: PIRQ C */
        ck_assert_uint_eq(cfg_read(5 << 3, PCI_INTERRUPT_LINE, 1), 10); /* slot 5, INTB: PIRQ B */
        device_reset(&t[0]->pci.dev);
        device_reset(&t[1]->pci.dev);
    }
    /* what does not fit stays unassigned */
    pci_bus_assign(bus, &(PciAssignment){.mem_first = 0x80000000, .mem_last = 0x8017ffff});
    ck_assert_uint_ne(pci_bar_addr(&t[0]->pci, 4), 0);
    ck_assert_uint_eq(pci_bar_addr(&t[1]->pci, 4), 0);
    ck_assert_uint_eq(pci_bar_addr(&t[0]->pci, 0), 0);
    device_free(&t[0]->pci.dev);
    device_free(&t[1]->pci.dev);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pci");
    TCase *tc = tcase_create("pci");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, configuration_is_read_by_bytes_words_and_absent_functions_are_ones);
    tcase_add_test(tc, read_only_registers_stay);
    tcase_add_test(tc, bars_tell_their_size);
    tcase_add_test(tc, bars_follow_command_and_address);
    tcase_add_test(tc, intx_lines_are_shared_by_level);
    tcase_add_test(tc, msi_is_sent_and_kept_while_masked);
    tcase_add_test(tc, msix_is_sent_and_kept_while_masked);
    tcase_add_test(tc, slots_are_found_refused_and_become_multifunction);
    tcase_add_loop_test(tc, pam_switches_each_segment_between_rom_and_ram, 0, ARRAY_LEN(segments));
    tcase_add_test(tc, smram_opens_closes_and_locks);
    tcase_add_test(tc, shadow_can_be_opened_for_boots_without_firmware);
    tcase_add_test(tc, piix3_routes_pirqs_and_resets);
    tcase_add_test(tc, piix4_places_the_acpi_registers);
    tcase_add_test(tc, a_bus_without_firmware_gets_addresses_that_do_not_overlap);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
