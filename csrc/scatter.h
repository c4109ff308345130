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

#define DEFINE_CELLS(name, real, combine)                                                    \
    static void name(real *cell, const int64_t step[3], const double values[8])              \
    {                                                                                        \
        for (int i = 0; i < 8; i++) {                                                        \
            real *at = cell + (i & 1 ? step[0] : 0) + (i & 2 ? step[1] : 0) + (i & 4 ? step[2] : 0); \
            *at = combine(real, *at, values[i]);                                             \
        }                                                                                    \
    }
DEFINE_CELLS(cells_sum_f32, float, SUM)
DEFINE_CELLS(cells_sum_f64, double, SUM)
DEFINE_CELLS(cells_max_f32, float, MAX)
DEFINE_CELLS(cells_max_f64, double, MAX)

/* Cell i of 8 lies at voxel + (i & 1 ? step[0] : 0) + (i & 2 ? step[1] : 0) + (i & 4 ? step[2] : 0). */
static void scatter_cells(const struct image *image, uint32_t channel_mask, int64_t voxel, const int64_t step[3],
                   const double values[8])
{
    for (int64_t start = voxel; channel_mask; channel_mask >>= 1, start += image->channel_stride) {
        if (!(channel_mask & 1))
            continue;
        if (image->is_float64)
            (image->is_max ? cells_max_f64 : cells_sum_f64)((double *)image->data + start, step, values);
        else
            (image->is_max ? cells_max_f32 : cells_sum_f32)((float *)image->data + start, step, values);
    }
}

#endif
