/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How worlds begin and end: the image, the filters, the processes. */
#include "translator/direct/world.h"

#include "softmmu/base/stress.h"
#include "translator/direct/world-internal.h"

#include <asm/prctl.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

enum { FX_SW_LEN_AT = 4, FX_MIN_LEN = 576 }; /* the host kernel's sigcontext ABI */
enum { LOADER_AT = 0x10000000, HWCAP2_HAS_FSGSBASE = 1 << 1 };

/* -- What the host must have ----------------------------------------------------------------------- */

const char *world_missing(void)
{
    /* off, with a bad argument: EINVAL from a kernel that knows the call in both cases, so ask for
     * off properly: it changes nothing */
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0) != 0) {
        return "the host's kernel has no Syscall User Dispatch (Linux 5.11)";
    }
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) {
        return "the host's kernel has no seccomp";
    }
    return NULL;
}

/* -- The image ------------------------------------------------------------------------------------- */

static bool write_all(int fd, const void *data, size_t len, off_t at)
{
    return pwrite(fd, data, len, at) == (ssize_t)len;
}

/* A program that says so by its status. */
static const uint8_t program32[] = {0x31, 0xc0, 0x40, 0xbb, 42, 0, 0, 0, 0xcd, 0x80}; /* exit(42) */

/* 0 to 255, or -1: the host does not run it. */
static int run_program32(void)
{
    static char *const none[] = {NULL};
    struct {
        Elf32_Ehdr eh;
        Elf32_Phdr ph;
        uint8_t code[sizeof program32];
    } elf = {
        .eh = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT}, .e_type = ET_EXEC,
               .e_machine = EM_386, .e_version = EV_CURRENT, .e_entry = LOADER_AT + offsetof(__typeof__(elf), code),
               .e_phoff = offsetof(__typeof__(elf), ph), .e_ehsize = sizeof(Elf32_Ehdr),
               .e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 1},
        .ph = {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = LOADER_AT, .p_filesz = sizeof elf,
               .p_memsz = sizeof elf, .p_align = 0x1000},
    };
    int fd = memfd_create("metaphrase-32", MFD_CLOEXEC), status = -1;
    sigset_t all, old;
    pid_t pid;

    memcpy(elf.code, program32, sizeof program32);
    if (fd < 0) {
        return -1;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid = write_all(fd, &elf, sizeof elf, 0) ? vfork() : -1;
    if (pid == 0) {
        syscall(SYS_execveat, fd, "", none, none, AT_EMPTY_PATH);
        _exit(127);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    close(fd);
    return pid > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool world_image_init(WorldImage *image, int ram_fd, GError **error)
{
    size_t len = (size_t)(world_stub_end - world_stub);
    struct {
        Elf64_Ehdr eh;
        Elf64_Phdr ph[2];
    } elf = {
        .eh = {.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
               .e_entry = LOADER_AT + 0x1000 + (uint64_t)(world_stub_loader - world_stub),
               .e_phoff = offsetof(__typeof__(elf), ph), .e_ehsize = sizeof(Elf64_Ehdr),
               .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2},
        .ph = {{.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = LOADER_AT,
                .p_filesz = 0x1000 + len, .p_memsz = 0x1000 + len, .p_align = 0x1000},
               /* without it, older kernels make all that is readable executable */
               {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = 16}},
    };

    memcpy(elf.eh.e_ident, ELFMAG, SELFMAG);
    elf.eh.e_ident[EI_CLASS] = ELFCLASS64;
    elf.eh.e_ident[EI_DATA] = ELFDATA2LSB;
    elf.eh.e_ident[EI_VERSION] = EV_CURRENT;
    image->ram = ram_fd;
    image->bases_by_calls = (getauxval(AT_HWCAP2) & HWCAP2_HAS_FSGSBASE) == 0 || stress_info[STRESS_direct_bases].one_in != 0;
    image->runs_code32 = !image->bases_by_calls && run_program32() == 42;
    image->image = memfd_create("metaphrase-world", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (image->image < 0 || ftruncate(image->image, 0x1000 + W_CODE_LEN) != 0 ||
        !write_all(image->image, &elf, sizeof elf, 0) ||
        !write_all(image->image, world_stub, len, 0x1000) ||
        fcntl(image->image, F_ADD_SEALS,
              F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "cannot make the image of worlds: %s", g_strerror(errno));
        world_image_clear(image);
        return false;
    }
    return true;
}

void world_image_clear(WorldImage *image)
{
    if (image->image >= 0) {
        close(image->image);
        image->image = -1;
    }
}

/* -- Filters ---------------------------------------------------------------------------------------- */

typedef struct {
    struct sock_filter *at;
    unsigned n;
} Filter;

static void put(Filter *f, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
    f->at[f->n++] = (struct sock_filter){code, jt, jf, k};
}

/* A = word `at` of the seccomp_data. */
static void load(Filter *f, unsigned at)
{
    put(f, BPF_LD | BPF_W | BPF_ABS, at, 0, 0);
}

/* Trap unless A is `k`. */
static void want(Filter *f, uint32_t k, uint32_t otherwise)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, k, 1, 0);
    put(f, BPF_RET | BPF_K, otherwise, 0, 0);
}

static void want64(Filter *f, unsigned at, uint64_t val)
{
    load(f, at);
    want(f, (uint32_t)val, SECCOMP_RET_TRAP);
    load(f, at + 4);
    want(f, (uint32_t)(val >> 32), SECCOMP_RET_TRAP);
}

#define ARG(n) ((unsigned)offsetof(struct seccomp_data, args) + 8 * (n))
#define IP ((unsigned)offsetof(struct seccomp_data, instruction_pointer))

/* "if nr is `nr` and ip is `ip`": returns where to patch the distance over what follows. */
static unsigned begin_call(Filter *f, uint32_t nr, uint64_t ip)
{
    load(f, offsetof(struct seccomp_data, nr));
    put(f, BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 2);
    load(f, IP);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)ip, 1, 0);
    put(f, BPF_JMP | BPF_JA, 0, 0, 0);
    return f->n - 1;
}

static void end_call(Filter *f, unsigned jump)
{
    put(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    f->at[jump].k = f->n - jump - 1;
}

/* System call `nr` at one place, with this first argument. */
static void allow_operation(Filter *f, uint32_t nr, uint64_t ip, uint64_t operation)
{
    unsigned j = begin_call(f, nr, ip);

    want64(f, IP, ip);
    want64(f, ARG(0), operation);
    end_call(f, j);
}

/* To wake who sleeps on this word. */
static void allow_wake(Filter *f, uint64_t ip, uint64_t word)
{
    unsigned j = begin_call(f, SYS_futex, ip);

    want64(f, IP, ip);
    want64(f, ARG(0), word);
    want64(f, ARG(1), FUTEX_WAKE);
    end_call(f, j);
}

/* rt_sigreturn, prctl(PR_SET_TSC), the setting of a base, and a futex call to sleep and two to wake, each at its place and with its arguments. */
static void guest_filter(Filter *f, uint64_t base)
{
    uint64_t wait_ip = base + (uint64_t)(world_stub_after_wait - world_stub);
    uint64_t wake_ip = base + (uint64_t)(world_stub_after_wake - world_stub);
    uint64_t call_ip = base + (uint64_t)(world_stub_after_call - world_stub);
    uint64_t tsc_ip = base + (uint64_t)(world_stub_after_tsc - world_stub);
    uint64_t return_ip = base + (uint64_t)(world_stub_after_return - world_stub);
    uint64_t fs_ip = base + (uint64_t)(world_stub_after_fs - world_stub);
    uint64_t gs_ip = base + (uint64_t)(world_stub_after_gs - world_stub);
    unsigned j;

    load(f, offsetof(struct seccomp_data, arch));
    want(f, AUDIT_ARCH_X86_64, SECCOMP_RET_TRAP);
    j = begin_call(f, SYS_futex, wait_ip);
    want64(f, IP, wait_ip);
    want64(f, ARG(0), base + W_CTL + CTL_RESUME);
    want64(f, ARG(1), FUTEX_WAIT);
    want64(f, ARG(3), 0);
    end_call(f, j);
    allow_wake(f, wake_ip, base + W_CTX + CTX_EVENT);
    allow_wake(f, call_ip, base + W_CTL + CTL_ORDER);
    allow_operation(f, SYS_prctl, tsc_ip, PR_SET_TSC);
    allow_operation(f, SYS_arch_prctl, fs_ip, ARCH_SET_FS);
    allow_operation(f, SYS_arch_prctl, gs_ip, ARCH_SET_GS);
    j = begin_call(f, SYS_rt_sigreturn, return_ip);
    want64(f, IP, return_ip);
    end_call(f, j);
    put(f, BPF_RET | BPF_K, SECCOMP_RET_TRAP, 0, 0);
}

static void mapper_filter(Filter *f)
{
    static const uint32_t allowed[] = {SYS_pwrite64, SYS_mmap, SYS_mprotect, SYS_munmap, SYS_futex,
                                       SYS_exit_group};

    load(f, offsetof(struct seccomp_data, arch));
    want(f, AUDIT_ARCH_X86_64, SECCOMP_RET_KILL_PROCESS);
    load(f, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < G_N_ELEMENTS(allowed); i++) {
        put(f, BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
        put(f, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
    }
    put(f, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
}

static void put_program(World *w, unsigned at, unsigned filter_at, unsigned n)
{
    uint16_t len = (uint16_t)n;

    memcpy(w->shared + at, &len, sizeof len);
    *ctl64(w, at + 8) = w->base + W_CTL + filter_at;
}

/* -- Birth ------------------------------------------------------------------------------------------ */

/* What the stub finds in W_CTL. */
static void fill_control(World *w)
{
    const uint64_t code = w->base;
    struct {
        uint64_t handler, flags, restorer, mask;
    } action = {
        .handler = code + (uint64_t)(world_stub_handler - world_stub),
        .flags = SA_SIGINFO | SA_ONSTACK | 0x04000000 /* SA_RESTORER */,
        .restorer = code + (uint64_t)(world_stub_restorer - world_stub),
        .mask = UINT64_MAX,
    };
    stack_t stack = {.ss_size = W_STACK_LEN};
    Filter g = {.at = (struct sock_filter *)(w->shared + CTL_FILTERS)}, m;

    stack.ss_sp = (void *)(uintptr_t)(w->base + W_CTX + W_STACK_AT); // NOLINT: another space's
    memcpy(w->shared + CTL_ACTION, &action, sizeof action);
    memcpy(w->shared + CTL_STACK, &stack, sizeof stack);
    memcpy(w->shared + CTL_NAME, "world", 6);
    *ctl64(w, CTL_BASE) = w->base;
    *ctl32(w, CTL_TSC) = *ctx32(w, CTX_TSC) = PR_TSC_ENABLE;
    *ctl32(w, CTL_FLAGS) = 2;
    *ctl32(w, CTL_BASES) = w->bases_by_calls ? 0 : BASES_BY_INSTRUCTION;
    *ctl32(w, CTL_PARENT) = (uint32_t)getpid();
    *ctl32(w, CTL_RESUME) = w->number = 1;
    world_number_order(w); /* to be there */
    guest_filter(&g, w->base);
    m = (Filter){.at = g.at + g.n};
    mapper_filter(&m);
    g_assert(CTL_FILTERS + (g.n + m.n) * sizeof(struct sock_filter) <= CTL_REQUESTS);
    put_program(w, CTL_GUEST_PROG, CTL_FILTERS, g.n);
    put_program(w, CTL_MAPPER_PROG, CTL_FILTERS + g.n * (unsigned)sizeof(struct sock_filter), m.n);
}

/* A place that no guest will guess: any page of the lower half but its first and last TiB. */
static uint64_t random_base(void)
{
    uint64_t r = 0;

    while (getrandom(&r, sizeof r, 0) != sizeof r) {
    }
    return (UINT64_C(1) << 40) + (r % (W_TOP - (UINT64_C(2) << 40)) & ~UINT64_C(0xfff));
}

static void child_fail(void)
{
    _exit(127);
}

/* In the vfork()ed child: system calls only. */
static void become_loader(const WorldImage *image, int shared)
{
    static char *const none[] = {NULL};
    const int from[] = {shared, image->ram, image->image};
    int high[G_N_ELEMENTS(from)];

    for (unsigned i = 0; i < G_N_ELEMENTS(from); i++) {
        high[i] = fcntl(from[i], F_DUPFD, FD_IMAGE + 1);
        if (high[i] < 0) {
            child_fail();
        }
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(from); i++) {
        if (dup2(high[i], FD_SHARED + (int)i) < 0) {
            child_fail();
        }
    }
    close(0);
    close(1);
    close(2);
    syscall(SYS_close_range, FD_IMAGE + 1, ~0U, 0);
    syscall(SYS_execveat, FD_IMAGE, "", none, none, AT_EMPTY_PATH);
    child_fail();
}

static pid_t start_process(const WorldImage *image, int shared)
{
    sigset_t all, old;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* no handler may run in the child: memory is shared */
    pid = vfork();
    if (pid == 0) {
        become_loader(image, shared);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return pid;
}


static void close_if(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* Start the processes of a world whose shared memory is `shared`; false with errno. */
static bool start(World *w, const WorldImage *image, int shared)
{
    WorldEvent ev;

    w->mapper = start_process(image, shared);
    if (w->mapper < 0) {
        return false;
    }
    errno = ENOSYS;
    if (world_answer(w, 0) != ANSWER_WELL) {
        return false;
    }
    w->guest = (pid_t)*ctx32(w, CTX_GUEST_PID);
    errno = clock_getcpuclockid(w->guest, &w->clock); /* a system call by itself: not each time */
    if (errno != 0) {
        return false;
    }
    while (!world_wait(w, 0, 100000000)) {
        if (world_check(w) != WORLD_ALIVE) {
            errno = ENOSYS;
            return false;
        }
    }
    if (!world_event(w, &ev)) {
        errno = ENOSYS;
        return false;
    }
    memcpy(w->fp_sw, w->shared + ev.fp_at + FX_SW_AT, sizeof w->fp_sw);
    memcpy(&w->fp_len, w->fp_sw + FX_SW_LEN_AT, sizeof w->fp_len); /* no guest code has run yet */
    return w->fp_len > FX_MIN_LEN && w->fp_len < W_STACK_LEN / 2;
}

/* Does RDTSC fault where the host's kernel says that it does?  False: the world broke. */
static bool find_tsc(World *w, WorldImage *image)
{
    WorldEvent ev;
    bool ok = true;

    if (!__atomic_load_n(&image->tsc_is_known, __ATOMIC_ACQUIRE)) {
        w->tsc_can_fault = true;
        world_fault_tsc(w, true);
        ok = world_idle_trip_to(w, world_stub_rdtsc, 0) && world_event(w, &ev);
        __atomic_store_n(&image->tsc_faults, ok && ev.signal == SIGSEGV, __ATOMIC_RELAXED);
        __atomic_store_n(&image->tsc_is_known, true, __ATOMIC_RELEASE);
        world_fault_tsc(w, false);
    }
    w->tsc_can_fault = __atomic_load_n(&image->tsc_faults, __ATOMIC_RELAXED);
    return ok;
}

/* Do breakpoints stop where the host's kernel takes them?  False: the world broke. */
static bool find_breaks(World *w, WorldImage *image)
{
    uint64_t at = w->base + (uint64_t)(world_stub_rdtsc - world_stub);
    WorldEvent ev;
    bool ok = true;

    if (!image->breaks_wanted || __atomic_load_n(&image->breaks_are_known, __ATOMIC_ACQUIRE)) {
        return true;
    }
    if (breaks_set(&w->breaks, w->guest, at)) {
        ok = world_idle_trip_to(w, world_stub_rdtsc, 0) && world_event(w, &ev);
        __atomic_store_n(&image->breaks_work, ok && ev.signal == SIGTRAP && ev.code == WORLD_BREAK &&
                                                  (uint64_t)ev.regs.gregs[REG_RIP] == at, __ATOMIC_RELAXED);
        breaks_clear(&w->breaks, 0, UINT64_MAX);
    }
    __atomic_store_n(&image->breaks_are_known, true, __ATOMIC_RELEASE);
    return ok;
}

World *world_new(WorldImage *image, GError **error)
{
    World *w = g_new0(World, 1);
    int shared = memfd_create("world", MFD_CLOEXEC);
    bool ok;

    w->home = -1;
    breaks_init(&w->breaks);
    w->fp_len = FX_MIN_LEN;
    w->running = true;
    w->bases_by_calls = image->bases_by_calls;
    errno = EAGAIN;
    ok = !stress_hit(STRESS_direct_refuse) && shared >= 0 && ftruncate(shared, W_SHARED_LEN) == 0;
    w->shared = ok ? mmap(NULL, W_SHARED_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0)
                   : MAP_FAILED;
    ok = w->shared != MAP_FAILED;
    if (ok) {
        w->base = random_base();
        fill_control(w);
        ok = start(w, image, shared) && find_tsc(w, image) && find_breaks(w, image);
    }
    if (!ok) {
        g_set_error(error, G_FILE_ERROR, g_file_error_from_errno(errno),
                    "cannot start a world: %s", g_strerror(errno));
    }
    close_if(&shared);
    if (!ok) {
        world_free(w);
        return NULL;
    }
    return w;
}

void world_free(World *w)
{
    const pid_t pid[2] = {w->guest, w->mapper};

    for (unsigned i = 0; i < 2; i++) {
        if (pid[i] > 0) {
            kill(pid[i], SIGKILL);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        while (pid[i] > 0 && waitpid(pid[i], NULL, __WALL) < 0 && errno == EINTR) {
        }
    }
    breaks_clear(&w->breaks, 0, UINT64_MAX);
    if (w->shared != MAP_FAILED && w->shared != NULL) {
        munmap(w->shared, W_SHARED_LEN);
    }
    g_free(w);
}
