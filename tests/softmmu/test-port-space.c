/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/port-space.c and the splitting of softmmu/bus.c. */
#include "softmmu/port-space.h"

#include "softmmu/base/bits.h"
#include "tests/suite.h"

#include <stdio.h>

typedef struct {
    char log[256];
} Recorder;

static uint64_t rec_read(void *arg, uint64_t off, unsigned size)
{
    Recorder *r = arg;
    size_t n = strlen(r->log);

    snprintf(r->log + n, sizeof r->log - n, "r%u@%u ", size, (unsigned)off);
    return 0x10 + off;
}

static void rec_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Recorder *r = arg;
    size_t n = strlen(r->log);

    snprintf(r->log + n, sizeof r->log - n, "w%u@%u=%x ", size, (unsigned)off, (unsigned)val);
}

static const BusOps byte_ops = {rec_read, rec_write, 1};
static const BusOps word_ops = {rec_read, rec_write, 2};
static const BusOps dword_ops = {rec_read, rec_write, 4};

static Lock lock;
static PortSpace *ps;
static Recorder rec;

static void set_up(void)
{
    lock_init(&lock, LOCK_RANK_MACHINE);
    ps = port_space_new(&lock);
    rec = (Recorder){""};
}

static void tear_down(void)
{
    port_space_free(ps);
    lock_clear(&lock);
}

START_TEST(unclaimed_ports_read_as_ones)
{
    ck_assert_uint_eq(port_read(ps, 0x80, 1), 0xff);
    ck_assert_uint_eq(port_read(ps, 0xffff, 1), 0xff);
    ck_assert_uint_eq(port_read(ps, 0x1f0, 4), 0xffffffff);
    port_write(ps, 0x80, 4, 1);
}
END_TEST

static const struct {
    const BusOps *ops;
    uint16_t port;
    unsigned size;
    const char *want;
} splits[] = {
    {&byte_ops, 0x100, 1, "w1@0=44 "},
    {&byte_ops, 0x100, 4, "w1@0=44 w1@1=33 w1@2=22 w1@3=11 "},
    {&word_ops, 0x100, 4, "w2@0=3344 w2@2=1122 "},
    {&word_ops, 0x101, 4, "w1@1=44 w2@2=2233 w1@4=11 "},
    {&dword_ops, 0x104, 4, "w4@4=11223344 "},
    {&dword_ops, 0x102, 4, "w2@2=3344 w2@4=1122 "},
};

START_TEST(accesses_are_split_to_what_the_device_takes)
{
    port_map(ps, 0x100, 16, splits[_i].ops, &rec, "rec");
    port_write(ps, splits[_i].port, splits[_i].size, 0x11223344);
    ck_assert_str_eq(rec.log, splits[_i].want);
}
END_TEST

START_TEST(an_access_across_the_end_of_a_window_reaches_both_sides)
{
    Recorder other = {""};

    port_map(ps, 0x100, 2, &dword_ops, &rec, "low");
    port_map(ps, 0x102, 1, &dword_ops, &other, "high");
    ck_assert_uint_eq(port_read(ps, 0x100, 4), 0xff101110);
    ck_assert_str_eq(rec.log, "r1@0 r1@1 ");
    ck_assert_str_eq(other.log, "r1@0 ");
    ck_assert_uint_eq(port_read(ps, 0xffff, 2), 0xffff);
}
END_TEST

START_TEST(the_window_mapped_last_answers_and_unmapping_uncovers)
{
    Recorder other = {""};
    PortWindow *w;

    port_map(ps, 0x100, 8, &byte_ops, &rec, "under");
    w = port_map(ps, 0x102, 2, &byte_ops, &other, "over");
    port_read(ps, 0x103, 1);
    ck_assert_str_eq(other.log, "r1@1 ");
    port_unmap(ps, w);
    port_read(ps, 0x103, 1);
    ck_assert_str_eq(rec.log, "r1@3 ");
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("softmmu/port-space");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, unclaimed_ports_read_as_ones);
    tcase_add_loop_test(t, accesses_are_split_to_what_the_device_takes, 0, ARRAY_LEN(splits));
    tcase_add_test(t, an_access_across_the_end_of_a_window_reaches_both_sides);
    tcase_add_test(t, the_window_mapped_last_answers_and_unmapping_uncovers);
    suite_add_tcase(s, t);
    return s;
}
