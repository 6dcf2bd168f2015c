/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MC146818A data sheet (Motorola); ports 0x72/0x73 as in the PIIX4 data sheet. */
#include "hw/rtc.h"

#include "softmmu/base/bits.h"
#include "softmmu/base/log.h"

#include <glib.h>

enum {
    REG_SECOND = 0, REG_SECOND_ALARM = 1, REG_MINUTE = 2, REG_MINUTE_ALARM = 3, REG_HOUR = 4,
    REG_HOUR_ALARM = 5, REG_WEEKDAY = 6, REG_DAY = 7, REG_MONTH = 8, REG_YEAR = 9,
    REG_A = 10, REG_B = 11, REG_C = 12, REG_D = 13, REG_CENTURY = 0x32,
};

enum { A_UIP = 0x80, A_DIVIDER = 0x70, A_DIVIDER_ON = 0x20, A_RATE = 0x0f };
enum { B_SET = 0x80, B_PIE = 0x40, B_AIE = 0x20, B_UIE = 0x10, B_BINARY = 0x04, B_24H = 0x02 };
enum { C_IRQ = 0x80, C_PERIODIC = 0x40, C_ALARM = 0x20, C_UPDATE = 0x10 };
enum { D_VALID = 0x80, HOUR_PM = 0x80, ALARM_ANY = 0xc0 };

enum { SECONDS_PER_DAY = 86400, CRYSTAL_HZ = 32768 };
#define UIP_NS (244 * NS_PER_US)

typedef struct {
    Device dev;
    IrqLine irq;
    int64_t base_s;

    uint8_t index, ext_index;
    uint8_t ram[RTC_NVRAM_LEN];  /* registers A and B, alarms; date bytes while SET     */
    uint8_t flags;               /* register C without C_IRQ                            */
    int64_t offset_s;            /* calendar = base_s + offset_s + (clock + phase_ns)   */
    uint64_t phase_ns;           /* below a second                                      */
    int64_t seen_s;              /* calendar second up to which flags are worked out    */
    uint64_t seen_period;        /* periodic tick up to which C_PERIODIC is worked out  */
    bool irq_enabled;
    void (*on_change)(void *arg, int64_t offset_s);    /* or NULL */
    void *on_change_arg;

    Timer timer;                 /* the next event somebody wants an interrupt for */
} Rtc;

typedef struct {
    unsigned second, minute, hour, weekday, day, month;  /* weekday 1 is Sunday */
    int64_t year;
} Calendar;

/* -- Calendar ----------------------------------------------------------------------------------- */

/* Days since 1970-01-01 of the proleptic Gregorian calendar. */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static Calendar calendar_from_seconds(int64_t s)
{
    int64_t days = (s >= 0 ? s : s - (SECONDS_PER_DAY - 1)) / SECONDS_PER_DAY;
    unsigned of_day = s - days * SECONDS_PER_DAY;
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t of_era = z - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * y + y / 4 - y / 100);
    unsigned m = (5 * of_year + 2) / 153;
    Calendar c = {
        .second = of_day % 60, .minute = of_day / 60 % 60, .hour = of_day / 3600,
        .weekday = ((days + 4) % 7 + 7) % 7 + 1,
        .day = of_year - (153 * m + 2) / 5 + 1, .month = m < 10 ? m + 3 : m - 9,
    };

    c.year = y + era * 400 + (c.month <= 2);
    return c;
}

static uint64_t now_ns(const Rtc *r)
{
    return timer_now(&r->timer) + r->phase_ns;
}

static int64_t now_s(const Rtc *r)
{
    return r->base_s + r->offset_s + (int64_t)(now_ns(r) / NS_PER_SEC);
}

static bool is_stopped(const Rtc *r)
{
    return (r->ram[REG_B] & B_SET) || (r->ram[REG_A] & 0x60) == 0x60;
}

/* -- Encoding ----------------------------------------------------------------------------------- */

static uint8_t encode(const Rtc *r, unsigned v)
{
    return r->ram[REG_B] & B_BINARY ? v : (v / 10) << 4 | v % 10;
}

static unsigned decode(const Rtc *r, uint8_t v)
{
    return r->ram[REG_B] & B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t encode_hour(const Rtc *r, unsigned hour)
{
    if (r->ram[REG_B] & B_24H) {
        return encode(r, hour);
    }
    return encode(r, hour % 12 == 0 ? 12 : hour % 12) | (hour >= 12 ? HOUR_PM : 0);
}

static unsigned decode_hour(const Rtc *r, uint8_t v)
{
    if (r->ram[REG_B] & B_24H) {
        return decode(r, v);
    }
    return decode(r, v & ~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

static bool is_date_register(unsigned index)
{
    return index == REG_CENTURY ||
           (index <= REG_YEAR && index != REG_SECOND_ALARM && index != REG_MINUTE_ALARM &&
            index != REG_HOUR_ALARM);
}

static uint8_t date_byte(const Rtc *r, const Calendar *c, unsigned index)
{
    switch (index) {
    case REG_SECOND:
        return encode(r, c->second);
    case REG_MINUTE:
        return encode(r, c->minute);
    case REG_HOUR:
        return encode_hour(r, c->hour);
    case REG_WEEKDAY:
        return encode(r, c->weekday);
    case REG_DAY:
        return encode(r, c->day);
    case REG_MONTH:
        return encode(r, c->month);
    case REG_YEAR:
        return encode(r, ((c->year % 100) + 100) % 100);
    default:
        return encode(r, ((c->year / 100 % 100) + 100) % 100);
    }
}

static const uint8_t date_registers[] = {REG_SECOND, REG_MINUTE, REG_HOUR, REG_WEEKDAY,
                                         REG_DAY, REG_MONTH, REG_YEAR, REG_CENTURY};

/* The running date into the registers. */
static void freeze_date(Rtc *r)
{
    Calendar c = calendar_from_seconds(now_s(r));

    for (unsigned i = 0; i < ARRAY_LEN(date_registers); i++) {
        r->ram[date_registers[i]] = date_byte(r, &c, date_registers[i]);
    }
}

/* The registers' date becomes the running one; nonsense in them gives some date, never harm. */
static void thaw_date(Rtc *r)
{
    unsigned month = CLAMP(decode(r, r->ram[REG_MONTH]), 1, 12);
    int64_t year = (int64_t)decode(r, r->ram[REG_CENTURY]) * 100 + decode(r, r->ram[REG_YEAR]);
    int64_t s = days_from_date(year, month, decode(r, r->ram[REG_DAY])) * SECONDS_PER_DAY +
                decode_hour(r, r->ram[REG_HOUR]) * 3600 + decode(r, r->ram[REG_MINUTE]) * 60 +
                decode(r, r->ram[REG_SECOND]);

    /* The second begins now. */
    r->phase_ns = (NS_PER_SEC - timer_now(&r->timer) % NS_PER_SEC) % NS_PER_SEC;
    r->offset_s = s - r->base_s - (int64_t)(now_ns(r) / NS_PER_SEC);
    r->seen_s = s;
    if (r->on_change != NULL) {
        r->on_change(r->on_change_arg, r->offset_s);
    }
}

/* -- Events ------------------------------------------------------------------------------------- */

/* Length of a periodic tick in crystal cycles, 0: off. */
static unsigned period_cycles(const Rtc *r)
{
    unsigned rate = r->ram[REG_A] & A_RATE;

    if (rate == 0 || (r->ram[REG_A] & 0x60) == 0x60) {
        return 0;
    }
    return 1u << ((rate <= 2 ? rate + 7 : rate) - 1);
}

static uint64_t period_now(const Rtc *r)
{
    unsigned cycles = period_cycles(r);
    return cycles == 0 ? 0 : muldiv64(timer_now(&r->timer), CRYSTAL_HZ, NS_PER_SEC) / cycles;
}

static bool alarm_byte_matches(uint8_t alarm, unsigned want, unsigned have)
{
    return (alarm & ALARM_ANY) == ALARM_ANY || want == have;
}

static bool alarm_matches(const Rtc *r, int64_t s)
{
    unsigned of_day = ((s % SECONDS_PER_DAY) + SECONDS_PER_DAY) % SECONDS_PER_DAY;
    uint8_t sa = r->ram[REG_SECOND_ALARM], ma = r->ram[REG_MINUTE_ALARM];
    uint8_t ha = r->ram[REG_HOUR_ALARM];

    return alarm_byte_matches(sa, decode(r, sa), of_day % 60) &&
           alarm_byte_matches(ma, decode(r, ma), of_day / 60 % 60) &&
           alarm_byte_matches(ha, decode_hour(r, ha), of_day / 3600);
}

/* Flags of what has happened since they were last worked out. */
static void catch_up(Rtc *r)
{
    uint64_t period = period_now(r);

    if (period != r->seen_period) {
        r->flags |= C_PERIODIC;
        r->seen_period = period;
    }
    if (is_stopped(r)) {
        return;
    }
    int64_t s = now_s(r);
    if (s == r->seen_s) {
        return;
    }
    r->flags |= C_UPDATE;
    int64_t first = MAX(r->seen_s + 1, s - SECONDS_PER_DAY);
    for (int64_t t = first; t <= s && !(r->flags & C_ALARM); t++) {
        r->flags |= alarm_matches(r, t) ? C_ALARM : 0;
    }
    r->seen_s = s;
}

static bool irq_wanted(const Rtc *r)
{
    return r->flags & r->ram[REG_B] & (C_PERIODIC | C_ALARM | C_UPDATE);
}

static void update(Rtc *r)
{
    uint64_t at = TIMER_NEVER;
    uint64_t now = timer_now(&r->timer);
    unsigned cycles = period_cycles(r);

    /* A raised flag raises nothing more until it is read. */
    if ((r->ram[REG_B] & B_PIE) && cycles != 0 && !(r->flags & C_PERIODIC)) {
        at = muldiv64((r->seen_period + 1) * cycles, NS_PER_SEC, CRYSTAL_HZ) + 1;
    }
    if ((r->ram[REG_B] & (B_AIE | B_UIE)) && !is_stopped(r)) {
        at = MIN(at, (now_ns(r) / NS_PER_SEC + 1) * NS_PER_SEC - r->phase_ns);
    }
    timer_set(&r->timer, at == TIMER_NEVER ? at : MAX(at, now + 1));
    irq_set(&r->irq, irq_wanted(r) && r->irq_enabled);
}

static void timer_fired(void *arg)
{
    Rtc *r = arg;

    catch_up(r);
    update(r);
}

/* Periodic ticks count from here on (a new rate, a started divider). */
static void restart_periods(Rtc *r)
{
    r->seen_period = period_now(r);
}

/* -- Registers ---------------------------------------------------------------------------------- */

static bool update_in_progress(const Rtc *r)
{
    return !is_stopped(r) && now_ns(r) % NS_PER_SEC >= NS_PER_SEC - UIP_NS;
}

static uint8_t read_register(Rtc *r, unsigned index)
{
    if (is_date_register(index) && !is_stopped(r)) {
        Calendar c = calendar_from_seconds(now_s(r));
        return date_byte(r, &c, index);
    }
    switch (index) {
    case REG_A:
        return r->ram[REG_A] | (update_in_progress(r) ? A_UIP : 0);
    case REG_C: {
        catch_up(r);
        uint8_t val = r->flags | (irq_wanted(r) ? C_IRQ : 0);
        r->flags = 0;
        update(r);
        return val;
    }
    case REG_D:
        return D_VALID;
    }
    return r->ram[index];
}

/* Registers A and B may stop or start the calendar. */
static void write_control(Rtc *r, unsigned index, uint8_t val)
{
    bool was_stopped = is_stopped(r);

    catch_up(r);
    if (!was_stopped) {
        freeze_date(r);
    }
    if (index == REG_A) {
        r->ram[REG_A] = val & ~A_UIP;
        restart_periods(r);
    } else {
        /* The bytes keep their meaning when DM or 24/12 changes under a running clock. */
        Calendar c = calendar_from_seconds(now_s(r));
        r->ram[REG_B] = val & B_SET ? val & ~B_UIE : val;
        if (!was_stopped) {
            for (unsigned i = 0; i < ARRAY_LEN(date_registers); i++) {
                r->ram[date_registers[i]] = date_byte(r, &c, date_registers[i]);
            }
        }
    }
    if (was_stopped && !is_stopped(r)) {
        thaw_date(r);
    }
    update(r);
}

static void write_register(Rtc *r, unsigned index, uint8_t val)
{
    switch (index) {
    case REG_A: case REG_B:
        write_control(r, index, val);
        return;
    case REG_C: case REG_D:
        return;
    }
    if (!is_date_register(index)) {
        catch_up(r);
        r->ram[index] = val;
        return;
    }
    if (is_stopped(r)) {
        r->ram[index] = val;
        return;
    }
    catch_up(r);
    freeze_date(r);
    r->ram[index] = val;
    thaw_date(r);
    update(r);
}

static uint64_t port_read(void *arg, uint64_t off, unsigned size)
{
    Rtc *r = arg;

    switch (off) {
    case 1:
        return read_register(r, r->index);
    case 3:
        return r->ram[128 + r->ext_index];
    }
    return 0xff;              /* the index ports are write-only */
}

static void port_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    Rtc *r = arg;

    trace(rtc_write, "port=%u index=0x%02x val=0x%02x", (unsigned)off, r->index, (unsigned)val);
    switch (off) {
    case 0:
        r->index = val & 0x7f;   /* bit 7 masks the NMI, of which the chip set has no source */
        break;
    case 1:
        write_register(r, r->index, val);
        break;
    case 2:
        r->ext_index = val & 0x7f;
        break;
    case 3:
        r->ram[128 + r->ext_index] = val;
        break;
    }
}

void rtc_set_nvram(Device *d, unsigned index, uint8_t val)
{
    if (index > REG_D && index < RTC_NVRAM_LEN && index != REG_CENTURY) {
        ((Rtc *)d)->ram[index] = val;
    }
}

uint8_t rtc_get_nvram(const Device *d, unsigned index)
{
    return index < RTC_NVRAM_LEN ? ((const Rtc *)d)->ram[index] : 0;
}

void rtc_set_irq_enabled(Device *d, bool enabled)
{
    Rtc *r = (Rtc *)d;

    r->irq_enabled = enabled;
    update(r);
}

/* -- Device ------------------------------------------------------------------------------------- */

static bool read_has_effect(const Device *d, unsigned window, uint64_t off)
{
    return off == 1 && ((const Rtc *)d)->index == REG_C;
}

static void reset(Device *d)
{
    Rtc *r = (Rtc *)d;

    /* What the RESET pin clears; the battery keeps the rest. */
    catch_up(r);
    r->ram[REG_B] &= ~(B_PIE | B_AIE | B_UIE | 0x08);
    r->flags = 0;
    r->index = r->ext_index = 0;
    r->irq_enabled = true;
    update(r);
}

static void destroy(Device *d)
{
    timer_cancel(&((Rtc *)d)->timer);
    g_free(d);
}

static const DeviceWindow windows[] = {
    {"rtc", WINDOW_PORT, 4, {port_read, port_write, 1, .lazy_writes = 1 /* the index */}},
};

static bool rtc_loaded(void *state, GError **error)
{
    const Rtc *r = state;
    int64_t limit = INT64_C(1) << 40;     /* seconds: more than any calendar here needs */

    if (ABS(r->base_s) > limit || ABS(r->offset_s) > limit || ABS(r->seen_s) > 4 * limit) {
        g_set_error_literal(error, g_quark_from_static_string("rtc"), 0, "it is no time");
        return false;
    }
    return true;
}

static const Field rtc_fields[] = {
    FIELD(Rtc, base_s), FIELD_MAX(Rtc, index, 0x7f), FIELD_MAX(Rtc, ext_index, 0x7f), FIELD(Rtc, ram),
    FIELD(Rtc, flags), FIELD(Rtc, offset_s), FIELD_MAX(Rtc, phase_ns, NS_PER_SEC - 1), FIELD(Rtc, seen_s),
    FIELD(Rtc, seen_period), FIELD(Rtc, irq_enabled), FIELD_TIMER(Rtc, timer),
};
static const FieldTable rtc_state = {.version = 1, FIELDS(rtc_fields), .loaded = rtc_loaded};

static const DeviceClass rtc_class = {
    .name = "mc146818rtc",
    .help = "real-time clock and CMOS memory",
    .windows = windows,
    .n_windows = ARRAY_LEN(windows),
    .read_has_effect = read_has_effect,
    .reset = reset,
    .destroy = destroy,
    .state = &rtc_state,
};

Device *rtc_new(TimerQueue *timers, const IrqLine *irq8, int64_t base_s)
{
    Rtc *r = g_new0(Rtc, 1);

    r->dev.cls = &rtc_class;
    r->irq = *irq8;
    r->base_s = base_s;
    timer_init(&r->timer, timers, timer_fired, r);
    r->ram[REG_A] = A_DIVIDER_ON | 6;
    r->ram[REG_B] = B_24H;
    r->seen_s = now_s(r);
    restart_periods(r);
    reset(&r->dev);
    return &r->dev;
}

void rtc_on_change(Device *d, void (*fn)(void *arg, int64_t offset_s), void *arg)
{
    Rtc *r = (Rtc *)d;

    r->on_change = fn;
    r->on_change_arg = arg;
}
