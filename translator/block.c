/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/block.h"

#include "softmmu/apart.h"
#include "softmmu/base/present.h"
#include "translator/dump.h"
#include "translator/front.h"
#include "translator/symbols.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCK_ROOM = 16384, HASH_BITS = 19, BLOCKS_PER_REGION_MAX = 1 << 17, PRESENT_AT_ONCE = 1 << 18 };
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

Block *cache_find(BlockCache *c, uint64_t offset, uint64_t lin, uint32_t env)
{
    Block *b = c->hash[hash_of(c, offset, lin, env)];

    lin = key_lin(c, lin, env);
    while (b != NULL && (b->offset != offset || b->env != env || key_lin(c, b->lin, env) != lin)) {
        b = b->hash_next;
    }
    return b;
}

Block *cache_find_host(BlockCache *c, const uint8_t *pc)
{
    uint64_t at = (uint64_t)(pc - c->exec);
    GPtrArray *list;
    unsigned lo = 0, hi;

    if (pc < c->exec || at >= c->size) {
        return NULL;
    }
    list = c->by_region[at / c->region_size];
    hi = __atomic_load_n(&list->len, __ATOMIC_ACQUIRE);
    while (hi - lo > 1) {
        unsigned mid = (lo + hi) / 2;
        if (((Block *)list->pdata[mid])->code <= pc) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    if (hi == 0) {
        return NULL;
    }
    Block *b = list->pdata[lo];
    return pc >= b->code && pc < b->code + b->host_len ? b : NULL;
}

const Mark *block_mark_at(const Block *b, uint32_t host_off)
{
    unsigned lo = 0, hi = b->n_marks;

    while (hi - lo > 1) {
        unsigned mid = (lo + hi) / 2;
        if (b->marks[mid].host_off <= host_off) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return &b->marks[lo];
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

bool cache_room(BlockCache *c, Emit *e)
{
    uint64_t at = (c->used + 15) & ~UINT64_C(15), more = bring(c->present, at + BLOCK_ROOM, c->region_size);
    uint8_t *region = c->writable + c->region * c->region_size;

    if (at + BLOCK_ROOM > c->region_size || c->notes_used + NOTES_ROOM > NOTES_PER_CODE * c->region_size ||
        c->by_region[c->region]->len >= BLOCKS_PER_REGION_MAX) {
        return false;
    }
    if (more > 0) {
        make_present(region + c->present, more);
        madvise(region + c->present + (c->exec - c->writable), more, MADV_POPULATE_READ);
        c->present += more;
    }
    emit_init(e, region + at, BLOCK_ROOM, c->exec - c->writable);
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

/* b is one of its page's blocks that are live, or dead. */
static void enlist(PageBlocks **lists, const Block *b)
{
    PageBlocks **at = &lists[b->offset >> GUEST_PAGE_SHIFT], *p = *at;
    unsigned room = p != NULL ? p->room : 0;

    if (p == NULL || p->n == room) {
        room = MAX(4, 2 * room);
        p = g_realloc(p, sizeof *p + room * sizeof p->entry[0]);
        p->n = *at != NULL ? p->n : 0;
        p->version = *at != NULL ? p->version : 0;
        p->room = room;
        *at = p;
    }
    p->entry[p->n++] = (PageEntry){b->id, b->source_off, (uint16_t)(b->source_off + b->source_len)};
}

static void make_findable(BlockCache *c, Block *b)
{
    uint64_t h = hash_of(c, b->offset, b->lin, b->env);

    b->state = BLOCK_LIVE;
    b->hash_next = c->hash[h];
    c->hash[h] = b;
    enlist(c->page, b);
}

void cache_add(BlockCache *c, Block *b, const Emit *e)
{
    GPtrArray *list = c->by_region[c->region];

    g_assert(!e->full && list->len < BLOCKS_PER_REGION_MAX);
    b->region = (uint8_t)c->region;
    g_ptr_array_index(c->blocks, b->id) = b;
    make_findable(c, b);
    list->pdata[list->len] = b;
    __atomic_store_n(&list->len, list->len + 1, __ATOMIC_RELEASE);
    c->used = (uint64_t)(e->cur - c->writable) - c->region * c->region_size;
    if (c->perf_map != NULL) {
        perf_map_add(c->perf_map, b);
    }
    if (c->gdb_jit != NULL) {
        b->gdb_jit = gdb_jit_add(c->gdb_jit, b);
    }
    c->n_blocks++;
    c->n_insns += b->n_insns;
    c->n_host_bytes += b->host_len;
}

/* Aim a jump: its displacement is 4-aligned, so other CPUs may be running through it. */
static void aim(BlockCache *c, uint8_t *rel32, const uint8_t *target)
{
    const uint8_t *after = rel32 + 4 + (c->exec - c->writable);

    g_assert(((uintptr_t)rel32 & 3) == 0);
    __atomic_store_n((int32_t *)(void *)rel32, (int32_t)(target - after), __ATOMIC_RELEASE);
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
static void aim_early(BlockCache *c, const Block *b, BlockExit *x, const uint8_t *target)
{
    if (x->jcc != NULL) {
        aim(c, x->jcc, target != NULL ? target : b->code + x->early_off);
    } else if (x->early != NULL) {
        put_jump(c, x->early, target);
    }
}

/* -- Killing ---------------------------------------------------------------------------------- */

static void unhash(BlockCache *c, Block *b)
{
    Block **p = &c->hash[hash_of(c, b->offset, b->lin, b->env)];

    while (*p != b) {
        p = &(*p)->hash_next;
    }
    *p = b->hash_next;
}

/* Close the entries of b, or open them again. */
static void close_entries(BlockCache *c, const Block *b, bool closed)
{
    put_jump(c, b->writable, closed ? b->code + b->dead_off : NULL);
    if (b->live_off != 0) {
        put_jump(c, b->writable + b->live_off, closed ? b->code + b->dead_off : NULL);
    }
    if (b->warm_off != 0) {
        put_jump(c, b->writable + b->warm_off, closed ? b->code + b->warm_dead_off : NULL);
    }
}

static void kill_block(BlockCache *c, Block *b)
{
    g_assert(b->state == BLOCK_LIVE);
    b->state = BLOCK_DEAD;
    unhash(c, b);
    close_entries(c, b, true);
    c->n_dead++;
}

static Block *block_of(const BlockCache *c, const PageBlocks *p, unsigned i)
{
    return g_ptr_array_index(c->blocks, p->entry[i].id);
}

enum { DEAD_MAX = 256 }; /* dead blocks of a page that may come back */

/* b, which just died by a write, may come back. */
static void bury(BlockCache *c, Block *b)
{
    const PageBlocks *dead = c->dead[b->offset >> GUEST_PAGE_SHIFT];

    if (c->config->revive && b->source != NULL && (dead == NULL || dead->n < DEAD_MAX)) {
        b->may_revive = true;
        enlist(c->dead, b);
    }
}

void cache_kill_page(BlockCache *c, uint64_t offset)
{
    PageBlocks *p = c->page[offset >> GUEST_PAGE_SHIFT];

    for (unsigned i = 0; p != NULL && i < p->n; i++) {
        Block *b = block_of(c, p, i);
        kill_block(c, b);
        bury(c, b);
    }
    if (p != NULL) {
        p->n = 0;
    }
}

static void kill_entry(BlockCache *c, PageBlocks *p, unsigned i)
{
    kill_block(c, block_of(c, p, i));
    p->entry[i] = p->entry[--p->n];
}

static unsigned place_of(const PageBlocks *p, const Block *b)
{
    unsigned i = 0;

    while (p->entry[i].id != b->id) {
        i++;
    }
    return i;
}

void cache_kill_block(BlockCache *c, Block *b)
{
    PageBlocks *p = c->page[b->offset >> GUEST_PAGE_SHIFT];

    kill_entry(c, p, place_of(p, b));
}

/* b, which is dead, stays so. */
static void give_up(BlockCache *c, Block *b)
{
    PageBlocks *dead = c->dead[b->offset >> GUEST_PAGE_SHIFT];

    dead->entry[place_of(dead, b)] = dead->entry[dead->n - 1];
    dead->n--;
    b->may_revive = false;
}

void cache_forward(BlockCache *c, Block *b, Block *to)
{
    if (b->state == BLOCK_DEAD && to->state == BLOCK_LIVE && b->offset == to->offset && b->env == to->env &&
        key_lin(c, b->lin, b->env) == key_lin(c, to->lin, to->env) && c->config->chain && c->config->verify == 0 &&
        !dump_wants_exec()) {
        put_jump(c, b->writable + b->dead_off, to->code);
        b->forward = to;
    }
}

static void stop_forwarding(BlockCache *c, Block *b)
{
    put_jump(c, b->writable + b->dead_off, NULL);
    b->forward = NULL;
}

/* -- Counts of instructions ------------------------------------------------------------------- */

enum { COUNTED_MAX = 1 << 16 };

static unsigned count_at(GHashTable *counts, uint64_t at)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(counts, GSIZE_TO_POINTER(at)));
}

/* All are forgotten when they are too many. */
static unsigned count_up(GHashTable *counts, uint64_t at)
{
    unsigned n = count_at(counts, at) + 1;

    if (g_hash_table_size(counts) >= COUNTED_MAX) {
        g_hash_table_remove_all(counts);
    }
    g_hash_table_insert(counts, GSIZE_TO_POINTER(at), GUINT_TO_POINTER(n));
    return n;
}

enum { FAR_OFTEN = 4 };

void cache_note_far(BlockCache *c, Block *b, unsigned insn)
{
    if (count_up(c->far, b->offset + b->insns[insn].guest_off) >= FAR_OFTEN && b->state == BLOCK_LIVE) {
        cache_kill_block(c, b);
    }
}

bool cache_is_far(const BlockCache *c, uint64_t at)
{
    return count_at(c->far, at) >= FAR_OFTEN;
}

/* -- Hot pages -------------------------------------------------------------------------------- */

bool cache_is_hot(const BlockCache *c, uint64_t at)
{
    return c->config->hot_samples == 0 || count_at(c->hot, at >> GUEST_PAGE_SHIFT) != 0;
}

void cache_heat_page(BlockCache *c, uint64_t at)
{
    PageBlocks *p = c->page[at >> GUEST_PAGE_SHIFT];

    if (!cache_is_hot(c, at)) {
        count_up(c->hot, at >> GUEST_PAGE_SHIFT);
        while (p != NULL && p->n > 0) {
            kill_entry(c, p, p->n - 1);
        }
    }
}

/* -- Written bytes ---------------------------------------------------------------------------- */

/* Rewritten so often, an immediate becomes soft. */
enum { REWRITTEN_OFTEN = 2 };

bool cache_is_rewritten(const BlockCache *c, uint64_t at)
{
    return count_at(c->rewritten, at) >= REWRITTEN_OFTEN;
}

/* The instruction of which byte number `at` of b's guest code is one of the immediate, or NULL. */
static const BlockInsn *insn_with_immediate(const Block *b, int at)
{
    for (unsigned i = 0; i < b->n_insns; i++) {
        const BlockInsn *in = &b->insns[i];
        int imm = in->guest_off + in->imm_off;

        if (at >= imm && at < imm + in->imm_len) {
            return in;
        }
    }
    return NULL;
}

/* Byte number `at` of b's guest code has changed: when it is one of an immediate, that is counted. */
static void count_change(BlockCache *c, const Block *b, int at)
{
    const BlockInsn *in = insn_with_immediate(b, at);

    if (in != NULL) {
        count_up(c->rewritten, b->offset + in->guest_off);
    }
}

/* Bytes [from, to) of b's page were written, some of which it rests on.  Is it what they say? */
static bool is_still_true(BlockCache *c, const Block *b, unsigned from, unsigned to, CodeEffect *effect)
{
    const uint8_t *now = c->mem->base + (b->offset & GUEST_PAGE_MASK);
    unsigned first = MAX(from, b->source_off), end = MIN(to, (unsigned)b->source_off + b->source_len);
    int code = (int)(b->offset & GUEST_PAGE_OFFSET_MASK);

    *effect = MAX(*effect, CODE_SAME);
    for (unsigned i = first; i < end; i++) {
        unsigned at = i - b->source_off;
        bool soft = b->soft != NULL && b->soft[at] != 0;

        *effect = soft ? CODE_CHANGED : *effect;
        if (b->source == NULL || (!soft && now[i] != b->source[at])) {
            *effect = CODE_CHANGED;
            count_change(c, b, (int)i - code);
            return false;
        }
    }
    return true;
}

CodeEffect cache_bytes_written(BlockCache *c, uint64_t offset, uint64_t len)
{
    PageBlocks *p = c->page[offset >> GUEST_PAGE_SHIFT];
    unsigned from = (unsigned)(offset & GUEST_PAGE_OFFSET_MASK), to = from + (unsigned)len;
    CodeEffect effect = CODE_NOT_TOUCHED;

    for (unsigned i = p != NULL ? p->n : 0; i-- > 0;) {
        if (p->entry[i].from < to && p->entry[i].to > from) {
            Block *b = block_of(c, p, i);
            if (is_still_true(c, b, from, to, &effect)) {
                c->n_kept++;
            } else {
                kill_entry(c, p, i);
                bury(c, b);
            }
        }
    }
    return effect;
}

/* Are the bytes that b rests on what they were?  Where only immediates are not, that is counted. */
static bool is_as_it_was(BlockCache *c, const Block *b)
{
    const uint8_t *now = c->mem->base + (b->offset & GUEST_PAGE_MASK) + b->source_off;
    int code = (int)(b->offset & GUEST_PAGE_OFFSET_MASK) - b->source_off;
    unsigned changed = 0;

    if (memcmp(now, b->source, b->source_len) == 0) {
        return true;
    }
    for (int i = 0; i < b->source_len; i++) {
        if (now[i] != b->source[i] && (b->soft == NULL || b->soft[i] == 0)) {
            if (insn_with_immediate(b, i - code) == NULL) {
                return false;
            }
            changed++;
        }
    }
    for (int i = 0; changed > 0 && i < b->source_len; i++) {
        if (now[i] != b->source[i] && (b->soft == NULL || b->soft[i] == 0)) {
            count_change(c, b, i - code);
        }
    }
    return changed == 0;
}

static void revive(BlockCache *c, Block *b)
{
    if (b->forward != NULL) {
        stop_forwarding(c, b);
    }
    make_findable(c, b);
    close_entries(c, b, false);
    c->n_dead--;
    c->n_revived++;
}

enum { STRIKES_MAX = 4 };

bool cache_revive_page(BlockCache *c, uint64_t offset, uint32_t version)
{
    PageBlocks *dead = c->dead[offset >> GUEST_PAGE_SHIFT];
    uint64_t before = c->n_revived;

    if (dead == NULL || dead->n == 0 || dead->version == version) {
        return false;
    }
    dead->version = version;
    for (unsigned i = dead->n; i-- > 0;) { /* the last first */
        Block *b = block_of(c, dead, i);
        bool other = cache_find(c, b->offset, b->lin, b->env) != NULL, same = !other && is_as_it_was(c, b);

        if (same || other || ++b->strikes >= STRIKES_MAX) {
            give_up(c, b);
        }
        if (same) {
            revive(c, b);
        }
    }
    return c->n_revived != before;
}

/* -- Guilt ------------------------------------------------------------------------------------ */

/* The guilt of the instruction at memfd offset `at`, or NULL.  It is the instruction's: when other bytes are there now, that
 * is another one, and it is innocent. */
static Guilt *find_guilt(BlockCache *c, uint64_t at)
{
    Guilt *g = g_hash_table_lookup(c->guilty, GSIZE_TO_POINTER(at));

    if (g != NULL && memcmp(g->bytes, c->mem->base + at, g->len) != 0) {
        g_hash_table_remove(c->guilty, GSIZE_TO_POINTER(at));
        c->n_replaced++;
        return NULL;
    }
    return g;
}

static Guilt *guilt_of(BlockCache *c, const Block *b, unsigned insn)
{
    uint64_t at = b->offset + b->insns[insn].guest_off;
    Guilt *g = find_guilt(c, at);

    if (g == NULL) {
        g = g_new0(Guilt, 1);
        g->lin = b->lin + b->insns[insn].guest_off;
        g->len = MIN(b->insns[insn].guest_len, sizeof g->bytes);
        memcpy(g->bytes, c->mem->base + at, g->len);
        g_hash_table_insert(c->guilty, GSIZE_TO_POINTER(at), g);
    }
    return g;
}

void cache_accuse(BlockCache *c, Block *b, unsigned insn, unsigned weight, uint64_t region)
{
    Guilt *g = guilt_of(c, b, insn);

    g->faults++;
    g->weight += weight;
    g->region = region;
    if (g->weight >= c->config->window_faults && b->state == BLOCK_LIVE) {
        g->convictions += region == 0;
        c->n_convictions += region == 0;
        c->n_restless += region != 0;
        cache_kill_block(c, b);
    }
}

bool cache_is_guilty(BlockCache *c, uint64_t at)
{
    const Guilt *g = find_guilt(c, at);

    return g != NULL && g->weight >= c->config->window_faults;
}

/* -- Habits ------------------------------------------------------------------------------------ */

static HabitSite *habit_site(const BlockCache *c, Habit h, uint64_t at)
{
    return &c->habit[h][(at ^ at >> 12 ^ at >> 24) % HABIT_SITES];
}

void cache_note_habit(BlockCache *c, Habit h, Block *b, unsigned insn)
{
    const unsigned often[HABITS] = {[HABIT_CALL] = c->config->call_misses, [HABIT_TOUCH] = c->config->window_touch,
                                    [HABIT_DIVIDE] = c->config->divide_faults};
    uint64_t at = b->offset + b->insns[insn].guest_off;
    HabitSite *s = habit_site(c, h, at);

    if (s->at != at) {
        *s = (HabitSite){.at = at};
    }
    if (s->is || s->turns >= c->config->habit_turns || ++s->times < often[h] || b->state != BLOCK_LIVE) {
        return;
    }
    s->is = true;
    s->turns++;
    c->n_habits[h]++;
    cache_kill_block(c, b);
}

void cache_drop_habit(BlockCache *c, Habit h, Block *b, unsigned insn)
{
    uint64_t at = b->offset + b->insns[insn].guest_off;
    HabitSite *s = habit_site(c, h, at);

    if (s->at == at) {
        s->is = false;
        s->times = 0;
    }
    if (b->state == BLOCK_LIVE) {
        c->n_dropped[h]++;
        cache_kill_block(c, b);
    }
}

bool cache_has_habit(const BlockCache *c, Habit h, uint64_t at)
{
    const HabitSite *s = habit_site(c, h, at);

    return s->at == at && s->is;
}

/* Blocks with the instruction at memfd offset `at` die. */
static void kill_blocks_with(BlockCache *c, uint64_t at)
{
    PageBlocks *p = c->page[at >> GUEST_PAGE_SHIFT];

    for (unsigned i = p != NULL ? p->n : 0; i-- > 0;) {
        const Block *b = block_of(c, p, i);
        if (at - b->offset < b->guest_len) {
            kill_entry(c, p, i);
        }
    }
}

void cache_forgive(BlockCache *c)
{
    GHashTableIter it;
    gpointer at, value;

    g_hash_table_iter_init(&it, c->guilty);
    while (g_hash_table_iter_next(&it, &at, &value)) {
        Guilt *g = value;
        bool may = g->region == 0 && g->convictions <= c->config->window_pardons;
        if (may && g->weight >= c->config->window_faults) {
            c->n_pardons++;
            kill_blocks_with(c, GPOINTER_TO_SIZE(at));
        }
        if (may) {
            g->weight = 0;
        }
    }
}

void cache_forgive_regions(BlockCache *c, bool (*is_banned)(void *arg, uint64_t region), void *arg)
{
    GHashTableIter it;
    gpointer at, value;

    g_hash_table_iter_init(&it, c->guilty);
    while (g_hash_table_iter_next(&it, &at, &value)) {
        Guilt *g = value;
        if (g->region != 0 && !is_banned(arg, g->region)) {
            g->region = g->weight = 0;
            c->n_settled++;
            kill_blocks_with(c, GPOINTER_TO_SIZE(at));
        }
    }
}

static void unlink_exit(BlockCache *c, const Block *b, BlockExit *x)
{
    aim_early(c, b, x, NULL);
    aim(c, x->rel32, b->code + x->stub_off);
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
            give_up(c, b);
        }
    }
    for (unsigned i = 0; i < c->blocks->len; i++) {
        Block *b = g_ptr_array_index(c->blocks, i);
        for (unsigned k = 0; b != NULL && k < b->n_exits; k++) {
            if (b->exit[k].to != NULL && b->exit[k].to->region == region) {
                unlink_exit(c, b, &b->exit[k]);
            }
        }
        if (b != NULL && b->forward != NULL && b->forward->region == region) {
            stop_forwarding(c, b);
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
        g_assert(b->state == BLOCK_DEAD);
        g_ptr_array_index(c->blocks, b->id) = NULL;
        cache_return_id(c, b->id);
        block_free(c, b);
    }
    __atomic_store_n(&list->len, 0, __ATOMIC_RELEASE);
    c->region = next;
    c->used = c->present = c->notes_used = c->notes_present = 0;
    c->evictions++;
}

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
    const uint8_t *entry = to->code + (vec ? to->live_off : 0);

    if (!c->config->chain || c->config->verify != 0 || dump_wants_exec() || x->rel32 == NULL ||
        b->state != BLOCK_LIVE || to->state != BLOCK_LIVE) {
        return;
    }
    if (x->cache_off != 0 && !may) {
        x->refused = true;
        aim(c, x->rel32, b->code + x->cache_off);
        return;
    }
    aim(c, x->rel32, entry);
    if (vec && to->warm_off != 0 && to->warm == x->warm) {
        aim_early(c, b, x, to->code + to->warm_off);
    } else {
        aim_early(c, b, x, x->warm == 0 ? entry : NULL);
    }
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
                unlink_exit(c, l->b, x);
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
