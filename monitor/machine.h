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
#include "hwaccel/engine.h"
#include "monitor/icount.h"
#include "monitor/trail.h"
#include "pv/pv.h"
#include "softmmu/base/clock.h"
#include "softmmu/base/timer.h"
#include "softmmu/phys-mem.h"
#include "softmmu/port-space.h"

typedef struct Machine Machine;
/* monitor/config.h: the parsed command line */
typedef struct MachineConfig MachineConfig;
typedef struct LineConfig LineConfig;
typedef struct MachineClass MachineClass;
typedef struct RunLoop RunLoop;               /* monitor/run-loop.c */
typedef struct Qmp Qmp;                       /* monitor/qmp.h */
typedef struct GdbStub GdbStub;               /* monitor/gdb.c */

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
    CAUSE_WATCHDOG,           /* -watchdog-action               */
    CAUSE_FAILED,             /* an engine or back end is lost  */
} MachineCause;

/* What the machine is doing (QMP's RunState).  `running` is true in RUN_RUNNING only. */
typedef enum {
    RUN_PRELAUNCH,            /* -S, or reset while stopped     */
    RUN_RUNNING,
    RUN_PAUSED,               /* stopped by a monitor           */
    RUN_SHUTDOWN,             /* powered off, with -no-shutdown */
    RUN_GUEST_PANICKED,
    RUN_INTERNAL_ERROR,
    RUN_DEBUG,                /* a CPU stopped for gdb          */
    RUN_WATCHDOG,             /* a watchdog ran out             */
    RUN_INMIGRATE,            /* waits for its state to come    */
    RUN_FINISH_MIGRATE,       /* stands still, its state goes   */
    RUN_POSTMIGRATE,          /* has gone, to a file or another process */
    RUN_STATE_COUNT
} RunState;

/* What a schematic provides; the functions run in the I/O thread with the machine lock held. */
struct MachineClass {
    const char *name;
    /* Make memory, CPUs and devices; wire them.  False: `error`; what was made is freed by free(). */
    bool (*build)(Machine *m, GError **error);
    /* After all devices and CPUs are reset: load what firmware or a boot protocol wants in memory and
     * set the CPUs' first state.  Called first by machine_new(), then at each reset. */
    bool (*boot)(Machine *m, GError **error);
    /* A CPU took INIT: reset its local APIC.  May be NULL. */
    void (*cpu_init)(Machine *m, CpuState *cpu);
    /* A start-up IPI finds a CPU waiting: true when it was started otherwise than in real mode, or is not
     * to start at all.  May be NULL. */
    bool (*start_cpu)(Machine *m, CpuState *cpu);
    void (*powerdown)(Machine *m);            /* press the power button; may be NULL */
    void (*nmi)(Machine *m);                  /* may be NULL */
    /* A key (hw/ps2-kbd.h's numbers) goes down or up; may be NULL: no keyboard. */
    void (*key)(Machine *m, unsigned key, bool down);
    /* `info irq`, `info pci`...: append text, or return false when there is nothing of that name. */
    bool (*info)(Machine *m, const char *what, GString *out);
    void (*free)(Machine *m);                 /* after the devices are gone */
    const FieldTable *state;                  /* what is saved of `platform` */
};

extern const MachineClass machine_pc, machine_microvm, machine_none;

struct Machine {
    /* wiring, set once */
    const MachineConfig *config;
    const MachineClass *cls;
    Lock lock;
    Clock *clock;
    TimerQueue timers;
    Icount *icount;           /* NULL: time is the host's                                */
    Trail *trail;             /* NULL: none                                              */
    PhysMem *mem;
    PortSpace *ports;
    CpuModel *cpu_model;
    CpuState **cpus;
    unsigned n_cpus;
    Pv *pv;                   /* NULL: no CPUs                                           */
    GMainContext *context;
    KvmConfig kvm;             /* what the engine kvm takes */
    GPtrArray *devices;       /* Device*, owned, in order of creation (= reset order)   */
    GPtrArray *chardevs;      /* BackEndChardev*, owned (monitor/back-ends.h)            */
    GPtrArray *blocks;        /* BackEndBlock*, owned                                    */
    GPtrArray *iothreads;     /* IoThread*, owned                                        */
    const EngineClass *engine;
    GArray *past_engines;     /* monitor/accel.c: those of before; NULL: none            */
    uint64_t engine_since;    /* on the machine's clock, in ns                           */

    /* state (machine lock) */
    struct {                  /* what to do (monitor/config.h's enums): -action, set-action */
        int reboot, shutdown, panic, watchdog;
    } on;
    bool running;             /* vCPUs may run (not stopped by the monitor)              */
    RunState state;           /* RUN_RUNNING exactly while `running`                     */
    bool reset_wanted, quit_wanted;
    bool stop_wanted;         /* somebody else than the I/O thread asks for `stop_as`    */
    RunState stop_as;
    bool time_stands;         /* the clock does not go on even while running (gdb steps) */
    MachineCause cause;       /* of quit_wanted, or of the last reset                    */
    int exit_code;
    bool has_run;             /* once at least                                          */
    struct Migration *migration; /* monitor/migrate.c; owned, NULL: never asked for      */
    bool migrate_events;      /* migrate-set-capabilities events=true                   */
    bool runs_after_load;     /* the machine that was loaded was running                */
    uint64_t stopped_tsc;     /* host TSC when `running` became false                    */
    pthread_t io_thread;
    GPtrArray *monitors;      /* HmpMonitor*, owned */
    Qmp *qmp;                 /* owned; NULL: no QMP monitor */
    RunLoop *loop;
    struct QmpKeys *keys;     /* of the monitor's sendkey; owned, NULL: never used       */
    GdbStub *gdb;             /* owned; NULL: none                                       */
    uint64_t *busy_ns;        /* CPU time of each CPU's thread, as of its last parking   */
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
void machine_request_stop(Machine *m, RunState why);
/* I/O thread. */
void machine_set_running(Machine *m, bool running);
/* Stop, and say why; a machine that is stopped already stays what it is.  I/O thread. */
void machine_stop(Machine *m, RunState why);
/* Its state is on its way, in or out: it neither runs nor is reset. */
bool machine_is_held(const Machine *m);
/* Only a reset leads on from here: `cont` is refused. */
bool machine_needs_reset(const Machine *m);
const char *machine_state_name(RunState s);
/* Carry out a wanted reset at once instead of at the I/O thread's next turn.  I/O thread. */
void machine_settle(Machine *m);
/* One turn of machine_run()'s loop, for commands that wait.  I/O thread. */
void machine_iterate(Machine *m);
/* Press the power button, where there is one. */
void machine_powerdown(Machine *m);
/* Ctrl-A x, `quit`: machine_request_shutdown() with CAUSE_HOST_QUIT; a callback's form. */
void machine_quit(void *m);
/* Guest devices' forms of the requests: CAUSE_GUEST_RESET, CAUSE_GUEST_SHUTDOWN. */
void machine_guest_reset(void *m);
void machine_guest_shutdown(void *m);
void machine_guest_debug_exit(void *m, int code);
/* pvpanic: `event` as in hw/pvpanic.h. */
void machine_guest_panic(void *m, unsigned event);
/* A watchdog device has run out. */
void machine_watchdog(void *m);

/* What has that id, borrowed; NULL when there is none. */
Chardev *machine_chardev(Machine *m, const char *id);
BlockBackend *machine_block(Machine *m, const char *drive_id);
Device *machine_find_device(Machine *m, const char *id);

/* For schematics: own a device; map its windows. */
void machine_add_device(Machine *m, Device *d);
/* What is at the end of a line of the configuration, for one front end: *chardev is NULL when nothing
 * is.  Lines that share a chardev get fronts of its mux. */
bool machine_line(Machine *m, const LineConfig *line, Chardev **chardev, GError **error);
void machine_map_port(Machine *m, Device *d, unsigned window, uint16_t base);
void machine_map_mmio(Machine *m, Device *d, unsigned window, uint64_t base);

#endif /* MONITOR_MACHINE_H */
