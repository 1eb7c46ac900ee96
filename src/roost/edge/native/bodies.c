/* Requests' bodies that stand still: one of which nothing comes for a time, and that has no answer yet, is ended.

   An HTTP filter, with a route's configuration "PATIENCE_MS"; it looks at no byte of a body. State: a list of the
   requests whose body comes. A filter leaves it before it is freed, whatever happens. */

#include "envoy.h"

typedef struct { const kind *kind; u64 patience; } rule; /* nanoseconds */
typedef struct body body;
struct body {
  filter base;
  void *scheduler;
  body *before, *after; /* in the list */
  u64 deadline, patience;
  enum { outside, watched, expired } state;
};

static const loaded nothing_more = {&bodies};
static lock guard;
static body *first;

static void leave(body *one) { /* with the lock held */
  if (one->before) one->before->after = one->after; else first = one->after;
  if (one->after) one->after->before = one->before;
  one->before = one->after = 0;
}

int look_at_bodies(u64 at) {
  body *one, *next;
  int more;
  pthread_mutex_lock(&guard);
  for (one = first; one; one = next) {
    next = one->after;
    if (one->deadline > at) continue;
    leave(one);
    one->state = expired;
    envoy_dynamic_module_callback_http_filter_scheduler_commit(one->scheduler, 0);
  }
  more = first != 0;
  pthread_mutex_unlock(&guard);
  return more;
}

static loaded *load(void *config, text value) {
  (void)config, (void)value;
  return begin_clock() ? (loaded *)&nothing_more : 0;
}

static route *configure(text value) {
  rule *one = calloc(1, sizeof(rule));
  if (one) one->kind = &bodies, one->patience = (u64)number(&value) * 1000000ull;
  return (route *)one;
}

static void forget(route *one) { free(one); }

static int request(filter *base, const route *of, _Bool ends) {
  body *one = (body *)base;
  int alone;
  if (!of || ends || one->state != outside) return CONTINUE;
  one->patience = ((const rule *)of)->patience;
  one->deadline = now() + one->patience;
  one->scheduler = envoy_dynamic_module_callback_http_filter_scheduler_new(base->envoy);
  pthread_mutex_lock(&guard);
  alone = !first;
  one->after = first;
  if (first) first->before = one;
  first = one;
  one->state = watched;
  pthread_mutex_unlock(&guard);
  if (alone) wake_clock();
  return CONTINUE;
}

/* The body is here, or has an answer: also if it was just about to be ended. */
static void let(filter *base) {
  body *one = (body *)base;
  if (one->state == outside) return;
  pthread_mutex_lock(&guard);
  if (one->state == watched) leave(one);
  one->state = outside;
  pthread_mutex_unlock(&guard);
}

static void goes_on(filter *base, _Bool ends) {
  body *one = (body *)base;
  if (ends) let(base);
  else if (one->state == watched) one->deadline = now() + one->patience; /* one word: the other thread may read it */
}

static int response(filter *base, _Bool ends) {
  (void)ends;
  let(base);
  return CONTINUE;
}

static void scheduled(filter *base) {
  if (((body *)base)->state == expired)
    envoy_dynamic_module_callback_http_send_response(base->envoy, 408, 0, 0, TEXT(""), TEXT("roost_body_stalled"));
}

static void end(filter *base) {
  body *one = (body *)base;
  let(base);
  if (one->scheduler) envoy_dynamic_module_callback_http_filter_scheduler_delete(one->scheduler);
}

const kind bodies = {
  .name = {"bodies", 6}, .size = sizeof(body), .load = load, .configure = configure, .forget = forget,
  .request = request, .request_goes_on = goes_on, .response = response, .scheduled = scheduled, .end = end,
};
