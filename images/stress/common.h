/* What the stress programs share: the processors that this process may use, pinning, time, and how to end.
 *
 * Every program prints what it counted, and ends with 0 only if every check held. None of them trusts the machine: a
 * wrong value is printed with the place and both values.
 */
#ifndef WEFT_STRESS_COMMON_H
#define WEFT_STRESS_COMMON_H

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PROCESSORS = 256, PAGE = 4096, LINE = 64 };

/* Ends the program because the system refused something; a check that fails does not come here. */
__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
    va_list arguments;
    int error = errno;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, ": %s\n", strerror(error));
    exit(2);
}

/* The numbers of the processors that this process may use; returns how many. */
static inline int processors(int numbers[MAX_PROCESSORS])
{
    cpu_set_t set;
    int count = 0;

    if (sched_getaffinity(0, sizeof set, &set))
        die("sched_getaffinity");
    for (int cpu = 0; cpu < CPU_SETSIZE && count < MAX_PROCESSORS; cpu++)
        if (CPU_ISSET(cpu, &set))
            numbers[count++] = cpu;
    return count;
}

/* Moves the calling thread to one processor; on return it runs there. */
static inline void pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        die("sched_setaffinity to processor %d", cpu);
    if (sched_getcpu() != cpu) {
        fprintf(stderr, "on processor %d instead of %d\n", sched_getcpu(), cpu);
        exit(1);
    }
}

static inline uint64_t now_ns(void)
{
    struct timespec time;

    if (clock_gettime(CLOCK_MONOTONIC, &time))
        die("clock_gettime");
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* A whole number from the command line, or the default where there is none. */
static inline uint64_t number(int count, char **words, int at, uint64_t otherwise)
{
    char *end;
    unsigned long long value;

    if (at >= count)
        return otherwise;
    value = strtoull(words[at], &end, 10);
    if (*words[at] == '\0' || *end != '\0') {
        fprintf(stderr, "%s: not a number: %s\n", words[0], words[at]);
        exit(2);
    }
    return value;
}

static inline void start_thread(pthread_t *thread, void *(*body)(void *), void *argument)
{
    int error = pthread_create(thread, NULL, body, argument);

    if (error) {
        errno = error;
        die("pthread_create");
    }
}

static inline void join(pthread_t thread)
{
    int error = pthread_join(thread, NULL);

    if (error) {
        errno = error;
        die("pthread_join");
    }
}

/* Waits a little for another processor; gives the processor up now and then, should the other need this one. */
static inline void relax(unsigned *spins)
{
    if (++*spins % 1024 == 0)
        sched_yield();
    else
        __builtin_ia32_pause();
}

/* All of `count` threads meet; the last one lets the others go. */
struct barrier {
    _Alignas(PAGE) atomic_uint arrived;
    _Alignas(LINE) atomic_uint round;
    unsigned count;
};

static inline void meet(struct barrier *barrier)
{
    unsigned round = atomic_load(&barrier->round), spins = 0;

    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == barrier->count) {
        atomic_store(&barrier->arrived, 0);
        atomic_fetch_add(&barrier->round, 1);
        return;
    }
    while (atomic_load(&barrier->round) == round)
        relax(&spins);
}

/* SplitMix64's output function: a pattern in which no two words are alike. */
static inline uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

#endif
