// The clock of the machine as a process sees it, ahead by the number of seconds in the file that CLOCK_AHEAD names. The monotonic
// clock is as it is.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead;

__attribute__((constructor)) static void begin(void) {
	const char *name = getenv("CLOCK_AHEAD");
	int file = name ? open(name, O_RDONLY) : -1;
	if (file < 0) return;
	void *at = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
	if (at != MAP_FAILED) ahead = at;
	close(file);
}

static int64_t shift(void) { return ahead ? *ahead : 0; }

int gettimeofday(struct timeval *restrict when, void *restrict zone) {
	int failed = syscall(SYS_gettimeofday, when, zone);
	if (!failed && when) when->tv_sec += shift();
	return failed;
}

int clock_gettime(clockid_t which, struct timespec *when) {
	int failed = syscall(SYS_clock_gettime, which, when);
	if (!failed && which == CLOCK_REALTIME) when->tv_sec += shift();
	return failed;
}

time_t time(time_t *to) {
	struct timespec when;
	clock_gettime(CLOCK_REALTIME, &when);
	if (to) *to = when.tv_sec;
	return when.tv_sec;
}
