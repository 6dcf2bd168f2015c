/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gdb stub: gdb's remote serial protocol on a character device.
 *
 * One gdb at a time debugs the whole machine: process 1, whose threads are the CPUs.  It comes and goes;
 * coming stops the machine, detaching lets it run on, and no breakpoint outlives its gdb.  All-stop: when
 * one CPU stops, all do.
 *
 * Everything runs in the I/O thread with the machine lock held, except gdb_cpu_stopped().
 */
#ifndef MONITOR_GDB_H
#define MONITOR_GDB_H

#include "monitor/machine.h"

typedef enum { GDB_STOP_BREAKPOINT, GDB_STOP_WATCH, GDB_STOP_STEP } GdbStop;

/* What -gdb asks for. */
bool gdb_open(Machine *m, GError **error);
void gdb_free(GdbStub *g);

/* Listen elsewhere from now on (monitor `gdbserver`): `where` as -gdb takes it; "none": nowhere. */
bool gdb_move(Machine *m, const char *where, GError **error);

/* A gdb is there: the machine does not start by itself. */
bool gdb_is_attached(const Machine *m);

/* CPU thread, no lock held: this CPU stands before a breakpoint, has hit a watchpoint or done its step. */
void gdb_cpu_stopped(Machine *m, CpuState *cpu, GdbStop why);

/* All CPUs are parked; the process is about to end. */
void gdb_machine_stopped(Machine *m);
void gdb_machine_exits(Machine *m, int status);

#endif /* MONITOR_GDB_H */
