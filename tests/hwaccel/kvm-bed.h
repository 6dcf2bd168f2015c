/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests of the engine on a KVM made of memory set up: a CPU, the fake KVM, a board with interrupt controllers. */
#ifndef TESTS_HWACCEL_KVM_BED_H
#define TESTS_HWACCEL_KVM_BED_H

#include "hwaccel/apic.h"
#include "hwaccel/engine.h"
#include "hwaccel/kvm-cpu.h"
#include "tests/hwaccel/fake-kvm.h"
#include "tests/hwaccel/random-state.h"

typedef struct {
    ApicImage image;
    const ApicHolder *holder;
    unsigned takes, brings;
    uint8_t ended;
    IrqChips chips;
    const IrqChipHolder *chip_holder;
    unsigned chips_brought, chips_lost;
} Board;

typedef struct {
    GuestCpu g;
    FakeKvm f;                 /* .arg is the Bed */
    Board board;
    ApicHome home;             /* of the board */
} Bed;

void bed_init(Bed *b, GuestMode mode);
void bed_init_model(Bed *b, GuestMode mode, const char *model);
/* In long mode, with a board, whose controllers may be KVM's as `config` says. */
void bed_init_board(Bed *b, const KvmConfig *config);
void bed_add_board(Bed *b, const KvmConfig *config);
KvmCpu *bed_attach(Bed *b);
CpuExit bed_run(Bed *b);
/* Detach; nothing may be left. */
void bed_clear(Bed *b);

#endif /* TESTS_HWACCEL_KVM_BED_H */
