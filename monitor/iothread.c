/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "monitor/iothread.h"

#include "monitor/report.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct IoThread {
    char *id;
    GMainContext *context;
    GMainLoop *loop;
    pthread_t thread;
    int tid;                   /* set before iothread_new() returns */
    GMutex mutex;
    GCond started;
};

static void *iothread_main(void *arg)
{
    IoThread *t = arg;
    g_autofree char *name = g_strdup_printf("IO %.12s", t->id);

    pthread_setname_np(pthread_self(), name);
    g_mutex_lock(&t->mutex);
    t->tid = (int)gettid();
    g_cond_signal(&t->started);
    g_mutex_unlock(&t->mutex);
    g_main_context_push_thread_default(t->context);
    g_main_loop_run(t->loop);
    g_main_context_pop_thread_default(t->context);
    return NULL;
}

IoThread *iothread_new(const char *id, GError **error)
{
    IoThread *t = g_new0(IoThread, 1);
    sigset_t all, old;
    int err;

    t->id = g_strdup(id);
    t->context = g_main_context_new();
    t->loop = g_main_loop_new(t->context, FALSE);
    g_mutex_init(&t->mutex);
    g_cond_init(&t->started);
    sigfillset(&all);          /* signals are the machine's I/O thread's */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&t->thread, NULL, iothread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err != 0) {
        g_clear_pointer(&t->loop, g_main_loop_unref);
        iothread_free(t);
        fail(error, "cannot start a thread: %s", strerror(err));
        return NULL;
    }
    g_mutex_lock(&t->mutex);
    while (t->tid == 0) {
        g_cond_wait(&t->started, &t->mutex);
    }
    g_mutex_unlock(&t->mutex);
    return t;
}

static gboolean quit(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

void iothread_free(IoThread *t)
{
    if (t->loop != NULL) {     /* from inside: a quit before the loop runs would be lost */
        GSource *s = g_idle_source_new();
        g_source_set_callback(s, quit, t->loop, NULL);
        g_source_attach(s, t->context);
        g_source_unref(s);
        pthread_join(t->thread, NULL);
        g_main_loop_unref(t->loop);
    }
    g_main_context_unref(t->context);
    g_mutex_clear(&t->mutex);
    g_cond_clear(&t->started);
    g_free(t->id);
    g_free(t);
}

const char *iothread_id(const IoThread *t)
{
    return t->id;
}

int iothread_thread_id(const IoThread *t)
{
    return t->tid;
}

GMainContext *iothread_context(IoThread *t)
{
    return t->context;
}
