/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that checks itself for as long as it is let: what runs it may change between any two of
 * its instructions.  It answers each "p" on the serial line with "pong ROUND" once a whole round of
 * checks has passed since, and ends with "q".
 */
#include "tests/guest/lib.h"

enum { COM1 = 0x3f8, MSR_LSTAR = 0xc0000082, MSR_KERNEL_GS = 0xc0000102, MSR_FS_BASE = 0xc0000100 };

#define LSTAR_VALUE 0xffffffff81234560ull
#define KERNEL_GS_VALUE 0x00007fedcba98760ull
#define FS_VALUE 0x0000123456789ab0ull
#define XMM_VALUE 0x0123456789abcdefull

static volatile word ticks;
static u64 last_tsc;
static u8 pattern[4096];
static bool has_avx;
static u64 ymm_value[4] = {0x1111111122222222ull, 0x3333333344444444ull, 0x5555555566666666ull, 0x7777777788888888ull};

static bool on_tick(Frame *f)
{
    ticks++;
    pic_eoi(0);
    return true;
}

static u64 mix(u64 x, unsigned n)
{
    while (n-- > 0) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

/* -- The parts of a round ----------------------------------------------------------------------------- */

static void check_integers(void)
{
    static u64 expected;
    u64 got = mix(0x9e3779b97f4a7c15ull, 50);

    if (expected == 0) {
        expected = got;
    }
    EXPECT(got == expected);
}

static u32 xgetbv(void)
{
    u32 low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

/* Where there is AVX: XCR0, what CPUID says of it, and all of a register. */
static void check_vectors(void)
{
    u64 got[4];
    u32 r[4];

    if (!has_avx) {
        return;
    }
    EXPECT_EQ(xgetbv(), 7);
    cpuid(0xd, 0, r);
    EXPECT_EQ(r[1], 0x340);
    __asm__ volatile("vmovdqu %%ymm6, %0" : "=m"(got));
    for (unsigned i = 0; i < 4; i++) {
        EXPECT(got[i] == ymm_value[i]);
    }
}

static void use_avx(void)
{
    const u32 wanted = 1u << 26 | 1u << 28;
    u32 r[4];

    cpuid(1, 0, r);
    has_avx = (r[2] & wanted) == wanted;
    if (has_avx) {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        __asm__ volatile("xsetbv" : : "c"(0), "a"(7), "d"(0));
        __asm__ volatile("vmovdqu %0, %%ymm6" : : "m"(ymm_value));
    }
    print("AVX: %d\n", has_avx);
}

/* FS.base is set anew each round: going to ring 3 and back loads the segments. */
static void check_registers(word round)
{
    u64 xmm;

    wrmsr(MSR_FS_BASE, FS_VALUE + round);
    check_integers();

    __asm__ volatile("movq %%xmm7, %0" : "=r"(xmm));
    EXPECT(xmm == XMM_VALUE);
    EXPECT(rdmsr(MSR_LSTAR) == LSTAR_VALUE);
    EXPECT(rdmsr(MSR_KERNEL_GS) == KERNEL_GS_VALUE);
    EXPECT(rdmsr(MSR_FS_BASE) == FS_VALUE + round);
    EXPECT_EQ(read_dr0(), 0x1234560);
    EXPECT_EQ(read_cr8(), 3);
    EXPECT(read_flags() & FLAG_IF);
}

static void check_memory(word round)
{
    for (unsigned i = 0; i < sizeof pattern; i += 64) {
        EXPECT_EQ(pattern[i], (u8)(round + i / 64));
        pattern[i]++;
    }
}

/* mov $imm, %eax; ret: rewritten each time. */
static void check_code(word round)
{
    static u8 code[64] PAGE_ALIGNED = {0xb8, 0, 0, 0, 0, 0xc3};
    word (*volatile f)(void) = (word(*)(void))(word)code;

    *(volatile u32 *)(code + 1) = (u32)round * 7;
    __asm__ volatile("cpuid" : : "a"(0) : "ebx", "ecx", "edx", "memory");
    EXPECT_EQ(f(), (u32)round * 7);
}

static void check_traps(void)
{
    /* (Not by INT n: KVM without VT-x and SVM takes that for an undefined instruction in ring 3.) */
    EXPECT_TRAP(TRY(enter_user(USER(user_load), 0x7ffffffff000, 0x202)), VECTOR_PF, 4);
    EXPECT_EQ(trap.cr2, 0x7ffffffff000);
    EXPECT_TRAP(TRY(*(volatile u8 *)0x7fffff000000 = 1), VECTOR_PF, 2);
    sti();
}

static void check_time(void)
{
    u64 now = rdtsc();

    EXPECT(now > last_tsc);
    last_tsc = now;
}

/* -- All of it ------------------------------------------------------------------------------------------ */

static void prepare(void)
{
    for (unsigned i = 0; i < sizeof pattern; i += 64) {
        pattern[i] = (u8)(i / 64);
    }
    write_cr4(read_cr4() | CR4_OSFXSR);
    __asm__ volatile("movq %0, %%xmm7" : : "r"(XMM_VALUE));
    use_avx();
    wrmsr(MSR_LSTAR, LSTAR_VALUE);
    wrmsr(MSR_KERNEL_GS, KERNEL_GS_VALUE);
    wrmsr(MSR_FS_BASE, FS_VALUE);
    write_dr0(0x1234560);
    trap_hook[0x20] = on_tick;
    pic_init(0xfffe);
    pit_periodic(11932);
    write_cr8(3);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_TPR, 0x30);
    sti();
}

static void rounds(void)
{
    bool asked = false;
    word round = 0;
    u8 c = 0;

    prepare();
    print("ready\n");
    do {
        check_registers(round);
        check_vectors();
        check_memory(round);
        check_code(round);
        check_traps();
        check_time();
        round++;
        if (asked) {
            print("pong %d ticks %d\n", round, ticks);
            asked = false;
        }
        if (inb(COM1 + 5) & 1) {
            c = inb(COM1);
            asked = c == 'p';
        }
    } while (c != 'q');
    cli();
    EXPECT(ticks > 0);
}

const GuestTest guest_tests[] = {
    {"rounds", rounds},
    {NULL, NULL},
};
