/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PVH: an ELF kernel that names its 32-bit physical entry in a Xen note; EBX points at
 * hvm_start_info (Xen's public headers, arch-x86/hvm/start_info.h; "x86/HVM direct boot ABI").
 */
#include "monitor/loader-internal.h"

#include "softmmu/base/bits.h"

#include <inttypes.h>

enum {
    NOTE_PHYS32_ENTRY = 18,
    START_MAGIC = 0x336ec578, START_LEN = 56, MODULE_LEN = 32, MEMMAP_LEN = 24,
    MODULES_AT = LOW_LISTS, MEMMAP_AT = LOW_LISTS + MODULE_LEN,
};

static bool put_start_info(Loader *l, uint64_t initrd, uint64_t initrd_len, GError **error)
{
    uint8_t info[START_LEN] = {0}, lists[MODULE_LEN + E820_MAX * MEMMAP_LEN] = {0};
    const E820Map *m = &l->image->e820;

    store_le(info, 4, START_MAGIC);
    store_le(info + 4, 4, 1);
    if (initrd_len != 0) {
        store_le(info + 12, 4, 1);
        store_le(info + 16, 8, MODULES_AT);
        store_le(lists, 8, initrd);
        store_le(lists + 8, 8, initrd_len);
    }
    store_le(info + 24, 8, LOW_CMDLINE);
    store_le(info + 32, 8, l->rsdp);
    store_le(info + 40, 8, MEMMAP_AT);
    store_le(info + 48, 4, m->n);
    for (unsigned i = 0; i < m->n; i++) {
        uint8_t *e = lists + MODULE_LEN + i * MEMMAP_LEN;
        e820_pack(&m->e[i], e);
    }
    return loader_put_copy(l, LOW_INFO, info, sizeof info, "start info", error) &&
           loader_put_copy(l, LOW_LISTS, lists, sizeof lists, "start info", error);
}

bool loader_load_pvh(Loader *l, GError **error)
{
    ElfFile e;
    uint64_t len, entry, initrd, initrd_len;

    if (!loader_elf_open(l, &e, error)) {
        return false;
    }
    const uint8_t *note = loader_elf_note(l, &e, "Xen", NOTE_PHYS32_ENTRY, &len);
    if (note == NULL || (len != 4 && len != 8)) {
        return loader_fail(l, error, "is an ELF file without a PVH entry note or a Multiboot header");
    }
    entry = load_le(note, (unsigned)len);
    if (!loader_elf_load(l, &e, error)) {
        return false;
    }
    if (entry > UINT32_MAX || !e820_is_ram(&l->image->e820, entry, 1)) {
        return loader_fail(l, error, "its PVH entry 0x%" PRIx64 " does not lie in RAM", entry);
    }
    if (!loader_put_cmdline(l, NULL, LOW_CMDLINE_MAX, error) ||
        !loader_put_initrd(l, UINT32_MAX, loader_kernel_end(l), &initrd, &initrd_len, error)) {
        return false;
    }
    l->image->protocol = "PVH";
    l->image->state.gpr[GPR_RBX] = LOW_INFO;
    return put_start_info(l, initrd, initrd_len, error) &&
           loader_enter_prot32(l, (uint32_t)entry, error);
}
