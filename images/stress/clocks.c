/* clocks [SECONDS]: does time run backwards between processors?
 *
 * Each processor takes the largest reading that another left in shared memory, reads the clock itself, and must not be
 * below it: the reading came after the load. Half the time all processors race for one cell; half the time they take
 * turns in a ring, so that each reading follows one of another processor. CLOCK_MONOTONIC and RDTSC are judged apart.
 */
#include "common.h"

enum clock { MONOTONIC, TSC, CLOCKS };
static const char *const names[CLOCKS] = { "CLOCK_MONOTONIC", "RDTSC" };

static struct {
    _Alignas(PAGE) _Atomic uint64_t last[CLOCKS];
    _Alignas(PAGE) atomic_int turn;
    _Alignas(PAGE) atomic_int stop;
} shared;

struct worker {
    pthread_t thread;
    int place, cpu, all, in_turn;
    uint64_t readings, backwards[CLOCKS], worst[CLOCKS];
};

static uint64_t reading(enum clock clock)
{
    unsigned low, high;

    if (clock == MONOTONIC)
        return now_ns();
    /* Not before the load of the other processor's reading. */
    __asm__ volatile("mfence; lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static void compare(struct worker *worker, enum clock clock)
{
    uint64_t before = atomic_load(&shared.last[clock]), now = reading(clock);

    worker->readings++;
    if (now < before) {
        worker->backwards[clock]++;
        if (before - now > worker->worst[clock])
            worker->worst[clock] = before - now;
    }
    while (now > before && !atomic_compare_exchange_weak(&shared.last[clock], &before, now))
        ;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    unsigned spins = 0;

    pin(worker->cpu);
    while (!atomic_load(&shared.stop)) {
        if (worker->in_turn && atomic_load(&shared.turn) != worker->place) {
            relax(&spins);
            continue;
        }
        for (enum clock clock = 0; clock < CLOCKS; clock++)
            compare(worker, clock);
        if (worker->in_turn)
            atomic_store(&shared.turn, (worker->place + 1) % worker->all);
    }
    return NULL;
}

static uint64_t run(int in_turn, uint64_t milliseconds)
{
    static struct worker workers[MAX_PROCESSORS];
    int cpus[MAX_PROCESSORS], all = processors(cpus);
    uint64_t readings = 0, bad = 0, end;

    atomic_store(&shared.stop, 0);
    atomic_store(&shared.turn, 0);
    for (int at = 0; at < all; at++) {
        workers[at] = (struct worker){ .place = at, .cpu = cpus[at], .all = all, .in_turn = in_turn };
        start_thread(&workers[at].thread, work, &workers[at]);
    }
    end = now_ns() + milliseconds * 1000000;
    while (now_ns() < end)
        usleep(10000);
    atomic_store(&shared.stop, 1);
    for (int at = 0; at < all; at++) {
        join(workers[at].thread);
        readings += workers[at].readings;
    }
    for (enum clock clock = 0; clock < CLOCKS; clock++) {
        uint64_t backwards = 0, worst = 0;

        for (int at = 0; at < all; at++) {
            backwards += workers[at].backwards[clock];
            if (workers[at].worst[clock] > worst)
                worst = workers[at].worst[clock];
        }
        printf("clocks: %s %s: %d processors, readings %lu, backward steps %lu, worst %lu %s\n", names[clock],
               in_turn ? "in turn" : "in a race", all, readings / CLOCKS, backwards, worst,
               clock == MONOTONIC ? "ns" : "ticks");
        bad += backwards;
    }
    if (readings == 0) {
        printf("clocks: nothing was read\n");
        bad++;
    }
    return bad;
}

int main(int count, char **words)
{
    uint64_t seconds = number(count, words, 1, 5), bad;

    bad = run(0, seconds * 500);
    bad += run(1, seconds * 500);
    return bad != 0;
}
