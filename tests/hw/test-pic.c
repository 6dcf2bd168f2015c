/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/pic.h"

#include "tests/fake.h"
#include "tests/hw/window.h"

typedef struct {
    FakeIrq intr;
    Device *pic;
} Rig;

static void out(Rig *r, unsigned port, unsigned val)
{
    unsigned w = port >= 0x4d0 ? PIC_WINDOW_ELCR : port >= 0xa0 ? PIC_WINDOW_SLAVE
                                                                : PIC_WINDOW_MASTER;
    window_out(r->pic, w, port & 1, 1, val);
}

static unsigned in(Rig *r, unsigned port)
{
    return window_in(r->pic, port >= 0xa0 ? PIC_WINDOW_SLAVE : PIC_WINDOW_MASTER, port & 1, 1);
}

static void init_icw4(Rig *r, unsigned icw4)
{
    static const struct {
        uint16_t port;
        uint8_t val;
    } seq[] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 0x04}, {0xa0, 0x11}, {0xa1, 0x28}, {0xa1, 0x02}};

    *r = (Rig){0};
    r->pic = pic_new(&FAKE_IRQ_LINE(&r->intr));
    for (unsigned i = 0; i < 6; i++) {
        out(r, seq[i].port, seq[i].val);
        if (i % 3 == 2) {
            out(r, seq[i].port, icw4);
        }
    }
}

static void init(Rig *r)
{
    init_icw4(r, 0x01);
}

START_TEST(each_input_gives_its_vector)
{
    Rig r;

    init(&r);
    for (unsigned irq = 0; irq < 16; irq++) {
        if (irq == 2) {
            continue;
        }
        pic_set_irq(r.pic, irq, 1);
        ck_assert_int_eq(r.intr.level, 1);
        ck_assert_int_eq(pic_ack(r.pic), 0x20 + irq);
        ck_assert_int_eq(r.intr.level, 0);
        pic_set_irq(r.pic, irq, 0);
        if (irq >= 8) {
            out(&r, 0xa0, 0x20);
        }
        out(&r, 0x20, 0x20);
        ck_assert_int_eq(r.intr.level, 0);
    }
    device_free(r.pic);
}
END_TEST

START_TEST(in_service_holds_back_lower_and_admits_higher)
{
    Rig r;

    init(&r);
    pic_set_irq(r.pic, 4, 1);
    ck_assert_int_eq(pic_ack(r.pic), 0x24);
    pic_set_irq(r.pic, 5, 1);
    ck_assert_int_eq(r.intr.level, 0);
    pic_set_irq(r.pic, 1, 1);
    ck_assert_int_eq(r.intr.level, 1);
    ck_assert_int_eq(pic_ack(r.pic), 0x21);
    out(&r, 0x20, 0x0b);
    ck_assert_uint_eq(in(&r, 0x20), 0x12);
    out(&r, 0x20, 0x20);      /* ends 1, the highest */
    ck_assert_uint_eq(in(&r, 0x20), 0x10);
    ck_assert_int_eq(r.intr.level, 0);
    out(&r, 0x20, 0x64);      /* specific EOI of 4 */
    ck_assert_int_eq(pic_ack(r.pic), 0x25);
    device_free(r.pic);
}
END_TEST

START_TEST(edge_fires_once_and_level_again_after_eoi)
{
    Rig r;

    init(&r);
    pic_set_irq(r.pic, 5, 1);
    pic_ack(r.pic);
    out(&r, 0x20, 0x20);
    ck_assert_int_eq(r.intr.level, 0);

    out(&r, 0x4d1, 0xff);     /* 8 and 13 cannot be level */
    ck_assert_uint_eq(window_in(r.pic, PIC_WINDOW_ELCR, 1, 1), 0xde);
    pic_set_irq(r.pic, 11, 1);
    ck_assert_int_eq(pic_ack(r.pic), 0x2b);
    out(&r, 0xa0, 0x20);
    out(&r, 0x20, 0x20);
    ck_assert_int_eq(r.intr.level, 1);
    pic_set_irq(r.pic, 11, 0);
    ck_assert_int_eq(pic_ack(r.pic), 0x2f);  /* the slave's spurious vector */
    out(&r, 0x20, 0x20);
    ck_assert_int_eq(r.intr.level, 0);
    ck_assert_int_eq(pic_ack(r.pic), 0x27);  /* the master's */
    device_free(r.pic);
}
END_TEST

START_TEST(slave_with_two_requests_delivers_both)
{
    Rig r;

    init(&r);
    pic_set_irq(r.pic, 12, 1);
    pic_set_irq(r.pic, 14, 1);
    ck_assert_int_eq(pic_ack(r.pic), 0x2c);
    out(&r, 0xa0, 0x20);
    out(&r, 0x20, 0x20);
    ck_assert_int_eq(r.intr.level, 1);
    ck_assert_int_eq(pic_ack(r.pic), 0x2e);
    device_free(r.pic);
}
END_TEST

START_TEST(automatic_eoi_leaves_nothing_in_service)
{
    Rig r;

    init_icw4(&r, 0x03);
    pic_set_irq(r.pic, 9, 1);
    pic_set_irq(r.pic, 10, 1);
    ck_assert_int_eq(pic_ack(r.pic), 0x29);
    ck_assert_int_eq(r.intr.level, 1);
    ck_assert_int_eq(pic_ack(r.pic), 0x2a);
    ck_assert_int_eq(r.intr.level, 0);
    device_free(r.pic);
}
END_TEST

START_TEST(rotation_makes_the_served_input_the_lowest)
{
    Rig r;

    init(&r);
    pic_set_irq(r.pic, 3, 1);
    pic_ack(r.pic);
    out(&r, 0x20, 0xa0);      /* rotate on non-specific EOI */
    pic_set_irq(r.pic, 3, 0);
    pic_set_irq(r.pic, 3, 1);
    pic_set_irq(r.pic, 0, 1);
    pic_set_irq(r.pic, 4, 1);
    ck_assert_int_eq(pic_ack(r.pic), 0x24);
    out(&r, 0x20, 0x20);
    ck_assert_int_eq(pic_ack(r.pic), 0x20);
    out(&r, 0x20, 0x20);
    ck_assert_int_eq(pic_ack(r.pic), 0x23);
    out(&r, 0x20, 0x20);
    out(&r, 0x20, 0xc7);      /* set priority: 7 lowest again */
    device_free(r.pic);
}
END_TEST

START_TEST(special_mask_admits_what_a_masked_service_blocks)
{
    Rig r;

    init(&r);
    pic_set_irq(r.pic, 3, 1);
    pic_ack(r.pic);
    pic_set_irq(r.pic, 6, 1);
    ck_assert_int_eq(r.intr.level, 0);
    out(&r, 0x21, 0x08);
    out(&r, 0x20, 0x68);
    ck_assert_int_eq(r.intr.level, 1);
    ck_assert_int_eq(pic_ack(r.pic), 0x26);
    device_free(r.pic);
}
END_TEST

START_TEST(poll_acknowledges)
{
    Rig r;

    init(&r);
    out(&r, 0x20, 0x0c);
    ck_assert_uint_eq(in(&r, 0x20), 0);
    pic_set_irq(r.pic, 6, 1);
    out(&r, 0x20, 0x0c);
    ck_assert_uint_eq(in(&r, 0x20), 0x86);
    ck_assert_int_eq(r.intr.level, 0);
    out(&r, 0x20, 0x0b);
    ck_assert_uint_eq(in(&r, 0x20), 0x40);
    device_free(r.pic);
}
END_TEST

START_TEST(mask_hides_and_keeps_the_request)
{
    Rig r;

    init(&r);
    out(&r, 0x21, 0xff);
    pic_set_irq(r.pic, 1, 1);
    pic_set_irq(r.pic, 1, 0);
    ck_assert_int_eq(r.intr.level, 0);
    ck_assert_uint_eq(in(&r, 0x20), 0x02);
    out(&r, 0x21, 0xfd);
    ck_assert_int_eq(r.intr.level, 1);
    device_free(r.pic);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pic");
    TCase *t = tcase_create("pic");

    suite_add_tcase(s, t);
    tcase_add_test(t, each_input_gives_its_vector);
    tcase_add_test(t, in_service_holds_back_lower_and_admits_higher);
    tcase_add_test(t, edge_fires_once_and_level_again_after_eoi);
    tcase_add_test(t, slave_with_two_requests_delivers_both);
    tcase_add_test(t, automatic_eoi_leaves_nothing_in_service);
    tcase_add_test(t, rotation_makes_the_served_input_the_lowest);
    tcase_add_test(t, special_mask_admits_what_a_masked_service_blocks);
    tcase_add_test(t, poll_acknowledges);
    tcase_add_test(t, mask_hides_and_keeps_the_request);
    return run_suite(s);
}
