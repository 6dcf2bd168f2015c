/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One program of user code at several linear addresses, by turns and each time often enough to be translated: what it finds out about where it
 * is (addresses relative to RIP, return addresses, rcx of SYSCALL, faults) must be true each time, and where other pages lie
 * beside the same first one, those are executed.
 */
#include "tests/guest/lib.h"

#define ASM_BLOCK(text) __asm__(".pushsection .text\n" text "\n.popsection\n")

enum { MSR_STAR = 0xc0000081, MSR_LSTAR, MSR_FMASK = 0xc0000084 };

extern u64 boot_pml4[512], boot_pdpt[512], boot_pd[4 * 512];
extern u8 prog[], prog_second[], prog_third[], prog_data[], prog_other[], loop_start[], here[], after_near[], after_far[], second_here[],
    after_third[], raises[], raise_ud[], reads_nothing[], read_nothing[], calls_system[], after_system[], system_target[];
extern volatile u64 prog_cell, prog_counter, prog_store;

/*
 * Page 1: the loop; its last instruction lies across the page's end.  Page 2, which is there twice (`other` adds another number,
 * and has another end of that instruction): goes on, and falls through exactly at its end into page 3, which closes the loop.
 * Page 4: data.  `there` is what to add to an address so that the second page means what the first of them means.
 */
ASM_BLOCK(
    ".macro SECOND name, bytes, number, there\n"
    "        .balign 4096\n"
    "\\name: .byte \\bytes\n"                                  /* ... of movl $imm, %r13d */
    "        leaq second_here + \\there(%rip), %r14\n"
    "        .ifc \\name, prog_second\n second_here:\n .endif\n"
    "        call 8f\n"
    "        addq prog_cell + \\there(%rip), %rbx\n"
    "        jmp 9f\n"
    "8:      stc\n"                                            /* flags live over a return */
    "        ret\n"
    "        .org \\name + 0x800\n"                            /* far_away, of both */
    "        movq (%rsp), %r11\n"
    "        addq $\\number, %rbx\n"
    "        ret\n"
    "        .org \\name + 4096 - 3\n"
    "9:      incq %rbx\n"
    ".endm\n"
    ".balign 4096\n"
    "prog:   movq %rdi, %r12\n"
    "        xorl %ebx, %ebx\n"
    "        xorl %ebp, %ebp\n"
    "loop_start:\n"
    "        leaq here(%rip), %r8\n"
    "here:   leal here(%rip), %r9d\n"
    "        addq prog_cell(%rip), %rbx\n"
    "        incq prog_counter(%rip)\n"
    "        stc\n"
    "        leaq here(%rip), %rax\n"
    "        adcq $0, %rbx\n"
    "        stc\n"
    "        movq prog_cell(%rip), %rdx\n"
    "        adcq %rdx, %rbp\n"
    "        call near_by\n"
    "after_near:\n"
    "        call prog_second + 0x800\n"
    "after_far:\n"
    "        leaq 1f(%rip), %rax\n"
    "        jmp *%rax\n"
    "        ud2\n"
    "1:      testl $1, %r12d\n"
    "        jnz third_odd\n"                                  /* page 3, back here or not */
    "back:   leaq third_table(%rip), %rsi\n"
    "        stc\n"
    "        call *(%rsi)\n"                                   /* page 3 by a pointer that depends on where we are */
    "after_third:\n"
    "        adcq $0, %rbp\n"
    "        jmp 2f\n"
    "near_by:\n"
    "        movq (%rsp), %r10\n"
    "        ret\n"
    "raises: movl $50, %ecx\n"
    "3:      leaq 4f(%rip), %rax\n"
    "        jmp *%rax\n"
    "4:      decl %ecx\n"
    "        jnz 3b\n"
    "raise_ud:\n"
    "        ud2\n"
    "reads_nothing:\n"
    "        movl $50, %ecx\n"
    "5:      leaq 6f(%rip), %rax\n"
    "        jmp *%rax\n"
    "6:      decl %ecx\n"
    "        jnz 5b\n"
    "read_nothing:\n"
    "        movq prog + 0x8000(%rip), %rax\n"
    "calls_system:\n"
    "        movq prog_store(%rip), %r14\n"
    "        movq %rdi, %r12\n"
    "        xorl %ebx, %ebx\n"
    "7:      movq %rcx, %r8\n"
    "        syscall\n"
    "after_system:\n"
    "        leaq after_system(%rip), %rax\n"
    "        cmpq %rax, %rcx\n"
    "        jne raise_ud\n"
    "        decq %r12\n"
    "        jnz 7b\n"
    "        int $0x80\n"
    "        .org prog + 4096 - 3\n"
    "2:      .byte 0x41, 0xbd, 0x11\n"                         /* movl $0x......11, %r13d */
    "SECOND  prog_second, \"0x22,0x33,0x44\", 1, 0\n"
    ".balign 4096\n"
    "prog_third:\n"
    "        decq %r12\n"
    "        jnz loop_start\n"
    "        int $0x80\n"
    "third_odd:\n"
    "        addq $7, %rbp\n"
    "        jmp back\n"
    "third_call:\n"
    "        movq (%rsp), %r15\n"
    "        ret\n"
    ".balign 4096\n"
    "prog_data:\n"
    "prog_cell: .quad 5\n"
    "prog_counter: .quad 0\n"
    "prog_store: .quad 0\n"
    "third_table: .quad 0\n"
    ".globl third_table, third_call\n"
    "SECOND  prog_other, \"0x55,0x66,0x77\", 1000, (prog_other - prog_second)\n"
    ".balign 4096\n"
    "system_target: incq %rbx; addq %r14, %rcx; negq %r14; sysretq\n");
extern volatile u64 third_table;
extern u8 third_call[];

/* -- Where it lies ------------------------------------------------------------------------------------ */

enum { ALL = 7, PAGES = 4, UPPER = 256 };

typedef struct {
    word base;
    bool other;                /* with the other second page                   */
    bool low;                  /* of those that USER() has: nothing to be mapped */
} Place;

static u64 pdpt[512] PAGE_ALIGNED, pd[512] PAGE_ALIGNED, pt[512] PAGE_ALIGNED;
static u64 pt_below[512] PAGE_ALIGNED, pd_above[512] PAGE_ALIGNED, pt_above[512] PAGE_ALIGNED;

#define FOUR_GIB 0x100000000ul

/* All slots have the same tables below, so that places are pages of one table. */
static word place_at(unsigned slot, unsigned page)
{
    word base = (word)slot << 39 | (word)page << 12;

    return slot >= UPPER ? base | 0xffff000000000000ul : base;
}

static Place place(unsigned n)
{
    switch (n % 7) {
    case 0: return (Place){place_at(254, 0x30), false, false};
    case 1: return (Place){USER(prog), false, true};
    case 2: return (Place){place_at(1, 0x61), true, false};
    case 3: return (Place){place_at(UPPER, 0x30), false, false};
    case 4: return (Place){place_at(170, 0x61), true, false};
    case 5: return (Place){FOUR_GIB - 0x1000, false, true}; /* where addresses cease to have 32 bits */
    default: return (Place){place_at(170, 0x1fc), false, false};
    }
}

static void map_page(unsigned page, const u8 *p)
{
    pt[page] = (u64)p | ALL;
}

static void map_places(void)
{
    static const unsigned slots[] = {1, 170, 254, UPPER};

    for (unsigned i = 0; i < ARRAY_LEN(slots); i++) {
        boot_pml4[slots[i]] = (u64)pdpt | ALL;
    }
    pdpt[0] = (u64)pd | ALL;
    pd[0] = (u64)pt | ALL;
    for (unsigned n = 0; n < 7; n++) {
        Place at = place(n);
        unsigned page = at.base >> 12 & 511;

        if (!at.low) {
            map_page(page, prog);
            map_page(page + 1, at.other ? prog_other : prog_second);
            map_page(page + 2, prog_third);
            map_page(page + 3, prog_data);
        }
    }
    boot_pd[4 * 512 - 1] = (u64)pt_below | ALL;
    pt_below[511] = (u64)prog | ALL;
    boot_pdpt[4] = (u64)pd_above | ALL;
    pd_above[0] = (u64)pt_above | ALL;
    pt_above[0] = (u64)prog_second | ALL;
    pt_above[1] = (u64)prog_third | ALL;
    pt_above[2] = (u64)prog_data | ALL;
    write_cr3(read_cr3());
}

static word at_place(const Place *p, const u8 *symbol)
{
    return p->base + (word)(symbol - prog);
}

/* -- What is true there --------------------------------------------------------------------------------- */

static void run_at(const Place *p, unsigned times)
{
    u64 count = prog_counter, odd = (times + 1) / 2;

    third_table = at_place(p, third_call);
    EXPECT_EQ(TRY(enter_user(at_place(p, prog), times, FLAG_IF)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.bx, times * (5 + 1 + (p->other ? 1000 : 1) + 5 + 1));
    EXPECT_EQ(trap.frame.bp, times * (5 + 1 + 1) + odd * 7);
    EXPECT_EQ(trap.frame.r8, at_place(p, here));
    EXPECT_EQ(trap.frame.r9, (u32)at_place(p, here));
    EXPECT_EQ(trap.frame.r10, at_place(p, after_near));
    EXPECT_EQ(trap.frame.r11, at_place(p, after_far));
    EXPECT_EQ(trap.frame.r13, p->other ? 0x77665511 : 0x44332211);
    EXPECT_EQ(trap.frame.r14, at_place(p, second_here));
    EXPECT_EQ(trap.frame.r15, at_place(p, after_third));
    EXPECT_EQ(prog_counter - count, times);
}

static void a_program_finds_out_where_it_is(void)
{
    for (unsigned n = 0; n < 60; n++) {
        Place p = place(n);
        run_at(&p, 40);
    }
    for (unsigned n = 0; n < 240; n++) { /* hardly begun, elsewhere */
        Place p = place(n * 5);
        run_at(&p, 1 + n % 3);
    }
}

static void its_faults_say_where_it_is(void)
{
    for (unsigned n = 0; n < 120; n++) {
        Place p = place(n);

        EXPECT_EQ(TRY(enter_user(at_place(&p, raises), 0, FLAG_IF)), VECTOR_UD);
        EXPECT_EQ(trap.frame.ip, at_place(&p, raise_ud));
        if (!p.low) {
            EXPECT_EQ(TRY(enter_user(at_place(&p, reads_nothing), 0, FLAG_IF)), VECTOR_PF);
            EXPECT_EQ(trap.frame.ip, at_place(&p, read_nothing));
            EXPECT_EQ(trap.cr2, p.base + 0x8000);
        }
    }
}

static void its_system_calls_return_to_where_it_is(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (u64)0x18 << 48 | (u64)SEL_KCODE << 32);
    wrmsr(MSR_LSTAR, (u64)system_target);
    wrmsr(MSR_FMASK, FLAG_IF | FLAG_DF);
    for (unsigned n = 0; n < 60; n++) {
        Place p = place(n), q = place(n + n / 7);

        prog_store = q.base - p.base; /* to and fro between two places */
        EXPECT_EQ(TRY(enter_user(at_place(&p, calls_system), 30, FLAG_IF)), VECTOR_USER_EXIT);
        EXPECT_EQ(trap.frame.bx, 30);
        EXPECT_EQ(trap.frame.r8, at_place(&q, after_system));
        EXPECT_EQ(trap.frame.cx, at_place(&p, after_system));
    }
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_SCE);
}

/* Another page at an address that is executed meanwhile; and the page of the code moves. */
static void what_is_mapped_anew_is_executed(void)
{
    Place p = place(0);
    unsigned page = p.base >> 12 & 511;

    for (unsigned n = 0; n < 60; n++) {
        p.other = n % 2 != 0;
        map_page(page + 1, p.other ? prog_other : prog_second);
        invlpg(p.base + 0x1000);
        run_at(&p, 20);
    }
    for (unsigned n = 0; n < 60; n++) {
        unsigned to = 0x80 + n * 5 % 17 * 8;
        Place moved = {place_at(254, to), n % 3 == 0, false};

        map_page(to, prog);
        map_page(to + 1, moved.other ? prog_other : prog_second);
        map_page(to + 2, prog_third);
        map_page(to + 3, prog_data);
        for (unsigned i = 0; i < PAGES; i++) {
            invlpg(moved.base + i * 0x1000);
        }
        run_at(&moved, 20);
        for (unsigned i = 0; i < PAGES; i++) {
            pt[to + i] = 0;
            invlpg(moved.base + i * 0x1000);
        }
        EXPECT_EQ(TRY(enter_user(at_place(&moved, prog), 1, 0)), VECTOR_PF);
    }
    map_page(page + 1, prog_second);
    invlpg(p.base + 0x1000);
}

/* Code that is written by one address is other code at all of them. */
static void what_is_written_is_executed_everywhere(void)
{
    u8 *number = prog_second + 0x800 + 7; /* of addq $1, %rbx */

    EXPECT_EQ(number[0], 1);
    for (unsigned n = 0; n < 60; n++) {
        Place p = place(n % 2 == 0 ? 0 : 6), q = place(3);

        third_table = at_place(&p, third_call);
        *(volatile u8 *)number = 9;
        EXPECT_EQ(TRY(enter_user(at_place(&p, prog), 10, FLAG_IF)), VECTOR_USER_EXIT);
        EXPECT_EQ(trap.frame.bx, 10 * (5 + 1 + 9 + 5 + 1));
        *(volatile u8 *)number = 1;
        third_table = at_place(&q, third_call);
        EXPECT_EQ(TRY(enter_user(at_place(&q, prog), 10, FLAG_IF)), VECTOR_USER_EXIT);
        EXPECT_EQ(trap.frame.bx, 10 * (5 + 1 + 1 + 5 + 1));
    }
}

static void in_turns(void)
{
    map_places();
    a_program_finds_out_where_it_is();
}

const GuestTest guest_tests[] = {
    {"a_program_finds_out_where_it_is", in_turns},
    {"its_faults_say_where_it_is", its_faults_say_where_it_is},
    {"its_system_calls_return_to_where_it_is", its_system_calls_return_to_where_it_is},
    {"what_is_mapped_anew_is_executed", what_is_mapped_anew_is_executed},
    {"what_is_written_is_executed_everywhere", what_is_written_is_executed_everywhere},
    {NULL, NULL},
};
