/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/symbols.h"

#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

enum { NEAR = 1 << 20 };

typedef struct {
    uint64_t address;
    const char *name;          /* in Symbols.text                                                  */
} Symbol;

struct Symbols {
    char *text;
    GArray *sorted;            /* Symbol, by ascending address                                     */
};

/* -- Reading -------------------------------------------------------------------------------------- */

/* "ADDRESS TYPE NAME" at `line`, which ends with NUL.  False: it is none. */
static bool parse_line(char *line, Symbol *s)
{
    char *end = line;

    while (g_ascii_isxdigit(*end)) {
        end++;                 /* strtoull() takes signs, spaces and 0x, too */
    }
    s->address = g_ascii_strtoull(line, NULL, 16);
    if (end == line || end - line > 16 || end[0] != ' ' || !g_ascii_isalpha(end[1]) || end[2] != ' ' || !g_ascii_isgraph(end[3])) {
        return false;
    }
    s->name = end + 3;
    for (const char *at = s->name; *at != '\0'; at++) {
        if (!g_ascii_isprint(*at) && *at != '\t') {
            return false;
        }
    }
    return true;
}

/* False: *bad is the number of the line that is no symbol. */
static bool parse(Symbols *s, size_t len, unsigned *bad)
{
    unsigned number = 0;

    for (char *line = s->text, *end = s->text + len; line < end;) {
        char *stop = memchr(line, '\n', (size_t)(end - line));
        Symbol symbol;

        number++;
        stop = stop != NULL ? stop : end;
        *stop = '\0';          /* there is room for one behind the text */
        if (strlen(line) != (size_t)(stop - line) || !parse_line(line, &symbol)) {
            *bad = number;
            return false;
        }
        g_array_append_val(s->sorted, symbol);
        line = stop + 1;
    }
    *bad = number;
    return true;
}

static int by_address(const void *a, const void *b)
{
    const Symbol *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

/* Opening a pipe would hang, and a device never ends. */
static bool is_readable_file(const char *path, GError **error)
{
    struct stat st;

    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "symbols: %s is no regular file", path);
        return false;
    }
    if (stat(path, &st) == 0 && st.st_size > SYMBOLS_BYTES_MAX) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "symbols: %s has more than %d MiB", path,
                    SYMBOLS_BYTES_MAX >> 20);
        return false;
    }
    return true;
}

Symbols *symbols_load(const char *path, GError **error)
{
    Symbols *s;
    unsigned bad;
    gsize len;

    if (!is_readable_file(path, error)) {
        return NULL;
    }
    s = g_new0(Symbols, 1);
    s->sorted = g_array_new(FALSE, FALSE, sizeof(Symbol));
    if (!g_file_get_contents(path, &s->text, &len, error)) {
        g_prefix_error(error, "symbols: ");
    } else if (!parse(s, len, &bad)) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "symbols: %s: line %u is not 'ADDRESS TYPE NAME'", path, bad);
    } else if (s->sorted->len == 0) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "symbols: %s is empty", path);
    } else {
        g_array_sort(s->sorted, by_address);
        return s;
    }
    symbols_free(s);
    return NULL;
}

void symbols_free(Symbols *s)
{
    if (s != NULL) {
        g_array_free(s->sorted, TRUE);
        g_free(s->text);
        g_free(s);
    }
}

/* -- Finding -------------------------------------------------------------------------------------- */

uint64_t symbols_shift(const Symbols *s, uint64_t entry, const char *const *names)
{
    for (unsigned i = 0; i < s->sorted->len; i++) {
        const Symbol *at = &g_array_index(s->sorted, Symbol, i);
        for (const char *const *name = names; *name != NULL; name++) {
            /* kernels move by whole pages */
            if (strcmp(at->name, *name) == 0 && ((entry - at->address) & 0xfff) == 0) {
                return entry - at->address;
            }
        }
    }
    return 0;
}

char *symbols_name(const Symbols *s, uint64_t address)
{
    unsigned lo = 0, hi = s->sorted->len; /* the last that is not above is in front of `lo` at the end */
    const Symbol *at;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (g_array_index(s->sorted, Symbol, mid).address <= address) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo == 0) {
        return NULL;
    }
    at = &g_array_index(s->sorted, Symbol, lo - 1);
    return address - at->address < NEAR
               ? g_strdup_printf("%s+0x%" G_GINT64_MODIFIER "x", at->name, address - at->address) : NULL;
}
