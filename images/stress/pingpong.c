/* pingpong [SECONDS]: what two processors cost each other: a byte through pipes, a word in memory, a shared counter.
 *
 * Prints counts and times; a lost byte, turn or increment is a failure. With one processor both sides share it.
 */
#include "common.h"

static struct {
    _Alignas(PAGE) _Atomic uint64_t turn;
    _Alignas(PAGE) _Atomic uint64_t counter;
    _Alignas(PAGE) atomic_int stop;
} shared;
static int there[2], back[2], second;
static uint64_t of_second;

static void *echo(void *unused)
{
    char byte;

    (void)unused;
    pin(second);
    while (read(there[0], &byte, 1) == 1)
        if (write(back[1], &byte, 1) != 1)
            die("write");
    return NULL;
}

static void *answer(void *unused)
{
    unsigned spins = 0;

    (void)unused;
    pin(second);
    while (!atomic_load(&shared.stop)) {
        uint64_t turn = atomic_load(&shared.turn);

        if (turn % 2 == 1)
            atomic_store(&shared.turn, turn + 1);
        else
            relax(&spins);
    }
    return NULL;
}

static void *increment(void *unused)
{
    (void)unused;
    pin(second);
    for (of_second = 0; !atomic_load(&shared.stop); of_second++)
        atomic_fetch_add(&shared.counter, 1);
    return NULL;
}

static void report(const char *what, uint64_t trips, uint64_t start)
{
    uint64_t took = now_ns() - start;

    printf("pingpong: %s: %lu round trips in %.2f s, %.2f us each\n", what, trips, (double)took / 1e9,
           trips ? (double)took / 1e3 / (double)trips : 0.0);
}

static int by_pipe(uint64_t span)
{
    pthread_t thread;
    uint64_t start, trips = 0;
    int wrong = 0;

    if (pipe(there) || pipe(back))
        die("pipe");
    start_thread(&thread, echo, NULL);
    for (start = now_ns(); now_ns() - start < span; trips++) {
        char byte = (char)trips, answered;

        if (write(there[1], &byte, 1) != 1 || read(back[0], &answered, 1) != 1)
            die("pipe");
        wrong += byte != answered;
    }
    report("pipe", trips, start);
    close(there[1]);
    join(thread);
    return wrong || trips == 0;
}

static int by_memory(uint64_t span)
{
    pthread_t thread;
    uint64_t start, trips = 0;
    unsigned spins = 0;

    start_thread(&thread, answer, NULL);
    for (start = now_ns(); now_ns() - start < span; trips++) {
        atomic_store(&shared.turn, trips * 2 + 1);
        while (atomic_load(&shared.turn) != trips * 2 + 2)
            relax(&spins);
    }
    report("shared word", trips, start);
    atomic_store(&shared.stop, 1);
    join(thread);
    return trips == 0;
}

static int by_counter(uint64_t span)
{
    pthread_t thread;
    uint64_t start, own, sum;

    atomic_store(&shared.stop, 0);
    start_thread(&thread, increment, NULL);
    start = now_ns();
    for (own = 0; now_ns() - start < span; own++)
        atomic_fetch_add(&shared.counter, 1);
    atomic_store(&shared.stop, 1);
    join(thread);
    sum = atomic_load(&shared.counter);
    printf("pingpong: counter: %lu and %lu locked increments in %.2f s, sum %lu\n", own, of_second,
           (double)(now_ns() - start) / 1e9, sum);
    return sum != own + of_second;
}

int main(int count, char **words)
{
    uint64_t span = number(count, words, 1, 3) * 1000000000 / 3;
    int cpus[MAX_PROCESSORS], all = processors(cpus), wrong;

    second = cpus[all - 1];
    pin(cpus[0]);
    printf("pingpong: processors %d and %d\n", cpus[0], second);
    wrong = by_pipe(span);
    wrong += by_memory(span);
    wrong += by_counter(span);
    return wrong != 0;
}
