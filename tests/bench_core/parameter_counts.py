"""How many parameters the nine architectures have, whatever they are built of: counted once with stock escnn."""

PARAMETERS = {
    "arch_0": 1_208_011,
    "arch_1_width_14_kernel_3": 7_234_376,
    "arch_1_width_7_kernel_3": 3_954_866,
    "arch_1_width_14_kernel_5": 5_484_722,
    "arch_1_width_7_kernel_5": 3_470_342,
    "arch_2_width_14_repeats_4": 3_205_725,
    "arch_2_width_7_repeats_1": 1_670_875,
    "arch_3_width_14_repeats_4": 2_707_717,
    "arch_3_width_7_repeats_1": 1_429_225,
}
