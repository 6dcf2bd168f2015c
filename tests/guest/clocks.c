/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two CPUs read kvmclock in turn for as long as they are let, while the machine is stopped and goes on
 * and its engine changes: no CPU may ever see less than what another saw before.  Meanwhile the local APIC's timer
 * ticks on the first, and each tick is passed on to the second by an IPI.  It answers each "p" on the serial line
 * with "pong MILLISECONDS READINGS TICKS IPIS" and ends with "q".
 */
#include "tests/guest/ap.h"
#include "tests/guest/kvmclock.h"

enum { COM1 = 0x3f8, VEC_TIMER = 0x71, VEC_IPI = 0x72, TICK = 3000000 };

static ClockPage pages[2] __attribute__((aligned(64)));
static volatile u64 latest, backwards, turns;
static volatile word turn, over;

static volatile word ticks, ipis;

static bool on_tick(Frame *f)
{
    ticks++;
    apic_write(APIC_EOI, 0);
    if (have_ap) {
        apic_write(APIC_ICR_HIGH, 1 << 24);
        apic_write(APIC_ICR, 0x4000 | VEC_IPI);
    }
    return true;
}

static bool on_ipi(Frame *f)
{
    ipis++;
    apic_write(APIC_EOI, 0);
    return true;
}

static void take_turn(word me)
{
    u64 now;

    while (turn != me && !over) {
        cpu_relax();
    }
    now = clock_read(&pages[me]);
    backwards += now < latest;
    latest = now;
    turns++;
    barrier();
    turn = have_ap && !me;
}

static void second(void)
{
    wrmsr(MSR_TIME, (word)&pages[1] | 1);
    sti();
    while (!over) {
        take_turn(1);
    }
    cli();
}

static void time_never_goes_back(void)
{
    u8 c = 0;

    apic_write(APIC_SPURIOUS, 0x1ff);
    have_ap = start_ap();
    EXPECT(have_ap);
    wrmsr(MSR_TIME, (word)&pages[0] | 1);
    if (have_ap) {
        ap_run(second);
    }
    trap_hook[VEC_TIMER] = on_tick;
    trap_hook[VEC_IPI] = on_ipi;
    apic_write(APIC_TIMER, 1 << 17 | VEC_TIMER);
    apic_write(APIC_INITIAL, TICK);
    sti();
    print("ready\n");
    do {
        take_turn(0);
        if (inb(COM1 + 5) & 1) {
            c = inb(COM1);
            if (c == 'p') {
                print("pong %u %u %u %u\n", (word)(latest / 1000000), (word)turns, ticks, ipis);
            }
        }
    } while (c != 'q');
    cli();
    over = 1;
    EXPECT(!have_ap || ap_wait());
    EXPECT(turns > 10);
    EXPECT_EQ(backwards, 0);
}

const GuestTest guest_tests[] = {
    {"time_never_goes_back", time_never_goes_back},
    {NULL, NULL},
};
