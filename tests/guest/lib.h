/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the bare-metal guests share, 32 and 64 bits: output on the first serial line, a table of
 * tests, catching exceptions, running code in ring 3.
 *
 * A guest defines `const GuestTest guest_tests[]` (ended by a NULL name).  Each test prints one
 * line: "ok NAME", "FAIL NAME file:line what" or "skip NAME why".  The guest ends through the debug-exit device:
 * 0x10 when nothing failed, else 0x11.
 *
 * Address space: the first GiB is mapped to itself for ring 0, and again at USER_BASE for ring 3;
 * from 2 GiB on (devices) to itself for ring 0.
 */
#ifndef TESTS_GUEST_LIB_H
#define TESTS_GUEST_LIB_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word; /* the width of a register */
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))
#define PAGE_ALIGNED __attribute__((aligned(4096)))

/* -- Selectors (boot32.S and boot64.S have the same table) ---------------------------------------- */

enum {
    SEL_KCODE = 0x08,
    SEL_KDATA = 0x10,
    SEL_UCODE32 = 0x1b,
    SEL_UDATA = 0x23,
    SEL_UCODE64 = 0x2b,
    SEL_KCODE32 = 0x38,
    SEL_KCODE16 = 0x40,
    SEL_KDATA16 = 0x48,
    SEL_TSS = 0x50,
    SEL_SPARE = 0x60,             /* 0x60..0x1f8: a test's own; cleared by nobody */
#ifdef __x86_64__
    SEL_UCODE = SEL_UCODE64,
#else
    SEL_UCODE = SEL_UCODE32,
#endif
};

enum { USER_BASE = 0x40000000 };

extern u64 gdt[64];
void gdt_set(unsigned selector, u32 base, u32 limit, u32 flags); /* flags: bits 8..23 of the high word */

#define USER(p) ((word)(p) + USER_BASE)

/* -- Instructions ------------------------------------------------------------------------------------ */

static inline void outb(u16 port, u8 v)
{
    __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline u8 inb(u16 port)
{
    u8 v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline u64 rdmsr(u32 msr)
{
    u32 lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (u64)hi << 32 | lo;
}

static inline void wrmsr(u32 msr, u64 v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}

static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                     : "a"(leaf), "c"(sub));
}

static inline u64 rdtsc(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}

#define DEFINE_REG(reg)                                                                            \
    static inline word read_##reg(void)                                                            \
    {                                                                                              \
        word v;                                                                                    \
        __asm__ volatile("mov %%" #reg ", %0" : "=r"(v) : : "memory");                             \
        return v;                                                                                  \
    }                                                                                              \
    static inline void write_##reg(word v)                                                         \
    {                                                                                              \
        __asm__ volatile("mov %0, %%" #reg : : "r"(v) : "memory");                                 \
    }
DEFINE_REG(cr0)
DEFINE_REG(cr2)
DEFINE_REG(cr3)
DEFINE_REG(cr4)
#ifdef __x86_64__
DEFINE_REG(cr8)
#endif
DEFINE_REG(dr0)
DEFINE_REG(dr1)
DEFINE_REG(dr2)
DEFINE_REG(dr3)
DEFINE_REG(dr6)
DEFINE_REG(dr7)

static inline void invlpg(word addr)
{
    __asm__ volatile("invlpg (%0)" : : "r"(addr) : "memory");
}

static inline word read_flags(void)
{
    word v;
    __asm__ volatile("pushf; pop %0" : "=r"(v) : : "memory");
    return v;
}

static inline void write_flags(word v)
{
    __asm__ volatile("push %0; popf" : : "r"(v) : "memory", "cc");
}

#define barrier() __asm__ volatile("" : : : "memory")
static inline void cpu_relax(void) { __asm__ volatile("pause" : : : "memory"); }
static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }
static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }

enum { CR0_PE = 1, CR0_MP = 2, CR0_EM = 4, CR0_TS = 8, CR0_NE = 32, CR0_WP = 1 << 16,
       CR0_AM = 1 << 18 };
#define CR0_PG (1ul << 31)
enum { CR4_VME = 1, CR4_DE = 8, CR4_PSE = 16, CR4_PAE = 32, CR4_PGE = 128, CR4_OSFXSR = 512,
       CR4_OSXMMEXCPT = 1024, CR4_UMIP = 1 << 11, CR4_FSGSBASE = 1 << 16, CR4_PCIDE = 1 << 17,
       CR4_OSXSAVE = 1 << 18, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21, CR4_PKE = 1 << 22 };
enum { FLAG_CF = 1, FLAG_ZF = 64, FLAG_TF = 0x100, FLAG_IF = 0x200, FLAG_DF = 0x400,
       FLAG_NT = 0x4000, FLAG_RF = 0x10000, FLAG_VM = 0x20000, FLAG_AC = 0x40000 };
enum { MSR_EFER = 0xc0000080, EFER_SCE = 1, EFER_LME = 0x100, EFER_LMA = 0x400, EFER_NXE = 0x800 };
enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0 };

/* Feature bits by CPUID leaf, register and bit. */
bool cpu_has(u32 leaf, u32 sub, unsigned reg, unsigned bit);
#define HAS_PCID cpu_has(1, 0, 2, 17)
#define HAS_SMEP cpu_has(7, 0, 1, 7)
#define HAS_SMAP cpu_has(7, 0, 1, 20)
#define HAS_UMIP cpu_has(7, 0, 2, 2)
#define HAS_NX cpu_has(0x80000001, 0, 3, 20)
#define HAS_1G cpu_has(0x80000001, 0, 3, 26)

/* -- Tests ------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    void (*run)(void);
} GuestTest;

extern const GuestTest guest_tests[];

void print(const char *fmt, ...); /* %s %c %d %u %x, each takes a word; %% */
void guest_exit(u8 code) __attribute__((noreturn));
const char *guest_cmdline(void); /* what follows -append (and perhaps the file's name before it); "" */
bool cmdline_says(const char *word); /* ... has this in it */

/* The running test has failed (the first time counts) or cannot run here. */
void test_failed(const char *file, int line, const char *what, word got, word want);
void test_skip(const char *why);

#define EXPECT(cond)                                                                               \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            test_failed(__FILE__, __LINE__, #cond, 0, 0);                                          \
        }                                                                                          \
    } while (0)
#define EXPECT_EQ(got, want)                                                                       \
    do {                                                                                           \
        word got_ = (word)(got), want_ = (word)(want);                                             \
        if (got_ != want_) {                                                                       \
            test_failed(__FILE__, __LINE__, #got " == " #want, got_, want_);                       \
        }                                                                                          \
    } while (0)

/* -- Exceptions and interrupts ------------------------------------------------------------------------ */

typedef struct {
#ifdef __x86_64__
    word r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, bx, dx, cx, ax;
#else
    word gs, fs, es, ds, di, si, bp, sp_ignored, bx, dx, cx, ax;
#endif
    word vector, error;
    word ip, cs, flags;
    word sp, ss;                  /* 32 bits: only after a change of privilege */
    word v86_es, v86_ds, v86_fs, v86_gs;
} Frame;

typedef struct {
    int vector;                   /* -1: none came */
    word error, cr2;
    Frame frame;
} Trap;

extern Trap trap;

/* A hook sees a vector first; true: handled, go on where it was (as the frame says). */
typedef bool (*TrapHook)(Frame *f);
extern TrapHook trap_hook[256];

typedef struct {
    word regs[8];
} Context;
int context_save(Context *c) __attribute__((returns_twice));
void context_restore(Context *c) __attribute__((noreturn));
extern Context trap_context;
extern volatile bool trap_armed;

/* Run statements; the vector of the exception that ended them (details in `trap`), or -1. */
#define TRY(...)                                                                                   \
    ({                                                                                             \
        trap.vector = -1;                                                                          \
        if (context_save(&trap_context) == 0) {                                                    \
            trap_armed = true;                                                                     \
            barrier();                                                                             \
            __VA_ARGS__;                                                                           \
            barrier();                                                                             \
        }                                                                                          \
        trap_armed = false;                                                                        \
        trap.vector;                                                                               \
    })

#define EXPECT_TRAP(statement, want_vector, want_error)                                            \
    do {                                                                                           \
        int vector_ = (statement), want_ = (want_vector);                                          \
        if (vector_ != want_) {                                                                    \
            test_failed(__FILE__, __LINE__, "vector of " #statement, (word)vector_, (word)want_);  \
        } else if (want_ >= 0 && trap.error != (word)(want_error)) {                               \
            test_failed(__FILE__, __LINE__, "error code of " #statement, trap.error,               \
                        (word)(want_error));                                                       \
        }                                                                                          \
    } while (0)

enum { VECTOR_DE, VECTOR_DB, VECTOR_NMI, VECTOR_BP, VECTOR_OF, VECTOR_BR, VECTOR_UD, VECTOR_NM,
       VECTOR_DF, VECTOR_TS = 10, VECTOR_NP, VECTOR_SS, VECTOR_GP, VECTOR_PF, VECTOR_MF = 16,
       VECTOR_AC, VECTOR_MC, VECTOR_XM, VECTOR_USER_EXIT = 0x80 };

/* Gate types of idt_set(). */
enum { GATE_TASK = 5, GATE_INT16 = 6, GATE_TRAP16 = 7, GATE_INT = 14, GATE_TRAP = 15 };
void idt_set(unsigned vector, word handler, u16 selector, unsigned type, unsigned dpl,
             unsigned ist);
word idt_default_handler(unsigned vector);
void idt_restore(unsigned vector); /* as it was at the start */
void idt_load(void);              /* on another CPU */
extern u8 idt[256 * 16];

extern u8 kernel_stack_top[];      /* of interrupts from ring 3 */

/* To ring 3 at `ip` (a USER() address), with `arg` in rdi and eax, on a stack of its own; it comes
 * back by any exception, normally int 0x80: use in TRY(). */
void enter_user(word ip, word arg, word flags);
void enter_user_at(u16 cs, u16 ss, word ip, word sp, word flags, word arg) __attribute__((noreturn));
extern u8 user_stack_top[];

/* Ring-3 snippets (USER() them): they end in int 0x80 with results in eax. */
extern const u8 user_load[], user_store[], user_exit[], user_load_end[];

/* -- Legacy interrupt controller, clocks -------------------------------------------------------------- */

void pic_init(u16 mask);          /* IRQ n at vector 0x20 + n; mask bit 1: blocked */
void pic_eoi(unsigned irq);
void pit_periodic(unsigned divisor);
void pit_oneshot(unsigned count);

enum { APIC_ID = 0x20, APIC_TPR = 0x80, APIC_EOI = 0xb0, APIC_SPURIOUS = 0xf0, APIC_ISR = 0x100,
       APIC_IRR = 0x200, APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310, APIC_TIMER = 0x320,
       APIC_LINT0 = 0x350, APIC_INITIAL = 0x380, APIC_CURRENT = 0x390, APIC_DIVIDE = 0x3e0 };
static inline u32 apic_read(unsigned reg)
{
    return *(volatile u32 *)(0xfee00000ul + reg);
}
static inline void apic_write(unsigned reg, u32 v)
{
    *(volatile u32 *)(0xfee00000ul + reg) = v;
}
void apic_enable(void);

/* Wait (interrupts as they are) until *p >= n or much time has gone by; true when it came. */
bool wait_for(volatile word *p, word n);

void *memset(void *d, int c, unsigned long n);
void *memcpy(void *d, const void *s, unsigned long n);

#endif /* TESTS_GUEST_LIB_H */
