/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the VMI ROM (vmi-rom.S) and the hypervisor (vmi.c) agree on. */
#ifndef PV_VMI_ROM_H
#define PV_VMI_ROM_H

#define VMI_ROM_LEN 0x1000
#define VMI_SHARED_LEN 0x1000  /* RAM behind the ROM, for both sides to write */
#define VMI_CALL_COUNT 74

/* A call reaches us by a write to this port with VMI_MAGIC | number in EBX, whose old value is on the stack. */
#define VMI_PORT 0xe4
#define VMI_MAGIC 0x564d4900
/*
 * Under KVM a call may also be a VMCALL or VMMCALL: the only one that leaves the host's kernel is KVM_HC_MAP_GPA_RANGE, and that with a
 * page's address in EBX and a number of pages in ECX; so the call's number is in bits 12 to 19 of EBX, EAX and ECX are in ESI and EDI, and
 * above the call's return address there are three words more.
 */
#define VMI_VMCALL_NUMBER 12
#define VMI_VMCALL_MAGIC 0x56400000

/* In the shared page: bit 0 of this word says that the interrupt in service needs no call to end; whoever ends it clears the bit.
 * Only for the first CPU of a machine with one. */
#define VMI_SHARED_EOI 0

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
extern const uint8_t vmi_rom_iret_here[];      /* where IRET and SYSEXIT, jumped to, run and fault */
extern const uint8_t vmi_rom_sysexit_here[];
extern const uint8_t vmi_rom_frequency_low[];  /* 32-bit immediates of GetCycleFrequency    */
extern const uint8_t vmi_rom_frequency_high[];
extern const uint8_t vmi_rom_read_counter[];   /* 2 bytes, aligned: rdtsc, or the jump...   */
extern const uint8_t vmi_rom_counter_call[];   /* ...to this                                */
extern const uint8_t vmi_rom_enter[];          /* 2 bytes, aligned: out to the port, or a jump... */
extern const uint8_t vmi_rom_enter_vmcall[];   /* ...to this                                */
extern const uint8_t vmi_rom_vmcall[];         /* 3 bytes: the instruction                  */
extern const uint8_t vmi_rom_eoi[];            /* 2 bytes, aligned: a jump to the call, or mov %eax, %ecx */
#endif

#endif /* PV_VMI_ROM_H */
