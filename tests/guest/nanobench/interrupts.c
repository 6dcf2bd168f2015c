/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts: the second CPU and back, the timer of the local APIC in TSC-deadline mode. */
#include "tests/guest/ap.h"
#include "tests/guest/nanobench/nanobench.h"

enum { VEC_PING = 0x61, VEC_PONG = 0x62, VEC_TIMER = 0x63, VEC_STOP = 0x64 };
enum { LVT_DEADLINE = 2 << 17, LVT_MASKED = 1 << 16 };

extern u8 nano_ping[], nano_pong[], nano_timer[], nano_eoi[];
extern volatile word nano_pongs;
extern volatile u64 nano_stamp;    /* TSC at which the timer's handler ran; 0: not yet */
volatile word nano_pongs;
volatile u64 nano_stamp;

#ifdef __x86_64__
#define IRET "iretq"
#define R(name) "%r" name
#else
#define IRET "iret"
#define R(name) "%e" name
#endif
__asm__(".pushsection .text\n"
        /* on the second CPU: answer */
        "nano_ping: push " R("ax") "; movl $0xfee00000, %eax; movl $0, 0xb0(" R("ax") ")\n"
        "movl $0xc0062, 0x300(" R("ax") "); pop " R("ax") "; " IRET "\n"
        "nano_pong: push " R("ax") "; movl $0xfee00000, %eax; movl $0, 0xb0(" R("ax") ")\n"
        "incl nano_pongs; pop " R("ax") "; " IRET "\n"
        "nano_timer: push " R("ax") "; push " R("dx") "; rdtsc; movl %eax, nano_stamp\n"
        "movl %edx, nano_stamp + 4; pop " R("dx") "\n"
        "1: movl $0xfee00000, %eax; movl $0, 0xb0(" R("ax") "); pop " R("ax") "; " IRET "\n"
        "nano_eoi: push " R("ax") "; jmp 1b\n"
        ".popsection\n");

static void set_gates(void)
{
    idt_set(VEC_PING, (word)nano_ping, SEL_KCODE, GATE_INT, 0, 0);
    idt_set(VEC_PONG, (word)nano_pong, SEL_KCODE, GATE_INT, 0, 0);
    idt_set(VEC_TIMER, (word)nano_timer, SEL_KCODE, GATE_INT, 0, 0);
    idt_set(VEC_STOP, (word)nano_eoi, SEL_KCODE, GATE_INT, 0, 0);
    apic_enable();
}

/* -- Between CPUs ----------------------------------------------------------------------------------- */

static volatile bool ap_stop;

static void wait_running(void)
{
    sti();
    while (!ap_stop) {
        cpu_relax();
    }
    cli();
}

static void wait_halted(void)
{
    while (!ap_stop) {
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
}

static const char *no_second_cpu(void)
{
    set_gates();
    if (!start_ap()) {
        return "one CPU";
    }
    send(OTHERS | INIT); /* it waits without using a host CPU */
    return NULL;
}

static u64 ping_pong(u32 n, void (*job)(void))
{
    bool good = start_ap();
    u64 begin, took;

    ap_stop = false;
    nano_pongs = 0;
    ap_run(job);
    pause_a_while(10000);
    sti();
    begin = rdtsc();
    for (word i = 1; good && i <= n; i++) {
        apic_write(APIC_ICR, OTHERS | VEC_PING);
        good = wait_for(&nano_pongs, i);
    }
    took = rdtsc() - begin;
    ap_stop = true;
    send(OTHERS | VEC_STOP);
    good &= ap_wait();
    cli();
    send(OTHERS | INIT);
    return good ? took : NANO_BAD;
}

static u64 ipi_running(u32 n) { return ping_pong(n, wait_running); }
static u64 ipi_halted(u32 n) { return ping_pong(n, wait_halted); }

/* -- Timer ------------------------------------------------------------------------------------------ */

static const char *no_deadline(void)
{
    set_gates();
    if (!cpu_has(1, 0, 2, 24)) {
        return "no TSC-deadline mode";
    }
    return nano_tsc_khz() == 0 ? "unknown TSC rate" : NULL;
}

/* How late the handler runs, halted or spinning meanwhile. */
static u64 deadline(u32 n, bool halt)
{
    u64 late = 0, give_up = nano_tsc_khz() * 2000ull;
    u32 ahead = nano_tsc_khz() / 10; /* 100 microseconds */

    apic_write(APIC_TIMER, LVT_DEADLINE | VEC_TIMER);
    __asm__ volatile("mfence" : : : "memory");
    for (u32 i = 0; i < n; i++) {
        u64 at = rdtsc() + ahead;
        nano_stamp = 0;
        wrmsr(MSR_TSC_DEADLINE, at);
        while (nano_stamp == 0) {
            if (halt) {
                __asm__ volatile("sti; hlt; cli" : : : "memory");
            } else {
                __asm__ volatile("sti; pause; cli" : : : "memory");
            }
            if (rdtsc() - at < (1ull << 63) && rdtsc() - at > give_up) {
                return NANO_BAD;
            }
        }
        late += nano_stamp >= at ? nano_stamp - at : 0;
    }
    apic_write(APIC_TIMER, LVT_MASKED);
    return late;
}

static u64 deadline_halted(u32 n) { return deadline(n, true); }
static u64 deadline_running(u32 n) { return deadline(n, false); }

const NanoOp nano_interrupts[] = {
    {"deadline_running", deadline_running, NULL, no_deadline, 16},
    {"deadline_halted", deadline_halted, NULL, no_deadline, 16},
    {"ipi_running", ipi_running, NULL, no_second_cpu, 256},
    {"ipi_halted", ipi_halted, NULL, no_second_cpu, 64},
    {NULL},
};
