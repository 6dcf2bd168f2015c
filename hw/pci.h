/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI bus (one bus, 32 slots of 8 functions) and what a PCI function is.
 *
 * A PCI device embeds PciDevice as its first member (which embeds Device first), so that one
 * pointer is all three.  In its constructor it calls pci_device_init(), then adds BARs, MSI or
 * MSI-X, capabilities.  Its DeviceClass.reset calls pci_device_reset(), its destroy calls
 * pci_device_clear() before it frees itself.  The machine wires it:
 *
 *     PciBus *bus = pci_bus_new(mem, ports);
 *     bus->route = pci_route_i440fx;            (slot, pin) -> PIRQ
 *     bus->pirq[i] = piix3_pirq_line(piix3, i); where the four PIRQ lines go
 *     bus->msi = deliver; bus->msi_arg = m;     message-signalled interrupts
 *     pci_bus_add(bus, dev, slot, function, &error);
 *
 * and owns the device by its Device like any other (machine_add_device).  Devices are freed before
 * the bus.  A function that is on no bus works but answers nowhere and interrupts nobody.
 *
 * Windows of BARs are mapped into PhysMem and PortSpace while the command register enables them,
 * with priority PCI_BAR_PRIORITY, below RAM and everything the machine maps itself (a host bridge
 * claims those first).  The BusOps get the Device as `arg`, as every device window does.  All
 * functions want the machine lock.
 *
 * References: PCI Local Bus 3.0 chapter 6 (configuration space), 6.8 (MSI and MSI-X).
 */
#ifndef HW_PCI_H
#define HW_PCI_H

#include "hw/device.h"
#include "hw/irq.h"
#include "softmmu/base/bits.h"
#include "softmmu/phys-mem.h"
#include "softmmu/port-space.h"

#include <glib.h>

typedef struct PciDevice PciDevice;
typedef struct PciBus PciBus;

/* Registers of the type 0 header. */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS = 0x09,             /* prog-if, sub-class, base class */
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_ROM_BAR = 0x30,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
};

enum {
    PCI_COMMAND_IO = 0x001,
    PCI_COMMAND_MEMORY = 0x002,
    PCI_COMMAND_MASTER = 0x004,
    PCI_COMMAND_INTX_OFF = 0x400,
    PCI_STATUS_INTX = 0x08,
    PCI_STATUS_CAPABILITIES = 0x10,
};

enum { PCI_CAP_MSI = 0x05, PCI_CAP_VENDOR = 0x09, PCI_CAP_MSIX = 0x11 };

enum {
    PCI_CONFIG_LEN = 256,
    PCI_N_BARS = 7,               /* 0..5, and the expansion ROM */
    PCI_BAR_ROM = 6,
    PCI_BAR_PRIORITY = -1,
};

/* -- Functions ----------------------------------------------------------------------------------- */

typedef struct {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint32_t class_code;          /* 24 bits: base class, sub-class, programming interface */
    uint8_t revision;
    uint8_t pin;                  /* 0: no INTx; 1..4: INTA..INTD */
} PciIds;

typedef struct {
    uint64_t len;                 /* 0: no such BAR; else a power of two */
    bool io, is_64, prefetch, is_memory;
    const DeviceWindow *window;   /* registers: I/O or MMIO */
    uint64_t offset;              /* is_memory: place in the memfd */
    const char *name;

    uint64_t addr;                /* where it is mapped; meaningless when not mapped */
    PhysRegion *region;           /* mapped in memory, or NULL */
    PortWindow *ports;            /* mapped in port space, or NULL */
} PciBar;

typedef struct {
    unsigned n;                   /* vectors, 0: none */
    unsigned cap;                 /* its capability's place */
    uint8_t *table;               /* MSI-X: n entries of 16 bytes */
    uint64_t *pending;            /* MSI-X: pending bits */
    unsigned pba_off;             /* in the BAR */
    DeviceWindow window;
} PciMsix;

struct PciDevice {
    Device dev;

    /* wiring, set once */
    PciBus *bus;                  /* NULL until pci_bus_add() */
    uint8_t devfn;                /* slot << 3 | function */
    uint8_t initial[PCI_CONFIG_LEN];   /* what reset restores */
    uint8_t writable[PCI_CONFIG_LEN];  /* bits the guest may set and clear */
    uint8_t write1clear[PCI_CONFIG_LEN];
    unsigned cap_end;             /* first free byte for capabilities */
    unsigned cap_last;            /* the last capability, 0: none */
    PciBar bar[PCI_N_BARS];
    PciMsix msix;
    unsigned msi_cap;             /* 0: none */

    /* Hooks of the device; may be NULL.  Before a read: bring config[] up to date.  After a write
     * of [off, off+size): act on it (config[] holds the new value). */
    void (*config_reading)(PciDevice *d, unsigned off, unsigned size);
    void (*config_written)(PciDevice *d, unsigned off, unsigned size);

    /* state */
    uint8_t config[PCI_CONFIG_LEN];
    bool intx;                    /* what the device asserts, before PCI_COMMAND_INTX_OFF */
    bool intx_out;                /* what the bus sees */
    uint8_t saved[PCI_CONFIG_LEN]; /* config[] on its way to or from a saved machine */
};

/* For the tables of functions: FIELD_STRUCT(T, pci, pci_device_state).  Maps BARs where they are to be. */
extern const FieldTable pci_device_state;

/* The class's windows should list the BARs' register windows. */
void pci_device_init(PciDevice *d, const DeviceClass *cls, const PciIds *ids);
void pci_device_reset(PciDevice *d);
/* Unmap and leave the bus; for destroy functions. */
void pci_device_clear(PciDevice *d);

/* Configuration registers of the device's own: initial value and writable bits.  size 1, 2, 4. */
void pci_config_init(PciDevice *d, unsigned off, unsigned size, uint32_t value, uint32_t writable);

static inline uint32_t pci_get(const PciDevice *d, unsigned off, unsigned size)
{
    return (uint32_t)load_le(d->config + off, size);
}

/* Change a register from inside the device. */
static inline void pci_set(PciDevice *d, unsigned off, unsigned size, uint32_t value)
{
    store_le(d->config + off, size, value);
}

/* What a configuration cycle does: size 1, 2, 4, naturally aligned. */
uint32_t pci_config_read(PciDevice *d, unsigned off, unsigned size);
void pci_config_write(PciDevice *d, unsigned off, unsigned size, uint32_t val);

/* -- BARs: size a power of two; memory BARs at least 4 KiB --------------------------------------- */

enum { PCI_BAR_64 = 1, PCI_BAR_PREFETCH = 2 };

/* Registers: window->kind says I/O or memory.  `window` is borrowed for the device's life. */
void pci_add_bar(PciDevice *d, unsigned bar, const DeviceWindow *window, unsigned flags);
/* Plain memory (video memory): [offset, offset+len) of the memfd. */
void pci_add_bar_ram(PciDevice *d, unsigned bar, uint64_t offset, uint64_t len, unsigned flags,
                     const char *name);
/* The expansion ROM: [offset, offset+len) of the memfd, already filled. */
void pci_add_rom(PciDevice *d, uint64_t offset, uint64_t len, const char *name);

/* -- Capabilities -------------------------------------------------------------------------------- */

/* Append a capability of `len` bytes (with its two header bytes); returns its place.  Its contents
 * are set by pci_config_init().  Running out of room is a bug. */
unsigned pci_add_capability(PciDevice *d, uint8_t id, unsigned len);

/* -- Interrupts ---------------------------------------------------------------------------------- */

/* The INTx pin, by level. */
void pci_set_intx(PciDevice *d, bool level);
/* The same as a line for a device model that knows no PCI. */
IrqLine pci_intx_line(PciDevice *d);

/* MSI with 1..32 (a power of two) vectors, 64-bit addresses and per-vector masks. */
void pci_add_msi(PciDevice *d, unsigned n_vectors);
bool pci_msi_enabled(const PciDevice *d);
void pci_msi_notify(PciDevice *d, unsigned vector);

/* MSI-X with 1..2048 vectors, whose table and pending bits have the whole of `bar` (32-bit). */
void pci_add_msix(PciDevice *d, unsigned bar, unsigned n_vectors);
bool pci_msix_enabled(const PciDevice *d);
/* Send, or remember while masked; a vector that does not exist is ignored. */
void pci_msix_notify(PciDevice *d, unsigned vector);

/* The device may read and write memory (and send messages). */
static inline bool pci_is_master(const PciDevice *d)
{
    return (d->config[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0;
}

/* -- Bus ----------------------------------------------------------------------------------------- */

struct PciBus {
    /* wiring: mem and ports borrowed; the machine sets the rest before the guest runs */
    PhysMem *mem;
    PortSpace *ports;
    unsigned (*route)(unsigned slot, unsigned pin); /* pin 0..3 -> PIRQ 0..3 */
    IrqLine pirq[4];
    void (*msi)(void *arg, uint64_t addr, uint32_t data);
    void *msi_arg;

    PciDevice *dev[256];          /* by devfn, borrowed */
    unsigned asserted[4];         /* how many functions assert each PIRQ */
};

PciBus *pci_bus_new(PhysMem *mem, PortSpace *ports);
void pci_bus_free(PciBus *b);

/* Put a function on the bus.  slot -1: the first free slot.  False with one line in `error` when
 * the place is taken or there is none.  Function 0 becomes multifunction by itself. */
bool pci_bus_add(PciBus *b, PciDevice *d, int slot, unsigned function, GError **error);

/* The function that answers, or NULL. */
static inline PciDevice *pci_bus_find(const PciBus *b, unsigned devfn)
{
    return b->dev[devfn & 0xff];
}

/* PIIX wiring: (slot - 1 + pin) mod 4. */
unsigned pci_route_i440fx(unsigned slot, unsigned pin);

/* Call f for every function in devfn order (info pci, query-pci). */
void pci_bus_foreach(const PciBus *b, void (*f)(const PciDevice *d, void *arg), void *arg);

/* What the guest has programmed, mapped or not. */
uint64_t pci_bar_addr(const PciDevice *d, unsigned bar);
static inline bool pci_bar_mapped(const PciDevice *d, unsigned bar)
{
    return d->bar[bar].region != NULL || d->bar[bar].ports != NULL;
}

#endif /* HW_PCI_H */
