/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 64-bit user code with Linux's selectors and all vector components, so that it may run directly (doc/DIRECT.md), and what a kernel other
 * than today's Linux does with it: interrupts off, IOPL 3, an I/O bitmap, CR4.TSD and CR4.PCE, vector state that is switched when #NM
 * asks for it, breakpoints, alignment checks, gates of ring 3, an LDT, fewer components in XCR0.  Each thing is done in
 * turns with the plain state, where a world has been before.
 */
#include "tests/guest/lib.h"

enum { SEL_LDATA = 0x2b, SEL_LCODE = 0x33, CR4_TSD = 4, CR4_PCE = 0x100, IOPL3 = 3 << 12, TURNS = 20 };

extern u8 tss_iobitmap[];

/* Ring-3 code, on pages of its own: the rest has instructions that no world may execute. */
#define USER_CODE(text) __asm__(".pushsection .text.user, \"ax\"\n" text "\n.popsection\n")
USER_CODE(".balign 4096");

extern u8 u_spin[], u_sum[], u_sum_loop[], u_sum_end[], u_flags[], u_cli[], u_sti[], u_popf[], u_in61[], u_in62[], u_out61[], u_rdtsc[], u_rdpmc[], u_vectors[],
    u_vectors_ud[], u_watch[], u_watched[], u_unaligned[], u_unaligned_load[], u_fs[], u_ints[], u_xgetbv[], u_avx[], u_fpe[], u_sse[];
USER_CODE(
    "u_spin:  incl %eax; jmp u_spin\n"
    "u_sum:   xorl %eax, %eax; movl $20000, %ecx\n"
    "u_sum_loop: addq %rcx, %rax; decl %ecx; jnz u_sum_loop\n"
    "u_sum_end: int $0x80\n"
    "u_flags: pushfq; popq %rax; int $0x80\n"
    "u_cli:   cli; jmp u_flags\n"
    "u_sti:   sti; jmp u_flags\n"
    "u_popf:  pushq %rdi; popfq; jmp u_flags\n"
    "u_in61:  inb $0x61, %al; int $0x80\n"
    "u_in62:  inb $0x62, %al; int $0x80\n"
    "u_out61: outb %al, $0x61; int $0x80\n"
    "u_watch: movq $1, (%rdi)\n"
    "u_watched: nop; nop; int $0x80\n"
    "u_unaligned: pushq %rsi; popfq\n"
    "u_unaligned_load: movl 1(%rdi), %eax; int $0x80\n"
    "u_avx:   vpxor %ymm0, %ymm0, %ymm0; int $0x80\n"
    "u_fpe:   fninit; fldcw (%rdi); fld1; fldz; fdivrp; fwait; int $0x80\n"
    "u_sse:   ldmxcsr (%rdi); xorps %xmm0, %xmm0; divps %xmm0, %xmm0; int $0x80\n"
    /* rdi: a pattern; its register must be what it was the last time, if rsi is not 0 */
    "u_vectors: movq %xmm9, %rax; testq %rsi, %rsi; jz 1f; cmpq %rdi, %rax; jne u_vectors_ud; pextrq $1, %xmm3, %rax; cmpq %rdi, %rax; jne u_vectors_ud\n"
    "         fistpll -8(%rsp); cmpq %rdi, -8(%rsp); jne u_vectors_ud\n"
    "1:       incq %rdi; movq %rdi, %xmm9; pinsrq $1, %rdi, %xmm3; movq %rdi, -8(%rsp); fildll -8(%rsp); movq %rdi, %rax; int $0x80\n"
    "u_vectors_ud: ud2\n"
    /* what not every world executes */
    ".balign 4096\n"
    "u_rdtsc: rdtsc; shlq $32, %rdx; orq %rdx, %rax; int $0x80\n"
    ".balign 4096\n"
    "u_fs:    movl %edi, %fs; movq %fs:8, %rax; int $0x80\n"
    ".balign 4096\n"
    "u_xgetbv: xorl %ecx, %ecx; xgetbv; int $0x80\n"
    ".balign 4096\n"
    "u_rdpmc: xorl %ecx, %ecx; rdpmc; int $0x80\n"
    ".balign 4096\n"
    "u_ints:  .set vector, 0\n .rept 256\n .balign 8\n .byte 0xcd, vector\n int $0x80\n .set vector, vector + 1\n .endr\n"
    ".balign 4096\n");

static u64 cell[512] PAGE_ALIGNED;

static void xsetbv(u64 v)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"((u32)v), "d"((u32)(v >> 32)));
}

static u64 all_components(void)
{
    u32 r[4];

    cpuid(0xd, 0, r);
    return (u64)r[3] << 32 | r[0];
}

static void set_up(void)
{
    gdt[SEL_LDATA >> 3] = 0x00cff3000000ffff;
    gdt[SEL_LCODE >> 3] = 0x00affb000000ffff;
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    if (cpu_has(1, 0, 2, 26)) {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        xsetbv(all_components());
    }
}

/* The vector by which ring 3 came back. */
static int user_with(const u8 *code, word arg, word flags)
{
    return TRY(enter_user_at(SEL_LCODE, SEL_LDATA, USER(code), USER(user_stack_top) - 64, flags | 2, arg));
}

#define EXPECT_OK(result) EXPECT_EQ(result, VECTOR_USER_EXIT)

/* The plain state: it may run directly. */
static void plain(void)
{
    EXPECT_OK(user_with(u_sum, 0, FLAG_IF));
    EXPECT_EQ(trap.frame.ax, 20000ull * 20001 / 2);
}

static void user_code_computes(void)
{
    set_up();
    for (unsigned i = 0; i < 10 * TURNS; i++) {
        plain();
    }
}

/* -- Flags and ports --------------------------------------------------------------------------------- */

static word interrupted_at;

static bool on_timer(Frame *f)
{
    interrupted_at = f->ip;
    pic_eoi(0);
    return true;
}

/* With IF clear ring 3 is not interrupted, however long it takes; with IF set it is. */
static void interrupts_off_in_ring_3(void)
{
    trap_hook[0x20] = on_timer;
    pic_init(0xfffe);
    for (unsigned i = 0; i < TURNS; i++) {
        interrupted_at = 0;
        pit_oneshot(20);                               /* 17 us */
        EXPECT_OK(user_with(u_sum, 0, 0));
        EXPECT_OK(user_with(u_flags, 0, 0));
        EXPECT_EQ(trap.frame.ax & FLAG_IF, 0);
        EXPECT_EQ(interrupted_at, 0);
        while (interrupted_at == 0) {
            EXPECT_OK(user_with(u_sum, 0, FLAG_IF));
        }
        EXPECT(interrupted_at >= USER(u_sum) && interrupted_at <= USER(u_sum_end));
    }
    pic_init(0xffff);
    trap_hook[0x20] = NULL;
}

static bool on_last_timer(Frame *f)
{
    interrupted_at = f->ip;
    f->ip = USER(u_sum_end);
    pic_eoi(0);
    return true;
}

/* Nothing else ends the loop. */
static void a_tick_ends_an_endless_loop(void)
{
    trap_hook[0x20] = on_last_timer;
    pic_init(0xfffe);
    for (unsigned i = 0; i < TURNS; i++) {
        pit_oneshot(1500);
        EXPECT_OK(user_with(u_spin, 0, FLAG_IF));
        EXPECT(interrupted_at >= USER(u_spin) && interrupted_at < USER(u_sum));
    }
    pic_init(0xffff);
    trap_hook[0x20] = NULL;
}

static void iopl_decides_on_flags_and_ports(void)
{
    for (unsigned i = 0; i < TURNS; i++) {
        plain();
        EXPECT_TRAP(user_with(u_cli, 0, FLAG_IF), VECTOR_GP, 0);
        EXPECT_TRAP(user_with(u_sti, 0, FLAG_IF), VECTOR_GP, 0);
        EXPECT_TRAP(user_with(u_in61, 0, FLAG_IF), VECTOR_GP, 0);
        EXPECT_OK(user_with(u_popf, 2, FLAG_IF));
        EXPECT_EQ(trap.frame.ax & (FLAG_IF | IOPL3), FLAG_IF);
        EXPECT_OK(user_with(u_cli, 0, FLAG_IF | IOPL3));
        EXPECT_EQ(trap.frame.ax & (FLAG_IF | IOPL3), IOPL3);
        EXPECT_OK(user_with(u_sti, 0, IOPL3));
        EXPECT_EQ(trap.frame.ax & (FLAG_IF | IOPL3), FLAG_IF | IOPL3);
        EXPECT_OK(user_with(u_popf, 2, FLAG_IF | IOPL3));
        EXPECT_EQ(trap.frame.ax & (FLAG_IF | IOPL3), IOPL3);
        EXPECT_OK(user_with(u_in61, 0, FLAG_IF | IOPL3));
        EXPECT_OK(user_with(u_out61, trap.frame.ax & 0xff, FLAG_IF | IOPL3));
    }
}

static void an_io_bitmap_opens_single_ports(void)
{
    for (unsigned i = 0; i < TURNS; i++) {
        tss_iobitmap[0x61 / 8] &= ~2;
        EXPECT_OK(user_with(u_in61, 0, FLAG_IF));
        EXPECT_TRAP(user_with(u_in62, 0, FLAG_IF), VECTOR_GP, 0);
        tss_iobitmap[0x61 / 8] = 0xff;
        EXPECT_TRAP(user_with(u_in61, 0, FLAG_IF), VECTOR_GP, 0);
        plain();
    }
}

/* -- Clocks and counters ------------------------------------------------------------------------------- */

static void tsd_and_the_guests_own_time(void)
{
    for (unsigned i = 0; i < TURNS; i++) {
        u64 before = rdtsc(), t;

        EXPECT_OK(user_with(u_rdtsc, 0, FLAG_IF));
        t = trap.frame.ax;
        EXPECT(t > before && t < rdtsc());
        write_cr4(read_cr4() | CR4_TSD);
        EXPECT_TRAP(user_with(u_rdtsc, 0, FLAG_IF), VECTOR_GP, 0);
        plain();
        write_cr4(read_cr4() & ~(word)CR4_TSD);
        plain();
    }
    wrmsr(0x10, 1);                                    /* IA32_TIME_STAMP_COUNTER: not the host's any more */
    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_OK(user_with(u_rdtsc, 0, FLAG_IF));
        EXPECT(trap.frame.ax < rdtsc());
        plain();
    }
}

/* What ring 0 gets, ring 3 gets with CR4.PCE. */
static void pce_decides_on_counters(void)
{
    int here = TRY(__asm__ volatile("rdpmc" : : "c"(0) : "rax", "rdx"));

    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_TRAP(user_with(u_rdpmc, 0, FLAG_IF), VECTOR_GP, 0);
        write_cr4(read_cr4() | CR4_PCE);
        EXPECT_EQ(user_with(u_rdpmc, 0, FLAG_IF), here < 0 ? VECTOR_USER_EXIT : here);
        write_cr4(read_cr4() & ~(word)CR4_PCE);
        plain();
    }
}

/* -- Vector state that is switched when it is asked for ------------------------------------------------------ */

enum { PROCESSES = 3 };

static u8 saved[PROCESSES][4096] __attribute__((aligned(64)));
static unsigned owner, current, n_switches;

static void save(unsigned who)
{
    __asm__ volatile("xsave64 %0" : "=m"(saved[who]) : "a"(-1), "d"(-1) : "memory");
}

static void restore(unsigned who)
{
    __asm__ volatile("xrstor64 %0" : : "m"(saved[who]), "a"(-1), "d"(-1) : "memory");
}

static bool on_nm(Frame *f)
{
    __asm__ volatile("clts");
    if (owner != current) {
        save(owner);
        restore(current);
        owner = current;
    }
    n_switches++;
    return true;
}

static void vector_state_changes_hands_by_nm(void)
{
    u64 pattern[PROCESSES];

    if (!cpu_has(1, 0, 2, 26)) {
        test_skip("no XSAVE");
        return;
    }
    trap_hook[VECTOR_NM] = on_nm;
    __asm__ volatile("fninit");
    for (unsigned p = 0; p < PROCESSES; p++) {
        save(p);
        pattern[p] = (p + 1) * 0x1000000ull;
    }
    for (unsigned i = 0; i < 10 * TURNS; i++) {
        current = i * 7 % 5 % PROCESSES;
        write_cr0(read_cr0() | CR0_TS);
        cell[0] = pattern[current];
        EXPECT_OK(TRY(
            __asm__ volatile("pushq %0; pushq %1; pushq %2; pushq %3; pushq %4; iretq"
                             : : "i"(SEL_LDATA), "r"(USER(user_stack_top) - 64), "i"(FLAG_IF | 2), "i"(SEL_LCODE), "r"(USER(u_vectors)),
                             "D"(pattern[current]), "S"((u64)(pattern[current] & 0xffffff)) : "memory")));
        EXPECT_EQ(trap.frame.ax, pattern[current] + 1);
        pattern[current]++;
        if (i % 3 == 0) {
            plain();                                   /* without vectors: nobody asks */
        }
    }
    EXPECT(n_switches > 5 * TURNS);
    write_cr0(read_cr0() & ~(word)CR0_TS);
    trap_hook[VECTOR_NM] = NULL;
}

static void floating_point_errors_of_ring_3(void)
{
    for (unsigned i = 0; i < TURNS; i++) {
        cell[0] = 0x37b;
        EXPECT_EQ(user_with(u_fpe, USER(cell), FLAG_IF), VECTOR_MF);
        __asm__ volatile("fninit");
        cell[0] = 0x1f00;
        EXPECT_EQ(user_with(u_sse, USER(cell), FLAG_IF), VECTOR_XM);
        plain();
    }
}

static void fewer_components(void)
{
    if (!cpu_has(1, 0, 2, 28) || !cpu_has(1, 0, 2, 26)) {
        test_skip("no AVX");
        return;
    }
    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_OK(user_with(u_avx, 0, FLAG_IF));
        EXPECT_OK(user_with(u_xgetbv, 0, FLAG_IF));
        EXPECT_EQ((u32)trap.frame.ax, (u32)all_components());
        xsetbv(3);
        EXPECT_EQ(user_with(u_avx, 0, FLAG_IF), VECTOR_UD);
        EXPECT_OK(user_with(u_xgetbv, 0, FLAG_IF));
        EXPECT_EQ((u32)trap.frame.ax, 3);
        plain();
        xsetbv(all_components());
        plain();
    }
}

/* -- Debug registers, alignment ---------------------------------------------------------------------------- */

static void breakpoints_of_ring_3(void)
{
    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_OK(user_with(u_watch, USER(cell), FLAG_IF));
        write_dr0(USER(cell));
        write_dr7(1 | 1 << 16 | 3 << 18);              /* writes of 8 bytes... 4 */
        EXPECT_EQ(user_with(u_watch, USER(cell), FLAG_IF), VECTOR_DB);
        EXPECT_EQ(trap.frame.ip, USER(u_watched));
        EXPECT_EQ(read_dr6() & 15, 1);
        write_dr0(USER(u_sum_end));
        write_dr7(1);
        write_dr6(0);
        EXPECT_EQ(user_with(u_sum, 0, FLAG_IF), VECTOR_DB);
        EXPECT_EQ(trap.frame.ip, USER(u_sum_end));
        EXPECT_EQ(trap.frame.cx, 0);
        write_dr7(0);
        write_dr6(0);
        plain();
        EXPECT_EQ(user_with(u_sum, 0, FLAG_IF | FLAG_TF), VECTOR_DB);
        EXPECT(trap.frame.ip > USER(u_sum) && trap.frame.ip < USER(u_sum_loop));
    }
}

static int unaligned(word flags)
{
    return TRY(
        __asm__ volatile("pushq %0; pushq %1; pushq %2; pushq %3; pushq %4; iretq"
                         : : "i"(SEL_LDATA), "r"(USER(user_stack_top) - 64), "i"(FLAG_IF | 2), "i"(SEL_LCODE), "r"(USER(u_unaligned)),
                         "D"(USER(cell)), "S"(flags) : "memory"));
}

static void alignment_checks(void)
{
    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_OK(unaligned(FLAG_AC | 2));             /* CR0.AM is clear */
        write_cr0(read_cr0() | CR0_AM);
        EXPECT_OK(unaligned(2));
        EXPECT_TRAP(unaligned(FLAG_AC | 2), VECTOR_AC, 0);
        EXPECT_EQ(trap.frame.ip, USER(u_unaligned_load));
        write_cr0(read_cr0() & ~(word)CR0_AM);
        plain();
    }
}

/* -- Gates, segments ----------------------------------------------------------------------------------------- */

/* INT n goes to ring 3's gates, whatever n is, and faults by the others. */
static void gates_of_ring_3(void)
{
    for (unsigned n = 0x20; n < 256; n++) {
        if (n != VECTOR_USER_EXIT) {
            EXPECT_TRAP(user_with(u_ints + 8 * n, 0, FLAG_IF), VECTOR_GP, n << 3 | 2);
            idt_set(n, idt_default_handler(n), SEL_KCODE, GATE_INT, 3, 0);
            EXPECT_EQ(user_with(u_ints + 8 * n, 0, FLAG_IF), (int)n);
            EXPECT_EQ(trap.frame.ip, USER(u_ints) + 8 * n + 2);
            idt_restore(n);
        }
    }
    plain();
}

static void segments_of_an_ldt(void)
{
    static u64 ldt[8] __attribute__((aligned(16)));

    gdt_set(SEL_SPARE, (u32)(word)ldt, sizeof ldt - 1, 0x8200);
    gdt[(SEL_SPARE >> 3) + 1] = 0;
    __asm__ volatile("lldt %w0" : : "r"(SEL_SPARE));
    for (unsigned i = 0; i < TURNS; i++) {
        u64 base = USER(cell) + 8 * i;

        cell[i + 1] = 0x7000 + i;
        ldt[2] = 0x00cff3000000ffff | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
        EXPECT_OK(user_with(u_fs, 2 << 3 | 7, FLAG_IF));
        EXPECT_EQ(trap.frame.ax, 0x7000 + i);
        EXPECT_TRAP(user_with(u_fs, 3 << 3 | 7, FLAG_IF), VECTOR_GP, 3 << 3 | 4);
        ldt[2] &= ~(1ull << 47);                       /* not present */
        EXPECT_TRAP(user_with(u_fs, 2 << 3 | 7, FLAG_IF), VECTOR_NP, 2 << 3 | 4);
        plain();
    }
    __asm__ volatile("lldt %w0" : : "r"(0));
}

const GuestTest guest_tests[] = {
    {"user_code_computes", user_code_computes},
    {"interrupts_off_in_ring_3", interrupts_off_in_ring_3},
    {"a_tick_ends_an_endless_loop", a_tick_ends_an_endless_loop},
    {"iopl_decides_on_flags_and_ports", iopl_decides_on_flags_and_ports},
    {"an_io_bitmap_opens_single_ports", an_io_bitmap_opens_single_ports},
    {"pce_decides_on_counters", pce_decides_on_counters},
    {"vector_state_changes_hands_by_nm", vector_state_changes_hands_by_nm},
    {"floating_point_errors_of_ring_3", floating_point_errors_of_ring_3},
    {"fewer_components", fewer_components},
    {"breakpoints_of_ring_3", breakpoints_of_ring_3},
    {"alignment_checks", alignment_checks},
    {"gates_of_ring_3", gates_of_ring_3},
    {"segments_of_an_ldt", segments_of_an_ldt},
    {"tsd_and_the_guests_own_time", tsd_and_the_guests_own_time},
    {NULL, NULL},
};
