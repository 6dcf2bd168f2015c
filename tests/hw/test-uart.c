/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/uart.h"

#include "tests/fake.h"
#include "tests/hw/window.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };

typedef struct {
    Chardev chr;
    GString *sent;
    unsigned accepts;
} FakeChar;

typedef struct {
    FakeClock clock;
    FakeIrq irq;
    FakeChar chr;
    Device *uart;
} Rig;

static void fake_write(Chardev *c, const uint8_t *buf, size_t len)
{
    g_string_append_len(((FakeChar *)c)->sent, (const char *)buf, len);
}

static void fake_accept(Chardev *c)
{
    ((FakeChar *)c)->accepts++;
}

static const ChardevClass fake_class = {"fake", fake_write, fake_accept, NULL, NULL};

static void init(Rig *r)
{
    *r = (Rig){.chr = {.chr = {.cls = &fake_class, .open = true}, .sent = g_string_new(NULL)}};
    fake_clock_init(&r->clock);
    r->uart = uart_new(&r->clock.timers, &FAKE_IRQ_LINE(&r->irq), &r->chr.chr);
}

static void clear(Rig *r)
{
    device_free(r->uart);
    g_string_free(r->chr.sent, TRUE);
}

static void out(Rig *r, unsigned off, unsigned val)
{
    window_out(r->uart, 0, off, 1, val);
}

static unsigned in(Rig *r, unsigned off)
{
    return window_in(r->uart, 0, off, 1);
}

static size_t type(Rig *r, const char *s)
{
    return chardev_deliver(&r->chr.chr, (const uint8_t *)s, strlen(s));
}

static void listen(Rig *r)
{
    out(r, IER, 0x01);
    fake_clock_go(&r->clock, r->clock.ns + 20 * NS_PER_MS);
}

START_TEST(bytes_written_arrive_in_order)
{
    Rig r;

    init(&r);
    for (const char *p = "hello\n"; *p != 0; p++) {
        ck_assert_uint_eq(in(&r, LSR), 0x60);
        out(&r, DATA, *p);
    }
    ck_assert_str_eq(r.chr.sent->str, "hello\n");
    clear(&r);
}
END_TEST

START_TEST(transmitter_interrupt_comes_when_enabled_and_after_each_byte)
{
    Rig r;

    init(&r);
    ck_assert_uint_eq(in(&r, IIR), 0x01);
    out(&r, IER, 0x02);
    ck_assert_int_eq(r.irq.level, 1);
    ck_assert_uint_eq(in(&r, IIR), 0x02);     /* reading it is the acknowledgement */
    ck_assert_int_eq(r.irq.level, 0);
    ck_assert_uint_eq(in(&r, IIR), 0x01);
    out(&r, DATA, 'x');
    ck_assert_int_eq(r.irq.level, 1);
    in(&r, IIR);
    out(&r, IER, 0x00);
    out(&r, IER, 0x02);
    ck_assert_int_eq(r.irq.level, 1);         /* asked again: told again */
    clear(&r);
}
END_TEST

START_TEST(without_fifo_one_byte_at_a_time)
{
    Rig r;

    init(&r);
    listen(&r);
    ck_assert_uint_eq(type(&r, "abc"), 1);
    ck_assert_uint_eq(in(&r, LSR), 0x61);
    ck_assert_uint_eq(in(&r, IIR), 0x04);
    unsigned accepts = r.chr.accepts;
    ck_assert_uint_eq(in(&r, DATA), 'a');
    ck_assert_uint_eq(r.chr.accepts, accepts + 1);
    ck_assert_uint_eq(in(&r, LSR), 0x60);
    ck_assert_int_eq(r.irq.level, 0);
    clear(&r);
}
END_TEST

START_TEST(fifo_interrupts_at_the_trigger_and_on_timeout_below_it)
{
    Rig r;

    init(&r);
    out(&r, LCR, 0x83);
    out(&r, DATA, 1);                         /* 115200 */
    out(&r, IER, 0);
    out(&r, LCR, 0x03);
    out(&r, IIR, 0x81);                       /* trigger 8 */
    listen(&r);
    ck_assert_uint_eq(in(&r, IIR), 0xc1);
    ck_assert_uint_eq(type(&r, "12345678abcdefghijkl"), 16);
    ck_assert_uint_eq(in(&r, IIR), 0xc4);
    for (unsigned i = 0; i < 9; i++) {
        in(&r, DATA);
    }
    ck_assert_int_eq(r.irq.level, 0);
    fake_clock_go(&r.clock, r.clock.ns + 300 * NS_PER_US);
    ck_assert_int_eq(r.irq.level, 0);
    fake_clock_go(&r.clock, r.clock.ns + 100 * NS_PER_US);
    ck_assert_uint_eq(in(&r, IIR), 0xcc);
    ck_assert_uint_eq(in(&r, DATA), 'b');
    ck_assert_int_eq(r.irq.level, 0);
    out(&r, IIR, 0x83);                       /* clear the receiver */
    ck_assert_uint_eq(in(&r, LSR), 0x60);
    clear(&r);
}
END_TEST

START_TEST(loopback_returns_bytes_and_modem_lines)
{
    Rig r;

    init(&r);
    ck_assert_uint_eq(in(&r, MSR) & 0xf0, 0xb0);
    out(&r, MCR, 0x1a);                       /* loop, OUT2, RTS */
    ck_assert_uint_eq(in(&r, MSR) & 0xf0, 0x90);
    ck_assert_uint_eq(in(&r, MSR) & 0x0f, 0x00);
    ck_assert_uint_eq(type(&r, "x"), 0);      /* the line is disconnected */
    out(&r, DATA, 0x5a);
    ck_assert_uint_eq(in(&r, DATA), 0x5a);
    ck_assert_uint_eq(r.chr.sent->len, 0);
    out(&r, IER, 0x08);
    out(&r, MCR, 0x1b);
    ck_assert_uint_eq(in(&r, IIR), 0x00);     /* DSR changed */
    ck_assert_uint_eq(in(&r, MSR), 0xb2);
    ck_assert_int_eq(r.irq.level, 0);
    clear(&r);
}
END_TEST

START_TEST(input_waits_until_the_guest_listens)
{
    Rig r;

    init(&r);
    for (unsigned i = 0; i < 3; i++) {        /* a driver starts */
        out(&r, IIR, 0x07);
        ck_assert_uint_eq(type(&r, "abc"), 0);
        in(&r, LSR);
        ck_assert_uint_eq(in(&r, DATA), 0);
    }
    for (unsigned i = 0; i < 100; i++) {      /* it prints */
        in(&r, LSR);
        out(&r, DATA, 'x');
        ck_assert_uint_eq(type(&r, "abc"), 0);
    }
    unsigned accepts = r.chr.accepts;
    out(&r, IER, 0x0f);                       /* it probes */
    ck_assert_uint_eq(type(&r, "abc"), 0);
    out(&r, IER, 0x00);
    out(&r, IIR, 0x00);
    ck_assert_uint_eq(r.chr.accepts, accepts);
    listen(&r);
    ck_assert_uint_eq(r.chr.accepts, accepts + 1);
    ck_assert_uint_eq(type(&r, "abc"), 1);
    out(&r, IIR, 0x01);                       /* the FIFO comes later and loses nothing */
    ck_assert_uint_eq(type(&r, "bc"), 2);
    out(&r, IER, 0x00);
    out(&r, IER, 0x01);
    ck_assert_uint_eq(type(&r, "d"), 1);      /* once it listens, a pause is no new start */
    clear(&r);

    init(&r);
    for (unsigned i = 0; i < 10; i++) {       /* it polls */
        in(&r, LSR);
    }
    ck_assert_uint_eq(type(&r, "abc"), 1);
    ck_assert_uint_eq(in(&r, DATA), 'a');
    ck_assert_uint_eq(type(&r, "bc"), 1);     /* and goes on */
    clear(&r);
}
END_TEST

START_TEST(break_raises_line_status)
{
    Rig r;

    init(&r);
    out(&r, IIR, 0x01);
    out(&r, IER, 0x04);
    chardev_event(&r.chr.chr, CHAR_BREAK);
    ck_assert_uint_eq(in(&r, IIR), 0xc6);
    ck_assert_uint_eq(in(&r, LSR), 0xf1);
    ck_assert_int_eq(r.irq.level, 0);
    ck_assert_uint_eq(in(&r, LSR), 0x61);
    ck_assert_uint_eq(in(&r, DATA), 0);
    clear(&r);
}
END_TEST

START_TEST(divisor_scratch_and_unused_bits)
{
    Rig r;

    init(&r);
    out(&r, LCR, 0x80);
    out(&r, DATA, 0x34);
    out(&r, IER, 0x12);
    ck_assert_uint_eq(in(&r, DATA), 0x34);
    ck_assert_uint_eq(in(&r, IER), 0x12);
    out(&r, LCR, 0x03);
    out(&r, IER, 0xff);
    ck_assert_uint_eq(in(&r, IER), 0x0f);
    out(&r, SCR, 0xa5);
    ck_assert_uint_eq(in(&r, SCR), 0xa5);
    out(&r, MCR, 0xff);
    ck_assert_uint_eq(in(&r, MCR), 0x1f);
    clear(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("uart");
    TCase *t = tcase_create("uart");

    suite_add_tcase(s, t);
    tcase_add_test(t, bytes_written_arrive_in_order);
    tcase_add_test(t, transmitter_interrupt_comes_when_enabled_and_after_each_byte);
    tcase_add_test(t, without_fifo_one_byte_at_a_time);
    tcase_add_test(t, fifo_interrupts_at_the_trigger_and_on_timeout_below_it);
    tcase_add_test(t, loopback_returns_bytes_and_modem_lines);
    tcase_add_test(t, input_waits_until_the_guest_listens);
    tcase_add_test(t, break_raises_line_status);
    tcase_add_test(t, divisor_scratch_and_unused_bits);
    return run_suite(s);
}
