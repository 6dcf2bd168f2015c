/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Long mode's system side: syscall, swapgs, IST, gates, compatibility mode, debugging, xsave, x87. */
#include "tests/guest/lib.h"

#define ASM_BLOCK(text) __asm__(".pushsection .text\n" text "\n.popsection\n")

enum { MSR_STAR = 0xc0000081, MSR_LSTAR, MSR_CSTAR, MSR_FMASK, MSR_FS_BASE = 0xc0000100,
       MSR_GS_BASE, MSR_KERNEL_GS_BASE };

/* -- syscall, sysenter ---------------------------------------------------------------------------------- */

extern u8 syscall_target[], user_syscall[], user_after[], sysenter_target[], user_sysenter[],
    sysret32_target[];
ASM_BLOCK("syscall_target: movq %r11, %rsi; pushfq; popq %rdi; movl %cs, %eax; movl %ss, %edx; sysretq;"
          "user_syscall: syscall; user_after: int $0x80;"
          "sysenter_target: movl %cs, %eax; movl %ss, %ebx; movq %r12, %rdx; movq %r13, %rcx; rex.w sysexit;"
          "user_sysenter: movq %rdi, %r12; movq %rsp, %r13; sysenter;"
          "sysret32_target: sysretl;");

static void syscall_setup(const u8 *target)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (u64)0x18 << 48 | (u64)SEL_KCODE << 32);
    wrmsr(MSR_LSTAR, (u64)target);
    wrmsr(MSR_FMASK, FLAG_CF | FLAG_DF);
}

static void syscall_and_sysret(void)
{
    syscall_setup(syscall_target);
    EXPECT_EQ(TRY(enter_user(USER(user_syscall), 0, FLAG_CF | FLAG_ZF)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.ax, SEL_KCODE);
    EXPECT_EQ(trap.frame.dx, SEL_KDATA);
    EXPECT_EQ(trap.frame.cx, USER(user_after));
    EXPECT_EQ(trap.frame.si & 0x41, FLAG_CF | FLAG_ZF); /* r11: the user's flags */
    EXPECT_EQ(trap.frame.di & FLAG_CF, 0);              /* masked in the kernel  */
    EXPECT_EQ(trap.frame.flags & 0x41, FLAG_CF | FLAG_ZF);
    EXPECT_EQ(trap.frame.cs, SEL_UCODE64);
    EXPECT_EQ(trap.frame.ss, SEL_UDATA);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_SCE);
    EXPECT_EQ(TRY(enter_user(USER(user_syscall), 0, 0)), VECTOR_UD);
}

static void syscall_clears_only_the_masked_flags(void)
{
    syscall_setup(syscall_target);
    EXPECT_EQ(TRY(enter_user(USER(user_syscall), 0, FLAG_CF | FLAG_ZF)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.di & 0x41, FLAG_ZF);
}

/* Often enough to be translated: carry set in user code, rdi times. */
extern u8 hot_target[], user_hot[], user_hot_next[], tf_target[];
ASM_BLOCK("hot_target: adcq $0, %r13; incq %rbx; pushfq; popq %r15; movl %cs, %eax; movl %ss, %edx; sysretq;"
          "user_hot: movq %rdi, %r12; xorl %ebx, %ebx; xorl %r13d, %r13d; xorl %r14d, %r14d;"
          "1: stc; syscall; adcq $0, %r14; user_hot_next: decq %r12; jnz 1b; int $0x80;"
          "tf_target: orq $0x100, %r11; sysretq;");

enum { HOT = 100 };

static void many_syscalls(word flags, word kernel_flags)
{
    EXPECT_EQ(TRY(enter_user(USER(user_hot), HOT, flags)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.bx, HOT);
    EXPECT_EQ(trap.frame.r13, 0);       /* CF is masked     */
    EXPECT_EQ(trap.frame.r14, HOT);     /* ... and restored */
    EXPECT_EQ(trap.frame.r15 & (FLAG_AC | FLAG_IF), kernel_flags);
    EXPECT_EQ(trap.frame.r11 & (FLAG_AC | FLAG_IF | FLAG_CF), flags | FLAG_CF);
    EXPECT_EQ(trap.frame.flags & (FLAG_AC | FLAG_IF), flags);
    EXPECT_EQ(trap.frame.cx, USER(user_hot_next) - 4);
    EXPECT_EQ(trap.frame.ax, SEL_KCODE);
    EXPECT_EQ(trap.frame.dx, SEL_KDATA);
    EXPECT_EQ(trap.frame.cs, SEL_UCODE64);
    EXPECT_EQ(trap.frame.ss, SEL_UDATA);
}

static void syscalls_many_times(void)
{
    syscall_setup(hot_target);
    for (unsigned i = 0; i < 2; i++) {
        many_syscalls(FLAG_IF, FLAG_IF);
        many_syscalls(0, 0);
        many_syscalls(FLAG_AC | FLAG_IF, FLAG_AC | FLAG_IF);
        wrmsr(MSR_FMASK, FLAG_CF | FLAG_DF | FLAG_IF | FLAG_AC);
        many_syscalls(FLAG_IF, 0);
        many_syscalls(FLAG_AC | FLAG_IF, 0);
        wrmsr(MSR_FMASK, FLAG_CF | FLAG_DF);
    }
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_SCE);
    EXPECT_EQ(TRY(enter_user(USER(user_hot), HOT, 0)), VECTOR_UD);
    EXPECT_EQ(trap.frame.bx, 0);
}

static void sysret_single_steps(void)
{
    syscall_setup(tf_target);
    for (unsigned i = 0; i < 10; i++) {
        EXPECT_EQ(TRY(enter_user(USER(user_hot), HOT, 0)), VECTOR_DB);
        EXPECT_EQ(trap.frame.ip, USER(user_hot_next) - 4);
        EXPECT_EQ(trap.frame.cs, SEL_UCODE64);
    }
}

/*
 * The kernel's code has just run, entered by SYSCALL and left by IRETQ; now user code jumps there: it must not get it, be it ever so
 * well known.
 */
extern u8 iret_target[], user_jumps[];
ASM_BLOCK("iret_target: incq %rbx; pushq %rsi; pushq %rbp; pushq %r11; pushq %rdx; pushq %rcx; iretq;"
          "user_jumps: movq %rdi, %r12; xorl %ebx, %ebx; movq %rsp, %rbp;"
          "movl %ss, %esi; movl %cs, %edx; movabsq $iret_target, %r15;"
          "1: syscall; decq %r12; jnz 1b; jmp *%r15;");

static void user_code_does_not_reach_the_kernels(void)
{
    syscall_setup(iret_target);
    wrmsr(MSR_FMASK, FLAG_CF | FLAG_DF | FLAG_IF);
    for (unsigned i = 0; i < 10; i++) {
        EXPECT_EQ(TRY(enter_user(USER(user_jumps), HOT, 0)), VECTOR_PF);
        EXPECT_EQ(trap.frame.ip, iret_target);
        EXPECT_EQ(trap.cr2, iret_target);
        EXPECT_EQ(trap.error & 5, 5);
        EXPECT_EQ(trap.frame.bx, HOT);
    }
}

/* LSTAR moves while its old place is known; and the page it is on is written. */
static void syscall_follows_lstar(void)
{
    for (unsigned i = 0; i < 6; i++) {
        syscall_setup(hot_target);
        many_syscalls(0, 0);
        wrmsr(MSR_LSTAR, (u64)syscall_target);
        EXPECT_EQ(TRY(enter_user(USER(user_hot), 20, 0)), VECTOR_USER_EXIT);
        EXPECT_EQ(trap.frame.bx, 0);
        EXPECT_EQ(trap.frame.r14, 20);
    }
}

/* -- The same many times -------------------------------------------------------------------------------- */

static bool verw(u16 selector)
{
    bool zf;

    __asm__ volatile("verw %1; setz %0" : "=q"(zf) : "m"(selector) : "cc");
    return zf;
}

static void verw_many_times(void)
{
    for (unsigned i = 0; i < 20; i++) {
        EXPECT(verw(SEL_KDATA));
        EXPECT(!verw(SEL_KDATA | 3));
        EXPECT(verw(SEL_UDATA));
        EXPECT(!verw(SEL_KCODE));
        EXPECT(!verw(0));
        EXPECT(!verw(3));
        EXPECT(!verw(SEL_TSS));
        EXPECT(!verw(sizeof gdt));
        EXPECT(!verw(0xfff8));
        EXPECT(!verw(0xc)); /* there is no LDT */
    }
    gdt_set(SEL_SPARE, 0, 0xfffff, 0xc09200);
    for (unsigned i = 0; i < 20; i++) {
        EXPECT(verw(SEL_SPARE));
    }
    gdt_set(SEL_SPARE, 0, 0xfffff, 0xc09000); /* not writable now */
    EXPECT(!verw(SEL_SPARE));
}

static void bases_many_times(void)
{
    for (u64 i = 0; i < 50; i++) {
        u64 fs = 0x123456780000 | i, gs = 0xffff800000000000 + i, kgs = i * 0x111111111;
        wrmsr(MSR_FS_BASE, fs);
        wrmsr(MSR_GS_BASE, gs);
        wrmsr(MSR_KERNEL_GS_BASE, kgs);
        EXPECT_EQ(rdmsr(MSR_FS_BASE), fs);
        EXPECT_EQ(rdmsr(MSR_GS_BASE), gs);
        EXPECT_EQ(rdmsr(MSR_KERNEL_GS_BASE), kgs);
        __asm__ volatile("swapgs");
        EXPECT_EQ(rdmsr(MSR_GS_BASE), kgs);
    }
    wrmsr(MSR_FS_BASE, 0);
    wrmsr(MSR_GS_BASE, 0);
    wrmsr(MSR_KERNEL_GS_BASE, 0);
}

static void control_registers_many_times(void)
{
    word cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();
    u32 aux, lo, hi;

    for (word i = 0; i < 50; i++) {
        write_cr2(i);
        EXPECT_EQ(read_cr2(), i);
        write_cr0(cr0 ^ CR0_TS);
        EXPECT_EQ(read_cr0(), cr0 ^ CR0_TS);
        __asm__ volatile("clts");
        EXPECT_EQ(read_cr0(), cr0 & ~(word)CR0_TS);
        write_cr0(cr0);
        write_cr3(cr3);
        EXPECT_EQ(read_cr3(), cr3);
        EXPECT_EQ(read_cr4(), cr4);
        invlpg(i << 12);
        if (cpu_has(0x80000001, 0, 3, 27)) {
            wrmsr(0xc0000103, 7 + i);
            __asm__ volatile("rdtscp" : "=c"(aux), "=a"(lo), "=d"(hi));
            EXPECT_EQ(aux, 7 + i);
        }
    }
}

/* -- syscall, sysenter, other modes ------------------------------------------------------------------------- */

static void sysret_to_compatibility_mode(void)
{
    syscall_setup(sysret32_target);
    /* rcx is where sysret goes: the instruction after syscall, run as 32-bit code: int 0x80. */
    EXPECT_EQ(TRY(enter_user(USER(user_syscall), 0, 0)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.cs, SEL_UCODE32);
}

static void sysenter_and_sysexit(void)
{
    u32 r[4];

    cpuid(0, 0, r);
    if (r[2] == 0x444d4163) {
        test_skip("as on AMD's processors, no SYSENTER in long mode");
        return;
    }
    wrmsr(0x174, SEL_KCODE);
    wrmsr(0x175, (word)kernel_stack_top);
    wrmsr(0x176, (word)sysenter_target);
    EXPECT_EQ(TRY(enter_user(USER(user_sysenter), USER(user_exit), 0)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.ax, SEL_KCODE);
    EXPECT_EQ(trap.frame.bx, SEL_KDATA);
    EXPECT_EQ(trap.frame.cs, SEL_UCODE64);
    EXPECT_EQ(trap.frame.ss, 0x33);
}

/* -- GS and FS ------------------------------------------------------------------------------------------- */

static void swapgs_exchanges_with_the_kernel_base(void)
{
    wrmsr(MSR_GS_BASE, 0x1111);
    wrmsr(MSR_KERNEL_GS_BASE, 0xffff800000002222);
    __asm__ volatile("swapgs");
    EXPECT_EQ(rdmsr(MSR_GS_BASE), 0xffff800000002222);
    EXPECT_EQ(rdmsr(MSR_KERNEL_GS_BASE), 0x1111);
    wrmsr(MSR_GS_BASE, 0);
}

static word rdgsbase(void)
{
    word v;
    __asm__ volatile("rdgsbase %0" : "=r"(v));
    return v;
}

static void fsgsbase_instructions(void)
{
    if (!cpu_has(7, 0, 1, 0)) {
        test_skip("no FSGSBASE");
        return;
    }
    EXPECT_EQ(TRY(rdgsbase()), VECTOR_UD);
    write_cr4(read_cr4() | CR4_FSGSBASE);
    __asm__ volatile("wrgsbase %0" : : "r"(0x12345678ul));
    EXPECT_EQ(rdgsbase(), 0x12345678);
    EXPECT_EQ(rdmsr(MSR_GS_BASE), 0x12345678);
    __asm__ volatile("mov %0, %%gs" : : "r"(SEL_KDATA)); /* a load takes the descriptor's base */
    EXPECT_EQ(rdgsbase(), 0);
    write_cr4(read_cr4() & ~(word)CR4_FSGSBASE);
}

static void bases_must_be_canonical(void)
{
    for (unsigned i = 0; i < 10; i++) {
        wrmsr(MSR_GS_BASE, i);
        EXPECT_TRAP(TRY(wrmsr(MSR_GS_BASE, 0x0000800000000000)), VECTOR_GP, 0);
        EXPECT_EQ(rdmsr(MSR_GS_BASE), i);
    }
    wrmsr(MSR_GS_BASE, 0);
    EXPECT_TRAP(TRY(wrmsr(MSR_KERNEL_GS_BASE, 0x0000800000000000)), VECTOR_GP, 0);
    EXPECT_TRAP(TRY(wrmsr(MSR_LSTAR, 0x0000800000000000)), VECTOR_GP, 0);
    if (cpu_has(7, 0, 1, 0)) {
        write_cr4(read_cr4() | CR4_FSGSBASE);
        EXPECT_TRAP(TRY(__asm__ volatile("wrfsbase %0" : : "r"(0x8000000000000000ul))), VECTOR_GP,
                    0);
        write_cr4(read_cr4() & ~(word)CR4_FSGSBASE);
    }
}

/* -- Interrupts -------------------------------------------------------------------------------------------- */

extern u8 ist_stack_top[];
static word seen_sp, seen_ss;

static bool note_stack(Frame *f)
{
    seen_sp = (word)f;
    seen_ss = f->ss;
    return true;
}

static void ist_switches_the_stack_in_ring_0_too(void)
{
    trap_hook[0x90] = note_stack;
    __asm__ volatile("int $0x90");
    EXPECT(seen_sp > (word)ist_stack_top || seen_sp < (word)ist_stack_top - 8192);
    idt_set(0x90, idt_default_handler(0x90), SEL_KCODE, GATE_INT, 0, 1);
    __asm__ volatile("int $0x90");
    EXPECT(seen_sp <= (word)ist_stack_top && seen_sp > (word)ist_stack_top - 512);
    EXPECT_EQ(seen_ss, SEL_KDATA);
    idt_restore(0x90);
}

/* The frame is aligned to 16 bytes whatever rsp was, and always holds ss:rsp. */
static void frames_are_aligned(void)
{
    word sp;

    __asm__ volatile("movq %%rsp, %%rbx; subq $3, %%rsp; movq %%rsp, %0; int $0x90; movq %%rbx, %%rsp"
                     : "=r"(sp) : : "rbx", "memory");
    EXPECT_EQ((seen_sp + __builtin_offsetof(Frame, ip) + 40) & 15, 0);
    EXPECT_EQ(((Frame *)seen_sp)->vector, 0x90);
}

extern u8 gate64_target[], user_gate64[];
ASM_BLOCK("gate64_target: movq 16(%rsp), %rax; movl %ss, %edx; lretq;"
          "user_gate64: lcall *(%rdi); int $0x80;");

static void call_gates_of_64_bits(void)
{
    static struct __attribute__((packed)) {
        u32 offset;
        u16 sel;
    } far = {0, SEL_SPARE | 3};
    u64 t = (u64)gate64_target;

    gdt[SEL_SPARE >> 3] = (t & 0xffff) | (u64)SEL_KCODE << 16 | (u64)0xec00 << 32 |
                          (t & 0xffff0000) << 32;
    gdt[(SEL_SPARE >> 3) + 1] = t >> 32;
    EXPECT_EQ(TRY(enter_user(USER(user_gate64), USER(&far), 0)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.ax, USER(user_stack_top));
    EXPECT_EQ(trap.frame.dx, 0);                       /* a null SS with RPL 0 */
    gdt[(SEL_SPARE >> 3) + 1] = (u64)0x1f << 40;       /* the upper type must be 0 */
    EXPECT_TRAP(TRY(enter_user(USER(user_gate64), USER(&far), 0)), VECTOR_GP, SEL_SPARE);
}

/* -- Compatibility mode --------------------------------------------------------------------------------------- */

extern u8 compat_code[];
ASM_BLOCK(".code32;"
          "compat_code: movl $0xffffffff, %eax; incl %eax; .byte 0x48; movl %cs, %edx; int $0x80;" /* dec %eax */
          ".code64");

static void compatibility_mode_runs_32_bit_code(void)
{
    EXPECT_EQ(TRY(enter_user_at(SEL_UCODE32, SEL_UDATA, USER(compat_code), USER(user_stack_top), 2,
                                0)), VECTOR_USER_EXIT);
    EXPECT_EQ((u32)trap.frame.ax, 0xffffffff);         /* 48h was DEC, not a prefix */
    EXPECT_EQ(trap.frame.dx, SEL_UCODE32);
    EXPECT_EQ(trap.frame.cs, SEL_UCODE32);
}

static void syscall_of_compatibility_mode_uses_cstar(void)
{
    syscall_setup(syscall_target);
    wrmsr(MSR_CSTAR, (u64)sysret32_target);
    wrmsr(MSR_LSTAR, 0x123456);
    int vector = TRY(enter_user_at(SEL_UCODE32, SEL_UDATA, USER(user_syscall),
                                   USER(user_stack_top), 2, 0));
    if (vector == VECTOR_UD) {
        test_skip("as on Intel's processors, no SYSCALL in compatibility mode");
        return;
    }
    EXPECT_EQ(vector, VECTOR_USER_EXIT);
}

extern u32 trip_result;
void mode_trip(void);
/* 64 -> compatibility -> protected mode without paging -> and back. */
ASM_BLOCK("mode_trip: pushq %rbx; pushq %rbp; movq %rsp, trip_rsp; lcall *trip_far; popq %rbp; popq %rbx; ret;"
          ".code32;"
          "trip32: movl $0x10, %eax; movl %eax, %ss; movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0;"
          "movl $0xc0000080, %ecx; rdmsr; movl %eax, trip_result; andl $~0x100, %eax; wrmsr;"
          "movl %cr4, %eax; andl $~0x20, %eax; movl %eax, %cr4;"
          "movl $0x12345678, trip_word; orl $0x20, %eax; movl %eax, %cr4;"
          "movl $0xc0000080, %ecx; rdmsr; orl $0x100, %eax; wrmsr;"
          "movl %cr0, %eax; orl $0x80000000, %eax; movl %eax, %cr0; lret;"
          ".code64;"
          ".data; trip_far: .long trip32; .word 0x38; trip_word: .long 0; trip_result: .long 0; trip_rsp: .quad 0; .text");

static void long_mode_is_left_and_entered_again(void)
{
    mode_trip();
    EXPECT_EQ(trip_result & (EFER_LMA | EFER_LME), EFER_LME); /* LMA went with paging */
    EXPECT_EQ(rdmsr(MSR_EFER) & (EFER_LMA | EFER_LME), EFER_LMA | EFER_LME);
}

/* -- Debug registers, single step ------------------------------------------------------------------------------ */

static volatile word steps, step_ip[16], step_dr6;

static bool note_step(Frame *f)
{
    if (steps < 16) {
        step_ip[steps] = f->ip;
    }
    steps++;
    step_dr6 = read_dr6();
    write_dr6(0xffff0ff0);
    f->flags |= FLAG_RF;
    return true;
}

static void stepping_start(void)
{
    steps = 0;
    trap_hook[VECTOR_DB] = note_step;
    write_dr6(0xffff0ff0);
}

extern u8 step_after_nop[];
static void single_step_stops_after_each_instruction(void)
{
    stepping_start();
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; step_after_nop: nop;"
                     "pushfq; andq $~0x100, (%%rsp); popfq" : : : "memory", "cc");
    EXPECT_EQ(steps, 5);          /* nop, nop, pushfq, andq, popfq */
    EXPECT_EQ(step_ip[0], (word)step_after_nop);
    EXPECT_EQ(step_dr6 & 0x4000, 0x4000);
}

static void mov_ss_delays_the_step(void)
{
    stepping_start();
    __asm__ volatile("movl %%ss, %%eax; pushfq; orq $0x100, (%%rsp); popfq; movl %%eax, %%ss; nop;"
                     "pushfq; andq $~0x100, (%%rsp); popfq" : : : "rax", "memory", "cc");
    EXPECT_EQ(steps, 4);          /* mov ss and the nop after it give one */
}

static volatile u64 watched[2] __attribute__((aligned(16)));

static void data_breakpoints(void)
{
    static const struct { word dr7; word want_write, want_read; } rows[] = {
        {0x000d0001, 1, 0},       /* 4 bytes, write       */
        {0x000f0001, 1, 1},       /* 4 bytes, read, write */
        {0x000d0002, 1, 0},       /* global               */
        {0x000d0000, 0, 0},       /* off                  */
    };

    write_dr0((word)watched);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        stepping_start();
        write_dr7(rows[i].dr7 | 0x400);
        *(volatile u8 *)((word)watched + 2) = 5;
        EXPECT_EQ(steps, rows[i].want_write);
        if (rows[i].want_write) {
            EXPECT_EQ(step_dr6 & 15, 1);
        }
        steps = 0;
        (void)watched[0];
        EXPECT_EQ(steps, rows[i].want_read);
        steps = 0;
        watched[1] = 7;           /* beside it */
        EXPECT_EQ(steps, 0);
        write_dr7(0x400);
    }
}

extern u8 exec_here[];
static void instruction_breakpoints_come_before_and_rf_passes_them(void)
{
    stepping_start();
    write_dr0((word)exec_here);
    write_dr7(0x401);
    __asm__ volatile("exec_here: nop");
    write_dr7(0x400);
    EXPECT_EQ(steps, 1);          /* once: note_step() set RF */
    EXPECT_EQ(step_ip[0], (word)exec_here);
    EXPECT_EQ(step_dr6 & 15, 1);
}

static void general_detect_guards_the_registers(void)
{
    trap_hook[VECTOR_DB] = NULL;
    write_dr6(0xffff0ff0);
    write_dr7(0x2400);
    EXPECT_EQ(TRY((void)read_dr0()), VECTOR_DB);
    EXPECT_EQ(read_dr6() & 0x2000, 0x2000);
    EXPECT_EQ(read_dr7() & 0x2000, 0); /* delivery cleared GD */
    write_dr6(0xffff0ff0);
    write_dr7(0x400);
    write_cr4(read_cr4() | CR4_DE);
    EXPECT_EQ(TRY(__asm__ volatile("mov %%dr4, %%rax" : : : "rax")), VECTOR_UD);
    write_cr4(read_cr4() & ~(word)CR4_DE);
    EXPECT_EQ(TRY(__asm__ volatile("mov %%dr4, %%rax" : : : "rax")), -1);
    EXPECT_TRAP(TRY(write_dr7(1ul << 32)), VECTOR_GP, 0);
}

static void software_breakpoints(void)
{
    EXPECT_EQ(TRY(__asm__ volatile("int3")), VECTOR_BP);
    EXPECT_EQ(TRY(__asm__ volatile(".byte 0xf1")), VECTOR_DB);
    EXPECT_EQ(TRY(__asm__ volatile("ud2")), VECTOR_UD);
    EXPECT_EQ(TRY(__asm__ volatile(".byte 0xce")), VECTOR_UD); /* INTO: gone in 64-bit mode */
    EXPECT_EQ(TRY(__asm__ volatile(".byte 0xf0; nop")), VECTOR_UD); /* LOCK NOP */
    EXPECT_EQ(TRY(__asm__ volatile(".fill 14, 1, 0x66; nop")), -1);
    EXPECT_TRAP(TRY(__asm__ volatile(".fill 15, 1, 0x66; nop")), VECTOR_GP, 0); /* 16 bytes */
}

/* -- MSRs, control registers -------------------------------------------------------------------------------------- */

static void unknown_msrs_fault(void)
{
    EXPECT_TRAP(TRY((void)rdmsr(0x12345678)), VECTOR_GP, 0);
    EXPECT_TRAP(TRY(wrmsr(0x12345678, 0)), VECTOR_GP, 0);
    EXPECT_TRAP(TRY(wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 2)), VECTOR_GP, 0);
}

/* -- x87, SSE, XSAVE ------------------------------------------------------------------------------------------------- */

static void ts_em_and_osfxsr_gate_the_units(void)
{
    word cr0 = read_cr0(), cr4 = read_cr4();

    write_cr0(cr0 | CR0_TS | CR0_MP);
    EXPECT_EQ(TRY(__asm__ volatile("fninit")), VECTOR_NM);
    EXPECT_EQ(TRY(__asm__ volatile("fwait")), VECTOR_NM);
    write_cr0((cr0 | CR0_TS) & ~(word)CR0_MP);
    EXPECT_EQ(TRY(__asm__ volatile("fwait")), -1);
    write_cr0((cr0 & ~(word)CR0_TS) | CR0_EM);
    EXPECT_EQ(TRY(__asm__ volatile("fninit")), VECTOR_NM);
    EXPECT_EQ(TRY(__asm__ volatile("movd %%eax, %%mm0" : : )), VECTOR_UD);
    write_cr0(cr0 & ~(word)(CR0_TS | CR0_EM));
    write_cr4(cr4 & ~(word)CR4_OSFXSR);
    EXPECT_EQ(TRY(__asm__ volatile("xorps %%xmm0, %%xmm0" : : )), VECTOR_UD);
    write_cr4(cr4 | CR4_OSFXSR);
    EXPECT_EQ(TRY(__asm__ volatile("xorps %%xmm0, %%xmm0" : : )), -1);
    write_cr0((cr0 & ~(word)CR0_EM) | CR0_TS);
    EXPECT_EQ(TRY(__asm__ volatile("xorps %%xmm0, %%xmm0" : : )), VECTOR_NM);
    __asm__ volatile("clts");
}

static void x87_errors_come_with_the_next_instruction(void)
{
    u16 cw = 0x037b;              /* zero divide unmasked */

    write_cr0((read_cr0() | CR0_NE) & ~(word)(CR0_TS | CR0_EM));
    EXPECT_EQ(TRY(__asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp" : : "m"(cw))), -1);
    EXPECT_EQ(TRY(__asm__ volatile("fwait")), VECTOR_MF);
    EXPECT_EQ(TRY(__asm__ volatile("fld1")), VECTOR_MF);
    EXPECT_EQ(TRY(__asm__ volatile("fnclex")), -1);
    EXPECT_EQ(TRY(__asm__ volatile("fwait")), -1);
    __asm__ volatile("fninit");
}

static void sse_errors_are_vector_19_or_ud(void)
{
    u32 mxcsr = 0x1f80 & ~0x200u; /* divide by zero unmasked */
    u32 bad = 0x80000000;

    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    EXPECT_EQ(TRY(__asm__ volatile("pcmpeqd %%xmm0, %%xmm0; psrld $25, %%xmm0; pslld $23, %%xmm0;"
                                   "xorps %%xmm1, %%xmm1; divps %%xmm1, %%xmm0" : : )), VECTOR_XM);
    EXPECT_TRAP(TRY(__asm__ volatile("ldmxcsr %0" : : "m"(bad))), VECTOR_GP, 0);
    write_cr4(read_cr4() & ~(word)CR4_OSXMMEXCPT);
    EXPECT_EQ(TRY(__asm__ volatile("pcmpeqd %%xmm0, %%xmm0; psrld $25, %%xmm0; pslld $23, %%xmm0;"
                                   "xorps %%xmm1, %%xmm1; divps %%xmm1, %%xmm0" : : )), VECTOR_UD);
    mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

static void xsetbv(u32 reg, u64 v)
{
    __asm__ volatile("xsetbv" : : "c"(reg), "a"((u32)v), "d"((u32)(v >> 32)));
}

static u8 xsave_area[4096] __attribute__((aligned(64)));

static void xcr0_decides_what_works(void)
{
    u32 r[4];

    if (!cpu_has(1, 0, 2, 26)) {
        test_skip("no XSAVE");
        return;
    }
    write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
    EXPECT_EQ(TRY(xsetbv(0, 1)), VECTOR_UD);
    EXPECT(!cpu_has(1, 0, 2, 27));
    write_cr4(read_cr4() | CR4_OSXSAVE | CR4_OSFXSR);
    EXPECT(cpu_has(1, 0, 2, 27));
    EXPECT_TRAP(TRY(xsetbv(0, 0)), VECTOR_GP, 0);      /* x87 cannot be off */
    EXPECT_TRAP(TRY(xsetbv(0, 5)), VECTOR_GP, 0);      /* AVX needs SSE     */
    EXPECT_TRAP(TRY(xsetbv(1, 1)), VECTOR_GP, 0);
    EXPECT_TRAP(TRY(xsetbv(0, 1ull << 62 | 3)), VECTOR_GP, 0);
    xsetbv(0, 3);
    cpuid(0xd, 0, r);
    EXPECT_EQ(r[1], 576);
    __asm__ volatile("xsave %0" : "=m"(xsave_area) : "a"(3), "d"(0) : "memory");
    EXPECT_EQ(TRY(__asm__ volatile("xsave 1+%0" : "=m"(xsave_area) : "a"(3), "d"(0))), VECTOR_GP);
    xsave_area[512 + 8] = 1;      /* a reserved byte of the header */
    EXPECT_EQ(TRY(__asm__ volatile("xrstor %0" : : "m"(xsave_area), "a"(3), "d"(0))), VECTOR_GP);
    if ((cpu_has(1, 0, 2, 28))) {
        EXPECT_EQ(TRY(__asm__ volatile("vzeroupper")), VECTOR_UD);
        xsetbv(0, 7);
        EXPECT_EQ(TRY(__asm__ volatile("vzeroupper")), -1);
        cpuid(0xd, 0, r);
        EXPECT_EQ(r[1], 832);
    }
    write_cr4(read_cr4() & ~(word)CR4_OSXSAVE);
}

/* -- Time in ring 3 ---------------------------------------------------------------------------------------- */

extern u8 user_rdtsc[];
ASM_BLOCK("user_rdtsc: rdtsc; int $0x80;");

static void tsd_keeps_the_time_from_ring_3(void)
{
    EXPECT_EQ(TRY(enter_user(USER(user_rdtsc), 0, 0)), VECTOR_USER_EXIT);
    write_cr4(read_cr4() | 4);
    EXPECT_TRAP(TRY(enter_user(USER(user_rdtsc), 0, 0)), VECTOR_GP, 0);
    EXPECT_EQ(TRY((void)rdtsc()), -1);
    write_cr4(read_cr4() & ~4ul);
}

/* -- A stack pointer that is no address ----------------------------------------------------------------- */

/* RSP is a register like others until something is pushed: Linux's entry code makes the value of CR3 in it. The
 * pages are new to the host, whose kernel has to come back to code with such an RSP, and so for a while. */
enum { FRESH_PAGES = 512 };

extern u8 odd_stack[], user_odd_stack[];
ASM_BLOCK("odd_stack: movq %rsp, %r12; movabsq $0x8000000001234004, %rsp; movl $2, %ecx;"
          "1: movq %rdi, %r13; movl $512, %eax;"
          "2: incl (%r13); addq $4096, %r13; addq $16, %rsp; decl %eax; jnz 2b; decl %ecx; jnz 1b;"
          "movq %rsp, %rax; movq %r12, %rsp; ret;"
          "user_odd_stack: call odd_stack; int $0x80;");

static u32 sum_of_pages(u8 *pages)
{
    u32 sum = 0;

    for (unsigned i = 0; i < FRESH_PAGES; i++) {
        sum += *(volatile u32 *)(pages + 4096u * i);
    }
    return sum;
}

static void stack_pointers_need_not_be_canonical(void)
{
    const u64 last = 0x8000000001234004 + 2 * FRESH_PAGES * 16;
    u8 *pages = (u8 *)0x1000000, *more = pages + 4096u * FRESH_PAGES;
    u64 a, d = (u64)pages;

    __asm__ volatile("call odd_stack" : "=a"(a), "+D"(d) : : "rcx", "r12", "r13", "memory", "cc");
    EXPECT_EQ(a, last);
    EXPECT_EQ(sum_of_pages(pages), 2 * FRESH_PAGES);
    EXPECT_EQ(TRY(enter_user(USER(user_odd_stack), USER(more), 0)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.ax, last);
    EXPECT_EQ(sum_of_pages(more), 2 * FRESH_PAGES);
}

const GuestTest guest_tests[] = {
    {"syscall_and_sysret", syscall_and_sysret},
    {"syscall_clears_only_the_masked_flags", syscall_clears_only_the_masked_flags},
    {"syscalls_many_times", syscalls_many_times},
    {"sysret_single_steps", sysret_single_steps},
    {"syscall_follows_lstar", syscall_follows_lstar},
    {"user_code_does_not_reach_the_kernels", user_code_does_not_reach_the_kernels},
    {"verw_many_times", verw_many_times},
    {"bases_many_times", bases_many_times},
    {"control_registers_many_times", control_registers_many_times},
    {"sysret_to_compatibility_mode", sysret_to_compatibility_mode},
    {"sysenter_and_sysexit", sysenter_and_sysexit},
    {"swapgs_exchanges_with_the_kernel_base", swapgs_exchanges_with_the_kernel_base},
    {"fsgsbase_instructions", fsgsbase_instructions},
    {"bases_must_be_canonical", bases_must_be_canonical},
    {"ist_switches_the_stack_in_ring_0_too", ist_switches_the_stack_in_ring_0_too},
    {"frames_are_aligned", frames_are_aligned},
    {"call_gates_of_64_bits", call_gates_of_64_bits},
    {"compatibility_mode_runs_32_bit_code", compatibility_mode_runs_32_bit_code},
    {"syscall_of_compatibility_mode_uses_cstar", syscall_of_compatibility_mode_uses_cstar},
    {"long_mode_is_left_and_entered_again", long_mode_is_left_and_entered_again},
    {"single_step_stops_after_each_instruction", single_step_stops_after_each_instruction},
    {"mov_ss_delays_the_step", mov_ss_delays_the_step},
    {"data_breakpoints", data_breakpoints},
    {"instruction_breakpoints_come_before_and_rf_passes_them",
     instruction_breakpoints_come_before_and_rf_passes_them},
    {"general_detect_guards_the_registers", general_detect_guards_the_registers},
    {"software_breakpoints", software_breakpoints},
    {"unknown_msrs_fault", unknown_msrs_fault},
    {"ts_em_and_osfxsr_gate_the_units", ts_em_and_osfxsr_gate_the_units},
    {"x87_errors_come_with_the_next_instruction", x87_errors_come_with_the_next_instruction},
    {"sse_errors_are_vector_19_or_ud", sse_errors_are_vector_19_or_ud},
    {"xcr0_decides_what_works", xcr0_decides_what_works},
    {"tsd_keeps_the_time_from_ring_3", tsd_keeps_the_time_from_ring_3},
    {"stack_pointers_need_not_be_canonical", stack_pointers_need_not_be_canonical},
    {NULL, NULL},
};
