/* Shifts the time of day of a process by the nanoseconds in the file that ISD_TEST_CLOCK names, also while it runs.
 *
 * Namespaces shift the clocks that only count; no namespace has a time of day of its own. What waits until a time of
 * day is given the machine's, or it would wait for days. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define SINCE_1970 1000000000 /* in seconds: no clock that counts from the start of a machine shows so much */

static const volatile long long *shift;

__attribute__((constructor)) static void open_shift(void) {
  const char *name = getenv("ISD_TEST_CLOCK");
  int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *page = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (page != MAP_FAILED) shift = page;
}

static struct timespec moved(struct timespec time, int sign) {
  long long all = time.tv_sec * SECOND + time.tv_nsec + (shift ? sign * *shift : 0);
  time.tv_sec = all / SECOND;
  time.tv_nsec = all % SECOND;
  return time;
}

static struct timespec meant(const struct timespec *until) {
  return until->tv_sec > SINCE_1970 ? moved(*until, -1) : *until;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*next)(clockid_t, struct timespec *);
  if (!next) next = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = next(clock, time);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) *time = moved(*time, 1);
  return failed;
}

int gettimeofday(struct timeval *time, void *zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *place) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (place) *place = now.tv_sec;
  return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
  static int (*next)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!next) next = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  struct timespec time = meant(until);
  return next(condition, mutex, &time);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
  static int (*next)(sem_t *, const struct timespec *);
  if (!next) next = dlsym(RTLD_NEXT, "sem_timedwait");
  struct timespec time = meant(until);
  return next(semaphore, &time);
}
