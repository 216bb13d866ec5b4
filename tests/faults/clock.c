// Loaded before everything else: the time of day is another at each look, half a century ahead or before 1970. The
// monotonic clocks are as they are.
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static unsigned looks;

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, id, now);
    if (!failed && id == CLOCK_REALTIME)
        now->tv_sec += __atomic_fetch_add(&looks, 1, __ATOMIC_RELAXED) % 2 ? 1600000000 : -2000000000;
    return failed;
}
