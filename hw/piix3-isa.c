/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intel 82371SB datasheet (290550): PIRQRC[A:D] and RC registers. */
#include "hw/piix3-isa.h"

enum { REG_PIRQ_A = 0x60, PIRQ_OFF = 0x80, RCR_HARD = 0x02, RCR_RESET = 0x04 };

typedef struct {
    PciDevice pci;
    Piix3Config config;

    bool pirq[4];              /* levels of the PIRQ lines */
    uint8_t rcr;

    bool out[16];              /* what the interrupt inputs were told */
} Piix3;

int piix3_pirq_route(const PciDevice *d, unsigned pirq)
{
    uint8_t r = d->config[REG_PIRQ_A + (pirq & 3)];
    unsigned irq = r & 0x0f;

    /* 0..2, 8 and 13 are reserved: they belong to the timer, the keyboard, the cascade... */
    return (r & PIRQ_OFF) != 0 || (BIT(irq) & 0xdef8) == 0 ? -1 : (int)irq;
}

static void update(Piix3 *s)
{
    bool level[16] = {false};

    for (unsigned i = 0; i < 4; i++) {
        int irq = piix3_pirq_route(&s->pci, i);
        if (irq >= 0) {
            level[irq] |= s->pirq[i];
        }
    }
    for (unsigned i = 0; i < 16; i++) {
        if (level[i] != s->out[i]) {
            s->out[i] = level[i];
            irq_set(&s->config.irq[i], level[i]);
        }
    }
}

void piix3_pirq_program(PciDevice *d, unsigned pirq, uint8_t irq)
{
    pci_config_write(d, REG_PIRQ_A + (pirq & 3), 1, irq);
}

static void pirq_set(void *arg, unsigned line, int level)
{
    Piix3 *s = arg;

    s->pirq[line & 3] = level != 0;
    update(s);
}

IrqLine piix3_pirq_line(PciDevice *d, unsigned pirq)
{
    return (IrqLine){.set = pirq_set, .arg = d, .line = pirq};
}

static void config_written(PciDevice *d, unsigned off, unsigned size)
{
    if (off < REG_PIRQ_A + 4 && off + size > REG_PIRQ_A) {
        update((Piix3 *)d);
    }
}

/* -- Reset control ------------------------------------------------------------------------------- */

static uint64_t rcr_read(void *arg, uint64_t off, unsigned size)
{
    return ((Piix3 *)arg)->rcr;
}

static void rcr_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Piix3 *s = arg;
    bool rises = (val & RCR_RESET) != 0 && (s->rcr & RCR_RESET) == 0;

    s->rcr = (uint8_t)val & (RCR_HARD | RCR_RESET);
    if (rises && s->config.reset != NULL) {
        s->config.reset(s->config.arg);
    }
}

/* -- Device -------------------------------------------------------------------------------------- */

/* The PIRQ levels are inputs: the devices that drive them lower them at their own reset. */
static void piix3_reset(Device *d)
{
    Piix3 *s = (Piix3 *)d;

    pci_device_reset(&s->pci);
    s->rcr = 0;
    update(s);
}

static void piix3_destroy(Device *d)
{
    pci_device_clear((PciDevice *)d);
    g_free(d);
}

static const DeviceWindow piix3_windows[] = {
    {"reset-control", WINDOW_PORT, 1, {rcr_read, rcr_write, 1}},
};

static const Field piix3_fields[] = {
    FIELD_STRUCT(Piix3, pci, pci_device_state), FIELD(Piix3, pirq), FIELD(Piix3, rcr), FIELD(Piix3, out),
};
static const FieldTable piix3_state = {.version = 1, FIELDS(piix3_fields)};

static const DeviceClass piix3_class = {
    .name = "PIIX3",
    .help = "Intel 82371SB ISA bridge",
    .windows = piix3_windows,
    .n_windows = ARRAY_LEN(piix3_windows),
    .reset = piix3_reset,
    .destroy = piix3_destroy,
    .state = &piix3_state,
};

PciDevice *piix3_isa_new(const Piix3Config *c)
{
    Piix3 *s = g_new0(Piix3, 1);

    pci_device_init(&s->pci, &piix3_class,
                    &(PciIds){.vendor = 0x8086, .device = 0x7000, .subsystem_vendor = 0x1af4,
                              .subsystem = 0x1100, .class_code = 0x060100});
    s->config = *c;
    pci_config_init(&s->pci, PCI_COMMAND, 2, 7, 0x0108); /* always decodes, always a master */
    pci_config_init(&s->pci, PCI_HEADER_TYPE, 1, 0x80, 0);
    pci_config_init(&s->pci, 0x4c, 1, 0x4d, 0xff);       /* ISA recovery timing: kept, no effect */
    pci_config_init(&s->pci, 0x4e, 2, 0x0003, 0xffff);   /* X-bus chip selects: kept, no effect  */
    for (unsigned i = 0; i < 4; i++) {
        pci_config_init(&s->pci, REG_PIRQ_A + i, 1, PIRQ_OFF, 0x8f);
    }
    s->pci.config_written = config_written;
    return &s->pci;
}
