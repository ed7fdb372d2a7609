/* storm [SECONDS]: page-table work on all processors at once, with limits: mmap, munmap, mprotect, fork.
 *
 * One process with a thread on each processor, so that each change of a mapping concerns all of them, and one process
 * on each processor that forks. Checked: fresh memory is zero; what was written is read; after `mprotect` to read-only
 * has returned no other processor's write lands any more (its translation is gone); a child sees its parent's memory
 * and changes only its own. At most two processes a processor and 1 MiB of each live at a time.
 */
#include "common.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { AREA_PAGES = 16 };

static uint64_t end_ns;
static volatile uint64_t *target;
static atomic_int stop;
static atomic_ulong mapped, faults, writes, wrong;
static _Thread_local sigjmp_buf escape;

static void caught(int signal)
{
    (void)signal;
    siglongjmp(escape, 1);
}

static void complain(const char *what, uint64_t value, uint64_t expected)
{
    if (atomic_fetch_add(&wrong, 1) < 8)
        printf("storm: %s: %#lx instead of %#lx\n", what, value, expected);
}

/* Maps, fills, protects, compares and unmaps. */
static void map_once(uint64_t round)
{
    size_t pages = 1 + round % AREA_PAGES;
    uint64_t *area = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED)
        die("mmap");
    for (size_t page = 0; page < pages; page++) {
        uint64_t *word = area + page * (PAGE / 8);

        if (*word)
            complain("fresh memory", *word, 0);
        *word = mix(round + page);
    }
    if (mprotect(area, pages * PAGE, PROT_READ))
        die("mprotect");
    for (size_t page = 0; page < pages; page++)
        if (area[page * (PAGE / 8)] != mix(round + page))
            complain("own memory", area[page * (PAGE / 8)], mix(round + page));
    if (munmap(area, pages * PAGE))
        die("munmap");
    atomic_fetch_add(&mapped, 1);
}

/* Writes to the target again and again; a fault means that it is read-only for the moment. */
static void *write_on(void *argument)
{
    pin((int)(intptr_t)argument);
    for (uint64_t round = 0; !atomic_load(&stop); round++) {
        if (sigsetjmp(escape, 1) == 0) {
            for (int at = 0; at < 64; at++)
                __asm__ volatile("lock incq %0" : "+m"(*target) : : "memory");
            atomic_fetch_add(&writes, 64);
        } else {
            atomic_fetch_add(&faults, 1);
            sched_yield();
        }
        if (round % 4 == 0)
            map_once(round);
    }
    return NULL;
}

/* Takes the writers' permission away and gives it back. */
static uint64_t toggle(void)
{
    uint64_t rounds = 0;

    while (now_ns() < end_ns) {
        uint64_t before, after;

        if (mprotect((void *)target, PAGE, PROT_READ))
            die("mprotect");
        before = *target;
        map_once(rounds);
        after = *target;
        if (before != after)
            complain("written though read-only", after, before);
        if (mprotect((void *)target, PAGE, PROT_READ | PROT_WRITE))
            die("mprotect");
        rounds++;
        sched_yield();
    }
    return rounds;
}

static uint64_t threads_storm(const int *cpus, int all)
{
    pthread_t thread[MAX_PROCESSORS];
    uint64_t rounds;

    target = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (target == MAP_FAILED)
        die("mmap");
    if (signal(SIGSEGV, caught) == SIG_ERR)
        die("signal");
    for (int at = 0; at < all; at++)
        start_thread(&thread[at], write_on, (void *)(intptr_t)cpus[at]);
    rounds = toggle();
    atomic_store(&stop, 1);
    for (int at = 0; at < all; at++)
        join(thread[at]);
    return rounds;
}

/* The process of one processor: forks, and judges its children, until the time is over. */
__attribute__((noreturn)) static void forks_storm(int cpu, int report)
{
    static uint64_t memory[AREA_PAGES * PAGE / 8];
    uint64_t children = 0;

    pin(cpu);
    while (now_ns() < end_ns) {
        uint64_t expected = mix(children);
        int status;
        pid_t child;

        memory[0] = expected;
        child = fork();
        if (child < 0)
            die("fork");
        if (child == 0) {
            int seen = memory[0] == expected;

            for (size_t page = 0; page < AREA_PAGES; page++)
                memory[page * (PAGE / 8)] = ~expected;
            _exit(seen && memory[0] == ~expected ? 7 : 1);
        }
        if (waitpid(child, &status, 0) != child)
            die("waitpid");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 7)
            complain("end of a child", (uint64_t)status, 7 << 8);
        if (memory[0] != expected)
            complain("changed by a child", memory[0], expected);
        children++;
    }
    if (write(report, &children, sizeof children) != sizeof children)
        die("write");
    fflush(stdout);
    _exit(atomic_load(&wrong) != 0);
}

int main(int count, char **words)
{
    int cpus[MAX_PROCESSORS], all = processors(cpus), report[2];
    uint64_t children = 0, of_one, toggles;

    end_ns = now_ns() + number(count, words, 1, 5) * 1000000000;
    if (pipe(report))
        die("pipe");
    for (int at = 0; at < all; at++) {
        pid_t child = fork();

        if (child < 0)
            die("fork");
        if (child == 0)
            forks_storm(cpus[at], report[1]);
    }
    toggles = threads_storm(cpus, all);
    for (int at = 0; at < all; at++) {
        int status;

        if (wait(&status) < 0)
            die("wait");
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            complain("end of a forking process", (uint64_t)status, 0);
        else if (read(report[0], &of_one, sizeof of_one) == sizeof of_one)
            children += of_one;
    }
    printf("storm: %d processors, children %lu, areas %lu, protections %lu, writes %lu, faults %lu, wrong %lu\n", all,
           children, atomic_load(&mapped), toggles, atomic_load(&writes), atomic_load(&faults), atomic_load(&wrong));
    return atomic_load(&wrong) != 0 || children == 0 || toggles == 0;
}
