/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Crossings between privilege levels: system calls, software interrupts, IRET to each ring. */
#include "tests/guest/nanobench/nanobench.h"

enum { VEC_EMPTY = 0x81, VEC_BACK = 0x82, SEL_RING = SEL_SPARE };
enum { MSR_STAR = 0xc0000081, MSR_LSTAR = 0xc0000082, MSR_FMASK = 0xc0000084,
       MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176 };

/* -- Loops in ring 3 -------------------------------------------------------------------------------- */

extern const u8 nano_user_empty[], nano_user_int[];
extern u8 nano_syscall_entry[], nano_iret[];

__asm__(".pushsection .text\n"
        ".globl nano_user_syscall\n"
        ".balign 16\n"
        "nano_user_empty: mov %edi, %ebx; .balign 16\n"
        "1: dec %ebx; jnz 1b; int $0x80\n"
        "nano_user_int: mov %edi, %ebx; .balign 16\n"
        "1: int $0x81; dec %ebx; jnz 1b; int $0x80\n"
#ifdef __x86_64__
        "nano_user_syscall: mov %edi, %ebx; .balign 16\n"
        "1: syscall; dec %ebx; jnz 1b; int $0x80\n"
        "nano_syscall_entry: sysretq\n"
        "nano_iret: iretq\n"
#else
        /* SYSEXIT returns to EDX with the stack in ECX */
        "nano_user_syscall: mov %edi, %ebx; mov %esp, %ecx\n"
        "call 2f\n"
        "2: pop %edx; add $3f - 2b, %edx\n"
        "1: sysenter\n"
        "3: dec %ebx; jnz 1b; int $0x80\n"
        "nano_syscall_entry: sysexit\n"
        "nano_iret: iret\n"
#endif
        ".popsection\n");

u64 nano_user_loop(const u8 *code, u32 n)
{
    u64 begin = rdtsc();
    int vector = TRY(enter_user(USER(code), n, 0));

    if (vector != VECTOR_USER_EXIT) {
        print("vector %u at 0x%x in ring 3\n", (word)vector, trap.frame.ip);
        return NANO_BAD;
    }
    return rdtsc() - begin;
}

u64 nano_user_base(u32 n)
{
    return nano_user_loop(nano_user_empty, n);
}

#ifdef __x86_64__
static const char *open_syscall(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (u64)(SEL_UCODE32) << 48 | (u64)SEL_KCODE << 32);
    wrmsr(MSR_LSTAR, (word)nano_syscall_entry);
    wrmsr(MSR_FMASK, FLAG_IF);
    return NULL;
}
#else
static const char *open_syscall(void)
{
    if (!cpu_has(1, 0, 3, 11)) {
        return "no SYSENTER";
    }
    wrmsr(MSR_SYSENTER_CS, SEL_KCODE);
    wrmsr(MSR_SYSENTER_ESP, (word)kernel_stack_top);
    wrmsr(MSR_SYSENTER_EIP, (word)nano_syscall_entry);
    return NULL;
}
#endif

static u64 syscall(u32 n)
{
    return nano_user_loop(nano_user_syscall, n);
}

/* -- Software interrupts ---------------------------------------------------------------------------- */

static const char *open_gate(void)
{
    idt_set(VEC_EMPTY, (word)nano_iret, SEL_KCODE, GATE_INT, 3, 0);
    return NULL;
}

static u64 softint(u32 n)
{
    return NANO_LOOP(n, "int $0x81", (), ());
}

static u64 softint_user(u32 n)
{
    return nano_user_loop(nano_user_int, n);
}

/* -- IRET ------------------------------------------------------------------------------------------- */

/* nano_ring_loop(n, cs, ss, ip): n times by IRET to `ip` (nano_ring_code) in another ring, whose
 * INT comes back by way of nano_ring_back. */
void nano_ring_loop(word n, word cs, word ss, word ip);
extern u8 nano_ring_code[], nano_ring_back[];

#ifdef __x86_64__
__asm__(".pushsection .text\n"
        "nano_ring_loop: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "movq %rsp, %r14; leaq 2f(%rip), %r15\n"
        ".balign 16\n"
        "1: push %rdx; push %r14; push $2; push %rsi; push %rcx; iretq\n"
        "2: movq %r14, %rsp; decq %rdi; jnz 1b\n"
        "movl $0x10, %eax; movl %eax, %ss; movl %eax, %ds; movl %eax, %es\n"
        "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"
        "nano_ring_code: int $0x82\n"
        "nano_ring_back: jmp *%r15\n"
        ".popsection\n");
#define SAME_RING                                                                                  \
    "mov %%rsp, %%rax\n\tpushq $0x10\n\tpushq %%rax\n\tpushfq\n\tpushq $8\n\tleaq 1f(%%rip), %%rax\n\t"  \
    "pushq %%rax\n\tiretq\n1:"
enum { CODE_FLAGS = 0xaf9b00 };
#else
__asm__(".pushsection .text\n"
        "nano_ring_loop: push %ebx; push %ebp; push %esi; push %edi\n"
        "movl %eax, %ebx; movl 20(%esp), %ebp; movl %esp, %esi; movl $2f, %edi\n"
        ".balign 16\n"
        "1: push %ecx; push %esi; push $2; push %edx; push %ebp; iret\n"
        "2: movl %esi, %esp; decl %ebx; jnz 1b\n"
        "movl $0x10, %eax; movl %eax, %ss; movl %eax, %ds; movl %eax, %es\n"
        "pop %edi; pop %esi; pop %ebp; pop %ebx; ret\n"
        "nano_ring_code: int $0x82\n"
        "nano_ring_back: jmp *%edi\n"
        ".popsection\n");
#define SAME_RING "pushf\n\tpush $8\n\tpush $1f\n\tiret\n1:"
enum { CODE_FLAGS = 0xcf9b00 };
#endif
enum { DATA_FLAGS = 0xcf9300, DPL = 1 << 13 };

static u64 iret0(u32 n)
{
    return NANO_LOOP(n, SAME_RING, (), (), "eax");
}

static u64 ring(unsigned r, u32 n)
{
    word ip = r == 3 ? USER(nano_ring_code) : (word)nano_ring_code;
    u64 begin;

    gdt_set(SEL_RING, 0, 0xfffff, CODE_FLAGS | r * DPL);
    gdt_set(SEL_RING + 8, 0, 0xfffff, DATA_FLAGS | r * DPL);
    idt_set(VEC_BACK, (word)nano_ring_back, SEL_KCODE, GATE_INT, 3, 0);
    begin = rdtsc();
    nano_ring_loop(n, SEL_RING | r, (SEL_RING + 8) | r, ip);
    return rdtsc() - begin;
}

static u64 iret1(u32 n) { return ring(1, n); }
static u64 iret2(u32 n) { return ring(2, n); }
static u64 iret3(u32 n) { return ring(3, n); }

const NanoOp nano_rings[] = {
    {"syscall", syscall, nano_user_base, open_syscall},
    {"softint", softint, nano_empty, open_gate},
    {"softint_user", softint_user, nano_user_base, open_gate},
    {"iret0", iret0, nano_empty},
    {"iret1", iret1, nano_empty},
    {"iret2", iret2, nano_empty},
    {"iret3", iret3, nano_empty},
    {NULL},
};
