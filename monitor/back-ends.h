/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's host side: makes what -chardev, -serial and -drive describe, and hands it out. */
#ifndef MONITOR_BACK_ENDS_H
#define MONITOR_BACK_ENDS_H

#include "hw/chardev-backends.h"
#include "monitor/config.h"
#include "monitor/machine.h"

/* An element of Machine.chardevs: a chardev of the configuration and who has it. */
typedef struct {
    const ChardevConfig *config;
    ChardevConfig *own_config; /* the same when it was added later, else NULL   */
    Chardev *chardev;          /* owned unless muxed: then its mux has it        */
    CharMux *mux;              /* NULL: for one front end                        */
    GPtrArray *fronts;         /* Chardev*, owned: those of the mux              */
    bool used;
} BackEndChardev;

/* An element of Machine.blocks. */
typedef struct {
    const DriveConfig *config;
    Machine *machine;
    BlockBackend *block;       /* NULL: a removable drive without a medium       */
    bool used;
    const char *device;        /* id= of the -device that has it, borrowed; or NULL */
} BackEndBlock;

bool back_ends_open_chardevs(Machine *m, GError **error);
bool back_ends_start_iothreads(Machine *m, GError **error);
bool back_ends_open_blocks(Machine *m, GError **error);

/* One more chardev, while the machine exists; takes `c` in any case. */
bool back_end_add_chardev(Machine *m, ChardevConfig *c, GError **error);
/* NULL when there is none. */
BackEndChardev *back_end_find_chardev(Machine *m, const char *id);

/* Hand out to one device or monitor; NULL with `error` when it is not there or taken. */
Chardev *back_end_take_chardev(Machine *m, const char *id, GError **error);
/* Its taker has detached from it: others may take it; drop: close it.  (A mux keeps its fronts.) */
void back_end_give_back_chardev(Machine *m, Chardev *chardev, bool drop);
BackEndBlock *back_end_take_block(Machine *m, const char *id, GError **error);
/* The drive of an interface at an index, marked used; NULL: there is none. */
BackEndBlock *back_end_take_drive(Machine *m, DriveInterface interface, unsigned index);

/* After all devices are made: refuse a drive that nothing would serve (if=ide on a machine without). */
bool back_ends_check_use(Machine *m, GError **error);

/* Elements' free functions. */
void back_end_chardev_free(BackEndChardev *b);
void back_end_block_free(BackEndBlock *b);

#endif /* MONITOR_BACK_ENDS_H */
