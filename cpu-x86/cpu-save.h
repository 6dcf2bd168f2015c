/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What of a CpuState is saved: its architectural part, with the TSC's value instead of its offset.  It is canonical,
 * parked, and cpu_tsc() stands still (CpuState.tsc_now).  To be loaded the CPU must have the same model.
 */
#ifndef CPU_X86_CPU_SAVE_H
#define CPU_X86_CPU_SAVE_H

#include "softmmu/base/fields.h"

extern const FieldTable cpu_state_fields;

#endif /* CPU_X86_CPU_SAVE_H */
