/* The arithmetic of crowd.h, for coordinates in the precision of the names that were included before. */

/* Occupancy of an atom if it is within the radius. In float64 and without FMA: every kernel must say the same. */
static inline double occupancy_if_near(const struct voxelizer_view *structure, int64_t atom, const double place_A[3],
                                       double radius_A)
{
    const real *coords_A = (const real *)structure->coords_A + 3 * atom;
    const double x = (double)coords_A[0] - place_A[0], y = (double)coords_A[1] - place_A[1];
    const double z = (double)coords_A[2] - place_A[2];
    return x * x + y * y + z * z <= radius_A * radius_A ? occupancy_of(structure, atom) : 0.0;
}

static double count_near(const struct voxelizer_view *structure, const double place_A[3], double radius_A)
{
    const real *coords_A = structure->coords_A;
    const double largest_A = fmax(fabs(place_A[0]), fmax(fabs(place_A[1]), fabs(place_A[2])));
    /* A first look in the precision of the coordinates lets through whatever may be near. */
    const double limit_A = radius_A + CULL_SLACK * (radius_A + largest_A);
    const double limit_A2 = limit_A * limit_A;
    const int is_ordinary = limit_A2 > NEARLY_0 && limit_A2 < 1.0 / NEARLY_0;
    const real x0 = (real)place_A[0], y0 = (real)place_A[1], z0 = (real)place_A[2];
    double count = 0.0;
    int64_t i = 0;
    for (; is_ordinary && i + REAL_LANES <= structure->n_atoms; i += REAL_LANES) {
        vec x, y, z;
        load_points(coords_A + 3 * i, &x, &y, &z);
        x = x - x0;
        y = y - y0;
        z = z - z0;
        for (unsigned bits = which_less(muladd(z, z, muladd(y, y, x * x)), all((real)limit_A2)); bits; bits &= bits - 1)
            count += occupancy_if_near(structure, i + first_bit(bits), place_A, radius_A);
    }
    for (; i < structure->n_atoms; i++)
        count += occupancy_if_near(structure, i, place_A, radius_A);
    return count;
}
