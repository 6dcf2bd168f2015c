/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM's paravirtual interfaces as the manuals of Linux describe them to guests: leaves, clock, steal time,
 * EOI in memory, hypercalls; VMware's back door.  With kvm=off, vmport=off: that they are not there. */
#include "tests/guest/ap.h"
#include "tests/guest/kvmclock.h"

enum { MSR_WALL = 0x4b564d00, MSR_STEAL = 0x4b564d03, MSR_EOI = 0x4b564d04,
       MSR_POLL = 0x4b564d05, MSR_TSC_ADJUST = 0x3b };
enum { F_CLOCK = 3, F_STEAL = 5, F_EOI = 6, F_UNHALT = 7, F_TLB = 9, F_IPI = 11, F_POLL = 12,
       F_YIELD = 13, F_STABLE = 24 };
enum { CALL_KICK = 5, CALL_PAIRING = 9, CALL_IPI = 10, CALL_YIELD = 11 };
enum { VEC_A = 0x71, VEC_B = 0x61 };

static u32 features, tsc_khz;
static bool named;               /* the leaves name KVM */

static bool has(unsigned bit)
{
    return features >> bit & 1;
}

#define NEED(bit)                                                                                  \
    do {                                                                                           \
        if (!has(bit)) {                                                                           \
            test_skip("not offered");                                                              \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static long call(word n, word a, word b, word c, word d)
{
    long r;
    __asm__ volatile("vmcall" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return r;
}

static long amd_call(word n, word a, word b, word c, word d)
{
    long r;
    __asm__ volatile("vmmcall" : "=a"(r) : "a"(n), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
    return r;
}

/* -- Leaves ------------------------------------------------------------------------------------------------ */

static void leaves_name_kvm_or_nobody(void)
{
    u32 r[4];

    apic_enable();
    have_ap = start_ap();
    cpuid(0x40000000, 0, r);
    if (r[1] != 0x4b4d564b || r[2] != 0x564b4d56 || r[3] != 0x4d) {
        if (!cmdline_says("no-calls")) {
            EXPECT_TRAP(TRY(call(11, 0, 0, 0, 0)), VECTOR_UD, 0);
            EXPECT_TRAP(TRY(amd_call(11, 0, 0, 0, 0)), VECTOR_UD, 0);
        }
        EXPECT_TRAP(TRY(rdmsr(MSR_TIME)), VECTOR_GP, 0);
        EXPECT_TRAP(TRY(rdmsr(0x12)), VECTOR_GP, 0);
        EXPECT_TRAP(TRY(wrmsr(MSR_EOI, 0)), VECTOR_GP, 0);
        cpuid(0x40000010, 0, r);
        EXPECT_EQ(r[0], 0);
        return;
    }
    named = true;
    if (r[0] >= 0x40000010) {
        cpuid(0x40000010, 0, r);
        tsc_khz = r[0];
    }
    cpuid(0x40000001, 0, r);
    features = r[0];
    EXPECT_EQ(has(F_CLOCK), r[0] & 1);
}

/* What the leaf does not show is not there.  Option "host-calls": hypercalls are answered by the host's kernel, whatever we show;
 * "no-calls": not even that. */
static void what_is_not_offered_is_not_there(void)
{
    static const struct {
        u32 bit, msr;
    } msrs[] = {{F_CLOCK, MSR_TIME}, {F_CLOCK, MSR_WALL}, {F_CLOCK, 0x11}, {F_CLOCK, 0x12}, {F_STEAL, MSR_STEAL}, {F_EOI, MSR_EOI},
                {F_POLL, MSR_POLL}};
    static const struct {
        u32 bit, number;
    } calls[] = {{F_UNHALT, CALL_KICK}, {F_CLOCK, CALL_PAIRING}, {F_IPI, CALL_IPI}, {F_YIELD, CALL_YIELD}};

    for (u32 i = 0; named && i < ARRAY_LEN(msrs); i++) {
        if (!has(msrs[i].bit)) {
            EXPECT_TRAP(TRY(rdmsr(msrs[i].msr)), VECTOR_GP, 0);
            EXPECT_TRAP(TRY(wrmsr(msrs[i].msr, 0)), VECTOR_GP, 0);
        }
    }
    for (u32 i = 0; named && !cmdline_says("-calls") && i < ARRAY_LEN(calls); i++) {
        if (!has(calls[i].bit)) {
            EXPECT_EQ(call(calls[i].number, 0, 0, 0, 0), -1000);
            EXPECT_EQ(amd_call(calls[i].number, 0, 0, 0, 0), -1000);
        }
    }
}

/* -- Hypercalls -------------------------------------------------------------------------------------------- */

extern const u8 user_vmcall[];
__asm__(".pushsection .text; user_vmcall: mov $11, %eax; vmcall; int $0x80; .popsection");

static void calls_answer(void)
{
    NEED(F_YIELD);
    EXPECT_EQ(call(CALL_YIELD, 0, 0, 0, 0), 0);
    EXPECT_EQ(amd_call(CALL_YIELD, 0, 0, 0, 0), 0);
    EXPECT_EQ(call(12345, 0, 0, 0, 0), -1000);
    EXPECT_EQ(TRY(enter_user(USER(user_vmcall), 0, 0)), VECTOR_USER_EXIT);
    EXPECT_EQ((long)trap.frame.ax, -1); /* EPERM */
}

/* -- The clock --------------------------------------------------------------------------------------------- */

static ClockPage pages[2] __attribute__((aligned(64)));

static void register_ap_clock(void)
{
    wrmsr(MSR_TIME, (word)&pages[1] | 1);
}

static void the_clock_keeps_the_tscs_time(void)
{
    u64 outer, inner, c;

    NEED(F_CLOCK);
    wrmsr(MSR_TIME, (word)&pages[0] | 1);
    EXPECT_EQ(rdmsr(MSR_TIME), (word)&pages[0] | 1);
    EXPECT_EQ(rdmsr(0x12), (word)&pages[0] | 1);
    EXPECT(pages[0].version != 0 && !(pages[0].version & 1));
    EXPECT_EQ(pages[0].flags & 1, has(F_STABLE));
    outer = rdtsc();
    c = clock_read(&pages[0]);
    inner = rdtsc();
    while (rdtsc() - inner < 50000000) {
        cpu_relax();
    }
    inner = rdtsc() - inner;
    c = clock_read(&pages[0]) - c;
    outer = rdtsc() - outer;           /* a host that takes the CPU away in between only makes it longer */
    EXPECT(tsc_khz == 0 || (c > inner * 990000 / tsc_khz && c < outer * 1010000 / tsc_khz));
}

static void the_wall_clock_is_this_century(void)
{
    static volatile u32 wall[3];

    NEED(F_CLOCK);
    wrmsr(MSR_WALL, (word)wall);
    EXPECT(wall[0] != 0 && !(wall[0] & 1) && wall[1] > 1600000000 && wall[2] < 1000000000);
    wrmsr(0x11, (word)wall);
    EXPECT(!(wall[0] & 1) && wall[1] > 1600000000);
}

static u64 latest;
static volatile word turn, backwards;

static void take_turns(const ClockPage *p, word me)
{
    for (unsigned i = 0; i < 2000; i++) {
        u64 now;

        while (turn != me) {
            cpu_relax();
        }
        now = clock_read(p);
        backwards += now < latest;
        latest = now;
        barrier();
        turn = !me;
    }
}

static void job_turns(void) { take_turns(&pages[1], 1); }
/* With the stable bit any CPU may use any page. */
static void job_turns_of_other_page(void) { take_turns(&pages[0], 1); }

static void time_never_goes_back_between_cpus(void)
{
    NEED(F_CLOCK);
    NEED_AP();
    ap_run(register_ap_clock);
    EXPECT(ap_wait());
    latest = backwards = turn = 0;
    ap_run(job_turns);
    take_turns(&pages[0], 0);
    EXPECT(ap_wait());
    EXPECT_EQ(backwards, 0);
    if (pages[0].flags & 1) {
        ap_run(job_turns_of_other_page);
        take_turns(&pages[1], 0);
        EXPECT(ap_wait());
        EXPECT_EQ(backwards, 0);
    }
}

static void tsc_writes_do_not_move_the_clock(void)
{
    u64 adjust, before, after;

    NEED(F_CLOCK);
    if (!cpu_has(7, 0, 1, 1)) {
        test_skip("no TSC_ADJUST");
        return;
    }
    adjust = rdmsr(MSR_TSC_ADJUST);
    before = clock_read(&pages[0]);
    wrmsr(MSR_TSC_ADJUST, adjust + 1000000000000ull);
    after = clock_read(&pages[0]);
    EXPECT(after >= before && after - before < 10000000000ull);
    EXPECT(!have_ap || (!(pages[0].flags & 1) && !(pages[1].flags & 1)));
    before = clock_read(&pages[0]);
    wrmsr(MSR_TSC_ADJUST, adjust);
    after = clock_read(&pages[0]);
    EXPECT(after >= before && after - before < 10000000000ull);
    EXPECT_EQ(pages[0].flags & 1, has(F_STABLE));
    EXPECT_EQ(pages[1].flags & 1, have_ap && has(F_STABLE));
}

static void wall_clock_and_tsc_are_paired(void)
{
    static u64 pair[8];
    u64 before = rdtsc();

    NEED(F_CLOCK);
    if (cmdline_says("no-calls")) {
        test_skip("no calls");
        return;
    }
    EXPECT_EQ(call(CALL_PAIRING, (word)pair, 0, 0, 0), 0);
    EXPECT(pair[0] > 1600000000 && pair[1] < 1000000000);
    EXPECT(pair[2] >= before && pair[2] <= rdtsc());
    EXPECT_EQ(call(CALL_PAIRING, (word)pair, 1, 0, 0), -95);
    EXPECT_EQ(call(CALL_PAIRING, 0xf0000000, 0, 0, 0), -14);
}

static void pages_nowhere_hurt_nobody(void)
{
    NEED(F_CLOCK);
    wrmsr(MSR_TIME, 0xf0000001);          /* no RAM */
    wrmsr(MSR_TIME, ~0ull);
    wrmsr(MSR_TIME, 0xff1);               /* across pages */
    wrmsr(MSR_WALL, ~3ull);
    wrmsr(MSR_TIME, (word)&pages[0] | 1);
    EXPECT(clock_read(&pages[0]) != 0);
}

/* -- Steal time, sleep, TLB flushes ------------------------------------------------------------------------ */

typedef struct {
    volatile u64 steal;
    volatile u32 version, flags;
    volatile u8 preempted, pad[47];
} Steal;

static Steal steal[2] __attribute__((aligned(64)));

static void steal_time_is_written(void)
{
    NEED(F_STEAL);
    EXPECT_TRAP(TRY(wrmsr(MSR_STEAL, (word)&steal[0] | 3)), VECTOR_GP, 0);
    wrmsr(MSR_STEAL, (word)&steal[0] | 1);
    EXPECT_EQ(rdmsr(MSR_STEAL), (word)&steal[0] | 1);
    EXPECT(steal[0].version != 0 && !(steal[0].version & 1));
    EXPECT_EQ(steal[0].preempted, 0);
}

static u8 frames[2][4096] PAGE_ALIGNED;
static u64 test_pt[512] PAGE_ALIGNED;
static volatile word seen_before, seen_after;
/* In 2 MiB of its own of the first GiB, and not where a direct-mapped TLB puts the APIC. */
enum { WINDOW = 0x3fe41000, WINDOW_PTE = 0x41 };
extern u64 boot_pd[];

static bool on_b(Frame *f)
{
    apic_write(APIC_EOI, 0);
    return true;
}

static void job_sleep_between_reads(void)
{
    wrmsr(MSR_STEAL, (word)&steal[1] | 1);
    seen_before = *(volatile u8 *)WINDOW;
    __asm__ volatile("sti; hlt; cli" : : : "memory");
    seen_after = *(volatile u8 *)WINDOW;
}

static void sleepers_flush_when_asked(void)
{
    u64 *pde = &boot_pd[WINDOW >> 21], old = *pde;

    NEED(F_TLB);
    NEED_AP();
    frames[0][0] = 0xaa;
    frames[1][0] = 0xbb;
    test_pt[WINDOW_PTE] = (word)frames[0] | 3;
    *pde = (word)test_pt | 3;
    write_cr3(read_cr3());
    trap_hook[VEC_B] = on_b;
    ap_run(job_sleep_between_reads);
    for (u64 t = rdtsc(); steal[1].preempted != 1 && rdtsc() - t < 20000000000ull;) {
        cpu_relax();
    }
    EXPECT_EQ(steal[1].preempted, 1);
    test_pt[WINDOW_PTE] = (word)frames[1] | 3;
    __asm__ volatile("lock orb $2, %0" : "+m"(steal[1].preempted));
    apic_write(APIC_ICR_HIGH, 1 << 24);
    apic_write(APIC_ICR, VEC_B);
    EXPECT(ap_wait());
    EXPECT_EQ(seen_before, 0xaa);
    EXPECT_EQ(seen_after, 0xbb);
    EXPECT_EQ(steal[1].preempted, 0);
    *pde = old;
    write_cr3(read_cr3());
}

static volatile word halting;

static void job_halt_deaf(void)
{
    halting = 1;
    __asm__ volatile("cli; hlt" : : : "memory");
    halting = 2;
    __asm__ volatile("cli; hlt" : : : "memory");
}

static void kicks_end_halts_with_interrupts_off(void)
{
    NEED(F_UNHALT);
    NEED_AP();
    halting = 0;
    ap_run(job_halt_deaf);
    EXPECT(wait_for(&halting, 1));
    for (volatile unsigned i = 0; i < 100000; i++) {
    }
    EXPECT_EQ(halting, 1);
    EXPECT_EQ(call(CALL_KICK, 0, 1, 0, 0), 0);
    EXPECT(wait_for(&halting, 2));
    EXPECT_EQ(call(CALL_KICK, 0, 99, 0, 0), 0); /* nobody */
    EXPECT_EQ(call(CALL_KICK, 0, 1, 0, 0), 0);
    EXPECT(ap_wait());
}

/* -- EOI in memory ----------------------------------------------------------------------------------------- */

static volatile u32 eoi_word __attribute__((aligned(4)));
static volatile word n_a, n_b, offered, b_inside;
static bool use_memory, provoke;

static bool on_pv_b(Frame *f)
{
    n_b++;
    apic_write(APIC_EOI, 0);
    return true;
}

static bool on_pv_a(Frame *f)
{
    n_a++;
    offered += eoi_word & 1;
    if (provoke) {                        /* a lower one is requested and may not come in */
        apic_write(APIC_ICR, 1 << 18 | VEC_B);
        sti();
        for (volatile unsigned i = 0; i < 1000; i++) {
        }
        cli();
        b_inside += n_b;
    }
    if (use_memory && (eoi_word & 1)) {
        eoi_word = 0;
    } else {
        apic_write(APIC_EOI, 0);
    }
    return true;
}

static void self_ipi(u32 vector)
{
    word before = n_a;

    apic_write(APIC_ICR, 1 << 18 | vector);
    sti();
    wait_for(&n_a, before + 1);
    cli();
}

static u32 in_service(unsigned vector)
{
    return apic_read(APIC_ISR + vector / 32 * 16) >> (vector % 32) & 1;
}

static void eoi_round(bool memory, bool with_b)
{
    n_a = n_b = offered = b_inside = 0;
    use_memory = memory;
    provoke = with_b;
    for (unsigned i = 0; i < 5; i++) {
        self_ipi(VEC_A);
        EXPECT_EQ(in_service(VEC_A), 0);
        sti();
        if (with_b) {
            EXPECT(wait_for(&n_b, i + 1));
            b_inside -= n_b - (i + 1);
            n_b = i + 1;
        }
        cli();
        EXPECT_EQ(in_service(VEC_B), 0);
    }
    EXPECT_EQ(n_a, 5);
}

static void interrupts_end_in_memory(void)
{
    NEED(F_EOI);
    apic_enable();
    trap_hook[VEC_A] = on_pv_a;
    trap_hook[VEC_B] = on_pv_b;
    EXPECT_TRAP(TRY(wrmsr(MSR_EOI, (word)&eoi_word | 3)), VECTOR_GP, 0);
    wrmsr(MSR_EOI, (word)&eoi_word | 1);
    EXPECT_EQ(rdmsr(MSR_EOI), (word)&eoi_word | 1);
    eoi_round(true, false);
    EXPECT_EQ(offered, 5);
    eoi_round(false, false);              /* who ignores the offer may */
    EXPECT_EQ(offered, 5);
    eoi_round(true, true);
    EXPECT_EQ(b_inside, 0 + 1 + 2 + 3 + 4); /* B came after A each time, never inside it */
    wrmsr(MSR_EOI, 0);
    eoi_word = 0;
    eoi_round(true, false);
    EXPECT_EQ(offered, 0);
}

/* -- IPIs -------------------------------------------------------------------------------------------------- */

static volatile word ipis, ap_ipis, ap_open, ap_leave;

static bool on_ipi(Frame *f)
{
    if (apic_read(APIC_ID) >> 24 == 0) {
        ipis++;
    } else {
        ap_ipis++;
    }
    apic_write(APIC_EOI, 0);
    return true;
}

static void job_take_ipis(void)
{
    ap_open = 1;
    sti();
    while (!ap_leave) {
        cpu_relax();
    }
    cli();
}

static void one_call_interrupts_many(void)
{
    word n = have_ap ? 2 : 1;
    long refused;

    NEED(F_IPI);
    trap_hook[VEC_A] = on_ipi;
    ipis = ap_ipis = ap_open = ap_leave = 0;
    if (have_ap) {
        ap_run(job_take_ipis);
        EXPECT(wait_for(&ap_open, 1));
    }
    sti();
    for (word i = 1; i <= 50; i++) {
        EXPECT_EQ(call(CALL_IPI, ~0ul, 1, 0, VEC_A), n);
        EXPECT(wait_for(&ipis, i));
        EXPECT(!have_ap || wait_for(&ap_ipis, i));
    }
    EXPECT_EQ(call(CALL_IPI, 1, 0, n - 1, VEC_A), 1); /* the last one, by its APIC id */
    EXPECT(wait_for(have_ap ? &ap_ipis : &ipis, 51));
    EXPECT_EQ(call(CALL_IPI, ~0ul, ~0ul, 2, VEC_A), 0);
    EXPECT_EQ(call(CALL_IPI, 1, 0, 0xffffffff, VEC_A), 0);
    /* INIT: refused, but KVM's own call, which is there with its local APICs, sends it; so to nobody */
    refused = call(CALL_IPI, 1, 0, 0x70, 5 << 8);
    EXPECT(refused == -22 || refused == 0);
    EXPECT_EQ(call(CALL_IPI, 1, 0, 0, 1 << 18 | VEC_A), -22);
    cli();
    ap_leave = 1;
    EXPECT(!have_ap || ap_wait());
}

static void polling_is_one_bit(void)
{
    NEED(F_POLL);
    EXPECT_EQ(rdmsr(MSR_POLL), 1);
    wrmsr(MSR_POLL, 0);
    EXPECT_EQ(rdmsr(MSR_POLL), 0);
    EXPECT_TRAP(TRY(wrmsr(MSR_POLL, 2)), VECTOR_GP, 0);
}

/* -- VMware's back door ----------------------------------------------------------------------------------- */

enum { VMPORT = 0x5658, VERSION = 10, RAM_SIZE = 20, TIME = 23, HZ = 45, TIME_FULL = 46 };
static const u32 vmx = 0x564d5868;

typedef struct {
    u32 a, b, c, d;
} Regs;

static Regs back_door(u32 magic, u32 command, bool out)
{
    Regs r = {magic, 0, command, VMPORT};

    if (out) {
        __asm__ volatile("out %%eax, %%dx" : "+a"(r.a), "+b"(r.b), "+c"(r.c), "+d"(r.d) : : "rsi");
    } else {
        __asm__ volatile("in %%dx, %%eax" : "+a"(r.a), "+b"(r.b), "+c"(r.c), "+d"(r.d) : : "rsi");
    }
    return r;
}

static void the_back_door(void)
{
    Regs r = back_door(vmx, VERSION, false);
    u64 hz, now;

    if (r.a == 0xffffffff && r.b == 0) {
        test_skip("not offered");
        return;
    }
    EXPECT(r.a == 6 && r.b == vmx);
    r = back_door(vmx, VERSION, true);
    EXPECT(r.a == 6 && r.b == vmx);
    r = back_door(0x12345678, VERSION, false); /* without the magic number */
    EXPECT(r.a == 0xffffffff && r.b == 0 && r.c == VERSION);
    r = back_door(vmx, 9999, false);
    EXPECT(r.a == 0xffffffff && r.b == 0);
    r = back_door(vmx, RAM_SIZE, false);
    EXPECT_EQ(r.a, 64 << 20);
    r = back_door(vmx, HZ, false);
    hz = (u64)r.b << 32 | r.a;
    EXPECT(tsc_khz == 0 || hz / 1000 == tsc_khz);
    EXPECT(r.c == 1000000000);
    r = back_door(vmx, TIME, false);
    now = r.a;
    EXPECT(now > 1600000000 && r.b < 1000000);
    r = back_door(vmx, TIME_FULL, false);
    EXPECT(r.a == vmx && r.d >= now && r.d < now + 10 && r.b < 1000000);
}

const GuestTest guest_tests[] = {
    {"leaves_name_kvm_or_nobody", leaves_name_kvm_or_nobody},
    {"what_is_not_offered_is_not_there", what_is_not_offered_is_not_there},
    {"calls_answer", calls_answer},
    {"the_clock_keeps_the_tscs_time", the_clock_keeps_the_tscs_time},
    {"the_wall_clock_is_this_century", the_wall_clock_is_this_century},
    {"time_never_goes_back_between_cpus", time_never_goes_back_between_cpus},
    {"tsc_writes_do_not_move_the_clock", tsc_writes_do_not_move_the_clock},
    {"wall_clock_and_tsc_are_paired", wall_clock_and_tsc_are_paired},
    {"pages_nowhere_hurt_nobody", pages_nowhere_hurt_nobody},
    {"steal_time_is_written", steal_time_is_written},
    {"sleepers_flush_when_asked", sleepers_flush_when_asked},
    {"kicks_end_halts_with_interrupts_off", kicks_end_halts_with_interrupts_off},
    {"interrupts_end_in_memory", interrupts_end_in_memory},
    {"one_call_interrupts_many", one_call_interrupts_many},
    {"polling_is_one_bit", polling_is_one_bit},
    {"the_back_door", the_back_door},
    {NULL, NULL},
};
