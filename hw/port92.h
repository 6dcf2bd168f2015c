/* SPDX-License-Identifier: GPL-2.0-or-later */
/* System control port 0x92: A20 gate (bit 1) and fast reset (bit 0).  The gate follows whichever
 * of port 0x92 and the keyboard controller was written last. */
#ifndef HW_PORT92_H
#define HW_PORT92_H

#include "hw/device.h"

enum { PORT92_PORT = 0x92 };

typedef struct {
    void *arg;
    void (*reset)(void *arg);             /* ask for a machine reset */
    void (*set_a20)(void *arg, bool on);
} Port92Config;

Device *port92_new(const Port92Config *cfg);
/* The keyboard controller moved the gate: show it. */
void port92_a20_changed(Device *d, bool on);

#endif /* HW_PORT92_H */
