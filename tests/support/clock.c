/* A wall clock that a test sets: preloaded into a program, it adds to the time of day the
 * seconds that stand in the file named by TEST_CLOCK, as an eight-byte integer.  The clock
 * that deadlines use runs on as it does when an administrator, or NTP, sets the other one.
 * Only programs of Python get it, and openssl: others, such as MariaDB, wait until a time of day, and
 * would not wake.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *step;

__attribute__((constructor)) static void open_clock(void) {
    const char *program = program_invocation_short_name;
    if (strncmp(program, "python", 6) && strcmp(program, "openssl")) return;
    int file = open(getenv("TEST_CLOCK"), O_RDONLY | O_CLOEXEC);
    step = mmap(NULL, sizeof *step, PROT_READ, MAP_SHARED, file, 0);
    if (file < 0 || step == MAP_FAILED) abort();
    close(file); /* a program that is started without standard streams would get it for one */
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (clock == CLOCK_REALTIME && step) now->tv_sec += *step;
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int status = clock_gettime(CLOCK_REALTIME, &precise);
    *now = (struct timeval){precise.tv_sec, precise.tv_nsec / 1000};
    return status;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
