/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPUs of a machine with their local APICs, and the glue between the two: what a CPU asks
 * (CpuBus) goes to its local APIC, what a local APIC wants becomes requests to its CPU.
 */
#ifndef MONITOR_PROCESSORS_H
#define MONITOR_PROCESSORS_H

#include "monitor/machine.h"

typedef struct Processors Processors;

/* The APIC bus (a device of the machine, its window mapped) and the CPU model; NULL with `error` when
 * -cpu asks for what is not there.  Free after the devices. */
Processors *processors_new(Machine *m, GError **error);
void processors_free(Processors *p);

Device *processors_apic_bus(Processors *p);

/* Make all CPUs.  `pic` answers ExtINT acknowledges, `fpu_error` gets FERR#; NULL: absent. */
void processors_add_cpus(Processors *p, Device *pic, Device *fpu_error);

/* The board's other interrupt controllers (`pit` may be NULL), for engines that have their own; of a board with a PIC. */
void processors_lend_chips(Processors *p, Device *ioapic, Device *pit);

Device *processors_lapic(Processors *p, unsigned cpu);

/* MachineClass.cpu_init and nmi. */
void processors_cpu_init(Processors *p, CpuState *cpu);
void processors_nmi(Processors *p);

#endif /* MONITOR_PROCESSORS_H */
