/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvmclock: nanoseconds of the machine's clock as a linear function of the TSC, in a page of each CPU.
 *
 * One function serves all CPUs for ever: it is fixed when the first CPU asks, in terms of the TSC
 * without the guest's own adjustments and without jumps, which stands still together with the machine's
 * clock.  So time never goes back, is the same on all CPUs, and a page must be written again only when the
 * guest writes its TSC, or that jumps.  The stable bit says that the TSCs agree, so that any page serves any CPU.
 */
#include "cpu-x86/cpuid.h"
#include "pv/pv-internal.h"

#include <string.h>

enum { SYSTEM_TIME_ON = 1 };
enum { FLAG_TSC_STABLE = 1 };

typedef struct {
    uint32_t version;          /* odd while it is being written */
    uint32_t pad0;
    uint64_t tsc_timestamp;
    uint64_t system_time;
    uint32_t tsc_to_system_mul;
    int8_t tsc_shift;
    uint8_t flags;
    uint8_t pad[2];
} TimeInfo;
_Static_assert(sizeof(TimeInfo) == 32, "pvclock_vcpu_time_info");

typedef struct {
    uint32_t version, sec, nsec;
} WallClock;

/* ns = (shift < 0 ? tsc >> -shift : tsc << shift) * mul >> 32, with mul in its upper half. */
static void scale_of(uint64_t hz, uint32_t *mul, int8_t *shift)
{
    *shift = 0;
    while (hz > 2 * NS_PER_SEC) {
        hz >>= 1;
        (*shift)--;
    }
    while (hz <= NS_PER_SEC) {
        hz <<= 1;
        (*shift)++;
    }
    *mul = (uint32_t)((NS_PER_SEC << 32) / hz);
}

static uint64_t to_ns(uint64_t hz, uint64_t tsc)
{
    uint32_t mul;
    int8_t shift;

    scale_of(hz, &mul, &shift);
    tsc = shift < 0 ? tsc >> -shift : tsc << shift;
    return (uint64_t)((unsigned __int128)tsc * mul >> 32);
}

static void fix_clock(Pv *pv, const CpuState *cpu)
{
    if (!pv->clock_set) {
        pv->clock_set = true;
        pv->clock_ns = clock_now(pv->cfg.clock);
        pv->clock_tsc = pv_machine_tsc(cpu);
    }
}

/* How far a CPU's TSC is ahead of the machine's. */
static uint64_t moved_by(const CpuState *cpu)
{
    return cpu->msr_tsc_adjust + cpu->tsc_jump;
}

uint64_t pv_machine_tsc(const CpuState *cpu)
{
    return cpu_tsc(cpu) - moved_by(cpu);
}

uint64_t pv_clock_ns_at(Pv *pv, const CpuState *cpu, uint64_t machine_tsc)
{
    const uint64_t most = UINT64_C(1) << 62;
    uint64_t delta;

    fix_clock(pv, cpu);
    if (machine_tsc <= pv->clock_tsc) {
        return pv->clock_ns;
    }
    delta = MIN(machine_tsc - pv->clock_tsc, most);
    return pv->clock_ns + MIN(muldiv64(delta, NS_PER_SEC, cpu->tsc_hz), most);
}

uint64_t pv_clock_now(Pv *pv, CpuState *cpu, uint64_t *tsc)
{
    fix_clock(pv, cpu);
    *tsc = cpu_tsc(cpu);
    return pv->clock_ns + to_ns(cpu->tsc_hz, *tsc - moved_by(cpu) - pv->clock_tsc);
}

static bool tscs_agree(const Pv *pv)
{
    for (unsigned i = 1; i < pv->cfg.n_cpus; i++) {
        if (moved_by(pv->cfg.cpus[i]) != moved_by(pv->cfg.cpus[0])) {
            return false;
        }
    }
    return true;
}

/* The guest's readers, maybe on other CPUs, take what stands between two equal even versions. */
static void write_page(Pv *pv, const CpuState *cpu, bool agree)
{
    PvCpu *c = &pv->cpu[cpu->index];
    bool stable = agree && cpu_model_has(cpu->model, FEAT_KVM_CLOCK_STABLE);
    uint64_t addr = c->system_time & ~(uint64_t)SYSTEM_TIME_ON;
    uint32_t *version = (addr & 3) == 0 ? pv_ram(pv, addr, sizeof(TimeInfo)) : NULL;
    TimeInfo t = {.tsc_timestamp = pv->clock_tsc + moved_by(cpu),
                  .system_time = pv->clock_ns, .flags = stable ? FLAG_TSC_STABLE : 0};

    if ((c->system_time & SYSTEM_TIME_ON) == 0 || version == NULL) {
        return;
    }
    scale_of(cpu->tsc_hz, &t.tsc_to_system_mul, &t.tsc_shift);
    c->clock_version = (c->clock_version | 1) + 2;
    t.version = c->clock_version;
    __atomic_store_n(version, t.version, __ATOMIC_SEQ_CST);
    memcpy(version, &t, sizeof t);     /* aligned to 4 bytes, no more */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    __atomic_store_n(version, ++c->clock_version, __ATOMIC_SEQ_CST);
    pv_stored(pv, version, sizeof t);
}

void pv_clock_enable(Pv *pv, CpuState *cpu, uint64_t msr_value)
{
    pv->cpu[cpu->index].system_time = msr_value;
    fix_clock(pv, cpu);
    write_page(pv, cpu, tscs_agree(pv));
}

/* Bit by bit the guest brings its TSCs out of step, or into step: all pages say which. */
void pv_clock_tsc_moved(Pv *pv)
{
    bool agree = tscs_agree(pv);

    for (unsigned i = 0; i < pv->cfg.n_cpus; i++) {
        write_page(pv, pv->cfg.cpus[i], agree);
    }
}

void pv_clock_saving(Pv *pv)
{
    const CpuState *cpu = pv->cfg.cpus[0];

    if (pv->clock_set) {
        pv->saved_tsc = pv_machine_tsc(cpu);
        pv->saved_ns = pv->clock_ns + to_ns(cpu->tsc_hz, pv->saved_tsc - pv->clock_tsc);
    }
}

void pv_clock_loaded(Pv *pv)
{
    pv->clock_tsc = pv->saved_tsc;
    pv->clock_ns = pv->saved_ns;
}

/* The wall clock as it was when kvmclock was 0. */
void pv_clock_write_wall(Pv *pv, CpuState *cpu, uint64_t addr)
{
    uint64_t tsc, boot;
    WallClock w;
    uint32_t *version = (addr & 3) == 0 ? pv_ram(pv, addr, sizeof w) : NULL;

    if (version == NULL) {
        return;
    }
    boot = pv_wall_ns(pv) - pv_clock_now(pv, cpu, &tsc);
    w = (WallClock){.version = (*version | 1) + 1, .sec = (uint32_t)(boot / NS_PER_SEC),
                    .nsec = (uint32_t)(boot % NS_PER_SEC)};
    pv_store(pv, addr, &w, sizeof w);
}
