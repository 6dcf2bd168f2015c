/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loaders' last step: guest memory and the boot CPU. */
#include "monitor/loader.h"

#include "cpu-x86/cpuid.h"
#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <inttypes.h>

void boot_image_place(const BootImage *b, PhysMem *mem)
{
    static const uint8_t zeros[65536];

    for (unsigned i = 0; i < b->pieces->len; i++) {
        const BootPiece *p = &g_array_index(b->pieces, BootPiece, i);
        bool ok = true;

        if (p->data != NULL) {
            ok = phys_load(mem, guest_phys(p->addr), g_bytes_get_data(p->data, NULL), p->len);
        } else {
            for (uint64_t at = 0; at < p->len; at += sizeof zeros) {
                ok &= phys_load(mem, guest_phys(p->addr + at), zeros, MIN(sizeof zeros, p->len - at));
            }
        }
        if (!ok) {
            log_guest_error("boot: no memory answers for the %s at 0x%" PRIx64 "\n", p->what, p->addr);
        }
    }
}

/* As firmware leaves the MTRRs: write-back, but the display's window and the hole below 4 GiB
 * uncached.  The hole is cut into aligned powers of two from the top. */
static void set_mtrrs(const BootState *s, CpuState *cpu)
{
    enum { TYPE_UC = 0, TYPE_WB = 6, MTRR_ENABLE = 0x800, FIXED_ENABLE = 0x400, VALID = 0x800 };
    uint64_t top = UINT64_C(1) << 32, phys_mask = BIT64(36) - 1;
    unsigned n = 0;

    if (cpu->model != NULL) {
        phys_mask = BIT64(cpu_model_phys_bits(cpu->model)) - 1;
    }
    for (unsigned i = 0; i < ARRAY_LEN(cpu->msr_mtrr_fixed); i++) {
        cpu->msr_mtrr_fixed[i] = i == 2 ? 0 : UINT64_C(0x0606060606060606); /* 2: A0000-BFFFF */
    }
    while (top > s->uncached_from && n < ARRAY_LEN(cpu->msr_mtrr_base)) {
        uint64_t len = top & -top;
        while (len > top - s->uncached_from) {
            len >>= 1;
        }
        if (len < BIT64(20)) {
            break; /* a ragged end of RAM: below 1 MiB nothing is mapped there */
        }
        top -= len;
        cpu->msr_mtrr_base[n] = top | TYPE_UC;
        cpu->msr_mtrr_mask[n] = (~(len - 1) & phys_mask) | VALID;
        n++;
    }
    cpu->msr_mtrr_def_type = MTRR_ENABLE | FIXED_ENABLE | TYPE_WB;
}

void loader_apply(const BootState *s, CpuState *cpu)
{
    const bool long64 = s->mode == BOOT_LONG64;
    const Segment data = {
        .selector = s->ds, .limit = UINT32_MAX, .base = 0,
        .attr = SEG_P | SEG_S | SEG_RW | SEG_A | SEG_DB | SEG_G,
    };

    memcpy(cpu->gpr, s->gpr, sizeof cpu->gpr);
    cpu->rip = cpu->next_rip = s->rip;
    cpu->rflags = FLAG_FIXED;
    for (unsigned i = 0; i < SEG_COUNT; i++) {
        cpu->seg[i] = data;
    }
    cpu->seg[SEG_CS].selector = s->cs;
    cpu->seg[SEG_CS].attr = SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_A | SEG_G |
                            (long64 ? SEG_L : SEG_DB);
    cpu->seg[SEG_TR] = (Segment){.selector = s->tr, .limit = 0x67, .attr = SEG_P | 0xb << SEG_TYPE_SHIFT};
    cpu->seg[SEG_LDTR] = (Segment){.attr = SEG_NULL};
    cpu->gdtr = (DescTable){s->gdt_base, s->gdt_limit};
    cpu->idtr = (DescTable){0, 0};
    cpu->cr0 = CR0_PE | CR0_ET;
    if (long64) {
        cpu->cr3 = s->cr3;
        cpu->cr4 = CR4_PAE;
        cpu->cr0 |= CR0_PG;
        cpu->efer = EFER_LME | EFER_LMA;
    }
    cpu->activity = CPU_RUNNING;
    set_mtrrs(s, cpu);
    cpu_update_mode(cpu);
}
