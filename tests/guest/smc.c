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

static void put_bytes(u8 *p, const void *from, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        ((volatile u8 *)p)[i] = ((const u8 *)from)[i];
    }
}

/* Constants of all kinds are rewritten, until a translator reads them from there; and the code around them once
 * more, later. */
static void constants_in_code_change_again_and_again(void)
{
    u8 *p = code_pages + 3072;
    u8 blob[] = {
        0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,       /* 0: mov $A, %rax      */
        0x48, 0x05, 0, 0, 0, 0,                   /* 10: add $B, %rax     */
        0x48, 0x83, 0xe8, 0,                      /* 16: sub $C, %rax     */
        0x48, 0xc7, 0xc1, 0, 0, 0, 0,             /* 20: mov $D, %rcx     */
        0xf9,                                     /* stc                  */
        0x81, 0xd1, 0, 0, 0, 0,                   /* 28: adc $E, %ecx     */
        0x48, 0x31, 0xc8,                         /* xor %rcx, %rax       */
        0xc3,
    };

    put_bytes(p, blob, sizeof blob);
    for (u64 i = 0; i < 2000; i++) {
        u64 a = i * 0x9e3779b97f4a7c15, want = a;
        int b = (int)(a >> 7), d = (int)(a >> 21), e = (int)(a >> 11);
        signed char c = (signed char)(a >> 33);
        bool other = i % 500 == 499;              /* or instead of xor, for once */

        *(volatile u64 *)(p + 2) = a;
        *(volatile int *)(p + 12) = b;
        *(volatile signed char *)(p + 19) = c;
        *(volatile int *)(p + 23) = d;
        *(volatile int *)(p + 30) = e;
        *(volatile u8 *)(p + 35) = other ? 0x09 : 0x31;
        want = want + (u64)(long)b - (u64)(long)c;
        u64 count = (u32)((u32)d + (u32)e + 1);
        EXPECT_EQ(((Code)p)(), other ? want | count : want ^ count);
    }
}

/* Code that comes back, on a page where other code stays and data changes. */
static void old_code_comes_back(void)
{
    volatile u32 *data = (volatile u32 *)(code_pages + 4096 + 2048);
    u8 *p = code_pages + 4096;

    put_code(p + 512, 77);
    for (u32 i = 0; i < 3000; i++) {
        put_code(p, i % 3);
        *(volatile u8 *)p = 0xc3;                 /* no function at all, then it is one again */
        if (i % 7 == 0) {
            ((Code)p)();
        }
        *(volatile u8 *)p = 0xb8;
        EXPECT_EQ(((Code)p)(), i % 3);
        EXPECT_EQ(((Code)(p + 512))(), 77);
        if (i % 5 == 0) {
            ++*data;
        }
    }
}

/* What flags a block has to keep, the next one says, which changes. */
static void the_next_block_wants_other_flags(void)
{
    static const u8 blob[] = {
        0xf9,                     /* stc             */
        0x48, 0x8b, 0x06,         /* mov (%rsi), %rax */
        0xeb, 0x10,               /* jmp 1f          */
    };
    u8 *p = code_pages + 2 * 4096;
    word v;

    put_bytes(p, blob, sizeof blob);
    p[24] = 0x90;
    for (u32 i = 0; i < 1000; i++) {
        bool reads = i % 3 == 2;
        const u8 next[] = {reads ? 0x19 : 0x31, 0xc0, 0xc3}; /* 1: sbb or xor %eax, %eax; ret */
        if (i % 50 == 0) {
            put_bytes(p + 25, (const u8[]){0xc3}, 1);
        }
        put_bytes(p + 22, next, sizeof next);
        __asm__ volatile("call *%1" : "=a"(v) : "r"(p), "S"(second) : "memory", "cc");
        EXPECT_EQ(v, reads ? 0xffffffff : 0);
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
    {"constants_in_code_change_again_and_again", constants_in_code_change_again_and_again},
    {"old_code_comes_back", old_code_comes_back},
    {"the_next_block_wants_other_flags", the_next_block_wants_other_flags},
    {"the_instruction_that_overwrites_itself_finishes_first",
     the_instruction_that_overwrites_itself_finishes_first},
    {NULL, NULL},
};
