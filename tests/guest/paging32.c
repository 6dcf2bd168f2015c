/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 2-level paging with and without 4 MiB pages, and PAE paging with its PDPTEs. */
#include "tests/guest/lib.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, ALL = P | W | U };
#define NX (1ull << 63)
enum { TEST_BASE = (int)0x80000000 }; /* the first GiB again, by tables of the test's own */

extern u32 boot_pd[1024];
static u32 pt[1024] PAGE_ALIGNED;
static u64 pae_pdpt[4] __attribute__((aligned(32)));
static u64 pae_pd[4][512] PAGE_ALIGNED, pae_pt[512] PAGE_ALIGNED;
static u8 target[4096] PAGE_ALIGNED;

enum { KERNEL_READ, KERNEL_WRITE, KERNEL_EXEC, USER_READ, USER_WRITE, USER_EXEC, ACCESSES };

static bool is_user(unsigned access) { return access >= USER_READ; }
static bool is_write(unsigned access) { return access == KERNEL_WRITE || access == USER_WRITE; }
static bool is_exec(unsigned access) { return access == KERNEL_EXEC || access == USER_EXEC; }

static word va(void) { return (word)TEST_BASE + (word)target; }

static void user_access(unsigned access)
{
    word ip = access == USER_READ    ? USER(user_load)
              : access == USER_WRITE ? USER(user_store)
                                     : va() + 16;
    word at = va() + (access == USER_WRITE ? 64 : 0);
    /* enter_user_at() gives its last argument in edi too. */
    enter_user(ip, at, 0);
}

static void do_access(unsigned access)
{
    switch (access) {
    case KERNEL_READ: (void)*(volatile u8 *)va(); break;
    case KERNEL_WRITE: *(volatile u8 *)(va() + 64) = 0x77; break;
    case KERNEL_EXEC: __asm__ volatile("call *%0" : : "r"(va()) : "memory", "cc"); break;
    default: user_access(access); break;
    }
}

static void target_init(void)
{
    memset(target, 0, sizeof target);
    target[0] = 0xc3;
    target[16] = 0xcd;
    target[17] = 0x80;
}

static void set_wp(bool on)
{
    write_cr0((read_cr0() & ~(word)CR0_WP) | (on ? CR0_WP : 0));
}

static void set_cr4(word bits, bool on)
{
    write_cr4((read_cr4() & ~bits) | (on ? bits : 0));
}

static void check(unsigned access, bool w, bool u, bool nx, bool wp, bool smep, bool nxe)
{
    bool bad = is_user(access) ? !u || (is_write(access) && !w)
                               : (is_exec(access) && u && smep) || (is_write(access) && !w && wp);
    word code = P | (is_write(access) ? 2 : 0) | (is_user(access) ? 4 : 0) |
                (is_exec(access) && (nxe || smep) ? 16 : 0);
    word at = va() + (access == USER_EXEC ? 16 : is_write(access) ? 64 : 0);
    int vector = TRY(do_access(access));

    bad = bad || (is_exec(access) && nx);
    if (!bad) {
        EXPECT_EQ(vector, is_user(access) ? VECTOR_USER_EXIT : -1);
    } else {
        EXPECT_EQ(vector, VECTOR_PF);
        EXPECT_EQ(trap.error, code);
        EXPECT_EQ(trap.cr2, at);
    }
}

/* -- 2 levels ------------------------------------------------------------------------------------------ */

static void map2(bool large, u32 dir_flags, u32 table_flags)
{
    word a = va();

    boot_pd[a >> 22] = large ? ((u32)target & 0xffc00000) | PS | dir_flags : (u32)pt | dir_flags;
    pt[a >> 12 & 1023] = (u32)target | table_flags;
    write_cr3(read_cr3());
}

static void matrix2(bool large)
{
    target_init();
    for (unsigned bits = 0; bits < 64; bits++) {
        bool w1 = bits & 1, u1 = bits & 2, w2 = bits & 4, u2 = bits & 8, wp = bits & 16,
             smep = bits & 32;
        if ((smep && !HAS_SMEP) || (large && (bits & 12) != 12)) {
            continue;
        }
        map2(large, P | (w1 ? W : 0) | (u1 ? U : 0), P | (w2 ? W : 0) | (u2 ? U : 0));
        set_wp(wp);
        if (HAS_SMEP) {
            set_cr4(CR4_SMEP, smep);
        }
        for (unsigned access = 0; access < ACCESSES; access++) {
            check(access, w1 && w2, u1 && u2, false, wp, smep, false);
        }
    }
    write_cr4(read_cr4() & ~(word)CR4_SMEP);
    set_wp(false);
}

static void rights_of_2_level_4k_pages(void) { matrix2(false); }
static void rights_of_4m_pages(void) { matrix2(true); }

static void accessed_and_dirty_of_2_levels(void)
{
    word a;

    target_init();
    a = va();
    map2(false, ALL, ALL);
    do_access(KERNEL_READ);
    EXPECT_EQ(pt[a >> 12 & 1023] & (A | D), A);
    EXPECT_EQ(boot_pd[a >> 22] & A, A);
    do_access(KERNEL_WRITE);
    EXPECT_EQ(pt[a >> 12 & 1023] & (A | D), A | D);
    map2(true, ALL, 0);
    do_access(KERNEL_READ);
    EXPECT_EQ(boot_pd[a >> 22] & (A | D), A);
    do_access(KERNEL_WRITE);
    EXPECT_EQ(boot_pd[a >> 22] & (A | D), A | D);
}

/* PSE-36: bits 13..20 of a 4 MiB page's entry are address bits 32..39; 21 is reserved. */
static void pse_reserved_bit_faults(void)
{
    target_init();
    map2(true, ALL | 1u << 21, 0);
    EXPECT_EQ(TRY(do_access(KERNEL_READ)), VECTOR_PF);
    EXPECT_EQ(trap.error, P | 8);
    map2(true, ALL, 0);
}

/* Without CR4.PSE bit 7 is ignored: the entry names a table. */
static void ps_bit_means_nothing_without_pse(void)
{
    static u32 dir[1024] PAGE_ALIGNED, table[4][1024] PAGE_ALIGNED;
    word old = read_cr3();

    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < 1024; j++) {
            table[i][j] = (i << 22 | j << 12) | P | W;
        }
        dir[i] = (u32)table[i] | P | W | PS;
    }
    target_init();
    write_cr0(read_cr0() & ~CR0_PG);
    write_cr3((word)dir);
    set_cr4(CR4_PSE, false);
    write_cr0(read_cr0() | CR0_PG);
    EXPECT_EQ(*(volatile u8 *)target, 0xc3);
    write_cr0(read_cr0() & ~CR0_PG);
    set_cr4(CR4_PSE, true);
    write_cr3(old);
    write_cr0(read_cr0() | CR0_PG);
}

/* -- PAE ------------------------------------------------------------------------------------------------ */

static void pae_tables(void)
{
    for (unsigned g = 0; g < 4; g++) {
        pae_pdpt[g] = (u64)(word)pae_pd[g] | P;
        for (unsigned i = 0; i < 512; i++) {
            u64 phys = ((u64)g << 30 | (u64)i << 21) - (g == 1 ? 1u << 30 : 0);
            pae_pd[g][i] = phys | P | W | PS | (g == 1 ? U : 0);
        }
    }
}

static void pae_on(void)
{
    pae_tables();
    write_cr0(read_cr0() & ~CR0_PG);
    set_cr4(CR4_PAE, true);
    write_cr3((word)pae_pdpt);
    write_cr0(read_cr0() | CR0_PG);
}

static void pae_off(void)
{
    write_cr0(read_cr0() & ~CR0_PG);
    set_cr4(CR4_PAE, false);
    write_cr3((word)boot_pd);
    write_cr0(read_cr0() | CR0_PG);
}

static void set_nxe(bool on)
{
    wrmsr(MSR_EFER, (rdmsr(MSR_EFER) & ~(u64)EFER_NXE) | (on ? EFER_NXE : 0));
}

static void rights_of_pae_pages(void)
{
    word a = va();

    target_init();
    pae_on();
    for (unsigned large = 0; large < 2; large++) {
        for (unsigned bits = 0; bits < 64; bits++) {
            bool w = bits & 1, u = bits & 2, nx = bits & 4, wp = bits & 8, smep = bits & 16,
                 in_dir = bits & 32;
            u64 e = P | (w ? W : 0) | (u ? U : 0) | (nx ? NX : 0);
            if ((smep && !HAS_SMEP) || (nx && !HAS_NX)) {
                continue;
            }
            set_nxe(HAS_NX);
            pae_pd[2][a >> 21 & 511] =
                large ? ((a - (word)TEST_BASE) & ~0x1fffffull) | PS | e
                      : (u64)(word)pae_pt | (in_dir ? e : ALL);
            pae_pt[a >> 12 & 511] = (u64)(word)target | (in_dir ? ALL : e);
            write_cr3(read_cr3());
            set_wp(wp);
            if (HAS_SMEP) {
                set_cr4(CR4_SMEP, smep);
            }
            for (unsigned access = 0; access < ACCESSES; access++) {
                check(access, w, u, nx, wp, smep, HAS_NX);
            }
        }
    }
    write_cr4(read_cr4() & ~(word)CR4_SMEP);
    set_wp(false);
    if (HAS_NX) {
        set_nxe(false);
    }
    pae_off();
}

/* The four PDPTEs are registers: loaded by MOV CR3, not by walks (SDM 3A 4.4.1). */
static void pdptes_are_loaded_with_cr3(void)
{
    target_init();
    pae_on();
    EXPECT_EQ(TRY(do_access(KERNEL_READ)), -1);
    pae_pdpt[2] = 0;
    invlpg(va());
    EXPECT_EQ(TRY(do_access(KERNEL_READ)), -1);
    write_cr3(read_cr3());
    EXPECT_EQ(TRY(do_access(KERNEL_READ)), VECTOR_PF);
    EXPECT_EQ(trap.error, 0);
    pae_pdpt[2] = (u64)(word)pae_pd[2] | P;
    write_cr3(read_cr3());
    EXPECT_EQ(TRY(do_access(KERNEL_READ)), -1);
    pae_off();
}

static void reserved_bits_of_pdptes_fault_at_the_load(void)
{
    pae_on();
    pae_pdpt[3] |= 2;             /* writable is reserved in a PDPTE */
    EXPECT_EQ(TRY(write_cr3(read_cr3())), VECTOR_GP);
    EXPECT_EQ(trap.error, 0);
    pae_pdpt[3] = 2;              /* no matter when it is not present */
    EXPECT_EQ(TRY(write_cr3(read_cr3())), -1);
    pae_off();
}

static void paging_off_and_on_again(void)
{
    target_init();
    write_cr0(read_cr0() & ~CR0_PG);
    EXPECT_EQ(*(volatile u8 *)target, 0xc3);
    write_cr0(read_cr0() | CR0_PG);
}

static void paging_needs_protection(void)
{
    word old = read_cr0();

    EXPECT_EQ(TRY(write_cr0((old & ~(word)CR0_PE))), VECTOR_GP);
    write_cr0(old);
}

const GuestTest guest_tests[] = {
    {"rights_of_2_level_4k_pages", rights_of_2_level_4k_pages},
    {"rights_of_4m_pages", rights_of_4m_pages},
    {"accessed_and_dirty_of_2_levels", accessed_and_dirty_of_2_levels},
    {"pse_reserved_bit_faults", pse_reserved_bit_faults},
    {"ps_bit_means_nothing_without_pse", ps_bit_means_nothing_without_pse},
    {"rights_of_pae_pages", rights_of_pae_pages},
    {"pdptes_are_loaded_with_cr3", pdptes_are_loaded_with_cr3},
    {"reserved_bits_of_pdptes_fault_at_the_load", reserved_bits_of_pdptes_fault_at_the_load},
    {"paging_off_and_on_again", paging_off_and_on_again},
    {"paging_needs_protection", paging_needs_protection},
    {NULL, NULL},
};
