/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A CPU's local APIC: xAPIC page, x2APIC MSRs, timer (one-shot, periodic, TSC deadline).
 *
 * The device has no window of its own (the ApicBus maps the one page that every CPU sees at the
 * same place).  Its output goes to a sink: set_intr(level) follows "there is a vector to take"
 * (from IRR above the processor priority, or ExtINT from the PIC); who sees it high calls
 * lapic_ack().  RFLAGS.IF is the CPU's business: a request stays up until it is acknowledged.
 *
 * One timer tick is 1 ns before the divider (LAPIC_TIMER_HZ).
 */
#ifndef HW_LAPIC_H
#define HW_LAPIC_H

#include "hw/apic-bus.h"
#include "hw/device.h"
#include "softmmu/base/timer.h"

#define LAPIC_TIMER_HZ UINT64_C(1000000000)

typedef struct {
    void *arg;
    void (*set_intr)(void *arg, bool level);
    void (*nmi)(void *arg);
    void (*init)(void *arg);
    void (*sipi)(void *arg, uint8_t vector);
    void (*smi)(void *arg);                   /* may be NULL */
} LapicSink;

typedef struct {
    Device *bus;                              /* the ApicBus, borrowed; NULL in tests     */
    TimerQueue *timers;
    uint32_t id;                              /* APIC id                                  */
    bool bsp;
    bool x2apic, tsc_deadline;                /* what the CPU model offers                */
    unsigned phys_bits;                       /* MAXPHYADDR, 0: 40                        */
    LapicSink sink;
    void *tsc_arg;                            /* the guest's TSC of this CPU, its Hz      */
    uint64_t (*tsc_now)(void *arg);
    const uint64_t *tsc_hz;                   /* the owner's: it may change when a machine arrives */
    void *pic_arg;
    int (*pic_ack)(void *arg);                /* NULL: no PIC on LINT0                    */
    /* The guest may end edge interrupts in its own memory (pv/kvm-eoi.c): offer that for the one just
     * put in service; take the offer back, true when the guest has used it.  eoi_offer NULL: never. */
    void *eoi_arg;
    bool (*eoi_offer)(void *arg);
    bool (*eoi_take_back)(void *arg);
    /* Bytes that the CPU's thread uses without the machine lock, all NULL or none (cpu-x86/state.h): the task
     * priority lives in *tpr, and may be changed there while *busy is 0 before and after; an interrupt in service
     * is ended by 0 in *eoi, while that is not 0.  *mode: 1: xAPIC, in its usual place; 2: x2APIC; 0: neither. */
    uint8_t *tpr, *busy, *eoi, *mode;
    void *base_arg;
    void (*base_changed)(void *arg, uint64_t apic_base); /* may be NULL: IA32_APIC_BASE was written */
} LapicConfig;

/* Joins cfg->bus when that is not NULL. */
Device *lapic_new(const LapicConfig *cfg);

/* -- The CPU's side ---------------------------------------------------------------------------- */

/* The vector to deliver now, put in service; -1 when there is none after all. */
int lapic_ack(Device *d);
bool lapic_has_interrupt(const Device *d);
/* Learn of an end of interrupt in the guest's memory, and take the offer back.  The CPU's own thread,
 * or anybody while it is parked; the other functions of this section do it by themselves. */
void lapic_settle_eoi(Device *d);

uint64_t lapic_get_cr8(const Device *d);
void lapic_set_cr8(Device *d, uint64_t cr8);

/* IA32_APIC_BASE (0x1b), IA32_TSC_DEADLINE (0x6e0), 0x800..0x8ff; false: #GP(0). */
bool lapic_msr_read(Device *d, uint32_t msr, uint64_t *val);
bool lapic_msr_write(Device *d, uint32_t msr, uint64_t val);

/* The xAPIC page; off < 4096, size 1, 2 or 4, aligned.  All ones while it is not enabled. */
uint64_t lapic_mmio_read(Device *d, uint64_t off, unsigned size);
void lapic_mmio_write(Device *d, uint64_t off, unsigned size, uint64_t val);
bool lapic_mmio_read_has_effect(const Device *d, uint64_t off);

/* The CPU was reset by INIT: the APIC too, but it keeps its id and IA32_APIC_BASE. */
void lapic_init_reset(Device *d);
/* The guest's TSC jumped (WRMSR, TSC_ADJUST): re-arm the deadline. */
void lapic_tsc_changed(Device *d);
/* A performance-counter overflow, thermal event...: deliver by its LVT entry. */
typedef enum {
    LAPIC_LVT_TIMER, LAPIC_LVT_THERMAL, LAPIC_LVT_PERF, LAPIC_LVT_LINT0, LAPIC_LVT_LINT1,
    LAPIC_LVT_ERROR, LAPIC_LVT_COUNT,
} LapicLvt;
void lapic_raise_lvt(Device *d, LapicLvt which);

/* -- The bus's side ---------------------------------------------------------------------------- */

/* Is this APIC addressed by m (destination only)? */
bool lapic_matches(const Device *d, const ApicMessage *m);
/* Lower takes a lowest-priority message; false while it is software-disabled. */
bool lapic_can_take(const Device *d, unsigned *priority);
void lapic_accept(Device *d, const ApicMessage *m);
void lapic_set_lint(Device *d, unsigned pin, int level);

/* -- Emulated elsewhere for a while -------------------------------------------------------------- */

enum { LAPIC_IMAGE_LEN = 1024 };

/* The state as registers at their xAPIC offsets (the id in bits 24-31), IA32_APIC_BASE and the TSC deadline. */
void lapic_export(Device *d, uint8_t page[LAPIC_IMAGE_LEN], uint64_t *base, uint64_t *deadline);
/* ... back; nobody holds it from now on. */
void lapic_import(Device *d, const uint8_t page[LAPIC_IMAGE_LEN], uint64_t base, uint64_t deadline);
/* Registers are read through `h` (borrowed), the timer rests, and the only request to the CPU is the PIC's to the
 * boot processor; NULL: as ever. */
void lapic_set_holder(Device *d, const LapicHolder *h);

/* -- Looking in (info lapic) ------------------------------------------------------------------- */

uint32_t lapic_id(const Device *d);
uint64_t lapic_base(const Device *d);
/* A register by its xAPIC offset, without side effects. */
uint32_t lapic_peek(const Device *d, unsigned off);

#endif /* HW_LAPIC_H */
