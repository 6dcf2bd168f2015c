/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest programs for the translator's tests: position-independent code, of 64 bits and of 32, copied into a guest
 * and run to its `hlt` under the interpreter and the translator, which must agree on everything.
 * rdi points to 64 KiB of data, rsp to a stack.
 */
    .section .rodata
    .macro PROGRAM name
    .globl prog_\name, prog_\name\()_end
    .balign 16
prog_\name:
    .endm
    .macro END name
    hlt
prog_\name\()_end:
    .endm

PROGRAM loop_sum
    xor %eax, %eax
    mov $1000, %ecx
1:  add %rcx, %rax
    rol $3, %rax
    dec %ecx
    jnz 1b
END loop_sum

PROGRAM memory
    mov $200, %ecx
    xor %eax, %eax
1:  mov %rcx, (%rdi,%rcx,8)
    add (%rdi,%rcx,8), %rax
    adc %rcx, 8(%rdi,%rcx,8)
    movzbl (%rdi,%rcx), %edx
    add %dl, %ah
    xor %ah, 3(%rdi,%rcx,2)
    imul $77, (%rdi,%rcx,4), %r9d
    lock xadd %r9, 0x1000(%rdi)
    lock cmpxchg %rdx, 0x1008(%rdi)
    setc 0x1010(%rdi,%rcx)
    cmpb $5, 0x1010(%rdi,%rcx)
    cmovg %rcx, %r10
    dec %ecx
    jnz 1b
END memory

PROGRAM pauses                      /* flags, rcx and all others live across; as loops and not */
    mov $3, %r10d
1:  mov $700, %ecx
    mov $0x8000000000000001, %rax
2:  add %rax, %rax
    pause
    adc $1, %rax
    cmp $350, %rcx
    pause
    seto 8(%rdi)
    setb 9(%rdi)
    lea (%rbx,%rcx), %rbx
    pause
    loop 2b
    mov %rbx, (%rdi,%r10,8)
    dec %r10d
    pause
    jnz 1b
END pauses

PROGRAM calls
    mov $18, %eax
    call 2f
    mov %rax, (%rdi)
    lea 3f(%rip), %rbx
    mov $50, %ecx
1:  call *%rbx
    loop 1b
    hlt
2:  cmp $2, %eax                    /* fib */
    jl 4f
    push %rax
    dec %eax
    call 2b
    mov (%rsp), %rdx
    mov %rax, (%rsp)
    lea -2(%rdx), %eax
    call 2b
    pop %rdx
    add %rdx, %rax
4:  ret
3:  add %rcx, %rax
    ret $0
END calls

PROGRAM page_cross
    lea 0xff9(%rdi), %rbx
    mov $100, %ecx
1:  mov %rcx, (%rbx)
    add %rax, 1(%rbx)
    mov 2(%rbx), %rax
    push %rcx
    pop %rdx
    dec %ecx
    jnz 1b
END page_cross

PROGRAM stack_runs                   /* frames at, around and over a page end, at any alignment */
    mov $0x90, %ecx
    mov %rsp, %r8
1:  lea -0x48(%r8,%rcx), %rsp
    push %rcx
    push %rax
    mov %rcx, %rdx
    push $7
    sub $24, %rsp
    mov %rdx, 8(%rsp)
    add 8(%rsp), %rax
    movb $3, 19(%rsp)
    mov %rsp, %r9
    lea 24(%rsp), %rsp
    xor %r9, %rax
    cmp %rcx, %rax                  /* flags live over pops */
    pop %rbx
    pop %rdx
    pop %rsi
    adc %rbx, %rax
    call 2f
    rol $7, %rax
    push %rsp
    pop %rsp
    dec %ecx
    jnz 1b
    mov %r8, %rsp
    hlt
2:  push %rbp
    mov %rsp, %rbp
    push %rbx
    push %r12
    push %rsp
    lea 5(%rax,%rcx), %rbx
    add %rbx, %rax
    add $8, %rsp                    /* flags are dead before, live behind */
    adc %rdx, %rax
    pop %r12
    pop %rbx
    pop %rbp
    ret $0
END stack_runs

PROGRAM flags_live
    mov $300, %ecx
    xor %eax, %eax
1:  add $0x7fffffff, %eax
    mov %eax, (%rdi)                /* flags of the add stay live over the store */
    mov 8(%rdi), %rdx
    push %rdx
    pop %rdx
    adc %rdx, %rdx
    seto %bl
    rcl $1, %r8
    mov %rbx, 16(%rdi,%rcx,8)
    inc %edx                        /* keeps CF */
    mov %rdx, 8(%rdi)
    jc 2f
    add $13, %eax
2:  shl %cl, %r9
    mov %r9, 24(%rdi)
    pushf
    pop %r11
    xor %r11, %r12
    dec %ecx
    jnz 1b
END flags_live

PROGRAM all_registers                /* few registers are left to borrow */
    mov $50, %ecx
1:  add %rcx, %rax
    mov %rax, (%rdi)
    add %rax, %rdx
    add %rdx, %rbx
    mov %rbx, 8(%rdi)
    add %rbx, %rsi
    add %rsi, %rbp
    add %rbp, %r8
    mov %r8, 16(%rdi)
    add %r8, %r9
    add %r9, %r10
    add %r10, %r11
    mov %r11, 24(%rdi)
    add %r11, %r12
    add %r12, %r13
    add %r13, %r14
    mov %r14, 32(%rdi)
    add %r14, %r15
    mov %r15, 40(%rdi)
    add 8(%rdi), %rax
    push %rax
    push %rbp
    mov %rsp, %rbp
    push %r15
    leave
    pop %rax
    dec %ecx
    jnz 1b
END all_registers

PROGRAM switch_table
    mov $400, %ecx
    lea 5f(%rip), %rbx
1:  mov %ecx, %edx
    and $3, %edx
    movslq (%rbx,%rdx,4), %rdx
    add %rbx, %rdx
    jmp *%rdx
2:  add $1, %rax
    jmp 4f
3:  add $100, %rax
    jmp 4f
6:  xor %rcx, %rax
4:  dec %ecx
    jnz 1b
    hlt
5:  .long 2b - 5b, 3b - 5b, 6b - 5b, 2b - 5b
END switch_table

PROGRAM rip_relative_jumps
    mov $60, %ecx
    lea 3f(%rip), %rbx
    mov %rbx, 5f(%rip)
    lea 4f(%rip), %rbx
    mov %rbx, 6f(%rip)
1:  jmp *5f(%rip)
    ud2
3:  call *6f(%rip)
    dec %ecx
    jnz 1b
    hlt
4:  add %rcx, %rax
    ret
    .balign 8
5:  .quad 0
6:  .quad 0
END rip_relative_jumps

PROGRAM strings
    mov $20, %ebx
1:  mov %rdi, %r8
    lea 0x2000(%rdi), %rsi
    mov $0x700, %ecx
    rep movsq
    mov %r8, %rdi
    mov %ebx, %eax
    mov $0x33, %ecx
    rep stosb
    mov %r8, %rdi
    mov $0x100, %ecx
    repe scasb
    mov %r8, %rdi
    dec %ebx
    jnz 1b
END strings

/* Few elements, at all distances between source and destination near each other: r8 - 40 to r8 + 40. */
PROGRAM few_strings
    mov %rdi, %r8
    mov $0x123456789abcdef, %rax
    mov $-40, %r9
1:  mov $14, %ebx                    /* elements */
2:  .irp insn, movsb, movsw, movsl, movsq
    lea 0x100(%r8), %rdi
    mov $0x100 / 8, %ecx             /* something to move */
3:  mov %rax, -8(%rdi, %rcx, 8)
    add %rcx, %rax
    rol $7, %rax
    dec %ecx
    jnz 3b
    lea 0x180(%r8), %rsi
    lea (%rsi, %r9), %rdi
    mov %ebx, %ecx
    rep \insn
    xor -8(%rdi), %rax
    xor (%rsi), %rax
    .endr
    .irp insn, stosb, stosw, stosl, stosq
    lea 0x300(%r8, %r9), %rdi
    mov %ebx, %ecx
    rep \insn
    add -9(%rdi), %rax
    .endr
    dec %ebx
    jnz 2b
    inc %r9
    cmp $40, %r9
    jle 1b
    mov %r8, %rdi
END few_strings

PROGRAM self_modify
    lea 2f(%rip), %rbx
    mov $40, %ecx
1:  mov %ecx, 1(%rbx)                /* the immediate of the mov below */
2:  mov $0x11223344, %eax
    add %rax, %rdx
    dec %ecx
    jnz 1b
END self_modify

PROGRAM divide
    mov $100, %ecx
1:  mov $0x123456789abcdef, %rax
    xor %edx, %edx
    div %rcx
    add %rdx, %r8
    cqo
    idiv %rcx
    mov %rcx, (%rdi)
    xor %edx, %edx
    divq (%rdi)
    dec %ecx
    jnz 1b
    mov $7, %eax
    xor %edx, %edx
    div %rcx                         /* #DE */
END divide

/* Two pages fight for a slot of the TLB until its table grows: the guest's registers are in the host's
 * meanwhile, and the C library's memset() uses the first ones. */
PROGRAM vectors_kept
    pcmpeqd %xmm0, %xmm0
    movdqa %xmm0, %xmm1
    pslld $3, %xmm1
    lea 0x400000(%rdi), %rbx
    mov $6000, %ecx
1:  movdqu (%rdi), %xmm2
    paddd %xmm1, %xmm2
    paddd (%rbx), %xmm2
    dec %ecx
    jnz 1b
    movdqu %xmm0, (%rdi)
    movdqu %xmm1, 16(%rdi)
    movdqu %xmm2, 32(%rdi)
END vectors_kept

PROGRAM high_vectors_kept            /* #UD without AVX-512 */
    mov $0x5a5aa5a5, %eax
    .irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vpbroadcastd %eax, %zmm\n
    inc %eax
    .endr
    kmovd %eax, %k1
    lea 0x400000(%rdi), %rbx
    mov $6000, %ecx
1:  vmovdqu32 (%rdi), %zmm0
    vpaddd (%rbx), %zmm0, %zmm0
    dec %ecx
    jnz 1b
    .irp n, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    vmovdqu32 %zmm\n, 64 * (\n - 16)(%rdi)
    .endr
    kmovd %k1, 64 * 16(%rdi)
END high_vectors_kept

/* Returns that no call made, that come late, that go elsewhere, and flags that they bring. */
PROGRAM odd_returns
    mov $60, %ebx
1:  mov %rsp, %r12                   /* longjmp() out of two calls */
    lea 2f(%rip), %r13
    call 5f
    hlt
2:  lea 3f(%rip), %rax               /* an address that was pushed */
    push %rax
    ret
3:  lea 8f(%rip), %rax
    call 6f                          /* retpoline */
    adc $0, %r8                      /* CF that the last one returned */
    seto %r9b
    add %r9, %r8
    call 9f                          /* the caller's caller is returned to */
    inc %r8
10: clc
    call 11f
    jc 1f
    stc
    call 11f
    jnc 1f
    mov %r8, (%rdi,%rbx,8)
    dec %ebx
    jnz 1b
1:  hlt
5:  push %rbx
    call 7f
    hlt
7:  mov %r12, %rsp
    jmp *%r13
6:  call 4f
12: pause
    jmp 12b
4:  mov %rax, (%rsp)
    ret
8:  mov %ebx, %eax
    add $0x7fffffe0, %eax
    shl $28, %eax
    add $0x60000000, %eax
    ret
9:  lea 10b(%rip), %rax
    mov %rax, (%rsp)
    push %rax
    ret $8
11: setc %al
    movzbl %al, %eax
    add %rax, %r8
    neg %rax
    ret
END odd_returns

/* Flags that only the next block, or the one after it, reads; over accesses to memory. */
PROGRAM flags_over_blocks
    mov $90, %ecx
1:  mov %ecx, %eax
    and $7, %eax
    cmp $3, %eax
    mov %rax, (%rdi)
    ja 2f
    mov %rbx, 8(%rdi)
    jb 3f
    push %rcx
    pop %rdx
    sete %dl
    add %rdx, %rbx
    jmp 4f
2:  mov 8(%rdi), %rdx
    setg %dl
    jmp 5f
5:  adc %rdx, %rbx
    mov %rbx, 24(%rdi)
    jmp 4f
3:  inc %eax                         /* keeps CF */
    mov %rax, 16(%rdi)
    jmp 6f
6:  mov 16(%rdi), %rdx
    rcl $3, %rbx
    mov %rbx, 32(%rdi)
    jno 4f
    xor $0x55, %rbx
4:  bt %ecx, %ebx                    /* leaves ZF alone */
    mov %rbx, 40(%rdi,%rcx,8)
    jmp 7f
7:  mov 40(%rdi,%rcx,8), %rdx
    jmp 8f
8:  adc $0, %rbx
    shl %cl, %rbx                    /* perhaps no flags at all */
    mov %rbx, %r8
    jmp 9f
9:  push %rbx
    pop %rbx
    setc %r8b
    add %r8, %rbx
    dec %ecx
    jnz 1b
END flags_over_blocks

/* Loops of blocks that borrow the same registers, others, or none. */
PROGRAM warm_links
    mov $40, %ecx
1:  mov $5, %edx
2:  add %rcx, (%rdi)
    mov 8(%rdi), %rax
    dec %edx
    jnz 2b
    mov %rcx, %r11
    mov %rcx, %r10
    mov $3, %r9d
3:  add %r10, 8(%rdi)
    add %r11, %rax
    dec %r9
    jnz 3b
    add %rax, %rbx
    test $1, %cl
    jz 4f
    lea (%rbx,%rcx), %rbx
    jmp 5f
4:  mov %rbx, 16(%rdi)
5:  add %rbx, 24(%rdi)
    call 6f
    add %r11, %r10
    call 7f
    dec %ecx
    jnz 1b
    hlt
6:  push %r10
    add 24(%rdi), %rbx
    pop %r11
    ret
7:  xor %r9, %rbx
    ret
END warm_links

/* AH and BH, which go with no register from R8 on, between loads that share a look-up, and among those by the stack pointer. */
PROGRAM high_bytes
    mov $0x40, %ecx
    mov $0x9e3779b97f4a7c15, %rax
1:  mov %rax, (%rdi,%rcx,8)
    imul $31, %rax, %rax
    dec %ecx
    jnz 1b
    mov %rdi, %r14
    lea 0x300(%rdi), %rsi
    mov $60, %ecx
    mov $0x1234, %ebx
2:  mov 8(%r14), %r8
    adc %ah, 1(%rsi)
    add 16(%r14), %r8
    add 3(%rsi), %bh
    xor 24(%r14), %r8
    mov %r8, 0x20(%rsi)
    push %r8
    sub 3(%rsp), %bh
    push %rbx
    mov %ah, 5(%rsp)
    pop %rbx
    pop %r8
    xor %bh, 2(%rsi)
    inc %rsi
    add %r8, %rax
    dec %ecx
    jnz 2b
    mov $40, %ecx
    lea 0x300(%rdi), %rsi
3:  mov 8(%r14), %r8                /* ... with an index, and more of them */
    mov 16(%r14), %r9
    adc %ah, 1(%rsi,%rcx)
    add 24(%r14), %r9
    mov 32(%r14), %r12
    add %r9, %rbx
    mov 2(%rsi,%rcx), %bh
    xor %r8, 40(%r14)
    add %r12, %rax
    dec %ecx
    jnz 3b
    hlt
END high_bytes

/* Loads by the same registers, near each other: over a page's end, with flags live, other look-ups, pushes and new bases between. */
PROGRAM fields
    mov $0x30, %ecx
    xor %eax, %eax
1:  mov %rcx, (%rdi,%rcx,8)         /* something to read */
    mov %ecx, 0x1000(%rdi,%rcx,4)
    movq $-7, 0xf80(%rdi,%rcx,8)
    dec %ecx
    jnz 1b
    mov $150, %ecx
    lea 0xf60(%rdi), %rbx
2:  mov 24(%rbx), %rax              /* the first is not the lowest */
    add (%rbx), %rax
    adc 8(%rbx), %rax
    push %rax
    sbb 16(%rbx), %rax
    mov %rax, 0x3000(%rdi)
    mov 3(%rbx), %ah
    cmp 31(%rbx), %dl
    setb 0x3008(%rdi)
    mov (%rdi,%rcx,8), %rsi         /* another base, between */
    movzbl 40(%rbx), %edx
    xor 8(%rdi,%rcx,8), %rsi
    lahf
    add 48(%rbx), %rsi
    cmovc 5(%rbx), %rdx
    add %rdx, 0x3010(%rdi)
    pop %rdx
    movdqu 16(%rbx), %xmm1
    movdqu 33(%rbx), %xmm2
    movdqu %xmm1, 0x3020(%rdi)
    movdqu %xmm2, 0x3050(%rdi)
    imul $3, 0x28(%rbx), %r8
    inc %rbx                        /* another value of the base */
    xor (%rbx), %r8
    xor 9(%rbx), %r8
    add %r8, 0x3018(%rdi)
    mov 3f(%rip), %rax              /* constant addresses */
    adc 3f+8(%rip), %rax
    add 3f+4(%rip), %edx
    mov %rax, 0x3040(%rdi)
    mov %edx, 0x3048(%rdi)
    dec %ecx
    jnz 2b
    lea 0x3100(%rdi), %rbx          /* a list: the last member loads its own base */
    mov $20, %ecx
4:  lea 0x38(%rbx), %rax
    mov %rax, 8(%rbx)
    mov %rcx, 0x10(%rbx)
    mov %rax, %rbx
    dec %ecx
    jnz 4b
    movq $0, 8(%rbx)
    lea 0x3100(%rdi), %rbx
5:  add 0x10(%rbx), %rdx
    mov (%rbx), %rsi
    mov 8(%rbx), %rbx
    test %rbx, %rbx
    jnz 5b
    mov %rdx, (%rdi)
    hlt
    .balign 8
3:  .quad 0xfedcba9876543210, 0x8123456789abcdef
END fields

/* A page that is not there, and one that was not accessed, are met by each member in turn; the handler makes the first present. */
PROGRAM field_faults
    mov $0x0100106088250c80, %rax   /* page faults: orb $1, 0x106088; */
    mov %rax, 0xf00e0
    mov $0xcf4808c48348, %rax       /* add $8, %rsp; iretq */
    mov %rax, 0xf00e8
    mov $36, %ecx
    mov $0xffffffff80210fdc, %rbx
1:  andl $~0x21, 0x106088           /* entry of page 0x211: not present, not accessed */
    andl $~0x20, 0x106080           /* of page 0x210: not accessed */
    mov $0xffffffff80211000, %rax
    invlpg (%rax)
    invlpg -0x1000(%rax)
    mov 16(%rbx), %rdx
    adc (%rbx), %rdx
    adc 24(%rbx), %rdx
    mov %rcx, 0x100(%rdi)
    adc 8(%rbx), %rdx
    mov 0x106080, %eax
    add %rax, (%rdi)
    mov 0x106088, %eax
    add %rax, 8(%rdi)
    mov %cr2, %rax
    add %rax, 16(%rdi)
    add %rdx, 24(%rdi)
    push $0                         /* over the flags that were pushed */
    push $0
    push $0
    push $0
    push $0
    push $0
    push $0
    push $0
    add $64, %rsp
    inc %rbx
    dec %ecx
    jnz 1b
END field_faults

/* Whatever helpers do for a kernel.  (No device is at 16 MiB but in test-helpers.c: then it ends there.) */
PROGRAM helpers
    mov $0x00cf480224048348, %rax   /* divide errors: addq $2, (%rsp); iretq */
    mov %rax, 0xf0000
    mov $0xcf48, %eax               /* vector 33: iretq */
    mov %rax, 0xf0210
    mov $40, %r12d
1:  mov $0x277, %ecx                /* IA32_PAT */
    rdmsr
    wrmsr
    lea 0x1234(%r12), %eax
    xor %ecx, %ecx
    cpuid
    mov %rax, 0x20(%rdi)
    invlpg 0x1000(%rdi)
    mov %cr3, %rax
    mov %rax, %cr3
    mov %cr0, %rax
    mov %rax, %cr0
    in $0x80, %al
    out %al, $0x80
    cmp $4, %r12d                   /* flags that stay */
    invlpg (%rdi)
    adc %r13, %r13
    sgdt 0x100(%rdi)
    mov $4097, %r8d
    bts %r8, (%rdi)
    setc 0x18(%rdi)
    int $33
    xor %edx, %edx
    xor %ecx, %ecx
    mov $5, %eax
    div %ecx
    mov $7, %ecx
    div %ecx
    mov %rax, 8(%rdi)
    lea 1(%rdi), %rsi
    push %rdi
    mov $3000, %ecx
    cmp %rdi, %rsi
    rep movsb
    pop %rdi
    adc $1, %r13
    dec %r12d
    jnz 1b
    mov $40, %r12d
2:  mov %r12d, 0x1000000
    pushf
    popq 0x40(%rdi)
    movzwl 0x1000004, %eax
    add 0x1000008, %eax
    mov %rax, (%rdi,%r12,8)
    dec %r12d
    jnz 2b
    mov $0xc0000082, %ecx           /* IA32_LSTAR */
    lea 3f(%rip), %rax
    mov %rax, %rdx
    shr $32, %rdx
    wrmsr
    dec %ecx                        /* IA32_STAR */
    xor %eax, %eax
    mov $0x18, %edx
    wrmsr
    stc
    syscall
    hlt
3:  mov %rcx, 0x30(%rdi)
    mov %r11, 0x38(%rdi)
END helpers

/* -- 32-bit code: edi points to the data, esp to the stack ------------------------------------------- */
    .code32

PROGRAM memory32
    mov $200, %ecx
    xor %eax, %eax
1:  mov %ecx, (%edi,%ecx,8)
    add (%edi,%ecx,8), %eax
    adc %ecx, 8(%edi,%ecx,8)
    movzbl (%edi,%ecx), %edx
    add %dl, %ah
    xor %ah, 3(%edi,%ecx,2)
    imul $77, (%edi,%ecx,4), %ebx
    lock xadd %ebx, 0x1000(%edi)
    lock cmpxchg %edx, 0x1008(%edi)
    setc 0x1010(%edi,%ecx)
    cmpb $5, 0x1010(%edi,%ecx)
    cmovg %ecx, %esi
    mov %fs:0x20(%edi), %edx
    adc %edx, %gs:0x24(%edi,%ecx)
    inc %edx                         /* of one byte; keeps CF */
    adc %edx, %ebx
    lea 0xffe(%edi), %ebp            /* over a page end */
    add %ebx, -1(%ebp,%ecx)
    dec %ecx
    jnz 1b
END memory32

PROGRAM calls32
    mov $16, %eax
    call 2f
    mov %eax, (%edi)
    call 5f                          /* ebx = where we are */
5:  pop %ebx
    add $3f - 5b, %ebx
    mov %ebx, 8(%edi)
    mov $50, %ecx
1:  call *%ebx
    call *8(%edi)
    push $1
    push %ecx
    call 6f
    loop 1b
    hlt
2:  cmp $2, %eax                     /* fib */
    jl 4f
    push %eax
    dec %eax
    call 2b
    mov (%esp), %edx
    mov %eax, (%esp)
    lea -2(%edx), %eax
    call 2b
    pop %edx
    add %edx, %eax
4:  ret
3:  add %ecx, %eax
    ret $0
6:  enter $12, $0
    mov 8(%ebp), %edx
    mov %edx, -4(%ebp)
    sub 12(%ebp), %edx
    adc -4(%ebp), %eax
    leave
    ret $8
END calls32

PROGRAM stack_runs32                 /* frames at, around and over a page end, at any alignment */
    mov $0x90, %ecx
    mov %esp, %esi
1:  lea -0x48(%esi,%ecx), %esp
    push %ecx
    push %eax
    mov %ecx, %edx
    push $7
    sub $24, %esp
    mov %edx, 8(%esp)
    add 8(%esp), %eax
    movb $3, 19(%esp)
    lea 24(%esp), %esp
    cmp %ecx, %eax                   /* flags live over pops */
    pop %ebx
    pop %edx
    pop %ebp
    adc %ebx, %eax
    call 2f
    rol $7, %eax
    push %esp
    pop %esp
    pusha
    popa
    dec %ecx
    jnz 1b
    mov %esi, %esp
    hlt
2:  push %ebp
    mov %esp, %ebp
    push %ebx
    push (%edi)
    push %esp
    lea 5(%eax,%ecx), %ebx
    add %ebx, %eax
    add $4, %esp                     /* flags are dead before, live behind */
    adc %edx, %eax
    popl 4(%edi)
    pop %ebx
    pop %ebp
    ret
END stack_runs32

PROGRAM flags32
    mov $300, %ecx
    xor %eax, %eax
1:  add $0x7fffffff, %eax
    mov %eax, (%edi)                 /* flags of the add stay live over the store */
    mov 8(%edi), %edx
    push %edx
    pop %edx
    adc %edx, %edx
    seto %bl
    rcl $1, %ebp
    mov %ebx, 16(%edi,%ecx,8)
    inc %edx                         /* keeps CF */
    mov %edx, 8(%edi)
    jc 2f
    add $13, %eax
2:  shl %cl, %esi
    mov %esi, 24(%edi)
    pushf
    pop %ebx
    xor %ebx, %esi
    mov %ecx, %edx
    and $7, %edx
    cmp $3, %edx
    mov %edx, 28(%edi)
    ja 3f
    sahf
    lahf
    adc %ah, 30(%edi)
3:  setbe 31(%edi)
    push %eax
    popf                             /* whatever is in it but for TF and such */
    pushf
    andl $0x8d5, (%esp)
    orl $2, (%esp)
    popf
    adc $0, %ebp
    jecxz 4f
    dec %ecx
    jnz 1b
4:  cld
END flags32

PROGRAM all_registers32              /* none is left to borrow but r8 to r15 */
    mov $50, %ecx
1:  add %ecx, %eax
    mov %eax, (%edi)
    add %eax, %edx
    add %edx, %ebx
    mov %ebx, 8(%edi)
    add %ebx, %esi
    add %esi, %ebp
    mov %ebp, 16(%edi)
    add 8(%edi), %eax
    push %eax
    push %ebp
    mov %esp, %ebp
    push %edx
    leave
    xchg %esi, (%esp)
    bswap %esi
    pop %eax
    dec %ecx
    jnz 1b
END all_registers32

PROGRAM switch_table32
    mov $400, %ecx
    call 7f
7:  pop %ebx
    add $5f - 7b, %ebx
1:  mov %ecx, %edx
    and $3, %edx
    mov (%ebx,%edx,4), %edx
    add %ebx, %edx
    jmp *%edx
2:  add $1, %eax
    jmp 4f
3:  add $100, %eax
    jmp 4f
6:  xor %ecx, %eax
4:  dec %ecx
    jnz 1b
    hlt
5:  .long 2b - 5b, 3b - 5b, 6b - 5b, 2b - 5b
END switch_table32

PROGRAM strings32
    mov $60, %ebx
1:  mov %edi, %ebp
    lea 0x2000(%edi), %esi
    mov $0x700, %ecx
    rep movsl
    movsb
    movsw
    mov %ebp, %edi
    mov %ebx, %eax
    mov $0x33, %ecx
    rep stosb
    mov %ebp, %edi
    mov $0x100, %ecx
    repe scasb
    mov %ebp, %edi
    lea 0x10(%edi), %esi
    mov $0x40, %ecx
    repe cmpsb
    lodsl
    mov %ebp, %edi
    add %eax, 0x40(%edi)
    xchg %ebx, %edi
    mov %edi, %edx
    lea 4(%ebp), %ebx
    mov %dl, %al
    xlat
    xchg %ebx, %edi
    mov %edx, %ebx
    mov %ebp, %edi
    mov %al, 0x44(%edi)
    dec %ebx
    jnz 1b
END strings32

PROGRAM old32                        /* what 64-bit code has no more */
    mov $100, %ecx
1:  add %ecx, %eax
    daa
    mov %eax, (%edi)
    sub %cl, %al
    das
    adc %ah, %dl
    aaa
    aas
    mov %ax, 4(%edi)
    aam
    add %al, %dh
    aad
    sbb $3, %al
    .byte 0xd6                       /* salc */
    xor %al, 8(%edi,%ecx)
    inc %ebx
    dec %edx
    push %ds
    pop %es
    push %ebx
    xor %ebp, %ebp
    into
    pop %ebx
    dec %ecx
    jnz 1b
END old32

PROGRAM divide32
    mov $100, %ecx
1:  mov $0x90abcdef, %eax
    xor %edx, %edx
    div %ecx
    add %edx, %ebx
    cltd
    idiv %ecx
    mov %ecx, (%edi)
    xor %edx, %edx
    divl (%edi)
    mul %ebx
    imul (%edi), %esi
    dec %ecx
    jnz 1b
    mov $7, %eax
    xor %edx, %edx
    div %ecx                         /* #DE */
END divide32

PROGRAM vectors32
    pcmpeqd %xmm0, %xmm0
    movdqa %xmm0, %xmm1
    pslld $3, %xmm1
    fninit
    fld1
    lea 0x400000(%edi), %ebx
    mov $600, %ecx
1:  movdqu (%edi), %xmm2
    paddd %xmm1, %xmm2
    paddd (%ebx), %xmm2
    cvtsi2sd %ecx, %xmm3
    sqrtsd %xmm3, %xmm4
    ucomisd %xmm3, %xmm4
    movsd %xmm4, 0x40(%edi)
    fldl 0x40(%edi)
    faddp
    fsts 0x48(%edi)
    fistl 0x4c(%edi)
    setb 0x50(%edi)
    movd %ecx, %mm1
    dec %ecx
    jnz 1b
    movdqu %xmm0, (%edi)
    movdqu %xmm1, 16(%edi)
    movdqu %xmm2, 32(%edi)
    movq %mm1, 48(%edi)
    emms
END vectors32

    .section .note.GNU-stack, "", @progbits
