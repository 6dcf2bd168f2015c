/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/qmp-keys.h"

#include <string.h>

enum { MAX_CHORDS = 256, GAP_MS = 10 };

typedef struct {
    uint8_t keys[QMP_KEYS_AT_ONCE];
    size_t n;
    unsigned hold_ms;
} Chord;

struct QmpKeys {
    Machine *machine;
    Timer timer;
    Chord chords[MAX_CHORDS];  /* the first is held, if `down` */
    size_t n;
    bool down;
};

/* All keys of the first chord. */
static void put(QmpKeys *k, bool down)
{
    const Chord *c = &k->chords[0];

    for (size_t i = 0; i < c->n; i++) {
        k->machine->cls->key(k->machine, c->keys[down ? i : c->n - 1 - i], down);
    }
    k->down = down;
}

static void fire(void *arg)
{
    QmpKeys *k = arg;

    if (k->down) {
        put(k, false);
        memmove(&k->chords[0], &k->chords[1], --k->n * sizeof k->chords[0]);
        if (k->n > 0) {
            timer_set(&k->timer, timer_now(&k->timer) + GAP_MS * NS_PER_MS);
        }
    } else {
        put(k, true);
        timer_set(&k->timer, timer_now(&k->timer) + k->chords[0].hold_ms * NS_PER_MS);
    }
}

QmpKeys *qmp_keys_new(Machine *m)
{
    QmpKeys *k = g_new0(QmpKeys, 1);

    k->machine = m;
    timer_init(&k->timer, &m->timers, fire, k);
    return k;
}

void qmp_keys_free(QmpKeys *k)
{
    if (k != NULL) {
        timer_cancel(&k->timer);
        g_free(k);
    }
}

bool qmp_keys_send(QmpKeys *k, const uint8_t *keys, size_t n, unsigned hold_ms)
{
    Chord *c = &k->chords[k->n];

    if (k->n == MAX_CHORDS) {
        return false;
    }
    memcpy(c->keys, keys, n);
    c->n = n;
    c->hold_ms = hold_ms;
    if (k->n++ == 0) {
        fire(k);
    }
    return true;
}
