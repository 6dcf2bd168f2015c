/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/base/stress.h"

#include <stdlib.h>
#include <string.h>

StressInfo stress_info[STRESS_COUNT] = {
#define STRESS(id, text) [STRESS_##id] = {.name = #id, .help = text},
#include "softmmu/base/stress.def"
#undef STRESS
};

bool stress_set(const char *assignment)
{
    const char *eq = strchr(assignment, '=');
    char *end;

    if (eq == NULL) {
        return false;
    }
    for (int i = 0; i < STRESS_COUNT; i++) {
        StressInfo *s = &stress_info[i];
        if (strlen(s->name) == (size_t)(eq - assignment) &&
            memcmp(s->name, assignment, strlen(s->name)) == 0) {
            unsigned long v = strtoul(eq + 1, &end, 10);
            if (end == eq + 1 || *end != '\0') {
                return false;
            }
            s->one_in = (unsigned)v;
            return true;
        }
    }
    return false;
}
