/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The argument of an option that is a list: "pc,accel=interpret,hpet=off".
 *
 * A comma separates, ",," is a comma in a value, the first item may leave out its key (the implied
 * one), an item without "=" is a flag ("readonly" = on, "nowait" = wait=off).  Whoever understands
 * a key takes it; opt_list_finish() then refuses what nobody took, with the nearest key that was
 * asked for.  So nothing is accepted and ignored, and the list of valid keys is the code itself.
 *
 * "help" or "?" as an item asks for these keys: opt_list_finish() answers with them, and a choice whose
 * value it is with its names.  The answer is an error for which error_is_help() holds.
 */
#ifndef MONITOR_OPT_LIST_H
#define MONITOR_OPT_LIST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct OptList OptList;

/* Never NULL.  `implied` may be NULL: then a bare first item is a flag like the others. */
OptList *opt_list_parse(const char *text, const char *implied);
/* The same, or of a JSON object ("{...}": members of members become a.b, true and false on and off).
 * NULL with `error` when the JSON is bad. */
OptList *opt_list_parse_either(const char *text, const char *implied, GError **error);
void opt_list_free(OptList *l);

/* An item asks for help. */
bool opt_list_wants_help(const OptList *l);

/* The value of `key` (the last one given), or NULL; borrowed from the list. */
const char *opt_take(OptList *l, const char *key);
/* The same without taking it. */
const char *opt_peek(const OptList *l, const char *key);
/* As opt_take(), copied over *out (freeing what was there) when given. */
void opt_take_string(OptList *l, const char *key, char **out);

/* These leave *out alone when the key is absent, and fail on a bad value. */
bool opt_take_flag(OptList *l, const char *key, bool *out, GError **error);
bool opt_take_number(OptList *l, const char *key, uint64_t min, uint64_t max, uint64_t *out,
                     GError **error);
/* A size: digits with an optional fraction and b, k, M, G or T; without a suffix in `unit`s. */
bool opt_take_size(OptList *l, const char *key, uint64_t unit, uint64_t *out, GError **error);
/* One of `names` (NULL-terminated): its index. */
bool opt_take_choice(OptList *l, const char *key, const char *const *names, int *out,
                     GError **error);
/* A key that may only have the one value that is true of this program (usb=off): else refused. */
bool opt_take_only(OptList *l, const char *key, const char *value, GError **error);

/* As if key=value had been typed first, unless the key is there. */
void opt_list_default(OptList *l, const char *key, const char *value);

/* All keys taken?  Else an error that names the first left. */
bool opt_list_finish(OptList *l, GError **error);

/* Take every key that begins with `prefix` and is not taken yet into a list of its own, there without the
 * prefix; NULL when there is none. */
OptList *opt_take_group(OptList *l, const char *prefix);

/* -- Pieces ------------------------------------------------------------------------------------ */

/* "help" or "?". */
bool wants_help(const char *text);
bool parse_flag(const char *text, bool *out);
/* Whole of `text` as a number, decimal, 0x or 0 octal. */
bool parse_number(const char *text, uint64_t *out);
bool parse_size(const char *text, uint64_t unit, uint64_t *out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(OptList, opt_list_free)

#endif /* MONITOR_OPT_LIST_H */
