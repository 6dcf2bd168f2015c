/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine: everything of one guest hangs off it.  machine.c makes, runs and frees it;
 * machine-pc.c and machine-microvm.c are the schematics (which devices, where, wired how).
 *
 * Threads: one per vCPU (run-loop.c), and the thread that called machine_run(), which is the I/O
 * thread: it sleeps in the GMainContext and runs timers, back ends and monitors, each time taking
 * the machine lock.
 */
#ifndef MONITOR_MACHINE_H
#define MONITOR_MACHINE_H

#include "cpu-x86/cpuid.h"
#include "cpu-x86/engine.h"
#include "hw/block.h"
#include "hw/chardev.h"
#include "hw/device.h"
#include "hw/irq.h"
#include "softmmu/base/clock.h"
#include "softmmu/base/timer.h"
#include "softmmu/phys-mem.h"
#include "softmmu/port-space.h"

typedef struct Machine Machine;
typedef struct MachineConfig MachineConfig;   /* monitor/config.h: the parsed command line */

/* Why the machine stopped or is to be reset (QMP's SHUTDOWN and RESET reasons). */
typedef enum {
    CAUSE_NONE,
    CAUSE_GUEST_SHUTDOWN,     /* ACPI S5, APM...                */
    CAUSE_GUEST_RESET,        /* 0xcf9, port 92, i8042, ACPI    */
    CAUSE_GUEST_PANIC,
    CAUSE_TRIPLE_FAULT,
    CAUSE_DEBUG_EXIT,         /* isa-debug-exit: exit_code      */
    CAUSE_HOST_SIGNAL,
    CAUSE_HOST_QUIT,          /* monitor quit, Ctrl-A x         */
    CAUSE_HOST_RESET,         /* system_reset                   */
    CAUSE_FAILED,             /* an engine or back end is lost  */
} MachineCause;

struct Machine {
    /* wiring, set once */
    const MachineConfig *config;
    Lock lock;
    Clock *clock;
    TimerQueue timers;
    PhysMem *mem;
    PortSpace *ports;
    CpuModel *cpu_model;
    CpuState **cpus;
    unsigned n_cpus;
    GMainContext *context;
    GPtrArray *devices;       /* Device*, owned, in order of creation (= reset order)   */
    GPtrArray *chardevs;      /* Chardev*, owned */
    GPtrArray *blocks;        /* BlockBackend*, owned */
    const EngineClass *engine;

    /* state (machine lock) */
    bool running;             /* vCPUs may run (not stopped by the monitor)              */
    bool reset_wanted, quit_wanted;
    MachineCause cause;
    int exit_code;
    void *threads;            /* run-loop.c's */
    void *platform;           /* machine-pc.c's or machine-microvm.c's */
};

/* Build everything the configuration asks for; NULL with one line in `error`. */
Machine *machine_new(const MachineConfig *config, GError **error);
void machine_free(Machine *m);

/* Run until shutdown; returns the process's exit status. */
int machine_run(Machine *m);

/* From devices and monitors (machine lock held): ask, and return at once. */
void machine_request_reset(Machine *m, MachineCause cause);
void machine_request_shutdown(Machine *m, MachineCause cause, int exit_code);
void machine_set_running(Machine *m, bool running);

/* For schematics: own a device; map its windows. */
void machine_add_device(Machine *m, Device *d);
void machine_map_port(Machine *m, Device *d, unsigned window, uint16_t base);
void machine_map_mmio(Machine *m, Device *d, unsigned window, uint64_t base);

#endif /* MONITOR_MACHINE_H */
