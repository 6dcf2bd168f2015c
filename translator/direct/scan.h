/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which code may not run as itself: bytes that might be an instruction which silently shows the host
 * instead of the guest.  Looked for at every offset, aligned to an instruction or not, so that no jump
 * into the middle finds one; a false alarm only sends the page to the translator.
 */
#ifndef TRANSLATOR_DIRECT_SCAN_H
#define TRANSLATOR_DIRECT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What depends on guest and host. */
typedef struct {
    bool deny_fsgsbase;        /* the guest has CR4.FSGSBASE clear                 */
    bool deny_pkru;            /* the host has protection keys switched on         */
    bool compat;               /* 32-bit code: segment loads and far transfers too */
} ScanRules;

/* May the `len` bytes be executed?  Instructions that begin in the last bytes and go on behind them
 * are the business of scan_border(). */
bool scan_code(const uint8_t *code, size_t len, ScanRules rules);

/* The same for what begins before a border and ends behind it: `tail` are the SCAN_TAIL bytes before,
 * `head` the SCAN_HEAD bytes behind. */
enum { SCAN_TAIL = 6, SCAN_HEAD = 6 };
bool scan_border(const uint8_t tail[SCAN_TAIL], const uint8_t head[SCAN_HEAD], ScanRules rules);

#endif /* TRANSLATOR_DIRECT_SCAN_H */
