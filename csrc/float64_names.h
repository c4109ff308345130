/* From here on vec and its functions are those of float64, as lanes.h defines them. */
#undef IS_FLOAT64
#undef NEARLY_0
#undef REAL_LANES
#undef ALL_REAL_LANES
#define IS_FLOAT64 1
#define NEARLY_0 1e-300
#define REAL_LANES LANES
#define ALL_REAL_LANES ALL_LANES
#undef real
#define real double
#undef vec
#undef load
#undef store
#undef all
#undef muladd
#undef root
#undef smaller
#undef larger
#undef absolute
#undef which_less
#undef half_angle
#undef wedge
#undef load_points
#undef find_near
#undef append_near
#undef first_not_finite
#undef cull_block
#undef which_in_box
#undef occupancy_if_near
#undef count_near
