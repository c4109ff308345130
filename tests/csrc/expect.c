#include "expect.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static char case_name[200] = "start";
static const char *kernel_name = "none";
static int64_t n_cases = 0;

void begin_case(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(case_name, sizeof case_name, format, arguments);
    va_end(arguments);
    n_cases++;
}

void begin_kernel(const char *name)
{
    kernel_name = name ? name : "none";
    n_cases = 0;
}

int64_t cases_of_this_kernel(void) { return n_cases; }

static void print_start(void)
{
    fflush(stdout);
    fprintf(stderr, "case %s, kernel %s: ", case_name, kernel_name);
}

void expect_near(double expected, double got, double tolerance, const char *what, ...)
{
    if (fabs(got - expected) <= tolerance || got == expected)
        return;
    print_start();
    va_list arguments;
    va_start(arguments, what);
    vfprintf(stderr, what, arguments);
    va_end(arguments);
    fprintf(stderr, ": expected %.17g, got %.17g, which is not within %.3g\n", expected, got, tolerance);
    give_up();
}

void expect_equal(int64_t expected, int64_t got, const char *what)
{
    if (got == expected)
        return;
    print_start();
    fprintf(stderr, "%s: expected %lld, got %lld\n", what, (long long)expected, (long long)got);
    give_up();
}

void expect_true(int holds, const char *what)
{
    if (holds)
        return;
    print_start();
    fprintf(stderr, "%s: expected true, got false\n", what);
    give_up();
}
