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
        {FLAG_PF, 'P'}, {FLAG_CF, 'C'},
    };

    g_string_append_c(out, '[');
    for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
        g_string_append_c(out, f & letters[i].bit ? letters[i].letter : '-');
    }
    g_string_append_c(out, ']');
}

/* What a descriptor is, as QEMU's clients know it: "DPL=0 CS64 [-RA]". */
static void dump_segment_type(const CpuState *cpu, uint32_t attr, GString *out)
{
    bool is_code = attr & SEG_CODE, lma = cpu->mode & MODE_LMA;

    g_string_append_printf(out, " DPL=%u ", seg_dpl(attr));
    if ((attr & SEG_S) == 0) {
        static const char *const kinds[16] = {
            [1] = "TSS16-avl", [2] = "LDT", [3] = "TSS16-busy", [9] = "TSS32-avl",
            [11] = "TSS32-busy",
        };
        unsigned type = attr >> SEG_TYPE_SHIFT & 15;
        const char *kind = lma && type == 9    ? "TSS64-avl"
                           : lma && type == 11 ? "TSS64-busy"
                                               : kinds[type];
        g_string_append(out, kind != NULL ? kind : "Reserved");
        return;
    }
    g_string_append_printf(out, "%s [%c%c%c]",
                           is_code ? (attr & SEG_L    ? "CS64"
                                      : attr & SEG_DB ? "CS32"
                                                      : "CS16")
                                   : (attr & SEG_DB) || lma ? "DS  " : "DS16",
                           attr & SEG_DC ? (is_code ? 'C' : 'E') : '-',
                           attr & SEG_RW ? (is_code ? 'R' : 'W') : '-', attr & SEG_A ? 'A' : '-');
}

/* Bases are 16 digits wide in long mode, else 8. */
static int base_width(const CpuState *cpu)
{
    return cpu->mode & MODE_LMA ? 16 : 8;
}

static void dump_segment(const CpuState *cpu, const char *name, const Segment *s, GString *out)
{
    uint32_t attr = s->attr & SEG_NULL ? 0 : s->attr & SEG_ATTR_MASK;

    g_string_append_printf(out, "%-3s=%04x %0*" G_GINT64_MODIFIER "x %08x %08x", name, s->selector,
                           base_width(cpu), s->base, s->limit, attr);
    if (cpu_protected(cpu) && (attr & SEG_P) != 0) {
        dump_segment_type(cpu, attr, out);
    }
    g_string_append_c(out, '\n');
}

static void dump_gprs(const CpuState *cpu, GString *out)
{
    static const uint8_t order[8] = {GPR_RAX, GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI, GPR_RDI, GPR_RBP,
                                     GPR_RSP};
    bool is64 = cpu_is_long64(cpu);

    for (int i = 0; i < (is64 ? GPR_COUNT : 8); i++) {
        int n = i < 8 ? order[i] : i;
        g_autofree char *name = g_ascii_strup(gpr_names[n], -1);
        name[0] = !is64 ? 'E' : name[0];
        g_string_append_printf(out, is64 ? "%-3s=%016" G_GINT64_MODIFIER "x%c"
                                         : "%-3s=%08" G_GINT64_MODIFIER "x%c", name,
                               is64 ? cpu->gpr[n] : (uint32_t)cpu->gpr[n], i % 4 == 3 ? '\n' : ' ');
    }
    g_string_append_printf(out, is64 ? "RIP=%016" G_GINT64_MODIFIER "x RFL=%08x "
                                     : "EIP=%08" G_GINT64_MODIFIER "x EFL=%08x ",
                           is64 ? cpu->rip : (uint32_t)cpu->rip, (unsigned)cpu->rflags);
    dump_flags(cpu->rflags, out);
    g_string_append_printf(out, " CPL=%u II=%u A20=%u SMM=0 HLT=%u\n", cpu->cpl, cpu->shadow,
                           cpu->mem == NULL || (cpu->mem->address_mask >> 20 & 1) != 0,
                           cpu->activity == CPU_HALTED);
}

static void dump_vector(const CpuState *cpu, GString *out)
{
    const uint8_t *fx = cpu->vec.fx;

    g_string_append_printf(out, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08x\n",
                           (unsigned)load_le(fx, 2), (unsigned)load_le(fx + 2, 2) & 0xc7ffu,
                           fx[3] >> 3 & 7u, fx[4], cpu->vec.mxcsr);
    for (int i = 0; i < 8; i++) {
        const uint8_t *st = fx + 32 + ((i - (fx[3] >> 3 & 7)) & 7) * 16;
        g_string_append_printf(out, "FPR%d=" HEX64 " %04x%c", i, load_le(st, 8),
                               (unsigned)load_le(st + 8, 2), i % 2 ? '\n' : ' ');
    }
    for (int i = 0; i < (cpu_is_long64(cpu) ? 16 : 8); i++) {
        g_string_append_printf(out, "XMM%02d=" HEX64 " " HEX64 "%c", i,
                               load_le(cpu->vec.zmm[i] + 8, 8), load_le(cpu->vec.zmm[i], 8),
                               i % 2 ? '\n' : ' ');
    }
}

/* QEMU's form, which scripts take apart. */
void cpu_dump_registers(const CpuState *cpu, GString *out)
{
    int w = base_width(cpu);

    g_string_append_printf(out, "\nCPU#%u\n", cpu->index);
    dump_gprs(cpu, out);
    for (int i = 0; i < SEG_ALL_COUNT; i++) {
        g_autofree char *name = g_ascii_strup(seg_names[i], -1);
        dump_segment(cpu, i == SEG_LDTR ? "LDT" : name, &cpu->seg[i], out);
    }
    g_string_append_printf(out, "GDT=     %0*" G_GINT64_MODIFIER "x %08x\n"
                           "IDT=     %0*" G_GINT64_MODIFIER "x %08x\n", w, cpu->gdtr.base,
                           cpu->gdtr.limit, w, cpu->idtr.base, cpu->idtr.limit);
    g_string_append_printf(out, "CR0=%08x CR2=%0*" G_GINT64_MODIFIER "x CR3=%0*" G_GINT64_MODIFIER
                           "x CR4=%08x\n", (unsigned)cpu->cr0, w, cpu->cr2, w, cpu->cr3,
                           (unsigned)cpu->cr4);
    g_string_append_printf(out, "DR0=" HEX64 " DR1=" HEX64 " DR2=" HEX64 " DR3=" HEX64 " \n",
                           cpu->dr[0], cpu->dr[1], cpu->dr[2], cpu->dr[3]);
    g_string_append_printf(out, "DR6=" HEX64 " DR7=" HEX64 "\nEFER=" HEX64 "\n", cpu->dr[6],
                           cpu->dr[7], cpu->efer);
    dump_vector(cpu, out);
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
