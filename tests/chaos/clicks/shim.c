/* Preloaded into a process: its wall clock and its fsync obey a file that the tests write.
 *
 * CHAOS_SHIM names a file of two doubles: seconds to add to CLOCK_REALTIME, seconds to sleep before each fsync.
 * The monotonic clock is left alone, as a real step of the wall clock leaves it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const double *orders;

__attribute__((constructor)) static void open_orders(void) {
    const char *path = getenv("CHAOS_SHIM");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(NULL, 2 * sizeof(double), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED) orders = map;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (failed || !orders || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return failed;
    double whole, part = modf(orders[0], &whole);
    long nanoseconds = now->tv_nsec + (long)(part * 1e9);
    now->tv_sec += (time_t)whole;
    if (nanoseconds < 0) { now->tv_sec--; nanoseconds += 1000000000L; }
    if (nanoseconds >= 1000000000L) { now->tv_sec++; nanoseconds -= 1000000000L; }
    now->tv_nsec = nanoseconds;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *stored) {
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return (time_t)-1;
    if (stored) *stored = exact.tv_sec;
    return exact.tv_sec;
}

static void wait_for_the_disk(void) {
    if (orders && orders[1] > 0) usleep((useconds_t)(orders[1] * 1e6));
}

int fsync(int file) {
    wait_for_the_disk();
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    wait_for_the_disk();
    return (int)syscall(SYS_fdatasync, file);
}
