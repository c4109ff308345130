/* The kernel in whatever the compiler's defaults allow: SSE2 on x86-64, elsewhere plain C. */
#include "kernel.h"
#include "kernel_body.h"

static int is_supported(void) { return 1; }

const struct kernel kernel_baseline = {"baseline", is_supported, atoms_are_fine, cull, crowd, draw};
