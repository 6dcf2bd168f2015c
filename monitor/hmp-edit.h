/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line editor for one connection of the human monitor: cursor movement, history, completion.  It knows
 * no terminal, only bytes in and out; the other end is taken for a VT100, or for a program that looks
 * for the prompt.  What is typed at the end of a line is echoed as it is.
 */
#ifndef MONITOR_HMP_EDIT_H
#define MONITOR_HMP_EDIT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct HmpEdit HmpEdit;

typedef struct {
    void *arg;
    void (*write)(void *arg, const char *text, size_t len);
    /* Words (owned by the list) that could stand for the last word of `line`. */
    GPtrArray *(*complete)(void *arg, const char *line);
} HmpEditHooks;

HmpEdit *hmp_edit_new(const char *prompt, const HmpEditHooks *hooks);
void hmp_edit_free(HmpEdit *e);

/* Print the prompt and what of a line is there. */
void hmp_edit_prompt(HmpEdit *e);
/* Forget the line that is being typed. */
void hmp_edit_clear(HmpEdit *e);

/* A byte came.  When it ends a line: the line, borrowed until the next byte; the caller prints the
 * next prompt.  Else NULL. */
const char *hmp_edit_byte(HmpEdit *e, uint8_t c);

/* char*, oldest first; borrowed. */
const GPtrArray *hmp_edit_history(const HmpEdit *e);

#endif /* MONITOR_HMP_EDIT_H */
