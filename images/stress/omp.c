/* openmp [SIZE [ROUNDS]]: multiplies matrices of doubles on all processors with OpenMP, and sums integers.
 *
 * The elements are small whole numbers, so that every sum is exact and the result is known: the sum of all elements of
 * A*B is the sum over k of (column sum k of A) * (row sum k of B). Each thread sits on a processor of its own.
 */
#include "common.h"
#include <omp.h>

static double element(uint64_t seed, size_t at)
{
    return (double)(mix(seed + at) % 8);
}

static int sums(int threads)
{
    const uint64_t last = 4000000;
    uint64_t sum = 0;

#pragma omp parallel for reduction(+ : sum) num_threads(threads)
    for (uint64_t at = 1; at <= last; at++)
        sum += at;
    if (sum == last * (last + 1) / 2)
        return 0;
    printf("openmp: sum of 1 to %lu is %lu\n", last, sum);
    return 1;
}

static int multiply(size_t size, uint64_t seed, int threads)
{
    double *a = malloc(size * size * sizeof *a), *b = malloc(size * size * sizeof *b);
    double *c = calloc(size * size, sizeof *c), expected = 0, sum = 0;

    if (!a || !b || !c)
        die("malloc");
#pragma omp parallel for num_threads(threads)
    for (size_t at = 0; at < size * size; at++) {
        a[at] = element(seed, at);
        b[at] = element(~seed, at);
    }
#pragma omp parallel for schedule(dynamic, 4) num_threads(threads)
    for (size_t row = 0; row < size; row++)
        for (size_t k = 0; k < size; k++)
            for (size_t column = 0; column < size; column++)
                c[row * size + column] += a[row * size + k] * b[k * size + column];
    for (size_t k = 0; k < size; k++) {
        double of_column = 0, of_row = 0;

        for (size_t at = 0; at < size; at++) {
            of_column += element(seed, at * size + k);
            of_row += element(~seed, k * size + at);
        }
        expected += of_column * of_row;
    }
#pragma omp parallel for reduction(+ : sum) num_threads(threads)
    for (size_t at = 0; at < size * size; at++)
        sum += c[at];
    free(a);
    free(b);
    free(c);
    if (sum == expected)
        return 0;
    printf("openmp: product of seed %lu sums to %.0f instead of %.0f\n", seed, sum, expected);
    return 1;
}

int main(int count, char **words)
{
    size_t size = number(count, words, 1, 192);
    uint64_t rounds = number(count, words, 2, 4), start = now_ns();
    int cpus[MAX_PROCESSORS], threads = processors(cpus), ran = 0, wrong = 0;

#pragma omp parallel num_threads(threads) reduction(+ : ran)
    {
        pin(cpus[omp_get_thread_num()]);
        ran++;
    }
    if (ran != threads) {
        printf("openmp: %d threads on %d processors\n", ran, threads);
        return 1;
    }
    for (uint64_t round = 0; round < rounds; round++)
        wrong += multiply(size, round, threads) + sums(threads);
    printf("openmp: %d threads, %lu products of size %zu, wrong %d, %.2f s\n", threads, rounds, size, wrong,
           (double)(now_ns() - start) / 1e9);
    return wrong != 0;
}
