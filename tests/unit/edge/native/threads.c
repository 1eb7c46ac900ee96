/* Envoy's threads, for tests of what the module's parts share: each serves one request after the other as fast as it
   can, through all parts, while clock and log have threads of their own. A sanitizer sees two that touch the same memory
   without a lock; this program sees more requests let in than may be, and such as nobody wakes.

   Arguments: the log's path, and for how many milliseconds. Standard output gets how many requests passed, were refused,
   ended because their body stood still, and went away while they waited. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct { const char *data; size_t length; } text;
typedef struct { text name, value; } header;
#define TEXT(literal) ((text){literal, sizeof(literal) - 1})

const void *envoy_dynamic_module_on_http_filter_config_new(void *, text, text);
const void *envoy_dynamic_module_on_http_filter_per_route_config_new(text, text);
void envoy_dynamic_module_on_http_filter_per_route_config_destroy(const void *);
const void *envoy_dynamic_module_on_http_filter_new(const void *, void *);
int envoy_dynamic_module_on_http_filter_request_headers(void *, const void *, _Bool);
int envoy_dynamic_module_on_http_filter_request_body(void *, const void *, _Bool);
int envoy_dynamic_module_on_http_filter_response_headers(void *, const void *, _Bool);
void envoy_dynamic_module_on_http_filter_scheduled(void *, const void *, unsigned long long);
void envoy_dynamic_module_on_http_filter_stream_complete(void *, const void *);
void envoy_dynamic_module_on_http_filter_destroy(const void *);
const void *envoy_dynamic_module_on_early_header_mutation_config_new(void *, text, text);
_Bool envoy_dynamic_module_on_early_header_mutation_mutate(const void *, void *);
const void *envoy_dynamic_module_on_access_logger_config_new(void *, text, text);
void envoy_dynamic_module_on_access_logger_log(void *, const void *, int);
void envoy_dynamic_module_on_access_logger_flush(const void *);

enum { THREADS = 6, APPS = 2, LIMIT = 2, LONGEST = 2000 /* milliseconds that any wait may take here */ };

typedef struct {
  pthread_mutex_t lock;
  pthread_cond_t came;
  uint64_t request;  /* the number of the one that is served, of this thread */
  int events;        /* for it, not carried out yet */
  const void *route; /* of the filter that is asked */
  int passed, refused;
  unsigned seed;
  char client[32];
} worker;
typedef struct { worker *of; uint64_t request; } scheduler;

static const void *admission, *bound, *hook, *early, *logger, *apps[APPS];
static atomic_int inside[APPS], over;
static atomic_long passes, refusals, stalls, departures;

static void fail(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(3);
}

/* Envoy's part. What it calls `filter` is the thread here. */
const void *envoy_dynamic_module_callback_get_most_specific_route_config(void *w) { return ((worker *)w)->route; }

void *envoy_dynamic_module_callback_http_filter_scheduler_new(void *w) {
  scheduler *made = malloc(sizeof(*made));
  *made = (scheduler){w, ((worker *)w)->request};
  return made;
}

void envoy_dynamic_module_callback_http_filter_scheduler_commit(void *s, unsigned long long event) {
  worker *of = ((scheduler *)s)->of;
  pthread_mutex_lock(&of->lock);
  if (of->request == ((scheduler *)s)->request) of->events++;
  pthread_cond_signal(&of->came);
  pthread_mutex_unlock(&of->lock);
}

void envoy_dynamic_module_callback_http_filter_scheduler_delete(void *s) { free(s); }
void envoy_dynamic_module_callback_http_filter_continue_decoding(void *w) { ((worker *)w)->passed = 1; }
void envoy_dynamic_module_callback_http_send_response(void *w, unsigned status, void *headers, size_t count, text body,
                                                      text details) { ((worker *)w)->refused = 1; }
int envoy_dynamic_module_callback_http_filter_config_define_gauge(void *c, text name, text *labels, size_t count,
                                                                  size_t *id) { return 0; }
int envoy_dynamic_module_callback_http_filter_set_gauge(void *w, size_t id, text *labels, size_t count,
                                                        unsigned long long value) { return 0; }
_Bool envoy_dynamic_module_callback_http_get_header(void *w, int of, text name, text *found, size_t i, size_t *count) { return 0; }
_Bool envoy_dynamic_module_callback_http_set_header(void *w, int of, text name, text value) { return 1; }
size_t envoy_dynamic_module_callback_http_get_headers_size(void *w, int of) { return 0; }
_Bool envoy_dynamic_module_callback_http_get_headers(void *w, int of, header *found) { return 1; }
size_t envoy_dynamic_module_callback_http_get_body_chunks_size(void *w, int of) { return 0; }
_Bool envoy_dynamic_module_callback_http_get_body_chunks(void *w, int of, text *found) { return 1; }
size_t envoy_dynamic_module_callback_http_get_body_size(void *w, int of) { return 100000; }
_Bool envoy_dynamic_module_callback_http_drain_body(void *w, int of, size_t size) { return 1; }
_Bool envoy_dynamic_module_callback_http_get_filter_state_bytes(void *w, text key, text *found) { return 0; }
_Bool envoy_dynamic_module_callback_http_set_filter_state_bytes(void *w, text key, text value) { return 1; }

_Bool envoy_dynamic_module_callback_http_filter_get_attribute_string(void *w, int which, text *found) { return 0; }

size_t envoy_dynamic_module_callback_early_header_mutation_get_headers_size(void *w) { return 1; }
_Bool envoy_dynamic_module_callback_early_header_mutation_get_headers(void *w, header *found) {
  *found = (header){TEXT(":authority"), TEXT("a.example")};
  return 1;
}
_Bool envoy_dynamic_module_callback_early_header_mutation_add_header(void *w, text name, text value) { return 1; }
_Bool envoy_dynamic_module_callback_early_header_mutation_remove_header(void *w, text name) { return 1; }
_Bool envoy_dynamic_module_callback_early_header_mutation_set_header(void *w, text name, text value) {
  if (name.length == 21 && !memcmp(name.data, "x-envoy-attempt-count", 21)) atomic_store(&over, 1);
  return 1;
}
_Bool envoy_dynamic_module_callback_early_header_mutation_get_attribute_string(void *w, int id, text *found) {
  *found = (text){((worker *)w)->client, strlen(((worker *)w)->client)};
  return 1;
}

_Bool envoy_dynamic_module_callback_access_logger_get_attribute_string(void *w, int which, text *found) {
  *found = TEXT("text");
  return 1;
}
_Bool envoy_dynamic_module_callback_access_logger_get_header_value(void *w, int kind, text key, text *found, size_t index,
                                                                   size_t *count) {
  *found = key;
  return 1;
}
_Bool envoy_dynamic_module_callback_access_logger_get_attribute_int(void *w, int which, uint64_t *found) {
  *found = 200;
  return 1;
}
_Bool envoy_dynamic_module_callback_access_logger_get_upstream_cluster(void *w, text *found) { return 0; }
_Bool envoy_dynamic_module_callback_access_logger_get_downstream_remote_address(void *w, text *found, unsigned *port) { return 0; }
_Bool envoy_dynamic_module_callback_access_logger_get_upstream_remote_address(void *w, text *found, unsigned *port) { return 0; }
uint64_t envoy_dynamic_module_callback_access_logger_get_response_flags(void *w) { return 0; }
void envoy_dynamic_module_callback_access_logger_get_timing_info_v2(void *w, void *found) { memset(found, 0, 19 * 9); }
void envoy_dynamic_module_callback_access_logger_get_bytes_info(void *w, void *found) { memset(found, 0, 32); }

static struct timespec after(long milliseconds) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  at.tv_sec += milliseconds / 1000, at.tv_nsec += milliseconds % 1000 * 1000000;
  if (at.tv_nsec >= 1000000000) at.tv_sec++, at.tv_nsec -= 1000000000;
  return at;
}

/* Carry out what was committed, after so long at most; say whether there was anything. */
static int wait_for_event(worker *w, const void *filter, long milliseconds) {
  struct timespec end = after(milliseconds);
  int came, late = 0;
  pthread_mutex_lock(&w->lock);
  while (!w->events && !late) late = pthread_cond_timedwait(&w->came, &w->lock, &end);
  if ((came = w->events > 0)) w->events--;
  pthread_mutex_unlock(&w->lock);
  if (came) envoy_dynamic_module_on_http_filter_scheduled(w, filter, 0);
  return came;
}

static int one_of(worker *w, unsigned many) { return (int)((unsigned)rand_r(&w->seed) % many); }

/* What is kept of a body that comes in parts, as long as there is room. */
static void keep_body(worker *w) {
  const void *filter = envoy_dynamic_module_on_http_filter_new(bound, w);
  int parts = one_of(w, 12);
  envoy_dynamic_module_on_http_filter_request_headers(w, filter, 0);
  while (parts--) envoy_dynamic_module_on_http_filter_request_body(w, filter, !parts && one_of(w, 2));
  if (one_of(w, 2)) envoy_dynamic_module_on_http_filter_response_headers(w, filter, 0);
  envoy_dynamic_module_on_http_filter_destroy(filter);
  w->refused = 0;
}

/* The way to a machine: a body that comes in parts, stands still, or was whole from the beginning. */
static void ask_machine(worker *w) {
  const void *filter = envoy_dynamic_module_on_http_filter_new(hook, w);
  int ends = one_of(w, 2), parts = one_of(w, 4);
  w->route = 0;
  envoy_dynamic_module_on_http_filter_request_headers(w, filter, ends);
  while (!ends && parts--) envoy_dynamic_module_on_http_filter_request_body(w, filter, !parts && one_of(w, 2));
  if (!ends && !one_of(w, 8)) { /* nobody answers either */
    envoy_dynamic_module_on_http_filter_request_headers(w, filter, 0); /* a second time changes nothing */
    if (wait_for_event(w, filter, 150) && w->refused) atomic_fetch_add(&stalls, 1);
  } else
    envoy_dynamic_module_on_http_filter_response_headers(w, filter, 1);
  envoy_dynamic_module_on_http_filter_destroy(filter);
}

static void serve(worker *w) {
  int app = one_of(w, APPS), leaves = !one_of(w, 4);
  const void *filter;
  pthread_mutex_lock(&w->lock);
  w->request++, w->events = 0;
  pthread_mutex_unlock(&w->lock);
  w->passed = w->refused = 0;
  snprintf(w->client, sizeof(w->client), "192.0.2.%d:1", one_of(w, 4));
  envoy_dynamic_module_on_early_header_mutation_mutate(early, w);
  filter = envoy_dynamic_module_on_http_filter_new(admission, w);
  w->route = apps[app];
  if (!envoy_dynamic_module_on_http_filter_request_headers(w, filter, 1)) w->passed = 1;
  else if (!w->refused && !wait_for_event(w, filter, leaves ? 1 : LONGEST) && !leaves) fail("one waits for ever");
  if (w->passed) {
    if (atomic_fetch_add(&inside[app], 1) >= LIMIT) fail("too many at once");
    atomic_fetch_add(&passes, 1);
    keep_body(w);
    ask_machine(w);
    atomic_fetch_sub(&inside[app], 1);
  } else
    atomic_fetch_add(w->refused ? &refusals : &departures, 1);
  envoy_dynamic_module_on_http_filter_stream_complete(w, filter);
  envoy_dynamic_module_on_http_filter_destroy(filter);
  envoy_dynamic_module_on_access_logger_log(w, logger, 6);
  if (!one_of(w, 50)) envoy_dynamic_module_on_access_logger_flush(logger);
  if (!one_of(w, 20)) /* a new version of a route comes and goes */
    envoy_dynamic_module_on_http_filter_per_route_config_destroy(
        envoy_dynamic_module_on_http_filter_per_route_config_new(TEXT("admission"), TEXT("app/0 2 3 30")));
}

static struct timespec until;

static void *keep_serving(void *number) {
  worker w = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER, .seed = (unsigned)(uintptr_t)number};
  struct timespec at;
  do {
    serve(&w);
    clock_gettime(CLOCK_REALTIME, &at);
  } while (at.tv_sec < until.tv_sec || (at.tv_sec == until.tv_sec && at.tv_nsec < until.tv_nsec));
  return 0;
}

int main(int count, char **argument) {
  pthread_t all[THREADS];
  uintptr_t i;
  if (count != 3) return 2;
  admission = envoy_dynamic_module_on_http_filter_config_new(0, TEXT("admission"), TEXT(""));
  bound = envoy_dynamic_module_on_http_filter_config_new(0, TEXT("kept"), TEXT("3000000"));
  hook = envoy_dynamic_module_on_http_filter_config_new(0, TEXT("replay"), TEXT("40 90 roost-error"));
  early = envoy_dynamic_module_on_early_header_mutation_config_new(0, TEXT("headers"), TEXT("80 off public 100000000 5 1 - here"));
  logger = envoy_dynamic_module_on_access_logger_config_new(0, TEXT("requests"), (text){argument[1], strlen(argument[1])});
  apps[0] = envoy_dynamic_module_on_http_filter_per_route_config_new(TEXT("admission"), TEXT("app/0 2 3 30"));
  apps[1] = envoy_dynamic_module_on_http_filter_per_route_config_new(TEXT("admission"), TEXT("app/1 2 3 30"));
  if (!admission || !bound || !hook || !early || !logger || !apps[0] || !apps[1]) return 4;
  until = after(atol(argument[2]));
  for (i = 0; i < THREADS; i++) pthread_create(&all[i], 0, keep_serving, (void *)(i + 1));
  for (i = 0; i < THREADS; i++) pthread_join(all[i], 0);
  envoy_dynamic_module_on_access_logger_flush(logger);
  printf("%ld %ld %ld %ld\n", atomic_load(&passes), atomic_load(&refusals), atomic_load(&stalls), atomic_load(&departures));
  fflush(stdout);
  return atomic_load(&over) ? 0 : 5;
}
