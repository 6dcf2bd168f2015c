/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host CPU as the oracle of the engines: the same bytes run on both from the same state, at
 * the same addresses, and everything a program can see afterwards is compared.
 *
 * Address space of a case, on the host and in the guest alike (all user pages):
 *
 *     ORACLE_BASE + CODE    two pages for the code, otherwise filled with int3
 *                 + DATA    two writable pages between unmapped ones
 *                 + RO      one read-only page
 *
 * 64-bit code runs at these addresses; 32-bit code in a flat LDT segment; 16-bit code in segments
 * whose base is ORACLE_BASE.  A case ends with its first exception, at the latest with the int3
 * that stands behind it.
 *
 * Built with -DORACLE_WINDOW=BASE for the translator's window: the pages lie at BASE in the upper half, global and a
 * kernel's, and 64-bit code at CPL 0 is all there is; FS and GS have bases.  The oracle is the interpreter then
 * (oracle-kernel.c in place of oracle-native.c), because the host's kernel lets nobody.  With -DORACLE_PTE=4 or 8, the
 * size of a page-table entry, too, the guest is a 32-bit one and the kernel runs at CPL 1, so that exceptions go to
 * another stack; addresses with FS wrap at 4 GiB, and its limit is often no full one.
 */
#ifndef TESTS_CPU_X86_ORACLE_H
#define TESTS_CPU_X86_ORACLE_H

#include "cpu-x86/engine.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef ORACLE_WINDOW
#define ORACLE_BASE ORACLE_WINDOW
enum { ORACLE_KERNEL = 1 };
#else
#define ORACLE_BASE UINT64_C(0x10000000)
enum { ORACLE_KERNEL = 0 };
#endif
#ifdef ORACLE_PTE
enum { ORACLE_KERNEL32 = 1 };
#else
#define ORACLE_PTE 8
enum { ORACLE_KERNEL32 = 0 };
#endif
/* Where absolute addresses reach the pages the bases are small, else in the data pages. */
#define ORACLE_FS_BASE (!ORACLE_KERNEL ? 0 : ORACLE_KERNEL32 ? UINT64_C(0xf1234560) \
                        : (int64_t)ORACLE_BASE == (int32_t)ORACLE_BASE ? 0x7654 : ORACLE_BASE + ORACLE_DATA)
#define ORACLE_GS_BASE (ORACLE_KERNEL32 ? UINT64_C(0x7654) : ORACLE_FS_BASE + (ORACLE_KERNEL ? 0x420 : 0))
/* Pages of the host's, filled with ORACLE_BAIT_BYTE, at an address that the guest has not mapped: never to be had. */
#define ORACLE_BAIT UINT64_C(0x20000000)
enum { ORACLE_BAIT_LEN = 0x2000, ORACLE_BAIT_BYTE = 0x77 };

enum {
    ORACLE_CODE = 0x1000, ORACLE_CODE_LEN = 0x2000,
    ORACLE_DATA = 0x4000, ORACLE_DATA_LEN = 0x2000,
    ORACLE_RO = 0x8000, ORACLE_RO_LEN = 0x1000,
    ORACLE_START = ORACLE_CODE + 0x400, /* where cases begin, unless placed elsewhere */
};

/* Selectors: Linux's for 64-bit and flat data, the LDT's for the rest. */
enum { ORACLE_CS64 = 0x33, ORACLE_DS = 0x2b, ORACLE_CS32 = 0x07, ORACLE_CS16 = 0x0f, ORACLE_DS16 = 0x17 };

typedef enum { ORACLE_64, ORACLE_32, ORACLE_16 } OracleMode;
/* Those to be tried: from the first up to the end. */
enum { ORACLE_FIRST_MODE = ORACLE_KERNEL32 ? ORACLE_32 : ORACLE_64,
       ORACLE_MODES = ORACLE_KERNEL ? ORACLE_FIRST_MODE + 1 : ORACLE_16 + 1 };

typedef struct {
    uint64_t gpr[16];          /* encoding order                               */
    uint64_t rip;              /* offset in CS                                 */
    uint64_t rflags;
    uint64_t k[8];
    uint32_t mxcsr;
    uint8_t zmm[32][64];
    uint8_t fx[160];           /* FXSAVE64 image without the XMM registers     */
    uint8_t data[ORACLE_DATA_LEN];
} OracleState;

typedef struct {
    int vector;                /* exception that ended it; -1: it did not end  */
    uint32_t code;             /* error code                                   */
    uint64_t addr;             /* #PF: CR2                                     */
} OracleEvent;

typedef struct {
    OracleMode mode;
    uint8_t code[128];
    unsigned len;
    OracleState in;
} OracleCase;

typedef struct {
    OracleState st;
    OracleEvent ev;
} OracleResult;

/* -- The host (oracle-native.c) ------------------------------------------------------------------- */

/* Map the pages, make the LDT segments, take the signals.  NULL, or why this host cannot. `instead`: where it does not
 * run code of this mode, let the interpreter take its place. */
const char *oracle_native_init(OracleMode mode, bool instead);
bool oracle_native_has_avx512(void);
void oracle_native_run(const OracleCase *c, OracleResult *r);

/* -- An engine (oracle-interp.c) ----------------------------------------------------------------- */

typedef struct OracleGuest OracleGuest;
/* `config` is the engine's (cpu->engine_config).  An engine that is not the interpreter runs each case
 * twice: cold, its code just written and perhaps an empty TLB, and hot. */
OracleGuest *oracle_guest_new(const EngineClass *engine, const void *config);
void oracle_guest_free(OracleGuest *g);
unsigned oracle_guest_passes(const OracleGuest *g);
void oracle_guest_run(OracleGuest *g, const OracleCase *c, unsigned pass, OracleResult *r);
/* Guest instructions the engine translated so far. */
uint64_t oracle_guest_translated(const OracleGuest *g);
bool oracle_guest_has_window(const OracleGuest *g);
/* Faults so far that mapped something there. */
uint64_t oracle_guest_window_maps(const OracleGuest *g);

/* -- Cases and comparison (oracle.c) -------------------------------------------------------------- */

typedef struct {
    uint64_t s;
} OracleRandom;

uint64_t oracle_random(OracleRandom *r);

/* AMD's differ from Intel's where the manual leaves it open; cases keep away from that on them. */
static inline bool oracle_host_is_amd(void)
{
    return __builtin_cpu_is("amd") != 0;
}

static inline unsigned oracle_below(OracleRandom *r, unsigned n)
{
    return (unsigned)(oracle_random(r) % n);
}

/* A fresh state: general registers a mix of data addresses, small numbers and noise; vector and x87
 * registers of all classes of values. */
void oracle_random_state(OracleRandom *r, OracleMode mode, OracleState *st);

/* Address (offset in the segments of `mode`) of byte `off` of the data pages. */
uint64_t oracle_data_addr(OracleMode mode, unsigned off);

/* Where a case's code lies: in the middle of a page, up to a page's end with the int3 behind it, across
 * a page's end.  Once c->len is known and before the memory operand is placed. */
typedef enum { ORACLE_AT_START, ORACLE_AT_PAGE_END, ORACLE_ACROSS_PAGES, ORACLE_PLACES } OraclePlace;
void oracle_place_code(OracleCase *c, OraclePlace where);
/* Its offset from ORACLE_BASE. */
unsigned oracle_code_offset(const OracleCase *c);

/* What a comparison leaves out. */
typedef struct {
    uint64_t flags;            /* RFLAGS bits that are undefined                         */
    bool x87_on_fault;         /* x87 state after a fault (not int3)                     */
    bool addr_in_page;         /* low 12 bits of a #PF's address                         */
    bool data_on_fault;        /* memory after a fault                                   */
    bool flags_on_fault;       /* arithmetic flags after a fault: set for translated code, where those that
                                  the instruction overwrites are gone (doc/TRANSLATOR.md)            */
    bool quiet;                /* do not print                                           */
} OracleLeave;

/* Run on both and compare; prints the differences with disassembly and states. */
bool oracle_check(OracleGuest *g, OracleCase *c, OracleLeave leave, uint64_t seed);

/* "movaps xmm0, [rax]; ..." of the whole case; caller frees. */
char *oracle_disassemble(const OracleCase *c);

#endif /* TESTS_CPU_X86_ORACLE_H */
