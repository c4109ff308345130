/* Every case on every kernel that this processor runs. One line where a case fails, and exit code 1; else one line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "expect.h"

_Noreturn void give_up(void) { exit(1); }

int main(int n_arguments, char **arguments)
{
    const char *build = n_arguments > 1 ? arguments[1] : "this build";
    char summary[300];
    begin_kernel(NULL);
    run_kernel_cases();
    int length = snprintf(summary, sizeof summary, "%s: %d cases before a choice", build, (int)cases_of_this_kernel());
    for (int kernel = 0; use_next_kernel(&kernel); kernel++) {
        run_reference_cases(kernel);
        run_adversarial_cases(kernel);
        run_refusal_cases(kernel);
        run_overlap_cases();
        run_view_cases();
        run_memory_cases();
        length += snprintf(summary + length, sizeof summary - (size_t)length, ", %d on %s",
                           (int)cases_of_this_kernel(), voxelizer_kernel_name(kernel));
    }
    printf("%s: all fine\n", summary);
    return 0;
}
