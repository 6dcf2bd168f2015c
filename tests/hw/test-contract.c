/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every device promises, tried on each row of contract-devices.c with a fixed seed. */
#include "tests/hw/contract.h"
#include "tests/hw/window.h"

#include <glib.h>

enum { SEED = 20260, N_ACCESSES = 6000, SAMPLE_LEN = 4096 };

static void reset_all(ContractEnv *env, Device *d)
{
    device_reset(d);
    for (unsigned i = 0; i < env->others->len; i++) {
        device_reset(g_ptr_array_index(env->others, i));
    }
}

/* -- Random use --------------------------------------------------------------------------------- */

static uint64_t random_value(GRand *rand)
{
    static const uint64_t corners[] = {0, 1, 0x80, 0xff, 0x8000, 0xffff, 0x80000000, 0xffffffff,
                                       INT64_MAX, UINT64_MAX};
    uint64_t v = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);

    return g_rand_int_range(rand, 0, 4) == 0
               ? corners[g_rand_int_range(rand, 0, G_N_ELEMENTS(corners))] : v;
}

/* A place for an access of `size`: mostly near the start, where registers are. */
static uint64_t random_offset(GRand *rand, uint64_t len, unsigned size)
{
    uint64_t span = g_rand_int_range(rand, 0, 8) != 0 ? MIN(len, 1024) : len;
    return ((uint64_t)g_rand_int(rand) % (span - size + 1));
}

static void use_randomly(ContractEnv *env, Device *d, GRand *rand, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        unsigned w = g_rand_int_range(rand, 0, d->cls->n_windows);
        uint64_t len = d->cls->windows[w].len;
        unsigned size = 1u << g_rand_int_range(rand, 0, 4);

        if (size > len) {
            size = 1;
        }
        uint64_t off = random_offset(rand, len, size);
        if (g_rand_int_range(rand, 0, 3) == 0) {
            uint64_t val = window_in(d, w, off, size);
            ck_assert_msg(size == 8 || val >> (size * 8) == 0, "value wider than the access");
        } else {
            window_out(d, w, off, size, random_value(rand));
        }
        if (g_rand_int_range(rand, 0, 32) == 0) {
            fake_clock_go(&env->clock, env->clock.ns + g_rand_int_range(rand, 0, 2000000));
        }
    }
}

/* Everything the guest can read, in order, effects and all. */
static GByteArray *read_all(Device *d)
{
    GByteArray *a = g_byte_array_new();

    for (unsigned w = 0; w < d->cls->n_windows; w++) {
        uint64_t len = MIN(d->cls->windows[w].len, SAMPLE_LEN);
        for (unsigned size = d->cls->windows[w].ops.max_size; size > 0; size >>= 1) {
            for (uint64_t off = 0; off + size <= len; off += size) {
                uint64_t val = window_in(d, w, off, size);
                g_byte_array_append(a, (const uint8_t *)&val, size);
            }
        }
    }
    return a;
}

static void assert_lines_low(const ContractEnv *env, const char *name)
{
    for (unsigned i = 0; i < CONTRACT_N_IRQS; i++) {
        ck_assert_msg(env->irq[i].level == 0, "%s: line %u is up after reset", name, i);
    }
}

static void assert_same(const GByteArray *a, const GByteArray *b, const char *name,
                        const char *what)
{
    ck_assert_uint_eq(a->len, b->len);
    for (unsigned i = 0; i < a->len; i++) {
        ck_assert_msg(a->data[i] == b->data[i], "%s: %s: byte %#x is %#x, not %#x", name, what, i,
                      a->data[i], b->data[i]);
    }
}

/* -- Tests -------------------------------------------------------------------------------------- */

START_TEST(reset_is_idempotent_and_total)
{
    const ContractRow *row = &contract_rows[_i];
    ContractEnv used_env, fresh_env;
    GRand *rand = g_rand_new_with_seed(SEED + _i);
    Device *used = contract_set_up(&used_env, row, 0);

    for (unsigned round = 0; round < 8; round++) {
        use_randomly(&used_env, used, rand, N_ACCESSES / 8);
        reset_all(&used_env, used);
        assert_lines_low(&used_env, row->name);
        lock_release(&used_env.lock);
        Device *fresh = contract_set_up(&fresh_env, row, used_env.clock.ns);
        reset_all(&fresh_env, fresh);
        reset_all(&fresh_env, fresh);
        assert_lines_low(&fresh_env, row->name);
        GByteArray *a = read_all(used), *b = read_all(fresh);
        if (!row->keeps_state) {
            assert_same(a, b, row->name, "after use and reset, against a fresh one");
        }
        g_byte_array_free(a, TRUE);
        g_byte_array_free(b, TRUE);
        contract_tear_down(&fresh_env, fresh);
        lock_take(&used_env.lock);
    }
    contract_tear_down(&used_env, used);
    g_rand_free(rand);
}
END_TEST

static bool range_has_effect(const Device *d, unsigned w, uint64_t off, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        if (d->cls->read_has_effect != NULL && d->cls->read_has_effect(d, w, off + i)) {
            return true;
        }
    }
    return false;
}

/* All that can be read without effect, by bytes, and the lines. */
static GByteArray *snapshot(const ContractEnv *env, Device *d)
{
    GByteArray *a = g_byte_array_new();

    for (unsigned w = 0; w < d->cls->n_windows; w++) {
        uint64_t len = MIN(d->cls->windows[w].len, 1024);
        for (uint64_t off = 0; off < len; off++) {
            bool effect = range_has_effect(d, w, off, 1);
            uint8_t byte = effect ? 0 : window_in(d, w, off, 1);
            g_byte_array_append(a, &byte, 1);
            byte = effect;
            g_byte_array_append(a, &byte, 1);
        }
    }
    for (unsigned i = 0; i < CONTRACT_N_IRQS; i++) {
        uint8_t level = env->irq[i].level;
        g_byte_array_append(a, &level, 1);
    }
    return a;
}

START_TEST(reads_have_no_undeclared_effect)
{
    const ContractRow *row = &contract_rows[_i];
    ContractEnv env;
    GRand *rand = g_rand_new_with_seed(SEED * 3 + _i);
    Device *d = contract_set_up(&env, row, 0);

    for (unsigned round = 0; round < 300; round++) {
        use_randomly(&env, d, rand, 20);
        unsigned w = g_rand_int_range(rand, 0, d->cls->n_windows);
        unsigned size = d->cls->windows[w].ops.max_size;
        uint64_t off = random_offset(rand, d->cls->windows[w].len, 1) & ~(uint64_t)(size - 1);
        if (off + size > d->cls->windows[w].len || range_has_effect(d, w, off, size)) {
            continue;
        }
        GByteArray *before = snapshot(&env, d);
        uint64_t first = window_in(d, w, off, size);
        ck_assert_msg(window_in(d, w, off, size) == first, "%s: %s+%#x: read twice, two values",
                      row->name, d->cls->windows[w].name, (unsigned)off);
        GByteArray *after = snapshot(&env, d);
        assert_same(after, before, row->name, "a read changed another register");
        g_byte_array_free(before, TRUE);
        g_byte_array_free(after, TRUE);
    }
    contract_tear_down(&env, d);
    g_rand_free(rand);
}
END_TEST

START_TEST(class_describes_the_device)
{
    const ContractRow *row = &contract_rows[_i];
    ContractEnv env;
    Device *d = contract_set_up(&env, row, 0);
    const DeviceClass *cls = d->cls;

    ck_assert(cls->name != NULL && *cls->name != 0);
    ck_assert(cls->help != NULL && *cls->help != 0);
    ck_assert(cls->destroy != NULL);
    ck_assert_uint_gt(cls->n_windows, 0);
    for (unsigned w = 0; w < cls->n_windows; w++) {
        const DeviceWindow *win = &cls->windows[w];
        ck_assert(win->name != NULL && win->len > 0);
        ck_assert(win->ops.read != NULL && win->ops.write != NULL);
        ck_assert(win->ops.max_size == 1 || win->ops.max_size == 2 || win->ops.max_size == 4 ||
                  win->ops.max_size == 8);
        ck_assert(win->kind == WINDOW_MMIO || (win->len <= 0x10000 && win->ops.max_size <= 4));
    }
    assert_lines_low(&env, row->name);
    contract_tear_down(&env, d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("contract");
    TCase *t = tcase_create("contract");

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, class_describes_the_device, 0, contract_n_rows);
    tcase_add_loop_test(t, reset_is_idempotent_and_total, 0, contract_n_rows);
    tcase_add_loop_test(t, reads_have_no_undeclared_effect, 0, contract_n_rows);
    return run_suite(s);
}
