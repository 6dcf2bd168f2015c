/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Printers of CPU state for the monitor; the CPU is parked. */
#ifndef MONITOR_CPU_DUMP_H
#define MONITOR_CPU_DUMP_H

#include "cpu-x86/state.h"

#include <glib.h>

const char *cpu_activity_name(CpuActivity a);
void cpu_dump_registers(const CpuState *cpu, GString *out);
/* "rip", "eax", "r8", "cr3"...; false when there is none of that name. */
bool cpu_register_by_name(const CpuState *cpu, const char *name, uint64_t *v);
#endif /* MONITOR_CPU_DUMP_H */
