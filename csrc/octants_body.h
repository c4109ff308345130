/* The arithmetic of octants.h, in the precision of the names that were included before. */

struct octant_numbers {
    /* Given: the plane of each axis, in radii from the centre of the sphere, -1 to 1. */
    real position[3][OCTANT_GROUP];
    /* More than 1 where what falls to the low or the high side of an axis is lost, else 0. */
    real lost_low[3][OCTANT_GROUP], lost_high[3][OCTANT_GROUP];
    real scale[OCTANT_GROUP]; /* occupancy, and 1/8 of the volume in units of the fill */
    /* Computed: x and y low or high (x counts double); low and high z side by side. */
    real values[4][2 * OCTANT_GROUP];
};

/* Exactly 0 where the nearest point is not inside the sphere; rounding must not go below 0. */
static inline vec octant_value(vec share, vec nearest2, vec scale)
{
    return if_less(nearest2, all(1.0), larger(share, all(0.0)) * scale, all(0.0));
}

/* The values of the first n spheres. */
static void octants_compute(struct octant_numbers *numbers, int n)
{
    for (int i = 0; i < n; i += REAL_LANES) {
        const vec a = load(&numbers->position[0][i]), abs_a = absolute(a), a2 = a * a;
        const vec b = load(&numbers->position[1][i]), abs_b = absolute(b), b2 = b * b;
        const vec c = load(&numbers->position[2][i]), abs_c = absolute(c), c2 = c * c;
        const vec pa = cap(abs_a), pb = cap(abs_b), pc = cap(abs_c);
        const vec leg_a = other_leg(abs_a), leg_b = other_leg(abs_b), leg_c = other_leg(abs_c);
        const vec qab = wedge(abs_a, abs_b, pa, pb, leg_a, leg_b);
        const vec qac = wedge(abs_a, abs_c, pa, pc, leg_a, leg_c);
        const vec qbc = wedge(abs_b, abs_c, pb, pc, leg_b, leg_c);
        const vec outside = pa + pb + pc - all(1.0) - qab - qac - qbc;
        /* With the signs of the planes: p is odd in a, q in a and b, s, which is negative, in all three. */
        const vec ab = a * b, abc = ab * c;
        const vec p0 = with_sign(pa, a), p1 = with_sign(pb, b), p2 = with_sign(pc, c);
        const vec q01 = with_sign(qab, ab), q02 = with_sign(qac, a * c), q12 = with_sign(qbc, b * c);
        const vec s = if_less(a2 + b2 + c2, all(1.0), all(-6.0 / PI) * abc, with_sign(outside, -abc));
        /* Below a plane its p counts +, above it -; q and s take the product of the signs. Sums and differences over
           x, then y, then z; in the names 0 is low. */
        const vec e0 = all(1.0) + p0, e1 = all(1.0) - p0, y0 = p1 + q01, y1 = p1 - q01;
        const vec z0 = p2 + q02, z1 = p2 - q02, w0 = q12 - s, w1 = q12 + s;
        const vec v00 = e0 + y0, v10 = e1 + y1, v01 = e0 - y0, v11 = e1 - y1;
        const vec u00 = z0 + w0, u10 = z1 + w1, u01 = z0 - w0, u11 = z1 - w1;
        /* Squared distance of the nearest point of an octant from the centre, axis by axis. */
        const vec zero = all(0.0), scale = load(&numbers->scale[i]);
        const vec a_side = if_less(a, zero, a2, zero), b_side = if_less(b, zero, b2, zero);
        const vec c_side = if_less(c, zero, c2, zero);
        const vec a_low = a_side + load(&numbers->lost_low[0][i]), a_high = a2 - a_side + load(&numbers->lost_high[0][i]);
        const vec b_low = b_side + load(&numbers->lost_low[1][i]), b_high = b2 - b_side + load(&numbers->lost_high[1][i]);
        const vec c_low = c_side + load(&numbers->lost_low[2][i]), c_high = c2 - c_side + load(&numbers->lost_high[2][i]);
        store_interleaved(&numbers->values[0][2 * i], octant_value(v00 + u00, a_low + b_low + c_low, scale),
                          octant_value(v00 - u00, a_low + b_low + c_high, scale));
        store_interleaved(&numbers->values[1][2 * i], octant_value(v01 + u01, a_low + b_high + c_low, scale),
                          octant_value(v01 - u01, a_low + b_high + c_high, scale));
        store_interleaved(&numbers->values[2][2 * i], octant_value(v10 + u10, a_high + b_low + c_low, scale),
                          octant_value(v10 - u10, a_high + b_low + c_high, scale));
        store_interleaved(&numbers->values[3][2 * i], octant_value(v11 + u11, a_high + b_high + c_low, scale),
                          octant_value(v11 - u11, a_high + b_high + c_high, scale));
    }
}

/* Two by two cells from `cell` on: values[2 x + y][z]. */
#define DEFINE_PAIRS(name, image_real, combine)                                                                \
    static inline void name(image_real *cell, int64_t length, const real *const values[4])                     \
    {                                                                                                          \
        image_real *const rows[4] = {cell, cell + length, cell + length * length, cell + (length + 1) * length}; \
        for (int i = 0; i < 4; i++)                                                                            \
            for (int z = 0; z < 2; z++)                                                                        \
                rows[i][z] = combine(image_real, rows[i][z], values[i][z]);                                    \
    }
DEFINE_PAIRS(pairs_sum_f32, float, SUM)
DEFINE_PAIRS(pairs_sum_f64, double, SUM)
DEFINE_PAIRS(pairs_max_f32, float, MAX)
DEFINE_PAIRS(pairs_max_f64, double, MAX)
#undef DEFINE_PAIRS

/* Add the values of a sphere to the 2 x 2 x 2 voxels from `voxel` on. */
static inline void octants_scatter(const struct octant_numbers *numbers, int slot, const struct image *image,
                                   uint32_t channel_mask, int64_t voxel)
{
    const real *values[4];
    for (int i = 0; i < 4; i++)
        values[i] = &numbers->values[i][2 * slot];
    for (; channel_mask; channel_mask &= channel_mask - 1) {
        const int64_t start = voxel + first_bit(channel_mask) * image->channel_stride;
        /* Called by name: through a pointer they are not inlined. */
        if (image->is_float64 && image->is_max)
            pairs_max_f64((double *)image->data + start, image->length, values);
        else if (image->is_float64)
            pairs_sum_f64((double *)image->data + start, image->length, values);
        else if (image->is_max)
            pairs_max_f32((float *)image->data + start, image->length, values);
        else
            pairs_sum_f32((float *)image->data + start, image->length, values);
    }
}
