/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/acpi-tables.h"

#include "softmmu/base/bits.h"

#include <string.h>

enum {
    HEADER_LEN = 36, CHECKSUM_AT = 9,
    ACCESS_BYTE = 1, ACCESS_WORD = 2, ACCESS_DWORD = 3,
    SPACE_MEMORY = 0, SPACE_IO = 1,
    CPU_UID_ALL_8 = 0xff,
};
#define CPU_UID_ALL_32 UINT32_MAX

static const char tables_file[] = "etc/acpi/tables", rsdp_file[] = "etc/acpi/rsdp";

/* -- Bytes --------------------------------------------------------------------------------------- */

static void put(GByteArray *b, unsigned size, uint64_t v)
{
    uint8_t bytes[8];

    store_le(bytes, 8, v);
    g_byte_array_append(b, bytes, size);
}

static void put_zeros(GByteArray *b, unsigned n)
{
    unsigned at = b->len;

    if (n > 0) {
        g_byte_array_set_size(b, at + n);
        memset(b->data + at, 0, n);
    }
}

static void align_to(GByteArray *b, unsigned n)
{
    put_zeros(b, (n - b->len % n) % n);
}

static void fix_pointer(AcpiTables *t, AcpiBlob blob, uint32_t offset, uint32_t size)
{
    AcpiFix f = {.kind = ACPI_FIX_POINTER, .blob = blob, .target = ACPI_BLOB_TABLES,
                 .offset = offset, .size = size};

    g_array_append_val(t->fixes, f);
}

static void fix_checksum(AcpiTables *t, AcpiBlob blob, uint32_t offset, uint32_t start, uint32_t len)
{
    AcpiFix f = {.kind = ACPI_FIX_CHECKSUM, .blob = blob, .offset = offset, .start = start,
                 .len = len};

    g_array_append_val(t->fixes, f);
}

/* Append a table header with a length of 0; returns its offset. */
static uint32_t begin_table(AcpiTables *t, const char *signature, uint8_t revision)
{
    GByteArray *b = t->tables;

    align_to(b, 16);
    uint32_t at = b->len;
    g_byte_array_append(b, (const uint8_t *)signature, 4);
    put(b, 4, 0);
    put(b, 1, revision);
    put(b, 1, 0);
    g_byte_array_append(b, (const uint8_t *)"METAPH", 6);
    g_byte_array_append(b, (const uint8_t *)"METAPHRS", 8);
    put(b, 4, 1);
    g_byte_array_append(b, (const uint8_t *)"MTPH", 4);
    put(b, 4, 1);
    return at;
}

static void end_table(AcpiTables *t, uint32_t at)
{
    uint32_t len = t->tables->len - at;

    store_le(t->tables->data + at + 4, 4, len);
    fix_checksum(t, ACPI_BLOB_TABLES, at + CHECKSUM_AT, at, len);
}

/* A generic address structure; all zeros when addr is 0. */
static void put_gas(GByteArray *b, uint8_t space, uint8_t bits, uint8_t access, uint64_t addr)
{
    put(b, 1, addr != 0 ? space : 0);
    put(b, 1, addr != 0 ? bits : 0);
    put(b, 1, 0);
    put(b, 1, addr != 0 ? access : 0);
    put(b, 8, addr);
}

/* -- Tables -------------------------------------------------------------------------------------- */

/* FACS (ACPI 6.4 section 5.2.10): no checksum, 64-byte aligned. */
static uint32_t add_facs(AcpiTables *t)
{
    GByteArray *b = t->tables;

    align_to(b, 64);
    uint32_t at = b->len;
    g_byte_array_append(b, (const uint8_t *)"FACS", 4);
    put(b, 4, 64);
    put_zeros(b, 64 - 8);
    b->data[at + 32] = 1; /* version 1: a 64-bit waking vector exists */
    return at;
}

static uint32_t add_dsdt(AcpiTables *t, const AcpiConfig *c)
{
    uint32_t at = begin_table(t, "DSDT", 2);
    GByteArray *body = acpi_dsdt_body(c);

    g_byte_array_append(t->tables, body->data, body->len);
    g_byte_array_unref(body);
    end_table(t, at);
    return at;
}

enum { /* FADT flags */
    FADT_WBINVD = 1 << 0, FADT_PROC_C1 = 1 << 2, FADT_PWR_BUTTON = 1 << 4, FADT_SLP_BUTTON = 1 << 5,
    FADT_RTC_S4 = 1 << 7, FADT_TMR_VAL_EXT = 1 << 8, FADT_RESET_REG = 1 << 10,
    FADT_HW_REDUCED = 1 << 20,
    BOOT_LEGACY_DEVICES = 1, BOOT_8042 = 2, BOOT_VGA_ABSENT = 4, BOOT_NO_ASPM = 16,
    BOOT_CMOS_RTC_ABSENT = 32,
};

/* The 64-bit forms of the register blocks, from offset 148 of the FADT. */
static void put_fadt_x_blocks(GByteArray *b, const AcpiConfig *c)
{
    uint16_t pm = c->pm_base;
    unsigned gpe_bits = c->gpe0_len * 8u;

    put_gas(b, SPACE_IO, 32, ACCESS_WORD, pm);
    put_gas(b, 0, 0, 0, 0);
    put_gas(b, SPACE_IO, 16, ACCESS_WORD, pm != 0 ? pm + 4u : 0);
    put_gas(b, 0, 0, 0, 0);
    put_gas(b, 0, 0, 0, 0);
    put_gas(b, SPACE_IO, 32, ACCESS_DWORD, pm != 0 ? pm + 8u : 0);
    put_gas(b, SPACE_IO, (uint8_t)gpe_bits, ACCESS_BYTE, c->gpe0_base);
    put_gas(b, 0, 0, 0, 0);
    put_gas(b, SPACE_MEMORY, 8, ACCESS_BYTE, c->sleep_control);
    put_gas(b, SPACE_MEMORY, 8, ACCESS_BYTE, c->sleep_status);
    put(b, 8, 0); /* hypervisor vendor: unsaid */
}

static uint32_t fadt_flags(const AcpiConfig *c)
{
    uint32_t flags = FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON | FADT_RTC_S4;

    if (c->pm_timer_32) {
        flags |= FADT_TMR_VAL_EXT;
    }
    if (c->reset_port != 0) {
        flags |= FADT_RESET_REG;
    }
    if (c->pm_base == 0) {
        flags |= FADT_HW_REDUCED | FADT_PWR_BUTTON;
    }
    return flags;
}

/* FADT revision 6 (section 5.2.9), field by field. */
static void add_fadt(AcpiTables *t, const AcpiConfig *c, uint32_t facs, uint32_t dsdt)
{
    GByteArray *b = t->tables;
    uint16_t pm = c->pm_base;
    uint32_t at = begin_table(t, "FACP", 6);
    uint16_t boot = BOOT_NO_ASPM | (c->pci ? BOOT_LEGACY_DEVICES : 0) | (c->i8042 ? BOOT_8042 : 0) |
                    (c->vga ? 0 : BOOT_VGA_ABSENT) | (c->rtc ? 0 : BOOT_CMOS_RTC_ABSENT);

    put(b, 4, pm != 0 ? facs : 0);      /* 36: FACS; none with reduced hardware */
    put(b, 4, dsdt);                    /* 40 */
    put(b, 1, 0);
    put(b, 1, 0);                       /* 45: profile unspecified */
    put(b, 2, c->sci);
    put(b, 4, 0);                       /* 48: no SMI command port: always in ACPI mode */
    put(b, 4, 0);                       /* 52: enable, disable, S4BIOS, P-state values */
    put(b, 4, pm);                      /* 56: PM1a event */
    put(b, 4, 0);
    put(b, 4, pm != 0 ? pm + 4u : 0);   /* 64: PM1a control */
    put(b, 4, 0);
    put(b, 4, 0);
    put(b, 4, pm != 0 ? pm + 8u : 0);   /* 76: timer */
    put(b, 4, c->gpe0_base);
    put(b, 4, 0);
    put(b, 1, pm != 0 ? 4 : 0);         /* 88: lengths */
    put(b, 1, pm != 0 ? 2 : 0);
    put(b, 1, 0);
    put(b, 1, pm != 0 ? 4 : 0);
    put(b, 1, c->gpe0_len);
    put(b, 1, 0);
    put(b, 1, 0);
    put(b, 1, 0);
    put(b, 2, 0xfff);                   /* 96: no C2 */
    put(b, 2, 0xfff);                   /* no C3 */
    put(b, 4, 0);                       /* flush size and stride */
    put(b, 2, 0);                       /* duty cycle */
    put(b, 2, 0);                       /* alarm day, month */
    put(b, 1, c->rtc ? 0x32 : 0);       /* 108: century register */
    put(b, 2, boot);
    put(b, 1, 0);
    put(b, 4, fadt_flags(c));           /* 112 */
    put_gas(b, SPACE_IO, 8, ACCESS_BYTE, c->reset_port);
    put(b, 1, c->reset_value);          /* 128 */
    put(b, 2, 0);
    put(b, 1, 4);                       /* 131: minor version 6.4 */
    put(b, 8, 0);                       /* 132: X_FACS: the 32-bit one counts */
    put(b, 8, dsdt);                    /* 140 */
    put_fadt_x_blocks(b, c);
    g_assert(b->len - at == 276);
    end_table(t, at);
    if (pm != 0) {
        fix_pointer(t, ACPI_BLOB_TABLES, at + 36, 4);
    }
    fix_pointer(t, ACPI_BLOB_TABLES, at + 40, 4);
    fix_pointer(t, ACPI_BLOB_TABLES, at + 140, 8);
}

static void put_madt_cpus(GByteArray *b, unsigned n_cpus)
{
    for (unsigned i = 0; i < n_cpus; i++) {
        if (i < 255) { /* processor local APIC */
            put(b, 1, 0), put(b, 1, 8);
            put(b, 1, i), put(b, 1, i), put(b, 4, 1);
        } else { /* local x2APIC */
            put(b, 1, 9), put(b, 1, 16), put(b, 2, 0);
            put(b, 4, i), put(b, 4, 1), put(b, 4, i);
        }
    }
}

/* Interrupt source override; flags 0: as the bus has it, 0x0d: active high, level. */
static void put_madt_override(GByteArray *b, unsigned irq, unsigned gsi, uint16_t flags)
{
    put(b, 1, 2), put(b, 1, 10), put(b, 1, 0);
    put(b, 1, irq), put(b, 4, gsi), put(b, 2, flags);
}

/* MADT (section 5.2.12). */
static void add_madt(AcpiTables *t, const AcpiConfig *c)
{
    GByteArray *b = t->tables;
    uint32_t at = begin_table(t, "APIC", 5);

    put(b, 4, 0xfee00000);
    put(b, 4, c->pic ? 1 : 0);
    put_madt_cpus(b, c->n_cpus);
    put(b, 1, 1), put(b, 1, 12), put(b, 1, c->ioapic_id), put(b, 1, 0);
    put(b, 4, c->ioapic_base), put(b, 4, 0);
    if (c->pic) {
        put_madt_override(b, 0, 2, 0);
    }
    for (unsigned irq = 1; irq < 16; irq++) {
        if ((c->level_irqs & BIT(irq)) != 0) {
            put_madt_override(b, irq, irq, 0x0d);
        }
    }
    /* NMI at LINT1 of every CPU */
    put(b, 1, 4), put(b, 1, 6), put(b, 1, CPU_UID_ALL_8), put(b, 2, 0), put(b, 1, 1);
    if (c->n_cpus > 255) {
        put(b, 1, 10), put(b, 1, 12), put(b, 2, 0), put(b, 4, CPU_UID_ALL_32);
        put(b, 1, 1), put(b, 1, 0), put(b, 2, 0);
    }
    end_table(t, at);
}

static void add_hpet(AcpiTables *t, const AcpiConfig *c)
{
    GByteArray *b = t->tables;
    uint32_t at = begin_table(t, "HPET", 1);

    put(b, 4, 0x8086a201);  /* Intel; legacy replacement; 64 bits; 3 comparators; revision 1 */
    put(b, 1, SPACE_MEMORY), put(b, 1, 64), put(b, 1, 0), put(b, 1, 0), put(b, 8, c->hpet_base);
    put(b, 1, 0);
    put(b, 2, 100);         /* smallest periodic tick without loss, in counter clocks */
    put(b, 1, 0);
    end_table(t, at);
}

static void add_mcfg(AcpiTables *t, const AcpiConfig *c)
{
    GByteArray *b = t->tables;
    uint32_t at = begin_table(t, "MCFG", 1);

    put(b, 8, 0);
    put(b, 8, c->mmconfig_base), put(b, 2, 0), put(b, 1, 0), put(b, 1, 0xff), put(b, 4, 0);
    end_table(t, at);
}

/* Windows ACPI emulated devices table: one read of the PM timer suffices. */
static void add_waet(AcpiTables *t)
{
    uint32_t at = begin_table(t, "WAET", 1);

    put(t->tables, 4, 2);
    end_table(t, at);
}

/* RSDT or XSDT: pointers of `size` bytes to all tables from `first` on but FACS and DSDT. */
static uint32_t add_root(AcpiTables *t, const char *signature, unsigned size, const uint32_t *entries,
                         unsigned n)
{
    uint32_t at = begin_table(t, signature, 1);

    for (unsigned i = 0; i < n; i++) {
        put(t->tables, size, entries[i]);
    }
    end_table(t, at);
    for (unsigned i = 0; i < n; i++) {
        fix_pointer(t, ACPI_BLOB_TABLES, at + HEADER_LEN + i * size, size);
    }
    return at;
}

/* RSDP, version 2 (section 5.2.5.3). */
static void add_rsdp(AcpiTables *t, uint32_t rsdt, uint32_t xsdt)
{
    GByteArray *b = t->rsdp;

    g_byte_array_append(b, (const uint8_t *)"RSD PTR ", 8);
    put(b, 1, 0);
    g_byte_array_append(b, (const uint8_t *)"METAPH", 6);
    put(b, 1, 2);
    put(b, 4, rsdt);
    put(b, 4, 36);
    put(b, 8, xsdt);
    put(b, 4, 0);
    fix_pointer(t, ACPI_BLOB_RSDP, 16, 4);
    fix_pointer(t, ACPI_BLOB_RSDP, 24, 8);
    fix_checksum(t, ACPI_BLOB_RSDP, 8, 0, 20);
    fix_checksum(t, ACPI_BLOB_RSDP, 32, 0, 36);
}

/* Pointers are part of what is summed, so they come first. */
static void sort_fixes(AcpiTables *t)
{
    GArray *sorted = g_array_new(FALSE, FALSE, sizeof(AcpiFix));

    for (int kind = ACPI_FIX_POINTER; kind <= ACPI_FIX_CHECKSUM; kind++) {
        for (unsigned i = 0; i < t->fixes->len; i++) {
            AcpiFix f = g_array_index(t->fixes, AcpiFix, i);
            if ((int)f.kind == kind) {
                g_array_append_val(sorted, f);
            }
        }
    }
    g_array_unref(t->fixes);
    t->fixes = sorted;
}

AcpiTables *acpi_tables_new(const AcpiConfig *c)
{
    AcpiTables *t = g_new0(AcpiTables, 1);
    uint32_t entries[8];
    unsigned n = 0;

    g_assert(c->n_cpus >= 1 && c->n_cpus <= 4096 && c->n_virtio_mmio <= 256);
    t->tables = g_byte_array_new();
    t->rsdp = g_byte_array_new();
    t->fixes = g_array_new(FALSE, FALSE, sizeof(AcpiFix));

    uint32_t facs = add_facs(t);
    uint32_t dsdt = add_dsdt(t, c);
#define ADD(call)                                                                                  \
    do {                                                                                           \
        align_to(t->tables, 16);                                                                   \
        entries[n++] = t->tables->len;                                                             \
        call;                                                                                      \
    } while (0)
    ADD(add_fadt(t, c, facs, dsdt));
    ADD(add_madt(t, c));
    if (c->hpet_base != 0) {
        ADD(add_hpet(t, c));
    }
    if (c->mmconfig_base != 0) {
        ADD(add_mcfg(t, c));
    }
    if (c->pm_base != 0) {
        ADD(add_waet(t));
    }
#undef ADD
    uint32_t rsdt = add_root(t, "RSDT", 4, entries, n);
    uint32_t xsdt = add_root(t, "XSDT", 8, entries, n);
    add_rsdp(t, rsdt, xsdt);
    align_to(t->tables, ACPI_TABLES_ALIGN);
    sort_fixes(t);
    return t;
}

void acpi_tables_free(AcpiTables *t)
{
    if (t != NULL) {
        g_byte_array_unref(t->tables);
        g_byte_array_unref(t->rsdp);
        g_array_unref(t->fixes);
        g_free(t);
    }
}

/* -- Delivery ------------------------------------------------------------------------------------- */

enum {
    LOADER_ENTRY_LEN = 128, LOADER_FILE_LEN = 56,
    LOADER_ALLOCATE = 1, LOADER_ADD_POINTER = 2, LOADER_ADD_CHECKSUM = 3,
    LOADER_ZONE_HIGH = 1, LOADER_ZONE_FSEG = 2,
};

static const char *file_of(AcpiBlob blob)
{
    return blob == ACPI_BLOB_RSDP ? rsdp_file : tables_file;
}

static void put_file(uint8_t *entry, unsigned at, AcpiBlob blob)
{
    g_strlcpy((char *)entry + at, file_of(blob), LOADER_FILE_LEN);
}

GByteArray *acpi_tables_loader_script(const AcpiTables *t)
{
    GByteArray *out = g_byte_array_new();

    for (int blob = ACPI_BLOB_TABLES; blob <= ACPI_BLOB_RSDP; blob++) {
        uint8_t e[LOADER_ENTRY_LEN] = {LOADER_ALLOCATE};
        put_file(e, 4, (AcpiBlob)blob);
        store_le(e + 60, 4, blob == ACPI_BLOB_RSDP ? ACPI_RSDP_ALIGN : ACPI_TABLES_ALIGN);
        e[64] = blob == ACPI_BLOB_RSDP ? LOADER_ZONE_FSEG : LOADER_ZONE_HIGH;
        g_byte_array_append(out, e, sizeof e);
    }
    for (unsigned i = 0; i < t->fixes->len; i++) {
        const AcpiFix *f = &g_array_index(t->fixes, AcpiFix, i);
        uint8_t e[LOADER_ENTRY_LEN] = {0};

        if (f->kind == ACPI_FIX_POINTER) {
            e[0] = LOADER_ADD_POINTER;
            put_file(e, 4, f->blob);
            put_file(e, 60, f->target);
            store_le(e + 116, 4, f->offset);
            e[120] = (uint8_t)f->size;
        } else {
            e[0] = LOADER_ADD_CHECKSUM;
            put_file(e, 4, f->blob);
            store_le(e + 60, 4, f->offset);
            store_le(e + 64, 4, f->start);
            store_le(e + 68, 4, f->len);
        }
        g_byte_array_append(out, e, sizeof e);
    }
    return out;
}

void acpi_tables_link(AcpiTables *t, uint64_t tables_addr)
{
    for (unsigned i = 0; i < t->fixes->len; i++) {
        const AcpiFix *f = &g_array_index(t->fixes, AcpiFix, i);
        GByteArray *b = f->blob == ACPI_BLOB_RSDP ? t->rsdp : t->tables;

        if (f->kind == ACPI_FIX_POINTER) {
            uint64_t v = load_le(b->data + f->offset, f->size);
            store_le(b->data + f->offset, f->size, v + tables_addr);
        } else {
            uint8_t sum = 0;
            for (uint32_t j = 0; j < f->len; j++) {
                sum = (uint8_t)(sum + b->data[f->start + j]);
            }
            b->data[f->offset] = (uint8_t)(b->data[f->offset] - sum);
        }
    }
}

int64_t acpi_tables_find(const AcpiTables *t, const char *signature, unsigned *len)
{
    uint32_t at = 0;

    while (at + 8 <= t->tables->len) {
        const uint8_t *p = t->tables->data + at;
        uint32_t n = (uint32_t)load_le(p + 4, 4);

        if (memcmp(p, signature, 4) == 0) {
            *len = n;
            return at;
        }
        at += n > 0 ? (n + 15) & ~15u : 16;
        /* Tables start at multiples of 16; FACS is 64 long, so nothing lies between. */
    }
    return -1;
}
