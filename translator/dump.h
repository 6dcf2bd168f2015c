/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the translator makes, as text (-d), for perf (perf-map=on) and for gdb (gdb-jit=on). */
#ifndef TRANSLATOR_DUMP_H
#define TRANSLATOR_DUMP_H

#include "translator/block.h"
#include "translator/front.h"

/* A block was made of p: what -d in_asm, op and out_asm show. */
void dump_block(const CpuState *cpu, const Plan *p, const Block *b);
/* The guest's code of a plan, to the log. */
void dump_guest(const CpuState *cpu, const Plan *p);
/* It is about to run (-d exec).  While that is on, every block is entered by way of the dispatcher. */
void dump_exec(const CpuState *cpu, const Block *b);
bool dump_wants_exec(void);

/* -- perf-map.c ---- */

/* perf's list of symbols of generated code, /tmp/perf-PID.map: one line a block, appended.  NULL with
 * `error` when it cannot be made.  perf-PID.map outlives the process: perf reads it afterwards. */
typedef struct PerfMap PerfMap;
PerfMap *perf_map_open(GError **error);
void perf_map_add(PerfMap *m, const Block *b);
void perf_map_close(PerfMap *m);

/* -- gdb-jit.c ---- */

/* Blocks told to a host debugger by its JIT interface; under the cache's lock.  A block's handle is
 * given back when its memory is reused. */
typedef struct GdbJit GdbJit;
GdbJit *gdb_jit_new(void);
void *gdb_jit_add(GdbJit *g, const Block *b);
void gdb_jit_remove(GdbJit *g, void *handle);
void gdb_jit_free(GdbJit *g);

#endif /* TRANSLATOR_DUMP_H */
