/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/chardev-backends.h"

#include <check.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* -- A front end that remembers ---------------------------------------------------------------- */

typedef struct {
    size_t room;
    GString *got;
    int opened, closed, breaks;
} Front;

static size_t front_room(void *arg) { return ((Front *)arg)->room; }

static void front_read(void *arg, const uint8_t *buf, size_t len)
{
    Front *f = arg;

    ck_assert_uint_le(len, f->room);
    f->room -= len;
    g_string_append_len(f->got, (const char *)buf, (gssize)len);
}

static void front_event(void *arg, CharEvent e)
{
    Front *f = arg;

    f->opened += e == CHAR_OPENED;
    f->closed += e == CHAR_CLOSED;
    f->breaks += e == CHAR_BREAK;
}

static void front_attach(Front *f, Chardev *c, size_t room)
{
    *f = (Front){.room = room, .got = g_string_new(NULL)};
    chardev_attach(c, &(CharHandlers){.arg = f, .can_read = front_room, .read = front_read,
                                      .event = front_event});
}

static void front_clear(Front *f)
{
    g_string_free(f->got, TRUE);
}

/* Dispatch what is ready, without waiting. */
static void settle(GMainContext *context)
{
    while (g_main_context_iteration(context, FALSE)) {
    }
}

/* -- Ring buffer ------------------------------------------------------------------------------- */

START_TEST(a_ring_buffer_keeps_the_last_bytes)
{
    Chardev *c = chardev_ringbuf_new("r", 8);
    uint8_t buf[16];

    chardev_write(c, "0123456789", 10);
    ck_assert_uint_eq(chardev_ringbuf_read(c, buf, 3), 3);
    ck_assert_mem_eq(buf, "234", 3);
    chardev_write(c, "ab", 2);
    ck_assert_uint_eq(chardev_ringbuf_read(c, buf, 16), 7);
    ck_assert_mem_eq(buf, "56789ab", 7);
    chardev_free(c);
}
END_TEST

/* -- File, pty --------------------------------------------------------------------------------- */

START_TEST(a_file_takes_output_and_an_unwritable_one_is_named)
{
    g_autofree char *dir = g_dir_make_tmp("metaphrase-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "out", NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    GMainContext *context = g_main_context_new();
    Chardev *c = chardev_file_new("f", path, false, context, &error);

    ck_assert_ptr_nonnull(c);
    chardev_write(c, "hello", 5);
    chardev_free(c);
    ck_assert(g_file_get_contents(path, &text, NULL, NULL));
    ck_assert_str_eq(text, "hello");
    ck_assert_ptr_null(chardev_file_new("f", dir, false, context, &error));
    ck_assert(strstr(error->message, dir) != NULL);
    g_main_context_unref(context);
    g_unlink(path);
    g_rmdir(dir);
}
END_TEST

START_TEST(input_waits_in_the_host_until_the_front_end_has_room)
{
    GMainContext *context = g_main_context_new();
    Chardev *c = chardev_pty_new("p", context, NULL);
    int fd = open(c->label + strlen("pty:"), O_RDWR | O_NOCTTY);
    char buf[16];
    Front f;

    ck_assert_int_ge(fd, 0);
    front_attach(&f, c, 2);
    ck_assert_int_eq(write(fd, "abcdef", 6), 6);
    settle(context);
    ck_assert_str_eq(f.got->str, "ab");
    f.room = 3;
    chardev_accept_input(c);
    settle(context);
    ck_assert_str_eq(f.got->str, "abcde");
    chardev_write(c, "out", 3);
    ck_assert_int_eq(read(fd, buf, sizeof buf), 3);
    chardev_free(c);
    close(fd);
    front_clear(&f);
    g_main_context_unref(context);
}
END_TEST

/* -- Socket ------------------------------------------------------------------------------------ */

static int connect_to(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    g_strlcpy(a.sun_path, path, sizeof a.sun_path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

START_TEST(a_server_socket_serves_one_client_after_another)
{
    g_autofree char *dir = g_dir_make_tmp("metaphrase-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "sock", NULL);
    GMainContext *context = g_main_context_new();
    ChardevSocketOptions o = {.path = path, .server = true};
    Chardev *c = chardev_socket_new("s", &o, context, NULL);
    char buf[16];
    Front f;

    ck_assert_ptr_nonnull(c);
    front_attach(&f, c, 100);
    chardev_write(c, "lost", 4);                /* nobody there */
    for (int i = 1; i <= 2; i++) {
        int fd = connect_to(path);
        settle(context);
        ck_assert_int_eq(f.opened, i);
        ck_assert_int_eq(write(fd, "x", 1), 1);
        settle(context);
        chardev_write(c, "hi", 2);
        ck_assert_int_eq(read(fd, buf, sizeof buf), 2);
        close(fd);
        settle(context);
        ck_assert_int_eq(f.closed, i);
    }
    ck_assert_str_eq(f.got->str, "xx");
    chardev_free(c);
    ck_assert(!g_file_test(path, G_FILE_TEST_EXISTS));
    g_rmdir(dir);
    front_clear(&f);
    g_main_context_unref(context);
}
END_TEST

START_TEST(a_client_without_a_server_fails_and_names_the_socket)
{
    ChardevSocketOptions o = {.path = "/nonexistent/sock"};
    g_autoptr(GError) error = NULL;

    ck_assert_ptr_null(chardev_socket_new("s", &o, NULL, &error));
    ck_assert(strstr(error->message, "/nonexistent/sock") != NULL);
}
END_TEST

/* -- Mux --------------------------------------------------------------------------------------- */

typedef struct {
    Chardev *inner, *a, *b;
    Front fa, fb;
    int quits;
} MuxFixture;

static void count_quit(void *arg) { (*(int *)arg)++; }

static void mux_make(MuxFixture *x)
{
    CharMux *m;

    x->quits = 0;
    x->inner = chardev_ringbuf_new("term", 4096);
    m = char_mux_new(x->inner, &(CharMuxHooks){.arg = &x->quits, .quit = count_quit});
    x->a = char_mux_front(m);
    x->b = char_mux_front(m);
    front_attach(&x->fa, x->a, 100);
    front_attach(&x->fb, x->b, 100);
}

static void mux_clear(MuxFixture *x)
{
    chardev_free(x->a);
    chardev_free(x->b);                          /* frees the mux and what is under it */
    front_clear(&x->fa);
    front_clear(&x->fb);
}

static void type(MuxFixture *x, const char *text)
{
    chardev_deliver(x->inner, (const uint8_t *)text, strlen(text));
}

START_TEST(ctrl_a_c_moves_the_input_and_ctrl_a_ctrl_a_is_ctrl_a)
{
    MuxFixture x;

    mux_make(&x);
    type(&x, "one\001ctwo\001cthree\001\001");
    ck_assert_str_eq(x.fa.got->str, "onethree\001");
    ck_assert_str_eq(x.fb.got->str, "two");
    mux_clear(&x);
}
END_TEST

START_TEST(ctrl_a_x_quits_also_when_the_guest_reads_nothing)
{
    MuxFixture x;

    mux_make(&x);
    x.fa.room = 0;
    type(&x, "ignored");
    type(&x, "\001");
    type(&x, "x");
    ck_assert_int_eq(x.quits, 1);
    ck_assert_str_eq(x.fa.got->str, "");
    x.fa.room = 100;
    chardev_accept_input(x.a);
    ck_assert_str_eq(x.fa.got->str, "ignored");
    mux_clear(&x);
}
END_TEST

START_TEST(ctrl_a_b_breaks_and_ctrl_a_h_helps)
{
    MuxFixture x;
    uint8_t out[1024];
    size_t n;

    mux_make(&x);
    type(&x, "\001b\001h");
    ck_assert_int_eq(x.fa.breaks, 1);
    ck_assert_int_eq(x.fb.breaks, 0);
    n = chardev_ringbuf_read(x.inner, out, sizeof out - 1);
    out[n] = '\0';
    ck_assert(strstr((char *)out, "Ctrl-A x") != NULL);
    mux_clear(&x);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("chardev-backends");
    TCase *t = tcase_create("back ends");
    SRunner *r = srunner_create(s);
    int failed;

    tcase_add_test(t, a_ring_buffer_keeps_the_last_bytes);
    tcase_add_test(t, a_file_takes_output_and_an_unwritable_one_is_named);
    tcase_add_test(t, input_waits_in_the_host_until_the_front_end_has_room);
    tcase_add_test(t, a_server_socket_serves_one_client_after_another);
    tcase_add_test(t, a_client_without_a_server_fails_and_names_the_socket);
    tcase_add_test(t, ctrl_a_c_moves_the_input_and_ctrl_a_ctrl_a_is_ctrl_a);
    tcase_add_test(t, ctrl_a_x_quits_also_when_the_guest_reads_nothing);
    tcase_add_test(t, ctrl_a_b_breaks_and_ctrl_a_h_helps);
    suite_add_tcase(s, t);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
