/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 32-bit protected mode: segments, gates, tasks, virtual-8086 and real mode, ring 3. */
#include "tests/guest/lib.h"

#define ASM_BLOCK(text) __asm__(".pushsection .text\n" text "\n.popsection\n")

/* -- Segment loads ------------------------------------------------------------------------------------- */

enum { DATA_RW = 0xcf9300, DATA_RO = 0xcf9100, CODE_XO = 0xcf9900, CODE_XR = 0xcf9b00, ABSENT = 0x8000 };
enum { SEL_A = SEL_SPARE, SEL_B = SEL_SPARE + 8, SEL_C = SEL_SPARE + 16, SEL_GATE = SEL_SPARE + 24,
       SEL_TSS_B = SEL_SPARE + 32, SEL_TSS_C = SEL_SPARE + 40 };

static int load_ds(u16 sel)
{
    return TRY(__asm__ volatile("mov %0, %%ds; mov %1, %%ds" : : "r"((u32)sel), "r"(SEL_KDATA)));
}

static int load_ss(u16 sel)
{
    return TRY(__asm__ volatile("mov %0, %%ss; nop; mov %1, %%ss"
                                : : "r"((u32)sel), "r"(SEL_KDATA)));
}


static void segment_loads_check_descriptors(void)
{
    __asm__ volatile("lldt %w0" : : "r"(0));
    EXPECT_EQ(load_ds(0), -1);
    EXPECT_EQ(load_ds(3), -1);
    EXPECT_TRAP(load_ss(0), VECTOR_GP, 0);
    EXPECT_TRAP(load_ds(0x200), VECTOR_GP, 0x200);    /* beyond the limit */
    EXPECT_TRAP(load_ds(0x203), VECTOR_GP, 0x200);    /* RPL is not part of the error code */
    EXPECT_TRAP(load_ds(0x0c), VECTOR_GP, 0x0c);      /* LDT, and there is none */
    EXPECT_TRAP(load_ds(SEL_TSS), VECTOR_GP, SEL_TSS);
    gdt_set(SEL_A, 0, 0xfffff, DATA_RW & ~ABSENT);
    EXPECT_TRAP(load_ds(SEL_A), VECTOR_NP, SEL_A);
    EXPECT_TRAP(load_ss(SEL_A), VECTOR_SS, SEL_A);
    gdt_set(SEL_A, 0, 0xfffff, DATA_RO);
    EXPECT_EQ(load_ds(SEL_A), -1);
    EXPECT_TRAP(load_ss(SEL_A), VECTOR_GP, SEL_A);
    gdt_set(SEL_A, 0, 0xfffff, CODE_XO);
    EXPECT_TRAP(load_ds(SEL_A), VECTOR_GP, SEL_A);
    gdt_set(SEL_A, 0, 0xfffff, CODE_XR);
    EXPECT_EQ(load_ds(SEL_A), -1);
    EXPECT_TRAP(load_ss(SEL_A), VECTOR_GP, SEL_A);
    EXPECT_TRAP(load_ss(SEL_UDATA), VECTOR_GP, SEL_UDATA & ~3); /* DPL 3 is not CPL 0 */
    gdt_set(SEL_A, 0, 0xfffff, DATA_RW & ~0x100);
    EXPECT_EQ(load_ds(SEL_A), -1);
    EXPECT(gdt[SEL_A >> 3] >> 40 & 1);                 /* accessed */
}

/* -- Limits, types -------------------------------------------------------------------------------------- */

static int read_fs(u32 sel, u32 off)
{
    return TRY(__asm__ volatile("mov %0, %%fs; movl %%fs:(%1), %%eax" : : "r"(sel), "r"(off)
                                : "eax"));
}

static int write_fs(u32 sel, u32 off)
{
    return TRY(__asm__ volatile("mov %0, %%fs; movl %%eax, %%fs:(%1)" : : "r"(sel), "r"(off)
                                : "memory"));
}

static u8 window[8192] PAGE_ALIGNED;

static void segment_limits_and_types(void)
{
    u32 base = (u32)window;

    gdt_set(SEL_A, base, 0xfff, 0x409300);             /* bytes 0..0xfff */
    EXPECT_EQ(read_fs(SEL_A, 0xffc), -1);
    EXPECT_TRAP(read_fs(SEL_A, 0xffd), VECTOR_GP, 0);
    EXPECT_TRAP(read_fs(SEL_A, 0xfffffffe), VECTOR_GP, 0);
    gdt_set(SEL_A, base, 0, 0xc09300);                 /* one page */
    EXPECT_EQ(read_fs(SEL_A, 0xffc), -1);
    EXPECT_TRAP(read_fs(SEL_A, 0x1000), VECTOR_GP, 0);
    gdt_set(SEL_A, base, 0xfff, 0x409700);             /* expand down: above 0xfff */
    EXPECT_TRAP(read_fs(SEL_A, 0xffc), VECTOR_GP, 0);
    EXPECT_EQ(read_fs(SEL_A, 0x1000), -1);
    gdt_set(SEL_A, base, 0xfff, 0x009700);             /* ... up to 0xffff when B is clear */
    EXPECT_TRAP(read_fs(SEL_A, 0xfffd), VECTOR_GP, 0);
    gdt_set(SEL_A, base, 0xfff, 0x409100);
    EXPECT_EQ(read_fs(SEL_A, 0), -1);
    EXPECT_TRAP(write_fs(SEL_A, 0), VECTOR_GP, 0);
    EXPECT_TRAP(read_fs(0, 0), VECTOR_GP, 0);          /* null */
    /* A stack with a limit: #SS(0) through ebp.  The handler runs on it: keep our stack inside. */
    gdt_set(SEL_A, 0, 0x3fff, 0xc09300);               /* 64 MiB */
    EXPECT_TRAP(TRY(__asm__ volatile("push %%ebp; mov %0, %%ss; movl $0x7ffffff0, %%ebp;"
                                     "movl (%%ebp), %%eax; pop %%ebp" : : "r"(SEL_A) : "eax")),
                VECTOR_SS, 0);
    __asm__ volatile("mov %0, %%ss" : : "r"(SEL_KDATA));
}

/*
 * Segments of 4 GiB with a base, as kernels and thread libraries use them: offsets wrap, prefixes go
 * with every kind of operand, a new base counts at once.  Often enough to be translated.
 */
static u32 through_segments(u32 at, u32 neg)
{
    u32 a, b, c, d, kept;

    __asm__ volatile("movl %%fs:(%5), %0; movl %%gs:(%6), %1; movl %%fs:0xfffffff0, %2\n\t"
                     "cmpl %5, %5; movzbl %%fs:2(%5), %3; setz %b4; movzbl %b4, %4\n\t"
                     "incl %%fs:(%5); pushl %%gs:(%6); popl %1"
                     : "=&r"(a), "=&r"(b), "=&r"(c), "=&q"(d), "=&q"(kept)
                     : "r"(at), "r"(neg) : "memory", "cc");
    return a ^ b ^ c ^ d ^ kept << 31;
}

static void segments_with_bases_wrap(void)
{
    u32 *words = (u32 *)window;

    for (unsigned i = 0; i < 12; i++) {
        u32 base = (u32)window + 64 * (i % 3 + 1), first = 0x01020304 * (i + 1);

        gdt_set(SEL_A, base, 0xfffff, 0xcf9300);
        gdt_set(SEL_B, base + 0x1000, 0xfffff, i % 4 == 3 ? 0xcf9100 : 0xcf9300); /* read-only: slow */
        words[16 * (i % 3 + 1) + 2] = first;
        words[16 * (i % 3 + 1) - 4] = 0xa5a5a5a5;
        words[0x400 + 16 * (i % 3 + 1) - 8] = 0x5a5a1234;
        __asm__ volatile("mov %0, %%fs; mov %1, %%gs" : : "r"(SEL_A), "r"(SEL_B));
        EXPECT_EQ(through_segments(8, -32u),
                  first ^ 0x5a5a1234 ^ 0xa5a5a5a5 ^ ((first >> 16) & 0xff) ^ 1u << 31);
        EXPECT_EQ(words[16 * (i % 3 + 1) + 2], first + 1);
    }
    __asm__ volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(SEL_KDATA));
}

/* -- Gates ------------------------------------------------------------------------------------------------ */

/* A call gate's two words; type 12: 32 bits, 4: 16 bits. */
static void gate_set(unsigned sel, word target, unsigned type, unsigned dpl, unsigned params)
{
    u32 lo = (u32)SEL_KCODE << 16 | (target & 0xffff);
    u32 hi = (target & 0xffff0000) | 0x8000 | dpl << 13 | type << 8 | params;

    gdt[sel >> 3] = (u64)hi << 32 | lo;
}

extern u8 gate_handler[], user_call_gate[], user_int_20[], user_far_kernel[];
ASM_BLOCK("gate_handler: movl 8(%esp), %eax; shll $4, %eax; addl 12(%esp), %eax; movl %cs, %edx;"
          "lret $8;"
          "user_call_gate: pushl $3; pushl $5; movl $0x10, %ecx; lcall $0x7b, $0; int $0x80;"
          "user_int_20: int $0x20; int $0x80;"
          "user_far_kernel: ljmp $8, $0;");

static void call_gates_switch_stacks_and_copy_parameters(void)
{
    gate_set(SEL_GATE, (word)gate_handler, 12, 3, 2);
    EXPECT_EQ(TRY(enter_user(USER(user_call_gate), 0, 0)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.ax, 0x53);
    EXPECT_EQ(trap.frame.dx, SEL_KCODE);
    EXPECT_EQ(trap.frame.sp, USER(user_stack_top));
    gate_set(SEL_GATE, (word)gate_handler, 12, 0, 2);  /* DPL */
    EXPECT_TRAP(TRY(enter_user(USER(user_call_gate), 0, 0)), VECTOR_GP, SEL_GATE);
    gate_set(SEL_GATE, (word)gate_handler, 12, 3, 2);
    gdt[SEL_GATE >> 3] &= ~(0x8000ull << 32);
    EXPECT_TRAP(TRY(enter_user(USER(user_call_gate), 0, 0)), VECTOR_NP, SEL_GATE);
    EXPECT_TRAP(TRY(enter_user(USER(user_far_kernel), 0, 0)), VECTOR_GP, SEL_KCODE);
}

/* Through 16-bit gates only 16 bits of everything are pushed: run inside small segments. */
extern u8 small_code[], small_gate_target[], small_end[];
ASM_BLOCK("small_code: movl %esp, %ebx; lcall $0x78, $0; cmpl %esp, %ebx; setne %al; movzbl %al, %eax;"
          "addl %ecx, %eax; lret;"
          "small_gate_target: movl %ebx, %ecx; subl %esp, %ecx; lretw;"
          "small_end:");

static void call_gates_of_16_bits_push_words(void)
{
    u32 got;

    gdt_set(SEL_A, (u32)small_code, (u32)(small_end - small_code) - 1, 0x409b00);
    gdt[SEL_GATE >> 3] = (u64)(0x8400) << 32 | (u32)SEL_A << 16 |
                         (u32)(small_gate_target - small_code);
    __asm__ volatile("lcall $0x60, $0" : "=a"(got) : : "ebx", "ecx", "memory", "cc");
    EXPECT_EQ(got, 4);
}

static volatile word seen_flags, seen_count;

static bool note_flags(Frame *f)
{
    seen_flags = read_flags();
    seen_count++;
    return true;
}

static void interrupt_gates_clear_if_and_trap_gates_do_not(void)
{
    trap_hook[0x90] = note_flags;
    idt_set(0x90, idt_default_handler(0x90), SEL_KCODE, GATE_INT, 0, 0);
    __asm__ volatile("sti; int $0x90; cli" : : : "memory");
    EXPECT_EQ(seen_flags & FLAG_IF, 0);
    idt_set(0x90, idt_default_handler(0x90), SEL_KCODE, GATE_TRAP, 0, 0);
    __asm__ volatile("sti; int $0x90; cli" : : : "memory");
    EXPECT_EQ(seen_flags & FLAG_IF, FLAG_IF);
    idt_restore(0x90);
    EXPECT_TRAP(TRY(enter_user(USER(user_int_20), 0, 0)), VECTOR_GP, 0x20 * 8 + 2);
    idt[0x20 * 8 + 5] &= 0x7f;                         /* not present, DPL 3 */
    idt[0x20 * 8 + 5] |= 0x60;
    EXPECT_TRAP(TRY(enter_user(USER(user_int_20), 0, 0)), VECTOR_NP, 0x20 * 8 + 2);
    idt_restore(0x20);
}

/* -- Ring 3 ------------------------------------------------------------------------------------------------ */

#define PRIVILEGED(name, text) extern u8 name[]; ASM_BLOCK(#name ": " text "; int $0x80")
PRIVILEGED(user_hlt, "hlt");
PRIVILEGED(user_cli, "cli");
PRIVILEGED(user_sti, "sti");
PRIVILEGED(user_clts, "clts");
PRIVILEGED(user_cr0, "movl %cr0, %eax");
PRIVILEGED(user_dr7, "movl %dr7, %eax");
PRIVILEGED(user_lgdt, "lgdt (%edi)");
PRIVILEGED(user_lmsw, "lmsw %ax");
PRIVILEGED(user_invlpg, "invlpg (%edi)");
PRIVILEGED(user_rdmsr, "rdmsr");
PRIVILEGED(user_wbinvd, "wbinvd");
PRIVILEGED(user_ltr, "ltr %ax");
PRIVILEGED(user_in, "inb $0x80, %al");
PRIVILEGED(user_outs, "outsb");

static void privileged_instructions_fault_in_ring_3(void)
{
    static const u8 *const code[] = {user_hlt, user_cli, user_sti, user_clts, user_cr0, user_dr7,
                                     user_lgdt, user_lmsw, user_invlpg, user_rdmsr, user_wbinvd,
                                     user_ltr, user_in, user_outs};

    for (unsigned i = 0; i < ARRAY_LEN(code); i++) {
        EXPECT_TRAP(TRY(enter_user(USER(code[i]), 0, 0)), VECTOR_GP, 0);
        EXPECT_EQ(trap.frame.ip, USER(code[i]));
    }
    EXPECT_EQ(TRY(enter_user(USER(user_cli), 0, 3 << 12)), VECTOR_USER_EXIT); /* IOPL 3 */
    EXPECT_EQ(trap.frame.flags & FLAG_IF, 0);
}

extern u8 user_popf[], user_sgdt[], user_in16[], user_unaligned[];
ASM_BLOCK("user_popf: pushl $0x3202; popfl; pushfl; popl %eax; int $0x80;"
          "user_sgdt: sgdt -64(%esp); int $0x80;"
          "user_in16: movw %ax, %dx; inw %dx, %ax; int $0x80;"
          "user_unaligned: movl 1(%esp), %eax; int $0x80");

static void popf_in_ring_3_leaves_iopl_and_if(void)
{
    EXPECT_EQ(TRY(enter_user(USER(user_popf), 0, 0)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.ax & 0x3200, 0);
}

static void umip_hides_the_descriptor_tables(void)
{
    EXPECT_EQ(TRY(enter_user(USER(user_sgdt), 0, 0)), VECTOR_USER_EXIT);
    if (!HAS_UMIP) {
        test_skip("no UMIP");
        return;
    }
    write_cr4(read_cr4() | CR4_UMIP);
    EXPECT_TRAP(TRY(enter_user(USER(user_sgdt), 0, 0)), VECTOR_GP, 0);
    write_cr4(read_cr4() & ~(word)CR4_UMIP);
}

extern u8 tss_iobitmap[];

static void io_bitmap_opens_single_ports(void)
{
    tss_iobitmap[0x80 / 8] &= ~1;                      /* port 0x80, not 0x81 */
    EXPECT_EQ(TRY(enter_user(USER(user_in), 0, 0)), VECTOR_USER_EXIT);
    EXPECT_TRAP(TRY(enter_user(USER(user_in16), 0x80, 0)), VECTOR_GP, 0);
    tss_iobitmap[0x80 / 8] &= ~2;
    EXPECT_EQ(TRY(enter_user(USER(user_in16), 0x80, 0)), VECTOR_USER_EXIT);
    EXPECT_TRAP(TRY(enter_user(USER(user_in16), 0x7f, 0)), VECTOR_GP, 0); /* spans two bytes */
    tss_iobitmap[0x80 / 8] = 0xff;
    EXPECT_EQ(TRY(enter_user(USER(user_in16), 0x7f, 3 << 12)), VECTOR_USER_EXIT);
}

static void alignment_checks_need_am_ac_and_ring_3(void)
{
    word sp = USER(user_stack_top) - 64;

    EXPECT_EQ(TRY(enter_user_at(SEL_UCODE, SEL_UDATA, USER(user_unaligned), sp, 2 | FLAG_AC, 0)),
              VECTOR_USER_EXIT);
    write_cr0(read_cr0() | CR0_AM);
    EXPECT_TRAP(TRY(enter_user_at(SEL_UCODE, SEL_UDATA, USER(user_unaligned), sp, 2 | FLAG_AC, 0)),
                VECTOR_AC, 0);
    EXPECT_EQ(TRY(enter_user_at(SEL_UCODE, SEL_UDATA, USER(user_unaligned), sp, 2, 0)),
              VECTOR_USER_EXIT);
    write_flags(2 | FLAG_AC);
    EXPECT_EQ(TRY((void)*(volatile u32 *)(window + 1)), -1); /* ring 0 never */
    write_flags(2);
    write_cr0(read_cr0() & ~(word)CR0_AM);
}

extern u8 sysenter_target[], user_sysenter[], user_after_sysexit[];
ASM_BLOCK("sysenter_target: movl %cs, %eax; movl %ss, %ebx; shll $16, %ebx; orl %ebx, %eax;"
          "movl %esi, %ecx; movl %edi, %edx; sysexit;"
          "user_sysenter: movl %esp, %esi; sysenter;"
          "user_after_sysexit: int $0x80");

static void sysenter_and_sysexit(void)
{
    wrmsr(0x174, SEL_KCODE);
    wrmsr(0x175, (word)kernel_stack_top);
    wrmsr(0x176, (word)sysenter_target);
    /* edi: the place to return to; esi: the stack. */
    EXPECT_EQ(TRY(enter_user(USER(user_sysenter), USER(user_after_sysexit), 0)),
              VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.ax, SEL_KDATA << 16 | SEL_KCODE);
    EXPECT_EQ(trap.frame.cs, SEL_UCODE32);
    EXPECT_EQ(trap.frame.ss, SEL_UDATA);
    wrmsr(0x174, 0);
    EXPECT_TRAP(TRY(enter_user(USER(user_sysenter), 0, 0)), VECTOR_GP, 0);
}

/* -- Tasks -------------------------------------------------------------------------------------------------- */

extern u8 tss[];

typedef struct {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi,
        edi, es, cs, ss, ds, fs, gs, ldt, iomap;
} Tss32;

static Tss32 tss_b, tss_c;
static u8 stack_b[4096] __attribute__((aligned(16)));
static volatile u32 task_runs, task_flags, task_cr0, task_link;

static void tss_set(unsigned sel, Tss32 *t, void (*entry)(void))
{
    memset(t, 0, sizeof *t);
    t->cr3 = (u32)read_cr3();
    t->eip = (u32)entry;
    t->eflags = 2;
    t->esp = (u32)(stack_b + sizeof stack_b);
    t->cs = SEL_KCODE;
    t->es = t->ss = t->ds = t->fs = t->gs = SEL_KDATA;
    t->iomap = 0x68u << 16;
    gdt_set(sel, (u32)t, sizeof *t - 1, 0x008900);
}

/* What a switch back to the first task loads beside what the switch away has saved. */
static void main_tss_init(void)
{
    Tss32 *t = (Tss32 *)tss;

    t->cr3 = (u32)read_cr3();
    t->ldt = 0;
    t->link = 0;
}

static bool busy(unsigned sel) { return gdt[sel >> 3] >> 41 & 1; }

static void task_b(void)
{
    for (;;) {
        task_runs++;
        task_flags = read_flags();
        task_cr0 = read_cr0();
        task_link = tss_b.link;
        __asm__ volatile("iret");
    }
}

static void calls_to_tasks_nest_and_return(void)
{
    main_tss_init();
    tss_set(SEL_TSS_B, &tss_b, task_b);
    write_cr0(read_cr0() & ~(word)CR0_TS);
    for (unsigned i = 1; i <= 3; i++) {
        EXPECT_EQ(TRY(__asm__ volatile("lcall $0x80, $0" : : : "memory")), -1);
        EXPECT_EQ(task_runs, i);
        EXPECT(task_flags & FLAG_NT);
        EXPECT(task_cr0 & CR0_TS);
        EXPECT_EQ(task_link, SEL_TSS);
        EXPECT(busy(SEL_TSS));
        EXPECT(!busy(SEL_TSS_B));
        EXPECT_EQ(read_flags() & FLAG_NT, 0);
    }
    write_cr0(read_cr0() & ~(word)CR0_TS);
}

static void task_c(void)
{
    for (;;) {
        task_runs++;
        task_flags = read_flags();
        __asm__ volatile("ljmp $0x50, $0");
    }
}

static void jumps_to_tasks_do_not_nest(void)
{
    tss_set(SEL_TSS_C, &tss_c, task_c);
    task_runs = 0;
    __asm__ volatile("ljmp $0x88, $0" : : : "memory");
    EXPECT_EQ(task_runs, 1);
    EXPECT_EQ(task_flags & FLAG_NT, 0);
    EXPECT(!busy(SEL_TSS_C));
    EXPECT_EQ(tss_c.link, 0);
    __asm__ volatile("ljmp $0x88, $0" : : : "memory");
    EXPECT_EQ(task_runs, 2);
    __asm__ volatile("clts");
}

static void bad_tasks_fault_with_their_selector(void)
{
    tss_set(SEL_TSS_B, &tss_b, task_b);
    gdt[SEL_TSS_B >> 3] |= 1ull << 41;                 /* busy */
    EXPECT_TRAP(TRY(__asm__ volatile("ljmp $0x80, $0")), VECTOR_GP, SEL_TSS_B);
    tss_set(SEL_TSS_B, &tss_b, task_b);
    gdt[SEL_TSS_B >> 3] &= ~(1ull << 47);
    EXPECT_TRAP(TRY(__asm__ volatile("ljmp $0x80, $0")), VECTOR_NP, SEL_TSS_B);
    gdt_set(SEL_TSS_B, (u32)&tss_b, 0x66, 0x008900);   /* too short */
    EXPECT_TRAP(TRY(__asm__ volatile("ljmp $0x80, $0")), VECTOR_TS, SEL_TSS_B);
    EXPECT_TRAP(TRY(__asm__ volatile("ltr %%ax" : : "a"(SEL_KDATA))), VECTOR_GP, SEL_KDATA);
    EXPECT_TRAP(TRY(__asm__ volatile("ltr %%ax" : : "a"(SEL_TSS))), VECTOR_GP, SEL_TSS);
    /* iret with NT and a back link that is not busy */
    tss_set(SEL_TSS_B, &tss_b, task_b);
    *(u16 *)tss = SEL_TSS_B;
    EXPECT_TRAP(TRY(__asm__ volatile("pushfl; orl $0x4000, (%%esp); popfl; iret" : : : "memory")),
                VECTOR_TS, SEL_TSS_B);
    write_flags(2);
}

static volatile u32 df_error, df_runs;
static Context df_context;
extern void df_task(void);
void df_noted(u32 error);
ASM_BLOCK("df_task: popl %eax; call df_noted; pushl $0; iret; jmp df_task");

void df_noted(u32 error)
{
    Tss32 *t = (Tss32 *)tss;

    df_error = error;
    df_runs++;
    /* Go on, when this task returns, where the context was saved. */
    t->eip = (u32)context_restore;
    t->eax = (u32)&df_context;
    __asm__ volatile("addl $0, %%esp" : : : "memory");
}

/* #GP whose gate is absent: a contributory exception while delivering another. */
static void double_fault_through_a_task_gate(void)
{
    tss_set(SEL_TSS_B, &tss_b, df_task);
    idt_set(VECTOR_DF, 0, SEL_TSS_B, GATE_TASK, 0, 0);
    idt[VECTOR_GP * 8 + 5] &= 0x7f;
    if (context_save(&df_context) == 0) {
        __asm__ volatile("mov %0, %%ds" : : "r"(0x200));
        EXPECT(!"a double fault");
    }
    idt_restore(VECTOR_GP);
    EXPECT_EQ(df_runs, 1);
    EXPECT_EQ(df_error, 0);
    EXPECT_EQ(tss_b.link, SEL_TSS);
    idt_restore(VECTOR_DF);
    __asm__ volatile("clts");
}

static void double_fault_through_a_trap_gate(void)
{
    idt[VECTOR_GP * 8 + 5] &= 0x7f;
    EXPECT_TRAP(TRY(__asm__ volatile("mov %0, %%ds" : : "r"(0x200))), VECTOR_DF, 0);
    idt_restore(VECTOR_GP);
}

/* -- Virtual-8086 mode --------------------------------------------------------------------------------------- */

enum { LOW_CODE = 0x8000 };       /* where 16-bit code is copied to */

extern u8 v86_begin[], v86_end[];
ASM_BLOCK(".code16;"
          "v86_begin: movw %cs, %ax; movw %ax, %ds; movb $0x5a, 0x100; pushw $0x1234; popw %bx;"
          "movl $0x89abcdef, %ecx; int3;"              /* 0: reached */
          "v86_end: .code32");

typedef struct {
    u32 ip, cs, flags, sp, ss, es, ds, fs, gs;
} V86Frame;

static void v86_enter(V86Frame f) __attribute__((noreturn));
static void v86_enter(V86Frame f)
{
    __asm__ volatile("movl %0, %%esp; iret" : : "r"(&f) : "memory");
    __builtin_unreachable();
}

/* Map the low MiB for ring 3 (entry 0 of the directory), as virtual-8086 code needs it. */
extern u32 boot_pd[1024];

static void low_memory_for_user(bool on)
{
    boot_pd[0] = on ? 0x87 : 0x83;
    write_cr3(read_cr3());
}

static int v86_run(const void *code, u32 len, u32 flags)
{
    V86Frame f = {0, LOW_CODE >> 4, 2 | FLAG_VM | flags, 0x800, LOW_CODE >> 4,
                  0x1111, 0x2222, 0x3333, 0x4444};

    memcpy((void *)LOW_CODE, code, len);
    return TRY(v86_enter(f));
}

static void v86_runs_16_bit_code(void)
{
    low_memory_for_user(true);
    idt_set(VECTOR_BP, idt_default_handler(VECTOR_BP), SEL_KCODE, GATE_INT, 3, 0);
    EXPECT_EQ(v86_run(v86_begin, (u32)(v86_end - v86_begin), 3 << 12), VECTOR_BP);
    EXPECT(trap.frame.flags & FLAG_VM);
    EXPECT_EQ(trap.frame.cs, LOW_CODE >> 4);
    EXPECT_EQ(trap.frame.bx & 0xffff, 0x1234);
    EXPECT_EQ(trap.frame.cx, 0x89abcdef);
    EXPECT_EQ(*(volatile u8 *)(LOW_CODE + 0x100), 0x5a);
    EXPECT_EQ((u16)trap.frame.v86_ds, LOW_CODE >> 4);
    EXPECT_EQ((u16)trap.frame.v86_es, 0x1111);
    EXPECT_EQ((u16)trap.frame.v86_fs, 0x3333);
    EXPECT_EQ((u16)trap.frame.v86_gs, 0x4444);
    EXPECT_EQ((u16)trap.frame.ds, 0);                       /* the handler found null selectors */
    low_memory_for_user(false);
}

static void v86_traps_sensitive_instructions_below_iopl_3(void)
{
    static const struct { u8 bytes[4]; bool at_iopl_3; } rows[] = {
        {{0xfa}, false}, {{0xfb}, false}, {{0x9c}, false}, {{0x9d}, false}, {{0xcd, 0x21}, false},
        {{0xcf}, false}, {{0xf4}, true}, {{0x0f, 0x06}, true}, {{0xe4, 0x60}, true},
        {{0x0f, 0x20, 0xc0}, true},
    };

    low_memory_for_user(true);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        EXPECT_TRAP(v86_run(rows[i].bytes, 4, 0), VECTOR_GP, 0);
        EXPECT_EQ(trap.frame.ip, 0);
        if (rows[i].at_iopl_3) {
            EXPECT_TRAP(v86_run(rows[i].bytes, 4, 3 << 12), VECTOR_GP, 0);
        }
    }
    /* With IOPL 3, INT n goes through the IDT to ring 0, if its gate has DPL 3. */
    EXPECT_EQ(v86_run("\xcd\x80", 2, 3 << 12), VECTOR_USER_EXIT);
    EXPECT(trap.frame.flags & FLAG_VM);
    EXPECT_TRAP(v86_run("\xcd\x21", 2, 3 << 12), VECTOR_GP, 0x21 * 8 + 2);
    EXPECT_EQ(v86_run("\x0f\x00\xc0", 3, 3 << 12), VECTOR_UD); /* SLDT is no real-mode instruction */
    low_memory_for_user(false);
}

static void v86_addresses_end_at_64k(void)
{
    low_memory_for_user(true);
    EXPECT_TRAP(v86_run("\x67\x66\xa1\x00\x00\x01\x00", 7, 3 << 12), VECTOR_GP, 0);
    EXPECT_TRAP(v86_run("\x66\xa1\xfd\xff", 4, 3 << 12), VECTOR_GP, 0);
    low_memory_for_user(false);
}

/* -- Real mode and back ----------------------------------------------------------------------------------------- */

extern u8 real_begin[], real_16[], real_prot16[], real_end[], real_isr[], real_back[];
u32 real_saved_esp;
void real_trip(void);
ASM_BLOCK(
    "real_trip: pushal; movl %esp, real_saved_esp; movl %cr0, %eax; andl $0x7fffffff, %eax;"
    "movl %eax, %cr0; sidt -16(%esp); lidt real_idtr; ljmp $0x40, $(0x8000 + real_prot16 - real_begin);"
    "real_back: movl $0x10, %eax; movl %eax, %ds; movl %eax, %es; movl %eax, %ss; movl %eax, %fs;"
    "movl %eax, %gs; movl real_saved_esp, %esp; movl %cr0, %eax; orl $0x80000000, %eax;"
    "movl %eax, %cr0; lidt -16(%esp); popal; ret;"
    "real_idtr: .word 0x3ff; .long 0;"
    "real_begin: .code16;"
    "real_prot16: movw $0x48, %ax; movw %ax, %ds; movw %ax, %es; movw %ax, %ss; movw $0x7000, %sp;"
    "movl %cr0, %eax; andb $0xfe, %al; movl %eax, %cr0;"
    "ljmpw $0x800, $(real_16 - real_begin);"
    /* Real mode: segments, an interrupt through the vector table, 20-bit addresses. */
    "real_16: movw $0x800, %ax; movw %ax, %ds; xorw %ax, %ax; movw %ax, %ss; movw $0x7000, %sp;"
    "movw %ax, %es; movw $(real_isr - real_begin), %es:0x84; movw $0x800, %es:0x86;"
    "xorl %ebx, %ebx; int $0x21;"
    "movw $0x1000, %ax; movw %ax, %es; movw $0xbeef, %es:0x10; movw $0x1001, %ax; movw %ax, %es;"
    "cmpw $0xbeef, %es:0; jne 1f; orw $2, %bx; 1: pushfw; popw %ax; testw $0x200, %ax; jnz 2f; orw $4, %bx; 2:"
    "smsw %ax; testb $1, %al; jnz 3f; orw $8, %bx; 3: movw $0x800, %ax; movw %ax, %ds;"
    "movl %ebx, 0x200;"
    "movl %cr0, %eax; orb $1, %al; movl %eax, %cr0; ljmpl $8, $real_back;"
    "real_isr: orw $1, %bx; iretw;"
    "real_end: .code32");

static void real_mode_and_back(void)
{
    memcpy((void *)LOW_CODE, real_begin, (u32)(real_end - real_begin));
    real_trip();
    EXPECT_EQ(*(volatile u32 *)(LOW_CODE + 0x200), 15);
    EXPECT_EQ(*(volatile u16 *)0x10010, 0xbeef);
}

const GuestTest guest_tests[] = {
    {"segment_loads_check_descriptors", segment_loads_check_descriptors},
    {"segment_limits_and_types", segment_limits_and_types},
    {"segments_with_bases_wrap", segments_with_bases_wrap},
    {"call_gates_switch_stacks_and_copy_parameters", call_gates_switch_stacks_and_copy_parameters},
    {"call_gates_of_16_bits_push_words", call_gates_of_16_bits_push_words},
    {"interrupt_gates_clear_if_and_trap_gates_do_not",
     interrupt_gates_clear_if_and_trap_gates_do_not},
    {"privileged_instructions_fault_in_ring_3", privileged_instructions_fault_in_ring_3},
    {"popf_in_ring_3_leaves_iopl_and_if", popf_in_ring_3_leaves_iopl_and_if},
    {"umip_hides_the_descriptor_tables", umip_hides_the_descriptor_tables},
    {"io_bitmap_opens_single_ports", io_bitmap_opens_single_ports},
    {"alignment_checks_need_am_ac_and_ring_3", alignment_checks_need_am_ac_and_ring_3},
    {"sysenter_and_sysexit", sysenter_and_sysexit},
    {"calls_to_tasks_nest_and_return", calls_to_tasks_nest_and_return},
    {"jumps_to_tasks_do_not_nest", jumps_to_tasks_do_not_nest},
    {"bad_tasks_fault_with_their_selector", bad_tasks_fault_with_their_selector},
    {"double_fault_through_a_task_gate", double_fault_through_a_task_gate},
    {"double_fault_through_a_trap_gate", double_fault_through_a_trap_gate},
    {"v86_runs_16_bit_code", v86_runs_16_bit_code},
    {"v86_traps_sensitive_instructions_below_iopl_3",
     v86_traps_sensitive_instructions_below_iopl_3},
    {"v86_addresses_end_at_64k", v86_addresses_end_at_64k},
    {"real_mode_and_back", real_mode_and_back},
    {NULL, NULL},
};
