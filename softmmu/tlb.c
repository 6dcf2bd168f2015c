/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/tlb.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/check.h"
#include "softmmu/base/log.h"
#include "softmmu/base/stress.h"

#include <inttypes.h>

/* -- Tables ----------------------------------------------------------------------------------- */

static void table_empty(TlbTable *tt)
{
    for (uint64_t i = 0; i < tt->len; i++) {
        TlbEntry *e = &tt->entry[i];
        e->load = e->fetch = TLB_TAG_NONE;
        __atomic_store_n(&e->store, TLB_TAG_NONE, __ATOMIC_RELAXED);
        tt->side[i].tag = TLB_TAG_NONE;
    }
    tt->fills = tt->evictions = 0;
}

/* Distance of two places: those of TLB_KERNEL are one, for its entries are of all spaces. */
static uint64_t place_len(const TlbTable *tt, TlbClass c)
{
    return c == TLB_KERNEL ? 0 : (tt->index_mask + 1) / TLB_PLACES;
}

static void table_make(TlbTable *tt, TlbClass c, unsigned bits)
{
    tt->index_mask = BIT64(bits) - 1;
    tt->len = BIT64(bits) + (TLB_PLACES - 1) * place_len(tt, c);
    tt->first = 0;
    tt->entry = g_new(TlbEntry, tt->len);
    tt->side = g_new0(TlbSide, tt->len);
    table_empty(tt);
}

static void find_places(Tlb *t)
{
    for (int c = 0; c < TLB_CLASS_COUNT; c++) {
        t->table[c].first = t->pcid % TLB_PLACES * place_len(&t->table[c], (TlbClass)c);
    }
}

void tlb_init(Tlb *t, PhysMem *mem)
{
    memset(t, 0, sizeof *t);
    t->mem = mem;
    lock_init(&t->resize_lock, LOCK_RANK_BACKEND);
    t->writer = g_malloc0_n(mem->size >> GUEST_PAGE_SHIFT, sizeof *t->writer);
    for (int c = 0; c < TLB_CLASS_COUNT; c++) {
        table_make(&t->table[c], (TlbClass)c, TLB_BITS_START);
    }
    tlb_flush_all(t);
    g_ptr_array_add(mem->tlbs, t);
}

void tlb_clear(Tlb *t)
{
    g_ptr_array_remove(t->mem->tlbs, t);
    for (int c = 0; c < TLB_CLASS_COUNT; c++) {
        g_free(t->table[c].entry);
        g_free(t->table[c].side);
    }
    g_free(t->writer);
    lock_clear(&t->resize_lock);
}

static void note_local(Tlb *t, uint32_t slot)
{
    if (t->n_locals < TLB_LOCALS) {
        t->local[t->n_locals++] = slot;
    } else {
        t->n_locals = TLB_LOCALS + 1;
    }
}

static void find_locals(Tlb *t)
{
    const TlbTable *tt = &t->table[TLB_KERNEL];

    t->n_locals = 0;
    for (uint64_t i = 0; i <= tt->index_mask; i++) {
        if (tt->side[i].tag != TLB_TAG_NONE && !tt->side[i].global) {
            note_local(t, (uint32_t)i);
        }
    }
}

/* -- Who may write ---------------------------------------------------------------------------- */

/* Has the entry a store tag for the page of the host's memory at `host`? */
static bool writes_to(const TlbEntry *e, uintptr_t host, uint64_t *tag)
{
    *tag = __atomic_load_n(&e->store, __ATOMIC_SEQ_CST);
    return *tag != TLB_TAG_NONE && (*tag & GUEST_PAGE_MASK) + __atomic_load_n(&e->addend, __ATOMIC_ACQUIRE) == host;
}

/*
 * The memfd page at `offset` gets a store tag in `slot`, so that who revokes it need not look at all entries; `writer` says what is
 * known then.  Mostly a page has one in a table.  Who revokes forgets what is known before it looks at entries: so when this is
 * what it was, after the tag was published, the tag was, or will be, found.
 */
static uint32_t note_writer(Tlb *t, TlbClass c, uint64_t slot, uint64_t offset)
{
    uint32_t *w = &t->writer[offset >> GUEST_PAGE_SHIFT][c], was = __atomic_load_n(w, __ATOMIC_SEQ_CST), now = (uint32_t)slot + 1;
    uint64_t tag;

    if (was == TLB_WRITER_MANY ||
        (was != 0 && was != now && writes_to(&t->table[c].entry[was - 1], (uintptr_t)(t->mem->base + offset), &tag))) {
        now = TLB_WRITER_MANY;
    }
    if (now != was) {
        __atomic_store_n(w, now, __ATOMIC_SEQ_CST);
    }
    return now;
}

/* A table's entries are elsewhere now. */
static void find_writers(Tlb *t, TlbClass c)
{
    const TlbTable *tt = &t->table[c];

    for (uint64_t i = 0; i < tt->len; i++) {
        if (tt->entry[i].store != TLB_TAG_NONE) {
            note_writer(t, c, i, tt->side[i].offset);
        }
    }
}

/*
 * A table that keeps evicting live entries doubles; its contents move.  Twice as many evictions as
 * entries since the last look says the working set does not fit; small tables are cheap to clear
 * and stay in the host's caches, so growth waits for that.
 */
static void grow_if_thrashing(Tlb *t, TlbClass c)
{
    TlbTable *tt = &t->table[c], old = *tt, bigger;

    if (!tlb_is_thrashing(t, c)) {
        return;
    }
    tt->evictions = 0;
    if (tt->index_mask + 1 >= BIT64(TLB_BITS_MAX) || stress_info[STRESS_tlb_small].one_in != 0) {
        return;
    }
    table_make(&bigger, c, (unsigned)__builtin_ctzll(tt->index_mask + 1) + 1);
    lock_take(&t->resize_lock); /* tlb_revoke_write() must not walk a table in motion */
    for (uint64_t i = 0; i < old.len; i++) {
        uint64_t page = old.side[i].tag >> GUEST_PAGE_SHIFT;
        if (old.side[i].tag != TLB_TAG_NONE) {
            uint64_t slot = 2 * (i - (page & old.index_mask)) + (page & bigger.index_mask);
            bigger.entry[slot] = old.entry[i];
            bigger.side[slot] = old.side[i];
        }
    }
    bigger.first = 2 * old.first;
    *tt = bigger;
    find_writers(t, c);
    t->n_resizes++;
    lock_release(&t->resize_lock);
    if (tt == &t->table[TLB_KERNEL]) {
        find_locals(t);
    }
    g_free(old.entry);
    g_free(old.side);
}

/* -- Fast tags -------------------------------------------------------------------------------- */

static void give_store_tag(Tlb *t, TlbClass c, uint64_t slot)
{
    TlbEntry *e = &t->table[c].entry[slot];
    const TlbSide *s = &t->table[c].side[slot];
    uint8_t flags = page_flags_get(t->mem, s->offset);
    uint32_t writer;

    if (page_store_needs_marking(flags)) {
        return;
    }
    /* Announce, publish, look again: see phys_mem_revoke_write(). */
    if ((flags & PAGE_TLB_WRITABLE) == 0) {
        page_flags_set(t->mem, s->offset, PAGE_TLB_WRITABLE);
    }
    writer = note_writer(t, c, slot, s->offset);
    __atomic_store_n(&e->store, s->tag, __ATOMIC_SEQ_CST);
    flags = page_flags_get(t->mem, s->offset);
    if (page_store_needs_marking(flags) || (flags & PAGE_TLB_WRITABLE) == 0 || phys_mem_is_forgetting(t->mem) ||
        __atomic_load_n(&t->writer[s->offset >> GUEST_PAGE_SHIFT][c], __ATOMIC_SEQ_CST) != writer) {
        __atomic_store_n(&e->store, TLB_TAG_NONE, __ATOMIC_SEQ_CST);
    }
}

static void set_fast_tags(Tlb *t, TlbClass c, uint64_t slot)
{
    TlbEntry *e = &t->table[c].entry[slot];
    const TlbSide *s = &t->table[c].side[slot];
    bool fast = s->offset != TLB_NO_OFFSET && (s->rights & TLB_R_WATCH) == 0;

    e->load = fast && (s->rights & TLB_R_READ) != 0 ? s->tag : TLB_TAG_NONE;
    e->fetch = fast && (s->rights & TLB_R_EXEC) != 0 ? s->tag : TLB_TAG_NONE;
    __atomic_store_n(&e->store, TLB_TAG_NONE, __ATOMIC_RELAXED);
    if (fast && (s->rights & TLB_R_WRITE) != 0 && !s->rom) {
        give_store_tag(t, c, slot);
    }
}

/* -- Insert and probe ------------------------------------------------------------------------- */

static unsigned bloom_bit(uint64_t lin, unsigned shift)
{
    uint64_t x = (lin >> shift) * UINT64_C(0x9e3779b97f4a7c15);

    return (unsigned)(x >> 52); /* 12 bits: 64 words of 64 */
}

static void note_large(Tlb *t, uint64_t lin, unsigned page_shift)
{
    bool giant = page_shift == 30;
    unsigned bit = bloom_bit(lin, giant ? 30 : 22);

    if (page_shift > GUEST_PAGE_SHIFT) {
        t->large_seen[giant][bit / 64] |= BIT64(bit % 64);
    }
}

static bool large_seen(const Tlb *t, uint64_t lin, bool giant)
{
    unsigned bit = bloom_bit(lin, giant ? 30 : 22);

    return (t->large_seen[giant][bit / 64] >> (bit % 64) & 1) != 0;
}

/* Of the memory in which the page lies, or TLB_NO_OFFSET. */
static uint64_t offset_of(PhysMem *pm, uint64_t page, bool *rom)
{
    const uint8_t *p = phys_main_ram(pm, guest_phys(page), GUEST_PAGE_SIZE);
    uint64_t at = page & pm->address_mask;
    PhysRange r;

    *rom = false;
    if (likely(p != NULL)) {
        return (uint64_t)(p - pm->base);
    }
    r = phys_mem_find(pm, guest_phys(page));
    *rom = r.kind == PHYS_ROM;
    return (r.kind == PHYS_RAM || r.kind == PHYS_ROM) && at - r.base + GUEST_PAGE_SIZE <= r.len
               ? r.offset + (at - r.base) : TLB_NO_OFFSET;
}

TlbSide *tlb_insert(Tlb *t, TlbClass c, GuestLin lin, GuestPhys phys, unsigned rights, bool global,
                    unsigned page_shift)
{
    TlbTable *tt = &t->table[c];
    uint64_t page = phys.v & GUEST_PAGE_MASK, slot;
    bool rom;
    uint64_t offset = offset_of(t->mem, page, &rom);
    bool memory = offset != TLB_NO_OFFSET;
    TlbEntry *e;
    TlbSide *s;

    if (memory) {
        phys_mem_expect(t->mem, offset);
    }
    grow_if_thrashing(t, c);
    slot = tlb_slot(tt, lin.v);
    e = &tt->entry[slot];
    s = &tt->side[slot];
    tt->fills++;
    tt->evictions += s->tag != TLB_TAG_NONE && s->tag != tlb_tag(t, c, lin.v);
    t->n_fills++;
    note_large(t, lin.v, page_shift);

    *s = (TlbSide){
        .tag = tlb_tag(t, c, lin.v),
        .phys = guest_phys(page & t->mem->address_mask),
        .offset = offset,
        .rights = (uint8_t)rights,
        .page_shift = (uint8_t)page_shift,
        .global = global,
        .rom = rom,
    };
    /* No tag may be live while the addend changes under a concurrent revoker's compare. */
    __atomic_store_n(&e->store, TLB_TAG_NONE, __ATOMIC_RELEASE);
    __atomic_store_n(&e->addend,
                     memory ? (uintptr_t)(t->mem->base + s->offset) - (lin.v & GUEST_PAGE_MASK) : 0,
                     __ATOMIC_RELEASE);
    set_fast_tags(t, c, slot);
    if (c == TLB_KERNEL && !global && t->kernel_apart) {
        note_local(t, (uint32_t)slot);
    }
    return s;
}

void tlb_note_code(Tlb *t, TlbClass c, GuestLin lin)
{
    const TlbSide *s = &t->table[c].side[tlb_slot(&t->table[c], lin.v)];
    unsigned bit = bloom_bit(lin.v, GUEST_PAGE_SHIFT);

    t->code_seen[bit / 64] |= BIT64(bit % 64);
    t->local_code |= c != TLB_USER && !s->global;
}

TlbSide *tlb_probe(Tlb *t, TlbClass c, GuestLin lin)
{
    TlbTable *tt = &t->table[c];
    uint64_t slot = tlb_slot(tt, lin.v);
    TlbSide *s = &tt->side[slot];

    if (s->tag == tlb_tag(t, c, lin.v)) {
        return s;
    }
    if (s->global && s->tag != TLB_TAG_NONE && ((s->tag ^ lin.v) & GUEST_PAGE_MASK) == 0) {
        s->tag = tlb_tag(t, c, lin.v);
        set_fast_tags(t, c, slot);
        t->n_retags++;
        return s;
    }
    return NULL;
}

void tlb_refresh_store(Tlb *t, TlbClass c, GuestLin lin)
{
    TlbTable *tt = &t->table[c];
    uint64_t slot = tlb_slot(tt, lin.v);
    TlbSide *s = &tt->side[slot];

    if (s->tag == tlb_tag(t, c, lin.v) && s->offset != TLB_NO_OFFSET && !s->rom &&
        (s->rights & (TLB_R_WRITE | TLB_R_WATCH)) == TLB_R_WRITE) {
        give_store_tag(t, c, slot);
    }
}

/* -- Near pages ------------------------------------------------------------------------------- */

static void forget_spots(TlbLent *lent)
{
    for (unsigned i = 0; i < TLB_NEAR_CLASSES * TLB_SPOTS; i++) {
        __atomic_store_n(&lent->spot[i / TLB_SPOTS][i % TLB_SPOTS].minus_page, TLB_NEAR_NONE, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&lent->spots_used, 0, __ATOMIC_RELEASE);
}

static void forget_near(Tlb *t)
{
    for (unsigned i = 0; t->lent != NULL && i < 2 * TLB_NEAR_CLASSES; i++) {
        __atomic_store_n(&t->lent->near[i / 2][i % 2].minus_page, TLB_NEAR_NONE, __ATOMIC_RELAXED);
    }
    if (t->lent != NULL && t->lent->spots_used != 0) {
        forget_spots(t->lent);
    }
}

void tlb_lend(Tlb *t, TlbLent *lent)
{
    lock_take(&t->resize_lock);
    forget_near(t);
    if (lent != NULL && !lent->was_lent) {
        lent->was_lent = true;
        lent->spots_used = 1; /* by zeros */
    }
    t->lent = lent;
    forget_near(t);
    lock_release(&t->resize_lock);
}

static void put_near(TlbNear *n, uint64_t minus_page, uintptr_t addend)
{
    __atomic_store_n(&n->minus_page, TLB_NEAR_NONE, __ATOMIC_RELEASE);
    __atomic_store_n(&n->addend, addend, __ATOMIC_RELEASE);
    __atomic_store_n(&n->minus_page, minus_page, __ATOMIC_SEQ_CST);
}

/* Host address of a near page. */
static uintptr_t near_host(const TlbNear *n, uint64_t minus_page)
{
    return __atomic_load_n(&n->addend, __ATOMIC_ACQUIRE) - minus_page;
}

/* After it was published: who revoked it meanwhile may have missed it (give_store_tag()). */
static void look_again(Tlb *t, TlbNear *n)
{
    uint64_t minus_page = n->minus_page;
    uint8_t flags;

    if (minus_page == TLB_NEAR_NONE) {
        return;
    }
    flags = page_flags_get(t->mem, near_host(n, minus_page) - (uintptr_t)t->mem->base);
    if (page_store_needs_marking(flags) || (flags & PAGE_TLB_WRITABLE) == 0 || phys_mem_is_forgetting(t->mem)) {
        __atomic_store_n(&n->minus_page, TLB_NEAR_NONE, __ATOMIC_SEQ_CST);
    }
}

void tlb_come_near(Tlb *t, TlbClass c, uint64_t lin)
{
    uint64_t page = lin & GUEST_PAGE_MASK, last;
    const uint8_t *host = tlb_hit(t, c, page, TLB_STORE);
    TlbNear *n;

    if (t->lent == NULL || host == NULL || c == TLB_KERNEL_AC) {
        return;
    }
    n = t->lent->near[c == TLB_USER ? TLB_NEAR_USER : TLB_NEAR_KERNEL];
    last = __atomic_load_n(&n[0].minus_page, __ATOMIC_RELAXED);
    if (last == 0 - page) {
        return;
    }
    put_near(&n[1], last, n[0].addend);
    put_near(&n[0], 0 - page, (uintptr_t)host - page);
    look_again(t, &n[0]);
    look_again(t, &n[1]);
}

static void revoke_near(Tlb *t, uintptr_t host)
{
    for (unsigned i = 0; t->lent != NULL && i < 2 * TLB_NEAR_CLASSES; i++) {
        TlbNear *n = &t->lent->near[i / 2][i % 2];
        uint64_t minus_page = __atomic_load_n(&n->minus_page, __ATOMIC_SEQ_CST);

        if (minus_page != TLB_NEAR_NONE && near_host(n, minus_page) == host) {
            __atomic_store_n(&n->minus_page, TLB_NEAR_NONE, __ATOMIC_SEQ_CST);
        }
    }
}

/* After the tags were taken: generated code says that there are spots, publishes one, then looks at the tag that it came from again. */
static void revoke_spots(Tlb *t, uintptr_t host)
{
    bool used = t->lent != NULL && __atomic_load_n(&t->lent->spots_used, __ATOMIC_SEQ_CST) != 0;

    for (unsigned i = 0; used && i < TLB_NEAR_CLASSES * TLB_SPOTS; i++) {
        TlbSpot *s = &t->lent->spot[i / TLB_SPOTS][i % TLB_SPOTS];
        uint64_t minus_page = __atomic_load_n(&s->minus_page, __ATOMIC_SEQ_CST);

        if (__atomic_load_n(&s->addend, __ATOMIC_ACQUIRE) - minus_page == host) {
            __atomic_store_n(&s->minus_page, TLB_NEAR_NONE, __ATOMIC_SEQ_CST);
        }
    }
}

/* -- Spaces ----------------------------------------------------------------------------------- */

/* Before translations of the past become invalid, or another space current. */
static void announce(Tlb *t)
{
    t->n_changes++;
    forget_near(t);
    if (unlikely(t->before_change != NULL)) {
        t->before_change(t->before_change_arg);
    }
}

static void tell(Tlb *t, TlbFlush what, GuestLin lin)
{
    if (t->on_flush != NULL) {
        t->on_flush(t->on_flush_arg, what, lin);
    }
}

/* A tag no entry carries yet; starts over, empty, when all are used up. */
static void new_space(Tlb *t)
{
    if (t->next_space >= TLB_SPACES) {
        tlb_flush_all(t);
        return;
    }
    t->space = t->next_space++;
    t->space_of[t->pcid] = (uint16_t)t->space;
}

static void drop_slot(TlbTable *tt, uint64_t slot)
{
    TlbEntry *e = &tt->entry[slot];

    e->load = e->fetch = TLB_TAG_NONE;
    __atomic_store_n(&e->store, TLB_TAG_NONE, __ATOMIC_RELAXED);
    tt->side[slot].tag = TLB_TAG_NONE;
}

/* The non-global entries of TLB_KERNEL are no longer valid. */
static void drop_locals(Tlb *t)
{
    TlbTable *tt = &t->table[TLB_KERNEL];

    t->kernel_apart &= t->n_locals <= TLB_LOCALS && !t->local_code;
    for (unsigned i = 0; t->kernel_apart && i < t->n_locals; i++) {
        if (!tt->side[t->local[i]].global) {
            drop_slot(tt, t->local[i]);
        }
    }
    t->n_locals = 0;
}

void tlb_switch(Tlb *t, unsigned pcid, bool flush)
{
    announce(t);
    drop_locals(t);
    t->pcid = (uint16_t)(pcid & 0xfff);
    find_places(t);
    if (flush || t->space_of[t->pcid] == 0) {
        new_space(t);
        tell(t, TLB_FLUSH_LOCAL, guest_lin(0));
    } else {
        t->space = t->space_of[t->pcid];
    }
}

/* -- Flushes ---------------------------------------------------------------------------------- */

static void new_code_epoch(Tlb *t)
{
    memset(t->code_seen, 0, sizeof t->code_seen);
    t->code_epoch++;
}

void tlb_flush_all(Tlb *t)
{
    log_item(MMU, "mmu: TLB flushed");
    announce(t);
    t->n_wipes++;
    for (int c = 0; c < TLB_CLASS_COUNT; c++) {
        table_empty(&t->table[c]);
    }
    memset(t->space_of, 0, sizeof t->space_of);
    memset(t->large_seen, 0, sizeof t->large_seen);
    t->next_space = 1;
    t->kernel_space = t->next_space++;
    t->kernel_apart = true;
    t->local_code = false;
    t->n_locals = 0;
    new_code_epoch(t);
    t->n_flushes++;
    trace(tlb_flush, "all");
    new_space(t);
    tell(t, TLB_FLUSH_ALL, guest_lin(0));
}

void tlb_flush_nonglobal(Tlb *t)
{
    log_item(MMU, "mmu: TLB flushed but global entries");
    announce(t);
    drop_locals(t);
    memset(t->space_of, 0, sizeof t->space_of);
    t->n_flushes++;
    new_space(t);
    tell(t, TLB_FLUSH_LOCAL, guest_lin(0));
}

void tlb_flush_pcid(Tlb *t, unsigned pcid)
{
    log_item(MMU, "mmu: TLB flushed of PCID %x", pcid);
    announce(t);
    t->n_flushes++;
    t->space_of[pcid & 0xfff] = 0;
    if (pcid == t->pcid) {
        drop_locals(t);
        new_space(t);
    }
    tell(t, TLB_FLUSH_LOCAL, guest_lin(0));
}

/* Every fragment of large pages of at least 2^shift bytes that lies in the same 2^shift region. */
static void drop_large(Tlb *t, uint64_t lin, unsigned shift)
{
    for (int c = 0; c < TLB_CLASS_COUNT; c++) {
        TlbTable *tt = &t->table[c];
        for (uint64_t i = 0; i < tt->len; i++) {
            TlbSide *s = &tt->side[i];
            if (s->tag != TLB_TAG_NONE && s->page_shift > GUEST_PAGE_SHIFT &&
                ((s->tag ^ lin) >> shift) == 0) {
                drop_slot(tt, i);
            }
        }
    }
}

/* Whatever tag the page has: it may be global. */
static void drop_page(TlbTable *tt, TlbClass c, uint64_t lin)
{
    uint64_t slot = (lin >> GUEST_PAGE_SHIFT) & tt->index_mask;

    for (unsigned i = 0; i < (c == TLB_KERNEL ? 1 : TLB_PLACES); i++) {
        if (((tt->side[slot].tag ^ lin) & GUEST_PAGE_MASK) == 0) {
            drop_slot(tt, slot);
        }
        slot += place_len(tt, c);
    }
}

void tlb_flush_page(Tlb *t, GuestLin lin)
{
    unsigned bit = bloom_bit(lin.v, GUEST_PAGE_SHIFT);

    log_item(MMU, "mmu: TLB flushed of page %016" PRIx64, lin.v);
    announce(t);
    t->flushed[t->n_page_flushes++ % TLB_FLUSHED] = lin;
    if (large_seen(t, lin.v, false) || large_seen(t, lin.v, true)) {
        new_code_epoch(t);
    } else if ((t->code_seen[bit / 64] >> (bit % 64) & 1) != 0) {
        t->code_flushed[t->n_code_flushes++ % TLB_CODE_FLUSHED] = lin;
    }
    for (int c = 0; c < TLB_CLASS_COUNT; c++) {
        drop_page(&t->table[c], (TlbClass)c, lin.v);
    }
    if (large_seen(t, lin.v, false)) {
        drop_large(t, lin.v, 22);
    }
    if (large_seen(t, lin.v, true)) {
        drop_large(t, lin.v, 30);
    }
    tell(t, TLB_FLUSH_PAGE, lin);
}

/* -- From other threads ----------------------------------------------------------------------- */

static void revoke_entry(Tlb *t, TlbEntry *e, uintptr_t host)
{
    uint64_t tag;

    if (writes_to(e, host, &tag)) {
        /* Fails when the owner replaced the entry meanwhile: then it looked again. */
        __atomic_compare_exchange_n(&e->store, &tag, TLB_TAG_NONE, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
        __atomic_add_fetch(&t->n_revokes, 1, __ATOMIC_RELAXED);
    }
}

void tlb_revoke_write(Tlb *t, uint64_t offset)
{
    uintptr_t host = (uintptr_t)(t->mem->base + offset);

    lock_take(&t->resize_lock);
    revoke_near(t, host);
    for (int c = 0; c < TLB_CLASS_COUNT; c++) {
        TlbTable *tt = &t->table[c];
        uint32_t writer = __atomic_exchange_n(&t->writer[offset >> GUEST_PAGE_SHIFT][c], 0, __ATOMIC_SEQ_CST);
        bool all = writer == TLB_WRITER_MANY;
        for (uint64_t i = all ? 0 : writer - 1; writer != 0 && i < (all ? tt->len : writer); i++) {
            revoke_entry(t, &tt->entry[i], host);
        }
    }
    revoke_spots(t, host);
    lock_release(&t->resize_lock);
}
