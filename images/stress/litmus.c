/* litmus [SECONDS]: does this machine keep the memory order of x86 (total store order)?
 *
 * Source: Owens, Sarkar, Sewell, "A better x86 memory model: x86-TSO"; AMD64 manual vol. 2, section 7.2. Each shape
 * is two threads (IRIW: four), each pinned, on two words x and y that start at 0:
 *
 *   MP    x=1; y=1              | r0=y; r1=x            forbidden: r0=1 r1=0
 *   SB    x=1; r0=y             | y=1; r1=x             r0=0 r1=0: allowed plain, forbidden with fences or locks
 *   LB    r0=x; y=1             | r1=y; x=1             forbidden: r0=1 r1=1
 *   2+2W  x=1; y=2              | y=1; x=2              forbidden: x=1 y=1 at the end
 *   IRIW  x=1 | y=1 | r0=x; r1=y | r2=y; r3=x           forbidden: r0=1 r1=0 r2=1 r3=0
 *
 * in three ways (plain; MFENCE after each access; stores as XCHG) and two places (two lines of one page; two pages).
 * Threads meet, go through a batch of instances, meet, and the first one judges; batches are short and long, so that
 * threads meet closely and run freely. Last, locked additions to a word that straddles two pages must all arrive.
 */
#include "common.h"
#include <sys/mman.h>

enum shape { MP, SB, LB, WW, IRIW, SHAPES };
enum how { PLAIN, FENCED, LOCKED, HOWS };
enum { INSTANCES = 32, THREADS = 4 };

static const char *const shapes[SHAPES] = { "MP", "SB", "LB", "2+2W", "IRIW" };
static const char *const hows[HOWS] = { "plain", "fenced", "locked" };
static const unsigned batches[] = { 1, 2, 8, INSTANCES };

struct cell {
    enum shape shape;
    enum how how;
    int two_pages;
    uint64_t end_ns, span_ns, instances, forbidden, relaxed;
};

static unsigned char *pages;
static uint64_t results[INSTANCES][4];
static struct barrier barrier;
static struct cell cell;
static atomic_int stop;
static int cpus[MAX_PROCESSORS], all;

static inline void store(volatile uint64_t *at, uint64_t value, enum how how)
{
    if (how == LOCKED)
        __asm__ volatile("xchgq %0, %1" : "+r"(value), "+m"(*at) : : "memory");
    else
        __asm__ volatile("movq %1, %0" : "=m"(*at) : "r"(value) : "memory");
    if (how == FENCED)
        __asm__ volatile("mfence" : : : "memory");
}

static inline uint64_t load(volatile uint64_t *at, enum how how)
{
    uint64_t value;

    __asm__ volatile("movq %1, %0" : "=r"(value) : "m"(*at) : "memory");
    if (how == FENCED)
        __asm__ volatile("mfence" : : : "memory");
    return value;
}

static volatile uint64_t *word_x(unsigned instance)
{
    return (volatile uint64_t *)(pages + instance * 2 * LINE);
}

static volatile uint64_t *word_y(unsigned instance)
{
    return (volatile uint64_t *)(pages + instance * 2 * LINE + (cell.two_pages ? PAGE : LINE));
}

/* What one thread does to one instance. */
static void step(int thread, unsigned instance)
{
    volatile uint64_t *x = word_x(instance), *y = word_y(instance);
    volatile uint64_t *mine = thread % 2 ? y : x, *other = thread % 2 ? x : y;
    uint64_t *result = results[instance];
    enum how how = cell.how;

    switch (cell.shape) {
    case MP:
        if (thread == 0) {
            store(x, 1, how);
            store(y, 1, how);
        } else {
            result[0] = load(y, how);
            result[1] = load(x, how);
        }
        break;
    case SB:
        store(mine, 1, how);
        result[thread] = load(other, how);
        break;
    case LB:
        result[thread] = load(mine, how);
        store(other, 1, how);
        break;
    case WW:
        store(mine, 1, how);
        store(other, 2, how);
        break;
    case IRIW:
        if (thread < 2) {
            store(mine, 1, how);
        } else {
            result[2 * (thread - 2)] = load(mine, how);
            result[2 * (thread - 2) + 1] = load(other, how);
        }
        break;
    case SHAPES:
        abort();
    }
}

static void judge(unsigned instance)
{
    const uint64_t *r = results[instance];
    int seen = 0;

    switch (cell.shape) {
    case MP:
        seen = r[0] == 1 && r[1] == 0;
        break;
    case SB:
        seen = r[0] == 0 && r[1] == 0;
        break;
    case LB:
        seen = r[0] == 1 && r[1] == 1;
        break;
    case WW:
        seen = *word_x(instance) == 1 && *word_y(instance) == 1;
        break;
    case IRIW:
        seen = r[0] == 1 && r[1] == 0 && r[2] == 1 && r[3] == 0;
        break;
    case SHAPES:
        abort();
    }
    cell.instances++;
    if (seen && cell.shape == SB && cell.how == PLAIN)
        cell.relaxed++;
    else if (seen)
        cell.forbidden++;
    *word_x(instance) = 0;
    *word_y(instance) = 0;
}

static void *work(void *argument)
{
    int thread = (int)(intptr_t)argument;

    pin(cpus[thread % all]);
    for (unsigned round = 0;; round++) {
        unsigned batch = batches[round % (sizeof batches / sizeof *batches)];

        meet(&barrier);
        if (atomic_load(&stop))
            return NULL;
        for (unsigned instance = 0; instance < batch; instance++)
            step(thread, instance);
        meet(&barrier);
        if (thread == 0) {
            for (unsigned instance = 0; instance < batch; instance++)
                judge(instance);
            if (now_ns() >= cell.end_ns)
                atomic_store(&stop, 1);
        }
    }
}

static uint64_t run_cell(enum shape shape, enum how how, int two_pages, uint64_t span_ns)
{
    int threads = shape == IRIW ? THREADS : 2;
    pthread_t thread[THREADS];

    memset(pages, 0, 2 * PAGE);
    cell = (struct cell){ .shape = shape, .how = how, .two_pages = two_pages, .end_ns = now_ns() + span_ns };
    atomic_store(&stop, 0);
    barrier.count = (unsigned)threads;
    for (int at = 0; at < threads; at++)
        start_thread(&thread[at], work, (void *)(intptr_t)at);
    for (int at = 0; at < threads; at++)
        join(thread[at]);
    printf("litmus: %-4s %-6s %s: instances %lu, forbidden %lu", shapes[shape], hows[how],
           two_pages ? "two pages" : "one page ", cell.instances, cell.forbidden);
    if (shape == SB && how == PLAIN)
        printf(", relaxed (allowed) %lu", cell.relaxed);
    printf("\n");
    return cell.forbidden + (cell.instances == 0);
}

static volatile uint64_t *straddling(void)
{
    return (volatile uint64_t *)(pages + PAGE - 4);
}

static void *add(void *argument)
{
    int thread = (int)(intptr_t)argument;
    uint64_t *added = &results[thread][0], end_ns;

    pin(cpus[thread % all]);
    /* The time begins when both are there: to start a thread may take longer than that. */
    meet(&barrier);
    end_ns = now_ns() + cell.span_ns;
    /* Carries cross the boundary often: the low half wraps every 16 additions. */
    for (*added = 0; now_ns() < end_ns; ++*added)
        __asm__ volatile("lock addq %1, %0" : "+m"(*straddling()) : "r"((uint64_t)1 << 28) : "memory");
    return NULL;
}

static uint64_t run_straddling(uint64_t span_ns)
{
    pthread_t thread[2];
    uint64_t sum, added;

    memset(pages, 0, 2 * PAGE);
    cell.span_ns = span_ns;
    barrier.count = 2;
    for (int at = 0; at < 2; at++)
        start_thread(&thread[at], add, (void *)(intptr_t)at);
    for (int at = 0; at < 2; at++)
        join(thread[at]);
    added = results[0][0] + results[1][0];
    sum = *straddling();
    printf("litmus: locked additions across a page boundary: %lu and %lu, lost %ld\n", results[0][0], results[1][0],
           (long)(added - (sum >> 28)));
    return sum != added << 28 || added == 0;
}

int main(int count, char **words)
{
    uint64_t span_ns = number(count, words, 1, 5) * 1000000000 / (SHAPES * HOWS * 2 + 1), bad = 0;

    all = processors(cpus);
    pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        die("mmap");
    printf("litmus: %d processors\n", all);
    for (enum shape shape = 0; shape < SHAPES; shape++)
        for (enum how how = 0; how < HOWS; how++)
            for (int two_pages = 0; two_pages < 2; two_pages++)
                bad += run_cell(shape, how, two_pages, span_ns);
    bad += run_straddling(span_ns);
    return bad != 0;
}
