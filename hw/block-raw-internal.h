/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A raw image: the system calls behind a BlockBackend.  No threads here: the caller serialises.
 * All functions return 0 or a positive errno.
 */
#ifndef HW_BLOCK_RAW_INTERNAL_H
#define HW_BLOCK_RAW_INTERNAL_H

#include "hw/block.h"

enum { BLOCK_SECTOR = 512 };

typedef struct {
    int fd;                    /* through the page cache; holds the lock                     */
    int fd_direct;             /* O_DIRECT, or -1                                            */
    int fd_overlay;            /* snapshot: where writes go, or -1                           */
    uint64_t *written;         /* snapshot: one bit a sector, set when the overlay has it    */
    uint64_t written_len;      /* bytes mapped                                               */
    uint64_t size;             /* multiple of 512                                            */
    uint64_t file_len;         /* as found: the image itself ends here                       */
    unsigned direct_align;     /* of memory, offset and length, for fd_direct                */
    bool read_only;            /* to the guest */
    bool is_device;            /* a host block device */
    short lock;                /* F_WRLCK, F_RDLCK; F_UNLCK: it is not to be locked */
    bool ignore_flush;         /* cache=unsafe */
    bool ignore_discard;
} BlockRaw;

bool block_raw_open(BlockRaw *f, const BlockOptions *o, GError **error);
void block_raw_close(BlockRaw *f);
bool block_raw_lock(BlockRaw *f, const char *filename, GError **error);
void block_raw_unlock(BlockRaw *f);

/* [offset, offset + sum of iov) lies inside the image and is a multiple of 512.  The iov array is
 * used up (its elements change).  sync: on stable storage on return. */
int block_raw_read(BlockRaw *f, uint64_t offset, struct iovec *iov, int n);
int block_raw_write(BlockRaw *f, uint64_t offset, struct iovec *iov, int n, bool sync);
int block_raw_flush(BlockRaw *f);
int block_raw_discard(BlockRaw *f, uint64_t offset, uint64_t len);
int block_raw_zero(BlockRaw *f, uint64_t offset, uint64_t len, bool sync);

#endif /* HW_BLOCK_RAW_INTERNAL_H */
