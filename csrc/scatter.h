/* Adding values to the image: two types, two ways to combine, every channel of a mask. */
#ifndef SCATTER_H
#define SCATTER_H

#include "voxelizer.h"

/* The sum is made in double and rounded once; the maximum compares after rounding. */
#define SUM(real, old, value) (real)((double)(old) + (value))
#define MAX(real, old, value) ((real)(value) > (old) ? (real)(value) : (old))

#define DEFINE_ROW(name, real, combine)                                                      \
    static void name(real *restrict row, int64_t n, const double *restrict values)           \
    {                                                                                        \
        for (int64_t i = 0; i < n; i++)                                                      \
            row[i] = combine(real, row[i], values[i]);                                       \
    }
DEFINE_ROW(row_sum_f32, float, SUM)
DEFINE_ROW(row_sum_f64, double, SUM)
DEFINE_ROW(row_max_f32, float, MAX)
DEFINE_ROW(row_max_f64, double, MAX)

static void add_row(const struct image *image, int64_t start, int64_t n, const double *values)
{
    if (image->is_float64)
        (image->is_max ? row_max_f64 : row_sum_f64)((double *)image->data + start, n, values);
    else
        (image->is_max ? row_max_f32 : row_sum_f32)((float *)image->data + start, n, values);
}

static void scatter_row(const struct image *image, uint32_t channel_mask, int64_t voxel, int64_t n, const double *values)
{
    for (int64_t start = voxel; channel_mask; channel_mask >>= 1, start += image->channel_stride)
        if (channel_mask & 1)
            add_row(image, start, n, values);
}

#define DEFINE_PAIRS(name, real, combine)                                                    \
    static inline void name(real *cell, int64_t length, const double *const values[4])       \
    {                                                                                        \
        real *const rows[4] = {cell, cell + length, cell + length * length, cell + (length + 1) * length}; \
        for (int i = 0; i < 4; i++)                                                          \
            for (int z = 0; z < 2; z++)                                                      \
                rows[i][z] = combine(real, rows[i][z], values[i][z]);                        \
    }
DEFINE_PAIRS(pairs_sum_f32, float, SUM)
DEFINE_PAIRS(pairs_sum_f64, double, SUM)
DEFINE_PAIRS(pairs_max_f32, float, MAX)
DEFINE_PAIRS(pairs_max_f64, double, MAX)

/* The 2 x 2 x 2 cells from `voxel` on: values[2 x + y][z]. */
static inline void scatter_pairs(const struct image *image, uint32_t channel_mask, int64_t voxel,
                                 const double *const values[4])
{
    for (int64_t start = voxel; channel_mask; channel_mask >>= 1, start += image->channel_stride) {
        if (!(channel_mask & 1))
            continue;
        if (image->is_float64)
            (image->is_max ? pairs_max_f64 : pairs_sum_f64)((double *)image->data + start, image->length, values);
        else
            (image->is_max ? pairs_max_f32 : pairs_sum_f32)((float *)image->data + start, image->length, values);
    }
}

#endif
