/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The translation engine's state of one CPU, between engine.c, state.c and signals.c. */
#ifndef TRANSLATOR_ENGINE_INTERNAL_H
#define TRANSLATOR_ENGINE_INTERNAL_H

#include "cpu-x86/decode.h"
#include "cpu-x86/engine.h"
#include "softmmu/base/stress.h"
#include "translator/block.h"
#include "translator/direct/direct.h"
#include "translator/front.h"
#include "translator/vcb.h"

enum { TRANS_SAMPLES = 32 };
enum { COLD_SLOTS = 1 << 16, FAR_BITS = 17, FAR_SIZE = 1 << FAR_BITS };

/* The jump cache's bigger brother, searched at the border.  It knows no address space: an entry is good where
 * rip leads to the same place of the guest's memory. */
typedef struct {
    uint64_t rip;
    const uint8_t *guest;      /* the code's place in the host                           */
    uint32_t code, usual, aside; /* the block's entries, from BlockCache.exec on         */
    uint16_t env;
    uint16_t epoch;            /* valid while equal to TransCpu.far_epoch                */
} FarEntry;
_Static_assert(sizeof(FarEntry) == 32, "none lies in two lines of the host's cache");

/* Shared by all CPUs of a machine; hangs off PhysMem.code_changed_arg. */
typedef struct {
    BlockCache *cache;
    unsigned refs;
    struct WindowShare *windows; /* NULL: none */
    const char *windows_why;   /* ... because (static)                                   */
    GPtrArray *cpus;           /* TransCpu*                                              */
    bool evicting;             /* nobody may enter translated code (cache->lock)         */
    pthread_cond_t evicted;
} TransShared;

/* Registers of a device that fill a page, while the memory map is as it was. */
enum { DEVICE_PAGES = 8 };
typedef struct {
    uint64_t page;             /* guest-physical                                         */
    uint64_t generation;       /* PhysMem.generation; 0: nothing                         */
    PhysRange range;
} DevicePage;

enum { WINDOW_FRESH, WINDOW_STALE_LOCAL, WINDOW_STALE_ALL };

/* What is held against an instruction now and then: so often it happened; TSC when it came to that last. */
typedef struct {
    unsigned n;
    uint64_t since;
} TransMisses;

struct TransCpu {
    CpuState *cpu;
    TransShared *shared;
    BlockCache *cache;
    const TransConfig *config;
    Vcb *vcb;                  /* of the thread that is in run(), else NULL              */
    pthread_t thread;
    bool inside;               /* may be in translated code or about to resume (atomic)  */
    bool asked;                /* to come to the border, by signals_request() (atomic)   */
    unsigned askers;           /* threads in signals_request() (atomic)                  */
    uint64_t ask_cycles;       /* of the TSC, to wait before a signal is sent; 0: none   */

    uint32_t env;              /* as of the last state_to_host()                         */
    uint32_t envs[16];          /* environments the jump cache knows, by number           */
    unsigned n_envs;
    uint32_t keys_env, keys_kernel, keys_user, keys_space[2]; /* what the keys in the vCPU block are made of     */
    uint64_t keys_fmask;
    bool keys_plain;
    uint64_t secret[2];        /* random: the jump cache's keys come from it             */
    uint64_t n_secrets;        /* made for keys so far                                    */
    uint64_t seen_epoch;       /* Tlb.code_epoch the jump cache is valid for             */
    uint64_t seen_code_flushes; /* Tlb.n_code_flushes                                    */
    uint64_t seen_evictions;
    uint32_t seen_cpuid_changes; /* CpuState.cpuid_changes the vCPU block's answers are good for */
    uint64_t seen_resizes;     /* Tlb.n_resizes when the vCPU block learnt where the tables are   */
    uint64_t seen_changes;     /* Tlb.n_changes when the CPU last entered translated code */
    uint64_t enter_rip;        /* guest rip at vcb.resume, for a kick on the way in      */
    uint16_t enter_borrowed;   /* ... and what Marks would say                           */
    uint8_t enter_bits;
    bool enter_shadow;         /* ... and CpuState.shadow                                */
    bool attention;            /* the border found a request; the CpuState is up to date */
    bool plain_libc;           /* logging, tracing, stress or a sanitizer: spill before all C */
    struct HelperWatch *watch; /* border-watch.h; NULL: helpers are trusted              */
    Block *dead_block;         /* left by its closed entry, which is to lead on               */
    Block *link_block;         /* exit that led to the dispatcher, to be linked          */
    unsigned link_exit;
    uint64_t link_rip;         /* where it leads                                         */
    uint64_t link_evictions;
    bool link_across;          /* ... and whether it may be linked to another page       */
    uint64_t across_epoch, across_flushes; /* Tlb.code_epoch, .n_page_flushes that links between pages know */
    uint16_t link_warm;        /* registers it has borrowed                              */

    /* From the signal handler */
    Block *kick_block;
    const Mark *kick_mark;
    bool kick_fault;           /* the host faulted: execute that instruction by the interpreter */

    const uint8_t *kick_pc;
    bool fault_is_memory;      /* not a divide error, nor the host out of memory */
    bool fault_is_division;    /* a divide error                                         */
    bool fault_is_page, fault_write; /* a page fault at fault_addr; else a general protection fault */
    uint64_t fault_addr;
    uint64_t fault_region;     /* with WINDOW_RESTLESS: address >> REGION_SHIFT                */

    /* windows*.c */
    struct WindowShare *windows; /* NULL: none                                           */
    bool window_ok;            /* this CPU's root table agrees with the window (atomic)  */
    unsigned since_pardon;     /* passes of the dispatcher                               */
    uint8_t window_stale;      /* flushed: look again first                              */
    uint8_t window_lacking;    /* not 0: this CPU's root table lacks what others have; how often that was met */
    uint8_t window_paging;     /* Paging of windows-internal.h, for which window_ok was found out  */
    uint64_t window_cr3, window_generation; /* ... for which window_ok was found out     */

    /* verify.c: host instructions to go until a kick, traps until single-stepping is given up; a test's
     * function, called at each host instruction of blocks */
    unsigned steps_left, traps_left, step_turn;
    void (*on_step)(TransCpu *tc, const void *context);

    /* CpuState.exact: blocks count their instructions in Vcb.left, and the dispatcher sees the CPU before these are more than
     * `limit`.  Of the `whole` that the block which left last has counted, `counted` were executed and are in CpuState.insns, which
     * may reach `stop_at`; the trail knows of `trailed`. */
    bool exact;
    bool by_blocks;            /* ... blocks are entered one by one, from the dispatcher          */
    unsigned whole, counted;
    uint64_t limit, stop_at, trailed;
    uint64_t dead_flags;       /* arithmetic flags that are not kept behind what left, since nobody looks at them */
    uint64_t doubts;           /* ... that became doubtful since the last step                   */
    uint64_t doubtful_flags, doubtful_until; /* ... that may be anything for longer: when a block was left in its middle, say */

    struct Lockstep *lockstep; /* NULL: translated code is not checked                   */
    Block *entering;           /* block that find_way() found                            */
    bool left_whole;           /* the last block entered came to its end                 */

    DirectCpu *direct;         /* NULL: user code never runs directly                    */
    CpuExit exit;              /* why run() returns                                      */
    TransMisses near_misses;   /* accesses that were not to a near page                  */
    TransMisses run_misses;    /* runs of them that were not in one page                 */
    uint64_t sample[TRANS_SAMPLES]; /* pages of code that were interrupted last, by memfd offset */
    unsigned n_samples;
    uint8_t cold[COLD_SLOTS];  /* visits of addresses not translated yet                 */
    uint16_t far_epoch;        /* changes when code memory is reused                     */
    FarEntry far[FAR_SIZE] __attribute__((aligned(64)));
    DevicePage device[DEVICE_PAGES];
    InsnDecoder decoder;
    const uint8_t *beyond;     /* trans_code_beyond() of the block that is looked for     */
    Plan plan;
};

/* ... of guest code at `p`. */
static inline FarEntry *far_slot(TransCpu *tc, const uint8_t *p)
{
    return &tc->far[(uint64_t)(uintptr_t)p * UINT64_C(0x9e3779b97f4a7c15) >> (64 - FAR_BITS)];
}

/* What its FarEntry.rip is for a block at rip. */
static inline uint64_t far_rip(const TransCpu *tc, uint64_t rip, uint32_t env)
{
    return front_shares(tc->config, rip, env) ? UINT64_MAX : rip;
}

/* vcb.jc_mask: whole, or 0 while somebody asks for this CPU (signals.c). */
static inline void trans_unmask(TransCpu *tc)
{
    __atomic_store_n(&tc->vcb->jc_mask, tc->vcb->jc_whole, __ATOMIC_RELAXED);
}

/* At the border, before the requests are looked at: whoever has asked need not wait, nor send a signal.  Between this
 * and translated code there is always a look at the requests. */
static inline void trans_answer(TransCpu *tc)
{
    if (unlikely(__atomic_load_n(&tc->asked, __ATOMIC_RELAXED)) && !stress_hit(STRESS_kick_late)) {
        trans_unmask(tc);
        __atomic_store_n(&tc->asked, false, __ATOMIC_SEQ_CST);
        tc->cpu->stats[STAT_TRANS_ANSWERS]++;
    }
}

/* n instructions of the block that left last are executed. */
static inline void trans_count(TransCpu *tc, unsigned n)
{
    if (unlikely(tc->exact)) {
        tc->cpu->insns = tc->limit - (uint64_t)tc->vcb->left - (tc->whole - n);
        tc->counted = n;
    }
}

/* ... that is b, or one that has counted none so far, when all before it are executed: NULL. */
static inline void trans_count_of(TransCpu *tc, const Block *b, unsigned n)
{
    if (unlikely(tc->exact)) {
        tc->whole = b != NULL ? b->n_insns : 0;
        tc->dead_flags = 0;
        trans_count(tc, b != NULL ? n : 0);
    }
}

/* Of the arithmetic flags these alone were kept. */
static inline void trans_keeps_flags(TransCpu *tc, uint16_t live)
{
    if (unlikely(tc->exact)) {
        tc->dead_flags = FLAGS_ARITH & ~(uint64_t)live;
    }
}

/* The CPU is in the middle of an instruction with REP, of which the interpreter makes one: no place for a step of the trail. */
static inline void trans_count_halfway(TransCpu *tc)
{
    tc->trailed = tc->cpu->insns;
}

/* To the entry of some block: it finds so many left as the dispatcher allowed. */
static inline void trans_count_on(TransCpu *tc)
{
    if (unlikely(tc->exact)) {
        tc->vcb->left = (int64_t)(tc->limit - tc->cpu->insns);
    }
}

/* These arithmetic flags may be such as nobody will look at.  Soon others will be there. */
static inline void trans_doubt_flags(TransCpu *tc, uint64_t flags)
{
    enum { SOON = 100 };

    tc->doubts |= flags;
    tc->doubtful_until = tc->cpu->insns + SOON;
}

/* The interpreter goes on with them. */
static inline void trans_doubt_dead_flags(TransCpu *tc)
{
    trans_doubt_flags(tc, tc->dead_flags);
    tc->dead_flags = 0;
}

/* -- engine.c ---- */

/* Requests the engine must act on now. */
bool trans_wants_attention(const CpuState *cpu);
/* Something that translated code does not watch for. */
bool trans_needs_single_steps(const CpuState *cpu);
bool trans_mode_is_translated(const CpuState *cpu);
/* Prepare to enter at `resume`, which is guest address rip with nothing borrowed and the vector
 * halves `vec` in the host. */
void trans_aim(TransCpu *tc, const uint8_t *resume, uint8_t vec);
void trans_set_inside(TransCpu *tc, bool inside);
/* The jump cache has the block of f at rip. */
void trans_jump_cache_add(TransCpu *tc, uint64_t rip, const FarEntry *f);
/* True: vcb.resume is where to go.  False: run() returns tc->exit. */
bool trans_dispatch(TransCpu *tc);
/* Instruction number `insn` of b did badly in the window, by this much: guilty, it is translated anew.  Not 0: because of what is
 * in that region, as long as that is not mapped. */
void trans_accuse(TransCpu *tc, Block *b, unsigned insn, unsigned weight, uint64_t region);
/* What front_plan() is told of environment env: with what the configuration leaves to the interpreter. */
uint32_t trans_plan_env(const TransCpu *tc, uint32_t env);
/* cache_note_habit() and its kin, with the lock; vector state is spilled. */
void trans_note_habit(TransCpu *tc, Habit h, Block *b, unsigned insn);
void trans_drop_habit(TransCpu *tc, Habit h, Block *b, unsigned insn);
void trans_note_touch(TransCpu *tc, Block *b, unsigned insn, bool often);
void trans_note_missed(TransCpu *tc, uint64_t at);

/* -- border.c ---- */

/* Fill the TLB for `lin`.  False: the guest's fault is in cpu->exc. */
bool trans_fill(TransCpu *tc, uint64_t lin, TlbAccess a);
/* The host's place of the code at rip, or NULL; the TLB is filled where that raises nothing. */
const uint8_t *trans_code_at(TransCpu *tc, uint64_t rip);
/* ... of the code on the page behind that of `rip`, where an instruction there could reach it; else NULL. */
const uint8_t *trans_code_beyond(TransCpu *tc, uint64_t rip, bool code32);

/* -- across.c ---- */

/* May links lead from page to page of these blocks?  Both are mapped globally, and the tables still say so. */
bool across_may(TransCpu *tc, const Block *from, const Block *to);
/* Before the CPU enters translated code: undo the links between pages that its flushes since the last time make
 * doubtful.  Takes the cache's lock when there are any. */
void across_update(TransCpu *tc);

static inline bool across_is_old(const TransCpu *tc)
{
    const Tlb *tlb = &tc->cpu->mmu.tlb;

    return tc->across_epoch != tlb->code_epoch || tc->across_flushes != tlb->n_page_flushes;
}

/* -- state.c ---- */

/* The environment the CPU is in: ENV_* of front.h. */
uint32_t trans_env(const CpuState *cpu);

/* The part of the state that generated code changes by itself; whenever it has left. */
void system_from_host(TransCpu *tc);
/* The guest's registers and arithmetic flags, where the border left the host's with `borrowed` and `bits` as in a Mark. */
void state_registers(const TransCpu *tc, uint16_t borrowed, unsigned bits, uint64_t *gpr, uint64_t *flags);
/* CpuState <- these. */
void state_from_host(TransCpu *tc, uint16_t borrowed, unsigned bits);
/* ... where `m` is in force, rip too. */
void state_at_mark(TransCpu *tc, const Block *b, const Mark *m);
/* The lahf/seto image (vcb.flags) of rflags. */
uint64_t state_flags_image(uint64_t rflags);
/* Host registers <- CpuState, with nothing borrowed; and all that generated code reads. */
void state_to_host(TransCpu *tc);
/*
 * For events that change RSP, rip, RFLAGS and segments alone: the other registers stay in the vCPU block.  Before:
 * nothing is borrowed any more, and RSP and the arithmetic flags are in the CpuState as well.
 */
void state_return_borrowed(TransCpu *tc, uint16_t borrowed, unsigned bits);
/* ... after: the rest of state_to_host(). */
void crossed_to_host(TransCpu *tc);
/* Registers and arithmetic flags of it. */
void registers_to_host(TransCpu *tc);
/* The part of it that a flush or a switch of the TLB may change: the environment too. */
void space_to_host(TransCpu *tc);
/* The part of it that a fill of the TLB may change. */
void tlb_to_host(TransCpu *tc);
/* The page behind that of `lin`, b's linear address, is the one that b was made of: until that page is flushed. */
void state_note_crossing(TransCpu *tc, const Block *b, uint64_t lin);
/*
 * Fill the TLB for the page-table entries that the guest has announced since the last time (gen_announce()).
 * Done when the TLB was flushed, when something else is missed, and on the way to user code: then what was
 * announced is about to be used, and nothing that comes before will flush it.
 */
void walk_ahead(TransCpu *tc);

/* -- signals.c ---- */

/* Process-wide handlers (idempotent); and this thread's alternate stack and signal mask. */
void signals_init(void);
void signals_thread_init(void);
/* Make `tc` leave translated code, by a signal; any thread. */
void signals_kick(TransCpu *tc);
/* Requests of its CPU were set: make `tc` look at them before it executes much more.  It is asked to come to the border by
 * itself, and by a signal where it does not do so at once; any thread. */
void signals_request(TransCpu *tc);
/* Own thread, outside: nobody touches the vCPU block, which dies with the thread, any more. */
void signals_wait_for_askers(const TransCpu *tc);
/* In a handler: send the interrupted thread to the border from inside a block, with `fault` to execute
 * the current instruction by the interpreter.  False: it was not in one. */
bool signals_leave_block(TransCpu *tc, void *context, bool fault);
/* Every handler of a signal that may come in translated code begins with this: where the thread really was. */
void signals_unbounce(void *context);

/*
 * `lin`, which is b's linear address or the target of one of its exits, where b is now: while its code runs and until C has
 * gone on elsewhere.
 */
static inline uint64_t trans_lin(const TransCpu *tc, const Block *b, uint64_t lin)
{
    uint64_t now = lin - (b->lin & GUEST_PAGE_MASK) + (tc->vcb->here & GUEST_PAGE_MASK);

    return !b->shared ? lin : (b->env & ENV_CODE32) != 0 ? (uint32_t)now : now;
}

#endif /* TRANSLATOR_ENGINE_INTERNAL_H */
