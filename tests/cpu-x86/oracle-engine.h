/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which engine the oracle's tests are about: they are built for the interpreter, and once more with
 * -DORACLE_TRANSLATE for the translator. */
#ifndef TESTS_CPU_X86_ORACLE_ENGINE_H
#define TESTS_CPU_X86_ORACLE_ENGINE_H

#include "cpu-x86/engine.h"
#include "tests/cpu-x86/oracle.h"

#ifdef ORACLE_TRANSLATE
#include "translator/engine.h"
#include "translator/policy.h"

/* Everything is translated at once, even what runs once. */
static inline OracleGuest *oracle_engine_guest(void)
{
    static TransConfig config;

    config = trans_policy;
    config.translate_at = 1;
    return oracle_guest_new(&translate_engine, &config);
}

/* Code sizes that are translated: other cases run as well, by whatever the engine makes of them. */
static inline bool oracle_engine_translates(OracleMode mode)
{
    return mode != ORACLE_16;
}

static inline OraclePlace oracle_engine_place(OracleRandom *r)
{
    return (OraclePlace)oracle_below(r, ORACLE_PLACES);
}

#else

static inline OracleGuest *oracle_engine_guest(void)
{
    return oracle_guest_new(&interp_engine, NULL);
}

static inline bool oracle_engine_translates(OracleMode mode)
{
    return false;
}

static inline OraclePlace oracle_engine_place(OracleRandom *r)
{
    return ORACLE_AT_START;
}
#endif

#endif /* TESTS_CPU_X86_ORACLE_ENGINE_H */
