/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/ide.h"

#include "tests/fake.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* -- A block back end in memory that completes when told to ------------------------------------- */

struct BlockBackend {
    uint8_t *data;
    uint64_t size;
    bool read_only;
    int err;                       /* of the requests to come */
    BlockRequest *waiting;
    unsigned submitted, flushes;
};

void block_submit(BlockBackend *b, BlockRequest *r)
{
    ck_assert_ptr_null(b->waiting);
    ck_assert_uint_le(r->offset + r->len, b->size);
    b->waiting = r;
    b->submitted++;
    b->flushes += r->op == BLOCK_FLUSH;
}

void block_cancel(BlockBackend *b, void *arg)
{
    if (b->waiting != NULL && b->waiting->arg == arg) {
        b->waiting = NULL;
    }
}

uint64_t block_size(const BlockBackend *b)
{
    return b->size;
}

bool block_read_only(const BlockBackend *b)
{
    return b->read_only;
}

/* Complete requests until none waits. */
static void complete(BlockBackend *b)
{
    while (b->waiting != NULL) {
        BlockRequest *r = b->waiting;

        b->waiting = NULL;
        if (b->err == 0 && r->op == BLOCK_READ) {
            memcpy(r->iov[0].iov_base, b->data + r->offset, r->len);
        } else if (b->err == 0 && r->op == BLOCK_WRITE) {
            memcpy(b->data + r->offset, r->iov[0].iov_base, r->len);
        }
        r->done(r, b->err);
    }
}

/* -- The rig: a disk as unit 0, a CD as unit 2 ---------------------------------------------------- */

enum { DISK_SECTORS = 2048, CD_SECTORS = 300, RAM_LEN = 1 << 20 };

typedef struct {
    Lock lock;
    PhysMem *mem;
    uint8_t *ram;
    Device *ide;
    BlockBackend disk, cd;
    FakeIrq irq[2];
} Rig;

static void backend_init(BlockBackend *b, uint64_t size)
{
    *b = (BlockBackend){.data = g_malloc(size), .size = size};
    for (uint64_t i = 0; i < size; i++) {
        b->data[i] = (uint8_t)(i * 7 + (i >> 9) * 13);
    }
}

static void rig_init(Rig *r)
{
    uint64_t offset;

    memset(r, 0, sizeof *r);
    lock_init(&r->lock, LOCK_RANK_MACHINE);
    lock_take(&r->lock);
    r->mem = phys_mem_new(RAM_LEN, &r->lock, NULL);
    offset = phys_mem_alloc(r->mem, RAM_LEN);
    r->ram = r->mem->base + offset;
    phys_region_ram(r->mem, 0, RAM_LEN, offset, 0, "ram");
    backend_init(&r->disk, DISK_SECTORS * 512);
    backend_init(&r->cd, CD_SECTORS * 2048);
    r->ide = ide_new(r->mem);
    ide_attach_disk(r->ide, 0, &r->disk, NULL);
    ide_attach_cdrom(r->ide, 2, &r->cd);
    ide_set_irq(r->ide, 0, FAKE_IRQ_LINE(&r->irq[0]));
    ide_set_irq(r->ide, 1, FAKE_IRQ_LINE(&r->irq[1]));
    pci_config_write(ide_pci(r->ide), PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
}

static void rig_clear(Rig *r)
{
    complete(&r->disk);
    complete(&r->cd);
    device_free(r->ide);
    phys_mem_free(r->mem);
    g_free(r->disk.data);
    g_free(r->cd.data);
    lock_release(&r->lock);
    lock_clear(&r->lock);
}

static unsigned win_in(Rig *r, unsigned window, unsigned off, unsigned size)
{
    return (unsigned)bus_read(&r->ide->cls->windows[window].ops, r->ide, off, size);
}

static void win_out(Rig *r, unsigned window, unsigned off, unsigned size, unsigned val)
{
    bus_write(&r->ide->cls->windows[window].ops, r->ide, off, size, val);
}

static unsigned in(Rig *r, unsigned ch, unsigned reg)
{
    return win_in(r, ch * 2, reg, 1);
}

static void out(Rig *r, unsigned ch, unsigned reg, unsigned val)
{
    win_out(r, ch * 2, reg, 1, val);
}

static unsigned alt_status(Rig *r, unsigned ch)
{
    return win_in(r, ch * 2 + 1, 0, 1);
}

static void command28(Rig *r, unsigned cmd, unsigned lba, unsigned count)
{
    out(r, 0, 6, 0xe0 | (lba >> 24 & 15));
    out(r, 0, 2, count);
    out(r, 0, 3, lba);
    out(r, 0, 4, lba >> 8);
    out(r, 0, 5, lba >> 16);
    out(r, 0, 7, cmd);
}

static void command48(Rig *r, unsigned cmd, uint64_t lba, unsigned count)
{
    out(r, 0, 6, 0x40);
    out(r, 0, 2, count >> 8);
    out(r, 0, 2, count);
    for (unsigned i = 0; i < 3; i++) {
        out(r, 0, 3 + i, (unsigned)(lba >> (24 + 8 * i)) & 0xff);
        out(r, 0, 3 + i, (unsigned)(lba >> (8 * i)) & 0xff);
    }
    out(r, 0, 7, cmd);
}

/* Read `n` bytes of DRQ data by words. */
static void data_in(Rig *r, unsigned ch, void *buf, unsigned n)
{
    for (unsigned i = 0; i < n; i += 2) {
        store_le((uint8_t *)buf + i, 2, win_in(r, ch * 2, 0, 2));
    }
}

static void data_out(Rig *r, unsigned ch, const void *buf, unsigned n)
{
    for (unsigned i = 0; i < n; i += 2) {
        win_out(r, ch * 2, 0, 2, (unsigned)load_le((const uint8_t *)buf + i, 2));
    }
}

/* A PRD table at 0x100: pieces of `piece` bytes at 0x10000, every other page. */
static void make_prds(Rig *r, unsigned ch, unsigned total, unsigned piece)
{
    unsigned n = 0;

    for (unsigned done = 0; done < total; done += piece, n++) {
        bool last = done + piece >= total;
        store_le(r->ram + 0x100 + 8 * n, 4, 0x10000 + 2 * n * piece);
        store_le(r->ram + 0x104 + 8 * n, 4, (piece & 0xffff) | (last ? 0x80000000u : 0));
    }
    for (unsigned i = 0; i < 4; i++) {
        win_out(r, IDE_WINDOW_BUS_MASTER, ch * 8 + 4 + i, 1, 0x100u >> (8 * i) & 0xff);
    }
    win_out(r, IDE_WINDOW_BUS_MASTER, ch * 8 + 2, 1, 6);
}

static unsigned bm_status(Rig *r, unsigned ch)
{
    return win_in(r, IDE_WINDOW_BUS_MASTER, ch * 8 + 2, 1);
}

static void bm_start(Rig *r, unsigned ch, bool to_memory)
{
    win_out(r, IDE_WINDOW_BUS_MASTER, ch * 8, 1, to_memory ? 9 : 1);
}

/* -- Disk ------------------------------------------------------------------------------------------ */

START_TEST(identify_describes_the_disk)
{
    Rig r;
    uint8_t id[512];

    rig_init(&r);
    command28(&r, 0xec, 0, 0);
    ck_assert_uint_eq(in(&r, 0, 7), 0x58);
    ck_assert_uint_eq(r.irq[0].rises, 1);
    ck_assert_int_eq(r.irq[0].level, 0); /* reading the status took it away */
    data_in(&r, 0, id, 512);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    ck_assert_uint_eq(load_le(id + 120, 4), DISK_SECTORS);
    ck_assert_uint_eq(load_le(id + 200, 8), DISK_SECTORS);
    ck_assert_mem_eq(id + 54, "EMATHPAR", 8);
    rig_clear(&r);
}
END_TEST

START_TEST(pio_reads_interrupt_once_a_block)
{
    Rig r;
    uint8_t buf[3 * 512];

    rig_init(&r);
    command28(&r, 0x20, 5, 3);
    ck_assert_uint_eq(alt_status(&r, 0), 0x80);
    complete(&r.disk);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(r.irq[0].rises, i + 1);
        ck_assert_uint_eq(in(&r, 0, 7), 0x58);
        data_in(&r, 0, buf + i * 512, 512);
    }
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    ck_assert_uint_eq(r.irq[0].rises, 3);
    ck_assert_mem_eq(buf, r.disk.data + 5 * 512, sizeof buf);
    rig_clear(&r);
}
END_TEST

START_TEST(multiple_transfers_use_the_block_that_was_set)
{
    Rig r;
    uint8_t buf[10 * 512];

    rig_init(&r);
    command28(&r, 0xc4, 0, 1); /* not set: refused */
    ck_assert_uint_eq(in(&r, 0, 7), 0x51);
    ck_assert_uint_eq(in(&r, 0, 1), 4);
    command28(&r, 0xc6, 0, 4);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    r.irq[0].rises = 0;
    command28(&r, 0xc4, 100, 10);
    complete(&r.disk);
    in(&r, 0, 7);
    data_in(&r, 0, buf, 4 * 512);
    in(&r, 0, 7);
    data_in(&r, 0, buf + 4 * 512, 4 * 512);
    in(&r, 0, 7);
    data_in(&r, 0, buf + 8 * 512, 2 * 512);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    ck_assert_uint_eq(r.irq[0].rises, 3);
    ck_assert_mem_eq(buf, r.disk.data + 100 * 512, sizeof buf);
    rig_clear(&r);
}
END_TEST

START_TEST(pio_writes_reach_the_image)
{
    Rig r;
    uint8_t buf[2 * 512];

    rig_init(&r);
    memset(buf, 0x5a, sizeof buf);
    command28(&r, 0x30, 9, 2);
    ck_assert_uint_eq(in(&r, 0, 7), 0x58);
    ck_assert_uint_eq(r.irq[0].rises, 0);
    data_out(&r, 0, buf, 512);
    ck_assert_uint_eq(in(&r, 0, 7), 0x80);
    complete(&r.disk);
    ck_assert_uint_eq(in(&r, 0, 7), 0x58);
    data_out(&r, 0, buf + 512, 512);
    complete(&r.disk);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    ck_assert_uint_eq(r.irq[0].rises, 2);
    ck_assert_mem_eq(r.disk.data + 9 * 512, buf, sizeof buf);
    rig_clear(&r);
}
END_TEST

START_TEST(dma_scatters_and_gathers_over_the_prd_table)
{
    Rig r;

    rig_init(&r);
    make_prds(&r, 0, 8 * 512, 1024);
    command48(&r, 0x25, 20, 8);
    ck_assert_uint_eq(bm_status(&r, 0) & 7, 0);
    bm_start(&r, 0, true);
    ck_assert_uint_eq(bm_status(&r, 0) & 7, 1);
    complete(&r.disk);
    ck_assert_uint_eq(bm_status(&r, 0) & 7, 4);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    ck_assert_uint_eq(r.irq[0].rises, 1);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_mem_eq(r.ram + 0x10000 + 2048 * i, r.disk.data + 20 * 512 + 1024 * i, 1024);
    }
    win_out(&r, IDE_WINDOW_BUS_MASTER, 0, 1, 0);
    make_prds(&r, 0, 8 * 512, 1024);
    bm_start(&r, 0, false);     /* started before the command */
    command48(&r, 0x35, 1000, 8);
    complete(&r.disk);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    ck_assert_mem_eq(r.disk.data + 1000 * 512, r.disk.data + 20 * 512, 8 * 512);
    rig_clear(&r);
}
END_TEST

START_TEST(dma_longer_than_the_buffer_goes_in_rounds)
{
    Rig r;

    rig_init(&r);
    make_prds(&r, 0, 1024 * 512, 0x10000);
    for (unsigned i = 0; i < 8; i++) { /* one place for all: 64 KiB each */
        store_le(r.ram + 0x100 + 8 * i, 4, 0x20000);
    }
    command48(&r, 0x25, 3, 1024);
    bm_start(&r, 0, true);
    complete(&r.disk);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    ck_assert_uint_eq(bm_status(&r, 0) & 7, 4);
    ck_assert_uint_gt(r.disk.submitted, 1);
    ck_assert_mem_eq(r.ram + 0x20000, r.disk.data + (3 + 7 * 128) * 512, 0x10000);
    rig_clear(&r);
}
END_TEST

START_TEST(short_prd_table_and_absent_bus_mastering_end_in_an_error)
{
    Rig r;

    rig_init(&r);
    make_prds(&r, 0, 1024, 1024);
    command48(&r, 0x25, 0, 8);
    bm_start(&r, 0, true);
    complete(&r.disk);
    ck_assert_uint_eq(in(&r, 0, 7), 0x51);
    ck_assert_uint_eq(bm_status(&r, 0) & 7, 6);
    pci_config_write(ide_pci(r.ide), PCI_COMMAND, 2, PCI_COMMAND_IO);
    win_out(&r, IDE_WINDOW_BUS_MASTER, 0, 1, 0);
    make_prds(&r, 0, 8 * 512, 1024);
    command48(&r, 0x35, 0, 8);
    bm_start(&r, 0, false);
    ck_assert_uint_eq(in(&r, 0, 7), 0x51);
    rig_clear(&r);
}
END_TEST

START_TEST(sectors_beyond_the_end_are_not_found)
{
    Rig r;

    rig_init(&r);
    command28(&r, 0x20, DISK_SECTORS - 1, 2);
    ck_assert_uint_eq(in(&r, 0, 7), 0x51);
    ck_assert_uint_eq(in(&r, 0, 1), 0x10);
    command48(&r, 0x24, UINT64_C(0xffffffffffff), 1);
    ck_assert_uint_eq(in(&r, 0, 7), 0x51);
    command28(&r, 0x40, DISK_SECTORS - 2, 2);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    out(&r, 0, 6, 0xa0);        /* CHS: sector 0 does not exist */
    out(&r, 0, 3, 0);
    out(&r, 0, 7, 0x20);
    ck_assert_uint_eq(in(&r, 0, 7), 0x51);
    ck_assert_uint_eq(r.disk.submitted, 0);
    rig_clear(&r);
}
END_TEST

START_TEST(host_errors_show_as_uncorrectable_and_name_the_sector)
{
    Rig r;

    rig_init(&r);
    r.disk.err = EIO;
    command28(&r, 0x20, 0x123, 1);
    complete(&r.disk);
    ck_assert_uint_eq(in(&r, 0, 7), 0x51);
    ck_assert_uint_eq(in(&r, 0, 1), 0x40);
    ck_assert_uint_eq(in(&r, 0, 3), 0x23);
    ck_assert_uint_eq(in(&r, 0, 4), 0x01);
    rig_clear(&r);
}
END_TEST

START_TEST(flush_waits_for_the_back_end)
{
    Rig r;

    rig_init(&r);
    command28(&r, 0xe7, 0, 0);
    ck_assert_uint_eq(alt_status(&r, 0), 0x80);
    complete(&r.disk);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    ck_assert_uint_eq(r.disk.flushes, 1);
    out(&r, 0, 1, 0x82);        /* write cache off: each write is flushed */
    out(&r, 0, 7, 0xef);
    complete(&r.disk);
    ck_assert_uint_eq(r.disk.flushes, 2);
    command28(&r, 0x30, 0, 1);
    data_out(&r, 0, r.ram, 512);
    complete(&r.disk);
    ck_assert_uint_eq(r.disk.flushes, 3);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    rig_clear(&r);
}
END_TEST

START_TEST(read_only_disks_refuse_writes)
{
    Rig r;

    rig_init(&r);
    r.disk.read_only = true;
    command28(&r, 0x30, 0, 1);
    ck_assert_uint_eq(in(&r, 0, 7), 0x51);
    rig_clear(&r);
}
END_TEST

START_TEST(software_reset_shows_the_signatures_even_with_a_request_in_flight)
{
    Rig r;

    rig_init(&r);
    command28(&r, 0x20, 0, 1);
    win_out(&r, IDE_WINDOW_PRIMARY_CONTROL, 0, 1, 4);
    win_out(&r, IDE_WINDOW_PRIMARY_CONTROL, 0, 1, 0);
    ck_assert_uint_eq(in(&r, 0, 7), 0x80);
    complete(&r.disk);
    ck_assert_uint_eq(in(&r, 0, 7), 0x50);
    ck_assert_uint_eq(in(&r, 0, 2), 1);
    ck_assert_uint_eq(in(&r, 0, 4), 0);
    win_out(&r, IDE_WINDOW_SECONDARY_CONTROL, 0, 1, 4);
    win_out(&r, IDE_WINDOW_SECONDARY_CONTROL, 0, 1, 0);
    ck_assert_uint_eq(in(&r, 1, 4), 0x14);
    ck_assert_uint_eq(in(&r, 1, 5), 0xeb);
    ck_assert_uint_eq(r.irq[0].rises, 0);
    rig_clear(&r);
}
END_TEST

START_TEST(absent_drives_read_as_nothing)
{
    Rig r;

    rig_init(&r);
    out(&r, 0, 6, 0xf0);
    ck_assert_uint_eq(in(&r, 0, 7), 0);
    out(&r, 0, 7, 0xec);
    ck_assert_uint_eq(in(&r, 0, 7), 0);
    ck_assert_uint_eq(r.irq[0].rises, 0);
    rig_clear(&r);
}
END_TEST

START_TEST(nien_holds_the_interrupt_back)
{
    Rig r;

    rig_init(&r);
    win_out(&r, IDE_WINDOW_PRIMARY_CONTROL, 0, 1, 2);
    command28(&r, 0xe5, 0, 0);
    ck_assert_int_eq(r.irq[0].level, 0);
    win_out(&r, IDE_WINDOW_PRIMARY_CONTROL, 0, 1, 0);
    ck_assert_int_eq(r.irq[0].level, 1);
    in(&r, 0, 7);
    ck_assert_int_eq(r.irq[0].level, 0);
    rig_clear(&r);
}
END_TEST

START_TEST(machine_reset_is_total_and_forgets_the_request_in_flight)
{
    Rig r;

    rig_init(&r);
    command28(&r, 0x20, 0, 1);
    device_reset(r.ide);
    device_reset(r.ide);
    ck_assert_uint_eq(alt_status(&r, 0), 0x50);
    complete(&r.disk);          /* the old one: nothing may happen */
    ck_assert_uint_eq(alt_status(&r, 0), 0x50);
    ck_assert_uint_eq(r.irq[0].rises, 0);
    for (unsigned reg = 1; reg < 7; reg++) {
        static const unsigned expect[7] = {0, 1, 1, 1, 0, 0, 0xa0};
        ck_assert_uint_eq(in(&r, 0, reg), expect[reg]);
    }
    rig_clear(&r);
}
END_TEST

/* -- CD-ROM ---------------------------------------------------------------------------------------- */

static void packet(Rig *r, bool dma, unsigned limit, const uint8_t p[12])
{
    out(r, 1, 6, 0);
    out(r, 1, 1, dma);
    out(r, 1, 4, limit & 0xff);
    out(r, 1, 5, limit >> 8);
    out(r, 1, 7, 0xa0);
    ck_assert_uint_eq(in(r, 1, 7), 0x58);
    ck_assert_uint_eq(in(r, 1, 2), 1);
    data_out(r, 1, p, 12);
}

/* Take all the data a packet gives; returns how much. */
static unsigned packet_data(Rig *r, uint8_t *buf, unsigned max)
{
    unsigned total = 0;

    complete(&r->cd);
    while ((in(r, 1, 7) & 8) != 0) {
        unsigned n = in(r, 1, 4) | in(r, 1, 5) << 8;
        ck_assert_uint_eq(in(r, 1, 2), 2);
        ck_assert_uint_le(total + n, max);
        data_in(r, 1, buf + total, n);
        total += n;
        complete(&r->cd);
    }
    ck_assert_uint_eq(in(r, 1, 2), 3);
    return total;
}

static void test_ready(Rig *r)
{
    packet(r, false, 0, (uint8_t[12]){0});
}

static unsigned sense(Rig *r)
{
    uint8_t b[18];

    packet(r, false, 18, (uint8_t[12]){0x03, 0, 0, 0, 18});
    ck_assert_uint_eq(packet_data(r, b, sizeof b), 18);
    return (unsigned)b[2] << 8 | b[12];
}

START_TEST(reset_is_reported_once_as_a_unit_attention)
{
    Rig r;

    rig_init(&r);
    test_ready(&r);
    ck_assert_uint_eq(in(&r, 1, 7), 0x51);
    ck_assert_uint_eq(in(&r, 1, 1) >> 4, 6);
    ck_assert_uint_eq(sense(&r), 0x629);
    test_ready(&r);
    ck_assert_uint_eq(in(&r, 1, 7), 0x50);
    ck_assert_uint_eq(sense(&r), 0);
    rig_clear(&r);
}
END_TEST

START_TEST(inquiry_and_capacity_tell_what_it_is)
{
    Rig r;
    uint8_t b[64];

    rig_init(&r);
    packet(&r, false, 64, (uint8_t[12]){0x12, 0, 0, 0, 36});
    ck_assert_uint_eq(packet_data(&r, b, sizeof b), 36);
    ck_assert_uint_eq(b[0], 5);
    test_ready(&r);
    packet(&r, false, 64, (uint8_t[12]){0x25});
    ck_assert_uint_eq(packet_data(&r, b, sizeof b), 8);
    ck_assert_mem_eq(b, ((uint8_t[8]){0, 0, CD_SECTORS >> 8, (CD_SECTORS - 1) & 0xff, 0, 0, 8, 0}),
                     8);
    packet(&r, false, 64, (uint8_t[12]){0x43, 2, 0, 0, 0, 0, 0, 0, 64});
    ck_assert_uint_eq(packet_data(&r, b, sizeof b), 20);
    ck_assert_uint_eq(b[1], 18);
    ck_assert_uint_eq(b[14], 0xaa);
    ck_assert_uint_eq(b[17], 0);
    ck_assert_uint_eq(b[18], 6); /* 300 + 150 frames: 6 seconds */
    rig_clear(&r);
}
END_TEST

START_TEST(cd_reads_by_pio_in_pieces_of_the_limit)
{
    Rig r;
    static uint8_t b[100 * 2048];

    rig_init(&r);
    test_ready(&r);
    r.irq[1].rises = 0;
    packet(&r, false, 4096, (uint8_t[12]){0x28, 0, 0, 0, 0, 7, 0, 0, 5});
    ck_assert_uint_eq(packet_data(&r, b, sizeof b), 5 * 2048);
    ck_assert_mem_eq(b, r.cd.data + 7 * 2048, 5 * 2048);
    ck_assert_uint_eq(r.irq[1].rises, 4); /* 4096, 4096, 2048, end */
    packet(&r, false, 0xffff, (uint8_t[12]){0xa8, 0, 0, 0, 0, 3, 0, 0, 0, 100});
    ck_assert_uint_eq(packet_data(&r, b, sizeof b), 100 * 2048);
    ck_assert_mem_eq(b, r.cd.data + 3 * 2048, 100 * 2048);
    rig_clear(&r);
}
END_TEST

START_TEST(cd_reads_by_dma)
{
    Rig r;

    rig_init(&r);
    test_ready(&r);
    make_prds(&r, 1, 4 * 2048, 4 * 2048);
    packet(&r, true, 0, (uint8_t[12]){0x28, 0, 0, 0, 0, 100, 0, 0, 4});
    bm_start(&r, 1, true);
    complete(&r.cd);
    ck_assert_uint_eq(in(&r, 1, 7), 0x50);
    ck_assert_uint_eq(bm_status(&r, 1) & 7, 4);
    ck_assert_mem_eq(r.ram + 0x10000, r.cd.data + 100 * 2048, 4 * 2048);
    rig_clear(&r);
}
END_TEST

START_TEST(cd_errors_have_their_sense)
{
    static const struct { uint8_t p[12]; unsigned sense; int err; } rows[] = {
        {{0x28, 0, 0, 0, 1, 44, 0, 0, 1}, 0x521, 0},     /* sector 300 */
        {{0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff}, 0x521, 0},
        {{0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 0x311, EIO},
        {{0x2a}, 0x520, 0},                              /* WRITE */
        {{0x5a, 0, 0x05, 0, 0, 0, 0, 0, 64}, 0x524, 0},  /* an unknown mode page */
        {{0x12, 1, 0, 0, 36}, 0x524, 0},
    };
    Rig r;

    rig_init(&r);
    test_ready(&r);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        r.cd.err = rows[i].err;
        packet(&r, false, 2048, rows[i].p);
        complete(&r.cd);
        ck_assert_uint_eq(in(&r, 1, 7), 0x51);
        ck_assert_uint_eq(sense(&r), rows[i].sense);
    }
    rig_clear(&r);
}
END_TEST

START_TEST(changing_the_medium_is_noticed)
{
    Rig r;

    rig_init(&r);
    test_ready(&r);
    ide_change_medium(r.ide, 2, NULL);
    test_ready(&r);
    ck_assert_uint_eq(sense(&r), 0x628);
    test_ready(&r);
    ck_assert_uint_eq(sense(&r), 0x23a);
    ide_change_medium(r.ide, 2, &r.cd);
    test_ready(&r);
    ck_assert_uint_eq(sense(&r), 0x628);
    packet(&r, false, 2048, (uint8_t[12]){0x28, 0, 0, 0, 0, 0, 0, 0, 1});
    ide_change_medium(r.ide, 2, NULL); /* with a read in flight */
    ck_assert_uint_eq(in(&r, 1, 7), 0x51);
    complete(&r.cd);
    rig_clear(&r);
}
END_TEST

START_TEST(identify_packet_and_the_aborted_identify)
{
    Rig r;
    uint8_t id[512];

    rig_init(&r);
    out(&r, 1, 7, 0xec);
    ck_assert_uint_eq(in(&r, 1, 7), 0x51);
    ck_assert_uint_eq(in(&r, 1, 4), 0x14);
    out(&r, 1, 7, 0xa1);
    data_in(&r, 1, id, 512);
    ck_assert_uint_eq(load_le(id, 2), 0x85c0);
    out(&r, 1, 7, 0x08); /* DEVICE RESET */
    ck_assert_uint_eq(in(&r, 1, 7), 0);
    ck_assert_uint_eq(in(&r, 1, 5), 0xeb);
    rig_clear(&r);
}
END_TEST

/* -- Anything ---------------------------------------------------------------------------------------- */

START_TEST(random_accesses_do_no_harm)
{
    static const uint8_t commands[] = {0x20, 0x24, 0x25, 0x30, 0x34, 0x35, 0xc4, 0xc5, 0xc6, 0xc8,
                                       0xca, 0xe7, 0xec, 0xef, 0xa0, 0xa1, 0x08, 0x90, 0x91, 0xf8};
    Rig r;
    uint32_t x = (uint32_t)_i * 77 + 1;

    rig_init(&r);
    for (unsigned i = 0; i < 100000; i++) {
        unsigned window, size, off;
        x = x * 1664525 + 1013904223;
        window = (x >> 8) % IDE_WINDOW_COUNT;
        size = 1u << (x >> 12) % 3;
        off = (unsigned)((x >> 16) % r.ide->cls->windows[window].len) & ~(size - 1);
        if (off + size > r.ide->cls->windows[window].len) {
            continue;
        }
        switch (x >> 29) {
        case 0:
            complete(x & 0x100 ? &r.disk : &r.cd);
            break;
        case 1: case 2:
            win_in(&r, window, off, size);
            break;
        case 3:
            out(&r, x >> 5 & 1, 7, commands[(x >> 20) % sizeof commands]);
            break;
        case 4:
            data_out(&r, x >> 5 & 1, r.ram + (x >> 10) % 4096, 12);
            break;
        default:
            win_out(&r, window, off, size, x >> 3 & 0x40000fff);
            break;
        }
        if (x % 5000 == 0) {
            complete(&r.disk);
            complete(&r.cd);
            device_reset(r.ide);
        }
    }
    rig_clear(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ide");
    TCase *t = tcase_create("ide");
    SRunner *sr;
    int failed;

    suite_add_tcase(s, t);
    tcase_add_test(t, identify_describes_the_disk);
    tcase_add_test(t, pio_reads_interrupt_once_a_block);
    tcase_add_test(t, multiple_transfers_use_the_block_that_was_set);
    tcase_add_test(t, pio_writes_reach_the_image);
    tcase_add_test(t, dma_scatters_and_gathers_over_the_prd_table);
    tcase_add_test(t, dma_longer_than_the_buffer_goes_in_rounds);
    tcase_add_test(t, short_prd_table_and_absent_bus_mastering_end_in_an_error);
    tcase_add_test(t, sectors_beyond_the_end_are_not_found);
    tcase_add_test(t, host_errors_show_as_uncorrectable_and_name_the_sector);
    tcase_add_test(t, flush_waits_for_the_back_end);
    tcase_add_test(t, read_only_disks_refuse_writes);
    tcase_add_test(t, software_reset_shows_the_signatures_even_with_a_request_in_flight);
    tcase_add_test(t, absent_drives_read_as_nothing);
    tcase_add_test(t, nien_holds_the_interrupt_back);
    tcase_add_test(t, machine_reset_is_total_and_forgets_the_request_in_flight);
    tcase_add_test(t, reset_is_reported_once_as_a_unit_attention);
    tcase_add_test(t, inquiry_and_capacity_tell_what_it_is);
    tcase_add_test(t, cd_reads_by_pio_in_pieces_of_the_limit);
    tcase_add_test(t, cd_reads_by_dma);
    tcase_add_test(t, cd_errors_have_their_sense);
    tcase_add_test(t, changing_the_medium_is_noticed);
    tcase_add_test(t, identify_packet_and_the_aborted_identify);
    tcase_add_loop_test(t, random_accesses_do_no_harm, 0, 4);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
