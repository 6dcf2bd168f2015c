/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio driver for tests: brings a device up over any transport through the registers a guest
 * would use, and keeps its queues in (fake) guest memory.  Queue n lives at DRIVER_QUEUES + n * 64 KiB
 * in the legacy layout, which suits every transport; buffers are the test's, above DRIVER_BUFFERS.
 */
#ifndef TESTS_HW_VIRTIO_DRIVER_H
#define TESTS_HW_VIRTIO_DRIVER_H

#include "hw/pci.h"
#include "hw/virtio-mmio.h"
#include "hw/virtio-pci.h"
#include "hw/virtio.h"
#include "tests/fake.h"

#include <check.h>

enum {
    DRIVER_RAM = 8 << 20,
    DRIVER_QUEUES = 0x100000,
    DRIVER_BUFFERS = 0x400000,
    DRIVER_PCI_SLOT = 4 << 3,
    DRIVER_IO = 0xc000,
    DRIVER_QUEUE_LEN = 16,
};
#define DRIVER_MODERN UINT64_C(0xfe000000)
#define DRIVER_MSIX UINT64_C(0xfe010000)
#define DRIVER_MMIO UINT64_C(0xfeb00000)

typedef enum { DRIVE_MODERN, DRIVE_LEGACY, DRIVE_MMIO, DRIVE_MMIO_LEGACY, DRIVE_KINDS } DriverKind;

typedef struct {
    uint64_t desc, avail, used;
    uint16_t size, next_desc, avail_idx, seen;
} DriverQueue;

typedef struct {
    DriverKind kind;
    Lock lock;
    PhysMem *mem;
    PortSpace *ports;
    PciBus *bus;
    PciDevice *pci;
    Device *dev;               /* the transport */
    VirtioDevice *vd;          /* inside it     */
    FakeIrq irq;
    unsigned n_msi;
    uint32_t msi_data;
    DriverQueue q[8];
} Driver;

typedef struct {
    uint64_t addr;
    uint32_t len;
    bool in;
} DriverBuffer;

static inline void driver_msi(void *arg, uint64_t addr, uint32_t data)
{
    Driver *d = arg;

    d->n_msi++;
    d->msi_data = data;
}

static inline void driver_machine(Driver *d, DriverKind kind)
{
    *d = (Driver){.kind = kind};
    lock_init(&d->lock, LOCK_RANK_MACHINE);
    d->mem = phys_mem_new(DRIVER_RAM, &d->lock, NULL);
    ck_assert_ptr_nonnull(d->mem);
    phys_mem_alloc(d->mem, DRIVER_RAM);
    d->ports = port_space_new(&d->lock);
    lock_take(&d->lock);
    /* two regions: buffers across 0x600000 come in two pieces */
    phys_region_ram(d->mem, 0, 0x600000, 0, 0, "low");
    phys_region_ram(d->mem, 0x600000, 0x100000, 0x700000, 0, "high");
    d->bus = pci_bus_new(d->mem, d->ports);
    for (unsigned i = 0; i < 4; i++) {
        d->bus->pirq[i] = FAKE_IRQ_LINE(&d->irq);
    }
    d->bus->msi = driver_msi;
    d->bus->msi_arg = d;
}

/* Plug the device in; it is not touched yet. */
static inline void driver_plug(Driver *d, VirtioDevice *vd)
{
    d->vd = vd;
    if (d->kind == DRIVE_MMIO || d->kind == DRIVE_MMIO_LEGACY) {
        d->dev = virtio_mmio_new(vd, &FAKE_IRQ_LINE(&d->irq), d->kind == DRIVE_MMIO_LEGACY);
        phys_region_mmio(d->mem, DRIVER_MMIO, VIRTIO_MMIO_LEN, &d->dev->cls->windows[0].ops, d->dev,
                         0, "mmio");
        return;
    }
    d->pci = virtio_pci_new(vd, NULL);
    d->dev = &d->pci->dev;
    ck_assert(pci_bus_add(d->bus, d->pci, 4, 0, NULL));
    pci_config_write(d->pci, 0x10, 4, DRIVER_IO);
    pci_config_write(d->pci, 0x14, 4, (uint32_t)DRIVER_MSIX);
    pci_config_write(d->pci, 0x20, 4, (uint32_t)DRIVER_MODERN);
    pci_config_write(d->pci, 4, 2, 7);
}

static inline void driver_end(Driver *d)
{
    device_free(d->dev);
    pci_bus_free(d->bus);
    lock_release(&d->lock);
    port_space_free(d->ports);
    phys_mem_free(d->mem);
    lock_clear(&d->lock);
}

/* -- Registers ----------------------------------------------------------------------------------- */

static inline void mem_write(Driver *d, uint64_t addr, unsigned size, uint64_t val)
{
    phys_write(d->mem, guest_phys(addr), size, val);
}

static inline uint64_t mem_read(Driver *d, uint64_t addr, unsigned size)
{
    return phys_read(d->mem, guest_phys(addr), size);
}

static inline uint8_t driver_status(Driver *d)
{
    switch (d->kind) {
    case DRIVE_MODERN: return (uint8_t)mem_read(d, DRIVER_MODERN + 20, 1);
    case DRIVE_LEGACY: return (uint8_t)port_read(d->ports, DRIVER_IO + 18, 1);
    default: return (uint8_t)mem_read(d, DRIVER_MMIO + 0x70, 4);
    }
}

static inline void driver_set_status(Driver *d, uint8_t status)
{
    switch (d->kind) {
    case DRIVE_MODERN: mem_write(d, DRIVER_MODERN + 20, 1, status); break;
    case DRIVE_LEGACY: port_write(d->ports, DRIVER_IO + 18, 1, status); break;
    default: mem_write(d, DRIVER_MMIO + 0x70, 4, status); break;
    }
}

static inline uint64_t driver_features(Driver *d)
{
    uint64_t lo = 0, hi = 0;

    switch (d->kind) {
    case DRIVE_MODERN:
        mem_write(d, DRIVER_MODERN, 4, 0);
        lo = mem_read(d, DRIVER_MODERN + 4, 4);
        mem_write(d, DRIVER_MODERN, 4, 1);
        hi = mem_read(d, DRIVER_MODERN + 4, 4);
        break;
    case DRIVE_LEGACY: lo = port_read(d->ports, DRIVER_IO, 4); break;
    default:
        mem_write(d, DRIVER_MMIO + 0x14, 4, 0);
        lo = mem_read(d, DRIVER_MMIO + 0x10, 4);
        mem_write(d, DRIVER_MMIO + 0x14, 4, 1);
        hi = mem_read(d, DRIVER_MMIO + 0x10, 4);
        break;
    }
    return hi << 32 | lo;
}

static inline void driver_set_features(Driver *d, uint64_t f)
{
    for (unsigned w = 0; w < 2; w++) {
        uint32_t val = (uint32_t)(f >> (w * 32));
        if (d->kind == DRIVE_MODERN) {
            mem_write(d, DRIVER_MODERN + 8, 4, w);
            mem_write(d, DRIVER_MODERN + 12, 4, val);
        } else if (d->kind == DRIVE_LEGACY && w == 0) {
            port_write(d->ports, DRIVER_IO + 4, 4, val);
        } else if (d->kind >= DRIVE_MMIO) {
            mem_write(d, DRIVER_MMIO + 0x24, 4, w);
            mem_write(d, DRIVER_MMIO + 0x20, 4, val);
        }
    }
}

static inline bool driver_is_modern(const Driver *d)
{
    return d->kind == DRIVE_MODERN || d->kind == DRIVE_MMIO;
}

static inline uint64_t driver_config(Driver *d, unsigned off, unsigned size)
{
    switch (d->kind) {
    case DRIVE_MODERN: return mem_read(d, DRIVER_MODERN + 0x2000 + off, size);
    case DRIVE_LEGACY: return port_read(d->ports, (uint16_t)(DRIVER_IO + 20 + off), size);
    default: return mem_read(d, DRIVER_MMIO + 0x100 + off, size);
    }
}

static inline void driver_set_config(Driver *d, unsigned off, unsigned size, uint32_t val)
{
    switch (d->kind) {
    case DRIVE_MODERN: mem_write(d, DRIVER_MODERN + 0x2000 + off, size, val); break;
    case DRIVE_LEGACY: port_write(d->ports, (uint16_t)(DRIVER_IO + 20 + off), size, val); break;
    default: mem_write(d, DRIVER_MMIO + 0x100 + off, size, val); break;
    }
}

/* Read and acknowledge the interrupt. */
static inline uint8_t driver_isr(Driver *d)
{
    uint8_t isr;

    switch (d->kind) {
    case DRIVE_MODERN: return (uint8_t)mem_read(d, DRIVER_MODERN + 0x1000, 1);
    case DRIVE_LEGACY: return (uint8_t)port_read(d->ports, DRIVER_IO + 19, 1);
    default:
        isr = (uint8_t)mem_read(d, DRIVER_MMIO + 0x60, 4);
        mem_write(d, DRIVER_MMIO + 0x64, 4, isr);
        return isr;
    }
}

/* -- Bringing up --------------------------------------------------------------------------------- */

static inline void mmio_write64(Driver *d, unsigned off, uint64_t v)
{
    mem_write(d, DRIVER_MMIO + off, 4, (uint32_t)v);
    mem_write(d, DRIVER_MMIO + off + 4, 4, v >> 32);
}

/* Tell the device where a queue is. */
static inline void driver_place_queue(Driver *d, unsigned i)
{
    DriverQueue *q = &d->q[i];

    switch (d->kind) {
    case DRIVE_MODERN:
        mem_write(d, DRIVER_MODERN + 22, 2, i);
        mem_write(d, DRIVER_MODERN + 24, 2, q->size);
        mem_write(d, DRIVER_MODERN + 32, 8, q->desc);
        mem_write(d, DRIVER_MODERN + 40, 8, q->avail);
        mem_write(d, DRIVER_MODERN + 48, 8, q->used);
        mem_write(d, DRIVER_MODERN + 28, 2, 1);
        break;
    case DRIVE_LEGACY:
        port_write(d->ports, DRIVER_IO + 14, 2, i);
        port_write(d->ports, DRIVER_IO + 8, 4, (uint32_t)(q->desc / 4096));
        break;
    case DRIVE_MMIO:
        mem_write(d, DRIVER_MMIO + 0x30, 4, i);
        mem_write(d, DRIVER_MMIO + 0x38, 4, q->size);
        mmio_write64(d, 0x80, q->desc);
        mmio_write64(d, 0x90, q->avail);
        mmio_write64(d, 0xa0, q->used);
        mem_write(d, DRIVER_MMIO + 0x44, 4, 1);
        break;
    default:
        mem_write(d, DRIVER_MMIO + 0x28, 4, 4096);
        mem_write(d, DRIVER_MMIO + 0x30, 4, i);
        mem_write(d, DRIVER_MMIO + 0x38, 4, q->size);
        mem_write(d, DRIVER_MMIO + 0x3c, 4, 4096);
        mem_write(d, DRIVER_MMIO + 0x40, 4, (uint32_t)(q->desc / 4096));
        break;
    }
}

static inline void driver_make_queue(Driver *d, unsigned i)
{
    uint16_t n = d->kind == DRIVE_LEGACY ? d->vd->queue[i].size_max : DRIVER_QUEUE_LEN;
    uint64_t base = DRIVER_QUEUES + i * 0x10000u, avail = base + 16u * n;

    n = MIN(n, d->vd->queue[i].size_max);
    memset(d->mem->base + base, 0, 0x10000);
    d->q[i] = (DriverQueue){base, avail, (avail + 6 + 2u * n + 4095) & ~4095u, n, 0, 0, 0};
    if (d->kind != DRIVE_LEGACY) {
        avail = base + 16u * n;
        d->q[i].avail = avail;
        d->q[i].used = (avail + 6 + 2u * n + 4095) & ~4095ull;
    }
}

/* 3.1.1: reset to DRIVER_OK with those of `features` that the device has. */
static inline void driver_start(Driver *d, uint64_t features)
{
    driver_set_status(d, 0);
    ck_assert_uint_eq(driver_status(d), 0);
    driver_set_status(d, 1);
    driver_set_status(d, 3);
    driver_set_features(d, driver_features(d) & (features | BIT64(VIRTIO_F_VERSION_1)));
    if (driver_is_modern(d)) {
        driver_set_status(d, 11);
        ck_assert_uint_eq(driver_status(d), 11);
    }
    for (unsigned i = 0; i < d->vd->n_queues && i < ARRAY_LEN(d->q); i++) {
        driver_make_queue(d, i);
        driver_place_queue(d, i);
    }
    driver_set_status(d, driver_status(d) | 4);
}

/* -- Queues -------------------------------------------------------------------------------------- */

static inline void driver_desc(Driver *d, uint64_t at, uint64_t addr, uint32_t len, unsigned flags,
                               unsigned next)
{
    uint8_t *p = d->mem->base + at;

    store_le(p, 8, addr);
    store_le(p + 8, 4, len);
    store_le(p + 12, 2, flags);
    store_le(p + 14, 2, next);
}

static inline void driver_offer(Driver *d, unsigned qi, unsigned head)
{
    DriverQueue *q = &d->q[qi];

    store_le(d->mem->base + q->avail + 4 + 2 * (q->avail_idx % q->size), 2, head);
    store_le(d->mem->base + q->avail + 2, 2, ++q->avail_idx);
}

/* Describe a chain; `table` non-zero: as an indirect table there.  Returns its head. */
static inline unsigned driver_add(Driver *d, unsigned qi, const DriverBuffer *b, unsigned n,
                                  uint64_t table)
{
    DriverQueue *q = &d->q[qi];
    unsigned head = q->next_desc;

    for (unsigned i = 0; i < n; i++) {
        unsigned flags = (b[i].in ? 2u : 0) | (i + 1 < n ? 1u : 0);
        unsigned at = table != 0 ? i : (head + i) % q->size;
        unsigned next = table != 0 ? i + 1 : (head + i + 1) % q->size;
        driver_desc(d, (table != 0 ? table : q->desc) + 16u * at, b[i].addr, b[i].len, flags,
                    i + 1 < n ? next : 0);
    }
    if (table != 0) {
        driver_desc(d, q->desc + 16u * head, table, 16 * n, 4, 0);
    }
    q->next_desc = (uint16_t)((head + (table != 0 ? 1 : n)) % q->size);
    driver_offer(d, qi, head);
    return head;
}

static inline void driver_kick(Driver *d, unsigned qi)
{
    switch (d->kind) {
    case DRIVE_MODERN: mem_write(d, DRIVER_MODERN + 0x3000 + 4 * qi, 2, qi); break;
    case DRIVE_LEGACY: port_write(d->ports, DRIVER_IO + 16, 2, qi); break;
    default: mem_write(d, DRIVER_MMIO + 0x50, 4, qi); break;
    }
}

/* Take a used element; false when there is none. */
static inline bool driver_used(Driver *d, unsigned qi, uint32_t *id, uint32_t *len)
{
    DriverQueue *q = &d->q[qi];
    const uint8_t *p = d->mem->base + q->used;

    if (load_le(p + 2, 2) == q->seen) {
        return false;
    }
    p += 4 + 8 * (q->seen % q->size);
    *id = (uint32_t)load_le(p, 4);
    *len = (uint32_t)load_le(p + 4, 4);
    q->seen++;
    return true;
}

#endif /* TESTS_HW_VIRTIO_DRIVER_H */
