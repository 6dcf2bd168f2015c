/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INT n as the host does it.  A processor raises #GP there for a gate that user code may not use (SDM 2A, INT n), and so does
 * the kernel of the guest; but kernels that are guests without hardware virtualisation have gates of their own, and user code
 * there comes back from some of them as if it had been a NOP.
 */
#ifndef TRANSLATOR_DIRECT_HOST_INTS_H
#define TRANSLATOR_DIRECT_HOST_INTS_H

#include <stdint.h>

enum { HOST_INTS_WORDS = 256 / 64 };

/*
 * A bit for each vector whose INT n is no signal with RIP at the instruction, as a fault's; 3, 4 and 80h, which have
 * gates for user code, are left out.  The first call tries it, in a child process, which takes a signal for each vector: milliseconds.
 */
const uint64_t *host_ints_odd(void);

#endif /* TRANSLATOR_DIRECT_HOST_INTS_H */
