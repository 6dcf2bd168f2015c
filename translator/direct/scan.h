/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which code may not run as itself: instructions that silently show the host instead of the guest.
 *
 * Their bytes are looked for at every offset, and a find counts if decoding from before it arrives there.
 * So honest programs are not fooled; a program that jumps into the middle of an instruction to see
 * the host's CPUID sees it, and harms nobody.  A false alarm only sends the page to the translator.
 * 32-bit code is decoded from one instruction to the next, since what matters there are single bytes.
 */
#ifndef TRANSLATOR_DIRECT_SCAN_H
#define TRANSLATOR_DIRECT_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What depends on guest and host. */
typedef struct {
    bool code32;               /* it is 32-bit code: what reads selectors, SYSCALL, too */
    bool deny_fsgsbase;        /* the guest has CR4.FSGSBASE clear, or the host    */
    bool deny_fs_loads;        /* ... whose bases the host sets only by system calls   */
    bool allow_rdtsc;          /* RDTSC says what the guest's would                */
    bool deny_pkru;            /* the host has protection keys switched on         */
    bool deny_xsave;           /* the guest's XCR0 is not the host's               */
    bool break_cpuid;          /* breakpoints can stop at CPUID (breaks.h)         */
    const uint64_t *deny_ints; /* a bit for each INT n that is not to be executed (NULL: none)  */
} ScanRules;

/* What there is; 0: nothing that matters. */
enum {
    SCAN_DENIED = 1,           /* may not be executed                              */
    SCAN_TSC = 2,              /* ... only where RDTSC and RDTSCP fault, but see allow_rdtsc */
    SCAN_CPUID = 4,            /* ... only with a breakpoint at each of scan_cpuids(), with break_cpuid */
};

/* Look at a page of code.  `before`, if not NULL, is behind SCAN_TAIL bytes that lie before it; they
 * say where instructions begin.  What begins in the last two bytes is the business of scan_border(). */
enum { SCAN_PAGE = 4096, SCAN_TAIL = 208, SCAN_HEAD = 16 };
unsigned scan_page(const uint8_t *page, const uint8_t *before, ScanRules rules);

/* The same for what begins before a border between pages and ends behind it: SCAN_TAIL bytes before
 * `before` and SCAN_HEAD from `behind` are read.  A CPUID is denied there, and within some bytes of the border. */
unsigned scan_border(const uint8_t *before, const uint8_t *behind, ScanRules rules);

/* Where in the page CPUID's bytes are, be it an instruction or not: how many, of which `max` at most are told. */
unsigned scan_cpuids(const uint8_t *page, uint16_t *at, unsigned max);

#endif /* TRANSLATOR_DIRECT_SCAN_H */
