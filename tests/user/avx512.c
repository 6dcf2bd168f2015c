/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program of AVX-512 instructions, with threads that take turns and calls in between: 512-bit arithmetic, masks,
 * permutations, gathers and scatters.  Prints the same whatever it runs on; status 77 without AVX-512.
 */
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* On pages of its own: worlds do not execute those with the C library's CPUID. */
#define APART __attribute__((noinline, section(".apart"), aligned(4096), target("avx512f,avx512bw,avx512dq,avx512vl")))

enum { N = 96, WORDS = 4096, ROUNDS = 300, THREADS = 3 };

typedef struct {
    uint64_t seed, sum;
    double a[N][N], b[N][N], c[N][N];
    uint32_t table[WORDS];
} __attribute__((aligned(64))) Job;

static Job jobs[THREADS];

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

/* c = a b, fused, eight columns at once; the last by a mask. */
static APART void multiply(Job *j, unsigned columns)
{
    for (unsigned r = 0; r < N; r++) {
        for (unsigned k = 0; k < columns; k += 8) {
            __mmask8 m = columns - k >= 8 ? 0xff : (__mmask8)((1 << (columns - k)) - 1);
            __m512d sum = _mm512_setzero_pd();

            for (unsigned i = 0; i < N; i++) {
                sum = _mm512_fmadd_pd(_mm512_set1_pd(j->a[r][i]), _mm512_maskz_loadu_pd(m, &j->b[i][k]), sum);
            }
            _mm512_mask_storeu_pd(&j->c[r][k], m, sum);
        }
    }
}

/* Random places read, changed under masks, written back; all registers are live across sched_yield(). */
static APART uint64_t shuffle(Job *j, unsigned round)
{
    __m512i state = _mm512_add_epi32(_mm512_set1_epi32((int)round), _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    __m512i sum = _mm512_set1_epi64((long long)j->seed);
    __mmask16 odd;
    uint64_t parts[8];
    long r;

    for (unsigned i = 0; i < 64; i++) {
        __m512i at, got;

        state = _mm512_add_epi32(_mm512_mullo_epi32(state, _mm512_set1_epi32(1664525)), _mm512_set1_epi32(1013904223));
        at = _mm512_add_epi32(_mm512_and_epi32(_mm512_srli_epi32(state, 8), _mm512_set1_epi32(WORDS / 16 - 1)),
                              _mm512_slli_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), 8));
        got = _mm512_i32gather_epi32(at, j->table, 4);
        odd = _mm512_test_epi32_mask(got, _mm512_set1_epi32(1));
        got = _mm512_mask_rol_epi32(got, odd, got, 7);
        got = _mm512_ternarylogic_epi32(got, state, sum, 0x96);
        got = _mm512_mask_sub_epi8(got, _mm512_cmplt_epi8_mask(got, state), got, state);
        _mm512_mask_i32scatter_epi32(j->table, (__mmask16)~(odd >> 1), at, got, 4);
        sum = _mm512_add_epi64(sum, _mm512_permutexvar_epi64(_mm512_setr_epi64(7, 6, 5, 4, 3, 2, 1, 0), got));
        if (i % 16 == 0) {
            __asm__ volatile("syscall" : "=a"(r) : "0"(24L /* sched_yield */) : "rcx", "r11", "memory");
        }
    }
    _mm512_storeu_si512(parts, sum);
    for (unsigned i = 1; i < 8; i++) {
        parts[0] = parts[0] * 31 + parts[i];
    }
    return parts[0];
}

static void *work(void *arg)
{
    Job *j = arg;

    for (unsigned i = 0; i < N * N; i++) {
        j->a[i / N][i % N] = (double)(mix(j->seed, i) % 1000) / 7;
        j->b[i / N][i % N] = (double)(mix(j->seed, i + N * N) % 1000) / 11;
    }
    for (unsigned i = 0; i < WORDS; i++) {
        j->table[i] = (uint32_t)mix(j->seed, i);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        j->sum = mix(j->sum, shuffle(j, round));
        if (round % 10 == 0) {
            multiply(j, N - round % 8);
        }
    }
    for (unsigned i = 0; i < N * N; i++) {
        uint64_t bits;

        memcpy(&bits, &j->c[i / N][i % N], sizeof bits);
        j->sum = mix(j->sum, bits);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread[THREADS];

    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl")) {
        printf("no AVX-512\n");
        return 77;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        jobs[i].seed = i + 1;
        if (pthread_create(&thread[i], NULL, work, &jobs[i]) != 0) {
            return 1;
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        printf("thread %u: %016lx\n", i, (unsigned long)jobs[i].sum);
    }
    return 0;
}
