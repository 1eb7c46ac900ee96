/* Envoy's part of the interface for native/replay_hook.c, for tests: each text in a piece of memory of exactly its size,
   freed when it goes, so that a sanitizer sees whoever reads beyond or later.

   The argument is the filter's configuration. Standard input has any number of answers: the headers with their number,
   whether they are all (1) or the body comes (0), the parts of the body with their number, each as pieces with their
   number, and what is behind them: 0, the last part is the end; 1, trailers; 2, nothing, the app broke off. Numbers have
   4 bytes, little end first; texts their length before them. Standard output gets what the filter said each time with
   the number of times, the headers as they are then, and the order that was kept, with a number before it: 1, or 0. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *data; size_t length; } text;
typedef struct { text name, value; } header;

const void *envoy_dynamic_module_on_http_filter_config_new(void *, text, text);
void envoy_dynamic_module_on_http_filter_config_destroy(const void *);
const void *envoy_dynamic_module_on_http_filter_new(const void *, void *);
int envoy_dynamic_module_on_http_filter_response_headers(void *, const void *, _Bool);
int envoy_dynamic_module_on_http_filter_response_body(void *, const void *, _Bool);
int envoy_dynamic_module_on_http_filter_response_trailers(void *, const void *);
void envoy_dynamic_module_on_http_filter_destroy(const void *);

typedef struct { header *all; size_t count; text *pieces; size_t pieces_count; text kept, from; } answer;

static text copy(text of) {
  char *data = malloc(of.length ? of.length : 1);
  memcpy(data, of.data, of.length);
  return (text){data, of.length};
}

static void append(answer *to, text name, text value) {
  to->all = realloc(to->all, (to->count + 1) * sizeof(header));
  to->all[to->count++] = (header){name, value};
}

static int same(text one, text other) { return one.length == other.length && !memcmp(one.data, other.data, one.length); }

size_t envoy_dynamic_module_callback_http_get_headers_size(void *a, int of) { return of == 2 ? ((answer *)a)->count : 0; }

_Bool envoy_dynamic_module_callback_http_get_headers(void *a, int of, header *found) {
  memcpy(found, ((answer *)a)->all, ((answer *)a)->count * sizeof(header));
  return of == 2;
}

_Bool envoy_dynamic_module_callback_http_get_header(void *a, int of, text name, text *value, size_t index, size_t *count) {
  answer *in = a;
  size_t i, found = 0;
  *value = (text){0, 0};
  for (i = 0; of == 2 && i < in->count; i++)
    if (same(in->all[i].name, name) && found++ == index) *value = in->all[i].value;
  if (count) *count = found;
  return index < found;
}

_Bool envoy_dynamic_module_callback_http_set_header(void *a, int of, text name, text value) {
  answer *in = a;
  size_t i, kept = 0;
  if (of != 2) return 0;
  for (i = 0; i < in->count; i++) {
    header one = in->all[i];
    if (same(one.name, name)) {
      free((char *)one.name.data);
      free((char *)one.value.data);
    } else in->all[kept++] = one;
  }
  in->count = kept;
  if (value.data) append(in, copy(name), copy(value));
  return 1;
}

size_t envoy_dynamic_module_callback_http_get_body_chunks_size(void *a, int of) {
  return of == 2 ? ((answer *)a)->pieces_count : 0;
}

_Bool envoy_dynamic_module_callback_http_get_body_chunks(void *a, int of, text *found) {
  memcpy(found, ((answer *)a)->pieces, ((answer *)a)->pieces_count * sizeof(text));
  return of == 2;
}

_Bool envoy_dynamic_module_callback_http_get_filter_state_bytes(void *a, text key, text *value) {
  *value = ((answer *)a)->kept;
  return value->data != 0 && same(key, (text){"roost.replay", 12});
}

_Bool envoy_dynamic_module_callback_http_filter_get_attribute_string(void *a, int id, text *value) {
  *value = (text){"10.0.0.1:80", 11};
  return a && id == 41;
}

_Bool envoy_dynamic_module_callback_http_set_filter_state_bytes(void *a, text key, text value) {
  if (same(key, (text){"roost.answered", 14})) {
    if (((answer *)a)->from.data || !((answer *)a)->kept.data) abort();
    ((answer *)a)->from = value;
    return 1;
  }
  if (((answer *)a)->kept.data || !same(key, (text){"roost.replay", 12})) abort();
  ((answer *)a)->kept = copy(value);
  return 1;
}

/* An answer in place of the app's is told as one more header. */
void envoy_dynamic_module_callback_http_send_response(void *a, unsigned status, void *headers, size_t count, text body,
                                                      text details) {
  if (status != 502 || headers || count || body.length) abort();
  append(a, copy((text){"refused", 7}), copy(details));
}

/* What the other filters of the module call, and nobody does here. */
void envoy_dynamic_module_callback_get_most_specific_route_config(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_scheduler_new(void) { abort(); }
void envoy_dynamic_module_callback_http_get_body_size(void) { abort(); }
void envoy_dynamic_module_callback_http_drain_body(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_scheduler_commit(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_scheduler_delete(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_continue_decoding(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_config_define_gauge(void) { abort(); }
void envoy_dynamic_module_callback_http_filter_set_gauge(void) { abort(); }

static uint32_t read_number(void) {
  uint32_t number = 0;
  if (fread(&number, sizeof(number), 1, stdin) != 1) exit(4);
  return number;
}

static text read_text(void) {
  uint32_t length = read_number();
  char *data = malloc(length ? length : 1);
  if (length && fread(data, length, 1, stdin) != 1) exit(5);
  return (text){data, length};
}

static void write_number(size_t of) {
  uint32_t number = (uint32_t)of;
  fwrite(&number, sizeof(number), 1, stdout);
}

static void write_text(text of) {
  write_number(of.length);
  fwrite(of.data, 1, of.length, stdout);
}

static void pass(const void *config, uint32_t headers) {
  answer in = {0, 0, 0, 0, {0, 0}, {0, 0}};
  uint32_t ends, parts, behind, said[64], times = 0, i, j;
  const void *filter = envoy_dynamic_module_on_http_filter_new(config, &in);
  text *body[60];
  uint32_t pieces[60];
  for (i = 0; i < headers; i++) {
    text name = read_text();
    append(&in, name, read_text());
  }
  ends = read_number();
  if ((parts = read_number()) > 60) exit(6);
  for (i = 0; i < parts; i++) {
    pieces[i] = read_number();
    body[i] = calloc(pieces[i] ? pieces[i] : 1, sizeof(text));
    for (j = 0; j < pieces[i]; j++) body[i][j] = read_text();
  }
  behind = read_number();
  said[times++] = (uint32_t)envoy_dynamic_module_on_http_filter_response_headers(&in, filter, ends != 0);
  for (i = 0; i < parts; i++) {
    in.pieces = body[i], in.pieces_count = pieces[i];
    said[times++] =
        (uint32_t)envoy_dynamic_module_on_http_filter_response_body(&in, filter, i == parts - 1 && behind == 0);
    for (j = 0; j < pieces[i]; j++) free((char *)body[i][j].data);
    free(body[i]);
    in.pieces = 0, in.pieces_count = 0;
  }
  if (behind == 1) said[times++] = (uint32_t)envoy_dynamic_module_on_http_filter_response_trailers(&in, filter);
  envoy_dynamic_module_on_http_filter_destroy(filter);
  write_number(times);
  for (i = 0; i < times; i++) write_number(said[i]);
  write_number(in.count);
  for (i = 0; i < in.count; i++) {
    write_text(in.all[i].name);
    write_text(in.all[i].value);
    free((char *)in.all[i].name.data);
    free((char *)in.all[i].value.data);
  }
  if (in.kept.data && !same(in.from, (text){"10.0.0.1:80", 11})) abort();
  write_number(in.kept.data != 0);
  write_text(in.kept.data ? in.kept : (text){"", 0});
  free((char *)in.kept.data);
  free(in.all);
}

int main(int count, char **arguments) {
  uint32_t headers;
  const void *config;
  if (count != 2) return 2;
  config = envoy_dynamic_module_on_http_filter_config_new(
      0, (text){"replay", 6}, (text){arguments[1], strlen(arguments[1])});
  if (!config) return 3;
  while (fread(&headers, sizeof(headers), 1, stdin) == 1) pass(config, headers);
  envoy_dynamic_module_on_http_filter_config_destroy(config);
  return 0;
}
