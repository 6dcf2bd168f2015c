/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the gdb tests debug: CPU 0 goes round a loop with labels while a timer interrupts it, CPU 1 (where
 * there is one) counts in real mode.  Never ends. */
#include "tests/guest/lib.h"

extern u64 counter, ticks;
extern u8 leaf_calls;
u64 counter, ticks;
u8 leaf_calls;

enum { AP_CODE = 0x8000, AP_COUNTER = 0x500 };

void loop(void);
__asm__(".pushsection .text\n"
        ".globl loop, loop_inc, loop_load, loop_call, loop_end, leaf\n"
        "loop:\n"
        "loop_inc: incq counter\n"
        "loop_load: movq counter, %rax\n"
        "loop_call: call leaf\n"
        "loop_end: jmp loop\n"
        "leaf: movb $1, leaf_calls\n"
        "ret\n"
        ".popsection\n");

static bool on_tick(Frame *f)
{
    ticks++;
    pic_eoi(0);
    return true;
}

static void start_other_cpu(void)
{
    static const u8 code[] = {0xf0, 0xff, 0x06, AP_COUNTER & 0xff, AP_COUNTER >> 8, /* lock incw */
                              0xeb, 0xf9};                                          /* jmp back  */

    memcpy((void *)AP_CODE, code, sizeof code);
    apic_enable();
    apic_write(APIC_ICR_HIGH, 1u << 24);
    apic_write(APIC_ICR, 0x4500);
    for (u64 t = rdtsc(); rdtsc() - t < 10000000;) {
        cpu_relax();
    }
    apic_write(APIC_ICR_HIGH, 1u << 24);
    apic_write(APIC_ICR, 0x4600 | AP_CODE >> 12);
}

static void be_debugged(void)
{
    start_other_cpu();
    trap_hook[0x20] = on_tick;
    pic_init(0xfffe);
    pit_periodic(1193);
    sti();
    loop();
}

const GuestTest guest_tests[] = {
    {"be_debugged", be_debugged},
    {NULL, NULL},
};
