/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A local APIC between its files: registers and interrupts (lapic.c), the timer (lapic-timer.c). */
#ifndef HW_LAPIC_INTERNAL_H
#define HW_LAPIC_INTERNAL_H

#include "hw/lapic.h"
#include "softmmu/base/bits.h"

#define LVT_TIMER_PERIODIC BIT(17)
#define LVT_TIMER_DEADLINE BIT(18)

typedef struct {
    uint64_t w[4];            /* one bit a vector */
} VectorSet;

typedef struct {
    Device dev;
    LapicConfig cfg;

    uint64_t base;            /* IA32_APIC_BASE */
    uint32_t ldr, dfr, svr;
    uint8_t own_tpr, own_busy, own_eoi, own_mode; /* where cfg.tpr and such lead without the CPU's */
    uint32_t icr_low, icr_high;
    uint32_t lvt[LAPIC_LVT_COUNT];
    uint32_t esr, esr_collect;
    uint32_t initial_count, divide;
    uint64_t count_start_ns;  /* when initial_count was written             */
    uint64_t deadline;        /* IA32_TSC_DEADLINE, 0 when not armed        */
    VectorSet irr, isr, tmr;
    uint8_t saved_tpr;        /* *cfg.tpr as it is saved                    */
    bool extint;              /* an ExtINT message waits for its INTA       */
    bool lint[2];             /* levels of the pins                         */

    const LapicHolder *holder; /* who emulates it meanwhile; NULL: nobody    */
    bool pv_eoi;              /* the guest may end the interrupt in service in memory (cfg.eoi_*) */
    bool quick_eoi;           /* ... in *cfg.eoi                            */

    Timer timer;
    bool intr_level;          /* last told to the sink */
} Lapic;

/* -- The timer; its LVT entry is lvt[LAPIC_LVT_TIMER] ------------------------------------------- */

void lapic_timer_init(Lapic *l);
uint32_t lapic_timer_count(const Lapic *l);
void lapic_timer_write_lvt(Lapic *l, uint32_t val);
void lapic_timer_write_initial(Lapic *l, uint32_t val);
void lapic_timer_write_divide(Lapic *l, uint32_t val);
bool lapic_timer_in_deadline_mode(const Lapic *l);
void lapic_timer_write_deadline(Lapic *l, uint64_t val);
/* Go on with `current` counts left of initial_count, or to the deadline. */
void lapic_timer_resume(Lapic *l, uint32_t current, uint64_t deadline);

#endif /* HW_LAPIC_INTERNAL_H */
