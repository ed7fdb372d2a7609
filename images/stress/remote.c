/* remote [PAGES]: what one access to memory costs that another processor wrote last.
 *
 * The last processor writes each page, then the first one reads, writes or increments a word of each, in an order in which no
 * page follows its neighbour. Prints medians; a word that is not what was written is a failure.
 */
#include "common.h"
#include <sys/mman.h>

enum { MOST_PAGES = 16384, WORDS = PAGE / sizeof(uint64_t), WORD = 72 };
enum kind { READ, WRITE, ADD };

static _Atomic uint64_t *area;
static uint64_t pages, round_number;
static int second;

static _Atomic uint64_t *word(uint64_t page)
{
    return area + page * WORDS + WORD;
}

static void *prepare(void *unused)
{
    (void)unused;
    pin(second);
    for (uint64_t page = 0; page < pages; page++)
        atomic_store(word(page), mix(page + round_number * MOST_PAGES));
    return NULL;
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static int measure(const char *what, enum kind kind, uint64_t *times)
{
    pthread_t thread;
    int wrong = 0;

    round_number++;
    start_thread(&thread, prepare, NULL);
    join(thread);
    for (uint64_t step = 0; step < pages; step++) {
        /* An odd factor of a power of two: each page once. */
        uint64_t page = step * 2654435761u % pages;
        uint64_t expected = mix(page + round_number * MOST_PAGES), start = now_ns();

        if (kind == READ)
            wrong += atomic_load(word(page)) != expected;
        else if (kind == WRITE)
            atomic_store(word(page), expected + 1);
        else
            wrong += atomic_fetch_add(word(page), 1) != expected;
        times[step] = now_ns() - start;
    }
    for (uint64_t page = 0; kind != READ && page < pages; page++)
        wrong += atomic_load(word(page)) != mix(page + round_number * MOST_PAGES) + 1;
    qsort(times, pages, sizeof *times, by_value);
    printf("remote: %s: median %.1f us, least %.1f us, nine of ten within %.1f us, %lu pages\n", what,
           (double)times[pages / 2] / 1e3, (double)times[0] / 1e3, (double)times[pages * 9 / 10] / 1e3, pages);
    return wrong;
}

int main(int count, char **words)
{
    int cpus[MAX_PROCESSORS], all = processors(cpus), wrong;
    uint64_t *times, wanted = number(count, words, 1, 1024);

    for (pages = 1; pages * 2 <= wanted && pages < MOST_PAGES; pages *= 2)
        ;
    second = cpus[all - 1];
    pin(cpus[0]);
    times = calloc(pages, sizeof *times);
    area = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!times || area == MAP_FAILED)
        die("memory");
    /* Touched once, so that later times are those of the pages and not of what describes them. */
    memset(times, 1, pages * sizeof *times);
    printf("remote: processor %d, after %d\n", cpus[0], second);
    wrong = measure("read", READ, times);
    wrong += measure("write", WRITE, times);
    wrong += measure("increment", ADD, times);
    return wrong != 0;
}
