/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM 3A chapter 11 (numbers as in the 2023 edition; chapter 10 before). */
#include "hw/lapic-internal.h"

#include "softmmu/base/log.h"

#include <glib.h>

/* Registers by xAPIC offset. */
enum {
    REG_ID = 0x020, REG_VERSION = 0x030, REG_TPR = 0x080, REG_APR = 0x090, REG_PPR = 0x0a0,
    REG_EOI = 0x0b0, REG_RRD = 0x0c0, REG_LDR = 0x0d0, REG_DFR = 0x0e0, REG_SVR = 0x0f0,
    REG_ISR = 0x100, REG_TMR = 0x180, REG_IRR = 0x200, REG_ESR = 0x280, REG_LVT_CMCI = 0x2f0,
    REG_ICR_LOW = 0x300, REG_ICR_HIGH = 0x310, REG_LVT = 0x320, REG_INITIAL_COUNT = 0x380,
    REG_CURRENT_COUNT = 0x390, REG_DIVIDE = 0x3e0, REG_SELF_IPI = 0x3f0,
};

enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800 };

#define BASE_BSP BIT64(8)
#define BASE_X2APIC BIT64(10)
#define BASE_ENABLE BIT64(11)

#define SVR_ENABLE BIT(8)

#define LVT_REMOTE_IRR BIT(14)
#define LVT_LEVEL BIT(15)
#define LVT_MASKED BIT(16)

#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15)
#define ICR_WRITABLE_LOW 0x000ccfffu

#define ESR_SEND_ILLEGAL_VECTOR BIT(5)
#define ESR_RECEIVE_ILLEGAL_VECTOR BIT(6)
#define ESR_ILLEGAL_REGISTER BIT(7)

enum { VERSION = 0x14 | (LAPIC_LVT_COUNT - 1) << 16 };

/* -- Vectors ------------------------------------------------------------------------------------ */

static void set_add(VectorSet *s, unsigned v)
{
    s->w[v >> 6] |= BIT64(v & 63);
}

static void set_remove(VectorSet *s, unsigned v)
{
    s->w[v >> 6] &= ~BIT64(v & 63);
}

static bool set_has(const VectorSet *s, unsigned v)
{
    return s->w[v >> 6] >> (v & 63) & 1;
}

/* The highest member, -1 when empty. */
static int set_highest(const VectorSet *s)
{
    for (int i = 3; i >= 0; i--) {
        if (s->w[i] != 0) {
            return i * 64 + 63 - __builtin_clzll(s->w[i]);
        }
    }
    return -1;
}

static unsigned set_count(const VectorSet *s)
{
    unsigned n = 0;

    for (unsigned i = 0; i < 4; i++) {
        n += (unsigned)__builtin_popcountll(s->w[i]);
    }
    return n;
}

static uint32_t set_word(const VectorSet *s, unsigned n)
{
    return s->w[n >> 1] >> (n & 1 ? 32 : 0);
}

/* -- Priority and output (SDM 3A 11.8.3) -------------------------------------------------------- */

static bool hw_enabled(const Lapic *l)
{
    return l->base & BASE_ENABLE;
}

static bool x2apic_mode(const Lapic *l)
{
    return l->base & BASE_X2APIC;
}

static bool sw_enabled(const Lapic *l)
{
    return hw_enabled(l) && (l->svr & SVR_ENABLE);
}

/* The CPU's thread may change it at any time. */
static uint32_t get_tpr(const Lapic *l)
{
    return __atomic_load_n(l->cfg.tpr, __ATOMIC_SEQ_CST);
}

static unsigned ppr(const Lapic *l)
{
    int v = set_highest(&l->isr);
    unsigned isrv = v > 0 ? v : 0, tpr = get_tpr(l);

    return (tpr >> 4) >= (isrv >> 4) ? tpr : isrv & 0xf0;
}

/* The vector to deliver from IRR, -1 when none is above the processor's priority. */
static int pending_vector(const Lapic *l)
{
    int v = sw_enabled(l) && l->holder == NULL ? set_highest(&l->irr) : -1;

    return v > 0 && ((unsigned)v >> 4) > (ppr(l) >> 4) ? v : -1;
}

/* LINT0 passes the PIC's INTR (virtual wire), also while the APIC is off altogether. */
static bool extint_pending(const Lapic *l)
{
    uint32_t lvt = l->lvt[LAPIC_LVT_LINT0];

    if (l->cfg.pic_ack == NULL) {
        return false;
    }
    if (l->holder != NULL) {
        return l->lint[0] && l->cfg.bsp;
    }
    if (!hw_enabled(l)) {
        return l->lint[0];
    }
    return l->extint || (l->lint[0] && !(lvt & LVT_MASKED) && bits_get(lvt, 8, 3) == APIC_EXTINT);
}

bool lapic_has_interrupt(const Device *d)
{
    const Lapic *l = (const Lapic *)d;
    return pending_vector(l) >= 0 || extint_pending(l);
}

/* As *cfg.mode shows it. */
static uint8_t shown_mode(const Lapic *l)
{
    if (l->holder != NULL || !hw_enabled(l)) {
        return 0;
    }
    return x2apic_mode(l) ? 2 : (l->base & ~UINT64_C(0xfff)) == APIC_WINDOW_BASE;
}

/*
 * While the end of the interrupt in service may be hidden in the guest's memory or in *eoi, whatever is requested
 * makes the CPU look there (lapic_ack): only its own thread may.
 * *busy before *tpr is read: either we see the priority that the CPU's thread has just set, or it sees *busy.
 */
static void update(Lapic *l)
{
    bool requested = set_highest(&l->irr) >= 0, level;

    __atomic_store_n(l->cfg.mode, shown_mode(l), __ATOMIC_RELAXED);
    __atomic_store_n(l->cfg.busy, requested || l->holder != NULL, __ATOMIC_SEQ_CST);
    level = lapic_has_interrupt(&l->dev) || ((l->pv_eoi || l->quick_eoi) && sw_enabled(l) && requested);
    if (level != l->intr_level) {
        l->intr_level = level;
        l->cfg.sink.set_intr(l->cfg.sink.arg, level);
    }
}

void lapic_set_holder(Device *d, const LapicHolder *h)
{
    Lapic *l = (Lapic *)d;

    l->holder = h;
    if (h != NULL) {
        timer_cancel(&l->timer);
    }
    update(l);
}

static void eoi(Lapic *l);

void lapic_settle_eoi(Device *d)
{
    Lapic *l = (Lapic *)d;

    if (l->quick_eoi) {
        l->quick_eoi = false;
        if (__atomic_exchange_n(l->cfg.eoi, 0, __ATOMIC_SEQ_CST) == 0) {
            eoi(l);
        }
    }
    if (l->pv_eoi) {
        l->pv_eoi = false;
        if (l->cfg.eoi_take_back(l->cfg.eoi_arg)) {
            eoi(l);
        }
    }
}

/* The vector just put in service is all there is, and nobody else waits for its end. */
static void offer_eoi(Lapic *l, unsigned v)
{
    if (set_has(&l->tmr, v) || set_highest(&l->irr) >= 0 || set_count(&l->isr) != 1) {
        return;
    }
    l->pv_eoi = l->cfg.eoi_offer != NULL && l->cfg.eoi_offer(l->cfg.eoi_arg);
    if (!l->pv_eoi && l->cfg.eoi != &l->own_eoi) {
        l->quick_eoi = true;
        __atomic_store_n(l->cfg.eoi, 1, __ATOMIC_SEQ_CST);
    }
}

int lapic_ack(Device *d)
{
    Lapic *l = (Lapic *)d;
    int v;

    lapic_settle_eoi(d);
    v = pending_vector(l);
    if (v >= 0) {
        set_remove(&l->irr, v);
        set_add(&l->isr, v);
        offer_eoi(l, (unsigned)v);
    } else if (extint_pending(l)) {
        l->extint = false;
        v = l->cfg.pic_ack(l->cfg.pic_arg);
    }
    update(l);
    trace(lapic_ack, "apic=%u vector=%#x", l->cfg.id, (unsigned)v);
    return v;
}

uint64_t lapic_get_cr8(const Device *d)
{
    return lapic_peek(d, REG_TPR) >> 4 & 15;
}

static void set_tpr(Lapic *l, uint32_t tpr)
{
    if (l->holder != NULL) {
        return;
    }
    __atomic_store_n(l->cfg.tpr, (uint8_t)tpr, __ATOMIC_SEQ_CST);
    update(l);
}

void lapic_set_cr8(Device *d, uint64_t cr8)
{
    set_tpr((Lapic *)d, (cr8 & 15) << 4);
}

/* -- Taking interrupts -------------------------------------------------------------------------- */

static void raise_lvt(Lapic *l, LapicLvt which);

static void report_error(Lapic *l, uint32_t bit)
{
    bool first = !(l->esr_collect & bit);

    l->esr_collect |= bit;
    if (first) {
        raise_lvt(l, LAPIC_LVT_ERROR);
    }
}

static void request(Lapic *l, uint8_t vector, bool level)
{
    if (vector < 16) {
        /* No second error about the error interrupt's own vector. */
        if ((l->lvt[LAPIC_LVT_ERROR] & 0xff) >= 16) {
            report_error(l, ESR_RECEIVE_ILLEGAL_VECTOR);
        } else {
            l->esr_collect |= ESR_RECEIVE_ILLEGAL_VECTOR;
        }
        return;
    }
    if (!sw_enabled(l)) {
        return;
    }
    set_add(&l->irr, vector);
    if (level) {
        set_add(&l->tmr, vector);
    } else {
        set_remove(&l->tmr, vector);
    }
    update(l);
}

/* A software-disabled APIC still takes INIT, NMI, SMI and SIPI (SDM 3A 11.4.7.2). */
void lapic_accept(Device *d, const ApicMessage *m)
{
    Lapic *l = (Lapic *)d;
    const LapicSink *sink = &l->cfg.sink;

    if (l->holder != NULL) {
        ApicMessage own = *m;
        uint64_t addr;
        uint32_t data;

        own.dest = l->cfg.id;
        own.logical = false;
        apic_message_to_msi(&own, &addr, &data);
        l->holder->message(l->holder->arg, addr, data);
        return;
    }
    if (!hw_enabled(l)) {
        /* INIT and SIPI must still find a CPU whose APIC the guest switched off... nothing else. */
        if (m->delivery != APIC_INIT && m->delivery != APIC_SIPI) {
            return;
        }
    }
    switch (m->delivery) {
    case APIC_FIXED: case APIC_LOWEST:
        request(l, m->vector, m->level);
        break;
    case APIC_SMI:
        if (sink->smi != NULL) {
            sink->smi(sink->arg);
        } else {
            log_unimp("lapic: SMI");
        }
        break;
    case APIC_NMI:
        sink->nmi(sink->arg);
        break;
    case APIC_INIT:
        sink->init(sink->arg);
        break;
    case APIC_SIPI:
        sink->sipi(sink->arg, m->vector);
        break;
    case APIC_EXTINT:
        l->extint = true;
        update(l);
        break;
    default:
        log_guest_error("lapic: reserved delivery mode %u", m->delivery);
    }
}

static void raise_lvt(Lapic *l, LapicLvt which)
{
    uint32_t held = l->holder != NULL ? lapic_peek(&l->dev, REG_LVT + which * 0x10) : 0;
    uint32_t *lvt = l->holder != NULL ? &held : &l->lvt[which];
    ApicMessage m = {.vector = *lvt & 0xff, .delivery = bits_get(*lvt, 8, 3)};

    if (*lvt & LVT_MASKED) {
        return;
    }
    if (which == LAPIC_LVT_TIMER || which == LAPIC_LVT_ERROR) {
        m.delivery = APIC_FIXED;
    }
    if ((which == LAPIC_LVT_LINT0 || which == LAPIC_LVT_LINT1) && m.delivery == APIC_FIXED &&
        (*lvt & LVT_LEVEL)) {
        if (*lvt & LVT_REMOTE_IRR) {
            return;
        }
        *lvt |= LVT_REMOTE_IRR;
        m.level = true;
    }
    lapic_accept(&l->dev, &m);
}

void lapic_raise_lvt(Device *d, LapicLvt which)
{
    raise_lvt((Lapic *)d, which);
}

static bool lint_is_extint(const Lapic *l, unsigned pin)
{
    return bits_get(l->lvt[LAPIC_LVT_LINT0 + pin], 8, 3) == APIC_EXTINT;
}

void lapic_set_lint(Device *d, unsigned pin, int level)
{
    Lapic *l = (Lapic *)d;

    if (pin > 1 || l->lint[pin] == !!level) {
        return;
    }
    l->lint[pin] = level;
    if (l->holder != NULL) {
        update(l);
        return;
    }
    if (level && hw_enabled(l) && !lint_is_extint(l, pin)) {
        raise_lvt(l, LAPIC_LVT_LINT0 + pin);
    } else if (level && !hw_enabled(l) && pin == 1) {
        l->cfg.sink.nmi(l->cfg.sink.arg);
    }
    update(l);
}

static void eoi(Lapic *l)
{
    int v = set_highest(&l->isr);

    if (v < 0) {
        return;
    }
    set_remove(&l->isr, v);
    if (set_has(&l->tmr, v)) {
        for (unsigned pin = 0; pin < 2; pin++) {
            uint32_t *lvt = &l->lvt[LAPIC_LVT_LINT0 + pin];
            if ((*lvt & LVT_REMOTE_IRR) && (int)(*lvt & 0xff) == v) {
                *lvt &= ~LVT_REMOTE_IRR;
                if (l->lint[pin]) {
                    raise_lvt(l, LAPIC_LVT_LINT0 + pin);
                }
            }
        }
        if (l->cfg.bus != NULL) {
            apic_bus_eoi(l->cfg.bus, v);
        }
    }
    update(l);
}

/* -- Addressing (SDM 3A 11.6.2) ----------------------------------------------------------------- */

static uint32_t logical_id(const Lapic *l)
{
    return x2apic_mode(l) ? (l->cfg.id >> 4) << 16 | BIT(l->cfg.id & 15) : l->ldr;
}

bool lapic_matches(const Device *d, const ApicMessage *m)
{
    const Lapic *l = (const Lapic *)d;

    if (m->dest == APIC_DEST_BROADCAST) {
        return true;
    }
    if (!m->logical) {
        return m->dest == l->cfg.id;
    }
    uint32_t id = logical_id(l);
    if (x2apic_mode(l)) {
        return (m->dest >> 16) == (id >> 16) && (m->dest & id & 0xffff) != 0;
    }
    if (m->dest > 0xff) {
        return false;
    }
    id >>= 24;
    if (l->dfr >> 28 == 0xf) {
        return (m->dest & id) != 0;
    }
    /* Cluster model: cluster 15 is all of them. */
    unsigned cluster = m->dest >> 4;
    return (cluster == id >> 4 || cluster == 15) && (m->dest & id & 15) != 0;
}

bool lapic_can_take(const Device *d, unsigned *priority)
{
    const Lapic *l = (const Lapic *)d;

    *priority = ppr(l);
    return sw_enabled(l);
}

static void send_ipi(Lapic *l)
{
    uint32_t low = l->icr_low;
    uint32_t dest = x2apic_mode(l) ? l->icr_high : l->icr_high >> 24;
    ApicMessage m = {
        .vector = low & 0xff,
        .delivery = bits_get(low, 8, 3),
        .logical = low & ICR_LOGICAL,
        .level = low & ICR_LEVEL,
    };

    m.dest = !x2apic_mode(l) && dest == 0xff && !m.logical ? APIC_DEST_BROADCAST : dest;
    trace(lapic_ipi, "apic=%u icr=%#x dest=%#x", l->cfg.id, low, dest);
    /* INIT level de-assert does nothing since the Pentium 4. */
    if (m.delivery == APIC_INIT && (low & (ICR_ASSERT | ICR_LEVEL)) == ICR_LEVEL) {
        return;
    }
    /* The trigger mode of other IPIs is ignored: they are edges. */
    m.level = false;
    if (m.vector < 16 && (m.delivery == APIC_FIXED || m.delivery == APIC_LOWEST)) {
        report_error(l, ESR_SEND_ILLEGAL_VECTOR);
        return;
    }
    switch (bits_get(low, 18, 2)) {
    case 0:
        if (l->cfg.bus != NULL) {
            apic_bus_deliver(l->cfg.bus, &m);
        } else if (lapic_matches(&l->dev, &m)) {
            lapic_accept(&l->dev, &m);
        }
        break;
    case 1:
        lapic_accept(&l->dev, &m);
        break;
    case 2:
        if (l->cfg.bus != NULL) {
            apic_bus_deliver_all(l->cfg.bus, &m, NULL);
        } else {
            lapic_accept(&l->dev, &m);
        }
        break;
    case 3:
        if (l->cfg.bus != NULL) {
            apic_bus_deliver_all(l->cfg.bus, &m, &l->dev);
        }
        break;
    }
}

/* -- Registers ---------------------------------------------------------------------------------- */

static const uint32_t lvt_writable[LAPIC_LVT_COUNT] = {
    [LAPIC_LVT_TIMER] = 0x000300ff,   /* bit 18 with the TSC-deadline feature */
    [LAPIC_LVT_THERMAL] = 0x000107ff,
    [LAPIC_LVT_PERF] = 0x000107ff,
    [LAPIC_LVT_LINT0] = 0x0001a7ff,
    [LAPIC_LVT_LINT1] = 0x0001a7ff,
    [LAPIC_LVT_ERROR] = 0x000100ff,
};

static uint32_t lvt_mask(const Lapic *l, unsigned n)
{
    return lvt_writable[n] |
           (n == LAPIC_LVT_TIMER && l->cfg.tsc_deadline ? LVT_TIMER_DEADLINE : 0);
}

/* False: no such register. */
static bool register_read(const Lapic *l, unsigned off, uint32_t *val)
{
    unsigned n = (off >> 4) & 7;

    if (l->holder != NULL) {
        *val = l->holder->reg(l->holder->arg, l->cfg.id, off);
        return true;
    }
    switch (off) {
    case REG_ID:
        *val = x2apic_mode(l) ? l->cfg.id : l->cfg.id << 24;
        return true;
    case REG_VERSION:
        *val = VERSION;
        return true;
    case REG_TPR:
        *val = get_tpr(l);
        return true;
    case REG_APR: case REG_RRD: case REG_EOI: case REG_SELF_IPI:
        *val = 0;
        return off != REG_SELF_IPI;
    case REG_PPR:
        *val = ppr(l);
        return true;
    case REG_LDR:
        *val = logical_id(l);
        return true;
    case REG_DFR:
        *val = l->dfr;
        return true;
    case REG_SVR:
        *val = l->svr;
        return true;
    case REG_ISR ... REG_ISR + 0x70:
        *val = set_word(&l->isr, n);
        return true;
    case REG_TMR ... REG_TMR + 0x70:
        *val = set_word(&l->tmr, n);
        return true;
    case REG_IRR ... REG_IRR + 0x70:
        *val = set_word(&l->irr, n);
        return true;
    case REG_ESR:
        *val = l->esr;
        return true;
    case REG_ICR_LOW:
        *val = l->icr_low;
        return true;
    case REG_ICR_HIGH:
        *val = l->icr_high;
        return true;
    case REG_LVT ... REG_LVT + (LAPIC_LVT_COUNT - 1) * 0x10:
        *val = l->lvt[(off - REG_LVT) >> 4];
        return true;
    case REG_INITIAL_COUNT:
        *val = l->initial_count;
        return true;
    case REG_CURRENT_COUNT:
        *val = lapic_timer_count(l);
        return true;
    case REG_DIVIDE:
        *val = l->divide;
        return true;
    }
    return false;
}

static void write_lvt(Lapic *l, unsigned n, uint32_t val)
{
    val = (val & lvt_mask(l, n)) | (l->lvt[n] & LVT_REMOTE_IRR);
    if (!(l->svr & SVR_ENABLE)) {
        val |= LVT_MASKED;    /* SDM 3A 11.4.7.2 */
    }
    if (n == LAPIC_LVT_LINT0 || n == LAPIC_LVT_LINT1) {
        if (!(val & LVT_LEVEL)) {
            val &= ~LVT_REMOTE_IRR;
        }
    }
    if (n == LAPIC_LVT_TIMER) {
        lapic_timer_write_lvt(l, val);
    } else {
        l->lvt[n] = val;
    }
    /* A level-triggered pin that is up is seen when its entry opens. */
    unsigned pin = n - LAPIC_LVT_LINT0;
    if (pin < 2 && l->lint[pin] && (val & LVT_LEVEL) && bits_get(val, 8, 3) == APIC_FIXED) {
        raise_lvt(l, n);
    }
    update(l);
}

static void write_svr(Lapic *l, uint32_t val)
{
    l->svr = val & 0x1ff;
    if (!(l->svr & SVR_ENABLE)) {
        for (unsigned n = 0; n < LAPIC_LVT_COUNT; n++) {
            l->lvt[n] |= LVT_MASKED;
        }
    }
    update(l);
}

/* False: no such register, or not writable. */
static bool register_write(Lapic *l, unsigned off, uint32_t val)
{
    if (l->holder != NULL) {  /* an interpreted instruction, or a call; what else there is KVM executes itself */
        return l->holder->set_reg(l->holder->arg, l->cfg.id, off, val);
    }
    switch (off) {
    case REG_TPR:
        set_tpr(l, val);
        return true;
    case REG_EOI:
        eoi(l);
        return true;
    case REG_LDR:
        l->ldr = val & 0xff000000;
        return true;
    case REG_DFR:
        l->dfr = val | 0x0fffffff;
        return true;
    case REG_SVR:
        write_svr(l, val);
        return true;
    case REG_ESR:             /* any write shows what was collected since the last */
        l->esr = l->esr_collect;
        l->esr_collect = 0;
        return true;
    case REG_ICR_LOW:
        l->icr_low = val & ICR_WRITABLE_LOW;
        send_ipi(l);
        return true;
    case REG_ICR_HIGH:
        l->icr_high = val & 0xff000000;
        return true;
    case REG_LVT ... REG_LVT + (LAPIC_LVT_COUNT - 1) * 0x10:
        write_lvt(l, (off - REG_LVT) >> 4, val);
        return true;
    case REG_INITIAL_COUNT:
        lapic_timer_write_initial(l, val);
        return true;
    case REG_DIVIDE:
        lapic_timer_write_divide(l, val);
        return true;
    case REG_ID: case REG_VERSION: case REG_APR: case REG_PPR: case REG_RRD:
    case REG_CURRENT_COUNT:
        return true;          /* read only: dropped */
    }
    return false;
}

uint32_t lapic_peek(const Device *d, unsigned off)
{
    uint32_t val = 0;
    register_read((const Lapic *)d, off & ~15u, &val);
    return val;
}

bool lapic_mmio_read_has_effect(const Device *d, uint64_t off)
{
    uint32_t val;
    return !register_read((const Lapic *)d, off & ~15u, &val); /* sets the error register */
}

uint64_t lapic_mmio_read(Device *d, uint64_t off, unsigned size)
{
    Lapic *l = (Lapic *)d;
    uint32_t val = 0;

    lapic_settle_eoi(d);
    if (!hw_enabled(l) || x2apic_mode(l)) {
        return mask_bytes(size);
    }
    if (!register_read(l, off & ~15u, &val)) {
        report_error(l, ESR_ILLEGAL_REGISTER);
    }
    return (off & 15) < 4 ? (val >> ((off & 3) * 8)) & mask_bytes(size) : 0;
}

void lapic_mmio_write(Device *d, uint64_t off, unsigned size, uint64_t val)
{
    Lapic *l = (Lapic *)d;

    lapic_settle_eoi(d);
    if (!hw_enabled(l) || x2apic_mode(l)) {
        return;
    }
    if ((off & 15) != 0 || size != 4) {
        log_guest_error("lapic: write of %u bytes to offset %#x", size, (unsigned)off);
        return;
    }
    if (!register_write(l, off, val)) {
        report_error(l, ESR_ILLEGAL_REGISTER);
    }
}

/* -- MSRs (SDM 3A 11.12) ------------------------------------------------------------------------ */

/* Bits an x2APIC register takes; writing others is #GP. 0: not writable. */
static uint32_t x2apic_writable(const Lapic *l, unsigned off)
{
    switch (off) {
    case REG_TPR:
        return 0xff;
    case REG_SVR:
        return 0x1ff;
    case REG_LVT ... REG_LVT + (LAPIC_LVT_COUNT - 1) * 0x10:
        /* The read-only status bits may be written back. */
        return lvt_mask(l, (off - REG_LVT) >> 4) | BIT(12) | LVT_REMOTE_IRR;
    case REG_INITIAL_COUNT:
        return UINT32_MAX;
    case REG_DIVIDE:
        return 0xb;
    }
    return 0;
}

static bool x2apic_read(Lapic *l, unsigned off, uint64_t *val)
{
    uint32_t v;

    switch (off) {
    case REG_APR: case REG_EOI: case REG_RRD: case REG_DFR: case REG_ICR_HIGH: case REG_SELF_IPI:
        return false;
    case REG_ICR_LOW:
        *val = (uint64_t)l->icr_high << 32 | l->icr_low;
        return true;
    }
    if (!register_read(l, off, &v)) {
        return false;
    }
    *val = v;
    return true;
}

static bool x2apic_write(Lapic *l, unsigned off, uint64_t val)
{
    switch (off) {
    case REG_EOI: case REG_ESR:
        return val == 0 && register_write(l, off, 0);
    case REG_SELF_IPI:
        if (val > 0xff) {
            return false;
        }
        if (val < 16) {
            report_error(l, ESR_SEND_ILLEGAL_VECTOR);
        } else {
            request(l, val, false);
        }
        return true;
    case REG_ICR_LOW:
        if ((uint32_t)val & ~(ICR_WRITABLE_LOW | BIT(12))) {
            return false;
        }
        l->icr_high = val >> 32;
        return register_write(l, REG_ICR_LOW, val);
    }
    uint32_t writable = x2apic_writable(l, off);
    return writable != 0 && !(val & ~(uint64_t)writable) && register_write(l, off, val);
}

static void power_on(Lapic *l);

static bool write_base(Lapic *l, uint64_t val)
{
    unsigned phys_bits = l->cfg.phys_bits != 0 ? l->cfg.phys_bits : 40;
    uint64_t writable = (BIT64(phys_bits) - 1) & ~UINT64_C(0xfff);
    uint64_t mode = val & (BASE_ENABLE | BASE_X2APIC);
    uint64_t old_mode = l->base & (BASE_ENABLE | BASE_X2APIC);

    writable |= BASE_ENABLE | BASE_BSP | (l->cfg.x2apic ? BASE_X2APIC : 0);
    if ((val & ~writable) || mode == BASE_X2APIC) {
        return false;
    }
    /* x2APIC is entered from xAPIC and left only by switching off (SDM 3A 11.12.5). */
    if ((mode & BASE_X2APIC) && old_mode == 0) {
        return false;
    }
    if ((old_mode & BASE_X2APIC) && mode == BASE_ENABLE) {
        return false;
    }
    if (val == l->base) {
        return true;
    }
    l->base = val;
    if (old_mode != 0 && mode == 0) {
        power_on(l);
    }
    if (l->cfg.base_changed != NULL) {
        l->cfg.base_changed(l->cfg.base_arg, val);
    } else if ((val & ~UINT64_C(0xfff)) != APIC_WINDOW_BASE) {
        log_unimp("lapic: moved to %#llx", (unsigned long long)val);
    }
    update(l);
    return true;
}

bool lapic_msr_read(Device *d, uint32_t msr, uint64_t *val)
{
    Lapic *l = (Lapic *)d;

    lapic_settle_eoi(d);
    if (msr == MSR_APIC_BASE) {
        *val = l->base;
        return true;
    }
    if (msr == MSR_TSC_DEADLINE) {
        *val = l->deadline;
        return l->cfg.tsc_deadline;
    }
    return msr - MSR_X2APIC < 0x100 && x2apic_mode(l) &&
           x2apic_read(l, (msr - MSR_X2APIC) << 4, val);
}

bool lapic_msr_write(Device *d, uint32_t msr, uint64_t val)
{
    Lapic *l = (Lapic *)d;

    lapic_settle_eoi(d);
    if (msr == MSR_APIC_BASE) {
        return write_base(l, val);
    }
    if (msr == MSR_TSC_DEADLINE) {
        if (l->cfg.tsc_deadline && lapic_timer_in_deadline_mode(l)) {
            lapic_timer_write_deadline(l, val);
        }
        return l->cfg.tsc_deadline;
    }
    return msr - MSR_X2APIC < 0x100 && x2apic_mode(l) &&
           x2apic_write(l, (msr - MSR_X2APIC) << 4, val);
}

uint32_t lapic_id(const Device *d)
{
    return ((const Lapic *)d)->cfg.id;
}

uint64_t lapic_base(const Device *d)
{
    return ((const Lapic *)d)->base;
}

/* -- Device ------------------------------------------------------------------------------------- */

/* SDM 3A 11.4.7.1. */
static void power_on(Lapic *l)
{
    timer_cancel(&l->timer);
    __atomic_store_n(l->cfg.tpr, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(l->cfg.eoi, 0, __ATOMIC_SEQ_CST);
    l->ldr = l->icr_low = l->icr_high = l->esr = l->esr_collect = 0;
    l->initial_count = l->divide = 0;
    l->count_start_ns = l->deadline = 0;
    l->dfr = UINT32_MAX;
    l->svr = 0xff;
    l->irr = l->isr = l->tmr = (VectorSet){{0}};
    l->extint = l->pv_eoi = l->quick_eoi = false;
    for (unsigned n = 0; n < LAPIC_LVT_COUNT; n++) {
        l->lvt[n] = LVT_MASKED;
    }
}

void lapic_init_reset(Device *d)
{
    Lapic *l = (Lapic *)d;

    power_on(l);
    update(l);
}

static void reset(Device *d)
{
    Lapic *l = (Lapic *)d;

    power_on(l);
    l->base = APIC_WINDOW_BASE | BASE_ENABLE | (l->cfg.bsp ? BASE_BSP : 0);
    if (l->cfg.bsp && l->cfg.pic_ack != NULL) {
        /* Virtual wire mode (MP specification 1.4, 3.6.2.2) is what firmware would set up; guests
         * that are booted without one rely on it too. */
        l->lvt[LAPIC_LVT_LINT0] = APIC_EXTINT << 8;
    }
    update(l);
}

static void destroy(Device *d)
{
    timer_cancel(&((Lapic *)d)->timer);
    g_free(d);
}

/* The task priority lives with the CPU, an offered end of interrupt in the guest's memory. */
static bool lapic_saving(void *state, GError **error)
{
    Lapic *l = state;

    lapic_settle_eoi(&l->dev);
    l->saved_tpr = __atomic_load_n(l->cfg.tpr, __ATOMIC_SEQ_CST);
    return true;
}

static bool lapic_loaded(void *state, GError **error)
{
    Lapic *l = state;

    l->count_start_ns = MIN(l->count_start_ns, timer_now(&l->timer));
    l->pv_eoi = l->quick_eoi = false;
    __atomic_store_n(l->cfg.eoi, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(l->cfg.tpr, l->saved_tpr, __ATOMIC_SEQ_CST);
    update(l);
    return true;
}

static const Field vectors_fields[] = {FIELD(VectorSet, w)};
static const FieldTable vectors_state = {.version = 1, FIELDS(vectors_fields)};

static const Field lapic_fields[] = {
    FIELD(Lapic, base), FIELD(Lapic, ldr), FIELD(Lapic, dfr), FIELD_MAX(Lapic, svr, 0x1ff), FIELD(Lapic, saved_tpr),
    FIELD(Lapic, icr_low), FIELD(Lapic, icr_high), FIELD(Lapic, lvt), FIELD(Lapic, esr), FIELD(Lapic, esr_collect),
    FIELD(Lapic, initial_count), FIELD_MAX(Lapic, divide, 0xb), FIELD(Lapic, count_start_ns), FIELD(Lapic, deadline),
    FIELD_STRUCT(Lapic, irr, vectors_state), FIELD_STRUCT(Lapic, isr, vectors_state),
    FIELD_STRUCT(Lapic, tmr, vectors_state), FIELD(Lapic, extint), FIELD(Lapic, lint), FIELD_TIMER(Lapic, timer),
};
static const FieldTable lapic_state = {.version = 1, FIELDS(lapic_fields), .saving = lapic_saving, .loaded = lapic_loaded};

static const DeviceClass lapic_class = {
    .name = "apic",
    .help = "local APIC of one CPU",
    .reset = reset,
    .destroy = destroy,
    .state = &lapic_state,
};

Device *lapic_new(const LapicConfig *cfg)
{
    Lapic *l = g_new0(Lapic, 1);

    l->dev.cls = &lapic_class;
    l->cfg = *cfg;
    if (cfg->tpr == NULL) {
        l->cfg.tpr = &l->own_tpr;
        l->cfg.busy = &l->own_busy;
        l->cfg.eoi = &l->own_eoi;
        l->cfg.mode = &l->own_mode;
    }
    lapic_timer_init(l);
    reset(&l->dev);
    if (cfg->bus != NULL) {
        apic_bus_add_lapic(cfg->bus, &l->dev);
    }
    return &l->dev;
}
