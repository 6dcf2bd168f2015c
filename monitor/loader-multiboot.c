/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot 1 ("Multiboot Specification version 0.6.96"): the header lies in the first 8 KiB of the
 * file; the image is ELF, or flat when flag 16 says that the header has the addresses.  EAX holds
 * the magic number, EBX points at the information structure.
 */
#include "monitor/loader-internal.h"

#include "softmmu/base/bits.h"

#include <gio/gio.h>
#include <inttypes.h>

enum {
    SEARCH_LEN = 8192,
    HEADER_MAGIC = 0x1badb002, BOOT_MAGIC = 0x2badb002,
    WANT_PAGE_ALIGN = 1, WANT_MEMORY = 2, WANT_VIDEO = 4, HAS_ADDRESSES = 1 << 16,
    MUST_UNDERSTAND = 0xffff,

    INFO_MEMORY = 1 << 0, INFO_BOOT_DEVICE = 1 << 1, INFO_CMDLINE = 1 << 2, INFO_MODULES = 1 << 3,
    INFO_MEMORY_MAP = 1 << 6, INFO_LOADER_NAME = 1 << 9,
    INFO_LEN = 120, MODULE_LEN = 16, MMAP_LEN = 24, MODULES_MAX = 64,

    /* inside LOW_LISTS */
    MODULES_AT = LOW_LISTS, MMAP_AT = LOW_LISTS + 0x1000, STRINGS_AT = LOW_LISTS + 0x2000,
    STRINGS_MAX = 0xe000,
};

/* Offset of the header, or -1. */
static int64_t find_header(const Loader *l)
{
    uint64_t end = MIN(l->k_len, SEARCH_LEN);

    for (uint64_t at = 0; at + 12 <= end; at += 4) {
        uint32_t magic = (uint32_t)load_le(l->k + at, 4), flags = (uint32_t)load_le(l->k + at + 4, 4);
        if (magic == HEADER_MAGIC && magic + flags + (uint32_t)load_le(l->k + at + 8, 4) == 0) {
            return (int64_t)at;
        }
    }
    return -1;
}

bool loader_is_multiboot(const Loader *l)
{
    return find_header(l) >= 0;
}

/* The addresses of the header: where the image is to lie, and what part of the file it is. */
static bool load_flat(Loader *l, uint64_t at, uint64_t *entry, GError **error)
{
    if (at + 32 > l->k_len) {
        return loader_fail(l, error, "is truncated: it ends inside its Multiboot header");
    }
    uint64_t header_addr = load_le(l->k + at + 12, 4), load_addr = load_le(l->k + at + 16, 4);
    uint64_t load_end = load_le(l->k + at + 20, 4), bss_end = load_le(l->k + at + 24, 4);

    *entry = load_le(l->k + at + 28, 4);
    if (load_addr > header_addr || header_addr - load_addr > at) {
        return loader_fail(l, error, "its Multiboot header has a load address that does not fit the file");
    }
    uint64_t off = at - (header_addr - load_addr);
    uint64_t len = load_end == 0 ? l->k_len - off : load_end - load_addr;
    if (load_end != 0 && load_end < load_addr) {
        return loader_fail(l, error, "its Multiboot header has a load end below its load address");
    }
    if (len > l->k_len - off) {
        return loader_fail(l, error, "is truncated: %" PRIu64 " bytes are missing",
                           len - (l->k_len - off));
    }
    g_autoptr(GBytes) data = g_bytes_new_from_bytes(l->kernel, off, len);
    if (!loader_put(l, load_addr, data, "kernel", error)) {
        return false;
    }
    return bss_end <= load_addr + len ||
           loader_put_zeros(l, load_addr + len, bss_end - load_addr - len, "kernel", error);
}

static bool load_elf(Loader *l, uint64_t *entry, GError **error)
{
    ElfFile e;

    if (!loader_is_elf(l)) {
        return loader_fail(l, error, "is a Multiboot image that is neither ELF nor has load addresses");
    }
    if (!loader_elf_open(l, &e, error) || !loader_elf_load(l, &e, error)) {
        return false;
    }
    *entry = loader_elf_physical(l, &e, e.entry);
    return true;
}

/* -- Modules --------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t list[MODULES_MAX * MODULE_LEN];
    unsigned n;
    GByteArray *strings;            /* what goes to STRINGS_AT */
} Modules;

static uint32_t add_string(Modules *m, const char *s)
{
    uint32_t at = STRINGS_AT + m->strings->len;

    g_byte_array_append(m->strings, (const uint8_t *)s, (guint)strlen(s) + 1);
    return at;
}

/* "FILE ARGS": the module's string is the whole; its bytes go to the next page after *next. */
static bool add_module(Loader *l, Modules *m, const char *spec, uint64_t *next, GError **error)
{
    g_autofree char *path = g_strndup(spec, strcspn(spec, " "));
    g_autoptr(GBytes) data = loader_read_file("initrd", path, l->config->ram_size, error);

    if (data == NULL) {
        return false;
    }
    uint64_t len = g_bytes_get_size(data);
    uint64_t addr = (*next + GUEST_PAGE_OFFSET_MASK) & GUEST_PAGE_MASK;
    if (addr + len > l->low_end) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "initrd '%s': its %" PRIu64 " KiB do not fit into the guest's RAM beside the kernel",
                    path, (len + 1023) / 1024);
        return false;
    }
    if (m->n == MODULES_MAX) {
        return loader_fail(l, error, "more than %d modules are given", MODULES_MAX);
    }
    uint8_t *e = m->list + m->n++ * MODULE_LEN;
    store_le(e, 4, addr);
    store_le(e + 4, 4, addr + len);
    store_le(e + 8, 4, add_string(m, spec));
    *next = addr + len;
    return loader_put(l, addr, data, "module", error);
}

static bool add_modules(Loader *l, Modules *m, GError **error)
{
    uint64_t next = MAX(loader_kernel_end(l), 0x100000);

    if (l->config->initrd == NULL) {
        return true;
    }
    g_auto(GStrv) specs = g_strsplit(l->config->initrd, ",", -1);
    for (unsigned i = 0; specs[i] != NULL; i++) {
        if (!add_module(l, m, g_strchug(specs[i]), &next, error)) {
            return false;
        }
    }
    return true;
}

/* -- Information ------------------------------------------------------------------------------------ */

static unsigned fill_memory_map(const Loader *l, uint8_t map[E820_MAX * MMAP_LEN])
{
    const E820Map *m = &l->image->e820;

    for (unsigned i = 0; i < m->n; i++) {
        uint8_t *e = map + i * MMAP_LEN;
        store_le(e, 4, MMAP_LEN - 4); /* the size field does not count itself */
        e820_pack(&m->e[i], e + 4);
    }
    return m->n * MMAP_LEN;
}

static bool put_info(Loader *l, Modules *m, GError **error)
{
    uint8_t info[INFO_LEN] = {0}, map[E820_MAX * MMAP_LEN];
    uint64_t low, high;
    unsigned map_len = fill_memory_map(l, map);

    e820_split_ram(l->config->ram_size, &low, &high);
    store_le(info, 4, INFO_MEMORY | INFO_BOOT_DEVICE | INFO_CMDLINE | INFO_MODULES | INFO_MEMORY_MAP |
                          INFO_LOADER_NAME);
    store_le(info + 4, 4, MIN(low, LOW_EBDA) >> 10);
    store_le(info + 8, 4, low > 0x100000 ? (low - 0x100000) >> 10 : 0);
    store_le(info + 12, 4, 0x8000ffff);          /* first hard disk, no partition */
    store_le(info + 16, 4, LOW_CMDLINE);
    store_le(info + 20, 4, m->n);
    store_le(info + 24, 4, MODULES_AT);
    store_le(info + 44, 4, map_len);
    store_le(info + 48, 4, MMAP_AT);
    store_le(info + 64, 4, add_string(m, "metaphrase"));
    if (m->strings->len > STRINGS_MAX) {
        return loader_fail(l, error, "the modules' command lines are longer than %d bytes", STRINGS_MAX);
    }
    return loader_put_copy(l, LOW_INFO, info, sizeof info, "Multiboot information", error) &&
           loader_put_copy(l, MODULES_AT, m->list, sizeof m->list, "Multiboot information", error) &&
           loader_put_copy(l, MMAP_AT, map, map_len, "Multiboot information", error) &&
           loader_put_copy(l, STRINGS_AT, m->strings->data, m->strings->len, "Multiboot information",
                           error);
}

bool loader_load_multiboot(Loader *l, GError **error)
{
    uint64_t at = (uint64_t)find_header(l), entry = 0;
    uint32_t flags = (uint32_t)load_le(l->k + at + 4, 4);

    if ((flags & MUST_UNDERSTAND & ~(WANT_PAGE_ALIGN | WANT_MEMORY | WANT_VIDEO)) != 0) {
        return loader_fail(l, error, "its Multiboot header wants features we do not know (flags 0x%x)",
                           flags);
    }
    if (!((flags & HAS_ADDRESSES) != 0 ? load_flat(l, at, &entry, error) : load_elf(l, &entry, error))) {
        return false;
    }
    if (entry > UINT32_MAX || !e820_is_ram(&l->image->e820, entry, 1)) {
        return loader_fail(l, error, "its entry 0x%" PRIx64 " does not lie in RAM", entry);
    }
    Modules m = {.strings = g_byte_array_new()};
    bool ok = loader_put_cmdline(l, l->config->kernel, LOW_CMDLINE_MAX, error) &&
              add_modules(l, &m, error) && put_info(l, &m, error);
    g_byte_array_unref(m.strings);
    l->image->protocol = "Multiboot";
    l->image->state.gpr[GPR_RAX] = BOOT_MAGIC;
    l->image->state.gpr[GPR_RBX] = LOW_INFO;
    return ok && loader_enter_prot32(l, (uint32_t)entry, error);
}
