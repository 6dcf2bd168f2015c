/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions as time (-icount): the machine's clock, its timers and its CPU's TSC go by what that CPU has executed, 2^shift ns
 * an instruction, so that each run of the same machine with the same input is the same to the instruction, under any engine.
 *
 *   - One CPU.  Its thread runs the timers, between runs of the engine that end exactly where the next timer is due.  A timer
 *     that becomes the next one ends the run behind the instruction that set it.
 *   - While the CPU is halted time does not pass: it jumps to the next timer (QEMU's sleep=off).  Without timers it waits
 *     for the world outside, which is not the same each time.
 *   - The TSC counts nanoseconds.
 *
 * With a trail (monitor/trail.h) two such machines are compared in lock-step.
 */
#ifndef MONITOR_ICOUNT_H
#define MONITOR_ICOUNT_H

#include "cpu-x86/state.h"
#include "softmmu/base/timer.h"

typedef struct Icount Icount;

/* Never NULL; free with icount_free().  shift: 0 to 10. */
Icount *icount_new(unsigned shift);
void icount_free(Icount *i);

/* Borrowed. */
Clock *icount_clock(Icount *i);

/* cpu, just made, is the one whose instructions count; its TSC is this clock's from here on. */
void icount_attach(Icount *i, CpuState *cpu);

/* Own thread of the CPU, between runs, with the machine lock: timers that are due run; how many instructions until the next one
 * is, at least 1 and at most `most`. */
uint64_t icount_budget(Icount *i, TimerQueue *q, uint64_t most);

/* ... with a CPU that waits: on to the next timer, which runs.  False: there is none. */
bool icount_jump(Icount *i, TimerQueue *q);

/* The timer queue's wake(): whoever runs is to look at the timers.  Any thread. */
void icount_wake(Icount *i);

#endif /* MONITOR_ICOUNT_H */
