/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM vol. 1 13.4: the XSAVE area. */
#include "hwaccel/xsave-image.h"

#include <cpuid.h>
#include <string.h>

enum { OFF_MXCSR = 24, OFF_ST = 32, OFF_XMM = 160, OFF_BV = 512, END_ST = OFF_XMM };

/* Where a component lies in the area; 0: the host has none. */
static uint32_t offset_of(unsigned component)
{
    unsigned a, b, c, d;

    return __get_cpuid_count(0xd, component, &a, &b, &c, &d) ? b : 0;
}

uint64_t xsave_image_components(uint64_t components)
{
    uint64_t have = XCR0_X87 | XCR0_SSE;

    for (unsigned i = 2; i < 63; i++) {
        have |= (components >> i & 1) != 0 && offset_of(i) != 0 ? UINT64_C(1) << i : 0;
    }
    return components & have;
}

/* The pieces of vector registers: component, first register, byte in the register, bytes. */
static const struct {
    unsigned component, first, byte, len;
} pieces[] = {{2, 0, 16, 16}, {6, 0, 32, 32}, {7, 16, 0, 64}};

void xsave_image_write(const VectorState *v, uint64_t components, uint8_t *area, size_t size)
{
    memset(area, 0, size);
    memcpy(area, v->fx, OFF_MXCSR);
    memcpy(area + OFF_MXCSR, &v->mxcsr, 4);
    memcpy(area + OFF_ST, v->fx + OFF_ST, END_ST - OFF_ST);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(area + OFF_XMM + i * 16, v->zmm[i], 16);
    }
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        for (unsigned i = 0; i < 16 && (components >> pieces[p].component & 1) != 0; i++) {
            memcpy(area + offset_of(pieces[p].component) + i * pieces[p].len,
                   v->zmm[pieces[p].first + i] + pieces[p].byte, pieces[p].len);
        }
    }
    if ((components & XCR0_OPMASK) != 0) {
        memcpy(area + offset_of(5), v->k, sizeof v->k);
    }
    if ((components & XCR0_PKRU) != 0) {
        memcpy(area + offset_of(9), &v->pkru, sizeof v->pkru);
    }
    memcpy(area + OFF_BV, &components, 8);
}

void xsave_image_read(VectorState *v, uint64_t components, const uint8_t *area)
{
    uint64_t used;

    memcpy(&used, area + OFF_BV, 8);
    memcpy(v->fx, area, OFF_MXCSR);
    memcpy(&v->mxcsr, area + OFF_MXCSR, 4);
    memcpy(v->fx + OFF_ST, area + OFF_ST, END_ST - OFF_ST);
    for (unsigned i = 0; i < 16; i++) {
        memcpy(v->zmm[i], area + OFF_XMM + i * 16, 16);
    }
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
        unsigned c = pieces[p].component, len = pieces[p].len;
        for (unsigned i = 0; i < 16 && (components >> c & 1) != 0; i++) {
            uint8_t *to = v->zmm[pieces[p].first + i] + pieces[p].byte;
            if ((used >> c & 1) != 0) {
                memcpy(to, area + offset_of(c) + i * len, len);
            } else {
                memset(to, 0, len);
            }
        }
    }
    if ((components & XCR0_OPMASK) != 0) {
        memset(v->k, 0, sizeof v->k);
        if ((used & XCR0_OPMASK) != 0) {
            memcpy(v->k, area + offset_of(5), sizeof v->k);
        }
    }
    if ((components & XCR0_PKRU) != 0) {
        v->pkru = 0;
        if ((used & XCR0_PKRU) != 0) {
            memcpy(&v->pkru, area + offset_of(9), sizeof v->pkru);
        }
    }
}
