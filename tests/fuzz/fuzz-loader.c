/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel files of every format, mutated: loading succeeds or fails with one line, and what it made
 * lies in RAM.
 */
#include "monitor/loader.h"
#include "softmmu/base/bits.h"
#include "tests/fuzz/fuzz.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RAM_LEN = 32 << 20 };

/* The path of a file of these bytes; close *fd afterwards. */
static char *make_file(const uint8_t *data, size_t len, int *fd)
{
    *fd = memfd_create("kernel", MFD_CLOEXEC);
    g_assert(*fd >= 0 && write(*fd, data, len) == (ssize_t)len);
    return g_strdup_printf("/proc/self/fd/%d", *fd);
}

static void place(const BootImage *b)
{
    Lock lock;

    lock_init(&lock, LOCK_RANK_MACHINE);
    lock_take(&lock);
    PhysMem *mem = phys_mem_new(RAM_LEN, &lock, NULL);
    phys_region_ram(mem, 0, RAM_LEN, phys_mem_alloc(mem, RAM_LEN), 0, "ram");
    for (unsigned i = 0; i < b->pieces->len; i++) {
        const BootPiece *p = &g_array_index(b->pieces, BootPiece, i);
        g_assert(p->addr < RAM_LEN && p->len <= RAM_LEN - p->addr);
        g_assert(p->data == NULL || g_bytes_get_size(p->data) >= p->len);
    }
    boot_image_place(b, mem);
    phys_mem_free(mem);
    lock_release(&lock);
    lock_clear(&lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    uint8_t flags = fuzz_u8(&in), cut = fuzz_u8(&in);
    int fd, fd2;
    size_t initrd = in.left > cut ? cut : 0;
    g_autofree char *kernel = make_file(in.data, in.left - initrd, &fd);
    g_autofree char *rd = make_file(in.data + in.left - initrd, initrd, &fd2);
    g_autoptr(GError) error = NULL;
    BootConfig c = {.kernel = kernel, .ram_size = RAM_LEN, .long_mode = (flags & 1) != 0,
                    .initrd = (flags & 2) != 0 ? rd : NULL, .dtb = (flags & 4) != 0 ? rd : NULL,
                    .append = (flags & 8) != 0 ? "console=ttyS0 vga=0x317 mem=1G" : NULL,
                    .vga_text = (flags & 16) != 0};
    g_autofree char *modules = g_strdup_printf("%s a b,%s", rd, rd);

    if ((flags & 32) != 0) {
        c.initrd = modules;
    }
    BootImage *b = boot_image_new(&c, &error);
    g_assert((b == NULL) == (error != NULL));
    if (error != NULL) {
        g_assert(strchr(error->message, '\n') == NULL);
    } else {
        place(b);
    }
    boot_image_free(b);
    close(fd);
    close(fd2);
    return 0;
}

/* -- Seeds -------------------------------------------------------------------------------------- */

static size_t seed_bzimage(uint8_t *k, bool has64)
{
    memset(k, 0, 1536 + 1024);
    k[0x1f1] = 2;
    store_le(k + 0x1f4, 4, 1024 / 16);
    store_le(k + 0x1fe, 2, 0xaa55);
    k[0x200] = 0xeb, k[0x201] = 0x6a;
    memcpy(k + 0x202, "HdrS", 4);
    store_le(k + 0x206, 2, 0x20f);
    k[0x211] = 1;
    store_le(k + 0x22c, 4, 0x7fffffff);
    store_le(k + 0x230, 4, 0x200000);
    k[0x234] = 1;
    store_le(k + 0x236, 2, has64);
    store_le(k + 0x238, 4, 2047);
    store_le(k + 0x258, 8, 0x1000000);
    store_le(k + 0x260, 4, 0x400000);
    return 1536 + 1024;
}

/* 64- or 32-bit, with a PVH note or a Multiboot header. */
static size_t seed_elf64(uint8_t *k, bool note)
{
    static const uint32_t pvh[] = {4, 4, 18, 0x006e6558, 0x100020};
    static const uint32_t multiboot[] = {0x1badb002, 3, 0u - 0x1badb002 - 3};
    Elf64_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                    .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1,
                    .e_entry = 0xffffffff80100010, .e_phoff = 64, .e_ehsize = sizeof h,
                    .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2};
    Elf64_Phdr ph[] = {{.p_type = PT_LOAD, .p_offset = 256, .p_vaddr = 0xffffffff80100000,
                        .p_paddr = 0x100000, .p_filesz = 64, .p_memsz = 8192},
                       {.p_type = note ? PT_NOTE : PT_NULL, .p_offset = 192, .p_filesz = 20, .p_memsz = 20}};

    memset(k, 0x90, 320);
    memcpy(k, &h, sizeof h);
    memcpy(k + 64, ph, sizeof ph);
    memcpy(k + 192, note ? pvh : multiboot, note ? sizeof pvh : sizeof multiboot);
    return 320;
}

static size_t seed_elf32(uint8_t *k, bool note)
{
    static const uint32_t pvh[] = {4, 4, 18, 0x006e6558, 0x100020};
    static const uint32_t multiboot[] = {0x1badb002, 3, 0u - 0x1badb002 - 3};
    Elf32_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
                    .e_type = ET_EXEC, .e_machine = EM_386, .e_version = 1,
                    .e_entry = 0x80100010, .e_phoff = 64, .e_ehsize = sizeof h,
                    .e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 2};
    Elf32_Phdr ph[] = {{.p_type = PT_LOAD, .p_offset = 256, .p_vaddr = 0x80100000,
                        .p_paddr = 0x100000, .p_filesz = 64, .p_memsz = 8192},
                       {.p_type = note ? PT_NOTE : PT_NULL, .p_offset = 192, .p_filesz = 20, .p_memsz = 20}};

    memset(k, 0x90, 320);
    memcpy(k, &h, sizeof h);
    memcpy(k + 64, ph, sizeof ph);
    memcpy(k + 192, note ? pvh : multiboot, note ? sizeof pvh : sizeof multiboot);
    return 320;
}

static size_t seed_flat(uint8_t *k, bool video)
{
    const uint32_t flags = video ? 0x10007 : 0x10003;
    const uint32_t header[] = {0x1badb002, flags, 0u - 0x1badb002 - flags, 0x200020, 0x200000, 0,
                               0x201000, 0x200064, 1, 80, 25, 0};

    memset(k, 0xaa, 256);
    memcpy(k + 32, header, sizeof header);
    return 256;
}

size_t fuzz_seed(unsigned i, uint8_t *buf)
{
    static const uint8_t flags[] = {0x0b, 0x1f, 0x28};
    static size_t (*const make[])(uint8_t *k, bool variant) = {seed_bzimage, seed_elf64, seed_elf32,
                                                               seed_flat};

    if (i >= 24) {
        return 0;
    }
    buf[0] = flags[i / 8];
    buf[1] = 20;
    size_t n = 2 + make[i / 2 % 4](buf + 2, (i & 1) != 0);
    memset(buf + n, 'i', 20);
    return n + 20;
}
