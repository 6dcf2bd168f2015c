/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/loader.h"

#include "monitor/loader-internal.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/present.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- Host files ----------------------------------------------------------------------------------- */

static void set_file_error(GError **error, const char *what, const char *path, const char *why)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s '%s': %s", what, path, why);
}

GBytes *loader_read_file(const char *what, const char *path, uint64_t max, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0) {
        set_file_error(error, what, path, g_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    GByteArray *b = g_byte_array_new();
    const char *why = S_ISDIR(st.st_mode) ? "is a directory"
                      : S_ISREG(st.st_mode) && (uint64_t)st.st_size > max ? "is larger than the guest's RAM"
                                                                          : NULL;
    while (why == NULL) {
        enum { CHUNK = 1 << 20 };
        unsigned at = b->len;
        g_byte_array_set_size(b, at + CHUNK);
        make_present(b->data + at, CHUNK);
        ssize_t n = read(fd, b->data + at, CHUNK);
        g_byte_array_set_size(b, at + (n > 0 ? (unsigned)n : 0));
        if (n < 0 && errno != EINTR) {
            why = g_strerror(errno);
        } else if (n == 0) {
            break;
        } else if (b->len > max || b->len > INT32_MAX) {
            why = "is larger than the guest's RAM";
        }
    }
    close(fd);
    if (why == NULL && b->len == 0) {
        why = "is empty";
    }
    if (why != NULL) {
        set_file_error(error, what, path, why);
        g_byte_array_unref(b);
        return NULL;
    }
    return g_byte_array_free_to_bytes(b);
}

bool loader_fail(const Loader *l, GError **error, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_autofree char *why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    set_file_error(error, "kernel", l->config->kernel, why);
    return false;
}

/* -- Pieces --------------------------------------------------------------------------------------- */

static bool add_piece(Loader *l, BootPiece p, GError **error)
{
    bool table = p.addr >= LOW_EBDA && p.len <= 0x100000 - p.addr && p.addr < 0x100000;

    if (p.len == 0) {
        return true;
    }
    if (!table && !e820_is_ram(&l->image->e820, p.addr, p.len)) {
        return loader_fail(l, error, "%s at 0x%" PRIx64 " (%" PRIu64 " bytes) does not lie in RAM",
                           p.what, p.addr, p.len);
    }
    for (unsigned i = 0; i < l->image->pieces->len; i++) {
        const BootPiece *o = &g_array_index(l->image->pieces, BootPiece, i);
        if (p.addr < o->addr + o->len && o->addr < p.addr + p.len) {
            return loader_fail(l, error, "%s at 0x%" PRIx64 " overlaps the %s at 0x%" PRIx64, p.what,
                               p.addr, o->what, o->addr);
        }
    }
    if (p.data != NULL) {
        g_bytes_ref(p.data);
    }
    g_array_append_val(l->image->pieces, p);
    return true;
}

bool loader_put(Loader *l, uint64_t addr, GBytes *data, const char *what, GError **error)
{
    return add_piece(l, (BootPiece){addr, g_bytes_get_size(data), data, what}, error);
}

bool loader_put_zeros(Loader *l, uint64_t addr, uint64_t len, const char *what, GError **error)
{
    return add_piece(l, (BootPiece){addr, len, NULL, what}, error);
}

bool loader_put_copy(Loader *l, uint64_t addr, const void *data, uint64_t len, const char *what,
                     GError **error)
{
    g_autoptr(GBytes) b = g_bytes_new(data, len);

    return loader_put(l, addr, b, what, error);
}

bool loader_put_cmdline(Loader *l, const char *prefix, uint64_t max_len, GError **error)
{
    const char *append = l->config->append != NULL ? l->config->append : "";
    g_autofree char *line = prefix == NULL ? g_strdup(append) : g_strdup_printf("%s %s", prefix, append);
    uint64_t max = MIN(max_len, LOW_CMDLINE_MAX - 1);

    g_strchomp(line);
    if (strlen(line) > max) {
        return loader_fail(l, error, "the command line is longer than the %" PRIu64
                           " characters it takes", max);
    }
    return loader_put_copy(l, LOW_CMDLINE, line, strlen(line) + 1, "command line", error);
}

uint64_t loader_place_high(Loader *l, uint64_t len, uint64_t limit, uint64_t floor)
{
    uint64_t end = MIN(limit, l->low_end) & GUEST_PAGE_MASK;

    if (end < len) {
        return 0;
    }
    uint64_t addr = (end - len) & GUEST_PAGE_MASK;
    if (addr < floor || addr < 0x100000) {
        return 0;
    }
    l->low_end = MIN(l->low_end, addr);
    return addr;
}

bool loader_put_initrd(Loader *l, uint64_t limit, uint64_t floor, uint64_t *addr, uint64_t *len,
                       GError **error)
{
    const char *path = l->config->initrd;

    *addr = *len = 0;
    if (path == NULL) {
        return true;
    }
    g_autoptr(GBytes) data = loader_read_file("initrd", path, l->config->ram_size, error);
    if (data == NULL) {
        return false;
    }
    *len = g_bytes_get_size(data);
    *addr = loader_place_high(l, *len, limit, floor);
    if (*addr == 0) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "initrd '%s': its %" PRIu64 " KiB do not fit into the guest's RAM beside the kernel",
                    path, (*len + 1023) / 1024);
        return false;
    }
    return loader_put(l, *addr, data, "initrd", error);
}

uint64_t loader_kernel_end(const Loader *l)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < l->image->pieces->len; i++) {
        const BootPiece *p = &g_array_index(l->image->pieces, BootPiece, i);
        if (strcmp(p->what, "kernel") == 0) {
            end = MAX(end, p->addr + p->len);
        }
    }
    return end;
}

void boot_image_read(const BootImage *b, uint64_t addr, void *dst, uint64_t len)
{
    for (unsigned i = 0; i < b->pieces->len; i++) {
        const BootPiece *p = &g_array_index(b->pieces, BootPiece, i);
        uint64_t from = MAX(addr, p->addr), to = MIN(addr + len, p->addr + p->len);

        if (from >= to) {
            continue;
        }
        uint8_t *d = (uint8_t *)dst + (from - addr);
        if (p->data == NULL) {
            memset(d, 0, to - from);
        } else {
            memcpy(d, (const uint8_t *)g_bytes_get_data(p->data, NULL) + (from - p->addr), to - from);
        }
    }
}

/* -- Entry states ---------------------------------------------------------------------------------- */

enum { SELECTOR_CS = 0x10, SELECTOR_DS = 0x18, SELECTOR_TR = 0x20 };

/* Selectors as the Linux boot protocol wants them: code 10h, data 18h; PVH wants a TSS too. */
static bool put_gdt(Loader *l, bool long64, GError **error)
{
    const uint64_t gdt[] = {
        0, 0,
        long64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff,
        0x00cf93000000ffff,
        0x00008b0000000067,
        0,
    };
    BootState *s = &l->image->state;

    s->gdt_base = LOW_GDT;
    s->gdt_limit = sizeof gdt - 1;
    s->cs = SELECTOR_CS, s->ds = SELECTOR_DS, s->tr = SELECTOR_TR;
    return loader_put_copy(l, LOW_GDT, gdt, sizeof gdt, "GDT", error);
}

bool loader_enter_prot32(Loader *l, uint32_t entry, GError **error)
{
    l->image->state.mode = BOOT_PROT32;
    l->image->state.rip = entry;
    return put_gdt(l, false, error);
}

/* The low 4 GiB in 2 MiB pages: present, writable. */
bool loader_enter_long64(Loader *l, uint64_t entry, GError **error)
{
    enum { TABLES = 6, ENTRIES = 512, P_RW = 3, PS = 0x80 };
    uint64_t t[TABLES * ENTRIES] = {0};

    t[0] = (LOW_PAGE_TABLES + 0x1000) | P_RW;
    for (unsigned i = 0; i < 4; i++) {
        t[ENTRIES + i] = (LOW_PAGE_TABLES + 0x2000 + i * 0x1000u) | P_RW;
    }
    for (uint64_t i = 0; i < 4 * ENTRIES; i++) {
        t[2 * ENTRIES + i] = i << 21 | P_RW | PS;
    }
    l->image->state.mode = BOOT_LONG64;
    l->image->state.rip = entry;
    l->image->state.cr3 = LOW_PAGE_TABLES;
    return put_gdt(l, true, error) &&
           loader_put_copy(l, LOW_PAGE_TABLES, t, sizeof t, "page tables", error);
}

/* -- Firmware's tables ----------------------------------------------------------------------------- */

static bool put_array(Loader *l, uint64_t addr, const GByteArray *a, const char *what, GError **error)
{
    return loader_put_copy(l, addr, a->data, a->len, what, error);
}

static bool put_acpi(Loader *l, GError **error)
{
    static const uint16_t ebda_segment = LOW_EBDA >> 4;
    AcpiTables *t = acpi_tables_new(l->config->acpi);
    uint64_t len = (t->tables->len + GUEST_PAGE_OFFSET_MASK) & GUEST_PAGE_MASK;
    uint64_t addr = loader_place_high(l, len, UINT32_MAX, 0x100000);
    bool ok = addr != 0;

    if (!ok) {
        loader_fail(l, error, "the guest's RAM is too small for its ACPI tables");
    } else {
        acpi_tables_link(t, addr);
        ok = put_array(l, addr, t->tables, "ACPI tables", error) &&
             put_array(l, LOW_RSDP, t->rsdp, "RSDP", error) &&
             put_array(l, LOW_EBDA + 0x10, t->rsdp, "RSDP", error) &&
             loader_put_copy(l, LOW_EBDA_POINTER, &ebda_segment, 2, "BIOS data area", error);
        e820_set(&l->image->e820, addr, len, E820_ACPI);
        l->rsdp = LOW_RSDP;
    }
    acpi_tables_free(t);
    return ok;
}

static bool put_smbios(Loader *l, GError **error)
{
    GByteArray *tables, *anchor;

    smbios_build(l->config->smbios, LOW_SMBIOS + 0x20, &tables, &anchor);
    bool ok = tables->len <= LOW_RESET - LOW_SMBIOS - 0x20;
    if (ok) {
        ok = put_array(l, LOW_SMBIOS, anchor, "SMBIOS anchor", error) &&
             put_array(l, LOW_SMBIOS + 0x20, tables, "SMBIOS structures", error);
    } else {
        loader_fail(l, error, "the SMBIOS structures are larger than 64 KiB less 48 bytes");
    }
    g_byte_array_unref(tables);
    g_byte_array_unref(anchor);
    return ok;
}

/* Where firmware begins, for systems that reboot by a jump there in real mode: Linux on a machine without keyboard
 * controller does, in the end. */
static bool put_reset(Loader *l, GError **error)
{
    static const uint8_t code[] = {
        0xb0, 0x03, 0xe6, 0x92,    /* mov al, 3; out 0x92, al: fast reset, A20 stays on */
        0xf4, 0xeb, 0xfd,          /* hlt, for ever                                      */
    };

    return loader_put_copy(l, LOW_RESET, code, sizeof code, "reset vector", error);
}

/* -- The image ------------------------------------------------------------------------------------- */

static bool load(Loader *l, GError **error)
{
    if (l->config->acpi != NULL && !put_acpi(l, error)) {
        return false;
    }
    if (l->config->smbios != NULL && !put_smbios(l, error)) {
        return false;
    }
    if (!put_reset(l, error)) {
        return false;
    }
    if (loader_is_linux(l)) {
        return loader_load_linux(l, error);
    }
    if (loader_is_multiboot(l)) {
        return loader_load_multiboot(l, error);
    }
    if (loader_is_elf(l)) {
        return loader_load_pvh(l, error);
    }
    return loader_fail(l, error, "is not a kernel (not a bzImage, an ELF file or a Multiboot image)");
}

static void clear_piece(gpointer p)
{
    BootPiece *piece = p;

    g_clear_pointer(&piece->data, g_bytes_unref);
}

BootImage *boot_image_new(const BootConfig *c, GError **error)
{
    Loader l = {.config = c};
    uint64_t high;

    l.kernel = loader_read_file("kernel", c->kernel, c->ram_size, error);
    if (l.kernel == NULL) {
        return NULL;
    }
    l.k = g_bytes_get_data(l.kernel, &l.k_len);
    l.image = g_new0(BootImage, 1);
    l.image->pieces = g_array_new(FALSE, FALSE, sizeof(BootPiece));
    g_array_set_clear_func(l.image->pieces, clear_piece);
    e820_init_pc(&l.image->e820, c->ram_size);
    e820_split_ram(c->ram_size, &l.low_end, &high);
    l.image->state.uncached_from = l.low_end;
    bool ok = load(&l, error);
    g_bytes_unref(l.kernel);
    if (!ok) {
        boot_image_free(l.image);
        return NULL;
    }
    return l.image;
}

void boot_image_free(BootImage *b)
{
    if (b != NULL) {
        g_array_unref(b->pieces);
        g_free(b);
    }
}
