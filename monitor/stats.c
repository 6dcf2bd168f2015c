/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/stats.h"

#include "monitor/accel.h"
#include "translator/engine.h"

#include <time.h>

static const char *const stat_names[STAT_COUNT] = {
#define STAT(id, help) [STAT_##id] = help,
#include "cpu-x86/stats.def"
#undef STAT
};

static void print_tlb(const CpuState *cpu, GString *out)
{
    const Tlb *t = &cpu->mmu.tlb;

    g_string_append_printf(out, "  TLB: %" G_GUINT64_FORMAT " fills, %" G_GUINT64_FORMAT
                           " flushes, %" G_GUINT64_FORMAT " page flushes, %" G_GUINT64_FORMAT
                           " re-tagged, %" G_GUINT64_FORMAT " revoked\n", t->n_fills,
                           t->n_flushes, t->n_page_flushes, t->n_retags, t->n_revokes);
}

bool stats_print_direct(Machine *m, GString *out)
{
    bool any = false;

    for (unsigned i = 0; i < m->n_cpus; i++) {
        g_autofree char *text = translate_direct_report(m->cpus[i]);

        if (text != NULL) {
            g_string_append_printf(out, "CPU %u, direct execution:\n%s", i, text);
            any = true;
        }
    }
    return any;
}

void stats_print(Machine *m, GString *out)
{
    double wall = (double)clock_now(m->clock) / 1e9;
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    g_string_append_printf(out, "engine %s: %.3f s of guest time, %.3f s of host CPU time\n",
                           m->engine->name, wall, (double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
    for (unsigned i = 0; i < m->n_cpus; i++) {
        const CpuState *cpu = m->cpus[i];
        double busy = (double)MAX(m->busy_ns[i], 1) / 1e9;

        g_string_append_printf(out, "CPU %u: %" G_GUINT64_FORMAT " instructions, %.3f s of CPU time, "
                               "%.1f million a second\n", i, cpu->insns, busy,
                               (double)cpu->insns / busy / 1e6);
        for (int s = 0; s < STAT_COUNT; s++) {
            if (cpu->stats[s] != 0) {
                g_string_append_printf(out, "  %-40s %12" G_GUINT64_FORMAT "\n", stat_names[s],
                                       cpu->stats[s]);
            }
        }
        print_tlb(cpu, out);
        if (m->engine->print_stats != NULL) {
            m->engine->print_stats(cpu, out);
        }
    }
    if (m->n_cpus > 0) {
        g_autofree char *cache = translate_report(m->cpus[0]);
        g_string_append(out, cache != NULL ? cache : "");
    }
    stats_print_direct(m, out);
    accel_describe_past(m, out);
}
