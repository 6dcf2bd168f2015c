/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What QMP's commands take and give, and its events: qmp-types.def and qmp-commands.def, read into
 * one graph of types.  Arguments are checked against it, query-commands and query-qmp-schema are
 * printed from it, so that what is listed is what works.
 *
 * The .def files describe a type in one string:
 *     "name:type name?:type"       members; ? may be left out
 *     type                         str int bool number any null, a name, [type] for a list
 *     (command arguments) "=Name"  the arguments are the members of that object
 */
#ifndef MONITOR_QMP_SCHEMA_H
#define MONITOR_QMP_SCHEMA_H

#include <glib.h>
#include <stdbool.h>

struct json_object;
struct QmpCall;

typedef enum {
    QMP_TYPE_BUILTIN, QMP_TYPE_ENUM, QMP_TYPE_ARRAY, QMP_TYPE_OBJECT, QMP_TYPE_ALTERNATE,
} QmpKind;

typedef struct QmpType QmpType;

typedef struct {
    char *name;
    const QmpType *type;
    bool optional;
} QmpMember;

struct QmpType {
    QmpKind kind;
    char *name;
    const char *help;          /* may be NULL; static                                       */
    char **values;             /* ENUM                                                      */
    const QmpType *element;    /* ARRAY                                                     */
    GArray *members;           /* OBJECT: QmpMember; ALTERNATE: one for each alternative    */
    char *tag;                 /* OBJECT with variants: the member that chooses             */
    GArray *variants;          /* QmpMember: name is the tag's value, type an object        */
};

/* Returns what the command returns, NULL for {} or with `error` set. */
typedef struct json_object *QmpHandler(struct QmpCall *c, GError **error);

typedef struct {
    const char *name, *help;
    QmpHandler *handler;       /* NULL: an event                          */
    const QmpType *args;       /* an object; of an event: its data        */
    const QmpType *ret;        /* the empty object: nothing               */
} QmpCommand;

typedef struct QmpSchema QmpSchema;

/* A mistake in the .def files is a bug and stops the program; the unit tests read them all. */
QmpSchema *qmp_schema_new(void);
void qmp_schema_free(QmpSchema *s);

/* NULL when there is none. */
const QmpCommand *qmp_schema_command(const QmpSchema *s, const char *name);
const QmpType *qmp_schema_type(const QmpSchema *s, const char *name);

/* All of them, in the order of the files. */
const QmpCommand *qmp_schema_commands(const QmpSchema *s, unsigned *n);
const QmpCommand *qmp_schema_events(const QmpSchema *s, unsigned *n);

/* "str", "[Name]": how a type is written. */
const char *qmp_type_name(const QmpType *t);

/* Is `v` (NULL: JSON's null, or absent arguments) one of these?  The error names the member. */
bool qmp_type_check(const QmpType *t, struct json_object *v, GError **error);

/* The answers of query-qmp-schema, query-commands and query-events. */
struct json_object *qmp_schema_introspect(const QmpSchema *s);
struct json_object *qmp_schema_command_list(const QmpSchema *s);
struct json_object *qmp_schema_event_list(const QmpSchema *s);

#endif /* MONITOR_QMP_SCHEMA_H */
