/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writer of ACPI machine language (ACPI 6.4 chapter 20).
 *
 * AML is prefix notation, so a stream of terms is written from front to back: aml_begin_xxx()
 * opens a package (its length is filled in by the matching aml_end()), operators are followed by
 * their operands.  `If (A == 1) { Return (B) }` is
 *
 *     aml_begin_if(a); aml_op(a, AML_LEQUAL); aml_path(a, "A"); aml_int(a, 1);
 *     aml_op(a, AML_RETURN); aml_path(a, "B");
 *     aml_end(a);
 *
 * Paths are as in ASL ("\\_SB.PCI0", "^LNKA", "CRS0"): segments are padded with '_'.  Malformed
 * input is a bug of the caller (asserted): nothing here comes from the guest.
 */
#ifndef HW_ACPI_AML_H
#define HW_ACPI_AML_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Aml Aml;

Aml *aml_new(void);
/* Frees the writer; returns the bytes (owned by the caller).  Every package must be ended. */
GByteArray *aml_free_to_bytes(Aml *a);

typedef enum { /* operators with fixed operands and no package length */
    AML_ZERO = 0x00, AML_ONE = 0x01, AML_ONES = 0xff,
    AML_LOCAL0 = 0x60, AML_LOCAL1, AML_LOCAL2, AML_LOCAL3,
    AML_ARG0 = 0x68, AML_ARG1, AML_ARG2, AML_ARG3,
    AML_STORE = 0x70, AML_ADD = 0x72, AML_SUBTRACT = 0x74, AML_AND = 0x7b, AML_OR = 0x7d,
    AML_SHIFT_LEFT = 0x79, AML_SHIFT_RIGHT = 0x7a,
    AML_NOTIFY = 0x86, AML_LAND = 0x90, AML_LOR = 0x91, AML_LNOT = 0x92, AML_LEQUAL = 0x93,
    AML_LGREATER = 0x94, AML_LLESS = 0x95, AML_RETURN = 0xa4, AML_CREATE_DWORD = 0x8a,
} AmlOp;

void aml_op(Aml *a, AmlOp op);
void aml_path(Aml *a, const char *path);
void aml_int(Aml *a, uint64_t v);
void aml_str(Aml *a, const char *s);
void aml_eisaid(Aml *a, const char *id);              /* "PNP0A03" */
void aml_buffer(Aml *a, const void *data, unsigned len);

/* Name (PATH, ...): the next term is the object. */
void aml_name(Aml *a, const char *path);
void aml_name_int(Aml *a, const char *path, uint64_t v);
void aml_name_str(Aml *a, const char *path, const char *s);
void aml_name_eisaid(Aml *a, const char *path, const char *id);

void aml_begin_scope(Aml *a, const char *path);
void aml_begin_device(Aml *a, const char *path);
void aml_begin_method(Aml *a, const char *path, unsigned n_args, bool serialized);
void aml_begin_if(Aml *a);                            /* predicate, then body */
void aml_begin_else(Aml *a);
void aml_begin_package(Aml *a, unsigned n);           /* n elements follow, up to 255 */
void aml_end(Aml *a);

typedef enum { AML_SPACE_MEMORY, AML_SPACE_IO, AML_SPACE_PCI_CONFIG } AmlSpace;
typedef enum { AML_ACCESS_ANY, AML_ACCESS_BYTE, AML_ACCESS_WORD, AML_ACCESS_DWORD } AmlAccess;

void aml_region(Aml *a, const char *name, AmlSpace space, uint64_t offset, uint64_t len);
void aml_begin_field(Aml *a, const char *region, AmlAccess access); /* no lock, preserve */
void aml_field_unit(Aml *a, const char *name4, unsigned bits);      /* NULL: reserved bits */

/* -- Resource templates (ACPI 6.4 section 6.4): one Buffer term between begin and end ------------ */

void aml_begin_resources(Aml *a);
void aml_res_io(Aml *a, uint16_t base, uint8_t len);  /* 16-bit decode, fixed */
void aml_res_irq(Aml *a, unsigned irq);               /* edge, high, exclusive, IRQ 0-15 */
void aml_res_interrupt(Aml *a, const uint32_t *gsi, unsigned n, bool level); /* high; shared if level */
void aml_res_memory32(Aml *a, uint32_t base, uint32_t len, bool writable);
void aml_res_bus(Aml *a, uint16_t first, uint16_t last);
void aml_res_window_io(Aml *a, uint16_t first, uint16_t last);
void aml_res_window_mem32(Aml *a, uint32_t first, uint32_t last, bool cacheable);
void aml_res_window_mem64(Aml *a, uint64_t first, uint64_t last, bool cacheable);
void aml_end_resources(Aml *a);

#endif /* HW_ACPI_AML_H */
