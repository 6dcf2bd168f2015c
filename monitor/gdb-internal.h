/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the gdb stub's files: gdb.c (link, session), gdb-commands.c (packets), gdb-break.c. */
#ifndef MONITOR_GDB_INTERNAL_H
#define MONITOR_GDB_INTERNAL_H

#include "monitor/gdb.h"
#include "monitor/gdb-regs.h"
#include "monitor/run-loop.h"

enum { GDB_PACKET_MAX = 0x4000 };

/* The protocol's breakpoint kinds (Z packets). */
typedef enum { GDB_BREAK_SOFT, GDB_BREAK_HARD, GDB_WATCH_WRITE, GDB_WATCH_READ, GDB_WATCH_ACCESS,
               GDB_BREAK_KINDS } GdbBreakKind;

typedef struct {
    GdbBreakKind kind;
    uint64_t addr, len;
} GdbBreak;

/* What the stub keeps of a CPU; CpuState.breakpoint_at gets it. */
typedef struct {
    GdbStub *stub;
    CpuState *cpu;
    bool has_hit;              /* it hit a watchpoint, which is not reported yet */
    GdbBreak hit;
} GdbCpu;

enum { GDB_STEP_MASKS_IRQS = 2, GDB_STEP_STOPS_TIME = 4 }; /* QEMU's sstepbits; bit 0 is always set */

struct GdbStub {
    /* wiring */
    Machine *machine;
    Chardev *chardev;          /* borrowed from the machine                                     */
    bool drops_chardev;        /* it was made for the stub alone                                */
    GdbCpu *cpus;              /* of each CPU */

    /* the link */
    enum { GDB_IDLE, GDB_PACKET, GDB_SUM1, GDB_SUM2 } state;
    GByteArray *packet;        /* what came, unescaped      */
    bool escaped;
    uint8_t sum, given_sum;
    GString *sent;             /* the last packet, for '-'  */
    bool no_ack, no_ack_next;

    /* the session */
    bool attached, busy;       /* busy: in a packet's handler                                   */
    bool resumed;              /* gdb waits for a stop reply                                    */
    bool multiprocess, knows_swbreak, knows_hwbreak;
    bool physical;             /* m and M mean physical addresses                               */
    unsigned step_flags;
    unsigned cpu, resume_cpu;  /* of Hg and Hc; resume_cpu may be GDB_ALL                       */
    unsigned next_thread;      /* of qsThreadInfo                                               */
    unsigned monitor_cpu;      /* the monitor's current CPU, for `monitor` commands             */
    GdbRegs *regs;

    /* breakpoints: changed only while all CPUs are parked */
    GArray *breaks;            /* GdbBreak                                                      */
    GArray *watches;           /* DebugWatch, of the watchpoints among them                     */
    uint64_t exec_filter;      /* bit (address & 63) of each execution breakpoint               */

    /* why the machine stopped (machine lock) */
    struct {
        bool valid;
        unsigned cpu;
        GdbStop why;
        GdbBreak at;           /* of a watchpoint or breakpoint                                 */
    } stop;
};

enum { GDB_ALL = UINT32_MAX };

/* gdb.c */
void gdb_send(GdbStub *g, const char *text, size_t len);
/* "T05thread:..." for why the machine stopped, or for `signal` when it just did. */
void gdb_append_stop(GdbStub *g, GString *out, unsigned signal);
/* Let the CPUs run as modes[] (one of each) says; a stop reply will follow. */
void gdb_resume(GdbStub *g, const GoMode *modes);

/* gdb-commands.c: carry out g->packet.  False: the reply comes later (it is running). */
bool gdb_command(GdbStub *g, GString *reply);
void gdb_append_thread(const GdbStub *g, GString *out, unsigned cpu);

/* gdb-break.c */
bool gdb_break_insert(GdbStub *g, const GdbBreak *b);
bool gdb_break_remove(GdbStub *g, const GdbBreak *b);
void gdb_break_remove_all(GdbStub *g);
/* Arm the CPUs; stepping ones walk past execution breakpoints. */
void gdb_break_arm(GdbStub *g, const GoMode *modes);
/* The execution breakpoint where `cpu` stands, or NULL. */
const GdbBreak *gdb_break_at(const GdbStub *g, const CpuState *cpu);
/* Move a watchpoint's hit from the CPU to its GdbCpu. */
void gdb_break_take_hit(GdbStub *g, CpuState *cpu);
bool gdb_break_exists(const GdbStub *g, const GdbBreak *b);

#endif /* MONITOR_GDB_INTERNAL_H */
