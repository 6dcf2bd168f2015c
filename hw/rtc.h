/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MC146818-compatible clock with 256 bytes of memory: 128 at ports 0x70/0x71 (the first 14 are the
 * clock), 128 more at 0x72/0x73.
 *
 * The date shown is base_s + the guest clock's time (+ what the guest set); nothing ticks unless an
 * interrupt is wanted.  The memory and the date survive reset, as a battery makes them.  Periodic
 * interrupts that fall while the last one is unread are lost, as in the chip.
 */
#ifndef HW_RTC_H
#define HW_RTC_H

#include "hw/device.h"
#include "hw/irq.h"
#include "softmmu/base/timer.h"

enum { RTC_PORT = 0x70, RTC_NVRAM_LEN = 256 };

/* base_s: what the calendar shows at clock time 0, in seconds since 1970-01-01 00:00:00 of its own
 * zone (the machine decides UTC, local time or a given date). */
Device *rtc_new(TimerQueue *timers, const IrqLine *irq8, int64_t base_s);

/* Firmware's bytes (memory sizes, boot order...): index 14..255; those of the clock are ignored. */
void rtc_set_nvram(Device *d, unsigned index, uint8_t val);
uint8_t rtc_get_nvram(const Device *d, unsigned index);

/* Call fn when the guest has set the date: `offset_s` is how far the calendar is now ahead of base_s and
 * the clock. */
void rtc_on_change(Device *d, void (*fn)(void *arg, int64_t offset_s), void *arg);

/* HPET legacy replacement: false holds IRQ 8 low. */
void rtc_set_irq_enabled(Device *d, bool enabled);

#endif /* HW_RTC_H */
