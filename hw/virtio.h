/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio devices and their split virtqueues (virtio 1.2, chapters 2 and 3), apart from transport.
 *
 * A VirtioDevice (virtio-blk, ...) embeds VirtioDevice first, has a VirtioClass, and knows queues,
 * features and its configuration space.  A transport (hw/virtio-pci.h, hw/virtio-mmio.h) is the
 * Device that the machine maps, resets and owns; it owns its VirtioDevice:
 *
 *     VirtioDevice *vd = virtio_blk_new(mem, &config);
 *     PciDevice *pci = virtio_pci_new(vd, &options);
 *     pci_bus_add(bus, pci, slot, 0, &error); machine_add_device(m, &pci->dev);
 *
 * Everything the driver writes is distrusted.  What no honest driver does (descriptor loops, chains
 * longer than 1024, buffers outside memory, an index that jumps) breaks the device: it stops looking
 * at its queues and sets DEVICE_NEEDS_RESET (2.1.2) until the driver resets it.  Each descriptor is
 * read once.  Machine lock held throughout.
 */
#ifndef HW_VIRTIO_H
#define HW_VIRTIO_H

#include "hw/dma.h"
#include "softmmu/base/fields.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct VirtioDevice VirtioDevice;
typedef struct Virtqueue Virtqueue;

enum {
    VIRTIO_STATUS_ACKNOWLEDGE = 1,
    VIRTIO_STATUS_DRIVER = 2,
    VIRTIO_STATUS_DRIVER_OK = 4,
    VIRTIO_STATUS_FEATURES_OK = 8,
    VIRTIO_STATUS_NEEDS_RESET = 64,
    VIRTIO_STATUS_FAILED = 128,
};

enum {
    VIRTIO_F_ANY_LAYOUT = 27,       /* legacy interface only */
    VIRTIO_F_INDIRECT_DESC = 28,
    VIRTIO_F_EVENT_IDX = 29,
    VIRTIO_F_VERSION_1 = 32,
};

enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };
enum { VIRTIO_NO_VECTOR = 0xffff, VIRTIO_MAX_CHAIN = 1024, VIRTIO_MAX_CONFIG = 64 };

/* -- Devices ------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    uint16_t id;                    /* virtio device id (chapter 5)    */
    uint32_t pci_class;             /* 24 bits                         */
    /* All but queue_notify and destroy may be NULL. */
    void (*config_reading)(VirtioDevice *d);     /* bring config[] up to date            */
    void (*config_written)(VirtioDevice *d, unsigned off, unsigned size);
    void (*queue_notify)(VirtioDevice *d, Virtqueue *q);
    void (*driver_ok)(VirtioDevice *d);          /* the driver is set up; features final */
    void (*reset)(VirtioDevice *d);              /* give back every element              */
    void (*destroy)(VirtioDevice *d);            /* after reset; frees the whole struct  */
    const FieldTable *state;        /* of it beyond the VirtioDevice; fields_none: nothing is saved */
} VirtioClass;

typedef struct {
    void *arg;
    void (*interrupt)(void *arg, Virtqueue *q);  /* NULL: the configuration has changed  */
} VirtioTransport;

struct Virtqueue {
    VirtioDevice *dev;
    unsigned index;
    uint16_t size_max;              /* power of two, up to 1024 */

    /* set by the driver */
    uint16_t size;
    bool ready;
    uint64_t desc, avail, used;     /* guest-physical */
    uint16_t vector;                /* MSI-X, or VIRTIO_NO_VECTOR */

    /* progress */
    uint16_t next_avail, next_used;
    uint16_t announced;             /* next_used at the last virtq_notify() */
    unsigned in_use;                /* elements taken, not yet pushed  */
};

struct VirtioDevice {
    /* wiring, set once */
    const VirtioClass *cls;
    PhysMem *mem;                   /* borrowed */
    VirtioTransport transport;
    uint64_t host_features;
    unsigned config_len;
    uint8_t config_writable[VIRTIO_MAX_CONFIG]; /* bits */
    Virtqueue *queue;
    unsigned n_queues;

    /* state */
    uint8_t config[VIRTIO_MAX_CONFIG];
    uint64_t guest_features;
    uint8_t status;
    uint8_t isr;
    uint32_t config_generation;
    bool broken;                    /* until reset */
    bool busy;                      /* copying to or from a device window, perhaps its own:
                                       register writes meanwhile have no effect */
    bool dma_off;                   /* the transport may not touch memory (PCI bus master) */
};

/* For constructors: n_queues queues of size_max each.  The core adds its own feature bits. */
void virtio_init(VirtioDevice *d, const VirtioClass *cls, PhysMem *mem, unsigned n_queues,
                 uint16_t size_max, unsigned config_len, uint64_t features);
/* For the class's destroy: frees what virtio_init() took. */
void virtio_clear(VirtioDevice *d);
/* For transports: reset and destroy; NULL is fine. */
void virtio_free(VirtioDevice *d);

static inline bool virtio_has(const VirtioDevice *d, unsigned feature)
{
    return (d->guest_features & BIT64(feature)) != 0;
}

/* The configuration (config[]) has changed: a new generation and an interrupt. */
void virtio_config_changed(VirtioDevice *d);

/* The driver broke the rules: stop until reset. */
void virtio_break(VirtioDevice *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* -- Elements ------------------------------------------------------------------------------------ */

/* One chain of buffers taken from a queue: iov[0..n_out) is for the device to read, the n_in after
 * them for it to write.  Host addresses are guest RAM itself, or copies of what is not RAM. */
typedef struct VirtqElement VirtqElement;
struct VirtqElement {
    Virtqueue *queue;
    uint16_t head;
    unsigned n_out, n_in;
    uint64_t out_len, in_len;
    void *copies;                   /* private to virtio.c */
    struct iovec iov[];
};

static inline struct iovec *virtq_in(VirtqElement *e)
{
    return e->iov + e->n_out;
}

/* Take the next chain, NULL when there is none (or the device is broken). */
VirtqElement *virtq_pop(Virtqueue *q);
/* How many chains to take for one doorbell where each is given back at once: another CPU of the
 * guest could keep the loop going for ever. */
static inline unsigned virtq_budget(const Virtqueue *q)
{
    return 4u * q->size;
}
/* Would virtq_pop() find something? */
bool virtq_has_work(Virtqueue *q);
/* Give a chain back: the first `written` bytes of its writable part are filled in.  Frees it. */
void virtq_push(VirtqElement *e, uint64_t written);
/* Free without giving it back (reset); memory the host may have written is still marked. */
void virtq_drop(VirtqElement *e);
/* Interrupt the driver for what was pushed, unless it asked not to be. */
void virtq_notify(Virtqueue *q);

/* Copy between a buffer and [off, off+len) of an I/O vector; returns how much there was. */
uint64_t iov_read(const struct iovec *iov, unsigned n, uint64_t off, void *buf, uint64_t len);
uint64_t iov_write(const struct iovec *iov, unsigned n, uint64_t off, const void *buf,
                   uint64_t len);
/* The part [off, off+len) of a vector, into `dst` (room for n); returns how many elements. */
unsigned iov_part(struct iovec *dst, const struct iovec *iov, unsigned n, uint64_t off,
                  uint64_t len);

/* For transports' tables: the device they own. */
extern const FieldTable virtio_device_state;

/* -- For transports ------------------------------------------------------------------------------ */

void virtio_reset(VirtioDevice *d);
/* A write of the status register: 0 resets; FEATURES_OK sticks only when the features are ours. */
void virtio_set_status(VirtioDevice *d, uint8_t status);
/* A doorbell; an index out of range is ignored. */
void virtio_kick(VirtioDevice *d, unsigned queue);
/* Look at every queue again (DMA is allowed again). */
void virtio_kick_all(VirtioDevice *d);

/* Device features as the interface shows them, 32 bits of word 0 or 1 (others: 0). */
uint32_t virtio_features_word(const VirtioDevice *d, uint32_t word, bool legacy);
void virtio_set_features_word(VirtioDevice *d, uint32_t word, uint32_t val, bool legacy);

uint32_t virtio_config_read(VirtioDevice *d, unsigned off, unsigned size);
void virtio_config_write(VirtioDevice *d, unsigned off, unsigned size, uint32_t val);

/* The legacy layout of a queue in one piece (2.7.2); 0 takes the queue away. */
void virtq_set_legacy(Virtqueue *q, uint64_t base, uint32_t align);
/* A size the driver wants: a power of two up to size_max is taken, else ignored. */
void virtq_set_size(Virtqueue *q, uint32_t size);

#endif /* HW_VIRTIO_H */
