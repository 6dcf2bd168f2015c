/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments of the process's own table: data with bases and limits, 32- and 16-bit code, entries that change under a loaded selector. */
#include "tests/user/user.h"

#include <asm/ldt.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { DATA = 0, CODE32, CODE16, ABSENT, EMPTY };
#define SEL(n) ((n) << 3 | 7)

static int set_entry(unsigned n, const void *base, unsigned limit, unsigned contents, int is32, int absent)
{
    struct user_desc d = {.entry_number = n, .base_addr = (unsigned)(uintptr_t)base, .limit = limit, .seg_32bit = is32 & 1,
                          .contents = contents & 3, .seg_not_present = absent & 1, .useable = 1};

    return (int)syscall(SYS_modify_ldt, 0x11, &d, sizeof d);
}

static int ended_by_any; /* signal */

static void faulted(int sig, siginfo_t *info, void *context)
{
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;

    printf("  signal %d code %d trap %lld err %#llx\n", sig, info->si_code, g[REG_TRAPNO], g[REG_ERR]);
    if (ended_by_any || (g[REG_TRAPNO] != 13 && g[REG_TRAPNO] != 11)) {
        _exit(1);
    }
    g[REG_RAX] = 0;            /* a null selector */
}

static uint64_t by_gs(void)
{
    uint64_t v;

    __asm__ volatile("mov %%gs:8, %0" : "=r"(v));
    return v;
}

static unsigned gs_now(void)
{
    uint16_t v;

    __asm__ volatile("mov %%gs, %0" : "=r"(v));
    return v;
}

static uint64_t *low_page(void)
{
    void *p = mmap(NULL, 16384, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    REQUIRE(p != MAP_FAILED);
    return p;
}

void case_ldt(void)
{
    uint64_t *low = low_page();
    uint32_t limit = 0;
    uint16_t ss = 0;
    uint8_t ok;

    if (set_entry(DATA, low, 0xfff, MODIFY_LDT_CONTENTS_DATA, 1, 0) != 0) {
        printf("no LDT\n");
        return;
    }
    on_signal(SIGSEGV, faulted);
    on_signal(SIGBUS, faulted);
    for (unsigned i = 0; i < 32; i++) {
        low[i] = 0x1000 + i;
    }
    __asm__ volatile("mov %0, %%gs" : : "r"(SEL(DATA)));
    printf("gs:8 %#lx\n", (unsigned long)by_gs());
    for (unsigned i = 0; i < 200; i++) {
        getppid();
        REQUIRE(by_gs() == 0x1001);
    }
    printf("after calls %#lx, selector %#x\n", (unsigned long)by_gs(), gs_now());
    REQUIRE(set_entry(DATA, low + 8, 0xfff, MODIFY_LDT_CONTENTS_DATA, 1, 0) == 0);
    __asm__ volatile("mov %0, %%gs" : : "r"(SEL(DATA)));
    printf("moved: %#lx, selector %#x\n", (unsigned long)by_gs(), gs_now());
    __asm__ volatile("lsl %2, %0\n\tsetz %1" : "+r"(limit), "=qm"(ok) : "r"(SEL(DATA)));
    printf("its limit %#x %d\n", limit, ok);
    __asm__ volatile("mov %1, %%ds; mov %1, %%es; mov %%ds:(%2), %0" : "=r"(limit) : "r"(SEL(DATA)), "r"(low));
    printf("ds has no base: %#x\n", limit);
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0));
    /* SS of the table: SYSRET makes it another, a page fault does not */
    __asm__ volatile("mov %%ss, %%ecx; mov %1, %%ss; movl $5, 8192(%2); mov %%ss, %0; mov %%ecx, %%ss"
                     : "=&r"(ss) : "r"(SEL(DATA)), "r"(low) : "rcx", "memory");
    printf("ss over a page fault %#x\n", ss);
    REQUIRE(set_entry(ABSENT, low, 0xfff, MODIFY_LDT_CONTENTS_DATA, 1, 1) == 0);
    printf("not present\n");
    __asm__ volatile("mov %0, %%gs" : : "a"(SEL(ABSENT)));
    printf("empty\n");
    __asm__ volatile("mov %0, %%gs" : : "a"(SEL(EMPTY)));
    printf("at last gs %#x\n", gs_now());
}

/* 32-bit code whose segment has a base, 16-bit code where the kernel allows it; each adds to eax and returns to 64-bit code. */
static void call_far(uint8_t *low, uint16_t selector, uint32_t offset, uint64_t *a, uint64_t *d)
{
    struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) far = {offset, selector};

    __asm__ volatile("mov %%rsp, %%r12; lea 16376(%2), %%rsp; lcall *(%3); mov %%r12, %%rsp"
                     : "+a"(*a), "+d"(*d) : "r"(low), "b"(&far) : "r12", "rcx", "memory", "cc");
}

void case_ldtcode(void)
{
    static const uint8_t code32[] = {0x05, 0x11, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0x5a, 0xcb}; /* add $17,eax; call .; pop edx; retf */
    static const uint8_t code16[] = {0x05, 0x22, 0x01, 0x66, 0xcb};                     /* add $0x122,ax; o32 retf           */
    uint8_t *low = (uint8_t *)low_page();
    uint64_t a, d;
    int has16;

    ended_by_any = 1;
    on_signal(SIGSEGV, faulted);
    if (set_entry(CODE32, low, 0xfff, MODIFY_LDT_CONTENTS_CODE, 1, 0) != 0) {
        printf("no LDT\n");
        return;
    }
    has16 = set_entry(CODE16, low + 4096, 0xfff, MODIFY_LDT_CONTENTS_CODE, 0, 0) == 0;
    printf("# 16-bit segments: %d\n", has16);
    memcpy(low + 16, code32, sizeof code32);
    memcpy(low + 4096 + 32, code16, sizeof code16);
    for (unsigned i = 0; i < 60; i++) {
        a = 0x10000 + i;
        d = 0;
        call_far(low, SEL(CODE32), 16, &a, &d);
        REQUIRE(a == 0x10011 + i && d == 26);
        if (has16) {
            call_far(low, SEL(CODE16), 32, &a, &d);
            REQUIRE(a == 0x10133 + i);
        }
        if (i % 10 == 0) {
            getppid();
        }
    }
    printf("code of the table ran\n");
}
