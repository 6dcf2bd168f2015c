/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 8259A data sheet (Intel 231468); ELCR as in the 82371SB (PIIX3) data sheet, section 2.5.2. */
#include "hw/pic.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

enum { CASCADE = 2, SPURIOUS = 7, NONE = -1 };

/* What the next write to the odd port means. */
typedef enum { EXPECT_OCW1, EXPECT_ICW2, EXPECT_ICW3, EXPECT_ICW4 } IcwStep;

typedef struct {
    uint8_t elcr_mask;        /* wiring: which ELCR bits exist */

    uint8_t lines;            /* levels of the inputs now      */
    uint8_t latch;            /* edges seen, not acknowledged  */
    uint8_t imr, isr;
    uint8_t elcr;
    uint8_t top;              /* input with the highest priority (rotation) */
    uint8_t vector_base;
    IcwStep step;
    bool want_icw4, single, all_level;
    bool auto_eoi, rotate_on_aeoi, special_nested, special_mask;
    bool read_isr, poll;
} Chip;

typedef struct {
    Device dev;
    IrqLine intr;
    Chip chip[2];             /* master, slave */
    bool intr_level;
    const IrqChipHolder *holder; /* who emulates it meanwhile; NULL: nobody */
} Pic;

static uint8_t level_inputs(const Chip *c)
{
    return c->all_level ? 0xff : c->elcr;
}

static uint8_t requests(const Chip *c)
{
    uint8_t level = level_inputs(c);
    return (c->latch & ~level) | (c->lines & level);
}

/* Rank of the highest bit set, 0 the most urgent; 8 with none. */
static unsigned rank_of(const Chip *c, uint8_t mask)
{
    for (unsigned rank = 0; rank < 8; rank++) {
        if (mask & BIT((c->top + rank) & 7)) {
            return rank;
        }
    }
    return 8;
}

static unsigned input_of(const Chip *c, unsigned rank)
{
    return (c->top + rank) & 7;
}

/* The input the chip asks service for, or NONE. */
static int pending_input(const Chip *c, bool master)
{
    unsigned rank = rank_of(c, requests(c) & ~c->imr);
    uint8_t busy = c->isr;

    if (c->special_mask) {
        busy &= ~c->imr;
    }
    if (c->special_nested && master) {
        busy &= ~BIT(CASCADE);
    }
    return rank < rank_of(c, busy) ? (int)input_of(c, rank) : NONE;
}

static void chip_set_line(Chip *c, unsigned input, int level)
{
    uint8_t bit = BIT(input);

    if (level) {
        c->latch |= ~c->lines & bit;
        c->lines |= bit;
    } else {
        c->lines &= ~bit;
    }
}

static void update(Pic *p)
{
    chip_set_line(&p->chip[0], CASCADE, pending_input(&p->chip[1], false) != NONE);
    bool level = p->holder == NULL && pending_input(&p->chip[0], true) != NONE;
    if (level != p->intr_level) {
        p->intr_level = level;
        irq_set(&p->intr, level);
    }
}

void pic_set_irq(void *pic, unsigned line, int level)
{
    Pic *p = pic;

    if (line > 15 || line == CASCADE) {
        return;
    }
    trace(pic_set_irq, "irq=%u level=%d", line, level);
    chip_set_line(&p->chip[line >> 3], line & 7, level);
    update(p);
}

static void put_in_service(Chip *c, unsigned input)
{
    c->latch &= ~BIT(input);
    if (!c->auto_eoi) {
        c->isr |= BIT(input);
    } else if (c->rotate_on_aeoi) {
        c->top = (input + 1) & 7;
    }
}

int pic_ack(Device *d)
{
    Pic *p = (Pic *)d;
    Chip *master = &p->chip[0], *slave = &p->chip[1];
    int input = pending_input(master, true);
    int vector = master->vector_base + (input == NONE ? SPURIOUS : input);

    if (input != NONE) {
        put_in_service(master, input);
    }
    if (input == CASCADE) {
        int sub = pending_input(slave, false);
        vector = slave->vector_base + (sub == NONE ? SPURIOUS : sub);
        if (sub != NONE) {
            put_in_service(slave, sub);
        }
        /* The slave's INT falls during INTA; a further request is a new edge. */
        chip_set_line(master, CASCADE, 0);
    }
    update(p);
    trace(pic_ack, "vector=%#x", vector);
    return vector;
}

/* -- Registers ---------------------------------------------------------------------------------- */

static void icw1(Chip *c, uint8_t val)
{
    c->latch = 0;             /* an input must rise again to be seen */
    c->imr = c->isr = 0;
    c->top = 0;
    c->special_mask = c->read_isr = c->poll = false;
    c->all_level = val & 0x08;
    c->single = val & 0x02;
    c->want_icw4 = val & 0x01;
    if (!c->want_icw4) {
        c->auto_eoi = c->special_nested = false;
    }
    c->rotate_on_aeoi = false;
    c->step = EXPECT_ICW2;
}

static void ocw2(Chip *c, uint8_t val)
{
    unsigned input = val & 7;
    unsigned cmd = val >> 5;
    bool rotate = cmd & 4;
    uint8_t busy = c->special_mask ? c->isr & ~c->imr : c->isr;

    switch (cmd) {
    case 0: case 4:           /* rotation in automatic EOI mode off, on */
        c->rotate_on_aeoi = rotate;
        break;
    case 1: case 5:           /* non-specific EOI */
        if (rank_of(c, busy) == 8) {
            break;
        }
        input = input_of(c, rank_of(c, busy));
        c->isr &= ~BIT(input);
        c->top = rotate ? (input + 1) & 7 : c->top;
        break;
    case 3: case 7:           /* specific EOI */
        c->isr &= ~BIT(input);
        c->top = rotate ? (input + 1) & 7 : c->top;
        break;
    case 6:                   /* set priority */
        c->top = (input + 1) & 7;
        break;
    }
}

static void ocw3(Chip *c, uint8_t val)
{
    c->poll = val & 0x04;
    if (val & 0x02) {
        c->read_isr = val & 0x01;
    }
    if (val & 0x40) {
        c->special_mask = val & 0x20;
    }
}

static void write_data(Chip *c, uint8_t val)
{
    switch (c->step) {
    case EXPECT_OCW1:
        c->imr = val;
        break;
    case EXPECT_ICW2:
        c->vector_base = val & 0xf8;
        c->step = !c->single ? EXPECT_ICW3 : c->want_icw4 ? EXPECT_ICW4 : EXPECT_OCW1;
        break;
    case EXPECT_ICW3:         /* the cascade is soldered */
        c->step = c->want_icw4 ? EXPECT_ICW4 : EXPECT_OCW1;
        break;
    case EXPECT_ICW4:
        c->special_nested = val & 0x10;
        c->auto_eoi = val & 0x02;
        c->step = EXPECT_OCW1;
        break;
    }
}

static void chip_write(Pic *p, unsigned n, uint64_t off, uint8_t val)
{
    Chip *c = &p->chip[n];

    if (off == 1) {
        write_data(c, val);
    } else if (val & 0x10) {
        icw1(c, val);
    } else if (val & 0x08) {
        ocw3(c, val);
    } else {
        ocw2(c, val);
    }
    update(p);
}

static uint64_t chip_read(Pic *p, unsigned n, uint64_t off)
{
    Chip *c = &p->chip[n];

    if (c->poll) {
        int input = pending_input(c, n == 0);
        c->poll = false;
        if (input == NONE) {
            return 0;
        }
        put_in_service(c, input);
        update(p);
        return 0x80 | input;
    }
    if (off == 1) {
        return c->imr;
    }
    return c->read_isr ? c->isr : requests(c);
}

/* Around an access to registers while another emulates them. */
static void fetch(Pic *p)
{
    IrqChips chips;

    if (p->holder != NULL) {
        p->holder->fetch(p->holder->arg, IRQ_CHIP_PIC, &chips);
        pic_import(&p->dev, chips.pic);
    }
}

static void store(Pic *p)
{
    IrqChips chips;

    if (p->holder != NULL) {
        pic_export(&p->dev, chips.pic);
        p->holder->store(p->holder->arg, IRQ_CHIP_PIC, &chips);
    }
}

static uint64_t read_chip(Pic *p, unsigned n, uint64_t off)
{
    uint64_t val;

    fetch(p);
    val = chip_read(p, n, off);
    store(p);
    return val;
}

static void write_chip(Pic *p, unsigned n, uint64_t off, uint8_t val)
{
    fetch(p);
    chip_write(p, n, off, val);
    store(p);
}

static uint64_t master_read(void *arg, uint64_t off, unsigned size)
{
    return read_chip(arg, 0, off);
}

static void master_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    write_chip(arg, 0, off, (uint8_t)val);
}

static uint64_t slave_read(void *arg, uint64_t off, unsigned size)
{
    return read_chip(arg, 1, off);
}

static void slave_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    write_chip(arg, 1, off, (uint8_t)val);
}

static uint64_t elcr_read(void *arg, uint64_t off, unsigned size)
{
    Pic *p = arg;

    fetch(p);
    return p->chip[off].elcr;
}

static void elcr_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Pic *p = arg;

    fetch(p);
    p->chip[off].elcr = val & p->chip[off].elcr_mask;
    store(p);
    update(p);
}

void pic_set_levels(Device *d, uint16_t inputs)
{
    elcr_write(d, 0, 1, inputs & 0xff);
    elcr_write(d, 1, 1, inputs >> 8);
}

/* -- Emulated elsewhere for a while -------------------------------------------------------------- */

void pic_export(const Device *d, PicImage out[2])
{
    for (unsigned n = 0; n < 2; n++) {
        const Chip *c = &((const Pic *)d)->chip[n];

        out[n] = (PicImage){
            .lines = c->lines, .irr = requests(c), .imr = c->imr, .isr = c->isr, .elcr = level_inputs(c),
            .elcr_mask = c->elcr_mask, .top = c->top, .vector_base = c->vector_base, .step = c->step,
            .want_icw4 = c->want_icw4, .read_isr = c->read_isr, .poll = c->poll, .special_mask = c->special_mask,
            .special_nested = c->special_nested, .auto_eoi = c->auto_eoi, .rotate_on_aeoi = c->rotate_on_aeoi,
        };
    }
    out[0].lines &= ~BIT(CASCADE);
}

void pic_import(Device *d, const PicImage in[2])
{
    Pic *p = (Pic *)d;

    for (unsigned n = 0; n < 2; n++) {
        Chip *c = &p->chip[n];
        const PicImage *i = &in[n];

        *c = (Chip){
            .elcr_mask = c->elcr_mask, .lines = c->lines, .latch = i->irr, .imr = i->imr, .isr = i->isr,
            .elcr = i->elcr & c->elcr_mask, .top = i->top & 7, .vector_base = i->vector_base & 0xf8,
            .step = i->step & 3, .want_icw4 = i->want_icw4, .single = c->single, .all_level = c->all_level,
            .auto_eoi = i->auto_eoi, .rotate_on_aeoi = i->rotate_on_aeoi, .special_nested = i->special_nested,
            .special_mask = i->special_mask, .read_isr = i->read_isr, .poll = i->poll,
        };
    }
    p->chip[0].lines &= ~BIT(CASCADE);     /* driven anew */
    update(p);
}

void pic_set_holder(Device *d, const IrqChipHolder *h)
{
    Pic *p = (Pic *)d;

    p->holder = h;
    update(p);
}

/* -- Device ------------------------------------------------------------------------------------- */

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    const Pic *p = (const Pic *)d;
    return window != PIC_WINDOW_ELCR && p->chip[window].poll;
}

static void reset(Device *d)
{
    Pic *p = (Pic *)d;

    for (unsigned n = 0; n < 2; n++) {
        Chip *c = &p->chip[n];
        /* Inputs are other devices' outputs: they stay as they are. */
        *c = (Chip){.elcr_mask = c->elcr_mask, .lines = c->lines};
    }
    p->chip[0].lines &= ~BIT(CASCADE);
    update(p);
}

static void destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {
    [PIC_WINDOW_MASTER] = {"pic-master", WINDOW_PORT, 2, {master_read, master_write, 1}},
    [PIC_WINDOW_SLAVE] = {"pic-slave", WINDOW_PORT, 2, {slave_read, slave_write, 1}},
    [PIC_WINDOW_ELCR] = {"pic-elcr", WINDOW_PORT, 2, {elcr_read, elcr_write, 1}},
};

static bool chip_loaded(void *state, GError **error)
{
    Chip *c = state;

    c->elcr &= c->elcr_mask;
    return true;
}

static const Field chip_fields[] = {
    FIELD(Chip, lines), FIELD(Chip, latch), FIELD(Chip, imr), FIELD(Chip, isr), FIELD(Chip, elcr),
    FIELD_MAX(Chip, top, 7), FIELD(Chip, vector_base), FIELD_MAX(Chip, step, EXPECT_ICW4), FIELD(Chip, want_icw4),
    FIELD(Chip, single), FIELD(Chip, all_level), FIELD(Chip, auto_eoi), FIELD(Chip, rotate_on_aeoi),
    FIELD(Chip, special_nested), FIELD(Chip, special_mask), FIELD(Chip, read_isr), FIELD(Chip, poll),
};
static const FieldTable chip_state = {.version = 1, FIELDS(chip_fields), .loaded = chip_loaded};

static const Field pic_fields[] = {
    FIELD_ARRAY(Pic, chip, chip_state), FIELD(Pic, intr_level),
};
static const FieldTable pic_state = {.version = 1, FIELDS(pic_fields)};

static const DeviceClass pic_class = {
    .name = "isa-i8259",
    .help = "two cascaded 8259A interrupt controllers",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .read_has_effect = read_has_effect,
    .reset = reset,
    .destroy = destroy,
    .state = &pic_state,
};

Device *pic_new(const IrqLine *intr)
{
    Pic *p = g_new0(Pic, 1);

    p->dev.cls = &pic_class;
    p->intr = *intr;
    p->chip[0].elcr_mask = 0xf8;   /* 0-2 are edge for ever */
    p->chip[1].elcr_mask = 0xde;   /* 8 and 13 as well      */
    reset(&p->dev);
    return &p->dev;
}
