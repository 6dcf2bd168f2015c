/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPU states full of values, and the comparison of two, field by field. */
#ifndef TESTS_HWACCEL_RANDOM_STATE_H
#define TESTS_HWACCEL_RANDOM_STATE_H

#include "tests/cpu-x86/guest-cpu.h"

/* Fill in whatever may hold any value in the mode that the guest is in; `seed` names the values. */
void random_state(GuestCpu *g, unsigned seed);

/* Overwrite the same fields with something else. */
void spoil_state(GuestCpu *g);

/* The names of the fields that differ, separated by spaces; "" when none does.  Free it. */
char *compare_states(const CpuState *a, const CpuState *b, uint64_t xfeatures);

#endif /* TESTS_HWACCEL_RANDOM_STATE_H */
