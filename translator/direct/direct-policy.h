/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All adaptive constants of direct execution, in one place (direct-policy.c says why each is what it is). */
#ifndef TRANSLATOR_DIRECT_DIRECT_POLICY_H
#define TRANSLATOR_DIRECT_DIRECT_POLICY_H

#include <stdint.h>

typedef struct {
    unsigned around;           /* pages looked at around one that faulted, a power of two, at most 16 */
    unsigned pages_max;        /* of one world: each may be a mapping of its own         */
    unsigned churn_max;        /* changes of a code page within a second or two          */
    unsigned holdoff;          /* visits of the dispatcher left to the translator when a world
                                  could not do an access                                 */
    unsigned spin_guest, spin_engine; /* looks before sleeping, while a host CPU idles    */
} DirectPolicy;

extern const DirectPolicy direct_policy;

#endif /* TRANSLATOR_DIRECT_DIRECT_POLICY_H */
