/* How crowded a few places are: the occupancies of the atoms around each, summed. */
#ifndef CROWD_H
#define CROWD_H

#include "lanes.h"
#include "voxelizer.h"

#include "float64_names.h"
#include "crowd_body.h"

#include "float32_names.h"
#include "crowd_body.h"

#include "float64_names.h"

static void crowd(const struct voxelizer_view *structure, int n_places, const double *places_A, double radius_A,
                  double *counts)
{
    for (int i = 0; i < n_places; i++)
        counts[i] = (structure->coords_are_float64 ? count_near : f_count_near)(structure, places_A + 3 * i, radius_A);
}

#endif
