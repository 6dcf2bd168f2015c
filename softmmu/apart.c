/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/apart.h"

#include <stdint.h>
#include <sys/mman.h>
#include <sys/random.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Above what the window may cover, below libraries and stacks. */
#define PLACES_BEGIN ((UINT64_C(1) << 47) - (UINT64_C(3) << 40) + (UINT64_C(1) << 30))
#define PLACES_END ((UINT64_C(1) << 47) - (UINT64_C(5) << 38))

enum { TRIES = 8, HUGE_SHIFT = 21 };

void *map_apart(size_t len, int prot, int flags, int fd)
{
    uint64_t room = PLACES_END - PLACES_BEGIN, random;

    for (unsigned i = 0; i < TRIES && len < room; i++) {
        if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random) {
            break;
        }
        random = (random % (room - len)) >> HUGE_SHIFT << HUGE_SHIFT;
        void *want = (void *)(uintptr_t)(PLACES_BEGIN + random);
        void *got = mmap(want, len, prot, flags | MAP_FIXED_NOREPLACE, fd, 0);
        if (got == want) {
            return got;
        }
        if (got != MAP_FAILED) {
            munmap(got, len); /* a host before Linux 4.17 */
        }
    }
    return mmap(NULL, len, prot, flags, fd, 0);
}
