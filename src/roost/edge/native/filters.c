/* Envoy's events for HTTP filters, handed to the kind of filter that each is for. State: none. */

#include "envoy.h"

static const kind *const kinds[] = {&admission, &kept, &replay_hook};

static const kind *kind_of(text name) {
  word i;
  for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
    if (same(kinds[i]->name, name)) return kinds[i];
  return 0;
}

const char *envoy_dynamic_module_on_program_init(void) { return "v0.2.0"; }

const void *envoy_dynamic_module_on_http_filter_config_new(void *config, text name, text value) {
  const kind *of = kind_of(name);
  return of ? of->load(config, value) : 0;
}

void envoy_dynamic_module_on_http_filter_config_destroy(const void *config) {
  loaded *one = (loaded *)config;
  if (one->kind->unload) one->kind->unload(one);
}

const void *envoy_dynamic_module_on_http_filter_per_route_config_new(text name, text value) {
  const kind *of = kind_of(name);
  return of && of->configure ? of->configure(value) : 0;
}

void envoy_dynamic_module_on_http_filter_per_route_config_destroy(const void *config) {
  route *one = (route *)config;
  if (one->kind->forget) one->kind->forget(one);
}

const void *envoy_dynamic_module_on_http_filter_new(const void *config, void *envoy) {
  const loaded *from = config;
  filter *one = calloc(1, from->kind->size);
  if (one) one->kind = from->kind, one->envoy = envoy, one->config = from;
  return one;
}

const route *route_of(filter *one) {
  const route *of = envoy_dynamic_module_callback_get_most_specific_route_config(one->envoy);
  return of && of->kind == one->kind ? of : 0;
}

int envoy_dynamic_module_on_http_filter_request_headers(void *envoy, const void *module, _Bool ends) {
  filter *one = (filter *)module;
  (void)envoy;
  return one->kind->request ? one->kind->request(one, ends) : CONTINUE;
}

int envoy_dynamic_module_on_http_filter_request_body(void *envoy, const void *module, _Bool ends) {
  filter *one = (filter *)module;
  (void)envoy;
  return one->kind->request_goes_on ? one->kind->request_goes_on(one, ends) : CONTINUE;
}

int envoy_dynamic_module_on_http_filter_request_trailers(void *envoy, const void *module) {
  return envoy_dynamic_module_on_http_filter_request_body(envoy, module, 1) == CONTINUE ? CONTINUE : STOP;
}

int envoy_dynamic_module_on_http_filter_response_headers(void *envoy, const void *module, _Bool ends) {
  filter *one = (filter *)module;
  (void)envoy;
  return one->kind->response ? one->kind->response(one, ends) : CONTINUE;
}

int envoy_dynamic_module_on_http_filter_response_body(void *envoy, const void *module, _Bool ends) {
  filter *one = (filter *)module;
  (void)envoy;
  return one->kind->response_body ? one->kind->response_body(one, ends) : CONTINUE;
}

int envoy_dynamic_module_on_http_filter_response_trailers(void *envoy, const void *module) {
  filter *one = (filter *)module;
  (void)envoy;
  return one->kind->response_trailers ? one->kind->response_trailers(one) : CONTINUE;
}

void envoy_dynamic_module_on_http_filter_scheduled(void *envoy, const void *module, u64 event) {
  filter *one = (filter *)module;
  (void)envoy, (void)event;
  if (one->kind->scheduled) one->kind->scheduled(one);
}

void envoy_dynamic_module_on_http_filter_stream_complete(void *envoy, const void *module) {
  filter *one = (filter *)module;
  (void)envoy;
  if (one->kind->complete) one->kind->complete(one);
}

void envoy_dynamic_module_on_http_filter_destroy(const void *module) {
  filter *one = (filter *)module;
  if (one->kind->end) one->kind->end(one);
  free(one);
}

/* What else Envoy calls, and we have no part in. */
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
