/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/fw-cfg.h"

#include "hw/dma.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <gio/gio.h>

enum {
    FIXED_KEYS = FW_CFG_FILE_FIRST, LOCAL_KEYS = 0x10, KEY_WRITE = 0x4000, KEY_LOCAL = 0x8000,
    DIR_ENTRY_LEN = 64,
    ID_TRADITIONAL = 1, ID_DMA = 2,
    DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16,
    DMA_REQUEST_LEN = 16,
};

typedef struct {
    char *name;
    GBytes *data;
} FwCfgFile;

typedef struct {
    Device dev;

    /* wiring */
    PhysMem *mem;
    GBytes *fixed[FIXED_KEYS], *local[LOCAL_KEYS];
    GArray *files;               /* FwCfgFile, sorted by name; key = FW_CFG_FILE_FIRST + index */

    /* guest-visible */
    uint16_t key;
    uint64_t pos;                /* of the next byte in the selected item, saturating */
    uint64_t dma_addr;           /* the high half, until the low one comes            */
} FwCfg;

/* -- Items ----------------------------------------------------------------------------------------- */

static GBytes **slot_of(FwCfg *f, uint16_t key)
{
    if ((key & KEY_LOCAL) != 0) {
        unsigned i = key & ~(KEY_LOCAL | KEY_WRITE);
        return i < LOCAL_KEYS ? &f->local[i] : NULL;
    }
    key &= (uint16_t)~KEY_WRITE;
    if (key < FIXED_KEYS) {
        return &f->fixed[key];
    }
    unsigned i = key - FW_CFG_FILE_FIRST;
    return i < f->files->len ? &g_array_index(f->files, FwCfgFile, i).data : NULL;
}

void fw_cfg_set(Device *d, uint16_t key, GBytes *data)
{
    GBytes **slot = slot_of((FwCfg *)d, key);

    g_assert(slot != NULL);
    g_bytes_ref(data);
    g_clear_pointer(slot, g_bytes_unref);
    *slot = data;
}

static void set_copy(Device *d, uint16_t key, const void *data, size_t len)
{
    g_autoptr(GBytes) b = g_bytes_new(data, len);

    fw_cfg_set(d, key, b);
}

void fw_cfg_set_int(Device *d, uint16_t key, unsigned size, uint64_t value)
{
    uint8_t b[8];

    store_le(b, 8, value);
    set_copy(d, key, b, size);
}

void fw_cfg_set_string(Device *d, uint16_t key, const char *s)
{
    set_copy(d, key, s, strlen(s) + 1);
}

/* The directory: a big-endian count, then size, key, reserved, name. */
static void update_directory(FwCfg *f)
{
    GByteArray *dir = g_byte_array_new();

    g_byte_array_set_size(dir, 4 + f->files->len * DIR_ENTRY_LEN);
    memset(dir->data, 0, dir->len);
    store_le(dir->data, 4, GUINT32_TO_BE(f->files->len));
    for (unsigned i = 0; i < f->files->len; i++) {
        const FwCfgFile *file = &g_array_index(f->files, FwCfgFile, i);
        uint8_t *e = dir->data + 4 + i * DIR_ENTRY_LEN;
        store_le(e, 4, GUINT32_TO_BE((uint32_t)g_bytes_get_size(file->data)));
        store_le(e + 4, 2, GUINT16_TO_BE((uint16_t)(FW_CFG_FILE_FIRST + i)));
        g_strlcpy((char *)e + 8, file->name, FW_CFG_NAME_MAX + 1);
    }
    g_autoptr(GBytes) b = g_byte_array_free_to_bytes(dir);
    fw_cfg_set(&f->dev, FW_CFG_FILE_DIR, b);
}

/* Index of the file with this name, or of the place where it belongs. */
static unsigned find_file(const FwCfg *f, const char *name, bool *found)
{
    unsigned i = 0;
    int order = 1;

    while (i < f->files->len &&
           (order = strcmp(name, g_array_index(f->files, FwCfgFile, i).name)) > 0) {
        i++;
    }
    *found = i < f->files->len && order == 0;
    return i;
}

bool fw_cfg_add_file(Device *d, const char *name, GBytes *data, GError **error)
{
    FwCfg *f = (FwCfg *)d;
    bool found;
    unsigned at = find_file(f, name, &found);
    const char *why = *name == '\0'                     ? "has an empty name"
                      : strlen(name) > FW_CFG_NAME_MAX  ? "has a name longer than 55 characters"
                      : found                           ? "is there already"
                      : f->files->len == FW_CFG_FILES_MAX ? "is one file too many"
                      : g_bytes_get_size(data) > INT32_MAX ? "is larger than 2 GiB"
                                                          : NULL;

    if (why != NULL) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "fw_cfg file '%s' %s", name, why);
        return false;
    }
    FwCfgFile file = {g_strdup(name), g_bytes_ref(data)};
    g_array_insert_val(f->files, at, file);
    update_directory(f);
    return true;
}

bool fw_cfg_replace_file(Device *d, const char *name, GBytes *data)
{
    FwCfg *f = (FwCfg *)d;
    bool found;
    unsigned at = find_file(f, name, &found);

    if (found) {
        fw_cfg_set(d, (uint16_t)(FW_CFG_FILE_FIRST + at), data);
        update_directory(f);
    }
    return found;
}

GBytes *fw_cfg_file(Device *d, const char *name)
{
    FwCfg *f = (FwCfg *)d;
    bool found;
    unsigned at = find_file(f, name, &found);

    return found ? g_array_index(f->files, FwCfgFile, at).data : NULL;
}

/* -- Reading --------------------------------------------------------------------------------------- */

static void select_item(FwCfg *f, uint16_t key)
{
    trace(fw_cfg_select, "key=0x%04x", key);
    f->key = key;
    f->pos = 0;
}

/* What is left of the selected item; NULL when nothing is. */
static const uint8_t *remaining(FwCfg *f, uint64_t *len)
{
    GBytes **slot = slot_of(f, f->key);
    gsize size = 0;

    *len = 0;
    if (slot == NULL || *slot == NULL) {
        return NULL;
    }
    const uint8_t *p = g_bytes_get_data(*slot, &size);
    if (f->pos >= size) {
        return NULL;
    }
    *len = size - f->pos;
    return p + f->pos;
}

static void advance(FwCfg *f, uint64_t n)
{
    f->pos = n > UINT64_MAX - f->pos ? UINT64_MAX : f->pos + n;
}

static uint8_t read_byte(FwCfg *f)
{
    uint64_t len;
    const uint8_t *p = remaining(f, &len);
    uint8_t v = p != NULL ? *p : 0;

    advance(f, 1);
    return v;
}

static uint64_t regs_read(void *arg, uint64_t off, unsigned size)
{
    /* The selector is write-only; a word read is no access the device knows. */
    return size == 1 && off == 1 ? read_byte(arg) : 0;
}

static void regs_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    if (size == 2) {
        select_item(arg, (uint16_t)val);
    }
    /* Byte writes: the data port has been read-only since the DMA interface came. */
}

/* -- DMA ------------------------------------------------------------------------------------------- */

/* Copy `len` bytes of the item, then zeros, into guest memory. */
static bool dma_out(FwCfg *f, uint64_t addr, uint64_t len)
{
    static const uint8_t zeros[4096];

    while (len > 0) {
        uint64_t left, n;
        const uint8_t *p = remaining(f, &left);

        n = MIN(len, p != NULL ? left : sizeof zeros);
        if (addr > UINT64_MAX - n || !dma_write(f->mem, addr, p != NULL ? p : zeros, n)) {
            return false;
        }
        advance(f, n);
        addr += n;
        len -= n;
    }
    return true;
}

/* The request: control, length, address, all big-endian; control is written back, 0 or ERROR. */
static void dma_run(FwCfg *f, uint64_t request)
{
    uint8_t r[DMA_REQUEST_LEN];

    if (f->mem == NULL || !dma_read(f->mem, request, r, sizeof r)) {
        log_guest_error("fw_cfg: DMA request at 0x%" G_GINT64_MODIFIER "x is not in memory\n", request);
        return;
    }
    uint32_t control = GUINT32_FROM_BE((uint32_t)load_le(r, 4));
    uint32_t len = GUINT32_FROM_BE((uint32_t)load_le(r + 4, 4));
    uint64_t addr = GUINT64_FROM_BE(load_le(r + 8, 8));
    bool ok = true;

    if ((control & DMA_SELECT) != 0) {
        select_item(f, (uint16_t)(control >> 16));
    }
    if ((control & DMA_READ) != 0) {
        ok = dma_out(f, addr, len);
    } else if ((control & DMA_WRITE) != 0) {
        ok = false; /* no item can be written */
    } else if ((control & DMA_SKIP) != 0) {
        advance(f, len);
    }
    dma_store(f->mem, request, 4, ok ? 0 : GUINT32_TO_BE(DMA_ERROR));
}

static const char dma_signature[8] = {'Q', 'E', 'M', 'U', ' ', 'C', 'F', 'G'};

static uint64_t dma_regs_read(void *arg, uint64_t off, unsigned size)
{
    return load_le(dma_signature + off, size);
}

static void dma_regs_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    FwCfg *f = arg;

    if (size != 4) {
        return;
    }
    uint32_t half = GUINT32_SWAP_LE_BE((uint32_t)val);
    if (off == 0) {
        f->dma_addr = (uint64_t)half << 32;
    } else {
        uint64_t request = f->dma_addr | half;
        f->dma_addr = 0;
        dma_run(f, request);
    }
}

/* -- Device ---------------------------------------------------------------------------------------- */

static const DeviceWindow windows[] = {
    [FW_CFG_WINDOW_REGS] = {"fw_cfg", WINDOW_PORT, 2, {regs_read, regs_write, 2}},
    [FW_CFG_WINDOW_DMA] = {"fw_cfg-dma", WINDOW_PORT, 8, {dma_regs_read, dma_regs_write, 4}},
};

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    return window == FW_CFG_WINDOW_REGS && off == 1;
}

static void reset(Device *d)
{
    FwCfg *f = (FwCfg *)d;

    select_item(f, FW_CFG_SIGNATURE);
    f->dma_addr = 0;
}

static void destroy(Device *d)
{
    FwCfg *f = (FwCfg *)d;

    for (unsigned i = 0; i < FIXED_KEYS; i++) {
        g_clear_pointer(&f->fixed[i], g_bytes_unref);
    }
    for (unsigned i = 0; i < LOCAL_KEYS; i++) {
        g_clear_pointer(&f->local[i], g_bytes_unref);
    }
    g_array_unref(f->files);
    g_free(f);
}

static void clear_file(gpointer p)
{
    FwCfgFile *file = p;

    g_free(file->name);
    g_bytes_unref(file->data);
}

static const Field fw_cfg_fields[] = {
    FIELD(FwCfg, key), FIELD(FwCfg, pos), FIELD(FwCfg, dma_addr),
};
static const FieldTable fw_cfg_state = {.version = 1, FIELDS(fw_cfg_fields)};

static const DeviceClass fw_cfg_class = {
    .name = "fw_cfg",
    .help = "firmware configuration: items for firmware and guest",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .read_has_effect = read_has_effect,
    .reset = reset,
    .destroy = destroy,
    .state = &fw_cfg_state,
};

Device *fw_cfg_new(PhysMem *mem)
{
    FwCfg *f = g_new0(FwCfg, 1);

    f->dev.cls = &fw_cfg_class;
    f->mem = mem;
    f->files = g_array_new(FALSE, FALSE, sizeof(FwCfgFile));
    g_array_set_clear_func(f->files, clear_file);
    set_copy(&f->dev, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_set_int(&f->dev, FW_CFG_ID, 4, ID_TRADITIONAL | (mem != NULL ? ID_DMA : 0));
    update_directory(f);
    device_reset(&f->dev);
    return &f->dev;
}
