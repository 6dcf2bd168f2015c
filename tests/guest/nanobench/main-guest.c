/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bare-metal guest: lib.c's frame, the TSC's rate, the lists. */
#include "tests/guest/ap.h"
#include "tests/guest/nanobench/nanobench.h"

void nano_put(const char *text)
{
    print("%s", text);
}

void nano_put_number(u64 v)
{
    if (v >> 32 != 0) {
        print("%u", (word)nano_div(v, 1000000000));
        v -= (u64)nano_div(v, 1000000000) * 1000000000;
        for (u32 unit = 100000000; unit > 1 && v < unit; unit = nano_div(unit, 10)) {
            print("0");
        }
    }
    print("%u", (word)v);
}

/* -- The TSC's rate, by channel 2 of the interval timer ------------------------------------------------- */

enum { PIT_HZ = 1193182, COUNT = 2386 /* 2 ms */, TRIES = 15, LEAST = 20000 /* cycles: no timer says so sooner */ };

static u64 count_down(void)
{
    u64 begin;

    outb(0x61, (inb(0x61) & 0xfc) | 1);
    outb(0x43, 0xb0);              /* mode 0: the output rises at the end */
    outb(0x42, COUNT & 0xff);
    outb(0x42, COUNT >> 8);
    begin = rdtsc();
    while ((inb(0x61) & 0x20) == 0) {
        if (rdtsc() - begin > 1000000000ull) {
            return ~0ull;          /* no timer */
        }
    }
    return rdtsc() - begin;
}

static u32 khz;

u32 nano_tsc_khz(void)
{
    return khz;
}

static void find_khz(void)
{
    u64 best = ~0ull;

    for (unsigned i = 0; i < TRIES && (i == 0 || best != ~0ull); i++) {
        u64 took = count_down();
        best = took < best ? took : best;
    }
    if (best >= LEAST && best != ~0ull) {
        khz = nano_div(best * (PIT_HZ / 1000), COUNT);
    }
}

/* -- Main ------------------------------------------------------------------------------------------- */

static const NanoOp *const lists[] = {
    nano_rings, nano_kernel, nano_unprivileged, nano_paging, nano_interrupts, nano_vmi, NULL,
};

static void nanobench(void)
{
    u32 cpus;

    apic_enable();
    cpus = start_ap() ? 2 : 1;
    send(OTHERS | INIT);
    find_khz();
    nano_measure(lists, guest_cmdline(), cpus);
}

const GuestTest guest_tests[] = {{"nanobench", nanobench}, {NULL, NULL}};
