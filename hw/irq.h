/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt lines.  A device drives a line by level; what is at the other end (PIC, IO-APIC, PCI
 * routing, a test) is the machine's business.  Machine lock held.
 */
#ifndef HW_IRQ_H
#define HW_IRQ_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    void (*set)(void *arg, unsigned line, int level); /* NULL: not connected */
    void *arg;
    unsigned line;
} IrqLine;

static inline void irq_set(const IrqLine *irq, int level)
{
    if (irq->set != NULL) {
        irq->set(irq->arg, irq->line, level);
    }
}

/* An edge: up, then down. */
static inline void irq_pulse(const IrqLine *irq)
{
    irq_set(irq, 1);
    irq_set(irq, 0);
}

#endif /* HW_IRQ_H */
