/* What is done to a request's headers before anything looks at them.

   Names that only the edge may say are dropped (`fly-`, `roost-`, `x-envoy-`), and on public ports what proxies say of
   a client, unless a believed one is the peer (proxies.c), who then also tells of the client. A client's wishes are
   kept under `steer-`, and the app is told who asks, where, and under which id. Requests that are one too many of their
   address (address_limit.c), or name no host, are marked, and a route refuses them: MARK says why, `roost-retry-after`
   in how many seconds there is room again. Those that have a wish are marked, too. For MARK Envoy has a place of its
   own, so that a look at it costs nothing; for other names it would make an index of all headers first. For each
   listener the configuration is "PORT on|off public|private EVERY BURST WAIT PROXIES REGION"; on: by TLS; public: hosts
   must be named; the limit's numbers are 0 where there is none. A WebSocket that came by HTTP/2 has no key (RFC 8441),
   which apps want to see: it gets one, that nobody looks at. State: random bytes for ids, guarded by a lock.
   Envoy's list of the headers holds pointers into them: after each one that is dropped it is asked for anew. */

#include "envoy.h"

typedef struct { text port, by_tls, wait, region; limit limit; int is_public; proxies proxies; } place;
enum { FEW = 128, RANDOM = 256, ID = 36 }; /* RANDOM: no signal cuts so many bytes short, on any kernel */
#define MARK TEXT("x-envoy-attempt-count") /* reserved, and it goes no further than the edge */
#define set envoy_dynamic_module_callback_early_header_mutation_set_header
#define add envoy_dynamic_module_callback_early_header_mutation_add_header

static lock guard;
static unsigned char bytes[RANDOM];
static word used = RANDOM;

/* Each byte in two letters. */
#define ROW(x) x "0" x "1" x "2" x "3" x "4" x "5" x "6" x "7" x "8" x "9" x "a" x "b" x "c" x "d" x "e" x "f"
static const char hex[] = ROW("0") ROW("1") ROW("2") ROW("3") ROW("4") ROW("5") ROW("6") ROW("7") ROW("8") ROW("9")
    ROW("a") ROW("b") ROW("c") ROW("d") ROW("e") ROW("f");

static void new_id(char *id) { /* as UUIDs of version 4 are written */
  unsigned char raw[16], *at = raw;
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
#define PAIR(place) (((pair *)(id + place))->two = ((const pair *)(hex + 2 * *at++))->two)
  PAIR(0), PAIR(2), PAIR(4), PAIR(6), id[8] = '-';
  PAIR(9), PAIR(11), id[13] = '-';
  PAIR(14), PAIR(16), id[18] = '-';
  PAIR(19), PAIR(21), id[23] = '-';
  PAIR(24), PAIR(26), PAIR(28), PAIR(30), PAIR(32), PAIR(34);
}

static int is_steering(text name) { return begins(name, TEXT("steer-")); }

static int is_of_the_edge(text name) { return begins(name, TEXT("fly-")) || begins(name, TEXT("roost-")); }

/* Say whether a client may not send a header of this name. Envoy has made all names lower case. */
static int is_reserved(text name) {
  switch (name.length ? *name.data : 0) {
    case 'f': return begins(name, TEXT("fly-"));
    case 'p': return same(name, TEXT("proxy"));
    case 'r': return begins(name, TEXT("roost-"));
    case 'x': return begins(name, TEXT("x-envoy-"));
  }
  return 0;
}

static int is_any_of(text name, const text *of) {
  for (; of->length; of++)
    if (same(name, *of)) return 1;
  return 0;
}

/* Say whether it is a word of proxies about a client, its request or its name, which apps believe: who wrote it may be
   the client. X-Forwarded-For and -Port are appended to and passed on as they are. */
static int is_claim(text name) {
  static const text others[] = {
      {"x-real-ip", 9}, {"x-client-ip", 11}, {"x-cluster-client-ip", 19}, {"x-remote-ip", 11}, {"x-remote-addr", 13},
      {"x-originating-ip", 16}, {"x-azure-clientip", 16}, {"x-azure-socketip", 16}, {"x-appengine-user-ip", 19},
      {"x-host", 6}, {"x-http-host-override", 20}, {"x-rewrite-url", 13}, {"x-scheme", 8}, {"x-url-scheme", 12},
      {"x-forwarded", 11}, {0, 0}};
  static const text ours[] = {
      {"x-forwarded-for", 15}, {"x-forwarded-port", 16}, {"x-forwarded-ssl", 15}, {0, 0}};
  switch (name.length > 2 ? *name.data : 0) {
    case 'c': return begins(name, TEXT("cf-")) || same(name, TEXT("client-ip"));
    case 'f':
      return begins(name, TEXT("forwarded")) || same(name, TEXT("fastly-client-ip")) ||
             same(name, TEXT("front-end-https"));
    case 't': return same(name, TEXT("true-client-ip"));
    case 'x':
      if (begins(name, TEXT("x-forwarded-"))) return !is_any_of(name, ours);
      return begins(name, TEXT("x-original-")) || is_any_of(name, others);
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

/* In two rounds, so that nothing a client wrote under `steer-` is left when its wishes are kept there. `prefer-region` is
   no wish: a server is one region. */
static void clean(void *request, int believed) {
  int wishes;
  drop(request, is_steering);
  wishes = keep_wish(request, TEXT("force-instance-id")) + keep_wish(request, TEXT("prefer-instance-id")) +
           keep_wish(request, TEXT("force-region"));
  keep_wish(request, TEXT("replay-cache-control"));
  drop(request, is_reserved);
  if (!believed) drop(request, is_claim);
  if (wishes) set(request, MARK, TEXT("wish"));
}

/* Return the address of who is connected, from "ADDRESS:PORT" or "[ADDRESS]:PORT"; empty if it is none. */
static text peer_of(void *request) {
  text from = {0, 0};
  if (!envoy_dynamic_module_callback_early_header_mutation_get_attribute_string(request, SOURCE_ADDRESS, &from))
    return TEXT("");
  while (from.length && from.data[from.length - 1] != ':') from.length--;
  if (from.length) from.length--;
  if (from.length > 2 && *from.data == '[') from.data++, from.length -= 2;
  return from;
}

/* Return the client's address as a proxy that is believed has it, in `room`; the peer's if it says nothing. */
static text client_of(const list *found, const proxies *of, text peer, char room[ADDRESS]) {
  text client = peer;
  word i;
  for (i = found->count; i-- > 0;)
    if (same(found->all[i].name, TEXT("x-forwarded-for")) && client_before(of, found->all[i].value, &client)) break;
  if (client.length >= ADDRESS) return peer;
  memcpy(room, client.data, client.length);
  return (text){room, client.length};
}

/* What a character may be part of. */
enum { NAME = 1, NUMBER = 2, IPV6 = 4 };
static const char parts[256] = {
  ['-'] = NAME, ['_'] = NAME, ['.'] = IPV6, [':'] = IPV6, ['0' ... '9'] = NAME | NUMBER | IPV6,
  ['A' ... 'F'] = NAME | IPV6, ['G' ... 'Z'] = NAME, ['a' ... 'f'] = NAME | IPV6, ['g' ... 'z'] = NAME,
};

/* Return where it goes on behind what belongs together. */
static const char *behind(const char *at, const char *end, int part) {
  while (at < end && parts[(unsigned char)*at] & part) at++;
  return at;
}

/* Say whether it is a name with dots between its parts and perhaps at its end, or an address of IPv6 in brackets; then
   perhaps a colon and a number. */
static int is_host(text from) {
  const char *at = from.data, *end = at + from.length, *next;
  if (at < end && *at == '[') {
    next = behind(at + 1, end, IPV6);
    if (next == at + 1 || next == end || *next != ']') return 0;
    at = next + 1;
  } else {
    if ((next = behind(at, end, NAME)) == at) return 0;
    do {
      at = next;
      if (at < end && *at == '.') at++;
    } while ((next = behind(at, end, NAME)) != at);
  }
  if (at == end) return 1;
  return *at == ':' && at + 1 < end && behind(at + 1, end, NUMBER) == end;
}

enum { UNCLEAN = 1, HAS_PORT = 2, HAS_SSL = 4, HAS_ID = 8, NAMED = 16, ODD = 32, SOCKET = 64, HAS_KEY = 128 };

/* Say what a header means for what has to be done. */
static int meaning(const header *of, int believed) {
  text name = of->name;
  char first = name.length ? *name.data : 0;
  if (first == ':') return !same(name, TEXT(":authority")) ? 0 : is_host(of->value) ? NAMED : NAMED | ODD;
  if (is_reserved(name) || (first == 's' && is_steering(name)) || (!believed && is_claim(name))) return UNCLEAN;
  if (first == 's') return same(name, TEXT("sec-websocket-key")) ? HAS_KEY : 0;
  if (first == 'u') return same(name, TEXT("upgrade")) && same(of->value, TEXT("websocket")) ? SOCKET : 0;
  if (first != 'x') return 0;
  if (same(name, TEXT("x-forwarded-port"))) return HAS_PORT;
  if (same(name, TEXT("x-forwarded-ssl"))) return HAS_SSL;
  return same(name, TEXT("x-request-id")) ? HAS_ID : 0;
}

/* Say whether a proxy that is believed has told that the client came by TLS; `otherwise` if it says nothing. */
static text told_by_tls(const list *found, text otherwise) {
  word i;
  for (i = 0; i < found->count; i++)
    if (same(found->all[i].name, TEXT("x-forwarded-proto")))
      otherwise = same(found->all[i].value, TEXT("https")) ? TEXT("on") : TEXT("off");
  return otherwise;
}

_Bool envoy_dynamic_module_on_early_header_mutation_mutate(const void *config, void *request) {
  const place *at = config;
  list found;
  const header *one, *last;
  int is = 0, believed = !at->is_public;
  char id[ID], room[ADDRESS];
  text peer = peer_of(request), client = peer, by_tls = at->by_tls, own = {id, ID};
  read_headers(request, &found);
  if (at->is_public && is_proxy(&at->proxies, peer)) {
    believed = 1;
    client = client_of(&found, &at->proxies, peer, room);
    by_tls = told_by_tls(&found, by_tls);
  }
  for (one = found.all, last = one + found.count; one < last; one++) is |= meaning(one, believed);
  let_go(&found);
  if (is & UNCLEAN) clean(request, believed);
  if ((is & (SOCKET | HAS_KEY)) == SOCKET) add(request, TEXT("sec-websocket-key"), TEXT("cm9vc3Qtcm9vc3Qtcm9vcw=="));
  new_id(id);
  (is & HAS_ID ? set : add)(request, TEXT("x-request-id"), own);
  add(request, TEXT("fly-request-id"), own);
  if (client.length) {
    add(request, TEXT("fly-client-ip"), client);
    add(request, TEXT("x-forwarded-for"), peer); /* after what the client says of itself */
  }
  add(request, TEXT("fly-region"), at->region);
  add(request, TEXT("fly-forwarded-port"), at->port);
  if (!(is & HAS_PORT)) add(request, TEXT("x-forwarded-port"), at->port);
  (is & HAS_SSL ? set : add)(request, TEXT("x-forwarded-ssl"), by_tls);
  if (is_over_limit(at->limit, client)) {
    set(request, MARK, TEXT("refuse-limit"));
    add(request, TEXT("roost-retry-after"), at->wait);
  } else if (at->is_public && (is & (NAMED | ODD)) != NAMED) set(request, MARK, TEXT("refuse-name"));
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
  at->is_public = same(until(&value, ' '), TEXT("public"));
  at->limit.every = number(&value);
  at->limit.burst = number(&value);
  until(&value, ' ');
  at->wait = until(&value, ' ');
  if (!read_proxies(until(&value, ' '), &at->proxies)) {
    free(at);
    return 0;
  }
  at->region = value;
  return at;
}

void envoy_dynamic_module_on_early_header_mutation_config_destroy(const void *config) {
  free(((place *)config)->proxies.all);
  free((void *)config);
}
