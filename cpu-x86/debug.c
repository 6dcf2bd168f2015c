/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu-x86/debug.h"

/* Bytes a breakpoint covers: the LEN field of DR7, SDM 3B 17.2.4. */
static unsigned break_len(const CpuState *cpu, unsigned n)
{
    static const uint8_t len[4] = {1, 2, 8, 4};

    return len[(cpu->dr[7] >> (18 + n * 4)) & 3];
}

/* DR6 bits of breakpoints of the kinds in `kinds` (bits 1 << BREAK_*) that [at, at+size) touches. */
static uint64_t match(const CpuState *cpu, unsigned kinds, uint64_t at, unsigned size)
{
    uint64_t bits = 0;

    for (unsigned n = 0; n < 4; n++) {
        if (cpu_debug_enabled(cpu, n) && ((kinds >> cpu_debug_kind(cpu, n)) & 1) != 0) {
            unsigned len = break_len(cpu, n);
            uint64_t first = cpu->dr[n] & ~(uint64_t)(len - 1);

            if (first <= at + size - 1 && at <= first + len - 1) {
                bits |= BIT64(n);
            }
        }
    }
    return bits;
}

uint64_t cpu_debug_exec(const CpuState *cpu, GuestLin lin)
{
    return match(cpu, 1u << BREAK_EXEC, lin.v, 1);
}

bool cpu_debug_deliver(CpuState *cpu, uint64_t bits, DeliverKind kind)
{
    cpu->dr[6] |= bits;
    cpu->dr[7] &= ~(uint64_t)DR7_GD;
    cpu->pending_dbg = 0;
    return cpu_deliver(cpu, EXC_DB, kind, false, 0);
}

/* -- The debugger's watchpoints --------------------------------------------------------------------- */

static const DebugWatch *find_watch(const CpuState *cpu, unsigned kinds, uint64_t at, uint64_t size)
{
    for (unsigned i = 0; i < cpu->n_watch; i++) {
        const DebugWatch *w = &cpu->watch[i];

        if ((w->kinds & kinds) != 0 && w->addr <= at + size - 1 && at <= w->addr + w->len - 1) {
            return w;
        }
    }
    return NULL;
}

static void note_watch(CpuState *cpu, GuestLin lin, unsigned size, TlbAccess a)
{
    const DebugWatch *w = find_watch(cpu, a == TLB_STORE ? DEBUG_WATCH_WRITE : DEBUG_WATCH_READ,
                                     lin.v, size);

    if (w != NULL && cpu->watch_hit == NULL) {
        cpu->watch_hit = w;
        cpu_request(cpu, CPU_REQ_KICK);
    }
}

/* -- Watched accesses ------------------------------------------------------------------------------- */

void cpu_debug_watched(void *arg, GuestLin lin, unsigned size, TlbAccess a)
{
    CpuState *cpu = arg;

    if (a != TLB_FETCH) {
        unsigned kinds = 1u << BREAK_ACCESS | (a == TLB_STORE ? 1u << BREAK_WRITE : 0);

        cpu->pending_dbg |= match(cpu, kinds, lin.v, size);
        note_watch(cpu, lin, size, a);
    }
}

void cpu_debug_io(CpuState *cpu, uint16_t port, unsigned size)
{
    if (unlikely((cpu->dr[7] & 0xff) != 0 && (cpu->cr4 & CR4_DE) != 0)) {
        cpu->pending_dbg |= match(cpu, 1u << BREAK_IO, port, size);
    }
}

bool cpu_debug_watches_page(const CpuState *cpu, GuestLin lin)
{
    unsigned kinds = 1u << BREAK_ACCESS | 1u << BREAK_WRITE;

    if (unlikely(cpu->n_watch != 0) &&
        find_watch(cpu, DEBUG_WATCH_READ | DEBUG_WATCH_WRITE, lin.v & GUEST_PAGE_MASK,
                   GUEST_PAGE_SIZE) != NULL) {
        return true;
    }
    return unlikely((cpu->dr[7] & 0xff) != 0) &&
           match(cpu, kinds, lin.v & GUEST_PAGE_MASK, GUEST_PAGE_SIZE) != 0;
}

/* -- MOV DRn -------------------------------------------------------------------------------------- */

/* Which register n means: DR4 and DR5 are DR6 and DR7 unless CR4.DE (SDM 3B 17.2.2). */
static unsigned resolve(CpuState *cpu, unsigned n)
{
    if (n > 7 || ((n == 4 || n == 5) && (cpu->cr4 & CR4_DE) != 0)) {
        cpu_raise_ud(cpu);
    }
    if ((cpu->dr[7] & DR7_GD) != 0) {
        cpu->dr[6] |= DR6_BD;
        cpu->dr[7] &= ~(uint64_t)DR7_GD;
        cpu_raise(cpu, EXC_DB);
    }
    return n == 4 || n == 5 ? n + 2 : n;
}

uint64_t cpu_read_dr(CpuState *cpu, unsigned n)
{
    return cpu->dr[resolve(cpu, n)];
}

void cpu_write_dr(CpuState *cpu, unsigned n, uint64_t val)
{
    bool watched;

    n = resolve(cpu, n);
    if (n >= 6 && val >> 32 != 0) {
        cpu_raise_gp(cpu, 0);
    }
    watched = (cpu->dr[7] & 0xff) != 0;
    if (n == 6) {
        cpu->dr[6] = (val & 0xe00f) | DR6_FIXED;
    } else if (n == 7) {
        cpu->dr[7] = (val & 0xffff23ff) | DR7_FIXED;
        watched |= (val & 0xff) != 0;
    } else {
        cpu->dr[n] = val;
    }
    if (watched && n != 6) {
        tlb_flush_all(&cpu->mmu.tlb); /* pages are watched or not when they enter the TLB */
    }
}
