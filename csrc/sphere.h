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
   corners of a box all but s cancels: share of a box = -1/8 (triple difference of s).

   The angles of q need neither branch nor selection. With A = sqrt(1 - a^2) and B likewise, the hypotenuses of
   (b, w), (a, w) and (a b, w) are A, B and A B, so that the tangents of the half angles are
     b / (w + A),   a / (w + B),   a b / (w + A B),            all within [0, 1];
   taking pi/8 off each half angle leaves u = (y - k x) / (x + k y), k = tan(pi/8), within [-k, k], and
     q(a, b) = 2/pi a b w + (p(a) + p(b) - 1) / 2 + 4/pi [p(a) atan u_b + p(b) atan u_a - atan u_ab].
   Where a^2 + b^2 >= 1, w is 0, the tangents are clamped, and the same expression is p(a) + p(b) - 1. */
#ifndef SPHERE_H
#define SPHERE_H

#include "lanes.h"

#define PI 3.14159265358979323846
#define TAN_PI_8 0.41421356237309504880

static inline vec clamped(vec x) { return larger(all(-1.0), smaller(x, all(1.0))); }

/* p. */
static inline vec cap(vec a) { return all(0.5) * a * muladd(-a, a, all(3.0)); }

/* sqrt(1 - a^2), for 0 <= a <= 1. */
static inline vec other_leg(vec a) { return root(larger(muladd(-a, a, all(1.0)), all(0.0))); }

/* 1 - a^2 - b^2, for 0 <= a, b <= 1. */
static inline vec third_square(vec a, vec b) { return muladd(-b, b, muladd(-a, a, all(1.0))); }

#include "float64_names.h"
#include "sphere_body.h"

#include "float32_names.h"
#include "sphere_body.h"

#include "float64_names.h"

#endif
