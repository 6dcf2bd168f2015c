/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guest/lib.h"

Trap trap;
TrapHook trap_hook[256];
Context trap_context;
volatile bool trap_armed;
u8 idt[256 * 16] __attribute__((aligned(16)));

/* -- Output ------------------------------------------------------------------------------------------ */

enum { COM1 = 0x3f8 };

static void put(char c)
{
    while ((inb(COM1 + 5) & 0x20) == 0) {
        cpu_relax();
    }
    outb(COM1, (u8)c);
}

static void put_number(word v, unsigned base)
{
    char buf[24];
    unsigned n = 0;

    do {
        u32 digit = (u32)(v % base);
        buf[n++] = "0123456789abcdef"[digit];
        v /= base;
    } while (v != 0);
    while (n > 0) {
        put(buf[--n]);
    }
}

static void put_string(const char *s)
{
    while (*s != 0) {
        put(*s++);
    }
}

void print(const char *fmt, ...)
{
    __builtin_va_list ap;

    __builtin_va_start(ap, fmt);
    for (; *fmt != 0; fmt++) {
        if (*fmt != '%') {
            put(*fmt);
            continue;
        }
        switch (*++fmt) {
        case 's': put_string(__builtin_va_arg(ap, const char *)); break;
        case 'c': put((char)__builtin_va_arg(ap, int)); break;
        case 'd': {
            long v = __builtin_va_arg(ap, long);
            if (v < 0) {
                put('-');
                v = -v;
            }
            put_number((word)v, 10);
            break;
        }
        case 'u': put_number(__builtin_va_arg(ap, word), 10); break;
        case 'x': put_number(__builtin_va_arg(ap, word), 16); break;
        default: put(*fmt); break;
        }
    }
    __builtin_va_end(ap);
}

void guest_exit(u8 code)
{
    outb(0xf4, code);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

void *memset(void *d, int c, unsigned long n)
{
    void *to = d;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
    return d;
}

void *memcpy(void *d, const void *s, unsigned long n)
{
    void *to = d;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(s), "+c"(n) : : "memory");
    return d;
}

/* -- Tests ------------------------------------------------------------------------------------------- */

static const char *fail_file, *fail_what, *skip_why;
static int fail_line;
static word fail_got, fail_want;

void test_failed(const char *file, int line, const char *what, word got, word want)
{
    if (fail_file == NULL) {
        fail_file = file;
        fail_line = line;
        fail_what = what;
        fail_got = got;
        fail_want = want;
    }
}

void test_skip(const char *why)
{
    skip_why = why;
}

static const char *file_name(const char *path)
{
    const char *name = path;

    for (; *path != 0; path++) {
        name = *path == '/' ? path + 1 : name;
    }
    return name;
}

static bool run_test(const GuestTest *t)
{
    fail_file = skip_why = NULL;
    t->run();
    if (fail_file != NULL) {
        print("FAIL %s %s:%d %s", t->name, file_name(fail_file), (long)fail_line, fail_what);
        if (fail_got != fail_want) {
            print(" (got 0x%x, want 0x%x)", fail_got, fail_want);
        }
        print("\n");
        return false;
    }
    if (skip_why != NULL) {
        print("skip %s %s\n", t->name, skip_why);
    } else {
        print("ok %s\n", t->name);
    }
    return true;
}

bool cpu_has(u32 leaf, u32 sub, unsigned reg, unsigned bit)
{
    u32 r[4];

    cpuid(leaf & 0x80000000, 0, r);
    if (r[0] < leaf) {
        return false;
    }
    cpuid(leaf, sub, r);
    return (r[reg] >> bit & 1) != 0;
}

/* -- Descriptors ------------------------------------------------------------------------------------- */

void gdt_set(unsigned selector, u32 base, u32 limit, u32 flags)
{
    u32 lo = base << 16 | (limit & 0xffff);
    u32 hi = (base & 0xff000000) | (base >> 16 & 0xff) | (limit & 0xf0000) | (flags & 0xf0ff00);

    gdt[selector >> 3] = (u64)hi << 32 | lo;
}

extern u8 trap_stubs[];
enum { STUB_LEN = 16 };

word idt_default_handler(unsigned vector)
{
    return (word)trap_stubs + vector * STUB_LEN;
}

#ifdef __x86_64__
enum { IDT_ENTRY = 16 };
#else
enum { IDT_ENTRY = 8 };
#endif

void idt_set(unsigned vector, word handler, u16 selector, unsigned type, unsigned dpl, unsigned ist)
{
    u32 *e = (u32 *)(idt + vector * IDT_ENTRY);

    e[0] = (u32)selector << 16 | (u16)handler;
    e[1] = ((u32)handler & 0xffff0000) | 0x8000 | dpl << 13 | type << 8 | ist;
#ifdef __x86_64__
    e[2] = (u32)(handler >> 32);
    e[3] = 0;
#endif
}

void idt_restore(unsigned vector)
{
    unsigned dpl = vector == VECTOR_USER_EXIT || vector == VECTOR_BP || vector == VECTOR_OF ? 3 : 0;

    idt_set(vector, idt_default_handler(vector), SEL_KCODE, GATE_INT, dpl, 0);
}

void idt_load(void)
{
    struct __attribute__((packed)) {
        u16 limit;
        word base;
    } idtr = {256 * IDT_ENTRY - 1, (word)idt};

    __asm__ volatile("lidt %0" : : "m"(idtr));
}

static void idt_init(void)
{
    for (unsigned v = 0; v < 256; v++) {
        idt_restore(v);
    }
    idt_load();
}

/* -- Exceptions -------------------------------------------------------------------------------------- */

void trap_entry(Frame *f);

void trap_entry(Frame *f)
{
    word cr2 = read_cr2();

    if (trap_hook[f->vector] != NULL && trap_hook[f->vector](f)) {
        return;
    }
    if (trap_armed) {
        trap_armed = false;
        trap.vector = (int)f->vector;
        trap.error = f->error;
        trap.cr2 = cr2;
        trap.frame = *f;
        context_restore(&trap_context);
    }
    print("FAIL unexpected vector %u error 0x%x at 0x%x:0x%x flags 0x%x cr2 0x%x\n", f->vector,
          f->error, f->cs, f->ip, f->flags, cr2);
    guest_exit(0x11);
}

void enter_user(word ip, word arg, word flags)
{
    enter_user_at(SEL_UCODE, SEL_UDATA, ip, USER(user_stack_top), flags | 2, arg);
}

/* -- Interrupt controllers, clocks ------------------------------------------------------------------- */

void pic_init(u16 mask)
{
    static const u8 bytes[][2] = {{0x20, 0x11}, {0xa0, 0x11}, {0x21, 0x20}, {0xa1, 0x28},
                                  {0x21, 0x04}, {0xa1, 0x02}, {0x21, 0x01}, {0xa1, 0x01}};

    for (unsigned i = 0; i < ARRAY_LEN(bytes); i++) {
        outb(bytes[i][0], bytes[i][1]);
    }
    outb(0x21, (u8)mask);
    outb(0xa1, (u8)(mask >> 8));
}

void pic_eoi(unsigned irq)
{
    if (irq >= 8) {
        outb(0xa0, 0x20);
    }
    outb(0x20, 0x20);
}

void pit_periodic(unsigned divisor)
{
    outb(0x43, 0x34);
    outb(0x40, (u8)divisor);
    outb(0x40, (u8)(divisor >> 8));
}

void pit_oneshot(unsigned count)
{
    outb(0x43, 0x30);
    outb(0x40, (u8)count);
    outb(0x40, (u8)(count >> 8));
}

void apic_enable(void)
{
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | 0x800);
    apic_write(APIC_SPURIOUS, 0x1ff);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_DIVIDE, 0xb); /* by 1 */
}

bool wait_for(volatile word *p, word n)
{
    u64 start = rdtsc();

    while (*p < n) {
        if (rdtsc() - start > 20000000000ull) { /* several seconds */
            return false;
        }
        cpu_relax();
    }
    return true;
}

/* -- Command line ------------------------------------------------------------------------------------- */

extern u32 boot_magic, boot_info;
static char cmdline[2048];

const char *guest_cmdline(void)
{
    return cmdline;
}

bool cmdline_says(const char *word)
{
    for (const char *at = guest_cmdline(); *at != 0; at++) {
        unsigned n = 0;
        while (word[n] != 0 && at[n] == word[n]) {
            n++;
        }
        if (word[n] == 0) {
            return true;
        }
    }
    return false;
}

/* Where the loader put it may be overwritten later, by the second CPU's trampoline for one. */
static void save_cmdline(void)
{
    const u32 *info = (const u32 *)(word)boot_info;
    /* A PVH loader may leave Multiboot's magic in EAX: look for its own first. */
    u32 at = info[0] == 0x336ec578 ? info[6] : boot_magic == 0x2badb002 && (info[0] & 4) != 0 ? info[4] : 0;

    for (unsigned i = 0; at != 0 && i < sizeof cmdline - 1; i++) {
        cmdline[i] = ((const char *)(word)at)[i];
        if (cmdline[i] == 0) {
            break;
        }
    }
}

/* -- Start ------------------------------------------------------------------------------------------- */

void guest_main(void);

void guest_main(void)
{
    bool good = true;

    save_cmdline();
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 0x80);
    outb(COM1, 1);
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3);
    outb(COM1 + 2, 1);
    idt_init();
    pic_init(0xffff);
    for (const GuestTest *t = guest_tests; t->name != NULL; t++) {
        good &= run_test(t);
    }
    print("done\n");
    guest_exit(good ? 0x10 : 0x11);
}
