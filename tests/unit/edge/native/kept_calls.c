/* Envoy's part of the interface for native/kept.c, for tests: what comes of requests' bodies, in any order. It keeps what
   the filter lets pass, up to 1 MB, as Envoy's router does.

   The argument is how much room there is. Standard input has orders, one a line: "new N APP", "part N BYTES", "last N
   BYTES", "answer N HEADER", "end N -"; N is a request's number below 64, HEADER the name of one that the answer has.
   Standard output gets a line for each: what the filter said to it, how much Envoy keeps of that request, and what it
   was answered in the app's place, or -. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *data; size_t length; } text;

const void *envoy_dynamic_module_on_http_filter_config_new(void *, text, text);
const void *envoy_dynamic_module_on_http_filter_new(const void *, void *);
int envoy_dynamic_module_on_http_filter_request_headers(void *, const void *, _Bool);
int envoy_dynamic_module_on_http_filter_request_body(void *, const void *, _Bool);
int envoy_dynamic_module_on_http_filter_response_headers(void *, const void *, _Bool);
void envoy_dynamic_module_on_http_filter_config_destroy(const void *);
void envoy_dynamic_module_on_http_filter_destroy(const void *);

enum { KEPT = 1 << 20 };
typedef struct { text name, value; } header;
typedef struct { const void *filter; char app[32], header[32]; size_t comes, kept; int is_long; char said[64]; } request;

_Bool envoy_dynamic_module_callback_http_filter_get_attribute_string(void *r, int id, text *found) {
  *found = (text){((request *)r)->app, strlen(((request *)r)->app)};
  return id == 61;
}

size_t envoy_dynamic_module_callback_http_get_headers_size(void *r, int of) { return 1; }

_Bool envoy_dynamic_module_callback_http_get_headers(void *r, int of, header *found) {
  *found = (header){{((request *)r)->header, strlen(((request *)r)->header)}, {"application/vnd.fly.replay+json", 31}};
  return of == 2;
}

_Bool envoy_dynamic_module_callback_http_get_header(void *r, int of, text name, text *found, size_t i, size_t *count) {
  return 0;
}

size_t envoy_dynamic_module_callback_http_get_body_size(void *r, int of) {
  return of ? ((request *)r)->kept : ((request *)r)->comes;
}

_Bool envoy_dynamic_module_callback_http_drain_body(void *r, int of, size_t size) {
  if (of != 1 || size > ((request *)r)->kept) abort();
  ((request *)r)->kept -= size;
  return 1;
}

void envoy_dynamic_module_callback_http_send_response(void *r, unsigned status, void *headers, size_t count, text body,
                                                      text details) {
  if (((request *)r)->said[0]) abort(); /* nobody is answered twice */
  snprintf(((request *)r)->said, sizeof(((request *)r)->said), "%u %.*s", status, (int)details.length, details.data);
}

/* What the other filters of the module call, and nobody does here. */
void envoy_dynamic_module_callback_get_most_specific_route_config(void) { abort(); }
void envoy_dynamic_module_callback_http_set_header(void) { abort(); }
void envoy_dynamic_module_callback_http_get_body_chunks_size(void) { abort(); }
void envoy_dynamic_module_callback_http_get_body_chunks(void) { abort(); }
void envoy_dynamic_module_callback_http_get_filter_state_bytes(void) { abort(); }
void envoy_dynamic_module_callback_http_set_filter_state_bytes(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_scheduler_new(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_scheduler_commit(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_scheduler_delete(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_continue_decoding(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_config_define_gauge(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_set_gauge(void) { abort(); }

static const text kind = {"kept", 4};
static const void *hook;

static int begin(request *of, const char *app) {
  memset(of, 0, sizeof(*of));
  snprintf(of->app, sizeof(of->app), "%s", app);
  of->filter = envoy_dynamic_module_on_http_filter_new(hook, of);
  return envoy_dynamic_module_on_http_filter_request_headers(of, of->filter, 0);
}

static int come(request *of, size_t size, int ends) {
  int said;
  of->comes = size;
  said = envoy_dynamic_module_on_http_filter_request_body(of, of->filter, ends);
  if (said) return said;
  if (of->kept + size > KEPT) of->is_long = 1;
  if (!of->is_long) of->kept += size;
  return 0;
}

static int answer(request *of, const char *name) {
  snprintf(of->header, sizeof(of->header), "%s", name);
  return envoy_dynamic_module_on_http_filter_response_headers(of, of->filter, 0);
}

static int end(request *of) {
  envoy_dynamic_module_on_http_filter_destroy(of->filter);
  return 0;
}

static int carry_out(request *of, const char *order, const char *rest) {
  if (!strcmp(order, "new")) return begin(of, rest);
  if (!strcmp(order, "end")) return end(of);
  if (!strcmp(order, "answer")) return answer(of, rest);
  return come(of, strtoul(rest, 0, 10), !strcmp(order, "last"));
}

int main(int count, char **arguments) {
  static request all[64];
  char order[16], rest[32];
  unsigned number;
  if (count != 2) return 2;
  hook = envoy_dynamic_module_on_http_filter_config_new(0, kind, (text){arguments[1], strlen(arguments[1])});
  if (!hook) return 3;
  while (scanf("%15s %u %31s", order, &number, rest) == 3) {
    request *of = &all[number % 64];
    int said = carry_out(of, order, rest);
    printf("%d %zu %s\n", said, of->kept, of->said[0] ? of->said : "-");
  }
  envoy_dynamic_module_on_http_filter_config_destroy(hook);
  return 0;
}
