/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI tables: encodings, pointers and checksums, and the verdict of Intel's compiler if it is
 * installed. */
#include "hw/acpi-aml.h"
#include "hw/acpi-tables.h"
#include "softmmu/base/bits.h"

#include <check.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>

/* -- Machines -------------------------------------------------------------------------------------- */

static const AcpiVirtioMmio virtio[] = {
    {0xfeb00000, 512, 16}, {0xfeb00200, 512, 17}, {0xfeb00400, 512, 23},
};

static const AcpiConfig pc = {
    .n_cpus = 2, .pic = true, .ioapic_base = 0xfec00000, .level_irqs = 0x0e20, .pm_base = 0x600,
    .gpe0_base = 0xafe0, .gpe0_len = 4, .sci = 9, .reset_port = 0xcf9, .reset_value = 0x0f,
    .pci = true, .piix3_slot = 1, .pci_mem32 = {0xc0000000, 0xfebfffff},
    .pci_mem64 = {0x100000000, 0x8ffffffff}, .i8042 = true, .rtc = true, .vga = true,
    .serial_base = {0x3f8, 0x2f8}, .serial_irq = {4, 3}, .hpet_base = 0xfed00000,
    .fw_cfg_port = 0x510,
};

static const AcpiConfig microvm = {
    .n_cpus = 1, .ioapic_base = 0xfec00000, .sleep_control = 0xfea00200,
    .sleep_status = 0xfea00201, .serial_base = {0x3f8}, .serial_irq = {4}, .virtio_mmio = virtio,
    .n_virtio_mmio = ARRAY_LEN(virtio),
};

static AcpiConfig machine(int i)
{
    AcpiConfig c = i == 1 ? microvm : pc;

    if (i == 2) {
        c.n_cpus = 300;
        c.mmconfig_base = 0xb0000000;
        c.hpet_base = 0;
        c.pm_timer_32 = true;
    }
    return c;
}

enum { N_MACHINES = 3 };

static uint8_t sum(const uint8_t *p, uint64_t n)
{
    uint8_t s = 0;

    while (n-- > 0) {
        s = (uint8_t)(s + *p++);
    }
    return s;
}

/* -- AML ------------------------------------------------------------------------------------------- */

static void expect_aml(Aml *a, const uint8_t *bytes, unsigned len)
{
    GByteArray *b = aml_free_to_bytes(a);

    ck_assert_uint_eq(b->len, len);
    ck_assert_mem_eq(b->data, bytes, len);
    g_byte_array_unref(b);
}

START_TEST(names_and_integers_have_their_shortest_encoding)
{
    Aml *a = aml_new();

    aml_path(a, "\\_SB.PCI0");
    aml_path(a, "^A.B.CD");
    aml_int(a, 0);
    aml_int(a, 1);
    aml_int(a, 0xff);
    aml_int(a, 0x100);
    aml_int(a, 0x10000);
    aml_int(a, UINT64_C(0x100000000));
    aml_eisaid(a, "PNP0A03");
    static const uint8_t want[] = {
        0x5c, 0x2e, '_', 'S', 'B', '_', 'P', 'C', 'I', '0', '^', 0x2f, 3, 'A', '_', '_', '_',
        'B', '_', '_', '_', 'C', 'D', '_', '_', 0, 1, 0x0a, 0xff, 0x0b, 0, 1, 0x0c, 0, 0, 1, 0,
        0x0e, 0, 0, 0, 0, 1, 0, 0, 0, 0x0c, 0x41, 0xd0, 0x0a, 0x03,
    };
    expect_aml(a, want, sizeof want);
}
END_TEST

/* The length of a package counts its own encoding, which grows at 63, 4095 and 1 MiB. */
START_TEST(package_lengths_count_themselves)
{
    static const struct {
        unsigned body, n_bytes;
    } rows[] = {{0, 1}, {61, 1}, {62, 2}, {4092, 2}, {4093, 3}, {70000, 3}, {1100000, 4}};

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        Aml *a = aml_new();
        aml_begin_if(a);
        for (unsigned j = 0; j < rows[i].body + 1; j++) {
            aml_int(a, 0);
        }
        aml_end(a);
        GByteArray *b = aml_free_to_bytes(a);
        unsigned n = (b->data[1] >> 6) + 1u, len = b->data[1] & (n == 1 ? 0x3f : 0xf);
        for (unsigned j = 1; j < n; j++) {
            len |= (unsigned)b->data[1 + j] << (4 + 8 * (j - 1));
        }
        ck_assert_uint_eq(len, b->len - 1);
        ck_assert_uint_eq(b->len, 1 + n + rows[i].body + 1);
        ck_assert_msg(rows[i].body + 1 + n == len, "body %u", rows[i].body);
        ck_assert_uint_eq(n, rows[i].n_bytes);
        g_byte_array_unref(b);
    }
}
END_TEST

/* -- Tables ----------------------------------------------------------------------------------------- */

START_TEST(linked_tables_point_at_each_other_and_sum_to_zero)
{
    const uint64_t base = 0x7ff0000;
    AcpiConfig c = machine(_i);
    AcpiTables *t = acpi_tables_new(&c);

    acpi_tables_link(t, base);
    const uint8_t *r = t->rsdp->data, *d = t->tables->data;
    ck_assert_mem_eq(r, "RSD PTR ", 8);
    ck_assert_uint_eq(sum(r, 20), 0);
    ck_assert_uint_eq(sum(r, 36), 0);
    uint64_t xsdt = load_le(r + 24, 8) - base, rsdt = load_le(r + 16, 4) - base;
    ck_assert_mem_eq(d + xsdt, "XSDT", 4);
    ck_assert_mem_eq(d + rsdt, "RSDT", 4);
    ck_assert_uint_eq(sum(d + xsdt, load_le(d + xsdt + 4, 4)), 0);
    ck_assert_uint_eq(sum(d + rsdt, load_le(d + rsdt + 4, 4)), 0);
    unsigned n = ((unsigned)load_le(d + xsdt + 4, 4) - 36) / 8;
    ck_assert_uint_eq(n, ((unsigned)load_le(d + rsdt + 4, 4) - 36) / 4);
    bool fadt_seen = false;
    for (unsigned i = 0; i < n; i++) {
        uint64_t at = load_le(d + xsdt + 36 + i * 8, 8) - base;
        ck_assert_uint_lt(at, t->tables->len);
        ck_assert_uint_eq(at, load_le(d + rsdt + 36 + i * 4, 4) - base);
        ck_assert_uint_eq(sum(d + at, load_le(d + at + 4, 4)), 0);
        if (memcmp(d + at, "FACP", 4) == 0) {
            uint64_t dsdt = load_le(d + at + 140, 8) - base;
            fadt_seen = true;
            ck_assert_mem_eq(d + dsdt, "DSDT", 4);
            ck_assert_uint_eq(sum(d + dsdt, load_le(d + dsdt + 4, 4)), 0);
            ck_assert_uint_eq(load_le(d + at + 40, 4) - base, dsdt);
            if (c.pm_base != 0) {
                uint64_t facs = load_le(d + at + 36, 4) - base;
                ck_assert_mem_eq(d + facs, "FACS", 4);
                ck_assert_uint_eq((facs + base) % 64, 0);
            }
        }
    }
    ck_assert(fadt_seen);
    acpi_tables_free(t);
}
END_TEST

/* A firmware that carries out the script must arrive at what acpi_tables_link() makes. */
START_TEST(the_loader_script_and_direct_linking_agree)
{
    const uint64_t base = 0x3fe0000;
    AcpiConfig c = machine(_i);
    AcpiTables *fw = acpi_tables_new(&c), *direct = acpi_tables_new(&c);
    GByteArray *script = acpi_tables_loader_script(fw);

    ck_assert_uint_eq(script->len % 128, 0);
    for (unsigned at = 0; at < script->len; at += 128) {
        const uint8_t *e = script->data + at;
        bool is_rsdp = strcmp((const char *)e + 4, "etc/acpi/rsdp") == 0;
        GByteArray *b = is_rsdp ? fw->rsdp : fw->tables;
        ck_assert(is_rsdp || strcmp((const char *)e + 4, "etc/acpi/tables") == 0);
        uint32_t off = (uint32_t)load_le(e + 116, 4);
        switch (e[0]) {
        case 1:
            ck_assert_uint_eq(at / 128, is_rsdp);
            ck_assert_uint_eq(e[64], is_rsdp ? 2 : 1);
            break;
        case 2:
            ck_assert_str_eq((const char *)e + 60, "etc/acpi/tables");
            store_le(b->data + off, e[120], load_le(b->data + off, e[120]) + base);
            break;
        case 3:
            off = (uint32_t)load_le(e + 60, 4);
            b->data[off] = (uint8_t)(b->data[off] -
                                     sum(b->data + load_le(e + 64, 4), load_le(e + 68, 4)));
            break;
        default:
            ck_abort_msg("command %u", e[0]);
        }
    }
    acpi_tables_link(direct, base);
    ck_assert_mem_eq(fw->tables->data, direct->tables->data, direct->tables->len);
    ck_assert_mem_eq(fw->rsdp->data, direct->rsdp->data, direct->rsdp->len);
    g_byte_array_unref(script);
    acpi_tables_free(fw);
    acpi_tables_free(direct);
}
END_TEST

START_TEST(madt_lists_each_cpu_once)
{
    AcpiConfig c = machine(_i);
    AcpiTables *t = acpi_tables_new(&c);
    unsigned len = 0, cpus = 0, io = 0, overrides = 0;
    int64_t at = acpi_tables_find(t, "APIC", &len);

    ck_assert_int_ge(at, 0);
    for (const uint8_t *p = t->tables->data + at + 44; p < t->tables->data + at + len; p += p[1]) {
        ck_assert_uint_ge(p[1], 2);
        if (p[0] == 0 || p[0] == 9) {
            ck_assert_uint_eq(p[0] == 0 ? p[3] : load_le(p + 4, 4), cpus);
            cpus++;
        }
        io += p[0] == 1;
        overrides += p[0] == 2;
    }
    ck_assert_uint_eq(cpus, c.n_cpus);
    ck_assert_uint_eq(io, 1);
    ck_assert_uint_eq(overrides, c.pic ? 5 : 0);
    acpi_tables_free(t);
}
END_TEST

/* -- iasl ------------------------------------------------------------------------------------------- */

static void run_iasl(const char *dir, const char *what, const char *file)
{
    gchar *out = NULL, *err = NULL, *cmd = g_strdup_printf("iasl %s %s", what, file);
    gchar **argv = NULL;
    int status = 0;

    ck_assert(g_shell_parse_argv(cmd, NULL, &argv, NULL));
    ck_assert(g_spawn_sync(dir, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status,
                           NULL));
    ck_assert_msg(g_spawn_check_wait_status(status, NULL), "%s: %s%s", cmd, out, err);
    if (g_str_has_suffix(file, ".dsl")) {
        ck_assert_msg(strstr(out, " 0 Errors") != NULL, "%s: %s%s", cmd, out, err);
    } else {
        ck_assert_msg(strstr(err, "rror") == NULL && strstr(err, "Incorrect checksum") == NULL,
                      "%s: %s%s", cmd, out, err);
    }
    g_strfreev(argv);
    g_free(cmd);
    g_free(out);
    g_free(err);
}

START_TEST(iasl_disassembles_and_recompiles_without_errors)
{
    static const char *const names[] = {"DSDT", "FACP", "FACS", "APIC", "HPET", "MCFG", "WAET",
                                        "RSDT", "XSDT"};
    gchar *iasl = g_find_program_in_path("iasl");

    if (iasl == NULL) {
        g_printerr("SKIP: iasl (package acpica-tools) is not installed\n");
        return;
    }
    g_free(iasl);
    AcpiConfig c = machine(_i);
    AcpiTables *t = acpi_tables_new(&c);
    gchar *dir = g_dir_make_tmp("metaphrase-acpi-XXXXXX", NULL);
    acpi_tables_link(t, 0x7fe0000);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        unsigned len;
        int64_t at = acpi_tables_find(t, names[i], &len);
        if (at < 0) {
            continue;
        }
        gchar *base = g_strdup_printf("%s.aml", names[i]), *dsl = g_strdup_printf("%s.dsl", names[i]);
        gchar *path = g_build_filename(dir, base, NULL);
        ck_assert(g_file_set_contents(path, (const gchar *)t->tables->data + at, len, NULL));
        run_iasl(dir, "-d", base);
        run_iasl(dir, "-oa", dsl);
        g_free(path);
        g_free(base);
        g_free(dsl);
    }
    gchar *rm = g_strdup_printf("rm -rf '%s'", dir);
    ck_assert_int_eq(system(rm), 0);
    g_free(rm);
    g_free(dir);
    acpi_tables_free(t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("acpi");
    TCase *tc = tcase_create("acpi");

    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, names_and_integers_have_their_shortest_encoding);
    tcase_add_test(tc, package_lengths_count_themselves);
    tcase_add_loop_test(tc, linked_tables_point_at_each_other_and_sum_to_zero, 0, N_MACHINES);
    tcase_add_loop_test(tc, the_loader_script_and_direct_linking_agree, 0, N_MACHINES);
    tcase_add_loop_test(tc, madt_lists_each_cpu_once, 0, N_MACHINES);
    tcase_add_loop_test(tc, iasl_disassembles_and_recompiles_without_errors, 0, N_MACHINES);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
