/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The differentiated system description table: the machine's name space. */
#include "hw/acpi-aml.h"
#include "hw/acpi-tables.h"

#include "softmmu/base/bits.h"

enum { STA_HIDDEN = 0x0b, STA_LINK_OFF = 0x09 }; /* present, working, not shown; enabled is 2 */

/* -- PCI interrupt links ------------------------------------------------------------------------ */

/*
 * The PIIX3 has no GSIs above 15: its four PIRQ lines go to ISA interrupts chosen by the registers
 * 60h-63h (bit 7: disabled), in PIC and in APIC mode alike.  So all routing goes through link
 * devices, which read and write these registers.
 */
static const uint32_t link_choices[] = {5, 10, 11};

static void add_link_device(Aml *a, unsigned n)
{
    char name[] = "LNKA", reg[] = "PRQ0";

    name[3] = (char)('A' + n);
    reg[3] = (char)('0' + n);
    aml_begin_device(a, name);
    aml_name_eisaid(a, "_HID", "PNP0C0F");
    aml_name_int(a, "_UID", n + 1);
    aml_name(a, "_PRS");
    aml_begin_resources(a);
    aml_res_interrupt(a, link_choices, ARRAY_LEN(link_choices), true);
    aml_end_resources(a);
    aml_begin_method(a, "_STA", 0, false);
    aml_begin_if(a);
    aml_op(a, AML_AND), aml_path(a, reg), aml_int(a, 0x80), aml_int(a, 0);
    aml_op(a, AML_RETURN), aml_int(a, STA_LINK_OFF);
    aml_end(a);
    aml_op(a, AML_RETURN), aml_int(a, STA_HIDDEN);
    aml_end(a);
    aml_begin_method(a, "_DIS", 0, false);
    aml_op(a, AML_OR), aml_path(a, reg), aml_int(a, 0x80), aml_path(a, reg);
    aml_end(a);
    aml_begin_method(a, "_CRS", 0, true);
    aml_op(a, AML_RETURN), aml_path(a, "IQCR"), aml_path(a, reg);
    aml_end(a);
    /* _SRS: the interrupt number is at offset 5 of the descriptor we are handed. */
    aml_begin_method(a, "_SRS", 1, true);
    aml_op(a, AML_CREATE_DWORD), aml_op(a, AML_ARG0), aml_int(a, 5), aml_path(a, "PRRI");
    aml_op(a, AML_STORE), aml_path(a, "PRRI"), aml_path(a, reg);
    aml_end(a);
    aml_end(a);
}

static void add_links(Aml *a)
{
    static const uint32_t none[] = {0};

    aml_begin_scope(a, "\\_SB");
    aml_begin_field(a, "PCI0.ISA.P40C", AML_ACCESS_BYTE);
    aml_field_unit(a, "PRQ0", 8), aml_field_unit(a, "PRQ1", 8);
    aml_field_unit(a, "PRQ2", 8), aml_field_unit(a, "PRQ3", 8);
    aml_end(a);
    /* IQCR (register): the current resources of a link. */
    aml_begin_method(a, "IQCR", 1, true);
    aml_name(a, "PRR0");
    aml_begin_resources(a);
    aml_res_interrupt(a, none, 1, true);
    aml_end_resources(a);
    aml_op(a, AML_CREATE_DWORD), aml_path(a, "PRR0"), aml_int(a, 5), aml_path(a, "PRRI");
    aml_begin_if(a);
    aml_op(a, AML_LLESS), aml_op(a, AML_ARG0), aml_int(a, 0x80);
    aml_op(a, AML_STORE), aml_op(a, AML_ARG0), aml_path(a, "PRRI");
    aml_end(a);
    aml_op(a, AML_RETURN), aml_path(a, "PRR0");
    aml_end(a);
    for (unsigned n = 0; n < 4; n++) {
        add_link_device(a, n);
    }
    aml_end(a);
}

/* INTx of a slot goes to PIRQ (slot + pin - 1) mod 4, as the board's wiring has it. */
static void add_prt(Aml *a)
{
    aml_name(a, "_PRT");
    aml_begin_package(a, 31 * 4);
    for (unsigned slot = 1; slot < 32; slot++) {
        for (unsigned pin = 0; pin < 4; pin++) {
            char link[] = "\\_SB.LNKA";

            link[8] = (char)('A' + ((slot + pin + 3) & 3));
            aml_begin_package(a, 4);
            aml_int(a, (uint64_t)slot << 16 | 0xffff);
            aml_int(a, pin);
            aml_path(a, link);
            aml_int(a, 0);
            aml_end(a);
        }
    }
    aml_end(a);
}

/* -- ISA devices --------------------------------------------------------------------------------- */

static void add_isa_device(Aml *a, const char *name, const char *hid, uint16_t port, uint8_t len,
                           uint16_t port2, int irq)
{
    aml_begin_device(a, name);
    aml_name_eisaid(a, "_HID", hid);
    aml_name(a, "_CRS");
    aml_begin_resources(a);
    if (port != 0) {
        aml_res_io(a, port, len);
    }
    if (port2 != 0) {
        aml_res_io(a, port2, len);
    }
    if (irq >= 0) {
        aml_res_irq(a, (unsigned)irq);
    }
    aml_end_resources(a);
    aml_end(a);
}

static void add_isa_devices(Aml *a, const AcpiConfig *c)
{
    if (c->i8042) {
        add_isa_device(a, "KBD", "PNP0303", 0x60, 1, 0x64, 1);
        add_isa_device(a, "MOU", "PNP0F13", 0, 0, 0, 12);
    }
    if (c->rtc) {
        add_isa_device(a, "RTC", "PNP0B00", 0x70, 8, 0, 8);
    }
    for (unsigned i = 0; i < ARRAY_LEN(c->serial_base); i++) {
        char name[] = "COM1";

        if (c->serial_base[i] == 0) {
            continue;
        }
        name[3] = (char)('1' + i);
        aml_begin_device(a, name);
        aml_name_eisaid(a, "_HID", "PNP0501");
        aml_name_int(a, "_UID", i + 1);
        aml_name(a, "_CRS");
        aml_begin_resources(a);
        aml_res_io(a, c->serial_base[i], 8);
        aml_res_irq(a, c->serial_irq[i]);
        aml_end_resources(a);
        aml_end(a);
    }
}

/* -- The root ------------------------------------------------------------------------------------ */

static void add_host_bridge(Aml *a, const AcpiConfig *c)
{
    aml_begin_device(a, "PCI0");
    aml_name_eisaid(a, "_HID", "PNP0A03");
    aml_name_int(a, "_UID", 0);
    aml_name_int(a, "_BBN", 0);
    aml_name(a, "_CRS");
    aml_begin_resources(a);
    aml_res_bus(a, 0, 0xff);
    aml_res_io(a, 0xcf8, 8);
    aml_res_window_io(a, 0, 0xcf7);
    aml_res_window_io(a, 0xd00, 0xffff);
    aml_res_window_mem32(a, 0xa0000, 0xbffff, true);
    if (c->pci_mem32.last != 0) {
        aml_res_window_mem32(a, (uint32_t)c->pci_mem32.first, (uint32_t)c->pci_mem32.last, false);
    }
    if (c->pci_mem64.last != 0) {
        aml_res_window_mem64(a, c->pci_mem64.first, c->pci_mem64.last, true);
    }
    aml_end_resources(a);
    add_prt(a);
    aml_begin_device(a, "ISA");
    aml_name_int(a, "_ADR", (uint64_t)c->piix3_slot << 16);
    aml_region(a, "P40C", AML_SPACE_PCI_CONFIG, 0x60, 4);
    add_isa_devices(a, c);
    aml_end(a);
    aml_end(a);
}

static void add_platform_devices(Aml *a, const AcpiConfig *c)
{
    if (c->hpet_base != 0) {
        aml_begin_device(a, "HPET");
        aml_name_eisaid(a, "_HID", "PNP0103");
        aml_name_int(a, "_UID", 0);
        aml_name(a, "_CRS");
        aml_begin_resources(a);
        aml_res_memory32(a, (uint32_t)c->hpet_base, 0x400, false);
        aml_end_resources(a);
        aml_end(a);
    }
    if (c->fw_cfg_port != 0) {
        aml_begin_device(a, "FWCF");
        aml_name_str(a, "_HID", "QEMU0002");
        aml_name_int(a, "_STA", STA_HIDDEN);
        aml_name(a, "_CRS");
        aml_begin_resources(a);
        aml_res_io(a, c->fw_cfg_port, 12);
        aml_end_resources(a);
        aml_end(a);
    }
    if (c->pvpanic_port != 0) {
        aml_begin_device(a, "PEVT");
        aml_name_str(a, "_HID", "QEMU0001");
        aml_name(a, "_CRS");
        aml_begin_resources(a);
        aml_res_io(a, c->pvpanic_port, 1);
        aml_end_resources(a);
        aml_end(a);
    }
    for (unsigned i = 0; i < c->n_virtio_mmio; i++) {
        const AcpiVirtioMmio *v = &c->virtio_mmio[i];
        char name[5];

        g_snprintf(name, sizeof name, "VR%02X", i & 0xff);
        aml_begin_device(a, name);
        aml_name_str(a, "_HID", "LNRO0005");
        aml_name_int(a, "_UID", i);
        aml_name_int(a, "_CCA", 1);
        aml_name(a, "_CRS");
        aml_begin_resources(a);
        aml_res_memory32(a, (uint32_t)v->base, v->len, true);
        aml_res_interrupt(a, &v->gsi, 1, true);
        aml_end_resources(a);
        aml_end(a);
    }
}

static void add_processors(Aml *a, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char name[5];

        g_snprintf(name, sizeof name, "C%03X", i & 0xfff);
        aml_begin_device(a, name);
        aml_name_str(a, "_HID", "ACPI0007");
        aml_name_int(a, "_UID", i);
        aml_end(a);
    }
}

GByteArray *acpi_dsdt_body(const AcpiConfig *c)
{
    Aml *a = aml_new();

    aml_begin_scope(a, "\\_SB");
    if (c->pci) {
        add_host_bridge(a, c);
    } else {
        add_isa_devices(a, c);
    }
    add_platform_devices(a, c);
    add_processors(a, c->n_cpus);
    aml_end(a);
    if (c->pci) {
        add_links(a);
    }
    aml_name(a, "\\_S5");
    aml_begin_package(a, 4);
    aml_int(a, c->s5_type), aml_int(a, c->s5_type), aml_int(a, 0), aml_int(a, 0);
    aml_end(a);
    return aml_free_to_bytes(a);
}
