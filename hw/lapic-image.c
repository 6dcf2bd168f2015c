/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A local APIC's state as one page of registers, for those who emulate it elsewhere for a while. */
#include "hw/lapic-internal.h"

#include <glib.h>

enum { FIRST = 0x20, LAST = 0x3e0, STEP = 0x10, REG_ID = 0x20 };

void lapic_export(Device *d, uint8_t page[LAPIC_IMAGE_LEN], uint64_t *base, uint64_t *deadline)
{
    Lapic *l = (Lapic *)d;

    lapic_settle_eoi(d);
    memset(page, 0, LAPIC_IMAGE_LEN);
    for (unsigned off = FIRST; off <= LAST; off += STEP) {
        store_le(page + off, 4, lapic_peek(d, off));
    }
    store_le(page + REG_ID, 4, l->cfg.id << 24);
    *base = l->base;
    *deadline = l->deadline;
}

static uint32_t reg(const uint8_t *page, unsigned off)
{
    return (uint32_t)load_le(page + off, 4);
}

static void take_set(VectorSet *s, const uint8_t *page, unsigned off)
{
    for (unsigned i = 0; i < 4; i++) {
        s->w[i] = reg(page, off + i * 0x20) | (uint64_t)reg(page, off + i * 0x20 + 0x10) << 32;
    }
}

void lapic_import(Device *d, const uint8_t page[LAPIC_IMAGE_LEN], uint64_t base, uint64_t deadline)
{
    Lapic *l = (Lapic *)d;

    l->base = base;
    __atomic_store_n(l->cfg.tpr, (uint8_t)reg(page, 0x80), __ATOMIC_SEQ_CST);
    l->ldr = reg(page, 0xd0);
    l->dfr = reg(page, 0xe0) | 0x0fffffff;
    l->svr = reg(page, 0xf0) & 0x1ff;
    take_set(&l->isr, page, 0x100);
    take_set(&l->tmr, page, 0x180);
    take_set(&l->irr, page, 0x200);
    l->esr = reg(page, 0x280);
    l->icr_low = reg(page, 0x300);
    l->icr_high = reg(page, 0x310);
    for (unsigned n = 0; n < LAPIC_LVT_COUNT; n++) {
        l->lvt[n] = reg(page, 0x320 + n * STEP);
    }
    l->initial_count = reg(page, 0x380);
    l->divide = reg(page, 0x3e0) & 0xb;
    l->extint = false;
    lapic_timer_resume(l, reg(page, 0x390), deadline);
    lapic_set_holder(d, NULL);
}
