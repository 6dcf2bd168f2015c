/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the machine tells its monitors of its own accord: a function for each event.  Machine lock
 * held, any thread.  What a monitor's command causes is sent before the command's answer.
 */
#ifndef MONITOR_EVENTS_H
#define MONITOR_EVENTS_H

#include "monitor/machine.h"

void event_shutdown(Machine *m, MachineCause cause);
void event_reset(Machine *m, MachineCause cause);
void event_stop(Machine *m);
void event_resume(Machine *m);
void event_powerdown(Machine *m);
void event_migration(Machine *m, const char *status);

/* The guest says by pvpanic that it has crashed (GUEST_PANICKED) or that a crash kernel takes over
 * (GUEST_CRASHLOADED); a watchdog has run out.  `action` is what is done about it. */
void event_guest_panicked(Machine *m, const char *event, const char *action);
void event_watchdog(Machine *m, const char *action);

/* The host failed a request of the drive `device`; the guest gets the error. */
void event_block_io_error(Machine *m, const char *device, bool is_read, int err);
/* The guest has set its clock, `offset_s` seconds ahead of where -rtc put it; a callback's form. */
void event_rtc_change(void *machine, int64_t offset_s);

/* "guest-reset": how QMP names a cause. */
const char *machine_cause_name(MachineCause cause);

#endif /* MONITOR_EVENTS_H */
