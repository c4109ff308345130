/* lanes.h for AVX-512. */
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
static inline vec with_sign(vec x, vec y)
{
    /* Bit by bit: of y where the mask is set, else of x. */
    return _mm512_castsi512_pd(_mm512_ternarylogic_epi64(_mm512_castpd_si512(y), _mm512_castpd_si512(x),
                                                         _mm512_set1_epi64(INT64_MIN), 0xE4));
}
static inline vec if_less(vec a, vec b, vec x, vec y)
{
    return _mm512_mask_blend_pd(_mm512_cmp_pd_mask(a, b, _CMP_LT_OQ), y, x);
}
static inline vec truncated(vec x) { return _mm512_cvtepi32_pd(_mm512_cvttpd_epi32(x)); }
static inline void store_interleaved(double *to, vec x, vec y)
{
    _mm512_storeu_pd(to, _mm512_permutex2var_pd(x, _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0), y));
    _mm512_storeu_pd(to + 8, _mm512_permutex2var_pd(x, _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4), y));
}
static inline unsigned which_less(vec a, vec b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
static inline vec shifted(vec x, vec next)
{
    return _mm512_castsi512_pd(_mm512_alignr_epi64(_mm512_castpd_si512(next), _mm512_castpd_si512(x), 1));
}
static inline vec load_floats(const float *x) { return _mm512_cvtps_pd(_mm256_loadu_ps(x)); }
static inline void store_floats(float *to, vec x) { _mm256_storeu_ps(to, _mm512_cvtpd_ps(x)); }
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
static inline void f_store(float *to, f_vec x) { _mm512_storeu_ps(to, x); }
static inline f_vec f_all(float x) { return _mm512_set1_ps(x); }
static inline f_vec f_muladd(f_vec a, f_vec b, f_vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline f_vec f_root(f_vec x) { return _mm512_sqrt_ps(x); }
static inline f_vec f_smaller(f_vec x, f_vec y) { return _mm512_min_ps(x, y); }
static inline f_vec f_larger(f_vec x, f_vec y) { return _mm512_max_ps(x, y); }
static inline f_vec f_absolute(f_vec x) { return _mm512_abs_ps(x); }
static inline unsigned f_which_less(f_vec a, f_vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
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
