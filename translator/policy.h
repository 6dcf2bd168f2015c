/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All adaptive constants of the translator, in one place (policy.c says why each is what it is). */
#ifndef TRANSLATOR_POLICY_H
#define TRANSLATOR_POLICY_H

#include <stdint.h>

typedef struct {
    unsigned block_insns_max;     /* guest instructions of one block                       */
    unsigned translate_at;        /* translate on this visit; earlier ones are interpreted */
    unsigned cold_budget;         /* instructions the interpreter runs from a cold address */
    unsigned odd_budget;          /* ... in a mode that is not translated                  */
    uint64_t code_bytes;          /* size of the code cache                                */
    unsigned code_regions;        /* evicted one at a time, first in first out             */
} TransPolicy;

extern const TransPolicy trans_policy;

#endif /* TRANSLATOR_POLICY_H */
