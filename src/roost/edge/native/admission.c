/* Admission to an app: so many of its requests pass at once; the others wait in line, with a bound and a deadline.

   An HTTP filter. It looks at no byte of a request: it knows an app's name and three numbers, from the configuration
   of the app's route ("NAME LIMIT QUEUE WAIT_MS").
   State: for each app the requests that passed and have not ended, and a list of those that wait, first come first
   served. One lock guards all of it, held for some lines and never over a call that could come back here. Invariant:
   every filter is in exactly one state, and `active` counts those that are `passed`; `end` takes a filter out of
   whatever state it is in, so a client that goes away gives its place back. All of Envoy's threads share the count.
   What the clock decides is carried out by the thread that serves the request (`scheduled`), which looks at the state
   anew. */

#include "envoy.h"

typedef struct app app;
typedef struct waiter waiter;
struct app {
  const kind *kind;
  app *next;
  word uses; /* configurations and filters that point here */
  word limit, queue;
  u64 wait; /* nanoseconds */
  word active, waiting;
  waiter *first, *last;
  text name;
};
struct waiter {
  filter base;
  void *scheduler;
  app *app;
  waiter *before, *after; /* in line */
  u64 deadline;
  enum { outside, in_line, passed, expired } state;
};

enum { ROWS = 1024 };
static const loaded nothing_more = {&admission};
static lock guard;
static app *apps[ROWS]; /* by a digest of the name */
static word all_waiting;
static word waiting_gauge;

/* The functions in this part are called with the lock held. */

static void leave_line(waiter *one) {
  app *of = one->app;
  if (one->before) one->before->after = one->after; else of->first = one->after;
  if (one->after) one->after->before = one->before; else of->last = one->before;
  one->before = one->after = 0;
  of->waiting--;
  all_waiting--;
}

static void join_line(waiter *one) {
  app *of = one->app;
  one->state = in_line;
  one->before = of->last;
  if (of->last) of->last->after = one; else of->first = one;
  of->last = one;
  of->waiting++;
  all_waiting++;
}

static void let_pass(app *of) {
  while (of->first && of->active < of->limit) {
    waiter *one = of->first;
    leave_line(one);
    one->state = passed;
    of->active++;
    envoy_dynamic_module_callback_http_filter_scheduler_commit(one->scheduler, 0);
  }
}

static void let_expire(app *of, u64 at) {
  while (of->first && of->first->deadline <= at) {
    waiter *one = of->first;
    leave_line(one);
    one->state = expired;
    envoy_dynamic_module_callback_http_filter_scheduler_commit(one->scheduler, 0);
  }
}

static app **row_of(text name) { return &apps[digest(name, 0) % ROWS]; }

static app *find(text name) {
  app **row = row_of(name), *one;
  for (one = *row; one; one = one->next)
    if (same(one->name, name)) return one;
  one = calloc(1, sizeof(app) + name.length);
  if (!one) return 0;
  one->kind = &admission;
  memcpy((char *)(one + 1), name.data, name.length);
  one->name.data = (char *)(one + 1);
  one->name.length = name.length;
  one->next = *row;
  *row = one;
  return one;
}

static void release(app *of) {
  app **at = row_of(of->name);
  if (--of->uses) return;
  while (*at != of) at = &(*at)->next;
  *at = of->next;
  free(of);
}

/* With the lock, so that what was counted last is told last: a gauge that stays behind would be believed. */
static void tell(void *envoy, app *of) {
  text label = of->name;
  envoy_dynamic_module_callback_http_filter_set_gauge(envoy, waiting_gauge, &label, 1, of->waiting);
}

/* From here on nobody holds the lock. */

int look_at_lines(u64 at) {
  int more, row;
  app *one;
  pthread_mutex_lock(&guard);
  for (row = 0; all_waiting && row < ROWS; row++)
    for (one = apps[row]; one; one = one->next) let_expire(one, at);
  more = all_waiting != 0;
  pthread_mutex_unlock(&guard);
  return more;
}

static loaded *load(void *config, text value) {
  text label = TEXT("of");
  (void)value;
  if (envoy_dynamic_module_callback_http_filter_config_define_gauge(config, TEXT("waiting"), &label, 1, &waiting_gauge))
    return 0;
  return begin_clock() ? (loaded *)&nothing_more : 0;
}

static route *configure(text value) {
  text name = until(&value, ' ');
  app *of;
  pthread_mutex_lock(&guard);
  of = name.length ? find(name) : 0;
  if (of) { /* the newest configuration holds, also for those that wait */
    of->uses++;
    of->limit = number(&value);
    of->queue = number(&value);
    of->wait = (u64)number(&value) * 1000000ull;
    let_pass(of);
  }
  pthread_mutex_unlock(&guard);
  return (route *)of;
}

static void forget(route *of) {
  pthread_mutex_lock(&guard);
  release((app *)of);
  pthread_mutex_unlock(&guard);
}

static int request(filter *base, _Bool ends) {
  waiter *one = (waiter *)base;
  app *of = (app *)route_of(base);
  word alone;
  (void)ends;
  if (!of || one->state != outside) return CONTINUE;
  pthread_mutex_lock(&guard);
  if (of->active < of->limit && !of->first) {
    of->uses++, of->active++;
    one->app = of;
    one->state = passed;
    pthread_mutex_unlock(&guard);
    return CONTINUE;
  }
  if (of->waiting >= of->queue) {
    pthread_mutex_unlock(&guard);
    envoy_dynamic_module_callback_http_send_response(base->envoy, 503, 0, 0, TEXT(""), TEXT("roost_line_full"));
    return STOP_ALL_AND_WATERMARK;
  }
  of->uses++;
  one->app = of;
  one->scheduler = envoy_dynamic_module_callback_http_filter_scheduler_new(base->envoy);
  one->deadline = now() + of->wait;
  alone = !all_waiting;
  join_line(one);
  tell(base->envoy, of);
  pthread_mutex_unlock(&guard);
  if (alone) wake_clock();
  return STOP_ALL_AND_WATERMARK;
}

static void scheduled(filter *base) {
  waiter *one = (waiter *)base;
  int state;
  pthread_mutex_lock(&guard);
  state = one->state;
  tell(base->envoy, one->app);
  pthread_mutex_unlock(&guard);
  if (state == passed) envoy_dynamic_module_callback_http_filter_continue_decoding(base->envoy);
  if (state == expired)
    envoy_dynamic_module_callback_http_send_response(base->envoy, 503, 0, 0, TEXT(""), TEXT("roost_line_timeout"));
}

static void complete(filter *base) {
  waiter *one = (waiter *)base;
  if (!one->scheduler) return; /* it never waited */
  pthread_mutex_lock(&guard);
  if (one->state == in_line) {
    leave_line(one);
    one->state = expired;
  }
  tell(base->envoy, one->app); /* also when it was let in and did not hear of it any more */
  pthread_mutex_unlock(&guard);
}

static void end(filter *base) {
  waiter *one = (waiter *)base;
  if (one->app) {
    pthread_mutex_lock(&guard);
    if (one->state == in_line) leave_line(one);
    if (one->state == passed) {
      one->app->active--;
      let_pass(one->app);
    }
    release(one->app);
    pthread_mutex_unlock(&guard);
  }
  if (one->scheduler) envoy_dynamic_module_callback_http_filter_scheduler_delete(one->scheduler);
}

const kind admission = {
  .name = {"admission", 9}, .size = sizeof(waiter), .load = load, .configure = configure, .forget = forget,
  .request = request, .scheduled = scheduled, .complete = complete, .end = end,
};
