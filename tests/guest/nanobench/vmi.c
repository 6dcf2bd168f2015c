/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMI's calls beside what they stand for, and page-table work done natively and by VMI (32-bit guests).
 * "native" is the client before it has found the ROM: the same code with other function pointers.
 */
#include "tests/guest/nanobench/nanobench.h"

#ifdef __x86_64__

static const char *found(void) { return "32-bit mode only"; }
static u64 none(u32 n) { return 0; }
#define open_window found
#define found_and_open found
#define open_user_window found
#define found_and_open_user found
#define nothing none
#define native_set_pxe none
#define vmi_set_pxe none
#define native_batches none
#define vmi_batches none
#define read_only none
#define native_mixed none
#define vmi_mixed none
#define disable_enable none
#define get_mask none
#define save_restore none
#define get_cr0 none
#define inval none
#define counter none
#define vmi_eoi none
#define alarm none
#define no_eoi none
#define native_eoi none
#define vmi_sysexit none
#define found_and_fast found

#else
#include "tests/guest/vmi-client.h"

enum { WINDOW = 0x3f400000, PAGES = 512, PAGE = 4096, BATCH = 32, FLUSHED = 16 };
enum { PTE_PLAIN = 0x163 /* global, accessed and dirty, as Linux writes them */, PTE_USER = 0x67, PXE_PT = 1, PXE_CURRENT_AS = 0x10 };
enum { REAL = 0 };

extern u32 boot_pd[1024];
static u32 pt[1024] PAGE_ALIGNED;
static u8 frames[2][PAGE] PAGE_ALIGNED;

static void (*f_enable)(void), (*f_disable)(void);
static u32 (*f_get_mask)(void);
static void (*f_set_mask)(u32);

static const char *found(void)
{
    if (vmi_header == NULL) {
        vmi_header = vmi_probe(0);
        if (vmi_header != NULL && vmi_activate(vmi_header)) {
            f_disable = (void *)vmi_reloc(vmi_header, 30).eip;
            f_enable = (void *)vmi_reloc(vmi_header, 29).eip;
            f_get_mask = (void *)vmi_reloc(vmi_header, 31).eip;
            f_set_mask = (void *)vmi_reloc(vmi_header, 32).eip;
        }
    }
    return f_enable != NULL ? NULL : "no VMI ROM";
}

#define EACH(n, call)                                                                              \
    ({                                                                                             \
        u64 begin_ = rdtsc();                                                                      \
        for (u32 i_ = 0; i_ < (n); i_++) {                                                         \
            call;                                                                                  \
            barrier();                                                                             \
        }                                                                                          \
        rdtsc() - begin_;                                                                          \
    })

static u64 nothing(u32 n) { return EACH(n, (void)0); }
static u64 disable_enable(u32 n)
{
    u64 took = EACH(n, f_disable(); f_enable());

    cli();
    return took;
}
static u64 get_mask(u32 n) { return EACH(n, f_get_mask()); }

/* Compilers make of it two calls of two bytes each, whose places of return fall into one entry of the translator's jump cache; a kernel's
 * calls have five bytes and more. */
static u64 save_restore(u32 n)
{
    return EACH(n, {
        u32 mask = f_get_mask();
        __asm__ volatile(".nops 6");
        f_set_mask(mask);
    });
}

static u64 get_cr0(u32 n) { return EACH(n, ops.get_cr0()); }
static u64 inval(u32 n) { return EACH(n, ops.inval_page(WINDOW)); }
static u64 counter(u32 n) { return EACH(n, vmi.cycle_counter(REAL)); }

static u64 alarm(u32 n)
{
    u64 took = EACH(n, vmi.set_alarm(REAL, ~0u, 0x7fffffff, 0, 0));

    vmi.cancel_alarm(REAL);
    return took;
}

/* -- System calls ------------------------------------------------------------------------------------------ */

/* As rings.c has them, but with VMI's way out. */
static const char *found_and_fast(void)
{
    enum { SYSENTER_CS = 0x174, SYSENTER_ESP = 0x175, SYSENTER_EIP = 0x176 };

    if (found() != NULL || !cpu_has(1, 0, 3, 11)) {
        return "no VMI ROM, or no SYSENTER";
    }
    wrmsr(SYSENTER_CS, SEL_KCODE);
    wrmsr(SYSENTER_ESP, (word)kernel_stack_top);
    wrmsr(SYSENTER_EIP, (word)site_sysexit);
    return NULL;
}

static u64 vmi_sysexit(u32 n) { return nano_user_loop(nano_user_syscall, n); }

/* -- Interrupts ---------------------------------------------------------------------------------------------- */

/* The CPU sends them to itself, so that there is something for the EOI to end. */

enum { VEC_SELF = 0x51, TO_SELF = 1 << 18 };

static volatile u32 taken;
static u64 spent;

#define HANDLER(name, end)                                                                         \
    static bool name(Frame *f)                                                                     \
    {                                                                                              \
        u64 begin_ = rdtsc();                                                                      \
        end;                                                                                       \
        spent += rdtsc() - begin_;                                                                 \
        taken++;                                                                                   \
        return true;                                                                               \
    }
HANDLER(on_end_later, (void)0)
HANDLER(on_native_end, apic_write(APIC_EOI, 0))
HANDLER(on_vmi_end, ops.apic_write(APIC_EOI, 0))

/* What the handler's part of n interrupts took. */
static u64 interrupts(u32 n, TrapHook hook, bool ended)
{
    trap_hook[VEC_SELF] = hook;
    taken = 0;
    spent = 0;
    sti();
    for (u32 i = 0; i < n; i++) {
        apic_write(APIC_ICR, TO_SELF | VEC_SELF);
        if (!ended) {
            apic_write(APIC_EOI, 0);
        }
    }
    cli();
    return taken == n ? spent : NANO_BAD;
}

static u64 no_eoi(u32 n) { return interrupts(n, on_end_later, false); }
static u64 native_eoi(u32 n) { return interrupts(n, on_native_end, true); }
static u64 vmi_eoi(u32 n) { return interrupts(n, on_vmi_end, true); }

/* -- Page tables -------------------------------------------------------------------------------------------- */

enum { PTE_PS = 0x80, PTE_G = 0x100, SHORT_LIVED = 1500 };

/* As kernels do: what is theirs is global, and outlives the loads of CR3; CR0.WP is set.  The TLB is flushed, so that what ran
 * before does not matter. */
static void make_kernel_global(void)
{
    for (u32 i = 0; i < 1024; i++) {
        if ((boot_pd[i] & (PTE_PS | 1)) == (PTE_PS | 1)) {
            boot_pd[i] |= PTE_G;
        }
    }
    write_cr0(read_cr0() | CR0_WP);
    write_cr4(read_cr4() & ~(word)CR4_PGE);
    write_cr4(read_cr4() | CR4_PGE);
}

/* The two frames that pages change between, and what the next change is of; so each change is one. */
static u32 turn;

static u32 next_frame(u32 plain, u32 *which)
{
    *which = turn++ / PAGES & 1;
    frames[0][0] = 1;
    frames[1][0] = 2;
    return (u32)frames[*which] | plain;
}

/* WINDOW's pages are the kernel's, like those for short-lived mappings (kmap); a translator may learn that they do not last. */
static void open_pages(u32 plain)
{
    boot_pd[WINDOW >> 22] = (u32)pt | PTE_USER;
    for (u32 i = 0; i < PAGES; i++) {
        pt[i] = (u32)frames[1] | plain;
    }
    turn = 0;
    make_kernel_global();
}

static const char *open_window(void)
{
    open_pages(PTE_PLAIN);
    for (u32 i = 0; i < SHORT_LIVED; i++) {
        u32 which, v = next_frame(PTE_PLAIN, &which);

        *(volatile u32 *)&pt[i % PAGES] = v;
        invlpg(WINDOW + i % PAGES * PAGE);
        (void)*(volatile u8 *)(WINDOW + i % PAGES * PAGE);
    }
    turn = 0;
    return NULL;
}

/* ... or user code's. */
static const char *open_user_window(void)
{
    open_pages(PTE_USER);
    return NULL;
}

static const char *found_and_open(void)
{
    open_window();
    return found();
}

static const char *found_and_open_user(void)
{
    open_user_window();
    return found();
}

/* n entries, BATCH at a time, in lazy mode; as a kernel's mprotect. */
static u64 set_entries(u32 n, bool by_vmi)
{
    u32 i = 0, va = WINDOW, v = (u32)frames[0] | PTE_PLAIN;
    u64 begin = rdtsc();

    while (n > 0) {
        u32 now = n < BATCH ? n : BATCH;

        if (by_vmi) {
            ops.set_lazy_mode(1);
            for (u32 k = 0; k < now; k++, va += PAGE) {
                ops.set_pxe(v, &pt[i + k], PXE_PT | PXE_CURRENT_AS | va);
            }
            ops.set_lazy_mode(0);
        } else {
            for (u32 k = 0; k < now; k++) {
                *(volatile u32 *)&pt[i + k] = v;
            }
        }
        i = (i + now) % PAGES;
        va = WINDOW + i * PAGE;
        n -= now;
    }
    return rdtsc() - begin;
}

static u64 native_set_pxe(u32 n) { return set_entries(n, false); }
static u64 vmi_set_pxe(u32 n) { return set_entries(n, true); }

/* The sum of the first bytes of FLUSHED pages from EDI on. */
extern const u8 nano_user_reads[];
__asm__(".pushsection .text; nano_user_reads: mov $16, %ecx; xor %eax, %eax\n"
        "1: movzbl (%edi), %edx; add %edx, %eax; add $4096, %edi; dec %ecx; jnz 1b; int $0x80; .popsection");

static bool user_reads(u32 first, u32 which)
{
    return TRY(enter_user(USER(nano_user_reads), WINDOW + first * PAGE, 0)) == VECTOR_USER_EXIT &&
           trap.frame.ax == FLUSHED * (which + 1);
}

/*
 * n entries changed, FLUSHED at a time, the TLB flushed and all the pages read by user code; as mprotect() and what follows it.
 * The result is checked.  Reading alone is the base.
 */
static u64 batches(u32 n, bool by_vmi)
{
    u64 begin = rdtsc();
    bool good = true;

    for (u32 done = 0; done < n; done += FLUSHED) {
        u32 first = turn % PAGES, which = 0;

        if (by_vmi) {
            ops.set_lazy_mode(1);
            for (u32 k = first; k < first + FLUSHED; k++) {
                ops.set_pxe(next_frame(PTE_USER, &which), &pt[k], PXE_PT | PXE_CURRENT_AS | (WINDOW + k * PAGE));
            }
            ops.set_lazy_mode(0);
            ops.flush_tlb(1);
        } else {
            for (u32 k = first; k < first + FLUSHED; k++) {
                *(volatile u32 *)&pt[k] = next_frame(PTE_USER, &which);
            }
            write_cr3(read_cr3());
        }
        good &= user_reads(first, which);
    }
    return good ? rdtsc() - begin : NANO_BAD;
}

static u64 native_batches(u32 n) { return batches(n, false); }
static u64 vmi_batches(u32 n) { return batches(n, true); }

static u64 read_only(u32 n)
{
    u64 begin = rdtsc();

    for (u32 done = 0; done < n; done += FLUSHED) {
        user_reads(0, 0);
    }
    return rdtsc() - begin;
}

/*
 * A kernel's mixture per page: interrupts off and on around it, an entry changed to another frame, its translation
 * dropped, the page touched, every 16th time a whole flush.  The result is checked.
 */
static u64 mixed(u32 n, bool by_vmi)
{
    u64 begin = rdtsc(), took;
    bool good = true;

    for (u32 i = 0; i < n; i++) {
        u32 page = turn % PAGES, va = WINDOW + page * PAGE, which, flags;
        u32 v = next_frame(PTE_PLAIN, &which);

        if (by_vmi) {
            flags = f_get_mask();
            f_disable();
            ops.set_pxe(v, &pt[page], PXE_PT | PXE_CURRENT_AS | va);
            ops.inval_page(va);
            good &= *(volatile u8 *)va == which + 1;
            f_set_mask(flags);
            if (i % 16 == 0) {
                ops.flush_tlb(1);
            }
        } else {
            flags = (u32)read_flags();
            cli();
            *(volatile u32 *)&pt[page] = v;
            invlpg(va);
            good &= *(volatile u8 *)va == which + 1;
            write_flags(flags);
            if (i % 16 == 0) {
                write_cr3(read_cr3());
            }
        }
    }
    took = rdtsc() - begin;
    return good ? took : NANO_BAD;
}

static u64 native_mixed(u32 n) { return mixed(n, false); }
static u64 vmi_mixed(u32 n) { return mixed(n, true); }

#endif

const NanoOp nano_vmi[] = {
    {"native_setpxe", native_set_pxe, NULL, open_window, 0},
    {"vmi_setpxe", vmi_set_pxe, NULL, found_and_open, 0},
    {"native_ptbatch", native_batches, read_only, open_user_window, 0},
    {"vmi_ptbatch", vmi_batches, read_only, found_and_open_user, 0},
    {"native_ptmix", native_mixed, NULL, open_window, 0},
    {"vmi_ptmix", vmi_mixed, NULL, found_and_open, 0},
    {"vmi_clisti", disable_enable, nothing, found_and_open, 0},
    {"vmi_getmask", get_mask, nothing, found_and_open, 0},
    {"vmi_saverestore", save_restore, nothing, found_and_open, 0},
    {"vmi_getcr0", get_cr0, nothing, found_and_open, 0},
    {"vmi_sysexit", vmi_sysexit, nano_user_base, found_and_fast, 0},
    {"vmi_invalpage", inval, nothing, found_and_open, 0},
    {"vmi_counter", counter, nothing, found_and_open, 0},
    {"native_eoi", native_eoi, no_eoi, open_window, 0},
    {"vmi_eoi", vmi_eoi, no_eoi, found_and_open, 0},
    {"vmi_setalarm", alarm, nothing, found_and_open, 0},
    {NULL, NULL, NULL, NULL, 0},
};
