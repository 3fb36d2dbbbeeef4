/* Shift the time of day of a program while it runs; for LD_PRELOAD, Linux.
 *
 * The file CLOCK_STATE holds one long: the seconds by which the clock is ahead. What counts
 * durations (the monotonic clock) is left alone, as when an administrator or NTP sets the clock.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long *ahead_s;

#define REAL(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *state = getenv("CLOCK_STATE");
    int fd = state ? open(state, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *found = mmap(0, sizeof *ahead_s, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (found != MAP_FAILED) ahead_s = found;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static __typeof__(clock_gettime) *real;
    if (!real) real = REAL(clock_gettime);
    int found = real(clock, at);
    if (!found && ahead_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += *ahead_s;
    return found;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    int found = REAL(gettimeofday)(at, zone);
    if (!found && at && ahead_s) at->tv_sec += *ahead_s;
    return found;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
