/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the VMI ROM (vmi-rom.S) and the hypervisor (vmi.c) agree on. */
#ifndef PV_VMI_ROM_H
#define PV_VMI_ROM_H

#define VMI_ROM_LEN 0x1000
#define VMI_CALL_COUNT 74

/* A call reaches us by a write to this port with VMI_MAGIC | number in EBX, whose old value is on the stack. */
#define VMI_PORT 0xe4
#define VMI_MAGIC 0x564d4900
#define VMI_CALL_INIT 0xff     /* vmi_init */
#define VMI_CALL_COUNTER 67    /* GetCycleCounter, once the TSC is no longer the counter */

#define VMI_RELOC_NONE 0
#define VMI_RELOC_CALL 1
#define VMI_RELOC_JUMP 2
#define VMI_RELOC_NOP 3

#ifndef __ASSEMBLER__
#include <stdint.h>

/* The image as built, and places in it that are filled in for a machine. */
extern const uint8_t vmi_rom[VMI_ROM_LEN];
extern const uint8_t vmi_rom_relocs[];         /* of each call: offset (16 bits), type, 0   */
extern const uint8_t vmi_rom_frequency_low[];  /* 32-bit immediates of GetCycleFrequency    */
extern const uint8_t vmi_rom_frequency_high[];
extern const uint8_t vmi_rom_read_counter[];   /* 2 bytes, aligned: rdtsc, or the jump...   */
extern const uint8_t vmi_rom_counter_call[];   /* ...to this                                */
#endif

#endif /* PV_VMI_ROM_H */
