/* Envoy's part of the interface for access loggers, for tests of native/request_log.c: each text is in a piece of memory
   of exactly its size, so that a sanitizer sees whoever reads beyond it.

   Arguments: the log's path, and how many threads log. Standard input has any number of lots: the number of entries (4
   bytes), then each entry (see `read_entry`). The threads share a lot; when it is written a byte goes to standard
   output. */

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *data; size_t length; } text;

const void *envoy_dynamic_module_on_access_logger_config_new(void *, text, text);
const void *envoy_dynamic_module_on_access_logger_new(const void *, void *);
void envoy_dynamic_module_on_access_logger_log(void *, const void *, int);
void envoy_dynamic_module_on_access_logger_flush(const void *);
void envoy_dynamic_module_on_access_logger_destroy(const void *);
void envoy_dynamic_module_on_access_logger_config_destroy(const void *);

enum { ROUTE, DETAILS, CLUSTER, METHOD, PROTOCOL, CLIENT, MACHINE, ID, HOST, PATH, TEXTS };
enum { STATUS, FLAGS, RECEIVED, SENT, TRIES, NUMBERS };
enum { MOMENTS = 19 };
typedef struct { int64_t at[MOMENTS]; uint8_t is[MOMENTS]; } timing;
typedef struct { text texts[TEXTS]; uint64_t numbers[NUMBERS]; timing when; } entry;

static _Bool give(void *logger, int which, text *found) {
  *found = ((entry *)logger)->texts[which];
  return found->data != 0;
}

_Bool envoy_dynamic_module_callback_access_logger_get_attribute_string(void *logger, int which, text *found) {
  switch (which) {
    case 9: return give(logger, ID, found);
    case 10: return give(logger, PROTOCOL, found);
    case 16: return give(logger, DETAILS, found);
    case 61: return give(logger, ROUTE, found);
  }
  abort();
}

_Bool envoy_dynamic_module_callback_access_logger_get_attribute_int(void *logger, int which, uint64_t *found) {
  *found = ((entry *)logger)->numbers[which == 15 ? STATUS : TRIES];
  return which == 15 || which == 53;
}

_Bool envoy_dynamic_module_callback_access_logger_get_header_value(void *logger, int kind, text key, text *found,
                                                                   size_t index, size_t *count) {
  if (kind || index || count) abort();
  if (key.length == 5 && !memcmp(key.data, ":path", 5)) return give(logger, PATH, found);
  if (key.length == 7 && !memcmp(key.data, ":method", 7)) return give(logger, METHOD, found);
  if (key.length == 10 && !memcmp(key.data, ":authority", 10)) return give(logger, HOST, found);
  abort();
}

_Bool envoy_dynamic_module_callback_access_logger_get_upstream_cluster(void *logger, text *found) {
  return give(logger, CLUSTER, found);
}

_Bool envoy_dynamic_module_callback_access_logger_get_downstream_remote_address(void *logger, text *found,
                                                                                unsigned *port) {
  *port = 1;
  return give(logger, CLIENT, found);
}

_Bool envoy_dynamic_module_callback_access_logger_get_upstream_remote_address(void *logger, text *found,
                                                                              unsigned *port) {
  *port = 1;
  return give(logger, MACHINE, found);
}

uint64_t envoy_dynamic_module_callback_access_logger_get_response_flags(void *logger) {
  return ((entry *)logger)->numbers[FLAGS];
}

void envoy_dynamic_module_callback_access_logger_get_timing_info_v2(void *logger, timing *found) {
  *found = ((entry *)logger)->when;
}

void envoy_dynamic_module_callback_access_logger_get_bytes_info(void *logger, uint64_t *found) {
  memcpy(found, &((entry *)logger)->numbers[RECEIVED], 2 * sizeof(*found));
  found[2] = found[0] + 7; /* what came from the app, with its head */
  found[3] = 0;
}

static void take(void *to, size_t length) {
  if (length && fread(to, length, 1, stdin) != 1) exit(0);
}

/* Texts with their length before them (4 bytes, all ones: there is none), numbers (8 bytes), moments (8 bytes), and
   whether each moment was (a byte). */
static void read_entry(entry *to) {
  int i;
  for (i = 0; i < TEXTS; i++) {
    uint32_t length;
    char *data = 0;
    take(&length, sizeof(length));
    if (length != UINT32_MAX) take(data = malloc(length ? length : 1), length);
    to->texts[i] = (text){data, data ? length : 0};
  }
  take(to->numbers, sizeof(to->numbers));
  take(to->when.at, sizeof(to->when.at));
  take(to->when.is, sizeof(to->when.is));
}

static const void *config;
static entry *lot;
static uint32_t count, threads;

static void *log_part(void *part) {
  const void *logger = envoy_dynamic_module_on_access_logger_new(config, 0);
  uint32_t i;
  for (i = (uint32_t)(uintptr_t)part; i < count; i += threads)
    envoy_dynamic_module_on_access_logger_log(&lot[i], logger, 6);
  envoy_dynamic_module_on_access_logger_flush(logger);
  envoy_dynamic_module_on_access_logger_destroy(logger);
  return 0;
}

int main(int arguments, char **argument) {
  text path = {argument[1], strlen(argument[1])}, name = {"requests", 8};
  if (arguments != 3) return 2;
  threads = (uint32_t)atoi(argument[2]);
  signal(SIGXFSZ, SIG_IGN);
  config = envoy_dynamic_module_on_access_logger_config_new(0, name, path);
  if (!config || envoy_dynamic_module_on_access_logger_config_new(0, name, path) != config) return 3;
  for (;;) {
    pthread_t some[16];
    uint32_t i;
    int each;
    take(&count, sizeof(count));
    lot = calloc(count + 1, sizeof(entry));
    for (i = 0; i < count; i++) read_entry(&lot[i]);
    for (i = 0; i < threads; i++) pthread_create(&some[i], 0, log_part, (void *)(uintptr_t)i);
    for (i = 0; i < threads; i++) pthread_join(some[i], 0);
    for (i = 0; i < count; i++)
      for (each = 0; each < TEXTS; each++) free((char *)lot[i].texts[each].data);
    free(lot);
    putchar('.');
    fflush(stdout);
  }
}
