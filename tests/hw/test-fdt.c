/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The device tree, read back with libfdt. */
#include "hw/fdt-build.h"
#include "softmmu/base/bits.h"

#include <check.h>
#include <libfdt.h>

START_TEST(every_part_of_the_machine_is_in_the_tree)
{
    AcpiVirtioMmio virtio[200];
    unsigned n = _i == 0 ? 3 : 200, cpus = _i == 0 ? 2 : 300;

    for (unsigned i = 0; i < n; i++) {
        virtio[i] = (AcpiVirtioMmio){0xfeb00000 + i * 0x200u, 0x200, 5 + i % 16};
    }
    FdtConfig c = {
        .model = "metaphrase,microvm", .n_cpus = cpus, .ram_low = UINT64_C(3) << 30,
        .ram_high = UINT64_C(5) << 30, .bootargs = "console=ttyS0", .initrd_start = 0x1000000,
        .initrd_end = 0x1234567, .ioapic_base = 0xfec00000, .serial_base = 0x3f8, .serial_gsi = 4,
        .virtio_mmio = virtio, .n_virtio_mmio = n,
    };
    g_autoptr(GBytes) b = fdt_build(&c);
    gsize len;
    const void *t = g_bytes_get_data(b, &len);

    ck_assert_int_eq(fdt_check_full(t, len), 0);
    int chosen = fdt_path_offset(t, "/chosen");
    ck_assert_str_eq(fdt_getprop(t, chosen, "bootargs", NULL), "console=ttyS0");
    const fdt64_t *end = fdt_getprop(t, chosen, "linux,initrd-end", NULL);
    ck_assert_uint_eq(fdt64_ld(end), 0x1234567);
    ck_assert_int_ge(fdt_path_offset(t, fdt_getprop(t, chosen, "stdout-path", NULL)), 0);
    unsigned nodes = 0, at;
    for (int o = -1; (o = fdt_node_offset_by_compatible(t, o, "virtio,mmio")) >= 0; nodes++) {
        const fdt32_t *r = fdt_getprop(t, o, "reg", NULL), *irq = fdt_getprop(t, o, "interrupts", NULL);
        at = (fdt32_ld(r + 1) - 0xfeb00000) / 0x200;
        ck_assert_uint_lt(at, n);
        ck_assert_uint_eq(fdt32_ld(irq), virtio[at].gsi);
    }
    ck_assert_uint_eq(nodes, n);
    nodes = 0;
    for (int o = -1; (o = fdt_node_offset_by_compatible(t, o, "intel,x86")) >= 0;) {
        nodes++;
    }
    ck_assert_uint_eq(nodes, cpus);
    const fdt32_t *r = fdt_getprop(t, fdt_path_offset(t, "/memory@100000000"), "reg", NULL);
    ck_assert_uint_eq(fdt32_ld(r), 1);
    ck_assert_uint_eq(fdt32_ld(r + 2), 1);
    ck_assert_uint_eq(fdt32_ld(r + 3), 0x40000000);
    ck_assert_int_ge(fdt_node_offset_by_phandle(t, 1), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fdt");
    TCase *tc = tcase_create("fdt");

    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, every_part_of_the_machine_is_in_the_tree, 0, 2);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
