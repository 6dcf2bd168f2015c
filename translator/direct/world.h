/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One world: a host process in which user code of the guest runs as itself.
 *
 * The engine's thread fills in the frame (world_frame()), lets the guest thread go (world_resume())
 * and waits for the next event (world_wait()): a system call, a fault, a kick.  Mappings are changed
 * by requests to the mapper, gathered and executed in one go (world_sync(), world_resume_mapped()); any thread may do
 * that under the world's owner's lock, whether the guest thread runs or not.
 *
 * Trust.  The guest thread can write W_CTX and its frame, can forge events, and can go on running while
 * it claims to wait.  It can do nothing else: no system calls, no mappings, no other memory.  So:
 * what is read from the frame is only registers, checked before use; mappings change through the
 * mapper, which answers in memory that neither of its processes can write but through a file that the guest thread does not have; and where it must be certain that the guest thread does not
 * run, world_park() moves it between two futexes, which succeeds only if it sleeps on the first.
 */
#ifndef TRANSLATOR_DIRECT_WORLD_H
#define TRANSLATOR_DIRECT_WORLD_H

#include "translator/direct/breaks.h"
#include "translator/direct/stub.h"

#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>
#include <ucontext.h>

/* How a world is made: one a machine. */
typedef struct {
    int image;                 /* memfd: an ELF file around the stub */
    int ram;                   /* the guest's memory, borrowed */
    bool bases_by_calls;       /* the host's kernel keeps no base of FS and GS that it has not set itself */
    bool tsc_is_known, tsc_faults; /* after a first world: PR_SET_TSC makes RDTSC fault (atomic) */
    bool runs_code32;          /* 32-bit code can run: the host does so, and its FS and GS can be based anywhere */
    bool breaks_wanted;        /* set by the owner: */
    bool breaks_are_known, breaks_work; /* ... after a first world: breakpoints stop worlds (atomic) */
} WorldImage;

typedef enum {
    WORLD_ALIVE,
    WORLD_BROKEN,              /* by its own doing (a blocked signal, a filter's verdict)   */
    WORLD_NOT_MAPPED,          /* the order failed that should have let it go: it has not run */
    WORLD_KILLED,              /* from outside: its registers are lost                      */
} WorldHealth;

typedef struct World {
    pid_t mapper, guest;
    clockid_t clock;           /* CPU time of the guest thread */
    uint8_t *shared;           /* W_CTL and W_CTX */
    uint8_t fp_sw[48];         /* software bytes of an XSAVE image, as the kernel made them */
    unsigned fp_len;           /* bytes of the vector state in a frame */
    uint64_t base;             /* of the stub */
    uint32_t number;           /* of the order that runs or ran last */
    bool left_to_mapper;       /* the guest thread's going on: by a word that it shall see ... */
    uint32_t resume_order;     /* ... or at the end of this order; 0: by us (atomic) */
    uint32_t order;            /* of the mapper's order that runs or ran last */
    unsigned looks;            /* at the other side, when it was let go last */
    unsigned n_requests;       /* queued (atomic: written under the owner's lock) */
    bool reply_is_due;         /* of the mapper, to the last order */
    bool tsc_can_fault;        /* see WorldImage */
    bool bases_by_calls;       /* the same: */
    bool knows_bases;          /* ... these are the ones it has: */
    uint64_t fs_base, gs_base;
    int home;                  /* host CPU of the engine when its processes were last bound, -1: not */
    bool apart;                /* ... the guest thread to another than that */
    uint64_t slept;            /* how often one side had to wait for the other asleep */
    bool running;              /* resumed, and no event seen since (atomic) */
    bool parked;               /* known to sleep */
    Breaks breaks;             /* of the guest thread; the owner's, while that does not run user code */
    WorldHealth health;
} World;

/* Can this host run worlds?  NULL, or one line that says why not. */
const char *world_missing(void);

/* Make the image.  False: `error`. */
bool world_image_init(WorldImage *image, int ram_fd, GError **error);
void world_image_clear(WorldImage *image);

/* Start a world; its guest thread waits, with an empty frame.  It dies with the calling thread. */
World *world_new(WorldImage *image, GError **error);
void world_free(World *w);

/* -- Running (own thread) ------------------------------------------------------------------------ */

/* What the last event left: signal, trap number... Copied out of memory that the world can write. */
typedef struct {
    int signal, code;          /* its si_code */
    uint64_t call_addr;        /* SIGSYS: behind the system call instruction */
    uint32_t call_arch;        /* SIGSYS: AUDIT_ARCH_* */
    uint64_t fs_base, gs_base;
    uint16_t ds, es, fs, gs;
    mcontext_t regs;           /* fpregs is not a pointer to be used */
    uint64_t fp_at;            /* offset in `shared` of the XSAVE image, 0: none */
} WorldEvent;

enum { WORLD_BREAK = 6 };      /* WorldEvent.code of a SIGTRAP: a breakpoint (TRAP_PERF of siginfo) */
/* Read the event; false: the guest thread has made nonsense of its frame. */
bool world_event(const World *w, WorldEvent *ev);

/* The frame in place, for the registers to go in; NULL: nonsense.  Its XSAVE image is at *fp. */
ucontext_t *world_frame(World *w, uint8_t **fp);

/* Make an XSAVE image acceptable to the host's kernel: its software bytes and end mark. */
void world_seal_vectors(const World *w, uint8_t *image);

/* Selectors and bases with which the guest thread goes on.  With bases_by_calls the selectors of FS and GS are 0,
 * and their bases below W_TOP; a base is set only if it is not the last one. */
void world_set_segments(World *w, const WorldEvent *ev);

/* Its user code, which can set its bases behind our back, is another process's from now on. */
void world_forget_bases(World *w);

/* The frame is a fault's, with RFLAGS.RF set, which would let a breakpoint at its instruction pass. */
void world_clear_rf(World *w);

/* RFLAGS.ID with which it goes on. */
void world_set_id_flag(World *w, bool id);

/* Shall RDTSC and RDTSCP fault from the next order on?  A new world lets them be.  It makes a round trip twice as
 * long where the host is a guest: CR4 changes with each switch of threads.  Some such hosts accept it without effect:
 * there nothing changes. */
void world_fault_tsc(World *w, bool faults);
bool world_tsc_faults(const World *w);

/* From here on a kick is not lost: before a last look at whether to resume at all. */
void world_announce(World *w);
void world_retract(World *w);

/* Let the guest thread go.  `spin`: how often the engine will look for its event; it looks for the next order a quarter as often before it sleeps. */
void world_resume(World *w, unsigned spin);

/* Wait for the event that ends the order: at most `spin` looks, then asleep.  Returns false when none
 * came in `timeout_ns` (call again; world_check() says whether there is still somebody). */
bool world_wait(World *w, unsigned spin, uint64_t timeout_ns);

/* In and out again without an instruction of the guest; false: the world broke. */
bool world_idle_trip(World *w, unsigned spin);

/* Any thread: make the running guest thread come out. */
void world_kick(World *w);

/* Make certain that the guest thread sleeps.  False: it does not; the world is broken. */
bool world_park(World *w);

/* Look whether its processes live; sets and returns health. */
WorldHealth world_check(World *w);
/* CPU time its guest thread has used, ns. */
uint64_t world_cpu_ns(const World *w);

/* -- Mappings -------------------------------------------------------------------------------------- */

/* Queue a request; a full queue is executed.  False: the world is broken. */
bool world_map(World *w, uint64_t lin, uint64_t len, int prot, uint64_t offset, bool populate);
bool world_unmap(World *w, uint64_t lin, uint64_t len);
bool world_protect(World *w, uint64_t lin, uint64_t len, int prot);
/* Unmap everything but the stub. */
bool world_unmap_all(World *w);
/* Execute what is queued.  False: the world is broken. */
bool world_sync(World *w);

/* Requests that are queued.  Any thread; exact under the owner's lock. */
unsigned world_requests(const World *w);

/* The same as world_sync() and world_resume(), under the owner's lock, but the mapper itself lets the guest thread go when
 * all is done: two switches of threads instead of four.  If something fails the guest thread is not let go: world_wait() finds
 * that (WORLD_NOT_MAPPED).  Something is queued. */
void world_resume_mapped(World *w, unsigned spin);

#endif /* TRANSLATOR_DIRECT_WORLD_H */
