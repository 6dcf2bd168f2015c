/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * share64.c for 32-bit user code, which finds out where it is by calls alone: one program at several linear addresses, by turns
 * and each time often enough to be translated.
 */
#include "tests/guest/lib.h"

extern u32 boot_pd[1024];
extern u8 prog[], prog_second[], prog_third[], prog_other[], after_near[], after_far[], after_third[], raises[], raise_ud[];

/*
 * Page 1: the loop; its last instruction lies across the page's end.  Page 2, which is there twice (`other` adds another number,
 * and has another end of that instruction): falls through exactly at its end into page 3, which closes the loop.
 */
__asm__(".pushsection .text\n"
        ".macro SECOND name, bytes, number\n"
        "        .balign 4096\n"
        "\\name: .byte \\bytes\n"                /* ... of movl $imm, %edi */
        "        call 8f\n"
        "        jmp 9f\n"
        "8:      addl $\\number, %ebx\n"
        "        ret\n"
        "        .org \\name + 0x800\n"
        "        movl (%esp), %edx\n"            /* flags stay */
        "        ret\n"
        "        .org \\name + 4096 - 1\n"
        "9:      incl %ebx\n"
        ".endm\n"
        ".balign 4096\n"
        "prog:   movl %edi, %ecx\n"
        "        xorl %ebx, %ebx\n"
        "        xorl %ebp, %ebp\n"
        "loop_start:\n"
        "        call near_by\n"
        "after_near:\n"
        "        movl %eax, %esi\n"
        "        addl $third_call - after_near, %eax\n"
        "        stc\n"
        "        call prog_second + 0x800\n"
        "after_far:\n"
        "        adcl $0, %ebp\n"
        "        call *%eax\n"
        "after_third:\n"
        "        leal 0x1234, %edi\n"            /* absolute: the same everywhere */
        "        addl %edi, %ebp\n"
        "        testl $1, %ecx\n"
        "        jnz third_odd\n"                /* page 3, back here or not */
        "back:   jmp 2f\n"
        "near_by:\n"
        "        movl (%esp), %eax\n"
        "        ret\n"
        "raises: movl $50, %ecx\n"
        "3:      call near_by\n"
        "4:      addl $5f - 4b, %eax\n"
        "        jmp *%eax\n"
        "5:      decl %ecx\n"
        "        jnz 3b\n"
        "raise_ud:\n"
        "        ud2\n"
        "        .org prog + 4096 - 3\n"
        "2:      .byte 0xbf, 0x11, 0x22\n"       /* movl $0x....2211, %edi */
        "SECOND  prog_second, \"0x33,0x44\", 1\n"
        ".balign 4096\n"
        "prog_third:\n"
        "        decl %ecx\n"
        "        jnz loop_start\n"
        "        int $0x80\n"
        "third_odd:\n"
        "        addl $7, %ebp\n"
        "        jmp back\n"
        "third_call:\n"
        "        movl (%esp), %eax\n"
        "        ret\n"
        "SECOND  prog_other, \"0x66,0x77\", 1000\n"
        ".balign 4096\n"
        ".popsection\n");

/* -- Where it lies ------------------------------------------------------------------------------------ */

enum { ALL = 7, PAGES = 3, PLACES = 6 };
#define ONE_GIB 0x40000000u

typedef struct {
    word base;
    bool other;                /* with the other second page                   */
    bool low;                  /* mapped without map_place()                   */
} Place;

/* `pt` serves several 4 MiB; the others are on both sides of 1 GiB. */
static u32 pt[1024] PAGE_ALIGNED, pt_below[1024] PAGE_ALIGNED, pt_above[1024] PAGE_ALIGNED;

static Place place(unsigned n)
{
    switch (n % PLACES) {
    case 0: return (Place){0x80030000, false, false};
    case 1: return (Place){USER(prog), false, true};
    case 2: return (Place){0xd0061000, true, false};
    case 3: return (Place){0x20030000, false, false}; /* below what is shared */
    case 4: return (Place){ONE_GIB - 0x1000, false, true};
    default: return (Place){0xd03f0000, false, false};
    }
}

static void map_place(const Place *p)
{
    u32 *entry = &pt[p->base >> 12 & 1023];

    entry[0] = (u32)prog | ALL;
    entry[1] = (u32)(p->other ? prog_other : prog_second) | ALL;
    entry[2] = (u32)prog_third | ALL;
    for (unsigned i = 0; i < PAGES; i++) {
        invlpg(p->base + i * 0x1000);
    }
}

static void unmap_place(const Place *p)
{
    for (unsigned i = 0; i < PAGES; i++) {
        pt[(p->base >> 12 & 1023) + i] = 0;
        invlpg(p->base + i * 0x1000);
    }
}

static void map_places(void)
{
    boot_pd[0x80000000u >> 22] = boot_pd[0xd0000000u >> 22] = boot_pd[0x20000000u >> 22] = (u32)pt | ALL;
    boot_pd[(ONE_GIB >> 22) - 1] = (u32)pt_below | ALL;
    pt_below[1023] = (u32)prog | ALL;
    for (unsigned i = 0; i < 1024; i++) {
        pt_above[i] = i << 12 | ALL;
    }
    pt_above[0] = (u32)prog_second | ALL;
    pt_above[1] = (u32)prog_third | ALL;
    boot_pd[ONE_GIB >> 22] = (u32)pt_above | ALL;
    write_cr3(read_cr3());
    for (unsigned n = 0; n < PLACES; n++) {
        Place p = place(n);

        if (!p.low) {
            map_place(&p);
        }
    }
}

static word at_place(const Place *p, const u8 *symbol)
{
    return p->base + (word)(symbol - prog);
}

/* -- What is true there --------------------------------------------------------------------------------- */

static void run_at(const Place *p, unsigned times)
{
    EXPECT_EQ(TRY(enter_user(at_place(p, prog), times, FLAG_IF)), VECTOR_USER_EXIT);
    EXPECT_EQ(trap.frame.bx, times * (p->other ? 1001 : 2));
    EXPECT_EQ(trap.frame.bp, times * (1 + 0x1234) + (times + 1) / 2 * 7);
    EXPECT_EQ(trap.frame.si, at_place(p, after_near));
    EXPECT_EQ(trap.frame.dx, at_place(p, after_far));
    EXPECT_EQ(trap.frame.ax, at_place(p, after_third));
    EXPECT_EQ(trap.frame.di, p->other ? 0x77662211 : 0x44332211);
}

static void a_program_finds_out_where_it_is(void)
{
    map_places();
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
    }
}

/* Another page at an address that is executed meanwhile; and the page of the code moves. */
static void what_is_mapped_anew_is_executed(void)
{
    Place p = place(0);

    for (unsigned n = 0; n < 60; n++) {
        p.other = n % 2 != 0;
        map_place(&p);
        run_at(&p, 20);
    }
    for (unsigned n = 0; n < 60; n++) {
        Place moved = {0x80000000u + (0x80 + n * 5 % 17 * 8) * 0x1000, n % 3 == 0, false};

        map_place(&moved);
        run_at(&moved, 20);
        unmap_place(&moved);
        EXPECT_EQ(TRY(enter_user(at_place(&moved, prog), 1, 0)), VECTOR_PF);
    }
    p.other = false;
    map_place(&p);
}

/* Code that is written by one address is other code at all of them. */
static void what_is_written_is_executed_everywhere(void)
{
    u8 *number = prog_second + 2 + 5 + 5 + 2; /* of addl $1, %ebx */

    EXPECT_EQ(number[0], 1);
    for (unsigned n = 0; n < 60; n++) {
        Place p = place(n % 2 == 0 ? 0 : 5), q = place(3);

        *(volatile u8 *)number = 9;
        EXPECT_EQ(TRY(enter_user(at_place(&p, prog), 10, FLAG_IF)), VECTOR_USER_EXIT);
        EXPECT_EQ(trap.frame.bx, 10 * (9 + 1));
        *(volatile u8 *)number = 1;
        EXPECT_EQ(TRY(enter_user(at_place(&q, prog), 10, FLAG_IF)), VECTOR_USER_EXIT);
        EXPECT_EQ(trap.frame.bx, 10 * 2);
    }
}

const GuestTest guest_tests[] = {
    {"a_program_finds_out_where_it_is", a_program_finds_out_where_it_is},
    {"its_faults_say_where_it_is", its_faults_say_where_it_is},
    {"what_is_mapped_anew_is_executed", what_is_mapped_anew_is_executed},
    {"what_is_written_is_executed_everywhere", what_is_written_is_executed_everywhere},
    {NULL, NULL},
};
