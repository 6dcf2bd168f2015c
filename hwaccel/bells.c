/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hwaccel/bells.h"

#include "hwaccel/lazy.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct {
    uint64_t gpa;
    uint32_t value;
    bool by_value;
} Place;

typedef struct {
    KvmVm *vm;
    Place place;
    int fd;
    GSource *source;           /* NULL: the machine rests */
} Bell;

/* -- One bell ------------------------------------------------------------------------------------------- */

static int tell_kvm(const Bell *b, uint32_t flags)
{
    struct kvm_ioeventfd e = {
        .addr = b->place.gpa,
        .datamatch = b->place.value,
        .len = b->place.by_value ? 4 : 0,
        .fd = b->fd,
        .flags = flags | (b->place.by_value ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
    };

    return b->vm->ops->request(b->vm->ops, b->vm->fd, KVM_IOEVENTFD, (uintptr_t)&e);
}

static void ring(Bell *b)
{
    uint64_t times;

    if (read(b->fd, &times, sizeof times) == sizeof times) {
        b->vm->rings += times;
        kvm_lazy_drain(b->vm);
        phys_write(b->vm->mem, guest_phys(b->place.gpa), b->place.by_value ? 4 : 2, b->place.value);
    }
}

static gboolean rung(gint fd, GIOCondition cond, gpointer arg)
{
    ring(arg);
    return G_SOURCE_CONTINUE;
}

static void listen_to(Bell *b)
{
    if (b->source == NULL) {
        b->source = g_unix_fd_source_new(b->fd, G_IO_IN);
        g_source_set_callback(b->source, G_SOURCE_FUNC(rung), b, NULL);
        g_source_attach(b->source, b->vm->context);
    }
}

static void stop_listening(Bell *b)
{
    if (b->source != NULL) {
        g_source_destroy(b->source);
        g_clear_pointer(&b->source, g_source_unref);
    }
}

static void free_bell(void *arg)
{
    Bell *b = arg;

    stop_listening(b);
    tell_kvm(b, KVM_IOEVENTFD_FLAG_DEASSIGN);
    close(b->fd);
    g_free(b);
}

/* Where it cannot be had, the writes exit. */
static void add(KvmVm *vm, const Place *p)
{
    Bell *b = g_new0(Bell, 1);
    int r;

    *b = (Bell){.vm = vm, .place = *p, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    r = b->fd >= 0 ? tell_kvm(b, 0) : -errno;
    if (r < 0) {
        g_clear_pointer(&vm->no_bells, g_free);
        vm->no_bells = g_strdup(g_strerror(-r));
        if (b->fd >= 0) {
            close(b->fd);
        }
        g_free(b);
        return;
    }
    g_ptr_array_add(vm->bells, b);
    if (!vm->bells_rest) {
        listen_to(b);
    }
}

/* -- All of them ------------------------------------------------------------------------------------------- */

static void want_range(const PhysRange *r, const char *name, void *arg)
{
    const BusBells *w = r->kind == PHYS_MMIO ? &r->ops->bells : NULL;

    for (uint32_t i = 0; w != NULL && i < w->count; i++) {
        uint64_t off = w->off + (w->by_value ? 0 : (uint64_t)i * w->step) - r->window_off;
        Place p = {.gpa = r->base + off, .by_value = w->by_value, .value = w->by_value ? i : 0};

        if (off < r->len && r->len - off >= 4) {
            g_array_append_val((GArray *)arg, p);
        }
    }
}

static bool same_place(const Place *a, const Place *b)
{
    return a->gpa == b->gpa && a->by_value == b->by_value && a->value == b->value;
}

static bool wanted(const GArray *want, const Place *p)
{
    for (unsigned i = 0; i < want->len; i++) {
        if (same_place(&g_array_index(want, Place, i), p)) {
            return true;
        }
    }
    return false;
}

static bool is_there(const KvmVm *vm, const Place *p)
{
    for (unsigned i = 0; i < vm->bells->len; i++) {
        if (same_place(&((Bell *)g_ptr_array_index(vm->bells, i))->place, p)) {
            return true;
        }
    }
    return false;
}

void kvm_bells_follow(KvmVm *vm)
{
    g_autoptr(GArray) want = g_array_new(FALSE, FALSE, sizeof(Place));

    if (vm->bells == NULL) {
        return;
    }
    phys_mem_foreach(vm->mem, want_range, want);
    for (unsigned i = vm->bells->len; i-- > 0;) {
        if (!wanted(want, &((Bell *)g_ptr_array_index(vm->bells, i))->place)) {
            g_ptr_array_remove_index(vm->bells, i);
        }
    }
    for (unsigned i = 0; i < want->len; i++) {
        const Place *p = &g_array_index(want, Place, i);
        if (!is_there(vm, p)) {
            add(vm, p);
        }
    }
}

void kvm_bells_init(KvmVm *vm, GMainContext *context)
{
    if (context == NULL) {
        return;
    }
    if (!vm->host->ioeventfd) {
        vm->no_bells = g_strdup("the host's KVM has no ioeventfds of any length");
        return;
    }
    vm->context = context;
    vm->bells_rest = true;     /* until the machine starts */
    vm->bells = g_ptr_array_new_with_free_func(free_bell);
    kvm_bells_follow(vm);
}

void kvm_bells_rest(KvmVm *vm, bool rest)
{
    vm->bells_rest = rest;
    for (unsigned i = 0; vm->bells != NULL && i < vm->bells->len; i++) {
        (rest ? stop_listening : listen_to)(g_ptr_array_index(vm->bells, i));
    }
}

void kvm_bells_clear(KvmVm *vm)
{
    GPtrArray *bells = g_steal_pointer(&vm->bells);

    if (bells != NULL) {
        for (unsigned i = 0; i < bells->len; i++) {
            ring(g_ptr_array_index(bells, i));
        }
        g_ptr_array_free(bells, TRUE);
    }
}
