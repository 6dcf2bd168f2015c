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

/* One host access of 1, 2, 4 or 8 bytes: atomic when naturally aligned (SDM 3A 9.1.1). */
typedef uint16_t __attribute__((aligned(1), may_alias)) Unaligned16;
typedef uint32_t __attribute__((aligned(1), may_alias)) Unaligned32;
typedef uint64_t __attribute__((aligned(1), may_alias)) Unaligned64;

static inline uint64_t host_load(const void *p, unsigned size)
{
    switch (size) {
    case 1: return *(const volatile uint8_t *)p;
    case 2: return *(const volatile Unaligned16 *)p;
    case 4: return *(const volatile Unaligned32 *)p;
    default: return *(const volatile Unaligned64 *)p;
    }
}

static inline void host_store(void *p, unsigned size, uint64_t val)
{
    switch (size) {
    case 1: *(volatile uint8_t *)p = (uint8_t)val; break;
    case 2: *(volatile Unaligned16 *)p = (uint16_t)val; break;
    case 4: *(volatile Unaligned32 *)p = (uint32_t)val; break;
    default: *(volatile Unaligned64 *)p = val; break;
    }
}

#endif /* SOFTMMU_BASE_BITS_H */
