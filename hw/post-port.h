/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ports that only remember what is written: 0x80 (POST code, which guests also write for a short
 * delay) to 0x8f (the DMA page registers), and 0xed (Linux's other delay port).
 */
#ifndef HW_POST_PORT_H
#define HW_POST_PORT_H

#include "hw/device.h"

enum { POST_WINDOW_80, POST_WINDOW_ED };
enum { POST_PORT_80 = 0x80, POST_PORT_ED = 0xed };

Device *post_port_new(void);
/* The last POST code. */
uint8_t post_port_code(const Device *d);

#endif /* HW_POST_PORT_H */
