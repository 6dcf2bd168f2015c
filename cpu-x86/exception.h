/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raising and delivering exceptions and interrupts (SDM vol. 3A chapter 6).
 *
 * Instruction code raises with cpu_raise*(), which does not return: it unwinds (longjmp) to the
 * engine, with the CpuState as it was before the instruction (each instruction keeps that promise
 * by doing everything that can fault first).  The engine then delivers with cpu_deliver().
 */
#ifndef CPU_X86_EXCEPTION_H
#define CPU_X86_EXCEPTION_H

#include "cpu-x86/state.h"

/* Faults of the current instruction: rip stays on it.  Exceptions without an error code. */
_Noreturn void cpu_raise(CpuState *cpu, unsigned vector);
/* ... with one. */
_Noreturn void cpu_raise_code(CpuState *cpu, unsigned vector, uint32_t code);
/* #PF sets CR2; it waits in cpu->exc. */
void cpu_hold_page_fault(CpuState *cpu, GuestLin lin, uint32_t code);
/* What is in cpu->exc. */
_Noreturn void cpu_raise_held(CpuState *cpu);
/* Shorthands. */
_Noreturn void cpu_raise_ud(CpuState *cpu);
_Noreturn void cpu_raise_gp(CpuState *cpu, uint32_t code);

/* Back to the engine without an exception, state as it is now (rip is the next instruction):
 * for instructions that complete by leaving (hlt, a debug stop). */
_Noreturn void cpu_unwind(CpuState *cpu);
enum { UNWIND_EXCEPTION = 1, UNWIND_LEAVE = 2 }; /* what setjmp() sees */

typedef enum {
    DELIVER_FAULT,             /* exception: rip is the instruction that faulted, and is pushed  */
    DELIVER_TRAP,              /* #DB trap, int1: rip is past the instruction, and is pushed     */
    DELIVER_SOFT,              /* int n, int3, into: the gate's DPL is checked; rip is still the
                                  instruction, next_rip, which is pushed, behind it.  (The IOPL
                                  check of int n in virtual-8086 mode is the caller's.)          */
    DELIVER_EXTERNAL,          /* interrupt controller                                           */
    DELIVER_NMI,
} DeliverKind;

/*
 * Deliver through the IVT, IDT or a task gate.  Faults met on the way become double fault and
 * triple fault as table 6-5 says; never unwinds.  Returns false on triple fault (activity is
 * CPU_SHUTDOWN).  Overwrites cpu->exc; rip and next_rip are then the handler.  In real mode error
 * codes are not pushed.
 */
bool cpu_deliver(CpuState *cpu, unsigned vector, DeliverKind kind, bool has_code, uint32_t code);

#endif /* CPU_X86_EXCEPTION_H */
