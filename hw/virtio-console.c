/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/virtio-console.h"

#include "softmmu/base/log.h"

enum { F_MULTIPORT = 1, F_EMERG_WRITE = 2 };
enum { CFG_MAX_PORTS = 4, CFG_EMERG = 8, CFG_LEN = 12 };

/* Control messages (5.3.6.2): u32 port, u16 event, u16 value, then a name. */
enum {
    EV_DEVICE_READY,
    EV_PORT_ADD,
    EV_PORT_REMOVE,
    EV_PORT_READY,
    EV_CONSOLE_PORT,
    EV_RESIZE,
    EV_PORT_OPEN,
    EV_PORT_NAME,
};
enum { CONTROL_LEN = 8, INPUT_LEN = 4096, MAX_PENDING_CONTROL = 256 };

/* Queues (5.3.2): port 0 has 0 and 1, control 2 and 3, port n 2n+2 and 2n+3; even ones receive. */
enum { QUEUE_CONTROL_RX = 2, QUEUE_CONTROL_TX = 3 };

typedef struct VirtioConsole VirtioConsole;

typedef struct {
    VirtioConsole *host;
    unsigned index;
    Chardev *chr;
    bool absent, console;
    char *name;                    /* owned, or NULL */

    bool guest_open;
    uint8_t input[INPUT_LEN];      /* taken from the host, not yet in the guest */
    unsigned input_len;
    bool peer_open;                /* host side */
} Port;

struct VirtioConsole {
    VirtioDevice vd;
    Port *port;
    unsigned n_ports;
    GQueue control;                /* GBytes*: messages that wait for a buffer */
    uint8_t saved[MAX_PENDING_CONTROL][CONTROL_LEN]; /* their heads, on the way to or from a saved machine */
    unsigned n_saved;
};

static Virtqueue *rx_queue(const Port *p)
{
    return &p->host->vd.queue[p->index == 0 ? 0 : 2 * p->index + 2];
}

/* -- Control messages ---------------------------------------------------------------------------- */

static void send_control_pending(VirtioConsole *s)
{
    Virtqueue *q = &s->vd.queue[QUEUE_CONTROL_RX];
    VirtqElement *e;
    bool any = false;

    while (!g_queue_is_empty(&s->control) && (e = virtq_pop(q)) != NULL) {
        GBytes *msg = g_queue_pop_head(&s->control);
        gsize len;
        const void *data = g_bytes_get_data(msg, &len);
        virtq_push(e, iov_write(virtq_in(e), e->n_in, 0, data, len));
        g_bytes_unref(msg);
        any = true;
    }
    if (any) {
        virtq_notify(q);
    }
}

static void send_control(VirtioConsole *s, unsigned port, unsigned event, unsigned value,
                         const char *text)
{
    size_t n = text != NULL ? strlen(text) : 0;
    uint8_t *msg;

    if (!virtio_has(&s->vd, F_MULTIPORT) || g_queue_get_length(&s->control) >= MAX_PENDING_CONTROL) {
        return; /* a driver that asks without reading the answers gets no more */
    }
    msg = g_malloc(CONTROL_LEN + n);
    store_le(msg, 4, port);
    store_le(msg + 4, 2, event);
    store_le(msg + 6, 2, value);
    memcpy(msg + CONTROL_LEN, text != NULL ? text : "", n);
    g_queue_push_tail(&s->control, g_bytes_new_take(msg, CONTROL_LEN + n));
    send_control_pending(s);
}

static void accept_input(Port *p)
{
    if (p->chr != NULL && p->input_len == 0) {
        chardev_accept_input(p->chr);
    }
}

static void port_ready(VirtioConsole *s, Port *p)
{
    if (p->console) {
        send_control(s, p->index, EV_CONSOLE_PORT, 1, NULL);
    }
    if (p->name != NULL) {
        send_control(s, p->index, EV_PORT_NAME, 1, p->name);
    }
    if (p->peer_open) {
        send_control(s, p->index, EV_PORT_OPEN, 1, NULL);
    }
}

static void handle_control(VirtioConsole *s, const uint8_t *msg)
{
    uint32_t id = (uint32_t)load_le(msg, 4);
    unsigned event = (unsigned)load_le(msg + 4, 2), value = (unsigned)load_le(msg + 6, 2);

    if (event == EV_DEVICE_READY) {
        for (unsigned i = 0; value == 1 && i < s->n_ports; i++) {
            if (!s->port[i].absent) {
                send_control(s, i, EV_PORT_ADD, 1, NULL);
            }
        }
        return;
    }
    if (id >= s->n_ports || s->port[id].absent) {
        log_guest_error("virtio-console: control message for port %u", id);
        return;
    }
    if (event == EV_PORT_READY && value == 1) {
        port_ready(s, &s->port[id]);
    } else if (event == EV_PORT_OPEN) {
        s->port[id].guest_open = value != 0;
        accept_input(&s->port[id]);
    }
}

static void control_tx(VirtioConsole *s, Virtqueue *q)
{
    uint8_t msg[CONTROL_LEN];
    VirtqElement *e;

    for (unsigned n = 0; n < virtq_budget(q) && (e = virtq_pop(q)) != NULL; n++) {
        bool whole = iov_read(e->iov, e->n_out, 0, msg, sizeof msg) == sizeof msg;
        virtq_push(e, 0);
        if (whole) {
            handle_control(s, msg);
        }
    }
    virtq_notify(q);
}

/* -- Data ---------------------------------------------------------------------------------------- */

/* Without multiport, port 0 is always open. */
static bool guest_listens(const Port *p)
{
    const VirtioDevice *vd = &p->host->vd;

    return (vd->status & VIRTIO_STATUS_DRIVER_OK) != 0 &&
           (virtio_has(vd, F_MULTIPORT) ? p->guest_open : p->index == 0);
}

/* Move input to the guest as far as it has buffers. */
static void push_input(Port *p)
{
    Virtqueue *q = rx_queue(p);
    unsigned done = 0;
    VirtqElement *e;

    while (done < p->input_len && (e = virtq_pop(q)) != NULL) {
        uint64_t n = iov_write(virtq_in(e), e->n_in, 0, p->input + done, p->input_len - done);
        virtq_push(e, n);
        done += (unsigned)n;
    }
    if (done > 0) {
        p->input_len -= done;
        memmove(p->input, p->input + done, p->input_len);
        virtq_notify(q);
    }
}

static size_t can_read(void *arg)
{
    Port *p = arg;

    return guest_listens(p) && p->input_len == 0 && virtq_has_work(rx_queue(p)) ? INPUT_LEN : 0;
}

static void take_input(void *arg, const uint8_t *buf, size_t len)
{
    Port *p = arg;

    g_assert(len <= INPUT_LEN - p->input_len);
    memcpy(p->input + p->input_len, buf, len);
    p->input_len += (unsigned)len;
    push_input(p);
}

static void peer_event(void *arg, CharEvent e)
{
    Port *p = arg;

    if (e != CHAR_BREAK && p->peer_open != (e == CHAR_OPENED)) {
        p->peer_open = e == CHAR_OPENED;
        send_control(p->host, p->index, EV_PORT_OPEN, p->peer_open, NULL);
    }
}

static void port_tx(Port *p, Virtqueue *q)
{
    VirtqElement *e;

    for (unsigned n = 0; n < virtq_budget(q) && (e = virtq_pop(q)) != NULL; n++) {
        for (unsigned i = 0; i < e->n_out && p->chr != NULL; i++) {
            chardev_write(p->chr, e->iov[i].iov_base, e->iov[i].iov_len);
        }
        virtq_push(e, 0);
    }
    virtq_notify(q);
}

static void queue_notify(VirtioDevice *d, Virtqueue *q)
{
    VirtioConsole *s = (VirtioConsole *)d;

    if (q->index == QUEUE_CONTROL_RX) {
        send_control_pending(s);
    } else if (q->index == QUEUE_CONTROL_TX) {
        control_tx(s, q);
    } else {
        Port *p = &s->port[q->index < 2 ? 0 : q->index / 2 - 1];
        if (q->index % 2 == 1) {
            port_tx(p, q);
        } else {
            push_input(p);
            accept_input(p);
        }
    }
}

/* -- Device -------------------------------------------------------------------------------------- */

static void config_written(VirtioDevice *d, unsigned off, unsigned size)
{
    VirtioConsole *s = (VirtioConsole *)d;

    if (off == CFG_EMERG && s->port[0].chr != NULL) {
        chardev_write(s->port[0].chr, d->config + CFG_EMERG, 1);
        store_le(d->config + CFG_EMERG, 4, 0);
    }
}

static void console_reset(VirtioDevice *d)
{
    VirtioConsole *s = (VirtioConsole *)d;
    GBytes *msg;

    while ((msg = g_queue_pop_head(&s->control)) != NULL) {
        g_bytes_unref(msg);
    }
    for (unsigned i = 0; i < s->n_ports; i++) {
        s->port[i].guest_open = false;
        s->port[i].input_len = 0;
    }
    store_le(d->config + CFG_EMERG, 4, 0);
}

static void console_destroy(VirtioDevice *d)
{
    VirtioConsole *s = (VirtioConsole *)d;

    for (unsigned i = 0; i < s->n_ports; i++) {
        if (s->port[i].chr != NULL) {
            chardev_attach(s->port[i].chr, NULL);
        }
        g_free(s->port[i].name);
    }
    g_free(s->port);
    virtio_clear(d);
    g_free(s);
}

static void forget_control(VirtioConsole *s)
{
    GBytes *msg;

    while ((msg = g_queue_pop_head(&s->control)) != NULL) {
        g_bytes_unref(msg);
    }
}

static bool console_saving(void *state, GError **error)
{
    VirtioConsole *s = state;

    s->n_saved = 0;
    for (GList *l = s->control.head; l != NULL; l = l->next) {
        memcpy(s->saved[s->n_saved++], g_bytes_get_data(l->data, NULL), CONTROL_LEN);
    }
    return true;
}

/* Names are the ports' own. */
static bool console_loaded(void *state, GError **error)
{
    VirtioConsole *s = state;

    forget_control(s);
    for (unsigned i = 0; i < s->n_saved; i++) {
        uint32_t port = (uint32_t)load_le(s->saved[i], 4);
        bool named = load_le(s->saved[i] + 4, 2) == EV_PORT_NAME && port < s->n_ports && s->port[port].name != NULL;
        const char *name = named ? s->port[port].name : "";
        uint8_t *msg = g_malloc(CONTROL_LEN + strlen(name));

        memcpy(msg, s->saved[i], CONTROL_LEN);
        memcpy(msg + CONTROL_LEN, name, strlen(name));
        g_queue_push_tail(&s->control, g_bytes_new_take(msg, CONTROL_LEN + strlen(name)));
    }
    return true;
}

static const Field port_fields[] = {
    FIELD(Port, guest_open), FIELD(Port, input), FIELD_MAX(Port, input_len, INPUT_LEN),
};
static const FieldTable port_state = {.version = 1, FIELDS(port_fields)};

static void *find_port(void *state, unsigned i, const FieldTable **table)
{
    VirtioConsole *s = state;

    *table = &port_state;
    return i < s->n_ports ? &s->port[i] : NULL;
}

static const Field console_fields[] = {
    FIELD_FIND("port", find_port), FIELD(VirtioConsole, saved),
    FIELD_MAX(VirtioConsole, n_saved, MAX_PENDING_CONTROL),
};
static const FieldTable console_state = {.version = 1, FIELDS(console_fields), .saving = console_saving, .loaded = console_loaded};

static const VirtioClass console_class = {
    .name = "virtio-serial",
    .id = 3,
    .pci_class = 0x078000,
    .config_written = config_written,
    .queue_notify = queue_notify,
    .reset = console_reset,
    .destroy = console_destroy,
    .state = &console_state,
};

VirtioDevice *virtio_console_new(PhysMem *mem, const VirtioConsolePort *ports, unsigned n)
{
    VirtioConsole *s = g_new0(VirtioConsole, 1);
    unsigned slots = MAX(n, 1);    /* port 0's queues are there with no port too */

    g_assert(n <= VIRTIO_CONSOLE_MAX_PORTS);
    g_queue_init(&s->control);
    s->n_ports = n;
    s->port = g_new0(Port, slots);
    s->port[0] = (Port){.host = s};
    virtio_init(&s->vd, &console_class, mem, 2 * slots + 2, 128, CFG_LEN,
                BIT(F_MULTIPORT) | BIT(F_EMERG_WRITE));
    store_le(s->vd.config + CFG_MAX_PORTS, 4, slots);
    memset(s->vd.config_writable + CFG_EMERG, 0xff, 4);
    for (unsigned i = 0; i < n; i++) {
        Port *p = &s->port[i];
        *p = (Port){.host = s, .index = i, .absent = ports[i].absent, .chr = ports[i].chr, .console = ports[i].console,
                    .name = g_strdup(ports[i].name)};
        if (p->chr != NULL) {
            chardev_attach(p->chr, &(CharHandlers){p, can_read, take_input, peer_event});
        }
    }
    return &s->vd;
}
