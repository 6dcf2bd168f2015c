/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Offsets inside the Vcb, for glue.S and generated code; asserted in vcb.h.  Assembly-safe. */
#ifndef TRANSLATOR_VCB_OFFSETS_H
#define TRANSLATOR_VCB_OFFSETS_H

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
#define VCB_JC_KEY 352
#define VCB_JC_MASK 360
#define VCB_THUNK 376
#define VCB_JC_NTAG 384
#define VCB_JC_CODE (384 + 8 * 4096)

#endif /* TRANSLATOR_VCB_OFFSETS_H */
