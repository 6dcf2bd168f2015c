/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Worlds by themselves: hand-over, mappings, and user code that does its worst. */
#include "softmmu/base/bits.h"
#include "tests/suite.h"
#include "translator/direct/host-ints.h"
#include "translator/direct/scan.h"
#include "translator/direct/world.h"

#include <inttypes.h>
#include <linux/audit.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CODE = 0x400000, DATA = 0x500000, RAM_LEN = 1 << 20, DATA_AT = 0x10000, SECRET_AT = 0x80000 };

static WorldImage image;
static World *world;
static uint8_t *ram;
static int ram_fd;

/* -- A world with a page of code and one of data ----------------------------------------------- */

static bool bases_by_calls, image_breaks;

static void set_up(void)
{
    ram_fd = memfd_create("test", MFD_CLOEXEC);
    ck_assert(ram_fd >= 0 && ftruncate(ram_fd, RAM_LEN) == 0);
    ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, ram_fd, 0);
    ck_assert(world_image_init(&image, ram_fd, NULL));
    image.bases_by_calls |= bases_by_calls;
    image.breaks_wanted = image_breaks;
    world = world_new(&image, NULL);
    ck_assert_ptr_nonnull(world);
    ck_assert(world_map(world, CODE, 4096, PROT_READ | PROT_EXEC, 0, false));
    ck_assert(world_map(world, DATA, 4096, PROT_READ | PROT_WRITE, DATA_AT, false));
    ck_assert(world_sync(world));
    memset(ram + SECRET_AT, 0x77, 4096);
}

static void tear_down(void)
{
    pid_t pids[2] = {world->guest, world->mapper};

    for (unsigned i = 0; i < 4096; i++) {
        ck_assert(ram[SECRET_AT + i] == 0x77);
    }
    world_free(world);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(pids[i] == 0 || kill(pids[i], 0) != 0);
    }
    world_image_clear(&image);
    munmap(ram, RAM_LEN);
    close(ram_fd);
}

static greg_t *regs(void)
{
    uint8_t *fp;
    ucontext_t *uc = world_frame(world, &fp);

    ck_assert_ptr_nonnull(uc);
    return uc->uc_mcontext.gregs;
}

static void code(const void *bytes, size_t n)
{
    memcpy(ram, bytes, n);
}

/* Run from rip until the next event; false: there is nobody any more. */
static bool run(uint64_t rip, unsigned spin, WorldEvent *ev)
{
    greg_t *g = regs();

    g[REG_RIP] = (greg_t)rip;
    g[REG_EFL] = 0x202;
    world_resume(world, spin);
    while (!world_wait(world, spin, 100000000)) {
        if (world_check(world) != WORLD_ALIVE) {
            return false;
        }
    }
    return world_event(world, ev);
}

/* -- What it is for -------------------------------------------------------------------------------- */

START_TEST(registers_go_over_and_back)
{
    static const uint8_t bytes[] = {0x48, 0x01, 0xd8, 0x49, 0xff, 0xc7, 0xcc}; /* add rbx,rax; inc r15; int3 */
    WorldEvent ev;

    code(bytes, sizeof bytes);
    for (unsigned i = 0; i < 200; i++) {
        regs()[REG_RAX] = i;
        regs()[REG_RBX] = 1000;
        regs()[REG_R15] = -1;
        ck_assert(run(CODE, i % 2 * 2000, &ev));
        ck_assert_int_eq(ev.signal, SIGTRAP);
        ck_assert_int_eq(ev.regs.gregs[REG_RAX], i + 1000);
        ck_assert_int_eq(ev.regs.gregs[REG_R15], 0);
        ck_assert_int_eq(ev.regs.gregs[REG_RIP], CODE + 7);
    }
}
END_TEST

START_TEST(mappings_have_the_rights_they_are_given)
{
    static const uint8_t bytes[] = {0x89, 0x01, 0xcc, 0x8b, 0x01, 0xcc}; /* mov eax,(rcx); int3; mov (rcx),eax; int3 */
    static const struct {
        int prot;
        bool read, write;
    } rows[] = {{PROT_READ, true, false}, {PROT_READ | PROT_WRITE, true, true}, {PROT_NONE, false, false}};
    WorldEvent ev;

    code(bytes, sizeof bytes);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        ck_assert(world_protect(world, DATA, 4096, rows[i].prot) && world_sync(world));
        regs()[REG_RCX] = DATA + 8;
        regs()[REG_RAX] = 42 + i;
        ck_assert(run(CODE, 0, &ev));
        ck_assert_int_eq(ev.signal, rows[i].write ? SIGTRAP : SIGSEGV);
        ck_assert(rows[i].write || ev.regs.gregs[REG_CR2] == DATA + 8);
        ck_assert_int_eq(ram[DATA_AT + 8] == 42 + i, rows[i].write);
        ck_assert(run(CODE + 3, 0, &ev));
        ck_assert_int_eq(ev.signal, rows[i].read ? SIGTRAP : SIGSEGV);
    }
    ck_assert(world_unmap_all(world) && world_sync(world));
    ck_assert(run(CODE, 0, &ev));
    ck_assert_int_eq(ev.signal, SIGSEGV);
    ck_assert_int_eq(ev.regs.gregs[REG_CR2], CODE);
}
END_TEST

static bool wait_for(WorldEvent *ev)
{
    while (!world_wait(world, 0, 100000000)) {
        if (world_check(world) != WORLD_ALIVE) {
            return false;
        }
    }
    return world_event(world, ev);
}

/* Wherever the world is stopped first, and whatever its frame is, it does not pass. */
START_TEST(breakpoints_stop_before_the_instruction)
{
    static const uint8_t bytes[] = {0x31, 0xc0, 0x0f, 0xa2, 0xcc}; /* xor eax,eax; cpuid; int3 */
    WorldEvent ev;

    tear_down();
    image_breaks = true;
    set_up();
    image_breaks = false;
    if (!image.breaks_work) {
        printf("this host's breakpoints do not stop, or are not to be had\n");
        return;
    }
    code(bytes, sizeof bytes);
    ck_assert(breaks_set(&world->breaks, world->guest, CODE + 2));
    for (unsigned i = 0; i < 50; i++) {
        regs()[REG_RBX] = 0x1234;
        ck_assert(run(CODE + (i % 2 != 0 ? 2 : 0), i % 3 * 1000, &ev));
        ck_assert_int_eq(ev.signal, SIGTRAP);
        ck_assert_int_eq(ev.code, WORLD_BREAK);
        ck_assert_int_eq(ev.regs.gregs[REG_RIP], CODE + 2);
        ck_assert_int_eq(ev.regs.gregs[REG_RBX], 0x1234);
        usleep(500);                                       /* not too often for the host's kernel */
    }
    regs()[REG_EFL] |= 1 << 16;                            /* RF, as in the frame of a fault */
    world_clear_rf(world);
    world_resume(world, 0);
    ck_assert(wait_for(&ev));
    ck_assert_int_eq(ev.code, WORLD_BREAK);
    for (unsigned i = 1; i < BREAKS_MAX; i++) {
        ck_assert(breaks_set(&world->breaks, world->guest, CODE + 0x100 * i));
    }
    ck_assert(breaks_set(&world->breaks, world->guest, CODE + 2)); /* it is there already */
    ck_assert(!breaks_set(&world->breaks, world->guest, CODE + 0x900));
    breaks_clear(&world->breaks, CODE, 3);
    ck_assert(!breaks_has(&world->breaks, CODE + 2) && breaks_has(&world->breaks, CODE + 0x100));
    ck_assert(run(CODE, 0, &ev));
    ck_assert_int_eq(ev.regs.gregs[REG_RIP], CODE + 5);    /* the int3 */
    ck_assert_int_ne(ev.code, WORLD_BREAK);
}
END_TEST

/* It never runs without the mappings that were queued: wherever it was, spinning, falling asleep, parked. */
START_TEST(what_is_queued_precedes_the_run)
{
    static const uint8_t bytes[] = {0x8b, 0x01, 0xcc}; /* mov (rcx),eax; int3 */
    WorldEvent ev;

    code(bytes, sizeof bytes);
    for (unsigned i = 0; i < 2000; i++) {
        uint64_t at = DATA + 0x10000 + i % 7 * 8192;

        *(uint32_t *)(ram + DATA_AT) = i;
        if (i % 5 == 0) {
            ck_assert(run(CODE + 2, 1000, &ev));
        }
        if (i % 3 == 0) {
            ck_assert(world_park(world));
        }
        if (i % 50 == 0) {
            for (unsigned k = 0; k < 200; k++) { /* more than fit into one order */
                ck_assert(world_map(world, DATA + 0x100000 + (k ^ 1) * 8192, 4096, PROT_READ, DATA_AT, true));
            }
        }
        ck_assert(world_map(world, at, 4096, PROT_READ, DATA_AT, true));
        ck_assert_uint_ne(world_requests(world), 0);
        regs()[REG_RCX] = (greg_t)at;
        regs()[REG_RIP] = CODE;
        world_resume_mapped(world, 0);
        ck_assert_uint_eq(world_requests(world), 0);
        ck_assert(wait_for(&ev));
        ck_assert_int_eq(ev.signal, SIGTRAP);
        ck_assert_int_eq(ev.regs.gregs[REG_RAX], i);
        ck_assert(world_unmap(world, at, 4096) && world_sync(world));
    }
}
END_TEST

static bool wait_awake(unsigned spin, WorldEvent *ev)
{
    while (!world_wait(world, spin, 1000000)) {
        if (world_check(world) != WORLD_ALIVE) {
            return false;
        }
    }
    return world_event(world, ev);
}

/*
 * Awake, after a page fault, the mapper looks for the engine's word in the guest thread's stead: an order, or that the thread shall go on.  Nothing is
 * lost, whoever of them sleeps by then (_i 0), and whatever the hint says that user code can write (_i 1).
 */
START_TEST(a_page_fault_leaves_the_word_to_the_mapper)
{
    static const uint8_t bytes[] = {0x8b, 0x01, 0xcc}; /* mov (rcx),eax; int3 */
    enum { SPIN = 20000 };
    WorldEvent ev;

    code(bytes, sizeof bytes);
    for (unsigned i = 0; i < (_i == 0 ? 1000 : 60); i++) {
        uint64_t at = DATA + 0x10000 + i % 7 * 8192;

        *(uint32_t *)(ram + DATA_AT) = i;
        regs()[REG_RCX] = (greg_t)at;
        ck_assert(run(CODE, SPIN, &ev));
        ck_assert_int_eq(ev.signal, SIGSEGV);
        ck_assert_int_eq(ev.regs.gregs[REG_CR2], at);
        if (i % 20 == 0) {
            usleep(3000); /* nobody looks any more */
        }
        if (_i == 1) {
            *(uint32_t *)(world->shared + W_CTL_LEN + CTX_MAPPER_ASLEEP) = i / 2 % 2;
        }
        if (i % 9 == 0) {
            ck_assert(world_park(world));
        }
        if (i % 4 == 0) {
            ck_assert(run(CODE + 2, SPIN, &ev)); /* no order after all */
            ck_assert_int_eq(ev.signal, SIGTRAP);
            regs()[REG_RCX] = (greg_t)at;
        }
        ck_assert(world_map(world, at, 4096, PROT_READ, DATA_AT, true));
        if (i % 5 == 0) {
            ck_assert(world_sync(world));
            ck_assert(run(CODE, SPIN, &ev));
        } else {
            regs()[REG_RIP] = CODE;
            world_resume_mapped(world, SPIN);
            ck_assert(wait_awake(SPIN, &ev));
        }
        ck_assert_int_eq(ev.signal, SIGTRAP);
        ck_assert_int_eq(ev.regs.gregs[REG_RAX], i);
        ck_assert(world_unmap(world, at, 4096) && world_sync(world));
    }
}
END_TEST

/* Where an order fails that should have let the guest thread go, it does not go. */
START_TEST(a_mapping_that_fails_is_found_out)
{
    static const uint8_t bytes[] = {0x8b, 0x01, 0xcc};
    WorldEvent ev;

    code(bytes, sizeof bytes);
    ck_assert(world_map(world, DATA + 0x10000, 4096, PROT_READ, 1, false)); /* no offset for a page */
    regs()[REG_RCX] = DATA + 0x10000;
    regs()[REG_RIP] = CODE;
    world_resume_mapped(world, 0);
    ck_assert(!wait_for(&ev)); /* it has not run */
    ck_assert_int_eq(world_check(world), WORLD_NOT_MAPPED);
    ck_assert(!world_sync(world));
    ck_assert_int_eq(world_check(world), WORLD_NOT_MAPPED);
}
END_TEST

/* ... and one that was to be waited for is another matter. */
START_TEST(a_failure_that_was_waited_for_breaks_it)
{
    ck_assert(world_map(world, DATA + 0x10000, 4096, PROT_READ, 1, false));
    ck_assert(!world_sync(world));
    ck_assert_int_eq(world_check(world), WORLD_BROKEN);
}
END_TEST

START_TEST(a_kick_comes_through)
{
    static const uint8_t loop[] = {0xeb, 0xfe};
    WorldEvent ev;

    code(loop, sizeof loop);
    for (unsigned i = 0; i < 20; i++) {
        regs()[REG_RIP] = CODE;
        world_resume(world, 0);
        world_kick(world);
        while (!world_wait(world, 0, 100000000)) {
            ck_assert_int_eq(world_check(world), WORLD_ALIVE);
        }
        ck_assert(world_event(world, &ev));
        ck_assert_int_eq(ev.signal, KICK_SIGNAL);
        ck_assert_int_eq(ev.regs.gregs[REG_RIP], CODE);
    }
}
END_TEST

START_TEST(a_parked_world_goes_on)
{
    static const uint8_t bytes[] = {0xcc};
    WorldEvent ev;

    code(bytes, sizeof bytes);
    for (unsigned i = 0; i < 100; i++) {
        ck_assert(run(CODE, i % 3 * 1000, &ev));
        ck_assert(world_park(world));
        ck_assert(world_park(world));
    }
}
END_TEST

START_TEST(rdtsc_faults_where_it_shall)
{
    static const uint8_t bytes[] = {0x0f, 0x31, 0xcc, 0x0f, 0x01, 0xf9, 0xcc};
    WorldEvent ev;

    code(bytes, sizeof bytes);
    for (unsigned i = 0; i < 6; i++) {
        bool faults = i % 2 != 0 && world->tsc_can_fault;

        world_fault_tsc(world, i % 2 != 0);
        ck_assert(world_tsc_faults(world) == faults);
        ck_assert(run(CODE, 0, &ev));
        ck_assert_int_eq(ev.signal, faults ? SIGSEGV : SIGTRAP);
        ck_assert_int_eq(ev.regs.gregs[REG_RIP], CODE + (faults ? 0 : 3));
        ck_assert(run(CODE + 3, 0, &ev));
        ck_assert_int_eq(ev.signal, faults ? SIGSEGV : SIGTRAP);
        ck_assert_int_eq(ev.regs.gregs[REG_RIP], CODE + (faults ? 3 : 7));
    }
}
END_TEST

/* What the scan lets through is what the engine reckons with: a fault where the instruction is, or the gates of user code. */
START_TEST(each_int_comes_back)
{
    unsigned odd = 0;

    for (unsigned n = 0; n < 256; n++) {
        const uint8_t bytes[] = {0xcd, (uint8_t)n, 0xcc};
        bool behind = n == 3 || n == 4, either = n == 0x80; /* a fault where the host has no 32-bit code */
        WorldEvent ev;

        if ((host_ints_odd()[n / 64] >> n % 64 & 1) != 0) {
            odd++;
            continue;
        }
        code(bytes, sizeof bytes);
        ck_assert(run(CODE, 0, &ev));
        ck_assert_msg((!behind && ev.regs.gregs[REG_RIP] == CODE) || ((behind || either) && ev.regs.gregs[REG_RIP] == CODE + 2),
                      "INT %u: signal %d at %llx", n, ev.signal, ev.regs.gregs[REG_RIP]);
        ck_assert_int_ne(ev.signal, KICK_SIGNAL);
    }
    ck_assert_uint_lt(odd, 32);
}
END_TEST

/* By instructions if the host can, and by system calls. */
START_TEST(bases_are_what_they_are_set_to)
{
    static const uint8_t bytes[] = {0x64, 0x48, 0x8b, 0x04, 0x25, 8, 0, 0, 0,       /* mov fs:8,rax */
                                    0x65, 0x48, 0x8b, 0x1c, 0x25, 8, 0, 0, 0, 0xcc, /* mov gs:8,rbx; int3 */
                                    0xb8, 0x2b, 0, 0, 0, 0x8e, 0xe0, 0xcc};         /* mov 0x2b,eax; mov eax,fs; int3 */
    enum { LOAD_FS = CODE + 19 };
    WorldEvent ev, segments = {0};

    tear_down();
    bases_by_calls = _i != 0;
    set_up();
    code(bytes, sizeof bytes);
    for (unsigned i = 0; i < 512; i++) {
        store_le(ram + DATA_AT + 8 * i, 8, i);
    }
    for (unsigned i = 0; i < 300; i++) {
        unsigned fs = i / 3, gs = i / 50;

        if (i % 16 == 5) { /* what its user code does to them behind our back is forgotten */
            ck_assert(run(LOAD_FS, 0, &ev));
            ck_assert_int_eq(ev.fs, 0x2b);
        } else if (i % 16 == 6) {
            world_forget_bases(world);
        }
        segments.fs_base = DATA + 8 * fs;
        segments.gs_base = DATA + 8 * gs;
        world_set_segments(world, &segments);
        ck_assert(run(CODE, i % 2 * 1000, &ev));
        ck_assert_int_eq(ev.signal, SIGTRAP);
        ck_assert_int_eq(ev.regs.gregs[REG_RAX], fs + 1);
        ck_assert_int_eq(ev.regs.gregs[REG_RBX], gs + 1);
        ck_assert_uint_eq(ev.fs_base, segments.fs_base);
        ck_assert_uint_eq(ev.gs_base, segments.gs_base);
        ck_assert_int_eq(ev.fs, 0);
    }
}
END_TEST

/* -- The scan --------------------------------------------------------------------------------------- */

typedef struct {
    uint8_t bytes[8];
    unsigned found;
} ScanCase;

static const ScanCase scan_case[] = {
    {{0x0f, 0xa2}, SCAN_DENIED},             /* cpuid                                  */
    {{0x0f, 0x01, 0xc1}, SCAN_DENIED},       /* vmcall                                 */
    {{0x0f, 0x01, 0xd9}, SCAN_DENIED},       /* vmmcall                                */
    {{0x66, 0x0f, 0x01, 0xc1}, SCAN_DENIED}, /* ... with a prefix                      */
    {{0x0f, 0x01, 0x00}, SCAN_DENIED},       /* sgdt                                   */
    {{0x0f, 0x34}, SCAN_DENIED},             /* sysenter                               */
    {{0x0f, 0x33}, SCAN_DENIED},             /* rdpmc                                  */
    {{0xf3, 0x0f, 0xc7, 0xf8}, SCAN_DENIED}, /* rdpid                                  */
    {{0x0f, 0x31}, SCAN_TSC},                /* rdtsc                                  */
    {{0x0f, 0x01, 0xf9}, SCAN_TSC},          /* rdtscp                                 */
    {{0xb8, 0x0f, 0xa2, 0x0f, 0x31}, 0},     /* mov $..., %eax: their bytes in a constant */
    {{0x48, 0x0f, 0xaf, 0xc1}, 0},           /* imul                                   */
};

/* With breakpoints CPUID may run, but not with prefixes, before which they would have to be, nor in 32-bit code. */
START_TEST(the_scan_says_where_cpuid_is)
{
    static const unsigned places[] = {0, 1, 2000, SCAN_PAGE - 3};
    const ScanRules breaks = {.break_cpuid = true};
    uint8_t two[2 * SCAN_PAGE], *page = two + SCAN_PAGE;
    uint16_t at[4];

    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        memset(two, 0x90, sizeof two);
        memcpy(page + places[i], "\x0f\xa2", 2);
        ck_assert_uint_eq(scan_page(page, page, breaks), SCAN_CPUID);
        ck_assert_uint_eq(scan_page(page, page, (ScanRules){0}), SCAN_DENIED);
        ck_assert_uint_eq(scan_page(page, page, (ScanRules){.break_cpuid = true, .code32 = true}), SCAN_DENIED);
        ck_assert_uint_eq(scan_cpuids(page, at, 2), 1);
        ck_assert_uint_eq(at[0], places[i]);
        for (unsigned k = 0; k < 3 && places[i] != 0; k++) {
            page[places[i] - 1] = "\x48\xf3\x2e"[k];
            ck_assert_uint_eq(scan_page(page, page, breaks), SCAN_DENIED);
        }
    }
    memset(two, 0x90, sizeof two);
    memcpy(page - 1, "\x0f\xa2", 2);                      /* one byte on each page */
    ck_assert_uint_eq(scan_page(page, page, breaks), 0);
    ck_assert_uint_eq(scan_border(page, page, breaks), SCAN_DENIED);
    memset(two, 0x90, sizeof two);
    memcpy(page + 100, "\x0f\xa2\xb8\x0f\xa2\x00\x00\x0f\xa2\x90\x0f\xa2", 12); /* one of them in a constant */
    ck_assert_uint_eq(scan_cpuids(page, at, 4), 4);        /* who jumps there is stopped, too */
    ck_assert_uint_eq(at[0], 100);
    ck_assert_uint_eq(at[1], 103);
    ck_assert_uint_eq(at[2], 107);
    ck_assert_uint_eq(at[3], 110);
    memcpy(page + 200, "\x0f\x01\xc1", 3);
    ck_assert_uint_ne(scan_page(page, page, breaks) & SCAN_DENIED, 0);
}
END_TEST

START_TEST(the_scan_finds_what_must_not_run)
{
    static const unsigned places[] = {0, 1, 2000, SCAN_PAGE - 16, SCAN_PAGE - 8};
    const ScanCase *c = &scan_case[_i];
    uint8_t page[SCAN_PAGE];

    /* what is no instruction is known for none by what is before it */
    for (unsigned i = c->found == 0 ? 2 : 0; i < G_N_ELEMENTS(places); i++) {
        memset(page, 0x90, sizeof page);
        ck_assert_uint_eq(scan_page(page, NULL, (ScanRules){0}), 0);
        memcpy(page + places[i], c->bytes, sizeof c->bytes);
        ck_assert_uint_eq(scan_page(page, NULL, (ScanRules){0}), c->found);
        ck_assert_uint_eq(scan_page(page, NULL, (ScanRules){.allow_rdtsc = true}),
                          c->bytes[1] == 0x31 ? 0 : c->found);
    }
}
END_TEST

static const ScanCase scan_case32[] = {
    {{0x0f, 0xa2}, SCAN_DENIED},             /* cpuid                                  */
    {{0x0f, 0x01, 0xd9}, SCAN_DENIED},       /* vmmcall                                */
    {{0x0f, 0x05}, SCAN_DENIED},             /* syscall                                */
    {{0x0f, 0x34}, SCAN_DENIED},             /* sysenter                               */
    {{0x1e}, SCAN_DENIED},                   /* push ds                                */
    {{0x66, 0x0e}, SCAN_DENIED},             /* push cs                                */
    {{0x0f, 0xa8}, SCAN_DENIED},             /* push gs                                */
    {{0x8c, 0xd8}, SCAN_DENIED},             /* mov ds, eax                            */
    {{0x9a, 1, 2, 3, 4, 0x73, 0}, SCAN_DENIED}, /* call far                            */
    {{0xff, 0x18}, SCAN_DENIED},             /* call far (eax)                         */
    {{0x0f, 0x31}, SCAN_TSC},                /* rdtsc                                  */
    {{0xb8, 0x1e, 0x0e, 0x8c, 0xd8}, 0},     /* mov $..., eax                          */
    {{0xff, 0x10}, 0},                       /* call (eax)                             */
    {{0x65, 0xa1, 0x1e, 0, 0, 0}, 0},        /* mov gs:1e, eax                         */
    {{0xc5, 0xf8, 0x77}, 0},                 /* vzeroupper                             */
};

START_TEST(the_scan_finds_loads_of_fs_and_gs)
{
    static const ScanCase cases[] = {
        {{0x8e, 0xe0}, SCAN_DENIED},         /* mov eax, fs                            */
        {{0x8e, 0xeb}, SCAN_DENIED},         /* mov ebx, gs                            */
        {{0x66, 0x8e, 0x28}, SCAN_DENIED},   /* mov (rax), gs                          */
        {{0x0f, 0xa1}, SCAN_DENIED},         /* pop fs                                 */
        {{0x0f, 0xa9}, SCAN_DENIED},         /* pop gs                                 */
        {{0x48, 0x0f, 0xb5, 0x00}, SCAN_DENIED}, /* lgs                                */
        {{0x8e, 0xd8}, 0},                   /* mov eax, ds                            */
        {{0xb8, 0x8e, 0xe0, 0x0f, 0xa1}, 0}, /* their bytes in a constant              */
    };
    uint8_t page[SCAN_PAGE];

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        memset(page, 0x90, sizeof page);
        memcpy(page + 2000, cases[i].bytes, sizeof cases[i].bytes);
        ck_assert_uint_eq(scan_page(page, NULL, (ScanRules){.deny_fs_loads = true}), cases[i].found);
        ck_assert_uint_eq(scan_page(page, NULL, (ScanRules){0}), 0);
    }
}
END_TEST

START_TEST(the_scan_finds_ints_that_are_not_the_hosts)
{
    static const uint64_t ints[HOST_INTS_WORDS] = {BIT64(0x1a), 0, 0, BIT64(0x3f)};
    static const ScanCase cases[] = {
        {{0xcd, 0x1a}, SCAN_DENIED},
        {{0x66, 0xcd, 0xff}, SCAN_DENIED},
        {{0xcd, 0x1b}, 0},
        {{0xcd, 0x80}, 0},
        {{0xb8, 0xcd, 0x1a, 0xcd, 0xff}, 0}, /* their bytes in a constant              */
    };
    uint8_t page[SCAN_PAGE];

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(cases); i++) {
        const ScanCase *c = &cases[i / 2];
        bool code32 = i % 2 != 0;

        memset(page, 0x90, sizeof page);
        memcpy(page + 2000, c->bytes, sizeof c->bytes);
        memset(page + 2007, 0x90, 1);
        ck_assert_uint_eq(scan_page(page, NULL, (ScanRules){.code32 = code32, .deny_ints = ints}), c->found);
        ck_assert_uint_eq(scan_page(page, NULL, (ScanRules){.code32 = code32}), 0);
    }
}
END_TEST

START_TEST(the_scan_knows_32_bit_code)
{
    static const unsigned places[] = {0, 1, 2000, SCAN_PAGE - 16, SCAN_PAGE - 9};
    const ScanCase *c = &scan_case32[_i];
    const ScanRules rules = {.code32 = true};
    uint8_t page[2 * SCAN_PAGE];

    for (unsigned i = c->found == 0 ? 2 : 0; i < G_N_ELEMENTS(places); i++) {
        memset(page, 0x90, sizeof page);
        ck_assert_uint_eq(scan_page(page, NULL, rules), 0);
        memcpy(page + places[i], c->bytes, sizeof c->bytes);
        memset(page + places[i] + 7, 0x90, 1);
        ck_assert_uint_eq(scan_page(page, NULL, rules), c->found);
    }
    for (unsigned before = 1; before < 5; before++) {
        memset(page, 0x90, sizeof page);
        memcpy(page + SCAN_PAGE - before, c->bytes, sizeof c->bytes);
        ck_assert_uint_eq(scan_page(page, NULL, rules) |
                          scan_border(page + SCAN_PAGE, page + SCAN_PAGE, rules) |
                          scan_page(page + SCAN_PAGE, page + SCAN_PAGE, rules), c->found);
    }
}
END_TEST

START_TEST(the_scan_finds_it_across_pages)
{
    const ScanCase *c = &scan_case[_i];
    uint8_t two[2 * SCAN_PAGE];

    for (unsigned before = 1; before < 5; before++) {
        uint8_t *at = two + SCAN_PAGE - before;

        memset(two, 0x90, sizeof two);
        memcpy(at, c->bytes, sizeof c->bytes);
        ck_assert_uint_eq(scan_page(two, NULL, (ScanRules){0}) |
                          scan_border(two + SCAN_PAGE, two + SCAN_PAGE, (ScanRules){0}) |
                          scan_page(two + SCAN_PAGE, two + SCAN_PAGE, (ScanRules){0}), c->found);
    }
}
END_TEST

/* -- Hostile code ---------------------------------------------------------------------------------- */

START_TEST(no_system_call_reaches_the_host)
{
    static const uint8_t bytes[] = {0x0f, 0x05, 0xcd, 0x80};
    WorldEvent ev;

    code(bytes, sizeof bytes);
    for (uint64_t nr = 0; nr < 1500; nr++) { /* known ones, those of x32, negative and large ones */
        uint64_t n = nr < 600 ? nr : nr < 1200 ? (nr - 600) | 0x40000000 : nr < 1300 ? -(nr - 1200) : nr * UINT64_C(0x123456789);

        for (unsigned entry = 0; entry < 2; entry++) {
            regs()[REG_RAX] = (greg_t)n;
            regs()[REG_RDI] = DATA;
            ck_assert(run(CODE + entry * 2, 0, &ev));
            if (entry == 1 && ev.signal == SIGSEGV) { /* a host without 32-bit system calls: #GP by its descriptor */
                ck_assert_int_eq(ev.regs.gregs[REG_TRAPNO], 13);
                ck_assert_int_eq(ev.regs.gregs[REG_RIP], CODE + 2);
                continue;
            }
            ck_assert_int_eq(ev.signal, SIGSYS);
            ck_assert_int_eq(ev.regs.gregs[REG_RIP], CODE + entry * 2 + 2);
            ck_assert_int_eq(ev.call_arch, entry == 0 ? AUDIT_ARCH_X86_64 : AUDIT_ARCH_I386);
            ck_assert_uint_eq((uint32_t)ev.regs.gregs[REG_RAX], (uint32_t)n);
        }
    }
}
END_TEST

/* Reads of all kinds of places: one in each 4 GiB, each page around the stub, where nobody may map, the kernel's half, what is no address.  A world has its
 * own pages and its stub, whose numbers it may read, and else nothing. */
START_TEST(no_address_leads_elsewhere)
{
    static const uint8_t bytes[] = {0x8a, 0x01, 0xcc}; /* mov (rcx), al; int3 */
    enum { AROUND = 64 };
    GArray *at = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    unsigned read_well = 0;
    WorldEvent ev;

    for (uint64_t a = 0; a < UINT64_C(1) << 47; a += UINT64_C(1) << 32) {
        uint64_t upper = ~a, odd = a | UINT64_C(1) << (47 + (a >> 32) % 16);

        g_array_append_val(at, a);
        if ((a >> 32) % 16 == 0) {
            g_array_append_val(at, upper);
            g_array_append_val(at, odd);
        }
    }
    for (uint64_t a = world->base - AROUND * 4096; a < world->base + W_LEN + AROUND * 4096; a += 4096) {
        g_array_append_val(at, a);
    }
    for (uint64_t a = 0; a < 1 << 20; a += 4096) {
        uint64_t high = W_TOP - 4096 - a, low = CODE - (1 << 19) + a;

        g_array_append_val(at, a);
        g_array_append_val(at, high);
        g_array_append_val(at, low);
    }
    code(bytes, sizeof bytes);
    for (unsigned i = 0; i < at->len; i++) {
        uint64_t a = g_array_index(at, uint64_t, i);
        bool mine = a - CODE < 4096 || a - DATA < 4096 || a - world->base < W_LEN;

        regs()[REG_RCX] = (greg_t)a;
        ck_assert(run(CODE, 0, &ev));
        ck_assert_int_eq(ev.signal == SIGTRAP, mine);
        ck_assert(mine || ev.signal == SIGSEGV || ev.signal == SIGBUS);
        read_well += mine;
    }
    ck_assert_uint_eq(read_well, W_LEN / 4096 + 1);    /* the stub's pages; CODE in the rest, DATA lies elsewhere */
    g_array_free(at, TRUE);
}
END_TEST

/* What the host's kernel says of it. */
START_TEST(nothing_else_is_mapped)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/maps", world->guest), *text = NULL;
    unsigned n = 0;

    if (!g_file_get_contents(path, &text, NULL, NULL) || *text == 0) {
        printf("not shown: maps of worlds\n");             /* they are not dumpable, which only root may look at */
        return;
    }
    for (const char *line = text; line != NULL && *line != 0; line = strchr(line, '\n') + 1) {
        uint64_t from = 0, to = 0;

        ck_assert_int_eq(sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to), 2);
        ck_assert((from >= CODE && to <= CODE + 4096) || (from >= DATA && to <= DATA + 4096) ||
                  (from >= world->base && to <= world->base + W_LEN) || from >> 63 != 0 /* vsyscall */);
        n++;
    }
    ck_assert_uint_ge(n, 4);
}
END_TEST

/* Every system call instruction of the stub, with numbers and arguments that would do harm. */
START_TEST(the_stubs_calls_are_of_no_use)
{
    static const uint16_t calls[] = {0, 1, 2, 3, 9, 10, 11, 13, 14, 15, 16, 25, 39, 56, 57, 59, 60, 62, 101, 131, 157, 158,
                                     202, 231, 257, 310, 311, 317, 322, 425, 434, 435, 438, 449};
    unsigned n_broken = 0;
    WorldEvent ev;

    for (size_t at = 0; at + 1 < W_CODE_LEN; at++) {
        if (world_stub[at] != 0x0f || world_stub[at + 1] != 0x05) {
            continue;
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
            greg_t *g = regs();

            g[REG_RAX] = calls[i];
            g[REG_RDI] = (greg_t)(DATA + 0x1000);
            g[REG_RSI] = 4096;
            g[REG_RDX] = PROT_READ | PROT_WRITE;
            g[REG_R10] = MAP_SHARED | MAP_FIXED;
            g[REG_R8] = FD_RAM;
            g[REG_R9] = SECRET_AT;
            g[REG_RSP] = DATA + 2048;
            if (!run(world->base + at, 0, &ev)) { /* it has ended itself */
                ck_assert_int_eq(world->health, WORLD_BROKEN);
                n_broken++;
                tear_down();
                set_up();
            } else {
                ck_assert_int_ne(ev.signal, 0);
            }
        }
    }
    ck_assert_int_lt(n_broken, 40); /* rt_sigreturn to nowhere, and from there on nothing else */
}
END_TEST

START_TEST(a_forged_event_is_found_out)
{
    uint8_t bytes[] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0x48, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, /* mov rax, rcx */
                       0x8b, 0x10, 0x89, 0x11, 0xeb, 0xfe}; /* mov (rax),edx; mov edx,(rcx); jmp . */

    store_le(bytes + 2, 8, world->base + W_CTL + CTL_RESUME);
    store_le(bytes + 12, 8, world->base + W_CTX + CTX_EVENT);
    code(bytes, sizeof bytes);
    regs()[REG_RIP] = CODE;
    world_resume(world, 0);
    while (!world_wait(world, 0, 1000000)) {
        ck_assert_int_eq(world_check(world), WORLD_ALIVE);
    }
    ck_assert(!world_park(world));
    ck_assert_int_eq(world->health, WORLD_BROKEN);
}
END_TEST

/* The stub's code and orders cannot be written; its context can, which does nobody harm. */
START_TEST(the_stub_is_read_only)
{
    static const uint8_t bytes[] = {0x89, 0x01, 0xcc};
    WorldEvent ev;

    code(bytes, sizeof bytes);
    for (unsigned at = 0; at < W_CTX; at += 512) {
        regs()[REG_RCX] = (greg_t)(world->base + at);
        ck_assert(run(CODE, 0, &ev));
        ck_assert_int_eq(ev.signal, SIGSEGV);
    }
    for (unsigned at = W_CTX; at < W_CTX + 0x1000; at += 4) {
        regs()[REG_RCX] = (greg_t)(world->base + at);
        regs()[REG_RAX] = -1;
        if (!run(CODE, 0, &ev) || world->health != WORLD_ALIVE) {
            tear_down();
            set_up();
            code(bytes, sizeof bytes);
        }
    }
}
END_TEST

/* A frame that blocks all signals: no kick comes through, but it dies all the same. */
START_TEST(a_deaf_world_can_be_ended)
{
    static const uint8_t loop[] = {0xeb, 0xfe};
    uint8_t *fp;
    ucontext_t *uc = world_frame(world, &fp);
    uint64_t before;

    code(loop, sizeof loop);
    memset(&uc->uc_sigmask, 0xff, 8);
    regs()[REG_RIP] = CODE;
    before = world_cpu_ns(world);
    world_resume(world, 0);
    world_kick(world);
    for (unsigned i = 0; world_cpu_ns(world) < before + 20000000; i++) {
        ck_assert(!world_wait(world, 0, 1000000));
        ck_assert_uint_lt(i, 100000);
    }
    ck_assert_int_eq(world_check(world), WORLD_ALIVE);
}
END_TEST

START_TEST(a_killed_world_is_known_for_one)
{
    static const uint8_t loop[] = {0xeb, 0xfe};
    WorldEvent ev;

    code(loop, sizeof loop);
    kill(_i == 0 ? world->guest : world->mapper, SIGKILL);
    if (_i == 0) {
        ck_assert(!run(CODE, 0, &ev));
    } else {
        ck_assert(world_unmap(world, DATA, 4096));
        ck_assert(!world_sync(world));
    }
    world_check(world);
    ck_assert_int_eq(world->health, WORLD_KILLED);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("world");
    TCase *use = tcase_create("use"), *hostile = tcase_create("hostile");
    TCase *scanning = tcase_create("scanning");
    World *w;

    if (world_missing() != NULL) {
        printf("skipped: %s\n", world_missing());
        exit(77);
    }
    ram_fd = memfd_create("test", MFD_CLOEXEC);
    w = ram_fd >= 0 && world_image_init(&image, ram_fd, NULL) ? world_new(&image, NULL) : NULL;
    if (w == NULL) {
        printf("skipped: no world can be started here\n");
        exit(77);
    }
    world_free(w);
    world_image_clear(&image);
    tcase_set_timeout(use, 60);
    tcase_set_timeout(hostile, 120);
    tcase_add_checked_fixture(use, set_up, tear_down);
    tcase_add_checked_fixture(hostile, set_up, tear_down);
    tcase_add_test(use, registers_go_over_and_back);
    tcase_add_test(use, mappings_have_the_rights_they_are_given);
    tcase_add_test(use, what_is_queued_precedes_the_run);
    tcase_add_loop_test(use, a_page_fault_leaves_the_word_to_the_mapper, 0, 2);
    tcase_add_test(use, a_mapping_that_fails_is_found_out);
    tcase_add_test(use, a_failure_that_was_waited_for_breaks_it);
    tcase_add_test(use, a_kick_comes_through);
    tcase_add_test(use, a_parked_world_goes_on);
    tcase_add_loop_test(use, bases_are_what_they_are_set_to, 0, 2);
    tcase_add_test(use, rdtsc_faults_where_it_shall);
    tcase_add_test(use, breakpoints_stop_before_the_instruction);
    tcase_add_test(use, each_int_comes_back);
    tcase_add_loop_test(scanning, the_scan_finds_what_must_not_run, 0, G_N_ELEMENTS(scan_case));
    tcase_add_test(scanning, the_scan_says_where_cpuid_is);
    tcase_add_test(scanning, the_scan_finds_loads_of_fs_and_gs);
    tcase_add_test(scanning, the_scan_finds_ints_that_are_not_the_hosts);
    tcase_add_loop_test(scanning, the_scan_knows_32_bit_code, 0, G_N_ELEMENTS(scan_case32));
    tcase_add_loop_test(scanning, the_scan_finds_it_across_pages, 0, G_N_ELEMENTS(scan_case));
    tcase_add_test(hostile, no_system_call_reaches_the_host);
    tcase_add_test(hostile, nothing_else_is_mapped);
    tcase_add_test(hostile, no_address_leads_elsewhere);
    tcase_add_test(hostile, the_stubs_calls_are_of_no_use);
    tcase_add_test(hostile, a_forged_event_is_found_out);
    tcase_add_test(hostile, the_stub_is_read_only);
    tcase_add_test(hostile, a_deaf_world_can_be_ended);
    tcase_add_loop_test(hostile, a_killed_world_is_known_for_one, 0, 2);
    suite_add_tcase(s, use);
    suite_add_tcase(s, scanning);
    suite_add_tcase(s, hostile);
    return s;
}
