/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PIC, I/O APIC and PIT emulated elsewhere for a while. */
#include "hw/ioapic.h"
#include "hw/pic.h"
#include "hw/pit.h"

#include "tests/fake.h"
#include "tests/hw/window.h"

#include <string.h>

typedef struct {
    IrqChipHolder holder;
    IrqChips state;            /* what the holder makes of them */
    unsigned fetches, stores, lines;
    unsigned last_line, last_level;
} Elsewhere;

typedef struct {
    FakeClock clock;
    FakeIrq intr, irq0;
    Device *pic, *ioapic, *pit;
    ApicMessage last;
    unsigned messages;
    Elsewhere e;
} Rig;

static void told(void *arg, unsigned pin, int level)
{
    Elsewhere *e = arg;

    e->lines++;
    e->last_line = pin;
    e->last_level = (unsigned)level;
}

static void fetch(void *arg, IrqChipSet which, IrqChips *out)
{
    Elsewhere *e = arg;

    e->fetches++;
    *out = e->state;
}

static void store(void *arg, IrqChipSet which, const IrqChips *in)
{
    Elsewhere *e = arg;

    e->stores++;
    switch (which) {
    case IRQ_CHIP_PIC: memcpy(e->state.pic, in->pic, sizeof in->pic); break;
    case IRQ_CHIP_IOAPIC: e->state.ioapic = in->ioapic; break;
    case IRQ_CHIP_PIT: e->state.pit = in->pit; break;
    }
}

static void deliver(void *arg, const ApicMessage *m)
{
    ((Rig *)arg)->last = *m;
    ((Rig *)arg)->messages++;
}

static void init(Rig *r)
{
    static const uint16_t icw[][2] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1}, {0xa0, 0x11}, {0xa1, 0x28},
                                      {0xa1, 2}, {0xa1, 1}};

    *r = (Rig){0};
    r->e.holder = (IrqChipHolder){.arg = &r->e, .line = told, .fetch = fetch, .store = store,
                                  .has = IRQ_CHIP_PIC | IRQ_CHIP_IOAPIC | IRQ_CHIP_PIT};
    fake_clock_init(&r->clock);
    r->pic = pic_new(&FAKE_IRQ_LINE(&r->intr));
    r->ioapic = ioapic_new(0, deliver, r);
    r->pit = pit_new(&r->clock.timers, &FAKE_IRQ_LINE(&r->irq0));
    for (unsigned i = 0; i < 8; i++) {
        window_out(r->pic, icw[i][0] >= 0xa0 ? PIC_WINDOW_SLAVE : PIC_WINDOW_MASTER, icw[i][0] & 1, 1, icw[i][1]);
    }
}

static void clear(Rig *r)
{
    device_free(r->pit);
    device_free(r->ioapic);
    device_free(r->pic);
}

static void start_count(Rig *r, unsigned control, unsigned count)
{
    window_out(r->pit, PIT_WINDOW_COUNTERS, 3, 1, control);
    window_out(r->pit, PIT_WINDOW_COUNTERS, control >> 6, 1, count & 0xff);
    window_out(r->pit, PIT_WINDOW_COUNTERS, control >> 6, 1, count >> 8);
}

static uint64_t ticks(uint64_t n)
{
    return n * NS_PER_SEC / PIT_HZ + 1;
}

/* -- PIC -------------------------------------------------------------------------------------------------- */

START_TEST(the_pic_leaves_and_comes_back)
{
    Rig r;

    init(&r);
    window_out(r.pic, PIC_WINDOW_ELCR, 1, 1, 0x04);  /* input 10 by level */
    pic_set_irq(r.pic, 3, 1);
    pic_set_irq(r.pic, 3, 0);                        /* an edge, remembered */
    pic_set_irq(r.pic, 10, 1);
    window_out(r.pic, PIC_WINDOW_MASTER, 1, 1, 0x40);
    pic_export(r.pic, r.e.state.pic);
    ck_assert_uint_eq(r.e.state.pic[0].irr & 0x08, 0x08);
    ck_assert_uint_eq(r.e.state.pic[0].lines, 0);
    ck_assert_uint_eq(r.e.state.pic[1].irr, 0x04);
    pic_set_holder(r.pic, &r.e.holder);
    ck_assert_int_eq(r.intr.level, 0);               /* silent */
    pic_set_irq(r.pic, 5, 1);
    ck_assert_int_eq(r.intr.level, 0);

    r.e.state.pic[0].irr = 0x02;                     /* elsewhere 3 was taken, 1 came */
    r.e.state.pic[0].isr = 0x08;
    pic_import(r.pic, r.e.state.pic);
    pic_set_holder(r.pic, NULL);
    ck_assert_int_eq(r.intr.level, 1);
    ck_assert_int_eq(pic_ack(r.pic), 0x21);
    window_out(r.pic, PIC_WINDOW_MASTER, 0, 1, 0x61);
    ck_assert_int_eq(pic_ack(r.pic), 0x2a);          /* the level input is still up, above 3 in service */
    ck_assert_uint_eq(window_in(r.pic, PIC_WINDOW_MASTER, 1, 1), 0x40);
    clear(&r);
}
END_TEST

START_TEST(its_registers_are_reached_where_they_are)
{
    Rig r;

    init(&r);
    pic_export(r.pic, r.e.state.pic);
    pic_set_holder(r.pic, &r.e.holder);
    r.e.state.pic[1].imr = 0x5a;
    ck_assert_uint_eq(window_in(r.pic, PIC_WINDOW_SLAVE, 1, 1), 0x5a);
    window_out(r.pic, PIC_WINDOW_MASTER, 1, 1, 0xfb);
    ck_assert_uint_eq(r.e.state.pic[0].imr, 0xfb);
    ck_assert_uint_eq(r.e.state.pic[1].imr, 0x5a);
    r.e.state.pic[0].isr = 0x11;
    window_out(r.pic, PIC_WINDOW_MASTER, 0, 1, 0x20); /* an end of interrupt */
    ck_assert_uint_eq(r.e.state.pic[0].isr, 0x10);
    clear(&r);
}
END_TEST

/* -- I/O APIC ------------------------------------------------------------------------------------------------ */

static void write_rte(Rig *r, unsigned pin, uint64_t rte)
{
    window_out(r->ioapic, 0, 0, 4, 0x11 + 2 * pin);
    window_out(r->ioapic, 0, 0x10, 4, rte >> 32);
    window_out(r->ioapic, 0, 0, 4, 0x10 + 2 * pin);
    window_out(r->ioapic, 0, 0x10, 4, rte & 0xffffffff);
}

START_TEST(the_ioapic_leaves_and_comes_back)
{
    Rig r;

    init(&r);
    write_rte(&r, 9, UINT64_C(1) << 56 | 0x8051);    /* by level */
    write_rte(&r, 4, 0x0041);
    ioapic_export(r.ioapic, &r.e.state.ioapic);
    ioapic_set_holder(r.ioapic, &r.e.holder);
    ioapic_set_irq(r.ioapic, 9, 1);
    ck_assert_uint_eq(r.messages, 0);
    ck_assert(r.e.lines == 1 && r.e.last_line == 9 && r.e.last_level == 1);
    ioapic_set_irq(r.ioapic, 9, 1);                  /* no change */
    ck_assert_uint_eq(r.e.lines, 1);
    ioapic_set_irq(r.ioapic, 4, 1);

    ioapic_set_holder(r.ioapic, NULL);
    ioapic_import(r.ioapic, &r.e.state.ioapic);      /* nobody had answered the level */
    ck_assert_uint_eq(r.messages, 1);
    ck_assert(r.last.vector == 0x51 && r.last.dest == 1 && r.last.level);
    ioapic_eoi(r.ioapic, 0x51);
    ck_assert_uint_eq(r.messages, 2);
    ioapic_set_irq(r.ioapic, 4, 0);
    ioapic_set_irq(r.ioapic, 4, 1);
    ck_assert_uint_eq(r.last.vector, 0x41);
    clear(&r);
}
END_TEST

START_TEST(a_level_in_service_stays_in_service)
{
    Rig r;

    init(&r);
    write_rte(&r, 9, 0x8051);
    ioapic_export(r.ioapic, &r.e.state.ioapic);
    ioapic_set_holder(r.ioapic, &r.e.holder);
    ioapic_set_irq(r.ioapic, 9, 1);
    r.e.state.ioapic.rte[9] |= 1 << 14;              /* it was sent elsewhere; no end yet */
    window_out(r.ioapic, 0, 0, 4, 0x10 + 2 * 9);
    ck_assert_uint_eq(window_in(r.ioapic, 0, 0x10, 4), 0xc051);
    ioapic_set_holder(r.ioapic, NULL);
    ioapic_import(r.ioapic, &r.e.state.ioapic);
    ck_assert_uint_eq(r.messages, 0);
    ioapic_eoi(r.ioapic, 0x51);
    ck_assert_uint_eq(r.messages, 1);
    clear(&r);
}
END_TEST

/* -- PIT -------------------------------------------------------------------------------------------------------- */

START_TEST(the_pit_leaves_and_comes_back)
{
    Rig r;

    init(&r);
    start_count(&r, 0x34, 10000);
    start_count(&r, 0xb6, 2000);
    window_out(r.pit, PIT_WINDOW_PORT61, 0, 1, 3);
    fake_clock_go(&r.clock, ticks(12000));
    pit_export(r.pit, &r.e.state.pit);
    ck_assert_uint_eq(r.e.state.pit.channel[0].elapsed, 12000);
    ck_assert_uint_eq(r.e.state.pit.channel[0].count, 10000);
    ck_assert(r.e.state.pit.speaker && r.e.state.pit.channel[2].gate && !r.e.state.pit.silent);
    pit_set_holder(r.pit, &r.e.holder);
    ck_assert_int_eq(r.irq0.level, 0);
    unsigned before = r.irq0.rises;
    fake_clock_go(&r.clock, ticks(35000));
    ck_assert_uint_eq(r.irq0.rises, before);         /* it rests */

    for (unsigned n = 0; n < 3; n++) {
        r.e.state.pit.channel[n].unchanged = _i == 0;
        r.e.state.pit.channel[n].elapsed = 100;
    }
    r.e.state.pit.speaker = false;
    pit_import(r.pit, &r.e.state.pit);
    pit_set_holder(r.pit, NULL);
    before = r.irq0.rises;
    ck_assert_uint_eq(timer_queue_next(&r.clock.timers) / NS_PER_US,
                      ticks(_i == 0 ? 40000 : 35000 + 9900) / NS_PER_US);
    ck_assert_uint_eq(window_in(r.pit, PIT_WINDOW_PORT61, 0, 1) & 3, 1);
    clear(&r);
}
END_TEST

/* Once due while it was away, long ago or just now. */
START_TEST(a_single_count_is_neither_lost_nor_repeated)
{
    Rig r;

    init(&r);
    start_count(&r, 0x30, 1000);
    pit_export(r.pit, &r.e.state.pit);
    pit_set_holder(r.pit, &r.e.holder);
    fake_clock_go(&r.clock, ticks(_i == 0 ? 50000 : 1010));
    for (unsigned n = 0; n < 3; n++) {
        r.e.state.pit.channel[n].unchanged = true;
    }
    pit_import(r.pit, &r.e.state.pit);
    pit_set_holder(r.pit, NULL);
    unsigned before = r.irq0.rises;
    fake_clock_go(&r.clock, ticks(200000));
    ck_assert_uint_eq(r.irq0.rises - before, _i == 0 ? 0 : 1);
    clear(&r);
}
END_TEST

START_TEST(what_was_due_comes_before_it_leaves)
{
    Rig r;

    init(&r);
    start_count(&r, 0x30, 1000);
    r.clock.ns = ticks(1500);                        /* nobody has looked yet */
    pit_export(r.pit, &r.e.state.pit);
    ck_assert_uint_eq(r.irq0.rises, 1);
    clear(&r);
}
END_TEST

START_TEST(its_ports_are_reached_where_they_are)
{
    Rig r;

    init(&r);
    start_count(&r, 0x34, 10000);
    pit_export(r.pit, &r.e.state.pit);
    pit_set_holder(r.pit, &r.e.holder);
    start_count(&r, 0xb0, 77);
    ck_assert_uint_eq(r.e.state.pit.channel[2].count, 77);
    ck_assert_uint_eq(r.e.state.pit.channel[2].mode, 0);
    window_out(r.pit, PIT_WINDOW_PORT61, 0, 1, 3);
    ck_assert(r.e.state.pit.speaker && r.e.state.pit.channel[2].gate);
    pit_set_irq_enabled(r.pit, false);
    ck_assert(r.e.state.pit.silent);
    clear(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("irq-chips");
    TCase *t = tcase_create("irq-chips");

    suite_add_tcase(s, t);
    tcase_add_test(t, the_pic_leaves_and_comes_back);
    tcase_add_test(t, its_registers_are_reached_where_they_are);
    tcase_add_test(t, the_ioapic_leaves_and_comes_back);
    tcase_add_test(t, a_level_in_service_stays_in_service);
    tcase_add_loop_test(t, the_pit_leaves_and_comes_back, 0, 2);
    tcase_add_loop_test(t, a_single_count_is_neither_lost_nor_repeated, 0, 2);
    tcase_add_test(t, what_was_due_comes_before_it_leaves);
    tcase_add_test(t, its_ports_are_reached_where_they_are);
    return run_suite(s);
}
