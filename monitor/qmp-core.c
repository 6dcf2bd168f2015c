/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/qmp-core.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

/* -- Notes -------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t selector, limit, flags, pad;
    uint64_t base;
} NoteSegment;

/* Version 1 of the "QEMU" note, as crash(8) reads it. */
typedef struct {
    uint32_t version, size;
    uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8_15[8], rip, rflags;
    NoteSegment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
    uint64_t cr[5];
    uint64_t kernel_gs_base;
} NoteCpu;

_Static_assert(sizeof(NoteCpu) == 8 + 18 * 8 + 10 * 24 + 6 * 8, "no padding in the note");

static void add_note(GByteArray *out, const char *name, uint32_t type, const void *desc,
                     uint32_t len)
{
    static const uint8_t zero[4];
    Elf64_Nhdr h = {.n_namesz = (uint32_t)strlen(name) + 1, .n_descsz = len, .n_type = type};

    g_byte_array_append(out, (const uint8_t *)&h, sizeof h);
    g_byte_array_append(out, (const uint8_t *)name, h.n_namesz);
    g_byte_array_append(out, zero, -h.n_namesz & 3);
    g_byte_array_append(out, desc, len);
    g_byte_array_append(out, zero, -len & 3);
}

static void add_prstatus(GByteArray *out, const CpuState *cpu)
{
    struct elf_prstatus s = {.pr_pid = (pid_t)cpu->index + 1};
    struct user_regs_struct r = {
        .rax = cpu->gpr[GPR_RAX], .rbx = cpu->gpr[GPR_RBX], .rcx = cpu->gpr[GPR_RCX],
        .rdx = cpu->gpr[GPR_RDX], .rsi = cpu->gpr[GPR_RSI], .rdi = cpu->gpr[GPR_RDI],
        .rsp = cpu->gpr[GPR_RSP], .rbp = cpu->gpr[GPR_RBP], .r8 = cpu->gpr[GPR_R8],
        .r9 = cpu->gpr[GPR_R8 + 1], .r10 = cpu->gpr[GPR_R8 + 2], .r11 = cpu->gpr[GPR_R8 + 3],
        .r12 = cpu->gpr[GPR_R8 + 4], .r13 = cpu->gpr[GPR_R8 + 5], .r14 = cpu->gpr[GPR_R8 + 6],
        .r15 = cpu->gpr[GPR_R8 + 7], .rip = cpu->rip, .eflags = cpu->rflags,
        .orig_rax = (unsigned long)-1,
        .cs = cpu->seg[SEG_CS].selector, .ss = cpu->seg[SEG_SS].selector,
        .ds = cpu->seg[SEG_DS].selector, .es = cpu->seg[SEG_ES].selector,
        .fs = cpu->seg[SEG_FS].selector, .gs = cpu->seg[SEG_GS].selector,
        .fs_base = cpu->seg[SEG_FS].base, .gs_base = cpu->seg[SEG_GS].base,
    };

    _Static_assert(sizeof r == sizeof s.pr_reg, "the registers of a core file are ptrace's");
    memcpy(&s.pr_reg, &r, sizeof r);
    add_note(out, "CORE", NT_PRSTATUS, &s, sizeof s);
}

static NoteSegment segment(const Segment *s)
{
    return (NoteSegment){.selector = s->selector, .limit = s->limit, .flags = s->attr,
                         .base = s->base};
}

static void add_system_state(GByteArray *out, const CpuState *cpu)
{
    NoteCpu n = {
        .version = 1, .size = sizeof n,
        .rax = cpu->gpr[GPR_RAX], .rbx = cpu->gpr[GPR_RBX], .rcx = cpu->gpr[GPR_RCX],
        .rdx = cpu->gpr[GPR_RDX], .rsi = cpu->gpr[GPR_RSI], .rdi = cpu->gpr[GPR_RDI],
        .rsp = cpu->gpr[GPR_RSP], .rbp = cpu->gpr[GPR_RBP], .rip = cpu->rip,
        .rflags = cpu->rflags,
        .cs = segment(&cpu->seg[SEG_CS]), .ds = segment(&cpu->seg[SEG_DS]),
        .es = segment(&cpu->seg[SEG_ES]), .fs = segment(&cpu->seg[SEG_FS]),
        .gs = segment(&cpu->seg[SEG_GS]), .ss = segment(&cpu->seg[SEG_SS]),
        .ldt = segment(&cpu->seg[SEG_LDTR]), .tr = segment(&cpu->seg[SEG_TR]),
        .gdt = {.limit = cpu->gdtr.limit, .base = cpu->gdtr.base},
        .idt = {.limit = cpu->idtr.limit, .base = cpu->idtr.base},
        .cr = {cpu->cr0, 0, cpu->cr2, cpu->cr3, cpu->cr4},
        .kernel_gs_base = cpu->msr_kernel_gs_base,
    };

    memcpy(n.r8_15, &cpu->gpr[GPR_R8], sizeof n.r8_15);
    add_note(out, "QEMU", 0, &n, sizeof n);
}

/* -- The file ----------------------------------------------------------------------------------------- */

typedef struct {
    uint64_t base, len, offset;
} Piece;

static void add_piece(const PhysRange *r, const char *name, void *arg)
{
    GArray *pieces = arg;
    Piece *last = pieces->len > 0 ? &g_array_index(pieces, Piece, pieces->len - 1) : NULL;
    Piece p = {r->base, r->len, r->offset};

    if (r->kind != PHYS_RAM) {
        return;
    }
    if (last != NULL && last->base + last->len == p.base && last->offset + last->len == p.offset) {
        last->len += p.len;
    } else {
        g_array_append_val(pieces, p);
    }
}

bool qmp_core_write(int fd, const void *buf, size_t len)
{
    const uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        p += MAX(n, 0);
        len -= (size_t)MAX(n, 0);
    }
    return true;
}

/* ELF header and program headers; notes follow them, then the pieces. */
static GByteArray *make_headers(const GArray *pieces, const GByteArray *notes)
{
    GByteArray *out = g_byte_array_new();
    uint64_t at = sizeof(Elf64_Ehdr) + (pieces->len + 1) * sizeof(Elf64_Phdr);
    Elf64_Ehdr e = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
        .e_phoff = sizeof e, .e_ehsize = sizeof e, .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (uint16_t)(pieces->len + 1),
    };
    Elf64_Phdr note = {.p_type = PT_NOTE, .p_offset = at, .p_filesz = notes->len,
                       .p_memsz = notes->len};

    g_byte_array_append(out, (const uint8_t *)&e, sizeof e);
    g_byte_array_append(out, (const uint8_t *)&note, sizeof note);
    at += notes->len;
    for (guint i = 0; i < pieces->len; i++) {
        const Piece *p = &g_array_index(pieces, Piece, i);
        Elf64_Phdr h = {.p_type = PT_LOAD, .p_offset = at, .p_paddr = p->base, .p_filesz = p->len,
                        .p_memsz = p->len};
        g_byte_array_append(out, (const uint8_t *)&h, sizeof h);
        at += p->len;
    }
    return out;
}

bool qmp_core_dump(Machine *m, int fd)
{
    g_autoptr(GArray) pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
    g_autoptr(GByteArray) notes = g_byte_array_new(), headers = NULL;
    bool ok;

    phys_mem_foreach(m->mem, add_piece, pieces);
    for (unsigned i = 0; i < m->n_cpus; i++) {
        add_prstatus(notes, m->cpus[i]);
    }
    for (unsigned i = 0; i < m->n_cpus; i++) {
        add_system_state(notes, m->cpus[i]);
    }
    headers = make_headers(pieces, notes);
    ok = qmp_core_write(fd, headers->data, headers->len) &&
         qmp_core_write(fd, notes->data, notes->len);
    for (guint i = 0; ok && i < pieces->len; i++) {
        const Piece *p = &g_array_index(pieces, Piece, i);
        ok = qmp_core_write(fd, m->mem->base + p->offset, p->len);
    }
    return ok;
}
