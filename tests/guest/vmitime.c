/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMI's local APIC calls, clocks and alarms in both wirings, and the second CPU started by its state. */
#include "tests/guest/vmi-client.h"

enum { REAL, AVAILABLE, STOLEN };
enum { PERIODIC = 0x100, LVTT = 0x10000 };
enum { VEC_LVTT = 0x41, VEC_PING = 0x51, VEC_FIRST = 0x71, VEC_SECOND = 0x61, MASKED = 0x10000 };
enum { MSR_TSC_ADJUST = 0x3b };

static bool have_timer;
static u64 hz, ms;                        /* a second and about a millisecond, in cycles */

#define NEED_TIMER()                                                                               \
    do {                                                                                           \
        if (!have_timer) {                                                                         \
            test_skip("no timer calls");                                                           \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static void the_rom_takes_over(void)
{
    vmi_header = vmi_probe(0);
    if (vmi_header == NULL) {
        test_skip("no ROM");
        return;
    }
    EXPECT(vmi_activate(vmi_header));
    have_timer = vmi.cycle_frequency != NULL;
    if (have_timer) {
        EXPECT(vmi.cycle_counter != NULL && vmi.set_alarm != NULL && vmi.cancel_alarm != NULL &&
               vmi.wallclock != NULL);
        hz = vmi.cycle_frequency();
        ms = hz >> 10;
    }
}

/* -- Local APIC -------------------------------------------------------------------------------------------- */

static volatile word lvtt[2], pings, irq0s;

static unsigned cpu_number(void) { return apic_read(APIC_ID) >> 24 & 1; }

static bool on_lvtt(Frame *f)
{
    lvtt[cpu_number()]++;
    ops.apic_write(APIC_EOI, 0);
    return true;
}

static bool on_ping(Frame *f)
{
    pings++;
    ops.apic_write(APIC_EOI, 0);
    return true;
}

static bool on_irq0(Frame *f)
{
    irq0s++;
    pic_eoi(0);
    return true;
}

static void registers_by_call_and_by_window(void)
{
    apic_enable();
    EXPECT_EQ(ops.apic_read(APIC_ID), apic_read(APIC_ID));
    ops.apic_write(APIC_TPR, 0x50);
    EXPECT_EQ(apic_read(APIC_TPR), 0x50);
    EXPECT_EQ(ops.apic_read(APIC_TPR), 0x50);
    ops.apic_write(0xfee00000 | APIC_TPR, 0x20); /* older clients give the address */
    EXPECT_EQ(ops.apic_read(0xfee00000 | APIC_TPR), 0x20);
    ops.apic_write(APIC_TPR, 0);
    trap_hook[VEC_PING] = on_ping;
    pings = 0;
    sti();
    ops.apic_write(APIC_ICR, 1 << 18 | VEC_PING); /* to itself */
    EXPECT(wait_for(&pings, 1));
    cli();
    EXPECT_EQ(ops.apic_read(APIC_ISR + VEC_PING / 32 * 16), 0);
}

static volatile word ends, wrong_order;

static bool on_first(Frame *f)
{
    wrong_order += ends % 2 != 0;
    ends++;
    ops.apic_write(ends % 8 < 4 ? APIC_EOI : 0xfee00000 | APIC_EOI, ends);
    return true;
}

static bool on_second(Frame *f)
{
    wrong_order += ends % 2 != 1;
    ends++;
    ops.apic_write(APIC_EOI, 0);
    return true;
}

/* Often enough to be translated: one that waits for another's end, one for which nobody waits. */
static void a_call_ends_an_interrupt(void)
{
    apic_enable();
    trap_hook[VEC_FIRST] = on_first;
    trap_hook[VEC_SECOND] = on_second;
    ends = wrong_order = 0;
    for (word i = 1; i <= 500; i++) {
        apic_write(APIC_ICR, 1 << 18 | VEC_SECOND);
        apic_write(APIC_ICR, 1 << 18 | VEC_FIRST);
        sti();
        EXPECT(wait_for(&ends, 2 * i));
        cli();
        if (ops.apic_read(APIC_ISR + VEC_FIRST / 32 * 16) != 0 || ops.apic_read(APIC_ISR + VEC_SECOND / 32 * 16) != 0) {
            EXPECT(!"in service still");
            return;
        }
    }
    EXPECT_EQ(wrong_order, 0);
}

/* -- Clocks ------------------------------------------------------------------------------------------------ */

static void counters_count(void)
{
    u64 last, tsc;
    u32 r[4];

    NEED_TIMER();
    EXPECT(hz >= 100000000 && hz < 20000000000ull);
    EXPECT(vmi.cycle_frequency() == hz);
    cpuid(0x40000010, 0, r);
    EXPECT((u64)r[0] * 1000 <= hz && hz < ((u64)r[0] + 1) * 1000);
    last = vmi.cycle_counter(REAL);
    for (u32 i = 0; i < 1000; i++) {
        u64 now = vmi.cycle_counter(i & 1 ? REAL : AVAILABLE);
        EXPECT(now >= last && now != 0);
        last = now;
    }
    EXPECT(vmi.cycle_counter(STOLEN) == 0);
    EXPECT(vmi.cycle_counter(77) == 0);
    tsc = rdtsc();
    last = vmi.cycle_counter(REAL);
    while (rdtsc() - tsc < 10 * ms) {
        cpu_relax();
    }
    last = vmi.cycle_counter(REAL) - last;
    tsc = rdtsc() - tsc;
    EXPECT(last >= 9 * ms && last <= tsc);
}

static void wall_clock(void)
{
    u64 then, now;

    NEED_TIMER();
    then = vmi.wallclock();
    EXPECT(then > 1600000000ull * 1000000000ull);
    now = vmi.wallclock();
    EXPECT(now >= then && now - then < 10000000000ull);
    EXPECT_EQ(vmi.wallclock_updated(), 0);
}

static void set_alarm(u32 flags, u64 when, u64 period)
{
    vmi.set_alarm(flags, (u32)when, (u32)(when >> 32), (u32)period, (u32)(period >> 32));
}

static void pause_ms(unsigned n)
{
    u64 begin = vmi.cycle_counter(REAL);

    while (vmi.cycle_counter(REAL) - begin < n * ms) {
        cpu_relax();
    }
}

static void alarms_by_irq_0(void)
{
    u64 begin;

    NEED_TIMER();
    outb(0x43, 0x3a);                     /* silence the PIT, as Linux does */
    trap_hook[0x20] = on_irq0;
    pic_init(0xfffe);
    sti();
    irq0s = 0;
    begin = vmi.cycle_counter(REAL);
    set_alarm(REAL, begin + 5 * ms, 0);
    EXPECT(wait_for(&irq0s, 1));
    EXPECT(vmi.cycle_counter(REAL) >= begin + 5 * ms);
    pause_ms(10);
    EXPECT_EQ(irq0s, 1);                  /* once */
    EXPECT_EQ(vmi.cancel_alarm(REAL), 0);
    set_alarm(REAL, begin, 0);            /* past: now */
    EXPECT(wait_for(&irq0s, 2));
    set_alarm(REAL, vmi.cycle_counter(REAL) + hz, 0);
    EXPECT_EQ(vmi.cancel_alarm(REAL | PERIODIC | LVTT), 1);
    EXPECT_EQ(vmi.cancel_alarm(REAL), 0);
    set_alarm(STOLEN, begin, 0);          /* no such alarms */
    set_alarm(99, begin, 0);
    EXPECT_EQ(vmi.cancel_alarm(STOLEN), 0);
    pause_ms(5);
    EXPECT_EQ(irq0s, 2);
    irq0s = 0;
    set_alarm(REAL | PERIODIC, vmi.cycle_counter(REAL), 2 * ms);
    EXPECT(wait_for(&irq0s, 10));
    EXPECT_EQ(vmi.cancel_alarm(REAL), 1);
    pause_ms(5);
    begin = irq0s;
    pause_ms(5);
    EXPECT_EQ(irq0s, begin);
    irq0s = 0;                            /* the two counters' alarms are two */
    set_alarm(AVAILABLE, vmi.cycle_counter(AVAILABLE) + ms, 0);
    set_alarm(REAL, vmi.cycle_counter(REAL) + 200 * ms, 0); /* or one interrupt would do for both */
    EXPECT(wait_for(&irq0s, 2));
    irq0s = 0;                            /* a period of 0 is no period */
    set_alarm(REAL | PERIODIC, vmi.cycle_counter(REAL) + ms, 0);
    EXPECT(wait_for(&irq0s, 1));
    EXPECT_EQ(vmi.cancel_alarm(REAL), 0);
    set_alarm(REAL | PERIODIC, 0, 1);     /* no faster than the host can, and the guest goes on */
    EXPECT(wait_for(&irq0s, 20));
    EXPECT_EQ(vmi.cancel_alarm(REAL), 1);
    set_alarm(REAL, ~0ull, 0);            /* never */
    EXPECT_EQ(vmi.cancel_alarm(REAL), 1);
    cli();
    pic_init(0xffff);
}

static void alarms_wake_a_halted_cpu(void)
{
    NEED_TIMER();
    pic_init(0xfffe);
    irq0s = 0;
    set_alarm(REAL, vmi.cycle_counter(REAL) + 20 * ms, 0);
    ops.halt();
    EXPECT_EQ(irq0s, 1);
    cli();
    pic_init(0xffff);
}

static void alarms_by_the_apics_timer_vector(void)
{
    word seen;

    NEED_TIMER();
    trap_hook[VEC_LVTT] = on_lvtt;
    lvtt[0] = 0;
    ops.apic_write(APIC_TIMER, MASKED | VEC_LVTT);
    set_alarm(REAL | PERIODIC | LVTT, vmi.cycle_counter(REAL), 2 * ms);
    sti();
    pause_ms(10);
    EXPECT_EQ(lvtt[0], 0);                /* masked */
    ops.apic_write(APIC_TIMER, VEC_LVTT); /* one-shot by its mode bits: it goes on all the same */
    EXPECT(wait_for(&lvtt[0], 5));
    EXPECT_EQ(vmi.cancel_alarm(REAL | PERIODIC | LVTT), 1);
    pause_ms(5);
    seen = lvtt[0];
    pause_ms(5);
    EXPECT_EQ(lvtt[0], seen);
    cli();
}

static void the_counter_does_not_follow_tsc_writes(void)
{
    u64 adjust, before, after;

    NEED_TIMER();
    if (!cpu_has(7, 0, 1, 1)) {
        test_skip("no TSC_ADJUST");
        return;
    }
    adjust = rdmsr(MSR_TSC_ADJUST);
    before = vmi.cycle_counter(REAL);
    wrmsr(MSR_TSC_ADJUST, adjust + 1000 * hz);
    after = vmi.cycle_counter(REAL);
    EXPECT(after >= before && after - before < 10 * hz);
    EXPECT(rdtsc() - before > 900 * hz);
    EXPECT(vmi.cycle_counter(STOLEN) == 0);
    wrmsr(MSR_TSC_ADJUST, adjust);
    before = vmi.cycle_counter(AVAILABLE);
    EXPECT(before >= after && before - after < 10 * hz);
}

/* -- The second CPU ---------------------------------------------------------------------------------------- */

typedef struct {
    u32 cr0, cr2, cr3, cr4;
    u64 efer;
    u32 eip, eflags, eax, ebx, ecx, edx, esp, ebp, esi, edi;
    u16 cs, ss, ds, es, fs, gs, ldtr, gdtr_limit;
    u32 gdtr_base, idtr_base;
    u16 idtr_limit, pad;
} ApState;

void second_cpu(u32 eax, u32 edx, u32 ecx);
static u8 ap_stack[8192] __attribute__((aligned(16)));
static volatile word ap_started, ap_state[12], ap_go, ap_torn, ap_rounds;
static u64 shared_entry __attribute__((aligned(8))), shared_values[2];

void second_cpu(u32 eax, u32 edx, u32 ecx)
{
    ap_state[0] = eax;
    ap_state[1] = edx;
    ap_state[2] = ecx;
    ap_state[3] = read_cr0();
    ap_state[4] = read_cr3();
    ap_state[5] = read_flags();
    __asm__ volatile("mov %%fs, %0; mov %%gs, %1; mov %%ss, %2; mov %%cs, %3"
                     : "=r"(ap_state[6]), "=r"(ap_state[7]), "=r"(ap_state[8]), "=r"(ap_state[9]));
    ap_state[10] = ops.apic_read(APIC_ID) >> 24;
    ap_state[11] = read_cr2();
    ap_started++;
    ops.apic_write(APIC_SPURIOUS, 0x1ff);
    set_alarm(REAL | PERIODIC | LVTT, vmi.cycle_counter(REAL), 2 * ms);
    ops.apic_write(APIC_TIMER, VEC_LVTT); /* after the alarm was set, as Linux does */
    sti();
    while (!ap_go) {
        cpu_relax();
    }
    while (ap_go == 1) {
        u64 v = __sync_val_compare_and_swap(&shared_entry, 1, 1);

        ap_torn += v != shared_values[0] && v != shared_values[1];
        ap_rounds++;
    }
    for (;;) {
        ops.halt();
    }
}

static ApState ap_template(void)
{
    return (ApState){
        .cr0 = (u32)read_cr0(), .cr2 = 0xc0de, .cr3 = (u32)read_cr3(), .cr4 = (u32)read_cr4(),
        .eip = (u32)second_cpu, .eax = 0x11, .ebx = 0x22, .ecx = 0x33, .edx = 0x44,
        .esp = (u32)ap_stack + sizeof ap_stack - 64, .cs = SEL_KCODE, .ss = SEL_KDATA,
        .ds = SEL_UDATA, .es = SEL_UDATA, .fs = SEL_KDATA, .gs = 0,
        .gdtr_limit = sizeof gdt - 1, .gdtr_base = (u32)gdt, .idtr_base = (u32)idt, .idtr_limit = 0x7ff,
    };
}

static void init_and_sipi(void)
{
    ops.apic_write(APIC_ICR_HIGH, 1 << 24);
    ops.apic_write(APIC_ICR, 0x4500);
    pause_ms(2);
    ops.apic_write(APIC_ICR_HIGH, 1 << 24);
    ops.apic_write(APIC_ICR, 0x4600 | 0x9f);
}

static bool alone(void)
{
    u32 r[4];

    cpuid(1, 0, r);
    return (r[1] >> 16 & 0xff) < 2;
}

static void a_state_that_is_none_starts_nothing(void)
{
    ApState s = ap_template();

    NEED_TIMER();
    if (vmi.set_initial_ap_state == NULL || alone()) {
        test_skip("one CPU");
        return;
    }
    s.cs = 0x1f0;                         /* no descriptor */
    vmi.set_initial_ap_state(&s, 1);
    init_and_sipi();
    pause_ms(20);
    s = ap_template();
    s.cr0 &= 0x7fffffff;                  /* no paging */
    vmi.set_initial_ap_state(&s, 1);
    init_and_sipi();
    pause_ms(20);
    s = ap_template();
    s.cr4 = 0xffffffff;
    vmi.set_initial_ap_state(&s, 1);
    init_and_sipi();
    pause_ms(20);
    vmi.set_initial_ap_state(&s, 12345);  /* nobody */
    EXPECT_EQ(ap_started, 0);
}

static void a_state_starts_the_second_cpu(void)
{
    if (vmi.set_initial_ap_state == NULL || alone() || !have_timer) {
        test_skip("one CPU");
        return;
    }
    {
        ApState s = ap_template();
        vmi.set_initial_ap_state(&s, 1);
        memset(&s, 0, sizeof s);          /* it was copied */
    }
    init_and_sipi();
    EXPECT(wait_for(&ap_started, 1));
    EXPECT(ap_state[0] == 0x11 && ap_state[1] == 0x44 && ap_state[2] == 0x33);
    EXPECT_EQ(ap_state[3], read_cr0());
    EXPECT_EQ(ap_state[4], read_cr3());
    EXPECT_EQ(ap_state[5] & 0x202, 2);
    EXPECT(ap_state[6] == SEL_KDATA && ap_state[7] == 0 && ap_state[8] == SEL_KDATA &&
           ap_state[9] == SEL_KCODE);
    EXPECT_EQ(ap_state[10], 1);
    EXPECT_EQ(ap_state[11], 0xc0de);
    EXPECT(wait_for(&lvtt[1], 5));        /* its own alarm */
    *(volatile u16 *)0x9f000 = 0xfeeb;    /* jmp itself */
    init_and_sipi();                      /* no state is left: real mode at 0x9f000 */
    pause_ms(5);
    EXPECT_EQ(ap_started, 1);
}

static void long_entries_are_never_seen_torn(void)
{
    if (!ap_started) {
        test_skip("one CPU");
        return;
    }
    shared_values[0] = shared_entry = 0x1111111122222001ull;
    shared_values[1] = 0x3333333344444001ull;
    {
        ApState s = ap_template();
        vmi.set_initial_ap_state(&s, 1);
    }
    init_and_sipi();
    EXPECT(wait_for(&ap_started, 2));
    ap_go = 1;
    for (u32 i = 0; i < 200000; i++) {
        ops.set_pxe_long(shared_values[i & 1], &shared_entry, 1);
    }
    EXPECT(wait_for(&ap_rounds, 1000));
    ap_go = 2;
    EXPECT_EQ(ap_torn, 0);
}

const GuestTest guest_tests[] = {
    {"the_rom_takes_over", the_rom_takes_over},
    {"registers_by_call_and_by_window", registers_by_call_and_by_window},
    {"a_call_ends_an_interrupt", a_call_ends_an_interrupt},
    {"counters_count", counters_count},
    {"wall_clock", wall_clock},
    {"alarms_by_irq_0", alarms_by_irq_0},
    {"alarms_wake_a_halted_cpu", alarms_wake_a_halted_cpu},
    {"alarms_by_the_apics_timer_vector", alarms_by_the_apics_timer_vector},
    {"the_counter_does_not_follow_tsc_writes", the_counter_does_not_follow_tsc_writes},
    {"a_state_that_is_none_starts_nothing", a_state_that_is_none_starts_nothing},
    {"a_state_starts_the_second_cpu", a_state_starts_the_second_cpu},
    {"long_entries_are_never_seen_torn", long_entries_are_never_seen_torn},
    {NULL, NULL},
};
