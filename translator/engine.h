/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The translation engine: `-accel translate`. */
#ifndef TRANSLATOR_ENGINE_H
#define TRANSLATOR_ENGINE_H

#include "cpu-x86/engine.h"

extern const EngineClass translate_engine;

/* The code cache of cpu's machine in two lines ("info jit", "-d stats"): free it.  NULL: another engine
 * runs.  The CPUs are stopped. */
char *translate_report(const CpuState *cpu);


/* What direct execution did and holds on this CPU (`info direct`), or NULL while it is off.  Only while
 * the CPU is stopped.  Caller frees. */
char *translate_direct_report(const CpuState *cpu);

#endif /* TRANSLATOR_ENGINE_H */
