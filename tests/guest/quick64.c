/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a kernel does all the time and translators take short ways for: priority and ends of interrupts while another
 * CPU requests them, CPUID, MSRs, ports, instructions that reach devices' memory now and RAM then, and divisions that fault.
 */
#include "tests/guest/ap.h"

enum { VEC_IPI = 0x51, VEC_LOW = 0x31, VEC_HIGH = 0x71 };
enum { MSR_SPEC_CTRL = 0x48, MSR_X2APIC_TPR = 0x808, MSR_X2APIC_EOI = 0x80b, MSR_X2APIC_ICR = 0x830 };
enum { APIC_BASE_X2 = 1 << 10, APIC_BASE_ON = 1 << 11 };
enum { HOT = 400 };                /* often enough for whatever adapts */

static volatile word count[256];
static bool x2apic;

static void end_of_interrupt(void)
{
    if (x2apic) {
        wrmsr(MSR_X2APIC_EOI, 0);
    } else {
        apic_write(APIC_EOI, 0);
    }
}

static bool hook(Frame *f)
{
    count[f->vector]++;
    end_of_interrupt();
    return true;
}

static void apic_init(void)
{
    apic_enable();
    apic_write(APIC_LINT0, 0x10000);
    apic_write(APIC_TIMER, 0x10000);
    trap_hook[VEC_IPI] = trap_hook[VEC_LOW] = trap_hook[VEC_HIGH] = hook;
    write_cr8(0);
}

static void self_ipi(unsigned v)
{
    if (x2apic) {
        wrmsr(MSR_X2APIC_ICR, 0x40000 | v);
    } else {
        apic_write(APIC_ICR, 0x40000 | v);
    }
}

/* -- Task priority ------------------------------------------------------------------------------------------ */

static void the_second_cpu_starts(void)
{
    apic_enable();
    have_ap = start_ap();
    EXPECT(have_ap);
}

static void the_task_priority_is_one_register(void)
{
    apic_init();
    for (unsigned i = 0; i < HOT; i++) {
        write_cr8(i & 15);
        EXPECT_EQ(apic_read(APIC_TPR), (i & 15) << 4);
        EXPECT_EQ(read_cr8(), i & 15);
        apic_write(APIC_TPR, i & 0xff);
        EXPECT_EQ(read_cr8(), i >> 4 & 15);
        EXPECT_EQ(apic_read(APIC_TPR), i & 0xff);
    }
    EXPECT_TRAP(TRY(write_cr8(16)), VECTOR_GP, 0);
    EXPECT_TRAP(TRY(write_cr8(1ul << 32)), VECTOR_GP, 0);
    write_cr8(0);
}

static void priority_holds_interrupts_back_until_it_falls(void)
{
    apic_init();
    sti();
    for (unsigned i = 0; i < HOT; i++) {
        count[VEC_IPI] = 0;
        write_cr8(5);
        self_ipi(VEC_IPI);
        EXPECT_EQ(count[VEC_IPI], 0);
        write_cr8(6);
        EXPECT_EQ(count[VEC_IPI], 0);
        write_cr8(4);
        __asm__ volatile("nop");
        EXPECT_EQ(count[VEC_IPI], 1);
    }
    cli();
    write_cr8(0);
}

/* The other CPU sends the next one as soon as the last has come. */
static volatile word wanted, sent;
static void sender(void)
{
    while (sent < wanted) {
        word next = count[VEC_IPI] + 1;

        sent++;
        send(OTHERS | VEC_IPI);
        if (!wait_for(&count[VEC_IPI], next)) {
            return;                /* lost: the job ends early */
        }
    }
}

/* While this CPU raises and lowers its priority, by `set`, all the time. */
static void under_load(word n, void (*set)(unsigned priority))
{
    word early = 0;

    count[VEC_IPI] = sent = 0;
    wanted = n;
    ap_run(sender);
    sti();
    while (ap_done == 0) {         /* it gives up when one is lost */
        word before;

        set(15);
        before = count[VEC_IPI];
        cpu_relax();
        early += count[VEC_IPI] != before;
        set(0);
        set(3);                    /* lets it in as well */
    }
    cli();
    EXPECT_EQ(count[VEC_IPI], n);
    EXPECT_EQ(early, 0);
    set(0);
}

static void set_by_cr8(unsigned priority)
{
    write_cr8(priority);
}

static void set_by_page(unsigned priority)
{
    apic_write(APIC_TPR, priority << 4);
}

static void set_by_msr(unsigned priority)
{
    wrmsr(MSR_X2APIC_TPR, priority << 4);
}

static void requests_meet_a_changing_priority(void)
{
    NEED_AP();
    apic_init();
    under_load(100, set_by_cr8);
    under_load(100, set_by_page);
}

/* -- Ends of interrupts -------------------------------------------------------------------------------------- */

static u32 in_service(unsigned v)
{
    return (x2apic ? (u32)rdmsr(0x810 + v / 32) : apic_read(APIC_ISR + v / 32 * 16)) >> (v % 32) & 1;
}

static volatile word nested, low_early, shown;

/* A lower one waits for our end; a higher one does not. */
static bool nesting_hook(Frame *f)
{
    count[f->vector]++;
    shown += in_service(VEC_IPI);
    self_ipi(VEC_LOW);
    sti();
    __asm__ volatile("nop");
    low_early += count[VEC_LOW] != nested;
    self_ipi(VEC_HIGH);
    __asm__ volatile("nop");
    cli();
    end_of_interrupt();
    shown += in_service(VEC_IPI);
    return true;
}

static void nested_interrupts_end_in_order(void)
{
    apic_init();
    trap_hook[VEC_IPI] = nesting_hook;
    count[VEC_LOW] = count[VEC_IPI] = count[VEC_HIGH] = nested = low_early = shown = 0;
    for (unsigned i = 0; i < HOT; i++) {
        self_ipi(VEC_IPI);
        sti();
        __asm__ volatile("nop; nop");
        cli();
        nested++;
        EXPECT_EQ(count[VEC_LOW], nested);
    }
    EXPECT_EQ(count[VEC_IPI], HOT);
    EXPECT_EQ(count[VEC_HIGH], HOT);
    EXPECT_EQ(low_early, 0);
    EXPECT_EQ(shown, HOT);
    EXPECT_EQ(in_service(VEC_LOW) + in_service(VEC_IPI) + in_service(VEC_HIGH), 0);
}

/* An interrupt that was ended does not hold back its like. */
static void ends_are_seen_by_other_cpus(void)
{
    NEED_AP();
    apic_init();
    count[VEC_IPI] = sent = 0;
    wanted = 100;
    ap_run(sender);
    sti();
    while (ap_done == 0) {         /* it gives up when one is lost */
        cpu_relax();
    }
    cli();
    EXPECT_EQ(count[VEC_IPI], wanted);
    EXPECT_EQ(in_service(VEC_IPI), 0);
}

static void the_x2apic_does_the_same(void)
{
    if (!cpu_has(1, 0, 2, 21)) {
        test_skip("no x2APIC");
        return;
    }
    apic_init();
    EXPECT_TRAP(TRY(wrmsr(MSR_X2APIC_EOI, 0)), VECTOR_GP, 0);
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
    x2apic = true;
    nested_interrupts_end_in_order();
    priority_holds_interrupts_back_until_it_falls();
    trap_hook[VEC_IPI] = hook;
    if (have_ap) {
        under_load(100, set_by_msr);
        under_load(100, set_by_cr8);
    }
    EXPECT_TRAP(TRY(wrmsr(MSR_X2APIC_EOI, 1)), VECTOR_GP, 0);
    x2apic = false;                /* back by way of "off", which resets it */
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(u64)(APIC_BASE_X2 | APIC_BASE_ON));
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ON);
    the_task_priority_is_one_register();
}

/* -- CPUID, MSRs, ports --------------------------------------------------------------------------------------- */

static u32 leaf_1(unsigned reg)
{
    u32 r[4];

    cpuid(1, 0, r);
    return r[reg];
}

static void cpuid_follows_the_registers(void)
{
    u32 r[4], again[4], bits = 0;

    if (!cpu_has(1, 0, 2, 26)) {
        test_skip("no XSAVE");
        return;
    }
    for (unsigned i = 0; i < HOT; i++) {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        bits += leaf_1(2) >> 27 & 1;
        write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
        bits -= leaf_1(2) >> 27 & 1;
    }
    write_cr4(read_cr4() | CR4_OSXSAVE);
    EXPECT_EQ(bits, HOT);
    EXPECT_EQ(leaf_1(3) >> 9 & 1, 1);
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~(u64)APIC_BASE_ON);
    EXPECT_EQ(leaf_1(3) >> 9 & 1, 0);
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_ON);
    EXPECT_EQ(leaf_1(3) >> 9 & 1, 1);
    for (u32 leaf = 0; leaf < 0x20; leaf++) { /* more than any table holds, each answer twice */
        for (u32 sub = 0; sub < 4; sub++) {
            cpuid(leaf | (sub & 1) << 31, sub, r);
            cpuid(leaf | (sub & 1) << 31, sub, again);
            EXPECT(r[0] == again[0] && r[1] == again[1] && r[2] == again[2] && r[3] == again[3]);
        }
    }
}

/* Registers and flags that CPUID leaves alone, and the halves that it clears. */
static void cpuid_writes_four_registers(void)
{
    word ax, bx, cx, dx, si, flags;

    for (unsigned i = 0; i < HOT; i++) {
        __asm__ volatile("mov $-1, %%rax; mov %%rax, %%rbx; mov %%rax, %%rcx; mov %%rax, %%rdx\n\t"
                         "xor %%eax, %%eax; dec %%rax; mov $0, %%al; shl $32, %%rax; xor %%ecx, %%ecx\n\t"
                         "mov $0x12345678, %%esi; stc; cpuid; pushf; pop %[f]"
                         : "=a"(ax), "=b"(bx), "=c"(cx), "=d"(dx), "=S"(si), [f] "=r"(flags));
        EXPECT_EQ((ax | bx | cx | dx) >> 32, 0);
        EXPECT_EQ(si, 0x12345678);
        EXPECT_EQ(flags & FLAG_CF, FLAG_CF);
    }
}

static void spec_ctrl_keeps_what_it_has(void)
{
    if (TRY(wrmsr(MSR_SPEC_CTRL, 0)) >= 0) {
        test_skip("no IA32_SPEC_CTRL");
        return;
    }
    for (unsigned i = 0; i < HOT; i++) {
        wrmsr(MSR_SPEC_CTRL, i & 1);
        EXPECT_EQ(rdmsr(MSR_SPEC_CTRL), i & 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_TRAP(TRY(wrmsr(MSR_SPEC_CTRL, 1ul << 63)), VECTOR_GP, 0);
        EXPECT_EQ(rdmsr(MSR_SPEC_CTRL), (HOT - 1) & 1);
    }
    wrmsr(MSR_SPEC_CTRL, 0);
}

static void ports_keep_the_rest_of_the_register(void)
{
    word ax;

    for (unsigned i = 0; i < HOT; i++) {
        outb(0x80, (u8)i);         /* a register without a meaning */
        ax = 0xaabbccdd11223344;
        __asm__ volatile("in $0x80, %%al" : "+a"(ax));
        EXPECT_EQ(ax >> 8, 0xaabbccdd112233);
        ax = 0xaabbccdd11223344;
        __asm__ volatile("in %%dx, %%ax" : "+a"(ax) : "d"(0x9f0)); /* nobody there */
        EXPECT_EQ(ax, 0xaabbccdd1122ffff);
        __asm__ volatile("in %%dx, %%eax" : "+a"(ax) : "d"(0x9f0));
        EXPECT_EQ(ax, 0xffffffff);
    }
}

/* -- Devices and memory by the same instructions ---------------------------------------------------------------- */

static u32 __attribute__((noinline)) load32(volatile u32 *p) { return *p; }
static void __attribute__((noinline)) store32(volatile u32 *p, u32 v) { *p = v; }
static u8 __attribute__((noinline)) load8(volatile u8 *p) { return *p; }
static void __attribute__((noinline)) add32(volatile u32 *p, u32 v)
{
    __asm__ volatile("addl %1, %0" : "+m"(*p) : "r"(v));
}
static u8 __attribute__((noinline)) load_high(volatile u8 *p)
{
    word ax = 0;

    __asm__ volatile("movb (%1), %%ah" : "+a"(ax) : "r"(p));
    return (u8)(ax >> 8);
}

static u32 memory[4];

static void use(volatile u32 *at, u32 i)
{
    store32(at, i);
    EXPECT_EQ(load32(at), i);
    add32(at, 3);
    EXPECT_EQ(load32(at), i + 3);
    EXPECT_EQ(load8((volatile u8 *)at), (i + 3) & 0xff);
    EXPECT_EQ(load_high((volatile u8 *)at), (i + 3) & 0xff);
}

/* A register of the local APIC that holds what is written. */
static void an_instruction_reaches_devices_and_memory(void)
{
    volatile u32 *device = (volatile u32 *)(0xfee00000ul + APIC_TPR);

    apic_init();
    for (u32 turn = 0; turn < 3; turn++) {
        for (u32 i = 0; i < HOT; i++) {
            use(device, i & 0x7f);
        }
        for (u32 i = 0; i < HOT; i++) {
            use(memory, i);
        }
        for (u32 i = 0; i < HOT; i++) {
            use((i & 1) != 0 ? device : &memory[1], i & 0x7f);
        }
    }
    /* what does not exist, and two pages at once */
    for (u32 i = 0; i < HOT; i++) {
        EXPECT_TRAP(TRY(load32((volatile u32 *)(1ul << 63 >> 2))), VECTOR_GP, 0);
        EXPECT_TRAP(TRY(load32((volatile u32 *)((u64)300 << 39))), VECTOR_GP, 0);
        EXPECT_TRAP(TRY(load32((volatile u32 *)((u64)100 << 39))), VECTOR_PF, 0);
    }
    store32(device, 0);
}

static u8 two_pages[3 * 4096] PAGE_ALIGNED;

static void an_instruction_reaches_over_a_page_end(void)
{
    volatile u32 *p = (volatile u32 *)(two_pages + 4094);

    for (u32 i = 0; i < HOT; i++) {
        use(p, i * 0x01010101);
    }
}

/* -- Divisions that fault -------------------------------------------------------------------------------- */

static volatile word fault_ax, fault_dx, fault_flags, fault_ip;
static word division_len;

static bool step_over_division(Frame *f)
{
    fault_ax = f->ax;
    fault_dx = f->dx;
    fault_flags = f->flags;
    fault_ip = f->ip;
    f->ip += division_len;
    return true;
}

typedef struct {
    word ax, dx, ip;               /* the address of the division */
} Divided;

/* With the flags of 0 - 1 before it. */
__attribute__((noinline)) static Divided divide_by_register(word dx, word ax, word by)
{
    Divided d = {ax, dx, 0};

    __asm__ volatile("lea 1f(%%rip), %%rsi; xor %%r8d, %%r8d; sub $1, %%r8\n"
                     "1: div %3"
                     : "+a"(d.ax), "+d"(d.dx), "=&S"(d.ip) : "r"(by) : "r8", "cc");
    return d;
}

__attribute__((noinline)) static Divided divide_by_memory(word dx, word ax, const volatile u32 *by)
{
    Divided d = {ax, dx, 0};

    __asm__ volatile("lea 1f(%%rip), %%rsi; xor %%r8d, %%r8d; sub $1, %%r8\n"
                     "1: idivl (%3)"
                     : "+a"(d.ax), "+d"(d.dx), "=&S"(d.ip) : "r"(by) : "r8", "cc");
    return d;
}

static void divide_both_ways(bool fault)
{
    enum { ARITH = 0x8d5, MINUS_ONE = 0x95 }; /* OF SF ZF AF PF CF, and those of 0 - 1 */
    volatile u32 by = fault ? 0 : 7;
    word faults = fault;
    Divided d;

    fault_ip = 0;
    division_len = 3;
    d = divide_by_register(5, 1000, fault ? 5 : 11); /* 5:1000 by 5 does not fit */
    EXPECT_EQ(fault_ip, faults * d.ip);
    EXPECT_EQ(d.ax, fault ? 1000 : 8384883669867978098ul);
    EXPECT_EQ(d.dx, fault ? 5 : 2);
    if (fault) {
        EXPECT_EQ(fault_ax, 1000);
        EXPECT_EQ(fault_dx, 5);
        EXPECT_EQ(fault_flags & ARITH, MINUS_ONE);
    }
    fault_ip = 0;
    division_len = 2;
    d = divide_by_memory((word)-1 >> 32, (u32)-100, &by);
    EXPECT_EQ(fault_ip, faults * d.ip);
    EXPECT_EQ(d.ax, (u32)(fault ? -100 : -14));
    EXPECT_EQ(d.dx, (u32)(fault ? -1 : -2));
    if (fault) {
        EXPECT_EQ(fault_flags & ARITH, MINUS_ONE);
    }
}

static void a_division_faults_always_never_and_by_turns(void)
{
    trap_hook[VECTOR_DE] = step_over_division;
    for (u32 i = 0; i < HOT; i++) {
        divide_both_ways(true);
    }
    for (u32 i = 0; i < HOT; i++) {
        divide_both_ways(false);
    }
    for (u32 i = 0; i < HOT; i++) {
        divide_both_ways(i % 3 == 0);
    }
    trap_hook[VECTOR_DE] = NULL;
}

const GuestTest guest_tests[] = {
    {"the_second_cpu_starts", the_second_cpu_starts},
    {"the_task_priority_is_one_register", the_task_priority_is_one_register},
    {"priority_holds_interrupts_back_until_it_falls", priority_holds_interrupts_back_until_it_falls},
    {"nested_interrupts_end_in_order", nested_interrupts_end_in_order},
    {"cpuid_follows_the_registers", cpuid_follows_the_registers},
    {"cpuid_writes_four_registers", cpuid_writes_four_registers},
    {"spec_ctrl_keeps_what_it_has", spec_ctrl_keeps_what_it_has},
    {"ports_keep_the_rest_of_the_register", ports_keep_the_rest_of_the_register},
    {"an_instruction_reaches_devices_and_memory", an_instruction_reaches_devices_and_memory},
    {"an_instruction_reaches_over_a_page_end", an_instruction_reaches_over_a_page_end},
    {"a_division_faults_always_never_and_by_turns", a_division_faults_always_never_and_by_turns},
    {"requests_meet_a_changing_priority", requests_meet_a_changing_priority},
    {"ends_are_seen_by_other_cpus", ends_are_seen_by_other_cpus},
    {"the_x2apic_does_the_same", the_x2apic_does_the_same},
    {NULL, NULL},
};
