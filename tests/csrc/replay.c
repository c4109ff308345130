/* The fuzz target without a fuzzer: replay LAST N [FILE...] runs the files, then N inputs of pseudo-random bytes, the
   same in every run. Each of those is first written to LAST: after a failure that file is the input. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_INPUT_BYTES 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void stop(const char *what, const char *path)
{
    fprintf(stderr, "replay: cannot %s %s\n", what, path);
    exit(2);
}

static void run_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *file = fopen(path, "rb");
    if (!file)
        stop("open", path);
    const size_t size = fread(data, 1, sizeof data, file);
    fclose(file);
    /* Of exact size, so that a byte read beyond it is seen. */
    uint8_t *exact = malloc(size ? size : 1);
    for (size_t i = 0; i < size; i++)
        exact[i] = data[i];
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static uint8_t random_byte(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint8_t)(*state >> 56);
}

static void write_file(const char *path, const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        stop("write", path);
}

int main(int n_arguments, char **arguments)
{
    if (n_arguments < 3) {
        fprintf(stderr, "usage: replay LAST N [FILE...]\n");
        return 2;
    }
    const char *last = arguments[1];
    const int n = atoi(arguments[2]);
    for (int i = 3; i < n_arguments; i++)
        run_file(arguments[i]);
    uint64_t state = 1;
    for (int i = 0; i < n; i++) {
        uint8_t data[MAX_INPUT_BYTES];
        const size_t size = 16 + (size_t)random_byte(&state) * (MAX_INPUT_BYTES - 16) / 255;
        for (size_t j = 0; j < size; j++)
            data[j] = random_byte(&state);
        write_file(last, data, size);
        run_file(last);
    }
    remove(last);
    printf("fuzz target: %d files, %d random inputs: all fine\n", n_arguments - 3, n);
    return 0;
}
