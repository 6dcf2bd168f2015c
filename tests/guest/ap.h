/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The second CPU of a 64-bit guest, which includes this in its one source: start_ap() wakes it, then it runs
 * the jobs it is given. */
#ifndef TESTS_GUEST_AP_H
#define TESTS_GUEST_AP_H

#include "tests/guest/lib.h"

enum { TRAMPOLINE = 0x7000 };

extern u8 ap_begin[], ap_end[];
void ap_main(void);
static u8 ap_stack[16384] __attribute__((aligned(16)));
u8 *ap_stack_top = ap_stack + sizeof ap_stack;

__asm__(".pushsection .text\n"
        ".code16\n"
        "ap_begin: cli; cld; movw %cs, %ax; movw %ax, %ds\n"
        "lgdtl ap_gdtr - ap_begin\n"
        "movl $0x620, %eax; movl %eax, %cr4\n"
        "movl $boot_pml4, %eax; movl %eax, %cr3\n"
        "movl $0xc0000080, %ecx; rdmsr; orl $0x100, %eax; wrmsr\n"
        "movl $0x80000021, %eax; movl %eax, %cr0\n"
        "ljmpl $8, $ap_start64\n"
        "ap_gdtr: .word 64 * 8 - 1; .long gdt\n"
        "ap_end:\n"
        ".code64\n"
        "ap_start64: movl $0x10, %eax; movl %eax, %ds; movl %eax, %es; movl %eax, %ss\n"
        "movq ap_stack_top, %rsp; call ap_main; 1: cli; hlt; jmp 1b\n"
        ".popsection\n");

/* -- The second CPU runs what it is given ------------------------------------------------------------------ */

static volatile word ap_started, ap_done;
static void (*volatile ap_job)(void);

void ap_main(void)
{
    struct __attribute__((packed)) {
        u16 limit;
        word base;
    } idtr = {256 * 16 - 1, (word)idt};

    __asm__ volatile("lidt %0" : : "m"(idtr));
    apic_write(APIC_SPURIOUS, 0x1ff);
    apic_write(APIC_TPR, 0);
    ap_started++;
    for (;;) {
        void (*job)(void) = ap_job;
        if (job != NULL) {
            ap_job = NULL;
            job();
            ap_done++;
        }
        cpu_relax();
    }
}

static bool have_ap;

static void ap_run(void (*job)(void))
{
    ap_done = 0;
    barrier();
    ap_job = job;
}

static bool ap_wait(void) { return wait_for(&ap_done, 1); }

#define NEED_AP()                                                                                  \
    do {                                                                                           \
        if (!have_ap) {                                                                            \
            test_skip("one CPU");                                                                  \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static void pause_a_while(unsigned n)
{
    while (n-- > 0) {
        cpu_relax();
    }
}

static void send(u32 low)
{
    apic_write(APIC_ICR, low);    /* all but myself, or the destination set before */
    while (apic_read(APIC_ICR) & 0x1000) {
        cpu_relax();
    }
}

enum { OTHERS = 3 << 18, INIT = 0x4500, SIPI = 0x4600 };

static bool start_ap(void)
{
    u64 begin;

    ap_started = 0;
    memcpy((void *)TRAMPOLINE, ap_begin, (word)(ap_end - ap_begin));
    send(OTHERS | INIT);
    pause_a_while(10000);
    send(OTHERS | SIPI | TRAMPOLINE >> 12);
    for (begin = rdtsc(); !ap_started && rdtsc() - begin < 3000000000ull;) {
        cpu_relax();
    }
    return ap_started != 0;
}

#endif /* TESTS_GUEST_AP_H */
