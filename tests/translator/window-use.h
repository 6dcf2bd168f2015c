/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much a test used the window: the host's faults that mapped something there.  0: nothing, or no window. */
#ifndef TESTS_TRANSLATOR_WINDOW_USE_H
#define TESTS_TRANSLATOR_WINDOW_USE_H

#include "translator/engine.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

/* AddressSanitizer's shadow memory lies where the window would. */
#ifdef __SANITIZE_ADDRESS__
enum { WINDOW_IS_POSSIBLE = 0 };
#else
enum { WINDOW_IS_POSSIBLE = 1 };
#endif

static inline uint64_t window_maps(const CpuState *cpu)
{
    char *report = translate_report(cpu); /* NULL: another engine */
    const char *at = report != NULL ? strstr(report, "of which ") : NULL;
    unsigned long long n = 0;

    if (at != NULL) {
        sscanf(at, "of which %llu mapped", &n);
    }
    g_free(report);
    return n;
}

#endif /* TESTS_TRANSLATOR_WINDOW_USE_H */
