/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/device.h"

#include <glib.h>

void device_free(Device *d)
{
    if (d != NULL) {
        g_free(d->id);
        d->cls->destroy(d);
    }
}
