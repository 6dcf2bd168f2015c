/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between hmp.c and the files with command handlers. */
#ifndef MONITOR_HMP_INTERNAL_H
#define MONITOR_HMP_INTERNAL_H

#include "monitor/machine.h"

typedef struct {
    Machine *machine;
    unsigned *current_cpu;
    GString *out;
    const GPtrArray *history;  /* char*, of the connection; NULL: there is none */
    int argc;                  /* without the command's name */
    char **argv;
} HmpCall;

typedef void HmpHandler(HmpCall *c);

/* The current CPU, or NULL when there is none. */
CpuState *hmp_cpu_of(const HmpCall *c);
/* "Error: ..." */
void hmp_error(HmpCall *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Add (copies of) what the argument of `command` may be that begins with `start`. */
void hmp_complete_argument(const char *command, const char *start, GPtrArray *words);

#define COMMAND(names, args, handler, help) HmpHandler hmp_##handler;
#define INFO(name, handler, help) HmpHandler hmp_info_##handler;
#include "monitor/commands.def"
#undef COMMAND
#undef INFO

#endif /* MONITOR_HMP_INTERNAL_H */
