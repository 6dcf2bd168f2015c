/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/direct.h"

#include "cpu-x86/debug.h"
#include "cpu-x86/insns.h"
#include "cpu-x86/walk.h"
#include "softmmu/base/clock.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"
#include "softmmu/window.h"
#include "translator/direct/direct-state.h"
#include "translator/direct/direct-policy.h"
#include "translator/direct/place.h"
#include "translator/dump.h"
#include "translator/glue.h"
#include "translator/vcb.h"

#include <inttypes.h>
#include <linux/audit.h>
#include <sys/mman.h>
#include <x86intrin.h>

/* -- The mirror ---------------------------------------------------------------------------------- */

static void for_spaces(DirectShared *sh, uint64_t offset,
                       void (*f)(DirectCpu *dc, Space *s, uint64_t offset))
{
    if (vcb.tc != NULL) {
        trans_vec_spill(); /* perhaps the border is below us */
    }
    for (unsigned i = 0; i < sh->cpus->len; i++) {
        DirectCpu *dc = g_ptr_array_index(sh->cpus, i);

        lock_take(&dc->lock);
        for (unsigned k = 0; k < DIRECT_SPACES; k++) {
            if (dc->space[k].world != NULL) {
                f(dc, &dc->space[k], offset);
            }
        }
        lock_release(&dc->lock);
    }
}

static void mirror_revoke_write(void *arg, uint64_t offset)
{
    for_spaces(arg, offset, space_revoke_write);
}

static void mirror_code_written(void *arg, uint64_t offset)
{
    DirectShared *sh = arg;

    if (__atomic_load_n(&sh->exec_maps[offset >> GUEST_PAGE_SHIFT], __ATOMIC_SEQ_CST) != 0) {
        for_spaces(sh, offset, space_code_written);
    }
}

/* -- Life ------------------------------------------------------------------------------------------ */

const char *direct_missing(void)
{
    return world_missing();
}

static DirectShared *shared_get(PhysMem *mem, bool breaks, GError **error)
{
    DirectShared *sh = direct_shared(mem);
    uint64_t n = mem->size >> GUEST_PAGE_SHIFT;

    if (sh == NULL) {
        sh = g_new0(DirectShared, 1);
        sh->mem = mem;
        sh->image.breaks_wanted = breaks;
        if (!world_image_init(&sh->image, mem->fd, error)) {
            g_free(sh);
            return NULL;
        }
        sh->mirror = (PhysMirror){sh, mirror_revoke_write, mirror_code_written};
        sh->cpus = g_ptr_array_new();
        sh->verdict = g_malloc0(n * sizeof *sh->verdict);
        sh->exec_maps = g_malloc0(n * sizeof *sh->exec_maps);
        sh->churn = g_malloc0(n * sizeof *sh->churn);
        mem->mirror = &sh->mirror;
    }
    sh->refs++;
    return sh;
}

static void shared_put(DirectShared *sh)
{
    if (--sh->refs == 0) {
        sh->mem->mirror = NULL;
        world_image_clear(&sh->image);
        g_ptr_array_free(sh->cpus, TRUE);
        g_free(sh->verdict);
        g_free(sh->exec_maps);
        g_free(sh->churn);
        g_free(sh);
    }
}

/* CR3 without what does not say where the tables are: PCID, caching.  With PAE several may share a page. */
static uint64_t tables_of(const CpuState *cpu)
{
    return cpu->cr3 & ((cpu->mode & MODE_LMA) != 0 ? 0x000ffffffffff000 : 0xffffffe0);
}

/* Translations are about to be flushed or another space becomes current: no world may run on with
 * what it has. */
static void before_change(void *arg)
{
    DirectCpu *dc = arg;

    uint64_t tables = tables_of(dc->cpu);

    dc->n_changes++;
    dc->n_moves += tables != dc->tables;
    dc->tables = tables;
    if (vcb.tc != NULL && (dc->n_chosen != 0 || policy_look_is_due(dc))) {
        vcb.watch_user = 1; /* who comes next? */
    }
    if (dc->current != NULL) {
        space_hold(dc, dc->current);
    }
}

static uint64_t host_xcr0(bool *pku)
{
    uint32_t a, d, r[4];

    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(7), "2"(0));
    *pku = (r[2] >> 4 & 1) != 0;
    return a | (uint64_t)d << 32;
}

DirectCpu *direct_attach(CpuState *cpu, DirectMode mode, SpinMode spin, bool breaks, GError **error)
{
    DirectShared *sh = shared_get(cpu->mem, breaks, error);
    DirectCpu *dc;

    if (sh == NULL) {
        return NULL;
    }
    dc = g_new0(DirectCpu, 1);
    dc->cpu = cpu;
    dc->shared = sh;
    dc->mode = mode;
    dc->pages_max = MIN(direct_policy.pages_max, window_host_mappings() / 4 * 3);
    lock_init(&dc->lock, LOCK_RANK_WORLD);
    pthread_mutex_init(&dc->kick_lock, NULL);
    dc->host_xcr0 = host_xcr0(&dc->host_pku);
    vector_layout_init(&dc->layout);
    policy_init(dc);
    spin_init(&dc->spin, spin);
    cpu->mmu.tlb.before_change = before_change;
    cpu->mmu.tlb.before_change_arg = dc;
    g_ptr_array_add(sh->cpus, dc);
    return dc;
}

void direct_detach(DirectCpu *dc)
{
    for (unsigned i = 0; i < DIRECT_SPACES; i++) {
        Space *s = &dc->space[i];

        space_drop_world(dc, s);
        if (s->pages.at != NULL) {
            pages_clear(&s->pages);
        }
    }
    spin_clear(&dc->spin);
    dc->cpu->mmu.tlb.before_change = NULL;
    g_ptr_array_remove(dc->shared->cpus, dc);
    shared_put(dc->shared);
    pthread_mutex_destroy(&dc->kick_lock);
    lock_clear(&dc->lock);
    g_free(dc);
}

/* -- Spaces ----------------------------------------------------------------------------------------- */

static Space *oldest(DirectCpu *dc, bool with_world)
{
    Space *best = NULL;

    for (unsigned i = 0; i < DIRECT_SPACES; i++) {
        Space *s = &dc->space[i];

        if ((!with_world || s->world != NULL) && (best == NULL || s->last_use < best->last_use)) {
            best = s;
        }
    }
    return best;
}

/* The entry of the current address space, made if need be. */
static Space *current_space(DirectCpu *dc)
{
    uint64_t cr3 = tables_of(dc->cpu);
    Space *s;

    for (unsigned i = 0; i < DIRECT_SPACES; i++) {
        if (dc->space[i].cr3 == cr3 && dc->space[i].last_use != 0) {
            return &dc->space[i];
        }
    }
    s = oldest(dc, false);
    space_drop_world(dc, s);
    policy_forget(dc, s);
    if (s->pages.at == NULL) {
        pages_init(&s->pages);
    }
    *s = (Space){.cr3 = cr3, .pages = s->pages, .holdoff_next = direct_policy.holdoff_min, .last_use = ++dc->clock};
    return s;
}

/* Pages come only with use: nothing is mapped, so all agrees with the TLB. */
static void adopt(DirectCpu *dc, Space *s, World *w)
{
    const Tlb *t = &dc->cpu->mmu.tlb;

    lock_take(&dc->lock);
    s->world = w;
    lock_release(&dc->lock);
    world_fault_tsc(w, false);
    world_forget_bases(w);
    s->held_off_ns = world_cpu_ns(w);
    s->no_breaks = false;
    s->tlb_space = t->space;
    s->n_wipes = t->n_wipes;
    s->n_page_flushes = t->n_page_flushes;
}

/* The world of the space that has not been used for longest, emptied. */
static World *steal_world(DirectCpu *dc)
{
    Space *s = oldest(dc, true);
    World *w;

    if (s == NULL) {
        return NULL;
    }
    space_empty(dc, s);
    lock_take(&dc->lock);
    w = s->world;
    s->world = NULL;
    lock_release(&dc->lock);
    if (w != NULL && world_check(w) != WORLD_ALIVE) {
        world_free(w);
        dc->n_worlds--;
        return NULL;
    }
    dc->stats.stolen += w != NULL;
    return w;
}

/* The host has none to give, and was asked lately. */
static bool is_refused(const DirectCpu *dc)
{
    return dc->refusals != 0 && __rdtsc() < dc->next_world;
}

static World *make_world(DirectCpu *dc)
{
    GError *error = NULL;
    World *w = world_new(&dc->shared->image, &error);

    if (w == NULL) {
        uint64_t ms = MIN(direct_policy.refused_ms << MIN(dc->refusals, 16), direct_policy.refused_max_ms);

        dc->refusals++;
        dc->stats.refused++;
        dc->next_world = __rdtsc() + ms * (clock_host_tsc_hz() / 1000);
        log_item(UNIMP, "CPU %u: no direct execution for %" PRIu64 " ms: %s", dc->cpu->index, ms, error->message);
        g_error_free(error);
        return NULL;
    }
    dc->refusals = 0;
    dc->n_worlds++;
    dc->stats.spawned++;
    dc->measure_trips = true;
    return w;
}

static bool have_some_world(DirectCpu *dc, Space *s)
{
    World *w = NULL;

    if (s->world != NULL) {
        return true;
    }
    if (dc->n_worlds >= DIRECT_WORLDS || is_refused(dc)) {
        w = steal_world(dc);
    }
    if (w == NULL && !is_refused(dc)) {
        w = make_world(dc);
    }
    if (w != NULL) {
        adopt(dc, s, w);
    }
    return w != NULL;
}

/* ... and one whose stub is in nobody's way. */
static bool have_world(DirectCpu *dc, Space *s)
{
    enum { TRIES = 8 };        /* half of all addresses may be asked for */

    for (unsigned i = 0; i < TRIES && have_some_world(dc, s); i++) {
        if (!place_is_wanted(dc, s)) {
            return true;
        }
        dc->stats.displaced++;
        space_drop_world(dc, s);
    }
    return false;
}

/* -- Whether ------------------------------------------------------------------------------------------ */

static bool fits(const DirectCpu *dc)
{
    const CpuState *cpu = dc->cpu;

    /* whoever wants to see what is executed has it translated */
    return (policy_is_forced(dc) || !dump_wants_exec()) && state_fits_world(dc) && (cpu->dr[7] & 0xff) == 0 &&
           cpu->n_watch == 0;
}

void direct_look(DirectCpu *dc)
{
    if (policy_look_is_due(dc) && !is_refused(dc) && fits(dc) &&
        policy_look(dc, current_space(dc))) {
        vcb.watch_user = 1;
    }
}

bool direct_wants(DirectCpu *dc)
{
    Space *s;

    if (dc->cpu->cpl != 3 || vcb.watch_user == 0) {
        return false;
    }
    vcb.watch_user = policy_is_forced(dc);
    if (!fits(dc)) {
        return false;
    }
    s = current_space(dc);
    s->last_use = ++dc->clock;
    if (!policy_wants(dc, s)) {
        return false;
    }
    if (s->holdoff != 0) {
        s->holdoff--; /* with direct=auto a look apart */
        return false;
    }
    vcb.watch_user = 1;
    return true;
}

/* -- Kicks -------------------------------------------------------------------------------------------- */

static void set_running(DirectCpu *dc, World *w)
{
    pthread_mutex_lock(&dc->kick_lock);
    dc->running = w;
    pthread_mutex_unlock(&dc->kick_lock);
}

void direct_kick(DirectCpu *dc)
{
    pthread_mutex_lock(&dc->kick_lock);
    if (dc->running != NULL) {
        world_kick(dc->running);
    }
    pthread_mutex_unlock(&dc->kick_lock);
}

/* -- Running ------------------------------------------------------------------------------------------ */

/* Requests that user code must not run on with. */
static bool wants_attention(const CpuState *cpu)
{
    uint32_t r = cpu_requests(cpu);

    return (r & ~(uint32_t)(CPU_REQ_NMI)) != 0 || ((r & CPU_REQ_NMI) != 0 && !cpu->nmi_masked);
}

typedef enum { RUN_EVENT, RUN_NOT, RUN_NOT_MAPPED, RUN_BROKEN, RUN_KILLED } RunResult;

/* Is a world that ignores a kick playing dead?  It has had time to answer if it ran at all. */
static bool is_deaf(DirectCpu *dc, World *w, uint64_t *kicked_at)
{
    enum { GRACE_NS = 200000000 };
    uint64_t used = world_cpu_ns(w);

    if (!wants_attention(dc->cpu)) {
        *kicked_at = 0;
        return false;
    }
    if (*kicked_at == 0) {
        *kicked_at = used + 1;
        return false;
    }
    world_kick(w);
    return used > *kicked_at + GRACE_NS;
}

static RunResult wait_for_event(DirectCpu *dc, World *w)
{
    enum { LOOK_NS = 50000000 };
    uint64_t kicked_at = 0;

    while (!world_wait(w, dc->spin.looks, LOOK_NS)) {
        WorldHealth h = world_check(w);

        if (h == WORLD_KILLED) {
            return RUN_KILLED;
        }
        if (h == WORLD_NOT_MAPPED) {
            return RUN_NOT_MAPPED;
        }
        if (h == WORLD_BROKEN || is_deaf(dc, w, &kicked_at)) {
            return RUN_BROKEN;
        }
    }
    return RUN_EVENT;
}

/* The same with both sides looking for each other: were they awake? */
static RunResult run_awake(DirectCpu *dc, Space *s)
{
    World *w = s->world;
    uint64_t slept = w->slept, began;
    RunResult r;
    bool met;

    space_resume(dc, s);
    began = __rdtsc(); /* orders to the mapper are not the user code's time */
    r = wait_for_event(dc, w);
    dc->useful_cycles += __rdtsc() - began;
    met = w->slept == slept;
    *(met ? &dc->spin.met : &dc->spin.missed) += 1;
    *(met ? &dc->stats.awake : &dc->stats.asleep) += 1;
    return r;
}

/* Let the world run until its next event. */
static RunResult run_world(DirectCpu *dc, Space *s)
{
    World *w = s->world;
    RunResult r;

    set_running(dc, w);
    /* In this order: a request that came before is seen here, one that comes later kicks. */
    world_announce(w);
    if (wants_attention(dc->cpu)) {
        world_retract(w);
        set_running(dc, NULL);
        return RUN_NOT;
    }
    dc->current = s;
    dc->stats.entries++;
    if (dc->spin.looks == 0) {
        space_resume(dc, s);
        r = wait_for_event(dc, w);
    } else {
        r = run_awake(dc, s);
    }
    set_running(dc, NULL);
    return r;
}

/* -- Events -------------------------------------------------------------------------------------------- */

/* One instruction, or an interrupt, by the interpreter. */
static CpuExit interpret(DirectCpu *dc)
{
    dc->stats.interpreted++;
    return interp_engine.run(dc->cpu, 1);
}

static bool bytes_before(CpuState *cpu, uint64_t n, uint8_t first, uint8_t second)
{
    uint8_t b[2] = {0};

    return cpu_debug_read(cpu, guest_lin(cpu->rip - n), b, n) && b[0] == first &&
           (n == 1 || b[1] == second);
}

/* SIGSYS.  The host's CPU has executed the instruction, and changed rcx and r11 as the guest's does. */
static CpuExit on_syscall(DirectCpu *dc, const WorldEvent *ev)
{
    enum { VSYSCALL_AT = 0xff600000 };
    CpuState *cpu = dc->cpu;
    jmp_buf env;

    dc->stats.syscalls++;
    dc->current->holdoff_next -= dc->current->holdoff_next > direct_policy.holdoff_min;
    if ((uint32_t)ev->call_addr >> 12 == (uint32_t)VSYSCALL_AT >> 12 && ev->call_addr >> 32 == UINT32_MAX) {
        cpu->gpr[GPR_RSP] -= 8; /* the host emulated a call's return: back to the call's target */
        cpu->rip = ev->call_addr;
        return interpret(dc);
    }
    cpu->rip -= 2;
    if (ev->call_arch != AUDIT_ARCH_X86_64) {
        return interpret(dc); /* int 0x80 */
    }
    cpu->next_rip = cpu->rip + 2;
    place_note_call(dc->current, cpu);
    cpu->unwind = &env;
    if (_setjmp(env) == 0) {
        exec_syscall(cpu, NULL);
        cpu->rip = cpu->next_rip;
    } else {
        cpu_deliver(cpu, cpu->exc.vector, DELIVER_FAULT, cpu->exc.has_code, cpu->exc.code);
    }
    cpu->unwind = NULL;
    return CPU_EXIT_BUDGET;
}

/* Traps, after which rip is behind the instruction: int3, into's place, icebp, single step. */
static CpuExit on_trap(DirectCpu *dc, const WorldEvent *ev)
{
    CpuState *cpu = dc->cpu;

    switch (ev->regs.gregs[REG_TRAPNO]) {
    case EXC_DB:
        if ((cpu->rflags & FLAG_TF) != 0) {
            cpu->pending_dbg |= DR6_BS;
            return CPU_EXIT_BUDGET;
        }
        cpu->rip -= bytes_before(cpu, 1, 0xf1, 0);
        break;
    case EXC_BP:
        cpu->rip -= bytes_before(cpu, 2, 0xcd, 3) ? 2 : 1;
        break;
    case EXC_OF:
        cpu->rip -= 2;
        break;
    default:
        break;
    }
    return interpret(dc);
}

static bool is_page_fault(const WorldEvent *ev)
{
    return ev->signal == SIGSEGV && ev->regs.gregs[REG_TRAPNO] == EXC_PF;
}

static TlbAccess access_of(const WorldEvent *ev)
{
    uint64_t code = (uint64_t)ev->regs.gregs[REG_ERR];

    return (code & PF_I) != 0 ? TLB_FETCH : (code & PF_W) != 0 ? TLB_STORE : TLB_LOAD;
}

/* The next visits of the dispatcher are the translator's: twice as many as the last time, unless the world has
 * run freely for a while in between. */
static void hold_off(DirectCpu *dc, Space *s)
{
    uint64_t used = s->world != NULL ? world_cpu_ns(s->world) : 0;

    if (used >= s->held_off_ns + direct_policy.free_trips * dc->trip_ns) {
        s->holdoff_next = direct_policy.holdoff_min;
    }
    s->held_off_ns = used;
    s->holdoff = policy_is_forced(dc) ? s->holdoff_next : s->holdoff_next / direct_policy.holdoff_looks;
    s->holdoff_next = MIN(s->holdoff_next * 2, direct_policy.holdoff_max);
    dc->stats.held_off += s->holdoff;
    trace(direct_fault, "cr3 %012" PRIx64 ": the next %u visits at %016" PRIx64 " are the translator's", s->cr3, s->holdoff, dc->cpu->rip);
}

/* A page fault: FAULT_MAPPED, or what else; raises the guest's. */
static FaultResult on_page_fault(DirectCpu *dc, Space *s, const WorldEvent *ev)
{
    GuestLin lin = guest_lin((uint64_t)ev->regs.gregs[REG_CR2]);
    TlbAccess a = access_of(ev);
    FaultResult r;

    dc->stats.faults++;
    r = space_fault(dc, s, lin, a);
    if (r == FAULT_INTERPRET) {
        trace(direct_fault, "cr3 %012" PRIx64 ": access %d to %016" PRIx64 " at %016" PRIx64
              " is not for a world; holdoff %u", s->cr3, (int)a, lin.v, dc->cpu->rip, s->holdoff_next);
        if (a != TLB_FETCH) {
            hold_off(dc, s);
        }
    }
    return r;
}

/* Another visit to code that is not for the world.  Do they come so often that the translator should have all?  Not where they cost little against
 * the time that the world ran freely before. */
static bool visits_crowd(const DirectCpu *dc, Space *s)
{
    uint64_t used = world_cpu_ns(s->world);
    uint64_t trips = (used - s->visited_ns) / (dc->spin.looks != 0 ? dc->spin.took.spin : dc->trip_ns);

    s->visited_ns = used;
    if (trips >= direct_policy.visit_apart_trips) {
        s->visits = 0;
        s->visits_max = direct_policy.visits_max + (unsigned)MIN(trips / direct_policy.visit_free_trips, UINT16_MAX);
    } else if (++s->visits >= MAX(s->visits_max, direct_policy.visits_max)) {
        s->visits = s->visits_max = 0;
        return true;
    }
    return false;
}

/* The page at `lin`, which is not for worlds, keeps this one from running.  Will it be? */
static bool make_fit(DirectCpu *dc, Space *s, uint64_t lin)
{
    return tables_of(dc->cpu) == s->cr3 && space_break_at_cpuid(dc, s, lin);
}

/* Code of a page that no world may execute.  Often it is a short visit, to read the clock say. */
static CpuExit interpret_visit(DirectCpu *dc, Space *s)
{
    enum { PIECE = 16 };
    CpuState *cpu = dc->cpu;
    bool only_tsc = s->wants_tsc_faults;
    /* as long as it costs no more than the ways out and in, which the visit has cost already */
    uint64_t pieces = dc->trip_ns * direct_policy.visit_trips / (PIECE * direct_policy.insn_ns);
    uint64_t page = cpu->rip & GUEST_PAGE_MASK;
    CpuExit exit = CPU_EXIT_BUDGET;

    dc->stats.interpreted++;
    dc->stats.visits++;
    for (uint64_t i = 0; i < pieces && exit == CPU_EXIT_BUDGET && !wants_attention(cpu); i++) {
        exit = interp_engine.run(cpu, PIECE);
        if (cpu->cpl != 3 || (cpu->rip & GUEST_PAGE_MASK) != page) {
            bool again = s->visited_page == page;
            s->visited_page = page;
            if (s->world != NULL && !(again && make_fit(dc, s, page)) && visits_crowd(dc, s)) {
                hold_off(dc, s);
            }
            return exit;
        }
    }
    dc->stats.long_visits++;
    if (only_tsc && s->world != NULL && s->world->tsc_can_fault) {
        world_fault_tsc(s->world, true); /* it does more here than to read the clock */
        dc->measure_trips = true;
    } else if (!make_fit(dc, s, page)) {
        hold_off(dc, s);
    }
    return exit;
}

static CpuExit dispatch_event(DirectCpu *dc, Space *s, const WorldEvent *ev)
{
    switch (ev->signal) {
    case KICK_SIGNAL:
        dc->stats.kicks++;
        return CPU_EXIT_BUDGET;
    case SIGSYS:
        return on_syscall(dc, ev);
    case SIGTRAP:
        if (ev->code == WORLD_BREAK) {
            space_came_to_break(dc, s);
            return interpret(dc);
        }
        return on_trap(dc, ev);
    default:
        return is_page_fault(ev) && access_of(ev) == TLB_FETCH ? interpret_visit(dc, s) : on_trap(dc, ev);
    }
}

/* A world is useless.  Killed from outside: nobody knows the registers; else the user code did it, and
 * finds itself where it entered, with #GP. */
static CpuExit on_lost_world(DirectCpu *dc, Space *s, RunResult r)
{
    dc->stats.broken++;
    space_drop_world(dc, s);
    if (r == RUN_KILLED) {
        log_item(UNIMP, "CPU %u: a world was killed from outside", dc->cpu->index);
        return CPU_EXIT_FAILED;
    }
    cpu_deliver(dc->cpu, EXC_GP, DELIVER_FAULT, true, 0);
    return CPU_EXIT_BUDGET;
}

/* Registers of the event into the CpuState, and a page for a page fault.  Unwinds on the guest's
 * exceptions. */
static FaultResult take_registers(DirectCpu *dc, Space *s, const WorldEvent *ev)
{
    state_from_event(dc->cpu, ev);
    return is_page_fault(ev) ? on_page_fault(dc, s, ev) : FAULT_INTERPRET;
}

/* False: cpu->exc is to be delivered. */
static bool try_registers(DirectCpu *dc, Space *s, const WorldEvent *ev, FaultResult *fault)
{
    CpuState *cpu = dc->cpu;
    jmp_buf env, *outer = cpu->unwind;
    bool ok = false;

    cpu->unwind = &env;
    if (_setjmp(env) == 0) {
        *fault = take_registers(dc, s, ev);
        ok = true;
    }
    cpu->unwind = outer;
    return ok;
}

typedef enum { AFTER_AGAIN, AFTER_LEAVE } After;

/* Take the event.  AFTER_AGAIN: the world goes on as it is, its vectors where they are; else *exit. */
static After take_event(DirectCpu *dc, Space *s, CpuExit *exit)
{
    FaultResult fault = FAULT_INTERPRET;
    CpuState *cpu = dc->cpu;
    WorldEvent ev;
    bool ok;

    if (!world_event(s->world, &ev)) {
        *exit = on_lost_world(dc, s, RUN_BROKEN);
        return AFTER_LEAVE;
    }
    ok = try_registers(dc, s, &ev, &fault);
    if (ok && fault == FAULT_MAPPED && state_segments_fit(dc)) {
        world_set_segments(s->world, &ev);
        world_set_id_flag(s->world, (cpu->rflags & FLAG_ID) != 0);
        world_clear_rf(s->world);
        return AFTER_AGAIN;
    }
    state_vectors_from_world(dc, s->world, &ev);
    *exit = CPU_EXIT_BUDGET;
    if (!ok) {
        dc->stats.guest_faults++;
        if (cpu->exc.vector == EXC_PF) {
            space_note_fault(s, guest_lin((uint64_t)ev.regs.gregs[REG_CR2]), access_of(&ev), cpu->rip);
        }
        cpu_deliver(cpu, cpu->exc.vector, DELIVER_FAULT, cpu->exc.has_code, cpu->exc.code);
    } else if (fault == FAULT_MAPPED) {
        return AFTER_LEAVE;
    } else if (fault == FAULT_BROKEN) {
        space_drop_world(dc, s); /* the next entry makes another; the instruction faults again */
    } else {
        *exit = dispatch_event(dc, s, &ev);
    }
    return AFTER_LEAVE;
}

/* True: there was nothing to do, or it is done. */
static bool measure_trips(DirectCpu *dc, Space *s)
{
    /* awake the threads are apart: to bring them together for this costs more than it tells */
    bool due = dc->measure_trips && dc->mode == DIRECT_AUTO && dc->spin.looks == 0;

    dc->measure_trips = false;
    return !due || (space_sync(dc, s) && policy_measure_trips(dc, s->world));
}

/* The same for a trial of hand-overs awake. */
static bool try_awake(DirectCpu *dc, Space *s)
{
    return !dc->spin.trial_is_due || (space_sync(dc, s) && spin_trial(dc, s->world));
}

static void take_vectors(DirectCpu *dc, const Space *s)
{
    WorldEvent ev;

    if (world_event(s->world, &ev)) {
        state_vectors_from_world(dc, s->world, &ev);
    }
}

CpuExit direct_run(DirectCpu *dc)
{
    Space *s = current_space(dc);
    CpuExit exit = CPU_EXIT_BUDGET;
    RunResult r;

    if (!have_world(dc, s)) {
        s->holdoff = direct_policy.holdoff_max;
        return CPU_EXIT_BUDGET;
    }
    if (s->n_moves != dc->n_moves) {
        s->n_moves = dc->n_moves; /* another process may have got the page tables' page */
        world_forget_bases(s->world);
    }
    dc->current = s; /* it may run while trips are measured */
    if (!space_catch_up(dc, s) || (s->refaults && !space_map_fault(dc, s)) || !measure_trips(dc, s) || !try_awake(dc, s) ||
        !state_to_world(dc, s->world)) {
        space_drop_world(dc, s);
        return CPU_EXIT_BUDGET;
    }
    for (bool again = false;; again = true) {
        r = run_world(dc, s);
        if (again && r != RUN_EVENT) {
            take_vectors(dc, s); /* the registers are there already */
        }
        if (r == RUN_NOT_MAPPED) {
            space_drop_world(dc, s); /* another is made later; who knows what the host lacks */
            s->holdoff = direct_policy.holdoff_max;
            return CPU_EXIT_BUDGET;
        }
        if (r == RUN_BROKEN || r == RUN_KILLED) {
            return on_lost_world(dc, s, r);
        }
        if (r == RUN_NOT || take_event(dc, s, &exit) == AFTER_LEAVE) {
            break;
        }
        policy_world_event(dc, s);
        spin_event(dc);
    }
    policy_world_event(dc, s);
    spin_event(dc);
    return exit;
}

/* -- Report ---------------------------------------------------------------------------------------------- */

char *direct_report(const DirectCpu *dc)
{
    const WorldImage *image = &dc->shared->image;
    GString *out = g_string_new(NULL);
    unsigned n = 0;

#define DIRECT_STAT(id, text) g_string_append_printf(out, "%16" PRIu64 "  %s\n", dc->stats.id, text);
#include "translator/direct/direct-stats.def"
#undef DIRECT_STAT
    for (unsigned i = 0; i < DIRECT_SPACES; i++) {
        const Space *s = &dc->space[i];

        if (s->world != NULL) {
            g_string_append_printf(out, "world of CR3 %012" PRIx64 ": %u pages, processes %d and %d, stub at %" PRIx64 "\n",
                                   s->cr3, s->pages.n, s->world->guest, s->world->mapper, s->world->base);
            n++;
        }
    }
    g_string_append_printf(out, "%u worlds, %" PRIu64 " ns into one and out\n", n,
                           dc->trip_ns);
    g_string_append_printf(out, "hand-overs %s", dc->spin.looks != 0 ? "awake" : "asleep");
    if (dc->spin.took.sleep != 0) {
        g_string_append_printf(out, "; %" PRIu64 " ns of wall time asleep, %" PRIu64 " awake, %" PRIu64 " asleep on two CPUs",
                               dc->spin.took.sleep, dc->spin.took.spin, dc->spin.took.wake);
    }
    g_string_append_printf(out, "\nsegment bases by %s, RDTSC can%s be made to fault, 32-bit code can%s run, breakpoints %s at CPUID\n",
                           image->bases_by_calls ? "system calls" : "instructions", image->tsc_faults ? "" : "not",
                           image->runs_code32 ? "" : "not", !image->breaks_wanted ? "are not to stop" :
                           !image->breaks_are_known ? "were not tried" : image->breaks_work ? "stop" : "do not stop");
    return g_string_free(out, FALSE);
}
