/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local APICs, the I/O APIC and the bus between them, as one system of three CPUs. */
#include "hw/apic-bus.h"
#include "hw/ioapic.h"
#include "hw/lapic.h"

#include "softmmu/base/bits.h"
#include "tests/fake.h"
#include "tests/hw/window.h"

enum { N_CPUS = 3 };

typedef struct {
    bool intr;
    unsigned nmis, inits, sipis, sipi_vector;
} Cpu;

typedef struct {
    FakeClock clock;
    int current;
    Device *bus, *ioapic, *apic[N_CPUS];
    Cpu cpu[N_CPUS];
    int pic_vector;
} Rig;

static void sink_intr(void *arg, bool level)
{
    ((Cpu *)arg)->intr = level;
}

static void sink_nmi(void *arg)
{
    ((Cpu *)arg)->nmis++;
}

static void sink_init(void *arg)
{
    ((Cpu *)arg)->inits++;
}

static void sink_sipi(void *arg, uint8_t vector)
{
    ((Cpu *)arg)->sipis++;
    ((Cpu *)arg)->sipi_vector = vector;
}

static int current_cpu(void *arg)
{
    return ((Rig *)arg)->current;
}

static int fake_pic_ack(void *arg)
{
    return ((Rig *)arg)->pic_vector;
}

/* 2 GHz */
static uint64_t tsc_now(void *arg)
{
    return ((Rig *)arg)->clock.ns * 2;
}

static const uint64_t tsc_hz = 2000000000;

static void init(Rig *r)
{
    *r = (Rig){.pic_vector = 0x30};
    fake_clock_init(&r->clock);
    r->bus = apic_bus_new(current_cpu, r);
    r->ioapic = ioapic_new(N_CPUS, apic_bus_deliver, r->bus);
    apic_bus_set_ioapic(r->bus, r->ioapic);
    for (unsigned i = 0; i < N_CPUS; i++) {
        r->apic[i] = lapic_new(&(LapicConfig){
            .bus = r->bus, .timers = &r->clock.timers, .id = i, .bsp = i == 0, .x2apic = true,
            .tsc_deadline = true, .tsc_arg = r, .tsc_now = tsc_now, .tsc_hz = &tsc_hz,
            .pic_arg = r, .pic_ack = fake_pic_ack,
            .sink = {&r->cpu[i], sink_intr, sink_nmi, sink_init, sink_sipi, NULL}});
    }
}

static void clear(Rig *r)
{
    for (unsigned i = 0; i < N_CPUS; i++) {
        device_free(r->apic[i]);
    }
    device_free(r->ioapic);
    device_free(r->bus);
}

static void wr(Rig *r, unsigned cpu, unsigned off, uint32_t val)
{
    r->current = cpu;
    window_out(r->bus, 0, off, 4, val);
}

static uint32_t rd(Rig *r, unsigned cpu, unsigned off)
{
    r->current = cpu;
    return window_in(r->bus, 0, off, 4);
}

static void enable(Rig *r)
{
    for (unsigned i = 0; i < N_CPUS; i++) {
        wr(r, i, 0xf0, 0x1ff);
        wr(r, i, 0xd0, (1u << 24) << i);
    }
}

static void route(Rig *r, unsigned pin, uint64_t entry)
{
    window_out(r->ioapic, 0, 0x00, 4, 0x11 + 2 * pin);
    window_out(r->ioapic, 0, 0x10, 4, entry >> 32);
    window_out(r->ioapic, 0, 0x00, 4, 0x10 + 2 * pin);
    window_out(r->ioapic, 0, 0x10, 4, entry);
}

static uint64_t routed(Rig *r, unsigned pin)
{
    window_out(r->ioapic, 0, 0x00, 4, 0x10 + 2 * pin);
    return window_in(r->ioapic, 0, 0x10, 4);
}

START_TEST(each_cpu_sees_its_own_page)
{
    Rig r;

    init(&r);
    for (unsigned i = 0; i < N_CPUS; i++) {
        ck_assert_uint_eq(rd(&r, i, 0x20), i << 24);
    }
    ck_assert_uint_eq(rd(&r, 0, 0x30), 0x50014);
    ck_assert_uint_eq(rd(&r, 0, 0xf0), 0xff);
    ck_assert_uint_eq(rd(&r, 1, 0x350), 0x10000);
    clear(&r);
}
END_TEST

START_TEST(priority_orders_delivery_and_eoi_releases)
{
    Rig r;

    init(&r);
    enable(&r);
    apic_bus_msi(r.bus, 0xfee01000, 0x41);
    apic_bus_msi(r.bus, 0xfee01000, 0x52);
    ck_assert(r.cpu[1].intr && !r.cpu[0].intr);
    ck_assert_int_eq(lapic_ack(r.apic[1]), 0x52);
    ck_assert(!r.cpu[1].intr);                 /* 0x41 is below 0x52's class */
    ck_assert_uint_eq(rd(&r, 1, 0xa0), 0x50);
    apic_bus_msi(r.bus, 0xfee01000, 0x5f);
    ck_assert(!r.cpu[1].intr);                 /* same class waits */
    apic_bus_msi(r.bus, 0xfee01000, 0x61);
    ck_assert_int_eq(lapic_ack(r.apic[1]), 0x61);
    wr(&r, 1, 0xb0, 0);
    ck_assert(!r.cpu[1].intr);
    wr(&r, 1, 0xb0, 0);
    ck_assert_int_eq(lapic_ack(r.apic[1]), 0x5f);
    wr(&r, 1, 0xb0, 0);
    ck_assert_int_eq(lapic_ack(r.apic[1]), 0x41);
    wr(&r, 1, 0xb0, 0);
    ck_assert_int_eq(lapic_ack(r.apic[1]), -1);
    clear(&r);
}
END_TEST

START_TEST(tpr_and_cr8_hold_back)
{
    Rig r;

    init(&r);
    enable(&r);
    lapic_set_cr8(r.apic[0], 5);
    ck_assert_uint_eq(rd(&r, 0, 0x80), 0x50);
    apic_bus_msi(r.bus, 0xfee00000, 0x5f);
    ck_assert(!r.cpu[0].intr);
    wr(&r, 0, 0x80, 0x4f);
    ck_assert_uint_eq(lapic_get_cr8(r.apic[0]), 4);
    ck_assert(r.cpu[0].intr);
    lapic_set_cr8(r.apic[0], 15);
    ck_assert(!r.cpu[0].intr);
    ck_assert_int_eq(lapic_ack(r.apic[0]), -1);
    clear(&r);
}
END_TEST

START_TEST(level_interrupt_is_raised_again_after_eoi_while_the_line_is_up)
{
    Rig r;

    init(&r);
    enable(&r);
    route(&r, 10, UINT64_C(2) << 56 | 0x8000 | 0x71);
    ioapic_set_irq(r.ioapic, 10, 1);
    ck_assert(routed(&r, 10) & 0x4000);
    ck_assert_int_eq(lapic_ack(r.apic[2]), 0x71);
    ck_assert_uint_eq(rd(&r, 2, 0x180 + 0x30), BIT(0x11));
    ck_assert(!r.cpu[2].intr);
    wr(&r, 2, 0xb0, 0);
    ck_assert(r.cpu[2].intr);
    ck_assert_int_eq(lapic_ack(r.apic[2]), 0x71);
    ioapic_set_irq(r.ioapic, 10, 0);
    wr(&r, 2, 0xb0, 0);
    ck_assert(!r.cpu[2].intr);
    ck_assert(!(routed(&r, 10) & 0x4000));
    clear(&r);
}
END_TEST

START_TEST(edge_pin_sends_one_message_a_rise_and_none_when_masked)
{
    Rig r;

    init(&r);
    enable(&r);
    route(&r, 4, 0x10000 | 0x34);
    ioapic_set_irq(r.ioapic, 4, 1);
    ck_assert(!r.cpu[0].intr);
    route(&r, 4, 0x34);
    ck_assert(!r.cpu[0].intr);
    ioapic_set_irq(r.ioapic, 4, 0);
    ioapic_set_irq(r.ioapic, 4, 1);
    ck_assert_int_eq(lapic_ack(r.apic[0]), 0x34);
    wr(&r, 0, 0xb0, 0);
    ck_assert(!r.cpu[0].intr);
    clear(&r);
}
END_TEST

START_TEST(logical_and_lowest_priority_destinations)
{
    Rig r;

    init(&r);
    enable(&r);
    route(&r, 5, UINT64_C(6) << 56 | 0x800 | 0x42);       /* flat: CPUs 1 and 2 */
    ioapic_set_irq(r.ioapic, 5, 1);
    ck_assert(!r.cpu[0].intr && r.cpu[1].intr && r.cpu[2].intr);
    lapic_ack(r.apic[1]);
    lapic_ack(r.apic[2]);
    wr(&r, 2, 0xb0, 0);
    route(&r, 6, UINT64_C(7) << 56 | 0x900 | 0x33);       /* lowest: 1 is busy */
    lapic_set_cr8(r.apic[0], 6);
    ioapic_set_irq(r.ioapic, 6, 1);
    ck_assert(r.cpu[2].intr && !r.cpu[1].intr && !r.cpu[0].intr);
    /* Cluster model: cluster 1, members 0 and 2. */
    for (unsigned i = 0; i < N_CPUS; i++) {
        wr(&r, i, 0xe0, 0x0fffffff);
        wr(&r, i, 0xd0, (0x10u | BIT(i)) << 24);
    }
    lapic_ack(r.apic[2]);
    apic_bus_deliver(r.bus, &(ApicMessage){.dest = 0x15, .logical = true, .vector = 0x99});
    ck_assert(r.cpu[0].intr && !r.cpu[1].intr && r.cpu[2].intr);
    clear(&r);
}
END_TEST

START_TEST(ipis_init_sipi_nmi_and_shorthands)
{
    Rig r;

    init(&r);
    enable(&r);
    wr(&r, 0, 0x310, 1u << 24);
    wr(&r, 0, 0x300, 0xc500);                 /* INIT assert, level */
    wr(&r, 0, 0x300, 0x8500);                 /* de-assert          */
    wr(&r, 0, 0x300, 0x0609);
    ck_assert_uint_eq(r.cpu[1].inits, 1);
    ck_assert_uint_eq(r.cpu[1].sipis, 1);
    ck_assert_uint_eq(r.cpu[1].sipi_vector, 9);
    ck_assert_uint_eq(r.cpu[2].inits, 0);
    wr(&r, 0, 0x300, 0xc0400);                /* NMI to all but self */
    ck_assert_uint_eq(r.cpu[0].nmis, 0);
    ck_assert_uint_eq(r.cpu[1].nmis, 1);
    ck_assert_uint_eq(r.cpu[2].nmis, 1);
    wr(&r, 1, 0x300, 0x40055);                /* self */
    ck_assert_int_eq(lapic_ack(r.apic[1]), 0x55);
    wr(&r, 1, 0x300, 0x80066);                /* all  */
    for (unsigned i = 0; i < N_CPUS; i++) {
        ck_assert_int_eq(lapic_ack(r.apic[i]), 0x66);
    }
    wr(&r, 1, 0x310, 0xff000000);
    wr(&r, 1, 0x300, 0x00077);                /* physical broadcast */
    ck_assert(r.cpu[0].intr && r.cpu[2].intr);
    wr(&r, 1, 0x300, 0x00003);                /* illegal vector     */
    wr(&r, 1, 0x280, 0);
    ck_assert_uint_eq(rd(&r, 1, 0x280), 0x20);
    clear(&r);
}
END_TEST

START_TEST(one_shot_and_periodic_timer_keep_the_count)
{
    Rig r;

    init(&r);
    enable(&r);
    wr(&r, 0, 0x3e0, 0x3);                    /* by 16 */
    wr(&r, 0, 0x320, 0xec);
    wr(&r, 0, 0x380, 1000);
    fake_clock_go(&r.clock, 8000);
    ck_assert_uint_eq(rd(&r, 0, 0x390), 500);
    ck_assert(!r.cpu[0].intr);
    fake_clock_go(&r.clock, 16000);
    ck_assert_int_eq(lapic_ack(r.apic[0]), 0xec);
    wr(&r, 0, 0xb0, 0);
    ck_assert_uint_eq(rd(&r, 0, 0x390), 0);
    fake_clock_go(&r.clock, 1000000);
    ck_assert(!r.cpu[0].intr);

    wr(&r, 0, 0x3e0, 0xb);                    /* by 1 */
    wr(&r, 0, 0x320, 0x200ec);
    wr(&r, 0, 0x380, 1000000);
    for (unsigned i = 1; i <= 10; i++) {
        fake_clock_go(&r.clock, 1000000 + i * 1000000 - 1);
        ck_assert(!r.cpu[0].intr);
        fake_clock_go(&r.clock, 1000000 + i * 1000000);
        ck_assert_int_eq(lapic_ack(r.apic[0]), 0xec);
        wr(&r, 0, 0xb0, 0);
    }
    wr(&r, 0, 0x380, 0);
    fake_clock_go(&r.clock, 100000000);
    ck_assert(!r.cpu[0].intr);
    clear(&r);
}
END_TEST

START_TEST(a_short_count_is_not_lost_on_a_slow_host)
{
    Rig r;

    init(&r);
    enable(&r);
    wr(&r, 0, 0x3e0, 0xb);
    wr(&r, 0, 0x320, 0xec);
    r.clock.step = 500;                       /* longer than the count */
    wr(&r, 0, 0x380, 100);
    r.clock.step = 0;
    fake_clock_go(&r.clock, 10000);
    ck_assert_int_eq(lapic_ack(r.apic[0]), 0xec);
    clear(&r);
}
END_TEST

START_TEST(a_tiny_period_does_not_flood_the_host)
{
    Rig r;
    unsigned wakes = 0;

    init(&r);
    enable(&r);
    wr(&r, 0, 0x3e0, 0xb);
    wr(&r, 0, 0x320, 0x200ec);
    wr(&r, 0, 0x380, 1);
    while (timer_queue_next(&r.clock.timers) <= NS_PER_MS) {
        fake_clock_go(&r.clock, timer_queue_next(&r.clock.timers));
        wakes++;
    }
    ck_assert_uint_le(wakes, 60);
    clear(&r);
}
END_TEST

/* -- Emulated elsewhere for a while ------------------------------------------------------------------- */

START_TEST(the_state_leaves_and_comes_back)
{
    static const unsigned same[] = {0x20, 0x80, 0xd0, 0xe0, 0xf0, 0x110, 0x120, 0x1a0, 0x220, 0x300, 0x310, 0x320, 0x350,
                                    0x360, 0x370, 0x380, 0x390, 0x3e0};
    uint32_t was[ARRAY_LEN(same)];
    uint8_t page[LAPIC_IMAGE_LEN];
    uint64_t base, deadline;
    Rig r;

    init(&r);
    enable(&r);
    wr(&r, 1, 0x80, 0x20);
    wr(&r, 1, 0x370, 0xfe);
    wr(&r, 1, 0x3e0, 0xb);
    wr(&r, 1, 0x320, 0x200ec);
    wr(&r, 1, 0x380, 1000000);
    apic_bus_msi(r.bus, 0xfee01000, 0x4041);
    ck_assert_int_eq(lapic_ack(r.apic[1]), 0x41);
    apic_bus_msi(r.bus, 0xfee01000, 0xc051);          /* level */
    fake_clock_go(&r.clock, r.clock.ns + 300000);
    for (unsigned i = 0; i < ARRAY_LEN(same); i++) {
        was[i] = rd(&r, 1, same[i]);
    }
    ck_assert_uint_eq(rd(&r, 1, 0x390), 700000);
    lapic_export(r.apic[1], page, &base, &deadline);
    device_reset(r.apic[1]);
    lapic_import(r.apic[1], page, base, deadline);
    for (unsigned i = 0; i < ARRAY_LEN(same); i++) {
        ck_assert_msg(rd(&r, 1, same[i]) == was[i], "%#x: %#x, was %#x", same[i], rd(&r, 1, same[i]), was[i]);
    }
    ck_assert_int_eq(lapic_ack(r.apic[1]), 0x51);
    ck_assert_int_eq(lapic_ack(r.apic[1]), -1);
    fake_clock_go(&r.clock, r.clock.ns + 699000);
    ck_assert_int_eq(lapic_ack(r.apic[1]), -1);
    fake_clock_go(&r.clock, r.clock.ns + 2000);
    ck_assert_int_eq(lapic_ack(r.apic[1]), 0xec);
    clear(&r);
}
END_TEST

typedef struct {
    uint64_t addr;
    uint32_t data;
    unsigned messages, changes;
} Held;

static void held_message(void *arg, uint64_t addr, uint32_t data)
{
    Held *h = arg;

    h->addr = addr;
    h->data = data;
    h->messages++;
}

static void held_changes(void *arg)
{
    ((Held *)arg)->changes++;
}

static uint32_t held_register(void *arg, unsigned apic_id, unsigned off)
{
    return apic_id << 16 | off;
}

static bool held_write(void *arg, unsigned apic_id, unsigned off, uint32_t val)
{
    *(Held *)arg = (Held){.addr = off, .data = val, .messages = apic_id};
    return off != 0x40;
}

START_TEST(who_holds_them_gets_what_is_written)
{
    Held h = {0};
    const LapicHolder holder = {&h, held_message, held_changes, held_register, held_write};
    Rig r;

    init(&r);
    enable(&r);
    apic_bus_hold(r.bus, &holder);
    wr(&r, 1, 0x80, 0x30);
    ck_assert(h.addr == 0x80 && h.data == 0x30 && h.messages == 1);
    wr(&r, 1, 0x40, 1);
    ck_assert_uint_eq(h.addr, 0x40);
    apic_bus_hold(r.bus, NULL);
    ck_assert_uint_eq(rd(&r, 1, 0x80), 0);            /* nothing of it is ours */
    clear(&r);
}
END_TEST

START_TEST(who_holds_them_gets_the_messages)
{
    Held h = {0};
    const LapicHolder holder = {&h, held_message, held_changes, held_register, held_write};
    uint64_t addr;
    uint32_t data;
    Rig r;

    init(&r);
    enable(&r);
    wr(&r, 0, 0x320, 0x200ec);
    wr(&r, 0, 0x380, 1000);
    apic_bus_hold(r.bus, &holder);
    ck_assert_uint_eq(timer_queue_next(&r.clock.timers), TIMER_NEVER);
    ck_assert(!apic_bus_route(r.bus, 3, &addr, &data));
    route(&r, 3, 0x020000000000a8e1);                 /* level, logical, lowest priority to 2 */
    ck_assert_uint_ge(h.changes, 1);
    ck_assert(apic_bus_route(r.bus, 3, &addr, &data));
    ioapic_set_irq(r.ioapic, 3, 1);
    ck_assert_uint_eq(h.messages, 1);
    ck_assert_uint_eq(h.addr, addr);
    ck_assert_uint_eq(h.data, data);
    ck_assert_int_eq(lapic_ack(r.apic[1]), -1);
    apic_bus_eoi(r.bus, 0xe1);                        /* the line is still up: again */
    ck_assert_uint_eq(h.messages, 2);
    route(&r, 4, 0x30);                               /* an edge: nobody waits for its end */
    ck_assert(!apic_bus_route(r.bus, 4, &addr, &data));
    ck_assert_uint_eq(rd(&r, 1, 0x320), 1u << 16 | 0x320);
    apic_bus_set_lint(r.bus, 0, 1);                   /* the PIC's is left to us, for the boot processor */
    ck_assert(r.cpu[0].intr && !r.cpu[1].intr);
    ck_assert_int_eq(lapic_ack(r.apic[0]), r.pic_vector);
    apic_bus_hold(r.bus, NULL);
    apic_bus_msi(r.bus, 0xfee01000, 0x4041);
    ck_assert_uint_eq(h.messages, 2);
    ck_assert_int_eq(lapic_ack(r.apic[1]), 0x41);
    clear(&r);
}
END_TEST

START_TEST(tsc_deadline_fires_at_its_tsc)
{
    Rig r;
    uint64_t val;

    init(&r);
    enable(&r);
    ck_assert(lapic_msr_write(r.apic[0], 0x6e0, 1000));
    ck_assert(lapic_msr_read(r.apic[0], 0x6e0, &val) && val == 0); /* not in that mode */
    wr(&r, 0, 0x320, 0x400ec);
    lapic_msr_write(r.apic[0], 0x6e0, 2000000);
    lapic_msr_read(r.apic[0], 0x6e0, &val);
    ck_assert_uint_eq(val, 2000000);
    fake_clock_go(&r.clock, 999999);
    ck_assert(!r.cpu[0].intr);
    fake_clock_go(&r.clock, 1000001);
    ck_assert_int_eq(lapic_ack(r.apic[0]), 0xec);
    wr(&r, 0, 0xb0, 0);
    lapic_msr_read(r.apic[0], 0x6e0, &val);
    ck_assert_uint_eq(val, 0);
    lapic_msr_write(r.apic[0], 0x6e0, 5);     /* past: at once */
    ck_assert(r.cpu[0].intr);
    lapic_msr_write(r.apic[0], 0x6e0, UINT64_MAX);
    lapic_msr_write(r.apic[0], 0x6e0, 0);
    ck_assert(timer_queue_next(&r.clock.timers) == TIMER_NEVER);
    clear(&r);
}
END_TEST

START_TEST(x2apic_registers_and_modes)
{
    Rig r;
    uint64_t val;
    Device *a;

    init(&r);
    a = r.apic[2];
    ck_assert(!lapic_msr_read(a, 0x802, &val));            /* not yet */
    ck_assert(!lapic_msr_write(a, 0x1b, 0xfee00400));      /* EXTD without EN */
    ck_assert(lapic_msr_write(a, 0x1b, 0xfee00c00));
    ck_assert(!lapic_msr_write(a, 0x1b, 0xfee00800));      /* back: only through off */
    ck_assert_uint_eq(rd(&r, 2, 0x20), 0xffffffff);        /* page gone */
    ck_assert(lapic_msr_read(a, 0x802, &val) && val == 2);
    ck_assert(!lapic_msr_write(a, 0x802, 2));
    ck_assert(lapic_msr_read(a, 0x80d, &val) && val == 4);
    ck_assert(lapic_msr_write(a, 0x80f, 0x1ff));
    ck_assert(!lapic_msr_write(a, 0x80f, 0x2ff));
    ck_assert(!lapic_msr_read(a, 0x80e, &val));
    ck_assert(!lapic_msr_read(a, 0x80b, &val));
    ck_assert(!lapic_msr_write(a, 0x80b, 1));
    ck_assert(!lapic_msr_read(a, 0x831, &val));
    ck_assert(lapic_msr_write(a, 0x83f, 0x45));
    ck_assert_int_eq(lapic_ack(a), 0x45);
    ck_assert(lapic_msr_write(a, 0x80b, 0));
    ck_assert(lapic_msr_write(a, 0x830, UINT64_C(4) << 32 | 0x846)); /* logical: itself */
    ck_assert_int_eq(lapic_ack(a), 0x46);
    ck_assert(lapic_msr_read(a, 0x830, &val) && val == (UINT64_C(4) << 32 | 0x846));
    ck_assert(lapic_msr_write(a, 0x1b, 0xfee00000));
    ck_assert(!lapic_msr_write(a, 0x1b, 0xfee00c00));      /* off straight to x2APIC */
    ck_assert(!lapic_msr_write(a, 0x1b, UINT64_C(1) << 50 | 0xfee00800));
    clear(&r);
}
END_TEST

START_TEST(virtual_wire_passes_the_pic)
{
    Rig r;

    init(&r);
    apic_bus_set_lint(r.bus, 0, 1);
    ck_assert(r.cpu[0].intr && !r.cpu[1].intr);
    ck_assert_int_eq(lapic_ack(r.apic[0]), 0x30);
    ck_assert(r.cpu[0].intr);                 /* the PIC lowers it, nobody else */
    apic_bus_set_lint(r.bus, 0, 0);
    ck_assert(!r.cpu[0].intr);
    wr(&r, 0, 0xf0, 0x1ff);
    wr(&r, 0, 0x350, 0x10700);
    apic_bus_set_lint(r.bus, 0, 1);
    ck_assert(!r.cpu[0].intr);
    ck_assert(lapic_msr_write(r.apic[1], 0x1b, 0xfee00000));
    ck_assert(r.cpu[1].intr);                 /* off: INTR goes straight to the CPU */
    clear(&r);
}
END_TEST

START_TEST(a_devices_write_into_the_window_is_an_msi)
{
    Rig r;

    init(&r);
    enable(&r);
    r.current = -1;
    window_out(r.bus, 0, 0x1000, 4, 0x88);
    ck_assert_int_eq(lapic_ack(r.apic[1]), 0x88);
    apic_bus_msi(r.bus, 0xfed00000, 0x88);
    ck_assert(!r.cpu[0].intr);
    clear(&r);
}
END_TEST

START_TEST(software_disable_masks_and_holds)
{
    Rig r;

    init(&r);
    enable(&r);
    wr(&r, 0, 0x320, 0x44);
    wr(&r, 0, 0xf0, 0xff);
    ck_assert_uint_eq(rd(&r, 0, 0x320), 0x10044);
    wr(&r, 0, 0x320, 0x44);
    ck_assert_uint_eq(rd(&r, 0, 0x320), 0x10044);
    apic_bus_msi(r.bus, 0xfee00000, 0x55);
    ck_assert(!r.cpu[0].intr);
    apic_bus_deliver(r.bus, &(ApicMessage){.dest = 0, .delivery = APIC_NMI});
    ck_assert_uint_eq(r.cpu[0].nmis, 1);
    clear(&r);
}
END_TEST

START_TEST(msi_obeys_logical_destinations_without_the_redirection_hint)
{
    Rig r;

    init(&r);
    enable(&r);
    wr(&r, 0, 0xd0, 1u << 24);
    wr(&r, 1, 0xd0, 2u << 24);
    apic_bus_msi(r.bus, 0xfee01004, 0x41);     /* as Linux does: DM set, RH clear */
    ck_assert(r.cpu[0].intr && !r.cpu[1].intr);
    apic_bus_msi(r.bus, 0xfee0200c, 0x42);
    ck_assert(r.cpu[1].intr);
    clear(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lapic");
    TCase *t = tcase_create("lapic");

    suite_add_tcase(s, t);
    tcase_add_test(t, each_cpu_sees_its_own_page);
    tcase_add_test(t, priority_orders_delivery_and_eoi_releases);
    tcase_add_test(t, tpr_and_cr8_hold_back);
    tcase_add_test(t, level_interrupt_is_raised_again_after_eoi_while_the_line_is_up);
    tcase_add_test(t, edge_pin_sends_one_message_a_rise_and_none_when_masked);
    tcase_add_test(t, logical_and_lowest_priority_destinations);
    tcase_add_test(t, ipis_init_sipi_nmi_and_shorthands);
    tcase_add_test(t, one_shot_and_periodic_timer_keep_the_count);
    tcase_add_test(t, a_short_count_is_not_lost_on_a_slow_host);
    tcase_add_test(t, a_tiny_period_does_not_flood_the_host);
    tcase_add_test(t, tsc_deadline_fires_at_its_tsc);
    tcase_add_test(t, x2apic_registers_and_modes);
    tcase_add_test(t, virtual_wire_passes_the_pic);
    tcase_add_test(t, a_devices_write_into_the_window_is_an_msi);
    tcase_add_test(t, software_disable_masks_and_holds);
    tcase_add_test(t, the_state_leaves_and_comes_back);
    tcase_add_test(t, who_holds_them_gets_the_messages);
    tcase_add_test(t, who_holds_them_gets_what_is_written);
    tcase_add_test(t, msi_obeys_logical_destinations_without_the_redirection_hint);
    return run_suite(s);
}
