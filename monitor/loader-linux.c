/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux bzImage by the 32-bit and 64-bit boot protocols ("The Linux/x86 Boot Protocol" in the
 * kernel's documentation).  Offsets are those of boot_params, whose part from 1f1h on is the
 * kernel's own set-up header.
 */
#include "monitor/loader-internal.h"

#include "softmmu/base/bits.h"

#include <inttypes.h>

enum {
    /* boot_params */
    BP_SCREEN = 0x000, BP_EXT_MEM_K = 0x002, BP_ACPI_RSDP = 0x070, BP_EXT_RAMDISK = 0x0c0,
    BP_EXT_CMDLINE = 0x0c8, BP_ALT_MEM_K = 0x1e0, BP_E820_N = 0x1e8, BP_E820 = 0x2d0,
    BP_E820_MAX = 128, BP_LEN = 0x1000,
    /* the set-up header */
    H_START = 0x1f1, H_SETUP_SECTS = 0x1f1, H_SYSSIZE = 0x1f4, H_VID_MODE = 0x1fa,
    H_BOOT_FLAG = 0x1fe, H_JUMP = 0x200, H_MAGIC = 0x202, H_VERSION = 0x206, H_LOADER = 0x210,
    H_LOADFLAGS = 0x211, H_CODE32 = 0x214, H_RAMDISK = 0x218, H_RAMDISK_LEN = 0x21c,
    H_HEAP_END = 0x224, H_CMDLINE = 0x228, H_INITRD_MAX = 0x22c, H_ALIGNMENT = 0x230,
    H_RELOCATABLE = 0x234, H_XLOADFLAGS = 0x236, H_CMDLINE_MAX = 0x238, H_SETUP_DATA = 0x250,
    H_PREF_ADDRESS = 0x258, H_INIT_SIZE = 0x260, H_MAX = 0x290,
    LOADED_HIGH = 1, CAN_USE_HEAP = 0x80, XLF_KERNEL_64 = 1,
    LOADER_UNKNOWN = 0xff, SETUP_DTB = 2, ENTRY_64 = 0x200,
};

/* The set-up header's fields that we decide by; what an older protocol lacks has its default. */
typedef struct {
    unsigned version;
    uint64_t payload;              /* offset of the protected-mode code in the file */
    uint64_t load, end;            /* where it goes, and the end of what it needs   */
    uint64_t initrd_max;           /* last byte an initrd may have                  */
    uint64_t cmdline_max;
    bool long64;
} LinuxHeader;

static uint64_t field(const Loader *l, unsigned off, unsigned size)
{
    return load_le(l->k + off, size);
}

bool loader_is_linux(const Loader *l)
{
    return l->k_len >= 0x210 && field(l, H_BOOT_FLAG, 2) == 0xaa55 && memcmp(l->k + H_MAGIC, "HdrS", 4) == 0;
}

static bool parse_header(const Loader *l, LinuxHeader *h, GError **error)
{
    unsigned sects = l->k[H_SETUP_SECTS] != 0 ? l->k[H_SETUP_SECTS] : 4;

    h->version = (unsigned)field(l, H_VERSION, 2);
    h->payload = (sects + 1) * 512u;
    if (h->payload < H_MAX || h->payload >= l->k_len) {
        return loader_fail(l, error, "is truncated: it ends inside its set-up code");
    }
    if (h->version < 0x202 || (l->k[H_LOADFLAGS] & LOADED_HIGH) == 0) {
        return loader_fail(l, error, "is a kernel of boot protocol %u.%02u, older than bzImage 2.02",
                           h->version >> 8, h->version & 0xff);
    }
    uint64_t len = l->k_len - h->payload;
    uint64_t syssize = field(l, H_SYSSIZE, h->version >= 0x204 ? 4 : 2) * 16;
    /* The size is rounded up to paragraphs. */
    if (h->version >= 0x204 && syssize > len + 15) {
        return loader_fail(l, error, "is truncated: %" PRIu64 " bytes are missing", syssize - len);
    }
    h->load = 0x100000;
    h->end = h->load + len;
    if (h->version >= 0x20a) {
        uint64_t pref = field(l, H_PREF_ADDRESS, 8);
        /* A relocatable kernel does not unpack itself below its preferred address either. */
        if (pref >= 0x100000 && pref < UINT32_MAX && l->k[H_RELOCATABLE] != 0) {
            h->load = pref;
        }
        h->end = MAX(h->load + len, MAX(h->load, pref) + field(l, H_INIT_SIZE, 4));
    }
    h->initrd_max = h->version >= 0x203 ? field(l, H_INITRD_MAX, 4) : 0x37ffffff;
    h->cmdline_max = h->version >= 0x206 ? field(l, H_CMDLINE_MAX, 4) : 255;
    h->long64 = h->version >= 0x20c && (field(l, H_XLOADFLAGS, 2) & XLF_KERNEL_64) != 0 &&
                l->config->long_mode;
    if (h->end > l->low_end || h->end < h->load) {
        return loader_fail(l, error, "needs at least %" PRIu64 " MiB of RAM",
                           ((h->end + BIT64(20) - 1) >> 20) + 1);
    }
    return true;
}

/* The device tree as a node of the set-up data list. */
static bool put_dtb(Loader *l, uint8_t *bp, const LinuxHeader *h, GError **error)
{
    g_autoptr(GBytes) dtb = NULL;

    if (l->config->dtb != NULL) {
        dtb = loader_read_file("dtb", l->config->dtb, l->config->ram_size, error);
        if (dtb == NULL) {
            return false;
        }
        const uint8_t *p = g_bytes_get_data(dtb, NULL);
        if (g_bytes_get_size(dtb) < 40 || load_le(p, 4) != GUINT32_TO_BE(0xd00dfeed)) {
            g_set_error(error, g_quark_from_static_string("loader"), 0,
                        "dtb '%s': is not a flattened device tree", l->config->dtb);
            return false;
        }
    } else if (l->config->fdt != NULL) {
        dtb = g_bytes_ref(l->config->fdt);
    } else {
        return true;
    }
    uint64_t len = g_bytes_get_size(dtb);
    uint64_t addr = loader_place_high(l, len + 16, UINT32_MAX, h->end);
    if (h->version < 0x209 || addr == 0) {
        return loader_fail(l, error, addr == 0 ? "there is no room for the device tree"
                                               : "is too old to take a device tree");
    }
    uint8_t head[16];
    store_le(head, 8, 0);
    store_le(head + 8, 4, SETUP_DTB);
    store_le(head + 12, 4, len);
    store_le(bp + H_SETUP_DATA, 8, addr);
    return loader_put_copy(l, addr, head, sizeof head, "device tree", error) &&
           loader_put(l, addr + 16, dtb, "device tree", error);
}

/* What the real-mode code would have found out by asking the BIOS. */
static void fill_machine(const Loader *l, uint8_t *bp)
{
    const E820Map *m = &l->image->e820;
    uint64_t low, high;
    unsigned n = MIN(m->n, BP_E820_MAX);

    e820_split_ram(l->config->ram_size, &low, &high);
    if (l->config->vga_text) {
        static const uint8_t screen[] = {[6] = 3, [7] = 80, [0x0e] = 25, [0x0f] = 1, [0x10] = 16};
        memcpy(bp + BP_SCREEN, screen, sizeof screen);
    }
    uint64_t ext_k = (low - MIN(low, 0x100000)) >> 10;
    store_le(bp + BP_EXT_MEM_K, 2, MIN(ext_k, 0xfc00));
    store_le(bp + BP_ALT_MEM_K, 4, ext_k);
    store_le(bp + BP_ACPI_RSDP, 8, l->rsdp);
    bp[BP_E820_N] = (uint8_t)n;
    for (unsigned i = 0; i < n; i++) {
        e820_pack(&m->e[i], bp + BP_E820 + i * E820_PACKED_LEN);
    }
}

static void fill_header(uint8_t *bp, const LinuxHeader *h, uint64_t initrd, uint64_t initrd_len)
{
    bp[H_LOADER] = LOADER_UNKNOWN;
    bp[H_LOADFLAGS] |= CAN_USE_HEAP;
    store_le(bp + H_HEAP_END, 2, 0xfe00);
    store_le(bp + H_VID_MODE, 2, 0xffff);
    store_le(bp + H_CODE32, 4, h->load);
    store_le(bp + H_CMDLINE, 4, LOW_CMDLINE);
    store_le(bp + H_RAMDISK, 4, initrd);
    store_le(bp + H_RAMDISK_LEN, 4, initrd_len);
}

bool loader_load_linux(Loader *l, GError **error)
{
    LinuxHeader h = {0};
    uint8_t bp[BP_LEN] = {0};
    uint64_t initrd, initrd_len;

    if (!parse_header(l, &h, error)) {
        return false;
    }
    /* The header ends where its opening jump goes. */
    unsigned header_end = MIN(0x202u + l->k[H_JUMP + 1], H_MAX);
    memcpy(bp + H_START, l->k + H_START, header_end - H_START);

    g_autoptr(GBytes) code = g_bytes_new_from_bytes(l->kernel, h.payload, l->k_len - h.payload);
    if (!loader_put(l, h.load, code, "kernel", error) ||
        !loader_put_cmdline(l, NULL, h.cmdline_max, error) ||
        !put_dtb(l, bp, &h, error) ||
        !loader_put_initrd(l, h.initrd_max + 1, h.end, &initrd, &initrd_len, error)) {
        return false;
    }
    fill_header(bp, &h, initrd, initrd_len);
    fill_machine(l, bp);
    l->image->state.gpr[GPR_RSI] = LOW_INFO;
    l->image->protocol = h.long64 ? "Linux 64-bit" : "Linux 32-bit";
    return loader_put_copy(l, LOW_INFO, bp, sizeof bp, "boot parameters", error) &&
           (h.long64 ? loader_enter_long64(l, h.load + ENTRY_64, error)
                     : loader_enter_prot32(l, (uint32_t)h.load, error));
}
