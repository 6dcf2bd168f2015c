/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PC's way to report x87 errors: FERR# raises IRQ 13, a write to port 0xf0 lowers it. */
#ifndef HW_FPU_ERROR_H
#define HW_FPU_ERROR_H

#include "hw/device.h"
#include "hw/irq.h"

enum { FPU_ERROR_PORT = 0xf0 };

Device *fpu_error_new(const IrqLine *irq13);
/* The CPU's FERR# line. */
void fpu_error_set(Device *d, bool level);

#endif /* HW_FPU_ERROR_H */
