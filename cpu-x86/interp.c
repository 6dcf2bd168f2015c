/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reference interpreter.
 *
 * Guest code is decoded into *runs*: straight lines of X86Insn inside one page, ended by whatever
 * may change rip, mode or interrupt state.  A run is found by its host address (which names the
 * place in guest memory, whatever linear address maps it) and the decode mode; the software TLB's
 * fetch tag proves each time that the page may be executed, so no mapping change needs to visit the
 * cache.  A run remembers the version of its page (phys-mem.h): when that has moved, its bytes are
 * compared and it is either kept or decoded again.  A run links to the two runs that last followed
 * it, so that loops look nothing up.
 *
 * Between runs the loop asks for attention: requests, shadows, single step, breakpoints.  Whatever
 * needs a look at every instruction makes it go by single instructions (`careful`); a debugger's
 * breakpoints do so only in runs that hold one.
 */
#include "cpu-x86/interp.h"

#include "cpu-x86/debug.h"
#include "cpu-x86/decode.h"
#include "cpu-x86/engine.h"
#include "cpu-x86/exception.h"
#include "cpu-x86/insns.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"

#include <sys/mman.h>

enum {
    RUN_INSNS_MAX = 32,
    HASH_BITS = 15,
    CROSSING_SLOTS = 256,
};
#define ARENA_SIZE (UINT64_C(96) << 20) /* touched as it fills, then all is dropped */

typedef struct Run Run;

struct Run {
    uint64_t key;              /* host address | decode mode << 48; 0: never matches            */
    Run *hash_next;
    Run *link[2];              /* runs that followed, checked by their key; never NULL          */
    uint64_t offset;           /* in the memfd                                                  */
    uint32_t version;          /* of the page, when the bytes were last right                   */
    uint16_t n;                /* instructions; 0: the first one goes on in the next page       */
    uint16_t len;              /* bytes                                                         */
    uint8_t turn;              /* which link to replace next                                    */
    uint32_t clear_epoch;      /* no debugger's breakpoint is behind the first instruction, as of */
    uint64_t clear_lin;        /*   this CpuState.breakpoint_epoch, when the run begins there     */
    X86Insn insn[];            /* then `len` bytes of code                                      */
};

/* An instruction that crosses a page, or lies outside RAM: kept with its bytes, which are fetched
 * and compared at each execution. */
typedef struct {
    uint64_t lin;
    uint32_t mode;
    X86Insn insn;              /* len 0: empty */
} Crossing;

typedef struct {
    InsnDecoder decoder;
    uint64_t left;             /* of the budget                                                 */
    Run *run;                  /* executing, else NULL                                          */
    uint64_t run_rip;          /* where it began                                                */
    bool careful;
    uint8_t *arena;
    uint64_t arena_used;
    Run none;                  /* what unused links point at                                    */
    Run *hash[1 << HASH_BITS];
    Crossing crossing[CROSSING_SLOTS];
} Interp;

/* -- Life -------------------------------------------------------------------------------------- */

static void drop_runs(Interp *ip)
{
    memset(ip->hash, 0, sizeof ip->hash);
    ip->arena_used = 0;
}

void interp_cpu_init(CpuState *cpu)
{
    Interp *ip = g_new0(Interp, 1);

    ip->arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ip->arena == MAP_FAILED) {
        ip->arena = NULL;      /* interp_attach() says so */
    }
    ip->none.link[0] = ip->none.link[1] = &ip->none;
    insn_decoder_init(&ip->decoder, cpu);
    cpu->interp_data = ip;
}

void interp_cpu_clear(CpuState *cpu)
{
    Interp *ip = cpu->interp_data;

    if (ip->arena != NULL) {
        munmap(ip->arena, ARENA_SIZE);
    }
    g_free(ip);
    cpu->interp_data = NULL;
}

void interp_code_written(void *arg)
{
    CpuState *cpu = arg;

    cpu->code_stale = true;
    cpu->stats[STAT_CODE_WRITES]++;
}

/* -- Making runs ------------------------------------------------------------------------------- */

static Run **hash_slot(Interp *ip, uint64_t key)
{
    return &ip->hash[(key ^ key >> HASH_BITS ^ key >> 48) & ((1 << HASH_BITS) - 1)];
}

static uint8_t *run_bytes(Run *run)
{
    return (uint8_t *)&run->insn[run->n];
}

/* Decode from `p` to the run's end.  The caller has read the page's version before. */
static Run *make_run(CpuState *cpu, Interp *ip, const uint8_t *p, uint64_t key, uint64_t offset,
                     uint32_t version)
{
    unsigned room = GUEST_PAGE_SIZE - (unsigned)(offset & GUEST_PAGE_OFFSET_MASK);
    const uint64_t most = sizeof(Run) + RUN_INSNS_MAX * (sizeof(X86Insn) + 15) + 64;
    Run *run, **slot = hash_slot(ip, key);

    if (ip->arena_used + most > ARENA_SIZE) {
        drop_runs(ip);
    }
    run = (Run *)(ip->arena + ip->arena_used);
    *run = (Run){.key = key, .offset = offset, .version = version,
                 .link = {&ip->none, &ip->none}};
    while (run->n < RUN_INSNS_MAX && run->len < room) {
        uint8_t bytes[15];
        unsigned avail = MIN(room - run->len, sizeof bytes);
        X86Insn *in = &run->insn[run->n];

        memcpy(bytes, p + run->len, avail); /* once: the guest may write them meanwhile */
        if (!insn_decode(&ip->decoder, cpu, bytes, avail, in)) {
            break;
        }
        if (unlikely(log_on[LOG_IN_ASM])) {
            insn_log(&ip->decoder, cpu, cpu->rip + run->len, in);
        }
        run->n++;
        run->len = (uint16_t)(run->len + in->len);
        if ((in->flags & INSN_ENDS_RUN) != 0) {
            break;
        }
    }
    for (unsigned i = 0, at = 0; i < run->n; at += run->insn[i].len, i++) {
        memcpy(run_bytes(run) + at, run->insn[i].bytes, run->insn[i].len);
    }
    ip->arena_used += (sizeof(Run) + run->n * sizeof(X86Insn) + run->len + 63) & ~UINT64_C(63);
    run->hash_next = *slot;
    *slot = run;
    return run;
}

static void forget_run(Interp *ip, Run *run)
{
    for (Run **at = hash_slot(ip, run->key); *at != NULL; at = &(*at)->hash_next) {
        if (*at == run) {
            *at = run->hash_next;
            break;
        }
    }
    run->key = 0; /* links to it miss from now on */
}

/* -- Finding the next run ---------------------------------------------------------------------- */

static inline uint64_t fetch_lin(CpuState *cpu)
{
    if (likely((cpu->mode & MODE_CS64) != 0)) {
        return cpu->rip;
    }
    cpu->rip = (uint32_t)cpu->rip;
    return (uint32_t)(cpu->seg[SEG_CS].base + cpu->rip);
}

static inline uint64_t run_key(const CpuState *cpu, const void *p)
{
    return (uintptr_t)p | (uint64_t)(cpu->mode & MODE_DECODE_MASK) << 48;
}

/* The page changed since the run was decoded, or nothing is known about it: look at the bytes. */
static Run *refresh_run(CpuState *cpu, Interp *ip, uint64_t lin, uint64_t key, Run *run)
{
    uint64_t offset;
    uint32_t version;
    const uint8_t *p =
        mmu_code(&cpu->mmu, (TlbClass)cpu->tlb_class, guest_lin(lin), &offset, &version);

    if (p == NULL) {
        return NULL;
    }
    if (run != NULL) {
        if (run->n != 0 && memcmp(run_bytes(run), p, run->len) == 0) {
            run->version = version;
            return run;
        }
        forget_run(ip, run);
    }
    return make_run(cpu, ip, p, key, offset, version);
}

static Run *search_run(CpuState *cpu, Interp *ip, uint64_t key)
{
    Run *run = *hash_slot(ip, key);

    while (run != NULL && run->key != key) {
        run = run->hash_next;
    }
    return run;
}

static Run *find_run_slow(CpuState *cpu, Interp *ip, uint64_t lin, uint64_t *key)
{
    uint64_t offset;
    uint32_t version;
    const uint8_t *p;
    Run *run;

    if ((cpu->mode & MODE_CS64) != 0 && (int64_t)(lin << 16) >> 16 != (int64_t)lin) {
        cpu_raise_gp(cpu, 0);
    }
    p = mmu_code(&cpu->mmu, (TlbClass)cpu->tlb_class, guest_lin(lin), &offset, &version);
    if (p == NULL) {
        return NULL;
    }
    *key = run_key(cpu, p);
    run = search_run(cpu, ip, *key);
    return run != NULL && run->version == version && !stress_hit(STRESS_decode_miss)
               ? run
               : refresh_run(cpu, ip, lin, *key, run);
}

/* A run that did not follow `prev` lately: by hash, or made now.  NULL: not in RAM or ROM. */
static __attribute__((noinline)) Run *find_run_unlinked(CpuState *cpu, Interp *ip, Run *prev,
                                                        uint64_t lin, uint64_t key)
{
    uint64_t used = ip->arena_used;
    Run *run = search_run(cpu, ip, key);

    if (run == NULL) {
        run = refresh_run(cpu, ip, lin, key, NULL);
    }
    /* Less used than before: all runs have been dropped, prev too. */
    if (run != NULL && prev != &ip->none && ip->arena_used >= used) {
        prev->link[prev->turn] = run;
        prev->turn ^= 1;
    }
    return run;
}

/* NULL: execute one instruction without the cache.  May raise (#PF, #GP of the fetch). */
static inline __attribute__((always_inline)) Run *find_run(CpuState *cpu, Interp *ip, Run *prev)
{
    uint64_t lin = fetch_lin(cpu), key = 0;
    void *p = tlb_hit(&cpu->mmu.tlb, (TlbClass)cpu->tlb_class, lin, TLB_FETCH);
    Run *run;

    if (likely(p != NULL)) {
        key = run_key(cpu, p);
        if (likely(prev->link[0]->key == key)) {
            run = prev->link[0];
        } else if (likely(prev->link[1]->key == key)) {
            run = prev->link[1];
        } else {
            run = find_run_unlinked(cpu, ip, prev, lin, key);
        }
        if (run != NULL && unlikely(run->version != page_code_version(cpu->mem, run->offset))) {
            run = refresh_run(cpu, ip, lin, key, run);
        }
    } else {
        run = find_run_slow(cpu, ip, lin, &key);
    }
    if (unlikely(run == NULL || run->n == 0 ||
                 ((cpu->mode & MODE_CS64) == 0 &&
                  cpu->rip + run->len - 1 > cpu->seg[SEG_CS].limit))) {
        return NULL;
    }
    return run;
}

/* -- Executing --------------------------------------------------------------------------------- */

/* The first n instructions of `run`, or fewer when one of them writes code. */
static inline void execute(CpuState *cpu, Interp *ip, Run *run, uint64_t n)
{
    const X86Insn *in = run->insn, *end = in + n;
    uint64_t rip = cpu->rip, done;

    ip->run = run;
    ip->run_rip = rip;
    do {
        uint64_t next = rip + in->len;

        cpu->rip = rip;
        cpu->next_rip = next;
        in->exec(cpu, in);
        rip = next;
        in++;
    } while (likely(in != end) && likely(!cpu->code_stale));
    cpu->rip = cpu->next_rip;
    ip->run = NULL;
    cpu->code_stale = false;
    done = (uint64_t)(in - run->insn);
    ip->left -= done;
    cpu->insns += done;
}

/* Instructions of the run before the one at cpu->rip. */
static unsigned done_of_run(const CpuState *cpu, const Interp *ip)
{
    uint64_t rip = ip->run_rip;
    unsigned done = 0;

    while (ip->run != NULL && done + 1 < ip->run->n && rip != cpu->rip) {
        rip += ip->run->insn[done++].len;
    }
    return done;
}

uint64_t interp_insns(const CpuState *cpu)
{
    return cpu->insns + done_of_run(cpu, cpu->interp_data);
}

/* An exception or cpu_unwind() left the run: count what was executed, the leaver included. */
static void account_unwound(CpuState *cpu, Interp *ip)
{
    uint64_t done = done_of_run(cpu, ip) + 1;

    ip->run = NULL;
    cpu->code_stale = false;
    ip->left -= MIN(done, ip->left);
    cpu->insns += done;
}

static const X86Insn *decode_crossing(CpuState *cpu, Interp *ip, uint64_t lin, unsigned most)
{
    Crossing *c = &ip->crossing[lin & (CROSSING_SLOTS - 1)];
    TlbClass class = (TlbClass)cpu->tlb_class;
    uint32_t mode = cpu->mode & MODE_DECODE_MASK;
    bool known = c->insn.len != 0 && c->lin == lin && c->mode == mode && c->insn.len <= most;
    uint8_t bytes[15];
    unsigned got = mmu_fetch_bytes(&cpu->mmu, class, guest_lin(lin), bytes, most);
    unsigned need = known ? c->insn.len : got;

    for (;;) {
        if (got < need) {
            uint64_t rest = lin + got;

            rest = (cpu->mode & MODE_CS64) != 0 ? rest : (uint32_t)rest;
            got += mmu_fetch_bytes(&cpu->mmu, class, guest_lin(rest), bytes + got, need - got);
        }
        if (known && memcmp(c->insn.bytes, bytes, need) == 0) {
            return &c->insn;
        }
        known = false;
        c->insn.len = 0;
        if (insn_decode(&ip->decoder, cpu, bytes, got, &c->insn)) {
            break;
        }
        if (got == most) { /* more than the code segment holds */
            c->insn.len = 0;
            cpu_raise_gp(cpu, 0);
        }
        need = got < need ? need : most;
    }
    if (unlikely(log_on[LOG_IN_ASM])) {
        insn_log(&ip->decoder, cpu, cpu->rip, &c->insn);
    }
    c->lin = lin;
    c->mode = mode;
    return &c->insn;
}

/* One instruction that no run can hold. */
static void execute_uncached(CpuState *cpu, Interp *ip)
{
    uint64_t lin = fetch_lin(cpu), limit = cpu->seg[SEG_CS].limit;
    unsigned most = 15;
    const X86Insn *in;

    if ((cpu->mode & MODE_CS64) == 0) {
        if (cpu->rip > limit) {
            cpu_raise_gp(cpu, 0);
        }
        most = (unsigned)MIN(most, limit - cpu->rip + 1);
    }
    in = decode_crossing(cpu, ip, lin, most);
    cpu->next_rip = cpu->rip + in->len;
    in->exec(cpu, in);
    cpu->rip = cpu->next_rip;
    cpu->code_stale = false;
    ip->left--;
    cpu->insns++;
}

/* -- Between instructions ---------------------------------------------------------------------- */

static inline bool wants_attention(const CpuState *cpu)
{
    return (cpu_requests(cpu) | (uint32_t)cpu->activity | cpu->shadow |
            (cpu->rflags & (FLAG_TF | FLAG_RF)) | cpu->pending_dbg | (cpu->dr[7] & 0xff)) != 0 ||
           cpu->breakpoint_at != NULL;
}

enum { ATTEND_GO = -1, ATTEND_EVENT = -2 }; /* else a CpuExit */

/* Traps, NMI, interrupts, in the order of SDM 3A table 6-2.  True: one was delivered. */
static bool deliver_event(CpuState *cpu)
{
    uint32_t requests = cpu_requests(cpu);

    if (cpu->pending_dbg != 0 && !cpu->shadow_ss) {
        cpu_debug_deliver(cpu, cpu->pending_dbg, DELIVER_TRAP);
        return true;
    }
    if (cpu->shadow) {
        return false;
    }
    if ((requests & CPU_REQ_NMI) != 0 && !cpu->nmi_masked) {
        cpu_unrequest(cpu, CPU_REQ_NMI);
        cpu_deliver(cpu, EXC_NMI, DELIVER_NMI, false, 0);
        return true;
    }
    if ((requests & CPU_REQ_INTR) != 0 && (cpu->rflags & FLAG_IF) != 0) {
        int vector = cpu->bus.irq_ack(cpu->bus.arg);

        if (vector >= 0) {
            cpu_deliver(cpu, (unsigned)vector, DELIVER_EXTERNAL, false, 0);
            return true;
        }
    }
    return false;
}

/* Why a CPU that is not running leaves. */
static CpuExit idle_exit(const CpuState *cpu)
{
    return cpu->activity == CPU_SHUTDOWN ? CPU_EXIT_SHUTDOWN : CPU_EXIT_HALT;
}

static int attend(CpuState *cpu, Interp *ip)
{
    uint32_t requests = cpu_requests(cpu);

    if (cpu->activity != CPU_RUNNING) {
        return (int)idle_exit(cpu);
    }
    if ((requests & CPU_REQ_FLUSH) != 0) {
        cpu_unrequest(cpu, CPU_REQ_FLUSH);
        tlb_flush_all(&cpu->mmu.tlb);
    }
    if ((requests & (CPU_REQ_KICK | CPU_REQ_STOP | CPU_REQ_INIT | CPU_REQ_SIPI)) != 0) {
        return CPU_EXIT_REQUEST;
    }
    if (deliver_event(cpu)) {
        return ATTEND_EVENT;
    }
    if (cpu->breakpoint_at != NULL && cpu->breakpoint_at(cpu->breakpoint_arg, cpu->rip)) {
        return CPU_EXIT_DEBUG;
    }
    /* Breakpoints too: a data breakpoint traps right after its instruction, not after the run. */
    ip->careful = cpu->shadow || (cpu->rflags & (FLAG_TF | FLAG_RF)) != 0 ||
                  (cpu->dr[7] & 0xff) != 0;
    if (unlikely(cpu_debug_exec_armed(cpu))) {
        uint64_t bits = (cpu->rflags & FLAG_RF) != 0
                            ? 0
                            : cpu_debug_exec(cpu, guest_lin(fetch_lin(cpu)));

        if (bits != 0) {
            cpu_debug_deliver(cpu, bits, DELIVER_FAULT);
            return ATTEND_EVENT;
        }
    }
    return ATTEND_GO;
}

/* One instruction, with what follows from the shadow, TF and RF in force at its start. */
static void __attribute__((noinline)) step(CpuState *cpu, Interp *ip)
{
    bool trap = (cpu->rflags & FLAG_TF) != 0;
    Run *run;

    cpu->shadow = cpu->shadow_ss = false;
    cpu->exc.is_soft = false;
    run = find_run(cpu, ip, &ip->none);
    cpu->rflags &= ~(uint64_t)FLAG_RF; /* has done its work; a fault sets it in its image again */
    if (run != NULL) {
        execute(cpu, ip, run, 1);
    } else {
        execute_uncached(cpu, ip);
    }
    if (trap && !cpu->exc.is_soft) {
        cpu->pending_dbg |= DR6_BS;
    }
}

/* -- The loop ---------------------------------------------------------------------------------- */

/* No debugger's breakpoint behind the run's first instruction, for which attend() has looked? */
static __attribute__((noinline)) bool clear_of_breakpoints(CpuState *cpu, Run *run)
{
    uint64_t rip = cpu->rip, lin = fetch_lin(cpu);

    if (run->clear_epoch == cpu->breakpoint_epoch && run->clear_lin == lin) {
        return true;
    }
    for (unsigned i = 0; i + 1 < run->n; i++) {
        rip += run->insn[i].len;
        if (cpu->breakpoint_at(cpu->breakpoint_arg, rip)) {
            return false;
        }
    }
    run->clear_epoch = cpu->breakpoint_epoch;
    run->clear_lin = lin;
    return true;
}

static CpuExit run_loop(CpuState *cpu, Interp *ip)
{
    Run *prev = &ip->none;

    while (ip->left != 0) {
        if (unlikely(wants_attention(cpu))) {
            int what = attend(cpu, ip);

            if (what >= 0) {
                return (CpuExit)what;
            }
            if (what == ATTEND_EVENT) {
                ip->left--;
                prev = &ip->none;
                continue;
            }
            if (ip->careful) {
                step(cpu, ip);
                prev = &ip->none;
                continue;
            }
        }
        Run *run = find_run(cpu, ip, prev);

        if (unlikely(run == NULL)) {
            execute_uncached(cpu, ip);
            prev = &ip->none;
            continue;
        }
        if (unlikely(cpu->breakpoint_at != NULL) && !clear_of_breakpoints(cpu, run)) {
            step(cpu, ip);
            prev = &ip->none;
            continue;
        }
        cpu->stats[STAT_RUNS]++;
        execute(cpu, ip, run, likely(run->n <= ip->left) ? run->n : ip->left);
        prev = run;
        if (stress_hit(STRESS_exit_every_run)) {
            return CPU_EXIT_BUDGET;
        }
    }
    return CPU_EXIT_BUDGET;
}

static CpuExit interp_run(CpuState *cpu, uint64_t budget)
{
    Interp *ip = cpu->interp_data;
    jmp_buf env, *outer = cpu->unwind;
    CpuExit why;
    int how;

    ip->left = budget;
    ip->run = NULL;
    cpu->unwind = &env;
    how = _setjmp(env);
    if (how != 0) {
        account_unwound(cpu, ip);
        if (how == UNWIND_EXCEPTION) {
            cpu_deliver(cpu, cpu->exc.vector, DELIVER_FAULT, cpu->exc.has_code, cpu->exc.code);
        }
    }
    why = run_loop(cpu, ip);
    cpu->unwind = outer;
    /* A HLT that spends the last of the budget halts all the same. */
    return why == CPU_EXIT_BUDGET && cpu->activity != CPU_RUNNING ? idle_exit(cpu) : why;
}

static bool interp_attach(CpuState *cpu, GError **error)
{
    const Interp *ip = cpu->interp_data;

    if (ip->arena == NULL) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOMEM,
                    "-smp %u: no address space for the decode cache of CPU %u", cpu->n_cpus, cpu->index);
        return false;
    }
    return true;
}

static void interp_detach(CpuState *cpu)
{
}

const EngineClass interp_engine = {
    .name = "interpret",
    .attach = interp_attach,
    .detach = interp_detach,
    .run = interp_run,
};
