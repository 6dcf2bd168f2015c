/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window: the upper half of a 64-bit guest's linear space, seen by the host's MMU.
 *
 * Guest-linear address L of the upper half appears at host address L + base (mod 2^64), base being what
 * the host's GS holds while generated code runs; pages of it are mapped there from the memfd as the
 * guest's page tables map them.  base is 2^47 - D for a random D of 4 to 7.5 TiB:
 *
 *    host 0            16 GiB                               2^47 - D                 2^47
 *      | program, brk    | the window                          | our mappings, stacks  |
 *    guest ffff8000+D    + 16 GiB (a hole in Linux's layout)    2^64                      (user addresses below D)
 *
 * So nothing of ours is where an upper-half address leads, but for the program itself, which lies in the hole
 * that x86-64 kernels leave for hypervisors; translator/windows-slots.c looks whether one uses it nevertheless.  A
 * user address leads either out of canonical range or into the topmost D bytes.
 *
 * What is mapped are *runs*, linear pieces of guest-linear and of guest memory at once.  One mapping
 * serves all CPUs, and so a flush by any CPU counts for all; whoever maps sees to that and to their
 * agreement (translator/windows.h).  The rules for writes are those of the software TLB: a page is
 * mapped writable only while stores to it need no marking, and phys_mem_revoke_write() takes that away.
 *
 * Threads: all functions may be called by any thread; `lock` is taken inside (rank WORLD).
 */
#ifndef SOFTMMU_WINDOW_H
#define SOFTMMU_WINDOW_H

#include "softmmu/phys-mem.h"

enum { WINDOW_RUNS = 4096, WINDOW_GAP = 64 << 10 /* bytes */ };

typedef struct {
    uint64_t lin, len;         /* bytes, whole pages                                             */
    uint64_t offset;           /* of `lin`, in the memfd                                         */
    uint8_t leaf_shift;        /* size of the guest's pages: 12, 21 or 30                        */
    bool write;                /* the guest's tables allow stores, dirty bits set                */
    bool global;               /* it outlives CR3 loads                                           */
} WindowRun;

typedef struct Window {
    PhysMem *mem;              /* borrowed                                                       */
    uint64_t base;             /* added to a linear address                                      */
    uint64_t program_lin;      /* guest-linear place of our own program: WINDOW_PROGRAM bytes      */
    Lock lock;
    WindowRun run[WINDOW_RUNS];
    unsigned n_runs;
    unsigned n_local;          /* of them not global                                             */
    uint64_t *denied;          /* a bit for each page of memory: no run lets anybody store to it; 0: one may */
    unsigned revoke_pages;     /* neighbours that lose the right to be stored to with a page, it included; a power of two */
    unsigned n_pieces;         /* mappings of the host, at most (protected pages split them)        */
    unsigned pieces_max;       /* ... before all is unmapped; 2/5 of vm.max_map_count               */
    uint64_t n_maps, n_unmaps, n_revokes, n_refreshes, n_overflows; /* statistics                */
} Window;

#define WINDOW_PROGRAM (UINT64_C(16) << 30)

/* vm.max_map_count: how many mappings a process of this host may have. */
unsigned window_host_mappings(void);

/* Choose a base.  NULL with *why (static) where this process's own memory lies in the way, or another window. */
Window *window_new(PhysMem *mem, const char **why);
void window_free(Window *w);

/* A user address, of the guest, that leads where our own large mappings may be: nothing of a usual program is
 * there, and who touches much of it looks for us. */
static inline bool window_is_ours(const Window *w, uint64_t lin)
{
    return lin >= UINT64_C(1) << 40 && lin < (UINT64_C(1) << 47) - w->base;
}

static inline bool window_reaches(const Window *w, uint64_t lin)
{
    return (int64_t)lin < 0 && lin + w->base >= WINDOW_PROGRAM && lin + w->base < w->base;
}

/* ... by 32-bit code. */
static inline bool window_reaches_low(uint64_t lin)
{
    return lin <= UINT32_MAX;
}

/* The run that holds `lin`, copied.  False: none does. */
bool window_find(Window *w, uint64_t lin, WindowRun *run);

/* The first run that ends behind `lin`, copied.  False: none does. */
bool window_next(Window *w, uint64_t lin, WindowRun *run);

/* ... of those that are not global.  CR3 loads ask for them, and mostly there are none among thousands. */
bool window_next_local(Window *w, uint64_t lin, WindowRun *run);

typedef enum {
    WINDOW_OK,
    WINDOW_REFUSED,            /* something of ours is there, or the host has no room              */
} WindowResult;

/* Map what of `run` lies around `lin` and is not mapped yet.  The run holds `lin`. */
WindowResult window_map(Window *w, const WindowRun *run, uint64_t lin);

/* A store to the page of `lin` faulted: make it writable if its run allows and it needs no marking (dirty bits
 * are set here).  False: it does (code, traced, display). */
bool window_refresh_store(Window *w, uint64_t lin);

/* Unmap all of [lin, lin+len), splitting runs. */
void window_unmap(Window *w, uint64_t lin, uint64_t len);

void window_unmap_all(Window *w);

/* What is to be unmapped, piece by piece and ascending, by few calls of the host, each of which interrupts the other CPUs' threads.
 * Pieces wait until one comes that lies apart; {0} is none. */
typedef struct {
    uint64_t lin, len;
} WindowGoing;

void window_unmap_with(Window *w, WindowGoing *g, uint64_t lin, uint64_t len);
/* ... those that wait.  They are there until then. */
void window_unmap_rest(Window *w, WindowGoing *g);

/* phys_mem_revoke_write(): the page at `offset` must not be written without marking.  Its neighbours must ask again too
 * (window_refresh_store()): code lies beside code, and each call of the host flushes TLBs. */
void window_revoke_write(Window *w, uint64_t offset);

#endif /* SOFTMMU_WINDOW_H */
