/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between world.c and world-birth.c. */
#ifndef TRANSLATOR_DIRECT_WORLD_INTERNAL_H
#define TRANSLATOR_DIRECT_WORLD_INTERNAL_H

#include "translator/direct/world.h"

enum { FX_SW_AT = 464 }; /* software bytes of an XSAVE image: the host kernel's sigcontext ABI */

/* Fields of W_CTL and W_CTX. */

static inline uint32_t *ctl32(const World *w, unsigned at)
{
    return (uint32_t *)(w->shared + at);
}

static inline uint64_t *ctl64(const World *w, unsigned at)
{
    return (uint64_t *)(w->shared + at);
}

static inline uint32_t *ctx32(const World *w, unsigned at)
{
    return (uint32_t *)(w->shared + W_CTL_LEN + at);
}

static inline uint64_t *ctx64(const World *w, unsigned at)
{
    return (uint64_t *)(w->shared + W_CTL_LEN + at);
}

/* The next order has a number, and answers that name it; it begins when CTL_ORDER becomes that. */
void world_number_order(World *w);

typedef enum { ANSWER_GONE, ANSWER_WELL, ANSWER_NOT } WorldAnswer;
/* Wait for the mapper's answer to the last order, at most `spin` looks, then asleep: all well, something failed, it is gone. */
WorldAnswer world_answer(World *w, unsigned spin);
/* An empty round trip that begins at this place of the stub.  False: the world broke. */
bool world_idle_trip_to(World *w, const uint8_t *to, unsigned spin);

#endif /* TRANSLATOR_DIRECT_WORLD_INTERNAL_H */
