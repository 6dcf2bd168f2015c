/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/dump.h"

#include "softmmu/base/log.h"

#include <inttypes.h>

enum { TEXT_LEN = 160, LINE_BYTES = 11 };

/* -- Disassembly ------------------------------------------------------------------------------ */

static void disassemble(ZydisFormatter *f, const ZydisDecodedInstruction *zi,
                        const ZydisDecodedOperand *ops, uint64_t at, char *text)
{
    if (!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(f, zi, ops, zi->operand_count_visible, text,
                                                      TEXT_LEN, at, NULL))) {
        g_strlcpy(text, "?", TEXT_LEN);
    }
}

static void add_line(GString *out, uint64_t at, const uint8_t *bytes, unsigned len, const char *text)
{
    g_string_append_printf(out, "\n  %016" PRIx64 "  ", at);
    for (unsigned i = 0; i < MAX(len, LINE_BYTES); i++) {
        if (i < len) {
            g_string_append_printf(out, "%02x", bytes[i]);
        } else {
            g_string_append(out, "  ");
        }
    }
    g_string_append_printf(out, " %s", text);
}

void dump_guest(const CpuState *cpu, const Plan *p)
{
    g_autoptr(GString) out = g_string_new(NULL);
    ZydisFormatter f;

    ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
    for (unsigned i = 0; i < p->n; i++) {
        const PlanInsn *in = &p->insn[i];
        char text[TEXT_LEN];
        disassemble(&f, &in->zi, in->op, p->lin + in->off, text);
        add_line(out, p->lin + in->off, p->bytes + in->off, in->len, text);
    }
    log_write("IN: cpu %u rip %016" PRIx64 "%s", cpu->index, p->lin, out->str);
}

/* -- The plan --------------------------------------------------------------------------------- */

static void add_flags(GString *out, const char *what, uint16_t flags)
{
    static const struct {
        uint16_t bit;
        char name;
    } names[] = {{FLAG_OF, 'O'}, {FLAG_SF, 'S'}, {FLAG_ZF, 'Z'}, {FLAG_AF, 'A'}, {FLAG_PF, 'P'},
                 {FLAG_CF, 'C'}};

    g_string_append_printf(out, " %s ", what);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_string_append_c(out, (flags & names[i].bit) != 0 ? names[i].name : '-');
    }
}

static void dump_plan(const Plan *p)
{
    g_autoptr(GString) out = g_string_new(NULL);
    ZydisFormatter f;

    ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
    for (unsigned i = 0; i < p->n; i++) {
        const PlanInsn *in = &p->insn[i];
        char text[TEXT_LEN];
        disassemble(&f, &in->zi, in->op, p->lin + in->off, text);
        g_string_append_printf(out, "\n  +%02x %-10s", in->off, front_class_name(in->plan));
        add_flags(out, "live", in->flags_live);
        add_flags(out, "kill", in->flags_kill);
        g_string_append_printf(out, "  %s", text);
    }
    log_write("OP: rip %016" PRIx64 " registers %04x%s", p->lin, p->regs, out->str);
}

/* -- Host code -------------------------------------------------------------------------------- */

static void add_mark(GString *out, const Mark *m)
{
    g_string_append_printf(out, "\n  ---- %s %u", (m->bits & MARK_EXIT) != 0 ? "exit" : "instruction",
                           m->insn);
    if (m->borrowed != 0) {
        g_string_append_printf(out, ", borrowed %04x", m->borrowed);
    }
    g_string_append(out, (m->bits & MARK_FLAGS_SLOT) != 0 ? ", flags aside" : "");
    g_string_append(out, (m->bits & MARK_RSI_HOST) != 0 ? ", rsi in the host" : "");
    g_string_append(out, (m->bits & MARK_RDI_HOST) != 0 ? ", rdi in the host" : "");
    g_string_append(out, (m->bits & MARK_POST) != 0 ? ", done" : "");
    g_string_append(out, (m->bits & MARK_TRANSIT) != 0 ? ", in transit" : "");
}

/* Host offsets [at, end), from mark number *m on. */
static void add_host(GString *out, const Block *b, unsigned at, unsigned end, unsigned *m)
{
    ZydisFormatter f;
    ZydisDecoder d;

    ZydisFormatterInit(&f, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    while (at < end) {
        const uint8_t *code = block_at(b, at);
        ZydisDecodedInstruction zi;
        ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
        char text[TEXT_LEN];
        while (*m < b->n_marks && block_marks(b)[*m].host_off <= at) {
            add_mark(out, &block_marks(b)[(*m)++]);
        }
        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, code, end - at, &zi, ops))) {
            g_string_append(out, "\n  ?");
            break;
        }
        disassemble(&f, &zi, ops, (uint64_t)(uintptr_t)code, text);
        add_line(out, (uint64_t)(uintptr_t)code, code, zi.length, text);
        at += zi.length;
    }
}

static void dump_host(const Block *b)
{
    g_autoptr(GString) out = g_string_new(NULL);
    unsigned m = 0;

    add_host(out, b, 0, b->host_len, &m);
    g_string_append(out, "\n  ---- cold");
    add_host(out, b, EMIT_COLD, EMIT_COLD + b->cold_len, &m);
    log_write("OUT: block %u rip %016" PRIx64 ", %u guest instructions, %u bytes and %u cold ones%s", b->id, b->lin,
              b->n_insns, b->host_len, b->cold_len, out->str);
}

/* -- All -------------------------------------------------------------------------------------- */

void dump_block(const CpuState *cpu, const Plan *p, const Block *b)
{
    if (unlikely(log_on[LOG_IN_ASM])) {
        dump_guest(cpu, p);
    }
    if (unlikely(log_on[LOG_OP])) {
        dump_plan(p);
    }
    if (unlikely(log_on[LOG_OUT_ASM])) {
        dump_host(b);
    }
}

bool dump_wants_exec(void)
{
    return unlikely(log_on[LOG_EXEC]);
}

void dump_exec(const CpuState *cpu, const Block *b)
{
    log_item(EXEC, "EXEC: cpu %u block %u rip %016" PRIx64 " at %p", cpu->index, b->id, cpu->rip,
             (const void *)block_entry(b));
}
