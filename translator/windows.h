/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel code in the window (softmmu/window.h): which pages are there, when, and what a fault means.
 *
 * A 64-bit guest's kernel code, at an upper-half address and in environment ENV_WINDOW, uses its memory operands
 * as they are, through the host's MMU (class IDENT of compile-mem.c).  What is not mapped faults, and
 * windows_fault() says what it was.
 *
 * The window is one for all CPUs and address spaces, so it may hold only what each would find in its own
 * tables: pages of supervisors in slots of the root table (PML4) in which all agree.  Who has nothing there
 * (page-table isolation on the way in) runs without, until it loads CR3 again; slots that differ are each
 * space's own, and are not used.
 *
 * A flush by any CPU looks again at what is mapped, as far as it goes (one page, all that is not global, or
 * all), and keeps what is still so: a TLB that is flushed and filled again at once.
 */
#ifndef TRANSLATOR_WINDOWS_H
#define TRANSLATOR_WINDOWS_H

#include "translator/engine-internal.h"

typedef struct WindowShare WindowShare;

/* Of a machine: NULL where the configuration or the host forbids it (*why, static). */
WindowShare *windows_new(PhysMem *mem, const TransConfig *config, const char **why);
void windows_free(WindowShare *ws);
void windows_attach(TransCpu *tc);
void windows_detach(TransCpu *tc);
/* The calling thread is that of a CPU. */
void windows_thread_init(const TransCpu *tc);

/* May this CPU's kernel code use the window now? */
bool windows_usable(TransCpu *tc);
/* Since this CPU found that out nothing has happened to the windows that may have changed it, other than what flushes of more than one page and
 * loads of control registers do. */
bool windows_are_as_seen(const TransCpu *tc);

typedef enum {
    WINDOW_RETRY,              /* the same host instruction again                                  */
    WINDOW_MAPPED,             /* that: something has been mapped for it                           */
    WINDOW_INTERPRET,          /* the interpreter is to execute the instruction                  */
    WINDOW_STORE,              /* that: it is a store to a page that must be marked                 */
    WINDOW_RESTLESS,           /* that: its region (TransCpu.fault_region) is not mapped for a while */
    WINDOW_GUILTY,             /* that: it will never do                                          */
} WindowVerdict;

/* The host faulted in an instruction of class IDENT (TransCpu.fault_*); vector state is spilled. */
WindowVerdict windows_fault(TransCpu *tc);

/* The guest is about to access `lin` in class IDENT: map what a fault would map.  Whether something was; spills vector
 * state then. */
bool windows_touch(TransCpu *tc, uint64_t lin, bool write);

/* The instruction at memfd offset `at` reached the page of `lin` by the TLB, with nothing there perhaps.  Who wants it in the window soon
 * holds that against it (trans_note_missed()).  No locks, no vector registers. */
void windows_note_aside(TransCpu *tc, uint64_t lin, uint64_t at);

/* Terms of regions (windows-regions.h) end.  True: some that were not mapped may be again, since this was asked last. */
bool windows_regions_ended(TransCpu *tc);
/* Is that region (WINDOW_RESTLESS) not to be mapped still? */
bool windows_region_is_banned(void *tc, uint64_t region);

/* For people; to be freed.  NULL without. */
char *windows_report(const TransCpu *tc);

#endif /* TRANSLATOR_WINDOWS_H */
