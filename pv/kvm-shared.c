/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a CPU and its guest tell each other through memory: stolen time, "this CPU is not running",
 * "flush your TLB before you run", and "this interrupt has ended".
 *
 * All of it is written by the CPU's own thread between guest instructions: guests use plain
 * read-modify-write instructions on it.  Only the preempted byte is shared with other CPUs, which use
 * locked ones.
 */
#include "hw/lapic.h"
#include "pv/pv-internal.h"

#include <time.h>

enum { STEAL_ON = 1, STEAL_RESERVED = 0x3e };
enum { PREEMPTED = 1, FLUSH_TLB = 2 };
enum { EOI_ON = 1, EOI_RESERVED = 2 };
#define STEAL_EVERY_NS (4 * NS_PER_MS)

typedef struct {
    uint64_t steal;            /* ns */
    uint32_t version, flags;
    uint8_t preempted;
    uint8_t pad[47];
} StealTime;
_Static_assert(sizeof(StealTime) == 64, "kvm_steal_time");

/* -- Stolen time ------------------------------------------------------------------------------------- */

static StealTime *steal_area(Pv *pv, const PvCpu *c)
{
    return (c->steal_time & STEAL_ON) != 0
               ? pv_ram(pv, c->steal_time & ~(uint64_t)STEAL_ON, sizeof(StealTime)) : NULL;
}

static uint64_t thread_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void look_at_clocks(Pv *pv, PvCpu *c)
{
    c->wall_ns = clock_now(pv->cfg.clock);
    c->busy_ns = thread_ns();
}

/* The thread wanted to run since the last look: what it did not get was stolen; nothing where time counts instructions. */
static void account(Pv *pv, const CpuState *cpu, PvCpu *c)
{
    uint64_t wall = c->wall_ns, busy = c->busy_ns;
    int64_t lost;

    look_at_clocks(pv, c);
    lost = (int64_t)(c->wall_ns - wall - (c->busy_ns - busy));
    c->stolen_ns += lost > 0 && !cpu->exact ? (uint64_t)lost : 0;
}

static void publish(Pv *pv, const PvCpu *c, StealTime *st)
{
    uint32_t version = st->version;

    __atomic_store_n(&st->version, (version | 1) + 2, __ATOMIC_SEQ_CST);
    __atomic_store_n(&st->steal, c->stolen_ns, __ATOMIC_SEQ_CST);
    __atomic_store_n(&st->version, (version | 1) + 3, __ATOMIC_SEQ_CST);
    pv_stored(pv, st, sizeof *st);
}

bool pv_steal_enable(Pv *pv, CpuState *cpu, uint64_t msr_value)
{
    PvCpu *c = &pv->cpu[cpu->index];
    StealTime *st;

    if ((msr_value & STEAL_RESERVED) != 0) {
        return false;
    }
    c->steal_time = msr_value;
    st = steal_area(pv, c);
    if (st != NULL) {
        look_at_clocks(pv, c);
        publish(pv, c, st);
    }
    return true;
}

static void show_running(Pv *pv, CpuState *cpu, StealTime *st)
{
    uint8_t was = __atomic_exchange_n(&st->preempted, 0, __ATOMIC_SEQ_CST);

    pv_stored(pv, &st->preempted, 1);
    if ((was & FLUSH_TLB) != 0) {
        tlb_flush_all(&cpu->mmu.tlb);
    }
}

void pv_steal_back(Pv *pv, CpuState *cpu, uint64_t msr_value)
{
    PvCpu *c = &pv->cpu[cpu->index];
    StealTime *st;

    c->steal_time = msr_value;
    st = steal_area(pv, c);
    if (st != NULL) {
        c->stolen_ns = st->steal;
        look_at_clocks(pv, c);
        show_running(pv, cpu, st);     /* KVM says otherwise of a CPU whose thread is not in it */
    }
}

void pv_interrupt(Pv *pv, CpuState *cpu)
{
    PvCpu *c = &pv->cpu[cpu->index];

    if ((c->steal_time & STEAL_ON) != 0 &&
        clock_now(pv->cfg.clock) - c->wall_ns >= STEAL_EVERY_NS) {
        StealTime *st = steal_area(pv, c);

        account(pv, cpu, c);
        if (st != NULL) {
            publish(pv, c, st);
        }
    }
}

void pv_cpu_resumes(Pv *pv, CpuState *cpu)
{
    PvCpu *c = &pv->cpu[cpu->index];

    if ((c->steal_time & STEAL_ON) != 0) {
        look_at_clocks(pv, c);
    }
}

/* -- Asleep -------------------------------------------------------------------------------------------- */

void pv_cpu_sleeps(Pv *pv, CpuState *cpu)
{
    PvCpu *c = &pv->cpu[cpu->index];
    StealTime *st = steal_area(pv, c);

    if (st != NULL) {
        account(pv, cpu, c);
        publish(pv, c, st);
        c->sleeping = true;
        __atomic_store_n(&st->preempted, PREEMPTED, __ATOMIC_SEQ_CST);
        pv_stored(pv, &st->preempted, 1);
    }
}

void pv_cpu_wakes(Pv *pv, CpuState *cpu)
{
    PvCpu *c = &pv->cpu[cpu->index];
    StealTime *st = steal_area(pv, c);

    if (st != NULL && c->sleeping) {
        show_running(pv, cpu, st);
        look_at_clocks(pv, c);
    }
    c->sleeping = false;
}

/* -- EOI --------------------------------------------------------------------------------------------- */

static uint8_t *eoi_byte(Pv *pv, const PvCpu *c)
{
    return (c->pv_eoi & EOI_ON) != 0 ? pv_ram(pv, c->pv_eoi & ~UINT64_C(3), 4) : NULL;
}

bool pv_eoi_enable(Pv *pv, CpuState *cpu, uint64_t msr_value)
{
    if ((msr_value & EOI_RESERVED) != 0) {
        return false;
    }
    lapic_settle_eoi(pv->cfg.lapic(pv->cfg.arg, cpu->index)); /* at the old place */
    pv->cpu[cpu->index].pv_eoi = msr_value;
    return true;
}

bool pv_eoi_offer(Pv *pv, CpuState *cpu)
{
    uint8_t *p = eoi_byte(pv, &pv->cpu[cpu->index]);

    if (p == NULL) {
        return false;
    }
    *p |= 1;
    pv_stored(pv, p, 1);
    return true;
}

bool pv_eoi_take_back(Pv *pv, CpuState *cpu)
{
    uint8_t *p = eoi_byte(pv, &pv->cpu[cpu->index]);

    if (p == NULL || (*p & 1) == 0) {
        cpu->stats[STAT_PV_EOIS]++;
        return true;
    }
    *p &= (uint8_t)~1u;
    pv_stored(pv, p, 1);
    return false;
}
