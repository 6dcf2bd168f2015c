/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa-debug-exit: a write of v ends the process with status (v << 1) | 1.
 *
 * `exit` is called before the writing instruction ends: the machine must not run the guest on.
 */
#ifndef HW_DEBUG_EXIT_H
#define HW_DEBUG_EXIT_H

#include "hw/device.h"

enum { DEBUG_EXIT_PORT = 0x501, DEBUG_EXIT_LEN = 2, DEBUG_EXIT_MAX_LEN = 8 };

/* `len` ports (iosize=), 1..DEBUG_EXIT_MAX_LEN.  The code is not yet cut to 8 bits. */
Device *debug_exit_new(unsigned len, void (*exit)(void *arg, int code), void *arg);

#endif /* HW_DEBUG_EXIT_H */
