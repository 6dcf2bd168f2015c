/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loaders, on tiny synthetic images. */
#include "hw/fw-cfg.h"
#include "monitor/loader-firmware.h"
#include "monitor/loader.h"
#include "softmmu/base/bits.h"

#include <check.h>
#include <elf.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <unistd.h>

static char *dir;

static void setup(void)
{
    dir = g_dir_make_tmp("metaphrase-loader-XXXXXX", NULL);
}

static void teardown(void)
{
    g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(d)) != NULL) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_chmod(path, 0600);
        g_unlink(path);
    }
    g_rmdir(dir);
    g_free(dir);
}

static char *file(const char *name, const void *data, size_t len)
{
    char *path = g_build_filename(dir, name, NULL);

    /* without the fsync of g_file_set_contents() */
    ck_assert(g_file_set_contents_full(path, data, (gssize)len, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    return path;
}

static uint64_t peek(const BootImage *b, uint64_t addr, unsigned size)
{
    uint64_t v = 0;

    boot_image_read(b, addr, &v, size);
    return v;
}

static BootImage *must_load(const BootConfig *c)
{
    GError *error = NULL;
    BootImage *b = boot_image_new(c, &error);

    ck_assert_msg(b != NULL, "%s", error != NULL ? error->message : "no message");
    return b;
}

/* Loading fails with one line that has both `name` and `why` in it. */
static void must_fail(const BootConfig *c, const char *name, const char *why)
{
    g_autoptr(GError) error = NULL;
    BootImage *b = boot_image_new(c, &error);

    ck_assert_ptr_null(b);
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error->message, name) != NULL && strstr(error->message, why) != NULL &&
                      strchr(error->message, '\n') == NULL,
                  "'%s' lacks '%s' or '%s'", error->message, name, why);
}

#define MIB (UINT64_C(1) << 20)

/* -- Linux ------------------------------------------------------------------------------------------ */

enum { SETUP_LEN = 512 * 3, PAYLOAD_LEN = 4096 };

/* A bzImage of protocol 2.15: two set-up sectors, then a payload of known bytes. */
static void make_bzimage(uint8_t k[SETUP_LEN + PAYLOAD_LEN], bool has64)
{
    memset(k, 0, SETUP_LEN);
    memset(k + SETUP_LEN, 0xc3, PAYLOAD_LEN);
    k[0x1f1] = 2;
    store_le(k + 0x1f4, 4, PAYLOAD_LEN / 16);
    store_le(k + 0x1fe, 2, 0xaa55);
    k[0x200] = 0xeb, k[0x201] = 0x6a;
    memcpy(k + 0x202, "HdrS", 4);
    store_le(k + 0x206, 2, 0x20f);
    k[0x211] = 1;
    store_le(k + 0x22c, 4, 0x7fffffff);
    store_le(k + 0x230, 4, 0x200000);
    k[0x234] = 1;
    store_le(k + 0x236, 2, has64 ? 1 : 0);
    store_le(k + 0x238, 4, 2047);
    store_le(k + 0x258, 8, 0x1000000);
    store_le(k + 0x260, 4, 0x400000);
}

START_TEST(bzimage_is_entered_in_64_bit_mode_when_both_sides_can)
{
    static const struct {
        bool kernel, cpu;
        BootMode mode;
    } rows[] = {{true, true, BOOT_LONG64}, {true, false, BOOT_PROT32}, {false, true, BOOT_PROT32}};
    uint8_t k[SETUP_LEN + PAYLOAD_LEN], initrd[5000];

    memset(initrd, 'i', sizeof initrd);
    make_bzimage(k, rows[_i].kernel);
    g_autofree char *kp = file("bzImage", k, sizeof k), *ip = file("initrd", initrd, sizeof initrd);
    BootConfig c = {.kernel = kp, .initrd = ip, .append = "console=ttyS0 x=1", .ram_size = 64 * MIB,
                    .long_mode = rows[_i].cpu};
    g_autoptr(BootImage) b = must_load(&c);

    ck_assert_int_eq(b->state.mode, rows[_i].mode);
    ck_assert_uint_eq(b->state.rip, 0x1000000 + (rows[_i].mode == BOOT_LONG64 ? 0x200 : 0));
    uint64_t bp = b->state.gpr[GPR_RSI];
    ck_assert_uint_eq(peek(b, b->state.rip, 1), 0xc3);
    char line[32] = "";
    boot_image_read(b, peek(b, bp + 0x228, 4), line, sizeof line - 1);
    ck_assert_str_eq(line, "console=ttyS0 x=1");
    uint64_t at = peek(b, bp + 0x218, 4);
    ck_assert_uint_eq(peek(b, bp + 0x21c, 4), sizeof initrd);
    ck_assert_uint_eq(at % 4096, 0);
    ck_assert_uint_ge(at, 0x1400000);
    ck_assert_uint_le(at + sizeof initrd, 64 * MIB);
    ck_assert_uint_eq(peek(b, at, 1), 'i');
    ck_assert_uint_eq(peek(b, at + sizeof initrd - 1, 1), 'i');
    ck_assert_uint_eq(peek(b, bp + 0x210, 1), 0xff);
    ck_assert_uint_eq(peek(b, bp + 0x214, 4), 0x1000000);
    ck_assert_uint_eq(peek(b, bp + 0x202, 4), 0x53726448);
    ck_assert_uint_eq(peek(b, bp + 0x1e8, 1), b->e820.n);
    for (unsigned i = 0; i < b->e820.n; i++) {
        ck_assert_uint_eq(peek(b, bp + 0x2d0 + i * 20, 8), b->e820.e[i].base);
        ck_assert_uint_eq(peek(b, bp + 0x2d0 + i * 20 + 16, 4), (unsigned)b->e820.e[i].type);
    }
    if (rows[_i].mode == BOOT_LONG64) { /* the page tables map the entry to itself */
        uint64_t pdpt = peek(b, b->state.cr3, 8) & ~0xfffull, pd = peek(b, pdpt, 8) & ~0xfffull;
        ck_assert_uint_eq(peek(b, pd + 8 * (0x1000000 >> 21), 8), 0x1000083);
        ck_assert_uint_eq(peek(b, (peek(b, pdpt + 24, 8) & ~0xfffull) + 511 * 8, 8), 0xffe00083);
    }
}
END_TEST

START_TEST(linux_gets_the_rsdp_and_a_reserved_place_for_its_tables)
{
    static const AcpiConfig acpi = {.n_cpus = 1, .pic = true, .ioapic_base = 0xfec00000,
                                    .pm_base = 0x600, .sci = 9};
    uint8_t k[SETUP_LEN + PAYLOAD_LEN];
    SmbiosConfig smbios;

    make_bzimage(k, true);
    smbios_config_init(&smbios, "test", 64 * MIB, 1);
    g_autofree char *kp = file("bzImage", k, sizeof k);
    BootConfig c = {.kernel = kp, .ram_size = 64 * MIB, .long_mode = true, .acpi = &acpi,
                    .smbios = &smbios};
    g_autoptr(BootImage) b = must_load(&c);

    uint64_t rsdp = peek(b, b->state.gpr[GPR_RSI] + 0x70, 8);
    ck_assert_uint_eq(rsdp, 0xe0000);
    ck_assert_uint_eq(peek(b, rsdp, 8), load_le("RSD PTR ", 8));
    uint64_t xsdt = peek(b, rsdp + 24, 8);
    ck_assert_uint_eq(peek(b, xsdt, 4), load_le("XSDT", 4));
    bool found = false;
    for (unsigned i = 0; i < b->e820.n; i++) {
        const E820Entry *e = &b->e820.e[i];
        found |= e->type == E820_ACPI && xsdt >= e->base && xsdt < e->base + e->len;
    }
    ck_assert(found);
    ck_assert_uint_eq(peek(b, (peek(b, 0x40e, 2) << 4) + 0x10, 8), load_le("RSD PTR ", 8));
    ck_assert_uint_eq(peek(b, 0xf0000, 4), load_le("_SM_", 4));
    ck_assert_uint_eq(peek(b, 0xffff0, 4), 0x92e603b0); /* mov al, 3; out 0x92, al */
    smbios_config_clear(&smbios);
}
END_TEST

START_TEST(a_device_tree_is_passed_as_setup_data)
{
    uint8_t k[SETUP_LEN + PAYLOAD_LEN], dtb[64] = {0xd0, 0x0d, 0xfe, 0xed, [63] = 7};

    make_bzimage(k, true);
    g_autofree char *kp = file("bzImage", k, sizeof k), *dp = file("x.dtb", dtb, sizeof dtb);
    BootConfig c = {.kernel = kp, .dtb = dp, .ram_size = 64 * MIB, .long_mode = true};
    g_autoptr(BootImage) b = must_load(&c);
    uint64_t at = peek(b, b->state.gpr[GPR_RSI] + 0x250, 8);

    ck_assert_uint_eq(peek(b, at, 8), 0);
    ck_assert_uint_eq(peek(b, at + 8, 4), 2);
    ck_assert_uint_eq(peek(b, at + 12, 4), sizeof dtb);
    ck_assert_uint_eq(peek(b, at + 16 + 63, 1), 7);
}
END_TEST

/* -- ELF -------------------------------------------------------------------------------------------- */

typedef struct {
    Elf64_Ehdr h;
    Elf64_Phdr ph[2];
    struct {
        uint32_t namesz, descsz, type;
        char name[4];
        uint32_t desc;
    } note;
    uint32_t multiboot[3];
    uint8_t text[64];
} Elf;

static Elf make_elf(bool note, bool multiboot)
{
    Elf e = {
        .h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
              .e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1,
              .e_entry = 0xffffffff80100010, .e_phoff = offsetof(Elf, ph), .e_ehsize = sizeof e.h,
              .e_phentsize = sizeof e.ph[0], .e_phnum = 2},
        .ph = {{.p_type = PT_LOAD, .p_offset = offsetof(Elf, text), .p_vaddr = 0xffffffff80100000,
                .p_paddr = 0x100000, .p_filesz = 64, .p_memsz = 8192},
               {.p_type = note ? PT_NOTE : PT_NULL, .p_offset = offsetof(Elf, note),
                .p_filesz = sizeof e.note, .p_memsz = sizeof e.note}},
        .note = {4, 4, 18, "Xen", 0x100020},
    };
    if (multiboot) {
        e.multiboot[0] = 0x1badb002, e.multiboot[1] = 3, e.multiboot[2] = 0u - 0x1badb002 - 3;
    }
    memset(e.text, 0x90, sizeof e.text);
    return e;
}

START_TEST(pvh_note_gives_the_entry_and_start_info)
{
    Elf e = make_elf(true, false);
    g_autofree char *kp = file("vmlinux", &e, sizeof e), *ip = file("initrd", "abc", 3);
    BootConfig c = {.kernel = kp, .initrd = ip, .append = "a b", .ram_size = 32 * MIB};
    g_autoptr(BootImage) b = must_load(&c);
    uint64_t info = b->state.gpr[GPR_RBX];

    ck_assert_int_eq(b->state.mode, BOOT_PROT32);
    ck_assert_uint_eq(b->state.rip, 0x100020);
    ck_assert_uint_eq(peek(b, 0x100000, 1), 0x90);
    uint8_t bss = 0xff;
    boot_image_read(b, 0x100000 + 8191, &bss, 1);
    ck_assert_uint_eq(bss, 0);
    ck_assert_uint_eq(peek(b, info, 4), 0x336ec578);
    ck_assert_uint_eq(peek(b, info + 12, 4), 1);
    uint64_t mod = peek(b, info + 16, 8);
    ck_assert_uint_eq(peek(b, peek(b, mod, 8), 3), load_le("abc", 3));
    ck_assert_uint_eq(peek(b, mod + 8, 8), 3);
    ck_assert_uint_eq(peek(b, peek(b, info + 24, 8), 4), load_le("a b", 4));
    ck_assert_uint_eq(peek(b, info + 48, 4), b->e820.n);
    uint64_t map = peek(b, info + 40, 8);
    ck_assert_uint_eq(peek(b, map + 8, 8), b->e820.e[0].len);
    ck_assert_uint_eq(peek(b, map + 24, 8), b->e820.e[1].base);
}
END_TEST

static void check_modules(const BootImage *b, uint64_t mbi)
{
    uint64_t mods = peek(b, mbi + 24, 4);
    char s[16] = "";

    ck_assert_uint_eq(peek(b, mbi + 20, 4), 2);
    ck_assert_uint_eq(peek(b, peek(b, mods, 4), 3), load_le("one", 3));
    ck_assert_uint_eq(peek(b, mods + 4, 4) - peek(b, mods, 4), 3);
    ck_assert_uint_eq(peek(b, mods + 16, 4) % 4096, 0);
    ck_assert_uint_eq(peek(b, peek(b, mods + 16, 4), 3), load_le("two", 3));
    uint64_t at = peek(b, mods + 8, 4);
    while (peek(b, at, 1) != ' ') {
        at++;
    }
    boot_image_read(b, at, s, sizeof s - 1);
    ck_assert_str_eq(s, " arg x");
}

START_TEST(multiboot_elf_and_flat_get_modules_and_a_memory_map)
{
    Elf e = make_elf(true, true);
    uint8_t flat[256] = {[100] = 0xaa, [255] = 0xbb};
    static const uint32_t header[] = {0x1badb002, 0x10003, 0u - 0x1badb002 - 0x10003,
                                      0x200020, 0x200000, 0, 0x201000, 0x200064};

    memcpy(flat + 32, header, sizeof header);
    bool is_flat = _i == 1;
    g_autofree char *kp = is_flat ? file("flat", flat, sizeof flat) : file("elf", &e, sizeof e);
    g_autofree char *one = file("one", "one", 3), *two = file("two", "two", 3);
    g_autofree char *mods = g_strdup_printf("%s arg x,%s", one, two);
    BootConfig c = {.kernel = kp, .initrd = mods, .append = "quiet", .ram_size = 32 * MIB};
    g_autoptr(BootImage) b = must_load(&c);
    uint64_t mbi = b->state.gpr[GPR_RBX];

    ck_assert_str_eq(b->protocol, "Multiboot");
    ck_assert_uint_eq(b->state.gpr[GPR_RAX], 0x2badb002);
    ck_assert_uint_eq(b->state.rip, is_flat ? 0x200064 : 0x100010);
    ck_assert_uint_eq(peek(b, b->state.rip, 1), is_flat ? 0xaa : 0x90);
    if (is_flat) {
        ck_assert_uint_eq(peek(b, 0x2000ff, 1), 0xbb);
    }
    ck_assert_uint_eq(peek(b, mbi, 4), 0x24f);
    ck_assert_uint_eq(peek(b, mbi + 8, 4), 31 * 1024);
    check_modules(b, mbi);
    uint64_t map = peek(b, mbi + 48, 4);
    ck_assert_uint_eq(peek(b, mbi + 44, 4), b->e820.n * 24);
    ck_assert_uint_eq(peek(b, map, 4), 20);
    ck_assert_uint_eq(peek(b, map + 12, 8), b->e820.e[0].len);
    char line[256] = "";
    boot_image_read(b, peek(b, mbi + 16, 4), line, sizeof line - 1);
    ck_assert(g_str_has_suffix(line, " quiet"));
}
END_TEST

/* -- Bad input --------------------------------------------------------------------------------------- */

START_TEST(bad_files_are_named_with_the_reason)
{
    uint8_t k[SETUP_LEN + PAYLOAD_LEN];
    static uint8_t big[9 << 20];
    Elf plain = make_elf(false, false), cut = make_elf(true, false), wide = make_elf(true, false),
        arm = make_elf(true, false), low = make_elf(true, false);

    make_bzimage(k, true);
    cut.ph[0].p_filesz = cut.ph[0].p_memsz = 1 << 20;
    wide.ph[0].p_memsz = UINT64_MAX - 5;
    arm.h.e_machine = EM_AARCH64;
    low.ph[0].p_paddr = 0x7000;
    g_autofree char *bz = file("bz", k, sizeof k), *short1 = file("short1", k, SETUP_LEN + 100),
                    *short2 = file("short2", k, 0x300), *text = file("text", "hello world, no kernel", 22),
                    *empty = file("empty", "", 0), *p = file("plain", &plain, sizeof plain),
                    *c = file("cut", &cut, sizeof cut), *w = file("wide", &wide, sizeof wide),
                    *a = file("arm", &arm, sizeof arm), *lo = file("low", &low, sizeof low),
                    *rd = file("rd", big, sizeof big),
                    *line = g_strnfill(3000, 'x');
    const struct {
        BootConfig c;
        const char *name, *why;
    } rows[] = {
        {{.kernel = "/nonexistent/vmlinuz"}, "/nonexistent/vmlinuz", "No such file"},
        {{.kernel = dir}, dir, "is a directory"},
        {{.kernel = empty}, "empty", "is empty"},
        {{.kernel = text}, "text", "is not a kernel"},
        {{.kernel = short1}, "short1", "truncated"},
        {{.kernel = short2}, "short2", "truncated"},
        {{.kernel = p}, "plain", "PVH"},
        {{.kernel = c}, "cut", "truncated"},
        {{.kernel = w}, "wide", "larger than the guest's RAM"},
        {{.kernel = a}, "arm", "another processor"},
        {{.kernel = bz, .initrd = "/nonexistent/rd"}, "/nonexistent/rd", "No such file"},
        {{.kernel = bz, .initrd = rd, .ram_size = 24 * MIB}, "rd", "do not fit"},
        {{.kernel = bz, .initrd = rd, .ram_size = 8 * MIB}, "bz", "needs at least 21 MiB"},
        {{.kernel = bz, .ram_size = 5000}, "bz", "larger than the guest's RAM"},
        {{.kernel = bz, .append = line}, "bz", "command line"},
        {{.kernel = bz, .dtb = text}, "text", "device tree"},
        {{.kernel = lo, .append = ""}, "low", "overlaps"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        BootConfig cfg = rows[i].c;
        cfg.ram_size = cfg.ram_size != 0 ? cfg.ram_size : 64 * MIB;
        cfg.long_mode = true;
        must_fail(&cfg, rows[i].name, rows[i].why);
    }
}
END_TEST

/* Any byte of a kernel changed: loads or fails, and no piece lies outside RAM. */
START_TEST(damaged_headers_never_place_anything_outside_ram)
{
    uint8_t k[SETUP_LEN + PAYLOAD_LEN];
    Elf e = make_elf(true, _i == 2);
    uint8_t *image = _i == 0 ? k : (uint8_t *)&e;
    size_t len = _i == 0 ? sizeof k : sizeof e, from = _i == 0 ? 0x1f0 : 0;
    size_t to = _i == 0 ? 0x270 : len;

    make_bzimage(k, true);
    for (size_t at = from; at < to; at++) {
        static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
        for (unsigned v = 0; v < ARRAY_LEN(values); v++) {
            uint8_t old = image[at];
            image[at] = values[v];
            g_autofree char *kp = file("k", image, len);
            image[at] = old;
            BootConfig c = {.kernel = kp, .ram_size = 32 * MIB, .long_mode = true};
            g_autoptr(GError) error = NULL;
            g_autoptr(BootImage) b = boot_image_new(&c, &error);
            ck_assert((b == NULL) == (error != NULL));
            for (unsigned i = 0; b != NULL && i < b->pieces->len; i++) {
                const BootPiece *p = &g_array_index(b->pieces, BootPiece, i);
                ck_assert(p->addr + p->len <= 32 * MIB && p->len <= 32 * MIB);
            }
        }
    }
}
END_TEST

/* -- Memory map --------------------------------------------------------------------------------------- */

START_TEST(memory_map_is_sorted_and_counts_all_ram)
{
    static const uint64_t sizes[] = {8 * MIB, 512 * MIB, 3584 * MIB, 3585 * MIB, 4096 * MIB, 65536 * MIB};

    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        E820Map m;
        uint64_t ram = 0;
        e820_init_ram(&m, sizes[i]);
        for (unsigned j = 0; j < m.n; j++) {
            ram += m.e[j].len;
        }
        ck_assert_uint_eq(ram, sizes[i]);
        e820_init_pc(&m, sizes[i]);
        for (unsigned j = 1; j < m.n; j++) {
            ck_assert_uint_ge(m.e[j].base, m.e[j - 1].base + m.e[j - 1].len);
        }
        ck_assert(e820_is_ram(&m, 0, 0x9fc00) && !e820_is_ram(&m, 0x9f000, 0x1000));
        ck_assert(!e820_is_ram(&m, 0xa0000, 1) && e820_is_ram(&m, 0x100000, 7 * MIB));
        ck_assert(!e820_is_ram(&m, 0x200000, UINT64_MAX));
    }
}
END_TEST

/* -- Firmware ----------------------------------------------------------------------------------------- */

START_TEST(firmware_finds_its_files_and_kernel_items)
{
    static const char *const want[] = {"bootorder", "etc/acpi/rsdp", "etc/acpi/tables", "etc/boot-menu-wait",
                                       "etc/e820", "etc/smbios/smbios-anchor",
                                       "etc/smbios/smbios-tables", "etc/system-states",
                                       "etc/table-loader", "opt/x/y", "opt/x/z"};
    uint8_t k[SETUP_LEN + PAYLOAD_LEN];
    AcpiConfig acpi;
    SmbiosConfig smbios;

    make_bzimage(k, true);
    pc_acpi_config_init(&acpi, 2, 6144 * MIB, 40);
    ck_assert_uint_eq(acpi.pci_mem32.first, 3072 * MIB);
    ck_assert_uint_eq(acpi.pci_mem64.first, 7168 * MIB);
    smbios_config_init(&smbios, "test", 6144 * MIB, 2);
    g_autofree char *kp = file("bz", k, sizeof k), *text = file("text", "hello", 5);
    FirmwareConfig c = {.n_cpus = 2, .ram_size = 6144 * MIB, .boot_menu = true, .boot_menu_wait_ms = 100,
                        .bootorder = "/rom@genroms/x\n", .acpi = &acpi, .smbios = &smbios,
                        .kernel = kp, .append = "q"};
    Device *d = fw_cfg_new(NULL);

    ck_assert(firmware_fill_fw_cfg(d, &c, NULL));
    ck_assert(firmware_add_user_file(d, "opt/x/y", text, NULL, NULL));
    ck_assert(firmware_add_user_file(d, "opt/x/z", NULL, "zz", NULL));
    for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
        ck_assert_msg(fw_cfg_file(d, want[i]) != NULL, "%s", want[i]);
    }
    ck_assert_uint_eq(g_bytes_get_size(fw_cfg_file(d, "etc/e820")), 40);
    g_autoptr(GError) error = NULL;
    ck_assert(!firmware_add_user_file(d, "opt/q", "/nonexistent/q", NULL, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "/nonexistent/q"));
    device_free(d);
    smbios_config_clear(&smbios);
}
END_TEST

/* -- The CPU ------------------------------------------------------------------------------------------ */

/* The test looks at what cpu_update_mode() derives the mode from, and that it is called. */
static unsigned mode_updates;

void __attribute__((weak)) cpu_update_mode(CpuState *cpu)
{
    mode_updates++;
}

START_TEST(the_boot_cpu_is_put_at_the_entry)
{
    static const BootState states[] = {
        {.mode = BOOT_LONG64, .rip = 0x1000200, .gpr = {[GPR_RSI] = 0x7000}, .cr3 = 0x9000,
         .gdt_base = 0x6000, .gdt_limit = 0x2f, .cs = 0x10, .ds = 0x18, .tr = 0x20,
         .uncached_from = 0xe0000000},
        {.mode = BOOT_PROT32, .rip = 0x100000, .gpr = {[GPR_RBX] = 0x7000}, .gdt_base = 0x6000,
         .gdt_limit = 0x2f, .cs = 0x10, .ds = 0x18, .tr = 0x20, .uncached_from = 128 * MIB},
    };
    const BootState *s = &states[_i];
    CpuState *cpu = aligned_alloc(64, (sizeof *cpu + 63) & ~63ul);

    memset(cpu, 0, sizeof *cpu);
    loader_apply(s, cpu);
    ck_assert_uint_eq(cpu->rip, s->rip);
    ck_assert_mem_eq(cpu->gpr, s->gpr, sizeof cpu->gpr);
    ck_assert_uint_eq(cpu->rflags, FLAG_FIXED);
    ck_assert_uint_eq(mode_updates, 1);
    bool long64 = s->mode == BOOT_LONG64;
    ck_assert_uint_eq(cpu->cr0, CR0_PE | CR0_ET | (long64 ? CR0_PG : 0));
    ck_assert_uint_eq(cpu->efer, long64 ? EFER_LME | EFER_LMA : 0);
    ck_assert_uint_eq(cpu->cr3, s->cr3);
    ck_assert_uint_eq(cpu->seg[SEG_CS].attr & (SEG_L | SEG_DB), long64 ? SEG_L : SEG_DB);
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        ck_assert(cpu->seg[i].base == 0 && cpu->seg[i].limit == UINT32_MAX);
        ck_assert_uint_eq(seg_dpl(cpu->seg[i].attr), 0);
        ck_assert_uint_eq(cpu->seg[i].selector, i == SEG_CS ? 0x10 : 0x18);
    }
    /* The variable MTRRs cover exactly the hole. */
    uint64_t covered = 0;
    for (unsigned i = 0; i < 8; i++) {
        if ((cpu->msr_mtrr_mask[i] & 0x800) != 0) {
            covered += (~cpu->msr_mtrr_mask[i] & (BIT64(36) - 1) & ~0xfffull) + 0x1000;
        }
    }
    ck_assert_uint_eq(covered, BIT64(32) - s->uncached_from);
    free(cpu);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loader");
    TCase *tc = tcase_create("loader");

    suite_add_tcase(s, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, bzimage_is_entered_in_64_bit_mode_when_both_sides_can, 0, 3);
    tcase_add_test(tc, linux_gets_the_rsdp_and_a_reserved_place_for_its_tables);
    tcase_add_test(tc, a_device_tree_is_passed_as_setup_data);
    tcase_add_test(tc, pvh_note_gives_the_entry_and_start_info);
    tcase_add_loop_test(tc, multiboot_elf_and_flat_get_modules_and_a_memory_map, 0, 2);
    tcase_add_test(tc, bad_files_are_named_with_the_reason);
    tcase_add_loop_test(tc, damaged_headers_never_place_anything_outside_ram, 0, 3);
    tcase_add_test(tc, memory_map_is_sorted_and_counts_all_ram);
    tcase_add_test(tc, firmware_finds_its_files_and_kernel_items);
    tcase_add_loop_test(tc, the_boot_cpu_is_put_at_the_entry, 0, 2);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
