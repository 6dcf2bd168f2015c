/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPU states full of values, and the comparison of two, field by field. */
#ifndef TESTS_HWACCEL_RANDOM_STATE_H
#define TESTS_HWACCEL_RANDOM_STATE_H

#include "tests/cpu-x86/guest-cpu.h"

/* Fill in whatever may hold any value in the mode that the guest is in; `seed` names the values. */
void random_state(GuestCpu *g, unsigned seed);

/* Overwrite the same fields with something else. */
void spoil_state(GuestCpu *g);

/*
 * The fields that KVM can hold, one by one, each with another value that a CPU may have there instead of the present one.
 * `off` and `size` are those of the CpuState; `msr` is a number of kvm-msrs.def, or 0.
 */
typedef struct {
    char name[48];
    size_t off, size;
    uint64_t other;
    uint32_t msr;
} StateField;

/* The i-th of what this guest has, of the XSAVE components `xfeatures`; false: there are no more. */
bool state_field(const GuestCpu *g, uint64_t xfeatures, unsigned i, StateField *out);
uint64_t state_field_get(const CpuState *cpu, const StateField *f);
void state_field_set(CpuState *cpu, const StateField *f, uint64_t val);

/* The names of the fields that differ, separated by spaces; "" when none does.  Free it. */
char *compare_states(const CpuState *a, const CpuState *b, uint64_t xfeatures);

#endif /* TESTS_HWACCEL_RANDOM_STATE_H */
