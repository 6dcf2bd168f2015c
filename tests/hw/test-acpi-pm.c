/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/acpi-pm.h"

#include "tests/fake.h"
#include "tests/hw/window.h"

typedef struct {
    FakeClock clock;
    FakeIrq sci;
    unsigned shutdowns;
    Device *pm;
} Rig;

static void note_shutdown(void *arg)
{
    ((Rig *)arg)->shutdowns++;
}

static void init(Rig *r, bool timer_32, bool always_acpi)
{
    *r = (Rig){0};
    fake_clock_init(&r->clock);
    r->pm = acpi_pm_new(&(AcpiPmConfig){.timers = &r->clock.timers,
                                        .sci = FAKE_IRQ_LINE(&r->sci), .timer_32 = timer_32,
                                        .always_acpi = always_acpi, .s5_type = 5, .arg = r,
                                        .shutdown = note_shutdown});
}

static void out(Rig *r, unsigned off, unsigned size, unsigned val)
{
    window_out(r->pm, ACPI_PM_WINDOW_BLOCK, off, size, val);
}

static unsigned in(Rig *r, unsigned off, unsigned size)
{
    return window_in(r->pm, ACPI_PM_WINDOW_BLOCK, off, size);
}

START_TEST(timer_counts_at_its_rate_and_wraps_at_its_width)
{
    Rig r;

    init(&r, false, true);
    fake_clock_go(&r.clock, NS_PER_SEC);
    ck_assert_uint_eq(in(&r, ACPI_PM_TIMER, 4), 3579545);
    fake_clock_go(&r.clock, 10 * NS_PER_SEC);
    ck_assert_uint_eq(in(&r, ACPI_PM_TIMER, 4), 35795450 & 0xffffff);
    device_free(r.pm);
    init(&r, true, true);
    fake_clock_go(&r.clock, 10 * NS_PER_SEC);
    ck_assert_uint_eq(in(&r, ACPI_PM_TIMER, 4), 35795450);
    device_free(r.pm);
}
END_TEST

START_TEST(timer_carry_interrupts_when_enabled)
{
    Rig r;

    init(&r, false, true);
    fake_clock_go(&r.clock, 3 * NS_PER_SEC);       /* past 2^23 ticks */
    ck_assert_uint_eq(in(&r, ACPI_PM_EVENT, 2), 1);
    ck_assert_int_eq(r.sci.level, 0);
    out(&r, ACPI_PM_EVENT + 2, 2, 1);
    ck_assert_int_eq(r.sci.level, 1);
    out(&r, ACPI_PM_EVENT, 2, 1);
    ck_assert_int_eq(r.sci.level, 0);
    fake_clock_go(&r.clock, 5 * NS_PER_SEC);
    ck_assert_int_eq(r.sci.level, 1);
    device_free(r.pm);
}
END_TEST

START_TEST(power_button_and_gpe_raise_sci)
{
    Rig r;

    init(&r, false, true);
    out(&r, ACPI_PM_EVENT + 2, 2, 0x100);
    acpi_pm_power_button(r.pm);
    ck_assert_int_eq(r.sci.level, 1);
    ck_assert_uint_eq(in(&r, ACPI_PM_EVENT, 2), 0x100);
    out(&r, ACPI_PM_EVENT + 1, 1, 0x01);
    ck_assert_int_eq(r.sci.level, 0);
    acpi_pm_raise_gpe(r.pm, 9);
    ck_assert_int_eq(r.sci.level, 0);
    out(&r, ACPI_PM_GPE0 + 3, 1, 0x02);
    ck_assert_int_eq(r.sci.level, 1);
    out(&r, ACPI_PM_GPE0 + 1, 1, 0x02);
    ck_assert_int_eq(r.sci.level, 0);
    device_free(r.pm);
}
END_TEST

START_TEST(only_s5_shuts_down)
{
    Rig r;

    init(&r, false, true);
    out(&r, ACPI_PM_CONTROL, 2, 3 << 10 | 0x2000);
    ck_assert_uint_eq(r.shutdowns, 0);
    out(&r, ACPI_PM_CONTROL, 2, 5 << 10 | 1);
    ck_assert_uint_eq(r.shutdowns, 0);
    out(&r, ACPI_PM_CONTROL, 2, 5 << 10 | 0x2001);
    ck_assert_uint_eq(r.shutdowns, 1);
    ck_assert_uint_eq(in(&r, ACPI_PM_CONTROL, 2), 5 << 10 | 1);
    device_free(r.pm);
}
END_TEST

START_TEST(smi_port_switches_acpi_mode)
{
    Rig r;

    init(&r, false, false);
    ck_assert_uint_eq(in(&r, ACPI_PM_CONTROL, 2), 0);
    window_out(r.pm, ACPI_PM_WINDOW_SMI, 0, 1, ACPI_PM_SMI_ENABLE);
    ck_assert_uint_eq(in(&r, ACPI_PM_CONTROL, 2), 1);
    window_out(r.pm, ACPI_PM_WINDOW_SMI, 0, 1, ACPI_PM_SMI_DISABLE);
    ck_assert_uint_eq(in(&r, ACPI_PM_CONTROL, 2), 0);
    device_free(r.pm);
    init(&r, false, true);
    ck_assert_uint_eq(in(&r, ACPI_PM_CONTROL, 2), 1);
    out(&r, ACPI_PM_CONTROL, 2, 0);
    ck_assert_uint_eq(in(&r, ACPI_PM_CONTROL, 2), 1);
    device_free(r.pm);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("acpi-pm");
    TCase *t = tcase_create("acpi-pm");

    suite_add_tcase(s, t);
    tcase_add_test(t, timer_counts_at_its_rate_and_wraps_at_its_width);
    tcase_add_test(t, timer_carry_interrupts_when_enabled);
    tcase_add_test(t, power_button_and_gpe_raise_sci);
    tcase_add_test(t, only_s5_shuts_down);
    tcase_add_test(t, smi_port_switches_acpi_mode);
    return run_suite(s);
}
