/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines come and go in one process, several at once: nothing is left behind and nothing is
 * shared.  Leaks show in sanitizer builds; descriptors, threads and mappings are counted here.
 */
#include "monitor/config.h"
#include "monitor/machine.h"
#include "tests/suite.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { WORDS_MAX = 48 };

typedef struct {
    MachineConfig config;
    Machine *machine;
} Life;

/* -- Making them -------------------------------------------------------------------------------- */

static const char *const pc[] = {
    "metaphrase", "-M", "pc", "-nodefaults", "-vga", "std", "-m", "32", "-smp", "2", "-serial", "null",
    "-chardev", "ringbuf,id=c", "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=c",
    "-device", "virtio-rng-pci", "-device", "isa-debug-exit", "-chardev", "null,id=m,mux=on",
    "-monitor", "chardev:m", "-debugcon", "null", "-fw_cfg", "name=opt/x,string=y", "-smbios",
    "type=1,manufacturer=a", NULL,
};

static const char *const microvm[] = {
    "metaphrase", "-M", "microvm", "-nodefaults", "-m", "32", "-serial", "null", "-device",
    "virtio-rng-device", NULL,
};

/* A Multiboot kernel that loops; the path of a memfd. */
static char *make_kernel(void)
{
    const uint32_t header[] = {0x1badb002, 0x10003, 0u - 0x1badb002 - 0x10003, 0x200000, 0x200000, 0,
                               0x201000, 0x200064};
    uint8_t image[256] = {[100] = 0xf4, 0xeb, 0xfd};
    int fd = memfd_create("kernel", 0);

    memcpy(image, header, sizeof header);
    ck_assert_int_eq(write(fd, image, sizeof image), sizeof image);
    return g_strdup_printf("/proc/self/fd/%d", fd);
}

static char *kernel;

static void life_begin(Life *l, const char *const *words)
{
    const char *argv[WORDS_MAX + 3];
    int argc = 0;
    GError *error = NULL;

    for (; words[argc] != NULL; argc++) {
        argv[argc] = words[argc];
    }
    argv[argc++] = "-kernel";
    argv[argc++] = kernel;
    argv[argc] = NULL;
    ConfigResult r = config_parse(&l->config, argc, (char **)argv, &error);
    ck_assert_msg(r == CONFIG_OK, "%s", error != NULL ? error->message : "no message");
    l->machine = machine_new(&l->config, &error);
    ck_assert_msg(l->machine != NULL, "%s", error != NULL ? error->message : "no message");
}

static void life_end(Life *l)
{
    machine_free(l->machine);
    config_clear(&l->config);
}

static gboolean quit(gpointer m)
{
    machine_quit(m);
    return G_SOURCE_REMOVE;
}

/* Run until the first turn of its context. */
static void run_a_moment(Life *l)
{
    GSource *s = g_idle_source_new();

    g_source_set_callback(s, quit, l->machine, NULL);
    g_source_attach(s, l->machine->context);
    ck_assert_int_eq(machine_run(l->machine), 0);
    g_source_unref(s);
}

/* -- What a process has ------------------------------------------------------------------------- */

static unsigned count_entries(const char *path)
{
    g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(d) != NULL) {
        n++;
    }
    return n;
}

static unsigned count_guest_mappings(void)
{
    g_autofree char *maps = NULL;
    unsigned n = 0;

    ck_assert(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    for (const char *p = maps; (p = strstr(p, "/memfd:")) != NULL; p++) {
        n++;
    }
    return n;
}

/* -- Tests -------------------------------------------------------------------------------------- */

START_TEST(a_machine_leaves_nothing_behind)
{
    const char *const *words = _i == 0 ? pc : microvm;
    unsigned fds = 0, threads = 0, maps = 0;
    Life l;

    kernel = make_kernel();
    for (unsigned round = 0; round < 3; round++) {
        life_begin(&l, words);
        if (round > 0) {
            run_a_moment(&l);
        }
        life_end(&l);
        if (round == 0) {      /* what glib and the C library keep for ever is there now */
            fds = count_entries("/proc/self/fd");
            threads = count_entries("/proc/self/task");
            maps = count_guest_mappings();
        }
    }
    ck_assert_uint_eq(count_entries("/proc/self/fd"), fds);
    ck_assert_uint_eq(count_entries("/proc/self/task"), threads);
    ck_assert_uint_eq(count_guest_mappings(), maps);
    g_free(kernel);
}
END_TEST

START_TEST(two_machines_at_once_share_nothing)
{
    static const char *const *const kinds[] = {pc, microvm, pc};
    Life l[3];

    kernel = make_kernel();
    for (unsigned i = 0; i < 3; i++) {
        life_begin(&l[i], kinds[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        phys_write(l[i].machine->mem, guest_phys(0x100000), 4, 0x1000 + i);
        if (kinds[i] == pc) {  /* CMOS byte 0x40 */
            port_write(l[i].machine->ports, 0x70, 1, 0x40);
            port_write(l[i].machine->ports, 0x71, 1, 0x50 + i);
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(phys_read(l[i].machine->mem, guest_phys(0x100000), 4), 0x1000 + i);
        if (kinds[i] == pc) {
            port_write(l[i].machine->ports, 0x70, 1, 0x40);
            ck_assert_uint_eq(port_read(l[i].machine->ports, 0x71, 1), 0x50 + i);
        }
    }
    life_end(&l[0]);           /* the others do not notice */
    run_a_moment(&l[2]);
    run_a_moment(&l[1]);
    life_end(&l[2]);
    life_end(&l[1]);
    g_free(kernel);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("machine-life");
    TCase *t = tcase_create("machine-life");

    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_machine_leaves_nothing_behind, 0, 2);
    tcase_add_test(t, two_machines_at_once_share_nothing);
    suite_add_tcase(s, t);
    return s;
}
