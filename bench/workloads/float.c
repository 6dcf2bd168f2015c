/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Floating point and vectors. */
#include "bench/workloads/workloads.h"

#include <immintrin.h>

enum { N = 64, BLOCK = 1000 };
typedef double Matrix[N][N] __attribute__((aligned(64)));
static Matrix a, b, c;

static const char *fill(void)
{
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < N; k++) {
            a[i][k] = i == k ? 2 : 0;
            b[i][k] = i * N + k;
        }
    }
    return NULL;
}

/* b doubled, exactly. */
static bool product_right(void)
{
    bool right = true;

    for (int i = 0; i < N; i++) {
        for (int k = 0; k < N; k++) {
            right &= c[i][k] == 2.0 * (i * N + k);
        }
    }
    return right;
}

static void clear_product(void)
{
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < N; k++) {
            c[i][k] = 0;
        }
    }
}

/* c += a * b, row by row; an operation is one multiplication and one addition. */
#define MULTIPLY(name, attributes, row)                                                            \
    attributes static NOINLINE void name##_once(void)                                              \
    {                                                                                              \
        for (int i = 0; i < N; i++) {                                                              \
            for (int k = 0; k < N; k++) {                                                          \
                row                                                                                \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static Work name(uint64_t turns)                                                               \
    {                                                                                              \
        for (uint64_t t = 0; t < turns; t++) {                                                     \
            clear_product();                                                                       \
            name##_once();                                                                         \
        }                                                                                          \
        return (Work){product_right() ? turns * N * N * N : 0};                                    \
    }

MULTIPLY(fp_mm_scalar, __attribute__((optimize("no-tree-vectorize"))), {
    double f = a[i][k];
    for (int j = 0; j < N; j++) {
        c[i][j] += f * b[k][j];
    }
})

MULTIPLY(fp_mm_sse2, , {
    __m128d f = _mm_set1_pd(a[i][k]);
    for (int j = 0; j < N; j += 2) {
        _mm_store_pd(&c[i][j], _mm_add_pd(_mm_load_pd(&c[i][j]), _mm_mul_pd(f, _mm_load_pd(&b[k][j]))));
    }
})

MULTIPLY(fp_mm_avx2, __attribute__((target("avx2,fma"))), {
    __m256d f = _mm256_set1_pd(a[i][k]);
    for (int j = 0; j < N; j += 4) {
        _mm256_store_pd(&c[i][j], _mm256_fmadd_pd(f, _mm256_load_pd(&b[k][j]), _mm256_load_pd(&c[i][j])));
    }
})

static const char *need_avx2(void)
{
    fill();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? NULL : "no AVX2 or FMA";
}

static Work fp_divsqrt(uint64_t turns)
{
    double x = 2, y = 3;

    for (uint64_t i = 0; i < turns * BLOCK; i += 2) {
        __asm__ volatile("divsd %2, %0; sqrtsd %1, %1" : "+x"(x), "+x"(y) : "x"(1.0000001));
        y += 1;
    }
    return (Work){x > 0 && y > 1 ? turns * BLOCK : 0};
}

/* Two multiplications and two additions. */
static Work fp_x87(uint64_t turns)
{
    long double x = 1, y = 1;

    for (uint64_t i = 0; i < turns * BLOCK; i++) {
        x = x * 0.5L + 1;
        y = y * 0.25L + x;
    }
    return (Work){x > 1.9 && x <= 2 && y > 2.6 && y < 2.7 ? turns * BLOCK : 0};
}

/* Steps of five instructions' kinds over four accumulators; an operation is one vector instruction. */
static Work vec_int_sse2(uint64_t turns)
{
    __m128i v[4] = {_mm_set1_epi32(1), _mm_set1_epi32(2), _mm_set1_epi32(3), _mm_set1_epi32(4)};
    const __m128i k = _mm_set1_epi32(0x9e3779b9);

    for (uint64_t i = 0; i < turns * BLOCK / 20; i++) {
        for (int j = 0; j < 4; j++) {
            v[j] = _mm_add_epi32(v[j], k);
            v[j] = _mm_xor_si128(v[j], _mm_slli_epi32(v[j], 5));
            v[j] = _mm_sub_epi16(v[j], _mm_srli_epi32(v[j], 3));
        }
    }
    __m128i sum = _mm_or_si128(_mm_or_si128(v[0], v[1]), _mm_or_si128(v[2], v[3]));
    return (Work){_mm_movemask_epi8(_mm_cmpeq_epi32(sum, _mm_setzero_si128())) != 0xffff ? turns * BLOCK : 0};
}

__attribute__((target("avx2"))) static Work vec_int_avx2(uint64_t turns)
{
    __m256i v[4] = {_mm256_set1_epi32(1), _mm256_set1_epi32(2), _mm256_set1_epi32(3), _mm256_set1_epi32(4)};
    const __m256i k = _mm256_set1_epi32(0x9e3779b9);

    for (uint64_t i = 0; i < turns * BLOCK / 20; i++) {
        for (int j = 0; j < 4; j++) {
            v[j] = _mm256_add_epi32(v[j], k);
            v[j] = _mm256_xor_si256(v[j], _mm256_slli_epi32(v[j], 5));
            v[j] = _mm256_sub_epi16(v[j], _mm256_srli_epi32(v[j], 3));
        }
    }
    __m256i sum = _mm256_or_si256(_mm256_or_si256(v[0], v[1]), _mm256_or_si256(v[2], v[3]));
    return (Work){_mm256_movemask_epi8(_mm256_cmpeq_epi32(sum, _mm256_setzero_si256())) != -1 ? turns * BLOCK : 0};
}

const Workload float_workloads[] = {
    {"fp_mm_scalar", fp_mm_scalar, fill}, {"fp_mm_sse2", fp_mm_sse2, fill},
    {"fp_mm_avx2", fp_mm_avx2, need_avx2}, {"fp_divsqrt", fp_divsqrt}, {"fp_x87", fp_x87},
    {"vec_int_sse2", vec_int_sse2}, {"vec_int_avx2", vec_int_avx2, need_avx2},
    {NULL},
};
