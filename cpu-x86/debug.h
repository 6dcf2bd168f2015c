/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug registers (SDM vol. 3B chapter 17).
 *
 * Contract with an engine:
 *   - before an instruction at linear address `lin`, when cpu_debug_exec_armed() and RFLAGS.RF is
 *     clear: bits = cpu_debug_exec(); if not 0, cpu_debug_deliver(cpu, bits, DELIVER_FAULT)
 *     instead of executing;
 *   - data and I/O breakpoints and the T bit of a TSS collect in cpu->pending_dbg while the
 *     instruction runs; after it (rip is the next instruction) add DR6_BS when RFLAGS.TF was set at
 *     its start, and unless a mov-ss shadow holds traps back call cpu_debug_deliver(cpu, pending,
 *     DELIVER_TRAP), which clears pending_dbg;
 *   - IN and OUT call cpu_debug_io() once the port is allowed.
 */
#ifndef CPU_X86_DEBUG_H
#define CPU_X86_DEBUG_H

#include "cpu-x86/exception.h"

enum {
    DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR6_BT = 1 << 15,
    DR7_FIXED = 1 << 10, DR7_GD = 1 << 13,
};
#define DR6_FIXED UINT64_C(0xffff0ff0)

enum { BREAK_EXEC, BREAK_WRITE, BREAK_IO, BREAK_ACCESS }; /* the R/W field of DR7 */

static inline bool cpu_debug_enabled(const CpuState *cpu, unsigned n)
{
    return ((cpu->dr[7] >> (n * 2)) & 3) != 0;
}

static inline unsigned cpu_debug_kind(const CpuState *cpu, unsigned n)
{
    return (unsigned)(cpu->dr[7] >> (16 + n * 4)) & 3;
}

static inline bool cpu_debug_exec_armed(const CpuState *cpu)
{
    if (likely((cpu->dr[7] & 0xff) == 0)) {
        return false;
    }
    for (unsigned n = 0; n < 4; n++) {
        if (cpu_debug_enabled(cpu, n) && cpu_debug_kind(cpu, n) == BREAK_EXEC) {
            return true;
        }
    }
    return false;
}

/* DR6 bits of the instruction breakpoints that match `lin`. */
uint64_t cpu_debug_exec(const CpuState *cpu, GuestLin lin);

/* Record `bits` in DR6, clear DR7.GD and pending_dbg, deliver #DB.  False on triple fault. */
bool cpu_debug_deliver(CpuState *cpu, uint64_t bits, DeliverKind kind);

/* SoftMmu.watched: collect data breakpoints and note the debugger's watchpoints (CpuState.watch_hit).
 * `arg` is the CpuState. */
void cpu_debug_watched(void *arg, GuestLin lin, unsigned size, TlbAccess a);

/* I/O breakpoints (CR4.DE). */
void cpu_debug_io(CpuState *cpu, uint16_t port, unsigned size);

/* True when a data breakpoint or a debugger's watchpoint lies in this page: the walk inserts it with TLB_R_WATCH. */
bool cpu_debug_watches_page(const CpuState *cpu, GuestLin lin);

/* DR0-DR3, DR6, DR7 (n as decoded: 4 and 5 are aliases or #UD by CR4.DE).  Raise #UD, #DB (GD),
 * #GP(0).  The CPL check is the caller's. */
uint64_t cpu_read_dr(CpuState *cpu, unsigned n);
void cpu_write_dr(CpuState *cpu, unsigned n, uint64_t val);

#endif /* CPU_X86_DEBUG_H */
