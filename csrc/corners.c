/* q for many pairs of planes: where nearly all the time of both paths goes. */
#include "sphere.h"

void corners_q(int n, const double *restrict a, const double *restrict b, double *restrict q)
{
    for (int i = 0; i < n; i++)
        q[i] = wedge(a[i], b[i]);
}
