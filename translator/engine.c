/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine: who runs next, translated or interpreted, and what happens at the border.
 *
 * run() and the border (trans_left) both end in dispatch(), which delivers what is pending, finds or
 * makes the block at rip, and says "go there" or "return".  Anything unusual (interrupts, single
 * steps, breakpoints, modes that are not translated, cold code) is left to the interpreter, which
 * is always right.
 */
#include "translator/engine.h"

#include "cpu-x86/cpuid.h"
#include "cpu-x86/debug.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"
#include "translator/compile.h"
#include "translator/engine-internal.h"
#include "translator/glue.h"

#include <cpuid.h>
#include <unistd.h>
#include <x86intrin.h>

/* -- What the CPU wants ----------------------------------------------------------------------- */

/* Requests the engine must act on now. */
static bool wants_attention(const CpuState *cpu)
{
    uint32_t r = cpu_requests(cpu);

    if (likely(r == 0)) {
        return false;
    }
    if ((r & CPU_REQ_INTR) != 0 && (cpu->rflags & FLAG_IF) == 0) {
        r &= ~(uint32_t)CPU_REQ_INTR;
    }
    if ((r & CPU_REQ_NMI) != 0 && cpu->nmi_masked) {
        r &= ~(uint32_t)CPU_REQ_NMI;
    }
    return r != 0;
}

/* Something that translated code does not watch for. */
static bool needs_single_steps(const CpuState *cpu)
{
    return cpu->shadow || cpu->pending_dbg != 0 || (cpu->rflags & (FLAG_TF | FLAG_RF)) != 0 ||
           cpu->breakpoint_at != NULL || cpu_debug_exec_armed(cpu);
}

static bool mode_is_translated(const CpuState *cpu)
{
    return (cpu->mode & MODE_CS64) != 0 &&
           !(cpu->cpl == 3 && (cpu->rflags & FLAG_AC) != 0 && (cpu->cr0 & CR0_AM) != 0);
}

static CpuExit interpret(CpuState *cpu, uint64_t budget)
{
    return interp_engine.run(cpu, budget);
}

/* -- Making blocks ---------------------------------------------------------------------------- */

static bool isa_allowed(const void *arg, unsigned isa_set)
{
    return cpu_isa_allowed(arg, (int)isa_set);
}

/* Stop everybody, take the next region of code memory.  Lock held; released in between. */
static void evict(TransCpu *tc)
{
    TransShared *s = tc->shared;
    bool busy = true;

    s->evicting = true;
    cache_kill_region(s->cache, (s->cache->region + 1) % s->cache->n_regions);
    while (busy) {
        busy = false;
        for (unsigned i = 0; i < s->cpus->len; i++) {
            TransCpu *other = g_ptr_array_index(s->cpus, i);
            if (other != tc && __atomic_load_n(&other->inside, __ATOMIC_SEQ_CST)) {
                signals_kick(other);
                busy = true;
            }
        }
        if (busy) {
            lock_release(&s->cache->lock);
            usleep(50);
            lock_take(&s->cache->lock);
        }
    }
    cache_next_region(s->cache);
    s->evicting = false;
    pthread_cond_broadcast(&s->evicted);
}

/* Translate the block at rip, whose bytes are at `code`.  Lock held.  NULL: interpret it. */
static Block *make_block(TransCpu *tc, const uint8_t *code, uint64_t offset, uint32_t version)
{
    CpuState *cpu = tc->cpu;
    const TransConfig *config = tc->config;
    unsigned max = config->one_insn ? 1 : config->block_insns_max;
    unsigned room = GUEST_PAGE_SIZE - (unsigned)(cpu->rip & GUEST_PAGE_OFFSET_MASK);
    uint64_t t0 = __rdtsc();
    Block *b;
    Emit e;

    if (!front_plan(&tc->plan, cpu->rip, code, room, max, isa_allowed, cpu)) {
        return NULL;
    }
    if (!cache_room(tc->cache, &e)) {
        evict(tc);
        return NULL; /* the next visit finds room */
    }
    b = g_new0(Block, 1);
    b->lin = cpu->rip;
    b->offset = offset;
    b->id = cache_take_id(tc->cache);
    if (!compile_block(b, &tc->plan, &e)) {
        cache_return_id(tc->cache, b->id);
        g_free(b);
        return NULL;
    }
    cache_add(tc->cache, b, &e);
    if (page_code_version(cpu->mem, offset) != version) {
        cache_kill_page(tc->cache, offset); /* written while we read it */
        return NULL;
    }
    tc->cache->n_cycles += __rdtsc() - t0;
    cpu->stats[STAT_TRANS_BLOCKS]++;
    cpu->stats[STAT_TRANS_INSNS] += b->n_insns;
    return b;
}

/* Has the address at rip been visited often enough? */
static bool is_warm(TransCpu *tc, uint64_t offset)
{
    uint8_t *visits = &tc->cold[(offset ^ offset >> 14) & (COLD_SLOTS - 1)];

    if (*visits < tc->config->translate_at) {
        ++*visits;
        return *visits >= tc->config->translate_at;
    }
    return true;
}

/* The block at rip, made if it is time to; NULL: interpret.  Lock held. */
static Block *block_at_rip(TransCpu *tc)
{
    CpuState *cpu = tc->cpu;
    const uint8_t *p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, cpu->rip, TLB_FETCH);
    uint64_t offset;
    uint32_t version;
    Block *b;

    if (p == NULL) {
        return NULL; /* the interpreter walks, or raises */
    }
    offset = (uint64_t)(p - cpu->mem->base);
    b = cache_find(tc->cache, offset, cpu->rip);
    if (b != NULL || !is_warm(tc, offset)) {
        return b;
    }
    version = page_code_version(cpu->mem, offset); /* in this order: phys-mem.h, invariant 2 */
    phys_mem_set_code(cpu->mem, offset);
    return make_block(tc, p, offset, version);
}

/* -- Dispatch --------------------------------------------------------------------------------- */

static void jump_cache_add(TransCpu *tc, const Block *b)
{
    unsigned slot = (unsigned)(b->lin >> 1) & (tc->config->jump_cache - 1);

    tc->vcb->jc_ntag[slot] = 0 - (b->lin + tc->vcb->jc_key);
    tc->vcb->jc_code[slot] = (uint64_t)(uintptr_t)b->code;
}

static void set_inside(TransCpu *tc, bool inside)
{
    __atomic_store_n(&tc->inside, inside, __ATOMIC_SEQ_CST);
}

/* Prepare to enter at `resume`, which is guest address rip with nothing borrowed. */
static void aim(TransCpu *tc, const uint8_t *resume)
{
    tc->enter_rip = tc->cpu->rip;
    state_to_host(tc);
    __atomic_store_n(&tc->vcb->resume, (uint64_t)(uintptr_t)resume, __ATOMIC_SEQ_CST);
}

/* Find a way on from rip in translated code.  Lock not held.  False: interpret some. */
static bool find_way(TransCpu *tc)
{
    Block *b, *from = tc->link_block;

    tc->link_block = NULL;
    lock_take(&tc->cache->lock);
    while (tc->shared->evicting) {
        pthread_cond_wait(&tc->shared->evicted, &tc->cache->lock.mutex);
        from = NULL;
    }
    b = block_at_rip(tc);
    if (from != NULL && tc->link_evictions != tc->cache->evictions) {
        from = NULL; /* freed meanwhile */
    }
    if (b != NULL) {
        set_inside(tc, true);
        aim(tc, b->code);
        jump_cache_add(tc, b);
        if (from != NULL && from->state == BLOCK_LIVE && from->exit[tc->link_exit].target == b->lin) {
            cache_link(tc->cache, from, tc->link_exit, b);
        }
    }
    lock_release(&tc->cache->lock);
    return b != NULL;
}

/* True: vcb.resume is where to go.  False: run() returns tc->exit. */
static bool dispatch(TransCpu *tc)
{
    CpuState *cpu = tc->cpu;

    for (;;) {
        uint64_t budget = 1;
        cpu->stats[STAT_TRANS_DISPATCHES]++;
        if (!wants_attention(cpu) && !needs_single_steps(cpu)) {
            budget = tc->config->odd_budget;
            if (cpu->cpl == 3 && tc->direct != NULL && direct_wants(tc->direct)) {
                tc->link_block = NULL;
                tc->exit = direct_run(tc->direct);
                if (tc->exit != CPU_EXIT_BUDGET) {
                    return false;
                }
                continue;
            }
            if (mode_is_translated(cpu)) {
                budget = tc->config->cold_budget;
                if (find_way(tc)) {
                    if (likely(!wants_attention(cpu))) {
                        return true;
                    }
                    set_inside(tc, false);
                    budget = 1;
                }
            }
        }
        tc->link_block = NULL;
        tc->exit = interpret(cpu, budget);
        if (tc->exit != CPU_EXIT_BUDGET) {
            return false;
        }
    }
}

/* -- The border ------------------------------------------------------------------------------- */

/* Interpret the instruction that could not go on; true: vcb.resume is behind it. */
static bool slow_insn(TransCpu *tc, Block *b, const Site *site)
{
    CpuState *cpu = tc->cpu;
    uint64_t next = b->lin + site->guest_off + site->guest_len;
    uint8_t cpl = cpu->cpl;

    cpu->stats[STAT_TRANS_SLOW]++;
    tc->exit = interpret(cpu, 1);
    if (tc->exit != CPU_EXIT_BUDGET) {
        return false;
    }
    if (cpu->rip != next || site->resume_off == 0 || cpl != cpu->cpl || needs_single_steps(cpu) ||
        !mode_is_translated(cpu) ||
        __atomic_load_n(&tc->shared->evicting, __ATOMIC_ACQUIRE) ||
        __atomic_load_n(&b->state, __ATOMIC_ACQUIRE) != BLOCK_LIVE) {
        return false;
    }
    aim(tc, b->code + site->resume_off);
    return !wants_attention(cpu);
}

/* rip at a mark. */
static uint64_t rip_at_mark(const TransCpu *tc, const Block *b, const Mark *m)
{
    if ((m->bits & MARK_POST) != 0) {
        return tc->vcb->rip;
    }
    if ((m->bits & MARK_EXIT) != 0) {
        return m->insn < BLOCK_EXITS ? b->exit[m->insn].target : b->lin;
    }
    return b->lin + b->sites[m->insn].guest_off;
}

/* Bring the CpuState up to date with where translated code left; true: resume. */
static bool arrive(TransCpu *tc, uint32_t site)
{
    CpuState *cpu = tc->cpu;
    Block *b = g_ptr_array_index(tc->cache->blocks, site >> 10);
    unsigned index = (site >> 2) & 0xff;

    switch (site & 3) {
    case SITE_SLOW:
        state_from_host(tc, b->sites[index].borrowed, b->sites[index].bits);
        cpu->rip = b->lin + b->sites[index].guest_off;
        return slow_insn(tc, b, &b->sites[index]);
    case SITE_EXIT:
        state_from_host(tc, 0, 0);
        cpu->rip = index < BLOCK_EXITS ? b->exit[index].target : b->lin;
        if (index < BLOCK_EXITS) {
            tc->link_block = b;
            tc->link_exit = index;
            tc->link_evictions = tc->cache->evictions;
        }
        return false;
    case SITE_KICK:
        b = tc->kick_block;
        state_from_host(tc, tc->kick_mark->borrowed, tc->kick_mark->bits);
        cpu->rip = rip_at_mark(tc, b, tc->kick_mark);
        cpu->stats[STAT_TRANS_KICKS]++;
        if (tc->kick_fault) {
            tc->kick_fault = false;
            tc->exit = interpret(cpu, 1);
        }
        return false;
    default: /* SITE_ENTRY */
        state_from_host(tc, 0, 0);
        cpu->rip = tc->enter_rip;
        cpu->stats[STAT_TRANS_KICKS]++;
        return false;
    }
}

_Bool trans_left(void)
{
    TransCpu *tc = vcb.tc;

    tc->exit = CPU_EXIT_BUDGET;
    if (arrive(tc, (uint32_t)tc->vcb->site)) {
        return true;
    }
    set_inside(tc, false);
    return tc->exit == CPU_EXIT_BUDGET && dispatch(tc);
}

/* -- The engine ------------------------------------------------------------------------------- */

/* A page that held code was written (any thread). */
static void code_changed(void *arg, uint64_t offset)
{
    TransShared *s = arg;

    lock_take(&s->cache->lock);
    cache_kill_page(s->cache, offset);
    lock_release(&s->cache->lock);
}

static TransShared *shared_get(PhysMem *mem, const TransConfig *config, GError **error)
{
    TransShared *s = mem->code_changed_arg;

    if (s == NULL) {
        BlockCache *cache = cache_new(mem, config, error);
        if (cache == NULL) {
            return NULL;
        }
        s = g_new0(TransShared, 1);
        s->cache = cache;
        s->cpus = g_ptr_array_new();
        pthread_cond_init(&s->evicted, NULL);
        mem->code_changed_arg = s;
        mem->code_changed = code_changed;
    }
    s->refs++;
    return s;
}

static void shared_put(PhysMem *mem, TransShared *s)
{
    if (--s->refs == 0) {
        mem->code_changed = NULL;
        mem->code_changed_arg = NULL;
        cache_free(s->cache);
        g_ptr_array_free(s->cpus, TRUE);
        pthread_cond_destroy(&s->evicted);
        g_free(s);
    }
}

/* Translated code hashes branch targets with pext, which leaves the flags alone. */
static const char *translate_missing(void)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_BMI2) != 0
               ? NULL : "this host's CPU lacks BMI2";
}

static bool translate_attach(CpuState *cpu, GError **error)
{
    const TransConfig *config = cpu->engine_config != NULL ? cpu->engine_config : &trans_policy;
    TransCpu *tc;
    TransShared *s;

    if (!interp_engine.attach(cpu, error) || (s = shared_get(cpu->mem, config, error)) == NULL) {
        return false;
    }
    signals_init();
    tc = g_new0(TransCpu, 1);
    tc->cpu = cpu;
    if ((config->direct != DIRECT_OFF || stress_info[STRESS_direct].one_in != 0) &&
        direct_missing() == NULL) {
        tc->direct = direct_attach(cpu, (DirectMode)config->direct, NULL); /* NULL: without, then */
    }
    tc->shared = s;
    tc->cache = s->cache;
    tc->config = tc->plan.config = config;
    lock_take(&s->cache->lock);
    g_ptr_array_add(s->cpus, tc);
    lock_release(&s->cache->lock);
    cpu->engine_data = tc;
    return true;
}

static void translate_detach(CpuState *cpu)
{
    TransCpu *tc = cpu->engine_data;

    if (tc == NULL) { /* the machine failed before it was attached */
        return;
    }
    lock_take(&tc->cache->lock);
    g_ptr_array_remove(tc->shared->cpus, tc);
    lock_release(&tc->cache->lock);
    if (tc->direct != NULL) {
        direct_detach(tc->direct);
    }
    shared_put(cpu->mem, tc->shared);
    g_free(tc);
    cpu->engine_data = NULL;
    interp_engine.detach(cpu);
}

static CpuExit translate_run(CpuState *cpu, uint64_t budget)
{
    TransCpu *tc = cpu->engine_data;

    if (budget < tc->config->cold_budget) {
        return interpret(cpu, budget);
    }
    if (tc->vcb != &vcb) { /* first time on this thread */
        signals_thread_init();
        tc->vcb = &vcb;
        tc->thread = pthread_self();
        vcb.thunk = (uint64_t)(uintptr_t)trans_thunk;
        vcb.jc_mask = (uint64_t)(tc->config->jump_cache - 1) << 1;
        tc->seen_epoch = UINT64_MAX;
    }
    vcb.tc = tc;
    if (dispatch(tc)) {
        trans_enter();
    }
    vcb.tc = NULL;
    set_inside(tc, false);
    return tc->exit;
}

static void translate_kick(CpuState *cpu)
{
    TransCpu *tc = cpu->engine_data;

    if (tc != NULL) {
        signals_kick(tc);
        if (tc->direct != NULL) {
            direct_kick(tc->direct);
        }
    }
}

char *translate_direct_report(const CpuState *cpu)
{
    const TransCpu *tc = cpu->engine == &translate_engine ? cpu->engine_data : NULL;

    return tc != NULL && tc->direct != NULL ? direct_report(tc->direct) : NULL;
}

const EngineClass translate_engine = {
    .name = "translate",
    .missing = translate_missing,
    .attach = translate_attach,
    .detach = translate_detach,
    .run = translate_run,
    .kick = translate_kick,
};
