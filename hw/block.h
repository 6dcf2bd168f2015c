/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block back ends: the host's end of a disk.
 *
 * Requests are asynchronous: block_submit() queues one and `done` is called later (never from
 * inside block_submit) from the machine's I/O thread with the machine lock held.  A worker thread
 * per drive does the host's I/O, so that no vCPU waits for a disk.  Order between requests is the
 * guest's business except that a flush completes after every request that completed before it was
 * submitted is on stable storage.  The image file is locked (OFD locks) against a second writer.
 *
 * A raw image whose length is no multiple of 512 is seen rounded up: the missing end of its last
 * sector reads as zeroes, and writing that sector makes the file that much longer.
 * A host error goes to the guest as an I/O error (errno in `done`) and is counted; the machine runs
 * on (werror=report, rerror=report), when the disk is full too.
 */
#ifndef HW_BLOCK_H
#define HW_BLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct BlockBackend BlockBackend;

typedef enum { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES } BlockOp;

typedef struct BlockRequest BlockRequest;
struct BlockRequest {
    BlockOp op;
    uint64_t offset, len;              /* bytes; multiples of 512 inside the device */
    struct iovec *iov;                 /* READ, WRITE: borrowed until done          */
    int n_iov;
    void (*done)(BlockRequest *r, int err); /* err: 0 or a positive errno            */
    void *arg;
    BlockRequest *next;                /* the back end's */
    int err;                           /* the back end's */
};

typedef struct {
    const char *filename;              /* borrowed during the call */
    const char *format;                /* "raw" or NULL            */
    bool read_only, snapshot;          /* snapshot: writes go to a temporary file that vanishes */
    bool no_lock;
    bool lock_later;                   /* by block_lock() */
    bool no_discard;                   /* the image keeps its room when the guest discards */
    enum { CACHE_WRITEBACK, CACHE_NONE, CACHE_WRITETHROUGH, CACHE_DIRECTSYNC, CACHE_UNSAFE } cache;
} BlockOptions;

/* Open an image; NULL with one line in `error` naming the file.  `context` is where completions run;
 * `run_locked` calls fn(arg) with the machine lock held (the back end knows no machine). */
BlockBackend *block_open(const BlockOptions *o, GMainContext *context,
                         void (*run_locked)(void *machine, void (*fn)(void *), void *arg),
                         void *machine, GError **error);
/* Waits for requests in flight (their done is not called), flushes, unlocks, closes. */
void block_close(BlockBackend *b);

/* Flush, and let go of the image's lock; and take it again: the image is another process's meanwhile, and is not to be used.  With
 * BlockOptions.no_lock and images that cannot be locked both do nothing. */
void block_unlock(BlockBackend *b);
bool block_lock(BlockBackend *b, GError **error);

void block_submit(BlockBackend *b, BlockRequest *r);
/* Wait (without completing them to the guest) until all submitted host I/O is over. */
void block_drain(BlockBackend *b);
/* Wait until all is over and complete it, with what follows from that.  Machine lock held, no CPU runs. */
void block_settle(BlockBackend *b);
/* Wait as block_drain() does and forget the requests whose `arg` is this: their done will not be
 * called, and they are the caller's again (device reset, hot unplug). */
void block_cancel(BlockBackend *b, void *arg);

/* The write cache as the guest sees it: off means every write is on stable storage when it is done
 * (initially off with CACHE_WRITETHROUGH and CACHE_DIRECTSYNC). */
bool block_write_cache(const BlockBackend *b);
void block_set_write_cache(BlockBackend *b, bool on);

uint64_t block_size(const BlockBackend *b);       /* bytes */
bool block_read_only(const BlockBackend *b);
const char *block_filename(const BlockBackend *b);

typedef struct {
    uint64_t rd_ops, wr_ops, flush_ops, rd_bytes, wr_bytes, errors;
    uint64_t rd_ns, wr_ns, flush_ns;   /* the host's time for them */
} BlockStats;
BlockStats block_stats(const BlockBackend *b);

/* Call fn (machine lock held) for every asynchronous request that the host fails, before its done. */
void block_on_error(BlockBackend *b, void (*fn)(void *arg, BlockOp op, int err), void *arg);

/* Synchronous helpers, ordered with the worker's requests, for firmware-time devices and tests (floppy, IDE PIO): 0 or errno. */
int block_pread(BlockBackend *b, uint64_t offset, void *buf, uint64_t len);
int block_pwrite(BlockBackend *b, uint64_t offset, const void *buf, uint64_t len);

#endif /* HW_BLOCK_H */
