/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks: one translated run of guest instructions on one page, or one instruction across the end of a page, single entry, and
 * the cache that holds them.
 *
 *            translate            code page written, region evicted
 *     FREE -------------> LIVE --------------------------------------> DEAD
 *      ^                                                                |
 *      +------------- region reused: no CPU can be inside --------------+
 *
 *   LIVE  findable by key; CPUs may be inside; others may link to it.  It may come back from DEAD when its page's
 *         bytes are what they were (cache_revive_page()).
 *   DEAD  not findable; the last of its entries, through which all lead, jumps to its own exit, so a link or
 *         jump-cache entry that still points here leaves at once.  A CPU may still be inside.
 *
 * Keyed by the place of the code (memfd offset), its linear address and the environment (mode and
 * what else decides how it may be translated).  The linear
 * address is part of the key because RIP-relative operands and return addresses are constants in
 * the translation; but not of user code that front_shares(), where Block.lin is one address of many
 * and trans_lin() tells the one that counts.
 *
 * Code memory is one memfd with a writable and an executable view.  It is divided into regions, each
 * half for bodies of blocks and half for what of them rarely runs (EMIT_COLD), filled in turn; when all
 * are full the oldest is evicted: its blocks die, every CPU is made to leave translated code once, then
 * the region is reused.
 *
 * The translate lock guards everything here; a signal handler may call cache_find_host() without
 * it, and generated code runs without it.
 */
#ifndef TRANSLATOR_BLOCK_H
#define TRANSLATOR_BLOCK_H

#include "cpu-x86/insn.h"
#include "softmmu/phys-mem.h"
#include "translator/emit.h"
#include "translator/front.h"
#include "translator/helpers.h"
#include "translator/policy.h"

#include <glib.h>

typedef enum { BLOCK_LIVE, BLOCK_DEAD } BlockState;

/* State of the borrowed registers and flags from one host offset on (unwind.c). */
enum {
    MARK_FLAGS_SLOT = 1,       /* the guest's flags are in vcb.flags_slot                        */
    MARK_RAX_TMP = 2,          /* the guest's rax is in vcb.rax_tmp                              */
    MARK_POST = 4,             /* the last instruction is complete; rip is in vcb.rip            */
    MARK_EXIT = 8,             /* ... and rip is that of exit `insn`                             */
    MARK_SWAPGS = 16,          /* swapgs is half done: vcb.swap_tmp goes to vcb.gs_base          */
    MARK_TRANSIT = 32,         /* privilege changes, without a way back or a fault: a kick waits at
                                  vcb.resume, where the guest is at vcb.rip and nothing is borrowed */
    MARK_RDI_HOST = 64,        /* vcb.string[0] has been added to rdi                            */
    MARK_RSI_HOST = 128,       /* ... [1] to rsi                                                 */
};

typedef struct {
    uint16_t host_off;         /* from here to the next mark                                     */
    uint16_t borrowed;         /* host registers whose guest value is in vcb.saved               */
    uint8_t insn;              /* guest instruction, or exit with MARK_EXIT                      */
    uint8_t bits;              /* MARK_*                                                         */
} Mark;

/* A guest instruction of a block. */
typedef struct {
    uint16_t resume_off;       /* host offset behind it; 0: there is none where to go on         */
    uint8_t guest_off, guest_len;
    uint8_t imm_off, imm_len;  /* its immediate, from its first byte on, where that can be soft; else 0 */
    uint8_t in_vain;           /* it did without its habit so many times in a row (atomic)      */
    bool after_sti;            /* interrupts are held off until it has executed                  */
} BlockInsn;

typedef struct Block Block;

/*
 * Where generated code left because an instruction could not go on by itself.  Who arrives from there has its place at
 * once (site_make()), and all that usual ways back need in one line of the host's cache: kernels leave from
 * so many places that each further line is a miss.
 */
typedef struct {
    Block *block;
    const uint8_t *code;       /* Block.code                                                     */
    uint64_t rip;              /* of the instruction, as the block was made                      */
    uint32_t env;              /* Block.env                                                      */
    /* HELPER_LOOKUP: of [base + disp] in a near page, where `near` is set (gen_near()); hit_off alone is valid. */
    int32_t disp;
    uint16_t borrowed;         /* as in Mark                                                     */
    uint16_t resume_off;       /* BlockInsn.resume_off                                           */
    /* HELPER_LOOKUP: the register that holds the linear address, bytes, for writing; host offsets
     * of the look-up and behind it, where the register holds the host address. */
    uint16_t retry_off, hit_off;
    uint8_t reg, size;
    bool write;
    bool may_raise;            /* a page fault there is the instruction's first                  */
    bool near, quiet;          /* quiet: flags are live, rcx is borrowed                         */
    bool spot;                 /* by spot number `base` of the CPU first (gen_spot())             */
    uint8_t group;             /* not 0: of group number `group` less 1 (compile-group.c)        */
    bool addend;               /* reg is to hold what is to be added to the linear address       */
    uint8_t base;              /* register, or number of the spot                                */
    /* near: not 0: for a run of accesses, of so many bytes in all, from so far before or behind this first one (gen_near()) */
    uint8_t run_len;
    int16_t run_from;
    uint8_t bits, insn;        /* as in Mark                                                     */
    uint8_t helper;            /* TransHelper: what to try before the interpreter                */
    uint8_t exec;              /* HELPER_EXEC: number in Block.exec                              */
    uint8_t vec;               /* Block.vec                                                      */
    uint8_t len;               /* of the instruction                                             */
    bool shared;               /* Block.shared                                                   */
    bool after_sti;            /* BlockInsn.after_sti                                            */
    bool aside;                /* HABIT_ASIDE                                                    */
    /* HELPER_STRING: size of an element; reg: with rep; write: stos */
} Site;
enum { SITE_ALIGN = 64 };
_Static_assert(sizeof(Site) <= SITE_ALIGN, "a Site is one line of the host's cache");

/* So that an array of them is. */
typedef union {
    Site s;
    uint8_t line[SITE_ALIGN];
} SiteLine;

/*
 * A linkable exit ends in a jump that is taken with nothing borrowed.  Before that, where the block's own
 * borrowed registers are still borrowed, is a conditional jump or a jump that a link to a block that wants
 * the very same registers leads to its warm entry.
 */
typedef struct {
    uint64_t target;           /* guest rip                                                      */
    Block *to;                 /* linked to, or NULL                                             */
    /* Host offsets, 0: none.  Of displacements of jumps: */
    uint16_t rel32;            /* the jump; none: not linkable                                   */
    uint16_t early;            /* ... the jump, conditional or not, that led here, with registers borrowed */
    uint16_t early_off;        /* where early leads then                                         */
    uint16_t stub_off;         /* ... and the jump while unlinked                                */
    uint16_t cache_off;        /* the way by the jump cache, where the target is on another page */
    uint16_t warm;             /* registers borrowed at early                                    */
    uint16_t flags_out;        /* in the middle, where instructions are counted: as Block.flags_out */
    bool refused;              /* it is no use to try to link: the jump goes there               */
} BlockExit;

/* Exit 0 is the end, 1 a conditional jump there, from BLOCK_EXIT_SIDE on are those in the middle. */
enum { BLOCK_EXIT_SIDE = 2, BLOCK_EXITS = BLOCK_EXIT_SIDE + FRONT_SIDES_MAX };
enum { BLOCK_ENTRY_NOP = 5 };
#define BLOCK_NOP_BYTES 0x0f, 0x1f, 0x44, 0x00, 0x00

/* Where a block has the choice, it borrows these for look-ups: r9, r10, r11, which callers expect least of. */
enum { BLOCK_WARM_USUAL = 1 << 9 | 1 << 10 | 1 << 11 };

struct Block {
    /* What writes to code and executing it again look at. */
    uint8_t state, region;
    uint8_t strikes;           /* DEAD, may_revive: so often other code was found                */
    bool may_revive;           /* DEAD: in BlockCache.dead                                       */
    bool hashed;               /* in BlockCache.hash: LIVE, or the only one of its key that may come back */
    uint8_t n_insns;
    uint16_t source_off, source_len; /* of its page: what was translated and looked at beyond that */
    uint16_t door_off;         /* all entries lead through this nop                              */
    uint16_t door_dead_off;    /* host offset where it leads while the block is dead             */
    bool is_soft;              /* some bytes of `source` are read by the code itself (block_soft()) */
    const uint8_t *code, *cold; /* executable view                                               */
    uint8_t *source;           /* what was translated and looked at, as it was                   */
    Block *forward;            /* DEAD: the entry leads to this block                            */

    uint64_t lin, offset;      /* key                                                            */
    uint64_t beyond;           /* memfd offset of the page on which the last beyond_len bytes of its one instruction are */
    uint8_t beyond_len;        /* 0: of none                                                     */
    uint32_t env;              /* key: ENV_* of front.h                                          */
    uint32_t id;
    Block *hash_next;
    uint16_t host_len, cold_len, n_marks, guest_len;
    uint16_t entry_off;        /* the entry for everybody                                        */
    uint16_t live_off;         /* ... for those who have the vector state `vec` in the host    */
    uint16_t vec_off;          /* end of its wait for vector state, rcx still borrowed           */
    uint16_t warm_off;         /* entry for those who have borrowed the registers `warm`, or 0   */
    uint16_t warm;
    uint16_t usual_off;        /* entry for those who have borrowed BLOCK_WARM_USUAL             */
    uint16_t aside_off;        /* ... and have the guest's flags in vcb.flags_slot               */
    uint16_t flags_in, flags_out; /* arithmetic flags that are what they should be where it begins, and behind it */
    uint16_t flags_written;    /* ... that it overwrites                                         */
    uint8_t n_exits;
    uint8_t n_exec;
    bool looks_up;             /* some instruction would have a spot, were the page hot          */
    bool shared;               /* `lin` is where it was made, and targets of exits go with that  */
    uint8_t vec;               /* VEC_HALF_* that its instructions want in the host              */
    uint8_t n_checks;          /* lockstep.c: first runs that were compared                      */
    uint16_t dead_off;         /* host offset of the exit to itself                              */
    uint16_t n_sites;
    SiteLine *sites;           /* n_sites; behind them n_marks Marks and n_insns BlockInsns       */
    X86Insn *exec;             /* for HELPER_EXEC, n_exec of them                                */
    void *gdb_jit;             /* handle, or NULL                                                */
    BlockExit exit[];          /* n_exits, of which some may be of nothing                       */
};

/* The blocks that rest on a page's bytes. */
typedef struct {
    uint32_t id;
    uint16_t from, to;         /* bytes of the page: Block.source                                */
} PageEntry;

typedef struct {
    uint32_t n, room;
    uint32_t version;          /* dead ones: of the page's code when they were last looked at    */
    PageEntry entry[];
} PageBlocks;

/* What an instruction did in the window. */
typedef struct {
    uint64_t lin;
    uint32_t faults;
    uint32_t weight;           /* since it was last innocent                                     */
    uint64_t region;           /* not 0: guilty only as long as that region is not mapped (windows-regions.h) */
    uint16_t convictions;
    uint8_t len, bytes[15];    /* the instruction                                                */
} Guilt;

/* What an instruction does often enough to be translated otherwise. */
typedef enum {
    HABIT_CALL,                /* it misses the software TLB for good: class CALL                */
    HABIT_TOUCH,               /* what it reaches is not in the window yet: HELPER_TOUCH first   */
    HABIT_ASIDE,               /* ... and only it wants that there: the software TLB             */
    HABIT_DIVIDE,              /* a division that faults: HELPER_DIVIDE                          */
    HABITS,
} Habit;

/* An instruction that did so lately; at a place in BlockCache.habit that its own gives. */
enum { HABIT_SITES = 4096 };
typedef struct {
    uint64_t at;               /* memfd offset of the instruction                                */
    uint8_t times;             /* that it did so, since it was last translated as usual          */
    uint8_t turns;             /* times that it got the habit                                    */
    uint8_t vain;              /* HABIT_TOUCH: cache_drop_habit() since it last mapped something */
    uint8_t missed;            /* HABIT_ASIDE: so often others wanted what it had not mapped     */
    bool is;                   /* it has the habit                                               */
} HabitSite;

/* The classes of operands in memory: IDENT, TLB and CALL. */
typedef enum { OPERAND_IN_WINDOW, OPERAND_LOOKED_UP, OPERAND_CALLED, OPERAND_CLASSES } OperandClass;

enum { ACROSS_SEEN = 1 << 14 };

/* Bytes from the region's beginning on. */
typedef struct {
    uint64_t used;             /* up to there                                                    */
    uint64_t present;          /* ... for which the host has memory                              */
    uint64_t end;
} CachePart;

typedef struct {
    Lock lock;                 /* rank TRANSLATE */
    PhysMem *mem;
    const TransConfig *config; /* borrowed */
    uint8_t *writable;
    const uint8_t *exec;
    uint64_t size, region_size;
    unsigned n_regions, region; /* being filled                                                  */
    uint64_t cold_at;           /* where a region's cold code begins, in bytes                   */
    CachePart body, cold;        /* of the region being filled                                    */
    uint8_t *notes;             /* what is known of blocks, by region like their code            */
    uint64_t notes_used, notes_present; /* of the region being filled                            */
    GPtrArray *blocks;          /* by id; NULL while the id is free                              */
    GArray *free_ids;
    GPtrArray **by_region;      /* Block*, ascending code addresses                              */
    Block **hash;
    uint64_t hash_mask;
    PageBlocks **page;          /* by memfd page, live ones; NULL: none so far                   */
    PageBlocks **dead;          /* ... that died by a write, and may come back                   */
    unsigned spots;             /* given to instructions so far, modulo 2^32                     */
    GHashTable *far;            /* memfd offset of an instruction -> cache_note_far()            */
    GHashTable *hot;            /* numbers of pages: cache_heat_page()                            */
    GHashTable *rewritten;      /* memfd offset of an instruction -> how often its immediate changed */
    GHashTable *guilty;         /* memfd offset of an instruction -> Guilt                        */
    HabitSite *habit[HABITS];   /* HABIT_SITES of each                                            */
    uint64_t *noted;            /* bits of memfd pages: cache_has_notes()                         */
    uint64_t n_habits[HABITS], n_dropped[HABITS]; /* instructions that got the habit, and lost it again  */
    uint64_t evictions;         /* of regions                                                    */
    struct PerfMap *perf_map;   /* or NULL */
    struct GdbJit *gdb_jit;     /* or NULL */
    struct Symbols *symbols;    /* or NULL */
    uint64_t n_convictions, n_pardons, n_replaced;
    uint64_t n_restless, n_settled; /* instructions guilty because of regions, and innocent again        */
    GArray *across;             /* AcrossLink: links between pages, and some that are no more */
    GHashTable *across_pages;   /* the pages of those: number of the linear one -> of the memfd's */
    uint64_t across_seen[ACROSS_SEEN / 64]; /* bits of linear pages that were ever to be among them (atomic) */
    uint64_t n_blocks, n_dead, n_links, n_insns, n_host_bytes, n_cold_bytes;
    uint64_t n_operands[OPERAND_CLASSES]; /* translated, by class                                       */
    uint64_t n_groups, n_members; /* groups of operands that share a look-up, and those operands  */
    uint64_t n_soft;            /* instructions translated with soft immediates                  */
    uint64_t n_kept;            /* blocks that a write to their bytes left alive                 */
    uint64_t n_crossings;       /* ... made of two pages                                         */
    uint64_t n_revived;
} BlockCache;

typedef struct {
    Block *b;
    unsigned exit;
} AcrossLink;


/* One cache for a machine's memory.  NULL with `error` when the host refuses the mapping. */
BlockCache *cache_new(PhysMem *mem, const TransConfig *config, GError **error);
void cache_free(BlockCache *c);

/* All below want the lock. */

Block *cache_find(BlockCache *c, uint64_t offset, uint64_t lin, uint32_t env);

/* Room for one block's code, writable; false: the current region is full, call
 * cache_next_region() and start over. */
bool cache_room(BlockCache *c, Emit *e);
/* `n` bytes for what is known of the block that cache_room() was asked for, 16-byte aligned, not cleared; gone when its
 * region is evicted. NOTES_ROOM in all for one block. */
enum { NOTES_ROOM = 1 << 16 };
void *cache_notes(BlockCache *c, size_t n);
/* Room for what is known of a block, with so many exits; all zero but that number. */
Block *block_new(BlockCache *c, unsigned n_exits);
/* Where cache_notes() will give the next bytes, if `align`, a power of two, divides its address. */
void *cache_notes_at(const BlockCache *c, unsigned align);
/* How generated code names what is there (site_make()), and back. */
static inline uint32_t cache_place(const BlockCache *c, const void *note)
{
    return (uint32_t)((uint64_t)((const uint8_t *)note - c->notes) / 16);
}
static inline void *cache_at_place(const BlockCache *c, uint32_t place)
{
    return c->notes + (uint64_t)place * 16;
}
/* Start filling the next region, which was killed; the caller has made sure since that no CPU is
 * inside its code and no jump cache points there (engine.c). */
void cache_next_region(BlockCache *c);
/* Kill the blocks of a region and undo all links into it: then no CPU enters it any more. */
void cache_kill_region(BlockCache *c, unsigned region);

/* An id for a block about to be made (generated code names it). */
uint32_t cache_take_id(BlockCache *c);
void cache_return_id(BlockCache *c, uint32_t id);
/* Publish a finished block whose code was emitted at cache_room()'s window. */
void cache_add(BlockCache *c, Block *b, const Emit *e);

/* Kill all blocks of the page at `offset` (its bytes changed). */
void cache_kill_page(BlockCache *c, uint64_t offset);

/* Code on the page at `offset`, whose version is `version`, is executed again: blocks that died by a write to it
 * and whose bytes are what they were are LIVE again.  The page is marked as code.  True: there were some. */
bool cache_revive_page(BlockCache *c, uint64_t offset, uint32_t version);

/* Bytes [offset, offset + len) of one page were written: kill the blocks that rest on bytes which are no
 * longer what they were.  Those whose code reads them itself (soft) live on. */
CodeEffect cache_bytes_written(BlockCache *c, uint64_t offset, uint64_t len);

/* The immediate of the instruction at memfd offset `at` was rewritten again and again. */
bool cache_is_rewritten(const BlockCache *c, uint64_t at);

/* Kill one block. */
void cache_kill_block(BlockCache *c, Block *b);

/* `to`, LIVE, is what is now at the key of the dead b: who still comes to b goes on there. */
void cache_forward(BlockCache *c, Block *b, Block *to);

/* Instruction number `insn` of b did badly in the window, by `weight`.  When that is enough it is guilty and b
 * dies, to be translated anew.  `region` not 0: until cache_forgive_regions() finds that region mapped again; that is no conviction. */
void cache_accuse(BlockCache *c, Block *b, unsigned insn, unsigned weight, uint64_t region);
/*
 * Instruction number `insn` of b did what `h` says.  When that is frequent it is its habit: b dies, to be translated anew.
 * A place has few turns: then it stays what it is.  HABIT_TOUCH has as many as it takes, each of which it keeps for longer.
 */
void cache_note_habit(BlockCache *c, Habit h, Block *b, unsigned insn);
/* It did not again and again: translated as usual, likewise. */
void cache_drop_habit(BlockCache *c, Habit h, Block *b, unsigned insn);
/* By HABIT_TOUCH it has mapped something, as it does often or not.  Often, again and again, becomes HABIT_ASIDE. */
void cache_note_touch(BlockCache *c, Block *b, unsigned insn, bool often);
/* What the one at memfd offset `at` reached by HABIT_ASIDE was wanted in the window soon after: too often, and it maps such again. */
void cache_note_missed(BlockCache *c, uint64_t at);
/* The instruction at memfd offset `at` has the habit. */
bool cache_has_habit(const BlockCache *c, Habit h, uint64_t at);
/* Some instruction on the page of memfd offset `at` is or was guilty, far or rewritten, or had a habit.  Nearly no page has any, and asking for
 * each of its instructions would cost a tenth of translating it. */
bool cache_has_notes(const BlockCache *c, uint64_t at);
/* All who were not found guilty too often are innocent again, and their blocks die. */
void cache_forgive(BlockCache *c);
/* ... who were guilty because of a region that is_banned() no longer. */
void cache_forgive_regions(BlockCache *c, bool (*is_banned)(void *arg, uint64_t region), void *arg);
/* The instruction at memfd offset `at` is guilty. */
bool cache_is_guilty(BlockCache *c, uint64_t at);

/* The stack access of instruction number `insn` of b is often not to a near page: when it is told so often enough, b
 * dies, to be translated anew without. */
void cache_note_far(BlockCache *c, Block *b, unsigned insn);
/* The instruction at memfd offset `at`. */
bool cache_is_far(const BlockCache *c, uint64_t at);

/* A CPU spends much of its time on the page of code at memfd offset `at`: its blocks die, to be translated anew with spots. */
void cache_heat_page(BlockCache *c, uint64_t at);
bool cache_is_hot(const BlockCache *c, uint64_t at);

/* Make exit k of b jump straight to `to`; both LIVE.  Where that is on another page, `may` says whether both
 * pages are mapped for good, and cache_check_across() is called when any CPU finds out otherwise. */
void cache_link(BlockCache *c, Block *b, unsigned k, Block *to, bool may);
/* Undo the links between pages from or to those pages that `still` (linear address and memfd offset of a page)
 * says no to. */
void cache_check_across(BlockCache *c, bool (*still)(void *arg, uint64_t lin, uint64_t offset), void *arg);
/* ... the page at lin. */
void cache_unlink_across(BlockCache *c, uint64_t lin);
/* Before the tables are asked whether there may be a link to or from the page at lin. */
void cache_expect_across(BlockCache *c, uint64_t lin);
/* May there be one?  No lock is needed: no, after a fence behind a change of the tables, says that whoever is about to make one finds the
 * change. */
bool cache_expects_across(const BlockCache *c, uint64_t lin);

/* The block whose code holds a host address, or NULL.  Any thread, async-signal-safe. */
Block *cache_find_host(BlockCache *c, const uint8_t *pc);

/* The mark in force at a host offset. */
const Mark *block_mark_at(const Block *b, uint32_t host_off);

/* A host offset's address, and the offset of an address in the block (EMIT_COLD). */
static inline const uint8_t *block_at(const Block *b, uint32_t host_off)
{
    return (host_off & EMIT_COLD) != 0 ? b->cold + (host_off & ~(uint32_t)EMIT_COLD) : b->code + host_off;
}
static inline Mark *block_marks(const Block *b)
{
    return (Mark *)(void *)(b->sites + b->n_sites);
}
static inline BlockInsn *block_insns(const Block *b)
{
    return (BlockInsn *)(void *)(block_marks(b) + b->n_marks);
}
/* 0xff: this byte of Block.source is read by the code itself; NULL: none is. */
static inline uint8_t *block_soft(const Block *b)
{
    return b->is_soft ? b->source + b->source_len : NULL;
}
static inline const uint8_t *block_entry(const Block *b)
{
    return block_at(b, b->entry_off);
}
static inline uint32_t block_offset(const Block *b, const uint8_t *pc)
{
    uint64_t off = (uint64_t)(pc - b->code);

    return off < b->host_len ? (uint32_t)off : (uint32_t)(pc - b->cold) | EMIT_COLD;
}
static inline const uint8_t *site_at(const Site *s, uint32_t host_off)
{
    return (host_off & EMIT_COLD) != 0 ? block_at(s->block, host_off) : s->code + host_off;
}
/* Does its code hold the address? */
static inline bool block_holds(const Block *b, const uint8_t *pc)
{
    return (uint64_t)(pc - b->code) < b->host_len || (uint64_t)(pc - b->cold) < b->cold_len;
}

#endif /* TRANSLATOR_BLOCK_H */
