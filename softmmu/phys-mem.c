/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "softmmu/phys-mem.h"

#include "softmmu/apart.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"
#include "softmmu/base/present.h"
#include "softmmu/phys-view-internal.h"
#include "softmmu/tlb.h"
#include "softmmu/window.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
    void (*changed)(void *arg);
    void *arg;
} Listener;

/* -- Life ------------------------------------------------------------------------------------- */

static bool reserve(PhysMem *pm, GError **error)
{
    void *p;

    pm->fd = memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (pm->fd < 0 || ftruncate(pm->fd, (off_t)pm->size) != 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "cannot set aside %" G_GUINT64_FORMAT " MiB of guest memory: %s",
                    pm->size >> 20, g_strerror(errno));
        return false;
    }
    p = map_apart(pm->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, pm->fd);
    if (p == MAP_FAILED) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "cannot map %" G_GUINT64_FORMAT " MiB of guest memory: %s", pm->size >> 20,
                    g_strerror(errno));
        return false;
    }
    madvise(p, pm->size, MADV_HUGEPAGE);
    pm->base = p;
    return true;
}

PhysMem *phys_mem_new(uint64_t size, Lock *lock, GError **error)
{
    PhysMem *pm = g_new0(PhysMem, 1);

    pm->lock = lock;
    pm->fd = -1;
    pm->size = (size + GUEST_PAGE_OFFSET_MASK) & GUEST_PAGE_MASK;
    pm->address_mask = UINT64_MAX;
    pm->huge.trust = HUGE_TRUST;
    pm->regions = g_ptr_array_new_with_free_func(g_free);
    pm->old_views = g_ptr_array_new_with_free_func(g_free);
    pm->listeners = g_array_new(FALSE, FALSE, sizeof(Listener));
    pm->tlbs = g_ptr_array_new();
    if (!reserve(pm, error)) {
        phys_mem_free(pm);
        return NULL;
    }
    pm->page_flags = g_malloc0(pm->size >> GUEST_PAGE_SHIFT);
    pm->code_version = g_malloc0((pm->size >> GUEST_PAGE_SHIFT) * sizeof *pm->code_version);
    pm->churn = g_malloc0((pm->size >> GUEST_PAGE_SHIFT) * sizeof *pm->churn);
    pm->present = g_malloc0((pm->size >> PHYS_PRESENT_SHIFT) + 1);
    lock_init(&pm->code_lock, LOCK_RANK_CODE);
    phys_view_rebuild(pm);
    return pm;
}

void phys_mem_free(PhysMem *pm)
{
    if (pm == NULL) {
        return;
    }
    if (pm->base != NULL) {
        munmap(pm->base, pm->size);
    }
    if (pm->fd >= 0) {
        close(pm->fd);
    }
    g_free(pm->flat);
    g_ptr_array_free(pm->regions, TRUE);
    g_ptr_array_free(pm->old_views, TRUE);
    g_array_free(pm->listeners, TRUE);
    g_ptr_array_free(pm->tlbs, TRUE);
    if (pm->page_flags != NULL) {
        lock_clear(&pm->code_lock);
    }
    g_free(pm->page_flags);
    g_free(pm->code_version);
    g_free(pm->churn);
    g_free(pm->present);
    g_free(pm);
}

uint64_t phys_mem_alloc(PhysMem *pm, uint64_t len)
{
    uint64_t offset = pm->used;

    g_assert((len & GUEST_PAGE_OFFSET_MASK) == 0 && len <= pm->size - pm->used);
    pm->used += len;
    return offset;
}

/* -- Regions ---------------------------------------------------------------------------------- */

static void publish(PhysMem *pm)
{
    if (pm->batch != 0) {
        return;
    }
    phys_view_rebuild(pm);
    for (unsigned i = 0; i < pm->listeners->len; i++) {
        Listener *l = &g_array_index(pm->listeners, Listener, i);
        l->changed(l->arg);
    }
}

void phys_mem_begin(PhysMem *pm)
{
    pm->batch++;
}

void phys_mem_end(PhysMem *pm)
{
    g_assert(pm->batch > 0);
    pm->batch--;
    publish(pm);
}

void phys_mem_listen(PhysMem *pm, void (*changed)(void *arg), void *arg)
{
    Listener l = {changed, arg};

    g_array_append_val(pm->listeners, l);
}

void phys_mem_unlisten(PhysMem *pm, void (*changed)(void *arg), void *arg)
{
    for (unsigned i = 0; i < pm->listeners->len; i++) {
        Listener *l = &g_array_index(pm->listeners, Listener, i);
        if (l->changed == changed && l->arg == arg) {
            g_array_remove_index(pm->listeners, i);
            return;
        }
    }
}

static PhysRegion *add_region(PhysMem *pm, PhysRegion region)
{
    PhysRegion *r = g_new(PhysRegion, 1);

    g_assert(region.len > 0);
    g_assert(region.kind == PHYS_MMIO ||
             ((region.base | region.len | region.offset) & GUEST_PAGE_OFFSET_MASK) == 0);
    g_assert(region.kind == PHYS_MMIO || region.offset + region.len <= pm->size);
    *r = region;
    r->enabled = true;
    g_ptr_array_add(pm->regions, r);
    publish(pm);
    return r;
}

PhysRegion *phys_region_ram(PhysMem *pm, uint64_t base, uint64_t len, uint64_t offset,
                            int priority, const char *name)
{
    return add_region(pm, (PhysRegion){.kind = PHYS_RAM, .base = base, .len = len, .offset = offset,
                                       .priority = priority, .name = name});
}

PhysRegion *phys_region_rom(PhysMem *pm, uint64_t base, uint64_t len, uint64_t offset,
                            int priority, const BusOps *ops, void *arg, const char *name)
{
    return add_region(pm, (PhysRegion){.kind = PHYS_ROM, .base = base, .len = len, .offset = offset,
                                       .priority = priority, .ops = ops, .arg = arg, .name = name});
}

PhysRegion *phys_region_mmio(PhysMem *pm, uint64_t base, uint64_t len, const BusOps *ops, void *arg,
                             int priority, const char *name)
{
    return add_region(pm, (PhysRegion){.kind = PHYS_MMIO, .base = base, .len = len, .ops = ops,
                                       .arg = arg, .priority = priority, .name = name});
}

void phys_region_remove(PhysMem *pm, PhysRegion *r)
{
    g_ptr_array_remove(pm->regions, r);
    publish(pm);
}

void phys_region_move(PhysMem *pm, PhysRegion *r, uint64_t base)
{
    if (r->base != base) {
        r->base = base;
        publish(pm);
    }
}

void phys_region_enable(PhysMem *pm, PhysRegion *r, bool on)
{
    if (r->enabled != on) {
        r->enabled = on;
        publish(pm);
    }
}

void phys_region_set_rom(PhysMem *pm, PhysRegion *r, bool rom)
{
    PhysKind kind = rom ? PHYS_ROM : PHYS_RAM;

    g_assert(r->kind != PHYS_MMIO);
    if (r->kind != kind) {
        r->kind = kind;
        publish(pm);
    }
}

void phys_mem_set_a20(PhysMem *pm, bool on)
{
    uint64_t mask = on ? UINT64_MAX : ~BIT64(20);

    if (pm->address_mask != mask) {
        __atomic_store_n(&pm->address_mask, mask, __ATOMIC_RELEASE);
        publish(pm);
    }
}

/* -- Page flags ------------------------------------------------------------------------------- */

uint8_t page_flags_set(PhysMem *pm, uint64_t offset, uint8_t flags)
{
    return __atomic_fetch_or(&pm->page_flags[offset >> GUEST_PAGE_SHIFT], flags, __ATOMIC_SEQ_CST);
}

uint8_t page_flags_clear(PhysMem *pm, uint64_t offset, uint8_t flags)
{
    return __atomic_fetch_and(&pm->page_flags[offset >> GUEST_PAGE_SHIFT], (uint8_t)~flags,
                              __ATOMIC_SEQ_CST);
}

void phys_mem_revoke_write(PhysMem *pm, uint64_t offset)
{
    /* Set by tlb_insert() before it re-reads the other flags: either we see it here, or the
     * inserting CPU sees the flag that made us come (both orders are sequentially consistent). */
    if ((page_flags_clear(pm, offset, PAGE_TLB_WRITABLE) & PAGE_TLB_WRITABLE) == 0) {
        return;
    }
    for (unsigned i = 0; i < pm->tlbs->len; i++) {
        tlb_revoke_write(g_ptr_array_index(pm->tlbs, i), offset & GUEST_PAGE_MASK);
    }
    if (pm->window != NULL) {
        window_revoke_write(pm->window, offset);
    }
    if (pm->mirror != NULL) {
        pm->mirror->revoke_write(pm->mirror->arg, offset & GUEST_PAGE_MASK);
    }
}

bool phys_mem_test_clear_dirty(PhysMem *pm, uint64_t offset, uint8_t flag)
{
    if ((page_flags_clear(pm, offset, flag) & flag) == 0) {
        return false;
    }
    phys_mem_revoke_write(pm, offset);
    return true;
}

void phys_mem_set_code(PhysMem *pm, uint64_t offset)
{
    /* Who finds the flag set by another thread must not go on before that has revoked all write tags, its own
     * among them: it would not notice its own stores.  n_becoming is raised before the flag is set. */
    if ((page_flags_get(pm, offset) & PAGE_CODE) != 0 && __atomic_load_n(&pm->n_becoming, __ATOMIC_SEQ_CST) == 0) {
        return;
    }
    __atomic_add_fetch(&pm->n_becoming, 1, __ATOMIC_SEQ_CST);
    lock_take(&pm->code_lock);
    if ((page_flags_set(pm, offset, PAGE_CODE) & PAGE_CODE) == 0) {
        phys_mem_revoke_write(pm, offset);
    }
    lock_release(&pm->code_lock);
    __atomic_sub_fetch(&pm->n_becoming, 1, __ATOMIC_SEQ_CST);
}

enum { CHURN_CODE = 8, CHURN_ON = 128, CHURN_MAX = 240 };

/* A page's code was written (`code`), or a page in PAGE_CHURN that is not code at the moment.  Sixteen
 * changes of code with few plain writes between them turn it on, as many plain writes turn it off. */
static void note_churn(PhysMem *pm, uint64_t offset, bool code)
{
    uint8_t *n = &pm->churn[offset >> GUEST_PAGE_SHIFT];
    uint8_t was = __atomic_load_n(n, __ATOMIC_RELAXED); /* a lost count does no harm */
    uint8_t now = code ? (uint8_t)MIN(was + CHURN_CODE, CHURN_MAX) : (uint8_t)(was - (was > 0));

    __atomic_store_n(n, now, __ATOMIC_RELAXED);
    if (code && now >= CHURN_ON) {
        page_flags_set(pm, offset, PAGE_CHURN);
        phys_mem_revoke_write(pm, offset);
    } else if (!code && now == 0) {
        page_flags_clear(pm, offset, PAGE_CHURN);
    }
}

/* What was made from the page's bytes is old. */
static void forget_code(PhysMem *pm, uint64_t offset)
{
    __atomic_add_fetch(&pm->code_version[offset >> GUEST_PAGE_SHIFT], 1, __ATOMIC_SEQ_CST);
    if (pm->code_changed != NULL) {
        pm->code_changed(pm->code_changed_arg, offset);
    }
    if (pm->mirror != NULL) {
        pm->mirror->code_written(pm->mirror->arg, offset);
    }
}

/* Bytes of a page in PAGE_CHURN were written: it stays a code page. */
static void code_bytes_written(PhysMem *pm, uint64_t offset, uint64_t len)
{
    CodeEffect effect;

    __atomic_add_fetch(&pm->code_version[offset >> GUEST_PAGE_SHIFT], 1, __ATOMIC_SEQ_CST);
    effect = pm->code_bytes_changed(pm->code_changed_arg, offset, len);
    if (pm->mirror != NULL) {
        pm->mirror->code_written(pm->mirror->arg, offset);
    }
    if (effect != CODE_SAME) {
        note_churn(pm, offset, effect == CODE_CHANGED);
    }
}

/* Bytes of a code page were written.  The flag first (invariant 2). */
static void code_written(PhysMem *pm, uint64_t offset, uint64_t len)
{
    if (pm->code_bytes_changed != NULL && (page_flags_get(pm, offset) & PAGE_CHURN) != 0) {
        code_bytes_written(pm, offset, len);
        return;
    }
    __atomic_add_fetch(&pm->n_forgetting, 1, __ATOMIC_SEQ_CST);
    note_churn(pm, offset, true);
    page_flags_clear(pm, offset, PAGE_CODE);
    forget_code(pm, offset);
    __atomic_sub_fetch(&pm->n_forgetting, 1, __ATOMIC_SEQ_CST);
}

/* [offset, offset + len) lies in one page. */
static void page_written(PhysMem *pm, uint64_t offset, uint64_t len)
{
    uint8_t flags = page_flags_get(pm, offset);

    if ((flags & PAGE_LOG_DISPLAY) != 0 && (flags & PAGE_DIRTY_DISPLAY) == 0) {
        page_flags_set(pm, offset, PAGE_DIRTY_DISPLAY);
    }
    if ((flags & PAGE_DIRTY_MIGRATION) == 0) {
        page_flags_set(pm, offset, PAGE_DIRTY_MIGRATION);
    }
    if ((flags & PAGE_CODE) != 0) {
        code_written(pm, offset, len);
    } else if (phys_mem_is_forgetting(pm)) {
        forget_code(pm, offset); /* another thread is about to; but this one may run the code next */
    } else if ((flags & PAGE_CHURN) != 0) {
        note_churn(pm, offset, false);
    }
    if ((flags & PAGE_TRACED) != 0 && pm->write_trace != NULL) {
        pm->write_trace(pm->write_trace_arg, offset, 1);
    }
}

void phys_mem_make_present(PhysMem *pm, uint64_t offset)
{
    uint64_t start = offset >> PHYS_PRESENT_SHIFT << PHYS_PRESENT_SHIFT, huge = offset & ~(uint64_t)HUGE_PAGE_MASK;

    if (huge + HUGE_PAGE_SIZE <= pm->used && make_present_huge(&pm->huge, pm->base + huge)) {
        for (unsigned i = 0; i < HUGE_PAGE_SIZE >> PHYS_PRESENT_SHIFT; i++) {
            __atomic_store_n(&pm->present[(huge >> PHYS_PRESENT_SHIFT) + i], 1, __ATOMIC_RELAXED);
        }
        return;
    }
    __atomic_store_n(&pm->present[offset >> PHYS_PRESENT_SHIFT], 1, __ATOMIC_RELAXED);
    if (start < pm->used) {
        make_present(pm->base + start, MIN(BIT64(PHYS_PRESENT_SHIFT), pm->used - start));
    }
}

void phys_mem_written(PhysMem *pm, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len;

    g_assert(end <= pm->size && end >= offset);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the write, then the look at the flags: invariant 2 */
    while (offset < end) {
        uint64_t next = MIN((offset | GUEST_PAGE_OFFSET_MASK) + 1, end);
        page_written(pm, offset, next - offset);
        offset = next;
    }
}

void phys_mem_forget_code(PhysMem *pm)
{
    const uint64_t code = UINT64_C(0x0101010101010101) * PAGE_CODE;
    uint64_t pages = pm->used >> GUEST_PAGE_SHIFT;

    for (uint64_t i = 0; i < pages; i += 8) { /* eight flags at a time: there are many */
        uint64_t n = MIN(pages - i, 8);
        if (n == 8 && (load_le(pm->page_flags + i, 8) & code) == 0) {
            continue;
        }
        for (uint64_t at = i; at < i + n; at++) {
            if ((page_flags_get(pm, at << GUEST_PAGE_SHIFT) & PAGE_CODE) != 0) {
                code_written(pm, at << GUEST_PAGE_SHIFT, GUEST_PAGE_SIZE);
            }
        }
    }
}

/* -- Access ----------------------------------------------------------------------------------- */

/* One access (1, 2, 4, 8 bytes) inside one range. */
static uint64_t range_read(PhysMem *pm, const PhysRange *r, uint64_t addr, unsigned size)
{
    uint64_t off = addr - r->base, val;

    switch (r->kind) {
    case PHYS_RAM:
    case PHYS_ROM:
        return host_load(pm->base + r->offset + off, size);
    case PHYS_MMIO:
        lock_take(pm->lock);
        val = bus_read(r->ops, r->arg, r->window_off + off, size);
        lock_release(pm->lock);
        return val;
    default:
        trace(phys_unassigned_read, "addr=0x%" PRIx64 " size=%u", addr, size);
        return mask_bytes(size);
    }
}

static void range_write(PhysMem *pm, const PhysRange *r, uint64_t addr, unsigned size, uint64_t val)
{
    uint64_t off = addr - r->base;

    if (r->kind == PHYS_RAM) {
        host_store(pm->base + r->offset + off, size, val);
        phys_mem_written(pm, r->offset + off, size);
    } else if (r->ops != NULL) {
        lock_take(pm->lock);
        bus_write(r->ops, r->arg, r->window_off + off, size, val);
        lock_release(pm->lock);
    } else {
        trace(phys_unassigned_write, "addr=0x%" PRIx64 " size=%u val=0x%" PRIx64, addr, size, val);
    }
}

static bool range_holds(const PhysRange *r, uint64_t addr, uint64_t len)
{
    return addr >= r->base && len <= r->len && addr - r->base <= r->len - len;
}

uint64_t phys_read(PhysMem *pm, GuestPhys addr, unsigned size)
{
    uint64_t a = addr.v & pm->address_mask, val = 0;
    PhysRange r = phys_mem_find(pm, guest_phys(a));

    if (size == 1 || range_holds(&r, a, size)) { /* address 2^64 - 1 is behind the last range */
        return range_read(pm, &r, a, size);
    }
    for (unsigned i = 0; i < size; i++) {
        val |= phys_read(pm, guest_phys(addr.v + i), 1) << (i * 8);
    }
    return val;
}

void phys_write(PhysMem *pm, GuestPhys addr, unsigned size, uint64_t val)
{
    uint64_t a = addr.v & pm->address_mask;
    PhysRange r = phys_mem_find(pm, guest_phys(a));

    if (size == 1 || range_holds(&r, a, size)) {
        range_write(pm, &r, a, size, val);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        phys_write(pm, guest_phys(addr.v + i), 1, (val >> (i * 8)) & 0xff);
    }
}

/* -- Bulk copies ------------------------------------------------------------------------------ */

typedef enum { COPY_FROM, COPY_TO, COPY_LOAD } CopyKind;

/* The widest access (1, 2, 4, 8) aligned at addr and within left. */
static unsigned chunk_at(uint64_t addr, uint64_t left)
{
    unsigned n = 8;

    while (n > left || (addr & (n - 1)) != 0) {
        n >>= 1;
    }
    return n;
}

static void copy_device(PhysMem *pm, const PhysRange *r, uint64_t a, uint8_t *buf, uint64_t n,
                        CopyKind kind)
{
    for (uint64_t done = 0; done < n;) {
        unsigned size = chunk_at(a + done, n - done);
        if (kind == COPY_FROM) {
            store_le(buf + done, size, range_read(pm, r, a + done, size));
        } else {
            range_write(pm, r, a + done, size, load_le(buf + done, size));
        }
        done += size;
    }
}

static void copy_in_range(PhysMem *pm, const PhysRange *r, uint64_t a, uint8_t *buf, uint64_t n,
                          CopyKind kind)
{
    uint64_t offset = r->offset + (a - r->base);
    bool memory = r->kind == PHYS_RAM || (r->kind == PHYS_ROM && kind != COPY_TO);

    for (uint64_t at = 0; memory && at < n; at += BIT64(PHYS_PRESENT_SHIFT)) {
        phys_mem_expect(pm, offset + at);
    }
    if (!memory) {
        copy_device(pm, r, a, buf, n, kind);
    } else if (kind == COPY_FROM) {
        memcpy(buf, pm->base + offset, n);
    } else {
        memcpy(pm->base + offset, buf, n);
        phys_mem_written(pm, offset, n);
    }
}

static bool copy(PhysMem *pm, uint64_t addr, uint8_t *buf, uint64_t len, CopyKind kind)
{
    bool all = true;

    while (len > 0) {
        uint64_t a = addr & pm->address_mask;
        PhysRange r = phys_mem_find(pm, guest_phys(a));
        uint64_t n = MIN(len, r.len - (a - r.base));

        /* A20 off: bit 20 may not carry into the next megabyte inside one piece. */
        n = MIN(n, BIT64(20) - (a & (BIT64(20) - 1)));
        /* The last byte of the address space is beyond the length of the last range. */
        n = MAX(n, 1);
        if (r.kind == PHYS_NONE) {
            all = false;
        }
        copy_in_range(pm, &r, a, buf, n, kind);
        addr += n;
        buf += n;
        len -= n;
    }
    return all;
}

bool phys_copy_from(PhysMem *pm, void *dst, GuestPhys addr, uint64_t len)
{
    return copy(pm, addr.v, dst, len, COPY_FROM);
}

bool phys_copy_to(PhysMem *pm, GuestPhys addr, const void *src, uint64_t len)
{
    return copy(pm, addr.v, (uint8_t *)src, len, COPY_TO);
}

bool phys_load(PhysMem *pm, GuestPhys addr, const void *src, uint64_t len)
{
    return copy(pm, addr.v, (uint8_t *)src, len, COPY_LOAD);
}

void *phys_mem_host(PhysMem *pm, GuestPhys addr, uint64_t len, bool write)
{
    uint64_t a = addr.v & pm->address_mask;
    PhysRange r = phys_mem_find(pm, guest_phys(a));

    if (len == 0 || !range_holds(&r, a, len) ||
        (r.kind != PHYS_RAM && (r.kind != PHYS_ROM || write)) ||
        (pm->address_mask != UINT64_MAX && ((a ^ (a + len - 1)) >> 20) != 0)) {
        return NULL;
    }
    return pm->base + r.offset + (a - r.base);
}
