/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Code that changes: patched constants, code written anew, its first and second execution. */
#include "bench/workloads/workloads.h"

#include <string.h>
#include <sys/mman.h>

enum { BLOCKS = 1024, BLOCK_LEN = 64, LEN = BLOCKS * BLOCK_LEN };

static uint8_t *code;

static const char *code_memory(void)
{
    if (code == NULL) {
        void *p = mmap(NULL, LEN, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            return "no memory that is writable and executable";
        }
        code = p;
    }
    return NULL;
}

typedef uint32_t (*Block)(void);

static Block block_at(unsigned i)
{
    return (Block)(uintptr_t)(code + i * BLOCK_LEN);
}

/* mov $v, %eax; six times add $1, %eax; ret */
static void write_block(unsigned i, uint32_t v)
{
    uint8_t *p = code + i * BLOCK_LEN;

    *p++ = 0xb8;
    memcpy(p, &v, 4);
    p += 4;
    for (int k = 0; k < 6; k++, p += 3) {
        memcpy(p, "\x83\xc0\x01", 3);
    }
    *p = 0xc3;
}

static Work smc(uint64_t turns)
{
    uint32_t sum = 0, want = 0;

    write_block(0, 0);
    for (uint32_t i = 0; i < turns; i++) {
        memcpy(code + 1, &i, 4);
        __asm__ volatile("" : : : "memory");
        sum += block_at(0)();
        want += i + 6;
    }
    return (Work){sum == want ? turns : 0};
}

/* Write all blocks, run them, run them again; which part is timed? */
typedef enum { WRITE, FIRST, AGAIN } Part;

static uint32_t run_blocks(void)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < BLOCKS; i++) {
        sum += block_at(i)();
    }
    return sum;
}

static Work rounds(uint64_t turns, Part part)
{
    static uint32_t value;     /* other code each time */
    uint64_t ns[3] = {0};
    bool good = true;

    for (uint64_t t = 0; t < turns; t++) {
        uint64_t t0 = now_ns(), t1, t2, t3;
        value++;
        for (unsigned i = 0; i < BLOCKS; i++) {
            write_block(i, value);
        }
        t1 = now_ns();
        uint32_t sum = run_blocks();
        t2 = now_ns();
        good &= sum == BLOCKS * (value + 6) && run_blocks() == sum;
        t3 = now_ns();
        ns[WRITE] += t1 - t0;
        ns[FIRST] += t2 - t1;
        ns[AGAIN] += t3 - t2;
    }
    return (Work){good ? turns * BLOCKS : 0, ns[part]};
}

static Work code_write(uint64_t turns) { return rounds(turns, WRITE); }
static Work code_first(uint64_t turns) { return rounds(turns, FIRST); }
static Work code_again(uint64_t turns) { return rounds(turns, AGAIN); }

const Workload code_workloads[] = {
    {"smc", smc, code_memory},
    {"code_write", code_write, code_memory, .max_turns = 64},
    {"code_first", code_first, code_memory, .max_turns = 64},
    {"code_again", code_again, code_memory, .max_turns = 64},
    {NULL},
};
