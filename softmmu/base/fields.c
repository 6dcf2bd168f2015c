/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A part is:   version (2 bytes), then its fields
 * A field is:  length of its name (1), name, length (4), then bytes; parts: count (4) and, each, length (4) and the part
 */
#include "softmmu/base/fields.h"

#include "softmmu/base/timer.h"

#include <stdarg.h>
#include <string.h>

const FieldTable fields_none = {.version = 1};

static bool fail(GError **error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static bool fail(GError **error, const char *fmt, ...)
{
    va_list ap;
    g_autofree char *text = NULL;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error_literal(error, g_quark_from_static_string("fields"), 0, text);
    return false;
}

/* The i-th part of a field; NULL: there are no more. */
static void *part_of(const Field *f, uint8_t *state, unsigned i, const FieldTable **table)
{
    if (f->kind == FIELD_FOUND) {
        return f->find(state, i, table);
    }
    *table = f->table;
    return i < f->count ? state + f->offset + (size_t)i * f->size : NULL;
}

/* -- Saving ----------------------------------------------------------------------------------------- */

static void append_u32(GByteArray *out, uint32_t v)
{
    g_byte_array_append(out, (const uint8_t *)&v, sizeof v);
}

/* Room for a length that is known later; returns where. */
static guint open_length(GByteArray *out)
{
    append_u32(out, 0);
    return out->len;
}

static void close_length(GByteArray *out, guint at)
{
    uint32_t len = out->len - at;

    memcpy(out->data + at - sizeof len, &len, sizeof len);
}

static bool save_parts(GByteArray *out, const Field *f, uint8_t *state, GError **error)
{
    const FieldTable *table;
    guint count_at = out->len;
    uint32_t n = 0;
    void *part;

    append_u32(out, 0);
    while ((part = part_of(f, state, n, &table)) != NULL) {
        guint at = open_length(out);
        if (!fields_save(out, table, part, error)) {
            g_prefix_error(error, "%s[%u].", f->name, n);
            return false;
        }
        close_length(out, at);
        n++;
    }
    memcpy(out->data + count_at, &n, sizeof n);
    return true;
}

static bool save_field(GByteArray *out, const Field *f, uint8_t *state, GError **error)
{
    uint8_t name_len = (uint8_t)strlen(f->name);
    guint at;

    g_byte_array_append(out, &name_len, 1);
    g_byte_array_append(out, (const uint8_t *)f->name, name_len);
    at = open_length(out);
    switch (f->kind) {
    case FIELD_PLAIN:
    case FIELD_BOOLS:
    case FIELD_LIMITED:
    case FIELD_WIRED:
        g_byte_array_append(out, state + f->offset, f->size);
        break;
    case FIELD_DEADLINE:
        g_byte_array_append(out, (const uint8_t *)&((const Timer *)(state + f->offset))->at_ns, sizeof(uint64_t));
        break;
    case FIELD_PARTS:
    case FIELD_FOUND:
        if (!save_parts(out, f, state, error)) {
            return false;
        }
        break;
    }
    close_length(out, at);
    return true;
}

bool fields_save(GByteArray *out, const FieldTable *t, void *state, GError **error)
{
    if (t->saving != NULL && !t->saving(state, error)) {
        return false;
    }
    g_byte_array_append(out, (const uint8_t *)&t->version, sizeof t->version);
    for (unsigned i = 0; i < t->n; i++) {
        if (!save_field(out, &t->fields[i], state, error)) {
            return false;
        }
    }
    return true;
}

/* -- Loading ---------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *at;
    size_t left;
} Bytes;

/* NULL: there are not as many. */
static const uint8_t *take(Bytes *b, size_t len)
{
    const uint8_t *at = b->at;

    if (len > b->left) {
        return NULL;
    }
    b->at += len;
    b->left -= len;
    return at;
}

static bool take_u32(Bytes *b, uint32_t *v)
{
    const uint8_t *at = take(b, sizeof *v);

    if (at != NULL) {
        memcpy(v, at, sizeof *v);
    }
    return at != NULL;
}

static bool load_parts(Bytes *b, const Field *f, uint8_t *state, GError **error)
{
    const FieldTable *table;
    uint32_t n, len;
    void *part;

    if (!take_u32(b, &n) || n > FIELDS_PARTS_MAX) {
        return fail(error, "%s: it is cut off", f->name);
    }
    for (unsigned i = 0; i <= n; i++) {
        const uint8_t *bytes;

        part = part_of(f, state, i, &table);
        if ((part != NULL) != (i < n)) {
            return fail(error, "%s: there are %s than %u parts here", f->name, part != NULL ? "more" : "less", n);
        }
        if (part == NULL) {
            break;
        }
        bytes = take_u32(b, &len) ? take(b, len) : NULL;
        if (bytes == NULL) {
            return fail(error, "%s[%u]: it is cut off", f->name, i);
        }
        if (!fields_load(bytes, len, table, part, error)) {
            g_prefix_error(error, "%s[%u].", f->name, i);
            return false;
        }
    }
    return b->left == 0 || fail(error, "%s: something follows it", f->name);
}

static uint64_t number(const uint8_t *bytes, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, bytes, MIN(size, sizeof v));
    return v;
}

static bool load_value(const Field *f, const uint8_t *bytes, uint8_t *state, GError **error)
{
    if (f->kind == FIELD_DEADLINE) {
        timer_set((Timer *)(state + f->offset), number(bytes, sizeof(uint64_t)));
        return true;
    }
    if (f->kind == FIELD_WIRED && memcmp(state + f->offset, bytes, f->size) != 0) {
        return fail(error, "%s: it was %" G_GUINT64_FORMAT ", and is %" G_GUINT64_FORMAT " here", f->name,
                    number(bytes, f->size), number(state + f->offset, f->size));
    }
    if (f->kind == FIELD_LIMITED && number(bytes, f->size) > f->max) {
        return fail(error, "%s: %" G_GUINT64_FORMAT " is more than %" G_GUINT64_FORMAT, f->name,
                    number(bytes, f->size), f->max);
    }
    for (uint32_t i = 0; f->kind == FIELD_BOOLS && i < f->size; i++) {
        if (bytes[i] > 1) {
            return fail(error, "%s: neither yes nor no", f->name);
        }
    }
    memcpy(state + f->offset, bytes, f->size);
    return true;
}

static bool load_field(Bytes *b, const Field *f, uint8_t *state, GError **error)
{
    const uint8_t *name_len = take(b, 1), *name = name_len != NULL ? take(b, *name_len) : NULL;
    const uint8_t *bytes;
    uint32_t len;

    if (name == NULL) {
        return fail(error, "%s: it is cut off", f->name);
    }
    if (*name_len != strlen(f->name) || memcmp(name, f->name, *name_len) != 0) {
        g_autofree char *other = g_utf8_make_valid((const char *)name, *name_len);
        return fail(error, "%s: there is '%s' in its place", f->name, other);
    }
    bytes = take_u32(b, &len) ? take(b, len) : NULL;
    if (bytes == NULL) {
        return fail(error, "%s: it is cut off", f->name);
    }
    if (f->kind == FIELD_PARTS || f->kind == FIELD_FOUND) {
        return load_parts(&(Bytes){bytes, len}, f, state, error);
    }
    return len == f->size ? load_value(f, bytes, state, error)
                          : fail(error, "%s: it has %u bytes, not %u", f->name, len, f->size);
}

bool fields_load(const uint8_t *bytes, size_t len, const FieldTable *t, void *state, GError **error)
{
    Bytes b = {bytes, len};
    const uint8_t *version = take(&b, sizeof t->version);

    if (version == NULL) {
        return fail(error, "it is cut off");
    }
    if (number(version, sizeof t->version) != t->version) {
        return fail(error, "version %u, not %u", (unsigned)number(version, sizeof t->version), t->version);
    }
    for (unsigned i = 0; i < t->n; i++) {
        if (!load_field(&b, &t->fields[i], state, error)) {
            return false;
        }
    }
    if (b.left != 0) {
        return fail(error, "something follows its last field");
    }
    return t->loaded == NULL || t->loaded(state, error);
}
