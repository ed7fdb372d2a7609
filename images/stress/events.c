/* events idle|busy SECONDS, events shootdown TIMES: something that happens a known number of times, for those who count outside what it
 * costs.
 *
 * idle: nothing runs. busy: a thread on each processor computes. shootdown: the first processor takes a page's rights away and gives them
 * back while a thread on each other processor uses the same address space. Prints how many timer interrupts and how many
 * interrupts for the sake of address translation there were.
 */
#include "common.h"
#include <sys/mman.h>

static atomic_int stop;

/* The sum over all processors of a row of /proc/interrupts. */
static uint64_t interrupts(const char *row)
{
    char line[8192];
    uint64_t sum = 0;
    FILE *file = fopen("/proc/interrupts", "r");

    if (!file)
        die("/proc/interrupts");
    while (fgets(line, sizeof line, file)) {
        char *at = line + strspn(line, " "), *end;

        if (strncmp(at, row, strlen(row)))
            continue;
        for (at += strlen(row);; at = end) {
            unsigned long long value = strtoull(at, &end, 10);

            if (end == at)
                break;
            sum += value;
        }
    }
    fclose(file);
    return sum;
}

static void *compute(void *given)
{
    volatile uint64_t value = 1;

    pin(*(int *)given);
    while (!atomic_load(&stop))
        value = mix(value);
    return NULL;
}

static int shootdowns(uint64_t times)
{
    volatile char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        die("mmap");
    for (uint64_t time = 0; time < times; time++) {
        *page = (char)time;
        if (mprotect((void *)page, PAGE, PROT_READ) || mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE))
            die("mprotect");
        if (*page != (char)time)
            return 1;
    }
    return 0;
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "idle";
    uint64_t amount = number(count, words, 2, 1), ticks, tlb;
    int cpus[MAX_PROCESSORS], all = processors(cpus), wrong = 0, idle = !strcmp(what, "idle");
    int shoots = !strcmp(what, "shootdown"), threads = 0;
    pthread_t thread[MAX_PROCESSORS];

    if (!idle && !shoots && strcmp(what, "busy")) {
        fprintf(stderr, "events: there is no %s\n", what);
        return 2;
    }
    pin(cpus[0]);
    ticks = interrupts("LOC:");
    tlb = interrupts("TLB:");
    for (int n = shoots ? 1 : 0; !idle && n < all; n++)
        start_thread(&thread[threads++], compute, &cpus[n]);
    if (shoots)
        wrong = shootdowns(amount);
    else
        sleep((unsigned)amount);
    atomic_store(&stop, 1);
    while (threads > 0)
        join(thread[--threads]);
    printf("events: %s %lu: %lu timer interrupts, %lu shoot-down interrupts\n", what, amount,
           interrupts("LOC:") - ticks, interrupts("TLB:") - tlb);
    return wrong;
}
