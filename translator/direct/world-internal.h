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

/* The mapper's answer: 1 all well, 2 something failed, 0 it is gone. */
ssize_t world_read_reply(const World *w);
/* An empty round trip that begins at this place of the stub.  False: the world broke. */
bool world_idle_trip_to(World *w, const uint8_t *to, unsigned spin);

#endif /* TRANSLATOR_DIRECT_WORLD_INTERNAL_H */
