/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sleep control and status registers of hardware-reduced ACPI (ACPI 6.4, 4.8.3.7): two bytes of
 * memory.  A write of SLP_EN with the type of S5 powers off; other types have no effect.
 */
#ifndef HW_ACPI_SLEEP_H
#define HW_ACPI_SLEEP_H

#include "hw/device.h"

enum { ACPI_SLEEP_CONTROL = 0, ACPI_SLEEP_STATUS = 1, ACPI_SLEEP_LEN = 16 };

Device *acpi_sleep_new(uint8_t s5_type, void (*shutdown)(void *arg), void *arg);

#endif /* HW_ACPI_SLEEP_H */
