/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `metaphrase bench`: the program of bench/workloads natively and in Linux guests. */
#include "bench/command-internal.h"
#include "bench/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    BenchRow row;
    const char *group;
} WorkRow;

static const WorkRow rows[] = {
#define WORK(name, group, unit, text) {{name, unit, text, {-1, -1, -1}}, group},
#include "bench/workloads.def"
#undef WORK
};

enum { IDLE_S = 5, DISK_LEN = 64 << 20 };

typedef struct {
    BenchColumnChoice choice;
    BenchOutput output;
    int repeat, smp, memory_mib, samples, sample_ms, timeout_s;
    char *only;
    gboolean list, no_ratios;
    char *guest;               /* --guest: directory of kernel, initramfs, tools */
    char *workloads;           /* the program */
    char *kernel, *initrd, *tools, *tools_disk, *scratch;
    GPtrArray *columns;
    BenchTable *table;
    /* of the run */
    int64_t started_us, begun_us;
    double idle_cpu_s;         /* at its beginning */
    int64_t idle_us;
} LinuxBench;

/* -- Options --------------------------------------------------------------------------------------- */

/* Is a row wanted: by name, group, or because nothing was said? */
static bool wanted(const LinuxBench *b, const WorkRow *r)
{
    g_auto(GStrv) only = b->only != NULL ? g_strsplit(b->only, ",", -1) : NULL;

    return only == NULL || g_strv_contains((const char *const *)only, r->row.name) ||
           g_strv_contains((const char *const *)only, r->group);
}

static bool is_name(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].row.name, name) == 0 || strcmp(rows[i].group, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool check_options(const LinuxBench *b, GError **error)
{
    g_auto(GStrv) names = g_strsplit(b->only != NULL ? b->only : "all", ",", -1);

    for (char **i = names; b->only != NULL && (*i != NULL || i == names); i++) {
        if (*i == NULL || !is_name(*i)) {
            return bench_fail(error, "--only: no workload or group is called '%s'; --list lists them",
                              *i != NULL ? *i : "");
        }
    }
    return bench_check_number("--repeat", b->repeat, 1, 1000, error) &&
           bench_check_number("--smp", b->smp, 1, 255, error) &&
           bench_check_number("--memory", b->memory_mib, 384, 1 << 20, error) &&
           bench_check_number("--samples", b->samples, 1, 101, error) &&
           bench_check_number("--ms", b->sample_ms, 1, 10000, error) &&
           bench_check_number("--timeout", b->timeout_s, 1, 3600, error) &&
           bench_check_output(&b->output, error);
}

static bool parse(LinuxBench *b, int argc, char **argv, GError **error)
{
    const GOptionEntry entries[] = {
        BENCH_CHOICE_OPTIONS(&b->choice),
        {"repeat", 0, 0, G_OPTION_ARG_INT, &b->repeat, "interleaved runs of each column [3]", "N"},
        {"only", 0, 0, G_OPTION_ARG_STRING, &b->only, "these workloads or groups alone", "NAME,NAME..."},
        {"list", 0, 0, G_OPTION_ARG_NONE, &b->list, "list workloads and groups and exit", NULL},
        {"smp", 0, 0, G_OPTION_ARG_INT, &b->smp, "CPUs of the guest [1]", "N"},
        {"memory", 0, 0, G_OPTION_ARG_INT, &b->memory_mib, "its memory [512]", "MIB"},
        {"samples", 0, 0, G_OPTION_ARG_INT, &b->samples, "samples a run and workload [11]", "N"},
        {"ms", 0, 0, G_OPTION_ARG_INT, &b->sample_ms, "least length of a sample [8]", "MS"},
        {"timeout", 0, 0, G_OPTION_ARG_INT, &b->timeout_s,
         "a run that prints nothing for so long hangs [120]", "SECONDS"},
        {"guest", 0, 0, G_OPTION_ARG_FILENAME, &b->guest,
         "what scripts/make-bench-guest.sh made [made in .cache/bench of the source tree]", "DIR"},
        {"no-ratios", 0, 0, G_OPTION_ARG_NONE, &b->no_ratios, "values alone", NULL},
        BENCH_OUTPUT_OPTIONS(&b->output),
        {NULL},
    };

    return bench_parse_options("- workloads in a Linux guest, natively, by engine", entries, argc, argv, error) &&
           check_options(b, error);
}

/* -- What is booted -------------------------------------------------------------------------------- */

/* DIR/NAME; with `must` an error when it is not there, else NULL. */
static char *part(const char *dir, const char *name, bool must, GError **error)
{
    char *path = g_build_filename(dir, name, NULL);

    if (g_file_test(path, G_FILE_TEST_EXISTS)) {
        return path;
    }
    if (must) {
        bench_fail(error, "%s is not there: scripts/make-bench-guest.sh makes it", path);
    }
    g_free(path);
    return NULL;
}

/* Without --guest: made by the source tree that this program was built from. */
static char *make_guest(const LinuxBench *b, GError **error)
{
    g_autofree char *note = bench_find_file("bench/source-root", NULL), *root = NULL;
    int status = 0;

    if (note == NULL || !g_file_get_contents(note, &root, NULL, NULL)) {
        bench_fail(error, "no source tree is known: give --guest DIR (scripts/make-bench-guest.sh makes it)");
        return NULL;
    }
    g_strchomp(root);
    g_autofree char *script = g_build_filename(root, "scripts", "make-bench-guest.sh", NULL);
    char *dir = g_build_filename(root, ".cache", "bench", NULL);
    char *argv[] = {script, b->workloads, dir, NULL};
    if (g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, NULL, NULL, &status, error) &&
        g_spawn_check_wait_status(status, error)) {
        return dir;
    }
    g_prefix_error(error, "%s: ", script);
    g_free(dir);
    return NULL;
}

/* Only one bench at a time: two measure each other.  The descriptor stays open until we end. */
static bool lock_guest(const LinuxBench *b, GError **error)
{
    g_autofree char *path = g_build_filename(b->guest, "bench.lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0) {
        return bench_fail(error, "%s: %s", path, g_strerror(errno));
    }
    return flock(fd, LOCK_EX | LOCK_NB) == 0 || bench_fail(error, "%s: another bench is running", path);
}

/* The disk that is written to: whole, so that no file system fills holes while it is measured. */
static bool make_scratch(LinuxBench *b, GError **error)
{
    g_autofree char *data = g_malloc(DISK_LEN);

    b->scratch = g_build_filename(b->guest, "scratch.raw", NULL);
    memset(data, 0x5a, DISK_LEN);
    return g_file_set_contents_full(b->scratch, data, DISK_LEN, G_FILE_SET_CONTENTS_DURABLE, 0666, error);
}

static bool prepare(LinuxBench *b, GError **error)
{
    b->workloads = bench_find_file("bench/workloads/workloads", error);
    if (b->workloads != NULL && b->guest == NULL) {
        b->guest = make_guest(b, error);
    }
    if (b->workloads == NULL || b->guest == NULL) {
        return false;
    }
    b->kernel = part(b->guest, "vmlinuz", true, error);
    b->initrd = b->kernel != NULL ? part(b->guest, "initrd.gz", true, error) : NULL;
    b->tools = part(b->guest, "tools", false, NULL);
    b->tools_disk = part(b->guest, "tools.ext4", false, NULL);
    return b->initrd != NULL && lock_guest(b, error) && make_scratch(b, error);
}

/* -- Runs ------------------------------------------------------------------------------------------ */

/* The names for the program, "none" when it has nothing to do. */
static char *program_names(const LinuxBench *b)
{
    GString *s = g_string_new(NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (wanted(b, &rows[i]) && strcmp(rows[i].group, "run") != 0) {
            g_string_append_printf(s, "%s%s", s->len == 0 ? "" : ",", rows[i].row.name);
        }
    }
    return s->len == 0 ? g_string_free(g_string_assign(s, "none"), FALSE) : g_string_free(s, FALSE);
}

static bool row_wanted(const LinuxBench *b, const char *name)
{
    return bench_table_find(b->table, name) >= 0;
}

/* Options of the program, each with `prefix` before it. */
static char *program_options(const LinuxBench *b, const char *prefix, const char *skip)
{
    g_autofree char *names = b->only != NULL ? program_names(b) : NULL;
    GString *s = g_string_new(NULL);

    g_string_append_printf(s, "%ssamples=%d %sms=%d", prefix, b->samples, prefix, b->sample_ms);
    if (names != NULL) {
        g_string_append_printf(s, " %sonly=%s", prefix, names);
    }
    if (*skip != 0) {
        g_string_append_printf(s, " %sskip=%s", prefix, skip);
    }
    return g_string_free(s, FALSE);
}

static void native_command(const LinuxBench *b, GPtrArray *argv, const char *skip)
{
    g_autofree char *options = program_options(b, "", skip), *busybox = g_find_program_in_path("busybox");
    g_auto(GStrv) words = g_strsplit(options, " ", -1);

    bench_append(argv, b->workloads, NULL);
    for (char **w = words; *w != NULL; w++) {
        bench_append(argv, *w, NULL);
    }
    bench_append(argv, g_file_test("/dev/shm", G_FILE_TEST_IS_DIR) ? "tmp=/dev/shm" : "tmp=/tmp", NULL);
    if (busybox != NULL) {
        bench_append_take(argv, g_strconcat("busybox=", busybox, NULL));
    }
    if (b->tools != NULL) {
        bench_append_take(argv, g_strconcat("tools=", b->tools, NULL));
    }
    bench_append_take(argv, g_strconcat("disk=", b->scratch, NULL));
}

static GPtrArray *command_line(void *arg, guint column, const char *skip)
{
    LinuxBench *b = arg;
    const BenchColumn *c = g_ptr_array_index(b->columns, column);
    GPtrArray *argv = bench_command_of(c);

    b->started_us = g_get_monotonic_time();
    b->begun_us = b->idle_us = 0;
    if (c->kind == COLUMN_NATIVE) {
        native_command(b, argv, skip);
        bench_append_take(argv, NULL);
        return argv;
    }
    g_autofree char *options = program_options(b, "workloads.", skip);
    bench_append(argv, "-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot", "-kernel", b->kernel,
                 "-initrd", b->initrd, "-smp", NULL);
    bench_append_take(argv, g_strdup_printf("%d", b->smp));
    bench_append(argv, "-m", NULL);
    bench_append_take(argv, g_strdup_printf("%d", b->memory_mib));
    bench_append(argv, "-append", NULL);
    bench_append_take(argv, g_strdup_printf("console=ttyS0 quiet metaphrase.run=bench %s%s%d", options,
                                            row_wanted(b, "idle_cpu") ? " workloads.idle=" : " workloads.ms=",
                                            row_wanted(b, "idle_cpu") ? IDLE_S : b->sample_ms));
    bench_append(argv, "-drive", NULL);
    bench_append_take(argv, g_strdup_printf("file=%s,if=virtio,format=raw,readonly=on",
                                            b->tools_disk != NULL ? b->tools_disk : b->initrd));
    bench_append(argv, "-drive", NULL);
    bench_append_take(argv, g_strdup_printf("file=%s,if=virtio,format=raw", b->scratch));
    bench_append_take(argv, NULL);
    return argv;
}

/* CPU time of all threads of a process so far, in seconds; negative when it is gone. */
static double cpu_time(pid_t pid)
{
    clockid_t clock;
    struct timespec t;

    return clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0
               ? (double)t.tv_sec + (double)t.tv_nsec / 1e9 : -1;
}

static void put(const LinuxBench *b, guint column, const char *name, double v)
{
    int row = bench_table_find(b->table, name);

    if (row >= 0 && v >= 0) {
        bench_cell_add(bench_table_cell(b->table, (guint)row, column), &(BenchSample){v, v, v});
    }
}

/* The guest's clock and ours must agree on how long the workloads took. */
static void check_clock(const LinuxBench *b, guint column, double guest_s)
{
    double ours = (double)(g_get_monotonic_time() - b->begun_us) / 1e6;
    BenchColumn *c = g_ptr_array_index(b->columns, column);

    if (ours > 1 && (guest_s < ours * 0.95 - 0.3 || guest_s > ours * 1.05 + 0.3) && c->note == NULL) {
        c->note = g_strdup_printf("its clock counted %.1f s while %.1f s passed: its times are not comparable",
                                  guest_s, ours);
    }
}

static void take_line(void *arg, BenchRun *run, pid_t pid, const char *line)
{
    LinuxBench *b = arg;
    int64_t now = g_get_monotonic_time();
    double seconds;

    if (strcmp(line, "metaphrase: init reached") == 0) {
        put(b, run->column, "boot", (double)(now - b->started_us) / 1e6);
        put(b, run->column, "boot_cpu", cpu_time(pid));
    } else if (g_str_has_prefix(line, "workloads ")) {
        b->begun_us = now;
    } else if (g_str_has_prefix(line, "clock ") && bench_parse_key(line, "elapsed_s", &seconds)) {
        check_clock(b, run->column, seconds);
    } else if (strcmp(line, "run idle_cpu") == 0) {
        b->idle_us = now;
        b->idle_cpu_s = cpu_time(pid);
    } else if (strcmp(line, "idle end") == 0 && b->idle_us != 0) {
        put(b, run->column, "idle_cpu",
            (cpu_time(pid) - b->idle_cpu_s) / ((double)(now - b->idle_us) / 1e6) * 100);
        run->running[0] = 0;
    }
}

static void take_end(void *arg, guint column, const BenchProcess *p)
{
    put(arg, column, "memory_peak", p->peak_mib);
}

/* -- The command ----------------------------------------------------------------------------------- */

static void make_table(LinuxBench *b)
{
    b->table = bench_table_new(b->columns, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (wanted(b, &rows[i])) {
            bench_table_add_row(b->table, &rows[i].row);
        }
    }
}

static int measure(LinuxBench *b, const BenchEngine *engines, size_t n_engines, GError **error)
{
    const char *const *about;

    b->columns = bench_columns(&b->choice, engines, n_engines, error);
    if (b->columns == NULL || !prepare(b, error)) {
        return 1;
    }
    make_table(b);
    BenchMeasure m = {.table = b->table, .program = "workloads", .repeat = b->repeat, .timeout_s = b->timeout_s,
                      .arg = b, .command = command_line, .line = take_line, .finished = take_end};
    bench_measure(&m);
    g_autofree char *options = g_strdup_printf("smp=%d memory=%d samples=%d ms=%d repeat=%d", b->smp,
                                               b->memory_mib, b->samples, b->sample_ms, b->repeat);
    about = (const char *const[]){"tool", "metaphrase bench", "version", METAPHRASE_VERSION, "options", options,
                                  NULL};
    b->output.ratios = !b->no_ratios;
    return bench_output(&b->output, b->table, about, "bench", error);
}

static void list_workloads(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_print("%-16s %-8s %-4s %s\n", rows[i].row.name, rows[i].group, rows[i].row.unit, rows[i].row.text);
    }
}

static void clear(LinuxBench *b)
{
    char **texts[] = {&b->only, &b->guest, &b->workloads, &b->kernel, &b->initrd, &b->tools, &b->tools_disk,
                      &b->scratch};

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_clear_pointer(texts[i], g_free);
    }
    g_clear_pointer(&b->table, bench_table_free);
    g_clear_pointer(&b->columns, g_ptr_array_unref);
    bench_choice_clear(&b->choice);
    bench_output_clear(&b->output);
}

int bench_linux(int argc, char **argv, const BenchEngine *engines, size_t n_engines, GError **error)
{
    LinuxBench b = {.repeat = 3, .smp = 1, .memory_mib = 512, .samples = 11, .sample_ms = 8, .timeout_s = 120};
    int status = 1;

    if (parse(&b, argc, argv, error)) {
        if (b.list) {
            list_workloads();
            status = 0;
        } else {
            status = measure(&b, engines, n_engines, error);
        }
    }
    clear(&b);
    return status;
}
