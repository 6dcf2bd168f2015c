/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/i8042.h"

#include "tests/fake.h"
#include "tests/hw/window.h"

#include <stdio.h>

typedef struct {
    FakeIrq irq1, irq12;
    unsigned resets;
    bool a20;
    Device *kbc;
} Rig;

static void note_reset(void *arg)
{
    ((Rig *)arg)->resets++;
}

static void note_a20(void *arg, bool on)
{
    ((Rig *)arg)->a20 = on;
}

static void init(Rig *r)
{
    *r = (Rig){0};
    r->kbc = i8042_new(&(I8042Config){.irq1 = FAKE_IRQ_LINE(&r->irq1),
                                      .irq12 = FAKE_IRQ_LINE(&r->irq12), .mouse = true, .arg = r,
                                      .reset = note_reset, .set_a20 = note_a20});
}

static void cmd(Rig *r, unsigned val)
{
    window_out(r->kbc, I8042_WINDOW_COMMAND, 0, 1, val);
}

static void out(Rig *r, unsigned val)
{
    window_out(r->kbc, I8042_WINDOW_DATA, 0, 1, val);
}

static unsigned status(Rig *r)
{
    return window_in(r->kbc, I8042_WINDOW_COMMAND, 0, 1);
}

static unsigned in(Rig *r)
{
    return window_in(r->kbc, I8042_WINDOW_DATA, 0, 1);
}

/* Everything that waits, as hex. */
static void assert_says(Rig *r, const char *want)
{
    char have[200] = "";

    while (status(r) & 1) {
        snprintf(have + strlen(have), sizeof have - strlen(have), "%s%02x", *have ? " " : "",
                 in(r));
    }
    ck_assert_str_eq(have, want);
}

START_TEST(controller_commands_answer)
{
    Rig r;

    init(&r);
    cmd(&r, 0xaa);
    assert_says(&r, "55");
    ck_assert_uint_eq(status(&r) & 0x04, 0x04);
    cmd(&r, 0xab);
    assert_says(&r, "00");
    cmd(&r, 0xa9);
    assert_says(&r, "00");
    cmd(&r, 0x60);
    out(&r, 0x47);
    cmd(&r, 0x20);
    ck_assert_int_eq(r.irq1.level, 0);        /* the controller's answers do not interrupt */
    assert_says(&r, "47");
    cmd(&r, 0xa7);
    cmd(&r, 0xad);
    cmd(&r, 0x20);
    assert_says(&r, "77");
    cmd(&r, 0xd3);
    out(&r, 0x5a);
    ck_assert_uint_eq(status(&r) & 0x21, 0x21);
    ck_assert_int_eq(r.irq12.level, 1);
    assert_says(&r, "5a");
    device_free(r.kbc);
}
END_TEST

START_TEST(keyboard_commands_answer)
{
    static const struct {
        uint8_t byte[2];
        unsigned n;
        const char *says;
    } rows[] = {
        {{0xff}, 1, "fa aa"}, {{0xf2}, 1, "fa ab 83"}, {{0xed, 0x07}, 2, "fa fa"},
        {{0xf3, 0x20}, 2, "fa fa"}, {{0xf4}, 1, "fa"}, {{0xf5}, 1, "fa"}, {{0xf6}, 1, "fa"},
        {{0xee}, 1, "ee"}, {{0xf0, 0x00}, 2, "fa fa 02"}, {{0x01}, 1, "fe"}, {{0xfe}, 1, "fe"},
    };
    Rig r;

    init(&r);
    cmd(&r, 0x60);
    out(&r, 0x01);                            /* no translation */
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char have[40] = "";
        for (unsigned n = 0; n < rows[i].n; n++) {
            out(&r, rows[i].byte[n]);
            while (status(&r) & 1) {
                ck_assert_int_eq(r.irq1.level, 1);
                snprintf(have + strlen(have), sizeof have - strlen(have), "%s%02x",
                         *have ? " " : "", in(&r));
            }
        }
        ck_assert_str_eq(have, rows[i].says);
        ck_assert_int_eq(r.irq1.level, 0);
    }
    ck_assert_uint_eq(i8042_keyboard(r.kbc)->leds, 0x07);
    device_free(r.kbc);
}
END_TEST

START_TEST(keys_translate_to_set_1)
{
    static const struct {
        const char *name, *set1, *set2;
    } rows[] = {
        {"a", "1e 9e", "1c f0 1c"},
        {"f7", "41 c1", "83 f0 83"},
        {"up", "e0 48 e0 c8", "e0 75 e0 f0 75"},
        {"ctrl_r", "e0 1d e0 9d", "e0 14 e0 f0 14"},
        {"pause", "e1 1d 45 e1 9d c5", "e1 14 77 e1 f0 14 f0 77"},
        {"print", "e0 2a e0 37 e0 b7 e0 aa", "e0 12 e0 7c e0 f0 7c e0 f0 12"},
        {"sysrq", "54 d4", "84 f0 84"},
        {"esc", "01 81", "76 f0 76"},
    };
    for (unsigned raw = 0; raw < 3; raw++) {
        Rig r;

        init(&r);
        cmd(&r, 0x60);
        out(&r, raw == 0 ? 0x41 : 0x01);
        if (raw == 2) {
            out(&r, 0xf0);
            in(&r);
            out(&r, 0x01);
            in(&r);
        }
        for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
            int key = ps2_key_find(rows[i].name);
            ck_assert_int_gt(key, 0);
            ps2_kbd_put_key(i8042_keyboard(r.kbc), key, true);
            ps2_kbd_put_key(i8042_keyboard(r.kbc), key, false);
            assert_says(&r, raw == 1 ? rows[i].set2 : rows[i].set1);
        }
        device_free(r.kbc);
    }
}
END_TEST

START_TEST(each_byte_is_an_edge_of_its_own)
{
    Rig r;

    init(&r);
    ps2_kbd_put_key(i8042_keyboard(r.kbc), 0x1e, true);
    ps2_kbd_put_key(i8042_keyboard(r.kbc), 0x1e, false);
    ck_assert_uint_eq(r.irq1.rises, 1);
    in(&r);
    ck_assert_uint_eq(r.irq1.rises, 2);
    in(&r);
    ck_assert_int_eq(r.irq1.level, 0);
    for (unsigned i = 0; i < 1000; i++) {
        ps2_kbd_put_key(i8042_keyboard(r.kbc), 0x1e, i & 1);
    }
    unsigned n = 0;
    while (status(&r) & 1) {
        in(&r);
        n++;
    }
    ck_assert_uint_le(n, PS2_N_EVENTS + 1);
    device_free(r.kbc);
}
END_TEST

static void aux(Rig *r, unsigned val, const char *says)
{
    cmd(r, 0xd4);
    out(r, val);
    assert_says(r, says);
}

START_TEST(mouse_reports_and_finds_its_wheel)
{
    Rig r;

    init(&r);
    cmd(&r, 0x60);
    out(&r, 0x43);
    aux(&r, 0xff, "fa aa 00");
    aux(&r, 0xf2, "fa 00");
    aux(&r, 0xf4, "fa");
    ps2_mouse_move(i8042_mouse(r.kbc), 5, -3, 1, PS2_BUTTON_LEFT);
    ck_assert_int_eq(r.irq12.level, 1);
    ck_assert_int_eq(r.irq1.level, 0);
    ck_assert_uint_eq(status(&r) & 0x21, 0x21);
    assert_says(&r, "29 05 fd");
    for (unsigned i = 0; i < 3; i++) {
        aux(&r, 0xf3, "fa");
        aux(&r, (const uint8_t[]){200, 100, 80}[i], "fa");
    }
    aux(&r, 0xf2, "fa 03");
    ps2_mouse_move(i8042_mouse(r.kbc), 0, 0, -1, PS2_BUTTON_LEFT);
    assert_says(&r, "09 00 00 ff");
    ps2_mouse_move(i8042_mouse(r.kbc), 300, 0, 0, 0);
    assert_says(&r, "08 ff 00 00 08 2d 00 00");
    aux(&r, 0xe9, "fa 20 02 50");
    device_free(r.kbc);
}
END_TEST

START_TEST(reset_pulse_and_a20)
{
    Rig r;

    init(&r);
    ck_assert(r.a20);
    cmd(&r, 0xd1);
    out(&r, 0xdd);
    ck_assert(!r.a20);
    cmd(&r, 0xd0);
    ck_assert_uint_eq(in(&r) & 2, 0);
    cmd(&r, 0xd1);
    out(&r, 0xdf);
    ck_assert(r.a20);
    cmd(&r, 0xff);                            /* pulses nothing */
    ck_assert_uint_eq(r.resets, 0);
    cmd(&r, 0xfe);
    ck_assert_uint_eq(r.resets, 1);
    device_free(r.kbc);
}
END_TEST

START_TEST(characters_find_their_keys)
{
    bool shift;

    ck_assert_int_eq(ps2_key_from_char('a', &shift), 0x1e);
    ck_assert(!shift);
    ck_assert_int_eq(ps2_key_from_char('?', &shift), 0x35);
    ck_assert(shift);
    ck_assert_int_eq(ps2_key_from_char('\n', &shift), 0x1c);
    ck_assert_int_eq(ps2_key_from_char('|', &shift), 0x2b);
    ck_assert_int_eq(ps2_key_from_char('\1', &shift), -1);
    ck_assert_int_eq(ps2_key_find("no such key"), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("i8042");
    TCase *t = tcase_create("i8042");

    suite_add_tcase(s, t);
    tcase_add_test(t, controller_commands_answer);
    tcase_add_test(t, keyboard_commands_answer);
    tcase_add_test(t, keys_translate_to_set_1);
    tcase_add_test(t, each_byte_is_an_edge_of_its_own);
    tcase_add_test(t, mouse_reports_and_finds_its_wheel);
    tcase_add_test(t, reset_pulse_and_a20);
    tcase_add_test(t, characters_find_their_keys);
    return run_suite(s);
}
