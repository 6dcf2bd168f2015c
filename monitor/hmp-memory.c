/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands about memory, ports and numbers.  CPUs are paused while they look. */
#include "monitor/hmp-internal.h"

#include "cpu-x86/walk.h"
#include "monitor/hmp-expr.h"
#include "monitor/run-loop.h"
#include "softmmu/base/bits.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    unsigned count, size;      /* size 0: not given */
    char format;
} Format;

/* "/4xg" */
static bool parse_format(const char *text, Format *f)
{
    char *end;

    if (g_ascii_isdigit(*++text)) {
        f->count = (unsigned)MIN(g_ascii_strtoull(text, &end, 10), 65536);
        text = end;
    }
    for (; *text != '\0'; text++) {
        switch (*text) {
        case 'b': f->size = 1; break;
        case 'h': f->size = 2; break;
        case 'w': f->size = 4; break;
        case 'g': case 'L': f->size = 8; break;
        case 'x': case 'd': case 'u': case 'o': case 'c': case 'i': f->format = *text; break;
        default: return false;
        }
    }
    return true;
}

/* Take a format off the arguments; false: it is said what is wrong. */
static bool take_format(HmpCall *c, Format *f)
{
    *f = (Format){1, 0, 'x'};
    if (c->argc > 0 && c->argv[0][0] == '/') {
        if (!parse_format(c->argv[0], f)) {
            hmp_error(c, "invalid format '%s'", c->argv[0]);
            return false;
        }
        c->argc--;
        c->argv++;
    }
    return true;
}

/* An argument, or all from there on (`rest`: expressions may have spaces). */
static bool take_value(HmpCall *c, int i, bool rest, uint64_t *v)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = rest && i < c->argc ? g_strjoinv(" ", c->argv + i)
                                                : g_strdup(i < c->argc ? c->argv[i] : "");
    bool ok;

    run_loop_pause(c->machine);
    ok = hmp_expr_eval(text, hmp_cpu_of(c), v, &error);
    run_loop_resume(c->machine);
    if (!ok) {
        hmp_error(c, "%s", error->message);
    }
    return ok;
}

static void append_value(GString *out, char format, unsigned size, uint64_t v)
{
    switch (format) {
    case 'd':
        g_string_append_printf(out, "%" G_GINT64_FORMAT, sign_extend(v, size));
        break;
    case 'u':
        g_string_append_printf(out, "%" G_GUINT64_FORMAT, v);
        break;
    case 'o':
        g_string_append_printf(out, "0%0*" G_GINT64_MODIFIER "o", (int)(size * 8 + 2) / 3, v);
        break;
    case 'c':
        g_string_append_printf(out, g_ascii_isprint((char)v) ? "'%c'" : "'\\x%02x'",
                               (unsigned)v & 0xff);
        break;
    default:
        g_string_append_printf(out, "0x%0*" G_GINT64_MODIFIER "x", (int)size * 2, v);
        break;
    }
}

/* -- x, xp -------------------------------------------------------------------------------------------- */

static bool read_memory(HmpCall *c, bool physical, uint64_t addr, void *buf, size_t len)
{
    CpuState *cpu = hmp_cpu_of(c);

    if (physical) {
        return phys_copy_from(c->machine->mem, buf, guest_phys(addr), len);
    }
    return cpu_debug_read(cpu, guest_lin(cpu->mode & MODE_LMA ? addr : (uint32_t)addr), buf, len);
}

static void append_address(HmpCall *c, uint64_t addr, bool physical)
{
    bool wide = physical || (hmp_cpu_of(c)->mode & MODE_LMA) != 0;

    g_string_append_printf(c->out, "%0*" G_GINT64_MODIFIER "x:", wide ? 16 : 8, addr);
}

static void dump_values(HmpCall *c, const Format *f, uint64_t addr, bool physical)
{
    unsigned per_line = f->format == 'c' || f->size == 1 ? 8 / f->size : 16 / f->size;

    per_line = MAX(per_line, 1);
    for (unsigned i = 0; i < f->count; i++, addr += f->size) {
        uint8_t buf[8] = {0};
        if (i % per_line == 0) {
            g_string_append(c->out, i > 0 ? "\n" : "");
            append_address(c, addr, physical);
        }
        if (!read_memory(c, physical, addr, buf, f->size)) {
            g_string_append(c->out, " Cannot access memory");
            break;
        }
        g_string_append_c(c->out, ' ');
        append_value(c->out, f->format, f->size, load_le(buf, f->size));
    }
    g_string_append(c->out, f->count > 0 ? "\n" : "");
}

static void set_up_decoder(const CpuState *cpu, ZydisDecoder *d)
{
    if (cpu_is_long64(cpu)) {
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    } else if ((cpu->mode & MODE_CS32) != 0) {
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
    } else {
        ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
    }
}

/* What is readable of the next instruction. */
static unsigned fetch(HmpCall *c, bool physical, uint64_t addr, uint8_t buf[15])
{
    unsigned n = 15;

    while (n > 0 && !read_memory(c, physical, addr, buf, n)) {
        n--;
    }
    return n;
}

static void dump_code(HmpCall *c, unsigned count, uint64_t addr, bool physical)
{
    ZydisDecoder decoder;
    ZydisFormatter formatter;

    set_up_decoder(hmp_cpu_of(c), &decoder);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
    for (unsigned i = 0; i < count; i++) {
        ZydisDecodedInstruction insn;
        ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
        uint8_t buf[15];
        char text[128] = "(bad)";
        unsigned n = fetch(c, physical, addr, buf), len = 1;
        g_autoptr(GString) bytes = g_string_new(NULL);

        g_string_append_printf(c->out, "0x%0*" G_GINT64_MODIFIER "x:  ",
                               cpu_is_long64(hmp_cpu_of(c)) ? 16 : 8, addr);
        if (n == 0) {
            g_string_append(c->out, "Cannot access memory\n");
            return;
        }
        if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, buf, n, &insn, ops))) {
            len = insn.length;
            ZydisFormatterFormatInstruction(&formatter, &insn, ops, insn.operand_count_visible,
                                            text, sizeof text, addr, NULL);
        }
        for (unsigned k = 0; k < len; k++) {
            g_string_append_printf(bytes, "%02x ", buf[k]);
        }
        g_string_append_printf(c->out, "%-24s %s\n", bytes->str, text);
        addr += len;
    }
}

static void dump_memory(HmpCall *c, bool physical)
{
    Format f;
    uint64_t addr;

    if (!take_format(c, &f)) {
        return;
    }
    if (c->machine->mem == NULL || hmp_cpu_of(c) == NULL) {
        hmp_error(c, "this machine has no memory to show");
        return;
    }
    if (!take_value(c, 0, true, &addr)) {
        return;
    }
    f.size = f.size != 0 ? f.size : f.format == 'c' ? 1 : 4;
    run_loop_pause(c->machine);
    if (f.format == 'i') {
        dump_code(c, f.count, addr, physical);
    } else {
        dump_values(c, &f, addr, physical);
    }
    run_loop_resume(c->machine);
}

void hmp_x(HmpCall *c)
{
    dump_memory(c, false);
}

void hmp_xp(HmpCall *c)
{
    dump_memory(c, true);
}

/* -- print, ports ------------------------------------------------------------------------------------- */

void hmp_print(HmpCall *c)
{
    Format f;
    uint64_t v;

    if (!take_format(c, &f) || !take_value(c, 0, true, &v)) {
        return;
    }
    if (f.format == 'x' || f.format == 'o') {
        g_string_append_printf(c->out, f.format == 'x' ? "0x%" G_GINT64_MODIFIER "x"
                                                       : "0%" G_GINT64_MODIFIER "o", v);
    } else {
        append_value(c->out, f.format, 8, v);
    }
    g_string_append_c(c->out, '\n');
}

/* Port and size; false: it is said what is wrong. */
static bool take_port(HmpCall *c, Format *f, uint64_t *port)
{
    if (!take_format(c, f) || !take_value(c, 0, false, port)) {
        return false;
    }
    f->size = f->size != 0 ? f->size : 1;
    if (*port > 0xffff || f->size > 4) {
        hmp_error(c, "ports are 0 to 0xffff, of 1, 2 or 4 bytes");
        return false;
    }
    return true;
}

void hmp_i(HmpCall *c)
{
    static const char suffix[5] = {[1] = 'b', [2] = 'w', [4] = 'l'};
    Format f;
    uint64_t port;

    if (take_port(c, &f, &port)) {
        uint32_t v = port_read(c->machine->ports, (uint16_t)port, f.size);
        g_string_append_printf(c->out, "port%c[0x%04x] = 0x%0*x\n", suffix[f.size],
                               (unsigned)port, (int)f.size * 2, v);
    }
}

void hmp_o(HmpCall *c)
{
    Format f;
    uint64_t port, v;

    if (take_port(c, &f, &port) && take_value(c, 1, true, &v)) {
        port_write(c->machine->ports, (uint16_t)port, f.size, (uint32_t)v);
    }
}

/* -- Blocks of memory --------------------------------------------------------------------------------- */

enum { BLOCK = 4096 };

/* Address and length of at most what a machine can have. */
static bool take_block(HmpCall *c, uint64_t *addr, uint64_t *len)
{
    const PhysMem *mem = c->machine->mem;

    if (mem == NULL || hmp_cpu_of(c) == NULL) {
        hmp_error(c, "this machine has no memory");
        return false;
    }
    if (!take_value(c, 0, false, addr) || !take_value(c, 1, false, len)) {
        return false;
    }
    if (*len > (UINT64_C(4) << 30) + mem->size) {
        hmp_error(c, "invalid size");
        return false;
    }
    return true;
}

/* BSD's 16-bit checksum. */
void hmp_sum(HmpCall *c)
{
    uint64_t addr, len;
    uint16_t sum = 0;

    if (!take_block(c, &addr, &len)) {
        return;
    }
    run_loop_pause(c->machine);
    while (len > 0) {
        uint8_t buf[BLOCK];
        size_t n = MIN(len, sizeof buf);
        read_memory(c, true, addr, buf, n);
        for (size_t i = 0; i < n; i++) {
            sum = (uint16_t)((sum >> 1 | sum << 15) + buf[i]);
        }
        addr += n;
        len -= n;
    }
    run_loop_resume(c->machine);
    g_string_append_printf(c->out, "%05d\n", sum);
}

static void save(HmpCall *c, bool physical)
{
    uint64_t addr, len;
    bool ok = true;
    FILE *f;

    if (c->argc != 3) {
        hmp_error(c, "usage: %smemsave ADDRESS LENGTH FILE", physical ? "p" : "");
        return;
    }
    if (!take_block(c, &addr, &len)) {
        return;
    }
    f = fopen(c->argv[2], "wbe");
    if (f == NULL) {
        hmp_error(c, "%s: %s", c->argv[2], g_strerror(errno));
        return;
    }
    run_loop_pause(c->machine);
    while (len > 0 && ok) {
        uint8_t buf[BLOCK];
        size_t n = (size_t)MIN(len, BLOCK - addr % BLOCK);
        if (!read_memory(c, physical, addr, buf, n) && !physical) {
            hmp_error(c, "invalid address 0x%016" G_GINT64_MODIFIER "x", addr);
            break;
        }
        ok = fwrite(buf, 1, n, f) == n;
        addr += n;
        len -= n;
    }
    run_loop_resume(c->machine);
    ok = fclose(f) == 0 && ok;
    if (!ok) {
        hmp_error(c, "%s: %s", c->argv[2], g_strerror(errno));
    }
}

void hmp_memsave(HmpCall *c)
{
    save(c, false);
}

void hmp_pmemsave(HmpCall *c)
{
    save(c, true);
}
