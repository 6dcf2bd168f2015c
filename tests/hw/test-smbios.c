/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SMBIOS: well-formed structures, checksums, options. */
#include "hw/smbios.h"
#include "softmmu/base/bits.h"

#include <check.h>
#include <glib.h>

static uint8_t sum(const uint8_t *p, unsigned n)
{
    uint8_t s = 0;

    while (n-- > 0) {
        s = (uint8_t)(s + *p++);
    }
    return s;
}

/* The n-th string (from 1) of the structure at p. */
static const char *string_of(const uint8_t *p, unsigned n)
{
    const char *s = (const char *)p + p[1];

    while (--n > 0) {
        s += strlen(s) + 1;
    }
    return s;
}

/* The structure after the one at p. */
static const uint8_t *next(const uint8_t *p)
{
    p += p[1];
    while (p[0] != 0 || p[1] != 0) {
        p++;
    }
    return p + 2;
}

START_TEST(structures_form_a_chain_that_fills_the_table)
{
    static const struct {
        uint64_t ram;
        unsigned cpus;
        bool v3;
    } rows[] = {{1 << 30, 1, false}, {UINT64_C(20) << 30, 4, true}, {UINT64_C(3) << 40, 255, false},
                {1 << 20, 2000, false}};
    SmbiosConfig c;
    GByteArray *t, *a;
    unsigned seen[128] = {0}, n = 0;
    uint64_t mapped = 0;

    smbios_config_init(&c, "Standard PC (i440FX + PIIX, 1996)", rows[_i].ram, rows[_i].cpus);
    c.v3 = rows[_i].v3;
    smbios_build(&c, 0xf0020, &t, &a);
    const uint8_t *p = t->data, *end = t->data + t->len;
    for (; p < end; p = next(p), n++) {
        ck_assert_uint_lt(p[0], 128);
        seen[p[0]]++;
        if (p[0] == 19) {
            mapped += load_le(p + 23, 8) - load_le(p + 15, 8) + 1;
        }
    }
    ck_assert_ptr_eq(p, end);
    static const uint8_t once[] = {0, 1, 3, 16, 32, 127};
    for (unsigned i = 0; i < ARRAY_LEN(once); i++) {
        ck_assert_uint_eq(seen[once[i]], 1);
    }
    ck_assert_uint_eq(seen[4], rows[_i].cpus);
    ck_assert_uint_eq(mapped, rows[_i].ram);
    if (memcmp(a->data, "_SM_", 4) == 0) {
        ck_assert(!rows[_i].v3);
        ck_assert_uint_eq(sum(a->data, 31), 0);
        ck_assert_uint_eq(sum(a->data + 16, 15), 0);
        ck_assert_uint_eq(load_le(a->data + 22, 2), t->len);
        ck_assert_uint_eq(load_le(a->data + 24, 4), 0xf0020);
        ck_assert_uint_eq(load_le(a->data + 28, 2), n);
    } else {
        ck_assert_mem_eq(a->data, "_SM3_", 5);
        ck_assert_uint_eq(sum(a->data, 24), 0);
        ck_assert_uint_eq(load_le(a->data + 12, 4), t->len);
        ck_assert_uint_eq(load_le(a->data + 16, 8), 0xf0020);
    }
    g_byte_array_unref(t);
    g_byte_array_unref(a);
    smbios_config_clear(&c);
}
END_TEST

START_TEST(options_change_strings_and_the_uuid)
{
    SmbiosConfig c;
    GByteArray *t, *a;

    smbios_config_init(&c, "box", 1 << 30, 1);
    ck_assert(smbios_config_option(&c, "type=1,manufacturer=A,,B,serial=42,uuid="
                                       "01020304-0506-0708-090a-0b0c0d0e0f10", NULL));
    ck_assert(smbios_config_option(&c, "type=11,value=one,value=two", NULL));
    smbios_build(&c, 0, &t, &a);
    const uint8_t *p = next(t->data);
    ck_assert_uint_eq(p[0], 1);
    ck_assert_str_eq(string_of(p, p[4]), "A,B");
    ck_assert_str_eq(string_of(p, p[5]), "box");
    ck_assert_str_eq(string_of(p, p[7]), "42");
    static const uint8_t uuid[] = {4, 3, 2, 1, 6, 5, 8, 7, 9, 10, 11, 12, 13, 14, 15, 16};
    ck_assert_mem_eq(p + 8, uuid, 16);
    while (p[0] != 11) {
        p = next(p);
    }
    ck_assert_uint_eq(p[4], 2);
    ck_assert_str_eq(string_of(p, 2), "two");
    g_byte_array_unref(t);
    g_byte_array_unref(a);
    smbios_config_clear(&c);
}
END_TEST

START_TEST(bad_options_are_refused_with_a_reason)
{
    static const struct {
        const char *arg, *why;
    } rows[] = {
        {"", "must begin"}, {"manufacturer=x", "must begin"}, {"type=99,x=y", "must begin"},
        {"type=1,color=red", "color"}, {"type=1,serial", "serial"}, {"type=1,uuid=12", "not a UUID"},
    };
    SmbiosConfig c;

    smbios_config_init(&c, "box", 1 << 30, 1);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        g_autoptr(GError) error = NULL;
        ck_assert(!smbios_config_option(&c, rows[i].arg, &error));
        ck_assert_msg(strstr(error->message, rows[i].why) != NULL, "%s", error->message);
    }
    smbios_config_clear(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("smbios");
    TCase *tc = tcase_create("smbios");

    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, structures_form_a_chain_that_fills_the_table, 0, 4);
    tcase_add_test(tc, options_change_strings_and_the_uuid);
    tcase_add_test(tc, bad_options_are_refused_with_a_reason);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
