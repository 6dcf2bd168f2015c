/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "translator/direct/world.h"

#include "softmmu/base/stress.h"

#include <asm/prctl.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

enum { FX_SW_AT = 464, FX_SW_LEN_AT = 4, FX_MIN_LEN = 576, FP_MARK = 0x46505845 }; /* the host kernel's sigcontext ABI */
enum { LOADER_AT = 0x10000000, HWCAP2_HAS_FSGSBASE = 1 << 1 };

/* -- Fields -------------------------------------------------------------------------------------- */

static uint32_t *ctl32(const World *w, unsigned at)
{
    return (uint32_t *)(w->shared + at);
}

static uint64_t *ctl64(const World *w, unsigned at)
{
    return (uint64_t *)(w->shared + at);
}

static uint32_t *ctx32(const World *w, unsigned at)
{
    return (uint32_t *)(w->shared + W_CTL_LEN + at);
}

static uint64_t *ctx64(const World *w, unsigned at)
{
    return (uint64_t *)(w->shared + W_CTL_LEN + at);
}

static long futex(uint32_t *word, int op, uint32_t val, uintptr_t timeout, uint32_t *word2,
                  uint32_t val3)
{
    return syscall(SYS_futex, word, op, val, timeout, word2, val3);
}

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

/* rt_sigreturn, prctl(PR_SET_TSC), the setting of a base, and a futex call to sleep and one to wake, each at its place and with its arguments. */
static void guest_filter(Filter *f, uint64_t base)
{
    uint64_t wait_ip = base + (uint64_t)(world_stub_after_wait - world_stub);
    uint64_t wake_ip = base + (uint64_t)(world_stub_after_wake - world_stub);
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
    j = begin_call(f, SYS_futex, wake_ip);
    want64(f, IP, wake_ip);
    want64(f, ARG(0), base + W_CTX + CTX_EVENT);
    want64(f, ARG(1), FUTEX_WAKE);
    end_call(f, j);
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
    static const uint32_t allowed[] = {SYS_read, SYS_write, SYS_mmap, SYS_mprotect, SYS_munmap,
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
static void become_loader(const WorldImage *image, int shared, int orders)
{
    static char *const none[] = {NULL};
    const int from[] = {shared, image->ram, orders, image->image};
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

static pid_t start_process(const WorldImage *image, int shared, int orders)
{
    sigset_t all, old;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* no handler may run in the child: memory is shared */
    pid = vfork();
    if (pid == 0) {
        become_loader(image, shared, orders);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return pid;
}

/* The mapper's answer: 1 all well, 2 something failed, 0 it is gone. */
static ssize_t read_reply(const World *w)
{
    char buf[4];
    ssize_t n;

    do {
        n = recv(w->orders, buf, sizeof buf, 0);
    } while (n < 0 && errno == EINTR);
    return n;
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
    int pair[2] = {-1, -1};
    WorldEvent ev;
    bool ok = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;

    if (ok) {
        w->mapper = start_process(image, shared, pair[1]);
        ok = w->mapper > 0;
    }
    close_if(&pair[1]);
    w->orders = pair[0];
    if (!ok) {
        return false;
    }
    errno = ENOSYS;
    if (read_reply(w) != 1) {
        return false;
    }
    w->guest = (pid_t)*ctx32(w, CTX_GUEST_PID);
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

static bool idle_trip(World *w, const uint8_t *to, unsigned spin);

/* Does RDTSC fault where the host's kernel says that it does?  False: the world broke. */
static bool find_tsc(World *w, WorldImage *image)
{
    WorldEvent ev;
    bool ok = true;

    if (!__atomic_load_n(&image->tsc_is_known, __ATOMIC_ACQUIRE)) {
        w->tsc_can_fault = true;
        world_fault_tsc(w, true);
        ok = idle_trip(w, world_stub_rdtsc, 0) && world_event(w, &ev);
        __atomic_store_n(&image->tsc_faults, ok && ev.signal == SIGSEGV, __ATOMIC_RELAXED);
        __atomic_store_n(&image->tsc_is_known, true, __ATOMIC_RELEASE);
        world_fault_tsc(w, false);
    }
    w->tsc_can_fault = __atomic_load_n(&image->tsc_faults, __ATOMIC_RELAXED);
    return ok;
}

World *world_new(WorldImage *image, GError **error)
{
    World *w = g_new0(World, 1);
    int shared = memfd_create("world", MFD_CLOEXEC);
    bool ok;

    w->orders = w->home = -1;
    w->fp_len = FX_MIN_LEN;
    w->running = true;
    w->bases_by_calls = image->bases_by_calls;
    ok = shared >= 0 && ftruncate(shared, W_SHARED_LEN) == 0;
    w->shared = ok ? mmap(NULL, W_SHARED_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0)
                   : MAP_FAILED;
    ok = w->shared != MAP_FAILED;
    if (ok) {
        w->base = random_base();
        fill_control(w);
        ok = start(w, image, shared) && find_tsc(w, image);
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
    close_if(&w->orders);
    if (w->shared != MAP_FAILED && w->shared != NULL) {
        munmap(w->shared, W_SHARED_LEN);
    }
    g_free(w);
}

/* -- Frames ------------------------------------------------------------------------------------------ */

/* Offset in `shared` of an address that the world wrote down, if `len` bytes from there lie in the
 * alternate stack; else 0. */
static uint64_t frame_offset(const World *w, uint64_t addr, uint64_t len)
{
    uint64_t at = addr - (w->base + W_CTX + W_STACK_AT);

    return at < W_STACK_LEN && len <= W_STACK_LEN - at ? W_CTL_LEN + W_STACK_AT + at : 0;
}

static uint64_t load64(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

ucontext_t *world_frame(World *w, uint8_t **fp)
{
    uint64_t at = frame_offset(w, load64(ctx64(w, CTX_UCONTEXT)), sizeof(ucontext_t));
    ucontext_t *uc = (ucontext_t *)(w->shared + at);
    uint64_t fp_at;

    if (at == 0 || (at & 7) != 0) {
        return NULL;
    }
    fp_at = frame_offset(w, (uint64_t)(uintptr_t)uc->uc_mcontext.fpregs, w->fp_len);
    if (fp_at == 0 || (fp_at & 63) != 0) {
        return NULL;
    }
    *fp = w->shared + fp_at;
    return uc;
}

bool world_event(const World *w, WorldEvent *ev)
{
    uint64_t at = frame_offset(w, load64(ctx64(w, CTX_UCONTEXT)), sizeof(ucontext_t));
    uint64_t info = frame_offset(w, load64(ctx64(w, CTX_SIGINFO)), sizeof(siginfo_t));

    if (at == 0 || info == 0 || (at & 7) != 0 || (info & 7) != 0) {
        return false;
    }
    memcpy(&ev->regs, &((const ucontext_t *)(w->shared + at))->uc_mcontext, sizeof ev->regs);
    ev->signal = (int)*ctx32(w, CTX_SIGNAL);
    ev->call_addr = (uint64_t)(uintptr_t)((const siginfo_t *)(w->shared + info))->si_call_addr;
    ev->call_arch = ((const siginfo_t *)(w->shared + info))->si_arch;
    ev->fs_base = w->bases_by_calls ? w->fs_base : *ctx64(w, CTX_FS_BASE);
    ev->gs_base = w->bases_by_calls ? w->gs_base : *ctx64(w, CTX_GS_BASE);
    ev->ds = (uint16_t)*ctx32(w, CTX_DS);
    ev->es = (uint16_t)*ctx32(w, CTX_ES);
    ev->fs = (uint16_t)*ctx32(w, CTX_FS);
    ev->gs = (uint16_t)*ctx32(w, CTX_GS);
    ev->fp_at = frame_offset(w, (uint64_t)(uintptr_t)ev->regs.fpregs, w->fp_len);
    return ev->fp_at != 0 && (ev->fp_at & 63) == 0;
}

void world_seal_vectors(const World *w, uint8_t *image)
{
    uint32_t mark = FP_MARK;

    memcpy(image + FX_SW_AT, w->fp_sw, sizeof w->fp_sw);
    memcpy(image + w->fp_len - sizeof mark, &mark, sizeof mark);
}

void world_set_segments(World *w, const WorldEvent *ev)
{
    *ctl64(w, CTL_FS_BASE) = ev->fs_base;
    *ctl64(w, CTL_GS_BASE) = ev->gs_base;
    *ctl32(w, CTL_DS) = ev->ds;
    *ctl32(w, CTL_ES) = ev->es;
    *ctl32(w, CTL_FS) = ev->fs;
    *ctl32(w, CTL_GS) = ev->gs;
}

void world_forget_bases(World *w)
{
    w->knows_bases = false;
}

void world_set_id_flag(World *w, bool id)
{
    enum { FIXED = 1 << 1, ID = 1 << 21 };

    *ctl32(w, CTL_FLAGS) = FIXED | (id ? ID : 0);
}

void world_fault_tsc(World *w, bool faults)
{
    *ctl32(w, CTL_TSC) = faults && w->tsc_can_fault ? PR_TSC_SIGSEGV : PR_TSC_ENABLE;
}

bool world_tsc_faults(const World *w)
{
    return *ctl32(w, CTL_TSC) == PR_TSC_SIGSEGV;
}

/* -- Running ------------------------------------------------------------------------------------------- */

static bool keep_on(pid_t pid, unsigned cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(pid, sizeof set, &set) == 0;
}

/* A CPU that is not `cpu`, if we may use another. */
static unsigned other_than(unsigned cpu)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        for (unsigned i = 1; i < CPU_SETSIZE; i++) {
            if (CPU_ISSET((cpu + i) % CPU_SETSIZE, &set)) {
                return (cpu + i) % CPU_SETSIZE;
            }
        }
    }
    return cpu;
}

/*
 * Where nobody spins all threads take turns on one CPU, which is far cheaper than to wake another.  Where they spin the
 * guest thread has another; the mapper, for whom the engine sleeps, has the engine's.
 */
static void place(World *w, unsigned spin)
{
    unsigned cpu;
    bool apart = spin != 0;

    if (getcpu(&cpu, NULL) != 0 || ((int)cpu == w->home && apart == w->apart)) {
        return;
    }
    w->home = keep_on(w->guest, apart ? other_than(cpu) : cpu) && keep_on(w->mapper, cpu) ? (int)cpu : -1;
    w->apart = apart;
}

void world_announce(World *w)
{
    __atomic_store_n(&w->running, true, __ATOMIC_SEQ_CST);
}

void world_retract(World *w)
{
    __atomic_store_n(&w->running, false, __ATOMIC_SEQ_CST);
}

/* Have those bases set that are not what they shall be: each is a system call, and a dear one on some hosts. */
static void order_bases(World *w)
{
    uint64_t fs = *ctl64(w, CTL_FS_BASE), gs = *ctl64(w, CTL_GS_BASE);
    bool known = w->knows_bases && *ctx32(w, CTX_FS) == 0 && *ctx32(w, CTX_GS) == 0;

    *ctl32(w, CTL_BASES) = (known && w->fs_base == fs ? 0 : BASES_SET_FS) | (known && w->gs_base == gs ? 0 : BASES_SET_GS);
    w->fs_base = fs;
    w->gs_base = gs;
    w->knows_bases = true;
}

void world_resume(World *w, unsigned spin)
{
    bool asleep = *ctl32(w, CTL_SPIN) == 0 ||
                  __atomic_load_n(ctx32(w, CTX_ASLEEP), __ATOMIC_SEQ_CST) != 0;

    place(w, spin);
    if (w->bases_by_calls) {
        order_bases(w);
    }
    w->number++;
    *ctl32(w, CTL_SPIN) = spin;
    __atomic_store_n(&w->running, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(ctl32(w, CTL_RESUME), w->number, __ATOMIC_SEQ_CST);
    if (w->parked) {
        futex(ctl32(w, CTL_PARK), FUTEX_WAKE, 1, 0, NULL, 0);
    }
    if (w->parked || asleep || __atomic_load_n(ctx32(w, CTX_ASLEEP), __ATOMIC_SEQ_CST) != 0) {
        futex(ctl32(w, CTL_RESUME), FUTEX_WAKE, 1, 0, NULL, 0);
        w->slept++;
    }
    w->parked = false;
}

static bool has_event(const World *w)
{
    return __atomic_load_n(ctx32(w, CTX_EVENT), __ATOMIC_SEQ_CST) == w->number;
}

bool world_wait(World *w, unsigned spin, uint64_t timeout_ns)
{
    struct timespec ts = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};

    for (unsigned i = 0; i < spin && !has_event(w); i++) {
        __builtin_ia32_pause();
    }
    if (!has_event(w)) {
        uint32_t seen;

        __atomic_store_n(ctl32(w, CTL_SLEEPING), 1, __ATOMIC_SEQ_CST);
        seen = __atomic_load_n(ctx32(w, CTX_EVENT), __ATOMIC_SEQ_CST);
        if (seen != w->number) {
            w->slept++;
            futex(ctx32(w, CTX_EVENT), FUTEX_WAIT, seen, (uintptr_t)&ts, NULL, 0);
        }
        __atomic_store_n(ctl32(w, CTL_SLEEPING), 0, __ATOMIC_SEQ_CST);
        if (!has_event(w)) {
            /* it may sleep where nobody honest does */
            futex(ctl32(w, CTL_RESUME), FUTEX_WAKE, 1, 0, NULL, 0);
            return false;
        }
    }
    __atomic_store_n(&w->running, false, __ATOMIC_SEQ_CST);
    return true;
}

static bool idle_trip(World *w, const uint8_t *to, unsigned spin)
{
    uint8_t *fp;
    ucontext_t *uc = world_frame(w, &fp);

    if (uc == NULL) {
        return false;
    }
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)(w->base + (uint64_t)(to - world_stub));
    world_resume(w, spin);
    while (!world_wait(w, spin, 50000000)) {
        if (world_check(w) != WORLD_ALIVE) {
            return false;
        }
    }
    return true;
}

bool world_idle_trip(World *w, unsigned spin)
{
    return idle_trip(w, world_stub_after_return, spin); /* an int3 */
}

void world_kick(World *w)
{
    if (__atomic_load_n(&w->running, __ATOMIC_SEQ_CST)) {
        kill(w->guest, KICK_SIGNAL);
    }
}

bool world_park(World *w)
{
    enum { TRIES = 3000 };
    uint32_t spin = *ctl32(w, CTL_SPIN);

    if (w->parked || w->health != WORLD_ALIVE) {
        return w->health == WORLD_ALIVE;
    }
    __atomic_store_n(ctl32(w, CTL_SPIN), 0, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < TRIES && !w->parked; i++) {
        w->parked = futex(ctl32(w, CTL_RESUME), FUTEX_CMP_REQUEUE, 0, 1, ctl32(w, CTL_PARK),
                          w->number) == 1;
        if (!w->parked && i < 4) {
            sched_yield();
        } else if (!w->parked) {
            struct timespec ts = {0, i < 100 ? 20000 : 1000000};
            nanosleep(&ts, NULL);
        }
    }
    *ctl32(w, CTL_SPIN) = spin;
    if (!w->parked) {
        w->health = WORLD_BROKEN;
    }
    return w->parked;
}

/* -- Health ------------------------------------------------------------------------------------------- */

static void look_at(World *w, pid_t *pid)
{
    int status;

    if (*pid > 0 && waitpid(*pid, &status, __WALL | WNOHANG) == *pid) {
        bool outside = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

        *pid = 0;
        w->health = outside || pid == &w->mapper ? WORLD_KILLED : MAX(w->health, WORLD_BROKEN);
    }
}

WorldHealth world_check(World *w)
{
    look_at(w, &w->guest);
    look_at(w, &w->mapper);
    return w->health;
}

uint64_t world_cpu_ns(const World *w)
{
    struct timespec ts;
    clockid_t clock;

    if (w->guest <= 0 || clock_getcpuclockid(w->guest, &clock) != 0 || clock_gettime(clock, &ts) != 0) {
        return 0;
    }
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Its guest thread runs no more when this returns.  Leaves it to be reaped. */
static void end(World *w)
{
    siginfo_t info;

    if (w->guest > 0) {
        kill(w->guest, SIGKILL);
        while (waitid(P_PID, (id_t)w->guest, &info, WEXITED | WNOWAIT | __WALL) != 0 &&
               errno == EINTR) {
        }
    }
}

/* -- Mappings ------------------------------------------------------------------------------------------ */

static bool request(World *w, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                    uint64_t f)
{
    uint64_t *r;

    if (w->n_requests == CTL_REQUESTS_MAX && !world_sync(w)) {
        return false;
    }
    r = ctl64(w, CTL_REQUESTS + w->n_requests * CTL_REQUEST_LEN);
    r[0] = (uint64_t)nr;
    r[1] = a;
    r[2] = b;
    r[3] = c;
    r[4] = d;
    r[5] = e;
    r[6] = f;
    w->n_requests++;
    return true;
}

bool world_map(World *w, uint64_t lin, uint64_t len, int prot, uint64_t offset, bool populate)
{
    g_assert(lin + len <= w->base || lin >= w->base + W_LEN);
    return request(w, SYS_mmap, lin, len, (uint64_t)prot,
                   MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0), FD_RAM, offset);
}

bool world_unmap(World *w, uint64_t lin, uint64_t len)
{
    g_assert(lin + len <= w->base || lin >= w->base + W_LEN);
    return request(w, SYS_munmap, lin, len, 0, 0, 0, 0);
}

bool world_protect(World *w, uint64_t lin, uint64_t len, int prot)
{
    g_assert(lin + len <= w->base || lin >= w->base + W_LEN);
    return request(w, SYS_mprotect, lin, len, (uint64_t)prot, 0, 0, 0);
}

bool world_unmap_all(World *w)
{
    return world_unmap(w, 0, w->base) &&
           world_unmap(w, w->base + W_LEN, W_TOP - (w->base + W_LEN));
}

bool world_sync(World *w)
{
    ssize_t n;

    if (w->n_requests == 0) {
        return w->health == WORLD_ALIVE;
    }
    *ctl64(w, CTL_N_REQUESTS) = w->n_requests;
    w->n_requests = 0;
    do {
        n = send(w->orders, "", 1, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    n = n == 1 ? read_reply(w) : 0;
    if (n != 1) {
        w->health = n == 2 ? WORLD_BROKEN : WORLD_KILLED;
        end(w); /* what should have gone may be mapped still */
    }
    return n == 1;
}
