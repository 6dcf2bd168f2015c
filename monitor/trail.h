/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lock-step of two machines that count instructions (-icount): one writes its CPU's state down wherever that is to be had (behind
 * each translated block, each run of the interpreter), as a trail; the other, mostly under -accel interpret, stops at the same
 * instructions and compares.  The trail is a pipe or a file.
 *
 * A step is the number of instructions executed and all of the CPU's state: registers, flags, vector and x87 registers, segments,
 * control, debug and descriptor-table registers, MSRs, what waits to happen.  Not compared: what x87 says of its last
 * instruction's addresses (hosts' addresses), and memory, but what comes of it.
 */
#ifndef MONITOR_TRAIL_H
#define MONITOR_TRAIL_H

#include "cpu-x86/state.h"

#include <glib.h>

typedef struct Trail Trail;

/* For cpu, whose steps are written to `path`, at least `every` instructions apart but where runs end (0: behind each block), or
 * compared with those there.  NULL: `error` says why. */
Trail *trail_write(const char *path, uint64_t every, CpuState *cpu, GError **error);
Trail *trail_follow(const char *path, CpuState *cpu, GError **error);
void trail_free(Trail *t);

/* Instructions to the next step, at most `most`; 0: there is none.  Own thread of the CPU, between runs; may wait for the other machine. */
uint64_t trail_budget(Trail *t, uint64_t most);

/* The CPU has come from run(): write a step, or compare when this is where one was.  False: they differ, and the error output says
 * how. */
bool trail_step(Trail *t);

uint64_t trail_steps(const Trail *t);

#endif /* MONITOR_TRAIL_H */
