/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the local APICs' state is: with the machine's devices, or with an engine that has local APICs of its own
 * (KVM's, in the host's kernel).
 *
 * An engine takes them all before any CPU runs and brings them all back when every CPU is parked, since the CPUs
 * change each other's.  While it has them, interrupt messages go to the holder, the machine's timers of
 * theirs rest, and what else is asked of them is read through it.  Machine lock held everywhere here.
 */
#ifndef CPU_X86_APIC_HOME_H
#define CPU_X86_APIC_HOME_H

#include "softmmu/irq-chips.h"

#include <stdbool.h>
#include <stdint.h>

enum { APIC_IMAGE_LEN = 1024, APIC_HOME_PINS = 24 };

/* One local APIC: registers at their xAPIC offsets (the id in bits 24-31 in x2APIC mode too). */
typedef struct {
    uint8_t page[APIC_IMAGE_LEN];
    uint64_t base;             /* IA32_APIC_BASE                   */
    uint64_t deadline;         /* IA32_TSC_DEADLINE                */
} ApicImage;

typedef struct {
    void *arg;
    /* An interrupt message, as an MSI's address and data. */
    void (*message)(void *arg, uint64_t addr, uint32_t data);
    /* What an I/O APIC's pins send has changed: ask route() again. */
    void (*routes_changed)(void *arg);
    /* A register of CPU n's local APIC, by its xAPIC offset. */
    uint32_t (*reg)(void *arg, unsigned cpu, unsigned off);
    /* Write it; that CPU's own thread, with the CPU out of the guest.  False: no such register. */
    bool (*set_reg)(void *arg, unsigned cpu, unsigned off, uint32_t val);
} ApicHolder;

/* The board's side. */
typedef struct ApicHome {
    void *arg;
    /* From now on `h` (borrowed) has them; NULL: they are back. */
    void (*hold)(void *arg, const ApicHolder *h);
    void (*take)(void *arg, unsigned cpu, ApicImage *out);
    void (*bring)(void *arg, unsigned cpu, const ApicImage *in);
    /* A level-triggered interrupt has ended. */
    void (*eoi)(void *arg, uint8_t vector);
    /* What pin n of the I/O APIC sends; false: it is masked, or its ends are of no interest (edges). */
    bool (*route)(void *arg, unsigned pin, uint64_t *addr, uint32_t *data);

    /* The board's PIC, I/O APIC and PIT, as far as it has them; an engine that takes the first two (h->has says which, h
     * borrowed) has the local APICs as well.  bring_chips: `in` is what became of them, NULL when that is lost. */
    IrqChipSet chips;
    void (*take_chips)(void *arg, const IrqChipHolder *h, IrqChips *out);
    void (*bring_chips)(void *arg, const IrqChips *in);
} ApicHome;

#endif /* CPU_X86_APIC_HOME_H */
