/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that changes: by its own stores, from other pages, through aliases, by remapping. */
#include "tests/guest/lib.h"

typedef word (*Code)(void);

static u8 code_pages[3 * 4096] PAGE_ALIGNED, second[4096] PAGE_ALIGNED;

/* mov $value, %eax; ret */
static void put_code(u8 *p, u32 value)
{
    *(volatile u8 *)p = 0xb8;
    for (unsigned i = 0; i < 4; i++) {
        *(volatile u8 *)(p + 1 + i) = (u8)(value >> (8 * i));
    }
    *(volatile u8 *)(p + 5) = 0xc3;
}

static void a_store_changes_the_next_instruction(void)
{
    word v;

    for (u32 i = 0; i < 300; i++) {
        /* The store replaces the immediate of the very next instruction. */
        __asm__ volatile("movl %1, 1+1f(%%rip); 1: movl $0x11111111, %k0"
                         : "=a"(v) : "r"(0x22222222 + i) : "memory");
        EXPECT_EQ(v, 0x22222222 + i);
    }
}

static void a_store_changes_an_instruction_in_the_loop_it_is_in(void)
{
    word sum = 0;

    /* Each turn makes the ADD add one more. */
    __asm__ volatile("movl $0, %%ecx; movb $0, 3+2f(%%rip); 1: incl %%ecx; movb %%cl, 3+2f(%%rip);"
                     "2: addq $0, %0; cmpl $100, %%ecx; jb 1b"
                     : "+r"(sum) : : "rcx", "memory", "cc");
    EXPECT_EQ(sum, 5050);
}

static void rewritten_functions_run_as_written(void)
{
    for (u32 i = 0; i < 20000; i++) {
        u8 *p = code_pages + (i * 64 & 0xfc0);
        put_code(p, i);
        EXPECT_EQ(((Code)p)(), i);
    }
}

static void instructions_across_a_page_end_change_on_either_side(void)
{
    u8 *p = code_pages + 4096 - 3;

    for (u32 i = 0; i < 1000; i++) {
        put_code(p, 0x01010101 * (i & 0xff));
        EXPECT_EQ(((Code)p)(), 0x01010101 * (i & 0xff));
        *(volatile u8 *)(p + 4) = (u8)~i;   /* second page only */
        EXPECT_EQ(((Code)p)() >> 24, (u8)~i);
        *(volatile u8 *)(p + 1) = (u8)(i + 7); /* first page only */
        EXPECT_EQ((u8)((Code)p)(), (u8)(i + 7));
    }
}

static void writes_through_an_alias_count(void)
{
    u8 *alias = (u8 *)USER(code_pages);

    for (u32 i = 0; i < 1000; i++) {
        put_code(alias + 128, i);
        EXPECT_EQ(((Code)(code_pages + 128))(), i);
    }
}

static void string_and_locked_writes_count(void)
{
    write_cr0(read_cr0() & ~(word)(CR0_TS | CR0_EM));
    write_cr4(read_cr4() | CR4_OSFXSR);
    for (u32 i = 0; i < 500; i++) {
        put_code(second, i);
        memcpy(code_pages + 256, second, 6);
        EXPECT_EQ(((Code)(code_pages + 256))(), i);
        __asm__ volatile("lock incl (%0)" : : "r"(code_pages + 257) : "memory", "cc");
        EXPECT_EQ(((Code)(code_pages + 256))(), i + 1);
        __asm__ volatile("movd %0, %%xmm0; movd %%xmm0, (%1)"
                         : : "r"(i * 3), "r"(code_pages + 257) : "memory");
        EXPECT_EQ(((Code)(code_pages + 256))(), i * 3);
        __asm__ volatile("push %0; popq (%1)" : : "r"(0xc300000000ull | i), "r"(code_pages + 257)
                         : "memory");
        EXPECT_EQ(((Code)(code_pages + 256))(), i);
    }
}

extern u64 boot_pml4[512];
static u64 pdpt[512] PAGE_ALIGNED, pd[512] PAGE_ALIGNED, pt[512] PAGE_ALIGNED;
enum { SLOT = 6 };

static void remapped_pages_run_their_new_code(void)
{
    u64 va = (u64)SLOT << 39;

    boot_pml4[SLOT] = (u64)pdpt | 3;
    pdpt[0] = (u64)pd | 3;
    pd[0] = (u64)pt | 3;
    put_code(code_pages, 1);
    put_code(second, 2);
    for (unsigned i = 0; i < 200; i++) {
        pt[0] = (u64)code_pages | 3;
        invlpg(va);
        EXPECT_EQ(((Code)va)(), 1);
        pt[0] = (u64)second | 3;
        if (i & 1) {
            invlpg(va);
        } else {
            write_cr3(read_cr3());
        }
        EXPECT_EQ(((Code)va)(), 2);
    }
}

/* Data beside code in one page, written all the time. */
static void data_beside_code(void)
{
    volatile u32 *data = (volatile u32 *)(code_pages + 2048);

    put_code(code_pages + 512, 77);
    *data = 0;
    for (u32 i = 0; i < 5000; i++) {
        EXPECT_EQ(((Code)(code_pages + 512))(), 77);
        ++*data;
    }
    EXPECT_EQ(*data, 5000);
}

static void the_instruction_that_overwrites_itself_finishes_first(void)
{
    /* rep stosb over itself with NOPs: the iterations all happen, then what is there runs. */
    static const u8 blob[] = {
        0x48, 0x89, 0xf7,         /* mov %rsi, %rdi  */
        0xf3, 0xaa,               /* rep stosb       */
        0x90, 0x90, 0x90, 0x90,
        0x89, 0xc8,               /* mov %ecx, %eax  */
        0xc3,
    };
    word left = 99;

    for (unsigned i = 0; i < 50; i++) {
        memcpy(code_pages + 1024, blob, sizeof blob);
        __asm__ volatile("call *%3" : "=a"(left) : "a"(0x90), "c"(6), "r"(code_pages + 1024),
                         "S"(code_pages + 1024 + 3) : "rdi", "memory", "cc");
        EXPECT_EQ(left, 0);
        EXPECT_EQ(code_pages[1024 + 3], 0x90);
        EXPECT_EQ(code_pages[1024 + 8], 0x90);
    }
}

const GuestTest guest_tests[] = {
    {"a_store_changes_the_next_instruction", a_store_changes_the_next_instruction},
    {"a_store_changes_an_instruction_in_the_loop_it_is_in",
     a_store_changes_an_instruction_in_the_loop_it_is_in},
    {"rewritten_functions_run_as_written", rewritten_functions_run_as_written},
    {"instructions_across_a_page_end_change_on_either_side",
     instructions_across_a_page_end_change_on_either_side},
    {"writes_through_an_alias_count", writes_through_an_alias_count},
    {"string_and_locked_writes_count", string_and_locked_writes_count},
    {"remapped_pages_run_their_new_code", remapped_pages_run_their_new_code},
    {"data_beside_code", data_beside_code},
    {"the_instruction_that_overwrites_itself_finishes_first",
     the_instruction_that_overwrites_itself_finishes_first},
    {NULL, NULL},
};
