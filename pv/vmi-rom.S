/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMI option ROM: 32-bit code, position independent, run by the guest's kernel at CPL 0 through its own
 * mapping of low memory.
 *
 * Since the kernel stays at CPL 0 on a faithful CPU, most calls are the native instruction and a `ret`: the
 * translator turns them into in-cache sequences, KVM runs them without an exit.  The rest goes to the
 * hypervisor by a port write (vmi-rom.h).  The ROM keeps no state: all of it is the hypervisor's.
 *
 * Conventions: arguments EAX EDX ECX then [ESP+4]...; results EAX, EDX:EAX; EAX ECX EDX and flags may be
 * changed, but 29-32 keep every register.  FS, GS are not ours; DS, ES may be the user's in 29-34.
 */
#include "pv/vmi-rom.h"

        .section .rodata.vmi, "a"
        .code32
        .balign 4096
        .globl vmi_rom
vmi_rom:
        .byte 0x55, 0xaa, VMI_ROM_LEN / 512
        .byte 0xcb, 0, 0, 0                     /* the BIOS's far call: retf    */
        .byte 0
        .ascii "cVmi"
        .byte 0, 3                              /* API version 3.0              */
        .byte 0, 0
        .long 0                                 /* virtual_top: we need no linear space */
        .word 0
        .word license - vmi_rom, pcir - vmi_rom, pnp - vmi_rom
        .long 0
        .fill 96, 1, 0
        .org vmi_rom + 0x80
        jmp vmi_init
        .org vmi_rom + 0x88
        jmp get_reloc
        .org vmi_rom + 0x90

        .balign 4
pcir:   .ascii "PCIR"
        .word 0x15ad, 0x0801                    /* the ids that kernels look for */
        .word 0, 0x18
        .byte 0, 0, 0, 0xff                     /* revision, class              */
        .word VMI_ROM_LEN / 512
        .byte 0, 1                              /* ROM version 1.0              */
        .byte 0, 0x80                           /* x86 code; the last image     */
        .word 0
        .balign 4
pnp:    .ascii "$PnP"
        .byte 1, 2                              /* version, 32 bytes            */
        .word 0
        .byte 0, 0
        .long 0
        .word maker - vmi_rom, product - vmi_rom
        .byte 0, 0, 0
        .byte 0
        .word 0, 0, 0, 0, 0
license: .asciz "GPL v2"
maker:  .asciz "Metaphrase"
product: .asciz "VMI"

        .macro HYPERCALL number
        .if \number == 36 || \number == 37       /* Reboot, Shutdown            */
        call 8f
9:      hlt
        jmp 9b
8:
        .endif
        pushl %ebx
        movl $(VMI_MAGIC | \number), %ebx
        jmp vmi_rom_enter
        .endm

/* One place for all calls, since it is changed with the engine (vmi-rom.h). */
        .balign 16
        .globl vmi_rom_enter, vmi_rom_enter_vmcall, vmi_rom_vmcall
vmi_rom_enter:
        outb %al, $VMI_PORT
        popl %ebx
        ret
vmi_rom_enter_vmcall:
        pushl %esi
        pushl %edi
        movl %eax, %esi
        movl %ecx, %edi
        movzbl %bl, %ebx
        shll $12, %ebx
        orl $VMI_VMCALL_MAGIC, %ebx
        movl $VMI_VMCALL_NUMBER, %eax
        movl $1, %ecx
vmi_rom_vmcall:
        vmcall
        popl %edi
        popl %esi
        popl %ebx
        ret

        .balign 16
vmi_init:
        HYPERCALL VMI_CALL_INIT

/* EAX: the call's number; EDX:EAX = type, address. */
        .balign 16
get_reloc:
        xorl %edx, %edx
        cmpl $VMI_CALL_COUNT, %eax
        jae 2f
        call 1f
1:      popl %ecx
        movl (vmi_rom_relocs - 1b)(%ecx,%eax,4), %eax
        movl %eax, %edx
        shrl $16, %edx
        movzwl %ax, %eax
        leal (vmi_rom - 1b)(%ecx,%eax), %eax
        ret
2:      xorl %eax, %eax
        ret

/* -- Interrupt flag: every register is kept ------------------------------------------------------------ */

        .balign 16
vmi_EnableInterrupts:
        sti
        ret
        .balign 16
vmi_DisableInterrupts:
        cli
        ret
        .balign 16
vmi_GetInterruptMask:
        pushfl
        popl %eax
        ret
        .balign 16
vmi_SetInterruptMask:
        testb $2, %ah                           /* IF                           */
        jz 1f
        sti
        ret
1:      cli
        ret

/* -- Leaving the kernel --------------------------------------------------------------------------------- */

/*
 * A fault of IRET must look as if it came from the call: the kernel's exception table knows that place, not
 * us.  So the first time, the call instruction becomes an IRET (one byte, so other CPUs see the one or the
 * other), which then is what runs, with nothing of us between.  Where that cannot be written: IRET here.
 */
        .balign 16
vmi_IRET:
        cli                                     /* IRET brings the flags        */
        pushl %eax
        pushl %ecx
        movl 8(%esp), %ecx
        cmpb $0xe8, %ss:-5(%ecx)                /* is it a call, and of this?   */
        jne 1f
        call 2f
2:      popl %eax
        leal (vmi_IRET - 2b)(%eax), %eax
        subl %ecx, %eax
        cmpl %eax, %ss:-4(%ecx)
        jne 1f
        movl %cr0, %eax
        pushl %eax
        andl $~0x10000, %eax                    /* WP: kernel code may be read-only */
        movl %eax, %cr0
        movb $0xcf, %ss:-5(%ecx)
        popl %eax
        movl %eax, %cr0
        cmpb $0xcf, %ss:-5(%ecx)
        jne 1f
        subl $5, 8(%esp)
        popl %ecx
        popl %eax
        ret
1:      popl %ecx
        popl %eax
        addl $4, %esp
        .globl vmi_rom_iret_here, vmi_rom_sysexit_here
vmi_rom_iret_here:
        iretl

/*
 * SYSEXIT faults where there are no segments for user code to be had, and that must look as if it came from the call, too.  But here the
 * call cannot become the instruction: STI has to be right before it, or an interrupt would come between the two.  So look first;
 * and then do what the processor would: #GP with an error code of 0, all else as it was before the call, by the gate of this
 * privilege level that kernels have for it.
 */
        .set MSR_SYSENTER_CS, 0x174
        .set GP_GATE, 13 * 8                    /* its offset in the IDT        */
        .set FLAG_IF, 0x200
        .set FLAG_RF, 0x10000
        .set GATE_CLEARS, 0x4100                /* NT, TF; and IF if it is an interrupt gate */

        .balign 16
vmi_SYSEXIT:
        pushl %eax
        pushl %ecx
        pushl %edx
        movl $MSR_SYSENTER_CS, %ecx
        rdmsr
        testl $0xfffc, %eax
        popl %edx
        popl %ecx
        popl %eax
        jz no_segments
vmi_rom_sysexit_here:
        sti
        sysexit

/*
 * Above the saved registers: where the gate leads (EIP, CS, EFLAGS, for IRET), then what its handler finds: the error code, EIP, CS, and
 * EFLAGS where the call's return address is.
 */
        .set AT_IDTR, 2
        .set AT_GATE_EIP, 16
        .set AT_GATE_CS, 20
        .set AT_GATE_EFLAGS, 24
        .set AT_EIP, 32
        .set AT_CS, 36
        .set AT_EFLAGS, 40
no_segments:
        pushfl
        pushl $0
        pushl $0                                /* the error code               */
        pushl $0
        pushl $0
        pushl $0
        pushl %eax
        pushl %ecx
        pushl $0
        pushl $0
        sidtl AT_IDTR(%esp)
        cmpw $GP_GATE + 7, AT_IDTR(%esp)
        jb 1f
        movl AT_IDTR + 2(%esp), %ecx
        movl %ss:GP_GATE + 4(%ecx), %eax
        andl $0x9e00, %eax
        cmpl $0x8e00, %eax                      /* a present 32-bit interrupt or trap gate? */
        jne 1f
        movl AT_EFLAGS(%esp), %eax              /* the return address           */
        subl $5, %eax
        movl %eax, AT_EIP(%esp)
        movl AT_CS(%esp), %eax                  /* the flags                    */
        orl $FLAG_RF, %eax
        movl %eax, AT_EFLAGS(%esp)
        andl $~(FLAG_RF | GATE_CLEARS), %eax
        testb $1, %ss:GP_GATE + 5(%ecx)
        jnz 2f
        andl $~FLAG_IF, %eax
2:      movl %eax, AT_GATE_EFLAGS(%esp)
        movl %cs, %eax
        movl %eax, AT_CS(%esp)
        movzwl %ss:GP_GATE + 2(%ecx), %eax
        movl %eax, AT_GATE_CS(%esp)
        movl %ss:GP_GATE + 4(%ecx), %eax
        movw %ss:GP_GATE(%ecx), %ax
        movl %eax, AT_GATE_EIP(%esp)
        addl $8, %esp
        popl %ecx
        popl %eax
        iretl
1:      addl $8, %esp                           /* let the processor see to it  */
        popl %ecx
        popl %eax
        addl $28, %esp
        jmp vmi_rom_sysexit_here

        .balign 16
vmi_Halt:
        sti
        hlt
        ret

/* -- Page tables ---------------------------------------------------------------------------------------- */

/*
 * "The entry for this address has changed and is about to be used": a prefetch, which never faults, for the
 * processor to walk the tables before it has to.  The translator queues the addresses that this form, which
 * nobody else uses, names, and walks for all of them when it leaves translated code the next time.
 */
        .macro ANNOUNCE address
        prefetchwt1 (\address)
        .endm
        .set CURRENT_AS, 0x10                   /* flags: bits 12-31 are an address of this space */

        .balign 16
vmi_SetPxE:
        movl %eax, (%edx)
        testb $CURRENT_AS, %cl
        jz 1f
        ANNOUNCE %ecx
1:      ret

/* An entry that is present before and after must change at once; else its low half decides. */
        .balign 16
vmi_SetPxELong:
        testb $1, %al
        jz 1f
        testb $1, (%ecx)
        jnz 2f
        movl %edx, 4(%ecx)
        movl %eax, (%ecx)
        jmp 4f
1:      movl %eax, (%ecx)
        movl %edx, 4(%ecx)
        ret
2:      pushl %esi
        pushl %ebx
        movl %ecx, %esi
        movl %eax, %ebx
        movl %edx, %ecx
        movl (%esi), %eax
        movl 4(%esi), %edx
3:      lock cmpxchg8b (%esi)
        jnz 3b
        popl %ebx
        popl %esi
4:      movl 4(%esp), %ecx                      /* flags                        */
        testb $CURRENT_AS, %cl
        jz 5f
        ANNOUNCE %ecx
5:      ret

        .balign 16
vmi_InvalPage:
        ANNOUNCE %eax
        invlpg (%eax)
        ret

        .balign 16
vmi_FlushTLB:
        testb $2, %al
        jz 1f
        movl %cr4, %eax
        testb $0x80, %al                        /* PGE                          */
        jz 1f
        movl %eax, %edx
        andb $~0x80, %al
        movl %eax, %cr4
        movl %edx, %cr4
        ret
1:      movl %cr3, %eax
        movl %eax, %cr3
        ret

        .balign 16
vmi_MachineToPhysical:
vmi_PhysicalToMachine:
        ret

/* -- Descriptor tables ----------------------------------------------------------------------------------- */

        .balign 16
vmi_SetGDT:
        lgdtl (%eax)
        ret
        .balign 16
vmi_SetIDT:
        lidtl (%eax)
        ret
        .balign 16
vmi_GetGDT:
        sgdtl (%eax)
        ret
        .balign 16
vmi_GetIDT:
        sidtl (%eax)
        ret
        .balign 16
vmi_SetLDT:
        lldt %ax
        ret
        .balign 16
vmi_GetLDT:
        xorl %eax, %eax
        sldt %ax
        ret
        .balign 16
vmi_SetTR:
        ltr %ax
        ret
        .balign 16
vmi_GetTR:
        xorl %eax, %eax
        str %ax
        ret
        .balign 16
vmi_WriteGDTEntry:
vmi_WriteLDTEntry:
vmi_WriteIDTEntry:
        movl %ecx, (%eax,%edx,8)
        movl 4(%esp), %ecx
        movl %ecx, 4(%eax,%edx,8)
        ret

/* -- Registers ------------------------------------------------------------------------------------------- */

        .macro CONTROL n
        .balign 16
vmi_SetCR\n:
        movl %eax, %cr\n
        ret
        .balign 16
vmi_GetCR\n:
        movl %cr\n, %eax
        ret
        .endm
        CONTROL 0
        CONTROL 2
        CONTROL 3
        CONTROL 4

        .balign 16
vmi_CLTS:
        clts
        ret

        .macro DEBUG_SET n
        cmpl $\n, %eax
        jne 1f
        movl %edx, %db\n
        ret
1:
        .endm
        .macro DEBUG_GET n
        cmpl $\n, %eax
        jne 1f
        movl %db\n, %eax
        ret
1:
        .endm
        .balign 16
vmi_SetDR:
        DEBUG_SET 7
        DEBUG_SET 6
        DEBUG_SET 0
        DEBUG_SET 1
        DEBUG_SET 2
        DEBUG_SET 3
        ret
        .balign 16
vmi_GetDR:
        DEBUG_GET 7
        DEBUG_GET 6
        DEBUG_GET 0
        DEBUG_GET 1
        DEBUG_GET 2
        DEBUG_GET 3
        xorl %eax, %eax
        ret

        .balign 16
vmi_CPUID:
        cpuid
        ret
        .balign 16
vmi_WRMSR:
        wrmsr
        ret
        .balign 16
vmi_RDMSR:
        rdmsr
        ret
        .balign 16
vmi_RDPMC:
        rdpmc
        ret
        .balign 16
vmi_RDTSC:
        rdtsc
        ret
        .balign 16
vmi_WBINVD:
        wbinvd
        ret

        .balign 16
vmi_SetIOPLMask:
        pushfl
        popl %edx
        andl $~0x3000, %edx
        andl $0x3000, %eax
        orl %edx, %eax
        pushl %eax
        popfl
        ret

/* -- Ports ----------------------------------------------------------------------------------------------- */

        .macro PORTS width, register
        .balign 16
vmi_IN\width:
        in\width %dx, \register
        ret
        .balign 16
vmi_OUT\width:
        out\width \register, %dx
        ret
        .balign 16
vmi_INS\width:
        rep ins\width
        ret
        .balign 16
vmi_OUTS\width:
        rep outs\width
        ret
        .endm
        PORTS b, %al
        PORTS w, %ax
        PORTS l, %eax
        .set vmi_INB, vmi_INb
        .set vmi_INW, vmi_INw
        .set vmi_INL, vmi_INl
        .set vmi_OUTB, vmi_OUTb
        .set vmi_OUTW, vmi_OUTw
        .set vmi_OUTL, vmi_OUTl
        .set vmi_INSB, vmi_INSb
        .set vmi_INSW, vmi_INSw
        .set vmi_INSL, vmi_INSl
        .set vmi_OUTSB, vmi_OUTSb
        .set vmi_OUTSW, vmi_OUTSw
        .set vmi_OUTSL, vmi_OUTSl

/* -- Time ------------------------------------------------------------------------------------------------ */

        .balign 16
vmi_GetCycleFrequency:
        .byte 0xb8                              /* movl $..., %eax              */
        .globl vmi_rom_frequency_low, vmi_rom_frequency_high
vmi_rom_frequency_low:
        .long 0
        .byte 0xba                              /* movl $..., %edx              */
vmi_rom_frequency_high:
        .long 0
        ret

/* REAL and AVAILABLE are the TSC, until the guest moves that; nothing is ever STOLEN. */
        .balign 16
vmi_GetCycleCounter:
        cmpl $1, %eax
        ja 1f
        .balign 2, 0x90
        .globl vmi_rom_read_counter, vmi_rom_counter_call
vmi_rom_read_counter:
        rdtsc
        ret
1:      xorl %eax, %eax
        xorl %edx, %edx
        ret
        .balign 2
vmi_rom_counter_call:
        HYPERCALL VMI_CALL_COUNTER

/* -- The local APIC --------------------------------------------------------------------------------------- */

/* Ends of interrupts, where calls are exits: the shared page may say that none is needed. */
        .balign 16
        .globl vmi_rom_eoi
vmi_APICWrite:
vmi_rom_eoi:
        jmp 1f                                  /* or movl %eax, %ecx           */
        andl $0xff0, %ecx
        cmpl $0xb0, %ecx
        jne 1f
        call 2f
2:      popl %ecx
        lock btrl $0, (vmi_rom + VMI_ROM_LEN + VMI_SHARED_EOI - 2b)(%ecx)
        jnc 1f
        ret
1:      HYPERCALL 63

/* -- Hypercalls; offered but never called -------------------------------------------------------------- */

#define KVM_CALL(number, name, need, function)
#define VMI_ROM(number, name, type)
#define VMI_HOST(number, name) .balign 16; vmi_call_##name: HYPERCALL number;
#include "pv/hypercalls.def"
#undef VMI_ROM
#undef VMI_HOST
        .set vmi_Reboot, vmi_call_Reboot
        .set vmi_Shutdown, vmi_call_Shutdown
        .set vmi_SetInitialAPState, vmi_call_SetInitialAPState
        .set vmi_APICRead, vmi_call_APICRead
        .set vmi_SetAlarm, vmi_call_SetAlarm
        .set vmi_CancelAlarm, vmi_call_CancelAlarm
        .set vmi_GetWallclockTime, vmi_call_GetWallclockTime
        .set vmi_WallclockUpdated, vmi_call_WallclockUpdated

vmi_UpdateKernelStack:
vmi_UpdatePxE:
vmi_UpdatePxELong:
vmi_AllocatePage:
vmi_ReleasePage:
vmi_SetLinearMapping:
vmi_IODelay:
vmi_SetCallbacks:
vmi_SetLazyMode:
        ret

        .balign 4
        .globl vmi_rom_relocs
vmi_rom_relocs:
#define VMI_ROM(number, name, type) .word vmi_##name - vmi_rom; .byte VMI_RELOC_##type, 0;
#define VMI_HOST(number, name) .word vmi_##name - vmi_rom; .byte VMI_RELOC_CALL, 0;
#include "pv/hypercalls.def"

        .org vmi_rom + VMI_ROM_LEN
        .section .note.GNU-stack, "", @progbits
