/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The software TLB of one CPU: guest-linear page -> host address, with rights.
 *
 * One direct-mapped table per TlbClass (whose rights apply).  An entry answers a load, store or
 * fetch when its tag for that kind equals   (page address | space tag)   where the space tag is a
 * number below 4096 given to each PCID; flushing a PCID gives it a fresh number and touches no
 * entry, and a CR3 load that returns to a PCID finds its entries again.  Entries of global pages
 * are re-tagged in place when they are met under another tag (tlb_probe): one compare in the slow
 * path instead of a page walk.  When the numbers run out, everything is cleared.
 *
 * Processes use the same addresses, and would drive each other's entries out at every switch.  So each of TLB_PLACES
 * PCIDs' user entries begin elsewhere in their table, which is longer for it; who looks up adds nothing, but begins there.
 *
 * The table obeys x86's rules for a TLB and is merely bigger: non-present translations are never
 * held; it may hold a stale entry exactly where the SDM (vol. 3A, 4.10) lets a processor do so.
 *
 * Threads.  Only the owning CPU fills and flushes its TLB.  Other threads may only *revoke write*
 * (tlb_revoke_write: compare-and-swap of the store tag to none), when a page becomes a code page
 * or its dirty log is cleared; a revoked entry sends the next store to the slow path.  To make that
 * rare, a page carries PAGE_TLB_WRITABLE from the time any TLB holds it writable.
 *
 * Layout is read by generated code: TlbEntry is 32 bytes, tags first.
 */
#ifndef SOFTMMU_TLB_H
#define SOFTMMU_TLB_H

#include "softmmu/base/address.h"
#include "softmmu/phys-mem.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    TLB_KERNEL,       /* CPL 0..2 with SMAP in force or off; implicit supervisor accesses */
    TLB_USER,         /* CPL 3                                                            */
    TLB_KERNEL_AC,    /* CPL 0..2 with EFLAGS.AC set: user pages are allowed under SMAP   */
    TLB_CLASS_COUNT,
} TlbClass;

typedef enum { TLB_LOAD, TLB_STORE, TLB_FETCH } TlbAccess;

typedef enum {
    TLB_FLUSH_PAGE,
    TLB_FLUSH_LOCAL,  /* entries that are not global, of some PCID */
    TLB_FLUSH_ALL,
} TlbFlush;

typedef struct {
    uint64_t load, store, fetch; /* tag for each kind of access, or TLB_TAG_NONE       */
    uintptr_t addend;            /* host address = linear address + addend (mod 2^64)  */
} TlbEntry;

_Static_assert(sizeof(TlbEntry) == 32, "generated code scales by 32");

/* What the fast path does not need, parallel to the entries. */
typedef struct {
    uint64_t tag;                /* page address | space tag, TLB_TAG_NONE when empty  */
    GuestPhys phys;              /* of the 4 KiB page                                  */
    uint64_t offset;             /* in the memfd; TLB_NO_OFFSET: a device or nothing   */
    uint8_t rights;              /* TLB_R_* the page walk granted                      */
    uint8_t page_shift;          /* 12, 21, 22 or 30: size of the guest's page         */
    bool global;
    bool rom;                    /* the page is ROM: stores take the slow path         */
} TlbSide;

enum {
    TLB_R_READ = 1,
    TLB_R_WRITE = 2,
    TLB_R_EXEC = 4,
    TLB_R_WATCH = 8,             /* no fast tags: every access is reported (SoftMmu.watched) */
};

/*
 * Two writable pages used lately, by a class, for accesses that are mostly to the same page (stacks): found by a
 * subtraction, without a table.  Its owner lends the memory, which generated code reads.
 */
typedef struct {
    uint64_t minus_page;         /* minus the page's linear address, or TLB_NEAR_NONE  */
    uintptr_t addend;            /* as in TlbEntry                                     */
} TlbNear;

enum { TLB_NEAR_USER, TLB_NEAR_KERNEL, TLB_NEAR_CLASSES };
/* What lies there is not canonical, wherever it is in the host. */
#define TLB_NEAR_NONE (UINT64_C(1) << 63)

/*
 * The page that one instruction used last, likewise.  Generated code writes it, of an entry that answered what the
 * instruction does; and counts in `left` how often that was another page, not beside the last.
 */
typedef struct {
    uint64_t minus_page;         /* as in TlbNear                                      */
    uintptr_t addend;
    int32_t left;                /* down; below 0 it asks its owner                    */
    uint64_t since;              /* the owner's: cycles of the TSC when it was last asked */
} TlbSpot;

enum { TLB_SPOTS = 128 };

/* What near pages and spots are lent as. */
typedef struct {
    TlbNear near[TLB_NEAR_CLASSES][2]; /* the last one first                           */
    TlbSpot spot[TLB_NEAR_CLASSES][TLB_SPOTS];
    uint64_t spots_used;         /* not 0: some spot holds a page                      */
    bool was_lent;               /* some time: then nothing is in it when it is lent again  */
} TlbLent;

#define TLB_TAG_NONE UINT64_MAX
#define TLB_NO_OFFSET UINT64_MAX
enum { TLB_FLUSHED = 64, TLB_CODE_FLUSHED = 16 };
#define TLB_SPACES 4095u /* 0xfff with the last page would be TLB_TAG_NONE */

#define TLB_WRITER_MANY UINT32_MAX
enum { TLB_LOCALS = 32 };   /* non-global entries of TLB_KERNEL that are dropped one by one */
enum { TLB_PLACES = 8 };     /* a power of two; Linux uses six PCIDs a CPU                 */
enum { TLB_BITS_MIN = 6, TLB_BITS_START = 10, TLB_BITS_MAX = 15 };

typedef struct {
    TlbEntry *entry;             /* `len` of them                                      */
    TlbSide *side;
    uint64_t index_mask;         /* number of entries one space uses, less one         */
    uint64_t len;
    uint64_t first;              /* slot of linear address 0 for the current PCID      */
    unsigned fills, evictions;   /* since the last resize; evictions: a live entry was replaced */
} TlbTable;

typedef struct {
    PhysMem *mem;                /* borrowed                                           */
    TlbTable table[TLB_CLASS_COUNT];
    Lock resize_lock;            /* owner while it replaces a table or `lent`; tlb_revoke_write */
    TlbLent *lent;               /* borrowed, or NULL                                  */
    /* For each memfd page where it may have a store tag in each table: 0 nowhere, one more than the slot, or TLB_WRITER_MANY. */
    uint32_t (*writer)[TLB_CLASS_COUNT];

    uint32_t space;              /* the current space tag, below TLB_SPACES            */
    /* TLB_KERNEL has its own while all but a few of its entries are global and outlive every switch: the
     * few are dropped at a switch.  When they are more than TLB_LOCALS (no CR4.PGE, page-table isolation,
     * no SMAP), or code is among them, it shares the others' tags until the next full flush. */
    bool kernel_apart;
    bool local_code;             /* code was noted in an entry of TLB_KERNEL that is not global */
    uint32_t kernel_space;
    unsigned n_locals;           /* TLB_LOCALS + 1: too many                           */
    uint32_t local[TLB_LOCALS];  /* their slots                                        */
    uint32_t next_space;         /* first number never given out since the last clear  */
    uint16_t pcid;               /* the current PCID (0 without CR4.PCIDE)             */
    uint16_t space_of[4096];     /* space tag of each PCID, 0: none                    */
    uint64_t large_seen[2][64];  /* Bloom bits: 4 MiB and 1 GiB regions that hold fragments of
                                    large pages */

    /* For caches keyed by (linear address, space) of code on pages noted by tlb_note_code().  All must be
     * dropped when code_epoch changes; the code on one page when n_code_flushes does, which counts such pages:
     * the last TLB_CODE_FLUSHED are in code_flushed, at their number modulo that. */
    uint64_t code_epoch, n_code_flushes;
    GuestLin code_flushed[TLB_CODE_FLUSHED];
    uint64_t code_seen[64];      /* Bloom bits of those pages                          */
    uint64_t n_resizes;          /* of tables: their entries are elsewhere now              */
    uint64_t n_changes;          /* flushes and switches of all kinds                     */
    uint64_t n_fills, n_flushes, n_page_flushes, n_retags, n_revokes; /* statistics */

    /* For whoever keeps translations longer than we do (worlds): a translation made in `space` is as
     * good as ours while space and n_wipes are what they were and its page is not among those flushed since,
     * of which the last TLB_FLUSHED are known (`flushed`, at n_page_flushes modulo that). */
    uint64_t n_wipes;            /* full flushes: numbers of spaces start again        */
    GuestLin flushed[TLB_FLUSHED];
    void (*before_change)(void *arg); /* the owner is about to flush or to switch; may be NULL */
    void *before_change_arg;
    /* The owner has flushed; `lin`: the page.  May be NULL. */
    void (*on_flush)(void *arg, TlbFlush what, GuestLin lin);
    void *on_flush_arg;
} Tlb;

/* Tables start at TLB_BITS_START and grow by use up to TLB_BITS_MAX. */
void tlb_init(Tlb *t, PhysMem *mem);
void tlb_clear(Tlb *t);

/* A table that keeps evicting live entries doubles at the next tlb_insert(), which then allocates: the
 * C library may use vector registers. */
static inline bool tlb_is_thrashing(const Tlb *t, TlbClass c)
{
    return t->table[c].evictions >= 2 * (t->table[c].index_mask + 1);
}

static inline uint64_t tlb_slot(const TlbTable *tt, uint64_t lin)
{
    return tt->first + ((lin >> GUEST_PAGE_SHIFT) & tt->index_mask);
}

static inline TlbEntry *tlb_entry(Tlb *t, TlbClass c, uint64_t lin)
{
    return &t->table[c].entry[tlb_slot(&t->table[c], lin)];
}

static inline uint32_t tlb_space(const Tlb *t, TlbClass c)
{
    return c == TLB_KERNEL && t->kernel_apart ? t->kernel_space : t->space;
}

/* The tag that a hit on `lin` has now. */
static inline uint64_t tlb_tag(const Tlb *t, TlbClass c, uint64_t lin)
{
    return (lin & GUEST_PAGE_MASK) | tlb_space(t, c);
}

static inline bool tlb_within_page(uint64_t lin, unsigned size)
{
    return (lin & GUEST_PAGE_OFFSET_MASK) + size <= GUEST_PAGE_SIZE;
}

/* Host address for an access that hits, else NULL (take the slow path).  The access must lie
 * within the page. */
static inline void *tlb_hit(Tlb *t, TlbClass c, uint64_t lin, TlbAccess a)
{
    TlbEntry *e = tlb_entry(t, c, lin);
    uint64_t tag = a == TLB_LOAD    ? e->load
                   : a == TLB_STORE ? __atomic_load_n(&e->store, __ATOMIC_RELAXED)
                                    : e->fetch;
    return tag == tlb_tag(t, c, lin) ? (void *)(uintptr_t)(lin + e->addend) : NULL;
}

/*
 * Insert a translation found by the page walk: page of `lin` -> page `phys`, with rights TLB_R_*.
 * (The walk grants WRITE only when the PTE's dirty bit is set.)  Device pages, code pages and pages
 * whose writes must be marked get fast tags only for what may run fast; the side entry holds all.
 * `page_shift` is the size of the guest's page (12, 21, 22, 30).  Returns the side entry (borrowed,
 * valid until the next insert).
 */
TlbSide *tlb_insert(Tlb *t, TlbClass c, GuestLin lin, GuestPhys phys, unsigned rights, bool global,
                    unsigned page_shift);

/* The side entry when the TLB holds a translation for `lin` under the current tag (whatever its
 * fast tags say), re-tagging a global one; else NULL: walk. */
TlbSide *tlb_probe(Tlb *t, TlbClass c, GuestLin lin);

/* Code at `lin`, which hits for fetches, is about to be remembered by its linear address and space. */
void tlb_note_code(Tlb *t, TlbClass c, GuestLin lin);

/* -- Flushes and spaces (owner only) -------------------------------------------------------------- */

/* Make `pcid` current (MOV CR3; pcid is 0 without CR4.PCIDE).  flush: its old non-global entries
 * are gone (bit 63 of the source clear). */
void tlb_switch(Tlb *t, unsigned pcid, bool flush);

void tlb_flush_all(Tlb *t);                        /* everything, globals too (CR4.PGE, PAE...)  */
void tlb_flush_nonglobal(Tlb *t);                  /* every PCID, keeps globals (INVPCID type 3) */
void tlb_flush_pcid(Tlb *t, unsigned pcid);        /* one PCID, keeps globals (INVPCID type 1)   */
void tlb_flush_page(Tlb *t, GuestLin lin);         /* INVLPG: all tags of the page and of a large
                                                      page around it, globals too                */

/* Give a page its fast store tag back when its writes no longer need marking (slow path of a store,
 * after the marking). */
void tlb_refresh_store(Tlb *t, TlbClass c, GuestLin lin);

/* Lend the TLB memory for near pages and spots, which are all TLB_NEAR_NONE then; NULL: take it back.  Owner only. */
void tlb_lend(Tlb *t, TlbLent *lent);
/* The page of `lin` is used: it is near from now on when it hits for stores. */
void tlb_come_near(Tlb *t, TlbClass c, uint64_t lin);

/* -- From other threads ---------------------------------------------------------------------------- */

/* Take the write tag from every entry that maps memfd page `offset`. */
void tlb_revoke_write(Tlb *t, uint64_t offset);

#endif /* SOFTMMU_TLB_H */
