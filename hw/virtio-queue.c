/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split virtqueues (virtio 1.2, 2.7).
 *
 *   desc:  size x { u64 addr; u32 len; u16 flags; u16 next }
 *   avail: u16 flags; u16 idx; u16 ring[size]; u16 used_event
 *   used:  u16 flags; u16 idx; { u32 id; u32 len } ring[size]; u16 avail_event
 */
#include "hw/virtio.h"

#include "softmmu/base/log.h"

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_LEN = 16 };
enum { AVAIL_NO_INTERRUPT = 1 };
/* What of an element may lie in device windows (a screen, say), and is copied. */
enum { MAX_COPY = 1 << 20 };

typedef struct {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} Desc;

/* A piece of an element that is not RAM: its iov entry points to `data`. */
typedef struct Copy Copy;
struct Copy {
    Copy *next;
    uint64_t addr, len;
    unsigned index;              /* of the iov entry */
    uint8_t data[];
};

/* An element while it grows. */
typedef struct {
    Virtqueue *q;
    unsigned n_desc, n_out, n_in;
    uint64_t out_len, in_len, copied;
    Copy *copies;
    struct iovec iov[VIRTIO_MAX_CHAIN];
} Builder;

/* -- Guest memory -------------------------------------------------------------------------------- */

/* Host address of part of a ring, NULL with the device broken when it is not RAM: a ring in a device
 * window could be made to reenter this one. */
static uint8_t *ring_at(Virtqueue *q, uint64_t addr, unsigned len, bool write)
{
    uint8_t *p = addr % 2 == 0 ? dma_map(q->dev->mem, addr, len, write) : NULL;

    if (p == NULL) {
        virtio_break(q->dev, "queue %u: a ring is not in memory", q->index);
    }
    return p;
}

static bool ring_load(Virtqueue *q, uint64_t addr, uint16_t *val)
{
    uint8_t *p = ring_at(q, addr, 2, false);

    if (p == NULL) {
        return false;
    }
    *val = __atomic_load_n((uint16_t *)(void *)p, __ATOMIC_ACQUIRE);
    return true;
}

static void ring_store(Virtqueue *q, uint64_t addr, uint16_t val)
{
    uint8_t *p = ring_at(q, addr, 2, true);

    if (p != NULL) {
        __atomic_store_n((uint16_t *)(void *)p, val, __ATOMIC_RELEASE);
        dma_written(q->dev->mem, p, 2);
    }
}

static bool is_usable(const Virtqueue *q)
{
    return q->ready && !q->dev->broken && !q->dev->dma_off;
}

static bool event_idx(const Virtqueue *q)
{
    return virtio_has(q->dev, VIRTIO_F_EVENT_IDX);
}

static bool read_desc(Virtqueue *q, uint64_t addr, Desc *d)
{
    uint8_t b[DESC_LEN], *p = ring_at(q, addr, DESC_LEN, false);

    if (p == NULL) {
        return false;
    }
    memcpy(b, p, sizeof b); /* once: the guest may be changing it */
    *d = (Desc){load_le(b, 8), (uint32_t)load_le(b + 8, 4), (uint16_t)load_le(b + 12, 2),
                (uint16_t)load_le(b + 14, 2)};
    return true;
}

/* -- Taking -------------------------------------------------------------------------------------- */

static void free_copies(Copy *c)
{
    while (c != NULL) {
        Copy *next = c->next;
        g_free(c);
        c = next;
    }
}

/* Host memory that stands for a piece of a device window. */
static void *make_copy(Builder *b, uint64_t addr, uint64_t len, bool write)
{
    Copy *c;

    if (len > MAX_COPY - b->copied) {
        return NULL;
    }
    b->copied += len;
    c = g_malloc0(sizeof *c + len);
    c->next = b->copies;
    c->addr = addr;
    c->len = len;
    c->index = b->n_out + b->n_in;
    b->copies = c;
    if (!write) {
        b->q->dev->busy = true;
        dma_read(b->q->dev->mem, addr, c->data, len);
        b->q->dev->busy = false;
    }
    return c->data;
}

/* Add a buffer, in as many pieces as the guest's memory has there. */
static bool add_buffer(Builder *b, uint64_t addr, uint64_t len, bool write)
{
    PhysMem *pm = b->q->dev->mem;

    while (len > 0) {
        PhysRange r = phys_mem_find(pm, guest_phys(addr));
        uint64_t masked = addr & __atomic_load_n(&pm->address_mask, __ATOMIC_RELAXED);
        uint64_t n = MIN(len, r.base + r.len - masked);
        void *host = dma_map(pm, addr, n, write);

        if (host == NULL && r.kind != PHYS_NONE) {
            host = make_copy(b, addr, n, write);
        }
        if (host == NULL || n == 0 || b->n_out + b->n_in == VIRTIO_MAX_CHAIN) {
            virtio_break(b->q->dev, "queue %u: a buffer at 0x%" G_GINT64_MODIFIER "x of 0x%"
                         G_GINT64_MODIFIER "x bytes is not in memory or in too many pieces",
                         b->q->index, addr, len);
            return false;
        }
        b->iov[b->n_out + b->n_in] = (struct iovec){host, n};
        *(write ? &b->n_in : &b->n_out) += 1;
        *(write ? &b->in_len : &b->out_len) += n;
        addr += n;
        len -= n;
    }
    return true;
}

static bool add_desc(Builder *b, const Desc *d)
{
    bool write = (d->flags & DESC_WRITE) != 0;

    if (++b->n_desc > VIRTIO_MAX_CHAIN || (!write && b->n_in > 0) || d->addr + d->len < d->addr) {
        virtio_break(b->q->dev, "queue %u: malformed descriptor chain", b->q->index);
        return false;
    }
    return add_buffer(b, d->addr, d->len, write);
}

/* The chain in an indirect table (2.7.5.3) of d->len bytes. */
static bool add_indirect(Builder *b, const Desc *table)
{
    uint32_t n = table->len / DESC_LEN, i = 0, seen = 0;
    Desc d;

    if (!virtio_has(b->q->dev, VIRTIO_F_INDIRECT_DESC) || n == 0 || table->len % DESC_LEN != 0 ||
        (table->flags & DESC_NEXT) != 0) {
        virtio_break(b->q->dev, "queue %u: malformed indirect table", b->q->index);
        return false;
    }
    do {
        if (i >= n || seen++ >= n) {
            virtio_break(b->q->dev, "queue %u: an indirect table loops or leaves itself",
                         b->q->index);
            return false;
        }
        if (!read_desc(b->q, table->addr + (uint64_t)i * DESC_LEN, &d)) {
            return false;
        }
        if ((d.flags & DESC_INDIRECT) != 0) {
            virtio_break(b->q->dev, "queue %u: an indirect table within another", b->q->index);
            return false;
        }
        if (!add_desc(b, &d)) {
            return false;
        }
        i = d.next;
    } while ((d.flags & DESC_NEXT) != 0);
    return true;
}

static bool add_chain(Builder *b, uint16_t head)
{
    unsigned i = head, seen = 0;
    Desc d;

    do {
        if (i >= b->q->size || seen++ >= b->q->size) {
            virtio_break(b->q->dev, "queue %u: a descriptor chain loops or leaves its table",
                         b->q->index);
            return false;
        }
        if (!read_desc(b->q, b->q->desc + (uint64_t)i * DESC_LEN, &d)) {
            return false;
        }
        if ((d.flags & DESC_INDIRECT) != 0) {
            return add_indirect(b, &d);
        }
        if (!add_desc(b, &d)) {
            return false;
        }
        i = d.next;
    } while ((d.flags & DESC_NEXT) != 0);
    return true;
}

/* How many chains wait; breaks the device when the driver's index is absurd. */
static unsigned pending(Virtqueue *q)
{
    uint16_t n;

    if (!is_usable(q) || !ring_load(q, q->avail + 2, &n)) {
        return 0;
    }
    n = (uint16_t)(n - q->next_avail);
    if (n > q->size) {
        virtio_break(q->dev, "queue %u: the available index jumped by %u", q->index, n);
        return 0;
    }
    return n;
}

bool virtq_has_work(Virtqueue *q)
{
    unsigned n = pending(q);

    if (n == 0 && event_idx(q) && is_usable(q)) {
        /* Ask for a doorbell with the next chain, and look once more (2.7.10). */
        ring_store(q, q->used + 4 + 8 * (uint64_t)q->size, q->next_avail);
        __sync_synchronize();
        n = pending(q);
    }
    return n != 0;
}

VirtqElement *virtq_pop(Virtqueue *q)
{
    Builder b;
    VirtqElement *e;
    uint16_t head;
    unsigned n;

    if (!virtq_has_work(q)) {
        return NULL;
    }
    if (q->in_use >= q->size) {
        virtio_break(q->dev, "queue %u: more chains than descriptors", q->index);
        return NULL;
    }
    b.q = q;
    b.n_desc = b.n_out = b.n_in = 0;
    b.out_len = b.in_len = b.copied = 0;
    b.copies = NULL;
    if (!ring_load(q, q->avail + 4 + 2 * (uint64_t)(q->next_avail & (q->size - 1)), &head) ||
        !add_chain(&b, head)) {
        free_copies(b.copies);
        return NULL;
    }
    n = b.n_out + b.n_in;
    e = g_malloc(sizeof *e + n * sizeof e->iov[0]);
    *e = (VirtqElement){q, head, b.n_out, b.n_in, b.out_len, b.in_len, b.copies};
    memcpy(e->iov, b.iov, n * sizeof e->iov[0]);
    q->next_avail++;
    q->in_use++;
    return e;
}

/* -- Giving back --------------------------------------------------------------------------------- */

/* The first `written` bytes of the writable part have been filled in; copies go to the guest only
 * when it gets the element back. */
static void mark_written(VirtqElement *e, uint64_t written, bool give_copies)
{
    PhysMem *pm = e->queue->dev->mem;
    unsigned n = e->n_out + e->n_in;

    for (unsigned i = e->n_out; i < n && written > 0; i++) {
        uint64_t len = MIN(written, e->iov[i].iov_len);
        Copy *c = e->copies;

        while (c != NULL && c->index != i) {
            c = c->next;
        }
        if (c == NULL) {
            dma_written(pm, e->iov[i].iov_base, len);
        } else if (give_copies) {
            e->queue->dev->busy = true;
            dma_write(pm, c->addr, c->data, len);
            e->queue->dev->busy = false;
        }
        written -= len;
    }
}

static void free_element(VirtqElement *e)
{
    free_copies(e->copies);
    g_free(e);
}

void virtq_push(VirtqElement *e, uint64_t written)
{
    Virtqueue *q = e->queue;

    written = MIN(written, e->in_len);
    mark_written(e, written, is_usable(q));
    q->in_use--;
    if (is_usable(q)) {
        uint8_t *p = ring_at(q, q->used + 4 + 8 * (uint64_t)(q->next_used & (q->size - 1)), 8, true);
        if (p != NULL) {
            store_le(p, 4, e->head);
            store_le(p + 4, 4, (uint32_t)written);
            dma_written(q->dev->mem, p, 8);
            ring_store(q, q->used + 2, ++q->next_used);
        }
    }
    free_element(e);
}

void virtq_drop(VirtqElement *e)
{
    mark_written(e, e->in_len, false);
    e->queue->in_use--;
    free_element(e);
}

/* 2.7.7: the driver wants to hear when the used index passes used_event. */
static bool wants_interrupt(Virtqueue *q, uint16_t before)
{
    uint16_t now = q->next_used, word;

    if (!ring_load(q, q->avail + (event_idx(q) ? 4 + 2 * (uint64_t)q->size : 0), &word)) {
        return false;
    }
    return event_idx(q) ? (uint16_t)(now - word - 1) < (uint16_t)(now - before)
                        : (word & AVAIL_NO_INTERRUPT) == 0;
}

void virtq_notify(Virtqueue *q)
{
    uint16_t before = q->announced;

    if (!is_usable(q) || before == q->next_used) {
        return;
    }
    q->announced = q->next_used;
    __sync_synchronize();
    if (wants_interrupt(q, before) && q->dev->transport.interrupt != NULL) {
        q->dev->transport.interrupt(q->dev->transport.arg, q);
    }
}

/* -- Placement ----------------------------------------------------------------------------------- */

void virtq_set_size(Virtqueue *q, uint32_t size)
{
    if (!q->ready && size >= 1 && size <= q->size_max && (size & (size - 1)) == 0) {
        q->size = (uint16_t)size;
    } else {
        log_guest_error("%s: queue %u: size %u refused", q->dev->cls->name, q->index, size);
    }
}

void virtq_set_legacy(Virtqueue *q, uint64_t base, uint32_t align)
{
    if (align == 0 || (align & (align - 1)) != 0) {
        align = 4096;
    }
    q->desc = base;
    q->avail = base + DESC_LEN * (uint64_t)q->size;
    q->used = (q->avail + 6 + 2 * (uint64_t)q->size + align - 1) & ~(uint64_t)(align - 1);
    q->ready = base != 0;
    q->next_avail = q->next_used = q->announced = 0;
}

/* -- I/O vectors --------------------------------------------------------------------------------- */

unsigned iov_part(struct iovec *dst, const struct iovec *iov, unsigned n, uint64_t off,
                  uint64_t len)
{
    unsigned used = 0;

    for (unsigned i = 0; i < n && len > 0; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        uint64_t piece = MIN(iov[i].iov_len - off, len);
        dst[used++] = (struct iovec){(uint8_t *)iov[i].iov_base + off, piece};
        len -= piece;
        off = 0;
    }
    return used;
}

/* Walk [off, off+len) of a vector against a flat buffer. */
static uint64_t iov_copy(const struct iovec *iov, unsigned n, uint64_t off, uint8_t *buf,
                         uint64_t len, bool to_iov)
{
    uint64_t done = 0;

    for (unsigned i = 0; i < n && done < len; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        uint64_t piece = MIN(iov[i].iov_len - off, len - done);
        uint8_t *p = (uint8_t *)iov[i].iov_base + off;
        memcpy(to_iov ? p : buf + done, to_iov ? buf + done : p, piece);
        done += piece;
        off = 0;
    }
    return done;
}

uint64_t iov_read(const struct iovec *iov, unsigned n, uint64_t off, void *buf, uint64_t len)
{
    return iov_copy(iov, n, off, buf, len, false);
}

uint64_t iov_write(const struct iovec *iov, unsigned n, uint64_t off, const void *buf,
                   uint64_t len)
{
    return iov_copy(iov, n, off, (uint8_t *)buf, len, true);
}
