/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtio core and transports, with a device that echoes and a driver that may be malicious. */
#include "tests/hw/virtio-driver.h"

static Driver d;

/* -- A device that copies what it reads to what it may write ------------------------------------- */

typedef struct {
    VirtioDevice vd;
    unsigned n_kicks, n_resets;
    VirtqElement *held;            /* hold the next element instead of answering */
    bool hold;
} Echo;

static void echo_notify(VirtioDevice *vd, Virtqueue *q)
{
    Echo *s = (Echo *)vd;
    VirtqElement *e;

    s->n_kicks++;
    while ((e = virtq_pop(q)) != NULL) {
        if (s->hold) {
            s->held = e;
            s->hold = false;
            continue;
        }
        uint8_t buf[8192];
        uint64_t n = iov_read(e->iov, e->n_out, 0, buf, sizeof buf);
        n = iov_write(virtq_in(e), e->n_in, 0, buf, n);
        virtq_push(e, n);
    }
    virtq_notify(q);
}

static void echo_reset(VirtioDevice *vd)
{
    Echo *s = (Echo *)vd;

    s->n_resets++;
    if (s->held != NULL) {
        virtq_drop(s->held);
        s->held = NULL;
    }
    s->hold = false;
}

static void echo_destroy(VirtioDevice *vd)
{
    virtio_clear(vd);
    g_free(vd);
}

static const VirtioClass echo_class = {.name = "echo", .id = 4, .pci_class = 0x00ff00,
                                       .queue_notify = echo_notify, .reset = echo_reset,
                                       .destroy = echo_destroy};

static Echo *echo;

static void begin(DriverKind kind)
{
    driver_machine(&d, kind);
    echo = g_new0(Echo, 1);
    virtio_init(&echo->vd, &echo_class, d.mem, 2, 64, 8, 1);
    echo->vd.config[0] = 0x5a;
    echo->vd.config_writable[4] = 0xff;
    driver_plug(&d, &echo->vd);
}

static void finish(void) { driver_end(&d); }

#define ALL_RING_FEATURES (BIT64(VIRTIO_F_INDIRECT_DESC) | BIT64(VIRTIO_F_EVENT_IDX))

/* Send `len` bytes at `out` through queue 0 and expect them at `in`. */
static void echo_once(uint64_t out, uint64_t in, uint32_t len, uint64_t table, uint8_t fill)
{
    uint8_t want[8192], got[8192];
    uint32_t id, used_len;

    memset(want, fill, len);
    phys_copy_to(d.mem, guest_phys(out), want, len);
    unsigned head = driver_add(&d, 0, (DriverBuffer[]){{out, len / 2}, {out + len / 2, len - len / 2},
                               {in, 1, true}, {in + 1, len - 1, true}}, 4, table);
    driver_kick(&d, 0);
    ck_assert(driver_used(&d, 0, &id, &used_len));
    ck_assert_uint_eq(id, head);
    ck_assert_uint_eq(used_len, len);
    phys_copy_from(d.mem, got, guest_phys(in), len);
    ck_assert_mem_eq(got, want, len);
}

/* -- Transports ---------------------------------------------------------------------------------- */

START_TEST(every_transport_carries_every_kind_of_ring)
{
    static const uint64_t features[] = {0, BIT64(VIRTIO_F_INDIRECT_DESC),
                                        BIT64(VIRTIO_F_EVENT_IDX), ALL_RING_FEATURES};

    for (unsigned f = 0; f < ARRAY_LEN(features); f++) {
        begin(_i);
        driver_start(&d, features[f]);
        ck_assert_uint_eq(driver_config(&d, 0, 1), 0x5a);
        driver_set_config(&d, 4, 2, 0x1234);
        ck_assert_uint_eq(driver_config(&d, 4, 4), 0x34);
        for (unsigned i = 0; i < 100; i++) { /* the rings go round */
            uint64_t table = (features[f] & BIT64(VIRTIO_F_INDIRECT_DESC)) != 0 && i % 2
                                 ? DRIVER_BUFFERS + 0x10000 : 0;
            echo_once(DRIVER_BUFFERS, DRIVER_BUFFERS + 0x2000, 1000 + i, table, (uint8_t)i);
            ck_assert_int_eq(d.irq.level, 1);
            ck_assert_uint_eq(driver_isr(&d), VIRTIO_ISR_QUEUE);
            ck_assert_int_eq(d.irq.level, 0);
            if ((features[f] & BIT64(VIRTIO_F_EVENT_IDX)) != 0) { /* ask for the next one too */
                store_le(d.mem->base + d.q[0].avail + 4 + 2 * d.q[0].size, 2, d.q[0].seen);
            }
        }
        finish();
    }
}
END_TEST

START_TEST(pci_ids_follow_the_specification)
{
    static const struct { bool no_legacy, no_modern; unsigned device, rev, sub, bars; } c[] = {
        {false, false, 0x1005, 0, 4, 0x13}, {true, false, 0x1044, 1, 0x1100, 0x12},
        {false, true, 0x1005, 0, 4, 0x03},
    };

    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        Echo *e = g_new0(Echo, 1);
        virtio_init(&e->vd, &echo_class, NULL, 1, 64, 8, 0);
        PciDevice *p = virtio_pci_new(&e->vd, &(VirtioPciOptions){c[i].no_legacy, c[i].no_modern});
        ck_assert_uint_eq(pci_get(p, 0, 2), 0x1af4);
        ck_assert_uint_eq(pci_get(p, 2, 2), c[i].device);
        ck_assert_uint_eq(pci_get(p, 8, 1), c[i].rev);
        ck_assert_uint_eq(pci_get(p, 0x2c, 2), 0x1af4);
        ck_assert_uint_eq(pci_get(p, 0x2e, 2), c[i].sub);
        for (unsigned b = 0; b < 6; b++) {
            ck_assert_uint_eq(p->bar[b].len != 0, (c[i].bars >> b) & 1);
        }
        ck_assert_str_eq(p->dev.cls->name, "echo-pci");
        device_free(&p->dev);
    }
    Echo *e = g_new0(Echo, 1);
    virtio_init(&e->vd, &echo_class, NULL, 1, 64, 8, 0);
    ck_assert_ptr_null(virtio_pci_new(&e->vd, &(VirtioPciOptions){true, true}));
}
END_TEST

START_TEST(modern_capabilities_say_where_the_registers_are)
{
    unsigned found = 0, at;

    begin(DRIVE_MODERN);
    for (at = pci_config_read(d.pci, 0x34, 1); at != 0; at = pci_config_read(d.pci, at + 1, 1)) {
        if (pci_config_read(d.pci, at, 1) != PCI_CAP_VENDOR) {
            continue;
        }
        unsigned type = pci_config_read(d.pci, at + 3, 1);
        found |= BIT(type);
        if (type == 2) {
            ck_assert_uint_eq(pci_config_read(d.pci, at + 8, 4), 0x3000);
            ck_assert_uint_eq(pci_config_read(d.pci, at + 16, 4), 4);
        } else if (type == 5) { /* registers through configuration space */
            pci_config_write(d.pci, at + 4, 1, 4);
            pci_config_write(d.pci, at + 8, 4, 0x2000);
            pci_config_write(d.pci, at + 12, 4, 1);
            ck_assert_uint_eq(pci_config_read(d.pci, at + 16, 4) & 0xff, 0x5a);
            pci_config_write(d.pci, at + 8, 4, 20);
            pci_config_write(d.pci, at + 16, 1, 1);
            ck_assert_uint_eq(driver_status(&d), 1);
            pci_config_write(d.pci, at + 8, 4, 0xfffffffc); /* nowhere */
            pci_config_write(d.pci, at + 12, 4, 4);
            pci_config_read(d.pci, at + 16, 4);
            pci_config_write(d.pci, at + 16, 4, 0);
            ck_assert_uint_eq(driver_status(&d), 1);
        }
    }
    ck_assert_uint_eq(found, 0x3e);
    finish();
}
END_TEST

START_TEST(features_that_were_not_offered_are_refused)
{
    static const uint64_t bad[] = {BIT64(VIRTIO_F_VERSION_1) | BIT64(60), 0, 1,
                                   BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_ANY_LAYOUT + 3)};

    begin(_i == 0 ? DRIVE_MODERN : DRIVE_MMIO);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        driver_set_status(&d, 0);
        driver_set_status(&d, 3);
        driver_set_features(&d, bad[i]);
        driver_set_status(&d, 11);
        ck_assert_uint_eq(driver_status(&d), 3);
    }
    driver_start(&d, 0);
    driver_set_features(&d, 0); /* too late */
    ck_assert(virtio_has(d.vd, VIRTIO_F_VERSION_1));
    finish();
}
END_TEST

START_TEST(msix_vectors_carry_queues_and_configuration)
{
    begin(DRIVE_MODERN);
    for (unsigned v = 0; v < 3; v++) {
        mem_write(&d, DRIVER_MSIX + v * 16, 8, 0xfee00000);
        mem_write(&d, DRIVER_MSIX + v * 16 + 8, 4, 0x40 + v);
        mem_write(&d, DRIVER_MSIX + v * 16 + 12, 4, 0);
    }
    pci_config_write(d.pci, d.pci->msix.cap + 2, 2, 0x8000);
    driver_start(&d, 0);
    mem_write(&d, DRIVER_MODERN + 22, 2, 0);
    mem_write(&d, DRIVER_MODERN + 26, 2, 7);      /* there is no vector 7 */
    ck_assert_uint_eq(mem_read(&d, DRIVER_MODERN + 26, 2), VIRTIO_NO_VECTOR);
    echo_once(DRIVER_BUFFERS, DRIVER_BUFFERS + 0x1000, 16, 0, 1);
    ck_assert_uint_eq(d.n_msi, 0);
    mem_write(&d, DRIVER_MODERN + 26, 2, 1);
    mem_write(&d, DRIVER_MODERN + 16, 2, 2);
    echo_once(DRIVER_BUFFERS, DRIVER_BUFFERS + 0x1000, 16, 0, 2);
    ck_assert_uint_eq(d.n_msi, 1);
    ck_assert_uint_eq(d.msi_data, 0x41);
    virtio_config_changed(d.vd);
    ck_assert_uint_eq(d.n_msi, 2);
    ck_assert_uint_eq(d.msi_data, 0x42);
    ck_assert_uint_eq(mem_read(&d, DRIVER_MODERN + 21, 1), 1);
    ck_assert_int_eq(d.irq.level, 0);
    finish();
}
END_TEST

START_TEST(a_device_that_is_no_bus_master_touches_no_memory)
{
    uint32_t id, len;

    begin(DRIVE_MODERN);
    driver_start(&d, 0);
    pci_config_write(d.pci, 4, 2, 3);
    driver_add(&d, 0, (DriverBuffer[]){{DRIVER_BUFFERS, 16, true}}, 1, 0);
    driver_kick(&d, 0);
    ck_assert(!driver_used(&d, 0, &id, &len));
    pci_config_write(d.pci, 4, 2, 7);             /* looks again by itself */
    ck_assert(driver_used(&d, 0, &id, &len));
    finish();
}
END_TEST

START_TEST(an_empty_mmio_slot_has_device_id_0)
{
    Device *e = virtio_mmio_new(NULL, &(IrqLine){0}, false);
    const BusOps *ops = &e->cls->windows[0].ops;

    ck_assert_uint_eq(bus_read(ops, e, 0, 4), 0x74726976);
    ck_assert_uint_eq(bus_read(ops, e, 8, 4), 0);
    for (uint64_t off = 0; off < VIRTIO_MMIO_LEN; off += 4) {
        bus_write(ops, e, off, 4, 0xffffffff);
        bus_read(ops, e, off, 4);
    }
    device_reset(e);
    device_free(e);
}
END_TEST

/* -- Interrupts on request ----------------------------------------------------------------------- */

START_TEST(interrupts_come_only_when_wanted)
{
    begin(DRIVE_MODERN);
    driver_start(&d, 0);
    store_le(d.mem->base + d.q[0].avail, 2, 1);   /* VIRTQ_AVAIL_F_NO_INTERRUPT */
    echo_once(DRIVER_BUFFERS, DRIVER_BUFFERS + 0x1000, 16, 0, 1);
    ck_assert_uint_eq(d.irq.rises, 0);
    driver_start(&d, ALL_RING_FEATURES);
    store_le(d.mem->base + d.q[0].avail + 4 + 2 * d.q[0].size, 2, 2); /* used_event: the third */
    for (unsigned i = 0; i < 5; i++) {
        echo_once(DRIVER_BUFFERS, DRIVER_BUFFERS + 0x1000, 16, 0, 1);
        driver_isr(&d);
    }
    ck_assert_uint_eq(d.irq.rises, 1);
    /* avail_event follows, so that the driver rings for the next chain */
    ck_assert_uint_eq(load_le(d.mem->base + d.q[0].used + 4 + 8 * d.q[0].size, 2), 5);
    finish();
}
END_TEST

/* -- Where buffers lie --------------------------------------------------------------------------- */

START_TEST(buffers_across_regions_come_in_pieces)
{
    begin(DRIVE_MMIO);
    driver_start(&d, 0);
    echo_once(0x600000 - 700, DRIVER_BUFFERS, 2000, 0, 0x77);
    echo_once(DRIVER_BUFFERS, 0x600000 - 1000, 2000, 0, 0x78);
    finish();
}
END_TEST

static uint8_t screen[4096];

static uint64_t screen_read(void *arg, uint64_t off, unsigned size)
{
    return load_le(screen + off, size);
}

static void screen_write(void *arg, uint64_t off, unsigned size, uint64_t val)
{
    store_le(screen + off, size, val);
}

START_TEST(buffers_in_device_windows_are_copied)
{
    static const BusOps ops = {screen_read, screen_write, 4};

    begin(DRIVE_LEGACY);
    phys_region_mmio(d.mem, 0xa0000, sizeof screen, &ops, NULL, 1, "screen");
    driver_start(&d, 0);
    echo_once(DRIVER_BUFFERS, 0xa0000 - 100, 300, 0, 0x79);
    ck_assert_uint_eq(screen[199], 0x79);
    echo_once(0xa0000 + 16, DRIVER_BUFFERS, 200, 0, 0x7a);
    ck_assert_uint_eq(screen[16], 0x7a);
    finish();
}
END_TEST

START_TEST(a_buffer_on_its_own_registers_does_no_harm)
{
    begin(DRIVE_MMIO);
    driver_start(&d, ALL_RING_FEATURES);
    memset(d.mem->base + DRIVER_BUFFERS, 0, 0x200);
    for (unsigned i = 0; i < 8; i++) { /* zeroes over notify, status... while being pushed */
        driver_add(&d, 0, (DriverBuffer[]){{DRIVER_BUFFERS, 0x100}, {DRIVER_MMIO, 0x100, true}}, 2,
                   0);
    }
    driver_kick(&d, 0);
    ck_assert_uint_eq(driver_status(&d), 15);
    ck_assert_uint_eq(echo->n_kicks, 1 + 2);      /* two from DRIVER_OK */
    finish();
}
END_TEST

START_TEST(written_pages_are_marked)
{
    begin(DRIVE_MODERN);
    driver_start(&d, 0);
    uint64_t in = DRIVER_BUFFERS + 0x3000;
    phys_mem_set_code(d.mem, in);
    uint32_t version = page_code_version(d.mem, in);
    echo_once(DRIVER_BUFFERS, in, 64, 0, 3);
    ck_assert_uint_ne(page_code_version(d.mem, in), version);
    finish();
}
END_TEST

/* -- Malice -------------------------------------------------------------------------------------- */

enum { B = DRIVER_BUFFERS };

static void loop_of_two(void)
{
    driver_desc(&d, d.q[0].desc, B, 16, 1, 1);
    driver_desc(&d, d.q[0].desc + 16, B, 16, 1, 0);
    driver_offer(&d, 0, 0);
}

static void next_outside(void)
{
    driver_desc(&d, d.q[0].desc, B, 16, 1, 5000);
    driver_offer(&d, 0, 0);
}

static void head_outside(void) { driver_offer(&d, 0, 5000); }

static void out_after_in(void)
{
    driver_add(&d, 0, (DriverBuffer[]){{B, 16, true}, {B, 16}}, 2, 0);
}

static void outside_memory(void)
{
    driver_add(&d, 0, (DriverBuffer[]){{UINT64_C(0x8000000000), 16, true}}, 1, 0);
}

static void huge_length(void)
{
    driver_add(&d, 0, (DriverBuffer[]){{B, 0xffffffff, true}}, 1, 0);
}

static void wraps_around(void)
{
    driver_add(&d, 0, (DriverBuffer[]){{UINT64_MAX - 4, 64}}, 1, 0);
}

static void index_jumps(void)
{
    d.q[0].avail_idx = 200;
    driver_offer(&d, 0, 0);
}

static void indirect_loop(void)
{
    for (unsigned i = 0; i < 4; i++) {
        driver_desc(&d, B + 16 * i, B + 0x1000, 16, 1, (i + 1) % 4);
    }
    driver_desc(&d, d.q[0].desc, B, 64, 4, 0);
    driver_offer(&d, 0, 0);
}

static void indirect_within(void)
{
    driver_desc(&d, B, B, 16, 4, 0);
    driver_desc(&d, d.q[0].desc, B, 16, 4, 0);
    driver_offer(&d, 0, 0);
}

static void indirect_odd(void)
{
    driver_desc(&d, d.q[0].desc, B, 17, 4, 0);
    driver_offer(&d, 0, 0);
}

static void indirect_empty(void)
{
    driver_desc(&d, d.q[0].desc, B, 0, 4, 0);
    driver_offer(&d, 0, 0);
}

static void indirect_outside(void)
{
    driver_desc(&d, d.q[0].desc, UINT64_C(0xffffffffffffff00), 0x1000, 4, 0);
    driver_offer(&d, 0, 0);
}

static void indirect_and_next(void)
{
    driver_desc(&d, d.q[0].desc, B, 16, 5, 0);
    driver_offer(&d, 0, 0);
}

static void indirect_huge(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        driver_desc(&d, B + 16 * i, B + 0x10000, 1, 1, i + 1);
    }
    driver_desc(&d, d.q[0].desc, B, 16 * 2000, 4, 0);
    driver_offer(&d, 0, 0);
}

static void (*const malice[])(void) = {
    loop_of_two, next_outside, head_outside, out_after_in, outside_memory, huge_length, wraps_around,
    index_jumps, indirect_loop, indirect_within, indirect_odd, indirect_empty, indirect_outside,
    indirect_and_next, indirect_huge,
};

START_TEST(malice_breaks_the_device_until_reset)
{
    uint32_t id, len;

    for (DriverKind k = 0; k < DRIVE_KINDS; k++) {
        begin(k);
        driver_start(&d, ALL_RING_FEATURES);
        malice[_i]();
        driver_kick(&d, 0);
        ck_assert(d.vd->broken);
        ck_assert(!driver_used(&d, 0, &id, &len));
        if (driver_is_modern(&d)) {
            ck_assert_uint_eq(driver_status(&d), 15 | VIRTIO_STATUS_NEEDS_RESET);
            ck_assert_uint_eq(driver_isr(&d), VIRTIO_ISR_CONFIG);
            driver_set_status(&d, 15);             /* only a reset takes it away */
            ck_assert_uint_eq(driver_status(&d), 15 | VIRTIO_STATUS_NEEDS_RESET);
        }
        driver_kick(&d, 0);
        ck_assert_uint_eq(d.vd->queue[0].in_use, 0);
        driver_start(&d, ALL_RING_FEATURES);
        echo_once(B, B + 0x1000, 100, 0, 9);
        finish();
    }
}
END_TEST

START_TEST(rings_outside_memory_break_the_device)
{
    begin(_i % 2 ? DRIVE_MMIO : DRIVE_MODERN);
    for (unsigned i = 0; i < 3; i++) {
        driver_start(&d, ALL_RING_FEATURES);
        uint64_t bad = _i < 2 ? UINT64_C(0x7fffffff0000) : DRIVER_MMIO + 0x50;
        d.vd->queue[0].ready = false;
        *(i == 0 ? &d.q[0].desc : i == 1 ? &d.q[0].avail : &d.q[0].used) = bad;
        driver_place_queue(&d, 0);
        driver_make_queue(&d, 0);
        driver_add(&d, 0, (DriverBuffer[]){{B, 16, true}}, 1, 0);
        driver_kick(&d, 0);
        ck_assert(d.vd->broken);
    }
    finish();
}
END_TEST

START_TEST(reset_takes_back_what_is_in_flight)
{
    uint32_t id, len;

    for (DriverKind k = 0; k < DRIVE_KINDS; k++) {
        begin(k);
        driver_start(&d, 0);
        echo->hold = true;
        driver_add(&d, 0, (DriverBuffer[]){{B, 16, true}}, 1, 0);
        driver_kick(&d, 0);
        ck_assert_ptr_nonnull(echo->held);
        driver_set_status(&d, 0);
        ck_assert_ptr_null(echo->held);
        ck_assert_uint_eq(d.vd->queue[0].in_use, 0);
        ck_assert(!d.vd->queue[0].ready);
        driver_start(&d, 0);
        ck_assert(!driver_used(&d, 0, &id, &len));
        echo_once(B, B + 0x1000, 100, 0, 9);
        device_reset(d.dev);
        device_reset(d.dev);
        finish();
    }
}
END_TEST

START_TEST(random_register_accesses_do_no_harm)
{
    uint32_t seed = 12345;

    for (DriverKind k = 0; k < DRIVE_KINDS; k++) {
        begin(k);
        driver_start(&d, ALL_RING_FEATURES);
        for (unsigned i = 0; i < 20000; i++) {
            seed = seed * 1664525 + 1013904223;
            uint64_t off = (seed >> 8) & 0x3fff, val = seed * 2654435761u;
            unsigned size = 1u << (seed >> 30);
            size = MIN(size, 4);
            uint64_t base = k == DRIVE_MODERN ? DRIVER_MODERN : DRIVER_MMIO;
            val = i % 3 == 0 ? (DRIVER_QUEUES + (val & 0xffff)) : i % 3 == 1 ? val & 7 : val;
            if (k == DRIVE_LEGACY) {
                port_write(d.ports, (uint16_t)(DRIVER_IO + (off & 127 & ~(size - 1))), size,
                           (uint32_t)val);
                port_read(d.ports, (uint16_t)(DRIVER_IO + (off & 127)), 1);
            } else {
                off &= (k == DRIVE_MODERN ? i % 2 ? 0x3fu : 0x3fffu : 0x1ff) & ~(size - 1);
                mem_write(&d, base + off, size, val);
                mem_read(&d, base + off, size);
            }
        }
        finish();
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtio");
    TCase *tc = tcase_create("virtio");

    tcase_add_loop_test(tc, every_transport_carries_every_kind_of_ring, 0, DRIVE_KINDS);
    tcase_add_test(tc, pci_ids_follow_the_specification);
    tcase_add_test(tc, modern_capabilities_say_where_the_registers_are);
    tcase_add_loop_test(tc, features_that_were_not_offered_are_refused, 0, 2);
    tcase_add_test(tc, msix_vectors_carry_queues_and_configuration);
    tcase_add_test(tc, a_device_that_is_no_bus_master_touches_no_memory);
    tcase_add_test(tc, an_empty_mmio_slot_has_device_id_0);
    tcase_add_test(tc, interrupts_come_only_when_wanted);
    tcase_add_test(tc, buffers_across_regions_come_in_pieces);
    tcase_add_test(tc, buffers_in_device_windows_are_copied);
    tcase_add_test(tc, a_buffer_on_its_own_registers_does_no_harm);
    tcase_add_test(tc, written_pages_are_marked);
    tcase_add_loop_test(tc, malice_breaks_the_device_until_reset, 0, ARRAY_LEN(malice));
    tcase_add_loop_test(tc, rings_outside_memory_break_the_device, 0, 4);
    tcase_add_test(tc, reset_takes_back_what_is_in_flight);
    tcase_add_test(tc, random_register_accesses_do_no_harm);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
