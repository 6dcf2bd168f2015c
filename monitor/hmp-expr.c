/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/hmp-expr.h"

#include "monitor/cpu-dump.h"
#include "monitor/report.h"

#include <string.h>

typedef struct {
    const char *p;
    const CpuState *cpu;
    GError **error;
    unsigned depth;
} Parser;

enum { DEPTH_MAX = 64, LEVELS = 4 };

/* Binary operators by how tightly they bind, the loosest first. */
static const char *const operators[LEVELS] = {"|^", "&", "+-", "*/%"};

static bool sum(Parser *s, unsigned level, uint64_t *v);

static char peek(Parser *s)
{
    while (g_ascii_isspace(*s->p)) {
        s->p++;
    }
    return *s->p;
}

static bool registers(Parser *s, uint64_t *v)
{
    const char *start = ++s->p;

    while (g_ascii_isalnum(*s->p) || *s->p == '_') {
        s->p++;
    }
    g_autofree char *name = g_strndup(start, (gsize)(s->p - start));
    return (s->cpu != NULL && cpu_register_by_name(s->cpu, name, v)) ||
           fail(s->error, "unknown register: $%s", name);
}

static bool number(Parser *s, uint64_t *v)
{
    char *end;

    if (*s->p == '\'' && s->p[1] != '\0' && s->p[2] == '\'') {
        *v = (uint8_t)s->p[1];
        s->p += 3;
        return true;
    }
    if (!g_ascii_isdigit(*s->p)) {
        return *s->p == '\0' ? fail(s->error, "expression ended too early")
                             : fail(s->error, "invalid char '%c' in expression", *s->p);
    }
    *v = g_ascii_strtoull(s->p, &end, 0);
    s->p = end;
    return true;
}

static bool unary(Parser *s, uint64_t *v)
{
    char c = peek(s);

    if (s->depth++ > DEPTH_MAX) {
        return fail(s->error, "expression is too deep");
    }
    if (c == '+' || c == '-' || c == '~') {
        s->p++;
        if (!unary(s, v)) {
            return false;
        }
        *v = c == '-' ? -*v : c == '~' ? ~*v : *v;
    } else if (c == '(') {
        s->p++;
        if (!sum(s, 0, v)) {
            return false;
        }
        if (peek(s) != ')') {
            return fail(s->error, "')' expected");
        }
        s->p++;
    } else if (c == '$' ? !registers(s, v) : !number(s, v)) {
        return false;
    }
    s->depth--;
    return true;
}

static bool apply(Parser *s, char op, uint64_t *v, uint64_t w)
{
    switch (op) {
    case '|': *v |= w; return true;
    case '^': *v ^= w; return true;
    case '&': *v &= w; return true;
    case '+': *v += w; return true;
    case '-': *v -= w; return true;
    case '*': *v *= w; return true;
    default:
        if (w == 0) {
            return fail(s->error, "division by zero");
        }
        *v = op == '/' ? *v / w : *v % w;
        return true;
    }
}

static bool sum(Parser *s, unsigned level, uint64_t *v)
{
    if (level == LEVELS) {
        return unary(s, v);
    }
    if (!sum(s, level + 1, v)) {
        return false;
    }
    for (char op = peek(s); op != '\0' && strchr(operators[level], op) != NULL; op = peek(s)) {
        uint64_t w;
        s->p++;
        if (!sum(s, level + 1, &w) || !apply(s, op, v, w)) {
            return false;
        }
    }
    return true;
}

bool hmp_expr_eval(const char *text, const CpuState *cpu, uint64_t *v, GError **error)
{
    Parser s = {.p = text, .cpu = cpu, .error = error};

    if (!sum(&s, 0, v)) {
        return false;
    }
    return peek(&s) == '\0' || fail(error, "invalid char '%c' in expression", *s.p);
}
