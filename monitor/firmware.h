/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding and reading firmware images. */
#ifndef MONITOR_FIRMWARE_H
#define MONITOR_FIRMWARE_H

#include "monitor/config.h"

/* Read `name`: a path, or a file in a -L directory or where Debian's packages put firmware.  At most
 * `max` bytes.  NULL with `error`. */
GBytes *firmware_read(const MachineConfig *c, const char *name, uint64_t max, GError **error);

#endif /* MONITOR_FIRMWARE_H */
