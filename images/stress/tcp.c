/* tcp NUMBER [TIMES]: round trips by TCP between two machines on one wire, which have the numbers 1 and 2.
 *
 * Machine 1 answers; machine 2 asks with 8 bytes, for 8 bytes and for a page, and prints medians. A wrong byte is a failure.
 */
#include "common.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { PORT = 7, ASK = 8, MOST = 16384, TRIES = 600 };
static const char *const INTERFACE = "eth0";

static struct sockaddr_in address(uint64_t number)
{
    struct sockaddr_in of = { .sin_family = AF_INET, .sin_port = htons(PORT) };

    of.sin_addr.s_addr = htonl(0x0a090000u + (uint32_t)number);
    return of;
}

/* Gives the interface its address and switches it on. */
static void set_up(uint64_t number)
{
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq asked = { 0 };
    struct sockaddr_in own = address(number);

    strcpy(asked.ifr_name, INTERFACE);
    memcpy(&asked.ifr_addr, &own, sizeof own);
    if (control < 0 || ioctl(control, SIOCSIFADDR, &asked))
        die("address of %s", INTERFACE);
    if (ioctl(control, SIOCGIFFLAGS, &asked))
        die("flags of %s", INTERFACE);
    asked.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(control, SIOCSIFFLAGS, &asked))
        die("flags of %s", INTERFACE);
    close(control);
}

/* Moves all bytes; 0: the other one has closed the connection before the first. */
static int all_of(int peer, char *bytes, size_t length, int out)
{
    for (size_t whole = length; length;) {
        ssize_t did = out ? write(peer, bytes, length) : read(peer, bytes, length);

        if (did == 0 && length == whole)
            return 0;
        if (did <= 0)
            die("connection");
        bytes += did;
        length -= (size_t)did;
    }
    return 1;
}

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static int measure(int peer, uint32_t size, uint64_t times)
{
    static char answer[PAGE];
    static uint64_t took[MOST];
    int wrong = 0;

    for (uint64_t time = 0; time < times; time++) {
        uint32_t ask[ASK / 4] = { size, (uint32_t)time };
        uint64_t start = now_ns();

        if (!all_of(peer, (char *)ask, ASK, 1) || !all_of(peer, answer, size, 0))
            die("the other one hung up");
        took[time] = now_ns() - start;
        wrong += answer[0] != (char)time || answer[size - 1] != (char)time;
    }
    qsort(took, times, sizeof *took, by_value);
    printf("tcp: %u bytes back: median %.1f us, least %.1f us, %lu round trips\n", size,
           (double)took[times / 2] / 1e3, (double)took[0] / 1e3, times);
    return wrong;
}

static int connected(uint64_t number)
{
    struct sockaddr_in other = address(3 - number), own = address(number);
    int one = 1, peer = -1;

    if (number == 1) {
        int listener = socket(AF_INET, SOCK_STREAM, 0);

        if (bind(listener, (struct sockaddr *)&own, sizeof own) || listen(listener, 1))
            die("listen");
        peer = accept(listener, NULL, NULL);
    }
    for (int attempt = 0; number != 1 && peer < 0 && attempt < TRIES; attempt++) {
        peer = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(peer, (struct sockaddr *)&other, sizeof other)) {
            close(peer);
            peer = -1;
            usleep(200000);
        }
    }
    if (peer < 0 || setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
        die("connection");
    return peer;
}

int main(int count, char **words)
{
    static char bytes[PAGE];
    uint64_t machine = number(count, words, 1, 1), times = number(count, words, 2, 1000);
    int peer;

    if (machine < 1 || machine > 2 || times < 1 || times > MOST) {
        fprintf(stderr, "tcp: machines are 1 and 2, and round trips at most %d\n", MOST);
        return 2;
    }
    set_up(machine);
    peer = connected(machine);
    if (machine == 2)
        return measure(peer, ASK, times) + measure(peer, PAGE, times) != 0;
    for (;;) {
        uint32_t ask[ASK / 4];

        if (!all_of(peer, (char *)ask, ASK, 0))
            return 0;
        if (ask[0] < 1 || ask[0] > PAGE)
            return 1;
        memset(bytes, (int)ask[1], ask[0]);
        if (!all_of(peer, bytes, ask[0], 1))
            return 0;
    }
}
