/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State as a table of fields: how a device, a CPU or a part of one says what of it is saved.
 *
 *     static const Field fields[] = {
 *         FIELD(Pit, irq_enabled), FIELD_ARRAY(Pit, ch, channel_state), FIELD_TIMER(Pit, timer),
 *     };
 *     const FieldTable pit_state = {.version = 1, FIELDS(fields), .loaded = after_load};
 *
 * What is written names each field and its length, so that a difference is one clear error.  What is read is
 * distrusted: it is checked before it is stored, and `loaded` checks what no single field shows.  After a failed load the
 * state holds a mixture, but every value in it is one the table allows.
 *
 * An array may be at most FIELDS_PARTS_MAX long; numbers are the host's own (little-endian).  The machine lock is held.
 */
#ifndef SOFTMMU_BASE_FIELDS_H
#define SOFTMMU_BASE_FIELDS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Field Field;
typedef struct FieldTable FieldTable;

enum { FIELDS_PARTS_MAX = 4096 };

typedef enum {
    FIELD_PLAIN,              /* bytes of which every value is valid             */
    FIELD_BOOLS,
    FIELD_LIMITED,            /* one unsigned number up to `max`                 */
    FIELD_WIRED,              /* a number that must be the same already          */
    FIELD_DEADLINE,           /* a Timer                                         */
    FIELD_PARTS,              /* `count` of `size` bytes each, as `table` says   */
    FIELD_FOUND,              /* parts that `find` finds                         */
} FieldKind;

struct Field {
    const char *name;
    FieldKind kind;
    uint32_t offset, size, count;
    uint64_t max;
    const FieldTable *table;
    /* The i-th part of `state`, and its table; NULL: there are no more. */
    void *(*find)(void *state, unsigned i, const FieldTable **table);
};

struct FieldTable {
    uint16_t version;         /* goes up when the fields change */
    uint16_t n;
    const Field *fields;
    /* Bring the fields up to date.  False: it cannot be saved now, `error` says why.  May be NULL. */
    bool (*saving)(void *state, GError **error);
    /* All fields are there: check them against each other, and set what follows from them.  It tells nobody else of
     * levels and such, which others have saved themselves.  May be NULL. */
    bool (*loaded)(void *state, GError **error);
};

#define FIELDS(a) .n = sizeof(a) / sizeof((a)[0]), .fields = (a)

#define FIELD_SIZE_(T, m) sizeof(((T *)0)->m)
#define FIELD_IS_BOOL_(T, m)                                                                                           \
    (__builtin_types_compatible_p(__typeof__(((T *)0)->m), bool) ||                                                    \
     __builtin_types_compatible_p(__typeof__(((T *)0)->m), bool[sizeof(((T *)0)->m)]))

/* A number, an array of numbers, a bool or an array of them. */
#define FIELD(T, m)                                                                                                    \
    {.name = #m, .kind = FIELD_IS_BOOL_(T, m) ? FIELD_BOOLS : FIELD_PLAIN, .offset = offsetof(T, m),                   \
     .size = FIELD_SIZE_(T, m)}
#define FIELD_MAX(T, m, greatest)                                                                                      \
    {.name = #m, .kind = FIELD_LIMITED, .offset = offsetof(T, m), .size = FIELD_SIZE_(T, m), .max = (greatest)}
#define FIELD_SAME(T, m) {.name = #m, .kind = FIELD_WIRED, .offset = offsetof(T, m), .size = FIELD_SIZE_(T, m)}
#define FIELD_TIMER(T, m) {.name = #m, .kind = FIELD_DEADLINE, .offset = offsetof(T, m), .size = sizeof(uint64_t)}
#define FIELD_STRUCT(T, m, t)                                                                                          \
    {.name = #m, .kind = FIELD_PARTS, .offset = offsetof(T, m), .size = FIELD_SIZE_(T, m), .count = 1, .table = &(t)}
#define FIELD_ARRAY(T, m, t)                                                                                           \
    {.name = #m, .kind = FIELD_PARTS, .offset = offsetof(T, m), .size = FIELD_SIZE_(T, m[0]),                          \
     .count = FIELD_SIZE_(T, m) / FIELD_SIZE_(T, m[0]), .table = &(t)}
#define FIELD_FIND(what, f) {.name = (what), .kind = FIELD_FOUND, .find = (f)}

/* Nothing to save. */
extern const FieldTable fields_none;

/* Append what `t` says of `state` to `out`. */
bool fields_save(GByteArray *out, const FieldTable *t, void *state, GError **error);

/* Set `state` from exactly these bytes.  False: one line in `error`, beginning with the field's name. */
bool fields_load(const uint8_t *bytes, size_t len, const FieldTable *t, void *state, GError **error);

#endif /* SOFTMMU_BASE_FIELDS_H */
