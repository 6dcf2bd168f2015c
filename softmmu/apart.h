/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Host mappings at random places, far from each other and from everything else.
 *
 * Guest kernels reach host addresses through the window (window.h).  Whoever finds one of our large mappings
 * there must not know by that where others are, as he would from neighbours in the host's usual place.
 */
#ifndef SOFTMMU_APART_H
#define SOFTMMU_APART_H

#include <stddef.h>

/* As mmap() of `len` bytes of fd from its beginning, somewhere in the part of the address space that the window
 * leaves to us; where the host chooses when that has no room.  MAP_FAILED with errno. */
void *map_apart(size_t len, int prot, int flags, int fd);

#endif /* SOFTMMU_APART_H */
