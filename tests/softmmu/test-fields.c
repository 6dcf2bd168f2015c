/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/base/fields.c. */
#include "softmmu/base/fields.h"

#include "softmmu/base/timer.h"
#include "tests/fake.h"
#include "tests/suite.h"

#include <string.h>

typedef struct {
    uint16_t a;
    bool b;
} Part;

typedef struct {
    uint32_t number;
    uint8_t bytes[5];
    bool yes, many[3];
    uint8_t limited;
    uint16_t wired;
    Part part, parts[2];
    Part *found;
    unsigned n_found;
    Timer timer;
    unsigned saved, loaded;
} Whole;

static void *find_part(void *state, unsigned i, const FieldTable **table);
static bool saving(void *state, GError **error);
static bool loaded(void *state, GError **error);

static const Field part_fields[] = {FIELD(Part, a), FIELD(Part, b)};
static const FieldTable part_table = {.version = 3, FIELDS(part_fields)};
static const Field fields[] = {
    FIELD(Whole, number), FIELD(Whole, bytes), FIELD(Whole, yes), FIELD(Whole, many), FIELD_MAX(Whole, limited, 9),
    FIELD_SAME(Whole, wired), FIELD_STRUCT(Whole, part, part_table), FIELD_ARRAY(Whole, parts, part_table),
    FIELD_FIND("found", find_part), FIELD_TIMER(Whole, timer),
};
static const FieldTable table = {.version = 1, FIELDS(fields), .saving = saving, .loaded = loaded};

static FakeClock fake;
static Whole from, to;
static Part from_found[2], to_found[2];
static GByteArray *out;

static void *find_part(void *state, unsigned i, const FieldTable **t)
{
    Whole *w = state;

    *t = &part_table;
    return i < w->n_found ? &w->found[i] : NULL;
}

static bool saving(void *state, GError **error)
{
    ((Whole *)state)->saved++;
    return true;
}

static bool loaded(void *state, GError **error)
{
    ((Whole *)state)->loaded++;
    return true;
}

static void never(void *arg)
{
    g_assert_not_reached();
}

static void set_up(void)
{
    fake_clock_init(&fake);
    from = (Whole){.number = 0xdeadbeef, .bytes = {1, 2, 3, 4, 5}, .yes = true, .many = {true, false, true}, .limited = 9,
                   .wired = 77, .part = {11, true}, .parts = {{22, false}, {33, true}}, .found = from_found, .n_found = 2};
    from_found[0] = (Part){44, true};
    from_found[1] = (Part){55, false};
    to = (Whole){.wired = 77, .found = to_found, .n_found = 2};
    memset(to_found, 0, sizeof to_found);
    timer_init(&from.timer, &fake.timers, never, NULL);
    timer_init(&to.timer, &fake.timers, never, NULL);
    timer_set(&from.timer, 123456);
    out = g_byte_array_new();
    ck_assert(fields_save(out, &table, &from, NULL));
}

static void tear_down(void)
{
    timer_cancel(&from.timer);
    timer_cancel(&to.timer);
    g_byte_array_unref(out);
}

/* Load, and expect an error that contains `text`; NULL: none. */
static void expect(const char *text, size_t len)
{
    g_autoptr(GError) error = NULL;
    bool ok = fields_load(out->data, len, &table, &to, &error);

    if (text == NULL) {
        ck_assert_msg(ok, "%s", ok ? "" : error->message);
        return;
    }
    ck_assert(!ok);
    ck_assert_msg(strstr(error->message, text) != NULL, "'%s' is not in '%s'", text, error->message);
}

START_TEST(what_was_saved_is_loaded)
{
    expect(NULL, out->len);
    ck_assert_uint_eq(to.number, from.number);
    ck_assert_mem_eq(to.bytes, from.bytes, sizeof to.bytes);
    ck_assert(to.yes && to.many[0] && !to.many[1] && to.many[2]);
    ck_assert_uint_eq(to.limited, 9);
    ck_assert_uint_eq(to.part.a, 11);
    ck_assert_uint_eq(to.parts[1].a, 33);
    ck_assert(to.parts[1].b && !to.parts[0].b);
    ck_assert_uint_eq(to_found[1].a, 55);
    ck_assert_uint_eq(to.timer.at_ns, 123456);
    ck_assert_uint_eq(timer_queue_next(&fake.timers), 123456);
    ck_assert_uint_eq(from.saved, 1);
    ck_assert_uint_eq(to.loaded, 1);
}
END_TEST

START_TEST(what_is_cut_off_anywhere_is_refused)
{
    for (size_t len = 0; len < out->len; len++) {
        /* a copy of exactly this length: sanitizers see what is read behind it */
        g_autofree uint8_t *copy = g_memdup2(out->data, len);
        g_autoptr(GError) error = NULL;

        ck_assert(!fields_load(copy, len, &table, &to, &error));
        ck_assert_ptr_nonnull(error);
    }
    ck_assert_uint_eq(to.loaded, 0);
}
END_TEST

START_TEST(more_than_there_is_is_refused)
{
    g_byte_array_append(out, (const uint8_t *)"x", 1);
    expect("something follows its last field", out->len);
}
END_TEST

/* The place of a field's bytes. */
static uint8_t *bytes_of(const char *name)
{
    uint8_t *p = memmem(out->data, out->len, name, strlen(name));

    ck_assert_ptr_nonnull(p);
    return p + strlen(name) + 4;
}

START_TEST(values_that_the_table_does_not_allow_are_refused)
{
    *bytes_of("many") = 2;
    expect("many: neither yes nor no", out->len);
    ck_assert(!to.many[0]);
    *bytes_of("many") = 0;
    *bytes_of("limited") = 10;
    expect("limited: 10 is more than 9", out->len);
    *bytes_of("limited") = 0;
    *bytes_of("wired") = 76;
    expect("wired: it was 76, and is 77 here", out->len);
}
END_TEST

START_TEST(other_fields_lengths_numbers_of_parts_and_versions_are_refused)
{
    uint8_t *number = bytes_of("number");

    number[-5] = 'R';
    expect("number: there is 'numbeR' in its place", out->len);
    number[-5] = 'r';
    number[-4] = 3;
    expect("number: it has 3 bytes, not 4", out->len);
    number[-4] = 4;
    to.n_found = 1;
    expect("found: there are less than 2 parts here", out->len);
    to.n_found = 2;
    bytes_of("found")[0] = 1;
    expect("found: there are more than 1 parts here", out->len);
    bytes_of("found")[0] = 2;
    bytes_of("found")[8] = 4;
    expect("found[0].version 4, not 3", out->len);
    out->data[0] = 2;
    expect("version 2, not 1", out->len);
}
END_TEST

START_TEST(any_byte_may_be_damaged)
{
    for (size_t at = 0; at < out->len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            out->data[at] ^= (uint8_t)(1 << bit);
            fields_load(out->data, out->len, &table, &to, NULL);
            ck_assert_uint_le(to.limited, 9);
            ck_assert_uint_eq(to.wired, 77);
            out->data[at] ^= (uint8_t)(1 << bit);
        }
    }
    expect(NULL, out->len);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("softmmu/fields");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, what_was_saved_is_loaded);
    tcase_add_test(t, what_is_cut_off_anywhere_is_refused);
    tcase_add_test(t, more_than_there_is_is_refused);
    tcase_add_test(t, values_that_the_table_does_not_allow_are_refused);
    tcase_add_test(t, other_fields_lengths_numbers_of_parts_and_versions_are_refused);
    tcase_add_test(t, any_byte_may_be_damaged);
    suite_add_tcase(s, t);
    return s;
}
