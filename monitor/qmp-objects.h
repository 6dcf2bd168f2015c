/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The objects of -object and object-add. */
#ifndef MONITOR_QMP_OBJECTS_H
#define MONITOR_QMP_OBJECTS_H

#include "monitor/machine.h"

struct json_object;

/* An object made by object-add; owned by the Qmp. */
typedef struct {
    char *id, *filename;
} QmpObject;

void qmp_object_free(QmpObject *o);

/* What an rng-random object reads; NULL when there is no object of that id. */
const char *qmp_object_filename(Machine *m, const char *id);
/* Append ObjectPropertyInfo of each to `list`. */
void qmp_objects_list(Machine *m, struct json_object *list);

#endif /* MONITOR_QMP_OBJECTS_H */
