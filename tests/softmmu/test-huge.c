/* SPDX-License-Identifier: GPL-2.0-or-later */
/* softmmu/base/huge.c: memory in huge pages of the host, and without where it has none. */
#include "softmmu/base/huge.h"

#include "softmmu/apart.h"
#include "tests/suite.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 2, LEN = PAGES * HUGE_PAGE_SIZE, SMALL = 4096 };

static uint8_t *memory;

static void set_up(void)
{
    int fd = memfd_create("test-huge", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, LEN), 0);
    memory = map_apart(LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    ck_assert_ptr_ne(memory, MAP_FAILED);
    close(fd);
}

static void tear_down(void)
{
    munmap(memory, LEN);
}

/* How many small pages of the first `len` bytes the host has. */
static unsigned present(size_t len)
{
    unsigned char has[LEN / SMALL];
    unsigned n = 0;

    ck_assert_int_eq(mincore(memory, len, has), 0);
    for (unsigned i = 0; i < len / SMALL; i++) {
        n += has[i] & 1;
    }
    return n;
}

static bool has_huge_pages(void *at)
{
    HugePages h = {.trust = HUGE_TRUST};

    if (make_present_huge(&h, at)) {
        return true;
    }
    fprintf(stderr, "this host gives no huge pages: what it gives is not looked at\n");
    return false;
}

START_TEST(memory_comes_as_one_page_and_keeps_what_is_in_it)
{
    HugePages h = {.trust = HUGE_TRUST};

    memory[HUGE_PAGE_SIZE + 5 * SMALL] = 0x5a;
    if (!has_huge_pages(memory)) {
        return;
    }
    ck_assert(make_present_huge(&h, memory + HUGE_PAGE_SIZE));
    ck_assert_uint_eq(present(LEN), LEN / SMALL);
    ck_assert_uint_eq(memory[HUGE_PAGE_SIZE + 5 * SMALL], 0x5a);
    ck_assert_uint_eq(memory[HUGE_PAGE_SIZE + 6 * SMALL], 0);
    ck_assert_uint_eq(h.made, 1);
    ck_assert_uint_eq(h.trust, HUGE_TRUST);
}
END_TEST

START_TEST(who_is_not_to_ask_does_not)
{
    HugePages h = {.trust = 0};

    ck_assert(!make_present_huge(&h, memory));
    ck_assert_uint_eq(present(LEN), 0);
    ck_assert_uint_eq(h.made, 0);
}
END_TEST

START_TEST(what_is_not_aligned_is_not_asked_for_and_costs_no_trust)
{
    HugePages h = {.trust = HUGE_TRUST};

    ck_assert(!make_present_huge(&h, memory + SMALL));
    ck_assert_uint_eq(present(LEN), 0);
    ck_assert_uint_eq(h.trust, HUGE_TRUST);
}
END_TEST

START_TEST(a_host_that_refuses_is_not_asked_for_ever)
{
    HugePages h = {.trust = HUGE_TRUST};

    if (!has_huge_pages(memory + HUGE_PAGE_SIZE)) {
        return; /* it has been asked once, then */
    }
    munmap(memory + HUGE_PAGE_SIZE, HUGE_PAGE_SIZE);
    for (unsigned i = 0; i < 2 * HUGE_TRUST && h.trust != 0; i++) {
        ck_assert(!make_present_huge(&h, memory + HUGE_PAGE_SIZE));
        ck_assert_uint_eq(h.trust, HUGE_TRUST - 1 - i);
    }
    ck_assert_uint_eq(h.trust, 0);
    ck_assert(!make_present_huge(&h, memory));
    ck_assert_uint_eq(present(HUGE_PAGE_SIZE), 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("softmmu/base/huge");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, memory_comes_as_one_page_and_keeps_what_is_in_it);
    tcase_add_test(t, who_is_not_to_ask_does_not);
    tcase_add_test(t, what_is_not_aligned_is_not_asked_for_and_costs_no_trust);
    tcase_add_test(t, a_host_that_refuses_is_not_asked_for_ever);
    suite_add_tcase(s, t);
    return s;
}
