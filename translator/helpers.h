/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rows of helpers.def: what each helper does to the guest's state and the host's.  The plan has from here which flags are live
 * before an instruction that is done by one, the compiler where they are behind it, the border whether the vector state is
 * put down first; and border-watch.c compares what helpers do with what they say.
 */
#ifndef TRANSLATOR_HELPERS_H
#define TRANSLATOR_HELPERS_H

#include <stdint.h>

enum {
    PART_GPR = 1 << 0,         /* general registers                                            */
    PART_FLAGS = 1 << 1,       /* arithmetic flags                                             */
    PART_SEGMENTS = 1 << 2,    /* segment registers, LDTR and TR, their bases, CPL             */
    PART_SYSTEM = 1 << 3,      /* control and debug registers, MSRs, GDTR and IDTR, all other bits of RFLAGS */
    PART_MEMORY = 1 << 4,      /* guest memory, but accessed and dirty bits of page tables      */
    PART_VECTORS = 1 << 5,     /* vector and x87 registers, MXCSR                              */
    PART_DEVICES = 1 << 6,     /* devices are called, by the machine lock                      */
    PART_TLB = 1 << 7,         /* flushed or switched.  Who fills it changes nothing            */
    PART_CODE = 1 << 8,        /* blocks may die, by the translator's lock                     */
    PART_ALL = (1 << 9) - 1,
};
enum { CLOBBER_HOST = 1, CLOBBER_VECTORS = 2 };
enum { WAY_RAISES = 1, WAY_JUMPS = 2, WAY_REFUSES = 4 };

/* What the border does about a Site (border.c). */
typedef enum {
#define HELPER(id, reads, writes, clobbers, ways, text) HELPER_##id,
#include "translator/helpers.def"
#undef HELPER
    HELPER_COUNT
} TransHelper;

typedef struct {
    const char *name, *text;
    uint16_t reads, writes;    /* PART_*    */
    uint8_t clobbers;          /* CLOBBER_* */
    uint8_t ways;              /* WAY_*     */
} HelperInfo;

extern const HelperInfo helper_info[HELPER_COUNT];

/* Bit h: helper h has the vector state put down before it. */
enum {
    HELPERS_WITHOUT_VECTORS = 0
#define HELPER(id, reads, writes, clobbers, ways, text) | (((clobbers) & CLOBBER_VECTORS) != 0 ? 1 << HELPER_##id : 0)
#include "translator/helpers.def"
#undef HELPER
};

#endif /* TRANSLATOR_HELPERS_H */
