/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two CPUs: INIT and SIPI, IPIs, atomic operations, ordering, shoot-down, each other's code. */
#include "tests/guest/ap.h"

enum { VEC_PING = 0x61, VEC_PONG = 0x62, VEC_FLUSH = 0x63 };

static volatile word pings, pongs, ap_pings, nmis;

static void init_and_sipi_start_the_second_cpu(void)
{
    apic_enable();
    have_ap = start_ap();
    NEED_AP();
    EXPECT_EQ(ap_started, 1);
    send(OTHERS | SIPI | TRAMPOLINE >> 12); /* a SIPI to a running CPU does nothing */
    pause_a_while(10000);
    EXPECT_EQ(ap_started, 1);
}

/* -- IPIs -------------------------------------------------------------------------------------------------- */

static bool on_ping(Frame *f)
{
    ap_pings++;
    apic_write(APIC_EOI, 0);
    send(OTHERS | VEC_PONG);
    return true;
}

static bool on_pong(Frame *f)
{
    pongs++;
    apic_write(APIC_EOI, 0);
    return true;
}

static volatile word ap_stop;

static void job_wait_open(void)
{
    sti();
    while (!ap_stop) {
        cpu_relax();
    }
    cli();
}

static void job_wait_halted(void)
{
    while (!ap_stop) {
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
}

static void ping_pong(void (*job)(void))
{
    NEED_AP();
    trap_hook[VEC_PING] = on_ping;
    trap_hook[VEC_PONG] = on_pong;
    pongs = ap_pings = 0;
    ap_stop = 0;
    ap_run(job);
    sti();
    for (word i = 1; i <= 200; i++) {
        send(OTHERS | VEC_PING);
        if (!wait_for(&pongs, i)) {
            break;
        }
    }
    EXPECT_EQ(pongs, 200);
    EXPECT_EQ(ap_pings, 200);
    ap_stop = 1;
    send(OTHERS | VEC_PING);
    EXPECT(ap_wait());
    pause_a_while(1000);
    cli();
}

static void ipis_reach_a_running_cpu_and_come_back(void) { ping_pong(job_wait_open); }
static void ipis_wake_a_halted_cpu(void) { ping_pong(job_wait_halted); }

static bool on_nmi(Frame *f)
{
    nmis++;
    return true;
}

static void job_halt_closed(void)
{
    __asm__ volatile("cli; hlt" : : : "memory");
}

static void nmi_wakes_a_cpu_halted_with_interrupts_off(void)
{
    NEED_AP();
    trap_hook[VECTOR_NMI] = on_nmi;
    nmis = 0;
    ap_run(job_halt_closed);
    pause_a_while(100000);
    EXPECT_EQ(ap_done, 0);
    /* It may not have come to its HLT yet: an NMI before that wakes nobody.  A host with other work may keep it from there
     * for a good while. */
    for (unsigned i = 0; i < 40000 && ap_done == 0; i++) {
        send(OTHERS | 0x4400);
        pause_a_while(10000);
    }
    EXPECT(ap_wait());
    EXPECT(nmis >= 1); /* the hook stays: one more may be on its way */
}

/* -- Atomics and order ---------------------------------------------------------------------------------------- */

/* Few locked operations across cache lines: a host may punish each by milliseconds. */
enum { TURNS = 20000, SPLIT_TURNS = 20 };
static volatile u64 counters[4] __attribute__((aligned(64)));
static u8 straddle[128] __attribute__((aligned(64)));

static void add_all(void)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u64 old;
        __asm__ volatile("lock incq %0" : "+m"(counters[0]) : : "cc");
        old = 1;
        __asm__ volatile("lock xaddq %1, %0" : "+m"(counters[1]), "+r"(old) : : "cc");
        do {
            old = counters[2];
        } while (!__sync_bool_compare_and_swap(&counters[2], old, old + 1));
        if (i < SPLIT_TURNS) {
            __asm__ volatile("lock addl $1, %0" : "+m"(*(u32 *)(straddle + 62)) : : "cc");
        }
    }
}

static void locked_operations_are_atomic_between_cpus(void)
{
    NEED_AP();
    memset((void *)counters, 0, sizeof counters);
    memset(straddle, 0, sizeof straddle);
    ap_run(add_all);
    add_all();
    EXPECT(ap_wait());
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(counters[i], 2 * TURNS);
    }
    EXPECT_EQ(*(u32 *)(straddle + 62), 2 * SPLIT_TURNS);
}

static volatile u32 spin;
static volatile word guarded;

static void add_guarded(void)
{
    for (unsigned i = 0; i < 20000; i++) {
        while (__sync_lock_test_and_set(&spin, 1)) {
            cpu_relax();
        }
        guarded = guarded + 1;
        spin = 0;                 /* a plain store releases: TSO */
    }
}

static void xchg_locks_exclude(void)
{
    NEED_AP();
    spin = 0;
    guarded = 0;
    ap_run(add_guarded);
    add_guarded();
    EXPECT(ap_wait());
    EXPECT_EQ(guarded, 40000);
}

static volatile u64 box[16] __attribute__((aligned(64)));

static void job_send_messages(void)
{
    for (u64 i = 1; i <= TURNS; i++) {
        box[0] = i * 3;
        barrier();
        box[8] = i;
    }
}

static void stores_are_seen_in_order(void)
{
    bool bad = false;
    u64 flag;

    NEED_AP();
    box[0] = box[8] = 0;
    ap_run(job_send_messages);
    do {
        flag = box[8];
        barrier();
        bad |= box[0] < flag * 3;
    } while (flag < TURNS);
    EXPECT(!bad);
    EXPECT(ap_wait());
}

static volatile u32 dekker[32] __attribute__((aligned(64))), seen[2], round_bsp, round_ap;

static void dekker_side(unsigned me, volatile u32 *mine, volatile u32 *others)
{
    for (u32 i = 1; i <= 2000; i++) {
        dekker[me * 16] = 0;
        *mine = 2 * i - 1;
        while (*others < 2 * i - 1) {
            cpu_relax();
        }
        dekker[me * 16] = i;
        __asm__ volatile("mfence" : : : "memory");
        seen[me] = dekker[(1 - me) * 16];
        *mine = 2 * i;
        while (*others < 2 * i) {
            cpu_relax();
        }
        if (me == 0 && seen[0] != i && seen[1] != i) {
            test_failed(__FILE__, __LINE__, "mfence orders a store before a load", i, 0);
        }
        *mine = 2 * i + 1;        /* may already be the next turn's value */
        while (*others < 2 * i + 1) {
            cpu_relax();
        }
    }
}

static void dekker_ap(void) { dekker_side(1, &round_ap, &round_bsp); }

static void fences_order_stores_before_loads(void)
{
    NEED_AP();
    round_bsp = round_ap = 0;
    ap_run(dekker_ap);
    dekker_side(0, &round_bsp, &round_ap);
    EXPECT(ap_wait());
}

/* -- Shoot-down, code --------------------------------------------------------------------------------------------- */

extern u64 boot_pml4[512];
static u64 pdpt[512] PAGE_ALIGNED, pd[512] PAGE_ALIGNED, pt[512] PAGE_ALIGNED;
static u8 page_a[4096] PAGE_ALIGNED, page_b[4096] PAGE_ALIGNED;
enum { SLOT = 7 };
#define SHARED ((u64)SLOT << 39)
static volatile word flushed, wrong;
static volatile u8 allowed;

static bool on_flush(Frame *f)
{
    invlpg(SHARED);
    flushed++;
    apic_write(APIC_EOI, 0);
    return true;
}

static void job_read_shared(void)
{
    sti();
    while (!ap_stop) {
        (void)*(volatile u8 *)SHARED;
    }
    cli();
}

static void job_check_shared(void)
{
    wrong += *(volatile u8 *)SHARED != allowed;
}

static void tlb_shoot_down_by_ipi(void)
{
    NEED_AP();
    boot_pml4[SLOT] = (u64)pdpt | 3;
    pdpt[0] = (u64)pd | 3;
    pd[0] = (u64)pt | 3;
    pt[0] = (u64)page_a | 3;
    page_a[0] = 1;
    page_b[0] = 2;
    trap_hook[VEC_FLUSH] = on_flush;
    flushed = wrong = 0;
    for (word i = 1; i <= 50; i++) {
        ap_stop = 0;
        ap_run(job_read_shared);
        pause_a_while(200);
        pt[0] = (u64)(i & 1 ? page_b : page_a) | 3;
        send(OTHERS | VEC_FLUSH);
        EXPECT(wait_for(&flushed, i));
        ap_stop = 1;
        EXPECT(ap_wait());
        allowed = i & 1 ? 2 : 1;
        ap_run(job_check_shared);
        EXPECT(ap_wait());
    }
    EXPECT_EQ(wrong, 0);
}

static void job_run_code(void)
{
    u32 r[4];

    cpuid(0, 0, r);               /* cross-modified code wants a serialising instruction */
    box[1] = ((word (*)(void))page_a)();
}

static void code_written_by_another_cpu_runs_as_written(void)
{
    NEED_AP();
    for (u32 i = 0; i < 300; i++) {
        page_a[0] = 0xb8;
        *(volatile u32 *)(page_a + 1) = i;
        page_a[5] = 0xc3;
        ap_run(job_run_code);
        EXPECT(ap_wait());
        EXPECT_EQ(box[1], i);
    }
}

static volatile word forever;

static void job_forever(void)
{
    forever = 1;
    for (;;) {
        cpu_relax();
    }
}

static void init_stops_a_cpu_and_sipi_starts_it_again(void)
{
    NEED_AP();
    forever = 0;
    ap_run(job_forever);
    EXPECT(wait_for(&forever, 1)); /* it is in the job, not about to take it */
    EXPECT(start_ap());
    ap_run(job_check_shared);
    EXPECT(ap_wait());
}

const GuestTest guest_tests[] = {
    {"init_and_sipi_start_the_second_cpu", init_and_sipi_start_the_second_cpu},
    {"ipis_reach_a_running_cpu_and_come_back", ipis_reach_a_running_cpu_and_come_back},
    {"ipis_wake_a_halted_cpu", ipis_wake_a_halted_cpu},
    {"nmi_wakes_a_cpu_halted_with_interrupts_off", nmi_wakes_a_cpu_halted_with_interrupts_off},
    {"locked_operations_are_atomic_between_cpus", locked_operations_are_atomic_between_cpus},
    {"xchg_locks_exclude", xchg_locks_exclude},
    {"stores_are_seen_in_order", stores_are_seen_in_order},
    {"fences_order_stores_before_loads", fences_order_stores_before_loads},
    {"tlb_shoot_down_by_ipi", tlb_shoot_down_by_ipi},
    {"code_written_by_another_cpu_runs_as_written", code_written_by_another_cpu_runs_as_written},
    {"init_stops_a_cpu_and_sipi_starts_it_again", init_stops_a_cpu_and_sipi_starts_it_again},
    {NULL, NULL},
};
