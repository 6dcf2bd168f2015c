/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/fdt-build.h"

#include "softmmu/base/bits.h"

#include <libfdt.h>
#include <stdarg.h>

enum { PHANDLE_IOAPIC = 1, SENSE_EDGE_RISING = 1, SENSE_LEVEL_HIGH = 4 };

typedef struct {
    void *buf;
    int error;                   /* the first one; the rest does nothing */
} Tree;

static void note(Tree *t, int err)
{
    if (t->error == 0 && err < 0) {
        t->error = err;
    }
}

static void begin(Tree *t, const char *name)
{
    note(t, fdt_begin_node(t->buf, name));
}

static void end(Tree *t)
{
    note(t, fdt_end_node(t->buf));
}

static void string(Tree *t, const char *name, const char *v)
{
    note(t, fdt_property_string(t->buf, name, v));
}

static void cells(Tree *t, const char *name, unsigned n, ...)
{
    fdt32_t v[8];
    va_list ap;

    g_assert(n <= ARRAY_LEN(v));
    va_start(ap, n);
    for (unsigned i = 0; i < n; i++) {
        v[i] = cpu_to_fdt32(va_arg(ap, uint32_t));
    }
    va_end(ap);
    note(t, fdt_property(t->buf, name, v, (int)(n * sizeof v[0])));
}

static void reg(Tree *t, uint64_t base, uint64_t len)
{
    cells(t, "reg", 4, (uint32_t)(base >> 32), (uint32_t)base, (uint32_t)(len >> 32), (uint32_t)len);
}

static void add_cpus(Tree *t, const FdtConfig *c)
{
    begin(t, "cpus");
    cells(t, "#address-cells", 1, 1);
    cells(t, "#size-cells", 1, 0);
    for (unsigned i = 0; i < c->n_cpus; i++) {
        char name[16];

        g_snprintf(name, sizeof name, "cpu@%x", i);
        begin(t, name);
        string(t, "device_type", "cpu");
        string(t, "compatible", "intel,x86");
        cells(t, "reg", 1, i);
        end(t);
    }
    end(t);
}

static void add_memory(Tree *t, uint64_t base, uint64_t len)
{
    char name[32];

    if (len == 0) {
        return;
    }
    g_snprintf(name, sizeof name, "memory@%" G_GINT64_MODIFIER "x", base);
    begin(t, name);
    string(t, "device_type", "memory");
    reg(t, base, len);
    end(t);
}

static void add_chosen(Tree *t, const FdtConfig *c)
{
    begin(t, "chosen");
    if (c->bootargs != NULL) {
        string(t, "bootargs", c->bootargs);
    }
    if (c->initrd_end > c->initrd_start) {
        note(t, fdt_property_u64(t->buf, "linux,initrd-start", c->initrd_start));
        note(t, fdt_property_u64(t->buf, "linux,initrd-end", c->initrd_end));
    }
    if (c->serial_base != 0) {
        char path[48];

        g_snprintf(path, sizeof path, "/isa/serial@1,%x", c->serial_base);
        string(t, "stdout-path", path);
    }
    end(t);
}

static void add_ioapic(Tree *t, const FdtConfig *c)
{
    char name[48];

    g_snprintf(name, sizeof name, "interrupt-controller@%x", c->ioapic_base);
    begin(t, name);
    string(t, "compatible", "intel,ce4100-ioapic");
    note(t, fdt_property(t->buf, "interrupt-controller", NULL, 0));
    cells(t, "#interrupt-cells", 1, 2);
    cells(t, "#address-cells", 1, 0);
    reg(t, c->ioapic_base, 0x1000);
    cells(t, "phandle", 1, PHANDLE_IOAPIC);
    end(t);
}

/* Ports are unit 1 of the ISA binding's address. */
static void add_serial(Tree *t, const FdtConfig *c)
{
    char name[32];

    if (c->serial_base == 0) {
        return;
    }
    begin(t, "isa");
    string(t, "compatible", "isa");
    cells(t, "#address-cells", 1, 2);
    cells(t, "#size-cells", 1, 1);
    note(t, fdt_property(t->buf, "ranges", NULL, 0));
    g_snprintf(name, sizeof name, "serial@1,%x", c->serial_base);
    begin(t, name);
    string(t, "compatible", "ns16550a");
    cells(t, "reg", 3, 1, c->serial_base, 8);
    cells(t, "clock-frequency", 1, 1843200);
    cells(t, "interrupts", 2, c->serial_gsi, SENSE_EDGE_RISING);
    end(t);
    end(t);
}

static void add_virtio(Tree *t, const AcpiVirtioMmio *v)
{
    char name[40];

    g_snprintf(name, sizeof name, "virtio_mmio@%" G_GINT64_MODIFIER "x", v->base);
    begin(t, name);
    string(t, "compatible", "virtio,mmio");
    reg(t, v->base, v->len);
    cells(t, "interrupts", 2, v->gsi, SENSE_LEVEL_HIGH);
    note(t, fdt_property(t->buf, "dma-coherent", NULL, 0));
    end(t);
}

static void add_all(Tree *t, const FdtConfig *c)
{
    note(t, fdt_finish_reservemap(t->buf));
    begin(t, "");
    string(t, "model", c->model);
    string(t, "compatible", "linux,microvm");
    cells(t, "#address-cells", 1, 2);
    cells(t, "#size-cells", 1, 2);
    cells(t, "interrupt-parent", 1, PHANDLE_IOAPIC);
    add_chosen(t, c);
    add_cpus(t, c);
    add_memory(t, 0, c->ram_low);
    add_memory(t, UINT64_C(1) << 32, c->ram_high);
    add_ioapic(t, c);
    add_serial(t, c);
    for (unsigned i = 0; i < c->n_virtio_mmio; i++) {
        add_virtio(t, &c->virtio_mmio[i]);
    }
    end(t);
    note(t, fdt_finish(t->buf));
}

GBytes *fdt_build(const FdtConfig *c)
{
    /* Grow until it fits: the writer tells when it ran out of space. */
    for (int len = 16384;; len *= 2) {
        Tree t = {.buf = g_malloc0((gsize)len)};

        note(&t, fdt_create(t.buf, len));
        add_all(&t, c);
        if (t.error == 0) {
            return g_bytes_new_take(t.buf, fdt_totalsize(t.buf));
        }
        g_assert(t.error == -FDT_ERR_NOSPACE);
        g_free(t.buf);
    }
}
