/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of a PC's interrupt controllers and timer on its way between the devices of this program (hw/) and whoever
 * else emulates them for a while (hwaccel/: KVM).  Registers are in the data sheets' terms.
 */
#ifndef SOFTMMU_IRQ_CHIPS_H
#define SOFTMMU_IRQ_CHIPS_H

#include <stdbool.h>
#include <stdint.h>

enum { IRQ_CHIPS_PINS = 24, IRQ_CHIPS_CHANNELS = 3 };

/* An 8259A.  Bit n is input n. */
typedef struct {
    uint8_t lines;             /* levels of the inputs                            */
    uint8_t irr, imr, isr;
    uint8_t elcr, elcr_mask;   /* level inputs; which of them can be              */
    uint8_t top;               /* the input of the highest priority               */
    uint8_t vector_base;
    uint8_t step;              /* the odd port takes: 0 OCW1, 1 ICW2, 2 ICW3, 3 ICW4 */
    bool want_icw4, read_isr, poll, special_mask, special_nested, auto_eoi, rotate_on_aeoi;
} PicImage;

typedef struct {
    uint8_t index, id;
    uint32_t lines;            /* levels of the pins                              */
    uint64_t rte[IRQ_CHIPS_PINS];
} IoapicImage;

/* A channel of the 8254. */
typedef struct {
    uint8_t mode, access;      /* as in the control word                          */
    bool bcd, gate;
    bool programmed, loaded;   /* a control word came; then a count               */
    bool unchanged;            /* coming back: neither came since, so its time goes on as if it had never left */
    uint32_t count;            /* 1..65536: what was loaded                       */
    uint64_t elapsed;          /* ticks since then                                */
    uint8_t write_low;
    bool write_high_next, read_high_next;
    uint8_t latched;           /* bytes of the latched count not read yet...      */
    uint16_t latch;            /* ...the next in its low byte                     */
    bool status_latched;
    uint8_t status;
} PitChannelImage;

typedef struct {
    PitChannelImage channel[IRQ_CHIPS_CHANNELS];
    bool speaker;              /* port 61H bit 1                                  */
    bool silent;               /* channel 0 does not reach IRQ 0 (HPET legacy replacement) */
} PitImage;

typedef struct {
    PicImage pic[2];           /* master, slave */
    IoapicImage ioapic;
    PitImage pit;
} IrqChips;

typedef enum { IRQ_CHIP_PIC = 1, IRQ_CHIP_IOAPIC = 2, IRQ_CHIP_PIT = 4 } IrqChipSet;

/*
 * Who emulates them.  Machine lock held.  The devices then only remember the levels of their inputs; accesses of
 * their registers that come here all the same (from interpreted instructions) fetch the state, work on it and put it
 * back.
 */
typedef struct {
    void *arg;
    IrqChipSet has;            /* which of them                                   */
    /* A pin of the I/O APIC has changed its level; with it the input of the PIC that it is on the board (pin 2: input
     * 0, others up to 15 their own). */
    void (*line)(void *arg, unsigned pin, int level);
    void (*fetch)(void *arg, IrqChipSet which, IrqChips *out);
    void (*store)(void *arg, IrqChipSet which, const IrqChips *in);
} IrqChipHolder;

#endif /* SOFTMMU_IRQ_CHIPS_H */
