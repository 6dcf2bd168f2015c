/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * gdb's interface for compiled code (its manual's "JIT Compilation Interface"): a list of object files in
 * memory, and a function it has a breakpoint on.  Each block is a small ELF file with one function
 * symbol, "guest_RIP".  The two public names are given by gdb and belong to the process.
 */
#include "translator/dump.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* -- gdb's side ------------------------------------------------------------------------------- */

typedef enum { JIT_NOACTION, JIT_REGISTER, JIT_UNREGISTER } JitAction;

typedef struct JitEntry {
    struct JitEntry *next, *prev;
    const void *file;
    uint64_t size;
} JitEntry;

typedef struct {
    uint32_t version, action;
    JitEntry *relevant, *first;
} JitDescriptor;

extern JitDescriptor __jit_debug_descriptor;
void __jit_debug_register_code(void);

JitDescriptor __jit_debug_descriptor = {.version = 1};

__attribute__((noinline)) void __jit_debug_register_code(void)
{
    __asm__ volatile("" ::: "memory"); /* gdb stops here */
}

/* The list is the process's; a machine's cache lock does not guard it. */
static GMutex list_lock;

static void tell(JitEntry *e, JitAction action)
{
    __jit_debug_descriptor.relevant = e;
    __jit_debug_descriptor.action = action;
    __jit_debug_register_code();
}

/* -- One block's file ------------------------------------------------------------------------- */

enum { SEC_NULL, SEC_TEXT, SEC_COLD, SEC_SYMTAB, SEC_STRTAB, SEC_COUNT };

static const char section_names[] = "\0.text\0.text.cold\0.symtab\0.strtab";

typedef struct {
    JitEntry entry;
    struct {
        Elf64_Ehdr eh;
        Elf64_Shdr sh[SEC_COUNT];
        Elf64_Sym sym[3];
        char strings[128];      /* section names, then the symbol's */
    } elf;
} JitFile;

static JitFile *make_file(const Block *b)
{
    JitFile *j = g_new0(JitFile, 1);
    size_t name = sizeof section_names, cold;

    memcpy(j->elf.strings, section_names, name);
    cold = name + (size_t)snprintf(j->elf.strings + name, sizeof j->elf.strings - name, "guest_%016" PRIx64, b->lin) + 1;
    snprintf(j->elf.strings + cold, sizeof j->elf.strings - cold, "guest_%016" PRIx64 "_cold", b->lin);
    j->elf.eh = (Elf64_Ehdr){
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_REL, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
        .e_shoff = offsetof(__typeof__(j->elf), sh), .e_ehsize = sizeof(Elf64_Ehdr),
        .e_shentsize = sizeof(Elf64_Shdr), .e_shnum = SEC_COUNT, .e_shstrndx = SEC_STRTAB};
    j->elf.sh[SEC_TEXT] = (Elf64_Shdr){
        .sh_name = 1, .sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
        .sh_addr = (uint64_t)(uintptr_t)b->code, .sh_size = b->host_len, .sh_addralign = 1};
    j->elf.sh[SEC_COLD] = (Elf64_Shdr){
        .sh_name = 7, .sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
        .sh_addr = (uint64_t)(uintptr_t)b->cold, .sh_size = b->cold_len, .sh_addralign = 1};
    j->elf.sh[SEC_SYMTAB] = (Elf64_Shdr){
        .sh_name = 18, .sh_type = SHT_SYMTAB, .sh_offset = offsetof(__typeof__(j->elf), sym),
        .sh_size = sizeof j->elf.sym, .sh_link = SEC_STRTAB, .sh_info = 1, .sh_addralign = 8,
        .sh_entsize = sizeof(Elf64_Sym)};
    j->elf.sh[SEC_STRTAB] = (Elf64_Shdr){
        .sh_name = 26, .sh_type = SHT_STRTAB, .sh_offset = offsetof(__typeof__(j->elf), strings),
        .sh_size = sizeof j->elf.strings, .sh_addralign = 1};
    j->elf.sym[1] = (Elf64_Sym){
        .st_name = (Elf64_Word)name, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
        .st_shndx = SEC_TEXT, .st_size = b->host_len};
    j->elf.sym[2] = (Elf64_Sym){
        .st_name = (Elf64_Word)cold, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
        .st_shndx = SEC_COLD, .st_size = b->cold_len};
    j->entry.file = &j->elf;
    j->entry.size = sizeof j->elf;
    return j;
}

/* -- Life ------------------------------------------------------------------------------------- */

struct GdbJit {
    unsigned n;
};

GdbJit *gdb_jit_new(void)
{
    return g_new0(GdbJit, 1);
}

void *gdb_jit_add(GdbJit *g, const Block *b)
{
    JitFile *j = make_file(b);

    g_mutex_lock(&list_lock);
    j->entry.next = __jit_debug_descriptor.first;
    if (j->entry.next != NULL) {
        j->entry.next->prev = &j->entry;
    }
    __jit_debug_descriptor.first = &j->entry;
    g->n++;
    tell(&j->entry, JIT_REGISTER);
    g_mutex_unlock(&list_lock);
    return j;
}

void gdb_jit_remove(GdbJit *g, void *handle)
{
    JitFile *j = handle;

    if (j == NULL) {
        return;
    }
    g_mutex_lock(&list_lock);
    if (j->entry.prev != NULL) {
        j->entry.prev->next = j->entry.next;
    } else {
        __jit_debug_descriptor.first = j->entry.next;
    }
    if (j->entry.next != NULL) {
        j->entry.next->prev = j->entry.prev;
    }
    tell(&j->entry, JIT_UNREGISTER);
    g_mutex_unlock(&list_lock);
    g->n--;
    g_free(j);
}

void gdb_jit_free(GdbJit *g)
{
    g_assert(g == NULL || g->n == 0);
    g_free(g);
}
