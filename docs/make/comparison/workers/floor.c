/* What no voxelizer of spheres this small goes below: zeroing the image, and adding to 8 voxels per atom. */
#include <math.h>
#include <stdint.h>
#include <string.h>

void zero(float *image, int64_t n) { memset(image, 0, (size_t)n * sizeof *image); }

/* Trilinear: the weights of the 8 voxels whose centres surround the atom are products of three numbers. */
void splat(const double *coords_A, const int64_t *channels, const double *occupancies, int64_t n_atoms, int64_t length,
           double resolution_A, int64_t n_channels, float *image)
{
    zero(image, n_channels * length * length * length);
    const double to_voxels = 1.0 / resolution_A, middle = 0.5 * (double)(length - 1);
    for (int64_t atom = 0; atom < n_atoms; atom++) {
        int64_t voxel[3];
        double part[3][2];
        for (int axis = 0; axis < 3; axis++) {
            const double position = coords_A[3 * atom + axis] * to_voxels + middle, below = floor(position);
            voxel[axis] = (int64_t)below;
            part[axis][1] = position - below;
            part[axis][0] = 1.0 - part[axis][1];
        }
        float *channel = image + channels[atom] * length * length * length;
        for (int corner = 0; corner < 8; corner++) {
            const int dx = corner >> 2, dy = corner >> 1 & 1, dz = corner & 1;
            const int64_t x = voxel[0] + dx, y = voxel[1] + dy, z = voxel[2] + dz;
            if (x >= 0 && x < length && y >= 0 && y < length && z >= 0 && z < length)
                channel[(x * length + y) * length + z] +=
                    (float)(occupancies[atom] * part[0][dx] * part[1][dy] * part[2][dz]);
        }
    }
}
