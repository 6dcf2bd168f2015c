/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guest/ap.h"

extern u8 ap_begin[], ap_end[];
void ap_main(void);
extern u8 *ap_stack_top;
static u8 ap_stack[16384] __attribute__((aligned(16)));
u8 *ap_stack_top = ap_stack + sizeof ap_stack;

__asm__(".pushsection .text\n"
        ".code16\n"
        "ap_begin: cli; cld; movw %cs, %ax; movw %ax, %ds\n"
        "lgdtl ap_gdtr - ap_begin\n"
#ifdef __x86_64__
        "movl $0x620, %eax; movl %eax, %cr4\n"
        "movl $boot_pml4, %eax; movl %eax, %cr3\n"
        "movl $0xc0000080, %ecx; rdmsr; orl $0x100, %eax; wrmsr\n"
#else
        "movl $0x610, %eax; movl %eax, %cr4\n"
        "movl $boot_pd, %eax; movl %eax, %cr3\n"
#endif
        "movl $0x80000021, %eax; movl %eax, %cr0\n"
        "ljmpl $8, $ap_start_here\n"
        "ap_gdtr: .word 64 * 8 - 1; .long gdt\n"
        "ap_end:\n"
#ifdef __x86_64__
        ".code64\n"
        "ap_start_here: movl $0x10, %eax; movl %eax, %ds; movl %eax, %es; movl %eax, %ss\n"
        "movq ap_stack_top, %rsp; call ap_main; 1: cli; hlt; jmp 1b\n"
#else
        ".code32\n"
        "ap_start_here: movl $0x10, %eax; movl %eax, %ds; movl %eax, %es; movl %eax, %ss\n"
        "movl ap_stack_top, %esp; call ap_main; 1: cli; hlt; jmp 1b\n"
#endif
        ".popsection\n");

volatile word ap_started, ap_done;
bool have_ap;
static void (*volatile ap_job)(void);

void ap_main(void)
{
    idt_load();
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

void ap_run(void (*job)(void))
{
    ap_done = 0;
    barrier();
    ap_job = job;
}

bool ap_wait(void)
{
    return wait_for(&ap_done, 1);
}

void pause_a_while(unsigned n)
{
    while (n-- > 0) {
        cpu_relax();
    }
}

void send(u32 low)
{
    apic_write(APIC_ICR, low);    /* all but myself, or the destination set before */
    while (apic_read(APIC_ICR) & 0x1000) {
        cpu_relax();
    }
}

bool start_ap(void)
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
