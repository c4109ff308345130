/* Vectors in the widest registers of the kernel that is being compiled: LANES float64 make a vec, twice as many float32
   an f_vec.

   The arithmetic operators work on both as they are; here is the rest. Every processor computes the same but for
   `muladd`, which rounds once where there is FMA. Where no instruction set is known, or with VOXELIZER_PLAIN_C, a vec
   is one double. */
#ifndef LANES_H
#define LANES_H

#include <math.h>
#include <stdint.h>

#if (defined(__GNUC__) || defined(__clang__)) && !defined(VOXELIZER_PLAIN_C) \
    && (defined(KERNEL_AVX2) || defined(KERNEL_AVX512) || defined(__SSE2__))
#define HAS_SSE2 1
#include <immintrin.h>
#endif

/* For functions between which nothing may go through memory: stores of vectors alias everything. */
#if defined(__GNUC__) || defined(__clang__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* Each of these defines LANES, vec and f_vec, and for both (those of f_vec with f_ before the name):
     load, store           any address
     all(x)                x in every lane
     muladd(a, b, c)       a b + c
     root, absolute        square root, |x|
     smaller, larger       of two; the second where one is NaN
     which_less(a, b)      bit i: a < b in lane i
     load_points           x, y and z of as many points as there are lanes
   and for vec alone:
     with_sign(x, y)       |x| with the sign of y
     if_less(a, b, x, y)   a < b ? x : y
     store_interleaved     x0, y0, x1, y1, ...
     truncated             towards zero, for |x| < 2^31
     shifted(x, next)      lanes 1 to the last of x, then the first of next
     load_floats, store_floats   from and to float32 */
#if defined(KERNEL_AVX512)
#include "lanes_avx512.h"
#elif defined(KERNEL_AVX2)
#include "lanes_avx2.h"
#elif defined(HAS_SSE2)
#include "lanes_sse2.h"
#else
#include "lanes_plain.h"
#endif

#define F_LANES (LANES == 1 ? 1 : 2 * LANES)

/* Of which_less and f_which_less: every lane. */
#define ALL_LANES ((1u << LANES) - 1)
#define F_ALL_LANES ((1u << F_LANES) - 1)

/* n, rounded up to whole vectors. */
static inline int64_t whole_vectors(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

/* The lowest set bit of a number that is not 0. */
static inline int first_bit(uint32_t bits)
{
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_ctz(bits);
#else
    int bit = 0;
    for (; !(bits & 1); bits >>= 1)
        bit++;
    return bit;
#endif
}

/* The number of set bits, of LANES. */
static inline int count_bits(unsigned bits)
{
#if LANES <= 2
    return (int)((bits & 1) + (bits >> 1));
#else
    return __builtin_popcount(bits);
#endif
}

/* The lowest set bit of LANES; LANES where none is set. */
static inline int lowest_bit(unsigned bits)
{
#if LANES == 1
    return !bits;
#else
    return first_bit(bits | 1u << LANES);
#endif
}

#endif
