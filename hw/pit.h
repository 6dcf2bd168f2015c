/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8254 timer: three channels, and port 0x61 (gate and output of channel 2, refresh toggle).
 *
 * Counters are not stepped: what one holds is computed from the clock and the tick at which it
 * started, so nothing drifts.  Channel 0 drives IRQ 0.  Ticks that fall while the host is late are
 * lost, not made up (one interrupt stands for all of them); the phase stays.  A stopped machine
 * loses none, since its clock stands still.
 */
#ifndef HW_PIT_H
#define HW_PIT_H

#include "hw/device.h"
#include "hw/irq.h"
#include "softmmu/base/timer.h"
#include "softmmu/irq-chips.h"

#define PIT_HZ UINT64_C(1193182)

enum { PIT_WINDOW_COUNTERS, PIT_WINDOW_PORT61 };
enum { PIT_PORT_COUNTERS = 0x40, PIT_PORT_61 = 0x61 };

Device *pit_new(TimerQueue *timers, const IrqLine *irq0);

/* HPET legacy replacement: false holds IRQ 0 low. */
void pit_set_irq_enabled(Device *d, bool enabled);

/* -- Emulated elsewhere for a while -------------------------------------------------------------- */

/* What is due comes first. */
void pit_export(Device *d, PitImage *out);
void pit_import(Device *d, const PitImage *in);
/* `h` (borrowed) emulates it: IRQ 0 is low and the timer rests; NULL: as ever. */
void pit_set_holder(Device *d, const IrqChipHolder *h);

#endif /* HW_PIT_H */
