/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts: PIC, PIT, IO-APIC, local APIC and its timer, NMI, shadows, hlt, interrupted strings. */
#include "tests/guest/lib.h"

enum { VEC_TIMER = 0x40, VEC_IPI = 0x41, VEC_SPURIOUS = 0xff, VEC_IOAPIC = 0x50, VEC_LOW = 0x31 };
enum { PIT_1MS = 1193 };

static volatile word count[256];

/* -- 8259 and 8254 ---------------------------------------------------------------------------------------- */

static bool pic_hook(Frame *f)
{
    count[f->vector]++;
    pic_eoi((unsigned)f->vector - 0x20);
    return true;
}

static void pit_interrupts_through_the_pic(void)
{
    trap_hook[0x20] = pic_hook;
    count[0x20] = 0;
    pic_init(0xfffe);
    pit_periodic(PIT_1MS);
    sti();
    EXPECT(wait_for(&count[0x20], 5));
    cli();
    pic_init(0xffff);
    word n = count[0x20];
    sti();
    for (unsigned i = 0; i < 100000; i++) {
        cpu_relax();
    }
    cli();
    EXPECT(count[0x20] <= n + 1); /* masked */
}

static void hlt_wakes_by_an_interrupt(void)
{
    trap_hook[0x20] = pic_hook;
    count[0x20] = 0;
    pic_init(0xfffe);
    pit_periodic(PIT_1MS);
    for (unsigned i = 1; i <= 10; i++) {
        __asm__ volatile("sti; hlt; cli" : : : "memory");
        EXPECT(count[0x20] >= i);
    }
    pic_init(0xffff);
}

/* -- Shadows ------------------------------------------------------------------------------------------------ */

static volatile word interrupted_at;

static bool note_ip(Frame *f)
{
    interrupted_at = f->ip;
    count[f->vector]++;
    pic_eoi((unsigned)f->vector - 0x20);
    return true;
}

static void make_irq0_pending(void)
{
    pic_init(0xfffe);
    pit_oneshot(20);
    for (;;) {                    /* wait until the PIC asks (IRR) */
        outb(0x20, 0x0a);
        if (inb(0x20) & 1) {
            break;
        }
    }
}

extern u8 after_sti_nop[];
static void sti_delays_interrupts_by_one_instruction(void)
{
    trap_hook[0x20] = note_ip;
    interrupted_at = 0;
    make_irq0_pending();
    __asm__ volatile("sti; nop; after_sti_nop: cli" : : : "memory");
    EXPECT_EQ(interrupted_at, (word)after_sti_nop);
    make_irq0_pending();
    interrupted_at = 0;
    __asm__ volatile("sti; cli; nop; nop" : : : "memory"); /* no window at all */
    EXPECT_EQ(interrupted_at, 0);
    sti();
    __asm__ volatile("nop");
    cli();
    EXPECT(interrupted_at != 0);
}

/* -- Strings ------------------------------------------------------------------------------------------------- */

static u8 big_a[1 << 20], big_b[1 << 20];
static volatile word string_left;

static bool note_string(Frame *f)
{
    if (f->cx != 0 && f->cx < sizeof big_a) {
        string_left = f->cx;      /* in mid-string: rip still at the instruction */
    }
    count[f->vector]++;
    pic_eoi(0);
    return true;
}

static void rep_movs_is_interrupted_and_goes_on(void)
{
    trap_hook[0x20] = note_string;
    string_left = 0;
    count[0x20] = 0;
    for (unsigned i = 0; i < sizeof big_a; i++) {
        big_a[i] = (u8)(i * 13 + (i >> 8));
    }
    pic_init(0xfffe);
    pit_periodic(200);
    for (unsigned turn = 0; turn < 200 && string_left == 0; turn++) {
        void *to = big_b, *from = big_a;
        word n = sizeof big_a;
        memset(big_b, 0, sizeof big_b);
        sti();
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
        cli();
        EXPECT_EQ(n, 0);
        EXPECT_EQ((word)to, (word)big_b + sizeof big_b);
        for (unsigned i = 0; i < sizeof big_a; i += 4099) {
            EXPECT_EQ(big_b[i], big_a[i]);
        }
        EXPECT_EQ(big_b[sizeof big_b - 1], big_a[sizeof big_a - 1]);
    }
    pic_init(0xffff);
    EXPECT(count[0x20] != 0);
}

extern u64 boot_pml4[512];
static u64 pdpt[512] PAGE_ALIGNED, pd[512] PAGE_ALIGNED, pt[512] PAGE_ALIGNED;
static u8 pages[4 * 4096] PAGE_ALIGNED;
enum { STRING_BASE_SLOT = 5 };
#define STRING_BASE ((u64)STRING_BASE_SLOT << 39)
static volatile word page_faults;

static bool bring_page(Frame *f)
{
    word at = read_cr2();
    unsigned i = (unsigned)(at >> 12 & 511);

    page_faults++;
    if (at >> 39 != STRING_BASE_SLOT || i >= 4 || f->cx != 4 * 4096 - (at & 0x3fff)) {
        return false;
    }
    pt[i] = ((u64)pages + i * 4096) | 3;
    return true;
}

static void rep_stos_is_restarted_by_page_faults(void)
{
    void *to = (void *)STRING_BASE;
    word n = sizeof pages;

    boot_pml4[STRING_BASE_SLOT] = (u64)pdpt | 3;
    pdpt[0] = (u64)pd | 3;
    pd[0] = (u64)pt | 3;
    write_cr3(read_cr3());
    trap_hook[VECTOR_PF] = bring_page;
    page_faults = 0;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0x6b) : "memory");
    trap_hook[VECTOR_PF] = NULL;
    EXPECT_EQ(page_faults, 4);
    EXPECT_EQ(n, 0);
    EXPECT_EQ((word)to, STRING_BASE + sizeof pages);
    EXPECT_EQ(pages[0], 0x6b);
    EXPECT_EQ(pages[sizeof pages - 1], 0x6b);
}

/* -- Local APIC ------------------------------------------------------------------------------------------------- */

static bool apic_hook(Frame *f)
{
    count[f->vector]++;
    apic_write(APIC_EOI, 0);
    return true;
}

static void apic_init(void)
{
    apic_enable();
    apic_write(APIC_LINT0, 0x10000);
    apic_write(APIC_TIMER, 0x10000);
    for (unsigned v = 0x30; v < 0x100; v++) {
        trap_hook[v] = v == VECTOR_USER_EXIT ? NULL : apic_hook;
    }
}

static void apic_timer_one_shot(void)
{
    apic_init();
    count[VEC_TIMER] = 0;
    apic_write(APIC_TIMER, VEC_TIMER);
    apic_write(APIC_INITIAL, 100000);
    EXPECT(apic_read(APIC_CURRENT) <= 100000);
    sti();
    EXPECT(wait_for(&count[VEC_TIMER], 1));
    for (unsigned i = 0; i < 100000; i++) {
        cpu_relax();
    }
    cli();
    EXPECT_EQ(count[VEC_TIMER], 1);
    EXPECT_EQ(apic_read(APIC_CURRENT), 0);
}

static void apic_timer_periodic(void)
{
    apic_init();
    count[VEC_TIMER] = 0;
    apic_write(APIC_TIMER, 1 << 17 | VEC_TIMER);
    apic_write(APIC_INITIAL, 100000);
    sti();
    EXPECT(wait_for(&count[VEC_TIMER], 5));
    cli();
    apic_write(APIC_INITIAL, 0);  /* stops it */
    sti();
    word n = count[VEC_TIMER];
    for (unsigned i = 0; i < 200000; i++) {
        cpu_relax();
    }
    cli();
    EXPECT(count[VEC_TIMER] <= n + 1);
    apic_write(APIC_TIMER, 0x10000);
}

static void apic_timer_by_tsc_deadline(void)
{
    if (!cpu_has(1, 0, 2, 24)) {
        test_skip("no TSC-deadline timer");
        return;
    }
    apic_init();
    count[VEC_TIMER] = 0;
    apic_write(APIC_TIMER, 2 << 17 | VEC_TIMER);
    __asm__ volatile("mfence");
    u64 deadline = rdtsc() + 2000000;
    wrmsr(MSR_TSC_DEADLINE, deadline);
    EXPECT(rdmsr(MSR_TSC_DEADLINE) == deadline || rdtsc() >= deadline);
    sti();
    EXPECT(wait_for(&count[VEC_TIMER], 1));
    cli();
    EXPECT(rdtsc() >= deadline);
    EXPECT_EQ(rdmsr(MSR_TSC_DEADLINE), 0); /* fired: disarmed */
    wrmsr(MSR_TSC_DEADLINE, 1);           /* the past: at once */
    sti();
    EXPECT(wait_for(&count[VEC_TIMER], 2));
    cli();
    apic_write(APIC_TIMER, 0x10000);
}

static void self_ipi(unsigned v)
{
    apic_write(APIC_ICR, 0x40000 | v);
}

static void self_ipis_obey_if_and_priority(void)
{
    apic_init();
    count[VEC_IPI] = count[VEC_LOW] = 0;
    self_ipi(VEC_IPI);
    EXPECT_EQ(apic_read(APIC_IRR + (VEC_IPI / 32) * 16) >> (VEC_IPI % 32) & 1, 1);
    EXPECT_EQ(count[VEC_IPI], 0);
    sti();
    EXPECT(wait_for(&count[VEC_IPI], 1));
    cli();
    apic_write(APIC_TPR, 0x40);   /* class 4 and below wait */
    self_ipi(VEC_IPI);
    sti();
    for (unsigned i = 0; i < 1000; i++) {
        cpu_relax();
    }
    EXPECT_EQ(count[VEC_IPI], 1);
    write_cr8(3);
    EXPECT(wait_for(&count[VEC_IPI], 2));
    self_ipi(VEC_LOW);
    for (unsigned i = 0; i < 1000; i++) {
        cpu_relax();
    }
    EXPECT_EQ(count[VEC_LOW], 0);
    write_cr8(0);
    EXPECT(wait_for(&count[VEC_LOW], 1));
    cli();
}

static volatile word order[4], order_n;

static bool note_order(Frame *f)
{
    order[order_n++ & 3] = f->vector;
    apic_write(APIC_EOI, 0);
    return true;
}

/* An IPI to oneself within a system call, whose return lets it in. */
enum { MSR_STAR = 0xc0000081, MSR_LSTAR = 0xc0000082, MSR_FMASK = 0xc0000084 };
extern u8 ipi_target[], user_ipi[], user_ipi_after[];
__asm__(".pushsection .text\n"
        "ipi_target: movl $0xfee00300, %r8d; movl $0x40041, (%r8); sysretq\n"
        "user_ipi: movq %rdi, %r12; 1: syscall; user_ipi_after: decq %r12; jnz 1b; int $0x80\n"
        ".popsection\n");
static word wrong_places;

static bool behind_the_syscall(Frame *f)
{
    wrong_places += f->ip != USER(user_ipi_after) || (f->cs & 3) != 3 || (f->flags & FLAG_IF) == 0;
    return apic_hook(f);
}

static void sysret_lets_a_pending_interrupt_in(void)
{
    apic_init();
    trap_hook[VEC_IPI] = behind_the_syscall;
    count[VEC_IPI] = wrong_places = 0;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (u64)0x18 << 48 | (u64)SEL_KCODE << 32);
    wrmsr(MSR_LSTAR, (u64)ipi_target);
    wrmsr(MSR_FMASK, FLAG_IF);
    EXPECT_EQ(TRY(enter_user(USER(user_ipi), 100, FLAG_IF)), VECTOR_USER_EXIT);
    EXPECT_EQ(count[VEC_IPI], 100);
    EXPECT_EQ(wrong_places, 0);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_SCE);
}

static void the_highest_vector_comes_first(void)
{
    apic_init();
    order_n = 0;
    trap_hook[0x35] = trap_hook[0x61] = trap_hook[0x92] = note_order;
    self_ipi(0x35);
    self_ipi(0x92);
    self_ipi(0x61);
    sti();
    EXPECT(wait_for(&order_n, 3));
    cli();
    EXPECT_EQ(order[0], 0x92);
    EXPECT_EQ(order[1], 0x61);
    EXPECT_EQ(order[2], 0x35);
}

static void nmi_ignores_if_and_waits_for_iret(void)
{
    apic_init();
    trap_hook[VECTOR_NMI] = NULL;
    EXPECT_EQ(TRY(apic_write(APIC_ICR, 0x40400); for (unsigned i = 0; i < 100000; i++) cpu_relax();),
              VECTOR_NMI);
    EXPECT_EQ(trap.frame.flags & FLAG_IF, 0);
    /* Left without IRET, NMIs stay blocked; an IRET opens them again. */
    __asm__ volatile("movq %%rsp, %%rax; pushq $0x10; pushq %%rax; pushfq; pushq $8; pushq $1f; iretq; 1:"
                     : : : "rax", "memory");
}

static bool nmi_nested(Frame *f)
{
    word n = ++count[VECTOR_NMI];

    if (n == 1) {
        apic_write(APIC_ICR, 0x40400);
        for (unsigned i = 0; i < 100000; i++) {
            cpu_relax();
        }
        order[0] = count[VECTOR_NMI];
    }
    return true;
}

static void nmis_do_not_nest(void)
{
    apic_init();
    count[VECTOR_NMI] = 0;
    trap_hook[VECTOR_NMI] = nmi_nested;
    apic_write(APIC_ICR, 0x40400);
    EXPECT(wait_for(&count[VECTOR_NMI], 2)); /* the second after the first one's IRET */
    EXPECT_EQ(order[0], 1);
}

/* -- IO-APIC ------------------------------------------------------------------------------------------------------- */

static void ioapic_write(unsigned reg, u32 v)
{
    *(volatile u32 *)0xfec00000ul = reg;
    *(volatile u32 *)0xfec00010ul = v;
}

static u32 ioapic_read(unsigned reg)
{
    *(volatile u32 *)0xfec00000ul = reg;
    return *(volatile u32 *)0xfec00010ul;
}

static void ioapic_route(unsigned pin, u32 low)
{
    ioapic_write(0x11 + 2 * pin, apic_read(APIC_ID) & 0xff000000);
    ioapic_write(0x10 + 2 * pin, low);
}

static void ioapic_routes_the_pit(void)
{
    apic_init();
    pic_init(0xffff);
    count[VEC_IOAPIC] = 0;
    ioapic_route(0, 0x10000);
    ioapic_route(2, VEC_IOAPIC);  /* IRQ 0 is pin 2 */
    EXPECT_EQ(ioapic_read(0x10 + 4) & 0xff, VEC_IOAPIC);
    pit_periodic(PIT_1MS);
    sti();
    EXPECT(wait_for(&count[VEC_IOAPIC], 3));
    cli();
    ioapic_route(2, 0x10000);
}

static bool serial_hook(Frame *f)
{
    count[f->vector]++;
    (void)inb(0x3fa);             /* reading the cause lowers the line */
    apic_write(APIC_EOI, 0);
    return true;
}

static void ioapic_routes_the_serial_line(void)
{
    apic_init();
    trap_hook[VEC_IOAPIC + 1] = serial_hook;
    count[VEC_IOAPIC + 1] = 0;
    ioapic_route(4, VEC_IOAPIC + 1);
    outb(0x3fc, 0x0b);            /* OUT2 opens the line */
    outb(0x3f9, 2);               /* transmitter empty */
    sti();
    EXPECT(wait_for(&count[VEC_IOAPIC + 1], 1));
    cli();
    outb(0x3f9, 0);
    ioapic_route(4, 0x10000);
}

/* -- x87 through IRQ 13 ---------------------------------------------------------------------------------------------- */

static bool irq13_hook(Frame *f)
{
    count[f->vector]++;
    outb(0xf0, 0);
    __asm__ volatile("fnclex");
    pic_eoi(13);
    return true;
}

static void x87_errors_without_ne_come_as_irq_13(void)
{
    u16 cw = 0x037b;

    apic_write(APIC_LINT0, 0x700); /* the PIC through LINT0 */
    pic_init(0xffff & ~(1u << 13) & ~4u);
    trap_hook[0x2d] = irq13_hook;
    count[0x2d] = 0;
    write_cr0(read_cr0() & ~(word)(CR0_NE | CR0_TS | CR0_EM));
    sti();
    __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" : : "m"(cw));
    EXPECT(wait_for(&count[0x2d], 1));
    cli();
    __asm__ volatile("fninit");
    write_cr0(read_cr0() | CR0_NE);
    pic_init(0xffff);
}

const GuestTest guest_tests[] = {
    {"pit_interrupts_through_the_pic", pit_interrupts_through_the_pic},
    {"hlt_wakes_by_an_interrupt", hlt_wakes_by_an_interrupt},
    {"sti_delays_interrupts_by_one_instruction", sti_delays_interrupts_by_one_instruction},
    {"rep_movs_is_interrupted_and_goes_on", rep_movs_is_interrupted_and_goes_on},
    {"rep_stos_is_restarted_by_page_faults", rep_stos_is_restarted_by_page_faults},
    {"apic_timer_one_shot", apic_timer_one_shot},
    {"apic_timer_periodic", apic_timer_periodic},
    {"apic_timer_by_tsc_deadline", apic_timer_by_tsc_deadline},
    {"self_ipis_obey_if_and_priority", self_ipis_obey_if_and_priority},
    {"sysret_lets_a_pending_interrupt_in", sysret_lets_a_pending_interrupt_in},
    {"the_highest_vector_comes_first", the_highest_vector_comes_first},
    {"nmi_ignores_if_and_waits_for_iret", nmi_ignores_if_and_waits_for_iret},
    {"nmis_do_not_nest", nmis_do_not_nest},
    {"ioapic_routes_the_pit", ioapic_routes_the_pit},
    {"ioapic_routes_the_serial_line", ioapic_routes_the_serial_line},
    {"x87_errors_without_ne_come_as_irq_13", x87_errors_without_ne_come_as_irq_13},
    {NULL, NULL},
};
