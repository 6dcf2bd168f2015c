/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run loop: one host thread per virtual CPU, which runs the engine and acts on what it returns.
 *
 *   - A CPU thread is parked while its CPU_REQ_STOP is set; STOP is set on all CPUs while the machine
 *     is not running, while a stop, reset or shutdown is wanted, and while someone holds a pause.
 *   - INIT and SIPI are acted on here, by the CPU's own thread, with the machine lock held.
 *   - Parked threads have canonical CpuStates: a pause is what monitors and resets take to look at
 *     or change a CPU.
 */
#ifndef MONITOR_RUN_LOOP_H
#define MONITOR_RUN_LOOP_H

#include "monitor/machine.h"

/* Make the threads, parked.  Machine lock held. */
bool run_loop_start(Machine *m, GError **error);
/* End and join them.  Machine lock held once (it is let go of while waiting). */
void run_loop_stop(Machine *m);

/* Hold all CPUs parked; nests.  run_loop_pause() waits for them and lets go of the machine lock
 * meanwhile: I/O thread only, lock held once. */
void run_loop_pause(Machine *m);
void run_loop_resume(Machine *m);

/* Bring STOP in line with the machine's state after a change of it.  Any thread, lock held. */
void run_loop_update(Machine *m);

/* Does any CPU run, neither halted nor waiting to be started?  As of now; lock held. */
bool run_loop_cpus_run(const Machine *m);

/* The host's id of a CPU's thread, or 0 before it runs.  Lock held. */
int run_loop_thread_id(const Machine *m, unsigned cpu);

/* How a CPU runs while the machine does: the debugger's wish.  Any but GO_FREELY ends with
 * gdb_cpu_stopped().  The CPU is parked; lock held. */
typedef enum {
    GO_FREELY,
    GO_ONE,                   /* one instruction or event                        */
    GO_ONE_MASKED,            /* one instruction, interrupts held meanwhile      */
    GO_NOT,                   /* stays parked                                    */
} GoMode;
void run_loop_set_mode(Machine *m, unsigned cpu, GoMode mode);

/* The CPU whose thread this is, or NULL. */
CpuState *run_loop_current_cpu(void);

#endif /* MONITOR_RUN_LOOP_H */
