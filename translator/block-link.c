/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links from block to block, within pages and between them. */
#include "translator/block-internal.h"

#include "translator/dump.h"

/* -- Links ------------------------------------------------------------------------------------ */

static gpointer page_number(uint64_t addr)
{
    return GSIZE_TO_POINTER(addr >> GUEST_PAGE_SHIFT);
}

static bool is_across_page(const BlockCache *c, const Block *b)
{
    gpointer is;

    return g_hash_table_lookup_extended(c->across_pages, page_number(b->lin), NULL, &is) &&
           is == page_number(b->offset);
}

static void note_across(BlockCache *c, Block *b, unsigned k, const Block *to)
{
    const AcrossLink link = {b, k};

    g_array_append_val(c->across, link);
    g_hash_table_insert(c->across_pages, page_number(b->lin), page_number(b->offset));
    g_hash_table_insert(c->across_pages, page_number(to->lin), page_number(to->offset));
}

void cache_link(BlockCache *c, Block *b, unsigned k, Block *to, bool may)
{
    BlockExit *x = &b->exit[k];
    bool vec = (to->vec & ~b->vec) == 0; /* whoever leaves a block has in the host what it wanted there */
    const uint8_t *entry = block_at(to, vec ? to->live_off : to->entry_off), *early = NULL;

    if (!c->config->chain || c->config->verify != 0 || dump_wants_exec() || x->rel32 == 0 ||
        b->state != BLOCK_LIVE || to->state != BLOCK_LIVE) {
        return;
    }
    if (x->cache_off != 0 && !may) {
        x->refused = true;
        block_aim(c, b, x->rel32, block_at(b, x->cache_off));
        return;
    }
    block_aim(c, b, x->rel32, entry);
    if (x->warm == 0) {
        early = entry;
    } else if (vec && to->warm_off != 0 && to->warm == x->warm) {
        early = block_at(to, to->warm_off);
    } else if (x->warm == BLOCK_WARM_USUAL) {
        early = block_at(to, to->usual_off);
    }
    block_aim_early(c, b, x, early);
    if (x->cache_off != 0 && x->to == NULL) {
        note_across(c, b, k, to);
    }
    x->to = to;
    c->n_links++;
}

/* Undo the links from or to what are no longer pages of such links. */
static void unlink_strays(BlockCache *c)
{
    for (unsigned i = c->across->len; i-- > 0;) {
        const AcrossLink *l = &g_array_index(c->across, AcrossLink, i);
        BlockExit *x = &l->b->exit[l->exit];

        if (x->to == NULL || !is_across_page(c, l->b) || !is_across_page(c, x->to)) {
            if (x->to != NULL) {
                block_unlink_exit(c, l->b, x);
            }
            g_array_remove_index_fast(c->across, i);
        }
    }
}

void cache_check_across(BlockCache *c, bool (*still)(void *arg, uint64_t lin, uint64_t offset), void *arg)
{
    GHashTableIter iter;
    gpointer lin, offset;
    bool stray = false;

    g_hash_table_iter_init(&iter, c->across_pages);
    while (g_hash_table_iter_next(&iter, &lin, &offset)) {
        if (!still(arg, GPOINTER_TO_SIZE(lin) << GUEST_PAGE_SHIFT, GPOINTER_TO_SIZE(offset) << GUEST_PAGE_SHIFT)) {
            g_hash_table_iter_remove(&iter);
            stray = true;
        }
    }
    if (stray) {
        unlink_strays(c);
    }
}

static unsigned across_bit(uint64_t lin)
{
    return (unsigned)((lin >> GUEST_PAGE_SHIFT) * UINT64_C(0x9e3779b97f4a7c15) >> 32) % ACROSS_SEEN;
}

void cache_expect_across(BlockCache *c, uint64_t lin)
{
    unsigned bit = across_bit(lin);

    __atomic_fetch_or(&c->across_seen[bit / 64], BIT64(bit % 64), __ATOMIC_SEQ_CST);
}

bool cache_expects_across(const BlockCache *c, uint64_t lin)
{
    unsigned bit = across_bit(lin);

    return (__atomic_load_n(&c->across_seen[bit / 64], __ATOMIC_RELAXED) >> (bit % 64) & 1) != 0;
}

void cache_unlink_across(BlockCache *c, uint64_t lin)
{
    if (g_hash_table_remove(c->across_pages, page_number(lin))) {
        unlink_strays(c);
    }
}
