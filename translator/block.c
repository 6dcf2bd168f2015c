/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/block-internal.h"

#include "softmmu/apart.h"
#include "softmmu/base/present.h"
#include "translator/dump.h"
#include "translator/front.h"
#include "translator/symbols.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCK_ROOM = 16384, HASH_BITS = 19, BLOCKS_PER_REGION_MAX = 1 << 17, PRESENT_AT_ONCE = 1 << 18 /* divides HUGE_PAGE_SIZE */ };
/* Room for what is known of blocks, in sizes of their code; where it is used up first, the region is full. */
enum { NOTES_PER_CODE = 3 };

/* -- Life ------------------------------------------------------------------------------------- */

static void unmap_view(void *view, uint64_t len)
{
    if (view != MAP_FAILED) {
        munmap(view, len);
    }
}

static bool map_views(BlockCache *c, GError **error)
{
    int fd = memfd_create("translated-code", MFD_CLOEXEC);
    void *w = MAP_FAILED, *x = MAP_FAILED, *notes = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, (off_t)c->size) == 0) {
        w = map_apart(c->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd);
        x = map_apart(c->size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, fd);
        notes = mmap(NULL, NOTES_PER_CODE * c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                     -1, 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (w == MAP_FAILED || x == MAP_FAILED || notes == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "cannot map %" G_GUINT64_FORMAT " MiB for translated code: %s", c->size >> 20,
                    g_strerror(errno));
        unmap_view(w, c->size);
        unmap_view(x, c->size);
        unmap_view(notes, NOTES_PER_CODE * c->size);
        return false;
    }
    c->writable = w;
    c->exec = x;
    c->notes = notes;
    return true;
}

/* Nothing is in the region being filled. */
static void begin_region(BlockCache *c)
{
    c->body = (CachePart){.end = c->cold_at};
    c->cold = (CachePart){.used = c->cold_at, .present = c->cold_at, .end = c->region_size};
    c->notes_used = c->notes_present = 0;
}

BlockCache *cache_new(PhysMem *mem, const TransConfig *config, GError **error)
{
    BlockCache *c = g_new0(BlockCache, 1);

    c->mem = mem;
    c->config = config;
    if (config->perf_map && (c->perf_map = perf_map_open(error)) == NULL) {
        g_free(c);
        return NULL;
    }
    if (config->symbols != NULL && (c->symbols = symbols_load(config->symbols, error)) == NULL) {
        perf_map_close(c->perf_map);
        g_free(c);
        return NULL;
    }
    c->size = (uint64_t)config->code_mib << 20;
    c->n_regions = config->code_regions;
    c->region_size = c->size / c->n_regions;
    c->cold_at = config->cold_code ? c->region_size / 2 : c->region_size;
    begin_region(c);
    if (!map_views(c, error)) {
        symbols_free(c->symbols);
        perf_map_close(c->perf_map);
        g_free(c);
        return NULL;
    }
    c->gdb_jit = config->gdb_jit ? gdb_jit_new() : NULL;
    lock_init(&c->lock, LOCK_RANK_TRANSLATE);
    /* Sized once: the border reads it without the lock. */
    c->blocks = g_ptr_array_sized_new(c->n_regions * BLOCKS_PER_REGION_MAX);
    c->free_ids = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    c->by_region = g_new(GPtrArray *, c->n_regions);
    for (unsigned i = 0; i < c->n_regions; i++) {
        /* Sized once: cache_find_host() reads the array without the lock. */
        c->by_region[i] = g_ptr_array_sized_new(BLOCKS_PER_REGION_MAX);
    }
    c->hash_mask = (1u << HASH_BITS) - 1;
    c->hash = g_new0(Block *, c->hash_mask + 1);
    make_present(c->hash, (c->hash_mask + 1) * sizeof *c->hash);
    c->page = g_new0(PageBlocks *, mem->size >> GUEST_PAGE_SHIFT);
    c->dead = g_new0(PageBlocks *, mem->size >> GUEST_PAGE_SHIFT);
    c->noted = g_new0(uint64_t, (mem->size >> GUEST_PAGE_SHIFT) / 64 + 1);
    c->rewritten = g_hash_table_new(NULL, NULL);
    c->far = g_hash_table_new(NULL, NULL);
    c->hot = g_hash_table_new(NULL, NULL);
    c->across = g_array_new(FALSE, FALSE, sizeof(AcrossLink));
    c->across_pages = g_hash_table_new(NULL, NULL);
    for (unsigned h = 0; h < HABITS; h++) {
        c->habit[h] = g_new0(HabitSite, HABIT_SITES);
    }
    c->guilty = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, g_free);
    return c;
}

static void block_free(BlockCache *c, Block *b)
{
    if (c->gdb_jit != NULL) {
        gdb_jit_remove(c->gdb_jit, b->gdb_jit);
    }
}

void cache_free(BlockCache *c)
{
    if (c == NULL) {
        return;
    }
    for (unsigned i = 0; i < c->blocks->len; i++) {
        Block *b = g_ptr_array_index(c->blocks, i);
        if (b != NULL) {
            block_free(c, b);
        }
    }
    gdb_jit_free(c->gdb_jit);
    symbols_free(c->symbols);
    perf_map_close(c->perf_map);
    for (unsigned i = 0; i < c->n_regions; i++) {
        g_ptr_array_free(c->by_region[i], TRUE);
    }
    g_free(c->by_region);
    g_ptr_array_free(c->blocks, TRUE);
    g_array_free(c->free_ids, TRUE);
    g_free(c->hash);
    for (uint64_t i = 0; i < c->mem->size >> GUEST_PAGE_SHIFT; i++) {
        g_free(c->page[i]);
        g_free(c->dead[i]);
    }
    g_free(c->page);
    g_free(c->dead);
    g_free(c->noted);
    g_hash_table_destroy(c->rewritten);
    g_hash_table_destroy(c->far);
    g_hash_table_destroy(c->hot);
    g_hash_table_destroy(c->guilty);
    for (unsigned h = 0; h < HABITS; h++) {
        g_free(c->habit[h]);
    }
    munmap(c->writable, c->size);
    munmap((void *)c->exec, c->size);
    munmap(c->notes, NOTES_PER_CODE * c->size);
    lock_clear(&c->lock);
    g_free(c);
}

/* -- Look-up ---------------------------------------------------------------------------------- */

/* What of an address is in a block's key. */
static uint64_t key_lin(const BlockCache *c, uint64_t lin, uint32_t env)
{
    return front_shares(c->config, lin, env) ? UINT64_MAX : lin;
}

static uint64_t hash_of(const BlockCache *c, uint64_t offset, uint64_t lin, uint32_t env)
{
    uint64_t x = (offset ^ ((key_lin(c, lin, env) >> 12) + env) * UINT64_C(0x9e3779b97f4a7c15)) *
                 UINT64_C(0xff51afd7ed558ccd);

    return (x >> 40) & c->hash_mask;
}

static Block *find_hashed(const BlockCache *c, uint64_t offset, uint64_t lin, uint32_t env)
{
    Block *b = c->hash[hash_of(c, offset, lin, env)];

    lin = key_lin(c, lin, env);
    while (b != NULL && (b->offset != offset || b->env != env || key_lin(c, b->lin, env) != lin)) {
        b = b->hash_next;
    }
    return b;
}

Block *cache_find(BlockCache *c, uint64_t offset, uint64_t lin, uint32_t env)
{
    Block *b = find_hashed(c, offset, lin, env);

    return b != NULL && b->state == BLOCK_LIVE ? b : NULL;
}

Block *cache_find_host(BlockCache *c, const uint8_t *pc)
{
    uint64_t at = (uint64_t)(pc - c->exec);
    GPtrArray *list;
    unsigned lo = 0, hi;
    bool cold;

    if (pc < c->exec || at >= c->size) {
        return NULL;
    }
    list = c->by_region[at / c->region_size];
    cold = at % c->region_size >= c->cold_at;
    hi = __atomic_load_n(&list->len, __ATOMIC_ACQUIRE);
    while (hi - lo > 1) {
        unsigned mid = (lo + hi) / 2;
        const Block *b = list->pdata[mid];
        if ((cold ? b->cold : b->code) <= pc) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    if (hi == 0) {
        return NULL;
    }
    Block *b = list->pdata[lo];
    return block_holds(b, pc) ? b : NULL;
}

const Mark *block_mark_at(const Block *b, uint32_t host_off)
{
    unsigned lo = 0, hi = b->n_marks;

    while (hi - lo > 1) {
        unsigned mid = (lo + hi) / 2;
        if (block_marks(b)[mid].host_off <= host_off) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return &block_marks(b)[lo];
}

/* -- Adding ----------------------------------------------------------------------------------- */

/* Of memory that is filled in turn, the host brings much at once: how many bytes more from `present` on, if `end` is near. */
static uint64_t bring(uint64_t present, uint64_t end, uint64_t size)
{
    return end > present ? MIN((uint64_t)PRESENT_AT_ONCE, size - present) : 0;
}

void *cache_notes_at(const BlockCache *c, unsigned align)
{
    uint64_t used = (c->notes_used + align - 1) & ~(uint64_t)(align - 1);

    return c->notes + c->region * NOTES_PER_CODE * c->region_size + used;
}

void *cache_notes(BlockCache *c, size_t n)
{
    uint64_t size = NOTES_PER_CODE * c->region_size, at = (c->notes_used + 15) & ~UINT64_C(15);
    uint8_t *region = c->notes + c->region * size;
    uint64_t more = bring(c->notes_present, at + n, size);

    g_assert(at + n <= size);
    make_present(region + c->notes_present, more);
    c->notes_present += more;
    c->notes_used = at + n;
    return region + at;
}

Block *block_new(BlockCache *c, unsigned n_exits)
{
    size_t size = sizeof(Block) + n_exits * sizeof(BlockExit);
    size_t gap = (size_t)((uint8_t *)cache_notes_at(c, SITE_ALIGN) - (uint8_t *)cache_notes_at(c, 16));
    Block *b = (Block *)(void *)((uint8_t *)cache_notes(c, gap + size) + gap);

    memset(b, 0, size);
    b->n_exits = (uint8_t)n_exits;
    return b;
}

/* Room for a block in that part of the region being filled; NULL: there is none. */
static uint8_t *part_room(BlockCache *c, CachePart *part)
{
    uint64_t end = part->used + BLOCK_ROOM, more = bring(part->present, end, part->end);
    uint8_t *region = c->writable + c->region * c->region_size;

    if (end > part->end) {
        return NULL;
    }
    if (more > 0) {
        /* What rarely runs needs none, and to have memory that its host has not given yet costs a guest 4 ms and more for each. */
        if (part == &c->body && part->present + HUGE_PAGE_SIZE <= part->end &&
            make_present_huge(&c->mem->huge, region + part->present)) {
            more = HUGE_PAGE_SIZE;
        } else {
            make_present(region + part->present, more);
        }
        madvise(region + part->present + (c->exec - c->writable), more, MADV_POPULATE_READ);
        part->present += more;
    }
    return region + part->used;
}

bool cache_room(BlockCache *c, Emit *e)
{
    uint8_t *body, *cold = NULL;

    if (c->notes_used + NOTES_ROOM > NOTES_PER_CODE * c->region_size || c->by_region[c->region]->len >= BLOCKS_PER_REGION_MAX ||
        (body = part_room(c, &c->body)) == NULL || (c->config->cold_code && (cold = part_room(c, &c->cold)) == NULL)) {
        return false;
    }
    emit_init(e, body, cold, BLOCK_ROOM, c->exec - c->writable);
    return true;
}

uint32_t cache_take_id(BlockCache *c)
{
    uint32_t id = c->blocks->len;

    if (c->free_ids->len > 0) {
        id = g_array_index(c->free_ids, uint32_t, c->free_ids->len - 1);
        g_array_set_size(c->free_ids, c->free_ids->len - 1);
    } else {
        g_ptr_array_add(c->blocks, NULL);
    }
    return id;
}

void cache_return_id(BlockCache *c, uint32_t id)
{
    g_array_append_val(c->free_ids, id);
}

/* b is one of the blocks, live or dead, that rest on a page, of which `at` has the list. */
static void enlist_at(PageBlocks **at, const Block *b, unsigned from, unsigned to)
{
    PageBlocks *p = *at;
    unsigned room = p != NULL ? p->room : 0;

    if (p == NULL || p->n == room) {
        room = MAX(4, 2 * room);
        p = g_realloc(p, sizeof *p + room * sizeof p->entry[0]);
        p->n = *at != NULL ? p->n : 0;
        p->version = *at != NULL ? p->version : 0;
        p->room = room;
        *at = p;
    }
    p->entry[p->n++] = (PageEntry){b->id, (uint16_t)from, (uint16_t)to};
}

/* The block's one instruction goes on on another page. */
static bool is_on_two(const Block *b)
{
    return b->beyond_len != 0 && ((b->beyond ^ b->offset) & GUEST_PAGE_MASK) != 0;
}

static void enlist(PageBlocks **lists, const Block *b)
{
    PageBlocks **at = &lists[b->offset >> GUEST_PAGE_SHIFT];

    if (b->beyond_len == 0) {
        enlist_at(at, b, b->source_off, b->source_off + b->source_len);
    } else if (!is_on_two(b)) {
        enlist_at(at, b, 0, GUEST_PAGE_SIZE);
    } else {
        enlist_at(at, b, b->source_off, b->source_off + b->source_len);
        enlist_at(&lists[b->beyond >> GUEST_PAGE_SHIFT], b, 0, b->beyond_len);
    }
}

static void unhash(BlockCache *c, Block *b)
{
    Block **p = &c->hash[hash_of(c, b->offset, b->lin, b->env)];

    while (*p != b) {
        p = &(*p)->hash_next;
    }
    *p = b->hash_next;
    b->hashed = false;
}

void block_make_findable(BlockCache *c, Block *b)
{
    if (!b->hashed) {
        const PageBlocks *dead = c->dead[b->offset >> GUEST_PAGE_SHIFT];
        Block *other = dead != NULL && dead->n > 0 ? find_hashed(c, b->offset, b->lin, b->env) : NULL;
        uint64_t h = hash_of(c, b->offset, b->lin, b->env);

        if (other != NULL) { /* it is dead, and may come back another time */
            unhash(c, other);
        }
        b->hash_next = c->hash[h];
        c->hash[h] = b;
        b->hashed = true;
    }
    b->state = BLOCK_LIVE;
    enlist(c->page, b);
}

void cache_add(BlockCache *c, Block *b, const Emit *e)
{
    const uint8_t *region = c->writable + c->region * c->region_size;
    GPtrArray *list = c->by_region[c->region];

    g_assert(!e->full && list->len < BLOCKS_PER_REGION_MAX);
    b->region = (uint8_t)c->region;
    g_ptr_array_index(c->blocks, b->id) = b;
    block_make_findable(c, b);
    list->pdata[list->len] = b;
    __atomic_store_n(&list->len, list->len + 1, __ATOMIC_RELEASE);
    if (c->config->cold_code) {
        c->body.used = (uint64_t)(e->other - region);
        c->cold.used = (uint64_t)(e->cur - region);
    } else {
        c->body.used = (uint64_t)(e->cur - region);
    }
    if (c->perf_map != NULL) {
        perf_map_add(c->perf_map, b);
    }
    if (c->gdb_jit != NULL) {
        b->gdb_jit = gdb_jit_add(c->gdb_jit, b);
    }
    c->n_blocks++;
    c->n_crossings += b->beyond_len != 0;
    c->n_insns += b->n_insns;
    c->n_host_bytes += b->host_len + b->cold_len;
    c->n_cold_bytes += b->cold_len;
}

static uint8_t *writable_at(const BlockCache *c, const Block *b, uint32_t host_off)
{
    return c->writable + (block_at(b, host_off) - c->exec);
}

/* Aim b's jump with the displacement at that host offset, 4-aligned, so that other CPUs may be running through it. */
void block_aim(BlockCache *c, const Block *b, uint16_t rel32, const uint8_t *target)
{
    uint8_t *at = writable_at(c, b, rel32);

    g_assert(((uintptr_t)at & 3) == 0);
    __atomic_store_n((int32_t *)(void *)at, (int32_t)(target - (block_at(b, rel32) + 4)), __ATOMIC_RELEASE);
}

/* Replace the 5-byte nop at `place` by a jump, or a jump by the nop (target NULL): one aligned 8-byte
 * store, so that a CPU that comes in sees the old or the new instruction whole. */
static void put_jump(BlockCache *c, uint8_t *place, const uint8_t *target)
{
    static const uint8_t nop[8] = {BLOCK_NOP_BYTES};
    const uint64_t mask = UINT64_C(0xffffffffff);
    const uint8_t *after = place + BLOCK_ENTRY_NOP + (c->exec - c->writable);
    uint64_t *at = (uint64_t *)(void *)place;
    uint64_t insn = target != NULL ? 0xe9 | (uint64_t)(uint32_t)(target - after) << 8 : load_le(nop, 8);

    g_assert(((uintptr_t)place & 7) == 0);
    __atomic_store_n(at, (*at & ~mask) | (insn & mask), __ATOMIC_RELEASE);
}

/* Take the short way of an exit, with registers borrowed, to `target`; NULL: not any more. */
void block_aim_early(BlockCache *c, const Block *b, BlockExit *x, const uint8_t *target)
{
    if (x->early != 0) {
        block_aim(c, b, x->early, target != NULL ? target : block_at(b, x->early_off));
    }
}

/* -- Killing ---------------------------------------------------------------------------------- */

/* Close the door of b, or open it again. */
void block_close_entries(BlockCache *c, const Block *b, bool closed)
{
    put_jump(c, writable_at(c, b, b->door_off), closed ? block_at(b, b->door_dead_off) : NULL);
}

static unsigned place_of(const PageBlocks *p, const Block *b)
{
    unsigned i = 0;

    while (p->entry[i].id != b->id) {
        i++;
    }
    return i;
}

/* b is out of the list p, and out of the other page's where it is in two. */
static void strike_off(BlockCache *c, const Block *b, const PageBlocks *p)
{
    PageBlocks *other = c->page[b->beyond >> GUEST_PAGE_SHIFT];

    if (is_on_two(b)) {
        other = other != p ? other : c->page[b->offset >> GUEST_PAGE_SHIFT];
        other->entry[place_of(other, b)] = other->entry[other->n - 1];
        other->n--;
    }
}

/* b, which is out of the list p, dies.  It stays in the hash table. */
static void kill_block(BlockCache *c, Block *b, const PageBlocks *p)
{
    g_assert(b->state == BLOCK_LIVE);
    strike_off(c, b, p);
    b->state = BLOCK_DEAD;
    block_close_entries(c, b, true);
    c->n_dead++;
}

Block *block_of_entry(const BlockCache *c, const PageBlocks *p, unsigned i)
{
    return g_ptr_array_index(c->blocks, p->entry[i].id);
}

enum { DEAD_MAX = 256 }; /* dead blocks of a page that may come back */

/* b dies by a write: it may come back. */
static void kill_written(BlockCache *c, Block *b, const PageBlocks *p)
{
    const PageBlocks *dead = c->dead[b->offset >> GUEST_PAGE_SHIFT];

    kill_block(c, b, p);
    if (c->config->revive && b->source != NULL && (dead == NULL || dead->n < DEAD_MAX)) {
        b->may_revive = true;
        enlist(c->dead, b);
    } else {
        unhash(c, b);
    }
}

void cache_kill_page(BlockCache *c, uint64_t offset)
{
    PageBlocks *p = c->page[offset >> GUEST_PAGE_SHIFT];

    for (unsigned i = 0; p != NULL && i < p->n; i++) {
        kill_written(c, block_of_entry(c, p, i), p);
    }
    if (p != NULL) {
        p->n = 0;
    }
}

void block_kill_entry(BlockCache *c, PageBlocks *p, unsigned i, bool written)
{
    Block *b = block_of_entry(c, p, i);

    p->entry[i] = p->entry[--p->n];
    if (written) {
        kill_written(c, b, p);
    } else {
        kill_block(c, b, p);
        unhash(c, b);
    }
}

void cache_kill_block(BlockCache *c, Block *b)
{
    PageBlocks *p = c->page[b->offset >> GUEST_PAGE_SHIFT];

    block_kill_entry(c, p, place_of(p, b), false);
}

/* The block of a page's i-th entry, which is dead, stays so, or comes back (`same`). */
void block_give_up(BlockCache *c, PageBlocks *dead, unsigned i, bool same)
{
    Block *b = block_of_entry(c, dead, i);

    dead->entry[i] = dead->entry[--dead->n];
    b->may_revive = false;
    if (b->hashed && !same) {
        unhash(c, b);
    }
}

void cache_forward(BlockCache *c, Block *b, Block *to)
{
    if (b->state == BLOCK_DEAD && to->state == BLOCK_LIVE && b->offset == to->offset && b->env == to->env &&
        key_lin(c, b->lin, b->env) == key_lin(c, to->lin, to->env) && c->config->chain && c->config->verify == 0 &&
        !dump_wants_exec()) {
        put_jump(c, writable_at(c, b, b->dead_off), block_entry(to));
        if (b->warm != 0 && b->warm == to->warm && (to->vec & ~b->vec) == 0) { /* nothing need be given back */
            put_jump(c, writable_at(c, b, b->door_off), block_at(to, to->warm_off));
        }
        b->forward = to;
    }
}

void block_stop_forwarding(BlockCache *c, Block *b)
{
    if (b->state == BLOCK_DEAD) {
        block_close_entries(c, b, true);
    }
    put_jump(c, writable_at(c, b, b->dead_off), NULL);
    b->forward = NULL;
}

/* -- Regions ---------------------------------------------------------------------------------- */

void block_unlink_exit(BlockCache *c, const Block *b, BlockExit *x)
{
    block_aim_early(c, b, x, NULL);
    block_aim(c, b, x->rel32, block_at(b, x->stub_off));
    x->to = NULL;
}

void cache_kill_region(BlockCache *c, unsigned region)
{
    GPtrArray *list = c->by_region[region];

    for (unsigned i = 0; i < list->len; i++) {
        Block *b = g_ptr_array_index(list, i);
        if (b->state == BLOCK_LIVE) {
            cache_kill_block(c, b);
        }
        if (b->may_revive) {
            PageBlocks *dead = c->dead[b->offset >> GUEST_PAGE_SHIFT];
            block_give_up(c, dead, place_of(dead, b), false);
        }
    }
    for (unsigned i = 0; i < c->blocks->len; i++) {
        Block *b = g_ptr_array_index(c->blocks, i);
        for (unsigned k = 0; b != NULL && k < b->n_exits; k++) {
            if (b->exit[k].to != NULL && b->exit[k].to->region == region) {
                block_unlink_exit(c, b, &b->exit[k]);
            }
        }
        if (b != NULL && b->forward != NULL && b->forward->region == region) {
            block_stop_forwarding(c, b);
        }
    }
    for (unsigned i = c->across->len; i-- > 0;) {
        if (g_array_index(c->across, AcrossLink, i).b->region == region) {
            g_array_remove_index_fast(c->across, i);
        }
    }
}

void cache_next_region(BlockCache *c)
{
    unsigned next = (c->region + 1) % c->n_regions;
    GPtrArray *list = c->by_region[next];

    for (unsigned i = 0; i < list->len; i++) {
        Block *b = g_ptr_array_index(list, i);
        g_assert(b->state == BLOCK_DEAD && !b->hashed);
        g_ptr_array_index(c->blocks, b->id) = NULL;
        cache_return_id(c, b->id);
        block_free(c, b);
    }
    __atomic_store_n(&list->len, 0, __ATOMIC_RELEASE);
    c->region = next;
    begin_region(c);
    c->evictions++;
}
