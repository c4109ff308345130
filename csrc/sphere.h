/* The closed form of the share of a unit sphere, centred at 0, beyond one, two or three axis planes.

   For planes at a, b, c within [-1, 1], w = sqrt(max(0, 1 - a^2 - b^2)):
     p(a)       = a (3 - a^2) / 2
     q(a, b)    = 2/pi [a b w - atan(a b / w) + p(a) atan(b / w) + p(b) atan(a / w)]
                = p(a) + p(b) - 1                              where a, b >= 0 and a^2 + b^2 >= 1
     s(a, b, c) = -6/pi a b c                                  where a^2 + b^2 + c^2 < 1, else for a, b, c >= 0
                = p(a) + p(b) + p(c) - 1 - q(a, b) - q(a, c) - q(b, c)
   each odd in each argument, and
     share of {x > a, y > b, z > c} = 1/8 [1 - p(a) - p(b) - p(c) + q(a, b) + q(a, c) + q(b, c) + s(a, b, c)].
   Derived from the divergence theorem and the Gauss-Bonnet theorem on the patch of the sphere. In a difference over the
   corners of a box all but s cancels: share of a box = -1/8 (triple difference of s). */
#ifndef SPHERE_H
#define SPHERE_H

#include <math.h>

#include "voxelizer.h"

static inline double clamp_unit(double x) { return x < -1.0 ? -1.0 : x > 1.0 ? 1.0 : x; }

/* p, for 0 <= a <= 1 or odd. */
static inline double cap(double a) { return 0.5 * a * (3.0 - a * a); }

/* atan(y / x) for x, y >= 0, to 1 ulp or so; 0 where both are 0. One division, no branch: compilers vectorise it. */
static inline double quarter_atan(double y, double x)
{
    const int steep = y > x;
    const double low = steep ? x : y;
    const double high = (steep ? y : x) + 1e-300;
    /* Above tan(pi / 8): atan(t) = pi/4 + atan((t - 1) / (t + 1)). */
    const int wide = low > 0.41421356237309504880 * high;
    const double t = (wide ? low - high : low) / (wide ? low + high : high);
    const double z = t * t;
    /* (atan(t) / t - 1) / t^2, fitted at Chebyshev nodes over |t| <= tan(pi / 8): error of atan 1.3e-16 of t. */
    double r = 0.022750525406052223896;
    r = r * z - 0.044833345062807465565;
    r = r * z + 0.057363321307031952809;
    r = r * z - 0.066496136895504086678;
    r = r * z + 0.076910551578496687447;
    r = r * z - 0.090908525571459679276;
    r = r * z + 0.11111109636533431119;
    r = r * z - 0.14285714266096603593;
    r = r * z + 0.19999999999898408045;
    r = r * z - 0.3333333333333324625;
    const double angle = (wide ? PI / 4 : 0.0) + (t + t * z * r);
    return steep ? PI / 2 - angle : angle;
}

/* q, for 0 <= a, b <= 1. */
static inline double wedge(double a, double b)
{
    const double w2 = 1.0 - a * a - b * b;
    const double w = sqrt(w2 > 0.0 ? w2 : 0.0);
    const double ab = a * b;
    return (2.0 / PI) * (ab * w - quarter_atan(ab, w) + cap(a) * quarter_atan(b, w) + cap(b) * quarter_atan(a, w));
}

/* q for n pairs: where nearly all the time goes. */
static void corners_q(int n, const double *restrict a, const double *restrict b, double *restrict q)
{
    for (int i = 0; i < n; i++)
        q[i] = wedge(a[i], b[i]);
}

#endif
