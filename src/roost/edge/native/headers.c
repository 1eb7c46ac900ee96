/* What is done to a request's headers before anything looks at them.

   Names that only the edge may say are dropped (`fly-`, `roost-`, `x-envoy-`, the words of other proxies), a client's
   wishes are kept under `steer-`, and the app is told who asks, where, and under which id. Requests that
   are one too many of their address (address_limit.c), or name no host, are marked, and a route refuses them:
   `roost-refuse` says why, `roost-retry-after` in how many seconds there is room again. For each listener the
   configuration is "PORT on|off names|any EVERY BURST WAIT REGION"; on: by TLS; names: hosts must be named; the limit's
   numbers are 0 where there is none. State: random bytes for ids, guarded by a lock.
   Envoy's list of the headers holds pointers into them: after each one that is dropped it is asked for anew. */

#include "envoy.h"

typedef struct { text port, by_tls, wait, region; limit limit; int names; } place;
enum { FEW = 128, RANDOM = 4096, ID = 36 };
#define set envoy_dynamic_module_callback_early_header_mutation_set_header
#define add envoy_dynamic_module_callback_early_header_mutation_add_header

static lock guard;
static unsigned char bytes[RANDOM];
static word used = RANDOM;

static void new_id(char *id) { /* as UUIDs of version 4 are written */
  static const char digits[] = "0123456789abcdef";
  unsigned char raw[16];
  int i;
  pthread_mutex_lock(&guard);
  if (used == RANDOM) {
    if (getrandom(bytes, RANDOM, 0) != RANDOM) abort();
    used = 0;
  }
  memcpy(raw, bytes + used, sizeof(raw));
  used += sizeof(raw);
  pthread_mutex_unlock(&guard);
  raw[6] = (raw[6] & 15) | 64;
  raw[8] = (raw[8] & 63) | 128;
  for (i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *id++ = '-';
    *id++ = digits[raw[i] >> 4];
    *id++ = digits[raw[i] & 15];
  }
}

static int is_steering(text name) { return begins(name, TEXT("steer-")); }

static int is_of_the_edge(text name) { return begins(name, TEXT("fly-")) || begins(name, TEXT("roost-")); }

/* Say whether a client may not send a header of this name. Envoy has made all names lower case. */
static int is_reserved(text name) {
  switch (name.length ? *name.data : 0) {
    case 'f': return begins(name, TEXT("fly-")) || same(name, TEXT("forwarded"));
    case 'p': return same(name, TEXT("proxy"));
    case 'r': return begins(name, TEXT("roost-"));
    case 'x':
      return begins(name, TEXT("x-envoy-")) || same(name, TEXT("x-forwarded-host")) ||
             same(name, TEXT("x-forwarded-server")) || same(name, TEXT("x-forwarded-prefix")) ||
             same(name, TEXT("x-original-url")) || same(name, TEXT("x-rewrite-url"));
  }
  return 0;
}

typedef struct { header few[FEW], *all; word count; } list;

static void read_headers(void *request, list *found) {
  found->count = envoy_dynamic_module_callback_early_header_mutation_get_headers_size(request);
  found->all = found->count <= FEW ? found->few : calloc(found->count, sizeof(header));
  if (!found->all) abort();
  if (found->count && !envoy_dynamic_module_callback_early_header_mutation_get_headers(request, found->all))
    found->count = 0;
}

static void let_go(list *found) {
  if (found->all != found->few) free(found->all);
}

static void drop(void *request, int (*unwanted)(text)) {
  word i;
  for (;;) {
    list found;
    read_headers(request, &found);
    for (i = 0; i < found.count && !unwanted(found.all[i].name); i++);
    if (i < found.count) envoy_dynamic_module_callback_early_header_mutation_remove_header(request, found.all[i].name);
    let_go(&found);
    if (i == found.count) return;
  }
}

/* Keep what a client asks for under `fly-NAME`, or else under `roost-NAME`, as `steer-NAME`; say whether it did. */
static int keep_wish(void *request, text name) {
  static const char steer[] = "steer-";
  char own[64];
  list found;
  text fly = {0, 0}, roost = {0, 0}, wish;
  word i;
  read_headers(request, &found);
  for (i = found.count; i-- > 0;) { /* the first of several counts */
    text rest = found.all[i].name;
    if (!is_of_the_edge(rest)) continue;
    wish = until(&rest, '-');
    if (!same(rest, name)) continue;
    if (same(wish, TEXT("fly"))) fly = found.all[i].value; else roost = found.all[i].value;
  }
  wish = fly.length ? fly : roost;
  if (wish.length) {
    memcpy(own, steer, sizeof(steer) - 1);
    memcpy(own + sizeof(steer) - 1, name.data, name.length);
    set(request, (text){own, sizeof(steer) - 1 + name.length}, wish);
  }
  let_go(&found);
  return wish.length != 0;
}

/* In two rounds, so that nothing a client wrote under `steer-` is left when its wishes are kept there. */
static void clean(void *request) {
  int wishes;
  drop(request, is_steering);
  wishes = keep_wish(request, TEXT("force-instance-id")) + keep_wish(request, TEXT("prefer-instance-id")) +
           keep_wish(request, TEXT("force-region"));
  if (wishes) set(request, TEXT("steer-wish"), TEXT("1"));
  keep_wish(request, TEXT("replay-cache-control"));
  drop(request, is_reserved);
}

/* Return the client's address, from "ADDRESS:PORT" or "[ADDRESS]:PORT"; empty if it is none. */
static text client_of(void *request) {
  text from = {0, 0};
  if (!envoy_dynamic_module_callback_early_header_mutation_get_attribute_string(request, SOURCE_ADDRESS, &from))
    return TEXT("");
  while (from.length && from.data[from.length - 1] != ':') from.length--;
  if (from.length) from.length--;
  if (from.length > 2 && *from.data == '[') from.data++, from.length -= 2;
  return from;
}

static word length_of(text from, int (*belongs)(char)) {
  word i;
  for (i = 0; i < from.length && belongs(from.data[i]); i++);
  return i;
}

static int is_digit(char c) { return c >= '0' && c <= '9'; }

static int is_of_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-' || c == '_';
}

static int is_of_ipv6(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

static text behind(text from, word count) { return (text){from.data + count, from.length - count}; }

/* Say whether it is a name with dots between its parts and perhaps at its end, or an address of IPv6 in brackets; then
   perhaps a colon and a number. */
static int is_host(text from) {
  word part;
  if (from.length && *from.data == '[') {
    part = 1 + length_of(behind(from, 1), is_of_ipv6);
    if (part == 1 || part == from.length || from.data[part] != ']') return 0;
    from = behind(from, part + 1);
  } else {
    if (!length_of(from, is_of_name)) return 0;
    while ((part = length_of(from, is_of_name))) from = behind(from, part < from.length && from.data[part] == '.' ? part + 1 : part);
  }
  if (!from.length) return 1;
  return *from.data == ':' && from.length > 1 && length_of(behind(from, 1), is_digit) == from.length - 1;
}

_Bool envoy_dynamic_module_on_early_header_mutation_mutate(const void *config, void *request) {
  const place *at = config;
  list found;
  int unclean = 0, has_port = 0, has_ssl = 0, named = 0, odd = 0;
  char id[ID];
  text client, own = {id, ID};
  word i;
  read_headers(request, &found);
  for (i = 0; i < found.count; i++) {
    text name = found.all[i].name;
    unclean |= is_reserved(name) || is_steering(name);
    has_port |= same(name, TEXT("x-forwarded-port"));
    has_ssl |= same(name, TEXT("x-forwarded-ssl"));
    if (same(name, TEXT(":authority"))) named = 1, odd |= !is_host(found.all[i].value);
  }
  let_go(&found);
  if (unclean) clean(request);
  new_id(id);
  set(request, TEXT("x-request-id"), own);
  add(request, TEXT("fly-request-id"), own);
  client = client_of(request);
  if (client.length) {
    add(request, TEXT("fly-client-ip"), client);
    add(request, TEXT("x-forwarded-for"), client); /* after what the client says of itself */
  }
  add(request, TEXT("fly-region"), at->region);
  add(request, TEXT("fly-forwarded-port"), at->port);
  if (!has_port) add(request, TEXT("x-forwarded-port"), at->port);
  (has_ssl ? set : add)(request, TEXT("x-forwarded-ssl"), at->by_tls);
  if (is_over_limit(at->limit, client)) {
    add(request, TEXT("roost-refuse"), TEXT("limit"));
    add(request, TEXT("roost-retry-after"), at->wait);
  } else if (at->names && (odd || !named)) add(request, TEXT("roost-refuse"), TEXT("name"));
  return 1;
}

const void *envoy_dynamic_module_on_early_header_mutation_config_new(void *config, text name, text value) {
  place *at = calloc(1, sizeof(place) + value.length);
  (void)config, (void)name;
  if (!at || !begin_limit()) {
    free(at);
    return 0;
  }
  memcpy(at + 1, value.data, value.length);
  value.data = (const char *)(at + 1);
  at->port = until(&value, ' ');
  at->by_tls = until(&value, ' ');
  at->names = same(until(&value, ' '), TEXT("names"));
  at->limit.every = number(&value);
  at->limit.burst = number(&value);
  until(&value, ' ');
  at->wait = until(&value, ' ');
  at->region = value;
  return at;
}

void envoy_dynamic_module_on_early_header_mutation_config_destroy(const void *config) { free((void *)config); }
