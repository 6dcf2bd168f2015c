/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kernel's half of VMI 3.0: every operation is a function pointer, or a place in the code that is patched, and
 * native until vmi_activate() finds a ROM.  The same program runs with and without.
 */
#ifndef TESTS_GUEST_VMI_CLIENT_H
#define TESTS_GUEST_VMI_CLIENT_H

#include "tests/guest/lib.h"

enum { RELOC_NONE, RELOC_CALL, RELOC_JUMP, RELOC_NOP };

typedef struct __attribute__((packed)) {
    u16 signature;
    u8 length;
    u8 entry[4];
    u8 pad;
    u32 vrom_signature;
    u8 api_minor, api_major, jump_slots, reserved;
    u32 virtual_top;
    u16 reserved2, license, pci, pnp;
    u32 pad3;
    u8 reserved4[96];
    u8 init[8], get_reloc[8];
} VmiHeader;

typedef struct {
    u32 eip;
    u8 type;
} VmiReloc;

bool vmi_text_is(const char *a, const char *b);

/* NULL without a ROM. */
extern VmiHeader *vmi_header;

VmiHeader *vmi_probe(word linear_base);
/* The ROM answers for a call, asked through a mapping of it. */
VmiReloc vmi_reloc(VmiHeader *rom, u32 number);
/* Init, fetch every call, patch the sites; false: the ROM refused. */
bool vmi_activate(VmiHeader *rom);

/* The kernel's operations, by VMI's numbers. */
typedef struct {
    u16 limit;
    u32 base;
} __attribute__((packed)) TablePtr;

#define VMI_OPS(OP)                                                                                \
    OP(3, set_gdt, void, (const TablePtr *))                                                       \
    OP(4, set_ldt, void, (u32))                                                                    \
    OP(5, set_idt, void, (const TablePtr *))                                                       \
    OP(6, set_tr, void, (u32))                                                                     \
    OP(7, get_gdt, void, (TablePtr *))                                                             \
    OP(8, get_ldt, u32, (void))                                                                    \
    OP(9, get_idt, void, (TablePtr *))                                                             \
    OP(10, get_tr, u32, (void))                                                                    \
    OP(11, write_gdt_entry, void, (void *, u32, u32, u32))                                         \
    OP(12, write_ldt_entry, void, (void *, u32, u32, u32))                                         \
    OP(13, write_idt_entry, void, (void *, u32, u32, u32))                                         \
    OP(14, update_kernel_stack, void, (u32, u32))                                                  \
    OP(15, set_cr0, void, (u32))                                                                   \
    OP(16, set_cr2, void, (u32))                                                                   \
    OP(17, set_cr3, void, (u32))                                                                   \
    OP(18, set_cr4, void, (u32))                                                                   \
    OP(19, get_cr0, u32, (void))                                                                   \
    OP(20, get_cr2, u32, (void))                                                                   \
    OP(21, get_cr3, u32, (void))                                                                   \
    OP(22, get_cr4, u32, (void))                                                                   \
    OP(23, wbinvd, void, (void))                                                                   \
    OP(24, set_dr, void, (u32, u32))                                                               \
    OP(25, get_dr, u32, (u32))                                                                     \
    OP(27, rdtsc, u64, (void))                                                                     \
    OP(28, clts, void, (void))                                                                     \
    OP(35, halt, void, (void))                                                                     \
    OP(38, set_pxe, void, (u32, u32 *, u32))                                                       \
    OP(39, set_pxe_long, void, (u64, u64 *, u32))                                                  \
    OP(40, update_pxe, void, (u32 *, u32))                                                         \
    OP(41, update_pxe_long, void, (u64 *, u32))                                                    \
    OP(44, allocate_page, void, (u32, u32, u32, u32, u32))                                         \
    OP(45, release_page, void, (u32, u32))                                                         \
    OP(46, inval_page, void, (word))                                                               \
    OP(47, flush_tlb, void, (u32))                                                                 \
    OP(48, set_linear_mapping, void, (u32, u32, u32, u32))                                         \
    OP(61, set_iopl_mask, void, (u32))                                                             \
    OP(63, apic_write, void, (u32, u32))                                                           \
    OP(64, apic_read, u32, (u32))                                                                  \
    OP(65, io_delay, void, (void))                                                                 \
    OP(73, set_lazy_mode, void, (u32))

typedef struct {
#define OP(number, name, result, args) result(*name) args;
    VMI_OPS(OP)
#undef OP
} VmiOps;
extern VmiOps ops;

/* Offered by the ROM only; NULL without. */
typedef struct {
    void (*reboot)(u32);
    void (*shutdown)(void);
    u32 (*machine_to_physical)(u32);
    u32 (*physical_to_machine)(u32);
    void (*set_initial_ap_state)(const void *, u32);
    u64 (*cycle_frequency)(void);
    u64 (*cycle_counter)(u32);
    void (*set_alarm)(u32 flags, u32 expiry_low, u32 expiry_high, u32 period_low, u32 period_high);
    u32 (*cancel_alarm)(u32 flags);
    u64 (*wallclock)(void);
    u32 (*wallclock_updated)(void);
} VmiExtras;
extern VmiExtras vmi;

/* Patched places; each is a function. */
void site_enable(void);
void site_disable(void);
u32 site_get_mask(void);
void site_set_mask(u32 mask);
void site_io_delay(void);
u32 site_kept(void);                 /* a call the ROM does not offer: always 0x1234      */
/* Labels, jumped to: IRET with its frame on the stack, SYSEXIT with EDX and ECX. */
extern u8 site_iret[], site_sysexit[];

#endif /* TESTS_GUEST_VMI_CLIENT_H */
