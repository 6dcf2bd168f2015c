/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/access.h"

#include "softmmu/base/stress.h"

/* One page's part of an access, translated. */
typedef struct {
    GuestLin lin;
    unsigned len;
    uint64_t offset;          /* in the memfd, of the first byte; TLB_NO_OFFSET: a device */
    GuestPhys phys;
    bool rom, watch;
} Part;

/* -- Set-up ----------------------------------------------------------------------------------- */

void mmu_init(SoftMmu *m, PhysMem *mem, void *arg,
              void (*fill)(void *arg, GuestLin lin, TlbAccess a, TlbClass c),
              void (*watched)(void *arg, GuestLin lin, unsigned size, TlbAccess a),
              void (*code_written)(void *arg))
{
    *m = (SoftMmu){.mem = mem, .arg = arg, .fill = fill, .watched = watched,
                   .code_written = code_written};
    tlb_init(&m->tlb, mem);
}

void mmu_clear(SoftMmu *m)
{
    tlb_clear(&m->tlb);
}

/* -- Translation ------------------------------------------------------------------------------ */

static uint8_t right_for(TlbAccess a)
{
    return a == TLB_LOAD ? TLB_R_READ : a == TLB_STORE ? TLB_R_WRITE : TLB_R_EXEC;
}

/* The side entry that allows the access; walks when needed; does not return on a guest fault. */
static TlbSide *translate(SoftMmu *m, TlbClass c, GuestLin lin, TlbAccess a)
{
    TlbSide *s = tlb_probe(&m->tlb, c, lin);

    if (s == NULL || (s->rights & right_for(a)) == 0 || stress_hit(STRESS_tlb_miss)) {
        if (unlikely(tlb_is_thrashing(&m->tlb, c))) {
            mmu_park(m); /* it will grow */
        }
        m->fill(m->arg, lin, a, c);
        s = tlb_probe(&m->tlb, c, lin);
        g_assert(s != NULL && (s->rights & right_for(a)) != 0);
    }
    return s;
}

static Part translate_part(SoftMmu *m, TlbClass c, GuestLin lin, unsigned len, TlbAccess a)
{
    const TlbSide *s = translate(m, c, lin, a);
    uint64_t in_page = lin.v & GUEST_PAGE_OFFSET_MASK;

    return (Part){
        .lin = lin,
        .len = len,
        .offset = s->offset == TLB_NO_OFFSET ? TLB_NO_OFFSET : s->offset + in_page,
        .phys = guest_phys(s->phys.v + in_page),
        .rom = s->rom,
        .watch = (s->rights & TLB_R_WATCH) != 0,
    };
}

/* Split at the page end and translate each piece; returns how many (1 or 2).  len <= page size. */
static int translate_parts(SoftMmu *m, TlbClass c, GuestLin lin, unsigned len, TlbAccess a,
                           Part part[2])
{
    unsigned room = GUEST_PAGE_SIZE - (unsigned)(lin.v & GUEST_PAGE_OFFSET_MASK);
    int n = len > room ? 2 : 1;

    part[0] = translate_part(m, c, lin, n == 2 ? room : len, a);
    if (n == 2) {
        part[1] = translate_part(m, c, guest_lin(lin.v + room), len - room, a);
    }
    for (int i = 0; i < n; i++) {
        if (part[i].watch) {
            m->watched(m->arg, part[i].lin, part[i].len, a);
        }
    }
    return n;
}

/* -- Moving bytes ------------------------------------------------------------------------------ */

/* Copy in naturally aligned pieces, so that aligned parts of guest data are single accesses. */
static unsigned piece(uint64_t addr, unsigned left)
{
    unsigned n = 8;

    while (n > left || (addr & (n - 1)) != 0) {
        n >>= 1;
    }
    return n;
}

static uint64_t part_read(SoftMmu *m, const Part *p, unsigned at, unsigned size)
{
    if (p->offset != TLB_NO_OFFSET) {
        return host_load(m->mem->base + p->offset + at, size);
    }
    mmu_park(m);
    return phys_read(m->mem, guest_phys(p->phys.v + at), size);
}

static void part_write(SoftMmu *m, const Part *p, unsigned at, unsigned size, uint64_t val)
{
    if (p->offset != TLB_NO_OFFSET && !p->rom) {
        host_store(m->mem->base + p->offset + at, size, val);
    } else {
        mmu_park(m);
        phys_write(m->mem, guest_phys(p->phys.v + at), size, val);
    }
}

/* After a part was written: mark, tell the CPU about its code, make the page fast again. */
static void part_written(SoftMmu *m, TlbClass c, const Part *p)
{
    if (p->offset == TLB_NO_OFFSET || p->rom) {
        return;
    }
    /* The bytes must be there for all to see before the flags are looked at: invariant 2. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((page_flags_get(m->mem, p->offset) & PAGE_CODE) != 0) {
        mmu_park(m);
        phys_mem_written(m->mem, p->offset, p->len);
        m->code_written(m->arg);
    } else {
        phys_mem_written(m->mem, p->offset, p->len);
    }
    tlb_refresh_store(&m->tlb, c, p->lin);
}

static void part_copy_from(SoftMmu *m, const Part *p, uint8_t *dst)
{
    if (p->offset != TLB_NO_OFFSET && p->len > 8) {
        mmu_park(m);
        memcpy(dst, m->mem->base + p->offset, p->len);
        return;
    }
    for (unsigned at = 0; at < p->len;) {
        unsigned n = piece(p->phys.v + at, p->len - at);
        store_le(dst + at, n, part_read(m, p, at, n));
        at += n;
    }
}

static void part_copy_to(SoftMmu *m, TlbClass c, const Part *p, const uint8_t *src)
{
    if (p->offset != TLB_NO_OFFSET && !p->rom && p->len > 8) {
        mmu_park(m);
        memcpy(m->mem->base + p->offset, src, p->len);
    } else {
        for (unsigned at = 0; at < p->len;) {
            unsigned n = piece(p->phys.v + at, p->len - at);
            part_write(m, p, at, n, load_le(src + at, n));
            at += n;
        }
    }
    part_written(m, c, p);
}

/* -- Single accesses --------------------------------------------------------------------------- */

uint64_t mmu_load_slow(SoftMmu *m, TlbClass c, GuestLin lin, unsigned size)
{
    uint8_t buf[8];
    Part part[2];

    if (translate_parts(m, c, lin, size, TLB_LOAD, part) == 1) {
        return part_read(m, &part[0], 0, size);
    }
    part_copy_from(m, &part[0], buf);
    part_copy_from(m, &part[1], buf + part[0].len);
    return load_le(buf, size);
}

void mmu_store_slow(SoftMmu *m, TlbClass c, GuestLin lin, unsigned size, uint64_t val)
{
    uint8_t buf[8];
    Part part[2];

    if (translate_parts(m, c, lin, size, TLB_STORE, part) == 1) {
        part_write(m, &part[0], 0, size, val);
        part_written(m, c, &part[0]);
        return;
    }
    store_le(buf, size, val);
    part_copy_to(m, c, &part[0], buf);
    part_copy_to(m, c, &part[1], buf + part[0].len);
}

/* -- Read-modify-write ------------------------------------------------------------------------- */

void mmu_rmw_begin_slow(SoftMmu *m, TlbClass c, GuestLin lin, unsigned size, bool locked, MmuRmw *rmw)
{
    Part part[2];
    int n = translate_parts(m, c, lin, size, TLB_STORE, part);

    for (int i = 0; i < n; i++) {
        if (part[i].watch) {   /* it reads as well */
            m->watched(m->arg, part[i].lin, part[i].len, TLB_LOAD);
        }
    }
    rmw->lin = lin;
    rmw->tlb_class = c;
    rmw->size = (uint8_t)size;
    rmw->locked = locked;
    if (n == 1 && part[0].offset != TLB_NO_OFFSET && !part[0].rom) {
        rmw->p = m->mem->base + part[0].offset;
        rmw->offset = part[0].offset;
        rmw->is_copy = false;
        rmw->mark = true;
        return;
    }
    if (locked) {
        lock_take(m->mem->lock);
    }
    for (int i = 0; i < n; i++) {
        part_copy_from(m, &part[i], rmw->copy + (i == 0 ? 0 : part[0].len));
    }
    rmw->p = rmw->copy;
    rmw->is_copy = true;
    rmw->mark = false;
}

void mmu_rmw_end_slow(SoftMmu *m, MmuRmw *rmw, bool changed)
{
    if (rmw->is_copy) {
        if (changed) {
            mmu_store_bytes(m, rmw->tlb_class, rmw->lin, rmw->copy, rmw->size);
        }
        if (rmw->locked) {
            lock_release(m->mem->lock);
        }
        return;
    }
    if (changed) {
        Part p = {.lin = rmw->lin, .len = rmw->size, .offset = rmw->offset};
        part_written(m, rmw->tlb_class, &p);
    }
}

/* -- Blocks ------------------------------------------------------------------------------------ */

void mmu_load_bytes(SoftMmu *m, TlbClass c, GuestLin lin, void *dst, unsigned n)
{
    Part part[2];
    int parts;

    g_assert(n <= GUEST_PAGE_SIZE);
    if (n == 0) {
        return;
    }
    parts = translate_parts(m, c, lin, n, TLB_LOAD, part);
    for (int i = 0; i < parts; i++) {
        part_copy_from(m, &part[i], (uint8_t *)dst + (i == 0 ? 0 : part[0].len));
    }
}

void mmu_store_bytes(SoftMmu *m, TlbClass c, GuestLin lin, const void *src, unsigned n)
{
    Part part[2];
    int parts;

    g_assert(n <= GUEST_PAGE_SIZE);
    if (n == 0) {
        return;
    }
    parts = translate_parts(m, c, lin, n, TLB_STORE, part);
    for (int i = 0; i < parts; i++) {
        part_copy_to(m, c, &part[i], (const uint8_t *)src + (i == 0 ? 0 : part[0].len));
    }
}

void mmu_probe(SoftMmu *m, TlbClass c, GuestLin lin, unsigned n, TlbAccess a)
{
    unsigned room = GUEST_PAGE_SIZE - (unsigned)(lin.v & GUEST_PAGE_OFFSET_MASK);

    g_assert(n <= GUEST_PAGE_SIZE);
    if (n != 0) {
        translate(m, c, lin, a);
        if (n > room) {
            translate(m, c, guest_lin(lin.v + room), a);
        }
    }
}

void *mmu_run(SoftMmu *m, TlbClass c, GuestLin lin, TlbAccess a, unsigned *avail)
{
    void *p = tlb_hit(&m->tlb, c, lin.v, a);

    *avail = GUEST_PAGE_SIZE - (unsigned)(lin.v & GUEST_PAGE_OFFSET_MASK);
    if (p == NULL) {
        translate(m, c, lin, a);
        tlb_refresh_store(&m->tlb, c, lin);
        p = tlb_hit(&m->tlb, c, lin.v, a);
    }
    return p;
}

/* -- Code -------------------------------------------------------------------------------------- */

const uint8_t *mmu_code(SoftMmu *m, TlbClass c, GuestLin lin, uint64_t *offset, uint32_t *version)
{
    const TlbSide *s = translate(m, c, lin, TLB_FETCH);

    if (s->offset == TLB_NO_OFFSET) {
        return NULL;
    }
    *offset = s->offset + (lin.v & GUEST_PAGE_OFFSET_MASK);
    /* In this order: a write that clears PAGE_CODE meanwhile changes the version afterwards. */
    *version = page_code_version(m->mem, *offset);
    phys_mem_set_code(m->mem, *offset);
    return m->mem->base + *offset;
}

unsigned mmu_fetch_bytes(SoftMmu *m, TlbClass c, GuestLin lin, uint8_t *dst, unsigned n)
{
    unsigned room = GUEST_PAGE_SIZE - (unsigned)(lin.v & GUEST_PAGE_OFFSET_MASK);
    Part p = translate_part(m, c, lin, MIN(n, room), TLB_FETCH);

    part_copy_from(m, &p, dst);
    return p.len;
}
