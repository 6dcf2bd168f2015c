/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI 6.4, 4.8.3 (fixed hardware) and 4.8.4 (general-purpose events). */
#include "hw/acpi-pm.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

enum { STS_TIMER = 0x0001, STS_GLOBAL = 0x0020, STS_BUTTON = 0x0100, STS_CLEARABLE = 0xcf31 };
enum { EN_WRITABLE = 0x0721 };
enum {
    CNT_SCI_EN = 0x0001, CNT_BM_RLD = 0x0002, CNT_SLP_TYP_SHIFT = 10, CNT_SLP_TYP = 0x1c00,
    CNT_SLP_EN = 0x2000,
};

typedef struct {
    Device dev;
    AcpiPmConfig cfg;

    uint16_t sts, en, cnt;
    uint16_t gpe_sts, gpe_en;
    uint64_t seen_carry;      /* changes of the timer's top bit worked into sts */
    uint8_t smi_cmd, smi_sts;

    Timer timer;
} AcpiPm;

static uint64_t ticks_now(const AcpiPm *a)
{
    return muldiv64(timer_now(&a->timer), ACPI_PM_TIMER_HZ, NS_PER_SEC);
}

/* How often the top bit has changed: it does each half period. */
static unsigned carry_shift(const AcpiPm *a)
{
    return a->cfg.timer_32 ? 31 : 23;
}

static void catch_up(AcpiPm *a)
{
    uint64_t carry = ticks_now(a) >> carry_shift(a);

    if (carry != a->seen_carry) {
        a->seen_carry = carry;
        a->sts |= STS_TIMER;
    }
}

static void update(AcpiPm *a)
{
    bool want = (a->sts & a->en) || (a->gpe_sts & a->gpe_en);
    uint64_t at = TIMER_NEVER;

    if ((a->en & STS_TIMER) && !(a->sts & STS_TIMER)) {
        at = muldiv64((a->seen_carry + 1) << carry_shift(a), NS_PER_SEC, ACPI_PM_TIMER_HZ) + 1;
    }
    timer_set(&a->timer, at);
    irq_set(&a->cfg.sci, want && (a->cnt & CNT_SCI_EN));
}

static void timer_fired(void *arg)
{
    catch_up(arg);
    update(arg);
}

void acpi_pm_power_button(Device *d)
{
    AcpiPm *a = (AcpiPm *)d;

    a->sts |= STS_BUTTON;
    update(a);
}

void acpi_pm_raise_gpe(Device *d, unsigned bit)
{
    AcpiPm *a = (AcpiPm *)d;

    g_assert(bit < 16);
    a->gpe_sts |= BIT(bit);
    update(a);
}

/* -- Registers ---------------------------------------------------------------------------------- */

static void write_control(AcpiPm *a, uint16_t val)
{
    unsigned type = (val & CNT_SLP_TYP) >> CNT_SLP_TYP_SHIFT;

    a->cnt = (val & (CNT_SCI_EN | CNT_BM_RLD | CNT_SLP_TYP)) |
             (a->cfg.always_acpi ? CNT_SCI_EN : 0);
    if (!(val & CNT_SLP_EN)) {
        return;
    }
    if (type == a->cfg.s5_type) {
        a->cfg.shutdown(a->cfg.arg);
    } else {
        log_unimp("acpi-pm: sleep type %u", type);
    }
}

/* The 16-bit register at `off`, which is even. */
static uint16_t block_word(const AcpiPm *a, uint64_t off)
{
    uint64_t ticks = ticks_now(a);

    switch (off) {
    case ACPI_PM_EVENT: {
        bool carry = ticks >> carry_shift(a) != a->seen_carry;
        return a->sts | (carry ? STS_TIMER : 0);
    }
    case ACPI_PM_EVENT + 2:
        return a->en;
    case ACPI_PM_CONTROL:
        return a->cnt;
    case ACPI_PM_TIMER:
        return ticks;
    case ACPI_PM_TIMER + 2:
        return a->cfg.timer_32 ? ticks >> 16 : ticks >> 16 & 0xff;
    case ACPI_PM_GPE0:
        return a->gpe_sts;
    case ACPI_PM_GPE0 + 2:
        return a->gpe_en;
    }
    return 0;
}

static uint64_t block_read(void *arg, uint64_t off, unsigned size)
{
    const AcpiPm *a = arg;

    if (size == 4) {
        return block_word(a, off) | (uint32_t)block_word(a, off + 2) << 16;
    }
    return (block_word(a, off & ~1) >> ((off & 1) * 8)) & mask_bytes(size);
}

static void write_word(AcpiPm *a, uint64_t off, uint16_t val)
{
    catch_up(a);
    switch (off) {
    case ACPI_PM_EVENT:
        a->sts &= ~(val & STS_CLEARABLE);
        break;
    case ACPI_PM_EVENT + 2:
        a->en = val & EN_WRITABLE;
        break;
    case ACPI_PM_CONTROL:
        write_control(a, val);
        break;
    case ACPI_PM_GPE0:
        a->gpe_sts &= ~val;
        break;
    case ACPI_PM_GPE0 + 2:
        a->gpe_en = val;
        break;
    }
    update(a);
}

static void block_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    AcpiPm *a = arg;

    trace(acpi_pm_write, "reg=%u size=%u val=0x%x", (unsigned)off, size, (unsigned)val);
    if (size == 1) {
        /* Status bits are cleared by ones: the other byte of those must be zero. */
        bool status = (off & ~1) == ACPI_PM_EVENT || (off & ~1) == ACPI_PM_GPE0;
        uint16_t other = status ? 0 : block_word(a, off & ~1);
        unsigned shift = (off & 1) * 8;
        write_word(a, off & ~1, (other & ~(0xff << shift)) | val << shift);
        return;
    }
    write_word(a, off, val);
    if (size == 4) {
        write_word(a, off + 2, val >> 16);
    }
}

static uint64_t smi_read(void *arg, uint64_t off, unsigned size)
{
    const AcpiPm *a = arg;
    return off == 0 ? a->smi_cmd : a->smi_sts;
}

static void smi_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    AcpiPm *a = arg;

    if (off == 1) {
        a->smi_sts = val;
        return;
    }
    a->smi_cmd = val;
    if (val == ACPI_PM_SMI_ENABLE) {
        a->cnt |= CNT_SCI_EN;
    } else if (val == ACPI_PM_SMI_DISABLE && !a->cfg.always_acpi) {
        a->cnt &= ~CNT_SCI_EN;
    }
    update(a);
}

/* -- Device ------------------------------------------------------------------------------------- */

static void reset(Device *d)
{
    AcpiPm *a = (AcpiPm *)d;

    a->sts = a->en = a->gpe_sts = a->gpe_en = 0;
    a->cnt = a->cfg.always_acpi ? CNT_SCI_EN : 0;
    a->smi_cmd = a->smi_sts = 0;
    a->seen_carry = ticks_now(a) >> carry_shift(a);
    update(a);
}

static void destroy(Device *d)
{
    timer_cancel(&((AcpiPm *)d)->timer);
    g_free(d);
}

static const DeviceWindow windows[] = {
    [ACPI_PM_WINDOW_BLOCK] = {"acpi-pm", WINDOW_PORT, ACPI_PM_LEN, {block_read, block_write, 4}},
    [ACPI_PM_WINDOW_SMI] = {"acpi-smi", WINDOW_PORT, 2, {smi_read, smi_write, 1}},
};

static const Field acpi_pm_fields[] = {
    FIELD(AcpiPm, sts), FIELD(AcpiPm, en), FIELD(AcpiPm, cnt), FIELD(AcpiPm, gpe_sts), FIELD(AcpiPm, gpe_en),
    FIELD(AcpiPm, seen_carry), FIELD(AcpiPm, smi_cmd), FIELD(AcpiPm, smi_sts), FIELD_TIMER(AcpiPm, timer),
};
static const FieldTable acpi_pm_state = {.version = 1, FIELDS(acpi_pm_fields)};

static const DeviceClass acpi_pm_class = {
    .name = "acpi-pm",
    .help = "ACPI fixed hardware: power management, timer, events",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .reset = reset,
    .destroy = destroy,
    .state = &acpi_pm_state,
};

Device *acpi_pm_new(const AcpiPmConfig *cfg)
{
    AcpiPm *a = g_new0(AcpiPm, 1);

    a->dev.cls = &acpi_pm_class;
    a->cfg = *cfg;
    timer_init(&a->timer, cfg->timers, timer_fired, a);
    reset(&a->dev);
    return &a->dev;
}
