/* The parts of the closed form, see sphere.h, in the precision of the names that were included before. */

/* atan of the tangent of (half an angle - pi/8), given the half angle's tangent y / x >= 0, which rounding may put
   above 1. -pi/8 where y is 0, 0 where both are. */
static inline vec half_angle(vec y, vec x)
{
    const vec k = all(TAN_PI_8);
    const vec u = smaller(muladd(-k, x, y) / muladd(k, y, x + all(NEARLY_0)), k);
    const vec z = u * u;
    /* (atan(u) / u - 1) / u^2, fitted at Chebyshev nodes over |u| <= tan(pi / 8). */
#if IS_FLOAT64 /* error of the angle: 1.3e-16 */
    vec r = all(0.022750525406052223896);
    r = muladd(r, z, all(-0.044833345062807465565));
    r = muladd(r, z, all(0.057363321307031952809));
    r = muladd(r, z, all(-0.066496136895504086678));
    r = muladd(r, z, all(0.076910551578496687447));
    r = muladd(r, z, all(-0.090908525571459679276));
    r = muladd(r, z, all(0.11111109636533431119));
    r = muladd(r, z, all(-0.14285714266096603593));
    r = muladd(r, z, all(0.19999999999898408045));
    r = muladd(r, z, all(-0.3333333333333324625));
#else /* 1e-9 */
    vec r = all(-0.0645192816f);
    r = muladd(r, z, all(0.1074373147f));
    r = muladd(r, z, all(-0.142639556f));
    r = muladd(r, z, all(0.1999954048f));
    r = muladd(r, z, all(-0.3333333176f));
#endif
    return muladd(u * z, r, u);
}

/* q, for 0 <= a, b <= 1, given third_square(a, b), and p and sqrt(1 - .^2) of each. */
static inline vec wedge(vec a, vec b, vec w2, vec p_a, vec p_b, vec leg_a, vec leg_b)
{
    const vec ab = a * b;
    const vec w = root(larger(w2, all(0.0)));
    const vec angles = muladd(p_a, half_angle(b, w + leg_a),
                              muladd(p_b, half_angle(a, w + leg_b), -half_angle(ab, muladd(leg_a, leg_b, w))));
    return muladd(all(4.0 / PI), angles, muladd(all(2.0 / PI) * ab, w, all(0.5) * (p_a + p_b - all(1.0))));
}
