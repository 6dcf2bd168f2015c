/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI fixed hardware: PM1 event and control blocks, PM timer, a 16-bit general-purpose event
 * block, the SMI command port.
 *
 * Window 0 is the block of 64 ports that the PIIX4's power-management base places (hw/piix4-pm.h)
 * or a machine without PCI maps where it likes; window 1 the SMI command and status ports.  Sleep
 * states other than S5 are refused (the guest goes on).  Write-only and wake logic have no effect.
 */
#ifndef HW_ACPI_PM_H
#define HW_ACPI_PM_H

#include "hw/device.h"
#include "hw/irq.h"
#include "softmmu/base/timer.h"

#define ACPI_PM_TIMER_HZ UINT64_C(3579545)

enum { ACPI_PM_WINDOW_BLOCK, ACPI_PM_WINDOW_SMI };
enum { ACPI_PM_PORT_SMI = 0xb2 };

/* Offsets in the block, for the FADT. */
enum {
    ACPI_PM_LEN = 64,
    ACPI_PM_EVENT = 0x00,      /* status, enable: 2 bytes each */
    ACPI_PM_CONTROL = 0x04,
    ACPI_PM_TIMER = 0x08,
    ACPI_PM_GPE0 = 0x0c,       /* status, enable: 2 bytes each */
    ACPI_PM_GPE0_LEN = 4,
};

/* Values for the SMI command port (only without `always_acpi`). */
enum { ACPI_PM_SMI_ENABLE = 0xf1, ACPI_PM_SMI_DISABLE = 0xf0 };

typedef struct {
    TimerQueue *timers;
    IrqLine sci;                /* level, active high */
    bool timer_32;              /* the timer counts 32 bits instead of 24                 */
    bool always_acpi;           /* SCI_EN is stuck at 1: the FADT names no SMI port       */
    uint8_t s5_type;            /* SLP_TYP that powers off, 0..7, as \_S5 says            */
    void *arg;
    void (*shutdown)(void *arg);
} AcpiPmConfig;

Device *acpi_pm_new(const AcpiPmConfig *cfg);

/* The user pressed the power button. */
void acpi_pm_power_button(Device *d);
/* Raise general-purpose event `bit`, 0..15; its status stays until the guest clears it. */
void acpi_pm_raise_gpe(Device *d, unsigned bit);

#endif /* HW_ACPI_PM_H */
