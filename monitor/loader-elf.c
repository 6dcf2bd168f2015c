/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF images, 32 and 64 bits: program headers and notes.  Every number in the file is checked. */
#include "monitor/loader-internal.h"

#include "softmmu/base/bits.h"

#include <elf.h>
#include <inttypes.h>

typedef struct {
    uint32_t type;
    uint64_t offset, vaddr, paddr, filesz, memsz;
} ProgramHeader;

bool loader_is_elf(const Loader *l)
{
    return l->k_len >= sizeof(Elf32_Ehdr) && memcmp(l->k, ELFMAG, SELFMAG) == 0;
}

static bool inside(const Loader *l, uint64_t off, uint64_t len)
{
    return off <= l->k_len && len <= l->k_len - off;
}

bool loader_elf_open(const Loader *l, ElfFile *e, GError **error)
{
    e->is64 = l->k[EI_CLASS] == ELFCLASS64;
    if ((!e->is64 && l->k[EI_CLASS] != ELFCLASS32) || l->k[EI_DATA] != ELFDATA2LSB) {
        return loader_fail(l, error, "is not a little-endian 32-bit or 64-bit ELF file");
    }
    if (e->is64) {
        Elf64_Ehdr h;
        if (!inside(l, 0, sizeof h)) {
            return loader_fail(l, error, "is truncated: it ends inside its ELF header");
        }
        memcpy(&h, l->k, sizeof h);
        *e = (ElfFile){true, h.e_type, h.e_machine, h.e_entry, h.e_phoff, h.e_phnum, h.e_phentsize};
    } else {
        Elf32_Ehdr h;
        memcpy(&h, l->k, sizeof h);
        *e = (ElfFile){false, h.e_type, h.e_machine, h.e_entry, h.e_phoff, h.e_phnum, h.e_phentsize};
    }
    if (e->machine != EM_386 && e->machine != EM_X86_64) {
        return loader_fail(l, error, "is an ELF file for another processor (machine %u)", e->machine);
    }
    if (e->phnum == 0 || e->phentsize < (e->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr))) {
        return loader_fail(l, error, "is an ELF file without program headers");
    }
    if (!inside(l, e->phoff, (uint64_t)e->phnum * e->phentsize)) {
        return loader_fail(l, error, "is truncated: its program headers lie beyond its end");
    }
    return true;
}

static ProgramHeader segment_at(const Loader *l, const ElfFile *e, unsigned i)
{
    const uint8_t *p = l->k + e->phoff + (uint64_t)i * e->phentsize;

    if (e->is64) {
        Elf64_Phdr h;
        memcpy(&h, p, sizeof h);
        return (ProgramHeader){h.p_type, h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz, h.p_memsz};
    }
    Elf32_Phdr h;
    memcpy(&h, p, sizeof h);
    return (ProgramHeader){h.p_type, h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz, h.p_memsz};
}

bool loader_elf_load(Loader *l, const ElfFile *e, GError **error)
{
    bool any = false;

    for (unsigned i = 0; i < e->phnum; i++) {
        ProgramHeader s = segment_at(l, e, i);

        if (s.type != PT_LOAD || s.memsz == 0) {
            continue;
        }
        if (s.filesz > s.memsz || !inside(l, s.offset, s.filesz)) {
            return loader_fail(l, error, "is truncated: its segment %u lies beyond its end", i);
        }
        if (s.memsz > l->config->ram_size || s.paddr > UINT64_MAX - s.memsz) {
            return loader_fail(l, error, "its segment %u (%" PRIu64 " KiB) is larger than the guest's RAM",
                               i, s.memsz >> 10);
        }
        g_autoptr(GBytes) data = g_bytes_new_from_bytes(l->kernel, s.offset, s.filesz);
        if (!loader_put(l, s.paddr, data, "kernel", error) ||
            !loader_put_zeros(l, s.paddr + s.filesz, s.memsz - s.filesz, "kernel", error)) {
            return false;
        }
        any = true;
    }
    return any || loader_fail(l, error, "is an ELF file with nothing to load");
}

/* One PT_NOTE segment: names and descriptors are padded to 4 bytes. */
static const uint8_t *find_note(const uint8_t *p, uint64_t len, const char *name, uint32_t type,
                                uint64_t *desc_len)
{
    uint64_t at = 0;

    while (len - at >= 12) {
        uint64_t namesz = load_le(p + at, 4), descsz = load_le(p + at + 4, 4);
        uint64_t name_at = at + 12, desc_at = name_at + ((namesz + 3) & ~3ull);
        uint64_t next = desc_at + ((descsz + 3) & ~3ull);

        if (desc_at > len || descsz > len - desc_at) {
            return NULL;
        }
        if (load_le(p + at + 8, 4) == type && namesz == strlen(name) + 1 &&
            memcmp(p + name_at, name, namesz) == 0) {
            *desc_len = descsz;
            return p + desc_at;
        }
        if (next > len) {
            return NULL;
        }
        at = next;
    }
    return NULL;
}

const uint8_t *loader_elf_note(const Loader *l, const ElfFile *e, const char *name, uint32_t type,
                               uint64_t *len)
{
    for (unsigned i = 0; i < e->phnum; i++) {
        ProgramHeader s = segment_at(l, e, i);

        if (s.type == PT_NOTE && inside(l, s.offset, s.filesz)) {
            const uint8_t *d = find_note(l->k + s.offset, s.filesz, name, type, len);
            if (d != NULL) {
                return d;
            }
        }
    }
    return NULL;
}

uint64_t loader_elf_physical(const Loader *l, const ElfFile *e, uint64_t v)
{
    for (unsigned i = 0; i < e->phnum; i++) {
        ProgramHeader s = segment_at(l, e, i);

        if (s.type == PT_LOAD && v >= s.vaddr && v - s.vaddr < s.memsz) {
            return v - s.vaddr + s.paddr;
        }
    }
    return v;
}
