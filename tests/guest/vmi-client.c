/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guest/vmi-client.h"

VmiHeader *vmi_header;
VmiExtras vmi;

/* -- Native operations ------------------------------------------------------------------------------------- */

static void native_set_gdt(const TablePtr *p) { __asm__ volatile("lgdt %0" : : "m"(*p)); }
static void native_set_idt(const TablePtr *p) { __asm__ volatile("lidt %0" : : "m"(*p)); }
static void native_get_gdt(TablePtr *p) { __asm__ volatile("sgdt %0" : "=m"(*p)); }
static void native_get_idt(TablePtr *p) { __asm__ volatile("sidt %0" : "=m"(*p)); }
static void native_set_ldt(u32 s) { __asm__ volatile("lldt %w0" : : "r"(s) : "memory"); }
static void native_set_tr(u32 s) { __asm__ volatile("ltr %w0" : : "r"(s) : "memory"); }

static u32 native_get_ldt(void)
{
    u32 s = 0;
    __asm__ volatile("sldt %w0" : "+r"(s));
    return s;
}

static u32 native_get_tr(void)
{
    u32 s = 0;
    __asm__ volatile("str %w0" : "+r"(s));
    return s;
}

static void native_write_entry(void *table, u32 i, u32 low, u32 high)
{
    volatile u32 *e = (u32 *)table + 2 * i;

    e[0] = low;
    e[1] = high;
}
#define native_write_gdt_entry native_write_entry
#define native_write_ldt_entry native_write_entry
#define native_write_idt_entry native_write_entry

static void native_update_kernel_stack(u32 ss, u32 esp) { }
static void native_set_cr0(u32 v) { write_cr0(v); }
static void native_set_cr2(u32 v) { write_cr2(v); }
static void native_set_cr3(u32 v) { write_cr3(v); }
static void native_set_cr4(u32 v) { write_cr4(v); }
static u32 native_get_cr0(void) { return read_cr0(); }
static u32 native_get_cr2(void) { return read_cr2(); }
static u32 native_get_cr3(void) { return read_cr3(); }
static u32 native_get_cr4(void) { return read_cr4(); }
static void native_wbinvd(void) { __asm__ volatile("wbinvd" : : : "memory"); }

static void native_set_dr(u32 n, u32 v)
{
    switch (n) {
    case 0: write_dr0(v); break;
    case 1: write_dr1(v); break;
    case 2: write_dr2(v); break;
    case 3: write_dr3(v); break;
    case 6: write_dr6(v); break;
    default: write_dr7(v); break;
    }
}

static u32 native_get_dr(u32 n)
{
    return n == 0 ? read_dr0() : n == 1 ? read_dr1() : n == 2 ? read_dr2() : n == 3 ? read_dr3()
           : n == 6 ? read_dr6() : read_dr7();
}

static u64 native_rdtsc(void) { return rdtsc(); }
static void native_clts(void) { __asm__ volatile("clts" : : : "memory"); }
static void native_halt(void) { __asm__ volatile("sti; hlt" : : : "memory"); }
static void native_set_pxe(u32 v, u32 *p, u32 flags) { *(volatile u32 *)p = v; }

static void native_set_pxe_long(u64 v, u64 *p, u32 flags)
{
    u64 old = *(volatile u64 *)p;

    while (!__sync_bool_compare_and_swap(p, old, v)) {
        old = *(volatile u64 *)p;
    }
}

static void native_update_pxe(u32 *p, u32 flags) { }
static void native_update_pxe_long(u64 *p, u32 flags) { }
static void native_allocate_page(u32 pfn, u32 flags, u32 from, u32 first, u32 count) { }
static void native_release_page(u32 pfn, u32 flags) { }
static void native_inval_page(word va) { invlpg(va); }

static void native_flush_tlb(u32 how)
{
    word cr4 = read_cr4();

    if ((how & 2) && (cr4 & CR4_PGE)) {
        write_cr4(cr4 & ~(word)CR4_PGE);
        write_cr4(cr4);
    } else {
        write_cr3(read_cr3());
    }
}

static void native_set_linear_mapping(u32 slot, u32 va, u32 pages, u32 pfn) { }

static void native_set_iopl_mask(u32 mask)
{
    write_flags((read_flags() & ~0x3000ul) | mask);
}

static void native_apic_write(u32 reg, u32 v) { apic_write(reg & 0xfff, v); }
static u32 native_apic_read(u32 reg) { return apic_read(reg & 0xfff); }
static void native_io_delay(void) { outb(0x80, 0); }
static void native_set_lazy_mode(u32 mode) { }

VmiOps ops = {
#define OP(number, name, result, args) .name = native_##name,
    VMI_OPS(OP)
#undef OP
};

/* -- Patched places: at least five bytes each, listed with their call ------------------------------------ */

typedef struct {
    u8 *at;
    u32 number, len;
} Site;
extern const Site sites[], sites_end[];

#define SITE(label, number, code)                                                                  \
    "\n" label ": " code "\n.fill 8 - (. - " label "), 1, 0x90\n"                                  \
    ".pushsection .rodata.sites, \"a\"; .long " label ", " #number ", 8; .popsection\n"
__asm__(".pushsection .rodata.sites, \"a\"; .globl sites; sites: .popsection\n"
        ".pushsection .text\n"
        ".globl site_enable, site_disable, site_get_mask, site_set_mask, site_io_delay, site_kept\n"
        ".globl site_iret, site_sysexit\n"
        SITE("site_enable", 29, "sti") "ret\n"
        SITE("site_disable", 30, "cli") "ret\n"
        SITE("site_get_mask", 31, "pushf; pop %eax") "ret\n"
        SITE("site_set_mask", 32, "push %eax; popf") "ret\n"
        SITE("site_io_delay", 65, "out %al, $0x80") "ret\n"
        SITE("site_kept", 72, "mov $0x1234, %eax") "ret\n"
        SITE("site_sysexit", 34, "sti; sysexit")
        ".balign 4096\n"                  /* alone in its page, which a test makes read-only */
        SITE("site_iret", 33, "iret")
        ".balign 4096\n"
        ".popsection\n"
        ".pushsection .rodata.sites, \"a\"; .globl sites_end; sites_end: .popsection\n");

static void patch(const Site *s, VmiReloc r)
{
    switch (r.type) {
    case RELOC_CALL:
    case RELOC_JUMP: {
        u32 distance = r.eip - ((u32)s->at + 5);

        s->at[0] = r.type == RELOC_CALL ? 0xe8 : 0xe9;
        memcpy(s->at + 1, &distance, 4);
        memset(s->at + 5, 0x90, s->len - 5);
        break;
    }
    case RELOC_NOP:
        memset(s->at, 0x90, s->len);
        break;
    default:
        break;
    }
}

/* -- The ROM ----------------------------------------------------------------------------------------------- */

bool vmi_text_is(const char *a, const char *b)
{
    while (*a != 0 && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static bool may_be_used(const VmiHeader *h)
{
    const char *license = (const char *)h + h->license;

    return h->license != 0 && h->pci != 0 && (vmi_text_is(license, "GPL") || vmi_text_is(license, "GPL v2"));
}

VmiHeader *vmi_probe(word linear_base)
{
    for (word at = 0xc0000; at < 0xe0000; at += 0x800) {
        VmiHeader *h = (VmiHeader *)(linear_base + at);

        if (h->signature == 0xaa55 && h->vrom_signature == 0x696d5663 && h->api_major == 3 && may_be_used(h)) {
            return h;
        }
    }
    return NULL;
}

VmiReloc vmi_reloc(VmiHeader *rom, u32 number)
{
    u64 (*get)(u32) = (void *)rom->get_reloc;
    u64 v = get(number);

    return (VmiReloc){(u32)v, (u8)(v >> 32)};
}

static void nothing(void) { }

/* As a directly filled operation: not offered stays native, NOP is an empty function. */
static void *pick(VmiHeader *rom, u32 number, void *native)
{
    VmiReloc r = vmi_reloc(rom, number);

    return r.type == RELOC_CALL ? (void *)r.eip : r.type == RELOC_NOP ? (void *)nothing : native;
}

bool vmi_activate(VmiHeader *rom)
{
    u32 (*init)(void) = (void *)rom->init;

    if (init() != 0) {
        return false;
    }
#define OP(number, name, result, args) ops.name = pick(rom, number, native_##name);
    VMI_OPS(OP)
#undef OP
    vmi = (VmiExtras){
        .reboot = pick(rom, 36, NULL), .shutdown = pick(rom, 37, NULL),
        .machine_to_physical = pick(rom, 42, NULL), .physical_to_machine = pick(rom, 43, NULL),
        .set_initial_ap_state = pick(rom, 62, NULL), .cycle_frequency = pick(rom, 66, NULL),
        .cycle_counter = pick(rom, 67, NULL), .set_alarm = pick(rom, 68, NULL),
        .cancel_alarm = pick(rom, 69, NULL), .wallclock = pick(rom, 70, NULL),
        .wallclock_updated = pick(rom, 71, NULL),
    };
    for (const Site *s = sites; s != sites_end; s++) {
        patch(s, vmi_reloc(rom, s->number));
    }
    return true;
}
