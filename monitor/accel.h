/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changing the engine of a machine that runs: `accel-set`, `x-accel-set`, `info accel`.
 *
 * The CPUs are parked, the old engine is detached from all of them, the new one attached; the
 * CpuStates are canonical in between, so the guest notices nothing but its speed.
 */
#ifndef MONITOR_ACCEL_H
#define MONITOR_ACCEL_H

#include "monitor/machine.h"

/* Run on with the engine of that name (as -accel spells it).  False: `error`, and the machine goes
 * on under its old engine.  I/O thread, machine lock held (let go of while waiting). */
bool accel_set(Machine *m, const char *name, GError **error);

/* Attach the configured engine to all CPUs, none of which has one yet. */
bool accel_attach_all(Machine *m, GError **error);

/* What an engine of this machine takes: EngineClass.attach()'s engine_config, or NULL. */
const void *accel_config(Machine *m, const EngineClass *engine);

/* What the engines did that ran before the present one: how long, and what they counted the last time. */
void accel_describe_past(Machine *m, GString *out);
void accel_clear_past(Machine *m);

/* The engines, which one runs, and what it says about itself. */
void accel_describe(Machine *m, GString *out);

#endif /* MONITOR_ACCEL_H */
