/* From here on vec and its functions are those of float32; float64_names.h takes it back. For the headers *_body.h,
   which are compiled in both precisions. */
#undef IS_FLOAT64
#undef NEARLY_0
#undef REAL_LANES
#undef ALL_REAL_LANES
#define IS_FLOAT64 0
#define NEARLY_0 1e-30f /* may be added to a denominator */
#define REAL_LANES F_LANES
#define ALL_REAL_LANES F_ALL_LANES
#undef real
#define real float
#define vec f_vec
#define load f_load
#define store f_store
#define all f_all
#define muladd f_muladd
#define root f_root
#define smaller f_smaller
#define larger f_larger
#define absolute f_absolute
#define which_less f_which_less
#define half_angle f_half_angle
#define wedge f_wedge
#define load_points f_load_points
#define find_near f_find_near
#define append_near f_append_near
#define first_not_finite f_first_not_finite
#define cull_block f_cull_block
#define which_in_box f_which_in_box
#define occupancy_if_near f_occupancy_if_near
#define count_near f_count_near
