/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Life of a CPU, the derived mode, requests and sleep, its time-stamp counter. */
#include "cpu-x86/state.h"

#include "cpu-x86/debug.h"
#include "cpu-x86/engine.h"
#include "cpu-x86/interp.h"
#include "cpu-x86/vector.h"
#include "cpu-x86/walk.h"
#include "softmmu/base/clock.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* -- Life -------------------------------------------------------------------------------------- */

/* SoftMmu.watched: a data breakpoint that was hit traps after this instruction: leave the run. */
static void watched(void *arg, GuestLin lin, unsigned size, TlbAccess a)
{
    CpuState *cpu = arg;

    cpu_debug_watched(arg, lin, size, a);
    if (cpu->pending_dbg != 0 || cpu->watch_hit != NULL) {
        cpu->code_stale = true;
    }
}

/* CMPS: AMD's Zen 5 (family 1Ah) look at DS:rSI first, Zen 4 (19h) at ES:rDI, Intel's too; the manuals leave it open. */
static bool reads_source_first(const CpuModel *m)
{
    uint32_t signature = cpu_model_signature(m), family = (signature >> 8 & 15) + (signature >> 20 & 255);

    return cpu_model_is_amd(m) && family >= 0x1a;
}

CpuState *cpu_new(const CpuConfig *config)
{
    CpuState *cpu = aligned_alloc(64, (sizeof *cpu + 63) & ~(size_t)63);

    g_assert(cpu != NULL);
    memset(cpu, 0, sizeof *cpu);
    cpu->index = config->index;
    cpu->n_cpus = config->n_cpus;
    cpu->model = config->model;
    cpu->cmps_source_first = reads_source_first(cpu->model);
    cpu->mem = config->mem;
    cpu->ports = config->ports;
    cpu->machine_lock = config->machine_lock;
    cpu->bus = config->bus;
    cpu->tsc_hz = clock_host_tsc_hz();
    cpu->apic_busy = 1; /* until there is one that says otherwise */
    mmu_init(&cpu->mmu, cpu->mem, cpu, cpu_walk_fill, watched, interp_code_written);
    vector_global_init();
    vector_cpu_init(cpu);
    interp_cpu_init(cpu);
    cpu->engine = &interp_engine;
    cpu_reset(cpu);
    return cpu;
}

void cpu_free(CpuState *cpu)
{
    if (cpu == NULL) {
        return;
    }
    interp_cpu_clear(cpu);
    vector_cpu_clear(cpu);
    mmu_clear(&cpu->mmu);
    free(cpu);
}

/* -- Mode -------------------------------------------------------------------------------------- */

static bool flat(const Segment *s)
{
    return s->base == 0 && s->limit == UINT32_MAX && (s->attr & (SEG_NULL | SEG_P)) == SEG_P;
}

static bool flat_data(const Segment *s)
{
    return flat(s) && (s->attr & (SEG_CODE | SEG_DC | SEG_RW)) == SEG_RW;
}

/* CPL is the DPL of a code segment that is not conforming; a conforming one keeps it in its
 * selector.  (Not the selector always: real-mode code that has just set CR0.PE is at CPL 0.) */
static uint8_t current_cpl(const CpuState *cpu)
{
    const Segment *cs = &cpu->seg[SEG_CS];

    if ((cpu->cr0 & CR0_PE) == 0) {
        return 0;
    }
    if ((cpu->rflags & FLAG_VM) != 0) {
        return 3;
    }
    return (cs->attr & (SEG_CODE | SEG_DC)) == (SEG_CODE | SEG_DC) ? cs->selector & 3
                                                                   : seg_dpl(cs->attr);
}

static uint32_t code_mode(const CpuState *cpu)
{
    const Segment *s = cpu->seg;
    uint32_t mode = 0;

    if ((cpu->cr0 & CR0_PE) != 0) {
        mode |= (cpu->rflags & FLAG_VM) != 0 ? MODE_VM : MODE_PE;
    }
    if ((cpu->efer & EFER_LMA) != 0) {
        mode |= MODE_LMA;
    }
    if ((mode & MODE_LMA) != 0 && (s[SEG_CS].attr & SEG_L) != 0) {
        return mode | MODE_CS64 | MODE_SS32 | MODE_FLAT;
    }
    if ((mode & MODE_VM) == 0) {
        mode |= (s[SEG_CS].attr & SEG_DB) != 0 ? MODE_CS32 : 0;
        mode |= (s[SEG_SS].attr & SEG_DB) != 0 ? MODE_SS32 : 0;
    }
    if ((mode & MODE_PE) != 0 && flat(&s[SEG_CS]) && flat_data(&s[SEG_SS]) &&
        flat_data(&s[SEG_DS]) && flat_data(&s[SEG_ES])) {
        mode |= MODE_FLAT;
    }
    return mode;
}

void cpu_update_mode(CpuState *cpu)
{
    uint8_t cpl = current_cpl(cpu);
    uint32_t mode = code_mode(cpu) | (uint32_t)cpl << MODE_CPL_SHIFT;
    bool ac = (cpu->rflags & FLAG_AC) != 0;

    if (cpl == 3) {
        mode |= MODE_CPL3; /* bit 9, above the two of CPL */
        mode |= ac && (cpu->cr0 & CR0_AM) != 0 ? MODE_AC : 0;
    }
    cpu->cpl = cpl;
    cpu->mode = mode;
    cpu->tlb_class = cpl == 3 ? TLB_USER
                     : ac && (cpu->cr4 & CR4_SMAP) != 0 ? TLB_KERNEL_AC
                                                        : TLB_KERNEL;
}

/* -- Requests ---------------------------------------------------------------------------------- */

void cpu_request(CpuState *cpu, uint32_t bits)
{
    __atomic_fetch_or(&cpu->requests, bits, __ATOMIC_SEQ_CST);
    if (unlikely(cpu->exact)) {
        cpu->code_stale = true; /* nobody else makes requests of such a CPU, or when does not matter */
    }
    if (__atomic_load_n(&cpu->sleeping, __ATOMIC_SEQ_CST) != 0 &&
        __atomic_exchange_n(&cpu->sleeping, 0, __ATOMIC_SEQ_CST) != 0) {
        syscall(SYS_futex, &cpu->sleeping, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    if (cpu->engine != NULL && cpu->engine->kick != NULL) {
        cpu->engine->kick(cpu);
    }
}

void cpu_unrequest(CpuState *cpu, uint32_t bits)
{
    __atomic_fetch_and(&cpu->requests, ~bits, __ATOMIC_SEQ_CST);
}

bool cpu_has_work(const CpuState *cpu)
{
    uint32_t requests = cpu_requests(cpu);

    switch (cpu->activity) {
    case CPU_RUNNING: return true;
    case CPU_HALTED:
        return (requests & CPU_REQ_INIT) != 0 ||
               ((requests & CPU_REQ_NMI) != 0 && !cpu->nmi_masked) ||
               ((requests & CPU_REQ_INTR) != 0 && (cpu->rflags & FLAG_IF) != 0) ||
               __atomic_load_n(&cpu->unhalted, __ATOMIC_SEQ_CST);
    case CPU_WAIT_SIPI: return (requests & (CPU_REQ_SIPI | CPU_REQ_INIT)) != 0;
    case CPU_SHUTDOWN: return (requests & CPU_REQ_INIT) != 0;
    }
    return false;
}

bool cpu_must_wake(const CpuState *cpu)
{
    return cpu_has_work(cpu) || (cpu_requests(cpu) & (CPU_REQ_KICK | CPU_REQ_STOP)) != 0;
}

/* Whoever makes a request does so before it looks at `sleeping`, and we look at the requests after we have set it: one of
 * us sees the other.  The futex sleeps only while the word is still as we left it. */
void cpu_sleep(CpuState *cpu)
{
    for (;;) {
        __atomic_store_n(&cpu->sleeping, 1, __ATOMIC_SEQ_CST);
        if (cpu_must_wake(cpu)) {
            break;
        }
        syscall(SYS_futex, &cpu->sleeping, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
    }
    __atomic_store_n(&cpu->sleeping, 0, __ATOMIC_SEQ_CST);
}

/* Between two PAUSEs of a loop, in cycles of the host; a PAUSE takes 40 to 150. */
enum { LOOP_CYCLES = 1000 };

void cpu_spins(CpuState *cpu, unsigned n)
{
    uint64_t now = __builtin_ia32_rdtsc();

    if (now - cpu->spun_at < (uint64_t)n * LOOP_CYCLES) {
        cpu->stats[STAT_SPINS]++;
        syscall(SYS_sched_yield);
        now = __builtin_ia32_rdtsc();
    }
    cpu->spun_at = now;
}

/* -- Time -------------------------------------------------------------------------------------- */

uint64_t cpu_tsc(const CpuState *cpu)
{
    uint64_t now = cpu->tsc_now != NULL ? cpu->tsc_now(cpu->tsc_arg) : __builtin_ia32_rdtsc();

    return now + (uint64_t)cpu->tsc_offset;
}
