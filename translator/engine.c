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
#include "cpu-x86/msr.h"
#include "softmmu/base/clock.h"
#include "softmmu/base/log.h"
#include "softmmu/base/present.h"
#include "softmmu/base/stress.h"
#include "translator/border-watch.h"
#include "translator/compile.h"
#include "translator/dump.h"
#include "translator/engine-internal.h"
#include "translator/glue.h"
#include "translator/lockstep.h"
#include "translator/quick.h"
#include "translator/verify.h"
#include "translator/windows.h"

#include <cpuid.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include <x86intrin.h>

/* Beside a sanitizer what the compiler would have made inline are calls, of functions that use vector registers. */
#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

/* -- What the CPU wants ----------------------------------------------------------------------- */

bool trans_wants_attention(const CpuState *cpu)
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

bool trans_needs_single_steps(const CpuState *cpu)
{
    return cpu->shadow || cpu->activity != CPU_RUNNING || cpu->pending_dbg != 0 ||
           (cpu->rflags & (FLAG_TF | FLAG_RF)) != 0 ||
           cpu->breakpoint_at != NULL || cpu_debug_exec_armed(cpu);
}

bool trans_mode_is_translated(const CpuState *cpu)
{
    const uint32_t code32 = MODE_CS32 | MODE_SS32 | MODE_FLAT;

    return ((cpu->mode & MODE_CS64) != 0 || (cpu->mode & code32) == code32) &&
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

/* What HELPER_EXEC is to execute, in the interpreter's form. */
static void decode_for_helpers(TransCpu *tc, Block *b)
{
    unsigned n = 0;

    if (b->n_exec == 0) {
        return;
    }
    b->exec = cache_notes(tc->cache, b->n_exec * sizeof *b->exec);
    for (unsigned i = 0; i < tc->plan.n; i++) {
        const PlanInsn *in = &tc->plan.insn[i];
        if (in->exec) {
            bool whole = insn_decode(&tc->decoder, tc->cpu, tc->plan.bytes + in->off, in->len,
                                     &b->exec[n++]);
            g_assert(whole);
        }
    }
}

enum { SOURCE_MAX = 512 }; /* bytes worth keeping, to be compared when some are written */

static bool keeps_sources(const TransCpu *tc)
{
    return tc->config->exact_writes || tc->config->revive;
}

/* Keep the bytes that b rests on, and which of them its code reads by itself. */
static void keep_source(TransCpu *tc, Block *b)
{
    const Plan *p = &tc->plan;
    unsigned len = p->source_to - p->source_from, code = (unsigned)(b->offset & GUEST_PAGE_OFFSET_MASK);
    bool soft = false;

    b->source_off = (uint16_t)p->source_from;
    b->source_len = (uint16_t)len;
    if (p->beyond != 0) {
        return; /* it never lives again */
    }
    for (unsigned i = 0; i < p->n; i++) {
        soft |= p->insn[i].soft;
    }
    if (!keeps_sources(tc) || len > SOURCE_MAX) {
        g_assert(!soft);
        return;
    }
    b->source = cache_notes(tc->cache, soft ? 2 * len : len);
    memcpy(b->source, p->host + p->source_from - code, len);
    memcpy(b->source + (code - p->source_from), p->bytes, p->len);
    if (!soft) {
        return;
    }
    b->is_soft = true;
    memset(block_soft(b), 0, len);
    for (unsigned i = 0; i < p->n; i++) {
        const PlanInsn *in = &p->insn[i];
        if (in->soft) {
            memset(block_soft(b) + (code - p->source_from) + in->off + in->imm_off, 0xff, in->imm_len);
            tc->cache->n_soft++;
        }
    }
}

/* What the cache knows about the plan's instructions. */
static void find_habits(TransCpu *tc, uint64_t offset)
{
    Plan *p = &tc->plan;
    bool soft = tc->config->soft && keeps_sources(tc) && p->source_to - p->source_from <= SOURCE_MAX;

    p->hot = cache_is_hot(tc->cache, offset);
    for (unsigned i = 0; cache_has_notes(tc->cache, offset) && i < p->n; i++) {
        PlanInsn *in = &p->insn[i];
        in->guilty = cache_is_guilty(tc->cache, offset + in->off);
        in->far = cache_is_far(tc->cache, offset + in->off);
        in->soft = soft && in->imm_len != 0 && cache_is_rewritten(tc->cache, offset + in->off);
        if (tc->lockstep == NULL && cache_has_habit(tc->cache, HABIT_CALL, offset + in->off)) {
            front_call(in);
        }
        if (tc->lockstep == NULL && cache_has_habit(tc->cache, HABIT_DIVIDE, offset + in->off)) {
            front_divide(in);
        }
        in->touch = tc->lockstep == NULL && cache_has_habit(tc->cache, HABIT_TOUCH, offset + in->off);
        in->aside = tc->lockstep == NULL && cache_has_habit(tc->cache, HABIT_ASIDE, offset + in->off);
        in->guilty |= in->aside;
    }
}

uint32_t trans_plan_env(const TransCpu *tc, uint32_t env)
{
    return env | (tc->lockstep != NULL ? ENV_PLAIN : 0) | (tc->config->system ? 0 : ENV_NO_SYSTEM) |
           (tc->config->quick ? 0 : ENV_NO_QUICK) | (tc->exact ? ENV_COUNTED : 0);
}

/* The block goes on behind conditional jumps, but not into what there is a block of already. */
static void end_before_known(TransCpu *tc, uint64_t offset, uint32_t env)
{
    Plan *p = &tc->plan;

    for (unsigned i = 1; p->sides != 0 && i < p->n; i++) {
        if (p->insn[i - 1].plan == PLAN_JCC &&
            cache_find(tc->cache, offset + p->insn[i].off, tc->cpu->rip + p->insn[i].off, env) != NULL) {
            front_end_at(p, i);
        }
    }
}

/* Translate the block at rip, whose bytes are at `code`.  Lock held.  NULL: interpret it. */
static Block *make_block(TransCpu *tc, const uint8_t *code, uint64_t offset, uint32_t version,
                         uint32_t env)
{
    CpuState *cpu = tc->cpu;
    const TransConfig *config = tc->config;
    unsigned max = config->one_insn ? 1 : config->block_insns_max;
    uint32_t plan_env = trans_plan_env(tc, env);
    uint64_t t0 = __rdtsc(), beyond = 0;
    uint32_t beyond_version = 0;
    Block *b;
    Emit e;

    tc->plan.warm_hint = tc->link_warm;
    if (!front_plan(&tc->plan, cpu->rip, code, tc->beyond, max, plan_env, isa_allowed, cpu)) {
        return NULL;
    }
    if (tc->plan.beyond != 0) {
        beyond = (uint64_t)(tc->beyond - cpu->mem->base);
        beyond_version = page_code_version(cpu->mem, beyond); /* in this order, as for the block's own page */
        phys_mem_set_code(cpu->mem, beyond);
        if (!front_plan(&tc->plan, cpu->rip, code, tc->beyond, max, plan_env, isa_allowed, cpu)) {
            return NULL;
        }
    }
    for (unsigned i = 1; tc->lockstep != NULL && i < tc->plan.n; i++) {
        if (tc->plan.insn[i].plan == PLAN_INTERP || tc->plan.insn[i].plan == PLAN_INTERP_END) {
            front_plan(&tc->plan, cpu->rip, code, tc->beyond, i, plan_env, isa_allowed, cpu);
        }
    }
    end_before_known(tc, offset, env);
    if (!cache_room(tc->cache, &e) || stress_hit(STRESS_evict)) {
        evict(tc);
        return NULL; /* the next visit finds room */
    }
    find_habits(tc, offset);
    b = block_new(tc->cache, BLOCK_EXIT_SIDE + tc->plan.sides);
    b->lin = cpu->rip;
    b->shared = tc->plan.shared;
    b->offset = offset;
    b->beyond = beyond;
    b->beyond_len = tc->plan.beyond;
    b->env = env;
    b->id = cache_take_id(tc->cache);
    if (!compile_block(b, tc->cache, &tc->plan, &e)) {
        cache_return_id(tc->cache, b->id);
        return NULL;
    }
    decode_for_helpers(tc, b);
    keep_source(tc, b);
    cache_add(tc->cache, b, &e);
    if (page_code_version(cpu->mem, offset) != version) {
        cache_kill_page(tc->cache, offset); /* written while we read it */
        return NULL;
    }
    if (b->beyond_len != 0 && page_code_version(cpu->mem, beyond) != beyond_version) {
        cache_kill_page(tc->cache, beyond);
        return NULL;
    }
    cpu->stats[STAT_TRANS_CYCLES] += __rdtsc() - t0;
    dump_block(cpu, &tc->plan, b);
    cpu->stats[STAT_TRANS_BLOCKS]++;
    cpu->stats[STAT_TRANS_INSNS] += b->n_insns;
    return b;
}

void trans_note_habit(TransCpu *tc, Habit h, Block *b, unsigned insn)
{
    const TransConfig *config = tc->config;
    const bool on[HABITS] = {[HABIT_CALL] = config->call_misses != 0, [HABIT_TOUCH] = config->window_touch != 0,
                             [HABIT_DIVIDE] = config->divide_faults != 0};

    if (on[h] && tc->lockstep == NULL) {
        lock_take(&tc->cache->lock);
        cache_note_habit(tc->cache, h, b, insn);
        lock_release(&tc->cache->lock);
    }
}

void trans_drop_habit(TransCpu *tc, Habit h, Block *b, unsigned insn)
{
    lock_take(&tc->cache->lock);
    cache_drop_habit(tc->cache, h, b, insn);
    lock_release(&tc->cache->lock);
}

void trans_note_touch(TransCpu *tc, Block *b, unsigned insn, bool often)
{
    lock_take(&tc->cache->lock);
    cache_note_touch(tc->cache, b, insn, often);
    lock_release(&tc->cache->lock);
}

void trans_note_missed(TransCpu *tc, uint64_t at)
{
    lock_take(&tc->cache->lock);
    cache_note_missed(tc->cache, at);
    lock_release(&tc->cache->lock);
}

void trans_accuse(TransCpu *tc, Block *b, unsigned insn, unsigned weight, uint64_t region)
{
    lock_take(&tc->cache->lock);
    cache_accuse(tc->cache, b, insn, weight, region);
    lock_release(&tc->cache->lock);
}

/* Has the address at rip been visited often enough? */
static bool is_warm(TransCpu *tc, uint64_t offset)
{
    uint8_t *visits = &tc->cold[(offset ^ offset >> 16) & (COLD_SLOTS - 1)];

    *visits = (uint8_t)((*visits + 1u) % tc->config->translate_at); /* others share the place afterwards */
    return *visits == 0;
}

/* The block at rip, come back from the dead with its page, or NULL.  Lock held. */
static Block *revived_block(TransCpu *tc, uint64_t offset, uint32_t version, uint32_t env)
{
    const CpuState *cpu = tc->cpu;

    if (!cache_revive_page(tc->cache, offset, version)) {
        return NULL;
    }
    if (page_code_version(cpu->mem, offset) != version) {
        cache_kill_page(tc->cache, offset); /* written while we compared */
        return NULL;
    }
    return cache_find(tc->cache, offset, cpu->rip, env);
}

/* The block at rip, made if it is time to; NULL: interpret.  Lock held. */
static Block *block_at_rip(TransCpu *tc)
{
    CpuState *cpu = tc->cpu;
    const uint8_t *p = tlb_hit(&cpu->mmu.tlb, cpu->tlb_class, cpu->rip, TLB_FETCH);
    uint32_t version, env = trans_env(cpu);
    uint64_t offset;
    Block *b;

    offset = (uint64_t)(p - cpu->mem->base);
    if (stress_hit(STRESS_code_write)) {
        cache_kill_page(tc->cache, offset);
    }
    b = cache_find(tc->cache, offset, cpu->rip, env);
    if (b != NULL || !is_warm(tc, offset)) {
        return b;
    }
    version = page_code_version(cpu->mem, offset); /* in this order: phys-mem.h, invariant 2 */
    phys_mem_set_code(cpu->mem, offset);
    b = revived_block(tc, offset, version, env);
    return b != NULL ? b : make_block(tc, p, offset, version, env);
}

/* -- Dispatch --------------------------------------------------------------------------------- */

void trans_jump_cache_add(TransCpu *tc, uint64_t rip, const FarEntry *f)
{
    const uint64_t exec = (uint64_t)(uintptr_t)tc->cache->exec;

    tc->vcb->jc[vcb_jump_slot(rip, tc->config->jump_cache)] = (JumpEntry){
        .ntag = 0 - (rip + tc->vcb->jc_key), .code = exec + f->code, .warm = exec + f->usual, .aside = exec + f->aside};
}

/* The caches keyed by rip learn of b, the block there. */
static void remember_block(TransCpu *tc, const Block *b)
{
    const uint8_t *guest = tc->cpu->mem->base + b->offset;
    uint64_t rip = tc->cpu->rip;
    FarEntry *f = far_slot(tc, guest);

    *f = (FarEntry){.rip = far_rip(tc, rip, b->env), .guest = guest, .epoch = tc->far_epoch, .env = (uint16_t)b->env,
                    .code = (uint32_t)(block_entry(b) - tc->cache->exec),
                    .usual = (uint32_t)(block_at(b, b->usual_off) - tc->cache->exec),
                    .aside = (uint32_t)(block_at(b, b->aside_off) - tc->cache->exec)};
    trans_jump_cache_add(tc, rip, f);
}

void trans_set_inside(TransCpu *tc, bool inside)
{
    __atomic_store_n(&tc->inside, inside, __ATOMIC_SEQ_CST);
}

void trans_aim(TransCpu *tc, const uint8_t *resume, uint8_t vec)
{
    tc->enter_rip = tc->cpu->rip;
    tc->enter_borrowed = env_own_regs(trans_env(tc->cpu));
    tc->enter_shadow = false;
    tc->enter_bits = 0;
    tc->vcb->vec_wanted = vec;
    state_to_host(tc);
    __atomic_store_n(&tc->vcb->resume, (uint64_t)(uintptr_t)resume, __ATOMIC_SEQ_CST);
}

/* Find a way on from rip in translated code.  Lock not held.  False: interpret some. */
static bool find_way(TransCpu *tc)
{
    Block *b, *from = tc->link_block, *dead = tc->dead_block;

    tc->link_block = tc->dead_block = NULL;
    tc->beyond = trans_code_beyond(tc, tc->cpu->rip, (tc->cpu->mode & MODE_CS64) == 0); /* this one first: rip's is to be in the TLB */
    if (trans_code_at(tc, tc->cpu->rip) == NULL) {
        return false; /* the interpreter raises, or fetches from a device */
    }
    across_update(tc);
    lock_take(&tc->cache->lock);
    while (tc->shared->evicting) {
        pthread_cond_wait(&tc->shared->evicted, &tc->cache->lock.mutex);
        from = dead = NULL;
    }
    tc->link_warm = from != NULL && tc->link_evictions == tc->cache->evictions
                        ? from->exit[tc->link_exit].warm : 0;
    if (unlikely(++tc->since_pardon >= tc->config->window_pardon_every)) {
        tc->since_pardon = 0;
        cache_forgive(tc->cache);
    }
    if (unlikely(windows_regions_ended(tc))) {
        cache_forgive_regions(tc->cache, windows_region_is_banned, tc);
    }
    b = block_at_rip(tc);
    if ((from != NULL || dead != NULL) && tc->link_evictions != tc->cache->evictions) {
        from = dead = NULL; /* freed meanwhile */
    }
    if (b != NULL) {
        trans_set_inside(tc, true);
        trans_aim(tc, block_entry(b), 0);
        tc->vcb->here = tc->cpu->rip;
        tc->entering = b;
        tlb_note_code(&tc->cpu->mmu.tlb, tc->cpu->tlb_class, guest_lin(tc->cpu->rip));
        if (unlikely(dump_wants_exec())) {
            dump_exec(tc->cpu, b);
        } else if (tc->lockstep == NULL && !tc->by_blocks) {
            remember_block(tc, b);
        }
        if (from != NULL && !tc->by_blocks && from->state == BLOCK_LIVE && tc->link_rip == tc->cpu->rip &&
            (tc->link_across || ((from->offset ^ b->offset) & GUEST_PAGE_MASK) == 0)) {
            cache_link(tc->cache, from, tc->link_exit, b, !tc->link_across || across_may(tc, from, b));
        }
        if (dead != NULL) {
            cache_forward(tc->cache, dead, b);
        }
    }
    lock_release(&tc->cache->lock);
    return b != NULL;
}

/* Between instructions, where an external interrupt waits and nothing else is pending: deliver it here, since the interpreter
 * would execute an instruction too.  False: not the case. */
static bool take_interrupt(TransCpu *tc)
{
    CpuState *cpu = tc->cpu;
    int vector;

    if (cpu_requests(cpu) != CPU_REQ_INTR || (cpu->rflags & FLAG_IF) == 0 || trans_needs_single_steps(cpu) ||
        !tc->config->system || tc->lockstep != NULL) {
        return false;
    }
    vector = cpu->bus.irq_ack(cpu->bus.arg);
    return vector >= 0 && cpu_deliver(cpu, (unsigned)vector, DELIVER_EXTERNAL, false, 0);
}

/* Which of the flags in doubt are what they should be again?  Behind a block that came to its end those that it overwrites; where
 * many blocks may have run, it is a guess. */
static void settle_flags(TransCpu *tc)
{
    if (tc->counted < tc->whole) {
        trans_doubt_flags(tc, FLAGS_ARITH); /* the rest of the block would have overwritten them */
    } else if (tc->by_blocks && tc->whole != 0) {
        tc->doubtful_flags &= ~(uint64_t)tc->entering->flags_written;
    } else if (!tc->by_blocks && tc->cpu->insns >= tc->doubtful_until) {
        tc->doubtful_flags = 0;
    }
    tc->doubtful_flags |= tc->doubts;
    tc->doubts = 0;
    tc->whole = tc->counted = 0;
}

/* Where instructions are counted, between blocks: the trail hears of it.  False: run() is to end here. */
static bool exact_goes_on(TransCpu *tc)
{
    CpuState *cpu = tc->cpu;

    settle_flags(tc);
    if (cpu->trail != NULL && tc->trailed != cpu->insns) {
        tc->trailed = cpu->insns;
        /* RF: cleared by IRET already where there are no breakpoints */
        cpu->trail(cpu->trail_arg, cpu, FLAG_RF | tc->dead_flags | tc->doubtful_flags);
    }
    return cpu->insns < tc->stop_at;
}

/* The block that find_way() found is not too long for what is left until run() is to end; then the CPU is back here before that,
 * and where the trail is to have a step. */
static bool fits(TransCpu *tc)
{
    uint64_t n = tc->entering->n_insns, left = tc->stop_at - tc->cpu->insns;

    if (likely(!tc->exact)) {
        return true;
    }
    if (n > left) {
        trans_set_inside(tc, false);
        return false;
    }
    tc->limit = tc->cpu->insns + (tc->cpu->trail != NULL ? MIN(left, MAX(tc->cpu->trail_every, n)) : left);
    trans_count_on(tc);
    return true;
}

/* Interpret on, where no block is to be had. */
static void interpret_some(TransCpu *tc, uint64_t budget)
{
    tc->link_block = tc->dead_block = NULL;
    if (unlikely(tc->exact)) {
        budget = MIN(budget, tc->stop_at - tc->cpu->insns);
        trans_doubt_dead_flags(tc);
    }
    tc->exit = interpret(tc->cpu, budget);
}

bool trans_dispatch(TransCpu *tc)
{
    CpuState *cpu = tc->cpu;

    trans_vec_spill();
    if (unlikely(tc->lockstep != NULL)) {
        lockstep_end(tc);
    }
    for (;;) {
        uint64_t budget = 1;
        if (unlikely(tc->exact) && !exact_goes_on(tc)) {
            tc->exit = CPU_EXIT_BUDGET;
            return false;
        }
        cpu->stats[STAT_TRANS_DISPATCHES]++;
        if (tc->direct != NULL && cpu->cpl == 3) {
            direct_look(tc->direct); /* first: who only computes comes here for interrupts alone */
        }
        if (unlikely(cpu_requests(cpu) != 0) && take_interrupt(tc)) {
            tc->link_block = tc->dead_block = NULL;
        }
        if (!trans_wants_attention(cpu) && !trans_needs_single_steps(cpu)) {
            budget = tc->config->odd_budget;
            if (tc->direct != NULL && direct_wants(tc->direct)) {
                tc->link_block = tc->dead_block = NULL;
                tc->exit = direct_run(tc->direct);
                if (tc->exit != CPU_EXIT_BUDGET) {
                    return false;
                }
                continue;
            }
            if (trans_mode_is_translated(cpu)) {
                budget = tc->config->cold_budget;
                if (find_way(tc) && fits(tc)) {
                    if (unlikely(tc->lockstep != NULL)) {
                        lockstep_begin(tc, tc->entering);
                        trans_aim(tc, block_entry(tc->entering), 0); /* the TLB may have moved */
                    }
                    if (likely(!trans_wants_attention(cpu))) {
                        verify_before_entry(tc);
                        return true;
                    }
                    trans_set_inside(tc, false);
                    budget = 1;
                }
            }
        }
        interpret_some(tc, budget);
        if (tc->exit != CPU_EXIT_BUDGET) {
            return false;
        }
    }
}

/* -- The engine ------------------------------------------------------------------------------- */

/* SoftMmu.park; and for whoever may be called from the border, on any thread. */
static void park(void)
{
    if (vcb.tc != NULL) {
        trans_vec_spill();
    }
}

/* A page that held code was written (any thread). */
static void code_changed(void *arg, uint64_t offset)
{
    TransShared *s = arg;

    park(); /* perhaps the border is below us */
    lock_take(&s->cache->lock);
    cache_kill_page(s->cache, offset);
    lock_release(&s->cache->lock);
}

/* A page that keeps its code was written. */
static CodeEffect code_bytes_changed(void *arg, uint64_t offset, uint64_t len)
{
    TransShared *s = arg;
    CodeEffect effect;

    park();
    lock_take(&s->cache->lock);
    effect = cache_bytes_written(s->cache, offset, len);
    lock_release(&s->cache->lock);
    return effect;
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
        if (config->window) {
            s->windows = windows_new(mem, config, &s->windows_why);
        }
        mem->code_changed_arg = s;
        mem->code_changed = code_changed;
        mem->code_bytes_changed = config->exact_writes ? code_bytes_changed : NULL;
    }
    s->refs++;
    return s;
}

static void shared_put(PhysMem *mem, TransShared *s)
{
    if (--s->refs == 0) {
        mem->code_changed = NULL;
        mem->code_bytes_changed = NULL;
        mem->code_changed_arg = NULL;
        cache_free(s->cache);
        windows_free(s->windows);
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

/* All of it is used, and it is to lie at a multiple of 64, which no allocation of GLib's promises. */
static TransCpu *tc_new(void)
{
    void *p = mmap(NULL, sizeof(TransCpu), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        g_error("no memory for a CPU of the translator: %s", g_strerror(errno));
    }
    make_present(p, sizeof(TransCpu));
    return p;
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
    tc = tc_new();
    tc->cpu = cpu;
    insn_decoder_init(&tc->decoder, cpu);
    if (getrandom(tc->secret, sizeof tc->secret, GRND_NONBLOCK) != sizeof tc->secret) {
        tc->secret[0] = __rdtsc() * UINT64_C(0x9e3779b97f4a7c15); /* early at the host's boot */
        tc->secret[1] = (uint64_t)(uintptr_t)tc * UINT64_C(0xff51afd7ed558ccd) + __rdtsc();
    }
    tc->exact = cpu->exact;
    tc->watch = helper_watch_new();
    if (((config->direct != DIRECT_OFF && config->verify == 0 && !cpu->exact) || stress_info[STRESS_direct].one_in != 0) &&
        direct_missing() == NULL) {
        tc->direct = direct_attach(cpu, (DirectMode)config->direct, (SpinMode)config->direct_spin, config->direct_breaks, NULL); /* NULL: without, then */
    }
    tc->shared = s;
    tc->cache = s->cache;
    tc->config = tc->plan.config = config;
    tc->ask_cycles = muldiv64(config->ask_ns, cpu->tsc_hz, NS_PER_SEC);
    tc->lockstep = lockstep_new(config);
    lock_take(&s->cache->lock);
    g_ptr_array_add(s->cpus, tc);
    lock_release(&s->cache->lock);
    windows_attach(tc);
    cpu->engine_data = tc;
    return true;
}

static void translate_detach(CpuState *cpu)
{
    TransCpu *tc = cpu->engine_data;

    if (tc == NULL) { /* the machine failed before it was attached */
        return;
    }
    windows_detach(tc);
    lock_take(&tc->cache->lock);
    g_ptr_array_remove(tc->shared->cpus, tc);
    lock_release(&tc->cache->lock);
    if (tc->direct != NULL) {
        direct_detach(tc->direct);
    }
    lockstep_free(tc->lockstep);
    helper_watch_free(tc->watch);
    shared_put(cpu->mem, tc->shared);
    munmap(tc, sizeof *tc);
    cpu->engine_data = NULL;
    interp_engine.detach(cpu);
}

static CpuExit translate_run(CpuState *cpu, uint64_t budget)
{
    TransCpu *tc = cpu->engine_data;

    if (budget < tc->config->cold_budget && !tc->exact) {
        return interpret(cpu, budget);
    }
    tc->by_blocks = tc->exact && cpu->trail != NULL && cpu->trail_every == 0;
    tc->stop_at = budget < UINT64_MAX - cpu->insns ? cpu->insns + budget : UINT64_MAX;
    if (tc->vcb != &vcb) { /* first time on this thread */
        signals_thread_init();
        tc->vcb = &vcb;
        tc->thread = pthread_self();
        vcb.cpu = cpu;
        vcb.vec = &cpu->vec;
        cpu->mmu.park = park;
        vcb.requests = &cpu->requests;
        vcb.vec_dead = vcb.x87_dead = 1;
        vcb.vec_width = __builtin_cpu_supports("avx512bw") ? 2 : __builtin_cpu_supports("avx") ? 1 : 0;
        vcb.c_mxcsr = _mm_getcsr();
        vcb.thunk = (uint64_t)(uintptr_t)trans_thunk;
        vcb.page_mask = GUEST_PAGE_MASK;
        vcb.sign = UINT64_C(1) << 63;
        for (unsigned i = 0; i < ARRAY_LEN(vcb.near_mask); i++) {
            vcb.near_mask[i] = ~(uint64_t)(GUEST_PAGE_SIZE - 1) | ((1u << i) - 1);
        }
        vcb.jc_whole = vcb_jump_mask(tc->config->jump_cache);
        trans_unmask(tc);
        vcb.pauses = tc->config->pause_yield;
        tc->seen_epoch = UINT64_MAX;
        vcb.spec_ctrl_bad = ~cpu_spec_ctrl_bits(cpu);
        windows_thread_init(tc);
        tc->keys_env = UINT32_MAX; /* no environment: the keys are to be made */
    }
    vcb.tc = tc;
    vcb.watch_user = tc->direct != NULL;
    quick_forget_cpuid(tc); /* a debugger may have been here */
    tc->plain_libc = log_any_on() || SANITIZED;
    tlb_lend(&cpu->mmu.tlb, &vcb.lent);
    if (trans_dispatch(tc)) {
        trans_enter();
    }
    tlb_lend(&cpu->mmu.tlb, NULL); /* the thread may end */
    vcb.tc = NULL;
    trans_set_inside(tc, false);
    signals_wait_for_askers(tc);
    return tc->exit;
}

static void translate_kick(CpuState *cpu)
{
    TransCpu *tc = cpu->engine_data;

    if (tc != NULL) {
        signals_request(tc);
        if (tc->direct != NULL) {
            direct_kick(tc->direct);
        }
    }
}

char *translate_report(const CpuState *cpu)
{
    const TransCpu *tc = cpu->engine == &translate_engine ? cpu->engine_data : NULL;
    const BlockCache *c = tc != NULL ? tc->cache : NULL;
    uint64_t cycles = 0, insns = 0;
    char *window, *text;

    if (tc == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < tc->shared->cpus->len; i++) {
        const TransCpu *t = g_ptr_array_index(tc->shared->cpus, i);
        cycles += t->cpu->stats[STAT_TRANS_CYCLES];
        insns += t->cpu->stats[STAT_TRANS_INSNS];
    }
    window = windows_report(tc);
    text = g_strdup_printf(
        "  code cache: %" PRIu64 " blocks alive of %" PRIu64 " made, %" PRIu64 " links, %u between pages, %" PRIu64
        " KiB of %" PRIu64 " MiB written, %" PRIu64 " regions evicted, %" PRIu64 " instructions across page ends, %u huge pages of the host (guest memory too)\n"
        "  a block: %.1f guest instructions, %.1f bytes of host code an instruction, %.1f more that are cold, "
        "%.0f cycles of translation an instruction\n"
        "  written code: %" PRIu64 " blocks lived on, %" PRIu64 " came back, %" PRIu64
        " instructions with soft immediates\n"
        "  hot code: %u pages, %u operands were given spots, %u instructions were found far\n"
        "  operands in memory: %" PRIu64 " translated for the window, %" PRIu64 " for look-ups, %" PRIu64 " as calls; %" PRIu64 " loads in %" PRIu64 " groups\n"
        "  habits: %" PRIu64 " instructions became calls for devices (%" PRIu64 " again as they were), %" PRIu64
        " ask for the window's memory (%" PRIu64 "), %" PRIu64 " do without it (%" PRIu64 "), %" PRIu64 " divisions became calls (%" PRIu64 ")\n%s",
        c->n_blocks - c->n_dead, c->n_blocks, c->n_links, c->across->len, c->n_host_bytes >> 10, c->size >> 20,
        c->evictions, c->n_crossings, __atomic_load_n(&tc->cpu->mem->huge.made, __ATOMIC_RELAXED), (double)c->n_insns / (double)MAX(c->n_blocks, 1),
        (double)(c->n_host_bytes - c->n_cold_bytes) / (double)MAX(c->n_insns, 1), (double)c->n_cold_bytes / (double)MAX(c->n_insns, 1),
        (double)cycles / (double)MAX(insns, 1),
        c->n_kept, c->n_revived, c->n_soft, g_hash_table_size(c->hot), c->spots, g_hash_table_size(c->far),
        c->n_operands[OPERAND_IN_WINDOW], c->n_operands[OPERAND_LOOKED_UP], c->n_operands[OPERAND_CALLED], c->n_members, c->n_groups,
        c->n_habits[HABIT_CALL], c->n_dropped[HABIT_CALL], c->n_habits[HABIT_TOUCH], c->n_dropped[HABIT_TOUCH],
        c->n_habits[HABIT_ASIDE], c->n_dropped[HABIT_ASIDE], c->n_habits[HABIT_DIVIDE], c->n_dropped[HABIT_DIVIDE], window != NULL ? window : "");
    g_free(window);
    return text;
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
