/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cuts the bytes of a QMP connection into JSON values.
 *
 * Values may follow each other on a line, spread over lines and reads, and end without a newline: a
 * value is handed over at its last byte.  Between the braces json-c decides what is JSON (single
 * quotes, 64-bit unsigned numbers); what it refuses gives one error and is forgotten, as a whole.
 * What makes the end of a value doubtful (a stray byte, a control character in a string, a word that is
 * none of JSON's, too much) gives one error too, and the rest of the line is dropped.
 *
 * Memory is bounded: QMP_INPUT_MAX bytes, QMP_INPUT_MAX_DEPTH levels, QMP_INPUT_MAX_VALUES values.
 */
#ifndef MONITOR_QMP_INPUT_H
#define MONITOR_QMP_INPUT_H

#include <stddef.h>
#include <stdint.h>

struct json_object;

enum {
    QMP_INPUT_MAX = 1 << 20,
    QMP_INPUT_MAX_DEPTH = 1024,
    QMP_INPUT_MAX_VALUES = 1 << 16,
};

typedef struct {
    void *arg;
    /* A value; its reference goes to the callee.  NULL is JSON's null. */
    void (*value)(void *arg, struct json_object *v);
    void (*error)(void *arg, const char *text);
} QmpInputSink;

typedef struct QmpInput QmpInput;

QmpInput *qmp_input_new(const QmpInputSink *sink);
void qmp_input_free(QmpInput *in);

void qmp_input_feed(QmpInput *in, const uint8_t *buf, size_t len);
/* Forget a value that has begun (the connection is gone). */
void qmp_input_reset(QmpInput *in);

#endif /* MONITOR_QMP_INPUT_H */
