/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks by kind of failure.
 *
 *   g_assert(x)     a bug of ours; on in release builds too
 *   HOT_ASSERT(x)   the same on a hot path: debug builds only (meson buildtype=debug)
 *   SURPRISE(x)     "I believe this never happens": true when it does; logs the first time, counts,
 *                   and the run goes on.  Use as `if (SURPRISE(x)) { safe way out }`.
 */
#ifndef SOFTMMU_BASE_CHECK_H
#define SOFTMMU_BASE_CHECK_H

#include <stdbool.h>

#ifdef METAPHRASE_DEBUG
#include <glib.h>
#define HOT_ASSERT(x) g_assert(x)
#else
#define HOT_ASSERT(x) ((void)0)
#endif

bool surprise_happened(const char *what, const char *file, int line, bool *seen);

#define SURPRISE(x)                                                                                \
    ({                                                                                             \
        static bool surprise_seen_;                                                                \
        __builtin_expect(!!(x), 0) &&                                                              \
            surprise_happened(#x, __FILE__, __LINE__, &surprise_seen_);                            \
    })

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif /* SOFTMMU_BASE_CHECK_H */
