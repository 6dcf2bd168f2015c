/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process's controlling terminal in raw mode.  There is one terminal and one process, so this
 * state is the process's, not a machine's: the way back must be known to exit handlers and to
 * handlers of fatal signals, which get no argument.
 */
#ifndef HW_TERMINAL_H
#define HW_TERMINAL_H

#include <stdbool.h>

/* Make standard input raw (nothing when it is no terminal); from now on every kind of exit, fatal
 * signals included, restores it.  signals: Ctrl-C and Ctrl-\ stay the terminal's. */
void terminal_make_raw(bool signals);
/* Raw again after the shell has had it (SIGCONT). */
void terminal_resume(void);
/* As it was.  Idempotent, async-signal-safe. */
void terminal_restore(void);

#endif /* HW_TERMINAL_H */
