/* One thread for all that has a deadline. State: whether somebody asked for it since it last went to sleep. It looks
   some times a second while a look says that there is more to come; what it finds, the looks themselves carry out. */

#include "envoy.h"

enum { CLOCK_MONOTONIC = 1, LOOK = 20 * 1000 * 1000 }; /* nanoseconds between two looks */

static lock guard, asked_for;
static int asked;
static unsigned long thread;

u64 now(void) {
  moment at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (u64)at.seconds * 1000000000ull + (u64)at.nanoseconds;
}

static void *keep_looking(void *nothing) {
  moment often = {0, LOOK}, seldom = {0, 5 * LOOK};
  int lines, others;
  (void)nothing;
  for (;;) {
    pthread_mutex_lock(&guard);
    while (!asked) pthread_cond_wait(&asked_for, &guard);
    asked = 0;
    pthread_mutex_unlock(&guard);
    do {
      u64 at = now();
      lines = look_at_lines(at);
      others = look_at_bodies(at);
      nanosleep(lines ? &often : &seldom, 0);
    } while (lines || others);
  }
  return 0;
}

int begin_clock(void) {
  pthread_mutex_lock(&guard);
  if (!thread && pthread_create(&thread, 0, keep_looking, 0)) thread = 0;
  pthread_mutex_unlock(&guard);
  return thread != 0;
}

void wake_clock(void) {
  pthread_mutex_lock(&guard);
  asked = 1;
  pthread_cond_signal(&asked_for);
  pthread_mutex_unlock(&guard);
}
