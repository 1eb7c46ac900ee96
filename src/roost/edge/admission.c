/* Admission to an app: so many of its requests pass at once; the others wait in line, with a bound and a deadline.

   An HTTP filter that Envoy loads (its "dynamic module" interface, ABI v0.2). It looks at no byte of a request: it
   knows an app's name and three numbers, from the configuration of the app's route ("NAME LIMIT QUEUE WAIT_MS").
   State: for each app the requests that passed and have not ended, and a list of those that wait, first come first
   served. One lock guards all of it, held for some lines and never over a call that could come back here. Invariant:
   every filter is in exactly one state, and `active` counts those that are `passed`; `destroy` takes a filter out of
   whatever state it is in, so a client that goes away gives its place back. All of Envoy's threads share the count.
   A thread of our own, asleep while nobody waits, looks for those whose time is over. What it decides is carried out
   by the thread that serves the request (`scheduler_commit`), which looks at the state anew.

   A second filter in here ("body", its routes have the configuration "body PATIENCE_MS") watches requests' bodies: one
   of which nothing comes for so long, and that has no answer yet, is ended. It looks at no byte of them either.

   It is compiled when the edge starts (modules.py), so it includes no header; the names are Envoy's and libc's. */

typedef unsigned long word; /* as wide as size_t and a pointer */
typedef unsigned long long u64;
typedef struct { const char *data; word length; } text; /* Envoy's buffers */

/* libc. Locks that are all zeros are unlocked; no platform of Linux needs more room for them. */
typedef union { char room[128]; long align; } lock;
typedef struct { long seconds, nanoseconds; } moment;
void *calloc(word, word);
void free(void *);
int memcmp(const void *, const void *, word);
void *memcpy(void *, const void *, word);
int pthread_mutex_lock(lock *);
int pthread_mutex_unlock(lock *);
int pthread_cond_wait(lock *, lock *);
int pthread_cond_signal(lock *);
int pthread_create(unsigned long *, const void *, void *(*)(void *), void *);
int clock_gettime(int, moment *);
int nanosleep(const moment *, moment *);

/* Envoy. */
const void *envoy_dynamic_module_callback_get_most_specific_route_config(void *filter);
void *envoy_dynamic_module_callback_http_filter_scheduler_new(void *filter);
void envoy_dynamic_module_callback_http_filter_scheduler_commit(void *scheduler, u64 event);
void envoy_dynamic_module_callback_http_filter_scheduler_delete(void *scheduler);
void envoy_dynamic_module_callback_http_filter_continue_decoding(void *filter);
void envoy_dynamic_module_callback_http_send_response(void *filter, unsigned status, void *headers, word count,
                                                      text body, text details);
int envoy_dynamic_module_callback_http_filter_config_define_gauge(void *config, text name, text *labels, word count,
                                                                  word *id);
int envoy_dynamic_module_callback_http_filter_set_gauge(void *filter, word id, text *labels, word count, u64 value);

enum { CONTINUE = 0, STOP_ALL_AND_WATERMARK = 4 };
enum { GO_ON = 1 };
enum { CLOCK = 1, LOOK = 20 * 1000 * 1000 }; /* CLOCK_MONOTONIC; nanoseconds between two looks at deadlines */

enum { OF_LINE, OF_BODY };

typedef struct app app;
typedef struct filter filter;
typedef struct { int kind; u64 patience; } patience; /* configuration of a route for bodies; nanoseconds */
struct app {
  int kind;
  app *next;
  word uses; /* configurations and filters that point here */
  word limit, queue;
  u64 wait; /* nanoseconds */
  word active, waiting;
  filter *first, *last;
  text name;
};
struct filter {
  void *envoy, *scheduler;
  app *app;
  filter *before, *after; /* in line, or among the bodies */
  u64 deadline;
  u64 patience;
  int kind;
  enum { outside, in_line, passed, expired, watched } state;
};

enum { ROWS = 1024 };
static lock guard, somebody_waits;
static app *apps[ROWS]; /* by a digest of the name */
static word all_waiting;
static filter *bodies;
static int line_kind = OF_LINE, body_kind = OF_BODY;
static unsigned long thread;
static word waiting_gauge;

static u64 now(void) {
  moment at;
  clock_gettime(CLOCK, &at);
  return (u64)at.seconds * 1000000000ull + (u64)at.nanoseconds;
}

/* The functions in this part are called with the lock held. */

static void leave_line(filter *one) {
  app *of = one->app;
  if (one->before) one->before->after = one->after; else of->first = one->after;
  if (one->after) one->after->before = one->before; else of->last = one->before;
  one->before = one->after = 0;
  of->waiting--;
  all_waiting--;
}

static void join_line(filter *one) {
  app *of = one->app;
  one->state = in_line;
  one->before = of->last;
  if (of->last) of->last->after = one; else of->first = one;
  of->last = one;
  of->waiting++;
  if (all_waiting++ == 0) pthread_cond_signal(&somebody_waits); /* it may be among bodies, and looks soon */
}

static void let_pass(app *of) {
  while (of->first && of->active < of->limit) {
    filter *one = of->first;
    leave_line(one);
    one->state = passed;
    of->active++;
    envoy_dynamic_module_callback_http_filter_scheduler_commit(one->scheduler, GO_ON);
  }
}

static void let_expire(app *of, u64 at) {
  while (of->first && of->first->deadline <= at) {
    filter *one = of->first;
    leave_line(one);
    one->state = expired;
    envoy_dynamic_module_callback_http_filter_scheduler_commit(one->scheduler, GO_ON);
  }
}

static void forget_body(filter *one) {
  if (one->before) one->before->after = one->after; else bodies = one->after;
  if (one->after) one->after->before = one->before;
  one->before = one->after = 0;
}

static void end_bodies(u64 at) {
  filter *one = bodies, *next;
  for (; one; one = next) {
    next = one->after;
    if (one->deadline > at) continue;
    forget_body(one);
    one->state = expired;
    envoy_dynamic_module_callback_http_filter_scheduler_commit(one->scheduler, GO_ON);
  }
}

static app **row_of(text name) {
  word digest = 14695981039346656037ul, i;
  for (i = 0; i < name.length; i++) digest = (digest ^ (unsigned char)name.data[i]) * 1099511628211ul;
  return &apps[digest % ROWS];
}

static app *find(text name) {
  app **row = row_of(name), *one;
  for (one = *row; one; one = one->next)
    if (one->name.length == name.length && !memcmp(one->name.data, name.data, name.length)) return one;
  one = calloc(1, sizeof(app) + name.length);
  if (!one) return 0;
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

/* From here on nobody holds the lock. */

static void *watch(void *nothing) {
  moment look = {0, LOOK}, seldom = {0, 5 * LOOK};
  (void)nothing;
  for (;;) {
    app *one;
    u64 at;
    int row, lines;
    pthread_mutex_lock(&guard);
    while (!all_waiting && !bodies) pthread_cond_wait(&somebody_waits, &guard);
    at = now();
    lines = all_waiting != 0;
    for (row = 0; lines && row < ROWS; row++)
      for (one = apps[row]; one; one = one->next) let_expire(one, at);
    end_bodies(at);
    pthread_mutex_unlock(&guard);
    nanosleep(lines ? &look : &seldom, 0);
  }
  return 0;
}

static word number(text *from) {
  word found = 0;
  while (from->length && *from->data == ' ') from->data++, from->length--;
  while (from->length && *from->data >= '0' && *from->data <= '9')
    found = found * 10 + (word)(*from->data - '0'), from->data++, from->length--;
  return found;
}

static void tell(void *envoy, app *of, word waiting) {
  text label = of->name;
  envoy_dynamic_module_callback_http_filter_set_gauge(envoy, waiting_gauge, &label, 1, waiting);
}

const char *envoy_dynamic_module_on_program_init(void) { return "v0.2.0"; }

const void *envoy_dynamic_module_on_http_filter_config_new(void *config, text name, text value) {
  text gauge = {"waiting", 7}, label = {"of", 2};
  int of_body = name.length == 4 && !memcmp(name.data, "body", 4);
  (void)value;
  if (!of_body && envoy_dynamic_module_callback_http_filter_config_define_gauge(config, gauge, &label, 1, &waiting_gauge)) return 0;
  pthread_mutex_lock(&guard);
  if (!thread && pthread_create(&thread, 0, watch, 0)) thread = 0;
  pthread_mutex_unlock(&guard);
  return !thread ? 0 : of_body ? &body_kind : &line_kind;
}

void envoy_dynamic_module_on_http_filter_config_destroy(const void *config) { (void)config; }

const void *envoy_dynamic_module_on_http_filter_per_route_config_new(text name, text value) {
  text rest = value, app_name = value;
  app *of;
  (void)name;
  while (rest.length && *rest.data != ' ') rest.data++, rest.length--;
  app_name.length = value.length - rest.length;
  if (app_name.length == 4 && !memcmp(app_name.data, "body", 4)) { /* names have a slash */
    patience *of_body = calloc(1, sizeof(patience));
    if (!of_body) return 0;
    of_body->kind = OF_BODY;
    of_body->patience = (u64)number(&rest) * 1000000ull;
    return of_body;
  }
  pthread_mutex_lock(&guard);
  of = app_name.length ? find(app_name) : 0;
  if (of) { /* the newest configuration holds, also for those that wait */
    of->uses++;
    of->limit = number(&rest);
    of->queue = number(&rest);
    of->wait = (u64)number(&rest) * 1000000ull;
    let_pass(of);
  }
  pthread_mutex_unlock(&guard);
  return of;
}

void envoy_dynamic_module_on_http_filter_per_route_config_destroy(const void *config) {
  if (*(const int *)config == OF_BODY) {
    free((void *)config);
    return;
  }
  pthread_mutex_lock(&guard);
  release((app *)config);
  pthread_mutex_unlock(&guard);
}

const void *envoy_dynamic_module_on_http_filter_new(const void *config, void *envoy) {
  filter *one = calloc(1, sizeof(filter));
  if (one) one->envoy = envoy, one->kind = *(const int *)config;
  return one;
}

static void watch_body(filter *one, const patience *how) {
  one->patience = how->patience;
  one->deadline = now() + one->patience;
  one->scheduler = envoy_dynamic_module_callback_http_filter_scheduler_new(one->envoy);
  pthread_mutex_lock(&guard);
  if (!bodies && !all_waiting) pthread_cond_signal(&somebody_waits);
  one->after = bodies;
  if (bodies) bodies->before = one;
  bodies = one;
  one->state = watched;
  pthread_mutex_unlock(&guard);
}

/* The body is here, or has an answer: also if it was just about to be ended. */
static void let_body(filter *one) {
  if (one->kind != OF_BODY || one->state == outside) return;
  pthread_mutex_lock(&guard);
  if (one->state == watched) forget_body(one);
  one->state = outside;
  pthread_mutex_unlock(&guard);
}

int envoy_dynamic_module_on_http_filter_request_headers(void *envoy, const void *module, _Bool ends) {
  static const text nothing = {"", 0}, full = {"roost_line_full", 15};
  filter *one = (filter *)module;
  app *of = (app *)envoy_dynamic_module_callback_get_most_specific_route_config(envoy);
  word waiting;
  if (!of || one->state != outside) return CONTINUE;
  if (one->kind == OF_BODY) {
    if (!ends) watch_body(one, (const patience *)of);
    return CONTINUE;
  }
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
    envoy_dynamic_module_callback_http_send_response(envoy, 503, 0, 0, nothing, full);
    return STOP_ALL_AND_WATERMARK;
  }
  of->uses++;
  one->app = of;
  one->scheduler = envoy_dynamic_module_callback_http_filter_scheduler_new(envoy);
  one->deadline = now() + of->wait;
  join_line(one);
  waiting = of->waiting;
  pthread_mutex_unlock(&guard);
  tell(envoy, of, waiting);
  return STOP_ALL_AND_WATERMARK;
}

void envoy_dynamic_module_on_http_filter_scheduled(void *envoy, const void *module, u64 event) {
  static const text nothing = {"", 0}, late = {"roost_line_timeout", 18}, still = {"roost_body_stalled", 18};
  filter *one = (filter *)module;
  int state;
  word waiting;
  (void)event;
  if (one->kind == OF_BODY) {
    if (one->state == expired) envoy_dynamic_module_callback_http_send_response(envoy, 408, 0, 0, nothing, still);
    return;
  }
  pthread_mutex_lock(&guard);
  state = one->state;
  waiting = one->app->waiting;
  pthread_mutex_unlock(&guard);
  tell(envoy, one->app, waiting);
  if (state == passed) envoy_dynamic_module_callback_http_filter_continue_decoding(envoy);
  if (state == expired) envoy_dynamic_module_callback_http_send_response(envoy, 503, 0, 0, nothing, late);
}

/* The stream has ended, however it did. */
void envoy_dynamic_module_on_http_filter_stream_complete(void *envoy, const void *module) {
  filter *one = (filter *)module;
  word waiting;
  if (one->state != in_line) return;
  pthread_mutex_lock(&guard);
  if (one->state == in_line) {
    leave_line(one);
    one->state = expired;
  }
  waiting = one->app->waiting;
  pthread_mutex_unlock(&guard);
  tell(envoy, one->app, waiting);
}

void envoy_dynamic_module_on_http_filter_destroy(const void *module) {
  filter *one = (filter *)module;
  let_body(one);
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
  free(one);
}

int envoy_dynamic_module_on_http_filter_request_body(void *envoy, const void *module, _Bool ends) {
  filter *one = (filter *)module;
  (void)envoy;
  if (ends) let_body(one);
  else if (one->state == watched) one->deadline = now() + one->patience; /* one word: the other thread may read it */
  return CONTINUE;
}

int envoy_dynamic_module_on_http_filter_request_trailers(void *envoy, const void *module) {
  (void)envoy;
  let_body((filter *)module);
  return CONTINUE;
}

int envoy_dynamic_module_on_http_filter_response_headers(void *envoy, const void *module, _Bool ends) {
  (void)envoy, (void)ends;
  let_body((filter *)module);
  return CONTINUE;
}

/* What else Envoy calls, and we have no part in. */
int envoy_dynamic_module_on_http_filter_response_body(void *envoy, const void *module, _Bool ends) { return CONTINUE; }
int envoy_dynamic_module_on_http_filter_response_trailers(void *envoy, const void *module) { return CONTINUE; }
int envoy_dynamic_module_on_http_filter_local_reply(void *envoy, const void *module, unsigned status, text details,
                                                    _Bool reset) { return CONTINUE; }
void envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(void *e, const void *m) {}
void envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(void *e, const void *m) {}
void envoy_dynamic_module_on_http_filter_config_scheduled(void *e, const void *c, u64 event) {}

/* Never called, since we make no requests of our own; Envoy loads no module that lacks them. */
void envoy_dynamic_module_on_http_filter_http_callout_done(void) {}
void envoy_dynamic_module_on_http_filter_http_stream_complete(void) {}
void envoy_dynamic_module_on_http_filter_http_stream_data(void) {}
void envoy_dynamic_module_on_http_filter_http_stream_headers(void) {}
void envoy_dynamic_module_on_http_filter_http_stream_reset(void) {}
void envoy_dynamic_module_on_http_filter_http_stream_trailers(void) {}
void envoy_dynamic_module_on_http_filter_config_http_callout_done(void) {}
void envoy_dynamic_module_on_http_filter_config_http_stream_complete(void) {}
void envoy_dynamic_module_on_http_filter_config_http_stream_data(void) {}
void envoy_dynamic_module_on_http_filter_config_http_stream_headers(void) {}
void envoy_dynamic_module_on_http_filter_config_http_stream_reset(void) {}
void envoy_dynamic_module_on_http_filter_config_http_stream_trailers(void) {}
