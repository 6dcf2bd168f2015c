/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU registers as gdb numbers and encodes them (gdb-regs.def); the CPU is parked.
 *
 * A GdbRegs is one view of the registers, 64-bit or 32-bit; gdb is told of it by the XML at the start of
 * a session and keeps to it, whatever mode the CPU goes to.
 */
#ifndef MONITOR_GDB_REGS_H
#define MONITOR_GDB_REGS_H

#include "cpu-x86/state.h"

#include <glib.h>

typedef struct GdbRegs GdbRegs;

enum { GDB_REG_MAX_LEN = 16 };

GdbRegs *gdb_regs_new(const CpuState *cpu, bool is64);
void gdb_regs_free(GdbRegs *r);

/* The target description; borrowed. */
const char *gdb_regs_xml(const GdbRegs *r);
unsigned gdb_regs_count(const GdbRegs *r);
/* Length in bytes of register n; 0: no such register. */
unsigned gdb_regs_len(const GdbRegs *r, unsigned n);

/* Little-endian value of register n < count to `buf` (GDB_REG_MAX_LEN bytes); returns its length. */
unsigned gdb_regs_read(const GdbRegs *r, CpuState *cpu, unsigned n, uint8_t *buf);
/* False, with nothing changed, when the CPU could not have that value. */
bool gdb_regs_write(const GdbRegs *r, CpuState *cpu, unsigned n, const uint8_t *buf);

#endif /* MONITOR_GDB_REGS_H */
