/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract every device keeps (tests/hw/test-contract.c), and the table of devices under it
 * (tests/hw/contract-devices.c): a new device adds a row there.
 */
#ifndef TESTS_HW_CONTRACT_H
#define TESTS_HW_CONTRACT_H

#include "hw/chardev.h"
#include "hw/device.h"
#include "softmmu/phys-mem.h"
#include "softmmu/port-space.h"
#include "tests/fake.h"

enum { CONTRACT_N_IRQS = 32, CONTRACT_MEM_LEN = 64 << 20, CONTRACT_RAM_LEN = 1 << 20 };

/* What a maker wires its device to.  Guest memory is CONTRACT_RAM_LEN of RAM at 0. */
typedef struct {
    FakeClock clock;
    Lock lock;
    PhysMem *mem;
    PortSpace *ports;
    FakeIrq irq[CONTRACT_N_IRQS];
    unsigned callbacks;         /* contract_callback() counts here           */
    Chardev chr;                /* takes everything, gives nothing           */
    GPtrArray *others;          /* Device*: freed after the device, in order */
    void (*finish)(void *arg);  /* called last, after all devices are freed  */
    void *finish_arg;
} ContractEnv;

typedef struct {
    const char *name;
    Device *(*make)(ContractEnv *env);
    /* Reset keeps some of it (a battery, video memory): its own test says what. */
    bool keeps_state;
} ContractRow;

extern const ContractRow contract_rows[];
extern const unsigned contract_n_rows;

/* Make a row's device (not yet reset) in a fresh environment, whose machine lock is then held, and
 * whose time is now_ns. */
Device *contract_set_up(ContractEnv *env, const ContractRow *row, uint64_t now_ns);
void contract_tear_down(ContractEnv *env, Device *d);

/* For config callbacks of the form void (*)(void *arg): arg is the env. */
static inline void contract_callback(void *arg)
{
    ((ContractEnv *)arg)->callbacks++;
}

static inline IrqLine contract_irq(ContractEnv *env, unsigned n)
{
    return FAKE_IRQ_LINE(&env->irq[n]);
}

#endif /* TESTS_HW_CONTRACT_H */
