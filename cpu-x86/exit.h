/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exits: how an engine tells the run loop why it stopped.  Port and memory accesses of devices are
 * not exits: each engine performs them through softmmu.
 */
#ifndef CPU_X86_EXIT_H
#define CPU_X86_EXIT_H

#include <stdint.h>

typedef enum {
#define EXIT(id, stat, action) CPU_EXIT_##id,
#include "cpu-x86/exits.def"
#undef EXIT
    CPU_EXIT_COUNT
} CpuExit;

typedef struct {
    const char *name, *stat, *action;
} CpuExitInfo;

extern const CpuExitInfo cpu_exit_info[CPU_EXIT_COUNT];

#endif /* CPU_X86_EXIT_H */
