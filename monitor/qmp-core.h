/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest as an ELF core file, for crash(8), gdb and drgn: a PT_LOAD segment for each piece of RAM
 * (p_paddr is the guest's physical address, p_vaddr 0), a PT_NOTE segment with the registers of each
 * CPU: NT_PRSTATUS of "CORE", and type 0 of "QEMU" (control registers and descriptor tables, by which
 * crash finds a relocated kernel).
 */
#ifndef MONITOR_QMP_CORE_H
#define MONITOR_QMP_CORE_H

#include "monitor/machine.h"

/* CPUs paused.  False with errno set. */
bool qmp_core_dump(Machine *m, int fd);

/* All of it; false with errno set. */
bool qmp_core_write(int fd, const void *buf, size_t len);

#endif /* MONITOR_QMP_CORE_H */
