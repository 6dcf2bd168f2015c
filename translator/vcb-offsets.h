/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Offsets inside the Vcb, for glue.S and generated code; asserted in vcb.h.  Assembly-safe. */
#ifndef TRANSLATOR_VCB_OFFSETS_H
#define TRANSLATOR_VCB_OFFSETS_H

#define VCB_SPOTS 128
#define VCB_JC_SIZE 65536 /* entries of the jump cache */
#define VCB_CROSSINGS 256 /* instructions across page ends whose second page is remembered */
#define VCB_HOST 0
#define VCB_SAVED 128
#define VCB_FLAGS 256
#define VCB_FLAGS_SLOT 264
#define VCB_RAX_TMP 272
#define VCB_RIP 280
#define VCB_RESUME 288
#define VCB_HOST_RSP 296
#define VCB_SITE 304
#define VCB_TLB_MASK 312
#define VCB_TLB_ENTRY 320
#define VCB_TLB_SPACE 328
#define VCB_FS_BASE 336
#define VCB_GS_BASE 344
#define VCB_KERNEL_GS_BASE 352
#define VCB_JC_KEY 360
#define VCB_JC_MASK 368
#define VCB_SWAP_TMP 376
#define VCB_THUNK 384
#define VCB_VEC 392
#define VCB_VEC_DEAD 400
#define VCB_X87_DEAD 408
#define VCB_VEC_WANTED 416
#define VCB_VEC_WIDTH 424
#define VCB_C_MXCSR 428
#define VCB_VIF 432
#define VCB_VAC 433
#define VCB_WATCH_USER 434
#define VCB_REQUESTS 440
#define VCB_SYS_FLAGS 448
#define VCB_TSC_OFFSET 456
#define VCB_KERNEL_TLB 464 /* mask, entries, space; then the same for TLB_KERNEL_AC */
#define VCB_PAGE_MASK 520
#define VCB_N_ANNOUNCED 528
#define VCB_USER_TLB 536
#define VCB_KEY_KERNEL 560
#define VCB_KEY_USER 568
#define VCB_SYSCALL_RIP 576
#define VCB_SYSCALL_SLOT 584
#define VCB_SYSCALL_TAG 592
#define VCB_SYSCALL_KEEP 600
#define VCB_SYSCALL_KEEP_IF 608
#define VCB_N_SYSCALLS 616
#define VCB_CROSSED 624
#define VCB_CPU 632
#define VCB_FS_ODD 640
#define VCB_GS_ODD 648
#define VCB_SPEC_CTRL_BAD 656
#define VCB_NEAR_MASK 664
#define VCB_STRING 720
#define VCB_PAUSES 736
#define VCB_LEFT 744
#define VCB_SIGN 752
#define VCB_JC 768 /* of entry 0; 32 bytes each */
#define VCB_JC_NTAG VCB_JC
#define VCB_JC_CODE (VCB_JC + 8)
#define VCB_JC_WARM (VCB_JC + 16)
#define VCB_JC_ASIDE (VCB_JC + 24)
#define VCB_CROSS_NTAG (VCB_JC + 32 * VCB_JC_SIZE)
#define VCB_CROSS_PAGE (VCB_CROSS_NTAG + 8 * VCB_CROSSINGS)
#define VCB_X87_AREA (VCB_CROSS_PAGE + 8 * VCB_CROSSINGS)
#define VCB_ANNOUNCED (VCB_X87_AREA + 576) /* 256 bytes: a byte is their index */
#define VCB_BOUNCE_PC (VCB_ANNOUNCED + 256)
#define VCB_BOUNCE_RSP (VCB_ANNOUNCED + 264)
#define VCB_JC_WHOLE (VCB_ANNOUNCED + 272)
#define VCB_HERE (VCB_ANNOUNCED + 280)
#define VCB_CPUID (VCB_ANNOUNCED + 288)
#define VCB_NEAR (VCB_ANNOUNCED + 1344) /* minus_page, addend; the one before; then the same for the kernel */
#define VCB_SPOT (VCB_NEAR + 64) /* VCB_SPOTS of the user, then of the kernel */
#define VCB_SPOTS_USED (VCB_SPOT + 2 * 32 * VCB_SPOTS)

/* VectorState of cpu-x86/state.h; asserted in vcb.h. */
#define VEC_K 2048
#define VEC_FX 2112
#define VEC_MXCSR 2624

/* Halves of the vector state: bits of vec_wanted and Block.vec. */
#define VEC_HALF_SSE 1
#define VEC_HALF_X87 2

#endif /* TRANSLATOR_VCB_OFFSETS_H */
