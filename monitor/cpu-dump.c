/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/cpu-dump.h"

#include "softmmu/base/bits.h"

#include <string.h>

#define HEX64 "%016" G_GINT64_MODIFIER "x"

static const char *const gpr_names[GPR_COUNT] = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
};

static const char *const seg_names[SEG_ALL_COUNT] = {
    "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr",
};

const char *cpu_activity_name(CpuActivity a)
{
    static const char *const names[] = {
        [CPU_RUNNING] = "running", [CPU_HALTED] = "halted", [CPU_WAIT_SIPI] = "waits for SIPI",
        [CPU_SHUTDOWN] = "shut down",
    };

    return names[a];
}

static void dump_flags(uint64_t f, GString *out)
{
    static const struct {
        uint32_t bit;
        char letter;
    } letters[] = {
        {FLAG_DF, 'D'}, {FLAG_OF, 'O'}, {FLAG_SF, 'S'}, {FLAG_ZF, 'Z'}, {FLAG_AF, 'A'},
        {FLAG_PF, 'P'}, {FLAG_CF, 'C'}, {FLAG_IF, 'I'}, {FLAG_TF, 'T'},
    };

    g_string_append_printf(out, "RFL=%08x [", (unsigned)f);
    for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
        g_string_append_c(out, f & letters[i].bit ? letters[i].letter : '-');
    }
    g_string_append_c(out, ']');
}

static void dump_segment(const char *name, const Segment *s, GString *out)
{
    g_string_append_printf(out, "%-4s=%04x " HEX64 " %08x %08x%s\n", name, s->selector, s->base,
                           s->limit, s->attr & SEG_ATTR_MASK, s->attr & SEG_NULL ? " null" : "");
}

void cpu_dump_registers(const CpuState *cpu, GString *out)
{
    g_string_append_printf(out, "CPU#%u\n", cpu->index);
    for (int i = 0; i < GPR_COUNT; i++) {
        g_autofree char *name = g_ascii_strup(gpr_names[i], -1);
        g_string_append_printf(out, "%-3s=" HEX64 "%c", name, cpu->gpr[i], i % 4 == 3 ? '\n' : ' ');
    }
    g_string_append_printf(out, "RIP=" HEX64 " ", cpu->rip);
    dump_flags(cpu->rflags, out);
    g_string_append_printf(out, " CPL=%u HLT=%u%s\n", cpu->cpl, cpu->activity == CPU_HALTED,
                           cpu->shadow ? " shadow" : "");
    for (int i = 0; i < SEG_ALL_COUNT; i++) {
        dump_segment(seg_names[i], &cpu->seg[i], out);
    }
    g_string_append_printf(out, "gdt =     " HEX64 " %08x\nidt =     " HEX64 " %08x\n",
                           cpu->gdtr.base, cpu->gdtr.limit, cpu->idtr.base, cpu->idtr.limit);
    g_string_append_printf(out, "CR0=%08x CR2=" HEX64 " CR3=" HEX64 " CR4=%08x\n",
                           (unsigned)cpu->cr0, cpu->cr2, cpu->cr3, (unsigned)cpu->cr4);
    g_string_append_printf(out, "DR0=" HEX64 " DR1=" HEX64 " DR2=" HEX64 " DR3=" HEX64 "\n",
                           cpu->dr[0], cpu->dr[1], cpu->dr[2], cpu->dr[3]);
    g_string_append_printf(out, "DR6=" HEX64 " DR7=" HEX64 "\nEFER=" HEX64 " MXCSR=%08x\n",
                           cpu->dr[6], cpu->dr[7], cpu->efer, cpu->vec.mxcsr);
}

bool cpu_register_by_name(const CpuState *cpu, const char *name, uint64_t *v)
{
    const struct {
        const char *name;
        uint64_t value;
    } others[] = {
        {"rip", cpu->rip}, {"pc", cpu->rip}, {"eip", (uint32_t)cpu->rip},
        {"eflags", cpu->rflags}, {"rflags", cpu->rflags}, {"cr0", cpu->cr0}, {"cr2", cpu->cr2},
        {"cr3", cpu->cr3}, {"cr4", cpu->cr4}, {"efer", cpu->efer},
    };

    for (int i = 0; i < GPR_COUNT; i++) {
        if (strcmp(name, gpr_names[i]) == 0) {
            *v = cpu->gpr[i];
            return true;
        }
        if (i < GPR_R8 && name[0] == 'e' && strcmp(name + 1, gpr_names[i] + 1) == 0) {
            *v = (uint32_t)cpu->gpr[i];
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (strcmp(name, others[i].name) == 0) {
            *v = others[i].value;
            return true;
        }
    }
    for (int i = 0; i < SEG_COUNT; i++) {
        if (strcmp(name, seg_names[i]) == 0) {
            *v = cpu->seg[i].selector;
            return true;
        }
    }
    return false;
}
