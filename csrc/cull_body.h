/* The arithmetic of cull.h, for coordinates in the precision of the names that were included before. */

/* Is a point, relative to the centre of the image, in the box around it in which atoms may reach into the image? */
static inline unsigned which_in_box(vec x, vec y, vec z, const real rotation[9], real limit_A)
{
    const vec u = muladd(all(rotation[0]), x, muladd(all(rotation[1]), y, all(rotation[2]) * z));
    const vec v = muladd(all(rotation[3]), x, muladd(all(rotation[4]), y, all(rotation[5]) * z));
    const vec w = muladd(all(rotation[6]), x, muladd(all(rotation[7]), y, all(rotation[8]) * z));
    return which_less(larger(larger(absolute(u), absolute(v)), absolute(w)), all(limit_A));
}

/* First the ball around the image, which is cheaper and leaves out nearly all; then the box. */
static void find_near(const real *coords_A, int n_atoms, const struct culling *culling, struct near_atoms *near)
{
    const real x0 = (real)culling->center_A[0], y0 = (real)culling->center_A[1], z0 = (real)culling->center_A[2];
    const double ball_A2 = culling->ball_A * culling->ball_A, box_A = culling->box_A;
    if (!(ball_A2 > NEARLY_0 && ball_A2 < 1.0 / NEARLY_0)) {
        find_all(n_atoms, near);
        return;
    }
    real rotation[9];
    for (int i = 0; i < 9; i++)
        rotation[i] = (real)culling->frame[4 * (i / 3) + i % 3];
    int i = 0;
    for (; i + REAL_LANES <= n_atoms; i += REAL_LANES) {
        vec x, y, z;
        load_points(coords_A + 3 * i, &x, &y, &z);
        x = x - x0;
        y = y - y0;
        z = z - z0;
        const vec distance_A2 = muladd(z, z, muladd(y, y, x * x));
        near->has_overflow |= which_less(distance_A2, all((real)INFINITY)) != ALL_REAL_LANES;
        unsigned bits = which_less(distance_A2, all((real)ball_A2));
        if (!bits)
            continue;
        for (bits &= which_in_box(x, y, z, rotation, (real)box_A); bits; bits &= bits - 1)
            near->index[near->n++] = i + first_bit(bits);
    }
    for (; i < n_atoms; i++) {
        const real x = coords_A[3 * i] - x0, y = coords_A[3 * i + 1] - y0, z = coords_A[3 * i + 2] - z0;
        const real distance_A2 = x * x + y * y + z * z;
        near->has_overflow |= !(distance_A2 < INFINITY);
        if (distance_A2 < (real)ball_A2 && (which_in_box(all(x), all(y), all(z), rotation, (real)box_A) & 1))
            near->index[near->n++] = i;
    }
}

/* Index of the first atom with a coordinate that is NaN or infinite; n_atoms where there is none. */
static int first_not_finite(const real *coords_A, int n_atoms)
{
    for (int i = 0; i < 3 * n_atoms; i++)
        if (!(coords_A[i] - coords_A[i] == 0))
            return i / 3;
    return n_atoms;
}

/* Append the spheres of near atoms that reach the image; there is room for all of them. Returns VOXELIZER_FINE, or the
   index of the first of them that cannot be drawn. */
static int64_t append_near(const struct voxelizer_view *view, int64_t first, const struct near_atoms *near,
                           const struct culling *culling, const struct image *image, struct spheres *spheres)
{
    const double *m = culling->frame, half_length_A = 0.5 * (double)image->length * image->resolution_A;
    const double *center_A = image->center_A;
    const real *coords_A = (const real *)view->coords_A + 3 * first;
    int64_t n = spheres->n;
    for (int i = 0; i < near->n; i++) {
        const int64_t atom = near->index[i];
        const uint8_t element = view->elements[first + atom];
        const uint32_t mask = culling->channel_masks[element];
        const double radius_A = culling->radii_A[element];
        const double reach_A = half_length_A + radius_A;
        const double occupancy = occupancy_of(view, first + atom);
        const double x = (double)coords_A[3 * atom], y = (double)coords_A[3 * atom + 1];
        const double z = (double)coords_A[3 * atom + 2];
        double *moved_A = spheres->coords_A + 3 * n;
        moved_A[0] = m[0] * x + m[1] * y + m[2] * z + m[3];
        moved_A[1] = m[4] * x + m[5] * y + m[6] * z + m[7];
        moved_A[2] = m[8] * x + m[9] * y + m[10] * z + m[11];
        spheres->radii_A[n] = radius_A;
        spheres->channel_masks[n] = mask;
        spheres->occupancies[n] = occupancy;
        const int is_fine = ((mask != 0) | culling->may_drop) & (radius_A > 0.0) & (occupancy - occupancy == 0.0)
                            & !(image->is_max & (occupancy < 0.0));
        /* Of elements that are not drawn, or have no radius, the largest of the others. */
        const double touch_A = mask != 0 && radius_A > 0.0 ? radius_A : culling->max_radius_A;
        if (!is_fine && touches_image(moved_A, touch_A, image))
            return first + atom;
        n += is_fine & (mask != 0) & (fabs(moved_A[0] - center_A[0]) < reach_A)
             & (fabs(moved_A[1] - center_A[1]) < reach_A) & (fabs(moved_A[2] - center_A[2]) < reach_A);
    }
    spheres->n = n;
    return VOXELIZER_FINE;
}

static int64_t cull_block(const struct voxelizer_view *view, int64_t first, int n_atoms,
                          const struct culling *culling, const struct image *image, struct spheres *spheres)
{
    const real *coords_A = (const real *)view->coords_A + 3 * first;
    struct near_atoms near;
    near.n = near.has_overflow = 0;
    find_near(coords_A, n_atoms, culling, &near);
    if (near.has_overflow && first_not_finite(coords_A, n_atoms) < n_atoms)
        return first + first_not_finite(coords_A, n_atoms);
    return append_near(view, first, &near, culling, image, spheres);
}
