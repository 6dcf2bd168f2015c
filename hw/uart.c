/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PC16550D data sheet (National Semiconductor, 1995). */
#include "hw/uart.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCRATCH };

enum { IER_RX = 0x01, IER_TX = 0x02, IER_LINE = 0x04, IER_MODEM = 0x08 };
enum {
    IIR_NONE = 0x01, IIR_MODEM = 0x00, IIR_TX = 0x02, IIR_RX = 0x04, IIR_LINE = 0x06,
    IIR_TIMEOUT = 0x0c, IIR_FIFO = 0xc0,
};
enum { FCR_ENABLE = 0x01, FCR_CLEAR_RX = 0x02 };
enum { LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 0x01, MCR_RTS = 0x02, MCR_OUT1 = 0x04, MCR_OUT2 = 0x08, MCR_LOOP = 0x10 };
enum {
    LSR_READY = 0x01, LSR_OVERRUN = 0x02, LSR_BREAK = 0x10, LSR_ERRORS = 0x1e, LSR_THRE = 0x20,
    LSR_TEMT = 0x40, LSR_FIFO_ERROR = 0x80,
};
enum { MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80 };

enum { FIFO_LEN = 16 };
static const uint8_t trigger_levels[4] = {1, 4, 8, 14};

/* When a guest listens: the receive interrupt stays enabled for so long (probing drivers enable it
 * for moments), or it looks at the line status so often. */
#define LISTEN_NS (10 * NS_PER_MS)
enum { POLLS_TO_LISTEN = 4 };

#define BASE_CLOCK_HZ UINT64_C(115200)     /* after the divide by 16 */
#define TIMEOUT_MAX_NS (5 * NS_PER_MS)     /* nobody types at 50 baud any more */

typedef struct {
    Device dev;
    IrqLine irq;
    Chardev *chr;

    uint8_t ier, lcr, mcr, lsr, msr, scratch;
    uint16_t divisor;
    bool fifo_enabled;
    uint8_t trigger;
    uint8_t rx[FIFO_LEN];
    bool rx_break[FIFO_LEN];  /* that byte came with a break      */
    uint8_t rx_first, rx_n;
    bool tx_pending;          /* THRE interrupt not acknowledged  */
    bool rx_timeout;          /* character timeout indication     */
    uint8_t polls;            /* reads of LSR that found no byte, up to POLLS_TO_LISTEN */

    bool listens;             /* by the receive interrupt; until the receiver is cleared */

    Timer timer, listen_timer;
} Uart;

static unsigned rx_capacity(const Uart *u)
{
    return u->fifo_enabled ? FIFO_LEN : 1;
}

/* -- Interrupts --------------------------------------------------------------------------------- */

/* The most urgent reason (data sheet table 4). */
static uint8_t identify(const Uart *u)
{
    if ((u->ier & IER_LINE) && (u->lsr & LSR_ERRORS)) {
        return IIR_LINE;
    }
    if (u->ier & IER_RX) {
        if (u->rx_n >= (u->fifo_enabled ? u->trigger : 1)) {
            return IIR_RX;
        }
        if (u->rx_timeout) {
            return IIR_TIMEOUT;
        }
    }
    if ((u->ier & IER_TX) && u->tx_pending) {
        return IIR_TX;
    }
    if ((u->ier & IER_MODEM) && (u->msr & 0x0f)) {
        return IIR_MODEM;
    }
    return IIR_NONE;
}

static void update_irq(Uart *u)
{
    irq_set(&u->irq, identify(u) != IIR_NONE);
}

static void timer_fired(void *arg)
{
    Uart *u = arg;

    if (u->rx_n > 0) {
        u->rx_timeout = true;
        update_irq(u);
    }
}

/* Four character times from now, when something waits below the trigger level. */
static void restart_timeout(Uart *u)
{
    uint64_t bits = 2 + 5 + (u->lcr & 3) + (u->lcr & 4 ? 1 : 0) + (u->lcr & 8 ? 1 : 0);
    uint64_t ns = 4 * bits * MAX(u->divisor, 1) * NS_PER_SEC / BASE_CLOCK_HZ;

    u->rx_timeout = false;
    if (u->fifo_enabled && u->rx_n > 0) {
        timer_set(&u->timer, timer_now(&u->timer) + MIN(ns, TIMEOUT_MAX_NS));
    } else {
        timer_cancel(&u->timer);
    }
}

/* -- Receiver ----------------------------------------------------------------------------------- */

/* The break flag belongs to the byte at the head of the FIFO. */
static void show_head(Uart *u)
{
    if (u->rx_n == 0) {
        u->lsr &= ~LSR_READY;
        return;
    }
    u->lsr |= LSR_READY;
    if (u->rx_break[u->rx_first]) {
        u->rx_break[u->rx_first] = false;
        u->lsr |= LSR_BREAK;
    }
}

static void receive(Uart *u, uint8_t byte, bool is_break)
{
    if (u->rx_n == rx_capacity(u)) {
        u->lsr |= LSR_OVERRUN;
        if (u->fifo_enabled) {
            return;           /* the newest is lost */
        }
        u->rx_n = 0;          /* without FIFO the oldest */
    }
    unsigned at = (u->rx_first + u->rx_n) % FIFO_LEN;
    u->rx[at] = byte;
    u->rx_break[at] = is_break;
    u->rx_n++;
    show_head(u);
    restart_timeout(u);
}

static void clear_rx(Uart *u)
{
    u->rx_n = 0;
    show_head(u);
    restart_timeout(u);
}

/*
 * A driver that starts clears the FIFO and reads the data register, several times.  Bytes a host
 * has sent ahead (a script on standard input) would vanish there, so they are let in only when the
 * guest listens: it has enabled the receive interrupt, or keeps looking at the line status.
 */
static size_t can_read(void *arg)
{
    const Uart *u = arg;

    if (u->mcr & MCR_LOOP) {
        return 0;
    }
    if (u->listens && (u->ier & IER_RX)) {
        return rx_capacity(u) - u->rx_n;
    }
    return u->polls == POLLS_TO_LISTEN && u->rx_n == 0;
}

static void read_bytes(void *arg, const uint8_t *buf, size_t len)
{
    Uart *u = arg;

    for (size_t i = 0; i < len; i++) {
        receive(u, buf[i], false);
    }
    update_irq(u);
}

static void char_event(void *arg, CharEvent e)
{
    Uart *u = arg;

    if (e == CHAR_BREAK && !(u->mcr & MCR_LOOP)) {
        receive(u, 0, true);
        update_irq(u);
    }
}

static void accept_input(Uart *u)
{
    if (u->chr != NULL && can_read(u) > 0) {
        chardev_accept_input(u->chr);
    }
}

static void listen_fired(void *arg)
{
    Uart *u = arg;

    u->listens = u->ier & IER_RX;
    accept_input(u);
}

static uint8_t read_data(Uart *u)
{
    uint8_t byte = 0;

    if (u->rx_n == 0) {
        u->polls = 0;
    } else {
        byte = u->rx[u->rx_first];
        u->rx_first = (u->rx_first + 1) % FIFO_LEN;
        u->rx_n--;
        show_head(u);
        restart_timeout(u);
        update_irq(u);
        accept_input(u);
    }
    return byte;
}

/* -- Transmitter and modem lines ---------------------------------------------------------------- */

static void transmit(Uart *u, uint8_t byte)
{
    if (u->mcr & MCR_LOOP) {
        receive(u, byte, false);
    } else if (u->chr != NULL) {
        chardev_write(u->chr, &byte, 1);
    }
    u->polls = 0;
    u->tx_pending = true;     /* empty again already */
    update_irq(u);
}

/* Set the lines' levels and note what changed; RI counts when it falls. */
static void update_modem(Uart *u)
{
    uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD;

    if (u->mcr & MCR_LOOP) {
        lines = (u->mcr & MCR_RTS ? MSR_CTS : 0) | (u->mcr & MCR_DTR ? MSR_DSR : 0) |
                (u->mcr & MCR_OUT1 ? MSR_RI : 0) | (u->mcr & MCR_OUT2 ? MSR_DCD : 0);
    }
    uint8_t changed = (lines ^ u->msr) & 0xf0;
    if (lines & MSR_RI) {
        changed &= ~MSR_RI;
    }
    u->msr = lines | (u->msr & 0x0f) | changed >> 4;
}

/* -- Registers ---------------------------------------------------------------------------------- */

static void write_ier(Uart *u, uint8_t val)
{
    /* Enabling the THRE interrupt while the holding register is empty raises it. */
    if ((val & IER_TX) && !(u->ier & IER_TX)) {
        u->tx_pending = true;
    }
    if ((val ^ u->ier) & IER_RX) {
        bool start = (val & IER_RX) && !u->listens;
        timer_set(&u->listen_timer,
                  start ? timer_now(&u->listen_timer) + LISTEN_NS : TIMER_NEVER);
    }
    u->ier = val & 0x0f;
    u->polls = 0;
    accept_input(u);
}

static void write_fcr(Uart *u, uint8_t val)
{
    bool enable = val & FCR_ENABLE;

    u->polls = 0;
    if (!enable || (val & FCR_CLEAR_RX)) {
        u->listens = false;
        if (u->ier & IER_RX) {
            timer_set(&u->listen_timer, timer_now(&u->listen_timer) + LISTEN_NS);
        }
    }
    if (!enable) {
        if (u->fifo_enabled) {
            clear_rx(u);
        }
        u->fifo_enabled = false;
        return;               /* the other bits count only together with bit 0 */
    }
    /* The chip empties itself here too.  A byte that came before stays: Linux enables the receive
     * interrupt first and the FIFO afterwards. */
    u->fifo_enabled = true;
    if (val & FCR_CLEAR_RX) {
        clear_rx(u);
    }
    u->trigger = trigger_levels[val >> 6 & 3];
    restart_timeout(u);
    accept_input(u);
}

static void write_mcr(Uart *u, uint8_t val)
{
    bool left_loop = (u->mcr & MCR_LOOP) && !(val & MCR_LOOP);

    u->mcr = val & 0x1f;
    update_modem(u);
    if (left_loop) {
        accept_input(u);
    }
}

static void uart_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Uart *u = arg;

    trace(serial_write, "reg=%u val=0x%02x", (unsigned)off, (unsigned)val);
    switch (off) {
    case REG_DATA:
        if (u->lcr & LCR_DLAB) {
            u->divisor = (u->divisor & 0xff00) | val;
        } else {
            transmit(u, val);
            return;
        }
        break;
    case REG_IER:
        if (u->lcr & LCR_DLAB) {
            u->divisor = (u->divisor & 0xff) | val << 8;
        } else {
            write_ier(u, val);
        }
        break;
    case REG_IIR_FCR:
        write_fcr(u, val);
        break;
    case REG_LCR:
        /* A break looped back arrives as one. */
        if ((val & LCR_BREAK) && !(u->lcr & LCR_BREAK) && (u->mcr & MCR_LOOP)) {
            receive(u, 0, true);
        }
        u->lcr = val;
        u->polls = 0;
        break;
    case REG_MCR:
        write_mcr(u, val);
        break;
    case REG_SCRATCH:
        u->scratch = val;
        break;
    }
    update_irq(u);
}

static uint8_t read_iir(Uart *u)
{
    uint8_t why = identify(u);

    if (why == IIR_TX) {
        u->tx_pending = false;
        update_irq(u);
    }
    return why | (u->fifo_enabled ? IIR_FIFO : 0);
}

static uint8_t read_lsr(Uart *u)
{
    uint8_t val = u->lsr;
    bool more = false;

    for (unsigned i = 0; i < u->rx_n; i++) {
        more |= u->rx_break[(u->rx_first + i) % FIFO_LEN];
    }
    if (u->fifo_enabled && (more || (val & LSR_BREAK))) {
        val |= LSR_FIFO_ERROR;
    }
    if (u->lsr & LSR_ERRORS) {
        u->lsr &= ~LSR_ERRORS;
        update_irq(u);
    }
    if (u->rx_n == 0 && u->polls < POLLS_TO_LISTEN && ++u->polls == POLLS_TO_LISTEN) {
        accept_input(u);
    }
    return val;
}

static uint8_t read_msr(Uart *u)
{
    uint8_t val = u->msr;

    if (val & 0x0f) {
        u->msr &= 0xf0;
        update_irq(u);
    }
    return val;
}

static uint64_t uart_read(void *arg, uint64_t off, unsigned size)
{
    Uart *u = arg;

    switch (off) {
    case REG_DATA:
        return u->lcr & LCR_DLAB ? u->divisor & 0xff : read_data(u);
    case REG_IER:
        return u->lcr & LCR_DLAB ? u->divisor >> 8 : u->ier;
    case REG_IIR_FCR:
        return read_iir(u);
    case REG_LCR:
        return u->lcr;
    case REG_MCR:
        return u->mcr;
    case REG_LSR:
        return read_lsr(u);
    case REG_MSR:
        return read_msr(u);
    default:
        return u->scratch;
    }
}

/* -- Device ------------------------------------------------------------------------------------- */

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    const Uart *u = (const Uart *)d;

    switch (off) {
    case REG_DATA:
        return !(u->lcr & LCR_DLAB);
    case REG_IIR_FCR:
        return identify(u) == IIR_TX;
    case REG_LSR:
        return u->lsr & LSR_ERRORS;
    case REG_MSR:
        return u->msr & 0x0f;
    }
    return false;
}

static void reset(Device *d)
{
    Uart *u = (Uart *)d;

    timer_cancel(&u->timer);
    u->ier = u->lcr = u->mcr = u->scratch = 0;
    u->lsr = LSR_THRE | LSR_TEMT;
    u->msr = MSR_CTS | MSR_DSR | MSR_DCD;
    u->divisor = 12;          /* 9600 baud */
    u->fifo_enabled = false;
    u->trigger = 1;
    u->rx_first = u->rx_n = 0;
    u->tx_pending = u->rx_timeout = false;
    u->polls = 0;
    u->listens = false;
    timer_cancel(&u->listen_timer);
    update_irq(u);
    accept_input(u);
}

static void destroy(Device *d)
{
    Uart *u = (Uart *)d;

    timer_cancel(&u->timer);
    timer_cancel(&u->listen_timer);
    if (u->chr != NULL) {
        chardev_attach(u->chr, NULL);
    }
    g_free(u);
}

static const DeviceWindow windows[] = {
    {"uart", WINDOW_PORT, UART_WINDOW_LEN, {uart_read, uart_write, 1}},
};

/* Input that has waited for this machine. */
static void uart_moved(Device *d)
{
    accept_input((Uart *)d);
}

static const Field uart_fields[] = {
    FIELD(Uart, ier), FIELD(Uart, lcr), FIELD(Uart, mcr), FIELD(Uart, lsr), FIELD(Uart, msr), FIELD(Uart, scratch),
    FIELD(Uart, divisor), FIELD(Uart, fifo_enabled), FIELD_MAX(Uart, trigger, FIFO_LEN), FIELD(Uart, rx),
    FIELD(Uart, rx_break), FIELD_MAX(Uart, rx_first, FIFO_LEN - 1), FIELD_MAX(Uart, rx_n, FIFO_LEN),
    FIELD(Uart, tx_pending), FIELD(Uart, rx_timeout), FIELD_MAX(Uart, polls, POLLS_TO_LISTEN), FIELD(Uart, listens),
    FIELD_TIMER(Uart, timer), FIELD_TIMER(Uart, listen_timer),
};
static const FieldTable uart_state = {.version = 1, FIELDS(uart_fields)};

static const DeviceClass uart_class = {
    .name = "isa-serial",
    .help = "16550A UART",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .read_has_effect = read_has_effect,
    .reset = reset,
    .destroy = destroy,
    .state = &uart_state,
    .moved = uart_moved,
};

Device *uart_new(TimerQueue *timers, const IrqLine *irq, Chardev *chr)
{
    Uart *u = g_new0(Uart, 1);

    u->dev.cls = &uart_class;
    u->irq = *irq;
    timer_init(&u->timer, timers, timer_fired, u);
    timer_init(&u->listen_timer, timers, listen_fired, u);
    reset(&u->dev);
    if (chr != NULL) {
        u->chr = chr;
        chardev_attach(chr, &(CharHandlers){u, can_read, read_bytes, char_event});
    }
    return &u->dev;
}
