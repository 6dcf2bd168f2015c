/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMI's clocks and alarms.  The counter is the machine's TSC (pv_machine_tsc), of which nothing counts as
 * stolen; an alarm is a timer of the machine that raises IRQ 0 or the local APIC's timer vector.
 */
#include "hw/lapic.h"
#include "pv/vmi-internal.h"

enum { ALARM_COUNTER = 0xff, ALARM_PERIODIC = 0x100, ALARM_LVTT = 0x10000 };
/* An alarm wakes the host no more often than this; what falls between is one tick. */
#define ALARM_FLOOR_NS (20 * NS_PER_US)
/* The wall clock has been set when it differs by more than what rounding makes. */
#define WALL_JUMP_NS ((int64_t)(NS_PER_SEC / 2))

void vmi_counter(Vmi *v, CpuState *cpu)
{
    vmi_return(cpu, vmi_eax(cpu) <= VMI_COUNTER_AVAILABLE ? pv_machine_tsc(cpu) : 0);
}

/* -- Alarms ------------------------------------------------------------------------------------------ */

static CpuState *cpu_of(const VmiAlarm *a)
{
    return a->vmi->cfg.pv->cfg.cpus[a->cpu];
}

static void arm(VmiAlarm *a, uint64_t counter)
{
    timer_set(&a->timer, pv_clock_ns_at(a->vmi->cfg.pv, cpu_of(a), counter) + 1);
}

static void fired(void *arg)
{
    VmiAlarm *a = arg;
    const PvConfig *pv = &a->vmi->cfg.pv->cfg;

    if (a->periodic) {
        uint64_t now = pv_machine_tsc(cpu_of(a));
        uint64_t floor = now + muldiv64(ALARM_FLOOR_NS, cpu_of(a)->tsc_hz, NS_PER_SEC);
        uint64_t next = a->first + a->period;

        if (next <= floor) {           /* keep the phase, drop what is missed */
            next = a->first + ((floor - a->first) / a->period + 1) * a->period;
        }
        a->first = next;
        arm(a, next);
    } else {
        a->armed = false;
    }
    if (a->lvtt) {
        lapic_raise_lvt(pv->lapic(pv->arg, a->cpu), LAPIC_LVT_TIMER);
    } else {
        irq_pulse(&a->vmi->cfg.irq0);
    }
}

/* EAX flags, ECX:EDX when, on the stack the period. */
void vmi_SetAlarm(Vmi *v, CpuState *cpu)
{
    uint32_t flags = vmi_eax(cpu), low = 0, high = 0;
    VmiAlarm *a;

    if ((flags & ALARM_COUNTER) >= VMI_ALARM_COUNT ||
        ((flags & ALARM_PERIODIC) != 0 &&
         !(vmi_stack_arg(v, cpu, 0, &low) && vmi_stack_arg(v, cpu, 1, &high)))) {
        return;
    }
    a = &v->alarms[cpu->index][flags & ALARM_COUNTER];
    a->first = (uint64_t)vmi_ecx(cpu) << 32 | vmi_edx(cpu);
    a->period = (uint64_t)high << 32 | low;
    a->periodic = (flags & ALARM_PERIODIC) != 0 && a->period != 0;
    a->lvtt = (flags & ALARM_LVTT) != 0;
    a->armed = true;
    arm(a, a->first);
}

void vmi_CancelAlarm(Vmi *v, CpuState *cpu)
{
    unsigned counter = vmi_eax(cpu) & ALARM_COUNTER;
    bool was = false;

    if (counter < VMI_ALARM_COUNT) {
        VmiAlarm *a = &v->alarms[cpu->index][counter];

        was = a->armed;
        a->armed = false;
        timer_cancel(&a->timer);
    }
    vmi_return(cpu, was);
}

/* -- Wall clock ------------------------------------------------------------------------------------------ */

static int64_t wall_ahead(const Vmi *v)
{
    return (int64_t)(pv_wall_ns(v->cfg.pv) - clock_now(v->cfg.pv->cfg.clock));
}

void vmi_GetWallclockTime(Vmi *v, CpuState *cpu)
{
    v->wall_ahead = wall_ahead(v);
    vmi_return(cpu, pv_wall_ns(v->cfg.pv));
}

/* Has it jumped since it was last asked for?  It does when the machine was stopped. */
void vmi_WallclockUpdated(Vmi *v, CpuState *cpu)
{
    int64_t ahead = wall_ahead(v), jump = ahead - v->wall_ahead;
    bool updated = jump > WALL_JUMP_NS || jump < -WALL_JUMP_NS;

    if (updated) {
        v->wall_ahead = ahead;
    }
    vmi_return(cpu, updated);
}

/* -- Life -------------------------------------------------------------------------------------------- */

void vmi_time_reset(Vmi *v)
{
    for (unsigned i = 0; i < v->cfg.pv->cfg.n_cpus; i++) {
        for (unsigned j = 0; j < VMI_ALARM_COUNT; j++) {
            v->alarms[i][j].armed = false;
            timer_cancel(&v->alarms[i][j].timer);
        }
    }
    v->wall_ahead = wall_ahead(v);
}

void vmi_time_init(Vmi *v)
{
    for (unsigned i = 0; i < v->cfg.pv->cfg.n_cpus; i++) {
        for (unsigned j = 0; j < VMI_ALARM_COUNT; j++) {
            v->alarms[i][j] = (VmiAlarm){.vmi = v, .cpu = i};
            timer_init(&v->alarms[i][j].timer, v->cfg.timers, fired, &v->alarms[i][j]);
        }
    }
}
