/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Device status, features and configuration; the queues are in virtio-queue.c. */
#include "hw/virtio.h"

#include "softmmu/base/log.h"

#include <stdarg.h>
#include <stdio.h>

void virtio_init(VirtioDevice *d, const VirtioClass *cls, PhysMem *mem, unsigned n_queues,
                 uint16_t size_max, unsigned config_len, uint64_t features)
{
    g_assert(config_len <= VIRTIO_MAX_CONFIG && size_max <= VIRTIO_MAX_CHAIN);
    d->cls = cls;
    d->mem = mem;
    d->n_queues = n_queues;
    d->config_len = config_len;
    d->host_features = features | BIT64(VIRTIO_F_ANY_LAYOUT) | BIT64(VIRTIO_F_INDIRECT_DESC) |
                       BIT64(VIRTIO_F_EVENT_IDX) | BIT64(VIRTIO_F_VERSION_1);
    d->queue = g_new0(Virtqueue, n_queues);
    for (unsigned i = 0; i < n_queues; i++) {
        d->queue[i] = (Virtqueue){.dev = d, .index = i, .size_max = size_max, .size = size_max,
                                  .vector = VIRTIO_NO_VECTOR};
    }
}

void virtio_clear(VirtioDevice *d)
{
    g_clear_pointer(&d->queue, g_free);
}

void virtio_free(VirtioDevice *d)
{
    if (d != NULL) {
        virtio_reset(d);
        d->cls->destroy(d);
    }
}

/* -- Status -------------------------------------------------------------------------------------- */

void virtio_reset(VirtioDevice *d)
{
    if (d->cls->reset != NULL) {
        d->cls->reset(d);
    }
    d->guest_features = 0;
    d->status = 0;
    d->isr = 0;
    d->config_generation = 0;
    d->broken = false;
    for (unsigned i = 0; i < d->n_queues; i++) {
        Virtqueue *q = &d->queue[i];
        *q = (Virtqueue){.dev = d, .index = i, .size_max = q->size_max, .size = q->size_max,
                         .vector = VIRTIO_NO_VECTOR};
    }
}

void virtio_set_status(VirtioDevice *d, uint8_t status)
{
    uint8_t sets = status & ~d->status;
    bool modern = virtio_has(d, VIRTIO_F_VERSION_1);

    trace(virtio_status, "%s 0x%x -> 0x%x", d->cls->name, d->status, status);
    if (d->busy) {
        return;
    }
    if (status == 0) {
        virtio_reset(d);
        return;
    }
    if ((sets & VIRTIO_STATUS_FEATURES_OK) != 0 &&
        (!modern || (d->guest_features & ~d->host_features) != 0)) {
        log_guest_error("%s: features 0x%" G_GINT64_MODIFIER "x refused", d->cls->name,
                        d->guest_features);
        status &= (uint8_t)~VIRTIO_STATUS_FEATURES_OK;
    }
    d->status = status | (d->status & VIRTIO_STATUS_NEEDS_RESET);
    if ((sets & status & VIRTIO_STATUS_DRIVER_OK) != 0) {
        if (d->cls->driver_ok != NULL) {
            d->cls->driver_ok(d);
        }
        virtio_kick_all(d);
    }
}

void virtio_break(VirtioDevice *d, const char *fmt, ...)
{
    char text[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_guest_error("%s: %s: the device needs a reset", d->cls->name, text);
    trace(virtio_broken, "%s: %s", d->cls->name, text);
    if (d->broken) {
        return;
    }
    d->broken = true;
    if (virtio_has(d, VIRTIO_F_VERSION_1)) {
        d->status |= VIRTIO_STATUS_NEEDS_RESET;
        virtio_config_changed(d);
    }
}

/* Drivers of the legacy interface may use queues before they say DRIVER_OK. */
static bool is_live(const VirtioDevice *d)
{
    uint8_t need = virtio_has(d, VIRTIO_F_VERSION_1) ? VIRTIO_STATUS_DRIVER_OK
                                                     : VIRTIO_STATUS_DRIVER_OK | VIRTIO_STATUS_DRIVER;

    return !d->broken && !d->dma_off && !d->busy && (d->status & need) != 0;
}

void virtio_kick(VirtioDevice *d, unsigned queue)
{
    trace(virtio_notify, "%s queue=%u", d->cls->name, queue);
    if (queue < d->n_queues && d->queue[queue].ready && is_live(d)) {
        d->cls->queue_notify(d, &d->queue[queue]);
    }
}

void virtio_kick_all(VirtioDevice *d)
{
    for (unsigned i = 0; i < d->n_queues; i++) {
        virtio_kick(d, i);
    }
}

/* -- Features ------------------------------------------------------------------------------------ */

static uint64_t offered(const VirtioDevice *d, bool legacy)
{
    return legacy ? (uint32_t)d->host_features : d->host_features & ~BIT64(VIRTIO_F_ANY_LAYOUT);
}

uint32_t virtio_features_word(const VirtioDevice *d, uint32_t word, bool legacy)
{
    return word < 2 ? (uint32_t)(offered(d, legacy) >> (word * 32)) : 0;
}

void virtio_set_features_word(VirtioDevice *d, uint32_t word, uint32_t val, bool legacy)
{
    if (d->busy || word >= 2 || (d->status & (VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK)) != 0) {
        return; /* decided already (3.1.1) */
    }
    d->guest_features = bits_put(d->guest_features, word * 32, 32, val);
    if (legacy) {
        d->guest_features &= offered(d, true);
    }
}

/* -- Configuration space ------------------------------------------------------------------------- */

uint32_t virtio_config_read(VirtioDevice *d, unsigned off, unsigned size)
{
    uint8_t b[4] = {0};

    if (off >= d->config_len) {
        return 0;
    }
    if (d->cls->config_reading != NULL) {
        d->cls->config_reading(d);
    }
    memcpy(b, d->config + off, MIN(size, d->config_len - off));
    return (uint32_t)load_le(b, size);
}

void virtio_config_write(VirtioDevice *d, unsigned off, unsigned size, uint32_t val)
{
    if (d->busy || off >= d->config_len || size > d->config_len - off) {
        return;
    }
    for (unsigned i = off; i < off + size; i++, val >>= 8) {
        uint8_t mask = d->config_writable[i];
        d->config[i] = (uint8_t)((d->config[i] & ~mask) | (val & mask));
    }
    if (d->cls->config_written != NULL) {
        d->cls->config_written(d, off, size);
    }
}

void virtio_config_changed(VirtioDevice *d)
{
    d->config_generation++;
    if (d->transport.interrupt != NULL && d->status != 0) {
        d->transport.interrupt(d->transport.arg, NULL);
    }
}

/* -- Saving -------------------------------------------------------------------------------------- */

static bool refuse(GError **error, const char *what)
{
    g_set_error_literal(error, g_quark_from_static_string("virtio"), 0, what);
    return false;
}

static bool queue_saving(void *state, GError **error)
{
    return ((Virtqueue *)state)->in_use == 0 || refuse(error, "requests are in flight");
}

static bool queue_loaded(void *state, GError **error)
{
    const Virtqueue *q = state;

    return (q->size != 0 && q->size <= q->size_max && (q->size & (q->size - 1)) == 0) ||
           refuse(error, "no queue has such a size");
}

static const Field queue_fields[] = {
    FIELD_SAME(Virtqueue, size_max), FIELD(Virtqueue, size), FIELD(Virtqueue, ready), FIELD(Virtqueue, desc), FIELD(Virtqueue, avail), FIELD(Virtqueue, used),
    FIELD(Virtqueue, vector), FIELD(Virtqueue, next_avail), FIELD(Virtqueue, next_used), FIELD(Virtqueue, announced),
};
static const FieldTable queue_state = {.version = 1, FIELDS(queue_fields), .saving = queue_saving, .loaded = queue_loaded};

static void *find_queue(void *state, unsigned i, const FieldTable **table)
{
    VirtioDevice *d = state;

    *table = &queue_state;
    return i < d->n_queues ? &d->queue[i] : NULL;
}

static void *find_class(void *state, unsigned i, const FieldTable **table)
{
    *table = ((VirtioDevice *)state)->cls->state;
    return i == 0 ? state : NULL;
}

static bool device_saving(void *state, GError **error)
{
    return ((VirtioDevice *)state)->cls->state != NULL || refuse(error, "its state cannot be saved");
}

static bool device_loaded(void *state, GError **error)
{
    const VirtioDevice *d = state;

    return (d->guest_features & ~d->host_features) == 0 || (d->status & VIRTIO_STATUS_FEATURES_OK) == 0 ||
           refuse(error, "it was saved with features that this one does not have");
}

static const Field device_fields[] = {
    FIELD(VirtioDevice, config), FIELD(VirtioDevice, guest_features), FIELD(VirtioDevice, status), FIELD(VirtioDevice, isr),
    FIELD(VirtioDevice, config_generation), FIELD(VirtioDevice, broken), FIELD_FIND("queue", find_queue),
    FIELD_FIND("device", find_class),
};
const FieldTable virtio_device_state = {.version = 1, FIELDS(device_fields), .saving = device_saving,
                                        .loaded = device_loaded};
