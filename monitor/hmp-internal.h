/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between hmp.c and the files with command handlers. */
#ifndef MONITOR_HMP_INTERNAL_H
#define MONITOR_HMP_INTERNAL_H

#include "monitor/machine.h"

typedef struct {
    Machine *machine;
    unsigned *current_cpu;
    GString *out;
    int argc;                  /* without the command's name */
    char **argv;
} HmpCall;

typedef void HmpHandler(HmpCall *c);

#define COMMAND(names, args, handler, help) HmpHandler hmp_##handler;
#define INFO(name, handler, help) HmpHandler hmp_info_##handler;
#include "monitor/commands.def"
#undef COMMAND
#undef INFO

#endif /* MONITOR_HMP_INTERNAL_H */
