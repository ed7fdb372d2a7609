/* fill MIB|PERCENT% [PASSES]: fills memory with a pattern, then each processor in turn reads all of it and compares.
 *
 * PERCENT is of what the kernel calls available. Before each pass another processor writes the pattern of that pass,
 * so that every page changes its writer.
 */
#include "common.h"
#include <sys/mman.h>

static uint64_t available_mib(void)
{
    char line[128];
    unsigned long kib = 0;
    FILE *file = fopen("/proc/meminfo", "r");

    if (!file)
        die("/proc/meminfo");
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lu kB", &kib) == 1)
            break;
    fclose(file);
    return kib / 1024;
}

static uint64_t wanted_mib(char *word)
{
    char *end;
    unsigned long long value = strtoull(word, &end, 10);

    if (end != word && strcmp(end, "%") == 0 && value <= 95)
        return available_mib() * value / 100;
    if (end == word || *end != '\0' || value == 0) {
        fprintf(stderr, "fill: not a number of MiB or a percentage up to 95: %s\n", word);
        exit(2);
    }
    return value;
}

static uint64_t scan(const uint64_t *memory, size_t length, uint64_t pass, int cpu)
{
    uint64_t wrong = 0;

    for (size_t at = 0; at < length; at++) {
        if (memory[at] == mix(at + (pass << 56)))
            continue;
        if (wrong++ < 4)
            printf("fill: processor %d reads %016lx at offset %#zx instead of %016lx\n", cpu, memory[at], at * 8,
                   mix(at + (pass << 56)));
    }
    return wrong;
}

int main(int count, char **words)
{
    char standard[] = "64";
    uint64_t mib = wanted_mib(count > 1 ? words[1] : standard), passes = number(count, words, 2, 1), wrong = 0;
    size_t length = mib * 1024 * 1024 / sizeof(uint64_t);
    int cpus[MAX_PROCESSORS], all = processors(cpus);
    uint64_t *memory =
        mmap(NULL, length * sizeof *memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        die("mmap of %lu MiB", mib);
    for (uint64_t pass = 0; pass < passes; pass++) {
        uint64_t start = now_ns();

        pin(cpus[pass % (uint64_t)all]);
        for (size_t at = 0; at < length; at++)
            memory[at] = mix(at + (pass << 56));
        printf("fill: processor %d filled %lu MiB in %.2f s\n", cpus[pass % (uint64_t)all], mib,
               (double)(now_ns() - start) / 1e9);
        for (int at = 0; at < all; at++) {
            uint64_t found;

            pin(cpus[at]);
            start = now_ns();
            found = scan(memory, length, pass, cpus[at]);
            wrong += found;
            printf("fill: processor %d read %lu MiB in %.2f s, wrong words %lu\n", cpus[at], mib,
                   (double)(now_ns() - start) / 1e9, found);
        }
    }
    return wrong != 0;
}
