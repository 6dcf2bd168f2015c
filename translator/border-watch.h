/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `--stress helpers=N`: one call of a helper in N is compared with its row of helpers.def.
 *
 * All of the guest's state is looked at before and after: the helper may change what it says it writes, go the ways it says, and leave
 * the host's registers as it says.  Where it raises nothing, registers and flags that it does not read are others meanwhile, so that one
 * that does read them goes astray.  Not looked at: guest memory of more than WATCH_MEMORY, nor of less each time; blocks that die where there
 * are several CPUs; devices, but by a test that counts their calls; what an exception does that is delivered.
 */
#ifndef TRANSLATOR_BORDER_WATCH_H
#define TRANSLATOR_BORDER_WATCH_H

#include "translator/engine-internal.h"

enum { WATCH_MEMORY = 32 << 20 };

typedef struct HelperWatch HelperWatch;

/* What was seen of one helper. */
typedef struct {
    uint64_t n;
    uint16_t changed;          /* PART_* */
    uint8_t ways;              /* WAY_*  */
} HelperSeen;

struct HelperWatch {
    const HelperInfo *rows;    /* helper_info; a test's own                                   */
    uint64_t (*devices)(void); /* calls of devices so far; NULL: nobody counts               */
    HelperSeen seen[HELPER_COUNT];
    unsigned wrong;            /* calls that did not as their row says                        */
    char first[160];           /* ... the first of them                                       */
    bool quiet;                /* a test looks; else it is said on standard error             */
};

/* NULL when the knob is off. */
HelperWatch *helper_watch_new(void);
void helper_watch_free(HelperWatch *w);

/* border_help(), watched now and then. */
bool helper_watch_help(TransCpu *tc, Block *b, const Site *s);

#endif /* TRANSLATOR_BORDER_WATCH_H */
