/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/block-raw-internal.h"

#include "softmmu/base/bits.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- Opening ------------------------------------------------------------------------------------- */

static bool fail(GError **error, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static bool fail(GError **error, int err, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_set_error_literal(error, G_IO_ERROR, g_io_error_from_errno(err), text);
    g_free(text);
    return false;
}

static bool open_file(BlockRaw *f, const BlockOptions *o, GError **error)
{
    const char *name = o->filename;
    bool write = !o->read_only && !o->snapshot;
    struct stat st;

    if (stat(name, &st) != 0) {
        return fail(error, errno, "could not open '%s': %s", name, g_strerror(errno));
    }
    if (S_ISDIR(st.st_mode)) {
        return fail(error, EISDIR, "could not open '%s': it is a directory", name);
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        return fail(error, EINVAL, "could not open '%s': neither a file nor a block device", name);
    }
    f->fd = open(name, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0) {
        int err = errno;
        bool readable = write && (err == EACCES || err == EROFS) && access(name, R_OK) == 0;
        return fail(error, err, "could not open '%s' for %s: %s%s", name,
                    write ? "writing" : "reading", g_strerror(err),
                    readable ? " (readonly=on or snapshot=on would do)" : "");
    }
    f->is_device = S_ISBLK(st.st_mode);
    return true;
}

/* A writer excludes everybody, readers share.  File systems without locks go unlocked. */
bool block_raw_lock(BlockRaw *f, const char *filename, GError **error)
{
    struct flock l = {.l_type = f->lock, .l_whence = SEEK_SET};

    if (fcntl(f->fd, F_OFD_SETLK, &l) == 0 || (errno != EAGAIN && errno != EACCES)) {
        return true;
    }
    return fail(error, EAGAIN, "could not lock '%s': another process is using it%s", filename,
                f->lock == F_WRLCK ? "" : " for writing");
}

void block_raw_unlock(BlockRaw *f)
{
    struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    fcntl(f->fd, F_OFD_SETLK, &l);
}

static bool lock_file(BlockRaw *f, const BlockOptions *o, GError **error)
{
    bool write = !o->read_only && !o->snapshot;

    f->lock = o->no_lock ? F_UNLCK : write ? F_WRLCK : F_RDLCK;
    return o->lock_later || block_raw_lock(f, o->filename, error);
}

static bool find_size(BlockRaw *f, const BlockOptions *o, GError **error)
{
    struct stat st;

    if (fstat(f->fd, &st) != 0 ||
        (f->is_device && ioctl(f->fd, BLKGETSIZE64, &f->file_len) != 0)) {
        return fail(error, errno, "could not find the size of '%s': %s", o->filename,
                    g_strerror(errno));
    }
    if (!f->is_device) {
        f->file_len = (uint64_t)st.st_size;
    }
    f->size = (f->file_len + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    return true;
}

static bool check_format(BlockRaw *f, const BlockOptions *o, GError **error)
{
    char magic[4];

    if (o->format != NULL && strcmp(o->format, "raw") != 0) {
        return fail(error, EINVAL, "'%s': format '%s' is not supported (only raw is)", o->filename,
                    o->format);
    }
    if (o->format == NULL && pread(f->fd, magic, 4, 0) == 4 && memcmp(magic, "QFI\xfb", 4) == 0) {
        return fail(error, EINVAL, "'%s' is a qcow2 image: only raw is supported (format=raw to "
                    "use its bytes as they are)", o->filename);
    }
    return true;
}

static bool open_direct(BlockRaw *f, const BlockOptions *o, GError **error)
{
    struct stat a, b;
    int flags = o->read_only ? O_RDONLY : O_RDWR;

    if ((o->cache != CACHE_NONE && o->cache != CACHE_DIRECTSYNC) || o->snapshot) {
        return true;
    }
    f->fd_direct = open(o->filename, flags | O_DIRECT | O_CLOEXEC | O_NONBLOCK);
    if (f->fd_direct < 0) {
        return fail(error, errno, "could not open '%s' past the page cache (cache=none, "
                    "cache=directsync): %s", o->filename, g_strerror(errno));
    }
    if (fstat(f->fd, &a) != 0 || fstat(f->fd_direct, &b) != 0 || a.st_ino != b.st_ino ||
        a.st_dev != b.st_dev) {
        return fail(error, EAGAIN, "'%s' was replaced while it was opened", o->filename);
    }
    f->direct_align = 4096; /* enough everywhere; smaller requests take the page cache */
    return true;
}

static int temporary_file(void)
{
    const char *dir = getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/var/tmp";
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        char *path = g_build_filename(dir, "metaphrase-XXXXXX", NULL);
        fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0) {
            unlink(path);
        }
        g_free(path);
    }
    return fd;
}

static bool open_overlay(BlockRaw *f, const BlockOptions *o, GError **error)
{
    void *map;

    if (!o->snapshot) {
        return true;
    }
    f->fd_overlay = temporary_file();
    if (f->fd_overlay < 0 || ftruncate(f->fd_overlay, (off_t)f->size) != 0) {
        return fail(error, errno, "could not make a temporary file for snapshot=on of '%s': %s",
                    o->filename, g_strerror(errno));
    }
    f->written_len = f->size / BLOCK_SECTOR / 8 + 4096;
    map = mmap(NULL, f->written_len, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return fail(error, ENOMEM, "'%s' is too large for snapshot=on", o->filename);
    }
    f->written = map;
    return true;
}

bool block_raw_open(BlockRaw *f, const BlockOptions *o, GError **error)
{
    *f = (BlockRaw){.fd = -1, .fd_direct = -1, .fd_overlay = -1, .read_only = o->read_only,
                    .ignore_flush = o->cache == CACHE_UNSAFE, .ignore_discard = o->no_discard};
    if (open_file(f, o, error) && check_format(f, o, error) && lock_file(f, o, error) &&
        find_size(f, o, error) && open_direct(f, o, error) && open_overlay(f, o, error)) {
        return true;
    }
    block_raw_close(f);
    return false;
}

void block_raw_close(BlockRaw *f)
{
    int *fds[] = {&f->fd_direct, &f->fd_overlay, &f->fd};

    for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
        if (*fds[i] >= 0) {
            close(*fds[i]);
            *fds[i] = -1;
        }
    }
    if (f->written != NULL) {
        munmap(f->written, f->written_len);
        f->written = NULL;
    }
}

/* -- I/O vectors --------------------------------------------------------------------------------- */

typedef struct {
    struct iovec *iov;
    int n;
} Vector;

/* Drop `len` bytes from the front. */
static void vector_skip(Vector *v, uint64_t len)
{
    while (v->n > 0 && len >= v->iov->iov_len) {
        len -= v->iov->iov_len;
        v->iov++;
        v->n--;
    }
    if (v->n > 0) {
        v->iov->iov_base = (uint8_t *)v->iov->iov_base + len;
        v->iov->iov_len -= len;
    }
}

static uint64_t vector_len(const Vector *v)
{
    uint64_t len = 0;

    for (int i = 0; i < v->n; i++) {
        len += v->iov[i].iov_len;
    }
    return len;
}

/* Zero `len` bytes at the front and drop them. */
static void vector_zero(Vector *v, uint64_t len)
{
    while (len > 0 && v->n > 0) {
        uint64_t n = MIN(len, v->iov->iov_len);
        memset(v->iov->iov_base, 0, n);
        vector_skip(v, n);
        len -= n;
    }
}

typedef ssize_t (*Transfer)(int fd, const struct iovec *iov, int n, off_t off, int flags);

/* Move the first `len` bytes of the vector to or from `fd`, whatever the kernel's pieces; *done
 * says how far it came (end of file stops a read). */
static int transfer(Transfer op, int fd, uint64_t off, Vector *v, uint64_t len, int flags,
                    uint64_t *done)
{
    *done = 0;
    while (*done < len) {
        uint64_t left = len - *done, piece = 0, cut = 0;
        int n = 0;
        for (; n < v->n && n < IOV_MAX && piece < left && piece < BIT64(30); n++) {
            piece += v->iov[n].iov_len;
        }
        if (piece > left) { /* shorten the last element for this call */
            cut = piece - left;
            v->iov[n - 1].iov_len -= cut;
        }
        ssize_t r = op(fd, v->iov, n, (off_t)(off + *done), flags);
        if (cut != 0) {
            v->iov[n - 1].iov_len += cut;
        }
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r <= 0) {
            return r < 0 ? errno : 0;
        }
        vector_skip(v, (uint64_t)r);
        *done += (uint64_t)r;
    }
    return 0;
}

/* O_DIRECT takes what is aligned; the rest goes through the page cache, which the kernel keeps
 * coherent with it. */
static int fd_for(const BlockRaw *f, uint64_t off, const Vector *v)
{
    uint64_t bits = off;

    if (f->fd_direct < 0 || off + vector_len(v) > (f->file_len & ~(uint64_t)(f->direct_align - 1))) {
        return f->fd;
    }
    for (int i = 0; i < v->n; i++) {
        bits |= (uintptr_t)v->iov[i].iov_base | v->iov[i].iov_len;
    }
    return (bits & (f->direct_align - 1)) == 0 ? f->fd_direct : f->fd;
}

/* -- Reading and writing ------------------------------------------------------------------------- */

/* From the image itself.  Only the made-up end of the last sector may lie behind its end. */
static int read_image(BlockRaw *f, uint64_t off, Vector *v, uint64_t len)
{
    uint64_t done;
    int err = transfer(preadv2, fd_for(f, off, v), off, v, len, 0, &done);

    if (err == 0 && done < len) {
        if (off + done < f->file_len) {
            return EIO; /* somebody has truncated the file */
        }
        vector_zero(v, len - done);
    }
    return err;
}

static bool sector_written(const BlockRaw *f, uint64_t sector)
{
    return (f->written[sector / 64] & BIT64(sector % 64)) != 0;
}

int block_raw_read(BlockRaw *f, uint64_t offset, struct iovec *iov, int n)
{
    Vector v = {iov, n};
    uint64_t len = vector_len(&v), end = offset + len;

    if (f->written == NULL) {
        return read_image(f, offset, &v, len);
    }
    while (offset < end) { /* runs of sectors from the same file */
        uint64_t s = offset / BLOCK_SECTOR, first = s, done;
        bool overlay = sector_written(f, s);
        while (s * BLOCK_SECTOR < end && sector_written(f, s) == overlay) {
            s++;
        }
        uint64_t run = MIN(s * BLOCK_SECTOR, end) - first * BLOCK_SECTOR;
        int err = overlay ? transfer(preadv2, f->fd_overlay, offset, &v, run, 0, &done)
                          : read_image(f, offset, &v, run);
        if (err != 0 || (overlay && done < run)) {
            return err != 0 ? err : EIO;
        }
        offset += run;
    }
    return 0;
}

static void mark_written(BlockRaw *f, uint64_t offset, uint64_t len)
{
    for (uint64_t s = offset / BLOCK_SECTOR; s < (offset + len) / BLOCK_SECTOR; s++) {
        f->written[s / 64] |= BIT64(s % 64);
    }
}

int block_raw_write(BlockRaw *f, uint64_t offset, struct iovec *iov, int n, bool sync)
{
    Vector v = {iov, n};
    uint64_t len = vector_len(&v), done;
    int err;

    if (f->read_only) {
        return EROFS;
    }
    if (f->written != NULL) {
        err = transfer(pwritev2, f->fd_overlay, offset, &v, len, 0, &done);
        mark_written(f, offset, err == 0 ? len : done / BLOCK_SECTOR * BLOCK_SECTOR);
        return err;
    }
    err = transfer(pwritev2, fd_for(f, offset, &v), offset, &v, len, sync ? RWF_DSYNC : 0, &done);
    if (err == 0 && done < len) {
        return EIO;
    }
    /* The image may have grown to the end of its last sector: that end must be there from now on. */
    if (err == 0 && offset + len > f->file_len) {
        f->file_len = offset + len;
    }
    return err;
}

int block_raw_flush(BlockRaw *f)
{
    if (f->ignore_flush || f->read_only || f->written != NULL) {
        return 0;
    }
    return fdatasync(f->fd) == 0 ? 0 : errno;
}

/* -- Discarding and zeroing ---------------------------------------------------------------------- */

static bool unsupported(int err)
{
    return err == EOPNOTSUPP || err == ENOTTY || err == EINVAL || err == ENOSYS;
}

static int punch(int fd, uint64_t offset, uint64_t len)
{
    return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) == 0
               ? 0
               : errno;
}

/* A hint: what the host cannot do is no error. */
int block_raw_discard(BlockRaw *f, uint64_t offset, uint64_t len)
{
    uint64_t range[2] = {offset, len};
    int err;

    if (f->read_only) {
        return EROFS;
    }
    if (f->written != NULL || f->ignore_discard) {
        return 0;
    }
    if (f->is_device) {
        err = ioctl(f->fd, BLKDISCARD, range) == 0 ? 0 : errno;
    } else {
        err = punch(f->fd, offset, len);
    }
    return unsupported(err) ? 0 : err;
}

static int write_zeroes_by_hand(BlockRaw *f, uint64_t offset, uint64_t len, bool sync)
{
    enum { CHUNK = 1 << 16 };
    uint8_t *zero = g_malloc0(CHUNK);
    int err = 0;

    for (uint64_t done = 0; done < len && err == 0; done += CHUNK) {
        struct iovec iov = {zero, MIN(len - done, (uint64_t)CHUNK)};
        err = block_raw_write(f, offset + done, &iov, 1, sync);
    }
    g_free(zero);
    return err;
}

int block_raw_zero(BlockRaw *f, uint64_t offset, uint64_t len, bool sync)
{
    uint64_t range[2] = {offset, len};
    int err;

    if (f->read_only) {
        return EROFS;
    }
    if (f->written != NULL) {
        err = punch(f->fd_overlay, offset, len);
        if (err == 0) {
            mark_written(f, offset, len);
        }
    } else if (f->is_device) {
        err = ioctl(f->fd, BLKZEROOUT, range) == 0 ? 0 : errno;
    } else {
        err = punch(f->fd, offset, len);
    }
    if (unsupported(err)) {
        return write_zeroes_by_hand(f, offset, len, sync);
    }
    return err == 0 && sync ? block_raw_flush(f) : err;
}
