/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's pair of 8259A interrupt controllers, the slave's output on the master's input 2.
 *
 * Inputs are pic_set_irq() (0..15; 2 is the cascade and ignored); the output is one IrqLine, INTR.
 * Whoever takes the interrupt calls pic_ack() and gets the vector.  Edge inputs latch a request
 * until it is acknowledged, even when the line falls again; level inputs (ELCR) follow the line.
 */
#ifndef HW_PIC_H
#define HW_PIC_H

#include "hw/device.h"
#include "hw/irq.h"
#include "softmmu/irq-chips.h"

/* Windows of the device and the ports where a PC has them. */
enum { PIC_WINDOW_MASTER, PIC_WINDOW_SLAVE, PIC_WINDOW_ELCR };
enum { PIC_PORT_MASTER = 0x20, PIC_PORT_SLAVE = 0xa0, PIC_PORT_ELCR = 0x4d0 };

Device *pic_new(const IrqLine *intr);

/* An IrqLine's `set`; `pic` is the Device, line 0..15. */
void pic_set_irq(void *pic, unsigned line, int level);

/* The INTA cycle: the vector of the highest request, which is put in service; with none pending
 * the spurious vector (IRQ 7, or IRQ 15 when the slave withdrew). */
int pic_ack(Device *d);

/* Which inputs are level-triggered, as a guest writes them to the ELCR: for machines without firmware. */
void pic_set_levels(Device *d, uint16_t inputs);

/* -- Emulated elsewhere for a while -------------------------------------------------------------- */

void pic_export(const Device *d, PicImage out[2]);
/* The levels of the inputs stay as they are here. */
void pic_import(Device *d, const PicImage in[2]);
/* `h` (borrowed) emulates it: the output is silent; NULL: as ever. */
void pic_set_holder(Device *d, const IrqChipHolder *h);

#endif /* HW_PIC_H */
