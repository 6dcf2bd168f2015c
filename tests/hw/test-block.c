/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The raw block back end on temporary files. */
#include "hw/block.h"

#include "softmmu/base/bits.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir, *path;
static GMainContext *context;

static void run_locked(void *machine, void (*fn)(void *), void *arg)
{
    ++*(unsigned *)machine;
    fn(arg);
}

static unsigned n_locked;

static void make_image(const void *content, size_t len)
{
    ck_assert(g_file_set_contents(path, content, (gssize)len, NULL));
}

static void setup(void)
{
    dir = g_dir_make_tmp("metaphrase-test-XXXXXX", NULL);
    path = g_build_filename(dir, "disk.img", NULL);
    context = g_main_context_new();
}

static void teardown(void)
{
    unlink(path);
    rmdir(dir);
    g_free(path);
    g_free(dir);
    g_main_context_unref(context);
}

static BlockBackend *open_with(BlockOptions o, GError **error)
{
    o.filename = o.filename != NULL ? o.filename : path;
    return block_open(&o, context, run_locked, &n_locked, error);
}

static BlockBackend *open_ok(BlockOptions o)
{
    GError *error = NULL;
    BlockBackend *b = open_with(o, &error);

    ck_assert_msg(b != NULL, "%s", error != NULL ? error->message : "no message");
    return b;
}

static void open_fails(BlockOptions o, const char *needle)
{
    GError *error = NULL;

    ck_assert_ptr_null(open_with(o, &error));
    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error->message, needle) != NULL, "'%s' lacks '%s'", error->message, needle);
    ck_assert_msg(strchr(error->message, '\n') == NULL, "more than one line");
    g_error_free(error);
}

typedef struct {
    unsigned n;
    int err;
} Result;

static void done(BlockRequest *r, int err)
{
    Result *res = r->arg;

    res->n++;
    res->err = err;
}

/* Submit and wait for completion through the main context. */
static int run(BlockBackend *b, BlockOp op, uint64_t offset, void *buf, uint64_t len)
{
    Result res = {0};
    struct iovec iov = {buf, len};
    BlockRequest r = {.op = op, .offset = offset, .len = len, .iov = &iov, .n_iov = 1,
                      .done = done, .arg = &res};

    block_submit(b, &r);
    ck_assert_uint_eq(res.n, 0); /* never from inside block_submit */
    while (res.n == 0) {
        g_main_context_iteration(context, TRUE);
    }
    ck_assert_uint_eq(res.n, 1);
    return res.err;
}

static uint8_t *file_bytes(size_t *len)
{
    char *p = NULL;

    ck_assert(g_file_get_contents(path, &p, len, NULL));
    return (uint8_t *)p;
}

/* -- Reading and writing ------------------------------------------------------------------------- */

static const int cache_modes[] = {CACHE_WRITEBACK, CACHE_NONE, CACHE_WRITETHROUGH, CACHE_DIRECTSYNC,
                                  CACHE_UNSAFE};

START_TEST(every_cache_mode_reads_back_what_it_wrote)
{
    static uint8_t zero[65536];
    uint8_t *out, *in;
    BlockOptions o = {.cache = cache_modes[_i]};
    GError *error = NULL;

    ck_assert_int_eq(posix_memalign((void **)&out, 4096, 16384), 0);
    ck_assert_int_eq(posix_memalign((void **)&in, 4096, 16384), 0);
    make_image(zero, sizeof zero);
    BlockBackend *b = open_with(o, &error);
    if (b == NULL) { /* a file system without O_DIRECT */
        ck_assert(strstr(error->message, "page cache") != NULL);
        g_error_free(error);
        free(in);
        free(out);
        return;
    }
    static const struct { uint64_t off, len, skew; } c[] = {
        {0, 4096, 0}, {8192, 8192, 0}, {512, 512, 0}, {4096, 1536, 0}, {20480, 4096, 8},
        {65536 - 512, 512, 0}, {65536 - 4096, 4096, 0},
    };
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        for (unsigned k = 0; k < c[i].len; k++) {
            out[c[i].skew + k] = (uint8_t)(k * 7 + i);
        }
        ck_assert_int_eq(run(b, BLOCK_WRITE, c[i].off, out + c[i].skew, c[i].len), 0);
        ck_assert_int_eq(run(b, BLOCK_FLUSH, 0, NULL, 0), 0);
        ck_assert_int_eq(run(b, BLOCK_READ, c[i].off, in, c[i].len), 0);
        ck_assert_mem_eq(in, out + c[i].skew, c[i].len);
    }
    ck_assert_uint_eq(block_stats(b).wr_ops, ARRAY_LEN(c));
    ck_assert_uint_eq(block_stats(b).flush_ops, ARRAY_LEN(c));
    ck_assert_uint_eq(block_stats(b).errors, 0);
    block_close(b);
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_size, 65536);
    free(in);
    free(out);
}
END_TEST

START_TEST(a_partial_last_sector_reads_as_zeroes_and_grows_when_written)
{
    uint8_t buf[1024];
    size_t len;

    memset(buf, 0xaa, sizeof buf);
    make_image(buf, 700);
    BlockBackend *b = open_ok((BlockOptions){0});
    ck_assert_uint_eq(block_size(b), 1024);
    ck_assert_int_eq(run(b, BLOCK_READ, 0, buf, 1024), 0);
    ck_assert_uint_eq(buf[699], 0xaa);
    for (unsigned i = 700; i < 1024; i++) {
        ck_assert_uint_eq(buf[i], 0);
    }
    memset(buf, 0x55, 512);
    ck_assert_int_eq(run(b, BLOCK_WRITE, 512, buf, 512), 0);
    block_close(b);
    uint8_t *p = file_bytes(&len);
    ck_assert_uint_eq(len, 1024);
    ck_assert_uint_eq(p[1023], 0x55);
    g_free(p);
}
END_TEST

START_TEST(requests_outside_the_image_or_between_sectors_fail)
{
    static uint8_t buf[4096];
    static const struct { uint64_t off, len; } bad[] = {
        {4096, 512}, {3584, 1024}, {UINT64_MAX - 511, 512}, {1, 512}, {0, 100},
    };

    make_image(buf, sizeof buf);
    BlockBackend *b = open_ok((BlockOptions){0});
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        ck_assert_int_ne(run(b, BLOCK_READ, bad[i].off, buf, bad[i].len), 0);
        ck_assert_int_ne(run(b, BLOCK_WRITE, bad[i].off, buf, bad[i].len), 0);
        ck_assert_int_ne(run(b, BLOCK_WRITE_ZEROES, bad[i].off, NULL, bad[i].len), 0);
    }
    ck_assert_uint_eq(block_stats(b).errors, 3 * ARRAY_LEN(bad));
    ck_assert_int_eq(block_pread(b, 0, buf, 4096), 0);
    block_close(b);
}
END_TEST

START_TEST(a_truncated_file_is_an_io_error_not_zeroes)
{
    static uint8_t buf[8192];

    make_image(buf, sizeof buf);
    BlockBackend *b = open_ok((BlockOptions){0});
    ck_assert_int_eq(truncate(path, 4096), 0);
    ck_assert_int_eq(run(b, BLOCK_READ, 4096, buf, 512), EIO);
    block_close(b);
}
END_TEST

START_TEST(zeroing_and_discarding_keep_the_length)
{
    static uint8_t buf[65536];
    size_t len;

    memset(buf, 0x11, sizeof buf);
    make_image(buf, sizeof buf);
    BlockBackend *b = open_ok((BlockOptions){0});
    ck_assert_int_eq(run(b, BLOCK_WRITE_ZEROES, 4096, NULL, 8192 + 512), 0);
    ck_assert_int_eq(run(b, BLOCK_DISCARD, 65536 - 4096, NULL, 4096), 0);
    block_close(b);
    uint8_t *p = file_bytes(&len);
    ck_assert_uint_eq(len, sizeof buf);
    for (unsigned i = 4096; i < 4096 + 8192 + 512; i++) {
        ck_assert_uint_eq(p[i], 0);
    }
    ck_assert_uint_eq(p[4095], 0x11);
    ck_assert_uint_eq(p[4096 + 8192 + 512], 0x11);
    g_free(p);
}
END_TEST

START_TEST(an_empty_image_opens)
{
    make_image("", 0);
    BlockBackend *b = open_ok((BlockOptions){0});
    ck_assert_uint_eq(block_size(b), 0);
    ck_assert_int_ne(run(b, BLOCK_READ, 0, (uint8_t[512]){0}, 512), 0);
    block_close(b);
}
END_TEST

/* -- Snapshots ----------------------------------------------------------------------------------- */

START_TEST(a_snapshot_shows_its_writes_and_leaves_the_image_alone)
{
    static uint8_t base[16384], buf[16384], want[16384];
    size_t len;

    memset(base, 0x33, sizeof base);
    memcpy(want, base, sizeof want);
    make_image(base, sizeof base);
    ck_assert_int_eq(chmod(path, 0444), 0);
    BlockBackend *b = open_ok((BlockOptions){.snapshot = true});
    ck_assert(!block_read_only(b));
    memset(buf, 0x44, 1024);
    memset(want + 512, 0x44, 1024);
    ck_assert_int_eq(run(b, BLOCK_WRITE, 512, buf, 1024), 0);
    memset(want + 8192, 0, 512);
    ck_assert_int_eq(run(b, BLOCK_WRITE_ZEROES, 8192, NULL, 512), 0);
    ck_assert_int_eq(run(b, BLOCK_FLUSH, 0, NULL, 0), 0);
    ck_assert_int_eq(run(b, BLOCK_READ, 0, buf, sizeof buf), 0);
    ck_assert_mem_eq(buf, want, sizeof want);
    block_close(b);
    uint8_t *p = file_bytes(&len);
    ck_assert_uint_eq(len, sizeof base);
    ck_assert_mem_eq(p, base, sizeof base);
    g_free(p);
}
END_TEST

/* -- Locks and errors ---------------------------------------------------------------------------- */

START_TEST(writers_exclude_everybody_and_readers_share)
{
    static const struct { bool first_ro, first_snap, second_ro, no_lock, ok; } c[] = {
        {false, false, false, false, false}, {false, false, true, false, false},
        {true, false, false, false, false},  {true, false, true, false, true},
        {false, true, true, false, true},    {false, false, false, true, true},
    };
    make_image("x", 1);
    BlockBackend *a = open_ok((BlockOptions){.read_only = c[_i].first_ro,
                                             .snapshot = c[_i].first_snap});
    BlockOptions second = {.read_only = c[_i].second_ro, .no_lock = c[_i].no_lock};
    if (c[_i].ok) {
        block_close(open_ok(second));
    } else {
        open_fails(second, "another process is using it");
    }
    block_close(a);
    block_close(open_ok(second)); /* the lock went with its owner */
}
END_TEST

START_TEST(bad_images_are_refused_in_one_line)
{
    open_fails((BlockOptions){0}, "disk.img': No such file");
    open_fails((BlockOptions){.filename = dir}, "directory");
    open_fails((BlockOptions){.filename = "/dev/null"}, "neither a file nor a block device");
    make_image("QFI\xfb....", 8);
    open_fails((BlockOptions){0}, "qcow2");
    block_close(open_ok((BlockOptions){.format = "raw"}));
    open_fails((BlockOptions){.format = "vmdk"}, "vmdk");
    if (geteuid() != 0) {
        ck_assert_int_eq(chmod(path, 0444), 0);
        open_fails((BlockOptions){.format = "raw"}, "readonly=on");
        ck_assert_int_eq(chmod(path, 0), 0);
        open_fails((BlockOptions){.format = "raw", .read_only = true}, "Permission denied");
    }
}
END_TEST

START_TEST(writing_a_read_only_image_fails_and_is_counted)
{
    static uint8_t buf[512];

    make_image(buf, 512);
    BlockBackend *b = open_ok((BlockOptions){.read_only = true});
    ck_assert(block_read_only(b));
    ck_assert_int_eq(run(b, BLOCK_WRITE, 0, buf, 512), EROFS);
    ck_assert_int_eq(run(b, BLOCK_DISCARD, 0, NULL, 512), EROFS);
    ck_assert_int_eq(run(b, BLOCK_FLUSH, 0, NULL, 0), 0);
    ck_assert_uint_eq(block_stats(b).errors, 2);
    block_close(b);
}
END_TEST

/* -- Drain and cancel ---------------------------------------------------------------------------- */

START_TEST(cancel_gives_back_only_its_own_requests)
{
    static uint8_t buf[8][512];
    Result mine = {0}, other = {0};
    BlockRequest r[8];
    struct iovec iov[8];

    make_image(buf, sizeof buf);
    BlockBackend *b = open_ok((BlockOptions){0});
    for (unsigned i = 0; i < 8; i++) {
        iov[i] = (struct iovec){buf[i], 512};
        r[i] = (BlockRequest){.op = BLOCK_WRITE, .offset = i * 512, .len = 512, .iov = &iov[i],
                              .n_iov = 1, .done = done, .arg = i % 2 ? &mine : &other};
        block_submit(b, &r[i]);
    }
    block_cancel(b, &mine);
    ck_assert_uint_eq(block_stats(b).wr_ops, 8);
    while (g_main_context_iteration(context, FALSE)) {
    }
    ck_assert_uint_eq(mine.n, 0);
    ck_assert_uint_eq(other.n, 4);
    for (unsigned i = 0; i < 8; i++) {
        block_submit(b, &r[i]);
    }
    block_drain(b);
    ck_assert_uint_eq(block_stats(b).wr_ops, 16);
    ck_assert_uint_eq(other.n, 4);
    block_close(b); /* done is not called */
    ck_assert_uint_eq(other.n, 4);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("block");
    TCase *tc = tcase_create("raw");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, every_cache_mode_reads_back_what_it_wrote, 0, ARRAY_LEN(cache_modes));
    tcase_add_test(tc, a_partial_last_sector_reads_as_zeroes_and_grows_when_written);
    tcase_add_test(tc, requests_outside_the_image_or_between_sectors_fail);
    tcase_add_test(tc, a_truncated_file_is_an_io_error_not_zeroes);
    tcase_add_test(tc, zeroing_and_discarding_keep_the_length);
    tcase_add_test(tc, an_empty_image_opens);
    tcase_add_test(tc, a_snapshot_shows_its_writes_and_leaves_the_image_alone);
    tcase_add_loop_test(tc, writers_exclude_everybody_and_readers_share, 0, 6);
    tcase_add_test(tc, bad_images_are_refused_in_one_line);
    tcase_add_test(tc, writing_a_read_only_image_fails_and_is_counted);
    tcase_add_test(tc, cancel_gives_back_only_its_own_requests);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
