/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which engine the oracle's tests are about: they are built for the interpreter, and once more with
 * -DORACLE_TRANSLATE for the translator. */
#ifndef TESTS_CPU_X86_ORACLE_ENGINE_H
#define TESTS_CPU_X86_ORACLE_ENGINE_H

#include "cpu-x86/engine.h"
#include "tests/cpu-x86/oracle.h"

#include <check.h>
#include <glib.h>

#ifdef ORACLE_TRANSLATE
#include "translator/engine.h"
#include "translator/policy.h"

/* Everything is translated at once, even what runs once. */
static inline OracleGuest *oracle_engine_guest(void)
{
    static TransConfig config;

    config = trans_policy;
    config.translate_at = 1;
    if (g_getenv("ORACLE_SHARED") != NULL) { /* user code that does not know where it is, and remembers pages */
        config.share_above = 0;
        config.hot_samples = 0;
    }
    if (ORACLE_KERNEL) {       /* cases are full of faults */
        config.window_distrust = UINT32_MAX;
    }
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

static inline const char *oracle_engine_host(OracleMode mode)
{
    return oracle_native_init(mode, oracle_engine_translates(mode));
}

/* Did the engine do with `cases` cases what the test is about?  In the window each finds its data
 * remapped; in a third of them the instruction lies across pages and in half the operand is not there. */
static inline void oracle_engine_was_used(const OracleGuest *g, OracleMode mode, uint64_t cases)
{
    ck_assert(!oracle_engine_translates(mode) || oracle_guest_translated(g) > 0);
    for (unsigned i = 0; ORACLE_KERNEL && i < ORACLE_BAIT_LEN; i++) {
        if (((const volatile uint8_t *)(uintptr_t)ORACLE_BAIT)[i] != ORACLE_BAIT_BYTE) {
            ck_abort_msg("the guest wrote to the host's memory");
        }
    }
    if (oracle_guest_has_window(g)) {
        ck_assert_uint_ge(oracle_guest_window_maps(g), cases / 8);
    }
}

#endif /* TESTS_CPU_X86_ORACLE_ENGINE_H */
