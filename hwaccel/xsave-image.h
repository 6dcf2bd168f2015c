/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VectorState <-> an XSAVE area in the standard format, laid out as on this host. */
#ifndef HWACCEL_XSAVE_IMAGE_H
#define HWACCEL_XSAVE_IMAGE_H

#include "cpu-x86/state.h"

/* Those of `components` that this host has a place for. */
uint64_t xsave_image_components(uint64_t components);
/* Write the components (XCR0 numbering), as in use; size of the area in bytes, at least 4096. */
void xsave_image_write(const VectorState *v, uint64_t components, uint8_t *area, size_t size);
/* Read them; those that are not in use get their initial values.  Others stay. */
void xsave_image_read(VectorState *v, uint64_t components, const uint8_t *area);

#endif /* HWACCEL_XSAVE_IMAGE_H */
