/* Vectors in the widest registers of the kernel that is being compiled: LANES float64 make a vec, twice as many float32
   an f_vec.

   The arithmetic operators work on both as they are; here is the rest. Every processor computes the same but for
   `muladd`, which rounds once where there is FMA. Where no instruction set is known, or with VOXELIZER_PLAIN_C, a vec is
   one double, and the loops over them are for the compiler to vectorise. */
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

#if defined(KERNEL_AVX512)

#define LANES 8
typedef __m512d vec;
static inline vec load(const double *x) { return _mm512_loadu_pd(x); }
static inline void store(double *to, vec x) { _mm512_storeu_pd(to, x); }
static inline vec all(double x) { return _mm512_set1_pd(x); }
static inline vec muladd(vec a, vec b, vec c) { return _mm512_fmadd_pd(a, b, c); }
static inline vec root(vec x) { return _mm512_sqrt_pd(x); }
static inline vec smaller(vec x, vec y) { return _mm512_min_pd(x, y); }
static inline vec larger(vec x, vec y) { return _mm512_max_pd(x, y); }
static inline vec absolute(vec x) { return _mm512_abs_pd(x); }
/* |x| with the sign of y. */
static inline vec with_sign(vec x, vec y)
{
    /* Bit by bit: of y where the mask is set, else of x. */
    return _mm512_castsi512_pd(_mm512_ternarylogic_epi64(_mm512_castpd_si512(y), _mm512_castpd_si512(x),
                                                         _mm512_set1_epi64(INT64_MIN), 0xE4));
}
/* a < b ? x : y */
static inline vec if_less(vec a, vec b, vec x, vec y)
{
    return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), y, x);
}
/* Towards zero, for |x| < 2^31. */
static inline vec truncated(vec x) { return _mm512_cvtepi32_pd(_mm512_cvttpd_epi32(x)); }
/* x0, y0, x1, y1, ... */
static inline void store_interleaved(double *to, vec x, vec y)
{
    _mm512_storeu_pd(to, _mm512_permutex2var_pd(x, _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0), y));
    _mm512_storeu_pd(to + 8, _mm512_permutex2var_pd(x, _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4), y));
}
/* Bit i: a < b in lane i. */
static inline unsigned which_less(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
/* Lanes 1 to the last of x, then the first of next. */
static inline vec shifted(vec x, vec next)
{
    return _mm512_castsi512_pd(_mm512_alignr_epi64(_mm512_castpd_si512(next), _mm512_castpd_si512(x), 1));
}
static inline vec load_floats(const float *x) { return _mm512_cvtps_pd(_mm256_loadu_ps(x)); }
static inline void store_floats(float *to, vec x) { _mm256_storeu_ps(to, _mm512_cvtpd_ps(x)); }
/* x, y and z of as many points as a vec has lanes. */
static inline void load_points(const double *points, vec *x, vec *y, vec *z)
{
    const vec a = _mm512_loadu_pd(points), b = _mm512_loadu_pd(points + 8), c = _mm512_loadu_pd(points + 16);
    /* From a and b what they hold; then, from lane 8 on in the index, from c. */
    const __m512i x_ab = _mm512_set_epi64(0, 0, 15, 12, 9, 6, 3, 0), x_c = _mm512_set_epi64(13, 10, 5, 4, 3, 2, 1, 0);
    const __m512i y_ab = _mm512_set_epi64(0, 0, 0, 13, 10, 7, 4, 1), y_c = _mm512_set_epi64(14, 11, 8, 4, 3, 2, 1, 0);
    const __m512i z_ab = _mm512_set_epi64(0, 0, 0, 14, 11, 8, 5, 2), z_c = _mm512_set_epi64(15, 12, 9, 4, 3, 2, 1, 0);
    *x = _mm512_permutex2var_pd(_mm512_permutex2var_pd(a, x_ab, b), x_c, c);
    *y = _mm512_permutex2var_pd(_mm512_permutex2var_pd(a, y_ab, b), y_c, c);
    *z = _mm512_permutex2var_pd(_mm512_permutex2var_pd(a, z_ab, b), z_c, c);
}

typedef __m512 f_vec;
static inline f_vec f_load(const float *x) { return _mm512_loadu_ps(x); }
static inline f_vec f_all(float x) { return _mm512_set1_ps(x); }
static inline f_vec f_muladd(f_vec a, f_vec b, f_vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline f_vec f_root(f_vec x) { return _mm512_sqrt_ps(x); }
static inline f_vec f_smaller(f_vec x, f_vec y) { return _mm512_min_ps(x, y); }
static inline f_vec f_larger(f_vec x, f_vec y) { return _mm512_max_ps(x, y); }
static inline f_vec f_absolute(f_vec x) { return _mm512_abs_ps(x); }
static inline f_vec f_with_sign(f_vec x, f_vec y)
{
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_castps_si512(y), _mm512_castps_si512(x),
                                                         _mm512_set1_epi32(INT32_MIN), 0xE4));
}
static inline f_vec f_if_less(f_vec a, f_vec b, f_vec x, f_vec y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
static inline unsigned f_which_less(f_vec a, f_vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline void f_store_interleaved(float *to, f_vec x, f_vec y)
{
    const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    _mm512_storeu_ps(to, _mm512_permutex2var_ps(x, low, y));
    _mm512_storeu_ps(to + 16, _mm512_permutex2var_ps(x, _mm512_add_epi32(low, _mm512_set1_epi32(8)), y));
}
static inline void f_load_points(const float *points, f_vec *x, f_vec *y, f_vec *z)
{
    const f_vec a = _mm512_loadu_ps(points), b = _mm512_loadu_ps(points + 16), c = _mm512_loadu_ps(points + 32);
    /* From a and b what they hold; then, from lane 16 on in the index, from c. */
    const __m512i x_ab = _mm512_set_epi32(0, 0, 0, 0, 0, 30, 27, 24, 21, 18, 15, 12, 9, 6, 3, 0);
    const __m512i x_c = _mm512_set_epi32(29, 26, 23, 20, 17, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i y_ab = _mm512_set_epi32(0, 0, 0, 0, 0, 31, 28, 25, 22, 19, 16, 13, 10, 7, 4, 1);
    const __m512i y_c = _mm512_set_epi32(30, 27, 24, 21, 18, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i z_ab = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 29, 26, 23, 20, 17, 14, 11, 8, 5, 2);
    const __m512i z_c = _mm512_set_epi32(31, 28, 25, 22, 19, 16, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    *x = _mm512_permutex2var_ps(_mm512_permutex2var_ps(a, x_ab, b), x_c, c);
    *y = _mm512_permutex2var_ps(_mm512_permutex2var_ps(a, y_ab, b), y_c, c);
    *z = _mm512_permutex2var_ps(_mm512_permutex2var_ps(a, z_ab, b), z_c, c);
}

#elif defined(KERNEL_AVX2)

#define LANES 4
typedef __m256d vec;
static inline vec load(const double *x) { return _mm256_loadu_pd(x); }
static inline void store(double *to, vec x) { _mm256_storeu_pd(to, x); }
static inline vec all(double x) { return _mm256_set1_pd(x); }
static inline vec muladd(vec a, vec b, vec c) { return _mm256_fmadd_pd(a, b, c); }
static inline vec root(vec x) { return _mm256_sqrt_pd(x); }
static inline vec smaller(vec x, vec y) { return _mm256_min_pd(x, y); }
static inline vec larger(vec x, vec y) { return _mm256_max_pd(x, y); }
static inline vec absolute(vec x) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), x); }
static inline vec with_sign(vec x, vec y)
{
    const vec sign = _mm256_set1_pd(-0.0);
    return _mm256_or_pd(_mm256_andnot_pd(sign, x), _mm256_and_pd(sign, y));
}
static inline vec if_less(vec a, vec b, vec x, vec y)
{
    return _mm256_blendv_pd(y, x, _mm256_cmp_pd(a, b, _CMP_LT_OQ));
}
static inline vec truncated(vec x) { return _mm256_cvtepi32_pd(_mm256_cvttpd_epi32(x)); }
static inline void store_interleaved(double *to, vec x, vec y)
{
    const vec even = _mm256_unpacklo_pd(x, y), odd = _mm256_unpackhi_pd(x, y);
    _mm256_storeu_pd(to, _mm256_permute2f128_pd(even, odd, 0x20));
    _mm256_storeu_pd(to + 4, _mm256_permute2f128_pd(even, odd, 0x31));
}
static inline unsigned which_less(vec a, vec b) { return (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_LT_OQ)); }
static inline vec shifted(vec x, vec next)
{
    return _mm256_permute4x64_pd(_mm256_blend_pd(x, next, 1), 0x39);
}
static inline vec load_floats(const float *x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }
static inline void store_floats(float *to, vec x) { _mm_storeu_ps(to, _mm256_cvtpd_ps(x)); }
static inline void load_points(const double *points, vec *x, vec *y, vec *z)
{
    /* Points 0 and 1 in the lower halves, 2 and 3 in the upper ones; then each half as in SSE. */
    const vec a = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(points)), _mm_loadu_pd(points + 6), 1);
    const vec b = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(points + 2)), _mm_loadu_pd(points + 8), 1);
    const vec c = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(points + 4)), _mm_loadu_pd(points + 10), 1);
    *x = _mm256_shuffle_pd(a, b, 10);
    *y = _mm256_shuffle_pd(a, c, 5);
    *z = _mm256_shuffle_pd(b, c, 10);
}

typedef __m256 f_vec;
static inline f_vec f_load(const float *x) { return _mm256_loadu_ps(x); }
static inline f_vec f_all(float x) { return _mm256_set1_ps(x); }
static inline f_vec f_muladd(f_vec a, f_vec b, f_vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline f_vec f_root(f_vec x) { return _mm256_sqrt_ps(x); }
static inline f_vec f_smaller(f_vec x, f_vec y) { return _mm256_min_ps(x, y); }
static inline f_vec f_larger(f_vec x, f_vec y) { return _mm256_max_ps(x, y); }
static inline f_vec f_absolute(f_vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
static inline f_vec f_with_sign(f_vec x, f_vec y)
{
    const f_vec sign = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, x), _mm256_and_ps(sign, y));
}
static inline f_vec f_if_less(f_vec a, f_vec b, f_vec x, f_vec y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
static inline unsigned f_which_less(f_vec a, f_vec b)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
static inline void f_store_interleaved(float *to, f_vec x, f_vec y)
{
    const f_vec even = _mm256_unpacklo_ps(x, y), odd = _mm256_unpackhi_ps(x, y);
    _mm256_storeu_ps(to, _mm256_permute2f128_ps(even, odd, 0x20));
    _mm256_storeu_ps(to + 8, _mm256_permute2f128_ps(even, odd, 0x31));
}
static inline void f_load_points(const float *points, f_vec *x, f_vec *y, f_vec *z)
{
    /* Points 0 to 3 in the lower halves, 4 to 7 in the upper ones; then each half as in SSE. */
    const f_vec a = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(points)), _mm_loadu_ps(points + 12), 1);
    const f_vec b = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(points + 4)), _mm_loadu_ps(points + 16), 1);
    const f_vec c = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(points + 8)), _mm_loadu_ps(points + 20), 1);
    const f_vec xy_23 = _mm256_shuffle_ps(b, c, _MM_SHUFFLE(2, 1, 3, 2));
    const f_vec yz_01 = _mm256_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 2, 1));
    *x = _mm256_shuffle_ps(a, xy_23, _MM_SHUFFLE(2, 0, 3, 0));
    *y = _mm256_shuffle_ps(yz_01, xy_23, _MM_SHUFFLE(3, 1, 2, 0));
    *z = _mm256_shuffle_ps(yz_01, c, _MM_SHUFFLE(3, 0, 3, 1));
}

#elif defined(HAS_SSE2)

#define LANES 2
typedef __m128d vec;
static inline vec load(const double *x) { return _mm_loadu_pd(x); }
static inline void store(double *to, vec x) { _mm_storeu_pd(to, x); }
static inline vec all(double x) { return _mm_set1_pd(x); }
static inline vec muladd(vec a, vec b, vec c) { return a * b + c; }
static inline vec root(vec x) { return _mm_sqrt_pd(x); }
static inline vec smaller(vec x, vec y) { return _mm_min_pd(x, y); }
static inline vec larger(vec x, vec y) { return _mm_max_pd(x, y); }
static inline vec absolute(vec x) { return _mm_andnot_pd(_mm_set1_pd(-0.0), x); }
static inline vec with_sign(vec x, vec y)
{
    const vec sign = _mm_set1_pd(-0.0);
    return _mm_or_pd(_mm_andnot_pd(sign, x), _mm_and_pd(sign, y));
}
static inline vec if_less(vec a, vec b, vec x, vec y)
{
    const vec mask = _mm_cmplt_pd(a, b);
    return _mm_or_pd(_mm_and_pd(mask, x), _mm_andnot_pd(mask, y));
}
static inline vec truncated(vec x) { return _mm_cvtepi32_pd(_mm_cvttpd_epi32(x)); }
static inline void store_interleaved(double *to, vec x, vec y)
{
    _mm_storeu_pd(to, _mm_unpacklo_pd(x, y));
    _mm_storeu_pd(to + 2, _mm_unpackhi_pd(x, y));
}
static inline unsigned which_less(vec a, vec b) { return (unsigned)_mm_movemask_pd(_mm_cmplt_pd(a, b)); }
static inline vec shifted(vec x, vec next) { return _mm_shuffle_pd(x, next, 1); }
static inline vec load_floats(const float *x)
{
    return _mm_cvtps_pd(_mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)x)));
}
static inline void store_floats(float *to, vec x) { _mm_storel_pi((__m64 *)to, _mm_cvtpd_ps(x)); }
static inline void load_points(const double *points, vec *x, vec *y, vec *z)
{
    /* x0 y0, z0 x1, y1 z1 */
    const vec a = _mm_loadu_pd(points), b = _mm_loadu_pd(points + 2), c = _mm_loadu_pd(points + 4);
    *x = _mm_shuffle_pd(a, b, 2);
    *y = _mm_shuffle_pd(a, c, 1);
    *z = _mm_shuffle_pd(b, c, 2);
}

typedef __m128 f_vec;
static inline f_vec f_load(const float *x) { return _mm_loadu_ps(x); }
static inline f_vec f_all(float x) { return _mm_set1_ps(x); }
static inline f_vec f_muladd(f_vec a, f_vec b, f_vec c) { return a * b + c; }
static inline f_vec f_root(f_vec x) { return _mm_sqrt_ps(x); }
static inline f_vec f_smaller(f_vec x, f_vec y) { return _mm_min_ps(x, y); }
static inline f_vec f_larger(f_vec x, f_vec y) { return _mm_max_ps(x, y); }
static inline f_vec f_absolute(f_vec x) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), x); }
static inline f_vec f_with_sign(f_vec x, f_vec y)
{
    const f_vec sign = _mm_set1_ps(-0.0f);
    return _mm_or_ps(_mm_andnot_ps(sign, x), _mm_and_ps(sign, y));
}
static inline f_vec f_if_less(f_vec a, f_vec b, f_vec x, f_vec y)
{
    const f_vec mask = _mm_cmplt_ps(a, b);
    return _mm_or_ps(_mm_and_ps(mask, x), _mm_andnot_ps(mask, y));
}
static inline unsigned f_which_less(f_vec a, f_vec b) { return (unsigned)_mm_movemask_ps(_mm_cmplt_ps(a, b)); }
static inline void f_store_interleaved(float *to, f_vec x, f_vec y)
{
    _mm_storeu_ps(to, _mm_unpacklo_ps(x, y));
    _mm_storeu_ps(to + 4, _mm_unpackhi_ps(x, y));
}
static inline void f_load_points(const float *points, f_vec *x, f_vec *y, f_vec *z)
{
    /* x0 y0 z0 x1, y1 z1 x2 y2, z2 x3 y3 z3 */
    const f_vec a = _mm_loadu_ps(points), b = _mm_loadu_ps(points + 4), c = _mm_loadu_ps(points + 8);
    const f_vec xy_23 = _mm_shuffle_ps(b, c, _MM_SHUFFLE(2, 1, 3, 2));
    const f_vec yz_01 = _mm_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 2, 1));
    *x = _mm_shuffle_ps(a, xy_23, _MM_SHUFFLE(2, 0, 3, 0));
    *y = _mm_shuffle_ps(yz_01, xy_23, _MM_SHUFFLE(3, 1, 2, 0));
    *z = _mm_shuffle_ps(yz_01, c, _MM_SHUFFLE(3, 0, 3, 1));
}

#else

#define LANES 1
typedef double vec;
static inline vec load(const double *x) { return *x; }
static inline void store(double *to, vec x) { *to = x; }
static inline vec all(double x) { return x; }
static inline vec muladd(vec a, vec b, vec c) { return a * b + c; }
static inline vec root(vec x) { return sqrt(x); }
static inline vec smaller(vec x, vec y) { return x < y ? x : y; }
static inline vec larger(vec x, vec y) { return x > y ? x : y; }
static inline vec absolute(vec x) { return fabs(x); }
static inline vec with_sign(vec x, vec y) { return copysign(x, y); }
static inline vec if_less(vec a, vec b, vec x, vec y) { return a < b ? x : y; }
static inline vec truncated(vec x) { return (double)(int32_t)x; }
static inline void store_interleaved(double *to, vec x, vec y)
{
    to[0] = x;
    to[1] = y;
}
static inline unsigned which_less(vec a, vec b) { return a < b; }
static inline vec shifted(vec x, vec next)
{
    (void)x;
    return next;
}
static inline vec load_floats(const float *x) { return *x; }
static inline void store_floats(float *to, vec x) { *to = (float)x; }
static inline void load_points(const double *points, vec *x, vec *y, vec *z)
{
    *x = points[0];
    *y = points[1];
    *z = points[2];
}

typedef float f_vec;
static inline f_vec f_load(const float *x) { return *x; }
static inline f_vec f_all(float x) { return x; }
static inline f_vec f_muladd(f_vec a, f_vec b, f_vec c) { return a * b + c; }
static inline f_vec f_root(f_vec x) { return sqrtf(x); }
static inline f_vec f_smaller(f_vec x, f_vec y) { return x < y ? x : y; }
static inline f_vec f_larger(f_vec x, f_vec y) { return x > y ? x : y; }
static inline f_vec f_absolute(f_vec x) { return fabsf(x); }
static inline f_vec f_with_sign(f_vec x, f_vec y) { return copysignf(x, y); }
static inline f_vec f_if_less(f_vec a, f_vec b, f_vec x, f_vec y) { return a < b ? x : y; }
static inline unsigned f_which_less(f_vec a, f_vec b) { return a < b; }
static inline void f_store_interleaved(float *to, f_vec x, f_vec y)
{
    to[0] = x;
    to[1] = y;
}
static inline void f_load_points(const float *points, f_vec *x, f_vec *y, f_vec *z)
{
    *x = points[0];
    *y = points[1];
    *z = points[2];
}

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
