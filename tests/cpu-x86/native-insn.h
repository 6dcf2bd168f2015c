/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs one user-mode instruction on the host CPU: the oracle of the integer instruction tests.
 *
 * A stub at NATIVE_STUB loads all sixteen general registers and the flags, holds the instruction,
 * and saves them again.  The registers live at a fixed low address, as does the data page, which
 * lies where the guest's does, so that both sides compute the same addresses.
 */
#ifndef TESTS_CPU_X86_NATIVE_INSN_H
#define TESTS_CPU_X86_NATIVE_INSN_H

#include <glib.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { NATIVE_DATA = 0x200000, NATIVE_DATA_SIZE = 0x10000, NATIVE_STUB = 0x300000 };

typedef struct {
    uint64_t gpr[16], flags;
    uint64_t host_rsp;
} NativeRegs;

typedef struct {
    NativeRegs *regs;
    uint8_t *code, *data;
} Native;

static sigjmp_buf native_fault;

static void native_on_signal(int sig)
{
    siglongjmp(native_fault, sig);
}

static inline void native_init(Native *n)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    uint8_t *stub = mmap((void *)NATIVE_STUB, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0);
    stack_t ss = {.ss_size = 65536}; /* mapped: the kernel alone will know of it, and leaks are looked for */
    struct sigaction sa = {.sa_handler = native_on_signal, .sa_flags = SA_ONSTACK | SA_NODEFER};

    n->data = mmap((void *)NATIVE_DATA, NATIVE_DATA_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
    ss.ss_sp = mmap(NULL, ss.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert(ss.ss_sp != MAP_FAILED && stub == (void *)NATIVE_STUB && n->data == (void *)NATIVE_DATA);
    n->code = stub;
    n->regs = (NativeRegs *)(stub + 4096);
    sigaltstack(&ss, NULL);
    sigaction(SIGFPE, &sa, NULL);
    sigaction(SIGILL, &sa, NULL);
    sigaction(SIGSEGV, &sa, NULL);
}

/* mov between register and [abs32]: 48/4c 8b/89 /r with SIB 25 */
static inline uint8_t *native_move(uint8_t *p, bool load, unsigned reg, const void *at)
{
    uint32_t abs = (uint32_t)(uintptr_t)at;

    *p++ = reg >= 8 ? 0x4c : 0x48;
    *p++ = load ? 0x8b : 0x89;
    *p++ = (uint8_t)(0x04 | (reg & 7) << 3);
    *p++ = 0x25;
    memcpy(p, &abs, 4);
    return p + 4;
}

/* push or pop qword [abs32] */
static inline uint8_t *native_stack(uint8_t *p, bool push, const void *at)
{
    uint32_t abs = (uint32_t)(uintptr_t)at;

    *p++ = push ? 0xff : 0x8f;
    *p++ = push ? 0x34 : 0x04;
    *p++ = 0x25;
    memcpy(p, &abs, 4);
    return p + 4;
}

static inline uint8_t *native_bytes(uint8_t *p, const void *bytes, size_t len)
{
    memcpy(p, bytes, len);
    return p + len;
}

/* Execute `insn` with *regs (in and out).  Returns 0, or the signal it raised. */
static inline int native_run(Native *n, const uint8_t *insn, size_t len, NativeRegs *regs)
{
    static const uint8_t save[] = {0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57};
    static const uint8_t restore[] = {0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b};
    NativeRegs *r = n->regs;
    uint8_t *p = n->code;
    int sig;

    p = native_bytes(p, save, sizeof save);
    p = native_stack(p, true, &r->flags);
    *p++ = 0x9d; /* popfq */
    p = native_move(p, false, 4, &r->host_rsp);
    for (unsigned i = 0; i < 16; i++) {
        p = native_move(p, true, i, &r->gpr[i]);
    }
    p = native_bytes(p, insn, len);
    for (unsigned i = 0; i < 16; i++) {
        p = native_move(p, false, i, &r->gpr[i]);
    }
    p = native_move(p, true, 4, &r->host_rsp);
    *p++ = 0x9c; /* pushfq */
    p = native_stack(p, false, &r->flags);
    *p++ = 0xfc; /* cld */
    p = native_bytes(p, restore, sizeof restore);
    *p = 0xc3;
    *r = *regs;
    sig = sigsetjmp(native_fault, 1);
    if (sig == 0) {
        ((void (*)(void))(uintptr_t)n->code)();
        *regs = *r;
    }
    return sig;
}

#endif /* TESTS_CPU_X86_NATIVE_INSN_H */
