/* lanes.h in plain C: a vector of one. */
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
static inline void f_store(float *to, f_vec x) { *to = x; }
static inline f_vec f_all(float x) { return x; }
static inline f_vec f_muladd(f_vec a, f_vec b, f_vec c) { return a * b + c; }
static inline f_vec f_root(f_vec x) { return sqrtf(x); }
static inline f_vec f_smaller(f_vec x, f_vec y) { return x < y ? x : y; }
static inline f_vec f_larger(f_vec x, f_vec y) { return x > y ? x : y; }
static inline f_vec f_absolute(f_vec x) { return fabsf(x); }
static inline unsigned f_which_less(f_vec a, f_vec b) { return a < b; }
static inline void f_load_points(const float *points, f_vec *x, f_vec *y, f_vec *z)
{
    *x = points[0];
    *y = points[1];
    *z = points[2];
}
