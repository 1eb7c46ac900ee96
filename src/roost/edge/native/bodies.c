/* Requests' bodies that stand still, or do not end: one of which nothing comes for a time, or that is not whole after a
   long one, and that has no answer yet, is ended. So is one for which there is no room.

   Envoy keeps a body until the answer begins, up to a megabyte, since the app may ask for a replay: what it keeps of all
   bodies together is counted here, about. When it is too much, whoever sends more of a body that is not small is refused,
   so that clients who send much to an app that does not answer can't have all requests refused, nor Envoy killed.

   No filter of its own: the hook before machines (replay_hook.c) is on the way of every request anyway, and has one
   watched only if more comes than its headers. It looks at no byte of a body. State: a list of the requests whose body
   comes. One leaves it before it is freed, whatever happens. What is in a `body` is guarded by the lock, but for
   `scheduler`, which belongs to the thread that serves the request. */

#include "envoy.h"

enum { KEPT = 1 << 20, PASSING = 256 << 10, SMALL = 64 << 10 }; /* bytes: at most; of one that is longer; of no weight */

static lock guard;
static body *first;
static word all_held;

static void leave(body *one) { /* with the lock held */
  if (one->before) one->before->after = one->after; else first = one->after;
  if (one->after) one->after->before = one->before;
  one->before = one->after = 0;
}

/* Say when it is overdue, unless something comes. */
static u64 due(const body *one, u64 at) {
  return one->patience && at + one->patience < one->end ? at + one->patience : one->end;
}

/* Put down how much of it Envoy has. */
static void hold(body *one, word size) { /* with the lock held */
  all_held += size - one->held;
  one->held = size;
}

static void end_body(body *one, int how) { /* with the lock held */
  leave(one);
  one->state = how;
  envoy_dynamic_module_callback_http_filter_scheduler_commit(one->scheduler, 0);
}

int look_at_bodies(u64 at) {
  body *one, *next;
  int more;
  pthread_mutex_lock(&guard);
  for (one = first; one; one = next) {
    next = one->after;
    if (one->deadline > at) continue;
    end_body(one, one->deadline == one->end ? BODY_TOO_SLOW : BODY_STALLED);
  }
  more = first != 0;
  pthread_mutex_unlock(&guard);
  return more;
}

void watch_body(body *one, void *envoy, patience how, word room) {
  u64 at = now();
  int alone;
  if (one->scheduler || !how.whole) return;
  one->scheduler = envoy_dynamic_module_callback_http_filter_scheduler_new(envoy);
  pthread_mutex_lock(&guard);
  alone = !first;
  one->room = room;
  one->patience = how.silent;
  one->end = at + how.whole;
  one->deadline = due(one, at);
  one->after = first;
  if (first) first->before = one;
  first = one;
  one->state = BODY_COMES;
  pthread_mutex_unlock(&guard);
  if (alone) wake_clock();
}

/* It has an answer: also if it was just about to be ended. */
void let_body(body *one) {
  if (!one->scheduler) return;
  pthread_mutex_lock(&guard);
  if (one->state == BODY_COMES) leave(one);
  one->state = BODY_UNWATCHED;
  hold(one, 0);
  pthread_mutex_unlock(&guard);
}

void body_goes_on(body *one, word size, _Bool ends) {
  if (!one->scheduler) return;
  pthread_mutex_lock(&guard);
  if (one->state == BODY_COMES) {
    one->came += size;
    hold(one, one->came <= KEPT ? one->came : PASSING);
    if (ends) leave(one), one->state = BODY_UNWATCHED; /* the app has it all */
    else if (one->room && all_held > one->room && one->came > SMALL) end_body(one, BODY_ONE_TOO_MANY);
    else one->deadline = due(one, now());
  }
  pthread_mutex_unlock(&guard);
}

/* What the clock has decided, on the thread that serves the request. */
void end_overdue_body(body *one, void *envoy) {
  text why;
  int state;
  pthread_mutex_lock(&guard);
  state = one->state;
  pthread_mutex_unlock(&guard);
  if (state == BODY_ONE_TOO_MANY) {
    envoy_dynamic_module_callback_http_send_response(envoy, 503, 0, 0, TEXT(""), TEXT("roost_bodies_too_many"));
    return;
  }
  if (state != BODY_STALLED && state != BODY_TOO_SLOW) return;
  why = state == BODY_STALLED ? TEXT("roost_body_stalled") : TEXT("roost_body_too_slow");
  envoy_dynamic_module_callback_http_send_response(envoy, 408, 0, 0, TEXT(""), why);
}

void forget_body(body *one) {
  if (!one->scheduler) return;
  let_body(one);
  envoy_dynamic_module_callback_http_filter_scheduler_delete(one->scheduler);
}

patience patience_from(text *value) {
  patience found;
  found.silent = (u64)number(value) * 1000000ull;
  found.whole = (u64)number(value) * 1000000ull;
  while (value->length && *value->data == ' ') value->data++, value->length--;
  return found;
}
