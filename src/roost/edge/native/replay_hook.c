/* The hook between Envoy and machines, or the activator: what an app's answer asks of the edge, and may not say.

   An HTTP filter behind the router, which sees answers before Envoy decides whether to try again. Its configuration is
   "SILENT_MS WHOLE_MS NAME..."; a route's, "SILENT_MS WHOLE_MS", goes before it. So long a request's body may be silent
   and take (bodies.c). The names are those of headers that are the edge's own word, `fly-`, `roost-` or `x-`, which it
   drops; without any it looks at no answer. An answer with `fly-replay`, `roost-replay` or a body of the type JSON_TYPE
   is an order: the hook keeps it in the stream's filter state as "s:KIND:CACHE:ORDER" (KIND is header, json or large; the
   others in base64) and marks the answer with AGAIN, the reason to try again; beside it is kept where the answer came
   from. What is in an order is read by roostd alone; here it is bytes up to a bound. An answer whose status has not three
   digits, or begins with 0, is refused: Envoy would pass it on, and no client could read it.
   State: of an answer in JSON, what has come of it, up to one byte more than an order may have. */

#include "envoy.h"

#define JSON_TYPE "application/vnd.fly.replay+json"
#define STATE "roost.replay"
#define FROM "roost.answered"
#define STATUS TEXT(":status")
#define AGAIN TEXT("x-envoy-ratelimited")
enum { MOST_ORDER = 16384, MOST_CACHE = 4096, FEW = 64, MOST_NAMES = 8, NAMES = 256 }; /* bytes; headers; words; bytes */
enum { ROOM = 16 + (MOST_CACHE + 2) / 3 * 4 + (MOST_ORDER + 2) / 3 * 4 };

typedef struct { const kind *kind; patience patience; word count; text forbidden[MOST_NAMES]; char names[NAMES]; } rules;
typedef struct { const kind *kind; patience patience; } own; /* of a route */
typedef struct { filter base; body asked; char *body; word length; } answer; /* `body` is there while it comes */
typedef struct { char order[MOST_ORDER + 1], cache[MOST_CACHE + 1], told[ROOM]; } room;

static loaded *load(void *config, text value) {
  rules *one = calloc(1, sizeof(rules));
  text rest;
  (void)config;
  if (one) one->patience = patience_from(&value);
  if (!one || value.length > NAMES || !begin_clock()) {
    free(one);
    return 0;
  }
  memcpy(one->names, value.data, value.length);
  rest = (text){one->names, value.length};
  while (rest.length && one->count < MOST_NAMES) one->forbidden[one->count++] = until(&rest, ' ');
  one->kind = &replay_hook;
  if (!rest.length) return (loaded *)one;
  free(one); /* there are more than there is room for */
  return 0;
}

static void unload(loaded *one) { free(one); }

static route *configure(text value) {
  own *one = calloc(1, sizeof(own));
  if (one) one->kind = &replay_hook, one->patience = patience_from(&value);
  return (route *)one;
}

static void forget(route *one) { free(one); }

static int request(filter *base, _Bool ends) {
  const own *route;
  patience how = ((const rules *)base->config)->patience;
  text found = {0, 0};
  if (ends) return CONTINUE;
  route = (const own *)route_of(base);
  if (route) how = route->patience;
  if (envoy_dynamic_module_callback_http_get_header(base->envoy, REQUEST, TEXT("upgrade"), &found, 0, 0))
    how.silent = 0; /* who waits for a WebSocket says nothing before it is there */
  watch_body(&((answer *)base)->asked, base->envoy, how);
  return CONTINUE;
}

static int request_goes_on(filter *base, _Bool ends) {
  body_goes_on(&((answer *)base)->asked, ends);
  return CONTINUE;
}

static void scheduled(filter *base) { end_overdue_body(&((answer *)base)->asked, base->envoy); }

static int is_forbidden(const rules *of, text name) {
  word i;
  for (i = 0; i < of->count; i++)
    if (same(of->forbidden[i], name)) return 1;
  return 0;
}

/* Say whether a client can take it for a status; Envoy has seen to it that it is a number. */
static int is_status(text of) { return of.length == 3 && *of.data != '0'; }

/* The first value of a header; say whether it is there. */
static int read(void *envoy, text name, text *value) {
  return envoy_dynamic_module_callback_http_get_header(envoy, RESPONSE, name, value, 0, 0);
}

/* Names are in lower case by Envoy. */
static int orders(header one) {
  char first = one.name.length ? *one.name.data : 0;
  if (first == 'c') return same(one.name, TEXT("content-type")) && begins(one.value, TEXT(JSON_TYPE));
  return (first == 'f' || first == 'r') && (same(one.name, TEXT("fly-replay")) || same(one.name, TEXT("roost-replay")));
}

int is_order(void *envoy) {
  header all[FEW];
  text type = {0, 0}, value;
  word count = envoy_dynamic_module_callback_http_get_headers_size(envoy, RESPONSE), i;
  if (count > FEW)
    return read(envoy, TEXT("fly-replay"), &value) || read(envoy, TEXT("roost-replay"), &value) ||
           (read(envoy, TEXT("content-type"), &type) && begins(type, TEXT(JSON_TYPE)));
  if (!count || !envoy_dynamic_module_callback_http_get_headers(envoy, RESPONSE, all)) return 0;
  for (i = 0; i < count; i++)
    if (orders(all[i])) return 1;
  return 0;
}

/* Say whether there is anything to do, or too much to look at here. Nothing is changed. */
static int asks_for_something(void *envoy, const rules *of) {
  header all[FEW];
  word count = envoy_dynamic_module_callback_http_get_headers_size(envoy, RESPONSE), i;
  if (count > FEW) return 1;
  if (!count || !envoy_dynamic_module_callback_http_get_headers(envoy, RESPONSE, all)) return 0;
  for (i = 0; i < count; i++) {
    text name = all[i].name;
    char first = name.length ? *name.data : 0;
    if (first == ':' && same(name, STATUS) && !is_status(all[i].value)) return 1;
    if (orders(all[i])) return 1;
    if ((first == 'f' || first == 'r' || first == 'x') && is_forbidden(of, name)) return 1;
  }
  return 0;
}

/* Put text behind what is there, at most up to `most`; return how much is there then. */
static word append(char *into, word length, word most, text more) {
  word taken = more.length < most - length ? more.length : most - length;
  if (taken) memcpy(into + length, more.data, taken);
  return length + taken;
}

/* Put all values of a header behind what is there, with commas between, at most up to `most`. */
static word append_header(void *envoy, text name, char *into, word length, word most) {
  text value = {0, 0};
  word count = 0, i;
  for (i = 0; i == 0 || i < count; i++) {
    if (!envoy_dynamic_module_callback_http_get_header(envoy, RESPONSE, name, &value, i, i ? 0 : &count)) break;
    if (i) length = append(into, length, most, TEXT(","));
    length = append(into, length, most, value);
  }
  return length;
}

static word append_base64(char *into, text from) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const unsigned char *at = (const unsigned char *)from.data;
  char *begin = into;
  word left;
  for (left = from.length; left; at += 3) {
    unsigned three = (unsigned)at[0] << 16 | (left > 1 ? (unsigned)at[1] << 8 : 0) | (left > 2 ? at[2] : 0);
    *into++ = digits[three >> 18];
    *into++ = digits[three >> 12 & 63];
    *into++ = left > 1 ? digits[three >> 6 & 63] : '=';
    *into++ = left > 2 ? digits[three & 63] : '=';
    left = left > 3 ? left - 3 : 0;
  }
  return (word)(into - begin);
}

/* Keep an order, and where it came from: Envoy forgets that with the next try. Of several the first is kept. */
static void tell(void *envoy, text state) {
  text before = {0, 0}, from = {0, 0};
  if (envoy_dynamic_module_callback_http_get_filter_state_bytes(envoy, TEXT(STATE), &before)) return;
  envoy_dynamic_module_callback_http_set_filter_state_bytes(envoy, TEXT(STATE), state);
  if (envoy_dynamic_module_callback_http_filter_get_attribute_string(envoy, UPSTREAM_ADDRESS, &from))
    envoy_dynamic_module_callback_http_set_filter_state_bytes(envoy, TEXT(FROM), from);
}

/* Keep an order: `length` bytes of it are in `in->order`, MOST_ORDER + 1 if there is more. */
static void keep(void *envoy, room *in, text kind, word length) {
  static const text about[] = {
    {"fly-replay-cache", 16}, {"fly-replay-cache-ttl-secs", 25}, {"fly-replay-cache-allow-bypass", 29}
  };
  word cache = 0, told, i;
  for (i = 0; i < 3; i++) {
    if (i) cache = append(in->cache, cache, MOST_CACHE + 1, TEXT("\n"));
    cache = append_header(envoy, about[i], in->cache, cache, MOST_CACHE + 1);
  }
  if (length > MOST_ORDER || cache > MOST_CACHE) kind = TEXT("large"), length = cache = 0;
  told = append(in->told, 0, ROOM, TEXT("s:"));
  told = append(in->told, told, ROOM, kind);
  told = append(in->told, told, ROOM, TEXT(":"));
  told += append_base64(in->told + told, (text){in->cache, cache});
  told = append(in->told, told, ROOM, TEXT(":"));
  told += append_base64(in->told + told, (text){in->order, length});
  tell(envoy, (text){in->told, told});
}

static void keep_header(void *envoy, text name) {
  room *in = calloc(1, sizeof(room));
  if (!in) {
    tell(envoy, TEXT("s:large::"));
    return;
  }
  keep(envoy, in, TEXT("header"), append_header(envoy, name, in->order, 0, MOST_ORDER + 1));
  free(in);
}

static void keep_body(answer *one) {
  room *in = (room *)one->body;
  one->body = 0;
  keep(one->base.envoy, in, TEXT("json"), one->length);
  free(in);
}

static int response(filter *base, _Bool ends) {
  answer *one = (answer *)base;
  const rules *of = (const rules *)base->config;
  void *envoy = base->envoy;
  text order = TEXT("fly-replay"), value = {0, 0}, none = {0, 0};
  word i;
  let_body(&one->asked);
  if (!of->count || one->body || !asks_for_something(envoy, of)) return CONTINUE;
  if (read(envoy, STATUS, &value) && !is_status(value)) {
    envoy_dynamic_module_callback_http_send_response(envoy, 502, 0, 0, TEXT(""), TEXT("roost_odd_status"));
    return STOP;
  }
  for (i = 0; i < of->count; i++)
    envoy_dynamic_module_callback_http_set_header(envoy, RESPONSE, of->forbidden[i], none);
  if (!read(envoy, order, &value)) order = TEXT("roost-replay");
  if (read(envoy, order, &value)) {
    keep_header(envoy, order);
    envoy_dynamic_module_callback_http_set_header(envoy, RESPONSE, AGAIN, TEXT("1"));
    return CONTINUE;
  }
  if (!read(envoy, TEXT("content-type"), &value) || !begins(value, TEXT(JSON_TYPE))) return CONTINUE;
  envoy_dynamic_module_callback_http_set_header(envoy, RESPONSE, AGAIN, TEXT("1"));
  one->body = calloc(1, sizeof(room)); /* it begins with the order */
  if (!one->body) {
    tell(envoy, TEXT("s:large::"));
    return CONTINUE;
  }
  if (!ends) return STOP;
  keep_body(one);
  return CONTINUE;
}

static int response_body(filter *base, _Bool ends) {
  answer *one = (answer *)base;
  text few[FEW], *all = few;
  word count, i;
  if (!one->body) return CONTINUE;
  count = envoy_dynamic_module_callback_http_get_body_chunks_size(base->envoy, RESPONSE_BODY);
  if (count > FEW) all = calloc(count, sizeof(text));
  if (!all) one->length = MOST_ORDER + 1; /* as if it were too large */
  else if (count && envoy_dynamic_module_callback_http_get_body_chunks(base->envoy, RESPONSE_BODY, all))
    for (i = 0; i < count; i++) one->length = append(one->body, one->length, MOST_ORDER + 1, all[i]);
  if (all != few) free(all);
  if (!ends && one->length <= MOST_ORDER) return STOP_AND_BUFFER;
  keep_body(one);
  return CONTINUE;
}

static int response_trailers(filter *base) {
  if (((answer *)base)->body) keep_body((answer *)base);
  return CONTINUE;
}

static void end(filter *base) {
  forget_body(&((answer *)base)->asked);
  free(((answer *)base)->body);
}

const kind replay_hook = {
  .name = {"replay", 6}, .size = sizeof(answer), .load = load, .unload = unload, .configure = configure,
  .forget = forget, .request = request, .request_goes_on = request_goes_on, .response = response,
  .response_body = response_body, .response_trailers = response_trailers, .scheduled = scheduled, .end = end,
};
