/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The request queue of a drive, its worker thread, and the way back to the machine.
 *
 * A request is in exactly one place: `queue` (submitted), `current` (the worker has it), `finished`
 * (waits for the I/O thread), or with its owner.  `lock` guards these and the counters; `io_lock`
 * is held during host I/O, so that the synchronous helpers and the worker alternate.  The two are
 * never held together.
 */
#include "hw/block.h"

#include "hw/block-raw-internal.h"
#include "softmmu/base/lock.h"
#include "softmmu/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>

typedef struct {
    BlockRequest *first, **last;
} RequestList;

typedef struct {
    GSource source;
    BlockBackend *block;
} DoneSource;

struct BlockBackend {
    char *filename;
    BlockRaw raw;
    bool write_cache;          /* atomic */
    void (*run_locked)(void *machine, void (*fn)(void *), void *arg);
    void *machine;
    GSource *source;
    pthread_t worker;
    bool started;              /* there is a worker */
    Lock io_lock;

    Lock lock;
    pthread_cond_t work, idle;
    RequestList queue, finished;
    BlockRequest *current;
    bool quit;
    BlockStats stats;
    void (*on_error)(void *arg, BlockOp op, int err);  /* or NULL */
    void *on_error_arg;
};

static void list_add(RequestList *l, BlockRequest *r)
{
    r->next = NULL;
    *l->last = r;
    l->last = &r->next;
}

static BlockRequest *list_take(RequestList *l)
{
    BlockRequest *r = l->first;

    if (r != NULL) {
        l->first = r->next;
        if (l->first == NULL) {
            l->last = &l->first;
        }
    }
    return r;
}

static void list_init(RequestList *l)
{
    l->first = NULL;
    l->last = &l->first;
}

/* -- Host I/O ------------------------------------------------------------------------------------ */

static uint64_t iov_total(const struct iovec *iov, int n)
{
    uint64_t len = 0;

    for (int i = 0; i < n; i++) {
        len += iov[i].iov_len;
    }
    return len;
}

static bool in_range(const BlockBackend *b, const BlockRequest *r)
{
    if (r->op == BLOCK_FLUSH) {
        return true;
    }
    if ((r->op == BLOCK_READ || r->op == BLOCK_WRITE) && iov_total(r->iov, r->n_iov) != r->len) {
        return false;
    }
    return r->offset % BLOCK_SECTOR == 0 && r->len % BLOCK_SECTOR == 0 &&
           r->offset <= b->raw.size && r->len <= b->raw.size - r->offset;
}

static int execute(BlockBackend *b, BlockRequest *r)
{
    bool sync = !block_write_cache(b);
    struct iovec *iov;
    int err = EINVAL;

    if (!in_range(b, r)) {
        return EINVAL;
    }
    iov = g_memdup2(r->iov, sizeof *iov * (size_t)r->n_iov);
    lock_take(&b->io_lock);
    switch (r->op) {
    case BLOCK_READ: err = block_raw_read(&b->raw, r->offset, iov, r->n_iov); break;
    case BLOCK_WRITE: err = block_raw_write(&b->raw, r->offset, iov, r->n_iov, sync); break;
    case BLOCK_FLUSH: err = block_raw_flush(&b->raw); break;
    case BLOCK_DISCARD: err = block_raw_discard(&b->raw, r->offset, r->len); break;
    case BLOCK_WRITE_ZEROES: err = block_raw_zero(&b->raw, r->offset, r->len, sync); break;
    }
    lock_release(&b->io_lock);
    g_free(iov);
    return err;
}

/* b->lock held. */
static void count(BlockBackend *b, BlockOp op, uint64_t len, uint64_t ns, int err)
{
    BlockStats *s = &b->stats;
    uint64_t *time = op == BLOCK_READ ? &s->rd_ns : op == BLOCK_WRITE ? &s->wr_ns
                   : op == BLOCK_FLUSH ? &s->flush_ns : NULL;

    if (time != NULL) {
        *time += ns;
    }

    if (err != 0) {
        s->errors++;
    } else if (op == BLOCK_READ) {
        s->rd_ops++;
        s->rd_bytes += len;
    } else if (op == BLOCK_FLUSH) {
        s->flush_ops++;
    } else if (op == BLOCK_WRITE) {
        s->wr_ops++;
        s->wr_bytes += len;
    }
}

static void *worker_main(void *arg)
{
    BlockBackend *b = arg;

    lock_take(&b->lock);
    for (;;) {
        BlockRequest *r = list_take(&b->queue);
        if (r == NULL) {
            pthread_cond_broadcast(&b->idle);
            if (b->quit) {
                break;
            }
            pthread_cond_wait(&b->work, &b->lock.mutex);
            continue;
        }
        b->current = r;
        lock_release(&b->lock);
        int64_t begin_us = g_get_monotonic_time();
        int err = execute(b, r);
        trace(block_done, "%s op=%d offset=0x%" PRIx64 " err=%d", b->filename, r->op, r->offset,
              err);
        lock_take(&b->lock);
        b->current = NULL;
        count(b, r->op, r->len, (uint64_t)(g_get_monotonic_time() - begin_us) * 1000, err);
        r->err = err;
        list_add(&b->finished, r);
        g_source_set_ready_time(b->source, 0);
    }
    lock_release(&b->lock);
    return NULL;
}

/* -- Completion ---------------------------------------------------------------------------------- */

static BlockRequest *take_finished(BlockBackend *b)
{
    BlockRequest *r;

    lock_take(&b->lock);
    r = list_take(&b->finished);
    lock_release(&b->lock);
    return r;
}

/* Machine lock held.  A done may submit, drain or cancel. */
static void deliver(void *arg)
{
    BlockBackend *b = arg;
    BlockRequest *r;

    while ((r = take_finished(b)) != NULL) {
        if (r->err != 0 && b->on_error != NULL) {
            b->on_error(b->on_error_arg, r->op, r->err);
        }
        r->done(r, r->err);
    }
}

static gboolean done_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    BlockBackend *b = ((DoneSource *)source)->block;

    g_source_set_ready_time(source, -1);
    b->run_locked(b->machine, deliver, b);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs done_source_funcs = {.dispatch = done_dispatch};

/* -- Interface ----------------------------------------------------------------------------------- */

static void start_worker(BlockBackend *b)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    b->started = pthread_create(&b->worker, NULL, worker_main, b) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

BlockBackend *block_open(const BlockOptions *o, GMainContext *context,
                         void (*run_locked)(void *machine, void (*fn)(void *), void *arg),
                         void *machine, GError **error)
{
    BlockBackend *b = g_new0(BlockBackend, 1);

    if (!block_raw_open(&b->raw, o, error)) {
        g_free(b);
        return NULL;
    }
    b->filename = g_strdup(o->filename);
    b->write_cache = o->cache != CACHE_WRITETHROUGH && o->cache != CACHE_DIRECTSYNC;
    b->run_locked = run_locked;
    b->machine = machine;
    lock_init(&b->lock, LOCK_RANK_BACKEND);
    lock_init(&b->io_lock, LOCK_RANK_BACKEND);
    pthread_cond_init(&b->work, NULL);
    pthread_cond_init(&b->idle, NULL);
    list_init(&b->queue);
    list_init(&b->finished);
    b->source = g_source_new(&done_source_funcs, sizeof(DoneSource));
    ((DoneSource *)b->source)->block = b;
    g_source_set_name(b->source, "block");
    g_source_attach(b->source, context);
    start_worker(b);
    if (!b->started) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_AGAIN, "'%s': the host gives no more threads",
                    o->filename);
        block_close(b);
        return NULL;
    }
    return b;
}

void block_close(BlockBackend *b)
{
    if (b == NULL) {
        return;
    }
    if (b->started) {
        lock_take(&b->lock);
        b->quit = true;
        pthread_cond_signal(&b->work);
        lock_release(&b->lock);
        pthread_join(b->worker, NULL);
    }
    g_source_destroy(b->source);
    g_source_unref(b->source);
    block_raw_flush(&b->raw);
    block_raw_close(&b->raw);
    pthread_cond_destroy(&b->work);
    pthread_cond_destroy(&b->idle);
    lock_clear(&b->lock);
    lock_clear(&b->io_lock);
    g_free(b->filename);
    g_free(b);
}

void block_submit(BlockBackend *b, BlockRequest *r)
{
    trace(block_submit, "%s op=%d offset=0x%" PRIx64 " len=0x%" PRIx64, b->filename, r->op,
          r->offset, r->len);
    lock_take(&b->lock);
    list_add(&b->queue, r);
    pthread_cond_signal(&b->work);
    lock_release(&b->lock);
}

/* b->lock held on return too. */
static void wait_idle(BlockBackend *b)
{
    while (b->queue.first != NULL || b->current != NULL) {
        pthread_cond_wait(&b->idle, &b->lock.mutex);
    }
}

void block_drain(BlockBackend *b)
{
    lock_take(&b->lock);
    wait_idle(b);
    lock_release(&b->lock);
}

void block_settle(BlockBackend *b)
{
    bool more;

    do {
        block_drain(b);
        deliver(b);
        lock_take(&b->lock);
        more = b->queue.first != NULL || b->current != NULL || b->finished.first != NULL;
        lock_release(&b->lock);
    } while (more);
}

void block_unlock(BlockBackend *b)
{
    block_raw_flush(&b->raw);
    block_raw_unlock(&b->raw);
}

bool block_lock(BlockBackend *b, GError **error)
{
    return block_raw_lock(&b->raw, b->filename, error);
}

void block_cancel(BlockBackend *b, void *arg)
{
    RequestList keep;
    BlockRequest *r;

    list_init(&keep);
    lock_take(&b->lock);
    wait_idle(b);
    while ((r = list_take(&b->finished)) != NULL) {
        if (r->arg != arg) {
            list_add(&keep, r);
        }
    }
    while ((r = list_take(&keep)) != NULL) {
        list_add(&b->finished, r);
    }
    lock_release(&b->lock);
}

bool block_write_cache(const BlockBackend *b)
{
    return __atomic_load_n(&b->write_cache, __ATOMIC_RELAXED);
}

void block_set_write_cache(BlockBackend *b, bool on)
{
    __atomic_store_n(&b->write_cache, on, __ATOMIC_RELAXED);
}

uint64_t block_size(const BlockBackend *b)
{
    return b->raw.size;
}

bool block_read_only(const BlockBackend *b)
{
    return b->raw.read_only;
}

const char *block_filename(const BlockBackend *b)
{
    return b->filename;
}

void block_on_error(BlockBackend *b, void (*fn)(void *arg, BlockOp op, int err), void *arg)
{
    b->on_error = fn;
    b->on_error_arg = arg;
}

BlockStats block_stats(const BlockBackend *b)
{
    Lock *lock = &((BlockBackend *)b)->lock;
    BlockStats s;

    lock_take(lock);
    s = b->stats;
    lock_release(lock);
    return s;
}

static int synchronous(BlockBackend *b, BlockOp op, uint64_t offset, void *buf, uint64_t len)
{
    struct iovec iov = {buf, len};
    BlockRequest r = {.op = op, .offset = offset, .len = len, .iov = &iov, .n_iov = 1};
    int64_t begin_us = g_get_monotonic_time();
    int err = execute(b, &r);

    lock_take(&b->lock);
    count(b, op, len, (uint64_t)(g_get_monotonic_time() - begin_us) * 1000, err);
    lock_release(&b->lock);
    return err;
}

int block_pread(BlockBackend *b, uint64_t offset, void *buf, uint64_t len)
{
    return synchronous(b, BLOCK_READ, offset, buf, len);
}

int block_pwrite(BlockBackend *b, uint64_t offset, const void *buf, uint64_t len)
{
    return synchronous(b, BLOCK_WRITE, offset, (void *)buf, len);
}
