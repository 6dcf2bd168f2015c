/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel in the upper half (softmmu/window.h): its memory changes under it in all the ways there are.
 *
 * The image is linked low; run_there() runs a function at its alias in the upper half, on an alias of the stack.
 */
#include "tests/guest/window-common.h"

typedef struct {
    u64 pdpt[512], pd[512], pt[512];
} Tables;

static u64 high_pdpt[512] PAGE_ALIGNED, high_pd[512] PAGE_ALIGNED, other_pml4[512] PAGE_ALIGNED;
static Tables tables PAGE_ALIGNED, more_tables PAGE_ALIGNED;

#define HIGH_TEST(name) TEST_WITH_PAGES(static, name)

static void map_into(Tables *t, unsigned slot, u64 *pml4)
{
    memset(t, 0, sizeof *t);
    t->pdpt[0] = (u64)t->pd | P | W | U;
    t->pd[0] = (u64)t->pt | P | W | U;
    pml4[slot] = (u64)t->pdpt | P | W | U;
}

void run_there(void (*f)(void))
{
    high_call(f);
}

word page_entry(unsigned i)
{
    return tables.pt[i];
}

void set_page(unsigned i, word entry)
{
    tables.pt[i] = entry;
}

void clear_page_bits(unsigned i, word bits)
{
    tables.pt[i] &= ~bits;
}

word users_address(u8 *page)
{
    return (word)page;            /* a low one */
}

static u64 rip_now(void)
{
    u64 v;
    __asm__ volatile("leaq 0(%%rip), %0" : "=r"(v));
    return v;
}

void enter_as_boot_cpu(void)
{
    high_enter();
}

static void say_where(void)
{
    EXPECT(rip_now() > HIGH);
}

static void the_kernel_moves_up(void)
{
    high_map(high_pdpt, high_pd);
    map_into(&tables, SLOT, boot_pml4);
    enter_as_boot_cpu();
    run_there(say_where);
}

/* -- Pages change ------------------------------------------------------------------------------- */

HIGH_TEST(remapped_pages_are_seen_after_invpcid_of_all)
{
    struct {
        u64 pcid, lin;
    } desc = {0, 0};

    if (!cpu_has(7, 0, 1, 10)) {
        test_skip("no INVPCID");
        return;
    }
    for (unsigned i = 0; i < TURNS; i++) {
        turn(i);
        __asm__ volatile("invpcid %0, %1" : : "m"(desc), "r"(2ul) : "memory");
        EXPECT_EQ(load(TEST), mark_of(i));
    }
}

/* 2 MiB at a physical address that nobody else uses, and one page elsewhere. */
enum { LARGE = 1 << 21, SPLIT_TURNS = 6 };

HIGH_TEST(one_address_of_a_large_page_that_was_split)
{
    const u64 base = TEST + LARGE;

    for (unsigned n = 0; n < SPLIT_TURNS; n++) {
        unsigned odd = (n * 97 + 3) % 512;
        tables.pd[1] = LARGE_AT | KERNEL | PS;
        invlpg(base);
        for (unsigned i = 0; i < 512; i++) {
            store(base + i * PAGE, i);
            EXPECT_EQ(load(base + i * PAGE), i);
        }
        for (unsigned i = 0; i < 512; i++) {
            more_tables.pt[i] = (LARGE_AT + i * PAGE) | KERNEL;
        }
        more_tables.pt[odd] = (u64)page_b | KERNEL;
        tables.pd[1] = (u64)more_tables.pt | P | W;
        *word_of(page_b, 8) = 0;
        invlpg(base + odd * PAGE + 8);
        EXPECT_EQ(load(base + odd * PAGE), 0xbbbb);
        for (unsigned i = 0; i < 512; i++) {
            EXPECT_EQ(load(base + i * PAGE), i == odd ? 0xbbbb : i);
            add(base + i * PAGE + 8, 1);
        }
        EXPECT_EQ(*word_of(page_b, 8), 1);
        EXPECT_EQ(*(volatile u64 *)(LARGE_AT + (u64)odd * PAGE), odd); /* still there */
        more_tables.pt[odd] = (LARGE_AT + odd * PAGE) | KERNEL;
        invlpg(base + odd * PAGE);
        EXPECT_EQ(load(base + odd * PAGE), odd);
    }
    tables.pd[1] = 0;
    invlpg(base);
    EXPECT_TRAP(TRY(load(base)), VECTOR_PF, 0);
}

HIGH_TEST(pages_that_are_not_global_change_with_cr3)
{
    u64 cr3 = read_cr3();

    memcpy(other_pml4, boot_pml4, sizeof other_pml4);
    map_into(&more_tables, SLOT_MORE, other_pml4);
    more_tables.pt[0] = (u64)page_b | P | W;
    boot_pml4[SLOT_MORE] = (u64)tables.pdpt | P | W; /* the same address, page_a */
    tables.pt[0] = (u64)page_a | P | W;
    invlpg(TEST);
    for (unsigned i = 0; i < TURNS; i++) {
        write_cr3((u64)other_pml4);
        EXPECT_EQ(load(SLOT_BASE(SLOT_MORE)), 0xbbbb);
        store(SLOT_BASE(SLOT_MORE) + 8, i);
        write_cr3(cr3);
        EXPECT_EQ(load(SLOT_BASE(SLOT_MORE)), 0xaaaa);
        store(SLOT_BASE(SLOT_MORE) + 8, ~(u64)i);
        EXPECT_EQ(*word_of(page_b, 8), i);
        EXPECT_EQ(*word_of(page_a, 8), ~(u64)i);
    }
    boot_pml4[SLOT_MORE] = 0;
    write_cr3(cr3);
}

/* Global pages in a part of the root table that differs: with a flush of everything each time. */
HIGH_TEST(root_tables_that_differ_are_told_apart)
{
    u64 cr3 = read_cr3();

    memcpy(other_pml4, boot_pml4, sizeof other_pml4);
    boot_pml4[SLOT_DIFFER] = (u64)tables.pdpt | P | W;
    map_into(&more_tables, SLOT_DIFFER, other_pml4);
    more_tables.pt[0] = (u64)page_b | KERNEL;
    for (unsigned i = 0; i < TURNS; i++) {
        write_cr3(i & 1 ? (u64)other_pml4 : cr3);
        toggle_pge();
        EXPECT_EQ(load(SLOT_BASE(SLOT_DIFFER)), mark_of(i));
        store(SLOT_BASE(SLOT_DIFFER) + 8, i);
        EXPECT_EQ(*word_of(i & 1 ? page_b : page_a, 8), i);
    }
    boot_pml4[SLOT_DIFFER] = 0;
    write_cr3(cr3);
    toggle_pge();
}

/* As with page-table isolation: what is flushed while the tables in use have not the page must be seen by those that have. */
HIGH_TEST(flushes_by_tables_that_lack_a_part_count)
{
    u64 cr3 = read_cr3(), sum = 0;

    memcpy(other_pml4, boot_pml4, sizeof other_pml4);
    other_pml4[SLOT] = 0;
    for (unsigned i = 0; i < TURNS; i++) {
        store(TEST + 8, ~(u64)i);
        write_cr3((u64)other_pml4);
        turn(i);
        if (i % 3 == 0) {
            invlpg(TEST);
        } else {
            toggle_pge();
        }
        for (unsigned n = 0; i % 4 == 0 && n < 300; n++) { /* long enough to be taken at its word */
            write_cr3(read_cr3());
            sum += n;
        }
        write_cr3(cr3);
        EXPECT_EQ(load(TEST), mark_of(i));
        store(TEST + 8, i);
        EXPECT_EQ(*word_of(i & 1 ? page_b : page_a, 8), i);
    }
    EXPECT_EQ(sum, TURNS / 4 * (299 * 300 / 2));
    write_cr3((u64)other_pml4);
    invlpg(TEST);
    EXPECT_TRAP(TRY(load(TEST)), VECTOR_PF, 0);
    write_cr3(cr3);
}

/* Faster than any kernel should: the region is given up (windows-regions.h), serves as before, and is tried again.  Beside it is
 * one that stays as it is. */
HIGH_TEST(pages_that_come_and_go_all_the_time)
{
    const u64 calm = TEST + 2 * LARGE;
    u64 sum = 0;

    for (unsigned i = 0; i < 512; i++) {
        more_tables.pt[i] = (LARGE_AT + i * PAGE) | KERNEL;
    }
    tables.pd[2] = (u64)more_tables.pt | P | W;
    for (unsigned n = 0; n < 4; n++) {
        for (unsigned i = 0; i < 20 * TURNS; i++) {
            u8 *page = turn(i);
            invlpg(TEST);
            EXPECT_EQ(load(TEST), mark_of(i));
            store(TEST + 8, i);
            EXPECT_EQ(*word_of(page, 8), i);
            store(calm + (i % 512) * PAGE, i);
            sum += load(calm + (i % 512) * PAGE);
        }
        for (u64 begin = rdtsc(); rdtsc() - begin < 100000000;) { /* a term, when it is short */
            EXPECT_TRAP(TRY(__asm__ volatile("ud2")), VECTOR_UD, 0);
        }
    }
    EXPECT_EQ(sum, 4ull * (20 * TURNS) * (20 * TURNS - 1) / 2);
    tables.pd[2] = 0;
    invlpg(calm);
}

/* -- Odd addresses ---------------------------------------------------------------------------------- */

/* Not those that lead, by chance, to where the monitor's own mappings lie: from 1 TiB on. */
HIGH_TEST(low_addresses_are_the_users_half)
{
    for (unsigned i = 0; i < TURNS; i++) {
        store((u64)page_a + 8, i);
        EXPECT_EQ(load((u64)page_a + 8), i);
        EXPECT_EQ(load(TEST + 8), i);
        EXPECT_TRAP(TRY(load(0x1800000010ull)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, 0x1800000010ull);
        EXPECT_TRAP(TRY(store(0x7ffffffff000ull, 1)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, 0x7ffffffff000ull);
    }
}

HIGH_TEST(null_is_nobodys)
{
    extern u64 boot_pd[];
    u64 *pde = &boot_pd[0], old = *pde;

    for (unsigned i = 0; i < 512; i++) {
        more_tables.pt[i] = i == 0 ? 0 : (u64)i * PAGE | P | W;
    }
    *pde = (u64)more_tables.pt | P | W;
    invlpg(0);
    for (unsigned i = 0; i < TURNS; i++) {
        EXPECT_TRAP(TRY(load(8)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, 8);
        EXPECT_TRAP(TRY(store(0, 8)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, 0);
    }
    *pde = old;
    invlpg(0);
}

HIGH_TEST(addresses_that_are_not_canonical_are_protected)
{
    static const u64 odd[] = {0x0000800000000000, 0xffff7ffffffffff8, 0x8000000000000000, 0x7fffffffffffff00,
                              0x0001000000000000, 0xfffe800000000000, 0xefff888000000000};

    for (unsigned i = 0; i < TURNS * ARRAY_LEN(odd); i++) {
        u64 at = odd[i % ARRAY_LEN(odd)];
        EXPECT_TRAP(TRY(load(at)), VECTOR_GP, 0);
        EXPECT_TRAP(TRY(store(at, 1)), VECTOR_GP, 0);
        EXPECT_TRAP(TRY(__asm__ volatile("xchgq %0, %%rbp; movq (%%rbp), %%rax; xchgq %0, %%rbp"
                                         : : "r"(at) : "rax", "memory")), VECTOR_SS, 0);
    }
}

/* Pushes until the stack ends; the page fault finds no place for its frame. */
INLINE void overflow(u64 top)
{
    __asm__ volatile("movq %0, %%rsp; 1: pushq %%rax; jmp 1b" : : "r"(top) : "memory");
}

HIGH_TEST(a_stack_that_ends_is_a_double_fault)
{
    tables.pt[1] = (u64)page_b | KERNEL;
    tables.pt[0] = 0;
    invlpg(TEST);
    idt_set(VECTOR_DF, idt_default_handler(VECTOR_DF), SEL_KCODE, GATE_INT, 0, 1);
    for (unsigned i = 0; i < FAULT_TURNS; i++) {
        EXPECT_TRAP(TRY(overflow(TEST + 2 * PAGE)), VECTOR_DF, 0);
        EXPECT_EQ(trap.cr2 & ~0xfffull, TEST);
        EXPECT_EQ(trap.frame.sp, TEST + PAGE);
    }
    idt_restore(VECTOR_DF);
}

/* A stack in the window, in hot code. */
static u64 deep(u64 n)
{
    return n == 0 ? 0 : n + deep(n - 1);
}

HIGH_TEST(stacks_in_the_window_grow_and_shrink)
{
    u64 n = 0;

    for (unsigned i = 0; i < 8; i++) {
        tables.pt[i] = (LARGE_AT + i * PAGE) | KERNEL;
        invlpg(TEST + i * PAGE);
    }
    for (unsigned i = 0; i < 20; i++) {
        u64 in_out = 400;
        __asm__ volatile("movq %%rsp, %%r12; movq %1, %%rsp; call *%2; movq %%r12, %%rsp; movq %%rax, %0"
                         : "+D"(in_out) : "r"(TEST + 8 * PAGE), "r"((u64)deep + HIGH)
                         : "r12", "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
        n += in_out;
    }
    EXPECT_EQ(n, 20ul * 400 * 401 / 2);
    for (unsigned i = 1; i < 8; i++) {
        tables.pt[i] = 0;
        invlpg(TEST + i * PAGE);
    }
}

/* -- Vector registers ------------------------------------------------------------------------------- */

enum { WIDEST = 64, VECTORS = 32 };
static u8 vectors[VECTORS * WIDEST] __attribute__((aligned(WIDEST))), seen[VECTORS * WIDEST] __attribute__((aligned(WIDEST)));
static unsigned vector_len, n_vectors;

/* AVX-512 where it is, or AVX, or SSE; on. */
static void vectors_on(void)
{
    const bool xsave = cpu_has(1, 0, 2, 26);
    const u32 xcr0 = xsave && cpu_has(7, 0, 1, 16) ? 0xe7 : 7;

    vector_len = xsave && xcr0 != 7 ? 64 : xsave && cpu_has(1, 0, 2, 28) ? 32 : 16;
    n_vectors = vector_len == 64 ? 32 : 16;
    write_cr0((read_cr0() | CR0_MP | CR0_NE) & ~(word)(CR0_EM | CR0_TS));
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | (vector_len > 16 ? CR4_OSXSAVE : 0));
    if (vector_len > 16) {
        __asm__ volatile("xsetbv" : : "c"(0), "a"(xcr0), "d"(0));
    }
}

#define ALL_16 "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"
#define ALL_32 ALL_16 ",16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"
#define EACH(list, insn) ".irp n," list "\n\t" insn "\n\t.endr"

static void load_vectors(const u8 *from)
{
    if (vector_len == 64) {
        __asm__ volatile(EACH(ALL_32, "vmovdqu64 64*\\n(%0), %%zmm\\n") : : "r"(from) : "memory");
    } else if (vector_len == 32) {
        __asm__ volatile(EACH(ALL_16, "vmovdqu 32*\\n(%0), %%ymm\\n") : : "r"(from) : "memory");
    } else {
        __asm__ volatile(EACH(ALL_16, "movups 16*\\n(%0), %%xmm\\n") : : "r"(from) : "memory");
    }
}

static void store_vectors(u8 *to)
{
    if (vector_len == 64) {
        __asm__ volatile(EACH(ALL_32, "vmovdqu64 %%zmm\\n, 64*\\n(%0)") : : "r"(to) : "memory");
    } else if (vector_len == 32) {
        __asm__ volatile(EACH(ALL_16, "vmovdqu %%ymm\\n, 32*\\n(%0)") : : "r"(to) : "memory");
    } else {
        __asm__ volatile(EACH(ALL_16, "movups %%xmm\\n, 16*\\n(%0)") : : "r"(to) : "memory");
    }
}

/* The first of them from one place to another. */
static void move_by_vector(u64 from, u64 to)
{
    if (vector_len == 64) {
        __asm__ volatile("vmovdqu64 (%0), %%zmm0; vmovdqu64 %%zmm0, (%1)" : : "r"(from), "r"(to) : "memory");
    } else if (vector_len == 32) {
        __asm__ volatile("vmovdqu (%0), %%ymm0; vmovdqu %%ymm0, (%1)" : : "r"(from), "r"(to) : "memory");
    } else {
        __asm__ volatile("movups (%0), %%xmm0; movups %%xmm0, (%1)" : : "r"(from), "r"(to) : "memory");
    }
}

/* Live while pages come by faults of the host and of the guest, in the middle of accesses, instructions turn guilty and string
 * instructions stop. */
HIGH_TEST(vector_registers_live_through_faults)
{
    vectors_on();
    for (unsigned i = 0; i < sizeof vectors; i++) {
        vectors[i] = (u8)(i * 167 + (i >> 8));
    }
    load_vectors(vectors);
    for (unsigned i = 0; i < TURNS; i++) {
        const u64 split = PAGE - 1 - i % vector_len;
        u8 *page = turn(i), *other = i & 1 ? page_a : page_b;
        set_page(1, (word)other | KERNEL);
        invlpg(TEST);
        invlpg(TEST + PAGE);
        if (i % 3 == 0) {
            EXPECT_EQ(load(TEST), mark_of(i));
        }
        for (unsigned k = 0; k < vector_len; k++) {
            *(volatile u8 *)(split + k < PAGE ? page + split + k : other + (split + k - PAGE)) = (u8)(i + k);
        }
        move_by_vector(TEST + split, TEST + 0x400);
        for (unsigned k = 0; k < vector_len; k++) {
            EXPECT_EQ(*(volatile u8 *)(page + 0x400 + k), (u8)(i + k));
        }
        *word_of(page_a, 0) = 0xaaaa;      /* splits have written over them */
        *word_of(page_b, 0) = 0xbbbb;
        if (i % 20 == 0) {
            set_page(1, 0);
            invlpg(TEST + PAGE);
            EXPECT_TRAP(TRY(move_by_vector(TEST + split, TEST + 0x400)), VECTOR_PF, 0);
            EXPECT_EQ(trap.cr2, TEST + PAGE);
            EXPECT_TRAP(TRY(__asm__ volatile("rep movsb" : : "S"(TEST), "D"(TEST + 0xf00), "c"(0x200) : "memory")),
                        VECTOR_PF, W);
        }
        store((u64)page_b + 0x600, i);     /* a user's address: guilty */
        add(TEST + 0x608, 1);
    }
    store_vectors(seen);
    for (unsigned i = vector_len; i < n_vectors * vector_len; i++) {
        EXPECT_EQ(seen[i], vectors[i]);
    }
    set_page(1, 0);
    invlpg(TEST + PAGE);
}

/* -- Two CPUs ----------------------------------------------------------------------------------------- */

static Tables ap_tables PAGE_ALIGNED;
static u64 ap_pml4[512] PAGE_ALIGNED;
/* With root tables of its own. */
static void job_count(void)
{
    word cr3 = read_cr3();

    enter_as_boot_cpu();
    write_cr3((u64)ap_pml4);
    toggle_pge();
    run_there(count_on_ap);
    write_cr3(cr3);
    toggle_pge();
}

HIGH_TEST(each_cpu_sees_its_own_root_table)
{
    NEED_AP();
    map_into(&more_tables, SLOT_OWN, boot_pml4);
    more_tables.pt[0] = (u64)page_a | KERNEL;
    memcpy(ap_pml4, boot_pml4, sizeof ap_pml4);
    map_into(&ap_tables, SLOT_OWN, ap_pml4);
    ap_tables.pt[0] = (u64)ap_page | KERNEL;
    for (unsigned i = 0; i < 5; i++) {
        count_apart(SLOT_BASE(SLOT_OWN), job_count);
    }
}

/* One CPU's pages go on where the other's are other pages: nothing of the first may spill over the slot's end. */
HIGH_TEST(runs_end_with_their_part_of_the_root_table)
{
    static u8 pair[2 * PAGE] PAGE_ALIGNED;
    static Tables last PAGE_ALIGNED;

    NEED_AP();
    counted_at = SLOT_BASE(SLOT_FIRST);
    boot_pml4[SLOT_LAST] = (u64)last.pdpt | P | W;
    last.pdpt[511] = (u64)last.pd | P | W;
    last.pd[511] = (u64)last.pt | P | W;
    last.pt[511] = (u64)pair | KERNEL | A | D;
    map_into(&more_tables, SLOT_FIRST, boot_pml4);
    more_tables.pt[0] = ((u64)pair + PAGE) | KERNEL | A | D;
    memcpy(ap_pml4, boot_pml4, sizeof ap_pml4);
    map_into(&ap_tables, SLOT_FIRST, ap_pml4);
    ap_tables.pt[0] = (u64)ap_page | KERNEL;
    *word_of(ap_page, 0) = 0xcccc;
    *word_of(ap_page, 8) = 0;
    ap_ready = ap_go = 0;
    ap_run(job_count);
    EXPECT(wait_for(&ap_ready, 1)); /* it has flushed and looked */
    for (unsigned i = 0; i < 10; i++) {
        store(SLOT_BASE(SLOT_FIRST) - 8, i);
    }
    ap_go = 1;
    EXPECT(ap_wait());
    EXPECT_EQ(ap_wrong, 0);
    EXPECT_EQ(*word_of(ap_page, 8), 20000);
    EXPECT_EQ(*word_of(pair + PAGE, 8), 0);
}

static volatile word ap_parted, turns_after;
static volatile u64 ap_turns;

static void share_then_part_on_ap(void)
{
    u64 wrong = 0, n = 0;

    for (unsigned i = 0; i < 200; i++) {
        wrong += load(counted_at) != 0xaaaa;
    }
    ap_pml4[SLOT_SHARED] = (u64)ap_tables.pdpt | P | W;
    invlpg(counted_at);
    for (; turns_after < 1000; n++) {
        wrong += load(counted_at) != 0xcccc;
        add(counted_at + 8, 1);
        ap_parted = 1;
    }
    ap_turns = n;
    ap_wrong = wrong;
}

static void job_share_then_part(void)
{
    word cr3 = read_cr3();

    enter_as_boot_cpu();
    write_cr3((u64)ap_pml4);
    toggle_pge();
    run_there(share_then_part_on_ap);
    write_cr3(cr3);
    toggle_pge();
}

/* A root table changes where it is loaded, and the one page in it is flushed. */
HIGH_TEST(root_tables_part_while_they_are_loaded)
{
    u64 wrong = 0;

    NEED_AP();
    counted_at = SLOT_BASE(SLOT_SHARED);
    map_into(&more_tables, SLOT_SHARED, boot_pml4);
    more_tables.pt[0] = (u64)page_a | KERNEL;
    memcpy(ap_pml4, boot_pml4, sizeof ap_pml4);
    map_into(&ap_tables, SLOT_SHARED, other_pml4); /* ap_pml4 gets it later */
    ap_tables.pt[0] = (u64)ap_page | KERNEL;
    *word_of(ap_page, 0) = 0xcccc;
    *word_of(ap_page, 8) = *word_of(page_a, 8) = 0;
    ap_parted = turns_after = 0;
    for (unsigned i = 0; i < 10; i++) {
        wrong += load(counted_at) != 0xaaaa;
    }
    ap_run(job_share_then_part);
    EXPECT(wait_for(&ap_parted, 1));
    for (; turns_after < 1000; turns_after++) {
        wrong += load(counted_at) != 0xaaaa;
        add(counted_at + 8, 1);
    }
    EXPECT(ap_wait());
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(ap_wrong, 0);
    EXPECT_EQ(*word_of(page_a, 8), 1000);
    EXPECT_EQ(*word_of(ap_page, 8), ap_turns);
}

/* -- Probes, last: behind them the window is not used any more ------------------------------------------------- */

/* Users' addresses lead where libraries and large mappings of the monitor are, for the first access of each
 * instruction: so it is another one each time.  They are not mapped here, and nothing but faults comes. */
HIGH_TEST(a_scan_of_the_users_half_finds_nothing)
{
    static const u8 body[] = {0x48, 0x8b, 0x07, 0xc3}; /* mov (%rdi), %rax; ret */
    u8 *code = (u8 *)0x2000000;
    u64 read = 0, faults = 0;

    if (!cmdline_says("scan-users")) {
        test_skip("not asked for");
        return;
    }
    for (u64 i = 0; i < 16384; i++) {
        memcpy(code + i * 16, body, sizeof body);
    }
    for (u64 i = 8; i < 15360; i++) {
        u64 (*load_here)(u64 at) = (u64 (*)(u64))(HIGH + (u64)code + i * 16);
        if (TRY(load_here(i << 29)) == -1) {
            read++;
        } else {
            faults += trap.vector == VECTOR_PF && trap.cr2 == i << 29;
        }
    }
    EXPECT_EQ(read, 0);
    EXPECT_EQ(faults, 15360 - 8);
}

/* Where the window leads to the program's own memory (window.h: 16 GiB somewhere in 3.5 TiB of the upper half, which
 * this guest has not mapped), step by step: faults, and nothing but faults. */
HIGH_TEST(a_scan_for_the_monitors_memory_finds_nothing)
{
    const u64 tib = 1ull << 40, from = 0xffff800000000000 + 4 * tib;

    if (cmdline_says("no-probes")) {
        test_skip("as told");
        return;
    }
    for (u64 at = from; at < from + 4 * tib; at += 32 << 20) {
        EXPECT_TRAP(TRY(load(at)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, at);
    }
}

HIGH_TEST(probes_of_what_is_not_mapped_fault_always)
{
    u64 x = 88172645463325252ull;

    if (cmdline_says("no-probes")) {
        test_skip("as told");
        return;
    }
    for (unsigned i = 0; i < 1500; i++) {
        u64 at;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        at = SLOT_BASE(320 + x % 180) | (x >> 16 & 0x7fffffff000) | (x >> 8 & 0xff8);
        EXPECT_TRAP(TRY(load(at)), VECTOR_PF, 0);
        EXPECT_EQ(trap.cr2, at);
        EXPECT_TRAP(TRY(store(at, x)), VECTOR_PF, W);
        EXPECT_EQ(trap.cr2, at);
        EXPECT_EQ(load(TEST), 0xaaaa);
        store(TEST + 8, i);
        EXPECT_EQ(*word_of(page_a, 8), i);
    }
}

#define ROW(name) {#name, name},

const GuestTest guest_tests[] = {
    ROW(the_kernel_moves_up)
    WINDOW_TESTS(ROW)
    ROW(remapped_pages_are_seen_after_invpcid_of_all)
    ROW(one_address_of_a_large_page_that_was_split)
    ROW(pages_that_are_not_global_change_with_cr3)
    ROW(root_tables_that_differ_are_told_apart)
    ROW(flushes_by_tables_that_lack_a_part_count)
    ROW(low_addresses_are_the_users_half)
    ROW(null_is_nobodys)
    ROW(addresses_that_are_not_canonical_are_protected)
    ROW(a_stack_that_ends_is_a_double_fault)
    ROW(stacks_in_the_window_grow_and_shrink)
    ROW(pages_that_come_and_go_all_the_time)
    ROW(vector_registers_live_through_faults)
    ROW(the_second_cpu_starts)
    WINDOW_SMP_TESTS(ROW)
    ROW(root_tables_part_while_they_are_loaded)
    ROW(each_cpu_sees_its_own_root_table)
    ROW(runs_end_with_their_part_of_the_root_table)
    ROW(a_scan_of_the_users_half_finds_nothing)
    ROW(a_scan_for_the_monitors_memory_finds_nothing)
    ROW(probes_of_what_is_not_mapped_fault_always)
    {NULL, NULL},
};
