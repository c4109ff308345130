/* Vectors in the widest registers of the kernel that is being compiled: LANES float64 make a vec, twice as many float32
   an f_vec.

   The arithmetic operators work on both as they are; here is the rest. Every processor computes the same but for
   `muladd`, which rounds once where there is FMA. Where no instruction set is known a vec is one double, and the loops
   over them are for the compiler to vectorise. */
#ifndef LANES_H
#define LANES_H

#include <math.h>
#include <stdint.h>

#if (defined(KERNEL_AVX2) || defined(KERNEL_AVX512) || defined(__SSE2__)) && (defined(__GNUC__) || defined(__clang__))
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

#elif defined(__SSE2__) && (defined(__GNUC__) || defined(__clang__))

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

#endif

#define F_LANES (LANES == 1 ? 1 : 2 * LANES)

/* n, rounded up to whole vectors. */
static inline int64_t whole_vectors(int64_t n) { return (n + LANES - 1) / LANES * LANES; }

/* The number of set bits, of LANES. */
static inline int count_bits(unsigned bits)
{
#if LANES <= 2
    return (int)((bits & 1) + (bits >> 1));
#else
    return __builtin_popcount(bits);
#endif
}

/* The lowest set bit; LANES where none is set. */
static inline int lowest_bit(unsigned bits)
{
#if LANES == 1
    return !bits;
#else
    return __builtin_ctz(bits | 1u << LANES);
#endif
}

#endif
