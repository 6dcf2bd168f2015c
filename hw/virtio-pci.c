/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/virtio-pci.h"

#include "softmmu/base/log.h"

enum { VENDOR_VIRTIO = 0x1af4, BAR_LEGACY = 0, BAR_MSIX = 1, BAR_MODERN = 4 };
enum { AREA_COMMON, AREA_ISR, AREA_DEVICE, AREA_NOTIFY, AREA_LEN = 0x1000, N_AREAS = 4 };
enum { NOTIFY_STEP = 4 };
/* cfg_type of the capabilities (4.1.4). */
enum { CAP_COMMON = 1, CAP_NOTIFY, CAP_ISR, CAP_DEVICE, CAP_PCI };

typedef struct {
    PciDevice pci;
    VirtioDevice *vd;          /* owned */
    DeviceClass cls;           /* named for what is inside */
    char name[32];
    unsigned cfg_cap;          /* the configuration access capability */

    uint32_t device_feature_select, driver_feature_select;
    uint16_t queue_select, config_vector;
} VirtioPci;

VirtioDevice *virtio_pci_device(const PciDevice *d)
{
    return ((const VirtioPci *)d)->vd;
}

static Virtqueue *selected(const VirtioPci *s)
{
    return s->queue_select < s->vd->n_queues ? &s->vd->queue[s->queue_select] : NULL;
}

/* -- Interrupts ---------------------------------------------------------------------------------- */

static void interrupt(void *arg, Virtqueue *q)
{
    VirtioPci *s = arg;

    if (pci_msix_enabled(&s->pci)) {
        pci_msix_notify(&s->pci, q != NULL ? q->vector : s->config_vector);
        return;
    }
    s->vd->isr |= q != NULL ? VIRTIO_ISR_QUEUE : VIRTIO_ISR_CONFIG;
    pci_set_intx(&s->pci, true);
}

/* Reading the ISR acknowledges (4.1.4.5). */
static uint8_t read_isr(VirtioPci *s)
{
    uint8_t isr = s->vd->isr;

    s->vd->isr = 0;
    pci_set_intx(&s->pci, false);
    return isr;
}

static uint16_t valid_vector(const VirtioPci *s, uint64_t v)
{
    return v < s->pci.msix.n ? (uint16_t)v : VIRTIO_NO_VECTOR;
}

static void set_status(VirtioPci *s, uint8_t status)
{
    virtio_set_status(s->vd, status);
    if (s->vd->status == 0) {
        s->config_vector = VIRTIO_NO_VECTOR;
        s->queue_select = 0;
        s->device_feature_select = s->driver_feature_select = 0;
        pci_set_intx(&s->pci, false);
    }
}

/* -- Common configuration (4.1.4.3) -------------------------------------------------------------- */

/* Registers by offset; the size is that of the register. */
enum {
    COMMON_DFSELECT = 0,
    COMMON_DF = 4,
    COMMON_GFSELECT = 8,
    COMMON_GF = 12,
    COMMON_MSIX = 16,
    COMMON_N_QUEUES = 18,
    COMMON_STATUS = 20,
    COMMON_GENERATION = 21,
    COMMON_Q_SELECT = 22,
    COMMON_Q_SIZE = 24,
    COMMON_Q_MSIX = 26,
    COMMON_Q_ENABLE = 28,
    COMMON_Q_NOTIFY_OFF = 30,
    COMMON_Q_DESC = 32,
    COMMON_Q_DRIVER = 40,
    COMMON_Q_DEVICE = 48,
    COMMON_LEN = 56,
};

static unsigned common_size(unsigned off)
{
    return off < COMMON_MSIX || off >= COMMON_Q_DESC                ? 4
           : off == COMMON_STATUS || off == COMMON_GENERATION ? 1
                                                              : 2;
}

static uint32_t queue_read(const VirtioPci *s, unsigned off)
{
    const Virtqueue *q = selected(s);

    if (q == NULL) {
        return 0;
    }
    switch (off) {
    case COMMON_Q_SIZE: return q->size;
    case COMMON_Q_MSIX: return q->vector;
    case COMMON_Q_ENABLE: return q->ready;
    case COMMON_Q_NOTIFY_OFF: return q->index;
    case COMMON_Q_DESC: return (uint32_t)q->desc;
    case COMMON_Q_DESC + 4: return (uint32_t)(q->desc >> 32);
    case COMMON_Q_DRIVER: return (uint32_t)q->avail;
    case COMMON_Q_DRIVER + 4: return (uint32_t)(q->avail >> 32);
    case COMMON_Q_DEVICE: return (uint32_t)q->used;
    case COMMON_Q_DEVICE + 4: return (uint32_t)(q->used >> 32);
    default: return 0;
    }
}

static uint32_t common_register(const VirtioPci *s, unsigned off)
{
    const VirtioDevice *vd = s->vd;

    switch (off) {
    case COMMON_DFSELECT: return s->device_feature_select;
    case COMMON_DF: return virtio_features_word(vd, s->device_feature_select, false);
    case COMMON_GFSELECT: return s->driver_feature_select;
    case COMMON_GF:
        return s->driver_feature_select < 2
                   ? (uint32_t)(vd->guest_features >> (s->driver_feature_select * 32)) : 0;
    case COMMON_MSIX: return s->config_vector;
    case COMMON_N_QUEUES: return vd->n_queues;
    case COMMON_STATUS: return vd->status;
    case COMMON_GENERATION: return (uint8_t)vd->config_generation;
    case COMMON_Q_SELECT: return s->queue_select;
    default: return queue_read(s, off);
    }
}

static uint32_t common_read(const VirtioPci *s, unsigned off, unsigned size)
{
    uint32_t val = 0;

    for (unsigned i = 0; i < size; i++) { /* any width: put together from bytes */
        unsigned at = off + i, reg;
        if (at >= COMMON_LEN) {
            break;
        }
        reg = at == COMMON_GENERATION ? at : at & ~(common_size(at) - 1);
        val |= ((common_register(s, reg) >> ((at - reg) * 8)) & 0xff) << (i * 8);
    }
    return val;
}

static void put_half(uint64_t *reg, bool high, uint32_t val)
{
    *reg = bits_put(*reg, high ? 32 : 0, 32, val);
}

static void queue_write(VirtioPci *s, unsigned off, uint32_t val)
{
    Virtqueue *q = selected(s);

    if (q == NULL || s->vd->busy) {
        return;
    }
    if (off == COMMON_Q_MSIX) {
        q->vector = valid_vector(s, val);
        return;
    }
    if (q->ready) {
        log_guest_error("%s: queue %u is changed while enabled", s->vd->cls->name, q->index);
        return;
    }
    switch (off) {
    case COMMON_Q_SIZE: virtq_set_size(q, val); break;
    case COMMON_Q_ENABLE: q->ready = val == 1; break;
    case COMMON_Q_DESC: case COMMON_Q_DESC + 4: put_half(&q->desc, (off & 4) != 0, val); break;
    case COMMON_Q_DRIVER: case COMMON_Q_DRIVER + 4: put_half(&q->avail, (off & 4) != 0, val); break;
    case COMMON_Q_DEVICE: case COMMON_Q_DEVICE + 4: put_half(&q->used, (off & 4) != 0, val); break;
    default: break;
    }
}

static void common_write(VirtioPci *s, unsigned off, unsigned size, uint32_t val)
{
    if (off >= COMMON_LEN || size != common_size(off)) {
        log_guest_error("%s: write of %u bytes to common register 0x%x", s->vd->cls->name, size,
                        off);
        return;
    }
    switch (off) {
    case COMMON_DFSELECT: s->device_feature_select = val; break;
    case COMMON_GFSELECT: s->driver_feature_select = val; break;
    case COMMON_GF: virtio_set_features_word(s->vd, s->driver_feature_select, val, false); break;
    case COMMON_MSIX: s->config_vector = valid_vector(s, val); break;
    case COMMON_STATUS: set_status(s, (uint8_t)val); break;
    case COMMON_Q_SELECT: s->queue_select = (uint16_t)val; break;
    default: queue_write(s, off, val); break;
    }
}

/* -- The modern BAR ------------------------------------------------------------------------------ */

static uint64_t modern_read(void *arg, uint64_t off, unsigned size)
{
    VirtioPci *s = arg;
    unsigned in = (unsigned)(off % AREA_LEN);

    switch (off / AREA_LEN) {
    case AREA_COMMON: return common_read(s, in, size);
    case AREA_ISR: return in == 0 ? read_isr(s) : 0;
    case AREA_DEVICE: return virtio_config_read(s->vd, in, size);
    default: return 0;
    }
}

static void modern_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    VirtioPci *s = arg;
    unsigned in = (unsigned)(off % AREA_LEN);

    switch (off / AREA_LEN) {
    case AREA_COMMON: common_write(s, in, size, (uint32_t)val); break;
    case AREA_DEVICE: virtio_config_write(s->vd, in, size, (uint32_t)val); break;
    case AREA_NOTIFY: virtio_kick(s->vd, in / NOTIFY_STEP); break;
    default: break;
    }
}

/* -- The legacy BAR (4.1.4.8): the device's configuration follows at 20, or 24 with MSI-X -------- */

enum {
    LEGACY_HOST_FEATURES = 0,
    LEGACY_GUEST_FEATURES = 4,
    LEGACY_QUEUE_PFN = 8,
    LEGACY_QUEUE_SIZE = 12,
    LEGACY_QUEUE_SELECT = 14,
    LEGACY_NOTIFY = 16,
    LEGACY_STATUS = 18,
    LEGACY_ISR = 19,
    LEGACY_MSIX_CONFIG = 20,
    LEGACY_MSIX_QUEUE = 22,
    LEGACY_LEN = 128,
    LEGACY_ALIGN = 4096,
};

static unsigned legacy_config(const VirtioPci *s)
{
    return pci_msix_enabled(&s->pci) ? 24 : 20;
}

static uint64_t legacy_read(void *arg, uint64_t off, unsigned size)
{
    VirtioPci *s = arg;
    const Virtqueue *q = selected(s);

    if (off >= legacy_config(s)) {
        return virtio_config_read(s->vd, (unsigned)off - legacy_config(s), size);
    }
    switch (off) {
    case LEGACY_HOST_FEATURES: return virtio_features_word(s->vd, 0, true);
    case LEGACY_GUEST_FEATURES: return (uint32_t)s->vd->guest_features;
    case LEGACY_QUEUE_PFN: return q != NULL && q->ready ? (uint32_t)(q->desc / LEGACY_ALIGN) : 0;
    case LEGACY_QUEUE_SIZE: return q != NULL ? q->size_max : 0;
    case LEGACY_QUEUE_SELECT: return s->queue_select;
    case LEGACY_STATUS: return s->vd->status;
    case LEGACY_ISR: return read_isr(s);
    case LEGACY_MSIX_CONFIG: return s->config_vector;
    case LEGACY_MSIX_QUEUE: return q != NULL ? q->vector : VIRTIO_NO_VECTOR;
    default: return 0;
    }
}

static void legacy_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    VirtioPci *s = arg;
    Virtqueue *q = selected(s);

    if (s->vd->busy) {
        return;
    }
    if (off >= legacy_config(s)) {
        virtio_config_write(s->vd, (unsigned)off - legacy_config(s), size, (uint32_t)val);
        return;
    }
    switch (off) {
    case LEGACY_GUEST_FEATURES: virtio_set_features_word(s->vd, 0, (uint32_t)val, true); break;
    case LEGACY_QUEUE_PFN:
        if (val == 0) {
            set_status(s, 0); /* the only way drivers of old had to stop a device */
        } else if (q != NULL) {
            virtq_set_legacy(q, val * LEGACY_ALIGN, LEGACY_ALIGN);
        }
        break;
    case LEGACY_QUEUE_SELECT: s->queue_select = (uint16_t)val; break;
    case LEGACY_NOTIFY: virtio_kick(s->vd, (unsigned)val & 0xffff); break;
    case LEGACY_STATUS: set_status(s, (uint8_t)val); break;
    case LEGACY_MSIX_CONFIG: s->config_vector = valid_vector(s, val); break;
    case LEGACY_MSIX_QUEUE:
        if (q != NULL) {
            q->vector = valid_vector(s, val);
        }
        break;
    default: break;
    }
}

/* -- Configuration access by capability (4.1.4.9) ------------------------------------------------ */

/* The BAR window and offset that the capability selects; false when it selects nothing. */
static bool cfg_target(VirtioPci *s, const BusOps **ops, uint32_t *off, uint32_t *len)
{
    unsigned bar = s->pci.config[s->cfg_cap + 4];
    const DeviceWindow *w;

    *off = pci_get(&s->pci, s->cfg_cap + 8, 4);
    *len = pci_get(&s->pci, s->cfg_cap + 12, 4);
    if (bar >= 6 || s->pci.bar[bar].window == NULL || (*len != 1 && *len != 2 && *len != 4)) {
        return false;
    }
    w = s->pci.bar[bar].window;
    *ops = &w->ops;
    return *off % *len == 0 && *off <= w->len - *len;
}

static bool touches_cfg_data(const VirtioPci *s, unsigned off, unsigned size)
{
    return s->cfg_cap != 0 && off < s->cfg_cap + 20 && off + size > s->cfg_cap + 16;
}

static void config_reading(PciDevice *d, unsigned off, unsigned size)
{
    VirtioPci *s = (VirtioPci *)d;
    const BusOps *ops;
    uint32_t at, len;

    if (touches_cfg_data(s, off, size) && cfg_target(s, &ops, &at, &len)) {
        pci_set(d, s->cfg_cap + 16, 4, (uint32_t)bus_read(ops, d, at, len));
    }
}

static void config_written(PciDevice *d, unsigned off, unsigned size)
{
    VirtioPci *s = (VirtioPci *)d;
    const BusOps *ops;
    uint32_t at, len;

    if (touches_cfg_data(s, off, size) && cfg_target(s, &ops, &at, &len)) {
        bus_write(ops, d, at, len, pci_get(d, s->cfg_cap + 16, 4));
    }
    if (off <= PCI_COMMAND && off + size > PCI_COMMAND) {
        bool was_off = s->vd->dma_off;
        s->vd->dma_off = !pci_is_master(d);
        if (was_off && !s->vd->dma_off) {
            virtio_kick_all(s->vd);
        }
    }
}

/* -- Device -------------------------------------------------------------------------------------- */

enum { WINDOW_LEGACY, WINDOW_MODERN };

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    return window == WINDOW_LEGACY ? off == LEGACY_ISR : off == AREA_ISR * AREA_LEN;
}

static void virtio_pci_reset(Device *d)
{
    VirtioPci *s = (VirtioPci *)d;

    pci_device_reset(&s->pci);
    set_status(s, 0);
    s->vd->dma_off = true;
}

static void virtio_pci_destroy(Device *d)
{
    VirtioPci *s = (VirtioPci *)d;

    virtio_free(s->vd);
    pci_device_clear(&s->pci);
    g_free(s);
}

static const DeviceWindow windows[] = {
    [WINDOW_LEGACY] = {"virtio-legacy", WINDOW_PORT, LEGACY_LEN, {legacy_read, legacy_write, 4}},
    [WINDOW_MODERN] = {"virtio-modern", WINDOW_MMIO, N_AREAS * AREA_LEN,
                       {modern_read, modern_write, 4,
                        .bells = {.off = AREA_NOTIFY * AREA_LEN, .step = NOTIFY_STEP, .count = 4}}},
};

static void *find_device(void *state, unsigned i, const FieldTable **table)
{
    *table = &virtio_device_state;
    return i == 0 ? ((VirtioPci *)state)->vd : NULL;
}

static bool virtio_pci_loaded(void *state, GError **error)
{
    VirtioPci *s = state;

    s->vd->dma_off = !pci_is_master(&s->pci);
    s->config_vector = valid_vector(s, s->config_vector);
    return true;
}

/* Doorbells that nobody heard. */
static void virtio_pci_moved(Device *d)
{
    virtio_kick_all(((VirtioPci *)d)->vd);
}

static const Field virtio_pci_fields[] = {
    FIELD_STRUCT(VirtioPci, pci, pci_device_state), FIELD(VirtioPci, device_feature_select),
    FIELD(VirtioPci, driver_feature_select), FIELD(VirtioPci, queue_select), FIELD(VirtioPci, config_vector),
    FIELD_FIND("virtio", find_device),
};
static const FieldTable virtio_pci_state = {.version = 1, FIELDS(virtio_pci_fields), .loaded = virtio_pci_loaded};

static const DeviceClass virtio_pci_class = {
    .name = "virtio-pci",
    .help = "virtio device on PCI",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .read_has_effect = read_has_effect,
    .reset = virtio_pci_reset,
    .destroy = virtio_pci_destroy,
    .state = &virtio_pci_state,
    .moved = virtio_pci_moved,
};

static unsigned add_cap(VirtioPci *s, unsigned type, unsigned area, uint32_t len, unsigned cap_len)
{
    unsigned at = pci_add_capability(&s->pci, PCI_CAP_VENDOR, cap_len);

    pci_config_init(&s->pci, at + 2, 1, cap_len, 0);
    pci_config_init(&s->pci, at + 3, 1, type, 0);
    pci_config_init(&s->pci, at + 4, 1, BAR_MODERN, 0);
    pci_config_init(&s->pci, at + 8, 4, area * AREA_LEN, 0);
    pci_config_init(&s->pci, at + 12, 4, len, 0);
    return at;
}

static void add_modern(VirtioPci *s)
{
    unsigned at;

    pci_add_bar(&s->pci, BAR_MODERN, &windows[WINDOW_MODERN], PCI_BAR_64 | PCI_BAR_PREFETCH);
    add_cap(s, CAP_COMMON, AREA_COMMON, COMMON_LEN, 16);
    add_cap(s, CAP_ISR, AREA_ISR, 1, 16);
    if (s->vd->config_len != 0) {
        add_cap(s, CAP_DEVICE, AREA_DEVICE, AREA_LEN, 16);
    }
    at = add_cap(s, CAP_NOTIFY, AREA_NOTIFY, AREA_LEN, 20);
    pci_config_init(&s->pci, at + 16, 4, NOTIFY_STEP, 0);
    at = add_cap(s, CAP_PCI, 0, 0, 20);
    pci_config_init(&s->pci, at + 4, 1, 0, 0xff);
    pci_config_init(&s->pci, at + 8, 4, 0, UINT32_MAX);
    pci_config_init(&s->pci, at + 12, 4, 0, UINT32_MAX);
    pci_config_init(&s->pci, at + 16, 4, 0, UINT32_MAX);
    s->cfg_cap = at;
}

/* Transitional device ids follow an older table (4.1.2.1). */
static uint16_t transitional_id(uint16_t id)
{
    static const uint16_t of[] = {[1] = 0x1000, [2] = 0x1001, [3] = 0x1003, [4] = 0x1005,
                                  [5] = 0x1002, [8] = 0x1004, [9] = 0x1009};

    return id < ARRAY_LEN(of) ? of[id] : 0;
}

PciDevice *virtio_pci_new(VirtioDevice *vd, const VirtioPciOptions *o)
{
    bool legacy = (o == NULL || !o->disable_legacy) && transitional_id(vd->cls->id) != 0;
    bool modern = o == NULL || !o->disable_modern;
    VirtioPci *s;

    if (!legacy && !modern) {
        virtio_free(vd);
        return NULL;
    }
    s = g_new0(VirtioPci, 1);
    g_snprintf(s->name, sizeof s->name, "%s-pci", vd->cls->name);
    s->cls = virtio_pci_class;
    s->cls.name = s->name;
    pci_device_init(&s->pci, &s->cls,
                    &(PciIds){.vendor = VENDOR_VIRTIO,
                              .device = legacy ? transitional_id(vd->cls->id)
                                               : (uint16_t)(0x1040 + vd->cls->id),
                              .subsystem_vendor = VENDOR_VIRTIO,
                              .subsystem = legacy ? vd->cls->id : 0x1100,
                              .class_code = vd->cls->pci_class,
                              .revision = legacy ? 0 : 1,
                              .pin = 1});
    s->vd = vd;
    vd->transport = (VirtioTransport){s, interrupt};
    if (!modern) {
        vd->host_features &= ~BIT64(VIRTIO_F_VERSION_1);
    }
    if (legacy) {
        pci_add_bar(&s->pci, BAR_LEGACY, &windows[WINDOW_LEGACY], 0);
    }
    pci_add_msix(&s->pci, BAR_MSIX, vd->n_queues + 1);
    if (modern) {
        add_modern(s);
    }
    s->pci.config_reading = config_reading;
    s->pci.config_written = config_written;
    virtio_pci_reset(&s->pci.dev);
    return &s->pci;
}
