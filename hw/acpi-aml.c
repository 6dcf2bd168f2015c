/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/acpi-aml.h"

#include "softmmu/base/bits.h"

#include <string.h>

enum { AML_DEPTH_MAX = 16 };

enum { /* opcodes that the functions below write themselves */
    OP_NAME = 0x08, OP_BYTE = 0x0a, OP_WORD = 0x0b, OP_DWORD = 0x0c, OP_STRING = 0x0d,
    OP_QWORD = 0x0e, OP_SCOPE = 0x10, OP_BUFFER = 0x11, OP_PACKAGE = 0x12, OP_METHOD = 0x14,
    PREFIX_DUAL = 0x2e, PREFIX_MULTI = 0x2f, OP_EXT = 0x5b, OP_IF = 0xa0, OP_ELSE = 0xa1,
    EXT_REGION = 0x80, EXT_FIELD = 0x81, EXT_DEVICE = 0x82,
};

struct Aml {
    GByteArray *out;
    unsigned depth;
    unsigned start[AML_DEPTH_MAX];   /* where the package length of each open package goes */
    GByteArray *resources;           /* open resource template, or NULL */
};

Aml *aml_new(void)
{
    Aml *a = g_new0(Aml, 1);

    a->out = g_byte_array_new();
    return a;
}

GByteArray *aml_free_to_bytes(Aml *a)
{
    GByteArray *out = a->out;

    g_assert(a->depth == 0 && a->resources == NULL);
    g_free(a);
    return out;
}

/* -- Pieces -------------------------------------------------------------------------------------- */

static void put(GByteArray *b, unsigned size, uint64_t v)
{
    uint8_t bytes[8];

    store_le(bytes, 8, v);
    g_byte_array_append(b, bytes, size);
}

static void byte(Aml *a, uint8_t v)
{
    put(a->out, 1, v);
}

/* Open a package: what follows is counted until aml_end(). */
static void begin(Aml *a)
{
    g_assert(a->depth < AML_DEPTH_MAX);
    a->start[a->depth++] = a->out->len;
}

/* PkgLength (ACPI 6.4 section 20.2.4) counts itself: 1 byte to 63, then 4 + 8n bits in 1 + n. */
void aml_end(Aml *a)
{
    g_assert(a->depth > 0);
    unsigned at = a->start[--a->depth];
    unsigned body = a->out->len - at, n = 1;
    uint8_t enc[4];

    if (body + 1 <= 0x3f) {
        enc[0] = (uint8_t)(body + 1);
    } else {
        n = body + 2 <= 0xfff ? 2 : body + 3 <= 0xfffff ? 3 : 4;
        unsigned len = body + n;
        g_assert(len < BIT(28));
        enc[0] = (uint8_t)((n - 1) << 6 | (len & 0xf));
        for (unsigned i = 1; i < n; i++) {
            enc[i] = (uint8_t)(len >> (4 + 8 * (i - 1)));
        }
    }
    g_byte_array_set_size(a->out, a->out->len + n);
    memmove(a->out->data + at + n, a->out->data + at, body);
    memcpy(a->out->data + at, enc, n);
}

/* One name segment: four characters, padded with '_'; `len` is 1 to 4. */
static void segment(Aml *a, const char *s, size_t len)
{
    char seg[4] = {'_', '_', '_', '_'};

    g_assert(len >= 1 && len <= 4);
    memcpy(seg, s, len);
    g_byte_array_append(a->out, (const uint8_t *)seg, 4);
}

void aml_path(Aml *a, const char *path)
{
    while (*path == '\\' || *path == '^') {
        byte(a, (uint8_t)*path++);
    }
    unsigned n = 1;
    for (const char *p = path; *p != '\0'; p++) {
        n += *p == '.';
    }
    if (*path == '\0') {
        byte(a, 0); /* NullName: the prefix alone */
        return;
    }
    if (n == 2) {
        byte(a, PREFIX_DUAL);
    } else if (n > 2) {
        byte(a, PREFIX_MULTI);
        byte(a, (uint8_t)n);
    }
    for (unsigned i = 0; i < n; i++) {
        size_t len = strcspn(path, ".");
        segment(a, path, len);
        path += len + 1;
    }
}

void aml_op(Aml *a, AmlOp op)
{
    byte(a, (uint8_t)op);
}

void aml_int(Aml *a, uint64_t v)
{
    static const struct {
        uint64_t max;
        uint8_t op, size;
    } forms[] = {
        {UINT8_MAX, OP_BYTE, 1}, {UINT16_MAX, OP_WORD, 2}, {UINT32_MAX, OP_DWORD, 4},
        {UINT64_MAX, OP_QWORD, 8},
    };

    if (v <= 1) {
        byte(a, (uint8_t)v);
        return;
    }
    for (unsigned i = 0; i < ARRAY_LEN(forms); i++) {
        if (v <= forms[i].max) {
            byte(a, forms[i].op);
            put(a->out, forms[i].size, v);
            return;
        }
    }
}

void aml_str(Aml *a, const char *s)
{
    byte(a, OP_STRING);
    g_byte_array_append(a->out, (const uint8_t *)s, (guint)strlen(s) + 1);
}

/* Three letters of five bits and four hexadecimal digits, stored big-endian in a DWORD. */
void aml_eisaid(Aml *a, const char *id)
{
    g_assert(strlen(id) == 7);
    uint32_t v = (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 |
                 (uint32_t)(id[2] - '@') << 16 | (uint32_t)g_ascii_strtoull(id + 3, NULL, 16);

    byte(a, OP_DWORD);
    put(a->out, 4, GUINT32_SWAP_LE_BE(v));
}

void aml_buffer(Aml *a, const void *data, unsigned len)
{
    byte(a, OP_BUFFER);
    begin(a);
    aml_int(a, len);
    g_byte_array_append(a->out, data, len);
    aml_end(a);
}

/* -- Objects ------------------------------------------------------------------------------------- */

void aml_name(Aml *a, const char *path)
{
    byte(a, OP_NAME);
    aml_path(a, path);
}

void aml_name_int(Aml *a, const char *path, uint64_t v)
{
    aml_name(a, path);
    aml_int(a, v);
}

void aml_name_str(Aml *a, const char *path, const char *s)
{
    aml_name(a, path);
    aml_str(a, s);
}

void aml_name_eisaid(Aml *a, const char *path, const char *id)
{
    aml_name(a, path);
    aml_eisaid(a, id);
}

void aml_begin_scope(Aml *a, const char *path)
{
    byte(a, OP_SCOPE);
    begin(a);
    aml_path(a, path);
}

void aml_begin_device(Aml *a, const char *path)
{
    byte(a, OP_EXT);
    byte(a, EXT_DEVICE);
    begin(a);
    aml_path(a, path);
}

void aml_begin_method(Aml *a, const char *path, unsigned n_args, bool serialized)
{
    byte(a, OP_METHOD);
    begin(a);
    aml_path(a, path);
    byte(a, (uint8_t)(n_args | (serialized ? 8 : 0)));
}

void aml_begin_if(Aml *a)
{
    byte(a, OP_IF);
    begin(a);
}

void aml_begin_else(Aml *a)
{
    byte(a, OP_ELSE);
    begin(a);
}

void aml_begin_package(Aml *a, unsigned n)
{
    g_assert(n <= 255);
    byte(a, OP_PACKAGE);
    begin(a);
    byte(a, (uint8_t)n);
}

void aml_region(Aml *a, const char *name, AmlSpace space, uint64_t offset, uint64_t len)
{
    byte(a, OP_EXT);
    byte(a, EXT_REGION);
    aml_path(a, name);
    byte(a, (uint8_t)space);
    aml_int(a, offset);
    aml_int(a, len);
}

void aml_begin_field(Aml *a, const char *region, AmlAccess access)
{
    byte(a, OP_EXT);
    byte(a, EXT_FIELD);
    begin(a);
    aml_path(a, region);
    byte(a, (uint8_t)access);
}

void aml_field_unit(Aml *a, const char *name4, unsigned bits)
{
    g_assert(bits <= 0x3f); /* the one-byte form of PkgLength */
    if (name4 == NULL) {
        byte(a, 0);
    } else {
        segment(a, name4, strlen(name4));
    }
    byte(a, (uint8_t)bits);
}

/* -- Resource templates --------------------------------------------------------------------------- */

void aml_begin_resources(Aml *a)
{
    g_assert(a->resources == NULL);
    a->resources = g_byte_array_new();
}

void aml_end_resources(Aml *a)
{
    GByteArray *r = a->resources;

    put(r, 1, 0x79); /* end tag; checksum 0 means "not computed" */
    put(r, 1, 0);
    a->resources = NULL;
    aml_buffer(a, r->data, r->len);
    g_byte_array_unref(r);
}

void aml_res_io(Aml *a, uint16_t base, uint8_t len)
{
    GByteArray *r = a->resources;

    put(r, 1, 0x47);
    put(r, 1, 1); /* decodes 16 bits */
    put(r, 2, base);
    put(r, 2, base);
    put(r, 1, 1);
    put(r, 1, len);
}

void aml_res_irq(Aml *a, unsigned irq)
{
    g_assert(irq < 16);
    put(a->resources, 1, 0x22); /* no flags: edge, high, exclusive */
    put(a->resources, 2, BIT(irq));
}

void aml_res_interrupt(Aml *a, const uint32_t *gsi, unsigned n, bool level)
{
    GByteArray *r = a->resources;

    put(r, 1, 0x89);
    put(r, 2, 2 + 4 * n);
    put(r, 1, level ? 0x09 : 0x03); /* consumer; edge is bit 1; shared is bit 3 */
    put(r, 1, n);
    for (unsigned i = 0; i < n; i++) {
        put(r, 4, gsi[i]);
    }
}

void aml_res_memory32(Aml *a, uint32_t base, uint32_t len, bool writable)
{
    GByteArray *r = a->resources;

    put(r, 1, 0x86);
    put(r, 2, 9);
    put(r, 1, writable);
    put(r, 4, base);
    put(r, 4, len);
}

/* Word, DWord and QWord address space descriptors differ in the width of five numbers. */
static void window(Aml *a, uint8_t type, uint8_t flags, uint64_t first, uint64_t last,
                   unsigned width)
{
    static const uint8_t tag[9] = {[2] = 0x88, [4] = 0x87, [8] = 0x8a};
    GByteArray *r = a->resources;

    g_assert(last >= first);
    put(r, 1, tag[width]);
    put(r, 2, 3 + 5 * width);
    put(r, 1, type);
    put(r, 1, 0x0c); /* producer, both ends fixed, positive decode */
    put(r, 1, flags);
    put(r, width, 0);
    put(r, width, first);
    put(r, width, last);
    put(r, width, 0);
    put(r, width, last - first + 1);
}

void aml_res_bus(Aml *a, uint16_t first, uint16_t last)
{
    window(a, 2, 0, first, last, 2);
}

void aml_res_window_io(Aml *a, uint16_t first, uint16_t last)
{
    window(a, 1, 3, first, last, 2); /* the entire range, ISA and not */
}

void aml_res_window_mem32(Aml *a, uint32_t first, uint32_t last, bool cacheable)
{
    window(a, 0, cacheable ? 3 : 1, first, last, 4);
}

void aml_res_window_mem64(Aml *a, uint64_t first, uint64_t last, bool cacheable)
{
    window(a, 0, cacheable ? 3 : 1, first, last, 8);
}
