/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest kernel's symbols: a System.map, lines of "ADDRESS TYPE NAME" (nm's), to name instructions for people.
 *
 * Immutable once loaded: any thread may look up.
 */
#ifndef TRANSLATOR_SYMBOLS_H
#define TRANSLATOR_SYMBOLS_H

#include <glib.h>
#include <stdint.h>

typedef struct Symbols Symbols;

/* NULL with `error`, one line, when the file cannot be read, is no such table, has no symbol or more than
 * SYMBOLS_BYTES_MAX bytes. */
enum { SYMBOLS_BYTES_MAX = 64 << 20 };
Symbols *symbols_load(const char *path, GError **error);
void symbols_free(Symbols *s);

/* The kernel is at another place than it was linked for (KASLR): what is to be added to the table's addresses, by where
 * `entry`, the address that the CPU has for system calls, is one of `names` (ended by NULL).  0: it is none of them. */
uint64_t symbols_shift(const Symbols *s, uint64_t entry, const char *const *names);

/* "NAME+0x12" for an address of the table's, or NULL where no symbol is below it, or none within 1 MiB; to be freed. */
char *symbols_name(const Symbols *s, uint64_t address);

#endif /* TRANSLATOR_SYMBOLS_H */
