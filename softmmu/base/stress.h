/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef SOFTMMU_BASE_STRESS_H
#define SOFTMMU_BASE_STRESS_H

#include "softmmu/base/check.h"

#include <stdbool.h>

typedef enum {
#define STRESS(id, help) STRESS_##id,
#include "softmmu/base/stress.def"
#undef STRESS
    STRESS_COUNT
} StressKnob;

typedef struct {
    const char *name, *help;
    unsigned one_in, n;
} StressInfo;

extern StressInfo stress_info[STRESS_COUNT];

/* Set a knob from "name=N".  False when the name is unknown or N is not a number. */
bool stress_set(const char *assignment);

/* Counted, not random: the same run takes the same rare paths. */
static inline bool stress_hit(StressKnob k)
{
    StressInfo *s = &stress_info[k];
    return unlikely(s->one_in != 0) && __atomic_add_fetch(&s->n, 1, __ATOMIC_RELAXED) % s->one_in == 0;
}

#endif /* SOFTMMU_BASE_STRESS_H */
