/* Preloaded into a test server: shifts the time of day by what stands in a shared file, in us, or
   lets it stand still at what stands behind that, if it is not 0. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *offset, *still;

__attribute__((constructor)) static void open_offset(void) {
  const char *path = getenv("FENCELOCK_TEST_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *page = file < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ, MAP_SHARED, file, 0);
  if (page == MAP_FAILED)
    abort();
  offset = page;
  still = offset + 1;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  long failed = syscall(SYS_clock_gettime, clock, time);
  if (failed || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
    return (int)failed;
  long long stopped = *still;
  if (stopped) {
    time->tv_sec = stopped / 1000000;
    time->tv_nsec = (long)(stopped % 1000000) * 1000;
    return 0;
  }
  long long ns = time->tv_nsec + (*offset % 1000000) * 1000;
  time->tv_sec += *offset / 1000000;
  if (ns < 0 || ns >= 1000000000) {
    time->tv_sec += ns < 0 ? -1 : 1;
    ns += ns < 0 ? 1000000000 : -1000000000;
  }
  time->tv_nsec = (long)ns;
  return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
  struct timespec now;
  (void)zone;
  if (clock_gettime(CLOCK_REALTIME, &now))
    return -1;
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *where) {
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now))
    return -1;
  if (where)
    *where = now.tv_sec;
  return now.tv_sec;
}
