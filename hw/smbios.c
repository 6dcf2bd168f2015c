/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/smbios.h"

#include "softmmu/base/bits.h"

#include <gio/gio.h>
#include <stdlib.h>

enum { TYPE_MEMORY_DEVICE = 17, HANDLE_END = 0x7f00 };
#define GIB (UINT64_C(1) << 30)
#define DIMM_MAX (16 * GIB)

/* -- Configuration -------------------------------------------------------------------------------- */

static const struct {
    uint8_t type;
    const char *key;
} string_keys[SMBIOS_N_STRINGS] = {
    [SMBIOS_BIOS_VENDOR] = {0, "vendor"},
    [SMBIOS_BIOS_VERSION] = {0, "version"},
    [SMBIOS_BIOS_DATE] = {0, "date"},
    [SMBIOS_SYSTEM_MANUFACTURER] = {1, "manufacturer"},
    [SMBIOS_SYSTEM_PRODUCT] = {1, "product"},
    [SMBIOS_SYSTEM_VERSION] = {1, "version"},
    [SMBIOS_SYSTEM_SERIAL] = {1, "serial"},
    [SMBIOS_SYSTEM_SKU] = {1, "sku"},
    [SMBIOS_SYSTEM_FAMILY] = {1, "family"},
    [SMBIOS_CHASSIS_MANUFACTURER] = {3, "manufacturer"},
    [SMBIOS_CHASSIS_VERSION] = {3, "version"},
    [SMBIOS_CHASSIS_SERIAL] = {3, "serial"},
    [SMBIOS_CHASSIS_ASSET] = {3, "asset"},
    [SMBIOS_CHASSIS_SKU] = {3, "sku"},
    [SMBIOS_CPU_SOCKET] = {4, "sock_pfx"},
    [SMBIOS_CPU_MANUFACTURER] = {4, "manufacturer"},
    [SMBIOS_CPU_VERSION] = {4, "version"},
    [SMBIOS_CPU_SERIAL] = {4, "serial"},
    [SMBIOS_CPU_ASSET] = {4, "asset"},
    [SMBIOS_CPU_PART] = {4, "part"},
    [SMBIOS_MEMORY_LOCATOR] = {17, "loc_pfx"},
    [SMBIOS_MEMORY_BANK] = {17, "bank"},
    [SMBIOS_MEMORY_MANUFACTURER] = {17, "manufacturer"},
    [SMBIOS_MEMORY_SERIAL] = {17, "serial"},
    [SMBIOS_MEMORY_ASSET] = {17, "asset"},
    [SMBIOS_MEMORY_PART] = {17, "part"},
};

static void set_string(SmbiosConfig *c, SmbiosString s, const char *v)
{
    g_free(c->strings[s]);
    c->strings[s] = g_strdup(v);
}

void smbios_config_init(SmbiosConfig *c, const char *product, uint64_t ram_size, unsigned n_cpus)
{
    static const SmbiosString makers[] = {SMBIOS_SYSTEM_MANUFACTURER, SMBIOS_CHASSIS_MANUFACTURER,
                                          SMBIOS_CPU_MANUFACTURER, SMBIOS_MEMORY_MANUFACTURER};
    static const SmbiosString versions[] = {SMBIOS_SYSTEM_VERSION, SMBIOS_CHASSIS_VERSION,
                                            SMBIOS_CPU_VERSION};

    *c = (SmbiosConfig){.ram_size = ram_size, .n_cpus = n_cpus};
    c->oem_values = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; i < ARRAY_LEN(makers); i++) {
        set_string(c, makers[i], "QEMU");
    }
    for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
        set_string(c, versions[i], "metaphrase-" METAPHRASE_VERSION);
    }
    set_string(c, SMBIOS_SYSTEM_PRODUCT, product);
    set_string(c, SMBIOS_BIOS_VENDOR, "Metaphrase");
    set_string(c, SMBIOS_BIOS_VERSION, METAPHRASE_VERSION);
    set_string(c, SMBIOS_BIOS_DATE, "01/01/2026");
    set_string(c, SMBIOS_CPU_SOCKET, "CPU");
    set_string(c, SMBIOS_MEMORY_LOCATOR, "DIMM");
}

void smbios_config_clear(SmbiosConfig *c)
{
    for (unsigned i = 0; i < SMBIOS_N_STRINGS; i++) {
        g_clear_pointer(&c->strings[i], g_free);
    }
    g_clear_pointer(&c->oem_values, g_ptr_array_unref);
}

bool smbios_parse_uuid(const char *text, uint8_t uuid[16])
{
    if (!g_uuid_string_is_valid(text)) {
        return false;
    }
    for (unsigned i = 0; i < 16; text++) {
        if (*text != '-') {
            uuid[i++] = (uint8_t)(g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]));
            text++;
        }
    }
    return true;
}

/* Split at single commas; a doubled one stands for itself. */
static GPtrArray *split_items(const char *arg)
{
    GPtrArray *items = g_ptr_array_new_with_free_func(g_free);
    GString *item = g_string_new(NULL);

    for (const char *p = arg; *p != '\0'; p++) {
        if (*p == ',' && p[1] != ',') {
            g_ptr_array_add(items, g_string_free(item, FALSE));
            item = g_string_new(NULL);
        } else {
            p += *p == ',';
            g_string_append_c(item, *p);
        }
    }
    g_ptr_array_add(items, g_string_free(item, FALSE));
    return items;
}

static bool set_item(SmbiosConfig *c, uint64_t type, const char *key, const char *value,
                     GError **error)
{
    if (type == 1 && strcmp(key, "uuid") == 0) {
        c->has_uuid = smbios_parse_uuid(value, c->uuid);
        if (!c->has_uuid) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "-smbios type=1: '%s' is not a UUID", value);
        }
        return c->has_uuid;
    }
    if (type == 11 && strcmp(key, "value") == 0) {
        g_ptr_array_add(c->oem_values, g_strdup(value));
        return true;
    }
    for (unsigned i = 0; i < SMBIOS_N_STRINGS; i++) {
        if (string_keys[i].type == type && strcmp(string_keys[i].key, key) == 0) {
            set_string(c, (SmbiosString)i, value);
            return true;
        }
    }
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "-smbios: type %" G_GUINT64_FORMAT " has no field '%s'", type, key);
    return false;
}

bool smbios_config_option(SmbiosConfig *c, const char *arg, GError **error)
{
    g_autoptr(GPtrArray) items = split_items(arg);
    guint64 type;
    const char *first = items->pdata[0];

    if (!g_str_has_prefix(first, "type=") ||
        !g_ascii_string_to_unsigned(first + 5, 10, 0, 255, &type, NULL) ||
        (type != 0 && type != 1 && type != 3 && type != 4 && type != 11 && type != 17)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "-smbios %s: must begin with type=0, 1, 3, 4, 11 or 17", arg);
        return false;
    }
    for (unsigned i = 1; i < items->len; i++) {
        char *item = items->pdata[i], *eq = strchr(item, '=');
        if (eq == NULL) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                        "-smbios type=%" G_GUINT64_FORMAT ": '%s' has no value", type, item);
            return false;
        }
        *eq = '\0';
        if (!set_item(c, type, item, eq + 1, error)) {
            return false;
        }
    }
    return true;
}

/* -- Structures ------------------------------------------------------------------------------------ */

typedef struct {
    GByteArray *out;
    unsigned start;           /* of the open structure            */
    GPtrArray *strings;       /* of the open structure, borrowed  */
    unsigned n, longest;      /* structures, and the longest one  */
} Writer;

static void put(Writer *w, unsigned size, uint64_t v)
{
    uint8_t b[8];

    store_le(b, 8, v);
    g_byte_array_append(w->out, b, size);
}

static void begin(Writer *w, uint8_t type, uint16_t handle)
{
    w->start = w->out->len;
    g_ptr_array_set_size(w->strings, 0);
    put(w, 1, type);
    put(w, 1, 0);
    put(w, 2, handle);
}

/* A string's number; 0 when there is none. */
static void put_string(Writer *w, const char *s)
{
    if (s == NULL || *s == '\0') {
        put(w, 1, 0);
        return;
    }
    g_ptr_array_add(w->strings, (gpointer)s);
    put(w, 1, w->strings->len);
}

static void end(Writer *w)
{
    w->out->data[w->start + 1] = (uint8_t)(w->out->len - w->start);
    for (unsigned i = 0; i < w->strings->len; i++) {
        const char *s = w->strings->pdata[i];
        g_byte_array_append(w->out, (const uint8_t *)s, (guint)strlen(s) + 1);
    }
    put(w, 1, 0);
    if (w->strings->len == 0) {
        put(w, 1, 0);
    }
    w->n++;
    w->longest = MAX(w->longest, w->out->len - w->start);
}

static void add_bios(Writer *w, const SmbiosConfig *c)
{
    begin(w, 0, 0);
    put_string(w, c->strings[SMBIOS_BIOS_VENDOR]);
    put_string(w, c->strings[SMBIOS_BIOS_VERSION]);
    put(w, 2, 0xe800);
    put_string(w, c->strings[SMBIOS_BIOS_DATE]);
    put(w, 1, 0);
    put(w, 8, 8);             /* characteristics: not given */
    put(w, 2, 0x1400);        /* extension: virtual machine; targeted content */
    put(w, 4, 0xffff0000);    /* release 0.0, embedded controller: none */
    end(w);
}

static void add_system(Writer *w, const SmbiosConfig *c)
{
    begin(w, 1, 0x100);
    for (int s = SMBIOS_SYSTEM_MANUFACTURER; s <= SMBIOS_SYSTEM_SERIAL; s++) {
        put_string(w, c->strings[s]);
    }
    /* The first three fields are little-endian on the wire since 2.6. */
    static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (unsigned i = 0; i < 16; i++) {
        put(w, 1, c->uuid[order[i]]);
    }
    put(w, 1, 6);             /* woken by the power switch */
    put_string(w, c->strings[SMBIOS_SYSTEM_SKU]);
    put_string(w, c->strings[SMBIOS_SYSTEM_FAMILY]);
    end(w);
}

static void add_chassis(Writer *w, const SmbiosConfig *c)
{
    begin(w, 3, 0x300);
    put_string(w, c->strings[SMBIOS_CHASSIS_MANUFACTURER]);
    put(w, 1, 1);             /* other */
    put_string(w, c->strings[SMBIOS_CHASSIS_VERSION]);
    put_string(w, c->strings[SMBIOS_CHASSIS_SERIAL]);
    put_string(w, c->strings[SMBIOS_CHASSIS_ASSET]);
    put(w, 4, 0x02030303);    /* states safe, security unknown */
    put(w, 4, 0);
    put(w, 4, 0);             /* height, cords, elements */
    put_string(w, c->strings[SMBIOS_CHASSIS_SKU]);
    end(w);
}

static void add_cpu(Writer *w, const SmbiosConfig *c, unsigned i)
{
    g_autofree char *socket = g_strdup_printf("%s %u", c->strings[SMBIOS_CPU_SOCKET], i);

    begin(w, 4, (uint16_t)(0x400 + i));
    put_string(w, socket);
    put(w, 1, 3);             /* central processor */
    put(w, 1, 1);
    put_string(w, c->strings[SMBIOS_CPU_MANUFACTURER]);
    put(w, 8, 0);
    put_string(w, c->strings[SMBIOS_CPU_VERSION]);
    put(w, 1, 0);
    put(w, 2, 0);
    put(w, 2, 2000);
    put(w, 2, 2000);
    put(w, 1, 0x41);          /* populated, enabled */
    put(w, 1, 1);
    put(w, 2, 0xffff), put(w, 2, 0xffff), put(w, 2, 0xffff);
    put_string(w, c->strings[SMBIOS_CPU_SERIAL]);
    put_string(w, c->strings[SMBIOS_CPU_ASSET]);
    put_string(w, c->strings[SMBIOS_CPU_PART]);
    put(w, 1, 1), put(w, 1, 1), put(w, 1, 1);
    put(w, 2, 2);             /* characteristics unknown */
    put(w, 2, 1);
    put(w, 2, 1), put(w, 2, 1), put(w, 2, 1);
    end(w);
}

static unsigned dimm_count(const SmbiosConfig *c)
{
    return (unsigned)((c->ram_size + DIMM_MAX - 1) / DIMM_MAX);
}

static void add_memory_array(Writer *w, const SmbiosConfig *c)
{
    begin(w, 16, 0x1000);
    put(w, 1, 1), put(w, 1, 3), put(w, 1, 6);
    put(w, 4, c->ram_size < UINT64_C(2048) * GIB ? c->ram_size >> 10 : 0x80000000);
    put(w, 2, 0xfffe);
    put(w, 2, dimm_count(c));
    put(w, 8, c->ram_size < UINT64_C(2048) * GIB ? 0 : c->ram_size);
    end(w);
}

static void add_memory_device(Writer *w, const SmbiosConfig *c, unsigned i)
{
    uint64_t len = MIN(DIMM_MAX, c->ram_size - i * DIMM_MAX), mib = len >> 20;
    g_autofree char *locator = g_strdup_printf("%s %u", c->strings[SMBIOS_MEMORY_LOCATOR], i);

    begin(w, TYPE_MEMORY_DEVICE, (uint16_t)(0x1100 + i));
    put(w, 2, 0x1000);
    put(w, 2, 0xfffe);
    put(w, 2, 0xffff), put(w, 2, 0xffff);
    put(w, 2, mib < 0x7fff ? mib : 0x7fff);
    put(w, 1, 9), put(w, 1, 0);
    put_string(w, locator);
    put_string(w, c->strings[SMBIOS_MEMORY_BANK]);
    put(w, 1, 7);             /* RAM */
    put(w, 2, 2), put(w, 2, 0);
    put_string(w, c->strings[SMBIOS_MEMORY_MANUFACTURER]);
    put_string(w, c->strings[SMBIOS_MEMORY_SERIAL]);
    put_string(w, c->strings[SMBIOS_MEMORY_ASSET]);
    put_string(w, c->strings[SMBIOS_MEMORY_PART]);
    put(w, 1, 0);
    put(w, 4, mib < 0x7fff ? 0 : mib);
    put(w, 2, 0), put(w, 2, 0), put(w, 2, 0), put(w, 2, 0);
    end(w);
}

static void add_mapped(Writer *w, unsigned i, uint64_t base, uint64_t len)
{
    begin(w, 19, (uint16_t)(0x1300 + i));
    if (base + len <= 4 * 1024 * GIB - 1024) {
        put(w, 4, base >> 10), put(w, 4, ((base + len) >> 10) - 1);
    } else {
        put(w, 4, UINT32_MAX), put(w, 4, UINT32_MAX);
    }
    put(w, 2, 0x1000);
    put(w, 1, 1);
    put(w, 8, base), put(w, 8, base + len - 1);
    end(w);
}

static void add_structures(Writer *w, const SmbiosConfig *c)
{
    add_bios(w, c);
    add_system(w, c);
    add_chassis(w, c);
    for (unsigned i = 0; i < c->n_cpus; i++) {
        add_cpu(w, c, i);
    }
    if (c->oem_values != NULL && c->oem_values->len > 0) {
        begin(w, 11, 0xe00);
        unsigned n = MIN(c->oem_values->len, 255);
        put(w, 1, n);
        for (unsigned i = 0; i < n; i++) {
            g_ptr_array_add(w->strings, c->oem_values->pdata[i]);
        }
        end(w);
    }
    add_memory_array(w, c);
    for (unsigned i = 0; i < dimm_count(c); i++) {
        add_memory_device(w, c, i);
    }
    /* The same split as hw/e820.c makes. */
    uint64_t low = c->ram_size <= 7 * GIB / 2 ? c->ram_size : 3 * GIB;
    add_mapped(w, 0, 0, low);
    if (c->ram_size > low) {
        add_mapped(w, 1, 4 * GIB, c->ram_size - low);
    }
    begin(w, 32, 0x2000);
    put(w, 6, 0), put(w, 1, 0);
    end(w);
    begin(w, 127, HANDLE_END);
    end(w);
}

/* -- Entry points ---------------------------------------------------------------------------------- */

static uint8_t negated_sum(const uint8_t *p, unsigned n)
{
    uint8_t s = 0;

    while (n-- > 0) {
        s = (uint8_t)(s - *p++);
    }
    return s;
}

static void build_anchor_v2(uint8_t a[31], const Writer *w, uint64_t table_addr)
{
    memcpy(a, "_SM_", 4);
    a[5] = 31;
    a[6] = 2, a[7] = 8;
    store_le(a + 8, 2, w->longest);
    memcpy(a + 16, "_DMI_", 5);
    store_le(a + 22, 2, w->out->len);
    store_le(a + 24, 4, table_addr);
    store_le(a + 28, 2, w->n);
    a[30] = 0x28;
    a[21] = negated_sum(a + 16, 15);
    a[4] = negated_sum(a, 31);
}

static void build_anchor_v3(uint8_t a[24], const Writer *w, uint64_t table_addr)
{
    memcpy(a, "_SM3_", 5);
    a[6] = 24;
    a[7] = 3, a[8] = 0;
    a[10] = 1;
    store_le(a + 12, 4, w->out->len);
    store_le(a + 16, 8, table_addr);
    a[5] = negated_sum(a, 24);
}

void smbios_build(const SmbiosConfig *c, uint64_t table_addr, GByteArray **tables,
                  GByteArray **anchor)
{
    Writer w = {.out = g_byte_array_new(), .strings = g_ptr_array_new()};
    uint8_t a[31] = {0};

    add_structures(&w, c);
    *tables = w.out;
    *anchor = g_byte_array_new();
    /* Version 2's length and count are 16 bits. */
    if (c->v3 || w.out->len > UINT16_MAX) {
        build_anchor_v3(a, &w, table_addr);
        g_byte_array_append(*anchor, a, 24);
    } else {
        build_anchor_v2(a, &w, table_addr);
        g_byte_array_append(*anchor, a, 31);
    }
    g_ptr_array_unref(w.strings);
}
