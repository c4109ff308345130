/* Expectations: which case runs on which kernel, and one line where what it got is not what it expected. */
#ifndef EXPECT_H
#define EXPECT_H

#include <stdint.h>

/* Name the case that follows, printf style, and count it for the kernel in use. */
void begin_case(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The kernel that the cases run on from now on; NULL: none was chosen. */
void begin_kernel(const char *name);
int64_t cases_of_this_kernel(void);

/* `|got - expected| <= tolerance`; NaN is near nothing. what: printf style. */
void expect_near(double expected, double got, double tolerance, const char *what, ...)
    __attribute__((format(printf, 4, 5)));
void expect_equal(int64_t expected, int64_t got, const char *what);
void expect_true(int holds, const char *what);

/* What follows the line; each program defines it: the cases exit with 1, the fuzz target aborts, as fuzzers want it. */
_Noreturn void give_up(void);

#endif
