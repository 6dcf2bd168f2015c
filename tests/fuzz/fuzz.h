/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a fuzzer (tests/fuzz/fuzz-NAME.c) gives, and how it takes its input apart.
 *
 * LLVMFuzzerTestOneInput() is libFuzzer's entry; driver.c is a plain driver for it that needs no
 * clang.  Input number N is the same bytes in every run, and a fuzzer begins each input from a fresh
 * state wherever it can, so that `fuzz-NAME N` repeats what failed.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

enum { FUZZ_INPUT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Write the fuzzer's seed number `i` to `buf` (FUZZ_INPUT_MAX bytes); its length, 0 behind the last. */
size_t fuzz_seed(unsigned i, uint8_t *buf);

/* The input, taken from the front; zeros when it is used up. */
typedef struct {
    const uint8_t *data;
    size_t left;
} FuzzInput;

static inline uint8_t fuzz_u8(FuzzInput *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->data++;
}

static inline uint16_t fuzz_u16(FuzzInput *in)
{
    uint8_t lo = fuzz_u8(in);

    return (uint16_t)(lo | fuzz_u8(in) << 8);
}

static inline uint32_t fuzz_u32(FuzzInput *in)
{
    uint16_t lo = fuzz_u16(in);

    return lo | (uint32_t)fuzz_u16(in) << 16;
}

/* A value of the kind that finds mistakes: small, a corner, a guest address, or anything. */
static inline uint64_t fuzz_value(FuzzInput *in)
{
    static const uint64_t corners[] = {0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
                                       0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
                                       INT64_MAX, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
    uint8_t kind = fuzz_u8(in);
    uint32_t lo;

    switch (kind & 7) {
    case 0: return corners[fuzz_u8(in) % (sizeof corners / sizeof *corners)];
    case 1: return fuzz_u8(in);
    case 2: return fuzz_u16(in);
    case 3: return (uint64_t)fuzz_u16(in) << 4;      /* below 1 MiB, 16-byte aligned */
    case 4: return UINT64_C(1) << (fuzz_u8(in) & 63);
    case 5: return -(uint64_t)fuzz_u8(in);
    case 6: return fuzz_u32(in);
    default:
        lo = fuzz_u32(in);
        return lo | (uint64_t)fuzz_u32(in) << 32;
    }
}

#endif /* TESTS_FUZZ_FUZZ_H */
