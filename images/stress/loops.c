/* loops [SECONDS]: what processors do that need nothing of each other: a computation, then system calls.
 *
 * One thread is pinned to each processor. Prints how often all together went round in a second; a wrong result of the
 * computation is a failure.
 */
#include "common.h"
#include <sys/syscall.h>

/* Steps of a round: Collatz from 27, which ends at 1. */
#define STEPS 111

struct counter {
    _Alignas(PAGE) uint64_t rounds;
    int processor, calls, wrong;
};

static uint64_t span;
static pthread_barrier_t together;

static void *turn(void *given)
{
    struct counter *own = given;
    uint64_t start, rounds = 0;

    pin(own->processor);
    pthread_barrier_wait(&together);
    for (start = now_ns(); now_ns() - start < span;) {
        for (int again = 0; again < 64; again++, rounds++) {
            if (own->calls) {
                own->wrong |= syscall(SYS_getppid) < 0;
            } else {
                volatile uint64_t from = 27;
                uint64_t n = from;
                int steps = 0;

                for (; n != 1; steps++)
                    n = n % 2 ? 3 * n + 1 : n / 2;
                own->wrong |= steps != STEPS;
            }
        }
    }
    own->rounds = rounds;
    return NULL;
}

static int measure(const char *what, int calls, const int *numbers, int count, struct counter *counters,
                   pthread_t *threads)
{
    uint64_t sum = 0;
    int wrong = 0;

    for (int n = 0; n < count; n++) {
        counters[n] = (struct counter){ .processor = numbers[n], .calls = calls };
        start_thread(&threads[n], turn, &counters[n]);
    }
    for (int n = 0; n < count; n++) {
        join(threads[n]);
        sum += counters[n].rounds;
        wrong |= counters[n].wrong;
    }
    printf("loops: %s: %.0f a second on %d processors\n", what, (double)sum * 1e9 / (double)span, count);
    return wrong || !sum;
}

int main(int argc, char **argv)
{
    int numbers[MAX_PROCESSORS];
    int count = processors(numbers), failed = 0;
    struct counter *counters = aligned_alloc(PAGE, (size_t)count * sizeof(*counters));
    pthread_t *threads = calloc((size_t)count, sizeof(*threads));

    span = (argc > 1 ? strtoull(argv[1], NULL, 10) : 5) * 1000000000ull;
    if (!counters || !threads || pthread_barrier_init(&together, NULL, (unsigned)count))
        die("memory");
    failed |= measure("compute", 0, numbers, count, counters, threads);
    failed |= measure("system calls", 1, numbers, count, counters, threads);
    return failed;
}
