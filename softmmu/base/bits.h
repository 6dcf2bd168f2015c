/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bit fields, sign extension, and unaligned little-endian access. */
#ifndef SOFTMMU_BASE_BITS_H
#define SOFTMMU_BASE_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BIT(n) (1u << (n))
#define BIT64(n) (UINT64_C(1) << (n))
#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))

/* All ones in the low `bytes` bytes; bytes is 1, 2, 4 or 8. */
static inline uint64_t mask_bytes(unsigned bytes)
{
    return bytes >= 8 ? UINT64_MAX : (UINT64_C(1) << (bytes * 8)) - 1;
}

/* Bits [lo, lo+len) of v, right aligned; len is 1..63. */
static inline uint64_t bits_get(uint64_t v, unsigned lo, unsigned len)
{
    return (v >> lo) & ((UINT64_C(1) << len) - 1);
}

/* v with bits [lo, lo+len) replaced by the low bits of field; len is 1..63. */
static inline uint64_t bits_put(uint64_t v, unsigned lo, unsigned len, uint64_t field)
{
    uint64_t mask = ((UINT64_C(1) << len) - 1) << lo;
    return (v & ~mask) | ((field << lo) & mask);
}

/* The low `bytes` bytes of v, sign extended to 64 bits. */
static inline int64_t sign_extend(uint64_t v, unsigned bytes)
{
    unsigned shift = 64 - bytes * 8;
    return (int64_t)(v << shift) >> shift;
}

/* Little-endian load/store of 1, 2, 4 or 8 bytes at any alignment (the host is x86). */
static inline uint64_t load_le(const void *p, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, p, size);
    return v;
}

static inline void store_le(void *p, unsigned size, uint64_t v)
{
    memcpy(p, &v, size);
}

#endif /* SOFTMMU_BASE_BITS_H */
