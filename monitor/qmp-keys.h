/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys that are pressed for the guest: down together, up again after a while of the guest's time, one
 * chord after another.
 */
#ifndef MONITOR_QMP_KEYS_H
#define MONITOR_QMP_KEYS_H

#include "monitor/machine.h"

enum { QMP_KEYS_HOLD_MS = 100, QMP_KEYS_AT_ONCE = 16 };

typedef struct QmpKeys QmpKeys;

/* For a machine with a `key` function. */
QmpKeys *qmp_keys_new(Machine *m);
void qmp_keys_free(QmpKeys *k);

/* Press n keys (hw/ps2-kbd.h's numbers) as soon as those before are released.  False: too many wait. */
bool qmp_keys_send(QmpKeys *k, const uint8_t *keys, size_t n, unsigned hold_ms);

#endif /* MONITOR_QMP_KEYS_H */
