/* Requests' bodies that stand still, or do not end: one of which nothing comes for a time, or that is not whole after a
   long one, and that has no answer yet, is ended.

   No filter of its own: the hook before machines (replay_hook.c) is on the way of every request anyway, and has one
   watched only if more comes than its headers. It looks at no byte of a body. State: a list of the requests whose body
   comes. One leaves it before it is freed, whatever happens. What is in a `body` is guarded by the lock, but for
   `scheduler`, which belongs to the thread that serves the request. */

#include "envoy.h"

static lock guard;
static body *first;

static void leave(body *one) { /* with the lock held */
  if (one->before) one->before->after = one->after; else first = one->after;
  if (one->after) one->after->before = one->before;
  one->before = one->after = 0;
}

/* Say when it is overdue, unless something comes. */
static u64 due(const body *one, u64 at) {
  return one->patience && at + one->patience < one->end ? at + one->patience : one->end;
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

void watch_body(body *one, void *envoy, patience how) {
  u64 at = now();
  int alone;
  if (one->scheduler || !how.whole) return;
  one->scheduler = envoy_dynamic_module_callback_http_filter_scheduler_new(envoy);
  pthread_mutex_lock(&guard);
  alone = !first;
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
  pthread_mutex_unlock(&guard);
}

void body_goes_on(body *one, _Bool ends) {
  if (!one->scheduler) return;
  pthread_mutex_lock(&guard);
  if (one->state == BODY_COMES) {
    if (ends) leave(one), one->state = BODY_UNWATCHED; /* the app has it all */
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
