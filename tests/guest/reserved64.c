/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What long mode refuses.  Where a bit is not checked the guest cannot go on, so this is apart. */
#include "tests/guest/lib.h"

static void control_registers_refuse_reserved_bits(void)
{
    EXPECT_TRAP(TRY(write_cr4(read_cr4() | 1ul << 40)), VECTOR_GP, 0);
    EXPECT_TRAP(TRY(write_cr0(read_cr0() | 1ul << 32)), VECTOR_GP, 0);
    EXPECT_TRAP(TRY(write_cr8(16)), VECTOR_GP, 0);
    EXPECT_EQ(TRY(__asm__ volatile("mov %%cr1, %%rax" : : : "rax")), VECTOR_UD);
    write_cr8(5);
    EXPECT_EQ(read_cr8(), 5);
    EXPECT_EQ(apic_read(APIC_TPR), 0x50);
    write_cr8(0);
}

/* NW without CD (SDM 3A 2.5). */
static void nw_without_cd_faults(void)
{
    EXPECT_TRAP(TRY(write_cr0((read_cr0() & ~0x40000000ul) | 0x20000000)), VECTOR_GP, 0);
}

static void long_mode_cannot_lose_what_it_needs(void)
{
    EXPECT_TRAP(TRY(wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(u64)EFER_LME)), VECTOR_GP, 0);
    EXPECT_TRAP(TRY(write_cr4(read_cr4() & ~(word)CR4_PAE)), VECTOR_GP, 0);
    EXPECT_TRAP(TRY(write_cr0(read_cr0() & ~CR0_PG)), VECTOR_GP, 0); /* 64-bit code cannot */
}

const GuestTest guest_tests[] = {
    {"control_registers_refuse_reserved_bits", control_registers_refuse_reserved_bits},
    {"nw_without_cd_faults", nw_without_cd_faults},
    {"long_mode_cannot_lose_what_it_needs", long_mode_cannot_lose_what_it_needs},
    {NULL, NULL},
};
