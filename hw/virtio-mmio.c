/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/virtio-mmio.h"

#include "softmmu/base/log.h"

/* Registers (4.2.2, 4.2.4), all of 32 bits. */
enum {
    REG_MAGIC = 0x000,
    REG_VERSION = 0x004,
    REG_DEVICE_ID = 0x008,
    REG_VENDOR_ID = 0x00c,
    REG_DEVICE_FEATURES = 0x010,
    REG_DEVICE_FEATURES_SEL = 0x014,
    REG_DRIVER_FEATURES = 0x020,
    REG_DRIVER_FEATURES_SEL = 0x024,
    REG_GUEST_PAGE_SIZE = 0x028,   /* legacy */
    REG_QUEUE_SEL = 0x030,
    REG_QUEUE_NUM_MAX = 0x034,
    REG_QUEUE_NUM = 0x038,
    REG_QUEUE_ALIGN = 0x03c,       /* legacy */
    REG_QUEUE_PFN = 0x040,         /* legacy */
    REG_QUEUE_READY = 0x044,
    REG_QUEUE_NOTIFY = 0x050,
    REG_INTERRUPT_STATUS = 0x060,
    REG_INTERRUPT_ACK = 0x064,
    REG_STATUS = 0x070,
    REG_QUEUE_DESC = 0x080,
    REG_QUEUE_DRIVER = 0x090,
    REG_QUEUE_DEVICE = 0x0a0,
    REG_CONFIG_GENERATION = 0x0fc,
    REG_CONFIG = 0x100,
};

#define MAGIC 0x74726976u          /* "virt" */
#define VENDOR 0x554d4551u         /* what drivers know from elsewhere */

typedef struct {
    Device dev;
    VirtioDevice *vd;              /* owned; NULL: an empty slot */
    IrqLine irq;
    bool legacy;

    uint32_t device_features_sel, driver_features_sel, queue_sel;
    uint32_t page_size, queue_align;
} VirtioMmio;

static Virtqueue *selected(const VirtioMmio *s)
{
    return s->queue_sel < s->vd->n_queues ? &s->vd->queue[s->queue_sel] : NULL;
}

static void interrupt(void *arg, Virtqueue *q)
{
    VirtioMmio *s = arg;

    s->vd->isr |= q != NULL ? VIRTIO_ISR_QUEUE : VIRTIO_ISR_CONFIG;
    irq_set(&s->irq, 1);
}

static void acknowledge(VirtioMmio *s, uint8_t bits)
{
    s->vd->isr &= (uint8_t)~bits;
    if (s->vd->isr == 0) {
        irq_set(&s->irq, 0);
    }
}

static void forget(VirtioMmio *s)
{
    s->device_features_sel = s->driver_features_sel = s->queue_sel = 0;
    s->page_size = s->queue_align = 4096;
    irq_set(&s->irq, 0);
}

/* -- Reading ------------------------------------------------------------------------------------- */

static uint32_t queue_register(const VirtioMmio *s, uint64_t off)
{
    const Virtqueue *q = selected(s);

    if (q == NULL) {
        return 0;
    }
    switch (off) {
    case REG_QUEUE_NUM_MAX: return q->size_max;
    case REG_QUEUE_PFN: return s->legacy && q->ready ? (uint32_t)(q->desc / s->page_size) : 0;
    case REG_QUEUE_READY: return !s->legacy && q->ready;
    default: return 0;
    }
}

static uint32_t register_read(VirtioMmio *s, uint64_t off)
{
    switch (off) {
    case REG_MAGIC: return MAGIC;
    case REG_VERSION: return s->legacy ? 1 : 2;
    case REG_DEVICE_ID: return s->vd != NULL ? s->vd->cls->id : 0;
    case REG_VENDOR_ID: return VENDOR;
    default: break;
    }
    if (s->vd == NULL) {
        return 0;
    }
    switch (off) {
    case REG_DEVICE_FEATURES:
        return s->legacy && s->device_features_sel != 0
                   ? 0 : virtio_features_word(s->vd, s->device_features_sel, s->legacy);
    case REG_INTERRUPT_STATUS: return s->vd->isr;
    case REG_STATUS: return s->vd->status;
    case REG_CONFIG_GENERATION: return s->legacy ? 0 : s->vd->config_generation;
    default: return queue_register(s, off);
    }
}

static uint64_t mmio_read(void *arg, uint64_t off, unsigned size)
{
    VirtioMmio *s = arg;

    if (off >= REG_CONFIG) {
        return s->vd != NULL ? virtio_config_read(s->vd, (unsigned)off - REG_CONFIG, size) : 0;
    }
    return size == 4 ? register_read(s, off) : 0;
}

/* -- Writing ------------------------------------------------------------------------------------- */

static void put_half(uint64_t *reg, uint64_t off, uint32_t val)
{
    *reg = bits_put(*reg, (off & 4) != 0 ? 32 : 0, 32, val);
}

static void queue_write(VirtioMmio *s, uint64_t off, uint32_t val)
{
    Virtqueue *q = selected(s);

    if (q == NULL) {
        return;
    }
    if (s->legacy) {
        if (off == REG_QUEUE_NUM) {
            virtq_set_size(q, val);
        } else if (off == REG_QUEUE_PFN) {
            virtq_set_legacy(q, (uint64_t)val * s->page_size, s->queue_align);
        }
        return;
    }
    if (off == REG_QUEUE_READY) {
        q->ready = val == 1;
        return;
    }
    if (q->ready) {
        log_guest_error("%s: queue %u is changed while enabled", s->vd->cls->name, q->index);
        return;
    }
    switch (off) {
    case REG_QUEUE_NUM: virtq_set_size(q, val); break;
    case REG_QUEUE_DESC: case REG_QUEUE_DESC + 4: put_half(&q->desc, off, val); break;
    case REG_QUEUE_DRIVER: case REG_QUEUE_DRIVER + 4: put_half(&q->avail, off, val); break;
    case REG_QUEUE_DEVICE: case REG_QUEUE_DEVICE + 4: put_half(&q->used, off, val); break;
    default: break;
    }
}

static void mmio_write(void *arg, uint64_t off, unsigned size, uint64_t val64)
{
    VirtioMmio *s = arg;
    uint32_t val = (uint32_t)val64;

    if (s->vd == NULL || s->vd->busy) {
        return;
    }
    if (off >= REG_CONFIG) {
        virtio_config_write(s->vd, (unsigned)off - REG_CONFIG, size, val);
        return;
    }
    if (size != 4) {
        log_guest_error("%s: write of %u bytes to a register", s->vd->cls->name, size);
        return;
    }
    switch (off) {
    case REG_DEVICE_FEATURES_SEL: s->device_features_sel = val; break;
    case REG_DRIVER_FEATURES_SEL: s->driver_features_sel = val; break;
    case REG_DRIVER_FEATURES:
        virtio_set_features_word(s->vd, s->driver_features_sel, val, s->legacy);
        break;
    case REG_GUEST_PAGE_SIZE:
        s->page_size = val != 0 && (val & (val - 1)) == 0 ? val : 4096;
        break;
    case REG_QUEUE_ALIGN: s->queue_align = val; break;
    case REG_QUEUE_SEL: s->queue_sel = val; break;
    case REG_QUEUE_NOTIFY: virtio_kick(s->vd, val & 0xffff); break;
    case REG_INTERRUPT_ACK: acknowledge(s, (uint8_t)val); break;
    case REG_STATUS:
        virtio_set_status(s->vd, (uint8_t)val);
        if (s->vd->status == 0) {
            forget(s);
        }
        break;
    default: queue_write(s, off, val); break;
    }
}

/* -- Device -------------------------------------------------------------------------------------- */

static void mmio_reset(Device *d)
{
    VirtioMmio *s = (VirtioMmio *)d;

    if (s->vd != NULL) {
        virtio_reset(s->vd);
    }
    forget(s);
}

static void mmio_destroy(Device *d)
{
    virtio_free(((VirtioMmio *)d)->vd);
    g_free(d);
}

static const DeviceWindow mmio_windows[] = {
    {"virtio-mmio", WINDOW_MMIO, VIRTIO_MMIO_LEN, {mmio_read, mmio_write, 4, .bells = {.off = REG_QUEUE_NOTIFY, .count = 4, .by_value = true}}},
};

static void *find_device(void *state, unsigned i, const FieldTable **table)
{
    *table = &virtio_device_state;
    return i == 0 ? ((VirtioMmio *)state)->vd : NULL;
}

static bool mmio_loaded(void *state, GError **error)
{
    VirtioMmio *s = state;

    s->page_size = s->page_size != 0 ? s->page_size : 4096;
    return true;
}

/* Doorbells that nobody heard. */
static void mmio_moved(Device *d)
{
    VirtioMmio *s = (VirtioMmio *)d;

    if (s->vd != NULL) {
        virtio_kick_all(s->vd);
    }
}

static const Field mmio_fields[] = {
    FIELD(VirtioMmio, device_features_sel), FIELD(VirtioMmio, driver_features_sel), FIELD(VirtioMmio, queue_sel),
    FIELD(VirtioMmio, page_size), FIELD(VirtioMmio, queue_align), FIELD_FIND("virtio", find_device),
};
static const FieldTable mmio_state = {.version = 1, FIELDS(mmio_fields), .loaded = mmio_loaded};

static const DeviceClass mmio_class = {
    .name = "virtio-mmio",
    .help = "virtio device in memory",
    .windows = mmio_windows,
    .n_windows = ARRAY_LEN(mmio_windows),
    .reset = mmio_reset,
    .destroy = mmio_destroy,
    .state = &mmio_state,
    .moved = mmio_moved,
};

Device *virtio_mmio_new(VirtioDevice *vd, const IrqLine *irq, bool force_legacy)
{
    VirtioMmio *s = g_new0(VirtioMmio, 1);

    s->dev.cls = &mmio_class;
    s->vd = vd;
    s->irq = *irq;
    s->legacy = force_legacy;
    if (vd != NULL) {
        vd->transport = (VirtioTransport){s, interrupt};
        if (force_legacy) {
            vd->host_features &= ~BIT64(VIRTIO_F_VERSION_1);
        }
    }
    mmio_reset(&s->dev);
    return &s->dev;
}
