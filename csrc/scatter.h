/* Adding values to the image: two types, two ways to combine, every channel of a mask. */
#ifndef SCATTER_H
#define SCATTER_H

#include "lanes.h"
#include "voxelizer.h"

/* The sum is made in double and rounded once; the maximum compares after rounding. */
#define SUM(real, old, value) (real)((double)(old) + (value))
#define MAX(real, old, value) ((real)(value) > (old) ? (real)(value) : (old))

static inline void add_one(const struct image *image, int64_t cell, double value)
{
    if (image->is_float64) {
        double *at = (double *)image->data + cell;
        *at = image->is_max ? MAX(double, *at, value) : SUM(double, *at, value);
    } else {
        float *at = (float *)image->data + cell;
        *at = image->is_max ? MAX(float, *at, value) : SUM(float, *at, value);
    }
}

static inline vec combined(const struct image *image, vec old, vec values)
{
    const vec sum = old + values;
    return image->is_max ? larger(old, values) : sum;
}

INLINE void add_vector(const struct image *image, int64_t cell, vec values)
{
    if (image->is_float64) {
        double *at = (double *)image->data + cell;
        store(at, combined(image, load(at), values));
    } else {
        float *at = (float *)image->data + cell;
        store_floats(at, combined(image, load_floats(at), values));
    }
}

/* Add the first n values of a vector to a row of every channel of a mask. The others must be 0: added, or compared with
   a maximum that is never below 0, they change nothing in the voxels behind, as long as those are in the image. */
INLINE void scatter_vector(const struct image *image, uint32_t channel_mask, int64_t voxel, int64_t n, vec values)
{
    for (; channel_mask; channel_mask &= channel_mask - 1) {
        const int64_t cell = voxel + first_bit(channel_mask) * image->channel_stride;
        if (cell + LANES <= image->n_cells) {
            add_vector(image, cell, values);
        } else {
            double each[LANES];
            store(each, values);
            for (int i = 0; i < LANES && i < n; i++)
                add_one(image, cell + i, each[i]);
        }
    }
}

#endif
