/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages a world has mapped: found by linear address and by place in guest memory.
 *
 * A plain vector, so that all can be visited, with two chained hash tables of indexes into it.
 * Indexes change when a page is removed (the last one moves into the hole).
 */
#ifndef TRANSLATOR_DIRECT_PAGES_H
#define TRANSLATOR_DIRECT_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE_NONE UINT32_MAX

typedef struct {
    uint64_t lin;              /* page aligned                                    */
    uint32_t page;             /* memfd offset >> 12                              */
    uint8_t prot;              /* PROT_* it is mapped with                        */
    bool large;                /* part of a large page of the guest               */
    uint32_t next_lin, next_page;
} WorldPage;

typedef struct {
    WorldPage *at;
    uint32_t n, cap;
    uint32_t *by_lin, *by_page; /* cap entries each, cap a power of two           */
    uint32_t n_large;
} WorldPages;

void pages_init(WorldPages *p);
void pages_clear(WorldPages *p);   /* frees */
void pages_empty(WorldPages *p);   /* forgets all */

/* Index, or PAGE_NONE. */
uint32_t pages_find(const WorldPages *p, uint64_t lin);
/* The first page that shows memfd page `page`, and the next after index i. */
uint32_t pages_first_of(const WorldPages *p, uint32_t page);
uint32_t pages_next_of(const WorldPages *p, uint32_t i);

/* Add a page that is not there. */
void pages_add(WorldPages *p, uint64_t lin, uint32_t page, int prot, bool large);
void pages_remove(WorldPages *p, uint32_t i);

#endif /* TRANSLATOR_DIRECT_PAGES_H */
