/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector: says where it was started from on the first serial line and, by the BIOS, on the
 * screen; reads its second sector through INT 13h and ends through the debug-exit port with the code
 * found there.
 */
    .code16
    .globl _start
_start:
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    mov %dl, drive
    mov $0x3f8 + 1, %dx
    out %al, %dx                  /* no interrupts */
    mov $hello, %si
    call say
    mov drive, %al
    call hex
    mov $newline, %si
    call say

    cmpl $0x32434553, 0x7e00      /* from a CD all of it comes at once */
    je good
    mov $0x0201, %ax              /* read one sector: cylinder 0, head 0, sector 2 */
    mov $0x0002, %cx
    xor %dh, %dh
    mov drive, %dl
    mov $0x7e00, %bx
    int $0x13
    jc failed
    cmpl $0x32434553, 0x7e00
    jne failed
good:
    mov $0x7e04, %si              /* "SEC2", then text, then the code at the end */
    call say
    mov 0x7fff, %al
    jmp end
failed:
    mov $error, %si
    call say
    mov $0x7f, %al
end:
    mov $0xf4, %dx
    out %al, %dx
    hlt
    jmp end

hex:
    push %ax
    shr $4, %al
    call digit
    pop %ax
digit:
    and $0x0f, %al
    add $'0', %al
    cmp $'9', %al
    jbe put
    add $'a' - '9' - 1, %al
put:
    push %ax
    mov $0x3f8, %dx
    out %al, %dx
    pop %ax
    push %si
    mov $0x0e, %ah
    mov $7, %bx
    int $0x10
    pop %si
    ret
say:
    lodsb
    test %al, %al
    jz 1f
    call put
    jmp say
1:  ret

drive:
    .byte 0
hello:
    .asciz "metaphrase: boot sector, drive "
newline:
    .asciz "\r\n"
error:
    .asciz "cannot read sector 2\r\n"
    .org 510
    .byte 0x55, 0xaa
/* Sector 2 */
    .ascii "SEC2"
    .asciz "metaphrase: second sector\r\n"
    .org 1023
    .byte 0x15
