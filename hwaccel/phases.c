/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/phases.h"

#include "hwaccel/kvm-cpu.h"
#include "hwaccel/kvm-stats.h"

#include <x86intrin.h>

enum {
    SOON = 64,                 /* entries */
    LOOK_MS = 2,               /* inside KVM between two looks at its counter */
    SLICE = 4096,
    LEN_MAX = 1 << 20,
    LEN_MAX_APICS = 64,
    /*
     * With hardware an instruction that KVM emulates costs an exit first, 1 us and more; so if it emulates one each
     * 0.7 us it does nothing else, as in a mode that the processor does not run.  A KVM without hardware needs 3.3
     * to 4.3 us for one (doc/KVM.md).
     */
    EMULATION_NS = 700,
    EMULATION_NS_SOFT = 6000,
};

static const struct {
    const char *text;
    unsigned shortest;
} rows[KVM_TURN_COUNT] = {
    [KVM_TURN_FAILED] = {"where KVM gave up", 1},
    [KVM_TURN_REAL_MODE] = {"in real mode, which KVM emulates", 4096},
    [KVM_TURN_PAGING32] = {"with paging that KVM does not do", 4096},
    [KVM_TURN_EMULATION] = {"in what KVM was emulating", 65536},
    [KVM_TURN_DEBUG] = {"for debuggers and traps", 1},
};

void kvm_phases_init(KvmCpu *k, bool wanted, unsigned emulation_ns)
{
    KvmPhases *p = &k->phases;
    const KvmHost *h = k->vm->host;

    *p = (KvmPhases){
        .wanted = wanted,
        .emulation_ns = emulation_ns != 0 ? emulation_ns : h->hardware != NULL ? EMULATION_NS : EMULATION_NS_SOFT,
        .entries = UINT64_MAX / 2,
        .looks = 2,
        .stats_fd = -1,
    };
    if (wanted && !k->vm->apics) {
        p->stats_fd = kvm_stat_open(h, k->fd, "insn_emulation", &p->stats_off);
    }
}

void kvm_phases_clear(KvmCpu *k)
{
    if (k->phases.stats_fd >= 0) {
        k->vm->ops->close(k->vm->ops, k->phases.stats_fd);
        k->phases.stats_fd = -1;
    }
}

CpuExit kvm_interpret(KvmCpu *k, uint64_t budget, KvmTurn why)
{
    KvmTurnStat *s = &k->phases.turns[why];
    uint64_t before = k->cpu->insns, t0 = __rdtsc();
    CpuExit exit = interp_engine.run(k->cpu, budget);

    s->insns += k->cpu->insns - before;
    s->ticks += __rdtsc() - t0;
    return exit;
}

static void begin(KvmCpu *k, KvmTurn why, bool soon)
{
    KvmPhases *p = &k->phases;
    uint64_t max = k->vm->apics ? LEN_MAX_APICS : LEN_MAX;

    p->why = why;
    p->len = p->wanted ? MIN(MAX(rows[why].shortest, soon ? p->len * 2 : 0), max) : 1;
    p->left = p->len;
    p->entries = p->looks = 0;
    p->turns[why].n++;
}

void kvm_phases_failed(KvmCpu *k)
{
    begin(k, KVM_TURN_FAILED, k->phases.entries < SOON);
}

bool kvm_phases_look(KvmCpu *k)
{
    KvmPhases *p = &k->phases;
    uint64_t ticks = k->guest_ticks - p->seen_ticks, emulated, n;

    p->entries++;
    if (p->stats_fd < 0 || ticks < k->cpu->tsc_hz / 1000 * LOOK_MS) {
        return false;
    }
    if (k->vm->ops->read(k->vm->ops, p->stats_fd, &n, sizeof n, p->stats_off) != sizeof n) {
        kvm_phases_clear(k);
        return false;
    }
    emulated = n - p->seen_emulated;
    p->seen_emulated = n;
    p->seen_ticks = k->guest_ticks;
    p->looks++;
    if ((double)emulated * p->emulation_ns < (double)ticks / (double)k->cpu->tsc_hz * 1e9) {
        return false;
    }
    begin(k, KVM_TURN_EMULATION, p->looks == 1);
    return true;
}

/* A mode that KVM had better not be given; KVM_TURN_COUNT: it is not in one.  (KVM without hardware ends in triple faults, and worse,
 * where paging is not that of long mode.) */
static KvmTurn bad_mode(const KvmCpu *k)
{
    const CpuState *cpu = k->cpu;

    if (!k->phases.wanted || !k->vm->host->emulates_real_mode || k->vm->apics || cpu->activity != CPU_RUNNING) {
        return KVM_TURN_COUNT;
    }
    if ((cpu->cr0 & CR0_PE) == 0) {
        return KVM_TURN_REAL_MODE;
    }
    return k->vm->host->hardware == NULL && (cpu->cr0 & CR0_PG) != 0 && (cpu->efer & EFER_LMA) == 0 ? KVM_TURN_PAGING32
                                                                                                     : KVM_TURN_COUNT;
}

CpuExit kvm_phases_run(KvmCpu *k)
{
    KvmPhases *p = &k->phases;
    CpuExit exit = CPU_EXIT_BUDGET;
    bool any = false;

    if (k->cpu->activity != CPU_RUNNING) {     /* it halted or was reset meanwhile, and waits inside KVM */
        p->left = 0;
    }
    while (exit == CPU_EXIT_BUDGET) {
        KvmTurn mode = bad_mode(k);
        uint64_t n;

        if (mode != KVM_TURN_COUNT) {
            if (p->left == 0) {
                begin(k, mode, p->entries < SOON);
            }
            p->left = MAX(p->left, p->len);
        }
        n = MIN(p->left, SLICE);
        if (n == 0) {
            break;
        }
        p->left -= n;
        any = true;
        exit = kvm_interpret(k, n, p->why);
    }
    if (any) {
        kvm_vm_forget_tables(k->vm);
    }
    return exit;
}

void kvm_phases_print(const KvmCpu *k, GString *out)
{
    double us = 1e6 / (double)k->cpu->tsc_hz;

    for (unsigned i = 0; i < KVM_TURN_COUNT; i++) {
        const KvmTurnStat *s = &k->phases.turns[i];

        if (s->insns != 0) {
            g_string_append_printf(out, "  interpreted %-34s %12" G_GUINT64_FORMAT " instructions  %9.3f s, %" G_GUINT64_FORMAT
                                   " turns\n", rows[i].text, s->insns, (double)s->ticks * us / 1e6, MAX(s->n, 1));
        }
    }
    if (!k->phases.wanted) {
        g_string_append(out, "  phases that KVM is bad at: left to KVM, as asked\n");
    } else if (k->vm->apics) {
        g_string_append(out, "  phases that KVM is bad at: left to KVM, which has the local APICs\n");
    } else {
        g_string_append_printf(out, "  phases that KVM is bad at: interpreted; real mode is %s, emulated instructions are %s\n",
                               k->vm->host->emulates_real_mode ? "one" : "none",
                               k->phases.stats_fd >= 0 ? "counted" : "not counted by this KVM");
    }
}
