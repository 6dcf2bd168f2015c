/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-console with several ports, and virtio-rng. */
#include "hw/virtio-console.h"
#include "hw/virtio-rng.h"
#include "tests/hw/virtio-driver.h"

#include <unistd.h>

enum { MULTIPORT = 1 << 1, CONTROL_RX = 2, CONTROL_TX = 3, SLOT = 256 };
enum { DEVICE_READY, PORT_ADD, PORT_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME };

static Driver d;

/* -- A character device that remembers ----------------------------------------------------------- */

typedef struct {
    Chardev c;
    char out[256];
    size_t out_len;
    const char *waiting;           /* input that the guest has not taken */
} FakeChardev;

static void fake_write(Chardev *c, const uint8_t *buf, size_t len)
{
    FakeChardev *f = (FakeChardev *)c;

    ck_assert_uint_le(f->out_len + len, sizeof f->out);
    memcpy(f->out + f->out_len, buf, len);
    f->out_len += len;
}

static void fake_accept(Chardev *c)
{
    FakeChardev *f = (FakeChardev *)c;

    if (f->waiting != NULL && *f->waiting != 0) {
        f->waiting += chardev_deliver(c, (const uint8_t *)f->waiting, strlen(f->waiting));
    }
}

static void fake_destroy(Chardev *c) { }

static const ChardevClass fake_class = {.name = "fake", .write = fake_write,
                                        .accept_input = fake_accept, .destroy = fake_destroy};

static FakeChardev chr[3];

static void begin(DriverKind kind)
{
    static const VirtioConsolePort ports[] = {{.chr = &chr[0].c, .console = true},
                                              {.chr = &chr[1].c, .name = "org.test.1"},
                                              {.chr = &chr[2].c, .console = true}};

    for (unsigned i = 0; i < 3; i++) {
        chr[i] = (FakeChardev){.c = {.cls = &fake_class, .open = i == 1}};
    }
    driver_machine(&d, kind);
    driver_plug(&d, virtio_console_new(d.mem, ports, 3));
}

static void finish(void)
{
    driver_end(&d);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_ptr_null(chr[i].c.front.read);
    }
}

/* -- Driver side --------------------------------------------------------------------------------- */

static uint64_t slot(unsigned q, unsigned i) { return DRIVER_BUFFERS + q * 0x10000 + i * SLOT; }

static void give_buffers(unsigned q, unsigned n, unsigned len)
{
    for (unsigned i = 0; i < n; i++) {
        driver_add(&d, q, (DriverBuffer[]){{slot(q, d.q[q].next_desc), len, true}}, 1, 0);
    }
    driver_kick(&d, q);
}

/* The next received message, as a string in a static buffer; NULL when there is none. */
static const char *receive(unsigned q, uint32_t *len)
{
    static char text[SLOT + 1];
    uint32_t id;

    if (!driver_used(&d, q, &id, len)) {
        return NULL;
    }
    memcpy(text, d.mem->base + slot(q, id), *len);
    text[*len] = 0;
    return text;
}

static void send_bytes(unsigned q, const void *buf, uint32_t len)
{
    memcpy(d.mem->base + slot(q, 0), buf, len);
    driver_add(&d, q, (DriverBuffer[]){{slot(q, 0), len}}, 1, 0);
    driver_kick(&d, q);
}

static void send_control(uint32_t port, unsigned event, unsigned value)
{
    uint8_t m[8];

    store_le(m, 4, port);
    store_le(m + 4, 2, event);
    store_le(m + 6, 2, value);
    send_bytes(CONTROL_TX, m, sizeof m);
}

static void expect_control(uint32_t port, unsigned event, unsigned value, const char *name)
{
    uint32_t len;
    const char *m = receive(CONTROL_RX, &len);

    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(load_le(m, 4), port);
    ck_assert_uint_eq(load_le(m + 4, 2), event);
    ck_assert_uint_eq(load_le(m + 6, 2), value);
    ck_assert_str_eq(m + 8, name != NULL ? name : "");
}

START_TEST(ports_are_announced_opened_and_named)
{
    uint32_t len;

    begin(_i);
    driver_start(&d, MULTIPORT);
    ck_assert_uint_eq(driver_config(&d, 4, 4), 3);
    send_control(0, DEVICE_READY, 1);              /* the answers wait for buffers */
    give_buffers(CONTROL_RX, 8, SLOT);
    for (unsigned i = 0; i < 3; i++) {
        expect_control(i, PORT_ADD, 1, NULL);
    }
    send_control(0, PORT_READY, 1);
    expect_control(0, CONSOLE_PORT, 1, NULL);
    send_control(1, PORT_READY, 1);
    expect_control(1, PORT_NAME, 1, "org.test.1");
    expect_control(1, PORT_OPEN, 1, NULL);         /* its peer is there already */
    chardev_event(&chr[2].c, CHAR_OPENED);
    expect_control(2, PORT_OPEN, 1, NULL);
    send_control(77, PORT_READY, 1);               /* no such port */
    ck_assert_ptr_null(receive(CONTROL_RX, &len));
    finish();
}
END_TEST

START_TEST(data_flows_both_ways_when_the_port_is_open)
{
    uint32_t len;

    begin(_i);
    driver_start(&d, MULTIPORT);
    send_bytes(1, "to port 0", 9);                 /* queue 1: port 0 */
    send_bytes(5, "to port 1", 9);                 /* queue 5: port 1 */
    ck_assert_mem_eq(chr[0].out, "to port 0", 9);
    ck_assert_mem_eq(chr[1].out, "to port 1", 9);
    chr[1].waiting = "hello, guest";
    fake_accept(&chr[1].c);
    ck_assert_str_eq(chr[1].waiting, "hello, guest"); /* not open: waits in the host */
    give_buffers(4, 1, 5);
    send_control(1, PORT_OPEN, 1);
    ck_assert_str_eq(receive(4, &len), "hello");
    ck_assert_ptr_null(receive(4, &len));
    give_buffers(4, 1, 64);
    ck_assert_str_eq(receive(4, &len), ", guest"); /* nothing was lost */
    finish();
}
END_TEST

START_TEST(without_multiport_port_0_is_a_console)
{
    uint32_t len;

    begin(_i);
    driver_start(&d, 0);
    give_buffers(0, 2, 64);
    chr[0].waiting = "input";
    fake_accept(&chr[0].c);
    ck_assert_str_eq(receive(0, &len), "input");
    send_bytes(1, "out", 3);
    ck_assert_mem_eq(chr[0].out, "out", 3);
    driver_set_config(&d, 8, 4, '!');              /* emergency write */
    ck_assert_uint_eq(chr[0].out_len, 4);
    ck_assert_int_eq(chr[0].out[3], '!');
    finish();
}
END_TEST

START_TEST(a_driver_that_only_asks_costs_bounded_memory)
{
    uint32_t len;
    unsigned n = 0;

    begin(DRIVE_MODERN);
    driver_start(&d, MULTIPORT);
    for (unsigned i = 0; i < 1000; i++) {
        send_control(0, DEVICE_READY, 1);
    }
    for (unsigned i = 0; i < 100; i++) {
        give_buffers(CONTROL_RX, 4, SLOT);
        while (receive(CONTROL_RX, &len) != NULL) {
            n++;
        }
    }
    ck_assert_uint_eq(n, 256);
    device_reset(d.dev);
    device_reset(d.dev);
    finish();
}
END_TEST

/* -- Entropy ------------------------------------------------------------------------------------- */

START_TEST(entropy_fills_buffers)
{
    uint32_t id, len;
    static uint8_t zero[64];

    driver_machine(&d, _i);
    driver_plug(&d, virtio_rng_new(d.mem, NULL, NULL));
    driver_start(&d, 0);
    driver_add(&d, 0, (DriverBuffer[]){{DRIVER_BUFFERS, 32, true}, {DRIVER_BUFFERS + 32, 32, true}}, 2,
               0);
    driver_kick(&d, 0);
    ck_assert(driver_used(&d, 0, &id, &len));
    ck_assert_uint_eq(len, 64);
    ck_assert(memcmp(d.mem->base + DRIVER_BUFFERS, zero, 64) != 0);
    driver_add(&d, 0, (DriverBuffer[]){{DRIVER_BUFFERS, 0x100000, true}}, 1, 0);
    driver_kick(&d, 0);
    ck_assert(driver_used(&d, 0, &id, &len));
    ck_assert_uint_eq(len, 4096);                  /* a bounded helping */
    driver_add(&d, 0, (DriverBuffer[]){{DRIVER_BUFFERS, 16}}, 1, 0);
    driver_kick(&d, 0);
    ck_assert(driver_used(&d, 0, &id, &len));
    ck_assert_uint_eq(len, 0);
    driver_end(&d);
}
END_TEST

START_TEST(entropy_comes_from_a_file_when_one_is_named)
{
    char *path;
    uint32_t id, len;
    GError *error = NULL;
    int fd = g_file_open_tmp("metaphrase-rng-XXXXXX", &path, NULL);

    ck_assert_int_eq(write(fd, "not random", 10), 10);
    close(fd);
    driver_machine(&d, DRIVE_MODERN);
    ck_assert_ptr_null(virtio_rng_new(d.mem, "/nonexistent", &error));
    ck_assert_ptr_nonnull(strstr(error->message, "'/nonexistent'"));
    g_error_free(error);
    driver_plug(&d, virtio_rng_new(d.mem, path, NULL));
    driver_start(&d, 0);
    driver_add(&d, 0, (DriverBuffer[]){{DRIVER_BUFFERS, 64, true}}, 1, 0);
    driver_kick(&d, 0);
    ck_assert(driver_used(&d, 0, &id, &len));
    ck_assert_uint_eq(len, 10);
    ck_assert_mem_eq(d.mem->base + DRIVER_BUFFERS, "not random", 10);
    driver_end(&d);
    unlink(path);
    g_free(path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtio-console");
    TCase *tc = tcase_create("virtio-console");

    tcase_add_loop_test(tc, ports_are_announced_opened_and_named, 0, DRIVE_KINDS);
    tcase_add_loop_test(tc, data_flows_both_ways_when_the_port_is_open, 0, DRIVE_KINDS);
    tcase_add_loop_test(tc, without_multiport_port_0_is_a_console, 0, DRIVE_KINDS);
    tcase_add_test(tc, a_driver_that_only_asks_costs_bounded_memory);
    tcase_add_loop_test(tc, entropy_fills_buffers, 0, DRIVE_KINDS);
    tcase_add_test(tc, entropy_comes_from_a_file_when_one_is_named);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
