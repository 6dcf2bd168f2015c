/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gdb's breakpoints and watchpoints.  Nothing is written into guest memory: before each instruction the
 * engine asks breakpoint_at(), and watched pages leave the TLB's fast path (cpu-x86/debug.h).  So they
 * work in ROM, survive a guest that loads code over them, and the guest cannot see them.
 */
#include "monitor/gdb-internal.h"

#include "softmmu/base/bits.h"

static uint64_t code_address(const CpuState *cpu, uint64_t rip)
{
    return cpu_is_long64(cpu) ? rip : (uint32_t)(cpu->seg[SEG_CS].base + rip);
}

static const GdbBreak *find_exec(const GdbStub *g, uint64_t lin)
{
    if ((g->exec_filter >> (lin & 63) & 1) == 0) {
        return NULL;
    }
    for (guint i = 0; i < g->breaks->len; i++) {
        const GdbBreak *b = &g_array_index(g->breaks, GdbBreak, i);
        if (b->kind <= GDB_BREAK_HARD && b->addr == lin) {
            return b;
        }
    }
    return NULL;
}

/* CpuState.breakpoint_at: CPU thread, no lock; the list does not change while CPUs run. */
static bool breakpoint_at(void *arg, uint64_t rip)
{
    const GdbCpu *c = arg;

    return find_exec(c->stub, code_address(c->cpu, rip)) != NULL;
}

/* CpuState.breakpoints. */
static unsigned list_breakpoints(void *arg, uint64_t *lin, unsigned max)
{
    const GdbStub *g = ((const GdbCpu *)arg)->stub;
    unsigned n = 0;

    for (guint i = 0; i < g->breaks->len; i++) {
        const GdbBreak *b = &g_array_index(g->breaks, GdbBreak, i);
        if (b->kind <= GDB_BREAK_HARD && find_exec(g, b->addr) == b) { /* the first at its address */
            if (n < max) {
                lin[n] = b->addr;
            }
            n++;
        }
    }
    return n;
}

const GdbBreak *gdb_break_at(const GdbStub *g, const CpuState *cpu)
{
    return find_exec(g, code_address(cpu, cpu->rip));
}

/* -- The list ----------------------------------------------------------------------------------------- */

static bool same(const GdbBreak *a, const GdbBreak *b)
{
    return a->kind == b->kind && a->addr == b->addr && a->len == b->len;
}

static bool find(const GdbStub *g, const GdbBreak *b, guint *at)
{
    for (guint i = 0; i < g->breaks->len; i++) {
        if (same(&g_array_index(g->breaks, GdbBreak, i), b)) {
            *at = i;
            return true;
        }
    }
    return false;
}

/* After a change of the list: what is derived from it. */
static void rebuild(GdbStub *g)
{
    static const uint8_t kinds[GDB_BREAK_KINDS] = {
        [GDB_WATCH_WRITE] = DEBUG_WATCH_WRITE, [GDB_WATCH_READ] = DEBUG_WATCH_READ,
        [GDB_WATCH_ACCESS] = DEBUG_WATCH_WRITE | DEBUG_WATCH_READ,
    };
    Machine *m = g->machine;

    g_array_set_size(g->watches, 0);
    g->exec_filter = 0;
    for (guint i = 0; i < g->breaks->len; i++) {
        const GdbBreak *b = &g_array_index(g->breaks, GdbBreak, i);
        if (b->kind <= GDB_BREAK_HARD) {
            g->exec_filter |= BIT64(b->addr & 63);
        } else {
            DebugWatch w = {b->addr, b->len, kinds[b->kind]};
            g_array_append_val(g->watches, w);
        }
    }
    for (unsigned i = 0; i < m->n_cpus; i++) {
        m->cpus[i]->watch = (const DebugWatch *)g->watches->data;
        m->cpus[i]->n_watch = g->watches->len;
        m->cpus[i]->watch_hit = NULL;
        m->cpus[i]->breakpoint_epoch += 1 + (m->cpus[i]->breakpoint_epoch == UINT32_MAX);
        cpu_request(m->cpus[i], CPU_REQ_FLUSH); /* pages are watched when they enter the TLB */
    }
}

bool gdb_break_exists(const GdbStub *g, const GdbBreak *b)
{
    guint at;

    return find(g, b, &at);
}

bool gdb_break_insert(GdbStub *g, const GdbBreak *b)
{
    enum { BREAKS_MAX = 4096 };
    guint at;

    if (b->len == 0 || b->addr + b->len - 1 < b->addr || g->breaks->len >= BREAKS_MAX) {
        return false;
    }
    if (!find(g, b, &at)) {
        g_array_append_vals(g->breaks, b, 1);
        rebuild(g);
    }
    return true;
}

bool gdb_break_remove(GdbStub *g, const GdbBreak *b)
{
    guint at;

    if (!find(g, b, &at)) {
        return false;
    }
    g_array_remove_index(g->breaks, at);
    rebuild(g);
    return true;
}

void gdb_break_remove_all(GdbStub *g)
{
    if (g->breaks->len > 0) {
        g_array_set_size(g->breaks, 0);
        rebuild(g);
    }
}

/* -- On CPUs ------------------------------------------------------------------------------------------ */

void gdb_break_arm(GdbStub *g, const GoMode *modes)
{
    Machine *m = g->machine;

    for (unsigned i = 0; i < m->n_cpus; i++) {
        CpuState *cpu = m->cpus[i];
        bool steps = modes != NULL && modes[i] != GO_FREELY;

        /* Watchpoints too: engines then stop right after the access. */
        cpu->breakpoint_at = !steps && g->breaks->len > 0 ? breakpoint_at : NULL;
        cpu->breakpoints = cpu->breakpoint_at != NULL ? list_breakpoints : NULL;
        cpu->breakpoint_arg = &g->cpus[i];
    }
}

void gdb_break_take_hit(GdbStub *g, CpuState *cpu)
{
    const DebugWatch *hit = cpu->watch_hit;
    GdbCpu *c = &g->cpus[cpu->index];
    guint n = 0;

    cpu->watch_hit = NULL;
    for (guint i = 0; hit != NULL && i < g->breaks->len; i++) {
        const GdbBreak *b = &g_array_index(g->breaks, GdbBreak, i);
        if (b->kind > GDB_BREAK_HARD && hit == &g_array_index(g->watches, DebugWatch, n++)) {
            c->has_hit = true;
            c->hit = *b;
        }
    }
}
