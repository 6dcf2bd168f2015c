/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/pages.h"

#include <glib.h>
#include <string.h>

enum { CAP_MIN = 256 };

static uint32_t *lin_head(const WorldPages *p, uint64_t lin)
{
    uint64_t h = (lin >> 12) * UINT64_C(0x9e3779b97f4a7c15);

    return &p->by_lin[(h >> 32) & (p->cap - 1)];
}

static uint32_t *page_head(const WorldPages *p, uint32_t page)
{
    return &p->by_page[(page * 0x9e3779b1u >> 8) & (p->cap - 1)];
}

static void make_tables(WorldPages *p, uint32_t cap)
{
    p->cap = cap;
    p->at = g_renew(WorldPage, p->at, cap);
    p->by_lin = g_renew(uint32_t, p->by_lin, cap);
    p->by_page = g_renew(uint32_t, p->by_page, cap);
    memset(p->by_lin, 0xff, cap * sizeof *p->by_lin);
    memset(p->by_page, 0xff, cap * sizeof *p->by_page);
}

void pages_init(WorldPages *p)
{
    *p = (WorldPages){0};
    make_tables(p, CAP_MIN);
}

void pages_clear(WorldPages *p)
{
    g_free(p->at);
    g_free(p->by_lin);
    g_free(p->by_page);
    *p = (WorldPages){0};
}

void pages_empty(WorldPages *p)
{
    p->n = p->n_large = 0;
    make_tables(p, p->cap);
}

static void link_page(WorldPages *p, uint32_t i)
{
    WorldPage *w = &p->at[i];
    uint32_t *lin = lin_head(p, w->lin), *page = page_head(p, w->page);

    w->next_lin = *lin;
    *lin = i;
    w->next_page = *page;
    *page = i;
}

static void unlink_page(WorldPages *p, uint32_t i)
{
    WorldPage *w = &p->at[i];
    uint32_t *at = lin_head(p, w->lin);

    while (*at != i) {
        at = &p->at[*at].next_lin;
    }
    *at = w->next_lin;
    at = page_head(p, w->page);
    while (*at != i) {
        at = &p->at[*at].next_page;
    }
    *at = w->next_page;
}

uint32_t pages_find(const WorldPages *p, uint64_t lin)
{
    uint32_t i = *lin_head(p, lin);

    while (i != PAGE_NONE && p->at[i].lin != lin) {
        i = p->at[i].next_lin;
    }
    return i;
}

static uint32_t skip_others(const WorldPages *p, uint32_t i, uint32_t page)
{
    while (i != PAGE_NONE && p->at[i].page != page) {
        i = p->at[i].next_page;
    }
    return i;
}

uint32_t pages_first_of(const WorldPages *p, uint32_t page)
{
    return skip_others(p, *page_head(p, page), page);
}

uint32_t pages_next_of(const WorldPages *p, uint32_t i)
{
    return skip_others(p, p->at[i].next_page, p->at[i].page);
}

void pages_add(WorldPages *p, uint64_t lin, uint32_t page, int prot, bool large)
{
    if (p->n == p->cap) {
        make_tables(p, p->cap * 2);
        for (uint32_t i = 0; i < p->n; i++) {
            link_page(p, i);
        }
    }
    p->at[p->n] = (WorldPage){.lin = lin, .page = page, .prot = (uint8_t)prot, .large = large};
    link_page(p, p->n++);
    p->n_large += large;
}

void pages_remove(WorldPages *p, uint32_t i)
{
    uint32_t last = p->n - 1;

    p->n_large -= p->at[i].large;
    unlink_page(p, i);
    if (i != last) {
        unlink_page(p, last);
        p->at[i] = p->at[last];
        link_page(p, i);
    }
    p->n--;
}
