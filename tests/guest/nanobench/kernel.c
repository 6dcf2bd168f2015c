/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Privileged instructions, device accesses and hypercalls, in ring 0. */
#include "tests/guest/nanobench/nanobench.h"

static u64 in80(u32 n)
{
    return NANO_LOOP(n, "in $0x80, %%al", (), (), "eax");
}

static u64 clisti(u32 n)
{
    return NANO_LOOP(n, "cli\n\tsti", (), ());
}

static u64 clisti_run(u32 n)
{
    u64 took = clisti(n);          /* nothing is pending: the controllers are masked */

    cli();
    return took;
}

/* -- Task priority ---------------------------------------------------------------------------------- */

#ifdef __x86_64__
static u64 cr8wr(u32 n)
{
    word v = 0;
    return NANO_LOOP(n, "mov %[v], %%cr8\n\txor $2, %k[v]", (, [v] "+r"(v)), ());
}

static u64 cr8wr_base(u32 n)
{
    word v = 0;
    return NANO_LOOP(n, "xor $2, %k[v]", (, [v] "+r"(v)), ());
}

static u64 swapgs(u32 n)
{
    return NANO_LOOP(n / 2, "swapgs\n\tswapgs", (), ());
}

static const char *long_mode(void) { return NULL; }
#else
static u64 cr8wr(u32 n) { return 0; }
static u64 cr8wr_base(u32 n) { return 0; }
static u64 swapgs(u32 n) { return 0; }
static const char *long_mode(void) { return "64-bit mode only"; }
#endif

/* -- Model-specific registers ----------------------------------------------------------------------- */

enum { MSR_FS_BASE = 0xc0000100, MSR_SPEC_CTRL = 0x48 };

static const char *no_fs_base(void)
{
    return TRY(rdmsr(MSR_FS_BASE)) < 0 ? NULL : "no such MSR";
}

static const char *no_spec_ctrl(void)
{
    return TRY(wrmsr(MSR_SPEC_CTRL, rdmsr(MSR_SPEC_CTRL))) < 0 ? NULL : "no such MSR";
}

static u64 rdmsr_fsbase(u32 n)
{
    return NANO_LOOP(n, "rdmsr", (), ("c"(MSR_FS_BASE)), "eax", "edx");
}

static u64 write_msr(u32 msr, u32 n)
{
    u64 v = rdmsr(msr);

    return NANO_LOOP(n, "wrmsr", (), ("c"(msr), "a"((u32)v), "d"((u32)(v >> 32))));
}

static u64 wrmsr_fsbase(u32 n) { return write_msr(MSR_FS_BASE, n); }
static u64 wrmsr_specctrl(u32 n) { return write_msr(MSR_SPEC_CTRL, n); }

/* -- Devices ---------------------------------------------------------------------------------------- */

static u64 read_word(word at, u32 n)
{
    return NANO_LOOP(n, "mov (%[p]), %%eax", (), ([p] "r"(at)), "eax");
}

static u64 mmio(u32 n)
{
    return read_word(0xfec00010, n); /* the I/O APIC's data window */
}

static u64 apicrd(u32 n)
{
    return read_word(0xfee00000 + APIC_ID, n);
}

static u64 apicwr(u32 n)
{
    return NANO_LOOP(n, "movl $0, (%[p])", (), ([p] "r"(0xfee00000ul + APIC_TPR)));
}

static const char *apic_on(void)
{
    apic_enable();
    return NULL;
}

/* -- Hypercall -------------------------------------------------------------------------------------- */

enum { HYPERCALL_NUMBER = 1 };     /* KVM's "poll the APIC": does nothing; unknown ones only fail */

static void vmcall(void)
{
    __asm__ volatile("vmcall" : : "a"(HYPERCALL_NUMBER) : "memory", "ebx", "ecx", "edx");
}

static void vmmcall(void)
{
    __asm__ volatile("vmmcall" : : "a"(HYPERCALL_NUMBER) : "memory", "ebx", "ecx", "edx");
}

static bool use_vmmcall;

static const char *no_hypercall(void)
{
    u32 r[4];

    cpuid(1, 0, r);
    if ((r[2] >> 31 & 1) == 0) {
        return "CPUID shows no hypervisor";
    }
    use_vmmcall = TRY(vmcall()) >= 0;
    return use_vmmcall && TRY(vmmcall()) >= 0 ? "VMCALL and VMMCALL are undefined" : NULL;
}

#define CALL_LOOP(n, insn)                                                                          \
    NANO_LOOP(n, "mov %[nr], %%eax\n\t" insn, (), ([nr] "i"(HYPERCALL_NUMBER)), "eax", "ebx", "ecx", "edx")

static u64 hypercall(u32 n)
{
    return use_vmmcall ? CALL_LOOP(n, "vmmcall") : CALL_LOOP(n, "vmcall");
}

const NanoOp nano_kernel[] = {
    {"in", in80, nano_empty},
    {"cr8wr", cr8wr, cr8wr_base, long_mode},
    {"clisti", clisti_run, nano_empty},
    {"swapgs", swapgs, NULL, long_mode},
    {"rdmsr_fsbase", rdmsr_fsbase, nano_empty, no_fs_base},
    {"wrmsr_fsbase", wrmsr_fsbase, nano_empty, no_fs_base},
    {"wrmsr_specctrl", wrmsr_specctrl, nano_empty, no_spec_ctrl},
    {"mmio", mmio, nano_empty},
    {"apicrd", apicrd, nano_empty, apic_on},
    {"apicwr", apicwr, nano_empty, apic_on},
    {"hypercall", hypercall, nano_empty, no_hypercall},
    {NULL},
};
