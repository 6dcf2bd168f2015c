/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The translation engine: `-accel translate`. */
#ifndef TRANSLATOR_ENGINE_H
#define TRANSLATOR_ENGINE_H

#include "cpu-x86/engine.h"

extern const EngineClass translate_engine;

#endif /* TRANSLATOR_ENGINE_H */
