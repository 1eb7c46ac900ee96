/* Envoy's part of the interface for early headers, for tests of native/headers.c: a list of headers, each name and value
   in a piece of memory of exactly its size, freed when it goes, so that a sanitizer sees whoever reads beyond or later.

   Standard input has any number of requests: the client's address and the headers, each text with its length before it
   (4 bytes, little end first), the headers with their number. Standard output gets the headers as they are after. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const char *data; size_t length; } text;
typedef struct { text name, value; } header;

const void *envoy_dynamic_module_on_early_header_mutation_config_new(void *, text, text);
void envoy_dynamic_module_on_early_header_mutation_config_destroy(const void *);
_Bool envoy_dynamic_module_on_early_header_mutation_mutate(const void *, void *);

typedef struct { header *all; size_t count; text client; } request;

static text copy(text of) {
  char *data = malloc(of.length ? of.length : 1);
  memcpy(data, of.data, of.length);
  return (text){data, of.length};
}

static void append(request *to, text name, text value) {
  to->all = realloc(to->all, (to->count + 1) * sizeof(header));
  to->all[to->count++] = (header){name, value};
}

size_t envoy_dynamic_module_callback_early_header_mutation_get_headers_size(void *r) { return ((request *)r)->count; }

_Bool envoy_dynamic_module_callback_early_header_mutation_get_headers(void *r, header *found) {
  memcpy(found, ((request *)r)->all, ((request *)r)->count * sizeof(header));
  return 1;
}

_Bool envoy_dynamic_module_callback_early_header_mutation_add_header(void *r, text name, text value) {
  append(r, copy(name), copy(value));
  return 1;
}

_Bool envoy_dynamic_module_callback_early_header_mutation_remove_header(void *r, text name) {
  request *of = r;
  size_t i, kept = 0;
  name = copy(name); /* as Envoy does: it may be the one that goes */
  for (i = 0; i < of->count; i++) {
    header one = of->all[i];
    if (one.name.length == name.length && !memcmp(one.name.data, name.data, name.length)) {
      free((char *)one.name.data);
      free((char *)one.value.data);
    } else of->all[kept++] = one;
  }
  of->count = kept;
  free((char *)name.data);
  return 1;
}

_Bool envoy_dynamic_module_callback_early_header_mutation_set_header(void *r, text name, text value) {
  name = copy(name), value = copy(value);
  envoy_dynamic_module_callback_early_header_mutation_remove_header(r, name);
  append(r, name, value);
  return 1;
}

_Bool envoy_dynamic_module_callback_early_header_mutation_get_attribute_string(void *r, int id, text *value) {
  *value = ((request *)r)->client;
  return id == 24 && value->length != 0;
}

static int read_number(uint32_t *number) { return fread(number, sizeof(*number), 1, stdin) == 1; }

static text read_text(void) {
  uint32_t length = 0;
  char *data;
  if (!read_number(&length)) exit(2);
  data = malloc(length ? length : 1);
  if (length && fread(data, length, 1, stdin) != 1) exit(2);
  return (text){data, length};
}

static void write_text(text of) {
  uint32_t length = (uint32_t)of.length;
  fwrite(&length, sizeof(length), 1, stdout);
  fwrite(of.data, 1, of.length, stdout);
}

unsigned long long now(void) { return 1000000000; } /* of the limit by address, which has a test of its own */

int main(int count, char **arguments) {
  text name = {"headers", 7}, value = {arguments[1], strlen(arguments[1])};
  const void *config = envoy_dynamic_module_on_early_header_mutation_config_new(0, name, value);
  uint32_t number, i;
  if (count != 2 || !config) return 2; /* or it is refused */
  while (read_number(&number)) {
    request one = {0, 0, read_text()};
    for (i = 0; i < number; i++) {
      text first = read_text();
      append(&one, first, read_text());
    }
    if (!envoy_dynamic_module_on_early_header_mutation_mutate(config, &one)) return 3;
    number = (uint32_t)one.count;
    fwrite(&number, sizeof(number), 1, stdout);
    for (i = 0; i < one.count; i++) {
      write_text(one.all[i].name);
      write_text(one.all[i].value);
      free((char *)one.all[i].name.data);
      free((char *)one.all[i].value.data);
    }
    free(one.all);
    free((char *)one.client.data);
    fflush(stdout);
  }
  envoy_dynamic_module_on_early_header_mutation_config_destroy(config);
  return 0;
}
