/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/acpi-sleep.h"

#include "softmmu/base/log.h"

#include <glib.h>

typedef struct {
    Device dev;
    uint8_t s5_type;
    void (*shutdown)(void *arg);
    void *arg;
    uint8_t control;
} AcpiSleep;

enum { SLP_EN = 1 << 5, SLP_TYP_SHIFT = 2 };

static uint64_t sleep_read(void *arg, uint64_t off, unsigned size)
{
    return off == ACPI_SLEEP_CONTROL ? ((AcpiSleep *)arg)->control : 0;
}

static void sleep_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    AcpiSleep *s = arg;

    if (off != ACPI_SLEEP_CONTROL) {
        return;                /* the status register's only bit, WAK_STS, is never set */
    }
    s->control = val & (7 << SLP_TYP_SHIFT); /* SLP_EN reads as 0 */
    if (!(val & SLP_EN)) {
        return;
    }
    if ((val >> SLP_TYP_SHIFT & 7) == s->s5_type) {
        s->shutdown(s->arg);
    } else {
        log_guest_error("acpi-sleep: sleep type %u is none", (unsigned)(val >> SLP_TYP_SHIFT & 7));
    }
}

static void sleep_reset(Device *d)
{
    ((AcpiSleep *)d)->control = 0;
}

static void sleep_destroy(Device *d)
{
    g_free(d);
}

static const DeviceWindow windows[] = {
    {.name = "acpi-sleep", .kind = WINDOW_MMIO, .len = ACPI_SLEEP_LEN,
     .ops = {.read = sleep_read, .write = sleep_write, .max_size = 1}},
};

static const Field sleep_fields[] = {
    FIELD(AcpiSleep, control),
};
static const FieldTable sleep_state = {.version = 1, FIELDS(sleep_fields)};

static const DeviceClass sleep_class = {
    .name = "acpi-sleep", .help = "sleep registers of hardware-reduced ACPI", .windows = windows,
    .n_windows = 1, .reset = sleep_reset, .destroy = sleep_destroy,
    .state = &sleep_state,
};

Device *acpi_sleep_new(uint8_t s5_type, void (*shutdown)(void *arg), void *arg)
{
    AcpiSleep *s = g_new0(AcpiSleep, 1);

    *s = (AcpiSleep){.dev.cls = &sleep_class, .s5_type = s5_type, .shutdown = shutdown, .arg = arg};
    return &s->dev;
}
