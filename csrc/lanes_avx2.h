/* lanes.h for AVX2 and FMA. */
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
static inline unsigned which_less(vec a, vec b)
{
    return (unsigned)_mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_LT_OQ));
}
static inline vec shifted(vec x, vec next)
{
    return _mm256_permute4x64_pd(_mm256_blend_pd(x, next, 1), 0x39);
}
static inline vec load_floats(const float *x) { return _mm256_cvtps_pd(_mm_loadu_ps(x)); }
static inline void store_floats(float *to, vec x) { _mm_storeu_ps(to, _mm256_cvtpd_ps(x)); }
static inline vec halves(const double *lower, const double *upper)
{
    return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(lower)), _mm_loadu_pd(upper), 1);
}
static inline void load_points(const double *points, vec *x, vec *y, vec *z)
{
    /* Points 0 and 1 in the lower halves, 2 and 3 in the upper ones; then each half as in SSE. */
    const vec a = halves(points, points + 6);
    const vec b = halves(points + 2, points + 8);
    const vec c = halves(points + 4, points + 10);
    *x = _mm256_shuffle_pd(a, b, 10);
    *y = _mm256_shuffle_pd(a, c, 5);
    *z = _mm256_shuffle_pd(b, c, 10);
}

typedef __m256 f_vec;
static inline f_vec f_load(const float *x) { return _mm256_loadu_ps(x); }
static inline void f_store(float *to, f_vec x) { _mm256_storeu_ps(to, x); }
static inline f_vec f_all(float x) { return _mm256_set1_ps(x); }
static inline f_vec f_muladd(f_vec a, f_vec b, f_vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline f_vec f_root(f_vec x) { return _mm256_sqrt_ps(x); }
static inline f_vec f_smaller(f_vec x, f_vec y) { return _mm256_min_ps(x, y); }
static inline f_vec f_larger(f_vec x, f_vec y) { return _mm256_max_ps(x, y); }
static inline f_vec f_absolute(f_vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
static inline unsigned f_which_less(f_vec a, f_vec b)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
static inline f_vec f_halves(const float *lower, const float *upper)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(lower)), _mm_loadu_ps(upper), 1);
}
static inline void f_load_points(const float *points, f_vec *x, f_vec *y, f_vec *z)
{
    /* Points 0 to 3 in the lower halves, 4 to 7 in the upper ones; then each half as in SSE. */
    const f_vec a = f_halves(points, points + 12);
    const f_vec b = f_halves(points + 4, points + 16);
    const f_vec c = f_halves(points + 8, points + 20);
    const f_vec xy_23 = _mm256_shuffle_ps(b, c, _MM_SHUFFLE(2, 1, 3, 2));
    const f_vec yz_01 = _mm256_shuffle_ps(a, b, _MM_SHUFFLE(1, 0, 2, 1));
    *x = _mm256_shuffle_ps(a, xy_23, _MM_SHUFFLE(2, 0, 3, 0));
    *y = _mm256_shuffle_ps(yz_01, xy_23, _MM_SHUFFLE(3, 1, 2, 0));
    *z = _mm256_shuffle_ps(yz_01, c, _MM_SHUFFLE(3, 0, 3, 1));
}
