/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processor extended state: what others ask of exec-xsave.c. */
#ifndef CPU_X86_XSAVE_H
#define CPU_X86_XSAVE_H

#include "cpu-x86/state.h"

/* Components (XCR0 numbering) that are not in their initial state: XINUSE, SDM vol. 1 13.6. */
uint64_t cpu_xinuse(const CpuState *cpu);

#endif /* CPU_X86_XSAVE_H */
