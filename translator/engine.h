/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The translation engine: `-accel translate`. */
#ifndef TRANSLATOR_ENGINE_H
#define TRANSLATOR_ENGINE_H

#include "cpu-x86/engine.h"

extern const EngineClass translate_engine;

/* What direct execution did and holds on this CPU (`info direct`), or NULL while it is off.  Only while
 * the CPU is stopped.  Caller frees. */
char *translate_direct_report(const CpuState *cpu);

#endif /* TRANSLATOR_ENGINE_H */
