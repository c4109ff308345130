/* lanes.h for SSE2, which every x86-64 processor has. */
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
static inline void f_store(float *to, f_vec x) { _mm_storeu_ps(to, x); }
static inline f_vec f_all(float x) { return _mm_set1_ps(x); }
static inline f_vec f_muladd(f_vec a, f_vec b, f_vec c) { return a * b + c; }
static inline f_vec f_root(f_vec x) { return _mm_sqrt_ps(x); }
static inline f_vec f_smaller(f_vec x, f_vec y) { return _mm_min_ps(x, y); }
static inline f_vec f_larger(f_vec x, f_vec y) { return _mm_max_ps(x, y); }
static inline f_vec f_absolute(f_vec x) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), x); }
static inline unsigned f_which_less(f_vec a, f_vec b) { return (unsigned)_mm_movemask_ps(_mm_cmplt_ps(a, b)); }
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
