/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HPET: a 64-bit counter at 100 MHz and three comparators, periodic and one-shot, 32 and 64 bit.
 *
 * Interrupts leave through I/O APIC pins as routed, or, in legacy replacement mode, timer 0 as
 * IRQ 0 and timer 1 as IRQ 8; `legacy_mode` then goes up and the machine holds the PIT's and the
 * RTC's interrupts low (pit_set_irq_enabled(), rtc_set_irq_enabled()).  No FSB delivery.  Periods
 * that end while the host is late are coalesced into one interrupt; the phase stays.
 */
#ifndef HW_HPET_H
#define HW_HPET_H

#include "hw/device.h"
#include "hw/irq.h"
#include "softmmu/base/timer.h"

#define HPET_BASE UINT64_C(0xfed00000)
enum { HPET_LEN = 0x400, HPET_N_TIMERS = 3, HPET_NS_PER_TICK = 10 };

typedef struct {
    TimerQueue *timers;
    uint32_t routes;          /* bit n: I/O APIC pin n may be chosen                      */
    void (*set_pin)(void *arg, unsigned pin, int level);
    void *arg;
    IrqLine legacy_irq0, legacy_irq8;
    IrqLine legacy_mode;
} HpetConfig;

Device *hpet_new(const HpetConfig *cfg);

#endif /* HW_HPET_H */
