/* Envoy's part of the interface for native/bodies.c by way of the hook, for tests: what comes of requests' bodies, in any
   order. One thread, and a clock that finds nothing overdue.

   The argument is how much room there is. Standard input has orders, one a line: "new N APP", "part N BYTES", "last N
   BYTES", "answer N", "turn N" (Envoy carries out what was committed for it), "end N"; N is a request's number below 64.
   Standard output gets a line for each with what the filter said to it, and what was answered in the app's place, or -. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *data; size_t length; } text;

const void *envoy_dynamic_module_on_http_filter_config_new(void *, text, text);
const void *envoy_dynamic_module_on_http_filter_new(const void *, void *);
int envoy_dynamic_module_on_http_filter_request_headers(void *, const void *, _Bool);
int envoy_dynamic_module_on_http_filter_request_body(void *, const void *, _Bool);
int envoy_dynamic_module_on_http_filter_response_headers(void *, const void *, _Bool);
void envoy_dynamic_module_on_http_filter_scheduled(void *, const void *, unsigned long long);
void envoy_dynamic_module_on_http_filter_destroy(const void *);

typedef struct { const void *filter; char app[32]; size_t size; int committed; char said[64]; } request;

const void *envoy_dynamic_module_callback_get_most_specific_route_config(void *r) { return 0; }
void *envoy_dynamic_module_callback_http_filter_scheduler_new(void *r) { return r; }
void envoy_dynamic_module_callback_http_filter_scheduler_commit(void *r, unsigned long long event) { ((request *)r)->committed++; }
void envoy_dynamic_module_callback_http_filter_scheduler_delete(void *r) { ((request *)r)->committed = 0; }
size_t envoy_dynamic_module_callback_http_get_body_size(void *r, int of) { return ((request *)r)->size; }
_Bool envoy_dynamic_module_callback_http_get_header(void *r, int of, text name, text *found, size_t i, size_t *count) { return 0; }
_Bool envoy_dynamic_module_callback_http_set_header(void *r, int of, text name, text value) { return 1; }

_Bool envoy_dynamic_module_callback_http_filter_get_attribute_string(void *r, int id, text *found) {
  *found = (text){((request *)r)->app, strlen(((request *)r)->app)};
  return id == 61;
}

void envoy_dynamic_module_callback_http_send_response(void *r, unsigned status, void *headers, size_t count, text body,
                                                      text details) {
  if (((request *)r)->said[0]) abort(); /* nobody is answered twice */
  snprintf(((request *)r)->said, sizeof(((request *)r)->said), "%u %.*s", status, (int)details.length, details.data);
}

/* What the other filters of the module call, and nobody does here. */
void envoy_dynamic_module_callback_http_get_headers_size(void) { abort(); }
void envoy_dynamic_module_callback_http_get_headers(void) { abort(); }
void envoy_dynamic_module_callback_http_get_body_chunks_size(void) { abort(); }
void envoy_dynamic_module_callback_http_get_body_chunks(void) { abort(); }
void envoy_dynamic_module_callback_http_get_filter_state_bytes(void) { abort(); }
void envoy_dynamic_module_callback_http_set_filter_state_bytes(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_continue_decoding(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_config_define_gauge(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_set_gauge(void) { abort(); }

static int carry_out(const char *order, request *of) {
  if (!strcmp(order, "part")) return envoy_dynamic_module_on_http_filter_request_body(of, of->filter, 0);
  if (!strcmp(order, "last")) return envoy_dynamic_module_on_http_filter_request_body(of, of->filter, 1);
  if (!strcmp(order, "answer")) return envoy_dynamic_module_on_http_filter_response_headers(of, of->filter, 0);
  if (!strcmp(order, "turn")) {
    for (; of->committed; of->committed--) envoy_dynamic_module_on_http_filter_scheduled(of, of->filter, 0);
    return 0;
  }
  exit(4);
}

int main(int count, char **arguments) {
  static request all[64];
  char order[16], rest[32], config[64];
  const void *hook;
  unsigned number;
  if (count != 2) return 2;
  snprintf(config, sizeof(config), "60000 60000 %s ", arguments[1]);
  hook = envoy_dynamic_module_on_http_filter_config_new(0, (text){"replay", 6}, (text){config, strlen(config)});
  if (!hook) return 3;
  while (scanf("%15s %u %31s", order, &number, rest) == 3) {
    request *of = &all[number % 64];
    int said = 0;
    if (!strcmp(order, "new")) {
      memset(of, 0, sizeof(*of));
      memcpy(of->app, rest, sizeof(rest));
      of->filter = envoy_dynamic_module_on_http_filter_new(hook, of);
      said = envoy_dynamic_module_on_http_filter_request_headers(of, of->filter, 0);
    } else if (!strcmp(order, "end")) {
      envoy_dynamic_module_on_http_filter_destroy(of->filter);
    } else {
      of->size = strtoul(rest, 0, 10);
      said = carry_out(order, of);
    }
    printf("%d %s\n", said, of->said[0] ? of->said : "-");
  }
  return 0;
}
