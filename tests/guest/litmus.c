/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two CPUs run small programs at once: what x86's memory model forbids must never be seen, and code that
 * one writes while the other executes must run as old or new, never as a mixture.
 */
#include "tests/guest/ap.h"

/* A meeting place: both CPUs wait for turn `i`. */
static volatile u32 here[2][16] __attribute__((aligned(64)));

static void meet(unsigned me, u32 i)
{
    here[me][0] = i;
    while (here[1 - me][0] < i) {
        cpu_relax();
    }
}

static void reset_meeting(void)
{
    here[0][0] = here[1][0] = 0;
}

#ifdef GUEST_HIGH

/*
 * The same by a kernel in the upper half, which the translator's window serves: everything runs at its alias there, on aliases of the
 * stacks.
 */
#include "tests/guest/high.h"

static u64 high_pdpt[512] PAGE_ALIGNED, high_pd[512] PAGE_ALIGNED;
static void (*volatile job_there)(void);

static void needs_ap(void);

static void run_job(void)
{
    high_enter();
    high_call(job_there);
}

static void start_job(void (*job)(void))
{
    job_there = job;
    ap_run((void (*)(void))((u64)run_job & ~HIGH));
}

static void the_kernel_moves_up(void)
{
    high_map(high_pdpt, high_pd);
    high_enter();
    needs_ap();                                            /* started down here */
}

#define THERE(name) static void name##_there(void) { high_call(name); }
#define TEST(name) {#name, name##_there}

#else

#define start_job ap_run
#define TEST(name) {#name, name}

#endif

static void needs_ap(void)
{
    if (!have_ap) {
        apic_enable();
        have_ap = start_ap();
    }
}

/* Both CPUs in both roles: `there` on the other one and `here_too` on this one, and the other way round. */
static bool in_both_roles(void (*prepare)(void), void (*there)(void), void (*here_too)(void), void (*check)(void))
{
    for (unsigned turn = 0; turn < 2; turn++) {
        prepare();
        start_job(turn == 0 ? there : here_too);
        (turn == 0 ? here_too : there)();
        if (!ap_wait()) {
            return false;
        }
        check();
    }
    return true;
}

/* -- Store buffering: a locked instruction or a fence between forbids 0, 0 ----------------------------- */

enum { TURNS = 20000 };
static volatile u32 x[16] __attribute__((aligned(64))), y[16] __attribute__((aligned(64)));
static u32 seen[2][TURNS + 1];
static unsigned fence_kind;

static void store_then_load(unsigned me, volatile u32 *mine, volatile u32 *others)
{
    for (u32 i = 1; i <= TURNS; i++) {
        u32 v, dummy = 0;
        meet(me, i);
        switch (fence_kind) {
        case 0:
            __asm__ volatile("movl %2, (%1); mfence; movl (%3), %0"
                             : "=&r"(v) : "r"(mine), "r"(i), "r"(others) : "memory");
            break;
        case 1:
            __asm__ volatile("movl %2, (%1); lock orl $0, (%4); movl (%3), %0"
                             : "=&r"(v) : "r"(mine), "r"(i), "r"(others), "r"(&dummy) : "memory", "cc");
            break;
        default:
            __asm__ volatile("movl %2, %0; xchgl %0, (%1); movl (%3), %0"
                             : "=&r"(v) : "r"(mine), "r"(i), "r"(others) : "memory");
            break;
        }
        seen[me][i] = v;
    }
}

static void sb_ap(void) { store_then_load(1, y, x); }

static void store_buffering_ends_at_fences(void)
{
    needs_ap();
    NEED_AP();
    for (fence_kind = 0; fence_kind < 3; fence_kind++) {
        unsigned both_old = 0;
        x[0] = y[0] = 0;
        reset_meeting();
        start_job(sb_ap);
        store_then_load(0, x, y);
        EXPECT(ap_wait());
        for (u32 i = 1; i <= TURNS; i++) {
            both_old += seen[0][i] < i && seen[1][i] < i;
        }
        EXPECT_EQ(both_old, 0);
    }
}

/* -- Message passing: stores are seen in order, loads are made in order ---------------------------------- */

static volatile u64 data[64][8] __attribute__((aligned(64)));
static volatile word flag, mp_wrong;

static void mp_reader(void)
{
    word last = 0;

    while (last < TURNS) {
        word f = flag;
        for (unsigned k = 0; k < 4; k++) { /* what was written before the flag is there */
            mp_wrong += data[(f + k * 16) & 63][0] < f;
        }
        last = f;
    }
}

static void mp_writer(void)
{
    for (word i = 1; i <= TURNS; i++) {
        for (unsigned k = 0; k < 4; k++) {
            data[(i + k * 16) & 63][0] = i;
        }
        flag = i;
    }
}

static void mp_prepare(void)
{
    flag = mp_wrong = 0;
    for (unsigned i = 0; i < 64; i++) {
        data[i][0] = 0;
    }
}

static void mp_check(void)
{
    EXPECT_EQ(mp_wrong, 0);
}

static void messages_pass_in_order(void)
{
    needs_ap();
    NEED_AP();
    EXPECT(in_both_roles(mp_prepare, mp_reader, mp_writer, mp_check));
}

/* -- Locked counters of every size, also across a cache line ---------------------------------------------- */

static u8 counters[256] __attribute__((aligned(64)));

static void count_locked(void)
{
    u64 *wide = (u64 *)(counters + 192), a, d;

    for (u32 i = 0; i < TURNS; i++) {
        word one = 1;
        __asm__ volatile("lock incb %0" : "+m"(counters[0]) : : "cc");
        __asm__ volatile("lock addw $1, %0" : "+m"(*(u16 *)(counters + 8)) : : "cc");
        __asm__ volatile("lock subl $-1, %0" : "+m"(*(u32 *)(counters + 16)) : : "cc");
        __asm__ volatile("lock xadd %1, %0" : "+m"(*(u64 *)(counters + 24)), "+r"(one) : : "cc");
        if ((i & 63) == 0) {                  /* slow on real CPUs */
            __asm__ volatile("lock addq $1, %0" : "+m"(*(u64 *)(counters + 124)) : : "cc");
        }
        a = wide[0];
        d = wide[1];
        do {                                  /* both halves count */
            __asm__ volatile("lock cmpxchg16b %0; setnz %%cl"
                             : "+m"(*(u8 (*)[16])wide), "+a"(a), "+d"(d), "=c"(one)
                             : "b"(a + 1), "c"(d + 1) : "cc");
        } while ((u8)one != 0);
        __asm__ volatile("1: movl (%0), %%eax; leal 3(%%eax), %%ecx; lock cmpxchgl %%ecx, (%0); jnz 1b"
                         : : "r"(counters + 32) : "eax", "ecx", "memory", "cc");
    }
}

static void locked_counters_lose_nothing(void)
{
    needs_ap();
    NEED_AP();
    memset(counters, 0, sizeof counters);
    start_job(count_locked);
    count_locked();
    EXPECT(ap_wait());
    EXPECT_EQ(counters[0], (u8)(2 * TURNS));
    EXPECT_EQ(*(u16 *)(counters + 8), (u16)(2 * TURNS));
    EXPECT_EQ(*(u32 *)(counters + 16), 2 * TURNS);
    EXPECT_EQ(*(u64 *)(counters + 24), 2 * TURNS);
    EXPECT_EQ(*(u64 *)(counters + 124), 2 * ((TURNS + 63) / 64));
    EXPECT_EQ(*(u64 *)(counters + 192), 2 * TURNS);
    EXPECT_EQ(*(u64 *)(counters + 200), 2 * TURNS);
    EXPECT_EQ(*(u32 *)(counters + 32), 3 * 2 * TURNS);
}

/* -- Code that the other CPU rewrites -------------------------------------------------------------------------- */

static u8 code[2 * 4096] PAGE_ALIGNED;
static volatile word stop, code_wrong, calls;
typedef word (*Code)(void);

/* An aligned immediate is stored as one: mov $v, %eax; ret with v = n * 0x01010101. */
static void immediate_runner(void)
{
    while (!stop) {
        word v = ((Code)(code + 3))();
        code_wrong += v != (v & 0xff) * 0x01010101;
        calls++;
    }
}

static void immediate_prepare(void)
{
    code[3] = 0xb8;                            /* its immediate is at 4: aligned */
    *(volatile u32 *)(code + 4) = 0;
    code[8] = 0xc3;
    stop = code_wrong = calls = 0;
}

static void immediate_writer(void)
{
    for (u32 i = 0; i < 3000; i++) {
        *(volatile u32 *)(code + 4) = (i & 0xff) * 0x01010101;
        for (word was = calls, n = 0; (i & 15) == 0 && calls == was && n < 1000000; n++) {
            cpu_relax();
        }
    }
    stop = 1;
}

static void immediate_check(void)
{
    EXPECT_EQ(code_wrong, 0);
    EXPECT(calls > 100);
}

static void an_immediate_changes_as_a_whole(void)
{
    needs_ap();
    NEED_AP();
    EXPECT(in_both_roles(immediate_prepare, immediate_runner, immediate_writer, immediate_check));
}

/* As Linux patches: an int3 over the first byte, the rest, the first byte; who meets the int3 goes round. */
static volatile word int3s;

static bool on_int3(Frame *f)
{
    int3s++;
    f->ip -= 1;                                /* again, until it is gone */
    return true;
}

static void poke_runner(void)
{
    while (!stop) {
        word v = ((Code)(code + 64))();
        code_wrong += v != 0x11111111 && v != 0x22222222;
        calls++;
    }
}

static void poke_prepare(void)
{
    code[64] = 0xb8;
    *(volatile u32 *)(code + 65) = 0x11111111;
    code[69] = 0xc3;
    trap_hook[3] = on_int3;
    stop = code_wrong = calls = int3s = 0;
}

static void poke_writer(void)
{
    for (u32 i = 0; i < 1000; i++) {
        word was;
        *(volatile u8 *)(code + 64) = 0xcc;
        /* the other CPU has met the int3, or been through without it for the last time */
        was = int3s;
        for (word n = 0; int3s == was && n < 2000000; n++) {
            cpu_relax();
        }
        *(volatile u32 *)(code + 65) = i & 1 ? 0x11111111 : 0x22222222;
        *(volatile u8 *)(code + 64) = 0xb8;
    }
    stop = 1;
}

static void poke_check(void)
{
    trap_hook[3] = NULL;
    EXPECT_EQ(code_wrong, 0);
    EXPECT(int3s > 100);
}

static void code_poked_with_int3_runs_as_old_or_new(void)
{
    needs_ap();
    NEED_AP();
    EXPECT(in_both_roles(poke_prepare, poke_runner, poke_writer, poke_check));
}

/* -- Code and data on one page --------------------------------------------------------------------------------- */

/* lock incl 128(%rip-ish); the counter is on the code's own page, and both CPUs run it. */
static void shared_page_runner(void)
{
    for (u32 i = 0; i < 3000; i++) {
        ((Code)(code + 4096))();
    }
}

static void code_and_data_share_a_page(void)
{
    static const u8 body[] = {0xf0, 0xff, 0x05, 0xf9, 0x00, 0x00, 0x00, /* lock incl 0x100(code) */
                              0x8b, 0x05, 0xf3, 0x00, 0x00, 0x00,       /* mov 0x100(code), %eax */
                              0xc3};

    needs_ap();
    NEED_AP();
    memset(code + 4096, 0, 4096);
    memcpy(code + 4096, body, sizeof body);
    start_job(shared_page_runner);
    shared_page_runner();
    EXPECT(ap_wait());
    EXPECT_EQ(*(volatile u32 *)(code + 4096 + 0x100), 6000);
}

/* Each CPU rewrites its own half of a page of code and runs it: one's own stores count at once. */
static void rewrite_own(u8 *p)
{
    for (u32 i = 0; i < 2000; i++) {
        word v;
        p[0] = 0xb8;
        *(volatile u32 *)(p + 1) = i;
        p[5] = 0xc3;
        v = ((Code)p)();
        code_wrong += v != i;
    }
}

static void rewrite_ap(void) { rewrite_own(code + 2048); }

static void both_rewrite_code_on_one_page(void)
{
    needs_ap();
    NEED_AP();
    code_wrong = 0;
    start_job(rewrite_ap);
    rewrite_own(code + 512);
    EXPECT(ap_wait());
    EXPECT_EQ(code_wrong, 0);
}

#ifdef GUEST_HIGH
THERE(store_buffering_ends_at_fences)
THERE(messages_pass_in_order)
THERE(locked_counters_lose_nothing)
THERE(an_immediate_changes_as_a_whole)
THERE(code_poked_with_int3_runs_as_old_or_new)
THERE(code_and_data_share_a_page)
THERE(both_rewrite_code_on_one_page)
#endif

const GuestTest guest_tests[] = {
#ifdef GUEST_HIGH
    {"the_kernel_moves_up", the_kernel_moves_up},
#endif
    TEST(store_buffering_ends_at_fences),
    TEST(messages_pass_in_order),
    TEST(locked_counters_lose_nothing),
    TEST(an_immediate_changes_as_a_whole),
    TEST(code_poked_with_int3_runs_as_old_or_new),
    TEST(code_and_data_share_a_page),
    TEST(both_rewrite_code_on_one_page),
    {NULL, NULL},
};
